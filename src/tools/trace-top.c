/* SPDX-License-Identifier: MIT */
/*
 * trace-top.c - zcp-trace top: the topics with most messages, live
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/text.h"
#include "tools/trace-flow.h"
#include "tools/trace-histogram.h"

static int load(struct trace *trace)
{
	return flows_load(trace, true);
}

/* What came since the last report, or since the beginning. */
struct figures {
	const struct flow *flow;
	double seconds;
	uint64_t published, published_bytes, taken, taken_bytes, lost;
	struct trace_histogram latency;
};

static void fill(const struct trace *trace, const struct flow *flow, bool last, struct figures *f)
{
	const struct trace_taken *taken = &flow->taken, *before = &flow->taken_before;

	*f = (struct figures){
		.flow = flow, .published = flow->published.n, .published_bytes = flow->published.bytes, .taken = taken->n,
		.taken_bytes = taken->bytes, .lost = taken->lost, .latency = taken->latency,
		.seconds = (double)(trace->now_ns - (last ? trace->start_ns : trace->last_ns)) / 1e9,
	};
	if (last)
		return;
	f->published -= flow->published_before.n;
	f->published_bytes -= flow->published_before.bytes;
	f->taken -= before->n;
	f->taken_bytes -= before->bytes;
	f->lost -= before->lost;
	histogram_since(&f->latency, &taken->latency, &before->latency);
}

/* Most messages first; of equally many by name. */
static int compare(const void *left, const void *right)
{
	const struct figures *a = left, *b = right;
	uint64_t n = a->published > a->taken ? a->published : a->taken, m = b->published > b->taken ? b->published : b->taken;

	return n != m ? (n > m ? -1 : 1) : strcmp(a->flow->topic, b->flow->topic);
}

static void print_json(const struct trace *trace, const struct figures *f, bool last)
{
	json_t *object = json_pack("{s:s, s:I, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "type", last ? "total" : "interval",
				   "time_ns", (json_int_t)trace->now_ns, "topic", f->flow->topic, "kind", f->flow->kind, "seconds", f->seconds,
				   "published", (json_int_t)f->published, "published_bytes", (json_int_t)f->published_bytes,
				   "taken", (json_int_t)f->taken, "taken_bytes", (json_int_t)f->taken_bytes,
				   "lost", (json_int_t)f->lost, "lost_total", (json_int_t)f->flow->taken.lost);

	histogram_json(object, &f->latency);
	trace_json(object);
}

static void add_row(struct table *table, const struct figures *f)
{
	char text[TRACE_TIME], number[TEXT_NUMBER];
	struct percentiles p;

	histogram_percentiles(&f->latency, &p);
	table_row(table);
	table_cell(table, 0, "%s", f->flow->topic);
	table_cell(table, 1, "%s", f->flow->kind);
	table_cell(table, 2, "%.0f", (double)f->published / f->seconds);
	table_cell(table, 3, "%s", text_bytes((uint64_t)((double)f->published_bytes / f->seconds), number));
	table_cell(table, 4, "%.0f", (double)f->taken / f->seconds);
	if (p.n) {
		table_cell(table, 5, "%s", trace_ns(p.p50_ns, text));
		table_cell(table, 6, "%s", trace_ns(p.p99_ns, text));
	}
	table_cell(table, 7, "%" PRIu64, f->lost);
	table_cell(table, 8, "%" PRIu64, f->flow->taken.lost);
}

static int screen_rows(const struct trace *trace)
{
	struct winsize size;

	return trace->redraw && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4 ? size.ws_row : 0;
}

static int print_table(const struct trace *trace, const struct figures *figures, int n, bool last)
{
	static const char *const heads[] = { "TOPIC", "KIND", "MSG/S", "BYTES/S", "TAKEN/S", "P50", "P99", "LOST", "ALL LOST" };
	int rows = screen_rows(trace), shown = rows && n > rows - 3 ? rows - 3 : n;
	struct table table;
	char time[TRACE_TIME];
	bool failed;

	table_init(&table, 9);
	table_row(&table);
	for (int i = 0; i < (int)(sizeof(heads) / sizeof(*heads)); i++)
		table_cell(&table, i, "%s", heads[i]);
	for (int i = 0; i < shown; i++)
		add_row(&table, &figures[i]);
	trace_begin_table(trace);
	printf("%s  %s%d topic%s\n", trace_time(trace->now_ns, time), last ? "all: " : "", n, n == 1 ? "" : "s");
	table_print(&table, stdout, 0, table.n_rows, 0);
	if (shown < n)
		printf("and %d more\n", n - shown);
	else if (!trace->redraw)
		putchar('\n');
	failed = table.failed;
	table_deinit(&table);
	return failed ? -ENOMEM : 0;
}

static int report(struct trace *trace, bool last)
{
	struct figures *figures;
	int r, n = 0;
	struct flow *flows = flows_read(trace, &r);

	if (r < 0)
		return r;
	figures = calloc((size_t)HASH_COUNT(flows) + 1, sizeof(*figures));
	if (!figures)
		return -ENOMEM;
	for (const struct flow *flow = flows; flow; flow = flow->hh.next)
		fill(trace, flow, last, &figures[n++]);
	qsort(figures, (size_t)n, sizeof(*figures), compare);
	if (trace->options.json)
		for (int i = 0; i < n; i++)
			print_json(trace, &figures[i], last);
	else
		r = print_table(trace, figures, n, last);
	free(figures);
	return r;
}

const struct trace_command trace_top = {
	.name = "top",
	.summary = "the topics with most messages: rates, latency, losses, live",
	.help = "Topics by messages per second: rates of what was published and taken, latency and losses in\n"
		"each interval; at the end of all.\n",
	.redraws = true,
	.has_stragglers = true,
	.load = load,
	.report = report,
	.unload = flows_unload,
	.n_dropped = flows_n_dropped,
};
