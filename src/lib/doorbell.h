/* SPDX-License-Identifier: MIT */
/*
 * doorbell.h - an eventfd that wakes an endpoint
 *
 * Counts do not matter, only readable or not. A bell that cannot be rung (-EAGAIN: the counter is full) is
 * ringing already.
 */
#ifndef ZCP_LIB_DOORBELL_H
#define ZCP_LIB_DOORBELL_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/*
 * All holders of an eventfd share its O_NONBLOCK, so a hostile one can clear it, fill the counter, and have a plain write
 * wait for ever. A full counter is a ringing bell, so one that cannot be written now need not be. What remains to a hostile
 * peer is to fill the counter between the two calls.
 */
static inline void doorbell_ring(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int saved_errno = errno;
	uint64_t one = 1;

	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT && write(fd, &one, sizeof(one)) < 0)
		errno = saved_errno;
}

/* Stop it; returns whether it rang. */
static inline bool doorbell_silence(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int saved_errno = errno;
	uint64_t count;
	bool rang = poll(&p, 1, 0) == 1 && p.revents & POLLIN && read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);

	errno = saved_errno;
	return rang;
}

#endif
