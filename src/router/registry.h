/* SPDX-License-Identifier: MIT */
/*
 * registry.h - nodes, endpoints, topics, matches
 *
 * The router's memory of who is there. Plain structs and lists; decisions are made elsewhere
 * (dispatch.c, match.c), and nothing in here sends a message. A node owns its endpoints; an
 * endpoint sits on one topic; a match ties a publisher and a subscriber of one topic and is on a
 * list of each. Topics exist as long as an endpoint is on them.
 *
 * Ids count up from 1 and are never reused, so an id below the next one that is not found named
 * something that has gone, which is an honest race; one at or above was never given out, which is
 * not.
 */
#ifndef ZCP_ROUTER_REGISTRY_H
#define ZCP_ROUTER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/directory.h"
#include "common/wire.h"
#include "router/quota.h"
#include "router/segment.h"
#include "router/table.h"
#include "router/view.h"

struct claim;
struct extra;
struct outbox_entry;
struct peer;
struct relay_job;

struct node {
	uint64_t id;
	struct peer *peer;
	struct quota_user *user;
	char name[WIRE_NAME_BYTES];
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uint32_t row;
	uint32_t request;			/* of HELLO, until the node page is mapped */
	uint64_t since_ns;
	uint64_t serial;			/* ascending in the order of the list */
	uint64_t segment_bytes;
	bool unmonitored, unresponsive;

	bool resuming;				/* between REJOIN and RESUME_END */

	struct segment *page;			/* the node page */
	const struct node_page *page_map;	/* NULL until sealed */
	uint64_t heartbeat;			/* the value at the last scan */
	uint64_t heartbeat_changed_ns;		/* on the router's clock */
	bool silent;				/* and that is long enough ago for others to see it in the directory */

	struct relay_job *sending;		/* a message that comes in parts; NULL: none, or it was refused (send.h) */
	uint32_t send_request, send_left;	/* bytes of it that are still to come */

	struct endpoint *endpoints;
	uint32_t n_endpoints;
	uint32_t n_extras;			/* of all of them */
	struct node *prev, *next;
};

/* Topics of one name but different roles have nothing to do with each other. */
struct topic_key {
	struct wire_topic name;
	uint32_t role;				/* enum wire_role */
};

struct topic {
	struct topic_key key;
	struct wire_type_info type;		/* empty name: untyped so far */
	uint32_t n_typed;
	struct endpoint *endpoints;		/* in the order they came */
	UT_hash_handle hh;
};

struct endpoint {
	uint64_t id;
	struct node *node;
	struct topic *topic;
	enum wire_endpoint_kind kind;
	uint32_t flags;
	uint64_t to, from;			/* publisher of a client or server: introduce.h */
	uint32_t max_held, n_lanes, history;	/* subscriber */
	struct channel_geometry geometry;	/* publisher */
	struct wire_type_info type, peer_type;
	uint32_t request;			/* of ENDPOINT_OPEN */
	bool ready;
	uint32_t row;
	uint64_t since_ns;
	uint64_t serial;			/* ascending in the order in which they came */
	struct segment *segment;
	struct match *matches;
	uint32_t n_matches;
	uint64_t held;				/* publisher: sum of max_held of its matches */
	struct claim *claims;			/* claim.h */
	uint32_t n_claims, n_claims_awaited;
	uint32_t n_expected;			/* publisher that came back: those it waits for that have not been seen yet */
	uint64_t resumed_ns;
	struct extra *extras;			/* growth.h: [EXTRAS_MAX], or NULL */
	uint64_t extra_bytes;
	struct endpoint *node_prev, *node_next;
	struct endpoint *topic_prev, *topic_next;
	UT_hash_handle hh;
};

struct match {
	uint64_t id;
	struct endpoint *publisher, *subscriber;
	uint32_t flags;				/* WIRE_MATCH_* */
	bool live;				/* the subscriber has chosen a lane */
	uint32_t lane;
	uint32_t row;
	struct outbox_entry *writer_added;	/* the messages, while they wait in a queue */
	struct outbox_entry *lane_added;
	struct outbox_entry **extra_news;	/* growth.h: likewise, [EXTRAS_MAX], or NULL */
	struct match *publisher_prev, *publisher_next;
	struct match *subscriber_prev, *subscriber_next;
	UT_hash_handle hh;
};

/* What one node may have, within what its user may have (quota.h). */
struct registry_limits {
	uint32_t endpoints_per_node, fds_per_node;
	uint64_t bytes_per_node;
};

struct registry {
	struct node *nodes;
	uint32_t n_nodes;
	struct topic *topics;
	struct endpoint *endpoints;
	struct match *matches;
	struct claim *claims;			/* all of them, by claims_prev, claims_next */
	struct absentee *absentees;
	uint32_t n_expecting;			/* publishers with n_expected */
	uint64_t last_serial;
	uint64_t next_node, next_endpoint, next_segment, next_match;
	struct view *view;
	struct registry_limits limits;
};

void registry_init(struct registry *registry, struct view *view, const struct registry_limits *limits);

/*
 * A node with its page, not yet mapped. @id: the one it had at another router, or 0 for a new one. 0, or REFUSED. @name and
 * @id have been checked.
 */
int registry_new_node(struct registry *registry, struct node **node, struct peer *peer, struct quota_user *user,
		      const char *name, uint64_t id, struct refusal *refusal);
/* Whether the node may have @n_fds more descriptors and @bytes more of segments. 0, or REFUSED (-EDQUOT). */
int registry_check_node(const struct registry *registry, const struct node *node, uint64_t bytes, uint32_t n_fds, struct refusal *refusal);
/* Descriptors that are open for @node: connection, pidfd, and its segments'. */
uint32_t registry_node_fds(const struct node *node);
/* Its endpoints must be gone. */
void registry_free_node(struct registry *registry, struct node *node);

/*
 * An endpoint with its segment of @bytes, not yet ready. 0, or REFUSED (type mismatch, tables full,
 * quota, memory).
 */
int registry_new_endpoint(struct registry *registry, struct endpoint **endpoint, struct node *node,
			  const struct wire_endpoint_open *open, uint64_t bytes, struct refusal *refusal);
/*
 * The same of one that comes back as @id with its sealed segment and doorbell, of which it becomes the owner if it succeeds.
 */
int registry_resume_endpoint(struct registry *registry, struct endpoint **endpoint, struct node *node,
			     const struct wire_endpoint_open *open, uint64_t bytes, uint64_t id, int fds[WIRE_FDS_MAX],
			     struct refusal *refusal);
/* Its matches and claims must be gone. */
void registry_free_endpoint(struct registry *registry, struct endpoint *endpoint);

/* 0, or REFUSED (-ENOSPC, -EDQUOT, -ENOMEM). Accounts lane and budget. @id: of one that comes back, or 0 for a new one. */
int registry_new_match(struct registry *registry, struct match **match, struct endpoint *publisher,
		       struct endpoint *subscriber, uint32_t flags, uint64_t id, struct refusal *refusal);
void registry_free_match(struct registry *registry, struct match *match);

struct node *registry_find_node(struct registry *registry, uint64_t id);
struct endpoint *registry_find_endpoint(struct registry *registry, uint64_t id);
struct match *registry_find_match(struct registry *registry, uint64_t id);
struct topic *registry_find_topic(struct registry *registry, const struct wire_topic *name, uint32_t role);

#endif
