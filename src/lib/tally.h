/* SPDX-License-Identifier: MIT */
/*
 * tally.h - what was taken or published since a tracer was last told
 *
 * A probe that somebody looks at is a trip into the kernel, which costs as much as many messages do. Who only counts need not make one for
 * each of them: while somebody looks (fork.h), a subscriber notes how long each message took, and says it for many at once:
 *
 *	taken(subscriber, count, bytes, latencies, at)		latencies: address of `count` 64-bit numbers, ns from publish to take;
 *								at: when the last of them was taken, CLOCK_MONOTONIC in ns
 *	taken_untimed(subscriber, publisher, sequence, size)	a message without a timestamp, at once
 *	published(publisher, count, bytes, at)			what a publisher has published
 *
 * It is said when there is nothing left to take, and by the next take at the latest when a millisecond or TALLY_MAX messages have passed. A
 * reader that stops in the middle of a burst leaves what it took in that millisecond to the node's thread, which looks at each heartbeat; one
 * that is killed takes it along. A reader that is slower than that says each message at once. What one tracer did not hear is not told to
 * the next: `at` is before its time.
 *
 * They share the semaphores of `take` and `publish`. Two threads, the endpoint's owner and the node's: whoever finds the other one inside does not wait,
 * but says his message by itself (owner) or comes again (node).
 */
#ifndef ZCP_LIB_TALLY_H
#define ZCP_LIB_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zcp/zcp.h"

#define TALLY_MAX 64
#define TALLY_SILENCE_NS UINT64_C(1000000)

struct tally {
	_Atomic bool busy;		/* one of the two threads is inside */
	_Atomic uint64_t n;		/* written inside */
	uint64_t said_ns;		/* when it was last said */
	uint64_t last_ns;		/* when the last one of these was taken, or published */
	uint64_t bytes;
	uint64_t *latency_ns;		/* a subscriber's: TALLY_MAX of them; NULL: a publisher's */
};

/* A subscriber's. */
struct tally_taken {
	struct tally tally;
	uint64_t latency_ns[TALLY_MAX];
};

/* @bytes were published by endpoint @publisher at @now, CLOCK_MONOTONIC in ns. */
void tally_publish(struct tally *tally, uint64_t publisher, uint64_t bytes, uint64_t now);

/* *sample was taken by endpoint @subscriber at @now. */
void tally_take(struct tally_taken *taken, uint64_t subscriber, const struct zcp_sample *sample, uint64_t now);

/* Say what is noted, if it is at least @age_ns old at @now. */
void tally_say(struct tally *tally, uint64_t endpoint, uint64_t now, uint64_t age_ns);

/* Owner: nothing more is to come now, or ever. */
static inline void tally_flush(struct tally *tally, uint64_t endpoint)
{
	if (__builtin_expect(atomic_load_explicit(&tally->n, memory_order_relaxed) != 0, 0))
		tally_say(tally, endpoint, UINT64_MAX, 0);
}

/* Node's thread, now and then: the owner may have stopped in the middle. */
static inline void tally_tick(struct tally *tally, uint64_t endpoint, uint64_t now)
{
	if (__builtin_expect(atomic_load_explicit(&tally->n, memory_order_relaxed) != 0, 0))
		tally_say(tally, endpoint, now, TALLY_SILENCE_NS);
}

#endif
