/* SPDX-License-Identifier: MIT */
/*
 * telemetry-view.c - prints the samples that telemetry publishes
 *
 *	telemetry-view [--count N] [--name NAME]
 *
 * It asks for one message of history, so that there is something to see at once. The wait has a timeout,
 * because waiting in the library is not ended by a signal; a program with an event loop would poll
 * zcp_subscriber_fd() instead.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "telemetry.h"

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
	stop = signal_number;
}

static int fail(const char *what)
{
	fprintf(stderr, "telemetry-view: %s: %s\n", what, zcp_last_error());
	return 1;
}

static void print_sample(const char *name, const struct zcp_sample *sample)
{
	const struct telemetry *t = sample->data;
	double total = (double)t->memory_total, available = (double)t->memory_available;

	printf("%s  #%-4" PRIu64 " cpu %5.1f %%  load %.2f %.2f %.2f  memory %4.1f %% of %.1f GiB  running %" PRIu32 "%s\n", name,
	       sample->sequence, 100 * t->cpu_busy, t->load1, t->load5, t->load15,
	       total > 0 ? 100 * (total - available) / total : 0, total / (1 << 30), t->running,
	       sample->lost ? "  (some were lost)" : "");
	fflush(stdout);
}

static int view(zcp_subscriber *subscriber, const char *name, long count)
{
	while (!stop && count) {
		struct zcp_sample sample;
		int r = zcp_subscriber_wait(subscriber, 100000000);

		if (r == -ETIMEDOUT)
			continue;
		if (r < 0)
			return fail("cannot wait");
		while (count && zcp_subscriber_take(subscriber, &sample) == 0) {
			if (sample.size == sizeof(struct telemetry))
				print_sample(name, &sample);
			zcp_sample_release(&sample);
			count -= count > 0;
		}
	}
	return 0;
}

static int run(const char *name, long count)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_subscriber_options options = { .sz = sizeof(options), .history = 1, .type = telemetry_type };
	zcp_subscriber *subscriber;
	zcp_node *node;
	int r;

	if (zcp_node_open(&node, name, &node_options) < 0)
		return fail("cannot join");
	if (zcp_subscriber_open(&subscriber, node, &telemetry_topic, &options) < 0)
		return fail("cannot open the subscriber");
	r = view(subscriber, name, count);
	zcp_subscriber_close(subscriber);
	zcp_node_close(node);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "name", required_argument, NULL, 'N' },
		{ 0 },
	};
	struct sigaction action = { .sa_handler = on_signal };
	const char *name = "telemetry-view";
	long count = -1;
	int c;

	while ((c = getopt_long(argc, argv, "n:N:", options, NULL)) != -1) {
		if (c == 'n')
			count = strtol(optarg, NULL, 10);
		else if (c == 'N')
			name = optarg;
		else
			return 2;
	}
	if (optind < argc) {
		fprintf(stderr, "usage: telemetry-view [--count N] [--name NAME]\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run(name, count);
}
