/* SPDX-License-Identifier: MIT */
/*
 * interrupt.c - see interrupt.h
 */
#include "tools/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/tool.h"

#define AGAIN_NS 250000000u	/* timeout(1) sends its signal twice, to us and to our group */

static volatile sig_atomic_t signal_seen;
static uint64_t signal_ns;
static int wake_fd = -1;

static void on_signal(int signal_number)
{
	const uint64_t one = 1;
	int saved = errno;

	/* who presses Ctrl-C twice means it */
	if (signal_seen == signal_number && clock_now_ns() - signal_ns > AGAIN_NS) {
		signal(signal_number, SIG_DFL);
		raise(signal_number);	/* comes when this handler returns */
		return;
	}
	if (!signal_seen)
		signal_ns = clock_now_ns();
	signal_seen = signal_number;
	/* Cannot fail: the counter is far from full. */
	if (write(wake_fd, &one, sizeof(one)) < 0) {
	}
	errno = saved;
}

int interrupt_init(void)
{
	/* no SA_RESTART: a blocked write(2) has to return */
	struct sigaction action = { .sa_handler = on_signal };
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old;

	/* one handler at a time: signal_ns is written by one only */
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&action.sa_mask, signals[i]);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0) {
		int r = -errno;

		tool_fail("eventfd: %s", strerror(-r));
		return r;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int interrupt_signal(void)
{
	return signal_seen;
}

int interrupt_fd(void)
{
	return wake_fd;
}

int interrupt_poll(int fd, short events, int64_t timeout_ns)
{
	struct pollfd fds[] = {
		{ .fd = wake_fd, .events = POLLIN },
		{ .fd = fd, .events = events },
	};
	struct timespec timeout = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	int n = ppoll(fds, 2, timeout_ns < 0 ? NULL : &timeout, NULL);

	if (signal_seen)
		return -EINTR;
	return n > 0 && fds[1].revents ? 1 : 0;
}

void interrupt_die(void)
{
	int signal_number = signal_seen;
	sigset_t set;

	signal(signal_number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signal_number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signal_number);
	_exit(128 + signal_number);
}
