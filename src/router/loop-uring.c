/* SPDX-License-Identifier: MIT */
/*
 * loop-uring.c - the loop on io_uring
 *
 * Multishot accept, one multishot recvmsg per link into a shared provided-buffer ring, one sendmsg
 * at a time per link, a poll on the signalfd, a timeout for the tick.
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
 */

#include "router/loop-internal.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/message.h"

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

#define SQ_ENTRIES 128
#define CQ_ENTRIES 2048
#define N_BUFFERS 256		/* a power of two */
#define BUFFER_GROUP 1
#define BUFFER_CONTROL ((MESSAGE_CONTROL_BYTES + 15) & ~15ul)
/* recvmsg_out, control, payload; a multiple of 64 so that payloads are aligned. */
#define BUFFER_BYTES ((sizeof(struct io_uring_recvmsg_out) + BUFFER_CONTROL + sizeof(union wire_message) + 63) & ~63ul)
#define BUFFERS_OFFSET 8192	/* behind the ring of buffer descriptors, which must be page-aligned */
#define BUFFERS_BYTES (BUFFERS_OFFSET + N_BUFFERS * BUFFER_BYTES)
static_assert(N_BUFFERS * sizeof(struct io_uring_buf) <= BUFFERS_OFFSET, "the ring fits in front of its buffers");

enum kind {
	KIND_IGNORED,
	KIND_ACCEPT,
	KIND_SIGNAL,
	KIND_TICK,
	KIND_RECEIVE,
	KIND_SEND,
	KIND_DRAIN,
	KIND_CANCEL_DRAIN,
	KIND_CANCEL,
};

struct slot {
	struct loop_link *link;
	uint32_t generation;
	uint32_t next_free;	/* index + 1 */
};

struct uring_loop {
	struct loop loop;
	struct io_uring ring;
	bool ring_open;
	void *buffers;
	struct io_uring_buf_ring *buffer_ring;
	struct msghdr receive_template;
	struct slot *slots;
	uint32_t n_slots, first_free;
	bool accept_armed, accept_paused, signal_armed, tick_armed;
	struct __kernel_timespec tick_time;
};

static uint64_t pack(enum kind kind, uint32_t slot, uint32_t generation)
{
	return (uint64_t)kind << 56 | (uint64_t)(slot & 0xffffff) << 32 | generation;
}

/* --- set-up --------------------------------------------------------------------------------------- */

static int open_ring(struct uring_loop *u)
{
	/* Fewer wake-ups where the kernel is new enough, plain otherwise. */
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	int r = -EINVAL;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params params = { .flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
						  .cq_entries = CQ_ENTRIES };

		r = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &params);
		if (r == 0) {
			u->ring_open = true;
			if (!(params.features & IORING_FEAT_NODROP) || !(params.features & IORING_FEAT_FAST_POLL))
				return -EINVAL;
			return 0;
		}
		if (r != -EINVAL)
			return r;
	}
	return r;
}

static void *buffer_at(struct uring_loop *u, unsigned int id)
{
	return (char *)u->buffers + BUFFERS_OFFSET + id * BUFFER_BYTES;
}

static void recycle(struct uring_loop *u, unsigned int id)
{
	io_uring_buf_ring_add(u->buffer_ring, buffer_at(u, id), BUFFER_BYTES, (unsigned short)id,
			      io_uring_buf_ring_mask(N_BUFFERS), 0);
	io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static int open_buffers(struct uring_loop *u)
{
	struct io_uring_buf_reg registration = { .ring_entries = N_BUFFERS, .bgid = BUFFER_GROUP };
	int r;

	u->buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (u->buffers == MAP_FAILED) {
		u->buffers = NULL;
		return -ENOMEM;
	}
	u->buffer_ring = u->buffers;
	registration.ring_addr = (uintptr_t)u->buffers;
	r = io_uring_register_buf_ring(&u->ring, &registration, 0);
	if (r < 0)
		return r;
	io_uring_buf_ring_init(u->buffer_ring);
	for (unsigned int i = 0; i < N_BUFFERS; i++)
		recycle(u, i);
	u->receive_template.msg_controllen = BUFFER_CONTROL;
	return 0;
}

static void prepare_receive(struct uring_loop *u, struct io_uring_sqe *sqe, int fd)
{
	io_uring_prep_recvmsg_multishot(sqe, fd, &u->receive_template, MSG_CMSG_CLOEXEC);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
}

/*
 * Kernels before 6.0 take the buffer ring and then refuse the multishot receive: try one before
 * relying on it.
 */
static int try_receive(struct uring_loop *u)
{
	_cleanup_fd_ int ours = -1, theirs = -1;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	bool more = true;
	int fds[2], r, result = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	if (send(theirs, "zcp", 3, MSG_DONTWAIT) < 0)
		return -errno;
	shutdown(theirs, SHUT_RDWR);

	sqe = io_uring_get_sqe(&u->ring);
	if (!sqe)
		return -EBUSY;
	prepare_receive(u, sqe, ours);
	r = io_uring_submit(&u->ring);
	if (r < 0)
		return r;
	while (more) {
		r = io_uring_wait_cqe(&u->ring, &cqe);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		if (cqe->res < 0)
			result = cqe->res;
		if (cqe->flags & IORING_CQE_F_BUFFER)
			recycle(u, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		more = cqe->flags & IORING_CQE_F_MORE;
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return result;
}

static void uring_close(struct loop *loop)
{
	struct uring_loop *u = (struct uring_loop *)loop;

	if (u->ring_open)
		io_uring_queue_exit(&u->ring);
	if (u->buffers)
		munmap(u->buffers, BUFFERS_BYTES);
	free(u->slots);
	free(u);
}

/* --- slots ---------------------------------------------------------------------------------------- */

static int grow_slots(struct uring_loop *u)
{
	uint32_t n = u->n_slots ? u->n_slots * 2 : 64;
	struct slot *slots;

	if (n > 1u << 24)
		return -ENOMEM;
	slots = realloc(u->slots, n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	u->slots = slots;
	for (uint32_t i = n; i > u->n_slots; i--) {
		slots[i - 1] = (struct slot){ .generation = 1, .next_free = u->first_free };
		u->first_free = i;
	}
	u->n_slots = n;
	return 0;
}

static int uring_attach(struct loop *loop, struct loop_link *link)
{
	struct uring_loop *u = (struct uring_loop *)loop;
	struct slot *slot;
	int r;

	if (!u->first_free) {
		r = grow_slots(u);
		if (r < 0)
			return r;
	}
	link->slot = u->first_free - 1;
	slot = &u->slots[link->slot];
	u->first_free = slot->next_free;
	slot->link = link;
	link->generation = slot->generation;
	return 0;
}

static void release_slot(struct uring_loop *u, struct loop_link *link)
{
	struct slot *slot = &u->slots[link->slot];

	slot->link = NULL;
	slot->generation++;
	slot->next_free = u->first_free;
	u->first_free = link->slot + 1;
}

static struct loop_link *link_of(struct uring_loop *u, uint64_t user_data)
{
	uint32_t index = user_data >> 32 & 0xffffff;

	if (index >= u->n_slots || u->slots[index].generation != (uint32_t)user_data)
		return NULL;
	return u->slots[index].link;
}

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
		prepare_receive(u, sqe, link->fd);
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
		io_uring_prep_cancel64(sqe, pack(KIND_DRAIN, link->slot, link->generation), 0);
		break;
	case LOOP_OP_CANCEL:
		kind = KIND_CANCEL;
		io_uring_prep_cancel_fd(sqe, link->fd, IORING_ASYNC_CANCEL_ALL);
		break;
	}
	sqe->user_data = pack(kind, link->slot, link->generation);
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
	release_slot(u, link);
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

static void arm_own(struct uring_loop *u)
{
	struct io_uring_sqe *sqe;

	if (!u->signal_armed && (sqe = get_sqe(u))) {
		io_uring_prep_poll_add(sqe, u->loop.signal_fd, POLLIN);
		sqe->user_data = pack(KIND_SIGNAL, 0, 0);
		u->signal_armed = true;
	}
	if (!u->tick_armed && (sqe = get_sqe(u))) {
		u->tick_time.tv_sec = (int64_t)(u->loop.next_tick_ns / 1000000000u);
		u->tick_time.tv_nsec = (long long)(u->loop.next_tick_ns % 1000000000u);
		io_uring_prep_timeout(sqe, &u->tick_time, 0, IORING_TIMEOUT_ABS);
		sqe->user_data = pack(KIND_TICK, 0, 0);
		u->tick_armed = true;
	}
	if (!u->accept_armed && !u->accept_paused && !u->loop.stopping && u->loop.listen_fd >= 0 && (sqe = get_sqe(u))) {
		io_uring_prep_multishot_accept(sqe, u->loop.listen_fd, NULL, NULL, SOCK_CLOEXEC);
		sqe->user_data = pack(KIND_ACCEPT, 0, 0);
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
	struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(buffer_at(u, id), length, &u->receive_template);
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
	struct loop_link *link = link_of(u, cqe->user_data);
	int r = 0;

	if (cqe->flags & IORING_CQE_F_BUFFER) {
		unsigned int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

		r = received_buffer(u, link, cqe->res, id);
		recycle(u, id);
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

static int completed(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
	enum kind kind = (enum kind)(cqe->user_data >> 56);
	struct loop_link *link;

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
	case KIND_IGNORED:
		return 0;
	default:
		break;
	}
	link = link_of(u, cqe->user_data);
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
	.close = uring_close,
};

int loop_uring_open(struct loop **loop)
{
	struct uring_loop *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->loop.backend = &uring_backend;
	r = open_ring(u);
	if (r >= 0)
		r = open_buffers(u);
	if (r >= 0)
		r = try_receive(u);
	if (r < 0) {
		uring_close(&u->loop);
		return r;
	}
	*loop = &u->loop;
	return 0;
}
