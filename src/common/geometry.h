/* SPDX-License-Identifier: MIT */
/*
 * geometry.h - the numbers that describe a data segment
 *
 * A publisher's data segment is fully described by this one struct: how many slots its ring has, how large a
 * slot is, which chunk pools follow. The struct travels twice: in the request that asks the router for the
 * segment (the router sizes the memfd by it), and in the segment's constant header (a reader copies it once at
 * attach time and checks every later index against its copy). It is therefore input from a stranger in both
 * places; channel/geometry.h has the function that checks it, and the one that derives it from what a user
 * asked for. It lives in common because the wire protocol carries it and the channel must not include a
 * control-plane header.
 */
#ifndef ZCP_COMMON_GEOMETRY_H
#define ZCP_COMMON_GEOMETRY_H

#include <assert.h>
#include <stdint.h>

#define CHANNEL_POOLS_MAX 12

/*
 * Extras: segments of one chunk each, that a publisher which grows asks for one by one. Their sizes are powers of two. An extra's
 * id is its place in a table of EXTRAS_MAX (the remainder), and counts up with each segment that takes this place, so that an id
 * is not used again before 4 million others were.
 */
#define EXTRAS_MAX 64u
#define EXTRA_BYTES_MIN (64u << 10)
#define EXTRA_BYTES_MAX (2ull << 30)
#define EXTRA_ID_MAX ((1u << 28) - 1)

/* One pool of equally sized chunks. */
struct channel_pool {
	uint32_t chunk_bytes;	/* largest payload that fits in a chunk */
	uint32_t count;		/* chunks in the pool */
	uint64_t stride_bytes;	/* distance between two chunks, >= chunk_bytes, a multiple of 64 */
	uint64_t offset;	/* of chunk 0 in the segment */
};
static_assert(sizeof(struct channel_pool) == 24, "wire layout");

struct channel_geometry {
	uint64_t segment_bytes;	/* size of the whole memfd, a multiple of 4096 */
	uint64_t ring_offset;	/* of slot 0 in the segment */
	uint32_t ring_slots;	/* R, a power of two; larger than depth so that a batch of R/4 never eats into it */
	uint32_t slot_bytes;	/* 64, 128 or 256 */
	uint32_t depth;		/* messages a lagging lossy reader may be behind before it loses one */
	uint32_t history;	/* consumed messages kept for late joiners, <= depth */
	uint32_t payload_max;	/* largest payload in bytes */
	uint32_t alignment;	/* of chunk payloads, a power of two, 64..4096 */
	uint32_t max_lanes;	/* entries of attached[] */
	uint32_t held_budget;	/* samples that all readers together may hold without starving the writer */
	uint32_t max_loans;	/* loans the writer may have open at once */
	uint32_t n_pools;	/* 0 when every payload fits inline */
	uint32_t header_bytes;	/* user header that each message has beside its payload, at the end of its slot: 0..40, a multiple of 8 */
	uint32_t reserved;	/* zero */
	struct channel_pool pool[CHANNEL_POOLS_MAX];
};
static_assert(sizeof(struct channel_geometry) == 64 + 24 * CHANNEL_POOLS_MAX, "wire layout");

#endif
