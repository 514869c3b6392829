/* SPDX-License-Identifier: MIT */
/*
 * recording-reader.c - see recording-reader.h
 */
#include "tools/recording-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/crc32c.h"
#include "tools/recording-pack.h"

#define CHUNK_MAX (RECORDING_PAYLOAD_MAX + 2 * RECORDING_CHUNK_BYTES)

int64_t recording_read(const struct recording *recording, void *to, uint64_t size, uint64_t offset)
{
	uint64_t done = 0;

	while (done < size) {
		ssize_t n = pread(recording->fd, (char *)to + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

/* ---- streams and entries ---- */

struct recording_known *recording_stream(const struct recording *recording, uint32_t id)
{
	return id < recording->n_ids ? recording->streams[id] : NULL;
}

int recording_add_stream(struct recording *r, const struct record *record)
{
	struct recording_known *known;
	struct recording_stream s;
	int error = recording_stream_read(&s, record);

	if (error < 0)
		return error;
	if (s.id >= r->n_ids) {
		uint32_t n = s.id + 1 > 2 * r->n_ids ? s.id + 1 : 2 * r->n_ids;
		struct recording_known **streams = reallocarray(r->streams, n, sizeof(*streams));

		if (!streams)
			return -ENOMEM;
		memset(streams + r->n_ids, 0, (n - r->n_ids) * sizeof(*streams));
		r->streams = streams;
		r->n_ids = n;
	}
	known = r->streams[s.id];
	if (known)	/* each chunk says it again */
		return memcmp(&known->description, &s, sizeof(s)) ? -EBADMSG : 0;
	known = calloc(1, sizeof(*known));
	if (!known)
		return -ENOMEM;
	memcpy(&known->description, &s, sizeof(s));
	r->streams[s.id] = known;
	return 0;
}

int recording_add_entry(struct recording *r, const struct recording_entry *entry)
{
	if (r->n_entries == r->n_allocated) {
		uint64_t n = r->n_allocated * 2 + 64;
		struct recording_entry *entries = reallocarray(r->entries, n, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		r->entries = entries;
		r->n_allocated = n;
	}
	r->entries[r->n_entries++] = *entry;
	return 0;
}

void recording_forget(struct recording *r)
{
	for (uint32_t i = 0; i < r->n_ids; i++)
		free(r->streams[i]);
	for (uint64_t i = 0; i < r->n_entries; i++)
		free(r->entries[i].pairs);
	free(r->streams);
	free(r->entries);
	r->streams = NULL;
	r->entries = NULL;
	r->n_ids = 0;
	r->n_entries = r->n_allocated = 0;
}

/* ---- a chunk's bytes ---- */

static int read_all(const struct recording *r, uint64_t offset, uint64_t bytes, uint8_t **out)
{
	uint8_t *to;
	int64_t n;

	if (offset > r->size || bytes > r->size - offset || bytes > CHUNK_MAX)
		return -EBADMSG;
	to = malloc(bytes ? bytes : 1);
	if (!to)
		return -ENOMEM;
	n = recording_read(r, to, bytes, offset);
	if (n != (int64_t)bytes) {
		free(to);
		return n < 0 ? (int)n : -EBADMSG;
	}
	*out = to;
	return 0;
}

/* One piece behind what is unpacked already. */
static int unpack_piece(struct recording_chunk *chunk, uint64_t *room, const struct record *record)
{
	struct record_piece piece;
	uint8_t *larger;
	int error;

	if (record->kind != RECORD_PIECE || !record_body_is_whole(record))
		return -EBADMSG;
	memcpy(&piece, record->fixed, sizeof(piece));
	if (piece.raw_bytes > RECORDING_CHUNK_BYTES || chunk->size + piece.raw_bytes > CHUNK_MAX)
		return -EBADMSG;
	if (chunk->size + piece.raw_bytes > *room) {
		*room = (chunk->size + piece.raw_bytes) * 2;
		larger = realloc(chunk->bytes, *room);
		if (!larger)
			return -ENOMEM;
		chunk->bytes = larger;
	}
	error = packer_unpack(chunk->bytes + chunk->size, piece.raw_bytes, record->body, record->body_bytes);
	if (!error)
		chunk->size += piece.raw_bytes;
	return error;
}

/* All pieces, up to the first that is damaged. */
static int unpack(struct recording *r, struct recording_chunk *chunk, const uint8_t *bytes, uint64_t size)
{
	uint64_t room = 0, at = 0;
	struct record record;

	while (at < size && !record_look(&record, bytes + at, size - at) && record.bytes <= size - at) {
		int error = unpack_piece(chunk, &room, &record);

		if (error == -EBADMSG)
			break;
		if (error < 0)
			return error;
		at += record.bytes;
	}
	if (at < size)
		r->damaged++;
	return chunk->size ? 0 : -EBADMSG;
}

/* ---- a chunk's messages ---- */

static int add_item(struct recording *r, struct recording_chunk *chunk, const struct record *record, uint64_t lost)
{
	struct record_message m;
	struct recording_item *item;

	memcpy(&m, record->fixed, sizeof(m));
	if (!recording_stream(r, m.stream) || !record_body_is_whole(record)) {
		r->damaged++;
		return 0;
	}
	if (chunk->n_items == chunk->n_allocated) {
		uint64_t n = chunk->n_allocated * 2 + 64;
		struct recording_item *items = reallocarray(chunk->items, n, sizeof(*items));

		if (!items)
			return -ENOMEM;
		chunk->items = items;
		chunk->n_allocated = n;
	}
	item = &chunk->items[chunk->n_items++];
	*item = (struct recording_item){
		.stream = m.stream,
		.message = {
			.data = record->body,
			.size = record->body_bytes,
			.header_size = (uint32_t)(record->fixed_bytes - sizeof(m)),
			.flags = m.flags,
			.sequence = m.sequence,
			.timestamp_ns = m.timestamp_ns,
			.lost = lost,
		},
	};
	item->message.header = item->message.header_size ? record->fixed + sizeof(m) : NULL;
	return 0;
}

/* What the chunk's bytes say, up to what is no record. */
static int parse(struct recording *r, struct recording_chunk *chunk)
{
	struct record_lost lost = { 0 };
	struct record record;
	uint64_t at = 0;
	int error = 0;

	for (; at < chunk->size && !error; at += record.bytes) {
		uint64_t left = chunk->size - at;

		if (record_look(&record, chunk->bytes + at, left) < 0 || record.bytes > left)
			break;
		switch (record.kind) {
		case RECORD_CHUNK:
			break;
		case RECORD_STREAM:
			error = record_body_is_whole(&record) ? recording_add_stream(r, &record) : -EBADMSG;
			break;
		case RECORD_LOST:
			memcpy(&lost, record.fixed, sizeof(lost));
			continue;
		case RECORD_MESSAGE:
			error = add_item(r, chunk, &record, lost.messages);
			break;
		default:
			error = -EBADMSG;
		}
		lost.messages = 0;
		if (error == -EBADMSG) {
			r->damaged++;
			error = 0;
		}
	}
	if (at < chunk->size && !error)
		r->damaged++;
	return error;
}

int recording_load(struct recording *r, uint64_t index, struct recording_chunk *chunk)
{
	const struct recording_entry *entry = &r->entries[index];
	_cleanup_free_ uint8_t *packed = NULL;
	int error;

	*chunk = (struct recording_chunk){ 0 };
	if (r->header.flags & RECORDING_COMPRESSED) {
		error = packer_exists() ? read_all(r, entry->offset, entry->bytes, &packed) : -ENOTSUP;
		if (!error)
			error = unpack(r, chunk, packed, entry->bytes);
	} else {
		error = read_all(r, entry->offset, entry->bytes, &chunk->bytes);
		if (!error)
			chunk->size = entry->bytes;
	}
	if (!error)
		error = parse(r, chunk);
	if (error < 0)
		recording_unload(chunk);
	return error;
}

void recording_unload(struct recording_chunk *chunk)
{
	free(chunk->bytes);
	free(chunk->items);
	*chunk = (struct recording_chunk){ 0 };
}

/* ---- the file ---- */

static const char *judge_header(const struct recording_header *h, int64_t n)
{
	if (n < (int64_t)sizeof(*h) || memcmp(h->magic, RECORDING_MAGIC, sizeof(h->magic)))
		return "not a recording of zcp";
	if (h->version == __builtin_bswap32(RECORDING_VERSION))
		return "recorded on a machine of the other byte order";
	if (h->version != RECORDING_VERSION)
		return "recorded by another version of zcp, in a format that this one does not know";
	if (crc32c(0, h, offsetof(struct recording_header, crc)) != h->crc || h->header_bytes != sizeof(*h))
		return "its header is damaged";
	return NULL;
}

static int open_file(struct recording *r, char why[RECORDING_WHY])
{
	const char *fault;
	struct stat st;
	int64_t n;

	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (r->fd < 0 || fstat(r->fd, &st) < 0) {
		int error = -errno;

		snprintf(why, RECORDING_WHY, "%s: %s", r->path, strerror(-error));
		return error;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, RECORDING_WHY, "%s: no regular file", r->path);
		return -EMEDIUMTYPE;
	}
	r->size = (uint64_t)st.st_size;
	n = recording_read(r, &r->header, sizeof(r->header), 0);
	fault = n < 0 ? strerror((int)-n) : judge_header(&r->header, n);
	if (!fault)
		return 0;
	snprintf(why, RECORDING_WHY, "%s: %s", r->path, fault);
	return -EBADMSG;
}

int recording_open(struct recording **recording, const char *path, char why[RECORDING_WHY])
{
	struct recording *r = calloc(1, sizeof(*r));
	int error = -ENOMEM;

	snprintf(why, RECORDING_WHY, "out of memory");
	if (!r)
		return error;
	r->fd = -1;
	r->path = strdup(path);
	if (r->path)
		error = open_file(r, why);
	if (!error) {
		error = recording_read_index(r);
		if (error == -ENODATA) {
			recording_forget(r);
			error = recording_scan(r);
		}
		if (error == -ENOTSUP)
			snprintf(why, RECORDING_WHY, "%s: compressed with zstd, and zcp was built without", path);
		else if (error < 0)
			snprintf(why, RECORDING_WHY, "%s: %s", path, strerror(-error));
	}
	if (error < 0) {
		recording_close(r);
		return error;
	}
	*recording = r;
	return 0;
}

void recording_close(struct recording *r)
{
	if (!r)
		return;
	recording_forget(r);
	fd_close(r->fd);
	free(r->path);
	free(r);
}
