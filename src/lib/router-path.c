/* SPDX-License-Identifier: MIT */
/*
 * router-path.c - where the router is, and a connection to it
 */
#include "lib/router-path.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "lib/control.h"
#include "lib/error.h"

#define SYSTEM_PATH "/run/zcp/router.sock"

static int too_long(const char *path)
{
	return error_set(-ENAMETOOLONG, "the router's socket path is longer than %d bytes: %.60s...; choose a shorter one",
			 ROUTER_PATH_BYTES - 1, path);
}

static int add(struct router_paths *paths, const char *directory, const char *file)
{
	char *path = paths->path[paths->n];

	if (snprintf(path, ROUTER_PATH_BYTES, "%s%s", directory, file) >= ROUTER_PATH_BYTES)
		return too_long(directory);
	paths->n++;
	return 0;
}

static const char *environment(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

bool router_directory_is_private(const char *directory)
{
	struct stat st;

	return lstat(directory, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077);
}

static int only(struct router_paths *paths, const char *path)
{
	int r = add(paths, path, "");

	if (r < 0)
		return r;
	paths->explicit_path = true;
	memcpy(paths->own, paths->path[0], sizeof(paths->own));
	return 0;
}

int router_paths_find(struct router_paths *paths, const char *option)
{
	const char *runtime = environment("XDG_RUNTIME_DIR");
	char tmp[64];
	int r;

	memset(paths, 0, sizeof(*paths));
	if (option && !*option)
		return error_note(-EINVAL, "socket_path is empty; give a path, or NULL for the default");
	if (!option)
		option = environment("ZCP_ROUTER");
	if (option)
		return only(paths, option);

	if (runtime) {
		r = add(paths, runtime, "/zcp/router.sock");
		if (r < 0)
			return r;
	}
	add(paths, SYSTEM_PATH, "");
	if (!runtime && geteuid() != 0) {
		snprintf(tmp, sizeof(tmp), "/tmp/zcp-%u", (unsigned int)geteuid());
		snprintf(paths->own, sizeof(paths->own), "%s/router.sock", tmp);
		if (router_directory_is_private(tmp))
			add(paths, tmp, "/router.sock");
	} else {
		memcpy(paths->own, paths->path[0], sizeof(paths->own));
	}
	return 0;
}

int router_connect_path(const char *path)
{
	_cleanup_fd_ int fd = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		if (errno != EINTR)
			return -errno;
	return fd_take(&fd);
}

/* A router that is busy accepting others gets the time of a request. */
static int connect_patiently(const char *path)
{
	const struct timespec nap = { .tv_nsec = 2000000 };
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	int r;

	while ((r = router_connect_path(path)) == -EAGAIN && clock_now_ns() < deadline)
		nanosleep(&nap, NULL);
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

static int explain(const struct router_paths *paths, int which, int r)
{
	const char *path = paths->path[which];

	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
		return error_set(-ENOENT, "no router at %s; start zcp-router, or set $ZCP_ROUTER or the socket_path option to where it listens",
				 path);
	case -ECONNREFUSED:
		return error_set(r, "nobody listens at %s, its router has ended; start zcp-router again", path);
	case -EACCES:
	case -EPERM:
		return error_set(-EACCES, "no right to connect to %s; ask for membership in the group that owns it", path);
	case -EPROTOTYPE:
		return error_set(-ECONNREFUSED, "%s is a socket, but not a router's", path);
	case -ETIMEDOUT:
		return error_set(r, "the router at %s does not accept connections; see whether it hangs", path);
	default:
		return error_system(r, path);
	}
}

int router_reconnect(struct router_paths *paths)
{
	int r = -ENOENT;

	if (paths->used[0])
		return router_connect_path(paths->used);
	for (int i = 0; i < paths->n; i++) {
		r = router_connect_path(paths->path[i]);
		if (r >= 0) {
			memcpy(paths->used, paths->path[i], sizeof(paths->used));
			break;
		}
	}
	return r;
}

int router_connect(struct router_paths *paths)
{
	int worst = -ENOENT, which = 0;

	for (int i = 0; i < paths->n; i++) {
		int r = connect_patiently(paths->path[i]);

		if (r >= 0) {
			memcpy(paths->used, paths->path[i], sizeof(paths->used));
			return r;
		}
		/* of several failures the one that is not "no such file" tells most */
		if (worst == -ENOENT && r != -ENOENT && r != -ENOTDIR) {
			worst = r;
			which = i;
		}
	}
	return explain(paths, which, worst);
}
