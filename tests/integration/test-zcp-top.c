/* SPDX-License-Identifier: MIT */
/*
 * zcp top --json against traffic whose truth is known: the numbers, and what stands out. What the screen does is in
 * test-zcp-top-screen.c, and what others may do to it in test-zcp-top-others.c.
 */
#include "top-helper.h"

#include <signal.h>
#include <unistd.h>

#include "lib/publisher.h"
#include "lib/subscriber.h"

#define EVENT (lib_topic.event)

static zcp_node *node;

static void start(void)
{
	lib_router_start();
	node = lib_node("traffic");
}

static void stop(void)
{
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}

static json_t *topic_of(const json_t *table)
{
	json_t *topic = find_topic(table, EVENT, "data");

	ck_assert_msg(topic != NULL, "the topic is not there");
	return topic;
}

static json_t *of_publisher(const json_t *table, const zcp_publisher *publisher)
{
	return endpoint_by_id(topic_of(table), zcp_publisher_id(publisher));
}

static json_t *of_subscriber(const json_t *table, const zcp_subscriber *subscriber)
{
	return endpoint_by_id(topic_of(table), subscriber->endpoint.id);
}

static void expect_empty(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;

	ck_assert_int_eq(zcp_subscriber_take(subscriber, &sample), -EAGAIN);
}

/* ---- counts ------------------------------------------------------------------------------------------------------ */

/* Inline messages, and chunks. One reads all, one late and then loses, one not at all. */
START_TEST(received_and_lost)
{
	size_t bytes = _i ? 1000 : 16;
	const struct zcp_publisher_options options = { .payload_max = bytes, .depth = 24 };
	zcp_subscriber *all, *late, *never;
	struct zcp_subscriber_stats stats;
	struct zcp_sample sample;
	zcp_publisher *publisher;
	json_t *table, *e;

	start();
	publisher = lib_publisher(node, &options);
	all = lib_subscriber(node, NULL);
	late = lib_subscriber(node, NULL);
	never = lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 3, DEADLINE_MS * 1000000ll));
	for (uint64_t i = 0; i < 500; i++) {
		ok(lib_send(publisher, i, bytes));
		ck_assert_uint_eq(lib_receive(all), i);
		if (i % 97 == 96)
			lib_receive(late);
	}
	expect_empty(all);
	while (zcp_subscriber_take(late, &sample) == 0)
		zcp_sample_release(&sample);
	stats = lib_stats(late);
	ck_assert_uint_gt(stats.lost, 0);

	table = top_json("0.1");
	ck_assert_uint_eq(number(topic_of(table), "publishers"), 1);
	ck_assert_uint_eq(number(topic_of(table), "subscribers"), 3);
	ck_assert_uint_eq(number(topic_of(table), "published"), 500);
	ck_assert_uint_eq(number(of_publisher(table, publisher), "published"), 500);
	e = of_subscriber(table, all);
	ck_assert_uint_eq(number(e, "received"), 500);
	ck_assert_uint_eq(number(e, "lost") + number(e, "overrun"), 0);
	ck_assert_str_eq(text(e, "state"), "ok");
	e = of_subscriber(table, late);
	ck_assert_uint_eq(number(e, "received"), stats.received);
	ck_assert_uint_eq(number(e, "lost"), stats.lost);
	ck_assert_uint_eq(number(e, "overrun"), 0);
	/* it has lost, but not since the look before */
	ck_assert_str_eq(text(e, "state"), "ok");
	/* what is gone, and what can still be had */
	e = of_subscriber(table, never);
	ck_assert_uint_eq(number(e, "received") + number(e, "lost"), 0);
	ck_assert_str_eq(text(e, "state"), "losing");
	ck_assert(truth(e, "attention"));
	ck_assert_uint_eq(number(topic_of(table), "lost"), stats.lost);
	ck_assert_uint_eq(number(topic_of(table), "overrun"), number(e, "overrun"));
	ck_assert(truth(topic_of(table), "attention"));
	ck_assert_uint_eq(number(topic_of(table), "received"), 500 + stats.received);
	stats = lib_stats(never);
	ck_assert_uint_eq(stats.lost, 0);
	ok(zcp_subscriber_take(never, &sample));
	ck_assert_uint_eq(number(e, "overrun"), sample.lost);
	zcp_sample_release(&sample);
	json_decref(table);
	stop();
}
END_TEST

/* What is held, what of the pools that takes, and what was used at most. */
START_TEST(held_and_pools)
{
	const struct zcp_publisher_options options = { .payload_max = 1000, .depth = 24 };
	struct zcp_sample held[6];
	zcp_subscriber *subscriber;
	zcp_publisher *publisher;
	json_t *table, *pools;
	void *loan[10];

	start();
	publisher = lib_publisher(node, &options);
	subscriber = lib_subscriber(node, &(struct zcp_subscriber_options){ .max_held = 8 });
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	for (int i = 0; i < 10; i++)
		ok(zcp_publisher_loan(publisher, 1000, &loan[i]));
	for (int i = 9; i >= 0; i--)
		ok(zcp_publisher_discard(publisher, loan[i]));
	for (uint64_t i = 0; i < 6; i++) {
		ok(lib_send(publisher, i, 1000));
		lib_take(subscriber, &held[i]);
	}
	expect_empty(subscriber);

	table = top_json("0.1");
	ck_assert_uint_eq(number(of_subscriber(table, subscriber), "held"), 6);
	ck_assert_uint_eq(number(topic_of(table), "held"), 6);
	ck_assert_uint_eq(number(connection_of(topic_of(table), 0), "waiting"), 0);
	pools = json_array_get(member(of_publisher(table, publisher), "pools"), 0);
	ck_assert_uint_eq(number(pools, "chunk_bytes"), 1024);
	ck_assert_uint_eq(number(pools, "ever_used"), 10);
	ck_assert_uint_eq(number(pools, "in_use"), 6);
	ck_assert_uint_eq(number(pools, "chunks"), publisher->writer.geometry.pool[0].count);
	ck_assert_double_eq(real(topic_of(table), "pool_use"), 6.0 / (double)number(pools, "chunks"));
	ck_assert_double_eq(real(topic_of(table), "pool_high"), 10.0 / (double)number(pools, "chunks"));
	json_decref(table);

	for (int i = 0; i < 6; i++)
		zcp_sample_release(&held[i]);
	for (uint64_t i = 6; i < 11; i++)
		ok(lib_send(publisher, i, 1000));
	table = top_json("0.1");
	ck_assert_uint_eq(number(of_subscriber(table, subscriber), "held"), 0);
	ck_assert_uint_eq(number(connection_of(topic_of(table), 0), "waiting"), 5);
	ck_assert_double_eq(real(topic_of(table), "queue_fill"), 5.0 / 24);
	pools = json_array_get(member(of_publisher(table, publisher), "pools"), 0);
	ck_assert_uint_eq(number(pools, "in_use"), 5);
	json_decref(table);
	stop();
}
END_TEST

/* Rates are of the messages between two looks: so many, and so large. */
START_TEST(rates)
{
	zcp_subscriber *subscriber;
	zcp_publisher *publisher;
	struct running running;
	uint64_t sent = 0;
	json_t *table;
	double rate, bytes;

	start();
	publisher = lib_publisher(node, &(struct zcp_publisher_options){ .payload_max = 1000 });
	subscriber = lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	top_start(&running, 0, (const char *[]){ "--json", "--interval", "0.3", NULL });
	while (top_read(&running)) {
		ok(lib_send(publisher, sent++, 500));
		lib_receive(subscriber);
		usleep(500);
	}
	ck_assert_int_eq(top_finish(&running), 0);
	table = json_loads(running.text, 0, NULL);
	ck_assert_ptr_nonnull(table);
	rate = real(topic_of(table), "messages_per_second");
	bytes = real(topic_of(table), "bytes_per_second");
	ck_assert_double_gt(rate, 0);
	ck_assert_double_le(rate * real(table, "interval_s"), (double)sent);
	ck_assert_double_eq_tol(bytes, rate * 500, 1);
	ck_assert_double_gt(real(topic_of(table), "received_per_second"), 0);
	ck_assert_str_eq(text(topic_of(table), "state"), "ok");
	json_decref(table);
	top_free(&running);
	stop();
}
END_TEST

/* ---- what stands out --------------------------------------------------------------------------------------------- */

static json_t *table_while(struct running *running, void (*meanwhile)(void *context), void *context)
{
	json_t *table;

	top_start(running, 0, (const char *[]){ "--json", "--interval", "0.3", NULL });
	while (top_read(running)) {
		meanwhile(context);
		usleep(1000);
	}
	ck_assert_int_eq(top_finish(running), 0);
	table = json_loads(running->text, 0, NULL);
	ck_assert_ptr_nonnull(table);
	top_free(running);
	return table;
}

static void fail_loan(void *context)
{
	void *loan;

	ck_assert_int_eq(zcp_publisher_loan(context, 16, &loan), -ENOBUFS);
}

START_TEST(dry)
{
	zcp_publisher *publisher;
	struct running running;
	uint64_t n;
	json_t *table;
	void *loan;

	start();
	publisher = lib_publisher(node, &(struct zcp_publisher_options){ .payload_max = 1000, .max_loans = 1 });
	ok(zcp_publisher_loan(publisher, 16, &loan));
	table = table_while(&running, fail_loan, publisher);
	ck_assert_str_eq(text(topic_of(table), "state"), "dry");
	ck_assert(truth(topic_of(table), "attention"));
	n = number(topic_of(table), "failed_loans");
	ck_assert_uint_gt(n, 0);
	json_decref(table);
	/* and what has failed once is not a state for ever */
	n = publisher->writer.header->counts.n_failed_loans;
	table = top_json("0.1");
	ck_assert_str_eq(text(topic_of(table), "state"), "idle");
	ck_assert_uint_eq(number(topic_of(table), "failed_loans"), n);
	json_decref(table);
	stop();
}
END_TEST

START_TEST(blocked)
{
	zcp_subscriber *subscriber;
	zcp_publisher *publisher;
	uint64_t sent = 0;
	json_t *table;

	start();
	publisher = lib_publisher(node, &(struct zcp_publisher_options){ .payload_max = 16, .depth = 6, .reliable = true });
	subscriber = lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	while (lib_send(publisher, sent, 16) >= 0)
		sent++;
	table = top_json("0.1");
	ck_assert_str_eq(text(topic_of(table), "state"), "blocked");
	ck_assert_uint_eq(number(topic_of(table), "published"), sent);
	ck_assert_uint_eq(number(connection_of(topic_of(table), 0), "waiting"), sent);
	ck_assert(!truth(connection_of(topic_of(table), 0), "lossy"));
	ck_assert_uint_eq(number(topic_of(table), "lost") + number(topic_of(table), "overrun"), 0);
	json_decref(table);
	for (uint64_t i = 0; i < sent; i++)
		lib_receive(subscriber);
	expect_empty(subscriber);
	table = top_json("0.1");
	ck_assert_str_eq(text(topic_of(table), "state"), "idle");
	ck_assert_double_eq(real(topic_of(table), "queue_fill"), 0);
	json_decref(table);
	stop();
}
END_TEST

/* A queue that is three quarters full, but from which nothing is lost yet. */
START_TEST(lagging)
{
	zcp_publisher *publisher;
	json_t *table;

	start();
	publisher = lib_publisher(node, &(struct zcp_publisher_options){ .payload_max = 16, .depth = 24 });
	lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	for (uint64_t i = 0; i < 17; i++)
		ok(lib_send(publisher, i, 16));
	table = top_json("0.1");
	ck_assert_str_eq(text(topic_of(table), "state"), "idle");
	json_decref(table);
	ok(lib_send(publisher, 17, 16));
	table = top_json("0.1");
	ck_assert_str_eq(text(topic_of(table), "state"), "lagging");
	ck_assert(truth(topic_of(table), "attention"));
	json_decref(table);
	stop();
}
END_TEST

static void take_latest(void *context)
{
	void **both = context;
	struct zcp_sample sample;

	/* when it is looked at, it is far behind */
	if (zcp_subscriber_latest(both[1], &sample) == 0)
		zcp_sample_release(&sample);
	for (uint64_t i = 0; i < 50; i++)
		ok(lib_send(both[0], i, 16));
}

/* Who wants the newest only is overrun all the time, and loses nothing. */
START_TEST(newest_only)
{
	zcp_subscriber *subscriber;
	zcp_publisher *publisher;
	struct running running;
	json_t *table;

	start();
	publisher = lib_publisher(node, &(struct zcp_publisher_options){ .payload_max = 16, .depth = 6 });
	subscriber = lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	table = table_while(&running, take_latest, (void *[]){ publisher, subscriber });
	ck_assert_str_eq(text(topic_of(table), "state"), "ok");
	ck_assert_uint_eq(number(topic_of(table), "lost"), 0);
	ck_assert(truth(connection_of(topic_of(table), 0), "newest_only"));
	json_decref(table);
	stop();
}
END_TEST

static void other_process(struct stage *stage)
{
	zcp_node *other = lib_node("other");

	lib_subscriber(other, NULL);
	stage_set(stage, 0, 1);
	for (;;)
		pause();
}

START_TEST(stopped)
{
	static const char *const arguments[] = { "--heartbeat-timeout-ms", "1200", NULL };
	struct stage *stage = stage_new();
	json_t *table = NULL, *e;
	pid_t pid;

	lib_router_arguments = arguments;
	lib_router_start();
	pid = process_start(other_process, stage);
	stage_wait(stage, 0, 1);
	node = lib_node("traffic");
	lib_publisher(node, NULL);
	table = top_json("0.05");
	e = endpoint_of(topic_of(table), "subscriber", 0);
	ck_assert_double_eq(real(e, "silent_s"), 0);
	ck_assert_str_eq(text(e, "state"), "ok");
	ck_assert_uint_eq(number(e, "pid"), (uint64_t)pid);
	json_decref(table);
	ck_assert_ok(kill(pid, SIGSTOP));
	/* it is silent for a while, and then unresponsive */
	ck_assert_within(({ table = top_json("0.05"); e = endpoint_of(topic_of(table), "subscriber", 0);
			    bool done = !strcmp(text(e, "state"), "unresponsive") && real(e, "silent_s") >= 1.2;
			    json_decref(table); done; }), DEADLINE_MS);
	table = top_json("0.05");
	ck_assert_str_eq(text(topic_of(table), "state"), "unresponsive");
	ck_assert(truth(topic_of(table), "attention"));
	ck_assert_double_ge(real(topic_of(table), "silent_s"), 1.2);
	ck_assert_double_lt(real(topic_of(table), "silent_s"), 3600);
	json_decref(table);
	ck_assert_ok(kill(pid, SIGCONT));
	ck_assert_within(({ table = top_json("0.05"); e = endpoint_of(topic_of(table), "subscriber", 0);
			    bool done = !strcmp(text(e, "state"), "ok") && real(e, "silent_s") == 0;
			    json_decref(table); done; }), DEADLINE_MS);
	process_kill(pid);
	stop();
}
END_TEST

/* ---- other kinds ------------------------------------------------------------------------------------------------- */

static void answer_all(zcp_server *server)
{
	struct zcp_request request;

	while (zcp_server_take(server, &request) == 0) {
		ok(zcp_request_reply(&request, "answer", 6));
		zcp_request_release(&request);
	}
}

START_TEST(calls_and_events)
{
	struct zcp_response response;
	zcp_notifier *notifier;
	zcp_listener *listener;
	zcp_client *client;
	zcp_server *server;
	json_t *table, *topic;
	uint64_t id;

	start();
	ok(zcp_server_open(&server, node, &lib_topic, NULL));
	ok(zcp_client_open(&client, node, &lib_topic, NULL));
	ok(zcp_notifier_open(&notifier, node, &lib_topic, NULL));
	ok(zcp_listener_open(&listener, node, &lib_topic, NULL));
	lib_publisher(node, NULL);
	for (int i = 0; i < 20; i++) {
		ok(zcp_client_send(client, "question", 8, &id));
		ok(zcp_server_wait(server, DEADLINE_MS * 1000000ll));
		answer_all(server);
		ck_assert_within(zcp_client_take(client, &response) == 0, DEADLINE_MS);
		zcp_response_release(&response);
	}
	/* that there is no more is what makes it say how far it is */
	ck_assert_int_eq(zcp_client_take(client, &response), -EAGAIN);
	for (int i = 0; i < 7; i++)
		ok(zcp_notifier_notify(notifier, 3));

	table = top_json("0.1");
	ck_assert_uint_eq(json_array_size(member(table, "topics")), 3);
	topic = find_topic(table, EVENT, "call");
	ck_assert_ptr_nonnull(topic);
	ck_assert_uint_eq(number(topic, "publishers"), 1);
	ck_assert_uint_eq(number(topic, "subscribers"), 1);
	ck_assert_uint_eq(number(topic, "published"), 20);
	ck_assert_uint_eq(number(topic, "received"), 20);
	ck_assert_uint_eq(number(endpoint_of(topic, "requests", 0), "published"), 20);
	ck_assert_uint_eq(number(endpoint_of(topic, "responses", 0), "published"), 20);
	ck_assert_uint_eq(number(endpoint_of(topic, "server", 0), "received"), 20);
	ck_assert_uint_eq(number(endpoint_of(topic, "client", 0), "received"), 20);
	topic = find_topic(table, EVENT, "events");
	ck_assert_ptr_nonnull(topic);
	ck_assert_uint_eq(number(endpoint_of(topic, "notifier", 0), "published"), 7);
	ck_assert_str_eq(text(endpoint_of(topic, "listener", 0), "state"), "ok");
	ck_assert_uint_eq(number(topic, "lost") + number(topic, "held"), 0);
	json_decref(table);
	zcp_client_close(client);
	zcp_server_close(server);
	zcp_listener_close(listener);
	zcp_notifier_close(notifier);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zcp-top");
	TCase *numbers = add_test_case(suite, "numbers", 60), *states = add_test_case(suite, "states", 60);

	tcase_add_loop_test(numbers, received_and_lost, 0, 2);
	tcase_add_test(numbers, held_and_pools);
	tcase_add_test(numbers, rates);
	tcase_add_test(numbers, calls_and_events);
	tcase_add_test(states, dry);
	tcase_add_test(states, blocked);
	tcase_add_test(states, lagging);
	tcase_add_test(states, newest_only);
	tcase_add_test(states, stopped);
	return run_suite(suite);
}
