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

#include "router/detector.h"
#include "router/loop.h"
#include "router/peer.h"
#include "router/quota.h"
#include "router/registry.h"
#include "router/send.h"
#include "router/service.h"
#include "router/view.h"

#define ROUTER_STALL_NS 1000000000ull
#define ROUTER_SILENCE_NS 1000000000ull	/* after that the directory says since when a heart does not beat */
#define ROUTER_LEAVING_PATIENCE_NS 1000000000ull
#define ROUTER_HELLO_PATIENCE_NS 10000000000ull	/* from connecting to having mapped the node page */

struct router_options {
	enum loop_kind loop;
	uint32_t max_nodes, max_endpoints, max_matches;
	uint32_t max_nodes_per_uid, max_endpoints_per_node;
	uint32_t max_endpoints_per_uid, max_matches_per_uid;	/* 0: seven eighths of max_* */
	uint64_t max_bytes_per_uid, max_bytes_per_node;
	uint32_t max_fds_per_uid, max_fds_per_node;	/* descriptors; per uid 0: seven eighths of RLIMIT_NOFILE */
	unsigned int detectors;		/* DIRECTORY_DETECTOR_* that may be used */
	uint32_t bpf_ring_bytes;	/* 0: default */
	uint32_t heartbeat_ms;		/* how often nodes touch their page */
	uint32_t scan_ms, timeout_ms;	/* how often we look, and how long a silence is normal */
	bool evict_unresponsive;
	const char *config_path;	/* the file that was read, or NULL */
	bool exit_when_idle;
	uint64_t idle_ns;
	bool pass_rights;	/* do not ask the kernel to refuse descriptors from clients */
};

struct router {
	struct router_options options;
	struct service *service;
	struct loop *loop;
	struct quota quota;
	struct view view;
	struct registry registry;
	struct detector detector;
	uint64_t epoch;
	struct watch *watches;
	unsigned int n_pumping;		/* watches that have not been told everything that existed */
	struct sends sends;
	struct peer *peers;
	uint32_t n_peers;
	uint32_t n_own_peers;		/* connections of this process: the relay's (relay.h) */
	struct peer *doomed;
	uint64_t last_tick_ns;
	uint64_t idle_since_ns;
};

/* 0 or a negative errno value (logged). @service stays the caller's. */
int router_open(struct router **router, const struct router_options *options, const char *socket_path, struct service *service);
struct router *router_close(struct router *router);

/*
 * Serve @listen_fd until a signal, or idleness. 0 or a negative errno value: the router's own
 * failure.
 */
int router_run(struct router *router, int listen_fd);

/* Why something leaves, as those are told who knew it. */
struct departure {
	enum wire_cause cause;
	struct wire_exit exit;		/* cause DIED: how, where a detector could tell */
};

/*
 * Retire @node: its endpoints and matches go, peers are told why. Idempotent in effect: the peer
 * has no node afterwards.
 */
void router_retire_node(struct router *router, struct node *node, const struct departure *why);

/*
 * Judge and carry out one message of a peer in a state that allows it. 0, REFUSED, VIOLATION, or
 * negative. (dispatch.c)
 */
int router_dispatch(struct peer *peer, const union wire_message *message, int fds[WIRE_FDS_MAX], struct refusal *refusal);

#endif
