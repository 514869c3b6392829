/* SPDX-License-Identifier: MIT */
/*
 * Watches on the wire: what a node hears of others, in which order, and what a hostile or sleepy one can do with them.
 * src/router/watch.c. How the library shows it is in test-lib-watch.c.
 */
#include "router-helper.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/name.h"

static struct test_router router;
static struct test_node watcher, other;
static union wire_message m;

static void start(int loop)
{
	router_start(&router, loop, "--max-endpoints-per-node", "4096", "--max-fds-per-node", "16384", NULL);
	node_join(&watcher, &router, "watcher");
}

static void stop(void)
{
	node_leave(&watcher);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

/* --- asking --------------------------------------------------------------------------------------- */

static void fill(struct wire_watch_open *open, uint64_t id, uint32_t flags, const char *event)
{
	memset(open, 0, sizeof(*open));
	wire_init(&open->header, WIRE_WATCH_OPEN, 100 + (uint32_t)id);
	open->watch = id;
	open->flags = flags;
	if (event)
		name_to_field(open->pattern.event, sizeof(open->pattern.event), event);
}

static void ask(int fd, uint64_t id, uint32_t flags, const char *event)
{
	struct wire_watch_open open;

	fill(&open, id, flags, event);
	client_send(fd, &open.header);
}

static void expect_watching(int fd, uint64_t id)
{
	client_expect(fd, WIRE_WATCHING, &m, NULL);
	ck_assert_uint_eq(m.header.request, 100 + id);
	ck_assert_uint_eq(m.watching.watch, id);
}

static void open_watch(int fd, uint64_t id, uint32_t flags, const char *event)
{
	ask(fd, id, flags, event);
	expect_watching(fd, id);
}

static void close_watch(int fd, uint64_t id)
{
	struct wire_watch_close close = { .watch = id };

	wire_init(&close.header, WIRE_WATCH_CLOSE, 0);
	client_send(fd, &close.header);
}

static void say_dry(int fd, uint64_t endpoint)
{
	struct wire_pool_dry dry = { .endpoint = endpoint };

	wire_init(&dry.header, WIRE_POOL_DRY, 0);
	client_send(fd, &dry.header);
}

/* The next message is an event of watch @id, whole, and about @node. */
static const struct wire_watch_event *expect(uint64_t id, enum wire_watch_kind kind, const struct test_node *node)
{
	client_expect(watcher.fd, WIRE_WATCH_EVENT, &m, NULL);
	ck_assert_msg(m.watch_event.watch == id && m.watch_event.kind == kind, "watch %llu, kind %u; expected %llu, %u",
		      (unsigned long long)m.watch_event.watch, m.watch_event.kind, (unsigned long long)id, kind);
	ck_assert_uint_eq(m.watch_event.node, node->welcome.node);
	ck_assert_uint_eq(m.watch_event.pid, (uint32_t)getpid());
	ck_assert_uint_eq(m.watch_event.uid, geteuid());
	ck_assert_uint_eq(m.watch_event.lost, 0);
	ck_assert_uint_eq(m.watch_event.header.request, 0);
	return &m.watch_event;
}

static void expect_endpoint(uint64_t id, enum wire_watch_kind kind, const struct test_endpoint *endpoint, uint32_t cause)
{
	const struct wire_watch_event *e = expect(id, kind, &other);

	ck_assert_uint_eq(e->endpoint, endpoint->id);
	ck_assert_uint_eq(e->cause, cause);
	ck_assert_str_eq(e->topic.service, "service");
}

/* The router has handled what was sent on @fd before, and has nothing to say but the answer. */
static void round_trip(int fd)
{
	struct wire_endpoint_open open;
	struct test_endpoint endpoint;

	subscriber_fill(&open, 9999, "round trip", 1);
	endpoint_open(&endpoint, fd, &open);	/* never ready: nobody hears of it */
	endpoint_close(&endpoint, fd);
}

static void expect_silence(void)
{
	round_trip(watcher.fd);
}

/* --- news ----------------------------------------------------------------------------------------- */

START_TEST(coming_and_going)
{
	struct wire_endpoint_open open;
	struct test_endpoint publisher, subscriber, half;

	start(_i);
	open_watch(watcher.fd, 1, 0, NULL);
	open_watch(watcher.fd, 2, 0, "tra*");
	open_watch(watcher.fd, 3, WIRE_WATCH_NO_NODES, NULL);
	node_join(&other, &router, "other");
	ck_assert_str_eq(expect(1, WIRE_WATCH_NODE_APPEARED, &other)->node_name, "other");
	ck_assert_uint_eq(m.watch_event.endpoint | m.watch_event.cause | m.watch_event.role | m.watch_event.flags, 0);

	publisher_fill(&open, 20, "track", 4);
	endpoint_open(&publisher, other.fd, &open);
	expect_silence();		/* not yet ready: nobody can meet it */
	endpoint_mapped(&publisher, other.fd);
	client_expect(other.fd, WIRE_ENDPOINT_READY, &m, NULL);
	for (uint64_t id = 1; id <= 3; id++)
		expect_endpoint(id, WIRE_WATCH_ENDPOINT_APPEARED, &publisher, 0);
	ck_assert_uint_eq(m.watch_event.role, WIRE_PUBLISHER);
	ck_assert_str_eq(m.watch_event.topic.event, "track");

	subscriber_fill(&open, 21, "image", 4);
	endpoint_ready(&subscriber, other.fd, &open);
	expect_endpoint(1, WIRE_WATCH_ENDPOINT_APPEARED, &subscriber, 0);
	expect_endpoint(3, WIRE_WATCH_ENDPOINT_APPEARED, &subscriber, 0);
	endpoint_close(&subscriber, other.fd);
	expect_endpoint(1, WIRE_WATCH_ENDPOINT_VANISHED, &subscriber, WIRE_CAUSE_CLOSED);
	expect_endpoint(3, WIRE_WATCH_ENDPOINT_VANISHED, &subscriber, WIRE_CAUSE_CLOSED);

	say_dry(other.fd, publisher.id);
	for (uint64_t id = 1; id <= 3; id++)
		expect_endpoint(id, WIRE_WATCH_POOL_DRY, &publisher, 0);

	/* one that never got ready was not there */
	subscriber_fill(&open, 22, "track", 4);
	endpoint_open(&half, other.fd, &open);
	endpoint_forget(&half);

	/* a node's endpoints first; who has a pattern hears of the node that had one that fits */
	node_leave(&other);
	for (uint64_t id = 1; id <= 3; id++)
		expect_endpoint(id, WIRE_WATCH_ENDPOINT_VANISHED, &publisher, WIRE_CAUSE_CLOSED);
	for (uint64_t id = 1; id <= 2; id++)
		ck_assert_uint_eq(expect(id, WIRE_WATCH_NODE_VANISHED, &other)->cause, WIRE_CAUSE_CLOSED);
	endpoint_forget(&publisher);
	expect_silence();
	stop();
}
END_TEST

START_TEST(evicted)
{
	start(_i);
	node_join(&other, &router, "other");
	open_watch(watcher.fd, 1, 0, NULL);
	say_dry(other.fd, UINT64_MAX);
	ck_assert_int_eq(client_expect_end(other.fd), -EPROTO);
	ck_assert_uint_eq(expect(1, WIRE_WATCH_NODE_VANISHED, &other)->cause, WIRE_CAUSE_EVICTED);
	node_drop(&other);
	stop();
}
END_TEST

/* It has said HELLO but not mapped its page: it is not there. */
START_TEST(half_a_node)
{
	struct wire_hello hello;
	int fds[WIRE_FDS_MAX], fd;

	start(_i);
	fd = client_connect(&router);
	hello_fill(&hello, 1, "half");
	client_send(fd, &hello.header);
	client_expect(fd, WIRE_WELCOME, &m, fds);
	close_fds(fds);
	ask(watcher.fd, 1, WIRE_WATCH_EXISTING, NULL);
	ck_assert_uint_eq(expect(1, WIRE_WATCH_NODE_APPEARED, &watcher)->flags, WIRE_WATCH_EVENT_EXISTING);
	expect_watching(watcher.fd, 1);
	close(fd);
	stop();
}
END_TEST

START_TEST(closed_watch_is_silent)
{
	start(_i);
	open_watch(watcher.fd, 1, 0, NULL);
	close_watch(watcher.fd, 1);
	close_watch(watcher.fd, 1);
	close_watch(watcher.fd, 77);
	round_trip(watcher.fd);
	node_join(&other, &router, "other");
	round_trip(other.fd);
	node_leave(&other);
	expect_silence();
	open_watch(watcher.fd, 1, 0, NULL);	/* its number is free again */
	stop();
}
END_TEST

/* A publisher that was refused or closed may have run dry a moment before. */
START_TEST(dry_and_gone)
{
	struct wire_endpoint_open open;
	struct test_endpoint publisher;

	start(_i);
	publisher_fill(&open, 20, "track", 4);
	endpoint_ready(&publisher, watcher.fd, &open);
	endpoint_close(&publisher, watcher.fd);
	say_dry(watcher.fd, publisher.id);
	round_trip(watcher.fd);
	stop();
}
END_TEST

static void beat(const struct test_node *node)
{
	struct node_page *page = node->page;

	atomic_fetch_add(&page->heartbeat_ns, 1);
}

/* Who is unresponsive when a watch opens is said too, or its being responsive again would mean nothing. */
START_TEST(unresponsive)
{
	struct wire_endpoint_open open;
	struct test_endpoint publisher;

	router_start(&router, _i, "--heartbeat-timeout-ms", "1000", "--heartbeat-scan-ms", "50", NULL);
	node_join_with(&watcher, &router, "watcher", WIRE_HELLO_UNMONITORED);
	open_watch(watcher.fd, 1, WIRE_WATCH_NO_NODES, NULL);
	open_watch(watcher.fd, 2, 0, "track");
	open_watch(watcher.fd, 3, 0, "image");
	node_join(&other, &router, "other");
	publisher_fill(&open, 20, "track", 4);
	endpoint_ready(&publisher, other.fd, &open);
	expect_endpoint(1, WIRE_WATCH_ENDPOINT_APPEARED, &publisher, 0);
	expect_endpoint(2, WIRE_WATCH_ENDPOINT_APPEARED, &publisher, 0);
	ck_assert_uint_eq(expect(2, WIRE_WATCH_NODE_UNRESPONSIVE, &other)->cause, 0);
	ask(watcher.fd, 4, WIRE_WATCH_EXISTING, NULL);
	expect(4, WIRE_WATCH_NODE_APPEARED, &watcher);
	expect(4, WIRE_WATCH_NODE_APPEARED, &other);
	expect_endpoint(4, WIRE_WATCH_ENDPOINT_APPEARED, &publisher, 0);
	ck_assert_uint_eq(expect(4, WIRE_WATCH_NODE_UNRESPONSIVE, &other)->flags, WIRE_WATCH_EVENT_EXISTING);
	expect_watching(watcher.fd, 4);
	beat(&other);
	expect(2, WIRE_WATCH_NODE_RESPONSIVE, &other);
	expect(4, WIRE_WATCH_NODE_RESPONSIVE, &other);
	node_leave(&other);
	endpoint_forget(&publisher);
	stop();
}
END_TEST

/* --- nonsense ------------------------------------------------------------------------------------- */

enum nonsense { NO_REQUEST, NO_NUMBER, RESERVED, FLAGS, TWICE, DRY_OF_NOBODY, DRY_OF_OTHERS, DRY_OF_SUBSCRIBER, N_NONSENSE };

static void send_nonsense(int fd, enum nonsense which, uint64_t others, uint64_t subscriber)
{
	struct wire_watch_open open;

	fill(&open, 1, 0, NULL);
	switch (which) {
	case NO_REQUEST:
		open.header.request = 0;
		break;
	case NO_NUMBER:
		open.watch = 0;
		break;
	case RESERVED:
		open.reserved = 1;
		break;
	case FLAGS:
		open.flags = 1u << 31;
		break;
	case TWICE:
		open_watch(fd, 1, 0, NULL);
		break;
	case DRY_OF_NOBODY:
		say_dry(fd, UINT64_MAX);
		return;
	case DRY_OF_OTHERS:
		say_dry(fd, others);
		return;
	default:
		say_dry(fd, subscriber);
		return;
	}
	client_send(fd, &open.header);
}

START_TEST(nonsense)
{
	struct wire_endpoint_open open;
	struct test_endpoint publisher, subscriber;

	start(_i % N_LOOPS);
	node_join(&other, &router, "hostile");
	publisher_fill(&open, 20, "track", 4);
	endpoint_ready(&publisher, watcher.fd, &open);
	subscriber_fill(&open, 21, "image", 4);
	endpoint_ready(&subscriber, other.fd, &open);
	send_nonsense(other.fd, (enum nonsense)(_i / N_LOOPS), publisher.id, subscriber.id);
	ck_assert_int_eq(client_expect_end(other.fd), -EPROTO);
	node_drop(&other);
	endpoint_forget(&subscriber);
	endpoint_close(&publisher, watcher.fd);
	stop();
}
END_TEST

/* Refused, and the connection lives. */
START_TEST(bad_patterns)
{
	struct wire_watch_open open;

	start(_i);
	fill(&open, 1, 0, NULL);
	open.pattern.service[1] = 'x';
	client_send(watcher.fd, &open.header);
	client_expect_error(watcher.fd, 101, -EINVAL, "service pattern");
	fill(&open, 1, 0, "a\nb");
	client_send(watcher.fd, &open.header);
	client_expect_error(watcher.fd, 101, -EINVAL, "event pattern");
	fill(&open, 1, 0, NULL);
	memset(open.pattern.instance, '*', sizeof(open.pattern.instance));
	client_send(watcher.fd, &open.header);
	client_expect_error(watcher.fd, 101, -EINVAL, "instance pattern");
	fill(&open, 1, 0, "\xff\xfe");
	client_send(watcher.fd, &open.header);
	client_expect_error(watcher.fd, 101, -EINVAL, "event pattern");
	open_watch(watcher.fd, 1, 0, "*?*");
	stop();
}
END_TEST

#define OF_A_NODE 16
#define OF_A_UID 256

static bool is_allowed(void)
{
	ask(watcher.fd, 1, 0, "nothing");
	ck_assert(client_has_message(watcher.fd, DEADLINE_MS));
	return recv(watcher.fd, &m, sizeof(m), 0) > 0 && m.header.type == WIRE_WATCHING;
}

START_TEST(limits)
{
	struct test_node nodes[OF_A_UID / OF_A_NODE];

	start(_i);
	for (int i = 0; i < OF_A_UID / OF_A_NODE; i++) {
		node_join(&nodes[i], &router, "many");
		for (uint64_t id = 1; id <= OF_A_NODE; id++)
			open_watch(nodes[i].fd, id, 0, NULL);
		if (i == 0) {
			ask(nodes[0].fd, 99, 0, NULL);
			client_expect_error(nodes[0].fd, 199, -EDQUOT, "16 watches already");
			for (uint64_t id = 1; id <= OF_A_NODE; id++)
				close_watch(nodes[0].fd, id);
			for (uint64_t id = 1; id <= OF_A_NODE; id++)
				open_watch(nodes[0].fd, id, 0, "nothing");
		}
	}
	ask(watcher.fd, 1, 0, NULL);
	client_expect_error(watcher.fd, 101, -EDQUOT, "256 watches already");
	for (int i = 0; i < OF_A_UID / OF_A_NODE; i++)
		node_leave(&nodes[i]);
	ck_assert_within(is_allowed(), DEADLINE_MS);
	stop();
}
END_TEST

/* --- what exists ---------------------------------------------------------------------------------- */

#define CROWD 2000

static uint64_t crowd[CROWD + 1];

static uint64_t open_one(int i)
{
	struct wire_endpoint_open open;
	struct test_endpoint endpoint;

	subscriber_fill(&open, (uint32_t)i + 1, i % 2 ? "odd" : "even", 1);
	memset(open.topic.instance, 0, sizeof(open.topic.instance));
	snprintf(open.topic.instance, sizeof(open.topic.instance), "%d", i);
	endpoint_ready(&endpoint, other.fd, &open);
	endpoint_forget(&endpoint);
	return endpoint.id;
}

static void close_one(uint64_t id)
{
	struct wire_endpoint_close close = { .endpoint = id };

	wire_init(&close.header, WIRE_ENDPOINT_CLOSE, 0);
	client_send(other.fd, &close.header);
}

static void open_crowd(void)
{
	node_join(&other, &router, "crowd");
	for (int i = 0; i < CROWD; i++)
		crowd[i] = open_one(i);
}

/* Up to the one that came last. 1: it appeared; -1: and vanished. Returns how many nodes there were. */
static int read_crowd(uint64_t id, int seen[CROWD + 1])
{
	int n_nodes = 0, i;

	for (;;) {
		client_expect(watcher.fd, WIRE_WATCH_EVENT, &m, NULL);
		ck_assert_uint_eq(m.watch_event.watch, id);
		ck_assert_uint_eq(m.watch_event.lost, 0);
		if (!m.watch_event.endpoint) {
			ck_assert_uint_eq(m.watch_event.kind, WIRE_WATCH_NODE_APPEARED);
			n_nodes++;
			continue;
		}
		i = atoi(m.watch_event.topic.instance);
		ck_assert(i >= 0 && i <= CROWD);
		ck_assert_uint_eq(m.watch_event.endpoint, crowd[i]);
		if (m.watch_event.kind == WIRE_WATCH_ENDPOINT_VANISHED) {
			ck_assert_msg(seen[i] == 1, "%d vanished, and had not appeared", i);
			seen[i] = -1;
		} else {
			ck_assert_uint_eq(m.watch_event.kind, WIRE_WATCH_ENDPOINT_APPEARED);
			ck_assert_msg(!seen[i]++, "%d appeared twice", i);
		}
		if (i == CROWD)
			return n_nodes;
	}
}

/* What comes and goes while it is told what exists: each thing once, nothing that was not there, nothing is lost. */
START_TEST(changes_while_it_is_told)
{
	static int seen[CROWD + 1];
	int n_nodes;

	start(_i);
	open_crowd();
	open_watch(watcher.fd, 2, 0, "nothing");
	ask(watcher.fd, 1, WIRE_WATCH_EXISTING, NULL);
	close_watch(watcher.fd, 2);	/* that one was told everything: it is no more to be counted */
	ck_assert(client_has_message(watcher.fd, DEADLINE_MS));
	/* the first is told already, the last cannot be, since nobody reads */
	close_one(crowd[0]);
	close_one(crowd[CROWD - 1]);
	crowd[CROWD] = open_one(CROWD);
	n_nodes = read_crowd(1, seen);
	expect_watching(watcher.fd, 1);
	ck_assert_int_eq(n_nodes, 2);
	ck_assert_int_eq(seen[0], -1);
	ck_assert_int_eq(seen[CROWD - 1], 0);
	for (int i = 1; i < CROWD - 1; i++)
		ck_assert_msg(seen[i] == 1, "%d was not told", i);
	expect_silence();
	close_one(crowd[CROWD]);
	ck_assert_uint_eq(expect(1, WIRE_WATCH_ENDPOINT_VANISHED, &other)->endpoint, crowd[CROWD]);
	node_leave(&other);
	stop();
}
END_TEST

/* Watches that are closed, or whose node leaves, in the midst of it. */
START_TEST(leaves_while_it_is_told)
{
	struct test_node sleepy;

	start(_i);
	open_crowd();
	node_join(&sleepy, &router, "sleepy");
	for (uint64_t id = 1; id <= 8; id++)
		ask(sleepy.fd, id, WIRE_WATCH_EXISTING, NULL);
	for (uint64_t id = 1; id <= 4; id++)
		close_watch(sleepy.fd, id);
	ck_assert(client_has_message(sleepy.fd, DEADLINE_MS));
	node_drop(&sleepy);
	/* nobody listens there any more, and others are served */
	ask(watcher.fd, 5, WIRE_WATCH_EXISTING | WIRE_WATCH_NO_NODES, "odd");
	for (int i = 0; i < CROWD / 2; i++)
		ck_assert_uint_eq(expect(5, WIRE_WATCH_ENDPOINT_APPEARED, &other)->endpoint, crowd[2 * i + 1]);
	expect_watching(watcher.fd, 5);
	close_watch(watcher.fd, 5);
	node_leave(&other);
	stop();
}
END_TEST

/* --- who does not read ---------------------------------------------------------------------------- */

#define CHURN 2000

START_TEST(who_does_not_read)
{
	struct test_node sleepy;
	uint64_t heard = 0, lost = 0, told = 2 * CHURN, id;

	start(_i);
	node_join(&other, &router, "busy");
	node_join(&sleepy, &router, "sleepy");
	open_watch(sleepy.fd, 1, WIRE_WATCH_NO_NODES, NULL);
	open_watch(watcher.fd, 1, WIRE_WATCH_NO_NODES, NULL);
	for (int i = 0; i < CHURN; i++) {
		id = open_one(i);
		ck_assert_uint_eq(expect(1, WIRE_WATCH_ENDPOINT_APPEARED, &other)->endpoint, id);
		close_one(id);
		ck_assert_uint_eq(expect(1, WIRE_WATCH_ENDPOINT_VANISHED, &other)->endpoint, id);
	}
	/* it is still there, and reads what there is; what is not is counted in the event after it */
	while (heard + lost < told) {
		if (!client_has_message(sleepy.fd, 100)) {
			open_one(0);
			ck_assert_uint_lt(++told, 2 * CHURN + 100);
		}
		client_expect(sleepy.fd, WIRE_WATCH_EVENT, &m, NULL);
		heard++;
		lost += m.watch_event.lost;
	}
	ck_assert_uint_eq(heard + lost, told);
	ck_assert_uint_ge(lost, CHURN);
	id = open_one(1);
	client_expect(sleepy.fd, WIRE_WATCH_EVENT, &m, NULL);
	ck_assert_uint_eq(m.watch_event.endpoint, id);
	ck_assert_uint_eq(m.watch_event.lost, 0);
	round_trip(sleepy.fd);
	node_leave(&sleepy);
	node_leave(&other);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-watch");
	TCase *tcase;

	tcase = add_test_case(suite, "news", 60);
	tcase_add_loop_test(tcase, coming_and_going, 0, N_LOOPS);
	tcase_add_loop_test(tcase, evicted, 0, N_LOOPS);
	tcase_add_loop_test(tcase, half_a_node, 0, N_LOOPS);
	tcase_add_loop_test(tcase, unresponsive, 0, N_LOOPS);
	tcase_add_loop_test(tcase, closed_watch_is_silent, 0, N_LOOPS);
	tcase_add_loop_test(tcase, dry_and_gone, 0, N_LOOPS);
	tcase = add_test_case(suite, "nonsense", 60);
	tcase_add_loop_test(tcase, nonsense, 0, N_NONSENSE * N_LOOPS);
	tcase_add_loop_test(tcase, bad_patterns, 0, N_LOOPS);
	tcase_add_loop_test(tcase, limits, 0, N_LOOPS);
	tcase = add_test_case(suite, "existing", 120);
	tcase_add_loop_test(tcase, changes_while_it_is_told, 0, N_LOOPS);
	tcase_add_loop_test(tcase, leaves_while_it_is_told, 0, N_LOOPS);
	tcase = add_test_case(suite, "sleepy", 120);
	tcase_add_loop_test(tcase, who_does_not_read, 0, N_LOOPS);
	return run_suite(suite);
}
