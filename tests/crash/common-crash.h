/* SPDX-License-Identifier: MIT */
/*
 * common-crash.h - failures that name their place, messages that can be checked, a router's directory
 */
#ifndef ZCP_TESTS_COMMON_CRASH_H
#define ZCP_TESTS_COMMON_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "zcp/zcp.h"

#define SECOND INT64_C(1000000000)

extern const char *program;	/* its name */
extern const char *at_what;	/* operation and place, for what is said about a failure */
extern char socket_path[64];

/* A failure ends the program, or the victim, which is a failure of the program. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The call succeeds; else a failure with the library's sentence. Value: what it returned. */
#define ok(call)                                                                            \
	__extension__({                                                                     \
		long ok_value_ = (long)(call);                                              \
		if (ok_value_ < 0)                                                          \
			fail("%s: %ld: %s", #call, ok_value_, zcp_last_error());            \
		ok_value_;                                                                  \
	})

void fill(void *payload, uint64_t number, size_t size);
/* Its number; fails if it is not whole. */
uint64_t number_of(const struct zcp_sample *sample);

/* A new directory with the router's socket to be, removed with its files when this process ends. */
void make_directory(void);
/* It must be empty: remove it. */
void remove_directory(void);

/* Become the router $ZCP_ROUTER_BIN; --loop=@loop, NULL: its own choice. */
_Noreturn void exec_router(const char *loop);

/* One attempt to join and leave. */
bool can_join(void);

unsigned int count_entries(const char *path);

#endif
