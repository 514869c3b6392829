/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h - Ctrl-C for commands that run until they are told to stop
 *
 * The first SIGINT, SIGTERM or SIGHUP is remembered and makes a descriptor readable, so that a wait in
 * interrupt_poll() cannot miss it, whatever the moment; a second one of the same kind, a quarter of a second later or more, kills as
 * if we had never asked. A signal that was ignored when we started (nohup, a shell's background job) stays ignored. SIGPIPE is
 * ignored: write(2) says EPIPE.
 */
#ifndef ZCP_TOOLS_INTERRUPT_H
#define ZCP_TOOLS_INTERRUPT_H

#include <stdint.h>

/* Install the handlers. 0, or a negative errno value after the complaint. */
int interrupt_init(void);

/* The signal that came, or 0. */
int interrupt_signal(void);

/* Readable as soon as a signal came, for a poll of one's own: look at interrupt_signal() after it. */
int interrupt_fd(void);

/*
 * Sleep until @fd (-1: none) has one of @events or hung up, a signal came, or @timeout_ns passed (-1: never).
 * 1, -EINTR (a signal: looked at first), or 0.
 */
int interrupt_poll(int fd, short events, int64_t timeout_ns);

/*
 * End the process by the signal that came, as if it had not been caught. Nothing is closed: peers see a death,
 * not a close.
 */
_Noreturn void interrupt_die(void);

#endif
