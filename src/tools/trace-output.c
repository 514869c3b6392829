/* SPDX-License-Identifier: MIT */
/* trace-output.c - how zcp-trace says things: times, names, objects, the summary. See trace.h */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "tools/text.h"
#include "tools/tool.h"
#include "tools/trace.h"

const char *trace_time(uint64_t at_ns, char text[TRACE_TIME])
{
	struct timespec now;
	struct tm tm;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)(clock_now_ns() - at_ns);
	now.tv_sec = (time_t)(ns / 1000000000);
	localtime_r(&now.tv_sec, &tm);
	snprintf(text, TRACE_TIME, "%02d:%02d:%02d.%06d", tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns % 1000000000 / 1000));
	return text;
}

const char *trace_ns(uint64_t ns, char text[TRACE_TIME])
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = (double)ns;
	size_t unit = 0;

	while (value >= 999.5 && unit < 3) {
		value /= 1000;
		unit++;
	}
	snprintf(text, TRACE_TIME, "%.*f %s", !unit || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, units[unit]);
	return text;
}

void trace_print_safe(const char *text, int columns)
{
	char *safe;

	if (text_safe(text, strlen(text), 0, &safe) < 0)
		return;
	printf("%-*s", columns, safe);
	free(safe);
}

void trace_json(json_t *object)
{
	if (!object || json_dumpf(object, stdout, JSON_COMPACT) < 0)
		tool_fail("out of memory: a line is missing");
	else
		putchar('\n');
	json_decref(object);
}

void trace_summary(const struct trace *trace)
{
	double seconds = (double)(trace->now_ns - trace->start_ns) / 1e9;

	if (trace->options.json)
		trace_json(json_pack("{s:s, s:f, s:i, s:I, s:I}", "type", "summary", "seconds", seconds,
				     "files", attacher_n_files(trace->attacher), "dropped", (json_int_t)trace->n_dropped,
				     "foreign", (json_int_t)trace->n_foreign));
	else if (trace->n_dropped)
		fprintf(stderr, "zcp-trace: %" PRIu64 " records were lost: no room for them\n", trace->n_dropped);
}
