/* SPDX-License-Identifier: MIT */
/*
 * trace-top.c - zcp-trace top: the topics with most messages, live
 *
 * On a terminal each report is drawn in the place of the one before (trace-screen.h), as many topics as there are lines; when its size changes, the
 * last report is drawn again. Elsewhere, and at the end, tables follow each other. A topic that lost messages in the interval begins with '!'.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"
#include "tools/trace-flow.h"
#include "tools/trace-histogram.h"
#include "tools/trace-screen.h"

#define NARROW 100	/* columns: of fewer none is left for the kind of a topic */

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

/* The last report. */
static struct {
	struct figures *figures;
	int n;
} shown;

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

/* ---- the table --------------------------------------------------------------------------------------------------- */

enum { T_TOPIC, T_KIND, T_RATE, T_BYTES, T_TAKEN, T_P50, T_P99, T_LOST, T_ALL_LOST, N_COLUMNS };

static void add_heads(struct table *table, int columns)
{
	static const char *const heads[N_COLUMNS] = { "  TOPIC", "KIND", "MSG/S", "B/S", "RCV/S", "P50", "P99", "LOST", "ALL LOST" };

	table_init(table, N_COLUMNS);
	table->right = ~(1u << T_TOPIC | 1u << T_KIND);
	table_row(table);
	for (int i = 0; i < N_COLUMNS; i++)
		if (i != T_KIND || !columns || columns >= NARROW)
			table_cell(table, i, "%s", heads[i]);
}

static void add_row(struct table *table, const struct figures *f, int columns)
{
	char text[TRACE_TIME], number[TEXT_NUMBER];
	struct percentiles p;

	histogram_percentiles(&f->latency, &p);
	table_row(table);
	table_cell(table, T_TOPIC, "%s%s", f->lost ? "! " : "  ", f->flow->topic);
	if (!columns || columns >= NARROW)
		table_cell(table, T_KIND, "%s", f->flow->kind);
	table_cell(table, T_RATE, "%s", text_short((double)f->published / f->seconds, number));
	table_cell(table, T_BYTES, "%s", text_short((double)f->published_bytes / f->seconds, number));
	table_cell(table, T_TAKEN, "%s", text_short((double)f->taken / f->seconds, number));
	if (p.n) {
		table_cell(table, T_P50, "%s", trace_ns(p.p50_ns, text));
		table_cell(table, T_P99, "%s", trace_ns(p.p99_ns, text));
	}
	table_cell(table, T_LOST, "%s", text_short_count(f->lost, number));
	table_cell(table, T_ALL_LOST, "%s", text_short_count(f->flow->taken.lost, number));
}

/* The first @rows topics for a terminal of @columns, 0: as wide as need be. 0 or -ENOMEM. */
static int print_table(FILE *out, int rows, int columns)
{
	struct table table;
	bool failed;

	add_heads(&table, columns);
	for (int i = 0; i < rows; i++)
		add_row(&table, &shown.figures[i], columns);
	table_fit(&table, T_TOPIC, columns);
	table_print(&table, out, 0, table.n_rows, 0);
	failed = table.failed;
	table_deinit(&table);
	return failed ? -ENOMEM : 0;
}

static int n_losing(void)
{
	int n = 0;

	for (int i = 0; i < shown.n; i++)
		n += shown.figures[i].lost > 0;
	return n;
}

static void print_title(FILE *out, const struct trace *trace, int rows)
{
	uint64_t dropped = flows_n_dropped(trace);
	char time[TRACE_TIME];

	fprintf(out, "%.8s  ", trace_time(trace->now_ns, time));
	if (rows < shown.n)
		fprintf(out, "first %d of ", rows);
	fprintf(out, "%d topic%s", shown.n, shown.n == 1 ? "" : "s");
	fprintf(out, "; %d losing; probes in %d file%s", n_losing(), attacher_n_files(trace->attacher), attacher_n_files(trace->attacher) == 1 ? "" : "s");
	if (dropped)
		fprintf(out, "; %" PRIu64 " records lost", dropped);
	fputs("; Ctrl-C ends\n", out);
}

static int draw(struct trace *trace)
{
	int lines, columns, rows, r;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	/* title, heads, and the line of the cursor */
	screen_size(&lines, &columns);
	rows = lines > 3 ? lines - 3 : 0;
	rows = rows < shown.n ? rows : shown.n;
	print_title(out, trace, rows);
	r = print_table(out, rows, columns - 1);
	if (fclose(out))
		r = -ENOMEM;
	if (r == 0)
		screen_draw(text);
	free(text);
	return r;
}

static int draw_again(struct trace *trace)
{
	return shown.figures ? draw(trace) : 0;
}

static int print(struct trace *trace, bool last)
{
	char time[TRACE_TIME];
	int r;

	if (trace->redraw && last)
		screen_end();
	printf("%s  %s%d topic%s\n", trace_time(trace->now_ns, time), last ? "all: " : "", shown.n, shown.n == 1 ? "" : "s");
	r = print_table(stdout, shown.n, text_terminal_columns());
	if (!last)
		putchar('\n');
	return r;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static int look(struct trace *trace, bool last)
{
	int r;
	struct flow *flows = flows_read(trace, &r);

	free(shown.figures);
	shown.n = 0;
	shown.figures = calloc((size_t)HASH_COUNT(flows) + 1, sizeof(*shown.figures));
	if (!shown.figures)
		return -ENOMEM;
	for (const struct flow *flow = flows; flow; flow = flow->hh.next)
		fill(trace, flow, last, &shown.figures[shown.n++]);
	qsort(shown.figures, (size_t)shown.n, sizeof(*shown.figures), compare);
	return r;
}

static int report(struct trace *trace, bool last)
{
	bool first = !shown.figures;
	int r = look(trace, last);

	if (r < 0)
		return r;
	if (trace->redraw && first)
		screen_begin();
	if (trace->redraw && !last)
		return draw(trace);
	if (!trace->options.json)
		return print(trace, last);
	for (int i = 0; i < shown.n; i++)
		print_json(trace, &shown.figures[i], last);
	return 0;
}

static void unload(struct trace *trace)
{
	free(shown.figures);
	flows_unload(trace);
}

const struct trace_command trace_top = {
	.name = "top",
	.summary = "the topics with most messages: rates, latency, losses, live",
	.help = "Topics by messages per second: rates of what was published and taken, latency and losses in\n"
		"each interval; at the end of all.\n",
	.has_stragglers = true,
	.load = load,
	.report = report,
	.redraw = draw_again,
	.unload = unload,
	.n_dropped = flows_n_dropped,
};
