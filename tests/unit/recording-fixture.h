/* SPDX-License-Identifier: MIT */
/*
 * recording-fixture.h - recordings made from a script, and what is read of them compared with it
 *
 * Message i of a script has everything it consists of follow from i, so that whatever comes out of a reader can be judged by itself.
 */
#ifndef ZCP_TESTS_RECORDING_FIXTURE_H
#define ZCP_TESTS_RECORDING_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "tools/recording-cursor.h"
#include "tools/recording-pack.h"
#include "tools/recording-writer.h"

#define TIME_0 1000000000000ull
#define N_STREAMS 3

static char directory[] = "/tmp/zcp-recording-XXXXXX";
static char path[64];
static char why[RECORDING_WHY];

static inline void make_directory(void)
{
	strcpy(directory, "/tmp/zcp-recording-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.zcprec", directory);
}

static inline void remove_directory(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* ---- the script ---- */

struct script {
	uint64_t n;
	uint64_t (*size)(uint64_t i);
	uint64_t (*time)(uint64_t i);
};

static inline uint64_t small_size(uint64_t i)
{
	return i * 7 % 40;
}

static inline uint64_t mixed_size(uint64_t i)
{
	static const uint64_t sizes[] = { 0, 1, 100, 4095, 65536, 300000, 7, 1000000 };

	return i == 50 ? 2 * RECORDING_CHUNK_BYTES + 12345 : sizes[i % 8] + i % 3;
}

static inline uint64_t even_time(uint64_t i)
{
	return TIME_0 + i * 1000;
}

/* As a recorder takes them: a stretch of one stream, then the same stretch of time of another. */
static inline uint64_t stretched_time(uint64_t i)
{
	return TIME_0 + (i / 300 * 100 + i % 100) * 1000;
}

static inline uint64_t same_time(uint64_t i)
{
	(void)i;
	return TIME_0;
}

/* A clock that is adjusted: every second message is earlier than the one before. */
static inline uint64_t uneven_time(uint64_t i)
{
	return TIME_0 + i * 1000 - i % 2 * 1500;
}

static inline uint32_t stream_of(uint64_t i)
{
	return (uint32_t)(i / 100 % N_STREAMS);
}

static inline void fill(uint8_t *to, uint64_t i, uint64_t size)
{
	uint64_t x = i * 0x9e3779b97f4a7c15ull + 1;

	/* half of it can be compressed */
	for (uint64_t k = 0; k < size; k++) {
		if (k % 128 < 64)
			x = x * 6364136223846793005ull + 1442695040888963407ull;
		to[k] = k % 128 < 64 ? (uint8_t)(x >> 56) : (uint8_t)i;
	}
}

/* Message @i with its data in @data and header in @header. */
static inline struct recording_message message(const struct script *s, uint64_t i, uint8_t *data, uint64_t header[2])
{
	uint32_t stream = stream_of(i);

	fill(data, i, s->size(i));
	header[0] = i;
	header[1] = ~i;
	return (struct recording_message){
		.data = data,
		.size = s->size(i),
		.header = stream ? header : NULL,
		.header_size = stream * 8,
		.sequence = i,
		.timestamp_ns = s->time(i),
		.lost = i % 10 == 9 ? i : 0,
	};
}

static inline struct recording_stream stream(uint32_t k)
{
	struct recording_stream s = {
		.known = true,
		.reliable = k == 1,
		.publisher = 100 + k,
		.topic = { "service", "instance", "event" },
		.type = "a/type",
		.node = "node",
		.type_size = 8,
		.payload_max = 1000,
	};

	s.topic[2][0] = (char)('a' + k);
	return s;
}

static inline void write_script(struct recording_writer *w, const struct script *s)
{
	uint8_t *data = malloc(3 * RECORDING_CHUNK_BYTES);
	uint64_t header[2];

	for (uint32_t k = 0; k < N_STREAMS; k++) {
		struct recording_stream description = stream(k);

		ck_assert_int_eq(recording_writer_add(w, &description), 0);
		ck_assert_uint_eq(description.id, k);
	}
	for (uint64_t i = 0; i < s->n; i++) {
		struct recording_message m = message(s, i, data, header);

		ck_assert_int_eq(recording_writer_write(w, stream_of(i), &m), 0);
		if (i % 64 == 0)
			recording_writer_flush(w);
	}
	free(data);
}

static inline void make_recording(const struct script *s, const struct recording_options *options)
{
	struct recording_writer *w;
	uint64_t bytes;
	int r = recording_writer_open(&w, options, why);

	ck_assert_msg(!r, "%s", why);
	write_script(w, s);
	r = recording_writer_close(w, &bytes, why);
	ck_assert_msg(!r, "%s", why);
}

static inline struct recording_options options(int level)
{
	return (struct recording_options){ .path = path, .level = level, .buffer_bytes = 4 * RECORDING_CHUNK_BYTES };
}

/* Compressed or not; and whether this build can. */
static const int levels[] = { 0, 1 };

static inline bool cannot(int level)
{
	return level && !packer_exists();
}

/* That @item is message @i of the script, whichever that is: the sequence says it. */
static inline void check_item(const struct script *s, const struct recording_item *item)
{
	static uint8_t data[3 * RECORDING_CHUNK_BYTES];
	uint64_t header[2], i = item->message.sequence;
	const struct recording_message *got = &item->message;
	struct recording_message m;

	ck_assert_uint_lt(i, s->n);
	m = message(s, i, data, header);
	ck_assert_uint_eq(item->stream, stream_of(i));
	ck_assert_uint_eq(got->size, m.size);
	ck_assert_uint_eq(got->timestamp_ns, m.timestamp_ns);
	ck_assert_uint_eq(got->header_size, m.header_size);
	ck_assert(!memcmp(got->data, m.data, m.size));
	if (m.header_size)
		ck_assert(!memcmp(got->header, m.header, m.header_size));
}

/* Read all, compare each with the script. Their number; with @in_time they come in order of time, and of number where that is equal. */
static inline uint64_t read_all(const struct script *s, struct recording *r, bool in_time)
{
	struct recording_item item;
	struct cursor *c = malloc(sizeof(*c));
	uint64_t n = 0, last_time = 0, last = 0;
	int e;

	ck_assert_int_eq(cursor_open(c, r, 0, UINT64_MAX, NULL), 0);
	while ((e = cursor_next(c, &item)) == 1) {
		check_item(s, &item);
		if (in_time && n) {
			ck_assert_uint_ge(item.message.timestamp_ns, last_time);
			if (item.message.timestamp_ns == last_time)
				ck_assert_uint_gt(item.message.sequence, last);
		}
		last_time = item.message.timestamp_ns;
		last = item.message.sequence;
		n++;
	}
	ck_assert_int_eq(e, 0);
	cursor_close(c);
	free(c);
	return n;
}

static inline struct recording *open_recording(void)
{
	struct recording *r;
	int e = recording_open(&r, path, why);

	ck_assert_msg(!e, "%s", why);
	return r;
}

#endif
