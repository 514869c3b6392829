/* SPDX-License-Identifier: MIT */
/*
 * growth.h - extras: further segments of publishers that grow
 *
 * A publisher has a table of EXTRAS_MAX places. An extra gets there by SEGMENT_GROW, is shared when its
 * writer has mapped it, and leaves by SEGMENT_RETURN or with the publisher. It costs what any
 * segment costs (quota.h), and one descriptor.
 *
 * Whom to tell: each subscriber that has chosen a lane, and each that chooses one later, of what is
 * there then. Per match and place at most one message waits in a queue, the newest, since
 * SEGMENT_SHARED says also that what was in its place before is withdrawn. So a publisher that grows and
 * shrinks does not fill the queue of a process that stands still.
 *
 * An extra that comes back after a restart and is refused stays on the list as absent: its publisher goes on
 * to use it, and subscribers that do not have it must not wait for it.
 */
#ifndef ZCP_ROUTER_GROWTH_H
#define ZCP_ROUTER_GROWTH_H

#include <stdbool.h>

#include "router/registry.h"
#include "router/router.h"

/* One place of the table. */
struct extra {
	uint32_t id;			/* of what is or was in it last; 0: nothing ever */
	uint32_t request;		/* of SEGMENT_GROW, until it is mapped */
	bool absent;
	struct segment *segment;	/* NULL: the place is free */
};

int growth_grow(struct peer *peer, const struct wire_segment_grow *grow, struct refusal *refusal);
int growth_return(struct peer *peer, const struct wire_segment_extra *message, struct refusal *refusal);
int growth_resume(struct peer *peer, const struct wire_segment_grow *resume, int fds[WIRE_FDS_MAX], struct refusal *refusal);

/* Whether SEGMENT_MAPPED is about an extra; then growth_mapped() is for it. */
bool growth_is_awaited(const struct node *node, const struct wire_segment_mapped *mapped);
int growth_mapped(struct peer *peer, const struct wire_segment_mapped *mapped, struct refusal *refusal);

/* The subscriber has a lane: tell it what there is. @again: it may have been told by an earlier router, and know of what is not any more. */
void growth_share_all(struct match *match, bool again);

/* @match ends. */
void growth_forget(struct match *match);

/* The publisher leaves, or never had any. */
void growth_drop_all(struct endpoint *endpoint);

#endif
