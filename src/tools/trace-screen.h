/* SPDX-License-Identifier: MIT */
/*
 * trace-screen.h - a table that takes the place of the one before, on a terminal
 *
 * The table is drawn from the upper left corner on, and no line is longer, nor are there more, than the terminal has: nothing ever scrolls. What was on
 * the terminal is pushed up into its memory first. There is no other state than the cursor, which waits below the table: the
 * program may end, stop or complain at any moment, and leaves the terminal usable, with the last table on it.
 */
#ifndef ZCP_TOOLS_TRACE_SCREEN_H
#define ZCP_TOOLS_TRACE_SCREEN_H

#include <stdbool.h>

/* Whether standard output is a terminal that a table can be drawn on again and again. */
bool screen_is_there(void);

/*
 * A descriptor that is readable when the terminal has got another size, or -1 after the complaint. SIGWINCH is blocked from here
 * on: call it before there are threads.
 */
int screen_watch(void);

/* Whether there is another size since the last call; @fd: from screen_watch(). */
bool screen_has_changed(int fd);

/* The size; 24 lines of 80 where the terminal does not know. */
void screen_size(int *lines, int *columns);

/* Begin: what is on the terminal goes up. */
void screen_begin(void);

/* Draw the lines of @text, cut to the size. */
void screen_draw(const char *text);

/* Wipe the table: what is printed next takes its place, and is not cut. */
void screen_end(void);

#endif
