/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-common.bpf.h - what all programs of zcp-trace begin with: whose probe is it, and does anybody want to see it
 *
 * A uprobe's program can be preempted and run beside itself on one processor, so that even what belongs to a processor would have to be
 * added to atomically. Maps are shared by all processors for that reason; a subscriber's counters are touched by one
 * thread nearly always.
 */
#ifndef ZCP_BPF_TRACE_COMMON_H
#define ZCP_BPF_TRACE_COMMON_H

#include <linux/types.h>
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Places with different operands need a specification each; a process may map several files with probes. */
#define BPF_USDT_MAX_SPEC_CNT 4096
#define BPF_USDT_MAX_IP_CNT 1
#include <bpf/usdt.bpf.h>

#include "trace.h"

#define PIDTYPE_TGID 1
#define PID_LEVELS_MAX 32

struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct pid_namespace {
	struct ns_common ns;
} __attribute__((preserve_access_index));

struct upid {
	int nr;
	struct pid_namespace *ns;
} __attribute__((preserve_access_index));

struct pid {
	unsigned int level;
	struct upid numbers[];
} __attribute__((preserve_access_index));

struct signal_struct {
	struct pid *pids[4];
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	unsigned int __state;			/* Linux 5.14 */
	struct pid *thread_pid;
	struct signal_struct *signal;
} __attribute__((preserve_access_index));

struct task_struct___old {
	long state;
} __attribute__((preserve_access_index));

const volatile struct trace_filter filter;

/* Endpoint ids: 1 is to be shown, 0 is not. What is not there yet is shown: who looks at it will find out. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, __u64);
	__type(value, __u8);
} endpoints SEC(".maps");

unsigned long long n_dropped;			/* records that found no room in a ring buffer or a map */

static __always_inline void add(trace_u64 *counter, trace_u64 n)
{
	__sync_fetch_and_add(counter, n);
}

static __always_inline void drop(void)
{
	add(&n_dropped, 1);
}

/* The number of @pid in the tracer's namespace, or 0: it is not visible there. */
static __always_inline unsigned int pid_number(struct pid *pid)
{
	unsigned int level = BPF_CORE_READ(pid, level);

	for (unsigned int i = 0; i < PID_LEVELS_MAX && i <= level; i++) {
		struct upid upid;

		if (bpf_core_read(&upid, sizeof(upid), &pid->numbers[i]))
			return 0;
		if (BPF_CORE_READ(upid.ns, ns.inum) == filter.pid_ns)
			return (unsigned int)upid.nr;
	}
	return 0;
}

static __always_inline unsigned int current_process(void)
{
	struct task_struct *task;

	if (!filter.pid_ns)
		return (unsigned int)(bpf_get_current_pid_tgid() >> 32);
	task = (void *)bpf_get_current_task();
	return pid_number(BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]));
}

/* For people; a thread is told from another by thread_key(). */
static __always_inline unsigned int current_thread(void)
{
	struct task_struct *task;

	if (!filter.pid_ns)
		return (unsigned int)bpf_get_current_pid_tgid();
	task = (void *)bpf_get_current_task();
	return pid_number(BPF_CORE_READ(task, thread_pid));
}

/* As the scheduler's tracepoints have it. */
static __always_inline unsigned int thread_key(void)
{
	return (unsigned int)bpf_get_current_pid_tgid();
}

/* Who has hit the probe; 0: somebody that nobody asked for. */
static __always_inline unsigned int wanted_process(void)
{
	unsigned int process = current_process();

	if (process == filter.own || (filter.pid && process != filter.pid))
		return 0;
	return process ? process : filter.pid ? 0 : ~0u;	/* not visible from here, but there */
}

static __always_inline bool wanted_endpoint(trace_u64 id)
{
	__u8 *wanted = bpf_map_lookup_elem(&endpoints, &id);

	return !wanted || *wanted;
}

static __always_inline trace_u64 argument(struct pt_regs *ctx, int number)
{
	long value;

	bpf_usdt_arg(ctx, (__u64)number, &value);
	return (trace_u64)value;
}

#endif
