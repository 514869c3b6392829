/* SPDX-License-Identifier: MIT */
/*
 * publisher-open.c - a publisher's life apart from its messages
 *
 * Matches come as LANE_ADDED: the node's thread maps the subscriber's lane page, the publisher's own thread
 * attaches the lane the next time it is called. A match that was under way when the publisher opened is
 * "expected": until its lane is attached nothing is counted as consumed, so that the subscriber misses no
 * message from the very first on.
 */
#include "lib/publisher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "channel/geometry.h"
#include "common/clock.h"
#include "common/memfd.h"
#include "common/probe.h"
#include "lib/control.h"
#include "lib/doorbell.h"
#include "lib/error.h"
#include "lib/growth.h"
#include "lib/options.h"

#define DEFAULT_PAYLOAD_MAX 4096
#define HEADER_SIZE_MAX 16u

/* ---- matches ----------------------------------------------------------------------------------------------------- */

static void ring(void *context, void *peer)
{
	const struct match *match = peer;
	const struct zcp_publisher *p = context;

	PROBE(zcp, ring, p->endpoint.id, match->peer);
	doorbell_ring(match->doorbell);
}

/* There is an extra that is not needed. */
static void idle(void *context)
{
	struct zcp_publisher *p = context;

	atomic_store_explicit(&p->endpoint.news, true, memory_order_relaxed);
}

static struct match *lane_added(struct endpoint *ep, const union wire_message *message, int fds[WIRE_FDS_MAX], int error)
{
	const struct wire_lane_added *m = &message->lane_added;
	uint64_t bytes = lane_page_bytes(m->n_lanes, m->max_held);
	struct subscriber_match *s;

	if (ep->closing || error < 0 || !m->match || !bytes || bytes != m->segment_bytes || m->lane >= m->n_lanes)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (match_init(&s->match, m->match, m->subscriber, bytes, m->flags, fds) < 0) {
		free(s);
		return NULL;
	}
	s->match.peer_node = m->node;
	s->match.process = m->process;
	s->match.lane_index = s->lane = m->lane;
	s->match.counted = m->flags & WIRE_MATCH_FROM_START;
	ep->n_chosen += s->match.counted;
	s->n_lanes = m->n_lanes;
	s->max_held = m->max_held;
	return &s->match;
}

static void no_longer_expected(struct zcp_publisher *p, uint32_t n)
{
	p->writer.n_expected -= n < p->writer.n_expected ? n : p->writer.n_expected;
}

/* Take a new match into use. False: it cannot be, or it has ended already. */
static bool attach(struct zcp_publisher *p, struct match *m)
{
	const struct subscriber_match *s = (const void *)m;
	bool attached = false;

	if (!m->cause)
		attached = channel_writer_attach(&p->writer, m->id, m->segment, s->n_lanes, s->max_held, s->lane, m->peer,
						 m->flags & WIRE_MATCH_LOSSY, m) == 0;
	/* only matches that were there before the publisher was are expected */
	if (m->counted)
		no_longer_expected(p, 1);
	m->counted = false;
	m->in_use = attached;
	p->endpoint.unusable |= !attached && !m->cause;
	if (attached)
		PROBE(zcp, attach, p->endpoint.id, m->peer, m->id);
	return attached;
}

void publisher_look_at_news(struct zcp_publisher *publisher)
{
	struct endpoint *ep = &publisher->endpoint;
	struct match **at = &ep->matches;
	void *peer;

	pthread_mutex_lock(&ep->node->lock);
	atomic_store_explicit(&ep->news, false, memory_order_relaxed);
	if (publisher->expects_anew)
		publisher->writer.n_expected = publisher->n_anew;
	publisher->expects_anew = false;
	while (*at) {
		struct match *m = *at;

		if (!m->in_use ? attach(publisher, m) : !m->cause) {
			at = &m->next;
			continue;
		}
		if (m->in_use) {
			channel_writer_detach(&publisher->writer, m->id, &peer);
			PROBE(zcp, detach, ep->id, m->peer, m->id);
		}
		*at = m->next;
		match_deinit(m);
		free(m);
	}
	/* a router that does not come back brings nobody: what was meant for those subscribers is not kept for ever */
	no_longer_expected(publisher, ep->node->state == NODE_LOST || ep->node->given_up_waiting ? UINT32_MAX : ep->n_never);
	ep->n_never = 0;
	pthread_mutex_unlock(&ep->node->lock);
	if (publisher->growth)
		growth_look(publisher);
}

/* A router has taken the publisher, at first or again: what it says counts, from here on. The node's thread, under lock. */
static void opened(struct endpoint *ep, uint32_t n_pending)
{
	struct zcp_publisher *p = (struct zcp_publisher *)(void *)ep;

	for (struct match *m = ep->matches; m; m = m->next)
		m->counted = false;
	ep->n_never = 0;
	p->n_anew = n_pending;
	p->expects_anew = true;
}

/* What the owner will expect when it has looked at its news. The node's thread, under lock, which guards writer.n_expected too. */
static uint32_t expected(const struct endpoint *ep)
{
	const struct zcp_publisher *p = (const struct zcp_publisher *)(const void *)ep;
	uint32_t n = p->expects_anew ? p->n_anew : p->writer.n_expected, gone = ep->n_never;

	for (const struct match *m = ep->matches; m; m = m->next)
		gone += m->counted && !m->in_use;
	return n > gone ? n - gone : 0;
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int check_options(struct zcp_publisher_options *o)
{
	if (o->header_size > HEADER_SIZE_MAX || o->header_size % 8)
		return error_set(-EINVAL, "header_size is %u; it can be 0, 8 or 16", o->header_size);
	if (o->timeout < -1)
		return error_set(-EINVAL, "timeout is %lld; use -1 to wait for ever", (long long)o->timeout);
	if (!o->payload_max)
		o->payload_max = o->type.size ? o->type.size : DEFAULT_PAYLOAD_MAX;
	if (o->hugepages > ZCP_HUGE_TRY)
		return error_set(-EINVAL, "hugepages is %u; it can be ZCP_HUGE_NONE, ZCP_HUGE_ADVISE or ZCP_HUGE_TRY", o->hugepages);
	if (o->payload_max < o->type.size)
		return error_set(-EINVAL, "payload_max %zu is smaller than type.size %zu", o->payload_max, o->type.size);
	return options_reserved(o->reserved0, sizeof(o->reserved0), "zcp_publisher_options");
}

static int plan(struct channel_geometry *geometry, const struct zcp_publisher_options *o)
{
	struct geometry_request request = {
		.payload_max = o->payload_max,
		.depth = o->depth,
		.history = o->history,
		.max_lanes = o->max_subscribers,
		.max_loans = o->max_loans,
		.held_budget = o->max_held,
		.alignment = (uint32_t)o->type.alignment,
		.header_bytes = o->header_size,
	};
	const char *why;
	int r = geometry_plan(geometry, &request, &why);

	return r < 0 ? error_set(r, "%s", why) : 0;
}

static int prepare(struct wire_endpoint_open *message, const struct zcp_topic *topic, struct zcp_publisher_options *o, const void *options)
{
	int r;

	memset(message, 0, sizeof(*message));
	r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_publisher_options");
	if (r == 0)
		r = options_topic(&message->topic, topic);
	if (r == 0)
		r = options_type(&message->type, &o->type);
	if (r == 0)
		r = check_options(o);
	if (r == 0)
		r = plan(&message->geometry, o);
	message->kind = WIRE_PUBLISHER;
	message->flags = (o->reliable ? WIRE_ENDPOINT_RELIABLE : 0) | (o->hugepages == ZCP_HUGE_TRY ? WIRE_ENDPOINT_HUGE : 0);
	return r;
}

enum writer_stamp publisher_stamp(const struct zcp_node *node)
{
	uint32_t ticks = *(const volatile uint32_t *)&node->directory.header->ticks;

	return ticks && clock_has_ticks() ? WRITER_STAMP_TICKS : WRITER_STAMP_NS;
}

static enum writer_stamp stamp(struct zcp_node *node, const struct zcp_publisher_options *o)
{
	enum writer_stamp stamp;

	if (o->no_timestamps)
		return WRITER_STAMP_NONE;
	pthread_mutex_lock(&node->lock);
	stamp = publisher_stamp(node);
	pthread_mutex_unlock(&node->lock);
	return stamp;
}

int publisher_set_up(struct zcp_publisher *p, const struct channel_geometry *geometry, bool reliable, enum writer_stamp stamp)
{
	struct writer_options options = {
		.endpoint = p->endpoint.id,
		.node = p->endpoint.node->id,
		.reliable = reliable,
		.counters = p->counters,
		.stamp = stamp,
		.ring = ring,
		.ring_context = p,
		.huge = p->huge,
		.grow = p->growth,
		.idle = idle,
	};
	int r = channel_writer_init(&p->writer, p->endpoint.segment, geometry, &options);

	return r < 0 ? error_system(r, "cannot set up the publisher's memory") : 0;
}

void publisher_free(struct zcp_publisher *p)
{
	growth_free(p);
	free(p->grave);
	free(p);
}

static int open_publisher(struct zcp_publisher *p, struct wire_endpoint_open *message, const struct zcp_publisher_options *o)
{
	struct request request = REQUEST_INIT;
	uint32_t n_pending;
	int r;

	p->endpoint.segment_bytes = message->geometry.segment_bytes;
	r = endpoint_open(&p->endpoint, message, &request);
	if (r < 0) {
		publisher_free(p);
		return r;
	}
	if (p->huge)
		memfd_advise_huge(p->endpoint.segment, p->endpoint.segment_bytes);
	r = publisher_set_up(p, &message->geometry, o->reliable, stamp(p->endpoint.node, o));
	if (r == 0)
		r = endpoint_ready(&p->endpoint, &request, &n_pending);
	if (r < 0) {
		zcp_publisher_close(p);
		return r;
	}
	/* matches may have come and gone, and the router too, between READY and here */
	atomic_store_explicit(&p->endpoint.news, true, memory_order_relaxed);
	return 0;
}

static void close_endpoint(struct endpoint *ep)
{
	zcp_publisher_close((struct zcp_publisher *)(void *)ep);
}

static void mark_closed(struct endpoint *ep)
{
	struct channel_header *header = ep->segment;

	atomic_store_explicit(&header->closed, 1, memory_order_release);
}

static bool subscriber_is_closed(const struct match *match)
{
	const struct lane_page_header *header = match->segment;

	return atomic_load_explicit(&header->closed, memory_order_acquire);
}

/* Time passes. */
static void tick(struct endpoint *ep, uint64_t now_ns)
{
	struct zcp_publisher *p = (struct zcp_publisher *)(void *)ep;

	tally_tick(&p->tally, ep->id, now_ns);
}

static const struct endpoint_operations operations = {
	.added = lane_added,
	.opened = opened,
	.expected = expected,
	.mark_closed = mark_closed,
	.is_closed = subscriber_is_closed,
	.close = close_endpoint,
	.tick = tick,
};

struct zcp_publisher *publisher_new(struct zcp_node *node, struct endpoint *parent, bool reliable, int64_t timeout_ns)
{
	struct zcp_publisher *p = calloc(1, sizeof(*p));

	if (p)
		p->grave = malloc(sizeof(*p->grave));
	if (!p || !p->grave) {
		free(p);
		return NULL;
	}
	p->endpoint.node = node;
	p->endpoint.parent = parent;
	p->endpoint.operations = &operations;
	p->timeout_ns = reliable ? timeout_ns : 0;
	return p;
}

static int open_once(struct zcp_publisher **publisher, struct zcp_node *node, struct wire_endpoint_open *message,
		     const struct zcp_publisher_options *o)
{
	struct zcp_publisher *p = publisher_new(node, NULL, o->reliable, o->timeout);
	int r;

	if (p && o->grow)
		p->growth = growth_new(o->hugepages == ZCP_HUGE_TRY);
	if (p)
		p->huge = o->hugepages != ZCP_HUGE_NONE;
	if (!p || (o->grow && !p->growth)) {
		if (p)
			publisher_free(p);
		return error_note(-ENOMEM, "no memory for a publisher");
	}
	p->counters = message->role == WIRE_ROLE_EVENT;
	r = open_publisher(p, message, o);
	if (r == 0)
		*publisher = p;
	return r;
}

/* Again with the next router, if this one is gone. */
static int open_in_time(struct zcp_publisher **publisher, struct zcp_node *node, struct wire_endpoint_open *message,
			const struct zcp_publisher_options *o)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	int r;

	do {
		r = open_once(publisher, node, message, o);
		/* no huge pages are left: they are reserved when the segment is mapped */
		if (r == -ENOMEM && message->flags & WIRE_ENDPOINT_HUGE) {
			message->flags &= ~WIRE_ENDPOINT_HUGE;
			r = open_once(publisher, node, message, o);
		}
	} while (r == -ENOTCONN && node_await_joined(node, deadline));
	return r;
}

int publisher_open_counters(struct zcp_publisher **publisher, struct zcp_node *node, struct wire_endpoint_open *message)
{
	return open_in_time(publisher, node, message, &(struct zcp_publisher_options){ .no_timestamps = true });
}

int zcp_publisher_open(struct zcp_publisher **publisher, struct zcp_node *node, const struct zcp_topic *topic,
		       const struct zcp_publisher_options *options)
{
	struct wire_endpoint_open message;
	struct zcp_publisher_options o;
	int r;

	*publisher = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&message, topic, &o, options);
	return r < 0 ? r : open_in_time(publisher, node, &message, &o);
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

static void free_matches(struct endpoint *ep)
{
	pthread_mutex_lock(&ep->node->lock);
	ep->closing = true;
	while (ep->matches) {
		struct match *m = ep->matches;

		ep->matches = m->next;
		match_deinit(m);
		free(m);
	}
	pthread_mutex_unlock(&ep->node->lock);
}

/* Loans are open: their memory stays where it is until the node is closed. */
static bool bury(struct zcp_publisher *p)
{
	struct grave *g;

	if (!p->writer.n_loans)
		return false;
	error_set(0, "the publisher was closed with %u open loans: they end unpublished", p->writer.n_loans);
	g = p->grave;
	p->grave = NULL;
	g->memory = p->endpoint.segment;
	g->bytes = p->endpoint.segment_bytes;
	g->scratch = p->writer.scratch;
	p->writer.scratch = NULL;
	pthread_mutex_lock(&p->endpoint.node->lock);
	g->next = p->endpoint.node->graves;
	p->endpoint.node->graves = g;
	pthread_mutex_unlock(&p->endpoint.node->lock);
	return true;
}

void zcp_publisher_close(struct zcp_publisher *publisher)
{
	struct zcp_node *node;
	bool buried, last;

	if (!publisher)
		return;
	if (forked_since(publisher->endpoint.fork_generation)) {
		growth_close_fds(publisher->growth);
		endpoint_close(&publisher->endpoint, false);
		return;
	}
	tally_flush(&publisher->tally, publisher->endpoint.id);
	node = publisher->endpoint.node;
	buried = bury(publisher);
	free_matches(&publisher->endpoint);
	last = endpoint_close(&publisher->endpoint, !buried);
	growth_free(publisher);
	channel_writer_deinit(&publisher->writer);
	publisher_free(publisher);
	if (last)
		node_free(node);
}
