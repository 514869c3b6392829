/* SPDX-License-Identifier: MIT */
/*
 * extra.h - payloads that are larger than the pools' chunks
 *
 * A writer that grows gets further segments from its owner, each of one chunk. Such an extra is lent, published, pinned and retired
 * like a chunk of a pool, so nothing here touches shared memory; a message says its id where it else says pool and chunk.
 * What differs is that there are few, and that none may be there: then a loan says -EXFULL, and the owner finds another
 * extra (channel_writer_add_extra()) or, where it cannot have one, makes one free (extra_reclaim()).
 *
 * Which one is lent: the smallest free one that fits. Which one goes: one that was free and not needed while EXTRA_IDLE
 * messages passed, or the whole ring once. That is looked for where the ring is full, where the tail is moved anyway.
 */
#ifndef ZCP_CHANNEL_EXTRA_H
#define ZCP_CHANNEL_EXTRA_H

#include "channel/loan.h"
#include "channel/writer.h"

#define EXTRA_IDLE 64u

/* The id that a next extra may have: in a place that is free; @tried: the last id used anywhere in each place. 0: all are taken. */
uint32_t extra_next_id(const struct channel_writer *writer, const uint32_t tried[EXTRAS_MAX]);

/* Take the segment at @memory, @bytes long, into use as extra @id. 0; -EINVAL id or size; -EEXIST its place is taken. */
int channel_writer_add_extra(struct channel_writer *writer, uint32_t id, void *memory, uint64_t bytes);

/* channel_writer_loan() for @size over payload_max. 0, -EMSGSIZE, -EXFULL. */
int extra_loan(struct channel_writer *writer, size_t size, void **payload);

/*
 * No more extras can be had: retire as much of the ring as it takes to make one free that @size fits into, even if lossy lanes lose
 * it. 0; -EAGAIN a reliable lane is in the way; -ENOBUFS all that fit are held by readers or on loan, or there are none.
 */
int extra_reclaim(struct channel_writer *writer, size_t size);

/* Not to be lent again; extra_drop() will find it as soon as it is free. */
void extra_lend_no_more(struct channel_writer *writer, uint32_t id);

/* Whether the extra @id is with the user. */
bool extra_is_loaned(const struct channel_writer *writer, uint32_t id);

/* Take out of use a free extra that the last @idle messages did not need (0: any). Its id, or 0: there is none. */
uint32_t extra_drop(struct channel_writer *writer, uint64_t idle);

/* How many messages make an extra idle. */
static inline uint64_t extra_idle_span(const struct channel_writer *writer)
{
	return writer->mask + 1 > EXTRA_IDLE ? writer->mask + 1 : EXTRA_IDLE;
}

/* Call idle() if there is one that may go. */
void extra_look_for_idle(struct channel_writer *writer);

/* The extra is free again. */
void extra_put(struct channel_writer *writer, uint32_t id);

/* Find the open loan at @payload. 0; -ENOENT: not an extra; -EINVAL: one, but not on loan. */
int extra_find_loan(const struct channel_writer *writer, const void *payload, struct loan *loan);

#endif
