/* SPDX-License-Identifier: MIT */
/*
 * peer.h - a connection: who it is, what it may say now, and what is still to be sent to it
 *
 * The state machine:
 *
 *	NEW --HELLO--> GREETED --SEGMENT_MAPPED (node page)--> JOINED --GOODBYE, end of file--> GONE
 *	any --violation, queue overflow--> LEAVING --told why, or patience over--> GONE
 *
 * An end of file is a hint (detector.h): while the process lives, or may, the peer stays as it is
 * until a tick finds that nobody has reported an end, and has then LEFT. A process that has ended
 * is told to each of its peers. What those had sent before is still read, since it may be a
 * GOODBYE, and only the end of file that follows retires them.
 *
 * What a peer does never recurses into another peer: sending to one whose queue is full only marks
 * it doomed, and router_settle() retires the doomed between two events.
 *
 * The send queue is bounded in messages and bytes; who does not read is disconnected and delays
 * nobody. A message with descriptors is only given to the kernel when the peer has read all that
 * came before: one such message in flight per node, since the kernel counts descriptors in flight
 * per user, not per socket. News that is obsolete before it was sent is taken back, so that the
 * queue of a process that stands still (a debugger, SIGSTOP) does not grow with others that come
 * and go.
 */
#ifndef ZCP_ROUTER_PEER_H
#define ZCP_ROUTER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/wire.h"
#include "router/loop.h"
#include "router/quota.h"
#include "router/refusal.h"

#define FDS_OF_A_PEER 2u	/* socket and pidfd */
#define PEER_QUEUE_MESSAGES 8192u
#define PEER_QUEUE_BYTES (1u << 20)
#define PEER_OPTIONAL_MESSAGES (PEER_QUEUE_MESSAGES / 4)
#define PEER_OPTIONAL_BYTES (PEER_QUEUE_BYTES / 4)

struct departure;
struct router;
struct node;
struct process;
struct segment;

enum peer_state {
	PEER_NEW,
	PEER_GREETED,
	PEER_JOINED,
	PEER_LEAVING,
	PEER_GONE,
};

enum outbox_fds {
	OUTBOX_NONE,
	OUTBOX_WELCOME,		/* the directory, and the segment read-write */
	OUTBOX_WRITER,		/* the segment read-write, and its doorbell */
	OUTBOX_READER,		/* the segment read-only, and its doorbell */
	OUTBOX_WRITER_ONLY,	/* the same without a doorbell: extras have none */
	OUTBOX_READER_ONLY,
};

struct outbox_entry {
	struct outbox_entry *prev, *next;
	struct outbox_entry **handle;	/* the sender's way to cancel it: points back here until it is sent */
	enum outbox_fds fds;
	struct segment *segment;
	struct wire_header message[];	/* and the rest of it */
};

struct peer {
	struct loop_link link;
	struct router *router;
	struct quota_user *user;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool is_own;			/* of our own process: the relay's (relay.h) */
	struct wire_process process;	/* who it is to others; filled in when it is accepted */
	struct process *shared;		/* detector.h; NULL: nobody watches the process */
	enum peer_state state;
	struct node *node;
	struct outbox_entry *outbox;
	size_t n_queued, queued_bytes;
	bool sending;			/* the first entry is with the loop */
	bool fds_in_flight;		/* a message with descriptors was sent and may be unread */
	bool backing_off;		/* ETOOMANYREFS: wait for the tick */
	bool doomed;
	enum wire_cause doom_cause;
	uint64_t since_ns;		/* when it connected, or later: our own last stall */
	uint64_t leaving_since_ns;
	uint64_t ended_ns;		/* end of file, 0: not yet */
	bool process_ended;
	struct wire_exit exit;		/* how it ended, and who found it: DIRECTORY_DETECTOR_* */
	unsigned int found_by;
	struct peer *prev, *next;
	struct peer *process_prev, *process_next;
	struct peer *doomed_next;
};

/*
 * Takes over @fd, also when it fails (then the client is told as far as that is possible). 0 or
 * negative: the router's own failure.
 */
int peer_accept(struct router *router, int fd);

/* Tell the client behind @fd, and whoever watches the router, that it cannot be served; without blocking. @fd stays the caller's. */
void peer_turn_away(struct router *router, int fd, const struct refusal *refusal);

/* Queue @message. With descriptors, those of @segment as @fds says. Overflow dooms the peer. */
void peer_send(struct peer *peer, const struct wire_header *message, enum outbox_fds fds, struct segment *segment);

/*
 * The same for what may become pointless: *@handle is the queued entry until it goes out and NULL
 * from then on. It must stay where it is until then, or be given to peer_cancel(), which returns
 * whether the message was still there and is gone now.
 */
void peer_send_cancellable(struct peer *peer, const struct wire_header *message, enum outbox_fds fds, struct segment *segment,
			   struct outbox_entry **handle);
bool peer_cancel(struct peer *peer, struct outbox_entry **handle);

/* The same for what a peer can do without: dropped when a good part of the queue is taken. */
void peer_send_optional(struct peer *peer, const struct wire_header *message);

/* Tell tracers that something was refused to @peer. */
void peer_trace_refusal(const struct peer *peer, const struct refusal *refusal);

/* Answer @request with WIRE_ERROR. */
void peer_send_error(struct peer *peer, uint32_t request, const struct refusal *refusal);

/* Retire the node at the next router_settle() and disconnect. */
void peer_doom(struct peer *peer, enum wire_cause cause);

/* Retire the node now; say @refusal, if any, as the last thing; disconnect. */
void peer_disconnect(struct peer *peer, enum wire_cause cause, uint32_t request, const struct refusal *refusal);

/* Events of the loop. */
int peer_received(struct peer *peer, const struct loop_received *received);
int peer_ended(struct peer *peer, int error);
int peer_sent(struct peer *peer, int result);
int peer_drained(struct peer *peer);
int peer_detached(struct peer *peer);

/* Whether the kernel shall let descriptors from it pass: until it has said HELLO, and while it comes back. */
void peer_accept_fds(struct peer *peer, bool accept);

/* After our own stall, @grace, nobody's patience counts. */
void peer_tick(struct peer *peer, uint64_t now_ns, bool grace);

/* Its process has ended, as the detector @found_by says. Comes once. */
void peer_process_ended(struct peer *peer, const struct departure *why, unsigned int found_by);

/* Its connection has ended, nobody else watches the process, and its heart does not beat any more. */
void peer_silent(struct peer *peer);

/* The router leaves: hang up, and retire the node so that nobody hears of it. In this order for all peers. */
void peer_abandon(struct peer *peer);
void peer_retire_quietly(struct peer *peer);

/* How log lines name it. */
const char *peer_name(const struct peer *peer, char text[static 160]);

#endif
