/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - who is on the router right now, copied out of the directory segment
 *
 * The directory changes while we read it, row by row under sequence locks; a snapshot is therefore not one
 * instant, and a match may name an endpoint that has already left. Looking things up by id in the copy settles
 * that: what is not found is not shown.
 *
 * A server and a client are subscribers of the roles REQUEST and RESPONSE there, each with a publisher (`to` is not 0) for
 * everyone it is connected with, so that two of them are four endpoints and two matches. Nobody thinks of them like that:
 * the publishers are left out here, their memory is counted as that of the client or server they belong to, and the
 * two matches are one, in which the client takes the place of the publisher, and the server that of the subscriber.
 */
#ifndef ZCP_TOOLS_SNAPSHOT_H
#define ZCP_TOOLS_SNAPSHOT_H

#include <stddef.h>

#include "common/directory.h"
#include "zcp/zcp.h"

struct snapshot {
	struct directory_node *nodes;			/* sorted by name, then id */
	struct directory_endpoint *endpoints;		/* sorted by topic, then enum zcp_role, then id */
	struct directory_match *matches;		/* sorted by publisher, then subscriber */
	size_t n_nodes, n_endpoints, n_matches;
	size_t n_endpoint_rows, n_match_rows;		/* as the router's limits count, with the channels of clients and servers */
};

/* Copy everything but the node @except (the one that looks; 0: none) and its endpoints. 0 or -ENOMEM. */
int snapshot_take(struct snapshot *snapshot, const struct directory_view *view, uint64_t except);
/* The rows as they are, channels of clients and servers among them, each table sorted by id. 0 or -ENOMEM. */
int snapshot_take_rows(struct snapshot *snapshot, const struct directory_view *view);

void snapshot_deinit(struct snapshot *snapshot);

/* What one user has of the router. */
struct snapshot_usage {
	uint32_t uid;			/* as the router sees it: a user namespace may have another number for it */
	uint64_t n_nodes, n_endpoints, n_fds, bytes;
};

/* Of the user whose node is @own, which itself counts only if it is in the snapshot. */
void snapshot_use(const struct snapshot *snapshot, const struct directory_view *view, uint64_t own, struct snapshot_usage *usage);

const struct directory_node *snapshot_node(const struct snapshot *snapshot, uint64_t id);
const struct directory_endpoint *snapshot_endpoint(const struct snapshot *snapshot, uint64_t id);

/* What @endpoint is to people. */
enum zcp_role snapshot_role(const struct directory_endpoint *endpoint);

/* Order of topics, and equality where it returns 0. */
int snapshot_compare_topics(const struct wire_topic *a, const struct wire_topic *b);

#endif
