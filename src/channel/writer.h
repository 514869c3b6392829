/* SPDX-License-Identifier: MIT */
/*
 * writer.h - the one process that writes a channel
 *
 * Plain memory operations on a mapped data segment; no descriptors, no allocation after init, no system call
 * but membarrier. Waking is left to the owner through a callback. Not thread-safe: one thread at a time per
 * writer.
 *
 * Think of the ring as a tape: sequences tail..head-1 are valid. Publishing appends at head; retiring
 * (retire.c) moves tail and returns the chunks below it to their pool, save those a reader has pinned, which
 * wait in limbo.
 */
#ifndef ZCP_CHANNEL_WRITER_H
#define ZCP_CHANNEL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/layout.h"

#define WRITER_BATCH_MAX 64

/* Private allocation state of one pool (pool.c). */
struct writer_pool {
	uint32_t *free;			/* stack of chunk indexes, last freed on top: it is the one still in cache */
	uint32_t n_free;
	uint32_t n_fresh;		/* chunks never handed out yet, taken from the end when the stack is empty */
	uint8_t *state;			/* enum chunk_state, one per chunk */
	uint32_t count;
	uint32_t room;			/* largest payload: chunk size, or payload_max if that is less */
	uint32_t stride_shift;		/* log2 of the stride, or 0: no power of two */
	uint32_t early;			/* large chunks: reuse the one just consumed while it is still in cache */
	uint64_t stride_bytes;
	unsigned char *base, *end;	/* chunk 0, and behind the last */
	_Atomic uint32_t *n_touched;	/* in the segment's header */
};

/* A segment of one chunk (extra.h). */
struct writer_extra {
	unsigned char *base;		/* NULL: there is none in this place */
	uint64_t bytes;
	uint64_t used;			/* head when it was lent last, or came back */
	uint32_t id;
	uint8_t state;			/* enum chunk_state */
	bool free;
	bool leaving;			/* not to be lent again */
};

/* A retired chunk that a reader still has pinned. */
struct writer_limbo {
	uint64_t seq;
	uint32_t ref;
	uint32_t keep;			/* found pinned in the scan under way */
};

/* One attached lane, apart from the two arrays that publish walks. */
struct writer_lane {
	const struct channel_lane *lane;
	uint64_t generation;
	uint32_t max_held;
	uint32_t attached_index;
	bool lossy;
	bool needs_fence;
	void *peer;			/* for the ring callback */
};

typedef void (*writer_ring_fn)(void *context, void *peer);
typedef void (*writer_idle_fn)(void *context);

enum writer_stamp {
	WRITER_STAMP_NS = 0,	/* CLOCK_MONOTONIC, about 30 ns a message */
	WRITER_STAMP_TICKS,	/* raw ticks, about 10 ns; readers convert */
	WRITER_STAMP_NONE,	/* timestamp 0 */
};

struct writer_options {
	uint64_t endpoint, node;
	bool reliable;
	bool counters;			/* for counters.h; nothing is published */
	enum writer_stamp stamp;
	writer_ring_fn ring;		/* write a reader's doorbell; must not call back into the writer */
	void *ring_context;
	bool huge;			/* readers shall ask for huge pages */
	bool grow;			/* payloads up to EXTRA_BYTES_MAX: those over payload_max are in extras (extra.h) */
	writer_idle_fn idle;		/* grow: extra_drop() will find one; must not call back into the writer. With ring_context */
};

struct channel_writer {
	/* publish */
	unsigned char *ring;
	struct channel_header *header;
	uint64_t head, tail;
	uint64_t limit;			/* head may grow up to here without looking at room: tail + R */
	uint64_t mask;			/* R - 1 */
	uint32_t slot_shift;
	uint32_t inline_max;
	bool reliable;
	bool fence;			/* we or some lane's reader have no membarrier */
	bool self_fence;
	enum writer_stamp stamp;
	uint32_t n_lanes, n_fence_lanes;
	const _Atomic uint64_t **ticket;	/* [n_lanes] each reader's doorbell ticket ... */
	uint64_t *rung;				/* [n_lanes] ... and the last one we rang for */
	uint32_t header_bytes;			/* of the user header in each slot, or 0 */
	uint64_t user_header[CHANNEL_HEADER_MAX / 8];	/* of the next message */
	uint32_t *slot_ref;			/* [R] private copy of what each slot refers to; NULL without chunks */
	writer_ring_fn ring_fn;
	void *ring_context;

	/* loans */
	uint64_t inslot_first;		/* sequence of the first slot of the batch whose payload areas are on loan */
	uint64_t inslot_mask;		/* bit i: the area of slot inslot_first + i is on loan */
	uint32_t last_pool;		/* the pool loaned from last: a pointer is looked for there first */
	uint32_t last_ref;		/* the chunk loaned last, if last_payload is not NULL */
	void *last_payload;
	uint8_t *last_state;
	size_t last_room;
	uint32_t n_loans, max_loans;
	unsigned char *scratch;		/* without pools: max_loans areas for loans beside open in-slot ones */
	uint8_t *scratch_used;

	/* retire */
	struct writer_lane *lane;	/* [n_lanes] */
	struct writer_pool pool[CHANNEL_POOLS_MAX];
	uint32_t n_pools;
	struct writer_extra *extra;	/* [EXTRAS_MAX]; NULL: this writer does not grow */
	uint32_t n_extras, n_free_extras;
	uint64_t idle_check;		/* head at which to look for idle extras */
	writer_idle_fn idle_fn;
	struct writer_limbo *limbo;
	uint32_t n_limbo, limbo_room;
	uint64_t *pinned;		/* bitmap over slots, all clear between scans */
	uint32_t n_pins;		/* of all lanes together */
	uint32_t n_expected;		/* lanes under way: nothing is "consumed" before they are here */
	struct channel_geometry geometry;
};

/*
 * Set up a writer on @memory (the freshly mapped, zeroed data segment of geometry->segment_bytes) and write its
 * constant header. barrier_register() is called. 0, -EINVAL (geometry), -ENOMEM.
 */
int channel_writer_init(struct channel_writer *writer, void *memory, const struct channel_geometry *geometry,
			const struct writer_options *options);

/* Free private memory; the segment stays as it is, readable for those who map it. */
void channel_writer_deinit(struct channel_writer *writer);

/*
 * Start to scan lane @lane of the lane page @page of subscriber @subscriber, whose page was sized for @n_lanes
 * and @max_held (said by the router, checked against lane_page_bytes by the caller). @generation: the match.
 * @peer goes to the ring callback. From the return on the reader gets every message; it is rung for at once,
 * since it may be asleep already. 0; -ENOSPC (max_lanes, or held_budget); -EEXIST; -EINVAL.
 */
int channel_writer_attach(struct channel_writer *writer, uint64_t generation, const void *page, uint32_t n_lanes,
			  uint32_t max_held, uint32_t lane, uint64_t subscriber, bool lossy, void *peer);

/* Stop to scan it; its pins and cursor count no more. Returns the peer of the lane through *peer. 0, -ENOENT. */
int channel_writer_detach(struct channel_writer *writer, uint64_t generation, void **peer);

/*
 * See zcp_publisher_loan() etc. for meaning. -EAGAIN: a reliable lane has no room; to wait, call
 * channel_writer_arm(), try again, and sleep if it still says -EAGAIN. -ENOBUFS: max_loans, or chunks run dry.
 * -EMSGSIZE, -EINVAL. -EXFULL: a writer that grows has no extra free that @size fits into; see extra.h.
 */
int channel_writer_loan(struct channel_writer *writer, size_t size, void **payload);
int channel_writer_loan_batch(struct channel_writer *writer, size_t size, void **payloads, int n);
int channel_writer_publish(struct channel_writer *writer, void *payload, size_t size);
int channel_writer_publish_batch(struct channel_writer *writer, void **payloads, const size_t *sizes, int n);
int channel_writer_discard(struct channel_writer *writer, void *payload);
int channel_writer_send(struct channel_writer *writer, const void *data, size_t size);

/*
 * The user header of the next message: @size bytes (<= geometry.header_bytes), the rest is zero. A message for which none
 * was set has zeroes.
 */
void channel_writer_set_header(struct channel_writer *writer, const void *header, size_t size);

/*
 * Ask readers to wake us: writer_ticket++ and the rare barrier. Partner: the reader's cursor store (reader.c:
 * reader_store_cursor).
 */
void channel_writer_arm(struct channel_writer *writer);

/* Whether the next message would find room: what a waiting writer looks at. */
bool channel_writer_has_room(struct channel_writer *writer);

#endif
