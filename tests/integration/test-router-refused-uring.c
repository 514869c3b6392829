/* SPDX-License-Identifier: MIT */
/*
 * A router that io_uring is refused, in each of the ways that occur: it says so once, with the cure, runs on epoll, shows that in
 * its directory and serves; or it ends, if io_uring was asked for.
 */

#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/memfd.h"

#define SYSCTL "/proc/sys/kernel/io_uring_disabled"
#define NOBODY 65534

enum way { SECCOMP, MEMLOCK, BY_SYSCTL, N_WAYS };

static const char *const cures[N_WAYS] = { "seccomp", "LimitMEMLOCK", "kernel.io_uring_disabled" };

static struct test_router router;
static bool was_set;
static int lock = -1;

/* 0, or -1 with errno. */
static int write_sysctl(char value)
{
	int fd = open(SYSCTL, O_WRONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -1;
	r = write(fd, &value, 1) == 1 ? 0 : -1;
	close(fd);
	return r;
}

static char read_sysctl(void)
{
	int fd = open(SYSCTL, O_RDONLY | O_CLOEXEC);
	char value = 0;

	if (fd >= 0) {
		if (read(fd, &value, 1) != 1)
			value = 0;
		close(fd);
	}
	return value;
}

/* In the process that outlives the tests, however those end. */
static void restore(void)
{
	if (read_sysctl() == '1')
		ck_assert_ok(write_sysctl('0'));
}

/* The reason why it cannot be done, or NULL. */
static const char *refuse(enum way way)
{
	struct rlimit none = { 0, 0 };

	router_prepare(&router);
	if (way == SECCOMP) {
		router.without_uring = true;
		return NULL;
	}
	if (geteuid() != 0)
		return "only root can run the router as another user";
	if (!router_runs_as(NOBODY))
		return "uid 65534 cannot reach the router's binary";
	router.uid = NOBODY;
	ck_assert_ok(chown(router.directory, router.uid, (gid_t)-1));
	if (way == MEMLOCK) {
		lock = lock_io_uring(false);
		ck_assert_ok(setrlimit(RLIMIT_MEMLOCK, &none));
		return NULL;
	}
	lock = lock_io_uring(true);
	if (!read_sysctl())
		return "this kernel has no kernel.io_uring_disabled (Linux 6.6 has)";
	if (read_sysctl() != '0')
		return NULL;		/* it is refused already */
	was_set = write_sysctl('1') == 0;	/* refused to those without CAP_SYS_ADMIN */
	return was_set ? NULL : "kernel.io_uring_disabled cannot be set here";
}

static void expect_one_warning(enum way way, const char *text)
{
	const char *warning = strstr(text, "warning: no io_uring");

	ck_assert_msg(warning && strstr(warning, cures[way]), "%s", text);
	ck_assert_msg(!strstr(warning + 1, "warning"), "%s", text);
	ck_assert_msg(strstr(text, "loop epoll") != NULL, "%s", text);
}

static void expect_service(void)
{
	struct test_endpoint publisher, subscriber;
	struct wire_endpoint_open open;
	struct wire_writer_added added;
	struct directory_view view;
	union wire_message message;
	const void *directory;
	struct test_node node;

	node_join(&node, &router, "n");
	ck_assert_int_eq(memfd_map_reader(node.directory_fd, node.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, node.welcome.directory_bytes), 0);
	ck_assert_uint_eq(view.header->loop, DIRECTORY_LOOP_EPOLL);
	subscriber_fill(&open, 1, "t", 4);
	endpoint_ready(&subscriber, node.fd, &open);
	publisher_fill(&open, 2, "t", 4);
	endpoint_open(&publisher, node.fd, &open);
	endpoint_mapped(&publisher, node.fd);
	client_expect(node.fd, WIRE_WRITER_ADDED, &message, NULL);
	added = message.writer_added;
	client_expect(node.fd, WIRE_ENDPOINT_READY, &message, NULL);
	lane_choose(node.fd, &added, 0);
	client_expect(node.fd, WIRE_LANE_ADDED, &message, NULL);
	endpoint_forget(&subscriber);
	endpoint_forget(&publisher);
	munmap((void *)(uintptr_t)directory, node.welcome.directory_bytes);
	node_leave(&node);
}

START_TEST(refused)
{
	const char *automatic[] = { "--exit-when-idle=0", NULL }, *forced[] = { "--loop", "io_uring", NULL };
	const char *quiet[] = { "--quiet", NULL };
	const char *obstacle = refuse((enum way)_i);
	char text[4096];

	if (obstacle) {
		if (lock >= 0)
			close(lock);
		rmdir(router.directory);
		skip_test("%s", obstacle);
	}
	ck_assert_int_eq(router_fails(&router, automatic, text, sizeof(text)), 0);
	expect_one_warning((enum way)_i, text);
	ck_assert_int_eq(router_fails(&router, forced, text, sizeof(text)), 1);
	ck_assert_msg(strstr(text, cures[_i]) != NULL, "%s", text);
	router_run(&router, quiet);
	if (was_set)
		ck_assert_ok(write_sysctl('0'));
	if (lock >= 0)
		close(lock);
	expect_service();
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-refused-uring");
	TCase *ways = add_test_case(suite, "ways", 60);

	tcase_add_unchecked_fixture(ways, NULL, restore);
	tcase_add_loop_test(ways, refused, 0, N_WAYS);
	return run_suite(suite);
}
