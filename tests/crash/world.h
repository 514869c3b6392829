/* SPDX-License-Identifier: MIT */
/*
 * world.h - a router, survivors, and what must hold for them after each death
 *
 * The survivors are endpoints of this process, in one node without a thread: nothing happens to them but when they are
 * asked. There are two sides, a lossy and a reliable topic, each with a publisher and a subscriber; a victim is a further
 * publisher or subscriber of one of them. A third one, of calls, has survivors of its own.
 *
 * A message carries its number, its size, and words that follow from both, so that a message that is not whole is
 * found; numbers say what is missing. A victim notes in shared memory how many messages it began to publish and how
 * many it completed: at least these must arrive, at most those.
 */
#ifndef ZCP_TESTS_WORLD_H
#define ZCP_TESTS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common-crash.h"
#include "zcp/zcp.h"

#define SMALL 32	/* inline */
#define BIG 3000	/* a chunk; a multiple of 8 */
#define RING 16		/* slots, of the geometry that publisher_options() asks for */

struct stream {
	uint64_t id, next;
};

struct side {
	const char *name;
	bool reliable;
	struct zcp_topic topic;
	zcp_publisher *publisher;
	zcp_subscriber *subscriber;
	uint64_t n_sent;		/* by the publisher */
	struct stream own, victim;	/* as the subscriber sees them */
};

/* The third has neither: calls.h. */
extern struct side sides[3];
#define N_SIDES 3
extern zcp_node *survivors;

/* Victim and survivors share it. */
struct progress {
	_Atomic uint64_t begun, completed;
};
extern struct progress *progress;

/* Try until it holds, 20 s; the survivors' node is dispatched in between. */
#define expect(condition)                                                                   \
	do {                                                                                \
		uint64_t expect_end_ = deadline();                                          \
		while (!(condition))                                                        \
			if (!still_time(expect_end_))                                       \
				fail("does not come to hold: %s", #condition);              \
	} while (0)
uint64_t deadline(void);
bool still_time(uint64_t end);

void world_open(void);
void world_close(void);

zcp_node *join(const char *name);
struct zcp_publisher_options publisher_options(bool reliable);
zcp_publisher *open_publisher(zcp_node *node, const struct side *side);
zcp_subscriber *open_subscriber(zcp_node *node, const struct side *side, uint32_t history);

/* The survivors' publisher sends one; their subscriber takes what is there. */
void side_send(struct side *side, size_t size);
void side_take(struct side *side);

/* Before a victim begins; and when it is dead and every other endpoint that was opened for it is closed. */
void world_before(struct side *side);
void world_after(struct side *side);

/* @next messages were taken from the victim's stream: between completed and begun. */
void check_progress(uint64_t next);

#endif
