/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * trace-events.bpf.c - a record for every probe that is hit
 *
 * One program for all probes: the cookie that it is attached with says what kind of probe this is, and how its arguments are to be read.
 */
#include "trace-common.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} records SEC(".maps");

unsigned long long n_told;			/* of n_dropped: what user space has said */

static __always_inline bool is_wanted(trace_u64 cookie, struct pt_regs *ctx)
{
	unsigned int n = TRACE_COOKIE_ENDPOINTS(cookie);

	return !n || wanted_endpoint(argument(ctx, 0)) || (n > 1 && wanted_endpoint(argument(ctx, 1)));
}

static __always_inline void fill(struct trace_event *event, unsigned int pid, trace_u64 cookie, struct pt_regs *ctx)
{
	event->time_ns = bpf_ktime_get_ns();
	event->pid = pid == ~0u ? 0 : pid;
	event->tid = current_thread();
	event->kind = TRACE_COOKIE_KIND(cookie);
	event->dropped = (unsigned int)n_dropped;
	for (int i = 0; i < TRACE_ARGS; i++)
		event->args[i] = i < (int)TRACE_COOKIE_ARGS(cookie) ? (long long)argument(ctx, i) : 0;
}

SEC("usdt")
int on_probe(struct pt_regs *ctx)
{
	trace_u64 cookie = (trace_u64)bpf_usdt_cookie(ctx);
	unsigned int pid = wanted_process();
	struct trace_event *event;

	if (!pid || !is_wanted(cookie, ctx))
		return 0;
	event = bpf_ringbuf_reserve(&records, sizeof(*event), 0);
	if (!event) {
		drop();
		return 0;
	}
	fill(event, pid, cookie, ctx);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("usdt")
int on_text_probe(struct pt_regs *ctx)
{
	trace_u64 cookie = (trace_u64)bpf_usdt_cookie(ctx);
	unsigned int pid = wanted_process();
	struct trace_text_event *event;

	if (!pid || !is_wanted(cookie, ctx))
		return 0;
	event = bpf_ringbuf_reserve(&records, sizeof(*event), 0);
	if (!event) {
		drop();
		return 0;
	}
	fill(&event->event, pid, cookie, ctx);
	if (bpf_probe_read_user_str(event->text, sizeof(event->text), (void *)argument(ctx, (int)TRACE_COOKIE_TEXT(cookie))) < 0)
		event->text[0] = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
