/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - what clients and servers have in common: a subscriber, and a connection to each counterpart
 *
 * A connection is a channel each way: `out`, a publisher that only the other end reads, and `in`, the lane of our own
 * subscriber on which its publisher writes. The life of one, and who moves it on:
 *
 *	asked		node's thread: PEER_ADDED came, ENDPOINT_OPEN for `out` is said
 *	mapped		node's thread: the segment is mapped, SEGMENT_MAPPED is said
 *	ready		node's thread: ENDPOINT_READY; the owner may publish
 *	failed		node's thread: the router refused, or is gone (the next one will introduce the two again)
 *	connected	owner: ready, the other end reads it, and its messages have a lane
 *	ended		owner: the lane is drained and its writer gone; or nobody reads `out`, and there is no lane, or we could not take the reader into use
 *	freed		owner: ended or failed, and nothing refers to it
 *
 * So opening waits for nobody's thread but the node's, and a server that does nothing but sleep is connected all the same.
 */
#ifndef ZCP_LIB_EXCHANGE_H
#define ZCP_LIB_EXCHANGE_H

#include "channel/geometry.h"
#include "lib/control.h"
#include "lib/publisher.h"
#include "lib/subscriber.h"

struct exchange;

/* Beside each request and response, as the channel's user header. What a peer wrote: only compared, never followed. */
struct call_header {
	uint64_t id;			/* of the request, chosen by the client */
	int64_t deadline_ns;		/* request: CLOCK_MONOTONIC, 0: none */
	uint32_t flags;			/* CALL_* */
	int32_t status;			/* response: 0, or a negative errno value instead of a payload */
};
static_assert(sizeof(struct call_header) == 24, "a multiple of 8, and within CHANNEL_HEADER_MAX");

#define CALL_MORE (1u << 0)		/* response: not the last one */
#define CALL_ONE_WAY (1u << 1)		/* request: no response is wanted */

enum connection_state {
	CONNECTION_ASKED,
	CONNECTION_MAPPED,
	CONNECTION_READY,
	CONNECTION_FAILED,
};

struct connection {
	struct connection *next;	/* of exchange.all. Under lock */
	struct exchange *exchange;
	uint64_t peer;			/* endpoint id of the other client or server */
	struct zcp_publisher *out;
	struct request request;		/* about `out`. Under lock */
	enum connection_state state;	/* under lock; the owner looks when it has taken in news */
	bool is_mine;			/* the owner has seen it. Under lock */
	/* the owner's */
	struct connection *mine;	/* the next one that the owner knows */
	bool is_ready, is_failed, has_lane, ended;
	uint32_t n_requests;		/* that refer to it: under way (client), held (server) */
};

struct exchange {
	struct zcp_subscriber in;	/* first: it begins with the endpoint */
	struct connection *all;		/* the node's thread appends, the owner unlinks. Under lock */
	struct connection *mine;	/* the owner's: those it has seen */
	bool to_sweep;			/* the owner's: some may be over */
	struct geometry_request wish;	/* of the channels to the others */
	uint32_t role;			/* of these channels */
	int64_t timeout_ns;
	struct wire_topic topic;
	uint32_t n_connected;		/* the owner's */
	uint32_t n_failed;		/* introductions that came to nothing. Under lock */
	/* A connection has ended; the owner's thread. May be NULL. */
	void (*ended)(struct exchange *ex, struct connection *c);
};

/* Set up the subscriber @ex->in but for asking the router; the rest of the struct is the caller's. 0 or -ENOMEM. */
int exchange_init(struct exchange *ex, struct zcp_node *node, const struct endpoint_operations *operations,
		  const struct subscriber_hooks *hooks, uint32_t max_held, uint32_t max_peers);

/* The endpoint operations of clients and servers. */
struct match *exchange_writer_added(struct endpoint *ep, const union wire_message *message, int fds[WIRE_FDS_MAX], int error);
void exchange_introduced(struct endpoint *ep, const struct wire_peer_added *m);

/* The subscriber's hooks: connect, and end. */
void exchange_looked(struct zcp_subscriber *s);
void exchange_drained(struct zcp_subscriber *s, struct lane *lane);

/* Free connections that are over and that nothing refers to. The owner. */
void exchange_sweep(struct exchange *ex);

/* Whether it is connected, both ways. */
bool exchange_is_usable(const struct connection *c);

/* Wait until @c is ready: a matter of microseconds, since its other end is connected already. False: it will not be. */
bool exchange_await_ready(struct exchange *ex, struct connection *c);

/* The same until its reader is attached, which the other end has asked for. */
bool exchange_await_reader(struct connection *c);

/* Close all connections. The owner; afterwards no new ones come. In a forked child: only closes descriptors. */
void exchange_close(struct exchange *ex);

/* The connection that a message in hand came from, or NULL. */
static inline struct connection *exchange_connection(const struct exchange *ex, const struct zcp_sample *sample)
{
	return ex->in.held[sample->held].lane->connection;
}

#endif
