/* SPDX-License-Identifier: MIT */
/* See counters.h. */

#include "channel/counters.h"

#include "channel/barrier.h"
#include "channel/geometry.h"

#define COUNTERS_PER_SLOT 8u	/* of 64 bytes, which is what payloads of 8 bytes get */

int counters_plan(struct channel_geometry *geometry, uint32_t n, uint32_t max_lanes, const char **why)
{
	struct geometry_request request = {
		.payload_max = 8,
		.depth = (n + COUNTERS_PER_SLOT - 1) / COUNTERS_PER_SLOT,
		.max_lanes = max_lanes,
		.max_loans = 1,
	};

	return geometry_plan(geometry, &request, why);
}

uint32_t counters_of(const struct channel_geometry *geometry)
{
	uint64_t n = (uint64_t)geometry->ring_slots * geometry->slot_bytes / 8;

	return n < COUNTERS_MAX ? (uint32_t)n : COUNTERS_MAX;
}

/* ---- the notifier ------------------------------------------------------------------------------------------------ */

static bool wants(const struct writer_lane *lane, uint32_t id)
{
	uint32_t word = id / 64;

	/* the reader's own memory: it hurts nobody but itself */
	return word < lane->max_held &&
	       atomic_load_explicit(&lane->lane->pin[word], memory_order_relaxed) & (UINT64_C(1) << (id % 64));
}

void counters_notify(struct channel_writer *writer, uint32_t id)
{
	struct channel_writer *w = writer;
	_Atomic uint64_t *counter = (_Atomic uint64_t *)(void *)w->ring + id;

	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
	/* release: whoever sees this head sees the counter; partner: counters_collect */
	atomic_store_explicit(&w->header->head, ++w->head, memory_order_release);
	/* partner: lane_page_arm */
	barrier_fast(w->fence);
	for (uint32_t i = 0; i < w->n_lanes; i++) {
		uint64_t ticket = atomic_load_explicit(w->ticket[i], memory_order_relaxed);

		if (__builtin_expect(ticket == w->rung[i], 1) || !wants(&w->lane[i], id))
			continue;
		w->rung[i] = ticket;
		w->ring_fn(w->ring_context, w->lane[i].peer);
	}
}

/* ---- the listener ------------------------------------------------------------------------------------------------ */

static uint64_t counter(const struct channel_reader *r, uint32_t id)
{
	return atomic_load_explicit((const _Atomic uint64_t *)(const void *)r->ring + id, memory_order_relaxed);
}

static uint32_t common(const struct channel_reader *r, uint32_t n)
{
	uint32_t theirs = counters_of(&r->geometry);

	return n < theirs ? n : theirs;
}

uint64_t counters_begin(struct channel_reader *reader, const uint64_t *interest, uint32_t n, uint64_t *seen, bool from_start)
{
	uint64_t head = atomic_load_explicit(&reader->header->head, memory_order_acquire);

	n = common(reader, n);
	for (uint32_t id = 0; id < n; id++)
		seen[id] = from_start ? 0 : counter(reader, id);
	/* the writer hears of this lane only after we said LANE_CHOSEN over two sockets: it sees all of it */
	for (uint32_t word = 0; word < reader->max_held; word++)
		atomic_store_explicit(&reader->lane->pin[word], word < counters_words(n) ? interest[word] : 0, memory_order_release);
	return from_start ? 0 : head;
}

static void collect_word(const struct channel_reader *r, uint64_t wanted, uint32_t first, uint32_t n, uint64_t *seen, uint64_t *pending,
			 uint64_t *bits)
{
	for (; wanted; wanted &= wanted - 1) {
		uint32_t id = first + (uint32_t)__builtin_ctzll(wanted);
		uint64_t now, more;

		if (id >= n)
			return;
		now = counter(r, id);
		if (now == seen[id])
			continue;
		more = now - seen[id];
		seen[id] = now;
		/* an honest one never gets there; one that lies must not make it look like nothing */
		pending[id] = pending[id] + more < more ? UINT64_MAX : pending[id] + more;
		bits[id / 64] |= UINT64_C(1) << (id % 64);
	}
}

void counters_collect(const struct channel_reader *reader, const uint64_t *interest, uint32_t n, uint64_t *seen, uint64_t *seen_head,
		      uint64_t *pending, uint64_t *bits)
{
	/* acquire: the counters behind it are at least as new; partner: counters_notify */
	uint64_t head = atomic_load_explicit(&reader->header->head, memory_order_acquire);

	if (head == *seen_head)
		return;
	*seen_head = head;
	n = common(reader, n);
	for (uint32_t word = 0; word < counters_words(n); word++)
		if (interest[word])
			collect_word(reader, interest[word], 64 * word, n, seen, pending, bits);
}
