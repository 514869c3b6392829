/* SPDX-License-Identifier: MIT */
/*
 * What every `check` suite here needs and check does not have.
 *
 *  - run_suite(): the body of main. Forked mode unless CK_FORK=no, so that a test that dies takes only itself.
 *  - add_test_case(): a tcase whose fixture counts the descriptors of the process before and after each
 *    test. A test that leaks one fails, with the list of what is still open. Checked fixtures run inside the
 *    child of the forked mode, so descriptors of the parent do not count.
 *  - wait_until(): waits for a condition with a deadline. Tests wait for a condition, never for a duration.
 *  - skip_suite(): exit status 77, with the reason, for a suite that this machine cannot run;
 *    skip_test() for one test of a suite: notes the reason and returns from the test.
 */
#ifndef ZCP_TESTS_HARNESS_H
#define ZCP_TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Runs the suite and prints the result of each test. Returns what main returns. */
int run_suite(Suite *suite);

/* A new test case of @suite with the fd-leak fixture. check's limit for one test is @timeout_s seconds. */
TCase *add_test_case(Suite *suite, const char *name, double timeout_s);

/* The fixture alone, for tcases that are made by hand. */
void fd_leak_setup(void);
void fd_leak_teardown(void);

/* The number of open descriptors of this process, the one used for counting left out. */
int count_fds(void);

/* CLOCK_MONOTONIC. */
int64_t now_ns(void);

/* One round of waiting: gives way to others, longer the more often it was called. Used by wait_until. */
void wait_a_little(unsigned int round);

/* Ends the program with status 77 and the reason. Call it from main, before run_suite. */
_Noreturn void skip_suite(const char *format, ...) __attribute__((format(printf, 1, 2)));

void note_skip(const char *test, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define skip_test(...)                                   \
	do {                                             \
		note_skip(__func__, __VA_ARGS__);        \
		return;                                  \
	} while (0)

/*
 * True as soon as @condition holds, false when it still does not after @timeout_ms. The condition is
 * looked at once more after the deadline: a machine that stalled does not fail a test.
 */
#define wait_until(condition, timeout_ms)                                             \
	__extension__({                                                               \
		int64_t wait_end_ = now_ns() + (int64_t)(timeout_ms) * 1000000;       \
		bool wait_met_ = false;                                               \
		for (unsigned int wait_round_ = 0;; wait_round_++) {                  \
			bool wait_last_ = now_ns() >= wait_end_;                      \
			if (condition) {                                              \
				wait_met_ = true;                                     \
				break;                                                \
			}                                                             \
			if (wait_last_)                                               \
				break;                                                \
			wait_a_little(wait_round_);                                   \
		}                                                                     \
		wait_met_;                                                            \
	})

#define ck_assert_within(condition, timeout_ms)                                        \
	ck_assert_msg(wait_until(condition, timeout_ms), "not within %d ms: %s",       \
		      (int)(timeout_ms), #condition)

/* For calls that return -1 and set errno. */
#define ck_assert_ok(call)                                                             \
	do {                                                                           \
		long ok_result_ = (long)(call);                                        \
		ck_assert_msg(ok_result_ >= 0, "%s: %s", #call, strerror(errno));      \
	} while (0)

#define ck_assert_fails(call, expected_errno)                                          \
	do {                                                                           \
		errno = 0;                                                             \
		long fails_result_ = (long)(call);                                     \
		int fails_errno_ = errno;                                              \
		ck_assert_msg(fails_result_ == -1, "%s succeeded with %ld", #call,     \
			      fails_result_);                                          \
		ck_assert_msg(fails_errno_ == (expected_errno),                        \
			      "%s: expected %s, got %s", #call,                        \
			      strerrorname_np(expected_errno),                         \
			      strerror(fails_errno_));                                 \
	} while (0)

#endif
