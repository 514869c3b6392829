/* SPDX-License-Identifier: MIT */
/*
 * look.h - showing an endpoint's segment to somebody who looks on
 *
 * Tools that show what moves (zcp top) read the counters in the segments themselves, so that nobody is asked while they do. What
 * they get is the same read-only descriptor that the other end of a match gets, and no doorbell. A channel between a client and a
 * server, or a topic that another user has found no way into, is not for everybody: who looks must be the endpoint's own user, the
 * router's, or root.
 */
#ifndef ZCP_ROUTER_LOOK_H
#define ZCP_ROUTER_LOOK_H

#include "router/peer.h"

/* SEGMENT_LOOK. 0, or REFUSED: -ENOENT it is gone, -EPERM, -EBUSY too many answers wait to be read; or VIOLATION. */
int look_at_segment(struct peer *peer, const struct wire_segment_look *look, struct refusal *refusal);

#endif
