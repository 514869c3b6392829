/* SPDX-License-Identifier: MIT */
/*
 * second-node.h - a second implementation of zcp, of which this part talks to the router
 *
 * Nothing here is zcp's: "protocol.h" is made from the tables of zcp-protocol(7) by protocol-page, and all else is from its text.
 * What a table does not say, this code does not know; so it tells whether the page is complete. It is written to be plain, not
 * fast: one endpoint a process, one thread, and it ends with a sentence when anything is amiss.
 */
#ifndef SECOND_NODE_H
#define SECOND_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

#define PEERS_MAX 4
#define LATE_MS 20000		/* for whatever should come at once */

/* Loads and stores of fields in shared memory. */
#define LOAD(field, order) atomic_load_explicit((const _Atomic __typeof__(field) *)&(field), memory_order_##order)
#define STORE(field, value, order) atomic_store_explicit((_Atomic __typeof__(field) *)&(field), (value), memory_order_##order)

/* One that is matched with our endpoint. */
struct peer {
	uint64_t match;		/* 0: there is none */
	bool from_start, lossy, gone;
	uint32_t lane;
	const void *segment;
	uint64_t segment_bytes;
	int doorbell;
	/* the subscriber's, in a publisher */
	uint32_t max_held;
	uint64_t endpoint, rung;
	bool attached;
	/* the publisher's, in a subscriber */
	uint64_t cur, limit, stored, epoch, first, count_from;
};

struct node {
	int socket, doorbell;
	struct node_page *page;
	uint32_t heartbeat_ms;
	bool needs_fence;	/* we have no membarrier, or play that we had none */
	uint64_t id;
	/* the endpoint */
	uint64_t endpoint, segment_bytes;
	void *segment;
	uint32_t n_expected;	/* publisher: subscribers from before, not yet heard of */
	uint32_t n_lanes, max_held;	/* subscriber */
	struct peer peers[PEERS_MAX];
	/* a subscriber's answer to WRITER_ADDED: prepares the lane of @peer */
	void (*writer_added)(struct node *node, struct peer *peer, uint64_t publisher);
};

void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Join the router at $ZCP_ROUTER. */
void node_join(struct node *node, const char *name);
void node_leave(struct node *node);

/*
 * Open an endpoint on @topic ("service/instance/event"), which the caller has described in @open; @prepare fills in the constant
 * header of its segment.
 */
void node_open(struct node *node, const char *topic, struct endpoint_open *open, void (*prepare)(struct node *node, const struct endpoint_open *open));

/* Handle what the router says, and sleep up to @ms for that or the doorbell. Touches the heartbeat, so call it often. */
void node_run(struct node *node, int ms);

void ring(int doorbell);

/* See "Barriers". @peer_flags: of the header of the other one's segment. */
void fast_barrier(const struct node *node, uint32_t peer_flags);
void rare_barrier(const struct node *node);

static inline uint64_t round_up(uint64_t n, uint64_t m)
{
	return (n + m - 1) / m * m;
}

static inline uint64_t lane_stride(uint32_t max_held)
{
	return round_up((uint64_t)(1 + max_held) * 8 + sizeof(struct lane_counts), 128);
}

#endif
