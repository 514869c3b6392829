/* SPDX-License-Identifier: MIT */
/*
 * recording.h - the format of recordings: what zcp-recording(5) describes, as structs
 *
 * A file is a header and then records, one after the other, each a multiple of 8 bytes:
 *
 *	head	16 bytes: checksum of the rest of head and fixed part, kind, sizes
 *	fixed	what the kind has, a message's user header behind it
 *	body	the payload
 *	padding, and in the last 4 bytes the checksum of body and padding
 *
 * so that whoever reads knows of each record whether it is whole, and a file is readable up to the last whole record however
 * its writer ended. The body's checksum comes last because a body may be larger than what the writer keeps in memory.
 *
 * Records are grouped into chunks, the unit of compression and of the index. A chunk can be understood alone: a stream, the
 * messages of one publisher, is defined in it before its first message. In a compressed file a chunk is one or several PIECE
 * records whose bodies, unpacked and joined, are the chunk's records. Behind the last chunk there are the index and END, which
 * has a fixed size and says where the index begins. Without it the file is read from the front.
 *
 * Numbers are in the byte order of the machine; a file of the other one is recognised by its version, and refused.
 */
#ifndef ZCP_TOOLS_RECORDING_H
#define ZCP_TOOLS_RECORDING_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/name.h"

#define RECORDING_MAGIC "\x89ZCPREC\n"		/* 8 bytes: not text, and changed by whoever converts line ends */
#define RECORDING_END_MAGIC "ZCPEND\r\n"
#define RECORDING_VERSION 1u
#define RECORDING_CHUNK_BYTES (4u << 20)	/* a chunk ends when it would become larger, but for single larger messages */
#define RECORDING_PAYLOAD_MAX (1ull << 31)
#define RECORDING_STREAMS_MAX (1u << 20)

#define RECORDING_COMPRESSED (1u << 0)

struct recording_header {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes;		/* where the first record is */
	uint8_t boot_id[16];		/* of the machine: which CLOCK_MONOTONIC it is */
	uint8_t recording_id[16];	/* random, the same in all parts of a recording */
	uint64_t realtime_ns, monotonic_ns;	/* the two clocks at the same moment: when the part was begun */
	uint32_t part;			/* 1, 2, ... */
	uint32_t flags;			/* RECORDING_COMPRESSED */
	char package_version[32];
	uint8_t reserved[20];
	uint32_t crc;			/* of what is before it */
};
static_assert(sizeof(struct recording_header) == 128, "layout");

enum record_kind {
	RECORD_CHUNK = 1,
	RECORD_PIECE = 2,
	RECORD_STREAM = 3,
	RECORD_MESSAGE = 4,
	RECORD_LOST = 5,
	RECORD_INDEX = 6,
	RECORD_TOTAL = 7,
	RECORD_ENTRY = 8,
	RECORD_END = 9,
};

struct record_head {
	uint32_t crc;			/* of the 12 bytes that follow, and the fixed part */
	uint16_t kind;
	uint16_t fixed_bytes;		/* a multiple of 8 */
	uint64_t body_bytes;
};
static_assert(sizeof(struct record_head) == 16, "layout");
#define RECORD_FIXED_MAX 128

/* Fixed parts. */
struct record_chunk {
	uint64_t number;		/* in this file, from 0 */
	uint64_t recording;		/* the first half of recording_id: a chunk of this file, not one that was sent as a message */
};

#define RECORD_PIECE_FIRST (1u << 0)	/* a chunk begins */
struct record_piece {
	uint64_t raw_bytes;		/* of what is in the body, unpacked */
	uint32_t flags;
	uint32_t reserved;
	uint64_t recording;
};

#define RECORD_STREAM_KNOWN (1u << 0)		/* type, mode and sizes are known; else the publisher had gone too soon */
#define RECORD_STREAM_RELIABLE (1u << 1)
struct record_stream {			/* body: service, instance, event, type, node, each with its NUL */
	uint32_t stream, flags;
	uint64_t publisher;		/* endpoint id */
	uint64_t type_size, type_alignment;
	uint32_t payload_max, depth, history, pid;
};

#define RECORD_MESSAGE_TAKEN (1u << 0)	/* the publisher gives no timestamps: it is when the recorder took it */
struct record_message {			/* followed by the user header: 0, 8 or 16 bytes; body: payload */
	uint32_t stream, flags;
	uint64_t sequence, timestamp_ns;
};

struct record_lost {			/* right before the message that follows the gap */
	uint32_t stream, reserved;
	uint64_t messages;
};

struct record_index {
	uint64_t n_streams, n_chunks;
};

struct record_total {
	uint32_t stream, header_size;
	uint64_t messages, bytes, lost, largest, first_ns, last_ns;
};

struct record_entry {			/* body: pairs of uint32_t, stream and number of its messages */
	uint64_t offset, bytes, raw_bytes, first_ns, last_ns, messages;
};

struct record_end {
	uint64_t index_offset;
	char magic[8];
};

/* Bytes of a whole record. */
static inline uint64_t record_bytes(uint64_t fixed_bytes, uint64_t body_bytes)
{
	return (sizeof(struct record_head) + fixed_bytes + body_bytes + 4 + 7) & ~7ull;
}

#define RECORDING_END_BYTES 40u		/* record_bytes(sizeof(struct record_end), 0) */

/* The first half of its recording_id. */
static inline uint64_t recording_mark(const struct recording_header *header)
{
	uint64_t mark;

	memcpy(&mark, header->recording_id, sizeof(mark));
	return mark;
}

/* ---- making records ---- */

/* Head and fixed part, @extra behind it, to @to. Returns their size. */
size_t record_make_head(void *to, enum record_kind kind, const void *fixed, size_t fixed_bytes, const void *extra, size_t extra_bytes,
			uint64_t body_bytes);

/*
 * What comes behind a body of @body_bytes with checksum @crc, 4 to 11 bytes, to @to. Returns the size.
 */
size_t record_make_tail(void *to, uint64_t fixed_bytes, uint64_t body_bytes, uint32_t crc);

/* A whole record with a small body to @to, which has room. Returns its size. */
size_t record_make(void *to, enum record_kind kind, const void *fixed, size_t fixed_bytes, const void *body, size_t body_bytes);

/* ---- reading records ---- */

struct record {
	enum record_kind kind;
	const uint8_t *fixed, *body;	/* body: may lie beyond what is there */
	uint32_t fixed_bytes;
	uint64_t body_bytes, bytes;	/* bytes: of the whole record */
};

/*
 * The record at @bytes, of which @size bytes are there. 0 head and fixed part are whole; -EAGAIN they are longer than that;
 * -EBADMSG no record, or one that is damaged. Sizes are as the kind has them.
 */
int record_look(struct record *record, const void *bytes, uint64_t size);

/* Whether body and padding, which are there, are what was written. */
bool record_body_is_whole(const struct record *record);

/* ---- streams ---- */

struct recording_total {
	uint64_t messages, bytes, lost, largest;
	uint64_t first_ns, last_ns;	/* of messages > 0 */
	uint32_t header_size;
};

/* The messages of one publisher. */
struct recording_stream {
	uint32_t id;
	bool known, reliable;
	uint64_t publisher;
	char topic[3][NAME_MAX_BYTES + 1], type[NAME_MAX_BYTES + 1], node[NAME_MAX_BYTES + 1];
	uint64_t type_size, type_alignment;
	uint32_t payload_max, depth, history, pid;
};

#define RECORD_STREAM_MAX (sizeof(struct record_head) + sizeof(struct record_stream) + 5 * (NAME_MAX_BYTES + 1) + 11)

/* A STREAM record of at most RECORD_STREAM_MAX bytes to @to. Returns its size. */
size_t recording_stream_make(void *to, const struct recording_stream *stream);

/* What the STREAM record, whole, says. 0, or -EBADMSG: names that are none. */
int recording_stream_read(struct recording_stream *stream, const struct record *record);

/* Count a message. */
void recording_total_add(struct recording_total *total, uint64_t timestamp_ns, uint64_t bytes);

#endif
