/* SPDX-License-Identifier: MIT */
/*
 * geometry.c - sizes and offsets of a channel's segments
 *
 * There is exactly one layout for a given set of counts: lay_out() computes it. Planning chooses counts and
 * lays out; checking takes a stranger's counts, looks at their limits, lays out anew, and compares every byte.
 * So there is no second description of the layout that could disagree.
 *
 * Segments are sparse: a page that was never touched costs nothing. Pools are therefore sized for the worst
 * case (every slot of the ring refers to a chunk, readers hold all they may, all loans are open), and how much
 * memory a publisher really uses follows from how far its readers lag.
 */
#include "channel/geometry.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "channel/layout.h"

#define PAGE 4096u
#define RING_SLOTS_MIN 8u
#define SMALLEST_CLASS 64u
#define CLASS_STEP 4u

static uint64_t align_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

static bool power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

static uint64_t pow2_ceil(uint64_t v)
{
	uint64_t p = 1;

	while (p < v)
		p <<= 1;
	return p;
}

/*
 * Distance between two chunks. Chunks of whole pages would all begin in the same cache set, and their first
 * lines (which is all that some readers look at) would throw each other out; two lines more per chunk spread
 * them. Not where page alignment was asked for.
 */
static uint64_t chunk_stride(uint32_t chunk_bytes, uint32_t alignment)
{
	uint64_t stride = align_up(chunk_bytes, alignment);

	if (stride >= PAGE && stride % PAGE == 0 && alignment <= 64)
		stride += 128;
	return stride;
}

/* Everything that follows from the counts. Overflow-free for counts within the limits of counts_ok(). */
static void lay_out(struct channel_geometry *g)
{
	uint64_t at = align_up(sizeof(struct channel_header) + g->max_lanes * sizeof(struct channel_attached), PAGE);
	uint32_t chunk = (uint32_t)align_up(g->payload_max, SMALLEST_CLASS);
	uint32_t count = g->ring_slots + g->held_budget + g->max_loans;

	g->ring_offset = at;
	at = align_up(at + (uint64_t)g->ring_slots * g->slot_bytes, PAGE);
	g->n_pools = 0;
	memset(g->pool, 0, sizeof(g->pool));
	if (g->payload_max <= geometry_inline_max(g)) {
		g->segment_bytes = at;
		return;
	}

	/* classes from the largest down in steps of four; each could serve the whole ring alone */
	while (g->n_pools < CHANNEL_POOLS_MAX) {
		struct channel_pool *p = &g->pool[g->n_pools++];

		p->chunk_bytes = chunk;
		p->count = count;
		p->stride_bytes = chunk_stride(chunk, g->alignment);
		p->offset = align_up(at, PAGE);
		at = p->offset + p->stride_bytes * count;
		if (chunk <= SMALLEST_CLASS || chunk <= geometry_inline_max(g))
			break;
		chunk = (uint32_t)align_up(chunk / CLASS_STEP, SMALLEST_CLASS);
	}
	g->segment_bytes = align_up(at, PAGE);
}

static const char *counts_fault(const struct channel_geometry *g)
{
	if (g->payload_max < 1 || g->payload_max > GEOMETRY_PAYLOAD_MAX)
		return "payload_max is over 2 GiB";
	if (g->slot_bytes != 64 && g->slot_bytes != 128 && g->slot_bytes != 256)
		return "the slot size is not 64, 128 or 256";
	if (g->depth < 1 || g->depth > GEOMETRY_DEPTH_MAX)
		return "depth is over 1048576";
	if (g->history > g->depth)
		return "history is larger than depth";
	if (!power_of_two(g->ring_slots) || g->ring_slots < RING_SLOTS_MIN || g->ring_slots > 2 * GEOMETRY_DEPTH_MAX ||
	    g->depth > g->ring_slots - g->ring_slots / 4)
		return "the ring does not fit the depth";
	if (!power_of_two(g->alignment) || g->alignment < 64 || g->alignment > PAGE)
		return "the alignment is not a power of two up to 4096";
	if (g->max_lanes < 1 || g->max_lanes > LANES_MAX)
		return "max_subscribers is over 4096";
	if (g->max_loans < 1 || g->max_loans > 4096)
		return "max_loans is over 4096";
	if (g->held_budget > (1u << 20))
		return "max_held is over 1048576";
	if (g->header_bytes > CHANNEL_HEADER_MAX || g->header_bytes % 8 || g->reserved)
		return "the header is over 40 bytes";
	return NULL;
}

/* Where payloads are in chunks, slots are as small as they can be, but with room for a user header. */
static uint32_t smallest_slot(uint64_t payload_max, uint32_t header_bytes)
{
	for (uint32_t bytes = 64; bytes <= SLOT_BYTES_MAX; bytes *= 2)
		if (payload_max <= bytes - SLOT_HEADER_BYTES - header_bytes)
			return bytes;
	return 64;
}

/* Small messages: a thousand may wait. Large ones: a few megabytes. */
static uint32_t default_depth(uint64_t payload_max)
{
	uint64_t depth = (256u << 10) / payload_max;
	uint32_t p = 4;

	while (p < 1024 && p * 2 <= depth)
		p *= 2;
	return p;
}

static uint32_t default_held_budget(uint64_t payload_max)
{
	uint64_t n = (256u << 20) / payload_max;

	return n < 32 ? 32 : n > 1024 ? 1024 : (uint32_t)n;
}

int geometry_plan(struct channel_geometry *geometry, const struct geometry_request *request, const char **why)
{
	struct channel_geometry g;
	uint64_t payload_max = request->payload_max;

	memset(&g, 0, sizeof(g));
	if (payload_max < 1 || payload_max > GEOMETRY_PAYLOAD_MAX) {
		*why = payload_max ? "payload_max is over 2 GiB" : "payload_max is 0";
		return -EINVAL;
	}
	g.payload_max = (uint32_t)payload_max;
	if (request->header_bytes > CHANNEL_HEADER_MAX) {
		*why = "the header is over 40 bytes";
		return -EINVAL;
	}
	g.header_bytes = (uint32_t)align_up(request->header_bytes, 8);
	g.slot_bytes = smallest_slot(payload_max, g.header_bytes);
	g.alignment = request->alignment < 64 ? 64 : request->alignment;
	g.depth = request->depth ? request->depth : default_depth(payload_max);
	if (!request->depth && request->history > g.depth && request->history <= GEOMETRY_DEPTH_MAX)
		g.depth = request->history;
	g.history = request->history;
	if (g.depth <= GEOMETRY_DEPTH_MAX)
		g.ring_slots = (uint32_t)pow2_ceil(((uint64_t)g.depth * 4 + 2) / 3);
	if (g.ring_slots < RING_SLOTS_MIN)
		g.ring_slots = RING_SLOTS_MIN;
	g.max_lanes = request->max_lanes ? request->max_lanes : 256;
	g.max_loans = request->max_loans ? request->max_loans : payload_max > (64u << 10) ? 8 : 64;
	if (payload_max > geometry_inline_max(&g))
		g.held_budget = request->held_budget ? request->held_budget : default_held_budget(payload_max);

	*why = counts_fault(&g);
	if (*why)
		return -EINVAL;
	lay_out(&g);
	if (g.segment_bytes > GEOMETRY_SEGMENT_MAX) {
		*why = "payload_max times depth is over 16 TiB";
		return -EINVAL;
	}
	*geometry = g;
	return 0;
}

int geometry_check(const struct channel_geometry *geometry)
{
	struct channel_geometry g = *geometry;

	if (counts_fault(&g))
		return -EINVAL;
	lay_out(&g);
	if (g.segment_bytes > GEOMETRY_SEGMENT_MAX || memcmp(&g, geometry, sizeof(g)))
		return -EINVAL;
	return 0;
}

uint64_t lane_page_bytes(uint32_t n_lanes, uint32_t max_held)
{
	if (n_lanes < 1 || n_lanes > LANES_MAX || max_held < 1 || max_held > HELD_MAX)
		return 0;
	return align_up(LANE_PAGE_FIRST + n_lanes * lane_stride(max_held), PAGE);
}
