/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace events of the router: who joins, who is refused what and why, how nodes end, which limit was hit, who comes back.
 *
 * One run of the tracer sees all that the test provokes, also through a restart of the router. What is expected is written down where it is
 * provoked, and looked up when the run is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/name.h"
#include "common/wire.h"
#include "trace-helper.h"

#define MAX_NODES 5		/* ours, the reader, the tracer, and two that come and go */
#define MAX_ENDPOINTS 2		/* ours and the reader's */

/* What a line has to have. */
struct expected {
	const char *probe;
	uint64_t node;			/* 0: the probe has none */
	int64_t pid;			/* -1: has none */
	const char *text;		/* name or text contains it; NULL: has none */
	const char *number_name, *other_name;
	int64_t number, other;
};

#define MOST 64
static struct expected expected[MOST];
static int n_expected;

static void expect(struct expected line)
{
	ck_assert_int_lt(n_expected + 1, MOST);
	expected[n_expected++] = line;
}

static void expect_join(uint64_t node, int64_t pid, const char *name)
{
	expect((struct expected){ "join", node, pid, name, "uid", "uid", getuid(), getuid() });
}

static void expect_refusal(int64_t pid, int error, const char *text)
{
	expect((struct expected){ "refuse", 0, pid, text, "uid", "error", getuid(), error });
}

static void expect_quota(const char *name, int64_t limit)
{
	expect((struct expected){ "quota", 0, -1, name, "limit", "wanted", limit, limit + 1 });
}

static void expect_end(uint64_t node, int64_t pid, enum zcp_cause cause, int status)
{
	expect((struct expected){ "retire", node, pid, NULL, "cause", "status", cause, status });
}

static void expect_return(uint64_t node, int64_t pid, int64_t endpoints)
{
	expect((struct expected){ "resume", node, pid, NULL, "endpoints", "endpoints", endpoints, endpoints });
}

static bool is_expected(const json_t *e, const struct expected *x)
{
	const char *text = json_object_get(e, "name") ? text_of(e, "name") : text_of(e, "text");

	return !strcmp(text_of(e, "probe"), x->probe) && (!x->node || (uint64_t)number_of(e, "node") == x->node) &&
	       (x->pid < 0 || number_of(e, "pid") == x->pid) && (x->text ? strstr(text, x->text) != NULL : !*text) &&
	       number_of(e, x->number_name) == x->number && number_of(e, x->other_name) == x->other;
}

/* The first expected line between these that was not seen yet and is @e; @to: none is. */
static int find(const json_t *e, int from, int to, const bool *seen)
{
	while (from < to && (seen[from] || !is_expected(e, &expected[from])))
		from++;
	return from;
}

/* It may want to ask the router just when that is full. */
static bool is_tracer_turned_away(const json_t *e)
{
	return !strcmp(text_of(e, "probe"), "refuse") && number_of(e, "pid") == trace_pid() && number_of(e, "error") == -EMFILE;
}

/* Each of the expected lines once, and nothing else; @n_ordered of them in the order in which they were provoked, the others behind those. */
static void check_lines(const json_t *all, int n_ordered)
{
	bool seen[MOST] = { 0 };
	int n = 0;

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *e = json_array_get(all, i);
		int from = n < n_ordered ? n : n_ordered, to = n < n_ordered ? n + 1 : n_expected, at;

		if (!strcmp(text_of(e, "type"), "summary") || is_tracer_turned_away(e))
			continue;
		at = find(e, from, to, seen);
		ck_assert_msg(at < to, "line %d is not the %s that was expected: %s", n, from < to ? expected[from].probe : "end",
			      json_dumps(e, JSON_COMPACT));
		seen[at] = true;
		n++;
	}
	ck_assert_msg(n == n_expected, "%d lines are missing, %s or another one", n_expected - n, expected[n].probe);
}

/* --- nodes that end ------------------------------------------------------------------------------- */

/* Joins, and ends as it is told. */
static void live_shortly(struct stage *stage)
{
	zcp_node *node = lib_node("mortal");

	stage_set(stage, FIRST, zcp_node_id(node));
	stage_wait(stage, GO, 1);
	if (stage->at[GO] < 100)
		raise((int)stage->at[GO]);
	_exit((int)stage->at[GO] - 100);
}

static void end(uint64_t how, int status)
{
	struct stage *stage = stage_new();
	pid_t pid = process_start(live_shortly, stage);
	int ended;

	stage_wait(stage, FIRST, 1);
	expect_join(stage->at[FIRST], pid, "mortal");
	stage_set(stage, GO, how);
	ck_assert_within(waitpid(pid, &ended, WNOHANG) == pid, DEADLINE_MS);
	ck_assert_int_eq(ended, status);
	expect_end(stage->at[FIRST], pid, ZCP_CAUSE_DIED, status);
}

/* A node by hand: a socket, and its id. */
static int join_by_hand(const char *name, uint64_t *node)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct wire_hello hello = { 0 };
	union wire_message answer;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_ok(fd);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", lib_socket);
	ck_assert_ok(connect(fd, (const void *)&address, sizeof(address)));
	wire_init(&hello.header, WIRE_HELLO, 1);
	name_to_field(hello.name, sizeof(hello.name), name);
	ck_assert_int_eq(send(fd, &hello, hello.header.size, MSG_NOSIGNAL), hello.header.size);
	/* its descriptors are not wanted: without room for them they are closed */
	ck_assert_int_eq(recv(fd, &answer, sizeof(answer), 0), sizeof(answer.welcome));
	ck_assert_int_eq(answer.header.type, WIRE_WELCOME);
	*node = answer.welcome.node;
	expect_join(*node, getpid(), name);
	return fd;
}

/* HELLO a second time. */
static void break_the_protocol(void)
{
	struct wire_hello hello = { 0 };
	uint64_t node;
	int fd = join_by_hand("hostile", &node);
	char rest[WIRE_MESSAGE_MAX];

	wire_init(&hello.header, WIRE_HELLO, 2);
	ck_assert_int_eq(send(fd, &hello, hello.header.size, MSG_NOSIGNAL), hello.header.size);
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
	close(fd);
	expect_refusal(getpid(), -EPROTO, "");
	expect_end(node, getpid(), ZCP_CAUSE_EVICTED, 0);
}

/* How many lines there are of @probe until now. */
static int n_told(const char *probe)
{
	char part[64], *text = file_contents(trace_out);
	int n = 0;

	snprintf(part, sizeof(part), "\"probe\":\"%s\"", probe);
	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	free(text);
	return n;
}

static int n_expected_of(const char *probe)
{
	int n = 0;

	for (int i = 0; i < n_expected; i++)
		n += !strcmp(expected[i].probe, probe);
	return n;
}

/* The router gives it until its next scan. */
static void hang_up(void)
{
	uint64_t node;

	close(join_by_hand("quitter", &node));
	expect_end(node, getpid(), ZCP_CAUSE_LEFT, 0);
	ck_assert_within(n_told("retire") == n_expected_of("retire"), DEADLINE_MS);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void be_one_too_many(const struct world *w)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .socket_path = lib_socket };
	const struct zcp_subscriber_options options = { .sz = sizeof(options) };
	const struct zcp_topic long_name = { "service", "instance", "another" };
	zcp_subscriber *subscriber;
	zcp_node *nodes[2], *node;

	for (int i = 0; i < 2; i++) {
		nodes[i] = lib_node("guest");
		expect_join(zcp_node_id(nodes[i]), getpid(), "guest");
	}
	fails(zcp_node_open(&node, "one too many", &node_options), -EDQUOT, "--max-nodes-per-uid");
	expect_quota("nodes", MAX_NODES);
	expect_refusal(getpid(), -EDQUOT, "--max-nodes-per-uid");
	for (int i = 0; i < 2; i++) {
		expect_end(zcp_node_id(nodes[i]), getpid(), ZCP_CAUSE_CLOSED, 0);
		zcp_node_close(nodes[i]);
	}
	fails(zcp_subscriber_open(&subscriber, w->node, &long_name, &options), -EDQUOT, "--max-endpoints-per-uid");
	expect_quota("endpoints", MAX_ENDPOINTS);
	expect_refusal(getpid(), -EDQUOT, "--max-endpoints-per-uid");
}

/* More connections than a user may have, none of which says a word: the last is turned away at the door. */
static void knock_too_often(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fds[MAX_NODES + 16 + 1], n = 0;
	char text[WIRE_MESSAGE_MAX];

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", lib_socket);
	/* three nodes are there */
	for (; n < MAX_NODES + 16 - 3 + 1; n++) {
		fds[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		ck_assert_ok(fds[n]);
		ck_assert_ok(connect(fds[n], (const void *)&address, sizeof(address)));
	}
	ck_assert_int_gt(recv(fds[n - 1], text, sizeof(text), 0), 0);
	expect_quota("connections", MAX_NODES + 16);
	expect_refusal(getpid(), -EDQUOT, "connections");
	while (n)
		close(fds[--n]);
}

/* The router has no descriptor left for who knocks. It needs one on epoll; on io_uring its table of connections would have to be full. */
static void knock_at_a_full_router(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct rlimit limit = { 0 };
	union wire_message answer;
	char path[64];

	/* so that it has no number left but the one that it keeps for this */
	do
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)lib_router, (int)limit.rlim_cur++);
	while (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	limit.rlim_max = --limit.rlim_cur;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", lib_socket);
	ck_assert_ok(prlimit(lib_router, RLIMIT_NOFILE, &limit, NULL));
	ck_assert_ok(connect(fd, (const void *)&address, sizeof(address)));
	ck_assert_int_eq(recv(fd, &answer, sizeof(answer), 0), sizeof(answer.error));
	ck_assert_int_eq(answer.header.type, WIRE_ERROR);
	ck_assert_int_eq(answer.error.error, -EMFILE);
	close(fd);
	expect_refusal(getpid(), -EMFILE, "RLIMIT_NOFILE");
}

/* --- all of it ------------------------------------------------------------------------------------ */

/* All three come back, in whatever order; lib_router_again() looks in as "first". */
static void restart(const struct world *w)
{
	lib_router_kill(SIGKILL);
	ck_assert_within(file_says(trace_err, "the router is gone"), DEADLINE_MS);
	lib_router_again();
	expect_join(0, getpid(), "first");
	expect_end(0, getpid(), ZCP_CAUSE_CLOSED, 0);
	expect_return(zcp_node_id(w->node), getpid(), 1);
	expect_return(w->stage->at[FIRST], w->reader, 1);
	expect_return(0, trace_pid(), 0);
	ck_assert_within(n_told("resume") == 3 && n_told("retire") == n_expected_of("retire"), DEADLINE_MS);
}

START_TEST(router_tells_what_it_does)
{
	static const char *const arguments[] = { "--max-nodes-per-uid", "5", "--max-endpoints-per-uid", "2", NULL };
	static const char *const arguments_of_the_next[] = { "--loop", "epoll", NULL };
	struct world w;
	int n_ordered;
	json_t *all;

	lib_router_arguments = arguments;
	w = world_begin(stay, NULL);
	trace("events", "-k", "join,refuse,retire,quota,resume");
	be_one_too_many(&w);
	end(SIGKILL, SIGKILL);
	end(103, 3 << 8);
	break_the_protocol();
	hang_up();
	knock_too_often();
	n_ordered = n_expected;
	lib_router_arguments = arguments_of_the_next;
	restart(&w);
	knock_at_a_full_router();
	ck_assert_within(n_told("refuse") >= n_expected_of("refuse"), DEADLINE_MS);
	all = trace_lines();
	check_summary(all);
	check_lines(all, n_ordered);
	json_decref(all);
	process_kill(w.reader);
	world_end(&w);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-router");

	trace_skip();
	add(suite, "router", router_tells_what_it_does);
	return run_suite(suite);
}
