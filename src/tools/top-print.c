/* SPDX-License-Identifier: MIT */
/*
 * top-print.c - zcp top without a screen: a table as text, or all of it as JSON
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "tools/top.h"

/* ---- text -------------------------------------------------------------------------------------------------------- */

static int print_line(const struct top *top, const struct top_layout *layout, const struct traffic_topic *topic)
{
	char *line = top_line(layout, topic);
	bool red = topic && top->colour && traffic_wants_attention(topic->state);

	if (!line)
		return -ENOMEM;
	printf("%s%s%s\n", red ? "\033[1;31m" : "", line, red ? "\033[0m" : "");
	free(line);
	return 0;
}

int top_print_text(const struct top *top, int width)
{
	struct top_layout layout;
	int r;

	top_print_router(stdout, top);
	putchar('\n');
	top_lay_out(&layout, top, width);
	r = print_line(top, &layout, NULL);
	for (size_t i = 0; i < top->n_shown && r == 0; i++)
		r = print_line(top, &layout, top->shown[i]);
	return r;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* A stranger may have written anything; JSON's integers have a sign. */
static json_t *integer(uint64_t value)
{
	return json_integer(value < INT64_MAX ? (json_int_t)value : INT64_MAX);
}

static json_t *share(double value)
{
	return value < 0 ? json_null() : json_real(value);
}

static json_t *connection_json(const struct traffic_connection *c)
{
	json_t *json = json_pack("{s:o, s:o, s:b, s:b}", "publisher", integer(c->match->publisher), "subscriber", integer(c->match->subscriber),
				 "lossy", !!(c->match->flags & WIRE_MATCH_LOSSY), "visible", c->known);

	if (!c->known || c->publisher->row->role == WIRE_ROLE_EVENT)
		return json;
	json_object_set_new(json, "waiting", integer(c->lag));
	json_object_set_new(json, "queue_fill", json_real(c->fill));
	json_object_set_new(json, "received", integer(c->received));
	json_object_set_new(json, "received_per_second", json_real(c->received_rate));
	json_object_set_new(json, "lost", integer(c->lost));
	json_object_set_new(json, "overrun", integer(c->overrun));
	json_object_set_new(json, "malformed", integer(c->malformed));
	json_object_set_new(json, "held", json_integer(c->n_held));
	json_object_set_new(json, "newest_only", json_boolean(c->skips));
	return json;
}

static json_t *pools_json(const struct traffic_endpoint *e)
{
	json_t *pools = json_array();

	for (uint32_t i = 0; i < e->n_pools; i++) {
		const struct traffic_pool *p = &e->pool[i];

		json_array_append_new(pools, json_pack("{s:I, s:I, s:I, s:I}", "chunk_bytes", (json_int_t)p->chunk_bytes,
						       "chunks", (json_int_t)p->count, "in_use", (json_int_t)p->in_use,
						       "ever_used", (json_int_t)p->touched));
	}
	return pools;
}

static void add_numbers(json_t *json, const struct traffic_endpoint *e)
{
	if (e->row->kind == WIRE_PUBLISHER) {
		json_object_set_new(json, "published", integer(e->published));
		json_object_set_new(json, "messages_per_second", json_real(e->rate));
		json_object_set_new(json, "bytes_per_second", json_real(e->byte_rate));
		json_object_set_new(json, "bytes_estimated", json_boolean(!e->bytes_exact));
		json_object_set_new(json, "failed_loans", integer(e->n_failed_loans));
		json_object_set_new(json, "waited", json_boolean(e->waits));
		json_object_set_new(json, "pools", pools_json(e));
	} else {
		json_object_set_new(json, "received", integer(e->received));
		json_object_set_new(json, "received_per_second", json_real(e->rate));
		json_object_set_new(json, "lost", integer(e->lost));
		json_object_set_new(json, "overrun", integer(e->overrun));
		json_object_set_new(json, "held", json_integer(e->n_held));
	}
	json_object_set_new(json, "queue_fill", json_real(e->fill));
}

static json_t *endpoint_json(const struct traffic_endpoint *e)
{
	bool visible = e->sight && e->sight->state == SIGHT_MAPPED;
	json_t *json = json_pack("{s:o, s:s, s:o, s:s, s:I, s:I, s:s, s:b, s:b, s:f}", "id", integer(e->row->id), "kind", traffic_role_name(e),
				 "node", integer(e->row->node), "node_name", e->node->name, "pid", (json_int_t)e->node->pid,
				 "uid", (json_int_t)e->node->uid, "state", traffic_state_name(e->state),
				 "attention", traffic_wants_attention(e->state), "visible", visible,
				 "silent_s", (double)e->silent_ns / 1e9);

	if (visible)
		add_numbers(json, e);
	return json;
}

static void add_parts(json_t *json, const struct traffic_topic *topic)
{
	json_t *endpoints = json_array(), *connections = json_array();

	for (const struct traffic_endpoint *e = topic->endpoints; e; e = e->next) {
		json_array_append_new(endpoints, endpoint_json(e));
		for (const struct traffic_connection *c = e->row->kind == WIRE_PUBLISHER ? e->connections : NULL; c; c = c->next_of_publisher)
			json_array_append_new(connections, connection_json(c));
	}
	json_object_set_new(json, "endpoints", endpoints);
	json_object_set_new(json, "connections", connections);
}

static json_t *topic_json(const struct traffic_topic *t)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:i}", "kind", traffic_kind_name(t->kind), "service", t->name->service,
				 "instance", t->name->instance, "event", t->name->event, "state", traffic_state_name(t->state),
				 "attention", traffic_wants_attention(t->state), "publishers", (int)t->n_publishers,
				 "subscribers", (int)t->n_subscribers);

	json_object_set_new(json, "messages_per_second", json_real(t->rate));
	json_object_set_new(json, "bytes_per_second", json_real(t->byte_rate));
	json_object_set_new(json, "bytes_estimated", json_boolean(!t->bytes_exact));
	json_object_set_new(json, "received_per_second", json_real(t->received_rate));
	json_object_set_new(json, "published", integer(t->published));
	json_object_set_new(json, "received", integer(t->received));
	json_object_set_new(json, "lost", integer(t->lost));
	json_object_set_new(json, "overrun", integer(t->overrun));
	json_object_set_new(json, "malformed", integer(t->malformed));
	json_object_set_new(json, "failed_loans", integer(t->n_failed_loans));
	json_object_set_new(json, "queue_fill", json_real(t->fill));
	json_object_set_new(json, "pool_use", share(t->pool_use));
	json_object_set_new(json, "pool_high", share(t->pool_high));
	json_object_set_new(json, "held", integer(t->n_held));
	json_object_set_new(json, "silent_s", json_real((double)t->silent_ns / 1e9));
	add_parts(json, t);
	return json;
}

static json_t *router_json(const struct top *top)
{
	const struct directory_header *h = top->node->directory.header;
	uint64_t start = *(const volatile uint64_t *)&h->start_ns, now = top->traffic.now_ns;
	char version[sizeof(h->package_version) + 1] = { 0 };

	for (size_t i = 0; i < sizeof(h->package_version); i++)
		version[i] = *(const volatile char *)&h->package_version[i];
	return json_pack("{s:b, s:s, s:I, s:o, s:I, s:I, s:o}", "reachable", node_is_joined(top->node), "version", version,
			 "pid", (json_int_t) * (const volatile uint32_t *)&h->router_pid, "uptime_ns", integer(now > start ? now - start : 0),
			 "nodes", (json_int_t)top->traffic.n_nodes, "endpoints", (json_int_t)top->traffic.n_endpoints,
			 "segment_bytes", integer(atomic_load_explicit(&h->segment_bytes_total, memory_order_relaxed)));
}

int top_print_json(const struct top *top, bool indent)
{
	const struct traffic *t = &top->traffic;
	json_t *topics = json_array(), *root;
	int r;

	for (size_t i = 0; i < top->n_shown; i++)
		json_array_append_new(topics, topic_json(top->shown[i]));
	root = json_pack("{s:o, s:f, s:o}", "router", router_json(top), "interval_s",
			 t->last_ns ? (double)(t->now_ns - t->last_ns) / 1e9 : 0, "topics", topics);
	r = root ? json_dumpf(root, stdout, indent ? JSON_INDENT(2) : JSON_COMPACT) : -1;
	putchar('\n');
	json_decref(root);
	return r < 0 && !ferror(stdout) ? -ENOMEM : 0;
}
