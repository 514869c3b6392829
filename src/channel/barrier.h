/* SPDX-License-Identifier: MIT */
/*
 * barrier.h - who pays for Dekker's pattern
 *
 * Publish and take each contain a store that the other side must see before it decides something: pin then tail
 * against tail then pins; message then ticket against ticket then message; cursor then writer_ticket against
 * writer_ticket then cursor. A full fence on the fast side would wait for every earlier cache miss. Instead the
 * fast side has a compiler barrier, and the rare side - about to sleep, or about to take a chunk away - makes
 * the kernel run a barrier on every running thread of every registered process.
 * Source: membarrier(2), MEMBARRIER_CMD_GLOBAL_EXPEDITED (Linux 4.16).
 *
 * A process that could not register says CHANNEL_NEEDS_FENCE in its segment header and lane pages, and fences
 * on both sides itself; partners then fence on their fast side towards it.
 */
#ifndef ZCP_CHANNEL_BARRIER_H
#define ZCP_CHANNEL_BARRIER_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * Register this process, once (thread-safe, idempotent). True: membarrier works here. False: old kernel,
 * seccomp, or the environment has ZCP_NO_MEMBARRIER=1 (for tests).
 */
bool barrier_register(void);

/* Tests only: pretend from now on that registration succeeded or failed. */
void barrier_force(bool works);

/* The rare side: between its store and its load. 0.5 to 1 us with membarrier. */
void barrier_rare(void);

/* The fast side. @fence: this process or the partner has no membarrier. */
static inline void barrier_fast(bool fence)
{
	if (__builtin_expect(fence, 0))
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
}

#endif
