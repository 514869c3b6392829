/* SPDX-License-Identifier: MIT */
/*
 * test-recording.c - recordings that are whole: what was written is read, in order of time, by stream, from one file and from several
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recording-fixture.h"
#include "tools/crc32c.h"

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
	TCase *whole = add_test_case(suite, "whole", 60);

	tcase_add_checked_fixture(whole, make_directory, remove_directory);
	tcase_add_test(whole, test_checksum);
	tcase_add_loop_test(whole, test_round_trip, 0, 2);
	tcase_add_loop_test(whole, test_without_index, 0, 2);
	tcase_add_loop_test(whole, test_parts, 0, 2);
	tcase_add_test(whole, test_keep);
	tcase_add_test(whole, test_range_and_streams);
	tcase_add_test(whole, test_uneven_times);
	tcase_add_test(whole, test_existing);
	return run_suite(suite);
}
