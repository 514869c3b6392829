/* SPDX-License-Identifier: MIT */
/* See peer.h for the state machine and the rules of the send queue. */

#include "router/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/message.h"
#include "common/probe.h"
#include "router/log.h"
#include "router/outbox.h"
#include "router/router.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83	/* Linux 6.16 */
#endif


const char *peer_name(const struct peer *peer, char text[static 160])
{
	if (peer->node)
		snprintf(text, 160, "node %s (pid %d, uid %u)", peer->node->name, (int)peer->pid, peer->uid);
	else
		snprintf(text, 160, "client (pid %d, uid %u)", (int)peer->pid, peer->uid);
	return text;
}

/* --- arrival -------------------------------------------------------------------------------------- */

static void fill_error(struct wire_error *message, uint32_t request, const struct refusal *refusal)
{
	memset(message, 0, sizeof(*message));
	wire_init(&message->header, WIRE_ERROR, request);
	message->error = refusal->error;
	memcpy(message->text, refusal->text, sizeof(message->text));
}

void peer_turn_away(struct router *router, int fd, const struct refusal *refusal)
{
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(who);
	struct wire_error message;

	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length);
	view_count_refusal(&router->view);
	PROBE(zcp_router, refuse, (uint64_t)who.pid, (uint64_t)who.uid, (int64_t)refusal->error, refusal->text);
	log_peer("turned a client away: %s", refusal->text);
	fill_error(&message, 0, refusal);
	(void)message_send(fd, &message.header, NULL, 0);
}

static int turn_away(struct router *router, int fd, const struct refusal *refusal)
{
	peer_turn_away(router, fd, refusal);
	loop_hang_up(fd);
	return 0;
}

int peer_accept(struct router *router, int fd)
{
	struct refusal refusal;
	struct ucred credentials = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(credentials);
	struct quota_user *user;
	struct peer *peer;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) {
		refuse(&refusal, -errno, "the kernel does not say who you are: %s", strerror(errno));
		return turn_away(router, fd, &refusal);
	}
	user = quota_get(&router->quota, credentials.uid);
	peer = calloc(1, sizeof(*peer));
	if (!user || !peer) {
		refuse(&refusal, -ENOMEM, "the router is out of memory");
		goto fail_alloc;
	}
	r = quota_charge(user, QUOTA_CONNECTIONS, 1, &refusal);
	if (r)
		goto fail_alloc;
	r = quota_charge(user, QUOTA_FDS, FDS_OF_A_PEER, &refusal);
	if (r)
		goto fail_connections;
	r = loop_attach(router->loop, &peer->link, fd);
	if (r < 0) {
		refuse(&refusal, r, "the router cannot take the connection: %s", strerror(-r));
		goto fail_fds;
	}
	peer->router = router;
	peer->user = user;
	peer->pid = credentials.pid;
	peer->uid = credentials.uid;
	peer->gid = credentials.gid;
	peer->since_ns = clock_now_ns();
	DL_APPEND(router->peers, peer);
	router->n_peers++;
	peer->is_own = peer->pid == getpid();
	router->n_own_peers += peer->is_own;
	if (peer->is_own)
		send_peer_came(router, peer);
	detector_attach(&router->detector, peer, fd);
	return 0;

fail_fds:
	quota_release(user, QUOTA_FDS, FDS_OF_A_PEER);
fail_connections:
	quota_release(user, QUOTA_CONNECTIONS, 1);
fail_alloc:
	quota_put(user);
	free(peer);
	return turn_away(router, fd, &refusal);
}

/* --- sending -------------------------------------------------------------------------------------- */

static struct outbox_entry *enqueue(struct peer *peer, const struct wire_header *message, enum outbox_fds fds,
				    struct segment *segment)
{
	struct outbox_entry *entry;
	struct refusal refusal;
	char name[160];

	if (peer->doomed || peer->state >= PEER_LEAVING)
		return NULL;
	if (peer->n_queued >= PEER_QUEUE_MESSAGES || peer->queued_bytes >= PEER_QUEUE_BYTES) {
		refuse(&refusal, -ENOBUFS, "it does not read its messages, %zu are waiting", peer->n_queued);
		log_peer("%s is disconnected: %s", peer_name(peer, name), refusal.text);
		view_count_refusal(&peer->router->view);
		peer_trace_refusal(peer, &refusal);
		peer_doom(peer, WIRE_CAUSE_EVICTED);
		return NULL;
	}
	entry = outbox_put(peer, message, fds, segment);
	if (!entry) {
		log_peer("out of memory for a message to %s: disconnected", peer_name(peer, name));
		peer_doom(peer, WIRE_CAUSE_EVICTED);
	}
	return entry;
}

void peer_send(struct peer *peer, const struct wire_header *message, enum outbox_fds fds, struct segment *segment)
{
	if (enqueue(peer, message, fds, segment))
		outbox_push(peer);
}

void peer_send_cancellable(struct peer *peer, const struct wire_header *message, enum outbox_fds fds, struct segment *segment,
			   struct outbox_entry **handle)
{
	*handle = enqueue(peer, message, fds, segment);
	if (!*handle)
		return;
	(*handle)->handle = handle;
	outbox_push(peer);
}

bool peer_cancel(struct peer *peer, struct outbox_entry **handle)
{
	return *handle && outbox_cancel(peer, *handle);
}

void peer_send_optional(struct peer *peer, const struct wire_header *message)
{
	if (peer->n_queued < PEER_OPTIONAL_MESSAGES && peer->queued_bytes < PEER_OPTIONAL_BYTES)
		peer_send(peer, message, OUTBOX_NONE, NULL);
}

void peer_trace_refusal(const struct peer *peer, const struct refusal *refusal)
{
	PROBE(zcp_router, refuse, (uint64_t)peer->pid, (uint64_t)peer->uid, (int64_t)refusal->error, refusal->text);
}

void peer_send_error(struct peer *peer, uint32_t request, const struct refusal *refusal)
{
	struct wire_error message;

	fill_error(&message, request, refusal);
	peer_send(peer, &message.header, OUTBOX_NONE, NULL);
}

/* --- departure ------------------------------------------------------------------------------------ */

void peer_doom(struct peer *peer, enum wire_cause cause)
{
	if (peer->doomed || peer->state >= PEER_LEAVING)
		return;
	peer->doomed = true;
	peer->doom_cause = cause;
	peer->doomed_next = peer->router->doomed;
	peer->router->doomed = peer;
}

static void hang_up(struct peer *peer)
{
	if (peer->state == PEER_GONE)
		return;
	peer->state = PEER_GONE;
	outbox_clear_unsent(peer);
	loop_detach(peer->router->loop, &peer->link);
}

void peer_disconnect(struct peer *peer, enum wire_cause cause, uint32_t request, const struct refusal *refusal)
{
	struct wire_error message;

	if (peer->state >= PEER_LEAVING) {
		if (!refusal)
			hang_up(peer);
		return;
	}
	if (peer->node)
		router_retire_node(peer->router, peer->node, &(struct departure){ .cause = cause });
	outbox_clear_unsent(peer);
	if (!refusal) {
		hang_up(peer);
		return;
	}
	fill_error(&message, request, refusal);
	if (!outbox_put(peer, &message.header, OUTBOX_NONE, NULL)) {
		hang_up(peer);
		return;
	}
	peer->state = PEER_LEAVING;
	peer->leaving_since_ns = clock_now_ns();
	outbox_push(peer);
}

/* A tick's time was taken before what happens in the tick. */
static bool is_over(uint64_t now_ns, uint64_t since_ns, uint64_t patience_ns)
{
	return now_ns > since_ns && now_ns - since_ns >= patience_ns;
}

/* Only the first of several reasons counts: afterwards there is no node. */
static void depart(struct peer *peer, const struct departure *why, unsigned int found_by)
{
	struct router *router = peer->router;

	if (peer->node) {
		if (why->cause == WIRE_CAUSE_DIED)
			view_count_found(&router->view, found_by);
		router_retire_node(router, peer->node, why);
	}
	hang_up(peer);
}

static void depart_dead(struct peer *peer)
{
	const struct departure why = { .cause = WIRE_CAUSE_DIED, .exit = peer->exit };
	char name[160];

	if (peer->node)
		log_verbose("%s has died", peer_name(peer, name));
	depart(peer, &why, peer->found_by);
}

void peer_process_ended(struct peer *peer, const struct departure *why, unsigned int found_by)
{
	peer->process_ended = true;
	peer->exit = why->exit;
	peer->found_by = found_by;
	if (peer->ended_ns || peer->state >= PEER_LEAVING)
		depart_dead(peer);
	else
		loop_shut(&peer->link);
}

/* An end of file without a goodbye: ask who knows more, or else wait for the tick. */
int peer_ended(struct peer *peer, int error)
{
	struct router *router = peer->router;
	char name[160];

	peer->ended_ns = clock_now_ns();
	if (peer->process_ended || !peer->node || peer->state >= PEER_LEAVING) {
		depart_dead(peer);
		return 0;
	}
	detector_look(&router->detector, peer);
	if (peer->state == PEER_GONE)
		return 0;
	log_verbose("%s has closed its connection without a goodbye%s%s", peer_name(peer, name), error ? ": " : "",
		    error ? strerror(-error) : "");
	if (router->detector.in_use & DIRECTORY_DETECTOR_SOCKET && !detector_vouches(&router->detector, peer))
		depart(peer, &(struct departure){ .cause = WIRE_CAUSE_DIED }, DIRECTORY_DETECTOR_SOCKET);
	return 0;
}

/* A process that is about to die has closed its socket a moment before anybody can see more. */
static void check_left(struct peer *peer, uint64_t now_ns)
{
	struct router *router = peer->router;
	char name[160];

	if (!peer->ended_ns || peer->state >= PEER_LEAVING || !(router->detector.in_use & DIRECTORY_DETECTOR_SOCKET))
		return;
	if (!is_over(now_ns, peer->ended_ns, (uint64_t)router->options.scan_ms * 1000000 / 2))
		return;
	detector_look(&router->detector, peer);
	if (peer->state == PEER_GONE)
		return;
	log_verbose("%s has left, its process lives", peer_name(peer, name));
	depart(peer, &(struct departure){ .cause = WIRE_CAUSE_LEFT }, 0);
}

static void check_joined(struct peer *peer, uint64_t now_ns)
{
	struct refusal refusal;
	char name[160];

	if (peer->state > PEER_GREETED || peer->doomed || !is_over(now_ns, peer->since_ns, ROUTER_HELLO_PATIENCE_NS))
		return;
	refuse(&refusal, -ETIMEDOUT, "the client has not joined within %llu s of connecting: it must send HELLO and map its node page",
	       ROUTER_HELLO_PATIENCE_NS / 1000000000);
	log_peer("%s is disconnected: %s", peer_name(peer, name), refusal.text);
	view_count_refusal(&peer->router->view);
	peer_trace_refusal(peer, &refusal);
	peer_disconnect(peer, WIRE_CAUSE_EVICTED, 0, &refusal);
}

void peer_silent(struct peer *peer)
{
	depart(peer, &(struct departure){ .cause = WIRE_CAUSE_DIED }, DIRECTORY_DETECTOR_HEARTBEAT);
}

void peer_abandon(struct peer *peer)
{
	hang_up(peer);
}

void peer_retire_quietly(struct peer *peer)
{
	assert(peer->state == PEER_GONE);
	if (peer->node)
		router_retire_node(peer->router, peer->node, &(struct departure){ .cause = WIRE_CAUSE_CLOSED });
}

int peer_detached(struct peer *peer)
{
	struct router *router = peer->router;

	assert(!peer->node && !peer->sending);
	outbox_clear_unsent(peer);
	detector_detach(&router->detector, peer);
	quota_release(peer->user, QUOTA_FDS, FDS_OF_A_PEER);
	quota_release(peer->user, QUOTA_CONNECTIONS, 1);
	quota_put(peer->user);
	DL_DELETE(router->peers, peer);
	router->n_peers--;
	router->n_own_peers -= peer->is_own;
	send_peer_gone(router, peer);
	free(peer);
	return 0;
}

/* --- events --------------------------------------------------------------------------------------- */

int peer_sent(struct peer *peer, int result)
{
	/*
	 * EPIPE and the like: the receiving side sees the end too, and knows whether a goodbye came
	 * before it.
	 */
	if (!outbox_sent(peer, result))
		outbox_clear_unsent(peer);
	if (peer->state == PEER_LEAVING && !peer->outbox)
		hang_up(peer);
	else
		outbox_push(peer);
	return 0;
}

int peer_drained(struct peer *peer)
{
	peer->fds_in_flight = false;
	outbox_push(peer);
	return 0;
}

void peer_tick(struct peer *peer, uint64_t now_ns, bool grace)
{
	if (peer->backing_off) {
		peer->backing_off = false;
		outbox_push(peer);
	}
	if (peer->state == PEER_LEAVING && is_over(now_ns, peer->leaving_since_ns, ROUTER_LEAVING_PATIENCE_NS))
		hang_up(peer);
	if (grace)
		peer->since_ns = now_ns;
	check_joined(peer, now_ns);
	check_left(peer, now_ns);
}

/* What message_receive's judgement means for the peer. */
static int judge_malformed(int error, const union wire_message *message, struct refusal *refusal)
{
	switch (error) {
	case -EPROTONOSUPPORT:
		return violate(refusal, error, "the router speaks protocol version %u (zcp %s), the client version %u: update the older "
			       "of the two", WIRE_VERSION, PACKAGE_VERSION, message->header.version);
	case -EMSGSIZE:
		return violate(refusal, -EMSGSIZE, "a message is longer than %d bytes", WIRE_MESSAGE_MAX);
	case -EMFILE:
		return violate(refusal, -EPROTO, "a message came with descriptors: the router takes none");
	default:
		return violate(refusal, -EPROTO, "a message is malformed, or came with descriptors");
	}
}

static bool takes_fds(const struct peer *peer, uint16_t type)
{
	return (type == WIRE_REJOIN && peer->state == PEER_NEW) ||
	       ((type == WIRE_ENDPOINT_RESUME || type == WIRE_SEGMENT_RESUME) && peer->state == PEER_JOINED && peer->node->resuming);
}

static int accept_message(const struct peer *peer, const struct loop_received *received, int fds[WIRE_FDS_MAX],
			  struct refusal *refusal)
{
	int r = message_accept(received->message, received->size, received->flags, received->control, received->control_length,
			       fds);

	if (r == -EMFILE && takes_fds(peer, received->message->header.type))
		return refuse(refusal, -EMFILE, "the router has no free file descriptor: raise its RLIMIT_NOFILE (LimitNOFILE= of its "
			      "unit)");
	if (r < 0)
		return judge_malformed(r, received->message, refusal);
	if (wire_fds(received->message->header.type) && !takes_fds(peer, received->message->header.type))
		return violate(refusal, -EPROTO, "a message came with descriptors: the router takes none");
	return 0;
}

/* Most nodes send none ever: then the kernel may refuse them, and with them their price in our table. */
void peer_accept_fds(struct peer *peer, bool accept)
{
	int value = accept;

	/* Not fatal: without it descriptors that a client sends are closed as they arrive. */
	if (!peer->router->options.pass_rights)
		setsockopt(peer->link.fd, SOL_SOCKET, SO_PASSRIGHTS, &value, sizeof(value));
}

int peer_received(struct peer *peer, const struct loop_received *received)
{
	int fds[WIRE_FDS_MAX] = { -1, -1 };
	struct refusal refusal;
	uint32_t request = 0;
	char name[160];
	int r;

	if (peer->state >= PEER_LEAVING || peer->doomed) {
		message_close_fds(received->control, received->control_length);
		return 0;
	}
	view_count_message(&peer->router->view);
	r = accept_message(peer, received, fds, &refusal);
	if (!r) {
		request = received->message->header.request;
		r = router_dispatch(peer, received->message, fds, &refusal);
	} else if (refusal.error == -EPROTONOSUPPORT || r == REFUSED) {
		request = received->message->header.request;
	}
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(fds[i]);
	if (r <= 0)
		return r;

	view_count_refusal(&peer->router->view);
	peer_trace_refusal(peer, &refusal);
	if (r == REFUSED) {
		log_verbose("%s: refused: %s", peer_name(peer, name), refusal.text);
		peer_send_error(peer, request, &refusal);
	} else {
		log_peer("%s broke the protocol, disconnected: %s", peer_name(peer, name), refusal.text);
		peer_disconnect(peer, WIRE_CAUSE_EVICTED, request, &refusal);
	}
	return 0;
}
