/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - see snapshot.h
 */
#include "tools/snapshot.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A row that the router changes just now is looked at again; one that keeps changing is left out. */
#define ROW_TRIES 16

typedef int (*row_reader)(const struct directory_view *, uint32_t, void *);

static int read_node(const struct directory_view *view, uint32_t index, void *out)
{
	return directory_read_node(view, index, out);
}

static int read_endpoint(const struct directory_view *view, uint32_t index, void *out)
{
	return directory_read_endpoint(view, index, out);
}

static int read_match(const struct directory_view *view, uint32_t index, void *out)
{
	return directory_read_match(view, index, out);
}

static int read_table(const struct directory_view *view, uint32_t max_rows, row_reader reader, size_t row_bytes,
		      void **rows, size_t *n_rows)
{
	char *table = NULL;
	size_t n = 0, room = 0;

	for (uint32_t i = 0; i < max_rows; i++) {
		int r, tries = 0;

		if (n == room) {
			char *larger = reallocarray(table, room = room * 2 + 64, row_bytes);

			if (!larger) {
				free(table);
				return -ENOMEM;
			}
			table = larger;
		}
		while ((r = reader(view, i, table + n * row_bytes)) == -EAGAIN && ++tries < ROW_TRIES)
			sched_yield();
		if (r == 1)
			n++;
	}
	*rows = table;
	*n_rows = n;
	return 0;
}

static int compare_ids(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int snapshot_compare_topics(const struct wire_topic *a, const struct wire_topic *b)
{
	int r = strcmp(a->service, b->service);

	if (!r)
		r = strcmp(a->instance, b->instance);
	return r ? r : strcmp(a->event, b->event);
}

enum zcp_role snapshot_role(const struct directory_endpoint *endpoint)
{
	if (endpoint->role == WIRE_ROLE_EVENT)
		return endpoint->kind == WIRE_PUBLISHER ? ZCP_NOTIFIER : ZCP_LISTENER;
	if (endpoint->kind == WIRE_PUBLISHER)
		return ZCP_PUBLISHER;
	return endpoint->role == WIRE_ROLE_REQUEST ? ZCP_SERVER : endpoint->role == WIRE_ROLE_RESPONSE ? ZCP_CLIENT : ZCP_SUBSCRIBER;
}

static int compare_nodes(const void *left, const void *right)
{
	const struct directory_node *a = left, *b = right;
	int r = strcmp(a->name, b->name);

	return r ? r : compare_ids(a->id, b->id);
}

static int compare_endpoints(const void *left, const void *right)
{
	const struct directory_endpoint *a = left, *b = right;
	int r = snapshot_compare_topics(&a->topic, &b->topic);

	if (!r)
		r = compare_ids(snapshot_role(a), snapshot_role(b));
	return r ? r : compare_ids(a->id, b->id);
}

static int compare_matches(const void *left, const void *right)
{
	const struct directory_match *a = left, *b = right;
	int r = compare_ids(a->publisher, b->publisher);

	return r ? r : compare_ids(a->subscriber, b->subscriber);
}

/* Names end in their field, whatever the router wrote. */
static void terminate(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_nodes; i++)
		s->nodes[i].name[WIRE_NAME_BYTES - 1] = 0;
	for (size_t i = 0; i < s->n_endpoints; i++) {
		struct directory_endpoint *e = &s->endpoints[i];

		e->topic.service[WIRE_NAME_BYTES - 1] = 0;
		e->topic.instance[WIRE_NAME_BYTES - 1] = 0;
		e->topic.event[WIRE_NAME_BYTES - 1] = 0;
		e->type.name[WIRE_NAME_BYTES - 1] = 0;
	}
}

/* Drop the node that looks, endpoints without a node and matches without both ends. */
static void prune(struct snapshot *s, uint64_t except)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_nodes; i++) {
		if (s->nodes[i].id != except)
			s->nodes[n++] = s->nodes[i];
	}
	s->n_nodes = n;

	n = 0;
	for (size_t i = 0; i < s->n_endpoints; i++) {
		if (snapshot_node(s, s->endpoints[i].node))
			s->endpoints[n++] = s->endpoints[i];
	}
	s->n_endpoints = n;

	n = 0;
	for (size_t i = 0; i < s->n_matches; i++) {
		if (snapshot_endpoint(s, s->matches[i].publisher) &&
		    snapshot_endpoint(s, s->matches[i].subscriber))
			s->matches[n++] = s->matches[i];
	}
	s->n_matches = n;
}

/* Let each match between a client and a server name the two, whichever way its channel goes. */
static void name_callers(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_matches; i++) {
		struct directory_match *m = &s->matches[i];
		const struct directory_endpoint *channel = snapshot_endpoint(s, m->publisher);
		uint64_t from = channel->from, to = channel->to;

		if (to) {
			m->publisher = channel->role == WIRE_ROLE_REQUEST ? from : to;
			m->subscriber = channel->role == WIRE_ROLE_REQUEST ? to : from;
		}
	}
}

/* The channels of clients and servers go, what they use is their owner's. */
static void drop_channels(struct snapshot *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_endpoints; i++) {
		const struct directory_endpoint *e = &s->endpoints[i], *owner = e->to ? snapshot_endpoint(s, e->from) : NULL;

		if (owner)
			s->endpoints[owner - s->endpoints].segment_bytes += e->segment_bytes;
	}
	for (size_t i = 0; i < s->n_endpoints; i++) {
		if (!s->endpoints[i].to)
			s->endpoints[n++] = s->endpoints[i];
	}
	s->n_endpoints = n;
}

static bool is_caller(const struct directory_endpoint *endpoint)
{
	return endpoint->role == WIRE_ROLE_REQUEST || endpoint->role == WIRE_ROLE_RESPONSE;
}

/* Of a client and a server, connected when there is a match each way, one match stays. They are sorted. */
static void join_pairs(struct snapshot *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_matches; i++) {
		const struct directory_match *m = &s->matches[i];
		const struct directory_endpoint *end = snapshot_endpoint(s, m->subscriber);

		if (!end || !snapshot_endpoint(s, m->publisher))
			continue;
		if (is_caller(end) && (!i || compare_matches(m, m - 1)))
			continue;
		s->matches[n++] = *m;
	}
	s->n_matches = n;
}

/* On failure what was read is left for snapshot_deinit(). */
static int read_tables(struct snapshot *s, const struct directory_view *view)
{
	void *nodes = NULL, *endpoints = NULL, *matches = NULL;
	int r;

	/* Matches first: an endpoint that appears in between is then merely still unconnected. */
	r = read_table(view, view->max_matches, read_match, sizeof(*s->matches), &matches, &s->n_matches);
	if (!r)
		r = read_table(view, view->max_endpoints, read_endpoint, sizeof(*s->endpoints), &endpoints,
			       &s->n_endpoints);
	if (!r)
		r = read_table(view, view->max_nodes, read_node, sizeof(*s->nodes), &nodes, &s->n_nodes);
	s->nodes = nodes;
	s->endpoints = endpoints;
	s->matches = matches;
	if (r == 0)
		terminate(s);
	return r;
}

/* Every row begins as a struct directory_row does. */
static int compare_rows(const void *left, const void *right)
{
	const struct directory_row *a = left, *b = right;

	return compare_ids(a->id, b->id);
}

int snapshot_take_rows(struct snapshot *snapshot, const struct directory_view *view)
{
	struct snapshot s = { 0 };
	int r = read_tables(&s, view);

	if (r < 0) {
		snapshot_deinit(&s);
		return r;
	}
	if (s.n_nodes)
		qsort(s.nodes, s.n_nodes, sizeof(*s.nodes), compare_rows);
	if (s.n_endpoints)
		qsort(s.endpoints, s.n_endpoints, sizeof(*s.endpoints), compare_rows);
	if (s.n_matches)
		qsort(s.matches, s.n_matches, sizeof(*s.matches), compare_rows);
	s.n_endpoint_rows = s.n_endpoints;
	s.n_match_rows = s.n_matches;
	*snapshot = s;
	return 0;
}

int snapshot_take(struct snapshot *snapshot, const struct directory_view *view, uint64_t except)
{
	struct snapshot s = { 0 };
	int r = read_tables(&s, view);

	if (r < 0) {
		snapshot_deinit(&s);
		return r;
	}
	prune(&s, except);
	s.n_endpoint_rows = s.n_endpoints;
	s.n_match_rows = s.n_matches;
	name_callers(&s);
	drop_channels(&s);
	if (s.n_nodes)
		qsort(s.nodes, s.n_nodes, sizeof(*s.nodes), compare_nodes);
	if (s.n_endpoints)
		qsort(s.endpoints, s.n_endpoints, sizeof(*s.endpoints), compare_endpoints);
	if (s.n_matches)
		qsort(s.matches, s.n_matches, sizeof(*s.matches), compare_matches);
	join_pairs(&s);
	*snapshot = s;
	return 0;
}

void snapshot_deinit(struct snapshot *snapshot)
{
	free(snapshot->nodes);
	free(snapshot->endpoints);
	free(snapshot->matches);
	*snapshot = (struct snapshot){ 0 };
}

/* Whom the router takes us for. */
static uint32_t uid_of(const struct directory_view *view, uint64_t node)
{
	struct directory_node row;

	for (uint32_t i = 0; i < view->max_nodes; i++)
		if (directory_read_node(view, i, &row) == 1 && row.id == node)
			return row.uid;
	return geteuid();
}

void snapshot_use(const struct snapshot *snapshot, const struct directory_view *view, uint64_t own, struct snapshot_usage *usage)
{
	*usage = (struct snapshot_usage){ .uid = uid_of(view, own) };
	for (size_t i = 0; i < snapshot->n_nodes; i++) {
		const struct directory_node *n = &snapshot->nodes[i];

		if (n->uid != usage->uid)
			continue;
		usage->n_nodes++;
		usage->n_endpoints += n->n_endpoints;
		usage->n_fds += n->n_fds;
		usage->bytes += n->segment_bytes;
	}
}

const struct directory_node *snapshot_node(const struct snapshot *snapshot, uint64_t id)
{
	for (size_t i = 0; i < snapshot->n_nodes; i++) {
		if (snapshot->nodes[i].id == id)
			return &snapshot->nodes[i];
	}
	return NULL;
}

const struct directory_endpoint *snapshot_endpoint(const struct snapshot *snapshot, uint64_t id)
{
	for (size_t i = 0; i < snapshot->n_endpoints; i++) {
		if (snapshot->endpoints[i].id == id)
			return &snapshot->endpoints[i];
	}
	return NULL;
}
