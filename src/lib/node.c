/* SPDX-License-Identifier: MIT */
/*
 * node.c - the node's thread, leaving, and how the node stands with its router
 *
 * Joining is in node-open.c, coming back to a router in rejoin.c. A node ends with the last endpoint: zcp_node_close()
 * closes all of them, but a subscriber whose samples are still held stays, and the node with it; then the last
 * zcp_sample_release() ends both.
 */
#include "lib/node.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "common/fd.h"
#include "lib/autostart.h"
#include "lib/control.h"
#include "lib/doorbell.h"
#include "lib/endpoint.h"
#include "lib/error.h"
#include "lib/handover.h"
#include "lib/rejoin.h"
#include "lib/router-path.h"
#include "lib/waitset.h"
#include "lib/watch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THREAD_STACK_BYTES (2u << 20)
#else
#define THREAD_STACK_BYTES (128u << 10)
#endif

/* ---- heartbeat and thread ---------------------------------------------------------------------------------------- */

void node_beat(struct zcp_node *node)
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

		node_beat(node);
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
	/* closing one takes others along that come behind it; some stay, for samples that are held */
	for (ep = node->endpoints; ep; ep = next) {
		if (ep->visited || ep->parent) {
			next = ep->hh.next;
			continue;
		}
		ep->visited = true;
		ep->operations->close(ep);
		next = node->endpoints;
	}
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
	if (!forked_since(node->fork_generation))
		waitset_node_closed(node);
	watch_close_all(node);
	handover_close_all(node);
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
	node_beat(node);
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
