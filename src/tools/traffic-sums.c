/* SPDX-License-Identifier: MIT */
/*
 * traffic-sums.c - sums and states: the third step of a look
 *
 * From connections to endpoints to topics. A state is the worst of what it is made of, in the order of enum traffic_state; a topic has
 * the worst of its endpoints.
 */
#include "tools/traffic-steps.h"

#include <errno.h>
#include <stdlib.h>

#define LAGGING 0.75		/* of a queue */

static enum traffic_kind kind_of(const struct directory_endpoint *row)
{
	return row->role == WIRE_ROLE_EVENT ? TRAFFIC_EVENTS :
	       row->role == WIRE_ROLE_REQUEST || row->role == WIRE_ROLE_RESPONSE ? TRAFFIC_CALL : TRAFFIC_DATA;
}

/* ---- sums and states --------------------------------------------------------------------------------------------- */

static void worsen(enum traffic_state *state, enum traffic_state other)
{
	if (other < *state)
		*state = other;
}

static enum traffic_state state_of_connection(const struct traffic_connection *c)
{
	if (c->skips)
		return TRAFFIC_OK;
	if (c->lost_now || c->overrun)
		return TRAFFIC_LOSING;
	return c->fill >= LAGGING ? TRAFFIC_LAGGING : TRAFFIC_OK;
}

/* A reliable publisher with a lane that is as far behind as it can be. */
static bool is_blocked(const struct traffic_endpoint *e)
{
	if (!(e->sight->flags & CHANNEL_RELIABLE) || e->rate > 0)
		return false;
	for (const struct traffic_connection *c = e->connections; c; c = c->next_of_publisher)
		if (c->known && !(c->match->flags & WIRE_MATCH_LOSSY) && c->lag >= e->sight->geometry.ring_slots)
			return true;
	return false;
}

static enum traffic_state state_of_endpoint(const struct traffic_endpoint *e)
{
	enum traffic_state state = traffic_is_publisher(e) && e->rate <= 0 ? TRAFFIC_IDLE : TRAFFIC_OK;

	if (e->node->flags & DIRECTORY_NODE_UNRESPONSIVE)
		worsen(&state, TRAFFIC_UNRESPONSIVE);
	if (e->silent_ns)
		worsen(&state, TRAFFIC_SILENT);
	if (!traffic_is_mapped(e)) {
		enum sight_state seen = e->sight ? e->sight->state : SIGHT_WANTED;

		worsen(&state, seen == SIGHT_BROKEN ? TRAFFIC_BROKEN : seen == SIGHT_PRIVATE ? TRAFFIC_PRIVATE : TRAFFIC_UNSEEN);
		return state;
	}
	if (traffic_is_publisher(e)) {
		if (e->failed_now)
			worsen(&state, TRAFFIC_DRY);
		if (is_blocked(e))
			worsen(&state, TRAFFIC_BLOCKED);
		return state;
	}
	for (const struct traffic_connection *c = e->connections; c; c = c->next_of_subscriber)
		worsen(&state, state_of_connection(c));
	return state;
}

static void add_up_endpoint(struct traffic_endpoint *e)
{
	const struct traffic_connection *c = e->connections;

	for (; c; c = traffic_next_connection(e, c)) {
		e->received += c->received;
		e->lost += c->lost;
		e->overrun += c->skips ? 0 : c->overrun;
		e->malformed += c->malformed;
		e->n_held += c->n_held;
		if (!traffic_is_publisher(e))
			e->rate += c->received_rate;
		if (!c->skips && c->fill > e->fill)
			e->fill = c->fill;
	}
	e->state = state_of_endpoint(e);
}

/* Who gives and who takes: of a call that is who asks and who answers, not the channels between them. */
static void count_ends(struct traffic_topic *topic, const struct traffic_endpoint *e)
{
	bool gives = topic->kind == TRAFFIC_CALL ? e->row->role == WIRE_ROLE_RESPONSE : traffic_is_publisher(e);

	if (traffic_is_channel(e))
		return;
	if (gives)
		topic->n_publishers++;
	else
		topic->n_subscribers++;
}

static void add_to_topic(struct traffic_topic *topic, const struct traffic_endpoint *e)
{
	bool counts = topic->kind != TRAFFIC_CALL || e->row->role == WIRE_ROLE_REQUEST;

	count_ends(topic, e);
	worsen(&topic->state, e->state == TRAFFIC_IDLE ? TRAFFIC_OK : e->state);
	if (e->silent_ns > topic->silent_ns)
		topic->silent_ns = e->silent_ns;
	if (!traffic_is_publisher(e)) {
		topic->received += counts ? e->received : 0;
		topic->received_rate += counts ? e->rate : 0;
		topic->lost += e->lost;
		topic->overrun += e->overrun;
		topic->malformed += e->malformed;
		topic->n_held += e->n_held;
		return;
	}
	topic->published += counts ? e->published : 0;
	topic->rate += counts ? e->rate : 0;
	topic->byte_rate += e->byte_rate;
	topic->bytes_exact &= e->bytes_exact;
	topic->n_failed_loans += e->n_failed_loans;
	if (e->fill > topic->fill)
		topic->fill = e->fill;
	if (e->pool_use > topic->pool_use)
		topic->pool_use = e->pool_use;
	if (e->pool_high > topic->pool_high)
		topic->pool_high = e->pool_high;
}

static int compare_for_topics(const void *left, const void *right)
{
	const struct traffic_endpoint *a = *(struct traffic_endpoint *const *)left, *b = *(struct traffic_endpoint *const *)right;
	int r = snapshot_compare_topics(&a->row->topic, &b->row->topic);

	if (!r)
		r = (int)kind_of(a->row) - (int)kind_of(b->row);
	if (!r)
		r = (int)traffic_is_channel(a) - (int)traffic_is_channel(b);
	if (!r)
		r = (int)a->role - (int)b->role;
	return r ? r : a->row->id < b->row->id ? -1 : 1;
}

static void begin_topic(struct traffic *t, const struct traffic_endpoint *e)
{
	t->topics[t->n_topics++] = (struct traffic_topic){
		.name = &e->row->topic,
		.kind = kind_of(e->row),
		.state = TRAFFIC_OK,
		.bytes_exact = true,
		.pool_use = -1,
		.pool_high = -1,
	};
}

static int make_topics(struct traffic *t)
{
	struct traffic_endpoint **sorted = calloc(t->n_endpoints + 1, sizeof(struct traffic_endpoint *)), **at = NULL;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_endpoints; i++)
		sorted[i] = &t->endpoints[i];
	qsort(sorted, t->n_endpoints, sizeof(struct traffic_endpoint *), compare_for_topics);
	for (size_t i = 0; i < t->n_endpoints; i++) {
		struct traffic_endpoint *e = sorted[i];
		struct traffic_topic *topic = t->n_topics ? &t->topics[t->n_topics - 1] : NULL;

		if (!topic || topic->kind != kind_of(e->row) || snapshot_compare_topics(topic->name, &e->row->topic)) {
			begin_topic(t, e);
			topic = &t->topics[t->n_topics - 1];
			at = &topic->endpoints;
		}
		*at = e;
		at = &e->next;
		add_to_topic(topic, e);
	}
	for (size_t i = 0; i < t->n_topics; i++)
		if (t->topics[i].state == TRAFFIC_OK && t->topics[i].rate <= 0)
			t->topics[i].state = TRAFFIC_IDLE;
	free(sorted);
	return 0;
}

int traffic_add_up(struct traffic *t)
{
	for (size_t i = 0; i < t->n_endpoints; i++)
		add_up_endpoint(&t->endpoints[i]);
	return make_topics(t);
}
