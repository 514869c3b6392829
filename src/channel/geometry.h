/* SPDX-License-Identifier: MIT */
/*
 * geometry.h - sizes and offsets of a channel's segments: derived from what a user wants, and checked when a
 * stranger says them
 */
#ifndef ZCP_CHANNEL_GEOMETRY_H
#define ZCP_CHANNEL_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/geometry.h"

#define GEOMETRY_PAYLOAD_MAX 0x80000000u
#define GEOMETRY_DEPTH_MAX (1u << 20)
#define GEOMETRY_SEGMENT_MAX (1ull << 44)

/* What a user asks for; zero means the default. */
struct geometry_request {
	uint64_t payload_max;
	uint32_t depth, history, max_lanes, max_loans, held_budget, alignment;
	uint32_t header_bytes;	/* rounded up to a multiple of 8 */
};

/*
 * Derive a geometry from @request. 0, or -EINVAL with *why pointing to a phrase for the user ("depth is over 1048576").
 */
int geometry_plan(struct channel_geometry *geometry, const struct geometry_request *request, const char **why);

/*
 * Check a geometry a stranger sent: every field within limits, and all offsets and the segment size exactly
 * what geometry_plan() would have laid out for its counts. 0 or -EINVAL.
 */
int geometry_check(const struct channel_geometry *geometry);

/* Largest payload that travels inside a slot. */
static inline uint32_t geometry_inline_max(const struct channel_geometry *geometry)
{
	return geometry->slot_bytes - 24 - geometry->header_bytes;
}

/* Size of the extra for a payload of @size bytes (<= EXTRA_BYTES_MAX). */
static inline uint64_t extra_bytes(uint64_t size)
{
	return size <= EXTRA_BYTES_MIN ? EXTRA_BYTES_MIN : 1ull << (64 - __builtin_clzll(size - 1));
}

/* Whether an extra may have this id and this size. */
static inline bool extra_is_possible(uint32_t id, uint64_t bytes)
{
	return id >= EXTRAS_MAX && id <= EXTRA_ID_MAX && bytes >= EXTRA_BYTES_MIN && bytes <= EXTRA_BYTES_MAX && !(bytes & (bytes - 1));
}

/* Size of a lane page, a multiple of 4096; 0 if out of limits (n_lanes 1..4096, max_held 1..1024). */
uint64_t lane_page_bytes(uint32_t n_lanes, uint32_t max_held);

#endif
