/* SPDX-License-Identifier: MIT */
/*
 * bench-throughput.c - messages and bytes per second, nothing lost
 *
 * A reliable publisher that polls for room, a subscriber that polls for messages, every word of every message
 * written and checked, and every sequence number. Timestamps are on unless the row says otherwise: reading the
 * counter takes about as long as moving a line. The clock runs on the reading side from the first message to
 * the last.
 *
 * Floor of small messages: a raw ring with as many slots as zcp's own (asked of geometry_plan()), which moves
 * as many cache lines a message: two neighbours for one inside its slot, a slot and a chunk for the other. The
 * ring with one line is there for orientation ("one line" in the JSON): it is what a transport without a
 * header, or without a reference to a chunk, could reach. Batches are held against the same floor.
 *
 * Floors of large ones: the same producer and consumer over two alternating buffers with a flag each way; and
 * memcpy in one process: the producer copies its message in, so no figure can be above that by much.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/geometry.h"
#include "common/fd.h"
#include "tools/bench.h"

#define SMALL 64
#define BATCH 32
#define LARGE ((size_t)1 << 20)

static const struct small_case {
	const char *name;
	uint64_t payload_max;
	enum floor_layout layout;
	bool batch, no_timestamps;
	double target;	/* times slower than the floor: 1/0.9 one by one, 1/1.2 in batches */
} small_cases[] = {
	{ "64 B inline", 64, FLOOR_TWO_LINES, false, false, 1.11 },
	{ "64 B inline, no timestamps", 64, FLOOR_TWO_LINES, false, true, 1.11 },
	{ "64 B chunk", 4096, FLOOR_SLOT_AND_CHUNK, false, false, 1.11 },
	{ "64 B chunk, no timestamps", 4096, FLOOR_SLOT_AND_CHUNK, false, true, 1.11 },
	{ "64 B inline, batches of 32", 64, FLOOR_TWO_LINES, true, false, 0.83 },
	{ "64 B chunk, batches of 32", 4096, FLOOR_SLOT_AND_CHUNK, true, false, 0.83 },
};

/* As deep for chunks as for inline messages: what is compared is the way a message takes, not the size of the ring. */
#define SMALL_DEPTH 1024

struct throughput_shared {
	uint64_t value[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX], other[BENCH_RUNS_MAX];	/* ticks: zcp, floor, one line or memcpy */
};

struct throughput_arg {
	const struct small_case *sc;
	struct throughput_shared *shared;
	struct floor_ring_end ring, one_line;
	struct floor_buffers_end buffers;
	uint32_t messages, warmup;
};

static int open_publisher(struct worker *w, const struct small_case *sc, uint64_t payload_max, zcp_node **node, zcp_publisher **publisher)
{
	struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = payload_max,
		.depth = sc ? SMALL_DEPTH : 0,
		.reliable = true,
		.no_timestamps = sc && sc->no_timestamps,
		.max_subscribers = 4,
	};

	if (worker_node(w, node) || worker_publisher(w, *node, "stream", &options, publisher) || worker_connected(w, *publisher, 1))
		return -1;
	return worker_meet(w);
}

static int open_subscriber(struct worker *w, zcp_node **node, zcp_subscriber **subscriber)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .max_held = BATCH };

	if (worker_node(w, node) || worker_subscriber(w, *node, "stream", &options, subscriber))
		return -1;
	return worker_meet(w);
}

/* ---- small messages ---------------------------------------------------------------------------------------------- */

static int produce(struct worker *w, zcp_publisher *publisher, uint64_t *n, uint32_t messages)
{
	for (uint64_t stop = *n + messages; *n < stop; ++*n) {
		struct spin spin = { 0 };
		void *payload;
		int r;

		while ((r = zcp_publisher_loan(publisher, SMALL, &payload)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_loan", r);
		bench_fill(payload, SMALL / 8, *n);
		while ((r = zcp_publisher_publish(publisher, payload, SMALL)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_publish", r);
	}
	return 0;
}

static int produce_batches(struct worker *w, zcp_publisher *publisher, uint64_t *n, uint32_t messages)
{
	uint64_t stop = *n + messages;
	size_t sizes[BATCH];

	for (int i = 0; i < BATCH; i++)
		sizes[i] = SMALL;
	while (*n < stop) {
		int want = stop - *n < BATCH ? (int)(stop - *n) : BATCH, loaned, done = 0;
		struct spin spin = { 0 };
		void *payload[BATCH];

		while ((loaned = zcp_publisher_loan_batch(publisher, SMALL, payload, want)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (loaned < 0)
			return worker_fail_zcp(w, "zcp_publisher_loan_batch", loaned);
		for (int i = 0; i < loaned; i++)
			bench_fill(payload[i], SMALL / 8, *n + (uint64_t)i);
		while (done < loaned) {
			int r = zcp_publisher_publish_batch(publisher, payload + done, sizes, loaned - done);

			if (r < 0 && r != -EAGAIN)
				return worker_fail_zcp(w, "zcp_publisher_publish_batch", r);
			if (r <= 0 && worker_spin(w, &spin))
				return -1;
			done += r > 0 ? r : 0;
		}
		*n += (uint64_t)loaned;
	}
	return 0;
}

static int consume(struct worker *w, zcp_subscriber *subscriber, uint64_t *n, uint32_t messages, uint64_t *ticks)
{
	uint64_t start = 0, wrong = 0;

	for (uint64_t stop = *n + messages; *n < stop; ++*n) {
		struct spin spin = { 0 };
		struct zcp_sample sample;
		int r;

		while ((r = zcp_subscriber_take(subscriber, &sample)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_subscriber_take", r);
		if (!start)
			start = worker_ticks(w);
		wrong |= bench_check(sample.data, SMALL / 8, *n) | (sample.sequence ^ *n) | sample.lost | (sample.size ^ SMALL);
		zcp_sample_release(&sample);
	}
	*ticks = worker_ticks(w) - start;
	return wrong ? worker_fail(w, "a message was lost or garbled") : 0;
}

static int consume_batches(struct worker *w, zcp_subscriber *subscriber, uint64_t *n, uint32_t messages, uint64_t *ticks)
{
	uint64_t start = 0, wrong = 0, stop = *n + messages;
	struct zcp_sample sample[BATCH];

	while (*n < stop) {
		struct spin spin = { 0 };
		int r;

		while ((r = zcp_subscriber_take_batch(subscriber, sample, BATCH)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_subscriber_take_batch", r);
		if (!start)
			start = worker_ticks(w);
		for (int i = 0; i < r; i++, ++*n)
			wrong |= bench_check(sample[i].data, SMALL / 8, *n) | (sample[i].sequence ^ *n) | sample[i].lost |
				 (sample[i].size ^ SMALL);
		zcp_sample_release_batch(sample, r);
	}
	*ticks = worker_ticks(w) - start;
	return wrong ? worker_fail(w, "a message was lost or garbled") : 0;
}

static int small_producer(struct worker *w, void *arg)
{
	struct throughput_arg *a = arg;
	struct floor_ring_end ring = a->ring, one_line = a->one_line;
	zcp_publisher *publisher;
	zcp_node *node;
	uint64_t n = 0;

	if (open_publisher(w, a->sc, a->sc->payload_max, &node, &publisher))
		return -1;
	/* run -1 touches the memory */
	for (int run = -1; run < w->bench->runs; run++) {
		uint32_t messages = run < 0 ? a->warmup : a->messages;

		if (worker_meet(w) || floor_ring_produce(w, &ring, messages) || worker_meet(w) ||
		    (a->sc->batch ? produce_batches(w, publisher, &n, messages) : produce(w, publisher, &n, messages)) || worker_meet(w) ||
		    floor_ring_produce(w, &one_line, messages))
			return -1;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

static int small_consumer(struct worker *w, void *arg)
{
	struct throughput_arg *a = arg;
	struct floor_ring_end ring = a->ring, one_line = a->one_line;
	zcp_subscriber *subscriber;
	zcp_node *node;
	uint64_t n = 0;

	if (open_subscriber(w, &node, &subscriber))
		return -1;
	for (int run = -1; run < w->bench->runs; run++) {
		uint32_t messages = run < 0 ? a->warmup : a->messages;
		int i = run < 0 ? 0 : run;	/* overwritten by run 0 */

		if (worker_meet(w) || floor_ring_consume(w, &ring, messages, &a->shared->floor[i]) || worker_meet(w) ||
		    (a->sc->batch ? consume_batches(w, subscriber, &n, messages, &a->shared->value[i]) :
				    consume(w, subscriber, &n, messages, &a->shared->value[i])) || worker_meet(w) ||
		    floor_ring_consume(w, &one_line, messages, &a->shared->other[i]))
			return -1;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* As many slots as zcp's ring has for such a publisher. */
static uint64_t zcp_slots(uint64_t payload_max)
{
	struct geometry_request request = { .payload_max = payload_max, .depth = SMALL_DEPTH, .max_lanes = 4 };
	struct channel_geometry geometry;
	const char *why;

	return geometry_plan(&geometry, &request, &why) == 0 ? geometry.ring_slots : 2048;
}

static double rate(const struct bench *b, double things, uint64_t ticks)
{
	return things * 1e9 / ((double)ticks * b->ns_per_tick);
}

static void report_small(struct bench *b, const struct throughput_arg *a)
{
	struct bench_row row = { .section = "throughput", .unit = BENCH_MSGS, .target = a->sc->target, .n = b->runs };
	double one_line[BENCH_RUNS_MAX], median;

	snprintf(row.name, sizeof(row.name), "%s", a->sc->name);
	for (int i = 0; i < b->runs; i++) {
		row.value[i] = rate(b, a->messages, a->shared->value[i]);
		row.floor[i] = rate(b, a->messages, a->shared->floor[i]);
		one_line[i] = rate(b, a->messages, a->shared->other[i]);
	}
	median = bench_median(one_line, (size_t)b->runs);
	bench_row_extra(&row, "size", SMALL);
	bench_row_extra(&row, "payload_max", (double)a->sc->payload_max);
	bench_row_extra(&row, "slots", (double)a->ring.slots);
	bench_row_extra(&row, "messages", a->messages);
	bench_row_extra(&row, "one_line_floor", median);
	snprintf(row.note, sizeof(row.note), "1 line: %.0f", median / 1e6);
	bench_report_row(b, &row);
}

static int measure_small(struct bench *b, const struct small_case *sc)
{
	uint64_t slots = zcp_slots(sc->payload_max);
	size_t ring_bytes = floor_ring_bytes(sc->layout, slots), line_bytes = floor_ring_bytes(FLOOR_ONE_LINE, slots);
	struct throughput_arg a = { .sc = sc };
	char what[64];
	int r = -1;

	a.shared = bench_shared_new(b, sizeof(*a.shared));
	a.ring = (struct floor_ring_end){ bench_shared_new(b, ring_bytes), sc->layout, slots, 0 };
	a.one_line = (struct floor_ring_end){ bench_shared_new(b, line_bytes), FLOOR_ONE_LINE, slots, 0 };
	a.messages = bench_rounds(b, b->one_cpu ? 200000 : 10000000, 1000);
	a.warmup = a.messages / 8 + 4 * (uint32_t)slots;
	if (b->scale < 1)
		a.warmup = a.messages;
	snprintf(what, sizeof(what), "throughput, %s", sc->name);
	if (a.shared && a.ring.ring && a.one_line.ring)
		r = bench_pair(b, what, small_producer, small_consumer, &a);
	if (!r)
		report_small(b, &a);
	bench_shared_free(a.shared, sizeof(*a.shared));
	bench_shared_free(a.ring.ring, ring_bytes);
	bench_shared_free(a.one_line.ring, line_bytes);
	return r;
}

/* ---- large messages ---------------------------------------------------------------------------------------------- */

/* The same bytes on both sides; word 0 is each message's number and not in *sum. */
static void *make_source(uint64_t *sum)
{
	uint64_t *source = aligned_alloc(4096, LARGE);

	if (!source)
		return NULL;
	bench_fill(source, LARGE / 8, 1);
	source[0] = 0;
	*sum = bench_sum(source, LARGE);
	return source;
}

static int produce_large(struct worker *w, zcp_publisher *publisher, const void *source, uint64_t *n, uint32_t messages)
{
	for (uint64_t stop = *n + messages; *n < stop; ++*n) {
		struct spin spin = { 0 };
		void *payload;
		int r;

		while ((r = zcp_publisher_loan(publisher, LARGE, &payload)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_loan", r);
		memcpy(payload, source, LARGE);
		memcpy(payload, n, 8);
		while ((r = zcp_publisher_publish(publisher, payload, LARGE)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_publish", r);
	}
	return 0;
}

static int consume_large(struct worker *w, zcp_subscriber *subscriber, uint64_t sum, uint64_t *n, uint32_t messages, uint64_t *ticks)
{
	uint64_t start = 0, wrong = 0;

	for (uint64_t stop = *n + messages; *n < stop; ++*n) {
		struct spin spin = { 0 };
		struct zcp_sample sample;
		int r;

		while ((r = zcp_subscriber_take(subscriber, &sample)) == -EAGAIN)
			if (worker_spin(w, &spin))
				return -1;
		if (r < 0)
			return worker_fail_zcp(w, "zcp_subscriber_take", r);
		if (!start)
			start = worker_ticks(w);
		wrong |= (bench_sum(sample.data, LARGE) ^ (sum + *n)) | (sample.sequence ^ *n) | sample.lost | (sample.size ^ LARGE);
		zcp_sample_release(&sample);
	}
	*ticks = worker_ticks(w) - start;
	return wrong ? worker_fail(w, "a message was lost or garbled") : 0;
}

static int large_producer(struct worker *w, void *arg)
{
	struct throughput_arg *a = arg;
	struct floor_buffers_end buffers = a->buffers;
	uint64_t n = 0, sum;
	_cleanup_free_ void *source = make_source(&sum);
	_cleanup_free_ void *copy = aligned_alloc(4096, LARGE);
	zcp_publisher *publisher;
	zcp_node *node;

	if (!source || !copy)
		return worker_fail(w, "out of memory");
	if (open_publisher(w, NULL, LARGE, &node, &publisher))
		return -1;
	for (int run = -1; run < w->bench->runs; run++) {
		uint32_t messages = run < 0 ? a->warmup : a->messages;

		/* the consumer sleeps while memcpy is measured */
		a->shared->other[run < 0 ? 0 : run] = floor_memcpy(w, copy, source, LARGE, messages);
		if (worker_meet(w) || floor_buffers_produce(w, &buffers, source, messages) || worker_meet(w) ||
		    produce_large(w, publisher, source, &n, messages) || worker_meet(w))
			return -1;
	}
	zcp_node_close(node);
	return 0;
}

static int large_consumer(struct worker *w, void *arg)
{
	struct throughput_arg *a = arg;
	struct floor_buffers_end buffers = a->buffers;
	uint64_t n = 0, sum;
	_cleanup_free_ void *source = make_source(&sum);
	zcp_subscriber *subscriber;
	zcp_node *node;

	if (!source)
		return worker_fail(w, "out of memory");
	if (open_subscriber(w, &node, &subscriber))
		return -1;
	for (int run = -1; run < w->bench->runs; run++) {
		uint32_t messages = run < 0 ? a->warmup : a->messages;
		int i = run < 0 ? 0 : run;

		if (worker_meet(w) || floor_buffers_consume(w, &buffers, sum, messages, &a->shared->floor[i]) || worker_meet(w) ||
		    consume_large(w, subscriber, sum, &n, messages, &a->shared->value[i]) || worker_meet(w))
			return -1;
	}
	zcp_node_close(node);
	return 0;
}

static void report_large(struct bench *b, const struct throughput_arg *a, const char *name, const uint64_t *floor, double target)
{
	struct bench_row row = { .section = "throughput", .unit = BENCH_GBS, .target = target, .n = b->runs };

	snprintf(row.name, sizeof(row.name), "%s", name);
	for (int i = 0; i < b->runs; i++) {
		row.value[i] = rate(b, (double)a->messages * LARGE / 1e9, a->shared->value[i]);
		row.floor[i] = rate(b, (double)a->messages * LARGE / 1e9, floor[i]);
	}
	bench_row_extra(&row, "size", (double)LARGE);
	bench_row_extra(&row, "messages", a->messages);
	bench_report_row(b, &row);
}

static int measure_large(struct bench *b)
{
	size_t buffers_bytes = sizeof(struct floor_buffers) + 2 * LARGE;
	struct throughput_arg a = { 0 };
	int r = -1;

	a.shared = bench_shared_new(b, sizeof(*a.shared));
	a.buffers = (struct floor_buffers_end){ bench_shared_new(b, buffers_bytes), LARGE, 0 };
	a.messages = bench_rounds(b, 4000, 8);
	a.warmup = a.messages / 8 + 8;
	if (a.shared && a.buffers.buffers)
		r = bench_pair(b, "throughput, 1 MiB", large_producer, large_consumer, &a);
	if (!r) {
		report_large(b, &a, "1 MiB against raw buffers", a.shared->floor, 1.25);
		report_large(b, &a, "1 MiB against memcpy", a.shared->other, 2);
	}
	bench_shared_free(a.shared, sizeof(*a.shared));
	bench_shared_free(a.buffers.buffers, buffers_bytes);
	return r;
}

int bench_throughput(struct bench *b)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(small_cases) / sizeof(*small_cases) && !bench_interrupted(); i++)
		if (measure_small(b, &small_cases[i]))
			r = -1;
	if (!bench_interrupted() && measure_large(b))
		r = -1;
	return r;
}
