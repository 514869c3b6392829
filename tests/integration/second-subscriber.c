/* SPDX-License-Identifier: MIT */
/*
 * second-subscriber.c - "Taking" of zcp-protocol(7), as it stands there
 *
 * Samples are held for a while, and looked at once more when they are released: a pin that does not hold shows.
 */
#include "second.h"

#include <stdio.h>
#include <string.h>

static struct lane *my_lane(const struct peer *p)
{
	return (void *)((char *)node.segment + LANE_PAGE_FIRST + p->lane * lane_stride(node.max_held));
}

static const struct channel_header *of_writer(const struct peer *p)
{
	return p->segment;
}

static void prepare_page(struct node *n, const struct endpoint_open *open)
{
	struct lane_page_header *h = n->segment;

	n->n_lanes = open->n_lanes;
	n->max_held = open->max_held;
	h->version = CHANNEL_VERSION;
	h->flags = n->needs_fence ? CHANNEL_NEEDS_FENCE : 0;
	h->endpoint = n->endpoint;
	h->n_lanes = open->n_lanes;
	h->max_held = open->max_held;
	h->magic = LANE_PAGE_MAGIC;
}

static void prepare_lane(struct node *n, struct peer *p, uint64_t publisher)
{
	const struct channel_header *h = of_writer(p);
	struct geometry g = h->geometry;

	(void)n;
	lay_out(&g);
	if (h->magic != CHANNEL_MAGIC || h->version != CHANNEL_VERSION || h->endpoint != publisher)
		die("the header of a data segment is wrong");
	if (memcmp(&g, &h->geometry, sizeof(g)) || g.segment_bytes != p->segment_bytes)
		die("a geometry is not what follows from its counts");
	p->cur = p->from_start ? 0 : LOAD(h->head, acquire);
	p->limit = p->from_start || p->lossy ? UINT64_MAX : p->cur;
	p->first = p->cur;
	p->count_from = p->from_start ? 0 : UINT64_MAX;
	p->epoch = UINT64_MAX;
	p->rung = 0;
	for (uint32_t k = 0; k < node.max_held; k++)
		STORE(my_lane(p)->pin[k], 0, relaxed);
	STORE(my_lane(p)->cursor, p->cur, release);
	p->stored = p->cur;
}

static void look_for_attachment(struct peer *p)
{
	const struct channel_header *h = of_writer(p);
	uint64_t epoch = LOAD(h->attach_epoch, acquire);

	if (p->attached || epoch == p->epoch)
		return;
	p->epoch = epoch;
	for (uint32_t i = 0; i < h->geometry.max_lanes; i++) {
		if (LOAD(h->attached[i].generation, acquire) != p->match)
			continue;
		p->attached = true;
		p->limit = UINT64_MAX;
		if (p->count_from)
			p->count_from = LOAD(h->attached[i].start, relaxed);
	}
}

static void store_cursor(struct peer *p)
{
	const struct channel_header *h = of_writer(p);
	uint64_t ticket;

	p->stored = p->cur;
	STORE(my_lane(p)->cursor, p->cur, release);
	fast_barrier(&node, h->flags);
	ticket = LOAD(h->writer_ticket, relaxed);
	if (ticket == p->rung)
		return;
	p->rung = ticket;
	ring(p->doorbell);
}

static uint64_t n_taken, n_lost;

static void check(uint64_t sequence, const unsigned char *payload, uint32_t bytes)
{
	if (bytes != size)
		die("message %llu has %u bytes, not %u", (unsigned long long)sequence, bytes, size);
	for (uint32_t i = 0; i < bytes; i++)
		if (payload[i] != content(sequence, i))
			die("byte %u of message %llu is wrong", i, (unsigned long long)sequence);
}

/* Samples that are held: the pin, and what it says. Checked once more when they are released. */
static struct {
	struct peer *peer;
	uint64_t sequence;
	const unsigned char *payload;
} samples[HELD_MOST];
static uint32_t next_sample;

static void release(uint32_t k)
{
	if (!samples[k].peer)
		return;
	check(samples[k].sequence, samples[k].payload, size);
	STORE(my_lane(samples[k].peer)->pin[k], 0, release);
	samples[k].peer = NULL;
}

static void lapped(struct peer *p)
{
	uint64_t tail = LOAD(of_writer(p)->tail, acquire), from;

	look_for_attachment(p);
	from = p->cur == p->first && p->count_from > p->cur ? p->count_from : p->cur;
	if (tail <= p->cur)
		tail = p->cur + 1;
	n_lost += tail > from ? tail - from : 0;
	if (p->cur == p->first)
		p->first = tail;
	p->cur = tail;
}

/* True: something was taken, or found to be lost. */
static bool take(struct peer *p)
{
	const struct channel_header *h = of_writer(p);
	const struct geometry *g = &h->geometry;
	const struct slot *s = (const void *)((const char *)h + g->ring_offset + p->cur % g->ring_slots * g->slot_bytes);
	uint64_t seq = LOAD(s->seq, acquire), descriptor, words[SLOT_INLINE_MAX / 8 + 1];
	uint32_t bytes, kind, index, k = next_sample;
	const unsigned char *payload;

	look_for_attachment(p);
	if (seq <= p->cur || (p->cur >= p->limit && !p->gone))
		return false;
	if (seq != p->cur + 1) {
		lapped(p);
		return true;
	}
	descriptor = LOAD(s->descriptor, relaxed);
	bytes = (uint32_t)descriptor;
	kind = (uint32_t)(descriptor >> 32 >> REF_KIND_SHIFT);
	index = (uint32_t)(descriptor >> 32) & REF_INDEX_MASK;
	if (kind == REF_KIND_VOID) {
		p->cur++;
		return true;
	}
	if (kind == REF_KIND_INLINE) {
		if (bytes > inline_max(g))
			die("an inline message of %u bytes", bytes);
		for (uint32_t i = 0; i < (bytes + 7) / 8; i++)
			words[i] = LOAD(s->payload[i], relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (LOAD(h->tail, acquire) > p->cur) {
			lapped(p);
			return true;
		}
		check(p->cur, (const unsigned char *)words, bytes);
	} else {
		if (kind >= g->n_pools || index >= g->pool[kind].count || bytes > g->pool[kind].chunk_bytes)
			die("a reference that makes no sense");
		if (!p->attached && !p->gone)
			return false;	/* could be copied; it will be attached soon */
		payload = (const unsigned char *)h + g->pool[kind].offset + index * g->pool[kind].stride_bytes;
		release(k);
		STORE(my_lane(p)->pin[k], p->cur + 1, release);
		fast_barrier(&node, h->flags);
		atomic_thread_fence(memory_order_acquire);
		if (LOAD(h->tail, acquire) > p->cur) {
			STORE(my_lane(p)->pin[k], 0, release);
			lapped(p);
			return true;
		}
		check(p->cur, payload, bytes);
		samples[k].peer = p;
		samples[k].sequence = p->cur;
		samples[k].payload = payload;
		next_sample = (k + 1) % held;
	}
	p->cur++;
	n_taken++;
	return true;
}

/* False: nothing is there, nor will be. */
static bool take_all(bool *found)
{
	bool some_left = false, met = false;

	for (int i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &node.peers[i];

		if (!p->match)
			continue;
		met = true;
		while (!(late && !p->gone) && n_taken + n_lost < count && take(p))
			*found = true;
		if (p->stored != p->cur)
			store_cursor(p);
		some_left |= !p->gone;
	}
	return n_taken + n_lost < count && (some_left || !met);
}

void run_subscriber(const char *topic)
{
	struct endpoint_open open = { .kind = SUBSCRIBER, .flags = lossy ? ENDPOINT_LOSSY : 0, .max_held = held, .n_lanes = PEERS_MAX };
	uint64_t *ticket;
	bool found = false;

	node.writer_added = prepare_lane;
	node_open(&node, topic, &open, prepare_page);
	ticket = (void *)((char *)node.segment + 256 + 64 * (node.endpoint % 60));
	while (found = false, take_all(&found)) {
		STORE(*ticket, *ticket + 1, relaxed);
		rare_barrier(&node);
		if (!take_all(&found))
			break;
		node_run(&node, found ? 0 : 100);
	}
	for (uint32_t k = 0; k < held; k++)
		release(k);
	printf("%llu taken, %llu lost\n", (unsigned long long)n_taken, (unsigned long long)n_lost);
}
