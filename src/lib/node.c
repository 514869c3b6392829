/* SPDX-License-Identifier: MIT */
/*
 * node.c - joining, leaving, and the thread between
 *
 * Life of a node: connect, HELLO, WELCOME with two segments (the router's directory, our page for the
 * heartbeat), then the thread. It ends with the last endpoint: zcp_node_close() closes all of them, but a
 * subscriber whose samples are still held stays, and the node with it; then the last zcp_sample_release() ends
 * both.
 */
#include "lib/node.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>

#include "channel/barrier.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/message.h"
#include "lib/autostart.h"
#include "lib/control.h"
#include "lib/doorbell.h"
#include "lib/endpoint.h"
#include "lib/error.h"
#include "lib/options.h"
#include "lib/rejoin.h"
#include "lib/router-path.h"
#include "lib/watch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THREAD_STACK_BYTES (2u << 20)
#else
#define THREAD_STACK_BYTES (128u << 10)
#endif

/* ---- heartbeat and thread ---------------------------------------------------------------------------------------- */

/* Under lock: the page may change with the router. */
static void beat(struct zcp_node *node)
{
	if (!node->page)
		return;
	atomic_store_explicit(&node->page->heartbeat_ns, clock_now_ns(), memory_order_relaxed);
	atomic_fetch_add_explicit(&node->page->n_dispatches, 1, memory_order_relaxed);
}

void node_wake(struct zcp_node *node)
{
	doorbell_ring(node->wake);
}

static int sleep_ms(const struct zcp_node *node)
{
	int due = rejoin_timeout_ms(node), beat_ms = node->unmonitored || node->state == NODE_LOST ? -1 : (int)node->heartbeat_ms;

	return due < 0 || (beat_ms >= 0 && beat_ms < due) ? beat_ms : due;
}

/* Slow, and nothing that others should wait for: without the lock. */
static void start_router(struct zcp_node *node)
{
	struct router_paths paths = node->paths;
	int fd;

	pthread_mutex_unlock(&node->lock);
	fd = autostart_connect(&paths);
	pthread_mutex_lock(&node->lock);
	if (fd >= 0)
		rejoin_greet(node, fd);
	else
		node->away_since_ns = clock_now_ns();	/* the next attempt is not for now */
}

static void *run_thread(void *argument)
{
	struct zcp_node *node = argument;

	pthread_setname_np(pthread_self(), "zcp-node");
	pthread_mutex_lock(&node->lock);
	while (!node->stopping) {
		struct pollfd p[2] = {
			{ .fd = node->wake, .events = POLLIN },
			{ .fd = rejoin_has_connection(node) ? node->socket : -1, .events = (short)(POLLIN | (node->outgoing ? POLLOUT : 0)) },
		};
		int timeout = sleep_ms(node);

		beat(node);
		pthread_mutex_unlock(&node->lock);
		poll(p, 2, timeout);
		if (p[0].revents)
			doorbell_silence(node->wake);
		pthread_mutex_lock(&node->lock);
		control_run(node);
		if (!node->stopping && rejoin_wants_router(node))
			start_router(node);
	}
	pthread_mutex_unlock(&node->lock);
	return NULL;
}

static int create_thread(struct zcp_node *node)
{
	pthread_attr_t attributes;
	long least = sysconf(_SC_THREAD_STACK_MIN);
	int r;

	r = pthread_attr_init(&attributes);
	if (r)
		return -r;
	r = pthread_attr_setstacksize(&attributes, (size_t)(least > 0 ? least : PTHREAD_STACK_MIN) + THREAD_STACK_BYTES);
	if (!r)
		r = pthread_create(&node->thread, &attributes, run_thread, node);
	pthread_attr_destroy(&attributes);
	/* a program with much static thread-local storage may need more */
	if (r == EINVAL)
		r = pthread_create(&node->thread, NULL, run_thread, node);
	return -r;
}

int node_start_thread(struct zcp_node *node)
{
	sigset_t all, saved;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = create_thread(node);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (r < 0)
		return error_set(r, "cannot start the node's thread: %s; raise RLIMIT_NPROC (ulimit -u) or use no_thread", strerror(-r));
	node->has_thread = true;
	return 0;
}

static void stop_thread(struct zcp_node *node)
{
	if (!node->has_thread)
		return;
	pthread_mutex_lock(&node->lock);
	node->stopping = true;
	pthread_mutex_unlock(&node->lock);
	node_wake(node);
	pthread_join(node->thread, NULL);
	node->has_thread = false;
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static struct zcp_node *allocate(const struct zcp_node_options *options)
{
	struct zcp_node *node = calloc(1, sizeof(*node));
	pthread_condattr_t attributes;

	if (!node)
		return NULL;
	node->socket = node->wake = node->epoll = node->timer = node->page_fd = -1;
	node->no_thread = options->no_thread;
	node->unmonitored = options->unmonitored;
	node->autostart = options->autostart;
	node->heartbeat_ms = NODE_HEARTBEAT_MS;
	node->away_since_ns = clock_now_ns();
	node->backoff_ns = BACKOFF_FIRST_NS;
	node->outgoing_tail = &node->outgoing;
	node->fork_generation = fork_now();
	pthread_mutex_init(&node->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&node->answered, &attributes);
	pthread_condattr_destroy(&attributes);
	return node;
}

/* -ENOTCONN: nobody listens, and the node is to wait for somebody. */
static int connect_to_router(struct zcp_node *node, const struct zcp_node_options *options)
{
	int r;

	r = router_paths_find(&node->paths, options->socket_path);
	if (r < 0)
		return r;
	r = router_connect(&node->paths);
	if (options->autostart && (r == -ENOENT || r == -ECONNREFUSED))
		r = autostart_connect(&node->paths);
	if (options->wait_for_router && (r == -ENOENT || r == -ECONNREFUSED))
		return -ENOTCONN;
	if (r < 0)
		return r;
	node->socket = r;
	node->state = NODE_GREETED;
	return 0;
}

/* The descriptors apart from the socket: one that stops the thread, or the set that the owner polls. */
static int open_descriptors(struct zcp_node *node)
{
	struct epoll_event event = { .events = EPOLLIN };

	node->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (node->wake < 0)
		return -errno;
	if (!node->no_thread)
		return 0;
	node->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (node->epoll < 0)
		return -errno;
	if (node->socket >= 0 && epoll_ctl(node->epoll, EPOLL_CTL_ADD, node->socket, &event) < 0)
		return -errno;
	node->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (node->timer < 0 || epoll_ctl(node->epoll, EPOLL_CTL_ADD, node->timer, &event) < 0)
		return -errno;
	node_set_timer(node);
	return 0;
}

void node_set_timer(struct zcp_node *node)
{
	uint64_t ns = (uint64_t)node->heartbeat_ms * 1000000;
	struct itimerspec period = { 0 };

	if (node->timer < 0)
		return;
	/* whoever is exempt from the heartbeat needs it while there is a router to look for */
	if (node->state != NODE_JOINED)
		ns = ns < 100000000 ? ns : 100000000;
	else if (node->unmonitored)
		ns = 0;
	if (node->state == NODE_LOST)
		ns = 0;
	period.it_interval.tv_sec = period.it_value.tv_sec = (time_t)(ns / 1000000000);
	period.it_interval.tv_nsec = period.it_value.tv_nsec = (long)(ns % 1000000000);
	timerfd_settime(node->timer, 0, &period, NULL);
}

/* Who looks at the directory between two calls looks at the one before the last at most. */
static void replace_directory(struct zcp_node *node, const void *memory, const struct directory_view *view)
{
	if (node->old_directory_memory)
		munmap((void *)(uintptr_t)node->old_directory_memory, node->old_directory_bytes);
	node->old_directory_memory = node->directory_memory;
	node->old_directory_bytes = node->directory_bytes;
	node->directory_memory = memory;
	node->directory_bytes = view->bytes;
	node->directory = *view;
}

int node_map(struct zcp_node *node, const struct wire_welcome *welcome, int fds[WIRE_FDS_MAX])
{
	struct directory_view view;
	const void *directory;
	void *memory;
	int r;

	if (welcome->node_page_bytes != NODE_PAGE_BYTES)
		return -EPROTO;
	r = memfd_map_reader(fds[0], welcome->directory_bytes, &directory);
	if (r < 0)
		return r;
	r = directory_open(&view, directory, welcome->directory_bytes);
	if (r == 0)
		r = memfd_map_writer(fds[1], NODE_PAGE_BYTES, &memory);
	if (r < 0) {
		munmap((void *)(uintptr_t)directory, welcome->directory_bytes);
		return r;
	}
	replace_directory(node, directory, &view);
	if (node->page)
		munmap(node->page, NODE_PAGE_BYTES);
	node->page = memory;
	node->page->version = WIRE_VERSION;
	node->page->magic = NODE_PAGE_MAGIC;
	fd_close(node->page_fd);
	node->page_fd = fd_take(&fds[1]);
	if (!node->id)
		node->id = welcome->node;
	node->epoch = welcome->epoch;
	node->heartbeat_ms = welcome->heartbeat_ms < 1 ? 1 : welcome->heartbeat_ms > 60000 ? 60000 : welcome->heartbeat_ms;
	beat(node);
	return 0;
}

static int join(struct zcp_node *node, struct wire_hello *hello)
{
	struct request request = REQUEST_INIT;
	struct wire_segment_mapped mapped;
	int r;

	wire_init(&hello->header, WIRE_HELLO, 0);
	hello->flags = node->unmonitored ? WIRE_HELLO_UNMONITORED : 0;
	r = control_call(node, &request, &hello->header, WIRE_WELCOME, "join the router");
	pthread_mutex_lock(&node->lock);
	if (r == 0) {
		r = node_map(node, &request.answer.welcome, request.fds);
		if (r < 0)
			error_set(r, "cannot map what the router sent: %s; do router and library come from one build?", strerror(-r));
	}
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(request.fds[i]);
	if (r == 0) {
		wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, request.number);
		mapped.segment = request.answer.welcome.node_page_segment;
		node->state = NODE_JOINED;
		control_send(node, &mapped.header);
		node_set_timer(node);
	}
	pthread_mutex_unlock(&node->lock);
	return r;
}

static int open_node(struct zcp_node *node, struct wire_hello *hello, const struct zcp_node_options *options)
{
	bool wait = false;
	int r;

	r = fork_add(node);
	if (r < 0)
		return error_system(r, "cannot register fork handlers");
	r = connect_to_router(node, options);
	if (r < 0 && r != -ENOTCONN)
		return r;
	wait = r == -ENOTCONN;
	r = open_descriptors(node);
	if (r < 0)
		return error_system(r, "cannot open the node's descriptors");
	barrier_register();
	if (!wait) {
		r = join(node, hello);
		wait = r == -ENOTCONN && options->wait_for_router;
		if (r < 0 && !wait)
			return r;
	}
	return node->no_thread ? 0 : node_start_thread(node);
}

int zcp_node_open(struct zcp_node **node, const char *name, const struct zcp_node_options *options)
{
	struct zcp_node_options o;
	struct wire_hello hello = { .flags = 0 };
	struct zcp_node *n;
	int r;

	*node = NULL;
	r = options_copy(&o, sizeof(o), sizeof(o), options, "zcp_node_options");
	if (r == 0)
		r = options_reserved(o.reserved, sizeof(o.reserved), "zcp_node_options");
	if (r == 0)
		r = options_name(hello.name, name, "node name");
	if (r < 0)
		return r;
	n = allocate(&o);
	if (!n)
		return error_note(-ENOMEM, "no memory for a node");
	memcpy(n->name, hello.name, sizeof(n->name));
	r = open_node(n, &hello, &o);
	if (r < 0) {
		node_free(n);
		return r;
	}
	*node = n;
	return 0;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

static void say_goodbye(struct zcp_node *node)
{
	struct wire_goodbye goodbye;

	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	pthread_mutex_lock(&node->lock);
	if (node->state == NODE_JOINED || node->state == NODE_RESUMING)
		control_send(node, &goodbye.header);
	pthread_mutex_unlock(&node->lock);
}

static void close_descriptors(struct zcp_node *node)
{
	node->socket = fd_close(node->socket);
	node->wake = fd_close(node->wake);
	node->epoll = fd_close(node->epoll);
	node->timer = fd_close(node->timer);
	node->page_fd = fd_close(node->page_fd);
}

static void free_memory(struct zcp_node *node)
{
	while (node->graves) {
		struct grave *g = node->graves;

		node->graves = g->next;
		munmap(g->memory, g->bytes);
		free(g->scratch);
		free(g);
	}
	if (node->directory_memory)
		munmap((void *)(uintptr_t)node->directory_memory, node->directory_bytes);
	if (node->old_directory_memory)
		munmap((void *)(uintptr_t)node->old_directory_memory, node->old_directory_bytes);
	if (node->page)
		munmap(node->page, NODE_PAGE_BYTES);
	pthread_cond_destroy(&node->answered);
	pthread_mutex_destroy(&node->lock);
	free(node);
}

void node_free(struct zcp_node *node)
{
	stop_thread(node);
	say_goodbye(node);
	fork_remove(node);
	pthread_mutex_lock(&node->lock);
	rejoin_connection_ended(node, true);
	pthread_mutex_unlock(&node->lock);
	close_descriptors(node);
	free_memory(node);
}

static void close_endpoints(struct zcp_node *node)
{
	struct endpoint *ep, *next;

	/* no lock: the owner is the only one who changes the table, and that is us */
	HASH_ITER(hh, node->endpoints, ep, next)
		ep->operations->close(ep);
}

/* A child has copies of descriptors, and memory that nobody else uses; nothing here reaches the parent. */
static void close_in_child(struct zcp_node *node)
{
	close_endpoints(node);
	close_descriptors(node);
}

void zcp_node_close(struct zcp_node *node)
{
	bool last;

	if (!node)
		return;
	watch_close_all(node);
	if (forked_since(node->fork_generation)) {
		close_in_child(node);
		return;
	}
	close_endpoints(node);
	pthread_mutex_lock(&node->lock);
	node->closed = true;
	last = !node->endpoints;
	pthread_mutex_unlock(&node->lock);
	if (last)
		node_free(node);
	else if (!node->has_thread)
		node_start_thread(node);	/* nobody dispatches any more; without it the node would be unresponsive, no worse */
}

/* ---- small things ------------------------------------------------------------------------------------------------ */

bool node_is_joined(struct zcp_node *node)
{
	bool is_joined;

	pthread_mutex_lock(&node->lock);
	is_joined = node->state == NODE_JOINED;
	pthread_mutex_unlock(&node->lock);
	return is_joined;
}

bool node_is_lost(struct zcp_node *node)
{
	bool lost;

	pthread_mutex_lock(&node->lock);
	lost = node->state == NODE_LOST;
	pthread_mutex_unlock(&node->lock);
	return lost;
}

/* Under lock. */
static void wait_for_thread_until(struct zcp_node *node, uint64_t deadline)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline / 1000000000), .tv_nsec = (long)(deadline % 1000000000) };

	if (deadline == UINT64_MAX)
		pthread_cond_wait(&node->answered, &node->lock);
	else
		pthread_cond_timedwait(&node->answered, &node->lock, &ts);
}

bool node_await_joined(struct zcp_node *node, uint64_t deadline)
{
	bool is_joined;

	pthread_mutex_lock(&node->lock);
	while (node->has_thread && node->state != NODE_JOINED && node->state != NODE_LOST && clock_now_ns() < deadline)
		wait_for_thread_until(node, deadline);
	is_joined = node->state == NODE_JOINED && node->has_thread;
	pthread_mutex_unlock(&node->lock);
	return is_joined;
}

bool node_read_calibration(struct zcp_node *node, struct clock_calibration *c)
{
	bool done;

	if (pthread_mutex_trylock(&node->lock))
		return false;
	done = node->directory_memory && directory_read_calibration(node->directory.header, c) == 0;
	pthread_mutex_unlock(&node->lock);
	return done;
}

static int explain_lost(struct zcp_node *node)
{
	if (node->lost_error == -EPROTONOSUPPORT)
		return error_set(-ENOTCONN, "the router does not take this node back: %s", node->router_text);
	if (node->router_text[0])
		return error_set(-ENOTCONN, "the router has removed this node: %s", node->router_text);
	return error_note(-ENOTCONN, "the router has removed this node; close it and open another");
}

/* Without a thread: dispatch until something may have changed, 100 ms at most. */
static void dispatch_for_a_while(struct zcp_node *node, uint64_t deadline)
{
	struct pollfd p = { .fd = node->epoll, .events = POLLIN };
	uint64_t now = clock_now_ns();
	int ms = now >= deadline ? 0 : deadline - now > 100000000 ? 100 : (int)((deadline - now) / 1000000) + 1;

	if (zcp_node_dispatch(node) == 0)
		poll(&p, 1, ms);
}

int zcp_node_wait(struct zcp_node *node, int64_t timeout)
{
	uint64_t deadline = deadline_after(timeout);
	int r;

	if (forked_since(node->fork_generation))
		return error_forked();
	/* whoever dispatches by himself may not have noticed yet that the router is gone */
	if (!node->has_thread)
		zcp_node_dispatch(node);
	for (;;) {
		pthread_mutex_lock(&node->lock);
		while (node->has_thread && node->state != NODE_JOINED && node->state != NODE_LOST && clock_now_ns() < deadline)
			wait_for_thread_until(node, deadline);
		r = node->state == NODE_JOINED ? 0 : node->state == NODE_LOST ? explain_lost(node) : -ETIMEDOUT;
		pthread_mutex_unlock(&node->lock);
		if (r != -ETIMEDOUT)
			return r;
		if (clock_now_ns() >= deadline)
			return error_note(-ETIMEDOUT, "no router has come yet; start zcp-router");
		if (!node->has_thread)
			dispatch_for_a_while(node, deadline);
	}
}

int zcp_node_fd(const struct zcp_node *node)
{
	if (forked_since(node->fork_generation))
		return error_forked();
	return node->no_thread ? node->epoll : node->wake;
}

int zcp_node_dispatch(struct zcp_node *node)
{
	int r;

	if (forked_since(node->fork_generation))
		return error_forked();
	if (node->has_thread)
		return 0;
	if (node->timer >= 0)
		doorbell_silence(node->timer);
	pthread_mutex_lock(&node->lock);
	beat(node);
	r = control_run(node);
	if (r == -ENOTCONN)
		explain_lost(node);
	pthread_mutex_unlock(&node->lock);
	return r;
}

uint64_t zcp_node_id(const struct zcp_node *node)
{
	struct zcp_node *n = (struct zcp_node *)(uintptr_t)node;
	uint64_t id;

	pthread_mutex_lock(&n->lock);
	id = n->id;
	pthread_mutex_unlock(&n->lock);
	return id;
}
