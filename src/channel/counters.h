/* SPDX-License-Identifier: MIT */
/*
 * counters.h - events: a channel whose ring is an array of counters
 *
 * A message says something, an event only that something happened. So a notifier keeps one counter for each event id, which grows;
 * a listener remembers what it has seen, and the difference is what happened since. Nothing can overflow, nothing is lost
 * however late the listener comes, and the writer never waits.
 *
 * Both segments are those of a channel (layout.h). In the data segment the ring's memory is the counters, and head counts
 * all of them together, so that one load tells whether there is anything to look for. A lane has no cursor, and
 * its pins are a bitmap of the ids that its reader wants to be woken for. Attaching, tickets and doorbells are as for
 * messages; so is the race of going to sleep (writer.c, ring_doorbells): counter, barrier, ticket here; ticket, barrier,
 * counters there.
 */
#ifndef ZCP_CHANNEL_COUNTERS_H
#define ZCP_CHANNEL_COUNTERS_H

#include "channel/reader.h"
#include "channel/writer.h"

#define COUNTERS_MAX 65536u

/* Words of a bitmap of @n ids; as many pins has a lane (max_held). */
static inline uint32_t counters_words(uint32_t n)
{
	return (n + 63) / 64;
}

/* The geometry of a channel of at least @n counters. 0, or -EINVAL with the reason in *@why. */
int counters_plan(struct channel_geometry *geometry, uint32_t n, uint32_t max_lanes, const char **why);

/* How many counters a channel has. */
uint32_t counters_of(const struct channel_geometry *geometry);

/* Event @id has happened (it is below counters_of()). Rings readers that asked for it and may be asleep. */
void counters_notify(struct channel_writer *writer, uint32_t id);

/*
 * A lane of a reader that was just set up: it wants to be woken for the ids in @interest (@n bits), and what it has seen of the
 * first @n counters goes to @seen: what they are now, or 0 with @from_start. The return value goes where counters_collect() wants it.
 */
uint64_t counters_begin(struct channel_reader *reader, const uint64_t *interest, uint32_t n, uint64_t *seen, bool from_start);

/*
 * Add to @pending what has happened of the ids in @interest since @seen, and set their bits in @bits. *@seen_head as it was
 * left the last time.
 */
void counters_collect(const struct channel_reader *reader, const uint64_t *interest, uint32_t n, uint64_t *seen, uint64_t *seen_head,
		      uint64_t *pending, uint64_t *bits);

#endif
