/* SPDX-License-Identifier: MIT */
/*
 * keeper.h - whoever looks after the router: kills it at the k-th system call, and starts it again
 *
 * A process of its own, since the tracer of a router cannot at the same time be its client. The first router runs from
 * system call stop to system call stop; they count from keeper_arm() on. The one that follows runs freely.
 */
#ifndef ZCP_TESTS_KEEPER_H
#define ZCP_TESTS_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum keeper_way {
	KEEPER_STOPS,		/* kill it after so many system call stops */
	KEEPER_MICROSECONDS,	/* ... so long after keeper_arm(), untraced */
};

/* Start it, and through it a router with --loop=@loop. */
pid_t keeper_start(enum keeper_way way, uint64_t k, const char *loop);
void keeper_arm(void);

/* The first router was killed. Stops that were counted so far. The pid of the one that runs now. */
bool keeper_has_killed(void);
uint64_t keeper_stops(void);
pid_t keeper_router(void);

/* SIGTERM to the router that runs, which must end cleanly, and then the keeper. */
void keeper_end(pid_t keeper);

#endif
