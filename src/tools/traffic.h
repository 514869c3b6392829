/* SPDX-License-Identifier: MIT */
/*
 * traffic.h - what moves on which topic: the model behind zcp top
 *
 * One traffic_look() takes a snapshot of the directory, reads the segments that are mapped (sight.h), and joins the two: topics
 * with their endpoints and connections, each with what it says now and with rates since the look before. A table is thrown away and
 * built anew at each look; what a rate needs of the past is kept with the sights, so that it outlives a restart of the router.
 *
 * A client and a server are two endpoints and two channels in the directory; here they are one topic of kind TRAFFIC_CALL, whose
 * messages are the requests.
 */
#ifndef ZCP_TOOLS_TRAFFIC_H
#define ZCP_TOOLS_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/sight.h"
#include "tools/snapshot.h"

enum traffic_kind {
	TRAFFIC_DATA,
	TRAFFIC_CALL,
	TRAFFIC_EVENTS,
};

/* In the order of what a person should hear of first. */
enum traffic_state {
	TRAFFIC_UNRESPONSIVE,	/* a node's heartbeat has stopped */
	TRAFFIC_BROKEN,		/* a segment makes no sense */
	TRAFFIC_DRY,		/* a loan failed since the last look */
	TRAFFIC_LOSING,		/* a subscriber lost messages since the last look, or is overrun */
	TRAFFIC_BLOCKED,	/* a reliable publisher has no room, and has published nothing since the last look */
	TRAFFIC_LAGGING,	/* a subscriber's queue is three quarters full */
	TRAFFIC_SILENT,		/* a heart has not beaten for a second */
	TRAFFIC_PRIVATE,	/* we may not look into all of it */
	TRAFFIC_UNSEEN,		/* not looked into yet */
	TRAFFIC_OK,
	TRAFFIC_IDLE,		/* nothing was published since the last look */
};

struct traffic_connection {
	const struct directory_match *match;
	struct traffic_endpoint *publisher, *subscriber;
	bool known;			/* both ends' segments are mapped */
	bool skips;			/* the subscriber takes the newest message only: what it passes over is not lost */
	uint64_t lag;			/* messages it has not taken and that are still there */
	double fill;			/* of the publisher's depth */
	uint64_t received, lost, malformed;
	uint64_t overrun;		/* messages that are gone and that it has not noticed yet */
	uint64_t lost_now;		/* since the last look */
	double received_rate;
	uint32_t n_held;
	uint64_t cursor;
	struct traffic_connection *next_of_publisher, *next_of_subscriber;
};

struct traffic_pool {
	uint32_t chunk_bytes, count, touched;
	uint32_t in_use;		/* estimate */
};

struct traffic_endpoint {
	const struct directory_endpoint *row;
	const struct directory_node *node;
	enum zcp_role role;
	const struct sight *sight;	/* NULL: not yet */
	enum traffic_state state;
	uint64_t silent_ns;		/* 0: less than a second */
	struct traffic_connection *connections;
	struct sight_writer writer;	/* publisher that is mapped */
	/* sum over its connections, or what its own segment says */
	double rate, byte_rate;		/* publisher: published; subscriber: received, bytes 0 */
	uint64_t published, received, lost, overrun, malformed;
	uint64_t n_failed_loans, failed_now;
	uint32_t n_held;
	double fill;			/* of the fullest queue */
	bool bytes_exact;		/* each message since the last look was looked at */
	bool waits;			/* publisher: has slept for want of room since the last look */
	double pool_use, pool_high;	/* of the pool that is fullest; negative: there is none */
	struct traffic_pool pool[CHANNEL_POOLS_MAX];
	uint32_t n_pools;
	struct traffic_endpoint *next;	/* of the same topic */
};

struct traffic_topic {
	const struct wire_topic *name;
	enum traffic_kind kind;
	enum traffic_state state;
	struct traffic_endpoint *endpoints;	/* sorted: publishers first */
	unsigned int n_publishers, n_subscribers;	/* or clients and servers, notifiers and listeners */
	double rate, byte_rate, received_rate;
	bool bytes_exact;
	uint64_t published, received, lost, overrun, malformed, n_failed_loans;
	uint64_t n_held, silent_ns;
	double fill, pool_use, pool_high;
};

struct traffic {
	struct sights *sights;
	uint64_t now_ns, last_ns;		/* of this look, and of the one before; 0: there was none */
	struct snapshot rows;
	struct traffic_topic *topics;
	struct traffic_endpoint *endpoints;
	struct traffic_connection *connections;
	size_t n_topics, n_endpoints, n_connections, n_nodes;
	struct traffic_past *past;		/* of connections, by match id */
};

/* 0 or -ENOMEM, and then the table is the old one, or empty. */
int traffic_look(struct traffic *traffic, uint64_t now_ns);
void traffic_deinit(struct traffic *traffic);

/* Whether a person should look at it: shown in red, and with a mark. */
static inline bool traffic_wants_attention(enum traffic_state state)
{
	return state <= TRAFFIC_LAGGING;
}

const char *traffic_state_name(enum traffic_state state);
const char *traffic_kind_name(enum traffic_kind kind);

/* The connections of @endpoint one after the other; NULL: that was the last one. */
static inline const struct traffic_connection *traffic_next_connection(const struct traffic_endpoint *endpoint,
								       const struct traffic_connection *connection)
{
	return connection->publisher == endpoint ? connection->next_of_publisher : connection->next_of_subscriber;
}

/* "publisher", ..., or "requests" and "responses" for the channels of clients and servers. */
const char *traffic_role_name(const struct traffic_endpoint *endpoint);

#endif
