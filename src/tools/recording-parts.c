/* SPDX-License-Identifier: MIT */
/*
 * recording-parts.c - see recording-parts.h
 *
 * A recording is one file, or with --max-size or --max-time several that follow each other. Each can be read alone: it has a header,
 * and an index of its own chunks and streams.
 */
#include "tools/recording-parts.h"

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

#define SUFFIX ".zcprec"

/* ---- the beginning ---- */

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

int part_begin(struct recording_writer *w, char why[RECORDING_WHY])
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

/* ---- the end ---- */

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

int part_end(struct recording_writer *w)
{
	int r = writer_end_chunk(w);

	if (!r)
		r = describe_streams(w);
	if (!r && !writer_need_block(w, false))
		r = -EIO;
	if (r < 0)
		return r;
	w->block->last = true;
	writer_put_block(w);
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

bool part_is_over(const struct recording_writer *w, uint64_t bytes)
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
