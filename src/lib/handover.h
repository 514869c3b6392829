/* SPDX-License-Identifier: MIT */
/* handover.h - descriptors that a node offers to those that get its messages; see handover.c */
#ifndef ZCP_LIB_HANDOVER_H
#define ZCP_LIB_HANDOVER_H

#include "lib/node.h"

/* FD_WANTED came, with a socket in @fds[0]: send the descriptor, if it is offered. Under lock. */
void handover_wanted(struct zcp_node *node, const struct wire_fd_wanted *m, int fds[WIRE_FDS_MAX]);

/* The node is closed: nothing is offered any more. In a forked child: close its copies. */
void handover_close_all(struct zcp_node *node);

#endif
