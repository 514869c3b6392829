/* SPDX-License-Identifier: MIT */
/*
 * traffic.c - see traffic.h
 *
 * The steps of a look, in this order: rows of the directory; heads of the publishers; lanes of the connections, so that a reader seems
 * never further behind than it was; then sums and states, from connections to endpoints to topics. Numbers come from strangers:
 * differences are taken only where they are not negative, and nothing is indexed by them.
 */
#include "tools/traffic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tool.h"

#define SIZES_LOOKED_AT 256	/* messages of a publisher per look, for the bytes it publishes */
#define CHUNKS_LOOKED_AT 1024	/* for what its pools are used for */
#define LAGGING 0.75		/* of a queue */

/* What a publisher said at the look before. */
struct writer_past {
	uint64_t head, n_failed_loans, ticket;
	double mean_bytes;
};

/* What a connection said at the look before. */
struct traffic_past {
	uint64_t match;
	uint64_t received, lost, skipped;
	bool skips;
	uint64_t seen_ns;
	UT_hash_handle hh;
};

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

static bool is_channel(const struct traffic_endpoint *e)
{
	return e->row->to != 0;
}

const char *traffic_role_name(const struct traffic_endpoint *endpoint)
{
	if (is_channel(endpoint))
		return endpoint->row->role == WIRE_ROLE_REQUEST ? "requests" : "responses";
	return tool_role_name(endpoint->role);
}

static enum traffic_kind kind_of(const struct directory_endpoint *row)
{
	return row->role == WIRE_ROLE_EVENT ? TRAFFIC_EVENTS :
	       row->role == WIRE_ROLE_REQUEST || row->role == WIRE_ROLE_RESPONSE ? TRAFFIC_CALL : TRAFFIC_DATA;
}

static bool is_publisher(const struct traffic_endpoint *e)
{
	return e->row->kind == WIRE_PUBLISHER;
}

static bool is_mapped(const struct traffic_endpoint *e)
{
	return e->sight && e->sight->state == SIGHT_MAPPED;
}

/* What has grown since; a number that went back has begun anew, or is a lie. */
static uint64_t growth(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static double per_second(const struct traffic *t, double n)
{
	return t->last_ns && t->now_ns > t->last_ns ? n * 1e9 / (double)(t->now_ns - t->last_ns) : 0;
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

		if (!publisher || !subscriber || !is_publisher(publisher) || is_publisher(subscriber))
			continue;
		*c = (struct traffic_connection){ .match = match, .publisher = publisher, .subscriber = subscriber };
		c->next_of_publisher = publisher->connections;
		publisher->connections = c;
		c->next_of_subscriber = subscriber->connections;
		subscriber->connections = c;
		t->n_connections++;
	}
}

/* ---- publishers -------------------------------------------------------------------------------------------------- */

/* How many bytes the messages since @past had: from their slots, or as far as that goes, estimated. */
static double count_bytes(struct traffic_endpoint *e, struct writer_past *past)
{
	const struct sight_writer *w = &e->writer;
	uint64_t n = growth(w->head, past->head), from = past->head > w->tail ? past->head : w->tail;
	struct sight_scan scan = { 0 };

	e->bytes_exact = true;
	if (!n)
		return 0;
	sight_scan(e->sight, from, w->head, SIZES_LOOKED_AT, &scan);
	if (scan.n_valid)
		past->mean_bytes = (double)scan.bytes / (double)scan.n_valid;
	e->bytes_exact = scan.n_valid == n;
	return past->mean_bytes * (double)n;
}

static void read_publisher(struct traffic *t, struct traffic_endpoint *e)
{
	struct sight *sight = sights_find(t->sights, e->row->id);
	struct writer_past *past = sight->history;

	sight_read_writer(sight, &e->writer);
	e->published = e->writer.head;
	e->n_failed_loans = e->writer.n_failed_loans;
	e->bytes_exact = true;
	if (!past) {
		sight->history = past = calloc(1, sizeof(*past));
		if (!past)
			return;
	} else {
		e->rate = per_second(t, (double)growth(e->writer.head, past->head));
		if (!(sight->flags & CHANNEL_COUNTERS))
			e->byte_rate = per_second(t, count_bytes(e, past));
		e->failed_now = growth(e->n_failed_loans, past->n_failed_loans);
		e->waits = e->writer.ticket != past->ticket;
	}
	past->head = e->writer.head;
	past->n_failed_loans = e->n_failed_loans;
	past->ticket = e->writer.ticket;
}

/* The pool that pins of messages that are not in the ring any more are ascribed to: the one in use. */
static uint32_t busiest_pool(const struct traffic_endpoint *e)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < e->n_pools; i++) {
		const struct traffic_pool *a = &e->pool[i], *b = &e->pool[best];

		if (a->in_use > b->in_use || (a->in_use == b->in_use && a->touched > b->touched))
			best = i;
	}
	return best;
}

/* From here on the publisher has to keep its messages: for a queue, or as history. */
static uint64_t first_kept(const struct traffic_endpoint *e)
{
	const struct sight_writer *w = &e->writer;
	uint64_t history = e->sight->geometry.history, first = w->head > history ? w->head - history : 0;

	for (const struct traffic_connection *c = e->connections; c; c = c->next_of_publisher)
		if (!c->known)
			first = w->tail;
		else if (c->cursor < first)
			first = c->cursor;
	return first > w->tail ? first : w->tail;
}

static void estimate_pools(struct traffic_endpoint *e)
{
	const struct channel_geometry *g = &e->sight->geometry;
	uint64_t first = first_kept(e), n_pinned = 0;
	struct sight_scan scan = { 0 };

	e->n_pools = g->n_pools;
	if (!g->n_pools)
		return;
	sight_scan(e->sight, first, e->writer.head, CHUNKS_LOOKED_AT, &scan);
	for (uint32_t i = 0; i < e->n_pools; i++) {
		double share = scan.n_valid ? (double)scan.n_chunks[i] / (double)scan.n_valid : 0;

		e->pool[i] = (struct traffic_pool){ .chunk_bytes = g->pool[i].chunk_bytes, .count = g->pool[i].count };
		e->pool[i].touched = e->writer.n_touched[i];
		e->pool[i].in_use = (uint32_t)(share * (double)(e->writer.head - first) + 0.5);
	}
	for (const struct traffic_connection *c = e->connections; c; c = c->next_of_publisher)
		if (c->known && c->n_held)
			n_pinned += sight_count_pins(c->subscriber->sight, c->match->lane, first);
	e->pool[busiest_pool(e)].in_use += (uint32_t)n_pinned;
	for (uint32_t i = 0; i < e->n_pools; i++) {
		struct traffic_pool *p = &e->pool[i];

		/* two may hold the same message */
		if (p->in_use > p->count)
			p->in_use = p->count;
		if (e->pool_use < (double)p->in_use / p->count)
			e->pool_use = (double)p->in_use / p->count;
		if (e->pool_high < (double)p->touched / p->count)
			e->pool_high = (double)p->touched / p->count;
	}
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static struct traffic_past *find_past(struct traffic *t, uint64_t match, bool *is_new)
{
	struct traffic_past *past;

	HASH_FIND(hh, t->past, &match, sizeof(match), past);
	*is_new = !past;
	if (past)
		return past;
	past = calloc(1, sizeof(*past));
	if (!past)
		return NULL;
	past->match = match;
	HASH_ADD(hh, t->past, match, sizeof(past->match), past);
	if (past->hh.tbl)
		return past;
	free(past);
	return NULL;
}

/* Messages that are behind the tail, and that the reader will find lost when it takes the next time. */
static uint64_t find_overrun(const struct traffic_connection *c, uint64_t tail)
{
	uint64_t from = c->cursor;

	if (from >= tail)
		return 0;
	/* before its first message a newcomer loses only what came after it was attached (reader.c, lapped) */
	if (!c->received && !(c->match->flags & WIRE_MATCH_FROM_START)) {
		uint64_t start = sight_attached_at(c->publisher->sight, c->match->id);

		from = start > from ? start : from;
	}
	return growth(tail, from);
}

/*
 * Who wants the newest message passes over most of the others, and loses nothing by it. Void messages are passed over too, but are
 * fewer than those that are taken.
 */
static void judge_skips(struct traffic_past *past, uint64_t skipped, uint64_t lost, uint64_t received)
{
	uint64_t passed_over = growth(skipped, lost);

	if (passed_over > received)
		past->skips = true;
	else if (received && !passed_over)
		past->skips = false;
}

static void compare_with_past(struct traffic *t, struct traffic_connection *c, uint64_t skipped, bool closing)
{
	bool is_new;
	struct traffic_past *past = find_past(t, c->match->id, &is_new);

	if (!past)
		return;
	if (closing)
		c->received = past->received;
	if (!is_new) {
		c->received_rate = per_second(t, (double)growth(c->received, past->received));
		c->lost_now = growth(c->lost, past->lost);
		judge_skips(past, growth(skipped, past->skipped), c->lost_now, growth(c->received, past->received));
	}
	c->skips = past->skips;
	past->received = c->received;
	past->lost = c->lost;
	past->skipped = skipped;
	past->seen_ns = t->now_ns;
}

static void read_connection(struct traffic *t, struct traffic_connection *c)
{
	const struct sight_writer *w = &c->publisher->writer;
	struct sight_lane lane;
	bool closing;

	if (!is_mapped(c->publisher) || !is_mapped(c->subscriber) || !sight_read_lane(c->subscriber->sight, c->match->lane, &lane))
		return;
	c->known = true;
	if (c->publisher->sight->flags & CHANNEL_COUNTERS) {
		c->cursor = UINT64_MAX;
		return;
	}
	closing = lane.cursor == UINT64_MAX;
	c->cursor = lane.cursor;
	c->n_held = lane.n_held;
	c->lost = lane.lost;
	c->malformed = lane.malformed;
	c->received = growth(lane.cursor, lane.skipped);
	compare_with_past(t, c, lane.skipped, closing);
	if (closing)
		return;
	c->lag = growth(w->head, lane.cursor > w->tail ? lane.cursor : w->tail);
	c->fill = (double)c->lag / c->publisher->sight->geometry.depth;
	c->overrun = find_overrun(c, w->tail);
}

static void forget_past(struct traffic *t)
{
	struct traffic_past *past, *next;

	HASH_ITER(hh, t->past, past, next) {
		/* the router may be coming back, and with it the match */
		if (t->now_ns - past->seen_ns < 60000000000ull)
			continue;
		HASH_DEL(t->past, past);
		free(past);
	}
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
	enum traffic_state state = is_publisher(e) && e->rate <= 0 ? TRAFFIC_IDLE : TRAFFIC_OK;

	if (e->node->flags & DIRECTORY_NODE_UNRESPONSIVE)
		worsen(&state, TRAFFIC_UNRESPONSIVE);
	if (e->silent_ns)
		worsen(&state, TRAFFIC_SILENT);
	if (!is_mapped(e)) {
		enum sight_state seen = e->sight ? e->sight->state : SIGHT_WANTED;

		worsen(&state, seen == SIGHT_BROKEN ? TRAFFIC_BROKEN : seen == SIGHT_PRIVATE ? TRAFFIC_PRIVATE : TRAFFIC_UNSEEN);
		return state;
	}
	if (is_publisher(e)) {
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
		if (!is_publisher(e))
			e->rate += c->received_rate;
		if (!c->skips && c->fill > e->fill)
			e->fill = c->fill;
	}
	e->state = state_of_endpoint(e);
}

/* Who gives and who takes: of a call that is who asks and who answers, not the channels between them. */
static void count_ends(struct traffic_topic *topic, const struct traffic_endpoint *e)
{
	bool gives = topic->kind == TRAFFIC_CALL ? e->row->role == WIRE_ROLE_RESPONSE : is_publisher(e);

	if (is_channel(e))
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
	if (!is_publisher(e)) {
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
		r = (int)is_channel(a) - (int)is_channel(b);
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

static void read_segments(struct traffic *t)
{
	for (size_t i = 0; i < t->n_endpoints; i++)
		if (is_publisher(&t->endpoints[i]) && is_mapped(&t->endpoints[i]))
			read_publisher(t, &t->endpoints[i]);
	for (size_t i = 0; i < t->n_connections; i++)
		read_connection(t, &t->connections[i]);
	for (size_t i = 0; i < t->n_endpoints; i++)
		if (is_publisher(&t->endpoints[i]) && is_mapped(&t->endpoints[i]))
			estimate_pools(&t->endpoints[i]);
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
		read_segments(t);
		for (size_t i = 0; i < t->n_endpoints; i++)
			add_up_endpoint(&t->endpoints[i]);
		r = make_topics(t);
		forget_past(t);
	}
	if (r < 0)
		clear(t);
	return r;
}

void traffic_deinit(struct traffic *traffic)
{
	struct traffic_past *past, *next;

	clear(traffic);
	HASH_ITER(hh, traffic->past, past, next) {
		HASH_DEL(traffic->past, past);
		free(past);
	}
}
