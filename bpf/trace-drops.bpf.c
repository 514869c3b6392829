/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-drops.bpf.c - lost messages, and what their reader did meanwhile
 *
 * A reader learns of a loss at its next take; the message was overwritten some time before, while it did something else. So for every
 * thread that takes, the scheduler's tracepoints add up how long it ran, waited for a processor, was blocked or stopped; each take notes the
 * sums of that moment, and what they have grown by when a loss shows is what the reader did since its last take.
 */
#include "trace-scheduler.bpf.h"

struct thread {
	__u64 since;
	__u64 state;
	__u64 total[TRACE_STATES];
};

/* A subscriber's last take from a publisher. */
struct last_take {
	__u64 time, sequence;
	__u64 thread;
	__u64 total[TRACE_STATES];
	__u64 gap[TRACE_STATES];		/* what it did between the take before and this one */
	__u64 gap_since;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct trace_pair);
	__type(value, struct last_take);
} takes SEC(".maps");

/* What was published last, plus 1. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct trace_pair);
	__type(value, struct trace_losses);
} losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} gaps SEC(".maps");

/* ---- what threads do ---- */

static __always_inline void enter_state(struct thread *t, enum trace_state state, __u64 now)
{
	unsigned int old = (unsigned int)t->state;

	if (old < TRACE_STATES && now > t->since)
		t->total[old] += now - t->since;
	t->since = now;
	t->state = state;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 key = (__u32)BPF_CORE_READ(prev, pid);
	struct thread *t = bpf_map_lookup_elem(&threads, &key);

	if (t)
		enter_state(t, state_after(preempt, prev), now);
	key = (__u32)BPF_CORE_READ(next, pid);
	t = bpf_map_lookup_elem(&threads, &key);
	if (t)
		enter_state(t, TRACE_RUNNING, now);
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	__u32 key = (__u32)BPF_CORE_READ(task, pid);
	struct thread *t = bpf_map_lookup_elem(&threads, &key);

	if (t && t->state != TRACE_RUNNING)
		enter_state(t, TRACE_RUNNABLE, bpf_ktime_get_ns());
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	__u32 key = (__u32)BPF_CORE_READ(task, pid);

	bpf_map_delete_elem(&threads, &key);
	return 0;
}

/* The current thread, which runs: its sums up to now. NULL: no room. */
static __always_inline struct thread *current_sums(__u64 now)
{
	__u32 key = thread_key();
	struct thread *t = bpf_map_lookup_elem(&threads, &key);

	if (!t) {
		struct thread fresh = { .since = now, .state = TRACE_RUNNING };

		bpf_map_update_elem(&threads, &key, &fresh, BPF_NOEXIST);
		t = bpf_map_lookup_elem(&threads, &key);
	}
	if (!t) {
		drop();
		return 0;
	}
	enter_state(t, TRACE_RUNNING, now);
	return t;
}

/* ---- losses ---- */

/* What the thread did since @last into @gap. */
static __always_inline void since_last(const struct last_take *last, const struct thread *t, __u64 now, __u64 gap[TRACE_STATES])
{
	if (!last || !t || last->thread != thread_key()) {
		gap[TRACE_UNKNOWN] = last ? now - last->time : 0;
		return;
	}
	for (int i = 0; i < TRACE_STATES; i++)
		gap[i] = t->total[i] - last->total[i];
}

static __always_inline unsigned int longest(const __u64 gap[TRACE_STATES])
{
	unsigned int state = TRACE_UNKNOWN;
	__u64 most = 0;

	for (unsigned int i = 0; i < TRACE_STATES; i++) {
		if (gap[i] > most) {
			most = gap[i];
			state = i;
		}
	}
	return state;
}

static __always_inline void count(const struct trace_gap *gap)
{
	struct trace_losses *l = bpf_map_lookup_elem(&losses, &gap->pair);
	unsigned int state = longest(gap->state_ns);

	if (!l) {
		struct trace_losses nothing = { 0 };

		bpf_map_update_elem(&losses, &gap->pair, &nothing, BPF_NOEXIST);
		l = bpf_map_lookup_elem(&losses, &gap->pair);
	}
	if (!l) {
		drop();
		return;
	}
	add(&l->n_lost, gap->n_lost);
	add(&l->n_gaps, 1);
	for (int i = 0; i < TRACE_STATES; i++)
		add(&l->state_ns[i], gap->state_ns[i]);
	if (state < TRACE_STATES)
		add(&l->state_lost[state], gap->n_lost);
	if (gap->queued != ~0ull && gap->queued > l->max_queued)
		l->max_queued = gap->queued;
}

/* lost(subscriber, publisher, n, sequence): before or behind the take of that message */
SEC("usdt")
int on_lost(struct pt_regs *ctx)
{
	struct trace_gap gap = { .time_ns = bpf_ktime_get_ns(), .queued = ~0ull };
	struct last_take *last;
	unsigned int pid = wanted_process();
	__u64 *head;

	gap.pair.subscriber = argument(ctx, 0);
	gap.pair.publisher = argument(ctx, 1);
	if (!pid || !wanted_endpoint(gap.pair.subscriber))
		return 0;
	gap.n_lost = argument(ctx, 2);
	gap.sequence = argument(ctx, 3);
	gap.pid = pid == ~0u ? 0 : pid;
	gap.tid = current_thread();
	last = bpf_map_lookup_elem(&takes, &gap.pair);
	if (last && last->sequence == gap.sequence) {
		for (int i = 0; i < TRACE_STATES; i++)
			gap.state_ns[i] = last->gap[i];
		gap.since_ns = last->gap_since;
	} else {
		since_last(last, current_sums(gap.time_ns), gap.time_ns, gap.state_ns);
		gap.since_ns = last ? last->time : 0;
	}
	head = bpf_map_lookup_elem(&heads, &gap.pair.publisher);
	if (head && *head > gap.sequence)
		gap.queued = *head - gap.sequence;
	count(&gap);
	if (bpf_ringbuf_output(&gaps, &gap, sizeof(gap), 0))
		drop();
	return 0;
}

/* take(subscriber, publisher, sequence, size, timestamp_ns) */
SEC("usdt")
int on_take(struct pt_regs *ctx)
{
	struct trace_pair pair = { argument(ctx, 0), argument(ctx, 1) };
	struct last_take fresh = { .time = bpf_ktime_get_ns() };
	struct last_take *last;
	struct thread *t;

	if (!wanted_process() || !wanted_endpoint(pair.subscriber))
		return 0;
	t = current_sums(fresh.time);
	if (!t)
		return 0;
	last = bpf_map_lookup_elem(&takes, &pair);
	fresh.sequence = argument(ctx, 2);
	fresh.thread = thread_key();
	since_last(last, t, fresh.time, fresh.gap);
	fresh.gap_since = last ? last->time : 0;
	for (int i = 0; i < TRACE_STATES; i++)
		fresh.total[i] = t->total[i];
	bpf_map_update_elem(&takes, &pair, &fresh, BPF_ANY);
	return 0;
}

/* publish(publisher, sequence, size) */
SEC("usdt")
int on_publish(struct pt_regs *ctx)
{
	__u64 publisher = argument(ctx, 0), head = argument(ctx, 1) + 1;
	__u64 *old = bpf_map_lookup_elem(&heads, &publisher);

	if (old)
		*old = head;
	else
		bpf_map_update_elem(&heads, &publisher, &head, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
