/* SPDX-License-Identifier: MIT */
/* src/common/message.c: datagrams and descriptors of a peer that may send anything. The fixture sees each leak. */
#include "common/message.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "harness.h"

static const enum wire_type all_types[] = {
	WIRE_HELLO, WIRE_SEGMENT_MAPPED, WIRE_ENDPOINT_OPEN, WIRE_ENDPOINT_CLOSE, WIRE_LANE_CHOSEN, WIRE_GOODBYE,
	WIRE_WELCOME, WIRE_ENDPOINT_OPENED, WIRE_ENDPOINT_READY, WIRE_WRITER_ADDED, WIRE_LANE_ADDED,
	WIRE_WRITER_GONE, WIRE_LANE_GONE, WIRE_MATCH_REFUSED, WIRE_ERROR,
};
#define N_TYPES (sizeof(all_types) / sizeof(all_types[0]))

/* [0] is ours, [1] the peer's. */
static int pair[2] = { -1, -1 };

/* Runs inside of the fd-leak fixture, whose count it must therefore leave alone: both ends close before that looks. */
static void open_pair(void)
{
	ck_assert_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

static void close_pair(void)
{
	pair[0] = fd_close(pair[0]);
	pair[1] = fd_close(pair[1]);
}

/* What a peer can send that message_send() would not: any bytes, any number of descriptors (all /dev/null). */
static void peer_sends(const void *bytes, size_t size, unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	_cleanup_fd_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (n_fds) {
		struct cmsghdr *cmsg;

		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		for (unsigned int i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &null, sizeof(null));
	}
	ck_assert_int_eq(sendmsg(pair[1], &header, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)size);
}

static void peer_sends_type(enum wire_type type, unsigned int n_fds)
{
	union wire_message message = { 0 };

	wire_init(&message.header, type, 7);
	peer_sends(&message, message.header.size, n_fds);
}

/* Receive, and check that an error leaves no descriptor behind. */
static int receive(union wire_message *message, int fds[WIRE_FDS_MAX])
{
	int before = count_fds();
	int r;

	for (unsigned int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = 12345;
	r = message_receive(pair[0], message, fds);
	if (r < 0) {
		for (unsigned int i = 0; i < WIRE_FDS_MAX; i++)
			ck_assert_int_eq(fds[i], -1);
		ck_assert_int_eq(count_fds(), before);
	}
	return r;
}

START_TEST(test_round_trip)
{
	struct wire_hello hello = { .flags = WIRE_HELLO_UNMONITORED, .name = "camera" };
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	open_pair();
	wire_init(&hello.header, WIRE_HELLO, 3);
	ck_assert_int_eq(message_send(pair[1], &hello.header, NULL, 0), 0);
	ck_assert_int_eq(receive(&message, fds), sizeof(hello));
	ck_assert_mem_eq(&message, &hello, sizeof(hello));
	ck_assert_int_eq(fds[0], -1);
	ck_assert_int_eq(fds[1], -1);
	close_pair();
}
END_TEST

START_TEST(test_descriptors_in_order)
{
	struct wire_welcome welcome = { .node = 9 };
	union wire_message message;
	int sent[2] = { eventfd(0, EFD_CLOEXEC), open("/dev/null", O_RDONLY) };
	int fds[WIRE_FDS_MAX];
	struct stat a, b;

	open_pair();
	wire_init(&welcome.header, WIRE_WELCOME, 3);
	ck_assert_int_eq(message_send(pair[1], &welcome.header, sent, 2), 0);
	ck_assert_int_eq(receive(&message, fds), sizeof(welcome));
	ck_assert_uint_eq(message.welcome.node, 9);

	/* They are the sender's files, in the sender's order, and close-on-exec even where the sender's are not. */
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		ck_assert_int_ne(fds[i], sent[i]);
	}
	ck_assert_int_eq(fcntl(sent[1], F_GETFD), 0);		/* sending kept the sender's */
	ck_assert_int_eq(eventfd_write(fds[0], 5), 0);
	eventfd_t value = 0;
	ck_assert_int_eq(eventfd_read(sent[0], &value), 0);
	ck_assert_uint_eq(value, 5);
	ck_assert_ok(fstat(sent[1], &a));
	ck_assert_ok(fstat(fds[1], &b));
	ck_assert_uint_eq(a.st_rdev, b.st_rdev);

	for (int i = 0; i < 2; i++) {
		fd_close(fds[i]);
		fd_close(sent[i]);
	}
	close_pair();
}
END_TEST

/* Every type with 0 to 6 descriptors: 4 fill the control buffer, more truncate it. */
START_TEST(test_number_of_descriptors)
{
	open_pair();
	for (size_t i = 0; i < N_TYPES; i++) {
		for (unsigned int n_fds = 0; n_fds <= 6; n_fds++) {
			union wire_message message;
			int fds[WIRE_FDS_MAX];
			bool right = n_fds == wire_fds(all_types[i]);

			peer_sends_type(all_types[i], n_fds);
			ck_assert_int_eq(receive(&message, fds), right ? (int)wire_size(all_types[i]) : -EPROTO);
			for (unsigned int j = 0; j < WIRE_FDS_MAX; j++) {
				ck_assert(right && j < n_fds ? fcntl(fds[j], F_GETFD) == FD_CLOEXEC : fds[j] == -1);
				fd_close(fds[j]);
			}
		}
	}

	/* Nor does a whole handful do harm. */
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	peer_sends_type(WIRE_HELLO, 64);
	ck_assert_int_eq(receive(&message, fds), -EPROTO);
	peer_sends_type(WIRE_WELCOME, 64);
	ck_assert_int_eq(receive(&message, fds), -EPROTO);
	close_pair();
}
END_TEST

/* Let the process have @n_more descriptors; returns the old limit. */
static struct rlimit limit_fds(int n_more)
{
	struct rlimit old, tight;
	int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* The limit is on numbers, not on the count: there must be no holes below it. */
	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &old));
	fd_close(spare);
	ck_assert_int_ge(spare, 0);
	tight = old;
	tight.rlim_cur = (rlim_t)spare + (rlim_t)n_more;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &tight));
	return old;
}

/* Descriptors are lost to RLIMIT_NOFILE: with room for none or one of two. */
START_TEST(test_fd_limit)
{
	open_pair();
	for (int n_more = 0; n_more <= 2; n_more++) {
		union wire_message message = { 0 };
		int fds[WIRE_FDS_MAX] = { 77, 77 };
		struct rlimit old;
		int r;

		peer_sends_type(WIRE_WELCOME, 2);
		old = limit_fds(n_more);
		r = message_receive(pair[0], &message, fds);
		ck_assert_ok(setrlimit(RLIMIT_NOFILE, &old));

		ck_assert_int_eq(r, n_more == 2 ? (int)sizeof(struct wire_welcome) : -EMFILE);
		ck_assert_uint_eq(message.header.type, WIRE_WELCOME);
		ck_assert_uint_eq(message.header.request, 7);
		if (n_more < 2) {
			ck_assert_int_eq(fds[0], -1);
			ck_assert_int_eq(fds[1], -1);
		}
		fd_close(fds[0]);
		fd_close(fds[1]);
	}
	close_pair();
}
END_TEST

/* The same with descriptors that were not allowed: the peer's fault, whatever our table looks like. */
START_TEST(test_fd_limit_and_uninvited)
{
	open_pair();
	for (int n_more = 0; n_more <= 2; n_more++) {
		union wire_message message;
		int fds[WIRE_FDS_MAX];
		struct rlimit old;
		int r;

		peer_sends_type(WIRE_HELLO, 3);
		old = limit_fds(n_more);
		r = message_receive(pair[0], &message, fds);
		ck_assert_ok(setrlimit(RLIMIT_NOFILE, &old));
		ck_assert_int_eq(r, -EPROTO);
		ck_assert_int_eq(fds[0], -1);
		ck_assert_int_eq(fds[1], -1);
	}
	close_pair();
}
END_TEST

/* Malformed in every way, alone and with descriptors. */
START_TEST(test_malformed)
{
	static const unsigned int n_fds[] = { 0, 1, 2, 3, 5 };
	unsigned char large[2 * WIRE_MESSAGE_MAX] = { 0 };

	open_pair();
	for (size_t i = 0; i < sizeof(n_fds) / sizeof(n_fds[0]); i++) {
		union wire_message good = { 0 }, bad, message;
		int fds[WIRE_FDS_MAX];
		const size_t size = sizeof(good.welcome);

		wire_init(&good.header, WIRE_WELCOME, 1);

		peer_sends(&good, size - 1, n_fds[i]);			/* short */
		ck_assert_int_eq(receive(&message, fds), -EPROTO);
		peer_sends(&good, size + 1, n_fds[i]);			/* long */
		ck_assert_int_eq(receive(&message, fds), -EPROTO);
		peer_sends(&good, 1, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTO);
		peer_sends(&good, sizeof(good.header) - 1, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTO);

		bad = good;
		bad.header.type = 999;
		peer_sends(&bad, size, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTO);

		bad = good;
		bad.header.magic++;
		peer_sends(&bad, size, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTO);

		bad = good;
		bad.header.size++;
		peer_sends(&bad, size, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTO);

		bad = good;
		bad.header.version++;
		peer_sends(&bad, size, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTONOSUPPORT);

		memcpy(large, &good, size);
		peer_sends(large, WIRE_MESSAGE_MAX, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPROTO);
		peer_sends(large, WIRE_MESSAGE_MAX + 1, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EMSGSIZE);
		peer_sends(large, sizeof(large), n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EMSGSIZE);

		/* An empty datagram looks like the end of file; a peer that sends one has nothing more to say. */
		peer_sends(large, 0, n_fds[i]);
		ck_assert_int_eq(receive(&message, fds), -EPIPE);
	}
	close_pair();
}
END_TEST

START_TEST(test_empty_and_end)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	open_pair();
	ck_assert_int_eq(receive(&message, fds), -EAGAIN);
	peer_sends_type(WIRE_GOODBYE, 0);
	pair[1] = fd_close(pair[1]);
	ck_assert_int_eq(receive(&message, fds), sizeof(struct wire_goodbye));
	ck_assert_int_eq(receive(&message, fds), -EPIPE);
	ck_assert_int_eq(receive(&message, fds), -EPIPE);
	close_pair();

	ck_assert_int_eq(message_receive(-1, &message, fds), -EBADF);
}
END_TEST

/* A peer that leaves our message unread resets the connection; its last words arrive all the same. */
START_TEST(test_last_words)
{
	union wire_message message;
	struct wire_goodbye unread;
	int fds[WIRE_FDS_MAX];

	open_pair();
	wire_init(&unread.header, WIRE_GOODBYE, 0);
	ck_assert_int_eq(message_send(pair[0], &unread.header, NULL, 0), 0);
	peer_sends_type(WIRE_ERROR, 0);
	pair[1] = fd_close(pair[1]);
	ck_assert_int_eq(receive(&message, fds), sizeof(struct wire_error));
	ck_assert_uint_eq(message.header.type, WIRE_ERROR);
	ck_assert_int_eq(receive(&message, fds), -EPIPE);
	close_pair();
}
END_TEST

START_TEST(test_send_errors)
{
	struct wire_error error = { 0 };
	int fds[3] = { 0, 0, 0 }, bad_fds[2] = { 0, 1000000 };
	unsigned int n_sent = 0;
	int r;

	open_pair();
	wire_init(&error.header, WIRE_ERROR, 0);
	ck_assert_int_eq(message_send(pair[0], &error.header, fds, 3), -EINVAL);
	ck_assert_int_eq(message_send(pair[0], &error.header, bad_fds, 2), -EBADF);
	ck_assert_int_eq(message_send(-1, &error.header, NULL, 0), -EBADF);

	/* Nobody reads: the queue fills and we do not block. */
	do
		r = message_send(pair[0], &error.header, NULL, 0);
	while (r == 0 && ++n_sent < 1000000);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_uint_gt(n_sent, 0);

	/* Nobody is there: an error, no SIGPIPE. */
	pair[1] = fd_close(pair[1]);
	r = message_send(pair[0], &error.header, NULL, 0);
	ck_assert(r == -EPIPE || r == -ECONNRESET);
	ck_assert_int_eq(message_send(pair[0], &error.header, NULL, 0), -EPIPE);
	close_pair();
}
END_TEST

/* Control data as io_uring would hand it to us, at any alignment. */
static size_t put_rights(unsigned char *at, const int *fds, size_t n_fds)
{
	struct cmsghdr header = {
		.cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	};

	memset(at, 0, CMSG_SPACE(sizeof(int) * n_fds));
	memcpy(at, &header, sizeof(header));
	memcpy(at + CMSG_LEN(0), fds, sizeof(int) * n_fds);
	return CMSG_SPACE(sizeof(int) * n_fds);
}

static int null_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(test_accept_any_alignment)
{
	unsigned char buffer[256];
	union wire_message message = { 0 };
	int fds[WIRE_FDS_MAX];

	wire_init(&message.header, WIRE_WELCOME, 1);
	for (size_t shift = 0; shift < 8; shift++) {
		int sent[2] = { null_fd(), null_fd() };
		size_t length = put_rights(buffer + shift, sent, 2);

		ck_assert_int_eq(message_accept(&message, sizeof(message.welcome), 0, buffer + shift, length, fds),
				 sizeof(message.welcome));
		ck_assert_mem_eq(fds, sent, sizeof(sent));
		fd_close(fds[0]);
		fd_close(fds[1]);
	}
}
END_TEST

/* Two blocks, other kinds of control data between them, the last one without its padding. */
START_TEST(test_accept_several_blocks)
{
	unsigned char buffer[256] = { 0 };
	struct ucred credentials = { .pid = 1 };
	struct cmsghdr other = {
		.cmsg_len = CMSG_LEN(sizeof(credentials)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_CREDENTIALS,
	};
	union wire_message message = { 0 };
	int sent[2] = { null_fd(), null_fd() };
	int fds[WIRE_FDS_MAX];
	size_t length;

	wire_init(&message.header, WIRE_WELCOME, 1);
	length = put_rights(buffer, &sent[0], 1);
	memcpy(buffer + length, &other, sizeof(other));
	length += CMSG_SPACE(sizeof(credentials));
	put_rights(buffer + length, &sent[1], 1);
	length += CMSG_LEN(sizeof(int));

	ck_assert_int_eq(message_accept(&message, sizeof(message.welcome), 0, buffer, length, fds),
			 sizeof(message.welcome));
	ck_assert_mem_eq(fds, sent, sizeof(sent));
	fd_close(fds[0]);
	fd_close(fds[1]);
}
END_TEST

/* Lengths that do not fit: never read beyond the end (ASan looks), never loop. */
START_TEST(test_accept_damaged_control)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 24, 1000, SIZE_MAX, SIZE_MAX - 7 };
	union wire_message message = { 0 };
	int fds[WIRE_FDS_MAX];

	wire_init(&message.header, WIRE_GOODBYE, 0);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t length = 0; length <= 20; length++) {
			struct cmsghdr header = {
				.cmsg_len = lengths[i],
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
			};
			unsigned char *control = malloc(length + !length);
			unsigned char whole[32];

			ck_assert_ptr_nonnull(control);
			memset(whole, 0xff, sizeof(whole));	/* descriptor -1: nothing real gets closed */
			memcpy(whole, &header, sizeof(header));
			memcpy(control, whole, length);
			message_accept(&message, sizeof(message.goodbye), 0, control, length, fds);
			message_close_fds(control, length);
			ck_assert_int_eq(fds[0], -1);
			ck_assert_int_eq(fds[1], -1);
			free(control);
		}
	}
	ck_assert_int_eq(message_accept(&message, sizeof(message.goodbye), 0, NULL, 0, fds), sizeof(message.goodbye));
}
END_TEST

START_TEST(test_accept_flags)
{
	unsigned char buffer[64];
	union wire_message message = { 0 };
	int fds[WIRE_FDS_MAX], fd = null_fd();
	size_t length = put_rights(buffer, &fd, 1);

	wire_init(&message.header, WIRE_WELCOME, 0);
	ck_assert_int_eq(message_accept(&message, sizeof(message.welcome), MSG_CTRUNC, buffer, length, fds), -EMFILE);
	ck_assert_fails(fcntl(fd, F_GETFD), EBADF);

	fd = null_fd();
	length = put_rights(buffer, &fd, 1);
	ck_assert_int_eq(message_accept(&message, sizeof(message), MSG_TRUNC, buffer, length, fds), -EMSGSIZE);
	ck_assert_fails(fcntl(fd, F_GETFD), EBADF);
	ck_assert_int_eq(message_accept(&message, sizeof(message) + 1, 0, NULL, 0, fds), -EMSGSIZE);
}
END_TEST

START_TEST(test_close_fds)
{
	unsigned char buffer[256];
	int sent[5];
	size_t length;

	for (int i = 0; i < 5; i++)
		sent[i] = null_fd();
	length = put_rights(buffer, sent, 5);
	message_close_fds(buffer, length);
	for (int i = 0; i < 5; i++)
		ck_assert_fails(fcntl(sent[i], F_GETFD), EBADF);
	message_close_fds(NULL, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message");
	TCase *tcase = add_test_case(suite, "message", 20);

	tcase_add_test(tcase, test_round_trip);
	tcase_add_test(tcase, test_descriptors_in_order);
	tcase_add_test(tcase, test_number_of_descriptors);
	tcase_add_test(tcase, test_fd_limit);
	tcase_add_test(tcase, test_fd_limit_and_uninvited);
	tcase_add_test(tcase, test_malformed);
	tcase_add_test(tcase, test_empty_and_end);
	tcase_add_test(tcase, test_last_words);
	tcase_add_test(tcase, test_send_errors);
	tcase_add_test(tcase, test_accept_any_alignment);
	tcase_add_test(tcase, test_accept_several_blocks);
	tcase_add_test(tcase, test_accept_damaged_control);
	tcase_add_test(tcase, test_accept_flags);
	tcase_add_test(tcase, test_close_fds);
	return run_suite(suite);
}
