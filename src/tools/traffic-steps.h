/* SPDX-License-Identifier: MIT */
/*
 * traffic-steps.h - the steps of a look, between traffic.c and its parts
 *
 * traffic.c makes the table of endpoints and connections; traffic-read.c fills in what their segments say, traffic-sums.c adds that up by
 * endpoint and topic. A step knows the results of those before it, and of the look before this one only what struct traffic_past and the
 * writers' past have.
 */
#ifndef ZCP_TOOLS_TRAFFIC_STEPS_H
#define ZCP_TOOLS_TRAFFIC_STEPS_H

#include "tools/traffic.h"

static inline bool traffic_is_publisher(const struct traffic_endpoint *e)
{
	return e->row->kind == WIRE_PUBLISHER;
}

static inline bool traffic_is_mapped(const struct traffic_endpoint *e)
{
	return e->sight && e->sight->state == SIGHT_MAPPED;
}

/* A channel between a client and a server, and not one of these two. */
static inline bool traffic_is_channel(const struct traffic_endpoint *e)
{
	return e->row->to != 0;
}

/* ---- traffic-read.c ---- */

/* What the segments that are mapped say: of publishers, then of connections, then of pools. */
void traffic_read_segments(struct traffic *t);

/* Let go of connections that have not been seen for a while; @all: of all. */
void traffic_forget_past(struct traffic *t, bool all);

/* ---- traffic-sums.c ---- */

/* From connections to endpoints to topics. 0 or -ENOMEM. */
int traffic_add_up(struct traffic *t);

#endif
