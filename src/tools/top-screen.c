/* SPDX-License-Identifier: MIT */
/*
 * top-screen.c - zcp top on a terminal
 *
 * The loop sleeps in top_wait() until a key, a signal, a message from the router, or the time of the next look; whatever it was, the screen
 * is drawn anew (top-screen.h has the parts).
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

#include "tools/top-screen.h"

#include <term.h>

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static int read_keys(struct screen *s)
{
	int n = 0, r = 0, key;

	while (r == 0 && !s->quit && (key = getch()) != ERR) {
		r = top_screen_press(s, key);
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
	top_screen_follow(s);
	return r;
}

#define SETTLE_NS 1000000000u
#define FIRST_NS 200000000u

/* Rates take two looks. Nothing is drawn before: a first table in which all is idle would be wrong. */
static int begin(struct screen *s)
{
	int r = top_settle(s->top, SETTLE_NS);

	if (r == 0)
		r = top_wait(s->top, -1, clock_now_ns() + FIRST_NS);
	return r < 0 ? r : look(s);
}

/* The terminal is gone when it is readable and there is nothing, again and again. */
#define EMPTY_MAX 100

static int loop(struct screen *s)
{
	struct top *top = s->top;
	uint64_t next_ns;
	int n_empty = 0, r = begin(s);

	next_ns = clock_now_ns() + (uint64_t)top->interval_ns;
	while (r == 0 && !s->quit) {
		top_screen_draw(s);
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
