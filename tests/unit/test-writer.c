/* SPDX-License-Identifier: MIT */
/* Loans and publishing: what is lent, what comes back, in which order it may, and what is refused. */
#include "channel/writer.h"

#include "channel-fixture.h"
#include "channel/pool.h"

static struct fixture f;

static void expect(int reader, uint64_t number, size_t bytes)
{
	struct channel_message m;

	ck_assert_int_eq(fixture_take(&f, reader, 0, &m), 0);
	ck_assert_uint_eq(m.size, bytes);
	ck_assert_msg(fixture_holds(m.data, bytes, number), "message %llu", (unsigned long long)number);
	if (m.pinned)
		channel_reader_release(&f.reader[reader].reader, 0);
}

static void expect_empty(int reader)
{
	struct channel_message m;

	ck_assert_int_eq(fixture_take(&f, reader, 0, &m), -EAGAIN);
}

START_TEST(test_every_size_arrives_whole)
{
	static const uint64_t payload_max[] = { 8, 40, 64, 104, 232, 240, 4096, 100000 };

	for (size_t i = 0; i < sizeof(payload_max) / sizeof(payload_max[0]); i++) {
		uint64_t number = 0;

		fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max[i], .depth = 6 }, true);
		fixture_join(&f, 0, 2, false);
		for (size_t bytes = 0; bytes <= payload_max[i]; bytes += bytes < 300 ? 8 : 4096) {
			ck_assert_int_eq(fixture_publish(&f, bytes, ++number), 1);
			expect(0, number, bytes);
		}
		ck_assert_int_eq(fixture_publish(&f, payload_max[i], ++number), 1);
		expect(0, number, payload_max[i]);
		expect_empty(0);
		fixture_close(&f);
	}
}
END_TEST

START_TEST(test_odd_sizes_by_send)
{
	unsigned char data[300];
	struct channel_message m;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + 1);
	for (uint64_t payload_max = 40; payload_max <= 300; payload_max += 65) {
		fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max }, false);
		fixture_join(&f, 0, 1, false);
		for (size_t size = 0; size <= payload_max; size++) {
			ck_assert_int_eq(channel_writer_send(&f.writer, data, size), 1);
			ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
			ck_assert_uint_eq(m.size, size);
			ck_assert_int_eq(memcmp(m.data, data, size), 0);
			if (m.pinned)
				channel_reader_release(&f.reader[0].reader, 0);
		}
		ck_assert_int_eq(channel_writer_send(&f.writer, data, payload_max + 1), -EMSGSIZE);
		fixture_close(&f);
	}
}
END_TEST

START_TEST(test_small_loan_is_the_slot_itself)
{
	void *payload;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 64 }, false);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 64, &payload), 0);
	ck_assert_ptr_eq(payload, f.segment + f.geometry.ring_offset + SLOT_HEADER_BYTES);
	ck_assert_int_eq(channel_writer_publish(&f.writer, payload, 64), 0);
	fixture_close(&f);
}
END_TEST

/* Loans published in any order each arrive once and whole, in the order they were published. */
static void any_order(uint64_t payload_max, int n, const int *order)
{
	void *loan[8];
	int r;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 20 }, true);
	fixture_join(&f, 0, 2, false);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < n; i++) {
			ck_assert_int_eq(channel_writer_loan(&f.writer, 32, &loan[i]), 0);
			for (int j = 0; j < i; j++)
				ck_assert_ptr_ne(loan[i], loan[j]);
			fixture_fill(loan[i], 32, (uint64_t)(round * 10 + i));
		}
		for (int i = 0; i < n; i++) {
			r = channel_writer_publish(&f.writer, loan[order[i]], 32);
			ck_assert_int_eq(r, 1);
			expect(0, (uint64_t)(round * 10 + order[i]), 32);
		}
		expect_empty(0);
	}
	fixture_close(&f);
}

START_TEST(test_loans_may_be_published_in_any_order)
{
	static const int orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 3, 0, 1 } };

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		any_order(64, 4, orders[i]);
		any_order(1000, 4, orders[i]);
	}
}
END_TEST

/* One small loan stays open while the ring goes round many times: nobody writes to it meanwhile. */
static void held_loan_survives(uint64_t payload_max)
{
	void *held;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 6 }, true);
	fixture_join(&f, 0, 2, false);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 32, &held), 0);
	fixture_fill(held, 32, 4242);
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(fixture_publish(&f, 32, i), 1);
		expect(0, i, 32);
		ck_assert(fixture_holds(held, 32, 4242));
	}
	ck_assert_int_eq(channel_writer_publish(&f.writer, held, 32), 1);
	expect(0, 4242, 32);
	expect_empty(0);
	ck_assert_uint_eq(f.writer.n_loans, 0);
	fixture_close(&f);
}

START_TEST(test_open_loan_is_not_overwritten)
{
	held_loan_survives(64);
	held_loan_survives(1000);
}
END_TEST

static void batch(uint64_t payload_max, size_t bytes, uint32_t depth)
{
	void *loan[WRITER_BATCH_MAX];
	size_t sizes[WRITER_BATCH_MAX];
	uint64_t number = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = depth }, true);
	fixture_join(&f, 0, 2, false);
	for (int round = 1; round <= WRITER_BATCH_MAX; round++) {
		int n = channel_writer_loan_batch(&f.writer, bytes, loan, round);
		bool discarded = n > 2;

		ck_assert_int_ge(n, 1);
		ck_assert_int_le(n, round);
		for (int i = 0; i < n; i++) {
			fixture_fill(loan[i], bytes, number + (uint64_t)i);
			sizes[i] = bytes;
		}
		/* a discarded one in the middle leaves no hole */
		if (discarded) {
			ck_assert_int_eq(channel_writer_discard(&f.writer, loan[1]), 0);
			for (int i = 1; i < n - 1; i++)
				loan[i] = loan[i + 1];
			n--;
		}
		for (int done = 0; done < n;) {
			int r = channel_writer_publish_batch(&f.writer, loan + done, sizes, n - done);

			ck_assert_int_ge(r, 1);
			for (int end = done + r; done < end; done++)
				expect(0, number + (uint64_t)(discarded && done ? done + 1 : done), bytes);
		}
		expect_empty(0);
		ck_assert_uint_eq(f.writer.n_loans, 0);
		number += 1000;
	}
	fixture_close(&f);
}

START_TEST(test_batches)
{
	batch(64, 64, 0);
	batch(64, 64, 6);
	batch(4096, 64, 0);
	batch(4096, 64, 6);
	batch(40, 8, 100);
}
END_TEST

START_TEST(test_refuses_what_is_no_loan)
{
	void *loan, *second;
	uint64_t other[4] = { 0 };

	for (int pools = 0; pools < 2; pools++) {
		size_t bytes = pools ? 500 : 64;

		fixture_open(&f, &(struct geometry_request){ .payload_max = bytes }, false);
		ck_assert_int_eq(channel_writer_publish(&f.writer, other, 8), -EINVAL);
		ck_assert_int_eq(channel_writer_publish(&f.writer, NULL, 8), -EINVAL);
		ck_assert_int_eq(channel_writer_discard(&f.writer, other), -EINVAL);
		ck_assert_int_eq(channel_writer_discard(&f.writer, f.segment + f.geometry.ring_offset + SLOT_HEADER_BYTES), -EINVAL);
		ck_assert_int_eq(channel_writer_loan(&f.writer, bytes, &loan), 0);
		ck_assert_int_eq(channel_writer_publish(&f.writer, (char *)loan + 1, 8), -EINVAL);
		ck_assert_int_eq(channel_writer_publish(&f.writer, (char *)loan + 64, 8), -EINVAL);
		ck_assert_int_eq(channel_writer_publish(&f.writer, loan, bytes + 1), -EMSGSIZE);
		ck_assert_int_eq(channel_writer_publish(&f.writer, loan, bytes), 0);
		ck_assert_int_eq(channel_writer_publish(&f.writer, loan, bytes), -EINVAL);
		ck_assert_int_eq(channel_writer_discard(&f.writer, loan), -EINVAL);
		ck_assert_int_eq(channel_writer_loan(&f.writer, bytes, &loan), 0);
		ck_assert_int_eq(channel_writer_loan(&f.writer, bytes, &second), 0);
		ck_assert_int_eq(channel_writer_discard(&f.writer, second), 0);
		ck_assert_int_eq(channel_writer_discard(&f.writer, second), -EINVAL);
		ck_assert_int_eq(channel_writer_discard(&f.writer, loan), 0);
		ck_assert_int_eq(channel_writer_discard(&f.writer, loan), -EINVAL);
		ck_assert_int_eq(channel_writer_loan(&f.writer, bytes + 1, &loan), -EMSGSIZE);
		ck_assert_int_eq(channel_writer_loan(&f.writer, SIZE_MAX, &loan), -EMSGSIZE);
		ck_assert_uint_eq(f.writer.n_loans, 0);
		fixture_close(&f);
	}
}
END_TEST

START_TEST(test_no_more_than_max_loans)
{
	void *loan[3], *more, *batch_of[4];

	for (int pools = 0; pools < 2; pools++) {
		fixture_open(&f, &(struct geometry_request){ .payload_max = pools ? 500 : 64, .max_loans = 3 }, false);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(channel_writer_loan(&f.writer, 60, &loan[i]), 0);
		ck_assert_int_eq(channel_writer_loan(&f.writer, 60, &more), -ENOBUFS);
		ck_assert_int_eq(channel_writer_loan_batch(&f.writer, 60, batch_of, 4), -ENOBUFS);
		ck_assert_int_eq(channel_writer_discard(&f.writer, loan[1]), 0);
		ck_assert_int_eq(channel_writer_loan_batch(&f.writer, 60, batch_of, 4), 1);
		ck_assert_int_eq(channel_writer_loan_batch(&f.writer, 60, batch_of, 0), -EINVAL);
		ck_assert_int_eq(channel_writer_loan_batch(&f.writer, 60, batch_of, 65), -EINVAL);
		fixture_close(&f);
	}
}
END_TEST

START_TEST(test_rings_once_per_ticket)
{
	struct fixture_reader *r = &f.reader[0];

	fixture_open(&f, &(struct geometry_request){ .payload_max = 64 }, false);
	fixture_join(&f, 0, 1, false);
	ck_assert_uint_eq(r->rings, 1);	/* at attachment: the reader may have gone to sleep before */
	fixture_publish(&f, 8, 1);
	fixture_publish(&f, 8, 2);
	ck_assert_uint_eq(r->rings, 1);
	lane_page_arm(r->page, r->endpoint);
	fixture_publish(&f, 8, 3);
	fixture_publish(&f, 8, 4);
	ck_assert_uint_eq(r->rings, 2);
	fixture_close(&f);
}
END_TEST

START_TEST(test_attach_refuses_nonsense)
{
	void *peer;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 500, .max_lanes = 2, .held_budget = 10 }, false);
	ck_assert_int_eq(fixture_try_join(&f, 0, 4, 0, false), 0);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 0, f.reader[0].page, 4, 4, 0, 1, false, NULL), -EINVAL);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 5, f.reader[0].page, 4, 4, 4, 1, false, NULL), -EINVAL);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 5, f.reader[0].page, 4, 2000, 0, 1, false, NULL), -EINVAL);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 5, f.reader[0].page, 4, 11, 0, 1, false, NULL), -ENOSPC);
	ck_assert_int_eq(fixture_attach(&f, 0, false), 0);
	ck_assert_int_eq(fixture_attach(&f, 0, false), -EEXIST);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 5, f.reader[0].page, 4, 4, 1, 1, false, &f.reader[1]), 0);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 6, f.reader[0].page, 4, 1, 2, 1, false, NULL), -ENOSPC);
	ck_assert_int_eq(channel_writer_detach(&f.writer, 99, &peer), -ENOENT);
	ck_assert_int_eq(channel_writer_detach(&f.writer, f.reader[0].generation, &peer), 0);
	ck_assert_ptr_eq(peer, &f.reader[0]);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 6, f.reader[0].page, 4, 1, 2, 1, false, &f.reader[1]), 0);
	fixture_close(&f);
}
END_TEST

/* A writer with large messages and a prompt reader moves in a few chunks: these stay in cache. */
START_TEST(test_large_chunks_are_reused_early)
{
	void *seen[POOL_WARM_CHUNKS];
	unsigned int n_seen = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1 << 20, .depth = 32 }, false);
	fixture_join(&f, 0, 2, false);
	ck_assert_uint_gt(f.writer.pool[f.writer.n_pools - 1].count, 2 * POOL_WARM_CHUNKS);
	for (uint64_t i = 0; i < 100; i++) {
		void *loan;
		unsigned int known = 0;

		ck_assert_int_eq(channel_writer_loan(&f.writer, 1 << 20, &loan), 0);
		while (known < n_seen && seen[known] != loan)
			known++;
		if (known == n_seen) {
			ck_assert_uint_lt(n_seen, POOL_WARM_CHUNKS);
			seen[n_seen++] = loan;
		}
		fixture_fill(loan, 64, i);
		ck_assert_int_eq(channel_writer_publish(&f.writer, loan, 64), 1);
		expect(0, i, 64);
	}
	fixture_close(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("writer");
	TCase *tc = add_test_case(suite, "writer", 20);

	tcase_add_test(tc, test_every_size_arrives_whole);
	tcase_add_test(tc, test_odd_sizes_by_send);
	tcase_add_test(tc, test_small_loan_is_the_slot_itself);
	tcase_add_test(tc, test_loans_may_be_published_in_any_order);
	tcase_add_test(tc, test_open_loan_is_not_overwritten);
	tcase_add_test(tc, test_batches);
	tcase_add_test(tc, test_refuses_what_is_no_loan);
	tcase_add_test(tc, test_no_more_than_max_loans);
	tcase_add_test(tc, test_rings_once_per_ticket);
	tcase_add_test(tc, test_attach_refuses_nonsense);
	tcase_add_test(tc, test_large_chunks_are_reused_early);
	return run_suite(suite);
}
