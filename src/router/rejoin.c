/* SPDX-License-Identifier: MIT */
/*
 * rejoin.c - nodes of an earlier router that come back
 *
 * They bring what that router gave them: ids, the node page, the segments with their doorbells. This
 * router knows nothing of it, so everything is proven: a memory file's name could be chosen by its
 * maker only, and a router that makes one writes into it for whom it is; owner, mode, seals and size
 * must be what a router of our user makes. A node that is given another's segment to read can
 * therefore not hand it in as its own. What it says about itself is checked like ENDPOINT_OPEN, and
 * costs the same quotas.
 *
 * Endpoints come one at a time, each followed by its claims (claim.h), and are settled when the
 * last claim is there. Then ENDPOINT_RESUMED is said before anything about matches, so that the
 * node counts those that follow.
 */

#include "router/dispatch.h"

#include <errno.h>
#include <string.h>

#include "channel/geometry.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/probe.h"
#include "router/claim.h"
#include "router/introduce.h"
#include "router/log.h"
#include "router/match.h"
#include "router/watch.h"

/* --- the node ------------------------------------------------------------------------------------- */

static int check_identity(struct peer *peer, const struct wire_rejoin *rejoin, int page, struct refusal *refusal)
{
	struct router *router = peer->router;
	char label[SEGMENT_LABEL_BYTES];

	if (rejoin->epoch == router->epoch)
		return refuse(refusal, -ESTALE, "the router has removed this node: close it and open another");
	if (!rejoin->node || rejoin->node >= router->registry.next_node)
		return refuse(refusal, -EINVAL, "node %llu is no id that an earlier router gave", (unsigned long long)rejoin->node);
	if (registry_find_node(&router->registry, rejoin->node))
		return refuse(refusal, -EEXIST, "node %llu is here already", (unsigned long long)rejoin->node);
	segment_label(label, "node", peer->uid, rejoin->node, 0);
	return segment_check_origin(page, label, NODE_PAGE_BYTES, refusal);
}

int rejoin_node(struct peer *peer, const struct wire_rejoin *rejoin, const int fds[WIRE_FDS_MAX], struct refusal *refusal)
{
	struct router *router = peer->router;
	struct node *node;
	int r = dispatch_need_request(&rejoin->header, "REJOIN", refusal);

	if (r)
		return r;
	if (rejoin->reserved || rejoin->flags & ~WIRE_HELLO_FLAGS)
		return violate(refusal, -EPROTO, "REJOIN has reserved bits set");
	r = dispatch_check_name("node", rejoin->name, refusal);
	if (!r)
		r = check_identity(peer, rejoin, fds[0], refusal);
	if (!r)
		r = registry_new_node(&router->registry, &node, peer, peer->user, rejoin->name, rejoin->node, refusal);
	if (r)
		return r;
	node->unmonitored = rejoin->flags & WIRE_HELLO_UNMONITORED;
	node->resuming = true;
	claim_node_returns(router, node);
	dispatch_welcome(peer, node, rejoin->header.request);
	return 0;
}

/* The endpoint that has not made all its claims. */
static struct endpoint *awaiting(const struct node *node)
{
	struct endpoint *endpoint;

	if (!node->resuming)
		return NULL;
	DL_FOREACH2(node->endpoints, endpoint, node_next)
		if (!endpoint->ready && endpoint->n_claims_awaited)
			return endpoint;
	return NULL;
}

int rejoin_end(struct peer *peer, struct refusal *refusal)
{
	static const struct departure closed = { .cause = WIRE_CAUSE_CLOSED };
	struct router *router = peer->router;
	char name[160];

	if (!peer->node->resuming || awaiting(peer->node))
		return violate(refusal, -EPROTO, "RESUME_END came from a node that does not come back, or owes a MATCH_RESUME");
	peer->node->resuming = false;
	peer_accept_fds(peer, false);
	claim_node_is_gone(router, peer->node->id, &closed);
	view_count_rejoin(&router->view);
	PROBE(zcp_router, resume, peer->node->id, (uint64_t)peer->node->pid, (uint64_t)peer->node->n_endpoints);
	log_verbose("%s is back with %u endpoints", peer_name(peer, name), peer->node->n_endpoints);
	return 0;
}

/* --- endpoints ------------------------------------------------------------------------------------ */

/* Who is on the topic and neither matched with @endpoint nor claimed: as if it were a newcomer. */
static void meet_others(struct router *router, struct endpoint *endpoint)
{
	struct endpoint *other;

	DL_FOREACH2(endpoint->topic->endpoints, other, topic_next) {
		bool is_publisher = endpoint->kind == WIRE_PUBLISHER, from_start;
		struct endpoint *publisher = is_publisher ? endpoint : other, *subscriber = is_publisher ? other : endpoint;

		if (!other->ready || other == endpoint || other->kind == endpoint->kind || claim_is_between(endpoint, other))
			continue;
		if (!match_fits(publisher, subscriber) || match_is_between(publisher, subscriber))
			continue;
		/* ids ascend: this one was there when the publisher opened, and the publisher knows that it has to wait for somebody */
		from_start = publisher->n_expected && subscriber->id < publisher->id;
		if (match_pair(router, publisher, subscriber, from_start) && from_start)
			claim_count_down(router, publisher, WIRE_MATCH_FROM_START);
	}
}

static void complete(struct router *router, struct endpoint *endpoint)
{
	struct wire_endpoint_resumed resumed = { .endpoint = endpoint->id, .n_pending = endpoint->n_expected };

	endpoint->ready = true;
	endpoint->resumed_ns = clock_now_ns();
	wire_init(&resumed.header, WIRE_ENDPOINT_RESUMED, endpoint->request);
	peer_send(endpoint->node->peer, &resumed.header, OUTBOX_NONE, NULL);
	view_put_endpoint(&router->view, endpoint);
	watch_endpoint_appeared(router, endpoint);
	claim_settle(router, endpoint);
	meet_others(router, endpoint);
	introduce_ready(router, endpoint);
}

static int check_resume(struct router *router, const struct node *node, const struct wire_endpoint_resume *resume, uint64_t *bytes,
			struct refusal *refusal)
{
	const struct wire_endpoint_open *open = &resume->open;
	uint32_t most;
	int r = dispatch_check_open(open, bytes, refusal);

	if (r)
		return r;
	most = open->kind == WIRE_PUBLISHER ? open->geometry.max_lanes : open->n_lanes;
	if (resume->n_claims > most || resume->n_expected > most || (open->kind == WIRE_SUBSCRIBER && resume->n_expected))
		return violate(refusal, -EPROTO, "ENDPOINT_RESUME claims %u matches and expects %u, of %u", resume->n_claims,
			       resume->n_expected, most);
	if (!resume->endpoint || resume->endpoint >= router->registry.next_endpoint)
		return refuse(refusal, -EINVAL, "endpoint %llu is no id that an earlier router gave", (unsigned long long)resume->endpoint);
	if (registry_find_endpoint(&router->registry, resume->endpoint))
		return refuse(refusal, -EEXIST, "endpoint %llu is here already", (unsigned long long)resume->endpoint);
	return introduce_check(router, node, open, true, refusal);
}

int rejoin_endpoint(struct peer *peer, const struct wire_endpoint_resume *resume, int fds[WIRE_FDS_MAX], struct refusal *refusal)
{
	struct router *router = peer->router;
	struct endpoint *endpoint;
	uint64_t bytes = 0;
	int r;

	if (!peer->node->resuming || awaiting(peer->node))
		return violate(refusal, -EPROTO, "ENDPOINT_RESUME came from a node that does not come back, or owes a MATCH_RESUME");
	r = dispatch_need_request(&resume->open.header, "ENDPOINT_RESUME", refusal);
	if (!r)
		r = check_resume(router, peer->node, resume, &bytes, refusal);
	if (!r)
		r = registry_resume_endpoint(&router->registry, &endpoint, peer->node, &resume->open, bytes, resume->endpoint, fds, refusal);
	if (r)
		return r;
	endpoint->n_claims_awaited = resume->n_claims;
	endpoint->n_expected = resume->n_expected;
	if (endpoint->n_expected)
		router->registry.n_expecting++;
	if (!endpoint->n_claims_awaited)
		complete(router, endpoint);
	return 0;
}

int rejoin_match(struct peer *peer, const struct wire_match_resume *resume, struct refusal *refusal)
{
	struct endpoint *endpoint = awaiting(peer->node);
	int r;

	/* They follow ENDPOINT_RESUME at once, and so come also if that was refused. */
	if (peer->node->resuming && !registry_find_endpoint(&peer->router->registry, resume->endpoint))
		return 0;
	if (!endpoint || resume->endpoint != endpoint->id)
		return violate(refusal, -EPROTO, "MATCH_RESUME names endpoint %llu, which has no more to say",
			       (unsigned long long)resume->endpoint);
	r = claim_add(peer->router, endpoint, resume, refusal);
	if (r)
		return r;
	if (!--endpoint->n_claims_awaited)
		complete(peer->router, endpoint);
	return 0;
}
