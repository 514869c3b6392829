/* SPDX-License-Identifier: MIT */
/*
 * watch.h - the inside of a watch: a bounded queue between the node's thread and its owner
 *
 * The router sends WATCH_EVENTs; the node's thread puts them into the queue of the watch they name and makes its
 * descriptor readable; zcp_watch_take() takes them out. All of it under the node's lock: news is rare.
 */
#ifndef ZCP_LIB_WATCH_H
#define ZCP_LIB_WATCH_H

#include "lib/node.h"

/* Under lock: an event came. */
void watch_handle(struct zcp_node *node, const struct wire_watch_event *event);

/* Under lock: the router is gone for now; it is back (opens all watches at it again); it will not come back. */
void watch_router_gone(struct zcp_node *node);
void watch_router_back(struct zcp_node *node);
void watch_wake_all(struct zcp_node *node);

/* zcp_node_close(): close what is left. Not under lock. In a forked child: only close descriptors. */
void watch_close_all(struct zcp_node *node);

#endif
