/* SPDX-License-Identifier: MIT */
/*
 * wire.h - the control protocol between a node and the router
 *
 * One SOCK_SEQPACKET datagram is one message: a fixed struct that begins with struct wire_header. No text
 * parsing, no variable parts; `size` in the header must equal both the datagram's length and the size of the
 * struct its type names. Reserved bytes are zero and checked. Both ends are on one machine, so integers are in
 * host order; `magic` catches a peer of another endianness and `version` one of another ABI.
 *
 * Descriptors travel only in the messages marked "fds" below. The router sends six of these; a node sends
 * descriptors only to a router that it comes back to (REJOIN, ENDPOINT_RESUME, SEGMENT_RESUME), and the router takes them
 * from no other message.
 *
 * The life of a publisher, as the two ends see it:
 *
 *	node                                  router
 *	ENDPOINT_OPEN (request r)       -->   checks names, type, geometry, quotas; memfd + F_SEAL_SHRINK|F_SEAL_GROW
 *	                                <--   ENDPOINT_OPENED (request r) + fds: segment (read-write), doorbell
 *	maps it read-write, writes the
 *	constant header
 *	SEGMENT_MAPPED (request r)      -->   F_SEAL_FUTURE_WRITE|F_SEAL_SEAL; only now may others see the segment
 *	                                <--   ENDPOINT_READY (request r)
 *
 * A subscriber's is the same with its lane page. When a publisher and a subscriber of one topic are both ready,
 * they are matched:
 *
 *	subscriber <-- WRITER_ADDED + fds: data segment (read-only), the publisher's doorbell
 *	subscriber --> LANE_CHOSEN: it has mapped the segment and prepared lane i of its lane page (or a negative error: no match)
 *	publisher  <-- LANE_ADDED + fds: lane page (read-only), the subscriber's doorbell
 *
 * and when either end leaves, the other is told WRITER_GONE or LANE_GONE. For a subscriber that opens, every
 * WRITER_ADDED of the publishers already there precedes its ENDPOINT_READY, so that take finds history at once.
 *
 * Requests and responses go over channels of this kind too, one each way for each client and server, so that no client can
 * see what another one asks or is told. A client is a subscriber with role RESPONSE, a server one with role REQUEST.
 * Who is on the other side of the topic, each is told when both are ready:
 *
 *	both       <-- PEER_ADDED: the other's endpoint
 *
 * and then opens, as above, a publisher that names it in `to`, and itself in `from`: the client one for requests, with role
 * REQUEST, the server one for responses. Such a publisher is matched with that subscriber and nobody else.
 *
 * A notifier is a publisher, and a listener a subscriber, with role EVENT; they are matched like those of role DATA.
 *
 * A publisher that grows has, beside its data segment, up to EXTRAS_MAX extras, segments of one chunk each for single large
 * messages (common/geometry.h):
 *
 *	publisher                             router                            subscriber
 *	SEGMENT_GROW (request r)        -->   quotas; memfd of that size
 *	                                <--   SEGMENT_GROWN + fd
 *	maps it
 *	SEGMENT_MAPPED (request r)      -->   seals it                    -->   SEGMENT_SHARED + fd, to each that has a lane
 *	                                <--   SEGMENT_READY (request r)
 *	SEGMENT_RETURN                  -->                               -->   SEGMENT_WITHDRAWN
 *
 * The message in the extra may be faster than SEGMENT_SHARED: then the subscriber waits for it. A subscriber that chooses its lane
 * is told of all extras that are there. When the publisher has gone, what was shared comes before WRITER_GONE.
 *
 * A node that has no publisher hands a small message to the router, which publishes it for the node (router/relay.h):
 *
 *	SEND (request r)                -->   checks the topic, quotas; the payload's beginning
 *	as many SEND_MORE (request r)   -->   the rest of it, in order, with no other SEND between them
 *	as it takes
 *	                                <--   SENT (request r): how many subscribers it reached
 *
 * A SEND that is refused is answered by ERROR at once; its SEND_MOREs follow all the same, and are passed over.
 *
 * A node may offer descriptors of its own to those that get its messages. They do not pass through the router, which only
 * makes the two a socket pair:
 *
 *	FD_TAKE (request r)             -->
 *	                                <--   FD_CHANNEL (request r) + one end     to the one that offers: FD_WANTED + the other end
 *	and there the descriptor comes, or the end: there is none with that token
 *
 * Who may look at an endpoint (its own user, the router's, root) gets its segment to read, for tools that show what moves in it:
 *
 *	SEGMENT_LOOK (request r)        -->
 *	                                <--   SEGMENT_SEEN (request r) + fd: the segment (read-only)
 *
 * A router that was restarted knows nothing. Its nodes come back and hand their segments over again; nothing that
 * was mapped before is mapped anew, and data flows all the time:
 *
 *	REJOIN (request r) + fds: the    -->   checks by the page's name that it is this uid's and this node's; the
 *	node page of the old router            node keeps its id
 *	                                <--   WELCOME (request r) + fds: new directory, new node page
 *	SEGMENT_MAPPED (request r)      -->
 *	for each endpoint, one after the other:
 *	ENDPOINT_RESUME (request s) +   -->   checks seals, size, owner, name, type, quotas; the endpoint keeps its id
 *	fds: its segment, its doorbell
 *	n_claims times MATCH_RESUME     -->   who was matched with whom: both ends say it, in any order
 *	                                <--   ENDPOINT_RESUMED (request s)
 *	for each of its extras:
 *	SEGMENT_RESUME (request t) +    -->   the same checks, and it is shared
 *	fds: the extra                  <--   SEGMENT_READY (request t), or ERROR: it goes on, but nobody else will get it
 *	RESUME_END                      -->   what this node did not bring back by now is gone
 *
 * A claim whose other end is not there yet waits for it as long as the process behind it lives. What only the
 * subscriber claims becomes LANE_ADDED to the publisher (it was lost on its way), what only the publisher claims becomes
 * LANE_GONE. Ids are never given out twice, not by two routers either.
 */
#ifndef ZCP_COMMON_WIRE_H
#define ZCP_COMMON_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "common/geometry.h"

#define WIRE_MAGIC 0x5a435057u	/* "ZCPW" on a big-endian reader */
#define WIRE_VERSION 5u		/* of this header and of every shared-memory layout; any difference is refused */
#define WIRE_NAME_BYTES 104	/* a name of up to 100 bytes, its NUL, padding; bytes after the NUL are zero */
#define WIRE_TEXT_BYTES 232
#define WIRE_MESSAGE_MAX 1024	/* no message is larger */
#define WIRE_FDS_MAX 2		/* no message carries more descriptors */

enum wire_type {
	/* node -> router */
	WIRE_HELLO = 1,
	WIRE_SEGMENT_MAPPED = 2,	/* ENDPOINT_OPENED's, SEGMENT_GROWN's or WELCOME's read-write segment is mapped */
	WIRE_ENDPOINT_OPEN = 3,
	WIRE_ENDPOINT_CLOSE = 4,
	WIRE_LANE_CHOSEN = 5,
	WIRE_GOODBYE = 6,		/* the socket's end that follows is a clean close, not a death */
	WIRE_REJOIN = 7,		/* fds: the node page that the node wrote to so far. In place of HELLO */
	WIRE_ENDPOINT_RESUME = 8,	/* fds: the endpoint's segment (read-write, sealed), its doorbell */
	WIRE_MATCH_RESUME = 9,
	WIRE_RESUME_END = 10,
	WIRE_WATCH_OPEN = 11,
	WIRE_WATCH_CLOSE = 12,
	WIRE_POOL_DRY = 13,		/* a publisher could not loan: its subscribers hold all chunks. At most once a second */
	WIRE_SEND = 14,
	WIRE_SEND_MORE = 15,

	WIRE_SEGMENT_GROW = 18,		/* a publisher wants an extra */
	WIRE_SEGMENT_RETURN = 19,	/* and needs it no more */
	WIRE_FD_TAKE = 21,		/* a descriptor that the node of an endpoint offers is wanted */
	WIRE_SEGMENT_RESUME = 20,	/* fds: an extra of the endpoint that was resumed last (read-write, sealed) */
	WIRE_SEGMENT_LOOK = 22,

	/* router -> node */
	WIRE_WELCOME = 32,		/* fds: directory (read-only), node page (read-write) */
	WIRE_ENDPOINT_OPENED = 33,	/* fds: segment (read-write), doorbell */
	WIRE_ENDPOINT_READY = 34,
	WIRE_WRITER_ADDED = 35,		/* fds: data segment (read-only), the writer's doorbell */
	WIRE_LANE_ADDED = 36,		/* fds: lane page (read-only), the reader's doorbell */
	WIRE_WRITER_GONE = 37,
	WIRE_LANE_GONE = 38,
	WIRE_MATCH_REFUSED = 39,	/* a pair that should have met cannot: text says why; no further consequence */
	WIRE_ERROR = 40,		/* answers `request`; after a protocol violation the router closes the socket. request 0: of no message */
	WIRE_ENDPOINT_RESUMED = 41,
	WIRE_WATCHING = 42,		/* the watch is open, and all WATCH_EVENTs about what existed before are sent */
	WIRE_WATCH_EVENT = 43,
	WIRE_PEER_ADDED = 44,		/* to client and server: open a publisher for this one */
	WIRE_SENT = 45,
	WIRE_SEGMENT_GROWN = 50,	/* fds: the extra (read-write) */
	WIRE_SEGMENT_READY = 51,
	WIRE_SEGMENT_SHARED = 52,	/* fds: an extra of a writer (read-only) */
	WIRE_SEGMENT_WITHDRAWN = 53,
	WIRE_FD_CHANNEL = 54,		/* fds: a socket on which it will come */
	WIRE_FD_WANTED = 55,		/* fds: the other end of that socket, to send it on */
	WIRE_SEGMENT_SEEN = 56,		/* fds: an endpoint's segment (read-only) */
};

struct wire_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;		/* enum wire_type */
	uint32_t size;		/* of the whole message in bytes */
	uint32_t request;	/* chosen by the node, non-zero, echoed in the answer; 0 where there is no request */
};
static_assert(sizeof(struct wire_header) == 16, "wire layout");

struct wire_topic {
	char service[WIRE_NAME_BYTES];
	char instance[WIRE_NAME_BYTES];
	char event[WIRE_NAME_BYTES];
};

/* Empty name: untyped, agrees with everything. */
struct wire_type_info {
	char name[WIRE_NAME_BYTES];
	uint64_t size;
	uint64_t alignment;
};

#define WIRE_HELLO_UNMONITORED (1u << 0)	/* exempt from the heartbeat scan */
#define WIRE_HELLO_FLAGS WIRE_HELLO_UNMONITORED

struct wire_hello {
	struct wire_header header;
	uint32_t flags;
	uint32_t reserved;
	char name[WIRE_NAME_BYTES];	/* of the node; need not be unique */
};
static_assert(sizeof(struct wire_hello) == 128, "wire layout");

struct wire_welcome {
	struct wire_header header;	/* request of HELLO */
	uint64_t node;			/* id, never reused within a router's life */
	uint64_t epoch;			/* of this router's life: differs after a restart */
	uint64_t directory_bytes;
	uint64_t node_page_bytes;
	uint64_t node_page_segment;	/* id to name in SEGMENT_MAPPED */
	uint32_t heartbeat_ms;		/* how often the node shall touch its page, 1..60000 */
	uint32_t reserved;
};
static_assert(sizeof(struct wire_welcome) == 64, "wire layout");

/* HELLO of a node that was joined to another router before. Answered by WELCOME, or ERROR: -ESTALE, it was this router, which has evicted it. */
struct wire_rejoin {
	struct wire_header header;
	uint32_t flags;			/* WIRE_HELLO_* */
	uint32_t reserved;
	char name[WIRE_NAME_BYTES];
	uint64_t node;			/* its id, which it keeps */
	uint64_t epoch;			/* of the router that it was joined to last */
};
static_assert(sizeof(struct wire_rejoin) == 144, "wire layout");

struct wire_segment_mapped {
	struct wire_header header;	/* request of ENDPOINT_OPEN, SEGMENT_GROW, or HELLO */
	uint64_t segment;
};
static_assert(sizeof(struct wire_segment_mapped) == 24, "wire layout");

enum wire_endpoint_kind {
	WIRE_PUBLISHER = 1,
	WIRE_SUBSCRIBER = 2,
};

#define WIRE_ENDPOINT_RELIABLE (1u << 0)	/* publisher: waits for every reader that is not lossy */
#define WIRE_ENDPOINT_LOSSY (1u << 1)		/* subscriber: never waited for */
#define WIRE_ENDPOINT_SHARED (1u << 2)		/* server: others may be on the topic, if they are shared too */
#define WIRE_ENDPOINT_HUGE (1u << 3)		/* publisher: a data segment of huge pages, if there are any; its size is rounded up to them */
#define WIRE_ENDPOINT_FLAGS (WIRE_ENDPOINT_RELIABLE | WIRE_ENDPOINT_LOSSY | WIRE_ENDPOINT_SHARED | WIRE_ENDPOINT_HUGE)

/* What a channel carries. Endpoints of different roles never meet, even if their topics have the same name. */
enum wire_role {
	WIRE_ROLE_DATA = 0,
	WIRE_ROLE_REQUEST = 1,		/* subscriber: a server */
	WIRE_ROLE_RESPONSE = 2,		/* subscriber: a client */
	WIRE_ROLE_EVENT = 3,		/* publisher: a notifier; subscriber: a listener */
};

struct wire_endpoint_open {
	struct wire_header header;
	uint32_t kind;			/* enum wire_endpoint_kind */
	uint32_t flags;
	uint32_t max_held;		/* subscriber: samples held at once, 1..1024 */
	uint32_t n_lanes;		/* subscriber: publishers at once, 1..4096 */
	uint32_t history;		/* subscriber: messages wanted from before it joined */
	uint32_t role;			/* enum wire_role */
	uint64_t to, from;		/* publisher of requests or responses: the one subscriber that it is for, and its own node's that answers */
	struct wire_topic topic;
	struct wire_type_info type;
	struct wire_type_info peer_type;	/* server: of responses; client: of requests */
	struct channel_geometry geometry;	/* publisher; all zero for a subscriber */
};
static_assert(sizeof(struct wire_endpoint_open) <= WIRE_MESSAGE_MAX, "fits a receive buffer");

/* What follows the header is what ENDPOINT_OPEN said, so that both are checked by the same code. */
struct wire_endpoint_resume {
	struct wire_endpoint_open open;	/* its header is this message's */
	uint64_t endpoint;		/* its id, which it keeps */
	uint32_t n_claims;		/* MATCH_RESUMEs that follow, before anything else */
	uint32_t n_expected;		/* publisher: matches from before its start that it still waits for */
};
static_assert(sizeof(struct wire_endpoint_resume) <= WIRE_MESSAGE_MAX, "fits a receive buffer");

struct wire_endpoint_resumed {
	struct wire_header header;
	uint64_t endpoint;
	/*
	 * Publisher: how many LANE_ADDED or LANE_GONE (with WIRE_MATCH_FROM_START, or of a match it does not know) will
	 * follow. That is what it said in n_expected: those it waits for may not be back yet, and it must not stop to wait for
	 * them (tests/model/rejoin.pml, MUT_FORGET_EXPECTED). The router counts them down as they come back, and sends LANE_GONE
	 * with match 0 for each that is still missing 10 s after the publisher resumed.
	 */
	uint32_t n_pending;
	uint32_t reserved;
};
static_assert(sizeof(struct wire_endpoint_resumed) == 32, "wire layout");

/*
 * A process, as the router sees it. identity: the pidfd's inode, unique per boot; 0 where the kernel has no pidfs
 * (before 6.9). pid 0: in a pid namespace that the router cannot see.
 */
struct wire_process {
	uint32_t pid;
	uint32_t reserved;
	uint64_t identity;
};

struct wire_match_resume {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the claimant */
	uint64_t match;
	uint64_t peer;			/* endpoint id of the other end */
	uint64_t peer_node;
	struct wire_process peer_process;
	uint32_t lane;			/* in the subscriber's lane page */
	uint32_t flags;			/* WIRE_MATCH_* */
};
static_assert(sizeof(struct wire_match_resume) == 72, "wire layout");

struct wire_resume_end {
	struct wire_header header;	/* request 0 */
};

struct wire_endpoint_opened {
	struct wire_header header;
	uint64_t endpoint;		/* id, never reused within a router's life */
	uint64_t segment;		/* id to name in SEGMENT_MAPPED */
	uint64_t segment_bytes;
};
static_assert(sizeof(struct wire_endpoint_opened) == 40, "wire layout");

struct wire_endpoint_ready {
	struct wire_header header;
	uint64_t endpoint;
	/* publisher: matches under way, for each of which LANE_ADDED or LANE_GONE follows; client, server: PEER_ADDEDs that follow at once */
	uint32_t n_pending;
	uint32_t reserved;
};
static_assert(sizeof(struct wire_endpoint_ready) == 32, "wire layout");

struct wire_endpoint_close {
	struct wire_header header;
	uint64_t endpoint;
};
static_assert(sizeof(struct wire_endpoint_close) == 24, "wire layout");

#define WIRE_MATCH_FROM_START (1u << 0)	/* the subscriber was there before the publisher: nothing published is "history" to it */
#define WIRE_MATCH_LOSSY (1u << 1)	/* the lane is never waited for (publisher not reliable, or subscriber lossy) */

struct wire_writer_added {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the subscriber addressed */
	uint64_t match;			/* generation of the lane: unique in a router's life, non-zero */
	uint64_t publisher;		/* endpoint id */
	uint64_t node;			/* the publisher's */
	uint64_t segment_bytes;
	uint32_t flags;			/* WIRE_MATCH_* */
	uint32_t reserved;
	struct wire_process process;	/* the publisher's */
	uint64_t from;			/* as in ENDPOINT_OPEN of the publisher: the client or server whose channel this is */
};
static_assert(sizeof(struct wire_writer_added) == 88, "wire layout");

struct wire_peer_added {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the client or server addressed */
	uint64_t peer;			/* the other one's endpoint id; told again by a router that was restarted */
	uint64_t node;			/* the peer's */
	uint32_t max_held;		/* the peer's: what the channel to it has to have room for */
	uint32_t reserved;
};
static_assert(sizeof(struct wire_peer_added) == 48, "wire layout");

struct wire_lane_chosen {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the subscriber */
	uint64_t match;
	int32_t lane;			/* index in the lane page, or a negative errno value: the subscriber could not map the writer */
	uint32_t reserved;
};
static_assert(sizeof(struct wire_lane_chosen) == 40, "wire layout");

struct wire_lane_added {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the publisher addressed */
	uint64_t match;
	uint64_t subscriber;		/* endpoint id */
	uint64_t node;			/* the subscriber's */
	uint64_t segment_bytes;		/* of the lane page */
	uint32_t lane;
	uint32_t n_lanes;		/* geometry of the lane page, as the router sized it */
	uint32_t max_held;
	uint32_t flags;			/* WIRE_MATCH_* */
	struct wire_process process;	/* the subscriber's */
};
static_assert(sizeof(struct wire_lane_added) == 88, "wire layout");

#define WIRE_GROW_HUGE (1u << 0)	/* of huge pages, if there are any and they fit the size */

/* SEGMENT_GROW and SEGMENT_RESUME; answered by SEGMENT_GROWN and SEGMENT_READY, or by ERROR. */
struct wire_segment_grow {
	struct wire_header header;
	uint64_t endpoint;		/* the publisher */
	uint64_t bytes;			/* a power of two, EXTRA_BYTES_MIN..EXTRA_BYTES_MAX */
	uint32_t extra;			/* its id, chosen by the publisher: in a place that is free */
	uint32_t flags;			/* WIRE_GROW_*; SEGMENT_RESUME: 0 */
};
static_assert(sizeof(struct wire_segment_grow) == 40, "wire layout");

struct wire_segment_grown {
	struct wire_header header;
	uint64_t endpoint;
	uint64_t segment;		/* id to name in SEGMENT_MAPPED */
	uint32_t extra;
	uint32_t reserved;
};
static_assert(sizeof(struct wire_segment_grown) == 40, "wire layout");

/* SEGMENT_READY and SEGMENT_RETURN. */
struct wire_segment_extra {
	struct wire_header header;	/* SEGMENT_READY: request of SEGMENT_GROW; else 0 */
	uint64_t endpoint;
	uint32_t extra;
	uint32_t reserved;
};
static_assert(sizeof(struct wire_segment_extra) == 32, "wire layout");

#define WIRE_EXTRA_ABSENT (1u << 0)	/* SEGMENT_WITHDRAWN: it is in use, but who does not have it will not get it */

/* SEGMENT_SHARED: what was in this place before is withdrawn. SEGMENT_WITHDRAWN: the place is empty (or absent). */
struct wire_segment_shared {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the subscriber addressed */
	uint64_t match;
	uint64_t bytes;			/* SEGMENT_WITHDRAWN: 0 */
	uint32_t extra;
	uint32_t flags;			/* WIRE_EXTRA_* */
};
static_assert(sizeof(struct wire_segment_shared) == 48, "wire layout");

struct wire_segment_look {
	struct wire_header header;
	uint64_t endpoint;
};
static_assert(sizeof(struct wire_segment_look) == 24, "wire layout");

struct wire_segment_seen {
	struct wire_header header;	/* request of SEGMENT_LOOK */
	uint64_t endpoint;
	uint64_t segment_bytes;
	uint32_t n_lanes, max_held;	/* of a lane page; publisher: 0 */
};
static_assert(sizeof(struct wire_segment_seen) == 40, "wire layout");

struct wire_fd_take {
	struct wire_header header;
	uint64_t endpoint;		/* of the node that offers; matched with one of ours */
	uint64_t token;			/* which descriptor: a random number that it has told us */
};
static_assert(sizeof(struct wire_fd_take) == 32, "wire layout");

struct wire_fd_channel {
	struct wire_header header;
	uint64_t reserved;
};
static_assert(sizeof(struct wire_fd_channel) == 24, "wire layout");

struct wire_fd_wanted {
	struct wire_header header;	/* request 0 */
	uint64_t token;
};
static_assert(sizeof(struct wire_fd_wanted) == 24, "wire layout");

enum wire_cause {
	WIRE_CAUSE_CLOSED = 1,		/* the endpoint or its node was closed by its owner */
	WIRE_CAUSE_DIED = 2,		/* the node's process ended without saying goodbye */
	WIRE_CAUSE_EVICTED = 3,		/* the router removed the node (protocol violation, quota, unresponsive) */
	WIRE_CAUSE_REFUSED = 4,		/* the match never came about */
	WIRE_CAUSE_LEFT = 5,		/* its connection ended without a goodbye, but the process lives: exec, or closed descriptors */
};

/* How a process ended, where a detector could tell. All zero: unknown. */
#define WIRE_EXIT_KNOWN (1u << 0)
#define WIRE_EXIT_OOM (1u << 1)		/* the kernel's out-of-memory killer did it */

struct wire_exit {
	uint32_t flags;			/* WIRE_EXIT_* */
	int32_t status;			/* as waitpid(2) has it: WIFEXITED() and so on apply */
	uint64_t time_ns;		/* CLOCK_MONOTONIC of the router's time namespace; 0: unknown */
	char comm[16];			/* of the process, NUL-terminated; "": unknown */
};
static_assert(sizeof(struct wire_exit) == 32, "wire layout");

#define WIRE_GONE_CHOSEN (1u << 0)	/* LANE_GONE in place of a LANE_ADDED: the subscriber had chosen its lane, and may have read */

/* WRITER_GONE (to the subscriber) and LANE_GONE (to the publisher). */
struct wire_gone {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the endpoint addressed */
	uint64_t match;
	uint32_t cause;			/* enum wire_cause */
	uint32_t flags;			/* WIRE_GONE_* */
	struct wire_exit exit;		/* cause DIED: how */
};
static_assert(sizeof(struct wire_gone) == 72, "wire layout");

struct wire_match_refused {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the endpoint addressed */
	uint64_t peer;			/* the endpoint it will not meet */
	int32_t error;			/* negative errno value */
	uint32_t reserved;
	char text[WIRE_TEXT_BYTES];	/* NUL-terminated */
};

struct wire_error {
	struct wire_header header;	/* echoes the request */
	int32_t error;			/* negative errno value */
	uint32_t reserved;
	char text[WIRE_TEXT_BYTES];	/* NUL-terminated sentence that names the cure */
};

struct wire_goodbye {
	struct wire_header header;
};

/* ---- watches ---- */

#define WIRE_WATCH_SERVER 3u	/* in wire_watch_event.role, beside enum wire_endpoint_kind */
#define WIRE_WATCH_CLIENT 4u
#define WIRE_WATCH_NOTIFIER 5u
#define WIRE_WATCH_LISTENER 6u

#define WIRE_WATCH_EXISTING (1u << 0)	/* begin with APPEARED events for everything that is there */
#define WIRE_WATCH_NO_NODES (1u << 1)	/* endpoints only */
#define WIRE_WATCH_FLAGS (WIRE_WATCH_EXISTING | WIRE_WATCH_NO_NODES)

/*
 * pattern: three parts as in a topic, each with '*' (any number of characters) and '?' (one); an empty part matches
 * everything. With all three empty, all nodes are watched too; otherwise those that have a matching endpoint.
 */
struct wire_watch_open {
	struct wire_header header;
	uint64_t watch;			/* chosen by the node, unique in it, non-zero */
	uint32_t flags;			/* WIRE_WATCH_* */
	uint32_t reserved;
	struct wire_topic pattern;
};
static_assert(sizeof(struct wire_watch_open) == 344, "wire layout");

struct wire_watch_close {
	struct wire_header header;	/* request 0 */
	uint64_t watch;
};

struct wire_watching {
	struct wire_header header;
	uint64_t watch;
};

enum wire_watch_kind {
	WIRE_WATCH_NODE_APPEARED = 1,
	WIRE_WATCH_NODE_VANISHED = 2,		/* cause, exit */
	WIRE_WATCH_NODE_UNRESPONSIVE = 3,
	WIRE_WATCH_NODE_RESPONSIVE = 4,		/* again */
	WIRE_WATCH_ENDPOINT_APPEARED = 5,
	WIRE_WATCH_ENDPOINT_VANISHED = 6,	/* cause, exit */
	WIRE_WATCH_POOL_DRY = 7,		/* publisher */
};

#define WIRE_WATCH_EVENT_EXISTING (1u << 0)	/* was there when the watch opened */

struct wire_watch_event {
	struct wire_header header;	/* request 0 */
	uint64_t watch;
	uint32_t kind;			/* enum wire_watch_kind */
	uint32_t flags;			/* WIRE_WATCH_EVENT_* */
	uint64_t lost;			/* events that were dropped right before this one: the node did not read fast enough */
	uint64_t time_ns;		/* the router's CLOCK_MONOTONIC */
	uint64_t node;
	uint64_t endpoint;		/* 0 for a node's event */
	uint32_t pid, uid;
	uint32_t role;			/* enum wire_endpoint_kind, or one of WIRE_WATCH_*, or 0 */
	uint32_t cause;			/* enum wire_cause, or 0 */
	struct wire_exit exit;
	char node_name[WIRE_NAME_BYTES];
	struct wire_topic topic;	/* of the endpoint; zero for a node's event */
};
static_assert(sizeof(struct wire_watch_event) == 528, "wire layout");

struct wire_pool_dry {
	struct wire_header header;	/* request 0 */
	uint64_t endpoint;		/* the publisher */
};

/* ---- routed send ---- */

#define WIRE_SEND_MAX (64u << 10)	/* bytes of payload */
#define WIRE_SEND_BYTES (WIRE_MESSAGE_MAX - 16 - sizeof(struct wire_topic) - 8)
#define WIRE_SEND_MORE_BYTES (WIRE_MESSAGE_MAX - 16)

/*
 * In parts, not in a memory file: most messages fit the first part, and the router, which lets no descriptors in from a node that
 * has joined, needs no exception. Bytes behind the payload's end are zero.
 */
struct wire_send {
	struct wire_header header;
	uint32_t size;			/* of the whole payload, up to WIRE_SEND_MAX */
	uint32_t reserved;
	struct wire_topic topic;
	unsigned char bytes[WIRE_SEND_BYTES];
};
static_assert(sizeof(struct wire_send) == WIRE_MESSAGE_MAX, "wire layout");

struct wire_send_more {
	struct wire_header header;	/* request of SEND */
	unsigned char bytes[WIRE_SEND_MORE_BYTES];
};
static_assert(sizeof(struct wire_send_more) == WIRE_MESSAGE_MAX, "wire layout");

struct wire_sent {
	struct wire_header header;
	uint32_t n_subscribers;		/* that it reached */
	uint32_t reserved;
};
static_assert(sizeof(struct wire_sent) == 24, "wire layout");

/* Any message, as received. */
union wire_message {
	struct wire_header header;
	struct wire_hello hello;
	struct wire_welcome welcome;
	struct wire_segment_mapped segment_mapped;
	struct wire_endpoint_open endpoint_open;
	struct wire_endpoint_opened endpoint_opened;
	struct wire_endpoint_ready endpoint_ready;
	struct wire_endpoint_close endpoint_close;
	struct wire_writer_added writer_added;
	struct wire_peer_added peer_added;
	struct wire_lane_chosen lane_chosen;
	struct wire_lane_added lane_added;
	struct wire_gone gone;
	struct wire_match_refused match_refused;
	struct wire_error error;
	struct wire_goodbye goodbye;
	struct wire_rejoin rejoin;
	struct wire_endpoint_resume endpoint_resume;
	struct wire_endpoint_resumed endpoint_resumed;
	struct wire_match_resume match_resume;
	struct wire_resume_end resume_end;
	struct wire_watch_open watch_open;
	struct wire_watch_close watch_close;
	struct wire_watching watching;
	struct wire_watch_event watch_event;
	struct wire_pool_dry pool_dry;
	struct wire_segment_grow segment_grow;
	struct wire_segment_grown segment_grown;
	struct wire_segment_extra segment_extra;
	struct wire_segment_shared segment_shared;
	struct wire_segment_look segment_look;
	struct wire_segment_seen segment_seen;
	struct wire_fd_take fd_take;
	struct wire_fd_channel fd_channel;
	struct wire_fd_wanted fd_wanted;
	struct wire_send send;
	struct wire_send_more send_more;
	struct wire_sent sent;
	unsigned char bytes[WIRE_MESSAGE_MAX];
};
static_assert(sizeof(union wire_message) == WIRE_MESSAGE_MAX, "a receive buffer holds any message");

/* Fill the header of @message for @type; @request as documented above. The rest of the message is not touched. */
void wire_init(struct wire_header *header, enum wire_type type, uint32_t request);

/* Size in bytes of a message of @type; 0: no such type. */
uint32_t wire_size(uint32_t type);

/* Number of descriptors a message of @type carries. */
unsigned int wire_fds(uint32_t type);

/*
 * Checks of a received datagram of @size bytes: long enough for a header, magic, version, known type, matching size.
 * Returns 0, or -EPROTO, or -EPROTONOSUPPORT when it is only the version that differs.
 */
int wire_check(const union wire_message *message, uint64_t size);

#endif
