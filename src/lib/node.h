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

#include "common/clock.h"
#include "common/directory.h"
#include "common/wire.h"
#include "lib/fork.h"
#include "lib/router-path.h"
#include "zcp/zcp.h"

struct endpoint;
struct request;
struct waitset_entry;
struct outgoing;

/* Memory a closed publisher left behind because loans were open in it. */
struct grave {
	struct grave *next;
	void *memory;
	uint64_t bytes;
	unsigned char *scratch;		/* heap; or NULL */
};

/* How the node stands with its router. See rejoin.h for what leads from one to the other. */
enum node_state {
	NODE_AWAY,			/* no connection: try again at retry_ns */
	NODE_GREETED,			/* HELLO or REJOIN is said */
	NODE_RESUMING,			/* welcome again: handing endpoints back */
	NODE_JOINED,
	NODE_LOST,			/* for good: the router has removed us, or takes us no more */
};

struct zcp_node {
	uint32_t fork_generation;
	bool no_thread, unmonitored, autostart;
	char name[WIRE_NAME_BYTES];

	/*
	 * Under lock, but that the owner's thread may look at `directory` between two calls: the mapping before the last one
	 * stays until the router changes again.
	 */
	uint64_t id, epoch;
	struct directory_view directory;
	const void *directory_memory, *old_directory_memory;
	uint64_t directory_bytes, old_directory_bytes;
	struct node_page *page;
	int page_fd;			/* handed to the next router as proof who we are */
	uint32_t heartbeat_ms;

	/* rejoin.c, under lock */
	enum node_state state;
	struct router_paths paths;
	uint64_t retry_ns, deadline_ns;	/* NODE_AWAY: next attempt; NODE_GREETED, NODE_RESUMING: patience for the answer */
	uint64_t backoff_ns, away_since_ns;
	uint64_t router_beat, router_beat_ns;	/* the router's heartbeat when we looked last, and when it was a new one */
	uint32_t rejoin_request;	/* number of the question under way; 0: none */
	uint64_t resuming;		/* endpoint it is about */
	uint32_t resuming_extra;	/* and which extra of it; 0: the endpoint itself */
	bool given_up_waiting;		/* away for so long that publishers stop to expect subscribers */
	int lost_error;

	int socket;
	int wake;			/* eventfd: the thread shall look at `stopping` and `outgoing` */
	int epoll, timer;		/* no_thread only: what zcp_node_fd() hands out */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock;
	pthread_cond_t answered;	/* CLOCK_MONOTONIC */

	/* under lock */
	bool stopping;
	bool closed;			/* by its owner; lives on for samples still held */
	uint32_t last_request;
	struct request *requests;
	struct outgoing *outgoing, **outgoing_tail;	/* messages the socket would not take yet */
	struct endpoint *endpoints;	/* uthash by id */
	struct grave *graves;
	uint32_t n_ticking;		/* endpoints that wait for time to pass */
	struct zcp_watch *watches;
	struct offer *offers;		/* uthash by token; handover.c */
	struct waitset_entry *waiters;	/* wait sets that dispatch it */
	char router_text[WIRE_TEXT_BYTES];	/* what the router said before it hung up */

	struct zcp_node *fork_next;	/* fork.c */
};

/* Milliseconds between two heartbeats, until a router says otherwise. */
#define NODE_HEARTBEAT_MS 100

/*
 * zcp_node_open() on @fd, a connection to a router, which it takes over, also when it fails; -1: connect. A node on a connection that it
 * was given knows no path, and does not come back when that ends.
 */
int node_open_on(struct zcp_node **node, const char *name, const struct zcp_node_options *options, int fd);

/* Touch the heartbeat, if there is a page for it. Under lock: the page changes with the router. */
void node_beat(struct zcp_node *node);

/* Wake up the thread. */
void node_wake(struct zcp_node *node);

/* Start the background thread. 0 or a negative errno value with its sentence. */
int node_start_thread(struct zcp_node *node);

/*
 * The last endpoint of a closed node is gone: stop the thread, say goodbye, free everything. Not from the
 * node's own thread.
 */
void node_free(struct zcp_node *node);

/* Map what WELCOME brought, in place of what there was. Takes the page's descriptor. Under lock. 0 or a negative errno value. */
int node_map(struct zcp_node *node, const struct wire_welcome *welcome, int fds[WIRE_FDS_MAX]);

/* no_thread: make zcp_node_fd() readable every heartbeat (or while there is no router), or not. Under lock. */
void node_set_timer(struct zcp_node *node);

/* Whether it has a router at the moment. */
bool node_is_joined(struct zcp_node *node);

/* Whether the node is lost for good. */
bool node_is_lost(struct zcp_node *node);

/* After -ENOTCONN of a request: wait until the node is joined (again). False: it is not by @deadline, or has no thread that works on it. */
bool node_await_joined(struct zcp_node *node, uint64_t deadline);

/* The clock's calibration from the router's directory. Wait-free: false where the node is busy, or there is none. */
bool node_read_calibration(struct zcp_node *node, struct clock_calibration *c);

#endif
