/* SPDX-License-Identifier: MIT */
/*
 * test-recording-broken.c - recordings that are not whole: a file that was cut off anywhere, is damaged, lies, or whose disk was full. What was
 * written before is read, and nothing else ever is.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recording-fixture.h"
#include "tools/crc32c.h"

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

int main(void)
{
	Suite *suite = suite_create("recording-broken");
	TCase *broken = add_test_case(suite, "broken", 120);

	tcase_add_checked_fixture(broken, make_directory, remove_directory);
	tcase_add_test(broken, test_cut_off);
	tcase_add_loop_test(broken, test_bit_flips, 0, 2);
	tcase_add_loop_test(broken, test_lies, 0, 2);
	tcase_add_loop_test(broken, test_hole, 0, 2);
	tcase_add_test(broken, test_foreign);
	tcase_add_loop_test(broken, test_full_disk, 0, 2);
	return run_suite(suite);
}
