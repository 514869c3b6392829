/* SPDX-License-Identifier: MIT */
/*
 * trace-latency.c - zcp-trace latency: how long messages take from publish to take, by topic
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "tools/text.h"
#include "tools/trace-flow.h"
#include "tools/trace-histogram.h"

static int load(struct trace *trace)
{
	return flows_load(trace, false);
}

static void print_json(const struct trace *trace, const struct flow *flow, const struct trace_histogram *h, uint64_t n, uint64_t untimed,
		       bool last)
{
	json_t *object = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I}", "type", last ? "total" : "interval", "time_ns", (json_int_t)trace->now_ns,
				   "topic", flow->topic, "kind", flow->kind, "count", (json_int_t)n, "untimed", (json_int_t)untimed);

	histogram_json(object, h);
	trace_json(object);
}

static void add_row(struct table *table, const struct flow *flow, const struct trace_histogram *h, uint64_t n, uint64_t untimed)
{
	struct percentiles p;
	char text[TRACE_TIME];

	histogram_percentiles(h, &p);
	table_row(table);
	table_cell(table, 0, "%s", flow->topic);
	table_cell(table, 1, "%s", flow->kind);
	table_cell(table, 2, "%" PRIu64, n);
	if (p.n) {
		table_cell(table, 3, "%s", trace_ns(p.p50_ns, text));
		table_cell(table, 4, "%s", trace_ns(p.p90_ns, text));
		table_cell(table, 5, "%s", trace_ns(p.p99_ns, text));
		table_cell(table, 6, "%s", trace_ns(p.p999_ns, text));
		table_cell(table, 7, "%s", trace_ns(p.max_ns, text));
	}
	if (untimed)
		table_cell(table, 8, "%" PRIu64 " without a time", untimed);
}

static void head(struct table *table)
{
	static const char *const heads[] = { "TOPIC", "KIND", "COUNT", "P50", "P90", "P99", "P99.9", "MAX" };

	table_init(table, 9);
	table->right = 0xfc;	/* all numbers; not topic, kind, and the remark */
	table_row(table);
	for (int i = 0; i < (int)(sizeof(heads) / sizeof(*heads)); i++)
		table_cell(table, i, "%s", heads[i]);
}

/* What came since the last report; at the end all of it. False: nothing. */
static bool figures(const struct flow *flow, bool last, struct trace_histogram *h, uint64_t *n, uint64_t *untimed)
{
	const struct trace_taken *now = &flow->taken, *before = &flow->taken_before;
	uint64_t timed;

	*h = now->latency;
	*n = now->n;
	if (!last) {
		histogram_since(h, &now->latency, &before->latency);
		*n -= before->n;
	}
	timed = h->n < *n ? h->n : *n;
	*untimed = *n - timed;
	return *n;
}

static int report(struct trace *trace, bool last)
{
	struct trace_histogram h;
	struct table table;
	uint64_t n, untimed;
	char time[TRACE_TIME];
	bool failed;
	int r;

	head(&table);
	for (const struct flow *flow = flows_read(trace, &r); flow; flow = flow->hh.next) {
		if (!figures(flow, last, &h, &n, &untimed))
			continue;
		if (trace->options.json)
			print_json(trace, flow, &h, n, untimed, last);
		else
			add_row(&table, flow, &h, n, untimed);
	}
	if (table.n_rows > 1) {
		printf("%s%s\n", last ? "\nall, until " : "", trace_time(trace->now_ns, time));
		table_fit(&table, 0, text_terminal_columns());
		table_print(&table, stdout, 0, table.n_rows, 0);
	} else if (last && !trace->options.json) {
		puts("nothing was taken");
	}
	failed = table.failed;
	table_deinit(&table);
	return failed ? -ENOMEM : r;
}

static void draw(struct trace *trace)
{
	int r;

	for (const struct flow *flow = flows_read(trace, &r); flow; flow = flow->hh.next) {
		if (!flow->taken.latency.n)
			continue;
		printf("\n%s, %s\n", flow->topic, flow->kind);
		histogram_draw(&flow->taken.latency, stdout, 2);
	}
}

static int report_and_draw(struct trace *trace, bool last)
{
	int r = report(trace, last);

	if (r == 0 && last && trace->options.histogram && !trace->options.json)
		draw(trace);
	return r;
}

const struct trace_command trace_latency = {
	.name = "latency",
	.summary = "how long messages take from publish to take, by topic",
	.help = "How long messages take from publish to take, by topic: percentiles of what came in each\n"
		"interval, and at the end of all. Every message counts.\n",
	.has_histogram = true,
	.has_stragglers = true,
	.load = load,
	.report = report_and_draw,
	.unload = flows_unload,
	.n_dropped = flows_n_dropped,
};
