/* SPDX-License-Identifier: MIT */
/*
 * writer.c - set-up of a writer, its lanes, and publishing
 *
 * The order of stores is the whole story: payload, timestamp and descriptor of a slot, then its seq (release) -
 * from here on readers have the message -, then head, then, behind nothing but a compiler barrier, a look at
 * each reader's ticket. A reader that goes to sleep pays for the missing fence with membarrier (lane_page_arm).
 *
 * Loans are in loan.c, the tail is in retire.c.
 */
#include "channel/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/barrier.h"
#include "channel/extra.h"
#include "channel/geometry.h"
#include "channel/loan.h"
#include "channel/pool.h"
#include "channel/retire.h"
#include "channel/words.h"
#include "common/clock.h"

static void write_header(struct channel_writer *w, const struct writer_options *options, bool fence)
{
	struct channel_header *h = w->header;

	h->version = CHANNEL_VERSION;
	h->flags = (fence ? CHANNEL_NEEDS_FENCE : 0) | (options->stamp == WRITER_STAMP_TICKS ? CHANNEL_TICKS : 0) |
		   (options->reliable ? CHANNEL_RELIABLE : 0) | (options->counters ? CHANNEL_COUNTERS : 0) |
		   (options->grow ? CHANNEL_GROWS : 0) | (options->huge ? CHANNEL_HUGE : 0);
	h->endpoint = options->endpoint;
	h->node = options->node;
	h->geometry = w->geometry;
	h->magic = CHANNEL_MAGIC;
}

static int allocate(struct channel_writer *w, unsigned char *segment, bool grow)
{
	const struct channel_geometry *g = &w->geometry;

	w->ticket = calloc(g->max_lanes, sizeof(*w->ticket));
	w->rung = calloc(g->max_lanes, sizeof(*w->rung));
	w->lane = calloc(g->max_lanes, sizeof(*w->lane));
	if (!w->ticket || !w->rung || !w->lane)
		return -ENOMEM;
	if (!g->n_pools) {
		w->scratch = calloc(g->max_loans, SLOT_INLINE_MAX);
		w->scratch_used = calloc(g->max_loans, 1);
		if (!w->scratch || !w->scratch_used)
			return -ENOMEM;
	}
	if (grow) {
		w->extra = calloc(EXTRAS_MAX, sizeof(*w->extra));
		if (!w->extra)
			return -ENOMEM;
	}
	if (!g->n_pools && !grow)
		return 0;
	w->slot_ref = calloc(g->ring_slots, sizeof(*w->slot_ref));
	w->pinned = calloc((g->ring_slots + 63) / 64, sizeof(*w->pinned));
	if (!w->slot_ref || !w->pinned)
		return -ENOMEM;
	for (; w->n_pools < g->n_pools; w->n_pools++)
		if (pool_init(&w->pool[w->n_pools], segment, &g->pool[w->n_pools], g->payload_max,
			      &((struct channel_header *)(void *)segment)->counts.n_touched[w->n_pools]) < 0)
			return -ENOMEM;
	return 0;
}

int channel_writer_init(struct channel_writer *writer, void *memory, const struct channel_geometry *geometry,
			const struct writer_options *options)
{
	bool fence = !barrier_register();
	int r;

	memset(writer, 0, sizeof(*writer));
	if (geometry_check(geometry) < 0)
		return -EINVAL;
	writer->geometry = *geometry;
	r = allocate(writer, memory, options->grow);
	if (r < 0) {
		channel_writer_deinit(writer);
		return r;
	}
	writer->header = memory;
	writer->ring = (unsigned char *)memory + geometry->ring_offset;
	writer->mask = geometry->ring_slots - 1;
	writer->limit = geometry->ring_slots;
	writer->slot_shift = (uint32_t)__builtin_ctz(geometry->slot_bytes);
	writer->inline_max = geometry_inline_max(geometry);
	if (writer->inline_max > geometry->payload_max)
		writer->inline_max = geometry->payload_max;
	writer->header_bytes = geometry->header_bytes;
	writer->stamp = options->stamp;
	writer->reliable = options->reliable;
	writer->self_fence = writer->fence = fence;
	writer->max_loans = geometry->max_loans;
	writer->ring_fn = options->ring;
	writer->ring_context = options->ring_context;
	writer->idle_fn = options->idle;
	write_header(writer, options, fence);
	return 0;
}

void channel_writer_deinit(struct channel_writer *writer)
{
	for (uint32_t i = 0; i < writer->n_pools; i++)
		pool_deinit(&writer->pool[i]);
	free(writer->ticket);
	free(writer->rung);
	free(writer->lane);
	free(writer->extra);
	free(writer->slot_ref);
	free(writer->pinned);
	free(writer->limbo);
	free(writer->scratch);
	free(writer->scratch_used);
	memset(writer, 0, sizeof(*writer));
}

/* ---- lanes ------------------------------------------------------------------------------------------------------- */

static int free_attached_entry(const struct channel_writer *w)
{
	for (uint32_t i = 0; i < w->geometry.max_lanes; i++)
		if (!atomic_load_explicit(&w->header->attached[i].generation, memory_order_relaxed))
			return (int)i;
	return -ENOSPC;
}

/* Limbo has room for one chunk per pin, so that a scan never has to allocate. */
static int grow_limbo(struct channel_writer *w, uint32_t n_pins)
{
	struct writer_limbo *limbo;

	if (!w->slot_ref || n_pins <= w->limbo_room)
		return 0;
	limbo = realloc(w->limbo, n_pins * sizeof(*limbo));
	if (!limbo)
		return -ENOMEM;
	w->limbo = limbo;
	w->limbo_room = n_pins;
	return 0;
}

static void changed_attached(struct channel_writer *w)
{
	uint64_t epoch = atomic_load_explicit(&w->header->attach_epoch, memory_order_relaxed);

	/* release: the entry comes before; partner: reader.c, look_for_attachment */
	atomic_store_explicit(&w->header->attach_epoch, epoch + 1, memory_order_release);
}

int channel_writer_attach(struct channel_writer *writer, uint64_t generation, const void *page, uint32_t n_lanes,
			  uint32_t max_held, uint32_t lane, uint64_t subscriber, bool lossy, void *peer)
{
	const struct lane_page_header *ph = page;
	struct channel_attached *entry;
	struct writer_lane *l;
	int index, r;

	if (!generation || lane >= n_lanes || !lane_page_bytes(n_lanes, max_held))
		return -EINVAL;
	for (uint32_t i = 0; i < writer->n_lanes; i++)
		if (writer->lane[i].generation == generation)
			return -EEXIST;
	if (writer->n_lanes >= writer->geometry.max_lanes ||
	    (writer->n_pools && max_held > writer->geometry.held_budget - writer->n_pins))
		return -ENOSPC;
	index = free_attached_entry(writer);
	if (index < 0)
		return index;
	r = grow_limbo(writer, writer->n_pins + max_held);
	if (r < 0)
		return r;

	l = &writer->lane[writer->n_lanes];
	l->lane = (const void *)((const unsigned char *)page + LANE_PAGE_FIRST + lane * lane_stride(max_held));
	l->generation = generation;
	l->max_held = max_held;
	l->attached_index = (uint32_t)index;
	l->lossy = lossy || !writer->reliable;
	l->needs_fence = ph->flags & CHANNEL_NEEDS_FENCE;
	l->peer = peer;
	writer->ticket[writer->n_lanes] = (const void *)((const unsigned char *)page + lane_page_ticket_offset(subscriber));
	writer->n_lanes++;
	writer->n_fence_lanes += l->needs_fence;
	writer->fence = writer->self_fence || writer->n_fence_lanes;
	writer->n_pins += max_held;

	/*
	 * from here on every scan includes the lane, so the reader may rely on its pins as soon as it sees its
	 * generation
	 */
	entry = &writer->header->attached[index];
	atomic_store_explicit(&entry->start, writer->head, memory_order_relaxed);
	atomic_store_explicit(&entry->generation, generation, memory_order_release);
	changed_attached(writer);

	/*
	 * The reader may sleep already, and messages published before this point did not ring for it: ring now,
	 * whatever its ticket. Without this a wake-up is lost (tests/model/wake.pml, ATTACH_LAZY).
	 */
	writer->rung[writer->n_lanes - 1] = atomic_load_explicit(writer->ticket[writer->n_lanes - 1], memory_order_relaxed);
	writer->ring_fn(writer->ring_context, peer);
	return 0;
}

int channel_writer_detach(struct channel_writer *writer, uint64_t generation, void **peer)
{
	uint32_t i = 0, last;

	while (i < writer->n_lanes && writer->lane[i].generation != generation)
		i++;
	if (i == writer->n_lanes)
		return -ENOENT;
	*peer = writer->lane[i].peer;
	atomic_store_explicit(&writer->header->attached[writer->lane[i].attached_index].generation, 0, memory_order_release);
	changed_attached(writer);
	writer->n_fence_lanes -= writer->lane[i].needs_fence;
	writer->fence = writer->self_fence || writer->n_fence_lanes;
	writer->n_pins -= writer->lane[i].max_held;
	last = --writer->n_lanes;
	writer->lane[i] = writer->lane[last];
	writer->ticket[i] = writer->ticket[last];
	writer->rung[i] = writer->rung[last];
	return 0;
}

void channel_writer_arm(struct channel_writer *writer)
{
	uint64_t ticket = atomic_load_explicit(&writer->header->writer_ticket, memory_order_relaxed);

	/*
	 * ticket, barrier, then the caller looks at the cursors; partner: reader.c, reader_store_cursor: cursor,
	 * compiler barrier, ticket
	 */
	atomic_store_explicit(&writer->header->writer_ticket, ticket + 1, memory_order_relaxed);
	barrier_rare();
}

bool channel_writer_has_room(struct channel_writer *writer)
{
	return retire_make_room(writer, 1) == 0;
}

/* ---- publishing -------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void ring_who_asked(struct channel_writer *w)
{
	for (uint32_t i = 0; i < w->n_lanes; i++) {
		uint64_t ticket = atomic_load_explicit(w->ticket[i], memory_order_relaxed);

		if (ticket != w->rung[i]) {
			w->rung[i] = ticket;
			w->ring_fn(w->ring_context, w->lane[i].peer);
		}
	}
}

/*
 * Whom to wake: readers whose ticket changed since we last rang for them. Partner: lane_page_arm. With many
 * readers this loop is what a publish costs, so it only collects differences, without a branch per reader.
 */
static inline void ring_doorbells(struct channel_writer *w)
{
	const _Atomic uint64_t **t = w->ticket;
	const uint64_t *r = w->rung;
	uint64_t changed = 0;
	uint32_t i = 0;

	barrier_fast(w->fence);
	for (; i + 4 <= w->n_lanes; i += 4) {
		changed |= atomic_load_explicit(t[i], memory_order_relaxed) ^ r[i];
		changed |= atomic_load_explicit(t[i + 1], memory_order_relaxed) ^ r[i + 1];
		changed |= atomic_load_explicit(t[i + 2], memory_order_relaxed) ^ r[i + 2];
		changed |= atomic_load_explicit(t[i + 3], memory_order_relaxed) ^ r[i + 3];
	}
	for (; i < w->n_lanes; i++)
		changed |= atomic_load_explicit(t[i], memory_order_relaxed) ^ r[i];
	if (__builtin_expect(changed != 0, 0))
		ring_who_asked(w);
}

/* Reading the counter takes as long as moving a cache line, so a batch shares one timestamp. */
static inline uint64_t stamp(const struct channel_writer *w)
{
	if (__builtin_expect(w->stamp == WRITER_STAMP_TICKS, 1))
		return clock_ticks();
	return w->stamp == WRITER_STAMP_NS ? clock_now_ns() : 0;
}

void channel_writer_set_header(struct channel_writer *writer, const void *header, size_t size)
{
	memset(writer->user_header, 0, sizeof(writer->user_header));
	memcpy(writer->user_header, header, size < writer->header_bytes ? size : writer->header_bytes);
}

/* A header is used up by the message that carries it. */
static __attribute__((noinline)) void put_header(struct channel_writer *w, struct channel_slot *slot)
{
	words_store(slot_user_header(slot, w->slot_shift, w->header_bytes), w->user_header, w->header_bytes);
	memset(w->user_header, 0, sizeof(w->user_header));
}

/* Make the filled slot at head a message. */
static inline void commit(struct channel_writer *w, struct channel_slot *slot, uint32_t ref, size_t size, uint64_t now)
{
	uint64_t head = w->head;

	if (__builtin_expect(w->header_bytes != 0, 0) && ref >> REF_KIND_SHIFT != REF_KIND_VOID)
		put_header(w, slot);
	atomic_store_explicit(&slot->timestamp, now, memory_order_relaxed);
	atomic_store_explicit(&slot->descriptor, (uint64_t)ref << 32 | (uint32_t)size, memory_order_relaxed);
	if (w->slot_ref)
		w->slot_ref[head & w->mask] = ref;
	/* release: payload and descriptor come before; partner: channel_reader_take */
	atomic_store_explicit(&slot->seq, head + 1, memory_order_release);
	w->head = head + 1;
	/* for those who join; readers in the stream look at seq only */
	atomic_store_explicit(&w->header->head, head + 1, memory_order_release);
}

/*
 * The slot at head, with room for a message. A slot whose payload area is on loan cannot take an inline message
 * when its turn comes before the loan is published: it becomes a void message that readers skip.
 */
static inline int next_slot(struct channel_writer *w, struct channel_slot **slot, uint64_t now)
{
	for (;;) {
		if (__builtin_expect(w->head == w->limit, 0) && retire_make_room(w, 1) < 0)
			return -EAGAIN;
		*slot = writer_slot(w, w->head);
		if (__builtin_expect(!loan_covers(w, w->head), 1))
			return 0;
		commit(w, *slot, REF_KIND_VOID << REF_KIND_SHIFT, 0, now);
	}
}

static int publish_inline_copy(struct channel_writer *w, const void *data, size_t size, uint64_t now)
{
	struct channel_slot *slot;

	if (next_slot(w, &slot, now) < 0)
		return -EAGAIN;
	words_store(slot->payload, data, size);
	commit(w, slot, REF_KIND_INLINE << REF_KIND_SHIFT, size, now);
	return 0;
}

/* One message from the loan @payload; no doorbells yet. The loan ends only with success. */
static inline int publish_loan(struct channel_writer *w, void *payload, size_t size, uint64_t now)
{
	struct channel_slot *slot = writer_slot(w, w->head);
	struct loan loan;
	int r;

	/* the usual case first: the loan is the payload area of the slot whose turn it is; nothing is copied */
	if (payload == slot->payload && loan_covers(w, w->head)) {
		if (__builtin_expect(size > w->inline_max, 0))
			return -EMSGSIZE;
		if (__builtin_expect(w->head == w->limit, 0) && retire_make_room(w, 1) < 0)
			return -EAGAIN;
		loan_end_slot(w, w->head);
		commit(w, slot, REF_KIND_INLINE << REF_KIND_SHIFT, size, now);
		return 0;
	}
	r = loan_find(w, payload, &loan);
	if (__builtin_expect(r < 0, 0))
		return r;
	if (__builtin_expect(size > loan.room, 0))
		return -EMSGSIZE;
	if (loan.kind == LOAN_CHUNK) {
		/* the slot's payload area stays untouched, so it does not matter whether it is on loan */
		if (__builtin_expect(w->head == w->limit, 0) && retire_make_room(w, 1) < 0)
			return -EAGAIN;
		loan_end_published(w, &loan);
		commit(w, slot, loan.ref, size, now);
		return 0;
	}
	r = publish_inline_copy(w, payload, size, now);
	if (r == 0)
		loan_end(w, &loan);
	return r;
}

int channel_writer_publish(struct channel_writer *writer, void *payload, size_t size)
{
	struct channel_slot *slot = writer_slot(writer, writer->head);
	uint64_t now = stamp(writer);
	int r;

	/*
	 * the usual case in a straight line: the only in-slot loan is of the slot whose turn it is, and its
	 * room was made when it was lent
	 */
	if (__builtin_expect(payload == slot->payload && writer->inslot_mask == 1 && writer->inslot_first == writer->head &&
			     size <= writer->inline_max, 1)) {
		writer->inslot_mask = 0;
		writer->n_loans--;
		commit(writer, slot, REF_KIND_INLINE << REF_KIND_SHIFT, size, now);
	} else if (payload == writer->last_payload && payload && size <= writer->last_room && writer->head != writer->limit) {
		/* likewise for the chunk loaned last */
		*writer->last_state = CHUNK_OURS;
		writer->last_payload = NULL;
		writer->n_loans--;
		commit(writer, slot, writer->last_ref, size, now);
	} else {
		r = publish_loan(writer, payload, size, now);
		if (__builtin_expect(r < 0, 0))
			return r;
	}
	ring_doorbells(writer);
	return (int)writer->n_lanes;
}

int channel_writer_publish_batch(struct channel_writer *writer, void **payloads, const size_t *sizes, int n)
{
	uint64_t now = stamp(writer);
	int done = 0, r = 0;

	while (done < n) {
		r = publish_loan(writer, payloads[done], sizes[done], now);
		if (r < 0)
			break;
		done++;
	}
	if (!done)
		return r;
	ring_doorbells(writer);
	return done;
}

int channel_writer_send(struct channel_writer *writer, const void *data, size_t size)
{
	void *payload;
	int r;

	if (size > writer->inline_max) {
		r = channel_writer_loan(writer, size, &payload);
		if (r < 0)
			return r;
		memcpy(payload, data, size);
		r = publish_loan(writer, payload, size, stamp(writer));
		if (r < 0)
			channel_writer_discard(writer, payload);
	} else {
		r = publish_inline_copy(writer, data, size, stamp(writer));
	}
	if (r < 0)
		return r;
	ring_doorbells(writer);
	return (int)writer->n_lanes;
}
