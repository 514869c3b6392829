/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace wakeups: which takes followed a doorbell, and that the legs of their way are the whole of it.
 *
 * Reader and writer follow the same script, a topic for each way in which a message can be met. The kernel says whether the reader sleeps
 * (/proc/PID/syscall), so that the writer can publish at that very moment. Delays are injected by spinning: what a leg has to contain at least is
 * known then, and a single message's legs have to add up to its way exactly.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace-helper.h"

#define DELAY (30 * MS)

/* How the reader meets a message. */
enum way {
	SLEEPING,		/* in poll() on its descriptor */
	WAITING,		/* in zcp_subscriber_wait() */
	UNTIMED,		/* in poll(), and the message has no timestamp */
	AWAKE,			/* spins until all are there */
	NAPPING,		/* sleeps, but for a time and not for the message, on the writer's processor */
	SLOW,			/* in poll(), and then it dawdles */
	WAYS,
};

static const struct {
	const char *name;
	unsigned int n;		/* messages */
} ways[WAYS] = {
	[SLEEPING] = { "sleeping", 50 }, [WAITING] = { "waiting", 50 }, [UNTIMED] = { "untimed", 10 },
	[AWAKE] = { "awake", 20 }, [NAPPING] = { "napping", 20 }, [SLOW] = { "slow", 1 },
};

static struct zcp_topic topic_of(enum way way)
{
	return (struct zcp_topic){ "way", ways[way].name, "x" };
}

static void spin(int64_t ns)
{
	for (int64_t end = now_ns() + ns; now_ns() < end;)
		;
}

static cpu_set_t processors(void)
{
	cpu_set_t set;

	ck_assert_ok(sched_getaffinity(0, sizeof(set), &set));
	return set;
}

/* The @i-th processor that we may run on. -1: there are not so many. */
static int processor(const cpu_set_t *set, int i)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((size_t)cpu, set) && !i--)
			return cpu;
	return -1;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	ck_assert_ok(sched_setaffinity(0, sizeof(set), &set));
}

/* Whether @pid sleeps in this system call. */
static bool sleeps_in(pid_t pid, long number)
{
	char path[64], text[256] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_ok(fd);
	ck_assert_ok(read(fd, text, sizeof(text) - 1));
	close(fd);
	return text[0] >= '0' && text[0] <= '9' && strtol(text, NULL, 10) == number;
}

/* --- the reader ----------------------------------------------------------------------------------- */

static void sleep_on(zcp_subscriber *s)
{
	struct pollfd p = { .fd = zcp_subscriber_fd(s), .events = POLLIN };

	ck_assert_int_eq(poll(&p, 1, -1), 1);
}

/* All that is there; afterwards the descriptor is armed. */
static unsigned int take(zcp_subscriber *s)
{
	struct zcp_sample sample;
	unsigned int n = 0;

	for (; zcp_subscriber_take(s, &sample) == 0; n++)
		zcp_sample_release(&sample);
	return n;
}

static void meet(zcp_subscriber *s, struct stage *stage, enum way way, unsigned int i)
{
	switch (way) {
	case WAITING:
		ok(zcp_subscriber_wait(s, -1));
		break;
	case AWAKE:
		while (stage->at[FIRST] < ways[AWAKE].n)
			;
		break;
	case NAPPING:
		while (stage->at[FIRST] <= i)
			usleep(1000);
		break;
	default:
		sleep_on(s);
	}
	if (way == SLOW)
		spin(DELAY);
}

static void meet_all(zcp_subscriber *s, struct stage *stage, enum way way)
{
	for (unsigned int i = 0; i < ways[way].n;) {
		meet(s, stage, way, i);
		i += take(s);
		stage_set(stage, DONE, i);
	}
}

static void read_in_all_ways(struct stage *stage)
{
	zcp_node *node = lib_node("reader");
	cpu_set_t all = processors();
	zcp_subscriber *s[WAYS];

	for (int way = 0; way < WAYS; way++) {
		const struct zcp_subscriber_options options = { .sz = sizeof(options) };
		const struct zcp_topic topic = topic_of((enum way)way);

		ok(zcp_subscriber_open(&s[way], node, &topic, &options));
	}
	lib_subscriber(node, NULL);	/* for the publisher that every world has */
	stage_set(stage, READY, 1);
	stage_wait(stage, GO, 1);
	fails(zcp_subscriber_wait(s[SLEEPING], MS), -ETIMEDOUT, "");	/* so that its thread is known from the first message on */
	for (int way = 0; way < WAYS; way++) {
		if (way != WAITING)
			ok(zcp_subscriber_fd(s[way]));	/* from here on take() arms it */
		take(s[way]);
		if (way == NAPPING)
			stay_on(processor(&all, 0));
		stage_set(stage, RESUME, (uint64_t)way + 1);
		meet_all(s[way], stage, (enum way)way);
		stage_wait(stage, GO, (uint64_t)way + 2);
	}
	stage_wait(stage, DONE, 1000);
	zcp_node_close(node);
}

/* --- the writer ----------------------------------------------------------------------------------- */

static zcp_publisher *publisher_of(zcp_node *node, enum way way)
{
	const struct zcp_publisher_options options = { .sz = sizeof(options), .no_timestamps = way == UNTIMED };
	const struct zcp_topic topic = topic_of(way);
	zcp_publisher *p;

	ok(zcp_publisher_open(&p, node, &topic, &options));
	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	return p;
}

static void send_all(zcp_publisher *p, const struct world *w, enum way way)
{
	const bool alone = way == AWAKE || way == NAPPING;

	stage_set(w->stage, FIRST, 0);
	stage_wait(w->stage, RESUME, (uint64_t)way + 1);
	for (unsigned int i = 0; i < ways[way].n; i++) {
		if (!alone)
			ck_assert_within(sleeps_in(w->reader, way == WAITING ? SYS_ppoll : SYS_poll), DEADLINE_MS);
		ok(lib_send(p, i, 64));
		stage_set(w->stage, FIRST, i + 1);
		if (way == NAPPING)
			while (w->stage->at[DONE] <= i)	/* its timer finds us here */
				;
		else if (way != AWAKE)
			stage_wait(w->stage, DONE, i + 1);
	}
	stage_wait(w->stage, DONE, ways[way].n);
	stage_set(w->stage, DONE, 0);
	stage_set(w->stage, GO, (uint64_t)way + 2);
}

/* --- what the tracer saw -------------------------------------------------------------------------- */

static const json_t *total_of(const json_t *all, enum way way)
{
	const json_t *found = NULL;
	char topic[64];

	snprintf(topic, sizeof(topic), "way/%s/x", ways[way].name);
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *line = json_array_get(all, i);

		if (strcmp(text_of(line, "type"), "total") || strcmp(text_of(line, "topic"), topic))
			continue;
		ck_assert_ptr_null(found);
		found = line;
	}
	ck_assert_msg(found != NULL, "nothing about %s", topic);
	ck_assert_int_eq(number_of(found, "taken"), ways[way].n);
	return found;
}

static int64_t leg(const json_t *total, const char *name, const char *number)
{
	return number_of(json_object_get(json_object_get(total, "legs"), name), number);
}

static const char *const legs[] = { "publish", "doorbell", "schedule", "take" };

/* Each leg is counted for each message that woke the reader, and none is longer than the way. */
static void check_legs(const json_t *total, int64_t least, int64_t most)
{
	int64_t woken = number_of(total, "woken");

	ck_assert_int_ge(woken, least);
	ck_assert_int_le(woken, most);
	ck_assert_int_eq(leg(total, "all", "count"), woken);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(leg(total, legs[i], "count"), woken);
		if (!woken)
			continue;
		ck_assert_int_gt(leg(total, legs[i], "max_ns"), 0);
		ck_assert_int_le(leg(total, legs[i], "p50_ns"), leg(total, legs[i], "p99_ns"));
		ck_assert_int_le(leg(total, legs[i], "p99_ns"), leg(total, legs[i], "max_ns"));
		ck_assert_int_lt(leg(total, legs[i], "max_ns"), leg(total, "all", "max_ns"));
	}
}

/* Of a single message. */
static void check_sum(const json_t *total)
{
	int64_t sum = 0;

	check_legs(total, 1, 1);
	for (int i = 0; i < 4; i++)
		sum += leg(total, legs[i], "max_ns");
	ck_assert_int_eq(sum, leg(total, "all", "max_ns"));
}

START_TEST(wakeups_by_the_way_they_are_met)
{
	struct world w = world_begin(read_in_all_ways, NULL);
	cpu_set_t set = processors();
	zcp_publisher *p[WAYS];
	json_t *all;

	for (int way = 0; way < WAYS; way++)
		p[way] = publisher_of(w.node, (enum way)way);
	trace("wakeups");
	stage_set(w.stage, GO, 1);
	for (int way = 0; way < WAYS; way++) {
		if (way == NAPPING)
			stay_on(processor(&set, 0));
		send_all(p[way], &w, (enum way)way);
	}
	ck_assert_ok(sched_setaffinity(0, sizeof(set), &set));
	all = trace_lines();
	check_summary(all);
	check_legs(total_of(all, SLEEPING), ways[SLEEPING].n, ways[SLEEPING].n);
	/* it looks up ten times a second, and may have done so at the moment of a message */
	check_legs(total_of(all, WAITING), ways[WAITING].n * 4 / 5, ways[WAITING].n);
	check_legs(total_of(all, UNTIMED), 0, 0);
	check_legs(total_of(all, AWAKE), 0, 0);
	check_legs(total_of(all, NAPPING), 0, 0);
	check_sum(total_of(all, SLOW));
	ck_assert_int_ge(leg(total_of(all, SLOW), "take", "max_ns"), DELAY);
	json_decref(all);
	stage_set(w.stage, DONE, 1000);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

/* --- a busy processor ----------------------------------------------------------------------------- */

enum { BUSY = 1, REFUSED };

/* Keeps a processor for itself until DELAY after the message was published. LOST: how long it was without it. */
static void hog(struct stage *stage)
{
	const struct sched_param lowest = { .sched_priority = 1 };
	cpu_set_t all = processors();
	int64_t before, now;

	stay_on(processor(&all, 1));
	stage_wait(stage, GO, 1);
	if (sched_setscheduler(0, SCHED_FIFO, &lowest) < 0) {
		stage_set(stage, RESUME, REFUSED);
		return;
	}
	stage_set(stage, RESUME, BUSY);
	before = now_ns();
	for (int64_t end = INT64_MAX; before < end; before = now) {
		if (end == INT64_MAX && stage->at[FIRST])
			end = now_ns() + DELAY;
		now = now_ns();
		if (now - before > MS / 10)
			stage_set(stage, LOST, stage->at[LOST] + (uint64_t)(now - before));
	}
}

static void sleep_beside_it(struct stage *stage)
{
	zcp_node *node = lib_node("reader");
	zcp_subscriber *s = lib_subscriber(node, NULL);
	cpu_set_t all = processors();

	stay_on(processor(&all, 1));
	stage_set(stage, READY, 1);
	ok(zcp_subscriber_fd(s));
	for (unsigned int i = 0; i < 2; i++) {
		do
			sleep_on(s);
		while (!take(s));
		stage_set(stage, DONE, i + 1);
	}
	stage_wait(stage, DONE, 1000);
	zcp_node_close(node);
}

START_TEST(wakeups_on_a_busy_processor)
{
	cpu_set_t set = processors();
	const json_t *t;
	struct world w;
	pid_t hogger;
	json_t *all;

	if (processor(&set, 1) < 0)
		skip_test("there is one processor only");
	w = world_begin(sleep_beside_it, NULL);
	hogger = process_start(hog, w.stage);
	trace("wakeups", "--interval", "60");
	stay_on(processor(&set, 0));
	ck_assert_within(sleeps_in(w.reader, SYS_poll), DEADLINE_MS);
	ok(lib_send(w.publisher, 0, 64));		/* its thread is known from here on */
	stage_wait(w.stage, DONE, 1);
	ck_assert_within(sleeps_in(w.reader, SYS_poll), DEADLINE_MS);
	stage_set(w.stage, GO, 1);
	stage_wait(w.stage, RESUME, BUSY);
	ok(lib_send(w.publisher, 1, 64));
	stage_set(w.stage, FIRST, 1);
	process_expect_success(hogger);
	stage_wait(w.stage, DONE, 2);
	ck_assert_ok(sched_setaffinity(0, sizeof(set), &set));
	all = trace_lines();
	t = total_line(all);
	ck_assert_int_eq(number_of(t, "taken"), 2);
	check_sum(t);
	if (w.stage->at[RESUME] == BUSY)
		ck_assert_int_ge(leg(t, "schedule", "max_ns"), DELAY - (int64_t)w.stage->at[LOST]);
	else
		note_skip(__func__, "SCHED_FIFO is refused");
	json_decref(all);
	stage_set(w.stage, DONE, 1000);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-wakeups");

	trace_skip();
	add(suite, "wakeups", wakeups_by_the_way_they_are_met, wakeups_on_a_busy_processor);
	return run_suite(suite);
}
