/* SPDX-License-Identifier: MIT */
/*
 * bench-wake.c - from publish to a sleeping subscriber that runs, and from notify to a sleeping listener
 *
 * Side 1 sleeps in zcp_subscriber_wait(), or zcp_listener_wait(); side 0 waits until it surely does and its cpu is idle, looks at the
 * clock, publishes (notifies), looks again; side 1 looks when it comes back from the wait. Two figures: how long until the
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
	struct wake_run value[BENCH_RUNS_MAX], event[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX];
	struct bench_hist hist, event_hist, floor_hist;
};

/* What one side has of one leg: both NULL for the eventfd. */
struct waker {
	zcp_publisher *publisher;
	zcp_notifier *notifier;
};

struct sleeper {
	zcp_subscriber *subscriber;
	zcp_listener *listener;
};

#define WAKE_EVENT 77	/* of 256, all of which the listener has asked for */

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

static int ring_once(struct worker *w, int fd, const struct waker *by, uint64_t n)
{
	zcp_publisher *publisher = by->publisher;
	void *payload;
	int r;

	if (by->notifier) {
		r = zcp_notifier_notify(by->notifier, WAKE_EVENT);
		return r < 0 ? worker_fail_zcp(w, "zcp_notifier_notify", r) : 0;
	}
	if (!publisher)
		return write(fd, &(uint64_t){ 1 }, 8) == 8 ? 0 : worker_fail(w, "write to an eventfd: %s", strerror(errno));
	r = zcp_publisher_loan(publisher, 64, &payload);
	if (r < 0)
		return worker_fail_zcp(w, "zcp_publisher_loan", r);
	bench_fill(payload, 8, n);
	r = zcp_publisher_publish(publisher, payload, 64);
	return r < 0 ? worker_fail_zcp(w, "zcp_publisher_publish", r) : 0;
}

static int ring_leg(struct worker *w, const struct wake_arg *a, const struct waker *by, uint64_t *n, struct wake_run *run, struct bench_hist *hist)
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
		if (ring_once(w, a->fd, by, *n))
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

static const struct zcp_topic event_topic = { "bench", "wake", "event" };

static int open_notifier(struct worker *w, zcp_node *node, zcp_notifier **notifier)
{
	int r = zcp_notifier_open(notifier, node, &event_topic, NULL);

	if (r < 0)
		return worker_fail_zcp(w, "zcp_notifier_open", r);
	r = zcp_notifier_wait(*notifier, 1, BENCH_WAIT_NS);
	return r < 0 ? worker_fail_zcp(w, "zcp_notifier_wait", r) : 0;
}

static int ring_side(struct worker *w, void *arg)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64 };
	struct waker none = { 0 }, publisher = { 0 }, notifier = { 0 };
	struct wake_arg *a = arg;
	zcp_node *node;
	uint64_t n = 0;

	if (worker_node(w, &node) || worker_publisher(w, node, "wake", &options, &publisher.publisher) ||
	    worker_connected(w, publisher.publisher, 1) || open_notifier(w, node, &notifier.notifier))
		return -1;
	for (int run = 0; run < w->bench->runs; run++) {
		if (worker_meet(w) || ring_leg(w, a, &none, &n, &a->shared->floor[run], &a->shared->floor_hist))
			return -1;
		if (worker_meet(w) || ring_leg(w, a, &publisher, &n, &a->shared->value[run], &a->shared->hist))
			return -1;
		if (worker_meet(w) || ring_leg(w, a, &notifier, &n, &a->shared->event[run], &a->shared->event_hist))
			return -1;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- side 1 ------------------------------------------------------------------------------------------------------ */

static int wait_once(struct worker *w, int fd, const struct sleeper *on)
{
	uint64_t count;
	int r;

	if (on->listener) {
		r = zcp_listener_wait(on->listener, BENCH_WAIT_NS);
		return r < 0 ? worker_fail_zcp(w, "zcp_listener_wait", r) : 0;
	}
	if (!on->subscriber)
		return read(fd, &count, sizeof(count)) == sizeof(count) ? 0 : worker_fail(w, "read of an eventfd: %s", strerror(errno));
	r = zcp_subscriber_wait(on->subscriber, BENCH_WAIT_NS);
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

static int take_event(struct worker *w, zcp_listener *listener)
{
	uint64_t count;
	uint32_t id;
	int r = zcp_listener_take(listener, &id, &count);

	if (r < 0)
		return worker_fail_zcp(w, "zcp_listener_take after zcp_listener_wait", r);
	return id != WAKE_EVENT || count != 1 ? worker_fail(w, "event %u came %llu times", id, (unsigned long long)count) : 0;
}

static int sleep_leg(struct worker *w, const struct wake_arg *a, const struct sleeper *on, uint64_t *n)
{
	struct wake_shared *shared = a->shared;

	for (uint32_t i = 0; i < a->rounds; i++) {
		uint64_t at;

		++*n;
		atomic_store_explicit(&shared->going, *n, memory_order_release);
		if (wait_once(w, a->fd, on))
			return -1;
		at = worker_ticks(w);
		atomic_store_explicit(&shared->at, at, memory_order_relaxed);
		atomic_store_explicit(&shared->woken, *n, memory_order_release);
		if (on->subscriber && take_one(w, on->subscriber, *n))
			return -1;
		if (on->listener && take_event(w, on->listener))
			return -1;
	}
	return 0;
}

static int sleep_side(struct worker *w, void *arg)
{
	struct sleeper none = { 0 }, subscriber = { 0 }, listener = { 0 };
	struct wake_arg *a = arg;
	zcp_node *node;
	uint64_t n = 0;
	int r;

	if (worker_node(w, &node) || worker_subscriber(w, node, "wake", NULL, &subscriber.subscriber))
		return -1;
	r = zcp_listener_open(&listener.listener, node, &event_topic, NULL);
	if (r < 0)
		return worker_fail_zcp(w, "zcp_listener_open", r);
	for (int run = 0; run < w->bench->runs; run++)
		if (worker_meet(w) || sleep_leg(w, a, &none, &n) || worker_meet(w) || sleep_leg(w, a, &subscriber, &n) ||
		    worker_meet(w) || sleep_leg(w, a, &listener, &n))
			return -1;
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

static void report_leg(struct bench *b, const char *names[2], double target, const struct wake_run *runs, const struct bench_hist *hist,
		       const struct wake_shared *shared)
{
	struct bench_row wake = { .section = "wake", .unit = BENCH_NS, .target = target, .n = b->runs };
	struct bench_row ring = { .section = "wake", .unit = BENCH_NS, .target = 1.5, .n = b->runs };

	snprintf(wake.name, sizeof(wake.name), "%s", names[0]);
	snprintf(ring.name, sizeof(ring.name), "%s", names[1]);
	for (int i = 0; i < b->runs; i++) {
		wake.value[i] = runs[i].wake * b->ns_per_tick;
		wake.floor[i] = shared->floor[i].wake * b->ns_per_tick;
		ring.value[i] = runs[i].ring * b->ns_per_tick;
		ring.floor[i] = shared->floor[i].ring * b->ns_per_tick;
	}
	for (int i = 0; i < 2; i++) {
		double percent = i ? 99 : 50;

		bench_row_extra(&wake, i ? "p99_ns" : "p50_ns", (double)bench_hist_percentile(hist, percent) * b->ns_per_tick);
		bench_row_extra(&wake, i ? "floor_p99_ns" : "floor_p50_ns", (double)bench_hist_percentile(&shared->floor_hist, percent) * b->ns_per_tick);
	}
	snprintf(wake.note, sizeof(wake.note), "p99 %.0f us", (double)bench_hist_percentile(hist, 99) * b->ns_per_tick / 1e3);
	bench_report_row(b, &wake);
	bench_report_row(b, &ring);
}

static void report(struct bench *b, const struct wake_shared *shared)
{
	const char *messages[2] = { "publish to woken subscriber", "publish that must ring" };
	const char *events[2] = { "notify to woken listener", "notify that must ring" };

	report_leg(b, messages, 1.5, shared->value, &shared->hist, shared);
	report_leg(b, events, 1.15, shared->event, &shared->event_hist, shared);
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
