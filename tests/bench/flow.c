/* SPDX-License-Identifier: MIT */
/*
 * flow.c - one publisher, one subscriber, as many messages as they can, one by one: what scripts/bench-trace has traced
 *
 *	flow SECONDS
 *	flow hold		only have libzcp mapped, until killed: so that probes are there before the first message
 *
 * Two processes, 64 bytes, reliable, polling, so that nobody sleeps and a slower side slows the other. Prints "TAKEN RATE": messages, and
 * messages a second. The router is that of $ZCP_ROUTER.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "zcp/zcp.h"

#define BYTES 64
#define LOOK_AT_CLOCK 256

static const struct zcp_topic topic = { "bench", "trace", "flow" };

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void require(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "flow: %s: %s\n", what, zcp_last_error());
	exit(1);
}

/* Publishes for @seconds, then an empty message. */
static int publish(double seconds)
{
	const struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = BYTES, .reliable = true, .timeout = -1 };
	zcp_publisher *publisher;
	zcp_node *node;
	char bytes[BYTES] = { 0 };
	uint64_t end;

	require(zcp_node_open(&node, "flow-pub", NULL), "node");
	require(zcp_publisher_open(&publisher, node, &topic, &options), "publisher");
	require(zcp_publisher_wait(publisher, 1, -1), "no subscriber");
	end = now() + (uint64_t)(seconds * 1e9);
	do {
		for (int i = 0; i < LOOK_AT_CLOCK; i++)
			require(zcp_publisher_send(publisher, bytes, sizeof(bytes)), "send");
	} while (now() < end);
	require(zcp_publisher_send(publisher, bytes, 0), "send");
	zcp_node_close(node);
	return 0;
}

/* Takes until an empty message comes. */
static int take(void)
{
	zcp_subscriber *subscriber;
	struct zcp_sample sample;
	uint64_t n = 0, begin = 0;
	zcp_node *node;
	size_t size;
	int r;

	require(zcp_node_open(&node, "flow-sub", NULL), "node");
	require(zcp_subscriber_open(&subscriber, node, &topic, NULL), "subscriber");
	do {
		do {
			r = zcp_subscriber_take(subscriber, &sample);
		} while (r == -EAGAIN);
		require(r, "take");
		begin = begin ? begin : now();
		size = sample.size;
		n++;
		zcp_sample_release(&sample);
	} while (size);
	printf("%" PRIu64 " %.0f\n", n, (double)n / ((double)(now() - begin) / 1e9));
	zcp_node_close(node);
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	double seconds = argc == 2 ? atof(argv[1]) : 0;
	int status, r;
	pid_t child;

	if (argc == 2 && !strcmp(argv[1], "hold"))
		return pause();
	if (!(seconds > 0 && seconds < 3600)) {
		fprintf(stderr, "flow: usage: flow SECONDS\n");
		return 2;
	}
	child = fork();
	if (child < 0) {
		perror("flow: fork");
		return 1;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return publish(seconds);
	}
	r = take();
	return waitpid(child, &status, 0) == child && status == 0 ? r : 1;
}
