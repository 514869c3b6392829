/* SPDX-License-Identifier: MIT */
/*
 * autostart.h - a per-user router on demand
 *
 * Nobody listens: `zcp-router --exit-when-idle --quiet --socket PATH` is started as a process of its own (new
 * session, parent 1, no descriptors of ours), and we wait until PATH accepts connections. Several processes may
 * do this at once: each starts a router, the lock file beside the socket lets one of them win, the others exit,
 * and all callers connect to the winner.
 */
#ifndef ZCP_LIB_AUTOSTART_H
#define ZCP_LIB_AUTOSTART_H

#include "lib/router-path.h"

/* Start a router at paths->own and connect: a descriptor, or a negative errno value with its sentence. */
int autostart_connect(struct router_paths *paths);

#endif
