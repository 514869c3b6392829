/* SPDX-License-Identifier: MIT */
/*
 * fork.h - a child is not a member
 *
 * A forked child has copies of the parent's handles and descriptors, but none of the segments (MADV_DONTFORK)
 * and no node thread. A child that spoke on the control socket would speak in the parent's name. So each handle
 * remembers the fork generation it was opened in, a child handler bumps the generation, and every public
 * function compares the two before it touches anything.
 *
 * The handlers also hold every node's lock over the fork, so that the lists of descriptors which a child closes
 * are whole.
 *
 * The generation is half of a gate. The other half are the semaphores of two probes (common/probe.h), which are 0 while nobody
 * traces. So the doors of the data path ask with one comparison of 8 bytes, the one they need anyway, whether they are in
 * a child or looked at; which of the two is found out behind the unlikely branch. That nobody looks costs nothing.
 */
#ifndef ZCP_LIB_FORK_H
#define ZCP_LIB_FORK_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

struct zcp_node;

struct gate_parts {
	_Atomic uint32_t generation;
	uint16_t semaphore[2];		/* written by the kernel: loan and publish, or take and release */
};

union gate {
	_Atomic uint64_t word;
	struct gate_parts parts;
};
static_assert(sizeof(union gate) == 8, "one word");

extern union gate publisher_gate, subscriber_gate;

static inline uint32_t fork_now(void)
{
	return atomic_load_explicit(&publisher_gate.parts.generation, memory_order_relaxed);
}

/* @open: the word as it was when the handle was opened, without the semaphores. */
static inline bool gate_is_open(const union gate *gate, uint64_t open)
{
	return likely(atomic_load_explicit(&gate->word, memory_order_relaxed) == open);
}

/* Whether a tracer looks. */
static inline bool gate_is_watched(const union gate *gate)
{
	return atomic_load_explicit(&gate->word, memory_order_relaxed) != atomic_load_explicit(&gate->parts.generation, memory_order_relaxed);
}

/* Whether a handle of @generation was opened by a parent of this process. */
static inline bool forked_since(uint32_t generation)
{
	return unlikely(fork_now() != generation);
}

/* Register the handlers, the first time: for handles that need no node. 0 or a negative errno value. */
int fork_register(void);

/* Note an open node, and forget it. Registers too. 0 or a negative errno value. */
int fork_add(struct zcp_node *node);
void fork_remove(struct zcp_node *node);

#endif
