/* SPDX-License-Identifier: MIT */
/*
 * bench-latency.c - one way from process to process: half of a round trip
 *
 * Side 0 leads: it publishes on topic "ping" and takes from "pong"; side 1 the other way round. A message is
 * written and checked in its first eight bytes, whatever its size: the rest costs the same with and without
 * zcp, and is what `throughput` measures. Small messages travel inside their slot when payload_max is their
 * size; "chunk" ones have a payload_max too large for that.
 *
 * Floors. Polling: one cache line each way. A slot of 64 bytes moves one line, too; a 64-byte message inside
 * its slot moves two that are neighbours, one by chunk two that are not and one of which says where the other
 * is. So the ratio of chunks cannot come near 1. Blocking: one eventfd each way; zcp additionally asks every
 * process for a memory barrier before it sleeps.
 *
 * In one leg the median comes from blocks of round trips with no clock inside, the percentiles from round trips
 * timed one by one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tools/bench-pingpong.h"
#include "tools/bench.h"

static const struct latency_case {
	const char *name;
	size_t size;
	uint64_t payload_max;
	bool blocking, quick;
	double target;
} cases[] = {
	{ "8 B inline", 8, 8, false, true, 2 },
	{ "64 B inline", 64, 64, false, true, 2 },
	{ "200 B inline", 200, 200, false, true, 2 },
	{ "64 B chunk", 64, 4096, false, true, 3 },
	{ "4 KiB chunk", 4096, 4096, false, false, 3 },
	{ "64 KiB chunk", 64 << 10, 64 << 10, false, false, 3 },
	{ "1 MiB chunk", 1 << 20, 1 << 20, false, true, 3 },
	{ "4 MiB chunk", 4 << 20, 4 << 20, false, false, 3 },
	{ "64 B inline, blocking", 64, 64, true, true, 1.15 },
	{ "64 B chunk, blocking", 64, 4096, true, false, 1.15 },
	{ "1 MiB chunk, blocking", 1 << 20, 1 << 20, true, false, 1.15 },
};

struct latency_shared {
	struct floor_lines lines;
	struct bench_hist hist, floor_hist;	/* ticks of round trips */
	double value[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX];	/* ticks of a round trip */
};

struct latency_arg {
	const struct latency_case *lc;
	struct latency_shared *shared;
	struct pingpong_plan plan, floor_plan;
	int ping_fd, pong_fd;
};

/* ---- legs -------------------------------------------------------------------------------------------------------- */

static int open_end(struct worker *w, struct pubsub_end *end, const struct latency_case *lc)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = lc->payload_max, .max_subscribers = 4 };

	end->size = lc->size;
	if (lc->size >= 64 << 10) {
		/* one message is under way: a few chunks are plenty, and the segment stays small */
		options.depth = 4;
		options.max_loans = 2;
		options.max_held = 8;
	}
	if (worker_node(w, &end->node) || worker_subscriber(w, end->node, w->side ? "ping" : "pong", NULL, &end->subscriber) ||
	    worker_publisher(w, end->node, w->side ? "pong" : "ping", &options, &end->publisher) || worker_connected(w, end->publisher, 1))
		return -1;
	return worker_meet(w);
}

static int lead(struct worker *w, void *arg)
{
	struct latency_arg *a = arg;
	struct latency_shared *shared = a->shared;
	struct floor_lines_end lines = { &shared->lines, 0 };
	struct floor_eventfd_end fds = { a->ping_fd, a->pong_fd };
	struct pubsub_end end = { 0 };

	if (open_end(w, &end, a->lc))
		return -1;
	for (int run = 0; run < w->bench->runs; run++) {
		struct pingpong_result zcp = { .hist = &shared->hist }, floor = { .hist = &shared->floor_hist };

		if (worker_meet(w) || (a->lc->blocking ? floor_eventfd_lead(w, &fds, &a->floor_plan, &floor)
						       : floor_lines_lead(w, &lines, &a->floor_plan, &floor)))
			return -1;
		if (worker_meet(w) || (a->lc->blocking ? pingpong_lead(w, pubsub_ping_blocking, &end, &a->plan, &zcp)
						       : pingpong_lead(w, pubsub_ping, &end, &a->plan, &zcp)))
			return -1;
		shared->value[run] = zcp.round_trip;
		shared->floor[run] = floor.round_trip;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(end.node);
	return 0;
}

static int follow(struct worker *w, void *arg)
{
	struct latency_arg *a = arg;
	struct floor_lines_end lines = { &a->shared->lines, 0 };
	struct floor_eventfd_end fds = { a->ping_fd, a->pong_fd };
	struct pubsub_end end = { 0 };

	if (open_end(w, &end, a->lc))
		return -1;
	for (int run = 0; run < w->bench->runs; run++) {
		if (worker_meet(w) || (a->lc->blocking ? floor_eventfd_follow(w, &fds, &a->floor_plan) : floor_lines_follow(w, &lines, &a->floor_plan)))
			return -1;
		if (worker_meet(w) || (a->lc->blocking ? pingpong_follow(w, pubsub_pong_blocking, &end, &a->plan)
						       : pingpong_follow(w, pubsub_pong, &end, &a->plan)))
			return -1;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(end.node);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

static struct pingpong_plan plan_of(const struct bench *b, bool blocking)
{
	/* a round trip is 0.1 to 0.5 us polling, 10 to 60 us blocking; on one cpu polling takes a switch each way */
	if (blocking || b->one_cpu)
		return (struct pingpong_plan){ .warmup = bench_rounds(b, 1000, 4), .samples = bench_rounds(b, 10000, 16) };
	return (struct pingpong_plan){
		.warmup = bench_rounds(b, 50000, 16),
		.blocks = bench_rounds(b, 5000, 2),
		.block_rounds = 100,
		.samples = bench_rounds(b, 400000, 16),
	};
}

static void report(struct bench *b, const struct latency_case *lc, const struct latency_shared *shared)
{
	struct bench_row row = { .section = "latency", .unit = BENCH_NS, .target = lc->target, .n = b->runs };

	snprintf(row.name, sizeof(row.name), "%s%s", lc->name, lc->blocking ? "" : ", polling");
	for (int i = 0; i < b->runs; i++) {
		row.value[i] = shared->value[i] * b->ns_per_tick / 2;
		row.floor[i] = shared->floor[i] * b->ns_per_tick / 2;
	}
	row.hist = &shared->hist;
	row.floor_hist = &shared->floor_hist;
	row.hist_scale = b->ns_per_tick / 2;
	bench_row_extra(&row, "size", (double)lc->size);
	bench_row_extra(&row, "payload_max", (double)lc->payload_max);
	if (lc->blocking)
		snprintf(row.note, sizeof(row.note), "p99 %.0f us", (double)bench_hist_percentile(&shared->hist, 99) * row.hist_scale / 1e3);
	else
		snprintf(row.note, sizeof(row.note), "p99 %.0f ns", (double)bench_hist_percentile(&shared->hist, 99) * row.hist_scale);
	bench_report_row(b, &row);
}

static int measure(struct bench *b, const struct latency_case *lc)
{
	struct latency_arg a = { .lc = lc, .shared = bench_shared_new(b, sizeof(*a.shared)), .plan = plan_of(b, lc->blocking) };
	char what[64];
	int r;

	if (!a.shared)
		return -1;
	a.floor_plan = a.plan;
	a.ping_fd = eventfd(0, EFD_CLOEXEC);
	a.pong_fd = eventfd(0, EFD_CLOEXEC);
	snprintf(what, sizeof(what), "latency, %s", lc->name);
	if (a.ping_fd < 0 || a.pong_fd < 0) {
		bench_error(b, "%s: no eventfd: %s", what, strerror(errno));
		r = -1;
	} else {
		r = bench_pair(b, what, lead, follow, &a);
	}
	if (!r)
		report(b, lc, a.shared);
	fd_close(a.ping_fd);
	fd_close(a.pong_fd);
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r;
}

int bench_latency(struct bench *b)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases) && !bench_interrupted(); i++)
		if ((cases[i].quick || !b->quick) && measure(b, &cases[i]))
			r = -1;
	return r;
}
