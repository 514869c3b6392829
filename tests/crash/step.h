/* SPDX-License-Identifier: MIT */
/*
 * step.h - a child that runs an instruction, or a system call, at a time, and is killed where one wants
 *
 * The child calls step_mark() where its parent shall take over: before and behind the operation under test, and where
 * the parent has something to do in between. The parent lets it run from mark to mark, or steps. All from the thread
 * that forked it: that is what ptrace wants.
 */
#ifndef ZCP_TESTS_STEP_H
#define ZCP_TESTS_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum step_unit {
	STEP_INSTRUCTION,
	STEP_SYSCALL,		/* to the next entry into the kernel or return from it: two for each system call */
};

/*
 * Fork a child that runs function(argument), has no descriptors but 0 to 2, and dies with its parent. It stands at its
 * beginning. Negative errno value when that does not work.
 */
pid_t step_start(void (*function)(void *argument), void *argument);

/* In the child. */
void step_mark(void);

/* Run to the next mark. False: it ended before, *status says how. */
bool step_to_mark(pid_t pid, int *status);

/*
 * Run *n units, or until it comes to a mark: true, and *n is how many it did. False: it ended by itself, *status says how.
 */
bool step_run(pid_t pid, enum step_unit unit, uint64_t *n, bool *at_mark, int *status);

/* Whether ptrace works here; if not, prints the reason for which main returns 77. */
bool step_possible(void);

/* SIGKILL, and reap it. */
void step_kill(pid_t pid);

#endif
