/* SPDX-License-Identifier: MIT */
/*
 * recording-cursor.h - a recording's messages in the order of their timestamps
 *
 * A recorder takes messages topic by topic, so the file is only roughly in order of time. The cursor has a few chunks in memory at
 * once, as many as overlap in time, and goes through them together. Messages of one stream stay in their order, whatever their timestamps;
 * messages of the same time come in the order of the file. Where more than CURSOR_CHUNKS chunks overlap, order in time is given up, not memory.
 */
#ifndef ZCP_TOOLS_RECORDING_CURSOR_H
#define ZCP_TOOLS_RECORDING_CURSOR_H

#include "tools/recording-reader.h"

#define CURSOR_CHUNKS 32

struct cursor_place {
	uint64_t time_ns;		/* the message's, or that of one before it in its stream */
	uint64_t item;
};

struct cursor_chunk {
	struct recording_chunk chunk;
	struct cursor_place *places;	/* in order */
	uint64_t n_places, next;
};

struct cursor {
	struct recording *recording;
	uint64_t from_ns, to_ns;	/* both inclusive */
	const bool *wanted;		/* by stream, of recording->n_ids; NULL: all */
	uint64_t next;			/* entry to be loaded next */
	uint64_t *earliest;		/* of each entry and those behind it, the earliest time */
	uint64_t *reached;		/* by stream: time of what was loaded last */
	uint32_t n_streams;
	struct cursor_chunk active[CURSOR_CHUNKS];	/* in the order of the file */
	uint32_t n_active;
	struct recording_chunk old;	/* the message that was given out last is in it */
};

/* Begin with the first message at @from_ns or later. 0 or -ENOMEM. */
int cursor_open(struct cursor *cursor, struct recording *recording, uint64_t from_ns, uint64_t to_ns, const bool *wanted);

/* The next message, valid until the next call. 1; 0 at the end; or a negative errno value. */
int cursor_next(struct cursor *cursor, struct recording_item *item);

void cursor_close(struct cursor *cursor);

#endif
