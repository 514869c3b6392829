/* SPDX-License-Identifier: MIT */
/*
 * notifier.c - saying that something has happened
 *
 * A notifier is a publisher whose channel is an array of counters (channel/counters.h): it is opened, matched, claimed after
 * a restart and closed like any other, but nothing is ever published on it.
 */
#include <errno.h>
#include <string.h>

#include "channel/counters.h"
#include "common/probe.h"
#include "lib/error.h"
#include "lib/options.h"
#include "lib/publisher.h"

#define DEFAULT_MAX_EVENT_ID 255

/* What the user has is the publisher. */
struct zcp_notifier {
	struct zcp_publisher publisher;
};

static int prepare(struct wire_endpoint_open *message, const struct zcp_topic *topic, const void *options, uint32_t *max_event_id)
{
	struct zcp_notifier_options o;
	const char *why;
	int r;

	memset(message, 0, sizeof(*message));
	r = options_copy(&o, sizeof(o), sizeof(o), options, "zcp_notifier_options");
	if (r == 0)
		r = options_topic(&message->topic, topic);
	if (r < 0)
		return r;
	if (!o.max_event_id)
		o.max_event_id = DEFAULT_MAX_EVENT_ID;
	if (o.max_event_id >= COUNTERS_MAX)
		return error_set(-EINVAL, "max_event_id is %u; at most %u is possible", o.max_event_id, COUNTERS_MAX - 1);
	if (o.max_listeners > LANES_MAX)
		return error_set(-EINVAL, "max_listeners is %u; at most %u are possible", o.max_listeners, LANES_MAX);
	r = counters_plan(&message->geometry, o.max_event_id + 1, o.max_listeners, &why);
	message->kind = WIRE_PUBLISHER;
	message->role = WIRE_ROLE_EVENT;
	*max_event_id = o.max_event_id;
	return r < 0 ? error_set(r, "%s", why) : 0;
}

int zcp_notifier_open(struct zcp_notifier **notifier, struct zcp_node *node, const struct zcp_topic *topic,
		      const struct zcp_notifier_options *options)
{
	struct wire_endpoint_open message;
	struct zcp_publisher *p;
	uint32_t max_event_id = 0;
	int r;

	*notifier = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&message, topic, options, &max_event_id);
	if (r < 0)
		return r;
	r = publisher_open_counters(&p, node, &message);
	if (r < 0)
		return r;
	p->max_event_id = max_event_id;
	*notifier = (struct zcp_notifier *)(void *)p;
	return 0;
}

int zcp_notifier_notify(struct zcp_notifier *notifier, uint32_t event_id)
{
	struct zcp_publisher *p = &notifier->publisher;

	if (forked_since(p->endpoint.fork_generation))
		return error_forked();
	if (unlikely(event_id > p->max_event_id))
		return error_set(-ERANGE, "event id %u is larger than this notifier's max_event_id, which is %u", event_id, p->max_event_id);
	counters_notify(&p->writer, event_id);
	PROBE(zcp, notify, p->endpoint.id, (uint64_t)event_id, (uint64_t)p->writer.n_lanes);
	/* a listener that comes now and sleeps already is rung when it is attached, and not by what was counted before */
	if (endpoint_has_news(&p->endpoint))
		publisher_look_at_news(p);
	return (int)p->writer.n_lanes;
}

int zcp_notifier_listeners(struct zcp_notifier *notifier)
{
	return zcp_publisher_subscribers(&notifier->publisher);
}

int zcp_notifier_wait(struct zcp_notifier *notifier, int listeners, int64_t timeout)
{
	int r = zcp_publisher_wait(&notifier->publisher, listeners, timeout);

	return r == -ETIMEDOUT ? error_set(r, "not %d listeners came in time", listeners) : r;
}

uint64_t zcp_notifier_id(const struct zcp_notifier *notifier)
{
	return notifier->publisher.endpoint.id;
}

void zcp_notifier_close(struct zcp_notifier *notifier)
{
	zcp_publisher_close((struct zcp_publisher *)(void *)notifier);
}
