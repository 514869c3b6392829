/* SPDX-License-Identifier: MIT */
/*
 * test-recording.c - recordings: what was written is read, also of a file that was cut off anywhere, and nothing else ever is
 *
 * Message i of a script has everything it consists of follow from i, so that whatever comes out of a reader can be judged by itself.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "tools/crc32c.h"
#include "tools/recording-cursor.h"
#include "tools/recording-output.h"
#include "tools/recording-pack.h"
#include "tools/recording-writer.h"

/* The sanitizer's own memory counts too. */
#ifdef __SANITIZE_ADDRESS__
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

#define TIME_0 1000000000000ull
#define N_STREAMS 3

static char directory[] = "/tmp/zcp-recording-XXXXXX";
static char path[64];
static char why[RECORDING_WHY];

static void make_directory(void)
{
	strcpy(directory, "/tmp/zcp-recording-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.zcprec", directory);
}

static void remove_directory(void)
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

static uint64_t small_size(uint64_t i)
{
	return i * 7 % 40;
}

static uint64_t mixed_size(uint64_t i)
{
	static const uint64_t sizes[] = { 0, 1, 100, 4095, 65536, 300000, 7, 1000000 };

	return i == 50 ? 2 * RECORDING_CHUNK_BYTES + 12345 : sizes[i % 8] + i % 3;
}

static uint64_t even_time(uint64_t i)
{
	return TIME_0 + i * 1000;
}

/* As a recorder takes them: a stretch of one stream, then the same stretch of time of another. */
static uint64_t stretched_time(uint64_t i)
{
	return TIME_0 + (i / 300 * 100 + i % 100) * 1000;
}

static uint64_t same_time(uint64_t i)
{
	(void)i;
	return TIME_0;
}

/* A clock that is adjusted: every second message is earlier than the one before. */
static uint64_t uneven_time(uint64_t i)
{
	return TIME_0 + i * 1000 - i % 2 * 1500;
}

static uint32_t stream_of(uint64_t i)
{
	return (uint32_t)(i / 100 % N_STREAMS);
}

static void fill(uint8_t *to, uint64_t i, uint64_t size)
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
static struct recording_message message(const struct script *s, uint64_t i, uint8_t *data, uint64_t header[2])
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

static struct recording_stream stream(uint32_t k)
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

static void write_script(struct recording_writer *w, const struct script *s)
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

static void make_recording(const struct script *s, const struct recording_options *options)
{
	struct recording_writer *w;
	uint64_t bytes;
	int r = recording_writer_open(&w, options, why);

	ck_assert_msg(!r, "%s", why);
	write_script(w, s);
	r = recording_writer_close(w, &bytes, why);
	ck_assert_msg(!r, "%s", why);
}

static struct recording_options options(int level)
{
	return (struct recording_options){ .path = path, .level = level, .buffer_bytes = 4 * RECORDING_CHUNK_BYTES };
}

/* That @item is message @i of the script, whichever that is: the sequence says it. */
static void check_item(const struct script *s, const struct recording_item *item)
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
static uint64_t read_all(const struct script *s, struct recording *r, bool in_time)
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

static struct recording *open_recording(void)
{
	struct recording *r;
	int e = recording_open(&r, path, why);

	ck_assert_msg(!e, "%s", why);
	return r;
}

/* ---- whole files ---- */

START_TEST(test_checksum)
{
	uint8_t bytes[200];

	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(crc32c_by_table(0, "123456789", 9), 0xe3069283);
	fill(bytes, 5, sizeof(bytes));
	for (size_t from = 0; from < 9; from++) {
		for (size_t to = from; to < sizeof(bytes); to++) {
			uint32_t crc = crc32c(0, bytes + from, to - from);

			ck_assert_uint_eq(crc, crc32c_by_table(0, bytes + from, to - from));
			ck_assert_uint_eq(crc, crc32c(crc32c(0, bytes + from, (to - from) / 3), bytes + from + (to - from) / 3, to - from - (to - from) / 3));
		}
	}
}
END_TEST

static const int levels[] = { 0, 1 };

static bool cannot(int level)
{
	return level && !packer_exists();
}

START_TEST(test_round_trip)
{
	static const struct script scripts[] = {
		{ 0, small_size, even_time }, { 1, small_size, even_time }, { 2000, small_size, even_time },
		{ 120, mixed_size, even_time }, { 3000, small_size, stretched_time }, { 2000, small_size, same_time },
	};
	struct recording_options o = options(levels[_i]);

	if (cannot(o.level))
		skip_test("built without zstd");
	o.replace = true;
	for (size_t k = 0; k < sizeof(scripts) / sizeof(*scripts); k++) {
		const struct script *s = &scripts[k];
		struct recording *r;
		uint64_t messages = 0, lost = 0;

		make_recording(s, &o);
		r = open_recording();
		ck_assert(r->indexed);
		ck_assert_uint_eq(read_all(s, r, true), s->n);
		ck_assert_uint_eq(r->damaged, 0);
		for (uint32_t i = 0; i < r->n_ids; i++) {
			struct recording_stream description = stream(i);

			if (!r->streams[i])
				continue;
			ck_assert_str_eq(r->streams[i]->description.topic[2], description.topic[2]);
			ck_assert_str_eq(r->streams[i]->description.type, "a/type");
			ck_assert_uint_eq(r->streams[i]->description.publisher, description.publisher);
			ck_assert_int_eq(r->streams[i]->description.reliable, description.reliable);
			messages += r->streams[i]->total.messages;
			lost += r->streams[i]->total.lost;
		}
		ck_assert_uint_eq(messages, s->n);
		for (uint64_t i = 9; i < s->n; i += 10)
			lost -= i;
		ck_assert_uint_eq(lost, 0);
		recording_close(r);
	}
}
END_TEST

/* Without its index a file has the same messages and totals. */
START_TEST(test_without_index)
{
	static const struct script s = { 5000, small_size, stretched_time };
	struct recording_options o = options(levels[_i]);
	struct recording *r, *scanned;
	struct record_end end;

	if (cannot(o.level))
		skip_test("built without zstd");
	make_recording(&s, &o);
	r = open_recording();
	ck_assert_int_eq(pread(r->fd, &end, sizeof(end), (off_t)(r->size - RECORDING_END_BYTES + 16)), sizeof(end));
	ck_assert_ok(truncate(path, (off_t)end.index_offset));
	scanned = open_recording();
	ck_assert(!scanned->indexed && !scanned->torn && !scanned->gaps && !scanned->damaged);
	ck_assert_uint_eq(scanned->n_entries, r->n_entries);
	for (uint64_t i = 0; i < r->n_entries; i++) {
		ck_assert_uint_eq(scanned->entries[i].offset, r->entries[i].offset);
		ck_assert_uint_eq(scanned->entries[i].bytes, r->entries[i].bytes);
		ck_assert_uint_eq(scanned->entries[i].first_ns, r->entries[i].first_ns);
		ck_assert_uint_eq(scanned->entries[i].last_ns, r->entries[i].last_ns);
		ck_assert_uint_eq(scanned->entries[i].messages, r->entries[i].messages);
	}
	for (uint32_t i = 0; i < N_STREAMS; i++)
		ck_assert(!memcmp(&scanned->streams[i]->total, &r->streams[i]->total, sizeof(r->streams[i]->total)));
	ck_assert_uint_eq(read_all(&s, scanned, true), s.n);
	recording_close(scanned);
	recording_close(r);
}
END_TEST

START_TEST(test_parts)
{
	static const struct script s = { 3000, small_size, even_time };
	const uint64_t limit = 40000;
	struct recording_options o = options(levels[_i]);
	uint64_t n = 0, next = 0;
	struct stat st;

	if (cannot(o.level))
		skip_test("built without zstd");
	o.max_bytes = limit;
	make_recording(&s, &o);
	for (int part = 1;; part++) {
		struct recording_item item;
		struct recording *r;
		struct cursor *c;

		snprintf(path, sizeof(path), "%s/a.%04d.zcprec", directory, part);
		if (stat(path, &st) < 0)
			break;
		ck_assert_uint_le((uint64_t)st.st_size, limit);
		r = open_recording();
		ck_assert(r->indexed);
		ck_assert_uint_eq(r->header.part, (uint32_t)part);
		n += read_all(&s, r, true);
		/* they follow each other without a hole */
		c = malloc(sizeof(*c));
		ck_assert_int_eq(cursor_open(c, r, 0, UINT64_MAX, NULL), 0);
		while (cursor_next(c, &item) == 1)
			ck_assert_uint_eq(item.message.sequence, next++);
		cursor_close(c);
		free(c);
		recording_close(r);
	}
	ck_assert_uint_eq(n, s.n);
}
END_TEST

START_TEST(test_keep)
{
	static const struct script s = { 3000, small_size, even_time };
	struct recording_options o = options(0);
	struct stat st;
	int part = 1, n = 0;

	o.max_bytes = 20000;
	o.keep = 2;
	make_recording(&s, &o);
	for (; part < 100; part++) {
		snprintf(path, sizeof(path), "%s/a.%04d.zcprec", directory, part);
		if (!stat(path, &st)) {
			n++;
			ck_assert_int_ge(part, 3);
		}
	}
	ck_assert_int_eq(n, 2);
}
END_TEST

START_TEST(test_range_and_streams)
{
	static const struct script s = { 20000, small_size, stretched_time };
	struct recording_options o = options(0);
	bool wanted[N_STREAMS] = { false, true, false };
	struct recording_item item;
	struct cursor *c = malloc(sizeof(*c));
	struct recording *r;
	uint64_t n = 0, expected = 0, from = TIME_0 + 1000000, to = TIME_0 + 3000000;

	make_recording(&s, &o);
	r = open_recording();
	ck_assert_int_eq(cursor_open(c, r, from, to, wanted), 0);
	while (cursor_next(c, &item) == 1) {
		ck_assert_uint_eq(item.stream, 1);
		ck_assert(item.message.timestamp_ns >= from && item.message.timestamp_ns <= to);
		n++;
	}
	for (uint64_t i = 0; i < s.n; i++)
		expected += stream_of(i) == 1 && s.time(i) >= from && s.time(i) <= to;
	ck_assert_uint_gt(expected, 100);
	ck_assert_uint_eq(n, expected);
	cursor_close(c);
	free(c);
	recording_close(r);
}
END_TEST

/* A stream's messages stay in their order, over the ends of chunks too. */
START_TEST(test_uneven_times)
{
	static const struct script s = { 100000, small_size, uneven_time };
	struct recording_options o = options(0);
	uint64_t next[N_STREAMS] = { 0 };
	struct recording_item item;
	struct cursor *c = malloc(sizeof(*c));
	struct recording *r;

	make_recording(&s, &o);
	r = open_recording();
	ck_assert_uint_gt(r->n_entries, 1);
	ck_assert_int_eq(cursor_open(c, r, 0, UINT64_MAX, NULL), 0);
	while (cursor_next(c, &item) == 1) {
		ck_assert_uint_ge(item.message.sequence, next[item.stream]);
		next[item.stream] = item.message.sequence + 1;
	}
	ck_assert_uint_ge(next[0] + next[1] + next[2], 3 * (s.n - 300));
	cursor_close(c);
	free(c);
	recording_close(r);
}
END_TEST

/* ---- files that are not whole ---- */

static uint8_t *load(size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;

	ck_assert_ok(fd);
	ck_assert_ok(fstat(fd, &st));
	*size = (size_t)st.st_size;
	bytes = malloc(*size);
	ck_assert_int_eq(read(fd, bytes, *size), (ssize_t)*size);
	close(fd);
	return bytes;
}

static void store(const uint8_t *bytes, size_t size)
{
	/* not O_TRUNC, after which some file systems wait for the disk */
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_ok(fd);
	ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
	ck_assert_ok(ftruncate(fd, (off_t)size));
	close(fd);
}

/* Whatever there is must be of the script. How many messages there are. */
static uint64_t survive(const struct script *s, bool *damaged)
{
	struct recording *r;
	uint64_t n;

	if (recording_open(&r, path, why) < 0) {
		*damaged = true;
		return 0;
	}
	n = read_all(s, r, false);
	*damaged = r->damaged || r->gaps || r->torn;
	recording_close(r);
	return n;
}

START_TEST(test_cut_off)
{
	static const struct script s = { 30, small_size, even_time };
	struct recording_options o = options(0);
	uint64_t whole = 0, at = sizeof(struct recording_header);
	size_t size;
	uint8_t *bytes;
	bool damaged;

	make_recording(&s, &o);
	bytes = load(&size);
	ck_assert_uint_lt(size, 8192);
	for (size_t cut = 0; cut <= size; cut++) {
		struct record record;

		store(bytes, cut);
		/* what ends at or before the cut is there, and all of it */
		while (at < cut && !record_look(&record, bytes + at, size - at) && at + record.bytes <= cut) {
			at += record.bytes;
			whole += record.kind == RECORD_MESSAGE;
		}
		ck_assert_uint_eq(survive(&s, &damaged), whole);
	}
	ck_assert_uint_eq(whole, s.n);
	free(bytes);
}
END_TEST

START_TEST(test_bit_flips)
{
	static const struct script s = { 12, small_size, even_time };
	struct recording_options o = options(levels[_i]);
	size_t size;
	uint8_t *bytes;

	if (cannot(o.level))
		skip_test("built without zstd");
	make_recording(&s, &o);
	bytes = load(&size);
	for (size_t i = 0; i < size; i++) {
		for (int bit = 0; bit < 8; bit += 3) {
			bool damaged;
			uint64_t n;

			bytes[i] ^= (uint8_t)(1 << bit);
			store(bytes, size);
			n = survive(&s, &damaged);
			/* fewer only if it is said */
			ck_assert(n == s.n || damaged);
			bytes[i] ^= (uint8_t)(1 << bit);
		}
	}
	free(bytes);
}
END_TEST

/* Words that lie, with checksums that are right: nothing may crash, or take memory that is not there. */
static void lie(uint8_t *bytes, size_t size, uint64_t at, const struct record *record)
{
	static const uint32_t words[] = { 0, 1, 0x1000, 0xfffff, 0x7fffffff, 0xffffffff };
	const size_t end = sizeof(struct record_head) + record->fixed_bytes;
	uint8_t saved[sizeof(struct record_head) + RECORD_FIXED_MAX];

	memcpy(saved, bytes + at, end);
	for (size_t word = 4; word < end; word += 4) {
		for (size_t k = 0; k < sizeof(words) / sizeof(*words); k++) {
			struct recording *r;
			uint32_t crc;

			memcpy(bytes + at + word, &words[k], 4);
			crc = crc32c(0, bytes + at + 4, end - 4);
			memcpy(bytes + at, &crc, 4);
			store(bytes, size);
			if (recording_open(&r, path, why) < 0) {
				ck_assert_msg(!strstr(why, "emory"), "%s", why);
			} else {
				struct recording_chunk chunk;

				for (uint64_t i = 0; i < r->n_entries; i++) {
					int e = recording_load(r, i, &chunk);

					ck_assert_int_ne(e, -ENOMEM);
					if (!e)
						recording_unload(&chunk);
				}
				recording_close(r);
			}
			memcpy(bytes + at, saved, end);
		}
	}
}

START_TEST(test_lies)
{
	static const struct script s = { 3, small_size, even_time };
	struct rlimit limit = { .rlim_cur = 64u << 20, .rlim_max = RLIM_INFINITY };
	struct recording_options o = options(levels[_i]);
	struct record record;
	size_t size;
	uint8_t *bytes;
	uint64_t at = sizeof(struct recording_header);

	if (cannot(o.level))
		skip_test("built without zstd");
	make_recording(&s, &o);
	bytes = load(&size);
	if (!HAS_SANITIZER)
		ck_assert_ok(setrlimit(RLIMIT_DATA, &limit));
	while (!record_look(&record, bytes + at, size - at)) {
		lie(bytes, size, at, &record);
		at += record.bytes;
	}
	ck_assert_uint_eq(at, size);
	free(bytes);
}
END_TEST

/* A hole, as a loss of power leaves it: what comes behind it is found again. */
START_TEST(test_hole)
{
	static const struct script s = { 400, mixed_size, even_time };
	struct recording_options o = options(levels[_i]);
	struct recording *r;
	uint64_t n, third;
	size_t size;
	uint8_t *bytes;

	if (cannot(o.level))
		skip_test("built without zstd");
	make_recording(&s, &o);
	r = open_recording();
	ck_assert_uint_gt(r->n_entries, 6);
	third = r->entries[3].offset;
	recording_close(r);
	bytes = load(&size);
	memset(bytes + third, 0, 4096);
	store(bytes, size - 5000);	/* and no index */
	r = open_recording();
	ck_assert(!r->indexed);
	n = read_all(&s, r, true);
	ck_assert(r->gaps + r->damaged > 0);
	ck_assert_uint_gt(n, s.n * 3 / 4);
	ck_assert_uint_lt(n, s.n);
	recording_close(r);
	free(bytes);
}
END_TEST

START_TEST(test_foreign)
{
	static const char text[] = "this is no recording, but it is long enough to be one, which somebody may notice only after having looked at "
				   "the first eight bytes of it, or at all of it";
	uint8_t header[200] = RECORDING_MAGIC;
	struct recording *r;

	store((const uint8_t *)text, sizeof(text));
	ck_assert_int_lt(recording_open(&r, path, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "not a recording"));
	store(header, 0);
	ck_assert_int_lt(recording_open(&r, path, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "not a recording"));
	store(header, sizeof(header));
	ck_assert_int_lt(recording_open(&r, path, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "another version"));
	header[11] = 1;		/* big-endian 1 */
	store(header, sizeof(header));
	ck_assert_int_lt(recording_open(&r, path, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "byte order"));
	ck_assert_int_lt(recording_open(&r, directory, why), 0);
	ck_assert_ptr_nonnull(strstr(why, "no regular file"));
	ck_assert_int_lt(recording_open(&r, "/dev/zero", why), 0);
	ck_assert_int_lt(recording_open(&r, "/nonexistent", why), 0);
}
END_TEST

/* ---- a disk that is full ---- */

START_TEST(test_full_disk)
{
	static const struct script s = { 1000, mixed_size, even_time };
	struct rlimit limit = { .rlim_cur = 30u << 20, .rlim_max = RLIM_INFINITY };
	struct recording_options o = options(levels[_i]);
	uint8_t *data = malloc(3 * RECORDING_CHUNK_BYTES);
	struct recording_writer *w;
	struct recording *r;
	uint64_t header[2], bytes, n;

	if (cannot(o.level)) {
		free(data);
		skip_test("built without zstd");
	}
	ck_assert_int_eq(recording_writer_open(&w, &o, why), 0);
	for (uint32_t k = 0; k < N_STREAMS; k++) {
		struct recording_stream description = stream(k);

		recording_writer_add(w, &description);
	}
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_ok(setrlimit(RLIMIT_FSIZE, &limit));
	for (n = 0; n < s.n; n++) {
		struct recording_message m = message(&s, n, data, header);

		if (recording_writer_write(w, stream_of(n), &m) < 0)
			break;
	}
	ck_assert_uint_lt(n, s.n);
	ck_assert_int_eq(recording_writer_close(w, &bytes, why), -EFBIG);
	ck_assert_ptr_nonnull(strstr(why, path));
	r = open_recording();
	ck_assert(!r->indexed);
	n = read_all(&s, r, true);
	ck_assert_uint_gt(n, 50);
	/* all of them from the beginning: as many bytes as there was room for, but for what is cut off */
	for (uint64_t i = bytes = 0; i < n; i++)
		bytes += s.size(i);
	ck_assert_uint_gt(bytes, (30u << 20) - 3 * RECORDING_CHUNK_BYTES);
	recording_close(r);
	free(data);
}
END_TEST

START_TEST(test_existing)
{
	static const struct script s = { 1, small_size, even_time };
	struct recording_options o = options(0);
	struct recording_writer *w;

	make_recording(&s, &o);
	ck_assert_int_eq(recording_writer_open(&w, &o, why), -EEXIST);
	ck_assert_ptr_nonnull(strstr(why, "--force"));
	o.replace = true;
	make_recording(&s, &o);
	o.path = "/dev/null";
	ck_assert_int_eq(recording_writer_open(&w, &o, why), -EMEDIUMTYPE);
	o.path = "/nonexistent/file";
	ck_assert_int_eq(recording_writer_open(&w, &o, why), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recording");
	TCase *whole = add_test_case(suite, "whole", 60), *broken = add_test_case(suite, "broken", 120);

	tcase_add_checked_fixture(whole, make_directory, remove_directory);
	tcase_add_checked_fixture(broken, make_directory, remove_directory);
	tcase_add_test(whole, test_checksum);
	tcase_add_loop_test(whole, test_round_trip, 0, 2);
	tcase_add_loop_test(whole, test_without_index, 0, 2);
	tcase_add_loop_test(whole, test_parts, 0, 2);
	tcase_add_test(whole, test_keep);
	tcase_add_test(whole, test_range_and_streams);
	tcase_add_test(whole, test_uneven_times);
	tcase_add_test(whole, test_existing);
	tcase_add_test(broken, test_cut_off);
	tcase_add_loop_test(broken, test_bit_flips, 0, 2);
	tcase_add_loop_test(broken, test_lies, 0, 2);
	tcase_add_loop_test(broken, test_hole, 0, 2);
	tcase_add_test(broken, test_foreign);
	tcase_add_loop_test(broken, test_full_disk, 0, 2);
	return run_suite(suite);
}
