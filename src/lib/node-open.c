/* SPDX-License-Identifier: MIT */
/*
 * node-open.c - joining a router for the first time, and what of it is done again at each later one
 *
 * Connect, HELLO, WELCOME with two segments (the router's directory, our page for the heartbeat), then the thread. With
 * wait_for_router and nobody there, it is the thread, or whoever dispatches, that does the same later (rejoin.c).
 */
#include "lib/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "channel/barrier.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "lib/autostart.h"
#include "lib/control.h"
#include "lib/error.h"
#include "lib/options.h"
#include "lib/rejoin.h"

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
static int connect_to_router(struct zcp_node *node, const struct zcp_node_options *options, int fd)
{
	int r;

	if (fd >= 0) {
		node->socket = fd;
		node->state = NODE_GREETED;
		return 0;
	}
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
	node_beat(node);
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

static int open_node(struct zcp_node *node, struct wire_hello *hello, const struct zcp_node_options *options, int *fd)
{
	bool wait = false;
	int r;

	r = fork_add(node);
	if (r < 0)
		return error_system(r, "cannot register fork handlers");
	r = connect_to_router(node, options, fd_take(fd));
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

int node_open_on(struct zcp_node **node, const char *name, const struct zcp_node_options *options, int fd)
{
	_cleanup_fd_ int connection = fd;
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
	r = open_node(n, &hello, &o, &connection);
	if (r < 0) {
		node_free(n);
		return r;
	}
	*node = n;
	return 0;
}

int zcp_node_open(struct zcp_node **node, const char *name, const struct zcp_node_options *options)
{
	return node_open_on(node, name, options, -1);
}
