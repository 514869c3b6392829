/* SPDX-License-Identifier: MIT */
/*
 * send.c - a message that the router publishes for us
 *
 * One request in as many parts as it takes. They are sent under the node's lock, so that no part of another thread's comes
 * between. It is never sent twice: a router that went away before it answered may have published it, and only the caller knows
 * whether once too often is worse than not at all.
 */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "lib/control.h"
#include "lib/error.h"
#include "lib/options.h"

static_assert(ZCP_SEND_MAX == WIRE_SEND_MAX, "the header says what the wire carries");

struct send {
	struct request request;		/* first */
	struct wire_send message;
	const unsigned char *rest;	/* of the payload, behind what is in `message` */
	size_t n_rest;
};

static void send_rest(struct zcp_node *node, struct request *request)
{
	const struct send *s = (const struct send *)(const void *)request;
	const unsigned char *at = s->rest;
	struct wire_send_more more;

	for (size_t left = s->n_rest; left;) {
		size_t n = left < sizeof(more.bytes) ? left : sizeof(more.bytes);

		wire_init(&more.header, WIRE_SEND_MORE, request->number);
		memcpy(more.bytes, at, n);
		memset(more.bytes + n, 0, sizeof(more.bytes) - n);
		control_send(node, &more.header);
		at += n;
		left -= n;
	}
}

static void put_payload(struct send *s, const void *data, size_t size)
{
	size_t n = size < sizeof(s->message.bytes) ? size : sizeof(s->message.bytes);

	s->message.size = (uint32_t)size;
	if (n)
		memcpy(s->message.bytes, data, n);
	if (size > n) {
		s->rest = (const unsigned char *)data + n;
		s->n_rest = size - n;
	}
}

int zcp_node_send(struct zcp_node *node, const struct zcp_topic *topic, const void *data, size_t size)
{
	struct send s = { .request = REQUEST_INIT };
	int r;

	if (forked_since(node->fork_generation))
		return error_forked();
	if (size > ZCP_SEND_MAX)
		return error_set(-EMSGSIZE, "the message has %zu bytes; the router takes up to %d: open a publisher for larger ones", size,
				 ZCP_SEND_MAX);
	r = options_topic(&s.message.topic, topic);
	if (r < 0)
		return r;
	put_payload(&s, data, size);
	wire_init(&s.message.header, WIRE_SEND, 0);
	s.request.follow = send_rest;
	node_await_joined(node, clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS);
	r = control_call(node, &s.request, &s.message.header, WIRE_SENT, "send the message");
	if (r < 0)
		return r;
	return s.request.answer.sent.n_subscribers <= INT32_MAX ? (int)s.request.answer.sent.n_subscribers : INT32_MAX;
}
