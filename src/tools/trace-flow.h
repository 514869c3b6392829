/* SPDX-License-Identifier: MIT */
/*
 * trace-flow.h - what latency and top have in common: bpf/trace-flow.bpf.c, and its figures by topic
 *
 * The kernel counts by endpoint. Here the endpoints of a topic are added up; those that are gone are counted on
 * after the kernel has forgotten them. What belongs to no endpoint of this router is left out.
 */
#ifndef ZCP_TOOLS_TRACE_FLOW_H
#define ZCP_TOOLS_TRACE_FLOW_H

#include <uthash.h>

#include "tools/trace.h"

#define FLOW_KEY_BYTES (3 * WIRE_NAME_BYTES + 16)

/* A topic, and one kind of messages on it. All figures since the beginning; `before`: as they were at the last report. */
struct flow {
	char key[FLOW_KEY_BYTES];	/* kind, NUL, topic */
	const char *kind, *topic;
	struct trace_taken taken, taken_before, taken_gone;
	struct trace_published published, published_before, published_gone;
	UT_hash_handle hh;
};

struct flows;

/* @published: count what is published too. */
int flows_load(struct trace *trace, bool published);
void flows_unload(struct trace *trace);
uint64_t flows_n_dropped(const struct trace *trace);

/* Read the figures of now; those of before were the ones of now until here. NULL: out of memory, or nothing yet (*r 0). */
struct flow *flows_read(struct trace *trace, int *r);

#endif
