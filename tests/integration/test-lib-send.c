/* SPDX-License-Identifier: MIT */
/*
 * zcp_node_send(): who gets what the router publishes, and whether the number that it returns is true. src/lib/send.c,
 * src/router/relay.c.
 */
#include "lib-helper.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/node.h"

#define PART 688	/* of a payload in the first message on the wire; 1008 in each further one */

static unsigned char buffer[ZCP_SEND_MAX + 1];

/* A number in the first 8 bytes, as lib_receive() expects it. */
static void fill(unsigned char *data, uint64_t number, size_t size)
{
	for (size_t i = 8; i < size; i++)
		data[i] = (unsigned char)(number * 31 + i * 7);
	memcpy(data, &number, size < 8 ? size : 8);
}

static int send_number(zcp_node *n, uint64_t number, size_t size)
{
	fill(buffer, number, size);
	return (int)ok(zcp_node_send(n, &lib_topic, buffer, size));
}

static zcp_subscriber *subscribe(zcp_node *n, const char *event, uint32_t max_held)
{
	const struct zcp_topic topic = { lib_topic.service, lib_topic.instance, event };
	struct zcp_subscriber_options options = { .sz = sizeof(options), .max_held = max_held };
	zcp_subscriber *s;

	ok(zcp_subscriber_open(&s, n, &topic, &options));
	return s;
}

/* The next one is @data, whole. */
static void expect(zcp_subscriber *s, const void *data, size_t size)
{
	struct zcp_sample sample;
	int r;

	while ((r = zcp_subscriber_take(s, &sample)) == -EAGAIN)
		ok(zcp_subscriber_wait(s, 20 * SECOND));
	ok(r);
	ck_assert_uint_eq(sample.size, size);
	ck_assert(!size || !memcmp(sample.data, data, size));
	ck_assert_uint_eq(sample.lost, 0);
	zcp_sample_release(&sample);
}

/* --- who gets it ---------------------------------------------------------------------------------- */

#define N_READERS 3

static void be_a_reader(struct stage *stage)
{
	zcp_node *n = lib_node("reader");
	zcp_subscriber *s = lib_subscriber(n, NULL);

	atomic_fetch_add(&stage->at[0], 1);
	for (uint64_t i = 0; i < 5; i++)
		ck_assert_uint_eq(lib_receive(s), 100 + i);
	atomic_fetch_add(&stage->at[1], 1);
	zcp_node_close(n);
}

START_TEST(reaches_other_processes)
{
	struct stage *stage = stage_new();
	pid_t pid[N_READERS];
	zcp_node *n;

	lib_router_start();
	for (int i = 0; i < _i; i++)
		pid[i] = process_start(be_a_reader, stage);
	n = lib_node("sender");
	stage_wait(stage, 0, (uint64_t)_i);
	for (uint64_t i = 0; i < 5; i++)
		ck_assert_int_eq(send_number(n, 100 + i, 8 + 1000 * (size_t)i), _i);
	stage_wait(stage, 1, (uint64_t)_i);
	for (int i = 0; i < _i; i++)
		process_expect_success(pid[i]);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static uint64_t turn;

static void be_gone_soon(struct stage *stage)
{
	zcp_subscriber *s;
	zcp_node *n;

	stage_wait(stage, 2, turn);
	n = lib_node("reader");
	s = lib_subscriber(n, NULL);
	atomic_fetch_add(&stage->at[0], 1);
	lib_receive(s);
	zcp_node_close(n);
}

/* Who goes as soon as he has the message has been reached. */
START_TEST(counts_those_who_leave)
{
	enum { N = 12, ROUNDS = 5 };
	struct stage *stage = stage_new();
	pid_t pid[ROUNDS][N];
	zcp_node *n;

	lib_router_start();
	for (int k = 0; k < ROUNDS; k++) {
		turn = (uint64_t)k;
		for (int i = 0; i < N; i++)
			pid[k][i] = process_start(be_gone_soon, stage);
	}
	n = lib_node("sender");
	for (int k = 0; k < ROUNDS; k++) {
		stage_set(stage, 2, (uint64_t)k);
		stage_wait(stage, 0, (uint64_t)(k + 1) * N);
		ck_assert_int_eq(send_number(n, (uint64_t)k, 64), N);
		for (int i = 0; i < N; i++)
			process_expect_success(pid[k][i]);
		lib_router_kill(SIGTERM);
		lib_router_again();
		ok(zcp_node_wait(n, 20 * SECOND));
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Subscribers that come while the relay has its publisher are counted from the next message on, and get it. */
START_TEST(counts_newcomers)
{
	enum { N = 20 };
	zcp_subscriber *s[N];
	zcp_node *n[N], *sender;

	lib_router_start();
	sender = lib_node("sender");
	for (uint64_t i = 0; i < N; i++) {
		ck_assert_int_eq(send_number(sender, i, 64), (int)i);
		n[i] = lib_node("reader");
		s[i] = lib_subscriber(n[i], NULL);
	}
	ck_assert_int_eq(send_number(sender, N, 64), N);
	for (uint64_t i = 0; i < N; i++) {
		for (uint64_t k = i + 1; k <= N; k++)
			ck_assert_uint_eq(lib_receive(s[i]), k);
		zcp_node_close(n[i]);
	}
	ck_assert_within(send_number(sender, N + 1, 64) == 0, DEADLINE_MS);
	zcp_node_close(sender);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Every size at which a message takes one part more on the wire. */
START_TEST(sizes)
{
	static const size_t size[] = { 0, 1, 8, 232, 233, PART - 1, PART, PART + 1, PART + 1008, PART + 1009, 4096, 16384, 65535, 65536 };
	zcp_node *n, *reader;
	zcp_subscriber *s;

	lib_router_start();
	n = _i ? lib_node_without_thread("sender") : lib_node("sender");
	reader = lib_node("reader");
	s = lib_subscriber(reader, NULL);
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		ck_assert_int_eq(send_number(n, i, size[i]), 1);
		expect(s, buffer, size[i]);
	}
	ck_assert_int_eq(ok(zcp_node_send(n, &lib_topic, NULL, 0)), 1);
	expect(s, NULL, 0);
	zcp_node_close(reader);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* More topics than the relay keeps publishers for: each gets its own, in order. */
START_TEST(many_topics)
{
	enum { N = 40, ROUNDS = 3 };
	zcp_subscriber *s[N];
	zcp_node *n, *reader;
	char event[N][24];

	lib_router_start();
	n = lib_node("sender");
	reader = lib_node("reader");
	for (int i = 0; i < N; i++) {
		snprintf(event[i], sizeof(event[i]), "event-%d", i);
		s[i] = subscribe(reader, event[i], 0);
	}
	for (int k = 0; k < ROUNDS; k++) {
		for (int i = 0; i < N; i++) {
			const struct zcp_topic topic = { lib_topic.service, lib_topic.instance, event[i] };

			snprintf((char *)buffer, 64, "%d to %d", k, i);
			ck_assert_int_eq(ok(zcp_node_send(n, &topic, buffer, 64)), 1);
			ck_assert_uint_le(atomic_load(&n->directory.header->n_endpoints), N + 32);
		}
	}
	for (int i = 0; i < N; i++) {
		for (int k = 0; k < ROUNDS; k++) {
			snprintf((char *)buffer, 64, "%d to %d", k, i);
			expect(s[i], buffer, 64);
		}
		ck_assert_int_eq(zcp_subscriber_take(s[i], &(struct zcp_sample){ .data = NULL }), -EAGAIN);
	}
	zcp_node_close(reader);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* The relay's publisher does not stand in the way of a subscriber that may hold as much as one can. */
START_TEST(greedy_subscriber)
{
	zcp_node *n, *reader;
	zcp_subscriber *s;

	lib_router_start();
	n = lib_node("sender");
	ck_assert_int_eq(send_number(n, 1, 8), 0);
	reader = lib_node("reader");
	s = subscribe(reader, lib_topic.event, 1024);
	ck_assert_int_eq(send_number(n, 2, 65536), 1);
	ck_assert_uint_eq(lib_receive(s), 2);
	zcp_node_close(reader);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- others that hold nothing up ------------------------------------------------------------------ */

static void be_there(struct stage *stage)
{
	lib_subscriber(lib_node_without_thread("sleeper"), NULL);
	stage_set(stage, 0, 1);
	for (;;)
		pause();
}

/* A subscriber that does not answer the router is not waited for, but once; others get everything meanwhile. */
START_TEST(silent_subscriber)
{
	struct stage *stage = stage_new();
	zcp_node *n, *reader;
	zcp_subscriber *s;
	pid_t pid;

	lib_router_start();
	pid = process_start(be_there, stage);
	n = lib_node("sender");
	reader = lib_node("reader");
	s = lib_subscriber(reader, NULL);
	stage_wait(stage, 0, 1);
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_int_eq(send_number(n, i, 100), 1);
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	process_kill(pid);
	ck_assert_int_eq(send_number(n, 10, 100), 1);
	ck_assert_uint_eq(lib_receive(s), 10);
	zcp_node_close(reader);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- many at once --------------------------------------------------------------------------------- */

enum { N_THREADS = 4, N_EACH = 60 };

static zcp_node *shared_node;

static void *send_many(void *argument)
{
	const char *event = argument;
	const struct zcp_topic topic = { lib_topic.service, lib_topic.instance, event };
	unsigned char *data = malloc(ZCP_SEND_MAX);

	for (uint64_t i = 0; i < N_EACH; i++) {
		size_t size = 8 + (size_t)(i * 1097) % (ZCP_SEND_MAX - 8);

		memset(data, event[0] + (int)i, size);
		ck_assert_int_eq(ok(zcp_node_send(shared_node, &topic, data, size)), 1);
	}
	free(data);
	return NULL;
}

/* Messages of several parts by threads that share a node: none has a part of another's. */
START_TEST(threads)
{
	static char event[N_THREADS][2] = { "a", "b", "c", "d" };
	zcp_subscriber *s[N_THREADS];
	pthread_t thread[N_THREADS];
	uint64_t n_got = 0;
	zcp_node *reader;

	lib_router_start();
	shared_node = lib_node("sender");
	reader = lib_node("reader");
	for (int i = 0; i < N_THREADS; i++)
		s[i] = subscribe(reader, event[i], 0);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, send_many, event[i]), 0);
	while (n_got < N_THREADS * N_EACH) {
		for (int i = 0; i < N_THREADS; i++) {
			struct zcp_sample sample;

			if (zcp_subscriber_wait(s[i], SECOND / 1000) < 0 || zcp_subscriber_take(s[i], &sample) < 0)
				continue;
			n_got += 1 + sample.lost;
			ck_assert_uint_eq(sample.size, 8 + (sample.sequence * 1097) % (ZCP_SEND_MAX - 8));
			for (size_t k = 0; k < sample.size; k++)
				if (((const unsigned char *)sample.data)[k] != (unsigned char)(event[i][0] + (int)sample.sequence))
					ck_abort_msg("byte %zu of message %llu is wrong", k, (unsigned long long)sample.sequence);
			zcp_sample_release(&sample);
		}
	}
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(thread[i], NULL);
	zcp_node_close(reader);
	zcp_node_close(shared_node);
	lib_router_stop(SIGTERM);
}
END_TEST

enum { N_SENDERS = 16, N_OF_EACH = 30 };

static void be_a_sender(struct stage *stage)
{
	zcp_node *n;

	stage_wait(stage, 0, 1);
	n = lib_node("sender");
	for (uint64_t i = 0; i < N_OF_EACH; i++)
		ck_assert_int_eq(send_number(n, i, 8 + 100 * (size_t)i), 1);
	zcp_node_close(n);
}

START_TEST(many_nodes)
{
	struct stage *stage = stage_new();
	struct zcp_subscriber_stats stats;
	pid_t pid[N_SENDERS];
	zcp_subscriber *s;
	zcp_node *reader;

	lib_router_start();
	for (int i = 0; i < N_SENDERS; i++)
		pid[i] = process_start(be_a_sender, stage);
	reader = lib_node("reader");
	s = lib_subscriber(reader, NULL);
	stage_set(stage, 0, 1);
	do {
		struct zcp_sample sample;

		lib_take(s, &sample);
		zcp_sample_release(&sample);
		stats = lib_stats(s);
	} while (stats.received + stats.lost < N_SENDERS * N_OF_EACH);
	ck_assert_uint_eq(stats.received + stats.lost, N_SENDERS * N_OF_EACH);
	for (int i = 0; i < N_SENDERS; i++)
		process_expect_success(pid[i]);
	zcp_node_close(reader);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- coming and going ----------------------------------------------------------------------------- */

/* The relay ends when it was not used for a while, and is there again when it is needed. */
START_TEST(relay_ends)
{
	struct zcp_watch_options options = { .sz = sizeof(options) };
	struct zcp_watch_event e;
	zcp_watch *w;
	zcp_node *n;

	lib_router_start();
	n = lib_node("sender");
	ok(zcp_watch_open(&w, n, NULL, &options));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(send_number(n, 1, 100), 0);
		do {
			while (zcp_watch_take(w, &e) == -EAGAIN)
				ok(zcp_watch_wait(w, 20 * SECOND));
		} while (e.kind != ZCP_WATCH_NODE_VANISHED);
		ck_assert_str_eq(e.node_name, "zcp-relay");
		ck_assert_uint_eq(e.cause, ZCP_CAUSE_CLOSED);
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A router that ends when nobody is there does not count itself. */
START_TEST(idle_router)
{
	static const char *const arguments[] = { "--exit-when-idle=1", NULL };
	int status = -1;
	zcp_node *n;

	lib_router_arguments = arguments;
	lib_router_start();
	n = lib_node("sender");
	ck_assert_int_eq(send_number(n, 1, 100), 0);
	zcp_node_close(n);
	ck_assert_within(waitpid(lib_router, &status, WNOHANG) == lib_router, DEADLINE_MS);
	ck_assert_int_eq(status, 0);
	rmdir(lib_directory());
}
END_TEST

START_TEST(router_restarts)
{
	zcp_node *n, *reader;
	zcp_subscriber *s;

	lib_router_start();
	n = lib_node("sender");
	reader = lib_node("reader");
	s = lib_subscriber(reader, NULL);
	for (uint64_t i = 0; i < 6; i++) {
		ck_assert_int_eq(send_number(n, i, 3000), 1);
		ck_assert_uint_eq(lib_receive(s), i);
		lib_router_kill(i % 2 ? SIGTERM : SIGKILL);
		lib_router_again();
		ok(zcp_node_wait(reader, 20 * SECOND));
		ok(zcp_node_wait(n, 20 * SECOND));
	}
	zcp_node_close(reader);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* The router ends at any moment of many sends; each either arrived or says that it may not have. */
START_TEST(router_ends_meanwhile)
{
	struct stage *stage = stage_new();
	zcp_node *n;
	pid_t pid;
	int r;

	lib_router_start();
	pid = process_start(be_a_sender, stage);
	process_kill(pid);
	n = lib_node_without_thread("sender");
	fill(buffer, 1, 60000);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ok(zcp_node_send(n, &lib_topic, buffer, 60000)), 0);
	ck_assert_ok(kill(lib_router, SIGTERM));
	do {
		r = zcp_node_send(n, &lib_topic, buffer, 60000);
		ck_assert_msg(r == 0 || r == -ENOTCONN, "%d: %s", r, zcp_last_error());
	} while (r == 0);
	ck_assert(strstr(zcp_last_error(), "router is gone") != NULL);
	lib_router_stop(0);
	zcp_node_close(n);
}
END_TEST

/* --- errors --------------------------------------------------------------------------------------- */

START_TEST(errors)
{
	struct zcp_topic topic = lib_topic;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	n = lib_node("sender");
	fails(zcp_node_send(n, &lib_topic, buffer, ZCP_SEND_MAX + 1), -EMSGSIZE, "takes up to 65536");
	fails(zcp_node_send(n, NULL, buffer, 1), -EINVAL, "topic is missing");
	topic.instance = "a/b";
	fails(zcp_node_send(n, &topic, buffer, 1), -EINVAL, "instance name");
	pid = fork();
	if (!pid) {
		int r = zcp_node_send(n, &lib_topic, buffer, 1);

		_exit(r == -EOWNERDEAD ? 0 : 1);
	}
	process_expect_success(pid);
	ck_assert_int_eq(send_number(n, 1, 100), 0);
	lib_router_kill(SIGKILL);
	zcp_node_close(n);
	lib_router_again();

	n = lib_node_without_thread("sender");
	lib_router_kill(SIGKILL);
	fails(zcp_node_send(n, &lib_topic, buffer, 1), -ENOTCONN, "router is gone");
	zcp_node_close(n);
	lib_router_again();

	n = lib_node("sender");
	ck_assert_ok(kill(lib_router, SIGSTOP));
	fails(zcp_node_send(n, &lib_topic, buffer, 40000), -ETIMEDOUT, "did not answer");
	ck_assert_ok(kill(lib_router, SIGCONT));
	ck_assert_int_eq(send_number(n, 1, 40000), 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* What the relay is refused is told to who asked. */
START_TEST(relay_is_refused)
{
	static const char *const no_node[] = { "--max-nodes", "1", NULL }, *const no_bytes[] = { "--max-bytes-per-node", "1M", NULL };
	zcp_node *n;

	lib_router_arguments = _i ? no_bytes : no_node;
	lib_router_start();
	n = lib_node("sender");
	for (int i = 0; i < 3; i++)
		fails(zcp_node_send(n, &lib_topic, buffer, 1), _i ? -EDQUOT : -ENOSPC, _i ? "max-bytes-per-node" : "max-nodes");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-send");
	TCase *reach = add_test_case(suite, "reach", 60), *others = add_test_case(suite, "others", 120);

	tcase_add_loop_test(reach, reaches_other_processes, 0, N_READERS + 1);
	tcase_add_test(reach, counts_those_who_leave);
	tcase_add_test(reach, counts_newcomers);
	tcase_add_loop_test(reach, sizes, 0, 2);
	tcase_add_test(reach, many_topics);
	tcase_add_test(reach, greedy_subscriber);
	tcase_add_test(others, silent_subscriber);
	tcase_add_test(others, threads);
	tcase_add_test(others, many_nodes);
	tcase_add_test(others, relay_ends);
	tcase_add_test(others, idle_router);
	tcase_add_test(others, router_restarts);
	tcase_add_test(others, router_ends_meanwhile);
	tcase_add_test(others, errors);
	tcase_add_loop_test(others, relay_is_refused, 0, 2);
	return run_suite(suite);
}
