/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * exit.bpf.c - tell the router when a process that it watches has ended
 *
 * The tracepoint sched_process_exit fires for every thread, also for a leader that leaves a living process behind, and for the
 * old leader when another thread execs. What counts is the end of the thread group: Linux 6.16 says so in an argument; before, the
 * group's count of living threads is down to zero (two threads that end at once may then both see zero: the router
 * takes the first event). There is a program for each, and the loader picks the one that fits the kernel's BTF.
 *
 * At that point no thread of the process runs user code any more, so nothing is written to its segments after the event,
 * although (since 6.16) its mappings and sockets still exist when the event arrives.
 *
 * A fork storm of processes nobody watches costs one look into a hash map each, and never fills the ring.
 *
 * Sources: kernel/exit.c (do_exit), kernel/pid.c (pid_nr_ns), fs/pidfs.c; the views below name only the fields that are
 * read, and CO-RE finds them on the running kernel.
 */
#include <linux/types.h>
#include <stdbool.h>

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "exit.h"

#define SIGNAL_GROUP_EXIT 4
#define SIGKILL 9
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
	unsigned long long ino;		/* Linux 6.9 */
	struct upid numbers[];
} __attribute__((preserve_access_index));

typedef struct {
	int counter;
} atomic_t;

struct mm_struct;

struct signal_struct {
	atomic_t live;
	unsigned int flags;
	int group_exit_code;
	struct pid *pids[4];
	struct mm_struct *oom_mm;
} __attribute__((preserve_access_index));

struct task_struct {
	int exit_code;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	char comm[16];
} __attribute__((preserve_access_index));

const volatile bool by_pid;			/* keys are pids in the namespace below, not inodes */
const volatile unsigned int pid_ns_inum;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u8);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} exits SEC(".maps");

unsigned long long n_dropped;

/* The number of @pid in the router's namespace, or 0: it is not visible there. */
static __always_inline __u64 pid_number(struct pid *pid)
{
	unsigned int level = BPF_CORE_READ(pid, level);

	for (unsigned int i = 0; i < PID_LEVELS_MAX && i <= level; i++) {
		struct upid upid;

		if (bpf_core_read(&upid, sizeof(upid), &pid->numbers[i]))
			return 0;
		if (BPF_CORE_READ(upid.ns, ns.inum) == pid_ns_inum)
			return (__u64)upid.nr;
	}
	return 0;
}

static __always_inline __u64 key_of(struct task_struct *task)
{
	/* the process's, not the one of the thread that happened to be the last */
	struct pid *pid = BPF_CORE_READ(task, signal, pids[PIDTYPE_TGID]);

	if (!pid)
		return 0;
	if (!by_pid && bpf_core_field_exists(pid->ino))
		return BPF_CORE_READ(pid, ino);
	return pid_number(pid);
}

/* As wait_task_zombie() decides it. */
static __always_inline int status_of(struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(task, signal, group_exit_code);
	return BPF_CORE_READ(task, group_leader, exit_code);
}

static __always_inline int report(struct task_struct *task)
{
	__u64 key = key_of(task);
	struct exit_record *record;

	if (!key || !bpf_map_lookup_elem(&watched, &key))
		return 0;
	record = bpf_ringbuf_reserve(&exits, sizeof(*record), 0);
	if (!record) {
		__sync_fetch_and_add(&n_dropped, 1);
		return 0;
	}
	record->key = key;
	record->time_ns = bpf_ktime_get_ns();
	record->status = status_of(task);
	record->flags = (record->status & 0x7f) == SIGKILL && BPF_CORE_READ(task, signal, oom_mm) ? EXIT_OOM : 0;
	BPF_CORE_READ_STR_INTO(&record->comm, task, group_leader, comm);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/* Linux 6.16 and newer */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_group_dead, struct task_struct *task, bool group_dead)
{
	return group_dead ? report(task) : 0;
}

/* before */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_live, struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, live.counter) == 0 ? report(task) : 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
