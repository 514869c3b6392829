/* SPDX-License-Identifier: MIT */
/* src/common/fd.c: who closes what, and that errno survives it. */
#include "common/fd.h"

#include <fcntl.h>

#include "harness.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(test_close)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_close(fd), -1);
	ck_assert(!is_open(fd));
	ck_assert_int_eq(fd_close(-1), -1);
}
END_TEST

START_TEST(test_close_keeps_errno)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	fd_close(fd);
	errno = ENOTUNIQ;
	fd_close(fd);		/* EBADF inside */
	ck_assert_int_eq(errno, ENOTUNIQ);
	fd_close(-1);
	ck_assert_int_eq(errno, ENOTUNIQ);
}
END_TEST

static int construct(bool succeed, int *seen)
{
	_cleanup_fd_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = malloc(16);

	*seen = fd;
	if (!succeed)
		return -EINVAL;
	ck_assert_ptr_nonnull(text);
	return fd_take(&fd);
}

START_TEST(test_guarded_local)
{
	int seen = -1, fd;

	ck_assert_int_eq(construct(false, &seen), -EINVAL);
	ck_assert(!is_open(seen));

	fd = construct(true, &seen);
	ck_assert_int_eq(fd, seen);
	ck_assert(is_open(fd));
	fd_close(fd);
}
END_TEST

START_TEST(test_take_empties)
{
	int fd = 7;

	ck_assert_int_eq(fd_take(&fd), 7);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(fd_take(&fd), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fd");
	TCase *tcase = add_test_case(suite, "fd", 10);

	tcase_add_test(tcase, test_close);
	tcase_add_test(tcase, test_close_keeps_errno);
	tcase_add_test(tcase, test_guarded_local);
	tcase_add_test(tcase, test_take_empties);
	return run_suite(suite);
}
