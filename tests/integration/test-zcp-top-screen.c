/* SPDX-License-Identifier: MIT */
/*
 * The screen of zcp top on a pseudo terminal: what can be read on it, what keys do, and that the terminal is as it was afterwards, however it
 * ends.
 */
#include "screen-helper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"

static zcp_node *node;

static void start_top(const char *term, int rows, int columns)
{
	screen_start(term, rows, columns, (const char *[]){ getenv("ZCP_BIN"), "--socket", lib_socket, "top", "--interval", "0.1", NULL });
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
	char process[64];

	start();
	publisher = publish("camera", "front", 0);
	publish("lidar", "top", 2);
	ok(zcp_subscriber_open(&subscriber, node, &(struct zcp_topic){ "camera", "i", "front" }, NULL));
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	for (uint64_t i = 0; i < 3000; i++)
		ok(lib_send(publisher, i, 16));

	start_top("vt100", 24, 80);
	ck_assert_shows("zcp-router");
	ck_assert_shows("2 of 2 topics, 1 with !, by rate");
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
	ck_assert_shows("losing: camera/i/front");
	/* who it is, within 80 columns */
	snprintf(process, sizeof(process), "  traffic[%d]  losing  queue ", (int)getpid());
	ck_assert_shows(process);
	ck_assert_shows("endpoints");
	ck_assert_shows("connections");
	ck_assert_shows(" overrun");
	keys("\033");
	ck_assert_shows("lidar/i/top");
	keys("\033OB");
	keys("\r");
	ck_assert_shows("idle: lidar/i/top");
	keys("\033");
	keys("?");
	ck_assert_shows("a line that begins with ! wants attention");
	ck_assert_shows("p pause, lines 1-21");
	keys("  ");
	ck_assert_shows("how long a heart is silent");
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
	screen_expect_end(0);
	stop();
}
END_TEST

START_TEST(sizes)
{
	static const int size[][2] = { { 24, 80 }, { 50, 180 }, { 12, 60 }, { 5, 30 }, { 5, 20 }, { 2, 4 }, { 1, 1 }, { 24, 80 } };
	char name[16];

	start();
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		publish("many-of-these", name, 1);
	}
	start_top("vt100", 24, 80);
	ck_assert_shows("40 of 40 topics, lines 1-20, by rate");
	ck_assert_shows("HELD");
	ck_assert_shows_not("HIGH");
	for (size_t i = 1; i < sizeof(size) / sizeof(size[0]); i++) {
		screen_resize(size[i][0], size[i][1]);
		if (i == 1) {
			ck_assert_shows("HIGH");
			ck_assert_shows("many-of-these/i/t39");
		} else if (i == 2) {
			ck_assert_shows_not("HELD");
			ck_assert_shows("QUEUE");
			ck_assert_shows("STATE");
			ck_assert_shows("40 of 40 topics, lines 1-8");
		} else if (i == 3) {
			ck_assert_shows_not("QUEUE");
			ck_assert_shows("MSG/S STATE");
		}
	}
	/* through the table */
	ck_assert_shows("40 of 40 topics, lines 1-20");
	keys("   ");
	ck_assert_shows("lines 21-40");
	ck_assert_shows("many-of-these/i/t9 ");
	keys("q");
	screen_expect_end(0);
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
	screen_expect_end(0);
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
	screen_expect_end(0);
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
		screen_expect_end(1);
	}
	stop();
}
END_TEST

/* The emulator does not know such a terminal: only whether colours come. */
START_TEST(colours)
{
	static const char *const no_color[] = { NULL, "", "1" };

	start();
	publish("a", "b", 1);
	for (int i = 0; i < 3; i++) {
		if (no_color[i])
			setenv("NO_COLOR", no_color[i], 1);
		else
			unsetenv("NO_COLOR");
		start_top("xterm-256color", 24, 80);
		ck_assert_within((screen_read(), t.running.text && strstr(t.running.text, "a/i/b")), DEADLINE_MS);
		ck_assert_int_eq(screen_had_colours(), i < 2);
		keys("q");
		screen_expect_end(0);
	}
	unsetenv("NO_COLOR");
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
	tcase_add_test(tcase, colours);
	return run_suite(suite);
}
