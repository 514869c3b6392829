/* SPDX-License-Identifier: MIT */
/*
 * router.h - the whole daemon as one struct
 *
 * main.c fills the options, router_new() builds, router_run() runs the loop until a signal or
 * idleness ends it. Everything hangs off struct router; there is no other global state but the log
 * level.
 */
#ifndef ZCP_ROUTER_ROUTER_H
#define ZCP_ROUTER_ROUTER_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdbool.h>
#include <stdint.h>

#include "router/loop.h"
#include "router/peer.h"
#include "router/quota.h"
#include "router/registry.h"
#include "router/view.h"

#define ROUTER_HEARTBEAT_PATIENCE_NS 3000000000ull
#define ROUTER_STALL_NS 1000000000ull
#define ROUTER_LEAVING_PATIENCE_NS 1000000000ull

struct router_options {
	enum loop_kind loop;
	uint32_t max_nodes, max_endpoints, max_matches;
	uint32_t max_nodes_per_uid, max_endpoints_per_node;
	uint64_t max_bytes_per_uid;
	bool exit_when_idle;
	uint64_t idle_ns;
	bool pass_rights;	/* do not ask the kernel to refuse descriptors from clients */
};

struct router {
	struct router_options options;
	struct loop *loop;
	struct quota quota;
	struct view view;
	struct registry registry;
	uint64_t epoch;
	struct peer *peers;
	uint32_t n_peers;
	struct peer *doomed;
	uint64_t last_tick_ns;
	uint64_t idle_since_ns;
};

/* 0 or a negative errno value (logged). */
int router_open(struct router **router, const struct router_options *options, const char *socket_path);
struct router *router_close(struct router *router);

/*
 * Serve @listen_fd until a signal, or idleness. 0 or a negative errno value: the router's own
 * failure.
 */
int router_run(struct router *router, int listen_fd);

/*
 * Retire @node: its endpoints and matches go, peers are told @cause. Idempotent in effect: the peer
 * has no node afterwards.
 */
void router_retire_node(struct router *router, struct node *node, enum wire_cause cause);

/*
 * Judge and carry out one message of a peer in a state that allows it. 0, REFUSED, VIOLATION, or
 * negative. (dispatch.c)
 */
int router_dispatch(struct peer *peer, const union wire_message *message, struct refusal *refusal);

#endif
