/* SPDX-License-Identifier: MIT */
/*
 * More publishers than a subscriber has lanes for, and taking from several at once. A lane is in use until its publisher is gone and everything
 * it published was taken, so a subscriber that does not take may find all of them occupied by the dead; who
 * comes then waits.
 */
#include "lib-helper.h"

#include <signal.h>

#define LANES 3

static zcp_subscriber *few_lanes(zcp_node *node)
{
	struct zcp_subscriber_options so = { .max_publishers = LANES };

	return lib_subscriber(node, &so);
}

static void publish_one_and_close(zcp_node *node, uint64_t number)
{
	zcp_publisher *p = lib_publisher(node, NULL);

	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	ok(lib_send(p, number, 64));
	zcp_publisher_close(p);
}

/* Everything is taken; a take that finds nothing is what ends a drained lane. */
static void take_all(zcp_subscriber *s)
{
	struct zcp_sample sample;

	for (uint64_t i = 0; i < LANES; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
}

START_TEST(dead_publishers_do_not_shut_out_the_living)
{
	zcp_node *n, *m;
	zcp_subscriber *s;
	zcp_publisher *p;

	lib_router_start();
	n = lib_node("subscriber");
	m = lib_node("publishers");
	s = few_lanes(n);
	for (uint64_t i = 0; i < LANES; i++)
		publish_one_and_close(m, i);

	/* all lanes hold a message of a publisher that is gone; the next one comes, and nobody takes yet */
	p = lib_publisher(m, NULL);
	fails(zcp_publisher_wait(p, 1, SECOND / 20), -ETIMEDOUT, "0 of 1");
	take_all(s);
	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	ok(lib_send(p, 77, 64));
	ck_assert_uint_eq(lib_receive(s), 77);
	zcp_node_close(m);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * A waiting publisher that gives up, and a subscriber that closes on one, leave nothing behind (the fixture
 * counts descriptors).
 */
START_TEST(who_waits_may_leave)
{
	zcp_node *n, *m;
	zcp_subscriber *s;
	zcp_publisher *p;

	lib_router_start();
	n = lib_node("subscriber");
	m = lib_node("publishers");
	s = few_lanes(n);
	for (uint64_t i = 0; i < LANES; i++)
		publish_one_and_close(m, i);
	p = lib_publisher(m, NULL);
	fails(zcp_publisher_wait(p, 1, SECOND / 20), -ETIMEDOUT, "0 of 1");
	zcp_publisher_close(p);
	take_all(s);
	publish_one_and_close(m, 5);
	ck_assert_uint_eq(lib_receive(s), 5);
	/* the one that waited may have been let in just before it left */
	ck_assert_within(lib_stats(s).departed > LANES && lib_stats(s).publishers == 0, DEADLINE_MS);

	for (uint64_t i = 0; i < LANES; i++)
		publish_one_and_close(m, i);
	p = lib_publisher(m, NULL);
	fails(zcp_publisher_wait(p, 1, SECOND / 20), -ETIMEDOUT, "0 of 1");
	zcp_subscriber_close(s);
	zcp_node_close(m);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* One handle after the other, many more than there are lanes. */
START_TEST(lanes_are_used_again)
{
	zcp_node *n, *m;
	zcp_subscriber *s;

	lib_router_start();
	n = lib_node("subscriber");
	m = lib_node("publishers");
	s = few_lanes(n);
	for (uint64_t i = 0; i < 20 * LANES; i++) {
		publish_one_and_close(m, i);
		ck_assert_uint_eq(lib_receive(s), i);
	}
	ck_assert_within(lib_stats(s).departed == 20 * LANES, DEADLINE_MS);
	ck_assert_uint_eq(lib_stats(s).died, 0);
	zcp_node_close(m);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Batches: as many as there are, as may be held, and in order, from one publisher and from several in turn. */
START_TEST(taken_in_batches)
{
	struct zcp_subscriber_options so = { .max_held = 8 };
	struct zcp_sample samples[16], copy;
	zcp_subscriber *s;
	zcp_publisher *p, *q;
	zcp_node *n;

	lib_router_start();
	n = lib_node("both");
	s = lib_subscriber(n, &so);
	p = lib_publisher(n, NULL);
	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	fails(zcp_subscriber_take_batch(s, samples, 16), -EAGAIN, "no message");
	fails(zcp_subscriber_take_batch(s, samples, 0), -EINVAL, "at least one");
	for (uint64_t i = 0; i < 11; i++)
		ok(lib_send(p, i, i % 2 ? 2000 : 16));
	ck_assert_int_eq(zcp_subscriber_take_batch(s, samples, 3), 3);
	ck_assert_int_eq(zcp_subscriber_take_batch(s, samples + 3, 13), 5);
	fails(zcp_subscriber_take_batch(s, samples + 8, 1), -ENOBUFS, "max_held");
	for (uint64_t i = 0; i < 8; i++)
		ck_assert_uint_eq(lib_number(&samples[i]), i);
	copy = samples[0];
	zcp_sample_release_batch(samples, 8);
	ck_assert_ptr_null(samples[7].data);
	zcp_sample_release(&copy);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "released before"));
	ck_assert_int_eq(zcp_subscriber_take_batch(s, samples, 16), 3);
	ck_assert_uint_eq(lib_number(&samples[2]), 10);
	zcp_sample_release_batch(samples, 3);

	q = lib_publisher(n, NULL);
	ok(zcp_publisher_wait(q, 1, 20 * SECOND));
	for (uint64_t i = 0; i < 3; i++) {
		ok(lib_send(p, 100 + i, 16));
		ok(lib_send(q, 200 + i, 16));
	}
	ck_assert_int_eq(zcp_subscriber_take_batch(s, samples, 16), 6);
	for (int i = 0; i + 2 < 6; i++)
		ck_assert_uint_eq(lib_number(&samples[i]) + 1, lib_number(&samples[i + 2]));
	zcp_sample_release_batch(samples, 6);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-lanes");
	TCase *tc = add_test_case(suite, "lanes", 60);

	tcase_add_test(tc, dead_publishers_do_not_shut_out_the_living);
	tcase_add_test(tc, who_waits_may_leave);
	tcase_add_test(tc, lanes_are_used_again);
	tcase_add_test(tc, taken_in_batches);
	return run_suite(suite);
}
