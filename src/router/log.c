/* SPDX-License-Identifier: MIT */
/* See log.h for the rules. */

#include "router/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define PEER_LINES_BURST 50
#define PEER_LINES_PER_SECOND 5

static enum log_level level = LOG_LEVEL_NORMAL;

void log_set_level(enum log_level new_level)
{
	level = new_level;
}

/*
 * POLLOUT on a pipe means that PIPE_BUF bytes fit, and a line is shorter: the write cannot block.
 */
static void write_line(const char *format, va_list args)
{
	char line[1024] = "zcp-router: ";
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	size_t used = strlen(line);
	int r = vsnprintf(line + used, sizeof(line) - used - 1, format, args);

	if (r < 0)
		return;
	used = strlen(line);
	line[used++] = '\n';
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT))
		(void)!write(STDERR_FILENO, line, used);
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void log_note(const char *format, ...)
{
	va_list args;

	if (level < LOG_LEVEL_NORMAL)
		return;
	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

void log_verbose(const char *format, ...)
{
	va_list args;

	if (level < LOG_LEVEL_VERBOSE)
		return;
	va_start(args, format);
	write_line(format, args);
	va_end(args);
}

/* A token bucket. Returns whether a line may be written now. */
static int peer_line_allowed(void)
{
	static uint64_t last_ns, tokens_ns = PEER_LINES_BURST * (1000000000ull / PEER_LINES_PER_SECOND);
	static unsigned long long n_swallowed;
	const uint64_t line_ns = 1000000000ull / PEER_LINES_PER_SECOND;
	uint64_t now = clock_now_ns();

	if (last_ns)
		tokens_ns += now - last_ns;
	last_ns = now;
	if (tokens_ns > PEER_LINES_BURST * line_ns)
		tokens_ns = PEER_LINES_BURST * line_ns;
	if (tokens_ns < line_ns) {
		n_swallowed++;
		return 0;
	}
	tokens_ns -= line_ns;
	if (n_swallowed) {
		log_error("%llu more lines about clients were left out", n_swallowed);
		n_swallowed = 0;
	}
	return 1;
}

void log_peer(const char *format, ...)
{
	va_list args;

	if (level < LOG_LEVEL_NORMAL || !peer_line_allowed())
		return;
	va_start(args, format);
	write_line(format, args);
	va_end(args);
}
