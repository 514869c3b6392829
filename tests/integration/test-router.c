/* SPDX-License-Identifier: MIT */
/*
 * The router as a process: start, lock, socket, signals, options, idleness. What it says to clients
 * is in test-router-*.c.
 */

#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
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
#include "common/message.h"

static char text[4096];

START_TEST(hello_and_welcome)
{
	struct test_router router;
	struct directory_view view;
	struct directory_node row;
	struct test_node node;
	const void *directory;

	router_start(&router, _i, NULL);
	node_join(&node, &router, "alpha");
	ck_assert_uint_ne(node.welcome.node, 0);
	ck_assert_uint_ne(node.welcome.epoch, 0);
	ck_assert_uint_eq(node.welcome.node_page_bytes, NODE_PAGE_BYTES);

	ck_assert_int_eq(memfd_map_reader(node.directory_fd, node.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, node.welcome.directory_bytes), 0);
	ck_assert_uint_eq(view.header->epoch, node.welcome.epoch);
	ck_assert_uint_eq(view.header->router_pid, (uint32_t)router.pid);
	ck_assert_uint_eq(view.header->loop, _i ? DIRECTORY_LOOP_EPOLL : DIRECTORY_LOOP_IO_URING);
	ck_assert_str_eq(view.header->socket_path, router.path);

	ck_assert_within(directory_read_node(&view, 0, &row) == 1, DEADLINE_MS);
	ck_assert_uint_eq(row.id, node.welcome.node);
	ck_assert_uint_eq(row.pid, (uint32_t)getpid());
	ck_assert_uint_eq(row.uid, geteuid());
	ck_assert_str_eq(row.name, "alpha");
	/* The directory cannot be written through what the router handed out. */
	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, node.directory_fd, 0), MAP_FAILED);

	node_drop(&node);
	ck_assert_within(directory_read_node(&view, 0, &row) == 0, DEADLINE_MS);
	ck_assert_uint_eq(view.header->total_deaths, 0);	/* our process lives */
	munmap((void *)(uintptr_t)directory, node.welcome.directory_bytes);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(goodbye_is_not_a_death)
{
	struct wire_goodbye goodbye;
	struct test_router router;
	struct directory_view view;
	struct test_node a, b;
	const void *directory;

	router_start(&router, _i, NULL);
	node_join(&a, &router, "a");
	node_join(&b, &router, "b");
	ck_assert_int_eq(memfd_map_reader(b.directory_fd, b.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, b.welcome.directory_bytes), 0);
	ck_assert_within(view.header->n_nodes == 2, DEADLINE_MS);
	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	client_send(a.fd, &goodbye.header);
	ck_assert_within(view.header->n_nodes == 1, DEADLINE_MS);
	ck_assert_int_eq(client_expect_end(a.fd), 0);
	ck_assert_uint_eq(view.header->total_deaths, 0);
	node_drop(&a);
	node_drop(&b);
	munmap((void *)(uintptr_t)directory, b.welcome.directory_bytes);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(signals_end_it_cleanly)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct test_router router;
	struct test_node node;

	router_start(&router, _i % 2, NULL);
	node_join(&node, &router, "n");
	router_stop(&router, signals[_i / 2]);
	ck_assert_int_eq(client_expect_end(node.fd), 0);
	node_drop(&node);
}
END_TEST

START_TEST(second_router_is_refused)
{
	const char *arguments[] = { "--loop", loop_argument(_i), NULL };
	struct test_router router;
	struct test_node node;
	char pid[32];

	router_start(&router, _i, NULL);
	ck_assert_int_eq(router_fails(&router, arguments, text, sizeof(text)), 1);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)router.pid);
	ck_assert_ptr_nonnull(strstr(text, pid));
	ck_assert_ptr_nonnull(strstr(text, router.path));
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);	/* one line */
	node_join(&node, &router, "unharmed");
	node_drop(&node);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };
	struct test_router router;
	struct test_node node;
	int status;

	router_start(&router, _i, NULL);
	ck_assert_ok(kill(router.pid, SIGKILL));
	ck_assert_int_eq(waitpid(router.pid, &status, 0), router.pid);
	ck_assert_int_eq(access(router.path, F_OK), 0);	/* it could not tidy up */
	router_run(&router, arguments);
	node_join(&node, &router, "n");
	node_drop(&node);
	router_stop(&router, SIGTERM);
}
END_TEST

/*
 * The lock file goes with its owner. Many start at once: exactly one of them serves at any time,
 * none is confused.
 */
START_TEST(routers_race_for_the_lock)
{
	const char *arguments[] = { "--quiet", "--exit-when-idle=0", NULL };
	struct test_router router;

	router_prepare(&router);
	for (int i = 0; i < 4; i++) {
		pid_t pids[4];
		int status;

		for (int k = 0; k < 4; k++) {
			pids[k] = fork();
			ck_assert_ok(pids[k]);
			if (!pids[k])
				_exit(router_fails(&router, arguments, text, sizeof(text)));
		}
		for (int k = 0; k < 4; k++) {
			ck_assert_int_eq(waitpid(pids[k], &status, 0), pids[k]);
			ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		}
		ck_assert_int_ne(access(router.path, F_OK), 0);
	}
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

START_TEST(foreign_files_and_directories)
{
	const char *none[] = { NULL }, *any[] = { "--any-directory", "--exit-when-idle=0", "--quiet", NULL };
	struct test_router router;
	int fd;

	router_prepare(&router);
	fd = open(router.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_ok(fd);
	close(fd);
	ck_assert_int_eq(router_fails(&router, none, text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, "not a socket"));
	ck_assert_ok(unlink(router.path));

	ck_assert_ok(chmod(router.directory, 0777));
	ck_assert_int_eq(router_fails(&router, none, text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, "chmod go-w"));
	ck_assert_int_eq(router_fails(&router, any, text, sizeof(text)), 0);
	ck_assert_ok(chmod(router.directory, 0700));

	if (geteuid() == 0) {
		ck_assert_ok(chown(router.directory, 12345, (gid_t)-1));
		ck_assert_int_eq(router_fails(&router, none, text, sizeof(text)), 1);
		ck_assert_ptr_nonnull(strstr(text, "12345"));
	}
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

/*
 * A socket that somebody listens on although the lock is free (its file was deleted by hand) is not
 * taken over.
 */
START_TEST(listener_without_lock)
{
	const char *none[] = { NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct test_router router;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	router_prepare(&router);
	strcpy(address.sun_path, router.path);
	ck_assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	ck_assert_ok(listen(fd, 4));
	ck_assert_int_eq(router_fails(&router, none, text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, "somebody listens"));
	close(fd);
	ck_assert_ok(unlink(router.path));
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

/* The kernel may keep the socket of a router that was killed open for a while: what counts is who called listen(). */
START_TEST(listener_of_the_dead)
{
	const char *arguments[] = { "--quiet", "--exit-when-idle=0", NULL };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), status;
	struct test_router router;
	pid_t pid;

	router_prepare(&router);
	strcpy(address.sun_path, router.path);
	ck_assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	pid = fork();
	ck_assert_ok(pid);
	if (!pid)
		_exit(listen(fd, 4) < 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(router_fails(&router, arguments, text, sizeof(text)), 0);
	close(fd);
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

START_TEST(paths)
{
	const char *long_path[] = { "--socket", text, NULL };
	struct test_router router;
	char directory[64], expected[200];

	router_prepare(&router);
	memset(text, 'x', 200);
	text[0] = '/';
	text[200] = 0;
	{
		char output[4096];

		ck_assert_int_eq(router_fails(&router, long_path, output, sizeof(output)), 1);
		ck_assert_ptr_nonnull(strstr(output, "107"));
	}

	/*
	 * $XDG_RUNTIME_DIR/zcp is created, mode 0700; $ZCP_ROUTER goes before it; an empty --socket
	 * is wrong usage.
	 */
	strcpy(directory, router.directory);
	snprintf(router.path, sizeof(router.path), "%s/zcp/router.sock", directory);
	ck_assert_ok(setenv("XDG_RUNTIME_DIR", directory, 1));
	unsetenv("ZCP_ROUTER");
	{
		char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exec \"$ZCP_ROUTER_BIN\" --exit-when-idle=0 2>&1", NULL };
		struct stat st;
		int fds[2], status;
		pid_t pid;

		ck_assert_ok(pipe2(fds, O_CLOEXEC));
		pid = fork();
		if (!pid) {
			dup2(fds[1], 1);
			execvp("sh", argv);
			_exit(127);
		}
		close(fds[1]);
		memset(text, 0, sizeof(text));
		while (read(fds[0], text + strlen(text), sizeof(text) - 1 - strlen(text)) > 0)
			;
		close(fds[0]);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
		snprintf(expected, sizeof(expected), "listening on %s, loop ", router.path);
		ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
		snprintf(expected, sizeof(expected), "%s/zcp", directory);
		ck_assert_ok(stat(expected, &st));
		ck_assert_uint_eq(st.st_mode & 07777, 0700);
		ck_assert_ok(rmdir(expected));
	}
	ck_assert_ok(rmdir(directory));
}
END_TEST

START_TEST(wrong_usage)
{
	static const char *const cases[][3] = {
		{ "--frobnicate", NULL }, { "argument", NULL }, { "--max-nodes", "0", NULL }, { "--max-nodes", "-1", NULL },
		{ "--max-nodes", "5x", NULL }, { "--max-bytes-per-uid", "12Q", NULL }, { "--max-bytes-per-uid", "99999999T", NULL },
		{ "--loop", "select", NULL }, { "--config", "/nonexistent", NULL }, { "--socket-mode", "999", NULL },
		{ "--exit-when-idle=soon", NULL }, { "--max-endpoints", NULL }, { "--detectors", "bpf,luck", NULL },
		{ "--heartbeat-timeout-ms", "300", NULL },
	};
	struct test_router router;

	router_prepare(&router);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(router_fails(&router, cases[i], text, sizeof(text)) == 2, "%s: %s", cases[i][0], text);
		ck_assert_msg(strncmp(text, "zcp-router: ", 12) == 0, "%s", text);
		ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	}
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

static unsigned long voluntary_switches(pid_t pid)
{
	unsigned long n = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
			break;
	}
	fclose(file);
	return n;
}

/*
 * With nodes connected and nothing to do, the heartbeat scan is the only thing that wakes it: 7
 * times in 2 s.
 */
START_TEST(idle_router_sleeps)
{
	struct timespec two = { .tv_sec = 2 };
	struct test_router router;
	struct test_node nodes[4];
	unsigned long before, n;

	router_start(&router, _i, NULL);
	for (int i = 0; i < 4; i++) {
		struct wire_endpoint_open open;
		struct test_endpoint endpoint;

		node_join(&nodes[i], &router, "idle");
		subscriber_fill(&open, 1, "idle", 4);
		endpoint_ready(&endpoint, nodes[i].fd, &open);
		endpoint_forget(&endpoint);
	}
	before = voluntary_switches(router.pid);
	nanosleep(&two, NULL);		/* the one duration that is the subject of a test */
	n = voluntary_switches(router.pid) - before;
	ck_assert_msg(n < 30, "%lu wake-ups in 2 s", n);
	for (int i = 0; i < 4; i++)
		node_drop(&nodes[i]);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(exits_when_idle)
{
	const char *arguments[] = { "--loop", loop_argument(_i), "--exit-when-idle=1", "--quiet", NULL };
	struct test_router router;
	struct test_node node;
	int status;

	router_prepare(&router);
	router_run(&router, arguments);
	node_join(&node, &router, "n");
	ck_assert(!client_has_message(node.fd, 2000));	/* nor an end of file */
	ck_assert(router_lives(&router));
	node_drop(&node);
	ck_assert_within(waitpid(router.pid, &status, WNOHANG) == router.pid, DEADLINE_MS);
	ck_assert_int_eq(status, 0);
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

/*
 * A node that never beats is marked after 3 s, loses nothing, and is cleared when it beats again.
 * Unmonitored ones are not looked at.
 */
START_TEST(unresponsive_is_marked)
{
	struct test_router router;
	struct directory_view view;
	struct directory_node row;
	struct test_node node;
	struct node_page *page;
	const void *directory;

	router_start(&router, _i, NULL);
	node_join(&node, &router, "sleeper");
	page = node.page;
	ck_assert_int_eq(memfd_map_reader(node.directory_fd, node.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, node.welcome.directory_bytes), 0);
	ck_assert_within(directory_read_node(&view, 0, &row) == 1, DEADLINE_MS);
	ck_assert_uint_eq(row.flags, 0);
	ck_assert_within(directory_read_node(&view, 0, &row) == 1 && row.flags & DIRECTORY_NODE_UNRESPONSIVE, DEADLINE_MS);
	atomic_fetch_add(&page->heartbeat_ns, 1);
	ck_assert_within(directory_read_node(&view, 0, &row) == 1 && !(row.flags & DIRECTORY_NODE_UNRESPONSIVE), DEADLINE_MS);
	ck_assert(!client_has_message(node.fd, 0));
	munmap((void *)(uintptr_t)directory, node.welcome.directory_bytes);
	node_drop(&node);
	router_stop(&router, SIGTERM);
}
END_TEST

/*
 * A router that was stopped itself has not seen the beats of that time, and gives everybody the
 * full patience again.
 */
START_TEST(stalled_router_gives_grace)
{
	struct timespec two = { .tv_sec = 2 };
	struct test_router router;
	struct directory_view view;
	struct directory_node row;
	struct test_node node;
	const void *directory;
	int64_t resumed_ns;

	router_start(&router, _i, NULL);
	node_join(&node, &router, "n");
	ck_assert_int_eq(memfd_map_reader(node.directory_fd, node.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, node.welcome.directory_bytes), 0);
	ck_assert_within(directory_read_node(&view, 0, &row) == 1, DEADLINE_MS);
	ck_assert_ok(kill(router.pid, SIGSTOP));
	nanosleep(&two, NULL);
	ck_assert_ok(kill(router.pid, SIGCONT));
	resumed_ns = now_ns();
	ck_assert_within(directory_read_node(&view, 0, &row) == 1 && row.flags & DIRECTORY_NODE_UNRESPONSIVE, DEADLINE_MS);
	ck_assert_msg(now_ns() - resumed_ns > 2900000000, "marked %lld ms after the stall",
		      (long long)(now_ns() - resumed_ns) / 1000000);
	munmap((void *)(uintptr_t)directory, node.welcome.directory_bytes);
	node_drop(&node);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(ready_is_reported)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct test_router router;
	char state[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	router_prepare(&router);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s.notify", router.directory);
	ck_assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	ck_assert_ok(setenv("NOTIFY_SOCKET", address.sun_path, 1));
	{
		const char *arguments[] = { "--loop", loop_argument(_i), "--quiet", NULL };

		router_run(&router, arguments);
	}
	ck_assert(client_has_message(fd, DEADLINE_MS));
	ck_assert_ok(recv(fd, state, sizeof(state) - 1, MSG_DONTWAIT));
	ck_assert_msg(strncmp(state, "READY=1\n", 8) == 0, "%s", state);
	close(fd);
	ck_assert_ok(unlink(address.sun_path));
	router_stop(&router, SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router");
	TCase *life = add_test_case(suite, "life", 60);
	TCase *socket = add_test_case(suite, "socket", 60);
	TCase *time = add_test_case(suite, "time", 60);

	tcase_add_loop_test(life, hello_and_welcome, 0, N_LOOPS);
	tcase_add_loop_test(life, goodbye_is_not_a_death, 0, N_LOOPS);
	tcase_add_loop_test(life, signals_end_it_cleanly, 0, 3 * N_LOOPS);
	tcase_add_loop_test(life, ready_is_reported, 0, N_LOOPS);
	tcase_add_test(life, wrong_usage);
	tcase_add_loop_test(socket, second_router_is_refused, 0, N_LOOPS);
	tcase_add_loop_test(socket, stale_socket_is_replaced, 0, N_LOOPS);
	tcase_add_test(socket, routers_race_for_the_lock);
	tcase_add_test(socket, foreign_files_and_directories);
	tcase_add_test(socket, listener_without_lock);
	tcase_add_test(socket, listener_of_the_dead);
	tcase_add_test(socket, paths);
	tcase_add_loop_test(time, idle_router_sleeps, 0, N_LOOPS);
	tcase_add_loop_test(time, exits_when_idle, 0, N_LOOPS);
	tcase_add_loop_test(time, unresponsive_is_marked, 0, N_LOOPS);
	tcase_add_loop_test(time, stalled_router_gives_grace, 0, N_LOOPS);
	return run_suite(suite);
}
