/* SPDX-License-Identifier: MIT */
/*
 * endpoint.c - what publishers and subscribers have in common: opening, matches, sleeping
 */
#include "lib/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "channel/barrier.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/probe.h"
#include "lib/control.h"
#include "lib/doorbell.h"
#include "lib/error.h"

#define RECHECK_NS 100000000ull

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void tell_closed(struct zcp_node *node, uint64_t id)
{
	struct wire_endpoint_close m;

	wire_init(&m.header, WIRE_ENDPOINT_CLOSE, 0);
	m.endpoint = id;
	pthread_mutex_lock(&node->lock);
	control_send(node, &m.header);
	pthread_mutex_unlock(&node->lock);
}

/* Ours to write or ring without ever blocking, whatever the other holders of the eventfd did to its flags. */
static int check_doorbell(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int take_segment(struct endpoint *ep, const struct wire_endpoint_opened *opened, int fds[WIRE_FDS_MAX], uint64_t wanted_bytes)
{
	uint64_t bytes = opened->segment_bytes;
	int r = check_doorbell(fds[1]);

	/* huge pages: rounded up */
	if (r == 0 && bytes != wanted_bytes && (bytes < wanted_bytes || !(ep->open->flags & WIRE_ENDPOINT_HUGE)))
		r = -EPROTO;
	if (r == 0)
		r = memfd_map_writer(fds[0], bytes, &ep->segment);
	if (r < 0)
		return error_set(r, "cannot map the endpoint's segment of %llu bytes: %s", (unsigned long long)bytes, strerror(-r));
	ep->segment_bytes = bytes;
	ep->id = opened->endpoint;
	ep->segment_fd = fd_take(&fds[0]);
	ep->doorbell = fd_take(&fds[1]);
	return 0;
}

int endpoint_begin(struct endpoint *ep, struct wire_endpoint_open *message)
{
	ep->doorbell = ep->segment_fd = -1;
	ep->kind = message->kind;
	ep->open = malloc(sizeof(*ep->open));
	if (!ep->open)
		return error_note(-ENOMEM, "no memory for another endpoint");
	*ep->open = *message;
	ep->fork_generation = ep->node->fork_generation;
	wire_init(&message->header, WIRE_ENDPOINT_OPEN, 0);
	return 0;
}

int endpoint_take(struct endpoint *ep, struct request *request)
{
	int r = take_segment(ep, &request->answer.endpoint_opened, request->fds, ep->segment_bytes);

	for (int i = 0; i < WIRE_FDS_MAX; i++)
		request->fds[i] = fd_close(request->fds[i]);
	return r;
}

int endpoint_enter(struct endpoint *ep)
{
	struct endpoint *added;

	HASH_ADD(hh, ep->node->endpoints, id, sizeof(ep->id), ep);
	HASH_FIND(hh, ep->node->endpoints, &ep->id, sizeof(ep->id), added);
	return added == ep ? 0 : error_note(-ENOMEM, "no memory for another endpoint");
}

void endpoint_forget(struct endpoint *ep, const struct request *request)
{
	struct wire_endpoint_close m;

	if (request->answer.header.type == WIRE_ENDPOINT_OPENED) {
		wire_init(&m.header, WIRE_ENDPOINT_CLOSE, 0);
		m.endpoint = request->answer.endpoint_opened.endpoint;
		control_send(ep->node, &m.header);
	}
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(request->fds[i]);
	ep->doorbell = fd_close(ep->doorbell);
	ep->segment_fd = fd_close(ep->segment_fd);
	if (ep->segment)
		munmap(ep->segment, ep->segment_bytes);
	ep->segment = NULL;
	free(ep->open);
	ep->open = NULL;
}

int endpoint_open(struct endpoint *ep, struct wire_endpoint_open *message, struct request *request)
{
	int r = endpoint_begin(ep, message);

	if (r < 0)
		return r;
	r = control_call(ep->node, request, &message->header, WIRE_ENDPOINT_OPENED, "open the endpoint");
	if (r == 0)
		r = endpoint_take(ep, request);
	if (r < 0) {
		pthread_mutex_lock(&ep->node->lock);
		endpoint_forget(ep, request);
		pthread_mutex_unlock(&ep->node->lock);
		for (int i = 0; i < WIRE_FDS_MAX; i++)
			request->fds[i] = -1;
	}
	return r;
}

int endpoint_ready(struct endpoint *ep, struct request *request, uint32_t *n_pending)
{
	struct wire_segment_mapped m;
	int r;

	wire_init(&m.header, WIRE_SEGMENT_MAPPED, request->number);
	m.segment = request->answer.endpoint_opened.segment;

	/* in the table before we answer: matches may be announced ahead of READY */
	pthread_mutex_lock(&ep->node->lock);
	r = endpoint_enter(ep);
	pthread_mutex_unlock(&ep->node->lock);
	if (r < 0)
		return r;
	r = control_call(ep->node, request, &m.header, WIRE_ENDPOINT_READY, "open the endpoint");
	if (r == 0)
		*n_pending = request->answer.endpoint_ready.n_pending;
	return r;
}

void endpoint_close_fds(struct endpoint *ep)
{
	ep->doorbell = fd_close(ep->doorbell);
	ep->segment_fd = fd_close(ep->segment_fd);
	for (struct match *m = ep->matches; m; m = m->next)
		m->doorbell = fd_close(m->doorbell);
}

static void leave_table(struct endpoint *ep)
{
	struct endpoint *found;

	HASH_FIND(hh, ep->node->endpoints, &ep->id, sizeof(ep->id), found);
	if (found == ep)
		HASH_DEL(ep->node->endpoints, ep);
}

bool endpoint_close(struct endpoint *ep, bool unmap)
{
	struct zcp_node *node = ep->node;
	bool last;

	if (forked_since(ep->fork_generation)) {
		endpoint_close_fds(ep);
		leave_table(ep);
		return false;
	}
	/* for peers that ask when there is no router to tell them */
	ep->operations->mark_closed(ep);
	tell_closed(node, ep->id);
	pthread_mutex_lock(&node->lock);
	leave_table(ep);
	last = node->closed && !node->endpoints;
	pthread_mutex_unlock(&node->lock);
	ep->doorbell = fd_close(ep->doorbell);
	ep->segment_fd = fd_close(ep->segment_fd);
	free(ep->open);
	ep->open = NULL;
	if (unmap)
		munmap(ep->segment, ep->segment_bytes);
	return last;
}

/* ---- matches ----------------------------------------------------------------------------------------------------- */

int match_init(struct match *match, uint64_t id, uint64_t peer, uint64_t segment_bytes, uint32_t flags, int fds[WIRE_FDS_MAX])
{
	int r;

	memset(match, 0, sizeof(*match));
	match->doorbell = -1;
	r = check_doorbell(fds[1]);
	if (r == 0)
		r = memfd_map_reader(fds[0], segment_bytes, &match->segment);
	if (r < 0)
		return r;
	match->id = id;
	match->peer = peer;
	match->segment_bytes = segment_bytes;
	match->flags = flags;
	match->doorbell = fd_take(&fds[1]);
	return 0;
}

void match_deinit(struct match *match)
{
	munmap((void *)(uintptr_t)match->segment, match->segment_bytes);
	match->doorbell = fd_close(match->doorbell);
}

void endpoint_unlink(struct endpoint *ep, struct match *match)
{
	struct match **at = &ep->matches;

	while (*at != match)
		at = &(*at)->next;
	*at = match->next;
}

void endpoint_news(struct endpoint *ep)
{
	/* relaxed: the lock orders the list itself, the owner only has to come and look */
	atomic_store_explicit(&ep->news, true, memory_order_relaxed);
	doorbell_ring(ep->doorbell);
	if (ep->parent)
		endpoint_news(ep->parent);
}

void endpoint_append(struct endpoint *ep, struct match *match)
{
	struct match **end = &ep->matches;

	while (*end)
		end = &(*end)->next;
	match->next = NULL;
	*end = match;
	atomic_store_explicit(&ep->news, true, memory_order_relaxed);
}

struct endpoint *endpoint_find(struct zcp_node *node, uint64_t id)
{
	struct endpoint *ep;

	HASH_FIND(hh, node->endpoints, &id, sizeof(id), ep);
	return ep;
}

/* Here and not in the opener's thread: the router may be gone before that runs, and the endpoint is open all the same. */
void endpoint_opened(struct zcp_node *node, const struct wire_endpoint_ready *m)
{
	struct endpoint *ep = endpoint_find(node, m->endpoint);

	if (!ep || ep->ready)
		return;
	ep->ready = true;
	ep->epoch = node->epoch;
	if (ep->operations->opened)
		ep->operations->opened(ep, m->n_pending);
}

static struct match *find_match(const struct endpoint *ep, uint64_t id)
{
	struct match *m = ep->matches;

	while (m && m->id != id)
		m = m->next;
	return m;
}

/* A router that was restarted may tell what we know: then it lacks our answer. */
static bool is_known(struct endpoint *ep, const union wire_message *message)
{
	uint64_t id = ep->kind == WIRE_SUBSCRIBER ? message->writer_added.match : message->lane_added.match;
	struct match *m = find_match(ep, id);
	struct wire_lane_chosen answer;

	if (!m)
		return false;
	if (ep->kind == WIRE_SUBSCRIBER) {
		wire_init(&answer.header, WIRE_LANE_CHOSEN, 0);
		answer.endpoint = ep->id;
		answer.match = id;
		answer.lane = (int32_t)m->lane_index;
		answer.reserved = 0;
		control_send(ep->node, &answer.header);
	}
	return true;
}

void endpoint_added(struct zcp_node *node, uint64_t id, enum wire_endpoint_kind kind, const union wire_message *m, int fds[WIRE_FDS_MAX], int r)
{
	struct endpoint *ep = endpoint_find(node, id);
	struct match *match;

	/* closed while the message was under way: the router hears of that from our ENDPOINT_CLOSE */
	if (!ep || ep->kind != kind || is_known(ep, m))
		return;
	/*
	 * Before the answer to the router goes out: from then on the other end may see the match and tell our
	 * owner by other means, and the owner must find us here then (it will wait for the lock).
	 */
	atomic_store_explicit(&ep->news, true, memory_order_release);
	match = ep->operations->added(ep, m, fds, r);
	if (match)
		endpoint_append(ep, match);
	else
		ep->n_never++;
	ep->unusable |= !match;
	endpoint_news(ep);
	/*
	 * A new lane's reader may be asleep, and a message that is published before the owner attaches the lane
	 * does not ring for it. Either the publish sees the news when it looks behind its message (publisher.c,
	 * leave) and attaching rings, or the message was there before this ring.
	 */
	if (match && kind == WIRE_PUBLISHER) {
		barrier_rare();
		doorbell_ring(match->doorbell);
	}
}

void endpoint_gone(struct zcp_node *node, uint64_t id, uint64_t match, uint32_t cause, uint32_t flags)
{
	struct endpoint *ep = endpoint_find(node, id);
	struct match *m;

	if (!ep)
		return;
	m = find_match(ep, match);
	if (!m) {
		ep->n_never++;
		ep->n_chosen += flags & WIRE_GONE_CHOSEN;
		if (ep->operations->never)
			ep->operations->never(ep, match);
	} else if (!m->cause) {
		m->cause = cause ? cause : WIRE_CAUSE_CLOSED;
	}
	endpoint_news(ep);
}

void endpoint_refused(struct zcp_node *node, const struct wire_match_refused *m)
{
	struct endpoint *ep = endpoint_find(node, m->endpoint);

	if (!ep)
		return;
	memcpy(ep->refusal, m->text, sizeof(ep->refusal));
	ep->refusal_error = m->error < 0 && m->error > -4096 ? m->error : -EPROTO;
}

void endpoint_introduced(struct zcp_node *node, const struct wire_peer_added *m)
{
	struct endpoint *ep = endpoint_find(node, m->endpoint);

	if (ep && ep->operations->introduced)
		ep->operations->introduced(ep, m);
}

void endpoint_tick_all(struct zcp_node *node)
{
	struct endpoint *ep, *next;
	uint64_t now = clock_now_ns();

	if (!node->n_ticking && !gate_is_watched(&subscriber_gate) && !gate_is_watched(&publisher_gate))
		return;
	HASH_ITER(hh, node->endpoints, ep, next)
		if (ep->operations->tick)
			ep->operations->tick(ep, now);
}

/* ---- sleeping ---------------------------------------------------------------------------------------------------- */

uint64_t deadline_after(int64_t timeout_ns)
{
	return timeout_ns < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)timeout_ns;
}

int endpoint_sleep(struct endpoint *ep, uint64_t deadline)
{
	struct pollfd p[2] = {
		{ .fd = ep->doorbell, .events = POLLIN },
		{ .fd = ep->node->no_thread ? ep->node->epoll : -1, .events = POLLIN },
	};
	uint64_t now = clock_now_ns(), span = RECHECK_NS;
	struct timespec ts;
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	if (deadline - now < span)
		span = deadline - now;
	ts = (struct timespec){ .tv_nsec = (long)span };
	PROBE(zcp, wait_begin, ep->id, deadline == UINT64_MAX ? UINT64_MAX : deadline - now);
	n = ppoll(p, 2, &ts, NULL);
	PROBE(zcp, wait_end, ep->id, (int64_t)n);
	doorbell_silence(ep->doorbell);
	if (p[1].revents)
		zcp_node_dispatch(ep->node);
	return 0;
}
