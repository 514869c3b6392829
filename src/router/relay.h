/* SPDX-License-Identifier: MIT */
/*
 * relay.h - the publisher of those that have none
 *
 * The router's loop never touches a channel. What a node hands in with SEND is published by the relay: a thread of this process
 * that runs an ordinary node of libzcp, "zcp-relay", on a connection to the router like any other, with a publisher for
 * each topic it was used for lately. To the loop it is one more node, which may be slow, refused or disconnected like others; to the
 * topic it is one more publisher. This is the one place where the router uses the library.
 *
 * Two queues tie them together, each with an eventfd: jobs go in, answered jobs come out. Everything in this header is
 * called by the loop's thread and does not block, but for relay_stop(), which joins a thread that has nothing left to wait for.
 *
 * The thread begins with the first job and ends by itself when it had none for a while: relay_pop() then says so. It is on
 * nobody's account but the router's own user's; who sends is charged for jobs (send.h).
 */
#ifndef ZCP_ROUTER_RELAY_H
#define ZCP_ROUTER_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/wire.h"

#define RELAY_ROUTES_MAX 32u		/* topics at once; the one that was not used for longest goes first */
#define RELAY_IDLE_NS 5000000000ull	/* a publisher that was not used for so long is closed */
#define RELAY_PATIENCE_NS 1000000000ull	/* for subscribers that were there before the publisher, and are on their way */

struct quota_user;
struct relay;

/* One message: made, queued and freed by send.c. */
struct relay_job {
	struct relay_job *prev, *next;
	/* the loop's */
	uint64_t node;
	uint32_t request;
	struct quota_user *user;
	uint64_t since_ns;		/* when it was complete */
	uint32_t n_have;		/* bytes of the payload that came so far */
	/* the relay's, from relay_push() to relay_pop() */
	struct wire_topic topic;
	int result;			/* number of subscribers reached, or a negative errno value with its text */
	char text[WIRE_TEXT_BYTES];
	int n_connected;		/* when it was published; */
	uint32_t n_before;		/* and how many of those that the publisher expected had come by then */
	uint32_t size;
	unsigned char payload[];
};

/* A relay that speaks to the router on @socket, which it takes over, also when it fails. 0 or a negative errno value. */
int relay_start(struct relay **relay, int socket);

/* Readable when relay_pop() has something. */
int relay_fd(const struct relay *relay);

/* Hand @job over. False: this relay has ended, stop it and start another. */
bool relay_push(struct relay *relay, struct relay_job *job);

/* A job that is answered, or NULL; *@ended: there will be no more, call relay_stop(). */
struct relay_job *relay_pop(struct relay *relay, bool *ended);

/* End it and free it. Returns the jobs that are left, a list by prev and next; they are the caller's. NULL is fine. */
struct relay_job *relay_stop(struct relay *relay);

#endif
