/* SPDX-License-Identifier: MIT */
/*
 * Descriptors over AF_UNIX sockets: how many arrive, when they are cut off, and what that looks like. The
 * router's receive path (count, close what was not asked for, MSG_CTRUNC means close all and reject) and its
 * send path (one message with descriptors in flight per node, ETOOMANYREFS is back-off) stand on this.
 */

#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define SCM_MAX_FDS 253

struct pair {
	int sender;
	int receiver;
};

static struct pair open_pair(void)
{
	int fds[2];

	ck_assert_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
	return (struct pair){ fds[0], fds[1] };
}

static void close_pair(struct pair *pair)
{
	close(pair->sender);
	close(pair->receiver);
}

/* Sends one byte and @n copies of @fd. */
static ssize_t send_fds(int socket, int fd, int n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * (SCM_MAX_FDS + 1))];
	} control = { 0 };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &fd, sizeof(int));
	return sendmsg(socket, &message, MSG_NOSIGNAL);
}

struct received {
	ssize_t n_bytes;
	int flags;
	bool has_cmsg;
	int n_fds;
	int fds[SCM_MAX_FDS];
};

/* Receives with a control buffer of exactly @control_bytes. */
static struct received receive(int socket, size_t control_bytes, int flags)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * SCM_MAX_FDS)];
	} control = { 0 };
	struct received received = { 0 };
	char bytes[16];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control_bytes ? control.bytes : NULL,
		.msg_controllen = control_bytes,
	};

	received.n_bytes = recvmsg(socket, &message, flags);
	received.flags = message.msg_flags;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		size_t n_bytes = header->cmsg_len - CMSG_LEN(0);

		received.has_cmsg = true;
		ck_assert_int_eq(header->cmsg_type, SCM_RIGHTS);
		memcpy(received.fds, CMSG_DATA(header), n_bytes);
		received.n_fds = (int)(n_bytes / sizeof(int));
	}
	return received;
}

static void close_received(struct received *received)
{
	for (int i = 0; i < received->n_fds; i++)
		ck_assert_ok(close(received->fds[i]));
	received->n_fds = 0;
}

START_TEST(a_descriptor_arrives_close_on_exec)
{
	struct pair pair = open_pair();
	struct received received;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 1), 1);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_bytes, 1);
	ck_assert_int_eq(received.n_fds, 1);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, 0);
	ck_assert_int_eq(fcntl(received.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

START_TEST(without_the_flag_it_would_survive_exec)
{
	struct pair pair = open_pair();
	struct received received;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 1), 1);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), 0);
	ck_assert_int_eq(received.n_fds, 1);
	ck_assert_int_eq(fcntl(received.fds[0], F_GETFD) & FD_CLOEXEC, 0);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

/* CMSG_SPACE pads to 8: a buffer meant for one takes two, and no flag says so. */
START_TEST(room_for_one_accepts_two)
{
	struct pair pair = open_pair();
	struct received received;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 2), 1);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_fds, 2);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, 0);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

START_TEST(small_buffer_truncates_and_says_so)
{
	struct pair pair = open_pair();
	struct received received;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 5), 1);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_bytes, 1); /* the payload is delivered all the same */
	ck_assert_int_eq(received.n_fds, 2);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, MSG_CTRUNC);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

START_TEST(no_control_buffer_closes_them_and_says_so)
{
	struct pair pair = open_pair();
	int n_fds = count_fds();
	struct received received;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 3), 1);
	received = receive(pair.receiver, 0, MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_bytes, 1);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, MSG_CTRUNC);
	ck_assert_int_eq(count_fds(), n_fds);
	close_pair(&pair);
}
END_TEST

START_TEST(read_discards_them_silently)
{
	struct pair pair = open_pair();
	int n_fds = count_fds();
	char byte;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 3), 1);
	ck_assert_int_eq(read(pair.receiver, &byte, 1), 1);
	ck_assert_int_eq(count_fds(), n_fds);
	close_pair(&pair);
}
END_TEST

START_TEST(peek_installs_a_set_of_its_own)
{
	struct pair pair = open_pair();
	struct received peeked, received;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 1), 1);
	peeked = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_PEEK | MSG_CMSG_CLOEXEC);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(peeked.n_fds, 1);
	ck_assert_int_eq(received.n_fds, 1);
	ck_assert_int_ne(peeked.fds[0], received.fds[0]);
	close_received(&peeked);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

START_TEST(the_limit_is_253)
{
	struct pair pair = open_pair();
	struct received received;
	struct rlimit limit;

	ck_assert_fails(send_fds(pair.sender, pair.sender, SCM_MAX_FDS + 1), EINVAL);

	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_cur < SCM_MAX_FDS + 64) {
		close_pair(&pair);
		skip_test("RLIMIT_NOFILE is only %llu", (unsigned long long)limit.rlim_cur);
	}
	ck_assert_int_eq(send_fds(pair.sender, pair.sender, SCM_MAX_FDS), 1);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int) * SCM_MAX_FDS), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_fds, SCM_MAX_FDS);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, 0);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

/* The lowest free descriptor: with RLIMIT_NOFILE set to it plus n, exactly n more fit when none beyond
 * it are open, which holds for a test process that opened them in order. */
static int lowest_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_ok(fd);
	close(fd);
	return fd;
}

static struct rlimit limit_fds(int n)
{
	struct rlimit before, after;

	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &before));
	after = before;
	after.rlim_cur = (rlim_t)n;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &after));
	return before;
}

START_TEST(a_nearly_full_table_truncates)
{
	struct pair pair = open_pair();
	struct received received;
	struct rlimit before;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 20), 1);
	before = limit_fds(lowest_free_fd() + 5);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int) * 20), MSG_CMSG_CLOEXEC);
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &before));
	ck_assert_int_eq(received.n_bytes, 1);
	ck_assert_int_gt(received.n_fds, 0);
	ck_assert_int_le(received.n_fds, 5);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, MSG_CTRUNC);
	close_received(&received);
	close_pair(&pair);
}
END_TEST

START_TEST(a_full_table_delivers_data_without_cmsg)
{
	struct pair pair = open_pair();
	struct received received;
	struct rlimit before;

	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 2), 1);
	before = limit_fds(lowest_free_fd());
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int) * 2), MSG_CMSG_CLOEXEC);
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &before));
	ck_assert_int_eq(received.n_bytes, 1);
	ck_assert(!received.has_cmsg);
	ck_assert_int_eq(received.flags & MSG_CTRUNC, MSG_CTRUNC);
	close_pair(&pair);
}
END_TEST

START_TEST(messages_keep_their_boundaries_and_descriptors)
{
	struct pair pair = open_pair();
	struct received received;

	ck_assert_int_eq(send(pair.sender, "abc", 3, MSG_NOSIGNAL), 3);
	ck_assert_int_eq(send_fds(pair.sender, pair.sender, 1), 1);
	ck_assert_int_eq(send(pair.sender, "de", 2, MSG_NOSIGNAL), 2);

	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_bytes, 3);
	ck_assert_int_eq(received.n_fds, 0);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_bytes, 1);
	ck_assert_int_eq(received.n_fds, 1);
	close_received(&received);
	received = receive(pair.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
	ck_assert_int_eq(received.n_bytes, 2);
	ck_assert_int_eq(received.n_fds, 0);
	close_pair(&pair);
}
END_TEST

START_TEST(an_oversized_message_is_cut_and_says_so)
{
	struct pair pair = open_pair();
	struct received received;
	char big[64] = { 0 };

	ck_assert_int_eq(send(pair.sender, big, sizeof(big), MSG_NOSIGNAL), sizeof(big));
	received = receive(pair.receiver, 0, 0);
	ck_assert_int_eq(received.n_bytes, 16);
	ck_assert_int_eq(received.flags & MSG_TRUNC, MSG_TRUNC);
	/* The rest of it is gone, it is not the next message. */
	received = receive(pair.receiver, 0, 0);
	ck_assert_int_eq(received.n_bytes, -1);
	close_pair(&pair);
}
END_TEST

START_TEST(end_of_file_comes_after_the_last_message)
{
	struct pair pair = open_pair();
	struct pollfd poll_fd = { .fd = pair.receiver, .events = POLLIN };
	struct received received;

	ck_assert_int_eq(send(pair.sender, "abc", 3, MSG_NOSIGNAL), 3);
	close(pair.sender);
	received = receive(pair.receiver, 0, 0);
	ck_assert_int_eq(received.n_bytes, 3);
	received = receive(pair.receiver, 0, 0);
	ck_assert_int_eq(received.n_bytes, 0);
	ck_assert_int_eq(poll(&poll_fd, 1, 0), 1);
	ck_assert_int_eq(poll_fd.revents & POLLHUP, POLLHUP);
	ck_assert_fails(send(pair.receiver, "x", 1, MSG_NOSIGNAL), EPIPE);
	close(pair.receiver);
}
END_TEST

START_TEST(a_peer_that_does_not_read_gives_eagain)
{
	struct pair pair = open_pair();
	int n_sent = 0;

	while (n_sent < 1000000 && send(pair.sender, "abc", 3, MSG_NOSIGNAL | MSG_DONTWAIT) == 3)
		n_sent++;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_gt(n_sent, 0);
	close_pair(&pair);
}
END_TEST

/*
 * The count of descriptors in flight belongs to the user, not to the socket, and the one who sends is held
 * to its own RLIMIT_NOFILE. Privileged senders are exempt, so the child drops to a user of its own.
 */
static void exhaust_in_flight(void)
{
	struct rlimit limit = { 64, 64 };
	struct pair first = open_pair(), second = open_pair();
	struct received received;
	int n_sent = 0;

	if (geteuid() == 0) {
		uid_t uid = 60000 + (uid_t)getpid() % 5000;

		ck_assert_ok(setresuid(uid, uid, uid));
	}
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &limit));

	while (n_sent < 80 && send_fds(first.sender, first.sender, 1) == 1)
		n_sent++;
	ck_assert_msg(errno == ETOOMANYREFS, "after %d: %s", n_sent, strerror(errno));
	ck_assert_int_gt(n_sent, 0);
	ck_assert_fails(send_fds(second.sender, second.sender, 1), ETOOMANYREFS);
	ck_assert_int_eq(send(second.sender, "x", 1, MSG_NOSIGNAL), 1); /* data alone passes */

	/* As soon as the receiver takes some, sending works again. */
	for (int i = 0; i < 4; i++) {
		received = receive(first.receiver, CMSG_SPACE(sizeof(int)), MSG_CMSG_CLOEXEC);
		ck_assert_int_eq(received.n_fds, 1);
		close_received(&received);
	}
	ck_assert_int_eq(send_fds(second.sender, second.sender, 1), 1);
	close_pair(&first);
	close_pair(&second);
}

START_TEST(in_flight_limit_is_per_user)
{
	if (getenv("CK_FORK") && !strcmp(getenv("CK_FORK"), "no"))
		skip_test("changes the user: not with CK_FORK=no");
	if (geteuid() == 0) {
		/* A root without CAP_SETUID (some containers) cannot run this. */
		int status;
		pid_t child = fork();

		ck_assert_ok(child);
		if (child == 0)
			_exit(setresuid(60000, 60000, 60000) < 0);
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			skip_test("root without CAP_SETUID");
	}
	exhaust_in_flight();
}
END_TEST

START_TEST(passrights_off_refuses_at_the_sender)
{
	struct pair pair = open_pair();
	int off = 0;

	if (setsockopt(pair.receiver, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0) {
		ck_assert_int_eq(errno, ENOPROTOOPT);
		close_pair(&pair);
		skip_test("no SO_PASSRIGHTS before Linux 6.16");
	}
	ck_assert_fails(send_fds(pair.sender, pair.sender, 1), EPERM);
	ck_assert_int_eq(send(pair.sender, "x", 1, MSG_NOSIGNAL), 1);
	close_pair(&pair);
}
END_TEST

START_TEST(peer_credentials_are_the_kernels)
{
	struct pair pair = open_pair();
	struct ucred credentials;
	socklen_t length = sizeof(credentials);

	ck_assert_ok(getsockopt(pair.receiver, SOL_SOCKET, SO_PEERCRED, &credentials, &length));
	ck_assert_int_eq(credentials.pid, getpid());
	ck_assert_uint_eq(credentials.uid, geteuid());
	close_pair(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel/scm-rights");
	TCase *descriptors = add_test_case(suite, "descriptors", 20);
	TCase *limits = add_test_case(suite, "limits", 20);
	TCase *seqpacket = add_test_case(suite, "seqpacket", 20);

	tcase_add_test(descriptors, a_descriptor_arrives_close_on_exec);
	tcase_add_test(descriptors, without_the_flag_it_would_survive_exec);
	tcase_add_test(descriptors, room_for_one_accepts_two);
	tcase_add_test(descriptors, small_buffer_truncates_and_says_so);
	tcase_add_test(descriptors, no_control_buffer_closes_them_and_says_so);
	tcase_add_test(descriptors, read_discards_them_silently);
	tcase_add_test(descriptors, peek_installs_a_set_of_its_own);
	tcase_add_test(descriptors, passrights_off_refuses_at_the_sender);

	tcase_add_test(limits, the_limit_is_253);
	tcase_add_test(limits, a_nearly_full_table_truncates);
	tcase_add_test(limits, a_full_table_delivers_data_without_cmsg);
	tcase_add_test(limits, in_flight_limit_is_per_user);

	tcase_add_test(seqpacket, messages_keep_their_boundaries_and_descriptors);
	tcase_add_test(seqpacket, an_oversized_message_is_cut_and_says_so);
	tcase_add_test(seqpacket, end_of_file_comes_after_the_last_message);
	tcase_add_test(seqpacket, a_peer_that_does_not_read_gives_eagain);
	tcase_add_test(seqpacket, peer_credentials_are_the_kernels);
	return run_suite(suite);
}
