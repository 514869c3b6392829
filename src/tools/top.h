/* SPDX-License-Identifier: MIT */
/*
 * top.h - what the parts of zcp top share: the table that is shown, and its three ways out
 *
 * cmd-top.c looks (traffic.h), and waits between two looks; top-table.c chooses, sorts and formats; top-detail.c has what there is
 * beside the table; top-print.c prints text or JSON; top-screen.c is the screen (its parts: top-screen.h), and is there only with ncurses.
 */
#ifndef ZCP_TOOLS_TOP_H
#define ZCP_TOOLS_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/traffic.h"

enum top_column {
	TOP_TOPIC,
	TOP_KIND,
	TOP_ENDS,
	TOP_TOTAL,
	TOP_RATE,
	TOP_RECEIVED,
	TOP_BYTES,
	TOP_QUEUE,
	TOP_LOST,
	TOP_POOL,
	TOP_HIGH,
	TOP_HELD,
	TOP_BEAT,
	TOP_STATE,
	TOP_COLUMNS,
};

#define TOP_FILTER_BYTES 320

struct top {
	zcp_node *node;
	struct sights sights;
	struct traffic traffic;
	int64_t interval_ns;
	uint64_t count;				/* tables to print; 0: until told to stop */
	char filter[TOP_FILTER_BYTES];
	enum top_column sort;
	bool reverse, colour, lost;		/* lost: the node is, for good */
	const struct traffic_topic **shown;	/* those that the filter lets through, sorted */
	size_t n_shown;
};

/* ---- cmd-top.c ---- */

/* Look, filter, sort. 0 or -ENOMEM. */
int top_look(struct top *top);

/* The first look: when all segments are mapped that can be, or @patience_ns is over. What top_look() or top_wait() return. */
int top_settle(struct top *top, uint64_t patience_ns);

/*
 * Let the node work until @deadline_ns, or until @fd (-1: none) is readable or hung up: 1; 0 the time is over; -EINTR a signal; -ENOTCONN the
 * node is lost for good, with its sentence.
 */
int top_wait(struct top *top, int fd, uint64_t deadline_ns);

/* ---- top-table.c ---- */

/* Filter and sort what traffic has now. 0 or -ENOMEM. */
int top_choose(struct top *top);

/* The column that is called @key, or TOP_COLUMNS; and its name. */
enum top_column top_find_column(const char *key);
const char *top_column_key(enum top_column column);

/* The columns that fit @width (0: all, as wide as they need be), and how wide they are. */
struct top_layout {
	enum top_column column[TOP_COLUMNS];
	int width[TOP_COLUMNS];
	int n;
};
void top_lay_out(struct top_layout *layout, const struct top *top, int width);

/* Where @column begins and how wide it is; false: it is not there. */
bool top_find_in_layout(const struct top_layout *layout, enum top_column column, int *x, int *width);

/* A line of the table, without its end: of @topic, or the headings for NULL. Free it. NULL: out of memory. */
char *top_line(const struct top_layout *layout, const struct traffic_topic *topic);

/* "SERVICE/INSTANCE/EVENT", as it is. */
#define TOP_NAME_BYTES (3 * WIRE_NAME_BYTES)
void top_name(char name[TOP_NAME_BYTES], const struct wire_topic *topic);

/* "45%", or "-" of a negative share; "ok", "12s": how long a heart is silent. */
void top_share_text(char *text, size_t size, double share);
void top_beat_text(char *text, size_t size, uint64_t silent_ns);

/* ---- top-detail.c ---- */

/* The router in a line, and endpoints and connections of @topic as text, for @width columns. */
void top_print_router(FILE *out, const struct top *top);
void top_print_detail(FILE *out, const struct traffic_topic *topic, int width);

/* ---- top-print.c ---- */

int top_print_text(const struct top *top, int width);
int top_print_json(const struct top *top, bool indent);

/* ---- top-screen.c ---- */

/* Until the user quits. Exit status. */
int top_screen(struct top *top);

#endif
