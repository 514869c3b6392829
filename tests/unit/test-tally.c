/* SPDX-License-Identifier: MIT */
/* test-tally.c - when a tally is said, and what is in it by then. That a tracer hears it is shown by test-trace-latency */
#include "harness.h"

#include <string.h>

#include "lib/tally.h"

#define MS UINT64_C(1000000)
#define START (100 * MS)

static struct tally_taken taken;
#define tally (taken.tally)

/* A message of @size, published @age before @now. */
static void add(uint64_t now, uint64_t age, size_t size)
{
	const struct zcp_sample sample = { .size = size, .timestamp_ns = now - age, .publisher = 7, .sequence = 1 };

	tally_take(&taken, 42, &sample, now);
}

static void begin(void)
{
	memset(&taken, 0, sizeof(taken));
}

START_TEST(slow_readers_say_each_message)
{
	begin();
	for (uint64_t i = 0; i < 10; i++) {
		add(START + i * MS, 5, 100);
		ck_assert_uint_eq(tally.n, 0);
		ck_assert_uint_eq(tally.said_ns, START + i * MS);
	}
}
END_TEST

START_TEST(fast_readers_say_many_at_once)
{
	begin();
	add(START, 5, 100);
	ck_assert_uint_eq(tally.n, 0);
	for (uint64_t i = 1; i < TALLY_MAX; i++) {
		add(START + i, i, 10);
		ck_assert_uint_eq(tally.n, i);
		ck_assert_uint_eq(tally.bytes, 10 * i);
		ck_assert_uint_eq(tally.latency_ns[i - 1], i);
		ck_assert_uint_eq(tally.last_ns, START + i);
	}
	add(START + TALLY_MAX, 1, 10);
	ck_assert_uint_eq(tally.n, 0);
	ck_assert_uint_eq(tally.bytes, 0);
	ck_assert_uint_eq(tally.said_ns, START + TALLY_MAX);
}
END_TEST

START_TEST(nothing_waits_longer_than_a_millisecond)
{
	begin();
	add(START, 5, 100);
	add(START + MS - 1, 5, 100);
	ck_assert_uint_eq(tally.n, 1);
	/* what is noted goes first, by itself, and the new one right behind it */
	add(START + MS, 5, 100);
	ck_assert_uint_eq(tally.n, 0);
	ck_assert_uint_eq(tally.said_ns, START + MS);
}
END_TEST

START_TEST(a_flush_leaves_nothing)
{
	begin();
	add(START, 5, 100);
	add(START + 1, 5, 100);
	ck_assert_uint_eq(tally.n, 1);
	tally_flush(&tally, 42);
	ck_assert_uint_eq(tally.n, 0);
	ck_assert_uint_eq(tally.bytes, 0);
	ck_assert_uint_eq(tally.said_ns, START + 1);
	/* nothing is nothing to say */
	tally_flush(&tally, 42);
	ck_assert_uint_eq(tally.said_ns, START + 1);
}
END_TEST

START_TEST(without_a_timestamp_nothing_is_noted)
{
	begin();
	add(START, 5, 100);
	add(START + 1, START + 1, 100);
	ck_assert_uint_eq(tally.n, 0);
	ck_assert_uint_eq(tally.bytes, 0);
}
END_TEST

START_TEST(the_node_says_what_was_left)
{
	begin();
	add(START, 5, 100);
	add(START + 1, 5, 100);
	tally_tick(&tally, 42, START + MS);
	ck_assert_uint_eq(tally.n, 1);
	tally_tick(&tally, 42, START + MS + 1);
	ck_assert_uint_eq(tally.n, 0);
	ck_assert_uint_eq(tally.said_ns, START + 1);
}
END_TEST

/* Whoever comes while the other is inside changes nothing. */
START_TEST(nobody_waits)
{
	begin();
	add(START, 5, 100);
	add(START + 1, 5, 100);
	tally.busy = true;
	add(START + 2, 5, 100);
	tally_flush(&tally, 42);
	tally_tick(&tally, 42, START + 5 * MS);
	ck_assert_uint_eq(tally.n, 1);
	ck_assert_uint_eq(tally.bytes, 100);
	ck_assert(tally.busy);
}
END_TEST

START_TEST(a_publisher_has_no_latencies)
{
	begin();
	tally_publish(&tally, 42, 100, START);
	ck_assert_uint_eq(tally.n, 0);
	for (uint64_t i = 1; i < TALLY_MAX; i++)
		tally_publish(&tally, 42, 100, START + i);
	ck_assert_uint_eq(tally.n, TALLY_MAX - 1);
	ck_assert_uint_eq(tally.bytes, 100 * (TALLY_MAX - 1));
	tally_publish(&tally, 42, 100, START + TALLY_MAX);
	ck_assert_uint_eq(tally.n, 0);
	ck_assert_uint_eq(tally.bytes, 0);
}
END_TEST

/* The clock that counts ticks may be a little ahead of the one that we read. */
START_TEST(a_timestamp_of_the_future_took_no_time)
{
	begin();
	add(START, 5, 100);
	add(START + 1, (uint64_t)-100, 100);
	ck_assert_uint_eq(tally.n, 1);
	ck_assert_uint_eq(tally.latency_ns[0], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tally");
	TCase *tcase = add_test_case(suite, "tally", 10);

	tcase_add_test(tcase, slow_readers_say_each_message);
	tcase_add_test(tcase, fast_readers_say_many_at_once);
	tcase_add_test(tcase, nothing_waits_longer_than_a_millisecond);
	tcase_add_test(tcase, a_flush_leaves_nothing);
	tcase_add_test(tcase, without_a_timestamp_nothing_is_noted);
	tcase_add_test(tcase, a_timestamp_of_the_future_took_no_time);
	tcase_add_test(tcase, the_node_says_what_was_left);
	tcase_add_test(tcase, nobody_waits);
	tcase_add_test(tcase, a_publisher_has_no_latencies);
	return run_suite(suite);
}
