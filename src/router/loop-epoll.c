/* SPDX-License-Identifier: MIT */
/*
 * loop-epoll.c - the loop on epoll, for machines that refuse io_uring
 *
 * The same contract with plain non-blocking calls. A link's interest is level-triggered: readable
 * always, writable while a send found the queue full. Only the wait for a peer that has to read
 * what it was sent needs edges (its socket is writable all the time, and a level would spin). While
 * that lasts a link that was not read empty goes to the dirty list with RECEIVE wanted, since no
 * edge will bring it back.
 *
 * Watches have bit 0 of their pointer set. One that is unwatched is struck out of the batch.
 *
 * Sends and detaches run from the dirty list after the whole batch of events, so that no event of
 * the batch can name a link that is gone. One pass handles what was on the list when it began.
 */

#include "router/loop-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/message.h"

#define EVENTS_PER_WAIT 64
#define RECEIVES_PER_EVENT 16	/* then it is the next link's turn */

struct epoll_loop {
	struct loop loop;
	int fd;
	bool listening, accept_paused;
	union wire_message message;
	struct epoll_event events[EVENTS_PER_WAIT];	/* the batch that is being handled */
	int n_events;
};

static int epoll_attach(struct loop *loop, struct loop_link *link)
{
	struct epoll_loop *e = (struct epoll_loop *)loop;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = link };

	link->interest = EPOLLIN;
	return epoll_ctl(e->fd, EPOLL_CTL_ADD, link->fd, &event) < 0 ? -errno : 0;
}

/*
 * Bring the kernel's interest in line with what the link waits for. Only when it changed: a MOD
 * reports what is ready now even if it is no news.
 */
static void update_interest(struct epoll_loop *e, struct loop_link *link)
{
	struct epoll_event event = { .events = 0, .data.ptr = link };

	if (!link->ended)
		event.events |= EPOLLIN;
	if (link->armed & LOOP_OP_SEND)
		event.events |= EPOLLOUT;
	else if (link->draining)
		event.events |= EPOLLOUT | EPOLLET;
	if (event.events == link->interest)
		return;
	epoll_ctl(e->fd, EPOLL_CTL_MOD, link->fd, &event);
	link->interest = event.events;
}

static int receive(struct epoll_loop *e, struct loop_link *link)
{
	for (int i = 0; i < RECEIVES_PER_EVENT && !link->ended && !link->detaching; i++) {
		union {
			struct cmsghdr header;
			char bytes[MESSAGE_CONTROL_BYTES];
		} control;
		struct iovec vector = { .iov_base = &e->message, .iov_len = sizeof(e->message) };
		struct msghdr header = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
					 .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(link->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		struct loop_received received;
		int r;

		if (n < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS))
			return 0;
		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;	/* ECONNRESET: see is_end() in loop-uring.c */
		if (n <= 0) {
			int error = n < 0 ? -errno : 0;

			if (n == 0)
				message_close_fds(&control, header.msg_controllen);
			link->ended = true;
			return loop_emit(&e->loop, ended, link, error);
		}
		received = (struct loop_received){ .message = &e->message, .size = (size_t)n, .flags = header.msg_flags,
						   .control = &control, .control_length = header.msg_controllen };
		r = loop_emit(&e->loop, received, link, &received);
		if (r < 0)
			return r;
	}
	if (link->interest & EPOLLET && !link->ended) {
		link->wanted |= LOOP_OP_RECEIVE;
		loop_make_dirty(&e->loop, link);
	}
	return 0;
}

/* Try the send that is wanted, or waited for. */
static int try_send(struct epoll_loop *e, struct loop_link *link)
{
	ssize_t n = sendmsg(link->fd, &link->send, MSG_DONTWAIT | MSG_NOSIGNAL);
	int result = n < 0 ? -errno : 0;

	link->wanted &= ~(unsigned int)LOOP_OP_SEND;
	if (result == -EAGAIN) {
		link->armed |= LOOP_OP_SEND;
		return 0;
	}
	link->armed &= ~(unsigned int)LOOP_OP_SEND;
	return loop_emit(&e->loop, sent, link, result);
}

static int finish_detach(struct epoll_loop *e, struct loop_link *link)
{
	bool send_given_up = (link->wanted | link->armed) & LOOP_OP_SEND;

	epoll_ctl(e->fd, EPOLL_CTL_DEL, link->fd, NULL);
	loop_hang_up(link->fd);
	link->fd = -1;
	link->wanted = link->armed = 0;
	e->loop.n_links--;
	if (send_given_up) {
		int r = loop_emit(&e->loop, sent, link, -ECANCELED);

		if (r < 0)
			return r;
	}
	return loop_emit(&e->loop, detached, link);
}

static int flush_one(struct epoll_loop *e, struct loop_link *link)
{
	unsigned int wanted = link->wanted;
	int r = 0;

	if (link->detaching)
		return finish_detach(e, link);
	link->wanted &= LOOP_OP_SEND;
	if (wanted & LOOP_OP_SEND)
		r = try_send(e, link);
	if (r >= 0 && wanted & LOOP_OP_RECEIVE)
		r = receive(e, link);
	if (!link->detaching)
		update_interest(e, link);
	return r;
}

static int flush_dirty(struct epoll_loop *e)
{
	const struct loop_link *last = e->loop.dirty_last;
	struct loop_link *link;

	while ((link = loop_pop_dirty(&e->loop))) {
		bool was_last = link == last;
		int r = flush_one(e, link);

		if (r < 0)
			return r;
		if (was_last)
			break;
	}
	return 0;
}

static int dispatch_link(struct epoll_loop *e, struct loop_link *link, uint32_t events)
{
	int r = 0;

	if (link->detaching)
		return 0;
	if (events & EPOLLOUT && link->armed & LOOP_OP_SEND)
		r = try_send(e, link);
	if (r >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		r = receive(e, link);
	if (r >= 0 && link->draining && loop_is_drained(link)) {
		link->draining = false;
		r = loop_emit(&e->loop, drained, link);
	}
	if (!link->detaching)
		update_interest(e, link);
	return r;
}

static void *tag(struct loop_watch *watch)
{
	return (char *)watch + 1;
}

static bool is_tagged(const void *pointer)
{
	return (uintptr_t)pointer & 1;
}

static int epoll_watch(struct loop *loop, struct loop_watch *watch)
{
	struct epoll_loop *e = (struct epoll_loop *)loop;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = tag(watch) };

	return epoll_ctl(e->fd, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

static void epoll_unwatch(struct loop *loop, struct loop_watch *watch)
{
	struct epoll_loop *e = (struct epoll_loop *)loop;

	epoll_ctl(e->fd, EPOLL_CTL_DEL, watch->fd, NULL);
	for (int i = 0; i < e->n_events; i++)
		if (e->events[i].data.ptr == tag(watch))
			e->events[i].data.ptr = NULL;
}

static int watch_own(struct epoll_loop *e, int fd, bool on)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &e->loop };

	if (fd == e->loop.signal_fd)
		event.data.ptr = &e->loop.signal_fd;
	return epoll_ctl(e->fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) < 0 ? -errno : 0;
}

/*
 * Listen or not, as the moment demands: not while out of descriptors (until the next tick), not
 * when stopping.
 */
static int update_listening(struct epoll_loop *e)
{
	bool want = e->loop.listen_fd >= 0 && !e->accept_paused && !e->loop.stopping;
	int r = 0;

	if (want != e->listening) {
		r = watch_own(e, e->loop.listen_fd, want);
		if (r >= 0)
			e->listening = want;
	}
	return r;
}

static int wait_ms(const struct epoll_loop *e)
{
	uint64_t now = clock_now_ns();

	if (e->loop.dirty_first || now >= e->loop.next_tick_ns)
		return 0;
	return (int)((e->loop.next_tick_ns - now + 999999) / 1000000);
}

static int dispatch(struct epoll_loop *e, const struct epoll_event *event)
{
	if (event->data.ptr == &e->loop.signal_fd)
		return loop_dispatch_signals(&e->loop);
	if (event->data.ptr == &e->loop)
		return loop_accept_now(&e->loop, &e->accept_paused);
	if (!event->data.ptr)
		return 0;
	if (is_tagged(event->data.ptr))
		return loop_emit(&e->loop, readable, (struct loop_watch *)((char *)event->data.ptr - 1));
	return dispatch_link(e, event->data.ptr, event->events);
}

static int epoll_run(struct loop *loop)
{
	struct epoll_loop *e = (struct epoll_loop *)loop;
	int r = watch_own(e, loop->signal_fd, true);

	while (r >= 0) {
		r = loop_dispatch_stop(loop);
		if (r >= 0)
			r = flush_dirty(e);
		if (r < 0 || loop_is_done(loop))
			break;
		r = update_listening(e);
		if (r < 0)
			break;
		e->n_events = epoll_wait(e->fd, e->events, EVENTS_PER_WAIT, wait_ms(e));
		if (e->n_events < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < e->n_events && r >= 0; i++)
			r = dispatch(e, &e->events[i]);
		e->n_events = 0;
		if (r >= 0 && clock_now_ns() >= loop->next_tick_ns) {
			e->accept_paused = false;
			r = loop_dispatch_tick(loop);
		}
	}
	return r;
}

static void epoll_close(struct loop *loop)
{
	struct epoll_loop *e = (struct epoll_loop *)loop;

	fd_close(e->fd);
	free(e);
}

static const struct loop_backend epoll_backend = {
	.name = "epoll",
	.kind = LOOP_EPOLL,
	.run = epoll_run,
	.attach = epoll_attach,
	.watch = epoll_watch,
	.unwatch = epoll_unwatch,
	.close = epoll_close,
};

int loop_epoll_open(struct loop **loop)
{
	struct epoll_loop *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->loop.backend = &epoll_backend;
	e->fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->fd < 0) {
		int r = -errno;

		free(e);
		return r;
	}
	*loop = &e->loop;
	return 0;
}
