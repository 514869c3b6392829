/* SPDX-License-Identifier: MIT */
/*
 * top-detail.c - zcp top: the router in a line, and all that is known about one topic
 */
#include "tools/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

void top_print_router(FILE *out, const struct top *top)
{
	const struct directory_header *h = top->node->directory.header;
	uint64_t start = *(const volatile uint64_t *)&h->start_ns, now = top->traffic.now_ns;
	char version[sizeof(h->package_version) + 1] = { 0 }, uptime[TEXT_NUMBER], bytes[TEXT_NUMBER], *safe;

	memcpy(version, h->package_version, sizeof(h->package_version));
	if (text_safe(version, strlen(version), 0, &safe) < 0)
		return;
	fprintf(out, "zcp-router %s, pid %" PRIu32 ", up %s; %zu nodes, %zu endpoints, %s", safe, *(const volatile uint32_t *)&h->router_pid,
		text_duration(now > start ? now - start : 0, uptime), top->traffic.n_nodes, top->traffic.n_endpoints,
		text_bytes(atomic_load_explicit(&h->segment_bytes_total, memory_order_relaxed), bytes));
	free(safe);
}

/* Who and how first: what comes later may be beyond the edge of a narrow screen. */
enum { D_KIND, D_ID, D_PROCESS, D_STATE, D_QUEUE, D_LOST, D_MEMORY, D_RATE, N_DETAILS };

#define NAME_NARROW 12	/* columns of a node's name, where there is little room */
#define NARROW 110

static void add_memory(struct table *table, const struct traffic_endpoint *e)
{
	char use[16], high[16];

	if (e->row->kind != WIRE_PUBLISHER) {
		table_cell(table, D_MEMORY, "%" PRIu32 " held", e->n_held);
		return;
	}
	if (!e->n_pools)
		return;
	top_share_text(use, sizeof(use), e->pool_use);
	top_share_text(high, sizeof(high), e->pool_high);
	table_cell(table, D_MEMORY, "pool %s/%s", use, high);
}

static void add_detail(struct table *table, const struct traffic_endpoint *e, int name_columns)
{
	bool publishes = e->row->kind == WIRE_PUBLISHER;
	char number[TEXT_NUMBER], bytes[TEXT_NUMBER], text[32], *name;

	table_row(table);
	table_cell(table, D_KIND, "%s%s", traffic_wants_attention(e->state) ? "! " : "  ", traffic_role_name(e));
	table_cell(table, D_ID, "%" PRIu64, e->row->id);
	top_beat_text(text, sizeof(text), e->silent_ns);
	table_cell(table, D_STATE, e->silent_ns ? "%s %s" : "%s", traffic_state_name(e->state), text);
	if (publishes && e->row->role != WIRE_ROLE_EVENT)
		table_cell(table, D_RATE, "%s/s %s%sB/s", text_short(e->rate, number), e->bytes_exact ? "" : "~", text_short(e->byte_rate, bytes));
	else
		table_cell(table, D_RATE, "%s/s", text_short(e->rate, number));
	top_share_text(text, sizeof(text), e->row->role == WIRE_ROLE_EVENT || !e->connections ? -1 : e->fill);
	table_cell(table, D_QUEUE, "queue %s", text);
	if (publishes)
		table_cell(table, D_LOST, "%s failed", text_short_count(e->n_failed_loans, number));
	else
		table_cell(table, D_LOST, "%s lost", text_short_count(e->lost + e->overrun, number));
	add_memory(table, e);
	if (text_safe(e->node->name, strlen(e->node->name), name_columns, &name) < 0)
		return;
	table_cell(table, D_PROCESS, "%s[%" PRIu32 "]", name, e->node->pid);
	free(name);
}

static void add_connection(struct table *table, const struct traffic_connection *c)
{
	char number[TEXT_NUMBER];

	table_row(table);
	table_cell(table, 0, "%s%" PRIu64 " -> %" PRIu64, c->lost_now || (c->overrun && !c->skips) ? "! " : "  ", c->match->publisher,
		   c->match->subscriber);
	if (!c->known) {
		table_cell(table, 1, "unseen");
		return;
	}
	if (c->publisher->row->role == WIRE_ROLE_EVENT)
		return;
	table_cell(table, 1, "%" PRIu64 "/%" PRIu32 " waiting", c->lag, c->publisher->sight->geometry.depth);
	table_cell(table, 2, "%s lost", text_short_count(c->lost, number));
	if (c->skips)
		table_cell(table, 3, "newest only");
	else if (c->overrun)
		table_cell(table, 3, "+%s overrun", text_short_count(c->overrun, number));
	table_cell(table, 4, "%s", c->match->flags & WIRE_MATCH_LOSSY ? "lossy" : "reliable");
	table_cell(table, 5, "%" PRIu32 " held", c->n_held);
	table_cell(table, 6, "%s received", text_short_count(c->received, number));
	if (c->malformed)
		table_cell(table, 7, "%" PRIu64 " malformed", c->malformed);
}

static void add_pools(struct table *table, const struct traffic_endpoint *e)
{
	for (uint32_t i = 0; i < e->n_pools; i++) {
		const struct traffic_pool *p = &e->pool[i];

		/* most publishers use one of their classes */
		if (!p->touched && !p->in_use)
			continue;
		table_row(table);
		table_cell(table, 0, "  %" PRIu64 " chunks of %" PRIu32, e->row->id, p->chunk_bytes);
		table_cell(table, 1, "%" PRIu32 " of %" PRIu32 " in use", p->in_use, p->count);
		table_cell(table, 2, "%" PRIu32 " ever used", p->touched);
	}
}

static void print_table(FILE *out, const char *title, struct table *table)
{
	if (table->n_rows) {
		fprintf(out, "%s\n", title);
		table_print(table, out, 0, table->n_rows, 0);
	}
	table_deinit(table);
}

void top_print_detail(FILE *out, const struct traffic_topic *topic, int width)
{
	int name_columns = width < NARROW ? NAME_NARROW : 0;
	struct table table;

	table_init(&table, N_DETAILS);
	for (const struct traffic_endpoint *e = topic->endpoints; e; e = e->next)
		add_detail(&table, e, name_columns);
	print_table(out, "  endpoints", &table);
	table_init(&table, 8);
	for (const struct traffic_endpoint *e = topic->endpoints; e; e = e->next)
		for (const struct traffic_connection *c = e->row->kind == WIRE_PUBLISHER ? e->connections : NULL; c; c = c->next_of_publisher)
			add_connection(&table, c);
	print_table(out, "\n  connections", &table);
	table_init(&table, 3);
	for (const struct traffic_endpoint *e = topic->endpoints; e; e = e->next)
		add_pools(&table, e);
	print_table(out, "\n  pools", &table);
}
