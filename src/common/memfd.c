/* SPDX-License-Identifier: MIT */
/*
 * memfd.c - sealed segments
 *
 * The protection rests on the order of steps, not on any one of them. The size seals come before anyone else
 * has the descriptor, so no mapping can ever reach beyond the end of the file (SIGBUS). F_SEAL_FUTURE_WRITE
 * comes after the one writer has mapped the segment and before a reader sees it: a mapping made earlier keeps
 * its write access, and a PROT_READ mapping made earlier from a writable descriptor can even be upgraded by
 * mprotect() later, while F_GET_SEALS looks perfect. F_SEAL_WRITE would be stricter but cannot be set while a
 * writable mapping exists.
 *
 * A read-only descriptor and mode 0600 are the second line: they stop reopening through /proc by other users.
 * They are not enough alone, since a process of the same uid may always reopen.
 *
 * Source: fcntl(2), memfd_create(2); F_SEAL_FUTURE_WRITE is Linux 5.1, MFD_NOEXEC_SEAL 6.3.
 * tests/unit/test-memfd.c tries each known way around the seals.
 */
#include "common/memfd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/fd.h"

/* The kernel headers may be older than the kernel. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6u
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* memfd_create() takes no more of a name (NAME_MAX less its "memfd:" prefix), NUL included. */
#define MEMFD_NAME_BYTES 250

static int create_sealable(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | flags);

	/* EINVAL: a kernel before 6.3. Without MFD_EXEC too, which it would not know either. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	return fd < 0 ? -errno : fd;
}

uint64_t memfd_round_size(int fd, uint64_t size)
{
	struct statfs fs;
	uint64_t page;

	if (fstatfs(fd, &fs) < 0 || (uint64_t)fs.f_type != HUGETLBFS_MAGIC || fs.f_bsize <= 0)
		return size;
	page = (uint64_t)fs.f_bsize;
	return (size + page - 1) / page * page;
}

void memfd_advise_huge(const void *mapping, uint64_t size)
{
	madvise((void *)(uintptr_t)mapping, size, MADV_HUGEPAGE);
}

static int create(const char *label, uint64_t *size, unsigned int flags)
{
	_cleanup_fd_ int fd = -1;
	char name[MEMFD_NAME_BYTES];

	snprintf(name, sizeof(name), "zcp:%s", label);
	fd = create_sealable(name, flags);
	if (fd < 0)
		return fd;
	*size = memfd_round_size(fd, *size);

	/* The default is 0666 with MFD_NOEXEC_SEAL and 0777 without: everybody could reopen it. */
	if (fchmod(fd, 0600) < 0)
		return -errno;
	if (ftruncate(fd, (off_t)*size) < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, MEMFD_SEALS_SIZE) < 0)
		return -errno;
	return fd_take(&fd);
}

int memfd_create_segment(const char *label, uint64_t size)
{
	if (!size || size % (uint64_t)sysconf(_SC_PAGESIZE))
		return -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	return create(label, &size, 0);
}

int memfd_create_huge(const char *label, uint64_t *size)
{
	return *size && *size <= INT64_MAX / 2 ? create(label, size, MFD_HUGETLB) : -EINVAL;
}

int memfd_seal_writer(int fd)
{
	/* One call: there is no moment in which somebody could add or miss one of the two. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

int memfd_reader_fd(int fd)
{
	char path[32];
	int reader;

	/* dup() shares the open file description and its O_RDWR; only a new open() can be read-only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (reader >= 0)
		return reader;

	/* No /proc, or one that hides us. A bad @fd ends here as well and gets its EBADF from fcntl(). */
	if (errno != ENOENT && errno != ENOTDIR && errno != EACCES && errno != EPERM)
		return -errno;
	reader = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return reader < 0 ? -errno : reader;
}

static int map_segment(int fd, uint64_t size, uint64_t part, int wanted_seals, int protection, void **mapping)
{
	struct stat st;
	void *address;
	int seals;

	/* EINVAL: the file has no seals, so it is no memfd. An ordinary tmpfs file gets here but lacks the seals. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -EBADF;
	if ((seals & wanted_seals) != wanted_seals)
		return -EPERM;

	/* Asked after the size seals were seen, the size is final. */
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!size || st.st_size < 0 || (uint64_t)st.st_size != size)
		return -EMSGSIZE;

	address = mmap(NULL, part, protection, MAP_SHARED, fd, 0);
	if (address == MAP_FAILED)
		return -errno;

	/* A child would be a second writer, or hold the memory of a dead publisher. */
	if (madvise(address, part, MADV_DONTFORK) < 0) {
		int saved_errno = errno;

		munmap(address, part);
		return -saved_errno;
	}
	*mapping = address;
	return 0;
}

int memfd_map_writer(int fd, uint64_t size, void **mapping)
{
	return map_segment(fd, size, size, MEMFD_SEALS_SIZE, PROT_READ | PROT_WRITE, mapping);
}

int memfd_map_reader(int fd, uint64_t size, const void **mapping)
{
	uint64_t part = size;

	return memfd_map_beginning(fd, size, &part, mapping);
}

int memfd_map_beginning(int fd, uint64_t size, uint64_t *part, const void **mapping)
{
	uint64_t rounded = memfd_round_size(fd, *part);
	void *address;
	int r;

	if (rounded > size)
		rounded = size;
	r = map_segment(fd, size, rounded, MEMFD_SEALS_READER, PROT_READ, &address);
	if (r < 0)
		return r;
	*part = rounded;
	*mapping = address;
	return 0;
}

/* What /proc says the descriptor is. 0 or a negative errno value. */
static int read_link(int fd, char *text, size_t bytes)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, text, bytes - 1);
	if (n < 0)
		return errno == EBADF ? -EBADF : -ENOENT;
	text[n] = 0;
	return 0;
}

int memfd_check_origin(int fd, const char *label, uint64_t size)
{
	char is[MEMFD_NAME_BYTES + 32], wanted[MEMFD_NAME_BYTES + 32];
	struct stat st;
	int seals, r;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -EBADF;
	if ((seals & MEMFD_SEALS_READER) != MEMFD_SEALS_READER)
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size != size)
		return -EMSGSIZE;
	if (st.st_uid != geteuid() || (st.st_mode & 07777) != 0600)
		return -EACCES;
	r = read_link(fd, is, sizeof(is));
	if (r < 0)
		return r;
	/* unlinked from the start, and /proc says so; a file of that name elsewhere is no memfd and has failed above */
	snprintf(wanted, sizeof(wanted), "/memfd:zcp:%s (deleted)", label);
	return strcmp(is, wanted) ? -ESTALE : 0;
}

int memfd_check_eventfd(int fd)
{
	char is[64];
	int r = read_link(fd, is, sizeof(is));

	if (r < 0)
		return r;
	return strcmp(is, "anon_inode:[eventfd]") ? -EINVAL : 0;
}
