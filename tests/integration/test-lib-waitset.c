/* SPDX-License-Identifier: MIT */
/*
 * zcp_waitset_*(): each kind of member, when it is reported and with what; nodes without a thread; wrong use, fork
 * and signals.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/subscriber.h"
#include "lib/waitset.h"
#include "waitset-helper.h"

/* --- each kind ------------------------------------------------------------------------------------ */

/* Argument: 0, or for how long it spins. */
START_TEST(subscriber_is_ready_until_empty)
{
	zcp_waitset *ws = waitset(_i * 1000);
	struct zcp_sample sample;
	struct zcp_ready r;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int user;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_waitset_add_subscriber(ws, s, &user));
	nobody(ws, 0);
	nobody(ws, 1000000);
	no_rescue(ws);
	for (int round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < 3; i++)
			ok(lib_send(p, i, 16));
		for (uint64_t i = 0; i < 3; i++) {
			/* asked twice, it says so twice */
			one(ws, i ? 0 : FOREVER, &user);
			r = one(ws, FOREVER, &user);
			ck_assert_int_eq(r.kind, ZCP_READY_SUBSCRIBER);
			ck_assert_uint_eq(r.events, POLLIN);
			ck_assert_ptr_eq(r.object, s);
			ck_assert_int_eq(r.fd, -1);
			ck_assert(!r.timer && !r.expirations);
			ok(zcp_subscriber_take(s, &sample));
			ck_assert_uint_eq(lib_number(&sample), i);
			zcp_sample_release(&sample);
		}
		/* with the take that finds nothing, and without */
		if (round % 2)
			fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
		nobody(ws, round % 4 < 2 ? 0 : 100000);
	}
	zcp_waitset_close(ws);
	ck_assert_ptr_null(s->endpoint.waiter);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(max_held)
{
	zcp_waitset *ws = waitset(0);
	struct zcp_sample samples[2];
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, &(struct zcp_subscriber_options){ .max_held = 2 });
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_waitset_add_subscriber(ws, s, NULL));
	for (uint64_t i = 0; i < 2; i++)
		ok(lib_send(p, i, 16));
	ck_assert_int_eq(ok(zcp_subscriber_take_batch(s, samples, 2)), 2);
	nobody(ws, 1000000);
	ok(lib_send(p, 2, 16));
	one(ws, FOREVER, NULL);
	fails(zcp_subscriber_take(s, &samples[0]), -ENOBUFS, "max_held");
	one(ws, FOREVER, NULL);
	zcp_sample_release(&samples[0]);
	ck_assert_uint_eq(lib_receive(s), 2);
	nobody(ws, 0);
	zcp_sample_release(&samples[1]);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(watch_is_ready_until_empty)
{
	zcp_waitset *ws = waitset(0);
	struct zcp_watch_event event;
	zcp_node *n, *other;
	struct zcp_ready r;
	zcp_watch *w;

	lib_router_start();
	n = _i ? lib_node_without_thread("n") : lib_node("n");
	ok(zcp_watch_open(&w, n, NULL, &(struct zcp_watch_options){ .sz = sizeof(struct zcp_watch_options), .no_existing = true }));
	ok(zcp_waitset_add_watch(ws, w, &r));
	nobody(ws, 1000000);
	other = lib_node("other");
	r = one(ws, FOREVER, &r);
	ck_assert_int_eq(r.kind, ZCP_READY_WATCH);
	ck_assert_uint_eq(r.events, POLLIN);
	ck_assert_ptr_eq(r.object, w);
	ok(zcp_watch_take(w, &event));
	ck_assert_str_eq(event.node_name, "other");
	nobody(ws, 0);
	zcp_node_close(other);
	one(ws, FOREVER, &r);
	one(ws, 0, &r);
	ok(zcp_waitset_remove_watch(ws, w));
	nobody(ws, 1000000);
	fails(zcp_waitset_remove_watch(ws, w), -ENOENT, "watch is not in");
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(descriptors)
{
	zcp_waitset *ws = waitset(_i * 1000);
	struct zcp_ready r;
	char bytes[70000] = "x";
	int fds[2];

	ck_assert_ok(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
	ok(zcp_waitset_add_fd(ws, fds[0], POLLIN, &fds[0]));
	ok(zcp_waitset_add_fd(ws, fds[1], POLLOUT, &fds[1]));
	r = one(ws, FOREVER, &fds[1]);
	ck_assert_int_eq(r.kind, ZCP_READY_FD);
	ck_assert_uint_eq(r.events, POLLOUT);
	ck_assert_int_eq(r.fd, fds[1]);
	ck_assert_ptr_null(r.object);
	while (write(fds[1], bytes, sizeof(bytes)) > 0)
		;
	r = one(ws, FOREVER, &fds[0]);
	ck_assert_uint_eq(r.events, POLLIN);
	ck_assert_int_eq(r.fd, fds[0]);
	while (read(fds[0], bytes, sizeof(bytes)) > 0)
		;
	ok(zcp_waitset_remove_fd(ws, fds[1]));
	nobody(ws, 1000000);
	close(fds[1]);
	r = one(ws, FOREVER, &fds[0]);
	ck_assert_uint_eq(r.events, POLLHUP);
	ok(zcp_waitset_remove_fd(ws, fds[0]));
	nobody(ws, 0);
	close(fds[0]);
	zcp_waitset_close(ws);
}
END_TEST

START_TEST(timers)
{
	zcp_waitset *ws = waitset(_i * 1000);
	struct zcp_ready r;
	int once, periodic;

	once = (int)ok(zcp_waitset_add_timer(ws, 0, 0, &once));
	ck_assert_int_gt(once, 0);
	r = one(ws, FOREVER, &once);
	ck_assert_int_eq(r.kind, ZCP_READY_TIMER);
	ck_assert_uint_eq(r.events, POLLIN);
	ck_assert_int_eq(r.timer, once);
	ck_assert_uint_eq(r.expirations, 1);
	fails(zcp_waitset_remove_timer(ws, once), -ENOENT, "no timer");

	periodic = (int)ok(zcp_waitset_add_timer(ws, 1000000, 1000000, &periodic));
	ck_assert_int_ne(periodic, once);
	for (int i = 0; i < 5; i++) {
		r = one(ws, FOREVER, &periodic);
		ck_assert_int_eq(r.timer, periodic);
		ck_assert_uint_ge(r.expirations, 1);
	}
	/* what is not asked for is counted */
	ck_assert_within((usleep(3000), zcp_waitset_wait(ws, &r, 1, 0) == 1 && r.expirations >= 2), DEADLINE_MS);
	ok(zcp_waitset_remove_timer(ws, periodic));
	nobody(ws, 5000000);

	/* one that is far away does not come, and one that is near does not wait for it */
	ok(zcp_waitset_add_timer(ws, 3600ll * SECOND, SECOND, NULL));
	once = (int)ok(zcp_waitset_add_timer(ws, 2000000, 0, &once));
	one(ws, FOREVER, &once);
	/* the far one stays behind, closed with the wait set */
	zcp_waitset_close(ws);
}
END_TEST

/* --- nodes without a thread ----------------------------------------------------------------------- */

/* Nobody but the wait set dispatches: the subscriber hears of a publisher that comes later. */
START_TEST(subscriber_without_thread)
{
	zcp_waitset *ws = waitset(_i * 1000), *other_set = waitset(0);
	zcp_subscriber *s, *s2;
	zcp_publisher *p;
	zcp_node *n, *other;

	lib_router_start();
	n = lib_node_without_thread("n");
	s = lib_subscriber(n, NULL);
	s2 = subscriber_of(n, 1);
	ok(zcp_waitset_add_subscriber(ws, s, &s));
	ok(zcp_waitset_add_subscriber(other_set, s2, &s2));
	other = lib_node("other");
	p = lib_publisher(other, NULL);
	ok(lib_send(p, 1, 16));
	one(ws, FOREVER, &s);
	ck_assert_uint_eq(lib_receive(s), 1);
	nobody(ws, 1000000);
	/* it alone brought the node, and takes it along */
	ok(zcp_waitset_remove_subscriber(ws, s));
	ck_assert_ptr_null(ws->entries);
	ck_assert_ptr_nonnull(n->waiters);
	ok(zcp_waitset_remove_subscriber(other_set, s2));
	ck_assert_ptr_null(n->waiters);
	zcp_waitset_close(ws);
	zcp_waitset_close(other_set);
	zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(node_is_reported)
{
	zcp_waitset *ws = waitset(0), *other_set = waitset(0);
	zcp_subscriber *s, *own;
	zcp_node *n, *other;
	struct zcp_ready r;
	zcp_publisher *p;

	lib_router_start();
	n = lib_node_without_thread("n");
	p = lib_publisher(n, NULL);
	own = subscriber_of(n, 1);
	/* by its object first, and then for its own sake */
	ok(zcp_waitset_add_subscriber(ws, own, &own));
	fails(zcp_waitset_remove_node(ws, n), -ENOENT, "node is not in");
	ok(zcp_waitset_add_node(ws, n, &n));
	fails(zcp_waitset_add_node(ws, n, &n), -EEXIST, "already");
	fails(zcp_waitset_add_node(other_set, n, &n), -EBUSY, "another");
	while (zcp_waitset_wait(ws, &r, 1, 1000000) == 1)
		;
	other = lib_node("other");
	s = lib_subscriber(other, NULL);
	while (zcp_publisher_subscribers(p) < 1) {
		r = one(ws, FOREVER, &n);
		ck_assert_int_eq(r.kind, ZCP_READY_NODE);
		ck_assert_uint_eq(r.events, POLLIN);
		ck_assert_ptr_eq(r.object, n);
	}
	/* removed, it is still dispatched for its subscriber, but not reported */
	ok(zcp_waitset_remove_node(ws, n));
	fails(zcp_waitset_remove_node(ws, n), -ENOENT, "node is not in");
	zcp_subscriber_close(s);
	ck_assert_within((nobody(ws, 1000000), zcp_publisher_subscribers(p) == 0), DEADLINE_MS);
	ok(zcp_waitset_remove_subscriber(ws, own));
	ok(zcp_waitset_add_node(other_set, n, NULL));
	fails(zcp_waitset_add_node(other_set, other, NULL), -EINVAL, "thread of its own");
	zcp_waitset_close(other_set);
	ck_assert_ptr_null(n->waiters);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Evicted while it did not dispatch: the node and its watch say so until they are removed. Argument: which of them. */
START_TEST(lost)
{
	static const char *const arguments[] = { "--heartbeat-timeout-ms", "300", "--heartbeat-scan-ms", "50", "--evict-unresponsive", NULL };
	zcp_waitset *ws = waitset(0);
	struct zcp_watch_event event;
	struct zcp_ready r = { 0 };
	zcp_node *n, *observer;
	zcp_watch *w, *observed;

	lib_router_arguments = arguments;
	lib_router_start();
	observer = lib_node("observer");
	ok(zcp_watch_open(&observed, observer, NULL, NULL));
	n = lib_node_without_thread("n");
	ok(zcp_watch_open(&w, n, NULL, NULL));
	if (_i)
		ok(zcp_waitset_add_watch(ws, w, w));
	else
		ok(zcp_waitset_add_node(ws, n, n));
	/* as long as it waits it lives, heartbeat and all */
	while (zcp_waitset_wait(ws, &r, 1, SECOND / 2) == 1)
		while (zcp_watch_take(w, &event) == 0)
			;
	ok(zcp_node_wait(n, 0));
	do {
		ok(zcp_watch_wait(observed, FOREVER));
		ok(zcp_watch_take(observed, &event));
	} while (event.kind != ZCP_WATCH_NODE_VANISHED || event.node != zcp_node_id(n));
	no_rescue(ws);
	for (int i = 0; i < 3; i++) {
		do {
			while (_i && zcp_watch_take(w, &event) == 0)
				;
			ok(zcp_waitset_wait(ws, &r, 1, FOREVER));
			ck_assert_ptr_eq(r.object, _i ? (void *)w : (void *)n);
		} while (r.events != POLLHUP);
	}
	if (_i)
		ok(zcp_waitset_remove_watch(ws, w));
	else
		ok(zcp_waitset_remove_node(ws, n));
	nobody(ws, 1000000);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	zcp_node_close(observer);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- wrong use, fork, signals --------------------------------------------------------------------- */

START_TEST(wrong_use)
{
	struct zcp_waitset_options o = { .sz = 4 };
	struct zcp_ready ready;
	zcp_waitset *ws;
	int fd;

	fails(zcp_waitset_open(&ws, &o), -EINVAL, "sz of struct zcp_waitset_options");
	ck_assert_ptr_null(ws);
	o = (struct zcp_waitset_options){ .sz = sizeof(o), .spin_ns = -1 };
	fails(zcp_waitset_open(&ws, &o), -EINVAL, "spin_ns");
	o.spin_ns = SECOND + 1;
	fails(zcp_waitset_open(&ws, &o), -EINVAL, "spin_ns");
	o = (struct zcp_waitset_options){ .sz = sizeof(o), .reserved = { 0, 1 } };
	fails(zcp_waitset_open(&ws, &o), -EINVAL, "reserved");
	ok(zcp_waitset_open(&ws, NULL));

	fails(zcp_waitset_wait(ws, &ready, 0, 0), -EINVAL, "room");
	fails(zcp_waitset_wait(ws, &ready, -1, 0), -EINVAL, "room");
	fails(zcp_waitset_wait(ws, &ready, 1, -1), -EINVAL, "no members");
	nobody(ws, 0);
	fails(zcp_waitset_add_timer(ws, -1, 0, NULL), -EINVAL, "negative");
	fails(zcp_waitset_add_timer(ws, 0, -1, NULL), -EINVAL, "negative");
	fails(zcp_waitset_remove_timer(ws, 1), -ENOENT, "no timer");
	fails(zcp_waitset_remove_timer(ws, 0), -ENOENT, "no timer");
	fails(zcp_waitset_remove_fd(ws, 0), -ENOENT, "descriptor 0");
	fails(zcp_waitset_remove_fd(ws, -1), -ENOENT, "descriptor -1");
	fails(zcp_waitset_add_fd(ws, -1, POLLIN, NULL), -EBADF, "-1 is not an open");
	fails(zcp_waitset_add_fd(ws, zcp_waitset_fd(ws), POLLIN, NULL), -EINVAL, "own");
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ck_assert_ok(fd);
	fails(zcp_waitset_add_fd(ws, fd, POLLIN, NULL), -EPERM, "regular file");
	close(fd);
	zcp_waitset_close(ws);
	zcp_waitset_close(NULL);
}
END_TEST

START_TEST(wrong_events)
{
	zcp_waitset *ws = waitset(0);
	struct zcp_ready ready;
	int fds[2], id;

	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	fails(zcp_waitset_add_fd(ws, fds[0], POLLIN | EPOLLET, NULL), -EINVAL, "0x80000000");
	fails(zcp_waitset_add_fd(ws, fds[0], EPOLLONESHOT, NULL), -EINVAL, "events");
	fails(zcp_waitset_add_fd(ws, fds[0], POLLIN | EPOLLEXCLUSIVE, NULL), -EINVAL, "events");
	ok(zcp_waitset_add_fd(ws, fds[0], 0, NULL));
	fails(zcp_waitset_add_fd(ws, fds[0], POLLIN, NULL), -EEXIST, "already");
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	nobody(ws, 1000);
	close(fds[1]);
	ck_assert_int_eq(ok(zcp_waitset_wait(ws, &ready, 1, FOREVER)), 1);
	ck_assert_uint_eq(ready.events, POLLHUP);
	/* a timer's number is nobody else's */
	id = (int)ok(zcp_waitset_add_timer(ws, SECOND, 0, NULL));
	for (int i = 0; i < id; i++)
		fails(zcp_waitset_remove_timer(ws, i), -ENOENT, "no timer");
	ok(zcp_waitset_remove_timer(ws, id));
	close(fds[0]);
	zcp_waitset_close(ws);
}
END_TEST

/* Argument: whether there was a node when the wait set was opened. */
START_TEST(after_fork)
{
	zcp_waitset *ws, *own;
	struct zcp_ready ready;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_watch *w;
	zcp_node *n;
	int status;
	pid_t pid;

	ws = waitset(0);
	if (!_i) {
		ok(zcp_waitset_add_timer(ws, 0, 0, ws));
		pid = fork();
		if (!pid) {
			fails(zcp_waitset_wait(ws, &ready, 1, 0), -EOWNERDEAD, "fork");
			zcp_waitset_close(ws);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		one(ws, FOREVER, ws);
	}
	lib_router_start();
	n = lib_node_without_thread("n");
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_watch_open(&w, n, "nothing", NULL));
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_waitset_add_subscriber(ws, s, s));
	ok(zcp_waitset_add_watch(ws, w, w));
	ok(zcp_waitset_add_timer(ws, 3600 * SECOND, 0, NULL));
	nobody(ws, 1000);
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		fails(zcp_waitset_wait(ws, &ready, 1, 0), -EOWNERDEAD, "fork");
		fails(zcp_waitset_fd(ws), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_subscriber(ws, s, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_watch(ws, w, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_node(ws, n, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_fd(ws, 0, POLLIN, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_timer(ws, 0, 0, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_remove_subscriber(ws, s), -EOWNERDEAD, "fork");
		fails(zcp_waitset_remove_watch(ws, w), -EOWNERDEAD, "fork");
		fails(zcp_waitset_remove_node(ws, n), -EOWNERDEAD, "fork");
		fails(zcp_waitset_remove_fd(ws, 0), -EOWNERDEAD, "fork");
		fails(zcp_waitset_remove_timer(ws, 1), -EOWNERDEAD, "fork");
		/* one of its own takes none of the parent's */
		ok(zcp_waitset_open(&own, NULL));
		fails(zcp_waitset_add_subscriber(own, s, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_watch(own, w, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_add_node(own, n, NULL), -EOWNERDEAD, "fork");
		fails(zcp_waitset_remove_node(own, n), -EOWNERDEAD, "fork");
		zcp_waitset_close(own);
		/* in the wrong order, with members */
		zcp_subscriber_close(s);
		zcp_node_close(n);
		zcp_waitset_close(ws);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	no_rescue(ws);
	ok(lib_send(p, 1, 16));
	one(ws, FOREVER, s);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static _Atomic int n_signals;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&n_signals, 1);
}

struct interrupter {
	pthread_t target;
	int fd;
};

static void *interrupt(void *argument)
{
	struct interrupter *i = argument;

	for (int k = 0; k < 200; k++) {
		pthread_kill(i->target, SIGUSR1);
		usleep(100);
	}
	if (write(i->fd, "x", 1) != 1)
		abort();
	return NULL;
}

/* Argument: the timeout, for ever or not. */
START_TEST(signals_do_not_end_it)
{
	struct sigaction action = { .sa_handler = count_signal };
	zcp_waitset *ws = waitset(0);
	struct interrupter i = { .target = pthread_self() };
	pthread_t thread;
	int fds[2];

	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	ck_assert_ok(sigaction(SIGUSR1, &action, NULL));
	ok(zcp_waitset_add_fd(ws, fds[0], POLLIN, &fds));
	i.fd = fds[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, interrupt, &i), 0);
	one(ws, _i ? -1 : FOREVER, &fds);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_ge(atomic_load(&n_signals), 1);
	close(fds[0]);
	close(fds[1]);
	zcp_waitset_close(ws);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-waitset");
	TCase *tcase;

	tcase = add_test_case(suite, "kinds", 60);
	tcase_add_loop_test(tcase, subscriber_is_ready_until_empty, 0, 2);
	tcase_add_test(tcase, max_held);
	tcase_add_loop_test(tcase, watch_is_ready_until_empty, 0, 2);
	tcase_add_loop_test(tcase, descriptors, 0, 2);
	tcase_add_loop_test(tcase, timers, 0, 2);
	tcase = add_test_case(suite, "nodes", 60);
	tcase_add_loop_test(tcase, subscriber_without_thread, 0, 2);
	tcase_add_test(tcase, node_is_reported);
	tcase_add_loop_test(tcase, lost, 0, 2);
	tcase = add_test_case(suite, "use", 60);
	tcase_add_test(tcase, wrong_use);
	tcase_add_test(tcase, wrong_events);
	tcase_add_loop_test(tcase, after_fork, 0, 2);
	tcase_add_loop_test(tcase, signals_do_not_end_it, 0, 2);
	return run_suite(suite);
}
