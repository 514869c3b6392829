/* SPDX-License-Identifier: MIT */
/*
 * The part of inject.c for programs that use liburing, whose system calls are inline in liburing.so: the library's
 * functions fail, or an operation that was submitted completes with an error.
 *
 * For the latter the entry in the submission queue is turned into a NOP. Its completion has the right user_data
 * and arrives where the operation's would; its result is overwritten before the program sees it. So the operation does not
 * happen, and a multishot one ends, as with an error of the kernel.
 */
#include "inject.h"

#include <dlfcn.h>
#include <liburing.h>
#include <string.h>

static struct {
	bool pending;
	uint64_t user_data;
	int result;
} patch;

static enum inject_call kind_of(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_SENDMSG:
		return CALL_SQE_SEND;
	case IORING_OP_RECVMSG:
		return CALL_SQE_RECEIVE;
	case IORING_OP_ACCEPT:
		return CALL_SQE_ACCEPT;
	case IORING_OP_POLL_ADD:
		return CALL_SQE_POLL;
	case IORING_OP_TIMEOUT:
		return CALL_SQE_TIMEOUT;
	case IORING_OP_ASYNC_CANCEL:
		return CALL_SQE_CANCEL;
	default:
		return CALL_NONE;
	}
}

static void fail_operations(struct io_uring *ring)
{
	const struct io_uring_sq *sq = &ring->sq;

	for (unsigned int i = sq->sqe_head; i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & sq->ring_mask];
		enum inject_call kind = kind_of(sqe);
		int error;

		if (kind == CALL_NONE || patch.pending || !inject_fails(kind, &error))
			continue;
		patch.pending = true;
		patch.user_data = sqe->user_data;
		patch.result = -error;
		/* newer io_uring_prep_nop() leave the flags of the operation before in place, and the kernel refuses a NOP with some */
		*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .fd = -1, .user_data = patch.user_data };
	}
}

static void patch_result(struct io_uring *ring)
{
	const struct io_uring_cq *cq = &ring->cq;
	unsigned int tail = io_uring_smp_load_acquire(cq->ktail);

	for (unsigned int i = *cq->khead; patch.pending && i != tail; i++) {
		struct io_uring_cqe *cqe = &cq->cqes[i & cq->ring_mask];

		if (cqe->user_data != patch.user_data || cqe->res)
			continue;
		cqe->res = patch.result;
		patch.pending = false;
	}
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

#pragma GCC visibility push(default)

int io_uring_submit(struct io_uring *ring)
{
	static int (*real)(struct io_uring *);
	int error, r;

	if (!real)
		*(void **)&real = next("io_uring_submit");
	if (inject_fails(CALL_URING_ENTER, &error))
		return -error;
	fail_operations(ring);
	r = real(ring);
	patch_result(ring);
	return r;
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned int n)
{
	static int (*real)(struct io_uring *, unsigned int);
	int error, r;

	if (!real)
		*(void **)&real = next("io_uring_submit_and_wait");
	if (inject_fails(CALL_URING_ENTER, &error))
		return -error;
	fail_operations(ring);
	r = real(ring, n);
	patch_result(ring);
	return r;
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int n, struct __kernel_timespec *timeout,
				     sigset_t *mask)
{
	static int (*real)(struct io_uring *, struct io_uring_cqe **, unsigned int, struct __kernel_timespec *, sigset_t *);
	int error, r;

	if (!real)
		*(void **)&real = next("io_uring_submit_and_wait_timeout");
	if (inject_fails(CALL_URING_ENTER, &error))
		return -error;
	fail_operations(ring);
	r = real(ring, cqe, n, timeout, mask);
	patch_result(ring);
	return r;
}

int __io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int submit, unsigned int n, sigset_t *mask)
{
	static int (*real)(struct io_uring *, struct io_uring_cqe **, unsigned int, unsigned int, sigset_t *);
	int error;

	if (!real)
		*(void **)&real = next("__io_uring_get_cqe");
	return inject_fails(CALL_URING_WAIT, &error) ? -error : real(ring, cqe, submit, n, mask);
}

int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring, struct io_uring_params *params)
{
	static int (*real)(unsigned int, struct io_uring *, struct io_uring_params *);
	int error;

	if (!real)
		*(void **)&real = next("io_uring_queue_init_params");
	return inject_fails(CALL_URING_SETUP, &error) ? -error : real(entries, ring, params);
}

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *registration, unsigned int flags)
{
	static int (*real)(struct io_uring *, struct io_uring_buf_reg *, unsigned int);
	int error;

	if (!real)
		*(void **)&real = next("io_uring_register_buf_ring");
	return inject_fails(CALL_URING_SETUP, &error) ? -error : real(ring, registration, flags);
}

#pragma GCC visibility pop
