/* SPDX-License-Identifier: MIT */
/*
 * pidfd.h - a descriptor for the process at the other end of a socket
 *
 * SO_PEERPIDFD (Linux 6.5) says it without a race. Older kernels are asked for the pid's pidfd, which
 * is right if the connection was still up after we got it and the process behind it is the peer's
 * user's: a pid is not reused while its process lives.
 */
#ifndef ZCP_ROUTER_PIDFD_H
#define ZCP_ROUTER_PIDFD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether this kernel has pidfds (5.3) and lets us use them. */
bool pidfd_is_there(void);

/* The pidfd of a process, which becomes readable when it is dead; or a negative errno value, -ESRCH: it is gone. */
int pidfd_open_process(pid_t pid);

/*
 * The pidfd of the process that connected @socket, which SO_PEERCRED says is @pid of @uid; @pid 0:
 * not visible from here. Or a negative errno value: the process is gone, no descriptor is left, ...
 */
int pidfd_of_peer(int socket, pid_t pid, uid_t uid);

/* Its inode, which is the process's for the time the machine is up. 0: this kernel has none (before 6.9). */
uint64_t pidfd_identity(int pidfd);

#endif
