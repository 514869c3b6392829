/* SPDX-License-Identifier: MIT */
/*
 * recording-info.c - see recording-info.h
 */
#include "tools/recording-info.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/recording-reader.h"
#include "tools/text.h"
#include "tools/tool.h"

struct sums {
	uint64_t messages, bytes, lost, first_ns, last_ns;
	uint32_t streams;
};

static struct sums sum_up(const struct recording *r)
{
	struct sums s = { 0 };

	for (uint32_t i = 0; i < r->n_ids; i++) {
		const struct recording_known *known = r->streams[i];

		if (!known || !known->total.messages)
			continue;
		if (!s.messages || known->total.first_ns < s.first_ns)
			s.first_ns = known->total.first_ns;
		if (!s.messages || known->total.last_ns > s.last_ns)
			s.last_ns = known->total.last_ns;
		s.streams++;
		s.messages += known->total.messages;
		s.bytes += known->total.bytes;
		s.lost += known->total.lost;
	}
	return s;
}

static const char *state(const struct recording *r)
{
	if (r->damaged || r->gaps)
		return "damaged";
	return r->indexed ? "finished" : "not finished";
}

/* ---- for people ---- */

/* Wall clock at @monotonic_ns of the recording. */
static const char *wall_clock(const struct recording *r, uint64_t monotonic_ns, char text[64])
{
	uint64_t ns = r->header.realtime_ns + (monotonic_ns - r->header.monotonic_ns);
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	size_t n;

	if (!localtime_r(&seconds, &tm) || !(n = strftime(text, 48, "%Y-%m-%d %H:%M:%S", &tm)))
		return "?";
	snprintf(text + n, 64 - n, ".%06u", (unsigned int)(ns % 1000000000 / 1000));
	return text;
}

static void print_state(const struct recording *r)
{
	if (r->indexed)
		printf("state     finished, %" PRIu64 " chunk%s\n", r->n_entries, r->n_entries == 1 ? "" : "s");
	else if (r->torn)
		puts("state     not finished: it has no index, and ends in the middle of a record; all up to there is shown");
	else
		puts("state     not finished: it has no index; what is there is shown");
	if (r->gaps)
		printf("          damaged: %" PRIu64 " places cannot be read\n", r->gaps);
	if (r->damaged)
		printf("          damaged: %" PRIu64 " messages or chunks cannot be read\n", r->damaged);
}

static void print_head(const struct recording *r, const struct sums *s)
{
	char size[TEXT_NUMBER], bytes[TEXT_NUMBER], duration[TEXT_NUMBER], text[64], *safe = NULL;

	if (text_safe(r->path, strlen(r->path), 0, &safe) >= 0)
		printf("file      %s, part %" PRIu32 ", %s%s\n", safe, r->header.part, text_bytes(r->size, size),
		       r->header.flags & RECORDING_COMPRESSED ? ", zstd" : "");
	free(safe);
	print_state(r);
	if (s->messages) {
		printf("begin     %s\n", wall_clock(r, s->first_ns, text));
		printf("duration  %s\n", text_duration(s->last_ns - s->first_ns, duration));
	}
	printf("messages  %" PRIu64 ", %s, of %" PRIu32 " publisher%s\n", s->messages, text_bytes(s->bytes, bytes), s->streams,
	       s->streams == 1 ? "" : "s");
	if (s->lost)
		printf("lost      %" PRIu64 "\n", s->lost);
}

enum { TOPIC, NODE, TYPE, MESSAGES, SIZE, LARGEST, LOST, N_COLUMNS };

static void add_row(struct table *table, const struct recording_known *known)
{
	const struct recording_stream *s = &known->description;
	const struct recording_total *t = &known->total;
	char number[TEXT_NUMBER];

	table_row(table);
	table_cell(table, TOPIC, "%s/%s/%s", s->topic[0], s->topic[1], s->topic[2]);
	table_cell(table, NODE, "%s", *s->node ? s->node : "?");
	if (*s->type)
		table_cell(table, TYPE, "%s", s->type);
	table_cell(table, MESSAGES, "%" PRIu64, t->messages);
	table_cell(table, SIZE, "%s", text_bytes(t->bytes, number));
	table_cell(table, LARGEST, "%s", text_bytes(t->largest, number));
	if (t->lost)
		table_cell(table, LOST, "%" PRIu64 " lost", t->lost);
}

static int print_table(const struct recording *r)
{
	static const char *const titles[] = { "TOPIC", "NODE", "TYPE", "MESSAGES", "BYTES", "LARGEST" };
	struct table table;
	int status = TOOL_OK;

	table_init(&table, N_COLUMNS);
	table.right = 1u << MESSAGES | 1u << SIZE | 1u << LARGEST | 1u << LOST;
	table_row(&table);
	for (int i = 0; i < LOST; i++)
		table_cell(&table, i, "%s", titles[i]);
	for (uint32_t i = 0; i < r->n_ids; i++) {
		if (r->streams[i] && r->streams[i]->total.messages)
			add_row(&table, r->streams[i]);
	}
	if (table.failed)
		status = tool_fail("out of memory");
	else if (table.n_rows > 1) {
		putchar('\n');
		table_fit(&table, TOPIC, text_terminal_columns());
		table_print(&table, stdout, 0, table.n_rows, 0);
	}
	table_deinit(&table);
	return status;
}

/* ---- for machines ---- */

static json_t *stream_json(const struct recording_known *known)
{
	const struct recording_stream *s = &known->description;
	const struct recording_total *t = &known->total;
	json_t *o = json_object();

	json_object_set_new(o, "service", json_string(s->topic[0]));
	json_object_set_new(o, "instance", json_string(s->topic[1]));
	json_object_set_new(o, "event", json_string(s->topic[2]));
	json_object_set_new(o, "publisher", json_integer((json_int_t)s->publisher));
	json_object_set_new(o, "node", json_stringn_nocheck(s->node, strlen(s->node)));
	json_object_set_new(o, "pid", json_integer(s->pid));
	json_object_set_new(o, "type", json_string(s->type));
	json_object_set_new(o, "type_size", json_integer((json_int_t)s->type_size));
	json_object_set_new(o, "reliable", json_boolean(s->reliable));
	json_object_set_new(o, "header_size", json_integer(t->header_size));
	json_object_set_new(o, "messages", json_integer((json_int_t)t->messages));
	json_object_set_new(o, "bytes", json_integer((json_int_t)t->bytes));
	json_object_set_new(o, "largest", json_integer((json_int_t)t->largest));
	json_object_set_new(o, "lost", json_integer((json_int_t)t->lost));
	json_object_set_new(o, "first_ns", json_integer((json_int_t)t->first_ns));
	json_object_set_new(o, "last_ns", json_integer((json_int_t)t->last_ns));
	return o;
}

static int print_json(const struct recording *r, const struct sums *s)
{
	json_t *o = json_object(), *streams = json_array();
	int error;

	json_object_set_new(o, "file", json_string(r->path));
	json_object_set_new(o, "state", json_string(state(r)));
	json_object_set_new(o, "indexed", json_boolean(r->indexed));
	json_object_set_new(o, "torn", json_boolean(r->torn));
	json_object_set_new(o, "damaged", json_integer((json_int_t)(r->damaged + r->gaps)));
	json_object_set_new(o, "part", json_integer(r->header.part));
	json_object_set_new(o, "compressed", json_boolean(r->header.flags & RECORDING_COMPRESSED));
	json_object_set_new(o, "file_bytes", json_integer((json_int_t)r->size));
	json_object_set_new(o, "chunks", json_integer((json_int_t)r->n_entries));
	json_object_set_new(o, "realtime_ns", json_integer((json_int_t)r->header.realtime_ns));
	json_object_set_new(o, "monotonic_ns", json_integer((json_int_t)r->header.monotonic_ns));
	json_object_set_new(o, "messages", json_integer((json_int_t)s->messages));
	json_object_set_new(o, "bytes", json_integer((json_int_t)s->bytes));
	json_object_set_new(o, "lost", json_integer((json_int_t)s->lost));
	json_object_set_new(o, "first_ns", json_integer((json_int_t)s->first_ns));
	json_object_set_new(o, "last_ns", json_integer((json_int_t)s->last_ns));
	for (uint32_t i = 0; i < r->n_ids; i++) {
		if (r->streams[i] && r->streams[i]->total.messages)
			json_array_append_new(streams, stream_json(r->streams[i]));
	}
	json_object_set_new(o, "streams", streams);
	error = o ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
	putchar('\n');
	json_decref(o);
	return error < 0 ? tool_fail("out of memory") : TOOL_OK;
}

int recording_info(const char *path, bool json)
{
	char why[RECORDING_WHY];
	struct recording *r;
	struct sums sums;
	int status;

	if (recording_open(&r, path, why) < 0)
		return tool_fail("%s", why);
	sums = sum_up(r);
	if (json) {
		status = print_json(r, &sums);
	} else {
		print_head(r, &sums);
		status = print_table(r);
	}
	if (r->damaged || r->gaps)
		status = TOOL_FAILURE;
	recording_close(r);
	return status == TOOL_OK ? tool_finish_stdout() : status;
}
