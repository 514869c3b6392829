/* SPDX-License-Identifier: MIT */
/*
 * lib-waitset.c - watches, and wait sets with members of all kinds
 */
#include <errno.h>

#include "lib-world.h"

/* ---- watch -------------------------------------------------------------------------------------------------------- */

static int watch_open(struct world *w)
{
	return zcp_watch_open(&w->watch, w->node, NULL, NULL);
}

static void watching(struct world *w)
{
	world_open_subscriber(w);
	ok(watch_open(w));
	world_open_other_publisher(w);
}

static int watch_take(struct world *w)
{
	struct zcp_watch_event event;

	return zcp_watch_take(w->watch, &event);
}

static int watch_wait(struct world *w)
{
	int r;

	while ((r = watch_take(w)) == 0)
		;
	return r == -EAGAIN ? zcp_watch_wait(w->watch, 1000000) : r;
}

static int watch_fd(struct world *w)
{
	return zcp_watch_fd(w->watch);
}

static int watch_close(struct world *w)
{
	zcp_watch_close(w->watch);
	w->watch = NULL;
	return 0;
}

/* ---- wait set ----------------------------------------------------------------------------------------------------- */

static int waitset_open(struct world *w)
{
	return zcp_waitset_open(&w->waitset, NULL);
}

/* A wait set, and what could be a member of it. */
static void beside_waitset(struct world *w)
{
	watching(w);
	world_settle(w, w->other_publisher);
	ok(waitset_open(w));
}

static int waitset_add_subscriber(struct world *w)
{
	return zcp_waitset_add_subscriber(w->waitset, w->subscriber, NULL);
}

static int waitset_add_watch(struct world *w)
{
	return zcp_waitset_add_watch(w->waitset, w->watch, NULL);
}

static int waitset_add_node(struct world *w)
{
	return zcp_waitset_add_node(w->waitset, w->node, NULL);
}

/* Any descriptor will do. */
static int waitset_add_fd(struct world *w)
{
	return zcp_waitset_add_fd(w->waitset, zcp_watch_fd(w->watch), 1, NULL);
}

static int waitset_add_timer(struct world *w)
{
	w->timer = zcp_waitset_add_timer(w->waitset, 0, 0, NULL);
	return w->timer;
}

static void with_members(struct world *w)
{
	beside_waitset(w);
	ok(waitset_add_subscriber(w));
	ok(waitset_add_watch(w));
	ok(waitset_add_timer(w));
	if (w->no_thread)
		ok(waitset_add_node(w));
}

static int waitset_wait(struct world *w)
{
	struct zcp_ready ready[4];
	int r;

	/* until there is nothing left to report */
	while ((r = zcp_waitset_wait(w->waitset, ready, 4, 1000000)) > 0) {
		while (w->watch && watch_take(w) == 0)
			;
		world_take_all(w);
	}
	return r;
}

static int waitset_fd(struct world *w)
{
	int r = zcp_waitset_fd(w->waitset);

	return r < 0 ? r : waitset_wait(w);
}

static int waitset_remove(struct world *w)
{
	int r = zcp_waitset_remove_subscriber(w->waitset, w->subscriber);

	if (r == 0)
		r = zcp_waitset_remove_watch(w->waitset, w->watch);
	if (r == 0)
		r = zcp_waitset_remove_timer(w->waitset, w->timer);
	if (r == 0 && w->no_thread)
		r = zcp_waitset_remove_node(w->waitset, w->node);
	return r;
}

static void with_fd(struct world *w)
{
	beside_waitset(w);
	ok(waitset_add_fd(w));
}

static int waitset_remove_fd(struct world *w)
{
	return zcp_waitset_remove_fd(w->waitset, zcp_watch_fd(w->watch));
}

static int waitset_close(struct world *w)
{
	zcp_waitset_close(w->waitset);
	w->waitset = NULL;
	return 0;
}

/* A member is closed, and said to be. */
static int waitset_member_close(struct world *w)
{
	struct zcp_ready ready;

	watch_close(w);
	return zcp_waitset_wait(w->waitset, &ready, 1, 0);
}

/* What zcp.h documents. */
/* the fault for epoll_create1() hits epoll_ctl() too, which cannot really have EMFILE */
#define ADD_ERRORS { EEXIST, EBUSY, ENOSPC, ENOMEM, EOWNERDEAD, EMFILE }

static const struct scenario list[] = {
	{ "zcp_watch_open", world_open_subscriber, watch_open, { EINVAL, EDQUOT, ENOMEM, EMFILE, ENOTCONN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_watch_take", watching, watch_take, { EAGAIN, EOWNERDEAD } },
	{ "zcp_watch_wait", watching, watch_wait, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_watch_fd", watching, watch_fd, NO_ERRORS },
	{ "zcp_watch_close", watching, watch_close, NO_ERRORS },
	{ "zcp_waitset_open", world_open_subscriber, waitset_open, { EINVAL, EMFILE, ENOSPC, ENOMEM } },
	{ "zcp_waitset_add_subscriber", beside_waitset, waitset_add_subscriber, ADD_ERRORS },
	{ "zcp_waitset_add_watch", beside_waitset, waitset_add_watch, ADD_ERRORS },
	{ "zcp_waitset_add_node", beside_waitset, waitset_add_node, { EINVAL, EEXIST, EBUSY, ENOSPC, ENOMEM, EOWNERDEAD, EMFILE } },
	{ "zcp_waitset_add_fd", beside_waitset, waitset_add_fd,
	  { EINVAL, EBADF, EPERM, ELOOP, EEXIST, ENOSPC, ENOMEM, EOWNERDEAD, EMFILE } },
	{ "zcp_waitset_add_timer", beside_waitset, waitset_add_timer, { EINVAL, EMFILE, ENOSPC, ENOMEM, EOWNERDEAD } },
	{ "zcp_waitset_wait", with_members, waitset_wait, { ETIMEDOUT, ENOMEM, EOWNERDEAD } },
	{ "zcp_waitset_fd", with_members, waitset_fd, { ETIMEDOUT, ENOMEM, EOWNERDEAD } },
	{ "zcp_waitset_remove_*", with_members, waitset_remove, { ENOENT, EOWNERDEAD } },
	{ "zcp_waitset_remove_fd", with_fd, waitset_remove_fd, { ENOENT, EOWNERDEAD } },
	{ "zcp_waitset_close", with_members, waitset_close, NO_ERRORS },
	{ "zcp_waitset_wait, a member closed", with_members, waitset_member_close, { EBADF } },
};

const struct scenarios waitset_scenarios = { "waitset", list, sizeof(list) / sizeof(*list) };
