/* SPDX-License-Identifier: MIT */
/*
 * fork.c - see fork.h
 */
#include "lib/fork.h"

#include <errno.h>
#include <stddef.h>
#include <pthread.h>

#include "common/probe.h"
#include "lib/node.h"

/* The kernel finds a semaphore by its place in the file: not in .bss. */
#define GATE __attribute__((section(".probes")))
GATE union gate publisher_gate = { .word = 0 };
GATE union gate subscriber_gate = { .word = 0 };

#ifdef HAVE_PROBES
/* The names by which sys/sdt.h knows the semaphores. */
#define SEMAPHORE(name, gate, offset) \
	__asm__(".globl zcp_" name "_semaphore\n.hidden zcp_" name "_semaphore\n.set zcp_" name "_semaphore, " gate " + " #offset)
SEMAPHORE("loan", "publisher_gate", 4);
SEMAPHORE("publish", "publisher_gate", 6);
SEMAPHORE("published", "publisher_gate", 6);
SEMAPHORE("take", "subscriber_gate", 4);
SEMAPHORE("taken", "subscriber_gate", 4);
SEMAPHORE("taken_untimed", "subscriber_gate", 4);
SEMAPHORE("release", "subscriber_gate", 6);
static_assert(offsetof(struct gate_parts, semaphore) == 4, "what the names say");
#endif

static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static struct zcp_node *nodes;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int register_error;

static void before_fork(void)
{
	pthread_mutex_lock(&nodes_lock);
	for (struct zcp_node *n = nodes; n; n = n->fork_next)
		pthread_mutex_lock(&n->lock);
}

static void after_fork(void)
{
	for (struct zcp_node *n = nodes; n; n = n->fork_next)
		pthread_mutex_unlock(&n->lock);
	pthread_mutex_unlock(&nodes_lock);
}

static void in_child(void)
{
	after_fork();
	nodes = NULL;	/* a fork of the child must not look at them */
	atomic_fetch_add_explicit(&publisher_gate.parts.generation, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&subscriber_gate.parts.generation, 1, memory_order_relaxed);
}

static void register_handlers(void)
{
	register_error = pthread_atfork(before_fork, after_fork, in_child);
}

int fork_register(void)
{
	pthread_once(&once, register_handlers);
	return -register_error;
}

int fork_add(struct zcp_node *node)
{
	int r = fork_register();

	if (r < 0)
		return r;
	pthread_mutex_lock(&nodes_lock);
	node->fork_next = nodes;
	nodes = node;
	pthread_mutex_unlock(&nodes_lock);
	return 0;
}

void fork_remove(struct zcp_node *node)
{
	pthread_mutex_lock(&nodes_lock);
	for (struct zcp_node **at = &nodes; *at; at = &(*at)->fork_next) {
		if (*at == node) {
			*at = node->fork_next;
			break;
		}
	}
	pthread_mutex_unlock(&nodes_lock);
}
