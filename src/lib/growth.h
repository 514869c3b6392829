/* SPDX-License-Identifier: MIT */
/*
 * growth.h - a publisher's extras: where they come from and where they go
 *
 * The channel lends them (channel/extra.h), the router has them (router/growth.h), and here is what lies between: ask, map, add;
 * and drop, unmap, return. The owner's thread does all of it. The node's thread only hands extras to another router, so what it
 * reads for that - id, descriptor, epoch - changes under the node's lock.
 *
 * An extra is returned when it is idle, or when another is asked for and could not be had beside it. Not while there is no router:
 * nobody would tell the subscribers to let go of it.
 */
#ifndef ZCP_LIB_GROWTH_H
#define ZCP_LIB_GROWTH_H

#include "channel/extra.h"
#include "lib/publisher.h"

struct extra {
	uint32_t id;			/* 0: there is none in this place */
	int fd;
	uint64_t epoch;			/* of the router that has it */
	bool refused;			/* or that did not want it, so no newcomer gets it: not to be lent again */
	void *memory;
	uint64_t bytes;
	struct grave *grave;		/* as the publisher's: allocated ahead */
};

struct growth {
	struct extra extra[EXTRAS_MAX];
	uint32_t tried[EXTRAS_MAX];	/* last id asked for in each place: none is used twice */
	bool huge;			/* ask for huge pages, until there are none */
	bool has_refused;		/* the owner has not seen it yet. Under lock */
};

/* ---- the owner ---- */

/* For a publisher that is to grow. @huge: in huge pages, if there are any. NULL: out of memory. */
struct growth *growth_new(bool huge);

/*
 * The channel said -EXFULL for @size. 0: try again. Or a negative errno value with its sentence.
 * *deadline: 0 at the first call. May take news in.
 */
int growth_for(struct zcp_publisher *publisher, size_t size, uint64_t *deadline);

/* News: return what is idle, and what the router refused. */
void growth_look(struct zcp_publisher *publisher);

/* The publisher is closed: unmap all but what is on loan, which becomes graves of the node. Before the writer's end. */
void growth_free(struct zcp_publisher *publisher);

/* In a forked child: close its copies of descriptors. */
void growth_close_fds(struct growth *growth);

/* ---- the node's thread, under lock ---- */

/* The next extra of @endpoint that the router of @epoch does not have: fills in *message but for its header. Its descriptor, or -1. */
int growth_next(struct endpoint *endpoint, uint64_t epoch, struct wire_segment_grow *message);

/* The router has answered for extra @id. */
void growth_resumed(struct endpoint *endpoint, uint32_t id, uint64_t epoch, bool taken);

#endif
