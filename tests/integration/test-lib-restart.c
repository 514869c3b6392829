/* SPDX-License-Identifier: MIT */
/*
 * The router ends, is killed, is started again, and nodes come back to it: src/lib/rejoin.c and src/router/rejoin.c
 * together. Reliable streams of numbers run all the while, of which not one may be missing.
 */
#include "lib-helper.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/node.h"

#define RESTARTS 10
#define STOP 3		/* stages */
#define SENT 4
#define RECEIVED 5
#define READY 0

static bool threadless;

static zcp_node *join(const char *name)
{
	return threadless ? lib_node_without_thread(name) : lib_node(name);
}

static void dispatch(zcp_node *n)
{
	if (threadless)
		ok(zcp_node_dispatch(n));
}

static unsigned int random_ms(unsigned int most)
{
	static unsigned int seed = 4711;

	return (unsigned int)rand_r(&seed) % most;
}

/* What the new router has in its directory, without who looks. */
static void expect_rows(uint32_t nodes, uint32_t endpoints, uint32_t matches)
{
	zcp_node *n = lib_node("observer");
	const struct directory_header *h = n->directory.header;

	ck_assert_msg(wait_until(atomic_load(&h->n_nodes) == nodes + 1 && atomic_load(&h->n_endpoints) == endpoints &&
				 atomic_load(&h->n_matches) == matches, DEADLINE_MS),
		      "%u nodes (%u wanted), %u endpoints (%u), %u matches (%u)", atomic_load(&h->n_nodes) - 1, nodes,
		      atomic_load(&h->n_endpoints), endpoints, atomic_load(&h->n_matches), matches);
	zcp_node_close(n);
}

/* --- streams -------------------------------------------------------------------------------------- */

static const struct zcp_publisher_options reliable = { .sz = sizeof(reliable), .reliable = true, .timeout = 30 * SECOND, .depth = 64 };

static void stream_writer(struct stage *stage)
{
	zcp_node *n = join("writer");
	zcp_publisher *p = lib_publisher(n, &reliable);
	uint64_t i = 0;

	stage_set(stage, READY, 2);
	while (!atomic_load(&stage->at[STOP])) {
		ok(lib_send(p, i, i % 5 ? 40 : 3000));
		if (++i % 16 == 0)
			usleep(300);
		dispatch(n);
	}
	ok(lib_send(p, UINT64_MAX, 8));
	stage_set(stage, SENT, i);
	/* what it published can be taken after it has closed */
	zcp_publisher_close(p);
	zcp_node_close(n);
}

static void stream_reader(struct stage *stage)
{
	zcp_node *n = join("reader");
	zcp_subscriber *s = lib_subscriber(n, NULL);
	uint64_t expected = 0, number;

	stage_set(stage, READY, 1);
	while ((number = lib_receive(s)) != UINT64_MAX) {
		ck_assert_msg(number == expected, "%llu came where %llu was expected", (unsigned long long)number,
			      (unsigned long long)expected);
		expected++;
		dispatch(n);
	}
	ck_assert_uint_eq(lib_stats(s).lost, 0);
	stage_set(stage, RECEIVED, expected);
	zcp_node_close(n);
}

/* 0: SIGKILL, 1: SIGTERM, 2: SIGKILL and nodes without threads */
START_TEST(stream)
{
	struct stage *stage = stage_new();
	pid_t reader, writer;

	threadless = _i == 2;
	lib_router_start();
	reader = process_start(stream_reader, stage);
	stage_wait(stage, READY, 1);
	writer = process_start(stream_writer, stage);
	stage_wait(stage, READY, 2);
	for (int i = 0; i < RESTARTS; i++) {
		usleep(1000 * random_ms(60));
		lib_router_kill(_i == 1 ? SIGTERM : SIGKILL);
		usleep(1000 * random_ms(60));
		lib_router_again();
	}
	expect_rows(2, 2, 1);
	stage_set(stage, STOP, 1);
	process_expect_success(writer);
	process_expect_success(reader);
	ck_assert_uint_eq(atomic_load(&stage->at[SENT]), atomic_load(&stage->at[RECEIVED]));
	ck_assert_uint_gt(atomic_load(&stage->at[SENT]), 0);
	expect_rows(0, 0, 0);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * The router is killed around the moment at which a publisher meets a subscriber that was there before it: everything from
 * its first message on arrives, whatever got lost between the three.
 */
START_TEST(killed_while_they_meet)
{
	enum { N = 100 };

	for (int round = 0; round < 15; round++) {
		zcp_node *rn, *wn;
		zcp_subscriber *s;
		zcp_publisher *p;

		lib_router_start();
		rn = lib_node("reader");
		s = lib_subscriber(rn, NULL);
		wn = lib_node("writer");
		p = lib_publisher(wn, &reliable);
		if (round % 3)
			usleep(random_ms(10) * 30);
		lib_router_kill(SIGKILL);
		for (uint64_t i = 0; i < 20; i++)
			ok(lib_send(p, i, 40));
		lib_router_again();
		for (uint64_t i = 20; i < N; i++) {
			if (i >= 60)	/* the ring has room for 64 */
				ck_assert_uint_eq(lib_receive(s), i - 60);
			ok(lib_send(p, i, i % 2 ? 40 : 2000));
		}
		for (uint64_t i = N - 60; i < N; i++)
			ck_assert_uint_eq(lib_receive(s), i);
		ck_assert_uint_eq(lib_stats(s).lost, 0);
		zcp_node_close(wn);
		zcp_node_close(rn);
		lib_router_stop(SIGTERM);
	}
}
END_TEST

/* --- life goes on --------------------------------------------------------------------------------- */

START_TEST(newcomers_meet_those_who_came_back)
{
	zcp_node *old, *new;
	zcp_publisher *p, *p2;
	zcp_subscriber *s, *s2, *s3;
	uint64_t id, node_id;

	lib_router_start();
	old = lib_node("old");
	p = lib_publisher(old, &reliable);
	s = lib_subscriber(old, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	id = zcp_publisher_id(p);
	node_id = zcp_node_id(old);
	lib_router_kill(SIGKILL);
	lib_router_again();
	ok(zcp_node_wait(old, 10 * SECOND));
	ck_assert_uint_eq(zcp_node_id(old), node_id);
	ck_assert_uint_eq(zcp_publisher_id(p), id);
	expect_rows(1, 2, 1);
	new = lib_node("new");
	ck_assert_uint_gt(zcp_node_id(new), node_id);
	s2 = lib_subscriber(new, NULL);
	s3 = lib_subscriber(old, NULL);
	ok(zcp_publisher_wait(p, 3, 10 * SECOND));
	p2 = lib_publisher(new, &reliable);
	ok(zcp_publisher_wait(p2, 3, 10 * SECOND));
	ok(lib_send(p, 1, 100));
	ok(lib_send(p2, 2, 100));
	for (zcp_subscriber **sub = (zcp_subscriber *[]){ s, s2, s3, NULL }; *sub; sub++)
		ck_assert_uint_eq(lib_receive(*sub) + lib_receive(*sub), 3);
	zcp_subscriber_close(s3);
	zcp_publisher_close(p2);
	zcp_node_close(new);
	expect_rows(1, 2, 1);
	zcp_node_close(old);
	expect_rows(0, 0, 0);
	lib_router_stop(SIGTERM);
}
END_TEST

static void reader_that_stops_reading(struct stage *stage)
{
	zcp_node *n = lib_node("reader");
	zcp_subscriber *s = lib_subscriber(n, NULL);

	stage_set(stage, READY, 1);
	ck_assert_uint_eq(lib_receive(s), 0);
	stage_set(stage, READY, 2);
	stage_wait(stage, 1, 1);
	for (uint64_t i = 1; i < 500; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	zcp_node_close(n);
}

/* 0: dies after the restart, 1: while there is no router, 2: is stopped over it and comes back. A blocked publisher goes on. */
START_TEST(subscriber_over_a_restart)
{
	struct stage *stage = stage_new();
	pid_t reader;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	reader = process_start(reader_that_stops_reading, stage);
	stage_wait(stage, READY, 1);
	n = lib_node("writer");
	p = lib_publisher(n, &reliable);
	ok(lib_send(p, 0, 40));
	stage_wait(stage, READY, 2);
	/* the reader had the message before the publisher had its lane */
	ck_assert_within(zcp_publisher_subscribers(p) == 1, DEADLINE_MS);
	if (_i == 2)
		kill(reader, SIGSTOP);
	lib_router_kill(SIGKILL);
	if (_i == 1)
		process_kill(reader);
	lib_router_again();
	ok(zcp_node_wait(n, 10 * SECOND));
	if (_i == 0) {
		expect_rows(2, 2, 1);
		process_kill(reader);
	}
	if (_i == 2) {
		/* longer than any grace of the router but shorter than a test */
		usleep(700000);
		ck_assert_int_eq(zcp_publisher_subscribers(p), 1);
		stage_set(stage, 1, 1);
		for (uint64_t i = 1; i < 20; i++)
			ok(lib_send(p, i, 40));
		kill(reader, SIGCONT);
	}
	for (uint64_t i = _i == 2 ? 20 : 1; i < 500; i++)
		ok(lib_send(p, i, 40));
	if (_i == 2)
		process_expect_success(reader);
	ck_assert_within(zcp_publisher_subscribers(p) == 0, DEADLINE_MS);
	zcp_node_close(n);
	expect_rows(0, 0, 0);
	lib_router_stop(SIGTERM);
}
END_TEST

static void writer_that_dies(struct stage *stage)
{
	zcp_publisher *p;
	zcp_node *n;

	stage_wait(stage, 0, 1);
	n = lib_node("writer");
	p = lib_publisher(n, &reliable);
	for (uint64_t i = 0; i < 10; i++)
		ok(lib_send(p, i, i % 2 ? 40 : 2000));
	stage_set(stage, 1, 1);
	pause();
}

START_TEST(publisher_that_died_meanwhile)
{
	struct stage *stage = stage_new();
	zcp_subscriber *s;
	struct zcp_sample sample;
	pid_t writer;
	zcp_node *n;

	lib_router_start();
	writer = process_start(writer_that_dies, stage);
	n = lib_node("reader");
	s = lib_subscriber(n, NULL);
	stage_set(stage, 0, 1);
	stage_wait(stage, 1, 1);
	lib_router_kill(SIGKILL);
	process_kill(writer);
	for (uint64_t i = 0; i < 5; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	lib_router_again();
	for (uint64_t i = 5; i < 10; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	ck_assert_within(zcp_subscriber_take(s, &sample) == -EAGAIN && lib_stats(s).died == 1, DEADLINE_MS);
	ck_assert_uint_eq(lib_stats(s).publishers, 0);
	zcp_node_close(n);
	expect_rows(0, 0, 0);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(closed_while_there_is_no_router)
{
	zcp_node *a, *b;
	zcp_publisher *p;
	zcp_subscriber *s, *s2;

	lib_router_start();
	a = lib_node("a");
	b = lib_node("b");
	p = lib_publisher(a, &reliable);
	s = lib_subscriber(b, NULL);
	s2 = lib_subscriber(a, NULL);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	lib_router_kill(SIGKILL);
	zcp_subscriber_close(s2);
	zcp_node_close(b);
	(void)s;
	/* nobody waits for those who closed */
	for (uint64_t i = 0; i < 300; i++)
		ok(lib_send(p, i, 40));
	lib_router_again();
	ok(zcp_node_wait(a, 10 * SECOND));
	ck_assert_within(zcp_publisher_subscribers(p) == 0, DEADLINE_MS);
	expect_rows(1, 1, 0);
	zcp_node_close(a);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- before there is a router --------------------------------------------------------------------- */

static _Atomic bool started, done;

/* The router ends with the thread that started it. */
static void *start_late(void *argument)
{
	usleep(300000);
	lib_router_again();
	atomic_store(&started, true);
	while (!atomic_load(&done))
		usleep(1000);
	return argument;
}

/* Not before the other thread has seen it start: it would take that for a router that cannot. */
static void stop_late(pthread_t starter)
{
	ck_assert_within(atomic_load(&started), DEADLINE_MS);
	lib_router_stop(SIGTERM);
	atomic_store(&done, true);
	ck_assert_int_eq(pthread_join(starter, NULL), 0);
}

START_TEST(opened_before_the_router)
{
	struct zcp_node_options options = { .sz = sizeof(options), .wait_for_router = true, .no_thread = _i };
	zcp_publisher *p;
	pthread_t starter;
	zcp_node *n;
	int64_t start = now_ns();

	lib_router_prepare();
	options.socket_path = lib_socket;
	ok(zcp_node_open(&n, "early", &options));
	ck_assert_uint_eq(zcp_node_id(n), 0);
	fails(zcp_node_wait(n, 0), -ETIMEDOUT, "no router");
	if (_i)
		fails(zcp_publisher_open(&p, n, &lib_topic, NULL), -ENOTCONN, "not joined");
	ck_assert_int_eq(pthread_create(&starter, NULL, start_late, NULL), 0);
	if (_i) {
		/* as an event loop does */
		while (zcp_node_wait(n, 0) == -ETIMEDOUT) {
			struct pollfd fd = { .fd = zcp_node_fd(n), .events = POLLIN };

			ck_assert_int_eq(poll(&fd, 1, DEADLINE_MS), 1);
			ok(zcp_node_dispatch(n));
			ck_assert_int_lt(now_ns() - start, DEADLINE_MS * 1000000ll);
		}
	}
	/* with a thread the open itself waits */
	ok(zcp_publisher_open(&p, n, &lib_topic, NULL));
	ok(zcp_node_wait(n, 0));
	ck_assert_uint_ne(zcp_node_id(n), 0);
	zcp_node_close(n);
	stop_late(starter);
}
END_TEST

START_TEST(closed_before_the_router)
{
	struct zcp_node_options options = { .sz = sizeof(options), .wait_for_router = true, .no_thread = _i };
	zcp_node *n;

	lib_router_prepare();
	options.socket_path = lib_socket;
	ok(zcp_node_open(&n, "early", &options));
	zcp_node_close(n);
	lib_router_again();
	expect_rows(0, 0, 0);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(open_while_there_is_none)
{
	pthread_t starter;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	lib_router_kill(SIGKILL);
	ck_assert_int_eq(pthread_create(&starter, NULL, start_late, NULL), 0);
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 5, 10));
	ck_assert_uint_eq(lib_receive(s), 5);
	zcp_node_close(n);
	stop_late(starter);
}
END_TEST

/* --- not taken back ------------------------------------------------------------------------------- */

/* Answers the first message of each of @n connections with @error, and speaks @version. */
static void refuse(int listener, int n, uint16_t version, int error)
{
	while (n--) {
		struct wire_error answer = { .error = error, .text = "because of the test" };
		int fd = accept(listener, NULL, NULL);
		union wire_message m;

		if (fd < 0 || recv(fd, &m, sizeof(m), 0) < (ssize_t)sizeof(m.header))
			_exit(1);
		wire_init(&answer.header, WIRE_ERROR, m.header.request);
		answer.header.version = version;
		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			_exit(2);
		while (recv(fd, &m, sizeof(m), 0) > 0)
			;
		close(fd);
	}
	_exit(0);
}

/* 0: a router of another version, 1: one that has removed the node. Once and for all: it does not ask again. */
START_TEST(not_taken_back)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n, *other;
	pid_t pid;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &reliable);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 7, 2000));
	lib_router_stop(SIGKILL);
	ck_assert_within(zcp_node_wait(n, 0) == -ETIMEDOUT, DEADLINE_MS);
	ck_assert_ok(mkdir(lib_directory(), 0700));
	memcpy(address.sun_path, lib_socket, sizeof(lib_socket));
	ck_assert_ok(bind(listener, (struct sockaddr *)&address, sizeof(address)));
	ck_assert_ok(listen(listener, 4));
	pid = fork();
	ck_assert_ok(pid);
	if (!pid)
		refuse(listener, _i ? 1 : 2, _i ? WIRE_VERSION : WIRE_VERSION + 1, _i ? -ESTALE : -EPROTONOSUPPORT);
	fails(zcp_node_wait(n, 10 * SECOND), -ENOTCONN, _i ? "because of the test" : "another version");
	fails(zcp_publisher_wait(p, 2, SECOND), -ENOTCONN, "router");
	if (!_i)
		fails(zcp_node_open(&other, "other", &options), -EPROTONOSUPPORT, "another version");
	ck_assert_uint_eq(lib_receive(s), 7);
	/* the publisher of a node that was removed waits for nobody */
	for (uint64_t i = 0; _i && i < 300; i++)
		ok(lib_send(p, i, 40));
	process_expect_success(pid);
	zcp_node_close(n);
	close(listener);
	ck_assert_ok(unlink(lib_socket));
	ck_assert_ok(rmdir(lib_directory()));
}
END_TEST

/* --- nothing is left ------------------------------------------------------------------------------ */

static unsigned int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	while (fgets(line, sizeof(line), file))
		n += strstr(line, "/memfd:zcp") != NULL;
	fclose(file);
	return n;
}

START_TEST(many_restarts_leave_nothing)
{
	zcp_subscriber *s;
	zcp_publisher *p;
	unsigned int mappings = 0;
	int fds = 0;
	zcp_node *n;

	threadless = _i;
	lib_router_start();
	n = join("n");
	p = lib_publisher(n, &reliable);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 20; i++) {
		lib_router_kill(i % 2 ? SIGKILL : SIGTERM);
		ok(lib_send(p, i, 2000));
		lib_router_again();
		ok(zcp_node_wait(n, 10 * SECOND));
		ck_assert_uint_eq(lib_receive(s), i);
		/* from the second on there is the directory before the last */
		if (i == 1) {
			fds = count_fds();
			mappings = count_mappings();
		}
	}
	ck_assert_int_eq(count_fds(), fds);
	ck_assert_uint_eq(count_mappings(), mappings);
	expect_rows(1, 2, 1);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Descriptors of ours for all sockets of process @pid. */
static int steal_sockets(pid_t pid, int *fds, int max)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), n = 0;

	ck_assert_ok(pidfd);
	for (int i = 0; i < 64 && n < max; i++) {
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd, i, 0);
		struct stat st;

		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			fds[n++] = fd;
		else
			close(fd);
	}
	close(pidfd);
	return n;
}

/*
 * A router is killed, and its sockets live on, as they do for a while in the kernel's care: the next one starts all the same, and
 * the nodes find out that they speak to nobody.
 */
START_TEST(sockets_outlive_the_router)
{
	int fds[16], n;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *node;

	lib_router_start();
	node = lib_node("n");
	p = lib_publisher(node, &reliable);
	s = lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(p, 1, 10 * SECOND));
	n = steal_sockets(lib_router, fds, 16);
	ck_assert_int_ge(n, 2);
	lib_router_kill(SIGKILL);
	lib_router_again();
	ok(lib_send(p, 1, 100));
	ck_assert_uint_eq(lib_receive(s), 1);
	expect_rows(1, 2, 1);
	while (n)
		close(fds[--n]);
	ok(lib_send(p, 2, 100));
	ck_assert_uint_eq(lib_receive(s), 2);
	zcp_node_close(node);
	expect_rows(0, 0, 0);
	lib_router_stop(SIGTERM);
}
END_TEST

struct opener {
	zcp_node *node;
	_Atomic bool stop;
	unsigned int n;
};

static void *open_and_close(void *argument)
{
	struct opener *o = argument;

	while (!atomic_load(&o->stop)) {
		zcp_subscriber *s;
		zcp_publisher *p;
		int r = zcp_publisher_open(&p, o->node, &lib_topic, NULL);

		/* on a busy machine, no router lives long enough for 5 s on end */
		if (r == -ENOTCONN)
			continue;
		ok(r);
		r = zcp_subscriber_open(&s, o->node, &lib_topic, NULL);
		if (r == -ENOTCONN) {
			zcp_publisher_close(p);
			continue;
		}
		ok(r);
		lib_send(p, 1, 100);
		zcp_publisher_close(p);
		zcp_subscriber_close(s);
		o->n++;
	}
	return NULL;
}

/* Threads that open and close endpoints of one node at every moment of its coming back. */
START_TEST(threads_that_open)
{
	struct opener o[3];
	pthread_t thread[3];
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	for (int i = 0; i < 3; i++) {
		o[i] = (struct opener){ .node = n };
		ck_assert_int_eq(pthread_create(&thread[i], NULL, open_and_close, &o[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		usleep(1000 * random_ms(40));
		lib_router_kill(SIGKILL);
		lib_router_again();
	}
	for (int i = 0; i < 3; i++) {
		atomic_store(&o[i].stop, true);
		ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
		ck_assert_uint_gt(o[i].n, 0);
	}
	expect_rows(1, 0, 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-restart");
	TCase *tcase;

	tcase = add_test_case(suite, "streams", 120);
	tcase_add_loop_test(tcase, stream, 0, 3);
	tcase_add_test(tcase, killed_while_they_meet);

	tcase = add_test_case(suite, "life", 120);
	tcase_add_test(tcase, newcomers_meet_those_who_came_back);
	tcase_add_loop_test(tcase, subscriber_over_a_restart, 0, 3);
	tcase_add_test(tcase, publisher_that_died_meanwhile);
	tcase_add_test(tcase, closed_while_there_is_no_router);

	tcase = add_test_case(suite, "early", 120);
	tcase_add_loop_test(tcase, opened_before_the_router, 0, 2);
	tcase_add_loop_test(tcase, closed_before_the_router, 0, 2);
	tcase_add_test(tcase, open_while_there_is_none);

	tcase = add_test_case(suite, "refused", 120);
	tcase_add_loop_test(tcase, not_taken_back, 0, 2);

	tcase = add_test_case(suite, "nothing left", 120);
	tcase_add_loop_test(tcase, many_restarts_leave_nothing, 0, 2);
	tcase_add_test(tcase, sockets_outlive_the_router);
	tcase_add_test(tcase, threads_that_open);
	return run_suite(suite);
}
