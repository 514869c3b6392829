/* SPDX-License-Identifier: MIT */
/*
 * retire.c - how the writer gets slots and chunks back
 *
 * Two ways to move the tail, and they differ in who pays:
 *
 *  - Consumed: every lane's cursor is beyond a message. A reader stores its pin before its cursor (release), so
 *    the writer that acquired the cursor sees the pin. No barrier.
 *  - Overrun: a lossy lane lags and is passed over. The reader may be about to pin: it stores its pin, then loads
 *    the tail, with nothing but a compiler barrier between. We store the tail, run membarrier, then load the pins.
 *    If the reader's load came before the barrier reached it, its pin store did too and we see the pin; if after,
 *    the reader sees the new tail and gives up.
 *
 * One rule holds everywhere: the tail moves before any slot or chunk below it is reused. A reader that copies
 * (inline payload, or a chunk before its lane is attached) checks the tail afterwards and needs nothing else,
 * so a ring without pools never pays for membarrier.
 *
 * Pins and cursors are arbitrary bits a stranger wrote. A cursor is clamped to tail..head; a pin is a number
 * that may or may not name a message. Whatever a reader lies, it loses its own messages or keeps at most
 * max_held chunks, which the pools have room for.
 */
#include "channel/retire.h"

#include <errno.h>

#include "channel/barrier.h"
#include "channel/extra.h"
#include "channel/pool.h"

void retire_chunk(struct channel_writer *writer, uint32_t ref)
{
	if (__builtin_expect(ref >> REF_KIND_SHIFT == REF_KIND_EXTRA, 0)) {
		extra_put(writer, ref & REF_INDEX_MASK);
		return;
	}
	pool_put(&writer->pool[ref >> REF_KIND_SHIFT], ref & REF_INDEX_MASK);
}

static bool is_chunk(uint32_t ref)
{
	return ref >> REF_KIND_SHIFT <= REF_KIND_EXTRA;
}

/* Smallest cursor of all lanes, or of the reliable ones only; head if there is none. */
static uint64_t consumed_up_to(const struct channel_writer *w, bool reliable_only)
{
	uint64_t min = w->head;

	for (uint32_t i = 0; i < w->n_lanes; i++) {
		uint64_t cursor;

		if (reliable_only && w->lane[i].lossy)
			continue;
		/* acquire: what the reader pinned before is visible now; partner: reader.c, reader_store_cursor */
		cursor = atomic_load_explicit(&w->lane[i].lane->cursor, memory_order_acquire);
		if (cursor < w->tail)
			cursor = w->tail;
		if (cursor < min)
			min = cursor;
	}
	return min;
}

/*
 * Mark the limbo entry of @seq, if there is one, as still in use. Limbo is sorted: entries come in the order of
 * the tape.
 */
static void keep_in_limbo(struct channel_writer *w, uint64_t seq)
{
	uint32_t low = 0, high = w->n_limbo;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (w->limbo[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < w->n_limbo && w->limbo[low].seq == seq)
		w->limbo[low].keep = 1;
}

/* Look at every pin once: note which messages of from..to-1 are in use (returns how many notes), and which of limbo. */
static uint32_t scan_pins(struct channel_writer *w, uint64_t from, uint64_t to)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < w->n_lanes; i++) {
		const struct writer_lane *l = &w->lane[i];

		for (uint32_t k = 0; k < l->max_held; k++) {
			/* acquire: the reader's last look at the chunk is over; partner: channel_reader_release */
			uint64_t seq = atomic_load_explicit(&l->lane->pin[k], memory_order_acquire) - 1;

			if (seq - from < to - from) {
				w->pinned[(seq & w->mask) / 64] |= 1ull << (seq % 64);
				found++;
			} else if (w->n_limbo && seq < from) {
				keep_in_limbo(w, seq);
			}
		}
	}
	return found;
}

static bool is_pinned(const struct channel_writer *w, uint64_t seq)
{
	return w->pinned[(seq & w->mask) / 64] >> (seq % 64) & 1;
}

static void sweep_limbo(struct channel_writer *w)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < w->n_limbo; i++) {
		if (w->limbo[i].keep) {
			w->limbo[kept] = w->limbo[i];
			w->limbo[kept++].keep = 0;
		} else {
			retire_chunk(w, w->limbo[i].ref);
		}
	}
	w->n_limbo = kept;
}

/* Chunks of the messages from..to-1, now behind the tail: to limbo if pinned, else to their pools. */
static void retire_chunks(struct channel_writer *w, uint64_t from, uint64_t to)
{
	uint32_t found = scan_pins(w, from, to);

	if (w->n_limbo)
		sweep_limbo(w);
	/* room: limbo never holds more than one entry per pin, and attach made room for all pins */
	for (uint64_t seq = from; found && seq < to; seq++)
		if (is_pinned(w, seq) && is_chunk(w->slot_ref[seq & w->mask]))
			w->limbo[w->n_limbo++] = (struct writer_limbo){ .seq = seq, .ref = w->slot_ref[seq & w->mask] };
	/* backwards, so that the stack gives them out again in the order of their addresses */
	for (uint64_t seq = to; seq-- > from;) {
		uint32_t ref = w->slot_ref[seq & w->mask];

		if (found && is_pinned(w, seq)) {
			w->pinned[(seq & w->mask) / 64] &= ~(1ull << (seq % 64));
			continue;
		}
		if (is_chunk(ref))
			retire_chunk(w, ref);
	}
}

static void move_tail(struct channel_writer *w, uint64_t to, bool overrun)
{
	uint64_t from = w->tail;

	atomic_store_explicit(&w->header->tail, to, memory_order_release);
	/*
	 * before any store to a slot or chunk below; partner: the acquire fence in reader.c before it looks at
	 * the tail again
	 */
	atomic_thread_fence(memory_order_release);
	w->tail = to;
	w->limit = to + w->mask + 1;
	if (!w->n_pools && !w->n_extras)
		return;
	if (overrun)
		barrier_rare();
	retire_chunks(w, from, to);
}

void retire_consumed(struct channel_writer *writer)
{
	uint64_t keep = writer->head > writer->geometry.history ? writer->head - writer->geometry.history : 0;
	uint64_t to;

	/* a lane under way begins before everything published since it was announced */
	if (writer->n_expected)
		to = writer->tail;
	else
		to = consumed_up_to(writer, false);
	if (to > keep)
		to = keep;
	if (to > writer->tail)
		move_tail(writer, to, false);
	else if (writer->n_limbo)
		retire_chunks(writer, writer->tail, writer->tail);
}

/* Reliable readers under way are waited for like those that are here. */
static uint64_t reliable_up_to(const struct channel_writer *w)
{
	return w->n_expected && w->reliable ? w->tail : consumed_up_to(w, true);
}

int retire_overrun(struct channel_writer *writer, uint64_t to)
{
	if (to > reliable_up_to(writer))
		return -EAGAIN;
	if (to > writer->tail)
		move_tail(writer, to, true);
	return 0;
}

int retire_make_room(struct channel_writer *writer, uint32_t n)
{
	uint64_t slots = writer->mask + 1;
	uint64_t to, reliable;

	if (writer->head + n <= writer->limit)
		return 0;
	retire_consumed(writer);
	if (writer->n_free_extras)
		extra_look_for_idle(writer);
	/* a batch at a time: each look at the cursors costs a cache miss per lane */
	if (writer->head + slots / 8 <= writer->limit)
		return 0;

	/* what the depth promises (3/4 of the ring) is not touched by this */
	to = writer->tail + slots / 4;
	if (to > writer->head)
		to = writer->head;
	reliable = reliable_up_to(writer);
	if (to > reliable)
		to = reliable;
	/*
	 * a ring that is full only of history and unconsumed messages of lossy lanes is overrun; one that still
	 * has room is left alone
	 */
	if (to > writer->tail && writer->head + n > writer->limit)
		move_tail(writer, to, true);
	return writer->head + n <= writer->limit ? 0 : -EAGAIN;
}
