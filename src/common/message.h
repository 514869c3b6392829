/* SPDX-License-Identifier: MIT */
/*
 * message.h - one control message over a SOCK_SEQPACKET socket, with its descriptors
 *
 * Descriptors are the dangerous part: they are installed by the kernel before anyone looked at the message. So
 * receiving has one function which always leaves the caller with either exactly the descriptors that the
 * message's type allows, or none: surplus ones are closed, and a truncated set (MSG_CTRUNC: small buffer,
 * RLIMIT_NOFILE, a security module) closes all and is an error. Everything is non-blocking and close-on-exec.
 */
#ifndef ZCP_COMMON_MESSAGE_H
#define ZCP_COMMON_MESSAGE_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/wire.h"

/* Room for one fd more than allowed: CMSG_SPACE padding lets surplus descriptors in, they must be seen to be closed. */
#define MESSAGE_CONTROL_BYTES CMSG_SPACE(sizeof(int) * (WIRE_FDS_MAX + 2))

/*
 * Send @message (its header says type and size) with @n_fds descriptors, which stay the caller's.
 * MSG_DONTWAIT|MSG_NOSIGNAL. 0, -EAGAIN (peer's queue full), -ETOOMANYREFS (too many descriptors of this user
 * in flight: back off), -EPIPE, ...
 */
int message_send(int socket, const struct wire_header *message, const int *fds, unsigned int n_fds);

/*
 * Receive one message into @message and its descriptors into @fds (unused entries -1), which become the caller's.
 * Returns the number of bytes (the message has passed wire_check and carries exactly wire_fds(type) descriptors), or:
 * -EAGAIN nothing there; -EPIPE end of file; -EPROTO malformed, or wrong number of descriptors;
 * -EPROTONOSUPPORT other version; -EMFILE descriptors lost to RLIMIT_NOFILE (the message is then in @message);
 * -EMSGSIZE too long; or what recvmsg says.
 */
int message_receive(int socket, union wire_message *message, int fds[WIRE_FDS_MAX]);

/*
 * The judging half of message_receive() for callers that received by themselves (io_uring): takes over the
 * descriptors in
 * @control/@control_length, closes the surplus. @flags are the msg_flags of the receive. Returns as message_receive().
 */
int message_accept(union wire_message *message, size_t size, int flags, const void *control, size_t control_length, int fds[WIRE_FDS_MAX]);

/* Close all descriptors in @control. */
void message_close_fds(const void *control, size_t control_length);

#endif
