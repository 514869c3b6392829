/* SPDX-License-Identifier: MIT */
/*
 * trace-names.h - who is behind an id: endpoints, their topics and nodes, also of those that are gone
 *
 * A watch tells of every endpoint and node, so that one that lived for a moment has a name too; the channels of clients and servers, which
 * a watch does not tell of, come from the directory. What is gone is remembered for some minutes. An id that neither of
 * them knows belongs to another router.
 */
#ifndef ZCP_TOOLS_TRACE_NAMES_H
#define ZCP_TOOLS_TRACE_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "common/wire.h"
#include "zcp/zcp.h"

struct names;

struct name_endpoint {
	uint64_t id, node;
	uint32_t role;			/* enum zcp_role */
	const char *kind;		/* "data", "request", "response", "event" */
	char topic[3 * WIRE_NAME_BYTES];	/* "service/instance/event" */
	bool wanted;			/* fits the pattern, and is not ours */
	bool known_to_kernel;
	bool used;			/* somebody asked for it, and may do so again */
	uint64_t gone_ns;		/* 0: is there */
	UT_hash_handle hh;
};

struct name_node {
	uint64_t id;
	uint32_t pid;			/* as the router sees it */
	char name[WIRE_NAME_BYTES];
	bool used;
	bool scanned;			/* the attacher has looked at its process */
	uint64_t gone_ns;
	const void *page;		/* its struct node_page; NULL: not reachable, or nobody asked */
	UT_hash_handle hh;
};

/* Join the router as "zcp-trace" and read what is there. 0, or -1 after the complaint. */
int names_open(struct names **names, const struct wire_topic *pattern);
struct names *names_close(struct names *names);

/* Readable when there is news: call names_update(). */
int names_fd(const struct names *names);

/* Take in the news. 0; or -1: the node is lost for good. */
int names_read_news(struct names *names);

/* The same for the one who attaches: 1 if there were new nodes since the last call, whoever has read of them. */
int names_update(struct names *names);

/* A hash map of endpoint ids in the kernel, 1 wanted, 0 not, that names_update() keeps from now on. */
void names_set_map(struct names *names, int map_fd);

/* What is known of @id, looking for news if that is nothing; NULL: not this router's. */
const struct name_endpoint *names_endpoint(struct names *names, uint64_t id);

/*
 * The same for who has hit a probe: waits a moment for one that has just come, as the probe is quicker than the router's news, and tells the
 * kernel to leave out what is another router's.
 */
const struct name_endpoint *names_owner(struct names *names, uint64_t id);

/* Wait a moment for news, for the @i-th time from 0. False: that was often enough. */
bool names_await_news(struct names *names, int i);

/* Of its node, or by the node's own id. NULL: unknown. */
const struct name_node *names_node(const struct names *names, uint64_t id);

/* All of them, as uthash tables: through `hh`. */
struct name_node *names_nodes(const struct names *names);
struct name_endpoint *names_endpoints(const struct names *names);

/* The router's process, and whether the router and we see the same pids. */
int names_router(const struct names *names, bool *same_namespace);

/* It has been restarted, and is process @pid now. */
void names_set_router(struct names *names, int pid);

/* The path of its socket. */
const char *names_router_path(const struct names *names);

/* From now on map the heartbeat page of every node, as far as that is allowed. */
void names_map_pages(struct names *names);

#endif
