/* SPDX-License-Identifier: MIT */
/*
 * traffic-read.c - what segments say: the second step of a look
 *
 * First the heads of the publishers, then the lanes of the connections, so that a reader seems never further behind than it was. Numbers
 * come from strangers: differences are taken only where they are not negative, and nothing is indexed by them. How full a pool is, is
 * an estimate, as that is private to its owner: what has to be kept for queues and history, and what readers have pinned.
 */
#include "tools/traffic-steps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZES_LOOKED_AT 256	/* messages of a publisher per look, for the bytes it publishes */
#define CHUNKS_LOOKED_AT 1024	/* for what its pools are used for */

/* What a publisher said at the look before. */
struct writer_past {
	uint64_t head, n_failed_loans, ticket;
	double mean_bytes;
};

/* What a connection said at the look before. */
struct traffic_past {
	uint64_t match;
	uint64_t received, lost, skipped;
	bool skips;
	uint64_t seen_ns;
	UT_hash_handle hh;
};

/* What has grown since; a number that went back has begun anew, or is a lie. */
static uint64_t growth(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static double per_second(const struct traffic *t, double n)
{
	return t->last_ns && t->now_ns > t->last_ns ? n * 1e9 / (double)(t->now_ns - t->last_ns) : 0;
}

/* ---- publishers -------------------------------------------------------------------------------------------------- */

/* How many bytes the messages since @past had: from their slots, or as far as that goes, estimated. */
static double count_bytes(struct traffic_endpoint *e, struct writer_past *past)
{
	const struct sight_writer *w = &e->writer;
	uint64_t n = growth(w->head, past->head), from = past->head > w->tail ? past->head : w->tail;
	struct sight_scan scan = { 0 };

	e->bytes_exact = true;
	if (!n)
		return 0;
	sight_scan(e->sight, from, w->head, SIZES_LOOKED_AT, &scan);
	if (scan.n_valid)
		past->mean_bytes = (double)scan.bytes / (double)scan.n_valid;
	e->bytes_exact = scan.n_valid == n;
	return past->mean_bytes * (double)n;
}

static void read_publisher(struct traffic *t, struct traffic_endpoint *e)
{
	struct sight *sight = sights_find(t->sights, e->row->id);
	struct writer_past *past = sight->history;

	sight_read_writer(sight, &e->writer);
	e->published = e->writer.head;
	e->n_failed_loans = e->writer.n_failed_loans;
	e->bytes_exact = true;
	if (!past) {
		sight->history = past = calloc(1, sizeof(*past));
		if (!past)
			return;
	} else {
		e->rate = per_second(t, (double)growth(e->writer.head, past->head));
		if (!(sight->flags & CHANNEL_COUNTERS))
			e->byte_rate = per_second(t, count_bytes(e, past));
		e->failed_now = growth(e->n_failed_loans, past->n_failed_loans);
		e->waits = e->writer.ticket != past->ticket;
	}
	past->head = e->writer.head;
	past->n_failed_loans = e->n_failed_loans;
	past->ticket = e->writer.ticket;
}

/* The pool that pins of messages that are not in the ring any more are ascribed to: the one in use. */
static uint32_t busiest_pool(const struct traffic_endpoint *e)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < e->n_pools; i++) {
		const struct traffic_pool *a = &e->pool[i], *b = &e->pool[best];

		if (a->in_use > b->in_use || (a->in_use == b->in_use && a->touched > b->touched))
			best = i;
	}
	return best;
}

/* From here on the publisher has to keep its messages: for a queue, or as history. */
static uint64_t first_kept(const struct traffic_endpoint *e)
{
	const struct sight_writer *w = &e->writer;
	uint64_t history = e->sight->geometry.history, first = w->head > history ? w->head - history : 0;

	for (const struct traffic_connection *c = e->connections; c; c = c->next_of_publisher)
		if (!c->known)
			first = w->tail;
		else if (c->cursor < first)
			first = c->cursor;
	return first > w->tail ? first : w->tail;
}

static void estimate_pools(struct traffic_endpoint *e)
{
	const struct channel_geometry *g = &e->sight->geometry;
	uint64_t first = first_kept(e), n_pinned = 0;
	struct sight_scan scan = { 0 };

	e->n_pools = g->n_pools;
	if (!g->n_pools)
		return;
	sight_scan(e->sight, first, e->writer.head, CHUNKS_LOOKED_AT, &scan);
	for (uint32_t i = 0; i < e->n_pools; i++) {
		double share = scan.n_valid ? (double)scan.n_chunks[i] / (double)scan.n_valid : 0;

		e->pool[i] = (struct traffic_pool){ .chunk_bytes = g->pool[i].chunk_bytes, .count = g->pool[i].count };
		e->pool[i].touched = e->writer.n_touched[i];
		e->pool[i].in_use = (uint32_t)(share * (double)(e->writer.head - first) + 0.5);
	}
	for (const struct traffic_connection *c = e->connections; c; c = c->next_of_publisher)
		if (c->known && c->n_held)
			n_pinned += sight_count_pins(c->subscriber->sight, c->match->lane, first);
	e->pool[busiest_pool(e)].in_use += (uint32_t)n_pinned;
	for (uint32_t i = 0; i < e->n_pools; i++) {
		struct traffic_pool *p = &e->pool[i];

		/* two may hold the same message */
		if (p->in_use > p->count)
			p->in_use = p->count;
		if (e->pool_use < (double)p->in_use / p->count)
			e->pool_use = (double)p->in_use / p->count;
		if (e->pool_high < (double)p->touched / p->count)
			e->pool_high = (double)p->touched / p->count;
	}
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static struct traffic_past *find_past(struct traffic *t, uint64_t match, bool *is_new)
{
	struct traffic_past *past;

	HASH_FIND(hh, t->past, &match, sizeof(match), past);
	*is_new = !past;
	if (past)
		return past;
	past = calloc(1, sizeof(*past));
	if (!past)
		return NULL;
	past->match = match;
	HASH_ADD(hh, t->past, match, sizeof(past->match), past);
	if (past->hh.tbl)
		return past;
	free(past);
	return NULL;
}

/* Messages that are behind the tail, and that the reader will find lost when it takes the next time. */
static uint64_t find_overrun(const struct traffic_connection *c, uint64_t tail)
{
	uint64_t from = c->cursor;

	if (from >= tail)
		return 0;
	/* before its first message a newcomer loses only what came after it was attached (reader.c, lapped) */
	if (!c->received && !(c->match->flags & WIRE_MATCH_FROM_START)) {
		uint64_t start = sight_attached_at(c->publisher->sight, c->match->id);

		from = start > from ? start : from;
	}
	return growth(tail, from);
}

/*
 * Who wants the newest message passes over most of the others, and loses nothing by it. Void messages are passed over too, but are
 * fewer than those that are taken.
 */
static void judge_skips(struct traffic_past *past, uint64_t skipped, uint64_t lost, uint64_t received)
{
	uint64_t passed_over = growth(skipped, lost);

	if (passed_over > received)
		past->skips = true;
	else if (received && !passed_over)
		past->skips = false;
}

static void compare_with_past(struct traffic *t, struct traffic_connection *c, uint64_t skipped, bool closing)
{
	bool is_new;
	struct traffic_past *past = find_past(t, c->match->id, &is_new);

	if (!past)
		return;
	if (closing)
		c->received = past->received;
	if (!is_new) {
		c->received_rate = per_second(t, (double)growth(c->received, past->received));
		c->lost_now = growth(c->lost, past->lost);
		judge_skips(past, growth(skipped, past->skipped), c->lost_now, growth(c->received, past->received));
	}
	c->skips = past->skips;
	past->received = c->received;
	past->lost = c->lost;
	past->skipped = skipped;
	past->seen_ns = t->now_ns;
}

static void read_connection(struct traffic *t, struct traffic_connection *c)
{
	const struct sight_writer *w = &c->publisher->writer;
	struct sight_lane lane;
	bool closing;

	if (!traffic_is_mapped(c->publisher) || !traffic_is_mapped(c->subscriber) || !sight_read_lane(c->subscriber->sight, c->match->lane, &lane))
		return;
	c->known = true;
	if (c->publisher->sight->flags & CHANNEL_COUNTERS) {
		c->cursor = UINT64_MAX;
		return;
	}
	closing = lane.cursor == UINT64_MAX;
	c->cursor = lane.cursor;
	c->n_held = lane.n_held;
	c->lost = lane.lost;
	c->malformed = lane.malformed;
	c->received = growth(lane.cursor, lane.skipped);
	compare_with_past(t, c, lane.skipped, closing);
	if (closing)
		return;
	c->lag = growth(w->head, lane.cursor > w->tail ? lane.cursor : w->tail);
	c->fill = (double)c->lag / c->publisher->sight->geometry.depth;
	c->overrun = find_overrun(c, w->tail);
}

/* ---- the step --------------------------------------------------------------------------------------------------- */

void traffic_read_segments(struct traffic *t)
{
	for (size_t i = 0; i < t->n_endpoints; i++)
		if (traffic_is_publisher(&t->endpoints[i]) && traffic_is_mapped(&t->endpoints[i]))
			read_publisher(t, &t->endpoints[i]);
	for (size_t i = 0; i < t->n_connections; i++)
		read_connection(t, &t->connections[i]);
	for (size_t i = 0; i < t->n_endpoints; i++)
		if (traffic_is_publisher(&t->endpoints[i]) && traffic_is_mapped(&t->endpoints[i]))
			estimate_pools(&t->endpoints[i]);
}

void traffic_forget_past(struct traffic *t, bool all)
{
	struct traffic_past *past, *next;

	HASH_ITER(hh, t->past, past, next) {
		/* the router may be coming back, and with it the match */
		if (!all && t->now_ns - past->seen_ns < 60000000000ull)
			continue;
		HASH_DEL(t->past, past);
		free(past);
	}
}
