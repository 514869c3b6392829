/* SPDX-License-Identifier: MIT */
/*
 * Requests and responses through the public API: that they go to and fro whole and to the right one, and that each request
 * ends exactly once. What happens when one of the two dies, or the router, is in test-lib-call-ends.c.
 */
#include "call-helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t sizes[] = { 8, 40, 64, 104, 192, 232, 233, 5000, 1 << 20 };
#define N_SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

/* A payload that says its number in every word. */
static void fill(void *data, size_t size, uint64_t number)
{
	for (size_t i = 0; i + 8 <= size; i += 8)
		memcpy((char *)data + i, &number, 8);
}

static bool holds(const void *data, size_t size, uint64_t number)
{
	for (size_t i = 0; i + 8 <= size; i += 8)
		if (number_of((const char *)data + i) != number)
			return false;
	return true;
}

static zcp_node *n, *m;

static void start(void)
{
	lib_router_start();
	n = lib_node("server");
	m = lib_node("client");
}

static void stop(void)
{
	zcp_node_close(m);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}

/* --- to and fro ----------------------------------------------------------------------------------- */

/* Of each size, copied and by loan, several under way, answered out of order. */
START_TEST(all_sizes)
{
	struct zcp_server_options so = { .payload_max = sizes[_i] };
	struct zcp_client_options co = { .payload_max = sizes[_i] };
	unsigned char *data = malloc(sizes[_i]);
	struct zcp_request request[4];
	struct zcp_response response;
	zcp_server *server;
	zcp_client *client;
	uint64_t id[4];
	void *payload;

	start();
	server = open_server(n, &so);
	client = open_client(m, &co);
	ck_assert_int_eq(ok(zcp_client_servers(client)), 1);
	for (uint64_t round = 0; round < 50; round++) {
		size_t size = round % 3 ? sizes[_i] : 8;

		for (uint64_t i = 0; i < 4; i++) {
			if (i % 2) {
				ok(zcp_client_loan(client, size, &payload));
				fill(payload, size, round * 4 + i);
				ok(zcp_client_send_loan(client, payload, size, &id[i]));
			} else {
				fill(data, size, round * 4 + i);
				ok(zcp_client_send(client, data, size, &id[i]));
			}
		}
		for (uint64_t i = 0; i < 4; i++) {
			take_request(server, &request[i]);
			ck_assert_uint_eq(request[i].id, id[i]);
			ck_assert_uint_eq(request[i].size, size);
			ck_assert(holds(request[i].data, size, round * 4 + i));
			ck_assert_uint_eq(request[i].client, zcp_client_id(client));
			ck_assert_uint_eq(request[i].flags, 0);
			ck_assert_int_eq(request[i].deadline_ns, 0);
		}
		for (int i = 3; i >= 0; i--) {
			if (i % 2) {
				ok(zcp_request_loan(&request[i], size, &payload));
				fill(payload, size, ~request[i].id);
				ok(zcp_request_send(&request[i], payload, size, 0));
			} else {
				fill(data, size, ~request[i].id);
				ok(zcp_request_reply(&request[i], data, size));
			}
			zcp_request_release(&request[i]);
			ck_assert_ptr_null(request[i].data);
		}
		for (int i = 3; i >= 0; i--) {
			take_response(client, &response);
			ck_assert_uint_eq(response.id, id[i]);
			ck_assert_int_eq(response.status, 0);
			ck_assert_uint_eq(response.flags, 0);
			ck_assert_uint_eq(response.server, zcp_server_id(server));
			ck_assert_uint_eq(response.size, size);
			ck_assert(holds(response.data, size, ~id[i]));
			zcp_response_release(&response);
			ck_assert_ptr_null(response.data);
		}
		fails(zcp_client_take(client, &response), -EAGAIN, "no response");
		fails(zcp_server_take(server, &request[0]), -EAGAIN, "no request");
	}
	free(data);
	zcp_client_close(client);
	ck_assert_within(zcp_server_clients(server) == 0, DEADLINE_MS);
	zcp_server_close(server);
	stop();
}
END_TEST

#define CALLS 2000

static void serve(struct stage *stage)
{
	zcp_node *node = lib_node("server");
	zcp_server *server = open_server(node, &(struct zcp_server_options){ .payload_max = 5000 });
	struct zcp_request request;

	stage_set(stage, 0, 1);
	while (!stage->at[1]) {
		unsigned char data[5000];

		if (zcp_server_wait(server, SECOND / 20) < 0 || zcp_server_take(server, &request) < 0)
			continue;
		ck_assert(holds(request.data, request.size, number_of(request.data)));
		fill(data, request.size, number_of(request.data) + 1);
		ok(zcp_request_reply(&request, data, request.size));
		zcp_request_release(&request);
	}
	zcp_node_close(node);
}

/* The same between processes, by blocking calls. */
START_TEST(calls)
{
	struct stage *stage = stage_new();
	struct zcp_sample response;
	unsigned char data[4000];
	zcp_client *client;
	zcp_node *node;
	pid_t pid;

	lib_router_start();
	pid = process_start(serve, stage);
	stage_wait(stage, 0, 1);
	node = lib_node("client");
	client = open_client(node, NULL);
	for (uint64_t i = 0; i < CALLS; i++) {
		size_t size = i % 5 ? 64 : sizeof(data);

		fill(data, size, i);
		ok(zcp_client_call(client, data, size, &response, 20 * SECOND));
		ck_assert_uint_eq(response.size, size);
		ck_assert(holds(response.data, size, i + 1));
		ck_assert_ptr_null(response.header);
		zcp_sample_release(&response);
	}
	stage_set(stage, 1, 1);
	process_expect_success(pid);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

static void call_without_thread(struct stage *stage)
{
	struct zcp_client_options o = { .wait_for_server = true };
	zcp_node *node = lib_node_without_thread("client");
	zcp_client *client = open_client(node, &o);
	struct zcp_sample response;

	for (uint64_t i = 0; i < 100; i++) {
		ok(zcp_client_call(client, &i, sizeof(i), &response, 20 * SECOND));
		ck_assert_uint_eq(number_of(response.data), i + 1);
		zcp_sample_release(&response);
	}
	stage_set(stage, 1, 1);
	zcp_node_close(node);
}

/* Nodes whose owner dispatches, client first. */
START_TEST(without_threads)
{
	struct stage *stage = stage_new();
	struct zcp_request request;
	zcp_server *server;
	zcp_node *node;
	pid_t pid;

	lib_router_start();
	pid = process_start(call_without_thread, stage);
	node = lib_node_without_thread("server");
	server = open_server(node, NULL);
	while (!stage->at[1]) {
		uint64_t number;

		if (zcp_server_wait(server, SECOND / 20) < 0 || zcp_server_take(server, &request) < 0)
			continue;
		number = number_of(request.data) + 1;
		ok(zcp_request_reply(&request, &number, sizeof(number)));
		zcp_request_release(&request);
	}
	process_expect_success(pid);
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(streams_of_responses)
{
	struct zcp_server_options so = { .depth = 200 };
	struct zcp_client_options co = { .max_held = 200 };
	struct zcp_response response[101];
	struct zcp_request request;
	struct zcp_sample sample;
	zcp_server *server;
	zcp_client *client;
	uint64_t id, other;

	start();
	server = open_server(n, &so);
	client = open_client(m, &co);
	ok(zcp_client_send(client, "?", 1, &id));
	take_request(server, &request);
	for (uint64_t i = 0; i < 100; i++)
		ok(zcp_request_reply_with(&request, &i, sizeof(i), ZCP_MORE));
	ok(zcp_request_reply(&request, "end", 3));
	fails(zcp_request_reply(&request, "more", 4), -EALREADY, "ZCP_MORE");
	fails(zcp_request_reply_with(&request, "more", 4, ZCP_MORE), -EALREADY, "ZCP_MORE");
	zcp_request_release(&request);
	for (uint64_t i = 0; i <= 100; i++) {
		take_response(client, &response[i]);
		ck_assert_uint_eq(response[i].id, id);
		ck_assert_uint_eq(response[i].flags, i < 100 ? ZCP_MORE : 0);
		if (i < 100)
			ck_assert_uint_eq(number_of(response[i].data), i);
	}
	for (int i = 0; i <= 100; i++)
		zcp_response_release(&response[i]);

	/* a call takes the first and leaves the rest; what comes for others is kept */
	ok(zcp_client_send(client, "a", 1, &other));
	take_request(server, &request);
	ok(zcp_request_reply(&request, "for a", 5));
	zcp_request_release(&request);
	fails(zcp_client_call(client, "b", 1, &sample, 0), -ETIMEDOUT, "in time");
	take_request(server, &request);
	ck_assert_int_eq(*(const char *)request.data, 'b');
	/* too late, and nobody asks any more */
	ok(zcp_request_reply(&request, "for b", 5));
	zcp_request_release(&request);
	ok(zcp_client_wait(client, 0));
	take_response(client, &response[0]);
	ck_assert_uint_eq(response[0].id, other);
	ck_assert_mem_eq(response[0].data, "for a", 5);
	zcp_response_release(&response[0]);
	fails(zcp_client_take(client, &response[0]), -EAGAIN, "no response");
	fails(zcp_client_wait(client, 0), -ETIMEDOUT, "in time");
	stop();
}
END_TEST

START_TEST(one_way_and_unanswered)
{
	struct zcp_request request;
	struct zcp_response response;
	zcp_server *server;
	zcp_client *client;
	void *payload;
	uint64_t id;

	start();
	server = open_server(n, NULL);
	client = open_client(m, &(struct zcp_client_options){ .max_pending = 2 });
	/* one-way requests are not under way, however many there are; answers to them go nowhere */
	for (int i = 0; i < 10; i++) {
		ok(zcp_client_send(client, "note", 4, NULL));
		take_request(server, &request);
		ck_assert_uint_eq(request.flags, ZCP_ONE_WAY);
		if (i % 3 == 0)
			ok(zcp_request_reply(&request, "?", 1));
		if (i % 3 == 1) {
			ok(zcp_request_loan(&request, 10, &payload));
			ok(zcp_request_send(&request, payload, 10, 0));
		}
		if (i % 3 < 2)
			fails(zcp_request_reply(&request, "?", 1), -EALREADY, "last response");
		zcp_request_release(&request);
	}
	fails(zcp_client_take(client, &response), -EAGAIN, "no response");

	/* a request that is released without an answer ends all the same */
	ok(zcp_client_send(client, "question", 8, &id));
	take_request(server, &request);
	zcp_request_release(&request);
	take_response(client, &response);
	ck_assert_uint_eq(response.id, id);
	ck_assert_int_eq(response.status, -ENODATA);
	ck_assert_ptr_null(response.data);
	ck_assert_uint_eq(response.size, 0);
	zcp_response_release(&response);
	stop();
}
END_TEST

START_TEST(deadlines)
{
	struct zcp_client_options co = { .timeout = 30000000 };
	struct zcp_request request;
	struct zcp_response response;
	zcp_server *server;
	zcp_client *client;
	int64_t before = now_ns();
	uint64_t id;

	start();
	server = open_server(n, NULL);
	client = open_client(m, &co);
	ok(zcp_client_send(client, "a", 1, &id));
	take_request(server, &request);
	ck_assert_int_ge(request.deadline_ns, before + co.timeout);
	if (now_ns() < request.deadline_ns)
		ck_assert_uint_eq(request.flags, 0);
	zcp_request_release(&request);
	take_response(client, &response);
	ck_assert(response.status == -ENODATA || response.status == -ETIMEDOUT);
	zcp_response_release(&response);

	/* nobody answers: by waiting, and by polling a descriptor */
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = i ? (int)ok(zcp_client_fd(client)) : -1, .events = POLLIN };

		if (i)
			fails(zcp_client_take(client, &response), -EAGAIN, "no response");
		before = now_ns();
		ok(zcp_client_send(client, "b", 1, &id));
		if (i)
			ck_assert_int_eq(poll(&p, 1, DEADLINE_MS), 1);
		take_response(client, &response);
		ck_assert_uint_eq(response.id, id);
		ck_assert_int_eq(response.status, -ETIMEDOUT);
		ck_assert_int_ge(now_ns(), before + co.timeout);
		zcp_response_release(&response);
		take_request(server, &request);
		ck_assert_uint_eq(request.flags, ZCP_EXPIRED);
		ok(zcp_request_reply(&request, "late", 4));
		zcp_request_release(&request);
		fails(zcp_client_take(client, &response), -EAGAIN, "no response");
	}
	stop();
}
END_TEST

/* A request with a time of its own, and one that is given up: it leaves its place, and no answer is heard. */
START_TEST(forgotten)
{
	struct zcp_client_options co = { .timeout = 1, .max_pending = 1 };
	struct zcp_request request, second;
	struct zcp_response response;
	zcp_server *server;
	zcp_client *client;
	uint64_t id, next;
	int64_t before;

	start();
	server = open_server(n, NULL);
	client = open_client(m, &co);
	ok(zcp_client_send_timeout(client, "a", 1, &id, -1));
	take_request(server, &request);
	ck_assert_int_eq(request.deadline_ns, 0);
	fails(zcp_client_send_timeout(client, "b", 1, &next, -1), -ENOBUFS, "max_pending");
	ok(zcp_request_reply_with(&request, "first", 5, ZCP_MORE));
	take_response(client, &response);
	ck_assert_uint_eq(response.id, id);
	zcp_response_release(&response);

	ok(zcp_client_forget(client, id));
	fails(zcp_client_forget(client, id), -ENOENT, "under way");
	fails(zcp_client_forget(client, 0), -ENOENT, "under way");
	ok(zcp_request_reply(&request, "last", 4));
	zcp_request_release(&request);
	before = now_ns();
	ok(zcp_client_send_timeout(client, "b", 1, &next, 20000000));
	ck_assert_uint_ne(id, next);
	take_request(server, &second);
	ck_assert_int_ge(second.deadline_ns, before + 20000000);
	take_response(client, &response);
	ck_assert_uint_eq(response.id, next);
	ck_assert_int_eq(response.status, -ETIMEDOUT);
	ck_assert_int_ge(now_ns(), before + 20000000);
	zcp_response_release(&response);
	fails(zcp_client_forget(client, next), -ENOENT, "under way");
	zcp_request_release(&second);
	stop();
}
END_TEST

/* --- who is asked --------------------------------------------------------------------------------- */

/* No client gets what another one asked for. */
START_TEST(clients_apart)
{
	enum { CLIENTS = 20 };
	struct zcp_request request;
	struct zcp_response response;
	zcp_client *client[CLIENTS];
	zcp_server *server;
	uint64_t id[CLIENTS];

	start();
	/* those that come first are connected when the server is there */
	for (int i = 0; i < CLIENTS / 2; i++)
		client[i] = open_client(m, NULL);
	fails(zcp_client_send(client[0], "?", 1, &id[0]), -ENOTCONN, "no server");
	fails(zcp_client_connect(client[0], 1, 0), -ETIMEDOUT, "no server");
	server = open_server(n, NULL);
	for (int i = CLIENTS / 2; i < CLIENTS; i++)
		client[i] = open_client(m, NULL);
	for (int i = 0; i < CLIENTS; i++)
		ck_assert_int_eq(ok(zcp_client_connect(client[i], 1, 10 * SECOND)), 1);
	ck_assert_within(zcp_server_clients(server) == CLIENTS, DEADLINE_MS);
	for (int round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < CLIENTS; i++)
			ok(zcp_client_send(client[i], &i, sizeof(i), &id[i]));
		for (int i = 0; i < CLIENTS; i++) {
			uint64_t number;

			take_request(server, &request);
			number = number_of(request.data);
			ck_assert_uint_lt(number, CLIENTS);
			ck_assert_uint_eq(request.client, zcp_client_id(client[number]));
			number += 1000;
			ok(zcp_request_reply(&request, &number, sizeof(number)));
			zcp_request_release(&request);
		}
		for (uint64_t i = 0; i < CLIENTS; i++) {
			take_response(client[i], &response);
			ck_assert_uint_eq(response.id, id[i]);
			ck_assert_uint_eq(number_of(response.data), 1000 + i);
			zcp_response_release(&response);
			fails(zcp_client_take(client[i], &response), -EAGAIN, "no response");
		}
	}
	for (int i = 0; i < CLIENTS; i += 2)
		zcp_client_close(client[i]);
	ck_assert_within(zcp_server_clients(server) == CLIENTS / 2, DEADLINE_MS);
	stop();
}
END_TEST

/* Each request to exactly one server, and all get some. */
START_TEST(load_balanced)
{
	enum { SERVERS = 3, REQUESTS = 30 };
	struct zcp_server_options so = { .load_balanced = true, .max_held = REQUESTS };
	struct zcp_request request[REQUESTS];
	struct zcp_response response;
	zcp_server *server[SERVERS], *another;
	unsigned int n_taken = 0, answered[REQUESTS] = { 0 };
	zcp_client *client;
	uint64_t id;

	start();
	so.sz = sizeof(so);
	for (int i = 0; i < SERVERS; i++)
		server[i] = open_server(n, &so);
	fails(zcp_server_open(&another, n, &lib_topic, NULL), -EADDRINUSE, "load_balanced");
	client = open_client(m, NULL);
	ck_assert_int_eq(ok(zcp_client_servers(client)), SERVERS);
	for (uint64_t i = 0; i < REQUESTS; i++)
		ok(zcp_client_send(client, &i, sizeof(i), &id));
	for (int i = 0; i < SERVERS; i++) {
		unsigned int n_here = 0;

		for (; zcp_server_take(server[i], &request[n_taken]) == 0; n_here++) {
			ok(zcp_request_reply(&request[n_taken], request[n_taken].data, 8));
			n_taken++;
		}
		/* all are idle: in turn */
		ck_assert_uint_eq(n_here, REQUESTS / SERVERS);
	}
	ck_assert_uint_eq(n_taken, REQUESTS);
	for (int i = 0; i < REQUESTS; i++)
		zcp_request_release(&request[i]);
	for (int i = 0; i < REQUESTS; i++) {
		take_response(client, &response);
		answered[number_of(response.data)]++;
		zcp_response_release(&response);
	}
	for (int i = 0; i < REQUESTS; i++)
		ck_assert_uint_eq(answered[i], 1);

	/* one that is busy gets no more than the others */
	for (uint64_t i = 0; i < 9; i++)
		ok(zcp_client_send(client, &i, sizeof(i), &id));
	for (int i = 1; i < SERVERS; i++)
		while (zcp_server_take(server[i], &request[0]) == 0) {
			ok(zcp_request_reply(&request[0], "", 0));
			zcp_request_release(&request[0]);
		}
	for (int i = 0; i < 6; i++) {
		take_response(client, &response);
		zcp_response_release(&response);
	}
	for (uint64_t i = 0; i < 4; i++)
		ok(zcp_client_send(client, &i, sizeof(i), &id));
	for (n_taken = 0; zcp_server_take(server[0], &request[n_taken]) == 0;)
		n_taken++;
	ck_assert_uint_eq(n_taken, 3);
	for (unsigned int i = 0; i < n_taken; i++)
		zcp_request_release(&request[i]);
	stop();
}
END_TEST

START_TEST(one_server)
{
	struct zcp_server_options so = { .sz = sizeof(so), .load_balanced = true };
	zcp_server *server, *another;

	start();
	server = open_server(n, NULL);
	fails(zcp_server_open(&another, m, &lib_topic, NULL), -EADDRINUSE, "node server");
	fails(zcp_server_open(&another, m, &lib_topic, &so), -EADDRINUSE, "node server");
	ck_assert_ptr_null(another);
	zcp_server_close(server);
	ck_assert_within(zcp_server_open(&another, m, &lib_topic, &so) == 0, DEADLINE_MS);
	stop();
}
END_TEST

/* Publishers and subscribers of a topic of the same name are others. */
START_TEST(beside_other_roles)
{
	struct zcp_request request;
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_server *server;
	zcp_client *client;
	uint64_t id;

	start();
	s = lib_subscriber(n, NULL);
	server = open_server(n, NULL);
	client = open_client(m, NULL);
	p = lib_publisher(m, NULL);
	ck_assert_int_eq(ok(zcp_publisher_wait(p, 1, 10 * SECOND)), 1);
	ok(zcp_client_send(client, "request", 7, &id));
	ck_assert_int_eq(ok(lib_send(p, 5, 8)), 1);
	ck_assert_uint_eq(lib_receive(s), 5);
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "");
	take_request(server, &request);
	ck_assert_uint_eq(request.id, id);
	zcp_request_release(&request);
	stop();
}
END_TEST

START_TEST(types)
{
	struct zcp_server_options so = { .sz = sizeof(so), .request_type = { "q", 8, 8 }, .response_type = { "a", 16, 8 } };
	struct zcp_client_options co = { .sz = sizeof(co), .request_type = { "q", 8, 8 }, .response_type = { "a", 16, 8 } };
	zcp_client *client, *early;
	zcp_server *server;

	start();
	co.request_type.name = "x";
	ok(zcp_client_open(&early, m, &lib_topic, &co));
	ok(zcp_server_open(&server, n, &lib_topic, &so));
	/* the one that was there first hears why nobody comes */
	fails(zcp_client_connect(early, 1, SECOND / 5), -ETIMEDOUT, "requests are q");
	fails(zcp_client_open(&client, m, &lib_topic, &co), -EPROTOTYPE, "requests are q");
	co.request_type.name = "q";
	co.response_type.size = 24;
	fails(zcp_client_open(&client, m, &lib_topic, &co), -EPROTOTYPE, "responses are a");
	co.response_type.size = 16;
	ok(zcp_client_open(&client, m, &lib_topic, &co));
	ck_assert_int_eq(ok(zcp_client_servers(client)), 1);
	zcp_client_close(client);
	co.request_type.name = co.response_type.name = NULL;
	ok(zcp_client_open(&client, m, &lib_topic, &co));
	ck_assert_int_eq(ok(zcp_client_servers(client)), 1);
	stop();
}
END_TEST

/* --- limits and wrong use ------------------------------------------------------------------------- */

START_TEST(limits)
{
	struct zcp_server_options so = { .max_held = 2, .payload_max = 100, .depth = 3, .max_loans = 1 };
	struct zcp_client_options co = { .max_pending = 3, .max_held = 1, .payload_max = 100, .max_loans = 1 };
	struct zcp_response response, another;
	struct zcp_request request[3];
	zcp_server *server;
	zcp_client *client;
	uint64_t id[4];
	void *payload[2];
	char data[200];

	start();
	server = open_server(n, &so);
	client = open_client(m, &co);
	fails(zcp_client_send(client, data, 101, &id[0]), -EMSGSIZE, "payload_max");
	fails(zcp_client_loan(client, 101, &payload[0]), -EMSGSIZE, "payload_max");
	ok(zcp_client_loan(client, 50, &payload[0]));
	fails(zcp_client_loan(client, 50, &payload[1]), -ENOBUFS, "max_loans");
	fails(zcp_client_send_loan(client, data, 1, &id[0]), -EINVAL, "no open loan");
	fails(zcp_client_discard(client, data), -EINVAL, "no open loan");
	ok(zcp_client_discard(client, payload[0]));
	fails(zcp_client_send_loan(client, payload[0], 1, &id[0]), -EINVAL, "no open loan");
	memset(data, 0, sizeof(data));
	for (int i = 0; i < 3; i++)
		ok(zcp_client_send(client, data, 8, &id[i]));
	fails(zcp_client_send(client, data, 8, &id[3]), -ENOBUFS, "max_pending");
	fails(zcp_client_call(client, data, 8, &response.sample, 0), -ENOBUFS, "max_pending");

	take_request(server, &request[0]);
	take_request(server, &request[1]);
	fails(zcp_server_take(server, &request[2]), -ENOBUFS, "max_held");
	fails(zcp_server_wait(server, 0), -ENOBUFS, "max_held");
	fails(zcp_request_reply(&request[0], data, 101), -EMSGSIZE, "payload_max");
	fails(zcp_request_reply_with(&request[0], data, 1, 2), -EINVAL, "ZCP_MORE");
	ok(zcp_request_loan(&request[0], 8, &payload[0]));
	fails(zcp_request_loan(&request[1], 8, &payload[1]), -ENOBUFS, "max_loans");
	fails(zcp_request_send(&request[0], data, 8, 0), -EINVAL, "loan");
	fails(zcp_request_discard(&request[0], data), -EINVAL, "loan");
	ok(zcp_request_discard(&request[1], payload[0]));	/* the same client's */
	ok(zcp_request_reply(&request[0], data, 8));
	ok(zcp_request_reply(&request[1], data, 8));

	/* released, and a copy of what was released */
	request[2] = request[0];
	zcp_request_release(&request[0]);
	fails(zcp_request_reply(&request[0], data, 8), -EINVAL, "released");
	fails(zcp_request_reply(&request[2], data, 8), -EINVAL, "released");
	fails(zcp_request_loan(&request[2], 8, &payload[0]), -EINVAL, "released");
	fails(zcp_request_discard(&request[2], payload[0]), -EINVAL, "released");
	zcp_request_release(&request[2]);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "released before"));
	zcp_request_release(&request[0]);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "released before"));
	zcp_request_release(&request[1]);

	take_response(client, &response);
	fails(zcp_client_take(client, &another), -ENOBUFS, "max_held");
	fails(zcp_client_wait(client, 0), -ENOBUFS, "max_held");
	zcp_response_release(&response);
	zcp_response_release(&response);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "released before"));
	take_response(client, &response);
	zcp_response_release(&response);
	stop();
}
END_TEST

/* A client that takes nothing, and a server that takes nothing. */
START_TEST(no_room)
{
	struct zcp_server_options so = { .payload_max = 8, .depth = 6, .timeout = _i ? 1000000 : 0 };
	struct zcp_client_options co = { .payload_max = 8, .max_pending = 6 };
	struct zcp_request request;
	struct zcp_response response;
	zcp_server *server;
	zcp_client *client;
	struct zcp_sample sample;
	uint64_t id;
	int r;

	start();
	server = open_server(n, &so);
	client = open_client(m, &co);
	/* what is published before the reader is attached stays in the ring */
	ck_assert_within(zcp_server_clients(server) == 1, DEADLINE_MS);
	ok(zcp_client_send(client, "q", 1, &id));
	take_request(server, &request);
	for (int i = 0; (r = zcp_request_reply_with(&request, "more", 4, ZCP_MORE)) == 0; i++)
		ck_assert_int_lt(i, 100);
	fails(r, _i ? -ETIMEDOUT : -EAGAIN, "client");
	while (zcp_client_take(client, &response) == 0) {
		ck_assert_uint_eq(response.flags, ZCP_MORE);
		zcp_response_release(&response);
	}
	ok(zcp_request_reply(&request, "end", 3));
	zcp_request_release(&request);
	take_response(client, &response);
	ck_assert_uint_eq(response.flags, 0);
	zcp_response_release(&response);

	for (int i = 0; (r = zcp_client_send(client, "note", 4, NULL)) == 0; i++)
		ck_assert_int_lt(i, 100);
	fails(r, -EAGAIN, "takes no requests");
	fails(zcp_client_call(client, "q", 1, &sample, 1000000), -ETIMEDOUT, "no room");
	while (zcp_server_take(server, &request) == 0) {
		ck_assert_uint_eq(request.flags & ZCP_ONE_WAY, ZCP_ONE_WAY);
		zcp_request_release(&request);
	}
	ok(zcp_client_send(client, "q", 1, &id));
	stop();
}
END_TEST

START_TEST(options)
{
	struct zcp_server_options so;
	struct zcp_client_options co;
	zcp_server *server;
	zcp_client *client;

	start();
#define SERVER_FAILS(part, ...) \
	so = (struct zcp_server_options){ __VA_ARGS__ }; \
	so.sz = so.sz ? so.sz : sizeof(so); \
	fails(zcp_server_open(&server, n, &lib_topic, &so), -EINVAL, part)
#define CLIENT_FAILS(part, ...) \
	co = (struct zcp_client_options){ __VA_ARGS__ }; \
	co.sz = co.sz ? co.sz : sizeof(co); \
	fails(zcp_client_open(&client, n, &lib_topic, &co), -EINVAL, part)
	SERVER_FAILS("sz", .sz = 3);
	SERVER_FAILS("max_held", .max_held = 1025);
	SERVER_FAILS("max_clients", .max_clients = 4097);
	SERVER_FAILS("max_loans", .max_loans = 5000);
	SERVER_FAILS("payload_max", .payload_max = 3ull << 30);
	SERVER_FAILS("depth", .depth = 1u << 30);
	SERVER_FAILS("timeout", .timeout = -2);
	SERVER_FAILS("response_type.size", .payload_max = 4, .response_type = { "t", 8, 8 });
	SERVER_FAILS("type name", .request_type = { "a\tb", 8, 8 });
	SERVER_FAILS("reserved", .reserved0 = { 1 });
	CLIENT_FAILS("sz", .sz = 3);
	CLIENT_FAILS("max_pending", .max_pending = 4097);
	CLIENT_FAILS("max_held", .max_held = 1025);
	CLIENT_FAILS("max_servers", .max_servers = 4097);
	CLIENT_FAILS("max_loans", .max_loans = 5000);
	CLIENT_FAILS("payload_max", .payload_max = 3ull << 30);
	CLIENT_FAILS("timeout", .timeout = -1);
	CLIENT_FAILS("request_type.size", .payload_max = 4, .request_type = { "t", 8, 8 });
	CLIENT_FAILS("type name", .response_type = { "a\tb", 8, 8 });
	CLIENT_FAILS("reserved", .reserved0 = { 1 });
	fails(zcp_client_open(&client, n, &(struct zcp_topic){ "a", "b", "c/d" }, NULL), -EINVAL, "event");
	ck_assert_ptr_null(client);
	ck_assert_ptr_null(server);
	zcp_client_close(NULL);
	zcp_server_close(NULL);
	stop();
}
END_TEST

/* --- descriptors ---------------------------------------------------------------------------------- */

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

START_TEST(descriptors)
{
	struct zcp_request request;
	struct zcp_response response;
	zcp_server *server;
	zcp_client *client;
	int sfd, cfd;
	uint64_t id;

	start();
	server = open_server(n, NULL);
	client = open_client(m, NULL);
	/* from then on each message rings at once */
	ck_assert_within(zcp_server_clients(server) == 1, DEADLINE_MS);
	sfd = (int)ok(zcp_server_fd(server));
	cfd = (int)ok(zcp_client_fd(client));
	for (int round = 0; round < 30; round++) {
		fails(zcp_server_take(server, &request), -EAGAIN, "");
		fails(zcp_client_take(client, &response), -EAGAIN, "");
		ck_assert(!readable(sfd));
		ck_assert(!readable(cfd));
		for (int i = 0; i < 2; i++)
			ok(zcp_client_send(client, "q", 1, &id));
		for (int i = 0; i < 2; i++) {
			ck_assert(readable(sfd));
			ok(zcp_server_take(server, &request));
			ok(zcp_request_reply(&request, "a", 1));
			zcp_request_release(&request);
		}
		for (int i = 0; i < 2; i++) {
			ck_assert(readable(cfd));
			ok(zcp_client_take(client, &response));
			zcp_response_release(&response);
		}
	}
	/* the end of the server is something to take, too */
	fails(zcp_client_take(client, &response), -EAGAIN, "");
	ok(zcp_client_send(client, "q", 1, &id));
	zcp_server_close(server);
	ck_assert_within(readable(cfd), DEADLINE_MS);
	ck_assert_within(zcp_client_take(client, &response) == 0, DEADLINE_MS);
	ck_assert_int_eq(response.status, -EPIPE);
	fails(zcp_client_take(client, &response), -EAGAIN, "");
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-call");
	TCase *there = add_test_case(suite, "there and back", 60);
	TCase *who = add_test_case(suite, "who", 60);
	TCase *wrong = add_test_case(suite, "wrong", 60);

	tcase_add_loop_test(there, all_sizes, 0, N_SIZES);
	tcase_add_test(there, calls);
	tcase_add_test(there, without_threads);
	tcase_add_test(there, streams_of_responses);
	tcase_add_test(there, one_way_and_unanswered);
	tcase_add_test(there, deadlines);
	tcase_add_test(there, forgotten);
	tcase_add_test(there, descriptors);
	tcase_add_test(who, clients_apart);
	tcase_add_test(who, load_balanced);
	tcase_add_test(who, one_server);
	tcase_add_test(who, beside_other_roles);
	tcase_add_test(who, types);
	tcase_add_test(wrong, limits);
	tcase_add_loop_test(wrong, no_room, 0, 2);
	tcase_add_test(wrong, options);
	return run_suite(suite);
}
