/* SPDX-License-Identifier: MIT */
/*
 * lib-helper.h - what suites of the public API share: a real router, processes, and calls that must succeed
 *
 * A test is a process of its own (check's forked mode). Processes that it needs are forked before it opens a
 * node, and end with it. Through a struct stage in shared memory they tell each other how far they are.
 */
#ifndef ZCP_TESTS_LIB_HELPER_H
#define ZCP_TESTS_LIB_HELPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "harness.h"
#include "zcp/zcp.h"

#define DEADLINE_MS 20000
#define SECOND 1000000000ll

/* Socket of the router that lib_router_start() started. */
extern char lib_socket[108];
extern pid_t lib_router;

void lib_router_start(void);
/* SIGTERM, and a clean end is expected; or another signal, and any end. */
void lib_router_stop(int signal);

/* It runs: it has not ended, whosever child it is and whether its end was waited for or not. */
bool lib_router_lives(void);

/* Further arguments of the routers that are started from now on, NULL-terminated; NULL: none. */
extern const char *const *lib_router_arguments;

/* Make the directory and name the socket; end the router and leave everything as it is; start one there. */
void lib_router_prepare(void);
const char *lib_directory(void);
void lib_router_kill(int signal);
void lib_router_again(void);

/* The call succeeds, else the test fails with zcp_last_error(). Value: what it returned. */
#define ok(call)                                                                              \
	__extension__({                                                                       \
		long ok_value_ = (long)(call);                                                \
		ck_assert_msg(ok_value_ >= 0, "%s: %ld: %s", #call, ok_value_, zcp_last_error()); \
		ok_value_;                                                                    \
	})

/* The call fails with -@error, and the sentence contains @part. */
#define fails(call, expected, part)                                                           \
	do {                                                                                  \
		long fails_value_ = (long)(call);                                             \
		ck_assert_msg(fails_value_ == (expected), "%s: %ld, not %d: %s", #call, fails_value_, (int)(expected), zcp_last_error()); \
		ck_assert_msg(strstr(zcp_last_error(), (part)) != NULL, "'%s' does not mention '%s'", zcp_last_error(), (part)); \
	} while (0)

extern const struct zcp_topic lib_topic;

zcp_node *lib_node(const char *name);
zcp_node *lib_node_without_thread(const char *name);
zcp_publisher *lib_publisher(zcp_node *node, const struct zcp_publisher_options *options);
zcp_subscriber *lib_subscriber(zcp_node *node, const struct zcp_subscriber_options *options);

/* Messages that carry a number in their first 8 bytes, and a pattern that follows from it in the rest. */
int lib_send(zcp_publisher *publisher, uint64_t number, size_t size);
/* Take one, wait for it if need be; checks the pattern. */
void lib_take(zcp_subscriber *subscriber, struct zcp_sample *sample);
uint64_t lib_number(const struct zcp_sample *sample);
/* Take, check, release; returns the number. */
uint64_t lib_receive(zcp_subscriber *subscriber);
struct zcp_subscriber_stats lib_stats(zcp_subscriber *subscriber);

/* Numbers that processes of a test share. All zero at first. */
struct stage {
	_Atomic uint64_t at[16];
};
struct stage *stage_new(void);
void stage_set(struct stage *stage, int i, uint64_t value);
void stage_wait(struct stage *stage, int i, uint64_t at_least);

/* Run @function in a process of its own that dies with the test. */
pid_t process_start(void (*function)(struct stage *stage), struct stage *stage);
/* It must end with status 0. */
void process_expect_success(pid_t pid);
void process_kill(pid_t pid);
/* How many descriptors it has open. */
int process_fds(pid_t pid);

#endif
