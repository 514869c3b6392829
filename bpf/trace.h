/* SPDX-License-Identifier: MIT */
/*
 * trace.h - what the programs of zcp-trace in the kernel and zcp-trace itself tell each other
 *
 * Times are CLOCK_MONOTONIC in ns, pids those of the tracer's pid namespace, ids those of the directory. Counters only ever grow, and are
 * added to atomically: a uprobe's program can be preempted by another task's that adds to the same one.
 */
#ifndef ZCP_BPF_TRACE_H
#define ZCP_BPF_TRACE_H

#ifdef __bpf__
typedef unsigned long long trace_u64;
#else
#include <stdint.h>
typedef uint64_t trace_u64;
#endif

/* Set before a program is loaded. */
struct trace_filter {
	unsigned int pid;		/* only this process; 0: all */
	unsigned int own;		/* the tracer, which is a node too */
	unsigned int pid_ns;		/* inode of its pid namespace; 0: the first one, where no number needs to be looked up */
	unsigned int reserved;
	trace_u64 began_ns;		/* what was taken before that is not for us */
};

/* ---- events: one record for each probe that is hit ---- */

/* How a probe's arguments are to be read: the cookie that its program is attached with. Texts are read apart, into `text`. */
#define TRACE_COOKIE(kind, n_args, n_endpoints, text) \
	((trace_u64)(kind) | (trace_u64)(n_args) << 8 | (trace_u64)(n_endpoints) << 16 | (trace_u64)(text) << 24)
#define TRACE_COOKIE_KIND(cookie) ((unsigned int)(cookie) & 0xff)
#define TRACE_COOKIE_ARGS(cookie) ((unsigned int)((cookie) >> 8) & 0xff)
#define TRACE_COOKIE_ENDPOINTS(cookie) ((unsigned int)((cookie) >> 16) & 0xff)	/* so many of the first arguments are endpoints */
#define TRACE_COOKIE_TEXT(cookie) ((unsigned int)((cookie) >> 24) & 0xff)	/* number of the argument that is a text; 0: none is */

#define TRACE_ARGS 5
#define TRACE_TEXT_BYTES 128

struct trace_event {
	trace_u64 time_ns;
	unsigned int pid, tid;
	unsigned int kind;		/* as the cookie says */
	unsigned int dropped;		/* how many had found no room until then, the lower half of n_dropped */
	long long args[TRACE_ARGS];
};

struct trace_text_event {
	struct trace_event event;
	char text[TRACE_TEXT_BYTES];
};

/* ---- histograms of times: powers of two in sixteen steps each, so that a step is 6 % ---- */

#define TRACE_STEPS 16
#define TRACE_BUCKETS (TRACE_STEPS * 34)	/* up to 2^37 ns, more than two minutes; what is longer is in the last one */

struct trace_histogram {
	trace_u64 n, max_ns;
	trace_u64 buckets[TRACE_BUCKETS];
};

/* ---- latency, top ---- */

/* What a subscriber took. n of the histogram counts those that have a time. */
struct trace_taken {
	trace_u64 n, bytes, lost;
	struct trace_histogram latency;
};

struct trace_published {
	trace_u64 n, bytes;
};

struct trace_message {
	trace_u64 publisher, sequence;
};

/* ---- drops ---- */

enum trace_state {
	TRACE_RUNNING,
	TRACE_RUNNABLE,			/* waits for a processor */
	TRACE_BLOCKED,
	TRACE_STOPPED,			/* by a signal, a debugger or a freezer */
	TRACE_UNKNOWN,			/* before its first take since tracing began, or by another thread */
	TRACE_STATES,
};

struct trace_pair {
	trace_u64 subscriber, publisher;
};

/* What a subscriber lost of one publisher. */
struct trace_losses {
	trace_u64 n_lost, n_gaps;
	trace_u64 state_ns[TRACE_STATES];	/* what its thread did between the takes before and behind the gaps */
	trace_u64 state_lost[TRACE_STATES];	/* messages by what it did most of that time */
	trace_u64 max_queued;			/* messages behind a gap that were there to be taken, at most */
};

struct trace_gap {
	trace_u64 time_ns;
	struct trace_pair pair;
	trace_u64 n_lost, sequence;
	trace_u64 queued;			/* published and not taken at that moment; ~0: not known */
	trace_u64 since_ns;			/* time of its take before the gap; 0: none was seen */
	trace_u64 state_ns[TRACE_STATES];
	unsigned int pid, tid;
};

/* ---- exits ---- */

struct trace_held {
	trace_u64 subscriber, publisher, sequence;
};

struct trace_retired {
	trace_u64 time_ns, node;
	unsigned int pid, cause;
	int status;			/* as wait(2) gives it */
	unsigned int router;		/* whose node it was: pid in the tracer's namespace, 0: not visible there */
};

/* ---- wakeups ---- */

enum trace_leg {
	TRACE_LEG_PUBLISH,		/* message's timestamp -> its publisher is about to ring */
	TRACE_LEG_DOORBELL,		/* -> the reader's thread is being woken */
	TRACE_LEG_SCHEDULE,		/* -> it is on a processor */
	TRACE_LEG_TAKE,			/* -> the message is taken */
	TRACE_LEG_ALL,
	TRACE_LEGS,
};

struct trace_leg_key {
	trace_u64 subscriber, leg;
};

struct trace_wakeups {
	trace_u64 n_taken, n_woken;	/* all; those whose doorbell woke the thread that took them */
};

#endif
