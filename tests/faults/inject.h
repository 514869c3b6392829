/* SPDX-License-Identifier: MIT */
/*
 * inject.h - make the Nth call of a kind fail
 *
 * inject.c defines the functions of libc (and inject-uring.c those of liburing) that can fail, and passes the calls on
 * until the one that is to fail. It is used in two ways: linked into a test, whose definitions then win over the
 * libraries', and as a module that is preloaded into the router. Both are told what to do through a struct
 * inject: the test's own, or one in memory that the router inherits as the descriptor $ZCP_INJECT_FD.
 *
 * A fault loop is: for N = 1, 2, ... arm the Nth call, do what is to be tested, disarm; until `fired` says that
 * there was no Nth call any more. Armed only for that long, and in the test only for the threads meant, so that
 * neither the test framework nor the peers are hit.
 */
#ifndef ZCP_TESTS_INJECT_H
#define ZCP_TESTS_INJECT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What can fail. */
enum inject_call {
	CALL_NONE,
	CALL_ALLOC,		/* malloc, calloc, realloc and the aligned ones */
	CALL_MMAP,
	CALL_MADVISE,
	CALL_MEMFD,
	CALL_TRUNCATE,		/* ftruncate, fchmod */
	CALL_FSTAT,
	CALL_SEAL,		/* fcntl(F_ADD_SEALS) */
	CALL_FCNTL,		/* any other fcntl */
	CALL_OPEN,
	CALL_FILE,		/* lstat, mkdir, pread, pwrite, unlink, chmod, fopen */
	CALL_EVENTFD,
	CALL_SOCKET,		/* socket, socketpair, bind, listen */
	CALL_CONNECT,
	CALL_ACCEPT,
	CALL_GETSOCKOPT,
	CALL_SETSOCKOPT,
	CALL_IOCTL,
	CALL_SEND,		/* sendmsg, send */
	CALL_RECEIVE,		/* recvmsg, recv; INJECT_TRUNCATE counts only messages that carry descriptors */
	CALL_READ,
	CALL_WRITE,
	CALL_POLL,		/* poll, ppoll */
	CALL_EPOLL,		/* epoll_create1, EPOLL_CTL_ADD */
	CALL_EPOLL_WAIT,
	CALL_TIMER,		/* timerfd_create, timerfd_settime */
	CALL_SIGNALFD,		/* signalfd, sigprocmask */
	CALL_THREAD,		/* pthread_create, pthread_attr_init */
	CALL_SYSCALL,		/* by number; membarrier left out, which cannot fail once it is registered */
	CALL_RANDOM,
	CALL_URING_SETUP,	/* io_uring_queue_init_params, io_uring_register_buf_ring */
	CALL_URING_ENTER,	/* io_uring_submit and its kin */
	CALL_URING_WAIT,	/* io_uring_wait_cqe */
	CALL_SQE_SEND,		/* an operation that io_uring carries out and that completes with the error */
	CALL_SQE_RECEIVE,
	CALL_SQE_ACCEPT,
	CALL_SQE_POLL,
	CALL_SQE_TIMEOUT,
	CALL_SQE_CANCEL,
	N_CALLS,
};

/* In place of an error: a received message loses its descriptors as in a process that has none left (MSG_CTRUNC). */
#define INJECT_TRUNCATE 100000

enum inject_scope {
	SCOPE_ALL,
	SCOPE_CALLER,		/* the thread that armed */
	SCOPE_OTHERS,		/* all but that one */
};

struct inject {
	_Atomic uint32_t call;		/* enum inject_call; CALL_NONE: nothing fails */
	_Atomic int error;		/* errno value, or INJECT_TRUNCATE */
	_Atomic uint32_t nth;		/* from 1; 0: only count */
	_Atomic bool sticky;		/* and all later ones */
	_Atomic uint32_t scope;		/* enum inject_scope */
	_Atomic uint64_t thread;	/* who armed */
	_Atomic uint32_t count, fired;	/* calls seen, calls failed */
	_Atomic int64_t n_live;		/* heap blocks allocated less freed, armed or not */
};

/* A row of a table of faults. */
struct fault {
	const char *name;
	enum inject_call call;
	int error;
};

/* In the program that inject.c is linked into, or preloaded to. */
extern struct inject *inject;

/* Whether this call of kind @call fails; *@error says how. Counts. */
bool inject_fails(enum inject_call call, int *error);

/* Make the @nth call of @fault fail (@sticky: and all later ones). On the memory that both sides see. */
static inline void inject_arm(struct inject *i, const struct fault *fault, uint32_t nth, bool sticky, enum inject_scope scope,
			      uint64_t thread)
{
	atomic_store(&i->call, CALL_NONE);
	atomic_store(&i->count, 0);
	atomic_store(&i->fired, 0);
	atomic_store(&i->error, fault->error);
	atomic_store(&i->nth, nth);
	atomic_store(&i->sticky, sticky);
	atomic_store(&i->scope, scope);
	atomic_store(&i->thread, thread);
	atomic_store(&i->call, fault->call);
}

/* Returns how many calls failed. */
static inline uint32_t inject_disarm(struct inject *i)
{
	atomic_store(&i->call, CALL_NONE);
	return atomic_load(&i->fired);
}

#endif
