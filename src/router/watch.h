/* SPDX-License-Identifier: MIT */
/*
 * watch.h - those who want to know who comes and goes
 *
 * A watch is a subscription of a node to news about nodes and endpoints that fit its pattern. The
 * functions below are called wherever something changes, right when the registry and the directory
 * say so; each costs nothing while nobody watches. Events are messages a peer can do without:
 * where its queue is long they are dropped and counted, and the next one says how many.
 */
#ifndef ZCP_ROUTER_WATCH_H
#define ZCP_ROUTER_WATCH_H

#include "router/registry.h"
#include "router/router.h"

/* WATCH_OPEN and WATCH_CLOSE of a joined peer. 0, REFUSED, VIOLATION. */
int watch_open(struct peer *peer, const struct wire_watch_open *open, struct refusal *refusal);
int watch_close(struct peer *peer, const struct wire_watch_close *close, struct refusal *refusal);

/* Go on to tell new watches what exists, as far as their peers read. Between two events. */
void watch_pump(struct router *router);

/* @node leaves: forget its watches. */
void watch_forget(struct router *router, struct node *node);

/* News. A node that vanishes still has its endpoints: their events come first, from here too. */
void watch_node_appeared(struct router *router, const struct node *node);
void watch_node_vanished(struct router *router, const struct node *node, const struct departure *why);
void watch_node_responds(struct router *router, const struct node *node, bool responsive);
void watch_endpoint_appeared(struct router *router, const struct endpoint *endpoint);
void watch_endpoint_vanished(struct router *router, const struct endpoint *endpoint, const struct departure *why);
void watch_pool_dry(struct router *router, const struct endpoint *endpoint);

#endif
