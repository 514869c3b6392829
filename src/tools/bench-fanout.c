/* SPDX-License-Identifier: MIT */
/*
 * bench-fanout.c - what a publish costs with many subscribers that do not read
 *
 * A lossy publisher of 64-byte messages on side 0; side 1 opens more and more subscribers, on several nodes,
 * and sleeps. Publish must look at each one's doorbell (does it sleep and want to be woken?) and from time to
 * time take messages away from all of them, which has the kernel run a barrier. That all is in the figure: a
 * block of publishes is many rings long.
 *
 * Floor: one load and compare in each of N pages, at the offsets that doorbell tickets have in lane pages, and
 * nothing written at all. The cost of publishing to nobody is not in it; the JSON has the cost per subscriber
 * without that part, too.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "channel/layout.h"
#include "common/fd.h"
#include "tools/bench.h"

#define SUBSCRIBERS_MAX 256
#define PER_NODE 32
#define BLOCK 8192	/* publishes between two looks at the clock */

static const struct fanout_case {
	int subscribers;
	bool quick;
	double target;
} cases[] = {
	{ 0, true, 0 }, { 1, true, 0 }, { 4, false, 0 }, { 16, true, 2 }, { 64, true, 2 }, { 256, true, 2 },
};
#define N_CASES (sizeof(cases) / sizeof(*cases))

struct fanout_shared {
	double value[N_CASES][BENCH_RUNS_MAX], floor[N_CASES][BENCH_RUNS_MAX];	/* ticks a publish */
};

struct fanout_arg {
	struct fanout_shared *shared;
	uint32_t blocks;
};

/* ---- side 0 ------------------------------------------------------------------------------------------------------ */

struct scan {
	unsigned char *pages;
	const _Atomic uint64_t *line[SUBSCRIBERS_MAX];
	uint64_t known[SUBSCRIBERS_MAX];
};

/* Ticket lines such as @SUBSCRIBERS_MAX subscribers in a row would have. */
static int scan_init(struct worker *w, struct scan *s)
{
	s->pages = mmap(NULL, SUBSCRIBERS_MAX * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->pages == MAP_FAILED)
		return worker_fail(w, "no memory for the floor: %s", strerror(errno));
	madvise(s->pages, SUBSCRIBERS_MAX * 4096, MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < SUBSCRIBERS_MAX; i++) {
		_Atomic uint64_t *line = (void *)(s->pages + i * 4096 + lane_page_ticket_offset(i));

		atomic_store_explicit(line, i, memory_order_relaxed);
		s->line[i] = line;
		s->known[i] = i;
	}
	return 0;
}

static int publish_block(struct worker *w, zcp_publisher *publisher, int subscribers, uint64_t *n, double *ticks)
{
	uint64_t start = worker_ticks(w);

	for (int i = 0; i < BLOCK; i++) {
		void *payload;
		int r = zcp_publisher_loan(publisher, 64, &payload);

		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_loan", r);
		bench_fill(payload, 8, ++*n);
		r = zcp_publisher_publish(publisher, payload, 64);
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_publish", r);
		if (r != subscribers)
			return worker_fail(w, "published to %d subscribers, not %d", r, subscribers);
	}
	*ticks = (double)(worker_ticks(w) - start) / BLOCK;
	return 0;
}

static int measure_case(struct worker *w, const struct fanout_arg *a, size_t c, struct scan *scan, zcp_publisher *publisher, uint64_t *n)
{
	_cleanup_free_ double *block = calloc(a->blocks, sizeof(*block));
	int subscribers = cases[c].subscribers;
	uint64_t odd = 0;

	if (!block)
		return worker_fail(w, "out of memory");
	for (int run = -1; run < w->bench->runs; run++) {
		for (uint32_t i = 0; i < a->blocks; i++)
			block[i] = (double)floor_scan(w, scan->line, scan->known, (uint32_t)subscribers, BLOCK, &odd) / BLOCK;
		a->shared->floor[c][run < 0 ? 0 : run] = subscribers ? bench_median(block, a->blocks) : NAN;
		for (uint32_t i = 0; i < a->blocks; i++)
			if (publish_block(w, publisher, subscribers, n, &block[i]))
				return -1;
		a->shared->value[c][run < 0 ? 0 : run] = bench_median(block, a->blocks);
	}
	return odd ? worker_fail(w, "the floor read nonsense") : 0;
}

static int publish_side(struct worker *w, void *arg)
{
	const struct fanout_arg *a = arg;
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64, .max_subscribers = SUBSCRIBERS_MAX };
	zcp_publisher *publisher;
	struct scan scan;
	zcp_node *node;
	uint64_t n = 0;

	if (scan_init(w, &scan) || worker_node(w, &node) || worker_publisher(w, node, "fanout", &options, &publisher))
		return -1;
	for (size_t c = 0; c < N_CASES; c++) {
		if (w->bench->quick && !cases[c].quick)
			continue;
		if (worker_meet(w) || worker_connected(w, publisher, cases[c].subscribers) || measure_case(w, a, c, &scan, publisher, &n) ||
		    worker_meet(w))
			return -1;
	}
	zcp_node_close(node);
	return 0;
}

/* ---- side 1 ------------------------------------------------------------------------------------------------------ */

static int subscribe_side(struct worker *w, void *arg)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .max_publishers = 2 };
	zcp_node *node[SUBSCRIBERS_MAX / PER_NODE] = { NULL };
	zcp_subscriber *subscriber;
	int open = 0;

	(void)arg;
	for (size_t c = 0; c < N_CASES; c++) {
		if (w->bench->quick && !cases[c].quick)
			continue;
		for (; open < cases[c].subscribers; open++) {
			if (open % PER_NODE == 0 && worker_node(w, &node[open / PER_NODE]))
				return -1;
			if (worker_subscriber(w, node[open / PER_NODE], "fanout", &options, &subscriber))
				return -1;
		}
		if (worker_meet(w) || worker_meet(w))
			return -1;
	}
	for (size_t i = 0; i < SUBSCRIBERS_MAX / PER_NODE; i++)
		zcp_node_close(node[i]);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

static void report(struct bench *b, const struct fanout_shared *shared, size_t c)
{
	struct bench_row row = { .section = "fanout", .unit = BENCH_NS, .target = cases[c].target, .n = b->runs };
	double alone[BENCH_RUNS_MAX], each = 0;

	snprintf(row.name, sizeof(row.name), "publish, %d subscriber%s", cases[c].subscribers, cases[c].subscribers == 1 ? "" : "s");
	for (int i = 0; i < b->runs; i++) {
		row.value[i] = shared->value[c][i] * b->ns_per_tick;
		row.floor[i] = shared->floor[c][i] * b->ns_per_tick;
		alone[i] = shared->value[0][i] * b->ns_per_tick;
	}
	bench_row_extra(&row, "subscribers", cases[c].subscribers);
	if (cases[c].subscribers) {
		double values[BENCH_RUNS_MAX];

		memcpy(values, row.value, sizeof(values));
		each = (bench_median(values, (size_t)b->runs) - bench_median(alone, (size_t)b->runs)) / cases[c].subscribers;
		bench_row_extra(&row, "each_ns", each);
		snprintf(row.note, sizeof(row.note), "each %.2f", each);
	}
	bench_report_row(b, &row);
}

int bench_fanout(struct bench *b)
{
	struct fanout_arg a = { .shared = bench_shared_new(b, sizeof(*a.shared)), .blocks = bench_rounds(b, 100, 1) };
	int r = -1;

	if (a.shared)
		r = bench_pair(b, "fanout", publish_side, subscribe_side, &a);
	for (size_t c = 0; c < N_CASES && !r; c++)
		if (!b->quick || cases[c].quick)
			report(b, a.shared, c);
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r;
}
