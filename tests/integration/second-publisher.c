/* SPDX-License-Identifier: MIT */
/*
 * second-publisher.c - "Publishing" of zcp-protocol(7), as it stands there
 *
 * The ring is as small as can be, and all chunks are from the first pool, so that every message beyond the eighth has to make room.
 */
#include "second.h"

#include <string.h>
#include <time.h>

#define RING 8u
#define DEPTH (RING - RING / 4)
#define HELD_BUDGET 64u
#define LOANS 1u

static struct {
	uint64_t head, tail;
	uint32_t ref[RING];		/* what each slot refers to */
	uint64_t limbo[RING + HELD_BUDGET + LOANS];	/* of each chunk: sequence + 1 of its message below the tail; 0: not in limbo */
	bool used[RING + HELD_BUDGET + LOANS];
} w;

static struct channel_header *header(void)
{
	return node.segment;
}

static struct slot *slot(uint64_t sequence)
{
	return (void *)((char *)node.segment + header()->geometry.ring_offset + sequence % RING * header()->geometry.slot_bytes);
}

static void prepare_data(struct node *n, const struct endpoint_open *open)
{
	struct channel_header *h = n->segment;

	h->version = CHANNEL_VERSION;
	h->flags = (n->needs_fence ? CHANNEL_NEEDS_FENCE : 0) | (lossy ? 0 : CHANNEL_RELIABLE);
	h->endpoint = n->endpoint;
	h->node = n->id;
	h->geometry = open->geometry;
	h->magic = CHANNEL_MAGIC;
}

static const struct lane *lane_of(const struct peer *p)
{
	return (const void *)((const char *)p->segment + LANE_PAGE_FIRST + p->lane * lane_stride(p->max_held));
}

static const uint64_t *ticket_of(const struct peer *p)
{
	return (const void *)((const char *)p->segment + 256 + 64 * (p->endpoint % 60));
}

/* Take into use who has come, let go of who has left. */
static int look_at_peers(void)
{
	int n = 0;

	for (uint32_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &node.peers[i];
		struct attached *entry = &header()->attached[i];

		if (p->match && !p->attached) {
			node.n_expected -= p->from_start && node.n_expected;
			STORE(entry->start, w.head, relaxed);
			STORE(entry->generation, p->gone ? 0 : p->match, release);
			STORE(header()->attach_epoch, header()->attach_epoch + 1, release);
			p->rung = LOAD(*ticket_of(p), relaxed);
			p->attached = true;
			ring(p->doorbell);
		}
		if (p->match && p->gone) {
			STORE(entry->generation, 0, release);
			STORE(header()->attach_epoch, header()->attach_epoch + 1, release);
			p->match = 0;
		}
		n += p->match != 0;
	}
	return n;
}

static uint64_t smallest_cursor(bool of_lossy)
{
	uint64_t min = w.head;

	for (int i = 0; i < PEERS_MAX; i++) {
		uint64_t cursor;

		if (!node.peers[i].match || (node.peers[i].lossy && !of_lossy))
			continue;
		cursor = LOAD(lane_of(&node.peers[i])->cursor, acquire);
		if (cursor < w.tail)
			cursor = w.tail;
		if (cursor < min)
			min = cursor;
	}
	return min;
}

static bool is_pinned(uint64_t pin)
{
	for (int i = 0; i < PEERS_MAX; i++)
		for (uint32_t k = 0; node.peers[i].match && k < node.peers[i].max_held; k++)
			if (LOAD(lane_of(&node.peers[i])->pin[k], acquire) == pin)
				return true;
	return false;
}

static void move_tail(uint64_t to, bool overrun)
{
	STORE(header()->tail, to, release);
	atomic_thread_fence(memory_order_release);
	if (overrun)
		rare_barrier(&node);
	for (; w.tail < to; w.tail++)
		if (w.ref[w.tail % RING] >> REF_KIND_SHIFT == 0)
			w.limbo[w.ref[w.tail % RING] & REF_INDEX_MASK] = w.tail + 1;
	for (uint32_t i = 0; i < RING + HELD_BUDGET + LOANS; i++) {
		if (!w.limbo[i] || is_pinned(w.limbo[i]))
			continue;
		w.limbo[i] = 0;
		w.used[i] = false;
	}
}

static bool has_room(void)
{
	uint64_t to = node.n_expected ? w.tail : smallest_cursor(true), reliable;

	if (w.head - w.tail < RING)
		return true;
	if (to > w.tail)
		move_tail(to, false);
	if (w.head - w.tail < RING)
		return true;
	reliable = node.n_expected && !lossy ? w.tail : smallest_cursor(false);
	to = w.tail + RING / 4 < reliable ? w.tail + RING / 4 : reliable;
	if (to > w.tail)
		move_tail(to, true);
	return w.head - w.tail < RING;
}

static void wait_for_room(void)
{
	while (look_at_peers(), !has_room()) {
		STORE(header()->writer_ticket, header()->writer_ticket + 1, relaxed);
		rare_barrier(&node);
		if (!has_room())
			node_run(&node, 100);
	}
}

static void store_words(uint64_t *to, uint64_t message)
{
	for (uint32_t i = 0; i < size; i += 8) {
		unsigned char bytes[8] = { 0 };
		uint64_t word;

		for (uint32_t k = 0; k < 8 && i + k < size; k++)
			bytes[k] = content(message, i + k);
		memcpy(&word, bytes, 8);
		STORE(to[i / 8], word, relaxed);
	}
}

static uint32_t fill_chunk(uint64_t message)
{
	const struct pool *pool = &header()->geometry.pool[0];
	unsigned char *at;
	uint32_t i = 0;

	while (w.used[i])
		if (++i == pool->count)
			die("no chunk is free: the held budget does not hold");
	w.used[i] = true;
	at = (unsigned char *)node.segment + pool->offset + i * pool->stride_bytes;
	for (uint32_t k = 0; k < size; k++)
		at[k] = content(message, k);
	return i;		/* of pool 0 */
}

static void publish(uint64_t message)
{
	struct slot *s;
	uint32_t ref = (uint32_t)REF_KIND_INLINE << REF_KIND_SHIFT;
	struct timespec ts;

	wait_for_room();
	s = slot(w.head);
	if (size <= inline_max(&header()->geometry))
		store_words(s->payload, message);
	else
		ref = fill_chunk(message);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	STORE(s->timestamp, (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec, relaxed);
	STORE(s->descriptor, (uint64_t)ref << 32 | size, relaxed);
	w.ref[w.head % RING] = ref;
	STORE(s->seq, w.head + 1, release);
	STORE(header()->head, ++w.head, release);
	for (int i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &node.peers[i];
		uint64_t ticket;

		if (!p->match)
			continue;
		fast_barrier(&node, ((const struct lane_page_header *)p->segment)->flags);
		ticket = LOAD(*ticket_of(p), relaxed);
		if (ticket == p->rung)
			continue;
		p->rung = ticket;
		ring(p->doorbell);
	}
	node_run(&node, 0);
	look_at_peers();
}

void run_publisher(const char *topic)
{
	struct endpoint_open open = { .kind = PUBLISHER, .flags = lossy ? 0 : ENDPOINT_RELIABLE, .geometry = {
		.ring_slots = RING, .slot_bytes = 64, .depth = DEPTH, .payload_max = size, .alignment = 64, .max_lanes = PEERS_MAX,
		.held_budget = HELD_BUDGET, .max_loans = LOANS } };

	lay_out(&open.geometry);
	node_open(&node, topic, &open, prepare_data);
	for (int i = 0; !look_at_peers(); i++) {
		if (i * 50 > LATE_MS)
			die("no subscriber comes");
		node_run(&node, 50);
	}
	for (uint64_t message = 0; message < count; message++)
		publish(message);
	STORE(header()->closed, 1, release);
}
