/* SPDX-License-Identifier: MIT */
/*
 * trace-histogram.c - see trace-histogram.h
 */
#include "tools/trace-histogram.h"

#include <inttypes.h>

#include "tools/trace.h"

#define BAR_WIDTH 50

uint64_t histogram_low(unsigned int bucket)
{
	unsigned int step = bucket % TRACE_STEPS, power = bucket / TRACE_STEPS;

	return power ? (uint64_t)(TRACE_STEPS + step) << (power - 1) : step;
}

uint64_t histogram_high(unsigned int bucket)
{
	return histogram_low(bucket + 1) - 1;
}

void histogram_add(struct trace_histogram *sum, const struct trace_histogram *h)
{
	sum->n += h->n;
	if (h->max_ns > sum->max_ns)
		sum->max_ns = h->max_ns;
	for (unsigned int i = 0; i < TRACE_BUCKETS; i++)
		sum->buckets[i] += h->buckets[i];
}

void histogram_since(struct trace_histogram *since, const struct trace_histogram *now, const struct trace_histogram *before)
{
	unsigned int top = 0;

	since->n = now->n - before->n;
	for (unsigned int i = 0; i < TRACE_BUCKETS; i++) {
		since->buckets[i] = now->buckets[i] - before->buckets[i];
		if (since->buckets[i])
			top = i;
	}
	since->max_ns = now->max_ns;
	if (now->max_ns == before->max_ns && histogram_high(top) < now->max_ns)
		since->max_ns = histogram_high(top);
}

/* The time that @share of all are not longer than. */
static uint64_t percentile(const struct trace_histogram *h, uint64_t n, double share)
{
	uint64_t rank = (uint64_t)((double)n * share), seen = 0;
	unsigned int i = 0;
	uint64_t middle;

	while (i < TRACE_BUCKETS - 1 && (seen += h->buckets[i]) <= rank)
		i++;
	middle = (histogram_low(i) + histogram_high(i)) / 2;
	return middle < h->max_ns ? middle : h->max_ns;
}

void histogram_percentiles(const struct trace_histogram *h, struct percentiles *p)
{
	uint64_t n = 0;

	/* the sum and not h->n: it was read while others counted */
	for (unsigned int i = 0; i < TRACE_BUCKETS; i++)
		n += h->buckets[i];
	*p = (struct percentiles){ .n = n };
	if (!n)
		return;
	p->p50_ns = percentile(h, n, 0.5);
	p->p90_ns = percentile(h, n, 0.9);
	p->p99_ns = percentile(h, n, 0.99);
	p->p999_ns = percentile(h, n, 0.999);
	p->max_ns = h->max_ns;
}

void histogram_json(json_t *object, const struct trace_histogram *h)
{
	struct percentiles p;

	histogram_percentiles(h, &p);
	json_object_set_new(object, "p50_ns", json_integer((json_int_t)p.p50_ns));
	json_object_set_new(object, "p90_ns", json_integer((json_int_t)p.p90_ns));
	json_object_set_new(object, "p99_ns", json_integer((json_int_t)p.p99_ns));
	json_object_set_new(object, "p999_ns", json_integer((json_int_t)p.p999_ns));
	json_object_set_new(object, "max_ns", json_integer((json_int_t)p.max_ns));
}

void histogram_draw(const struct trace_histogram *h, FILE *out, int indent)
{
	uint64_t sums[TRACE_BUCKETS / TRACE_STEPS] = { 0 }, most = 1;
	unsigned int first = TRACE_BUCKETS / TRACE_STEPS, last = 0;

	for (unsigned int i = 0; i < TRACE_BUCKETS; i++) {
		unsigned int power = i / TRACE_STEPS;

		sums[power] += h->buckets[i];
		if (sums[power] > most)
			most = sums[power];
		if (h->buckets[i] && power < first)
			first = power;
		if (h->buckets[i])
			last = power;
	}
	for (unsigned int i = first; i <= last; i++) {
		char from[TRACE_TIME], to[TRACE_TIME];
		int width = (int)((double)sums[i] * BAR_WIDTH / (double)most + 0.5);

		fprintf(out, "%*s%8s - %-8s %10" PRIu64 " |", indent, "", trace_ns(histogram_low(i * TRACE_STEPS), from),
			trace_ns(histogram_low((i + 1) * TRACE_STEPS), to), sums[i]);
		for (int w = 0; w < width; w++)
			fputc('#', out);
		fputc('\n', out);
	}
}
