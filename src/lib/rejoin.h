/* SPDX-License-Identifier: MIT */
/*
 * rejoin.h - a node without a router, and how it gets one
 *
 *	NODE_JOINED --end of file--> NODE_AWAY --connected--> NODE_GREETED --WELCOME--> NODE_RESUMING --all handed back--> NODE_JOINED
 *
 * and from NODE_GREETED and NODE_RESUMING back to NODE_AWAY whenever something fails that may succeed another time. What
 * the router says is for good (it has removed us, our proof does not convince it) leads to NODE_LOST.
 *
 * Everything runs under the node's lock and never blocks: rejoin_run() does what is due, rejoin_timeout_ms() says when to
 * call it again. Endpoints are handed back one at a time, since a descriptor under way counts against a limit of the whole user. What their
 * owners do meanwhile goes on as ever: the data path does not know that there is a router.
 */
#ifndef ZCP_LIB_REJOIN_H
#define ZCP_LIB_REJOIN_H

#include "lib/node.h"

#define BACKOFF_FIRST_NS 10000000ull	/* before the second attempt; twice as long before each further one, up to a second */

/* The connection is over. @lost: for good, with node->router_text saying why. */
void rejoin_connection_ended(struct zcp_node *node, bool lost);

/* Do what is due. */
void rejoin_run(struct zcp_node *node);

/* Milliseconds until something is due; -1: nothing. */
int rejoin_timeout_ms(const struct zcp_node *node);

/* Take @fd, a fresh connection, into use: say who we are. */
void rejoin_greet(struct zcp_node *node, int fd);

/* An answer to rejoin_request came: true if @m was one. Descriptors that are kept are taken out of @fds. @error: -EMFILE, they were lost. */
bool rejoin_answer(struct zcp_node *node, const union wire_message *m, int fds[WIRE_FDS_MAX], int error);

/* Whether messages can go out. */
static inline bool rejoin_has_connection(const struct zcp_node *node)
{
	return node->state == NODE_GREETED || node->state == NODE_RESUMING || node->state == NODE_JOINED;
}

/* Whether it is time to start a router, which takes a while and is done without the lock. */
bool rejoin_wants_router(const struct zcp_node *node);

#endif
