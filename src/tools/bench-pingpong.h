/* SPDX-License-Identifier: MIT */
/*
 * bench-pingpong.h - how a round trip is timed, the same for the floors and for zcp
 *
 * A trip function is one turn of one side: the leader's sends and waits for the answer, the follower's waits
 * and answers. These drivers are always inlined with a trip function known at compile time, so that the loop
 * has no indirect call in it.
 *
 * The counter is read once a block for the median (reading it costs a third of a hop), and once a round trip
 * for the tail.
 */
#ifndef ZCP_TOOLS_BENCH_PINGPONG_H
#define ZCP_TOOLS_BENCH_PINGPONG_H

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "tools/bench.h"

typedef int (*trip_fn)(struct worker *w, void *end);

#define PINGPONG_INLINE static inline __attribute__((always_inline))

PINGPONG_INLINE int pingpong_blocks(struct worker *w, trip_fn trip, void *end, const struct pingpong_plan *plan, double *block)
{
	for (uint32_t b = 0; b < plan->blocks; b++) {
		uint64_t start = worker_ticks(w);

		for (uint32_t i = 0; i < plan->block_rounds; i++)
			if (trip(w, end))
				return -1;
		block[b] = (double)(worker_ticks(w) - start) / plan->block_rounds;
	}
	return 0;
}

PINGPONG_INLINE int pingpong_samples(struct worker *w, trip_fn trip, void *end, const struct pingpong_plan *plan, uint64_t *sample)
{
	uint64_t last = worker_ticks(w);

	for (uint32_t i = 0; i < plan->samples; i++) {
		uint64_t now;

		if (trip(w, end))
			return -1;
		now = worker_ticks(w);
		sample[i] = now - last;
		last = now;
	}
	return 0;
}

PINGPONG_INLINE int pingpong_lead(struct worker *w, trip_fn trip, void *end, const struct pingpong_plan *plan, struct pingpong_result *result)
{
	_cleanup_free_ double *median = malloc(sizeof(double) * (plan->blocks + plan->samples + 1));
	_cleanup_free_ uint64_t *sample = malloc(sizeof(uint64_t) * (plan->samples + 1));

	if (!median || !sample)
		return worker_fail(w, "out of memory");
	/* touch the pages now, not while the clock runs */
	memset(median, 0, sizeof(double) * (plan->blocks + plan->samples + 1));
	memset(sample, 0, sizeof(uint64_t) * (plan->samples + 1));

	for (uint32_t i = 0; i < plan->warmup; i++)
		if (trip(w, end))
			return -1;
	if (pingpong_blocks(w, trip, end, plan, median) || pingpong_samples(w, trip, end, plan, sample))
		return -1;

	for (uint32_t i = 0; i < plan->samples; i++) {
		if (result->hist)
			bench_hist_add(result->hist, sample[i]);
		if (!plan->blocks)
			median[i] = (double)sample[i];
	}
	result->round_trip = bench_median(median, plan->blocks ? plan->blocks : plan->samples);
	return 0;
}

PINGPONG_INLINE int pingpong_follow(struct worker *w, trip_fn trip, void *end, const struct pingpong_plan *plan)
{
	uint64_t rounds = (uint64_t)plan->warmup + (uint64_t)plan->blocks * plan->block_rounds + plan->samples;

	for (uint64_t i = 0; i < rounds; i++)
		if (trip(w, end))
			return -1;
	return 0;
}

/* ---- publish and subscribe: what `latency` measures, and two of it is the floor of a call --------------------------- */

struct pubsub_end {
	zcp_node *node;
	zcp_publisher *publisher;
	zcp_subscriber *subscriber;
	size_t size;
	uint64_t n;
};

PINGPONG_INLINE int pubsub_put(struct worker *w, struct pubsub_end *end, uint64_t n)
{
	void *payload;
	int r = zcp_publisher_loan(end->publisher, end->size, &payload);

	if (__builtin_expect(r < 0, 0))
		return worker_fail_zcp(w, "zcp_publisher_loan", r);
	*(uint64_t *)payload = n;
	r = zcp_publisher_publish(end->publisher, payload, end->size);
	return __builtin_expect(r != 1, 0) ? worker_fail_zcp(w, "zcp_publisher_publish to one subscriber", r < 0 ? r : -ENOTCONN) : 0;
}

PINGPONG_INLINE int pubsub_get(struct worker *w, struct pubsub_end *end, uint64_t n, bool blocking)
{
	struct zcp_sample sample;
	struct spin spin = { 0 };
	uint64_t word;
	size_t size;
	int r;

	while ((r = zcp_subscriber_take(end->subscriber, &sample)) == -EAGAIN) {
		if (blocking) {
			r = zcp_subscriber_wait(end->subscriber, BENCH_WAIT_NS);
			if (r < 0)
				return worker_fail_zcp(w, "zcp_subscriber_wait", r);
		} else if (worker_spin(w, &spin)) {
			return -1;
		}
	}
	if (__builtin_expect(r < 0, 0))
		return worker_fail_zcp(w, "zcp_subscriber_take", r);
	word = *(const uint64_t *)sample.data;
	size = sample.size;
	zcp_sample_release(&sample);
	return __builtin_expect(word != n || size != end->size, 0) ? worker_fail(w, "message %llu arrived as %llu with %zu bytes", (unsigned long long)n,
										 (unsigned long long)word, size)
								   : 0;
}

PINGPONG_INLINE int pubsub_ping(struct worker *w, void *arg)
{
	struct pubsub_end *end = arg;
	uint64_t n = ++end->n;

	return pubsub_put(w, end, n) || pubsub_get(w, end, n, false) ? -1 : 0;
}

PINGPONG_INLINE int pubsub_pong(struct worker *w, void *arg)
{
	struct pubsub_end *end = arg;
	uint64_t n = ++end->n;

	return pubsub_get(w, end, n, false) || pubsub_put(w, end, n) ? -1 : 0;
}

PINGPONG_INLINE int pubsub_ping_blocking(struct worker *w, void *arg)
{
	struct pubsub_end *end = arg;
	uint64_t n = ++end->n;

	return pubsub_put(w, end, n) || pubsub_get(w, end, n, true) ? -1 : 0;
}

PINGPONG_INLINE int pubsub_pong_blocking(struct worker *w, void *arg)
{
	struct pubsub_end *end = arg;
	uint64_t n = ++end->n;

	return pubsub_get(w, end, n, true) || pubsub_put(w, end, n) ? -1 : 0;
}

#endif
