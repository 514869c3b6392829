/* SPDX-License-Identifier: MIT */
/*
 * send.h - messages that nodes hand to the router
 *
 * The loop's side of the relay: SEND and its SEND_MOREs are put together to a job, the job goes to the relay, and its answer to the
 * node, if that is still there. A job counts on its user's account (QUOTA_SENDS) from the SEND on, as half a message is
 * memory too; so no user can fill the queue for others, nor the router's memory.
 *
 * A job is handed over when the relay knows of all subscribers that were there before the SEND came, so that they are counted: when
 * they have chosen a lane, and the relay's connection has nothing left to send.
 */
#ifndef ZCP_ROUTER_SEND_H
#define ZCP_ROUTER_SEND_H

#include "common/wire.h"
#include "router/loop.h"
#include "router/refusal.h"

#define SEND_JOBS_PER_UID 256u	/* 16 MiB at most */

struct node;
struct peer;
struct relay;
struct relay_job;
struct router;

/* All zero: no relay. */
struct sends {
	struct relay *relay;
	struct loop_watch watch;	/* of its answers */
	struct peer *peer;		/* its connection; NULL: none any more */
	struct relay_job *held;		/* complete, not handed over */
};

/* Messages of a node. 0, REFUSED or VIOLATION. */
int send_begin(struct peer *peer, const struct wire_send *message, struct refusal *refusal);
int send_go_on(struct peer *peer, const struct wire_send_more *message, struct refusal *refusal);

/* @node leaves: what it has not sent completely goes with it. */
void send_forget(struct node *node);

/* Between two events: hand over what is complete. */
void send_settle(struct router *router);

/* Answers have come. */
void send_readable(struct router *router);

/* @peer, a connection of our own process, came or is gone. */
void send_peer_came(struct router *router, struct peer *peer);
void send_peer_gone(struct router *router, struct peer *peer);

/* The router ends: stop the relay, drop what is under way. The loop must still be there. */
void send_close(struct router *router);

#endif
