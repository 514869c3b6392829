/* SPDX-License-Identifier: MIT */
/*
 * handover.c - giving a descriptor to another process
 *
 * Memory that is not zcp's, a dma-buf or an open file, goes along with a message as a token: a random number that the sender puts
 * into payload or user header, and with which the receiver asks for the descriptor. The offering node keeps it in a
 * table; its thread sends it over a socket pair that the router has made for the two (wire.h), so that the router, which must never
 * block, never has it. What is offered outlives the router, and ends with the node.
 *
 * A token has 64 random bits and is known to those who got the message: it is a capability, and nothing else is asked for.
 */
#include "lib/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "lib/control.h"
#include "lib/endpoint.h"
#include "lib/error.h"

/* Without the node's thread the caller dispatches in between: the node that offers may be his own. */
#define SLICE_MS 5

struct offer {
	uint64_t token;
	int fd;
	UT_hash_handle hh;
};

union control_buffer {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* ---- offering ---------------------------------------------------------------------------------------------------- */

static struct offer *find(struct zcp_node *node, uint64_t token)
{
	struct offer *o;

	HASH_FIND(hh, node->offers, &token, sizeof(token), o);
	return o;
}

/* uthash leaves an entry that it has no memory for with a table of NULL. */
static bool add(struct zcp_node *node, struct offer *o)
{
	HASH_ADD(hh, node->offers, token, sizeof(o->token), o);
	return o->hh.tbl;
}

static int make_offer(struct offer **offer, int fd)
{
	struct offer *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (o->fd < 0) {
		free(o);
		return -errno;
	}
	do {
		if (getrandom(&o->token, sizeof(o->token), 0) != (ssize_t)sizeof(o->token) && errno != EINTR) {
			int r = -errno;

			fd_close(o->fd);
			free(o);
			return r;
		}
	} while (!o->token);
	*offer = o;
	return 0;
}

int zcp_node_offer_fd(struct zcp_node *node, int fd, uint64_t *token)
{
	struct offer *o = NULL;
	bool added;
	int r;

	if (forked_since(node->fork_generation))
		return error_forked();
	r = make_offer(&o, fd);
	if (r == -EBADF)
		return error_set(r, "%d is not an open descriptor", fd);
	if (r < 0)
		return error_system(r, "cannot offer the descriptor");
	pthread_mutex_lock(&node->lock);
	added = !find(node, o->token) && add(node, o);
	pthread_mutex_unlock(&node->lock);
	if (!added) {
		fd_close(o->fd);
		free(o);
		return error_note(-ENOMEM, "no memory to remember what is offered");
	}
	*token = o->token;
	return 0;
}

int zcp_node_withdraw_fd(struct zcp_node *node, uint64_t token)
{
	struct offer *o;

	if (forked_since(node->fork_generation))
		return error_forked();
	pthread_mutex_lock(&node->lock);
	o = find(node, token);
	if (o)
		HASH_DEL(node->offers, o);
	pthread_mutex_unlock(&node->lock);
	if (!o)
		return error_note(-ENOENT, "this node offers nothing with that token: withdrawn before, or never offered");
	fd_close(o->fd);
	free(o);
	return 0;
}

void handover_close_all(struct zcp_node *node)
{
	bool forked = forked_since(node->fork_generation);
	struct offer *o, *next;

	if (!forked)
		pthread_mutex_lock(&node->lock);
	HASH_ITER(hh, node->offers, o, next) {
		fd_close(o->fd);
		if (forked)
			continue;
		HASH_DEL(node->offers, o);
		free(o);
	}
	if (!forked)
		pthread_mutex_unlock(&node->lock);
}

/* Never blocks: the socket is fresh, and takes one message. */
static void send_fd(int socket, int fd)
{
	union control_buffer control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (char[]){ 1 }, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	/* who asked may have given up, and what fails here is an end of the stream there */
	while (sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR)
		;
}

void handover_wanted(struct zcp_node *node, const struct wire_fd_wanted *m, int fds[WIRE_FDS_MAX])
{
	const struct offer *o = find(node, m->token);

	/* the receive loop closes the socket: without a message the other end sees that there is none */
	if (o && fds[0] >= 0)
		send_fd(fds[0], o->fd);
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

/* A descriptor, or a negative errno value. There is room for one: the kernel closes what else a hostile sender may have put in. */
static int receive(int socket)
{
	union control_buffer control;
	struct iovec iov = { .iov_base = (char[]){ 0 }, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int fd;

	if (n < 0)
		return errno == ECONNRESET ? -ENOENT : -errno;
	if (!c)
		return n > 0 && m.msg_flags & MSG_CTRUNC ? -EMFILE : -ENOENT;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int explain(int r)
{
	switch (r) {
	case -ENOENT:
		return error_note(r, "nothing is offered with that token any more, or the node that offered it has ended");
	case -EMFILE:
		return error_note(r, "no descriptor is left; raise RLIMIT_NOFILE (ulimit -n)");
	case -ETIMEDOUT:
		return error_note(r, "the node that offers the descriptor did not send it in time");
	default:
		return error_system(r, "cannot take the descriptor");
	}
}

static int await(struct zcp_node *node, int socket, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = socket, .events = POLLIN };
		uint64_t now = clock_now_ns(), left_ms = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
		int r;

		if (node->no_thread)
			zcp_node_dispatch(node);
		r = poll(&p, 1, node->no_thread && left_ms > SLICE_MS ? SLICE_MS : left_ms < 1000 ? (int)left_ms : 1000);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && (r = receive(socket)) != -EAGAIN && r != -EINTR)
			return r;
		if (clock_now_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

int zcp_node_take_fd(struct zcp_node *node, uint64_t endpoint, uint64_t token, int64_t timeout)
{
	uint64_t deadline = deadline_after(timeout);
	struct wire_fd_take take = { .endpoint = endpoint, .token = token };
	struct request request = REQUEST_INIT;
	_cleanup_fd_ int socket = -1;
	int r;

	if (forked_since(node->fork_generation))
		return error_forked();
	wire_init(&take.header, WIRE_FD_TAKE, 0);
	r = control_call(node, &request, &take.header, WIRE_FD_CHANNEL, "take the descriptor");
	socket = fd_take(&request.fds[0]);
	fd_close(request.fds[1]);
	if (r < 0)
		return r;
	if (socket < 0)
		return explain(-EMFILE);
	r = await(node, socket, deadline);
	return r < 0 ? explain(r) : r;
}
