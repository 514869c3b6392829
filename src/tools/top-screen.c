/* SPDX-License-Identifier: MIT */
/*
 * top-screen.c - zcp top on a terminal
 *
 * Two views: the table of topics, and one topic with its endpoints, connections and pools. The loop sleeps in top_wait() until a key, a signal,
 * a message from the router, or the time of the next look; whatever it was, the screen is drawn anew, and ncurses sends what differs.
 * Everything ends through curses_end(), so that the terminal is as it was before a message is printed.
 */
#include "config.h"
#include "tools/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/text.h"
#include "tools/tool.h"

#ifndef HAVE_NCURSES

int top_screen(struct top *top)
{
	(void)top;
	return tool_fail("this zcp was built without ncurses; use 'zcp top --once', or --count, or --json");
}

#else

#include <curses.h>
#include <term.h>

enum { COLOUR_ATTENTION = 1, COLOUR_WARNING, COLOUR_TITLE };

enum view { VIEW_TABLE, VIEW_DETAIL, VIEW_HELP };

enum prompt { PROMPT_NONE, PROMPT_FILTER, PROMPT_INTERVAL };

struct screen {
	struct top *top;
	SCREEN *terminal;
	enum view view;
	enum prompt prompt;
	char input[TOP_FILTER_BYTES];	/* of the prompt */
	char message[128];		/* in place of the keys, until the next key */
	bool paused, quit, colour;
	int first, selected;		/* line of the table; of the other views: first */
	int detail_first;
	bool has_selected;
	struct wire_topic selected_name;	/* what is selected stays so when the order changes */
	enum traffic_kind selected_kind;
};

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
	"    dry           a loan failed: subscribers hold too much, or loans are not given back\n"
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

static int rows_for_lines(void)
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

static void draw_status(const struct screen *s)
{
	const struct top *top = s->top;
	char line[TOP_FILTER_BYTES + 192];

	if (!node_is_joined(top->node)) {
		draw(1, "the router is gone: what moves is still shown, who is there is what it said last", A_BOLD, colour_of(s, TRAFFIC_DRY));
		return;
	}
	snprintf(line, sizeof(line), "%zu of %zu topics, by %s%s, every %g s%s%s%s", top->n_shown, top->traffic.n_topics, top_column_key(top->sort),
		 top->reverse ? " reversed" : "", (double)top->interval_ns / 1e9, *top->filter ? ", filter " : "", top->filter,
		 s->paused ? "  PAUSED" : "");
	draw(1, line, A_NORMAL, 0);
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
		draw(LINES - 1, "q quit  Esc back  arrows move  p pause", A_DIM, 0);
}

static void draw_table(const struct screen *s)
{
	const struct top *top = s->top;
	struct top_layout layout;
	char *line;

	top_lay_out(&layout, top, COLS);
	line = top_line(&layout, NULL);
	if (line)
		draw(2, line, A_REVERSE, 0);
	free(line);
	for (int i = 0; i < rows_for_lines() && (size_t)(s->first + i) < top->n_shown; i++) {
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
static void draw_text(const struct screen *s, char *text, int *first)
{
	int n = 0, rows = rows_for_lines() + 1;
	char *line = text, *end;

	for (end = text; (end = strchr(end, '\n')); end++)
		n++;
	if (*first > n - rows)
		*first = n - rows;
	if (*first < 0)
		*first = 0;
	for (int i = 0; (end = strchr(line, '\n')); i++, line = end + 1) {
		*end = 0;
		if (i >= *first && i - *first < rows)
			draw(2 + i - *first, line, *line == '!' ? A_BOLD : A_NORMAL, *line == '!' ? colour_of(s, TRAFFIC_DRY) : 0);
	}
}

static const struct traffic_topic *find_selected(const struct screen *s)
{
	const struct traffic *t = &s->top->traffic;

	for (size_t i = 0; s->has_selected && i < t->n_topics; i++)
		if (t->topics[i].kind == s->selected_kind && !snapshot_compare_topics(t->topics[i].name, &s->selected_name))
			return &t->topics[i];
	return NULL;
}

static void draw_detail(struct screen *s)
{
	const struct traffic_topic *topic = find_selected(s);
	char name[TOP_NAME_BYTES], *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	top_name(name, &s->selected_name);
	fprintf(out, "  %s: %s\n\n", name, topic ? traffic_state_name(topic->state) : "gone");
	if (topic)
		top_print_detail(out, topic);
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

static void draw_all(struct screen *s)
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

/* ---- what is selected -------------------------------------------------------------------------------------------- */

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
	int rows = rows_for_lines();

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
static void follow_selected(struct screen *s)
{
	const struct traffic_topic *topic = find_selected(s);

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

	follow_selected(s);
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
	int page = rows_for_lines() > 1 ? rows_for_lines() - 1 : 1, by;

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

static int press(struct screen *s, int key)
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

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static int read_keys(struct screen *s)
{
	int n = 0, r = 0, key;

	while (r == 0 && !s->quit && (key = getch()) != ERR) {
		r = press(s, key);
		n++;
	}
	return r < 0 ? r : n;
}

static int look(struct screen *s)
{
	int r;

	if (s->paused)
		return 0;
	r = top_look(s->top);
	follow_selected(s);
	return r;
}

/* The terminal is gone when it is readable and there is nothing, again and again. */
#define EMPTY_MAX 100

static int loop(struct screen *s)
{
	struct top *top = s->top;
	uint64_t next_ns = clock_now_ns() + 200000000;	/* the first numbers soon */
	int n_empty = 0, r = look(s);

	while (r == 0 && !s->quit) {
		draw_all(s);
		r = top_wait(top, STDIN_FILENO, next_ns);
		if (r > 0) {
			r = read_keys(s);
			n_empty = r ? 0 : n_empty + 1;
			r = r < 0 ? r : n_empty > EMPTY_MAX ? -EIO : 0;
			if (r == 0 && n_empty)
				continue;
		} else if (r == 0) {
			r = look(s);
			next_ns = clock_now_ns() + (uint64_t)top->interval_ns;
			n_empty = 0;
		}
		if (next_ns > clock_now_ns() + (uint64_t)top->interval_ns)
			next_ns = clock_now_ns() + (uint64_t)top->interval_ns;
	}
	return r;
}

static int curses_begin(struct screen *s)
{
	const char *term = getenv("TERM");

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return tool_fail("the screen needs a terminal; use 'zcp top --once', or --count, or --json");
	set_escdelay(50);
	s->terminal = newterm(NULL, stdout, stdin);
	if (!s->terminal)
		return tool_fail("the terminal '%s' is not known here; set TERM, or use 'zcp top --once'", term ? term : "");
	if (!tigetstr("cup") || tigetstr("cup") == (char *)-1) {
		endwin();
		delscreen(s->terminal);
		s->terminal = NULL;
		return tool_fail("the terminal '%s' has no screen to write to; use 'zcp top --once', or --count", term ? term : "");
	}
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	s->colour = s->top->colour && has_colors() && start_color() == OK;
	if (s->colour) {
		use_default_colors();
		init_pair(COLOUR_ATTENTION, COLOR_RED, -1);
		init_pair(COLOUR_WARNING, COLOR_YELLOW, -1);
		init_pair(COLOUR_TITLE, COLOR_CYAN, -1);
	}
	return TOOL_OK;
}

static void curses_end(struct screen *s)
{
	erase();
	refresh();
	endwin();
	delscreen(s->terminal);
}

int top_screen(struct top *top)
{
	struct screen s = { .top = top };
	int r = curses_begin(&s);

	if (r != TOOL_OK)
		return r;
	r = loop(&s);
	curses_end(&s);
	if (r == -ENOTCONN)
		return tool_fail_zcp(r);
	if (r == -EIO)
		return tool_fail("the terminal is gone");
	return r < 0 && r != -EINTR ? tool_fail("%s", strerror(-r)) : TOOL_OK;
}

#endif
