/* SPDX-License-Identifier: MIT */
/*
 * control.c - talking to the router
 *
 * The router is trusted further than peers are, but it may die, hang, or be of another version at any moment,
 * and none of that may hurt the data path: the worst outcome here is a node that is disconnected, whose
 * requests fail with -ENOTCONN.
 */
#include "lib/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/message.h"
#include "lib/endpoint.h"
#include "lib/error.h"
#include "lib/handover.h"
#include "lib/lane-growth.h"
#include "lib/rejoin.h"
#include "lib/watch.h"

#define MESSAGES_PER_RUN 64
#define POLL_SLICE_MS 20

struct outgoing {
	struct outgoing *next;
	union wire_message message;
};

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* no_thread: the descriptor of zcp_node_fd() shall become readable when the socket takes messages again. */
static void watch_socket(struct zcp_node *node)
{
	struct epoll_event event = { .events = EPOLLIN | (node->outgoing ? EPOLLOUT : 0) };

	if (node->epoll >= 0)
		epoll_ctl(node->epoll, EPOLL_CTL_MOD, node->socket, &event);
}

/* The kernel is short of memory, or the socket full: what could not be done now can be done later. */
static bool is_transient(int r)
{
	return r == -EAGAIN || r == -ENOMEM || r == -ENOBUFS || r == -ETOOMANYREFS;
}

static void enqueue(struct zcp_node *node, const struct wire_header *message)
{
	struct outgoing *o = calloc(1, sizeof(*o));

	if (!o) {
		/* the router would wait for ever for what we cannot say: better to be gone */
		rejoin_connection_ended(node, false);
		return;
	}
	memcpy(&o->message, message, message->size);
	*node->outgoing_tail = o;
	node->outgoing_tail = &o->next;
	watch_socket(node);
	node_wake(node);
}

void control_send(struct zcp_node *node, const struct wire_header *message)
{
	int r = -EAGAIN;

	if (!rejoin_has_connection(node))
		return;
	if (!node->outgoing)
		r = message_send(node->socket, message, NULL, 0);
	if (is_transient(r))
		enqueue(node, message);
	else if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		rejoin_connection_ended(node, false);
	/* a closed socket is noticed by the receiver, which first reads what the router said before it closed */
}

static void flush(struct zcp_node *node)
{
	bool was_full = node->outgoing;

	while (node->outgoing && !is_transient(message_send(node->socket, &node->outgoing->message.header, NULL, 0))) {
		struct outgoing *o = node->outgoing;

		node->outgoing = o->next;
		free(o);
	}
	if (!node->outgoing)
		node->outgoing_tail = &node->outgoing;
	if (was_full && !node->outgoing)
		watch_socket(node);
}

void control_drop_outgoing(struct zcp_node *node)
{
	while (node->outgoing) {
		struct outgoing *o = node->outgoing;

		node->outgoing = o->next;
		free(o);
	}
	node->outgoing_tail = &node->outgoing;
}

void control_forget(struct zcp_node *node, struct request *request)
{
	struct request **at = &node->requests;

	while (*at && *at != request)
		at = &(*at)->next;
	if (*at)
		*at = request->next;
}

static void answer(struct zcp_node *node, struct request *q)
{
	q->done = true;
	if (!q->answered) {
		pthread_cond_broadcast(&node->answered);
		return;
	}
	control_forget(node, q);
	q->answered(node, q);
}

void control_fail_requests(struct zcp_node *node)
{
	for (struct request *q = node->requests, *next; q; q = next) {
		next = q->next;
		if (q->done)
			continue;
		q->error = -ENOTCONN;
		answer(node, q);
	}
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* A conversation whose caller gave up: what the router opened for it must be closed again. */
static void nobody_asked(struct zcp_node *node, const union wire_message *m)
{
	struct wire_endpoint_close close;
	struct wire_segment_extra back;

	if (m->header.type == WIRE_SEGMENT_GROWN) {
		back = (struct wire_segment_extra){ .endpoint = m->segment_grown.endpoint, .extra = m->segment_grown.extra };
		wire_init(&back.header, WIRE_SEGMENT_RETURN, 0);
		control_send(node, &back.header);
	}
	if (m->header.type != WIRE_ENDPOINT_OPENED)
		return;
	wire_init(&close.header, WIRE_ENDPOINT_CLOSE, 0);
	close.endpoint = m->endpoint_opened.endpoint;
	control_send(node, &close.header);
}

/* What a refusal says, made safe: an error is negative, a text ends. */
static int refusal(union wire_message *m)
{
	m->error.text[sizeof(m->error.text) - 1] = 0;
	return m->error.error < 0 && m->error.error > -4096 ? m->error.error : -EPROTO;
}

static void handle_answer(struct zcp_node *node, const union wire_message *m, int fds[WIRE_FDS_MAX], int r)
{
	struct request *q = node->requests;

	if (rejoin_answer(node, m, fds, r))
		return;
	while (q && (q->number != m->header.request || q->done))
		q = q->next;
	if (!q) {
		nobody_asked(node, m);
		return;
	}
	memcpy(&q->answer, m, m->header.size);
	if (r < 0)
		q->error = r;
	else if (m->header.type == WIRE_ERROR)
		q->error = refusal(&q->answer);
	else if (m->header.type != q->awaited)
		q->error = -EPROTO;
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		q->fds[i] = fd_take(&fds[i]);
	answer(node, q);
}

/* @r: 0, or -EMFILE when the descriptors of the message were lost. */
static void handle(struct zcp_node *node, union wire_message *m, int fds[WIRE_FDS_MAX], int r)
{
	switch (m->header.type) {
	case WIRE_ENDPOINT_READY:
		endpoint_opened(node, &m->endpoint_ready);
		handle_answer(node, m, fds, r);
		break;
	case WIRE_WELCOME:
	case WIRE_ENDPOINT_OPENED:
	case WIRE_ENDPOINT_RESUMED:
	case WIRE_WATCHING:
	case WIRE_SEGMENT_GROWN:
	case WIRE_SEGMENT_READY:
	case WIRE_SEGMENT_SEEN:
	case WIRE_SENT:
	case WIRE_FD_CHANNEL:
		handle_answer(node, m, fds, r);
		break;
	case WIRE_ERROR:
		if (m->header.request) {
			handle_answer(node, m, fds, r);
			break;
		}
		node->lost_error = refusal(m);
		memcpy(node->router_text, m->error.text, sizeof(node->router_text));
		break;
	case WIRE_WRITER_ADDED:
		endpoint_added(node, m->writer_added.endpoint, WIRE_SUBSCRIBER, m, fds, r);
		break;
	case WIRE_LANE_ADDED:
		endpoint_added(node, m->lane_added.endpoint, WIRE_PUBLISHER, m, fds, r);
		break;
	case WIRE_WRITER_GONE:
	case WIRE_LANE_GONE:
		endpoint_gone(node, m->gone.endpoint, m->gone.match, m->gone.cause, m->gone.flags);
		break;
	case WIRE_MATCH_REFUSED:
		m->match_refused.text[sizeof(m->match_refused.text) - 1] = 0;
		endpoint_refused(node, &m->match_refused);
		break;
	case WIRE_PEER_ADDED:
		endpoint_introduced(node, &m->peer_added);
		break;
	case WIRE_SEGMENT_SHARED:
	case WIRE_SEGMENT_WITHDRAWN:
		lane_extra_news(node, &m->segment_shared, fds, r);
		break;
	case WIRE_FD_WANTED:
		handover_wanted(node, &m->fd_wanted, fds);
		break;
	case WIRE_WATCH_EVENT:
		watch_handle(node, &m->watch_event);
		break;
	default:
		/* a type that only nodes send */
		rejoin_connection_ended(node, false);
	}
}

/* Its answer can't be read, but its version can: no later attempt will fare better. */
static void other_version(struct zcp_node *node)
{
	for (struct request *q = node->requests; q; q = q->next) {
		if (q->done)
			continue;
		q->done = true;
		q->error = -EPROTONOSUPPORT;
	}
	node->lost_error = -EPROTONOSUPPORT;
	snprintf(node->router_text, sizeof(node->router_text), "it speaks another version of the protocol; use router and library of one build");
	rejoin_connection_ended(node, node->rejoin_request);
}

/* 1: a message was handled, 0: nothing there; the connection may be over afterwards. */
static int receive(struct zcp_node *node)
{
	union wire_message m;
	int fds[WIRE_FDS_MAX];
	int r = message_receive(node->socket, &m, fds);

	if (is_transient(r))
		return 0;
	if (r == -EPROTONOSUPPORT && node->state == NODE_GREETED) {
		other_version(node);
		return 0;
	}
	if (r < 0 && r != -EMFILE) {
		/* what it said last was meant for us, if it knew us: it has removed the node */
		rejoin_connection_ended(node, node->router_text[0] && (node->state == NODE_JOINED || node->state == NODE_RESUMING));
		return 0;
	}
	handle(node, &m, fds, r < 0 ? r : 0);
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(fds[i]);
	return 1;
}

int control_run(struct zcp_node *node)
{
	int n = 0;

	rejoin_run(node);
	endpoint_tick_all(node);
	if (node->outgoing)
		flush(node);
	while (n < MESSAGES_PER_RUN && rejoin_has_connection(node) && receive(node))
		n++;
	return node->state == NODE_LOST && !n ? -ENOTCONN : n;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void wait_for_thread(struct zcp_node *node, uint64_t deadline)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline / 1000000000), .tv_nsec = (long)(deadline % 1000000000) };

	pthread_cond_timedwait(&node->answered, &node->lock, &ts);
}

/*
 * Without the thread the caller receives by itself. In slices: another thread may read the answer away from
 * under our poll.
 */
static void wait_inline(struct zcp_node *node)
{
	/* the socket may be closed under us by another thread that dispatches; before there is an epoll set there is none */
	struct pollfd p = { .fd = node->epoll >= 0 ? node->epoll : node->socket, .events = POLLIN };

	if (node->epoll < 0 && node->outgoing)
		p.events |= POLLOUT;
	if (control_run(node) != 0)
		return;
	pthread_mutex_unlock(&node->lock);
	poll(&p, 1, POLL_SLICE_MS);
	pthread_mutex_lock(&node->lock);
}

static void enlist(struct zcp_node *node, struct request *request, struct wire_header *message)
{
	while (!request->number)
		request->number = ++node->last_request;
	message->request = request->number;
	request->done = false;
	request->error = 0;
	request->next = node->requests;
	node->requests = request;
}

static int converse(struct zcp_node *node, struct request *request, struct wire_header *message)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;

	/* joined, or joining for the first time, which is a request like others */
	if (node->state != NODE_JOINED && (node->state != NODE_GREETED || node->rejoin_request))
		return -ENOTCONN;
	enlist(node, request, message);
	control_send(node, message);
	if (request->follow)
		request->follow(node, request);
	while (!request->done && clock_now_ns() < deadline) {
		if (node->has_thread)
			wait_for_thread(node, deadline);
		else
			wait_inline(node);
	}
	control_forget(node, request);
	return request->done ? request->error : -ETIMEDOUT;
}

static int explain(struct zcp_node *node, const struct request *request, int r, const char *what)
{
	if (r == -EPROTONOSUPPORT && request->answer.header.type != WIRE_ERROR)
		return error_set(r, "cannot %s: it speaks another version of the protocol; use router and library of one build", what);
	if (r == -ENOTCONN && node->router_text[0])
		return error_set(r, "cannot %s: the router closed the connection: %s", what, node->router_text);
	if (r == -ENOTCONN && !node->id && !request->number)
		return error_set(r, "cannot %s: the node is not joined yet; see zcp_node_wait()", what);
	if (r == -ENOTCONN && !node->id)
		return error_set(r, "cannot %s: the router ended the connection instead of answering; does it run, and is it a zcp-router?", what);
	if (r == -ENOTCONN)
		return error_set(r, "cannot %s: the router is gone; start it again, the node comes back by itself (zcp_node_wait())", what);
	if (r == -ETIMEDOUT)
		return error_set(r, "cannot %s: the router did not answer within 5 s; see whether it hangs or is overloaded", what);
	if (r == -EMFILE)
		return error_set(r, "cannot %s: no descriptor is left; raise RLIMIT_NOFILE (ulimit -n)", what);
	if (request->done && request->answer.header.type == WIRE_ERROR)
		return error_set(r, "cannot %s: %s", what, request->answer.error.text);
	if (r == -EPROTO)
		return error_set(r, "cannot %s: the router's answer makes no sense; do router and library come from one build?", what);
	return error_system(r, what);
}

void control_ask(struct zcp_node *node, struct request *request, struct wire_header *message, uint16_t awaited)
{
	request->awaited = awaited;
	enlist(node, request, message);
	control_send(node, message);
}

int control_call(struct zcp_node *node, struct request *request, struct wire_header *message, uint16_t awaited, const char *what)
{
	int r;

	pthread_mutex_lock(&node->lock);
	request->awaited = awaited;
	r = converse(node, request, message);
	if (r < 0)
		r = explain(node, request, r, what);
	pthread_mutex_unlock(&node->lock);
	return r;
}
