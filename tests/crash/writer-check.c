/* SPDX-License-Identifier: MIT */
/* See writer-check.h. */
#include "writer-check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "channel/pool.h"

static const char *wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *wrong(const char *format, ...)
{
	static char text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return text;
}

/* Places in which a chunk was found; each gets exactly one. */
enum place {
	NOWHERE,
	FREE,
	FRESH,
	RING,
	LIMBO,
	LOANED,
};

static const char *put(uint8_t *places, const struct writer_pool *pool, uint32_t number, uint32_t index, enum place place)
{
	if (index >= pool->count)
		return wrong("pool %u has no chunk %u (place %d)", number, index, (int)place);
	if (places[index] != NOWHERE)
		return wrong("pool %u, chunk %u is in two places: %d and %d", number, index, places[index], (int)place);
	if ((place == LOANED) != (pool->state[index] == CHUNK_LOANED))
		return wrong("pool %u, chunk %u in place %d: state %d", number, index, (int)place, pool->state[index]);
	places[index] = (uint8_t)place;
	return NULL;
}

static const char *check_pool(const struct channel_writer *w, uint32_t number, uint8_t *places, uint32_t *n_loaned)
{
	const struct writer_pool *pool = &w->pool[number];
	const char *why = NULL;

	if (pool->n_free > pool->count || pool->n_fresh > pool->count)
		return wrong("pool %u: %u free, %u fresh of %u", number, pool->n_free, pool->n_fresh, pool->count);
	for (uint32_t i = 0; i < pool->n_free && !why; i++)
		why = put(places, pool, number, pool->free[i], FREE);
	for (uint32_t i = pool->count - pool->n_fresh; i < pool->count && !why; i++)
		why = put(places, pool, number, i, FRESH);
	for (uint64_t seq = w->tail; seq != w->head && !why; seq++)
		if (w->slot_ref[seq & w->mask] >> REF_KIND_SHIFT == number)
			why = put(places, pool, number, w->slot_ref[seq & w->mask] & REF_INDEX_MASK, RING);
	for (uint32_t i = 0; i < w->n_limbo && !why; i++)
		if (w->limbo[i].ref >> REF_KIND_SHIFT == number)
			why = put(places, pool, number, w->limbo[i].ref & REF_INDEX_MASK, LIMBO);
	for (uint32_t i = 0; i < pool->count && !why; i++) {
		if (places[i] == NOWHERE && pool->state[i] != CHUNK_LOANED)
			why = wrong("pool %u, chunk %u is lost", number, i);
		*n_loaned += pool->state[i] == CHUNK_LOANED;
	}
	return why;
}

static const char *check_pools(const struct channel_writer *w, uint32_t *n_loaned)
{
	const char *why = NULL;

	for (uint32_t i = 0; i < w->n_pools && !why; i++) {
		uint8_t *places = calloc(w->pool[i].count, 1);

		why = places ? check_pool(w, i, places, n_loaned) : wrong("out of memory");
		free(places);
	}
	for (uint64_t i = 0; w->n_pools && i < (w->mask + 64) / 64 && !why; i++)
		if (w->pinned[i])
			why = wrong("notes of a scan are left: word %llu is 0x%llx", (unsigned long long)i, (unsigned long long)w->pinned[i]);
	for (uint32_t i = 0; i < w->n_limbo && !why; i++)
		if (w->limbo[i].keep || w->limbo[i].seq >= w->tail || (i && w->limbo[i].seq <= w->limbo[i - 1].seq))
			why = wrong("limbo entry %u: sequence %llu, tail %llu", i, (unsigned long long)w->limbo[i].seq, (unsigned long long)w->tail);
	return why;
}

static const char *check_lanes(const struct channel_writer *w)
{
	uint32_t pins = 0, fences = 0, attached = 0;

	for (uint32_t i = 0; i < w->n_lanes; i++) {
		const struct writer_lane *l = &w->lane[i];

		pins += l->max_held;
		fences += l->needs_fence;
		if (atomic_load(&w->header->attached[l->attached_index].generation) != l->generation)
			return wrong("lane %u is not in its entry %u", i, l->attached_index);
	}
	for (uint32_t i = 0; i < w->geometry.max_lanes; i++)
		attached += atomic_load(&w->header->attached[i].generation) != 0;
	if (pins != w->n_pins || fences != w->n_fence_lanes || attached != w->n_lanes)
		return wrong("%u lanes with %u pins and %u fences, counted %u, %u, %u", w->n_lanes, w->n_pins, w->n_fence_lanes, attached, pins, fences);
	if (w->n_pools && (w->n_limbo > w->limbo_room || w->n_pins > w->limbo_room || w->n_pins > w->geometry.held_budget))
		return wrong("%u pins, %u in limbo, room for %u, budget %u", w->n_pins, w->n_limbo, w->limbo_room, w->geometry.held_budget);
	return NULL;
}

const char *channel_writer_check(const struct channel_writer *writer)
{
	uint32_t n_loaned = (uint32_t)__builtin_popcountll(writer->inslot_mask);
	const char *why;

	if (atomic_load(&writer->header->head) != writer->head || atomic_load(&writer->header->tail) != writer->tail)
		return wrong("the header's head and tail are not the writer's");
	if (writer->head - writer->tail > writer->mask + 1 || writer->limit != writer->tail + writer->mask + 1)
		return wrong("head %llu, tail %llu, limit %llu", (unsigned long long)writer->head, (unsigned long long)writer->tail,
			     (unsigned long long)writer->limit);
	why = check_lanes(writer);
	if (!why)
		why = check_pools(writer, &n_loaned);
	for (uint32_t i = 0; writer->scratch && i < writer->max_loans; i++)
		n_loaned += writer->scratch_used[i];
	if (!why && n_loaned != writer->n_loans)
		why = wrong("%u loans, counted %u", writer->n_loans, n_loaned);
	return why;
}
