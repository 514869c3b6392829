/* SPDX-License-Identifier: MIT */
/*
 * Threads of one process: publishers and subscribers on one node, and handles opened and closed while data flows. For
 * ThreadSanitizer as much as for the asserts. ck_assert is not for threads: they count, the test compares.
 */
#include "lib-helper.h"

#include <pthread.h>
#include <signal.h>

#define N_MESSAGES 5000
#define N_PUBLISHERS 2

struct shared {
	zcp_node *node;
	_Atomic uint64_t received, faults, lost;
	_Atomic bool stop;
};

static void *publish(void *argument)
{
	struct zcp_publisher_options po = { .sz = sizeof(po), .payload_max = 300, .depth = 64, .reliable = true, .timeout = 20 * SECOND };
	struct shared *shared = argument;
	zcp_publisher *p;

	if (zcp_publisher_open(&p, shared->node, &lib_topic, &po) < 0 || zcp_publisher_wait(p, 2, 20 * SECOND) < 2) {
		shared->faults++;
		return NULL;
	}
	for (uint64_t i = 0; i < N_MESSAGES; i++) {
		uint64_t payload[30] = { i, ~i };

		if (zcp_publisher_send(p, payload, i % 2 ? sizeof(payload) : 16) < 0)
			shared->faults++;
	}
	zcp_publisher_close(p);
	return NULL;
}

static void *subscribe(void *argument)
{
	struct zcp_subscriber_options so = { .sz = sizeof(so) };
	struct shared *shared = argument;
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };
	struct zcp_sample sample;
	zcp_subscriber *s;

	if (zcp_subscriber_open(&s, shared->node, &lib_topic, &so) < 0) {
		shared->faults++;
		return NULL;
	}
	while (stats.departed < N_PUBLISHERS) {
		const uint64_t *payload;

		if (zcp_subscriber_take(s, &sample) == -EAGAIN) {
			zcp_subscriber_wait(s, 50000000);
			zcp_subscriber_stats(s, &stats);
			continue;
		}
		payload = sample.data;
		shared->faults += payload[0] != sample.sequence || payload[1] != ~payload[0];
		shared->lost += sample.lost;
		shared->received++;
		zcp_sample_release(&sample);
	}
	zcp_subscriber_close(s);
	return NULL;
}

/* Endpoints of another topic come and go meanwhile. */
static void *open_and_close(void *argument)
{
	const struct zcp_topic topic = { "other", "i", "e" };
	struct shared *shared = argument;

	while (!shared->stop) {
		zcp_subscriber *s;
		zcp_publisher *p;

		if (zcp_subscriber_open(&s, shared->node, &topic, NULL) < 0 || zcp_publisher_open(&p, shared->node, &topic, NULL) < 0) {
			shared->faults++;
			break;
		}
		if (zcp_publisher_wait(p, 1, 20 * SECOND) != 1)
			shared->faults++;
		zcp_subscriber_close(s);
		zcp_publisher_close(p);
	}
	return NULL;
}

START_TEST(one_node)
{
	struct shared shared = { .received = 0 };
	pthread_t publishers[N_PUBLISHERS], subscribers[2], other;

	lib_router_start();
	shared.node = _i ? lib_node_without_thread("n") : lib_node("n");
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&subscribers[i], NULL, subscribe, &shared), 0);
	for (int i = 0; i < N_PUBLISHERS; i++)
		ck_assert_int_eq(pthread_create(&publishers[i], NULL, publish, &shared), 0);
	ck_assert_int_eq(pthread_create(&other, NULL, open_and_close, &shared), 0);
	for (int i = 0; i < N_PUBLISHERS; i++)
		pthread_join(publishers[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(subscribers[i], NULL);
	shared.stop = true;
	pthread_join(other, NULL);
	ck_assert_uint_eq(shared.faults, 0);
	ck_assert_uint_eq(shared.lost, 0);
	ck_assert_uint_eq(shared.received, 2 * N_PUBLISHERS * N_MESSAGES);
	zcp_node_close(shared.node);
	lib_router_stop(SIGTERM);
}
END_TEST

static void *release_later(void *argument)
{
	lib_number(argument);
	zcp_sample_release(argument);
	return NULL;
}

/* The last samples of a closed node, released by several threads at once: one of them ends the node. */
START_TEST(last_releases_race)
{
	lib_router_start();
	for (int round = 0; round < 20; round++) {
		zcp_node *pn = lib_node("publisher"), *sn = lib_node("subscriber");
		zcp_subscriber *s[4];
		zcp_publisher *p;
		struct zcp_sample sample[4];
		pthread_t thread[4];

		for (int i = 0; i < 4; i++)
			s[i] = lib_subscriber(sn, NULL);
		p = lib_publisher(pn, &(struct zcp_publisher_options){ .payload_max = 1000 });
		ck_assert_int_eq(ok(zcp_publisher_wait(p, 4, 5 * SECOND)), 4);
		ok(lib_send(p, 1, 1000));
		for (int i = 0; i < 4; i++)
			ok(zcp_subscriber_take(s[i], &sample[i]));
		zcp_node_close(sn);
		for (int i = 0; i < 4; i++)
			ck_assert_int_eq(pthread_create(&thread[i], NULL, release_later, &sample[i]), 0);
		for (int i = 0; i < 4; i++)
			pthread_join(thread[i], NULL);
		zcp_node_close(pn);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lib-threads");
	TCase *t = add_test_case(s, "threads", 120);

	tcase_add_loop_test(t, one_node, 0, 2);
	tcase_add_test(t, last_releases_race);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
