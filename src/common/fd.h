/* SPDX-License-Identifier: MIT */
/*
 * fd.h - guarded locals for descriptors, heap and mappings
 *
 * A constructor builds into locals marked with these and hands over with fd_take() as its last act, so that
 * every early return releases what was built so far. -1 is the empty descriptor.
 */
#ifndef ZCP_COMMON_FD_H
#define ZCP_COMMON_FD_H

#include <stdlib.h>
#include <unistd.h>

/* Close @fd if there is one, keeping errno; returns -1 so that `x = fd_close(x)` empties. */
int fd_close(int fd);

static inline int fd_take(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

static inline void fd_cleanup(int *fd)
{
	fd_close(*fd);
}

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}

#define _cleanup_fd_ __attribute__((cleanup(fd_cleanup)))
#define _cleanup_free_ __attribute__((cleanup(free_cleanup)))

#endif
