/* SPDX-License-Identifier: MIT */
/* See growth.h. */

#include "router/growth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "channel/geometry.h"
#include "router/dispatch.h"
#include "router/peer.h"

/* --- telling subscribers -------------------------------------------------------------------------- */

static void tell(struct match *match, const struct extra *extra)
{
	struct peer *peer = match->subscriber->node->peer;
	struct wire_segment_shared message = {
		.endpoint = match->subscriber->id,
		.match = match->id,
		.bytes = extra->segment ? extra->segment->bytes : 0,
		.extra = extra->id,
		.flags = extra->absent ? WIRE_EXTRA_ABSENT : 0,
	};
	struct outbox_entry **news;

	if (!match->extra_news)
		match->extra_news = calloc(EXTRAS_MAX, sizeof(*match->extra_news));
	if (!match->extra_news) {
		/* it would wait for ever for what we cannot say */
		peer_doom(peer, WIRE_CAUSE_EVICTED);
		return;
	}
	news = &match->extra_news[extra->id % EXTRAS_MAX];
	peer_cancel(peer, news);
	if (extra->segment) {
		wire_init(&message.header, WIRE_SEGMENT_SHARED, 0);
		peer_send_cancellable(peer, &message.header, OUTBOX_READER_ONLY, extra->segment, news);
	} else {
		wire_init(&message.header, WIRE_SEGMENT_WITHDRAWN, 0);
		peer_send_cancellable(peer, &message.header, OUTBOX_NONE, NULL, news);
	}
}

static void tell_all(const struct endpoint *publisher, const struct extra *extra)
{
	struct match *match;

	DL_FOREACH2(publisher->matches, match, publisher_next)
		if (match->live)
			tell(match, extra);
}

void growth_share_all(struct match *match, bool again)
{
	const struct endpoint *publisher = match->publisher;

	for (uint32_t i = 0; publisher->extras && i < EXTRAS_MAX; i++) {
		const struct extra *extra = &publisher->extras[i];

		if (extra->request || !extra->id)
			continue;
		if (extra->segment || extra->absent || again)
			tell(match, extra);
	}
}

/* What is in the queue goes out all the same: if it is the publisher that leaves, what it published is still to be read. */
void growth_forget(struct match *match)
{
	for (uint32_t i = 0; match->extra_news && i < EXTRAS_MAX; i++)
		if (match->extra_news[i])
			match->extra_news[i]->handle = NULL;
	free(match->extra_news);
	match->extra_news = NULL;
}

/* --- the table ------------------------------------------------------------------------------------ */

static void account(struct endpoint *endpoint, struct extra *extra, bool add)
{
	struct node *node = endpoint->node;
	uint64_t bytes = extra->segment->bytes;

	node->n_extras += add ? 1 : (uint32_t)-1;
	node->segment_bytes += add ? bytes : -bytes;
	endpoint->extra_bytes += add ? bytes : -bytes;
}

static void show(struct router *router, const struct endpoint *endpoint)
{
	view_put_node(&router->view, endpoint->node);
	view_put_endpoint(&router->view, endpoint);
}

static void empty(struct endpoint *endpoint, struct extra *extra)
{
	extra->request = 0;
	extra->absent = false;
	if (!extra->segment)
		return;
	account(endpoint, extra, false);
	extra->segment = segment_unref(extra->segment);
}

void growth_drop_all(struct endpoint *endpoint)
{
	for (uint32_t i = 0; endpoint->extras && i < EXTRAS_MAX; i++)
		empty(endpoint, &endpoint->extras[i]);
	free(endpoint->extras);
	endpoint->extras = NULL;
}

/* --- from the publisher --------------------------------------------------------------------------- */

static struct endpoint *find_publisher(struct peer *peer, uint64_t id)
{
	struct endpoint *endpoint = registry_find_endpoint(&peer->router->registry, id);

	return endpoint && endpoint->node == peer->node && endpoint->kind == WIRE_PUBLISHER && endpoint->ready ? endpoint : NULL;
}

/* The place for what @grow asks for. 0, REFUSED, VIOLATION. */
static int check(struct peer *peer, const struct wire_segment_grow *grow, struct endpoint **endpointp, struct extra **extra,
		 struct refusal *refusal)
{
	struct endpoint *endpoint = find_publisher(peer, grow->endpoint);
	int r = dispatch_need_request(&grow->header, "SEGMENT_GROW", refusal);

	if (r)
		return r;
	if (grow->flags & ~WIRE_GROW_HUGE || !extra_is_possible(grow->extra, grow->bytes))
		return violate(refusal, -EPROTO, "SEGMENT_GROW asks for extra %u with %llu bytes", grow->extra,
			       (unsigned long long)grow->bytes);
	if (!endpoint)
		return refuse(refusal, -ESRCH, "endpoint %llu is no publisher of this node", (unsigned long long)grow->endpoint);
	if (!endpoint->extras)
		endpoint->extras = calloc(EXTRAS_MAX, sizeof(*endpoint->extras));
	if (!endpoint->extras)
		return refuse(refusal, -ENOMEM, "the router is out of memory");
	*extra = &endpoint->extras[grow->extra % EXTRAS_MAX];
	if ((*extra)->segment || (*extra)->absent)
		return violate(refusal, -EPROTO, "SEGMENT_GROW wants extra %u in the place of %u", grow->extra, (*extra)->id);
	*endpointp = endpoint;
	return registry_check_node(&peer->router->registry, endpoint->node, grow->bytes, 1, refusal);
}

static void write_label(char label[static SEGMENT_LABEL_BYTES], const struct endpoint *endpoint, uint32_t id)
{
	char kind[24];

	snprintf(kind, sizeof(kind), "extra-%u", id);
	segment_label(label, kind, endpoint->node->uid, endpoint->node->id, endpoint->id);
}

int growth_grow(struct peer *peer, const struct wire_segment_grow *grow, struct refusal *refusal)
{
	struct registry *registry = &peer->router->registry;
	struct wire_segment_grown grown = { .endpoint = grow->endpoint, .extra = grow->extra };
	char label[SEGMENT_LABEL_BYTES];
	struct endpoint *endpoint;
	struct extra *extra;
	int r = check(peer, grow, &endpoint, &extra, refusal);

	if (r)
		return r;
	write_label(label, endpoint, grow->extra);
	r = segment_new(&extra->segment, registry->view, peer->user, registry->next_segment, grow->bytes, label,
			grow->flags & WIRE_GROW_HUGE ? SEGMENT_PAGES_HUGE_EXACT : SEGMENT_PAGES, false, refusal);
	if (r)
		return r;
	registry->next_segment++;
	extra->id = grow->extra;
	extra->request = grow->header.request;
	account(endpoint, extra, true);
	show(peer->router, endpoint);
	wire_init(&grown.header, WIRE_SEGMENT_GROWN, grow->header.request);
	grown.segment = extra->segment->id;
	peer_send(peer, &grown.header, OUTBOX_WRITER_ONLY, extra->segment);
	return 0;
}

static struct extra *find_awaited(const struct node *node, const struct wire_segment_mapped *mapped, struct endpoint **endpointp)
{
	struct endpoint *endpoint;

	DL_FOREACH2(node->endpoints, endpoint, node_next) {
		for (uint32_t i = 0; endpoint->extras && i < EXTRAS_MAX; i++) {
			struct extra *extra = &endpoint->extras[i];

			if (!extra->request || extra->request != mapped->header.request || extra->segment->id != mapped->segment)
				continue;
			*endpointp = endpoint;
			return extra;
		}
	}
	return NULL;
}

bool growth_is_awaited(const struct node *node, const struct wire_segment_mapped *mapped)
{
	struct endpoint *endpoint;

	return find_awaited(node, mapped, &endpoint);
}

static void ready(struct peer *peer, const struct endpoint *endpoint, const struct extra *extra, uint32_t request)
{
	struct wire_segment_extra message = { .endpoint = endpoint->id, .extra = extra->id };

	tell_all(endpoint, extra);
	wire_init(&message.header, WIRE_SEGMENT_READY, request);
	peer_send(peer, &message.header, OUTBOX_NONE, NULL);
}

int growth_mapped(struct peer *peer, const struct wire_segment_mapped *mapped, struct refusal *refusal)
{
	struct endpoint *endpoint;
	struct extra *extra = find_awaited(peer->node, mapped, &endpoint);
	int r = segment_seal_and_open(extra->segment, refusal);

	if (r) {
		empty(endpoint, extra);
		show(peer->router, endpoint);
		return r;
	}
	extra->request = 0;
	ready(peer, endpoint, extra, mapped->header.request);
	return 0;
}

int growth_return(struct peer *peer, const struct wire_segment_extra *message, struct refusal *refusal)
{
	struct endpoint *endpoint = find_publisher(peer, message->endpoint);
	struct extra *extra;
	bool was_shared;

	if (message->reserved || message->extra < EXTRAS_MAX || message->extra > EXTRA_ID_MAX)
		return violate(refusal, -EPROTO, "SEGMENT_RETURN names extra %u", message->extra);
	/* this router did not take the publisher, or not this extra */
	extra = endpoint && endpoint->extras ? &endpoint->extras[message->extra % EXTRAS_MAX] : NULL;
	if (!extra || extra->id != message->extra || (!extra->segment && !extra->absent))
		return 0;
	was_shared = !extra->request;
	empty(endpoint, extra);
	show(peer->router, endpoint);
	if (was_shared)
		tell_all(endpoint, extra);
	return 0;
}

int growth_resume(struct peer *peer, const struct wire_segment_grow *resume, int fds[WIRE_FDS_MAX], struct refusal *refusal)
{
	struct registry *registry = &peer->router->registry;
	char label[SEGMENT_LABEL_BYTES];
	struct endpoint *endpoint = NULL;
	struct extra *extra = NULL;
	int r;

	if (!peer->node->resuming)
		return violate(refusal, -EPROTO, "SEGMENT_RESUME came from a node that does not come back");
	r = check(peer, resume, &endpoint, &extra, refusal);
	if (r == VIOLATION || !endpoint)
		return r;
	write_label(label, endpoint, resume->extra);
	if (!r)
		r = segment_adopt(&extra->segment, registry->view, peer->user, registry->next_segment, resume->bytes, label, fds, false, refusal);
	extra->id = resume->extra;
	if (r) {
		extra->absent = true;
		tell_all(endpoint, extra);
		return r;
	}
	registry->next_segment++;
	account(endpoint, extra, true);
	show(peer->router, endpoint);
	ready(peer, endpoint, extra, resume->header.request);
	return 0;
}
