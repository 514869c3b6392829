/* SPDX-License-Identifier: MIT */
/*
 * What the router's loop takes from io_uring: multishot accept and recvmsg with a provided-buffer ring,
 * the end of a multishot request on ENOBUFS without losing a message or a descriptor, and a socket that
 * does not close while a request is armed on it.
 *
 * Completions are waited for with a deadline, never for ever. "Nothing happens" cannot be waited for: such a
 * test makes something later happen and looks at the order.
 */

#include "harness.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEADLINE_MS   10000
#define N_ENTRIES     16
#define N_BUFFERS     4U /* few, so that running out of them is easy */
#define BUFFER_BYTES  256U
#define BUFFER_GROUP  7
#define CONTROL_BYTES CMSG_SPACE(sizeof(int))

enum { ACCEPT = 1, RECEIVE, SEND, CANCEL };

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static unsigned char buffers[N_BUFFERS][BUFFER_BYTES];

/* The template of multishot recvmsg: only the lengths count. */
static struct msghdr receive_template = { .msg_controllen = CONTROL_BYTES };

static size_t buffer_ring_bytes(void)
{
	return N_BUFFERS * sizeof(struct io_uring_buf);
}

static void give_buffer(unsigned int id)
{
	io_uring_buf_ring_add(buffer_ring, buffers[id], BUFFER_BYTES, (unsigned short)id,
			      io_uring_buf_ring_mask(N_BUFFERS), 0);
	io_uring_buf_ring_advance(buffer_ring, 1);
}

static void setup(void)
{
	ck_assert_int_eq(io_uring_queue_init(N_ENTRIES, &ring, 0), 0);
}

static void setup_buffers(void)
{
	struct io_uring_buf_reg registration;

	setup();
	buffer_ring = mmap(NULL, buffer_ring_bytes(), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(buffer_ring, MAP_FAILED);
	registration = (struct io_uring_buf_reg){
		.ring_addr = (uintptr_t)buffer_ring,
		.ring_entries = N_BUFFERS,
		.bgid = BUFFER_GROUP,
	};
	ck_assert_int_eq(io_uring_register_buf_ring(&ring, &registration, 0), 0);
	io_uring_buf_ring_init(buffer_ring);
	for (unsigned int id = 0; id < N_BUFFERS; id++)
		give_buffer(id);
}

static void teardown(void)
{
	io_uring_queue_exit(&ring);
}

static void teardown_buffers(void)
{
	ck_assert_int_eq(io_uring_unregister_buf_ring(&ring, BUFFER_GROUP), 0);
	teardown();
	munmap(buffer_ring, buffer_ring_bytes());
}

static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	ck_assert_ptr_nonnull(sqe);
	return sqe;
}

static void submit(struct io_uring_sqe *sqe, uint64_t user_data)
{
	io_uring_sqe_set_data64(sqe, user_data);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
}

/* A copy, so that the entry goes back to the ring at once. */
struct completion {
	uint64_t user_data;
	int res;
	uint32_t flags;
};

static struct completion wait_any_completion(void)
{
	struct __kernel_timespec timeout = { .tv_sec = DEADLINE_MS / 1000 };
	struct completion completion;
	struct io_uring_cqe *cqe;
	int r = io_uring_wait_cqe_timeout(&ring, &cqe, &timeout);

	ck_assert_msg(r == 0, "no completion: %s", strerror(-r));
	completion = (struct completion){ cqe->user_data, cqe->res, cqe->flags };
	io_uring_cqe_seen(&ring, cqe);
	return completion;
}

/* The next completion, which has to be of @user_data. */
static struct completion wait_completion(uint64_t user_data)
{
	struct completion completion = wait_any_completion();

	ck_assert_uint_eq(completion.user_data, user_data);
	return completion;
}

/*
 * Ends the one armed request, which @sqe names. The completions of the cancel and of the request come in any
 * order, and the request may have ended by itself for want of a buffer.
 */
static void cancel(struct io_uring_sqe *sqe)
{
	bool cancelled = false, ended = false;

	submit(sqe, CANCEL);
	while (!cancelled || !ended) {
		struct completion completion = wait_any_completion();

		if (completion.user_data == CANCEL) {
			ck_assert(completion.res >= 0 || completion.res == -ENOENT);
			cancelled = true;
		} else if (!(completion.flags & IORING_CQE_F_MORE)) {
			ck_assert(completion.res == -ECANCELED || completion.res == -ENOBUFS);
			ended = true;
		}
	}
}

static void cancel_fd(int fd)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
	cancel(sqe);
}

static void open_pair(int fds[2])
{
	ck_assert_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
}

/* One number as payload, a descriptor with it unless @fd is -1. */
struct outgoing {
	uint32_t number;
	struct iovec iov;
	struct msghdr message;
	union {
		struct cmsghdr header;
		char bytes[CONTROL_BYTES];
	} control;
};

static void fill_outgoing(struct outgoing *outgoing, uint32_t number, int fd)
{
	*outgoing = (struct outgoing){ .number = number };
	outgoing->iov = (struct iovec){ &outgoing->number, sizeof(outgoing->number) };
	outgoing->message = (struct msghdr){ .msg_iov = &outgoing->iov, .msg_iovlen = 1 };
	if (fd < 0)
		return;
	outgoing->message.msg_control = outgoing->control.bytes;
	outgoing->message.msg_controllen = sizeof(outgoing->control.bytes);
	outgoing->control.header.cmsg_level = SOL_SOCKET;
	outgoing->control.header.cmsg_type = SCM_RIGHTS;
	outgoing->control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&outgoing->control.header), &fd, sizeof(int));
}

static void send_number(int socket, uint32_t number, int fd)
{
	struct outgoing outgoing;

	fill_outgoing(&outgoing, number, fd);
	ck_assert_int_eq(sendmsg(socket, &outgoing.message, MSG_NOSIGNAL), sizeof(number));
}

static void arm_receive(int socket)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_recvmsg_multishot(sqe, socket, &receive_template, MSG_CMSG_CLOEXEC);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	submit(sqe, RECEIVE);
}

/* Reads a completion's buffer and returns it to the ring. Closes the descriptor that came, if any, and says
 * in @had_fd whether one did. */
static uint32_t consume(const struct completion *completion, bool *had_fd)
{
	unsigned int id = completion->flags >> IORING_CQE_BUFFER_SHIFT;
	struct io_uring_recvmsg_out *out;
	struct cmsghdr *header;
	uint32_t number;

	ck_assert_int_ge(completion->res, 0);
	ck_assert_int_eq(completion->flags & IORING_CQE_F_BUFFER, IORING_CQE_F_BUFFER);
	ck_assert_uint_lt(id, N_BUFFERS);
	out = io_uring_recvmsg_validate(buffers[id], completion->res, &receive_template);
	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(out->flags & MSG_CTRUNC, 0);
	ck_assert_uint_eq(out->payloadlen, sizeof(number));
	memcpy(&number, io_uring_recvmsg_payload(out, &receive_template), sizeof(number));

	header = io_uring_recvmsg_cmsg_firsthdr(out, &receive_template);
	*had_fd = header != NULL;
	if (header) {
		int fd;

		ck_assert_int_eq(header->cmsg_type, SCM_RIGHTS);
		ck_assert_uint_eq(header->cmsg_len, CMSG_LEN(sizeof(int)));
		memcpy(&fd, CMSG_DATA(header), sizeof(int));
		ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		close(fd);
	}
	give_buffer(id);
	return number;
}

START_TEST(one_accept_serves_many_connections)
{
	/* Autobind gives an abstract name nobody else has. */
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address.sun_family);
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct io_uring_sqe *sqe;
	int clients[3];

	ck_assert_ok(listener);
	ck_assert_ok(bind(listener, (struct sockaddr *)&address, length));
	length = sizeof(address);
	ck_assert_ok(getsockname(listener, (struct sockaddr *)&address, &length));
	ck_assert_ok(listen(listener, 8));

	sqe = next_sqe();
	io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	submit(sqe, ACCEPT);
	for (int i = 0; i < 3; i++) {
		struct completion cqe;

		clients[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		ck_assert_ok(connect(clients[i], (struct sockaddr *)&address, length));
		cqe = wait_completion(ACCEPT);
		ck_assert_int_ge(cqe.res, 0);
		ck_assert_int_eq(cqe.flags & IORING_CQE_F_MORE, IORING_CQE_F_MORE);
		ck_assert_int_eq(fcntl(cqe.res, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		close(cqe.res);
	}
	cancel_fd(listener);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(listener);
}
END_TEST

START_TEST(sendmsg_passes_a_descriptor)
{
	struct outgoing outgoing;
	struct io_uring_sqe *sqe = next_sqe();
	union {
		struct cmsghdr header;
		char bytes[CONTROL_BYTES];
	} control;
	uint32_t number;
	struct iovec iov = { &number, sizeof(number) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fds[2], fd;

	open_pair(fds);
	fill_outgoing(&outgoing, 42, fds[0]);
	io_uring_prep_sendmsg(sqe, fds[0], &outgoing.message, MSG_NOSIGNAL);
	submit(sqe, SEND);
	ck_assert_int_eq(wait_completion(SEND).res, sizeof(number));

	ck_assert_int_eq(recvmsg(fds[1], &message, MSG_CMSG_CLOEXEC), sizeof(number));
	ck_assert_uint_eq(number, 42);
	ck_assert_uint_eq(message.msg_controllen, CONTROL_BYTES);
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(int));
	ck_assert_ok(close(fd));
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(one_recvmsg_serves_many_messages)
{
	int fds[2];

	open_pair(fds);
	arm_receive(fds[1]);
	/* More messages than buffers: returned ones are used again. */
	for (uint32_t number = 0; number < 4 * N_BUFFERS; number++) {
		bool with_fd = number % 2, had_fd;
		struct completion cqe;

		send_number(fds[0], number, with_fd ? fds[0] : -1);
		cqe = wait_completion(RECEIVE);
		ck_assert_int_eq(cqe.flags & IORING_CQE_F_MORE, IORING_CQE_F_MORE);
		ck_assert_uint_eq(consume(&cqe, &had_fd), number);
		ck_assert_int_eq(had_fd, with_fd);
	}
	cancel_fd(fds[1]);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Every message carries a descriptor; twice as many as there are buffers are sent before any is returned. */
START_TEST(enobufs_ends_it_and_loses_nothing)
{
	struct completion completions[N_BUFFERS], cqe;
	uint32_t expected = 0;
	bool had_fd;
	int fds[2];

	open_pair(fds);
	arm_receive(fds[1]);
	for (uint32_t number = 0; number < 2 * N_BUFFERS; number++)
		send_number(fds[0], number, fds[0]);

	for (unsigned int i = 0; i < N_BUFFERS; i++)
		completions[i] = wait_completion(RECEIVE);
	cqe = wait_completion(RECEIVE);
	ck_assert_int_eq(cqe.res, -ENOBUFS);
	ck_assert_int_eq(cqe.flags & IORING_CQE_F_MORE, 0);

	for (unsigned int i = 0; i < N_BUFFERS; i++) {
		ck_assert_uint_eq(consume(&completions[i], &had_fd), expected++);
		ck_assert(had_fd);
	}
	arm_receive(fds[1]);
	while (expected < 2 * N_BUFFERS) {
		cqe = wait_completion(RECEIVE);
		if (cqe.res != -ENOBUFS) {
			ck_assert_uint_eq(consume(&cqe, &had_fd), expected++);
			ck_assert(had_fd);
		}
		if (!(cqe.flags & IORING_CQE_F_MORE))
			arm_receive(fds[1]);
	}
	cancel_fd(fds[1]);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* A recvmsg that was armed with no buffer at hand has to say so and not to hang. */
START_TEST(an_empty_ring_is_enobufs_when_a_message_comes)
{
	struct completion completions[N_BUFFERS];
	bool had_fd;
	int fds[2];

	open_pair(fds);
	arm_receive(fds[1]);
	for (uint32_t number = 0; number < N_BUFFERS; number++)
		send_number(fds[0], number, -1);
	for (unsigned int i = 0; i < N_BUFFERS; i++)
		completions[i] = wait_completion(RECEIVE);

	send_number(fds[0], N_BUFFERS, -1);
	ck_assert_int_eq(wait_completion(RECEIVE).res, -ENOBUFS);
	for (unsigned int i = 0; i < N_BUFFERS; i++)
		ck_assert_uint_eq(consume(&completions[i], &had_fd), i);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(end_of_file_completes_and_ends_it)
{
	struct completion cqe;
	int fds[2];

	open_pair(fds);
	arm_receive(fds[1]);
	close(fds[0]);
	cqe = wait_completion(RECEIVE);
	ck_assert_int_eq(cqe.flags & IORING_CQE_F_MORE, 0);
	/* With a buffer whose payload is empty, or 0 without one, as the kernel likes. */
	ck_assert_int_ge(cqe.res, 0);
	if (cqe.flags & IORING_CQE_F_BUFFER) {
		unsigned int id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
		struct io_uring_recvmsg_out *out =
			io_uring_recvmsg_validate(buffers[id], cqe.res, &receive_template);

		ck_assert(!out || out->payloadlen == 0);
		give_buffer(id);
	}
	close(fds[1]);
}
END_TEST

static bool peer_hung_up(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	ck_assert_ok(poll(&poll_fd, 1, 0));
	return poll_fd.revents & POLLHUP;
}

/*
 * The armed request holds a reference to the file: after close() the peer is still connected, so much that
 * a message it sends completes the request. The message comes after the close, which is the order that
 * proves it; without the reference the peer would get EPIPE.
 */
START_TEST(close_does_not_hang_up_while_armed)
{
	struct io_uring_sqe *sqe;
	struct completion cqe;
	bool had_fd;
	int fds[2];

	open_pair(fds);
	arm_receive(fds[1]);
	close(fds[1]);
	ck_assert(!peer_hung_up(fds[0]));
	send_number(fds[0], 1, -1);
	cqe = wait_completion(RECEIVE);
	ck_assert_int_eq(cqe.flags & IORING_CQE_F_MORE, IORING_CQE_F_MORE);
	ck_assert_uint_eq(consume(&cqe, &had_fd), 1);
	ck_assert(!peer_hung_up(fds[0]));

	/* The fd is gone, the request can only be named by its user_data. */
	sqe = next_sqe();
	io_uring_prep_cancel64(sqe, RECEIVE, 0);
	cancel(sqe);
	ck_assert_within(peer_hung_up(fds[0]), DEADLINE_MS);
	close(fds[0]);
}
END_TEST

/* The order the router uses. The peer learns of the end by the shutdown already. */
START_TEST(shutdown_cancel_close_hangs_up)
{
	struct completion cqe;
	int fds[2];

	open_pair(fds);
	arm_receive(fds[1]);
	ck_assert_ok(shutdown(fds[1], SHUT_RDWR));
	ck_assert(peer_hung_up(fds[0]));
	cqe = wait_completion(RECEIVE); /* shutdown alone ends the request */
	ck_assert_int_eq(cqe.flags & IORING_CQE_F_MORE, 0);
	close(fds[1]);
	close(fds[0]);
}
END_TEST

START_TEST(a_ring_cannot_be_passed_to_a_peer)
{
	struct outgoing outgoing;
	int fds[2];

	open_pair(fds);
	fill_outgoing(&outgoing, 1, ring.ring_fd);
	ck_assert_fails(sendmsg(fds[0], &outgoing.message, MSG_NOSIGNAL), EINVAL);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Skips where the router would run on epoll: refused rings and kernels without multishot recvmsg (6.0). */
static void require_uring(void)
{
	struct io_uring_probe *probe;
	int r = io_uring_queue_init(N_ENTRIES, &ring, 0);

	if (r < 0)
		skip_suite("io_uring: %s (kernel.io_uring_disabled, seccomp or RLIMIT_MEMLOCK?)",
			   strerror(-r));
	probe = io_uring_get_probe_ring(&ring);
	/* Send-zc appeared in 6.0 together with multishot recvmsg, which has no probe of its own. */
	r = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
	io_uring_free_probe(probe);
	io_uring_queue_exit(&ring);
	if (!r)
		skip_suite("no multishot recvmsg before Linux 6.0");
}

int main(void)
{
	Suite *suite = suite_create("kernel/uring");
	TCase *plain = add_test_case(suite, "plain", 40);
	TCase *buffered = add_test_case(suite, "buffered", 40);

	require_uring();
	tcase_add_checked_fixture(plain, setup, teardown);
	tcase_add_test(plain, one_accept_serves_many_connections);
	tcase_add_test(plain, sendmsg_passes_a_descriptor);
	tcase_add_test(plain, a_ring_cannot_be_passed_to_a_peer);

	tcase_add_checked_fixture(buffered, setup_buffers, teardown_buffers);
	tcase_add_test(buffered, one_recvmsg_serves_many_messages);
	tcase_add_test(buffered, enobufs_ends_it_and_loses_nothing);
	tcase_add_test(buffered, an_empty_ring_is_enobufs_when_a_message_comes);
	tcase_add_test(buffered, end_of_file_completes_and_ends_it);
	tcase_add_test(buffered, close_does_not_hang_up_while_armed);
	tcase_add_test(buffered, shutdown_cancel_close_hangs_up);
	return run_suite(suite);
}
