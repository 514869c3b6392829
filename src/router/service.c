/* SPDX-License-Identifier: MIT */
/* See service.h. Source: sd_notify(3), sd_watchdog_enabled(3). */

#include "router/service.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"

static bool find_manager(struct service *service)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || (path[0] != '/' && path[0] != '@') || length >= sizeof(service->address.sun_path))
		return false;
	service->address.sun_family = AF_UNIX;
	memcpy(service->address.sun_path, path, length);
	if (path[0] == '@')
		service->address.sun_path[0] = 0;	/* the abstract namespace */
	service->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return true;
}

static bool parse_number(const char *text, unsigned long long *n)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*n = strtoull(text, &end, 10);
	return !errno && !*end;
}

/* A child inherits the variables of a service; the watchdog waits for one process only. */
static uint64_t find_watchdog(void)
{
	const char *pid_text = getenv("WATCHDOG_PID");
	unsigned long long pid, usec;

	if (pid_text && (!parse_number(pid_text, &pid) || pid != (unsigned long long)getpid()))
		return 0;
	if (!parse_number(getenv("WATCHDOG_USEC"), &usec) || usec > UINT64_MAX / 1000)
		return 0;
	return usec * 1000;
}

void service_open(struct service *service)
{
	*service = (struct service){ .fd = -1 };
	if (!find_manager(service))
		return;
	service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (service->fd >= 0)
		service->watchdog_ns = find_watchdog();
}

void service_close(struct service *service)
{
	service->fd = fd_close(service->fd);
}

void service_tell(const struct service *service, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	if (service->fd < 0)
		return;
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n <= 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	(void)sendto(service->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&service->address,
		     service->address_length);
}

void service_feed_watchdog(struct service *service, uint64_t now_ns)
{
	if (!service->watchdog_ns || now_ns - service->fed_ns < service->watchdog_ns / 3)
		return;
	service->fed_ns = now_ns;
	service_tell(service, "WATCHDOG=1");
}
