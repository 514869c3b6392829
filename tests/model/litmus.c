/* SPDX-License-Identifier: MIT */
/*
 * The Dekker pairs of the channel, hammered between two processes on real hardware.
 *
 * pin/tail, sequence/ticket and cursor/writer_ticket have one shape: each side stores its own word,
 * then loads the other's, and it must never happen that both miss each other's store. The spin
 * models (tso.pml) assume what a store buffer does and what membarrier(2) does to it; this program
 * asks the machine. Two processes share an anonymous mapping. In each round both meet in a spin
 * rendezvous, wait a small random time, store the number of the round and load the word of the
 * other. A round in which both loads came too early is a violation:
 *
 *   membarrier  fast side: compiler barrier only; rare side: membarrier between store and load, as
 *               in channel_writer_retire, channel_reader_arm and channel_writer_arm; none allowed
 *   fence       sequentially consistent fence on both sides; none allowed
 *   half        that fence on the rare side only: what is left of `membarrier` without its effect
 *               on the other process; violations must show
 *   none        compiler barriers only; violations must show
 *
 * Where `none` or `half` show nothing in 20 seconds, the test is blind and fails: then the silence
 * of the other modes proves nothing either. The counts of all four outcomes tell how well the sides
 * met.
 *
 * Words are rewritten with growing round numbers and never reset, so that each lies in the other's
 * cache when it is stored: the store waits in the buffer for the line while the load hits. The fast
 * side also queues a random number of cache misses before its store. With that, `half` fails in a
 * good part of all rounds. What tests membarrier are the rounds where only the rare side saw the
 * other's store.
 *
 * One weakness: a membarrier that interrupts a running partner was seen to last 10 to 27 us in a
 * virtual machine, longer than a store stays in a buffer. One that did nothing but wait so long
 * would mostly pass here as well; that it does more is the kernel's contract (membarrier(2)).
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <getopt.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH		512u /* rounds between two looks at the clock */
#define BLIND_SECONDS	20.0 /* how long `none` and `half` may look for a violation */
#define SPINS_TO_YIELD	20000u
#define JITTER_FAST	200u /* turns of delay(), a third of a nanosecond each */
#define JITTER_RARE	1600u /* more, since the fast side fills its buffer first */
#define FILL_STORES	60u
#define FILL_BYTES	(32u << 20)
#define EXIT_SKIP	77

enum mode { MODE_MEMBARRIER, MODE_FENCE, MODE_HALF, MODE_NONE, N_MODES };

static const char *const mode_names[N_MODES] = { "membarrier", "fence", "half", "none" };

enum side { SIDE_FAST, SIDE_RARE };

struct word {
	_Alignas(128) _Atomic uint32_t value;
};

struct shared {
	struct word flag[2];	/* the pair under test: number of the last round stored */
	struct word arrived[2]; /* spin rendezvous */
	struct word stop;
	struct {
		_Alignas(128) _Atomic uint8_t saw[BATCH]; /* did this side see the other's store */
	} side[2];
};

struct outcome {
	uint64_t n_rounds;
	uint64_t n_both;
	uint64_t n_only[2];
	uint64_t n_violations;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

static uint32_t random_next(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

/* Cache misses that the store under test has to queue behind. */
static void fill_store_buffer(unsigned char *area, uint32_t *seed)
{
	uint32_t n = random_next(seed) % (FILL_STORES + 1);

	while (n-- > 0)
		*(volatile unsigned char *)&area[random_next(seed) % FILL_BYTES] = 1;
}

static void delay(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		__asm__ volatile("" ::: "memory");
}

/* Tell the other side that this one has reached step `n`, and wait until it has as well. */
static void meet(struct shared *s, enum side me, uint32_t n)
{
	uint32_t n_spins = 0;

	atomic_store_explicit(&s->arrived[me].value, n, memory_order_release);
	while ((int32_t)(atomic_load_explicit(&s->arrived[!me].value, memory_order_acquire) - n) < 0) {
		if (++n_spins % SPINS_TO_YIELD == 0)
			sched_yield();
	}
}

static inline void barrier_between(enum mode mode, enum side me)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (mode == MODE_FENCE || (mode == MODE_HALF && me == SIDE_RARE)) {
		atomic_thread_fence(memory_order_seq_cst);
	} else if (mode == MODE_MEMBARRIER && me == SIDE_RARE) {
		if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) < 0)
			_exit(2);
	}
	atomic_signal_fence(memory_order_seq_cst);
}

static void run_batch(struct shared *s, enum mode mode, enum side me, uint32_t *round,
		      const uint32_t jitter[2], unsigned char *area, uint32_t *seed)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		uint32_t n = ++*round, wait = random_next(seed) % jitter[me], other;

		meet(s, me, n);
		delay(wait);
		if (me == SIDE_FAST)
			fill_store_buffer(area, seed);
		atomic_store_explicit(&s->flag[me].value, n, memory_order_relaxed);
		barrier_between(mode, me);
		other = atomic_load_explicit(&s->flag[!me].value, memory_order_relaxed);
		atomic_store_explicit(&s->side[me].saw[i], other == n, memory_order_relaxed);
	}
	meet(s, me, ++*round); /* the results of the batch are complete */
}

static void count(const struct shared *s, struct outcome *out)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		bool fast = atomic_load_explicit(&s->side[SIDE_FAST].saw[i], memory_order_relaxed);
		bool rare = atomic_load_explicit(&s->side[SIDE_RARE].saw[i], memory_order_relaxed);

		out->n_both += fast && rare;
		out->n_only[SIDE_FAST] += fast && !rare;
		out->n_only[SIDE_RARE] += rare && !fast;
		out->n_violations += !fast && !rare;
	}
	out->n_rounds += BATCH;
}

/* Each side gets a CPU of its own, so that the scheduler cannot make them take turns. */
static int pick_cpus(int cpus[2])
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	for (size_t cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++) {
		if (CPU_ISSET(cpu, &set))
			cpus[n++] = (int)cpu;
	}
	return n;
}

static void settle(int cpu, double limit_s)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	alarm((unsigned int)limit_s + 60); /* nothing here may hang a test run */
}

static _Noreturn void fast_side(struct shared *s, enum mode mode, const uint32_t jitter[2])
{
	unsigned char *area = calloc(1, FILL_BYTES);
	uint32_t round = 0, seed = 0x9e3779b9;

	if (area == NULL)
		_exit(2);
	memset(area, 0, FILL_BYTES); /* no page faults later on */

	/* The process that membarrier has to reach is the one that must have registered. */
	if (mode == MODE_MEMBARRIER && membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) < 0)
		_exit(2);
	meet(s, SIDE_FAST, ++round);
	while (!atomic_load_explicit(&s->stop.value, memory_order_relaxed)) {
		run_batch(s, mode, SIDE_FAST, &round, jitter, area, &seed);
		meet(s, SIDE_FAST, ++round); /* counted, and `stop` decided */
	}
	_exit(0);
}

static void rare_side(struct shared *s, enum mode mode, const uint32_t jitter[2], double seconds,
		      struct outcome *out)
{
	bool until_seen = mode == MODE_HALF || mode == MODE_NONE, done;
	uint32_t round = 0, seed = 0x7f4a7c15;
	double begin = now_s(), spent;

	meet(s, SIDE_RARE, ++round);
	do {
		run_batch(s, mode, SIDE_RARE, &round, jitter, NULL, &seed);
		count(s, out);
		spent = now_s() - begin;
		done = spent >= seconds;
		if (until_seen && out->n_violations == 0)
			done = spent >= (seconds > BLIND_SECONDS ? seconds : BLIND_SECONDS);
		if (done)
			atomic_store_explicit(&s->stop.value, 1, memory_order_relaxed);
		meet(s, SIDE_RARE, ++round);
	} while (!atomic_load_explicit(&s->stop.value, memory_order_relaxed));
}

/* Returns 0, 1 for a result that must not be, EXIT_SKIP where the kernel lacks membarrier. */
static int run_mode(enum mode mode, double seconds, const int cpus[2])
{
	bool want_violations = mode == MODE_HALF || mode == MODE_NONE;
	static const uint32_t jitter[2] = { JITTER_FAST, JITTER_RARE };
	struct outcome out = { 0 };
	const char *verdict;
	struct shared *s;
	int status = 0;
	double begin;
	pid_t child;
	bool good;

	if (mode == MODE_MEMBARRIER) {
		int commands = membarrier(MEMBARRIER_CMD_QUERY);

		if (commands < 0 || !(commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) ||
		    membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) < 0) {
			printf("%-10s  skipped: the kernel refuses membarrier\n", mode_names[mode]);
			return EXIT_SKIP;
		}
	}

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	begin = now_s();
	fflush(stdout);
	child = fork();
	if (child < 0) {
		perror("fork");
		munmap(s, sizeof(*s));
		return 1;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		settle(cpus[0], seconds + BLIND_SECONDS);
		fast_side(s, mode, jitter);
	}
	settle(cpus[1], seconds + BLIND_SECONDS);
	rare_side(s, mode, jitter, seconds, &out);
	alarm(0);
	waitpid(child, &status, 0);
	munmap(s, sizeof(*s));

	good = status == 0 && (out.n_violations > 0) == want_violations;
	if (status != 0)
		verdict = "the other side died";
	else if (want_violations)
		verdict = good ? "ok, the test can see" : "BLIND, no violation seen";
	else
		verdict = good ? "ok" : "VIOLATED";
	printf("%-10s  %10llu rounds in %.1f s: both saw %llu, fast only %llu, rare only %llu, "
	       "neither %llu: %s\n",
	       mode_names[mode], (unsigned long long)out.n_rounds, now_s() - begin,
	       (unsigned long long)out.n_both, (unsigned long long)out.n_only[SIDE_FAST],
	       (unsigned long long)out.n_only[SIDE_RARE], (unsigned long long)out.n_violations,
	       verdict);
	return good ? 0 : 1;
}

static int usage(FILE *to, int status)
{
	fprintf(to, "usage: litmus [--seconds S] [--mode membarrier|fence|half|none|all]\n"
		    "  --seconds S  time for each mode, default 2; half and none go on until they have\n"
		    "               seen a violation, up to 20 s\n"
		    "  --mode M     one mode, default all\n");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "mode", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int opt, cpus[2], n_bad = 0, n_run = 0;
	const char *only = "all";
	double seconds = 2;
	bool known = false;

	while ((opt = getopt_long(argc, argv, "s:m:h", options, NULL)) != -1) {
		char *end;

		switch (opt) {
		case 's':
			seconds = strtod(optarg, &end);
			if (*end != '\0' || end == optarg || !(seconds > 0 && seconds < 86400))
				return usage(stderr, 2);
			break;
		case 'm':
			only = optarg;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	for (int mode = 0; mode < N_MODES; mode++)
		known |= strcmp(only, mode_names[mode]) == 0;
	if (optind != argc || !(known || strcmp(only, "all") == 0))
		return usage(stderr, 2);

	if (pick_cpus(cpus) < 2) {
		printf("skipped: two CPUs are needed for stores to race\n");
		return EXIT_SKIP;
	}
	for (int mode = 0; mode < N_MODES; mode++) {
		int r;

		if (strcmp(only, "all") != 0 && strcmp(only, mode_names[mode]) != 0)
			continue;
		r = run_mode((enum mode)mode, seconds, cpus);
		n_run += r != EXIT_SKIP;
		n_bad += r != EXIT_SKIP && r != 0;
	}
	if (n_run == 0)
		return EXIT_SKIP;
	return n_bad == 0 ? 0 : 1;
}
