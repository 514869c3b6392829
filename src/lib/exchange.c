/* SPDX-License-Identifier: MIT */
/*
 * exchange.c - connections as their owner sees them: taken into use, ended, freed
 *
 * See exchange.h for their life, connection.c for how they come.
 */
#include "lib/exchange.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "lib/error.h"

#define READY_PATIENCE_NS 5000000000ll

int exchange_init(struct exchange *ex, struct zcp_node *node, const struct endpoint_operations *operations,
		  const struct subscriber_hooks *hooks, uint32_t max_held, uint32_t max_peers)
{
	ex->in.endpoint.node = node;
	ex->in.endpoint.operations = operations;
	ex->in.hooks = hooks;
	return subscriber_init(&ex->in, max_held, max_peers, 0);
}

/* A stranger's lane would be one that no connection belongs to; the router does not make such, but it may have been restarted. */
struct match *exchange_writer_added(struct endpoint *ep, const union wire_message *message, int fds[WIRE_FDS_MAX], int error)
{
	return lane_writer_added(ep, message, fds, message->writer_added.from ? error : -EPROTO);
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static void end_connection(struct exchange *ex, struct connection *c)
{
	if (c->ended)
		return;
	c->ended = ex->to_sweep = true;
	if (ex->ended)
		ex->ended(ex, c);
}

static struct connection *find(const struct exchange *ex, uint64_t peer)
{
	for (struct connection *c = ex->mine; c; c = c->mine)
		if (c->peer == peer && !c->ended && !c->is_failed)
			return c;
	return NULL;
}

/* What the node's thread has done since we looked last. Under lock. */
static void adopt(struct exchange *ex)
{
	for (struct connection *c = ex->all; c; c = c->next) {
		if (!c->is_mine) {
			c->is_mine = true;
			c->mine = ex->mine;
			ex->mine = c;
		}
		c->is_ready = c->state == CONNECTION_READY;
		c->is_failed = c->state == CONNECTION_FAILED;
		if (c->is_failed)
			ex->to_sweep = true;
	}
	for (uint32_t i = 0; i < ex->in.n_lanes; i++) {
		struct lane *lane = ex->in.lane[i];

		if (lane->connection)
			continue;
		lane->connection = find(ex, lane->from);
		if (lane->connection)
			lane->connection->has_lane = true;
	}
}

static void look_at(struct exchange *ex, struct connection *c)
{
	const struct channel_writer *w = &c->out->writer;
	bool is_mute;

	if (c->ended || !c->is_ready)
		return;
	if (endpoint_has_news(&c->out->endpoint))
		publisher_look_at_news(c->out);
	pthread_mutex_lock(&ex->in.endpoint.node->lock);
	is_mute = c->out->endpoint.unusable;
	pthread_mutex_unlock(&ex->in.endpoint.node->lock);
	/*
	 * Nobody reads, and nobody will. A lane has its own end, behind what is still in it; unless it is we who could not take the
	 * reader into use: then the other end waits for what we cannot say, and closing is what tells it.
	 */
	if (!w->n_lanes && !w->n_expected && (!c->has_lane || is_mute))
		end_connection(ex, c);
}

void exchange_looked(struct zcp_subscriber *s)
{
	struct exchange *ex = (struct exchange *)(void *)s;
	uint32_t n = 0;

	pthread_mutex_lock(&s->endpoint.node->lock);
	adopt(ex);
	pthread_mutex_unlock(&s->endpoint.node->lock);
	for (struct connection *c = ex->mine; c; c = c->mine) {
		look_at(ex, c);
		n += exchange_is_usable(c);
	}
	ex->n_connected = n;
	if (ex->to_sweep)
		exchange_sweep(ex);
}

void exchange_drained(struct zcp_subscriber *s, struct lane *lane)
{
	struct exchange *ex = (struct exchange *)(void *)s;
	struct connection *c = lane->connection;

	if (!c)
		return;
	ex->n_connected -= exchange_is_usable(c);
	c->has_lane = false;
	end_connection(ex, c);
}

bool exchange_is_usable(const struct connection *c)
{
	return c->is_ready && c->has_lane && !c->ended && c->out->writer.n_lanes;
}

bool exchange_await_ready(struct exchange *ex, struct connection *c)
{
	uint64_t deadline = deadline_after(READY_PATIENCE_NS);

	while (!c->is_ready && !c->ended && !c->is_failed) {
		if (endpoint_has_news(&ex->in.endpoint))
			subscriber_look_at_news(&ex->in);
		else if (endpoint_sleep(&ex->in.endpoint, deadline) < 0)
			break;
	}
	return c->is_ready && !c->ended;
}

bool exchange_await_reader(struct connection *c)
{
	uint64_t deadline = deadline_after(READY_PATIENCE_NS);
	const struct channel_writer *w = &c->out->writer;

	while (!w->n_lanes && w->n_expected && !c->ended) {
		if (endpoint_has_news(&c->out->endpoint))
			publisher_look_at_news(c->out);
		else if (endpoint_sleep(&c->out->endpoint, deadline) < 0)
			break;
	}
	return w->n_lanes;
}

/* ---- freeing ----------------------------------------------------------------------------------------------------- */

static void free_connection(struct exchange *ex, struct connection *c)
{
	struct zcp_subscriber *s = &ex->in;

	/* samples that are still held keep their lane, and the lane the pointer */
	for (uint32_t i = 0; i < s->n_lanes; i++)
		if (s->lane[i]->connection == c)
			s->lane[i]->connection = NULL;
	for (uint32_t k = 0; k < s->max_held; k++)
		if (s->held[k].generation & 1 && s->held[k].lane->connection == c)
			s->held[k].lane->connection = NULL;
	if (c->out->endpoint.segment) {
		zcp_publisher_close(c->out);
	} else {
		free(c->out->endpoint.open);
		publisher_free(c->out);
	}
	free(c);
}

static bool is_over(const struct connection *c)
{
	return (c->ended || c->is_failed) && !c->n_requests && !c->out->writer.n_loans;
}

static void unlink_connection(struct exchange *ex, struct connection *c)
{
	struct connection **at = &ex->all;

	pthread_mutex_lock(&ex->in.endpoint.node->lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	/* the other end may be gone before the router has answered us about it */
	control_forget(ex->in.endpoint.node, &c->request);
	pthread_mutex_unlock(&ex->in.endpoint.node->lock);
}

void exchange_sweep(struct exchange *ex)
{
	struct connection **at = &ex->mine;

	ex->to_sweep = false;
	while (*at) {
		struct connection *c = *at;

		if (!is_over(c)) {
			at = &c->mine;
			continue;
		}
		*at = c->mine;
		unlink_connection(ex, c);
		free_connection(ex, c);
	}
}

void exchange_close(struct exchange *ex)
{
	struct zcp_node *node = ex->in.endpoint.node;
	struct connection *c, *next;

	if (forked_since(ex->in.endpoint.fork_generation)) {
		for (c = ex->all; c; c = c->next)
			endpoint_close_fds(&c->out->endpoint);
		return;
	}
	pthread_mutex_lock(&node->lock);
	ex->in.endpoint.closing = true;
	for (c = ex->all; c; c = c->next)
		control_forget(node, &c->request);
	c = ex->all;
	ex->all = ex->mine = NULL;
	pthread_mutex_unlock(&node->lock);
	for (; c; c = next) {
		next = c->next;
		free_connection(ex, c);
	}
}
