/* SPDX-License-Identifier: MIT */
/*
 * loan.h - what a writer has lent to its user, and the way back from the user's pointer
 *
 * Three kinds of memory are lent: the payload area of a slot about to be published (small messages are then not
 * copied even once), a chunk of a pool or an extra, or, in a ring without pools, a private scratch area that is copied at
 * publish. A pointer that comes back is not believed: it must be the beginning of such an area, and that area
 * must be on loan.
 */
#ifndef ZCP_CHANNEL_LOAN_H
#define ZCP_CHANNEL_LOAN_H

#include <errno.h>

#include "channel/pool.h"
#include "channel/writer.h"

enum loan_kind {
	LOAN_SLOT,
	LOAN_CHUNK,
	LOAN_SCRATCH,
};

struct loan {
	enum loan_kind kind;
	uint32_t index;		/* LOAN_SLOT: bit in inslot_mask; LOAN_SCRATCH: area */
	uint32_t ref;		/* LOAN_CHUNK */
	uint8_t *state;		/* likewise */
	size_t room;		/* bytes */
};

static inline struct channel_slot *writer_slot(const struct channel_writer *w, uint64_t seq)
{
	return (struct channel_slot *)(void *)(w->ring + ((seq & w->mask) << w->slot_shift));
}

/* Whether the payload area of slot @seq is on loan. */
static inline bool loan_covers(const struct channel_writer *w, uint64_t seq)
{
	uint64_t i;

	if (!w->inslot_mask)
		return false;
	i = (seq - w->inslot_first) & w->mask;
	return i < WRITER_BATCH_MAX && w->inslot_mask >> i & 1;
}

/* The payload area of slot @seq, which is on loan, is not any more. */
static inline void loan_end_slot(struct channel_writer *w, uint64_t seq)
{
	w->inslot_mask &= ~(1ull << ((seq - w->inslot_first) & w->mask));
	w->n_loans--;
}

/* Count a loan that fails, and return -ENOBUFS. */
int loan_fail(struct channel_writer *w) __attribute__((cold));

/* Find the open loan at @payload wherever it is. 0 or -EINVAL. */
int loan_find_anywhere(const struct channel_writer *w, const void *payload, struct loan *loan);

/* Find it among the chunks of pool @number. 0; -ENOENT: not there; -EINVAL: there, but not on loan. */
static inline int loan_find_chunk(const struct channel_writer *w, uint32_t number, const void *payload, struct loan *loan)
{
	const struct writer_pool *pool = &w->pool[number];
	int64_t index = pool_index(pool, payload);

	if (index < 0)
		return -ENOENT;
	if (pool->state[index] != CHUNK_LOANED)
		return -EINVAL;
	loan->kind = LOAN_CHUNK;
	loan->ref = number << REF_KIND_SHIFT | (uint32_t)index;
	loan->state = &pool->state[index];
	loan->room = pool->room;
	return 0;
}

static inline int loan_find(const struct channel_writer *w, const void *payload, struct loan *loan)
{
	if (w->n_pools && loan_find_chunk(w, w->last_pool, payload, loan) == 0)
		return 0;
	return loan_find_anywhere(w, payload, loan);
}

/* The chunk now belongs to a message. */
static inline void loan_end_published(struct channel_writer *w, const struct loan *loan)
{
	w->last_payload = NULL;
	*loan->state = CHUNK_OURS;
	w->n_loans--;
}

/* The loan is over and its memory free again (a slot's area: is being published in place). */
void loan_end(struct channel_writer *w, const struct loan *loan);

#endif
