/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-histogram.bpf.h - putting a time into a histogram; tools/trace-histogram.c reads it out again
 */
#ifndef ZCP_BPF_TRACE_HISTOGRAM_H
#define ZCP_BPF_TRACE_HISTOGRAM_H

#include "trace-common.bpf.h"

#define MAX_TRIES 8

/* Number of the highest bit of @v, which is not 0. */
static __always_inline unsigned int highest_bit(trace_u64 v)
{
	unsigned int n = 0;

	if (v >> 32) {
		n += 32;
		v >>= 32;
	}
	if (v >> 16) {
		n += 16;
		v >>= 16;
	}
	if (v >> 8) {
		n += 8;
		v >>= 8;
	}
	if (v >> 4) {
		n += 4;
		v >>= 4;
	}
	if (v >> 2) {
		n += 2;
		v >>= 2;
	}
	return n + (unsigned int)(v >> 1);
}

/* Below sixteen a bucket is a nanosecond; from there on each power of two has sixteen of them. */
static __always_inline unsigned int bucket_of(trace_u64 ns)
{
	unsigned int bit, bucket;

	if (ns < TRACE_STEPS)
		return (unsigned int)ns;
	bit = highest_bit(ns);
	bucket = (bit - 3) * TRACE_STEPS + (unsigned int)((ns >> (bit - 4)) & (TRACE_STEPS - 1));
	return bucket < TRACE_BUCKETS ? bucket : TRACE_BUCKETS - 1;
}

static __always_inline void histogram_add(struct trace_histogram *h, trace_u64 ns)
{
	unsigned int bucket = bucket_of(ns);
	trace_u64 max = h->max_ns;

	add(&h->n, 1);
	/* a compiler that knows the bits of the number better than the verifier leaves the comparison out, or compares a part of it */
	barrier_var(bucket);
	if (bucket < TRACE_BUCKETS)
		add(&h->buckets[bucket], 1);
	for (int i = 0; i < MAX_TRIES && ns > max; i++) {
		trace_u64 seen = __sync_val_compare_and_swap(&h->max_ns, max, ns);

		if (seen == max)
			break;
		max = seen;
	}
}

#endif
