/* SPDX-License-Identifier: MIT */
/*
 * socket.h - the path in the file system: directory, lock, listening socket
 *
 * One router serves one path. What decides is the lock file PATH.lock, held by flock(2) for the
 * router's whole life: a crash releases it, and a socket file that is found while holding it is a
 * leftover and is replaced. Both files are removed on a clean exit, the lock file while it is still
 * held; one who was waiting with the old file open sees that its inode is no longer the path's and
 * tries again.
 *
 * Whoever can write the socket's directory can put himself in the router's place, so a directory
 * that somebody else than root or the router's user owns or can write is refused unless the user
 * says that it is meant.
 */
#ifndef ZCP_ROUTER_SOCKET_H
#define ZCP_ROUTER_SOCKET_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#define SOCKET_PATH_MAX 107	/* sun_path without its NUL */
#define SOCKET_SYSTEM_PATH "/run/zcp/router.sock"

struct router_socket {
	char path[SOCKET_PATH_MAX + 1];
	char lock_path[SOCKET_PATH_MAX + 8];
	int fd;			/* listening */
	int lock_fd;
	dev_t device;		/* of the socket file, to remove only our own */
	ino_t inode;
};

struct socket_options {
	const char *path;		/* NULL: $ZCP_ROUTER, else $XDG_RUNTIME_DIR/zcp/router.sock, else /run/zcp/router.sock */
	bool any_directory;		/* use a directory that others can write */
	int mode;			/* of the socket; -1: 0666 for the system path, else 0600 */
};

/* Whether SOCKET_SYSTEM_PATH is what @options choose, or where the socket that was passed to us listens. */
bool socket_is_system(const struct socket_options *options);

/*
 * Every failure is logged in one line that names the path. 0 or a negative errno value
 * (-EADDRINUSE: another router).
 */
int socket_open(struct router_socket *socket, const struct socket_options *options);
void socket_close(struct router_socket *socket);

#endif
