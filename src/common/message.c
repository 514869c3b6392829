/* SPDX-License-Identifier: MIT */
/*
 * message.c - one control message with its descriptors
 *
 * How to think about receiving: when recvmsg() returns, the kernel has already put descriptors into our table,
 * whatever we may think of the message. So the control data is the first thing looked at and the only thing
 * that owns something; from there on every exit either hands the descriptors on or closes them. The control
 * data is walked with memcpy instead of CMSG_NXTHDR(): io_uring hands it out inside a larger buffer, at no
 * particular alignment, and the descriptors in it are const to us.
 */
#include "common/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/fd.h"

struct fd_visitor {
	int *fds;		/* the first n_max descriptors go here, all others are closed */
	unsigned int n_max;
	unsigned int n_seen;
};

static void visit_fd(struct fd_visitor *visitor, int fd)
{
	if (visitor->n_seen < visitor->n_max)
		visitor->fds[visitor->n_seen] = fd;
	else
		fd_close(fd);
	visitor->n_seen++;
}

/*
 * Every descriptor of every SCM_RIGHTS block. The loop runs over the real cmsg_len: a buffer sized for n
 * descriptors by CMSG_SPACE lets one more in when n is odd.
 */
static void visit_fds(struct fd_visitor *visitor, const void *control, size_t control_length)
{
	const unsigned char *bytes = control;
	size_t offset = 0;

	while (control_length - offset >= sizeof(struct cmsghdr)) {
		size_t left = control_length - offset;
		struct cmsghdr header;
		size_t length;

		memcpy(&header, bytes + offset, sizeof(header));
		if (header.cmsg_len < sizeof(header))
			return;
		length = header.cmsg_len < left ? header.cmsg_len : left;

		if (header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_RIGHTS) {
			for (size_t i = CMSG_LEN(0); i + sizeof(int) <= length; i += sizeof(int)) {
				int fd;

				memcpy(&fd, bytes + offset + i, sizeof(fd));
				visit_fd(visitor, fd);
			}
		}

		if (CMSG_ALIGN(length) >= left)
			return;
		offset += CMSG_ALIGN(length);
	}
}

void message_close_fds(const void *control, size_t control_length)
{
	struct fd_visitor visitor = { 0 };

	visit_fds(&visitor, control, control_length);
}

static void close_all(int fds[WIRE_FDS_MAX])
{
	for (unsigned int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = fd_close(fds[i]);
}

/* 0, or why the message cannot be taken with @n_fds descriptors. */
static int judge(const union wire_message *message, size_t size, int flags, unsigned int n_fds)
{
	unsigned int n_wanted;
	int r;

	if (flags & MSG_TRUNC || size > sizeof(*message))
		return -EMSGSIZE;
	if (!size)
		return -EPIPE;
	r = wire_check(message, size);
	if (r < 0)
		return r;

	/*
	 * What was truncated can be more than was allowed (the peer's fault, also when our full table let none
	 * of it in) or part of what we wanted (ours). Only the second may be blamed on RLIMIT_NOFILE, else a
	 * peer that sends descriptors where none belong would look like a router that ran out of them.
	 */
	n_wanted = wire_fds(message->header.type);
	if (flags & MSG_CTRUNC && n_wanted && n_fds <= n_wanted)
		return -EMFILE;
	if (flags & MSG_CTRUNC || n_fds != n_wanted)
		return -EPROTO;
	return 0;
}

int message_accept(union wire_message *message, size_t size, int flags, const void *control, size_t control_length,
		   int fds[WIRE_FDS_MAX])
{
	struct fd_visitor visitor = { .fds = fds, .n_max = WIRE_FDS_MAX };
	int r;

	for (unsigned int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = -1;
	visit_fds(&visitor, control, control_length);

	r = judge(message, size, flags, visitor.n_seen);
	if (r < 0) {
		close_all(fds);
		return r;
	}
	return (int)size;
}

int message_receive(int socket, union wire_message *message, int fds[WIRE_FDS_MAX])
{
	union {
		struct cmsghdr align;
		unsigned char bytes[MESSAGE_CONTROL_BYTES];
	} control;
	struct iovec iov = { .iov_base = message, .iov_len = sizeof(*message) };
	bool was_reset = false;

	for (unsigned int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = -1;

	for (;;) {
		struct msghdr header = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t size = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (size >= 0)
			return message_accept(message, (size_t)size, header.msg_flags, &control, header.msg_controllen,
					      fds);

		/*
		 * A peer that closes with our messages unread causes one ECONNRESET, ahead of what it said
		 * before it closed, and that is where it says why. The error is cleared by being reported, the
		 * end of file stays.
		 */
		if (errno == ECONNRESET && !was_reset)
			was_reset = true;
		else if (errno != EINTR)
			return -errno;
	}
}

int message_send(int socket, const struct wire_header *message, const int *fds, unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		unsigned char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = (void *)message, .iov_len = message->size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > WIRE_FDS_MAX)
		return -EINVAL;
	if (n_fds) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}

	for (;;) {
		/* SOCK_SEQPACKET: all or nothing, so the count is not looked at. */
		if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}
