/* SPDX-License-Identifier: MIT */
/* See match.h for who is refused what. */

#include "router/match.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "router/growth.h"
#include "router/peer.h"

/* What a pair lacks, if anything: 0 or REFUSED with the text for both ends. */
static int check_publisher(const struct endpoint *publisher, uint32_t max_held, struct refusal *refusal)
{
	const struct channel_geometry *g = &publisher->geometry;

	if (publisher->n_matches + publisher->n_claims >= g->max_lanes)
		return refuse(refusal, -ENOSPC, "publisher %llu of node %s serves %u subscribers already: open it with a larger "
			      "max_subscribers", (unsigned long long)publisher->id, publisher->node->name, g->max_lanes);
	if (g->n_pools && publisher->held + max_held > g->held_budget)
		return refuse(refusal, -ENOSPC, "publisher %llu of node %s has memory for %llu more held samples, not %u: lower the "
			      "subscriber's max_held or raise the publisher's held budget",
			      (unsigned long long)publisher->id, publisher->node->name,
			      (unsigned long long)(g->held_budget - publisher->held), max_held);
	return 0;
}

static int check_lanes(uint32_t n_used, uint32_t n_lanes, struct refusal *refusal)
{
	if (n_used < n_lanes)
		return 0;
	return refuse(refusal, -ENOSPC, "the subscriber has room for %u publishers, and there are more: open it with a larger "
		      "max_publishers", n_lanes);
}

int match_check_subscriber(struct router *router, const struct topic *topic, const struct quota_user *user, uint32_t max_held,
			   uint32_t n_lanes, struct refusal *refusal)
{
	const struct view_rows *rows = &router->view.match_rows;
	uint32_t n_publishers = 0;
	struct endpoint *other;

	if (!topic)
		return 0;
	DL_FOREACH2(topic->endpoints, other, topic_next) {
		int r;

		if (other->kind != WIRE_PUBLISHER || !other->ready || other->to)
			continue;
		r = check_publisher(other, max_held, refusal);
		if (!r)
			r = check_lanes(n_publishers++, n_lanes, refusal);
		if (r)
			return r;
	}
	if (n_publishers > rows->max - rows->n_taken)
		return refuse(refusal, -ENOSPC, "the router has no room for more than %u connections between endpoints: start it with a "
			      "larger --max-matches", rows->max);
	return quota_check(user, QUOTA_MATCHES, n_publishers, refusal);
}

/* --- joining -------------------------------------------------------------------------------------- */

static void tell_refused(const struct endpoint *to, const struct endpoint *other, const struct refusal *refusal)
{
	struct wire_match_refused message = { .endpoint = to->id, .peer = other->id, .error = refusal->error };

	wire_init(&message.header, WIRE_MATCH_REFUSED, 0);
	memcpy(message.text, refusal->text, sizeof(message.text));
	peer_trace_refusal(to->node->peer, refusal);
	peer_send_optional(to->node->peer, &message.header);
}

static void offer(struct match *match)
{
	const struct endpoint *publisher = match->publisher, *subscriber = match->subscriber;
	struct wire_writer_added message = {
		.endpoint = subscriber->id,
		.match = match->id,
		.publisher = publisher->id,
		.node = publisher->node->id,
		.segment_bytes = publisher->segment->bytes,
		.flags = match->flags,
		.process = publisher->node->peer->process,
		.from = publisher->from,
	};

	wire_init(&message.header, WIRE_WRITER_ADDED, 0);
	peer_send_cancellable(subscriber->node->peer, &message.header, OUTBOX_READER, publisher->segment, &match->writer_added);
}

bool match_pair(struct router *router, struct endpoint *publisher, struct endpoint *subscriber, bool from_start)
{
	uint32_t flags = from_start ? WIRE_MATCH_FROM_START : 0;
	struct refusal refusal;
	struct match *match;
	int r;

	if (!(publisher->flags & WIRE_ENDPOINT_RELIABLE) || subscriber->flags & WIRE_ENDPOINT_LOSSY)
		flags |= WIRE_MATCH_LOSSY;
	r = check_publisher(publisher, subscriber->max_held, &refusal);
	if (!r)
		r = check_lanes(subscriber->n_matches + subscriber->n_claims, subscriber->n_lanes, &refusal);
	if (!r)
		r = registry_new_match(&router->registry, &match, publisher, subscriber, flags, 0, &refusal);
	if (r) {
		view_count_refusal(&router->view);
		tell_refused(publisher, subscriber, &refusal);
		tell_refused(subscriber, publisher, &refusal);
		return false;
	}
	offer(match);
	return true;
}

bool match_is_between(const struct endpoint *publisher, const struct endpoint *subscriber)
{
	struct match *match;

	DL_FOREACH2(subscriber->matches, match, subscriber_next)
		if (match->publisher == publisher)
			return true;
	return false;
}

uint32_t match_join(struct router *router, struct endpoint *endpoint)
{
	struct endpoint *other;
	uint32_t n_pending = 0;

	DL_FOREACH2(endpoint->topic->endpoints, other, topic_next) {
		bool is_publisher = endpoint->kind == WIRE_PUBLISHER;
		struct endpoint *publisher = is_publisher ? endpoint : other, *subscriber = is_publisher ? other : endpoint;

		if (other->ready && other != endpoint && other->kind != endpoint->kind && match_fits(publisher, subscriber))
			n_pending += match_pair(router, publisher, subscriber, is_publisher);
	}
	return n_pending;
}

/* --- the lane ------------------------------------------------------------------------------------- */

static void fill_gone(struct wire_gone *message, enum wire_type type, uint64_t endpoint, uint64_t match,
		      const struct departure *why)
{
	*message = (struct wire_gone){ .endpoint = endpoint, .match = match, .cause = why->cause, .exit = why->exit };
	wire_init(&message->header, type, 0);
}

/* A subscriber that has not heard of the writer yet need not hear that it is gone. */
static void tell_writer_gone(struct match *match, const struct departure *why)
{
	struct peer *peer = match->subscriber->node->peer;
	struct wire_gone message;

	if (peer_cancel(peer, &match->writer_added))
		return;
	fill_gone(&message, WIRE_WRITER_GONE, match->subscriber->id, match->id, why);
	peer_send(peer, &message.header, OUTBOX_NONE, NULL);
}

/*
 * A publisher knows of the match by LANE_ADDED, or as one of the n_pending of its ENDPOINT_READY.
 * Of one that was only offered to a subscriber that joined later it is told for completeness,
 * unless its queue is long.
 */
static void tell_lane_gone(struct match *match, const struct departure *why)
{
	struct peer *peer = match->publisher->node->peer;
	bool was_pending = match->flags & WIRE_MATCH_FROM_START;
	bool taken_back = peer_cancel(peer, &match->lane_added);
	struct wire_gone message;

	fill_gone(&message, WIRE_LANE_GONE, match->publisher->id, match->id, why);
	message.flags = taken_back ? WIRE_GONE_CHOSEN : 0;
	if (was_pending || (match->live && !taken_back))
		peer_send(peer, &message.header, OUTBOX_NONE, NULL);
	else if (!match->live)
		peer_send_optional(peer, &message.header);
}

/* Forget @match. What is in the queue about it for an end that leaves goes with it. */
static void end(struct router *router, struct match *match)
{
	peer_cancel(match->subscriber->node->peer, &match->writer_added);
	peer_cancel(match->publisher->node->peer, &match->lane_added);
	growth_forget(match);
	registry_free_match(&router->registry, match);
}

static void add_lane(struct match *match)
{
	const struct endpoint *publisher = match->publisher, *subscriber = match->subscriber;
	struct wire_lane_added message = {
		.endpoint = publisher->id,
		.match = match->id,
		.subscriber = subscriber->id,
		.node = subscriber->node->id,
		.segment_bytes = subscriber->segment->bytes,
		.lane = match->lane,
		.n_lanes = subscriber->n_lanes,
		.max_held = subscriber->max_held,
		.flags = match->flags,
		.process = subscriber->node->peer->process,
	};

	wire_init(&message.header, WIRE_LANE_ADDED, 0);
	peer_send_cancellable(publisher->node->peer, &message.header, OUTBOX_READER, subscriber->segment, &match->lane_added);
}

static void go_live(struct router *router, struct match *match, bool tell)
{
	match->live = true;
	if (tell)
		add_lane(match);
	view_put_match(&router->view, match);
	view_put_endpoint(&router->view, match->publisher);
	view_put_endpoint(&router->view, match->subscriber);
}

int match_revive(struct router *router, struct endpoint *publisher, struct endpoint *subscriber, uint64_t id, uint32_t lane,
		 uint32_t flags, bool tell, struct refusal *refusal)
{
	bool is_lossy = !(publisher->flags & WIRE_ENDPOINT_RELIABLE) || subscriber->flags & WIRE_ENDPOINT_LOSSY;
	struct match *match;
	int r;

	/* Whom a publisher waits for is agreed by the two, and not for one of them to say. */
	if (!match_fits(publisher, subscriber) || lane >= subscriber->n_lanes || !(flags & WIRE_MATCH_LOSSY) != !is_lossy || match_is_between(publisher, subscriber) ||
	    registry_find_match(&router->registry, id))
		return refuse(refusal, -EINVAL, "match %llu cannot come back on lane %u", (unsigned long long)id, lane);
	r = check_publisher(publisher, subscriber->max_held, refusal);
	if (!r)
		r = check_lanes(subscriber->n_matches, subscriber->n_lanes, refusal);
	if (!r)
		r = registry_new_match(&router->registry, &match, publisher, subscriber, flags, id, refusal);
	if (r)
		return r;
	match->lane = lane;
	go_live(router, match, tell);
	growth_share_all(match, true);
	return 0;
}

void match_tell_gone(struct endpoint *endpoint, uint64_t id, const struct departure *why)
{
	struct wire_gone message;

	fill_gone(&message, endpoint->kind == WIRE_PUBLISHER ? WIRE_LANE_GONE : WIRE_WRITER_GONE, endpoint->id, id, why);
	peer_send(endpoint->node->peer, &message.header, OUTBOX_NONE, NULL);
}

int match_lane_chosen(struct router *router, struct match *match, int32_t lane, struct refusal *refusal)
{
	const struct endpoint *subscriber = match->subscriber;

	if (match->live)
		return violate(refusal, -EPROTO, "LANE_CHOSEN came twice for match %llu", (unsigned long long)match->id);
	if (lane < 0) {
		tell_lane_gone(match, &(struct departure){ .cause = WIRE_CAUSE_REFUSED });
		end(router, match);
		return 0;
	}
	if ((uint32_t)lane >= subscriber->n_lanes)
		return violate(refusal, -EPROTO, "LANE_CHOSEN names lane %d of %u", lane, subscriber->n_lanes);

	match->lane = (uint32_t)lane;
	go_live(router, match, true);
	growth_share_all(match, false);
	return 0;
}

void match_leave(struct router *router, struct endpoint *endpoint, const struct departure *why)
{
	struct match *match;

	while ((match = endpoint->matches)) {
		struct endpoint *other = endpoint->kind == WIRE_PUBLISHER ? match->subscriber : match->publisher;
		bool was_live = match->live;

		if (endpoint->kind == WIRE_PUBLISHER)
			tell_writer_gone(match, why);
		else
			tell_lane_gone(match, why);
		end(router, match);
		if (was_live)
			view_put_endpoint(&router->view, other);
	}
}
