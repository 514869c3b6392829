/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the half of the loop that does not depend on the backend
 *
 * See loop.h for how to think about it. Here: choosing a backend and telling the user the cure when
 * it is not the wanted one, signals, the tick's arithmetic, and accepting when the process is out
 * of descriptors.
 */

#include "router/loop-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "router/log.h"

#define STOP_PATIENCE_NS 2000000000ull

/* One phrase: why io_uring is not to be had, and what to do about it. */
static const char *uring_cure(int error)
{
	FILE *file;
	int disabled = 0;

	switch (error) {
	case -EPERM:
	case -EACCES:
		file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
		if (file) {
			if (fscanf(file, "%d", &disabled) != 1)
				disabled = 0;
			fclose(file);
		}
		if (disabled)
			return "the sysctl kernel.io_uring_disabled forbids it; set it to 0";
		return "a seccomp profile or security module forbids it; allow io_uring_setup, io_uring_enter and "
		       "io_uring_register (docker: --security-opt seccomp=PROFILE)";
	case -ENOMEM:
		return "RLIMIT_MEMLOCK is too low; raise it (ulimit -l 1024, or LimitMEMLOCK=1M in the unit)";
	case -ENOSYS:
		return "this kernel was built without it, or a seccomp profile hides it; allow io_uring_setup";
	case -EMFILE:
	case -ENFILE:
		return "there is no free descriptor; raise RLIMIT_NOFILE";
	default:
		return "this kernel's is too old; multishot receive needs Linux 6.0";
	}
}

static int open_backend(struct loop **loop, enum loop_kind kind)
{
	int r;

	if (kind == LOOP_EPOLL)
		return loop_epoll_open(loop);
	r = loop_uring_open(loop);
	if (r >= 0)
		return r;
	if (kind == LOOP_URING) {
		log_error("no io_uring (%s): %s", strerror(-r), uring_cure(r));
		return r;
	}
	log_error("warning: no io_uring (%s), running on epoll instead: %s", strerror(-r), uring_cure(r));
	return loop_epoll_open(loop);
}

static int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int loop_open(struct loop **loopp, enum loop_kind kind, uint64_t tick_ns, const struct loop_events *events, void *context)
{
	_cleanup_fd_ int signal_fd = -1;
	struct loop *loop;
	int r;

	signal_fd = open_signals();
	if (signal_fd < 0) {
		log_error("cannot watch for signals: %s", strerror(-signal_fd));
		return signal_fd;
	}
	r = open_backend(&loop, kind);
	if (r < 0) {
		log_error("cannot set up the event loop: %s", strerror(-r));
		return r;
	}
	loop->events = events;
	loop->context = context;
	loop->listen_fd = -1;
	loop->signal_fd = fd_take(&signal_fd);
	loop->spare_fd = open_spare();
	loop->tick_ns = tick_ns;
	loop->next_tick_ns = clock_now_ns() + tick_ns;
	*loopp = loop;
	return 0;
}

struct loop *loop_close(struct loop *loop)
{
	if (!loop)
		return NULL;
	fd_close(loop->signal_fd);
	fd_close(loop->spare_fd);
	loop->backend->close(loop);
	return NULL;
}

enum loop_kind loop_kind(const struct loop *loop)
{
	return loop->backend->kind;
}

const char *loop_name(const struct loop *loop)
{
	return loop->backend->name;
}

void loop_listen(struct loop *loop, int fd)
{
	loop->listen_fd = fd;
}

int loop_run(struct loop *loop)
{
	return loop->backend->run(loop);
}

void loop_stop(struct loop *loop)
{
	if (loop->stopping)
		return;
	loop->stopping = true;
	loop->stop_deadline_ns = clock_now_ns() + STOP_PATIENCE_NS;
}

bool loop_is_stopping(const struct loop *loop)
{
	return loop->stopping;
}

int loop_dispatch_stop(struct loop *loop)
{
	if (!loop->stopping || loop->stop_reported)
		return 0;
	loop->stop_reported = true;
	return loop_emit(loop, stopping);
}

bool loop_is_done(const struct loop *loop)
{
	return loop->stopping && (!loop->n_links || clock_now_ns() > loop->stop_deadline_ns);
}

/* --- links -------------------------------------------------------------------------------------- */

void loop_make_dirty(struct loop *loop, struct loop_link *link)
{
	if (link->dirty)
		return;
	link->dirty = true;
	link->dirty_next = NULL;
	if (loop->dirty_last)
		loop->dirty_last->dirty_next = link;
	else
		loop->dirty_first = link;
	loop->dirty_last = link;
}

struct loop_link *loop_pop_dirty(struct loop *loop)
{
	struct loop_link *link = loop->dirty_first;

	if (!link)
		return NULL;
	loop->dirty_first = link->dirty_next;
	if (!loop->dirty_first)
		loop->dirty_last = NULL;
	link->dirty = false;
	return link;
}

int loop_attach(struct loop *loop, struct loop_link *link, int fd)
{
	int r;

	memset(link, 0, sizeof(*link));
	link->fd = fd;
	r = loop->backend->attach(loop, link);
	if (r < 0) {
		link->fd = -1;
		return r;
	}
	loop->n_links++;
	link->wanted = LOOP_OP_RECEIVE;
	loop_make_dirty(loop, link);
	return 0;
}

void loop_send(struct loop *loop, struct loop_link *link, const struct wire_header *message, const int *fds, unsigned int n_fds)
{
	assert(!((link->wanted | link->armed) & LOOP_OP_SEND));
	assert(n_fds <= WIRE_FDS_MAX && !link->detaching);

	link->send_vector = (struct iovec){ .iov_base = (void *)(uintptr_t)message, .iov_len = message->size };
	link->send = (struct msghdr){ .msg_iov = &link->send_vector, .msg_iovlen = 1 };
	if (n_fds) {
		struct cmsghdr *header = (struct cmsghdr *)link->send_control;

		memset(link->send_control, 0, sizeof(link->send_control));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
		link->send.msg_control = link->send_control;
		link->send.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	}
	link->wanted |= LOOP_OP_SEND;
	loop_make_dirty(loop, link);
}

/*
 * The kernel counts the bytes of unread messages, off by one in some versions; a message is
 * hundreds.
 */
bool loop_is_drained(const struct loop_link *link)
{
	int n_bytes;

	return ioctl(link->fd, SIOCOUTQ, &n_bytes) < 0 || n_bytes <= 1;
}

void loop_await_drained(struct loop *loop, struct loop_link *link)
{
	if (link->draining || link->detaching)
		return;
	link->draining = true;
	link->wanted |= LOOP_OP_DRAIN;
	loop_make_dirty(loop, link);
}

void loop_shut(struct loop_link *link)
{
	shutdown(link->fd, SHUT_RDWR);
}

void loop_detach(struct loop *loop, struct loop_link *link)
{
	if (link->detaching)
		return;
	link->detaching = true;
	link->draining = false;
	loop_make_dirty(loop, link);
}

int loop_watch(struct loop *loop, struct loop_watch *watch, int fd)
{
	int r;

	*watch = (struct loop_watch){ .fd = fd };
	r = loop->backend->watch(loop, watch);
	if (r < 0)
		watch->fd = -1;
	return r;
}

void loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
	if (watch->fd < 0)
		return;
	loop->backend->unwatch(loop, watch);
	watch->fd = -1;
}

void loop_hang_up(int fd)
{
	char byte;

	shutdown(fd, SHUT_RDWR);
	for (int i = 0; i < 4096; i++) {
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC);

		if (n <= 0)
			break;
	}
	fd_close(fd);
}

/* --- signals, tick, accept ------------------------------------------------------------------------ */

int loop_dispatch_signals(struct loop *loop)
{
	struct signalfd_siginfo info;

	while (read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int r = loop_emit(loop, signalled, (int)info.ssi_signo);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Deadlines keep their rhythm; a loop that was late by more than a tick starts a new one. */
int loop_dispatch_tick(struct loop *loop)
{
	uint64_t now = clock_now_ns();

	if (now < loop->next_tick_ns)
		return 0;
	loop->next_tick_ns += loop->tick_ns;
	if (loop->next_tick_ns <= now)
		loop->next_tick_ns = now + loop->tick_ns;
	return loop_emit(loop, tick, now);
}

/*
 * Turn one connection away with the descriptor that is kept for that. False: nothing there, or no
 * spare.
 */
static bool shed_one(struct loop *loop)
{
	int fd;

	if (loop->spare_fd < 0)
		loop->spare_fd = open_spare();
	if (loop->spare_fd < 0)
		return false;
	loop->spare_fd = fd_close(loop->spare_fd);
	fd = accept4(loop->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		loop->events->shed(loop->context, fd);
		loop_hang_up(fd);
	}
	loop->spare_fd = open_spare();
	return fd >= 0;
}

/*
 * io_uring wants the listening socket blocking (a non-blocking one makes its accept fail instead of
 * wait), so it is switched for the moment; nobody else uses it.
 */
int loop_accept_now(struct loop *loop, bool *exhausted)
{
	int r = 0;

	*exhausted = false;
	fcntl(loop->listen_fd, F_SETFL, O_RDWR | O_NONBLOCK);
	for (int i = 0; i < 64 && !loop->stopping; i++) {
		int fd = accept4(loop->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			r = loop_emit(loop, accepted, fd);
			if (r < 0)
				break;
			continue;
		}
		if (errno == EMFILE || errno == ENFILE) {
			*exhausted = true;
			if (shed_one(loop))
				continue;
		} else if (errno == ENOMEM || errno == ENOBUFS) {
			*exhausted = true;
		} else if (errno == EINTR || errno == ECONNABORTED) {
			continue;
		}
		break;
	}
	fcntl(loop->listen_fd, F_SETFL, O_RDWR);
	return r;
}
