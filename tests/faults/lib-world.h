/* SPDX-License-Identifier: MIT */
/*
 * lib-world.h - what the scenarios of test-lib-faults are made of
 *
 * A world is a node under test with what a function needs, and a peer. The peer's node has no thread and is never hit. A scenario
 * prepares a world and makes one call in it; they stand in one table for each topic (lib-pubsub.c, ...). What must hold
 * afterwards, whatever was hit, the engine checks (test-lib-faults.c), with the help of calls_check() and events_check().
 */
#ifndef ZCP_TESTS_LIB_WORLD_H
#define ZCP_TESTS_LIB_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "integration/lib-helper.h"

#define LARGE 5000

struct world {
	bool no_thread;
	zcp_node *node, *other;
	zcp_publisher *publisher, *other_publisher;
	zcp_subscriber *subscriber, *other_subscriber;
	zcp_watch *watch;
	zcp_server *server;		/* one of the two on `node`, the other one on `other` */
	zcp_client *client;
	bool server_is_here;
	zcp_notifier *notifier;		/* likewise */
	zcp_listener *listener;
	bool notifier_is_here;
	uint64_t token, offerer;	/* of a descriptor that `other` offers */
	struct zcp_request request;
	struct zcp_response response;
	uint64_t id;
	zcp_waitset *waitset;
	int timer;
	struct zcp_sample samples[2];
	void *loans[2];
	int n_loans;
	char buffer[LARGE];
};

/* One or both nodes, and an endpoint of one. */
void world_open_node(struct world *w);
void world_open_other(struct world *w);
void world_open_nodes(struct world *w);
void world_open_publisher(struct world *w);
void world_open_subscriber(struct world *w);
void world_open_other_publisher(struct world *w);
void world_open_other_subscriber(struct world *w);
extern const struct zcp_publisher_options world_publisher_options;

/* Let the nodes without a thread hear what the router says. */
void world_dispatch(struct world *w);
/* Both ends know of each other. */
void world_settle(struct world *w, zcp_publisher *publisher);
/* A publisher of the node under test and a subscriber of the other; and the other way round. */
void world_match_publisher(struct world *w);
void world_match_subscriber(struct world *w);
/* Of the subscriber of the node under test. */
int world_wait(struct world *w);
int world_take_all(struct world *w);
/* The node under test, with all that is its own. */
int world_close_node(struct world *w);
int world_close_publisher(struct world *w);
void world_close(struct world *w);

/*
 * What the peer does in the middle of a call is not hit: in the caller's thread faults are held back, in the node's they stay
 * armed, since that is what it is for.
 */
uint32_t fault_hold(void);
void fault_release(uint32_t held);

/* A failure in words: which scenario, which fault, which N. */
extern char fault_where[256];

struct scenario {
	const char *name;
	void (*prepare)(struct world *w);	/* NULL: the call needs nothing */
	int (*call)(struct world *w);
	int errors[16];				/* that zcp.h documents */
};

struct scenarios {
	const char *name;			/* of the test case */
	const struct scenario *list;
	int n;
};

extern const struct scenarios pubsub_scenarios, calls_scenarios, events_scenarios, growth_scenarios, waitset_scenarios;

/* Whatever became of the connection: requests that can be sent end; events are heard. */
void calls_check(struct world *w);
void events_check(struct world *w);

#define NO_ERRORS { 0 }
#define ENDPOINT_ERRORS { EINVAL, EPROTOTYPE, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ETIMEDOUT, EOWNERDEAD }

#endif
