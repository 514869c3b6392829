/* SPDX-License-Identifier: MIT */
/*
 * subscriber.h - the inside of a subscriber
 *
 * One lane per matched publisher. The life of a lane, and who moves it on:
 *
 *	added		node's thread: segment mapped, lane of the lane page prepared, LANE_CHOSEN said          (lane.c)
 *	active		owner, at the next call: in lanes[], taken from in turn
 *	gone		node's thread marks its publisher's end; the owner still takes what is there
 *	drained		owner: nothing more to take; out of lanes[], counted as departed
 *	dropped		owner, when no sample of it is held: unmapped, its index free for another publisher
 *
 * A sample in the user's hands is a slot of held[], found again by index and generation. The index is also the
 * pin's number in the lane.
 */
#ifndef ZCP_LIB_SUBSCRIBER_H
#define ZCP_LIB_SUBSCRIBER_H

#include <stdalign.h>

#include "channel/reader.h"
#include "lib/endpoint.h"
#include "lib/tally.h"
#include "zcp/zcp.h"

struct connection;
struct lane_growth;

struct lane {
	struct channel_reader reader;
	uint64_t from;			/* client or server whose channel this is, or 0 */
	struct connection *connection;	/* the owner's: the same, found */
	uint64_t *seen;			/* listener: counters as they were, or NULL */
	uint64_t seen_head;
	uint32_t index;			/* in the lane page */
	bool gone, drained;		/* owner's view */
	bool slow;			/* a release has more to do than to unpin: lane_update_slow() */
	uint32_t cause;
	unsigned char *copies;
	uint64_t copies_bytes;
	struct lane_growth *growth;	/* lane-growth.h; NULL: the publisher does not grow */
	struct match match;
};

/*
 * A publisher that came while all lanes were in use by ones that are gone but not drained: the router counts
 * only the living. It is answered when an index becomes free.
 */
struct waiting {
	struct waiting *next;
	union wire_message message;	/* WRITER_ADDED */
	int fds[WIRE_FDS_MAX];
};

/* A place for a sample in the user's hands. generation: odd while it is there; each take and each release adds one. */
struct held {
	struct lane *lane;
	uint32_t generation;
	bool pinned;
	uint16_t refs;		/* users beside the first: of the latest value (latest.c) */
	alignas(8) unsigned char buffer[SLOT_INLINE_MAX];
	void *copy;		/* heap: of a message out of an extra; or NULL */
};
static_assert(sizeof(struct held) == 256, "an index becomes an address by a shift");

/* What a client or server (exchange.h) or a listener wants to know of the subscriber it is built on. The owner's thread, but for counters. */
struct subscriber_hooks {
	int (*counters)(struct zcp_subscriber *s, struct lane *lane);	/* not NULL: channels are counters. Prepare @lane. The node's thread, under lock */
	void (*looked)(struct zcp_subscriber *s);			/* news was taken in; may be NULL */
	void (*drained)(struct zcp_subscriber *s, struct lane *lane);	/* the lane's publisher is gone and nothing is left */
	bool (*ready)(struct zcp_subscriber *s);			/* whether there is something to take besides messages */
};

struct zcp_subscriber {
	struct endpoint endpoint;	/* first: what every call looks at */
	const struct subscriber_hooks *hooks;	/* or NULL */
	uint32_t n_lanes, turn;
	struct lane **lane;		/* [max_publishers], n_lanes of them active */
	uint32_t n_gone;		/* active lanes that are gone */
	bool fd_mode, armed;		/* zcp_subscriber_fd() is in use; and writers will ring */
	bool closed;			/* by its owner; lives on for samples still held */

	uint32_t n_free, max_held;
	uint32_t *free;			/* stack of indexes into held[]; last one used on top: it is still in cache */
	struct held *held;

	uint64_t departed, died;
	uint64_t received, lost, malformed;	/* of lanes that are drained, and (lost) of messages delivered */
	struct zcp_sample value;	/* what zcp_subscriber_latest() has found last; owner NULL: nothing yet */
	struct clock_calibration calibration;
	uint64_t calibrated, calibrated_for;	/* ticks: when it was fetched, how long it is good */

	uint32_t max_publishers, history;
	bool *lane_used;		/* [max_publishers]. Under lock */
	struct waiting *waiting;	/* publishers for which no index was free, oldest first. Under lock */

	struct tally_taken taken;	/* for tracers; untouched while there are none */
};

/* ---- lane.c ---- */

/* The endpoint operation: a publisher was added. */
struct match *lane_writer_added(struct endpoint *ep, const union wire_message *message, int fds[WIRE_FDS_MAX], int error);

/* The endpoint operation: a match ended before it became one. */
void lane_writer_never(struct endpoint *ep, uint64_t match);

/* The endpoint operation: the router is gone. */
void lane_router_gone(struct endpoint *ep);

/* Refuse publishers that wait. Under lock. In a forked child: only close their descriptors. */
void lane_waiting_close(struct zcp_subscriber *s, bool forked);

/* Take in what the node's thread left, and drop lanes that are gone and drained. */
void subscriber_look_at_news(struct zcp_subscriber *s);

/* Lanes whose publisher is gone and that have nothing left: count, and drop if no sample is held. */
void subscriber_drop_drained(struct zcp_subscriber *s);

/* Whether a sample of @lane is in the user's hands. */
bool lane_is_held(const struct zcp_subscriber *s, const struct lane *lane);

/* No sample of @lane is held and nothing will be taken from it: unmap, free. */
void lane_drop(struct zcp_subscriber *s, struct lane *lane);

/* Set lane->slow as things are now. */
void lane_update_slow(struct lane *lane);

/* The publisher waits for room that we made. */
void lane_wake_writer(const struct zcp_subscriber *s, struct lane *lane);

/* No copies of this lane are held and it is attached: their room is not needed any more. */
void lane_free_copies(struct lane *lane);

/* Whether a take would find something. */
bool subscriber_ready(const struct zcp_subscriber *s);

/* ---- subscriber.c ---- */

/* The newest message of @lane as a sample, skipping those before it. 0 or -EAGAIN. n_free is not 0. */
int subscriber_take_newest(struct zcp_subscriber *s, struct lane *lane, struct zcp_sample *sample);

/* A tracer has opened the gate (fork.h): *sample was taken. */
void subscriber_say_taken(struct zcp_subscriber *s, const struct zcp_sample *sample);

/* The endpoint operation: time passes. */
void subscriber_tick(struct endpoint *ep, uint64_t now_ns);

/* ---- latest.c ---- */

/* Let go of the value that was found last. */
void latest_drop(struct zcp_subscriber *s);

/* ---- subscriber-sleep.c ---- */

/* Store all cursors now, and wake publishers that wait for that: before a sleep, or when nothing more can be taken. */
void subscriber_flush(struct zcp_subscriber *s);

/*
 * take found nothing and the descriptor is in use. 0: look again; -EAGAIN: nothing, and whoever publishes next
 * will make it readable.
 */
int subscriber_rearm(struct zcp_subscriber *s);

/* Whether there is something to take, messages or what the hooks know of. */
bool subscriber_has_something(struct zcp_subscriber *s);

/* zcp_subscriber_wait() until @deadline. */
int subscriber_wait_until(struct zcp_subscriber *s, uint64_t deadline);

/* ---- subscriber-open.c ---- */

/*
 * The parts of opening and closing that clients and servers share. subscriber_init() allocates what @max_held and
 * @max_publishers need (0 or -ENOMEM); subscriber_open() asks the router, and on failure leaves what subscriber_deinit() frees.
 * *n_pending: see wire_endpoint_ready.
 */
int subscriber_init(struct zcp_subscriber *s, uint32_t max_held, uint32_t max_publishers, uint32_t history);
int subscriber_open(struct zcp_subscriber *s, struct wire_endpoint_open *message, uint32_t *n_pending);
void subscriber_deinit(struct zcp_subscriber *s);

/* Close but for the memory of the struct. True: no sample is held, and subscriber_leave() is to be called; false: by the last release. */
bool subscriber_close(struct zcp_subscriber *s);

/* Leave the node: endpoint and memory, but for the struct's. True: the node is to be freed. */
bool subscriber_leave(struct zcp_subscriber *s);

extern const struct endpoint_operations subscriber_operations;

/* The last sample of a closed subscriber was released. */
void subscriber_free(struct zcp_subscriber *s);

#endif
