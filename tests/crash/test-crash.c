/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at any instruction, and nobody else waits, leaks or reads garbage: an architecture's claim, tried.
 *
 * For each operation of operations.c a victim is forked again and again, single-stepped through that one call and killed
 * after k instructions, or at the k-th entry into or return from the kernel: for all that others can see, these are the
 * moments between which a long open changes something. After each death the survivors must go on as if nothing had been (world.c).
 *
 * Usage: test-crash                    a sample of all k, evenly spread; always the same ones
 *        test-crash --all              every k; of long operations every n-th instruction
 *        test-crash OPERATION[/SIDE] [K]   that one like --all, or one k of it; sK counts system call stops
 *        test-crash OPERATION[/SIDE] count   how many instructions it is
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "operations.h"
#include "step.h"

/*
 * Stepping is what takes time, some 20 us an instruction: so many steps for each operation, however long it is. With the
 * larger number operations of up to 1400 instructions are tried at every one.
 */
#define STEPS_SAMPLED 30000u
#define STEPS_ALL 1000000u
#define SAMPLES 25		/* at most */

static uint64_t n_deaths;

struct run {
	const struct operation *operation;
	struct side *side;
};

static void victim(void *argument)
{
	const struct run *run = argument;

	run->operation->victim(run->side);
}

static _Noreturn void ended(int status)
{
	fail("the victim ended by itself, status 0x%x", status);
}

static void say_where(const struct run *run, enum step_unit unit, uint64_t k)
{
	static char what[80];
	int n = snprintf(what, sizeof(what), "%s/%s ", run->operation->name, run->side->name);

	if (k == UINT64_MAX)
		snprintf(what + n, sizeof(what) - (size_t)n, "at its end");
	else
		snprintf(what + n, sizeof(what) - (size_t)n, "%s%llu", unit == STEP_SYSCALL ? "s" : "", (unsigned long long)k);
	at_what = what;
}

/*
 * One victim, killed after @k units. How many it did: less than @k if the operation was over before, and it was killed
 * behind it.
 */
static uint64_t kill_after(struct run *run, enum step_unit unit, uint64_t k)
{
	bool at_mark;
	int status;
	pid_t pid;

	say_where(run, unit, k);
	world_before(run->side);
	pid = step_start(victim, run);
	if (pid < 0)
		fail("ptrace: %s", strerror(-pid));
	for (int i = 0; i < 2 && run->operation->help[i]; i++) {
		if (!step_to_mark(pid, &status))
			ended(status);
		run->operation->help[i](run->side);
	}
	if (!step_to_mark(pid, &status) || !step_run(pid, unit, &k, &at_mark, &status))
		ended(status);
	step_kill(pid);
	if (run->operation->after)
		run->operation->after(run->side);
	world_after(run->side);
	n_deaths++;
	return k;
}

/* How many of @total instructions: killing at n evenly spread places costs n * total / 2 steps. */
static uint64_t affordable(uint64_t total, bool all)
{
	uint64_t n = 2 * (all ? STEPS_ALL : STEPS_SAMPLED) / (total + 1) + 1;

	if (!all && n > SAMPLES)
		n = SAMPLES;
	return n < total ? n : total;
}

/* Every system call stop; instructions as many as @all says, the same ones each time. */
static void try_unit(struct run *run, enum step_unit unit, bool all)
{
	uint64_t total = kill_after(run, unit, UINT64_MAX), begin = clock_now_ns();
	uint64_t n = unit == STEP_SYSCALL ? total : affordable(total, all);

	for (uint64_t i = 0; i < n; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r%s/%s %llu/%llu \033[K", run->operation->name, run->side->name,
				(unsigned long long)i, (unsigned long long)n);
		kill_after(run, unit, i * total / n);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	printf("%s/%s: %llu of %llu %s, %.1f s\n", run->operation->name, run->side->name, (unsigned long long)n,
	       (unsigned long long)total, unit == STEP_SYSCALL ? "system call stops" : "instructions",
	       (double)(clock_now_ns() - begin) / 1e9);
	fflush(stdout);
}

/* "operation" or "operation/side". */
static bool is_meant(const char *argument, const struct run *run)
{
	size_t n = strlen(run->operation->name);

	if (strncmp(argument, run->operation->name, n) != 0)
		return false;
	return !argument[n] || (argument[n] == '/' && strcmp(argument + n + 1, run->side->name) == 0);
}

static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Of @table those that @only means, at all places or at @k. How many they are. */
static unsigned int try_all(const struct operation *table, unsigned int n, bool all, const char *only, const char *k)
{
	unsigned int n_meant = 0;

	for (unsigned int i = 0; i < N_SIDES * n; i++) {
		struct run run = { &table[i / N_SIDES], &sides[i % N_SIDES] };

		if (!(run.operation->sides & 1u << i % N_SIDES) || (only && !is_meant(only, &run)))
			continue;
		n_meant++;
		if (k && !strcmp(k, "count")) {
			printf("%llu instructions\n", (unsigned long long)kill_after(&run, STEP_INSTRUCTION, UINT64_MAX));
		} else if (k) {
			kill_after(&run, *k == 's' ? STEP_SYSCALL : STEP_INSTRUCTION, strtoull(k + (*k == 's'), NULL, 10));
		} else {
			try_unit(&run, STEP_SYSCALL, all || only);
			try_unit(&run, STEP_INSTRUCTION, all || only);
		}
	}
	return n_meant;
}

static int usage(void)
{
	fprintf(stderr, "usage: test-crash [--all | OPERATION[/SIDE] [K | sK | count]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool all = argc == 2 && strcmp(argv[1], "--all") == 0;
	const char *only = argc > 1 && !all ? argv[1] : NULL, *k = argc > 2 ? argv[2] : NULL;
	unsigned int n_meant;
	uint64_t begin;

	if (argc > 3 || (only && *only == '-'))
		return usage();
	program = "test-crash";
	if (!step_possible())
		return 77;
	world_open();
	/* a step is two switches between victim and tracer: shorter, and steadier, when both are on one processor */
	stay_here();
	begin = clock_now_ns();
	n_meant = try_all(operations, n_operations, all, only, k) + try_all(call_operations, n_call_operations, all, only, k) +
		  try_all(event_operations, n_event_operations, all, only, k) +
		  try_all(node_operations, n_node_operations, all, only, k);
	printf("%llu deaths, %.0f per second\n", (unsigned long long)n_deaths, (double)n_deaths * 1e9 / (double)(clock_now_ns() - begin));
	world_close();
	return n_meant ? 0 : usage();
}
