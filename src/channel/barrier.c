/* SPDX-License-Identifier: MIT */
/*
 * barrier.c - membarrier registration and the rare side's barrier
 */
#include "channel/barrier.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/membarrier.h values, stable ABI since Linux 4.16 */
#define CMD_QUERY 0
#define CMD_GLOBAL_EXPEDITED (1 << 1)
#define CMD_REGISTER_GLOBAL_EXPEDITED (1 << 2)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool usable;

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

static void register_once(void)
{
	const char *off = getenv("ZCP_NO_MEMBARRIER");
	long supported;

	if (off && *off && *off != '0')
		return;
	supported = membarrier(CMD_QUERY);
	if (supported < 0 || !(supported & CMD_GLOBAL_EXPEDITED))
		return;
	if (membarrier(CMD_REGISTER_GLOBAL_EXPEDITED) == 0)
		atomic_store_explicit(&usable, true, memory_order_relaxed);
}

bool barrier_register(void)
{
	pthread_once(&once, register_once);
	return atomic_load_explicit(&usable, memory_order_relaxed);
}

void barrier_force(bool works)
{
	pthread_once(&once, register_once);
	atomic_store_explicit(&usable, works, memory_order_relaxed);
}

void barrier_rare(void)
{
	/*
	 * The fence is for partners that fence themselves; membarrier reaches the registered ones. The call can
	 * only fail if the process installed a seccomp filter after it had registered; libzcp(7) says that such a
	 * filter must let membarrier pass.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&usable, memory_order_relaxed))
		(void)membarrier(CMD_GLOBAL_EXPEDITED);
}
