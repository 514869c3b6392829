/* SPDX-License-Identifier: MIT */
/*
 * loan.c - lending memory for messages
 *
 * A loan that fits inline gets the payload area of the slot that will be published next - if no other such loan
 * is open, else the areas would have to be published in the order they were lent. A batch gets the areas of
 * consecutive slots. While such loans are open, further ones get a chunk or a scratch area; if these are
 * published first, the lent slots are passed over as void messages (writer.c, next_slot), and a late in-slot
 * loan is copied into the slot whose turn it then is.
 */
#include "channel/loan.h"

#include <stddef.h>

#include "channel/extra.h"
#include "channel/geometry.h"
#include "channel/retire.h"

/* The smallest class that fits. Classes go from large to small. */
static struct writer_pool *pool_for(struct channel_writer *w, size_t size, uint32_t *number)
{
	uint32_t i = w->n_pools;

	while (i-- > 0) {
		if (size <= w->pool[i].room) {
			*number = i;
			return &w->pool[i];
		}
	}
	return NULL;
}

int loan_fail(struct channel_writer *w)
{
	_Atomic uint64_t *n = &w->header->counts.n_failed_loans;

	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
	return -ENOBUFS;
}

static int loan_chunk(struct channel_writer *w, size_t size, void **payload)
{
	struct writer_pool *pool;
	uint32_t number = 0;
	int64_t index;

	pool = pool_for(w, size, &number);
	if (!pool->n_free && (!pool->n_fresh || (pool->early && pool->count - pool->n_fresh >= POOL_WARM_CHUNKS)))
		retire_consumed(w);
	index = pool_get(pool);
	if (__builtin_expect(index < 0, 0))
		return loan_fail(w);
	w->n_loans++;
	w->last_pool = number;
	w->last_ref = number << REF_KIND_SHIFT | (uint32_t)index;
	w->last_state = &pool->state[index];
	w->last_room = pool->room;
	w->last_payload = *payload = pool_chunk(pool, (uint32_t)index);
	return 0;
}

static int loan_scratch(struct channel_writer *w, void **payload)
{
	uint32_t i = 0;

	while (w->scratch_used[i])
		i++;	/* ends: n_loans < max_loans, which is the number of areas */
	w->scratch_used[i] = 1;
	w->n_loans++;
	*payload = w->scratch + (size_t)i * SLOT_INLINE_MAX;
	return 0;
}

static int loan_slots(struct channel_writer *w, void **payloads, uint32_t n)
{
	if (w->head + n > w->limit && retire_make_room(w, n) < 0) {
		if (w->head == w->limit)
			return -EAGAIN;
		n = (uint32_t)(w->limit - w->head);	/* some room is better than none */
	}
	w->inslot_first = w->head;
	w->inslot_mask = n == 64 ? UINT64_MAX : (1ull << n) - 1;
	w->n_loans += n;
	for (uint32_t i = 0; i < n; i++)
		payloads[i] = (void *)(uintptr_t)writer_slot(w, w->head + i)->payload;
	return (int)n;
}

static inline int loan_slot(struct channel_writer *w, void **payload)
{
	if (__builtin_expect(w->head == w->limit, 0) && retire_make_room(w, 1) < 0)
		return -EAGAIN;
	w->inslot_first = w->head;
	w->inslot_mask = 1;
	w->n_loans++;
	*payload = (void *)(uintptr_t)writer_slot(w, w->head)->payload;
	return 0;
}

int channel_writer_loan(struct channel_writer *writer, size_t size, void **payload)
{
	if (__builtin_expect(writer->n_loans >= writer->max_loans, 0))
		return size > writer->geometry.payload_max && !writer->extra ? -EMSGSIZE : loan_fail(writer);
	if (size <= writer->inline_max) {
		if (__builtin_expect(!writer->inslot_mask, 1))
			return loan_slot(writer, payload);
		if (!writer->n_pools)
			return loan_scratch(writer, payload);
	}
	if (__builtin_expect(size > writer->geometry.payload_max, 0))
		return extra_loan(writer, size, payload);
	return loan_chunk(writer, size, payload);
}

static int loan_another(struct channel_writer *w, size_t size, void **payload)
{
	if (size > w->geometry.payload_max)
		return extra_loan(w, size, payload);
	/* small ones beside open in-slot loans may need scratch */
	return w->n_pools ? loan_chunk(w, size, payload) : loan_scratch(w, payload);
}

int channel_writer_loan_batch(struct channel_writer *writer, size_t size, void **payloads, int n)
{
	uint32_t most = writer->max_loans - writer->n_loans;
	int done = 0, r = 0;

	if (n < 1 || n > WRITER_BATCH_MAX)
		return -EINVAL;
	if (size > writer->geometry.payload_max && !writer->extra)
		return -EMSGSIZE;
	if (!most)
		return loan_fail(writer);
	if ((uint32_t)n < most)
		most = (uint32_t)n;
	if (size <= writer->inline_max && !writer->inslot_mask) {
		uint32_t slots = (uint32_t)(writer->mask + 1) / 8;

		return loan_slots(writer, payloads, most < slots ? most : slots);
	}
	for (; done < (int)most; done++) {
		r = loan_another(writer, size, &payloads[done]);
		if (r < 0)
			break;
	}
	return done ? done : r;
}

int channel_writer_discard(struct channel_writer *writer, void *payload)
{
	struct loan loan;
	int r = loan_find(writer, payload, &loan);

	if (r < 0)
		return r;
	loan_end(writer, &loan);
	return 0;
}

static int find_slot(const struct channel_writer *w, const unsigned char *at, struct loan *loan)
{
	uint64_t offset = (uint64_t)(at - w->ring);
	uint64_t i = ((offset >> w->slot_shift) - w->inslot_first) & w->mask;

	if ((offset & ((1u << w->slot_shift) - 1)) != offsetof(struct channel_slot, payload))
		return -EINVAL;
	if (i >= WRITER_BATCH_MAX || !(w->inslot_mask >> i & 1))
		return -EINVAL;
	loan->kind = LOAN_SLOT;
	loan->index = (uint32_t)i;
	loan->room = w->inline_max;
	return 0;
}

static int find_scratch(const struct channel_writer *w, const unsigned char *at, struct loan *loan)
{
	uint64_t offset = (uint64_t)(at - w->scratch);
	uint64_t i = offset / SLOT_INLINE_MAX;

	if (i >= w->max_loans || offset % SLOT_INLINE_MAX || !w->scratch_used[i])
		return -EINVAL;
	loan->kind = LOAN_SCRATCH;
	loan->index = (uint32_t)i;
	loan->room = w->inline_max;
	return 0;
}

int loan_find_anywhere(const struct channel_writer *w, const void *payload, struct loan *loan)
{
	const unsigned char *at = payload;
	int r;

	if (at >= w->ring && at < w->ring + ((w->mask + 1) << w->slot_shift))
		return find_slot(w, at, loan);
	for (uint32_t i = 0; i < w->n_pools; i++) {
		r = loan_find_chunk(w, i, payload, loan);
		if (r != -ENOENT)
			return r;
	}
	if (w->extra) {
		r = extra_find_loan(w, payload, loan);
		if (r != -ENOENT)
			return r;
	}
	if (w->scratch && at >= w->scratch)
		return find_scratch(w, at, loan);
	return -EINVAL;
}

void loan_end(struct channel_writer *w, const struct loan *loan)
{
	w->n_loans--;
	w->last_payload = NULL;
	switch (loan->kind) {
	case LOAN_SLOT:
		w->inslot_mask &= ~(1ull << loan->index);
		break;
	case LOAN_CHUNK:
		*loan->state = CHUNK_OURS;
		retire_chunk(w, loan->ref);
		break;
	case LOAN_SCRATCH:
		w->scratch_used[loan->index] = 0;
		break;
	}
}
