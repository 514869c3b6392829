/* SPDX-License-Identifier: MIT */
/* Room in the ring: consumed and overrun messages, pins and limbo, back-pressure, and readers that lie. */
#include "channel/retire.h"

#include "channel-fixture.h"
#include "channel/barrier.h"
#include "channel/pool.h"

static struct fixture f;

static uint32_t chunks_in_use(void)
{
	uint32_t n = 0;

	for (uint32_t p = 0; p < f.writer.n_pools; p++)
		n += f.writer.pool[p].count - f.writer.pool[p].n_fresh - f.writer.pool[p].n_free;
	return n;
}

/* With membarrier and with fences: the algorithm is the same, who pays differs. */
static void with_both(void (*test)(uint64_t payload_max))
{
	bool usable = barrier_register();

	for (int fences = 0; fences < 2; fences++) {
		if (!fences && !usable)
			continue;
		barrier_force(!fences);
		test(64);
		test(1000);
	}
	barrier_force(usable);
}

static void lossy_lag(uint64_t payload_max)
{
	struct channel_message m;
	uint64_t received = 0, lost = 0, next = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 24 }, false);
	fixture_join(&f, 0, 2, false);
	for (uint64_t i = 0; i < 1000; i++) {
		ck_assert_int_eq(fixture_publish(&f, payload_max, i), 1);
		/* reads a little now and then, so it is lapped many times */
		for (int k = 0; i % 97 == 96 && k < 11 && fixture_take(&f, 0, 0, &m) == 0; k++) {
			received++;
			lost += m.lost;
			ck_assert_uint_eq(m.sequence, next + m.lost);
			ck_assert(fixture_holds(m.data, m.size, m.sequence));
			next = m.sequence + 1;
			if (m.pinned)
				channel_reader_release(&f.reader[0].reader, 0);
		}
	}
	/* the depth is kept: at least the last 24 are still there */
	for (uint64_t left = 0;; left++) {
		if (fixture_take(&f, 0, 0, &m) < 0) {
			ck_assert_uint_ge(left, 24);
			break;
		}
		received++;
		lost += m.lost;
		if (m.pinned)
			channel_reader_release(&f.reader[0].reader, 0);
	}
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_eq(received + lost, 1000);
	fixture_close(&f);
}

START_TEST(test_lossy_reader_counts_every_loss)
{
	with_both(lossy_lag);
}
END_TEST

static void back_pressure(uint64_t payload_max)
{
	struct channel_message m;
	uint64_t sent = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 6 }, true);
	fixture_join(&f, 0, 2, false);
	fixture_join(&f, 1, 2, true);	/* lossy: never in the way */
	while (fixture_publish(&f, payload_max, sent) == 2)
		sent++;
	ck_assert_uint_eq(sent, f.geometry.ring_slots);
	ck_assert_int_eq(fixture_publish(&f, payload_max, sent), -EAGAIN);
	ck_assert(!channel_writer_has_room(&f.writer));
	ck_assert_uint_eq(f.writer.n_loans, 0);

	for (uint64_t i = 0; i < sent; i++) {
		ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
		ck_assert_uint_eq(m.sequence, i);
		ck_assert_uint_eq(m.lost, 0);
		if (m.pinned)
			channel_reader_release(&f.reader[0].reader, 0);
	}
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	ck_assert(channel_writer_has_room(&f.writer));
	ck_assert_int_eq(fixture_publish(&f, payload_max, sent), 2);
	fixture_close(&f);
}

START_TEST(test_reliable_reader_is_waited_for)
{
	with_both(back_pressure);
}
END_TEST

static void wakes_writer(uint64_t payload_max)
{
	struct channel_message m;
	uint64_t sent = 0;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 6 }, true);
	fixture_join(&f, 0, 2, false);
	while (fixture_publish(&f, payload_max, sent) == 1)
		sent++;
	channel_writer_arm(&f.writer);
	ck_assert(!channel_writer_has_room(&f.writer));
	for (uint64_t i = 0; i < sent; i++) {
		ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
		if (m.pinned)
			channel_reader_release(&f.reader[0].reader, 0);
	}
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	ck_assert(f.reader[0].reader.wake_writer);
	f.reader[0].reader.wake_writer = false;
	/* once per ticket */
	fixture_publish(&f, payload_max, 1);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	channel_reader_flush(&f.reader[0].reader);
	ck_assert(!f.reader[0].reader.wake_writer);
	fixture_close(&f);
}

START_TEST(test_reader_wakes_the_waiting_writer)
{
	with_both(wakes_writer);
}
END_TEST

START_TEST(test_pinned_chunk_waits_in_limbo)
{
	struct channel_message held, m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6 }, false);
	fixture_join(&f, 0, 4, false);
	fixture_publish(&f, 1000, 4711);
	ck_assert_int_eq(fixture_take(&f, 0, 3, &held), 0);
	ck_assert(held.pinned);
	for (uint64_t i = 0; i < 500; i++) {
		fixture_publish(&f, 1000, i);
		ck_assert(fixture_holds(held.data, held.size, 4711));
	}
	ck_assert_uint_eq(f.writer.n_limbo, 1);
	channel_reader_release(&f.reader[0].reader, 3);
	while (fixture_take(&f, 0, 0, &m) == 0)
		channel_reader_release(&f.reader[0].reader, 0);
	retire_consumed(&f.writer);
	ck_assert_uint_eq(f.writer.n_limbo, 0);
	ck_assert_uint_eq(chunks_in_use(), 0);
	fixture_close(&f);
}
END_TEST

START_TEST(test_everybody_holds_all_they_may)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6, .held_budget = 12, .max_loans = 1 }, false);
	for (int i = 0; i < 3; i++)
		fixture_join(&f, i, 4, false);
	/* each reader holds four, all different, while the writer goes on */
	for (uint64_t i = 0; i < 12; i++) {
		int reader = (int)i % 3;

		for (uint64_t k = 0; k < 20; k++)
			ck_assert_int_eq(fixture_publish(&f, 1000, i), 3);
		ck_assert_int_eq(fixture_take(&f, reader, (uint32_t)i / 3, &m), 0);
		ck_assert(m.pinned);
	}
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert_int_eq(fixture_publish(&f, 1000, i), 3);
	ck_assert_uint_le(f.writer.n_limbo, 12);
	fixture_close(&f);
}
END_TEST

START_TEST(test_history_is_kept_and_the_rest_is_not)
{
	struct channel_message m;

	for (int pools = 0; pools < 2; pools++) {
		size_t bytes = pools ? 20000 : 64;

		fixture_open(&f, &(struct geometry_request){ .payload_max = bytes, .depth = 32, .history = 3 }, false);
		for (uint64_t i = 0; i < 50; i++)
			fixture_publish(&f, bytes, i);
		if (pools)
			ck_assert_uint_le(chunks_in_use(), POOL_WARM_CHUNKS);	/* nobody reads: only the history occupies memory */
		/* a late joiner that wants more than there is gets what was promised, without another publish */
		ck_assert_int_eq(fixture_try_join(&f, 0, 4, 10, false), 0);
		for (uint64_t i = 47; i < 50; i++) {
			ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
			ck_assert_uint_eq(m.sequence, i);
			ck_assert_uint_eq(m.lost, 0);
			ck_assert(!m.pinned);
			ck_assert(fixture_holds(m.data, bytes, i));
		}
		ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
		fixture_close(&f);
	}
}
END_TEST

START_TEST(test_nothing_is_consumed_while_a_lane_is_expected)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 20000, .depth = 6 }, true);
	f.writer.n_expected = 1;
	for (uint64_t i = 0; i < 6; i++)
		fixture_publish(&f, 20000, i);
	ck_assert_int_eq(fixture_try_join(&f, 0, 2, 0, true), 0);
	f.writer.n_expected = 0;
	ck_assert_int_eq(fixture_attach(&f, 0, false), 0);
	for (uint64_t i = 0; i < 6; i++) {
		ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
		ck_assert_uint_eq(m.sequence, i);
		channel_reader_release(&f.reader[0].reader, 0);
	}
	fixture_close(&f);
}
END_TEST

START_TEST(test_detached_lane_does_not_count)
{
	void *peer;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6 }, true);
	fixture_join(&f, 0, 2, false);
	fixture_join(&f, 1, 2, true);
	while (fixture_publish(&f, 8, 0) >= 0)
		;
	ck_assert_int_eq(channel_writer_detach(&f.writer, f.reader[0].generation, &peer), 0);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_int_eq(fixture_publish(&f, 8, i), 1);
	fixture_close(&f);
}
END_TEST

/* Arbitrary bits in cursor and pins: the liar loses messages; the writer never stops, never hands out a chunk twice. */
static void liar(uint64_t payload_max)
{
	uint64_t random = 88172645463325252u;
	struct channel_message m;
	bool *loaned;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 12, .held_budget = 16 }, false);
	fixture_join(&f, 0, 8, false);
	fixture_join(&f, 1, 2, false);
	loaned = calloc(100000, sizeof(*loaned));
	for (uint64_t i = 0; i < 20000; i++) {
		struct channel_lane *lane = f.reader[0].reader.lane;

		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		atomic_store(&lane->pin[random % 8], random % 3 ? f.writer.head - random % 64 : random);
		atomic_store(&lane->cursor, random % 5 ? f.writer.head - random % 32 + 4 : random);
		ck_assert_int_eq(fixture_publish(&f, payload_max, i), 2);
		/* the honest one beside it is not disturbed */
		while (fixture_take(&f, 1, 0, &m) == 0) {
			ck_assert_uint_eq(m.lost, 0);
			ck_assert(fixture_holds(m.data, m.size, m.sequence));
			if (m.pinned)
				channel_reader_release(&f.reader[1].reader, 0);
		}
		ck_assert_uint_le(f.writer.n_limbo, f.writer.limbo_room);
	}
	/* every chunk is in exactly one place */
	for (uint32_t p = 0; p < f.writer.n_pools; p++) {
		struct writer_pool *pool = &f.writer.pool[p];

		memset(loaned, 0, 100000);
		for (uint32_t i = 0; i < pool->n_free; i++) {
			ck_assert_uint_lt(pool->free[i], pool->count);
			ck_assert(!loaned[pool->free[i]]);
			loaned[pool->free[i]] = true;
			ck_assert_int_eq(pool->state[pool->free[i]], CHUNK_OURS);
		}
	}
	free(loaned);
	fixture_close(&f);
}

START_TEST(test_lying_reader_harms_only_itself)
{
	with_both(liar);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("retire");
	TCase *tc = add_test_case(suite, "retire", 30);

	tcase_add_test(tc, test_lossy_reader_counts_every_loss);
	tcase_add_test(tc, test_reliable_reader_is_waited_for);
	tcase_add_test(tc, test_reader_wakes_the_waiting_writer);
	tcase_add_test(tc, test_pinned_chunk_waits_in_limbo);
	tcase_add_test(tc, test_everybody_holds_all_they_may);
	tcase_add_test(tc, test_history_is_kept_and_the_rest_is_not);
	tcase_add_test(tc, test_nothing_is_consumed_while_a_lane_is_expected);
	tcase_add_test(tc, test_detached_lane_does_not_count);
	tcase_add_test(tc, test_lying_reader_harms_only_itself);
	return run_suite(suite);
}
