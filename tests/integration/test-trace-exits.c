/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace exits: nodes that end by given signals; and what zcp-trace says when it cannot trace.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace-helper.h"

/* --- exits ---------------------------------------------------------------------------------------- */

/* Takes five, releases two, and ends as it is told. */
static void take_and_end(struct stage *stage)
{
	zcp_node *node = lib_node("mortal");
	zcp_subscriber *s = lib_subscriber(node, NULL);
	struct zcp_sample samples[5];

	stage_set(stage, READY, 1);
	stage_wait(stage, GO, 1);
	for (int i = 0; i < 5; i++) {
		lib_take(s, &samples[i % 4]);
		if (i == 0 || i == 4)
			zcp_sample_release(&samples[i % 4]);
	}
	stage_set(stage, DONE, 1);
	stage_wait(stage, DONE, 2);
	signal(SIGTERM, SIG_DFL);	/* check has a handler */
	if (stage->at[GO] < 100)
		raise((int)stage->at[GO]);
	_exit((int)stage->at[GO] - 100);
}

static json_t *mortal(const json_t *all)
{
	const json_t *found = NULL;

	ck_assert_int_eq(count_lines(all, "node_name", "mortal", &found), 1);
	ck_assert_str_eq(text_of(found, "type"), "exit");
	return (json_t *)(uintptr_t)found;
}

static void die(uint64_t how, const char *member, int value)
{
	struct world w = world_begin(take_and_end, NULL);
	json_t *all, *exit, *endpoint;
	int status;

	trace("exits");
	stage_set(w.stage, GO, how);
	for (unsigned int i = 0; i < 5; i++)
		ok(lib_send(w.publisher, i, 64));
	stage_wait(w.stage, DONE, 1);
	stage_set(w.stage, DONE, 2);
	ck_assert_within(waitpid(w.reader, &status, WNOHANG) == w.reader, DEADLINE_MS);
	ck_assert_within(file_says(trace_out, "\"mortal\""), DEADLINE_MS);
	all = trace_lines();
	exit = mortal(all);
	ck_assert_str_eq(text_of(exit, "cause"), "died");
	ck_assert_int_eq(number_of(exit, member), value);
	ck_assert_int_eq(number_of(exit, "pid"), w.reader);
	ck_assert_int_eq(number_of(exit, "held"), 3);
	ck_assert_int_ge(number_of(exit, "heartbeat_age_ns"), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(exit, "endpoints")), 1);
	endpoint = json_array_get(json_object_get(exit, "endpoints"), 0);
	ck_assert_str_eq(text_of(endpoint, "role"), "subscriber");
	ck_assert_int_eq(number_of(endpoint, "held"), 3);
	json_decref(all);
	world_end(&w);
}

START_TEST(exits_by_kill)
{
	die(SIGKILL, "signal", SIGKILL);
}
END_TEST

START_TEST(exits_by_term)
{
	die(SIGTERM, "signal", SIGTERM);
}
END_TEST

START_TEST(exits_without_closing)
{
	die(103, "exit_code", 3);
}
END_TEST

START_TEST(exits_in_order)
{
	struct world w = world_begin(take_all, NULL);
	const json_t *found;
	json_t *all;

	trace("exits");
	stage_set(w.stage, GO, 1);
	ok(lib_send(w.publisher, 0, 64));
	stage_wait(w.stage, DONE, 1);
	stage_set(w.stage, DONE, 2);
	process_expect_success(w.reader);
	ck_assert_within(file_says(trace_out, "\"reader\""), DEADLINE_MS);
	all = trace_lines();
	ck_assert_int_eq(count_lines(all, "node_name", "reader", &found), 1);
	ck_assert_str_eq(text_of(found, "cause"), "closed");
	ck_assert_int_eq(number_of(found, "held"), 0);
	json_decref(all);
	world_end(&w);
}
END_TEST

/* --- what it says when it cannot ------------------------------------------------------------------ */

START_TEST(rights_are_named)
{
	lib_router_start();
	trace_run((const char *const[]){ "latency", NULL }, lib_socket, false);
	ck_assert_int_eq(trace_status(), 1);
	ck_assert_msg(file_says(trace_err, "missing CAP_BPF, CAP_PERFMON"), "%s", file_contents(trace_err));
	unlink(trace_out);
	unlink(trace_err);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(no_router_is_said)
{
	char path[128];

	lib_router_start();
	snprintf(path, sizeof(path), "%s/none.sock", lib_directory());
	trace_run((const char *const[]){ "latency", NULL }, path, true);
	ck_assert_int_eq(trace_status(), 1);
	ck_assert_msg(file_says(trace_err, "no router"), "%s", file_contents(trace_err));
	unlink(trace_out);
	unlink(trace_err);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(nobody_there_is_said)
{
	json_t *all;

	lib_router_start();
	trace("latency");
	ck_assert(file_says(trace_err, "nobody uses libzcp yet"));
	all = trace_lines();
	ck_assert_uint_eq(json_array_size(all), 1);
	check_summary(all);
	json_decref(all);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-exits");

	trace_skip();
	add(suite, "exits", exits_by_kill, exits_by_term, exits_without_closing, exits_in_order);
	add(suite, "refusals", rights_are_named, no_router_is_said, nobody_there_is_said);
	return run_suite(suite);
}
