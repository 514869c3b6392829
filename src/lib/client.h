/* SPDX-License-Identifier: MIT */
/*
 * client.h - the inside of a client
 *
 * Beside the connections (exchange.h) there is one table: the requests that are under way. Its index is part of a request's
 * id, so that a response finds its entry without a search, and an entry that is used again has another id. An entry ends
 * in one of three ways: the last response came, its connection ended, its time is up; client-take.c looks for all three.
 */
#ifndef ZCP_LIB_CLIENT_H
#define ZCP_LIB_CLIENT_H

#include "lib/exchange.h"

#define PENDING_BITS 12
#define PENDING_MAX (1u << PENDING_BITS)

/* A request under way; id 0: the entry is free. */
struct pending {
	uint64_t id;
	struct connection *to;
	uint64_t deadline_ns;		/* UINT64_MAX: none */
};

struct zcp_client {
	struct exchange exchange;	/* first: it begins with the subscriber and the endpoint */
	struct pending *pending;	/* [max_pending] */
	uint32_t *free;			/* stack of indexes into pending[] */
	uint32_t n_free, max_pending;
	uint64_t n_sent;		/* requests so far: the other part of an id */
	_Atomic uint64_t next_deadline_ns;	/* no entry's is earlier; UINT64_MAX: none has one. The node's thread looks, too */
	uint32_t n_broken;		/* entries whose connection has ended */
	struct connection *turn;	/* was chosen last */
	int64_t timeout_ns;
	bool wait_for_server, calling, ticking;
	struct zcp_response *kept;	/* ring of max_held + max_pending: responses that came while another one was waited for */
	uint32_t n_kept, first_kept, kept_room;
};

/* How long opening waits for servers that are there; tests make it short. */
extern int64_t client_connect_patience_ns;

/* Take in news, and see whether the handle is ours. 0 or -EOWNERDEAD. */
int client_enter(struct zcp_client *c);

/* The entry of a request that is new, or NULL: all are in use. */
struct pending *client_new_pending(struct zcp_client *c, struct connection *to, uint64_t deadline_ns);
void client_end_pending(struct zcp_client *c, struct pending *p);
struct pending *client_find_pending(const struct zcp_client *c, uint64_t id);

/* The next response or end of a request that is not kept, or -EAGAIN, -ENOBUFS. */
int client_take_new(struct zcp_client *c, struct zcp_response *response);

/* Keep @response for zcp_client_take(). There is room: it holds a sample, or was one of the requests under way. */
void client_keep(struct zcp_client *c, const struct zcp_response *response);

/* The subscriber's hooks and the endpoint's tick. */
bool client_ready(struct zcp_subscriber *s);

/* Sleep until there is something to take (while c->calling: that is not kept), but not beyond @deadline_ns. As zcp_client_wait(). */
int client_wait_until(struct zcp_client *c, uint64_t deadline_ns);

void client_want_ticks(struct zcp_client *c);	/* somebody sleeps on our descriptor */
void client_tick(struct endpoint *ep, uint64_t now_ns);
void client_ended(struct exchange *ex, struct connection *connection);

#endif
