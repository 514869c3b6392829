/* SPDX-License-Identifier: MIT */
/*
 * lane-growth.h - a lane's extras: segments that its publisher has beside the data segment (growth.h)
 *
 * The node's thread hears of them and maps them, and leaves them in told[]; the owner takes them from there into the table that the
 * reader looks at, and unmaps those that were withdrawn. What the owner has not taken yet is the node thread's to unmap. In
 * both, an extra is where its id's remainder says, and what comes after it takes its place. A mapping stays as long as a
 * sample in it is held, whatever the publisher or the router say.
 *
 * A descriptor is closed as soon as it is mapped. One that could not be mapped is in the table without memory: messages in it are lost,
 * and counted.
 */
#ifndef ZCP_LIB_LANE_GROWTH_H
#define ZCP_LIB_LANE_GROWTH_H

#include "lib/subscriber.h"

/* What the router said last about a place. Under lock. */
struct told {
	uint32_t id;			/* 0: nothing is there */
	bool taken;			/* the owner has the mapping */
	const unsigned char *base;
	uint64_t bytes;
};

struct lane_growth {
	struct zcp_subscriber *subscriber;
	struct lane *lane;
	struct reader_extra extra[EXTRAS_MAX];	/* the owner's */
	struct told told[EXTRAS_MAX];
	bool huge;
	bool waits;			/* a place of extra[] is held and shall be emptied */
	bool copied;			/* samples may be held that are copies */
	uint64_t pin[];			/* [max_held] for the reader */
};

/* The node's thread, under lock. Prepare @lane, whose reader is set up. 0 or -ENOMEM. */
int lane_growth_init(struct zcp_subscriber *s, struct lane *lane);

/* The node's thread, under lock: SEGMENT_SHARED or SEGMENT_WITHDRAWN came. @error: 0, or -EMFILE, its descriptor was lost. */
void lane_extra_news(struct zcp_node *node, const struct wire_segment_shared *m, int fds[WIRE_FDS_MAX], int error);

/* The owner, under lock: make the reader's table what the router said. */
void lane_growth_settle(struct lane *lane);

/* The owner: the sample in @h was released. */
void lane_growth_release(struct zcp_subscriber *s, struct lane *lane, struct held *h);

/* Whether a release has something to do. */
static inline bool lane_growth_is_slow(const struct lane_growth *g)
{
	return g->waits || g->copied;
}

/* The lane is dropped, and out of the node thread's reach. */
void lane_growth_free(struct lane *lane);

#endif
