/* SPDX-License-Identifier: MIT */
/* src/common/memfd.c: the steps of a segment's life, and every known way around the seals. */
#include "common/memfd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "harness.h"

#define SIZE 8192u

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/* A segment as it is when readers get it: the writer's old mapping in *@writer. */
static int create_sealed(void **writer)
{
	int fd = memfd_create_segment("test", SIZE);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(memfd_map_writer(fd, SIZE, writer), 0);
	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	return fd;
}

START_TEST(test_create)
{
	_cleanup_fd_ int fd = memfd_create_segment("node/topic", SIZE);
	char path[64], target[64] = "";
	struct stat st;
	int probe;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & ~F_SEAL_EXEC, MEMFD_SEALS_SIZE);
	ck_assert_ok(fstat(fd, &st));
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(st.st_size, SIZE);
	ck_assert_int_eq(st.st_blocks, 0);		/* nothing allocated: whoever touches it is charged */

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ck_assert_ok(readlink(path, target, sizeof(target) - 1));
	ck_assert_ptr_nonnull(strstr(target, "memfd:zcp:node/topic"));

	/* Where the kernel has MFD_NOEXEC_SEAL, it was used. */
	probe = memfd_create("probe", MFD_CLOEXEC | 0x0008U);
	if (probe >= 0) {
		ck_assert(fcntl(fd, F_GET_SEALS) & F_SEAL_EXEC);
		ck_assert_fails(fchmod(fd, 0700), EPERM);
		fd_close(probe);
	}
}
END_TEST

START_TEST(test_create_bad_sizes)
{
	char label[1000];
	int fd;

	ck_assert_int_eq(memfd_create_segment("test", 0), -EINVAL);
	ck_assert_int_eq(memfd_create_segment("test", 1), -EINVAL);
	ck_assert_int_eq(memfd_create_segment("test", SIZE + 1), -EINVAL);
	ck_assert_int_eq(memfd_create_segment("test", (uint64_t)INT64_MAX + 1), -EFBIG);
	ck_assert_int_eq(memfd_create_segment("test", UINT64_MAX & ~4095ull), -EFBIG);

	/* A label beyond what the kernel takes is cut, not refused. */
	memset(label, 'x', sizeof(label) - 1);
	label[sizeof(label) - 1] = 0;
	fd = memfd_create_segment(label, SIZE);
	ck_assert_int_ge(fd, 0);
	fd_close(fd);
}
END_TEST

START_TEST(test_create_file_limit)
{
	struct rlimit limit = { .rlim_cur = SIZE, .rlim_max = SIZE };
	int fd;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_ok(setrlimit(RLIMIT_FSIZE, &limit));
	ck_assert_int_eq(memfd_create_segment("test", 2 * SIZE), -EFBIG);
	fd = memfd_create_segment("test", SIZE);
	ck_assert_int_ge(fd, 0);
	fd_close(fd);
}
END_TEST

START_TEST(test_create_fd_limit)
{
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = 0 };
	struct rlimit old;

	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &old));
	limit.rlim_max = old.rlim_max;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
	ck_assert_int_eq(memfd_create_segment("test", SIZE), -EMFILE);
	ck_assert_int_eq(memfd_reader_fd(2), -EMFILE);
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &old));
}
END_TEST

START_TEST(test_size_is_fixed)
{
	_cleanup_fd_ int fd = memfd_create_segment("test", SIZE);

	ck_assert_fails(ftruncate(fd, SIZE / 2), EPERM);
	ck_assert_fails(ftruncate(fd, 2 * SIZE), EPERM);
	ck_assert_fails(pwrite(fd, "x", 1, SIZE), EPERM);
	ck_assert_fails(fallocate(fd, 0, SIZE, SIZE), EPERM);
}
END_TEST

START_TEST(test_seal_writer)
{
	void *writer;
	_cleanup_fd_ int fd = create_sealed(&writer);
	_cleanup_fd_ int unsealed = memfd_create_segment("test", SIZE);
	_cleanup_fd_ int reader = memfd_reader_fd(unsealed);

	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & ~F_SEAL_EXEC, MEMFD_SEALS_READER);
	ck_assert_fails(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	ck_assert_int_eq(memfd_seal_writer(fd), -EPERM);
	ck_assert_int_eq(memfd_seal_writer(reader), -EPERM);
	ck_assert_int_eq(memfd_seal_writer(-1), -EBADF);
	munmap(writer, SIZE);
}
END_TEST

START_TEST(test_reader_fd)
{
	void *writer;
	_cleanup_fd_ int fd = create_sealed(&writer);
	_cleanup_fd_ int reader = memfd_reader_fd(fd);
	struct stat a, b;

	ck_assert_int_ge(reader, 0);
	ck_assert_int_eq(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(reader, F_GETFD), FD_CLOEXEC);
	ck_assert_ok(fstat(fd, &a));
	ck_assert_ok(fstat(reader, &b));
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert_int_eq(memfd_reader_fd(-1), -EBADF);
	ck_assert_int_eq(memfd_reader_fd(1000000), -EBADF);
	munmap(writer, SIZE);
}
END_TEST

START_TEST(test_reader_sees_writer)
{
	void *writer;
	const void *mapping = NULL;
	_cleanup_fd_ int fd = create_sealed(&writer);
	_cleanup_fd_ int reader = memfd_reader_fd(fd);

	ck_assert_int_eq(memfd_map_reader(reader, SIZE, &mapping), 0);
	strcpy(writer, "written after the seal");
	ck_assert_str_eq(mapping, "written after the seal");
	((char *)writer)[SIZE - 1] = 'z';
	ck_assert_int_eq(((const char *)mapping)[SIZE - 1], 'z');

	/* Through a duplicate (no /proc) it is the same. */
	munmap((void *)mapping, SIZE);
	ck_assert_int_eq(memfd_map_reader(fd, SIZE, &mapping), 0);
	ck_assert_str_eq(mapping, "written after the seal");
	munmap((void *)mapping, SIZE);
	munmap(writer, SIZE);
}
END_TEST

/* What a reader, or the writer itself, may try through @fd, whatever mode that was opened with. */
static void attack(int fd)
{
	const void *mapping = NULL;
	int access = fcntl(fd, F_GETFL) & O_ACCMODE;
	int want_write = access == O_RDONLY ? EBADF : EPERM;
	int want_truncate = access == O_RDONLY ? EINVAL : EPERM;
	int want_map = access == O_RDONLY ? EACCES : EPERM;
	void *private;

	ck_assert_ptr_eq(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	ck_assert_int_eq(errno, want_map);
	ck_assert_ptr_eq(mmap(NULL, SIZE, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	ck_assert_fails(write(fd, "x", 1), want_write);
	ck_assert_fails(pwrite(fd, "x", 1, 0), want_write);
	ck_assert_fails(ftruncate(fd, 0), want_truncate);
	ck_assert_fails(ftruncate(fd, 2 * SIZE), want_truncate);
	ck_assert_fails(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE), want_write);
	ck_assert_fails(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);

	ck_assert_int_eq(memfd_map_reader(fd, SIZE, &mapping), 0);
	ck_assert_fails(mprotect((void *)mapping, SIZE, PROT_READ | PROT_WRITE), EACCES);
	ck_assert_fails(madvise((void *)mapping, SIZE, MADV_REMOVE), EACCES);
	ck_assert_str_eq(mapping, "precious");

	/* A private mapping may be written, but that is a copy. */
	private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (private != MAP_FAILED) {
		strcpy(private, "mine");
		munmap(private, SIZE);
	}
	ck_assert_str_eq(mapping, "precious");
	munmap((void *)mapping, SIZE);
}

START_TEST(test_attacks)
{
	void *writer;
	_cleanup_fd_ int fd = create_sealed(&writer);
	_cleanup_fd_ int reader = memfd_reader_fd(fd);
	_cleanup_fd_ int reopened = -1;
	char path[64];

	strcpy(writer, "precious");
	attack(fd);
	attack(reader);

	/* The same uid may reopen a read-only descriptor read-write: that is what the seals are for. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", reader);
	reopened = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(reopened, 0);
	attack(reopened);
	ck_assert_fails(open(path, O_RDWR | O_CLOEXEC | O_TRUNC), EPERM);

	/* And the old mapping is not affected by any of it. */
	ck_assert_str_eq(writer, "precious");
	strcpy(writer, "changed");
	munmap(writer, SIZE);
}
END_TEST

/* The order matters: this is why a reader must not get the descriptor before the seal. */
START_TEST(test_early_reader_refused)
{
	_cleanup_fd_ int fd = memfd_create_segment("test", SIZE);
	const void *mapping = NULL;

	ck_assert_int_eq(memfd_map_reader(fd, SIZE, &mapping), -EPERM);
	ck_assert_ptr_null(mapping);
}
END_TEST

START_TEST(test_writer_after_seal)
{
	void *writer, *second = NULL;
	_cleanup_fd_ int fd = create_sealed(&writer);

	ck_assert_int_eq(memfd_map_writer(fd, SIZE, &second), -EPERM);
	ck_assert_ptr_null(second);
	munmap(writer, SIZE);
}
END_TEST

START_TEST(test_wrong_size)
{
	static const uint64_t sizes[] = { 0, 1, SIZE - 1, SIZE / 2, SIZE + 1, 2 * SIZE, UINT64_MAX };
	void *writer = NULL, *other = NULL;
	const void *mapping = NULL;
	_cleanup_fd_ int fd = memfd_create_segment("test", SIZE);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		ck_assert_int_eq(memfd_map_writer(fd, sizes[i], &other), -EMSGSIZE);
	ck_assert_int_eq(memfd_map_writer(fd, SIZE, &writer), 0);
	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		ck_assert_int_eq(memfd_map_reader(fd, sizes[i], &mapping), -EMSGSIZE);
	ck_assert_ptr_null(other);
	ck_assert_ptr_null(mapping);
	munmap(writer, SIZE);
}
END_TEST

/* Each set of seals in which one or more is missing. */
START_TEST(test_missing_seals)
{
	static const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL };

	for (unsigned int set = 0; set < 16; set++) {
		_cleanup_fd_ int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		const void *mapping = NULL;
		void *writer = NULL;
		int some = 0;

		ck_assert_ok(ftruncate(fd, SIZE));
		for (unsigned int i = 0; i < 4; i++)
			some |= set & 1u << i ? seals[i] : 0;
		ck_assert_ok(fcntl(fd, F_ADD_SEALS, some));

		ck_assert_int_eq(memfd_map_reader(fd, SIZE, &mapping), set == 15 ? 0 : -EPERM);
		if (mapping)
			munmap((void *)mapping, SIZE);

		if ((set & 3) != 3 || set & 4)
			ck_assert_int_eq(memfd_map_writer(fd, SIZE, &writer), -EPERM);
		else
			ck_assert_int_eq(memfd_map_writer(fd, SIZE, &writer), 0);
		if (writer)
			munmap(writer, SIZE);
	}
}
END_TEST

static void refuse(int fd, int want)
{
	const void *mapping = NULL;
	void *writer = NULL;

	ck_assert_int_eq(memfd_map_reader(fd, SIZE, &mapping), want);
	ck_assert_int_eq(memfd_map_writer(fd, SIZE, &writer), want);
	ck_assert_ptr_null(mapping);
	ck_assert_ptr_null(writer);
}

START_TEST(test_not_a_memfd)
{
	_cleanup_fd_ int regular = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int device = open("/dev/zero", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int event = eventfd(0, EFD_CLOEXEC);
	_cleanup_fd_ int unsealable = memfd_create("test", MFD_CLOEXEC);
	_cleanup_fd_ int path_only = open("/", O_PATH | O_CLOEXEC);
	_cleanup_fd_ int tmpfs = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int pipe_fds[2];

	ck_assert_ok(pipe2(pipe_fds, O_CLOEXEC));
	refuse(-1, -EBADF);
	refuse(1000000, -EBADF);
	refuse(regular, -EBADF);
	refuse(directory, -EBADF);
	refuse(device, -EBADF);
	refuse(event, -EBADF);
	refuse(path_only, -EBADF);
	refuse(pipe_fds[0], -EBADF);
	refuse(pipe_fds[1], -EBADF);
	ck_assert_ok(ftruncate(unsealable, SIZE));
	refuse(unsealable, -EPERM);
	if (tmpfs >= 0) {
		/* Where /dev/shm is a tmpfs its files have (no useful) seals; elsewhere none at all. */
		ck_assert_ok(ftruncate(tmpfs, SIZE));
		refuse(tmpfs, fcntl(tmpfs, F_GET_SEALS) < 0 ? -EBADF : -EPERM);
	}
	fd_close(pipe_fds[0]);
	fd_close(pipe_fds[1]);
}
END_TEST

START_TEST(test_read_only_fd_for_writer)
{
	_cleanup_fd_ int fd = memfd_create_segment("test", SIZE);
	_cleanup_fd_ int reader = memfd_reader_fd(fd);
	void *writer = NULL;

	ck_assert_int_eq(memfd_map_writer(reader, SIZE, &writer), -EACCES);
	ck_assert_ptr_null(writer);
}
END_TEST

/* The exit status says whether a forked child finds the page mapped (mincore: ENOMEM where nothing is). */
static int child_sees(const void *mapping)
{
	unsigned char vec[SIZE / 4096];
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(mincore((void *)mapping, SIZE, vec) == 0);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_fork)
{
	void *writer;
	const void *mapping;
	_cleanup_fd_ int fd = create_sealed(&writer);

	ck_assert_int_eq(memfd_map_reader(fd, SIZE, &mapping), 0);
	ck_assert_int_eq(child_sees(writer), 0);
	ck_assert_int_eq(child_sees(mapping), 0);
	munmap((void *)mapping, SIZE);
	munmap(writer, SIZE);
}
END_TEST

/* --- what a router made once -------------------------------------------------------------------------- */

#define LABEL "data:0:77:91"

START_TEST(test_origin)
{
	_cleanup_fd_ int fd = memfd_create_segment(LABEL, SIZE);
	_cleanup_fd_ int reader = -1;

	ck_assert_int_eq(memfd_check_origin(fd, LABEL, SIZE), -EPERM);		/* not sealed for readers yet */
	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	ck_assert_int_eq(memfd_check_origin(fd, LABEL, SIZE), 0);
	ck_assert_ok(reader = memfd_reader_fd(fd));
	ck_assert_int_eq(memfd_check_origin(reader, LABEL, SIZE), 0);
	ck_assert_int_eq(memfd_check_origin(fd, LABEL, SIZE - 4096), -EMSGSIZE);
	ck_assert_int_eq(memfd_check_origin(fd, LABEL, 2 * SIZE), -EMSGSIZE);
	ck_assert_int_eq(memfd_check_origin(fd, "data:0:77:9", SIZE), -ESTALE);		/* the beginning of it */
	ck_assert_int_eq(memfd_check_origin(fd, "data:0:77:911", SIZE), -ESTALE);
	ck_assert_int_eq(memfd_check_origin(fd, "", SIZE), -ESTALE);
}
END_TEST

/* The owner is the user who made it, whoever has it; the mode is ours. */
START_TEST(test_origin_owner_and_mode)
{
	_cleanup_fd_ int fd = memfd_create_segment(LABEL, SIZE);
	int status;
	pid_t pid;

	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	ck_assert_ok(fchmod(fd, 0640));
	ck_assert_int_eq(memfd_check_origin(fd, LABEL, SIZE), -EACCES);
	ck_assert_ok(fchmod(fd, 0600));
	ck_assert_int_eq(memfd_check_origin(fd, LABEL, SIZE), 0);
	if (geteuid() != 0)
		skip_test("only root can be another user");
	ck_assert_ok(pid = fork());
	if (!pid)
		_exit(setresuid(65534, 65534, 65534) < 0 ? 1 : memfd_check_origin(fd, LABEL, SIZE) == -EACCES ? 0 : 2);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* A name that begins as the kernel begins it, and things that have no seals. */
START_TEST(test_origin_imitations)
{
	_cleanup_fd_ int named = memfd_create("memfd:zcp:" LABEL, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	_cleanup_fd_ int other = memfd_create(LABEL, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	_cleanup_fd_ int regular = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int event = eventfd(0, EFD_CLOEXEC);
	int fds[] = { named, other };

	for (int i = 0; i < 2; i++) {
		ck_assert_ok(fchmod(fds[i], 0600));
		ck_assert_ok(ftruncate(fds[i], SIZE));
		ck_assert_ok(fcntl(fds[i], F_ADD_SEALS, MEMFD_SEALS_READER));
		ck_assert_int_eq(memfd_check_origin(fds[i], LABEL, SIZE), -ESTALE);
	}
	ck_assert_int_eq(memfd_check_origin(regular, LABEL, SIZE), -EBADF);
	ck_assert_int_eq(memfd_check_origin(event, LABEL, SIZE), -EBADF);
	ck_assert_int_eq(memfd_check_origin(-1, LABEL, SIZE), -EBADF);
}
END_TEST

START_TEST(test_origin_missing_seals)
{
	static const int all[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL };

	for (int missing = 0; missing < 4; missing++) {
		_cleanup_fd_ int fd = memfd_create("zcp:" LABEL, MFD_CLOEXEC | MFD_ALLOW_SEALING);

		ck_assert_ok(fchmod(fd, 0600));
		ck_assert_ok(ftruncate(fd, SIZE));
		ck_assert_ok(fcntl(fd, F_ADD_SEALS, MEMFD_SEALS_READER & ~all[missing]));
		ck_assert_int_eq(memfd_check_origin(fd, LABEL, SIZE), -EPERM);
	}
}
END_TEST

START_TEST(test_eventfd)
{
	_cleanup_fd_ int event = eventfd(0, EFD_CLOEXEC);
	_cleanup_fd_ int segment = memfd_create_segment("anon_inode:[eventfd]", SIZE);
	_cleanup_fd_ int device = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_fd_ int epoll = epoll_create1(EPOLL_CLOEXEC);
	int pipe_fds[2];

	ck_assert_ok(pipe2(pipe_fds, O_CLOEXEC));
	ck_assert_int_eq(memfd_check_eventfd(event), 0);
	ck_assert_int_eq(memfd_check_eventfd(segment), -EINVAL);
	ck_assert_int_eq(memfd_check_eventfd(device), -EINVAL);
	ck_assert_int_eq(memfd_check_eventfd(epoll), -EINVAL);
	ck_assert_int_eq(memfd_check_eventfd(pipe_fds[1]), -EINVAL);
	ck_assert_int_lt(memfd_check_eventfd(-1), 0);
	fd_close(pipe_fds[0]);
	fd_close(pipe_fds[1]);
}
END_TEST

/* Whether there are pages for it shows when it is mapped; it is checked and sealed like any other. */
START_TEST(test_huge)
{
	uint64_t size = 4096, none = 0;
	_cleanup_fd_ int fd = -1;
	void *mapping;
	int r;

	ck_assert_int_eq(memfd_create_huge("huge", &none), -EINVAL);
	fd = memfd_create_huge("huge", &size);
	if (fd < 0)
		skip_test("no file of huge pages can be made here: %s", strerror(-fd));
	ck_assert_uint_gt(size, 4096);
	ck_assert_uint_eq(memfd_round_size(fd, 1), size);
	ck_assert_uint_eq(memfd_round_size(fd, size + 1), 2 * size);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS) & MEMFD_SEALS_SIZE, MEMFD_SEALS_SIZE);
	r = memfd_map_writer(fd, size, &mapping);
	ck_assert(r == 0 || r == -ENOMEM);
	if (r == 0) {
		memfd_advise_huge(mapping, size);
		memset(mapping, 1, size);
		munmap(mapping, size);
	}
	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	ck_assert_int_eq(memfd_check_origin(fd, "huge", size), 0);
	ck_assert_int_eq(memfd_check_origin(fd, "huge", 4096), -EMSGSIZE);
	ck_assert_int_lt(memfd_map_writer(fd, size, &mapping), 0);
}
END_TEST

START_TEST(test_ordinary_files_are_not_rounded)
{
	_cleanup_fd_ int fd = memfd_create_segment("test", SIZE);

	ck_assert_uint_eq(memfd_round_size(fd, 4097), 4097);
	ck_assert_uint_eq(memfd_round_size(-1, 4097), 4097);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memfd");
	TCase *tcase = add_test_case(suite, "memfd", 10);

	tcase_add_test(tcase, test_create);
	tcase_add_test(tcase, test_create_bad_sizes);
	tcase_add_test(tcase, test_create_file_limit);
	tcase_add_test(tcase, test_create_fd_limit);
	tcase_add_test(tcase, test_size_is_fixed);
	tcase_add_test(tcase, test_seal_writer);
	tcase_add_test(tcase, test_reader_fd);
	tcase_add_test(tcase, test_reader_sees_writer);
	tcase_add_test(tcase, test_attacks);
	tcase_add_test(tcase, test_early_reader_refused);
	tcase_add_test(tcase, test_writer_after_seal);
	tcase_add_test(tcase, test_wrong_size);
	tcase_add_test(tcase, test_missing_seals);
	tcase_add_test(tcase, test_not_a_memfd);
	tcase_add_test(tcase, test_read_only_fd_for_writer);
	tcase_add_test(tcase, test_fork);
	tcase_add_test(tcase, test_origin);
	tcase_add_test(tcase, test_origin_owner_and_mode);
	tcase_add_test(tcase, test_origin_imitations);
	tcase_add_test(tcase, test_origin_missing_seals);
	tcase_add_test(tcase, test_eventfd);
	tcase_add_test(tcase, test_huge);
	tcase_add_test(tcase, test_ordinary_files_are_not_rounded);
	return run_suite(suite);
}
