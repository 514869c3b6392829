/* SPDX-License-Identifier: MIT */
/*
 * client-open.c - a client's life apart from its requests
 *
 * Opening waits for the servers that are on the topic already, so that the first call finds them. They need not do anything
 * for it: their node's thread answers.
 */
#include "lib/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "lib/error.h"
#include "lib/options.h"

#define DEFAULT_PAYLOAD_MAX 4096
#define DEFAULT_MAX_PENDING 64
#define DEFAULT_MAX_SERVERS 16
#define DEFAULT_MAX_LOANS 8

int64_t client_connect_patience_ns = 1000000000ll;

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int check_options(struct zcp_client_options *o)
{
	if (!o->payload_max)
		o->payload_max = o->request_type.size ? o->request_type.size : DEFAULT_PAYLOAD_MAX;
	if (!o->max_pending)
		o->max_pending = DEFAULT_MAX_PENDING;
	if (!o->max_held)
		o->max_held = o->max_pending + 2 < HELD_MAX ? o->max_pending + 2 : HELD_MAX;
	if (!o->max_servers)
		o->max_servers = DEFAULT_MAX_SERVERS;
	if (!o->max_loans)
		o->max_loans = DEFAULT_MAX_LOANS;
	if (o->max_pending > PENDING_MAX)
		return error_set(-EINVAL, "max_pending is %u; at most %u requests can be under way", o->max_pending, PENDING_MAX);
	if (o->max_held > HELD_MAX)
		return error_set(-EINVAL, "max_held is %u; at most %u responses can be held", o->max_held, HELD_MAX);
	if (o->max_servers > LANES_MAX)
		return error_set(-EINVAL, "max_servers is %u; at most %u are possible", o->max_servers, LANES_MAX);
	if (o->payload_max < o->request_type.size)
		return error_set(-EINVAL, "payload_max %zu is smaller than request_type.size %zu", o->payload_max, o->request_type.size);
	if (o->timeout < 0)
		return error_set(-EINVAL, "timeout is %lld; use 0 for requests that never end by time", (long long)o->timeout);
	return options_reserved(o->reserved0, sizeof(o->reserved0), "zcp_client_options");
}

/* That the channel can be laid out is seen now, and not when the first server comes. */
static int check_wish(const struct geometry_request *wish)
{
	struct channel_geometry geometry;
	const char *why;
	int r = geometry_plan(&geometry, wish, &why);

	return r < 0 ? error_set(r, "%s", why) : 0;
}

static struct geometry_request wish_of(const struct zcp_client_options *o)
{
	return (struct geometry_request){
		.payload_max = o->payload_max,
		.depth = o->max_pending,
		.max_lanes = 1,
		.max_loans = o->max_loans,
		.alignment = (uint32_t)o->request_type.alignment,
		.header_bytes = sizeof(struct call_header),
	};
}

static int prepare(struct wire_endpoint_open *message, const struct zcp_topic *topic, struct zcp_client_options *o, const void *options)
{
	struct geometry_request wish;
	int r;

	memset(message, 0, sizeof(*message));
	r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_client_options");
	if (r == 0)
		r = options_topic(&message->topic, topic);
	if (r == 0)
		r = options_type(&message->type, &o->response_type);
	if (r == 0)
		r = options_type(&message->peer_type, &o->request_type);
	if (r == 0)
		r = check_options(o);
	if (r < 0)
		return r;
	message->kind = WIRE_SUBSCRIBER;
	message->role = WIRE_ROLE_RESPONSE;
	message->max_held = o->max_held;
	message->n_lanes = o->max_servers;
	wish = wish_of(o);
	return check_wish(&wish);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static void free_tables(struct zcp_client *c)
{
	free(c->pending);
	free(c->free);
	free(c->kept);
	c->pending = NULL;
	c->free = NULL;
	c->kept = NULL;
}

static void close_endpoint(struct endpoint *ep)
{
	struct zcp_client *c = (struct zcp_client *)(void *)ep;

	if (!c->exchange.in.closed)
		zcp_client_close(c);
}

static void mark_closed(struct endpoint *ep)
{
	subscriber_operations.mark_closed(ep);
}

static bool is_closed(const struct match *match)
{
	return subscriber_operations.is_closed(match);
}

static const struct endpoint_operations operations = {
	.added = exchange_writer_added,
	.never = lane_writer_never,
	.away = lane_router_gone,
	.mark_closed = mark_closed,
	.is_closed = is_closed,
	.close = close_endpoint,
	.introduced = exchange_introduced,
	.tick = client_tick,
};

static const struct subscriber_hooks hooks = { NULL, exchange_looked, exchange_drained, client_ready };

static struct zcp_client *allocate(struct zcp_node *node, const struct wire_endpoint_open *message, const struct zcp_client_options *o)
{
	struct zcp_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->max_pending = c->n_free = o->max_pending;
	c->kept_room = o->max_held + o->max_pending;
	c->timeout_ns = o->timeout;
	c->wait_for_server = o->wait_for_server;
	atomic_store_explicit(&c->next_deadline_ns, UINT64_MAX, memory_order_relaxed);
	c->exchange.wish = wish_of(o);
	c->exchange.role = WIRE_ROLE_REQUEST;
	c->exchange.topic = message->topic;
	c->exchange.ended = client_ended;
	c->pending = calloc(o->max_pending, sizeof(*c->pending));
	c->free = calloc(o->max_pending, sizeof(*c->free));
	c->kept = calloc(c->kept_room, sizeof(*c->kept));
	if (!c->pending || !c->free || !c->kept ||
	    exchange_init(&c->exchange, node, &operations, &hooks, o->max_held, o->max_servers) < 0) {
		free_tables(c);
		free(c);
		return NULL;
	}
	for (uint32_t i = 0; i < o->max_pending; i++)
		c->free[i] = o->max_pending - 1 - i;
	return c;
}

/* Those that were there are connected, or it is known that they won't be. One that does not react must not hold us up for long. */
static void await_servers(struct zcp_client *c, uint32_t n)
{
	uint64_t deadline = deadline_after(client_connect_patience_ns);
	struct endpoint *ep = &c->exchange.in.endpoint;
	uint32_t n_failed;

	do {
		if (endpoint_has_news(ep))
			subscriber_look_at_news(&c->exchange.in);
		pthread_mutex_lock(&ep->node->lock);
		n_failed = c->exchange.n_failed;
		pthread_mutex_unlock(&ep->node->lock);
	} while (n_failed + c->exchange.n_connected < n && endpoint_sleep(ep, deadline) == 0);
}

static int open_once(struct zcp_client **client, struct zcp_node *node, struct wire_endpoint_open *message,
		     const struct zcp_client_options *o)
{
	struct zcp_client *c = allocate(node, message, o);
	uint32_t n_servers;
	int r;

	if (!c)
		return error_note(-ENOMEM, "no memory for a client");
	r = subscriber_open(&c->exchange.in, message, &n_servers);
	if (r < 0) {
		exchange_close(&c->exchange);
		subscriber_deinit(&c->exchange.in);
		free_tables(c);
		free(c);
		return r;
	}
	await_servers(c, n_servers);
	*client = c;
	return 0;
}

int zcp_client_open(struct zcp_client **client, struct zcp_node *node, const struct zcp_topic *topic,
		    const struct zcp_client_options *options)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	struct wire_endpoint_open message;
	struct zcp_client_options o;
	int r;

	*client = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&message, topic, &o, options);
	if (r < 0)
		return r;
	do {
		r = open_once(client, node, &message, &o);
	} while (r == -ENOTCONN && node_await_joined(node, deadline));
	return r;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

void zcp_client_close(struct zcp_client *client)
{
	struct zcp_client *c = client;
	struct zcp_node *node;

	if (!c)
		return;
	exchange_close(&c->exchange);
	if (forked_since(c->exchange.in.endpoint.fork_generation)) {
		subscriber_close(&c->exchange.in);
		return;
	}
	node = c->exchange.in.endpoint.node;
	if (c->ticking) {
		pthread_mutex_lock(&node->lock);
		node->n_ticking--;
		pthread_mutex_unlock(&node->lock);
	}
	for (; c->n_kept; c->n_kept--) {
		zcp_response_release(&c->kept[c->first_kept]);
		c->first_kept = (c->first_kept + 1) % c->kept_room;
	}
	free_tables(c);
	/* responses still held keep the struct, which their last release frees */
	if (subscriber_close(&c->exchange.in))
		subscriber_free(&c->exchange.in);
}
