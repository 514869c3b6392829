/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace drops and events: what was lost, what its reader did then, and every message in order.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace-helper.h"

/* --- drops ---------------------------------------------------------------------------------------- */

/* Takes one message, then does as it is told while others are published, then takes what is left. */
static void take_with_a_pause(struct stage *stage)
{
	zcp_node *node = lib_node("slow");
	zcp_subscriber *s = lib_subscriber(node, NULL);
	struct zcp_sample sample;

	stage_set(stage, READY, 1);
	stage_wait(stage, GO, 1);
	lib_receive(s);
	stage_set(stage, FIRST, 1);
	if (stage->at[GO] == 'S')
		raise(SIGSTOP);
	while (stage->at[GO] == 'R' && stage->at[RESUME] < 1)
		;
	if (stage->at[GO] == 'B')
		stage_wait(stage, RESUME, 1);
	lib_take(s, &sample);
	stage_set(stage, LOST, sample.lost);
	zcp_sample_release(&sample);
	stage_set(stage, DONE, 2);
	stage_wait(stage, DONE, 3);
	zcp_node_close(node);
}

/* What it did longest, of a reader that does @what; all of @states count as right. */
static void lose(char what, const char *const states[2])
{
	struct world w = world_begin(take_with_a_pause, &(struct zcp_publisher_options){ .depth = 8 });
	const json_t *t, *gap;
	json_t *all;
	int64_t right;

	trace("drops");
	stage_set(w.stage, GO, (uint64_t)what);
	ok(lib_send(w.publisher, 0, 64));
	stage_wait(w.stage, FIRST, 1);
	if (what == 'S') {
		int status;

		ck_assert_within(waitpid(w.reader, &status, WNOHANG | WUNTRACED) == w.reader && WIFSTOPPED(status), DEADLINE_MS);
	}
	for (unsigned int i = 1; i <= 1000; i++)
		ok(lib_send(w.publisher, i, 64));
	usleep(300000);		/* no condition to wait for: what the reader does now shall be most of it */
	if (what == 'S')
		ck_assert_ok(kill(w.reader, SIGCONT));
	stage_set(w.stage, RESUME, 1);
	stage_wait(w.stage, DONE, 2);
	all = trace_lines();
	t = total_line(all);
	ck_assert_uint_gt(w.stage->at[LOST], 0);
	ck_assert_int_eq(number_of(t, "lost"), (int64_t)w.stage->at[LOST]);
	ck_assert_int_eq(number_of(t, "gaps"), 1);
	ck_assert_str_eq(text_of(t, "reader"), "slow");
	ck_assert_str_eq(text_of(t, "writer"), "writer");
	ck_assert_int_eq(number_of(t, "reader_pid"), w.reader);
	right = number_of(json_object_get(t, "state_lost"), states[0]);
	if (states[1])
		right += number_of(json_object_get(t, "state_lost"), states[1]);
	ck_assert_msg(right == number_of(t, "lost"), "%c: %s", what, json_dumps(t, JSON_COMPACT));
	/* what is not lost is there still: 1001 were published, the gap begins behind the first */
	ck_assert_int_eq(number_of(t, "max_queued"), 1000 - number_of(t, "lost"));
	ck_assert_int_eq(count_lines(all, "type", "gap", &gap), 1);
	ck_assert_int_eq(number_of(gap, "lost"), number_of(t, "lost"));
	ck_assert_int_eq(number_of(gap, "sequence"), number_of(t, "lost") + 1);
	check_summary(all);
	json_decref(all);
	stage_set(w.stage, DONE, 3);
	process_expect_success(w.reader);
	world_end(&w);
}

START_TEST(drops_of_a_stopped_reader)
{
	lose('S', (const char *const[]){ "stopped", NULL });
}
END_TEST

START_TEST(drops_of_a_blocked_reader)
{
	lose('B', (const char *const[]){ "blocked", NULL });
}
END_TEST

/* On a machine with more to do than processors it may be runnable for longer than it runs. */
START_TEST(drops_of_a_busy_reader)
{
	lose('R', (const char *const[]){ "running", "runnable" });
}
END_TEST

/* --- events --------------------------------------------------------------------------------------- */

START_TEST(events_in_order)
{
	struct world w = world_begin(take_all, NULL);
	int64_t next = 0;
	json_t *all;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	trace("events", "-p", pid, "-k", "publish,take", "-t", "service");
	stage_set(w.stage, GO, 100);
	for (unsigned int i = 0; i < 100; i++)
		ok(lib_send(w.publisher, i, 64 + i));
	stage_wait(w.stage, DONE, 1);
	all = trace_lines();
	ck_assert_int_eq(count_lines(all, "probe", "publish", NULL), 100);
	ck_assert_int_eq(count_lines(all, "probe", "take", NULL), 0);		/* another process */
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *object = json_array_get(all, i);

		if (strcmp(text_of(object, "type"), "event"))
			continue;
		ck_assert_int_eq(number_of(object, "sequence"), next);
		ck_assert_int_eq(number_of(object, "size"), 64 + next++);
		ck_assert_int_eq(number_of(object, "pid"), getpid());
		ck_assert_int_eq(number_of(object, "publisher"), (int64_t)zcp_publisher_id(w.publisher));
		ck_assert_str_eq(text_of(object, "node_name"), "writer");
		ck_assert_str_eq(text_of(object, "topic"), "service/instance/event");
	}
	json_decref(all);
	stage_set(w.stage, DONE, 2);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

START_TEST(events_of_another_topic)
{
	struct world w = world_begin(take_all, NULL);
	json_t *all;

	trace("events", "-t", "another/*");
	stage_set(w.stage, GO, 100);
	for (unsigned int i = 0; i < 100; i++)
		ok(lib_send(w.publisher, i, 64));
	stage_wait(w.stage, DONE, 1);
	all = trace_lines();
	ck_assert_int_eq(count_lines(all, "type", "event", NULL), 0);
	json_decref(all);
	stage_set(w.stage, DONE, 2);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

/* A traced process forks: what the kernel has put into its code must work in the child too, whose node is its own. */
START_TEST(events_of_a_child)
{
	struct world w = world_begin(stay, NULL);
	json_t *all;
	int status;
	pid_t child;

	trace("events", "-k", "publish");
	for (unsigned int i = 0; i < 100; i++)
		ok(lib_send(w.publisher, i, 64));
	child = fork();
	ck_assert_ok(child);
	if (child == 0) {
		zcp_node *node = lib_node("child");
		zcp_publisher *p = lib_publisher(node, NULL);

		for (unsigned int i = 0; i < 10; i++)
			ok(lib_send(p, i, 65));
		zcp_node_close(node);
		_exit(0);
	}
	ck_assert_within(waitpid(child, &status, WNOHANG) == child, DEADLINE_MS);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status 0x%x", status);
	all = trace_lines();
	ck_assert_int_eq(count_lines(all, "node_name", "writer", NULL), 100);
	ck_assert_int_eq(count_lines(all, "node_name", "child", NULL), 10);
	json_decref(all);
	process_kill(w.reader);
	world_end(&w);
}
END_TEST

static void wait_in_a_set(void)
{
	const struct zcp_waitset_options options = { .sz = sizeof(options) };
	zcp_waitset *waitset;
	struct zcp_ready ready;

	ok(zcp_waitset_open(&waitset, &options));
	fails(zcp_waitset_wait(waitset, &ready, 1, 1000000), -ETIMEDOUT, "");
	zcp_waitset_close(waitset);
}

static void come_wait_and_go(const char *name)
{
	zcp_node *node = lib_node(name);

	wait_in_a_set();
	zcp_node_close(node);
}

/* Another router runs the same program, and so do its clients: what is about no endpoint is theirs too. */
START_TEST(events_of_another_router)
{
	struct stage *stage = stage_new();
	struct world w;
	json_t *all;
	int status;
	pid_t child = fork();

	ck_assert_ok(child);
	if (child == 0) {
		lib_router_start();
		stage_set(stage, READY, 1);
		stage_wait(stage, GO, 1);
		come_wait_and_go("theirs");
		lib_router_stop(SIGTERM);
		_exit(0);
	}
	stage_wait(stage, READY, 1);
	w = world_begin(stay, NULL);
	trace("events", "-k", "join,wait_begin");
	stage_set(stage, GO, 1);
	ck_assert_within(waitpid(child, &status, WNOHANG) == child, DEADLINE_MS);
	ck_assert_int_eq(status, 0);
	come_wait_and_go("ours");
	all = trace_lines();
	ck_assert_int_eq(count_lines(all, "type", "event", NULL), 2);
	ck_assert_int_eq(count_lines(all, "name", "ours", NULL), 1);
	ck_assert_int_eq(count_lines(all, "probe", "wait_begin", NULL), 1);
	ck_assert_int_ge(number_of(json_array_get(all, json_array_size(all) - 1), "foreign"), 2);
	json_decref(all);
	process_kill(w.reader);
	world_end(&w);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-drops");

	trace_skip();
	add(suite, "drops", drops_of_a_stopped_reader, drops_of_a_blocked_reader, drops_of_a_busy_reader);
	add(suite, "events", events_in_order, events_of_another_topic, events_of_a_child, events_of_another_router);
	return run_suite(suite);
}
