/* SPDX-License-Identifier: MIT */
/*
 * node.h - a process's membership
 *
 * One socket to the router, and somebody who reads it: the node's own thread, or with no_thread whoever calls
 * zcp_node_dispatch() or blocks in the library. `lock` guards the socket, the requests under way and the table
 * of endpoints with their lists of matches. It is held while a message is handled, never while anybody sleeps.
 * What endpoints do on the data path never takes it.
 */
#ifndef ZCP_LIB_NODE_H
#define ZCP_LIB_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/directory.h"
#include "common/wire.h"
#include "lib/fork.h"
#include "zcp/zcp.h"

struct endpoint;
struct request;
struct outgoing;

/* Memory a closed publisher left behind because loans were open in it. */
struct grave {
	struct grave *next;
	void *memory;
	uint64_t bytes;
	unsigned char *scratch;		/* heap; or NULL */
};

struct zcp_node {
	uint32_t fork_generation;
	bool no_thread, unmonitored;
	uint64_t id, epoch;

	/* both written before others can see the node */
	struct directory_view directory;
	const void *directory_memory;
	uint64_t directory_bytes;
	struct node_page *page;

	int socket;
	int wake;			/* eventfd: the thread shall look at `stopping` and `outgoing` */
	int epoll, timer;		/* no_thread only: what zcp_node_fd() hands out */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock;
	pthread_cond_t answered;	/* CLOCK_MONOTONIC */

	/* under lock */
	bool stopping;
	bool disconnected;
	bool closed;			/* by its owner; lives on for samples still held */
	uint32_t last_request;
	struct request *requests;
	struct outgoing *outgoing, **outgoing_tail;	/* messages the socket would not take yet */
	struct endpoint *endpoints;	/* uthash by id */
	struct grave *graves;
	char router_text[WIRE_TEXT_BYTES];	/* what the router said before it hung up */

	struct zcp_node *fork_next;	/* fork.c */
};

/* Milliseconds between two heartbeats. */
#define NODE_HEARTBEAT_MS 100

/* Wake up the thread. */
void node_wake(struct zcp_node *node);

/* Start the background thread. 0 or a negative errno value with its sentence. */
int node_start_thread(struct zcp_node *node);

/*
 * The last endpoint of a closed node is gone: stop the thread, say goodbye, free everything. Not from the
 * node's own thread.
 */
void node_free(struct zcp_node *node);

/* Whether the router is gone. */
bool node_is_disconnected(struct zcp_node *node);

#endif
