/* SPDX-License-Identifier: MIT */
/*
 * watch.c - those who want to know who comes and goes
 *
 * What exists when a watch opens may be more than its peer's queue holds. It is told in pieces, whenever the queue is short
 * (watch_pump()): nodes in the order in which they came, then endpoints, then which of the nodes are unresponsive. Each has a
 * serial number, and the cursors say how far that is. Meanwhile news about what is still ahead of a cursor is left out: it will be told as it is
 * by then, or not at all if it is gone. So each thing appears once, and what has not appeared does not vanish.
 */

#include "router/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/name.h"
#include "common/pattern.h"
#include "router/peer.h"

#define WATCHES_PER_NODE 16u
#define WATCHES_PER_UID 256u
#define PUMP_MESSAGES 64u	/* told in one go; the next ones when half of them are sent, so that lists are walked rarely */

static const struct departure none;

struct watch {
	struct node *node;
	uint64_t id;
	uint32_t flags;
	struct wire_topic pattern;
	bool all;			/* the pattern is empty */
	uint64_t lost;			/* events that were dropped since the last one that was not */
	uint32_t request;		/* of WATCH_OPEN, until everything existing is told */
	uint64_t told_nodes, told_endpoints, told_silent;	/* serial numbers; UINT64_MAX: all */
	struct watch *prev, *next;
};

/* --- who is interested ---------------------------------------------------------------------------- */

/* The channels of clients and servers are theirs, and no endpoints to anybody else. */
static bool wants_endpoint(const struct watch *w, const struct endpoint *endpoint)
{
	if (endpoint->to)
		return false;
	return w->all || pattern_matches_topic(&w->pattern, &endpoint->topic->key.name);
}

/* With a pattern only those nodes matter that have an endpoint that fits, and of which it has heard. */
static bool wants_node(const struct watch *w, const struct node *node)
{
	const struct endpoint *endpoint;

	if (w->flags & WIRE_WATCH_NO_NODES)
		return false;
	if (w->all)
		return true;
	DL_FOREACH2(node->endpoints, endpoint, node_next)
		if (endpoint->ready && endpoint->serial <= w->told_endpoints && wants_endpoint(w, endpoint))
			return true;
	return false;
}

/* --- telling -------------------------------------------------------------------------------------- */

static bool is_joined(const struct node *node)
{
	return node->page_map;
}

static uint32_t role_of(const struct endpoint *endpoint)
{
	switch (endpoint->topic->key.role) {
	case WIRE_ROLE_REQUEST:
		return WIRE_WATCH_SERVER;
	case WIRE_ROLE_RESPONSE:
		return WIRE_WATCH_CLIENT;
	case WIRE_ROLE_EVENT:
		return endpoint->kind == WIRE_PUBLISHER ? WIRE_WATCH_NOTIFIER : WIRE_WATCH_LISTENER;
	default:
		return endpoint->kind;
	}
}

static void tell(struct watch *w, enum wire_watch_kind kind, const struct node *node, const struct endpoint *endpoint,
		 const struct departure *why, uint32_t flags)
{
	struct peer *peer = w->node->peer;
	struct wire_watch_event event = {
		.watch = w->id,
		.kind = kind,
		.flags = flags,
		.lost = w->lost,
		.time_ns = clock_now_ns(),
		.node = node->id,
		.pid = (uint32_t)node->pid,
		.uid = node->uid,
		.cause = why->cause,
		.exit = why->exit,
	};

	if (peer->n_queued >= PEER_OPTIONAL_MESSAGES || peer->queued_bytes >= PEER_OPTIONAL_BYTES) {
		w->lost++;
		return;
	}
	w->lost = 0;
	name_to_field(event.node_name, sizeof(event.node_name), node->name);
	if (endpoint) {
		event.endpoint = endpoint->id;
		event.role = role_of(endpoint);
		event.topic = endpoint->topic->key.name;
	}
	wire_init(&event.header, WIRE_WATCH_EVENT, 0);
	peer_send(peer, &event.header, OUTBOX_NONE, NULL);
}

static void tell_endpoint(struct router *router, enum wire_watch_kind kind, const struct endpoint *endpoint,
			  const struct departure *why)
{
	struct watch *w;

	DL_FOREACH(router->watches, w)
		if (endpoint->serial <= w->told_endpoints && wants_endpoint(w, endpoint))
			tell(w, kind, endpoint->node, endpoint, why, 0);
}

/* Who comes back after a restart of the router was there all the time: no news, and nothing for who asked for news only. */
static bool is_told_of_return(const struct watch *w, const struct node *node)
{
	return !node->resuming || w->flags & WIRE_WATCH_EXISTING;
}

static uint32_t return_flags(const struct node *node)
{
	return node->resuming ? WIRE_WATCH_EVENT_EXISTING : 0;
}

void watch_node_appeared(struct router *router, const struct node *node)
{
	struct watch *w;

	/* it has no endpoints yet: nobody with a pattern can want it */
	DL_FOREACH(router->watches, w)
		if (w->all && !(w->flags & WIRE_WATCH_NO_NODES) && node->serial <= w->told_nodes && is_told_of_return(w, node))
			tell(w, WIRE_WATCH_NODE_APPEARED, node, NULL, &none, return_flags(node));
}

void watch_node_vanished(struct router *router, const struct node *node, const struct departure *why)
{
	const struct endpoint *endpoint;
	struct watch *w;

	if (!router->watches || !is_joined(node))
		return;
	DL_FOREACH2(node->endpoints, endpoint, node_next)
		if (endpoint->ready)
			tell_endpoint(router, WIRE_WATCH_ENDPOINT_VANISHED, endpoint, why);
	DL_FOREACH(router->watches, w)
		if (node->serial <= w->told_nodes && wants_node(w, node))
			tell(w, WIRE_WATCH_NODE_VANISHED, node, NULL, why, 0);
}

void watch_node_responds(struct router *router, const struct node *node, bool responsive)
{
	struct watch *w;

	DL_FOREACH(router->watches, w)
		if (node->serial <= w->told_silent && wants_node(w, node))
			tell(w, responsive ? WIRE_WATCH_NODE_RESPONSIVE : WIRE_WATCH_NODE_UNRESPONSIVE, node, NULL, &none, 0);
}

void watch_endpoint_appeared(struct router *router, const struct endpoint *endpoint)
{
	struct watch *w;

	DL_FOREACH(router->watches, w)
		if (endpoint->serial <= w->told_endpoints && is_told_of_return(w, endpoint->node) && wants_endpoint(w, endpoint))
			tell(w, WIRE_WATCH_ENDPOINT_APPEARED, endpoint->node, endpoint, &none, return_flags(endpoint->node));
}

void watch_endpoint_vanished(struct router *router, const struct endpoint *endpoint, const struct departure *why)
{
	if (router->watches && endpoint->ready)
		tell_endpoint(router, WIRE_WATCH_ENDPOINT_VANISHED, endpoint, why);
}

void watch_pool_dry(struct router *router, const struct endpoint *endpoint)
{
	if (router->watches)
		tell_endpoint(router, WIRE_WATCH_POOL_DRY, endpoint, &none);
}

/* --- what exists ---------------------------------------------------------------------------------- */

static bool has_room(const struct watch *w)
{
	return w->node->peer->n_queued < PUMP_MESSAGES && !w->node->peer->doomed;
}

/* Asked at every event of the router, for every watch that is not told everything: nothing is walked before. */
static bool is_ready(const struct watch *w)
{
	return w->node->peer->n_queued <= PUMP_MESSAGES / 2 && !w->node->peer->doomed;
}

/* Lists are in the order of serial numbers. True: all are told. */
static bool pump_nodes(struct router *router, struct watch *w)
{
	const struct node *node;

	DL_FOREACH(router->registry.nodes, node) {
		if (node->serial <= w->told_nodes)
			continue;
		if (!has_room(w))
			return false;
		w->told_nodes = node->serial;
		if (is_joined(node) && w->all && !(w->flags & WIRE_WATCH_NO_NODES))
			tell(w, WIRE_WATCH_NODE_APPEARED, node, NULL, &none, WIRE_WATCH_EVENT_EXISTING);
	}
	w->told_nodes = UINT64_MAX;
	return true;
}

static bool pump_endpoints(struct router *router, struct watch *w)
{
	const struct endpoint *endpoint, *next;

	HASH_ITER(hh, router->registry.endpoints, endpoint, next) {
		if (endpoint->serial <= w->told_endpoints)
			continue;
		if (!has_room(w))
			return false;
		w->told_endpoints = endpoint->serial;
		if (endpoint->ready && wants_endpoint(w, endpoint))
			tell(w, WIRE_WATCH_ENDPOINT_APPEARED, endpoint->node, endpoint, &none, WIRE_WATCH_EVENT_EXISTING);
	}
	w->told_endpoints = UINT64_MAX;
	return true;
}

static bool pump_silent(struct router *router, struct watch *w)
{
	const struct node *node;

	DL_FOREACH(router->registry.nodes, node) {
		if (node->serial <= w->told_silent)
			continue;
		if (!has_room(w))
			return false;
		w->told_silent = node->serial;
		if (node->unresponsive && wants_node(w, node))
			tell(w, WIRE_WATCH_NODE_UNRESPONSIVE, node, NULL, &none, WIRE_WATCH_EVENT_EXISTING);
	}
	w->told_silent = UINT64_MAX;
	return true;
}

static void pump(struct router *router, struct watch *w)
{
	struct wire_watching watching = { .watch = w->id };

	if (w->told_nodes != UINT64_MAX && !pump_nodes(router, w))
		return;
	if (w->told_endpoints != UINT64_MAX && !pump_endpoints(router, w))
		return;
	if (w->told_silent != UINT64_MAX && !pump_silent(router, w))
		return;
	wire_init(&watching.header, WIRE_WATCHING, w->request);
	w->request = 0;
	router->n_pumping--;
	peer_send(w->node->peer, &watching.header, OUTBOX_NONE, NULL);
}

void watch_pump(struct router *router)
{
	struct watch *w;

	if (!router->n_pumping)
		return;
	DL_FOREACH(router->watches, w)
		if (w->request && is_ready(w))
			pump(router, w);
}

/* --- opening and closing -------------------------------------------------------------------------- */

static int check_part(const char *what, const char *field, struct refusal *refusal)
{
	enum name_fault fault;

	for (size_t i = 0; !field[0] && i < WIRE_NAME_BYTES; i++)
		if (field[i])
			return refuse(refusal, -EINVAL, "the %s pattern has bytes behind its end", what);
	fault = field[0] ? name_check_field(field, WIRE_NAME_BYTES) : NAME_OK;
	return fault == NAME_OK ? 0 : refuse(refusal, -EINVAL, "the %s pattern %s", what, name_fault_text(fault));
}

static int check_limits(struct router *router, const struct node *node, uint64_t id, struct refusal *refusal)
{
	unsigned int of_node = 0, of_uid = 0;
	const struct watch *w;

	DL_FOREACH(router->watches, w) {
		of_uid += w->node->uid == node->uid;
		of_node += w->node == node;
		if (w->node == node && w->id == id)
			return violate(refusal, -EPROTO, "WATCH_OPEN uses number %llu twice", (unsigned long long)id);
	}
	if (of_node >= WATCHES_PER_NODE)
		return refuse(refusal, -EDQUOT, "the node has %u watches already: close some", of_node);
	if (of_uid >= WATCHES_PER_UID)
		return refuse(refusal, -EDQUOT, "uid %u has %u watches already: close some", node->uid, of_uid);
	return 0;
}

int watch_open(struct peer *peer, const struct wire_watch_open *open, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct watch *w;
	int r;

	if (!open->header.request || !open->watch || open->reserved || open->flags & ~WIRE_WATCH_FLAGS)
		return violate(refusal, -EPROTO, "WATCH_OPEN makes no sense");
	r = check_part("service", open->pattern.service, refusal);
	if (!r)
		r = check_part("instance", open->pattern.instance, refusal);
	if (!r)
		r = check_part("event", open->pattern.event, refusal);
	if (!r)
		r = check_limits(router, peer->node, open->watch, refusal);
	if (r)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return refuse(refusal, -ENOMEM, "the router is out of memory");
	*w = (struct watch){ .node = peer->node, .id = open->watch, .flags = open->flags, .pattern = open->pattern,
			     .all = pattern_is_empty(&open->pattern), .request = open->header.request };
	if (!(open->flags & WIRE_WATCH_EXISTING))
		w->told_nodes = w->told_endpoints = w->told_silent = UINT64_MAX;
	DL_APPEND(router->watches, w);
	router->n_pumping++;
	pump(router, w);
	return 0;
}

static void drop(struct router *router, struct watch *w)
{
	if (w->request)
		router->n_pumping--;
	DL_DELETE(router->watches, w);
	free(w);
}

int watch_close(struct peer *peer, const struct wire_watch_close *close, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct watch *w;

	(void)refusal;
	DL_FOREACH(router->watches, w) {
		if (w->node != peer->node || w->id != close->watch)
			continue;
		drop(router, w);
		return 0;
	}
	return 0;	/* refused, while the node gave up */
}

void watch_forget(struct router *router, struct node *node)
{
	struct watch *w, *next;

	DL_FOREACH_SAFE(router->watches, w, next)
		if (w->node == node)
			drop(router, w);
}
