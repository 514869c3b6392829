/* SPDX-License-Identifier: MIT */
/*
 * match.h - who meets whom
 *
 * Matching is exact on service, instance and event; types were checked when the endpoint opened.
 * The one that joins bears the consequences: a subscriber that does not fit an existing publisher
 * is refused, a publisher never is; it meets those subscribers that fit, and both ends hear about
 * the others.
 */
#ifndef ZCP_ROUTER_MATCH_H
#define ZCP_ROUTER_MATCH_H

#include "router/registry.h"
#include "router/router.h"

/*
 * Whether @open may join its topic as it is now: only subscribers can be refused. 0 or REFUSED
 * (-ENOSPC).
 */
int match_check_subscriber(struct router *router, const struct topic *topic, uint32_t max_held, uint32_t n_lanes,
			   struct refusal *refusal);

/* @endpoint has become ready: offer it to all it fits. Returns the number of matches under way. */
uint32_t match_join(struct router *router, struct endpoint *endpoint);

/* The subscriber of @match has prepared @lane (or says a negative errno value). 0 or VIOLATION. */
int match_lane_chosen(struct router *router, struct match *match, int32_t lane, struct refusal *refusal);

/* End all matches of @endpoint, which leaves for @cause; the other ends are told. */
void match_leave(struct router *router, struct endpoint *endpoint, enum wire_cause cause);

#endif
