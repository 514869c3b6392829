/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-flow.bpf.c - what was published, taken and lost, and how long messages took: for latency and top
 *
 * Endpoints say what they have published and taken for many messages at once (src/lib/tally.h), so that looking on costs some ten ns a message and
 * not a trip into the kernel.
 *
 * Everything is counted by endpoint: whose topic that is, is found out later, so that the first message of an endpoint nobody has heard of
 * counts like any other. A message says when it was published. For publishers without timestamps (learned at the first take that finds
 * none) `on_publish` notes the time; a reader that is faster than this probe has its messages counted, but not timed.
 */
#include "trace-histogram.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct trace_taken);
} taken SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct trace_published);
} published SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u8);
} untimed SEC(".maps");

/*
 * When messages without a timestamp were published. No hash of the kernel's: with a lock for each message, two processors would spend ten
 * times what the probes cost. A message has one place, and finds it taken by a later one if it is not taken soon.
 */
#define N_TIMES 65536u

struct noted {
	struct trace_message message;
	__u64 time;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, N_TIMES);
	__type(key, __u32);
	__type(value, struct noted);
} times SEC(".maps");

unsigned long long n_untimed;			/* not 0: there are messages without a timestamp */

/* A value is too large for the stack. */
static const struct trace_taken nothing_taken;

static __always_inline struct trace_taken *taken_by(trace_u64 subscriber)
{
	struct trace_taken *t = bpf_map_lookup_elem(&taken, &subscriber);

	if (t)
		return t;
	bpf_map_update_elem(&taken, &subscriber, &nothing_taken, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&taken, &subscriber);
	if (!t)
		drop();
	return t;
}

static __always_inline volatile struct noted *place_of(const struct trace_message *message)
{
	__u32 key = (__u32)(message->sequence + message->publisher * 0x9e3779b97f4a7c15ull) % N_TIMES;

	return bpf_map_lookup_elem(&times, &key);
}

static __always_inline bool is_at(const volatile struct noted *place, const struct trace_message *message)
{
	return place->message.publisher == message->publisher && place->message.sequence == message->sequence;
}

static __always_inline void note_time(const struct trace_message *message, __u64 now)
{
	volatile struct noted *place = place_of(message);

	if (!place)
		return;
	place->message.publisher = 0;
	place->time = now;
	place->message.sequence = message->sequence;
	place->message.publisher = message->publisher;
}

/* When it was published, by the probe; 0: not known. */
static __always_inline trace_u64 noted_time(trace_u64 publisher, trace_u64 sequence)
{
	const struct trace_message message = { publisher, sequence };
	const volatile struct noted *place = place_of(&message);
	__u64 time;
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&untimed, &publisher)) {
		bpf_map_update_elem(&untimed, &publisher, &one, BPF_ANY);
		n_untimed = 1;
	}
	if (!place || !is_at(place, &message))
		return 0;
	time = place->time;
	return is_at(place, &message) ? time : 0;
}

/* TALLY_MAX of src/lib/tally.h, and as many more as anybody may want. */
#define TAKEN_MAX 4096

struct taken_batch {
	struct trace_taken *taken;
	trace_u64 latencies;			/* an address of the reader's */
};

static long add_latency(__u32 i, struct taken_batch *batch)
{
	trace_u64 ns;

	if (bpf_probe_read_user(&ns, sizeof(ns), (const void *)(batch->latencies + i * sizeof(ns)))) {
		drop();
		return 1;
	}
	histogram_add(&batch->taken->latency, ns);
	return 0;
}

/* taken(subscriber, count, bytes, latencies, at) */
SEC("usdt")
int on_taken(struct pt_regs *ctx)
{
	trace_u64 subscriber = argument(ctx, 0), n = argument(ctx, 1);
	struct taken_batch batch = { .latencies = argument(ctx, 3) };

	if (n > TAKEN_MAX || argument(ctx, 4) < filter.began_ns || !wanted_process() || !wanted_endpoint(subscriber))
		return 0;
	batch.taken = taken_by(subscriber);
	if (!batch.taken)
		return 0;
	add(&batch.taken->n, n);
	add(&batch.taken->bytes, argument(ctx, 2));
	bpf_loop((__u32)n, add_latency, &batch, 0);
	return 0;
}

/* taken_untimed(subscriber, publisher, sequence, size) */
SEC("usdt")
int on_taken_untimed(struct pt_regs *ctx)
{
	trace_u64 now = bpf_ktime_get_ns(), subscriber = argument(ctx, 0), time;
	struct trace_taken *t;

	if (!wanted_process() || !wanted_endpoint(subscriber))
		return 0;
	t = taken_by(subscriber);
	if (!t)
		return 0;
	add(&t->n, 1);
	add(&t->bytes, argument(ctx, 3));
	time = noted_time(argument(ctx, 1), argument(ctx, 2));
	if (time)
		histogram_add(&t->latency, now > time ? now - time : 0);
	return 0;
}

/* lost(subscriber, publisher, n, sequence) */
SEC("usdt")
int on_lost(struct pt_regs *ctx)
{
	trace_u64 subscriber = argument(ctx, 0);
	struct trace_taken *t;

	if (!wanted_process() || !wanted_endpoint(subscriber))
		return 0;
	t = taken_by(subscriber);
	if (t)
		add(&t->lost, argument(ctx, 2));
	return 0;
}

static __always_inline void count(trace_u64 publisher, trace_u64 n, trace_u64 bytes)
{
	struct trace_published *p = bpf_map_lookup_elem(&published, &publisher);

	if (!p) {
		struct trace_published nothing = { 0 };

		bpf_map_update_elem(&published, &publisher, &nothing, BPF_NOEXIST);
		p = bpf_map_lookup_elem(&published, &publisher);
	}
	if (!p) {
		drop();
		return;
	}
	add(&p->n, n);
	add(&p->bytes, bytes);
}

/* published(publisher, count, bytes, at) */
SEC("usdt")
int on_published(struct pt_regs *ctx)
{
	trace_u64 publisher = argument(ctx, 0);

	if (argument(ctx, 3) >= filter.began_ns && wanted_process() && wanted_endpoint(publisher))
		count(publisher, argument(ctx, 1), argument(ctx, 2));
	return 0;
}

/* publish(publisher, sequence, size) */
SEC("usdt")
int on_publish(struct pt_regs *ctx)
{
	trace_u64 now = bpf_ktime_get_ns();
	struct trace_message message = { argument(ctx, 0), argument(ctx, 1) };

	/* not by process: who takes it may be the one that is wanted */
	if (bpf_map_lookup_elem(&untimed, &message.publisher))
		note_time(&message, now);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
