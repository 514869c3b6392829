/* SPDX-License-Identifier: MIT */
/* How endpoints are opened and meet: each sequence at wire level, with the seals at each step. */

#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/geometry.h"
#include "common/directory.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/name.h"

static struct test_router router;
static struct test_node a, b, c;
static struct wire_endpoint_open open_request;
static union wire_message message;
static int fds[WIRE_FDS_MAX];

static void start(int i)
{
	router_start(&router, i, NULL);
	node_join(&a, &router, "a");
	node_join(&b, &router, "b");
	node_join(&c, &router, "c");
}

static void stop(void)
{
	node_drop(&a);
	node_drop(&b);
	node_drop(&c);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

static void open_publisher(struct test_endpoint *endpoint, int fd, const char *topic)
{
	publisher_fill(&open_request, 11, topic, 8);
	endpoint_ready(endpoint, fd, &open_request);
}

static void open_subscriber(struct test_endpoint *endpoint, int fd, const char *topic)
{
	subscriber_fill(&open_request, 12, topic, 8);
	endpoint_ready(endpoint, fd, &open_request);
}

static int seals(int fd)
{
	return fcntl(fd, F_GET_SEALS);
}

/*
 * What a reader gets is fully sealed, read-only, of the announced size, and cannot become writable.
 */
static void expect_reader_segment(int fd, uint64_t bytes)
{
	const void *map;

	ck_assert_int_eq(seals(fd) & MEMFD_SEALS_READER, MEMFD_SEALS_READER);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(memfd_map_reader(fd, bytes, &map), 0);
	ck_assert_int_lt(mprotect((void *)(uintptr_t)map, bytes, PROT_READ | PROT_WRITE), 0);
	munmap((void *)(uintptr_t)map, bytes);
}

/* Both orders of joining; the whole sequence; both ways of leaving. */
START_TEST(subscriber_joins_publisher)
{
	struct test_endpoint publisher, subscriber;
	struct wire_writer_added added;
	uint64_t value = 1;

	start(_i % N_LOOPS);
	publisher_fill(&open_request, 11, "t", 8);
	endpoint_open(&publisher, a.fd, &open_request);
	/* Size sealed, not yet sealed against writing. */
	ck_assert_int_eq(seals(publisher.segment_fd) & MEMFD_SEALS_READER, MEMFD_SEALS_SIZE);
	ck_assert_uint_eq(publisher.bytes, open_request.geometry.segment_bytes);
	memcpy(publisher.memory, "hello", 6);
	endpoint_mapped(&publisher, a.fd);
	client_expect(a.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);
	/* Now nobody can map it for writing any more, its writer included. */
	ck_assert_int_eq(seals(publisher.segment_fd) & MEMFD_SEALS_READER, MEMFD_SEALS_READER);
	ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, publisher.segment_fd, 0), MAP_FAILED);

	subscriber_fill(&open_request, 12, "t", 8);
	endpoint_open(&subscriber, b.fd, &open_request);
	ck_assert_uint_eq(subscriber.bytes, lane_page_bytes(8, 4));
	endpoint_mapped(&subscriber, b.fd);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, fds);	/* before READY */
	added = message.writer_added;
	ck_assert_uint_eq(added.endpoint, subscriber.id);
	ck_assert_uint_eq(added.publisher, publisher.id);
	ck_assert_uint_eq(added.node, a.welcome.node);
	ck_assert_uint_eq(added.segment_bytes, publisher.bytes);
	ck_assert_uint_eq(added.flags, WIRE_MATCH_LOSSY);
	ck_assert_uint_ne(added.match, 0);
	expect_reader_segment(fds[0], publisher.bytes);
	/* The second descriptor is the publisher's doorbell. */
	ck_assert_int_eq(write(fds[1], &value, sizeof(value)), sizeof(value));
	value = 0;
	ck_assert_int_eq(read(publisher.doorbell_fd, &value, sizeof(value)), sizeof(value));
	ck_assert_uint_eq(value, 1);
	close_fds(fds);
	client_expect(b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);

	lane_choose(b.fd, &added, 3);
	client_expect(a.fd, WIRE_LANE_ADDED, &message, fds);
	ck_assert_uint_eq(message.lane_added.endpoint, publisher.id);
	ck_assert_uint_eq(message.lane_added.match, added.match);
	ck_assert_uint_eq(message.lane_added.subscriber, subscriber.id);
	ck_assert_uint_eq(message.lane_added.node, b.welcome.node);
	ck_assert_uint_eq(message.lane_added.segment_bytes, subscriber.bytes);
	ck_assert_uint_eq(message.lane_added.lane, 3);
	ck_assert_uint_eq(message.lane_added.n_lanes, 8);
	ck_assert_uint_eq(message.lane_added.max_held, 4);
	ck_assert_uint_eq(message.lane_added.flags, WIRE_MATCH_LOSSY);
	expect_reader_segment(fds[0], subscriber.bytes);
	close_fds(fds);

	if (_i / N_LOOPS) {
		endpoint_close(&subscriber, b.fd);
		client_expect(a.fd, WIRE_LANE_GONE, &message, NULL);
		ck_assert_uint_eq(message.gone.endpoint, publisher.id);
		ck_assert_uint_eq(message.gone.match, added.match);
		ck_assert_uint_eq(message.gone.cause, WIRE_CAUSE_CLOSED);
		endpoint_forget(&publisher);
	} else {
		endpoint_close(&publisher, a.fd);
		client_expect(b.fd, WIRE_WRITER_GONE, &message, NULL);
		ck_assert_uint_eq(message.gone.endpoint, subscriber.id);
		ck_assert_uint_eq(message.gone.match, added.match);
		ck_assert_uint_eq(message.gone.cause, WIRE_CAUSE_CLOSED);
		endpoint_forget(&subscriber);
	}
	stop();
}
END_TEST

START_TEST(publisher_joins_subscribers)
{
	struct test_endpoint publisher, first, second;
	struct wire_writer_added added[2];

	start(_i);
	open_subscriber(&first, a.fd, "t");
	subscriber_fill(&open_request, 13, "t", 1);
	open_request.flags = WIRE_ENDPOINT_LOSSY;
	endpoint_ready(&second, b.fd, &open_request);
	publisher_fill(&open_request, 14, "t", 8);
	open_request.flags = WIRE_ENDPOINT_RELIABLE;
	endpoint_ready(&publisher, c.fd, &open_request);
	ck_assert_uint_eq(publisher.n_pending, 2);

	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	added[0] = message.writer_added;
	ck_assert_uint_eq(added[0].flags, WIRE_MATCH_FROM_START);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	added[1] = message.writer_added;
	ck_assert_uint_eq(added[1].flags, WIRE_MATCH_FROM_START | WIRE_MATCH_LOSSY);

	/* One takes part, the other cannot map it. */
	lane_choose(a.fd, &added[0], 0);
	client_expect(c.fd, WIRE_LANE_ADDED, &message, NULL);
	ck_assert_uint_eq(message.lane_added.match, added[0].match);
	lane_choose(b.fd, &added[1], -ENOMEM);
	client_expect(c.fd, WIRE_LANE_GONE, &message, NULL);
	ck_assert_uint_eq(message.gone.match, added[1].match);
	ck_assert_uint_eq(message.gone.cause, WIRE_CAUSE_REFUSED);

	endpoint_close(&publisher, c.fd);
	client_expect(a.fd, WIRE_WRITER_GONE, &message, NULL);
	ck_assert_uint_eq(message.gone.match, added[0].match);
	/* A late answer to what is gone is an honest race. */
	lane_choose(b.fd, &added[1], 0);
	lane_choose(a.fd, &added[0], 0);
	open_publisher(&publisher, b.fd, "other");
	endpoint_forget(&publisher);
	endpoint_forget(&first);
	endpoint_forget(&second);
	stop();
}
END_TEST

/* The cause tells how a node left: goodbye, crash, violation. */
START_TEST(cause_of_leaving)
{
	static const uint32_t causes[] = { WIRE_CAUSE_CLOSED, WIRE_CAUSE_LEFT, WIRE_CAUSE_EVICTED, WIRE_CAUSE_CLOSED };
	struct test_endpoint publisher, subscriber;
	struct wire_writer_added added;
	struct wire_goodbye goodbye;
	int how = _i / N_LOOPS;

	start(_i % N_LOOPS);
	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	open_publisher(&publisher, a.fd, "t");
	subscriber_fill(&open_request, 12, "t", 8);
	endpoint_open(&subscriber, b.fd, &open_request);
	endpoint_mapped(&subscriber, b.fd);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	added = message.writer_added;
	lane_choose(b.fd, &added, 0);
	client_expect(a.fd, WIRE_LANE_ADDED, &message, NULL);
	switch (how) {
	case 0:
		client_send(b.fd, &goodbye.header);
		break;
	case 1:
		b.fd = fd_close(b.fd);
		break;
	case 2:
		client_try_send(b.fd, "junk", 4, NULL, 0);
		break;
	case 3:
		/* ENDPOINT_READY is unread: the close raises ECONNRESET in front of the goodbye. */
		client_send(b.fd, &goodbye.header);
		b.fd = fd_close(b.fd);
		break;
	}
	client_expect(a.fd, WIRE_LANE_GONE, &message, NULL);
	ck_assert_uint_eq(message.gone.match, added.match);
	ck_assert_uint_eq(message.gone.cause, causes[how]);
	endpoint_forget(&publisher);
	endpoint_forget(&subscriber);
	stop();
}
END_TEST

/* A match that was offered and not answered ends too, for both sides. */
START_TEST(unanswered_offers_end)
{
	struct test_endpoint publisher, subscriber;
	uint64_t match;

	start(_i);
	open_subscriber(&subscriber, a.fd, "t");
	open_publisher(&publisher, b.fd, "t");
	ck_assert_uint_eq(publisher.n_pending, 1);
	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	match = message.writer_added.match;
	endpoint_close(&subscriber, a.fd);
	client_expect(b.fd, WIRE_LANE_GONE, &message, NULL);
	ck_assert_uint_eq(message.gone.match, match);

	open_subscriber(&subscriber, c.fd, "elsewhere");
	endpoint_forget(&subscriber);
	subscriber_fill(&open_request, 12, "t", 8);
	endpoint_open(&subscriber, a.fd, &open_request);
	endpoint_mapped(&subscriber, a.fd);
	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	match = message.writer_added.match;
	client_expect(a.fd, WIRE_ENDPOINT_READY, &message, NULL);
	endpoint_close(&publisher, b.fd);
	client_expect(a.fd, WIRE_WRITER_GONE, &message, NULL);
	ck_assert_uint_eq(message.gone.match, match);
	endpoint_forget(&subscriber);
	stop();
}
END_TEST

/* Only all three parts equal make a match. */
START_TEST(matching_is_exact)
{
	struct test_endpoint endpoints[5];

	start(_i);
	open_publisher(&endpoints[0], a.fd, "t");
	open_subscriber(&endpoints[1], b.fd, "T");
	open_subscriber(&endpoints[2], b.fd, "t2");
	subscriber_fill(&open_request, 12, "t", 8);
	name_to_field(open_request.topic.service, WIRE_NAME_BYTES, "service2");
	endpoint_ready(&endpoints[3], b.fd, &open_request);
	subscriber_fill(&open_request, 12, "t", 8);
	name_to_field(open_request.topic.instance, WIRE_NAME_BYTES, "i");
	endpoint_ready(&endpoints[4], b.fd, &open_request);	/* READY is the first answer: nothing met */
	for (int i = 0; i < 5; i++)
		endpoint_forget(&endpoints[i]);
	stop();
}
END_TEST

/*
 * A publisher of 2 lanes: the third subscriber is refused; a publisher that comes later skips whom
 * it has no lane for.
 */
START_TEST(publisher_lanes_run_out)
{
	struct test_endpoint publisher, subscribers[3];

	start(_i);
	for (int i = 0; i < 3; i++)
		open_subscriber(&subscribers[i], a.fd, "t");
	publisher_fill(&open_request, 11, "t", 2);
	endpoint_open(&publisher, b.fd, &open_request);
	endpoint_mapped(&publisher, b.fd);
	client_expect(b.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_uint_eq(message.match_refused.endpoint, publisher.id);
	ck_assert_uint_eq(message.match_refused.peer, subscribers[2].id);
	ck_assert_int_eq(message.match_refused.error, -ENOSPC);
	ck_assert_ptr_nonnull(strstr(message.match_refused.text, "max_subscribers"));
	client_expect(b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 2);
	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(a.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_uint_eq(message.match_refused.endpoint, subscribers[2].id);
	ck_assert_uint_eq(message.match_refused.peer, publisher.id);

	/* A newcomer is refused at once. */
	subscriber_fill(&open_request, 44, "t", 8);
	client_send(c.fd, &open_request.header);
	client_expect_error(c.fd, 44, -ENOSPC, "max_subscribers");

	/* A lane that comes free can be used again. */
	endpoint_close(&subscribers[0], a.fd);
	client_expect(b.fd, WIRE_LANE_GONE, &message, NULL);
	endpoint_open(&subscribers[0], c.fd, &open_request);
	endpoint_mapped(&subscribers[0], c.fd);
	client_expect(c.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(c.fd, WIRE_ENDPOINT_READY, &message, NULL);
	for (int i = 0; i < 3; i++)
		endpoint_forget(&subscribers[i]);
	endpoint_forget(&publisher);
	stop();
}
END_TEST

/*
 * Two may pass ENDPOINT_OPEN while there is room for one: the slower is refused when it is about to
 * join, and leaves no trace.
 */
START_TEST(room_is_checked_again_at_the_join)
{
	struct test_endpoint publisher, first, second;

	start(_i);
	publisher_fill(&open_request, 11, "t", 1);
	endpoint_ready(&publisher, a.fd, &open_request);
	subscriber_fill(&open_request, 12, "t", 8);
	endpoint_open(&first, b.fd, &open_request);
	endpoint_open(&second, c.fd, &open_request);
	endpoint_mapped(&first, b.fd);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	endpoint_mapped(&second, c.fd);
	client_expect_error(c.fd, 12, -ENOSPC, "max_subscribers");
	endpoint_close(&second, c.fd);	/* of what the router has dropped: harmless */
	open_subscriber(&second, c.fd, "elsewhere");
	endpoint_forget(&publisher);
	endpoint_forget(&first);
	endpoint_forget(&second);
	stop();
}
END_TEST

START_TEST(subscriber_lanes_run_out)
{
	struct test_endpoint publishers[3], subscriber;

	start(_i);
	open_publisher(&publishers[0], a.fd, "t");
	open_publisher(&publishers[1], a.fd, "t");
	subscriber_fill(&open_request, 12, "t", 1);
	client_send(b.fd, &open_request.header);
	client_expect_error(b.fd, 12, -ENOSPC, "max_publishers");
	subscriber_fill(&open_request, 13, "t", 2);
	endpoint_open(&subscriber, b.fd, &open_request);
	endpoint_mapped(&subscriber, b.fd);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	publisher_fill(&open_request, 14, "t", 8);
	endpoint_open(&publishers[2], c.fd, &open_request);
	endpoint_mapped(&publishers[2], c.fd);
	client_expect(c.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_ptr_nonnull(strstr(message.match_refused.text, "max_publishers"));
	client_expect(c.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);
	client_expect(b.fd, WIRE_MATCH_REFUSED, &message, NULL);
	for (int i = 0; i < 3; i++)
		endpoint_forget(&publishers[i]);
	endpoint_forget(&subscriber);
	stop();
}
END_TEST

START_TEST(held_budget_runs_out)
{
	struct geometry_request wish = { .payload_max = 1000, .depth = 16, .max_lanes = 8, .held_budget = 10 };
	struct test_endpoint publisher, subscribers[2];
	const char *why;

	start(_i);
	publisher_fill(&open_request, 11, "t", 8);
	ck_assert_int_eq(geometry_plan(&open_request.geometry, &wish, &why), 0);
	ck_assert_uint_ne(open_request.geometry.n_pools, 0);
	endpoint_ready(&publisher, a.fd, &open_request);
	subscriber_fill(&open_request, 12, "t", 8);
	open_request.max_held = 8;
	endpoint_open(&subscribers[0], b.fd, &open_request);
	endpoint_mapped(&subscribers[0], b.fd);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	open_request.max_held = 3;
	client_send(c.fd, &open_request.header);
	client_expect_error(c.fd, 12, -ENOSPC, "max_held");
	open_request.max_held = 2;
	endpoint_open(&subscribers[1], c.fd, &open_request);
	endpoint_mapped(&subscribers[1], c.fd);
	client_expect(c.fd, WIRE_WRITER_ADDED, &message, NULL);
	endpoint_forget(&publisher);
	endpoint_forget(&subscribers[0]);
	endpoint_forget(&subscribers[1]);
	stop();
}
END_TEST

static void set_type(const char *name, uint64_t size, uint64_t alignment)
{
	name_to_field(open_request.type.name, WIRE_NAME_BYTES, name);
	open_request.type.size = size;
	open_request.type.alignment = alignment;
}

START_TEST(types_must_agree)
{
	struct test_endpoint untyped, typed, other;

	start(_i);
	open_publisher(&untyped, a.fd, "t");
	/* The first typed endpoint types the topic. */
	publisher_fill(&open_request, 11, "t", 8);
	set_type("geometry_msgs/msg/Pose", 56, 8);
	endpoint_ready(&typed, a.fd, &open_request);

	subscriber_fill(&open_request, 12, "t", 8);
	set_type("Pose", 56, 8);
	client_send(b.fd, &open_request.header);
	client_expect_error(b.fd, 12, -EPROTOTYPE, "geometry_msgs/msg/Pose");
	set_type("geometry_msgs/msg/Pose", 64, 8);
	client_send(b.fd, &open_request.header);
	client_expect_error(b.fd, 12, -EPROTOTYPE, "56 bytes");
	set_type("geometry_msgs/msg/Pose", 56, 16);
	client_send(b.fd, &open_request.header);
	client_expect_error(b.fd, 12, -EPROTOTYPE, "alignment 8");
	set_type("geometry_msgs/msg/Pose", 56, 3);
	client_send(b.fd, &open_request.header);
	client_expect_error(b.fd, 12, -EINVAL, "power of two");

	/* The same type meets both; with the last typed endpoint the type goes. */
	set_type("geometry_msgs/msg/Pose", 56, 8);
	endpoint_open(&other, b.fd, &open_request);
	endpoint_mapped(&other, b.fd);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	client_expect(b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	endpoint_close(&other, b.fd);
	endpoint_close(&typed, a.fd);
	client_expect(a.fd, WIRE_LANE_GONE, &message, NULL);
	client_expect(a.fd, WIRE_LANE_GONE, &message, NULL);
	open_publisher(&typed, a.fd, "elsewhere");	/* a round trip: the close is done */
	set_type("Pose", 1, 1);
	endpoint_open(&other, b.fd, &open_request);
	endpoint_forget(&untyped);
	endpoint_forget(&typed);
	endpoint_forget(&other);
	stop();
}
END_TEST

/* kill -9 of a client in each state: what it had comes back, the others are told. */
START_TEST(death_in_each_state)
{
	int state = _i / N_LOOPS;
	struct test_endpoint publisher, other;
	unsigned int base;
	pid_t pid;
	int done[2], status;
	char byte;

	start(_i % N_LOOPS);
	open_publisher(&publisher, a.fd, "t");
	open_subscriber(&other, c.fd, "unrelated");
	endpoint_forget(&other);
	open_subscriber(&other, b.fd, "unrelated");	/* all three have joined, the descriptors are final */
	endpoint_forget(&other);
	base = router_fds(&router);
	ck_assert_ok(pipe2(done, O_CLOEXEC));
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		struct test_endpoint endpoint;
		struct test_node node;
		struct wire_hello hello;

		hello_fill(&hello, 1, "victim");
		if (state < 3) {
			node.fd = client_connect(&router);
			if (state > 0)
				client_send(node.fd, &hello.header);
			if (state > 1)
				client_expect(node.fd, WIRE_WELCOME, &message, fds);
		} else {
			node_join(&node, &router, "victim");
			subscriber_fill(&open_request, 2, "t", 8);
			if (state == 4)
				client_send(node.fd, &open_request.header);
			if (state > 4)
				endpoint_open(&endpoint, node.fd, &open_request);
			if (state > 5) {
				endpoint_mapped(&endpoint, node.fd);
				client_expect(node.fd, WIRE_WRITER_ADDED, &message, NULL);
			}
			if (state > 6)
				lane_choose(node.fd, &message.writer_added, 1);
		}
		(void)!write(done[1], "x", 1);
		pause();
		_exit(0);
	}
	ck_assert_int_eq(read(done[0], &byte, 1), 1);
	if (state > 6)
		client_expect(a.fd, WIRE_LANE_ADDED, &message, NULL);
	ck_assert_ok(kill(pid, SIGKILL));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (state > 5) {
		client_expect(a.fd, WIRE_LANE_GONE, &message, NULL);
		ck_assert_uint_eq(message.gone.cause, WIRE_CAUSE_DIED);
	}
	ck_assert_msg(wait_until(router_fds(&router) == base, DEADLINE_MS), "%u descriptors, %u before", router_fds(&router), base);
	close(done[0]);
	close(done[1]);
	endpoint_forget(&publisher);
	stop();
}
END_TEST

/* What the directory shows of endpoints and matches. */
START_TEST(directory_shows_it)
{
	struct test_endpoint publisher, subscriber;
	struct directory_endpoint row;
	struct directory_match match;
	struct directory_view view;
	const void *map;

	start(_i);
	open_subscriber(&subscriber, a.fd, "t");
	open_publisher(&publisher, b.fd, "t");
	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	lane_choose(a.fd, &message.writer_added, 5);
	client_expect(b.fd, WIRE_LANE_ADDED, &message, NULL);

	ck_assert_int_eq(memfd_map_reader(c.directory_fd, c.welcome.directory_bytes, &map), 0);
	ck_assert_int_eq(directory_open(&view, map, c.welcome.directory_bytes), 0);
	ck_assert_uint_eq(view.header->n_endpoints, 2);
	ck_assert_int_eq(directory_read_endpoint(&view, 0, &row), 1);
	ck_assert_uint_eq(row.id, subscriber.id);
	ck_assert_uint_eq(row.kind, WIRE_SUBSCRIBER);
	ck_assert_uint_eq(row.node, a.welcome.node);
	ck_assert_uint_eq(row.n_matches, 1);
	ck_assert_uint_eq(row.max_held, 4);
	ck_assert_int_eq(directory_read_endpoint(&view, 1, &row), 1);
	ck_assert_uint_eq(row.id, publisher.id);
	ck_assert_uint_eq(row.payload_max, 1000);
	ck_assert_uint_eq(row.segment_bytes, publisher.bytes);
	ck_assert_str_eq(row.topic.event, "t");
	ck_assert_int_eq(directory_read_match(&view, 0, &match), 1);
	ck_assert_uint_eq(match.publisher, publisher.id);
	ck_assert_uint_eq(match.subscriber, subscriber.id);
	ck_assert_uint_eq(match.lane, 5);
	ck_assert_uint_eq(view.header->segment_bytes_total, 3 * NODE_PAGE_BYTES + publisher.bytes + subscriber.bytes);
	ck_assert_uint_eq(view.header->n_segments, 5);

	endpoint_close(&publisher, b.fd);
	client_expect(a.fd, WIRE_WRITER_GONE, &message, NULL);
	ck_assert_within(view.header->n_endpoints == 1 && view.header->n_matches == 0, DEADLINE_MS);
	ck_assert_int_eq(directory_read_match(&view, 0, &match), 0);
	ck_assert_int_eq(directory_read_endpoint(&view, 1, &row), 0);
	ck_assert_int_eq(directory_read_endpoint(&view, 0, &row), 1);
	ck_assert_uint_eq(row.n_matches, 0);
	munmap((void *)(uintptr_t)map, c.welcome.directory_bytes);
	endpoint_forget(&subscriber);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-match");
	TCase *sequence = add_test_case(suite, "sequence", 60);
	TCase *room = add_test_case(suite, "room", 60);
	TCase *death = add_test_case(suite, "death", 60);

	tcase_add_loop_test(sequence, subscriber_joins_publisher, 0, 2 * N_LOOPS);
	tcase_add_loop_test(sequence, publisher_joins_subscribers, 0, N_LOOPS);
	tcase_add_loop_test(sequence, cause_of_leaving, 0, 4 * N_LOOPS);
	tcase_add_loop_test(sequence, unanswered_offers_end, 0, N_LOOPS);
	tcase_add_loop_test(sequence, matching_is_exact, 0, N_LOOPS);
	tcase_add_loop_test(sequence, types_must_agree, 0, N_LOOPS);
	tcase_add_loop_test(sequence, directory_shows_it, 0, N_LOOPS);
	tcase_add_loop_test(room, publisher_lanes_run_out, 0, N_LOOPS);
	tcase_add_loop_test(room, room_is_checked_again_at_the_join, 0, N_LOOPS);
	tcase_add_loop_test(room, subscriber_lanes_run_out, 0, N_LOOPS);
	tcase_add_loop_test(room, held_budget_runs_out, 0, N_LOOPS);
	tcase_add_loop_test(death, death_in_each_state, 0, 8 * N_LOOPS);
	return run_suite(suite);
}
