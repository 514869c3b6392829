/* SPDX-License-Identifier: MIT */
/*
 * layout.h - the two segments of a channel, byte for byte
 *
 * Data segment: written by one writer, read by all its readers. Lane page: written by one reader, read by all
 * its writers. Nothing here is ever written by two processes. Lines that change at different times are kept 128
 * bytes apart because neighbouring 64-byte lines are prefetched in pairs.
 *
 * Every field that changes after set-up is a C11 atomic. What another process wrote is loaded once, checked, then used.
 */
#ifndef ZCP_CHANNEL_LAYOUT_H
#define ZCP_CHANNEL_LAYOUT_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/geometry.h"

#define CHANNEL_MAGIC 0x5a43504348414e31ull
#define LANE_PAGE_MAGIC 0x5a43504c414e4531ull
#define CHANNEL_VERSION 3u

#define CHANNEL_NEEDS_FENCE (1u << 0)	/* no membarrier in this process: it fences, and partners towards it */
#define CHANNEL_TICKS (1u << 1)		/* timestamps are raw ticks (common/clock.h), not nanoseconds */
#define CHANNEL_RELIABLE (1u << 2)
#define CHANNEL_COUNTERS (1u << 3)	/* the ring is no ring but an array of counters (counters.h) */
#define CHANNEL_GROWS (1u << 4)		/* messages may be in extras, which are segments of their own */
#define CHANNEL_HUGE (1u << 5)		/* its segments are worth huge pages: who maps them asks for some */

/* ---- data segment ------------------------------------------------------------------------------------------------ */

/*
 * Entry of attached[]: which lane the writer scans. start is stored before generation; a reader looks for its
 * own generation.
 */
struct channel_attached {
	_Atomic uint64_t generation;	/* 0: free */
	_Atomic uint64_t start;		/* head when the lane was attached: from here on the lane loses nothing uncounted */
};

/* For those who look on (zcp top); no reader needs it. All of it changes rarely. */
struct channel_counts {
	_Atomic uint64_t n_failed_loans;		/* loans that ended with -ENOBUFS */
	_Atomic uint32_t n_touched[CHANNEL_POOLS_MAX];	/* chunks of each pool that were ever lent */
};

struct channel_header {
	/* constant after set-up */
	uint64_t magic;
	uint32_t version;
	uint32_t flags;			/* CHANNEL_* */
	uint64_t endpoint, node;	/* ids of the writer */
	struct channel_geometry geometry;
	_Atomic uint32_t closed;	/* by its owner, for good: what is in the ring is all there will be */

	alignas(128) _Atomic uint64_t head;		/* messages published so far */
	alignas(128) _Atomic uint64_t tail;		/* first sequence still valid; moves before anything below it is reused */
	_Atomic uint64_t writer_ticket;			/* differs from what a reader rang last: the writer sleeps for want of room */
	alignas(128) _Atomic uint64_t attach_epoch;	/* grows with each change of attached[] */
	alignas(128) struct channel_counts counts;
	alignas(128) struct channel_attached attached[];
};
static_assert(offsetof(struct channel_header, head) % 128 == 0, "line of its own");
static_assert(offsetof(struct channel_header, tail) - offsetof(struct channel_header, head) == 128, "line of its own");

#define SLOT_HEADER_BYTES 24
#define SLOT_BYTES_MAX 256
#define SLOT_INLINE_MAX (SLOT_BYTES_MAX - SLOT_HEADER_BYTES)
#define CHANNEL_HEADER_MAX 40	/* so that a slot of 64 bytes has room for it */

/* What a message's reference says: kind in the top 4 bits (a pool number, or one of these), chunk index or id of the extra below. */
#define REF_KIND_SHIFT 28
#define REF_INDEX_MASK ((1u << REF_KIND_SHIFT) - 1)
#define REF_KIND_EXTRA 13u
#define REF_KIND_VOID 14u	/* no message: the slot's payload area was on loan when its turn came; readers skip it */
#define REF_KIND_INLINE 15u
static_assert(CHANNEL_POOLS_MAX <= REF_KIND_EXTRA, "pool numbers and kinds are distinct");
static_assert(EXTRA_ID_MAX <= REF_INDEX_MASK, "an id fits");

struct channel_slot {
	_Atomic uint64_t seq;		/* sequence + 1 of the message in it: the ready flag */
	_Atomic uint64_t timestamp;
	_Atomic uint64_t descriptor;	/* payload size in the low, reference in the high 32 bits */
	_Atomic uint64_t payload[];	/* inline payload; the last header_bytes of the slot are the message's user header */
};
static_assert(sizeof(struct channel_slot) == SLOT_HEADER_BYTES, "layout");

/* The user header is at the end of the slot, so that payloads begin at one place with and without it. */
static inline _Atomic uint64_t *slot_user_header(const struct channel_slot *slot, uint32_t slot_shift, uint32_t header_bytes)
{
	return (void *)((uintptr_t)slot + ((uintptr_t)1 << slot_shift) - header_bytes);
}

/* ---- lane page --------------------------------------------------------------------------------------------------- */

#define LANE_PAGE_FIRST 4096	/* the first page has the header and the ticket line, lanes follow */
#define LANE_PINS_FIRST 7	/* pins on the cursor's line; more pins follow on lines of their own */
#define LANES_MAX 4096u
#define HELD_MAX 1024u

struct lane_page_header {
	uint64_t magic;
	uint32_t version;
	uint32_t flags;			/* CHANNEL_NEEDS_FENCE */
	uint64_t endpoint;		/* the reader's */
	uint32_t n_lanes, max_held;
	_Atomic uint32_t closed;	/* by its owner, for good: no cursor moves, no pin counts any more */
};
static_assert(sizeof(struct lane_page_header) <= 256, "ticket lines begin at 256");

/*
 * One matched writer's view of the reader. Cursor and pins share a line: the writer looks at both at the same
 * rare moments, and the reader writes both at nearly the same time.
 */
struct channel_lane {
	_Atomic uint64_t cursor;	/* everything below is consumed */
	_Atomic uint64_t pin[];		/* sequence + 1 of a chunk message in use, or 0 */
};

/*
 * Behind a lane's pins, at its end: for those who look on (zcp top), no writer needs it. The cursor less `skipped` is how many
 * messages were taken; what was skipped is where the lane began, what was lost, and void messages.
 */
struct lane_counts {
	_Atomic uint64_t skipped;
	_Atomic uint64_t lost;		/* counted as such; also what was not delivered because it made no sense */
	_Atomic uint64_t malformed;
};

/* Bytes from one lane to the next: a multiple of 128. */
static inline uint64_t lane_stride(uint32_t max_held)
{
	return ((uint64_t)(1 + max_held) * 8 + sizeof(struct lane_counts) + 127) & ~(uint64_t)127;
}

/* The counts of @lane. */
static inline struct lane_counts *lane_counts(const struct channel_lane *lane, uint32_t max_held)
{
	return (void *)((uintptr_t)lane + lane_stride(max_held) - sizeof(struct lane_counts));
}

/*
 * The ticket of the reader's doorbell is read by every writer at every publish, so a writer with many readers
 * touches one such line in each of their pages: they are spread over the cache sets by endpoint id.
 */
static inline uint64_t lane_page_ticket_offset(uint64_t endpoint)
{
	return 256 + 64 * (endpoint % ((LANE_PAGE_FIRST - 256) / 64));
}

#endif
