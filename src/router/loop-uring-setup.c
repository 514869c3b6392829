/* SPDX-License-Identifier: MIT */
/*
 * loop-uring-setup.c - the ring, the provided buffers, and whether this kernel has what it takes
 *
 * See loop-uring.c.
 */

#include "router/loop-uring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

#define SQ_ENTRIES 128
#define CQ_ENTRIES 2048

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

void *uring_buffer_at(struct uring_loop *u, unsigned int id)
{
	return (char *)u->buffers + BUFFERS_OFFSET + id * BUFFER_BYTES;
}

void uring_recycle(struct uring_loop *u, unsigned int id)
{
	io_uring_buf_ring_add(u->buffer_ring, uring_buffer_at(u, id), BUFFER_BYTES, (unsigned short)id,
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
		uring_recycle(u, i);
	u->receive_template.msg_controllen = BUFFER_CONTROL;
	return 0;
}

void uring_prepare_receive(struct uring_loop *u, struct io_uring_sqe *sqe, int fd)
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
	uring_prepare_receive(u, sqe, ours);
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
			uring_recycle(u, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		more = cqe->flags & IORING_CQE_F_MORE;
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return result;
}

int uring_set_up(struct uring_loop *u)
{
	int r = open_ring(u);

	if (r >= 0)
		r = open_buffers(u);
	if (r >= 0)
		r = try_receive(u);
	return r;
}

void uring_close(struct loop *loop)
{
	struct uring_loop *u = (struct uring_loop *)loop;

	if (u->ring_open)
		io_uring_queue_exit(&u->ring);
	if (u->buffers)
		munmap(u->buffers, BUFFERS_BYTES);
	free(u->slots);
	free(u);
}
