/* SPDX-License-Identifier: MIT */
/* See trace-whose.h. */
#include "tools/trace-whose.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <uthash.h>

#include "common/fd.h"
#include "lib/router-path.h"

/* A process of another router. */
struct whose_stranger {
	uint32_t pid;
	UT_hash_handle hh;
};

/* Who listens at the router's socket now; 0: nobody, or it cannot be told. */
static uint32_t find_listener(const struct names *names)
{
	_cleanup_fd_ int fd = router_connect_path(names_router_path(names));
	struct ucred credentials;
	socklen_t bytes = sizeof(credentials);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) < 0)
		return 0;
	return (uint32_t)credentials.pid;
}

static bool is_stranger(const struct whose_stranger *strangers, uint32_t pid)
{
	const struct whose_stranger *s;

	HASH_FIND(hh, strangers, &pid, sizeof(pid), s);
	return s;
}

static void remember(struct whose_stranger **strangers, uint32_t pid)
{
	struct whose_stranger *s = malloc(sizeof(*s));

	if (!s)
		return;
	s->pid = pid;
	HASH_ADD(hh, *strangers, pid, sizeof(s->pid), s);
}

bool whose_is_router(struct names *names, struct whose_stranger **strangers, uint32_t pid)
{
	uint32_t listener;
	bool same;

	if ((uint32_t)names_router(names, &same) == pid || !same || !pid)
		return true;
	if (is_stranger(*strangers, pid))
		return false;
	listener = find_listener(names);
	if (listener == pid)
		names_set_router(names, (int)pid);
	else if (listener)
		remember(strangers, pid);
	return listener == pid;
}

void whose_forget(struct whose_stranger **strangers)
{
	struct whose_stranger *s, *next;

	HASH_ITER(hh, *strangers, s, next) {
		HASH_DEL(*strangers, s);
		free(s);
	}
}

static bool is_there(const struct names *names, uint32_t pid)
{
	const struct name_node *n;

	for (n = names_nodes(names); n; n = n->hh.next)
		if (n->pid == pid)
			return true;
	return false;
}

bool whose_has_joined(struct names *names, struct whose_stranger **strangers, uint32_t pid)
{
	bool same, there;

	if (names_router(names, &same) == (int)pid || !same || !pid)
		return true;
	there = is_there(names, pid);
	if (there || is_stranger(*strangers, pid))
		return there;
	for (int i = 0; !there && names_await_news(names, i); i++)
		there = is_there(names, pid);
	if (!there)
		remember(strangers, pid);
	return there;
}
