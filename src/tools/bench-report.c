/* SPDX-License-Identifier: MIT */
/*
 * bench-report.c - rows of results: a table for humans as they come, one JSON object for machines at the end
 *
 * A row holds the pairs (zcp, floor) of all runs. Three figures are made of them: the median of zcp, the median
 * of the floor, and the median of the pairs' ratios. The last one is not the quotient of the first two: a
 * virtual machine that moves between near and far cores from run to run moves both members of a pair, so their
 * ratio stays while the times wander.
 *
 * ratio says how many times worse than the floor zcp is, for times and rates alike: 1.00 is perfect, larger is slower.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench.h"

#define PERCENTILE_ROWS_MAX 32
#define HISTOGRAM_WIDTH 60

static const double percents[] = { 50, 90, 99, 99.9, 100 };
static const char *const percent_names[] = { "p50", "p90", "p99", "p99.9", "max" };
#define N_PERCENTS (sizeof(percents) / sizeof(*percents))

struct percentile_row {
	char name[72];
	double zcp[N_PERCENTS], floor[N_PERCENTS];
};

struct bench_report {
	json_t *rows;
	const char *section;		/* of the last row */
	struct percentile_row percentile[PERCENTILE_ROWS_MAX];
	int n_percentile, n_targets, n_missed;
};

static const char *const unit_names[] = { "ns", "messages/s", "GB/s", "bytes" };

static bool is_rate(enum bench_unit unit)
{
	return unit == BENCH_MSGS || unit == BENCH_GBS;
}

void bench_row_extra(struct bench_row *row, const char *name, double value)
{
	if (row->n_extra == sizeof(row->extra) / sizeof(*row->extra))
		return;
	row->extra[row->n_extra].name = name;
	row->extra[row->n_extra++].value = value;
}

/* Medians over the runs; floor and ratio NAN where there is no floor. */
static void medians(const struct bench_row *row, double *value, double *floor, double *ratio)
{
	double v[BENCH_RUNS_MAX], f[BENCH_RUNS_MAX], r[BENCH_RUNS_MAX];

	for (int i = 0; i < row->n; i++) {
		v[i] = row->value[i];
		f[i] = row->floor[i];
		r[i] = is_rate(row->unit) ? f[i] / v[i] : v[i] / f[i];
	}
	*value = bench_median(v, (size_t)row->n);
	*floor = *ratio = NAN;
	if (row->n && !isnan(row->floor[0])) {
		*floor = bench_median(f, (size_t)row->n);
		*ratio = bench_median(r, (size_t)row->n);
	}
}

static double percentile_ns(const struct bench_hist *h, double percent, double scale)
{
	return (double)(percent == 100 ? h->max : bench_hist_percentile(h, percent)) * scale;
}

/* ---- human ------------------------------------------------------------------------------------------------------- */

static void print_ns(char text[16], double ns)
{
	if (ns < 999.5)
		snprintf(text, 16, "%.1f ns", ns);
	else if (ns < 999500)
		snprintf(text, 16, "%.1f us", ns / 1e3);
	else
		snprintf(text, 16, "%.1f ms", ns / 1e6);
}

static void print_value(char text[16], enum bench_unit unit, double value)
{
	if (isnan(value))
		snprintf(text, 16, "-");
	else if (unit == BENCH_NS)
		print_ns(text, value);
	else if (unit == BENCH_MSGS)
		snprintf(text, 16, "%.1f M/s", value / 1e6);
	else if (unit == BENCH_GBS)
		snprintf(text, 16, "%.1f GB/s", value);
	else
		snprintf(text, 16, "%.0f KiB", value / 1024);
}

static void print_histogram(const struct bench_hist *h, double scale)
{
	/* eight lines for each power of two, from the first to p99 */
	unsigned int step = BENCH_HIST_SUB / 8, last = 0;
	uint64_t end = bench_hist_percentile(h, 99), peak = 0, rest = 0;

	for (unsigned int i = 0; i < BENCH_HIST_BUCKETS; i += step) {
		uint64_t n = 0;

		for (unsigned int j = i; j < i + step; j++)
			n += h->bucket[j];
		if (bench_hist_value(i) > end) {
			rest += n;
		} else if (n) {
			last = i;
			if (n > peak)
				peak = n;
		}
	}
	for (unsigned int i = 0, begun = 0; i <= last && peak; i += step) {
		uint64_t n = 0;
		char text[16];
		int width;

		for (unsigned int j = i; j < i + step; j++)
			n += h->bucket[j];
		if (!n && !begun)
			continue;
		begun = 1;
		width = (int)((n * HISTOGRAM_WIDTH + peak - 1) / peak);
		print_ns(text, (double)bench_hist_value(i) * scale);
		printf("  %12s %9" PRIu64 " |%.*s\n", text, n, width, "############################################################");
	}
	printf("  %12s %9" PRIu64 "\n", "above", rest);
}

static void print_head(const struct bench *b)
{
	printf("zcp %s on cpus %d and %d; medians of %d runs in turns with the floor; ratio: times worse\n", zcp_version(), b->cpu[0],
	       b->cpu[1], b->runs);
	if (b->one_cpu)
		printf("Only one cpu: figures of polling mean nothing here.\n");
	printf("%-11s%-28s%11s%11s%7s  %s\n", "", "", "zcp", "floor", "ratio", "target");
}

static void print_row(struct bench *b, const struct bench_row *row, double value, double floor, double ratio)
{
	struct bench_report *report = b->report;
	char zcp_text[16], floor_text[16], ratio_text[16] = "-", target[32] = "";
	double judged = row->unit == BENCH_BYTES ? value : ratio;

	if (!report->section)
		print_head(b);
	print_value(zcp_text, row->unit, value);
	print_value(floor_text, row->unit, floor);
	if (!isnan(ratio))
		snprintf(ratio_text, sizeof(ratio_text), "%.2f", ratio);
	if (row->target > 0 && row->unit == BENCH_BYTES)
		snprintf(target, sizeof(target), "< %.0f K %s", row->target / 1024, judged < row->target ? "ok" : "missed");
	else if (row->target > 0)
		snprintf(target, sizeof(target), "<= %gx %s", row->target, judged <= row->target ? "ok" : "missed");
	printf("%-11s%-28s%11s%11s%7s  %-15s %s\n", report->section && !strcmp(report->section, row->section) ? "" : row->section, row->name, zcp_text,
	       floor_text, ratio_text, target, row->note);
	if (b->histogram && row->hist)
		print_histogram(row->hist, row->hist_scale);
	errno = 0;
	if (fflush(stdout) && errno == EPIPE)
		bench_unread();
	report->section = row->section;
}

static void keep_percentiles(struct bench_report *report, const struct bench_row *row)
{
	struct percentile_row *p = &report->percentile[report->n_percentile];

	if (!row->hist || report->n_percentile == PERCENTILE_ROWS_MAX)
		return;
	report->n_percentile++;
	/* the others are halves of round trips, and whole ones say that they are */
	snprintf(p->name, sizeof(p->name), "%s%s", strcmp(row->section, "call") ? "" : "call ", row->name);
	for (size_t i = 0; i < N_PERCENTS; i++) {
		p->zcp[i] = percentile_ns(row->hist, percents[i], row->hist_scale);
		p->floor[i] = row->floor_hist ? percentile_ns(row->floor_hist, percents[i], row->hist_scale) : NAN;
	}
}

static void print_percentiles(const struct bench_report *report)
{
	printf("\n%-25s", "one way, or call");
	for (size_t i = 0; i < N_PERCENTS; i++)
		printf("%10s", percent_names[i]);
	printf("%11s%10s\n", "floor p50", "p99");
	for (int r = 0; r < report->n_percentile; r++) {
		const struct percentile_row *p = &report->percentile[r];
		char text[16];

		printf("%-25s", p->name);
		for (size_t i = 0; i < N_PERCENTS; i++) {
			print_ns(text, p->zcp[i]);
			printf("%10s", text);
		}
		print_ns(text, p->floor[0]);
		printf("%11s", text);
		print_ns(text, p->floor[2]);
		printf("%10s\n", text);
	}
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* JSON has no NAN. */
static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *numbers(const double *v, int n)
{
	json_t *array = json_array();

	for (int i = 0; i < n; i++)
		json_array_append_new(array, number(v[i]));
	return array;
}

static json_t *percentile_object(const struct bench_hist *h, double scale)
{
	json_t *object = json_object();

	for (size_t i = 0; i < N_PERCENTS; i++)
		json_object_set_new(object, percent_names[i], number(percentile_ns(h, percents[i], scale)));
	json_object_set_new(object, "count", json_integer((json_int_t)h->count));
	return object;
}

static void append_json(struct bench_report *report, const struct bench_row *row, double value, double floor, double ratio)
{
	json_t *object = json_object();
	double judged = row->unit == BENCH_BYTES ? value : ratio;

	json_object_set_new(object, "section", json_string(row->section));
	json_object_set_new(object, "name", json_string(row->name));
	json_object_set_new(object, "unit", json_string(unit_names[row->unit]));
	json_object_set_new(object, "value", number(value));
	json_object_set_new(object, "floor", number(floor));
	json_object_set_new(object, "ratio", number(ratio));
	if (row->target > 0) {
		json_object_set_new(object, "target", json_real(row->target));
		json_object_set_new(object, "met", json_boolean(judged <= row->target));
	}
	json_object_set_new(object, "values", numbers(row->value, row->n));
	json_object_set_new(object, "floors", numbers(row->floor, row->n));
	for (int i = 0; i < row->n_extra; i++)
		json_object_set_new(object, row->extra[i].name, number(row->extra[i].value));
	if (row->hist)
		json_object_set_new(object, "percentiles_ns", percentile_object(row->hist, row->hist_scale));
	if (row->floor_hist)
		json_object_set_new(object, "floor_percentiles_ns", percentile_object(row->floor_hist, row->hist_scale));
	json_array_append_new(report->rows, object);
}

static void print_json(const struct bench *b)
{
	json_t *object = json_object();

	json_object_set_new(object, "version", json_string(zcp_version()));
	json_object_set_new(object, "cpus", json_pack("[ii]", b->cpu[0], b->cpu[1]));
	json_object_set_new(object, "one_cpu", json_boolean(b->one_cpu));
	json_object_set_new(object, "runs", json_integer(b->runs));
	json_object_set_new(object, "quick", json_boolean(b->quick));
	json_object_set_new(object, "ticks_ns", json_real(b->ns_per_tick));
	json_object_set_new(object, "errors", json_integer(b->n_errors));
	json_object_set(object, "results", b->report->rows);
	json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(object);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

int bench_report_begin(struct bench *b)
{
	b->report = calloc(1, sizeof(*b->report));
	if (b->report)
		b->report->rows = json_array();
	if (b->report && b->report->rows)
		return 0;
	bench_error(b, "out of memory");
	return -1;
}

void bench_report_row(struct bench *b, const struct bench_row *row)
{
	struct bench_report *report = b->report;
	double value, floor, ratio;

	medians(row, &value, &floor, &ratio);
	if (row->target > 0) {
		report->n_targets++;
		report->n_missed += !((row->unit == BENCH_BYTES ? value : ratio) <= row->target);
	}
	if (b->json) {
		append_json(report, row, value, floor, ratio);
		return;
	}
	bench_progress(b, NULL);
	print_row(b, row, value, floor, ratio);
	keep_percentiles(report, row);
}

void bench_report_end(struct bench *b)
{
	struct bench_report *report = b->report;

	bench_progress(b, NULL);
	if (!report)
		return;
	if (b->json && !bench_interrupted())
		print_json(b);
	if (!b->json && !b->quick && report->n_percentile)
		print_percentiles(report);
	if (!b->json && report->n_targets)
		printf("%d of %d targets met.\n", report->n_targets - report->n_missed, report->n_targets);
	fflush(stdout);
	json_decref(report->rows);
	free(report);
	b->report = NULL;
}
