/* SPDX-License-Identifier: MIT */
/*
 * bench-join.c - how long it takes to be there
 *
 * Two figures, both of the control plane and through the router: opening a node, and opening a publisher until
 * the subscriber that side 1 sleeps in is connected to it. What is closed again between two rounds is not
 * timed.
 *
 * Floor: what any broker that hands out memory must at least do: connect a Unix socket of the same kind, send a
 * request, receive the answer with a memfd in it, map that. Side 1 is the broker, blocking. zcp needs several
 * such exchanges (the directory, the node page, the sealing of a segment between its writer's mapping and its
 * readers'), each of which wakes a sleeping router that has no cpu of its own here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/bench.h"

#define SEGMENT_BYTES 65536

struct join_shared {
	_Atomic int done;		/* runs that side 0 is through with */
	struct {
		double node, publisher, floor;	/* medians, ticks */
	} run[BENCH_RUNS_MAX];
};

struct join_arg {
	struct join_shared *shared;
	uint32_t rounds;
	int listener;
	struct sockaddr_un address;
	socklen_t address_bytes;
};

/* ---- floor ------------------------------------------------------------------------------------------------------- */

union fd_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int serve_once(struct worker *w, int listener)
{
	_cleanup_fd_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), memory = memfd_create("zcp-bench-floor", MFD_CLOEXEC);
	char request[64];
	struct iovec iov = { request, sizeof(request) };
	union fd_control control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	if (fd < 0 || memory < 0 || ftruncate(memory, SEGMENT_BYTES) < 0)
		return worker_fail(w, "floor: %s", strerror(errno));
	if (recv(fd, request, sizeof(request), 0) != sizeof(request))
		return worker_fail(w, "floor: no request");
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &memory, sizeof(int));
	if (sendmsg(fd, &message, 0) != sizeof(request))
		return worker_fail(w, "floor: no answer: %s", strerror(errno));
	return recv(fd, request, sizeof(request), 0) == 0 ? 0 : worker_fail(w, "floor: no end");
}

static int join_raw(struct worker *w, const struct join_arg *a, double *ticks)
{
	uint64_t start = worker_ticks(w);
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), memory = -1;
	char request[64] = { 0 };
	struct iovec iov = { request, sizeof(request) };
	union fd_control control;
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	void *p;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&a->address, a->address_bytes) < 0 || send(fd, request, sizeof(request), 0) < 0 ||
	    recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != sizeof(request))
		return worker_fail(w, "floor: %s", strerror(errno));
	c = CMSG_FIRSTHDR(&message);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return worker_fail(w, "floor: no descriptor");
	memcpy(&memory, CMSG_DATA(c), sizeof(int));
	p = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (p == MAP_FAILED)
		return worker_fail(w, "floor: %s", strerror(errno));
	*ticks = (double)(worker_ticks(w) - start);
	munmap(p, SEGMENT_BYTES);
	return 0;
}

/* ---- sides ------------------------------------------------------------------------------------------------------- */

static int join_once(struct worker *w, double *node_ticks, double *publisher_ticks)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 64 };
	zcp_publisher *publisher;
	zcp_node *node;
	uint64_t start = worker_ticks(w);

	if (worker_node(w, &node))
		return -1;
	*node_ticks = (double)(worker_ticks(w) - start);
	start = worker_ticks(w);
	if (worker_publisher(w, node, "join", &options, &publisher) || worker_connected(w, publisher, 1))
		return -1;
	*publisher_ticks = (double)(worker_ticks(w) - start);
	zcp_publisher_close(publisher);
	zcp_node_close(node);
	return 0;
}

static int join_side(struct worker *w, void *arg)
{
	const struct join_arg *a = arg;
	_cleanup_free_ double *node = calloc(a->rounds, sizeof(double)), *publisher = calloc(a->rounds, sizeof(double)),
			      *floor = calloc(a->rounds, sizeof(double));

	if (!node || !publisher || !floor)
		return worker_fail(w, "out of memory");
	for (int run = 0; run < w->bench->runs; run++) {
		if (worker_meet(w))
			return -1;
		for (uint32_t i = 0; i < a->rounds; i++)
			if (join_raw(w, a, &floor[i]))
				return -1;
		if (worker_meet(w))
			return -1;
		for (uint32_t i = 0; i < a->rounds; i++)
			if (join_once(w, &node[i], &publisher[i]))
				return -1;
		atomic_store_explicit(&a->shared->done, run + 1, memory_order_release);
		a->shared->run[run].floor = bench_median(floor, a->rounds);
		a->shared->run[run].node = bench_median(node, a->rounds);
		a->shared->run[run].publisher = bench_median(publisher, a->rounds);
	}
	return worker_meet(w);
}

/* As a subscriber does: sleep, look. Looking is also what gives the lanes of publishers that left back. */
static int host_leg(struct worker *w, const struct join_arg *a, zcp_subscriber *subscriber, int run)
{
	int64_t until = (int64_t)clock_now_ns() + 6 * BENCH_WAIT_NS;
	struct zcp_sample sample;

	while (atomic_load_explicit(&a->shared->done, memory_order_acquire) <= run) {
		int r = zcp_subscriber_wait(subscriber, 20000000);

		if (r < 0 && r != -ETIMEDOUT)
			return worker_fail_zcp(w, "zcp_subscriber_wait", r);
		r = zcp_subscriber_take(subscriber, &sample);
		if (r != -EAGAIN)
			return r < 0 ? worker_fail_zcp(w, "zcp_subscriber_take", r) : worker_fail(w, "a message that nobody published");
		if ((int64_t)clock_now_ns() > until)
			return worker_fail(w, "the other side did not come to an end");
	}
	return 0;
}

static int host_side(struct worker *w, void *arg)
{
	const struct join_arg *a = arg;
	zcp_subscriber *subscriber;
	zcp_node *node;

	if (worker_node(w, &node) || worker_subscriber(w, node, "join", NULL, &subscriber))
		return -1;
	for (int run = 0; run < w->bench->runs; run++) {
		if (worker_meet(w))
			return -1;
		for (uint32_t i = 0; i < a->rounds; i++)
			if (serve_once(w, a->listener))
				return -1;
		if (worker_meet(w) || host_leg(w, a, subscriber, run))
			return -1;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(node);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

/* Bound to an address the kernel chose (autobind): no file to remove. */
static int listen_anywhere(struct join_arg *a)
{
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	a->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	a->address_bytes = sizeof(a->address);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a->address, sizeof(sa_family_t)) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a->address, &a->address_bytes) < 0)
		return -1;
	a->listener = fd_take(&fd);
	return 0;
}

static void report(struct bench *b, const struct join_arg *a)
{
	struct bench_row node = { .section = "join", .name = "node open", .unit = BENCH_NS, .n = b->runs };
	struct bench_row publisher = { .section = "join", .name = "publisher open, connected", .unit = BENCH_NS, .n = b->runs };

	for (int i = 0; i < b->runs; i++) {
		node.value[i] = a->shared->run[i].node * b->ns_per_tick;
		publisher.value[i] = a->shared->run[i].publisher * b->ns_per_tick;
		node.floor[i] = publisher.floor[i] = a->shared->run[i].floor * b->ns_per_tick;
	}
	bench_report_row(b, &node);
	bench_report_row(b, &publisher);
}

int bench_join(struct bench *b)
{
	struct join_arg a = { .shared = bench_shared_new(b, sizeof(*a.shared)), .rounds = bench_rounds(b, 200, 2), .listener = -1 };
	int r = -1;

	if (a.shared && listen_anywhere(&a) < 0)
		bench_error(b, "join: no socket for the floor: %s", strerror(errno));
	else if (a.shared)
		r = bench_pair(b, "join", join_side, host_side, &a);
	if (!r)
		report(b, &a);
	fd_close(a.listener);
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r ? r : bench_crowd(b);
}
