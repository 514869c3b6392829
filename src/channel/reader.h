/* SPDX-License-Identifier: MIT */
/*
 * reader.h - one reader's end of one channel: a lane
 *
 * A subscriber has one lane page, and in it one lane per matched writer; each lane has a channel_reader, the
 * private state of reading that writer's ring. Wait-free; no system call. Not thread-safe: one thread at a time
 * per lane page.
 *
 * Before the writer has attached the lane (it acknowledges in attached[]) messages can only be copied out;
 * afterwards chunks are pinned and read in place. A newcomer on a lane that the writer waits for takes only
 * history until then: what is published meanwhile may be gone before it looks, and a stream without gaps begins
 * with the attachment.
 */
#ifndef ZCP_CHANNEL_READER_H
#define ZCP_CHANNEL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/layout.h"

/*
 * An extra of the writer (extra.h), as its reader has it. In a table of EXTRAS_MAX that the owner fills in and empties: an id goes
 * where its remainder says, but not before reader_holds_extra() says that what was there is not in use any more.
 */
struct reader_extra {
	const unsigned char *base;	/* NULL: it could not be had; messages in it are lost */
	uint64_t bytes;
	uint32_t id;			/* 0: there is none in this place */
};

/* Room for a copy of @bytes bytes that stays until the message taken with pin @k is released; or NULL. */
typedef void *(*reader_room_fn)(void *context, uint32_t k, size_t bytes);

struct reader_options {
	uint64_t generation;	/* of the match */
	uint64_t publisher;	/* endpoint id the router told us; the header must say the same */
	bool from_start;	/* we were there before the writer: begin at its first message, count every loss */
	uint32_t history;	/* else: begin this many messages back */
	bool lossy;		/* the writer never waits for this lane */
	bool counters;		/* for counters.h: the writer's has to be one, and no message is ever taken */
	unsigned char *copies;	/* max_held areas of copies_stride bytes, for copies; NULL without pools */
	uint64_t copies_stride;
	struct reader_extra *extra;	/* [EXTRAS_MAX], zeroed; NULL: messages in extras are malformed */
	uint64_t *extra_pin;		/* [max_held], zeroed; for the reader's own use */
	reader_room_fn room;		/* for copies out of extras */
	void *room_context;
};

struct channel_reader {
	const unsigned char *ring;
	const struct channel_header *header;
	struct channel_lane *lane;
	struct lane_counts *counts;	/* of the lane, for those who look on */
	uint64_t cur;			/* next sequence to take */
	uint64_t limit;			/* cur stops here until the writer has attached the lane, or, if it is gone, for good */
	bool gone;			/* the writer is */
	uint64_t stored;		/* cursor as the writer sees it */
	uint64_t mask;
	uint32_t slot_shift;
	uint32_t inline_max;
	uint32_t header_bytes;		/* of the user header in each slot, or 0 */
	uint32_t cursor_batch;		/* messages between two cursor stores */
	bool fence;			/* we or the writer have no membarrier */
	bool attached;
	bool wake_writer;		/* set by take/flush: the writer sleeps for room; ring its doorbell and clear */
	bool ticks;			/* timestamps are raw ticks */
	uint64_t writer_rung;
	uint64_t generation;
	uint64_t attach_epoch;		/* last one looked at */
	uint64_t first;			/* where cur stands as long as nothing was taken */
	uint64_t count_from;		/* until then, losses below this sequence are not counted: before our time */
	uint64_t lost;			/* counted, not yet reported with a message */
	uint64_t taken, taken_at_empty;	/* messages so far; and when the ring was last found empty */
	uint64_t malformed;
	const unsigned char *segment;
	uint32_t max_held;
	unsigned char *copies;
	uint64_t copies_stride;
	struct reader_extra *extra;
	uint64_t *extra_pin;		/* what pin k was when it was last one in an extra, and its id's place in the top 6 bits */
	uint64_t starved;		/* sequence + 1 of the message whose extra is not here yet; 0: none */
	reader_room_fn room;
	void *room_context;
	struct channel_geometry geometry;	/* our checked copy */
};

struct channel_message {
	const void *data;
	size_t size;
	uint64_t sequence, timestamp, lost;	/* timestamp: raw, see channel_reader.ticks */
	const void *header;			/* only with channel_reader.header_bytes: that many, at the end of the buffer given to take */
	bool pinned;				/* data is in the segment: release when done; else there is no need */
};

/* Write the constant header of the reader's own lane page. barrier_register() is called. */
void lane_page_init(void *page, uint32_t n_lanes, uint32_t max_held, uint64_t endpoint);

/*
 * Whether what begins at @segment, of which at least its header is mapped, is the data segment of @publisher, @bytes long. *geometry
 * is a checked copy then. 0; -EPROTO; -EPROTONOSUPPORT another ABI version.
 */
int reader_check_header(const void *segment, uint64_t bytes, uint64_t publisher, struct channel_geometry *geometry);

/*
 * Begin to read the data segment mapped at @segment with @bytes bytes through lane @lane of our @page. Prepares
 * the lane (cursor, no pins). No sample taken through an earlier use of this lane may still be held. 0; -EPROTO
 * the header or its geometry is nonsense; -EPROTONOSUPPORT another ABI version.
 */
int channel_reader_init(struct channel_reader *reader, const void *segment, uint64_t bytes, void *page, uint32_t n_lanes,
			uint32_t max_held, uint32_t lane, const struct reader_options *options);

/*
 * Take the next message with pin @k (< max_held, not in use). An inline message is copied to @buffer
 * (SLOT_INLINE_MAX bytes, 8-aligned), the user header to its end. 0 or -EAGAIN (also: the message is in an extra that is not
 * in the table yet; reader->starved is set). May set reader->wake_writer.
 */
int channel_reader_take(struct channel_reader *reader, uint32_t k, void *buffer, struct channel_message *message);

/*
 * The same with the newest message there is; those before it are skipped, and are no losses. The cursor is stored. -EAGAIN: none
 * that was not taken or skipped before; or a writer that is faster than us has overwritten each one we looked at.
 */
int channel_reader_newest(struct channel_reader *reader, uint32_t k, void *buffer, struct channel_message *message);

/* The message taken with pin @k is done with. */
static inline void channel_reader_release(struct channel_reader *reader, uint32_t k)
{
	/* release: reads of the payload come before; partner: the acquire load in retire.c, scan_pins */
	atomic_store_explicit(&reader->lane->pin[k], 0, memory_order_release);
}

/* Whether take would find something (or would find that it lost something, or that it was attached). */
static inline bool channel_reader_ready(const struct channel_reader *reader)
{
	const struct channel_slot *slot = (const void *)(reader->ring + ((reader->cur & reader->mask) << reader->slot_shift));
	uint64_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);

	if (seq <= reader->cur || seq == reader->starved)
		return false;
	return reader->cur < reader->limit ||
	       (!reader->gone &&
		atomic_load_explicit(&reader->header->attach_epoch, memory_order_acquire) != reader->attach_epoch);
}

/*
 * The writer is gone and will attach nobody: what it left may be taken as it is. That is one ring at most, whatever the ready
 * flags of a hostile one say, so that the lane comes to an end.
 */
static inline void channel_reader_writer_gone(struct channel_reader *reader)
{
	uint64_t tail = atomic_load_explicit(&reader->header->tail, memory_order_acquire);
	uint64_t from = tail > reader->cur ? tail : reader->cur;

	reader->gone = true;
	reader->starved = 0;
	reader->limit = from < UINT64_MAX - reader->mask ? from + reader->mask + 1 : UINT64_MAX;
}

/* Whether a message in the extra at @place is pinned. */
bool reader_holds_extra(const struct channel_reader *reader, uint32_t place);

/* The table of extras has changed: what waited for one may go on. */
static inline void reader_extras_changed(struct channel_reader *reader)
{
	reader->starved = 0;
}

/* Store the cursor now and look for a waiting writer. Take does it by itself before it says -EAGAIN. */
void channel_reader_flush(struct channel_reader *reader);

/*
 * About to sleep: ask all writers matched to @page for a wake-up. Afterwards look at every ring once more
 * (channel_reader_ready), then sleep. Partner: writer.c, ring_doorbells.
 */
void lane_page_arm(void *page, uint64_t endpoint);

#endif
