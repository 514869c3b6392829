/* SPDX-License-Identifier: MIT */
/*
 * top-table.c - which topics zcp top shows, in which order, and how a line of them looks
 *
 * The same lines are printed and drawn. With 80 columns there is room for what one looks for first; further columns appear when the names
 * of the topics leave room for them. A line that a person should look at begins with '!', so that it is found without colours too.
 */
#include "tools/top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/pattern.h"
#include "tools/text.h"
#include "tools/tool.h"

#define MARK_WIDTH 2
#define TOPIC_WIDTH_MIN 12
#define STATE_WIDTH 12
#define STATE_WIDTH_NARROW 8	/* states are abbreviated */

struct column {
	const char *title, *key;
	int width;
	int rank;	/* when there is little room: 0 is always there, the highest goes first */
};

#define RANK_USUAL 3	/* goes where there is no room; above that, where a longer name wants it */
#define RANK_LAST 6

static const struct column columns[TOP_COLUMNS] = {
	[TOP_TOPIC] = { "TOPIC", "topic", TOPIC_WIDTH_MIN, 0 },
	[TOP_KIND] = { "KIND", "kind", 6, 6 },
	[TOP_ENDS] = { "P>S", "subscribers", 5, 2 },
	[TOP_TOTAL] = { "TOTAL", "total", 5, 5 },
	[TOP_RATE] = { "MSG/S", "rate", 5, 0 },
	[TOP_RECEIVED] = { "RCV/S", "received", 5, 5 },
	[TOP_BYTES] = { "B/S", "bytes", 6, 3 },
	[TOP_QUEUE] = { "QUEUE", "queue", 5, 1 },
	[TOP_LOST] = { "LOST", "lost", 5, 1 },
	[TOP_POOL] = { "POOL", "pool", 4, 2 },
	[TOP_HIGH] = { "HIGH", "high", 4, 4 },
	[TOP_HELD] = { "HELD", "held", 4, 3 },
	[TOP_BEAT] = { "BEAT", "beat", 5, 4 },
	[TOP_STATE] = { "STATE", "state", STATE_WIDTH, 0 },
};

enum top_column top_find_column(const char *key)
{
	int i = 0;

	while (i < TOP_COLUMNS && strcmp(columns[i].key, key))
		i++;
	return (enum top_column)i;
}

const char *top_column_key(enum top_column column)
{
	return columns[column].key;
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

void top_name(char name[TOP_NAME_BYTES], const struct wire_topic *topic)
{
	snprintf(name, TOP_NAME_BYTES, "%s/%s/%s", topic->service, topic->instance, topic->event);
}

/* A filter without wildcards is a part of the name. */
static bool is_wanted(const struct top *top, const struct traffic_topic *topic)
{
	char name[TOP_NAME_BYTES];

	if (!*top->filter)
		return true;
	top_name(name, topic->name);
	if (strpbrk(top->filter, "*?"))
		return pattern_matches(top->filter, name);
	return strstr(name, top->filter) != NULL;
}

static int compare_numbers(double a, double b)
{
	return a < b ? -1 : a > b;
}

static double sort_number(const struct traffic_topic *t, enum top_column column)
{
	switch (column) {
	case TOP_KIND:
		return -(double)t->kind;
	case TOP_ENDS:
		return t->n_subscribers + t->n_publishers / 1e6;
	case TOP_TOTAL:
		return (double)t->published;
	case TOP_RATE:
		return t->rate;
	case TOP_RECEIVED:
		return t->received_rate;
	case TOP_BYTES:
		return t->byte_rate;
	case TOP_QUEUE:
		return t->fill;
	case TOP_LOST:
		return (double)t->lost + (double)t->overrun;
	case TOP_POOL:
		return t->pool_use;
	case TOP_HIGH:
		return t->pool_high;
	case TOP_HELD:
		return (double)t->n_held;
	case TOP_BEAT:
		return (double)t->silent_ns;
	case TOP_STATE:
		return -(double)t->state;
	default:
		return 0;
	}
}

static int compare_topics(const void *left, const void *right, void *context)
{
	const struct traffic_topic *a = *(const struct traffic_topic *const *)left, *b = *(const struct traffic_topic *const *)right;
	const struct top *top = context;
	/* the largest first; names as in a list */
	int r = top->sort == TOP_TOPIC ? 0 : compare_numbers(sort_number(b, top->sort), sort_number(a, top->sort));
	bool by_name = !r;

	if (!r)
		r = snapshot_compare_topics(a->name, b->name);
	if (!r)
		r = (int)a->kind - (int)b->kind;
	return top->reverse && (!by_name || top->sort == TOP_TOPIC) ? -r : r;
}

int top_choose(struct top *top)
{
	free(top->shown);
	top->n_shown = 0;
	top->shown = calloc(top->traffic.n_topics + 1, sizeof(const struct traffic_topic *));
	if (!top->shown)
		return -ENOMEM;
	for (size_t i = 0; i < top->traffic.n_topics; i++)
		if (is_wanted(top, &top->traffic.topics[i]))
			top->shown[top->n_shown++] = &top->traffic.topics[i];
	qsort_r(top->shown, top->n_shown, sizeof(const struct traffic_topic *), compare_topics, top);
	return 0;
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

void top_share_text(char *text, size_t size, double share)
{
	if (share < 0)
		snprintf(text, size, "-");
	else
		snprintf(text, size, "%.0f%%", share < 9.99 ? share * 100 : 999);
}

void top_beat_text(char *text, size_t size, uint64_t silent_ns)
{
	uint64_t s = silent_ns / 1000000000;

	if (!silent_ns)
		snprintf(text, size, "ok");
	else if (s < 1000)
		snprintf(text, size, "%" PRIu64 "s", s);
	else
		snprintf(text, size, "%" PRIu64 "m", s / 60 < 9999 ? s / 60 : 9999);
}

static void cell_text(char *text, size_t size, const struct traffic_topic *t, enum top_column column, int width)
{
	char number[TEXT_NUMBER];

	switch (column) {
	case TOP_KIND:
		snprintf(text, size, "%s", traffic_kind_name(t->kind));
		break;
	case TOP_ENDS:
		snprintf(text, size, "%u>%u", t->n_publishers, t->n_subscribers);
		break;
	case TOP_TOTAL:
		snprintf(text, size, "%s", text_short_count(t->published, number));
		break;
	case TOP_RATE:
		snprintf(text, size, "%s", text_short(t->rate, number));
		break;
	case TOP_RECEIVED:
		snprintf(text, size, "%s", text_short(t->received_rate, number));
		break;
	case TOP_BYTES:
		snprintf(text, size, "%s%s", t->bytes_exact ? "" : "~", text_short(t->byte_rate, number));
		break;
	case TOP_QUEUE:
		top_share_text(text, size, t->kind == TRAFFIC_EVENTS || !t->n_publishers ? -1 : t->fill);
		break;
	case TOP_LOST:
		snprintf(text, size, "%s", text_short_count(t->lost + t->overrun, number));
		break;
	case TOP_POOL:
		top_share_text(text, size, t->pool_use);
		break;
	case TOP_HIGH:
		top_share_text(text, size, t->pool_high);
		break;
	case TOP_HELD:
		snprintf(text, size, "%s", text_short_count(t->n_held, number));
		break;
	case TOP_BEAT:
		top_beat_text(text, size, t->silent_ns);
		break;
	case TOP_STATE:
		snprintf(text, size, "%s", t->state == TRAFFIC_UNRESPONSIVE && width < STATE_WIDTH ? "no beat" : traffic_state_name(t->state));
		break;
	default:
		*text = 0;
	}
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static int longest_name(const struct top *top)
{
	int longest = TOPIC_WIDTH_MIN;

	for (size_t i = 0; i < top->n_shown; i++) {
		const struct wire_topic *name = top->shown[i]->name;
		/* in bytes, which is at least the width of what is printable */
		int n = (int)(strlen(name->service) + strlen(name->instance) + strlen(name->event)) + 2;

		if (n > longest)
			longest = n;
	}
	return longest;
}

static int width_of(const struct top_layout *layout)
{
	int width = MARK_WIDTH - 1;

	for (int i = 0; i < layout->n; i++)
		width += layout->width[i] + 1;
	return width;
}

static void use_columns(struct top_layout *layout, int rank)
{
	layout->n = 0;
	for (int i = 0; i < TOP_COLUMNS; i++) {
		if (columns[i].rank > rank)
			continue;
		layout->column[layout->n] = (enum top_column)i;
		layout->width[layout->n++] = columns[i].width;
	}
}

/* Whether they fit @width: the usual ones with a short name, the others only if they leave room for the longest one, unless it is very long. */
static bool fits(const struct top_layout *layout, int rank, int longest, int width)
{
	int least = width_of(layout);

	if (rank > RANK_USUAL)
		return least - TOPIC_WIDTH_MIN + (longest < 40 ? longest : 40) <= width;
	return least - STATE_WIDTH + STATE_WIDTH_NARROW <= width;
}

void top_lay_out(struct top_layout *layout, const struct top *top, int width)
{
	int longest = longest_name(top), rank = RANK_LAST + 1, left;

	do
		use_columns(layout, --rank);
	while (width && rank && !fits(layout, rank, longest, width));
	left = width ? width - width_of(layout) : longest - TOPIC_WIDTH_MIN;
	if (width && left < longest - TOPIC_WIDTH_MIN && width < 100) {
		layout->width[layout->n - 1] = STATE_WIDTH_NARROW;
		left += STATE_WIDTH - STATE_WIDTH_NARROW;
	}
	if (left > longest - TOPIC_WIDTH_MIN)
		left = longest - TOPIC_WIDTH_MIN;
	if (left > 0)
		layout->width[0] += left;
}

bool top_find_in_layout(const struct top_layout *layout, enum top_column column, int *x, int *width)
{
	*x = MARK_WIDTH;
	for (int i = 0; i < layout->n; i++) {
		*width = layout->width[i];
		if (layout->column[i] == column)
			return true;
		*x += layout->width[i] + 1;
	}
	return false;
}

static void print_name(FILE *out, const struct wire_topic *topic, int width)
{
	char name[TOP_NAME_BYTES], *safe;
	int used;

	top_name(name, topic);
	used = text_safe(name, strlen(name), width, &safe);
	if (used < 0)
		return;
	fprintf(out, "%s%*s", safe, width > used ? width - used : 0, "");
	free(safe);
}

static void print_cells(FILE *out, const struct top_layout *layout, const struct traffic_topic *topic)
{
	for (int i = 0; i < layout->n; i++) {
		enum top_column column = layout->column[i];
		bool left = column == TOP_TOPIC || column == TOP_STATE || column == TOP_KIND;
		char text[32];

		if (i)
			fputc(' ', out);
		if (column == TOP_TOPIC && topic) {
			print_name(out, topic->name, layout->width[i]);
			continue;
		}
		if (topic)
			cell_text(text, sizeof(text), topic, column, layout->width[i]);
		else
			snprintf(text, sizeof(text), "%s", columns[column].title);
		if (i == layout->n - 1)
			fputs(text, out);
		else
			fprintf(out, left ? "%-*s" : "%*s", layout->width[i], text);
	}
}

char *top_line(const struct top_layout *layout, const struct traffic_topic *topic)
{
	char *line = NULL;
	size_t size;
	FILE *out = open_memstream(&line, &size);

	if (!out)
		return NULL;
	fputs(topic && traffic_wants_attention(topic->state) ? "! " : "  ", out);
	print_cells(out, layout, topic);
	if (fclose(out)) {
		free(line);
		return NULL;
	}
	return line;
}
