/* SPDX-License-Identifier: MIT */
/*
 * rejoin.c - a node without a router, and how it gets one
 *
 * See rejoin.h for the states, and the head of common/wire.h for the conversation. Times here are patience, not truth: an
 * attempt that takes too long is dropped and made again.
 */
#include "lib/rejoin.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/message.h"
#include "lib/control.h"
#include "lib/endpoint.h"
#include "lib/growth.h"
#include "lib/watch.h"

#define BACKOFF_LAST_NS 1000000000ull
#define AUTOSTART_AFTER_NS 2000000000ull	/* whoever looks after the router restarts it sooner */
#define ROUTER_SILENT_NS 1000000000ull	/* three of its scans */
#define EXPECT_NS 10000000000ull	/* without a router, publishers stop to expect subscribers */

/* ---- going away -------------------------------------------------------------------------------------------------- */

static void tell_all_endpoints(struct zcp_node *node)
{
	struct endpoint *ep, *next;

	HASH_ITER(hh, node->endpoints, ep, next)
		endpoint_news(ep);
}

/* Many nodes lose their router at the same moment, and should not all come back at the same moment. */
static uint64_t jittered(const struct zcp_node *node, uint64_t span)
{
	uint64_t x = (uint64_t)(uintptr_t)node ^ clock_now_ns();

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return span - span / 4 + (x >> 32) % (span / 2);
}

static void schedule_retry(struct zcp_node *node)
{
	node->state = NODE_AWAY;
	node->retry_ns = clock_now_ns() + jittered(node, node->backoff_ns);
	node->backoff_ns = node->backoff_ns * 2 < BACKOFF_LAST_NS ? node->backoff_ns * 2 : BACKOFF_LAST_NS;
	node->rejoin_request = 0;
	node->resuming = 0;
	node->resuming_extra = 0;
}

/* The descriptor stays until the next attempt: another thread may be in poll() with it. */
static void hang_up(struct zcp_node *node)
{
	if (node->socket < 0)
		return;
	shutdown(node->socket, SHUT_RDWR);
	if (node->epoll >= 0)
		epoll_ctl(node->epoll, EPOLL_CTL_DEL, node->socket, NULL);
}

void rejoin_connection_ended(struct zcp_node *node, bool lost)
{
	bool was_joined = node->state == NODE_JOINED;
	struct endpoint *ep, *next;

	if (node->state == NODE_LOST || (node->state == NODE_AWAY && !lost))
		return;
	hang_up(node);
	control_drop_outgoing(node);
	if (was_joined) {
		node->away_since_ns = clock_now_ns();
		node->backoff_ns = BACKOFF_FIRST_NS;
	}
	schedule_retry(node);
	if (lost)
		node->state = NODE_LOST;
	control_fail_requests(node);
	HASH_ITER(hh, node->endpoints, ep, next) {
		if (ep->operations->away)
			ep->operations->away(ep);
	}
	if (lost) {
		tell_all_endpoints(node);
		watch_wake_all(node);
	} else if (was_joined) {
		watch_router_gone(node);
	}
	node_set_timer(node);
	node_wake(node);
}

static void give_up_attempt(struct zcp_node *node)
{
	hang_up(node);
	control_drop_outgoing(node);
	schedule_retry(node);
}

/*
 * The router lives and has removed us: it has told all our peers, who let go of us. A reliable publisher that did not let go of
 * them would wait for ever.
 */
static void end_all_matches(struct zcp_node *node)
{
	struct endpoint *ep, *next;

	HASH_ITER(hh, node->endpoints, ep, next) {
		for (struct match *m = ep->matches; m; m = m->next) {
			if (!m->cause)
				m->cause = WIRE_CAUSE_EVICTED;
		}
	}
}

static void lose(struct zcp_node *node, int error, const char *text)
{
	if (error == -ESTALE)
		end_all_matches(node);
	node->lost_error = error;
	if (text)
		memcpy(node->router_text, text, sizeof(node->router_text));
	rejoin_connection_ended(node, true);
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static uint32_t next_request(struct zcp_node *node)
{
	do {
		node->last_request++;
	} while (!node->last_request);
	return node->last_request;
}

static void ask(struct zcp_node *node, struct wire_header *message, const int *fds, unsigned int n_fds)
{
	int r;

	node->rejoin_request = message->request = next_request(node);
	node->deadline_ns = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	r = message_send(node->socket, message, fds, n_fds);
	if (r < 0)
		give_up_attempt(node);	/* no room, or too many descriptors under way: later */
}

static void say_hello(struct zcp_node *node)
{
	struct wire_hello hello = { .flags = node->unmonitored ? WIRE_HELLO_UNMONITORED : 0 };

	wire_init(&hello.header, WIRE_HELLO, 0);
	memcpy(hello.name, node->name, sizeof(hello.name));
	ask(node, &hello.header, NULL, 0);
}

static void say_again(struct zcp_node *node)
{
	struct wire_rejoin rejoin = {
		.flags = node->unmonitored ? WIRE_HELLO_UNMONITORED : 0,
		.node = node->id,
		.epoch = node->epoch,
	};

	wire_init(&rejoin.header, WIRE_REJOIN, 0);
	memcpy(rejoin.name, node->name, sizeof(rejoin.name));
	/* in case that the router ended before it sealed the page; that it is sealed already is no failure */
	(void)memfd_seal_writer(node->page_fd);
	ask(node, &rejoin.header, &node->page_fd, 1);
}

void rejoin_greet(struct zcp_node *node, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	fd_close(node->socket);
	node->socket = fd;
	if (node->epoll >= 0 && epoll_ctl(node->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		give_up_attempt(node);
		return;
	}
	node->state = NODE_GREETED;
	node->router_text[0] = 0;
	if (node->id)
		say_again(node);
	else
		say_hello(node);
}

static void attempt(struct zcp_node *node)
{
	int fd = router_reconnect(&node->paths);

	if (fd < 0)
		schedule_retry(node);
	else
		rejoin_greet(node, fd);
}

bool rejoin_wants_router(const struct zcp_node *node)
{
	return node->state == NODE_AWAY && node->autostart && !strcmp(node->paths.used, node->paths.own) && clock_now_ns() - node->away_since_ns > AUTOSTART_AFTER_NS;
}

/* ---- handing back ------------------------------------------------------------------------------------------------ */

static bool is_claimed(const struct match *m)
{
	return !m->cause;
}

/* Nobody told us of peers that closed while there was no router, but their segments say so. */
static void notice_closed(struct endpoint *ep)
{
	for (struct match *m = ep->matches; m; m = m->next) {
		if (!m->cause && ep->operations->is_closed(m)) {
			m->cause = WIRE_CAUSE_CLOSED;
			endpoint_news(ep);
		}
	}
}

static uint32_t count_claims(const struct endpoint *ep)
{
	uint32_t n = 0;

	for (const struct match *m = ep->matches; m; m = m->next)
		n += is_claimed(m);
	return n;
}

static void send_claims(struct zcp_node *node, const struct endpoint *ep)
{
	for (const struct match *m = ep->matches; m; m = m->next) {
		struct wire_match_resume resume = {
			.endpoint = ep->id,
			.match = m->id,
			.peer = m->peer,
			.peer_node = m->peer_node,
			.peer_process = m->process,
			.lane = m->lane_index,
			.flags = m->flags,
		};

		if (!is_claimed(m))
			continue;
		wire_init(&resume.header, WIRE_MATCH_RESUME, 0);
		control_send(node, &resume.header);
	}
}

static void hand_back(struct zcp_node *node, struct endpoint *ep)
{
	int fds[WIRE_FDS_MAX] = { ep->segment_fd, ep->doorbell };
	struct wire_endpoint_resume resume;

	notice_closed(ep);
	memset(&resume, 0, sizeof(resume));
	resume.open = *ep->open;
	wire_init(&resume.open.header, WIRE_ENDPOINT_RESUME, 0);
	resume.endpoint = ep->id;
	resume.n_claims = count_claims(ep);
	resume.n_expected = ep->operations->expected ? ep->operations->expected(ep) : 0;
	node->resuming = ep->id;
	ask(node, &resume.open.header, fds, 2);
	if (node->state == NODE_RESUMING)
		send_claims(node, ep);
}

/* The next extra of @ep that this router does not have. False: there is none. */
static bool hand_back_extra(struct zcp_node *node, struct endpoint *ep)
{
	struct wire_segment_grow resume;
	int fd = growth_next(ep, node->epoch, &resume);

	if (fd < 0)
		return false;
	wire_init(&resume.header, WIRE_SEGMENT_RESUME, 0);
	node->resuming = ep->id;
	node->resuming_extra = resume.extra;
	ask(node, &resume.header, &fd, 1);
	return true;
}

static void joined(struct zcp_node *node)
{
	node->state = NODE_JOINED;
	node->backoff_ns = BACKOFF_FIRST_NS;
	node->given_up_waiting = false;
	node->rejoin_request = 0;
	node->resuming = 0;
	node->resuming_extra = 0;
	pthread_cond_broadcast(&node->answered);
	watch_router_back(node);
	node_set_timer(node);
	/* those who wait for news of the router look again */
	tell_all_endpoints(node);
}

/* The next endpoint that this router does not have, or the end. Behind what is queued: descriptors cannot be. */
static void hand_back_next(struct zcp_node *node)
{
	struct wire_resume_end end;
	struct endpoint *ep, *next;

	if (node->outgoing)
		return;
	HASH_ITER(hh, node->endpoints, ep, next) {
		if (!ep->ready || ep->orphaned)
			continue;
		if (ep->epoch != node->epoch) {
			hand_back(node, ep);
			return;
		}
		if (hand_back_extra(node, ep))
			return;
	}
	wire_init(&end.header, WIRE_RESUME_END, 0);
	control_send(node, &end.header);
	if (node->state == NODE_RESUMING)
		joined(node);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void welcomed(struct zcp_node *node, const struct wire_welcome *welcome, int fds[WIRE_FDS_MAX], int error)
{
	struct wire_segment_mapped mapped;
	bool again = node->id;

	if (error == 0)
		error = node_map(node, welcome, fds);
	if (error < 0) {
		give_up_attempt(node);
		return;
	}
	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, welcome->header.request);
	mapped.segment = welcome->node_page_segment;
	node->state = NODE_RESUMING;
	control_send(node, &mapped.header);
	if (node->state != NODE_RESUMING)
		return;
	if (again)
		hand_back_next(node);
	else
		joined(node);
}

static void resumed(struct zcp_node *node, const struct wire_endpoint_resumed *m)
{
	struct endpoint *ep = endpoint_find(node, node->resuming);

	node->rejoin_request = 0;
	/* closed meanwhile: the router hears of that from our ENDPOINT_CLOSE */
	if (ep) {
		ep->epoch = node->epoch;
		if (ep->operations->opened)
			ep->operations->opened(ep, m->n_pending);
		endpoint_news(ep);
	}
	hand_back_next(node);
}

static void resumed_extra(struct zcp_node *node, bool taken)
{
	struct endpoint *ep = endpoint_find(node, node->resuming);

	node->rejoin_request = 0;
	if (ep)
		growth_resumed(ep, node->resuming_extra, node->epoch, taken);
	node->resuming_extra = 0;
	hand_back_next(node);
}

static bool is_for_good(int error)
{
	return error == -ESTALE || error == -EPERM || error == -EPROTONOSUPPORT || error == -EPROTO || error == -EINVAL ||
	       error == -EPROTOTYPE || error == -EADDRINUSE || error == -ESRCH || error == -EEXIST;
}

static void refused(struct zcp_node *node, const struct wire_error *m, int error)
{
	struct endpoint *ep;

	node->rejoin_request = 0;
	if (node->resuming_extra) {
		resumed_extra(node, false);
		return;
	}
	if (!is_for_good(error)) {
		give_up_attempt(node);
		return;
	}
	if (node->state == NODE_GREETED) {
		lose(node, error, m->text);
		return;
	}
	/* this endpoint goes on with those that it is connected to, and meets nobody else */
	ep = endpoint_find(node, node->resuming);
	if (ep) {
		ep->orphaned = true;
		memcpy(ep->refusal, m->text, sizeof(ep->refusal));
		endpoint_news(ep);
	}
	hand_back_next(node);
}

bool rejoin_answer(struct zcp_node *node, const union wire_message *m, int fds[WIRE_FDS_MAX], int error)
{
	if (!node->rejoin_request || m->header.request != node->rejoin_request)
		return false;
	if (m->header.type == WIRE_ERROR) {
		struct wire_error copy = m->error;

		copy.text[sizeof(copy.text) - 1] = 0;
		refused(node, &copy, copy.error < 0 && copy.error > -4096 ? copy.error : -EPROTO);
	} else if (m->header.type == WIRE_WELCOME && node->state == NODE_GREETED) {
		node->rejoin_request = 0;
		welcomed(node, &m->welcome, fds, error);
	} else if (m->header.type == WIRE_SEGMENT_READY && node->resuming_extra) {
		resumed_extra(node, true);
	} else if (m->header.type == WIRE_ENDPOINT_RESUMED && node->state == NODE_RESUMING && !node->resuming_extra) {
		resumed(node, &m->endpoint_resumed);
	} else {
		give_up_attempt(node);
	}
	return true;
}

/* ---- a router that is dead, and whose socket is not -------------------------------------------------------------- */

/*
 * Whoever called listen() last when we connected, as far as can be told: not of another pid namespace, and with socket activation it may be
 * the service manager or the router before.
 */
static bool router_is_dead(const struct zcp_node *node)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);
	struct pollfd p = { .events = POLLIN };
	bool dead;

	if (getsockopt(node->socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0 || credentials.pid <= 0)
		return false;
	p.fd = (int)syscall(SYS_pidfd_open, credentials.pid, 0);
	if (p.fd < 0)
		return errno == ESRCH;
	dead = poll(&p, 1, 0) > 0 && p.revents & POLLIN;
	fd_close(p.fd);
	return dead;
}

/*
 * The kernel closes the sockets of a process that is killed, but those that an io_uring waits on only with the ring, and under load
 * that was seen to take many seconds. So when the router's heart stands still, once a second, we look for the process.
 */
static bool router_has_died(struct zcp_node *node, uint64_t now)
{
	uint64_t beat = atomic_load_explicit(&node->directory.header->heartbeat_ns, memory_order_relaxed);

	if (beat != node->router_beat || !node->router_beat_ns) {
		node->router_beat = beat;
		node->router_beat_ns = now;
		return false;
	}
	if (now - node->router_beat_ns < ROUTER_SILENT_NS)
		return false;
	node->router_beat_ns = now;
	return router_is_dead(node);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

void rejoin_run(struct zcp_node *node)
{
	uint64_t now;

	if (node->state == NODE_LOST)
		return;
	now = clock_now_ns();
	if (node->state == NODE_JOINED) {
		if (router_has_died(node, now))
			rejoin_connection_ended(node, false);
		return;
	}
	if (!node->given_up_waiting && now - node->away_since_ns > EXPECT_NS) {
		node->given_up_waiting = true;
		tell_all_endpoints(node);
	}
	if (node->state == NODE_AWAY && now >= node->retry_ns)
		attempt(node);
	else if (node->state == NODE_RESUMING && !node->rejoin_request)
		hand_back_next(node);
	else if (node->rejoin_request && now >= node->deadline_ns)
		give_up_attempt(node);
}

int rejoin_timeout_ms(const struct zcp_node *node)
{
	uint64_t now, due;

	if (node->state == NODE_JOINED || node->state == NODE_LOST)
		return -1;
	if (!node->rejoin_request && node->state == NODE_RESUMING)
		return 20;		/* behind messages that the socket does not take yet */
	now = clock_now_ns();
	due = node->state == NODE_AWAY ? node->retry_ns : node->deadline_ns;
	if (due <= now)
		return 0;
	due = (due - now) / 1000000 + 1;
	return due < 1000 ? (int)due : 1000;
}
