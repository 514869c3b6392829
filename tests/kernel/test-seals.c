/* SPDX-License-Identifier: MIT */
/*
 * The rule "every byte of shared memory has exactly one process that can write it" is a sequence of memfd
 * seals (architecture.md, "The one idea"). Here is what each step of it takes from the kernel, and the
 * three holes that the order of the steps closes: they have names that end in `_hole`, and if one of those
 * fails, the kernel got stricter and nothing is wrong with zcp.
 *
 * Segments are two pages and RLIMIT_FSIZE is small: a huge memfd wakes the OOM killer, not ENOSPC.
 */

#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define PAGE_BYTES    ((size_t)65536) /* a multiple of every page size Linux has */
#define SEGMENT_BYTES (2 * PAGE_BYTES)
#define SIZE_SEALS    (F_SEAL_SHRINK | F_SEAL_GROW)
#define WRITE_SEALS   (F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static int create_segment(void)
{
	int fd = memfd_create("zcp-test", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("zcp-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_ok(fd);
	ck_assert_ok(ftruncate(fd, SEGMENT_BYTES));
	ck_assert_ok(fcntl(fd, F_ADD_SEALS, SIZE_SEALS));
	return fd;
}

static unsigned char *map_segment(int fd, int protection)
{
	void *map = mmap(NULL, SEGMENT_BYTES, protection, MAP_SHARED, fd, 0);

	ck_assert_msg(map != MAP_FAILED, "mmap: %s", strerror(errno));
	return map;
}

static void unmap_segment(unsigned char *map)
{
	ck_assert_ok(munmap(map, SEGMENT_BYTES));
}

static int seal_writing(int fd)
{
	return fcntl(fd, F_ADD_SEALS, WRITE_SEALS);
}

static void assert_not_mappable(int fd)
{
	errno = 0;
	ck_assert_ptr_eq(mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
			 MAP_FAILED);
	ck_assert_int_eq(errno, EPERM);
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* What the writer and a reader hold after the full sequence: create, size, map, seal. */
struct sealed {
	int fd;
	unsigned char *writer_map;
};

static struct sealed create_sealed(void)
{
	struct sealed sealed = { .fd = create_segment() };

	sealed.writer_map = map_segment(sealed.fd, PROT_READ | PROT_WRITE);
	ck_assert_ok(seal_writing(sealed.fd));
	return sealed;
}

static void destroy_sealed(struct sealed *sealed)
{
	unmap_segment(sealed->writer_map);
	close(sealed->fd);
}

START_TEST(old_map_keeps_writing)
{
	struct sealed sealed = create_sealed();
	unsigned char *reader_map = map_segment(sealed.fd, PROT_READ);

	sealed.writer_map[PAGE_BYTES] = 0x5a;
	ck_assert_uint_eq(*(volatile unsigned char *)&reader_map[PAGE_BYTES], 0x5a);
	unmap_segment(reader_map);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(new_writable_map_is_refused)
{
	struct sealed sealed = create_sealed();

	assert_not_mappable(sealed.fd);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(reopened_fd_maps_no_better)
{
	struct sealed sealed = create_sealed();
	int fd = reopen(sealed.fd, O_RDWR);

	ck_assert_ok(fd); /* the open itself is allowed: O_RDONLY protects nothing */
	assert_not_mappable(fd);
	ck_assert_fails(write(fd, "x", 1), EPERM);
	close(fd);
	ck_assert_fails(reopen(sealed.fd, O_RDWR | O_TRUNC), EPERM);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(writing_through_the_fd_is_refused)
{
	struct sealed sealed = create_sealed();

	ck_assert_fails(write(sealed.fd, "x", 1), EPERM);
	ck_assert_fails(pwrite(sealed.fd, "x", 1, 0), EPERM);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(punching_holes_is_refused)
{
	struct sealed sealed = create_sealed();

	sealed.writer_map[0] = 0x5a;
	ck_assert_fails(fallocate(sealed.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  PAGE_BYTES), EPERM);
	ck_assert_fails(madvise(sealed.writer_map, PAGE_BYTES, MADV_REMOVE), EPERM);
	ck_assert_uint_eq(sealed.writer_map[0], 0x5a);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(size_is_fixed)
{
	struct sealed sealed = create_sealed();
	struct stat stat;

	ck_assert_fails(ftruncate(sealed.fd, PAGE_BYTES), EPERM);
	ck_assert_fails(ftruncate(sealed.fd, SEGMENT_BYTES + PAGE_BYTES), EPERM);
	ck_assert_fails(fallocate(sealed.fd, 0, 0, SEGMENT_BYTES + PAGE_BYTES), EPERM);
	ck_assert_ok(fstat(sealed.fd, &stat));
	ck_assert_int_eq(stat.st_size, SEGMENT_BYTES);
	destroy_sealed(&sealed);
}
END_TEST

/* The router may want the pages before it seals, and size seals must not stand in the way of that. */
START_TEST(preallocation_within_the_sealed_size_works)
{
	int fd = create_segment();
	struct stat stat;

	ck_assert_ok(fallocate(fd, 0, 0, SEGMENT_BYTES));
	ck_assert_ok(fstat(fd, &stat));
	ck_assert_int_eq(stat.st_blocks, SEGMENT_BYTES / 512);
	close(fd);
}
END_TEST

START_TEST(map_made_after_the_seal_cannot_be_upgraded)
{
	struct sealed sealed = create_sealed();
	unsigned char *reader_map = map_segment(sealed.fd, PROT_READ);

	ck_assert_fails(mprotect(reader_map, SEGMENT_BYTES, PROT_READ | PROT_WRITE), EACCES);
	unmap_segment(reader_map);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(private_map_never_reaches_the_segment)
{
	struct sealed sealed = create_sealed();
	unsigned char *private_map = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE,
					  sealed.fd, 0);

	ck_assert_ptr_ne(private_map, MAP_FAILED);
	private_map[0] = 0x5a;
	ck_assert_uint_eq(sealed.writer_map[0], 0);
	unmap_segment(private_map);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(seal_seal_blocks_more_seals)
{
	struct sealed sealed = create_sealed();

	ck_assert_fails(fcntl(sealed.fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	ck_assert_int_eq(fcntl(sealed.fd, F_GET_SEALS) & ~F_SEAL_EXEC, SIZE_SEALS | WRITE_SEALS);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(reader_sees_the_seals_through_a_readonly_fd)
{
	struct sealed sealed = create_sealed();
	int fd = reopen(sealed.fd, O_RDONLY);

	ck_assert_ok(fd);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS), fcntl(sealed.fd, F_GET_SEALS));
	close(fd);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(readonly_fd_cannot_add_seals)
{
	int fd = create_segment();
	int readonly = reopen(fd, O_RDONLY);

	ck_assert_ok(readonly);
	ck_assert_fails(seal_writing(readonly), EPERM);
	close(readonly);
	close(fd);
}
END_TEST

/* A receiver asks any fd for its seals: what is not a memfd has to say so. */
START_TEST(other_files_have_no_seals)
{
	int pipes[2];

	ck_assert_ok(pipe2(pipes, O_CLOEXEC));
	ck_assert_fails(fcntl(pipes[0], F_GET_SEALS), EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

/* Why the design uses FUTURE_WRITE and not the older WRITE. */
START_TEST(seal_write_is_busy_while_mapped)
{
	int fd = create_segment();
	unsigned char *map = map_segment(fd, PROT_READ | PROT_WRITE);

	ck_assert_fails(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	unmap_segment(map);
	close(fd);
}
END_TEST

/* Hole: why no reader may see the fd before FUTURE_WRITE is set. */
START_TEST(readonly_map_from_before_the_seal_can_be_upgraded_hole)
{
	int fd = create_segment();
	unsigned char *map = map_segment(fd, PROT_READ);

	ck_assert_ok(seal_writing(fd));
	ck_assert_ok(mprotect(map, SEGMENT_BYTES, PROT_READ | PROT_WRITE));
	map[0] = 1;
	unmap_segment(map);
	close(fd);
}
END_TEST

/* Hole: the writer can double its own map, which harms nobody but is to be known. */
START_TEST(mremap_clones_the_writable_map_hole)
{
	struct sealed sealed = create_sealed();
	unsigned char *clone = mremap(sealed.writer_map, 0, SEGMENT_BYTES, MREMAP_MAYMOVE);

	ck_assert_ptr_ne(clone, MAP_FAILED);
	clone[0] = 0x5a;
	ck_assert_uint_eq(sealed.writer_map[0], 0x5a);
	unmap_segment(clone);
	destroy_sealed(&sealed);
}
END_TEST

/* Hole: without size seals a map is no promise, whoever can truncate sends SIGBUS. */
START_TEST(unsealed_size_can_shrink_under_a_map_hole)
{
	int fd = memfd_create("zcp-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 && errno == EACCES)
		skip_test("vm.memfd_noexec=2 forbids a memfd without MFD_NOEXEC_SEAL");
	ck_assert_ok(fd);
	ck_assert_ok(ftruncate(fd, SEGMENT_BYTES));
	unmap_segment(map_segment(fd, PROT_READ));
	ck_assert_ok(ftruncate(fd, PAGE_BYTES));
	close(fd);
}
END_TEST

/* Runs @touch on @byte in a child with default signal actions (a sanitizer has its own). Returns the
 * signal that killed it, 0 when none did. */
static int touch_in_child(volatile unsigned char *byte)
{
	struct rlimit no_core = { 0, 0 };
	int status;
	pid_t child = fork();

	ck_assert_ok(child);
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		(void)*byte;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

START_TEST(beyond_the_end_is_sigbus)
{
	int fd = create_segment();
	unsigned char *map = mmap(NULL, SEGMENT_BYTES + PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);

	ck_assert_ptr_ne(map, MAP_FAILED); /* mmap does not check: the receiver must, with fstat */
	ck_assert_int_eq(touch_in_child(map), 0);
	ck_assert_int_eq(touch_in_child(map + SEGMENT_BYTES), SIGBUS);
	ck_assert_ok(munmap(map, SEGMENT_BYTES + PAGE_BYTES));
	close(fd);
}
END_TEST

START_TEST(dontfork_keeps_the_map_from_the_child)
{
	struct sealed sealed = create_sealed();

	ck_assert_int_eq(touch_in_child(sealed.writer_map), 0);
	ck_assert_ok(madvise(sealed.writer_map, SEGMENT_BYTES, MADV_DONTFORK));
	ck_assert_int_eq(touch_in_child(sealed.writer_map), SIGSEGV);
	destroy_sealed(&sealed);
}
END_TEST

START_TEST(noexec_seal_implies_sealing)
{
	int fd = memfd_create("zcp-test", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	struct stat stat;

	if (fd < 0 && errno == EINVAL)
		skip_test("no MFD_NOEXEC_SEAL before Linux 6.3");
	ck_assert_ok(fd);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
	ck_assert_ok(fstat(fd, &stat));
	ck_assert_int_eq(stat.st_mode & 0111, 0);
	ck_assert_fails(fchmod(fd, 0777), EPERM);
	ck_assert_ok(fchmod(fd, 0400)); /* still possible: keeps other users from reopening it */
	close(fd);
}
END_TEST

/* The fallback relies on EINVAL for a flag that the kernel does not know. */
START_TEST(unknown_flag_is_einval)
{
	ck_assert_fails(memfd_create("zcp-test", MFD_CLOEXEC | 0x01000000U), EINVAL);
}
END_TEST

START_TEST(without_allow_sealing_there_are_no_seals)
{
	int fd = memfd_create("zcp-test", MFD_CLOEXEC);

	if (fd < 0 && errno == EACCES)
		skip_test("vm.memfd_noexec=2 forbids a memfd without MFD_NOEXEC_SEAL");
	ck_assert_ok(fd);
	if (fcntl(fd, F_GET_SEALS) & F_SEAL_EXEC) {
		close(fd);
		skip_test("vm.memfd_noexec=1 makes every memfd sealable");
	}
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	ck_assert_fails(fcntl(fd, F_ADD_SEALS, SIZE_SEALS), EPERM);
	close(fd);
}
END_TEST

/* The guard of this suite and of the router's memory tests. */
START_TEST(rlimit_fsize_bounds_a_memfd)
{
	struct rlimit limit;
	int fd = memfd_create("zcp-test", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("zcp-test", MFD_CLOEXEC);
	ck_assert_ok(fd);
	ck_assert_ok(getrlimit(RLIMIT_FSIZE, &limit));
	ck_assert_fails(ftruncate(fd, (off_t)(limit.rlim_cur + PAGE_BYTES)), EFBIG);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernel/seals");
	TCase *sequence = add_test_case(suite, "sequence", 20);
	TCase *holes = add_test_case(suite, "holes", 20);
	TCase *creation = add_test_case(suite, "creation", 20);
	struct rlimit limit = { 1 << 20, 1 << 20 };
	int fd;

	setrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN);
	fd = memfd_create("zcp-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 && errno != EACCES)
		skip_suite("memfd_create: %s", strerror(errno));
	close(fd);

	tcase_add_test(sequence, old_map_keeps_writing);
	tcase_add_test(sequence, new_writable_map_is_refused);
	tcase_add_test(sequence, reopened_fd_maps_no_better);
	tcase_add_test(sequence, writing_through_the_fd_is_refused);
	tcase_add_test(sequence, punching_holes_is_refused);
	tcase_add_test(sequence, size_is_fixed);
	tcase_add_test(sequence, preallocation_within_the_sealed_size_works);
	tcase_add_test(sequence, map_made_after_the_seal_cannot_be_upgraded);
	tcase_add_test(sequence, private_map_never_reaches_the_segment);
	tcase_add_test(sequence, seal_seal_blocks_more_seals);
	tcase_add_test(sequence, reader_sees_the_seals_through_a_readonly_fd);
	tcase_add_test(sequence, readonly_fd_cannot_add_seals);
	tcase_add_test(sequence, other_files_have_no_seals);
	tcase_add_test(sequence, seal_write_is_busy_while_mapped);
	tcase_add_test(sequence, beyond_the_end_is_sigbus);
	tcase_add_test(sequence, dontfork_keeps_the_map_from_the_child);

	tcase_add_test(holes, readonly_map_from_before_the_seal_can_be_upgraded_hole);
	tcase_add_test(holes, mremap_clones_the_writable_map_hole);
	tcase_add_test(holes, unsealed_size_can_shrink_under_a_map_hole);

	tcase_add_test(creation, noexec_seal_implies_sealing);
	tcase_add_test(creation, unknown_flag_is_einval);
	tcase_add_test(creation, without_allow_sealing_there_are_no_seals);
	tcase_add_test(creation, rlimit_fsize_bounds_a_memfd);
	return run_suite(suite);
}
