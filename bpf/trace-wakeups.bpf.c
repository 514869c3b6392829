/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-wakeups.bpf.c - the way of a message whose reader sleeps, leg by leg
 *
 * Watched are threads that take, or begin to wait. However one sleeps (in the library, on a descriptor in a loop of its own), the scheduler's
 * tracepoints note who woke it and when, and when it was on a processor. The publisher's thread notes when it began to ring, and that it
 * has done so. The take puts the times together if it was that thread that woke the reader while it rang (a timer wakes
 * in the name of whatever thread it interrupts), and they are in order: a message that was published behind the wake-up did not cause it.
 */
#include "trace-histogram.bpf.h"

struct sleeper {
	__u64 waking, on_cpu;		/* 0: not yet */
	__u64 bell;			/* when who woke it began to ring; 0: it did not */
	__u64 waker;			/* its thread */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct sleeper);
} sleepers SEC(".maps");

/* By thread of one that publishes, when it began to ring; 0: it has published since. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} bells SEC(".maps");

/* By endpoint, the thread that publishes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} writers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct trace_leg_key);
	__type(value, struct trace_histogram);
} legs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct trace_wakeups);
} wakeups SEC(".maps");

static const struct trace_histogram empty;

static __always_inline void note_bell(__u64 endpoint, __u64 rings)
{
	__u32 key = thread_key(), *writer = bpf_map_lookup_elem(&writers, &endpoint);

	if (!writer || *writer != key)
		bpf_map_update_elem(&writers, &endpoint, &key, BPF_ANY);
	bpf_map_update_elem(&bells, &key, &rings, BPF_ANY);
}

/* publish(publisher, ...): all have been rung for */
SEC("usdt")
int on_publish(struct pt_regs *ctx)
{
	note_bell(argument(ctx, 0), 0);
	return 0;
}

/* ring(endpoint, rung) */
SEC("usdt")
int on_ring(struct pt_regs *ctx)
{
	note_bell(argument(ctx, 0), bpf_ktime_get_ns());
	return 0;
}

/* wait_begin(endpoint, timeout_ns) */
SEC("usdt")
int on_wait(struct pt_regs *ctx)
{
	struct sleeper fresh = { 0 };
	__u32 key = thread_key();

	if (wanted_process())
		bpf_map_update_elem(&sleepers, &key, &fresh, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	__u32 key = (__u32)BPF_CORE_READ(task, pid), waker = thread_key();
	struct sleeper *s = bpf_map_lookup_elem(&sleepers, &key);
	__u64 *bell;

	if (!s)
		return 0;
	bell = bpf_map_lookup_elem(&bells, &waker);
	s->waking = bpf_ktime_get_ns();
	s->bell = bell ? *bell : 0;
	s->waker = waker;
	s->on_cpu = 0;
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 key = (__u32)BPF_CORE_READ(next, pid);
	struct sleeper *s = bpf_map_lookup_elem(&sleepers, &key);

	/* the first time behind the wake-up; being preempted later belongs to the way to the take */
	if (s && s->waking && !s->on_cpu)
		s->on_cpu = bpf_ktime_get_ns();
	return 0;
}

static __always_inline void add_leg(__u64 subscriber, __u64 leg, __u64 from, __u64 to)
{
	struct trace_leg_key key = { subscriber, leg };
	struct trace_histogram *h = bpf_map_lookup_elem(&legs, &key);

	if (!h) {
		bpf_map_update_elem(&legs, &key, &empty, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&legs, &key);
	}
	if (h)
		histogram_add(h, to - from);
	else
		drop();
}

static __always_inline struct trace_wakeups *wakeups_of(__u64 subscriber)
{
	struct trace_wakeups *w = bpf_map_lookup_elem(&wakeups, &subscriber), nothing = { 0 };

	if (w)
		return w;
	bpf_map_update_elem(&wakeups, &subscriber, &nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&wakeups, &subscriber);
}

/* take(subscriber, publisher, sequence, size, timestamp_ns) */
SEC("usdt")
int on_take(struct pt_regs *ctx)
{
	__u64 now = bpf_ktime_get_ns(), subscriber = argument(ctx, 0), publisher, published;
	struct sleeper *found, s, fresh = { 0 };
	__u32 key = thread_key(), *writer;
	struct trace_wakeups *w;

	if (!wanted_process() || !wanted_endpoint(subscriber))
		return 0;
	w = wakeups_of(subscriber);
	if (!w) {
		drop();
		return 0;
	}
	add(&w->n_taken, 1);
	found = bpf_map_lookup_elem(&sleepers, &key);
	if (!found) {
		bpf_map_update_elem(&sleepers, &key, &fresh, BPF_ANY);
		return 0;
	}
	s = *found;
	*found = fresh;
	published = argument(ctx, 4);
	publisher = argument(ctx, 1);
	writer = bpf_map_lookup_elem(&writers, &publisher);
	if (!writer || *writer != s.waker || !published || published > s.bell || s.bell > s.waking || s.waking > s.on_cpu || s.on_cpu > now)
		return 0;
	add(&w->n_woken, 1);
	add_leg(subscriber, TRACE_LEG_PUBLISH, published, s.bell);
	add_leg(subscriber, TRACE_LEG_DOORBELL, s.bell, s.waking);
	add_leg(subscriber, TRACE_LEG_SCHEDULE, s.waking, s.on_cpu);
	add_leg(subscriber, TRACE_LEG_TAKE, s.on_cpu, now);
	add_leg(subscriber, TRACE_LEG_ALL, published, now);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
