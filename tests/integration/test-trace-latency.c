/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace latency, top: counts are exact, times lie between what the two ends know.
 */
#include <stdio.h>
#include <unistd.h>

#include "trace-helper.h"

#define MESSAGES 20000u

/* Waits until a message is 30 ms old before it takes it. */
static void take_late(struct stage *stage)
{
	zcp_node *node = lib_node("late");
	zcp_subscriber *s = lib_subscriber(node, NULL);

	stage_set(stage, READY, 1);
	stage_wait(stage, GO, 1);
	for (uint64_t i = 1; i <= stage->at[GO]; i++) {
		stage_wait(stage, FIRST, i);
		usleep(30000);
		lib_receive(s);
		stage_set(stage, DONE, i);
	}
	stage_wait(stage, DONE, 100);
	zcp_node_close(node);
}

/* --- latency, top --------------------------------------------------------------------------------- */

START_TEST(latency_counts_every_message)
{
	const struct zcp_publisher_options reliable = { .reliable = true, .timeout = -1 };
	struct world w = world_begin(take_all, &reliable);
	const json_t *t;
	json_t *all;

	trace("latency", "-t", "serv*/*/event");
	stage_set(w.stage, GO, MESSAGES);
	for (unsigned int i = 0; i < MESSAGES; i++)
		ok(lib_send(w.publisher, i, 64));
	stage_wait(w.stage, DONE, 1);
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "count"), MESSAGES);
	ck_assert_int_eq(number_of(t, "untimed"), 0);
	ck_assert_int_gt(number_of(t, "p50_ns"), 0);
	ck_assert_int_le(number_of(t, "p50_ns"), number_of(t, "p99_ns"));
	ck_assert_int_le(number_of(t, "p999_ns"), number_of(t, "max_ns"));
	ck_assert_int_le(number_of(t, "max_ns"), (int64_t)w.stage->at[SLOWEST]);
	check_summary(all);
	json_decref(all);
	stage_set(w.stage, DONE, 2);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

START_TEST(latency_of_late_readers)
{
	struct world w = world_begin(take_late, NULL);
	const json_t *t;
	json_t *all;

	trace("latency");
	stage_set(w.stage, GO, 10);
	for (unsigned int i = 1; i <= 10; i++) {
		ok(lib_send(w.publisher, i, 64));
		stage_set(w.stage, FIRST, i);
		stage_wait(w.stage, DONE, i);
	}
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "count"), 10);
	/* a bucket is 6 % wide, its middle is what is shown */
	ck_assert_int_ge(number_of(t, "p50_ns"), 29 * MS);
	ck_assert_int_ge(number_of(t, "max_ns"), 30 * MS);
	json_decref(all);
	stage_set(w.stage, DONE, 100);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

/*
 * Without timestamps the first take makes the tracer attach the probe of publish, and from there on there are times. When that is depends on
 * who else traces: probes come and go one after the other.
 */
START_TEST(latency_without_timestamps)
{
	const struct zcp_publisher_options untimed = { .no_timestamps = true };
	struct world w = world_begin(take_late, &untimed);
	int64_t end = now_ns() + 3 * DEADLINE_MS * MS;
	unsigned int n = 0;
	const json_t *t;
	json_t *all;

	trace("latency", "--interval", "0.05");
	stage_set(w.stage, GO, UINT32_MAX);
	while (!file_says(trace_out, "\"untimed\":0")) {
		ck_assert_msg(now_ns() < end, "none of %u messages has a time", n);
		ok(lib_send(w.publisher, ++n, 64));
		stage_set(w.stage, FIRST, n);
		stage_wait(w.stage, DONE, n);
	}
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "count"), n);
	ck_assert_int_ge(number_of(t, "untimed"), 1);
	ck_assert_int_lt(number_of(t, "untimed"), n);
	ck_assert_int_ge(number_of(t, "p50_ns"), 29 * MS);
	json_decref(all);
	process_kill(w.reader);
	world_end(&w);
}
END_TEST

#define LIVES 100
#define MOMENTS 10u

/* The tracer looks so often that it sees endpoints before the router's news of them: they are not another router's. */
START_TEST(latency_counts_short_lives)
{
	struct world w = world_begin(stay, NULL);
	const json_t *t;
	json_t *all;

	process_kill(w.reader);
	trace("latency", "--interval", "0.001");
	for (int life = 0; life < LIVES; life++) {
		zcp_node *node = lib_node("short");
		zcp_publisher *p = lib_publisher(node, NULL);
		zcp_subscriber *s = lib_subscriber(node, NULL);
		struct zcp_sample sample;

		ok(zcp_publisher_wait(p, 1, 20 * SECOND));
		for (unsigned int i = 0; i < MOMENTS; i++) {
			ok(lib_send(p, i, 64));
			lib_take(s, &sample);
			zcp_sample_release(&sample);
			fails(zcp_subscriber_take(s, &sample), -EAGAIN, "");
			usleep(200);		/* nothing to wait for: a life takes as long as some of the tracer's looks */
		}
		zcp_node_close(node);
	}
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "count"), LIVES * MOMENTS);
	json_decref(all);
	world_end(&w);
}
END_TEST

#define LEAVERS 20

/* Who has left is put aside some seconds later, and counts once; who stays counts once, too. */
START_TEST(latency_counts_who_has_left)
{
	struct world w = world_begin(stay, NULL);
	zcp_subscriber *leavers[LEAVERS], *s = lib_subscriber(w.node, NULL);
	int64_t sum = 0, n = 0, end;
	const json_t *t;
	json_t *all;

	process_kill(w.reader);
	for (int i = 0; i < LEAVERS; i++)
		leavers[i] = lib_subscriber(w.node, NULL);
	ok(zcp_publisher_wait(w.publisher, LEAVERS + 1, 20 * SECOND));
	trace("latency", "--interval", "0.2");
	for (; n < 10; n++) {
		ok(lib_send(w.publisher, (uint64_t)n, 64));
		lib_receive(s);
		for (int i = 0; i < LEAVERS; i++)
			lib_receive(leavers[i]);
	}
	for (int i = 0; i < LEAVERS; i++)
		zcp_subscriber_close(leavers[i]);
	for (end = now_ns() + 5 * SECOND; now_ns() < end; n++) {
		ok(lib_send(w.publisher, (uint64_t)n, 64));
		lib_receive(s);
		usleep(5000);
	}
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "count"), n + 10 * LEAVERS);
	for (size_t i = 0; i < json_array_size(all); i++) {
		t = json_array_get(all, i);
		if (strcmp(text_of(t, "type"), "interval"))
			continue;
		ck_assert_int_ge(number_of(t, "count"), 0);
		ck_assert_int_le(number_of(t, "count"), n + 10 * LEAVERS);
		sum += number_of(t, "count");
	}
	ck_assert_int_le(sum, n + 10 * LEAVERS);
	json_decref(all);
	world_end(&w);
}
END_TEST

START_TEST(top_counts_what_goes_in_and_out)
{
	struct world w = world_begin(take_all, &(struct zcp_publisher_options){ .reliable = true, .timeout = -1 });
	const json_t *t;
	json_t *all;

	trace("top", "--interval", "0.2");
	stage_set(w.stage, GO, MESSAGES);
	for (unsigned int i = 0; i < MESSAGES; i++)
		ok(lib_send(w.publisher, i, 100));
	stage_wait(w.stage, DONE, 1);
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "published"), MESSAGES);
	ck_assert_int_eq(number_of(t, "published_bytes"), 100 * MESSAGES);
	ck_assert_int_eq(number_of(t, "taken"), MESSAGES);
	ck_assert_int_eq(number_of(t, "taken_bytes"), 100 * MESSAGES);
	ck_assert_int_eq(number_of(t, "lost"), 0);
	json_decref(all);
	stage_set(w.stage, DONE, 2);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-latency");

	trace_skip();
	add(suite, "latency", latency_counts_every_message, latency_of_late_readers, latency_without_timestamps, latency_counts_short_lives,
	    latency_counts_who_has_left);
	add(suite, "top", top_counts_what_goes_in_and_out);
	return run_suite(suite);
}
