/* SPDX-License-Identifier: MIT */
/*
 * take.h - the straight line of a take, inlined into the caller
 *
 * A message per ten nanoseconds leaves no room for handing values through memory, so the usual case - the next
 * message is there, is whole, and the lane is attached - is here, and everything unusual (empty, lapped, not
 * attached yet, nonsense) is left to reader_take_slowly() in reader.c, which begins anew at the same message.
 * The rules are those of reader.c.
 */
#ifndef ZCP_CHANNEL_TAKE_H
#define ZCP_CHANNEL_TAKE_H

#include <errno.h>

#include "channel/barrier.h"
#include "channel/pool.h"
#include "channel/reader.h"
#include "channel/words.h"

/* How far ahead of the message taken chunks are fetched, and how many messages in a row make a stream. */
#define LOOKAHEAD 8

/* A message handed over through memory would be stored in words and loaded in pairs, which stalls; so compilers get no choice. */
#define TAKE_INLINE static inline __attribute__((always_inline))

int reader_take_slowly(struct channel_reader *reader, uint32_t k, void *buffer, struct channel_message *message);

/* Tell the writer how far we are, and see whether it waits for that. */
void reader_store_cursor(struct channel_reader *reader);

static inline const struct channel_slot *reader_slot(const struct channel_reader *r, uint64_t seq)
{
	return (const void *)(r->ring + ((seq & r->mask) << r->slot_shift));
}

/* The user header of @slot, copied to the end of @buffer: whole if the message is still valid afterwards, which take looks at anyway. */
static inline const void *reader_load_header(const struct channel_reader *r, const struct channel_slot *slot, void *buffer)
{
	unsigned char *to = (unsigned char *)buffer + SLOT_INLINE_MAX - r->header_bytes;

	words_load(to, slot_user_header(slot, r->slot_shift, r->header_bytes), r->header_bytes);
	return to;
}

/* Whether message r->cur is still valid, i.e. whether what was just read of it was whole. */
static inline bool still_valid(const struct channel_reader *r)
{
	return atomic_load_explicit(&r->header->tail, memory_order_acquire) <= r->cur;
}

/* Offset of the chunk that @ref names, or 0 if it names none or @size does not fit. */
static inline uint64_t chunk_offset(const struct channel_reader *r, uint32_t ref, uint32_t size)
{
	uint32_t pool = ref >> REF_KIND_SHIFT, index = ref & REF_INDEX_MASK;
	const struct channel_pool *p;

	if (pool >= r->geometry.n_pools)
		return 0;
	p = &r->geometry.pool[pool];
	if (index >= p->count || size > p->chunk_bytes || size > r->geometry.payload_max)
		return 0;
	return p->offset + index * p->stride_bytes;
}

/*
 * In a stream of small chunks each message costs two misses, the second known only after the first. While
 * messages keep coming, fetch the chunk of a later one early. What its slot says is only a hint here; it is
 * read again and checked when its turn comes.
 */
static inline void prefetch_ahead(const struct channel_reader *r)
{
	uint64_t seq = r->cur + LOOKAHEAD;
	const struct channel_slot *slot = reader_slot(r, seq);
	uint64_t descriptor, offset;

	if (atomic_load_explicit(&slot->seq, memory_order_relaxed) != seq + 1)
		return;
	descriptor = atomic_load_explicit(&slot->descriptor, memory_order_relaxed);
	offset = chunk_offset(r, (uint32_t)(descriptor >> 32), (uint32_t)descriptor);
	__builtin_prefetch(r->segment + offset);
}

/*
 * Pin the chunk at @offset, and look whether it is still there. Dekker's pattern with the writer's overrun;
 * partner: retire.c, move_tail. False: lapped; the pin is taken back.
 */
static inline bool pin_chunk(struct channel_reader *r, uint32_t k)
{
	/* release: an earlier use of this pin is over */
	atomic_store_explicit(&r->lane->pin[k], r->cur + 1, memory_order_release);
	barrier_fast(r->fence);
	/* descriptor and pin before the tail */
	atomic_thread_fence(memory_order_acquire);
	if (__builtin_expect(still_valid(r), 1))
		return true;
	channel_reader_release(r, k);
	return false;
}

/* Message r->cur is taken: the rest of @message, and on to the next. */
TAKE_INLINE void finish_take(struct channel_reader *r, uint32_t size, struct channel_message *message)
{
	message->size = size;
	message->sequence = r->cur++;
	message->lost = r->lost;
	/* what need not be stored is not: at this rate stores are what a take is made of */
	if (__builtin_expect(r->lost != 0, 0))
		r->lost = 0;
	r->taken++;
	/* large chunks are worth a cursor each: the writer reuses them while they are in cache */
	if (r->cur - r->stored >= r->cursor_batch || size >= POOL_EARLY_BYTES)
		reader_store_cursor(r);
}

/* channel_reader_take(), inlined. */
TAKE_INLINE int reader_take(struct channel_reader *r, uint32_t k, void *buffer, struct channel_message *message)
{
	const struct channel_slot *slot = reader_slot(r, r->cur);
	/* acquire: payload and descriptor come after; partner: writer.c, commit */
	uint64_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);
	uint64_t descriptor, offset;
	uint32_t size, ref;

	if (__builtin_expect(seq != r->cur + 1 || r->cur >= r->limit, 0))
		return reader_take_slowly(r, k, buffer, message);
	message->timestamp = atomic_load_explicit(&slot->timestamp, memory_order_relaxed);
	descriptor = atomic_load_explicit(&slot->descriptor, memory_order_relaxed);
	size = (uint32_t)descriptor;
	ref = (uint32_t)(descriptor >> 32);
	if (__builtin_expect(r->header_bytes != 0, 0))
		message->header = reader_load_header(r, slot, buffer);
	if (ref >> REF_KIND_SHIFT == REF_KIND_INLINE && size <= r->inline_max) {
		words_load(buffer, slot->payload, size);
		/* the copy before the tail; partner: retire.c, move_tail */
		atomic_thread_fence(memory_order_acquire);
		if (__builtin_expect(!still_valid(r), 0))
			return reader_take_slowly(r, k, buffer, message);
		message->data = buffer;
		message->pinned = false;
	} else {
		offset = chunk_offset(r, ref, size);
		if (__builtin_expect(!offset || !r->attached, 0))
			return reader_take_slowly(r, k, buffer, message);
		__builtin_prefetch(r->segment + offset);
		if (r->taken - r->taken_at_empty >= LOOKAHEAD)
			prefetch_ahead(r);
		if (__builtin_expect(!pin_chunk(r, k), 0))
			return reader_take_slowly(r, k, buffer, message);
		message->data = r->segment + offset;
		message->pinned = true;
	}
	finish_take(r, size, message);
	return 0;
}

#endif
