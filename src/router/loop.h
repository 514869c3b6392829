/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the one place that waits
 *
 * The rest of the router sees connections ("links") on which whole messages arrive and go out, a
 * tick, signals, and new connections. Two backends: io_uring (what the router runs on), and epoll
 * for machines that refuse io_uring. Everything else is the same code, and the tests run on both.
 *
 * How to think about it: nothing that is called here acts at once. loop_send(),
 * loop_await_drained() and loop_detach() only note what is wanted and put the link on the dirty
 * list; the backend carries it out between two events, and reports by an event later. So no event
 * ever arrives from within a call, and a link that was asked to detach stays valid memory until its
 * `detached` event: by then the kernel has reported the last completion that names it, and its
 * socket is closed.
 *
 * Events return 0, or a negative errno value that ends loop_run(): the router's own failure only.
 */
#ifndef ZCP_ROUTER_LOOP_H
#define ZCP_ROUTER_LOOP_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/wire.h"

enum loop_kind {
	LOOP_AUTO,
	LOOP_URING,
	LOOP_EPOLL,
};

/*
 * Operations of a link, as bits of `wanted` (to be started) and `armed` (a completion is still to
 * come).
 */
enum {
	LOOP_OP_RECEIVE = 1 << 0,
	LOOP_OP_SEND = 1 << 1,
	LOOP_OP_DRAIN = 1 << 2,
	LOOP_OP_CANCEL_DRAIN = 1 << 3,
	LOOP_OP_CANCEL = 1 << 4,
};

/* A connection, embedded in its owner's struct. All fields belong to the loop. */
struct loop_link {
	int fd;
	uint32_t slot, generation;	/* io_uring */
	uint32_t interest;		/* epoll: the events that are registered */
	unsigned int wanted, armed;
	bool draining;		/* `drained` is to be reported */
	bool ended;		/* `ended` was reported: no more receives */
	bool detaching;
	bool dirty;
	struct loop_link *dirty_next;
	struct msghdr send;
	struct iovec send_vector;
	alignas(struct cmsghdr) char send_control[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
};

/* A descriptor that somebody else owns, to be told when it is readable. All fields belong to the loop. */
struct loop_watch {
	int fd;				/* -1: not watched */
	uint32_t slot, generation;	/* io_uring */
};

/*
 * A datagram as it arrived. Descriptors in `control` are open: the callee takes them over
 * (message_accept()).
 */
struct loop_received {
	union wire_message *message;
	size_t size;
	int flags;			/* msg_flags */
	const void *control;
	size_t control_length;
};

struct loop_events {
	int (*accepted)(void *context, int fd);			/* the callee owns @fd */
	void (*shed)(void *context, int fd);			/* no room for @fd: say so if you like; it is closed afterwards */
	int (*received)(void *context, struct loop_link *link, const struct loop_received *received);
	int (*ended)(void *context, struct loop_link *link, int error);	/* end of file (0) or a dead socket */
	int (*sent)(void *context, struct loop_link *link, int result);	/* 0 or negative errno, for the peer's sake only */
	int (*drained)(void *context, struct loop_link *link);
	int (*detached)(void *context, struct loop_link *link);
	int (*readable)(void *context, struct loop_watch *watch);	/* again and again as long as it is, unless unwatched */
	int (*tick)(void *context, uint64_t now_ns);
	int (*signalled)(void *context, int signal_number);
	int (*stopping)(void *context);				/* loop_stop() was called: detach the links */
	int (*settle)(void *context);				/* after each of the above */
};

struct loop;

/*
 * A loop of @kind that ticks every @tick_ns. With LOOP_AUTO io_uring is tried first and its absence costs one warning.
 * SIGTERM, SIGINT and SIGHUP are blocked for the process and become events. 0 or a negative errno
 * value, after a line on stderr.
 */
int loop_open(struct loop **loop, enum loop_kind kind, uint64_t tick_ns, const struct loop_events *events, void *context);
struct loop *loop_close(struct loop *loop);

/* The backend in use: LOOP_URING or LOOP_EPOLL. */
enum loop_kind loop_kind(const struct loop *loop);
const char *loop_name(const struct loop *loop);

/* Accept on @fd, a listening socket that stays the caller's, until loop_stop(). */
void loop_listen(struct loop *loop, int fd);

/*
 * Runs until loop_stop() was called and the last link is detached (0), or an event or the loop
 * itself failed.
 */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
bool loop_is_stopping(const struct loop *loop);

/*
 * Begin to receive on @fd, which the loop then owns. 0, or -ENOMEM, -EMFILE, ... with @fd still the
 * caller's.
 */
int loop_attach(struct loop *loop, struct loop_link *link, int fd);

/*
 * Send @message with @n_fds descriptors; one at a time and link. Message and descriptors must stay
 * valid until `sent`, which comes for every send, also when the link detaches.
 */
void loop_send(struct loop *loop, struct loop_link *link, const struct wire_header *message, const int *fds, unsigned int n_fds);

/* Whether the peer has read everything that was sent to it. */
bool loop_is_drained(const struct loop_link *link);

/* Report `drained` once the peer has read everything. */
void loop_await_drained(struct loop *loop, struct loop_link *link);

/*
 * Take nothing more from the peer: what it had sent is still received, then `ended` comes.
 */
void loop_shut(struct loop_link *link);

/*
 * Shut the socket down, take back what is armed, close it, report `detached`. Repeated calls are
 * harmless.
 */
void loop_detach(struct loop *loop, struct loop_link *link);

/*
 * Report `readable` while @fd is. It stays the caller's and must stay open until loop_unwatch(). 0
 * or a negative errno value, and nothing is watched. After loop_unwatch() no event names @watch any
 * more, also none that the kernel has reported already: it may be freed and @fd closed at once.
 * Unwatching what is not watched (fd -1) is harmless.
 */
int loop_watch(struct loop *loop, struct loop_watch *watch, int fd);
void loop_unwatch(struct loop *loop, struct loop_watch *watch);

/*
 * Close @fd, a socket with nothing armed. What the peer sent is read away first: a close with
 * unread messages would raise ECONNRESET at the peer in front of our last words.
 */
void loop_hang_up(int fd);

#endif
