/* SPDX-License-Identifier: MIT */
/* See sight.h. */

#include "tools/sight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "channel/geometry.h"
#include "channel/reader.h"
#include "common/fd.h"
#include "common/memfd.h"

#define MISSING_MAX 16		/* looks at the directory */
#define RETRY_NS 1000000000ull	/* after an answer that may be another one later */

/* ---- mapping ----------------------------------------------------------------------------------------------------- */

static void unmap(struct sight *sight)
{
	if (sight->memory)
		munmap((void *)(uintptr_t)sight->memory, sight->bytes);
	sight->memory = NULL;
	sight->bytes = 0;
}

static int map_beginning(struct sight *sight, int fd, uint64_t size, uint64_t part)
{
	const void *memory;
	int r;

	sight->bytes = part;
	r = memfd_map_beginning(fd, size, &sight->bytes, &memory);
	if (r < 0)
		return r;
	sight->memory = memory;
	return 0;
}

/* The pools are the large part of a data segment, and there is nothing to be seen in them. */
static int map_writer(struct sight *sight, int fd, uint64_t size)
{
	const struct channel_geometry *g = &sight->geometry;
	int r;

	if (size < sizeof(struct channel_header))
		return -EPROTO;
	r = map_beginning(sight, fd, size, sizeof(struct channel_header));
	if (r < 0)
		return r;
	r = reader_check_header(sight->memory, size, sight->id, &sight->geometry);
	if (r < 0)
		return r;
	sight->flags = *(const volatile uint32_t *)&((const struct channel_header *)(const void *)sight->memory)->flags;
	unmap(sight);
	return map_beginning(sight, fd, size, g->ring_offset + (uint64_t)g->ring_slots * g->slot_bytes);
}

static int map_lanes(struct sight *sight, int fd, const struct wire_segment_seen *seen)
{
	uint64_t bytes = lane_page_bytes(seen->n_lanes, seen->max_held);

	if (!bytes || bytes > seen->segment_bytes)
		return -EPROTO;
	sight->n_lanes = seen->n_lanes;
	sight->max_held = seen->max_held;
	return map_beginning(sight, fd, seen->segment_bytes, bytes);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void settle(struct sight *sight, enum sight_state state, int error, uint64_t now_ns)
{
	sight->state = state;
	sight->error = error;
	sight->retry_ns = now_ns + RETRY_NS;
}

static void take_in(struct sight *sight, const struct request *request)
{
	const struct wire_segment_seen *seen = &request->answer.segment_seen;
	int r = request->error;

	if (r == -EPERM) {
		settle(sight, SIGHT_PRIVATE, r, 0);
		return;
	}
	/* it is gone, or goes, or there was no descriptor left, or no router: all of that may change */
	if (r < 0 || seen->endpoint != sight->id || request->fds[0] < 0) {
		settle(sight, SIGHT_WANTED, r, clock_now_ns());
		return;
	}
	r = sight->kind == WIRE_PUBLISHER ? map_writer(sight, request->fds[0], seen->segment_bytes) : map_lanes(sight, request->fds[0], seen);
	if (r < 0)
		unmap(sight);
	if (r == -ENOMEM || r == -EAGAIN)
		settle(sight, SIGHT_WANTED, r, clock_now_ns());
	else
		settle(sight, r < 0 ? SIGHT_BROKEN : SIGHT_MAPPED, r, 0);
}

/* The endpoint may have been forgotten meanwhile. Under lock. */
static void on_answer(struct zcp_node *node, struct request *request)
{
	struct sight_ask *ask = (struct sight_ask *)(void *)request;
	struct sight *sight = sights_find(ask->sights, ask->endpoint);

	(void)node;
	if (sight && sight->state == SIGHT_ASKED)
		take_in(sight, request);
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(request->fds[i]);
	ask->endpoint = 0;
	ask->sights->n_asked--;
}

static struct sight_ask *free_ask(struct sights *sights)
{
	for (unsigned int i = 0; i < SIGHTS_ASKED_MAX; i++)
		if (!sights->ask[i].endpoint)
			return &sights->ask[i];
	return NULL;
}

/* Under lock. */
static void ask_for(struct sights *sights, struct sight *sight)
{
	struct wire_segment_look look = { .endpoint = sight->id };
	struct sight_ask *ask = free_ask(sights);

	*ask = (struct sight_ask){ .request = REQUEST_INIT, .sights = sights, .endpoint = sight->id };
	ask->request.answered = on_answer;
	sight->state = SIGHT_ASKED;
	sights->n_asked++;
	wire_init(&look.header, WIRE_SEGMENT_LOOK, 0);
	control_ask(sights->node, &ask->request, &look.header, WIRE_SEGMENT_SEEN);
}

bool sights_ask(struct sights *sights, uint64_t now_ns)
{
	bool more = false;
	struct sight *sight, *next;

	pthread_mutex_lock(&sights->node->lock);
	HASH_ITER(hh, sights->by_id, sight, next) {
		if (sight->state == SIGHT_ASKED)
			more = true;
		if (sight->state != SIGHT_WANTED)
			continue;
		/* what is tried again later keeps nobody waiting */
		if (sight->retry_ns > now_ns)
			continue;
		more = true;
		if (sights->n_asked < SIGHTS_ASKED_MAX && sights->node->state == NODE_JOINED)
			ask_for(sights, sight);
	}
	pthread_mutex_unlock(&sights->node->lock);
	return more;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void sights_init(struct sights *sights, struct zcp_node *node)
{
	memset(sights, 0, sizeof(*sights));
	sights->node = node;
}

static void forget(struct sights *sights, struct sight *sight)
{
	HASH_DEL(sights->by_id, sight);
	unmap(sight);
	free(sight->history);
	free(sight);
}

void sights_deinit(struct sights *sights)
{
	struct sight *sight, *next;

	pthread_mutex_lock(&sights->node->lock);
	for (unsigned int i = 0; i < SIGHTS_ASKED_MAX; i++)
		if (sights->ask[i].endpoint)
			control_forget(sights->node, &sights->ask[i].request);
	pthread_mutex_unlock(&sights->node->lock);
	HASH_ITER(hh, sights->by_id, sight, next)
		forget(sights, sight);
}

struct sight *sights_find(const struct sights *sights, uint64_t endpoint)
{
	struct sight *sight;

	HASH_FIND(hh, sights->by_id, &endpoint, sizeof(endpoint), sight);
	return sight;
}

static int add(struct sights *sights, const struct directory_endpoint *endpoint)
{
	struct sight *sight = calloc(1, sizeof(*sight));

	if (!sight)
		return -ENOMEM;
	sight->id = endpoint->id;
	sight->kind = endpoint->kind;
	HASH_ADD(hh, sights->by_id, id, sizeof(sight->id), sight);
	/* uthash leaves an entry that it has no memory for with a table of NULL */
	if (sight->hh.tbl)
		return 0;
	free(sight);
	return -ENOMEM;
}

int sights_update(struct sights *sights, const struct snapshot *snapshot)
{
	uint64_t own = zcp_node_id(sights->node);
	struct sight *sight, *next;

	HASH_ITER(hh, sights->by_id, sight, next)
		sight->n_missing++;
	for (size_t i = 0; i < snapshot->n_endpoints; i++) {
		const struct directory_endpoint *e = &snapshot->endpoints[i];

		if (e->node == own)
			continue;
		sight = sights_find(sights, e->id);
		if (sight)
			sight->n_missing = 0;
		else if (add(sights, e) < 0)
			return -ENOMEM;
	}
	HASH_ITER(hh, sights->by_id, sight, next)
		if (sight->n_missing > MISSING_MAX)
			forget(sights, sight);
	return 0;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

void sight_read_writer(const struct sight *sight, struct sight_writer *out)
{
	const struct channel_header *h = (const void *)sight->memory;
	uint64_t slots = sight->geometry.ring_slots;

	out->head = atomic_load_explicit(&h->head, memory_order_acquire);
	out->tail = atomic_load_explicit(&h->tail, memory_order_relaxed);
	/* the tail may have gone on since; or is anything */
	if (out->tail > out->head)
		out->tail = out->head;
	if (out->head - out->tail > slots)
		out->tail = out->head - slots;
	out->n_failed_loans = atomic_load_explicit(&h->counts.n_failed_loans, memory_order_relaxed);
	out->ticket = atomic_load_explicit(&h->writer_ticket, memory_order_relaxed);
	out->closed = atomic_load_explicit(&h->closed, memory_order_relaxed);
	for (uint32_t i = 0; i < CHANNEL_POOLS_MAX; i++) {
		uint32_t n = i < sight->geometry.n_pools ? atomic_load_explicit(&h->counts.n_touched[i], memory_order_relaxed) : 0;

		out->n_touched[i] = n < sight->geometry.pool[i].count ? n : sight->geometry.pool[i].count;
	}
}

/* One message that was whole. What is said of its size is believed as far as it is possible. */
static void count_message(const struct channel_geometry *g, uint64_t descriptor, struct sight_scan *out)
{
	uint32_t size = (uint32_t)descriptor, kind = (uint32_t)(descriptor >> (32 + REF_KIND_SHIFT));
	uint64_t room = kind < g->n_pools ? g->pool[kind].chunk_bytes : kind == REF_KIND_EXTRA ? EXTRA_BYTES_MAX : geometry_inline_max(g);

	if (kind == REF_KIND_VOID)
		return;
	out->n_messages++;
	out->bytes += size < room ? size : room;
	if (kind < g->n_pools)
		out->n_chunks[kind]++;
	else if (kind == REF_KIND_EXTRA)
		out->n_extras++;
}

void sight_scan(const struct sight *sight, uint64_t from, uint64_t to, uint32_t most, struct sight_scan *out)
{
	const struct channel_geometry *g = &sight->geometry;
	uint64_t mask = g->ring_slots - 1, n = to - from, step;

	memset(out, 0, sizeof(*out));
	if (sight->flags & CHANNEL_COUNTERS || !n || n > g->ring_slots)
		return;
	step = (n + most - 1) / most;
	for (uint64_t i = 0; i < n; i += step) {
		/* from the newest down: those are overwritten last */
		uint64_t seq = to - 1 - i;
		const struct channel_slot *slot = (const void *)(sight->memory + g->ring_offset + (seq & mask) * g->slot_bytes);
		uint64_t descriptor;

		out->n_looked++;
		/* acquire, and a fence before the second look: as take does it, but a message that is gone is only not counted */
		if (atomic_load_explicit(&slot->seq, memory_order_acquire) != seq + 1)
			continue;
		descriptor = atomic_load_explicit(&slot->descriptor, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&slot->seq, memory_order_relaxed) != seq + 1)
			continue;
		out->n_valid++;
		count_message(g, descriptor, out);
	}
}

static const struct channel_lane *find_lane(const struct sight *sight, uint32_t index)
{
	return index < sight->n_lanes ? (const void *)(sight->memory + LANE_PAGE_FIRST + index * lane_stride(sight->max_held)) : NULL;
}

uint32_t sight_count_pins(const struct sight *sight, uint32_t index, uint64_t below)
{
	const struct channel_lane *lane = find_lane(sight, index);
	uint32_t n = 0;

	for (uint32_t k = 0; lane && k < sight->max_held; k++)
		/* 0, no pin, becomes the largest there is */
		n += atomic_load_explicit(&lane->pin[k], memory_order_relaxed) - 1 < below;
	return n;
}

bool sight_read_lane(const struct sight *sight, uint32_t index, struct sight_lane *out)
{
	const struct channel_lane *lane = find_lane(sight, index);
	const struct lane_counts *counts;

	if (!lane)
		return false;
	counts = lane_counts(lane, sight->max_held);
	out->n_held = sight_count_pins(sight, index, UINT64_MAX);
	out->skipped = atomic_load_explicit(&counts->skipped, memory_order_relaxed);
	out->lost = atomic_load_explicit(&counts->lost, memory_order_relaxed);
	out->malformed = atomic_load_explicit(&counts->malformed, memory_order_relaxed);
	out->cursor = atomic_load_explicit(&lane->cursor, memory_order_relaxed);
	return true;
}

uint64_t sight_attached_at(const struct sight *sight, uint64_t generation)
{
	const struct channel_header *h = (const void *)sight->memory;

	for (uint32_t i = 0; i < sight->geometry.max_lanes; i++)
		if (atomic_load_explicit(&h->attached[i].generation, memory_order_acquire) == generation)
			return atomic_load_explicit(&h->attached[i].start, memory_order_relaxed);
	return UINT64_MAX;
}
