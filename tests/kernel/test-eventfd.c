/* SPDX-License-Identifier: MIT */
/*
 * eventfd as a doorbell (architecture.md, "The node inside a process"): writes coalesce, a saturated
 * counter says EAGAIN which means "already rung", and the O_NONBLOCK flag is shared with the peer. The last
 * is the reason for the watchdog of the node thread; reading the counter empty is its cure.
 */

#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SATURATED (UINT64_MAX - 1)

static int open_doorbell(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	ck_assert_ok(fd);
	return fd;
}

static void ring(int fd, uint64_t count)
{
	ck_assert_int_eq(write(fd, &count, sizeof(count)), sizeof(count));
}

static short poll_now(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };

	ck_assert_ok(poll(&poll_fd, 1, 0));
	return poll_fd.revents;
}

START_TEST(writes_coalesce_into_one_read)
{
	int fd = open_doorbell();
	uint64_t count = 0;

	ring(fd, 1);
	ring(fd, 1);
	ring(fd, 3);
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	ck_assert_uint_eq(count, 5);
	ck_assert_fails(read(fd, &count, sizeof(count)), EAGAIN);
	close(fd);
}
END_TEST

START_TEST(readable_only_while_rung)
{
	int fd = open_doorbell();
	uint64_t count;

	ck_assert_int_eq(poll_now(fd), POLLOUT);
	ring(fd, 1);
	ck_assert_int_eq(poll_now(fd), POLLIN | POLLOUT);
	ck_assert_ok(read(fd, &count, sizeof(count)));
	ck_assert_int_eq(poll_now(fd), POLLOUT);
	close(fd);
}
END_TEST

START_TEST(saturated_write_is_eagain)
{
	int fd = open_doorbell();
	uint64_t one = 1, count = 0;

	ring(fd, SATURATED);
	ck_assert_fails(write(fd, &one, sizeof(one)), EAGAIN);
	ck_assert_int_eq(poll_now(fd), POLLIN);

	/* Nothing of the failed write sticks, and the doorbell works again after the read. */
	ck_assert_ok(read(fd, &count, sizeof(count)));
	ck_assert_uint_eq(count, SATURATED);
	ring(fd, 1);
	close(fd);
}
END_TEST

START_TEST(all_ones_is_einval)
{
	int fd = open_doorbell();
	uint64_t all_ones = UINT64_MAX;

	ck_assert_fails(write(fd, &all_ones, sizeof(all_ones)), EINVAL);
	close(fd);
}
END_TEST

START_TEST(nonblock_belongs_to_the_shared_description)
{
	int ours = open_doorbell();
	int theirs = fcntl(ours, F_DUPFD_CLOEXEC, 0); /* what SCM_RIGHTS gives a peer */

	ck_assert_ok(theirs);
	ck_assert_ok(fcntl(theirs, F_SETFL, 0));
	ck_assert_int_eq(fcntl(ours, F_GETFL) & O_NONBLOCK, 0);
	close(theirs);
	close(ours);
}
END_TEST

struct blocked_writer {
	int fd;
	_Atomic pid_t tid;
	_Atomic bool done;
};

static void *write_blocking(void *arg)
{
	struct blocked_writer *writer = arg;
	uint64_t one = 1;

	atomic_store(&writer->tid, gettid());
	if (write(writer->fd, &one, sizeof(one)) == sizeof(one))
		atomic_store(&writer->done, true);
	return NULL;
}

/* True when the thread sleeps in the kernel, as /proc says. */
static bool is_asleep(pid_t tid)
{
	char path[64], line[256] = "";
	char *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = 0;
	close(fd);
	state = strrchr(line, ')');
	return state && state[1] == ' ' && state[2] == 'S';
}

START_TEST(reading_it_empty_frees_a_blocked_writer)
{
	struct blocked_writer writer = { .fd = open_doorbell() };
	pthread_t thread;
	uint64_t count;

	ring(writer.fd, SATURATED);
	ck_assert_ok(fcntl(writer.fd, F_SETFL, 0)); /* the hostile peer */
	ck_assert_int_eq(pthread_create(&thread, NULL, write_blocking, &writer), 0);
	ck_assert_within(atomic_load(&writer.tid) && is_asleep(atomic_load(&writer.tid)), 5000);
	ck_assert(!atomic_load(&writer.done));

	ck_assert_ok(read(writer.fd, &count, sizeof(count))); /* the watchdog */
	ck_assert_within(atomic_load(&writer.done), 5000);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close(writer.fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel/eventfd");
	TCase *tcase = add_test_case(suite, "doorbell", 20);

	tcase_add_test(tcase, writes_coalesce_into_one_read);
	tcase_add_test(tcase, readable_only_while_rung);
	tcase_add_test(tcase, saturated_write_is_eagain);
	tcase_add_test(tcase, all_ones_is_einval);
	tcase_add_test(tcase, nonblock_belongs_to_the_shared_description);
	tcase_add_test(tcase, reading_it_empty_frees_a_blocked_writer);
	return run_suite(suite);
}
