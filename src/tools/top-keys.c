/* SPDX-License-Identifier: MIT */
/*
 * top-keys.c - what is selected on the screen of zcp top, and what keys do
 */
#include "config.h"
#include "tools/text.h"

#ifdef HAVE_NCURSES

#include <stdlib.h>
#include <string.h>

#include "tools/top-screen.h"

/* ---- what is selected -------------------------------------------------------------------------------------------- */

const struct traffic_topic *top_screen_selected(const struct screen *s)
{
	const struct traffic *t = &s->top->traffic;

	for (size_t i = 0; s->has_selected && i < t->n_topics; i++)
		if (t->topics[i].kind == s->selected_kind && !snapshot_compare_topics(t->topics[i].name, &s->selected_name))
			return &t->topics[i];
	return NULL;
}

static void remember_selected(struct screen *s)
{
	const struct top *top = s->top;

	s->has_selected = (size_t)s->selected < top->n_shown;
	if (!s->has_selected)
		return;
	s->selected_name = *top->shown[s->selected]->name;
	s->selected_kind = top->shown[s->selected]->kind;
}

static void keep_in_sight(struct screen *s)
{
	int rows = top_screen_rows();

	if (s->selected < 0 || !s->top->n_shown)
		s->selected = 0;
	else if ((size_t)s->selected >= s->top->n_shown)
		s->selected = (int)s->top->n_shown - 1;
	if (s->first > s->selected)
		s->first = s->selected;
	if (s->first + rows <= s->selected)
		s->first = s->selected - rows + 1;
	if (s->first < 0)
		s->first = 0;
}

/* The order has changed: the cursor follows what it was on, once the user has chosen something. */
void top_screen_follow(struct screen *s)
{
	const struct traffic_topic *topic = top_screen_selected(s);

	for (size_t i = 0; topic && i < s->top->n_shown; i++)
		if (s->top->shown[i] == topic)
			s->selected = (int)i;
	keep_in_sight(s);
}

static void move_to(struct screen *s, int line)
{
	s->selected = line;
	keep_in_sight(s);
	remember_selected(s);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static int again(struct screen *s)
{
	int r = top_choose(s->top);

	top_screen_follow(s);
	return r;
}

static void open_prompt(struct screen *s, enum prompt prompt)
{
	s->prompt = prompt;
	if (prompt == PROMPT_FILTER)
		snprintf(s->input, sizeof(s->input), "%s", s->top->filter);
	else
		s->input[0] = 0;
	curs_set(1);
}

static void close_prompt(struct screen *s)
{
	s->prompt = PROMPT_NONE;
	curs_set(0);
}

static int accept_prompt(struct screen *s)
{
	enum prompt prompt = s->prompt;
	char *end;
	double seconds;

	close_prompt(s);
	if (prompt == PROMPT_FILTER) {
		snprintf(s->top->filter, sizeof(s->top->filter), "%s", s->input);
		return again(s);
	}
	seconds = strtod(s->input, &end);
	if (end == s->input || *end || !(seconds >= 0.05 && seconds <= 3600))
		snprintf(s->message, sizeof(s->message), "seconds from 0.05 to 3600, like 2 or 0.5");
	else
		s->top->interval_ns = (int64_t)(seconds * 1e9);
	return 0;
}

/* The last character, which may be several bytes. */
static void erase_one(char *text)
{
	size_t n = strlen(text);

	while (n && ((unsigned char)text[--n] & 0xc0) == 0x80)
		;
	text[n] = 0;
}

static int edit_prompt(struct screen *s, int key)
{
	size_t n = strlen(s->input);

	if (key == '\n' || key == '\r' || key == KEY_ENTER)
		return accept_prompt(s);
	if (key == 27)
		close_prompt(s);
	else if (key == KEY_BACKSPACE || key == 127 || key == 8)
		erase_one(s->input);
	else if (key == 21)
		s->input[0] = 0;
	else if (key >= 32 && key < 256 && n + 1 < sizeof(s->input)) {
		s->input[n] = (char)key;
		s->input[n + 1] = 0;
	}
	return 0;
}

/* Columns that are on the screen or not: a hidden one can be sorted by. */
static int change_sort(struct screen *s, int step)
{
	struct top *top = s->top;

	top->sort = (enum top_column)(((int)top->sort + step + TOP_COLUMNS) % TOP_COLUMNS);
	return again(s);
}

static bool move_key(struct screen *s, int key)
{
	int page = top_screen_rows() > 1 ? top_screen_rows() - 1 : 1, by;

	switch (key) {
	case KEY_UP:
	case 'k':
		by = -1;
		break;
	case KEY_DOWN:
	case 'j':
		by = 1;
		break;
	case KEY_PPAGE:
		by = -page;
		break;
	case KEY_NPAGE:
	case ' ':
		by = page;
		break;
	case KEY_HOME:
		by = -(1 << 24);
		break;
	case KEY_END:
		by = 1 << 24;
		break;
	default:
		return false;
	}
	if (s->view == VIEW_TABLE)
		move_to(s, s->selected + by);
	else
		s->detail_first += by;
	return true;
}

static void change_view(struct screen *s, enum view view)
{
	if (view == VIEW_DETAIL && !s->has_selected)
		remember_selected(s);
	if (view == VIEW_DETAIL && !s->has_selected)
		return;
	s->view = view;
	s->detail_first = 0;
}

int top_screen_press(struct screen *s, int key)
{
	s->message[0] = 0;
	if (s->prompt != PROMPT_NONE)
		return edit_prompt(s, key);
	if (move_key(s, key))
		return 0;
	switch (key) {
	case 'q':
	case 'Q':
		s->quit = true;
		return 0;
	case 'p':
		s->paused = !s->paused;
		return 0;
	case 'd':
		open_prompt(s, PROMPT_INTERVAL);
		return 0;
	case '?':
	case 'h':
		change_view(s, s->view == VIEW_HELP ? VIEW_TABLE : VIEW_HELP);
		return 0;
	case 27:
	case KEY_LEFT:
	case KEY_BACKSPACE:
		change_view(s, VIEW_TABLE);
		return 0;
	case KEY_RESIZE:
		keep_in_sight(s);
		return 0;
	default:
		break;
	}
	if (s->view != VIEW_TABLE)
		return 0;
	switch (key) {
	case '\n':
	case '\r':
	case KEY_ENTER:
	case KEY_RIGHT:
		change_view(s, VIEW_DETAIL);
		return 0;
	case '/':
		open_prompt(s, PROMPT_FILTER);
		return 0;
	case 's':
	case '>':
		return change_sort(s, 1);
	case '<':
		return change_sort(s, -1);
	case 'r':
		s->top->reverse = !s->top->reverse;
		return again(s);
	default:
		return 0;
	}
}

#endif
