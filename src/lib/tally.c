/* SPDX-License-Identifier: MIT */
/*
 * tally.c - see tally.h
 */
#include "lib/tally.h"

#include "common/probe.h"

static inline bool enter(struct tally *t)
{
	return !atomic_exchange_explicit(&t->busy, true, memory_order_acquire);
}

static inline void leave(struct tally *t)
{
	atomic_store_explicit(&t->busy, false, memory_order_release);
}

/* Inside. */
static void say(struct tally *t, uint64_t endpoint)
{
	uint64_t n = atomic_load_explicit(&t->n, memory_order_relaxed);

	if (!n)
		return;
	if (t->latency_ns)
		PROBE_NOW(zcp, taken, endpoint, n, t->bytes, t->latency_ns, t->last_ns);
	else
		PROBE_NOW(zcp, published, endpoint, n, t->bytes, t->last_ns);
	t->said_ns = t->last_ns;
	t->bytes = 0;
	atomic_store_explicit(&t->n, 0, memory_order_relaxed);
}

void tally_say(struct tally *t, uint64_t endpoint, uint64_t now, uint64_t age_ns)
{
	if (!enter(t))
		return;
	if (!age_ns || (int64_t)(now - t->last_ns) >= (int64_t)age_ns)
		say(t, endpoint);
	leave(t);
}

/* Inside. */
static void note(struct tally *t, uint64_t endpoint, uint64_t bytes, uint64_t latency_ns, uint64_t now)
{
	bool due = now - t->said_ns >= TALLY_SILENCE_NS;
	uint64_t n;

	/* these may have been noted for a tracer that is gone: not together with a message of today */
	if (due)
		say(t, endpoint);
	n = atomic_load_explicit(&t->n, memory_order_relaxed);
	if (t->latency_ns)
		t->latency_ns[n] = latency_ns;
	t->bytes += bytes;
	t->last_ns = now;
	atomic_store_explicit(&t->n, n + 1, memory_order_relaxed);
	if (due || n + 1 == TALLY_MAX)
		say(t, endpoint);
}

void tally_publish(struct tally *t, uint64_t publisher, uint64_t bytes, uint64_t now)
{
	if (enter(t)) {
		note(t, publisher, bytes, 0, now);
		leave(t);
	} else {
		PROBE_NOW(zcp, published, publisher, UINT64_C(1), bytes, now);
	}
}

void tally_take(struct tally_taken *taken, uint64_t subscriber, const struct zcp_sample *sample, uint64_t now)
{
	uint64_t latency_ns = now > sample->timestamp_ns ? now - sample->timestamp_ns : 0;
	struct tally *t = &taken->tally;

	if (!sample->timestamp_ns) {
		PROBE_NOW(zcp, taken_untimed, subscriber, sample->publisher, sample->sequence, (uint64_t)sample->size);
	} else if (enter(t)) {
		t->latency_ns = taken->latency_ns;
		note(t, subscriber, sample->size, latency_ns, now);
		leave(t);
	} else {
		PROBE_NOW(zcp, taken, subscriber, UINT64_C(1), (uint64_t)sample->size, &latency_ns, now);
	}
}
