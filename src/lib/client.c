/* SPDX-License-Identifier: MIT */
/*
 * client.c - asking
 *
 * A request is a message on the channel to one server, with an id in its user header. Which server: of those that are
 * connected the one with the fewest requests under way, and in turn where they are equal.
 */
#include "lib/client.h"

#include <errno.h>
#include <string.h>

#include "channel/loan.h"
#include "common/clock.h"
#include "common/probe.h"
#include "lib/error.h"

/* ---- which server ------------------------------------------------------------------------------------------------ */

static struct connection *choose(struct zcp_client *c)
{
	struct connection *best = NULL, *start = c->turn ? c->turn->mine : NULL, *at;

	if (likely(c->exchange.mine && !c->exchange.mine->mine))
		return exchange_is_usable(c->exchange.mine) ? c->exchange.mine : NULL;
	/* from behind the last one to the end of the list, then from its beginning */
	for (at = start; at; at = at->mine)
		if (exchange_is_usable(at) && (!best || at->n_requests < best->n_requests))
			best = at;
	for (at = c->exchange.mine; at && at != start; at = at->mine)
		if (exchange_is_usable(at) && (!best || at->n_requests < best->n_requests))
			best = at;
	c->turn = best;
	return best;
}

static __attribute__((cold)) int no_server(struct zcp_client *c, int error)
{
	struct endpoint *ep = &c->exchange.in.endpoint;
	char why[WIRE_TEXT_BYTES];

	pthread_mutex_lock(&ep->node->lock);
	memcpy(why, ep->refusal, sizeof(why));
	pthread_mutex_unlock(&ep->node->lock);
	return error_set(error, "no server is connected%s%s", *why ? "; one was refused: " : "; start one, or open the client with wait_for_server",
			 why);
}

/* Wait until there is one. */
static int await_server(struct zcp_client *c, uint64_t deadline, struct connection **connection)
{
	for (;;) {
		int r = client_enter(c);

		if (r < 0)
			return r;
		*connection = choose(c);
		if (*connection)
			return 0;
		if (!c->wait_for_server || node_is_lost(c->exchange.in.endpoint.node))
			return no_server(c, -ENOTCONN);
		if (endpoint_sleep(&c->exchange.in.endpoint, deadline) < 0)
			return no_server(c, -ETIMEDOUT);
	}
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static __attribute__((noinline, cold)) int explain(const struct connection *to, int r)
{
	const struct channel_writer *w = &to->out->writer;

	switch (r) {
	case -EMSGSIZE:
		return error_set(r, "the request is larger than its loan or than payload_max, which is %u bytes", w->geometry.payload_max);
	case -EAGAIN:
		return error_note(r, "the server takes no requests, and there is no room for more; try again later");
	case -ETIMEDOUT:
		return error_note(r, "the server took no requests, and there was no room for another one in time");
	case -ENOBUFS:
		if (w->n_loans >= w->max_loans)
			return error_set(r, "%u loans are open; send or discard one, or raise max_loans", w->n_loans);
		return error_note(r, "the server holds so many requests that no memory is left for another one");
	default:
		return r;
	}
}

/* What goes beside the payload; the entry in the table, unless it is one-way, into *pending. */
static int prepare(struct zcp_client *c, struct connection *to, uint64_t deadline, bool late_is_an_end, struct pending **pending)
{
	struct call_header header = { .deadline_ns = deadline == UINT64_MAX ? 0 : (int64_t)deadline };

	if (pending) {
		*pending = client_new_pending(c, to, late_is_an_end ? deadline : UINT64_MAX);
		if (unlikely(!*pending))
			return error_set(-ENOBUFS, "%u requests are under way; take their responses first, or open the client with a larger "
					 "max_pending", c->max_pending);
		header.id = (*pending)->id;
	} else {
		header.flags = CALL_ONE_WAY;
	}
	channel_writer_set_header(&to->out->writer, &header, sizeof(header));
	return 0;
}

static int finish(struct zcp_client *c, struct connection *to, struct pending *pending, int r)
{
	if (likely(r >= 0))
		return 0;
	if (pending)
		client_end_pending(c, pending);
	channel_writer_set_header(&to->out->writer, "", 0);
	return explain(to, r);
}

static inline void say_request(const struct zcp_client *c, const struct connection *to, const struct pending *pending, size_t size)
{
	PROBE(zcp, request, c->exchange.in.endpoint.id, to->peer, pending ? pending->id : UINT64_C(0), (uint64_t)size);
}

static uint64_t own_deadline(const struct zcp_client *c)
{
	return c->timeout_ns ? clock_now_ns() + (uint64_t)c->timeout_ns : UINT64_MAX;
}

static inline int send_until(struct zcp_client *client, const void *data, size_t size, uint64_t *request_id, uint64_t deadline)
{
	struct pending *pending = NULL;
	struct connection *to = choose(client);
	int r;

	if (unlikely(!to))
		return no_server(client, -ENOTCONN);
	r = prepare(client, to, deadline, true, request_id ? &pending : NULL);
	if (r < 0)
		return r;
	to->out->timeout_ns = 0;
	r = finish(client, to, pending, zcp_publisher_send(to->out, data, size));
	if (r == 0 && request_id)
		*request_id = pending->id;
	if (r == 0)
		say_request(client, to, pending, size);
	return r;
}

int zcp_client_send(struct zcp_client *client, const void *data, size_t size, uint64_t *request_id)
{
	int r = client_enter(client);

	return r < 0 ? r : send_until(client, data, size, request_id, own_deadline(client));
}

int zcp_client_send_timeout(struct zcp_client *client, const void *data, size_t size, uint64_t *request_id, int64_t timeout)
{
	int r = client_enter(client);

	return r < 0 ? r : send_until(client, data, size, request_id, deadline_after(timeout));
}

int zcp_client_forget(struct zcp_client *client, uint64_t request_id)
{
	struct pending *pending;
	int r = client_enter(client);

	if (r < 0)
		return r;
	pending = client_find_pending(client, request_id);
	if (!pending)
		return error_note(-ENOENT, "no such request is under way; it has ended, or was forgotten before");
	client_end_pending(client, pending);
	return 0;
}

int zcp_client_loan(struct zcp_client *client, size_t size, void **payload)
{
	struct connection *to;
	int r = client_enter(client);

	if (r < 0)
		return r;
	to = choose(client);
	if (unlikely(!to))
		return no_server(client, -ENOTCONN);
	to->out->timeout_ns = 0;
	r = zcp_publisher_loan(to->out, size, payload);
	return r < 0 ? explain(to, r) : r;
}

static struct connection *lender(const struct zcp_client *c, const void *payload)
{
	struct loan loan;

	for (struct connection *at = c->exchange.mine; at; at = at->mine)
		if (at->out->writer.n_loans && loan_find(&at->out->writer, payload, &loan) == 0)
			return at;
	return NULL;
}

static int not_lent(void)
{
	return error_note(-EINVAL, "this is no open loan of this client: sent or discarded before, or never loaned");
}

int zcp_client_discard(struct zcp_client *client, void *payload)
{
	struct connection *to;

	if (forked_since(client->exchange.in.endpoint.fork_generation))
		return error_forked();
	to = lender(client, payload);
	if (!to)
		return not_lent();
	client->exchange.to_sweep |= to->ended;
	return zcp_publisher_discard(to->out, payload);
}

int zcp_client_send_loan(struct zcp_client *client, void *payload, size_t size, uint64_t *request_id)
{
	struct pending *pending = NULL;
	struct connection *to;
	int r = client_enter(client);

	if (r < 0)
		return r;
	to = lender(client, payload);
	if (!to)
		return not_lent();
	if (!exchange_is_usable(to)) {
		zcp_client_discard(client, payload);
		return error_note(-EPIPE, "the server that this loan was for has ended");
	}
	r = prepare(client, to, own_deadline(client), true, request_id ? &pending : NULL);
	if (r < 0)
		return r;
	to->out->timeout_ns = 0;
	r = finish(client, to, pending, zcp_publisher_publish(to->out, payload, size));
	if (r == 0 && request_id)
		*request_id = pending->id;
	if (r == 0)
		say_request(client, to, pending, size);
	return r;
}

/* ---- calling ----------------------------------------------------------------------------------------------------- */

static int conclude(struct zcp_client *c, struct zcp_response *response, struct zcp_sample *sample)
{
	struct pending *p = client_find_pending(c, response->id);

	/* more is to come, and nobody will want it */
	if (p)
		client_end_pending(c, p);
	*sample = response->sample;
	switch (response->status) {
	case 0:
		return 0;
	case -EPIPE:
		return error_note(-EPIPE, "the server ended before it answered");
	case -ENODATA:
		return error_note(-ENODATA, "the server released the request without an answer");
	default:
		return error_system(response->status, "the server says");
	}
}

static int await_response(struct zcp_client *c, struct pending *pending, uint64_t deadline, struct zcp_sample *sample)
{
	uint64_t id = pending->id;
	struct zcp_response response;
	int r;

	for (;;) {
		r = client_enter(c);
		if (r == 0)
			r = client_take_new(c, &response);
		if (r == 0 && response.id == id)
			return conclude(c, &response, sample);
		if (r == 0) {
			client_keep(c, &response);
			continue;
		}
		if (r == -EAGAIN) {
			c->calling = true;
			r = client_wait_until(c, deadline);
			c->calling = false;
		}
		if (r < 0)
			break;
	}
	client_end_pending(c, pending);
	if (r == -ETIMEDOUT)
		return error_note(r, "the server did not answer in time");
	return r;
}

int zcp_client_call(struct zcp_client *client, const void *data, size_t size, struct zcp_sample *response, int64_t timeout)
{
	uint64_t deadline = deadline_after(timeout);
	struct pending *pending = NULL;
	struct connection *to;
	int r = await_server(client, deadline, &to);

	if (r < 0)
		return r;
	r = prepare(client, to, deadline, false, &pending);
	if (r < 0)
		return r;
	to->out->timeout_ns = timeout;
	r = finish(client, to, pending, zcp_publisher_send(to->out, data, size));
	if (r == 0)
		say_request(client, to, pending, size);
	return r < 0 ? r : await_response(client, pending, deadline, response);
}

/* ---- servers ----------------------------------------------------------------------------------------------------- */

int zcp_client_servers(struct zcp_client *client)
{
	int r = client_enter(client);

	return r < 0 ? r : (int)client->exchange.n_connected;
}

int zcp_client_connect(struct zcp_client *client, int servers, int64_t timeout)
{
	uint64_t deadline = deadline_after(timeout);

	for (;;) {
		int r = client_enter(client);

		if (r < 0)
			return r;
		if ((int64_t)client->exchange.n_connected >= servers)
			return (int)client->exchange.n_connected;
		if (node_is_lost(client->exchange.in.endpoint.node))
			return error_note(-ENOTCONN, "the router has removed this node: nobody can connect any more");
		if (endpoint_sleep(&client->exchange.in.endpoint, deadline) < 0)
			return no_server(client, -ETIMEDOUT);
	}
}

uint64_t zcp_client_id(const struct zcp_client *client)
{
	return client->exchange.in.endpoint.id;
}
