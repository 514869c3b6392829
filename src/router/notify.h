/* SPDX-License-Identifier: MIT */
/*
 * notify.h - tell the service manager (systemd's $NOTIFY_SOCKET protocol); nothing happens where
 * there is none.
 */
#ifndef ZCP_ROUTER_NOTIFY_H
#define ZCP_ROUTER_NOTIFY_H

/* @state is "READY=1", "STOPPING=1", ... */
void notify_manager(const char *state);

#endif
