/* SPDX-License-Identifier: MIT */
/*
 * top-draw.c - what is on the screen of zcp top: a line about the router, one about the table, the view, a line of keys or the prompt
 *
 * Each line is text that is made elsewhere or here, made harmless and cut where the screen ends.
 */
#include "config.h"
#include "tools/text.h"

#ifdef HAVE_NCURSES

#include <stdlib.h>
#include <string.h>

#include "tools/top-screen.h"

static const char help_text[] =
	"  keys\n"
	"    arrows, PgUp, PgDn, Home, End   move\n"
	"    Enter, Esc                      look into the topic, and back\n"
	"    < >                             column to sort by; s: the next one\n"
	"    r                               the other way round\n"
	"    /                               filter: a part of the name, or with * and ?\n"
	"    d                               seconds between two looks\n"
	"    p                               pause\n"
	"    q                               quit\n"
	"\n"
	"  states; a line that begins with ! wants attention\n"
	"    unresponsive  a node's heartbeat has stopped (no beat)\n"
	"    broken        a segment makes no sense\n"
	"    dry           a loan failed: subscribers hold too much, or loans are kept\n"
	"    losing        a subscriber loses messages\n"
	"    blocked       a reliable subscriber has no room, and nothing is published\n"
	"    lagging       a subscriber's queue is three quarters full\n"
	"    silent        no heartbeat for a second\n"
	"    private       it is another user's, and may not be looked into\n"
	"    unseen        not looked into yet\n"
	"    ok, idle      something was published since the last look, or nothing\n"
	"\n"
	"  columns\n"
	"    P>S    publishers and subscribers; clients, servers; notifiers, listeners\n"
	"    TOTAL  messages of the publishers that are here\n"
	"    MSG/S  messages per second; RCV/S received by all subscribers together\n"
	"    B/S    bytes of payload per second; ~ estimated from some of the messages\n"
	"    QUEUE  of the subscriber that is furthest behind\n"
	"    LOST   by all subscribers together\n"
	"    POOL   in use of the pool that is fullest; HIGH ever used\n"
	"    HELD   messages in chunks that subscribers have taken and not released\n"
	"    BEAT   ok, or how long a heart is silent\n";

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

int top_screen_rows(void)
{
	return LINES > 4 ? LINES - 4 : 0;
}

/* One line, cut where the screen ends. */
static void draw(int y, const char *line, attr_t attributes, short colour)
{
	char *safe;

	if (y >= LINES || text_safe(line, strlen(line), COLS, &safe) < 0)
		return;
	attr_set(attributes, colour, NULL);
	mvaddstr(y, 0, safe);
	if (attributes & A_REVERSE)
		for (int x = getcurx(stdscr); getcury(stdscr) == y && x < COLS; x++)
			addch(' ');
	attr_set(A_NORMAL, 0, NULL);
	free(safe);
}

static short colour_of(const struct screen *s, enum traffic_state state)
{
	if (!s->colour)
		return 0;
	return traffic_wants_attention(state) ? COLOUR_ATTENTION : state <= TRAFFIC_UNSEEN ? COLOUR_WARNING : 0;
}

static void draw_header(const struct screen *s)
{
	const struct top *top = s->top;
	char *line = NULL;
	size_t size;
	FILE *out = open_memstream(&line, &size);

	if (!out)
		return;
	top_print_router(out, top);
	if (fclose(out) == 0)
		draw(0, line, A_BOLD, s->colour ? COLOUR_TITLE : 0);
	free(line);
}

/* ", lines 21-40" of more than the screen has. */
static void say_lines(char *text, size_t size, int first, int n, int rows)
{
	text[0] = 0;
	if (n > rows && rows)
		snprintf(text, size, ", lines %d-%d", first + 1, first + rows < n ? first + rows : n);
}

/* Also those that are out of sight. */
static void say_attention(char *text, size_t size, const struct top *top)
{
	size_t n = 0;

	for (size_t i = 0; i < top->n_shown; i++)
		n += traffic_wants_attention(top->shown[i]->state);
	text[0] = 0;
	if (n)
		snprintf(text, size, ", %zu with !", n);
}

static void draw_status(const struct screen *s)
{
	const struct top *top = s->top;
	char line[TOP_FILTER_BYTES + 256], lines[48], attention[32];

	if (!node_is_joined(top->node)) {
		draw(1, "the router is gone: what moves is still shown, who is there is what it said last", A_BOLD, colour_of(s, TRAFFIC_DRY));
		return;
	}
	say_lines(lines, sizeof(lines), s->first, (int)top->n_shown, top_screen_rows());
	say_attention(attention, sizeof(attention), top);
	snprintf(line, sizeof(line), "%s%zu of %zu topics%s%s, by %s%s, every %g s%s%s", s->paused ? "PAUSED  " : "", top->n_shown,
		 top->traffic.n_topics, attention, s->view == VIEW_TABLE ? lines : "", top_column_key(top->sort), top->reverse ? " reversed" : "",
		 (double)top->interval_ns / 1e9, *top->filter ? ", filter " : "", top->filter);
	draw(1, line, A_NORMAL, 0);
}

static void draw_back(const struct screen *s)
{
	char line[128];

	snprintf(line, sizeof(line), "q quit  Esc back  arrows move  p pause%s", s->lines);
	draw(LINES - 1, line, A_DIM, 0);
}

static void draw_keys(const struct screen *s)
{
	char line[TOP_FILTER_BYTES + 64];

	if (s->prompt != PROMPT_NONE) {
		snprintf(line, sizeof(line), "%s%s", s->prompt == PROMPT_FILTER ? "filter: " : "seconds between two looks: ", s->input);
		draw(LINES - 1, line, A_BOLD, 0);
		return;
	}
	if (*s->message)
		draw(LINES - 1, s->message, A_BOLD, 0);
	else if (s->view == VIEW_TABLE)
		draw(LINES - 1, "q quit  / filter  <> sort  r reverse  p pause  d interval  Enter look  ? help", A_DIM, 0);
	else
		draw_back(s);
}

static void draw_table(const struct screen *s)
{
	const struct top *top = s->top;
	struct top_layout layout;
	char *line;
	int x, width;

	top_lay_out(&layout, top, COLS);
	line = top_line(&layout, NULL);
	if (line)
		draw(2, line, A_REVERSE, 0);
	free(line);
	/* what it is sorted by stands out of the line of headings */
	if (top_find_in_layout(&layout, top->sort, &x, &width) && x + width <= COLS && LINES > 2)
		mvchgat(2, x, width, A_BOLD, 0, NULL);
	for (int i = 0; i < top_screen_rows() && (size_t)(s->first + i) < top->n_shown; i++) {
		const struct traffic_topic *topic = top->shown[s->first + i];
		attr_t attributes = s->first + i == s->selected ? A_REVERSE : traffic_wants_attention(topic->state) ? A_BOLD : A_NORMAL;

		line = top_line(&layout, topic);
		if (line)
			draw(3 + i, line, attributes, colour_of(s, topic->state));
		free(line);
	}
	if (!top->n_shown)
		draw(3, top->traffic.n_topics ? "  no topic matches the filter" : "  nobody is here: no node has a topic", A_NORMAL, 0);
}

/* @text from line *@first on, which is kept in it. */
static void draw_text(struct screen *s, char *text, int *first)
{
	int n = 0, rows = top_screen_rows() + 1;
	char *line = text, *end;

	for (end = text; (end = strchr(end, '\n')); end++)
		n++;
	if (*first > n - rows)
		*first = n - rows;
	if (*first < 0)
		*first = 0;
	say_lines(s->lines, sizeof(s->lines), *first, n, rows);
	for (int i = 0; (end = strchr(line, '\n')); i++, line = end + 1) {
		*end = 0;
		if (i >= *first && i - *first < rows)
			draw(2 + i - *first, line, *line == '!' ? A_BOLD : A_NORMAL, *line == '!' ? colour_of(s, TRAFFIC_DRY) : 0);
	}
}

/* A name that is longer than a line is broken at its slashes. */
static void print_title(FILE *out, const struct screen *s, const char *state)
{
	const struct wire_topic *t = &s->selected_name;
	size_t bytes = strlen(t->service) + strlen(t->instance) + strlen(t->event) + strlen(state);
	const char *end = bytes + 6 < (size_t)COLS ? "" : "\n  ";

	fprintf(out, "  %s: %s%s/%s%s/%s%s\n\n", state, end, t->service, end, t->instance, end, t->event);
}

static void draw_detail(struct screen *s)
{
	const struct traffic_topic *topic = top_screen_selected(s);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	print_title(out, s, topic ? traffic_state_name(topic->state) : "gone");
	if (topic)
		top_print_detail(out, topic, COLS);
	if (fclose(out) == 0)
		draw_text(s, text, &s->detail_first);
	free(text);
}

static void draw_help(struct screen *s)
{
	char *text = strdup(help_text);

	if (text)
		draw_text(s, text, &s->detail_first);
	free(text);
}

void top_screen_draw(struct screen *s)
{
	erase();
	draw_header(s);
	draw_status(s);
	if (s->view == VIEW_TABLE)
		draw_table(s);
	else if (s->view == VIEW_DETAIL)
		draw_detail(s);
	else
		draw_help(s);
	draw_keys(s);
	refresh();
}

#endif
