/* SPDX-License-Identifier: MIT */
/*
 * What the public API makes of processes that stand still, and of those that die while they do.
 * How the router finds out is test-router-exit.c.
 */
#include "lib-helper.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/directory.h"
#include "lib/node.h"

static bool is_unresponsive(zcp_node *node, pid_t pid)
{
	struct directory_node row;

	for (uint32_t i = 0; i < 16; i++)
		if (directory_read_node(&node->directory, i, &row) == 1 && row.pid == (uint32_t)pid)
			return row.flags & DIRECTORY_NODE_UNRESPONSIVE;
	return false;
}

static void take_all(struct stage *stage)
{
	zcp_node *n = lib_node("subscriber");
	zcp_subscriber *s = lib_subscriber(n, NULL);

	stage_set(stage, 0, 1);
	for (uint64_t i = 0;; i++) {
		ck_assert_uint_eq(lib_receive(s), i);
		stage_set(stage, 1, i + 1);
	}
}

/* Stopped for longer than the router's patience: it is marked, and goes on where it was. */
START_TEST(subscriber_stands_still)
{
	struct zcp_publisher_options po = { .payload_max = 64, .depth = 64, .reliable = true, .timeout = -1 };
	struct stage *stage = stage_new();
	uint64_t sent = 0;
	zcp_publisher *p;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	pid = process_start(take_all, stage);
	stage_wait(stage, 0, 1);
	n = lib_node("publisher");
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	while (sent < 10)
		ok(lib_send(p, sent++, 64));
	stage_wait(stage, 1, 10);
	ck_assert_ok(kill(pid, SIGSTOP));
	while (sent < 40)
		ok(lib_send(p, sent++, 64));
	ck_assert_within(is_unresponsive(n, pid), DEADLINE_MS);
	ck_assert_ok(kill(pid, SIGCONT));
	ck_assert_within(!is_unresponsive(n, pid), DEADLINE_MS);
	while (sent < 1000)
		ok(lib_send(p, sent++, 64));
	stage_wait(stage, 1, 1000);
	process_kill(pid);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static struct {
	zcp_publisher *publisher;
	uint64_t sent;
	int result;
} blocked;

static void *publish_one_more(void *unused)
{
	(void)unused;
	blocked.result = lib_send(blocked.publisher, blocked.sent, 64);
	return NULL;
}

static char state_of_thread(pid_t tid)
{
	char path[64], text[512] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	file = fopen(path, "re");
	if (!file)
		return '?';
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

static _Atomic pid_t blocked_tid;

static void *publish_blocked(void *unused)
{
	atomic_store(&blocked_tid, gettid());
	return publish_one_more(unused);
}

/* A stopped subscriber holds a reliable publisher up; killed while it is stopped, it lets go. */
START_TEST(blocked_by_the_stopped)
{
	struct zcp_publisher_options po = { .payload_max = 64, .depth = 8, .reliable = true };
	struct stage *stage = stage_new();
	pthread_t thread;
	zcp_node *n;
	pid_t pid;
	int r;

	lib_router_start();
	pid = process_start(take_all, stage);
	stage_wait(stage, 0, 1);
	n = lib_node("publisher");
	blocked.publisher = lib_publisher(n, &po);
	ok(zcp_publisher_wait(blocked.publisher, 1, 5 * SECOND));
	ck_assert_ok(kill(pid, SIGSTOP));
	while ((r = lib_send(blocked.publisher, blocked.sent, 64)) >= 0)
		blocked.sent++;
	ck_assert_int_eq(r, -EAGAIN);
	zcp_publisher_close(blocked.publisher);

	/* the same again, now with a publisher that waits */
	process_kill(pid);
	atomic_store(&stage->at[0], 0);
	pid = process_start(take_all, stage);
	stage_wait(stage, 0, 1);
	po.timeout = -1;
	blocked.publisher = lib_publisher(n, &po);
	ok(zcp_publisher_wait(blocked.publisher, 1, 5 * SECOND));
	ck_assert_ok(kill(pid, SIGSTOP));
	for (uint64_t i = 0; i < blocked.sent; i++)
		ok(lib_send(blocked.publisher, i, 64));
	blocked.result = -1;
	ck_assert_int_eq(pthread_create(&thread, NULL, publish_blocked, NULL), 0);
	ck_assert_within(blocked_tid && state_of_thread(blocked_tid) == 'S', DEADLINE_MS);
	process_kill(pid);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);	/* check's limit ends this if it never does */
	ck_assert_int_ge(blocked.result, 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static void publish_and_hold_still(struct stage *stage)
{
	struct zcp_publisher_options po = { .payload_max = stage->at[2], .depth = 64, .reliable = true, .timeout = -1 };
	zcp_node *n = lib_node("publisher");
	zcp_publisher *p = lib_publisher(n, &po);

	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	for (uint64_t i = 0; i < 50; i++)
		ok(lib_send(p, i, po.payload_max));
	stage_set(stage, 1, 1);
	for (;;)
		pause();
}

/* Its end is known before its messages are read; they are all there. */
START_TEST(samples_of_the_dead)
{
	static const size_t sizes[] = { 64, 100000 };
	struct stage *stage = stage_new();
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	stage_set(stage, 2, sizes[_i]);
	pid = process_start(publish_and_hold_still, stage);
	n = lib_node("subscriber");
	s = lib_subscriber(n, NULL);
	stage_wait(stage, 1, 1);
	ck_assert_ok(kill(pid, SIGSTOP));
	process_kill(pid);
	ck_assert_within(atomic_load(&n->directory.header->n_nodes) == 1, DEADLINE_MS);
	for (uint64_t i = 0; i < 50; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	ck_assert_within(lib_stats(s).died == 1, DEADLINE_MS);
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-exit");
	TCase *still = add_test_case(suite, "still", 60);
	TCase *dead = add_test_case(suite, "dead", 60);

	tcase_add_test(still, subscriber_stands_still);
	tcase_add_test(still, blocked_by_the_stopped);
	tcase_add_loop_test(dead, samples_of_the_dead, 0, 2);
	return run_suite(suite);
}
