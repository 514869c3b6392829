/* SPDX-License-Identifier: MIT */
/*
 * waitset-fd.c - members of a wait set that are not zcp's: descriptors of the caller's, and timers
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "lib/error.h"
#include "lib/fork.h"
#include "lib/waitset.h"

/* What poll(2) knows; not the bits that make epoll behave differently. */
#define EVENTS_ALLOWED ((uint32_t)(POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLERR | POLLHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND))
static_assert(POLLIN == EPOLLIN && POLLPRI == EPOLLPRI && POLLOUT == EPOLLOUT && POLLRDHUP == EPOLLRDHUP && POLLERR == EPOLLERR &&
	      POLLHUP == EPOLLHUP, "poll's events are epoll's");

static uint32_t fd_fired(struct waitset_entry *e, uint32_t events)
{
	(void)e;
	return events;
}

static const struct waitset_operations fd_operations = { .kind = ZCP_READY_FD, .name = "descriptor", .fired = fd_fired };

int zcp_waitset_add_fd(struct zcp_waitset *waitset, int fd, uint32_t events, void *user)
{
	struct waitset_entry *e;

	if (forked_since(waitset->fork_generation))
		return error_forked();
	if (events & ~EVENTS_ALLOWED)
		return error_set(-EINVAL, "0x%x are not events of poll(2), which are all that a wait set knows", events & ~EVENTS_ALLOWED);
	return waitset_enter(waitset, &fd_operations, fd, events, NULL, user, &e);
}

int zcp_waitset_remove_fd(struct zcp_waitset *waitset, int fd)
{
	struct waitset_entry *e;

	if (forked_since(waitset->fork_generation))
		return error_forked();
	e = waitset_find_fd(waitset, fd);
	if (!e || e->operations != &fd_operations)
		return error_set(-ENOENT, "descriptor %d was not added to this wait set", fd);
	waitset_remove(e);
	return 0;
}

static uint32_t timer_fired(struct waitset_entry *e, uint32_t events)
{
	(void)events;
	return read(e->fd, &e->expirations, sizeof(e->expirations)) == (ssize_t)sizeof(e->expirations) ? POLLIN : 0;
}

static const struct waitset_operations timer_operations = { .kind = ZCP_READY_TIMER, .name = "timer", .fired = timer_fired };

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
}

int zcp_waitset_add_timer(struct zcp_waitset *waitset, int64_t first_ns, int64_t interval_ns, void *user)
{
	/* a first time of 0 would be none at all */
	struct itimerspec when = { .it_value = timespec_of(first_ns ? first_ns : 1), .it_interval = timespec_of(interval_ns) };
	_cleanup_fd_ int fd = -1;
	struct waitset_entry *e;
	int r;

	if (forked_since(waitset->fork_generation))
		return error_forked();
	if (first_ns < 0 || interval_ns < 0)
		return error_note(-EINVAL, "a timer's times are not negative: from now, and between two expirations (0: only one)");
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, 0, &when, NULL) < 0)
		return error_system(-errno, "cannot make a timer");
	r = waitset_enter(waitset, &timer_operations, fd, EPOLLIN, NULL, user, &e);
	if (r < 0)
		return r;
	fd_take(&fd);
	e->once = !interval_ns;
	return e->id;
}

int zcp_waitset_remove_timer(struct zcp_waitset *waitset, int timer)
{
	struct waitset_entry *e;

	if (forked_since(waitset->fork_generation))
		return error_forked();
	e = waitset_find(waitset, timer);
	if (!e || e->operations != &timer_operations)
		return error_set(-ENOENT, "no timer with the id %d is in this wait set", timer);
	waitset_remove(e);
	return 0;
}
