/* SPDX-License-Identifier: MIT */
/*
 * zcp.h - messages between the processes of one machine, without copying them
 *
 * A process joins with a node, and opens publishers and subscribers of topics on it. A publisher's messages lie
 * in memory that only the publisher can write (the kernel enforces it), and subscribers read them in place.
 *
 * Return values: 0 or a count on success, a negative errno value on failure; zcp_last_error() then has one
 * sentence for a human. Timeouts: int64_t nanoseconds; -1 waits for ever, 0 does not wait, a passed timeout is
 * -ETIMEDOUT. Option structs: set `sz` to sizeof the struct, leave the rest zero for defaults; NULL means all
 * defaults. Threads: one handle, one thread at a time; different handles of one node may be used by different
 * threads at once. The samples and loans of a handle belong to it in this respect. fork: a child cannot use its
 * parent's handles: every call fails with -EOWNERDEAD, and segments are not mapped in the child.
 */
#ifndef ZCP_ZCP_H
#define ZCP_ZCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
/* what is declared here is what the library exports: it is built with -fvisibility=hidden */
#pragma GCC visibility push(default)

/** Longest name of a node, service, instance, event or type, in bytes. */
#define ZCP_NAME_MAX 100

typedef struct zcp_node zcp_node;
typedef struct zcp_publisher zcp_publisher;
typedef struct zcp_subscriber zcp_subscriber;

/** What a message is about. Each part: 1..100 bytes of UTF-8, no '/', no control characters. */
struct zcp_topic {
	const char *service, *instance, *event;
};

/**
 * What a payload is; checked when endpoints of a topic meet. name: as a part of a topic, but '/' is fine; NULL:
 * untyped, agrees with everything. alignment 0: 1.
 */
struct zcp_type {
	const char *name;
	size_t size, alignment;
};

/**
 * The calling thread's last failure in this library as one sentence without a newline; "" if there was none. As with errno,
 * it means something after a call that failed; one that succeeds may have overcome a failure on its way, and leave its sentence.
 * The string is valid until the thread's next call into the library. Wait-free.
 */
const char *zcp_last_error(void);

/** Version of the library that runs, e.g. "0.1.0". */
const char *zcp_version(void);

/* ---- node -------------------------------------------------------------------------------------------------------- */

struct zcp_node_options {
	size_t sz;
	const char *socket_path;	/* NULL: $ZCP_ROUTER, else $XDG_RUNTIME_DIR/zcp/router.sock, else /run/zcp/router.sock */
	bool unmonitored;		/* exempt from the heartbeat scan */
	bool no_thread;			/* no background thread: call zcp_node_dispatch() when zcp_node_fd() is readable, at least every 100 ms */
	bool autostart;			/* start a per-user router if none listens */
	bool wait_for_router;		/* no router there: open all the same, and join when one comes */
	char reserved[4];
};

/**
 * Join the router as @name (need not be unique; nodes are told apart by id). Blocks until the router answered,
 * 5 s at most. The node starts one background thread with all signals blocked unless options->no_thread.
 *
 * With options->wait_for_router and nobody listening it returns 0 at once; the node joins as soon as a router is there
 * (tried again after 10 ms, then ever later up to 1 s). Until then endpoints cannot be opened: see zcp_node_wait().
 *
 * When the router ends or is restarted, the node comes back by itself to the one that listens next at the same path, with
 * all its endpoints and connections; data flows all the time.
 *
 * Errors: -EINVAL name or options; -ECONNREFUSED or -ENOENT no router there; -EACCES no right to the socket;
 * -EPROTONOSUPPORT the router speaks another ABI version; -EDQUOT or -ENOSPC its limits are reached; -EMFILE
 * RLIMIT_NOFILE too small; -ENOMEM; -ETIMEDOUT the router does not answer; -ENAMETOOLONG socket path over 107
 * bytes; -EPROTO the router sent nonsense; -ENOTCONN it hung up; -EAGAIN no thread can be started (RLIMIT_NPROC).
 */
int zcp_node_open(zcp_node **node, const char *name, const struct zcp_node_options *options);

/**
 * Leave: closes the node's endpoints too. NULL is fine. Memory of samples still held stays valid and unchanged
 * until each is released: the node then stays joined behind the scenes until the last zcp_sample_release().
 */
void zcp_node_close(zcp_node *node);

/** A descriptor that is readable when zcp_node_dispatch() has work (epoll, poll, io_uring). It stays the node's. */
int zcp_node_fd(const zcp_node *node);

/**
 * Handle control messages that are there and touch the heartbeat; never blocks. With the background thread
 * running there is nothing to do and it returns 0. Returns the number of messages handled, 0 also while there is no router;
 * -ENOTCONN the node is lost for good, see zcp_node_wait(); -EOWNERDEAD after fork.
 */
int zcp_node_dispatch(zcp_node *node);

/**
 * Wait until the node is joined to a router: after wait_for_router, or while a router is restarted. timeout 0 asks
 * without waiting (for event loops: again after each zcp_node_dispatch()). 0 joined; -ETIMEDOUT not yet; -ENOTCONN never
 * again: the router has evicted this node (zcp_last_error() says why), close it and open another; -EOWNERDEAD after fork.
 */
int zcp_node_wait(zcp_node *node, int64_t timeout);

/** The node's id at its router, kept when the router restarts; never reused. 0 before a node that waits for its router has joined. */
uint64_t zcp_node_id(const zcp_node *node);

/**
 * Offer @fd - a file, a dma-buf, memory of one's own - to those who are connected with endpoints of this node. *token identifies
 * it: send it along in the payload or user header of a message, a request or a response, and who gets that calls
 * zcp_node_take_fd(). The node keeps a duplicate until zcp_node_withdraw_fd() or zcp_node_close(), also over a restart of the router; any
 * number may take it, any number of times. The token is 64 random bits, and who knows it and is connected may take it. Never blocks.
 *
 * Errors: -EBADF not an open descriptor; -EMFILE; -ENOMEM; -EOWNERDEAD after fork.
 */
int zcp_node_offer_fd(zcp_node *node, int fd, uint64_t *token);

/** No longer offer what has this token; who took it keeps it. -ENOENT: nothing is offered with it; -EOWNERDEAD after fork. */
int zcp_node_withdraw_fd(zcp_node *node, uint64_t token);

/**
 * Take the descriptor that the node of @endpoint (zcp_sample.publisher, zcp_request.client, zcp_response.server) offers with @token.
 * Returns a descriptor, close-on-exec, that is the caller's. Blocks for the router's answer, 5 s at most, and up to @timeout for the
 * other node, whose thread sends it. What it is a descriptor of, only the other process knows: fstat(2) it, look for seals
 * (F_GET_SEALS) before mapping it, and do not trust a file to be read without blocking.
 *
 * Errors: -ENOENT nothing is offered with that token, the node has ended, or is not connected with this one; -ETIMEDOUT;
 * -EBUSY it does not read its messages; -EDQUOT, -ENOTCONN the router; -EMFILE; -ENOMEM; -EOWNERDEAD after fork.
 */
int zcp_node_take_fd(zcp_node *node, uint64_t endpoint, uint64_t token, int64_t timeout);

/** Largest message of zcp_node_send() in bytes. */
#define ZCP_SEND_MAX 65536

/**
 * Hand a message of @size bytes, up to ZCP_SEND_MAX, to the router, which publishes it on @topic for a node that has no
 * publisher of its own: for scripts, one-shots and sandboxes. Costs two copies and a round trip to the router; who sends
 * often opens a publisher. data may be NULL with size 0. Blocks until the router answered, 5 s at most; while a router
 * is restarted it first waits for that. Any thread may call it at any time; messages of one thread to one topic arrive in
 * order. Returns the number of subscribers reached, 0 if there are none. What they see is the publisher of a node
 * "zcp-relay", lossy, untyped and without history, which is closed when it was not used for 5 s.
 *
 * Errors: -EINVAL topic; -EMSGSIZE size; -EDQUOT 256 sends of this user are under way, or limits; -ENOSPC, -EMFILE
 * the router is short of something; -ENOMEM; -ENOTCONN router gone, and -ETIMEDOUT no answer: the message may have been
 * published all the same; -EOWNERDEAD after fork.
 */
int zcp_node_send(zcp_node *node, const struct zcp_topic *topic, const void *data, size_t size);

/* ---- publisher --------------------------------------------------------------------------------------------------- */

/*
 * Memory of large payloads in pages of 2 MiB or so, which spare the processor much work. ADVISE: ask for transparent huge pages, at both
 * ends; whether there are any is the system's choice (/sys/kernel/mm/transparent_hugepage/shmem_enabled). TRY: take reserved ones
 * (vm.nr_hugepages) for the whole segment, used or not, where there are enough, else as ADVISE.
 */
enum zcp_hugepages {
	ZCP_HUGE_NONE = 0,
	ZCP_HUGE_ADVISE = 1,
	ZCP_HUGE_TRY = 2,
};

struct zcp_publisher_options {
	size_t sz;
	size_t payload_max;		/* bytes, up to 2 GiB; 0: type.size, else 4096. Up to 232 bytes travel inside the ring */
	uint32_t depth;			/* messages a subscriber may lag; 0: 1024 for small payloads down to 4 for 64 KiB and more */
	uint32_t history;		/* messages kept for late joiners, <= depth; 0: none is kept once consumed */
	bool reliable;			/* wait for subscribers that did not open lossy instead of overrunning them */
	bool no_timestamps;		/* messages carry timestamp_ns 0: saves about 10 ns each */
	bool grow;			/* messages may be larger than payload_max, up to 2 GiB; see zcp_publisher_loan() */
	uint8_t hugepages;		/* enum zcp_hugepages */
	char reserved0[4];
	int64_t timeout;		/* reliable: how long loan, publish and send wait for room in ns; 0: -EAGAIN at once; -1: for ever */
	uint32_t max_subscribers;	/* connected at once; 0: 256 */
	uint32_t max_loans;		/* open at once; 0: 64, or 8 for payloads over 64 KiB */
	uint32_t max_held;		/* samples all subscribers together may hold; 0: 32..1024 by payload size */
	uint32_t header_size;		/* bytes of user header beside each payload: 0, 8 or 16. See zcp_publisher_publish_with() */
	struct zcp_type type;
};

/**
 * Open a publisher of @topic. Blocks until the router answered, 5 s at most.
 *
 * Errors: -EINVAL topic, type or option (history > depth, payload_max too large, ...); -EPROTOTYPE the topic
 * has another type; -EDQUOT, -ENOSPC router limits; -EMFILE; -ENOMEM; -ENOTCONN router gone; -ETIMEDOUT;
 * -EOWNERDEAD after fork.
 */
int zcp_publisher_open(zcp_publisher **publisher, zcp_node *node, const struct zcp_topic *topic, const struct zcp_publisher_options *options);

/**
 * Borrow room for a message of up to @size bytes, to be written in place and then given to zcp_publisher_publish() or
 * zcp_publisher_discard(). Aligned to 8 bytes if it fits inline (<= 40, 104 or 232 bytes less header_size, by payload_max), else
 * to 64 or type.alignment. No system call, no allocation; wait-free unless the publisher is reliable and waits
 * for room.
 *
 * With options.grow a size over payload_max gets a segment of its own, the next power of two from 64 KiB on, page-aligned. The
 * first time it comes from the router, which takes a fraction of a millisecond and 5 s at most; later loans use it again as soon as
 * its message is consumed. Up to 64 such segments are there at a time. One that was not needed while 64 messages passed (or as many
 * as the ring has slots) is given back. Where no more can be had, the oldest larger messages are taken from lossy subscribers that lag
 * and from the history, and reliable ones are waited for.
 *
 * Errors: -EMSGSIZE size > payload_max, with grow > 2 GiB; -ENOBUFS max_loans open, or the pool is dry because subscribers hold
 * more than max_held samples, or hold all 64 segments; -EAGAIN a reliable subscriber has no room (-ETIMEDOUT after options.timeout);
 * -EOWNERDEAD. With grow also: -EDQUOT the router's limits for this user or node; -ENOTCONN there is no router; -ETIMEDOUT it does not answer;
 * -EMFILE; -ENOMEM; -ENOSPC.
 */
int zcp_publisher_loan(zcp_publisher *publisher, size_t size, void **payload);

/**
 * Publish the loan @payload with @size bytes (<= the size loaned). The loan ends with success; on -EAGAIN and
 * -ETIMEDOUT it stays open. Returns the number of subscribers connected, to which it was delivered.
 *
 * Errors: -EINVAL not an open loan of this publisher (also: published or discarded before); -EMSGSIZE larger
 * than what was lent (the room for @size bytes may be larger than was asked for, and more is refused only where it does not
 * fit); -EAGAIN, -ETIMEDOUT no room at a reliable subscriber; -EOWNERDEAD.
 */
int zcp_publisher_publish(zcp_publisher *publisher, void *payload, size_t size);

/**
 * zcp_publisher_publish() with @header, options.header_size bytes of metadata that travel beside the payload, in
 * the ring: a frame number, a source, a checksum. Subscribers find them in zcp_sample.header. A message published without
 * has zeroes there. Errors: as zcp_publisher_publish(); -EINVAL also: the publisher has no header_size.
 */
int zcp_publisher_publish_with(zcp_publisher *publisher, void *payload, size_t size, const void *header);

/** zcp_publisher_send() with @header, as zcp_publisher_publish_with(). */
int zcp_publisher_send_with(zcp_publisher *publisher, const void *data, size_t size, const void *header);

/** End the loan @payload unpublished. Wait-free. -EINVAL: not an open loan of this publisher. */
int zcp_publisher_discard(zcp_publisher *publisher, void *payload);

/** Loan, copy @size bytes from @data, publish: returns and fails as these do. */
int zcp_publisher_send(zcp_publisher *publisher, const void *data, size_t size);

/**
 * Up to @n loans of @size bytes at once, n <= 64. Returns how many there are (>= 1), or fails as
 * zcp_publisher_loan().
 */
int zcp_publisher_loan_batch(zcp_publisher *publisher, size_t size, void **payloads, int n);

/**
 * Publish @n loans in this order with one look at the doorbells. Returns how many were published: fewer than n
 * only when room ran out (the others stay loaned); fails as zcp_publisher_publish() if not even the first was.
 */
int zcp_publisher_publish_batch(zcp_publisher *publisher, void **payloads, const size_t *sizes, int n);

/** Number of subscribers connected now: each gets every message published from here on. */
int zcp_publisher_subscribers(zcp_publisher *publisher);

/**
 * Wait until at least @subscribers are connected. Returns their number; -ETIMEDOUT; -ENOTCONN the node is lost for good;
 * -EOWNERDEAD.
 */
int zcp_publisher_wait(zcp_publisher *publisher, int subscribers, int64_t timeout);

/**
 * Close. NULL is fine. What was published stays readable for subscribers that are connected until they have
 * read it. Open loans end unpublished; their memory stays mapped until zcp_node_close(), and zcp_last_error()
 * mentions them.
 */
void zcp_publisher_close(zcp_publisher *publisher);

/** The endpoint's id, as subscribers see it in zcp_sample.publisher. */
uint64_t zcp_publisher_id(const zcp_publisher *publisher);

/* ---- subscriber -------------------------------------------------------------------------------------------------- */

struct zcp_subscriber_options {
	size_t sz;
	uint32_t history;		/* messages wanted from before this subscriber joined; 0: none */
	uint32_t max_held;		/* samples held at once, 1..1024; 0: 4 */
	uint32_t max_publishers;	/* connected at once, up to 4096; 0: 64 */
	uint32_t reserved0;
	bool lossy;			/* a reliable publisher does not wait for this one */
	char reserved1[7];
	struct zcp_type type;
};

/**
 * Open a subscriber of @topic. Blocks until the router answered, 5 s at most; the publishers that are there are
 * then connected.
 * Errors: as zcp_publisher_open(); -ENOSPC also: a publisher has no room for another subscriber's held samples.
 */
int zcp_subscriber_open(zcp_subscriber **subscriber, zcp_node *node, const struct zcp_topic *topic, const struct zcp_subscriber_options *options);

/**
 * A message in place. Its bytes stay valid until zcp_sample_release(), whatever becomes of publisher, router
 * and handles.
 */
struct zcp_sample {
	const void *data;
	size_t size;			/* bytes */
	uint64_t sequence;		/* position in its publisher's stream, from 0; ascending */
	uint64_t timestamp_ns;		/* CLOCK_MONOTONIC when it was published (a batch shares one); 0: publisher opened with no_timestamps */
	uint64_t publisher;		/* endpoint id of its publisher */
	uint64_t lost;			/* messages of this publisher that this subscriber lost right before this one */
	zcp_subscriber *owner;		/* the rest is the library's */
	uint32_t held, generation;
	const void *header;		/* yours again: the publisher's user header, valid as long as data; NULL if it has none */
	uint32_t header_size;		/* bytes: 0, 8 or 16 */
	uint32_t reserved;
};

/**
 * Take the next message. With several publishers, each is served in turn; order holds per publisher. Wait-free;
 * no system call and no allocation unless zcp_subscriber_fd() is in use.
 * Errors: -EAGAIN nothing there; -ENOBUFS max_held samples are held: release one first; -EOWNERDEAD after fork.
 */
int zcp_subscriber_take(zcp_subscriber *subscriber, struct zcp_sample *sample);

/**
 * Give the sample back; clears data, size and owner of *sample. A second release of it (or of a copy) changes
 * nothing and is noted in zcp_last_error(). Wait-free.
 */
void zcp_sample_release(struct zcp_sample *sample);

/**
 * Take up to @n messages at once into @samples; as zcp_subscriber_take() for each, but cheaper. Returns how many (>= 1).
 * Errors: -EINVAL n < 1; otherwise as zcp_subscriber_take().
 */
int zcp_subscriber_take_batch(zcp_subscriber *subscriber, struct zcp_sample *samples, int n);

/**
 * The newest value of the topic: of the message that was published last, whoever did, and the same one again until there is
 * a newer one. What lies between is skipped, and neither counted as lost nor taken later. The value stays
 * when its publisher is gone. To have one from before the subscriber joined, give publisher and subscriber a history of 1;
 * so that no publisher waits for it, open it lossy. Never blocks, in a bounded number of steps; zcp_subscriber_wait() and
 * zcp_subscriber_fd() tell of a newer one. Each call's sample is given back by zcp_sample_release(); one of max_held is kept by
 * the subscriber itself, and another one has to be free for a newer value.
 *
 * Errors: -EAGAIN no value yet; -ENOBUFS max_held samples are held and there is a newer value; -EOWNERDEAD after fork.
 */
int zcp_subscriber_latest(zcp_subscriber *subscriber, struct zcp_sample *sample);

/** zcp_sample_release() for each of @n samples. */
void zcp_sample_release_batch(struct zcp_sample *samples, int n);

/**
 * Copy the payload to @buffer (at most @bytes) so that not even a hostile publisher can change it afterwards;
 * returns the sample's size.
 */
size_t zcp_sample_copy(const struct zcp_sample *sample, void *buffer, size_t bytes);

/**
 * Sleep until a message can be taken (in rare cases a take still says -EAGAIN; then wait again).
 * 0; -ETIMEDOUT; -ENOBUFS max_held samples are held; -EOWNERDEAD after fork.
 */
int zcp_subscriber_wait(zcp_subscriber *subscriber, int64_t timeout);

/**
 * A descriptor for poll, epoll, io_uring: readable until zcp_subscriber_take() says -EAGAIN. It stays the
 * subscriber's; do not read it.
 */
int zcp_subscriber_fd(zcp_subscriber *subscriber);

struct zcp_subscriber_stats {
	size_t sz;
	uint64_t received, lost;	/* messages */
	uint32_t publishers;		/* connected now, or gone with messages still to take */
	uint32_t reserved;
	uint64_t departed;		/* publishers that are gone and drained */
	uint64_t died;			/* of these, the ones that ended without closing */
	uint64_t malformed;		/* messages skipped because their publisher wrote nonsense */
};

/** Fill *stats (set stats->sz first). */
int zcp_subscriber_stats(zcp_subscriber *subscriber, struct zcp_subscriber_stats *stats);

/** Close. NULL is fine. Samples still held stay valid until released. */
void zcp_subscriber_close(zcp_subscriber *subscriber);

/* ---- request and response ---------------------------------------------------------------------------------------- */

/*
 * A client asks, a server answers. Each client has a channel of its own to each server, and one back: no client sees what
 * another one asks or is told. A topic has one server, or several that share it (load_balanced), each request going to
 * exactly one of them. Every request that wants a response ends exactly once: with its (last) response, with -EPIPE as
 * soon as its server has ended, or with -ETIMEDOUT.
 */

typedef struct zcp_client zcp_client;
typedef struct zcp_server zcp_server;

#define ZCP_MORE (1u << 0)		/* further responses to the same request follow */
#define ZCP_EXPIRED (1u << 1)		/* request: its deadline had passed when it was taken; nobody waits for the response any more */
#define ZCP_ONE_WAY (1u << 2)		/* request: the client wants no response */

struct zcp_server_options {
	size_t sz;
	size_t payload_max;		/* of responses in bytes, up to 2 GiB; 0: response_type.size, else 4096 */
	uint32_t depth;			/* responses to one client that it has not taken yet; 0: as depth of a publisher, at least 64 */
	uint32_t max_held;		/* requests taken and not released, 1..1024; 0: 16 */
	uint32_t max_clients;		/* connected at once, up to 4096; 0: 64 */
	uint32_t max_loans;		/* open at once, for each client; 0: 8 */
	bool load_balanced;		/* share the topic with other servers that are load_balanced too */
	char reserved0[7];
	int64_t timeout;		/* how long a reply waits for a client that does not take its responses, ns; 0: -EAGAIN at once; -1: for ever */
	struct zcp_type request_type, response_type;
};

/**
 * Open a server of @topic. Blocks until the router answered, 5 s at most. Clients that are there are connected from then on.
 *
 * Errors: as zcp_subscriber_open(); -EADDRINUSE the topic has a server, and not both are load_balanced.
 */
int zcp_server_open(zcp_server **server, zcp_node *node, const struct zcp_topic *topic, const struct zcp_server_options *options);

/** A request in place. Its bytes stay valid until zcp_request_release(), whatever becomes of client, router and handles. */
struct zcp_request {
	const void *data;
	size_t size;			/* bytes */
	uint64_t id;			/* unique among the requests of its client */
	uint64_t client;		/* endpoint id of the client */
	uint64_t timestamp_ns;		/* CLOCK_MONOTONIC when it was sent */
	int64_t deadline_ns;		/* CLOCK_MONOTONIC until when the client waits, in its time namespace; 0: for ever */
	uint32_t flags;			/* ZCP_EXPIRED, ZCP_ONE_WAY */
	uint32_t reserved0;
	zcp_server *owner;		/* the rest is the library's */
	uint32_t held, generation;
	uint64_t reserved[4];
};

/**
 * Take the next request; clients are served in turn. Wait-free like zcp_subscriber_take().
 * Errors: -EAGAIN nothing there; -ENOBUFS max_held requests are held: release one; -EOWNERDEAD after fork.
 */
int zcp_server_take(zcp_server *server, struct zcp_request *request);

/** Sleep until a request can be taken. 0; -ETIMEDOUT; -ENOBUFS max_held requests are held; -EOWNERDEAD after fork. */
int zcp_server_wait(zcp_server *server, int64_t timeout);

/** For poll, epoll, io_uring: readable until zcp_server_take() says -EAGAIN. It stays the server's; do not read it. */
int zcp_server_fd(zcp_server *server);

/** Number of clients connected now. */
int zcp_server_clients(zcp_server *server);

/** The endpoint's id, as clients see it in zcp_response.server. */
uint64_t zcp_server_id(const zcp_server *server);

/**
 * Close. NULL is fine. What clients have asked and not been answered ends with -EPIPE there. Requests still held stay valid
 * until released, but can't be answered any more.
 */
void zcp_server_close(zcp_server *server);

/**
 * The response to @request: @size bytes, copied from @data. The request can be answered as long as it is not released. To a
 * one-way request nothing is sent, and that is no failure.
 *
 * Errors: -EPIPE the client is gone; -EALREADY the last response was sent before; -EINVAL released, or no request of this
 * library; -EMSGSIZE larger than payload_max; -EAGAIN, -ETIMEDOUT the client has no room for more responses; -ENOBUFS its
 * loans are used up, or it holds more than it may; -EOWNERDEAD.
 */
int zcp_request_reply(struct zcp_request *request, const void *data, size_t size);

/** The same with @flags: ZCP_MORE, this is one of several responses. */
int zcp_request_reply_with(struct zcp_request *request, const void *data, size_t size, uint32_t flags);

/**
 * Borrow room for a response of up to @size bytes, to be written in place and given to zcp_request_send() or
 * zcp_request_discard() before the request is released. Errors: as zcp_request_reply().
 */
int zcp_request_loan(struct zcp_request *request, size_t size, void **payload);

/** Send the loan @payload with @size bytes as a response; @flags: ZCP_MORE or 0. Fails as zcp_request_reply(); the loan then stays open. */
int zcp_request_send(struct zcp_request *request, void *payload, size_t size, uint32_t flags);

/** End the loan @payload unsent. -EINVAL: no open loan of this request's client. */
int zcp_request_discard(struct zcp_request *request, void *payload);

/**
 * Give the request back; clears data, size and owner of *request. One that wants a response and has not had its last one
 * ends with ENODATA at the client. A second release changes nothing and is noted in zcp_last_error().
 */
void zcp_request_release(struct zcp_request *request);

struct zcp_client_options {
	size_t sz;
	size_t payload_max;		/* of requests in bytes, up to 2 GiB; 0: request_type.size, else 4096 */
	uint32_t max_pending;		/* requests sent and not ended, 1..4096; 0: 64 */
	uint32_t max_held;		/* responses held at once, 1..1024; 0: max_pending + 2 */
	uint32_t max_servers;		/* connected at once, up to 4096; 0: 16 */
	uint32_t max_loans;		/* open at once, for each server; 0: 8 */
	bool wait_for_server;		/* a call without a server waits for one within its timeout, instead of -ENOTCONN */
	char reserved0[7];
	int64_t timeout;		/* of each request of zcp_client_send() in ns; 0: it never ends by time */
	struct zcp_type request_type, response_type;
};

/**
 * Open a client of @topic. Blocks until the router answered, 5 s at most, and up to 1 s more for the servers that are there
 * to be connected.
 *
 * Errors: as zcp_subscriber_open(); -EPROTOTYPE also: a server has other types.
 */
int zcp_client_open(zcp_client **client, zcp_node *node, const struct zcp_topic *topic, const struct zcp_client_options *options);

/** What became of a request. Its bytes stay valid until zcp_response_release(). */
struct zcp_response {
	const void *data;		/* NULL if status is not 0 */
	size_t size;			/* bytes */
	uint64_t id;			/* of the request */
	int32_t status;			/* 0; or -EPIPE the server has ended, -ETIMEDOUT, -ENODATA it released the request unanswered */
	uint32_t flags;			/* ZCP_MORE: this is not the last one */
	uint64_t timestamp_ns;		/* CLOCK_MONOTONIC when it was sent; 0 if status is not 0 */
	uint64_t server;		/* endpoint id of the server */
	struct zcp_sample sample;	/* the library's */
};

/**
 * Ask, and wait up to @timeout (-1: for ever) for the response, to be given back with zcp_sample_release(). Of several
 * responses it is the first; the others are dropped. Responses to other requests that come meanwhile are kept for
 * zcp_client_take().
 *
 * Errors: -ETIMEDOUT; -EPIPE the server ended before it answered; -ENODATA it released the request unanswered; -ENOTCONN no
 * server is there; -EMSGSIZE larger than payload_max; -ENOBUFS max_pending requests are under way, max_held responses are
 * held, or the pool is dry; -EAGAIN the server takes no requests; -EOWNERDEAD.
 */
int zcp_client_call(zcp_client *client, const void *data, size_t size, struct zcp_sample *response, int64_t timeout);

/**
 * Send a request, @size bytes copied from @data, and return. *request_id: what its response will have in zcp_response.id;
 * NULL: one way, no response is wanted. With several servers the one with the fewest requests under way gets it.
 * Errors: as zcp_client_call(), without -ETIMEDOUT, -EPIPE and -ENODATA.
 */
int zcp_client_send(zcp_client *client, const void *data, size_t size, uint64_t *request_id);

/**
 * zcp_client_send() of a request with a time of its own, whatever options.timeout is: it ends with -ETIMEDOUT when @timeout has
 * passed (-1: never), which the server sees as its deadline_ns. Returns and fails as zcp_client_send().
 */
int zcp_client_send_timeout(zcp_client *client, const void *data, size_t size, uint64_t *request_id, int64_t timeout);

/**
 * No longer wait for the request @request_id: it counts as under way no more, and what is said to it is dropped, except what a
 * zcp_client_call() has kept. The server does not hear of it. Never blocks. -ENOENT: it has ended; -EOWNERDEAD after fork.
 */
int zcp_client_forget(zcp_client *client, uint64_t request_id);

/** Borrow room for a request of up to @size bytes, for zcp_client_send_loan() or zcp_client_discard(). Errors: as zcp_client_send(). */
int zcp_client_loan(zcp_client *client, size_t size, void **payload);

/**
 * zcp_client_send() of the loan @payload, nothing is copied. It goes to the server that was chosen when it was lent: -EPIPE
 * if that has ended; the loan then is over. Other errors as zcp_client_send(), the loan stays open; -EINVAL no open loan.
 */
int zcp_client_send_loan(zcp_client *client, void *payload, size_t size, uint64_t *request_id);

/** End the loan @payload unsent. -EINVAL: no open loan of this client. */
int zcp_client_discard(zcp_client *client, void *payload);

/**
 * The next response, or end of a request, whichever request it belongs to. Never blocks.
 * Errors: -EAGAIN nothing there; -ENOBUFS max_held responses are held; -EOWNERDEAD after fork.
 */
int zcp_client_take(zcp_client *client, struct zcp_response *response);

/** Give the response back; clears data and size of *response. */
void zcp_response_release(struct zcp_response *response);

/** Sleep until zcp_client_take() has something. 0; -ETIMEDOUT; -ENOBUFS max_held responses are held; -EOWNERDEAD. */
int zcp_client_wait(zcp_client *client, int64_t timeout);

/**
 * For poll, epoll, io_uring: readable until zcp_client_take() says -EAGAIN. A request that ends by its timeout makes it readable
 * within 100 ms after that. It stays the client's; do not read it.
 */
int zcp_client_fd(zcp_client *client);

/** Number of servers connected now. */
int zcp_client_servers(zcp_client *client);

/** Wait until at least @servers are connected. Returns their number; -ETIMEDOUT; -ENOTCONN the node is lost for good; -EOWNERDEAD. */
int zcp_client_connect(zcp_client *client, int servers, int64_t timeout);

/** Close. NULL is fine. Requests under way are forgotten. Responses still held stay valid until released. */
void zcp_client_close(zcp_client *client);

/** The endpoint's id, as servers see it in zcp_request.client. */
uint64_t zcp_client_id(const zcp_client *client);

/* ---- events ------------------------------------------------------------------------------------------------------ */

/*
 * An event says that something has happened, and how often, but nothing else. A notifier counts, for each of its event ids, and a
 * listener takes what was counted since: nothing overflows, nothing is lost however late it comes, and nobody waits. A listener
 * that sleeps is woken for the ids it asked for only.
 */

typedef struct zcp_notifier zcp_notifier;
typedef struct zcp_listener zcp_listener;

struct zcp_notifier_options {
	size_t sz;
	uint32_t max_event_id;		/* ids go from 0 to this one, up to 65535; 0: 255 */
	uint32_t max_listeners;		/* connected at once, up to 4096; 0: 256 */
};

/**
 * Open a notifier of @topic. Topics of events have nothing to do with topics of messages of the same name. Blocks until the
 * router answered, 5 s at most.
 *
 * Errors: -EINVAL topic or options; -EDQUOT a limit of the router; -ENOMEM; -EMFILE; -ENOTCONN router gone; -ETIMEDOUT;
 * -EOWNERDEAD after fork.
 */
int zcp_notifier_open(zcp_notifier **notifier, zcp_node *node, const struct zcp_topic *topic, const struct zcp_notifier_options *options);

/**
 * Event @event_id has happened. Never blocks; makes a system call only for listeners that sleep and have asked for it. What
 * the caller has written before, in memory that it shares with a listener, that one sees when it has taken the event.
 * Returns the number of listeners connected. Errors: -ERANGE larger than max_event_id; -EOWNERDEAD after fork.
 */
int zcp_notifier_notify(zcp_notifier *notifier, uint32_t event_id);

/** Number of listeners connected now. */
int zcp_notifier_listeners(zcp_notifier *notifier);

/** Wait until at least @listeners are connected. Returns their number; -ETIMEDOUT; -ENOTCONN the node is lost for good; -EOWNERDEAD. */
int zcp_notifier_wait(zcp_notifier *notifier, int listeners, int64_t timeout);

/** The endpoint's id. */
uint64_t zcp_notifier_id(const zcp_notifier *notifier);

/** Close. NULL is fine. What was counted can still be taken by listeners that were connected. */
void zcp_notifier_close(zcp_notifier *notifier);

struct zcp_listener_options {
	size_t sz;
	uint32_t max_event_id;		/* up to 65535; 0: 255. Larger ids of a notifier are not heard */
	uint32_t max_notifiers;		/* connected at once, up to 4096; 0: 64 */
	const uint32_t *event_ids;	/* the ids to listen to, n_event_ids of them; NULL: all */
	size_t n_event_ids;
};

/**
 * Open a listener of @topic. Of notifiers that are there it hears what happens from then on, of those that come later
 * everything. Blocks until the router answered, 5 s at most.
 *
 * Errors: as zcp_notifier_open(); -ERANGE one of event_ids is larger than max_event_id.
 */
int zcp_listener_open(zcp_listener **listener, zcp_node *node, const struct zcp_topic *topic, const struct zcp_listener_options *options);

/**
 * Take one event id that has happened since it was taken last, into *event_id, and into *count (may be NULL) how often, by
 * whichever notifiers. All ids get their turn. Never blocks. Errors: -EAGAIN nothing has happened; -EOWNERDEAD after fork.
 */
int zcp_listener_take(zcp_listener *listener, uint32_t *event_id, uint64_t *count);

/** Sleep until an event can be taken. 0; -ETIMEDOUT; -EOWNERDEAD after fork. */
int zcp_listener_wait(zcp_listener *listener, int64_t timeout);

/** For poll, epoll, io_uring: readable until zcp_listener_take() says -EAGAIN. It stays the listener's; do not read it. */
int zcp_listener_fd(zcp_listener *listener);

/** Number of notifiers connected now. */
int zcp_listener_notifiers(zcp_listener *listener);

/** The endpoint's id. */
uint64_t zcp_listener_id(const zcp_listener *listener);

/** Close. NULL is fine. */
void zcp_listener_close(zcp_listener *listener);

/* ---- watch ------------------------------------------------------------------------------------------------------- */

typedef struct zcp_watch zcp_watch;

enum zcp_watch_kind {
	ZCP_WATCH_NODE_APPEARED = 1,
	ZCP_WATCH_NODE_VANISHED = 2,		/* cause, and how the process ended */
	ZCP_WATCH_NODE_UNRESPONSIVE = 3,	/* no heartbeat, though the process lives: stopped, traced, starved */
	ZCP_WATCH_NODE_RESPONSIVE = 4,		/* again */
	ZCP_WATCH_ENDPOINT_APPEARED = 5,
	ZCP_WATCH_ENDPOINT_VANISHED = 6,	/* cause, and how the process ended */
	ZCP_WATCH_POOL_DRY = 7,			/* a publisher had no chunk to loan: its subscribers hold them all. At most once a second */
	ZCP_WATCH_ROUTER_GONE = 8,		/* no news until it is back */
	ZCP_WATCH_ROUTER_BACK = 9,		/* what is there now follows as events with `existing` */
};

enum zcp_cause {
	ZCP_CAUSE_CLOSED = 1,		/* by its owner */
	ZCP_CAUSE_DIED = 2,		/* its process ended without closing */
	ZCP_CAUSE_EVICTED = 3,		/* removed by the router: broke the protocol, did not read, or (if so configured) unresponsive */
	ZCP_CAUSE_LEFT = 5,		/* its connection ended but the process lives: exec, or it closed descriptors that were not its own */
};

enum zcp_role {
	ZCP_PUBLISHER = 1,
	ZCP_SUBSCRIBER = 2,
	ZCP_SERVER = 3,
	ZCP_CLIENT = 4,
	ZCP_NOTIFIER = 5,
	ZCP_LISTENER = 6,
};

struct zcp_watch_event {
	uint32_t kind;			/* enum zcp_watch_kind */
	uint32_t cause;			/* enum zcp_cause of what vanished; else 0 */
	uint64_t time_ns;		/* CLOCK_MONOTONIC, the router's */
	uint64_t node, endpoint;	/* ids; endpoint 0: the event is about a node */
	uint32_t pid, uid;		/* of the node's process, as the router sees them */
	uint32_t role;			/* enum zcp_role of the endpoint; else 0 */
	bool existing;			/* was there when the watch opened, or when the router came back */
	bool exit_known;		/* cause DIED: exit_code and signal are valid */
	bool oom_killed;		/* cause DIED: by the kernel's out-of-memory killer */
	char reserved0;
	int32_t exit_code;		/* of a process that exited by itself */
	int32_t signal;			/* that ended it, or 0 */
	uint64_t lost;			/* events that were dropped right before this one: taken too late */
	char comm[16];			/* cause DIED: the process's name in the kernel, or "" */
	char node_name[104];
	char service[104], instance[104], event[104];	/* the endpoint's topic */
	uint64_t reserved[4];
};

struct zcp_watch_options {
	size_t sz;
	uint32_t queue;			/* events kept until taken, up to 1048576; 0: 1024 */
	bool no_existing;		/* do not begin with what is there already */
	bool no_nodes;			/* endpoints only */
	char reserved[2];
};

/**
 * Watch nodes and endpoints come and go. @pattern: NULL or "": everything. Otherwise a topic whose parts may contain '*'
 * (any number of characters) and '?' (one), and whose last parts may be missing, as in "radar" or "rad*r/fron?"; then
 * events are about endpoints of such topics, and about nodes as long as they have one. Begins with an APPEARED event (existing set)
 * for all that is there. Blocks until the router answered, 5 s at most.
 *
 * Errors: -EINVAL pattern or options; -EDQUOT too many watches; -ENOMEM; -EMFILE; -ENOTCONN router gone; -ETIMEDOUT;
 * -EOWNERDEAD after fork.
 */
int zcp_watch_open(zcp_watch **watch, zcp_node *node, const char *pattern, const struct zcp_watch_options *options);

/** The next event into *event. Never blocks. -EAGAIN: nothing there; -EOWNERDEAD. */
int zcp_watch_take(zcp_watch *watch, struct zcp_watch_event *event);

/** Sleep until an event can be taken. 0; -ETIMEDOUT; -ENOTCONN the node was evicted, nothing will come; -EOWNERDEAD. */
int zcp_watch_wait(zcp_watch *watch, int64_t timeout);

/** For poll, epoll, io_uring: readable until zcp_watch_take() says -EAGAIN. It stays the watch's; do not read it. */
int zcp_watch_fd(zcp_watch *watch);

/** Close. NULL is fine. */
void zcp_watch_close(zcp_watch *watch);

/* ---- wait set ---------------------------------------------------------------------------------------------------- */

typedef struct zcp_waitset zcp_waitset;

struct zcp_waitset_options {
	size_t sz;
	int64_t spin_ns;		/* look at the rings for that long before going to sleep, 0 to 1 s; 0: sleep at once */
	uint64_t reserved[2];
};

enum zcp_ready_kind {
	ZCP_READY_SUBSCRIBER = 1,
	ZCP_READY_WATCH = 2,
	ZCP_READY_NODE = 3,
	ZCP_READY_FD = 4,
	ZCP_READY_TIMER = 5,
	ZCP_READY_SERVER = 6,
	ZCP_READY_CLIENT = 7,
	ZCP_READY_LISTENER = 8,
};

/** A member of a wait set that is ready. */
struct zcp_ready {
	void *user;			/* as given when it was added */
	uint32_t events;		/* as in poll(2): POLLIN: there is something; POLLHUP: there never will be again; of an fd what is true of it */
	uint32_t kind;			/* enum zcp_ready_kind */
	void *object;			/* the zcp_subscriber, zcp_server, zcp_client, zcp_listener, zcp_watch or zcp_node; else NULL */
	int32_t fd;			/* the descriptor that was added; else -1 */
	int32_t timer;			/* the timer's id; else 0 */
	uint64_t expirations;		/* of a timer, since it was reported last; else 0 */
	uint64_t reserved[3];
};

/**
 * Open a wait set: one call that sleeps until something can be done for any of its members. A wait set and its
 * members are used by one thread at a time, together; publishers and other objects of the same nodes are not
 * concerned.
 *
 * Errors: -EINVAL options; -EMFILE; -ENOSPC /proc/sys/fs/epoll/max_user_watches; -ENOMEM.
 */
int zcp_waitset_open(zcp_waitset **waitset, const struct zcp_waitset_options *options);

/**
 * Add a subscriber. Ready (POLLIN) until zcp_subscriber_take() finds nothing; also while max_held samples are held
 * and there is another message. If its node was opened with no_thread, the wait set dispatches that while it waits.
 * @user comes back in zcp_ready. May be called between any two waits; never blocks.
 *
 * Errors: -EEXIST it is in this wait set; -EBUSY it is in another one: an object is in one wait set at most; -ENOSPC
 * /proc/sys/fs/epoll/max_user_watches; -ENOMEM; -EOWNERDEAD after fork.
 */
int zcp_waitset_add_subscriber(zcp_waitset *waitset, zcp_subscriber *subscriber, void *user);

/** Add a server: ready until zcp_server_take() finds nothing. Otherwise as zcp_waitset_add_subscriber(). */
int zcp_waitset_add_server(zcp_waitset *waitset, zcp_server *server, void *user);

/**
 * Add a client: ready until zcp_client_take() finds nothing, within 100 ms after the end of a request that ends by its
 * timeout. Otherwise as zcp_waitset_add_subscriber().
 */
int zcp_waitset_add_client(zcp_waitset *waitset, zcp_client *client, void *user);

/** Add a listener: ready until zcp_listener_take() finds nothing. Otherwise as zcp_waitset_add_subscriber(). */
int zcp_waitset_add_listener(zcp_waitset *waitset, zcp_listener *listener, void *user);

/**
 * Add a watch: ready until zcp_watch_take() finds nothing; POLLHUP when its node was evicted. Otherwise as
 * zcp_waitset_add_subscriber().
 */
int zcp_waitset_add_watch(zcp_waitset *waitset, zcp_watch *watch, void *user);

/**
 * Add a node that was opened with no_thread: each wait calls zcp_node_dispatch() when there is work. Needed only
 * for nodes of which neither a subscriber nor a watch is in the wait set, or to hear of them: reported (POLLIN)
 * once after messages of the router were handled, so that zcp_publisher_subscribers() or zcp_node_wait() may have a
 * new answer; and with POLLHUP, until it is removed, when it is lost for good. For the program this takes the place
 * of dispatching at least every 100 ms only while it waits.
 *
 * Errors: -EINVAL the node has a thread of its own; otherwise as zcp_waitset_add_subscriber().
 */
int zcp_waitset_add_node(zcp_waitset *waitset, zcp_node *node, void *user);

/**
 * Add a descriptor of the caller's, with POLLIN, POLLOUT, POLLPRI, POLLRDHUP; POLLERR and POLLHUP are always
 * reported. Ready as long as poll(2) says so. For other events remove it and add it again. It stays the caller's,
 * who removes it before closing it. The descriptor of another wait set is fine.
 *
 * Errors: -EINVAL other events, or the wait set's own descriptor; -EBADF not an open descriptor; -EPERM a regular
 * file or directory, which is always ready; -ELOOP wait sets or epolls nested in a circle or too deeply; -EEXIST,
 * -ENOSPC, -ENOMEM, -EOWNERDEAD.
 */
int zcp_waitset_add_fd(zcp_waitset *waitset, int fd, uint32_t events, void *user);

/**
 * Add a timer on CLOCK_MONOTONIC: the first time @first_ns from now (0: at once), then every @interval_ns. Reported
 * once each time it has expired, with the number of expirations since. With interval_ns 0 it expires once, and has
 * left the wait set when it is reported. Returns the timer's id, > 0, which is not used again for a very long time.
 *
 * Errors: -EINVAL a negative time; -EMFILE; -ENOSPC; -ENOMEM; -EOWNERDEAD.
 */
int zcp_waitset_add_timer(zcp_waitset *waitset, int64_t first_ns, int64_t interval_ns, void *user);

/**
 * Remove: no later wait reports it; what an earlier one reported is the caller's affair. May be called for any
 * member at any time between two waits, while handling what the last one reported too.
 * Errors: -ENOENT it is not in this wait set; -EOWNERDEAD.
 */
int zcp_waitset_remove_subscriber(zcp_waitset *waitset, zcp_subscriber *subscriber);
/** As zcp_waitset_remove_subscriber(). */
int zcp_waitset_remove_server(zcp_waitset *waitset, zcp_server *server);
/** As zcp_waitset_remove_subscriber(). */
int zcp_waitset_remove_client(zcp_waitset *waitset, zcp_client *client);
/** As zcp_waitset_remove_subscriber(). */
int zcp_waitset_remove_listener(zcp_waitset *waitset, zcp_listener *listener);
/** As zcp_waitset_remove_subscriber(). */
int zcp_waitset_remove_watch(zcp_waitset *waitset, zcp_watch *watch);
/** As zcp_waitset_remove_subscriber(). Subscribers and watches of the node that are members keep it dispatched. */
int zcp_waitset_remove_node(zcp_waitset *waitset, zcp_node *node);
/** As zcp_waitset_remove_subscriber(); before the descriptor is closed. */
int zcp_waitset_remove_fd(zcp_waitset *waitset, int fd);
/** As zcp_waitset_remove_subscriber(); also -ENOENT for a timer that has expired for good. */
int zcp_waitset_remove_timer(zcp_waitset *waitset, int timer);

/**
 * Sleep until members are ready, and store up to @max of them. What is ready stays ready until it was dealt with;
 * with @max smaller than the number that are, all get their turn. Returns their number, >= 1. The cost depends on
 * the members that are ready, not on how many there are. A signal does not end it.
 *
 * With spin_ns it looks at the rings of up to 64 subscribers that were ready last, and every 2 us with a system
 * call at all other members, before it sleeps: a message to one of them then costs its publisher no system call.
 * For threads that have a cpu for themselves.
 *
 * Errors: -ETIMEDOUT; -EINVAL max < 1, or for ever with no member; -EBADF a member was closed without being
 * removed: it has left the wait set; said once, the next wait goes on. Also -EBADF, again and again, a descriptor
 * was closed, then removed, and lives on as a duplicate or in another process; -ENOMEM; -EOWNERDEAD after fork.
 */
int zcp_waitset_wait(zcp_waitset *waitset, struct zcp_ready *ready, int max, int64_t timeout);

/**
 * For poll, epoll, io_uring: readable when zcp_waitset_wait() with timeout 0 shall be called, which may then still
 * say -ETIMEDOUT. Call it until it does. It stays the wait set's; do not read it. -EOWNERDEAD after fork.
 */
int zcp_waitset_fd(zcp_waitset *waitset);

/** Close. NULL is fine. Members are removed, and go on existing. */
void zcp_waitset_close(zcp_waitset *waitset);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
