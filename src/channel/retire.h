/* SPDX-License-Identifier: MIT */
/*
 * retire.h - making room in the ring, and giving chunks back to their pools
 */
#ifndef ZCP_CHANNEL_RETIRE_H
#define ZCP_CHANNEL_RETIRE_H

#include "channel/writer.h"

/* Make room for @n messages (n <= R/8). 0, or -EAGAIN: a reliable lane is in the way. Wait-free. */
int retire_make_room(struct channel_writer *writer, uint32_t n);

/* Retire what all lanes consumed, beyond the history, and look at limbo again. Wait-free. */
void retire_consumed(struct channel_writer *writer);

/*
 * Retire everything below sequence @to (<= head), whether lossy lanes and late joiners want it or not. 0, or -EAGAIN: a
 * reliable lane is in the way. Wait-free.
 */
int retire_overrun(struct channel_writer *writer, uint64_t to);

/* Return the chunk behind @ref to its pool, or the extra to those that are free. */
void retire_chunk(struct channel_writer *writer, uint32_t ref);

#endif
