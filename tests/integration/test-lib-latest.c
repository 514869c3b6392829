/* SPDX-License-Identifier: MIT */
/*
 * The latest value: newest, whole, there for ever; however fast the publisher writes, and whatever becomes of it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib-helper.h"
#include "waitset-helper.h"

/* Sizes inline, in a small chunk, and in one that is worth a cursor of its own. */
static const size_t sizes[] = { 16, 200, 1000, 40000 };
#define N_SIZES 4

static zcp_publisher *publisher_with_history(zcp_node *node, uint32_t depth, size_t payload_max)
{
	struct zcp_publisher_options options = { .history = 1, .depth = depth, .payload_max = payload_max };

	return lib_publisher(node, &options);
}

static zcp_subscriber *reader(zcp_node *node)
{
	struct zcp_subscriber_options options = { .history = 1, .lossy = true };

	return lib_subscriber(node, &options);
}

static uint64_t latest(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;
	uint64_t number;

	ok(zcp_subscriber_latest(subscriber, &sample));
	number = lib_number(&sample);
	ck_assert_uint_eq(sample.lost, 0);
	zcp_sample_release(&sample);
	return number;
}

START_TEST(newest_again_and_again)
{
	struct zcp_sample sample;
	zcp_subscriber *early, *late;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	early = reader(n);
	fails(zcp_subscriber_latest(early, &sample), -EAGAIN, "no value");
	p = publisher_with_history(n, 8, sizes[_i]);
	fails(zcp_subscriber_latest(early, &sample), -EAGAIN, "no value");
	ok(zcp_publisher_wait(p, 1, FOREVER));
	for (uint64_t i = 1; i <= 100; i++) {
		ok(lib_send(p, i, sizes[_i]));
		if (i % 7 == 0)
			for (int again = 0; again < 3; again++)
				ck_assert_uint_eq(latest(early), i);
	}
	ck_assert_uint_eq(latest(early), 100);
	ck_assert_uint_eq(lib_stats(early).lost, 0);
	/* a take goes on behind it */
	fails(zcp_subscriber_take(early, &sample), -EAGAIN, "no message");
	ok(lib_send(p, 101, sizes[_i]));
	ck_assert_uint_eq(lib_receive(early), 101);
	ck_assert_uint_eq(latest(early), 100);
	late = reader(n);
	ck_assert_uint_eq(latest(late), 101);
	/* and stays when the publisher is gone */
	zcp_publisher_close(p);
	ck_assert_within(lib_stats(late).publishers == 0, DEADLINE_MS);
	for (int again = 0; again < 3; again++)
		ck_assert_uint_eq(latest(late), 101);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* References to one value, and older ones that are held; a second release of a copy harms nobody. */
START_TEST(holding)
{
	struct zcp_sample first[5], second[2], third, copy, none;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	p = publisher_with_history(n, 8, 1000);
	s = reader(n);	/* max_held 4 */
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(lib_send(p, 1, 1000));
	for (int i = 0; i < 5; i++)
		ok(zcp_subscriber_latest(s, &first[i]));
	ok(lib_send(p, 2, 1000));
	for (int i = 0; i < 2; i++)
		ok(zcp_subscriber_latest(s, &second[i]));
	for (uint64_t i = 3; i < 50; i++)
		ok(lib_send(p, i, 1000));
	ok(zcp_subscriber_latest(s, &third));
	for (uint64_t i = 50; i < 99; i++)
		ok(lib_send(p, i, 1000));
	ck_assert_uint_eq(latest(s), 98);
	ok(lib_send(p, 99, 1000));
	fails(zcp_subscriber_latest(s, &none), -ENOBUFS, "max_held");
	/* as they were when they were taken */
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(lib_number(&first[i]), 1);
	ck_assert_uint_eq(lib_number(&second[1]), 2);
	ck_assert_uint_eq(lib_number(&third), 49);
	for (int i = 0; i < 5; i++)
		zcp_sample_release(&first[i]);
	ck_assert_uint_eq(latest(s), 99);
	zcp_sample_release(&third);
	zcp_sample_release(&third);
	ck_assert_str_eq(zcp_last_error(), "this sample was released before, or never taken");
	zcp_sample_release(&second[0]);
	zcp_sample_release(&second[1]);
	/* of a copy: the value is lost, no more than that, and the next one comes */
	ok(zcp_subscriber_latest(s, &third));
	copy = third;
	zcp_sample_release(&third);
	zcp_sample_release(&copy);
	fails(zcp_subscriber_latest(s, &none), -EAGAIN, "no value");
	ok(lib_send(p, 100, 1000));
	ck_assert_uint_eq(latest(s), 100);
	/* held beyond the subscriber */
	ok(zcp_subscriber_latest(s, &first[0]));
	ok(zcp_subscriber_latest(s, &first[1]));
	zcp_subscriber_close(s);
	zcp_sample_release(&first[0]);
	ck_assert_uint_eq(lib_number(&first[1]), 100);
	zcp_sample_release(&first[1]);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Of several publishers the one that was last; and one that has lent its newest slot has its last message before that. */
START_TEST(publishers)
{
	zcp_publisher *a, *b;
	zcp_subscriber *s;
	void *payload;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	a = publisher_with_history(n, 8, 16);
	b = publisher_with_history(n, 8, 16);
	s = reader(n);
	ok(zcp_publisher_wait(a, 1, FOREVER));
	ok(zcp_publisher_wait(b, 1, FOREVER));
	ok(lib_send(a, 1, 16));
	ok(lib_send(b, 2, 16));
	ok(lib_send(b, 3, 16));
	ck_assert_uint_eq(latest(s), 3);
	ok(lib_send(a, 4, 16));
	ck_assert_uint_eq(latest(s), 4);
	ok(lib_send(b, 5, 16));
	ok(lib_send(a, 6, 16));
	ok(lib_send(a, 7, 16));
	ck_assert_uint_eq(latest(s), 7);
	zcp_publisher_close(a);
	ck_assert_within(lib_stats(s).publishers == 1, DEADLINE_MS);
	ck_assert_uint_eq(latest(s), 7);
	/* the lent slot becomes void when the message behind it is published, and ends unused */
	ok(lib_send(b, 8, 16));
	ok(zcp_publisher_loan(b, 16, &payload));
	ok(lib_send(b, 9, 16));
	ok(zcp_publisher_discard(b, payload));
	ck_assert_uint_eq(latest(s), 9);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* ---- a publisher that never stops ---------------------------------------------------------------------------------- */

static void publish_for_ever(struct stage *stage)
{
	zcp_node *node = lib_node("victim");
	zcp_publisher *p = publisher_with_history(node, 2, sizes[atomic_load(&stage->at[0])]);

	ok(zcp_publisher_wait(p, 1, FOREVER));
	for (uint64_t i = 1;; i++) {
		ok(lib_send(p, i, sizes[atomic_load(&stage->at[0])]));
		atomic_store(&stage->at[1], i);
	}
}

/* Whole each time (lib_number() checks the pattern), never older than what was published before the call; then killed. */
START_TEST(overrun_all_the_time)
{
	struct stage *stage = stage_new();
	uint64_t last = 0, before, number = 0;
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_node *n;
	pid_t pid;
	int r;

	lib_router_start();
	atomic_store(&stage->at[0], (uint64_t)_i);
	pid = process_start(publish_for_ever, stage);
	n = lib_node("n");
	s = reader(n);
	for (int round = 0; round < 20000;) {
		before = atomic_load(&stage->at[1]);
		r = zcp_subscriber_latest(s, &sample);
		if (r == -EAGAIN && !last)
			continue;
		ck_assert_msg(r == 0, "%d: %s", r, zcp_last_error());
		number = lib_number(&sample);
		zcp_sample_release(&sample);
		ck_assert_uint_ge(number, last);
		if (number < before)
			/* overwritten again and again while we looked: then an older one, which must be rare */
			ck_assert_msg(before - number < 100000, "%llu, although %llu was published before", (unsigned long long)number,
				      (unsigned long long)before);
		last = number;
		round++;
	}
	process_kill(pid);
	ck_assert_within((zcp_subscriber_latest(s, &sample) == 0 ? zcp_sample_release(&sample) : (void)0, lib_stats(s).publishers == 0), DEADLINE_MS);
	number = latest(s);
	ck_assert_uint_ge(number, atomic_load(&stage->at[1]));
	ck_assert_uint_eq(latest(s), number);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Its descriptor tells of something newer, and then no more. */
START_TEST(descriptor)
{
	struct zcp_sample sample;
	zcp_waitset *ws = waitset(0);
	zcp_subscriber *s;
	zcp_publisher *p;
	struct pollfd f;
	zcp_node *n;
	pid_t pid;
	int status;

	lib_router_start();
	n = lib_node("n");
	p = publisher_with_history(n, 8, 16);
	s = reader(n);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_waitset_add_subscriber(ws, s, s));
	f = (struct pollfd){ .fd = zcp_subscriber_fd(s), .events = POLLIN };
	for (uint64_t i = 0; i < 50; i++) {
		ok(lib_send(p, 2 * i, 16));
		ok(lib_send(p, 2 * i + 1, 16));
		ck_assert_int_eq(poll(&f, 1, DEADLINE_MS), 1);
		one(ws, FOREVER, s);
		ck_assert_uint_eq(latest(s), 2 * i + 1);
		nobody(ws, 0);
		ck_assert_int_eq(poll(&f, 1, 0), 0);
	}
	fails(zcp_subscriber_wait(s, 0), -ETIMEDOUT, "no message");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(zcp_subscriber_latest(s, &sample) != -EOWNERDEAD);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-latest");
	TCase *tcase = add_test_case(suite, "latest", 60);

	tcase_add_loop_test(tcase, newest_again_and_again, 0, N_SIZES);
	tcase_add_test(tcase, holding);
	tcase_add_test(tcase, publishers);
	tcase_add_loop_test(tcase, overrun_all_the_time, 0, N_SIZES);
	tcase_add_test(tcase, descriptor);
	return run_suite(suite);
}
