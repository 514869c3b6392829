/* SPDX-License-Identifier: MIT */
/*
 * fd.c - guarded locals for descriptors
 *
 * Only what the header cannot hold inline. close() runs in cleanup handlers, that is between a failing call and
 * the caller's look at errno, hence the care for it here.
 */
#include "common/fd.h"

#include <errno.h>

int fd_close(int fd)
{
	if (fd >= 0) {
		int saved_errno = errno;

		/* Never retried on EINTR: Linux has released the number by then, another thread may own it already. */
		close(fd);
		errno = saved_errno;
	}
	return -1;
}
