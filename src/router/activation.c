/* SPDX-License-Identifier: MIT */
/* See activation.h. */

#include "router/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fd.h"
#include "router/log.h"

#define FIRST_FD 3
#define FDS_MAX 1024u

/* --- which descriptor ----------------------------------------------------------------------------- */

static unsigned long number_of(const char *variable)
{
	const char *text = getenv(variable);
	unsigned long n;
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoul(text, &end, 10);
	return errno || *end ? 0 : n;
}

bool activation_is_wanted(void)
{
	return number_of("LISTEN_PID") == (unsigned long)getpid() && number_of("LISTEN_FDS") > 0;
}

static bool is_our_name(const char *name, size_t n)
{
	static const char *const names[] = { "zcp-router", "zcp-router.socket" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == n && !strncmp(names[i], name, n))
			return true;
	return false;
}

/* Which of @n descriptors is called like us, counted from 0. -1: none. -2: more than one. */
static int find_name(unsigned int n)
{
	const char *name = getenv("LISTEN_FDNAMES");
	int found = -1;

	for (unsigned int i = 0; name && i < n; i++) {
		size_t length = strcspn(name, ":");

		if (is_our_name(name, length)) {
			if (found >= 0)
				return -2;
			found = (int)i;
		}
		name = name[length] ? name + length + 1 : NULL;
	}
	return found;
}

/* Which one of those that were passed, counted from 0; -1 and -2 as find_name(). */
static int choose(void)
{
	unsigned long n = number_of("LISTEN_FDS");

	return n == 1 ? 0 : find_name(n < FDS_MAX ? (unsigned int)n : FDS_MAX);
}

/* The descriptor, close-on-exec like the rest of ours; all others that were passed are closed. */
static int take_fd(void)
{
	unsigned long n = number_of("LISTEN_FDS");
	int chosen = choose();

	for (int i = 0; i < (int)(n < FDS_MAX ? n : FDS_MAX); i++)
		if (i != chosen)
			fd_close(FIRST_FD + i);
	if (chosen < 0) {
		log_error("%lu sockets were passed and %s is called zcp-router: pass one, or set FileDescriptorName=zcp-router in the unit "
			  "of the one that is meant", n, chosen == -1 ? "none" : "more than one");
		return -EINVAL;
	}
	if (fcntl(FIRST_FD + chosen, F_SETFD, FD_CLOEXEC) < 0) {
		int error = errno;

		log_error("descriptor %d, which LISTEN_FDS promises, is not open: %s", FIRST_FD + chosen, strerror(error));
		return -error;
	}
	return FIRST_FD + chosen;
}

/* --- what it is ----------------------------------------------------------------------------------- */

static bool has(int fd, int option, int value)
{
	socklen_t length = sizeof(int);
	int current = -1;

	return getsockopt(fd, SOL_SOCKET, option, &current, &length) == 0 && current == value;
}

static int wrong(const char *what)
{
	log_error("the socket that was passed %s: its unit wants ListenSequentialPacket= with an absolute path, and Accept=no", what);
	return -EINVAL;
}

/* False: it has none, or one that no client could use. */
static bool find_path(int fd, char path[static SOCKET_PATH_MAX + 1])
{
	struct sockaddr_un address = { 0 };
	socklen_t length = sizeof(address);
	size_t n;

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 || address.sun_family != AF_UNIX ||
	    length <= offsetof(struct sockaddr_un, sun_path))
		return false;
	n = strnlen(address.sun_path, sizeof(address.sun_path));
	if (address.sun_path[0] != '/' || n > SOCKET_PATH_MAX)
		return false;
	memcpy(path, address.sun_path, n);
	path[n] = 0;
	return true;
}

bool activation_path(char path[static SOCKET_PATH_MAX + 1])
{
	int chosen = activation_is_wanted() ? choose() : -1;

	return chosen >= 0 && find_path(FIRST_FD + chosen, path);
}

static int check(struct router_socket *s, int fd, const struct socket_options *options)
{
	if (!has(fd, SO_DOMAIN, AF_UNIX))
		return wrong("is not a Unix socket");
	if (!has(fd, SO_TYPE, SOCK_SEQPACKET))
		return wrong("does not keep messages apart (SOCK_SEQPACKET)");
	if (!has(fd, SO_ACCEPTCONN, 1))
		return wrong("does not listen");
	if (!find_path(fd, s->path))
		return wrong("has no path that begins with / and is at most 107 bytes long");
	if (options->path && strcmp(options->path, s->path) != 0) {
		log_error("the socket that was passed is %s, but the router is told to listen on %s: make the two agree", s->path,
			  options->path);
		return -EINVAL;
	}
	if (options->mode >= 0)
		log_error("socket-mode has no effect on a socket that was passed: set SocketMode=%04o in its unit", (unsigned int)options->mode);
	return 0;
}

/*
 * listen() again: a client asks the kernel who listens in order to see whether its router lives, and that is who
 * called it last. And a blocking socket is what the loop expects (loop_accept_now()).
 */
static int take_over(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 || listen(fd, SOMAXCONN) < 0) {
		int error = errno;

		log_error("cannot listen on the socket that was passed: %s", strerror(error));
		return -error;
	}
	return 0;
}

int activation_open(struct router_socket *s, const struct socket_options *options)
{
	_cleanup_fd_ int fd = take_fd();
	int r;

	*s = (struct router_socket){ .fd = -1, .lock_fd = -1 };
	if (fd < 0)
		return fd;
	r = check(s, fd, options);
	if (r >= 0)
		r = take_over(fd);
	if (r < 0)
		return r;
	s->fd = fd_take(&fd);
	return 0;
}
