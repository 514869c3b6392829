/* SPDX-License-Identifier: MIT */
/* The words in both segments that are there for those who look on (channel_counts, lane_counts in channel/layout.h). */
#include "channel-fixture.h"
#include "harness.h"

static struct fixture f;

static uint64_t taken(int i)
{
	const struct channel_reader *r = &f.reader[i].reader;

	return atomic_load(&r->lane->cursor) - atomic_load(&r->counts->skipped);
}

static uint64_t lost(int i)
{
	return atomic_load(&f.reader[i].reader.counts->lost);
}

/* Take all there is; the number of messages, and the sum of what they say was lost in *n_lost. */
static uint64_t drain(int i, uint64_t *n_lost)
{
	struct channel_message m;
	uint64_t n = 0;

	while (fixture_take(&f, i, 0, &m) == 0) {
		if (m.pinned)
			channel_reader_release(&f.reader[i].reader, 0);
		*n_lost += m.lost;
		n++;
	}
	return n;
}

/* Whatever the reader goes through, the segment says what it was given. 0: inline messages, 1: chunks. */
START_TEST(test_lane_counts_are_what_the_reader_got)
{
	size_t bytes = _i ? 1000 : 16;
	uint64_t n[2] = { 0, 0 }, n_lost[2] = { 0, 0 }, number = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = bytes, .depth = 6, .history = 4 }, false);
	for (; number < 5; number++)
		fixture_publish(&f, bytes, number);
	/* a newcomer with history, and one that was there before the writer and has missed something already */
	ck_assert_int_eq(fixture_try_join(&f, 0, 2, 3, false), 0);
	ck_assert_int_eq(fixture_try_join(&f, 1, 2, 0, true), 0);
	ck_assert_uint_eq(taken(0), 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 2; i++) {
			n[i] += drain(i, &n_lost[i]);
			ck_assert_uint_eq(taken(i), n[i]);
		}
		if (round == 2) {
			ck_assert_int_eq(fixture_attach(&f, 0, false), 0);
			ck_assert_int_eq(fixture_attach(&f, 1, false), 0);
		}
		/* more than the ring holds, now and then */
		for (int k = 0; k < (round % 3 ? 2 : 30); k++)
			fixture_publish(&f, bytes, number++);
	}
	for (int i = 0; i < 2; i++) {
		n[i] += drain(i, &n_lost[i]);
		ck_assert_uint_eq(taken(i), n[i]);
		ck_assert_uint_eq(lost(i), n_lost[i]);
		ck_assert_uint_gt(n_lost[i], 0);
	}
	ck_assert_uint_eq(n[1] + n_lost[1], number);
	fixture_close(&f);
}
END_TEST

START_TEST(test_the_newest_skips_and_loses_nothing)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 16, .depth = 6 }, false);
	fixture_join(&f, 0, 2, false);
	for (uint64_t i = 0; i < 5; i++)
		fixture_publish(&f, 16, i);
	ck_assert_int_eq(channel_reader_newest(&f.reader[0].reader, 0, f.reader[0].buffer, &m), 0);
	ck_assert_uint_eq(m.sequence, 4);
	ck_assert_uint_eq(taken(0), 1);
	ck_assert_uint_eq(lost(0), 0);
	for (uint64_t i = 0; i < 50; i++)
		fixture_publish(&f, 16, i);
	ck_assert_int_eq(channel_reader_newest(&f.reader[0].reader, 0, f.reader[0].buffer, &m), 0);
	ck_assert_uint_eq(taken(0), 2);
	fixture_close(&f);
}
END_TEST

/* A void message is neither taken nor lost, a malformed one is both lost and malformed. */
START_TEST(test_void_and_malformed)
{
	struct channel_slot *slot;
	uint64_t n_lost = 0;
	void *a, *b;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6 }, false);
	fixture_join(&f, 0, 2, false);
	/* the slot of the loan that is open is passed over */
	ck_assert_int_eq(channel_writer_loan(&f.writer, 16, &a), 0);
	ck_assert_int_eq(channel_writer_send(&f.writer, "0123456", 8), 1);
	ck_assert_int_eq(channel_writer_discard(&f.writer, a), 0);
	ck_assert_uint_eq(f.writer.head, 2);
	ck_assert_uint_eq(drain(0, &n_lost), 1);
	ck_assert_uint_eq(taken(0), 1);
	ck_assert_uint_eq(lost(0), 0);

	ck_assert_int_eq(channel_writer_loan(&f.writer, 500, &b), 0);
	ck_assert_int_eq(channel_writer_publish(&f.writer, b, 500), 1);
	slot = (void *)(f.writer.ring + ((2 & f.writer.mask) << f.writer.slot_shift));
	atomic_store(&slot->descriptor, UINT64_C(0xc0000000) << 32 | 500);
	ck_assert_uint_eq(drain(0, &n_lost), 0);
	ck_assert_uint_eq(taken(0), 1);
	ck_assert_uint_eq(lost(0), 1);
	ck_assert_uint_eq(atomic_load(&f.reader[0].reader.counts->malformed), 1);
	fixture_close(&f);
}
END_TEST

/* A lane that is used again begins anew. */
START_TEST(test_lane_used_again)
{
	uint64_t n_lost = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 16, .depth = 6 }, false);
	fixture_join(&f, 0, 2, false);
	for (uint64_t i = 0; i < 100; i++)
		fixture_publish(&f, 16, i);
	ck_assert_uint_gt(drain(0, &n_lost), 0);
	ck_assert_uint_gt(lost(0), 0);
	munmap(f.reader[0].page, lane_page_bytes(FIXTURE_LANES, 2));
	ck_assert_int_eq(fixture_try_join(&f, 0, 2, 0, false), 0);
	ck_assert_uint_eq(taken(0), 0);
	ck_assert_uint_eq(lost(0), 0);
	fixture_close(&f);
}
END_TEST

START_TEST(test_writer_counts)
{
	const struct channel_counts *counts;
	void *loan[3], *none;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6, .max_loans = 3 }, false);
	counts = &f.writer.header->counts;
	for (uint32_t i = 0; i < f.geometry.n_pools; i++)
		ck_assert_uint_eq(atomic_load(&counts->n_touched[i]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(channel_writer_loan(&f.writer, 1000, &loan[i]), 0);
	ck_assert_uint_eq(atomic_load(&counts->n_touched[0]), 3);
	ck_assert_uint_eq(atomic_load(&counts->n_failed_loans), 0);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 1000, &none), -ENOBUFS);
	ck_assert_int_eq(channel_writer_loan_batch(&f.writer, 1000, &none, 1), -ENOBUFS);
	ck_assert_uint_eq(atomic_load(&counts->n_failed_loans), 2);
	/* what is used again is not touched for the first time */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(channel_writer_discard(&f.writer, loan[i]), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(channel_writer_loan(&f.writer, 1000, &loan[i]), 0);
	ck_assert_uint_eq(atomic_load(&counts->n_touched[0]), 3);
	ck_assert_uint_eq(atomic_load(&counts->n_touched[1]), 0);
	fixture_close(&f);
}
END_TEST

/* They are on lines that no partner of the owner looks at. */
START_TEST(test_lines_of_their_own)
{
	ck_assert_uint_ge(offsetof(struct channel_header, counts), offsetof(struct channel_header, attach_epoch) + 128);
	ck_assert_uint_ge(offsetof(struct channel_header, attached), offsetof(struct channel_header, counts) + 128);
	for (uint32_t held = 1; held <= HELD_MAX; held++) {
		const struct channel_lane *lane = (const void *)(uintptr_t)4096;
		uintptr_t counts = (uintptr_t)lane_counts(lane, held);

		ck_assert_uint_ge(counts, 4096 + 8 + 8 * (uintptr_t)held);
		ck_assert_uint_eq(counts + sizeof(struct lane_counts), 4096 + lane_stride(held));
	}
	/* with as many pins as there are on the cursor's line */
	ck_assert_uint_ge((uintptr_t)lane_counts((const void *)(uintptr_t)4096, LANE_PINS_FIRST), 4096 + 64);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("look-on");
	TCase *tc = add_test_case(suite, "counts", 30);

	tcase_add_loop_test(tc, test_lane_counts_are_what_the_reader_got, 0, 2);
	tcase_add_test(tc, test_the_newest_skips_and_loses_nothing);
	tcase_add_test(tc, test_void_and_malformed);
	tcase_add_test(tc, test_lane_used_again);
	tcase_add_test(tc, test_writer_counts);
	tcase_add_test(tc, test_lines_of_their_own);
	return run_suite(suite);
}
