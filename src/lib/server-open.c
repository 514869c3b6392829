/* SPDX-License-Identifier: MIT */
/*
 * server-open.c - open and close a server
 *
 * A server is a subscriber that the router introduces to clients. What a channel back to one of them shall be like is planned
 * when the server opens, so that impossible options are refused there, and not when the first client comes.
 */
#include "lib/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "lib/error.h"
#include "lib/options.h"

#define DEFAULT_PAYLOAD_MAX 4096
#define DEFAULT_MAX_HELD 16
#define DEFAULT_MAX_CLIENTS 64
#define DEFAULT_MAX_LOANS 8
#define LEAST_DEPTH 64

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int check_options(struct zcp_server_options *o)
{
	if (!o->payload_max)
		o->payload_max = o->response_type.size ? o->response_type.size : DEFAULT_PAYLOAD_MAX;
	if (!o->max_held)
		o->max_held = DEFAULT_MAX_HELD;
	if (!o->max_clients)
		o->max_clients = DEFAULT_MAX_CLIENTS;
	if (!o->max_loans)
		o->max_loans = DEFAULT_MAX_LOANS;
	if (o->max_held > HELD_MAX)
		return error_set(-EINVAL, "max_held is %u; at most %u requests can be held", o->max_held, HELD_MAX);
	if (o->max_clients > LANES_MAX)
		return error_set(-EINVAL, "max_clients is %u; at most %u are possible", o->max_clients, LANES_MAX);
	if (o->payload_max < o->response_type.size)
		return error_set(-EINVAL, "payload_max %zu is smaller than response_type.size %zu", o->payload_max, o->response_type.size);
	if (o->timeout < -1)
		return error_set(-EINVAL, "timeout is %lld; use -1 to wait for ever", (long long)o->timeout);
	return options_reserved(o->reserved0, sizeof(o->reserved0), "zcp_server_options");
}

/* What a channel to a client shall be like; seen now to be possible, and not when the first one comes. */
static int plan(struct geometry_request *wish, const struct zcp_server_options *o)
{
	struct channel_geometry geometry;
	const char *why;
	int r;

	*wish = (struct geometry_request){
		.payload_max = o->payload_max,
		.depth = o->depth,
		.max_lanes = 1,
		.max_loans = o->max_loans,
		.alignment = (uint32_t)o->response_type.alignment,
		.header_bytes = sizeof(struct call_header),
	};
	r = geometry_plan(&geometry, wish, &why);
	if (r < 0)
		return error_set(r, "%s", why);
	wish->depth = o->depth || geometry.depth > LEAST_DEPTH ? geometry.depth : LEAST_DEPTH;
	return 0;
}

static int prepare(struct wire_endpoint_open *message, struct geometry_request *wish, const struct zcp_topic *topic,
		   struct zcp_server_options *o, const void *options)
{
	int r;

	memset(message, 0, sizeof(*message));
	r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_server_options");
	if (r == 0)
		r = options_topic(&message->topic, topic);
	if (r == 0)
		r = options_type(&message->type, &o->request_type);
	if (r == 0)
		r = options_type(&message->peer_type, &o->response_type);
	if (r == 0)
		r = check_options(o);
	if (r == 0)
		r = plan(wish, o);
	message->kind = WIRE_SUBSCRIBER;
	message->role = WIRE_ROLE_REQUEST;
	message->flags = o->load_balanced ? WIRE_ENDPOINT_SHARED : 0;
	message->max_held = o->max_held;
	message->n_lanes = o->max_clients;
	return r;
}

static void close_endpoint(struct endpoint *ep)
{
	struct zcp_server *s = (struct zcp_server *)(void *)ep;

	if (!s->exchange.in.closed)
		zcp_server_close(s);
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
	.tick = subscriber_tick,
};

static const struct subscriber_hooks hooks = { NULL, exchange_looked, exchange_drained, NULL };

static int open_once(struct zcp_server **server, struct zcp_node *node, struct wire_endpoint_open *message,
		     const struct geometry_request *wish, const struct zcp_server_options *o)
{
	struct zcp_server *s = calloc(1, sizeof(*s) + o->max_held * sizeof(s->asked[0]));
	uint32_t n_clients;
	int r;

	if (!s || exchange_init(&s->exchange, node, &operations, &hooks, o->max_held, o->max_clients) < 0) {
		free(s);
		return error_note(-ENOMEM, "no memory for a server");
	}
	s->exchange.wish = *wish;
	s->exchange.role = WIRE_ROLE_RESPONSE;
	s->exchange.topic = message->topic;
	s->exchange.timeout_ns = o->timeout;
	r = subscriber_open(&s->exchange.in, message, &n_clients);
	if (r < 0) {
		exchange_close(&s->exchange);
		subscriber_deinit(&s->exchange.in);
		free(s);
		return r;
	}
	*server = s;
	return 0;
}

int zcp_server_open(struct zcp_server **server, struct zcp_node *node, const struct zcp_topic *topic,
		    const struct zcp_server_options *options)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	struct wire_endpoint_open message;
	struct zcp_server_options o;
	struct geometry_request wish;
	int r;

	*server = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&message, &wish, topic, &o, options);
	if (r < 0)
		return r;
	do {
		r = open_once(server, node, &message, &wish, &o);
	} while (r == -ENOTCONN && node_await_joined(node, deadline));
	return r;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

void zcp_server_close(struct zcp_server *server)
{
	struct zcp_server *s = server;

	if (!s)
		return;
	if (!forked_since(s->exchange.in.endpoint.fork_generation)) {
		for (uint32_t k = 0; k < s->exchange.in.max_held; k++)
			s->asked[k].by = NULL;
	}
	exchange_close(&s->exchange);
	/* requests still held keep the struct, which their last release frees */
	if (subscriber_close(&s->exchange.in))
		subscriber_free(&s->exchange.in);
}
