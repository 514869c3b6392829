/* SPDX-License-Identifier: MIT */
/*
 * recording-scan.c - what a file has: from its index, or by reading it from the front
 *
 * Both walk from record to record with a window over the file. A file that was not finished (its recorder was killed, or is still at work)
 * ends somewhere; one whose machine lost power may have holes anywhere. So where there is no record, the walk looks for the next chunk of this
 * recording, 8 bytes a step.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "tools/recording-reader.h"

#define WINDOW_BYTES (1u << 20)

struct window {
	const struct recording *recording;
	uint8_t *bytes;
	uint64_t room, start, n;
};

/* At least @want bytes at @offset, or as many as the file has. 0 or a negative errno value. */
static int window_move(struct window *w, uint64_t offset, uint64_t want)
{
	int64_t n;

	if (offset >= w->start && offset + want <= w->start + w->n)
		return 0;
	if (want < WINDOW_BYTES)
		want = WINDOW_BYTES;
	if (want > w->room) {
		uint8_t *larger = realloc(w->bytes, want);

		if (!larger)
			return -ENOMEM;
		w->bytes = larger;
		w->room = want;
	}
	n = recording_read(w->recording, w->bytes, w->recording->size - offset < want ? w->recording->size - offset : want, offset);
	if (n < 0)
		return (int)n;
	w->start = offset;
	w->n = (uint64_t)n;
	return 0;
}

/* The record at @offset, its body only if @body. 0; -EBADMSG: none, or it is not whole; or another negative errno value. */
static int window_record(struct window *w, uint64_t offset, bool body, struct record *record)
{
	const uint64_t head = sizeof(struct record_head) + RECORD_FIXED_MAX;
	int r;

	if (offset >= w->recording->size)
		return -EBADMSG;
	r = window_move(w, offset, head < w->recording->size - offset ? head : w->recording->size - offset);
	if (r < 0)
		return r;
	if (record_look(record, w->bytes + (offset - w->start), w->start + w->n - offset) < 0 ||
	    record->bytes > w->recording->size - offset)
		return -EBADMSG;
	if (!body)
		return 0;
	r = window_move(w, offset, record->bytes);
	if (r < 0)
		return r;
	/* as before, unless the file has become shorter meanwhile */
	if (record_look(record, w->bytes + (offset - w->start), w->start + w->n - offset) < 0 ||
	    record->bytes > w->start + w->n - offset)
		return -EBADMSG;
	return record_body_is_whole(record) ? 0 : -EBADMSG;
}

/* ---- the index ---- */

static int find_index(struct window *w, uint64_t *offset)
{
	uint64_t at = w->recording->size - RECORDING_END_BYTES;
	struct record record;
	struct record_end end;
	int r;

	if (w->recording->size < sizeof(struct recording_header) + RECORDING_END_BYTES)
		return -EBADMSG;
	r = window_record(w, at, true, &record);
	if (r < 0)
		return r;
	memcpy(&end, record.fixed, sizeof(end));
	if (record.kind != RECORD_END || memcmp(end.magic, RECORDING_END_MAGIC, sizeof(end.magic)) ||
	    end.index_offset < sizeof(struct recording_header) || end.index_offset > at)
		return -EBADMSG;
	*offset = end.index_offset;
	return 0;
}

static int add_total(struct recording *r, const struct record *record)
{
	struct recording_known *known;
	struct record_total t;

	memcpy(&t, record->fixed, sizeof(t));
	known = recording_stream(r, t.stream);
	if (!known || known->total.messages || t.largest > RECORDING_PAYLOAD_MAX || t.header_size > 16 || t.header_size % 8 || t.first_ns > t.last_ns)
		return -EBADMSG;
	known->total = (struct recording_total){
		.messages = t.messages,
		.bytes = t.bytes,
		.lost = t.lost,
		.largest = t.largest,
		.first_ns = t.first_ns,
		.last_ns = t.last_ns,
		.header_size = t.header_size,
	};
	return 0;
}

static int add_entry(struct recording *r, const struct record *record, uint64_t index_offset)
{
	struct recording_entry entry;
	struct record_entry e;
	int error;

	memcpy(&e, record->fixed, sizeof(e));
	if (e.offset < sizeof(struct recording_header) || e.offset > index_offset || e.bytes > index_offset - e.offset || e.first_ns > e.last_ns ||
	    record->body_bytes % sizeof(entry.pairs[0]))
		return -EBADMSG;
	entry = (struct recording_entry){
		.offset = e.offset,
		.bytes = e.bytes,
		.first_ns = e.first_ns,
		.last_ns = e.last_ns,
		.messages = e.messages,
		.n_pairs = (uint32_t)(record->body_bytes / sizeof(entry.pairs[0])),
	};
	if (record->body_bytes) {
		entry.pairs = malloc(record->body_bytes);
		if (!entry.pairs)
			return -ENOMEM;
		memcpy(entry.pairs, record->body, record->body_bytes);
	}
	error = recording_add_entry(r, &entry);
	if (error < 0)
		free(entry.pairs);
	return error;
}

static int walk_index(struct recording *r, struct window *w, uint64_t offset)
{
	uint64_t at = offset, end = r->size - RECORDING_END_BYTES;
	struct record_index counts;
	struct record record;
	int error = window_record(w, at, true, &record);

	if (error < 0)
		return error;
	if (record.kind != RECORD_INDEX)
		return -EBADMSG;
	memcpy(&counts, record.fixed, sizeof(counts));
	for (at += record.bytes; at < end; at += record.bytes) {
		error = window_record(w, at, true, &record);
		if (error < 0)
			return error;
		if (record.kind == RECORD_STREAM)
			error = recording_add_stream(r, &record);
		else if (record.kind == RECORD_TOTAL)
			error = add_total(r, &record);
		else if (record.kind == RECORD_ENTRY)
			error = add_entry(r, &record, offset);
		else
			error = -EBADMSG;
		if (error < 0)
			return error;
	}
	return at == end && r->n_entries == counts.n_chunks ? 0 : -EBADMSG;
}

int recording_read_index(struct recording *r)
{
	struct window w = { .recording = r };
	uint64_t offset;
	int error = find_index(&w, &offset);

	if (!error)
		error = walk_index(r, &w, offset);
	free(w.bytes);
	r->indexed = !error;
	return error == -EBADMSG ? -ENODATA : error;
}

/* ---- reading it from the front ---- */

/* Whether @record begins a chunk of this recording. */
static bool begins_chunk(const struct recording *r, const struct record *record)
{
	struct record_chunk chunk;
	struct record_piece piece;

	if (r->header.flags & RECORDING_COMPRESSED) {
		if (record->kind != RECORD_PIECE)
			return false;
		memcpy(&piece, record->fixed, sizeof(piece));
		return piece.flags & RECORD_PIECE_FIRST && piece.recording == recording_mark(&r->header);
	}
	if (record->kind != RECORD_CHUNK)
		return false;
	memcpy(&chunk, record->fixed, sizeof(chunk));
	return chunk.recording == recording_mark(&r->header);
}

/* From @at on, where the next chunk begins, or the file's size. */
static int find_chunk(const struct recording *r, struct window *w, uint64_t at, uint64_t *found)
{
	struct record record;

	for (; at < r->size; at += 8) {
		int error = window_record(w, at, false, &record);

		if (error < 0 && error != -EBADMSG)
			return error;
		if (!error && begins_chunk(r, &record))
			break;
	}
	*found = at < r->size ? at : r->size;
	return 0;
}

/* The end of the chunk at @at: 0 another record follows that is whole, -EBADMSG none does; or another negative errno value. */
static int find_end(const struct recording *r, struct window *w, uint64_t at, uint64_t *end)
{
	bool packed = r->header.flags & RECORDING_COMPRESSED;
	struct record record;
	uint64_t begin = at;
	int error;

	while (!(error = window_record(w, at, false, &record))) {
		bool inside = packed ? record.kind == RECORD_PIECE : record.kind == RECORD_STREAM || record.kind == RECORD_MESSAGE ||
								     record.kind == RECORD_LOST;

		if (at != begin && (!inside || begins_chunk(r, &record)))
			break;
		at += record.bytes;
	}
	*end = at;
	return error;
}

/* Count what the chunk has into its streams and @entry. */
static int count_chunk(struct recording *r, uint64_t index)
{
	struct recording_entry *entry = &r->entries[index];
	struct recording_chunk chunk;
	int error = recording_load(r, index, &chunk);

	if (error < 0)
		return error;
	for (uint64_t i = 0; i < chunk.n_items; i++) {
		const struct recording_message *m = &chunk.items[i].message;
		struct recording_total *total = &recording_stream(r, chunk.items[i].stream)->total;

		recording_total_add(total, m->timestamp_ns, m->size);
		total->lost += m->lost;
		if (m->header_size > total->header_size)
			total->header_size = m->header_size;
		if (!i || m->timestamp_ns < entry->first_ns)
			entry->first_ns = m->timestamp_ns;
		if (!i || m->timestamp_ns > entry->last_ns)
			entry->last_ns = m->timestamp_ns;
	}
	entry->messages = chunk.n_items;
	recording_unload(&chunk);
	return 0;
}

static int add_chunk(struct recording *r, uint64_t at, uint64_t end)
{
	const struct recording_entry entry = { .offset = at, .bytes = end - at };
	int error = recording_add_entry(r, &entry);

	if (!error)
		error = count_chunk(r, r->n_entries - 1);
	if (error == -EBADMSG) {
		r->damaged++;
		r->n_entries--;
		error = 0;
	}
	return error;
}

/* Whether the file is at its end for a reason: its index, which was damaged, begins. */
static bool is_index(struct window *w, uint64_t at)
{
	struct record record;

	return !window_record(w, at, false, &record) && record.kind >= RECORD_INDEX;
}

int recording_scan(struct recording *r)
{
	struct window w = { .recording = r };
	uint64_t at = sizeof(struct recording_header), next, end;
	int error = 0;

	while (at < r->size && !error) {
		error = find_chunk(r, &w, at, &next);
		if (error < 0)
			break;
		if (next > at && !is_index(&w, at)) {
			r->gaps += next < r->size;
			r->torn |= next == r->size;
		}
		at = next;
		if (at == r->size)
			break;
		error = find_end(r, &w, at, &end);
		if (error < 0 && error != -EBADMSG)
			break;
		error = add_chunk(r, at, end);
		at = end;
	}
	free(w.bytes);
	return error;
}
