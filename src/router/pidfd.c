/* SPDX-License-Identifier: MIT */
/* See pidfd.h. Sources: pidfd_open(2), Linux commits 7b26952a91cf (SO_PEERPIDFD), cb12fd8e0dab (pidfs). */

#include "router/pidfd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define PIDFS_MAGIC 0x50494446	/* PID_FS_MAGIC */

int pidfd_open_process(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);	/* close-on-exec by itself */

	return fd < 0 ? -errno : fd;
}

bool pidfd_is_there(void)
{
	int fd = pidfd_open_process(getpid());

	fd_close(fd);
	return fd >= 0 || fd == -EMFILE || fd == -ENFILE;
}

static bool is_connected(int socket)
{
	struct pollfd poll_fd = { .fd = socket, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) >= 0 && !(poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Without /proc the pid and the connection have to do. */
static bool is_of_user(pid_t pid, uid_t uid)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return stat(path, &st) < 0 || st.st_uid == uid || st.st_uid == 0;	/* root's: a process that is not dumpable */
}

int pidfd_of_peer(int socket, pid_t pid, uid_t uid)
{
	_cleanup_fd_ int fd = -1;
	socklen_t length = sizeof(fd);
	int r;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0)
		return fd_take(&fd);
	r = -errno;
	fd = -1;
	if (r != -ENOPROTOOPT)
		return r;	/* EINVAL, ESRCH, ENODATA: the process is gone; EMFILE */
	if (pid <= 0)
		return -ESRCH;
	fd = pidfd_open_process(pid);
	if (fd < 0)
		return fd;
	if (!is_connected(socket) || !is_of_user(pid, uid))
		return -ESRCH;
	return fd_take(&fd);
}

uint64_t pidfd_identity(int pidfd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(pidfd, &fs) < 0 || (unsigned long)fs.f_type != PIDFS_MAGIC || fstat(pidfd, &st) < 0)
		return 0;
	return st.st_ino;
}
