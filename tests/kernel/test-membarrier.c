/* SPDX-License-Identifier: MIT */
/*
 * membarrier(2), which lets the channel's fast side do with a compiler barrier what would otherwise be a
 * fence per message. The two sides are different processes that share memory, so it is the GLOBAL_EXPEDITED
 * command that matters: every process whose fast side relies on it registers, anyone may issue it.
 */

#include "harness.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEKKER_ROUNDS 20000

#define WANTED                                                                     \
	(MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | \
	 MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)

static int membarrier(int command)
{
	return (int)syscall(__NR_membarrier, command, 0, 0);
}

START_TEST(query_offers_the_expedited_commands)
{
	int commands = membarrier(MEMBARRIER_CMD_QUERY);

	ck_assert_ok(commands);
	ck_assert_int_eq(commands & WANTED, WANTED);
}
END_TEST

START_TEST(private_expedited_needs_registration)
{
	ck_assert_fails(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), EPERM);
	ck_assert_ok(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	ck_assert_ok(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
}
END_TEST

/* The issuer needs no registration; registering twice is harmless. */
START_TEST(global_expedited_registers_and_runs)
{
	ck_assert_ok(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED));
	ck_assert_ok(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
	ck_assert_ok(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
	ck_assert_ok(membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED));
}
END_TEST

/*
 * Store buffering: each side stores its own flag and then loads the other's. With a full barrier on both
 * sides they cannot both read 0. Here the fast side has only a compiler barrier and the slow side issues
 * membarrier, which has to stand for both.
 */
struct dekker {
	_Atomic unsigned int start;      /* round both sides may run */
	_Atomic unsigned int fast_done;  /* round the fast side has finished */
	_Atomic bool stop;
	_Alignas(64) _Atomic unsigned int fast_flag;
	_Alignas(64) _Atomic unsigned int slow_flag;
	_Alignas(64) _Atomic unsigned int fast_saw;
};

static void run_fast_side(struct dekker *dekker)
{
	for (unsigned int round = 1; round <= DEKKER_ROUNDS; round++) {
		unsigned int saw;
		unsigned int spins = 0;

		while (atomic_load_explicit(&dekker->start, memory_order_acquire) != round) {
			if (atomic_load_explicit(&dekker->stop, memory_order_relaxed))
				return;
			if (++spins % 1024 == 0)
				sched_yield();
		}
		atomic_store_explicit(&dekker->fast_flag, round, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst); /* partner: membarrier in run_slow_side */
		saw = atomic_load_explicit(&dekker->slow_flag, memory_order_relaxed);
		atomic_store_explicit(&dekker->fast_saw, saw, memory_order_relaxed);
		atomic_store_explicit(&dekker->fast_done, round, memory_order_release);
	}
}

/* Returns the number of rounds in which both sides missed each other, negative on a failure. */
static int run_slow_side(struct dekker *dekker, int command)
{
	int n_missed = 0;

	for (unsigned int round = 1; round <= DEKKER_ROUNDS; round++) {
		unsigned int saw;
		bool done;

		atomic_store_explicit(&dekker->start, round, memory_order_release);
		/* A different delay each round, so that the two sides meet at every offset. */
		for (unsigned int delay = 0; delay < round % 64; delay++)
			atomic_signal_fence(memory_order_seq_cst);
		atomic_store_explicit(&dekker->slow_flag, round, memory_order_relaxed);
		if (membarrier(command) < 0)
			return -errno;
		saw = atomic_load_explicit(&dekker->fast_flag, memory_order_relaxed);

		done = wait_until(atomic_load_explicit(&dekker->fast_done,
						       memory_order_acquire) == round, 10000);
		if (!done)
			return -ETIMEDOUT;
		if (saw != round && atomic_load(&dekker->fast_saw) != round)
			n_missed++;
	}
	return n_missed;
}

static struct dekker *map_dekker(void)
{
	struct dekker *dekker = mmap(NULL, sizeof(*dekker), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(dekker, MAP_FAILED);
	return dekker;
}

static void *fast_thread(void *arg)
{
	run_fast_side(arg);
	return NULL;
}

START_TEST(dekker_between_two_threads)
{
	struct dekker *dekker = map_dekker();
	pthread_t thread;
	int n_missed;

	ck_assert_ok(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	ck_assert_int_eq(pthread_create(&thread, NULL, fast_thread, dekker), 0);
	n_missed = run_slow_side(dekker, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	atomic_store(&dekker->stop, true);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(n_missed, 0);
	munmap(dekker, sizeof(*dekker));
}
END_TEST

/* The registered process is the other one: nothing but the registration ties it to the issuer. */
START_TEST(dekker_between_two_processes)
{
	struct dekker *dekker = map_dekker();
	int n_missed, status;
	pid_t child = fork();

	ck_assert_ok(child);
	if (child == 0) {
		if (membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) < 0)
			_exit(1);
		run_fast_side(dekker);
		_exit(0);
	}
	/*
	 * The child registers before its first round, and no round is finished before it has started:
	 * the first membarrier may miss the registration, the rounds that follow cannot.
	 */
	n_missed = run_slow_side(dekker, MEMBARRIER_CMD_GLOBAL_EXPEDITED);
	atomic_store(&dekker->stop, true);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_eq(n_missed, 0);
	munmap(dekker, sizeof(*dekker));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel/membarrier");
	TCase *tcase = add_test_case(suite, "membarrier", 60);

	if (membarrier(MEMBARRIER_CMD_QUERY) < 0)
		skip_suite("membarrier: %s", strerror(errno));

	tcase_add_test(tcase, query_offers_the_expedited_commands);
	tcase_add_test(tcase, private_expedited_needs_registration);
	tcase_add_test(tcase, global_expedited_registers_and_runs);
	tcase_add_test(tcase, dekker_between_two_threads);
	tcase_add_test(tcase, dekker_between_two_processes);
	return run_suite(suite);
}
