/* SPDX-License-Identifier: MIT */
/* Quotas, full tables, a full descriptor table, clients that do not read, many of everything. */

#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/message.h"
#include "common/name.h"

static struct test_router router;
static struct wire_endpoint_open open_request;
static union wire_message message;

static int say_hello(uint32_t request)
{
	int fd = client_connect(&router);
	struct wire_hello hello;

	hello_fill(&hello, request, "n");
	client_send(fd, &hello.header);
	return fd;
}

static void stop(void)
{
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

/* Per uid and in all: the hello is refused and may be repeated when there is room. */
START_TEST(nodes_run_out)
{
	bool per_uid = _i / N_LOOPS;
	struct test_node nodes[2];
	struct wire_hello hello;
	int fd, others[17];

	router_start(&router, _i % N_LOOPS, per_uid ? "--max-nodes-per-uid" : "--max-nodes", "2", NULL);
	node_join(&nodes[0], &router, "0");
	node_join(&nodes[1], &router, "1");
	fd = say_hello(5);
	client_expect_error(fd, 5, per_uid ? -EDQUOT : -ENOSPC, per_uid ? "--max-nodes-per-uid" : "--max-nodes");
	node_drop(&nodes[0]);
	hello_fill(&hello, 6, "n");
	do {
		client_send(fd, &hello.header);
		ck_assert(client_has_message(fd, DEADLINE_MS));
		ck_assert_int_ge(message_receive(fd, &message, others), 0);
		close_fds(others);
	} while (message.header.type == WIRE_ERROR);
	ck_assert_uint_eq(message.header.type, WIRE_WELCOME);

	/* Connections that never say hello are limited as well: 2 + 16, of which two are in use. */
	if (per_uid) {
		for (int i = 0; i < 16; i++)
			others[i] = client_connect(&router);
		others[16] = client_connect(&router);
		client_expect_error(others[16], 0, -EDQUOT, "connections");
		client_expect_end(others[16]);
		for (int i = 0; i < 17; i++)
			fd_close(others[i]);
	}
	fd_close(fd);
	node_drop(&nodes[1]);
	stop();
}
END_TEST

START_TEST(endpoints_run_out)
{
	bool per_node = _i / N_LOOPS;
	struct test_endpoint endpoint;
	struct test_node node, other;

	router_start(&router, _i % N_LOOPS, per_node ? "--max-endpoints-per-node" : "--max-endpoints", "3", NULL);
	node_join(&node, &router, "n");
	node_join(&other, &router, "o");
	subscriber_fill(&open_request, 1, "t", 4);
	for (int i = 0; i < 3; i++) {
		endpoint_ready(&endpoint, node.fd, &open_request);
		if (i < 2)
			endpoint_forget(&endpoint);
	}
	client_send(node.fd, &open_request.header);
	client_expect_error(node.fd, 1, per_node ? -EDQUOT : -ENOSPC, per_node ? "--max-endpoints-per-node" : "--max-endpoints");
	if (!per_node) {
		client_send(other.fd, &open_request.header);
		client_expect_error(other.fd, 1, -ENOSPC, "--max-endpoints");
	}
	endpoint_close(&endpoint, node.fd);
	endpoint_ready(&endpoint, node.fd, &open_request);
	endpoint_forget(&endpoint);
	node_drop(&node);
	node_drop(&other);
	stop();
}
END_TEST

START_TEST(bytes_run_out)
{
	struct test_endpoint endpoint;
	struct test_node node, other;
	char size[32];

	publisher_fill(&open_request, 1, "t", 2);
	ck_assert_uint_gt(open_request.geometry.segment_bytes, 16384);
	/* one fits, two do not */
	snprintf(size, sizeof(size), "%llu", (unsigned long long)open_request.geometry.segment_bytes + 16384);
	router_start(&router, _i, "--max-bytes-per-uid", size, NULL);
	node_join(&node, &router, "n");
	node_join(&other, &router, "o");	/* the same user */
	endpoint_ready(&endpoint, node.fd, &open_request);
	client_send(other.fd, &open_request.header);
	client_expect_error(other.fd, 1, -EDQUOT, "--max-bytes-per-uid");
	/* What comes back can be had again. */
	endpoint_close(&endpoint, node.fd);
	endpoint_ready(&endpoint, node.fd, &open_request);
	endpoint_forget(&endpoint);
	node_drop(&node);
	node_drop(&other);
	stop();
}
END_TEST

START_TEST(matches_run_out)
{
	struct test_endpoint endpoints[4];
	struct test_node node, other;

	router_start(&router, _i, "--max-matches", "1", NULL);
	node_join(&node, &router, "n");
	node_join(&other, &router, "o");
	subscriber_fill(&open_request, 1, "t", 4);
	endpoint_ready(&endpoints[0], node.fd, &open_request);
	endpoint_ready(&endpoints[1], node.fd, &open_request);
	publisher_fill(&open_request, 2, "t", 4);
	endpoint_open(&endpoints[2], other.fd, &open_request);
	endpoint_mapped(&endpoints[2], other.fd);
	client_expect(other.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_ptr_nonnull(strstr(message.match_refused.text, "--max-matches"));
	client_expect(other.fd, WIRE_ENDPOINT_READY, &message, NULL);
	subscriber_fill(&open_request, 3, "t", 4);
	client_send(other.fd, &open_request.header);
	client_expect_error(other.fd, 3, -ENOSPC, "--max-matches");
	for (int i = 0; i < 3; i++)
		endpoint_forget(&endpoints[i]);
	node_drop(&node);
	node_drop(&other);
	stop();
}
END_TEST

/* --- what one user and one node may have ---------------------------------------------------------- */

struct limit_case {
	const char *option, *value;	/* value NULL: room for the node page and one publisher */
	int n_fit;			/* endpoints that are there when the next one is refused */
	bool per_node;			/* another node of the user can go on */
};

static const struct limit_case limit_cases[] = {
	{ "--max-endpoints-per-uid", "3", 3, false },
	{ "--max-fds-per-uid", "8", 2, false },		/* two for each node, two for each endpoint: a mapped node page costs none */
	{ "--max-endpoints-per-node", "2", 2, true },
	{ "--max-fds-per-node", "7", 2, true },
	{ "--max-bytes-per-node", NULL, 1, true },
};
#define N_LIMIT_CASES 5

static void open_and_forget(const struct test_node *node)
{
	struct test_endpoint endpoint;

	endpoint_ready(&endpoint, node->fd, &open_request);
	endpoint_forget(&endpoint);
}

/* The request beyond the limit is refused, naming who, how much and the option; the next one after a close is not. */
START_TEST(quota_is_exact)
{
	const struct limit_case *c = &limit_cases[_i / N_LOOPS];
	struct test_endpoint last;
	struct test_node node, other;
	char value[32];

	publisher_fill(&open_request, 1, "t", 2);
	snprintf(value, sizeof(value), "%llu", (unsigned long long)open_request.geometry.segment_bytes * 3 / 2);
	router_start(&router, _i % N_LOOPS, c->option, c->value ? c->value : value, NULL);
	node_join(&node, &router, "limited");
	node_join(&other, &router, "other");
	for (int round = 0; round < 2; round++) {
		for (int i = 1; i < c->n_fit; i++)
			open_and_forget(&node);
		endpoint_ready(&last, node.fd, &open_request);
		client_send(node.fd, &open_request.header);
		client_expect_error(node.fd, 1, -EDQUOT, c->option);
		client_send(node.fd, &open_request.header);
		client_expect_error(node.fd, 1, -EDQUOT, c->per_node ? "node limited " : "uid ");
		client_send(node.fd, &open_request.header);
		client_expect_error(node.fd, 1, -EDQUOT, c->value && !strstr(c->option, "fds-per-node") ? c->value : "");
		client_send(other.fd, &open_request.header);
		if (c->per_node)
			client_expect(other.fd, WIRE_ENDPOINT_OPENED, &message, NULL);
		else
			client_expect_error(other.fd, 1, -EDQUOT, c->option);
		endpoint_close(&last, node.fd);
		endpoint_ready(&last, node.fd, &open_request);
		endpoint_forget(&last);
		if (round)
			break;
		/* All of it comes back when the node leaves. */
		node_leave(&node);
		node_leave(&other);
		router_expect_base(&router);
		node_join(&node, &router, "limited");
		node_join(&other, &router, "other");
	}
	node_leave(&node);
	node_leave(&other);
	stop();
}
END_TEST

static void join_as(uid_t uid, struct test_node *node, const char *name)
{
	ck_assert_ok(seteuid(uid));
	node_join(node, &router, name);
	ck_assert_ok(seteuid(0));
}

/* A connection counts against both ends' users; one who has his share stops nobody else. */
START_TEST(matches_of_a_user_run_out)
{
	struct test_node mine, theirs, third;
	struct test_endpoint endpoint, closed;

	if (geteuid() != 0)
		skip_test("only root can join as somebody else");
	router_prepare(&router);
	ck_assert_ok(chmod(router.directory, 0755));
	router_run(&router, (const char *[]){ "--loop", loop_argument(_i), "--quiet", "--socket-mode", "0666", "--max-matches-per-uid",
					      "2", NULL });
	node_join(&mine, &router, "mine");
	join_as(65534, &theirs, "theirs");
	join_as(65533, &third, "third");

	publisher_fill(&open_request, 1, "t", 8);
	open_and_forget(&mine);
	for (int i = 0; i < 2; i++) {
		subscriber_fill(&open_request, 1, "t", 4);
		endpoint_open(&endpoint, theirs.fd, &open_request);
		endpoint_mapped(&endpoint, theirs.fd);
		client_expect(theirs.fd, WIRE_WRITER_ADDED, &message, NULL);
		client_expect(theirs.fd, WIRE_ENDPOINT_READY, &message, NULL);
		if (i == 0)
			closed = endpoint;
		else
			endpoint_forget(&endpoint);
	}
	/* the subscriber's user has his two */
	client_send(theirs.fd, &open_request.header);
	client_expect_error(theirs.fd, 1, -EDQUOT, "uid 65534 would have more than 2 connections");
	/* and so has the publisher's: the third user's subscriber opens, and does not meet it */
	endpoint_open(&endpoint, third.fd, &open_request);
	endpoint_mapped(&endpoint, third.fd);
	client_expect(third.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_int_eq(message.match_refused.error, -EDQUOT);
	ck_assert_ptr_nonnull(strstr(message.match_refused.text, "--max-matches-per-uid"));
	client_expect(third.fd, WIRE_ENDPOINT_READY, &message, NULL);
	endpoint_forget(&endpoint);
	/* who has not used his share up has it */
	publisher_fill(&open_request, 2, "u", 8);
	open_and_forget(&third);
	subscriber_fill(&open_request, 3, "u", 4);
	endpoint_open(&endpoint, third.fd, &open_request);
	endpoint_mapped(&endpoint, third.fd);
	client_expect(third.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(third.fd, WIRE_ENDPOINT_READY, &message, NULL);
	endpoint_forget(&endpoint);
	/* a connection that ends can be had again */
	endpoint_close(&closed, theirs.fd);
	subscriber_fill(&open_request, 4, "t", 4);
	endpoint_open(&endpoint, theirs.fd, &open_request);
	endpoint_mapped(&endpoint, theirs.fd);
	client_expect(theirs.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(theirs.fd, WIRE_ENDPOINT_READY, &message, NULL);
	endpoint_forget(&endpoint);
	node_leave(&theirs);
	node_leave(&third);
	node_leave(&mine);
	stop();
}
END_TEST

static void expect_row(const struct directory_view *view, uint64_t id, uint32_t n_endpoints, uint32_t n_fds)
{
	struct directory_node row;

	for (uint32_t i = 0; i < view->max_nodes; i++) {
		if (directory_read_node(view, i, &row) != 1 || row.id != id)
			continue;
		ck_assert_uint_eq(row.n_endpoints, n_endpoints);
		ck_assert_uint_eq(row.n_fds, n_fds);
		return;
	}
	ck_abort_msg("the node has no row");
}

/* The directory says what the limits are, and what of them a node uses. */
START_TEST(limits_are_shown)
{
	struct test_endpoint endpoint;
	struct directory_view view;
	const void *directory;
	struct test_node node;

	router_start(&router, _i, "--max-endpoints", "80", "--max-matches", "100", "--max-fds-per-uid", "1234", "--max-bytes-per-node",
		     "5G", "--max-fds-per-node", "56", "--heartbeat-touch-ms", "70", "--heartbeat-scan-ms", "200",
		     "--heartbeat-timeout-ms", "2000", "--evict-unresponsive", NULL);
	node_join(&node, &router, "n");
	ck_assert_uint_eq(node.welcome.heartbeat_ms, 70);
	ck_assert_int_eq(memfd_map_reader(node.directory_fd, node.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, node.welcome.directory_bytes), 0);
	ck_assert_uint_eq(view.header->max_endpoints_per_uid, 70);
	ck_assert_uint_eq(view.header->max_matches_per_uid, 88);
	ck_assert_uint_eq(view.header->max_fds_per_uid, 1234);
	ck_assert_uint_eq(view.header->max_fds_per_node, 56);
	ck_assert_uint_eq(view.header->max_bytes_per_node, 5ull << 30);
	ck_assert_uint_eq(view.header->heartbeat_ms, 70);
	ck_assert_uint_eq(view.header->scan_ms, 200);
	ck_assert_uint_eq(view.header->timeout_ms, 2000);
	ck_assert_uint_eq(view.header->evict_unresponsive, 1);
	ck_assert_str_eq(view.header->config_path, "");

	subscriber_fill(&open_request, 1, "t", 4);
	endpoint_ready(&endpoint, node.fd, &open_request);
	expect_row(&view, node.welcome.node, 1, 4);
	endpoint_close(&endpoint, node.fd);
	endpoint_ready(&endpoint, node.fd, &open_request);	/* so that the router has seen the close */
	expect_row(&view, node.welcome.node, 1, 4);
	endpoint_forget(&endpoint);
	munmap((void *)(uintptr_t)directory, node.welcome.directory_bytes);
	node_leave(&node);
	stop();
}
END_TEST

/* --- queues --------------------------------------------------------------------------------------- */

/*
 * A client that asks and never reads. The kernel's queue fills, then the router's; then it is
 * disconnected. Meanwhile the other one is served without waiting for it.
 */
START_TEST(client_that_never_reads)
{
	struct test_endpoint endpoint;
	struct test_node deaf, innocent;
	unsigned int n_sent = 0;
	int64_t slowest_ns = 0;
	int r;

	router_start(&router, _i, NULL);
	node_join(&deaf, &router, "deaf");
	node_join(&innocent, &router, "innocent");
	for (;;) {
		subscriber_fill(&open_request, 1, "t", 0);	/* each costs the router an answer */
		r = client_try_send(deaf.fd, &open_request, sizeof(open_request), NULL, 0);
		if (r < 0)
			break;
		ck_assert_uint_lt(++n_sent, 100000);
		if (n_sent % 500 == 0) {
			int64_t start_ns = now_ns();

			subscriber_fill(&open_request, 2, "u", 4);
			endpoint_ready(&endpoint, innocent.fd, &open_request);
			endpoint_close(&endpoint, innocent.fd);
			if (now_ns() - start_ns > slowest_ns)
				slowest_ns = now_ns() - start_ns;
		}
	}
	ck_assert(r == -EPIPE || r == -ECONNRESET);
	ck_assert_uint_gt(n_sent, 1000);
	ck_assert_msg(slowest_ns < 2000000000, "served after %lld ms", (long long)slowest_ns / 1000000);
	node_drop(&deaf);
	node_drop(&innocent);
	stop();
}
END_TEST

/*
 * One message with descriptors is in flight per node, the next follows when it was read: nothing is
 * lost, the order holds.
 */
START_TEST(late_reader_gets_everything_in_order)
{
	enum { N_SUBSCRIBERS = 300 };
	static struct test_endpoint subscribers[N_SUBSCRIBERS];
	struct test_endpoint publisher;
	struct test_node node, other;
	uint64_t last = 0;

	router_start(&router, _i, NULL);
	node_join(&node, &router, "n");
	node_join(&other, &router, "o");
	for (int i = 0; i < N_SUBSCRIBERS; i++) {
		subscriber_fill(&open_request, 1, "t", 4);
		endpoint_ready(&subscribers[i], node.fd, &open_request);
		endpoint_forget(&subscribers[i]);
	}
	publisher_fill(&open_request, 2, "t", N_SUBSCRIBERS);
	endpoint_ready(&publisher, other.fd, &open_request);
	ck_assert_uint_eq(publisher.n_pending, N_SUBSCRIBERS);
	for (int i = 0; i < N_SUBSCRIBERS; i++) {
		int fds[WIRE_FDS_MAX];

		client_expect(node.fd, WIRE_WRITER_ADDED, &message, fds);
		ck_assert_uint_gt(message.writer_added.match, last);
		last = message.writer_added.match;
		ck_assert_uint_eq(message.writer_added.endpoint, subscribers[i].id);
		ck_assert_int_eq(fcntl(fds[0], F_GET_SEALS) & MEMFD_SEALS_READER, MEMFD_SEALS_READER);
		close_fds(fds);
	}
	endpoint_close(&publisher, other.fd);
	for (int i = 0; i < N_SUBSCRIBERS; i++)
		client_expect(node.fd, WIRE_WRITER_GONE, &message, NULL);
	node_drop(&node);
	node_drop(&other);
	stop();
}
END_TEST

/*
 * The owner of a publisher stands still while subscribers come and go: what it has not heard of is
 * taken back, it stays a node.
 */
START_TEST(obsolete_news_is_taken_back)
{
	enum { N_ROUNDS = 3000 };
	struct test_endpoint publisher, subscriber, last;
	struct test_node stopped, other;
	unsigned int n_heard = 0;

	router_start(&router, _i, NULL);
	node_join(&stopped, &router, "stopped");
	node_join(&other, &router, "other");
	publisher_fill(&open_request, 1, "t", 8);
	endpoint_ready(&publisher, stopped.fd, &open_request);
	for (int i = 0; i < N_ROUNDS; i++) {
		subscriber_fill(&open_request, 2, "t", 4);
		endpoint_open(&subscriber, other.fd, &open_request);
		endpoint_mapped(&subscriber, other.fd);
		client_expect(other.fd, WIRE_WRITER_ADDED, &message, NULL);
		lane_choose(other.fd, &message.writer_added, 1);
		client_expect(other.fd, WIRE_ENDPOINT_READY, &message, NULL);
		endpoint_close(&subscriber, other.fd);
	}
	subscriber_fill(&open_request, 3, "t", 4);
	endpoint_open(&last, other.fd, &open_request);
	endpoint_mapped(&last, other.fd);
	client_expect(other.fd, WIRE_WRITER_ADDED, &message, NULL);
	lane_choose(other.fd, &message.writer_added, 1);
	do {
		int fds[WIRE_FDS_MAX];

		ck_assert(client_has_message(stopped.fd, DEADLINE_MS));
		ck_assert_int_ge(message_receive(stopped.fd, &message, fds), 0);
		close_fds(fds);
		n_heard++;
	} while (message.header.type != WIRE_LANE_ADDED || message.lane_added.subscriber != last.id);
	ck_assert_msg(n_heard < 50, "%u messages", n_heard);
	endpoint_forget(&publisher);
	endpoint_forget(&last);
	node_drop(&stopped);
	node_drop(&other);
	stop();
}
END_TEST

/*
 * Clients that take no descriptors do not stop others from getting theirs, though the kernel counts
 * them per user.
 */
START_TEST(descriptors_left_in_flight)
{
	enum { N_DEAF = 60 };
	struct test_endpoint endpoint;
	struct test_node node;
	int deaf[N_DEAF];

	router_start(&router, _i, NULL);
	for (int i = 0; i < N_DEAF; i++)
		deaf[i] = say_hello(1);		/* the WELCOME stays unread */
	node_join(&node, &router, "n");
	for (int i = 0; i < 50; i++) {
		subscriber_fill(&open_request, 1, "t", 4);
		endpoint_ready(&endpoint, node.fd, &open_request);
		endpoint_close(&endpoint, node.fd);
	}
	for (int i = 0; i < N_DEAF; i++)
		fd_close(deaf[i]);
	node_drop(&node);
	stop();
}
END_TEST

/*
 * Another process of the router's user has so many descriptors in flight that the kernel lets the
 * router send none (ETOOMANYREFS): the router waits and goes on when they have landed.
 */
START_TEST(too_many_descriptors_in_flight)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };
	int hog[2], done[2], devnull[60], status, fd, lock;
	struct test_node node;
	char byte;
	pid_t pid;

	if (geteuid() != 0)
		skip_test("only root can run the router as another user");
	if (!router_runs_as(65534))
		skip_test("uid 65534 cannot reach the router's binary");
	router_prepare(&router);
	router.nofile = 64;
	router.uid = 65534;
	ck_assert_ok(chown(router.directory, router.uid, (gid_t)-1));
	lock = lock_io_uring(false);
	router_run(&router, arguments);
	close(lock);

	ck_assert_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, hog));
	ck_assert_ok(pipe2(done, O_CLOEXEC));
	for (int i = 0; i < 60; i++)
		ck_assert_ok(devnull[i] = open("/dev/null", O_RDONLY | O_CLOEXEC));
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		ck_assert_ok(setresuid(router.uid, router.uid, router.uid));
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(client_try_send(hog[0], "x", 1, devnull, 60), 0);
		(void)!write(done[1], "x", 1);
		_exit(0);
	}
	ck_assert_int_eq(read(done[0], &byte, 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	fd = say_hello(1);
	ck_assert(!client_has_message(fd, 700));	/* two ticks: it tried again, in vain */
	ck_assert(router_lives(&router));
	for (int i = 0; i < 60; i++)
		close(devnull[i]);
	close(hog[0]);
	close(hog[1]);
	client_expect(fd, WIRE_WELCOME, &message, NULL);
	node_join(&node, &router, "n");
	node_drop(&node);
	fd_close(fd);
	close(done[0]);
	close(done[1]);
	stop();
}
END_TEST

/* 16 descriptors: who was first stays, the others are told, and when the crowd has left all is well. */
START_TEST(descriptor_table_full)
{
	enum { N_CLIENTS = 100 };
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };
	unsigned int n_refused = 0;
	struct test_node first;
	int fds[N_CLIENTS];

	router_prepare(&router);
	router.nofile = 16;
	router_run(&router, arguments);
	ck_assert_uint_le(router.n_fds, 13);
	for (int round = 0; round < 3; round++) {
		struct test_node node;

		node_join(&first, &router, "first");
		for (int i = 0; i < N_CLIENTS; i++) {
			struct wire_hello hello;

			fds[i] = client_connect(&router);
			hello_fill(&hello, 1, "crowd");
			client_try_send(fds[i], &hello, sizeof(hello), NULL, 0);	/* turned away already, perhaps */
		}
		for (int i = 0; i < N_CLIENTS; i++) {
			int received[WIRE_FDS_MAX], r;

			ck_assert_msg(client_has_message(fds[i], DEADLINE_MS), "client %d of round %d hears nothing", i, round);
			r = message_receive(fds[i], &message, received);
			if (r >= 0)
				close_fds(received);
			if (r >= 0 && message.header.type == WIRE_WELCOME)
				continue;
			ck_assert(r < 0 || (message.header.type == WIRE_ERROR && message.error.error == -EMFILE));
			n_refused++;
		}
		ck_assert(router_lives(&router));
		subscriber_fill(&open_request, 1, "t", 0);
		client_send(first.fd, &open_request.header);
		client_expect_error(first.fd, 1, -EINVAL, "");	/* wrong on purpose: still there, still answered */
		for (int i = 0; i < N_CLIENTS; i++)
			fd_close(fds[i]);
		node_leave(&first);
		router_expect_base(&router);
		ck_assert_uint_gt(n_refused, 0);

		/* Somebody may be turned away until the pause after the shortage is over. */
		for (bool served = false; !served;) {
			int fd = say_hello(1), received[WIRE_FDS_MAX], r;

			ck_assert(client_has_message(fd, DEADLINE_MS));
			r = message_receive(fd, &message, received);
			if (r >= 0)
				close_fds(received);
			served = r >= 0 && message.header.type == WIRE_WELCOME;
			fd_close(fd);
		}
		node_join(&node, &router, "after");
		node_drop(&node);
		router_expect_base(&router);
	}
	router_stop(&router, SIGTERM);
}
END_TEST

/* The table fills while one node opens endpoints: the request is refused, the node stays. */
START_TEST(endpoints_exhaust_descriptors)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };
	struct test_endpoint endpoint;
	struct test_node node;
	int n_opened = 0;

	router_prepare(&router);
	router.nofile = 36;
	router_run(&router, arguments);
	node_join(&node, &router, "n");
	for (;;) {
		int fds[WIRE_FDS_MAX];

		subscriber_fill(&open_request, 1, "t", 4);
		client_send(node.fd, &open_request.header);
		ck_assert(client_has_message(node.fd, DEADLINE_MS));
		ck_assert_int_ge(message_receive(node.fd, &message, fds), 0);
		close_fds(fds);
		if (message.header.type == WIRE_ERROR)
			break;
		ck_assert_int_lt(++n_opened, 20);
	}
	ck_assert_int_eq(message.error.error, -EMFILE);
	ck_assert_ptr_nonnull(strstr(message.error.text, "RLIMIT_NOFILE"));
	ck_assert_int_gt(n_opened, 1);
	node_drop(&node);
	router_expect_base(&router);
	do {
		int fd = say_hello(1);

		ck_assert(client_has_message(fd, DEADLINE_MS));
		message.header.type = 0;
		{
			int fds[WIRE_FDS_MAX];

			if (message_receive(fd, &message, fds) >= 0)
				close_fds(fds);
		}
		fd_close(fd);
	} while (message.header.type != WIRE_WELCOME);
	node_join(&node, &router, "n");
	subscriber_fill(&open_request, 1, "t", 4);
	endpoint_ready(&endpoint, node.fd, &open_request);
	endpoint_forget(&endpoint);
	node_drop(&node);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(many_nodes_come_and_go)
{
	enum { N_NODES = 200 };
	static struct test_node nodes[N_NODES];
	struct directory_view view;
	struct test_node watcher;
	const void *map;

	router_start(&router, _i, NULL);
	node_join(&watcher, &router, "watcher");
	ck_assert_int_eq(memfd_map_reader(watcher.directory_fd, watcher.welcome.directory_bytes, &map), 0);
	ck_assert_int_eq(directory_open(&view, map, watcher.welcome.directory_bytes), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N_NODES; i++)
			node_join(&nodes[i], &router, "same name for all");
		ck_assert_within(view.header->n_nodes == N_NODES + 1, DEADLINE_MS);
		for (int i = 0; i < N_NODES; i++)
			node_drop(&nodes[i]);
		ck_assert_within(view.header->n_nodes == 1, DEADLINE_MS);
	}
	ck_assert_uint_eq(view.header->n_node_rows, N_NODES + 1);	/* rows are used again */
	ck_assert_uint_eq(view.header->n_segments, 1);
	munmap((void *)(uintptr_t)map, watcher.welcome.directory_bytes);
	node_drop(&watcher);
	stop();
}
END_TEST

START_TEST(many_endpoints)
{
	enum { N_ENDPOINTS = 1000 };
	struct test_endpoint endpoint;
	struct test_node node;

	router_start(&router, _i, NULL);
	node_join(&node, &router, "n");
	for (int i = 0; i < N_ENDPOINTS; i++) {
		char topic[32];

		snprintf(topic, sizeof(topic), "t%d", i);
		if (i % 2)
			subscriber_fill(&open_request, 1, topic, 4);
		else
			publisher_fill(&open_request, 1, topic, 4);
		endpoint_ready(&endpoint, node.fd, &open_request);
		endpoint_forget(&endpoint);
	}
	node_drop(&node);
	stop();
}
END_TEST

/* Each node of these tests takes more than one descriptor on this side. */
static void need_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 4096)
		skip_suite("RLIMIT_NOFILE is %llu, the suite needs 4096", (unsigned long long)limit.rlim_cur);
}

int main(void)
{
	Suite *suite = suite_create("router-limits");
	TCase *quotas = add_test_case(suite, "quotas", 60);
	TCase *queues = add_test_case(suite, "queues", 120);
	TCase *descriptors = add_test_case(suite, "descriptors", 120);
	TCase *many = add_test_case(suite, "many", 120);

	need_descriptors();
	tcase_add_loop_test(quotas, nodes_run_out, 0, 2 * N_LOOPS);
	tcase_add_loop_test(quotas, endpoints_run_out, 0, 2 * N_LOOPS);
	tcase_add_loop_test(quotas, bytes_run_out, 0, N_LOOPS);
	tcase_add_loop_test(quotas, matches_run_out, 0, N_LOOPS);
	tcase_add_loop_test(quotas, quota_is_exact, 0, N_LIMIT_CASES * N_LOOPS);
	tcase_add_loop_test(quotas, matches_of_a_user_run_out, 0, N_LOOPS);
	tcase_add_loop_test(quotas, limits_are_shown, 0, N_LOOPS);
	tcase_add_loop_test(queues, client_that_never_reads, 0, N_LOOPS);
	tcase_add_loop_test(queues, late_reader_gets_everything_in_order, 0, N_LOOPS);
	tcase_add_loop_test(queues, obsolete_news_is_taken_back, 0, N_LOOPS);
	tcase_add_loop_test(queues, descriptors_left_in_flight, 0, N_LOOPS);
	tcase_add_loop_test(queues, too_many_descriptors_in_flight, 0, N_LOOPS);
	tcase_add_loop_test(descriptors, descriptor_table_full, 0, N_LOOPS);
	tcase_add_loop_test(descriptors, endpoints_exhaust_descriptors, 0, N_LOOPS);
	tcase_add_loop_test(many, many_nodes_come_and_go, 0, N_LOOPS);
	tcase_add_loop_test(many, many_endpoints, 0, N_LOOPS);
	return run_suite(suite);
}
