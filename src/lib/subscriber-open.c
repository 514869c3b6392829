/* SPDX-License-Identifier: MIT */
/*
 * subscriber-open.c - a subscriber's life apart from its messages
 *
 * Closing is the interesting part. Samples that the user still holds are promised to stay valid, and a
 * publisher respects only pins of lanes that it scans. So a subscriber that is closed with samples held lives
 * on, unseen: it takes no new publishers, says that it has consumed everything (nobody waits for it), keeps its
 * pins, and is freed by the last release.
 */
#include "lib/subscriber.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "channel/geometry.h"
#include "common/clock.h"
#include "lib/control.h"
#include "lib/error.h"
#include "lib/options.h"
#include "lib/waitset.h"

#define DEFAULT_MAX_HELD 4
#define DEFAULT_MAX_PUBLISHERS 64

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int check_options(struct zcp_subscriber_options *o)
{
	static const char name[] = "zcp_subscriber_options";

	if (!o->max_held)
		o->max_held = DEFAULT_MAX_HELD;
	if (!o->max_publishers)
		o->max_publishers = DEFAULT_MAX_PUBLISHERS;
	if (o->max_held > HELD_MAX)
		return error_set(-EINVAL, "max_held is %u; at most %u samples can be held", o->max_held, HELD_MAX);
	if (o->max_publishers > LANES_MAX)
		return error_set(-EINVAL, "max_publishers is %u; at most %u are possible", o->max_publishers, LANES_MAX);
	if (o->reserved0)
		return options_reserved(&o->reserved0, sizeof(o->reserved0), name);
	return options_reserved(o->reserved1, sizeof(o->reserved1), name);
}

static int prepare(struct wire_endpoint_open *message, const struct zcp_topic *topic, struct zcp_subscriber_options *o,
		   const void *options)
{
	int r;

	memset(message, 0, sizeof(*message));
	r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_subscriber_options");
	if (r == 0)
		r = options_topic(&message->topic, topic);
	if (r == 0)
		r = options_type(&message->type, &o->type);
	if (r == 0)
		r = check_options(o);
	message->kind = WIRE_SUBSCRIBER;
	message->flags = o->lossy ? WIRE_ENDPOINT_LOSSY : 0;
	message->max_held = o->max_held;
	message->n_lanes = o->max_publishers;
	message->history = o->history;
	return r;
}

void subscriber_deinit(struct zcp_subscriber *s)
{
	free(s->lane);
	free(s->lane_used);
	for (uint32_t i = 0; s->held && i < s->max_held; i++)
		free(s->held[i].copy);
	free(s->held);
	free(s->free);
}

int subscriber_init(struct zcp_subscriber *s, uint32_t max_held, uint32_t max_publishers, uint32_t history)
{
	s->max_held = s->n_free = max_held;
	s->max_publishers = max_publishers;
	s->history = history;
	s->lane = calloc(max_publishers, sizeof(*s->lane));
	s->lane_used = calloc(max_publishers, sizeof(*s->lane_used));
	s->held = calloc(max_held, sizeof(*s->held));
	s->free = calloc(max_held, sizeof(*s->free));
	if (!s->lane || !s->lane_used || !s->held || !s->free) {
		subscriber_deinit(s);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < max_held; i++) {
		s->free[i] = max_held - 1 - i;
		s->held[i].generation = 2;	/* a sample struct full of zeroes is never taken for one of ours */
	}
	return 0;
}

/* A publisher that was there has no room for us, or the types differ: that is no open subscriber. */
static int check_refusal(struct zcp_subscriber *s)
{
	struct endpoint *ep = &s->endpoint;
	int r = 0;

	pthread_mutex_lock(&ep->node->lock);
	if (ep->refusal_error)
		r = error_set(ep->refusal_error, "cannot open the endpoint: %s", ep->refusal);
	pthread_mutex_unlock(&ep->node->lock);
	return r;
}

/* Here the lock may be waited for. Messages do not wait for it, and go on with what is read here while the node's thread has it. */
static void read_first_calibration(struct zcp_subscriber *s)
{
	struct zcp_node *node = s->endpoint.node;

	pthread_mutex_lock(&node->lock);
	if (node->directory_memory)
		(void)directory_read_calibration(node->directory.header, &s->calibration);
	pthread_mutex_unlock(&node->lock);
}

int subscriber_open(struct zcp_subscriber *s, struct wire_endpoint_open *message, uint32_t *n_pending)
{
	struct request request = REQUEST_INIT;
	int r;

	s->endpoint.segment_bytes = lane_page_bytes(s->max_publishers, s->max_held);
	r = endpoint_open(&s->endpoint, message, &request);
	if (r < 0)
		return r;
	lane_page_init(s->endpoint.segment, s->max_publishers, s->max_held, s->endpoint.id);
	r = endpoint_ready(&s->endpoint, &request, n_pending);
	/* a server that one client does not fit is open all the same */
	if (r == 0 && (!s->hooks || s->hooks->counters))
		r = check_refusal(s);
	if (r == 0)
		read_first_calibration(s);
	if (r < 0 && subscriber_close(s))
		subscriber_leave(s);
	return r;
}

static void close_endpoint(struct endpoint *ep)
{
	struct zcp_subscriber *s = (struct zcp_subscriber *)(void *)ep;

	if (!s->closed)
		zcp_subscriber_close(s);
}

static void mark_closed(struct endpoint *ep)
{
	struct lane_page_header *header = ep->segment;

	atomic_store_explicit(&header->closed, 1, memory_order_release);
}

static bool publisher_is_closed(const struct match *match)
{
	const struct channel_header *header = match->segment;

	return atomic_load_explicit(&header->closed, memory_order_acquire);
}

const struct endpoint_operations subscriber_operations = {
	.added = lane_writer_added,
	.never = lane_writer_never,
	.away = lane_router_gone,
	.mark_closed = mark_closed,
	.is_closed = publisher_is_closed,
	.close = close_endpoint,
	.tick = subscriber_tick,
};

static int open_once(struct zcp_subscriber **subscriber, struct zcp_node *node, struct wire_endpoint_open *message,
		     const struct zcp_subscriber_options *o)
{
	struct zcp_subscriber *s = calloc(1, sizeof(*s));
	uint32_t n_pending;
	int r;

	if (!s || subscriber_init(s, o->max_held, o->max_publishers, o->history) < 0) {
		free(s);
		return error_note(-ENOMEM, "no memory for a subscriber");
	}
	s->endpoint.node = node;
	s->endpoint.operations = &subscriber_operations;
	r = subscriber_open(s, message, &n_pending);
	if (r < 0) {
		subscriber_deinit(s);
		free(s);
		return r;
	}
	*subscriber = s;
	return 0;
}

int zcp_subscriber_open(struct zcp_subscriber **subscriber, struct zcp_node *node, const struct zcp_topic *topic,
			const struct zcp_subscriber_options *options)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	struct wire_endpoint_open message;
	struct zcp_subscriber_options o;
	int r;

	*subscriber = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&message, topic, &o, options);
	if (r < 0)
		return r;
	do {
		r = open_once(subscriber, node, &message, &o);
	} while (r == -ENOTCONN && node_await_joined(node, deadline));
	return r;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

static void refuse_new_publishers(struct zcp_subscriber *s)
{
	pthread_mutex_lock(&s->endpoint.node->lock);
	s->endpoint.closing = true;
	lane_waiting_close(s, false);
	pthread_mutex_unlock(&s->endpoint.node->lock);
	subscriber_look_at_news(s);
}

/* Out of lanes[]: dropped at once, or, where samples are held, by the last release. */
static void let_go(struct zcp_subscriber *s)
{
	while (s->n_lanes) {
		struct lane *lane = s->lane[--s->n_lanes];

		/* everything is consumed from now on: no publisher waits for a subscriber that is closed */
		lane->reader.cur = UINT64_MAX;
		channel_reader_flush(&lane->reader);
		if (lane->reader.wake_writer)
			lane_wake_writer(s, lane);
		lane->drained = lane->slow = true;
		if (!lane_is_held(s, lane))
			lane_drop(s, lane);
	}
	s->n_gone = 0;
}

bool subscriber_leave(struct zcp_subscriber *s)
{
	return endpoint_close(&s->endpoint, true);
}

void subscriber_free(struct zcp_subscriber *s)
{
	struct zcp_node *node = s->endpoint.node;
	bool last = subscriber_leave(s);

	subscriber_deinit(s);
	free(s);
	if (last)
		node_free(node);
}

bool subscriber_close(struct zcp_subscriber *s)
{
	if (forked_since(s->endpoint.fork_generation)) {
		/* memory stays: samples of it may still be "released" in the child */
		lane_waiting_close(s, true);
		endpoint_close(&s->endpoint, false);
		return false;
	}
	waitset_endpoint_closed(&s->endpoint);
	tally_flush(&s->taken.tally, s->endpoint.id);
	latest_drop(s);
	s->closed = true;
	refuse_new_publishers(s);
	let_go(s);
	return s->n_free == s->max_held;
}

void zcp_subscriber_close(struct zcp_subscriber *subscriber)
{
	if (subscriber && subscriber_close(subscriber))
		subscriber_free(subscriber);
}
