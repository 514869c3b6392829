/* SPDX-License-Identifier: MIT */
/*
 * latest-value.c - a position that changes all the time, and a display that looks at it now and then
 *
 *	latest-value move [SECONDS]	publishes a position ten thousand times a second, and says with an event each time a lap is over
 *	latest-value show [COUNT]	prints the newest position twice a second, and how many laps were completed meanwhile
 *
 * The display never sees an old position first, nor one that is half old and half new, and the one that moves never waits
 * for a display. It need not count what it has missed either: laps are events, which add up until they are taken.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zcp/zcp.h>

struct position {
	double x, y;
	uint64_t step;
};

enum { LAP_COMPLETED };

#define STEPS_PER_LAP 10000
#define STEP_NS 100000

static const struct zcp_topic position_topic = { "example", "vehicle", "position" };
static const struct zcp_topic event_topic = { "example", "vehicle", "progress" };
static const struct zcp_type position_type = { "example position", sizeof(struct position), _Alignof(struct position) };

static int fail(const char *what)
{
	fprintf(stderr, "latest-value: %s: %s\n", what, zcp_last_error());
	return 1;
}

static void sleep_ns(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* ---- the one that moves ------------------------------------------------------------------------------------------ */

static int move(zcp_node *node, uint64_t steps)
{
	/* one message of history: a display that comes later has something to show at once */
	const struct zcp_publisher_options options = { .sz = sizeof(options), .history = 1, .type = position_type };
	zcp_publisher *publisher;
	zcp_notifier *notifier;

	if (zcp_publisher_open(&publisher, node, &position_topic, &options) < 0)
		return fail("cannot open the publisher");
	if (zcp_notifier_open(&notifier, node, &event_topic, NULL) < 0)
		return fail("cannot open the notifier");
	for (uint64_t step = 0; step < steps; step++) {
		double angle = 2 * M_PI * (double)(step % STEPS_PER_LAP) / STEPS_PER_LAP;
		struct position p = { .x = cos(angle), .y = sin(angle), .step = step };

		if (zcp_publisher_send(publisher, &p, sizeof(p)) < 0)
			return fail("cannot publish");
		if (step % STEPS_PER_LAP == STEPS_PER_LAP - 1 && zcp_notifier_notify(notifier, LAP_COMPLETED) < 0)
			return fail("cannot notify");
		sleep_ns(STEP_NS);
	}
	return 0;
}

/* ---- the display ------------------------------------------------------------------------------------------------- */

static uint64_t laps_since(zcp_listener *listener)
{
	uint64_t laps = 0, count;
	uint32_t event;

	while (zcp_listener_take(listener, &event, &count) == 0)
		if (event == LAP_COMPLETED)
			laps += count;
	return laps;
}

static int show(zcp_node *node, long count)
{
	/* lossy: nobody waits for us */
	const struct zcp_subscriber_options options = { .sz = sizeof(options), .history = 1, .lossy = true, .type = position_type };
	zcp_subscriber *subscriber;
	zcp_listener *listener;
	uint64_t laps = 0;

	if (zcp_subscriber_open(&subscriber, node, &position_topic, &options) < 0)
		return fail("cannot open the subscriber");
	if (zcp_listener_open(&listener, node, &event_topic, NULL) < 0)
		return fail("cannot open the listener");
	while (count) {
		struct zcp_sample sample;
		int r = zcp_subscriber_latest(subscriber, &sample);

		laps += laps_since(listener);
		if (r == -EAGAIN) {
			/* nobody has moved yet */
			zcp_subscriber_wait(subscriber, 1000000000);
			continue;
		}
		if (r < 0)
			return fail("cannot look");
		if (sample.size == sizeof(struct position)) {
			const struct position *p = sample.data;

			printf("step %8" PRIu64 "  x %6.3f  y %6.3f  laps %" PRIu64 "\n", p->step, p->x, p->y, laps);
			fflush(stdout);
		}
		zcp_sample_release(&sample);
		count -= count > 0;
		if (count)
			sleep_ns(500000000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct zcp_node_options options = { .sz = sizeof(options), .autostart = true };
	bool moves = argc > 1 && !strcmp(argv[1], "move"), shows = argc > 1 && !strcmp(argv[1], "show");
	long number = argc > 2 ? strtol(argv[2], NULL, 10) : -1;
	zcp_node *node;
	int r;

	if (!(moves || shows) || argc > 3 || (argc > 2 && number < 1)) {
		fprintf(stderr, "usage: latest-value move [SECONDS], or latest-value show [COUNT]\n");
		return 2;
	}
	if (zcp_node_open(&node, moves ? "vehicle" : "display", &options) < 0)
		return fail("cannot join");
	r = moves ? move(node, number < 0 ? UINT64_MAX : (uint64_t)number * (1000000000 / STEP_NS)) : show(node, number);
	zcp_node_close(node);
	return r;
}
