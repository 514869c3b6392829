/* SPDX-License-Identifier: MIT */
/*
 * replay-publish.c - messages of a recording on their topics again, each when it is due
 *
 * A message is due at a point of CLOCK_MONOTONIC that follows from its timestamp and the beginning of the round alone: one that is late makes no other
 * late. Waits are cut into slices, because a signal has to be noticed in between.
 */
#include "tools/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "lib/node.h"
#include "tools/interrupt.h"

#define SLICE_NS 100000000
#define RETRY_NS 1000000

/* ---- publishers ---- */

static int open_publisher(struct replay *p, struct outlet *o)
{
	const struct recording_stream *s = &o->stream;
	char service[2 * NAME_MAX_BYTES + 2];
	struct zcp_topic topic = { service, s->topic[1], s->topic[2] };
	struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = o->largest ? o->largest : 1,	/* at least the type's size, below */
		.depth = s->known ? s->depth : 0,
		.history = s->known ? s->history : 0,
		.reliable = p->reliable || (s->reliable && !p->lossy),
		.timeout = SLICE_NS,
		.header_size = o->header_size,
	};
	int r;

	if (*s->type) {
		options.type.name = s->type;
		options.type.size = s->type_size;
		options.type.alignment = s->type_alignment;
		if (options.payload_max < s->type_size)
			options.payload_max = s->type_size;
	}
	if (strlen(p->prefix) + strlen(s->topic[0]) > NAME_MAX_BYTES) {
		tool_fail("with --prefix the service name of %s/%s/%s is longer than %d bytes; choose a shorter prefix, or leave it out with --topic",
			  s->topic[0], s->topic[1], s->topic[2], NAME_MAX_BYTES);
		return -ENAMETOOLONG;
	}
	snprintf(service, sizeof(service), "%.100s%s", p->prefix, s->topic[0]);
	r = zcp_publisher_open(&o->publisher, p->node, &topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

static int wait_for_subscribers(struct replay *p, struct outlet *o)
{
	uint64_t begin = clock_now_ns();
	int r;

	while ((r = zcp_publisher_wait(o->publisher, (int)p->wait, SLICE_NS)) == -ETIMEDOUT) {
		if (interrupt_signal())
			return -EINTR;
		if (p->timeout_ns >= 0 && clock_now_ns() - begin >= (uint64_t)p->timeout_ns) {
			tool_fail("%s/%s/%s has not got %" PRIu64 " subscribers in time", o->stream.topic[0], o->stream.topic[1], o->stream.topic[2],
				  p->wait);
			return r;
		}
	}
	if (r < 0)
		tool_fail_zcp(r);
	return r < 0 ? r : 0;
}

int replay_open_publishers(struct replay *p)
{
	int r = 0;

	for (size_t i = 0; i < p->n_outlets && !r; i++)
		r = open_publisher(p, p->outlets[i]);
	for (size_t i = 0; i < p->n_outlets && !r && p->wait; i++)
		r = wait_for_subscribers(p, p->outlets[i]);
	return r;
}

void replay_close_publishers(struct replay *p)
{
	for (size_t i = 0; i < p->n_outlets; i++)
		zcp_publisher_close(p->outlets[i]->publisher);
}

/* ---- messages ---- */

/* Lib said @error: 0 to try again, or what to end with, after the complaint but for -EINTR. */
static int wait_for_room(struct replay *p, int error, uint64_t since)
{
	if (interrupt_signal())
		return -EINTR;
	progress_update(&p->progress, p->n_messages, p->n_bytes);
	if ((error != -ETIMEDOUT && error != -EAGAIN && error != -ENOBUFS) ||
	    (p->timeout_ns >= 0 && clock_now_ns() - since >= (uint64_t)p->timeout_ns)) {
		progress_clear(&p->progress);
		tool_fail_zcp(error);
		return error;
	}
	/* only -ETIMEDOUT has already waited in the library */
	return error == -ETIMEDOUT ? 0 : interrupt_poll(-1, 0, RETRY_NS);
}

static int publish(struct replay *p, struct outlet *o, const struct recording_message *m)
{
	uint64_t since = clock_now_ns();
	uint8_t header[16] = { 0 };
	void *payload;
	int r;

	while ((r = zcp_publisher_loan(o->publisher, m->size, &payload)) < 0) {
		r = wait_for_room(p, r, since);
		if (r < 0)
			return r;
	}
	memcpy(payload, m->data, m->size);
	if (m->header_size)
		memcpy(header, m->header, m->header_size);
	for (;;) {
		if (o->header_size)
			r = zcp_publisher_publish_with(o->publisher, payload, m->size, header);
		else
			r = zcp_publisher_publish(o->publisher, payload, m->size);
		if (r >= 0)
			return 0;
		r = wait_for_room(p, r, since);
		if (r < 0)
			return r;
	}
}

/* Until the message with this timestamp is due. 0 or -EINTR. */
static int wait_until_due(struct replay *p, uint64_t timestamp_ns)
{
	double offset = p->rate > 0 ? (double)(timestamp_ns - p->from_ns) / p->rate : 0;
	uint64_t due, now = clock_now_ns();

	if (interrupt_signal())
		return -EINTR;
	if (p->rate <= 0)
		return 0;
	due = p->round_ns + (offset < 9e18 ? (uint64_t)offset : (uint64_t)9e18);
	while (now < due) {
		int r = interrupt_poll(-1, 0, due - now < SLICE_NS ? (int64_t)(due - now) : SLICE_NS);

		if (r < 0)
			return r;
		progress_update(&p->progress, p->n_messages, p->n_bytes);
		now = clock_now_ns();
	}
	if (now - due > p->latest_ns)
		p->latest_ns = now - due;
	return 0;
}

int replay_source(struct replay *p, struct source *source)
{
	struct recording_item item;
	struct cursor *cursor = malloc(sizeof(*cursor));
	int r = cursor ? cursor_open(cursor, source->recording, p->from_ns, p->to_ns, source->wanted) : -ENOMEM;

	if (r < 0) {
		free(cursor);
		tool_fail("out of memory");
		return r;
	}
	while ((r = cursor_next(cursor, &item)) == 1) {
		struct outlet *o = source->outlets[item.stream];

		/* what the index does not admit has no room */
		if (item.message.size > o->largest || item.message.header_size > o->header_size) {
			source->recording->damaged++;
			continue;
		}
		r = wait_until_due(p, item.message.timestamp_ns);
		if (!r)
			r = publish(p, o, &item.message);
		if (r < 0)
			goto out;
		p->n_messages++;
		p->n_bytes += item.message.size;
		progress_update(&p->progress, p->n_messages, p->n_bytes);
	}
	if (r < 0)
		tool_fail("%s: %s", source->recording->path, strerror(-r));
out:
	cursor_close(cursor);
	free(cursor);
	return r;
}
