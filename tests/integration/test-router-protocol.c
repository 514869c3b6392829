/* SPDX-License-Identifier: MIT */
/*
 * What the router says to clients that break the rules. Each bad message comes from a client of its
 * own; afterwards the router lives, an innocent client is served, and the router's descriptors are
 * back to what they were.
 */

#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/name.h"

static struct test_router router;
static struct test_node innocent, node;
static struct wire_endpoint_open open_request;
static unsigned int n_topics;

/* pass-rights: else the kernel refuses descriptors before the router sees them (Linux 6.16). */
static void start(int i)
{
	router_start(&router, i, "--pass-rights", NULL);
	node_join(&innocent, &router, "innocent");
}

/*
 * The innocent client is served. The refused request at the end is a round trip: the router has
 * closed the endpoint by then.
 */
static void expect_served(void)
{
	struct test_endpoint endpoint;
	char topic[32];

	snprintf(topic, sizeof(topic), "t%u", n_topics++);
	subscriber_fill(&open_request, 5, topic, 4);
	endpoint_ready(&endpoint, innocent.fd, &open_request);
	endpoint_close(&endpoint, innocent.fd);
	open_request.max_held = 0;
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 5, -EINVAL, "max_held");
}

static void stop(void)
{
	expect_served();
	node_drop(&innocent);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

/* @bytes as the first message of a client end in @error and the end of file. */
static void expect_violation(int fd, const void *bytes, size_t n_bytes, int error)
{
	int r = client_try_send(fd, bytes, n_bytes, NULL, 0);

	ck_assert_msg(r == 0, "cannot send: %s", strerror(-r));
	ck_assert_int_eq(client_expect_end(fd), error);
}

START_TEST(bad_lengths)
{
	static const size_t lengths[] = { 1, 4, 15, 16, 20, 127, 129, 1000, 1024, 1025, 4096, 60000 };
	static unsigned char bytes[60000];
	struct wire_hello hello;

	start(_i);
	hello_fill(&hello, 1, "n");
	memcpy(bytes, &hello, sizeof(hello));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int fd = client_connect(&router);

		expect_violation(fd, bytes, lengths[i], lengths[i] > WIRE_MESSAGE_MAX ? -EMSGSIZE : -EPROTO);
		fd_close(fd);
		expect_served();
	}
	/* An empty datagram looks like the end of the file; it is the end of that client. */
	{
		int fd = client_connect(&router);

		client_try_send(fd, "", 0, NULL, 0);
		client_expect_end(fd);
		fd_close(fd);
	}
	stop();
}
END_TEST

START_TEST(bad_headers)
{
	static const uint16_t types[] = { 0, 7, 31, WIRE_WELCOME, WIRE_ENDPOINT_OPENED, WIRE_LANE_ADDED, WIRE_ERROR, 41, 65535 };
	union wire_message message;
	struct wire_hello hello;
	int fd;

	start(_i);
	hello_fill(&hello, 9, "n");
	hello.header.magic ^= 1;
	fd = client_connect(&router);
	expect_violation(fd, &hello, sizeof(hello), -EPROTO);
	fd_close(fd);

	hello_fill(&hello, 9, "n");
	hello.header.version = 77;
	fd = client_connect(&router);
	client_send(fd, &hello.header);
	client_expect_error(fd, 9, -EPROTONOSUPPORT, "version 77");
	ck_assert_int_eq(client_expect_end(fd), 0);
	fd_close(fd);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memset(&message, 0, sizeof(message));
		wire_init(&message.header, (enum wire_type)types[i], 1);
		message.header.type = types[i];
		if (!message.header.size)
			message.header.size = 64;
		/* In each state. */
		fd = client_connect(&router);
		expect_violation(fd, &message, message.header.size, -EPROTO);
		fd_close(fd);
		node_join(&node, &router, "joined");
		expect_violation(node.fd, &message, message.header.size, -EPROTO);
		node_drop(&node);
		expect_served();
	}

	hello_fill(&hello, 0, "n");
	fd = client_connect(&router);
	expect_violation(fd, &hello, sizeof(hello), -EPROTO);
	fd_close(fd);
	hello_fill(&hello, 1, "n");
	hello.reserved = 1;
	fd = client_connect(&router);
	expect_violation(fd, &hello, sizeof(hello), -EPROTO);
	fd_close(fd);
	hello_fill(&hello, 1, "n");
	hello.flags = 1u << 31;
	fd = client_connect(&router);
	expect_violation(fd, &hello, sizeof(hello), -EPROTO);
	fd_close(fd);
	stop();
}
END_TEST

START_TEST(out_of_order)
{
	static const enum wire_type types[] = { WIRE_SEGMENT_MAPPED, WIRE_ENDPOINT_OPEN, WIRE_ENDPOINT_CLOSE, WIRE_LANE_CHOSEN, WIRE_GOODBYE };
	union wire_message message;
	struct wire_hello hello;
	int fd;

	start(_i);
	hello_fill(&hello, 1, "n");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memset(&message, 0, sizeof(message));
		wire_init(&message.header, types[i], 1);
		/* before HELLO */
		fd = client_connect(&router);
		expect_violation(fd, &message, message.header.size, -EPROTO);
		fd_close(fd);
		/* before the node page is mapped; WELCOME comes first, then the error */
		fd = client_connect(&router);
		client_send(fd, &hello.header);
		client_send(fd, &message.header);
		ck_assert_int_eq(client_expect_end(fd), types[i] == WIRE_GOODBYE ? 0 : -EPROTO);
		fd_close(fd);
		expect_served();
	}
	/* HELLO twice */
	node_join(&node, &router, "n");
	expect_violation(node.fd, &hello, sizeof(hello), -EPROTO);
	node_drop(&node);
	stop();
}
END_TEST

/* Names of things that are not the client's, or not at all. */
/* A request without a number has no answer that could be told from others. */
START_TEST(requests_without_a_number)
{
	static const uint16_t types[] = { WIRE_ENDPOINT_OPEN, WIRE_SEND, WIRE_WATCH_OPEN, WIRE_SEGMENT_GROW, WIRE_SEGMENT_LOOK, WIRE_FD_TAKE };
	union wire_message message;

	start(_i);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memset(&message, 0, sizeof(message));
		wire_init(&message.header, (enum wire_type)types[i], 0);
		node_join(&node, &router, "n");
		expect_violation(node.fd, &message, message.header.size, -EPROTO);
		node_drop(&node);
	}
	stop();
}
END_TEST

START_TEST(wrong_ids)
{
	struct test_endpoint mine, theirs;
	struct wire_endpoint_close close_message = { 0 };
	struct wire_segment_mapped mapped = { 0 };
	struct wire_lane_chosen chosen = { 0 };
	union wire_message message;
	struct wire_writer_added added;

	start(_i);
	publisher_fill(&open_request, 3, "theirs", 4);
	endpoint_ready(&theirs, innocent.fd, &open_request);

	wire_init(&close_message.header, WIRE_ENDPOINT_CLOSE, 1);
	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 3);
	wire_init(&chosen.header, WIRE_LANE_CHOSEN, 0);

	/* somebody else's endpoint; none; never given out */
	for (int i = 0; i < 3; i++) {
		node_join(&node, &router, "n");
		close_message.endpoint = i == 0 ? theirs.id : i == 1 ? 0 : UINT64_MAX;
		expect_violation(node.fd, &close_message, sizeof(close_message), -EPROTO);
		node_drop(&node);
	}
	/* somebody else's segment; the own one twice; the own one under another request; none */
	for (int i = 0; i < 4; i++) {
		node_join(&node, &router, "n");
		subscriber_fill(&open_request, 4, "mine", 4);
		endpoint_open(&mine, node.fd, &open_request);
		mapped.segment = i == 0 ? theirs.segment_id : i == 3 ? 0 : mine.segment_id;
		mapped.header.request = i == 2 ? 5 : 4;
		if (i == 1) {
			endpoint_mapped(&mine, node.fd);
			client_expect(node.fd, WIRE_ENDPOINT_READY, &message, NULL);
		}
		expect_violation(node.fd, &mapped, sizeof(mapped), -EPROTO);
		endpoint_forget(&mine);
		node_drop(&node);
	}
	/* lanes: out of range, twice, of a match that is not there, of another endpoint */
	for (int i = 0; i < 5; i++) {
		node_join(&node, &router, "n");
		subscriber_fill(&open_request, 4, "theirs", 4);
		endpoint_open(&mine, node.fd, &open_request);
		endpoint_mapped(&mine, node.fd);
		client_expect(node.fd, WIRE_WRITER_ADDED, &message, NULL);
		added = message.writer_added;
		client_expect(node.fd, WIRE_ENDPOINT_READY, &message, NULL);
		chosen.match = i == 2 ? added.match + 1000 : added.match;
		chosen.endpoint = i == 3 ? added.endpoint + 1 : added.endpoint;
		chosen.lane = i == 0 ? 4 : i == 4 ? INT32_MAX : 3;
		if (i == 1) {
			lane_choose(node.fd, &added, 3);
			client_expect(innocent.fd, WIRE_LANE_ADDED, &message, NULL);
		}
		expect_violation(node.fd, &chosen, sizeof(chosen), -EPROTO);
		client_expect(innocent.fd, WIRE_LANE_GONE, &message, NULL);
		ck_assert_uint_eq(message.gone.cause, WIRE_CAUSE_EVICTED);
		endpoint_forget(&mine);
		node_drop(&node);
	}
	/* somebody answers for another subscriber */
	{
		struct test_node spy;

		node_join(&node, &router, "n");
		node_join(&spy, &router, "spy");
		subscriber_fill(&open_request, 4, "theirs", 4);
		endpoint_open(&mine, node.fd, &open_request);
		endpoint_mapped(&mine, node.fd);
		client_expect(node.fd, WIRE_WRITER_ADDED, &message, NULL);
		added = message.writer_added;
		chosen.match = added.match;
		chosen.endpoint = added.endpoint;
		chosen.lane = 0;
		expect_violation(spy.fd, &chosen, sizeof(chosen), -EPROTO);
		lane_choose(node.fd, &added, 2);
		client_expect(innocent.fd, WIRE_LANE_ADDED, &message, NULL);
		ck_assert_uint_eq(message.lane_added.lane, 2);
		node_drop(&spy);
		node_drop(&node);
		client_expect(innocent.fd, WIRE_LANE_GONE, &message, NULL);
		endpoint_forget(&mine);
	}
	endpoint_forget(&theirs);
	stop();
}
END_TEST

/*
 * Segment ids can be guessed: SEGMENT_MAPPED that runs ahead of the answer is served, and what it
 * hands out is what belongs to it.
 */
START_TEST(guessed_segment)
{
	struct wire_segment_mapped mapped = { 0 };
	union wire_message message;
	struct test_endpoint probe;
	int fds[WIRE_FDS_MAX];

	start(_i);
	node_join(&node, &router, "n");
	subscriber_fill(&open_request, 4, "probe", 4);
	endpoint_ready(&probe, node.fd, &open_request);
	for (unsigned int k = 1; k <= 50; k++) {
		subscriber_fill(&open_request, 4 + k, "mine", 4);
		client_send(node.fd, &open_request.header);
		wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 4 + k);
		mapped.segment = probe.segment_id + k;
		client_send(node.fd, &mapped.header);
	}
	for (unsigned int k = 1; k <= 50; k++) {
		client_expect(node.fd, WIRE_ENDPOINT_OPENED, &message, fds);
		ck_assert_uint_eq(message.endpoint_opened.segment, probe.segment_id + k);
		ck_assert_int_eq(lseek(fds[0], 0, SEEK_END), (off_t)message.endpoint_opened.segment_bytes);
		ck_assert_int_eq(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDWR);
		close_fds(fds);
		client_expect(node.fd, WIRE_ENDPOINT_READY, &message, NULL);
	}
	endpoint_forget(&probe);
	node_drop(&node);
	stop();
}
END_TEST

/*
 * Descriptors in a message that must have none: the message is refused and all are closed, however
 * many.
 */
START_TEST(unexpected_descriptors)
{
	static const unsigned int counts[] = { 1, 2, 3, 4, 5, 20, 60 };
	struct wire_hello hello;
	unsigned int before;
	int fds[64], fd;

	start(_i);
	expect_served();
	before = router_fds(&router);
	hello_fill(&hello, 1, "n");
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ck_assert_ok(fds[i]);
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		/*
		 * as the first message, in the middle, with an empty message, and one the size of a
		 * message that may have them
		 */
		fd = client_connect(&router);
		ck_assert_int_eq(client_try_send(fd, &hello, sizeof(hello), fds, counts[i]), 0);
		ck_assert_int_eq(client_expect_end(fd), -EPROTO);
		fd_close(fd);
		node_join(&node, &router, "n");
		subscriber_fill(&open_request, 2, "t", 4);
		ck_assert_int_eq(client_try_send(node.fd, &open_request, sizeof(open_request), fds, counts[i]), 0);
		ck_assert_int_eq(client_expect_end(node.fd), -EPROTO);
		node_drop(&node);
		fd = client_connect(&router);
		client_try_send(fd, "", 0, fds, counts[i]);
		client_expect_end(fd);
		fd_close(fd);
		fd = client_connect(&router);
		wire_init(&node.welcome.header, WIRE_WELCOME, 1);
		ck_assert_int_eq(client_try_send(fd, &node.welcome, sizeof(node.welcome), fds, counts[i]), 0);
		ck_assert_int_eq(client_expect_end(fd), -EPROTO);
		fd_close(fd);
		ck_assert_within(router_fds(&router) == before, DEADLINE_MS);
		expect_served();
	}
	/* Sent and left alone: they arrive with the end. */
	for (int i = 0; i < 20; i++) {
		fd = client_connect(&router);
		client_try_send(fd, "x", 1, fds, 60);
		client_try_send(fd, "x", 1, fds, 60);
		fd_close(fd);
	}
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fd_close(fds[i]);
	stop();
}
END_TEST

/* Where the kernel can refuse them for us, it does; else the router closes them. */
START_TEST(descriptors_are_refused_by_the_kernel)
{
	struct wire_hello hello;
	int fd, r;

	router_start(&router, _i, NULL);
	node_join(&innocent, &router, "innocent");
	node_join(&node, &router, "n");
	hello_fill(&hello, 1, "n");
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	subscriber_fill(&open_request, 2, "t", 4);
	expect_served();
	r = client_try_send(node.fd, &open_request, sizeof(open_request), &fd, 1);
	ck_assert(r == 0 || r == -EPERM);
	if (r == 0)
		ck_assert_int_eq(client_expect_end(node.fd), -EPROTO);
	fd_close(fd);
	node_drop(&node);
	stop();
}
END_TEST

START_TEST(bad_names)
{
	static const char *const bad[] = {
		"", "a/b", "tab\there", "bell\a", "del\x7f", "c1\xc2\x9b", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "cut\xe2\x82",
		"101 bytes: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	};
	struct wire_hello hello;
	int fd;

	start(_i);
	fd = client_connect(&router);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *fields[] = { open_request.topic.service, open_request.topic.instance, open_request.topic.event };

		/* The connection stays, and a good name is welcome afterwards. */
		hello_fill(&hello, 1, "n");
		memset(hello.name, 0, sizeof(hello.name));
		memcpy(hello.name, bad[i], strlen(bad[i]));
		client_send(fd, &hello.header);
		client_expect_error(fd, 1, -EINVAL, "node name");

		for (size_t k = 0; k < 3; k++) {
			subscriber_fill(&open_request, 6, "t", 4);
			memset(fields[k], 0, WIRE_NAME_BYTES);
			memcpy(fields[k], bad[i], strlen(bad[i]));
			client_send(innocent.fd, &open_request.header);
			client_expect_error(innocent.fd, 6, -EINVAL, k == 0 ? "service name" : k == 1 ? "instance name" : "event name");
		}
	}
	/* no NUL at all, and bytes behind it */
	hello_fill(&hello, 1, "n");
	memset(hello.name, 'x', sizeof(hello.name));
	client_send(fd, &hello.header);
	client_expect_error(fd, 1, -EINVAL, "node name");
	hello_fill(&hello, 1, "n");
	hello.name[50] = 'x';
	client_send(fd, &hello.header);
	client_expect_error(fd, 1, -EINVAL, "node name");
	/* a slash in a type's name is fine, a control character is not */
	subscriber_fill(&open_request, 6, "t", 4);
	name_to_field(open_request.type.name, WIRE_NAME_BYTES, "a/b\033[2J");
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "type name");

	hello_fill(&hello, 1, "gr\xc3\xbc\xc3\x9f dich: ok");
	client_send(fd, &hello.header);
	{
		union wire_message message;

		client_expect(fd, WIRE_WELCOME, &message, NULL);
	}
	fd_close(fd);
	stop();
}
END_TEST

START_TEST(bad_endpoints)
{
	start(_i);
	publisher_fill(&open_request, 6, "t", 4);
	open_request.geometry.segment_bytes += 4096;
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "geometry");
	memset(&open_request.geometry, 0xff, sizeof(open_request.geometry));
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "geometry");
	publisher_fill(&open_request, 6, "t", 4);
	open_request.flags = WIRE_ENDPOINT_LOSSY;
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "lossy");
	subscriber_fill(&open_request, 6, "t", 0);
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "lanes");
	subscriber_fill(&open_request, 6, "t", 4097);
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "lanes");
	subscriber_fill(&open_request, 6, "t", 4);
	open_request.max_held = 0;
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "max_held");
	subscriber_fill(&open_request, 6, "t", 4);
	open_request.geometry.ring_slots = 1;
	client_send(innocent.fd, &open_request.header);
	client_expect_error(innocent.fd, 6, -EINVAL, "geometry");

	node_join(&node, &router, "n");
	subscriber_fill(&open_request, 6, "t", 4);
	open_request.kind = 3;
	expect_violation(node.fd, &open_request, sizeof(open_request), -EPROTO);
	node_drop(&node);
	node_join(&node, &router, "n");
	subscriber_fill(&open_request, 6, "t", 4);
	open_request.flags = 1u << 7;
	expect_violation(node.fd, &open_request, sizeof(open_request), -EPROTO);
	node_drop(&node);
	stop();
}
END_TEST

/*
 * Random bytes behind a good header, in a joined node and a new one. Whatever comes of it, the
 * router lives.
 */
START_TEST(random_messages)
{
	union wire_message message;
	unsigned int n_rounds = 300;

	start(_i);
	for (unsigned int k = 0; k < n_rounds; k++) {
		static const enum wire_type types[] = { WIRE_HELLO, WIRE_SEGMENT_MAPPED, WIRE_ENDPOINT_OPEN, WIRE_ENDPOINT_CLOSE,
							WIRE_LANE_CHOSEN, WIRE_GOODBYE };
		bool joined = k & 1;
		int fd;

		if (joined) {
			node_join(&node, &router, "n");
			fd = node.fd;
		} else {
			fd = client_connect(&router);
		}
		for (unsigned int m = 0; m < 6; m++) {
			ck_assert_ok(getrandom(&message, sizeof(message), 0));
			wire_init(&message.header, types[(k + m) % 6], 1 + m);
			if (k & 2) {
				/* mostly zero, so that more checks are passed */
				memset(message.bytes + sizeof(message.header), 0, sizeof(message) - sizeof(message.header));
				message.bytes[16 + k % (sizeof(message) - 16)] = (unsigned char)k;
			}
			if (client_try_send(fd, &message, message.header.size, NULL, 0) < 0)
				break;
		}
		if (joined)
			node_drop(&node);
		else
			fd_close(fd);
	}
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-protocol");
	TCase *wire = add_test_case(suite, "wire", 60);
	TCase *ids = add_test_case(suite, "ids", 60);
	TCase *descriptors = add_test_case(suite, "descriptors", 60);
	TCase *requests = add_test_case(suite, "requests", 60);

	tcase_add_loop_test(wire, bad_lengths, 0, N_LOOPS);
	tcase_add_loop_test(wire, bad_headers, 0, N_LOOPS);
	tcase_add_loop_test(wire, out_of_order, 0, N_LOOPS);
	tcase_add_loop_test(wire, random_messages, 0, N_LOOPS);
	tcase_add_loop_test(ids, requests_without_a_number, 0, N_LOOPS);
	tcase_add_loop_test(ids, wrong_ids, 0, N_LOOPS);
	tcase_add_loop_test(ids, guessed_segment, 0, N_LOOPS);
	tcase_add_loop_test(descriptors, unexpected_descriptors, 0, N_LOOPS);
	tcase_add_loop_test(descriptors, descriptors_are_refused_by_the_kernel, 0, N_LOOPS);
	tcase_add_loop_test(requests, bad_names, 0, N_LOOPS);
	tcase_add_loop_test(requests, bad_endpoints, 0, N_LOOPS);
	return run_suite(suite);
}
