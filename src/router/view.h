/* SPDX-License-Identifier: MIT */
/*
 * view.h - what the router shows of itself: the directory segment
 *
 * The router's own state lives in registry.h's structs; this writes a copy of it, row by row, into
 * the segment that every node and tool may read. Nothing is ever read back from it. Rows are handed
 * out lowest index first, so that readers scan few.
 */
#ifndef ZCP_ROUTER_VIEW_H
#define ZCP_ROUTER_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/directory.h"
#include "router/refusal.h"

struct view_rows {
	uint64_t *taken;	/* bitmap */
	uint32_t max, n_taken, n_high;
	uint32_t hint;		/* no free row below */
};

struct view {
	int reader_fd;		/* goes out with WELCOME */
	uint64_t bytes;
	struct directory_header *header;	/* the one writable mapping */
	struct directory_node *nodes;
	struct directory_endpoint *endpoints;
	struct directory_match *matches;
	struct view_rows node_rows, endpoint_rows, match_rows;
	struct clock_calibration calibration;
	uint64_t first_ticks, first_ns;
};

struct router_options;

/*
 * Create, map and seal the directory. 0 or a negative errno value (logged). view_close() also on a
 * half-opened one.
 */
int view_open(struct view *view, const struct router_options *options, const char *socket_path, uint64_t epoch);
void view_close(struct view *view);
void view_set_loop(struct view *view, uint32_t loop, uint32_t detectors);

/* Take a row, or REFUSED (-ENOSPC) with a text that names @option as the cure. */
int view_take_row(struct view_rows *rows, uint32_t *row, const char *what, const char *option, struct refusal *refusal);

struct node;
struct endpoint;
struct match;
void view_put_node(struct view *view, const struct node *node);
void view_drop_node(struct view *view, uint32_t row);
void view_put_endpoint(struct view *view, const struct endpoint *endpoint);
void view_drop_endpoint(struct view *view, uint32_t row);
void view_put_match(struct view *view, const struct match *match);
void view_drop_match(struct view *view, uint32_t row);

void view_count_segment(struct view *view, uint64_t bytes, bool add);
void view_count_node(struct view *view);
void view_count_rejoin(struct view *view);
void view_count_message(struct view *view);
void view_count_refusal(struct view *view);
void view_count_death(struct view *view);
void view_count_eviction(struct view *view);
/* A death by the detector that was first, one of DIRECTORY_DETECTOR_*. */
void view_count_found(struct view *view, unsigned int detector);
/* Exit events lost so far. */
void view_set_dropped(struct view *view, uint64_t n);

/* The heartbeat scan's part: the router's own heartbeat and the clock's calibration. */
void view_tick(struct view *view, uint64_t now_ns);

#endif
