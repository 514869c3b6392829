/* SPDX-License-Identifier: MIT */
/*
 * introduce.h - clients and servers hear of each other
 *
 * Each is a subscriber of its own role. When both are ready the router tells each who the other is, and each opens a
 * publisher that is for the other alone (common/wire.h). From there on these are endpoints like all others: matched,
 * claimed after a restart, gone with their node. What is special is checked here: who may name whom, that a topic has
 * one server unless all of them share it, and that types agree.
 */
#ifndef ZCP_ROUTER_INTRODUCE_H
#define ZCP_ROUTER_INTRODUCE_H

#include "router/registry.h"
#include "router/router.h"

/* Whether role, flags and ids of @open go together at all. 0, REFUSED or VIOLATION. */
int introduce_check_role(const struct wire_endpoint_open *open, struct refusal *refusal);

/*
 * Whether @open of @node may join as things are now. @resuming: it comes back to a restarted router, and the one that it
 * names may not be back yet. 0, REFUSED (-EADDRINUSE, -EPROTOTYPE, -ESRCH: the other end has gone, -EEXIST) or VIOLATION.
 */
int introduce_check(struct router *router, const struct node *node, const struct wire_endpoint_open *open, bool resuming,
		    struct refusal *refusal);

/* @endpoint has become ready: if it is a client or a server, tell it and its counterparts of each other. */
void introduce_ready(struct router *router, const struct endpoint *endpoint);

/* How many it will be told of. */
uint32_t introduce_count(struct router *router, const struct endpoint *endpoint);

#endif
