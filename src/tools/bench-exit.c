/* SPDX-License-Identifier: MIT */
/*
 * bench-exit.c - from the kill of a process to its peer knowing
 *
 * Side 1 forks victims, some at a time: each opens a node and a subscriber, and sleeps. Side 0 has the publisher they are
 * connected to. It looks at the clock, kills one, sleeps on the publisher's doorbell as a reliable publisher without room
 * does, and looks again when the subscriber is gone from its lanes. A router of its own for each detector, with the others
 * switched off; and one with all, as it is meant to be used.
 *
 * Floor: every other victim is waited for with poll() on its pidfd instead, which the kernel makes readable when it has taken
 * the process apart. It is not a bound: eBPF may be faster, as its event comes before the memory is given back. The
 * heartbeat has nothing to do with it; its floor is the silence that it has to wait for.
 *
 * The 99th percentile is judged. All kills are one run: percentiles of a few are worth little.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/fd.h"
#include "lib/node.h"
#include "lib/publisher.h"
#include "tools/bench.h"

#define BATCH 20u
#define SETTLE_NS 300000	/* before each kill: whoever heard of the last one sleeps again */

static const struct detector {
	const char *name, *option;	/* NULL: what the router does by itself */
	uint32_t bit;
	double target;
} detectors[] = {
	{ "all detectors", NULL, 0, 2 },
	{ "eBPF", "bpf", DIRECTORY_DETECTOR_BPF, 2 },
	{ "pidfd", "pidfd", DIRECTORY_DETECTOR_PIDFD, 2 },
	{ "socket", "socket", DIRECTORY_DETECTOR_SOCKET, 0 },
	{ "heartbeat", "heartbeat", DIRECTORY_DETECTOR_HEARTBEAT, 0 },
};
#define N_DETECTORS (sizeof(detectors) / sizeof(*detectors))

struct exit_shared {
	bool missing;			/* this machine has no such detector */
	uint32_t timeout_ms;		/* the router's */
	pid_t pid[BATCH];
	_Atomic uint32_t n_failed;
	char why[200];			/* the first victim that did */
	double ticks[];			/* n of zcp, then n of the floor */
};

struct exit_arg {
	struct exit_shared *shared;
	const struct detector *detector;
	uint32_t n;			/* kills for zcp, and as many for the floor */
	bool has_floor;
	struct zcp_topic topic;
};

static uint32_t batch_of(const struct exit_arg *a, uint32_t done)
{
	uint32_t left = a->n * (a->has_floor ? 2 : 1) - done;

	return left < BATCH ? left : BATCH;
}

/* ---- side 0 ------------------------------------------------------------------------------------------------------ */

static int wait_for_pidfd(struct worker *w, int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r = poll(&p, 1, (int)(BENCH_WAIT_NS / 1000000));

	return r == 1 ? 0 : worker_fail(w, "poll of a pidfd: %s", r ? strerror(errno) : "nothing came");
}

static int wait_for_news(struct worker *w, zcp_publisher *publisher, int subscribers)
{
	uint64_t until = clock_now_ns() + (uint64_t)BENCH_WAIT_NS;

	while (zcp_publisher_subscribers(publisher) > subscribers)
		if (endpoint_sleep(&publisher->endpoint, until) < 0)
			return worker_fail(w, "nobody noticed that a process was killed, for %d s", (int)(BENCH_WAIT_NS / 1000000000));
	return 0;
}

/* Both notice in the end; @floor: the pidfd is timed. */
static int kill_one(struct worker *w, zcp_publisher *publisher, pid_t pid, int left, bool floor, double *ticks)
{
	_cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct timespec settle = { .tv_nsec = SETTLE_NS };
	uint64_t start;
	int r;

	if (pidfd < 0)
		return worker_fail(w, "pidfd_open: %s", strerror(errno));
	nanosleep(&settle, NULL);
	start = worker_ticks(w);
	if (kill(pid, SIGKILL) < 0)
		return worker_fail(w, "kill: %s", strerror(errno));
	r = floor ? wait_for_pidfd(w, pidfd) : wait_for_news(w, publisher, left);
	*ticks = (double)(worker_ticks(w) - start);
	if (r)
		return r;
	return floor ? wait_for_news(w, publisher, left) : wait_for_pidfd(w, pidfd);
}

static int kill_all(struct worker *w, const struct exit_arg *a, zcp_publisher *publisher)
{
	uint32_t n = a->n * (a->has_floor ? 2 : 1), done = 0;

	while (done < n) {
		uint32_t batch = batch_of(a, done);

		if (worker_meet(w))
			return -1;
		if (zcp_publisher_wait(publisher, (int)batch, BENCH_WAIT_NS) < 0)
			return atomic_load(&a->shared->n_failed) ? worker_fail(w, "a victim: %s", a->shared->why) :
								   worker_fail_zcp(w, "zcp_publisher_wait", -ETIMEDOUT);
		for (uint32_t i = 0; i < batch; i++, done++) {
			bool floor = a->has_floor && done % 2;
			uint32_t at = a->has_floor ? done / 2 + (floor ? a->n : 0) : done;

			if (kill_one(w, publisher, a->shared->pid[i], (int)(batch - 1 - i), floor, &a->shared->ticks[at]))
				return -1;
		}
		if (worker_meet(w))
			return -1;
	}
	return 0;
}

static int kill_side(struct worker *w, void *arg)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64, .depth = 16 };
	const struct exit_arg *a = arg;
	const struct directory_header *router;
	zcp_publisher *publisher;
	zcp_node *node;

	int r;

	if (worker_node(w, &node))
		return -1;
	r = zcp_publisher_open(&publisher, node, &a->topic, &options);
	if (r < 0)
		return worker_fail_zcp(w, "zcp_publisher_open", r);
	router = node->directory.header;
	a->shared->timeout_ms = router->timeout_ms;
	a->shared->missing = (router->detectors & a->detector->bit) != a->detector->bit;
	if (worker_meet(w))
		return -1;
	if (!a->shared->missing && kill_all(w, a, publisher))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- side 1 ------------------------------------------------------------------------------------------------------ */

static _Noreturn void be_victim(struct worker *w, const struct exit_arg *a, pid_t parent)
{
	zcp_subscriber *subscriber;
	zcp_node *node;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (worker_node(w, &node) || zcp_subscriber_open(&subscriber, node, &a->topic, NULL) < 0) {
		if (atomic_fetch_add(&a->shared->n_failed, 1) == 0)
			snprintf(a->shared->why, sizeof(a->shared->why), "%.190s", zcp_last_error());
		_exit(1);
	}
	for (;;)
		pause();
}

static int victim_side(struct worker *w, void *arg)
{
	const struct exit_arg *a = arg;
	uint32_t n = a->n * (a->has_floor ? 2 : 1), done = 0;
	pid_t parent = getpid();

	if (worker_meet(w))
		return -1;
	while (!a->shared->missing && done < n) {
		uint32_t batch = batch_of(a, done);

		for (uint32_t i = 0; i < batch; i++) {
			pid_t pid = fork();

			if (pid == 0)
				be_victim(w, a, parent);
			if (pid < 0)
				return worker_fail(w, "cannot fork: %s", strerror(errno));
			a->shared->pid[i] = pid;
		}
		if (worker_meet(w) || worker_meet(w))
			return -1;
		for (uint32_t i = 0; i < batch; i++)
			waitpid(a->shared->pid[i], NULL, 0);
		done += batch;
	}
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

/* Of @n sorted values. */
static double percentile(const double *sorted, uint32_t n, double percent)
{
	double rank = ceil(n * percent / 100);

	return n ? sorted[rank < 1 ? 0 : (uint32_t)rank - 1] : NAN;
}

static void report_row(struct bench *b, const struct exit_arg *a, double percent, double target, const char *note)
{
	const double *zcp = a->shared->ticks, *floor = zcp + a->n;
	struct bench_row row = { .section = "exit", .unit = BENCH_NS, .n = 1, .target = target };

	snprintf(row.name, sizeof(row.name), percent < 99 ? "%s" : "  p99", a->detector->name);
	snprintf(row.note, sizeof(row.note), "%s", note);
	row.value[0] = percentile(zcp, a->n, percent) * b->ns_per_tick;
	row.floor[0] = a->has_floor ? percentile(floor, a->n, percent) * b->ns_per_tick : a->shared->timeout_ms * 1e6;
	bench_row_extra(&row, "kills", a->n);
	bench_row_extra(&row, "percentile", percent);
	bench_row_extra(&row, "max_ns", zcp[a->n - 1] * b->ns_per_tick);
	if (a->has_floor)
		bench_row_extra(&row, "floor_max_ns", floor[a->n - 1] * b->ns_per_tick);
	bench_report_row(b, &row);
}

static void report(struct bench *b, const struct exit_arg *a)
{
	double *zcp = a->shared->ticks, *floor = zcp + a->n;
	char note[32];

	bench_median(zcp, a->n);	/* sorts */
	if (!a->has_floor) {
		report_row(b, a, 50, 0, "floor: its timeout");
		return;
	}
	bench_median(floor, a->n);
	snprintf(note, sizeof(note), "max %.2f ms", zcp[a->n - 1] * b->ns_per_tick / 1e6);
	report_row(b, a, 50, 0, "");
	report_row(b, a, 99, a->detector->target, note);
}

/* The router is there. */
static int measure(struct bench *outer, struct bench *b, const struct detector *detector)
{
	bool silence = detector->bit == DIRECTORY_DETECTOR_HEARTBEAT;
	char instance[16];
	struct exit_arg a = { .detector = detector, .has_floor = !silence, .topic = { "zcp-bench", instance, "exit" } };
	size_t bytes;
	int r;

	snprintf(instance, sizeof(instance), "%d", (int)getpid());
	a.n = silence ? (b->quick ? 1 : 3) : bench_rounds(b, 1000, 2);
	bytes = sizeof(*a.shared) + 2 * (size_t)a.n * sizeof(double);
	a.shared = bench_shared_new(b, bytes);
	if (!a.shared)
		return -1;
	r = bench_pair(b, "exit", kill_side, victim_side, &a);
	if (r == 0 && a.shared->missing)
		fprintf(stderr, "zcp: bench: exit: left out: the router cannot use %s here\n", detector->name);
	else if (r == 0)
		report(outer, &a);
	bench_shared_free(a.shared, bytes);
	return r;
}

static int measure_alone(struct bench *outer, const struct detector *detector)
{
	const char *const arguments[] = { "--quiet", detector->option ? "--detectors" : NULL, detector->option, NULL };
	struct bench b = *outer;	/* the same but for the router */
	int r = -1;

	b.router = 0;
	b.dir[0] = 0;
	if (bench_router_start(&b, arguments) == 0)
		r = measure(outer, &b, detector);
	bench_router_stop(&b);
	outer->n_errors = b.n_errors;
	outer->n_pairs = b.n_pairs;
	return r;
}

int bench_exit(struct bench *b)
{
	if (!b->router)
		return measure(b, b, &detectors[0]);	/* the user's own, as it is */
	for (size_t i = 0; i < N_DETECTORS; i++)
		if (measure_alone(b, &detectors[i]))
			return -1;
	return 0;
}
