/* SPDX-License-Identifier: MIT */
/*
 * connection.c - opening channels to clients and servers without waiting for the answers
 *
 * All of it runs in the node's thread, under the node's lock: the router introduces the two ends, each asks for its
 * channel, and the answers come here as calls. A failure is left in the connection for the owner, who frees it.
 */
#include "lib/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"

static void failed(struct connection *c, int error)
{
	struct endpoint *ep = &c->exchange->in.endpoint;

	c->state = CONNECTION_FAILED;
	c->exchange->n_failed++;
	/* that the other end left meanwhile, or the router, is no news to tell anybody */
	if (error != -ESRCH && error != -ENOTCONN) {
		ep->refusal_error = error;
		if (c->request.answer.header.type == WIRE_ERROR)
			memcpy(ep->refusal, c->request.answer.error.text, sizeof(ep->refusal));
		else
			memcpy(ep->refusal, zcp_last_error(), strnlen(zcp_last_error(), sizeof(ep->refusal) - 1) + 1);
		ep->refusal[sizeof(ep->refusal) - 1] = 0;
	}
	endpoint_news(ep);
}

/* The segment is here: prepare it and say so. */
static int set_up(struct connection *c)
{
	struct endpoint *ep = &c->out->endpoint;
	struct wire_segment_mapped mapped;
	int r = endpoint_take(ep, &c->request);

	if (r == 0)
		r = publisher_set_up(c->out, &ep->open->geometry, true, publisher_stamp(ep->node));
	if (r == 0)
		r = endpoint_enter(ep);
	if (r < 0)
		return r;
	c->state = CONNECTION_MAPPED;
	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 0);
	mapped.segment = c->request.answer.endpoint_opened.segment;
	control_ask(ep->node, &c->request, &mapped.header, WIRE_ENDPOINT_READY);
	return 0;
}

static void answered(struct zcp_node *node, struct request *request)
{
	struct connection *c = (struct connection *)(void *)((char *)request - offsetof(struct connection, request));
	int r = request->error;

	(void)node;
	if (c->state == CONNECTION_ASKED) {
		if (r == 0)
			r = set_up(c);
		if (r < 0) {
			channel_writer_deinit(&c->out->writer);
			endpoint_forget(&c->out->endpoint, request);
			failed(c, r);
		}
		return;
	}
	if (r < 0) {
		failed(c, r);
		return;
	}
	c->state = CONNECTION_READY;
	/* matches may have come and gone between READY and the owner's first look */
	atomic_store_explicit(&c->out->endpoint.news, true, memory_order_relaxed);
	endpoint_news(&c->exchange->in.endpoint);
}

static int ask(struct connection *c, uint32_t max_held)
{
	struct exchange *ex = c->exchange;
	struct geometry_request wish = ex->wish;
	struct wire_endpoint_open open;
	const char *why;
	int r;

	memset(&open, 0, sizeof(open));
	open.kind = WIRE_PUBLISHER;
	open.flags = WIRE_ENDPOINT_RELIABLE;
	open.role = ex->role;
	open.to = c->peer;
	open.from = ex->in.endpoint.id;
	open.topic = ex->topic;
	wish.held_budget = max_held < HELD_MAX ? max_held : HELD_MAX;
	r = geometry_plan(&open.geometry, &wish, &why);
	if (r < 0)
		return error_set(r, "%s", why);
	c->out->endpoint.segment_bytes = open.geometry.segment_bytes;
	r = endpoint_begin(&c->out->endpoint, &open);
	if (r == 0)
		control_ask(c->out->endpoint.node, &c->request, &open.header, WIRE_ENDPOINT_OPENED);
	return r;
}

static bool is_known(const struct exchange *ex, uint64_t peer)
{
	for (const struct connection *c = ex->all; c; c = c->next)
		if (c->peer == peer && c->state != CONNECTION_FAILED)
			return true;
	return false;
}

void exchange_introduced(struct endpoint *ep, const struct wire_peer_added *m)
{
	struct exchange *ex = (struct exchange *)(void *)ep;
	struct connection *c, **end = &ex->all;
	int r;

	/* a router that was restarted introduces those anew that know each other */
	if (ep->closing || is_known(ex, m->peer))
		return;
	c = calloc(1, sizeof(*c));
	if (c)
		c->out = publisher_new(ep->node, ep, true, ex->timeout_ns);
	if (!c || !c->out) {
		free(c);
		ex->n_failed++;
		endpoint_news(ep);
		return;
	}
	c->exchange = ex;
	c->peer = m->peer;
	c->request = (struct request){ .fds = { -1, -1 }, .answered = answered };
	while (*end)
		end = &(*end)->next;
	*end = c;
	r = ask(c, m->max_held);
	if (r < 0)
		failed(c, r);
}
