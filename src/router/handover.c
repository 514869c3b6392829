/* SPDX-License-Identifier: MIT */
/* See handover.h. */

#include "router/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "router/dispatch.h"
#include "router/registry.h"
#include "router/router.h"
#include "router/segment.h"

/* Only those that get its messages, or that it gets some of, have a reason to ask. */
static bool has_match_with(const struct node *node, const struct endpoint *endpoint)
{
	const struct match *match;

	if (endpoint->kind == WIRE_PUBLISHER) {
		DL_FOREACH2(endpoint->matches, match, publisher_next)
			if (match->subscriber->node == node)
				return true;
	} else {
		DL_FOREACH2(endpoint->matches, match, subscriber_next)
			if (match->publisher->node == node)
				return true;
	}
	return false;
}

/* A pair of sockets, each wrapped so that it can wait in a queue. Both are on the account of @user. */
static int make_pair(struct segment *ends[2], struct quota_user *user, struct refusal *refusal)
{
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return refuse(refusal, -errno, "cannot make a socket pair: %s", strerror(errno));
	ends[0] = ends[1] = NULL;
	r = segment_wrap(&ends[0], user, &fds[0], refusal);
	if (!r)
		r = segment_wrap(&ends[1], user, &fds[1], refusal);
	if (r)
		segment_unref(ends[0]);
	fd_close(fds[0]);
	fd_close(fds[1]);
	return r;
}

int handover_take(struct peer *peer, const struct wire_fd_take *take, struct refusal *refusal)
{
	const struct endpoint *endpoint = registry_find_endpoint(&peer->router->registry, take->endpoint);
	struct wire_fd_channel channel = { .reserved = 0 };
	struct wire_fd_wanted wanted = { .token = take->token };
	struct segment *ends[2];
	struct peer *owner;
	int r = dispatch_need_request(&take->header, "FD_TAKE", refusal);

	if (r)
		return r;
	if (!endpoint || !endpoint->ready || !has_match_with(peer->node, endpoint))
		return refuse(refusal, -ENOENT, "endpoint %llu is gone, or not connected with this node", (unsigned long long)take->endpoint);
	owner = endpoint->node->peer;
	if (owner->n_queued >= PEER_OPTIONAL_MESSAGES || owner->queued_bytes >= PEER_OPTIONAL_BYTES)
		return refuse(refusal, -EBUSY, "the node of endpoint %llu does not read its messages; try again later",
			      (unsigned long long)take->endpoint);
	r = make_pair(ends, peer->user, refusal);
	if (r)
		return r;
	wire_init(&wanted.header, WIRE_FD_WANTED, 0);
	peer_send(owner, &wanted.header, OUTBOX_WRITER_ONLY, ends[0]);
	wire_init(&channel.header, WIRE_FD_CHANNEL, take->header.request);
	peer_send(peer, &channel.header, OUTBOX_WRITER_ONLY, ends[1]);
	/* the queues have references of their own */
	segment_unref(ends[0]);
	segment_unref(ends[1]);
	return 0;
}
