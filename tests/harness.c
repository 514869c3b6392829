/* SPDX-License-Identifier: MIT */
/* See harness.h for what this is and how to use it. */

#include "harness.h"

#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Beyond this the leak check no longer says which descriptors are new, only how many. */
#define FD_MAP_BITS 4096

static unsigned char fds_before[FD_MAP_BITS];
static int n_fds_before = -1;

static int scan_fds(unsigned char *map)
{
	int n_fds = 0;
	DIR *dir = opendir("/proc/self/fd");

	if (!dir)
		return -1;

	for (struct dirent *entry; (entry = readdir(dir));) {
		char *end;
		long fd = strtol(entry->d_name, &end, 10);

		if (*end || end == entry->d_name || fd == dirfd(dir))
			continue;
		if (map && fd < FD_MAP_BITS)
			map[fd] = 1;
		n_fds++;
	}

	closedir(dir);
	return n_fds;
}

int count_fds(void)
{
	return scan_fds(NULL);
}

void fd_leak_setup(void)
{
	memset(fds_before, 0, sizeof(fds_before));
	n_fds_before = scan_fds(fds_before);
	ck_assert_msg(n_fds_before >= 0, "cannot read /proc/self/fd: %s", strerror(errno));
}

void fd_leak_teardown(void)
{
	unsigned char fds_after[FD_MAP_BITS] = { 0 };
	int n_fds_after = scan_fds(fds_after);

	if (n_fds_after == n_fds_before)
		return;

	for (int fd = 0; fd < FD_MAP_BITS; fd++) {
		char path[64], target[256];
		ssize_t length;

		if (fds_after[fd] == fds_before[fd])
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = 0;
		fprintf(stderr, "%s: fd %d %s\n", fds_after[fd] ? "leaked" : "lost", fd, target);
	}
	ck_abort_msg("%d descriptors before the test, %d after it", n_fds_before, n_fds_after);
}

TCase *add_test_case(Suite *suite, const char *name, double timeout_s)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, timeout_s);
	tcase_add_checked_fixture(tcase, fd_leak_setup, fd_leak_teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int n_failed;

	if (!getenv("CK_FORK"))
		srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Yields at first, since most conditions are met by a thread that only needs the CPU, then naps. */
void wait_a_little(unsigned int round)
{
	if (round < 64) {
		sched_yield();
	} else {
		struct timespec nap = { .tv_nsec = round < 256 ? 100000 : 2000000 };

		nanosleep(&nap, NULL);
	}
}

void skip_suite(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("SKIP: ", stdout);
	vprintf(format, args);
	putchar('\n');
	va_end(args);
	exit(77);
}

/* stdout is buffered and the child of check's forked mode leaves by _exit in some paths: flush. */
void note_skip(const char *test, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("skipped %s: ", test);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	va_end(args);
}
