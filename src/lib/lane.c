/* SPDX-License-Identifier: MIT */
/*
 * lane.c - a subscriber's lanes, from WRITER_ADDED until they are dropped
 *
 * The index of a lane is the delicate thing: as long as its publisher might look at it, or a sample of it is
 * held, its pins mean something. So an index becomes free only when the lane is dropped, which the owner does,
 * and the node's thread chooses only free ones.
 */
#include "lib/subscriber.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/probe.h"
#include "lib/control.h"
#include "lib/doorbell.h"
#include "lib/error.h"
#include "lib/lane-growth.h"

/* ---- the node's thread, under lock ------------------------------------------------------------------------------- */

static void answer(struct endpoint *ep, uint64_t match, int lane)
{
	struct wire_lane_chosen m;

	wire_init(&m.header, WIRE_LANE_CHOSEN, 0);
	m.endpoint = ep->id;
	m.match = match;
	m.lane = lane;
	m.reserved = 0;
	control_send(ep->node, &m.header);
}

static int free_index(const struct zcp_subscriber *s)
{
	for (uint32_t i = 0; i < s->max_publishers; i++)
		if (!s->lane_used[i])
			return (int)i;
	return -ENOSPC;
}

/*
 * Room for messages taken before the publisher has attached us. Address space only, until a message is really
 * copied.
 */
static int map_copies(struct lane *lane, const struct channel_geometry *g, uint32_t max_held)
{
	uint64_t stride = ((uint64_t)g->payload_max + 63) & ~(uint64_t)63;
	void *memory;

	if (!g->n_pools)
		return 0;
	lane->copies_bytes = stride * max_held;
	memory = mmap(NULL, lane->copies_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	lane->copies = memory;
	lane->reader.copies = lane->copies;
	lane->reader.copies_stride = stride;
	return 0;
}

static int prepare(struct zcp_subscriber *s, struct lane *lane, const struct wire_writer_added *m, int fds[WIRE_FDS_MAX])
{
	struct reader_options options = {
		.generation = m->match,
		.publisher = m->publisher,
		.from_start = m->flags & WIRE_MATCH_FROM_START,
		.history = s->history,
		.lossy = m->flags & WIRE_MATCH_LOSSY,
		.counters = s->hooks && s->hooks->counters,
	};
	int r;

	r = match_init(&lane->match, m->match, m->publisher, m->segment_bytes, m->flags, fds);
	if (r < 0)
		return r;
	lane->match.peer_node = m->node;
	lane->match.process = m->process;
	lane->match.lane_index = lane->index;
	lane->from = m->from;
	r = channel_reader_init(&lane->reader, lane->match.segment, m->segment_bytes, s->endpoint.segment, s->max_publishers,
				s->max_held, lane->index, &options);
	if (r == 0 && *(const volatile uint32_t *)&lane->reader.header->flags & CHANNEL_HUGE)
		memfd_advise_huge(lane->match.segment, m->segment_bytes);
	if (r == 0)
		r = options.counters ? s->hooks->counters(s, lane) : map_copies(lane, &lane->reader.geometry, s->max_held);
	if (r == 0)
		r = lane_growth_init(s, lane);
	if (r < 0 && lane->copies)
		munmap(lane->copies, lane->copies_bytes);
	lane_update_slow(lane);
	if (r < 0)
		match_deinit(&lane->match);
	return r;
}

/* The index of the new lane in *added, or a negative errno value. */
static int add(struct zcp_subscriber *s, const struct wire_writer_added *m, int fds[WIRE_FDS_MAX], struct lane **added)
{
	struct lane *lane;
	int index, r;

	if (s->endpoint.closing)
		return -ECANCELED;
	index = free_index(s);
	if (index < 0)
		return index;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return -ENOMEM;
	lane->index = (uint32_t)index;
	r = prepare(s, lane, m, fds);
	if (r < 0) {
		free(lane->seen);
		free(lane);
		return r;
	}
	s->lane_used[index] = true;
	*added = lane;
	return index;
}

static bool keep_waiting(struct zcp_subscriber *s, const union wire_message *message, int fds[WIRE_FDS_MAX])
{
	struct waiting **end = &s->waiting, *w;
	uint32_t n = 0;

	for (; *end; end = &(*end)->next)
		n++;
	w = n < s->max_publishers ? malloc(sizeof(*w)) : NULL;
	if (!w)
		return false;
	w->next = NULL;
	w->message = *message;
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		w->fds[i] = fd_take(&fds[i]);
	*end = w;
	return true;
}

static void waiting_free(struct waiting *w)
{
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(w->fds[i]);
	free(w);
}

struct match *lane_writer_added(struct endpoint *ep, const union wire_message *message, int fds[WIRE_FDS_MAX], int error)
{
	struct zcp_subscriber *s = (struct zcp_subscriber *)(void *)ep;
	const struct wire_writer_added *m = &message->writer_added;
	struct lane *lane = NULL;
	int r = error < 0 ? error : add(s, m, fds, &lane);

	if (r == -ENOSPC && keep_waiting(s, message, fds))
		return NULL;
	answer(ep, m->match, r);
	return lane ? &lane->match : NULL;
}

void lane_writer_never(struct endpoint *ep, uint64_t match)
{
	struct waiting **at = &((struct zcp_subscriber *)(void *)ep)->waiting, *w;

	while (*at && (*at)->message.writer_added.match != match)
		at = &(*at)->next;
	w = *at;
	if (w) {
		*at = w->next;
		waiting_free(w);
	}
}

/* The router is gone: another one will offer those publishers again. */
void lane_router_gone(struct endpoint *ep)
{
	struct zcp_subscriber *s = (struct zcp_subscriber *)(void *)ep;

	for (struct waiting *w = s->waiting, *next; w; w = next) {
		next = w->next;
		waiting_free(w);
	}
	s->waiting = NULL;
}

void lane_waiting_close(struct zcp_subscriber *s, bool forked)
{
	for (struct waiting *w = s->waiting, *next; w; w = next) {
		next = w->next;
		if (forked) {
			for (int i = 0; i < WIRE_FDS_MAX; i++)
				w->fds[i] = fd_close(w->fds[i]);
		} else {
			answer(&s->endpoint, w->message.writer_added.match, -ECANCELED);
			waiting_free(w);
		}
	}
	if (!forked)
		s->waiting = NULL;
}

/* ---- the owner --------------------------------------------------------------------------------------------------- */

void lane_wake_writer(const struct zcp_subscriber *s, struct lane *lane)
{
	lane->reader.wake_writer = false;
	PROBE(zcp, ring, s->endpoint.id, lane->match.peer);
	doorbell_ring(lane->match.doorbell);
}

void lane_free_copies(struct lane *lane)
{
	munmap(lane->copies, lane->copies_bytes);
	lane->copies = lane->reader.copies = NULL;
	lane_update_slow(lane);
}

void lane_update_slow(struct lane *lane)
{
	lane->slow = lane->drained || lane->copies || (lane->growth && lane_growth_is_slow(lane->growth));
}

/* An index has become free: whoever waits longest gets it. Under lock. */
static void admit_waiting(struct zcp_subscriber *s)
{
	struct waiting *w = s->waiting;
	struct lane *lane = NULL;
	int r;

	if (!w)
		return;
	s->waiting = w->next;
	r = add(s, &w->message.writer_added, w->fds, &lane);
	if (lane)
		endpoint_append(&s->endpoint, &lane->match);
	answer(&s->endpoint, w->message.writer_added.match, r);
	waiting_free(w);
}

bool lane_is_held(const struct zcp_subscriber *s, const struct lane *lane)
{
	for (uint32_t k = 0; k < s->max_held; k++)
		if (s->held[k].generation & 1 && s->held[k].lane == lane)
			return true;
	return false;
}

void lane_drop(struct zcp_subscriber *s, struct lane *lane)
{
	PROBE(zcp, detach, s->endpoint.id, lane->match.peer, lane->match.id);
	pthread_mutex_lock(&s->endpoint.node->lock);
	endpoint_unlink(&s->endpoint, &lane->match);
	s->lane_used[lane->index] = false;
	admit_waiting(s);
	pthread_mutex_unlock(&s->endpoint.node->lock);
	s->malformed += lane->reader.malformed;
	s->lost += lane->reader.lost;
	match_deinit(&lane->match);
	if (lane->copies)
		lane_free_copies(lane);
	free(lane->seen);
	lane_growth_free(lane);
	free(lane);
}

static struct lane *lane_of(struct match *m)
{
	return (struct lane *)(void *)((char *)m - offsetof(struct lane, match));
}

void subscriber_drop_drained(struct zcp_subscriber *s)
{
	for (uint32_t i = 0; i < s->n_lanes;) {
		struct lane *lane = s->lane[i];

		if (!lane->gone || channel_reader_ready(&lane->reader)) {
			i++;
			continue;
		}
		s->lane[i] = s->lane[--s->n_lanes];
		s->n_gone--;
		s->received += lane->reader.taken;
		s->departed++;
		s->died += lane->cause == WIRE_CAUSE_DIED || lane->cause == WIRE_CAUSE_EVICTED;
		lane->drained = true;
		lane_update_slow(lane);
		if (s->hooks)
			s->hooks->drained(s, lane);
		if (!lane_is_held(s, lane))
			lane_drop(s, lane);
	}
	if (s->turn >= s->n_lanes)
		s->turn = 0;
}

void subscriber_look_at_news(struct zcp_subscriber *s)
{
	pthread_mutex_lock(&s->endpoint.node->lock);
	atomic_store_explicit(&s->endpoint.news, false, memory_order_relaxed);
	s->endpoint.n_never = 0;
	for (struct match *m = s->endpoint.matches; m; m = m->next) {
		struct lane *lane = lane_of(m);

		if (!m->in_use) {
			m->in_use = true;
			PROBE(zcp, attach, s->endpoint.id, m->peer, m->id);
			s->lane[s->n_lanes++] = lane;	/* room: a lane has an index below max_publishers of its own */
		}
		if (m->cause && !lane->gone) {
			lane->gone = true;
			channel_reader_writer_gone(&lane->reader);
			lane->cause = m->cause;
			s->n_gone++;
		}
		if (lane->growth)
			lane_growth_settle(lane);
	}
	pthread_mutex_unlock(&s->endpoint.node->lock);
	if (s->hooks && s->hooks->looked)
		s->hooks->looked(s);
	if (s->n_gone)
		subscriber_drop_drained(s);
}

bool subscriber_ready(const struct zcp_subscriber *s)
{
	for (uint32_t i = 0; i < s->n_lanes; i++)
		if (channel_reader_ready(&s->lane[i]->reader))
			return true;
	return false;
}
