/* SPDX-License-Identifier: MIT */
/*
 * reader.c - taking messages from a ring that somebody else writes
 *
 * The writer never waits for us (unless the lane is reliable), so everything read here may be overwritten at
 * any moment, and the tail tells: what is at or above the tail after we have read it was whole when we read it.
 * A chunk is kept by a pin instead, once the writer has attached the lane.
 *
 * The writer may also be hostile. Every word of a slot is loaded once; size and reference are checked against
 * the geometry we copied and checked at init; a loop never runs on a number the writer chose.
 */
#include "channel/reader.h"

#include <errno.h>
#include <string.h>

#include "channel/barrier.h"
#include "channel/geometry.h"
#include "channel/take.h"

/* A hostile writer could make us skip for ever; after this many steps take says -EAGAIN and the caller comes back. */
#define STEPS_MAX 64

void lane_page_init(void *page, uint32_t n_lanes, uint32_t max_held, uint64_t endpoint)
{
	struct lane_page_header *h = page;

	h->version = CHANNEL_VERSION;
	h->flags = barrier_register() ? 0 : CHANNEL_NEEDS_FENCE;
	h->endpoint = endpoint;
	h->n_lanes = n_lanes;
	h->max_held = max_held;
	h->magic = LANE_PAGE_MAGIC;
}

void lane_page_arm(void *page, uint64_t endpoint)
{
	_Atomic uint64_t *ticket = (void *)((unsigned char *)page + lane_page_ticket_offset(endpoint));

	/*
	 * ticket, barrier, then the caller looks at the rings; partner: writer.c, ring_doorbells: message,
	 * compiler barrier, ticket
	 */
	atomic_store_explicit(ticket, atomic_load_explicit(ticket, memory_order_relaxed) + 1, memory_order_relaxed);
	barrier_rare();
}

int reader_check_header(const void *segment, uint64_t bytes, uint64_t publisher, struct channel_geometry *geometry)
{
	const struct channel_header *h = segment;

	if (bytes < sizeof(*h))
		return -EPROTO;
	/*
	 * plain reads: the writer filled these in before the router let us see the segment; the copy is what
	 * gets checked and used
	 */
	*geometry = *(const volatile struct channel_geometry *)&h->geometry;
	if (h->magic != CHANNEL_MAGIC)
		return -EPROTO;
	if (h->version != CHANNEL_VERSION)
		return -EPROTONOSUPPORT;
	if (h->endpoint != publisher || geometry->segment_bytes > bytes || geometry_check(geometry) < 0)
		return -EPROTO;
	return 0;
}

/* Where to begin: the stream's first message, or @history back from its end. */
static uint64_t first_sequence(const struct channel_reader *r, const struct reader_options *options, uint64_t head)
{
	uint64_t tail = atomic_load_explicit(&r->header->tail, memory_order_acquire);
	uint64_t back = options->history < r->geometry.history ? options->history : r->geometry.history;

	if (options->from_start)
		return 0;
	back = back < head ? head - back : 0;
	return back > tail ? back : tail;
}

int channel_reader_init(struct channel_reader *reader, const void *segment, uint64_t bytes, void *page, uint32_t n_lanes,
			uint32_t max_held, uint32_t lane, const struct reader_options *options)
{
	uint64_t head;
	uint32_t flags;
	int r;

	memset(reader, 0, sizeof(*reader));
	if (lane >= n_lanes || !lane_page_bytes(n_lanes, max_held))
		return -EINVAL;
	r = reader_check_header(segment, bytes, options->publisher, &reader->geometry);
	if (r < 0)
		return r;
	reader->segment = segment;
	reader->header = segment;
	flags = *(const volatile uint32_t *)&reader->header->flags;
	if (!(flags & CHANNEL_COUNTERS) != !options->counters)
		return -EPROTO;
	reader->ring = reader->segment + reader->geometry.ring_offset;
	reader->mask = reader->geometry.ring_slots - 1;
	reader->slot_shift = (uint32_t)__builtin_ctz(reader->geometry.slot_bytes);
	reader->inline_max = geometry_inline_max(&reader->geometry);
	reader->header_bytes = reader->geometry.header_bytes;
	reader->cursor_batch = reader->geometry.ring_slots / 8;
	reader->fence = !barrier_register() || flags & CHANNEL_NEEDS_FENCE;
	reader->ticks = flags & CHANNEL_TICKS;
	reader->generation = options->generation;
	reader->max_held = max_held;
	reader->copies = options->copies;
	reader->copies_stride = options->copies_stride;
	reader->extra = options->extra;
	reader->extra_pin = options->extra_pin;
	reader->room = options->room;
	reader->room_context = options->room_context;
	reader->count_from = options->from_start ? 0 : UINT64_MAX;
	reader->attach_epoch = UINT64_MAX;
	head = atomic_load_explicit(&reader->header->head, memory_order_acquire);
	reader->cur = first_sequence(reader, options, head);
	reader->stored = reader->first = reader->cur;
	reader->limit = options->from_start || options->lossy ? UINT64_MAX : head;
	/* behind everything: nothing is ever ready, nor is there anything to consume */
	if (options->counters)
		reader->cur = reader->stored = UINT64_MAX;

	reader->lane = (void *)((unsigned char *)page + LANE_PAGE_FIRST + lane * lane_stride(max_held));
	for (uint32_t k = 0; k < max_held; k++)
		atomic_store_explicit(&reader->lane->pin[k], 0, memory_order_relaxed);
	reader->counts = lane_counts(reader->lane, max_held);
	atomic_store_explicit(&reader->counts->skipped, reader->cur, memory_order_relaxed);
	atomic_store_explicit(&reader->counts->lost, 0, memory_order_relaxed);
	atomic_store_explicit(&reader->counts->malformed, 0, memory_order_relaxed);
	/* the writer hears of this lane only after we said LANE_CHOSEN over two sockets: it sees all of it */
	atomic_store_explicit(&reader->lane->cursor, reader->cur, memory_order_release);
	return 0;
}

void reader_store_cursor(struct channel_reader *reader)
{
	struct channel_reader *r = reader;
	uint64_t ticket;

	r->stored = r->cur;
	/* release: pins come before; partner: retire.c, consumed_up_to */
	atomic_store_explicit(&r->lane->cursor, r->cur, memory_order_release);
	/* partner: channel_writer_arm */
	barrier_fast(r->fence);
	ticket = atomic_load_explicit(&r->header->writer_ticket, memory_order_relaxed);
	if (__builtin_expect(ticket != r->writer_rung, 0)) {
		r->writer_rung = ticket;
		r->wake_writer = true;
	}
}

void channel_reader_flush(struct channel_reader *reader)
{
	if (reader->stored != reader->cur)
		reader_store_cursor(reader);
}

/* Has the writer begun to scan our pins? It writes our generation into some entry of attached[]. */
static void look_for_attachment(struct channel_reader *r)
{
	uint64_t epoch = atomic_load_explicit(&r->header->attach_epoch, memory_order_acquire);

	if (epoch == r->attach_epoch)
		return;
	r->attach_epoch = epoch;
	for (uint32_t i = 0; i < r->geometry.max_lanes; i++) {
		const struct channel_attached *a = &r->header->attached[i];

		/* acquire: the writer's scans include us from here on; partner: channel_writer_attach */
		if (atomic_load_explicit(&a->generation, memory_order_acquire) != r->generation)
			continue;
		r->attached = true;
		if (!r->gone)
			r->limit = UINT64_MAX;
		if (r->count_from)
			r->count_from = atomic_load_explicit(&a->start, memory_order_relaxed);
		return;
	}
}

/* One of the lane's counts, which only we write. */
static void add(_Atomic uint64_t *count, uint64_t n)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

static void lose(struct channel_reader *r, uint64_t n)
{
	r->lost += n;
	add(&r->counts->lost, n);
}

/* The writer has passed us. Go on at its tail, and count what was missed. */
static void lapped(struct channel_reader *r)
{
	uint64_t tail = atomic_load_explicit(&r->header->tail, memory_order_acquire);
	uint64_t from;

	/*
	 * Before the first message a newcomer's losses are history that it did not get; they count from where
	 * the writer attached it. From the first message on every gap counts.
	 */
	if (!r->attached)
		look_for_attachment(r);
	from = r->cur == r->first && r->count_from > r->cur ? r->count_from : r->cur;
	if (tail <= r->cur)
		tail = r->cur + 1;	/* an honest writer moves the tail before it reuses a slot */
	if (tail > from)
		lose(r, tail - from);
	if (r->cur == r->first)
		r->first = tail;
	add(&r->counts->skipped, tail - r->cur);
	r->cur = tail;
}

enum step {
	STEP_TAKEN,
	STEP_AGAIN,	/* look at the next message */
	STEP_STARVED,	/* this one has to wait */
};

enum skipped {
	SKIPPED_VOID,
	SKIPPED_LOST,
	SKIPPED_MALFORMED,
};

static enum step skip(struct channel_reader *r, enum skipped why)
{
	if (!still_valid(r)) {
		lapped(r);
		return STEP_AGAIN;
	}
	if (why == SKIPPED_MALFORMED) {
		r->malformed++;
		add(&r->counts->malformed, 1);
	}
	if (why != SKIPPED_VOID)
		lose(r, 1);
	add(&r->counts->skipped, 1);
	r->cur++;
	return STEP_AGAIN;
}

static enum step take_inline(struct channel_reader *r, const struct channel_slot *slot, uint32_t size, void *buffer,
			     struct channel_message *m)
{
	if (size > r->inline_max) {
		atomic_thread_fence(memory_order_acquire);
		return skip(r, SKIPPED_MALFORMED);
	}
	words_load(buffer, slot->payload, size);
	/* the copy before the tail; partner: retire.c, move_tail */
	atomic_thread_fence(memory_order_acquire);
	if (!still_valid(r)) {
		lapped(r);
		return STEP_AGAIN;
	}
	m->data = buffer;
	m->pinned = false;
	return STEP_TAKEN;
}

/* Before the writer attached us our pins mean nothing: copy, then look whether it was still there. */
static enum step take_copy(struct channel_reader *r, const unsigned char *chunk, uint32_t size, unsigned char *copy,
			   struct channel_message *m)
{
	words_copy_racy(copy, chunk, size);
	atomic_thread_fence(memory_order_acquire);
	if (!still_valid(r)) {
		lapped(r);
		return STEP_AGAIN;
	}
	m->data = copy;
	m->pinned = false;
	return STEP_TAKEN;
}

bool reader_holds_extra(const struct channel_reader *reader, uint32_t place)
{
	for (uint32_t k = 0; k < reader->max_held; k++) {
		uint64_t pin = atomic_load_explicit(&reader->lane->pin[k], memory_order_relaxed);

		if (pin && reader->extra_pin[k] == (pin << 6 | place))
			return true;
	}
	return false;
}

/* An extra is one chunk, and the rules are those of chunks. But it may not be here yet, then this lane stands still. */
static enum step take_extra(struct channel_reader *r, uint32_t id, uint32_t size, uint32_t k, struct channel_message *m)
{
	uint32_t place = id % EXTRAS_MAX;
	const struct reader_extra *e = r->extra ? &r->extra[place] : NULL;
	unsigned char *copy;

	/* the descriptor before the tail */
	atomic_thread_fence(memory_order_acquire);
	if (!e || (e->id == id && e->base && size > e->bytes))
		return skip(r, SKIPPED_MALFORMED);
	if (e->id != id && !r->gone && still_valid(r)) {
		r->starved = r->cur + 1;
		return STEP_STARVED;
	}
	if (e->id != id || !e->base)
		return skip(r, SKIPPED_LOST);
	if (!r->attached)
		look_for_attachment(r);
	if (!r->attached) {
		copy = r->room(r->room_context, k, size);
		return copy ? take_copy(r, e->base, size, copy, m) : skip(r, SKIPPED_LOST);
	}
	if (!pin_chunk(r, k)) {
		lapped(r);
		return STEP_AGAIN;
	}
	r->extra_pin[k] = (r->cur + 1) << 6 | place;
	m->data = e->base;
	m->pinned = true;
	return STEP_TAKEN;
}

static enum step take_chunk(struct channel_reader *r, uint32_t ref, uint32_t size, uint32_t k, struct channel_message *m)
{
	uint64_t offset = chunk_offset(r, ref, size);

	if (ref >> REF_KIND_SHIFT == REF_KIND_EXTRA)
		return take_extra(r, ref & REF_INDEX_MASK, size, k, m);
	if (!offset) {
		atomic_thread_fence(memory_order_acquire);
		return skip(r, ref >> REF_KIND_SHIFT == REF_KIND_VOID ? SKIPPED_VOID : SKIPPED_MALFORMED);
	}
	if (!r->attached) {
		look_for_attachment(r);
		if (!r->attached)
			return take_copy(r, r->segment + offset, size, r->copies + k * r->copies_stride, m);
	}
	if (!pin_chunk(r, k)) {
		lapped(r);
		return STEP_AGAIN;
	}
	m->data = r->segment + offset;
	m->pinned = true;
	return STEP_TAKEN;
}

int reader_take_slowly(struct channel_reader *reader, uint32_t k, void *buffer, struct channel_message *message)
{
	struct channel_reader *r = reader;

	for (int steps = 0; steps < STEPS_MAX; steps++) {
		const struct channel_slot *slot = reader_slot(r, r->cur);
		uint64_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
		uint64_t descriptor;
		uint32_t size, ref;
		enum step step;

		if (seq <= r->cur)
			break;
		if (r->cur >= r->limit) {
			look_for_attachment(r);
			if (!r->attached || r->gone)
				break;
		}
		if (seq != r->cur + 1) {
			lapped(r);
			continue;
		}
		message->timestamp = atomic_load_explicit(&slot->timestamp, memory_order_relaxed);
		descriptor = atomic_load_explicit(&slot->descriptor, memory_order_relaxed);
		size = (uint32_t)descriptor;
		ref = (uint32_t)(descriptor >> 32);
		if (r->header_bytes)
			message->header = reader_load_header(r, slot, buffer);
		if (ref >> REF_KIND_SHIFT == REF_KIND_INLINE)
			step = take_inline(r, slot, size, buffer, message);
		else
			step = take_chunk(r, ref, size, k, message);
		if (step == STEP_AGAIN)
			continue;
		if (step == STEP_STARVED)
			break;
		finish_take(r, size, message);
		return 0;
	}
	r->taken_at_empty = r->taken;
	channel_reader_flush(r);
	if (!r->attached)
		look_for_attachment(r);
	return -EAGAIN;
}

int channel_reader_take(struct channel_reader *reader, uint32_t k, void *buffer, struct channel_message *message)
{
	return reader_take(reader, k, buffer, message);
}

/* ---- the newest -------------------------------------------------------------------------------------------------- */

/* Where the newest message of [from, end) is, or @end: void messages are none. Behind it there may be ones that are overwritten by now. */
static uint64_t find_newest(const struct channel_reader *r, uint64_t from, uint64_t end)
{
	uint64_t seq = end;

	for (int steps = 0; steps < STEPS_MAX && seq > from; steps++) {
		const struct channel_slot *slot = reader_slot(r, --seq);
		uint64_t descriptor;

		if (atomic_load_explicit(&slot->seq, memory_order_acquire) != seq + 1)
			continue;
		descriptor = atomic_load_explicit(&slot->descriptor, memory_order_relaxed);
		if (descriptor >> (32 + REF_KIND_SHIFT) != REF_KIND_VOID)
			return seq;
	}
	return end;
}

/* Behind the last message that we may take. */
static uint64_t end_of_stream(struct channel_reader *r)
{
	uint64_t head = atomic_load_explicit(&r->header->head, memory_order_acquire);

	if (r->limit != UINT64_MAX)
		look_for_attachment(r);
	return head < r->limit ? head : r->limit;
}

int channel_reader_newest(struct channel_reader *reader, uint32_t k, void *buffer, struct channel_message *message)
{
	struct channel_reader *r = reader;

	for (int tries = 0; tries < STEPS_MAX; tries++) {
		uint64_t from = r->cur, end = end_of_stream(r);

		if (end <= from)
			break;
		r->cur = find_newest(r, from, end);
		if (r->cur != from)
			add(&r->counts->skipped, r->cur - from);
		/* one that is overwritten while we look makes take go on behind it: to one that is newer still, or to none */
		if (r->cur < end && reader_take(r, k, buffer, message) == 0) {
			channel_reader_flush(r);
			return 0;
		}
	}
	channel_reader_flush(r);
	return -EAGAIN;
}
