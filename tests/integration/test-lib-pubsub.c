/* SPDX-License-Identifier: MIT */
/*
 * Messages through the public API: what arrives, in which order, what is lost and counted, who waits for whom.
 * In one process where two nodes suffice, in several where blocking needs them.
 */
#include "lib-helper.h"

#include "lib/node.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* One size of each way a message travels: three inline slot sizes, a small chunk, a large one. */
static const size_t sizes[] = { 8, 40, 104, 232, 233, 5000, 1 << 20 };
#define N_SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

/* --- arrival -------------------------------------------------------------------------------------- */

START_TEST(all_sizes)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .reliable = true };
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int64_t before;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &po);
	ck_assert_int_eq(ok(zcp_publisher_wait(p, 1, 5 * SECOND)), 1);
	before = now_ns();
	for (uint64_t i = 0; i < 100; i++) {
		struct zcp_sample sample;
		size_t size = i % 2 ? sizes[_i] : 8;

		ck_assert_int_eq(ok(lib_send(p, i, size)), 1);
		lib_take(s, &sample);
		ck_assert_uint_eq(lib_number(&sample), i);
		ck_assert_uint_eq(sample.size, size);
		ck_assert_uint_eq(sample.sequence, i);
		ck_assert_uint_eq(sample.publisher, zcp_publisher_id(p));
		ck_assert_uint_eq(sample.lost, 0);
		/* the tick calibration is good to a few microseconds */
		ck_assert_int_ge((int64_t)sample.timestamp_ns, before - 100000);
		ck_assert_int_le((int64_t)sample.timestamp_ns, now_ns() + 100000);
		zcp_sample_release(&sample);
		ck_assert_ptr_null(sample.data);
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* The first message of a subscriber has its time, also while the node's thread is busy with something else. */
START_TEST(first_timestamp)
{
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int64_t before;
	int r;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "");
	before = now_ns();
	ok(lib_send(p, 1, 8));
	pthread_mutex_lock(&n->lock);
	r = zcp_subscriber_take(s, &sample);
	pthread_mutex_unlock(&n->lock);
	ok(r);
	ck_assert_int_ge((int64_t)sample.timestamp_ns, before - 100000);
	ck_assert_int_le((int64_t)sample.timestamp_ns, now_ns() + 100000);
	zcp_sample_release(&sample);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static void send_without_wait(struct stage *stage)
{
	struct zcp_publisher_options po = { .payload_max = 1000, .depth = 64 };
	zcp_node *n;
	zcp_publisher *p;

	stage_wait(stage, 0, 1);
	n = lib_node("publisher");
	p = lib_publisher(n, &po);
	for (uint64_t i = 0; i < 48; i++)
		ok(lib_send(p, i, i % 2 ? 1000 : 8));
	zcp_publisher_close(p);
	zcp_node_close(n);
}

/* A subscriber that was there first misses nothing, though the publisher waits for nobody and leaves at once. */
START_TEST(first_sample_without_wait)
{
	struct stage *stage = stage_new();
	zcp_subscriber *s;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	pid = process_start(send_without_wait, stage);
	n = lib_node("subscriber");
	s = lib_subscriber(n, NULL);
	stage_set(stage, 0, 1);
	for (uint64_t i = 0; i < 48; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	process_expect_success(pid);
	ck_assert_within(lib_stats(s).departed == 1, DEADLINE_MS);
	ck_assert_uint_eq(lib_stats(s).died, 0);
	ck_assert_uint_eq(lib_stats(s).lost, 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* History from a publisher that does nothing any more, and does not even dispatch. */
START_TEST(history_of_idle_publisher)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .depth = 8, .history = 5 };
	zcp_node *pn, *sn;
	zcp_publisher *p;

	lib_router_start();
	pn = lib_node("publisher");
	p = lib_publisher(pn, &po);
	for (uint64_t i = 0; i < 20; i++)
		ck_assert_int_eq(ok(lib_send(p, i, sizes[_i])), 0);

	sn = lib_node("subscriber");
	for (uint32_t history = 0; history < 8; history++) {
		struct zcp_subscriber_options so = { .history = history };
		zcp_subscriber *s = lib_subscriber(sn, &so);
		uint64_t first = 20 - (history < 5 ? history : 5);
		struct zcp_sample sample;

		for (uint64_t i = first; i < 20; i++) {
			ok(zcp_subscriber_take(s, &sample));
			ck_assert_uint_eq(lib_number(&sample), i);
			ck_assert_uint_eq(sample.lost, 0);
			zcp_sample_release(&sample);
		}
		fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
		zcp_subscriber_close(s);
	}
	zcp_node_close(sn);
	zcp_node_close(pn);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(two_publishers_take_turns)
{
	struct zcp_publisher_options po = { .payload_max = 8, .reliable = true, .depth = 512 };
	uint64_t next[2] = { 0 };
	zcp_publisher *p[2];
	zcp_subscriber *s;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	for (int i = 0; i < 2; i++) {
		p[i] = lib_publisher(n, &po);
		ok(zcp_publisher_wait(p[i], 1, 5 * SECOND));
		for (uint64_t k = 0; k < 400; k++)
			ok(lib_send(p[i], k, 8));
	}
	for (int k = 0; k < 800; k++) {
		struct zcp_sample sample;
		int who;

		ok(zcp_subscriber_take(s, &sample));
		who = sample.publisher == zcp_publisher_id(p[1]);
		ck_assert_uint_eq(lib_number(&sample), next[who]++);
		ck_assert_int_le(abs((int)next[0] - (int)next[1]), 1);
		zcp_sample_release(&sample);
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- loans and samples ---------------------------------------------------------------------------- */

START_TEST(loans)
{
	struct zcp_publisher_options po = { .payload_max = _i ? 5000 : 100, .max_loans = 3 };
	void *loan[4], *other;
	zcp_publisher *p;
	zcp_node *n;
	char outside[16];

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &po);
	fails(zcp_publisher_loan(p, po.payload_max + 1, &loan[0]), -EMSGSIZE, "payload_max");
	fails(zcp_publisher_send(p, outside, po.payload_max + 1), -EMSGSIZE, "payload_max");
	for (int i = 0; i < 3; i++)
		ok(zcp_publisher_loan(p, po.payload_max, &loan[i]));
	fails(zcp_publisher_loan(p, 8, &loan[3]), -ENOBUFS, "max_loans");
	fails(zcp_publisher_publish(p, outside, 8), -EINVAL, "loan");
	fails(zcp_publisher_publish(p, NULL, 8), -EINVAL, "loan");
	fails(zcp_publisher_publish(p, (char *)loan[1] + 1, 8), -EINVAL, "loan");
	fails(zcp_publisher_publish(p, loan[1], po.payload_max + 1), -EMSGSIZE, "larger");
	ck_assert_int_eq(ok(zcp_publisher_publish(p, loan[1], 8)), 0);
	fails(zcp_publisher_publish(p, loan[1], 8), -EINVAL, "before");
	ok(zcp_publisher_discard(p, loan[0]));
	fails(zcp_publisher_discard(p, loan[0]), -EINVAL, "before");
	ok(zcp_publisher_publish(p, loan[2], 0));
	fails(zcp_publisher_loan_batch(p, 8, loan, 65), -EINVAL, "64");
	fails(zcp_publisher_loan_batch(p, 8, loan, 0), -EINVAL, "64");
	ck_assert_int_eq(ok(zcp_publisher_loan_batch(p, 8, loan, 4)), 3);
	ck_assert_int_eq(ok(zcp_publisher_publish_batch(p, loan, (size_t[]){ 8, 8, 8 }, 3)), 3);
	ok(zcp_publisher_loan(p, 8, &other));

	/* closed with a loan open: still there to write to until the node goes */
	zcp_publisher_close(p);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "open loan"));
	memset(other, 7, 8);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Metadata beside payloads that travel in each way; and each wrong use. */
START_TEST(user_headers)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .reliable = true, .header_size = _i % 2 ? 8 : 16 };
	zcp_publisher *p, *plain;
	struct zcp_sample sample;
	static const uint64_t none[2];
	uint64_t header[2];
	zcp_subscriber *s;
	void *payload;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &po);
	ck_assert_int_eq(ok(zcp_publisher_wait(p, 1, 5 * SECOND)), 1);
	for (uint64_t i = 0; i < 50; i++) {
		header[0] = header[1] = i * i;
		ok(zcp_publisher_loan(p, 8, &payload));
		memcpy(payload, &i, 8);
		if (i % 3 == 0)
			ck_assert_int_eq(ok(zcp_publisher_publish_with(p, payload, 8, header)), 1);
		else
			ck_assert_int_eq(ok(zcp_publisher_publish(p, payload, 8)), 1);
		lib_take(s, &sample);
		ck_assert_uint_eq(lib_number(&sample), i);
		ck_assert_uint_eq(sample.header_size, po.header_size);
		ck_assert_mem_eq(sample.header, i % 3 ? none : header, po.header_size);
		zcp_sample_release(&sample);
		ck_assert_ptr_null(sample.header);
	}
	header[0] = header[1] = 77;
	ck_assert_int_eq(ok(zcp_publisher_send_with(p, &header, 8, header)), 1);
	lib_take(s, &sample);
	ck_assert_mem_eq(sample.header, header, po.header_size);
	zcp_sample_release(&sample);

	/* what was not published leaves no header for the next one */
	fails(zcp_publisher_publish_with(p, header, 8, header), -EINVAL, "loan");
	fails(zcp_publisher_send_with(p, header, po.payload_max + 1, header), -EMSGSIZE, "payload_max");
	fails(zcp_publisher_send_with(p, header, 8, NULL), -EINVAL, "NULL");
	ck_assert_int_eq(ok(zcp_publisher_send(p, header, 8)), 1);
	lib_take(s, &sample);
	ck_assert_mem_eq(sample.header, none, po.header_size);
	zcp_sample_release(&sample);
	zcp_publisher_close(p);

	plain = lib_publisher(n, NULL);
	fails(zcp_publisher_send_with(plain, header, 8, header), -EINVAL, "header_size");
	ck_assert_int_eq(ok(zcp_publisher_wait(plain, 1, 5 * SECOND)), 1);
	ok(zcp_publisher_send(plain, header, 8));
	lib_take(s, &sample);
	ck_assert_ptr_null(sample.header);
	ck_assert_uint_eq(sample.header_size, 0);
	zcp_sample_release(&sample);
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .header_size = 12 };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "header_size");
	po.header_size = 24;
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "header_size");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(held_samples)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .reliable = true };
	struct zcp_subscriber_options so = { .max_held = 3 };
	struct zcp_sample held[3], copy, more;
	unsigned char bytes[8];
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, &so);
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 4; i++)
		ok(lib_send(p, i, sizes[_i]));
	for (int i = 0; i < 3; i++)
		ok(zcp_subscriber_take(s, &held[i]));
	fails(zcp_subscriber_take(s, &more), -ENOBUFS, "max_held");
	fails(zcp_subscriber_wait(s, SECOND), -ENOBUFS, "max_held");

	copy = held[1];
	zcp_sample_release(&held[1]);
	ok(zcp_subscriber_take(s, &held[1]));
	ck_assert_uint_eq(lib_number(&held[1]), 3);
	/* its slot has been given out again, but the stale copy does not name it */
	zcp_sample_release(&copy);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "released before"));
	fails(zcp_subscriber_take(s, &more), -ENOBUFS, "max_held");
	zcp_sample_release(&copy);

	ck_assert_uint_eq(zcp_sample_copy(&held[0], bytes, sizeof(bytes)), sizes[_i]);
	ck_assert_mem_eq(bytes, held[0].data, 8);
	for (int i = 0; i < 3; i++)
		zcp_sample_release(&held[i]);
	zcp_sample_release(&held[0]);
	fails(zcp_subscriber_take(s, &more), -EAGAIN, "no message");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * A subscriber that is closed with samples held: they stay as they are however much is published, and nobody
 * waits for it.
 */
START_TEST(held_beyond_close)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .depth = 8, .reliable = true, .timeout = 5 * SECOND };
	struct zcp_sample held[3];
	zcp_node *pn, *sn;
	zcp_subscriber *s;
	zcp_publisher *p;
	int n_fds;

	lib_router_start();
	n_fds = count_fds();
	pn = lib_node("publisher");
	p = lib_publisher(pn, &po);
	/* a node that nobody dispatches any more once it is closed gets its thread then */
	sn = _i % 2 ? lib_node_without_thread("subscriber") : lib_node("subscriber");
	s = lib_subscriber(sn, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 5; i++)
		ok(lib_send(p, i, sizes[_i]));
	for (int i = 0; i < 3; i++)
		ok(zcp_subscriber_take(s, &held[i]));
	zcp_subscriber_close(s);
	zcp_node_close(sn);
	for (uint64_t i = 5; i < 100; i++)
		ok(lib_send(p, i, sizes[_i]));
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_uint_eq(lib_number(&held[i]), i);
	zcp_publisher_close(p);
	zcp_node_close(pn);
	for (uint64_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(lib_number(&held[i]), i);
		zcp_sample_release(&held[i]);
	}
	/* with the last one the node left too */
	ck_assert_int_eq(count_fds(), n_fds);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- too slow ------------------------------------------------------------------------------------- */

START_TEST(lossy_overrun)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .depth = 16 };
	uint64_t received = 0, lost = 0, last = 0;
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 1000; i++) {
		ok(lib_send(p, i, sizes[_i]));
		/* now and then a few are taken */
		if (i % 100 >= 3)
			continue;
		ok(zcp_subscriber_take(s, &sample));
		received++;
		lost += sample.lost;
		last = sample.sequence;
		zcp_sample_release(&sample);
	}
	while (zcp_subscriber_take(s, &sample) == 0) {
		received++;
		lost += sample.lost;
		ck_assert_uint_eq(sample.sequence, last + 1 + sample.lost);
		last = sample.sequence;
		ck_assert_uint_eq(lib_number(&sample), sample.sequence);
		zcp_sample_release(&sample);
	}
	ck_assert_uint_eq(last, 999);
	ck_assert_uint_eq(received + lost, 1000);
	ck_assert_uint_gt(lost, 500);
	ck_assert_uint_eq(lib_stats(s).received, received);
	ck_assert_uint_eq(lib_stats(s).lost, lost);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(reliable_says_again)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .depth = 8, .reliable = true };
	uint64_t sent = 0, received = 0;
	zcp_subscriber *s, *lossy;
	zcp_publisher *p;
	zcp_node *n;
	int64_t begin;
	int r;

	lib_router_start();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	lossy = lib_subscriber(n, &(struct zcp_subscriber_options){ .lossy = true });
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	while ((r = lib_send(p, sent, sizes[_i])) >= 0)
		ck_assert_uint_lt(++sent, 100);
	fails(r, -EAGAIN, "no room");
	ck_assert_uint_ge(sent, 8);
	ck_assert_uint_eq(lib_receive(s), received++);
	while (received < sent)
		ck_assert_uint_eq(lib_receive(s), received++);
	ok(lib_send(p, sent++, sizes[_i]));
	zcp_publisher_close(p);

	/* with a timeout it takes that long, not longer */
	po.timeout = 30000000;
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	for (sent = 0; (r = lib_send(p, sent, sizes[_i])) >= 0; sent++)
		begin = now_ns();
	fails(r, -ETIMEDOUT, "timeout");
	ck_assert_int_ge(now_ns() - begin, 30000000);
	/* a subscriber that leaves makes room */
	zcp_subscriber_close(s);
	ok(lib_send(p, sent, sizes[_i]));
	(void)lossy;
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

#define STREAM 20000

static void stream_slowly_read(struct stage *stage)
{
	struct zcp_subscriber_options so = { .max_held = 8 };
	zcp_node *n = lib_node("subscriber");
	zcp_subscriber *s = lib_subscriber(n, &so);

	stage_set(stage, 0, 1);
	for (uint64_t i = 0; i < STREAM; i++) {
		ck_assert_uint_eq(lib_receive(s), i);
		if (i % 1000 == 0)
			usleep(1000);
	}
	ck_assert_uint_eq(lib_stats(s).lost, 0);
	stage_set(stage, 1, 1);
	zcp_node_close(n);
}

/*
 * The publisher is faster, sleeps for room, and is woken by the reader; with the slow re-check alone this would
 * take minutes.
 */
START_TEST(reliable_stream)
{
	struct zcp_publisher_options po = { .payload_max = 1000, .depth = 32, .reliable = true, .timeout = -1 };
	struct stage *stage = stage_new();
	zcp_publisher *p;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	pid = process_start(stream_slowly_read, stage);
	stage_wait(stage, 0, 1);
	n = _i ? lib_node_without_thread("publisher") : lib_node("publisher");
	p = lib_publisher(n, &po);
	/* not even a wait: the subscriber was there first */
	for (uint64_t i = 0; i < STREAM; i++)
		ok(lib_send(p, i, i % 3 ? 8 + i % 900 : 8));
	stage_wait(stage, 1, 1);
	zcp_node_close(n);
	process_expect_success(pid);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- waiting -------------------------------------------------------------------------------------- */

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Readable exactly until take says -EAGAIN. */
START_TEST(fd_contract)
{
	struct zcp_publisher_options po = { .payload_max = 8, .history = 4 };
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int fd;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &po);
	ok(lib_send(p, 0, 8));
	s = lib_subscriber(n, &(struct zcp_subscriber_options){ .history = 1 });
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	fd = (int)ok(zcp_subscriber_fd(s));
	ck_assert_int_eq(fd, zcp_subscriber_fd(s));

	/* something was there before the first call */
	ck_assert(readable(fd, 0));
	ck_assert_uint_eq(lib_receive(s), 0);
	ck_assert(readable(fd, 0));
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
	ck_assert(!readable(fd, 0));

	for (uint64_t i = 1; i < 200; i++) {
		uint64_t n_more = i % 4;

		ok(lib_send(p, i, 8));
		ck_assert(readable(fd, DEADLINE_MS));
		for (uint64_t k = 0; k < n_more; k++)
			ok(lib_send(p, ++i, 8));
		for (uint64_t k = 0; k <= n_more; k++) {
			ck_assert(readable(fd, 0));
			ok(zcp_subscriber_take(s, &sample));
			ck_assert_uint_eq(lib_number(&sample), i - n_more + k);
			zcp_sample_release(&sample);
		}
		ck_assert(readable(fd, 0));
		ck_assert_int_eq(zcp_subscriber_take(s, &sample), -EAGAIN);
		ck_assert_int_eq(zcp_subscriber_take(s, &sample), -EAGAIN);
		ck_assert(!readable(fd, 0));
	}

	/* a wait in between does not take the promise away */
	ok(lib_send(p, 1000, 8));
	ok(zcp_subscriber_wait(s, SECOND));
	ck_assert(readable(fd, 0));
	ck_assert_uint_eq(lib_receive(s), 1000);
	fails(zcp_subscriber_wait(s, 1000), -ETIMEDOUT, "in time");
	ok(lib_send(p, 1001, 8));
	ck_assert(readable(fd, DEADLINE_MS));
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static void answer_by_fd(struct stage *stage)
{
	zcp_node *n = lib_node("echo");
	zcp_subscriber *s = lib_subscriber(n, NULL);
	int fd = (int)ok(zcp_subscriber_fd(s));
	struct zcp_sample sample;

	stage_set(stage, 0, 1);
	for (uint64_t seen = 0; seen < 5000;) {
		ck_assert(readable(fd, DEADLINE_MS));
		while (zcp_subscriber_take(s, &sample) == 0) {
			ck_assert_uint_eq(lib_number(&sample), seen);
			zcp_sample_release(&sample);
			stage_set(stage, 1, ++seen);
		}
	}
	zcp_node_close(n);
}

/* No wake-up is lost: each message is sent only when the one before it was seen. */
START_TEST(fd_ping)
{
	struct zcp_publisher_options po = { .payload_max = 8 };
	struct stage *stage = stage_new();
	zcp_publisher *p;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	pid = process_start(answer_by_fd, stage);
	stage_wait(stage, 0, 1);
	n = lib_node("n");
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	for (uint64_t i = 0; i < 5000; i++) {
		ok(lib_send(p, i, 8));
		stage_wait(stage, 1, i + 1);
	}
	process_expect_success(pid);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(timeouts)
{
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;
	int64_t begin;

	lib_router_start();
	n = _i ? lib_node_without_thread("n") : lib_node("n");
	s = lib_subscriber(n, NULL);
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
	fails(zcp_subscriber_wait(s, 0), -ETIMEDOUT, "in time");
	begin = now_ns();
	fails(zcp_subscriber_wait(s, 150000000), -ETIMEDOUT, "in time");
	ck_assert_int_ge(now_ns() - begin, 150000000);
	ck_assert_int_lt(now_ns() - begin, 10 * SECOND);
	p = lib_publisher(n, NULL);
	begin = now_ns();
	fails(zcp_publisher_wait(p, 2, 30000000), -ETIMEDOUT, "1 of 2");
	ck_assert_int_ge(now_ns() - begin, 30000000);
	ck_assert_int_eq(zcp_publisher_wait(p, 1, 0), 1);
	ck_assert_int_eq(zcp_publisher_wait(p, 0, 0), 1);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* An event loop: only zcp_node_fd() and zcp_node_dispatch() drive the nodes, no call blocks but open. */
START_TEST(no_thread)
{
	struct zcp_publisher_options po = { .payload_max = 8, .reliable = true };
	zcp_node *pn, *sn;
	zcp_subscriber *s;
	zcp_publisher *p;
	struct zcp_sample sample;

	lib_router_start();
	pn = lib_node_without_thread("publisher");
	p = lib_publisher(pn, &po);
	sn = lib_node_without_thread("subscriber");
	s = lib_subscriber(sn, NULL);
	ck_assert_int_eq(zcp_publisher_subscribers(p), 0);
	while (zcp_publisher_subscribers(p) == 0) {
		ck_assert(readable(zcp_node_fd(pn), DEADLINE_MS));
		ok(zcp_node_dispatch(pn));
		ok(zcp_node_dispatch(sn));
	}
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(ok(lib_send(p, i, 8)), 1);
		ok(zcp_subscriber_take(s, &sample));
		ck_assert_uint_eq(lib_number(&sample), i);
		zcp_sample_release(&sample);
	}
	/* the heartbeat makes it readable again and again */
	for (int i = 0; i < 3; i++) {
		ck_assert(readable(zcp_node_fd(sn), 1000));
		ok(zcp_node_dispatch(sn));
	}
	zcp_publisher_close(p);
	while (lib_stats(s).publishers) {
		ck_assert(readable(zcp_node_fd(sn), DEADLINE_MS));
		ok(zcp_node_dispatch(sn));
	}
	zcp_node_close(sn);
	zcp_node_close(pn);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * A subscriber that was there first but is slow to answer: a reliable publisher that waits for nobody still
 * overruns it by nothing.
 */
START_TEST(reliable_before_attached)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .depth = 8, .reliable = true };
	zcp_node *pn, *sn;
	zcp_subscriber *s;
	zcp_publisher *p;
	uint64_t sent = 0;
	int r;

	lib_router_start();
	sn = lib_node_without_thread("subscriber");
	s = lib_subscriber(sn, NULL);
	pn = lib_node("publisher");
	p = lib_publisher(pn, &po);
	while ((r = lib_send(p, sent, sizes[_i])) >= 0)
		ck_assert_uint_lt(++sent, 100);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_uint_ge(sent, 8);
	for (uint64_t i = 0; i < 50; i++) {
		ck_assert_uint_eq(lib_receive(s), i);
		if (i == 0)
			ok(zcp_publisher_wait(p, 1, 5 * SECOND));
		/* readers may say in batches how far they are */
		r = lib_send(p, sent, sizes[_i]);
		ck_assert(r == 1 || r == -EAGAIN);
		sent += r == 1;
	}
	ck_assert_uint_eq(lib_stats(s).lost, 0);
	zcp_node_close(pn);
	zcp_node_close(sn);
	lib_router_stop(SIGTERM);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lib-pubsub");
	TCase *t;

	t = add_test_case(s, "arrival", 60);
	tcase_add_loop_test(t, all_sizes, 0, N_SIZES);
	tcase_add_test(t, first_timestamp);
	tcase_add_test(t, first_sample_without_wait);
	tcase_add_loop_test(t, history_of_idle_publisher, 0, N_SIZES);
	tcase_add_test(t, two_publishers_take_turns);
	t = add_test_case(s, "loans and samples", 60);
	tcase_add_loop_test(t, loans, 0, 2);
	tcase_add_loop_test(t, user_headers, 0, N_SIZES);
	tcase_add_loop_test(t, held_samples, 0, N_SIZES);
	tcase_add_loop_test(t, held_beyond_close, 0, N_SIZES);
	t = add_test_case(s, "too slow", 60);
	tcase_add_loop_test(t, lossy_overrun, 0, N_SIZES);
	tcase_add_loop_test(t, reliable_says_again, 0, N_SIZES);
	tcase_add_loop_test(t, reliable_stream, 0, 2);
	tcase_add_loop_test(t, reliable_before_attached, 0, N_SIZES);
	t = add_test_case(s, "waiting", 60);
	tcase_add_test(t, fd_contract);
	tcase_add_test(t, fd_ping);
	tcase_add_loop_test(t, timeouts, 0, 2);
	tcase_add_test(t, no_thread);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
