/* SPDX-License-Identifier: MIT */
/*
 * lib-events.c - events: the notifier on the node under test, or the listener; and the latest value of a topic
 */
#include <errno.h>
#include <unistd.h>

#include "lib-world.h"

static int notifier_open(struct world *w)
{
	return zcp_notifier_open(&w->notifier, w->notifier_is_here ? w->node : w->other, &lib_topic, NULL);
}

static int listener_open(struct world *w)
{
	return zcp_listener_open(&w->listener, w->notifier_is_here ? w->other : w->node, &lib_topic, NULL);
}

static int open_notifier_here(struct world *w)
{
	w->notifier_is_here = true;
	return notifier_open(w);
}

static void settle_events(struct world *w)
{
	ck_assert_within((world_dispatch(w), zcp_notifier_listeners(w->notifier) == 1 && zcp_listener_notifiers(w->listener) == 1), DEADLINE_MS);
}

static void listener_there(struct world *w)
{
	world_open_nodes(w);
	w->notifier_is_here = true;
	ok(listener_open(w));
}

static void notifier_there(struct world *w)
{
	world_open_nodes(w);
	ok(notifier_open(w));
}

static void connected_notifier(struct world *w)
{
	listener_there(w);
	ok(notifier_open(w));
	settle_events(w);
}

static void connected_listener(struct world *w)
{
	notifier_there(w);
	ok(listener_open(w));
	settle_events(w);
}

static void notified(struct world *w)
{
	connected_listener(w);
	ok(zcp_notifier_notify(w->notifier, 3));
}

static int notifier_notify(struct world *w)
{
	return zcp_notifier_notify(w->notifier, 3);
}

static int listener_take(struct world *w)
{
	uint64_t count;
	uint32_t id;

	return zcp_listener_take(w->listener, &id, &count);
}

static int listener_wait(struct world *w)
{
	return zcp_listener_wait(w->listener, 1000000);
}

static int listener_fd(struct world *w)
{
	return zcp_listener_fd(w->listener);
}

static int notifier_close(struct world *w)
{
	zcp_notifier_close(w->notifier);
	w->notifier = NULL;
	return 0;
}

static int listener_close(struct world *w)
{
	zcp_listener_close(w->listener);
	w->listener = NULL;
	return 0;
}

/* The other end comes; the node under test hears of it. */
static int other_end_comes(struct world *w)
{
	uint32_t held = fault_hold();

	ok(w->notifier_is_here ? listener_open(w) : notifier_open(w));
	fault_release(held);
	for (int i = 0; i < 20; i++) {
		zcp_node_dispatch(w->node);
		zcp_node_dispatch(w->other);
		usleep(200);
	}
	return w->notifier_is_here ? zcp_notifier_listeners(w->notifier) : zcp_listener_notifiers(w->listener);
}

static void notifier_alone(struct world *w)
{
	world_open_nodes(w);
	ok(open_notifier_here(w));
}

static void listener_alone(struct world *w)
{
	world_open_nodes(w);
	ok(listener_open(w));
}

/* Whatever became of the two: if they are connected, what happens is heard. */
void events_check(struct world *w)
{
	uint64_t count, sum = 0;
	uint32_t id;

	if (!w->notifier || !w->listener)
		return;
	world_dispatch(w);
	while (zcp_listener_take(w->listener, &id, &count) == 0)
		;
	if (zcp_notifier_listeners(w->notifier) != 1)
		return;
	ok(zcp_notifier_notify(w->notifier, 200));
	ck_assert_within((world_dispatch(w), zcp_listener_take(w->listener, &id, &count) == 0 && id == 200 && (sum += count) == 1), DEADLINE_MS);
}

static int subscriber_latest(struct world *w)
{
	int r = zcp_subscriber_latest(w->subscriber, &w->samples[0]);

	return r < 0 ? r : zcp_subscriber_latest(w->subscriber, &w->samples[1]);
}

static const struct scenario list[] = {
	{ "zcp_notifier_open", world_open_nodes, open_notifier_here, ENDPOINT_ERRORS },
	{ "zcp_notifier_open, listener there", listener_there, notifier_open, ENDPOINT_ERRORS },
	{ "zcp_listener_open", world_open_nodes, listener_open, ENDPOINT_ERRORS },
	{ "zcp_listener_open, notifier there", notifier_there, listener_open, ENDPOINT_ERRORS },
	{ "zcp_notifier_notify", connected_notifier, notifier_notify, { EOWNERDEAD } },
	{ "zcp_listener_take", notified, listener_take, { EAGAIN, EOWNERDEAD } },
	{ "zcp_listener_wait", notified, listener_wait, { ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_listener_wait in vain", connected_listener, listener_wait, { ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_listener_fd", notified, listener_fd, NO_ERRORS },
	{ "zcp_notifier_close", connected_notifier, notifier_close, NO_ERRORS },
	{ "zcp_listener_close", notified, listener_close, NO_ERRORS },
	{ "a listener comes", notifier_alone, other_end_comes, NO_ERRORS },
	{ "a notifier comes", listener_alone, other_end_comes, NO_ERRORS },
	{ "zcp_subscriber_latest", world_match_subscriber, subscriber_latest, { EAGAIN, ENOBUFS, EOWNERDEAD } },
};

const struct scenarios events_scenarios = { "events", list, sizeof(list) / sizeof(*list) };
