/* SPDX-License-Identifier: MIT */
/*
 * Wait sets with many members: all get their turn, no wake-up is lost, and what is idle is not looked at; in other
 * loops too.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/doorbell.h"
#include "lib/subscriber.h"
#include "lib/waitset.h"
#include "waitset-helper.h"

/* --- many ----------------------------------------------------------------------------------------- */

#define N_READY 9

/* All ready all the time: with room for _i of them, none waits for longer than a few rounds. */
START_TEST(all_get_their_turn)
{
	zcp_waitset *ws = waitset(0);
	int last_seen[N_READY + 3] = { 0 }, fds[2], max = _i, limit = 4 * (N_READY + 3) / max + 8;
	struct zcp_ready ready[16];
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	for (int i = 0; i < N_READY; i++) {
		zcp_publisher *p = publisher_of(n, i);
		zcp_subscriber *s = subscriber_of(n, i);

		ok(zcp_publisher_wait(p, 1, FOREVER));
		ok(lib_send(p, 1, 16));
		ok(zcp_waitset_add_subscriber(ws, s, &last_seen[i]));
		/* half of them only our own look at the rings finds */
		if (i % 2)
			doorbell_silence(s->endpoint.doorbell);
	}
	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	ok(zcp_waitset_add_fd(ws, fds[1], POLLOUT, &last_seen[N_READY]));
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ok(zcp_waitset_add_fd(ws, fds[0], POLLIN, &last_seen[N_READY + 1]));
	ok(zcp_waitset_add_timer(ws, 0, 1, &last_seen[N_READY + 2]));
	for (int round = 1; round < 300; round++) {
		int r = (int)ok(zcp_waitset_wait(ws, ready, max, round % 2 ? FOREVER : 0));

		ck_assert_int_le(r, max);
		for (int i = 0; i < r; i++) {
			for (int j = 0; j < i; j++)
				ck_assert_ptr_ne(ready[i].user, ready[j].user);
			*(int *)ready[i].user = round;
		}
		for (int i = 0; i < N_READY + 3; i++)
			ck_assert_msg(round - last_seen[i] <= limit, "round %d: member %d was reported last in round %d", round, i, last_seen[i]);
	}
	close(fds[0]);
	close(fds[1]);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

#define N_IDLE 1000

/* One of a thousand is active: the others are not looked at, which is what makes its cost independent of them. */
START_TEST(thousand)
{
	struct rlimit files = { 8192, 8192 };
	zcp_waitset *ws = waitset(_i * 1000);
	struct zcp_ready r;
	zcp_subscriber *s[N_IDLE];
	zcp_publisher *p;
	zcp_node *n;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		skip_test("no permission to raise RLIMIT_NOFILE");
	lib_router_start();
	n = lib_node("n");
	for (int i = 0; i < N_IDLE; i++) {
		s[i] = subscriber_of(n, i);
		ok(zcp_waitset_add_subscriber(ws, s[i], &s[i]));
	}
	p = publisher_of(n, 777);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	nobody(ws, 0);
	ck_assert_uint_le(ws->n_hot, 64);
	nobody(ws, 1000);
	ck_assert_uint_eq(ws->n_hot, 0);
	no_rescue(ws);
	for (uint64_t i = 0; i < 100; i++) {
		ok(lib_send(p, i, 16));
		r = one(ws, FOREVER, &s[777]);
		ck_assert_ptr_eq(r.object, s[777]);
		ck_assert_uint_eq(ws->n_hot, 1);
		ck_assert_uint_eq(lib_receive(s[777]), i);
	}
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- no wake-up is lost --------------------------------------------------------------------------- */

#define N_TOPICS 5
#define N_SENT 4000

struct traffic {
	_Atomic uint64_t taken[N_TOPICS];
	_Atomic int faults;
};

/* Each message only when the one before it was seen, on one topic after the other, or on two at once. */
static void *send_one_by_one(void *argument)
{
	struct traffic *t = argument;
	uint64_t sent[N_TOPICS] = { 0 };
	zcp_publisher *p[N_TOPICS];
	uint32_t x = 12345;
	zcp_node *n = lib_node("sender");

	for (int i = 0; i < N_TOPICS; i++) {
		p[i] = publisher_of(n, i);
		if (zcp_publisher_wait(p[i], 1, FOREVER) < 1)
			t->faults++;
	}
	for (int k = 0; k < N_SENT && !t->faults; k++) {
		int64_t end = now_ns() + FOREVER;
		int i;

		x = x * 1664525 + 1013904223;
		i = (int)(x >> 24) % N_TOPICS;
		for (int j = 0; j <= (k % 3 == 0); j++, i = (i + 1) % N_TOPICS)
			if (zcp_publisher_send(p[i], &sent[i], sizeof(sent[i])) < 0 || !++sent[i])
				t->faults++;
		for (i = 0; i < N_TOPICS; i++)
			while (t->taken[i] < sent[i] && !t->faults)
				t->faults += now_ns() > end;
	}
	zcp_node_close(n);
	return NULL;
}

enum { BLOCKS, SPINS, POLLED, MIXED, N_MANNERS };

/* One round of the loop in a certain manner; returns what zcp_waitset_wait() does. */
static int wait_somehow(zcp_waitset *ws, int manner, struct zcp_ready ready[4], int round, zcp_subscriber *s)
{
	struct pollfd p = { .events = POLLIN };

	if (manner == POLLED || (manner == MIXED && round % 3 == 0)) {
		p.fd = zcp_waitset_fd(ws);
		if (poll(&p, 1, 2000) < 1)
			return -ETIME;
		return zcp_waitset_wait(ws, ready, 4, 0);
	}
	/* members may be waited for alone as well */
	if (manner == MIXED && round % 3 == 1)
		zcp_subscriber_wait(s, round % 2 ? 0 : 20000);
	return zcp_waitset_wait(ws, ready, 1 + round % 4, round % 7 ? 2 * SECOND : 10000);
}

START_TEST(no_wakeup_is_lost)
{
	zcp_waitset *ws = waitset(_i == SPINS || _i == MIXED ? 20000 : 0);
	struct traffic t = { 0 };
	zcp_subscriber *s[N_TOPICS];
	pthread_t thread;
	zcp_node *n;
	bool done = false;

	lib_router_start();
	n = lib_node("n");
	for (int i = 0; i < N_TOPICS; i++) {
		s[i] = subscriber_of(n, i);
		ok(zcp_waitset_add_subscriber(ws, s[i], &t.taken[i]));
		if (_i == MIXED && i % 2)
			ok(zcp_subscriber_fd(s[i]));
	}
	no_rescue(ws);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_one_by_one, &t), 0);
	for (int round = 0; !done; round++) {
		struct zcp_ready ready[4];
		int r = wait_somehow(ws, _i, ready, round, s[round % N_TOPICS]);

		ck_assert_msg(r != -ETIME, "the descriptor is silent");
		for (int i = 0; i < r; i++) {
			struct zcp_sample sample;

			/* sometimes only the first of several, sometimes all */
			while (zcp_subscriber_take(ready[i].object, &sample) == 0) {
				zcp_sample_release(&sample);
				atomic_fetch_add((_Atomic uint64_t *)ready[i].user, 1);
				if (round % 2)
					break;
			}
		}
		done = true;
		for (int i = 0; i < N_TOPICS; i++) {
			struct zcp_subscriber_stats stats = lib_stats(s[i]);

			done &= stats.departed == 1;
		}
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(t.faults, 0);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Somebody who has our doorbell too reads it empty. */
START_TEST(stolen_wakeup)
{
	zcp_waitset *ws = waitset(0);
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_waitset_add_subscriber(ws, s, &s));
	nobody(ws, 1000);
	ok(lib_send(p, 1, 16));
	ck_assert(doorbell_silence(s->endpoint.doorbell));
	one(ws, FOREVER, &s);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- nested --------------------------------------------------------------------------------------- */

START_TEST(in_another_loop)
{
	zcp_waitset *ws = waitset(0), *outer = waitset(0);
	struct zcp_ready r;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int fd;

	lib_router_start();
	n = lib_node_without_thread("n");
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_waitset_add_subscriber(ws, s, &s));
	fd = (int)ok(zcp_waitset_fd(ws));
	ck_assert_int_eq(zcp_waitset_fd(ws), fd);
	ok(zcp_waitset_add_fd(outer, fd, POLLIN, ws));
	no_rescue(ws);
	for (uint64_t i = 0; i < 20; i++) {
		/* apart from its node's timer it is silent once it said that there is nothing */
		ck_assert_within((zcp_waitset_wait(ws, &r, 1, 0) == -ETIMEDOUT && !is_readable(fd)), DEADLINE_MS);
		ok(lib_send(p, i, 16));
		ck_assert(is_readable(fd));
		one(outer, FOREVER, ws);
		one(ws, 0, &s);
		ck_assert(is_readable(fd));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	ck_assert_within((zcp_waitset_wait(ws, &r, 1, 0) == -ETIMEDOUT && !is_readable(fd)), DEADLINE_MS);
	/* a member that was closed is news too */
	zcp_subscriber_close(s);
	ck_assert(is_readable(fd));
	fails(zcp_waitset_wait(ws, &r, 1, 0), -EBADF, "closed");
	nobody(ws, 0);
	ck_assert(!is_readable(fd));
	fails(zcp_waitset_add_fd(ws, zcp_waitset_fd(outer), POLLIN, NULL), -ELOOP, "contains this one");
	ok(zcp_waitset_remove_fd(outer, fd));
	zcp_waitset_close(ws);
	zcp_waitset_close(outer);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-waitset-many");
	TCase *tcase;

	tcase = add_test_case(suite, "many", 120);
	tcase_add_loop_test(tcase, all_get_their_turn, 1, 16);
	tcase_add_loop_test(tcase, thousand, 0, 2);
	tcase_add_loop_test(tcase, no_wakeup_is_lost, 0, N_MANNERS);
	tcase_add_test(tcase, stolen_wakeup);
	tcase_add_test(tcase, in_another_loop);
	return run_suite(suite);
}
