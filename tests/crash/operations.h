/* SPDX-License-Identifier: MIT */
/*
 * operations.h - what a victim is doing when it is killed
 */
#ifndef ZCP_TESTS_OPERATIONS_H
#define ZCP_TESTS_OPERATIONS_H

#include "world.h"

#define ON_LOSSY 1u
#define ON_RELIABLE 2u
#define ON_BOTH 3u
#define ON_CALLS 4u

struct operation {
	const char *name;
	unsigned int sides;
	/*
	 * The victim: prepares itself, marks, does the one thing, marks. Each function of help[] is called for one mark
	 * more before these two: what the survivors do in between.
	 */
	void (*victim)(const struct side *side);
	void (*help[2])(struct side *side);
	/* The victim is dead: close what help[] opened, look at what it was for. */
	void (*after)(struct side *side);
};

extern const struct operation operations[], call_operations[], event_operations[], node_operations[];
extern const unsigned int n_operations, n_call_operations, n_event_operations, n_node_operations;

/* event-operations.c: the survivors' notifier and listener, in the node of calls.h, with which they are closed. */
void events_open(void);
bool events_are_alone(void);

/* node-operations.c: the survivors' subscriber to what the router publishes, in the same node. A message that keeps it publishing. */
void sent_open(void);
void sent_keep(void);

#endif
