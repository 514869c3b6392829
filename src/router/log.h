/* SPDX-License-Identifier: MIT */
/*
 * log.h - what the router says on stderr
 *
 * One line a call, prefixed "zcp-router: ". stderr may be a pipe nobody reads; a router that blocks
 * there blocks everybody, so a line that cannot be written at once is dropped. Lines that a peer
 * can provoke go through log_peer(), which allows a burst and then a few a second, and says how
 * many it swallowed.
 */
#ifndef ZCP_ROUTER_LOG_H
#define ZCP_ROUTER_LOG_H

enum log_level {
	LOG_LEVEL_QUIET,	/* errors and warnings only */
	LOG_LEVEL_NORMAL,
	LOG_LEVEL_VERBOSE,	/* every node that comes and goes */
};

void log_set_level(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_peer(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
