/* SPDX-License-Identifier: MIT */
/*
 * screen-helper.h - a program on a pseudo terminal, and what can be read on it
 *
 * A small terminal emulator knows what programs send to a "vt100": the text, and where it goes. A line too many scrolls, a character beyond the last
 * column is lost; both are counted, as a program that draws a screen should do neither.
 */
#ifndef ZCP_TESTS_SCREEN_HELPER_H
#define ZCP_TESTS_SCREEN_HELPER_H

#include <stdbool.h>
#include <stddef.h>

#include "top-helper.h"

#define ROWS_MAX 60
#define COLUMNS_MAX 200

extern struct terminal {
	struct running running;
	int keep;		/* our own descriptor of the side of the program: its settings can be seen after the end */
	size_t done;		/* bytes of the output that are on the screen */
	int rows, columns, x, y;
	int top, bottom;	/* of the region that scrolls; bottom 0: all */
	int n_scrolled;		/* how often all lines went up, because there was none below */
	int n_beyond;		/* characters at the right of the last column */
	char screen[ROWS_MAX][COLUMNS_MAX + 1];
} t;

/* @argv[0], the path, on a terminal of that size. */
void screen_start(const char *term, int rows, int columns, const char *const *argv);

/* Another size. */
void screen_resize(int rows, int columns);

/* Draw what has come. False: that was all. */
bool screen_read(void);

/* All of it, a line each. */
const char *screen_text(void);

/* Whether it is on the screen; that it comes, or goes. */
bool shows(const char *what);
#define ck_assert_shows(what) ck_assert_msg(wait_until(shows(what), DEADLINE_MS), "'%s' is not on the screen:\n%s", what, screen_text())
#define ck_assert_shows_not(what) ck_assert_msg(wait_until(!shows(what), DEADLINE_MS), "'%s' is on the screen:\n%s", what, screen_text())

void keys(const char *bytes);

/* Whether a colour was asked for since the beginning. */
bool screen_had_colours(void);

/* It ends with that status, and has put back what it has changed. */
void screen_expect_end(int expected);

#endif
