/* SPDX-License-Identifier: MIT */
/*
 * handover.h - a descriptor that one node gives another
 *
 * Whatever a node offers - a file, a dma-buf, a socket - never comes here: closing a file can block for as long as a hostile file system
 * likes, and the router must not. So who wants it asks for it (FD_TAKE), and the two get the ends of a fresh socket pair, over
 * which the offering node's thread sends the descriptor itself. Nothing of it is remembered here, and nothing is lost with us.
 */
#ifndef ZCP_ROUTER_HANDOVER_H
#define ZCP_ROUTER_HANDOVER_H

#include "router/peer.h"

/* FD_TAKE. 0, or REFUSED: -ENOENT no such endpoint, or none that the node is matched with; -EBUSY; -EDQUOT; -EMFILE; -ENOMEM. */
int handover_take(struct peer *peer, const struct wire_fd_take *take, struct refusal *refusal);

#endif
