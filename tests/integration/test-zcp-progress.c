/* SPDX-License-Identifier: MIT */
/*
 * The progress of zcp record and zcp replay on a pseudo terminal: one line, whatever its width, and none of it is left at the end.
 */
#include "screen-helper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static zcp_node *node;
static zcp_publisher *publisher;
static const struct zcp_topic topic = { "service", "instance", "event" };

static void send(uint64_t n)
{
	while (n--)
		ok(lib_send(publisher, n, 1000));
}

static void start(void)
{
	lib_router_start();
	node = lib_node("traffic");
	ok(zcp_publisher_open(&publisher, node, &topic, &(struct zcp_publisher_options){ .sz = sizeof(struct zcp_publisher_options), .reliable = true,
											   .timeout = -1 }));
}

static void stop(void)
{
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}

static bool is_clean(const char *summary)
{
	const char *text = screen_text(), *at = strstr(text, summary);

	/* the first line, and its beginning */
	return at && at == text && !strstr(text, "/s ");
}

START_TEST(record_and_replay)
{
	char path[256];

	start();
	snprintf(path, sizeof(path), "%s/a.zcprec", lib_directory());
	screen_start("dumb", 24, 80, (const char *[]){ getenv("ZCP_BIN"), "--socket", lib_socket, "record", "--reliable", path, "service", NULL });
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	send(1);
	ck_assert_shows("1 message, 1000 B, ");
	send(2000);
	ck_assert_shows("2001 messages, 1.9 MiB, ");
	/* a line that does not fit would not go away any more */
	screen_resize(24, 20);
	send(500);
	ck_assert_shows("2501 messages, 2.4 ");
	screen_resize(24, 80);
	keys("\003");
	ck_assert_within((screen_read(), is_clean("^C2501 messages of 1 topic, ") || is_clean("2501 messages of 1 topic, ")), DEADLINE_MS);
	ck_assert_ptr_null(strchr(t.running.text, '\033'));
	ck_assert_int_eq(t.n_scrolled, 0);
	ck_assert_int_eq(t.n_beyond, 0);
	screen_expect_end(0);

	screen_start("dumb", 24, 80, (const char *[]){ getenv("ZCP_BIN"), "--socket", lib_socket, "replay", "--loop", "--lossy", path, NULL });
	ck_assert_shows(" MiB/s");
	keys("\003");
	ck_assert_within((screen_read(), strstr(screen_text(), " messages of 1 publisher, ")), DEADLINE_MS);
	ck_assert_ptr_null(strchr(t.running.text, '\033'));
	ck_assert_int_eq(t.n_scrolled, 0);
	screen_expect_end(0);
	ck_assert_ok(unlink(path));
	stop();
}
END_TEST

/* What the recorder loses is seen while there is time to do something about it. */
START_TEST(losses)
{
	char path[256];

	start();
	snprintf(path, sizeof(path), "%s/a.zcprec", lib_directory());
	ok(zcp_publisher_open(&publisher, node, &(struct zcp_topic){ "service", "i", "fast" }, NULL));
	screen_start("dumb", 24, 80, (const char *[]){ getenv("ZCP_BIN"), "--socket", lib_socket, "record", path, "service/i/fast", NULL });
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	ck_assert_ok(kill(t.running.pid, SIGSTOP));
	send(3000);
	ck_assert_ok(kill(t.running.pid, SIGCONT));
	send(1);
	ck_assert_shows(" lost, ");
	keys("\003");
	screen_expect_end(0);
	ck_assert_ok(unlink(path));
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zcp-progress");
	TCase *tcase = add_test_case(suite, "progress", 60);

	tcase_add_test(tcase, record_and_replay);
	tcase_add_test(tcase, losses);
	return run_suite(suite);
}
