/* SPDX-License-Identifier: MIT */
/*
 * Every public function with the Nth call of something failing beneath it, for N = 1, 2, ... until it runs untouched.
 *
 * Here are the faults, the loops over them, and what must hold after each: the error is one that the header documents, with a
 * sentence; the node works or says that it is not connected; and when the world is closed again nothing is left of it, neither
 * here (descriptors, mappings, heap) nor at the router. The scenarios are in tables, one for each topic, see lib-world.h.
 * Faults are armed for the calling thread, around the one call, or for all others, which means the thread of the node under test.
 *
 * What cannot happen is not injected. A send that fails with EPIPE means that the socket has ended, which a receive would
 * see too; fcntl(F_GETFL) and F_GET_SEALS of an open descriptor do not fail.
 *
 * $ZCP_FAULTS=all: every N of every fault; few: 1, 2, 4, ...; otherwise long runs of N are thinned out. $ZCP_FAULTS_ONLY: one scenario, by name.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/directory.h"
#include "inject.h"
#include "integration/lib-helper.h"
#include "lib-world.h"
#include "lib/node.h"

static const struct lib_fault {
	struct fault fault;
	bool sticky;		/* also: the Nth and all later ones */
} faults[] = {
	{ { "malloc ENOMEM", CALL_ALLOC, ENOMEM }, true },
	{ { "mmap ENOMEM", CALL_MMAP, ENOMEM }, true },
	{ { "madvise ENOMEM", CALL_MADVISE, ENOMEM }, true },
	{ { "fstat ENOMEM", CALL_FSTAT, ENOMEM }, true },
	{ { "eventfd EMFILE", CALL_EVENTFD, EMFILE }, true },
	{ { "eventfd ENFILE", CALL_EVENTFD, ENFILE }, false },
	{ { "eventfd ENOMEM", CALL_EVENTFD, ENOMEM }, false },
	{ { "socket EMFILE", CALL_SOCKET, EMFILE }, true },
	{ { "socket ENOBUFS", CALL_SOCKET, ENOBUFS }, false },
	{ { "socket ENFILE", CALL_SOCKET, ENFILE }, false },
	{ { "connect ECONNREFUSED", CALL_CONNECT, ECONNREFUSED }, false },
	{ { "connect EINTR", CALL_CONNECT, EINTR }, false },
	{ { "sendmsg EAGAIN", CALL_SEND, EAGAIN }, false },
	{ { "sendmsg EINTR", CALL_SEND, EINTR }, false },
	{ { "sendmsg ENOBUFS", CALL_SEND, ENOBUFS }, false },
	{ { "sendmsg ENOMEM", CALL_SEND, ENOMEM }, false },
	{ { "sendmsg ETOOMANYREFS", CALL_SEND, ETOOMANYREFS }, false },
	{ { "recvmsg EINTR", CALL_RECEIVE, EINTR }, false },
	{ { "recvmsg ENOMEM", CALL_RECEIVE, ENOMEM }, false },
	{ { "recvmsg ECONNRESET", CALL_RECEIVE, ECONNRESET }, false },
	{ { "recvmsg without its descriptors", CALL_RECEIVE, INJECT_TRUNCATE }, true },
	{ { "read EINTR", CALL_READ, EINTR }, false },
	{ { "write EAGAIN", CALL_WRITE, EAGAIN }, false },
	{ { "poll EINTR", CALL_POLL, EINTR }, false },
	{ { "epoll ENOMEM", CALL_EPOLL, ENOMEM }, true },
	{ { "epoll EMFILE", CALL_EPOLL, EMFILE }, false },
	{ { "epoll_wait EINTR", CALL_EPOLL_WAIT, EINTR }, false },
	{ { "timerfd EMFILE", CALL_TIMER, EMFILE }, true },
	{ { "pthread_create EAGAIN", CALL_THREAD, EAGAIN }, true },
};
#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

/* How often each was injected, over all the processes of this suite. */
static _Atomic uint32_t *n_fired;

char fault_where[256];

static zcp_node *observer;	/* looks at the directory; never hit, never dispatched */

/* ---- what must hold afterwards ----------------------------------------------------------------------------------- */

static void check_result(const struct scenario *scenario, int r)
{
	const char *sentence = zcp_last_error();
	bool documented = false;

	if (r >= 0)
		return;
	for (int i = 0; i < 16 && scenario->errors[i]; i++)
		documented |= scenario->errors[i] == -r;
	ck_assert_msg(documented, "%s: undocumented error %d (%s): %s", fault_where, r, strerrorname_np(-r), sentence);
	ck_assert_msg(*sentence && !strchr(sentence, '\n'), "%s: error %d without a sentence: '%s'", fault_where, r, sentence);
}

/* The node works, or says at once that it is not connected. */
static void check_node(struct world *w)
{
	static const struct zcp_topic probe = { "probe", "probe", "probe" };
	zcp_publisher *publisher;
	int r;

	if (!w->node)
		return;
	r = zcp_node_wait(w->node, 10 * SECOND);
	if (r == 0)
		r = zcp_publisher_open(&publisher, w->node, &probe, NULL);
	ck_assert_msg(r == 0 || r == -ENOTCONN, "%s: afterwards: %d: %s", fault_where, r, zcp_last_error());
	if (r == 0)
		zcp_publisher_close(publisher);
}

#define N_EXCHANGED 10
#define EXCHANGED_BYTES 17	/* no other message is that long */

/* The number of messages taken that are part of the exchange. */
static int drain(zcp_subscriber *s)
{
	struct zcp_sample sample;
	int n = 0;

	while (zcp_subscriber_take(s, &sample) == 0) {
		if (sample.size == EXCHANGED_BYTES) {
			lib_number(&sample);
			n++;
		}
		zcp_sample_release(&sample);
	}
	return n;
}

/*
 * Whatever became of the match: the publisher is not stuck, and if it says that the subscriber is connected, then
 * that gets every message.
 */
static void check_flow(struct world *w, zcp_publisher *p, zcp_subscriber *s)
{
	int64_t end = now_ns() + DEADLINE_MS * 1000000ll;
	int n_sent = 0, n_taken = 0;
	bool connected;

	if (!p || !s)
		return;
	world_dispatch(w);
	drain(s);
	connected = zcp_publisher_subscribers(p) > 0;
	while (n_sent < N_EXCHANGED || (connected && n_taken < N_EXCHANGED)) {
		int r = n_sent < N_EXCHANGED ? lib_send(p, (uint64_t)n_sent, EXCHANGED_BYTES) : -EAGAIN;

		ck_assert_msg(r >= 0 || r == -EAGAIN || r == -ETIMEDOUT, "%s: a send afterwards: %s", fault_where, zcp_last_error());
		n_sent += r >= 0;
		n_taken += drain(s);
		world_dispatch(w);
		ck_assert_msg(now_ns() < end, "%s: afterwards %d messages were sent, %d arrived", fault_where, n_sent, n_taken);
	}
}

static int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, "memfd:zcp") != NULL;
	fclose(file);
	return n;
}

/* What this process has, and what the router has of others. */
struct state {
	int n_fds, n_mappings;
	int64_t n_live;
};

/*
 * With AddressSanitizer strdup() and its kin allocate behind our back, but it knows of leaks by itself. And it ends the process
 * when its own allocations at the start of a thread fail.
 */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
int __lsan_do_recoverable_leak_check(void);
#else
#define SANITIZED false
static int __lsan_do_recoverable_leak_check(void)
{
	return 0;
}
#endif

static struct state state_now(void)
{
	struct state s = { .n_fds = count_fds(), .n_mappings = count_mappings() };

#ifndef __SANITIZE_ADDRESS__
	s.n_live = atomic_load(&inject->n_live);
#endif
	return s;
}

/* The router's own node, which stays for some seconds when it was used: it and its endpoints do not count. */
static bool is_relay(uint32_t row, uint32_t *n_endpoints)
{
	struct directory_node node;

	if (directory_read_node(&observer->directory, row, &node) != 1 || strcmp(node.name, "zcp-relay"))
		return false;
	*n_endpoints += node.n_endpoints;
	return true;
}

static bool router_has(uint32_t n_nodes, uint32_t n_endpoints)
{
	const struct directory_header *d = observer->directory.header;

	for (uint32_t row = 0; row < atomic_load(&d->n_node_rows); row++)
		n_nodes += is_relay(row, &n_endpoints);
	return atomic_load(&d->n_nodes) == n_nodes && atomic_load(&d->n_endpoints) == n_endpoints && atomic_load(&d->n_matches) == 0;
}

static void check_state(const struct state *before)
{
	struct state after = state_now();

	ck_assert_msg(after.n_fds == before->n_fds, "%s: %d descriptors before, %d after", fault_where, before->n_fds, after.n_fds);
	ck_assert_msg(after.n_mappings == before->n_mappings, "%s: %d segments mapped before, %d after", fault_where, before->n_mappings,
		      after.n_mappings);
	ck_assert_msg(after.n_live == before->n_live, "%s: %lld heap blocks before, %lld after", fault_where, (long long)before->n_live,
		      (long long)after.n_live);
	ck_assert_msg(wait_until(router_has(1, 0), DEADLINE_MS), "%s: the router still has %u nodes, %u endpoints, %u matches", fault_where,
		      atomic_load(&observer->directory.header->n_nodes) - 1, atomic_load(&observer->directory.header->n_endpoints),
		      atomic_load(&observer->directory.header->n_matches));
	ck_assert_msg(lib_router_lives(), "%s: the router has ended", fault_where);
}

/* ---- the loops --------------------------------------------------------------------------------------------------- */

static void prepare(struct world *w, const struct scenario *scenario)
{
	if (scenario->prepare)
		scenario->prepare(w);
}

/* One world with one fault; how often it was injected. */
static uint32_t run(const struct scenario *scenario, bool no_thread, const struct fault *fault, uint32_t nth, bool sticky,
		    enum inject_scope scope)
{
	struct world w = { .no_thread = no_thread };
	struct state before = state_now();
	uint32_t fired;
	int r;

	snprintf(fault_where, sizeof(fault_where), "%s (%s), %s %u%s in %s", scenario->name, no_thread ? "no_thread" : "thread", fault->name, nth,
		 sticky ? " and on" : "", scope == SCOPE_CALLER ? "the caller" : "the node's thread");
	prepare(&w, scenario);
	inject_arm(inject, fault, nth, sticky, scope, (uint64_t)(uintptr_t)pthread_self());
	r = scenario->call(&w);
	fired = inject_disarm(inject);
	check_result(scenario, r);
	check_node(&w);
	check_flow(&w, w.publisher, w.other_subscriber);
	check_flow(&w, w.other_publisher, w.subscriber);
	calls_check(&w);
	events_check(&w);
	world_close(&w);
	check_state(&before);
	return fired;
}

/* Sparse where it takes long: every N up to 12, then ever fewer. */
static uint32_t next(uint32_t n)
{
	const char *how = getenv("ZCP_FAULTS");

	if (how && !strcmp(how, "few"))
		return n * 2;
	return n < 12 || (how && !strcmp(how, "all")) ? n + 1 : n + n / 4;
}

/* Returns whether there was anything to be hit. */
static bool loop(const struct scenario *scenario, bool no_thread, size_t i, bool sticky, enum inject_scope scope)
{
	uint32_t fired = 1, n;

	for (n = 1; fired; n = next(n)) {
		ck_assert_msg(n < 2000, "%s: no end", fault_where);
		fired = run(scenario, no_thread, &faults[i].fault, n, sticky, scope);
		atomic_fetch_add(&n_fired[i], fired);
	}
	return n > 2;
}

/*
 * What one fault has not found to hit in the caller, another one of the same call would not find either: it makes the same calls each
 * time. What the node's thread does depends on who is faster, so there each is tried.
 */
static void try_faults(const struct scenario *scenario, bool no_thread)
{
	bool reached = true;

	for (size_t i = 0; i < N_FAULTS; i++) {
		if (!i || faults[i].fault.call != faults[i - 1].fault.call)
			reached = true;
		for (int sticky = 0; sticky <= faults[i].sticky; sticky++) {
			if (reached)
				reached = loop(scenario, no_thread, i, sticky, SCOPE_CALLER);
			if (!no_thread && !(SANITIZED && faults[i].fault.call == CALL_ALLOC))
				loop(scenario, no_thread, i, sticky, SCOPE_OTHERS);
		}
	}
}

static const struct scenarios *const topics[] = { &pubsub_scenarios, &calls_scenarios, &events_scenarios, &growth_scenarios, &waitset_scenarios };
#define N_TOPICS ((int)(sizeof(topics) / sizeof(*topics)))

static zcp_node *open_observer(void)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = true, .unmonitored = true };
	zcp_node *node;

	ok(zcp_node_open(&node, "observer", &options));
	return node;
}

static void fault_loop(const struct scenario *scenario, bool no_thread)
{
	ck_assert_msg(lib_router_lives(), "the router has ended in an earlier scenario");
	observer = open_observer();
	/* untouched, and what is allocated once is */
	for (int i = 0; i < 2; i++) {
		struct world w = { .no_thread = no_thread };

		prepare(&w, scenario);
		scenario->call(&w);
		check_node(&w);
		world_close(&w);
		ck_assert_within(router_has(1, 0), DEADLINE_MS);
		state_now();
	}
	try_faults(scenario, no_thread);
	zcp_node_close(observer);
	ck_assert_msg(__lsan_do_recoverable_leak_check() == 0, "%s: memory has leaked, see stderr", scenario->name);
}

/* Argument: a topic, and of it a scenario, twice; with and without the thread. */
#define AT_ONCE 1000

START_TEST(scenario_loop)
{
	fault_loop(&topics[_i / AT_ONCE]->list[_i % AT_ONCE / 2], _i % 2);
}
END_TEST

/*
 * One router for the scenarios of a topic: what one of them leaves there is found when it ends, or before the next one begins. It is
 * started in the process that forks the tests, and ended there, which shows how it ended.
 */
static void start_router(void)
{
	lib_router_start();
}

static void stop_router(void)
{
	lib_router_stop(SIGTERM);
}

/* Returns how many scenarios there are of it, where only the one named @only is wanted (NULL: all). */
static int add_topic(Suite *s, int topic, const char *only)
{
	TCase *t = NULL;
	int n = 0;

	for (int i = 0; i < topics[topic]->n; i++) {
		int first = topic * AT_ONCE + 2 * i;

		if (only && strcmp(only, topics[topic]->list[i].name) != 0)
			continue;
		if (!t) {
			t = add_test_case(s, topics[topic]->name, 300);
			tcase_add_unchecked_fixture(t, start_router, stop_router);
		}
		tcase_add_loop_test(t, scenario_loop, first, first + 2);
		n++;
	}
	return n;
}

static Suite *suite(void)
{
	const char *only = getenv("ZCP_FAULTS_ONLY");
	Suite *s = suite_create("lib-faults");
	int n = 0;

	for (int i = 0; i < N_TOPICS; i++)
		n += add_topic(s, i, only);
	if (!n) {
		fprintf(stderr, "there is no scenario '%s'\n", only);
		exit(EXIT_FAILURE);
	}
	return s;
}

/* A fault that was never injected anywhere says that this suite looks past something. */
static int check_coverage(void)
{
	uint32_t total = 0;
	int r = EXIT_SUCCESS;

	for (size_t i = 0; i < N_FAULTS; i++) {
		printf("%6u x %s\n", atomic_load(&n_fired[i]), faults[i].fault.name);
		total += atomic_load(&n_fired[i]);
		if (!atomic_load(&n_fired[i]))
			r = EXIT_FAILURE;
	}
	printf("%6u faults in all\n", total);
	return r;
}

int main(void)
{
	int r;

	n_fired = mmap(NULL, sizeof(*n_fired) * N_FAULTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (n_fired == MAP_FAILED)
		return EXIT_FAILURE;
	if (SANITIZED)
		note_skip("malloc ENOMEM in the node's thread", "AddressSanitizer does not survive that");
	r = run_suite(suite());
	return check_coverage() == EXIT_SUCCESS || getenv("CK_RUN_CASE") || getenv("ZCP_FAULTS_ONLY") ? r : EXIT_FAILURE;
}
