/* SPDX-License-Identifier: MIT */
/*
 * bench-util.c - statistics, and the two pinned processes that every measurement runs in
 *
 * The parent's part of a pair is to sleep: it polls one pipe per worker, whose write end only that worker
 * holds, so that end of file means that the worker is gone, however it went. A worker that fails has written
 * why into the shared page; the parent kills the other one. Workers die with the parent (PR_SET_PDEATHSIG), so
 * nothing survives even a SIGKILL of the parent.
 *
 * Workers meet in memory, not through pipes: the one that comes first spins for a moment and then naps, so that
 * a side that takes seconds (256 subscribers to open) does not have its neighbour's cpu burn meanwhile, and
 * both are awake when a timed leg begins.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/bench.h"

#define SPIN_TURNS 65536u

struct bench_pair_shared {
	struct {
		alignas(128) _Atomic uint64_t count;
	} arrived[2];
	alignas(128) _Atomic int first_failed;	/* side + 1 */
	char why[2][320];
};

/* ---- statistics -------------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

double bench_median(double *values, size_t n)
{
	if (!n)
		return NAN;
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Values below 2 * SUB have a bucket each; above, each power of two has SUB buckets. */
static unsigned int hist_index(uint64_t value)
{
	unsigned int shift, index;

	if (value < 2 * BENCH_HIST_SUB)
		return (unsigned int)value;
	shift = 63 - (unsigned int)__builtin_clzll(value) - 6;
	index = shift * BENCH_HIST_SUB + (unsigned int)(value >> shift);
	return index < BENCH_HIST_BUCKETS ? index : BENCH_HIST_BUCKETS - 1;
}
static_assert(BENCH_HIST_SUB == 1 << 6, "hist_index shifts by 6");

uint64_t bench_hist_value(unsigned int i)
{
	unsigned int shift;

	if (i < 2 * BENCH_HIST_SUB)
		return i;
	shift = i / BENCH_HIST_SUB - 1;
	return (uint64_t)(i % BENCH_HIST_SUB + BENCH_HIST_SUB) << shift;
}

void bench_hist_add(struct bench_hist *h, uint64_t value)
{
	h->bucket[hist_index(value)]++;
	h->count++;
	if (value > h->max)
		h->max = value;
}

uint64_t bench_hist_percentile(const struct bench_hist *h, double percent)
{
	uint64_t rank = (uint64_t)ceil((double)h->count * percent / 100), seen = 0;

	if (rank < 1)
		rank = 1;
	for (unsigned int i = 0; i < BENCH_HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank)
			return bench_hist_value(i);
	}
	return h->max;
}

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

void *bench_shared_new(struct bench *b, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		bench_error(b, "no %zu bytes of shared memory: %s", bytes, strerror(errno));
		return NULL;
	}
	return p;
}

void bench_shared_free(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}

/* ---- in a worker ------------------------------------------------------------------------------------------------- */

int worker_fail(struct worker *w, const char *format, ...)
{
	int none = 0;
	va_list ap;

	if (!w->shared->why[w->side][0]) {
		va_start(ap, format);
		vsnprintf(w->shared->why[w->side], sizeof(w->shared->why[0]), format, ap);
		va_end(ap);
	}
	/* release: why[] comes before; partner: the acquire load in say_why */
	atomic_compare_exchange_strong_explicit(&w->shared->first_failed, &none, w->side + 1, memory_order_release, memory_order_relaxed);
	return -1;
}

int worker_fail_zcp(struct worker *w, const char *call, int error)
{
	const char *why = zcp_last_error();

	return worker_fail(w, "%s: %s%s%s%s", call, strerror(-error), *why ? " (" : "", why, *why ? ")" : "");
}

int worker_spin_slow(struct worker *w, struct spin *s)
{
	int64_t now = (int64_t)clock_now_ns();

	if (w->bench->one_cpu)
		sched_yield();
	s->turns = 0;
	if (!s->until_ns)
		s->until_ns = now + BENCH_WAIT_NS;
	return now < s->until_ns ? 0 : worker_fail(w, "the other side did nothing for %d s", (int)(BENCH_WAIT_NS / 1000000000));
}

int worker_meet(struct worker *w)
{
	struct bench_pair_shared *shared = w->shared;
	uint64_t mine = atomic_load_explicit(&shared->arrived[w->side].count, memory_order_relaxed) + 1;
	int64_t until = (int64_t)clock_now_ns() + 6 * BENCH_WAIT_NS;
	struct timespec nap = { .tv_nsec = 20000 };

	/* release: what we wrote before; partner: the acquire load below, on the other side */
	atomic_store_explicit(&shared->arrived[w->side].count, mine, memory_order_release);
	for (uint32_t i = 0; atomic_load_explicit(&shared->arrived[!w->side].count, memory_order_acquire) < mine; i++) {
		if (!w->bench->one_cpu && i < SPIN_TURNS)
			continue;
		if ((int64_t)clock_now_ns() > until)
			return worker_fail(w, "the other side did not arrive");
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 1000000)
			nap.tv_nsec *= 2;
	}
	return 0;
}

/* ---- endpoints --------------------------------------------------------------------------------------------------- */

int worker_node(struct worker *w, zcp_node **node)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = w->bench->socket_path };
	int r = zcp_node_open(node, w->side ? "zcp-bench-1" : "zcp-bench-0", &options);

	return r < 0 ? worker_fail_zcp(w, "zcp_node_open", r) : 0;
}

/* Names of its own for each pair, so that a shared router does not match us with another bench. */
static struct zcp_topic topic_of(const struct worker *w, const char *event, char instance[48])
{
	snprintf(instance, 48, "%d-%u", (int)getppid(), w->bench->n_pairs);
	return (struct zcp_topic){ "zcp-bench", instance, event };
}

int worker_publisher(struct worker *w, zcp_node *node, const char *event, const struct zcp_publisher_options *options, zcp_publisher **publisher)
{
	char instance[48];
	struct zcp_topic topic = topic_of(w, event, instance);
	int r = zcp_publisher_open(publisher, node, &topic, options);

	return r < 0 ? worker_fail_zcp(w, "zcp_publisher_open", r) : 0;
}

int worker_subscriber(struct worker *w, zcp_node *node, const char *event, const struct zcp_subscriber_options *options, zcp_subscriber **subscriber)
{
	char instance[48];
	struct zcp_topic topic = topic_of(w, event, instance);
	int r = zcp_subscriber_open(subscriber, node, &topic, options);

	return r < 0 ? worker_fail_zcp(w, "zcp_subscriber_open", r) : 0;
}

int worker_server(struct worker *w, zcp_node *node, const char *event, const struct zcp_server_options *options, zcp_server **server)
{
	char instance[48];
	struct zcp_topic topic = topic_of(w, event, instance);
	int r = zcp_server_open(server, node, &topic, options);

	return r < 0 ? worker_fail_zcp(w, "zcp_server_open", r) : 0;
}

/* With its server connected. */
int worker_client(struct worker *w, zcp_node *node, const char *event, const struct zcp_client_options *options, zcp_client **client)
{
	char instance[48];
	struct zcp_topic topic = topic_of(w, event, instance);
	int r = zcp_client_open(client, node, &topic, options);

	if (r < 0)
		return worker_fail_zcp(w, "zcp_client_open", r);
	r = zcp_client_connect(*client, 1, BENCH_WAIT_NS);
	return r < 0 ? worker_fail_zcp(w, "zcp_client_connect", r) : 0;
}

int worker_connected(struct worker *w, zcp_publisher *publisher, int subscribers)
{
	int r = zcp_publisher_wait(publisher, subscribers, BENCH_WAIT_NS);

	return r < 0 ? worker_fail_zcp(w, "zcp_publisher_wait", r) : 0;
}

/* ---- the pair ---------------------------------------------------------------------------------------------------- */

static _Noreturn void run_worker(struct worker *w, bench_side_fn side, void *arg, pid_t parent)
{
	cpu_set_t set;
	int r;

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	CPU_ZERO(&set);
	CPU_SET((size_t)w->bench->cpu[w->side], &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		r = worker_fail(w, "cannot run on cpu %d: %s", w->bench->cpu[w->side], strerror(errno));
	else
		r = side(w, arg);
	_exit(r ? 1 : 0);
}

/* Fork one side; its pid, or -1. *alive becomes readable (end of file) when the worker is gone. */
static pid_t start_worker(struct worker *w, bench_side_fn side, void *arg, int *alive)
{
	pid_t parent = getpid(), pid;
	int pipe_fd[2];

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(pipe_fd[0]);
		run_worker(w, side, arg, parent);
	}
	close(pipe_fd[1]);
	if (pid < 0)
		fd_close(pipe_fd[0]);
	else
		*alive = pipe_fd[0];
	return pid;
}

/* The longest life of a pair. */
static int64_t pair_ns(const struct bench *b)
{
	double slow = b->scale > 1 ? b->scale : 1;

	return INT64_C(60000000000) + (int64_t)(20e9 * b->runs * slow);
}

/* Wait until a worker is gone; -1: interrupted, or the time is up. */
static int await_end(int alive[2], int64_t until)
{
	struct pollfd pfd[2] = { { .fd = alive[0], .events = POLLIN }, { .fd = alive[1], .events = POLLIN } };

	for (;;) {
		int64_t left = until - (int64_t)clock_now_ns();

		if (left <= 0 || bench_interrupted())
			return -1;
		/* half a second at most: a signal may come between the check above and poll */
		if (poll(pfd, 2, left < 500000000 ? (int)(left / 1000000) + 1 : 500) > 0)
			return pfd[0].revents ? 0 : 1;
	}
}

static void say_why(struct bench *b, const char *what, const struct bench_pair_shared *shared, const int status[2], bool timeout)
{
	int first = atomic_load_explicit(&shared->first_failed, memory_order_acquire);

	if (bench_interrupted())
		return;
	for (int side = 0; side < 2; side++) {
		if (WIFSIGNALED(status[side]) && WTERMSIG(status[side]) != SIGKILL) {
			bench_error(b, "%s: side %d died of signal %d (%s)", what, side, WTERMSIG(status[side]), strsignal(WTERMSIG(status[side])));
			return;
		}
	}
	if (first)
		bench_error(b, "%s: side %d: %s", what, first - 1, shared->why[first - 1]);
	else if (timeout)
		bench_error(b, "%s: not done after %d s", what, (int)(pair_ns(b) / 1000000000));
	else
		bench_error(b, "%s: a side was killed or ended early", what);
}

int bench_pair(struct bench *b, const char *what, bench_side_fn side0, bench_side_fn side1, void *arg)
{
	bench_side_fn fn[2] = { side0, side1 };
	int alive[2] = { -1, -1 }, status[2] = { 0, 0 }, running = 0;
	pid_t pid[2] = { -1, -1 };
	int64_t until = (int64_t)clock_now_ns() + pair_ns(b);
	struct bench_pair_shared *shared;
	bool failed = false, timeout = false;

	if (bench_interrupted())
		return -1;
	shared = bench_shared_new(b, sizeof(*shared));
	if (!shared)
		return -1;
	b->n_pairs++;
	bench_progress(b, what);
	fflush(NULL);
	for (int side = 0; side < 2; side++) {
		struct worker w = { .bench = b, .shared = shared, .side = side, .ticks = b->ticks, .spin_limit = b->one_cpu ? 2 : SPIN_TURNS };

		pid[side] = start_worker(&w, fn[side], arg, &alive[side]);
		if (pid[side] < 0) {
			bench_error(b, "%s: cannot fork: %s", what, strerror(errno));
			failed = true;
			break;
		}
		running++;
	}
	while (running && !failed) {
		int side = await_end(alive, until);

		if (side < 0) {
			failed = timeout = true;
			break;
		}
		waitpid(pid[side], &status[side], 0);
		pid[side] = -1;
		alive[side] = fd_close(alive[side]);
		running--;
		failed = status[side] != 0;
	}
	for (int side = 0; side < 2; side++) {
		if (pid[side] > 0) {
			kill(pid[side], SIGKILL);
			waitpid(pid[side], &status[side], 0);
		}
		fd_close(alive[side]);
	}
	if (failed)
		say_why(b, what, shared, status, timeout);
	bench_shared_free(shared, sizeof(*shared));
	return failed ? -1 : 0;
}
