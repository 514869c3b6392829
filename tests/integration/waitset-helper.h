/* SPDX-License-Identifier: MIT */
/*
 * waitset-helper.h - what the suites of wait sets share
 *
 * A wait set looks at members by itself every 100 ms, which would hide a wake-up that was lost: see no_rescue().
 */
#ifndef ZCP_TESTS_WAITSET_HELPER_H
#define ZCP_TESTS_WAITSET_HELPER_H

#include "lib-helper.h"

/* Longer than anything takes; not for ever, so that a test which fails ends. */
#define FOREVER (DEADLINE_MS * 1000000ll)

zcp_waitset *waitset(int64_t spin_ns);

/* From now on nothing but wake-ups tells of messages. */
void no_rescue(zcp_waitset *ws);

/* A reliable publisher, and a subscriber, of the topic with that number. */
zcp_publisher *publisher_of(zcp_node *n, int i);
zcp_subscriber *subscriber_of(zcp_node *n, int i);

/* Exactly one is ready, and it is @user's. */
struct zcp_ready one(zcp_waitset *ws, int64_t timeout, const void *user);

/* Nobody is. */
void nobody(zcp_waitset *ws, int64_t timeout);

void drain(zcp_subscriber *s);
bool is_readable(int fd);

#endif
