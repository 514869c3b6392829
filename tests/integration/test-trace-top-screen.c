/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace top on a pseudo terminal: the table stays inside of it, whatever its size, and whatever else happens.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "screen-helper.h"
#include "trace-helper.h"

#define TOPICS 40

static zcp_node *node;
static zcp_publisher *publishers[TOPICS + 1];

static void start_tracer(const char *term, int rows, int columns, const char *interval)
{
	const char *directory = getenv("top_builddir");
	char path[512];

	snprintf(path, sizeof(path), "%s/zcp-trace", directory ? directory : ".");
	screen_start(term, rows, columns, (const char *[]){ path, "top", "--interval", interval, "--socket", lib_socket, NULL });
	ck_assert_shows("zcp-trace: probes in ");
}

/* Topics, one of them with a very long name. */
static void open_publishers(void)
{
	char name[16], longest[96];

	lib_router_start();
	node = lib_node("traffic");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	for (int i = 0; i < TOPICS; i++) {
		snprintf(name, sizeof(name), "t%02d", i);
		ok(zcp_publisher_open(&publishers[i], node, &(struct zcp_topic){ "many-of-these", "i", name }, NULL));
	}
	ok(zcp_publisher_open(&publishers[TOPICS], node, &(struct zcp_topic){ longest, longest, longest }, NULL));
}

static void send_to_all(void)
{
	for (int i = 0; i <= TOPICS; i++)
		ok(lib_send(publishers[i], 1, 64));
}

static void stop(void)
{
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}

static int n_drawn(void)
{
	int n = 0;

	screen_read();
	for (const char *at = t.running.text; at && (at = strstr(at, "\033[H")) != NULL; at++)
		n++;
	return n;
}

/* From here on it draws several times, and neither scrolls nor writes beside the screen. */
static void expect_it_stays_inside(void)
{
	int begin = n_drawn();

	t.n_scrolled = t.n_beyond = 0;
	ck_assert_within(n_drawn() >= begin + 4, DEADLINE_MS);
	ck_assert_msg(t.n_scrolled == 0 && t.n_beyond == 0, "%d lines scrolled away, %d characters are beyond the last column:\n%s", t.n_scrolled,
		      t.n_beyond, screen_text());
}

START_TEST(stays_inside)
{
	static const struct {
		int rows, columns;
		const char *title;
	} sizes[] = { { 24, 80, "first 21 of 41 topics" }, { 10, 40, "first 7 of 41 topics" }, { 50, 180, "  41 topics" },
		      { 4, 34, "first 1 of 41 topics" }, { 3, 20, "first ... \n  TOPIC  MSG" }, { 24, 80, "first 21 of 41 topics" } };

	open_publishers();
	start_tracer("vt100", 24, 80, "0.1");
	send_to_all();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		screen_resize(sizes[i].rows, sizes[i].columns);
		ck_assert_shows(sizes[i].title);
		expect_it_stays_inside();
		/* the numbers are there beside the long name */
		if (sizes[i].columns == 80) {
			ck_assert_shows("TOPIC");
			ck_assert_shows("ALL LOST");
			ck_assert_shows_not("KIND");
		} else if (sizes[i].columns == 180) {
			ck_assert_shows("KIND");
			ck_assert_shows("many-of-these/i/t39");
			ck_assert_shows("xxx...  data");
		}
	}
	keys("\003");
	screen_expect_end(0);
	stop();
}
END_TEST

/* What comes at the end is not cut, and the cursor is below it. */
START_TEST(ends)
{
	open_publishers();
	start_tracer("vt100", 24, 80, "0.1");
	send_to_all();
	ck_assert_shows("first 21 of 41 topics");
	if (_i == 0)
		keys("\003");
	else
		ck_assert_ok(kill(t.running.pid, SIGTERM));
	ck_assert_within((screen_read(), strstr(t.running.text, "all: 41 topics")), DEADLINE_MS);
	ck_assert_shows("many-of-these/i/t39");
	ck_assert_int_eq(t.x, 0);
	ck_assert_int_eq(t.y, 23);
	ck_assert_int_eq(t.n_beyond, 0);
	screen_expect_end(0);
	stop();
}
END_TEST

/* A new size does not wait for the next report: the same one, with the same time, is drawn again. */
START_TEST(drawn_again_at_once)
{
	char time[9];

	open_publishers();
	start_tracer("vt100", 24, 80, "3");
	send_to_all();
	ck_assert_shows("first 21 of 41 topics");
	memcpy(time, t.screen[0], 8);
	time[8] = 0;
	screen_resize(10, 80);
	ck_assert_shows("first 7 of 41 topics");
	ck_assert_msg(!memcmp(time, t.screen[0], 8), "not drawn before the next report, %s after %s", t.screen[0], time);
	keys("\003");
	screen_expect_end(0);
	stop();
}
END_TEST

/* A copy of zcp: the tracer knows the one beside it. */
static void copy_program(const char *to)
{
	static char buffer[1 << 16];
	int from = open(getenv("ZCP_BIN"), O_RDONLY | O_CLOEXEC), fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	ssize_t n;

	ck_assert_ok(from);
	ck_assert_ok(fd);
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		ck_assert_int_eq(write(fd, buffer, (size_t)n), n);
	close(from);
	close(fd);
}

/* Another program, whose probes are found when it joins, is told of in the title, and nowhere else. */
START_TEST(nothing_is_printed_into_it)
{
	char more[64], copy[256];
	const char *at;
	pid_t pid;

	open_publishers();
	start_tracer("vt100", 24, 80, "0.1");
	send_to_all();
	ck_assert_shows("first 21 of 41 topics");
	at = strstr(screen_text(), "; probes in ");
	ck_assert_ptr_nonnull(at);
	snprintf(more, sizeof(more), "; probes in %d files; Ctrl-C", atoi(at + strlen("; probes in ")) + 1);
	snprintf(copy, sizeof(copy), "%s/zcp-copy", lib_directory());
	copy_program(copy);
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		execl(copy, "zcp", "--socket", lib_socket, "sub", "many-of-these/i/t00", (char *)NULL);
		_exit(127);
	}
	ck_assert_shows(more);
	ck_assert_ok(unlink(copy));
	expect_it_stays_inside();
	ck_assert_ptr_null(strstr(t.running.text, "files now"));
	ck_assert_ok(kill(pid, SIGTERM));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	keys("\003");
	screen_expect_end(0);
	stop();
}
END_TEST

/* Who loses is marked; in red, unless that is not wanted. */
START_TEST(losses_stand_out)
{
	zcp_subscriber *subscriber;
	struct zcp_sample sample;

	open_publishers();
	ok(zcp_subscriber_open(&subscriber, node, &(struct zcp_topic){ "many-of-these", "i", "t07" }, NULL));
	ok(zcp_publisher_wait(publishers[7], 1, DEADLINE_MS * MS));
	if (_i == 0)
		unsetenv("NO_COLOR");
	else
		setenv("NO_COLOR", "1", 1);
	start_tracer("vt100", 24, 80, "0.1");
	for (int i = 0; i < 5000; i++)
		ok(lib_send(publishers[7], 1, 64));
	ck_assert_int_eq(zcp_subscriber_take(subscriber, &sample), 0);
	ck_assert_uint_gt(sample.lost, 0);
	zcp_sample_release(&sample);
	ck_assert_within((screen_read(), strstr(t.running.text, "! many-of-these/i/t07")), DEADLINE_MS);
	/* of that interval only */
	ck_assert_shows("  many-of-these/i/t07");
	ck_assert_int_eq(screen_had_colours(), _i == 0);
	keys("\003");
	screen_expect_end(0);
	unsetenv("NO_COLOR");
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace-top-screen");
	TCase *tcase;

	trace_skip();
	tcase = add_test_case(suite, "screen", 120);
	tcase_add_test(tcase, stays_inside);
	tcase_add_loop_test(tcase, ends, 0, 2);
	tcase_add_test(tcase, drawn_again_at_once);
	tcase_add_test(tcase, nothing_is_printed_into_it);
	tcase_add_loop_test(tcase, losses_stand_out, 0, 2);
	return run_suite(suite);
}
