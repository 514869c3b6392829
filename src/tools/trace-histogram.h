/* SPDX-License-Identifier: MIT */
/*
 * trace-histogram.h - reading the histograms that bpf/trace-histogram.bpf.h fills
 */
#ifndef ZCP_TOOLS_TRACE_HISTOGRAM_H
#define ZCP_TOOLS_TRACE_HISTOGRAM_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/trace.h"

struct percentiles {
	uint64_t n, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

/* The smallest and the largest time of a bucket. */
uint64_t histogram_low(unsigned int bucket);
uint64_t histogram_high(unsigned int bucket);

void histogram_add(struct trace_histogram *sum, const struct trace_histogram *h);

/* What came to @before to make it @now. The longest of it is known as its bucket is, unless it is the longest of all. */
void histogram_since(struct trace_histogram *since, const struct trace_histogram *now, const struct trace_histogram *before);

/* Percentiles are the middle of the bucket they are in: within 3.2 %. All 0 where there is nothing. */
void histogram_percentiles(const struct trace_histogram *h, struct percentiles *percentiles);

/* {"p50_ns": ..., "max_ns": ...} added to @object. */
void histogram_json(json_t *object, const struct trace_histogram *h);

/* Bars, one for each power of two. */
void histogram_draw(const struct trace_histogram *h, FILE *out, int indent);

#endif
