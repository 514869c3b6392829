/* SPDX-License-Identifier: MIT */
/*
 * Members of wait sets that are added, removed and closed, in the right way and in the wrong one.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "lib/doorbell.h"
#include "lib/subscriber.h"
#include "call-helper.h"
#include "waitset-helper.h"

/* --- adding, removing, closing -------------------------------------------------------------------- */

START_TEST(removed_is_never_reported)
{
	zcp_waitset *ws = waitset(0), *other = waitset(0);
	struct zcp_ready ready[8];
	zcp_subscriber *s[4];
	zcp_node *n;
	int fds[2], timer;

	lib_router_start();
	n = lib_node("n");
	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	for (int i = 0; i < 4; i++) {
		zcp_publisher *p = publisher_of(n, i);

		s[i] = subscriber_of(n, i);
		ok(zcp_publisher_wait(p, 1, FOREVER));
		ok(lib_send(p, 1, 16));
		ok(zcp_waitset_add_subscriber(ws, s[i], s[i]));
	}
	fails(zcp_waitset_add_subscriber(ws, s[0], NULL), -EEXIST, "already");
	fails(zcp_waitset_add_subscriber(other, s[0], NULL), -EBUSY, "another");
	fails(zcp_waitset_remove_subscriber(other, s[0]), -ENOENT, "not in");
	ok(zcp_waitset_add_fd(ws, fds[1], POLLOUT, NULL));
	timer = (int)ok(zcp_waitset_add_timer(ws, 0, 1, NULL));
	ck_assert_within(zcp_waitset_wait(ws, ready, 8, FOREVER) == 6, DEADLINE_MS);
	/* the batch is under way: the caller handles the first and takes out others */
	ok(zcp_waitset_remove_subscriber(ws, s[1]));
	ok(zcp_waitset_remove_subscriber(ws, s[3]));
	fails(zcp_waitset_remove_subscriber(ws, s[3]), -ENOENT, "not in");
	ok(zcp_waitset_remove_fd(ws, fds[1]));
	ok(zcp_waitset_remove_timer(ws, timer));
	for (int round = 0; round < 10; round++) {
		ck_assert_int_eq(ok(zcp_waitset_wait(ws, ready, 8, FOREVER)), 2);
		for (int i = 0; i < 2; i++)
			ck_assert(ready[i].user == s[0] || ready[i].user == s[2]);
	}
	/* what was removed can be used, added here again or elsewhere, or closed */
	ck_assert_uint_eq(lib_receive(s[1]), 1);
	ok(zcp_waitset_add_subscriber(other, s[3], s[3]));
	one(other, FOREVER, s[3]);
	zcp_subscriber_close(s[1]);
	ok(zcp_waitset_remove_subscriber(ws, s[0]));
	one(ws, FOREVER, s[2]);
	ok(zcp_waitset_add_subscriber(ws, s[0], s[0]));
	drain(s[2]);
	one(ws, FOREVER, s[0]);
	close(fds[0]);
	close(fds[1]);
	zcp_waitset_close(ws);
	zcp_waitset_close(other);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A bell that rang for a wait of its own before it was added has been silenced: that is no reason not to ask again. */
START_TEST(added_after_a_wait)
{
	zcp_waitset *ws = waitset(0);
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ck_assert_int_eq(zcp_subscriber_wait(s, 1000), -ETIMEDOUT);
	ok(lib_send(p, 1, 16));
	doorbell_silence(s->endpoint.doorbell);
	drain(s);
	ok(zcp_waitset_add_subscriber(ws, s, s));
	no_rescue(ws);
	nobody(ws, 1000);
	ok(lib_send(p, 2, 16));
	one(ws, FOREVER, s);
	zcp_waitset_close(ws);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

enum { CLOSE_SUBSCRIBER, CLOSE_WITH_SAMPLE, CLOSE_WATCH, CLOSE_NODE, CLOSE_NODE_WANTED, CLOSE_NODE_WITH_SAMPLE, N_CLOSINGS };

/* While it is ready, and while it is not. */
START_TEST(closed_members)
{
	int what = _i / 2;
	bool is_ready = _i % 2, no_thread = what == CLOSE_NODE_WANTED || what == CLOSE_WITH_SAMPLE;
	zcp_waitset *ws = waitset(0);
	struct zcp_ready ready[8];
	struct zcp_sample sample = { 0 };
	zcp_node *n, *other;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_watch *w;
	int fds[2];

	lib_router_start();
	n = no_thread ? lib_node_without_thread("victim") : lib_node("victim");
	other = lib_node("other");
	p = lib_publisher(other, NULL);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	ok(zcp_watch_open(&w, n, NULL, NULL));
	ok(zcp_waitset_add_subscriber(ws, s, s));
	ok(zcp_waitset_add_watch(ws, w, w));
	if (what == CLOSE_NODE_WANTED)
		ok(zcp_waitset_add_node(ws, n, n));
	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	ok(zcp_waitset_add_fd(ws, fds[1], POLLOUT, &fds));
	if (what == CLOSE_WITH_SAMPLE || what == CLOSE_NODE_WITH_SAMPLE) {
		ok(lib_send(p, 5, 3000));
		lib_take(s, &sample);
	}
	if (is_ready)
		ok(lib_send(p, 1, 16));
	for (int i = 0; i < 3; i++)
		ok(zcp_waitset_wait(ws, ready, 8, FOREVER));
	switch (what) {
	case CLOSE_SUBSCRIBER:
	case CLOSE_WITH_SAMPLE:
		zcp_subscriber_close(s);
		fails(zcp_waitset_wait(ws, ready, 8, 0), -EBADF, "the subscriber of service/instance/event was closed");
		break;
	case CLOSE_WATCH:
		zcp_watch_close(w);
		fails(zcp_waitset_wait(ws, ready, 8, FOREVER), -EBADF, "a watch was closed");
		break;
	case CLOSE_NODE_WANTED:
		zcp_node_close(n);
		fails(zcp_waitset_wait(ws, ready, 8, FOREVER), -EBADF, "the node 'victim' was closed while in this wait set, and 2 more");
		break;
	default:
		zcp_node_close(n);
		fails(zcp_waitset_wait(ws, ready, 8, -1), -EBADF, "and 1 more");
		break;
	}
	/* it goes on */
	for (int i = 0; i < 5; i++) {
		int r = (int)ok(zcp_waitset_wait(ws, ready, 8, FOREVER)), n_fd = 0;

		for (int j = 0; j < r; j++) {
			n_fd += ready[j].user == &fds;
			ck_assert(what < CLOSE_NODE || ready[j].user == &fds);
			ck_assert(what != CLOSE_WATCH || ready[j].user != w);
			ck_assert(what > CLOSE_WITH_SAMPLE || ready[j].user != s);
		}
		ck_assert_int_eq(n_fd, 1);
	}
	if (sample.data) {
		ck_assert_uint_eq(lib_number(&sample), 5);
		zcp_sample_release(&sample);
	}
	close(fds[0]);
	close(fds[1]);
	zcp_waitset_close(ws);
	if (what < CLOSE_NODE)
		zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * A descriptor that was closed is noticed when its number comes back; the new one is not hit by what is done to the
 * old one.
 */
START_TEST(closed_descriptors)
{
	zcp_waitset *ws = waitset(0);
	struct zcp_ready ready[4];
	int old[2], new[2], copy;

	ck_assert_ok(pipe2(old, O_CLOEXEC));
	ok(zcp_waitset_add_fd(ws, old[1], POLLOUT, &old));
	close(old[1]);
	nobody(ws, 1000);
	ck_assert_ok(pipe2(new, O_CLOEXEC));
	ck_assert_int_eq(dup3(new[1], old[1], O_CLOEXEC), old[1]);
	ok(zcp_waitset_add_fd(ws, old[1], POLLOUT, &new));
	fails(zcp_waitset_wait(ws, ready, 4, 0), -EBADF, "descriptor");
	one(ws, FOREVER, &new);
	ok(zcp_waitset_remove_fd(ws, old[1]));
	fails(zcp_waitset_remove_fd(ws, old[1]), -ENOENT, "descriptor");
	nobody(ws, 1000);

	/* one that lives on under another number cannot be taken out any more: nothing is touched that is gone, and it is said */
	ok(zcp_waitset_add_fd(ws, new[1], POLLOUT, NULL));
	copy = fcntl(new[1], F_DUPFD_CLOEXEC, 0);
	close(new[1]);
	ok(zcp_waitset_remove_fd(ws, new[1]));
	for (int i = 0; i < 3; i++)
		fails(zcp_waitset_wait(ws, ready, 4, i), -EBADF, "lives on");
	ok(zcp_waitset_add_timer(ws, 0, 0, ws));
	ck_assert_within(zcp_waitset_wait(ws, ready, 4, 1000) == 1, DEADLINE_MS);
	close(copy);
	close(old[0]);
	close(old[1]);
	close(new[0]);
	zcp_waitset_close(ws);
}
END_TEST

/* Server and client, of a node with a thread and of one without; @spin: looking at the rings, or only woken. */
START_TEST(requests)
{
	struct zcp_node_options node_options = { .sz = sizeof(node_options), .socket_path = lib_socket, .no_thread = _i & 2 };
	struct zcp_client_options options = { .timeout = 50000000 };
	zcp_waitset *ws = waitset(_i & 1 ? 1000000 : 0), *other = waitset(0);
	struct zcp_response response;
	struct zcp_request request;
	struct zcp_ready ready;
	zcp_client *client, *late;
	zcp_server *server;
	zcp_node *a, *b;
	uint64_t id;

	lib_router_start();
	a = lib_node("a");
	ok(zcp_node_open(&b, "b", &node_options));
	server = open_server(a, NULL);
	ok(zcp_waitset_add_server(ws, server, server));
	fails(zcp_waitset_add_server(ws, server, server), -EEXIST, "server is in this");
	fails(zcp_waitset_add_server(other, server, server), -EBUSY, "server is in another");
	client = open_client(b, NULL);
	late = open_client(b, &options);
	ok(zcp_waitset_add_client(ws, client, client));
	ok(zcp_waitset_add_client(ws, late, late));
	fails(zcp_waitset_add_client(ws, client, client), -EEXIST, "client is in this");
	fails(zcp_waitset_remove_client(other, client), -ENOENT, "not in");
	if (!(_i & 1))
		no_rescue(ws);
	nobody(ws, 1000000);
	for (uint64_t i = 0; i < 20; i++) {
		ok(zcp_client_send(client, &i, sizeof(i), &id));
		ready = one(ws, FOREVER, server);
		ck_assert_uint_eq(ready.kind, ZCP_READY_SERVER);
		ck_assert_ptr_eq(ready.object, server);
		ok(zcp_server_take(server, &request));
		ok(zcp_request_reply(&request, &i, sizeof(i)));
		ready = one(ws, FOREVER, client);
		ok(zcp_client_take(client, &response));
		ck_assert_int_eq(response.status, 0);
		ck_assert_mem_eq(response.data, &i, sizeof(i));
		ck_assert_uint_eq(ready.kind, ZCP_READY_CLIENT);
		ck_assert_uint_eq(response.id, id);
		zcp_response_release(&response);
		zcp_request_release(&request);
		fails(zcp_client_take(client, &response), -EAGAIN, "no response");
		nobody(ws, 0);
	}
	/* nobody answers: its time makes the client ready */
	ok(zcp_client_send(late, &id, sizeof(id), &id));
	ck_assert_within(zcp_server_take(server, &request) == 0, DEADLINE_MS);
	ready = one(ws, FOREVER, late);
	ck_assert_uint_eq(ready.kind, ZCP_READY_CLIENT);
	ok(zcp_client_take(late, &response));
	ck_assert_int_eq(response.status, -ETIMEDOUT);
	zcp_request_release(&request);
	fails(zcp_client_take(late, &response), -EAGAIN, "no response");
	ok(zcp_client_send(client, &id, sizeof(id), &id));
	one(ws, FOREVER, server);
	ok(zcp_waitset_remove_server(ws, server));
	fails(zcp_waitset_remove_server(ws, server), -ENOENT, "not in");
	nobody(ws, 0);
	/* its end is news to the client */
	zcp_server_close(server);
	one(ws, FOREVER, client);
	ok(zcp_client_take(client, &response));
	ck_assert_int_eq(response.status, -EPIPE);
	zcp_client_close(late);
	fails(zcp_waitset_wait(ws, &ready, 1, 0), -EBADF, "the client of service/instance/event");
	zcp_waitset_close(ws);
	zcp_waitset_close(other);
	zcp_node_close(b);
	zcp_node_close(a);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-waitset-members");
	TCase *tcase = add_test_case(suite, "members", 60);

	tcase_add_test(tcase, removed_is_never_reported);
	tcase_add_test(tcase, added_after_a_wait);
	tcase_add_loop_test(tcase, closed_members, 0, 2 * N_CLOSINGS);
	tcase_add_test(tcase, closed_descriptors);
	tcase_add_loop_test(tcase, requests, 0, 4);
	return run_suite(suite);
}
