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
#include "zcp/zcp.h"

struct lane {
	struct channel_reader reader;
	uint32_t index;			/* in the lane page */
	bool gone, drained;		/* owner's view */
	bool slow;			/* drained, or has copies: a release has more to do than to unpin */
	uint32_t cause;
	unsigned char *copies;
	uint64_t copies_bytes;
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
	alignas(8) unsigned char buffer[SLOT_INLINE_MAX];
	uint64_t reserved;	/* 256 bytes in all: an index becomes an address by a shift */
};
static_assert(sizeof(struct held) == 256, "see reserved");

struct zcp_subscriber {
	struct endpoint endpoint;	/* first: what every call looks at */
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
	struct clock_calibration calibration;
	uint64_t calibrated, calibrated_for;	/* ticks: when it was fetched, how long it is good */

	uint32_t max_publishers, history;
	bool *lane_used;		/* [max_publishers]. Under lock */
	struct waiting *waiting;	/* publishers for which no index was free, oldest first. Under lock */
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

/* The publisher waits for room that we made. */
void lane_wake_writer(struct lane *lane);

/* No copies of this lane are held and it is attached: their room is not needed any more. */
void lane_free_copies(struct lane *lane);

/* Whether a take would find something. */
bool subscriber_ready(const struct zcp_subscriber *s);

/* ---- subscriber-sleep.c ---- */

/* Store all cursors now, and wake publishers that wait for that: before a sleep, or when nothing more can be taken. */
void subscriber_flush(struct zcp_subscriber *s);

/*
 * take found nothing and the descriptor is in use. 0: look again; -EAGAIN: nothing, and whoever publishes next
 * will make it readable.
 */
int subscriber_rearm(struct zcp_subscriber *s);

/* ---- subscriber-open.c ---- */

/* The last sample of a closed subscriber was released. */
void subscriber_free(struct zcp_subscriber *s);

#endif
