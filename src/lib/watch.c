/* SPDX-License-Identifier: MIT */
/*
 * watch.c - a watch: a queue of news between the node's thread and its owner
 *
 * See watch.h. What existed when the watch opened (or when a router came back) is asked for by us, so the queue grows for
 * it, up to EXISTING_MAX; news beyond the wanted length is dropped and counted: the newest is, since the older events are
 * what it builds on.
 */
#include "lib/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/name.h"
#include "common/pattern.h"
#include "lib/control.h"
#include "lib/doorbell.h"
#include "lib/endpoint.h"
#include "lib/error.h"
#include "lib/options.h"
#include "lib/waitset.h"

#define QUEUE_DEFAULT 1024u
#define QUEUE_MAX 1048576u
#define EXISTING_MAX 65536u
#define RECHECK_MS 100

struct zcp_watch {
	uint32_t fork_generation;
	int fd;				/* eventfd: readable while the queue may hold something */
	struct zcp_node *node;
	uint64_t id;
	struct wire_watch_open open;
	uint32_t limit;
	struct waitset_entry *waiter;	/* in a wait set; or NULL */

	/* under the node's lock */
	struct zcp_watch_event *queue;	/* a ring of `room` */
	uint32_t room, first, n;
	uint64_t lost;
	struct zcp_watch *next;
};

/* ---- the queue, under lock --------------------------------------------------------------------------------------- */

static bool grow(struct zcp_watch *w)
{
	uint32_t room = w->room ? w->room * 2 : 64;
	struct zcp_watch_event *queue = calloc(room, sizeof(*queue));

	if (!queue)
		return false;
	for (uint32_t i = 0; i < w->n; i++)
		queue[i] = w->queue[(w->first + i) % w->room];
	free(w->queue);
	w->queue = queue;
	w->room = room;
	w->first = 0;
	return true;
}

static void put(struct zcp_watch *w, struct zcp_watch_event *event)
{
	uint32_t limit = event->existing && w->limit < EXISTING_MAX ? EXISTING_MAX : w->limit;

	if (w->n >= limit || (w->n == w->room && !grow(w))) {
		w->lost += 1 + event->lost;
		return;
	}
	event->lost += w->lost;
	w->lost = 0;
	w->queue[(w->first + w->n++) % w->room] = *event;
	doorbell_ring(w->fd);
}

static struct zcp_watch *find(struct zcp_node *node, uint64_t id)
{
	struct zcp_watch *w = node->watches;

	while (w && w->id != id)
		w = w->next;
	return w;
}

/* ---- what the router says ---------------------------------------------------------------------------------------- */

static void fill_exit(struct zcp_watch_event *event, const struct wire_exit *exit)
{
	event->exit_known = exit->flags & WIRE_EXIT_KNOWN;
	if (!event->exit_known)
		return;
	event->oom_killed = exit->flags & WIRE_EXIT_OOM;
	if (WIFSIGNALED(exit->status))
		event->signal = WTERMSIG(exit->status);
	else
		event->exit_code = WEXITSTATUS(exit->status);
	memcpy(event->comm, exit->comm, sizeof(event->comm));
	event->comm[sizeof(event->comm) - 1] = 0;
}

/* A field of the wire is as long as ours; that it ends is our care. */
static void fill_name(char name[WIRE_NAME_BYTES], const char field[WIRE_NAME_BYTES])
{
	memcpy(name, field, WIRE_NAME_BYTES);
	name[WIRE_NAME_BYTES - 1] = 0;
}

void watch_handle(struct zcp_node *node, const struct wire_watch_event *m)
{
	struct zcp_watch *w = find(node, m->watch);
	struct zcp_watch_event event = {
		.kind = m->kind,
		.cause = m->cause,
		.time_ns = m->time_ns,
		.node = m->node,
		.endpoint = m->endpoint,
		.pid = m->pid,
		.uid = m->uid,
		.role = m->role,
		.existing = m->flags & WIRE_WATCH_EVENT_EXISTING,
		.lost = m->lost,
	};

	if (!w)
		return;		/* closed while it was under way */
	static_assert(sizeof(event.node_name) == WIRE_NAME_BYTES && sizeof(event.event) == WIRE_NAME_BYTES, "names fit");
	fill_name(event.node_name, m->node_name);
	fill_name(event.service, m->topic.service);
	fill_name(event.instance, m->topic.instance);
	fill_name(event.event, m->topic.event);
	fill_exit(&event, &m->exit);
	put(w, &event);
}

static void put_router(struct zcp_node *node, enum zcp_watch_kind kind)
{
	for (struct zcp_watch *w = node->watches; w; w = w->next)
		put(w, &(struct zcp_watch_event){ .kind = kind, .time_ns = clock_now_ns() });
}

void watch_router_gone(struct zcp_node *node)
{
	put_router(node, ZCP_WATCH_ROUTER_GONE);
}

void watch_router_back(struct zcp_node *node)
{
	put_router(node, ZCP_WATCH_ROUTER_BACK);
	for (struct zcp_watch *w = node->watches; w; w = w->next) {
		struct wire_watch_open open = w->open;

		/* nobody waits for the answer */
		do {
			node->last_request++;
		} while (!node->last_request);
		open.header.request = node->last_request;
		control_send(node, &open.header);
	}
}

void watch_wake_all(struct zcp_node *node)
{
	for (struct zcp_watch *w = node->watches; w; w = w->next)
		doorbell_ring(w->fd);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static int parse_pattern(struct wire_topic *topic, const char *pattern)
{
	enum name_fault fault;

	switch (pattern_parse(topic, pattern ? pattern : "", &fault)) {
	case -EINVAL:
		return error_set(-EINVAL, "a part of the pattern '%.40s' %s", pattern, name_fault_text(fault));
	case -E2BIG:
		return error_set(-EINVAL, "the pattern '%.40s' has more than three parts", pattern);
	default:
		return 0;
	}
}

static int prepare(struct wire_watch_open *open, const char *pattern, struct zcp_watch_options *o, const void *options)
{
	int r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_watch_options");

	memset(open, 0, sizeof(*open));
	if (r == 0)
		r = options_reserved(o->reserved, sizeof(o->reserved), "zcp_watch_options");
	if (r == 0 && o->queue > QUEUE_MAX)
		r = error_set(-EINVAL, "queue is %u; at most %u events can be kept", o->queue, QUEUE_MAX);
	if (r == 0)
		r = parse_pattern(&open->pattern, pattern);
	open->flags = (o->no_existing ? 0 : WIRE_WATCH_EXISTING) | (o->no_nodes ? WIRE_WATCH_NO_NODES : 0);
	return r;
}

/* Before the router hears of it: its events may be there before its answer. */
static void enlist(struct zcp_watch *w)
{
	static _Atomic uint64_t last_id;

	w->id = w->open.watch = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	pthread_mutex_lock(&w->node->lock);
	w->next = w->node->watches;
	w->node->watches = w;
	pthread_mutex_unlock(&w->node->lock);
}

static void delist(struct zcp_watch *w)
{
	struct zcp_watch **at = &w->node->watches;
	struct wire_watch_close close;

	pthread_mutex_lock(&w->node->lock);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	wire_init(&close.header, WIRE_WATCH_CLOSE, 0);
	close.watch = w->id;
	if (w->node->state == NODE_JOINED)
		control_send(w->node, &close.header);
	pthread_mutex_unlock(&w->node->lock);
}

static int ask_once(struct zcp_watch *w)
{
	struct request request = REQUEST_INIT;
	struct wire_watch_open open = w->open;
	int r = control_call(w->node, &request, &open.header, WIRE_WATCHING, "open the watch");

	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(request.fds[i]);
	return r;
}

/*
 * Each attempt as a watch of its own: a router that came meanwhile has been asked by watch_router_back() already, which was not
 * waited for, and takes no number twice.
 */
static int ask(struct zcp_watch *w)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	int r;

	for (;;) {
		enlist(w);
		r = ask_once(w);
		if (r == 0)
			return 0;
		delist(w);
		w->n = 0;
		w->lost = 0;
		doorbell_silence(w->fd);
		if (r != -ENOTCONN || !node_await_joined(w->node, deadline))
			return r;
	}
}

static void discard(struct zcp_watch *w)
{
	fd_close(w->fd);
	free(w->queue);
	free(w);
}

int zcp_watch_open(struct zcp_watch **watch, struct zcp_node *node, const char *pattern, const struct zcp_watch_options *options)
{
	struct zcp_watch_options o;
	struct wire_watch_open open;
	struct zcp_watch *w;
	int r;

	*watch = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&open, pattern, &o, options);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_note(-ENOMEM, "no memory for a watch");
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		r = error_system(-errno, "cannot make the watch's descriptor");
		free(w);
		return r;
	}
	w->fork_generation = node->fork_generation;
	w->node = node;
	w->limit = o.queue ? o.queue : QUEUE_DEFAULT;
	w->open = open;
	wire_init(&w->open.header, WIRE_WATCH_OPEN, 0);
	r = ask(w);
	if (r < 0) {
		discard(w);
		return r;
	}
	*watch = w;
	return 0;
}

void zcp_watch_close(struct zcp_watch *watch)
{
	if (!watch)
		return;
	if (forked_since(watch->fork_generation)) {
		watch->fd = fd_close(watch->fd);
		return;
	}
	if (watch->waiter)
		waitset_closed(watch->waiter, "a watch");
	delist(watch);
	discard(watch);
}

void watch_close_all(struct zcp_node *node)
{
	if (forked_since(node->fork_generation)) {
		for (struct zcp_watch *w = node->watches; w; w = w->next)
			w->fd = fd_close(w->fd);
		return;
	}
	while (node->watches)
		zcp_watch_close(node->watches);
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

int zcp_watch_take(struct zcp_watch *watch, struct zcp_watch_event *event)
{
	struct zcp_watch *w = watch;
	int r = 0;

	if (forked_since(w->fork_generation))
		return error_forked();
	pthread_mutex_lock(&w->node->lock);
	if (w->n) {
		*event = w->queue[w->first];
		w->first = (w->first + 1) % w->room;
		w->n--;
	} else {
		/* a node that is lost stays readable: there is nothing more to wait for */
		if (w->node->state != NODE_LOST)
			doorbell_silence(w->fd);
		r = -EAGAIN;
	}
	pthread_mutex_unlock(&w->node->lock);
	return r < 0 ? error_note(r, "no event is there to take") : 0;
}

/* 0: an event is there; -EAGAIN; -ENOTCONN. */
static int look(struct zcp_watch *w)
{
	int r;

	pthread_mutex_lock(&w->node->lock);
	r = w->n ? 0 : w->node->state == NODE_LOST ? -ENOTCONN : -EAGAIN;
	if (r == -EAGAIN)
		doorbell_silence(w->fd);
	pthread_mutex_unlock(&w->node->lock);
	return r;
}

int zcp_watch_wait(struct zcp_watch *watch, int64_t timeout)
{
	struct zcp_watch *w = watch;
	uint64_t deadline, now;

	if (forked_since(w->fork_generation))
		return error_forked();
	deadline = deadline_after(timeout);
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = w->fd, .events = POLLIN },
			{ .fd = w->node->no_thread ? w->node->epoll : -1, .events = POLLIN },
		};
		int ms = RECHECK_MS, r = look(w);

		if (r == 0)
			return 0;
		if (r == -ENOTCONN)
			return error_note(r, "the router has removed this node: no news will come; close it and open another");
		now = clock_now_ns();
		if (now >= deadline)
			return error_note(-ETIMEDOUT, "no event came in time");
		if (deadline - now < (uint64_t)RECHECK_MS * 1000000)
			ms = (int)((deadline - now) / 1000000) + 1;
		poll(p, 2, ms);
		if (p[1].revents)
			zcp_node_dispatch(w->node);
	}
}

int zcp_watch_fd(struct zcp_watch *watch)
{
	if (forked_since(watch->fork_generation))
		return error_forked();
	return watch->fd;
}

/* ---- in a wait set ----------------------------------------------------------------------------------------------- */

static uint32_t fired(struct waitset_entry *e, uint32_t events)
{
	int r = look(e->object);

	(void)events;
	return r == 0 ? POLLIN : r == -ENOTCONN ? POLLHUP : 0;
}

static const struct waitset_operations watch_operations = { .kind = ZCP_READY_WATCH, .name = "watch", .fired = fired };

int zcp_waitset_add_watch(struct zcp_waitset *waitset, struct zcp_watch *watch, void *user)
{
	if (forked_since(watch->fork_generation))
		return error_forked();
	return waitset_add_object(waitset, &watch_operations, watch->fd, watch, &watch->waiter, watch->node, user);
}

int zcp_waitset_remove_watch(struct zcp_waitset *waitset, struct zcp_watch *watch)
{
	if (forked_since(watch->fork_generation))
		return error_forked();
	return waitset_remove_object(waitset, watch->waiter, "watch");
}
