/* SPDX-License-Identifier: MIT */
/* See send.h. */

#include "router/send.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/fd.h"
#include "router/dispatch.h"
#include "router/log.h"
#include "router/relay.h"
#include "router/router.h"

/* --- jobs ----------------------------------------------------------------------------------------- */

static void free_job(struct relay_job *job)
{
	quota_release(job->user, QUOTA_SENDS, 1);
	quota_put(job->user);
	free(job);
}

static void free_jobs(struct relay_job *jobs)
{
	while (jobs) {
		struct relay_job *job = jobs;

		DL_DELETE(jobs, job);
		free_job(job);
	}
}

static int new_job(struct relay_job **jobp, struct node *node, const struct wire_send *message, struct refusal *refusal)
{
	struct relay_job *job = calloc(1, sizeof(*job) + message->size);
	int r;

	if (!job)
		return refuse(refusal, -ENOMEM, "the router is out of memory");
	r = quota_charge(node->user, QUOTA_SENDS, 1, refusal);
	if (r) {
		free(job);
		return r;
	}
	job->user = quota_ref(node->user);
	job->node = node->id;
	job->request = message->header.request;
	job->topic = message->topic;
	job->size = message->size;
	*jobp = job;
	return 0;
}

static void answer(struct router *router, const struct relay_job *job)
{
	struct node *node = registry_find_node(&router->registry, job->node);
	struct wire_sent sent = { .n_subscribers = (uint32_t)job->result };
	struct refusal refusal = { .error = job->result };

	if (!node)
		return;
	if (job->result < 0) {
		memcpy(refusal.text, job->text, sizeof(refusal.text));
		view_count_refusal(&router->view);
		peer_trace_refusal(node->peer, &refusal);
		peer_send_error(node->peer, job->request, &refusal);
		return;
	}
	wire_init(&sent.header, WIRE_SENT, job->request);
	peer_send(node->peer, &sent.header, OUTBOX_NONE, NULL);
}

/* --- from a node ---------------------------------------------------------------------------------- */

static bool is_zero(const unsigned char *bytes, size_t n)
{
	while (n--)
		if (*bytes++)
			return false;
	return true;
}

static int check_padding(const unsigned char *bytes, size_t room, size_t used, struct refusal *refusal)
{
	if (used >= room || is_zero(bytes + used, room - used))
		return 0;
	return violate(refusal, -EPROTO, "a part of a message to be sent has bytes behind its end");
}

/* The next part of what @node sends; without a job it was refused, and is passed over. */
static void take_part(struct router *router, struct node *node, const unsigned char *bytes, size_t room)
{
	struct relay_job *job = node->sending;
	size_t n = node->send_left < room ? node->send_left : room;

	node->send_left -= (uint32_t)n;
	if (!job)
		return;
	memcpy(job->payload + job->n_have, bytes, n);
	job->n_have += (uint32_t)n;
	if (node->send_left)
		return;
	node->sending = NULL;
	job->since_ns = clock_now_ns();
	DL_APPEND(router->sends.held, job);
}

static int check_topic(const struct wire_topic *topic, struct refusal *refusal)
{
	int r = dispatch_check_name("service", topic->service, refusal);

	if (!r)
		r = dispatch_check_name("instance", topic->instance, refusal);
	if (!r)
		r = dispatch_check_name("event", topic->event, refusal);
	return r;
}

int send_begin(struct peer *peer, const struct wire_send *message, struct refusal *refusal)
{
	struct node *node = peer->node;
	int r = dispatch_need_request(&message->header, "SEND", refusal);

	if (r)
		return r;
	if (message->reserved)
		return violate(refusal, -EPROTO, "SEND has reserved bits set");
	if (node->send_left)
		return violate(refusal, -EPROTO, "SEND came before the rest of the last one: %u bytes are missing", node->send_left);
	if (message->size > WIRE_SEND_MAX)
		return violate(refusal, -EMSGSIZE, "SEND of %u bytes; the router takes up to %u", message->size, WIRE_SEND_MAX);
	r = check_padding(message->bytes, sizeof(message->bytes), message->size, refusal);
	if (r)
		return r;
	node->send_left = message->size;
	node->send_request = message->header.request;
	r = check_topic(&message->topic, refusal);
	if (!r)
		r = new_job(&node->sending, node, message, refusal);
	take_part(peer->router, node, message->bytes, sizeof(message->bytes));
	return r;
}

int send_go_on(struct peer *peer, const struct wire_send_more *message, struct refusal *refusal)
{
	struct node *node = peer->node;
	int r;

	if (!node->send_left || message->header.request != node->send_request)
		return violate(refusal, -EPROTO, "SEND_MORE does not belong to a SEND that is incomplete");
	r = check_padding(message->bytes, sizeof(message->bytes), node->send_left, refusal);
	if (!r)
		take_part(peer->router, node, message->bytes, sizeof(message->bytes));
	return r;
}

void send_forget(struct node *node)
{
	if (node->sending)
		free_job(node->sending);
	node->sending = NULL;
}

/* --- the relay ------------------------------------------------------------------------------------ */

void send_peer_came(struct router *router, struct peer *peer)
{
	router->sends.peer = peer;
}

void send_peer_gone(struct router *router, struct peer *peer)
{
	if (router->sends.peer == peer)
		router->sends.peer = NULL;
}

/* It has ended, or shall. What it has not published waits for the next one. */
static void stop(struct router *router)
{
	struct sends *sends = &router->sends;
	struct relay_job *left;

	loop_unwatch(router->loop, &sends->watch);
	left = relay_stop(sends->relay);
	sends->relay = NULL;
	DL_CONCAT(left, sends->held);
	sends->held = left;
}

static void refuse_held(struct router *router, int error)
{
	struct relay_job *job;

	log_peer("cannot start the relay for messages that nodes send: %s", strerror(-error));
	while ((job = router->sends.held)) {
		DL_DELETE(router->sends.held, job);
		job->result = error;
		refusal_clip(job->text, sizeof(job->text), "the router cannot start its relay: it is short of memory, threads or descriptors");
		answer(router, job);
		free_job(job);
	}
}

/* A subscriber of the topic came after the relay's publisher and has been told of it, but has not chosen its lane. */
static bool has_newcomers(struct router *router, const struct wire_topic *name)
{
	const struct topic *topic = registry_find_topic(&router->registry, name, WIRE_ROLE_DATA);
	const struct endpoint *endpoint;
	const struct match *match;

	if (!topic || !router->sends.peer || !router->sends.peer->node)
		return false;
	DL_FOREACH2(topic->endpoints, endpoint, topic_next) {
		if (endpoint->node != router->sends.peer->node || endpoint->kind != WIRE_PUBLISHER)
			continue;
		DL_FOREACH2(endpoint->matches, match, publisher_next)
			if (!match->live && !(match->flags & WIRE_MATCH_FROM_START))
				return true;
	}
	return false;
}

/* Whether all who shall be counted are known to the relay, or do not answer. */
static bool is_ripe(struct router *router, const struct relay_job *job)
{
	return !has_newcomers(router, &job->topic) || clock_now_ns() - job->since_ns >= RELAY_PATIENCE_NS;
}

/* False: the relay has ended. */
static bool hand_over(struct router *router)
{
	struct sends *sends = &router->sends;
	struct relay_job *job, *next;

	DL_FOREACH_SAFE(sends->held, job, next) {
		if (!is_ripe(router, job))
			continue;
		DL_DELETE(sends->held, job);
		if (relay_push(sends->relay, job))
			continue;
		DL_PREPEND(sends->held, job);
		return false;
	}
	return true;
}

static int start(struct router *router)
{
	struct sends *sends = &router->sends;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	/* its end only: the loop's is to wait in the kernel */
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	r = relay_start(&sends->relay, fds[0]);
	if (r < 0) {
		fd_close(fds[1]);
		return r;
	}
	r = loop_watch(router->loop, &sends->watch, relay_fd(sends->relay));
	if (r < 0) {
		fd_close(fds[1]);
		free_jobs(relay_stop(sends->relay));
		sends->relay = NULL;
		return r;
	}
	/* before it can be turned away, and end for want of jobs */
	hand_over(router);
	return peer_accept(router, fds[1]);
}

void send_settle(struct router *router)
{
	struct sends *sends = &router->sends;
	int r;

	if (!sends->held || loop_is_stopping(router->loop))
		return;
	if (sends->relay && sends->peer && sends->peer->outbox)
		return;		/* its last message's `sent` brings us back */
	if (sends->relay && hand_over(router))
		return;
	if (sends->relay)
		stop(router);
	r = start(router);
	if (r < 0)
		refuse_held(router, r);
}

void send_readable(struct router *router)
{
	struct relay_job *job;
	bool ended;

	while ((job = relay_pop(router->sends.relay, &ended))) {
		answer(router, job);
		free_job(job);
	}
	if (ended)
		stop(router);
}

void send_close(struct router *router)
{
	if (router->sends.relay)
		stop(router);
	free_jobs(router->sends.held);
	router->sends.held = NULL;
}
