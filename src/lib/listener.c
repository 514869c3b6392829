/* SPDX-License-Identifier: MIT */
/*
 * listener.c - hearing that something has happened
 *
 * A listener is a subscriber whose lanes carry counters (channel/counters.h) and never a message. What they have grown by is
 * collected into one table of its own, whichever notifier it is from, so that a notifier that is gone
 * leaves nothing behind but what it has counted; taking hands out that table, one event id after the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/counters.h"
#include "common/clock.h"
#include "lib/control.h"
#include "lib/error.h"
#include "lib/options.h"
#include "lib/subscriber.h"

#define DEFAULT_MAX_EVENT_ID 255
#define DEFAULT_MAX_NOTIFIERS 64

struct zcp_listener {
	struct zcp_subscriber in;	/* first */
	uint32_t n_ids, n_words;
	uint32_t next;			/* where the next take begins to look: all ids get their turn */
	uint64_t *interest;		/* bitmap of the ids that were asked for. Constant */
	uint64_t *bits;			/* bitmap of the ids with something in pending[] */
	uint64_t *pending;		/* [n_ids] collected and not taken */
};

/* ---- collecting -------------------------------------------------------------------------------------------------- */

static void collect(struct zcp_listener *l, struct lane *lane)
{
	counters_collect(&lane->reader, l->interest, l->n_ids, lane->seen, &lane->seen_head, l->pending, l->bits);
}

static bool any_pending(const struct zcp_listener *l)
{
	for (uint32_t word = 0; word < l->n_words; word++)
		if (l->bits[word])
			return true;
	return false;
}

static void collect_all(struct zcp_listener *l)
{
	for (uint32_t i = 0; i < l->in.n_lanes; i++)
		collect(l, l->in.lane[i]);
}

/* ---- what the subscriber asks (lib/subscriber.h) ------------------------------------------------------------------- */

static int prepare_lane(struct zcp_subscriber *s, struct lane *lane)
{
	const struct zcp_listener *l = (const void *)s;

	lane->seen = calloc(l->n_ids, sizeof(*lane->seen));
	if (!lane->seen)
		return -ENOMEM;
	lane->seen_head = counters_begin(&lane->reader, l->interest, l->n_ids, lane->seen, lane->match.flags & WIRE_MATCH_FROM_START);
	return 0;
}

/* Its notifier is gone, and will not count any further. */
static void drained(struct zcp_subscriber *s, struct lane *lane)
{
	collect((struct zcp_listener *)(void *)s, lane);
}

static bool ready(struct zcp_subscriber *s)
{
	struct zcp_listener *l = (struct zcp_listener *)(void *)s;

	if (any_pending(l))
		return true;
	collect_all(l);
	return any_pending(l);
}

static const struct subscriber_hooks hooks = { .counters = prepare_lane, .drained = drained, .ready = ready };

/* ---- taking ------------------------------------------------------------------------------------------------------ */

/* The next id with something pending, from l->next on and round. */
static bool take_pending(struct zcp_listener *l, uint32_t *event_id, uint64_t *count)
{
	uint32_t start = l->next / 64;
	uint64_t behind = ~UINT64_C(0) << (l->next % 64);

	/* the first word twice: its upper part first, its lower part last */
	for (uint32_t i = 0; i <= l->n_words; i++) {
		uint32_t word = (start + i) % l->n_words;
		uint64_t bits = l->bits[word] & (i == 0 ? behind : i == l->n_words ? ~behind : ~UINT64_C(0));
		uint32_t id;

		if (!bits)
			continue;
		id = 64 * word + (uint32_t)__builtin_ctzll(bits);
		l->bits[word] &= ~(UINT64_C(1) << (id % 64));
		*event_id = id;
		*count = l->pending[id];
		l->pending[id] = 0;
		l->next = (id + 1) % (64 * l->n_words);
		return true;
	}
	return false;
}

int zcp_listener_take(struct zcp_listener *listener, uint32_t *event_id, uint64_t *count)
{
	struct zcp_listener *l = listener;
	struct zcp_subscriber *s = &l->in;
	uint64_t times;

	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	if (!ready(s) && !(s->fd_mode && subscriber_rearm(s) == 0))
		return error_note(-EAGAIN, "nothing that this listener asked for has happened");
	if (!take_pending(l, event_id, &times))
		return error_note(-EAGAIN, "nothing that this listener asked for has happened");
	if (count)
		*count = times;
	return 0;
}

int zcp_listener_wait(struct zcp_listener *listener, int64_t timeout)
{
	int r = zcp_subscriber_wait(&listener->in, timeout);

	return r == -ETIMEDOUT ? error_note(r, "nothing that this listener asked for has happened in time") : r;
}

int zcp_listener_fd(struct zcp_listener *listener)
{
	return zcp_subscriber_fd(&listener->in);
}

int zcp_listener_notifiers(struct zcp_listener *listener)
{
	struct zcp_subscriber *s = &listener->in;

	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	return (int)(s->n_lanes - s->n_gone);
}

uint64_t zcp_listener_id(const struct zcp_listener *listener)
{
	return listener->in.endpoint.id;
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int check_options(struct zcp_listener_options *o)
{
	if (!o->max_event_id)
		o->max_event_id = DEFAULT_MAX_EVENT_ID;
	if (!o->max_notifiers)
		o->max_notifiers = DEFAULT_MAX_NOTIFIERS;
	if (o->max_event_id >= COUNTERS_MAX)
		return error_set(-EINVAL, "max_event_id is %u; at most %u is possible", o->max_event_id, COUNTERS_MAX - 1);
	if (o->max_notifiers > LANES_MAX)
		return error_set(-EINVAL, "max_notifiers is %u; at most %u are possible", o->max_notifiers, LANES_MAX);
	if (o->n_event_ids && !o->event_ids)
		return error_note(-EINVAL, "n_event_ids is set and event_ids is not; leave both for all ids");
	for (size_t i = 0; i < o->n_event_ids; i++)
		if (o->event_ids[i] > o->max_event_id)
			return error_set(-ERANGE, "event_ids has %u, which is larger than max_event_id, %u", o->event_ids[i], o->max_event_id);
	return 0;
}

static int prepare(struct wire_endpoint_open *message, const struct zcp_topic *topic, struct zcp_listener_options *o, const void *options)
{
	int r;

	memset(message, 0, sizeof(*message));
	r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_listener_options");
	if (r == 0)
		r = options_topic(&message->topic, topic);
	if (r == 0)
		r = check_options(o);
	message->kind = WIRE_SUBSCRIBER;
	message->role = WIRE_ROLE_EVENT;
	message->flags = WIRE_ENDPOINT_LOSSY;
	message->max_held = counters_words(o->max_event_id + 1);
	message->n_lanes = o->max_notifiers;
	return r;
}

static void free_listener(struct zcp_listener *l)
{
	free(l->interest);
	free(l->bits);
	free(l->pending);
	subscriber_deinit(&l->in);
	free(l);
}

static struct zcp_listener *allocate(struct zcp_node *node, const struct zcp_listener_options *o, const struct endpoint_operations *operations)
{
	struct zcp_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->n_ids = o->max_event_id + 1;
	l->n_words = counters_words(l->n_ids);
	l->interest = calloc(l->n_words, sizeof(*l->interest));
	l->bits = calloc(l->n_words, sizeof(*l->bits));
	l->pending = calloc(l->n_ids, sizeof(*l->pending));
	if (!l->interest || !l->bits || !l->pending || subscriber_init(&l->in, l->n_words, o->max_notifiers, 0) < 0) {
		free(l->interest);
		free(l->bits);
		free(l->pending);
		free(l);
		return NULL;
	}
	for (size_t i = 0; i < o->n_event_ids; i++)
		l->interest[o->event_ids[i] / 64] |= UINT64_C(1) << (o->event_ids[i] % 64);
	for (uint32_t id = 0; !o->n_event_ids && id < l->n_ids; id++)
		l->interest[id / 64] |= UINT64_C(1) << (id % 64);
	l->in.endpoint.node = node;
	l->in.endpoint.operations = operations;
	l->in.hooks = &hooks;
	return l;
}

static void mark_closed(struct endpoint *ep)
{
	subscriber_operations.mark_closed(ep);
}

static bool is_closed(const struct match *match)
{
	return subscriber_operations.is_closed(match);
}

static void close_endpoint(struct endpoint *ep)
{
	zcp_listener_close((struct zcp_listener *)(void *)ep);
}

static const struct endpoint_operations operations = {
	.added = lane_writer_added,
	.never = lane_writer_never,
	.away = lane_router_gone,
	.mark_closed = mark_closed,
	.is_closed = is_closed,
	.close = close_endpoint,
};

static int open_once(struct zcp_listener **listener, struct zcp_node *node, struct wire_endpoint_open *message,
		     const struct zcp_listener_options *o)
{
	struct zcp_listener *l = allocate(node, o, &operations);
	uint32_t n_notifiers;
	int r;

	if (!l)
		return error_note(-ENOMEM, "no memory for a listener");
	r = subscriber_open(&l->in, message, &n_notifiers);
	if (r < 0) {
		free_listener(l);
		return r;
	}
	*listener = l;
	return 0;
}

int zcp_listener_open(struct zcp_listener **listener, struct zcp_node *node, const struct zcp_topic *topic,
		      const struct zcp_listener_options *options)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	struct wire_endpoint_open message;
	struct zcp_listener_options o;
	int r;

	*listener = NULL;
	if (forked_since(node->fork_generation))
		return error_forked();
	r = prepare(&message, topic, &o, options);
	if (r < 0)
		return r;
	do {
		r = open_once(listener, node, &message, &o);
	} while (r == -ENOTCONN && node_await_joined(node, deadline));
	return r;
}

void zcp_listener_close(struct zcp_listener *listener)
{
	struct zcp_listener *l = listener;
	struct zcp_node *node;
	bool last;

	/* in a forked child the memory stays; nothing is ever held */
	if (!l || !subscriber_close(&l->in))
		return;
	node = l->in.endpoint.node;
	last = subscriber_leave(&l->in);
	free_listener(l);
	if (last)
		node_free(node);
}
