/* SPDX-License-Identifier: MIT */
/*
 * Notifiers and listeners that are killed. See operations.h.
 *
 * The survivors have one of each, in the node of calls.h, whose thread lets a victim in. What a victim has counted
 * before it died arrives, all of it; and the survivors go on with each other.
 */
#include "operations.h"

#include <errno.h>

#include "calls.h"
#include "step.h"

enum { OF_VICTIM = 5, OF_SURVIVORS = 200 };

static const struct zcp_topic event_topic = { "crash", "events", "state" };
static zcp_notifier *notifier;
static zcp_listener *listener;

void events_open(void)
{
	ok(zcp_listener_open(&listener, callers, &event_topic, NULL));
	ok(zcp_notifier_open(&notifier, callers, &event_topic, NULL));
	expect(zcp_notifier_listeners(notifier) == 1);
	expect(events_are_alone());
}

bool events_are_alone(void)
{
	return ok(zcp_notifier_listeners(notifier)) == 1 && ok(zcp_listener_notifiers(listener)) == 1;
}

/* ---- what victims have in common --------------------------------------------------------------------------------- */

static zcp_notifier *connected_notifier(void)
{
	zcp_notifier *n;

	ok(zcp_notifier_open(&n, join("victim"), &event_topic, NULL));
	ok(zcp_notifier_wait(n, 1, INT64_C(20000000000)));
	return n;
}

static void notify(zcp_notifier *n, int times)
{
	for (int i = 0; i < times; i++) {
		progress->begun++;
		ok(zcp_notifier_notify(n, OF_VICTIM));
		progress->completed++;
	}
}

static zcp_listener *connected_listener(void)
{
	static const uint32_t ids[] = { OF_SURVIVORS, 7 };
	struct zcp_listener_options options = { .sz = sizeof(options), .event_ids = ids, .n_event_ids = 2 };
	zcp_listener *l;

	ok(zcp_listener_open(&l, join("victim"), &event_topic, &options));
	step_mark();	/* help: something_happens() */
	return l;
}

/* ---- survivors --------------------------------------------------------------------------------------------------- */

static void something_happens(struct side *side)
{
	(void)side;
	expect(zcp_notifier_listeners(notifier) == 2);
	for (int i = 0; i < 3; i++)
		ok(zcp_notifier_notify(notifier, OF_SURVIVORS));
}

/* How often the victim's event has happened, and that nothing else has. */
static uint64_t heard_of_victim(uint64_t sum)
{
	uint64_t count;
	uint32_t id;

	while (zcp_listener_take(listener, &id, &count) == 0) {
		if (id == OF_VICTIM)
			sum += count;
		else if (id != OF_SURVIVORS)
			fail("event %u happened", id);
	}
	return sum;
}

static void check_events(struct side *side)
{
	uint64_t heard = heard_of_victim(0), count;
	uint32_t id;

	(void)side;
	/* also what it had counted before it was let in */
	expect((heard = heard_of_victim(heard)) >= progress->completed && events_are_alone());
	heard = heard_of_victim(heard);
	check_progress(heard);
	progress->begun = progress->completed = 0;
	for (int i = 0; i < 3; i++)
		ok(zcp_notifier_notify(notifier, OF_SURVIVORS));
	ok(zcp_listener_take(listener, &id, &count));
	if (id != OF_SURVIVORS || count != 3)
		fail("event %u came %llu times", id, (unsigned long long)count);
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static void notifier_open(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_notifier *n;

	(void)side;
	step_mark();
	ok(zcp_notifier_open(&n, node, &event_topic, NULL));
	notify(n, 2);
	step_mark();
}

static void notifier_notify(const struct side *side)
{
	zcp_notifier *n = connected_notifier();

	(void)side;
	step_mark();
	notify(n, 4);
	step_mark();
}

static void notifier_close(const struct side *side)
{
	zcp_notifier *n = connected_notifier();

	(void)side;
	notify(n, 3);
	step_mark();
	zcp_notifier_close(n);
	step_mark();
}

static void listener_open(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_listener *l;

	(void)side;
	step_mark();
	ok(zcp_listener_open(&l, node, &event_topic, NULL));
	step_mark();
}

static void listener_take(const struct side *side)
{
	zcp_listener *l = connected_listener();
	uint64_t count;
	uint32_t id;

	(void)side;
	step_mark();
	ok(zcp_listener_take(l, &id, &count));
	if (id != OF_SURVIVORS || count != 3)
		fail("event %u came %llu times", id, (unsigned long long)count);
	if (zcp_listener_take(l, &id, &count) != -EAGAIN)
		fail("there was another one");
	step_mark();
}

/* Armed, and nothing comes any more. */
static void listener_wait(const struct side *side)
{
	zcp_listener *l = connected_listener();
	uint32_t id;

	(void)side;
	ok(zcp_listener_take(l, &id, NULL));
	step_mark();
	if (zcp_listener_wait(l, 1000) != -ETIMEDOUT)
		fail("there was another one");
	ok(zcp_listener_fd(l));
	step_mark();
}

static void listener_close(const struct side *side)
{
	zcp_listener *l = connected_listener();

	(void)side;
	step_mark();
	zcp_listener_close(l);
	step_mark();
}

const struct operation event_operations[] = {
	{ "notifier-open", ON_CALLS, notifier_open, { NULL }, check_events },
	{ "notifier-notify", ON_CALLS, notifier_notify, { NULL }, check_events },
	{ "notifier-close", ON_CALLS, notifier_close, { NULL }, check_events },
	{ "listener-open", ON_CALLS, listener_open, { NULL }, check_events },
	{ "listener-take", ON_CALLS, listener_take, { something_happens }, check_events },
	{ "listener-wait", ON_CALLS, listener_wait, { something_happens }, check_events },
	{ "listener-close", ON_CALLS, listener_close, { something_happens }, check_events },
};
const unsigned int n_event_operations = sizeof(event_operations) / sizeof(event_operations[0]);
