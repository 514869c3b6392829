/* SPDX-License-Identifier: MIT */
/*
 * claim.h - halves of matches that wait for their other half
 *
 * A router that was restarted learns of a match from its two ends, each of which claims it when it
 * comes back (rejoin.h). Between the two it is a claim:
 *
 *	the other end is there and claims it too	a match again
 *	is there, and only the subscriber claims	a match: LANE_ADDED was lost on its way to the publisher
 *	is there, and only the publisher claims		over: the subscriber let it go meanwhile
 *	is still handing back, or not there yet		wait
 *	its node is back without that endpoint		over: it was closed meanwhile
 *	its process is dead				over, cause DIED
 *
 * "Not there yet" may last: a process that stands still comes back when it is let go. So what is
 * waited for is the process, by a pidfd that is looked at in each tick (struct absentee, one a
 * node); where the process cannot be identified (no pidfs, another pid namespace) 10 s must do.
 *
 * Nobody is believed: a claim comes about only if it agrees with what the other end says, and one
 * that does not harms nobody but who made it. The proof that this table loses nothing is
 * tests/model/rejoin.pml.
 */
#ifndef ZCP_ROUTER_CLAIM_H
#define ZCP_ROUTER_CLAIM_H

#include "router/registry.h"
#include "router/router.h"

#define CLAIM_PATIENCE_NS 10000000000ull

/*
 * A node that others claim to be matched with and that has not come back. One for each user that claims it, and for each
 * process that is said to be behind it: what one user says must not decide for how long another one waits.
 */
struct absentee {
	uint64_t node;
	struct wire_process process;
	int pidfd;			/* -1: the process could not be identified, wait until the deadline */
	uint64_t since_ns;		/* of the last claim */
	unsigned int n_claims;
	struct quota_user *user;	/* pays for the pidfd */
	struct absentee *prev, *next;
};

struct claim {
	uint64_t id;			/* of the match */
	struct endpoint *endpoint;	/* who claims */
	uint64_t peer, peer_node;	/* the other end, and its node */
	struct wire_process process;	/* behind that */
	uint32_t lane, flags;
	struct absentee *absentee;	/* NULL: nothing to be waited for but messages */
	struct claim *endpoint_prev, *endpoint_next;
	struct claim *prev, *next;	/* all */
};

/* Note what @endpoint says in MATCH_RESUME. 0, or VIOLATION. */
int claim_add(struct router *router, struct endpoint *endpoint, const struct wire_match_resume *resume, struct refusal *refusal);

/* All claims of @endpoint are said, and it is ready: settle them, and those of others that name it. */
void claim_settle(struct router *router, struct endpoint *endpoint);

/* A lane that @publisher does not know of is one of those it expects, if they were to meet from the start. */
void claim_count_down(struct router *router, struct endpoint *publisher, uint32_t flags);

/* Whether a claim between the two waits. */
bool claim_is_between(const struct endpoint *endpoint, const struct endpoint *other);

/* @node is on its way back: nobody looks for its process any more. It has come back completely, or left: its ends of claims are gone. */
void claim_node_returns(struct router *router, const struct node *node);
void claim_node_is_gone(struct router *router, uint64_t node, const struct departure *why);

/* @endpoint leaves: forget its claims. */
void claim_forget(struct router *router, struct endpoint *endpoint);

/* Look at absentees, and at publishers that expect somebody for too long. @grace: we were stalled ourselves. */
void claim_tick(struct router *router, uint64_t now_ns, bool grace);

#endif
