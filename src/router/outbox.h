/* SPDX-License-Identifier: MIT */
/* outbox.h - a peer's send queue; used by peer.c alone. See peer.h and outbox.c. */
#ifndef ZCP_ROUTER_OUTBOX_H
#define ZCP_ROUTER_OUTBOX_H

#include "router/peer.h"

/* Copy @message to the end of the queue. NULL: out of memory. */
struct outbox_entry *outbox_put(struct peer *peer, const struct wire_header *message, enum outbox_fds fds,
				struct segment *segment);

/* Take @entry back. False: it is with the loop already. */
bool outbox_cancel(struct peer *peer, struct outbox_entry *entry);

/* Forget what the loop has not been given yet. */
void outbox_clear_unsent(struct peer *peer);

/* Give the first entry to the loop, if it may go now. */
void outbox_push(struct peer *peer);

/* The loop is through with the first entry. False: the peer cannot be reached any more. */
bool outbox_sent(struct peer *peer, int result);

#endif
