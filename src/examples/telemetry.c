/* SPDX-License-Identifier: MIT */
/*
 * telemetry.c - publishes what /proc says about this machine, at a steady rate
 *
 *	telemetry [--rate HZ] [--count N]
 *
 * Not reliable on purpose: a viewer that is too slow loses old samples and never holds up the publisher.
 * history = 1 gives a viewer that comes later the latest sample at once. Ends with --count, or by Ctrl-C.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "telemetry.h"

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
	stop = signal_number;
}

static int fail(const char *what)
{
	fprintf(stderr, "telemetry: %s: %s\n", what, zcp_last_error());
	return 1;
}

static void read_load(struct telemetry *t)
{
	FILE *f = fopen("/proc/loadavg", "re");

	if (!f)
		return;
	if (fscanf(f, "%lf %lf %lf", &t->load1, &t->load5, &t->load15) != 3)
		t->load1 = t->load5 = t->load15 = 0;
	fclose(f);
}

static void read_memory(struct telemetry *t)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemTotal: %" SCNu64, &kib) == 1)
			t->memory_total = kib * 1024;
		else if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			t->memory_available = kib * 1024;
	}
	fclose(f);
}

/* The share of time that the CPUs were busy since the last call. */
static double cpu_busy(const char *line)
{
	static uint64_t last_total, last_idle;
	uint64_t v[8] = { 0 }, total = 0, idle;
	double busy;

	if (sscanf(line, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) < 4)
		return 0;
	for (int i = 0; i < 8; i++)
		total += v[i];
	idle = v[3] + v[4];
	busy = total > last_total ? 1 - (double)(idle - last_idle) / (double)(total - last_total) : 0;
	last_total = total;
	last_idle = idle;
	return busy < 0 ? 0 : busy;
}

static void read_stat(struct telemetry *t)
{
	FILE *f = fopen("/proc/stat", "re");
	char line[1024];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "cpu ", 4))
			t->cpu_busy = cpu_busy(line);
		else if (sscanf(line, "ctxt %" SCNu64, &t->context_switches) != 1 &&
			 sscanf(line, "procs_running %" SCNu32, &t->running) != 1)
			sscanf(line, "procs_blocked %" SCNu32, &t->blocked);
	}
	fclose(f);
}

static int publish_sample(zcp_publisher *publisher)
{
	struct telemetry *t;
	void *payload;

	if (zcp_publisher_loan(publisher, sizeof(*t), &payload) < 0)
		return -1;
	t = payload;
	memset(t, 0, sizeof(*t));	/* a loan holds what an earlier message left there */
	read_load(t);
	read_memory(t);
	read_stat(t);
	return zcp_publisher_publish(publisher, payload, sizeof(*t));
}

/* Next tick of the clock: steady, whatever a sample costs. */
static void sleep_until(struct timespec *due, double period)
{
	int64_t ns = due->tv_nsec + (int64_t)(period * 1e9);

	due->tv_sec += (time_t)(ns / 1000000000);
	due->tv_nsec = (long)(ns % 1000000000);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL);
}

static int run(double rate, long count)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_publisher_options options = { .sz = sizeof(options), .history = 1, .type = telemetry_type };
	struct timespec due;
	zcp_publisher *publisher;
	zcp_node *node;

	if (zcp_node_open(&node, "telemetry", &node_options) < 0)
		return fail("cannot join");
	if (zcp_publisher_open(&publisher, node, &telemetry_topic, &options) < 0)
		return fail("cannot open the publisher");
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (long i = 0; !stop && (!count || i < count); i++) {
		if (publish_sample(publisher) < 0)
			return fail("cannot publish");
		sleep_until(&due, 1 / rate);
	}
	zcp_publisher_close(publisher);
	zcp_node_close(node);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rate", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'n' },
		{ 0 },
	};
	struct sigaction action = { .sa_handler = on_signal };
	double rate = 10;
	long count = 0;
	int c;

	while ((c = getopt_long(argc, argv, "r:n:", options, NULL)) != -1) {
		if (c == 'r')
			rate = strtod(optarg, NULL);
		else if (c == 'n')
			count = strtol(optarg, NULL, 10);
		else
			return 2;
	}
	if (!(rate > 0 && rate <= 1e6) || count < 0 || optind < argc) {
		fprintf(stderr, "usage: telemetry [--rate HZ] [--count N]\n");
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run(rate, count);
}
