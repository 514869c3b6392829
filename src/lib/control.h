/* SPDX-License-Identifier: MIT */
/*
 * control.h - talking to the router
 *
 * Sending never blocks: what the socket does not take is queued and goes out when it can. Receiving is done by
 * one thread at a time, under the node's lock. A message either answers a request, whose caller sleeps in
 * control_call(), or it is news for an endpoint. Descriptors of a received message belong to the receive loop
 * until a handler takes them with fd_take(); the rest is closed there.
 */
#ifndef ZCP_LIB_CONTROL_H
#define ZCP_LIB_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/node.h"

#define CONTROL_TIMEOUT_NS 5000000000ll

/* A question to the router, on its caller's stack. Two steps of one conversation use the same struct. */
struct request {
	struct request *next;
	uint32_t number;
	uint16_t awaited;		/* enum wire_type of the answer */
	bool done;
	int error;			/* 0 or a negative errno value */
	int fds[WIRE_FDS_MAX];		/* the caller's once the call returned, also on failure; or -1 */
	union wire_message answer;
	/*
	 * Set: nobody waits. Called under lock with the answer, or with the error, when the request is no longer in the list; what it
	 * leaves in fds it has to close.
	 */
	void (*answered)(struct zcp_node *node, struct request *request);
	/* Set: sends what belongs right behind the message, before anybody else sends anything. Under lock. */
	void (*follow)(struct zcp_node *node, struct request *request);
};

#define REQUEST_INIT { .number = 0, .fds = { -1, -1 } }

/*
 * Send @message as (a further part of) @request and wait up to 5 s for the answer of type @awaited. 0 with
 * request->answer, or a negative errno value with its sentence; @what completes "cannot ...". The node's lock
 * must not be held.
 */
int control_call(struct zcp_node *node, struct request *request, struct wire_header *message, uint16_t awaited, const char *what);

/* control_call() for a request with answered(): only sends. The request must stay where it is until it is answered or forgotten. Under lock. */
void control_ask(struct zcp_node *node, struct request *request, struct wire_header *message, uint16_t awaited);

/* Take @request out of the list if it is there: its answer is not wanted any more. Under lock. */
void control_forget(struct zcp_node *node, struct request *request);

/* Send @message or queue it. Under lock. Without a connection it is dropped: the next router learns how things are then. */
void control_send(struct zcp_node *node, const struct wire_header *message);

/*
 * Do what is due: come back to a router, send what is queued, handle up to a few dozen messages. Under lock. Returns the number
 * handled, or -ENOTCONN: the node is lost.
 */
int control_run(struct zcp_node *node);

/* Forget what was not sent; answer all requests with -ENOTCONN. Under lock. */
void control_drop_outgoing(struct zcp_node *node);
void control_fail_requests(struct zcp_node *node);

#endif
