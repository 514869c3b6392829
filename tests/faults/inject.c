/* SPDX-License-Identifier: MIT */
/*
 * See inject.h. Each function here asks inject_fails() and otherwise calls the next definition of its name, which is
 * libc's, or the sanitizer's.
 *
 * What libc does inside itself (stdio reading a file, the dynamic linker) does not come by here, but for its
 * heap: that goes through malloc() like everybody's.
 */
#include "inject.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static struct inject own;
struct inject *inject = &own;

/* The preloaded module finds its orders in the descriptor that it was given, and gives the number back. */
static __attribute__((constructor)) void open_orders(void)
{
	const char *number = getenv("ZCP_INJECT_FD");
	void *memory;
	int fd;

	if (!number)
		return;
	fd = atoi(number);
	memory = (void *)syscall(SYS_mmap, NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		abort();
	close(fd);
	unsetenv("ZCP_INJECT_FD");
	inject = memory;
}

static bool in_scope(void)
{
	bool caller = atomic_load_explicit(&inject->thread, memory_order_relaxed) == (uint64_t)(uintptr_t)pthread_self();

	switch (atomic_load_explicit(&inject->scope, memory_order_relaxed)) {
	case SCOPE_CALLER:
		return caller;
	case SCOPE_OTHERS:
		return !caller;
	default:
		return true;
	}
}

bool inject_fails(enum inject_call call, int *error)
{
	uint32_t n, nth;

	if (atomic_load_explicit(&inject->call, memory_order_acquire) != call || !in_scope())
		return false;
	n = atomic_fetch_add(&inject->count, 1) + 1;
	nth = atomic_load(&inject->nth);
	if (!nth || n < nth || (n > nth && !atomic_load(&inject->sticky)))
		return false;
	atomic_fetch_add(&inject->fired, 1);
	*error = atomic_load(&inject->error);
	return true;
}

static bool sets_errno(enum inject_call call)
{
	int error;

	if (!inject_fails(call, &error))
		return false;
	errno = error;
	return true;
}

#define REAL(name)                                                                                 \
	__extension__({                                                                            \
		static _Atomic(void *) real_;                                                      \
		void *at_ = atomic_load_explicit(&real_, memory_order_relaxed);                    \
		__typeof__(&name) function_;                                                       \
		if (!at_) {                                                                        \
			at_ = dlsym(RTLD_NEXT, #name);                                             \
			atomic_store_explicit(&real_, at_, memory_order_relaxed);                  \
		}                                                                                  \
		memcpy(&function_, &at_, sizeof(at_));                                             \
		function_;                                                                         \
	})

/* A function of the usual kind: -1 and errno. */
#define FAULT(call, type, name, parameters, arguments)        \
	type name parameters                                  \
	{                                                     \
		return sets_errno(call) ? (type)-1 : REAL(name) arguments; \
	}

/*
 * Those of the heap are looked up together, at the first allocation: a dlsym() that fails allocates, and the next one
 * frees, so free() must not need dlsym() then.
 */
static struct {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t n, size_t size);
	void *(*realloc)(void *old, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	int (*posix_memalign)(void **memory, size_t alignment, size_t size);
	void (*free)(void *memory);
} heap;

static void find_heap(void)
{
	if (heap.free)
		return;
	*(void **)&heap.malloc = dlsym(RTLD_NEXT, "malloc");
	*(void **)&heap.calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&heap.realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&heap.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
	*(void **)&heap.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	*(void **)&heap.free = dlsym(RTLD_NEXT, "free");
}

#pragma GCC visibility push(default)

/* --- heap ----------------------------------------------------------------------------------------- */

static void *count_live(void *memory)
{
	if (memory)
		atomic_fetch_add_explicit(&inject->n_live, 1, memory_order_relaxed);
	return memory;
}

void *malloc(size_t size)
{
	find_heap();
	return sets_errno(CALL_ALLOC) ? NULL : count_live(heap.malloc(size));
}

void *calloc(size_t n, size_t size)
{
	find_heap();
	return sets_errno(CALL_ALLOC) ? NULL : count_live(heap.calloc(n, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	find_heap();
	return sets_errno(CALL_ALLOC) ? NULL : count_live(heap.aligned_alloc(alignment, size));
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	int r;

	find_heap();
	r = sets_errno(CALL_ALLOC) ? ENOMEM : heap.posix_memalign(memory, alignment, size);
	if (!r)
		count_live(*memory);
	return r;
}

void *realloc(void *old, size_t size)
{
	void *memory;

	find_heap();
	if (sets_errno(CALL_ALLOC))
		return NULL;
	memory = heap.realloc(old, size);
	if (!old)
		count_live(memory);
	else if (!memory && !size)
		atomic_fetch_sub_explicit(&inject->n_live, 1, memory_order_relaxed);
	return memory;
}

void free(void *memory)
{
	if (!memory)
		return;
	find_heap();
	atomic_fetch_sub_explicit(&inject->n_live, 1, memory_order_relaxed);
	heap.free(memory);
}

/* --- memory and files ----------------------------------------------------------------------------- */

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return sets_errno(CALL_MMAP) ? MAP_FAILED : REAL(mmap)(at, bytes, protection, flags, fd, offset);
}

FAULT(CALL_MADVISE, int, madvise, (void *at, size_t bytes, int advice), (at, bytes, advice))
FAULT(CALL_MEMFD, int, memfd_create, (const char *name, unsigned int flags), (name, flags))
FAULT(CALL_TRUNCATE, int, ftruncate, (int fd, off_t bytes), (fd, bytes))
FAULT(CALL_TRUNCATE, int, fchmod, (int fd, mode_t mode), (fd, mode))
FAULT(CALL_FSTAT, int, fstat, (int fd, struct stat *st), (fd, st))
FAULT(CALL_FILE, int, lstat, (const char *path, struct stat *st), (path, st))
FAULT(CALL_FILE, int, mkdir, (const char *path, mode_t mode), (path, mode))
FAULT(CALL_FILE, int, chmod, (const char *path, mode_t mode), (path, mode))
FAULT(CALL_FILE, int, unlink, (const char *path), (path))
FAULT(CALL_FILE, ssize_t, pread, (int fd, void *buffer, size_t bytes, off_t offset), (fd, buffer, bytes, offset))
FAULT(CALL_FILE, ssize_t, pwrite, (int fd, const void *buffer, size_t bytes, off_t offset), (fd, buffer, bytes, offset))

FILE *fopen(const char *path, const char *mode)
{
	return sets_errno(CALL_FILE) ? NULL : REAL(fopen)(path, mode);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list list;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		va_end(list);
	}
	return sets_errno(CALL_OPEN) ? -1 : REAL(open)(path, flags, mode);
}

int fcntl(int fd, int command, ...)
{
	void *argument;
	va_list list;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	if (sets_errno(command == F_ADD_SEALS ? CALL_SEAL : CALL_FCNTL))
		return -1;
	return REAL(fcntl)(fd, command, argument);
}

FAULT(CALL_READ, ssize_t, read, (int fd, void *buffer, size_t bytes), (fd, buffer, bytes))
FAULT(CALL_WRITE, ssize_t, write, (int fd, const void *buffer, size_t bytes), (fd, buffer, bytes))
FAULT(CALL_RANDOM, ssize_t, getrandom, (void *buffer, size_t bytes, unsigned int flags), (buffer, bytes, flags))
FAULT(CALL_EVENTFD, int, eventfd, (unsigned int count, int flags), (count, flags))

/* --- sockets -------------------------------------------------------------------------------------- */

FAULT(CALL_SOCKET, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FAULT(CALL_SOCKET, int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
FAULT(CALL_SOCKET, int, bind, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
FAULT(CALL_SOCKET, int, listen, (int fd, int backlog), (fd, backlog))
FAULT(CALL_CONNECT, int, connect, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
FAULT(CALL_ACCEPT, int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags), (fd, address, length, flags))
FAULT(CALL_GETSOCKOPT, int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length), (fd, level, name, value, length))
FAULT(CALL_SETSOCKOPT, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),
      (fd, level, name, value, length))
FAULT(CALL_SEND, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
FAULT(CALL_SEND, ssize_t, send, (int fd, const void *buffer, size_t bytes, int flags), (fd, buffer, bytes, flags))
FAULT(CALL_RECEIVE, ssize_t, recv, (int fd, void *buffer, size_t bytes, int flags), (fd, buffer, bytes, flags))

static bool carries_fds(const struct msghdr *message)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);

	return header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS;
}

static void lose_fds(struct msghdr *message)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(message);
	size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd), sizeof(fd));
		close(fd);
	}
	message->msg_controllen = 0;
	message->msg_flags |= MSG_CTRUNC;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	bool truncate = atomic_load_explicit(&inject->error, memory_order_relaxed) == INJECT_TRUNCATE;
	int error = 0;
	ssize_t n;

	if (!truncate && sets_errno(CALL_RECEIVE))
		return -1;
	n = REAL(recvmsg)(fd, message, flags);
	if (truncate && n >= 0 && carries_fds(message) && inject_fails(CALL_RECEIVE, &error))
		lose_fds(message);
	return n;
}

int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list list;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	return sets_errno(CALL_IOCTL) ? -1 : REAL(ioctl)(fd, request, argument);
}

/* --- waiting -------------------------------------------------------------------------------------- */

FAULT(CALL_POLL, int, poll, (struct pollfd *fds, nfds_t n, int timeout), (fds, n, timeout))
FAULT(CALL_POLL, int, ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),
      (fds, n, timeout, mask))
FAULT(CALL_EPOLL, int, epoll_create1, (int flags), (flags))

/* Changing and removing need no memory, and do not fail. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD && sets_errno(CALL_EPOLL))
		return -1;
	return REAL(epoll_ctl)(epoll, operation, fd, event);
}

FAULT(CALL_EPOLL_WAIT, int, epoll_wait, (int epoll, struct epoll_event *events, int n, int timeout), (epoll, events, n, timeout))
FAULT(CALL_TIMER, int, timerfd_create, (clockid_t clock, int flags), (clock, flags))
FAULT(CALL_TIMER, int, timerfd_settime, (int fd, int flags, const struct itimerspec *new, struct itimerspec *old), (fd, flags, new, old))
FAULT(CALL_SIGNALFD, int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
FAULT(CALL_SIGNALFD, int, sigprocmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	int error;

	return inject_fails(CALL_THREAD, &error) ? error : REAL(pthread_create)(thread, attributes, run, argument);
}

int pthread_attr_init(pthread_attr_t *attributes)
{
	int error;

	return inject_fails(CALL_THREAD, &error) ? error : REAL(pthread_attr_init)(attributes);
}

long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number != SYS_membarrier && sets_errno(CALL_SYSCALL))
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#pragma GCC visibility pop
