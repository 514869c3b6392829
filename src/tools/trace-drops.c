/* SPDX-License-Identifier: MIT */
/*
 * trace-drops.c - zcp-trace drops: who lost messages of whom, and what it did meanwhile
 *
 * A line for each gap as it is noticed; at the end the sums, which are exact also where there were more gaps than lines.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/text.h"
#include "tools/trace.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/trace-drops.skel.h"
#pragma GCC diagnostic pop

static const char *const states[] = {
	[TRACE_RUNNING] = "running", [TRACE_RUNNABLE] = "runnable", [TRACE_BLOCKED] = "blocked", [TRACE_STOPPED] = "stopped",
	[TRACE_UNKNOWN] = "unknown",
};

static int load(struct trace *trace)
{
	struct trace_drops_bpf *s = trace_drops_bpf__open();
	int r;

	if (!s)
		return trace_loaded(-errno);
	trace->state = s;
	trace_fill_filter(trace, (struct trace_filter *)&s->rodata->filter);
	r = trace_loaded(trace_drops_bpf__load(s));
	if (r == 0)
		r = trace_loaded(trace_drops_bpf__attach(s));
	if (r == 0)
		r = trace_probe(trace, "zcp", "lost", s->progs.on_lost, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "take", s->progs.on_take, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "publish", s->progs.on_publish, 0);
	return r < 0 ? r : trace_maps(trace, s->maps.endpoints, s->maps.gaps);
}

static void unload(struct trace *trace)
{
	trace_drops_bpf__destroy(trace->state);
}

static uint64_t n_dropped(const struct trace *trace)
{
	const struct trace_drops_bpf *s = trace->state;

	return __atomic_load_n(&s->bss->n_dropped, __ATOMIC_RELAXED);
}

/* ---- who --------------------------------------------------------------------------------------------------------- */

struct ends {
	const struct name_endpoint *subscriber, *publisher;
	const struct name_node *reader, *writer;
};

static bool find_ends(struct trace *trace, const struct trace_pair *pair, struct ends *ends)
{
	*ends = (struct ends){ .subscriber = names_owner(trace->names, pair->subscriber) };
	if (!ends->subscriber)
		return false;
	ends->publisher = names_endpoint(trace->names, pair->publisher);
	ends->reader = names_node(trace->names, ends->subscriber->node);
	if (ends->publisher)
		ends->writer = names_node(trace->names, ends->publisher->node);
	return ends->subscriber->wanted;
}

static const char *name_of(const struct name_node *node)
{
	return node ? node->name : "?";
}

static unsigned int longest(const uint64_t state_ns[TRACE_STATES])
{
	unsigned int state = TRACE_UNKNOWN;
	uint64_t most = 0;

	for (unsigned int i = 0; i < TRACE_STATES; i++) {
		if (state_ns[i] > most) {
			most = state_ns[i];
			state = i;
		}
	}
	return state;
}

static json_t *states_json(const uint64_t values[TRACE_STATES])
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < TRACE_STATES; i++)
		json_object_set_new(object, states[i], json_integer((json_int_t)values[i]));
	return object;
}

static void add_ends(json_t *object, const struct trace_pair *pair, const struct ends *ends)
{
	json_object_set_new(object, "topic", json_string(ends->subscriber->topic));
	json_object_set_new(object, "kind", json_string(ends->subscriber->kind));
	json_object_set_new(object, "subscriber", json_integer((json_int_t)pair->subscriber));
	json_object_set_new(object, "publisher", json_integer((json_int_t)pair->publisher));
	if (ends->reader) {
		json_object_set_new(object, "reader", json_string(ends->reader->name));
		json_object_set_new(object, "reader_pid", json_integer(ends->reader->pid));
	}
	if (ends->writer)
		json_object_set_new(object, "writer", json_string(ends->writer->name));
}

/* ---- a gap ------------------------------------------------------------------------------------------------------- */

static void print_gap_json(const struct trace_gap *gap, const struct ends *ends)
{
	json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:s, s:o}", "type", "gap", "time_ns", (json_int_t)gap->time_ns,
				   "lost", (json_int_t)gap->n_lost, "sequence", (json_int_t)gap->sequence,
				   "state", states[longest(gap->state_ns)], "state_ns", states_json(gap->state_ns));

	add_ends(object, &gap->pair, ends);
	if (gap->queued != ~0ull)
		json_object_set_new(object, "queued", json_integer((json_int_t)gap->queued));
	trace_json(object);
}

/* "blocked 98 %, running 2 %" */
static void print_states(const uint64_t state_ns[TRACE_STATES])
{
	const char *separator = "";
	uint64_t all = 0;

	for (unsigned int i = 0; i < TRACE_STATES; i++)
		all += state_ns[i];
	for (unsigned int i = 0; all && i < TRACE_STATES; i++) {
		double percent = (double)state_ns[i] * 100 / (double)all;

		if (percent < 0.5)
			continue;
		printf("%s%s %.0f %%", separator, states[i], percent);
		separator = ", ";
	}
}

static void print_gap(const struct trace_gap *gap, const struct ends *ends)
{
	char time[TRACE_TIME];

	printf("%s  ", trace_time(gap->time_ns, time));
	trace_print_safe(ends->subscriber->topic, 0);
	putchar(' ');
	trace_print_safe(name_of(ends->reader), 0);
	printf("[%u] lost %" PRIu64 " of ", gap->pid, gap->n_lost);
	trace_print_safe(name_of(ends->writer), 0);
	if (gap->since_ns) {
		printf("; in the %s since its last take: ", trace_ns(gap->time_ns - gap->since_ns, time));
		print_states(gap->state_ns);
	}
	if (gap->queued != ~0ull)
		printf("; %" PRIu64 " queued", gap->queued);
	putchar('\n');
}

static void record(struct trace *trace, const void *data, size_t bytes)
{
	const struct trace_gap *gap = data;
	struct ends ends;

	if (bytes < sizeof(*gap) || !find_ends(trace, &gap->pair, &ends))
		return;
	if (trace->options.json)
		print_gap_json(gap, &ends);
	else
		print_gap(gap, &ends);
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void print_sum_json(const struct trace_pair *pair, const struct trace_losses *l, const struct ends *ends)
{
	json_t *object = json_pack("{s:s, s:I, s:I, s:o, s:o, s:I}", "type", "total", "lost", (json_int_t)l->n_lost,
				   "gaps", (json_int_t)l->n_gaps, "state_ns", states_json(l->state_ns),
				   "state_lost", states_json(l->state_lost), "max_queued", (json_int_t)l->max_queued);

	add_ends(object, pair, ends);
	trace_json(object);
}

static void add_sum(struct table *table, const struct trace_losses *l, const struct ends *ends)
{
	table_row(table);
	table_cell(table, 0, "%s", ends->subscriber->topic);
	table_cell(table, 1, "%s[%u]", name_of(ends->reader), ends->reader ? ends->reader->pid : 0);
	table_cell(table, 2, "%s", name_of(ends->writer));
	table_cell(table, 3, "%" PRIu64, l->n_lost);
	table_cell(table, 4, "%" PRIu64, l->n_gaps);
	for (int i = 0; i < TRACE_UNKNOWN; i++)
		table_cell(table, 5 + i, "%" PRIu64, l->state_lost[i]);
	table_cell(table, 9, "%" PRIu64, l->max_queued);
}

static int report(struct trace *trace, bool last)
{
	static const char *const heads[] = {
		"TOPIC", "READER", "WRITER", "LOST", "GAPS", "RUNNING", "RUNNABLE", "BLOCKED", "STOPPED", "QUEUED",
	};
	const struct trace_drops_bpf *s = trace->state;
	struct trace_losses losses;
	struct trace_pair pair;
	struct table table;
	struct ends ends;
	bool failed;

	if (!last)
		return 0;
	table_init(&table, 10);
	table.right = ~7u;	/* all numbers; not the three names */
	table_row(&table);
	for (int i = 0; i < 10; i++)
		table_cell(&table, i, "%s", heads[i]);
	for (struct trace_walk walk = { 0 }; trace_next(&walk, s->maps.losses, &pair, sizeof(pair), &losses);) {
		if (!find_ends(trace, &pair, &ends))
			continue;
		if (trace->options.json)
			print_sum_json(&pair, &losses, &ends);
		else
			add_sum(&table, &losses, &ends);
	}
	if (table.n_rows > 1) {
		puts("\nmessages lost, and what their readers did most of the time since the take before");
		table_fit(&table, 0, text_terminal_columns());
		table_print(&table, stdout, 0, table.n_rows, 0);
	} else if (!trace->options.json) {
		puts("nothing was lost");
	}
	failed = table.failed;
	table_deinit(&table);
	return failed ? -ENOMEM : 0;
}

const struct trace_command trace_drops = {
	.name = "drops",
	.summary = "lost messages, their readers, and what these were doing",
	.help = "A line for each gap in what a subscriber takes: how many it lost of whom, and what its thread\n"
		"did since its last take: running, runnable (it waited for a processor), blocked, or stopped.\n",
	.load = load,
	.record = record,
	.report = report,
	.unload = unload,
	.n_dropped = n_dropped,
};
