/* SPDX-License-Identifier: MIT */
/*
 * dispatch.c - one function for each message a node may send
 *
 * Each judges its message completely before it changes anything, and returns 0, REFUSED or
 * VIOLATION (refusal.h). The wire checks (magic, version, size, descriptors) are done before.
 * Strings and numbers in a message are a stranger's.
 */

#include "router/router.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "channel/geometry.h"
#include "common/memfd.h"
#include "common/name.h"
#include "common/probe.h"
#include "router/claim.h"
#include "router/dispatch.h"
#include "router/growth.h"
#include "router/handover.h"
#include "router/introduce.h"
#include "router/log.h"
#include "router/look.h"
#include "router/match.h"
#include "router/watch.h"

int dispatch_need_request(const struct wire_header *header, const char *what, struct refusal *refusal)
{
	if (header->request)
		return 0;
	return violate(refusal, -EPROTO, "%s has request number 0", what);
}

int dispatch_check_name(const char *what, const char *field, struct refusal *refusal)
{
	enum name_fault fault = name_check_field(field, WIRE_NAME_BYTES);

	if (fault == NAME_OK)
		return 0;
	return refuse(refusal, -EINVAL, "the %s name %s", what, name_fault_text(fault));
}

/* --- the node ------------------------------------------------------------------------------------- */

static int on_hello(struct peer *peer, const struct wire_hello *hello, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct node *node;
	int r = dispatch_need_request(&hello->header, "HELLO", refusal);

	if (r)
		return r;
	if (hello->reserved || hello->flags & ~WIRE_HELLO_FLAGS)
		return violate(refusal, -EPROTO, "HELLO has reserved bits set");
	r = dispatch_check_name("node", hello->name, refusal);
	if (r)
		return r;
	r = registry_new_node(&router->registry, &node, peer, peer->user, hello->name, 0, refusal);
	if (r)
		return r;

	node->unmonitored = hello->flags & WIRE_HELLO_UNMONITORED;
	peer_accept_fds(peer, false);
	dispatch_welcome(peer, node, hello->header.request);
	PROBE(zcp_router, join, node->id, (uint64_t)node->pid, (uint64_t)peer->uid, node->name);
	return 0;
}

void dispatch_welcome(struct peer *peer, struct node *node, uint32_t request)
{
	struct router *router = peer->router;
	struct wire_welcome welcome = { 0 };

	node->request = request;
	peer->node = node;
	peer->state = PEER_GREETED;
	wire_init(&welcome.header, WIRE_WELCOME, request);
	welcome.node = node->id;
	welcome.epoch = router->epoch;
	welcome.directory_bytes = router->view.bytes;
	welcome.node_page_bytes = node->page->bytes;
	welcome.node_page_segment = node->page->id;
	welcome.heartbeat_ms = router->options.heartbeat_ms;
	peer_send(peer, &welcome.header, OUTBOX_WELCOME, node->page);
}

static int on_node_page_mapped(struct peer *peer, const struct wire_segment_mapped *mapped, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct node *node = peer->node;
	const void *map = NULL;
	char name[160];
	int r;

	if (mapped->segment != node->page->id || mapped->header.request != node->request)
		return violate(refusal, -EPROTO, "SEGMENT_MAPPED does not name the node page of WELCOME");
	r = segment_seal_and_map(node->page, &map, refusal);
	if (r == REFUSED) {
		/* HELLO has had its answer, and without the page there is no node: what is left is to say why and hang up */
		view_count_refusal(&router->view);
		peer_trace_refusal(peer, refusal);
		peer_disconnect(peer, WIRE_CAUSE_EVICTED, 0, refusal);
		return 0;
	}
	if (r)
		return r;
	node->page_map = map;
	node->heartbeat_changed_ns = clock_now_ns();
	peer->state = PEER_JOINED;
	view_count_node(&router->view);
	view_put_node(&router->view, node);
	watch_node_appeared(router, node);
	log_verbose("%s has joined", peer_name(peer, name));
	return 0;
}

static int on_goodbye(struct peer *peer)
{
	char name[160];

	log_verbose("%s says goodbye", peer_name(peer, name));
	peer_disconnect(peer, WIRE_CAUSE_CLOSED, 0, NULL);
	return 0;
}

/* --- endpoints ------------------------------------------------------------------------------------ */

/* Names of types may contain '/', as ROS writes them; otherwise the rule for names holds. */
static int check_type_info(const struct wire_type_info *type, struct refusal *refusal)
{
	struct wire_type_info copy = *type;
	int r;

	for (size_t i = 0; i < sizeof(copy.name); i++) {
		if (copy.name[i] == '/')
			copy.name[i] = '_';
		if (!type->name[0] && type->name[i])
			return refuse(refusal, -EINVAL, "the type name has bytes behind its end");
	}
	if (!type->name[0])
		return 0;
	r = dispatch_check_name("type", copy.name, refusal);
	if (r)
		return r;
	if (type->alignment & (type->alignment - 1))
		return refuse(refusal, -EINVAL, "the type's alignment %llu is not a power of two", (unsigned long long)type->alignment);
	return 0;
}

static int check_publisher(const struct wire_endpoint_open *open, uint64_t *bytes, struct refusal *refusal)
{
	if (open->flags & WIRE_ENDPOINT_LOSSY)
		return refuse(refusal, -EINVAL, "lossy is a flag of subscribers, not of publishers");
	if (geometry_check(&open->geometry) < 0)
		return refuse(refusal, -EINVAL, "the geometry of the data segment is inconsistent or beyond the limits");
	*bytes = open->geometry.segment_bytes;
	return 0;
}

static int check_subscriber(const struct wire_endpoint_open *open, uint64_t *bytes, struct refusal *refusal)
{
	static const struct channel_geometry none;

	if (open->flags & WIRE_ENDPOINT_RELIABLE)
		return refuse(refusal, -EINVAL, "reliable is a flag of publishers, not of subscribers");
	if (open->flags & WIRE_ENDPOINT_HUGE)
		return refuse(refusal, -EINVAL, "huge pages are for publishers, not for subscribers");
	if (memcmp(&open->geometry, &none, sizeof(none)))
		return refuse(refusal, -EINVAL, "a subscriber has no data segment, but sent a geometry for one");
	*bytes = lane_page_bytes(open->n_lanes, open->max_held);
	if (!*bytes)
		return refuse(refusal, -EINVAL, "max_held %u or the number of lanes %u is out of range (1..1024, 1..4096)",
			      open->max_held, open->n_lanes);
	return 0;
}

int dispatch_check_open(const struct wire_endpoint_open *open, uint64_t *bytes, struct refusal *refusal)
{
	int r = dispatch_need_request(&open->header, "ENDPOINT_OPEN", refusal);

	if (r)
		return r;
	if (open->flags & ~WIRE_ENDPOINT_FLAGS)
		return violate(refusal, -EPROTO, "ENDPOINT_OPEN has reserved bits set");
	if (open->kind != WIRE_PUBLISHER && open->kind != WIRE_SUBSCRIBER)
		return violate(refusal, -EPROTO, "ENDPOINT_OPEN has the unknown kind %u", open->kind);
	r = dispatch_check_name("service", open->topic.service, refusal);
	if (!r)
		r = dispatch_check_name("instance", open->topic.instance, refusal);
	if (!r)
		r = dispatch_check_name("event", open->topic.event, refusal);
	if (!r)
		r = check_type_info(&open->type, refusal);
	if (!r)
		r = check_type_info(&open->peer_type, refusal);
	if (!r)
		r = introduce_check_role(open, refusal);
	if (r)
		return r;
	if (open->kind == WIRE_PUBLISHER)
		return check_publisher(open, bytes, refusal);
	return check_subscriber(open, bytes, refusal);
}

static int on_endpoint_open(struct peer *peer, const struct wire_endpoint_open *open, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct wire_endpoint_opened opened = { 0 };
	struct endpoint *endpoint;
	uint64_t bytes = 0;
	int r;

	r = dispatch_check_open(open, &bytes, refusal);
	if (!r && open->kind == WIRE_SUBSCRIBER)
		r = match_check_subscriber(router, registry_find_topic(&router->registry, &open->topic, open->role), peer->user,
					   open->max_held, open->n_lanes, refusal);
	if (!r)
		r = introduce_check(router, peer->node, open, false, refusal);
	if (r)
		return r;
	r = registry_new_endpoint(&router->registry, &endpoint, peer->node, open, bytes, refusal);
	if (r)
		return r;

	wire_init(&opened.header, WIRE_ENDPOINT_OPENED, open->header.request);
	opened.endpoint = endpoint->id;
	opened.segment = endpoint->segment->id;
	opened.segment_bytes = endpoint->segment->bytes;
	peer_send(peer, &opened.header, OUTBOX_WRITER, endpoint->segment);
	return 0;
}

/* One that was handed back is not ready while it claims, and has no segment to be mapped. */
static struct endpoint *find_unready(struct node *node, uint64_t segment)
{
	struct endpoint *endpoint;

	DL_FOREACH2(node->endpoints, endpoint, node_next) {
		if (endpoint->segment->id == segment)
			return endpoint->ready || endpoint->n_claims_awaited ? NULL : endpoint;
	}
	return NULL;
}

static int make_ready(struct router *router, struct endpoint *endpoint, struct refusal *refusal)
{
	int r;

	/* Others may have joined since ENDPOINT_OPEN. */
	if (endpoint->kind == WIRE_SUBSCRIBER) {
		r = match_check_subscriber(router, endpoint->topic, endpoint->node->user, endpoint->max_held, endpoint->n_lanes,
					   refusal);
		if (r)
			return r;
	}
	return segment_seal_and_open(endpoint->segment, refusal);
}

static int on_endpoint_mapped(struct peer *peer, const struct wire_segment_mapped *mapped, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct wire_endpoint_ready ready = { 0 };
	struct endpoint *endpoint = find_unready(peer->node, mapped->segment);
	uint32_t n_pending;
	int r;

	if (!endpoint && growth_is_awaited(peer->node, mapped))
		return growth_mapped(peer, mapped, refusal);
	if (!endpoint || endpoint->request != mapped->header.request)
		return violate(refusal, -EPROTO, "SEGMENT_MAPPED names segment %llu, which was not handed out to be mapped",
			       (unsigned long long)mapped->segment);
	r = make_ready(router, endpoint, refusal);
	if (r) {
		registry_free_endpoint(&router->registry, endpoint);
		return r;
	}
	endpoint->ready = true;
	n_pending = match_join(router, endpoint);
	view_put_endpoint(&router->view, endpoint);
	watch_endpoint_appeared(router, endpoint);

	wire_init(&ready.header, WIRE_ENDPOINT_READY, endpoint->request);
	ready.endpoint = endpoint->id;
	ready.n_pending = endpoint->kind == WIRE_PUBLISHER ? n_pending : introduce_count(router, endpoint);
	peer_send(peer, &ready.header, OUTBOX_NONE, NULL);
	introduce_ready(router, endpoint);
	return 0;
}

static int on_endpoint_close(struct peer *peer, const struct wire_endpoint_close *close, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct endpoint *endpoint = registry_find_endpoint(&router->registry, close->endpoint);
	static const struct departure closed = { .cause = WIRE_CAUSE_CLOSED };

	if (!endpoint && close->endpoint && close->endpoint < router->registry.next_endpoint)
		return 0;	/* refused at the last moment, while the node gave up */
	if (!endpoint || endpoint->node != peer->node)
		return violate(refusal, -EPROTO, "ENDPOINT_CLOSE names endpoint %llu, which is not this node's",
			       (unsigned long long)close->endpoint);
	watch_endpoint_vanished(router, endpoint, &closed);
	match_leave(router, endpoint, &closed);
	claim_forget(router, endpoint);
	registry_free_endpoint(&router->registry, endpoint);
	return 0;
}

static int on_lane_chosen(struct peer *peer, const struct wire_lane_chosen *chosen, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct match *match = registry_find_match(&router->registry, chosen->match);

	if (chosen->reserved)
		return violate(refusal, -EPROTO, "LANE_CHOSEN has reserved bits set");
	if (!match && chosen->match && chosen->match < router->registry.next_match)
		return 0;	/* the publisher, or the subscriber itself, has left meanwhile */
	if (!match || match->subscriber->id != chosen->endpoint || match->subscriber->node != peer->node)
		return violate(refusal, -EPROTO, "LANE_CHOSEN names match %llu, which is not this subscriber's",
			       (unsigned long long)chosen->match);
	return match_lane_chosen(router, match, chosen->lane, refusal);
}

static int on_pool_dry(struct peer *peer, const struct wire_pool_dry *dry, struct refusal *refusal)
{
	struct router *router = peer->router;
	struct endpoint *endpoint = registry_find_endpoint(&router->registry, dry->endpoint);

	if (!endpoint && dry->endpoint && dry->endpoint < router->registry.next_endpoint)
		return 0;	/* this router did not take it back, and its node goes on without */
	if (!endpoint || endpoint->node != peer->node || endpoint->kind != WIRE_PUBLISHER || !endpoint->ready)
		return violate(refusal, -EPROTO, "POOL_DRY names endpoint %llu, which is not this node's publisher",
			       (unsigned long long)dry->endpoint);
	watch_pool_dry(router, endpoint);
	return 0;
}

/* --- states --------------------------------------------------------------------------------------- */

static int out_of_order(const union wire_message *message, const char *expected, struct refusal *refusal)
{
	return violate(refusal, -EPROTO, "message type %u came where %s was expected", message->header.type, expected);
}

int router_dispatch(struct peer *peer, const union wire_message *message, int fds[WIRE_FDS_MAX], struct refusal *refusal)
{
	uint16_t type = message->header.type;

	if (peer->state == PEER_NEW && type == WIRE_REJOIN)
		return rejoin_node(peer, &message->rejoin, fds, refusal);
	if (peer->state == PEER_NEW)
		return type == WIRE_HELLO ? on_hello(peer, &message->hello, refusal) :
					    out_of_order(message, "HELLO", refusal);
	if (type == WIRE_GOODBYE)
		return on_goodbye(peer);
	if (peer->state == PEER_GREETED)
		return type == WIRE_SEGMENT_MAPPED ? on_node_page_mapped(peer, &message->segment_mapped, refusal) :
						     out_of_order(message, "SEGMENT_MAPPED", refusal);
	switch (type) {
	case WIRE_SEGMENT_MAPPED:
		return on_endpoint_mapped(peer, &message->segment_mapped, refusal);
	case WIRE_ENDPOINT_OPEN:
		return on_endpoint_open(peer, &message->endpoint_open, refusal);
	case WIRE_ENDPOINT_CLOSE:
		return on_endpoint_close(peer, &message->endpoint_close, refusal);
	case WIRE_LANE_CHOSEN:
		return on_lane_chosen(peer, &message->lane_chosen, refusal);
	case WIRE_ENDPOINT_RESUME:
		return rejoin_endpoint(peer, &message->endpoint_resume, fds, refusal);
	case WIRE_MATCH_RESUME:
		return rejoin_match(peer, &message->match_resume, refusal);
	case WIRE_RESUME_END:
		return rejoin_end(peer, refusal);
	case WIRE_WATCH_OPEN:
		return watch_open(peer, &message->watch_open, refusal);
	case WIRE_WATCH_CLOSE:
		return watch_close(peer, &message->watch_close, refusal);
	case WIRE_SEND:
		return send_begin(peer, &message->send, refusal);
	case WIRE_SEND_MORE:
		return send_go_on(peer, &message->send_more, refusal);
	case WIRE_POOL_DRY:
		return on_pool_dry(peer, &message->pool_dry, refusal);
	case WIRE_FD_TAKE:
		return handover_take(peer, &message->fd_take, refusal);
	case WIRE_SEGMENT_LOOK:
		return look_at_segment(peer, &message->segment_look, refusal);
	case WIRE_SEGMENT_GROW:
		return growth_grow(peer, &message->segment_grow, refusal);
	case WIRE_SEGMENT_RETURN:
		return growth_return(peer, &message->segment_extra, refusal);
	case WIRE_SEGMENT_RESUME:
		return growth_resume(peer, &message->segment_grow, fds, refusal);
	default:
		return out_of_order(message, "a request", refusal);
	}
}
