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
 */
#ifndef ZCP_LIB_FORK_H
#define ZCP_LIB_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"

struct zcp_node;

extern _Atomic uint32_t fork_generation;

static inline uint32_t fork_now(void)
{
	return atomic_load_explicit(&fork_generation, memory_order_relaxed);
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
