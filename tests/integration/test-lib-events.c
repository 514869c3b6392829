/* SPDX-License-Identifier: MIT */
/*
 * Notifiers and listeners through a real router: what is counted arrives, all of it, whoever dies, sleeps or comes late;
 * and whoever did not ask for an event is not woken by it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/subscriber.h"
#include "lib-helper.h"
#include "waitset-helper.h"

static zcp_notifier *notifier_of(zcp_node *node, uint32_t max_event_id)
{
	struct zcp_notifier_options options = { .sz = sizeof(options), .max_event_id = max_event_id };
	zcp_notifier *notifier;

	ok(zcp_notifier_open(&notifier, node, &lib_topic, &options));
	return notifier;
}

static zcp_listener *listener_of(zcp_node *node, const uint32_t *ids, size_t n)
{
	struct zcp_listener_options options = { .sz = sizeof(options), .event_ids = ids, .n_event_ids = n };
	zcp_listener *listener;

	ok(zcp_listener_open(&listener, node, &lib_topic, &options));
	return listener;
}

static void expect(zcp_listener *listener, uint32_t id, uint64_t n)
{
	uint64_t count;
	uint32_t taken;

	ok(zcp_listener_wait(listener, FOREVER));
	ok(zcp_listener_take(listener, &taken, &count));
	ck_assert_uint_eq(taken, id);
	ck_assert_uint_eq(count, n);
}

static void expect_nothing(zcp_listener *listener)
{
	uint64_t count;
	uint32_t id;

	fails(zcp_listener_take(listener, &id, &count), -EAGAIN, "nothing");
	fails(zcp_listener_wait(listener, 0), -ETIMEDOUT, "nothing");
}

static void notify(zcp_notifier *notifier, uint32_t id, int times)
{
	for (int i = 0; i < times; i++)
		ok(zcp_notifier_notify(notifier, id));
}

/* Counts coalesce, per id, and over notifiers; ids get their turn; whoever comes later hears what happens from then on. */
START_TEST(counts)
{
	zcp_listener *early, *late;
	zcp_notifier *a, *b;
	zcp_node *n, *m;

	lib_router_start();
	n = lib_node("n");
	m = lib_node("m");
	early = listener_of(n, NULL, 0);
	expect_nothing(early);
	a = notifier_of(m, 0);
	/* nothing is lost that happens before it is connected */
	notify(a, 0, 3);
	notify(a, 255, 1);
	notify(a, 64, 100000);
	ck_assert_int_eq(ok(zcp_notifier_wait(a, 1, FOREVER)), 1);
	ck_assert_int_eq(ok(zcp_notifier_notify(a, 63)), 1);
	expect(early, 0, 3);
	expect(early, 63, 1);
	notify(a, 0, 1);
	expect(early, 64, 100000);
	expect(early, 255, 1);
	expect(early, 0, 1);
	expect_nothing(early);

	notify(a, 7, 1);
	late = listener_of(m, NULL, 0);
	ck_assert_int_eq(ok(zcp_notifier_wait(a, 2, FOREVER)), 2);
	expect_nothing(late);
	b = notifier_of(n, 0);
	ck_assert_int_eq(ok(zcp_notifier_wait(b, 2, FOREVER)), 2);
	ck_assert_within(zcp_listener_notifiers(late) == 2, DEADLINE_MS);
	notify(a, 7, 2);
	notify(b, 7, 3);
	expect(late, 7, 5);
	expect(early, 7, 6);
	expect_nothing(early);
	expect_nothing(late);
	ck_assert_uint_ne(zcp_notifier_id(a), zcp_listener_id(early));

	/* a notifier that is closed leaves what it has counted */
	notify(b, 9, 4);
	zcp_notifier_close(b);
	ck_assert_within(zcp_listener_notifiers(late) == 1, DEADLINE_MS);
	expect(late, 9, 4);
	zcp_listener_close(late);
	ck_assert_within(zcp_notifier_listeners(a) == 1, DEADLINE_MS);
	zcp_node_close(n);
	zcp_node_close(m);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Woken for what was asked for, and for nothing else. */
START_TEST(only_what_was_asked_for)
{
	static const uint32_t ids[] = { 3, 200 };
	zcp_listener *all, *some;
	zcp_notifier *notifier;
	struct pollfd p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	notifier = notifier_of(n, 0);
	some = listener_of(n, ids, 2);
	all = listener_of(n, NULL, 0);
	ok(zcp_notifier_wait(notifier, 2, FOREVER));
	p = (struct pollfd){ .fd = zcp_listener_fd(some), .events = POLLIN };
	expect_nothing(some);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	for (uint32_t id = 0; id < 256; id++)
		if (id != 3 && id != 200)
			notify(notifier, id, 1);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	expect_nothing(some);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	for (uint32_t id = 0; id < 256; id++)
		if (id != 3 && id != 200)
			expect(all, id, 1);
	expect_nothing(all);
	/* the ids before it have not used up the ring */
	notify(notifier, 200, 2);
	ck_assert_int_eq(poll(&p, 1, DEADLINE_MS), 1);
	expect(some, 200, 2);
	notify(notifier, 3, 1);
	notify(notifier, 4, 1);
	ck_assert_int_eq(poll(&p, 1, DEADLINE_MS), 1);
	expect(some, 3, 1);
	expect_nothing(some);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* More ids at one end than at the other; and as many as there can be. */
START_TEST(ranges)
{
	static const uint32_t highest = 65535, two[] = { 5, 1000 };
	struct zcp_listener_options options = { .sz = sizeof(options), .max_event_id = 65535, .event_ids = &highest, .n_event_ids = 1 };
	struct zcp_notifier_options wrong = { .sz = sizeof(wrong), .max_event_id = 65536 };
	zcp_listener *large, *small, *none;
	zcp_notifier *wide, *narrow, *other;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	fails(zcp_notifier_open(&other, n, &lib_topic, &wrong), -EINVAL, "max_event_id is 65536");
	ck_assert_ptr_null(other);
	wrong = (struct zcp_notifier_options){ .sz = sizeof(wrong), .max_listeners = 4097 };
	fails(zcp_notifier_open(&other, n, &lib_topic, &wrong), -EINVAL, "4097");
	fails(zcp_notifier_open(&other, n, &(struct zcp_topic){ "a", "", "c" }, NULL), -EINVAL, "instance");
	wide = notifier_of(n, 65535);
	narrow = notifier_of(n, 1);
	ok(zcp_listener_open(&large, n, &lib_topic, &options));
	small = listener_of(n, NULL, 0);
	ok(zcp_notifier_wait(wide, 2, FOREVER));
	ok(zcp_notifier_wait(narrow, 2, FOREVER));
	fails(zcp_notifier_notify(narrow, 2), -ERANGE, "event id 2 is larger");
	fails(zcp_notifier_notify(wide, 65536), -ERANGE, "event id 65536 is larger");
	notify(wide, 65535, 2);
	notify(wide, 256, 1);
	expect(large, 65535, 2);
	expect_nothing(small);
	notify(narrow, 1, 1);
	expect(small, 1, 1);
	expect_nothing(large);

	options = (struct zcp_listener_options){ .sz = sizeof(options), .event_ids = two, .n_event_ids = 2 };
	fails(zcp_listener_open(&none, n, &lib_topic, &options), -ERANGE, "event_ids has 1000");
	options = (struct zcp_listener_options){ .sz = sizeof(options), .n_event_ids = 2 };
	fails(zcp_listener_open(&none, n, &lib_topic, &options), -EINVAL, "event_ids is not");
	options = (struct zcp_listener_options){ .sz = sizeof(options), .max_event_id = 65536 };
	fails(zcp_listener_open(&none, n, &lib_topic, &options), -EINVAL, "max_event_id is 65536");
	options = (struct zcp_listener_options){ .sz = sizeof(options), .max_notifiers = 4097 };
	fails(zcp_listener_open(&none, n, &lib_topic, &options), -EINVAL, "max_notifiers is 4097");
	ck_assert_ptr_null(none);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Neither meets publishers and subscribers of a topic of that name. */
START_TEST(topics_of_their_own)
{
	zcp_subscriber *subscriber;
	zcp_publisher *publisher;
	zcp_notifier *notifier;
	zcp_listener *listener;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	ok(zcp_subscriber_open(&subscriber, n, &lib_topic, NULL));
	notifier = notifier_of(n, 0);
	listener = listener_of(n, NULL, 0);
	ok(zcp_publisher_open(&publisher, n, &lib_topic, NULL));
	ok(zcp_notifier_wait(notifier, 1, FOREVER));
	ok(zcp_publisher_wait(publisher, 1, FOREVER));
	ck_assert_int_eq(zcp_notifier_listeners(notifier), 1);
	ck_assert_int_eq(zcp_publisher_subscribers(publisher), 1);
	ok(lib_send(publisher, 5, 16));
	notify(notifier, 5, 1);
	ck_assert_uint_eq(lib_receive(subscriber), 5);
	expect(listener, 5, 1);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* ---- other processes --------------------------------------------------------------------------------------------- */

#define KILLED_AT 5000

static void notify_and_die(struct stage *stage)
{
	zcp_node *node = lib_node("victim");
	zcp_notifier *notifier = notifier_of(node, 0);

	(void)stage;
	ok(zcp_notifier_wait(notifier, 1, FOREVER));
	notify(notifier, 1, KILLED_AT);
	kill(getpid(), SIGKILL);
}

/* A killed notifier leaves all it has counted, and nothing else. */
START_TEST(killed)
{
	uint64_t sum = 0, count;
	zcp_listener *listener;
	uint32_t id;
	int status;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	pid = process_start(notify_and_die, stage_new());
	n = lib_node("n");
	listener = listener_of(n, NULL, 0);
	while (sum < KILLED_AT) {
		ok(zcp_listener_wait(listener, FOREVER));
		if (zcp_listener_take(listener, &id, &count) == 0) {
			ck_assert_uint_eq(id, 1);
			sum += count;
		}
	}
	ck_assert_uint_eq(sum, KILLED_AT);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ck_assert_within(zcp_listener_notifiers(listener) == 0, DEADLINE_MS);
	expect_nothing(listener);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A child has neither of them. */
START_TEST(forked)
{
	zcp_listener *listener;
	zcp_notifier *notifier;
	zcp_node *n;
	int status;
	pid_t pid;

	lib_router_start();
	n = lib_node("n");
	notifier = notifier_of(n, 0);
	listener = listener_of(n, NULL, 0);
	ok(zcp_notifier_wait(notifier, 1, FOREVER));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		uint32_t id;
		bool all = zcp_notifier_notify(notifier, 1) == -EOWNERDEAD && zcp_notifier_listeners(notifier) == -EOWNERDEAD &&
			   zcp_notifier_wait(notifier, 1, 0) == -EOWNERDEAD && zcp_listener_take(listener, &id, NULL) == -EOWNERDEAD &&
			   zcp_listener_wait(listener, 0) == -EOWNERDEAD && zcp_listener_fd(listener) == -EOWNERDEAD &&
			   zcp_listener_notifiers(listener) == -EOWNERDEAD && zcp_notifier_open(&notifier, n, &lib_topic, NULL) == -EOWNERDEAD &&
			   zcp_listener_open(&listener, n, &lib_topic, NULL) == -EOWNERDEAD;

		_exit(!all);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	notify(notifier, 2, 1);
	expect(listener, 2, 1);
	zcp_notifier_close(NULL);
	zcp_listener_close(NULL);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* The router is killed in the middle: nothing is lost, and both go on with the next one. */
START_TEST(router_restart)
{
	zcp_listener *listener, *second;
	zcp_notifier *notifier;
	zcp_node *n, *m;

	lib_router_start();
	n = lib_node("n");
	m = lib_node("m");
	notifier = notifier_of(n, 0);
	listener = listener_of(m, NULL, 0);
	ok(zcp_notifier_wait(notifier, 1, FOREVER));
	notify(notifier, 1, 2);
	lib_router_kill(SIGKILL);
	notify(notifier, 1, 3);
	expect(listener, 1, 5);
	notify(notifier, 1, 1);
	lib_router_again();
	ok(zcp_node_wait(n, FOREVER));
	ok(zcp_node_wait(m, FOREVER));
	notify(notifier, 1, 1);
	expect(listener, 1, 2);
	second = listener_of(n, NULL, 0);
	ok(zcp_notifier_wait(notifier, 2, FOREVER));
	notify(notifier, 8, 1);
	expect(second, 8, 1);
	expect(listener, 8, 1);
	expect_nothing(listener);
	expect_nothing(second);
	zcp_node_close(n);
	zcp_node_close(m);
	lib_router_stop(SIGTERM);
}
END_TEST

/* ---- no wake-up is lost ------------------------------------------------------------------------------------------ */

#define N_EVENTS 20000

struct traffic {
	zcp_notifier *notifier;
	_Atomic uint64_t taken;
};

/* One after the other: each has to wake the listener, which nobody else does. */
static void *notify_one_by_one(void *argument)
{
	struct traffic *t = argument;

	for (uint64_t i = 0; i < N_EVENTS; i++) {
		zcp_notifier_notify(t->notifier, (uint32_t)(i % 256));
		/* some at once: counts coalesce then */
		if (i % 16)
			while (atomic_load(&t->taken) < i)
				;
	}
	return NULL;
}

/* Waiting, polling the descriptor, and in a wait set. */
START_TEST(wakes)
{
	struct traffic traffic = { 0 };
	zcp_listener *listener;
	struct zcp_ready ready;
	zcp_waitset *ws = NULL;
	uint64_t sum = 0, count;
	pthread_t thread;
	struct pollfd p;
	zcp_node *n, *m;
	uint32_t id;

	lib_router_start();
	n = lib_node("n");
	m = lib_node("m");
	listener = listener_of(n, NULL, 0);
	traffic.notifier = notifier_of(m, 0);
	ok(zcp_notifier_wait(traffic.notifier, 1, FOREVER));
	if (_i == 1)
		p = (struct pollfd){ .fd = zcp_listener_fd(listener), .events = POLLIN };
	if (_i == 2) {
		ws = waitset(0);
		ok(zcp_waitset_add_listener(ws, listener, NULL));
		no_rescue(ws);
	}
	ck_assert_int_eq(pthread_create(&thread, NULL, notify_one_by_one, &traffic), 0);
	while (sum < N_EVENTS) {
		switch (_i) {
		case 0:
			ok(zcp_listener_wait(listener, FOREVER));
			break;
		case 1:
			ck_assert_int_eq(poll(&p, 1, DEADLINE_MS), 1);
			break;
		default:
			ck_assert_int_eq(ok(zcp_waitset_wait(ws, &ready, 1, FOREVER)), 1);
			ck_assert_uint_eq(ready.kind, ZCP_READY_LISTENER);
			ck_assert_ptr_eq(ready.object, listener);
		}
		while (zcp_listener_take(listener, &id, &count) == 0)
			sum += count;
		atomic_store(&traffic.taken, sum);
	}
	ck_assert_uint_eq(sum, N_EVENTS);
	pthread_join(thread, NULL);
	if (ws) {
		fails(zcp_waitset_add_listener(ws, listener, NULL), -EEXIST, "listener is in this");
		ok(zcp_waitset_remove_listener(ws, listener));
		fails(zcp_waitset_remove_listener(ws, listener), -ENOENT, "not in");
		zcp_waitset_close(ws);
	}
	zcp_node_close(n);
	zcp_node_close(m);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-events");
	TCase *tcase = add_test_case(suite, "events", 60);

	tcase_add_test(tcase, counts);
	tcase_add_test(tcase, only_what_was_asked_for);
	tcase_add_test(tcase, ranges);
	tcase_add_test(tcase, topics_of_their_own);
	tcase_add_test(tcase, killed);
	tcase_add_test(tcase, forked);
	tcase_add_test(tcase, router_restart);
	tcase_add_loop_test(tcase, wakes, 0, 3);
	return run_suite(suite);
}
