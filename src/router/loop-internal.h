/* SPDX-License-Identifier: MIT */
/*
 * loop-internal.h - what the two backends share
 */
#ifndef ZCP_ROUTER_LOOP_INTERNAL_H
#define ZCP_ROUTER_LOOP_INTERNAL_H

#include "router/loop.h"

struct loop_backend {
	const char *name;
	enum loop_kind kind;
	int (*run)(struct loop *loop);
	int (*attach)(struct loop *loop, struct loop_link *link);	/* link->fd is set */
	int (*watch)(struct loop *loop, struct loop_watch *watch);	/* watch->fd is set */
	void (*unwatch)(struct loop *loop, struct loop_watch *watch);
	void (*close)(struct loop *loop);
};

/* Embedded first in each backend's own struct. */
struct loop {
	const struct loop_backend *backend;
	const struct loop_events *events;
	void *context;
	int listen_fd;
	int signal_fd;
	int spare_fd;			/* given up for a moment when accept says EMFILE */
	bool stopping, stop_reported;
	unsigned int n_links;
	uint64_t tick_ns, next_tick_ns;
	uint64_t stop_deadline_ns;
	struct loop_link *dirty_first, *dirty_last;
};

/* 0 and *loop, or a negative errno value; they log nothing. */
int loop_uring_open(struct loop **loop);
int loop_epoll_open(struct loop **loop);

void loop_make_dirty(struct loop *loop, struct loop_link *link);
struct loop_link *loop_pop_dirty(struct loop *loop);

/* Emit an event and settle. */
#define loop_emit(loop, event, ...)                                                     \
	__extension__({                                                                 \
		int emit_r_ = (loop)->events->event((loop)->context, ##__VA_ARGS__);    \
		emit_r_ < 0 ? emit_r_ : (loop)->events->settle((loop)->context);        \
	})

/* Read all signals that are there. */
int loop_dispatch_signals(struct loop *loop);

/* Run the tick if it is due and advance the next one. */
int loop_dispatch_tick(struct loop *loop);

/*
 * Take connections from the listening socket without blocking; those for which there is no
 * descriptor are shed by means of the spare one. *exhausted says whether that happened, or the
 * accept failed for want of memory. 0, or an event's failure.
 */
int loop_accept_now(struct loop *loop, bool *exhausted);

/* Report `stopping` once, if that is due. */
int loop_dispatch_stop(struct loop *loop);

/* Done when stopping and nothing is left to be detached (or a detach takes unreasonably long). */
bool loop_is_done(const struct loop *loop);

#endif
