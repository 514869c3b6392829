/* SPDX-License-Identifier: MIT */
/*
 * recording-writer.c - see recording-writer.h
 *
 * What is written is one sequence of bytes, cut into the blocks of recording-output.h. Uncompressed, a chunk may begin and end
 * anywhere in a block, and a record lie in several; compressed, a chunk begins with a block.
 */
#include "tools/recording-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "config.h"
#include "tools/crc32c.h"
#include "tools/recording-output.h"

#define SUFFIX ".zcprec"
#define COPY_STEP (64u << 10)		/* copied, then looked at while it is in the cache */
#define PACK_AFTER_NS 500000000u	/* a compressed chunk waits no longer for more messages */

struct stream {
	struct recording_stream description;
	struct recording_total all, part;
	uint64_t defined;		/* number of the chunk, over all parts, that has defined it last; 0: none */
	uint32_t in_chunk;		/* messages */
};

struct recording_writer {
	struct recording_options options;
	struct output *output;
	struct recording_header header;
	struct output_part *part;
	struct output_block *block;
	struct output_chunk *chunk;	/* begun; NULL: the next message begins one */
	struct stream *streams;
	uint32_t n_streams, n_allocated;
	uint32_t *touched, n_touched;	/* streams of the chunk */
	uint64_t chunk_number;		/* over all parts, from 1 */
	uint64_t position;		/* of the next byte: in the file, or before compression */
	uint64_t index_bytes;		/* of the part's index, at most */
	uint64_t part_ns, chunk_ns;	/* when they were begun */
	uint64_t flushed;		/* position at the last flush */
	bool failed;
	char why[RECORDING_WHY];	/* what failed, if it was not the output */
};

/* ---- parts ---- */

/* The file's name without its suffix, and the number behind it, if there are to be several. On the heap. */
static char *part_path(const struct recording_writer *w, uint32_t number)
{
	const char *path = w->options.path, *suffix = "";
	size_t n = strlen(path);
	char *name;

	if (!w->options.max_bytes && !w->options.max_ns)
		return strdup(path);
	if (n > sizeof(SUFFIX) - 1 && !strcmp(path + n - (sizeof(SUFFIX) - 1), SUFFIX)) {
		n -= sizeof(SUFFIX) - 1;
		suffix = SUFFIX;
	}
	return asprintf(&name, "%.*s.%04" PRIu32 "%s", (int)n, path, number, suffix) < 0 ? NULL : name;
}

static void read_boot_id(uint8_t id[16])
{
	_cleanup_fd_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[37] = "";
	unsigned int byte;

	if (fd < 0 || read(fd, text, 36) != 36)
		return;
	for (int i = 0, at = 0; i < 16; i++, at += 2) {
		at += text[at] == '-';
		if (sscanf(text + at, "%2x", &byte) != 1)
			return;
		id[i] = (uint8_t)byte;
	}
}

static void make_header(struct recording_writer *w)
{
	struct recording_header *h = &w->header;
	struct timespec now;

	if (!h->part) {
		memcpy(h->magic, RECORDING_MAGIC, sizeof(h->magic));
		h->version = RECORDING_VERSION;
		h->header_bytes = sizeof(*h);
		h->flags = w->options.level ? RECORDING_COMPRESSED : 0;
		read_boot_id(h->boot_id);
		if (getrandom(h->recording_id, sizeof(h->recording_id), GRND_NONBLOCK) < 0)
			memcpy(h->recording_id, h->boot_id, sizeof(h->recording_id));
		snprintf(h->package_version, sizeof(h->package_version), "%s", PACKAGE_VERSION);
	}
	h->part++;
	clock_gettime(CLOCK_REALTIME, &now);
	h->realtime_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	h->monotonic_ns = clock_now_ns();
	h->crc = crc32c(0, h, offsetof(struct recording_header, crc));
}

/* Files that are more than --keep. One that is not there any more is nobody's trouble. */
static void drop_old_part(struct recording_writer *w)
{
	_cleanup_free_ char *path = NULL;

	if (!w->options.keep || w->header.part <= w->options.keep)
		return;
	path = part_path(w, (uint32_t)(w->header.part - w->options.keep));
	if (path)
		unlink(path);
}

static int begin_part(struct recording_writer *w, char why[RECORDING_WHY])
{
	_cleanup_free_ char *path = NULL;
	int r = -ENOMEM;

	make_header(w);
	path = part_path(w, w->header.part);
	if (path)
		r = output_part_open(&w->part, path, &w->header, w->options.replace);
	if (r == -EEXIST)
		snprintf(why, RECORDING_WHY, "%s: exists; --force replaces it", path);
	else if (r == -EMEDIUMTYPE)
		snprintf(why, RECORDING_WHY, "%s: no regular file", path);
	else if (r < 0)
		snprintf(why, RECORDING_WHY, "%s: %s", path ? path : w->options.path, strerror(-r));
	if (r < 0)
		return r;
	drop_old_part(w);
	w->position = sizeof(w->header);
	w->flushed = w->position;
	w->index_bytes = record_bytes(sizeof(struct record_index), 0) + RECORDING_END_BYTES;
	w->part_ns = w->header.monotonic_ns;
	for (uint32_t i = 0; i < w->n_streams; i++)
		w->streams[i].part = (struct recording_total){ 0 };
	return 0;
}

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

static void put_block(struct recording_writer *w)
{
	struct output_block *b = w->block;

	b->chunk = w->chunk;
	w->block = NULL;
	output_put(w->output, b);
}

/* A compressed chunk's first block is marked by this, as nothing of it was put before. */
static bool need_block(struct recording_writer *w, bool first)
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
			put_block(w);
		if (!need_block(w, false))
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
	if (need_block(w, true))
		put(w, record, record_make(record, RECORD_CHUNK, &fixed, sizeof(fixed), NULL, 0), NULL);
	return 0;
}

static int end_chunk(struct recording_writer *w)
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
		put_block(w);
	*w->part->chunks_tail = c;
	w->part->chunks_tail = &c->next;
	w->part->n_chunks++;
	w->index_bytes += record_bytes(sizeof(struct record_entry), c->n_pairs * sizeof(c->pairs[0]));
	w->chunk = NULL;
	return 0;
}

/* What the index says of the streams of a part. */
static int describe_streams(struct recording_writer *w)
{
	size_t size = w->n_streams * (RECORD_STREAM_MAX + record_bytes(sizeof(struct record_total), 0)), n = 0;
	uint8_t *bytes = malloc(size ? size : 1);

	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_streams; i++) {
		const struct recording_total *t = &w->streams[i].part;
		const struct record_total total = {
			.stream = i,
			.header_size = t->header_size,
			.messages = t->messages,
			.bytes = t->bytes,
			.lost = t->lost,
			.largest = t->largest,
			.first_ns = t->first_ns,
			.last_ns = t->last_ns,
		};

		if (!t->messages)
			continue;
		n += recording_stream_make(bytes + n, &w->streams[i].description);
		n += record_make(bytes + n, RECORD_TOTAL, &total, sizeof(total), NULL, 0);
		w->part->n_streams++;
	}
	w->part->streams = bytes;
	w->part->streams_bytes = n;
	return 0;
}

static int end_part(struct recording_writer *w)
{
	int r = end_chunk(w);

	if (!r)
		r = describe_streams(w);
	if (!r && !need_block(w, false))
		r = -EIO;
	if (r < 0)
		return r;
	w->block->last = true;
	put_block(w);
	w->part = NULL;
	return 0;
}

/* What the file will have with @bytes more, before its index. What waits to be compressed counts as if it could not be. */
static uint64_t size_with(const struct recording_writer *w, uint64_t bytes)
{
	uint64_t waiting;

	if (!w->options.level)
		return w->position + bytes;
	waiting = w->position - atomic_load(&w->part->raw_done) + bytes;
	return atomic_load(&w->part->position) + waiting + waiting / 128 + 4096;
}

/* Whether @bytes more make the file too large, or it is too old. */
static bool is_over(struct recording_writer *w, uint64_t bytes)
{
	const struct recording_options *o = &w->options;

	if (!w->part->n_chunks && !w->chunk)
		return false;	/* empty */
	if (o->max_ns && clock_now_ns() - w->part_ns >= (uint64_t)o->max_ns)
		return true;
	if (!o->max_bytes)
		return false;
	return size_with(w, bytes) + w->index_bytes > o->max_bytes;
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

	if (is_over(w, bytes)) {
		r = end_part(w);
		if (!r)
			r = begin_part(w, w->why);
		if (r < 0)
			return r;
	}
	if (w->chunk && w->position - w->chunk->raw_bytes + bytes > RECORDING_CHUNK_BYTES) {
		r = end_chunk(w);
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
	if (end_chunk(w) < 0)
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
	r = begin_part(w, why);
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
		error = end_part(w);
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
