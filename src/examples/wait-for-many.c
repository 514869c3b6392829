/* SPDX-License-Identifier: MIT */
/*
 * wait-for-many.c - one thread, one place to sleep: messages, nodes that come and go, the clock, the keyboard
 *
 *	cc wait-for-many.c -o wait-for-many $(pkg-config --cflags --libs zcp)
 *
 * Prints ten greetings of hello-pub, and who sends them; ends by itself, or with Enter. Its node has no thread: the
 * wait set does its work, so this program has one thread and needs no lock.
 */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include <zcp/zcp.h>

static zcp_waitset *waitset;
static int n_greetings, n_seconds, stop;

static int fail(const char *what)
{
	fprintf(stderr, "wait-for-many: %s: %s\n", what, zcp_last_error());
	return 1;
}

/* Not all at once: what is left is reported again, after the others had their turn. */
static void greeting(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;

	if (zcp_subscriber_take(subscriber, &sample) < 0)
		return;
	printf("%.*s\n", (int)sample.size, (const char *)sample.data);
	zcp_sample_release(&sample);
	stop |= ++n_greetings == 10;
}

static void neighbour(zcp_watch *watch)
{
	struct zcp_watch_event e;

	while (zcp_watch_take(watch, &e) == 0) {
		if (e.kind == ZCP_WATCH_NODE_APPEARED)
			printf("%s is there\n", e.node_name);
		if (e.kind == ZCP_WATCH_NODE_VANISHED)
			printf("%s is gone\n", e.node_name);
	}
}

static void keyboard(void)
{
	char line[80];

	if (read(0, line, sizeof(line)) > 0)
		stop = 1;
	else
		zcp_waitset_remove_fd(waitset, 0);	/* no keyboard here: not again */
}

int main(void)
{
	const struct zcp_topic topic = { "hello", "world", "greeting" };
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true, .no_thread = true };
	zcp_node *node;
	zcp_subscriber *subscriber;
	zcp_watch *watch;

	if (zcp_node_open(&node, "wait-for-many", &node_options) < 0)
		return fail("cannot join");
	if (zcp_subscriber_open(&subscriber, node, &topic, NULL) < 0 || zcp_watch_open(&watch, node, "hello", NULL) < 0)
		return fail("cannot open");
	if (zcp_waitset_open(&waitset, NULL) < 0 || zcp_waitset_add_subscriber(waitset, subscriber, NULL) < 0 ||
	    zcp_waitset_add_watch(waitset, watch, NULL) < 0 || zcp_waitset_add_timer(waitset, 1000000000, 1000000000, NULL) < 0)
		return fail("cannot make the wait set");
	/* a regular file is always ready, and refused: then there is no keyboard */
	zcp_waitset_add_fd(waitset, 0, POLLIN, NULL);

	while (!stop) {
		struct zcp_ready ready[4];
		int n = zcp_waitset_wait(waitset, ready, 4, -1);

		if (n < 0)
			return fail("cannot wait");
		for (int i = 0; i < n && !stop; i++) {
			switch (ready[i].kind) {
			case ZCP_READY_SUBSCRIBER:
				greeting(ready[i].object);
				break;
			case ZCP_READY_WATCH:
				neighbour(ready[i].object);
				break;
			case ZCP_READY_TIMER:
				n_seconds += (int)ready[i].expirations;
				printf("%d greetings in %d s\n", n_greetings, n_seconds);
				break;
			case ZCP_READY_FD:
				keyboard();
				break;
			}
		}
	}

	zcp_waitset_close(waitset);
	zcp_node_close(node);
	return 0;
}
