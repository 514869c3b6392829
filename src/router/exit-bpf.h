/* SPDX-License-Identifier: MIT */
/*
 * exit-bpf.h - exits of processes, as the kernel's tracepoint tells them
 *
 * A BPF program on sched_process_exit (bpf/exit.bpf.c) looks every exiting thread group up in a
 * hash map of those the router watches, and puts an event into a ring buffer for the ones that are
 * in it. This is the user space side: load, attach, add and remove, drain. It knows nothing of
 * nodes or peers.
 *
 * The key of a process is its pidfd inode where the kernel has pidfs (6.9): it is right in every
 * pid namespace and never reused. Otherwise it is the process's pid as seen in the router's pid
 * namespace.
 *
 * Without the rights (CAP_BPF, CAP_PERFMON), without BTF, or in a build --without-bpf opening
 * fails, and that is a normal state of affairs.
 */
#ifndef ZCP_ROUTER_EXIT_BPF_H
#define ZCP_ROUTER_EXIT_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

struct exit_bpf;

struct exit_bpf_options {
	uint32_t ring_bytes;		/* a power of two, at least a page; 0: 256 KiB */
	uint32_t max_processes;		/* size of the map; 0: 65536 */
	bool by_pid;			/* use pids as keys although the kernel has pidfs (tests) */
};

/*
 * 0 and *bpf, or a negative errno value with the reason in @reason, as a clause a person can act on
 * ("needs CAP_BPF and CAP_PERFMON"). Logs nothing.
 */
int exit_bpf_open(struct exit_bpf **bpf, const struct exit_bpf_options *options, char *reason, size_t reason_bytes);
struct exit_bpf *exit_bpf_close(struct exit_bpf *bpf);	/* NULL is fine; returns NULL */

/* Readable when events are there. Stays ours. */
int exit_bpf_fd(const struct exit_bpf *bpf);

/*
 * The key of a process: 0 where it has none (no pidfs inode, and a pid that is 0). Events name
 * processes by it.
 */
uint64_t exit_bpf_key(const struct exit_bpf *bpf, const struct wire_process *process);

/*
 * Watch, and forget, the process of @key. From the return of add on its exit is reported; one that
 * happened before is not (look at the pidfd after adding). 0 or a negative errno value (-E2BIG: the
 * map is full).
 */
int exit_bpf_add(struct exit_bpf *bpf, uint64_t key);
void exit_bpf_remove(struct exit_bpf *bpf, uint64_t key);

/*
 * Hand all events that are there to @exited, each once for the process's whole thread group (twice
 * is possible on kernels before 6.16: be idempotent). Returns 0, or the first negative value that
 * @exited returned.
 */
typedef int (*exit_bpf_fn)(void *context, uint64_t key, const struct wire_exit *exit);
int exit_bpf_drain(struct exit_bpf *bpf, exit_bpf_fn exited, void *context);

/* Events lost so far because the ring was full: when this grows, look at every pidfd. */
uint64_t exit_bpf_dropped(const struct exit_bpf *bpf);

#endif
