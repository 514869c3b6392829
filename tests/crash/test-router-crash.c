/* SPDX-License-Identifier: MIT */
/*
 * The router is killed at each of its system calls while clients join, open, meet, talk, close and leave; another one is
 * started at the same path, and all of them go on.
 *
 * Two nodes are there before: a reliable stream of numbers runs from one to the other, of which nothing may be missing. A
 * third comes and goes meanwhile. What fails for it must fail with an error that the manual names, never hang, and work when it is
 * tried again. In the end the new router knows exactly who is there.
 *
 * Usage: test-router-crash                 some system calls, evenly spread, and some random moments, on both event loops
 *        test-router-crash --all           all of them, and many moments
 *        test-router-crash LOOP K          one: io_uring or epoll; K-th stop (entries and returns count each), or uM: M microseconds
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common-crash.h"
#include "common/clock.h"
#include "keeper.h"
#include "lib/node.h"
#include "step.h"

#define SAMPLES 25
#define MOMENTS 20
#define MOMENTS_ALL 300
#define PATIENCE (30 * SECOND)

static const struct zcp_topic topic = { "crash", "router", "numbers" };
static uint64_t n_deaths;

#define until(condition)                                                                     \
	do {                                                                                 \
		uint64_t until_end_ = clock_now_ns() + (uint64_t)PATIENCE;                   \
		while (!(condition)) {                                                       \
			if (clock_now_ns() > until_end_)                                     \
				fail("does not come to hold: %s", #condition);               \
			usleep(200);                                                         \
		}                                                                            \
	} while (0)

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct reading {
	zcp_subscriber *subscriber;
	uint64_t older;			/* publisher that may have begun before us; others from their number 0 */
	struct {
		uint64_t id, next;
	} from[2];
};

/* Take what is there: numbers of each publisher have no gaps. */
static void read_all(struct reading *r)
{
	struct zcp_sample sample;
	int result;

	while ((result = zcp_subscriber_take(r->subscriber, &sample)) == 0) {
		uint64_t number = number_of(&sample);
		unsigned int i = 0;

		while (i < 2 && r->from[i].id && r->from[i].id != sample.publisher)
			i++;
		if (i == 2)
			fail("a message of publisher %llu, which is a third one", (unsigned long long)sample.publisher);
		if ((r->from[i].id || sample.publisher != r->older) && (number != r->from[i].next || sample.lost))
			fail("message %llu of publisher %llu came where %llu was due, lost says %llu", (unsigned long long)number,
			     (unsigned long long)sample.publisher, (unsigned long long)r->from[i].next, (unsigned long long)sample.lost);
		r->from[i].id = sample.publisher;
		r->from[i].next = number + 1;
		zcp_sample_release(&sample);
	}
	if (result != -EAGAIN)
		fail("take: %d: %s", result, zcp_last_error());
}

static uint64_t next_of(const struct reading *r, zcp_publisher *p)
{
	for (int i = 0; i < 2; i++)
		if (r->from[i].id == zcp_publisher_id(p))
			return r->from[i].next;
	return 0;
}

/* All that was sent came. */
static bool is_read(struct reading *r, zcp_publisher *p, uint64_t sent)
{
	read_all(r);
	return next_of(r, p) == sent;
}

/* There is room for all that a round sends, so that nobody has to read. */
static void send_one(zcp_publisher *p, uint64_t *sent)
{
	uint64_t message[256];
	size_t size = *sent % 3 ? 40 : sizeof(message);

	fill(message, *sent, size);
	ok(zcp_publisher_send(p, message, size));
	++*sent;
}

/* ---- the newcomer ------------------------------------------------------------------------------------------------ */

/* What the manual lists for a router that is not there, or ends while it is asked. */
static bool is_documented(int r)
{
	return r == -ECONNREFUSED || r == -ENOENT || r == -ENOTCONN || r == -ETIMEDOUT;
}

/* Try again until it works. */
#define insist(call)                                                                         \
	do {                                                                                 \
		uint64_t insist_end_ = clock_now_ns() + (uint64_t)PATIENCE;                  \
		int insist_r_;                                                               \
		while ((insist_r_ = (call)) < 0) {                                           \
			if (!is_documented(insist_r_) || clock_now_ns() > insist_end_)       \
				fail("%s: %d: %s", #call, insist_r_, zcp_last_error());      \
			usleep(1000);                                                        \
		}                                                                            \
	} while (0)

static zcp_node *join(const char *name)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path };
	zcp_node *node = NULL;

	insist(zcp_node_open(&node, name, &options));
	return node;
}

static zcp_publisher *open_publisher(zcp_node *node)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .depth = 64, .reliable = true, .timeout = PATIENCE };
	zcp_publisher *p = NULL;

	insist(zcp_publisher_open(&p, node, &topic, &options));
	return p;
}

static zcp_subscriber *open_subscriber(zcp_node *node)
{
	zcp_subscriber *s = NULL;

	insist(zcp_subscriber_open(&s, node, &topic, NULL));
	return s;
}

struct old {
	zcp_node *writer, *reader;
	zcp_publisher *publisher;
	struct reading reading;
	uint64_t sent;
};

/* Everything a router is asked for, once. */
static void newcomer(struct old *old)
{
	zcp_node *node = join("newcomer");
	struct reading reading = { .older = zcp_publisher_id(old->publisher) };
	uint64_t sent = 0;
	zcp_publisher *p;

	send_one(old->publisher, &old->sent);
	reading.subscriber = open_subscriber(node);
	p = open_publisher(node);
	ok(zcp_publisher_wait(p, 2, PATIENCE));
	ok(zcp_publisher_wait(old->publisher, 2, PATIENCE));
	for (int i = 0; i < 5; i++) {
		send_one(p, &sent);
		send_one(old->publisher, &old->sent);
	}
	until(is_read(&reading, p, sent));
	until(is_read(&reading, old->publisher, old->sent));
	zcp_subscriber_close(reading.subscriber);
	send_one(p, &sent);
	send_one(old->publisher, &old->sent);
	until(is_read(&old->reading, p, sent));
	zcp_publisher_close(p);
	zcp_node_close(node);
	send_one(old->publisher, &old->sent);
}

/* ---- one round --------------------------------------------------------------------------------------------------- */

static uint32_t n_publishers(zcp_subscriber *s)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };

	ok(zcp_subscriber_stats(s, &stats));
	return stats.publishers;
}

static bool has_rows(const zcp_node *observer, uint32_t nodes, uint32_t endpoints, uint32_t matches)
{
	const struct directory_header *h = observer->directory.header;

	return h->n_nodes == nodes + 1 && h->n_endpoints == endpoints && h->n_matches == matches;
}

static void open_old(struct old *old)
{
	memset(old, 0, sizeof(*old));
	old->reader = join("reader");
	old->reading.subscriber = open_subscriber(old->reader);
	old->writer = join("writer");
	old->publisher = open_publisher(old->writer);
	ok(zcp_publisher_wait(old->publisher, 1, PATIENCE));
	send_one(old->publisher, &old->sent);
	until(is_read(&old->reading, old->publisher, old->sent));
}

/* Whatever happened, the old ones and the router that is there now are as if it had always been there. */
static void expect_recovery(struct old *old)
{
	zcp_node *observer;

	ok(zcp_node_wait(old->reader, PATIENCE));
	ok(zcp_node_wait(old->writer, PATIENCE));
	until(is_read(&old->reading, old->publisher, old->sent));
	until(ok(zcp_publisher_subscribers(old->publisher)) == 1);
	read_all(&old->reading);
	until(n_publishers(old->reading.subscriber) == 1);
	for (int i = 0; i < 200; i++) {
		send_one(old->publisher, &old->sent);
		read_all(&old->reading);
	}
	until(is_read(&old->reading, old->publisher, old->sent));
	observer = join("observer");
	until(has_rows(observer, 2, 2, 1));
	zcp_node_close(observer);
	/* once more, with nobody killed */
	memset(&old->reading.from[1], 0, sizeof(old->reading.from[1]));
	newcomer(old);
	until(is_read(&old->reading, old->publisher, old->sent));
}

static void close_old(struct old *old)
{
	zcp_node *observer = join("observer");

	zcp_node_close(old->reader);
	zcp_node_close(old->writer);
	until(has_rows(observer, 0, 0, 0));
	zcp_node_close(observer);
}

/* False: the round was over before the router was killed. */
static bool round_with(enum keeper_way way, uint64_t k, const char *loop)
{
	unsigned int fds = count_entries("/proc/self/fd");
	struct old old;
	bool killed;
	pid_t keeper;

	keeper = keeper_start(way, k, loop);
	until(can_join());
	open_old(&old);
	keeper_arm();
	newcomer(&old);
	killed = keeper_has_killed();
	if (way == KEEPER_MICROSECONDS) {
		until(keeper_has_killed());
		killed = true;
	}
	expect_recovery(&old);
	close_old(&old);
	keeper_end(keeper);
	until(access(socket_path, F_OK) < 0);
	until(count_entries("/proc/self/fd") == fds);
	n_deaths += killed;
	return killed;
}

static void say_where(enum keeper_way way, uint64_t k, const char *loop)
{
	static char what[64];

	snprintf(what, sizeof(what), "%s %s%llu", loop, way == KEEPER_MICROSECONDS ? "u" : "", (unsigned long long)k);
	at_what = what;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s \033[K", what);
}

/* How many stops there are between arming and the end of the newcomer. */
static uint64_t count_stops(const char *loop)
{
	struct old old;
	uint64_t stops;
	pid_t keeper;

	say_where(KEEPER_STOPS, UINT64_MAX, loop);
	keeper = keeper_start(KEEPER_STOPS, UINT64_MAX, loop);
	until(can_join());
	open_old(&old);
	keeper_arm();
	newcomer(&old);
	stops = keeper_stops();
	close_old(&old);
	keeper_end(keeper);
	return stops;
}

static void try_loop(const char *loop, bool all)
{
	uint64_t total = count_stops(loop), n = all || total < SAMPLES ? total : SAMPLES, begin = clock_now_ns(), killed = n_deaths;
	unsigned int seed = 4711;

	for (uint64_t i = 0; i < n; i++) {
		say_where(KEEPER_STOPS, i * total / n, loop);
		round_with(KEEPER_STOPS, i * total / n, loop);
	}
	for (int i = 0; i < (all ? MOMENTS_ALL : MOMENTS); i++) {
		uint64_t us = (uint64_t)rand_r(&seed) % 20000;

		say_where(KEEPER_MICROSECONDS, us, loop);
		round_with(KEEPER_MICROSECONDS, us, loop);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	printf("%s: killed %llu times, at %llu of %llu system call stops and at random moments, %.1f s\n", loop,
	       (unsigned long long)(n_deaths - killed), (unsigned long long)n, (unsigned long long)total,
	       (double)(clock_now_ns() - begin) / 1e9);
	fflush(stdout);
}

static int usage(void)
{
	fprintf(stderr, "usage: test-router-crash [--all | io_uring|epoll K|uM]\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool all = argc == 2 && strcmp(argv[1], "--all") == 0;

	program = "test-router-crash";
	if (!all && argc != 1 && (argc != 3 || (strcmp(argv[1], "io_uring") != 0 && strcmp(argv[1], "epoll") != 0)))
		return usage();
	if (!step_possible())
		return 77;
	make_directory();
	if (argc == 3) {
		enum keeper_way way = argv[2][0] == 'u' ? KEEPER_MICROSECONDS : KEEPER_STOPS;
		uint64_t k = strtoull(argv[2] + (way == KEEPER_MICROSECONDS), NULL, 10);

		say_where(way, k, argv[1]);
		printf("%s\n", round_with(way, k, argv[1]) ? "killed" : "over before that");
	} else {
		try_loop("io_uring", all);
		try_loop("epoll", all);
	}
	remove_directory();
	return 0;
}
