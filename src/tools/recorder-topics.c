/* SPDX-License-Identifier: MIT */
/*
 * recorder-topics.c - see recorder-topics.h
 */
#include "tools/recorder-topics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/node.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"

#define HELD 8			/* samples of large messages, which each publisher has to set aside for us */
#define HELD_SMALL 64		/* of messages up to SMALL */
#define SMALL 4096
#define GONE_MAX 1024

struct recorder_topic {
	char name[NAME_TOPIC_BYTES];
	char parts[3][NAME_MAX_BYTES + 1];
	zcp_subscriber *subscriber;	/* NULL: it could not be opened */
	UT_hash_handle hh;
};

zcp_subscriber *recorder_topic_subscriber(const struct recorder_topic *topic)
{
	return topic->subscriber;
}

/* ---- what the directory knows ---- */

static bool find_endpoint(const struct directory_view *view, uint64_t id, struct directory_endpoint *e)
{
	for (uint32_t i = 0; i < view->max_endpoints; i++) {
		if (directory_read_endpoint(view, i, e) == 1 && e->id == id) {
			e->type.name[WIRE_NAME_BYTES - 1] = 0;
			return true;
		}
	}
	return false;
}

static void find_node(const struct directory_view *view, uint64_t id, struct recording_stream *stream)
{
	struct directory_node n;

	for (uint32_t i = 0; i < view->max_nodes; i++) {
		if (directory_read_node(view, i, &n) == 1 && n.id == id) {
			n.name[WIRE_NAME_BYTES - 1] = 0;
			snprintf(stream->node, sizeof(stream->node), "%.*s", NAME_MAX_BYTES, n.name);
			stream->pid = n.pid;
			return;
		}
	}
}

static void describe(struct recorder_topics *t, struct recording_stream *stream)
{
	const struct directory_view *view = &t->node->directory;
	struct directory_endpoint e;

	if (!find_endpoint(view, stream->publisher, &e))
		return;
	stream->known = true;
	stream->reliable = e.flags & WIRE_ENDPOINT_RELIABLE;
	stream->payload_max = e.payload_max;
	stream->depth = e.depth;
	stream->history = e.history;
	stream->type_size = e.type.size;
	stream->type_alignment = e.type.alignment;
	snprintf(stream->type, sizeof(stream->type), "%.*s", NAME_MAX_BYTES, e.type.name);
	find_node(view, e.node, stream);
}

static struct recorder_publisher *find_publisher(const struct recorder_topics *t, uint64_t id)
{
	struct recorder_publisher *p = NULL;

	HASH_FIND(hh, t->publishers, &id, sizeof(id), p);
	return p;
}

/* @event: how we heard of it; NULL: by a message. It has the name of one that is gone again already. */
static struct recorder_publisher *add_publisher(struct recorder_topics *t, const char *const parts[3], uint64_t id,
						const struct zcp_watch_event *event)
{
	struct recorder_publisher *p = find_publisher(t, id);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->stream.publisher = id;
	for (int i = 0; i < 3; i++)
		snprintf(p->stream.topic[i], sizeof(p->stream.topic[i]), "%s", parts[i]);
	if (event) {
		snprintf(p->stream.node, sizeof(p->stream.node), "%.*s", NAME_MAX_BYTES, event->node_name);
		p->stream.pid = event->pid;
	}
	describe(t, &p->stream);
	HASH_ADD(hh, t->publishers, stream.publisher, sizeof(p->stream.publisher), p);
	return p;
}

struct recorder_publisher *recorder_topics_publisher(struct recorder_topics *t, const struct recorder_topic *topic, uint64_t id)
{
	const char *const parts[] = { topic->parts[0], topic->parts[1], topic->parts[2] };
	struct recorder_publisher *p = find_publisher(t, id);

	/* the news of it may be there, and not yet be read */
	for (int i = 0; !p && i < t->n_watches; i++) {
		if (recorder_topics_look(t, t->watches[i]) < 0)
			return NULL;
		p = find_publisher(t, id);
	}
	return p ? p : add_publisher(t, parts, id, NULL);
}

/* Messages of one that is gone may still be there to take, so it is forgotten much later: when many more have gone. */
static void publisher_gone(struct recorder_topics *t, uint64_t id)
{
	struct recorder_publisher *p = NULL, *next;

	if (t->n_gone >= GONE_MAX) {
		HASH_ITER(hh, t->publishers, p, next) {
			if (!p->gone)
				continue;
			HASH_DEL(t->publishers, p);
			free(p);
		}
		t->n_gone = 0;
	}
	p = find_publisher(t, id);
	if (!p || p->gone)
		return;
	p->gone = true;
	t->n_gone++;
}

/* ---- topics ---- */

static int subscribe(struct recorder_topics *t, struct recorder_topic *topic, uint32_t max_held)
{
	const struct zcp_topic name = { topic->parts[0], topic->parts[1], topic->parts[2] };
	struct zcp_subscriber_options options = {
		.sz = sizeof(options),
		.history = t->history,
		.max_held = max_held,
		.max_publishers = 1024,
		.lossy = !t->reliable,
	};
	int r = zcp_subscriber_open(&topic->subscriber, t->node, &name, &options);

	/* its publisher can set aside no more */
	if (r == -ENOSPC && max_held > 1) {
		options.max_held = 1;
		r = zcp_subscriber_open(&topic->subscriber, t->node, &name, &options);
	}
	if (!r) {
		r = zcp_waitset_add_subscriber(t->waitset, topic->subscriber, topic);
		if (r < 0) {
			zcp_subscriber_close(topic->subscriber);
			topic->subscriber = NULL;
		}
	}
	return r;
}

/* Subscribe, unless that was done before. A topic that cannot be recorded is said, and does not keep the others from it. */
static int add_topic(struct recorder_topics *t, const char *const parts[3], uint32_t max_held)
{
	struct recorder_topic *topic = NULL;
	char name[NAME_TOPIC_BYTES], *safe = NULL;
	int r;

	snprintf(name, sizeof(name), "%.100s/%.100s/%.100s", parts[0], parts[1], parts[2]);
	HASH_FIND_STR(t->topics, name, topic);
	if (topic)
		return 0;
	topic = calloc(1, sizeof(*topic));
	if (!topic)
		return -ENOMEM;
	memcpy(topic->name, name, sizeof(name));
	for (int i = 0; i < 3; i++)
		snprintf(topic->parts[i], sizeof(topic->parts[i]), "%s", parts[i]);
	r = subscribe(t, topic, max_held);
	HASH_ADD_STR(t->topics, name, topic);
	if (!r) {
		t->n_topics++;
		return 0;
	}
	t->n_failed++;
	if (text_safe(name, strlen(name), 0, &safe) >= 0)
		tool_fail("%s is not recorded: %s", safe, zcp_last_error());
	free(safe);
	return 0;
}

/* ---- the watches ---- */

static int heed(struct recorder_topics *t, const struct zcp_watch_event *e)
{
	const char *const parts[] = { e->service, e->instance, e->event };
	uint32_t held = HELD;

	if (e->node == zcp_node_id(t->node) || (e->role != ZCP_PUBLISHER && e->role != ZCP_SUBSCRIBER))
		return 0;
	if (e->kind == ZCP_WATCH_ENDPOINT_VANISHED && e->role == ZCP_PUBLISHER) {
		publisher_gone(t, e->endpoint);
		return 0;
	}
	if (e->kind != ZCP_WATCH_ENDPOINT_APPEARED)
		return 0;
	if (e->role == ZCP_PUBLISHER) {
		const struct recorder_publisher *p = add_publisher(t, parts, e->endpoint, e);

		if (!p)
			return -ENOMEM;
		if (p->stream.known && p->stream.payload_max <= SMALL)
			held = HELD_SMALL;
	}
	return add_topic(t, parts, held);
}

int recorder_topics_look(struct recorder_topics *t, zcp_watch *watch)
{
	struct zcp_watch_event event;
	int r;

	while ((r = zcp_watch_take(watch, &event)) == 0) {
		r = heed(t, &event);
		if (r < 0) {
			tool_fail("out of memory");
			return r;
		}
		if (interrupt_signal())
			return 0;
	}
	if (r == -EAGAIN && (r = zcp_watch_wait(watch, 0)) == -ETIMEDOUT)
		r = 0;
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

/* A pattern without wildcards, of three parts, is a topic that need not be there yet. */
static int add_named(struct recorder_topics *t, const char *pattern)
{
	char split[3][NAME_MAX_BYTES + 1];
	const char *const parts[] = { split[0], split[1], split[2] };
	enum name_fault fault;
	int part;

	if (!pattern || strpbrk(pattern, "*?") || name_split_topic(pattern, split, &fault, &part) < 0)
		return 0;
	return add_topic(t, parts, HELD);
}

static int add_watch(struct recorder_topics *t, const char *pattern)
{
	const struct zcp_watch_options options = { .sz = sizeof(options), .queue = 16384, .no_nodes = true };
	zcp_watch *watch;
	int r = zcp_watch_open(&watch, t->node, pattern, &options);

	if (r < 0) {
		if (r == -EINVAL)
			tool_usage("%s", zcp_last_error());
		else
			tool_fail_zcp(r);
		return r;
	}
	t->watches[t->n_watches++] = watch;
	r = zcp_waitset_add_watch(t->waitset, watch, NULL);
	if (r < 0) {
		tool_fail_zcp(r);
		return r;
	}
	/* what is there comes first: the recording begins with it */
	r = recorder_topics_look(t, watch);
	return r < 0 ? r : add_named(t, pattern);
}

int recorder_topics_open(struct recorder_topics *t, char **patterns, int n_patterns)
{
	int n = n_patterns ? n_patterns : 1, r = 0;

	t->watches = calloc((size_t)n, sizeof(*t->watches));
	if (!t->watches) {
		tool_fail("out of memory");
		return -ENOMEM;
	}
	for (int i = 0; i < n && !r; i++)
		r = add_watch(t, n_patterns ? patterns[i] : NULL);
	return r;
}

/* ---- all of them ---- */

void recorder_topics_each(struct recorder_topics *t, void (*f)(struct recorder_topic *topic, void *user), void *user)
{
	struct recorder_topic *topic, *next;

	HASH_ITER(hh, t->topics, topic, next) {
		if (topic->subscriber)
			f(topic, user);
	}
}

static void add_lost(struct recorder_topic *topic, void *user)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };
	uint64_t *lost = user;

	if (!zcp_subscriber_stats(topic->subscriber, &stats))
		*lost += stats.lost + stats.malformed;
}

uint64_t recorder_topics_lost(struct recorder_topics *t)
{
	uint64_t lost = 0;

	recorder_topics_each(t, add_lost, &lost);
	return lost;
}

void recorder_topics_close(struct recorder_topics *t)
{
	struct recorder_topic *topic, *next_topic;
	struct recorder_publisher *publisher, *next_publisher;

	HASH_ITER(hh, t->topics, topic, next_topic) {
		HASH_DEL(t->topics, topic);
		zcp_subscriber_close(topic->subscriber);
		free(topic);
	}
	HASH_ITER(hh, t->publishers, publisher, next_publisher) {
		HASH_DEL(t->publishers, publisher);
		free(publisher);
	}
	for (int i = 0; i < t->n_watches; i++)
		zcp_watch_close(t->watches[i]);
	free(t->watches);
}
