/* SPDX-License-Identifier: MIT */
/*
 * loop-uring.c - the loop on io_uring
 *
 * Multishot accept, one multishot recvmsg per link into a shared provided-buffer ring, one sendmsg
 * at a time per link, one poll per watch and one on the signalfd, a timeout for the tick.
 *
 * user_data is kind (8 bits), slot (24 bits), generation (32 bits). A slot names a link until its
 * last completion was seen; the generation says whether a completion means the link that has the
 * slot now. `armed` has a bit for each operation the kernel still owes a completion for, the cancel
 * included: the cancel names the socket by its number, so the socket must stay open until it ran.
 *
 * Submissions are made in one place, flush_dirty(), between two batches of completions. When the
 * queue is full or the kernel is short of memory, a link just stays dirty. A multishot request that
 * ends without F_MORE (ENOBUFS, an overflow) makes its link dirty with RECEIVE wanted; by the time
 * it is re-armed the buffers of the batch are back in the ring. No message is lost by that.
 *
 * The ring itself and its buffers are in loop-uring-setup.c, the slots in loop-uring-slot.c.
 */

#include "router/loop-uring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

/* --- submissions ---------------------------------------------------------------------------------- */

static struct io_uring_sqe *get_sqe(struct uring_loop *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe)
		return sqe;
	io_uring_submit(&u->ring);
	return io_uring_get_sqe(&u->ring);
}

static void prepare(struct uring_loop *u, struct loop_link *link, unsigned int op, struct io_uring_sqe *sqe)
{
	enum kind kind = KIND_IGNORED;

	switch (op) {
	case LOOP_OP_RECEIVE:
		kind = KIND_RECEIVE;
		uring_prepare_receive(u, sqe, link->fd);
		break;
	case LOOP_OP_SEND:
		kind = KIND_SEND;
		io_uring_prep_sendmsg(sqe, link->fd, &link->send, MSG_NOSIGNAL);
		break;
	case LOOP_OP_DRAIN:
		/*
		 * Edge-triggered: one completion for the present state, then one each time the peer
		 * reads.
		 */
		kind = KIND_DRAIN;
		io_uring_prep_poll_multishot(sqe, link->fd, POLLOUT);
		break;
	case LOOP_OP_CANCEL_DRAIN:
		kind = KIND_CANCEL_DRAIN;
		io_uring_prep_cancel64(sqe, uring_pack(KIND_DRAIN, link->slot, link->generation), 0);
		break;
	case LOOP_OP_CANCEL:
		kind = KIND_CANCEL;
		io_uring_prep_cancel_fd(sqe, link->fd, IORING_ASYNC_CANCEL_ALL);
		break;
	}
	sqe->user_data = uring_pack(kind, link->slot, link->generation);
}

/*
 * A link that detaches: cancel once, and when nothing is armed any more, close. Returns an event's
 * failure.
 */
static int continue_detach(struct uring_loop *u, struct loop_link *link)
{
	bool send_given_up = link->wanted & LOOP_OP_SEND;
	int r;

	if (link->armed) {
		if (!(link->armed & LOOP_OP_CANCEL)) {
			shutdown(link->fd, SHUT_RDWR);
			link->wanted = LOOP_OP_CANCEL | (link->wanted & LOOP_OP_SEND);
		}
		return 0;
	}
	link->wanted = 0;
	loop_hang_up(link->fd);
	link->fd = -1;
	uring_release_slot(u, link->slot);
	u->loop.n_links--;
	if (send_given_up) {
		r = loop_emit(&u->loop, sent, link, -ECANCELED);
		if (r < 0)
			return r;
	}
	return loop_emit(&u->loop, detached, link);
}

static int flush_dirty(struct uring_loop *u)
{
	struct loop_link *link;

	while ((link = loop_pop_dirty(&u->loop))) {
		unsigned int todo;

		if (link->detaching) {
			int r;

			if (!link->armed) {
				r = continue_detach(u, link);
				if (r < 0)
					return r;
				continue;
			}
			continue_detach(u, link);
			todo = link->wanted & LOOP_OP_CANCEL;
		} else {
			todo = link->wanted & ~link->armed;
		}
		for (unsigned int op = 1; op <= LOOP_OP_CANCEL; op <<= 1) {
			struct io_uring_sqe *sqe;

			if (!(todo & op))
				continue;
			sqe = get_sqe(u);
			if (!sqe) {
				loop_make_dirty(&u->loop, link);
				return 0;
			}
			prepare(u, link, op, sqe);
			link->wanted &= ~op;
			link->armed |= op;
		}
	}
	return 0;
}

/*
 * Polls that are wanted, and polls of watches that are gone. A poll holds the file behind a
 * descriptor that its owner has closed long ago: it must be taken back, not forgotten. When the queue
 * is full the rest stays on the list.
 */
static void flush_to_do(struct uring_loop *u)
{
	while (u->first_to_do) {
		uint32_t index = u->first_to_do - 1;
		struct slot *slot = &u->slots[index];
		bool arm = !slot->abandoned && !slot->polling, cancel = slot->abandoned && slot->polling && !slot->cancelled;
		uint64_t poll_data = uring_pack(KIND_POLL, index, slot->generation);
		struct io_uring_sqe *sqe = NULL;

		if (arm || cancel) {
			sqe = get_sqe(u);
			if (!sqe)
				return;
		}
		u->first_to_do = slot->next;
		slot->to_do = false;
		if (arm) {
			io_uring_prep_poll_add(sqe, slot->watch->fd, POLLIN);
			sqe->user_data = poll_data;
			slot->polling = true;
		} else if (cancel) {
			io_uring_prep_poll_remove(sqe, poll_data);
			sqe->user_data = uring_pack(KIND_IGNORED, 0, 0);
			slot->cancelled = true;
		} else if (slot->abandoned && !slot->polling) {
			uring_release_slot(u, index);
		}
	}
}

static void arm_own(struct uring_loop *u)
{
	struct io_uring_sqe *sqe;

	if (!u->signal_armed && (sqe = get_sqe(u))) {
		io_uring_prep_poll_add(sqe, u->loop.signal_fd, POLLIN);
		sqe->user_data = uring_pack(KIND_SIGNAL, 0, 0);
		u->signal_armed = true;
	}
	if (!u->tick_armed && (sqe = get_sqe(u))) {
		u->tick_time.tv_sec = (int64_t)(u->loop.next_tick_ns / 1000000000u);
		u->tick_time.tv_nsec = (long long)(u->loop.next_tick_ns % 1000000000u);
		io_uring_prep_timeout(sqe, &u->tick_time, 0, IORING_TIMEOUT_ABS);
		sqe->user_data = uring_pack(KIND_TICK, 0, 0);
		u->tick_armed = true;
	}
	if (!u->accept_armed && !u->accept_paused && !u->loop.stopping && u->loop.listen_fd >= 0 && (sqe = get_sqe(u))) {
		io_uring_prep_multishot_accept(sqe, u->loop.listen_fd, NULL, NULL, SOCK_CLOEXEC);
		sqe->user_data = uring_pack(KIND_ACCEPT, 0, 0);
		u->accept_armed = true;
	}
}

/* --- completions ---------------------------------------------------------------------------------- */

static int ended(struct uring_loop *u, struct loop_link *link, int error)
{
	if (link->ended || link->detaching)
		return 0;
	link->ended = true;
	return loop_emit(&u->loop, ended, link, error);
}

static int received_buffer(struct uring_loop *u, struct loop_link *link, int length, unsigned int id)
{
	struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(uring_buffer_at(u, id), length, &u->receive_template);
	struct loop_received received;
	const char *control;

	if (!out)
		return 0;
	control = (const char *)(out + 1);
	received = (struct loop_received){
		.message = (void *)(uintptr_t)(control + BUFFER_CONTROL),
		.size = out->payloadlen,
		.flags = (int)out->flags,
		.control = control,
		.control_length = out->controllen <= BUFFER_CONTROL ? out->controllen : BUFFER_CONTROL,
	};
	if (received.size > sizeof(union wire_message))
		received.flags |= MSG_TRUNC;
	if (!link || link->ended || link->detaching || !received.size) {
		message_close_fds(received.control, received.control_length);
		return link && !received.size ? ended(u, link, 0) : 0;
	}
	return loop_emit(&u->loop, received, link, &received);
}

/*
 * ECONNRESET is not the end: a peer that closes with our messages unread raises it in front of what
 * it sent last, its GOODBYE perhaps. Reading clears it; the messages and the end of file follow.
 */
static bool is_end(int result)
{
	switch (result) {
	case -ENOBUFS:
	case -EINTR:
	case -EAGAIN:
	case -ENOMEM:
	case -ECANCELED:
	case -ECONNRESET:
		return false;
	default:
		return result <= 0;
	}
}

static int completed_receive(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
	struct slot *slot = uring_slot_of(u, cqe->user_data);
	struct loop_link *link = slot ? slot->link : NULL;
	int r = 0;

	if (cqe->flags & IORING_CQE_F_BUFFER) {
		unsigned int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

		r = received_buffer(u, link, cqe->res, id);
		uring_recycle(u, id);
		if (r < 0)
			return r;
	}
	if (!link)
		return 0;
	if (is_end(cqe->res))
		r = ended(u, link, cqe->res);
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		link->armed &= ~(unsigned int)LOOP_OP_RECEIVE;
		if (!link->ended)
			link->wanted |= LOOP_OP_RECEIVE;
		loop_make_dirty(&u->loop, link);
	}
	return r;
}

static int completed_send(struct uring_loop *u, struct loop_link *link, int result)
{
	link->armed &= ~(unsigned int)LOOP_OP_SEND;
	if (link->detaching)
		loop_make_dirty(&u->loop, link);
	return loop_emit(&u->loop, sent, link, result < 0 ? result : 0);
}

static int completed_drain(struct uring_loop *u, struct loop_link *link, const struct io_uring_cqe *cqe)
{
	bool drained = link->draining && !link->detaching && loop_is_drained(link);

	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		link->armed &= ~(unsigned int)LOOP_OP_DRAIN;
		if (link->draining && !drained)
			link->wanted |= LOOP_OP_DRAIN;
		loop_make_dirty(&u->loop, link);
	} else if (drained) {
		link->wanted |= LOOP_OP_CANCEL_DRAIN;
		loop_make_dirty(&u->loop, link);
	}
	if (!drained)
		return 0;
	link->draining = false;
	return loop_emit(&u->loop, drained, link);
}

static int completed_accept(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
	int r;

	if (!(cqe->flags & IORING_CQE_F_MORE))
		u->accept_armed = false;
	if (cqe->res >= 0)
		return loop_emit(&u->loop, accepted, cqe->res);
	if (cqe->res == -EINTR || cqe->res == -ECONNABORTED || cqe->res == -EAGAIN || cqe->res == -ECANCELED)
		return 0;
	/*
	 * EMFILE comes even when nobody is waiting: turn away who is, and try again at the next
	 * tick.
	 */
	r = loop_accept_now(&u->loop, &u->accept_paused);
	u->accept_paused = true;
	return r;
}

static int completed_tick(struct uring_loop *u)
{
	int r;

	u->tick_armed = false;
	if (u->accept_paused && !u->loop.stopping) {
		r = loop_accept_now(&u->loop, &u->accept_paused);
		if (r < 0)
			return r;
	}
	return loop_dispatch_tick(&u->loop);
}

/* A poll tells of the present state when it is armed, so arming it again makes it level-triggered. */
static int completed_poll(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
	struct slot *slot = uring_slot_of(u, cqe->user_data);
	struct loop_watch *watch;

	if (!slot)
		return 0;
	watch = slot->watch;
	slot->polling = false;
	uring_put_to_do(u, cqe->user_data >> 32 & 0xffffff);
	if (!watch || cqe->res <= 0)
		return 0;
	return loop_emit(&u->loop, readable, watch);
}

static int completed(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
	enum kind kind = (enum kind)(cqe->user_data >> 56);
	struct loop_link *link;
	struct slot *slot;

	switch (kind) {
	case KIND_ACCEPT:
		return completed_accept(u, cqe);
	case KIND_SIGNAL:
		u->signal_armed = false;
		return loop_dispatch_signals(&u->loop);
	case KIND_TICK:
		return completed_tick(u);
	case KIND_RECEIVE:
		return completed_receive(u, cqe);
	case KIND_POLL:
		return completed_poll(u, cqe);
	case KIND_IGNORED:
		return 0;
	default:
		break;
	}
	slot = uring_slot_of(u, cqe->user_data);
	link = slot ? slot->link : NULL;
	if (!link)
		return 0;
	switch (kind) {
	case KIND_SEND:
		return completed_send(u, link, cqe->res);
	case KIND_DRAIN:
		return completed_drain(u, link, cqe);
	case KIND_CANCEL_DRAIN:
		link->armed &= ~(unsigned int)LOOP_OP_CANCEL_DRAIN;
		loop_make_dirty(&u->loop, link);
		return 0;
	case KIND_CANCEL:
		link->armed &= ~(unsigned int)LOOP_OP_CANCEL;
		loop_make_dirty(&u->loop, link);
		return 0;
	default:
		return 0;
	}
}

static int uring_run(struct loop *loop)
{
	struct uring_loop *u = (struct uring_loop *)loop;

	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned int head, n = 0;
		int r;

		r = loop_dispatch_stop(loop);
		if (r >= 0)
			r = flush_dirty(u);
		if (r < 0)
			return r;
		if (loop_is_done(loop))
			return 0;
		flush_to_do(u);
		arm_own(u);
		r = io_uring_submit_and_wait(&u->ring, loop->dirty_first ? 0 : 1);
		if (r == -EAGAIN || r == -ENOMEM) {
			struct timespec nap = { .tv_nsec = 1000000 };

			nanosleep(&nap, NULL);	/* the kernel is short of memory: what is wanted stays wanted */
		} else if (r < 0 && r != -EINTR && r != -EBUSY && r != -ETIME) {
			return r;
		}
		io_uring_for_each_cqe(&u->ring, head, cqe)
		{
			r = completed(u, cqe);
			if (r < 0)
				return r;
			n++;
		}
		io_uring_cq_advance(&u->ring, n);
	}
}

static const struct loop_backend uring_backend = {
	.name = "io_uring",
	.kind = LOOP_URING,
	.run = uring_run,
	.attach = uring_attach,
	.watch = uring_watch,
	.unwatch = uring_unwatch,
	.close = uring_close,
};

int loop_uring_open(struct loop **loop)
{
	struct uring_loop *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->loop.backend = &uring_backend;
	r = uring_set_up(u);
	if (r < 0) {
		uring_close(&u->loop);
		return r;
	}
	*loop = &u->loop;
	return 0;
}
