/* SPDX-License-Identifier: MIT */
/* See socket.h for who may listen where. */

#include "router/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "router/activation.h"
#include "router/log.h"
#include "router/pidfd.h"

/* --- path ----------------------------------------------------------------------------------------- */

static int set_path(struct router_socket *s, const char *format, const char *value)
{
	int n = snprintf(s->path, sizeof(s->path), format, value);

	if (n < 0 || n >= (int)sizeof(s->path)) {
		log_error("the socket path %.40s... is %d bytes long, %d is the limit for Unix sockets: choose a shorter one", s->path,
			  n, SOCKET_PATH_MAX);
		return -ENAMETOOLONG;
	}
	if (!s->path[0] || s->path[n - 1] == '/') {
		log_error("the socket path '%s' does not name a file", s->path);
		return -EINVAL;
	}
	snprintf(s->lock_path, sizeof(s->lock_path), "%s.lock", s->path);
	return 0;
}

static int choose_path(struct router_socket *s, const struct socket_options *options)
{
	const char *value;

	if (options->path)
		return set_path(s, "%s", options->path);
	value = getenv("ZCP_ROUTER");
	if (value && value[0])
		return set_path(s, "%s", value);
	value = getenv("XDG_RUNTIME_DIR");
	if (value && value[0])
		return set_path(s, "%s/zcp/router.sock", value);
	return set_path(s, "%s", SOCKET_SYSTEM_PATH);
}

bool socket_is_system(const struct socket_options *options)
{
	const char *router = getenv("ZCP_ROUTER"), *runtime = getenv("XDG_RUNTIME_DIR");
	const char *path = options->path ? options->path : router && router[0] ? router : NULL;
	char passed[SOCKET_PATH_MAX + 1];

	if (activation_path(passed))
		return !strcmp(passed, SOCKET_SYSTEM_PATH);
	return path ? !strcmp(path, SOCKET_SYSTEM_PATH) : !runtime || !runtime[0];
}

/* --- directory ------------------------------------------------------------------------------------ */

static void directory_of(const char *path, char directory[static SOCKET_PATH_MAX + 1])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		strcpy(directory, ".");
	else
		snprintf(directory, SOCKET_PATH_MAX + 1, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int check_directory(const char *directory, const struct socket_options *options)
{
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int error = errno;

		log_error("cannot open the socket's directory %s: %s", directory, strerror(error));
		return -error;
	}
	if (options->any_directory)
		return 0;
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		log_error("the socket's directory %s belongs to uid %u, who could replace the router: use another directory, or "
			  "--any-directory if that is meant", directory, st.st_uid);
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		log_error("others can write the socket's directory %s (mode %04o) and replace the router: chmod go-w it, use another "
			  "directory, or --any-directory if that is meant", directory, st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

/* Only the last level is created: where that is not enough, the path is more likely a mistake. */
static int make_directory(const struct router_socket *s, const struct socket_options *options)
{
	bool system_wide = !strcmp(s->path, SOCKET_SYSTEM_PATH);
	char directory[SOCKET_PATH_MAX + 1];

	directory_of(s->path, directory);
	if (mkdir(directory, system_wide ? 0755 : 0700) == 0) {
		/*
		 * The umask may have taken bits that everybody needs to reach the system's router.
		 */
		if (system_wide && chmod(directory, 0755) < 0)
			log_error("cannot set the mode of %s: %s", directory, strerror(errno));
	} else if (errno != EEXIST) {
		int error = errno;

		log_error("cannot create the socket's directory %s: %s", directory, strerror(error));
		return -error;
	}
	return check_directory(directory, options);
}

/* --- lock ----------------------------------------------------------------------------------------- */

static void complain_locked(const struct router_socket *s, int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	if (pid > 0)
		log_error("another zcp-router (pid %ld) serves %s", pid, s->path);
	else
		log_error("another zcp-router serves %s", s->path);
}

static bool is_current(const struct router_socket *s, int fd)
{
	struct stat ours, current;

	return fstat(fd, &ours) == 0 && lstat(s->lock_path, &current) == 0 && ours.st_dev == current.st_dev &&
	       ours.st_ino == current.st_ino;
}

static int take_lock(struct router_socket *s)
{
	for (int i = 0; i < 100; i++) {
		_cleanup_fd_ int fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		char text[32];

		if (fd < 0) {
			int error = errno;

			log_error("cannot open the lock file %s: %s", s->lock_path, strerror(error));
			return -error;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int error = errno;

			if (error == EINTR)
				continue;
			if (error == EWOULDBLOCK) {
				complain_locked(s, fd);
				return -EADDRINUSE;
			}
			log_error("cannot lock %s: %s", s->lock_path, strerror(error));
			return -error;
		}
		if (!is_current(s, fd))
			continue;	/* its owner removed it on his way out */
		snprintf(text, sizeof(text), "%d\n", (int)getpid());
		if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
			log_error("cannot write %s: %s", s->lock_path, strerror(errno));
		s->lock_fd = fd_take(&fd);
		return 0;
	}
	log_error("cannot lock %s: routers come and go too fast", s->lock_path);
	return -EADDRINUSE;
}

/* --- socket --------------------------------------------------------------------------------------- */

static struct sockaddr_un address_of(const struct router_socket *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, s->path, strlen(s->path) + 1);
	return address;
}

enum listener {
	LISTENER_NONE,
	LISTENER_DEAD,
	LISTENER_ALIVE,		/* or nobody can tell */
};

/* Whoever called listen(): that is what the credentials of a connected socket's peer say. */
static bool listener_is_dead(int fd)
{
	struct ucred credentials;
	socklen_t length = sizeof(credentials);
	struct pollfd p = { .fd = -1, .events = POLLIN };
	bool dead;

	/* 0: in a pid namespace that we do not see */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0 || credentials.pid <= 0)
		return false;
	p.fd = pidfd_open_process(credentials.pid);
	if (p.fd < 0)
		return p.fd == -ESRCH;
	dead = poll(&p, 1, 0) > 0 && p.revents & POLLIN;
	fd_close(p.fd);
	return dead;
}

static enum listener find_listener(const struct router_socket *s)
{
	struct sockaddr_un address = address_of(s);
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return LISTENER_NONE;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? LISTENER_ALIVE : LISTENER_NONE;
	return listener_is_dead(fd) ? LISTENER_DEAD : LISTENER_ALIVE;
}

/*
 * With the lock held nobody of ours listens; but the lock file may have been deleted by hand under
 * a running router. The socket of one that was killed accepts for some milliseconds more, and was seen
 * to do so for more than five seconds: the kernel tears an io_uring, and the accept armed in it, down
 * after the process. So the process is what counts; where that cannot be told, patience.
 */
static int remove_stale(const struct router_socket *s)
{
	const struct timespec nap = { .tv_nsec = 5000000 };
	struct stat st;

	if (lstat(s->path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s exists and is not a socket: remove it or choose another path", s->path);
		return -EEXIST;
	}
	for (int i = 0; find_listener(s) == LISTENER_ALIVE; i++) {
		if (i == 1000) {
			log_error("somebody listens on %s although %s was not locked: stop that process first", s->path,
				  s->lock_path);
			return -EADDRINUSE;
		}
		nanosleep(&nap, NULL);
	}
	if (unlink(s->path) < 0 && errno != ENOENT) {
		int error = errno;

		log_error("cannot remove the stale socket %s: %s", s->path, strerror(error));
		return -error;
	}
	return 0;
}

static int listen_there(struct router_socket *s, const struct socket_options *options)
{
	struct sockaddr_un address = address_of(s);
	int mode = options->mode >= 0 ? options->mode : strcmp(s->path, SOCKET_SYSTEM_PATH) ? 0600 : 0666;
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	mode_t mask;
	struct stat st;
	int error;

	if (fd < 0)
		goto fail;
	mask = umask(0777);		/* nobody connects before the mode is what it shall be */
	error = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
	umask(mask);
	errno = error;
	if (error)
		goto fail;
	if (lstat(s->path, &st) < 0) {
		error = errno;
		unlink(s->path);
		errno = error;
		goto fail;
	}
	s->device = st.st_dev;
	s->inode = st.st_ino;
	if (chmod(s->path, (mode_t)mode) < 0 || listen(fd, SOMAXCONN) < 0)
		goto fail;
	s->fd = fd_take(&fd);
	return 0;
fail:
	error = errno;
	log_error("cannot listen on %s: %s", s->path, strerror(error));
	return -error;
}

int socket_open(struct router_socket *s, const struct socket_options *options)
{
	int r;

	*s = (struct router_socket){ .fd = -1, .lock_fd = -1 };
	r = choose_path(s, options);
	if (r >= 0)
		r = make_directory(s, options);
	if (r >= 0)
		r = take_lock(s);
	if (r >= 0)
		r = remove_stale(s);
	if (r >= 0)
		r = listen_there(s, options);
	if (r < 0)
		socket_close(s);
	return r;
}

void socket_close(struct router_socket *s)
{
	struct stat st;

	if (s->inode && lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
		unlink(s->path);
	s->inode = 0;
	s->fd = fd_close(s->fd);
	if (s->lock_fd >= 0)
		unlink(s->lock_path);
	s->lock_fd = fd_close(s->lock_fd);
}
