/* SPDX-License-Identifier: MIT */
/*
 * geometry.h - sizes and offsets of a channel's segments: derived from what a user wants, and checked when a
 * stranger says them
 */
#ifndef ZCP_CHANNEL_GEOMETRY_H
#define ZCP_CHANNEL_GEOMETRY_H

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

/* Size of a lane page, a multiple of 4096; 0 if out of limits (n_lanes 1..4096, max_held 1..1024). */
uint64_t lane_page_bytes(uint32_t n_lanes, uint32_t max_held);

#endif
