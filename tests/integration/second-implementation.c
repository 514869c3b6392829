/* SPDX-License-Identifier: MIT */
/*
 * second-implementation.c - a publisher and a subscriber that are not zcp's
 *
 * See second-node.h. Messages have a content that both ends know, so that every byte is looked at:
 *
 *	second bytes SIZE COUNT			what all messages have in them, to standard output
 *	second pub TOPIC SIZE COUNT		publish, reliable unless --lossy, when a subscriber is there
 *	second sub TOPIC SIZE COUNT		take until COUNT messages were taken or lost, or the publishers are gone and drained
 *
 *	--fence		without membarrier
 *	--lossy		publisher: wait for nobody; subscriber: not to be waited for
 *	--late		subscriber: take nothing before the publisher is gone
 *	--held N	subscriber: hold so many samples while the next one is taken
 */
#include "second.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node node;
uint32_t size;
uint64_t count;
bool lossy, late;
uint32_t held = 1;

unsigned char content(uint64_t message, uint32_t i)
{
	return (unsigned char)(message * 31 + i * 7 + (i >> 8));
}

/* ---- the geometry ------------------------------------------------------------------------------------------------ */

uint32_t inline_max(const struct geometry *g)
{
	return g->slot_bytes - SLOT_HEADER_BYTES - g->header_bytes;
}

void lay_out(struct geometry *g)
{
	uint64_t at, chunk = round_up(g->payload_max, 64);

	memset(g->pool, 0, sizeof(g->pool));
	g->n_pools = 0;
	g->ring_offset = round_up(1024 + 16 * (uint64_t)g->max_lanes, 4096);
	at = round_up(g->ring_offset + (uint64_t)g->ring_slots * g->slot_bytes, 4096);
	while (g->payload_max > inline_max(g) && g->n_pools < CHANNEL_POOLS_MAX) {
		struct pool *p = &g->pool[g->n_pools++];

		p->chunk_bytes = (uint32_t)chunk;
		p->count = g->ring_slots + g->held_budget + g->max_loans;
		p->stride_bytes = round_up(chunk, g->alignment);
		if (p->stride_bytes % 4096 == 0 && g->alignment == 64)
			p->stride_bytes += 128;
		p->offset = round_up(at, 4096);
		at = p->offset + p->stride_bytes * p->count;
		if (chunk <= 64 || chunk <= inline_max(g))
			break;
		chunk = round_up(chunk / 4, 64);
	}
	g->segment_bytes = round_up(at, 4096);
}

/* ------------------------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
	const char *args[4] = { NULL };
	int n = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--fence"))
			node.needs_fence = true;
		else if (!strcmp(argv[i], "--lossy"))
			lossy = true;
		else if (!strcmp(argv[i], "--late"))
			late = true;
		else if (!strcmp(argv[i], "--held") && i + 1 < argc)
			held = (uint32_t)atoi(argv[++i]);
		else if (n < 4)
			args[n++] = argv[i];
	}
	if (n < 3 || held < 1 || held > HELD_MOST)
		die("usage: second bytes SIZE COUNT | second pub|sub [OPTION...] TOPIC SIZE COUNT");
	size = (uint32_t)atoi(args[n - 2]);
	count = (uint64_t)atoll(args[n - 1]);
	if (!strcmp(args[0], "bytes")) {
		for (uint64_t message = 0; message < count; message++)
			for (uint32_t i = 0; i < size; i++)
				putchar(content(message, i));
		return 0;
	}
	node_join(&node, "second");
	if (!strcmp(args[0], "pub"))
		run_publisher(args[1]);
	else
		run_subscriber(args[1]);
	node_leave(&node);
	return 0;
}
