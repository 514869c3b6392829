/* SPDX-License-Identifier: MIT */
/*
 * A router that is started by a service manager: with a socket that listens already, and with somebody to tell how
 * it goes. The test is the manager.
 */

#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/fd.h"
#include "common/memfd.h"

static char text[4096];

static int bound_socket(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	ck_assert_ok(fd);
	ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	ck_assert_ok(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
	return fd;
}

/* Non-blocking, as systemd has it. */
static int listening_socket(const char *path)
{
	int fd = bound_socket(path, SOCK_SEQPACKET | SOCK_NONBLOCK);

	ck_assert_ok(listen(fd, 16));
	return fd;
}

/* End it, and see that its directory is as it was: with the manager's socket in it, and nothing else. */
static void stop_and_expect_socket(struct test_router *router)
{
	struct stat before, after;
	int status;

	ck_assert_ok(stat(router->path, &before));
	ck_assert_ok(kill(router->pid, SIGTERM));
	ck_assert_within(waitpid(router->pid, &status, WNOHANG) == router->pid, DEADLINE_MS);
	ck_assert_int_eq(status, 0);
	ck_assert_ok(stat(router->path, &after));
	ck_assert_uint_eq(before.st_ino, after.st_ino);
}

static void remove_socket(const struct test_router *router)
{
	ck_assert_ok(unlink(router->path));
	ck_assert_ok(rmdir(router->directory));		/* no lock file, nothing */
}

/* A client that came before it is served, and one that came between it and its successor too. */
START_TEST(serves_who_waits)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };
	struct test_router router;
	union wire_message message;
	struct wire_hello hello;
	struct test_node node;
	int listener, early, fds[WIRE_FDS_MAX];

	router_prepare(&router);
	listener = listening_socket(router.path);
	router.passed = &listener;
	router.n_passed = 1;
	for (int round = 0; round < 2; round++) {
		early = client_connect(&router);
		hello_fill(&hello, 3, "early");
		client_send(early, &hello.header);
		/* This waits until the kernel names the router, and not the manager, as the one who listens. */
		router_run(&router, arguments);
		client_expect(early, WIRE_WELCOME, &message, fds);
		ck_assert_uint_eq(message.header.request, 3);
		close_fds(fds);
		close(early);
		node_join(&node, &router, "late");
		node_drop(&node);
		router_expect_base(&router);
		stop_and_expect_socket(&router);
	}
	close(listener);
	remove_socket(&router);
}
END_TEST

START_TEST(directory_has_its_path)
{
	/* the option says the same, so it does no harm; what the environment says is for others */
	struct test_router router;
	struct directory_view view;
	struct test_node node;
	const void *directory;
	int listener;

	router_prepare(&router);
	{
		const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", "--socket", router.path, NULL };

		ck_assert_ok(setenv("ZCP_ROUTER", "/nonexistent/router.sock", 1));
		listener = listening_socket(router.path);
		router.passed = &listener;
		router.n_passed = 1;
		router_run(&router, arguments);
	}
	node_join(&node, &router, "n");
	ck_assert_int_eq(memfd_map_reader(node.directory_fd, node.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, node.welcome.directory_bytes), 0);
	ck_assert_str_eq(view.header->socket_path, router.path);
	ck_assert_ok(munmap((void *)(uintptr_t)directory, node.welcome.directory_bytes));
	node_drop(&node);
	close(listener);
	stop_and_expect_socket(&router);
	remove_socket(&router);
}
END_TEST

/* A killed router leaves the manager's socket alone; the next one goes on with it. */
START_TEST(killed_and_started_again)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };
	struct test_router router;
	struct test_node node;
	int listener, status;

	router_prepare(&router);
	listener = listening_socket(router.path);
	router.passed = &listener;
	router.n_passed = 1;
	router_run(&router, arguments);
	ck_assert_ok(kill(router.pid, SIGKILL));
	ck_assert_int_eq(waitpid(router.pid, &status, 0), router.pid);
	router_run(&router, arguments);
	node_join(&node, &router, "n");
	node_drop(&node);
	stop_and_expect_socket(&router);
	close(listener);
	remove_socket(&router);
}
END_TEST

/* Meant for the process that started us, say. Then it is a router like any other. */
START_TEST(passed_to_another)
{
	const char *arguments[] = { "--quiet", "--socket", NULL, NULL };
	struct test_router router;
	char elsewhere[108];
	int listener;

	router_prepare(&router);
	snprintf(elsewhere, sizeof(elsewhere), "%s/passed.sock", router.directory);
	listener = listening_socket(elsewhere);
	router.passed = &listener;
	router.n_passed = 1;
	router.passed_to_another = true;
	arguments[2] = router.path;
	router_run(&router, arguments);
	close(listener);
	ck_assert_ok(unlink(elsewhere));
	router_stop(&router, SIGTERM);		/* which expects that it removes its own */
}
END_TEST

START_TEST(chosen_by_name)
{
	static const char *const names[] = { "other:zcp-router", "connection:zcp-router.socket", "zcp-router2:zcp-router:" };
	const char *arguments[] = { "--quiet", NULL };
	struct test_router router;
	struct test_node node;
	char other[108];
	int listeners[2];

	router_prepare(&router);
	snprintf(other, sizeof(other), "%s/other.sock", router.directory);
	listeners[0] = listening_socket(other);
	listeners[1] = listening_socket(router.path);
	router.passed = listeners;
	router.n_passed = 2;
	router.passed_names = names[_i];
	router_run(&router, arguments);
	node_join(&node, &router, "n");
	node_drop(&node);
	stop_and_expect_socket(&router);
	close(listeners[0]);
	close(listeners[1]);
	ck_assert_ok(unlink(other));
	remove_socket(&router);
}
END_TEST

static void expect_refused(struct test_router *router, const int *fds, unsigned int n, const char *names, const char *part)
{
	const char *arguments[] = { NULL };

	router->passed = fds;
	router->n_passed = n;
	router->passed_names = names;
	ck_assert_int_eq(router_fails(router, arguments, text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, part) != NULL, "expected %s, got: %s", part, text);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);		/* one line */
}

START_TEST(wrong_number)
{
	struct test_router router;
	int two[2];

	router_prepare(&router);
	two[0] = two[1] = listening_socket(router.path);
	expect_refused(&router, two, 2, NULL, "none is called zcp-router");
	expect_refused(&router, two, 2, "a", "none is called zcp-router");
	expect_refused(&router, two, 2, "a:b:zcp-router", "none is called zcp-router");
	expect_refused(&router, two, 2, "zcp-router:zcp-router.socket", "more than one is called zcp-router");
	close(two[0]);
	remove_socket(&router);
}
END_TEST

START_TEST(wrong_kind)
{
	struct sockaddr_un abstract = { .sun_family = AF_UNIX };
	struct test_router router;
	int fd, pair[2];

	router_prepare(&router);

	fd = bound_socket(router.path, SOCK_STREAM);
	ck_assert_ok(listen(fd, 1));
	expect_refused(&router, &fd, 1, NULL, "SOCK_SEQPACKET");
	close(fd);
	ck_assert_ok(unlink(router.path));

	fd = bound_socket(router.path, SOCK_SEQPACKET);
	expect_refused(&router, &fd, 1, NULL, "does not listen");
	close(fd);
	ck_assert_ok(unlink(router.path));

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_ok(bind(fd, (const struct sockaddr *)&abstract, offsetof(struct sockaddr_un, sun_path)));
	ck_assert_ok(listen(fd, 1));
	expect_refused(&router, &fd, 1, NULL, "no path");
	close(fd);

	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect_refused(&router, &fd, 1, NULL, "not a Unix socket");
	close(fd);

	ck_assert_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	expect_refused(&router, &pair[0], 1, NULL, "does not listen");
	close(pair[0]);
	close(pair[1]);
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

START_TEST(told_otherwise)
{
	const char *elsewhere[] = { "--socket", "/nonexistent/router.sock", NULL };
	const char *mode[] = { "--socket-mode", "0660", "--exit-when-idle=0", "--quiet", NULL };
	struct test_router router;
	int fd;

	router_prepare(&router);
	fd = listening_socket(router.path);
	router.passed = &fd;
	router.n_passed = 1;
	ck_assert_int_eq(router_fails(&router, elsewhere, text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, router.path));
	ck_assert_ptr_nonnull(strstr(text, elsewhere[1]));
	ck_assert_int_eq(router_fails(&router, mode, text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, "SocketMode=0660"));
	close(fd);
	remove_socket(&router);
}
END_TEST

/* From ready to stopping, and in between the watchdog is fed, however seldom heartbeats are looked at. */
START_TEST(manager_hears)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", "--heartbeat-scan-ms", "60000", "--heartbeat-timeout-ms", "120000",
				    NULL };
	struct test_router router;
	char manager[108];
	int fd, listener, status;

	router_prepare(&router);
	snprintf(manager, sizeof(manager), "%s/notify", router.directory);
	fd = bound_socket(manager, SOCK_DGRAM);
	ck_assert_ok(setenv("NOTIFY_SOCKET", manager, 1));
	ck_assert_ok(setenv("WATCHDOG_USEC", "200000", 1));
	listener = listening_socket(router.path);
	router.passed = &listener;
	router.n_passed = 1;
	router_run(&router, arguments);

	ck_assert(client_has_message(fd, DEADLINE_MS));
	memset(text, 0, sizeof(text));
	ck_assert_ok(recv(fd, text, sizeof(text) - 1, 0));
	ck_assert_msg(strncmp(text, "READY=1\nSTATUS=Listening on ", 28) == 0, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, router.path));
	ck_assert_ptr_nonnull(strstr(text, loop_argument(_i)));
	for (int i = 0; i < 5; i++) {
		ck_assert(client_has_message(fd, DEADLINE_MS));
		memset(text, 0, sizeof(text));
		ck_assert_ok(recv(fd, text, sizeof(text) - 1, 0));
		ck_assert_str_eq(text, "WATCHDOG=1");
	}
	ck_assert_ok(kill(router.pid, SIGTERM));
	do {
		ck_assert(client_has_message(fd, DEADLINE_MS));
		memset(text, 0, sizeof(text));
		ck_assert_ok(recv(fd, text, sizeof(text) - 1, 0));
	} while (!strcmp(text, "WATCHDOG=1"));
	ck_assert_msg(strncmp(text, "STOPPING=1\n", 11) == 0, "%s", text);
	ck_assert_within(waitpid(router.pid, &status, WNOHANG) == router.pid, DEADLINE_MS);
	ck_assert_int_eq(status, 0);
	close(fd);
	close(listener);
	ck_assert_ok(unlink(manager));
	remove_socket(&router);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-activation");
	TCase *passed = add_test_case(suite, "passed", 60);
	TCase *refused = add_test_case(suite, "refused", 60);
	TCase *manager = add_test_case(suite, "manager", 60);

	tcase_add_loop_test(passed, serves_who_waits, 0, N_LOOPS);
	tcase_add_loop_test(passed, directory_has_its_path, 0, N_LOOPS);
	tcase_add_loop_test(passed, killed_and_started_again, 0, N_LOOPS);
	tcase_add_test(passed, passed_to_another);
	tcase_add_loop_test(passed, chosen_by_name, 0, 3);
	tcase_add_test(refused, wrong_number);
	tcase_add_test(refused, wrong_kind);
	tcase_add_test(refused, told_otherwise);
	tcase_add_loop_test(manager, manager_hears, 0, N_LOOPS);
	return run_suite(suite);
}
