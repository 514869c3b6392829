/* SPDX-License-Identifier: MIT */
/*
 * top-screen.h - the screen of zcp top, between its parts
 *
 * Three views: the table of topics, one topic with its endpoints, connections and pools, and the help. All there is to know for drawing is in
 * struct screen and struct top: top-keys.c changes them, top-draw.c draws them anew whatever has changed, and ncurses sends what differs;
 * top-screen.c has the terminal and the loop. Only with ncurses.
 */
#ifndef ZCP_TOOLS_TOP_SCREEN_H
#define ZCP_TOOLS_TOP_SCREEN_H

#include <curses.h>

#include "tools/top.h"

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
	char lines[48];			/* ", lines 1-20": of a view that is longer than the screen */
	bool has_selected;
	struct wire_topic selected_name;	/* what is selected stays so when the order changes */
	enum traffic_kind selected_kind;
};

/* ---- top-draw.c ---- */

/* Lines that the table has on the screen. */
int top_screen_rows(void);
void top_screen_draw(struct screen *s);

/* ---- top-keys.c ---- */

/* What the user has chosen, if it is still there. */
const struct traffic_topic *top_screen_selected(const struct screen *s);
/* The order has changed: the cursor follows what it was on, once the user has chosen something. */
void top_screen_follow(struct screen *s);
/* 0 or -ENOMEM. */
int top_screen_press(struct screen *s, int key);

#endif
