/* SPDX-License-Identifier: MIT */
/*
 * trace-wakeups.c - zcp-trace wakeups: where the time goes until a sleeping reader has its message
 *
 * The legs of the way, from bpf/trace-wakeups.bpf.c: in zcp, ringing the doorbell, until the scheduler gives the reader a processor, and
 * from there to the take.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"
#include "tools/trace-histogram.h"
#include "tools/trace.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/trace-wakeups.skel.h"
#pragma GCC diagnostic pop

static const char *const leg_names[] = {
	[TRACE_LEG_PUBLISH] = "publish", [TRACE_LEG_DOORBELL] = "doorbell", [TRACE_LEG_SCHEDULE] = "schedule", [TRACE_LEG_TAKE] = "take",
	[TRACE_LEG_ALL] = "all",
};

struct way {
	char key[3 * WIRE_NAME_BYTES + 16];	/* kind, NUL, topic */
	const char *kind, *topic;
	struct trace_wakeups now, before;
	struct trace_histogram legs[TRACE_LEGS], legs_before[TRACE_LEGS];
	UT_hash_handle hh;
};

struct state {
	struct trace_wakeups_bpf *skeleton;
	struct way *ways;
};

static int load(struct trace *trace)
{
	struct state *state = calloc(1, sizeof(*state));
	struct trace_wakeups_bpf *s;
	int r;

	if (!state)
		return trace_loaded(-ENOMEM);
	trace->state = state;
	s = state->skeleton = trace_wakeups_bpf__open();
	if (!s)
		return trace_loaded(-errno);
	trace_fill_filter(trace, (struct trace_filter *)&s->rodata->filter);
	r = trace_loaded(trace_wakeups_bpf__load(s));
	if (r == 0)
		r = trace_loaded(trace_wakeups_bpf__attach(s));
	if (r == 0)
		r = trace_probe(trace, "zcp", "publish", s->progs.on_publish, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "ring", s->progs.on_ring, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "wait_begin", s->progs.on_wait, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "take", s->progs.on_take, 0);
	return r < 0 ? r : trace_maps(trace, s->maps.endpoints, NULL);
}

static void unload(struct trace *trace)
{
	struct state *state = trace->state;
	struct way *way, *next;

	if (!state)
		return;
	HASH_ITER(hh, state->ways, way, next) {
		HASH_DEL(state->ways, way);
		free(way);
	}
	trace_wakeups_bpf__destroy(state->skeleton);
	free(state);
}

static uint64_t n_dropped(const struct trace *trace)
{
	const struct state *state = trace->state;

	return __atomic_load_n(&state->skeleton->bss->n_dropped, __ATOMIC_RELAXED);
}

/* ---- adding up by topic ------------------------------------------------------------------------------------------ */

static struct way *way_of(struct state *state, const struct name_endpoint *e)
{
	char key[sizeof(((struct way *)NULL)->key)] = { 0 };
	size_t kind_bytes = strlen(e->kind) + 1;
	struct way *way;

	memcpy(key, e->kind, kind_bytes);
	memcpy(key + kind_bytes, e->topic, strlen(e->topic));
	HASH_FIND(hh, state->ways, key, sizeof(key), way);
	if (way)
		return way;
	way = calloc(1, sizeof(*way));
	if (!way)
		return NULL;
	memcpy(way->key, key, sizeof(key));
	way->kind = way->key;
	way->topic = way->key + kind_bytes;
	HASH_ADD(hh, state->ways, key, sizeof(way->key), way);
	return way;
}

/* The way of a subscriber's topic; NULL: not to be shown, or (*r) no memory. */
static struct way *find_way(struct trace *trace, uint64_t subscriber, int *r)
{
	const struct name_endpoint *e = names_owner(trace->names, subscriber);
	struct way *way;

	if (!e || !e->wanted)
		return NULL;
	way = way_of(trace->state, e);
	if (!way)
		*r = -ENOMEM;
	return way;
}

static int read_ways(struct trace *trace)
{
	const struct state *state = trace->state;
	struct trace_leg_key key;
	struct trace_histogram h;
	struct trace_wakeups w;
	uint64_t id;
	int r = 0;

	for (struct way *way = state->ways; way; way = way->hh.next) {
		way->before = way->now;
		memcpy(way->legs_before, way->legs, sizeof(way->legs));
		memset(&way->now, 0, sizeof(way->now));
		memset(way->legs, 0, sizeof(way->legs));
	}
	for (struct trace_walk walk = { 0 }; trace_next(&walk, state->skeleton->maps.wakeups, &id, sizeof(id), &w);) {
		struct way *way = find_way(trace, id, &r);

		if (way) {
			way->now.n_taken += w.n_taken;
			way->now.n_woken += w.n_woken;
		}
	}
	for (struct trace_walk walk = { 0 }; trace_next(&walk, state->skeleton->maps.legs, &key, sizeof(key), &h);) {
		struct way *way = find_way(trace, key.subscriber, &r);

		if (way && key.leg < TRACE_LEGS)
			histogram_add(&way->legs[key.leg], &h);
	}
	return r;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static void print_json(const struct trace *trace, const struct way *way, const struct trace_histogram *legs, uint64_t taken, uint64_t woken,
		       bool last)
{
	json_t *legs_object = json_object(), *object;

	for (int i = 0; i < TRACE_LEGS; i++) {
		json_t *leg = json_object();

		json_object_set_new(leg, "count", json_integer((json_int_t)legs[i].n));
		histogram_json(leg, &legs[i]);
		json_object_set_new(legs_object, leg_names[i], leg);
	}
	object = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:o}", "type", last ? "total" : "interval", "time_ns", (json_int_t)trace->now_ns,
			   "topic", way->topic, "kind", way->kind, "taken", (json_int_t)taken, "woken", (json_int_t)woken, "legs", legs_object);
	trace_json(object);
}

static void print_table(const struct way *way, const struct trace_histogram *legs, uint64_t taken, uint64_t woken)
{
	static const char *const heads[] = { "LEG", "COUNT", "P50", "P90", "P99", "P99.9", "MAX" };
	struct table table;

	trace_print_safe(way->topic, 0);
	printf(", %s: %" PRIu64 " taken, %" PRIu64 " by a reader that slept\n", way->kind, taken, woken);
	table_init(&table, 7);
	table.right = ~1u;
	table_row(&table);
	for (int i = 0; i < 7; i++)
		table_cell(&table, i, "%s", heads[i]);
	for (int i = 0; i < TRACE_LEGS; i++) {
		struct percentiles p;
		char text[TRACE_TIME];

		histogram_percentiles(&legs[i], &p);
		if (!p.n)
			continue;
		table_row(&table);
		table_cell(&table, 0, "%s", leg_names[i]);
		table_cell(&table, 1, "%" PRIu64, p.n);
		table_cell(&table, 2, "%s", trace_ns(p.p50_ns, text));
		table_cell(&table, 3, "%s", trace_ns(p.p90_ns, text));
		table_cell(&table, 4, "%s", trace_ns(p.p99_ns, text));
		table_cell(&table, 5, "%s", trace_ns(p.p999_ns, text));
		table_cell(&table, 6, "%s", trace_ns(p.max_ns, text));
	}
	if (table.n_rows > 1)
		table_print(&table, stdout, 0, table.n_rows, 2);
	table_deinit(&table);
}

static void print_way(const struct trace *trace, const struct way *way, bool last)
{
	uint64_t taken = way->now.n_taken - (last ? 0 : way->before.n_taken);
	uint64_t woken = way->now.n_woken - (last ? 0 : way->before.n_woken);
	struct trace_histogram legs[TRACE_LEGS];

	if (!taken)
		return;
	for (int i = 0; i < TRACE_LEGS; i++) {
		legs[i] = way->legs[i];
		if (!last)
			histogram_since(&legs[i], &way->legs[i], &way->legs_before[i]);
	}
	if (trace->options.json)
		print_json(trace, way, legs, taken, woken, last);
	else
		print_table(way, legs, taken, woken);
	if (last && trace->options.histogram && !trace->options.json)
		histogram_draw(&legs[TRACE_LEG_ALL], stdout, 2);
}

static int report(struct trace *trace, bool last)
{
	const struct state *state = trace->state;
	int r = read_ways(trace);
	char time[TRACE_TIME];

	if (r < 0)
		return r;
	if (!trace->options.json && last)
		printf("\nall, until %s\n", trace_time(trace->now_ns, time));
	for (const struct way *way = state->ways; way; way = way->hh.next)
		print_way(trace, way, last);
	return 0;
}

const struct trace_command trace_wakeups = {
	.name = "wakeups",
	.summary = "publish to take of a sleeping reader, leg by leg",
	.help = "Where the time goes until a reader that sleeps has its message: publish (in zcp, until the\n"
		"doorbell), doorbell (until the kernel wakes the thread), schedule (until it is on a\n"
		"processor), take (until it has the message).\n",
	.has_histogram = true,
	.load = load,
	.report = report,
	.unload = unload,
	.n_dropped = n_dropped,
};
