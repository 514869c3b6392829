/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace -p, -t and -k: what is wanted is there in full, and of what is not wanted nothing, for each of the commands.
 *
 * Two topics, a reader process of both topics on either side, and this process, which writes. Everybody loses and takes as much as the
 * round says, so that every number of a filtered run is known. Each run of the tracer sees one round.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace-helper.h"

enum { A, B, READERS };
enum { X, Y, TOPICS };

/* Places in a stage. */
enum { ROUND = DONE + 1, TAKEN, ANSWER = TAKEN + READERS * TOPICS };

static const struct zcp_topic topics[TOPICS] = { { "filter", "x", "1" }, { "filter", "y", "1" } };
static const char *const topic_names[TOPICS] = { "filter/x/1", "filter/y/1" };

/* Messages of a round. A ring is shorter, so that both readers lose some. */
static const unsigned int sent[TOPICS] = { 40, 30 };
#define DEPTH 8

struct scene {
	struct stage *stage;
	pid_t readers[READERS];
	char pids[READERS][16], own[16];
	zcp_node *node;
	zcp_publisher *publishers[TOPICS];
	uint64_t round;
};

/* --- readers -------------------------------------------------------------------------------------- */

static unsigned int take(zcp_subscriber *s)
{
	struct zcp_sample sample;
	unsigned int n = 0;

	for (; zcp_subscriber_take(s, &sample) == 0; n++)
		zcp_sample_release(&sample);
	return n;
}

/* As long as nobody ends it; without a deadline, as the test has many runs. */
static void read_both(struct stage *stage, int reader)
{
	zcp_node *node = lib_node("reader");
	zcp_subscriber *s[TOPICS];

	for (int t = 0; t < TOPICS; t++) {
		const struct zcp_subscriber_options options = { .sz = sizeof(options), .lossy = true };

		ok(zcp_subscriber_open(&s[t], node, &topics[t], &options));
	}
	stage_set(stage, READY + reader, 1);
	for (uint64_t round = 1;; round++) {
		while (stage->at[ROUND] < round)
			usleep(500);
		for (int t = 0; t < TOPICS; t++)
			stage_set(stage, TAKEN + reader * TOPICS + t, take(s[t]));
		stage_set(stage, ANSWER + reader, round);
	}
}

static void read_a(struct stage *stage)
{
	read_both(stage, A);
}

static void read_b(struct stage *stage)
{
	read_both(stage, B);
}

/* --- a scene -------------------------------------------------------------------------------------- */

static struct scene begin(void)
{
	const struct zcp_publisher_options options = { .sz = sizeof(options), .depth = DEPTH };
	struct scene s = { .stage = stage_new() };

	lib_router_start();
	s.readers[A] = process_start(read_a, s.stage);
	s.readers[B] = process_start(read_b, s.stage);
	for (int r = 0; r < READERS; r++) {
		stage_wait(s.stage, READY + r, 1);
		snprintf(s.pids[r], sizeof(s.pids[r]), "%d", (int)s.readers[r]);
	}
	snprintf(s.own, sizeof(s.own), "%d", (int)getpid());
	s.node = lib_node("writer");
	for (int t = 0; t < TOPICS; t++) {
		ok(zcp_publisher_open(&s.publishers[t], s.node, &topics[t], &options));
		ok(zcp_publisher_wait(s.publishers[t], READERS, 20 * SECOND));
	}
	return s;
}

static void end(struct scene *s)
{
	for (int r = 0; r < READERS; r++)
		process_kill(s->readers[r]);
	zcp_node_close(s->node);
	lib_router_stop(SIGTERM);
}

static void play(struct scene *s)
{
	s->round++;
	for (int t = 0; t < TOPICS; t++)
		for (unsigned int i = 0; i < sent[t]; i++)
			ok(lib_send(s->publishers[t], i, 16));
	stage_set(s->stage, ROUND, s->round);
	for (int r = 0; r < READERS; r++)
		stage_wait(s->stage, ANSWER + r, s->round);
}

/* What is said of a round by the tracer with these arguments. */
static json_t *see(struct scene *s, const char *const *arguments)
{
	json_t *all;

	trace_start(arguments);
	play(s);
	all = trace_lines();
	check_summary(all);
	return all;
}
#define see(s, ...) see(s, (const char *const[]){ __VA_ARGS__, NULL })

/* What the last round was like: messages that @reader took of @topic, and that it lost; -1: of all. */
static int64_t taken(const struct scene *s, int reader, int topic)
{
	int64_t n = 0;

	for (int r = 0; r < READERS; r++)
		for (int t = 0; t < TOPICS; t++)
			if ((reader < 0 || r == reader) && (topic < 0 || t == topic))
				n += (int64_t)s->stage->at[TAKEN + r * TOPICS + t];
	ck_assert_int_gt(n, 0);
	return n;
}

static int64_t lost(const struct scene *s, int reader, int topic)
{
	int64_t n = -taken(s, reader, topic);

	for (int r = 0; r < READERS; r++)
		for (int t = 0; t < TOPICS; t++)
			if ((reader < 0 || r == reader) && (topic < 0 || t == topic))
				n += sent[t];
	ck_assert_int_gt(n, 0);
	return n;
}

/* The sum of @number over all lines of this type and topic; NULL: any. */
static int64_t sum(const json_t *all, const char *type, const char *topic, const char *number)
{
	int64_t n = 0;

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *line = json_array_get(all, i);

		if (!strcmp(text_of(line, "type"), type) && (!topic || !strcmp(text_of(line, "topic"), topic)))
			n += number_of(line, number);
	}
	return n;
}

/* Lines but the summary. */
static int n_lines(const json_t *all)
{
	return (int)json_array_size(all) - 1;
}

/* --- events --------------------------------------------------------------------------------------- */

/* A wait that is about no topic. */
static void wait_for_nothing(void)
{
	const struct zcp_waitset_options options = { .sz = sizeof(options) };
	zcp_waitset *waitset;
	struct zcp_ready ready;

	ok(zcp_waitset_open(&waitset, &options));
	fails(zcp_waitset_wait(waitset, &ready, 1, MS), -ETIMEDOUT, "");
	zcp_waitset_close(waitset);
}

START_TEST(events_of_a_process)
{
	struct scene s = begin();
	json_t *all = see(&s, "events", "-k", "publish,take", "-p", s.pids[A]);

	ck_assert_int_eq(n_lines(all), taken(&s, A, -1));
	ck_assert_int_eq(count_lines(all, "probe", "take", NULL), n_lines(all));
	ck_assert_int_eq(sum(all, "event", NULL, "pid"), n_lines(all) * (int64_t)s.readers[A]);
	json_decref(all);
	all = see(&s, "events", "--kinds=publish,take", "--pid", s.own);
	ck_assert_int_eq(n_lines(all), sent[X] + sent[Y]);
	ck_assert_int_eq(count_lines(all, "probe", "publish", NULL), n_lines(all));
	json_decref(all);
	end(&s);
}
END_TEST

START_TEST(events_of_a_topic)
{
	struct scene s = begin();
	json_t *all = see(&s, "events", "-k", "publish,take,wait_begin", "-t", "f?lter/x*");

	ck_assert_int_eq(n_lines(all), sent[X] + taken(&s, -1, X));
	ck_assert_int_eq(count_lines(all, "topic", topic_names[X], NULL), n_lines(all));
	json_decref(all);
	all = see(&s, "events", "-k", "take,lost", "-p", s.pids[B], "-t", "filter/y/1");
	ck_assert_int_eq(count_lines(all, "probe", "take", NULL), taken(&s, B, Y));
	ck_assert_int_gt(count_lines(all, "probe", "lost", NULL), 0);
	ck_assert_int_eq(n_lines(all), count_lines(all, "probe", "take", NULL) + count_lines(all, "probe", "lost", NULL));
	ck_assert_int_eq(count_lines(all, "topic", topic_names[Y], NULL), n_lines(all));
	json_decref(all);
	end(&s);
}
END_TEST

#define FLOOD 130000u		/* the tracer's ring has room for some 100000 */

/* Of a tracer that stands still, the ring would overflow if what is not wanted came in there. */
static void flood(struct scene *s, const char *option, const char *value)
{
	json_t *all;

	trace("events", "-k", "publish,wait_begin,wait_end", option, value);
	trace_signal(SIGSTOP);
	for (unsigned int i = 0; i < FLOOD; i++)
		ok(lib_send(s->publishers[X], i, 8));
	ck_assert_int_eq(lib_send(s->publishers[Y], 0, 8), READERS);
	wait_for_nothing();
	trace_signal(SIGCONT);
	all = trace_lines();
	check_summary(all);
	ck_assert_int_eq(n_lines(all), !strcmp(option, "-t"));
	json_decref(all);
}

START_TEST(filters_are_in_the_kernel)
{
	struct scene s = begin();

	flood(&s, "-t", "filter/y");
	flood(&s, "-p", s.pids[A]);
	end(&s);
}
END_TEST

/* --- sums ----------------------------------------------------------------------------------------- */

START_TEST(latency_and_top_of_a_process)
{
	struct scene s = begin();
	json_t *all = see(&s, "latency", "-p", s.pids[A]);

	for (int t = 0; t < TOPICS; t++)
		ck_assert_int_eq(sum(all, "total", topic_names[t], "count"), taken(&s, A, t));
	json_decref(all);
	all = see(&s, "top", "-p", s.pids[B]);
	for (int t = 0; t < TOPICS; t++) {
		ck_assert_int_eq(sum(all, "total", topic_names[t], "published"), 0);
		ck_assert_int_eq(sum(all, "total", topic_names[t], "taken"), taken(&s, B, t));
		ck_assert_int_eq(sum(all, "total", topic_names[t], "lost"), lost(&s, B, t));
	}
	json_decref(all);
	all = see(&s, "top", "-p", s.own);
	for (int t = 0; t < TOPICS; t++) {
		ck_assert_int_eq(sum(all, "total", topic_names[t], "published"), sent[t]);
		ck_assert_int_eq(sum(all, "total", topic_names[t], "taken"), 0);
		ck_assert_int_eq(sum(all, "total", topic_names[t], "lost"), 0);
	}
	json_decref(all);
	end(&s);
}
END_TEST

START_TEST(latency_and_top_of_a_topic)
{
	struct scene s = begin();
	json_t *all = see(&s, "latency", "-t", "filter/y");

	ck_assert_int_eq(count_lines(all, "topic", topic_names[X], NULL), 0);
	ck_assert_int_eq(sum(all, "total", topic_names[Y], "count"), taken(&s, -1, Y));
	json_decref(all);
	all = see(&s, "top", "-t", "filter/x");
	ck_assert_int_eq(count_lines(all, "topic", topic_names[Y], NULL), 0);
	ck_assert_int_eq(sum(all, "total", topic_names[X], "published"), sent[X]);
	ck_assert_int_eq(sum(all, "total", topic_names[X], "taken"), taken(&s, -1, X));
	ck_assert_int_eq(sum(all, "total", topic_names[X], "lost"), lost(&s, -1, X));
	json_decref(all);
	end(&s);
}
END_TEST

START_TEST(drops_and_wakeups_of_a_process)
{
	struct scene s = begin();
	json_t *all = see(&s, "drops", "-p", s.pids[A]);

	for (int t = 0; t < TOPICS; t++) {
		ck_assert_int_eq(sum(all, "gap", topic_names[t], "lost"), lost(&s, A, t));
		ck_assert_int_eq(sum(all, "total", topic_names[t], "lost"), lost(&s, A, t));
	}
	ck_assert_int_eq(count_lines(all, "type", "total", NULL), TOPICS);
	ck_assert_int_eq(sum(all, "total", NULL, "reader_pid"), TOPICS * (int64_t)s.readers[A]);
	json_decref(all);
	all = see(&s, "wakeups", "-p", s.pids[B]);
	for (int t = 0; t < TOPICS; t++)
		ck_assert_int_eq(sum(all, "total", topic_names[t], "taken"), taken(&s, B, t));
	json_decref(all);
	end(&s);
}
END_TEST

START_TEST(drops_and_wakeups_of_a_topic)
{
	struct scene s = begin();
	json_t *all = see(&s, "drops", "-t", "filter/y");

	ck_assert_int_eq(count_lines(all, "topic", topic_names[X], NULL), 0);
	ck_assert_int_eq(count_lines(all, "type", "total", NULL), READERS);
	ck_assert_int_eq(sum(all, "total", topic_names[Y], "lost"), lost(&s, -1, Y));
	ck_assert_int_eq(sum(all, "gap", topic_names[Y], "lost"), lost(&s, -1, Y));
	json_decref(all);
	all = see(&s, "wakeups", "-t", "filter/x");
	ck_assert_int_eq(count_lines(all, "topic", topic_names[Y], NULL), 0);
	ck_assert_int_eq(sum(all, "total", topic_names[X], "taken"), taken(&s, -1, X));
	json_decref(all);
	end(&s);
}
END_TEST

/* --- exits ---------------------------------------------------------------------------------------- */

/* A node with a subscriber of one topic. */
static void live(struct stage *stage, int topic)
{
	const struct zcp_subscriber_options options = { .sz = sizeof(options) };
	zcp_node *node = lib_node("mortal");
	zcp_subscriber *s;

	ok(zcp_subscriber_open(&s, node, &topics[topic], &options));
	stage_set(stage, READY + topic, 1);
	for (;;)
		pause();
}

static void live_on_x(struct stage *stage)
{
	live(stage, X);
}

static void live_on_y(struct stage *stage)
{
	live(stage, Y);
}

/* One of each dies; both, if neither is filtered out. Only the last one is @kept. */
static void die(int kept, const char *option, const char *pattern)
{
	struct stage *stage = stage_new();
	pid_t mortals[TOPICS] = { process_start(live_on_x, stage), process_start(live_on_y, stage) };
	const json_t *e = NULL;
	char pid[16];
	json_t *all;

	for (int t = 0; t < TOPICS; t++)
		stage_wait(stage, READY + t, 1);
	snprintf(pid, sizeof(pid), "%d", (int)mortals[kept]);
	trace("exits", option, pattern ? pattern : pid);
	process_kill(mortals[!kept]);
	process_kill(mortals[kept]);
	ck_assert_within(file_says(trace_out, pid), DEADLINE_MS);
	all = trace_lines();
	check_summary(all);
	ck_assert_int_eq(n_lines(all), 1);
	ck_assert_int_eq(count_lines(all, "type", "exit", &e), 1);
	ck_assert_int_eq(number_of(e, "pid"), mortals[kept]);
	json_decref(all);
}

START_TEST(exits_of_a_process)
{
	lib_router_start();
	die(X, "-p", NULL);
	die(Y, "-p", NULL);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(exits_of_a_topic)
{
	lib_router_start();
	die(X, "-t", "filter/x");
	die(Y, "-t", "*/y*/?");
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-filters");

	trace_skip();
	add(suite, "events", events_of_a_process, events_of_a_topic, filters_are_in_the_kernel);
	add(suite, "sums", latency_and_top_of_a_process, latency_and_top_of_a_topic, drops_and_wakeups_of_a_process,
	    drops_and_wakeups_of_a_topic);
	add(suite, "exits", exits_of_a_process, exits_of_a_topic);
	return run_suite(suite);
}
