/* SPDX-License-Identifier: MIT */
/*
 * SEND on the wire: what the router answers, and what a hostile node can do with half a message. src/router/send.c. How the
 * library uses it is in test-lib-send.c.
 */
#include "router-helper.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/name.h"

static struct test_router router;
static struct test_node node;
static union wire_message m;

static void start(int loop)
{
	router_start(&router, loop, "--max-nodes-per-uid", "400", NULL);
	node_join(&node, &router, "sender");
}

/* The relay goes by itself some seconds after it was used, or here with its router. */
static void stop(void)
{
	node_drop(&node);
	router_stop(&router, SIGTERM);
}

static void fill(struct wire_send *send, uint32_t request, uint32_t size)
{
	memset(send, 0, sizeof(*send));
	wire_init(&send->header, WIRE_SEND, request);
	send->size = size;
	name_to_field(send->topic.service, sizeof(send->topic.service), "s");
	name_to_field(send->topic.instance, sizeof(send->topic.instance), "i");
	name_to_field(send->topic.event, sizeof(send->topic.event), "e");
	memset(send->bytes, 'x', size < sizeof(send->bytes) ? size : sizeof(send->bytes));
}

static void begin(int fd, uint32_t request, uint32_t size)
{
	struct wire_send send;

	fill(&send, request, size);
	client_send(fd, &send.header);
}

/* The part that begins at byte @at of @size. */
static void fill_more(struct wire_send_more *more, uint32_t request, size_t at, size_t size)
{
	size_t n = size - at < sizeof(more->bytes) ? size - at : sizeof(more->bytes);

	memset(more, 0, sizeof(*more));
	wire_init(&more->header, WIRE_SEND_MORE, request);
	memset(more->bytes, 'x', n);
}

static void go_on(int fd, uint32_t request, size_t size)
{
	struct wire_send_more more;

	for (size_t at = WIRE_SEND_BYTES; at < size; at += sizeof(more.bytes)) {
		fill_more(&more, request, at, size);
		client_send(fd, &more.header);
	}
}

/* A request that is refused, when the router has seen what came before on this connection. */
static void round_trip(int fd)
{
	struct wire_endpoint_open open;

	subscriber_fill(&open, 99, "t", 0);
	client_send(fd, &open.header);
	client_expect_error(fd, 99, -EINVAL, "lanes");
}

static void expect_sent(int fd, uint32_t request, uint32_t n_subscribers)
{
	client_expect(fd, WIRE_SENT, &m, NULL);
	ck_assert_uint_eq(m.header.request, request);
	ck_assert_uint_eq(m.sent.n_subscribers, n_subscribers);
	ck_assert_uint_eq(m.sent.reserved, 0);
}

/* --- what is fine --------------------------------------------------------------------------------- */

START_TEST(sizes)
{
	static const uint32_t size[] = { 0, 1, WIRE_SEND_BYTES, WIRE_SEND_BYTES + 1, WIRE_SEND_BYTES + WIRE_SEND_MORE_BYTES,
					 WIRE_SEND_BYTES + WIRE_SEND_MORE_BYTES + 1, WIRE_SEND_MAX };

	start(_i);
	for (uint32_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		begin(node.fd, i + 1, size[i]);
		go_on(node.fd, i + 1, size[i]);
		expect_sent(node.fd, i + 1, 0);
	}
	/* several at once are answered in order */
	for (uint32_t i = 0; i < 100; i++)
		begin(node.fd, 1000 + i, 10);
	for (uint32_t i = 0; i < 100; i++)
		expect_sent(node.fd, 1000 + i, 0);
	stop();
}
END_TEST

/* A subscriber that has chosen its lane is counted; one that never chooses is not, and delays nobody for ever. */
START_TEST(counts)
{
	struct wire_endpoint_open open;
	struct wire_writer_added added;
	struct test_endpoint endpoint;
	int fds[WIRE_FDS_MAX];
	struct test_node other;
	uint64_t since_ns;

	start(_i);
	node_join(&other, &router, "reader");
	subscriber_fill(&open, 1, "e", 4);
	name_to_field(open.topic.service, sizeof(open.topic.service), "s");
	name_to_field(open.topic.instance, sizeof(open.topic.instance), "i");
	endpoint_ready(&endpoint, other.fd, &open);
	begin(node.fd, 1, 10);
	client_expect(other.fd, WIRE_WRITER_ADDED, &m, fds);
	close_fds(fds);
	lane_choose(other.fd, &m.writer_added, 0);
	expect_sent(node.fd, 1, 1);
	begin(node.fd, 2, 10);
	expect_sent(node.fd, 2, 1);
	endpoint_close(&endpoint, other.fd);

	/* the relay's publisher is there now */
	endpoint_open(&endpoint, other.fd, &open);
	endpoint_mapped(&endpoint, other.fd);
	client_expect(other.fd, WIRE_WRITER_ADDED, &m, fds);
	close_fds(fds);
	added = m.writer_added;
	client_expect(other.fd, WIRE_ENDPOINT_READY, &m, NULL);
	begin(node.fd, 3, 10);
	expect_sent(node.fd, 3, 0);
	/* who chooses in time is waited for */
	since_ns = clock_now_ns();
	begin(node.fd, 4, 10);
	client_has_message(node.fd, 50);
	lane_choose(other.fd, &added, 0);
	client_expect(node.fd, WIRE_SENT, &m, NULL);
	ck_assert(m.sent.n_subscribers == 1 || clock_now_ns() - since_ns >= 1000000000);
	endpoint_forget(&endpoint);
	node_leave(&other);
	stop();
}
END_TEST

/* --- what is refused ------------------------------------------------------------------------------ */

/* The parts that follow are passed over, and the next message is fine. */
START_TEST(topics)
{
	static const char *const bad[] = { "", "a/b", "a\x01", "\xff" };
	struct wire_send send;
	uint32_t request = 0;

	start(_i);
	for (int part = 0; part < 3; part++) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			char *field = part == 0 ? send.topic.service : part == 1 ? send.topic.instance : send.topic.event;

			fill(&send, ++request, 5000);
			memset(field, 0, WIRE_NAME_BYTES);
			memcpy(field, bad[i], strlen(bad[i]));
			client_send(node.fd, &send.header);
			client_expect_error(node.fd, request, -EINVAL, part == 0 ? "service" : part == 1 ? "instance" : "event");
			go_on(node.fd, request, 5000);
			begin(node.fd, ++request, 5000);
			go_on(node.fd, request, 5000);
			expect_sent(node.fd, request, 0);
		}
	}
	/* not terminated, and garbage behind the end */
	fill(&send, 100, 1);
	memset(send.topic.event, 'x', WIRE_NAME_BYTES);
	client_send(node.fd, &send.header);
	client_expect_error(node.fd, 100, -EINVAL, "event");
	fill(&send, 101, 1);
	send.topic.event[50] = 'x';
	client_send(node.fd, &send.header);
	client_expect_error(node.fd, 101, -EINVAL, "event");
	stop();
}
END_TEST

/* Whatever many nodes leave unfinished: no more than so much of a user's. It goes with them. */
START_TEST(quota)
{
	enum { N = 256 };
	static struct test_node others[N];
	struct rlimit limit;

	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = limit.rlim_max;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_max < 2000)
		skip_test("RLIMIT_NOFILE is too small");
	start(_i);
	for (int i = 0; i < N; i++) {
		node_join(&others[i], &router, "other");
		begin(others[i].fd, 1, WIRE_SEND_MAX);
		round_trip(others[i].fd);
	}
	begin(node.fd, 1, 5000);
	client_expect_error(node.fd, 1, -EDQUOT, "256 messages under way");
	go_on(node.fd, 1, 5000);
	go_on(others[0].fd, 1, WIRE_SEND_MAX);
	expect_sent(others[0].fd, 1, 0);
	begin(node.fd, 2, 5000);
	go_on(node.fd, 2, 5000);
	expect_sent(node.fd, 2, 0);
	for (int i = 0; i < N; i++)
		node_leave(&others[i]);
	node_leave(&node);
	router_expect_base(&router);
	node_join(&node, &router, "sender");
	node_join(&others[0], &router, "other");
	begin(node.fd, 1, 5000);
	round_trip(node.fd);
	begin(others[0].fd, 1, 10);
	expect_sent(others[0].fd, 1, 0);
	node_leave(&others[0]);
	stop();
}
END_TEST

/* --- what breaks the protocol --------------------------------------------------------------------- */

static void padded_begin(void)
{
	struct wire_send send;

	fill(&send, 7, 10);
	send.bytes[10] = 1;
	client_send(node.fd, &send.header);
}

static void padded_end(void)
{
	struct wire_send_more more;

	begin(node.fd, 7, WIRE_SEND_BYTES + 10);
	fill_more(&more, 7, WIRE_SEND_BYTES, WIRE_SEND_BYTES + 10);
	more.bytes[sizeof(more.bytes) - 1] = 1;
	client_send(node.fd, &more.header);
}

static void padded_refused(void)
{
	struct wire_send send;

	fill(&send, 7, 10);
	send.topic.event[0] = '/';
	send.bytes[10] = 1;
	client_send(node.fd, &send.header);
}

static void reserved(void)
{
	struct wire_send send;

	fill(&send, 7, 10);
	send.reserved = 1;
	client_send(node.fd, &send.header);
}

static void no_request(void)
{
	begin(node.fd, 0, 10);
}

static void too_large(void)
{
	begin(node.fd, 7, WIRE_SEND_MAX + 1);
}

static void far_too_large(void)
{
	begin(node.fd, 7, UINT32_MAX);
}

static void more_of_nothing(void)
{
	struct wire_send_more more;

	fill_more(&more, 7, 0, 10);
	client_send(node.fd, &more.header);
}

static void more_than_enough(void)
{
	begin(node.fd, 7, 10);
	expect_sent(node.fd, 7, 0);
	more_of_nothing();
}

static void more_of_another(void)
{
	struct wire_send_more more;

	begin(node.fd, 7, 5000);
	fill_more(&more, 8, WIRE_SEND_BYTES, 5000);
	client_send(node.fd, &more.header);
}

static void two_at_once(void)
{
	begin(node.fd, 7, 5000);
	begin(node.fd, 8, 10);
}

static void with_descriptor(void)
{
	struct wire_send send;

	/* refused by the kernel where it can */
	fill(&send, 7, 10);
	if (client_try_send(node.fd, &send, sizeof(send), &(int){ 0 }, 1) == -EPERM)
		more_of_nothing();
}

static void a_routers_word(void)
{
	struct wire_sent sent = { .n_subscribers = 1 };

	wire_init(&sent.header, WIRE_SENT, 7);
	client_send(node.fd, &sent.header);
}

static const struct {
	void (*say)(void);
	int error;
} violations[] = {
	{ padded_begin, -EPROTO },
	{ padded_end, -EPROTO },
	{ padded_refused, -EPROTO },
	{ reserved, -EPROTO },
	{ no_request, -EPROTO },
	{ too_large, -EMSGSIZE },
	{ far_too_large, -EMSGSIZE },
	{ more_of_nothing, -EPROTO },
	{ more_than_enough, -EPROTO },
	{ more_of_another, -EPROTO },
	{ two_at_once, -EPROTO },
	{ with_descriptor, -EPROTO },
	{ a_routers_word, -EPROTO },
};
#define N_VIOLATIONS ((int)(sizeof(violations) / sizeof(violations[0])))

/* Others do not notice. */
START_TEST(breaks_the_protocol)
{
	struct test_node other;

	start(_i / N_VIOLATIONS);
	node_join(&other, &router, "other");
	violations[_i % N_VIOLATIONS].say();
	ck_assert_int_eq(client_expect_end(node.fd), violations[_i % N_VIOLATIONS].error);
	begin(other.fd, 1, 100);
	expect_sent(other.fd, 1, 0);
	node_leave(&other);
	stop();
}
END_TEST

START_TEST(before_hello)
{
	int fd;

	start(_i);
	fd = client_connect(&router);
	begin(fd, 1, 10);
	ck_assert_int_eq(client_expect_end(fd), -EPROTO);
	close(fd);
	stop();
}
END_TEST

/* --- leaving -------------------------------------------------------------------------------------- */

/* With half a message, with a whole one that is not answered yet; the router ends with both. */
START_TEST(leaves_meanwhile)
{
	struct test_node other;

	start(_i);
	for (int i = 0; i < 50; i++) {
		node_join(&other, &router, "other");
		begin(other.fd, 1, 10);
		begin(other.fd, 2, 5000);
		if (i % 2)
			node_leave(&other);
		else
			node_drop(&other);
	}
	begin(node.fd, 1, 100);
	expect_sent(node.fd, 1, 0);
	node_leave(&node);
	router_expect_base(&router);
	node_join(&node, &router, "sender");
	node_join(&other, &router, "other");
	begin(other.fd, 1, 10);
	begin(other.fd, 2, 5000);
	begin(node.fd, 2, 10);
	node_drop(&other);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-send");
	TCase *send = add_test_case(suite, "send", 60);

	tcase_add_loop_test(send, sizes, 0, N_LOOPS);
	tcase_add_loop_test(send, counts, 0, N_LOOPS);
	tcase_add_loop_test(send, topics, 0, N_LOOPS);
	tcase_add_loop_test(send, quota, 0, N_LOOPS);
	tcase_add_loop_test(send, breaks_the_protocol, 0, N_LOOPS * N_VIOLATIONS);
	tcase_add_loop_test(send, before_hello, 0, N_LOOPS);
	tcase_add_loop_test(send, leaves_meanwhile, 0, N_LOOPS);
	return run_suite(suite);
}
