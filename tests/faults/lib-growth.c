/* SPDX-License-Identifier: MIT */
/*
 * lib-growth.c - messages larger than planned for, descriptors handed over, and messages that the router publishes
 *
 * The last of these comes last: the router keeps a publisher for it for some seconds, which subscribers of the topic would meet.
 */
#include <errno.h>
#include <unistd.h>

#include "lib-world.h"

/* Messages that need a segment of their own. */
#define LARGER (80u << 10)

static char larger[LARGER];

static zcp_publisher *growing(zcp_node *node)
{
	struct zcp_publisher_options options = world_publisher_options;

	options.grow = true;
	return lib_publisher(node, &options);
}

static void growing_publisher(struct world *w)
{
	world_open_node(w);
	w->publisher = growing(w->node);
	world_open_other_subscriber(w);
	world_settle(w, w->publisher);
}

static int publisher_loan_larger(struct world *w)
{
	return zcp_publisher_loan(w->publisher, LARGER, &w->loans[0]);
}

static int publisher_send_larger(struct world *w)
{
	return zcp_publisher_send(w->publisher, larger, LARGER);
}

static void grown(struct world *w)
{
	growing_publisher(w);
	ok(publisher_send_larger(w));
	ok(publisher_loan_larger(w));
}

/* Small ones pass, until the segment is given back. */
static int publisher_shrink(struct world *w)
{
	struct zcp_sample sample;

	for (int i = 0; i < 300; i++) {
		int r = zcp_publisher_send(w->publisher, w->buffer, 8);

		if (r < 0)
			return r;
		while (zcp_subscriber_take(w->other_subscriber, &sample) == 0)
			zcp_sample_release(&sample);
		zcp_node_dispatch(w->other);
	}
	return 0;
}

static void grown_once(struct world *w)
{
	growing_publisher(w);
	ok(publisher_send_larger(w));
}

static void growing_writer(struct world *w)
{
	world_open_subscriber(w);
	world_open_other(w);
	w->other_publisher = growing(w->other);
	world_settle(w, w->other_publisher);
}

/* A message in a segment that the node under test has to map. */
static int larger_message_comes(struct world *w)
{
	uint32_t held = fault_hold();
	int r;

	r = zcp_publisher_send(w->other_publisher, larger, LARGER);
	ck_assert_msg(r >= 0 || r == -ETIMEDOUT || r == -EAGAIN, "%s: %d: %s", fault_where, r, zcp_last_error());
	fault_release(held);
	zcp_node_dispatch(w->node);
	r = world_take_all(w);
	return r == -EAGAIN ? world_wait(w) : r;
}

/* ---- descriptors -------------------------------------------------------------------------------------------------- */

/* One that `other` offers, to the node under test; and the other way round. */
static void offered(struct world *w)
{
	world_match_subscriber(w);
	w->offerer = zcp_publisher_id(w->other_publisher);
	ok(zcp_node_offer_fd(w->other, 0, &w->token));
}

static int offer_fd(struct world *w)
{
	int r = zcp_node_offer_fd(w->node, 0, &w->token);

	return r < 0 ? r : zcp_node_withdraw_fd(w->node, w->token);
}

/* The other node is asked behind our back, and then dispatched: so the first of these calls times out. */
static int take_fd(struct world *w)
{
	int r = zcp_node_take_fd(w->node, w->offerer, w->token, 0);

	if (r >= 0)
		close(r);
	return r < 0 ? r : 0;
}

static int node_is_asked(struct world *w)
{
	uint32_t held = fault_hold();
	int r = zcp_node_take_fd(w->other, zcp_publisher_id(w->publisher), w->token, 0);

	if (r >= 0)
		close(r);
	fault_release(held);
	for (int i = 0; i < 5; i++) {
		zcp_node_dispatch(w->node);
		usleep(200);
	}
	return 0;
}

static void offering(struct world *w)
{
	world_match_publisher(w);
	ok(zcp_node_offer_fd(w->node, 0, &w->token));
}

/* ---- by the router ------------------------------------------------------------------------------------------------ */

static int node_send(struct world *w)
{
	return zcp_node_send(w->node, &lib_topic, w->buffer, sizeof(w->buffer));
}

/* What zcp.h documents. */
#define GROWTH_ERRORS { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EDQUOT, ENOTCONN, EMFILE, ENOMEM, ENOSPC, EOWNERDEAD }

static const struct scenario list[] = {
	{ "zcp_publisher_loan, larger", growing_publisher, publisher_loan_larger, GROWTH_ERRORS },
	{ "zcp_publisher_send, larger", growing_publisher, publisher_send_larger, GROWTH_ERRORS },
	{ "zcp_publisher_send, larger given back", grown_once, publisher_shrink, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_close with a larger loan", grown, world_close_publisher, NO_ERRORS },
	{ "a larger message comes", growing_writer, larger_message_comes, { ETIMEDOUT, EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_node_offer_fd", world_open_node, offer_fd, { ENOMEM, EMFILE } },
	{ "zcp_node_take_fd", offered, take_fd, { ENOENT, ETIMEDOUT, EBUSY, EDQUOT, ENOTCONN, EMFILE, ENOMEM, EOWNERDEAD } },
	{ "a descriptor is wanted", offering, node_is_asked, NO_ERRORS },
	{ "zcp_node_send", world_open_node, node_send, { EINVAL, EMSGSIZE, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ETIMEDOUT, EOWNERDEAD } },
};

const struct scenarios growth_scenarios = { "growth", list, sizeof(list) / sizeof(*list) };
