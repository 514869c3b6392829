/* SPDX-License-Identifier: MIT */
/*
 * recording-writer.c - see recording-writer.h
 *
 * What is written is one sequence of bytes, cut into the blocks of recording-output.h. Uncompressed, a chunk may begin and end
 * anywhere in a block, and a record lie in several; compressed, a chunk begins with a block.
 */
#include "tools/recording-parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tools/crc32c.h"

#define COPY_STEP (64u << 10)		/* copied, then looked at while it is in the cache */
#define PACK_AFTER_NS 500000000u	/* a compressed chunk waits no longer for more messages */

/* ---- bytes ---- */

static bool get_block(struct recording_writer *w)
{
	struct output_block *b = output_get(w->output);

	if (!b) {
		w->failed = true;
		return false;
	}
	b->part = w->part;
	if (!w->options.level) {
		b->offset = w->position & ~(uint64_t)(RECORDING_CHUNK_BYTES - 1);
		b->used = b->written = (size_t)(w->position - b->offset);
	}
	w->block = b;
	return true;
}

void writer_put_block(struct recording_writer *w)
{
	struct output_block *b = w->block;

	b->chunk = w->chunk;
	w->block = NULL;
	output_put(w->output, b);
}

/* A compressed chunk's first block is marked by this, as nothing of it was put before. */
bool writer_need_block(struct recording_writer *w, bool first)
{
	if (!w->block && !get_block(w))
		return false;
	w->block->first |= first;
	return true;
}

static void put(struct recording_writer *w, const void *bytes, uint64_t size, uint32_t *crc)
{
	const uint8_t *p = bytes;

	while (size) {
		size_t n = size < COPY_STEP ? (size_t)size : COPY_STEP;
		uint8_t *to;

		if (w->block && w->block->used == RECORDING_CHUNK_BYTES)
			writer_put_block(w);
		if (!writer_need_block(w, false))
			return;
		if (n > RECORDING_CHUNK_BYTES - w->block->used)
			n = RECORDING_CHUNK_BYTES - w->block->used;
		to = w->block->data + w->block->used;
		memcpy(to, p, n);
		if (crc)
			*crc = crc32c(*crc, to, n);
		w->block->used += n;
		w->position += n;
		p += n;
		size -= n;
	}
}

/* ---- chunks ---- */

static int begin_chunk(struct recording_writer *w)
{
	struct record_chunk fixed = { .number = w->part->n_chunks, .recording = recording_mark(&w->header) };
	uint8_t record[64];

	w->chunk = calloc(1, sizeof(*w->chunk));
	if (!w->chunk)
		return -ENOMEM;
	w->chunk->offset = w->position;		/* compressed: the output sets it */
	w->chunk->raw_bytes = w->position;	/* until its end */
	w->chunk_number++;
	w->chunk_ns = clock_now_ns();
	w->n_touched = 0;
	if (writer_need_block(w, true))
		put(w, record, record_make(record, RECORD_CHUNK, &fixed, sizeof(fixed), NULL, 0), NULL);
	return 0;
}

int writer_end_chunk(struct recording_writer *w)
{
	struct output_chunk *c = w->chunk;

	if (!c)
		return 0;
	c->pairs = calloc(w->n_touched ? w->n_touched : 1, sizeof(*c->pairs));
	if (!c->pairs)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_touched; i++) {
		c->pairs[i][0] = w->touched[i];
		c->pairs[i][1] = w->streams[w->touched[i]].in_chunk;
	}
	c->n_pairs = w->n_touched;
	c->raw_bytes = w->position - c->raw_bytes;
	if (!w->options.level)
		c->bytes = c->raw_bytes;
	else if (w->block)
		writer_put_block(w);
	*w->part->chunks_tail = c;
	w->part->chunks_tail = &c->next;
	w->part->n_chunks++;
	w->index_bytes += record_bytes(sizeof(struct record_entry), c->n_pairs * sizeof(c->pairs[0]));
	w->chunk = NULL;
	return 0;
}

/* ---- messages ---- */

static void define(struct recording_writer *w, struct stream *s)
{
	uint8_t record[RECORD_STREAM_MAX];
	size_t n = recording_stream_make(record, &s->description);

	put(w, record, n, NULL);
	if (!s->part.messages)
		w->index_bytes += n + record_bytes(sizeof(struct record_total), 0);
	s->defined = w->chunk_number;
	s->in_chunk = 0;
	w->touched[w->n_touched++] = s->description.id;
}

static void write_lost(struct recording_writer *w, struct stream *s, uint64_t lost)
{
	const struct record_lost fixed = { .stream = s->description.id, .messages = lost };
	uint8_t record[64];

	put(w, record, record_make(record, RECORD_LOST, &fixed, sizeof(fixed), NULL, 0), NULL);
	s->all.lost += lost;
	s->part.lost += lost;
}

static void count(struct recording_writer *w, struct stream *s, const struct recording_message *m)
{
	struct output_chunk *c = w->chunk;

	recording_total_add(&s->all, m->timestamp_ns, m->size);
	recording_total_add(&s->part, m->timestamp_ns, m->size);
	s->all.header_size = s->part.header_size = m->header_size;
	s->in_chunk++;
	if (!c->messages || m->timestamp_ns < c->first_ns)
		c->first_ns = m->timestamp_ns;
	if (!c->messages || m->timestamp_ns > c->last_ns)
		c->last_ns = m->timestamp_ns;
	c->messages++;
}

static void write_message(struct recording_writer *w, struct stream *s, const struct recording_message *m)
{
	const struct record_message fixed = {
		.stream = s->description.id,
		.flags = m->flags,
		.sequence = m->sequence,
		.timestamp_ns = m->timestamp_ns,
	};
	uint8_t head[sizeof(struct record_head) + RECORD_FIXED_MAX], tail[16];
	uint32_t crc = 0;

	put(w, head, record_make_head(head, RECORD_MESSAGE, &fixed, sizeof(fixed), m->header, m->header_size, m->size), NULL);
	put(w, m->data, m->size, &crc);
	put(w, tail, record_make_tail(tail, sizeof(fixed) + m->header_size, m->size, crc), NULL);
	count(w, s, m);
}

/* A chunk, and before that a part, for a message of @bytes. */
static int make_room(struct recording_writer *w, uint64_t bytes)
{
	int r;

	if (part_is_over(w, bytes)) {
		r = part_end(w);
		if (!r)
			r = part_begin(w, w->why);
		if (r < 0)
			return r;
	}
	if (w->chunk && w->position - w->chunk->raw_bytes + bytes > RECORDING_CHUNK_BYTES) {
		r = writer_end_chunk(w);
		if (r < 0)
			return r;
	}
	return w->chunk ? 0 : begin_chunk(w);
}

int recording_writer_write(struct recording_writer *w, uint32_t id, const struct recording_message *m)
{
	struct stream *s = &w->streams[id];
	/* with what may come before it: all of a chunk's first message */
	uint64_t bytes = record_bytes(sizeof(struct record_message) + m->header_size, m->size) + RECORD_STREAM_MAX + 64;
	int r;

	if (w->failed || output_failure(w->output, NULL))
		return -EIO;
	r = make_room(w, bytes);
	if (r < 0) {
		w->failed = true;
		return r;
	}
	if (s->defined != w->chunk_number)
		define(w, s);
	if (m->lost)
		write_lost(w, s, m->lost);
	write_message(w, s, m);
	return w->failed ? -EIO : 0;
}

int recording_writer_add(struct recording_writer *w, struct recording_stream *stream)
{
	if (w->n_streams == RECORDING_STREAMS_MAX)
		return -ENOSPC;
	if (w->n_streams == w->n_allocated) {
		uint32_t n = w->n_allocated * 2 + 16;
		struct stream *streams = reallocarray(w->streams, n, sizeof(*streams));
		uint32_t *touched;

		if (!streams)
			return -ENOMEM;
		w->streams = streams;
		touched = reallocarray(w->touched, n, sizeof(*touched));
		if (!touched)
			return -ENOMEM;
		w->touched = touched;
		w->n_allocated = n;
	}
	stream->id = w->n_streams;
	w->streams[w->n_streams++] = (struct stream){ .description = *stream };
	return 0;
}

int64_t recording_writer_flush(struct recording_writer *w)
{
	uint64_t age;

	if (w->failed || !w->block)
		return -1;
	if (!w->options.level) {
		if (w->position != w->flushed)
			output_flush(w->output, w->block);
		w->flushed = w->position;
		return -1;
	}
	if (!w->chunk)
		return -1;
	age = clock_now_ns() - w->chunk_ns;
	if (age < PACK_AFTER_NS)
		return (int64_t)(PACK_AFTER_NS - age);
	if (writer_end_chunk(w) < 0)
		w->failed = true;
	return -1;
}

/* ---- the whole ---- */

int recording_writer_open(struct recording_writer **writer, const struct recording_options *options, char why[RECORDING_WHY])
{
	const struct output_options output = {
		.level = options->level,
		.buffer_bytes = options->buffer_bytes,
		.sync_ns = options->sync_ns,
	};
	struct recording_writer *w = calloc(1, sizeof(*w));
	int r = -ENOMEM;

	snprintf(why, RECORDING_WHY, "out of memory");
	if (!w)
		return r;
	w->options = *options;
	r = part_begin(w, why);
	if (r < 0) {
		free(w);
		return r;
	}
	r = output_open(&w->output, &output);
	if (r < 0) {
		snprintf(why, RECORDING_WHY, "cannot begin to write: %s", strerror(-r));
		output_part_free(w->part);
		free(w);
		return r;
	}
	*writer = w;
	return 0;
}

int recording_writer_close(struct recording_writer *w, uint64_t *bytes, char why[RECORDING_WHY])
{
	const char *path;
	int r, error = 0;

	if (!w->failed && !output_failure(w->output, NULL))
		error = part_end(w);
	else
		error = -EIO;
	output_close(w->output);
	*bytes = output_written(w->output) + w->header.part * sizeof(w->header);
	if ((r = output_failure(w->output, &path)) < 0)
		snprintf(why, RECORDING_WHY, "%s: %s", path, strerror(-r));
	else if (error < 0)
		snprintf(why, RECORDING_WHY, "%s", *w->why ? w->why : "out of memory");
	if (w->part)
		output_part_free(w->part);
	free(w->chunk);
	output_free(w->output);
	free(w->streams);
	free(w->touched);
	free(w);
	return r ? r : error;
}

int recording_writer_fd(struct recording_writer *w)
{
	return output_failure_fd(w->output);
}

uint64_t recording_writer_bytes(struct recording_writer *w)
{
	return output_written(w->output);
}

uint32_t recording_writer_parts(struct recording_writer *w)
{
	return w->header.part;
}

const struct recording_total *recording_writer_total(struct recording_writer *w, uint32_t id)
{
	return &w->streams[id].all;
}
