/* SPDX-License-Identifier: MIT */
/*
 * bench-crowd.c - how a router bears many nodes
 *
 * Crowds of 10, 100 and 1,000 processes, each with a node, five publishers, and five subscribers of its neighbour's
 * topics, so that the number of connections grows like the number of nodes. A router of its own for each crowd, with limits
 * that fit. The processes wait at a gate, open their node, wait at a second gate, open their endpoints, and stay.
 * Measured are, from outside:
 *
 *  time      from each gate's opening until the last is through; per node, beside the same figure of the smallest crowd:
 *            a cost that grows faster than the crowd shows there
 *  memory    growth of what is resident in the router, between the gates, per node
 *  idle      processor time of the router while nothing happens but heartbeats
 *
 * What is given as floor of time and idle is the budget, which is a promise rather than a measurement.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/bench.h"

#define PAIRS 5				/* publishers, and as many subscribers */
#define SETTLE_MS 700
#define PATIENCE_NS INT64_C(60000000000)
#define LARGE 1000u
#define JOIN_BUDGET_NS 5e9		/* for LARGE nodes */
#define IDLE_BUDGET 0.005		/* of a core */
#define NODE_BUDGET_BYTES 16384

struct crowd_shared {
	_Atomic uint32_t joined, ready, n_failed;
	char why[200];			/* of the first that failed */
};

struct crowd {
	struct bench *bench;
	struct crowd_shared *shared;
	uint32_t n, n_forked;
	pid_t *pid;
	int gate[2][2];			/* pipes; a gate opens when our end is closed: nobody is woken before */
	double node_ns, endpoint_ns, bytes, idle;
};

/* ---- a member ---------------------------------------------------------------------------------------------------- */

static _Noreturn void give_up(struct crowd_shared *shared, const char *what)
{
	if (atomic_fetch_add(&shared->n_failed, 1) == 0)
		snprintf(shared->why, sizeof(shared->why), "%s: %.150s", what, zcp_last_error());
	_exit(1);
}

static void pass_gate(const struct crowd *c, int gate)
{
	char byte;

	while (read(c->gate[gate][0], &byte, 1) < 0 && errno == EINTR)
		;
}

static void open_pair(struct crowd_shared *shared, zcp_node *node, uint32_t own, uint32_t neighbour, int i)
{
	struct zcp_publisher_options publisher_options = { .sz = sizeof(publisher_options), .payload_max = 64, .depth = 16 };
	struct zcp_subscriber_options subscriber_options = { .sz = sizeof(subscriber_options), .max_publishers = 4 };
	char instance[16], event[16];
	struct zcp_topic topic = { "zcp-bench", instance, event };
	zcp_publisher *publisher;
	zcp_subscriber *subscriber;

	snprintf(event, sizeof(event), "e%d", i);
	snprintf(instance, sizeof(instance), "%u", own);
	if (zcp_publisher_open(&publisher, node, &topic, &publisher_options) < 0)
		give_up(shared, "publisher");
	snprintf(instance, sizeof(instance), "%u", neighbour);
	if (zcp_subscriber_open(&subscriber, node, &topic, &subscriber_options) < 0)
		give_up(shared, "subscriber");
}

static _Noreturn void be_member(const struct crowd *c, uint32_t i, pid_t parent)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = c->bench->socket_path };
	zcp_node *node;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0);
	close(c->gate[0][1]);
	close(c->gate[1][1]);
	pass_gate(c, 0);
	if (zcp_node_open(&node, "crowd", &options) < 0)
		give_up(c->shared, "node");
	atomic_fetch_add(&c->shared->joined, 1);
	pass_gate(c, 1);
	for (int k = 0; k < PAIRS; k++)
		open_pair(c->shared, node, i, (i + 1) % c->n, k);
	atomic_fetch_add(&c->shared->ready, 1);
	for (;;)
		pause();
}

/* ---- outside ----------------------------------------------------------------------------------------------------- */

static int await(const struct crowd *c, _Atomic uint32_t *count, const char *what)
{
	int64_t until = (int64_t)clock_now_ns() + PATIENCE_NS;

	while (atomic_load(count) < c->n) {
		if (atomic_load(&c->shared->n_failed)) {
			bench_error(c->bench, "join: %u of %u processes failed, the first: %s", atomic_load(&c->shared->n_failed), c->n,
				    c->shared->why);
			return -1;
		}
		if (bench_interrupted())
			return -1;
		if ((int64_t)clock_now_ns() > until) {
			bench_error(c->bench, "join: %u of %u %s after %d s", atomic_load(count), c->n, what, (int)(PATIENCE_NS / 1000000000));
			return -1;
		}
		usleep(200);
	}
	return 0;
}

static int open_gate(struct crowd *c, int gate, _Atomic uint32_t *count, const char *what, double *ns)
{
	uint64_t start = clock_now_ns();

	c->gate[gate][1] = fd_close(c->gate[gate][1]);
	if (await(c, count, what))
		return -1;
	*ns = (double)(clock_now_ns() - start);
	return 0;
}

/* One number of /proc/PID/@file: the one behind @key, or the first. NAN: it cannot be read. */
static double read_number(pid_t pid, const char *name, const char *key)
{
	char path[64], line[256];
	double value = NAN;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	if (!file)
		return NAN;
	while (isnan(value) && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			value = strtod(line + strlen(key), NULL);
	fclose(file);
	return value;
}

static double resident_bytes(const struct crowd *c)
{
	return read_number(c->bench->router, "smaps_rollup", "Rss:") * 1024;
}

/* Share of a core that the router uses when nothing is asked of it. */
static int measure_idle(struct crowd *c)
{
	uint64_t start, end, span = c->bench->quick ? 1000000000u : 3000000000u;
	double before, after;

	poll(NULL, 0, SETTLE_MS);	/* what the last joins left to do */
	start = clock_now_ns();
	before = read_number(c->bench->router, "schedstat", "");
	do {
		if (bench_interrupted())
			return -1;
		poll(NULL, 0, 100);
		end = clock_now_ns();
	} while (end - start < span);
	after = read_number(c->bench->router, "schedstat", "");
	c->idle = (after - before) / (double)(end - start);
	return 0;
}

static int fork_members(struct crowd *c)
{
	pid_t parent = getpid();

	fflush(NULL);
	for (; c->n_forked < c->n && !bench_interrupted(); c->n_forked++) {
		pid_t pid = fork();

		if (pid == 0)
			be_member(c, c->n_forked, parent);
		if (pid < 0) {
			bench_error(c->bench, "join: cannot fork process %u of %u: %s", c->n_forked + 1, c->n, strerror(errno));
			return -1;
		}
		c->pid[c->n_forked] = pid;
	}
	return bench_interrupted() ? -1 : 0;
}

static void end_members(const struct crowd *c)
{
	for (uint32_t i = 0; i < c->n_forked; i++)
		kill(c->pid[i], SIGKILL);
	for (uint32_t i = 0; i < c->n_forked; i++)
		waitpid(c->pid[i], NULL, 0);
}

static int measure(struct crowd *c)
{
	double before, after;

	if (fork_members(c))
		return -1;
	before = resident_bytes(c);
	if (open_gate(c, 0, &c->shared->joined, "nodes are open", &c->node_ns))
		return -1;
	poll(NULL, 0, SETTLE_MS);	/* the router has looked at each heartbeat */
	after = resident_bytes(c);
	c->bytes = (after - before) / c->n;
	if (open_gate(c, 1, &c->shared->ready, "nodes have their endpoints", &c->endpoint_ns))
		return -1;
	return measure_idle(c);
}

/* The router holds two descriptors for each endpoint and three for each node. How many nodes it can have, of @wanted. */
static uint32_t affordable(uint32_t wanted, char descriptors[16])
{
	rlim_t per_node = 3 + 2 * 2 * PAIRS, own = 100, needed = wanted * per_node + own;
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < needed) {
		struct rlimit more = { needed, needed };

		/* only some may */
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			limit = more;
	}
	if (limit.rlim_max < needed)
		wanted = limit.rlim_max > own + per_node ? (uint32_t)((limit.rlim_max - own) / per_node) : 1;
	snprintf(descriptors, 16, "%llu", (unsigned long long)(wanted * per_node + own - 50));
	return wanted;
}

static int run_crowd(struct bench *outer, struct crowd *c)
{
	char descriptors[16];
	const char *const arguments[] = {
		"--quiet", "--max-nodes", "2048", "--max-nodes-per-uid", "2048", "--max-endpoints", "32768",
		"--max-endpoints-per-uid", "32768", "--max-fds-per-uid", descriptors, NULL,
	};
	struct bench b = *outer;	/* the same but for the router */
	char what[64];
	int r = -1;

	c->n = affordable(c->n, descriptors);
	snprintf(what, sizeof(what), "join: %u processes", c->n);
	bench_progress(outer, what);
	b.router = 0;
	b.dir[0] = 0;
	c->bench = &b;
	c->pid = calloc(c->n, sizeof(*c->pid));
	c->shared = bench_shared_new(outer, sizeof(*c->shared));
	for (int gate = 0; gate < 2; gate++)
		if (pipe2(c->gate[gate], O_CLOEXEC) < 0)
			c->gate[gate][0] = c->gate[gate][1] = -1;
	if (c->gate[1][1] < 0)
		bench_error(outer, "join: no pipe: %s", strerror(errno));
	else if (c->pid && c->shared && bench_router_start(&b, arguments) == 0)
		r = measure(c);
	end_members(c);
	for (int gate = 0; gate < 2; gate++) {
		fd_close(c->gate[gate][0]);
		fd_close(c->gate[gate][1]);
	}
	bench_router_stop(&b);
	bench_shared_free(c->shared, sizeof(*c->shared));
	free(c->pid);
	outer->n_errors = b.n_errors;
	return r;
}

/* ---- report ------------------------------------------------------------------------------------------------------ */

static void report_row(struct bench *b, enum bench_unit unit, double value, double floor, double target, const char *note, const char *format,
		       uint32_t n)
{
	struct bench_row row = { .section = "join", .unit = unit, .n = 1, .target = target, .value = { value }, .floor = { floor } };

	snprintf(row.name, sizeof(row.name), format, n);
	snprintf(row.note, sizeof(row.note), "%s", note);
	bench_report_row(b, &row);
}

static void report(struct bench *b, const struct crowd *c, const struct crowd *smallest, uint32_t wanted)
{
	double total = c->node_ns + c->endpoint_ns, per_node = total / c->n;
	bool large = wanted >= LARGE;
	const char *note = !large ? "" : c->n < wanted ? "budget; RLIMIT_NOFILE ends it" : "floor: the budget";

	report_row(b, BENCH_NS, total, large ? JOIN_BUDGET_NS * c->n / LARGE : NAN, large ? 1 : 0, note, "%u nodes, 10 endpoints each", c->n);
	if (c != smallest)
		report_row(b, BENCH_NS, per_node, (smallest->node_ns + smallest->endpoint_ns) / smallest->n, 2, "floor: in a crowd of 10",
			   "  per node, of %u", c->n);
	if (!large)
		return;
	report_row(b, BENCH_BYTES, c->bytes, NAN, NODE_BUDGET_BYTES, "", "  router memory per node", 0);
	if (!isnan(c->idle))
		report_row(b, BENCH_NS, c->idle * 1e9, IDLE_BUDGET * 1e9, 1, "floor: the budget", "  router idle, cpu a second", 0);
}

int bench_crowd(struct bench *b)
{
	static const uint32_t sizes[] = { 10, 100, LARGE };
	struct crowd crowd[3];
	size_t n = b->quick ? 2 : 3;

	if (!b->router)
		return 0;	/* the user's own router is not ours to fill */
	for (size_t i = 0; i < n; i++) {
		crowd[i] = (struct crowd){ .n = sizes[i] };
		if (run_crowd(b, &crowd[i]))
			return -1;
		report(b, &crowd[i], &crowd[0], sizes[i]);
	}
	return 0;
}
