/* SPDX-License-Identifier: MIT */
/*
 * zcp_watch_*(): who comes and goes, and why, as another node hears of it. src/lib/watch.c and src/router/watch.c.
 */
#include "lib-helper.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/node.h"

static zcp_watch *watch(zcp_node *n, const char *pattern, const struct zcp_watch_options *options)
{
	zcp_watch *w;

	ok(zcp_watch_open(&w, n, pattern, options));
	return w;
}

/* The next event that is not about @own, whatever it is. */
static struct zcp_watch_event next(zcp_watch *w, zcp_node *own)
{
	struct zcp_watch_event e;

	for (;;) {
		int r = zcp_watch_take(w, &e);

		if (r == 0 && e.node != zcp_node_id(own))
			return e;
		if (r == 0)
			continue;
		ck_assert_int_eq(r, -EAGAIN);
		ok(zcp_watch_wait(w, 20 * SECOND));
	}
}

static void expect(zcp_watch *w, zcp_node *own, enum zcp_watch_kind kind, const char *name, struct zcp_watch_event *out)
{
	struct zcp_watch_event e = next(w, own);

	ck_assert_msg(e.kind == kind && !strcmp(e.node_name, name), "kind %u of %s, not %u of %s", e.kind, e.node_name, kind, name);
	ck_assert_uint_eq(e.lost, 0);
	if (out)
		*out = e;
}

static void expect_nothing(zcp_watch *w)
{
	struct zcp_watch_event e;

	fails(zcp_watch_take(w, &e), -EAGAIN, "no event");
}

/* --- processes that end in different ways --------------------------------------------------------- */

enum ending { KILLED, EXITS, CRASHES, CLOSES, EXECS, N_ENDINGS };

static enum ending ending;

static void be_there(struct stage *stage)
{
	zcp_node *n;

	/* forked before there are threads, which ThreadSanitizer wants */
	stage_wait(stage, 2, 1);
	n = lib_node("victim");
	lib_subscriber(n, NULL);
	stage_set(stage, 0, 1);
	stage_wait(stage, 1, 1);
	switch (ending) {
	case EXITS:
		_exit(7);
	case CRASHES:
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		break;
	case CLOSES:
		zcp_node_close(n);
		_exit(0);
	case EXECS:
		execl("/bin/sleep", "sleep", "1000", NULL);
		break;
	default:
		break;
	}
	for (;;)
		pause();
}

/* A router with eBPF knows how a process ended. */
static bool knows_exits(const zcp_node *n)
{
	return n->directory.header->detectors & DIRECTORY_DETECTOR_BPF;
}

START_TEST(endings)
{
	static const enum zcp_cause causes[] = { ZCP_CAUSE_DIED, ZCP_CAUSE_DIED, ZCP_CAUSE_DIED, ZCP_CAUSE_CLOSED, ZCP_CAUSE_LEFT };
	struct stage *stage = stage_new();
	struct zcp_watch_event node, endpoint, e;
	zcp_watch *w;
	zcp_node *n;
	pid_t pid;

	ending = (enum ending)_i;
	lib_router_start();
	pid = process_start(be_there, stage);
	n = lib_node("watcher");
	w = watch(n, NULL, NULL);
	stage_set(stage, 2, 1);
	expect(w, n, ZCP_WATCH_NODE_APPEARED, "victim", &node);
	ck_assert_uint_eq(node.pid, (uint32_t)pid);
	ck_assert_uint_eq(node.uid, getuid());
	ck_assert(!node.existing && !node.endpoint && !node.cause);
	expect(w, n, ZCP_WATCH_ENDPOINT_APPEARED, "victim", &endpoint);
	ck_assert_uint_eq(endpoint.role, ZCP_SUBSCRIBER);
	ck_assert_str_eq(endpoint.service, "service");
	ck_assert_str_eq(endpoint.instance, "instance");
	ck_assert_str_eq(endpoint.event, "event");
	ck_assert_uint_eq(endpoint.node, node.node);

	stage_wait(stage, 0, 1);
	stage_set(stage, 1, 1);
	if (ending == KILLED)
		kill(pid, SIGKILL);
	expect(w, n, ZCP_WATCH_ENDPOINT_VANISHED, "victim", &e);
	ck_assert_uint_eq(e.endpoint, endpoint.endpoint);
	ck_assert_uint_eq(e.cause, causes[ending]);
	expect(w, n, ZCP_WATCH_NODE_VANISHED, "victim", &e);
	ck_assert_uint_eq(e.node, node.node);
	ck_assert_uint_eq(e.cause, causes[ending]);
	ck_assert(e.exit_known == (causes[ending] == ZCP_CAUSE_DIED && knows_exits(n)));
	if (e.exit_known) {
		ck_assert_int_eq(e.signal, ending == KILLED ? SIGKILL : ending == CRASHES ? SIGSEGV : 0);
		ck_assert_int_eq(e.exit_code, ending == EXITS ? 7 : 0);
		ck_assert_str_eq(e.comm, "test-lib-watch");
		ck_assert(!e.oom_killed);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_nothing(w);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(unresponsive_and_back)
{
	static const char *const arguments[] = { "--heartbeat-timeout-ms", "600", "--heartbeat-scan-ms", "100", NULL };
	struct stage *stage = stage_new();
	zcp_watch *w;
	zcp_node *n;
	pid_t pid;

	ending = N_ENDINGS;
	lib_router_arguments = arguments;
	lib_router_start();
	pid = process_start(be_there, stage);
	n = lib_node("watcher");
	w = watch(n, NULL, NULL);
	stage_set(stage, 2, 1);
	expect(w, n, ZCP_WATCH_NODE_APPEARED, "victim", NULL);
	expect(w, n, ZCP_WATCH_ENDPOINT_APPEARED, "victim", NULL);
	kill(pid, SIGSTOP);
	expect(w, n, ZCP_WATCH_NODE_UNRESPONSIVE, "victim", NULL);
	kill(pid, SIGCONT);
	expect(w, n, ZCP_WATCH_NODE_RESPONSIVE, "victim", NULL);
	expect_nothing(w);
	process_kill(pid);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- what is there -------------------------------------------------------------------------------- */

#define MANY 1500

static void open_many(zcp_node *n)
{
	for (int i = 0; i < MANY; i++) {
		char name[16];
		struct zcp_topic topic = { "many", name, i % 2 ? "odd" : "even" };
		struct zcp_subscriber_options options = { .sz = sizeof(options), .max_publishers = 1 };
		zcp_subscriber *s;

		snprintf(name, sizeof(name), "%d", i);
		ok(zcp_subscriber_open(&s, n, &topic, &options));
	}
}

/* More than the router's queue for one node holds, told in pieces, each thing once. */
START_TEST(existing_is_complete)
{
	static const char *const arguments[] = { "--max-endpoints-per-node", "4096", NULL };
	static bool seen[MANY];
	zcp_node *crowd, *n;
	zcp_watch *w;
	int count = 0;

	lib_router_arguments = arguments;
	lib_router_start();
	crowd = lib_node("crowd");
	open_many(crowd);
	n = _i ? lib_node_without_thread("watcher") : lib_node("watcher");
	w = watch(n, "many", NULL);
	for (struct zcp_watch_event e; zcp_watch_take(w, &e) == 0; count++) {
		int number = atoi(e.instance);

		ck_assert_uint_eq(e.lost, 0);
		ck_assert(e.existing && e.kind == ZCP_WATCH_ENDPOINT_APPEARED && number >= 0 && number < MANY && !seen[number]);
		seen[number] = true;
	}
	ck_assert_int_eq(count, MANY);
	zcp_watch_close(w);
	w = watch(n, "many/1?/od*", NULL);
	count = 0;
	for (struct zcp_watch_event e; zcp_watch_take(w, &e) == 0;)
		count++;
	ck_assert_int_eq(count, 5);
	zcp_node_close(n);
	zcp_node_close(crowd);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(patterns)
{
	struct zcp_watch_options no_nodes = { .sz = sizeof(no_nodes), .no_nodes = true }, fresh = { .sz = sizeof(fresh), .no_existing = true };
	const struct zcp_topic radar = { "radar", "front", "track" }, camera = { "camera", "front", "image" };
	zcp_watch *only_radar, *endpoints, *all, *late;
	zcp_publisher *p, *q;
	zcp_node *n, *other;

	lib_router_start();
	other = lib_node("other");
	n = lib_node("watcher");
	all = watch(n, "", NULL);
	only_radar = watch(n, "rad*/*", NULL);
	endpoints = watch(n, NULL, &no_nodes);
	expect(all, n, ZCP_WATCH_NODE_APPEARED, "other", NULL);
	ok(zcp_publisher_open(&p, other, &radar, NULL));
	ok(zcp_publisher_open(&q, other, &camera, NULL));
	late = watch(n, NULL, &fresh);
	for (int i = 0; i < 2; i++) {
		expect(all, n, ZCP_WATCH_ENDPOINT_APPEARED, "other", NULL);
		expect(endpoints, n, ZCP_WATCH_ENDPOINT_APPEARED, "other", NULL);
	}
	expect(only_radar, n, ZCP_WATCH_ENDPOINT_APPEARED, "other", NULL);
	zcp_publisher_close(q);
	expect(all, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", NULL);
	expect(late, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", NULL);
	expect(endpoints, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", NULL);
	zcp_node_close(other);
	expect(all, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", NULL);
	expect(all, n, ZCP_WATCH_NODE_VANISHED, "other", NULL);
	expect(endpoints, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", NULL);
	expect(only_radar, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", NULL);
	/* its endpoints were closed before the node was: it had none that fits any more */
	for (zcp_watch **w = (zcp_watch *[]){ all, only_radar, endpoints, NULL }; *w; w++)
		expect_nothing(*w);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- the handle ----------------------------------------------------------------------------------- */

START_TEST(descriptor_and_timeouts)
{
	struct zcp_watch_event e;
	struct pollfd p = { .events = POLLIN };
	zcp_node *n, *other;
	zcp_watch *w;

	lib_router_start();
	n = _i ? lib_node_without_thread("watcher") : lib_node("watcher");
	w = watch(n, "none/of/these", NULL);
	fails(zcp_watch_wait(w, 0), -ETIMEDOUT, "no event");
	fails(zcp_watch_wait(w, SECOND / 20), -ETIMEDOUT, "no event");
	expect_nothing(w);
	zcp_watch_close(w);
	w = watch(n, NULL, NULL);
	while (zcp_watch_take(w, &e) == 0)
		;
	p.fd = zcp_watch_fd(w);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	other = lib_node("other");
	if (_i)
		ck_assert_within(zcp_node_dispatch(n) >= 0 && poll(&p, 1, 0) == 1, DEADLINE_MS);
	ck_assert_int_eq(poll(&p, 1, DEADLINE_MS), 1);
	expect(w, n, ZCP_WATCH_NODE_APPEARED, "other", NULL);
	ck_assert_int_eq(poll(&p, 1, 0), 1);
	expect_nothing(w);
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	zcp_node_close(other);
	zcp_node_close(n);	/* closes the watch */
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(wrong_use)
{
	struct zcp_watch_options o = { .sz = sizeof(o) };
	zcp_watch *w, *open[20];
	struct zcp_watch_event e;
	char text[120];
	zcp_node *n;
	int k = 0;

	lib_router_start();
	n = lib_node("watcher");
	memset(text, 'x', sizeof(text));
	text[119] = 0;
	fails(zcp_watch_open(&w, n, text, NULL), -EINVAL, "longer");
	fails(zcp_watch_open(&w, n, "a/b/c/d", NULL), -EINVAL, "three parts");
	fails(zcp_watch_open(&w, n, "a\nb", NULL), -EINVAL, "pattern");
	o.reserved[0] = 1;
	fails(zcp_watch_open(&w, n, NULL, &o), -EINVAL, "zcp_watch_options");
	ck_assert_ptr_null(w);
	while (zcp_watch_open(&open[k], n, NULL, NULL) == 0)
		ck_assert_int_lt(++k, 20);
	fails(zcp_watch_open(&w, n, NULL, NULL), -EDQUOT, "watches already");
	ck_assert_int_eq(k, 16);
	zcp_watch_close(open[3]);
	ok(zcp_watch_open(&open[3], n, NULL, NULL));
	zcp_watch_close(NULL);
	if (fork() == 0) {
		fails(zcp_watch_take(open[0], &e), -EOWNERDEAD, "fork");
		fails(zcp_watch_wait(open[0], 0), -EOWNERDEAD, "fork");
		fails(zcp_watch_fd(open[0]), -EOWNERDEAD, "fork");
		fails(zcp_watch_open(&w, n, NULL, NULL), -EOWNERDEAD, "fork");
		zcp_watch_close(open[0]);
		_exit(0);
	}
	wait(NULL);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A queue that nobody empties loses the newest and says how many. */
START_TEST(slow_watcher)
{
	struct zcp_watch_options o = { .sz = sizeof(o), .queue = 4 };
	struct zcp_watch_event e;
	zcp_node *n, *other;
	zcp_watch *w, *other_watch;
	uint64_t events = 0, lost = 0;

	lib_router_start();
	n = lib_node("watcher");
	w = watch(n, NULL, &o);
	other_watch = watch(n, NULL, NULL);
	while (zcp_watch_take(w, &e) == 0)
		;
	for (int i = 0; i < 50; i++) {
		other = lib_node("other");
		zcp_node_close(other);
	}
	for (int i = 0; i < 50; i++) {
		expect(other_watch, n, ZCP_WATCH_NODE_APPEARED, "other", NULL);
		expect(other_watch, n, ZCP_WATCH_NODE_VANISHED, "other", NULL);
	}
	while (zcp_watch_take(w, &e) == 0) {
		events++;
		ck_assert_uint_eq(e.lost, 0);
	}
	ck_assert_uint_eq(events, 4);
	other = lib_node("other");
	e = next(w, n);
	lost = e.lost;
	ck_assert_uint_eq(events + lost, 100);
	zcp_node_close(other);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- more than endpoints -------------------------------------------------------------------------- */

START_TEST(pool_runs_dry)
{
	struct zcp_publisher_options o = { .payload_max = 2000, .depth = 4, .max_held = 1, .max_loans = 2 };
	struct zcp_watch_event e;
	zcp_publisher *p;
	zcp_node *n, *other;
	zcp_watch *w;
	void *loan[64];
	int r = 0, k = 0;

	lib_router_start();
	n = lib_node("watcher");
	other = lib_node("other");
	p = lib_publisher(other, &o);
	w = watch(n, "service", NULL);
	expect(w, n, ZCP_WATCH_ENDPOINT_APPEARED, "other", NULL);
	/* max_loans is another limit than the pool: nothing is said of that */
	while (k < 64 && (r = zcp_publisher_loan(p, 2000, &loan[k])) == 0)
		k++;
	ck_assert_int_eq(r, -ENOBUFS);
	fails(zcp_watch_wait(w, SECOND / 20), -ETIMEDOUT, "no event");
	while (k)
		ok(zcp_publisher_discard(p, loan[--k]));
	zcp_publisher_close(p);
	expect(w, n, ZCP_WATCH_ENDPOINT_VANISHED, "other", &e);
	ck_assert_uint_eq(e.cause, ZCP_CAUSE_CLOSED);
	zcp_node_close(other);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static zcp_node *early;

static void *open_early(void *stage)
{
	static zcp_watch *w;

	stage_set(stage, 0, 1);
	ok(zcp_watch_open(&w, early, NULL, NULL));
	return w;
}

/* While it waits for a router the node opens its watches by itself too: not this one a second time. */
START_TEST(opened_before_the_router_comes)
{
	struct zcp_node_options o = { .sz = sizeof(o), .socket_path = lib_socket, .wait_for_router = true };
	struct stage *stage = stage_new();
	struct zcp_watch_event e;
	zcp_node *other;
	pthread_t thread;
	void *result;
	zcp_watch *w;

	lib_router_prepare();
	ok(zcp_node_open(&early, "early", &o));
	ck_assert_int_eq(pthread_create(&thread, NULL, open_early, stage), 0);
	stage_wait(stage, 0, 1);
	lib_router_again();
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	w = result;
	ok(zcp_node_wait(early, 0));
	other = lib_node("other");
	do {
		e = next(w, early);
		ck_assert_uint_ne(e.kind, ZCP_WATCH_ROUTER_BACK);
	} while (strcmp(e.node_name, "other"));
	zcp_node_close(other);
	expect(w, early, ZCP_WATCH_NODE_VANISHED, "other", NULL);
	expect_nothing(w);
	zcp_node_close(early);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(over_a_restart)
{
	zcp_node *n, *other;
	struct zcp_watch_event e;
	zcp_watch *w;

	lib_router_start();
	n = lib_node("watcher");
	other = lib_node("other");
	lib_subscriber(other, NULL);
	w = watch(n, NULL, NULL);
	expect(w, n, ZCP_WATCH_NODE_APPEARED, "other", NULL);
	expect(w, n, ZCP_WATCH_ENDPOINT_APPEARED, "other", NULL);
	lib_router_kill(SIGKILL);
	expect(w, n, ZCP_WATCH_ROUTER_GONE, "", NULL);
	lib_router_again();
	expect(w, n, ZCP_WATCH_ROUTER_BACK, "", NULL);
	/* in either order: it may be back before us */
	for (int nodes = 0, endpoints = 0; !nodes || !endpoints;) {
		e = next(w, n);
		if (strcmp(e.node_name, "other"))
			continue;	/* the helper that waits for the router */
		nodes += e.kind == ZCP_WATCH_NODE_APPEARED;
		endpoints += e.kind == ZCP_WATCH_ENDPOINT_APPEARED;
		ck_assert(nodes <= 1 && endpoints <= 1);
		ck_assert(e.existing);	/* it was there all the time, whoever comes back first */
	}
	zcp_node_close(other);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-watch");
	TCase *tcase;

	tcase = add_test_case(suite, "ends", 60);
	tcase_add_loop_test(tcase, endings, 0, N_ENDINGS);
	tcase_add_test(tcase, unresponsive_and_back);
	tcase = add_test_case(suite, "what", 60);
	tcase_add_loop_test(tcase, existing_is_complete, 0, 2);
	tcase_add_test(tcase, patterns);
	tcase_add_test(tcase, pool_runs_dry);
	tcase = add_test_case(suite, "handle", 60);
	tcase_add_loop_test(tcase, descriptor_and_timeouts, 0, 2);
	tcase_add_test(tcase, wrong_use);
	tcase_add_test(tcase, slow_watcher);
	tcase_add_test(tcase, over_a_restart);
	tcase_add_test(tcase, opened_before_the_router_comes);
	return run_suite(suite);
}
