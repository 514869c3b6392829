/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-exits.bpf.c - nodes that are retired, and what their subscribers held
 *
 * A sample is held from its take to its release. Each take leaves an entry, which its release removes: a release of what was taken before
 * tracing began finds none, and does not make up for a take that it has nothing to do with.
 */
#include "trace-common.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct trace_held);
	__type(value, __u8);
} samples SEC(".maps");

/* How many entries of these each subscriber has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} retired SEC(".maps");

/* take(subscriber, publisher, sequence, ...) */
SEC("usdt")
int on_take(struct pt_regs *ctx)
{
	struct trace_held key = { argument(ctx, 0), argument(ctx, 1), argument(ctx, 2) };
	__u64 none = 0, *n;
	__u8 one = 1;

	if (!wanted_process())
		return 0;
	n = bpf_map_lookup_elem(&held, &key.subscriber);
	if (!n) {
		bpf_map_update_elem(&held, &key.subscriber, &none, BPF_NOEXIST);
		n = bpf_map_lookup_elem(&held, &key.subscriber);
	}
	/* one that is taken again is held once more, but only one of its releases will be seen: latest() */
	if (!n || (bpf_map_update_elem(&samples, &key, &one, BPF_NOEXIST) && !bpf_map_lookup_elem(&samples, &key)))
		drop();
	else
		add(n, 1);
	return 0;
}

/* release(subscriber, publisher, sequence) */
SEC("usdt")
int on_release(struct pt_regs *ctx)
{
	struct trace_held key = { argument(ctx, 0), argument(ctx, 1), argument(ctx, 2) };
	__u64 *n;

	if (bpf_map_delete_elem(&samples, &key))
		return 0;
	n = bpf_map_lookup_elem(&held, &key.subscriber);
	if (n)
		__sync_fetch_and_add(n, -1ll);
	return 0;
}

/* retire(node, pid, cause, status) */
SEC("usdt")
int on_retire(struct pt_regs *ctx)
{
	struct trace_retired record = {
		.time_ns = bpf_ktime_get_ns(),
		.node = argument(ctx, 0),
		.pid = (unsigned int)argument(ctx, 1),
		.cause = (unsigned int)argument(ctx, 2),
		.status = (int)argument(ctx, 3),
		.router = current_process(),
	};

	if (filter.pid && record.pid != filter.pid)
		return 0;
	if (bpf_ringbuf_output(&retired, &record, sizeof(record), 0))
		drop();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
