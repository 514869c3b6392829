/* SPDX-License-Identifier: MIT */
/* See waitset-helper.h. */
#include "waitset-helper.h"

#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "lib/waitset.h"

zcp_waitset *waitset(int64_t spin_ns)
{
	struct zcp_waitset_options o = { .sz = sizeof(o), .spin_ns = spin_ns };
	zcp_waitset *ws;

	ok(zcp_waitset_open(&ws, &o));
	return ws;
}

void no_rescue(zcp_waitset *ws)
{
	ws->swept_ns = clock_now_ns() + 3600ull * SECOND;
}

zcp_publisher *publisher_of(zcp_node *n, int i)
{
	char name[16];
	struct zcp_topic topic = { "many", name, "topics" };
	struct zcp_publisher_options o = { .sz = sizeof(o), .depth = 64, .reliable = true, .timeout = FOREVER };
	zcp_publisher *p;

	snprintf(name, sizeof(name), "%d", i);
	ok(zcp_publisher_open(&p, n, &topic, &o));
	return p;
}

zcp_subscriber *subscriber_of(zcp_node *n, int i)
{
	char name[16];
	struct zcp_topic topic = { "many", name, "topics" };
	struct zcp_subscriber_options o = { .sz = sizeof(o), .max_publishers = 2 };
	zcp_subscriber *s;

	snprintf(name, sizeof(name), "%d", i);
	ok(zcp_subscriber_open(&s, n, &topic, &o));
	return s;
}

struct zcp_ready one(zcp_waitset *ws, int64_t timeout, const void *user)
{
	struct zcp_ready ready[4];

	ck_assert_int_eq(ok(zcp_waitset_wait(ws, ready, 4, timeout)), 1);
	ck_assert_ptr_eq(ready[0].user, user);
	return ready[0];
}

void nobody(zcp_waitset *ws, int64_t timeout)
{
	struct zcp_ready ready;

	fails(zcp_waitset_wait(ws, &ready, 1, timeout), -ETIMEDOUT, "in time");
}

void drain(zcp_subscriber *s)
{
	struct zcp_sample sample;

	while (zcp_subscriber_take(s, &sample) == 0)
		zcp_sample_release(&sample);
}

bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}
