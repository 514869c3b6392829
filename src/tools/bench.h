/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the parts of `zcp bench` share
 *
 * How to think about it: no figure stands alone. A machine's absolute times say more about its core placement,
 * hypervisor and frequency than about zcp, so each figure is measured in turns with its *floor*: the least that
 * any transport would have to do for the same job (move a cache line, write an eventfd, copy the bytes),
 * written by hand in bench-floor.c, in the same two processes on the same two cores. The ratio is the result;
 * the times beside it are for orientation.
 *
 * The process that the user started never opens a node. For each measurement it forks two workers, side 0 (the
 * publisher, or the leader of a ping-pong) and side 1, pins each to its cpu, and sleeps until both are done.
 * Workers hand their figures back in a shared anonymous mapping. A worker that waits for its partner in memory
 * looks at a deadline now and then, and the parent has one for both, so a broken peer is an error message and
 * never a hang.
 *
 * bench-util.c     statistics, pinning, the pair of workers
 * bench-router.c   a private router in a directory of its own
 * bench-floor.c    the floors
 * bench-report.c   rows: the table for humans, JSON for machines
 * bench-*.c        one section each
 */
#ifndef ZCP_TOOLS_BENCH_H
#define ZCP_TOOLS_BENCH_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <zcp/zcp.h>

#include "common/clock.h"

#define BENCH_RUNS_MAX 99
#define BENCH_WAIT_NS INT64_C(10000000000)	/* the longest wait for the other side */

/* ---- options and state of the parent ----------------------------------------------------------------------------- */

struct bench {
	int cpu[2];
	bool one_cpu;			/* both sides share a cpu: polling figures mean nothing */
	bool quick, json, histogram, progress;
	int runs;
	double scale;			/* of all round counts */
	bool ticks;			/* worker_ticks() is the raw counter */
	double ns_per_tick;
	char dir[96];			/* of the private router; "" without one */
	char socket_path[108];
	pid_t router;			/* 0: none of ours */
	unsigned int n_pairs;		/* makes topics unique */
	struct bench_report *report;
	int n_errors;
};

/* Whether to wind up: SIGINT, SIGTERM or SIGHUP came, or nobody reads what we print. */
bool bench_interrupted(void);
/* Standard output is a pipe that was closed. */
void bench_unread(void);

/* @rounds times --scale, and a tenth of that with --quick; at least @least. */
uint32_t bench_rounds(const struct bench *b, uint32_t rounds, uint32_t least);

/* Tells the user on stderr; counts. */
void bench_error(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Say on a terminal what is going on; NULL wipes the line. */
void bench_progress(const struct bench *b, const char *what);

/* The sections. 0, or -1 after bench_error(). */
int bench_latency(struct bench *b);
int bench_throughput(struct bench *b);
int bench_fanout(struct bench *b);
int bench_wake(struct bench *b);
int bench_call(struct bench *b);
int bench_waitset(struct bench *b);
int bench_join(struct bench *b);
int bench_crowd(struct bench *b);	/* the second half of join */
int bench_exit(struct bench *b);
int bench_memory(struct bench *b);

/* ---- statistics (bench-util.c) ----------------------------------------------------------------------------------- */

/* Median of @n values; sorts them. NAN for none. */
double bench_median(double *values, size_t n);

/* Log-linear: 64 buckets for each power of two, so that a percentile is right within 1.6 %. */
#define BENCH_HIST_SUB 64
#define BENCH_HIST_BUCKETS (BENCH_HIST_SUB * 32)

struct bench_hist {
	uint64_t count, max;
	uint32_t bucket[BENCH_HIST_BUCKETS];
};

void bench_hist_add(struct bench_hist *h, uint64_t value);
uint64_t bench_hist_percentile(const struct bench_hist *h, double percent);
/* Smallest value that falls into bucket @i. */
uint64_t bench_hist_value(unsigned int i);

/* ---- workers (bench-util.c) -------------------------------------------------------------------------------------- */

struct bench_pair_shared;

struct worker {
	struct bench *bench;
	struct bench_pair_shared *shared;
	int side;
	bool ticks;
	uint32_t spin_limit;		/* turns of a polling loop between two looks at the clock */
};

typedef int (*bench_side_fn)(struct worker *w, void *arg);

/* Zeroed memory that forked workers share; NULL after bench_error(). */
void *bench_shared_new(struct bench *b, size_t bytes);
void bench_shared_free(void *memory, size_t bytes);

/*
 * Fork two workers, pinned to the two cpus, that run @side0 and @side1 with @arg; wait for both. A worker's
 * function returns 0, or what worker_fail() returned. 0, or -1 after bench_error(), which says @what failed and
 * why.
 */
int bench_pair(struct bench *b, const char *what, bench_side_fn side0, bench_side_fn side1, void *arg);

/* Note why the worker fails; -1. */
int worker_fail(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Note that @call failed with @error and what zcp_last_error() says; -1. */
int worker_fail_zcp(struct worker *w, const char *call, int error);

/*
 * Both sides wait here for each other; memory written before is seen by the other side after. 0, or -1 after
 * worker_fail().
 */
int worker_meet(struct worker *w);

/*
 * A polling loop's conscience: calls worker_spin_slow() every spin_limit turns, which looks at the deadline
 * (and yields on one cpu).
 */
struct spin {
	uint32_t turns;
	int64_t until_ns;
};

int worker_spin_slow(struct worker *w, struct spin *s);

static inline int worker_spin(struct worker *w, struct spin *s)
{
	return ++s->turns < w->spin_limit ? 0 : worker_spin_slow(w, s);
}

static inline uint64_t worker_ticks(const struct worker *w)
{
	return w->ticks ? clock_ticks() : clock_now_ns();
}

/* The worker's node, and endpoints of topic zcp-bench/<this pair>/@event. 0, or -1 after worker_fail(). */
int worker_node(struct worker *w, zcp_node **node);
int worker_publisher(struct worker *w, zcp_node *node, const char *event, const struct zcp_publisher_options *options, zcp_publisher **publisher);
int worker_subscriber(struct worker *w, zcp_node *node, const char *event, const struct zcp_subscriber_options *options, zcp_subscriber **subscriber);
int worker_server(struct worker *w, zcp_node *node, const char *event, const struct zcp_server_options *options, zcp_server **server);
int worker_client(struct worker *w, zcp_node *node, const char *event, const struct zcp_client_options *options, zcp_client **client);
int worker_connected(struct worker *w, zcp_publisher *publisher, int subscribers);

/* ---- the private router (bench-router.c) ------------------------------------------------------------------------- */

/*
 * Start one in a new directory, out of the way of both cpus where there are more. @arguments: further ones of its command
 * line, NULL-terminated; or NULL. A section that needs a router of its own makes one for a copy of struct bench. 0, or -1
 * after bench_error().
 */
int bench_router_start(struct bench *b, const char *const *arguments);
/* End it and remove the directory. Fine without one. */
void bench_router_stop(struct bench *b);

/* ---- rows (bench-report.c) --------------------------------------------------------------------------------------- */

enum bench_unit { BENCH_NS, BENCH_MSGS, BENCH_GBS, BENCH_BYTES };	/* the two rates: more is better, ratio = floor / zcp */

struct bench_row {
	const char *section;
	char name[64];
	enum bench_unit unit;
	double target;			/* largest ratio wanted (BENCH_BYTES: largest value); 0: none */
	int n;				/* runs */
	double value[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX];	/* floor NAN: there is none */
	char note[32];			/* short, for the table */
	struct {
		const char *name;
		double value;
	} extra[16];			/* for JSON */
	int n_extra;
	const struct bench_hist *hist;	/* with hist_scale: ns of one unit; for percentiles and --histogram; NULL: none */
	const struct bench_hist *floor_hist;
	double hist_scale;
};

void bench_row_extra(struct bench_row *row, const char *name, double value);

int bench_report_begin(struct bench *b);
void bench_report_row(struct bench *b, const struct bench_row *row);
/* Print JSON, or the percentiles and the verdict; frees. */
void bench_report_end(struct bench *b);

/* ---- floors (bench-floor.c) -------------------------------------------------------------------------------------- */

/* Raw ping-pong over two cache lines that no prefetcher takes for a pair. */
struct floor_lines {
	alignas(128) _Atomic uint64_t ping;
	alignas(128) _Atomic uint64_t pong;
	char end[128 - 8];
};

/*
 * What a ping-pong is timed by. Blocks: rounds without a look at the clock inside, for the median; samples:
 * every round trip by itself, for the tail.
 */
struct pingpong_plan {
	uint32_t warmup, blocks, block_rounds, samples;
};

struct pingpong_result {
	double round_trip;		/* ticks: median over blocks, or over samples where there are no blocks */
	struct bench_hist *hist;	/* samples are added; may be NULL */
};

struct floor_lines_end {
	struct floor_lines *lines;
	uint64_t n;
};

struct floor_eventfd_end {
	int ping, pong;			/* eventfds, blocking */
};

int floor_lines_lead(struct worker *w, struct floor_lines_end *end, const struct pingpong_plan *plan, struct pingpong_result *result);
int floor_lines_follow(struct worker *w, struct floor_lines_end *end, const struct pingpong_plan *plan);
int floor_eventfd_lead(struct worker *w, struct floor_eventfd_end *end, const struct pingpong_plan *plan, struct pingpong_result *result);
int floor_eventfd_follow(struct worker *w, struct floor_eventfd_end *end, const struct pingpong_plan *plan);

/* Raw single-producer single-consumer ring; how a message lies in memory: */
enum floor_layout {
	FLOOR_ONE_LINE,			/* 64-byte slot: flag and 7 words */
	FLOOR_TWO_LINES,		/* 128-byte slot: 24 bytes of header and 8 words, as zcp's inline message */
	FLOOR_SLOT_AND_CHUNK,		/* 64-byte slot with the header, 8 words in a line elsewhere, as zcp's chunk message */
};

struct floor_ring {
	alignas(128) _Atomic uint64_t cursor;	/* consumed so far; stored every R/8 messages */
	alignas(128) unsigned char memory[];
};

struct floor_ring_end {
	struct floor_ring *ring;
	enum floor_layout layout;
	uint64_t slots;			/* a power of two */
	uint64_t n;			/* messages so far */
};

size_t floor_ring_bytes(enum floor_layout layout, uint64_t slots);
int floor_ring_produce(struct worker *w, struct floor_ring_end *end, uint32_t n);
/* *ticks: from the first message to the last. */
int floor_ring_consume(struct worker *w, struct floor_ring_end *end, uint32_t n, uint64_t *ticks);

/* Two alternating buffers of @bytes and a counter for each direction. */
struct floor_buffers {
	alignas(128) _Atomic uint64_t produced;
	alignas(128) _Atomic uint64_t consumed;
	alignas(4096) unsigned char memory[];
};

struct floor_buffers_end {
	struct floor_buffers *buffers;
	size_t bytes;			/* of one buffer */
	uint64_t n;
};

/* @source: @bytes to copy in; word 0 is replaced by the message's number. @sum: of the source's words but the first. */
int floor_buffers_produce(struct worker *w, struct floor_buffers_end *end, const void *source, uint32_t n);
int floor_buffers_consume(struct worker *w, struct floor_buffers_end *end, uint64_t sum, uint32_t n, uint64_t *ticks);

/* memcpy of @bytes @n times: ticks. */
uint64_t floor_memcpy(struct worker *w, void *to, const void *from, size_t bytes, uint32_t n);

/*
 * Look at one line in each of @n pages, as publish looks at its subscribers' doorbells, @rounds times. *odd
 * counts lines that differ from
 * @known (there are none; it keeps the compiler honest). Ticks.
 */
uint64_t floor_scan(struct worker *w, const _Atomic uint64_t *const *line, const uint64_t *known, uint32_t n, uint32_t rounds, uint64_t *odd);

/* Sum of @bytes / 8 words at @data (64-byte aligned, bytes a multiple of 256), as wide as the compiler can. */
uint64_t bench_sum(const void *data, size_t bytes);

/* Message @seq of 64 bytes: written completely, and read completely: 0 if every word is right. */
static inline void bench_fill(uint64_t *words, int n, uint64_t seq)
{
	for (int i = 0; i < n; i++)
		words[i] = seq * 0x9e3779b97f4a7c15u + (uint64_t)i;
}

static inline uint64_t bench_check(const uint64_t *words, int n, uint64_t seq)
{
	uint64_t wrong = 0;

	for (int i = 0; i < n; i++)
		wrong |= words[i] ^ (seq * 0x9e3779b97f4a7c15u + (uint64_t)i);
	return wrong;
}

#endif
