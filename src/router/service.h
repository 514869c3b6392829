/* SPDX-License-Identifier: MIT */
/*
 * service.h - what the router tells a service manager: sd_notify(3)'s protocol, by hand
 *
 * Datagrams of text to $NOTIFY_SOCKET; without it all of this does nothing. The socket is opened once, at the
 * start: a watchdog that is not fed because clients have taken every descriptor would kill the router for what
 * it is made to survive.
 */
#ifndef ZCP_ROUTER_SERVICE_H
#define ZCP_ROUTER_SERVICE_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct service {
	int fd;				/* -1: nobody to tell */
	struct sockaddr_un address;
	socklen_t address_length;
	uint64_t watchdog_ns;		/* how long we may be silent; 0: as long as we like */
	uint64_t fed_ns;
};

/* From the environment. A manager that cannot be reached is like none: it notices that itself. */
void service_open(struct service *service);
void service_close(struct service *service);

/* "READY=1", "STOPPING=1", "STATUS=..."; several in lines of their own. Never blocks. */
void service_tell(const struct service *service, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* At each tick, which must come at least twice as often as the watchdog bites. */
void service_feed_watchdog(struct service *service, uint64_t now_ns);

#endif
