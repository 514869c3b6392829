/* SPDX-License-Identifier: MIT */
/*
 * bench-floor.c - the least that any transport has to do for the same job
 *
 * These loops have no headers, no pools, no lists of subscribers, no loss accounting and no safety; what zcp
 * costs above them is the price of those. They are meant to be hard to beat: when one of them is slow for a
 * reason of its own, a good ratio beside it says nothing.
 *
 *  lines      one 64-byte line each way, release store and acquire load, nothing else: what the coherence fabric takes for a hop
 *  eventfd    write and blocking read of an eventfd each way: what the kernel takes to wake somebody
 *  ring       single producer, single consumer, a flag in each slot, the consumer's cursor stored every R/8
 *             messages: as many lines a message as zcp moves, no look back at the consumer while there is room, and
 *             a consumer that polls
 *  buffers    two alternating buffers, written by memcpy and summed on the other side: what bulk data takes from core to core
 *  memcpy     the same bytes copied once in one process
 *  scan       one load and compare in each of N pages: what a publisher must at least look at to know that nobody sleeps
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench-pingpong.h"
#include "tools/bench.h"

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* Wait until @line has @n. Acquire: partner is the release store of the other side's trip. */
PINGPONG_INLINE int await_line(struct worker *w, _Atomic uint64_t *line, uint64_t n)
{
	struct spin spin = { 0 };

	while (atomic_load_explicit(line, memory_order_acquire) != n)
		if (worker_spin(w, &spin))
			return -1;
	return 0;
}

PINGPONG_INLINE int lines_ping(struct worker *w, void *arg)
{
	struct floor_lines_end *end = arg;
	uint64_t n = ++end->n;

	atomic_store_explicit(&end->lines->ping, n, memory_order_release);
	return await_line(w, &end->lines->pong, n);
}

PINGPONG_INLINE int lines_pong(struct worker *w, void *arg)
{
	struct floor_lines_end *end = arg;
	uint64_t n = ++end->n;

	if (await_line(w, &end->lines->ping, n))
		return -1;
	atomic_store_explicit(&end->lines->pong, n, memory_order_release);
	return 0;
}

int floor_lines_lead(struct worker *w, struct floor_lines_end *end, const struct pingpong_plan *plan, struct pingpong_result *result)
{
	return pingpong_lead(w, lines_ping, end, plan, result);
}

int floor_lines_follow(struct worker *w, struct floor_lines_end *end, const struct pingpong_plan *plan)
{
	return pingpong_follow(w, lines_pong, end, plan);
}

/* ---- eventfd ----------------------------------------------------------------------------------------------------- */

static int ring_fd(struct worker *w, int fd)
{
	uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one) ? 0 : worker_fail(w, "write to an eventfd: %s", strerror(errno));
}

/* Blocks without a deadline of its own: the parent kills us when the partner is gone or time is up. */
static int await_fd(struct worker *w, int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? 0 : worker_fail(w, "read of an eventfd: %s", strerror(errno));
}

PINGPONG_INLINE int eventfd_ping(struct worker *w, void *arg)
{
	struct floor_eventfd_end *end = arg;

	return ring_fd(w, end->ping) || await_fd(w, end->pong) ? -1 : 0;
}

PINGPONG_INLINE int eventfd_pong(struct worker *w, void *arg)
{
	struct floor_eventfd_end *end = arg;

	return await_fd(w, end->ping) || ring_fd(w, end->pong) ? -1 : 0;
}

int floor_eventfd_lead(struct worker *w, struct floor_eventfd_end *end, const struct pingpong_plan *plan, struct pingpong_result *result)
{
	return pingpong_lead(w, eventfd_ping, end, plan, result);
}

int floor_eventfd_follow(struct worker *w, struct floor_eventfd_end *end, const struct pingpong_plan *plan)
{
	return pingpong_follow(w, eventfd_pong, end, plan);
}

/* ---- ring -------------------------------------------------------------------------------------------------------- */

struct floor_slot {
	_Atomic uint64_t seq;		/* message number + 1: the ready flag */
	uint64_t words[];
};

static inline size_t slot_bytes(enum floor_layout layout)
{
	return layout == FLOOR_TWO_LINES ? 128 : 64;
}

size_t floor_ring_bytes(enum floor_layout layout, uint64_t slots)
{
	return sizeof(struct floor_ring) + slots * slot_bytes(layout) + (layout == FLOOR_SLOT_AND_CHUNK ? slots * 64 : 0);
}

PINGPONG_INLINE struct floor_slot *ring_slot(const struct floor_ring_end *end, enum floor_layout layout, uint64_t n)
{
	return (void *)(end->ring->memory + (n & (end->slots - 1)) * slot_bytes(layout));
}

/* Where the payload of message @n lies, and its words. */
PINGPONG_INLINE uint64_t *ring_payload(const struct floor_ring_end *end, enum floor_layout layout, struct floor_slot *slot, uint64_t n)
{
	switch (layout) {
	case FLOOR_ONE_LINE:
		return slot->words;
	case FLOOR_TWO_LINES:
		return slot->words + 2;
	default:
		return (void *)(end->ring->memory + end->slots * 64 + (n & (end->slots - 1)) * 64);
	}
}

PINGPONG_INLINE int produce(struct worker *w, struct floor_ring_end *end, enum floor_layout layout, uint32_t messages)
{
	int words = layout == FLOOR_ONE_LINE ? 7 : 8;
	/*
	 * acquire, here and below: the consumer has read what we are about to overwrite; partner: its release
	 * store in consume
	 */
	uint64_t n = end->n, stop = n + messages, room = atomic_load_explicit(&end->ring->cursor, memory_order_acquire) + end->slots;

	for (; n < stop; n++) {
		struct floor_slot *slot = ring_slot(end, layout, n);
		struct spin spin = { 0 };

		while (n == room) {
			room = atomic_load_explicit(&end->ring->cursor, memory_order_acquire) + end->slots;
			if (n == room && worker_spin(w, &spin))
				return -1;
		}
		bench_fill(ring_payload(end, layout, slot, n), words, n);
		if (layout != FLOOR_ONE_LINE)
			slot->words[1] = n;	/* stands for the descriptor */
		atomic_store_explicit(&slot->seq, n + 1, memory_order_release);
	}
	end->n = n;
	return 0;
}

PINGPONG_INLINE int consume(struct worker *w, struct floor_ring_end *end, enum floor_layout layout, uint32_t messages, uint64_t *ticks)
{
	int words = layout == FLOOR_ONE_LINE ? 7 : 8;
	uint64_t n = end->n, stop = n + messages, batch = end->slots / 8, start = 0, wrong = 0;

	for (; n < stop; n++) {
		struct floor_slot *slot = ring_slot(end, layout, n);
		struct spin spin = { 0 };
		uint64_t number = n;

		while (atomic_load_explicit(&slot->seq, memory_order_acquire) != n + 1)
			if (worker_spin(w, &spin))
				return -1;
		if (!start)
			start = worker_ticks(w);
		if (layout != FLOOR_ONE_LINE)
			number = slot->words[1];
		wrong |= number ^ n;
		wrong |= bench_check(ring_payload(end, layout, slot, number), words, n);
		if ((n + 1) % batch == 0)
			atomic_store_explicit(&end->ring->cursor, n + 1, memory_order_release);
	}
	*ticks = worker_ticks(w) - start;
	atomic_store_explicit(&end->ring->cursor, n, memory_order_release);
	end->n = n;
	return wrong ? worker_fail(w, "the raw ring lost or garbled a message") : 0;
}

int floor_ring_produce(struct worker *w, struct floor_ring_end *end, uint32_t n)
{
	switch (end->layout) {
	case FLOOR_ONE_LINE:
		return produce(w, end, FLOOR_ONE_LINE, n);
	case FLOOR_TWO_LINES:
		return produce(w, end, FLOOR_TWO_LINES, n);
	default:
		return produce(w, end, FLOOR_SLOT_AND_CHUNK, n);
	}
}

int floor_ring_consume(struct worker *w, struct floor_ring_end *end, uint32_t n, uint64_t *ticks)
{
	switch (end->layout) {
	case FLOOR_ONE_LINE:
		return consume(w, end, FLOOR_ONE_LINE, n, ticks);
	case FLOOR_TWO_LINES:
		return consume(w, end, FLOOR_TWO_LINES, n, ticks);
	default:
		return consume(w, end, FLOOR_SLOT_AND_CHUNK, n, ticks);
	}
}

/* ---- bulk -------------------------------------------------------------------------------------------------------- */

uint64_t bench_sum(const void *data, size_t bytes)
{
	typedef uint64_t wide __attribute__((vector_size(64), may_alias));
	const wide *p = __builtin_assume_aligned(data, 64);
	wide a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	uint64_t sum = 0;

	for (size_t i = 0; i < bytes / 64; i += 4) {
		a += p[i];
		b += p[i + 1];
		c += p[i + 2];
		d += p[i + 3];
	}
	a += b + c + d;
	for (int i = 0; i < 8; i++)
		sum += a[i];
	return sum;
}

int floor_buffers_produce(struct worker *w, struct floor_buffers_end *end, const void *source, uint32_t messages)
{
	for (uint64_t stop = end->n + messages; end->n < stop; end->n++) {
		unsigned char *buffer = end->buffers->memory + (end->n & 1) * end->bytes;
		struct spin spin = { 0 };

		/* acquire: the buffer was read before; partner: floor_buffers_consume */
		while (atomic_load_explicit(&end->buffers->consumed, memory_order_acquire) + 2 <= end->n)
			if (worker_spin(w, &spin))
				return -1;
		memcpy(buffer, source, end->bytes);
		memcpy(buffer, &end->n, 8);
		atomic_store_explicit(&end->buffers->produced, end->n + 1, memory_order_release);
	}
	return 0;
}

int floor_buffers_consume(struct worker *w, struct floor_buffers_end *end, uint64_t sum, uint32_t messages, uint64_t *ticks)
{
	uint64_t start = 0, wrong = 0;

	for (uint64_t stop = end->n + messages; end->n < stop; end->n++) {
		const unsigned char *buffer = end->buffers->memory + (end->n & 1) * end->bytes;
		struct spin spin = { 0 };

		while (atomic_load_explicit(&end->buffers->produced, memory_order_acquire) <= end->n)
			if (worker_spin(w, &spin))
				return -1;
		if (!start)
			start = worker_ticks(w);
		wrong |= bench_sum(buffer, end->bytes) ^ (sum + end->n);
		atomic_store_explicit(&end->buffers->consumed, end->n + 1, memory_order_release);
	}
	*ticks = worker_ticks(w) - start;
	return wrong ? worker_fail(w, "the raw buffers lost or garbled a message") : 0;
}

uint64_t floor_memcpy(struct worker *w, void *to, const void *from, size_t bytes, uint32_t n)
{
	uint64_t start = worker_ticks(w);

	for (uint32_t i = 0; i < n; i++) {
		memcpy(to, from, bytes);
		__asm__ volatile("" : : "r"(to) : "memory");	/* somebody may read it: do not leave the copy out */
	}
	return worker_ticks(w) - start;
}

/* ---- scan -------------------------------------------------------------------------------------------------------- */

uint64_t floor_scan(struct worker *w, const _Atomic uint64_t *const *line, const uint64_t *known, uint32_t n, uint32_t rounds, uint64_t *odd)
{
	uint64_t start = worker_ticks(w);

	for (uint32_t r = 0; r < rounds; r++) {
		for (uint32_t i = 0; i < n; i++)
			if (__builtin_expect(atomic_load_explicit(line[i], memory_order_relaxed) != known[i], 0))
				++*odd;
		atomic_signal_fence(memory_order_seq_cst);	/* each round looks anew */
	}
	return worker_ticks(w) - start;
}
