/* SPDX-License-Identifier: MIT */
/*
 * Publishers that grow: messages over payload_max get segments of their own, which come from the router, are found by readers, and go
 * back. Readers lag, hold, and are killed; publishers and routers too; and the router's limits hold.
 */
#include "lib-helper.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memfd.h"
#include "lib/control.h"
#include "lib/growth.h"
#include "lib/lane-growth.h"
#include "lib/node.h"

#define LARGE (100u << 10)
#define N_EXTRAS(p) ((p)->writer.n_extras)

static const struct zcp_publisher_options grows = { .payload_max = 1000, .depth = 6, .grow = true };
static const struct zcp_publisher_options reliably = { .payload_max = 1000, .depth = 6, .grow = true, .reliable = true, .timeout = -1 };

/* --- what there is in all ------------------------------------------------------------------------- */

struct totals {
	uint64_t bytes, segments;
	int fds, router_fds, mappings;
};

static int count_entries(const char *path)
{
	char command[96];
	FILE *pipe;
	int n = -1;

	snprintf(command, sizeof(command), "ls %s | wc -l", path);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%d", &n), 1);
	pclose(pipe);
	return n;
}

static int router_fds(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", lib_router);
	return count_entries(path);
}

/* Mappings of extras in this process. */
static int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "zcp:extra-") != NULL;
	fclose(maps);
	return n;
}

static struct totals totals(zcp_node *n)
{
	const struct directory_header *h = n->directory.header;

	return (struct totals){
		.bytes = atomic_load(&h->segment_bytes_total),
		.segments = atomic_load(&h->n_segments),
		.fds = count_fds(),
		.router_fds = router_fds(),
		.mappings = mappings(),
	};
}

static char differ[200];

/* The router may still have had what others left when the base was taken. */

static bool same(struct totals a, struct totals b)
{
	snprintf(differ, sizeof(differ), "%lld bytes, %lld segments, %d descriptors, %d of the router, %d mappings too many",
		 (long long)(a.bytes - b.bytes), (long long)(a.segments - b.segments), a.fds - b.fds, a.router_fds - b.router_fds,
		 a.mappings - b.mappings);
	return a.bytes == b.bytes && a.segments == b.segments && a.fds == b.fds && a.router_fds <= b.router_fds && a.mappings == b.mappings;
}

/* --- messages of all sizes ------------------------------------------------------------------------ */

START_TEST(all_sizes)
{
	struct zcp_publisher_options po = _i & 1 ? reliably : grows;
	struct zcp_sample sample;
	size_t size = 1;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n, *other;

	po.payload_max = _i & 2 ? 64 : 1000;
	lib_router_start();
	n = lib_node("n");
	other = _i & 4 ? lib_node_without_thread("other") : lib_node("other");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(other, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 300; i++) {
		size = 8 + size * 7 % 1000003;
		ck_assert_int_eq(ok(lib_send(p, i, size)), 1);
		lib_take(s, &sample);
		ck_assert_uint_eq(lib_number(&sample), i);
		ck_assert_uint_eq(sample.size, size);
		ck_assert_uint_eq(sample.sequence, i);
		ck_assert_uint_eq(sample.lost, 0);
		zcp_sample_release(&sample);
	}
	ck_assert_uint_eq(lib_stats(s).malformed, 0);
	ck_assert_uint_ge(N_EXTRAS(p), 1);
	ck_assert_uint_le(N_EXTRAS(p), 10);
	zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Loans, batches, send, and what is larger than anything. */
START_TEST(ways_to_publish)
{
	struct zcp_publisher_options po = grows, none = { .payload_max = 1000 };
	size_t sizes[4] = { LARGE, LARGE, LARGE, LARGE };
	void *loans[4], *loan;
	zcp_publisher *p, *q;
	zcp_subscriber *s;
	zcp_node *n;
	int got;

	po.max_loans = 4;
	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &po);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	got = (int)ok(zcp_publisher_loan_batch(p, LARGE, loans, 1));
	ck_assert_int_eq(got, 1);
	ok(zcp_publisher_loan(p, LARGE, &loans[1]));
	ck_assert_uint_eq((uintptr_t)loans[1] % 4096, 0);
	ok(zcp_publisher_loan(p, 3000, &loans[2]));
	ok(zcp_publisher_loan(p, 3000, &loans[3]));
	fails(zcp_publisher_loan(p, 3000, &loan), -ENOBUFS, "4 loans are open");
	fails(zcp_publisher_publish(p, loans[3], (64 << 10) + 1), -EMSGSIZE, "larger than its loan");
	fails(zcp_publisher_publish(p, (char *)loans[0] + 4096, 8), -EINVAL, "no open loan");
	ok(zcp_publisher_discard(p, loans[3]));
	ck_assert_int_eq(zcp_publisher_discard(p, loans[3]), -EINVAL);
	sizes[2] = 3000;
	for (uint64_t i = 0; i < 3; i++)
		memset(loans[i], (int)i + 1, sizes[i]);
	ck_assert_int_eq(ok(zcp_publisher_publish_batch(p, loans, sizes, 3)), 3);
	for (int i = 0; i < 3; i++) {
		struct zcp_sample sample;

		ok(zcp_subscriber_wait(s, 5 * SECOND));
		ok(zcp_subscriber_take(s, &sample));
		ck_assert_uint_eq(sample.size, sizes[i]);
		ck_assert_int_eq(((const char *)sample.data)[0], i + 1);
		ck_assert_int_eq(((const char *)sample.data)[sample.size - 1], i + 1);
		zcp_sample_release(&sample);
	}
	fails(zcp_publisher_loan(p, (2ull << 30) + 1, &loan), -EMSGSIZE, "2 GiB");
	fails(zcp_publisher_loan_batch(p, (2ull << 30) + 1, &loan, 1), -EMSGSIZE, "2 GiB");
	ok(zcp_publisher_loan(p, 2ull << 30, &loan));
	ok(zcp_publisher_discard(p, loan));

	/* others do not grow */
	zcp_publisher_close(p);
	q = lib_publisher(n, &none);
	fails(zcp_publisher_loan(q, 1001, &loan), -EMSGSIZE, "payload_max");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Everything is back when they are closed, in whatever order; loans that are open keep their memory. */
START_TEST(nothing_is_left)
{
	struct zcp_sample held;
	zcp_node *n, *other;
	struct totals base;
	zcp_subscriber *s;
	zcp_publisher *p;
	void *loan;

	lib_router_start();
	n = lib_node("n");
	other = lib_node("other");
	base = totals(n);
	for (int round = 0; round < 3; round++) {
		s = lib_subscriber(n, NULL);
		p = lib_publisher(other, &grows);
		ok(zcp_publisher_wait(p, 1, 5 * SECOND));
		for (uint64_t i = 0; i < 20; i++) {
			ok(lib_send(p, i, LARGE << i % 3));
			ck_assert_uint_eq(lib_receive(s), i);
		}
		ok(lib_send(p, 20, LARGE));
		lib_take(s, &held);
		ok(zcp_publisher_loan(p, LARGE, &loan));
		if (round == 0)
			zcp_subscriber_close(s);
		zcp_publisher_close(p);
		memset(loan, 1, LARGE);
		ck_assert_uint_eq(lib_number(&held), 20);
		if (round == 1) {
			ck_assert_within(lib_stats(s).departed == 1, DEADLINE_MS);
			zcp_subscriber_close(s);
		}
		ck_assert_uint_eq(lib_number(&held), 20);
		zcp_sample_release(&held);
		if (round == 2)
			zcp_subscriber_close(s);
	}
	/* the loans' */
	base.mappings = 3;
	ck_assert_msg(wait_until(same(totals(n), base), DEADLINE_MS), "%s", differ);
	zcp_node_close(other);
	ck_assert_int_eq(mappings(), 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* What is not needed any more goes back, at the router and in each reader, while the publisher goes on with small messages. */
START_TEST(unused_ones_go_back)
{
	struct totals base;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, _i ? &reliably : &grows);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	base = totals(n);
	for (uint64_t i = 0; i < 30; i++) {
		ok(lib_send(p, i, LARGE << i % 4));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	ck_assert_int_gt(totals(n).mappings, 7);
	ck_assert_uint_gt(totals(n).bytes, base.bytes + 10 * LARGE);
	for (uint64_t i = 0; i < 200; i++) {
		ok(lib_send(p, i, 100));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	ck_assert_uint_eq(N_EXTRAS(p), 0);
	/* the subscriber unmaps them at its next call */
	ck_assert_msg(wait_until(lib_stats(s).lost == 0 && same(totals(n), base), DEADLINE_MS), "%s", differ);
	/* and again */
	for (uint64_t i = 0; i < 30; i++) {
		ok(lib_send(p, i, LARGE));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- huge pages ----------------------------------------------------------------------------------- */

static uint64_t free_huge_pages(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long n = 0;
	char line[256];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Free: %llu", &n) == 1)
			break;
	fclose(file);
	return n;
}

static bool is_huge(int fd)
{
	return memfd_round_size(fd, 1) > 1;
}

/* Asked for, tried with what this machine has reserved, tried in vain: messages are the same, over a restart of the router too. */
START_TEST(huge_pages)
{
	struct zcp_publisher_options po = reliably;
	bool has_some = free_huge_pages() >= 32;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	po.hugepages = _i ? ZCP_HUGE_TRY : ZCP_HUGE_ADVISE;
	/* 16 GiB for the segment alone: more than a machine has reserved */
	if (_i == 2)
		po.payload_max = 256u << 20;
	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 40; i++) {
		ok(lib_send(p, i, i % 3 ? 1000 : i % 2 ? 3 << 20 : LARGE));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	ck_assert(is_huge(p->endpoint.segment_fd) == (_i == 1 && has_some));
	if (_i < 2) {
		ck_assert(!is_huge(p->growth->extra[0].fd) && p->growth->extra[0].bytes == 128 << 10);
		ck_assert(is_huge(p->growth->extra[1].fd) == (_i == 1 && has_some));
	}
	lib_router_kill(SIGKILL);
	lib_router_again();
	ok(zcp_node_wait(n, 10 * SECOND));
	ck_assert(!p->endpoint.orphaned);
	for (uint64_t i = 0; i < 40; i++) {
		ok(lib_send(p, i, i % 3 ? 1000 : i % 2 ? 3 << 20 : LARGE));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	ck_assert_uint_eq(lib_stats(s).malformed, 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
	if (_i == 1 && !has_some)
		skip_test("fewer than 32 huge pages are free here (vm.nr_hugepages)");
}
END_TEST

START_TEST(bad_option)
{
	struct zcp_publisher_options po = { .sz = sizeof(po), .hugepages = ZCP_HUGE_TRY + 1 };
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "hugepages");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- readers -------------------------------------------------------------------------------------- */

START_TEST(late_joiner)
{
	struct zcp_publisher_options po = grows;
	struct zcp_subscriber_options so = { .history = 4, .max_held = 4 };
	struct zcp_sample sample[4];
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	po.history = 4;
	po.reliable = _i;
	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &po);
	for (uint64_t i = 0; i < 10; i++)
		ok(lib_send(p, i, LARGE));
	/* before the publisher has attached it, it reads copies */
	s = lib_subscriber(n, &so);
	for (uint64_t i = 0; i < 2; i++) {
		lib_take(s, &sample[i]);
		ck_assert_uint_eq(lib_number(&sample[i]), 6 + i);
	}
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 2; i < 4; i++) {
		lib_take(s, &sample[i]);
		ck_assert_uint_eq(lib_number(&sample[i]), 6 + i);
	}
	for (uint64_t i = 10; i < (_i ? 14 : 30); i++)
		ok(lib_send(p, i, LARGE));
	for (uint64_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(lib_number(&sample[i]), 6 + i);
		zcp_sample_release(&sample[i]);
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Those who sleep are woken when the segment is there, however they sleep. */
START_TEST(descriptor_and_wait)
{
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n, *other;
	struct pollfd fd = { .events = POLLIN };

	lib_router_start();
	n = lib_node("n");
	other = lib_node("other");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(other, &reliably);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	fd.fd = (int)ok(zcp_subscriber_fd(s));
	for (uint64_t i = 0; i < 100; i++) {
		/* each time another segment */
		ok(lib_send(p, i, (size_t)LARGE << i % 6));
		while (zcp_subscriber_take(s, &sample) == -EAGAIN)
			ck_assert_int_eq(poll(&fd, 1, 10000), 1);
		ck_assert_uint_eq(lib_number(&sample), i);
		zcp_sample_release(&sample);
		if (i % 6 == 5)
			for (int k = 0; k < 150; k++) {
				ok(lib_send(p, 1, 8));
				lib_receive(s);
			}
	}
	zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

static void take_and_hold(struct stage *stage)
{
	struct zcp_subscriber_options so = { .max_held = 4 };
	zcp_node *n = lib_node("subscriber");
	zcp_subscriber *s = lib_subscriber(n, &so);
	struct zcp_sample sample[4];

	stage_set(stage, 0, 1);
	for (int i = 0; i < (int)stage->at[2]; i++)
		lib_take(s, &sample[i]);
	stage_set(stage, 1, 1);
	for (;;)
		pause();
}

/*
 * A reader that holds some and then lags, stopped or not, takes no more than 64 segments from a lossy publisher, which goes on; and none
 * when it was killed.
 */
START_TEST(reader_lags_and_is_killed)
{
	struct zcp_publisher_options po = grows;
	struct stage *stage = stage_new();
	zcp_publisher *p;
	zcp_node *n;
	pid_t pid;

	po.depth = 96;
	lib_router_start();
	stage_set(stage, 2, 2);
	pid = process_start(take_and_hold, stage);
	stage_wait(stage, 0, 1);
	n = lib_node("n");
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 0, LARGE));
	ok(lib_send(p, 1, LARGE));
	stage_wait(stage, 1, 1);
	if (_i)
		ck_assert_ok(kill(pid, SIGSTOP));
	for (uint64_t i = 0; i < 300; i++)
		ck_assert_int_eq(ok(lib_send(p, i, LARGE)), 1);
	ck_assert_uint_eq(N_EXTRAS(p), EXTRAS_MAX);
	ck_assert_uint_eq(p->writer.n_limbo, 2);
	/* a larger one takes the place of a smaller */
	ck_assert_int_eq(lib_send(p, 0, 4 * LARGE), -ENOBUFS);
	process_kill(pid);
	ck_assert_within(zcp_publisher_subscribers(p) == 0, DEADLINE_MS);
	ok(lib_send(p, 0, 4 * LARGE));
	for (uint64_t i = 0; i < 1000; i++)
		ok(lib_send(p, i, 8));
	ck_assert_uint_eq(N_EXTRAS(p), 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A reliable publisher waits for one that lags, and goes on when that is killed. */
START_TEST(reliable_reader_is_killed)
{
	struct zcp_publisher_options po = reliably;
	struct stage *stage = stage_new();
	zcp_publisher *p;
	zcp_node *n;
	pid_t pid, killer;

	po.depth = 96;
	po.timeout = SECOND / 20;
	lib_router_start();
	stage_set(stage, 2, 1);
	pid = process_start(take_and_hold, stage);
	stage_wait(stage, 0, 1);
	n = _i ? lib_node_without_thread("n") : lib_node("n");
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < EXTRAS_MAX; i++)
		ok(lib_send(p, i, LARGE));
	stage_wait(stage, 1, 1);
	fails(lib_send(p, 0, LARGE), -ETIMEDOUT, "reliable subscriber");
	p->timeout_ns = 0;
	fails(lib_send(p, 0, LARGE), -EAGAIN, "reliable subscriber");
	ok(lib_send(p, 0, 1000));
	p->timeout_ns = -1;
	killer = fork();
	if (!killer) {
		usleep(100000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	for (uint64_t i = 0; i < 100; i++)
		ok(lib_send(p, i, LARGE));
	process_expect_success(killer);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A reader that has no descriptor left for the segment loses what is in it, and is told; the stream goes on. */
START_TEST(reader_without_descriptors)
{
	struct rlimit limit, low;
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int spare;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &grows);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &limit));
	/* the publisher's own copy takes the last one */
	spare = dup(0);
	ck_assert_ok(spare);
	close(spare);
	low = limit;
	low.rlim_cur = (rlim_t)spare + 1;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &low));
	ok(lib_send(p, 0, LARGE));
	ok(lib_send(p, 1, 8));
	lib_take(s, &sample);
	ck_assert_uint_eq(lib_number(&sample), 1);
	ck_assert_uint_eq(sample.lost, 1);
	zcp_sample_release(&sample);
	ck_assert_int_eq(lib_send(p, 0, 10 * LARGE), -EMFILE);
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
	ok(lib_send(p, 2, 10 * LARGE));
	ck_assert_uint_eq(lib_receive(s), 2);
	ck_assert_uint_eq(lib_stats(s).malformed, 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- publishers ----------------------------------------------------------------------------------- */

static void publish_until_killed(struct stage *stage)
{
	struct zcp_publisher_options po = grows;
	zcp_node *n = lib_node("publisher");
	zcp_publisher *p;

	po.depth = 48;
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	for (uint64_t i = 0; i < 40; i++)
		ok(lib_send(p, i, LARGE));
	stage_set(stage, 1, 1);
	for (;;)
		pause();
}

START_TEST(publisher_killed)
{
	struct stage *stage = stage_new();
	struct zcp_sample held;
	zcp_subscriber *s;
	zcp_node *n;
	struct totals base;
	pid_t pid;

	lib_router_start();
	n = lib_node("subscriber");
	s = lib_subscriber(n, NULL);
	base = totals(n);
	pid = process_start(publish_until_killed, stage);
	stage_wait(stage, 1, 1);
	lib_take(s, &held);
	process_kill(pid);
	for (uint64_t i = 1; i < 40; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	ck_assert_within(lib_stats(s).died == 1, DEADLINE_MS);
	ck_assert_uint_eq(lib_stats(s).lost, 0);
	/* its memory is valid until here */
	ck_assert_int_gt(mappings(), 0);
	ck_assert_uint_eq(lib_number(&held), 0);
	zcp_sample_release(&held);
	ck_assert_msg(wait_until(same(totals(n), base), DEADLINE_MS), "%s", differ);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Whatever a publisher says: a sample that is held keeps its memory, which goes with the last release. */
START_TEST(withdrawn_while_held)
{
	struct wire_segment_extra back = { 0 };
	const struct lane_growth *g;
	struct zcp_sample held;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &grows);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 1, LARGE));
	lib_take(s, &held);
	g = s->lane[0]->growth;
	back.endpoint = zcp_publisher_id(p);
	back.extra = p->writer.extra[0].id;
	wire_init(&back.header, WIRE_SEGMENT_RETURN, 0);
	pthread_mutex_lock(&n->lock);
	control_send(n, &back.header);
	pthread_mutex_unlock(&n->lock);
	ck_assert_within(lib_stats(s).lost == 0 && g->waits, DEADLINE_MS);
	ck_assert_int_eq(mappings(), 2);
	ck_assert_uint_eq(lib_number(&held), 1);
	ok(lib_send(p, 2, 8));
	ck_assert_uint_eq(lib_receive(s), 2);
	ck_assert_int_eq(mappings(), 2);
	zcp_sample_release(&held);
	ck_assert_int_eq(mappings(), 1);
	ck_assert(!g->waits);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(after_fork)
{
	zcp_publisher *p;
	zcp_node *n;
	void *loan, *other;
	pid_t pid;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &grows);
	ok(zcp_publisher_loan(p, LARGE, &loan));
	pid = fork();
	if (!pid) {
		int fds = count_fds();

		fails(zcp_publisher_loan(p, LARGE, &other), -EOWNERDEAD, "fork");
		fails(zcp_publisher_publish(p, loan, LARGE), -EOWNERDEAD, "fork");
		ck_assert_int_eq(mappings(), 0);
		zcp_publisher_close(p);
		/* doorbell, data segment, extra */
		ck_assert_int_eq(count_fds(), fds - 3);
		_exit(0);
	}
	process_expect_success(pid);
	ok(zcp_publisher_publish(p, loan, LARGE));
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- limits --------------------------------------------------------------------------------------- */

static const char *const limits[][3] = {
	{ "--max-bytes-per-uid", "16M" },
	{ "--max-bytes-per-node", "16M" },
};

/* Growth over quota says so, names the limit, and leaves everything in order: smaller ones go on, and the largest that fits too. */
START_TEST(growth_over_quota)
{
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	uint64_t i = 0;
	zcp_node *n;
	void *loan;

	lib_router_arguments = limits[_i];
	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &grows);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	fails(zcp_publisher_loan(p, 16 << 20, &loan), -EDQUOT, limits[_i][0]);
	ck_assert_uint_eq(N_EXTRAS(p), 0);
	ck_assert_uint_eq(p->writer.n_loans, 0);
	fails(lib_send(p, 0, 16 << 20), -EDQUOT, limits[_i][0]);
	for (; i < 50; i++) {
		ok(lib_send(p, i, 3 << 20));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	/* more than there can be: those that the subscriber does not read give way, as it is a lossy publisher */
	for (; i < 80; i++)
		ok(lib_send(p, i, 3 << 20));
	ck_assert_uint_le(N_EXTRAS(p), 4);
	lib_take(s, &sample);
	ck_assert_uint_gt(sample.lost, 0);
	zcp_sample_release(&sample);
	while (zcp_subscriber_take(s, &sample) == 0)
		zcp_sample_release(&sample);
	/* smaller ones that are free make room for a larger one */
	ok(lib_send(p, 0, 8 << 20));
	lib_receive(s);
	zcp_publisher_close(p);
	ck_assert_within(lib_stats(s).departed == 1, DEADLINE_MS);
	/* all is given back */
	p = lib_publisher(n, &grows);
	ok(zcp_publisher_loan(p, 8 << 20, &loan));
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* What subscribers hold cannot be had again. */
START_TEST(all_are_held)
{
	struct zcp_publisher_options po = grows;
	struct zcp_subscriber_options so = { .max_held = 33 };
	struct zcp_sample sample[EXTRAS_MAX];
	zcp_subscriber *s[2];
	zcp_publisher *p;
	zcp_node *n;
	void *loan;

	po.max_held = 66;
	lib_router_start();
	n = lib_node("n");
	s[0] = lib_subscriber(n, &so);
	s[1] = lib_subscriber(n, &so);
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	for (uint64_t i = 0; i < EXTRAS_MAX; i++) {
		ok(lib_send(p, i, LARGE));
		/* half of them each */
		lib_take(s[i % 2], &sample[i]);
		lib_receive(s[!(i % 2)]);
	}
	fails(zcp_publisher_loan(p, LARGE, &loan), -ENOBUFS, "held");
	ok(lib_send(p, 0, 1000));
	zcp_sample_release(&sample[3]);
	ok(zcp_publisher_loan(p, LARGE, &loan));
	/* a second release is none */
	zcp_sample_release_batch(sample, EXTRAS_MAX);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- the router ----------------------------------------------------------------------------------- */

START_TEST(no_router)
{
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	void *loan;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &grows);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 0, LARGE));
	ck_assert_uint_eq(lib_receive(s), 0);
	lib_router_stop(SIGKILL);
	ck_assert_within(!node_is_joined(n), DEADLINE_MS);
	/* what is there is used */
	for (uint64_t i = 1; i < 10; i++) {
		ok(lib_send(p, i, LARGE));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	fails(zcp_publisher_loan(p, 10 * LARGE, &loan), -ENOTCONN, "router");
	/* and not given up, while nobody can be told */
	for (uint64_t i = 0; i < 300; i++) {
		ok(lib_send(p, i, 8));
		lib_receive(s);
	}
	ck_assert_uint_eq(N_EXTRAS(p), 1);
	ok(lib_send(p, 11, LARGE));
	ck_assert_uint_eq(lib_receive(s), 11);
	zcp_node_close(n);
}
END_TEST

/* The router is restarted: segments come back to it, newcomers get them, and they are given back in the end. */
START_TEST(router_restarted)
{
	struct zcp_publisher_options po = reliably;
	struct zcp_subscriber_options so = { .history = 3 };
	zcp_subscriber *s, *late;
	zcp_publisher *p;
	zcp_node *n, *other;
	struct totals base;
	void *loan, *other_loan;
	uint64_t i = 0;

	po.history = 3;
	lib_router_start();
	n = _i ? lib_node_without_thread("n") : lib_node("n");
	other = lib_node("other");
	p = lib_publisher(n, &po);
	s = lib_subscriber(other, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (; i < 10; i++) {
		ok(lib_send(p, i, LARGE));
		ck_assert_uint_eq(lib_receive(s), i);
	}
	base = totals(other);
	ok(zcp_publisher_loan(p, LARGE, &loan));
	ok(zcp_publisher_loan(p, LARGE, &other_loan));
	ok(zcp_publisher_discard(p, other_loan));
	lib_router_kill(SIGKILL);
	ok(lib_send(p, i, LARGE));
	lib_router_again();
	ok(zcp_node_wait(n, 10 * SECOND));
	ok(zcp_node_wait(other, 10 * SECOND));
	ck_assert_uint_eq(lib_receive(s), i++);
	ok(zcp_publisher_discard(p, loan));
	/* the same segments, at another router */
	ck_assert_within(totals(other).bytes >= base.bytes, DEADLINE_MS);
	late = lib_subscriber(other, &so);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	for (uint64_t k = 8; k < 11; k++)
		ck_assert_uint_eq(lib_receive(late), k);
	for (; i < 30; i++) {
		ok(lib_send(p, i, i % 3 ? LARGE : 3 * LARGE));
		ck_assert_uint_eq(lib_receive(s), i);
		ck_assert_uint_eq(lib_receive(late), i);
	}
	for (; i < 300; i++) {
		ok(lib_send(p, i, 10));
		lib_receive(s);
		lib_receive(late);
	}
	ck_assert_uint_eq(N_EXTRAS(p), 0);
	ck_assert_within(lib_stats(s).lost + lib_stats(late).lost == 0 && mappings() == 0, DEADLINE_MS);
	zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

/* One that has less to give: old readers go on, newcomers lose what they cannot have, and the publisher does without. */
START_TEST(restarted_with_less)
{
	static const char *const less[] = { "--max-bytes-per-uid", "4M", NULL };
	struct zcp_publisher_options po = reliably;
	struct zcp_subscriber_options so = { .history = 2 };
	struct zcp_sample sample;
	zcp_subscriber *s, *late;
	zcp_publisher *p;
	zcp_node *n, *other;

	po.history = 2;
	lib_router_start();
	n = lib_node("n");
	other = lib_node("other");
	p = lib_publisher(n, &po);
	s = lib_subscriber(other, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 0, 5 << 20));
	ok(lib_send(p, 1, 8));
	lib_router_kill(SIGKILL);
	lib_router_arguments = less;
	lib_router_again();
	ok(zcp_node_wait(n, 10 * SECOND));
	ok(zcp_node_wait(other, 10 * SECOND));
	late = lib_subscriber(other, &so);
	lib_take(late, &sample);
	ck_assert_uint_eq(lib_number(&sample), 1);
	zcp_sample_release(&sample);
	ck_assert_uint_eq(lib_receive(s), 0);
	ck_assert_uint_eq(lib_receive(s), 1);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	for (uint64_t i = 2; i < 12; i++) {
		ok(lib_send(p, i, 8));
		ck_assert_uint_eq(lib_receive(s), i);
		ck_assert_uint_eq(lib_receive(late), i);
	}
	/* it is free now, and of no use */
	fails(lib_send(p, 0, 5 << 20), -EDQUOT, "--max-bytes-per-uid");
	ck_assert_uint_eq(N_EXTRAS(p), 0);
	ok(lib_send(p, 0, 1 << 20));
	lib_receive(late);
	ck_assert_uint_eq(lib_stats(s).malformed + lib_stats(late).malformed, 0);
	zcp_node_close(n);
	zcp_node_close(other);
	lib_router_stop(SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-growth");
	TCase *messages = add_test_case(suite, "messages", 60), *readers = add_test_case(suite, "readers", 60);
	TCase *publishers = add_test_case(suite, "publishers", 60), *quota = add_test_case(suite, "quota", 60);
	TCase *router = add_test_case(suite, "router", 60);

	tcase_add_loop_test(messages, all_sizes, 0, 8);
	tcase_add_test(messages, ways_to_publish);
	tcase_add_test(messages, nothing_is_left);
	tcase_add_loop_test(messages, unused_ones_go_back, 0, 2);
	tcase_add_loop_test(messages, huge_pages, 0, 3);
	tcase_add_test(messages, bad_option);
	tcase_add_loop_test(readers, late_joiner, 0, 2);
	tcase_add_test(readers, descriptor_and_wait);
	tcase_add_loop_test(readers, reader_lags_and_is_killed, 0, 2);
	tcase_add_loop_test(readers, reliable_reader_is_killed, 0, 2);
	tcase_add_test(readers, reader_without_descriptors);
	tcase_add_test(publishers, publisher_killed);
	tcase_add_test(publishers, withdrawn_while_held);
	tcase_add_test(publishers, after_fork);
	tcase_add_loop_test(quota, growth_over_quota, 0, 2);
	tcase_add_test(quota, all_are_held);
	tcase_add_test(router, no_router);
	tcase_add_loop_test(router, router_restarted, 0, 2);
	tcase_add_test(router, restarted_with_less);
	return run_suite(suite);
}
