/* SPDX-License-Identifier: MIT */
/*
 * bench-wake.c - from publish to a sleeping subscriber that runs
 *
 * Side 1 sleeps in zcp_subscriber_wait(); side 0 waits until it surely does and its cpu is idle, looks at the
 * clock, publishes, looks again; side 1 looks when it comes back from the wait. Two figures: how long until the
 * sleeper runs, and what the publisher paid for waking it (a publish to a subscriber that is awake takes some
 * nanoseconds, see `fanout`).
 *
 * Floor: the same with write and blocking read of an eventfd. Most of both is the hypervisor and the scheduler
 * waking an idle core; compare with the blocking rows of `latency`, where the sleeper has only just gone.
 *
 * Both sides read the same clock: the invariant counter, which the kernel keeps in step across cpus, or
 * CLOCK_MONOTONIC.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/bench.h"

#define FALL_ASLEEP_NS 100000u	/* from saying so to being asleep, and the cpu idle */

struct wake_run {
	double wake, ring;		/* medians, ticks */
};

struct wake_shared {
	alignas(128) _Atomic uint64_t going;	/* side 1: about to sleep for round n */
	alignas(128) _Atomic uint64_t woken;	/* side 1: ran in round n at `at` */
	_Atomic uint64_t at;
	struct wake_run value[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX];
	struct bench_hist hist, floor_hist;
};

struct wake_arg {
	struct wake_shared *shared;
	uint32_t rounds;
	int fd;
};

static int await(struct worker *w, _Atomic uint64_t *counter, uint64_t n)
{
	struct spin spin = { 0 };

	/* acquire: `at` was written before; partner: the release stores of sleep_side */
	while (atomic_load_explicit(counter, memory_order_acquire) != n)
		if (worker_spin(w, &spin))
			return -1;
	return 0;
}

static void spin_ns(uint64_t ns)
{
	uint64_t until = clock_now_ns() + ns;

	while (clock_now_ns() < until)
		;
}

/* ---- side 0 ------------------------------------------------------------------------------------------------------ */

static int ring_once(struct worker *w, int fd, zcp_publisher *publisher, uint64_t n)
{
	void *payload;
	int r;

	if (!publisher)
		return write(fd, &(uint64_t){ 1 }, 8) == 8 ? 0 : worker_fail(w, "write to an eventfd: %s", strerror(errno));
	r = zcp_publisher_loan(publisher, 64, &payload);
	if (r < 0)
		return worker_fail_zcp(w, "zcp_publisher_loan", r);
	bench_fill(payload, 8, n);
	r = zcp_publisher_publish(publisher, payload, 64);
	return r < 0 ? worker_fail_zcp(w, "zcp_publisher_publish", r) : 0;
}

/* One leg: the eventfd where @publisher is NULL. */
static int ring_leg(struct worker *w, const struct wake_arg *a, zcp_publisher *publisher, uint64_t *n, struct wake_run *run, struct bench_hist *hist)
{
	_cleanup_free_ double *wake = calloc(a->rounds, sizeof(*wake)), *ring = calloc(a->rounds, sizeof(*ring));
	struct wake_shared *shared = a->shared;

	if (!wake || !ring)
		return worker_fail(w, "out of memory");
	for (uint32_t i = 0; i < a->rounds; i++) {
		uint64_t start, end, at;

		++*n;
		if (await(w, &shared->going, *n))
			return -1;
		spin_ns(FALL_ASLEEP_NS);
		start = worker_ticks(w);
		if (ring_once(w, a->fd, publisher, *n))
			return -1;
		end = worker_ticks(w);
		if (await(w, &shared->woken, *n))
			return -1;
		at = atomic_load_explicit(&shared->at, memory_order_relaxed);
		wake[i] = at > start ? (double)(at - start) : 0;
		ring[i] = (double)(end - start);
		bench_hist_add(hist, at > start ? at - start : 0);
	}
	run->wake = bench_median(wake, a->rounds);
	run->ring = bench_median(ring, a->rounds);
	return 0;
}

static int ring_side(struct worker *w, void *arg)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64 };
	struct wake_arg *a = arg;
	zcp_publisher *publisher;
	zcp_node *node;
	uint64_t n = 0;

	if (worker_node(w, &node) || worker_publisher(w, node, "wake", &options, &publisher) || worker_connected(w, publisher, 1))
		return -1;
	for (int run = 0; run < w->bench->runs; run++) {
		if (worker_meet(w) || ring_leg(w, a, NULL, &n, &a->shared->floor[run], &a->shared->floor_hist))
			return -1;
		if (worker_meet(w) || ring_leg(w, a, publisher, &n, &a->shared->value[run], &a->shared->hist))
			return -1;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- side 1 ------------------------------------------------------------------------------------------------------ */

static int wait_once(struct worker *w, int fd, zcp_subscriber *subscriber)
{
	uint64_t count;
	int r;

	if (!subscriber)
		return read(fd, &count, sizeof(count)) == sizeof(count) ? 0 : worker_fail(w, "read of an eventfd: %s", strerror(errno));
	r = zcp_subscriber_wait(subscriber, BENCH_WAIT_NS);
	return r < 0 ? worker_fail_zcp(w, "zcp_subscriber_wait", r) : 0;
}

static int take_one(struct worker *w, zcp_subscriber *subscriber, uint64_t n)
{
	struct zcp_sample sample;
	int r = zcp_subscriber_take(subscriber, &sample);
	uint64_t wrong;

	if (r < 0)
		return worker_fail_zcp(w, "zcp_subscriber_take after zcp_subscriber_wait", r);
	wrong = bench_check(sample.data, 8, n);
	zcp_sample_release(&sample);
	r = zcp_subscriber_take(subscriber, &sample);
	if (r != -EAGAIN)
		return worker_fail(w, "two messages where one was published");
	return wrong ? worker_fail(w, "a message was garbled") : 0;
}

static int sleep_leg(struct worker *w, const struct wake_arg *a, zcp_subscriber *subscriber, uint64_t *n)
{
	struct wake_shared *shared = a->shared;

	for (uint32_t i = 0; i < a->rounds; i++) {
		uint64_t at;

		++*n;
		atomic_store_explicit(&shared->going, *n, memory_order_release);
		if (wait_once(w, a->fd, subscriber))
			return -1;
		at = worker_ticks(w);
		atomic_store_explicit(&shared->at, at, memory_order_relaxed);
		atomic_store_explicit(&shared->woken, *n, memory_order_release);
		if (subscriber && take_one(w, subscriber, *n))
			return -1;
	}
	return 0;
}

static int sleep_side(struct worker *w, void *arg)
{
	struct wake_arg *a = arg;
	zcp_subscriber *subscriber;
	zcp_node *node;
	uint64_t n = 0;

	if (worker_node(w, &node) || worker_subscriber(w, node, "wake", NULL, &subscriber))
		return -1;
	for (int run = 0; run < w->bench->runs; run++)
		if (worker_meet(w) || sleep_leg(w, a, NULL, &n) || worker_meet(w) || sleep_leg(w, a, subscriber, &n))
			return -1;
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

static void report(struct bench *b, const struct wake_shared *shared)
{
	struct bench_row wake = { .section = "wake", .name = "publish to woken subscriber", .unit = BENCH_NS, .target = 1.5, .n = b->runs };
	struct bench_row ring = { .section = "wake", .name = "publish that must ring", .unit = BENCH_NS, .target = 1.5, .n = b->runs };

	for (int i = 0; i < b->runs; i++) {
		wake.value[i] = shared->value[i].wake * b->ns_per_tick;
		wake.floor[i] = shared->floor[i].wake * b->ns_per_tick;
		ring.value[i] = shared->value[i].ring * b->ns_per_tick;
		ring.floor[i] = shared->floor[i].ring * b->ns_per_tick;
	}
	for (int i = 0; i < 2; i++) {
		double percent = i ? 99 : 50;

		bench_row_extra(&wake, i ? "p99_ns" : "p50_ns", (double)bench_hist_percentile(&shared->hist, percent) * b->ns_per_tick);
		bench_row_extra(&wake, i ? "floor_p99_ns" : "floor_p50_ns", (double)bench_hist_percentile(&shared->floor_hist, percent) * b->ns_per_tick);
	}
	snprintf(wake.note, sizeof(wake.note), "p99 %.0f us", (double)bench_hist_percentile(&shared->hist, 99) * b->ns_per_tick / 1e3);
	bench_report_row(b, &wake);
	bench_report_row(b, &ring);
}

int bench_wake(struct bench *b)
{
	struct wake_arg a = { .shared = bench_shared_new(b, sizeof(*a.shared)), .rounds = bench_rounds(b, 3000, 4), .fd = eventfd(0, EFD_CLOEXEC) };
	int r = -1;

	if (a.fd < 0)
		bench_error(b, "wake: no eventfd: %s", strerror(errno));
	else if (a.shared)
		r = bench_pair(b, "wake", ring_side, sleep_side, &a);
	if (!r)
		report(b, a.shared);
	fd_close(a.fd);
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r;
}
