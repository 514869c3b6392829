/* SPDX-License-Identifier: MIT */
/*
 * bench-memory.c - resident bytes of a publisher and of a subscriber
 *
 * Each in a process of its own, with default options but for payload_max 64, after enough traffic that the ring
 * went round many times. Segments are sparse, so their size says nothing: what counts is what is resident, from
 * /proc/self/smaps:
 *
 *  segments   Rss of mappings of memfd:zcp...: a segment that both map counts in both
 *  heap       growth of private dirty memory everywhere else since before the node was opened: heap, stack of the node's thread, data
 *
 * The node's own part (directory, node page, thread) is in the figure, because nobody has one without it.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench.h"

#define LIMIT (1024.0 * 1024)
#define PUBLISH_AT_ONCE 256	/* then wait for the other side; below the default depth */

struct footprint {
	uint64_t segments, other;	/* bytes */
};

struct memory_shared {
	alignas(128) _Atomic uint64_t taken;
	struct {
		double total[BENCH_RUNS_MAX], segments, heap, node;
	} side[2];
};

struct memory_arg {
	struct memory_shared *shared;
	uint32_t messages;
	int run;
};

/* A mapping's first line in smaps: "7f12...-7f13... rw-s 00000000 00:01 2051  /memfd:zcp-data (deleted)". */
static bool is_mapping_line(const char *line)
{
	uint64_t from, to;

	return sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2;
}

static int read_footprint(struct worker *w, struct footprint *f)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	bool ours = false;
	uint64_t kib;
	char line[512];

	if (!file)
		return worker_fail(w, "/proc/self/smaps: %s", strerror(errno));
	*f = (struct footprint){ 0 };
	while (fgets(line, sizeof(line), file)) {
		if (is_mapping_line(line))
			ours = strstr(line, "/memfd:zcp") != NULL;
		else if (ours && sscanf(line, "Rss: %" SCNu64, &kib) == 1)
			f->segments += kib * 1024;
		else if (!ours && sscanf(line, "Private_Dirty: %" SCNu64, &kib) == 1)
			f->other += kib * 1024;
	}
	fclose(file);
	return 0;
}

static int note(struct worker *w, const struct memory_arg *a, const struct footprint *before, const struct footprint *node)
{
	struct footprint after;
	double segments, heap;

	if (read_footprint(w, &after))
		return -1;
	segments = (double)after.segments - (double)before->segments;
	heap = (double)after.other - (double)before->other;
	a->shared->side[w->side].total[a->run] = segments + heap;
	a->shared->side[w->side].segments = segments;
	a->shared->side[w->side].heap = heap;
	a->shared->side[w->side].node = (double)(node->segments + node->other) - (double)(before->segments + before->other);
	return segments > 0 ? 0 : worker_fail(w, "/proc/self/smaps shows no segments: is /proc restricted?");
}

static int await_taken(struct worker *w, struct memory_shared *shared, uint64_t n)
{
	struct spin spin = { 0 };

	while (atomic_load_explicit(&shared->taken, memory_order_acquire) < n)
		if (worker_spin(w, &spin))
			return -1;
	return 0;
}

static int publisher_side(struct worker *w, void *arg)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64 };
	struct footprint before, node_only;
	struct memory_arg *a = arg;
	zcp_publisher *publisher;
	zcp_node *node;

	/* twice: the first call brings stdio's own memory in */
	if (read_footprint(w, &before) || read_footprint(w, &before) || worker_node(w, &node) || read_footprint(w, &node_only) ||
	    worker_publisher(w, node, "memory", &options, &publisher) || worker_connected(w, publisher, 1) || worker_meet(w))
		return -1;
	for (uint64_t n = 0; n < a->messages; n++) {
		void *payload;
		int r;

		if (n % PUBLISH_AT_ONCE == 0 && await_taken(w, a->shared, n))
			return -1;
		r = zcp_publisher_loan(publisher, 64, &payload);
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_loan", r);
		bench_fill(payload, 8, n);
		r = zcp_publisher_publish(publisher, payload, 64);
		if (r < 0)
			return worker_fail_zcp(w, "zcp_publisher_publish", r);
	}
	if (worker_meet(w) || note(w, a, &before, &node_only) || worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

static int subscriber_side(struct worker *w, void *arg)
{
	struct footprint before, node_only;
	struct memory_arg *a = arg;
	zcp_subscriber *subscriber;
	zcp_node *node;
	uint64_t wrong = 0;

	if (read_footprint(w, &before) || read_footprint(w, &before) || worker_node(w, &node) || read_footprint(w, &node_only) ||
	    worker_subscriber(w, node, "memory", NULL, &subscriber) || worker_meet(w))
		return -1;
	for (uint64_t n = 0; n < a->messages; n++) {
		struct zcp_sample sample;
		int r;

		while ((r = zcp_subscriber_take(subscriber, &sample)) == -EAGAIN) {
			r = zcp_subscriber_wait(subscriber, BENCH_WAIT_NS);
			if (r < 0)
				return worker_fail_zcp(w, "zcp_subscriber_wait", r);
		}
		if (r < 0)
			return worker_fail_zcp(w, "zcp_subscriber_take", r);
		wrong |= bench_check(sample.data, 8, n) | sample.lost;
		zcp_sample_release(&sample);
		atomic_store_explicit(&a->shared->taken, n + 1, memory_order_release);
	}
	if (wrong)
		return worker_fail(w, "a message was lost or garbled");
	if (worker_meet(w) || note(w, a, &before, &node_only) || worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

static void report(struct bench *b, const struct memory_shared *shared, int side, int runs)
{
	struct bench_row row = { .section = "memory", .unit = BENCH_BYTES, .target = LIMIT, .n = runs };

	snprintf(row.name, sizeof(row.name), "%s and its node", side ? "subscriber" : "publisher");
	for (int i = 0; i < runs; i++) {
		row.value[i] = shared->side[side].total[i];
		row.floor[i] = NAN;
	}
	bench_row_extra(&row, "segments", shared->side[side].segments);
	bench_row_extra(&row, "heap", shared->side[side].heap);
	bench_row_extra(&row, "node", shared->side[side].node);
	snprintf(row.note, sizeof(row.note), "heap %.0f", shared->side[side].heap / 1024);
	bench_report_row(b, &row);
}

int bench_memory(struct bench *b)
{
	struct memory_arg a = { .shared = bench_shared_new(b, sizeof(*a.shared)), .messages = bench_rounds(b, 200000, 8192) };
	int r = a.shared ? 0 : -1;

	/* new processes for each run: what was touched once stays resident */
	for (a.run = 0; a.run < b->runs && !r; a.run++) {
		atomic_store_explicit(&a.shared->taken, 0, memory_order_relaxed);
		r = bench_pair(b, "memory", publisher_side, subscriber_side, &a);
	}
	for (int side = 0; side < 2 && !r; side++)
		report(b, a.shared, side, b->runs);
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r;
}
