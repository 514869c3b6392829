/* SPDX-License-Identifier: MIT */
/*
 * activation.h - a listening socket that the service manager made: sd_listen_fds(3)'s protocol, by hand
 *
 * $LISTEN_PID says for whom, $LISTEN_FDS how many, from descriptor 3 on, $LISTEN_FDNAMES how they are called. The
 * socket's file, its mode and its directory are the manager's then: nothing is created, locked or removed, and
 * clients that connect while no router runs wait in its queue for the next one.
 */
#ifndef ZCP_ROUTER_ACTIVATION_H
#define ZCP_ROUTER_ACTIVATION_H

#include <stdbool.h>

#include "router/socket.h"

/* Whether sockets were passed to this process. */
bool activation_is_wanted(void);

/* Where the one that activation_open() would take listens. False: there is none, or it won't do. */
bool activation_path(char path[static SOCKET_PATH_MAX + 1]);

/*
 * The socket that was passed, in place of socket_open(): the only one, or of several the one that is called
 * zcp-router or zcp-router.socket; others are closed. @options->path, if there is one, has to be where it
 * listens. 0, or a negative errno value after one line that says what is wrong with it.
 */
int activation_open(struct router_socket *socket, const struct socket_options *options);

#endif
