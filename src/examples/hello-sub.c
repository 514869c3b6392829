/* SPDX-License-Identifier: MIT */
/*
 * hello-sub.c - the smallest subscriber: prints ten greetings
 *
 *	cc hello-sub.c -o hello-sub $(pkg-config --cflags --libs zcp)
 *
 * Run hello-pub in another terminal, or: zcp pub --lines hello/world/greeting
 */
#include <stdio.h>
#include <zcp/zcp.h>

static int fail(const char *what)
{
	fprintf(stderr, "hello-sub: %s: %s\n", what, zcp_last_error());
	return 1;
}

int main(void)
{
	const struct zcp_topic topic = { "hello", "world", "greeting" };
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	zcp_node *node;
	zcp_subscriber *subscriber;

	if (zcp_node_open(&node, "hello-sub", &node_options) < 0)
		return fail("cannot join");
	if (zcp_subscriber_open(&subscriber, node, &topic, NULL) < 0)
		return fail("cannot open the subscriber");

	for (int i = 0; i < 10; i++) {
		struct zcp_sample sample;

		if (zcp_subscriber_wait(subscriber, -1) < 0)
			return fail("cannot wait");
		if (zcp_subscriber_take(subscriber, &sample) < 0)
			return fail("cannot take");
		/* sample.data is the publisher's memory, and stays as it is until the release. */
		printf("%.*s\n", (int)sample.size, (const char *)sample.data);
		zcp_sample_release(&sample);
	}

	zcp_subscriber_close(subscriber);
	zcp_node_close(node);
	return 0;
}
