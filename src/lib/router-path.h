/* SPDX-License-Identifier: MIT */
/*
 * router-path.h - where the router is, and a connection to it
 *
 * The caller's option, else $ZCP_ROUTER, else $XDG_RUNTIME_DIR/zcp/router.sock, else /run/zcp/router.sock.
 * "Else" means: an option or $ZCP_ROUTER is meant and nothing else will do; the others are tried in turn until
 * one listens. Users without $XDG_RUNTIME_DIR have /tmp/zcp-UID/router.sock as last resort, which is believed
 * only if the directory is theirs and closed to others.
 */
#ifndef ZCP_LIB_ROUTER_PATH_H
#define ZCP_LIB_ROUTER_PATH_H

#include <stdbool.h>

#define ROUTER_PATH_BYTES 108		/* of sun_path */
#define ROUTER_PATHS_MAX 3

struct router_paths {
	int n;
	bool explicit_path;		/* from the option or $ZCP_ROUTER */
	char path[ROUTER_PATHS_MAX][ROUTER_PATH_BYTES];
	char own[ROUTER_PATH_BYTES];	/* where a router that we start listens */
	char used[ROUTER_PATH_BYTES];	/* the one that was connected to; "": none so far */
};

/* Find the candidates; @option may be NULL. 0, -ENAMETOOLONG, -EINVAL. */
int router_paths_find(struct router_paths *paths, const char *option);

/* One look at the one that was used, or else at all candidates: a descriptor or a negative errno value. No waiting. */
int router_reconnect(struct router_paths *paths);

/*
 * Connect to the first candidate that listens. Returns a non-blocking SOCK_SEQPACKET descriptor, or a negative
 * errno value with its sentence: -ENOENT, -ECONNREFUSED, -EACCES, -ETIMEDOUT (its queue of connections stays
 * full), ...
 */
int router_connect(struct router_paths *paths);

/*
 * One path, no sentence, no waiting: a descriptor or a negative errno value (-EAGAIN: it listens, its queue is
 * full).
 */
int router_connect_path(const char *path);

/* Whether @directory is a real directory of ours with no access for others. */
bool router_directory_is_private(const char *directory);

#endif
