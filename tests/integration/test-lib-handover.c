/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that go from process to process: by samples and by requests, when the other end is slow, stopped or dead, and
 * never through the router, which has none of them and keeps nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call-helper.h"

#define FOREVER (DEADLINE_MS * 1000000ll)

enum { TOKEN, PUBLISHER, WITHDRAW, WITHDRAWN };

static const struct zcp_publisher_options with_header = { .header_size = 8, .history = 1 };
static const struct zcp_subscriber_options with_history = { .history = 1 };

static int memory_file(const char *text)
{
	int fd = memfd_create("handed over", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static void expect_text(int fd, const char *text)
{
	char buffer[64] = "";

	ck_assert_msg(fd >= 0, "%d: %s", fd, zcp_last_error());
	ck_assert_int_eq(pread(fd, buffer, sizeof(buffer) - 1, 0), (ssize_t)strlen(text));
	ck_assert_str_eq(buffer, text);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

/* ---- a publisher in another process -------------------------------------------------------------------------------- */

static void offer_and_publish(struct stage *stage)
{
	zcp_node *node = lib_node("victim");
	zcp_publisher *p = lib_publisher(node, &with_header);
	int fd = memory_file("what is offered");
	uint64_t token;

	ok(zcp_node_offer_fd(node, fd, &token));
	close(fd);
	ok(zcp_publisher_send_with(p, "", 0, &token));
	stage_set(stage, PUBLISHER, zcp_publisher_id(p));
	stage_set(stage, TOKEN, token);
	stage_wait(stage, WITHDRAW, 1);
	ok(zcp_node_withdraw_fd(node, token));
	fails(zcp_node_withdraw_fd(node, token), -ENOENT, "withdrawn before");
	stage_set(stage, WITHDRAWN, 1);
	pause();
}

START_TEST(with_a_sample)
{
	struct stage *stage = stage_new();
	struct zcp_sample sample;
	zcp_subscriber *s;
	uint64_t token;
	zcp_node *n, *stranger;
	int fds, own;
	int fd;
	pid_t pid;

	lib_router_start();
	pid = process_start(offer_and_publish, stage);
	n = lib_node("n");
	stranger = lib_node("stranger");
	s = lib_subscriber(n, &with_history);
	ok(zcp_subscriber_wait(s, FOREVER));
	ok(zcp_subscriber_take(s, &sample));
	ck_assert_uint_eq(sample.header_size, sizeof(token));
	memcpy(&token, sample.header, sizeof(token));
	fds = process_fds(lib_router);
	own = process_fds(getpid());
	/* again and again: it is a copy each time */
	for (int i = 0; i < 50; i++)
		expect_text(zcp_node_take_fd(n, sample.publisher, token, FOREVER), "what is offered");
	/* none of it is anywhere else */
	ck_assert_within(process_fds(lib_router) == fds, DEADLINE_MS);
	ck_assert_int_eq(process_fds(getpid()), own);
	fails(zcp_node_take_fd(n, sample.publisher, token + 1, FOREVER), -ENOENT, "nothing is offered");
	fails(zcp_node_take_fd(n, sample.publisher, 0, FOREVER), -ENOENT, "nothing is offered");
	fails(zcp_node_take_fd(n, sample.publisher + 1000, token, FOREVER), -ENOENT, "gone, or not connected");
	fails(zcp_node_take_fd(stranger, sample.publisher, token, FOREVER), -ENOENT, "not connected");
	fd = zcp_node_take_fd(n, sample.publisher, token, FOREVER);
	stage_set(stage, WITHDRAW, 1);
	stage_wait(stage, WITHDRAWN, 1);
	fails(zcp_node_take_fd(n, sample.publisher, token, FOREVER), -ENOENT, "nothing is offered");
	expect_text(fd, "what is offered");
	/* stopped: there is a time for that */
	kill(pid, SIGSTOP);
	ck_assert_within(zcp_node_take_fd(n, sample.publisher, token, 20000000) == -ETIMEDOUT, DEADLINE_MS);
	process_kill(pid);
	ck_assert_within(zcp_node_take_fd(n, sample.publisher, token, FOREVER) == -ENOENT, DEADLINE_MS);
	zcp_sample_release(&sample);
	zcp_node_close(n);
	zcp_node_close(stranger);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Who asks a process that does not read its messages, as often as he can, gets no further than his quota, and it all comes back. */
START_TEST(flood)
{
	struct stage *stage = stage_new();
	int fds;
	zcp_subscriber *s;
	uint64_t publisher, token;
	zcp_node *n;
	int r = 0, tries = 0;
	pid_t pid;

	lib_router_start();
	fds = process_fds(lib_router);
	pid = process_start(offer_and_publish, stage);
	n = lib_node("n");
	s = lib_subscriber(n, &with_history);
	stage_wait(stage, TOKEN, 1);
	publisher = atomic_load(&stage->at[PUBLISHER]);
	token = atomic_load(&stage->at[TOKEN]);
	ok(zcp_subscriber_wait(s, FOREVER));
	expect_text(zcp_node_take_fd(n, publisher, token, FOREVER), "what is offered");
	kill(pid, SIGSTOP);
	do {
		r = zcp_node_take_fd(n, publisher, token, 0);
		tries++;
		if (r >= 0) {
			/* it is not stopped yet */
			close(r);
			r = -ETIMEDOUT;
		}
	} while (r == -ETIMEDOUT && tries < 100000);
	ck_assert_msg(r == -EBUSY || r == -EDQUOT, "after %d: %d: %s", tries, r, zcp_last_error());
	process_kill(pid);
	zcp_node_close(n);
	ck_assert_within(process_fds(lib_router) <= fds, DEADLINE_MS);
	lib_router_stop(SIGTERM);
}
END_TEST

/* ---- requests and responses; threads or none ----------------------------------------------------------------------- */

/* Bit 0: the one that offers has no thread; bit 1: the one that takes; bit 2: they are one node. */
START_TEST(with_requests)
{
	struct zcp_node_options a_options = { .sz = sizeof(a_options), .socket_path = lib_socket, .no_thread = _i & 1 };
	struct zcp_node_options b_options = { .sz = sizeof(b_options), .socket_path = lib_socket, .no_thread = _i & 2 };
	struct zcp_response response;
	struct zcp_request request;
	zcp_server *server;
	zcp_client *client;
	uint64_t token, id;
	zcp_node *a, *b;
	int fd, got;

	lib_router_start();
	ok(zcp_node_open(&a, "a", &a_options));
	b = a;
	if (!(_i & 4))
		ok(zcp_node_open(&b, "b", &b_options));
	client = open_client(a, NULL);
	server = open_server(b, NULL);
	ck_assert_within((zcp_node_dispatch(a), zcp_node_dispatch(b), zcp_client_servers(client) == 1), DEADLINE_MS);
	fd = memory_file("from the client");
	ok(zcp_node_offer_fd(a, fd, &token));
	close(fd);
	ok(zcp_client_send(client, &token, sizeof(token), &id));
	ck_assert_within((zcp_node_dispatch(a), zcp_node_dispatch(b), zcp_server_take(server, &request) == 0), DEADLINE_MS);
	memcpy(&token, request.data, sizeof(token));
	if (_i & 1 && !(_i & 4)) {
		/* nobody dispatches the one that offers */
		fails(zcp_node_take_fd(b, request.client, token, 1000000), -ETIMEDOUT, "in time");
		zcp_node_dispatch(a);
	} else {
		expect_text(zcp_node_take_fd(b, request.client, token, FOREVER), "from the client");
	}
	fd = memory_file("from the server");
	ok(zcp_node_offer_fd(b, fd, &token));
	close(fd);
	ok(zcp_request_reply(&request, &token, sizeof(token)));
	zcp_request_release(&request);
	ck_assert_within((zcp_node_dispatch(a), zcp_node_dispatch(b), zcp_client_take(client, &response) == 0), DEADLINE_MS);
	memcpy(&token, response.data, sizeof(token));
	if (!(_i & 2) || _i & 4) {
		got = zcp_node_take_fd(a, response.server, token, FOREVER);
		expect_text(got, "from the server");
	}
	zcp_response_release(&response);
	if (b != a)
		zcp_node_close(b);
	zcp_node_close(a);
	lib_router_stop(SIGTERM);
}
END_TEST

/* ---- over a restart, in a child, with nothing left ------------------------------------------------------------------- */

START_TEST(outlives_the_router)
{
	struct zcp_sample sample;
	zcp_publisher *p;
	zcp_subscriber *s;
	uint64_t token;
	zcp_node *n, *m;
	int fd, status;
	pid_t pid;

	lib_router_start();
	n = lib_node("n");
	m = lib_node("m");
	p = lib_publisher(n, &with_header);
	s = lib_subscriber(m, &with_history);
	ok(zcp_publisher_wait(p, 1, FOREVER));
	fd = memory_file("kept");
	ok(zcp_node_offer_fd(n, fd, &token));
	close(fd);
	ok(zcp_publisher_send_with(p, "", 0, &token));
	ok(zcp_subscriber_wait(s, FOREVER));
	ok(zcp_subscriber_take(s, &sample));
	lib_router_kill(SIGKILL);
	ck_assert_within(zcp_node_wait(m, 0) == -ETIMEDOUT, DEADLINE_MS);
	fails(zcp_node_take_fd(m, sample.publisher, token, FOREVER), -ENOTCONN, "router");
	lib_router_again();
	ok(zcp_node_wait(n, FOREVER));
	ok(zcp_node_wait(m, FOREVER));
	ck_assert_within((fd = zcp_node_take_fd(m, sample.publisher, token, FOREVER)) >= 0, DEADLINE_MS);
	expect_text(fd, "kept");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		bool all = zcp_node_offer_fd(n, 0, &token) == -EOWNERDEAD && zcp_node_withdraw_fd(n, token) == -EOWNERDEAD &&
			   zcp_node_take_fd(m, sample.publisher, token, 0) == -EOWNERDEAD;

		zcp_node_close(n);
		_exit(!all);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	expect_text(zcp_node_take_fd(m, sample.publisher, token, FOREVER), "kept");
	zcp_sample_release(&sample);
	zcp_node_close(n);
	zcp_node_close(m);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(no_descriptor_is_left)
{
	struct rlimit limit;
	zcp_publisher *p;
	zcp_subscriber *s;
	uint64_t token;
	zcp_node *n;
	int fds[512], used = 0, r;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &with_header);
	s = lib_subscriber(n, &with_history);
	(void)s;
	ok(zcp_publisher_wait(p, 1, FOREVER));
	fails(zcp_node_offer_fd(n, -1, &token), -EBADF, "not an open descriptor");
	ok(zcp_node_offer_fd(n, 0, &token));
	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 256;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
	while (used < 512 && (fds[used] = dup(0)) >= 0)
		used++;
	fails(zcp_node_offer_fd(n, 0, &token), -EMFILE, "");
	r = zcp_node_take_fd(n, zcp_publisher_id(p), token, FOREVER);
	ck_assert_msg(r == -EMFILE, "%d: %s", r, zcp_last_error());
	while (used)
		close(fds[--used]);
	r = (int)ok(zcp_node_take_fd(n, zcp_publisher_id(p), token, FOREVER));
	close(r);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-handover");
	TCase *tcase = add_test_case(suite, "handover", 60);

	tcase_add_test(tcase, with_a_sample);
	tcase_add_test(tcase, flood);
	tcase_add_loop_test(tcase, with_requests, 0, 6);
	tcase_add_test(tcase, outlives_the_router);
	tcase_add_test(tcase, no_descriptor_is_left);
	return run_suite(suite);
}
