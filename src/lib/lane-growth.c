/* SPDX-License-Identifier: MIT */
/*
 * lane-growth.c - a lane's extras: segments that its publisher has beside the data segment
 */
#include "lib/lane-growth.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "channel/geometry.h"
#include "common/memfd.h"

static void unmap(const unsigned char *base, uint64_t bytes)
{
	if (base)
		munmap((void *)(uintptr_t)base, bytes);
}

/* ---- the node's thread, under lock ------------------------------------------------------------------------------- */

/* Before the publisher has attached us, a message in an extra is copied to memory that lives as long as the sample. */
static void *room(void *context, uint32_t k, size_t bytes)
{
	struct lane_growth *g = context;
	struct held *h = &g->subscriber->held[k];

	/* a copy that was overtaken by its writer; whose it was does not matter */
	free(h->copy);
	h->copy = malloc(bytes);
	if (!h->copy)
		return NULL;
	g->copied = true;
	lane_update_slow(g->lane);
	return h->copy;
}

int lane_growth_init(struct zcp_subscriber *s, struct lane *lane)
{
	const struct channel_header *header = lane->match.segment;
	/* constant since before we were let see it, like the geometry */
	uint32_t flags = *(const volatile uint32_t *)&header->flags;
	struct lane_growth *g;

	if (!(flags & CHANNEL_GROWS))
		return 0;
	g = calloc(1, sizeof(*g) + s->max_held * sizeof(g->pin[0]));
	if (!g)
		return -ENOMEM;
	g->subscriber = s;
	g->lane = lane;
	g->huge = flags & CHANNEL_HUGE;
	lane->growth = g;
	lane->reader.extra = g->extra;
	lane->reader.extra_pin = g->pin;
	lane->reader.room = room;
	lane->reader.room_context = g;
	return 0;
}

static struct lane *find_lane(struct zcp_node *node, const struct wire_segment_shared *m)
{
	struct endpoint *ep = endpoint_find(node, m->endpoint);
	struct match *match = ep && ep->kind == WIRE_SUBSCRIBER ? ep->matches : NULL;

	while (match && match->id != m->match)
		match = match->next;
	return match ? (struct lane *)(void *)((char *)match - offsetof(struct lane, match)) : NULL;
}

void lane_extra_news(struct zcp_node *node, const struct wire_segment_shared *m, int fds[WIRE_FDS_MAX], int error)
{
	struct lane *lane = find_lane(node, m);
	bool is_shared = m->header.type == WIRE_SEGMENT_SHARED, is_absent = !is_shared && m->flags & WIRE_EXTRA_ABSENT;
	const void *base = NULL;
	struct told *told;

	if (!lane || !lane->growth || !extra_is_possible(m->extra, is_shared ? m->bytes : EXTRA_BYTES_MIN))
		return;
	told = &lane->growth->told[m->extra % EXTRAS_MAX];
	/* a router that was restarted tells what we know */
	if (told->id == m->extra && (is_shared || is_absent))
		return;
	if (!told->taken)
		unmap(told->base, told->bytes);
	if (is_shared && error == 0 && memfd_map_reader(fds[0], m->bytes, &base) < 0)
		base = NULL;
	if (base && lane->growth->huge)
		memfd_advise_huge(base, m->bytes);
	*told = (struct told){ .id = is_shared || is_absent ? m->extra : 0, .base = base, .bytes = base ? m->bytes : 0 };
	endpoint_news(&lane->growth->subscriber->endpoint);
}

/* ---- the owner --------------------------------------------------------------------------------------------------- */

void lane_growth_settle(struct lane *lane)
{
	struct lane_growth *g = lane->growth;

	g->waits = false;
	for (uint32_t i = 0; i < EXTRAS_MAX; i++) {
		struct reader_extra *e = &g->extra[i];
		struct told *told = &g->told[i];

		if (e->id && e->id != told->id) {
			if (e->base && reader_holds_extra(&lane->reader, i)) {
				g->waits = true;
				continue;
			}
			unmap(e->base, e->bytes);
			*e = (struct reader_extra){ 0 };
		}
		if (told->id && !told->taken) {
			*e = (struct reader_extra){ .base = told->base, .bytes = told->bytes, .id = told->id };
			told->taken = true;
		}
	}
	reader_extras_changed(&lane->reader);
	lane_update_slow(lane);
}

void lane_growth_release(struct zcp_subscriber *s, struct lane *lane, struct held *h)
{
	struct lane_growth *g = lane->growth;

	free(h->copy);
	h->copy = NULL;
	if (g->copied && lane->reader.attached && !lane_is_held(s, lane))
		g->copied = false;
	if (g->waits) {
		pthread_mutex_lock(&s->endpoint.node->lock);
		lane_growth_settle(lane);
		pthread_mutex_unlock(&s->endpoint.node->lock);
	}
	lane_update_slow(lane);
}

void lane_growth_free(struct lane *lane)
{
	struct lane_growth *g = lane->growth;

	for (uint32_t i = 0; g && i < EXTRAS_MAX; i++) {
		unmap(g->extra[i].base, g->extra[i].bytes);
		if (!g->told[i].taken)
			unmap(g->told[i].base, g->told[i].bytes);
	}
	free(g);
	lane->growth = NULL;
}
