/* SPDX-License-Identifier: MIT */
/*
 * traffic.c - see traffic.h
 *
 * The steps of a look, in this order: rows of the directory, here; what their segments say (traffic-read.c); sums and states
 * (traffic-sums.c).
 */
#include "tools/traffic-steps.h"

#include <errno.h>
#include <stdlib.h>

#include "tools/tool.h"

const char *traffic_state_name(enum traffic_state state)
{
	static const char *const names[] = {
		[TRAFFIC_UNRESPONSIVE] = "unresponsive", [TRAFFIC_BROKEN] = "broken", [TRAFFIC_DRY] = "dry", [TRAFFIC_LOSING] = "losing",
		[TRAFFIC_BLOCKED] = "blocked", [TRAFFIC_LAGGING] = "lagging", [TRAFFIC_SILENT] = "silent", [TRAFFIC_PRIVATE] = "private",
		[TRAFFIC_UNSEEN] = "unseen", [TRAFFIC_OK] = "ok", [TRAFFIC_IDLE] = "idle",
	};

	return names[state];
}

const char *traffic_kind_name(enum traffic_kind kind)
{
	return kind == TRAFFIC_CALL ? "call" : kind == TRAFFIC_EVENTS ? "events" : "data";
}

const char *traffic_role_name(const struct traffic_endpoint *endpoint)
{
	if (traffic_is_channel(endpoint))
		return endpoint->row->role == WIRE_ROLE_REQUEST ? "requests" : "responses";
	return tool_role_name(endpoint->role);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static int compare_id(const void *key, const void *row)
{
	uint64_t a = *(const uint64_t *)key, b = ((const struct directory_row *)row)->id;

	return a < b ? -1 : a > b;
}

static const struct directory_node *find_node(const struct traffic *t, uint64_t id)
{
	return t->rows.n_nodes ? bsearch(&id, t->rows.nodes, t->rows.n_nodes, sizeof(*t->rows.nodes), compare_id) : NULL;
}

static int compare_endpoint_id(const void *key, const void *endpoint)
{
	return compare_id(key, ((const struct traffic_endpoint *)endpoint)->row);
}

static struct traffic_endpoint *find_endpoint(const struct traffic *t, uint64_t id)
{
	return t->n_endpoints ? bsearch(&id, t->endpoints, t->n_endpoints, sizeof(*t->endpoints), compare_endpoint_id) : NULL;
}

static void fill_endpoints(struct traffic *t)
{
	uint64_t own = zcp_node_id(t->sights->node);

	t->n_nodes = t->rows.n_nodes - (find_node(t, own) != NULL);
	for (size_t i = 0; i < t->rows.n_endpoints; i++) {
		struct directory_endpoint *row = &t->rows.endpoints[i];
		struct traffic_endpoint *e = &t->endpoints[t->n_endpoints];
		const struct directory_node *node = row->node == own ? NULL : find_node(t, row->node);

		if (!node)
			continue;
		*e = (struct traffic_endpoint){ .row = row, .node = node, .role = snapshot_role(row), .pool_use = -1, .pool_high = -1 };
		e->sight = sights_find(t->sights, row->id);
		if (node->silent_since_ns && t->now_ns > node->silent_since_ns)
			e->silent_ns = t->now_ns - node->silent_since_ns;
		t->n_endpoints++;
	}
}

static void fill_connections(struct traffic *t)
{
	for (size_t i = 0; i < t->rows.n_matches; i++) {
		const struct directory_match *match = &t->rows.matches[i];
		struct traffic_endpoint *publisher = find_endpoint(t, match->publisher), *subscriber = find_endpoint(t, match->subscriber);
		struct traffic_connection *c = &t->connections[t->n_connections];

		if (!publisher || !subscriber || !traffic_is_publisher(publisher) || traffic_is_publisher(subscriber))
			continue;
		*c = (struct traffic_connection){ .match = match, .publisher = publisher, .subscriber = subscriber };
		c->next_of_publisher = publisher->connections;
		publisher->connections = c;
		c->next_of_subscriber = subscriber->connections;
		subscriber->connections = c;
		t->n_connections++;
	}
}

/* ---- a look ------------------------------------------------------------------------------------------------------ */

static void clear(struct traffic *t)
{
	snapshot_deinit(&t->rows);
	free(t->topics);
	free(t->endpoints);
	free(t->connections);
	t->topics = NULL;
	t->endpoints = NULL;
	t->connections = NULL;
	t->n_topics = t->n_endpoints = t->n_connections = t->n_nodes = 0;
}

static int allocate(struct traffic *t)
{
	t->endpoints = calloc(t->rows.n_endpoints + 1, sizeof(*t->endpoints));
	t->topics = calloc(t->rows.n_endpoints + 1, sizeof(*t->topics));
	t->connections = calloc(t->rows.n_matches + 1, sizeof(*t->connections));
	return t->endpoints && t->topics && t->connections ? 0 : -ENOMEM;
}

int traffic_look(struct traffic *traffic, uint64_t now_ns)
{
	struct traffic *t = traffic;
	struct snapshot rows;
	int r = snapshot_take_rows(&rows, &t->sights->node->directory);

	if (r < 0)
		return r;
	clear(t);
	t->rows = rows;
	t->last_ns = t->now_ns;
	t->now_ns = now_ns;
	r = sights_update(t->sights, &t->rows);
	if (r == 0)
		r = allocate(t);
	if (r == 0) {
		fill_endpoints(t);
		fill_connections(t);
		traffic_read_segments(t);
		r = traffic_add_up(t);
		traffic_forget_past(t, false);
	}
	if (r < 0)
		clear(t);
	return r;
}

void traffic_deinit(struct traffic *traffic)
{
	clear(traffic);
	traffic_forget_past(traffic, true);
}
