/* SPDX-License-Identifier: MIT */
/*
 * Clients, servers and the router end in the midst of requests: every request ends exactly once all the same, and nothing
 * is left behind.
 */
#include "call-helper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/node.h"

#define READY 0		/* stages */
#define GO 1
#define STOP 2
#define COUNT 3

/* What the router has, seen by @n, which is there anyway. */
static bool has_rows(const zcp_node *n, uint32_t nodes, uint32_t endpoints, uint32_t matches)
{
	const struct directory_header *h = n->directory.header;

	return atomic_load(&h->n_nodes) == nodes && atomic_load(&h->n_endpoints) == endpoints && atomic_load(&h->n_matches) == matches;
}

/* --- servers that end ----------------------------------------------------------------------------- */

enum ending { KILLED, CRASHES, EXITS, CLOSES, N_ENDINGS };

/* Answers the first two of five requests, holds one, leaves two where they are; then it ends. */
static void end_in_the_midst(struct stage *stage)
{
	zcp_node *node = lib_node("victim");
	zcp_server *server = open_server(node, NULL);
	struct zcp_request request;

	stage_set(stage, READY, 1);
	for (int i = 0; i < 3; i++) {
		take_request(server, &request);
		if (i == 2)
			break;
		ok(zcp_request_reply(&request, "answer", 6));
		zcp_request_release(&request);
	}
	stage_set(stage, READY, 2);
	stage_wait(stage, GO, 1);
	switch (atomic_load(&stage->at[COUNT])) {
	case CRASHES:
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		break;
	case EXITS:
		_exit(0);
	case CLOSES:
		zcp_server_close(server);
		stage_wait(stage, STOP, 1);
		zcp_request_release(&request);
		zcp_node_close(node);
		_exit(0);
	default:
		pause();
	}
}

START_TEST(server_ends)
{
	struct stage *stage = stage_new();
	struct zcp_response response;
	unsigned int ended[5] = { 0 };
	zcp_client *client;
	zcp_node *node;
	uint64_t id[5];
	pid_t pid;

	stage->at[COUNT] = (uint64_t)_i;
	lib_router_start();
	pid = process_start(end_in_the_midst, stage);
	stage_wait(stage, READY, 1);
	node = lib_node("client");
	client = open_client(node, NULL);
	for (int i = 0; i < 5; i++)
		ok(zcp_client_send(client, "question", 8, &id[i]));
	stage_wait(stage, READY, 2);
	stage_set(stage, GO, 1);
	if (_i == KILLED)
		process_kill(pid);
	for (int i = 0; i < 5; i++) {
		int k = 0;

		take_response(client, &response);
		while (k < 5 && id[k] != response.id)
			k++;
		ck_assert_int_lt(k, 5);
		ended[k]++;
		/* what it said before it ended comes first */
		ck_assert_int_eq(k < 2, i < 2);
		ck_assert_int_eq(response.status, k < 2 ? 0 : -EPIPE);
		zcp_response_release(&response);
	}
	for (int k = 0; k < 5; k++)
		ck_assert_uint_eq(ended[k], 1);
	fails(zcp_client_take(client, &response), -EAGAIN, "no response");
	ck_assert_int_eq(ok(zcp_client_servers(client)), 0);
	fails(zcp_client_send(client, "?", 1, &id[0]), -ENOTCONN, "no server");
	stage_set(stage, STOP, 1);
	if (_i == CLOSES)
		process_expect_success(pid);
	ck_assert_within(has_rows(node, 1, 1, 0), DEADLINE_MS);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

static void take_and_hang(struct stage *stage)
{
	zcp_node *node = lib_node("victim");
	zcp_server *server = open_server(node, NULL);
	struct zcp_request request;

	stage_set(stage, READY, 1);
	take_request(server, &request);
	stage_set(stage, READY, 2);
	pause();
}

static void kill_when_ready(struct stage *stage)
{
	stage_wait(stage, READY, 2);
	kill((pid_t)stage->at[COUNT], SIGKILL);
}

/* A blocking call ends at once, too, and a call waits for the next server. */
START_TEST(call_is_cut_off)
{
	struct zcp_client_options co = { .wait_for_server = true };
	struct stage *stage = stage_new();
	struct zcp_sample response;
	pid_t server, killer;
	zcp_client *client;
	zcp_node *node;

	lib_router_start();
	server = process_start(take_and_hang, stage);
	stage->at[COUNT] = (uint64_t)server;
	killer = process_start(kill_when_ready, stage);
	stage_wait(stage, READY, 1);
	node = lib_node("client");
	client = open_client(node, &co);
	fails(zcp_client_call(client, "?", 1, &response, -1), -EPIPE, "before it answered");
	fails(zcp_client_call(client, "?", 1, &response, SECOND / 20), -ETIMEDOUT, "no server");
	process_expect_success(killer);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- clients that end ----------------------------------------------------------------------------- */

static void ask_and_end(struct stage *stage)
{
	zcp_node *node = lib_node("victim");
	zcp_client *client = open_client(node, &(struct zcp_client_options){ .wait_for_server = true });
	uint64_t id;

	ok(zcp_client_connect(client, 1, 20 * SECOND));
	for (int i = 0; i < 5; i++)
		ok(zcp_client_send(client, "question", 8, &id));
	stage_set(stage, READY, 1);
	if (stage->at[COUNT] == CLOSES) {
		stage_wait(stage, GO, 1);
		zcp_client_close(client);
		zcp_node_close(node);
		_exit(0);
	}
	pause();
}

/* Whether the server knows that who has asked is gone. */
static bool asker_is_gone(struct zcp_request *request)
{
	void *payload;
	int r = zcp_request_loan(request, 1, &payload);

	if (r == 0)
		ok(zcp_request_discard(request, payload));
	return r == -EPIPE;
}

START_TEST(client_ends)
{
	struct stage *stage = stage_new();
	struct zcp_request request[5];
	zcp_server *server;
	int fds, own_fds;
	zcp_node *node;
	void *payload;
	pid_t pid;

	stage->at[COUNT] = _i ? CLOSES : KILLED;
	lib_router_start();
	pid = process_start(ask_and_end, stage);
	node = lib_node("server");
	ck_assert_within(has_rows(node, 2, 1, 0), DEADLINE_MS);
	fds = process_fds(lib_router);
	server = open_server(node, NULL);
	own_fds = process_fds(getpid());
	for (int i = 0; i < 4; i++)
		take_request(server, &request[i]);
	ok(zcp_request_reply(&request[0], "1", 1));
	ok(zcp_request_loan(&request[1], 100, &payload));
	stage_wait(stage, READY, 1);
	stage_set(stage, GO, 1);
	if (_i)
		process_expect_success(pid);
	else
		process_kill(pid);
	/* what it asked before is there to be taken; answers go nowhere, and that is said */
	take_request(server, &request[4]);
	ck_assert_within(asker_is_gone(&request[4]), DEADLINE_MS);
	ck_assert_int_eq(ok(zcp_server_clients(server)), 0);
	fails(zcp_request_reply(&request[4], "5", 1), -EPIPE, "gone");
	fails(zcp_request_loan(&request[3], 1, &payload), -EPIPE, "gone");
	fails(zcp_request_send(&request[1], payload, 1, 0), -EPIPE, "gone");
	ck_assert_mem_eq(request[4].data, "question", 8);
	for (int i = 0; i < 5; i++)
		zcp_request_release(&request[i]);
	ck_assert_int_eq(ok(zcp_server_clients(server)), 0);
	/* a loan that nobody ended keeps its connection; all else is given back */
	ck_assert_within(has_rows(node, 1, 2, 0), DEADLINE_MS);
	zcp_server_close(server);
	ck_assert_within(has_rows(node, 1, 0, 0), DEADLINE_MS);
	ck_assert_within(process_fds(lib_router) < fds, DEADLINE_MS);
	ck_assert_int_lt(process_fds(getpid()), own_fds);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Requests and responses in hand outlive everything. */
START_TEST(held_beyond_close)
{
	struct zcp_response response;
	struct zcp_request request[2];
	zcp_server *server;
	zcp_client *client;
	zcp_node *n, *m;
	int fds, before;
	uint64_t id;

	lib_router_start();
	before = process_fds(getpid());
	n = lib_node("server");
	m = lib_node("client");
	fds = process_fds(getpid());
	server = open_server(n, NULL);
	client = open_client(m, NULL);
	for (int i = 0; i < 2; i++)
		ok(zcp_client_send(client, "question of some length, so that it lies in a chunk of memory, and not in the ring", 80, &id));
	take_request(server, &request[0]);
	take_request(server, &request[1]);
	ok(zcp_request_reply(&request[0], "answer of some length, so that it lies in a chunk of memory, and not in the ring", 80));
	take_response(client, &response);
	if (_i) {
		zcp_client_close(client);
		zcp_server_close(server);
		fails(zcp_request_reply(&request[1], "?", 1), -EPIPE, "closed");
	}
	zcp_node_close(m);
	zcp_node_close(n);
	ck_assert_mem_eq(request[0].data, "question", 8);
	ck_assert_mem_eq(response.data, "answer", 6);
	zcp_response_release(&response);
	ck_assert_mem_eq(request[1].data, "question", 8);
	zcp_request_release(&request[1]);
	zcp_request_release(&request[0]);
	ck_assert_int_lt(process_fds(getpid()), fds);
	ck_assert_within(process_fds(getpid()) == before, DEADLINE_MS);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------------- */

START_TEST(forked)
{
	struct zcp_response response;
	struct zcp_request request, another;
	struct zcp_sample sample;
	zcp_server *server;
	zcp_client *client;
	int before, fds;
	void *payload;
	zcp_node *n;
	uint64_t id;
	pid_t pid;

	lib_router_start();
	before = process_fds(getpid());
	n = lib_node("n");
	server = open_server(n, NULL);
	client = open_client(n, NULL);
	ok(zcp_client_send(client, "q", 1, &id));
	take_request(server, &request);
	fds = process_fds(getpid());
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		fails(zcp_client_send(client, "q", 1, &id), -EOWNERDEAD, "fork");
		fails(zcp_client_call(client, "q", 1, &sample, 0), -EOWNERDEAD, "fork");
		fails(zcp_client_loan(client, 1, &payload), -EOWNERDEAD, "fork");
		fails(zcp_client_send_timeout(client, "q", 1, &id, -1), -EOWNERDEAD, "fork");
		fails(zcp_client_forget(client, id), -EOWNERDEAD, "fork");
		fails(zcp_client_take(client, &response), -EOWNERDEAD, "fork");
		fails(zcp_client_wait(client, 0), -EOWNERDEAD, "fork");
		fails(zcp_client_fd(client), -EOWNERDEAD, "fork");
		fails(zcp_client_servers(client), -EOWNERDEAD, "fork");
		fails(zcp_client_connect(client, 1, 0), -EOWNERDEAD, "fork");
		fails(zcp_server_take(server, &another), -EOWNERDEAD, "fork");
		fails(zcp_server_wait(server, 0), -EOWNERDEAD, "fork");
		fails(zcp_server_fd(server), -EOWNERDEAD, "fork");
		fails(zcp_server_clients(server), -EOWNERDEAD, "fork");
		fails(zcp_request_reply(&request, "a", 1), -EOWNERDEAD, "fork");
		fails(zcp_request_loan(&request, 1, &payload), -EOWNERDEAD, "fork");
		zcp_request_release(&request);
		zcp_client_close(client);
		zcp_server_close(server);
		zcp_node_close(n);
		ck_assert_int_eq(process_fds(getpid()), before);
		_exit(0);
	}
	process_expect_success(pid);
	ck_assert_int_eq(process_fds(getpid()), fds);
	ok(zcp_request_reply(&request, "a", 1));
	zcp_request_release(&request);
	take_response(client, &response);
	ck_assert_uint_eq(response.id, id);
	ck_assert_int_eq(response.status, 0);
	zcp_response_release(&response);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- the router ends ------------------------------------------------------------------------------ */

static void serve_until_stopped(struct stage *stage)
{
	zcp_node *node = lib_node("server");
	zcp_server *server = open_server(node, NULL);
	struct zcp_request request;

	stage_set(stage, READY, 1);
	while (!stage->at[STOP]) {
		uint64_t number;

		if (zcp_server_wait(server, SECOND / 20) < 0 || zcp_server_take(server, &request) < 0)
			continue;
		number = number_of(request.data) + 1;
		ok(zcp_request_reply(&request, &number, sizeof(number)));
		zcp_request_release(&request);
	}
	zcp_node_close(node);
}

static void call_until_stopped(struct stage *stage)
{
	zcp_node *node = lib_node("client");
	zcp_client *client = open_client(node, &(struct zcp_client_options){ .wait_for_server = true });
	struct zcp_sample response;

	for (uint64_t i = 0; !stage->at[STOP + 5]; i++) {
		ok(zcp_client_call(client, &i, sizeof(i), &response, 20 * SECOND));
		ck_assert_uint_eq(number_of(response.data), i + 1);
		zcp_sample_release(&response);
		stage_set(stage, COUNT, i + 1);
		if (i % 50 == 0)
			usleep(500);
	}
	zcp_node_close(node);
}

/* Calls go on while the router is killed and started again and again; newcomers find everybody afterwards. */
START_TEST(router_restarts)
{
	struct stage *stage = stage_new();
	struct zcp_sample response;
	pid_t server, client;
	zcp_client *newcomer;
	uint64_t number = 41;
	zcp_node *node;

	lib_router_start();
	server = process_start(serve_until_stopped, stage);
	stage_wait(stage, READY, 1);
	client = process_start(call_until_stopped, stage);
	stage_wait(stage, COUNT, 1);
	for (int i = 0; i < 6; i++) {
		usleep((useconds_t)(rand() % 40000));
		lib_router_kill(_i ? SIGTERM : SIGKILL);
		stage_wait(stage, COUNT, stage->at[COUNT] + 10);
		lib_router_again();
		stage_wait(stage, COUNT, stage->at[COUNT] + 10);
	}
	node = lib_node("newcomer");
	/* two subscribers and their channels */
	ck_assert_within(has_rows(node, 3, 4, 2), DEADLINE_MS);
	newcomer = open_client(node, NULL);
	ok(zcp_client_call(newcomer, &number, sizeof(number), &response, 20 * SECOND));
	ck_assert_uint_eq(number_of(response.data), 42);
	zcp_sample_release(&response);
	stage_set(stage, STOP + 5, 1);
	process_expect_success(client);
	stage_set(stage, STOP, 1);
	process_expect_success(server);
	/* a channel to nobody is given back when its owner comes by */
	ck_assert_within(zcp_client_servers(newcomer) == 0 && has_rows(node, 1, 1, 0), DEADLINE_MS);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

/* The server dies while there is no router; the next one finds out. */
START_TEST(server_dies_without_router)
{
	struct stage *stage = stage_new();
	struct zcp_response response;
	zcp_client *client;
	zcp_node *node;
	uint64_t id;
	pid_t pid;

	lib_router_start();
	pid = process_start(take_and_hang, stage);
	stage_wait(stage, READY, 1);
	node = lib_node("client");
	client = open_client(node, NULL);
	ok(zcp_client_send(client, "?", 1, &id));
	stage_wait(stage, READY, 2);
	lib_router_kill(SIGKILL);
	process_kill(pid);
	lib_router_again();
	take_response(client, &response);
	ck_assert_uint_eq(response.id, id);
	ck_assert_int_eq(response.status, -EPIPE);
	zcp_response_release(&response);
	ck_assert_within(zcp_client_servers(client) == 0 && has_rows(node, 1, 1, 0), DEADLINE_MS);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-call-ends");
	TCase *ends = add_test_case(suite, "ends", 60);
	TCase *router = add_test_case(suite, "router", 60);

	tcase_add_loop_test(ends, server_ends, 0, N_ENDINGS);
	tcase_add_test(ends, call_is_cut_off);
	tcase_add_loop_test(ends, client_ends, 0, 2);
	tcase_add_loop_test(ends, held_beyond_close, 0, 2);
	tcase_add_test(ends, forked);
	tcase_add_loop_test(router, router_restarts, 0, 2);
	tcase_add_test(router, server_dies_without_router);
	return run_suite(suite);
}
