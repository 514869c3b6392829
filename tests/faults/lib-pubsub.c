/* SPDX-License-Identifier: MIT */
/*
 * lib-pubsub.c - nodes, publishers, subscribers and their samples; and the other end coming and going
 */
#include <errno.h>

#include "lib-world.h"

/* ---- node and publisher ------------------------------------------------------------------------------------------ */

static int node_open(struct world *w)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = w->no_thread };

	return zcp_node_open(&w->node, "node", &options);
}

static int node_dispatch(struct world *w)
{
	return zcp_node_dispatch(w->node);
}

static int node_wait(struct world *w)
{
	return zcp_node_wait(w->node, 1000000);
}

static int publisher_open(struct world *w)
{
	struct zcp_publisher_options options = world_publisher_options;

	options.sz = sizeof(options);
	return zcp_publisher_open(&w->publisher, w->node, &lib_topic, &options);
}

static int publisher_loan(struct world *w)
{
	return zcp_publisher_loan(w->publisher, LARGE, &w->loans[0]);
}

static void loaned(struct world *w)
{
	world_match_publisher(w);
	w->n_loans = (int)ok(zcp_publisher_loan_batch(w->publisher, LARGE, w->loans, 2));
}

static int publisher_publish(struct world *w)
{
	return zcp_publisher_publish(w->publisher, w->loans[0], LARGE);
}

static int publisher_publish_with(struct world *w)
{
	return zcp_publisher_publish_with(w->publisher, w->loans[0], LARGE, "8 bytes.");
}

static int publisher_send_with(struct world *w)
{
	return zcp_publisher_send_with(w->publisher, w->buffer, LARGE, "8 bytes.");
}

static int publisher_discard(struct world *w)
{
	return zcp_publisher_discard(w->publisher, w->loans[0]);
}

static int publisher_send(struct world *w)
{
	int r = zcp_publisher_send(w->publisher, w->buffer, 16);

	return r < 0 ? r : zcp_publisher_send(w->publisher, w->buffer, LARGE);
}

static int publisher_loan_batch(struct world *w)
{
	return zcp_publisher_loan_batch(w->publisher, LARGE, w->loans, 2);
}

static int publisher_publish_batch(struct world *w)
{
	return zcp_publisher_publish_batch(w->publisher, w->loans, (const size_t[]){ LARGE, 16 }, w->n_loans);
}

static int publisher_subscribers(struct world *w)
{
	return zcp_publisher_subscribers(w->publisher);
}

static int publisher_wait(struct world *w)
{
	return zcp_publisher_wait(w->publisher, 1, 20000000);
}

/* A reliable publisher whose subscriber has no room left, with a timeout. */
static void full(struct world *w)
{
	struct zcp_publisher_options options = { .depth = 4, .reliable = true, .timeout = 2000000 };
	int r;

	world_open_node(w);
	w->publisher = lib_publisher(w->node, &options);
	world_open_other_subscriber(w);
	world_settle(w, w->publisher);
	while ((r = zcp_publisher_send(w->publisher, w->buffer, 8)) >= 0)
		;
	ck_assert_int_eq(r, -ETIMEDOUT);
}

static void news_of_subscriber(struct world *w)
{
	world_open_publisher(w);
	world_open_other_subscriber(w);
}

static void loaned_alone(struct world *w)
{
	world_open_publisher(w);
	ok(zcp_publisher_loan(w->publisher, LARGE, &w->loans[0]));
}

/* ---- subscriber --------------------------------------------------------------------------------------------------- */

static int subscriber_open(struct world *w)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .history = 2 };

	return zcp_subscriber_open(&w->subscriber, w->node, &lib_topic, &options);
}

static void sent(struct world *w)
{
	world_match_subscriber(w);
	ok(lib_send(w->other_publisher, 3, 16));
	ok(lib_send(w->other_publisher, 4, LARGE));
}

static int subscriber_take(struct world *w)
{
	return zcp_subscriber_take(w->subscriber, &w->samples[0]);
}

static int subscriber_take_batch(struct world *w)
{
	return zcp_subscriber_take_batch(w->subscriber, w->samples, 2);
}

static void taken(struct world *w)
{
	sent(w);
	ok(zcp_subscriber_take_batch(w->subscriber, w->samples, 2));
}

static int sample_release(struct world *w)
{
	zcp_sample_release(&w->samples[0]);
	return 0;
}

static int sample_release_batch(struct world *w)
{
	zcp_sample_release_batch(w->samples, 2);
	return 0;
}

static int sample_copy(struct world *w)
{
	return (int)zcp_sample_copy(&w->samples[0], w->buffer, sizeof(w->buffer));
}

static int subscriber_fd(struct world *w)
{
	return zcp_subscriber_fd(w->subscriber);
}

static void fd_mode(struct world *w)
{
	sent(w);
	ok(zcp_subscriber_fd(w->subscriber));
}

static int subscriber_stats(struct world *w)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };

	return zcp_subscriber_stats(w->subscriber, &stats);
}

static int subscriber_close(struct world *w)
{
	zcp_subscriber_close(w->subscriber);
	w->subscriber = NULL;
	return 0;
}

/* The node was closed with samples held: the last release frees it. */
static void node_of_samples(struct world *w)
{
	taken(w);
	world_close_node(w);
}

/* The last publisher has left, its messages were taken. */
static void publisher_left(struct world *w)
{
	struct zcp_subscriber_stats stats;

	sent(w);
	zcp_publisher_close(w->other_publisher);
	w->other_publisher = NULL;
	world_take_all(w);
	ck_assert_within((world_dispatch(w), world_take_all(w), stats = lib_stats(w->subscriber), stats.departed == 1), DEADLINE_MS);
}

/* ---- the other end ------------------------------------------------------------------------------------------------ */

/* The peer first: it is there when the node comes. */
static void subscriber_there(struct world *w)
{
	world_open_other_subscriber(w);
	world_open_node(w);
}

static void publisher_there(struct world *w)
{
	world_open_other_publisher(w);
	world_open_node(w);
}

/* A publisher comes, and WRITER_ADDED to the node under test. The peer hears of the outcome, or of nothing. */
static int writer_comes(struct world *w)
{
	struct zcp_publisher_options options = world_publisher_options;

	uint32_t held = fault_hold();

	options.sz = sizeof(options);
	ok(zcp_publisher_open(&w->other_publisher, w->other, &lib_topic, &options));
	fault_release(held);
	zcp_node_dispatch(w->node);
	held = fault_hold();
	zcp_publisher_wait(w->other_publisher, 1, 5000000);
	fault_release(held);
	return 0;
}

static int writer_goes(struct world *w)
{
	uint32_t held = fault_hold();

	zcp_publisher_close(w->other_publisher);
	w->other_publisher = NULL;
	fault_release(held);
	zcp_node_dispatch(w->node);
	return world_wait(w);
}

static int reader_comes(struct world *w)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options) };

	uint32_t held = fault_hold();

	ok(zcp_subscriber_open(&w->other_subscriber, w->other, &lib_topic, &options));
	fault_release(held);
	zcp_node_dispatch(w->node);
	return zcp_publisher_wait(w->publisher, 1, 5000000);
}

static int reader_goes(struct world *w)
{
	uint32_t held = fault_hold();

	zcp_subscriber_close(w->other_subscriber);
	w->other_subscriber = NULL;
	fault_release(held);
	zcp_node_dispatch(w->node);
	return zcp_publisher_subscribers(w->publisher);
}

static void subscriber_and_other(struct world *w)
{
	world_open_subscriber(w);
	world_open_other(w);
}

static void publisher_and_other(struct world *w)
{
	world_open_publisher(w);
	world_open_other(w);
}

static const struct scenario list[] = {
	{ "zcp_node_open", NULL, node_open,
	  { EINVAL, ECONNREFUSED, ENOENT, EACCES, EPROTONOSUPPORT, EDQUOT, ENOSPC, EMFILE, ENOMEM, ETIMEDOUT, ENAMETOOLONG, EPROTO,
	    ENOTCONN, EAGAIN } },
	{ "zcp_node_close", world_open_node, world_close_node, NO_ERRORS },
	{ "zcp_node_close with endpoints", taken, world_close_node, NO_ERRORS },
	{ "zcp_node_close with matches", world_match_publisher, world_close_node, NO_ERRORS },
	{ "zcp_node_close with a loan", loaned_alone, world_close_node, NO_ERRORS },
	{ "zcp_node_dispatch", subscriber_and_other, node_dispatch, { ENOTCONN } },
	{ "zcp_node_wait", world_open_node, node_wait, { ETIMEDOUT, ENOTCONN } },
	{ "zcp_publisher_open", world_open_node, publisher_open, ENDPOINT_ERRORS },
	{ "zcp_publisher_open, subscriber there", subscriber_there, publisher_open, ENDPOINT_ERRORS },
	{ "zcp_publisher_loan", world_match_publisher, publisher_loan, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_loan, news", news_of_subscriber, publisher_loan, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_publish", loaned, publisher_publish, { EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_discard", loaned, publisher_discard, { EINVAL } },
	{ "zcp_publisher_send", world_match_publisher, publisher_send, { EINVAL, EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_publish_with", loaned, publisher_publish_with, { EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_send_with", world_match_publisher, publisher_send_with, { EINVAL, EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_send, no room", full, publisher_send, { EINVAL, EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_loan_batch", world_match_publisher, publisher_loan_batch, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_publish_batch", loaned, publisher_publish_batch, { EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_subscribers", news_of_subscriber, publisher_subscribers, NO_ERRORS },
	{ "zcp_publisher_wait", news_of_subscriber, publisher_wait, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_publisher_wait in vain", world_open_publisher, publisher_wait, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_publisher_close", world_match_publisher, world_close_publisher, NO_ERRORS },
	{ "zcp_publisher_close with a loan", loaned, world_close_publisher, NO_ERRORS },
	{ "zcp_subscriber_open", world_open_node, subscriber_open, ENDPOINT_ERRORS },
	{ "zcp_subscriber_open, publisher there", publisher_there, subscriber_open, ENDPOINT_ERRORS },
	{ "zcp_subscriber_take", sent, subscriber_take, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_take until empty", sent, world_take_all, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_take until empty, by descriptor", fd_mode, world_take_all, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_take_batch", sent, subscriber_take_batch, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_sample_release", taken, sample_release, NO_ERRORS },
	{ "zcp_sample_release_batch", taken, sample_release_batch, NO_ERRORS },
	{ "zcp_sample_release_batch, the last of a node", node_of_samples, sample_release_batch, NO_ERRORS },
	{ "zcp_sample_copy", taken, sample_copy, NO_ERRORS },
	{ "zcp_subscriber_wait", sent, world_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_wait in vain", world_open_subscriber, world_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_fd", sent, subscriber_fd, NO_ERRORS },
	{ "zcp_subscriber_stats", sent, subscriber_stats, NO_ERRORS },
	{ "zcp_subscriber_stats, publisher gone", publisher_left, subscriber_stats, NO_ERRORS },
	{ "zcp_subscriber_close", sent, subscriber_close, NO_ERRORS },
	{ "zcp_subscriber_close with samples", taken, subscriber_close, NO_ERRORS },
	{ "a publisher comes", subscriber_and_other, writer_comes, NO_ERRORS },
	{ "a publisher goes", world_match_subscriber, writer_goes, { ETIMEDOUT } },
	{ "a subscriber comes", publisher_and_other, reader_comes, { ETIMEDOUT, ENOTCONN } },
	{ "a subscriber goes", world_match_publisher, reader_goes, NO_ERRORS },
};

const struct scenarios pubsub_scenarios = { "pubsub", list, sizeof(list) / sizeof(*list) };
