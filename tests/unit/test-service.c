/* SPDX-License-Identifier: MIT */
#include "router/service.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/fd.h"
#include "harness.h"

static char heard[2048];

/* A service manager's socket, in the abstract namespace: the kernel picks the name. */
static int manager_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = offsetof(struct sockaddr_un, sun_path);
	char name[sizeof(address.sun_path) + 1] = "@";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_ok(fd);
	ck_assert_ok(bind(fd, (const struct sockaddr *)&address, length));
	length = sizeof(address);
	ck_assert_ok(getsockname(fd, (struct sockaddr *)&address, &length));
	memcpy(name + 1, address.sun_path + 1, length - offsetof(struct sockaddr_un, sun_path) - 1);
	ck_assert_ok(setenv("NOTIFY_SOCKET", name, 1));
	return fd;
}

/* "" when nothing was said. */
static const char *hear(int fd)
{
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);

	heard[n > 0 ? n : 0] = 0;
	return heard;
}

START_TEST(tells)
{
	struct service service;
	char longest[1500];
	int manager = manager_open();

	service_open(&service);
	service_tell(&service, "READY=1\nSTATUS=%d %s", 7, "things");
	ck_assert_str_eq(hear(manager), "READY=1\nSTATUS=7 things");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	service_tell(&service, "STATUS=%s", longest);
	ck_assert_uint_eq(strlen(hear(manager)), 1023);

	/* A manager that reads nothing holds nobody up. */
	for (int i = 0; i < 10000; i++)
		service_tell(&service, "STATUS=%d", i);
	ck_assert_str_eq(hear(manager), "STATUS=0");
	service_close(&service);
	fd_close(manager);
}
END_TEST

START_TEST(nobody_to_tell)
{
	static const char *const places[] = { "", "@", "/", "relative", "vsock:2:1234", "/nonexistent/notify" };
	char longest[200];
	struct service service;

	ck_assert_ok(setenv("WATCHDOG_USEC", "1000000", 1));
	ck_assert_ok(unsetenv("NOTIFY_SOCKET"));
	service_open(&service);
	ck_assert_int_eq(service.fd, -1);
	ck_assert_uint_eq(service.watchdog_ns, 0);
	service_tell(&service, "READY=1");
	service_close(&service);

	memset(longest, '/', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	for (size_t i = 0; i <= sizeof(places) / sizeof(places[0]); i++) {
		ck_assert_ok(setenv("NOTIFY_SOCKET", i < sizeof(places) / sizeof(places[0]) ? places[i] : longest, 1));
		service_open(&service);
		service_tell(&service, "READY=1");
		service_close(&service);
	}
}
END_TEST

START_TEST(whose_watchdog)
{
	static const struct {
		const char *usec;
		int pid;		/* 0: not said, else ours and that less 1 */
		uint64_t ns;
	} cases[] = {
		{ "30000000", 1, 30000000000 }, { "30000000", 0, 30000000000 }, { "30000000", 2, 0 }, { NULL, 1, 0 },
		{ "", 1, 0 }, { "0", 1, 0 }, { "-1", 1, 0 }, { "12s", 1, 0 }, { "18446744073709551615", 1, 0 },
		{ "99999999999999999999", 1, 0 },
	};
	int manager = manager_open();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct service service;
		char pid[16];

		snprintf(pid, sizeof(pid), "%d", (int)getpid() + cases[i].pid - 1);
		ck_assert_ok(cases[i].pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID"));
		ck_assert_ok(cases[i].usec ? setenv("WATCHDOG_USEC", cases[i].usec, 1) : unsetenv("WATCHDOG_USEC"));
		service_open(&service);
		ck_assert_msg(service.watchdog_ns == cases[i].ns, "case %zu: %llu", i, (unsigned long long)service.watchdog_ns);
		service_close(&service);
	}
	fd_close(manager);
}
END_TEST

/* With ticks up to half as long as its patience, it never waits that long, and is not fed at each of many. */
START_TEST(feeds_watchdog)
{
	static const uint64_t ticks_ns[] = { 1000000, 300000000, 333333333, 400000000, 500000000 };
	const uint64_t patience_ns = 1000000000;
	int manager = manager_open();

	ck_assert_ok(unsetenv("WATCHDOG_PID"));
	ck_assert_ok(setenv("WATCHDOG_USEC", "1000000", 1));
	for (size_t i = 0; i < sizeof(ticks_ns) / sizeof(ticks_ns[0]); i++) {
		uint64_t start_ns = 5000000000, fed_ns = start_ns;
		struct service service;
		unsigned int n_fed = 0;

		service_open(&service);
		for (uint64_t now_ns = start_ns; now_ns < start_ns + 20 * patience_ns; now_ns += ticks_ns[i]) {
			service_feed_watchdog(&service, now_ns);
			if (!strcmp(hear(manager), "WATCHDOG=1")) {
				n_fed++;
				fed_ns = now_ns;
			}
			ck_assert_uint_lt(now_ns - fed_ns, patience_ns);
		}
		ck_assert_uint_le(n_fed, 61);
		service_close(&service);
	}
	fd_close(manager);
}
END_TEST

START_TEST(unwatched_is_silent)
{
	int manager = manager_open();
	struct service service;

	ck_assert_ok(unsetenv("WATCHDOG_USEC"));
	service_open(&service);
	service_feed_watchdog(&service, 1000000000000);
	ck_assert_str_eq(hear(manager), "");
	service_close(&service);
	fd_close(manager);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("service");
	TCase *tcase = add_test_case(suite, "service", 30);

	tcase_add_test(tcase, tells);
	tcase_add_test(tcase, nobody_to_tell);
	tcase_add_test(tcase, whose_watchdog);
	tcase_add_test(tcase, feeds_watchdog);
	tcase_add_test(tcase, unwatched_is_silent);
	return run_suite(suite);
}
