/* SPDX-License-Identifier: MIT */
/*
 * recording.c - see recording.h
 */
#include "tools/recording.h"

#include <errno.h>
#include <string.h>

#include "tools/crc32c.h"

/* ---- making records ---- */

size_t record_make_head(void *to, enum record_kind kind, const void *fixed, size_t fixed_bytes, const void *extra, size_t extra_bytes,
			uint64_t body_bytes)
{
	struct record_head head = {
		.kind = (uint16_t)kind,
		.fixed_bytes = (uint16_t)(fixed_bytes + extra_bytes),
		.body_bytes = body_bytes,
	};
	uint8_t *out = to;

	memcpy(out + sizeof(head), fixed, fixed_bytes);
	if (extra_bytes)
		memcpy(out + sizeof(head) + fixed_bytes, extra, extra_bytes);
	head.crc = crc32c(0, (const char *)&head + sizeof(head.crc), sizeof(head) - sizeof(head.crc));
	head.crc = crc32c(head.crc, out + sizeof(head), head.fixed_bytes);
	memcpy(out, &head, sizeof(head));
	return sizeof(head) + head.fixed_bytes;
}

size_t record_make_tail(void *to, uint64_t fixed_bytes, uint64_t body_bytes, uint32_t crc)
{
	size_t n = (size_t)(record_bytes(fixed_bytes, body_bytes) - sizeof(struct record_head) - fixed_bytes - body_bytes);
	uint8_t *out = to;

	memset(out, 0, n - sizeof(crc));
	crc = crc32c(crc, out, n - sizeof(crc));
	memcpy(out + n - sizeof(crc), &crc, sizeof(crc));
	return n;
}

size_t record_make(void *to, enum record_kind kind, const void *fixed, size_t fixed_bytes, const void *body, size_t body_bytes)
{
	uint8_t *out = to;
	size_t n = record_make_head(out, kind, fixed, fixed_bytes, NULL, 0, body_bytes);

	if (body_bytes)
		memcpy(out + n, body, body_bytes);
	n += body_bytes;
	return n + record_make_tail(out + n, fixed_bytes, body_bytes, crc32c(0, body, body_bytes));
}

/* ---- reading records ---- */

/* Smallest and largest fixed part of a kind, and its largest body. */
static const struct {
	uint16_t fixed_min, fixed_max;
	uint64_t body_max;
} shapes[] = {
	[RECORD_CHUNK] = { sizeof(struct record_chunk), sizeof(struct record_chunk), 0 },
	[RECORD_PIECE] = { sizeof(struct record_piece), sizeof(struct record_piece), 2 * RECORDING_CHUNK_BYTES },
	[RECORD_STREAM] = { sizeof(struct record_stream), sizeof(struct record_stream), 5 * (NAME_MAX_BYTES + 1) },
	[RECORD_MESSAGE] = { sizeof(struct record_message), sizeof(struct record_message) + 16, RECORDING_PAYLOAD_MAX },
	[RECORD_LOST] = { sizeof(struct record_lost), sizeof(struct record_lost), 0 },
	[RECORD_INDEX] = { sizeof(struct record_index), sizeof(struct record_index), 0 },
	[RECORD_TOTAL] = { sizeof(struct record_total), sizeof(struct record_total), 0 },
	[RECORD_ENTRY] = { sizeof(struct record_entry), sizeof(struct record_entry), 8ull * RECORDING_STREAMS_MAX },
	[RECORD_END] = { sizeof(struct record_end), sizeof(struct record_end), 0 },
};

int record_look(struct record *record, const void *bytes, uint64_t size)
{
	const uint8_t *in = bytes;
	struct record_head head;
	uint32_t crc;

	if (size < sizeof(head))
		return -EAGAIN;
	memcpy(&head, in, sizeof(head));
	if (head.kind < RECORD_CHUNK || head.kind > RECORD_END || head.fixed_bytes < shapes[head.kind].fixed_min ||
	    head.fixed_bytes > shapes[head.kind].fixed_max || head.fixed_bytes % 8 || head.body_bytes > shapes[head.kind].body_max)
		return -EBADMSG;
	if (size < sizeof(head) + head.fixed_bytes)
		return -EAGAIN;
	crc = crc32c(0, in + sizeof(head.crc), sizeof(head) - sizeof(head.crc) + head.fixed_bytes);
	if (crc != head.crc)
		return -EBADMSG;
	*record = (struct record){
		.kind = head.kind,
		.fixed = in + sizeof(head),
		.fixed_bytes = head.fixed_bytes,
		.body = in + sizeof(head) + head.fixed_bytes,
		.body_bytes = head.body_bytes,
		.bytes = record_bytes(head.fixed_bytes, head.body_bytes),
	};
	return 0;
}

bool record_body_is_whole(const struct record *record)
{
	uint64_t n = record->bytes - sizeof(struct record_head) - record->fixed_bytes - sizeof(uint32_t);
	uint32_t crc;

	memcpy(&crc, record->body + n, sizeof(crc));
	return crc32c(0, record->body, n) == crc;
}

/* ---- streams ---- */

static size_t put_name(char *to, size_t at, const char *name)
{
	size_t n = strlen(name) + 1;

	memcpy(to + at, name, n);
	return at + n;
}

size_t recording_stream_make(void *to, const struct recording_stream *s)
{
	const struct record_stream fixed = {
		.stream = s->id,
		.flags = (s->known ? RECORD_STREAM_KNOWN : 0) | (s->reliable ? RECORD_STREAM_RELIABLE : 0),
		.publisher = s->publisher,
		.type_size = s->type_size,
		.type_alignment = s->type_alignment,
		.payload_max = s->payload_max,
		.depth = s->depth,
		.history = s->history,
		.pid = s->pid,
	};
	char names[5 * (NAME_MAX_BYTES + 1)];
	size_t n = 0;

	for (int i = 0; i < 3; i++)
		n = put_name(names, n, s->topic[i]);
	n = put_name(names, n, s->type);
	n = put_name(names, n, s->node);
	return record_make(to, RECORD_STREAM, &fixed, sizeof(fixed), names, n);
}

/* The next name of the body to @to. False: there is none, or it is too long. */
static bool get_name(char to[NAME_MAX_BYTES + 1], const char **from, const char *end)
{
	size_t n = strnlen(*from, (size_t)(end - *from));

	if (n > NAME_MAX_BYTES || *from + n == end)
		return false;
	memcpy(to, *from, n + 1);
	*from += n + 1;
	return true;
}

int recording_stream_read(struct recording_stream *stream, const struct record *record)
{
	const char *at = (const char *)record->body, *end = at + record->body_bytes;
	struct recording_stream *s = stream;
	struct record_stream fixed;

	/* padding too: they are compared as they lie */
	memset(s, 0, sizeof(*s));
	memcpy(&fixed, record->fixed, sizeof(fixed));
	if (fixed.stream >= RECORDING_STREAMS_MAX)
		return -EBADMSG;
	for (int i = 0; i < 3; i++) {
		if (!get_name(s->topic[i], &at, end) || name_check(s->topic[i], strlen(s->topic[i])) != NAME_OK)
			return -EBADMSG;
	}
	if (!get_name(s->type, &at, end) || !get_name(s->node, &at, end) || at != end)
		return -EBADMSG;
	s->id = fixed.stream;
	s->known = fixed.flags & RECORD_STREAM_KNOWN;
	s->reliable = fixed.flags & RECORD_STREAM_RELIABLE;
	s->publisher = fixed.publisher;
	s->type_size = fixed.type_size;
	s->type_alignment = fixed.type_alignment;
	s->payload_max = fixed.payload_max;
	s->depth = fixed.depth;
	s->history = fixed.history;
	s->pid = fixed.pid;
	return 0;
}

void recording_total_add(struct recording_total *total, uint64_t timestamp_ns, uint64_t bytes)
{
	if (!total->messages || timestamp_ns < total->first_ns)
		total->first_ns = timestamp_ns;
	if (!total->messages || timestamp_ns > total->last_ns)
		total->last_ns = timestamp_ns;
	total->messages++;
	total->bytes += bytes;
	if (bytes > total->largest)
		total->largest = bytes;
}
