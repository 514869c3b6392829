/* SPDX-License-Identifier: MIT */
/*
 * hello-pub.c - the smallest publisher: waits for a subscriber, then sends it ten greetings
 *
 *	cc hello-pub.c -o hello-pub $(pkg-config --cflags --libs zcp)
 *
 * Run hello-sub in another terminal.
 */
#include <stdio.h>
#include <zcp/zcp.h>

static int fail(const char *what)
{
	fprintf(stderr, "hello-pub: %s: %s\n", what, zcp_last_error());
	return 1;
}

int main(void)
{
	const struct zcp_topic topic = { "hello", "world", "greeting" };
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_publisher_options options = { .sz = sizeof(options), .reliable = true, .timeout = -1 };
	zcp_node *node;
	zcp_publisher *publisher;

	if (zcp_node_open(&node, "hello-pub", &node_options) < 0)
		return fail("cannot join");
	if (zcp_publisher_open(&publisher, node, &topic, &options) < 0)
		return fail("cannot open the publisher");
	if (zcp_publisher_wait(publisher, 1, -1) < 0)
		return fail("no subscriber");

	for (int i = 0; i < 10; i++) {
		void *payload;
		int size;

		/* Borrow room in shared memory, write the message there, hand it over: it is never copied. */
		if (zcp_publisher_loan(publisher, 64, &payload) < 0)
			return fail("cannot loan");
		size = snprintf(payload, 64, "hello number %d", i);
		if (zcp_publisher_publish(publisher, payload, (size_t)size) < 0)
			return fail("cannot publish");
	}

	zcp_publisher_close(publisher);
	zcp_node_close(node);
	return 0;
}
