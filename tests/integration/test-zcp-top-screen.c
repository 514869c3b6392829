/* SPDX-License-Identifier: MIT */
/*
 * The screen of zcp top on a pseudo terminal: what can be read on it, what keys do, and that the terminal is as it was afterwards, however it
 * ends. A small terminal emulator knows what ncurses sends to a "vt100": the text, and where it goes.
 */
#include "top-helper.h"

#include <ctype.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "config.h"

#define ROWS_MAX 60
#define COLUMNS_MAX 200

static zcp_node *node;
static struct termios before;

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

static struct terminal {
	struct running running;
	int keep;		/* our own descriptor of the side of zcp top: its settings can be seen after the end */
	size_t done;		/* bytes of the output that are on the screen */
	int rows, columns, x, y;
	char screen[ROWS_MAX][COLUMNS_MAX + 1];
} t;

static void clear_from(int y, int x)
{
	for (; y < ROWS_MAX; y++, x = 0)
		memset(&t.screen[y][x], ' ', (size_t)(COLUMNS_MAX - x));
}

static void put(char c)
{
	if (c == '\n')
		t.y += t.y < ROWS_MAX - 1;
	else if (c == '\r')
		t.x = 0;
	else if (c == '\b')
		t.x -= t.x > 0;
	else if (isprint((unsigned char)c) && t.y < ROWS_MAX && t.x < COLUMNS_MAX)
		t.screen[t.y][t.x++] = c;
}

/* The sequence at @s, which begins with ESC; its length, or 0: it is not whole yet. */
static size_t sequence(const char *s)
{
	int n[2] = { 0, 0 }, k = 0;
	size_t i = 2;

	if (!s[1])
		return 0;
	if (s[1] == '(' || s[1] == ')')
		return s[2] ? 3 : 0;
	if (s[1] != '[')
		return 2;
	for (; s[i] && !isalpha((unsigned char)s[i]); i++) {
		if (isdigit((unsigned char)s[i]))
			n[k] = n[k] * 10 + s[i] - '0';
		else if (s[i] == ';' && k < 1)
			k++;
	}
	if (!s[i])
		return 0;
	if (s[i] == 'H') {
		t.y = n[0] ? n[0] - 1 : 0;
		t.x = n[1] ? n[1] - 1 : 0;
	} else if (s[i] == 'J') {
		clear_from(n[0] == 2 ? 0 : t.y, n[0] == 2 ? 0 : t.x);
	} else if (s[i] == 'K' && n[0] == 1) {
		memset(t.screen[t.y], ' ', (size_t)t.x + 1);
	} else if (s[i] == 'K') {
		memset(&t.screen[t.y][t.x], ' ', (size_t)(COLUMNS_MAX - t.x));
	} else if (s[i] == 'A') {
		t.y -= n[0] ? n[0] : 1;
	} else if (s[i] == 'B') {
		t.y += n[0] ? n[0] : 1;
	} else if (s[i] == 'C') {
		t.x += n[0] ? n[0] : 1;
	} else if (s[i] == 'D') {
		t.x -= n[0] ? n[0] : 1;
	}
	t.x = t.x < 0 ? 0 : t.x >= COLUMNS_MAX ? COLUMNS_MAX - 1 : t.x;
	t.y = t.y < 0 ? 0 : t.y >= ROWS_MAX ? ROWS_MAX - 1 : t.y;
	return i + 1;
}

static bool draw(void)
{
	bool more = top_read(&t.running);

	while (t.done < t.running.used) {
		const char *at = t.running.text + t.done;
		size_t n = *at == '\033' ? sequence(at) : 1;

		if (!n)
			break;
		if (*at != '\033')
			put(*at);
		t.done += n;
	}
	return more;
}

static void resize(int rows, int columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	t.rows = rows;
	t.columns = columns;
	ck_assert_ok(ioctl(t.running.fd, TIOCSWINSZ, &size));
}

static void start_top(const char *term, int rows, int columns)
{
	int inner;

	memset(&t, 0, sizeof(t));
	clear_from(0, 0);
	ck_assert_ok(openpty(&t.running.fd, &inner, NULL, NULL, NULL));
	resize(rows, columns);
	ck_assert_ok(tcgetattr(inner, &before));
	t.keep = inner;
	t.running.pid = fork();
	ck_assert_ok(t.running.pid);
	if (!t.running.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TERM", term, 1);
		unsetenv("COLUMNS");
		unsetenv("LINES");
		if (login_tty(inner) < 0)
			_exit(126);
		close(t.running.fd);
		execl(getenv("ZCP_BIN"), "zcp", "--socket", lib_socket, "top", "--interval", "0.1", (char *)NULL);
		_exit(127);
	}
}

static const char *screen_text(void)
{
	static char all[ROWS_MAX * (COLUMNS_MAX + 2)];
	char *at = all;

	for (int y = 0; y < t.rows; y++) {
		memcpy(at, t.screen[y], (size_t)t.columns);
		at += t.columns;
		*at++ = '\n';
	}
	*at = 0;
	return all;
}

static bool shows(const char *what)
{
	draw();
	return strstr(screen_text(), what) != NULL;
}

#define ck_assert_shows(what) ck_assert_msg(wait_until(shows(what), DEADLINE_MS), "'%s' is not on the screen:\n%s", what, screen_text())
#define ck_assert_shows_not(what) ck_assert_msg(wait_until(!shows(what), DEADLINE_MS), "'%s' is on the screen:\n%s", what, screen_text())

static void keys(const char *bytes)
{
	ck_assert_int_eq(write(t.running.fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
}

/* It ends, and has put back what it has changed. */
static void expect_end(int expected)
{
	struct termios after;
	int status = 0;

	ck_assert_within((draw(), waitpid(t.running.pid, &status, WNOHANG) == t.running.pid), DEADLINE_MS);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "status 0x%x:\n%s", status, screen_text());
	ck_assert_ok(tcgetattr(t.keep, &after));
	ck_assert_uint_eq(after.c_lflag, before.c_lflag);
	ck_assert_uint_eq(after.c_iflag, before.c_iflag);
	ck_assert_uint_eq(after.c_oflag, before.c_oflag);
	close(t.running.fd);
	close(t.keep);
	top_free(&t.running);
}

/* ---- what is on it ----------------------------------------------------------------------------------------------- */

static zcp_publisher *publish(const char *service, const char *event, uint64_t n)
{
	const struct zcp_topic topic = { service, "i", event };
	zcp_publisher *publisher;

	ok(zcp_publisher_open(&publisher, node, &topic, NULL));
	while (n--)
		ok(lib_send(publisher, n, 16));
	return publisher;
}

static void start(void)
{
	lib_router_start();
	node = lib_node("traffic");
}

static void stop(void)
{
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}

START_TEST(views_and_keys)
{
	zcp_publisher *publisher;
	zcp_subscriber *subscriber;

	start();
	publisher = publish("camera", "front", 0);
	publish("lidar", "top", 2);
	ok(zcp_subscriber_open(&subscriber, node, &(struct zcp_topic){ "camera", "i", "front" }, NULL));
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	for (uint64_t i = 0; i < 3000; i++)
		ok(lib_send(publisher, i, 16));

	start_top("vt100", 24, 80);
	ck_assert_shows("zcp-router");
	ck_assert_shows("2 of 2 topics, by rate");
	ck_assert_shows("! camera/i/front");
	ck_assert_shows("losing");
	ck_assert_shows("  lidar/i/top");
	/* filter: as it is typed, corrected, and gone again */
	keys("/camx\177e\r");
	ck_assert_shows("1 of 2 topics");
	ck_assert_shows_not("lidar");
	keys("/\025\r");
	ck_assert_shows("2 of 2 topics");
	/* sorting */
	keys(">");
	ck_assert_shows("by received");
	keys("<<");
	ck_assert_shows("by total");
	keys("r");
	ck_assert_shows("by total reversed");
	keys("r");
	/* the first topic by total is camera */
	keys("\r");
	ck_assert_shows("camera/i/front: losing");
	ck_assert_shows("endpoints");
	ck_assert_shows("connections");
	ck_assert_shows(" overrun");
	keys("\033");
	ck_assert_shows("lidar/i/top");
	keys("\033OB");
	keys("\r");
	ck_assert_shows("lidar/i/top: idle");
	keys("\033");
	keys("?");
	ck_assert_shows("a line that begins with ! wants attention");
	keys("\033");
	keys("d0\r");
	ck_assert_shows("seconds from 0.05");
	keys("d0.2\r");
	ck_assert_shows("every 0.2 s");
	keys("p");
	ck_assert_shows("PAUSED");
	publish("late", "comer", 1);
	keys("p");
	ck_assert_shows("late/i/comer");
	keys("q");
	expect_end(0);
	stop();
}
END_TEST

START_TEST(sizes)
{
	static const int size[][2] = { { 24, 80 }, { 50, 180 }, { 5, 20 }, { 2, 4 }, { 1, 1 }, { 24, 80 } };
	char name[16];

	start();
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		publish("many-of-these", name, 1);
	}
	start_top("vt100", 24, 80);
	ck_assert_shows("40 of 40 topics");
	ck_assert_shows_not("HIGH");
	for (size_t i = 1; i < sizeof(size) / sizeof(size[0]); i++) {
		resize(size[i][0], size[i][1]);
		if (i == 1) {
			ck_assert_shows("HIGH");
			ck_assert_shows("many-of-these/i/t39");
		} else if (i == 2) {
			ck_assert_shows_not("HIGH");
		}
	}
	/* through the table */
	ck_assert_shows("40 of 40 topics");
	keys("   ");
	ck_assert_shows("many-of-these/i/t9 ");
	keys("q");
	expect_end(0);
	stop();
}
END_TEST

/* 0: Ctrl-C, 1: SIGTERM. */
START_TEST(ends)
{
	start();
	publish("a", "b", 1);
	start_top("vt100", 24, 80);
	ck_assert_shows("a/i/b");
	if (_i == 0)
		keys("\003");
	else
		ck_assert_ok(kill(t.running.pid, SIGTERM));
	expect_end(0);
	stop();
}
END_TEST

/* Without a router it goes on, and comes back. */
START_TEST(router_gone)
{
	start();
	publish("a", "b", 1);
	start_top("vt100", 24, 80);
	ck_assert_shows("1 of 1 topics");
	lib_router_kill(SIGKILL);
	ck_assert_shows("the router is gone");
	ck_assert_shows("a/i/b");
	lib_router_again();
	ck_assert_shows("1 of 1 topics");
	keys("q");
	expect_end(0);
	stop();
}
END_TEST

START_TEST(terminals)
{
	static const char *const bad[] = { "dumb", "no-such-terminal" };

	start();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start_top(bad[i], 24, 80);
		ck_assert_shows("zcp: the terminal '");
		expect_end(1);
	}
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zcp-top-screen");
	TCase *tcase = add_test_case(suite, "screen", 60);

#ifndef HAVE_NCURSES
	skip_suite("built without ncurses");
#endif
	tcase_add_test(tcase, views_and_keys);
	tcase_add_test(tcase, sizes);
	tcase_add_loop_test(tcase, ends, 0, 2);
	tcase_add_test(tcase, router_gone);
	tcase_add_test(tcase, terminals);
	return run_suite(suite);
}
