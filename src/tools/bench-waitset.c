/* SPDX-License-Identifier: MIT */
/*
 * bench-waitset.c - what a wait costs when one of a thousand subscribers is active
 *
 * Side 1 has two wait sets, one in which the active subscriber is alone, which is the floor, and one in which it is among
 * many. Polling, it publishes to itself, and asks with timeout 0 until there is something: a round is a wait that finds
 * nothing, a publish, a wait that finds the one, take and release. Sleeping, side 0 publishes as soon as side 1 surely
 * sleeps; a round is then the processor time that side 1 takes from going to sleep to the release: the time of day would show
 * the kernel waking an idle core, and hide the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/fd.h"
#include "tools/bench.h"

#define MANY 1000u
#define FDS_EACH 4u		/* of a subscriber, in this process and in the router */
#define BLOCK 50u		/* rounds between two looks at the clock */

#define FALL_ASLEEP_NS 30000u	/* from saying so to being asleep */

struct waitset_shared {
	alignas(128) _Atomic uint64_t going;	/* side 1: about to sleep for round n of both wait sets together */
	alignas(128) double value[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX];	/* ticks of a round */
	double slept_value[BENCH_RUNS_MAX], slept_floor[BENCH_RUNS_MAX];	/* ns */
};

struct waitset_arg {
	struct waitset_shared *shared;
	uint32_t n, blocks, sleeps;
};

struct waitset_end {
	zcp_waitset *set;
	zcp_publisher *publisher;
	zcp_subscriber *active;
	uint64_t n;
};

/* ---- both -------------------------------------------------------------------------------------------------------- */

static int open_publisher(struct worker *w, zcp_node *node, const char *event, zcp_publisher **publisher)
{
	const struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64, .max_subscribers = 4 };

	return worker_publisher(w, node, event, &options, publisher) || worker_connected(w, *publisher, 1) ? -1 : 0;
}

/* The one that is active: neither the first nor the last. */
static void name_of_active(const char *prefix, uint32_t n, char event[32])
{
	snprintf(event, 32, "%s-%u", prefix, n / 2);
}

static int open_end(struct worker *w, zcp_node *node, const char *prefix, uint32_t n, struct waitset_end *end)
{
	const struct zcp_subscriber_options options = { .sz = sizeof(options), .max_publishers = 4 };
	char event[32];
	int r = zcp_waitset_open(&end->set, NULL);

	if (r < 0)
		return worker_fail_zcp(w, "zcp_waitset_open", r);
	for (uint32_t i = 0; i < n; i++) {
		zcp_subscriber *subscriber;

		snprintf(event, sizeof(event), "%s-%u", prefix, i);
		if (worker_subscriber(w, node, event, &options, &subscriber))
			return -1;
		r = zcp_waitset_add_subscriber(end->set, subscriber, subscriber);
		if (r < 0)
			return worker_fail_zcp(w, "zcp_waitset_add_subscriber", r);
		if (i == n / 2)
			end->active = subscriber;
	}
	name_of_active(prefix, n, event);
	return open_publisher(w, node, event, &end->publisher);
}

/* ---- side 1 ------------------------------------------------------------------------------------------------------ */

static int take_one(struct worker *w, struct waitset_end *end, uint64_t expected)
{
	struct zcp_sample sample;
	struct zcp_ready ready;
	int r = zcp_waitset_wait(end->set, &ready, 1, BENCH_WAIT_NS);

	if (r < 0)
		return worker_fail_zcp(w, "zcp_waitset_wait", r);
	if (ready.object != end->active)
		return worker_fail(w, "a wait set says that the wrong one is ready");
	r = zcp_subscriber_take(end->active, &sample);
	if (r < 0)
		return worker_fail_zcp(w, "zcp_subscriber_take", r);
	r = sample.size != sizeof(expected) || memcmp(sample.data, &expected, sizeof(expected)) ? worker_fail(w, "a message was garbled") : 0;
	zcp_sample_release(&sample);
	return r;
}

static int poll_once(struct worker *w, struct waitset_end *end)
{
	struct zcp_ready ready;
	uint64_t word = ++end->n;
	int r = zcp_waitset_wait(end->set, &ready, 1, 0);

	if (r != -ETIMEDOUT)
		return worker_fail(w, "a wait set has something where nothing was published");
	r = zcp_publisher_send(end->publisher, &word, sizeof(word));
	return r < 0 ? worker_fail_zcp(w, "zcp_publisher_send", r) : take_one(w, end, word);
}

static int poll_leg(struct worker *w, const struct waitset_arg *a, struct waitset_end *end, double *result)
{
	_cleanup_free_ double *block = calloc(a->blocks, sizeof(*block));

	if (!block)
		return worker_fail(w, "out of memory");
	for (uint32_t i = 0; i < a->blocks; i++) {
		uint64_t start = worker_ticks(w);

		for (uint32_t k = 0; k < BLOCK; k++)
			if (poll_once(w, end))
				return -1;
		block[i] = (double)(worker_ticks(w) - start) / BLOCK;
	}
	*result = bench_median(block, a->blocks);
	return 0;
}

static double own_time_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int sleep_leg(struct worker *w, const struct waitset_arg *a, struct waitset_end *end, uint64_t *n, double *result)
{
	double start = own_time_ns();

	for (uint32_t i = 0; i < a->sleeps; i++) {
		/* release: nothing to see before it; partner: the acquire load in ring_leg */
		atomic_store_explicit(&a->shared->going, ++*n, memory_order_release);
		if (take_one(w, end, *n))
			return -1;
	}
	*result = (own_time_ns() - start) / a->sleeps;
	return 0;
}

static int sleep_side(struct worker *w, void *arg)
{
	struct waitset_end one = { 0 }, many = { 0 };
	struct waitset_arg *a = arg;
	struct waitset_shared *shared = a->shared;
	zcp_node *node[2];
	uint64_t n = 0;
	double warmup;

	if (worker_node(w, &node[0]) || worker_node(w, &node[1]) || open_end(w, node[0], "one", 1, &one) ||
	    open_end(w, node[1], "many", a->n, &many) || worker_meet(w) || worker_meet(w))
		return -1;
	if (poll_leg(w, a, &one, &warmup) || poll_leg(w, a, &many, &warmup))
		return -1;
	for (int run = 0; run < w->bench->runs; run++)
		if (poll_leg(w, a, &one, &shared->floor[run]) || poll_leg(w, a, &many, &shared->value[run]))
			return -1;
	for (int run = 0; run < w->bench->runs; run++)
		if (worker_meet(w) || sleep_leg(w, a, &one, &n, &shared->slept_floor[run]) || worker_meet(w) ||
		    sleep_leg(w, a, &many, &n, &shared->slept_value[run]))
			return -1;
	zcp_waitset_close(one.set);
	zcp_waitset_close(many.set);
	zcp_node_close(node[0]);
	zcp_node_close(node[1]);
	return worker_meet(w);
}

/* ---- side 0 ------------------------------------------------------------------------------------------------------ */

static void spin_ns(uint64_t ns)
{
	uint64_t until = clock_now_ns() + ns;

	while (clock_now_ns() < until)
		;
}

static int ring_leg(struct worker *w, const struct waitset_arg *a, zcp_publisher *publisher, uint64_t *n)
{
	for (uint32_t i = 0; i < a->sleeps; i++) {
		struct spin spin = { 0 };
		int r;

		++*n;
		while (atomic_load_explicit(&a->shared->going, memory_order_acquire) != *n)
			if (worker_spin(w, &spin))
				return -1;
		spin_ns(FALL_ASLEEP_NS);
		r = zcp_publisher_send(publisher, n, sizeof(*n));
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_send", r);
	}
	return 0;
}

static int ring_side(struct worker *w, void *arg)
{
	zcp_publisher *one, *many;
	struct waitset_arg *a = arg;
	char event[32];
	zcp_node *node;
	uint64_t n = 0;

	/* the subscribers are there before us */
	if (worker_meet(w) || worker_node(w, &node))
		return -1;
	name_of_active("one", 1, event);
	if (open_publisher(w, node, event, &one))
		return -1;
	name_of_active("many", a->n, event);
	if (open_publisher(w, node, event, &many) || worker_meet(w))
		return -1;
	for (int run = 0; run < w->bench->runs; run++)
		if (worker_meet(w) || ring_leg(w, a, one, &n) || worker_meet(w) || ring_leg(w, a, many, &n))
			return -1;
	/* before that our end would be news to those who are measured */
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

/* As many as the descriptors allow. */
static uint32_t how_many(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= (MANY + 100) * FDS_EACH)
		return MANY;
	return limit.rlim_cur > 200 * FDS_EACH ? (uint32_t)(limit.rlim_cur / FDS_EACH) - 100 : 100;
}

static void report(struct bench *b, const struct waitset_arg *a, const char *how, const double *value, const double *floor, double scale)
{
	struct bench_row row = { .section = "waitset", .unit = BENCH_NS, .target = 1.2, .n = b->runs };

	snprintf(row.name, sizeof(row.name), "1 of %u, %s", a->n, how);
	for (int i = 0; i < b->runs; i++) {
		row.value[i] = value[i] * scale;
		row.floor[i] = floor[i] * scale;
	}
	bench_row_extra(&row, "subscribers", a->n);
	bench_report_row(b, &row);
}

int bench_waitset(struct bench *b)
{
	struct waitset_arg a = {
		.shared = bench_shared_new(b, sizeof(*a.shared)),
		.n = how_many(),
		.blocks = bench_rounds(b, 1000, 2),
		.sleeps = bench_rounds(b, 5000, 4),
	};
	int r = a.shared ? bench_pair(b, "waitset", ring_side, sleep_side, &a) : -1;

	if (!r) {
		report(b, &a, "polling", a.shared->value, a.shared->floor, b->ns_per_tick);
		report(b, &a, "sleeping", a.shared->slept_value, a.shared->slept_floor, 1);
	}
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r;
}
