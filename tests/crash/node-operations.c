/* SPDX-License-Identifier: MIT */
/*
 * What else a node does when it is killed: larger messages, messages that the router publishes, descriptors, wait sets. See
 * operations.h.
 *
 * The router's own publisher comes with the first message that it is given and stays while there are some, so the survivors send one
 * after each death, and it is part of what is always there.
 */
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "lib/subscriber.h"
#include "step.h"

#define LARGER 6000		/* than payload_max: a segment of its own */
#define IN_PARTS 2000		/* more than the first message to the router has room for */
#define OF_VICTIM 1000000000u	/* numbers of its messages */
#define WAIT_NS INT64_C(20000000000)

/* ---- what the router publishes ----------------------------------------------------------------------------------- */

static const struct zcp_topic sent_topic = { "crash", "sent", "numbers" };
static zcp_subscriber *sent;
static uint64_t n_sent, n_received, n_of_victim;

static int send_through_router(zcp_node *node, uint64_t number, size_t size)
{
	uint64_t message[IN_PARTS / 8];

	fill(message, number, size);
	return zcp_node_send(node, &sent_topic, message, size);
}

static void receive_sent(void)
{
	struct zcp_sample sample;

	while (zcp_subscriber_take(sent, &sample) == 0) {
		uint64_t number = number_of(&sample);

		if (number >= OF_VICTIM)
			n_of_victim++;
		else if (number != n_received++)
			fail("message %llu came through the router where %llu was due", (unsigned long long)number,
			     (unsigned long long)n_received - 1);
		zcp_sample_release(&sample);
	}
}

static bool received_all(void)
{
	receive_sent();
	return n_received == n_sent;
}

void sent_keep(void)
{
	if (ok(send_through_router(callers, n_sent, n_sent % 2 ? SMALL : IN_PARTS)) != 1)
		fail("the router's message reaches nobody");
	n_sent++;
	expect(received_all());
}

void sent_open(void)
{
	ok(zcp_subscriber_open(&sent, callers, &sent_topic, NULL));
	sent_keep();
}

static void node_send(const struct side *side)
{
	zcp_node *node = join("victim");

	(void)side;
	step_mark();
	for (int i = 0; i < 2; i++) {
		progress->begun++;
		if (ok(send_through_router(node, OF_VICTIM + (uint64_t)i, i ? IN_PARTS : SMALL)) != 1)
			fail("the victim's message reaches nobody");
		progress->completed++;
	}
	step_mark();
}

static bool victims_came(void)
{
	receive_sent();
	return n_of_victim >= progress->completed;
}

/* A message whose last part is with the router comes, also if it is the last that the victim did; none comes in part. */
static void after_send(struct side *side)
{
	(void)side;
	expect(victims_came());
	sent_keep();
	check_progress(n_of_victim);
	n_of_victim = 0;
	progress->begun = progress->completed = 0;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static uint64_t offered;
static int offered_fd = -1;

static bool is_what_was_offered(int fd)
{
	char byte = 0;
	bool is_it = read(fd, &byte, 1) == 0;	/* /dev/null */

	close(fd);
	return is_it;
}

static void offer_and_withdraw(const struct side *side)
{
	zcp_node *node = join("victim");
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint64_t token[2];

	(void)side;
	step_mark();
	ok(zcp_node_offer_fd(node, fd, &token[0]));
	ok(zcp_node_offer_fd(node, fd, &token[1]));
	ok(zcp_node_withdraw_fd(node, token[0]));
	step_mark();
}

/* The survivors' node offers it; its thread gives it to whoever asks. The victim is told the token where both can see it. */
static void offer(struct side *side)
{
	(void)side;
	offered_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ok(zcp_node_offer_fd(callers, offered_fd, &offered));
	progress->begun = offered;
}

static void after_offer(struct side *side)
{
	(void)side;
	ok(zcp_node_withdraw_fd(callers, offered));
	close(offered_fd);
	progress->begun = 0;
}

/* Descriptors are given to those who are connected. */
static zcp_publisher *meet_survivors(zcp_node *node)
{
	zcp_publisher *p;

	ok(zcp_publisher_open(&p, node, &sent_topic, NULL));
	ok(zcp_publisher_wait(p, 1, WAIT_NS));
	return p;
}

static void take_fd(const struct side *side)
{
	zcp_node *node = join("victim");
	int fd;

	(void)side;
	meet_survivors(node);
	step_mark();	/* help: offer() */
	step_mark();
	fd = (int)ok(zcp_node_take_fd(node, sent->endpoint.id, progress->begun, WAIT_NS));
	if (!is_what_was_offered(fd))
		fail("another descriptor came");
	step_mark();
}

/* The victim offers, and has been asked: the survivors have given up by the time it looks. */
static void give_fd(const struct side *side)
{
	zcp_node *node = join("victim");
	struct pollfd p = { .fd = zcp_node_fd(node), .events = POLLIN };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint64_t token;

	(void)side;
	progress->completed = zcp_publisher_id(meet_survivors(node));
	ok(zcp_node_offer_fd(node, fd, &token));
	progress->begun = token;
	step_mark();	/* help: ask_for_fd() */
	step_mark();
	if (poll(&p, 1, 20000) != 1)
		fail("nobody asks");
	ok(zcp_node_dispatch(node));
	step_mark();
}

static void ask_for_fd(struct side *side)
{
	int r;

	(void)side;
	r = zcp_node_take_fd(callers, progress->completed, progress->begun, 1000000);
	if (r != -ETIMEDOUT)
		fail("take_fd: %d: %s", r, zcp_last_error());
	progress->begun = progress->completed = 0;
}

/* ---- larger messages --------------------------------------------------------------------------------------------- */

static zcp_publisher *grower;

static void grower_comes(struct side *side)
{
	struct zcp_publisher_options options = publisher_options(side->reliable);

	options.grow = true;
	ok(zcp_publisher_open(&grower, survivors, &(struct zcp_topic){ "crash", "late", "numbers" }, &options));
}

static void grower_sends(struct side *side)
{
	uint64_t message[LARGER / 8];

	(void)side;
	expect(ok(zcp_publisher_subscribers(grower)) == 1);
	for (uint64_t i = 0; i < 4; i++) {
		fill(message, i, i % 2 ? LARGER : SMALL);
		ok(zcp_publisher_send(grower, message, i % 2 ? LARGER : SMALL));
	}
}

/* The victim may hold what it took: nothing stops the publisher. */
static void grower_goes_on(struct side *side)
{
	uint64_t message[LARGER / 8];

	(void)side;
	expect(ok(zcp_publisher_subscribers(grower)) == 0);
	for (uint64_t i = 0; i < 3; i++) {
		fill(message, i, LARGER);
		ok(zcp_publisher_send(grower, message, LARGER));
	}
	zcp_publisher_close(grower);
}

static void take_larger(const struct side *side)
{
	zcp_node *node = join("victim");
	struct side late = { .topic = { "crash", "late", "numbers" }, .reliable = side->reliable };
	zcp_subscriber *s = open_subscriber(node, &late, 0);
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };
	struct zcp_sample sample[4];
	uint64_t end = deadline();

	step_mark();	/* help: grower_comes() */
	do {
		ok(zcp_node_dispatch(node));
		ok(zcp_subscriber_stats(s, &stats));
	} while (!stats.publishers && still_time(end));
	step_mark();	/* help: grower_sends() */
	step_mark();
	for (int i = 0; i < 4; i++) {
		/* the segment of the larger one may be on its way */
		while (zcp_subscriber_take(s, &sample[i]) == -EAGAIN)
			ok(zcp_subscriber_wait(s, WAIT_NS));
		if (sample[i].size != (i % 2 ? LARGER : SMALL) || sample[i].lost)
			fail("message %d has %zu bytes, %llu were lost", i, sample[i].size, (unsigned long long)sample[i].lost);
	}
	/* what a release looks at is the same for all bytes of a message */
	for (int i = 0; i < 4; i++)
		zcp_sample_release(&sample[i]);
	step_mark();
}

/* ---- wait sets --------------------------------------------------------------------------------------------------- */

#define N_MEMBERS 6

struct members {
	zcp_node *node;
	zcp_server *server;
	zcp_client *client;
	zcp_listener *listener;
	zcp_watch *watch;
	int pipe[2];
};

static void open_members(struct members *m)
{
	const struct zcp_topic topic = { "crash", "members", "numbers" };

	m->node = join("victim");
	m->server = open_server(m->node, &topic);
	m->client = open_client(m->node, &topic);
	ok(zcp_listener_open(&m->listener, m->node, &topic, NULL));
	ok(zcp_watch_open(&m->watch, m->node, NULL, NULL));
	if (pipe2(m->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		fail("pipe: %s", strerror(errno));
}

/* One of each kind comes, is looked at, and goes. */
static void members_of_set(const struct side *side)
{
	struct zcp_ready ready[N_MEMBERS];
	struct members m;
	zcp_waitset *ws;
	int n;

	(void)side;
	open_members(&m);
	ok(zcp_waitset_open(&ws, NULL));
	step_mark();
	ok(zcp_waitset_add_node(ws, m.node, &m));
	ok(zcp_waitset_add_server(ws, m.server, &m));
	ok(zcp_waitset_add_client(ws, m.client, &m));
	ok(zcp_waitset_add_listener(ws, m.listener, &m));
	ok(zcp_waitset_add_watch(ws, m.watch, &m));
	ok(zcp_waitset_add_fd(ws, m.pipe[1], POLLOUT, &m));
	ok(zcp_waitset_fd(ws));
	n = (int)ok(zcp_waitset_wait(ws, ready, N_MEMBERS, 0));
	if (n < 1)
		fail("a pipe has no room");
	ok(zcp_waitset_remove_fd(ws, m.pipe[1]));
	ok(zcp_waitset_remove_watch(ws, m.watch));
	ok(zcp_waitset_remove_listener(ws, m.listener));
	ok(zcp_waitset_remove_client(ws, m.client));
	ok(zcp_waitset_remove_server(ws, m.server));
	ok(zcp_waitset_remove_node(ws, m.node));
	step_mark();
}

const struct operation node_operations[] = {
	{ "node-send", ON_CALLS, node_send, { NULL }, after_send },
	{ "offer-fd", ON_CALLS, offer_and_withdraw, { NULL }, NULL },
	{ "take-fd", ON_CALLS, take_fd, { offer }, after_offer },
	{ "give-fd", ON_CALLS, give_fd, { ask_for_fd }, NULL },
	{ "take-larger", ON_BOTH, take_larger, { grower_comes, grower_sends }, grower_goes_on },
	{ "members-of-set", ON_CALLS, members_of_set, { NULL }, NULL },
};
const unsigned int n_node_operations = sizeof(node_operations) / sizeof(node_operations[0]);
