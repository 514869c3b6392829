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

#include <stdbool.h>

/*
 * Whether @open may join its topic as it is now: only subscribers can be refused. 0 or REFUSED
 * (-ENOSPC).
 */
int match_check_subscriber(struct router *router, const struct topic *topic, const struct quota_user *user, uint32_t max_held,
			   uint32_t n_lanes, struct refusal *refusal);

/* @endpoint has become ready: offer it to all it fits. Returns the number of matches under way. */
uint32_t match_join(struct router *router, struct endpoint *endpoint);

/* Offer the pair to each other. True if a match is under way. */
bool match_pair(struct router *router, struct endpoint *publisher, struct endpoint *subscriber, bool from_start);

/* A channel of a client or server is for one subscriber only. */
static inline bool match_fits(const struct endpoint *publisher, const struct endpoint *subscriber)
{
	return !publisher->to || publisher->to == subscriber->id;
}

bool match_is_between(const struct endpoint *publisher, const struct endpoint *subscriber);

/*
 * A pair that was matched at another router, as @id on @lane, is so again. @tell: the publisher does not know of it yet. 0, or
 * REFUSED with nothing changed.
 */
int match_revive(struct router *router, struct endpoint *publisher, struct endpoint *subscriber, uint64_t id, uint32_t lane,
		 uint32_t flags, bool tell, struct refusal *refusal);

/* Tell @endpoint that the match @id is over. */
void match_tell_gone(struct endpoint *endpoint, uint64_t id, const struct departure *why);

/* The subscriber of @match has prepared @lane (or says a negative errno value). 0 or VIOLATION. */
int match_lane_chosen(struct router *router, struct match *match, int32_t lane, struct refusal *refusal);

/* End all matches of @endpoint, which leaves; the other ends are told why. */
void match_leave(struct router *router, struct endpoint *endpoint, const struct departure *why);

#endif
