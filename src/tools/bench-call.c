/* SPDX-License-Identifier: MIT */
/*
 * bench-call.c - from a request to its response, there and back
 *
 * Side 0 asks, side 1 answers; both are there and do nothing else. As in `latency`, of a message the first eight bytes are written and
 * checked. 64 bytes are copied, as most programs will, by zcp_client_send() and zcp_request_reply(), or zcp_client_call() where it
 * blocks; the other rows are loans. Copied is faster: a loan of 64 bytes is the next slot itself, which whoever polls it takes
 * away between the payload and the publish.
 *
 * Floors. Polling: two publishes, one each way, of the same kind between the same two processes, a round trip as in `latency`,
 * where their own price over cache lines is. Blocking: one eventfd each way. Of 1 MiB: the same call with 64 bytes that lie in
 * a chunk as well, since nothing is copied.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tools/bench-pingpong.h"
#include "tools/bench.h"

#define SMALL 64
#define CHUNK 4096		/* payload_max with which 64 bytes are no longer inline, the default */
#define LARGE (1u << 20)

enum call_floor { FLOOR_PUBLISHES, FLOOR_EVENTFD, FLOOR_SMALL };

static const struct call_case {
	const char *name;
	size_t size, payload_max;
	bool copy, blocking, quick;
	enum call_floor floor;
	double target;
} cases[] = {
	{ "64 B, polling", SMALL, SMALL, true, false, true, FLOOR_PUBLISHES, 2.2 },
	{ "64 B loan, polling", SMALL, SMALL, false, false, false, FLOOR_PUBLISHES, 2.2 },
	{ "64 B chunk, polling", SMALL, CHUNK, false, false, false, FLOOR_PUBLISHES, 2.2 },
	{ "1 MiB loan, polling", LARGE, LARGE, false, false, true, FLOOR_SMALL, 1.1 },
	{ "64 B, blocking", SMALL, SMALL, true, true, true, FLOOR_EVENTFD, 1.2 },
	{ "1 MiB loan, blocking", LARGE, LARGE, false, true, false, FLOOR_SMALL, 1.1 },
};

struct call_shared {
	struct bench_hist hist, floor_hist;	/* ticks of round trips */
	double value[BENCH_RUNS_MAX], floor[BENCH_RUNS_MAX];
};

struct call_arg {
	const struct call_case *cc;
	struct call_shared *shared;
	struct pingpong_plan plan;
	int ping_fd, pong_fd;
};

/* One of the two has the client, the other one the server. */
struct call_end {
	zcp_client *client;
	zcp_server *server;
	size_t size;
	uint64_t n;
};

/* What a side has for a case: the call, and what is measured in turns with it. */
struct call_ends {
	zcp_node *node;
	struct call_end call, small;
	struct pubsub_end pubsub;
	struct floor_eventfd_end fds;
};

/* ---- the client's turn ------------------------------------------------------------------------------------------- */

PINGPONG_INLINE int check_response(struct worker *w, const struct call_end *end, const void *data, size_t size)
{
	uint64_t word = size >= sizeof(word) ? *(const uint64_t *)data : 0;

	return __builtin_expect(word != end->n || size != end->size, 0)
		       ? worker_fail(w, "the response to %llu is %llu with %zu bytes", (unsigned long long)end->n, (unsigned long long)word, size)
		       : 0;
}

PINGPONG_INLINE int ask(struct worker *w, struct call_end *end, bool copy, uint64_t *id)
{
	uint64_t request[SMALL / sizeof(uint64_t)] = { ++end->n };
	void *payload;
	int r;

	if (copy) {
		r = zcp_client_send(end->client, request, sizeof(request), id);
		return __builtin_expect(r < 0, 0) ? worker_fail_zcp(w, "zcp_client_send", r) : 0;
	}
	r = zcp_client_loan(end->client, end->size, &payload);
	if (__builtin_expect(r < 0, 0))
		return worker_fail_zcp(w, "zcp_client_loan", r);
	*(uint64_t *)payload = end->n;
	r = zcp_client_send_loan(end->client, payload, end->size, id);
	return __builtin_expect(r < 0, 0) ? worker_fail_zcp(w, "zcp_client_send_loan", r) : 0;
}

PINGPONG_INLINE int ask_and_take(struct worker *w, struct call_end *end, bool copy, bool blocking)
{
	struct zcp_response response;
	struct spin spin = { 0 };
	uint64_t id;
	int r;

	if (ask(w, end, copy, &id))
		return -1;
	while ((r = zcp_client_take(end->client, &response)) == -EAGAIN) {
		if (blocking) {
			r = zcp_client_wait(end->client, BENCH_WAIT_NS);
			if (r < 0)
				return worker_fail_zcp(w, "zcp_client_wait", r);
		} else if (worker_spin(w, &spin)) {
			return -1;
		}
	}
	if (__builtin_expect(r < 0 || response.status || response.id != id, 0))
		return worker_fail_zcp(w, "zcp_client_take", r < 0 ? r : response.status ? response.status : -EPROTO);
	r = check_response(w, end, response.data, response.size);
	zcp_response_release(&response);
	return r;
}

PINGPONG_INLINE int ask_polling(struct worker *w, void *arg)
{
	return ask_and_take(w, arg, false, false);
}

PINGPONG_INLINE int ask_copying(struct worker *w, void *arg)
{
	return ask_and_take(w, arg, true, false);
}

PINGPONG_INLINE int ask_blocking(struct worker *w, void *arg)
{
	return ask_and_take(w, arg, false, true);
}

PINGPONG_INLINE int call_blocking(struct worker *w, void *arg)
{
	struct call_end *end = arg;
	uint64_t request[SMALL / sizeof(uint64_t)] = { ++end->n };
	struct zcp_sample response;
	int r = zcp_client_call(end->client, request, sizeof(request), &response, BENCH_WAIT_NS);

	if (__builtin_expect(r < 0, 0))
		return worker_fail_zcp(w, "zcp_client_call", r);
	r = check_response(w, end, response.data, response.size);
	zcp_sample_release(&response);
	return r;
}

/* ---- the server's turn ------------------------------------------------------------------------------------------- */

PINGPONG_INLINE int take_request(struct worker *w, struct call_end *end, struct zcp_request *request, bool blocking)
{
	struct spin spin = { 0 };
	int r;

	while ((r = zcp_server_take(end->server, request)) == -EAGAIN) {
		if (blocking) {
			r = zcp_server_wait(end->server, BENCH_WAIT_NS);
			if (r < 0)
				return worker_fail_zcp(w, "zcp_server_wait", r);
		} else if (worker_spin(w, &spin)) {
			return -1;
		}
	}
	if (__builtin_expect(r < 0, 0))
		return worker_fail_zcp(w, "zcp_server_take", r);
	return request->size == end->size ? 0 : worker_fail(w, "a request has %zu bytes", request->size);
}

PINGPONG_INLINE int answer_by_loan(struct worker *w, struct call_end *end, bool blocking)
{
	struct zcp_request request;
	void *payload;
	int r;

	if (take_request(w, end, &request, blocking))
		return -1;
	r = zcp_request_loan(&request, end->size, &payload);
	if (__builtin_expect(r < 0, 0))
		return worker_fail_zcp(w, "zcp_request_loan", r);
	*(uint64_t *)payload = *(const uint64_t *)request.data;
	r = zcp_request_send(&request, payload, end->size, 0);
	zcp_request_release(&request);
	return __builtin_expect(r < 0, 0) ? worker_fail_zcp(w, "zcp_request_send", r) : 0;
}

PINGPONG_INLINE int answer_polling(struct worker *w, void *arg)
{
	return answer_by_loan(w, arg, false);
}

PINGPONG_INLINE int answer_blocking(struct worker *w, void *arg)
{
	return answer_by_loan(w, arg, true);
}

PINGPONG_INLINE int reply(struct worker *w, struct call_end *end, bool blocking)
{
	struct zcp_request request;
	int r;

	if (take_request(w, end, &request, blocking))
		return -1;
	r = zcp_request_reply(&request, request.data, request.size);
	zcp_request_release(&request);
	return __builtin_expect(r < 0, 0) ? worker_fail_zcp(w, "zcp_request_reply", r) : 0;
}

PINGPONG_INLINE int reply_polling(struct worker *w, void *arg)
{
	return reply(w, arg, false);
}

PINGPONG_INLINE int reply_blocking(struct worker *w, void *arg)
{
	return reply(w, arg, true);
}

/* ---- legs -------------------------------------------------------------------------------------------------------- */

static int open_call(struct worker *w, zcp_node *node, const char *event, size_t size, size_t payload_max, struct call_end *end)
{
	const struct zcp_server_options server = { .sz = sizeof(server), .payload_max = payload_max, .max_loans = 2 };
	const struct zcp_client_options client = { .sz = sizeof(client), .payload_max = payload_max, .max_loans = 2 };

	end->size = size;
	if (w->side ? worker_server(w, node, event, &server, &end->server) : 0)
		return -1;
	/* the server is there before the client */
	return worker_meet(w) || (w->side ? 0 : worker_client(w, node, event, &client, &end->client)) || worker_meet(w) ? -1 : 0;
}

static int open_ends(struct worker *w, const struct call_arg *a, struct call_ends *ends)
{
	const struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = a->cc->payload_max, .max_subscribers = 4 };

	ends->fds = (struct floor_eventfd_end){ a->ping_fd, a->pong_fd };
	if (worker_node(w, &ends->node) || open_call(w, ends->node, "call", a->cc->size, a->cc->payload_max, &ends->call))
		return -1;
	if (a->cc->floor == FLOOR_SMALL)
		return open_call(w, ends->node, "small", SMALL, CHUNK, &ends->small);
	if (a->cc->floor != FLOOR_PUBLISHES)
		return 0;
	ends->pubsub.size = SMALL;
	if (worker_subscriber(w, ends->node, w->side ? "ping" : "pong", NULL, &ends->pubsub.subscriber) ||
	    worker_publisher(w, ends->node, w->side ? "pong" : "ping", &options, &ends->pubsub.publisher) ||
	    worker_connected(w, ends->pubsub.publisher, 1))
		return -1;
	return worker_meet(w);
}

static int lead_call(struct worker *w, const struct call_arg *a, struct call_end *end, struct pingpong_result *result)
{
	if (a->cc->blocking)
		return a->cc->copy ? pingpong_lead(w, call_blocking, end, &a->plan, result) : pingpong_lead(w, ask_blocking, end, &a->plan, result);
	return a->cc->copy ? pingpong_lead(w, ask_copying, end, &a->plan, result) : pingpong_lead(w, ask_polling, end, &a->plan, result);
}

static int lead_floor(struct worker *w, const struct call_arg *a, struct call_ends *ends, struct pingpong_result *result)
{
	switch (a->cc->floor) {
	case FLOOR_PUBLISHES:
		return pingpong_lead(w, pubsub_ping, &ends->pubsub, &a->plan, result);
	case FLOOR_EVENTFD:
		return floor_eventfd_lead(w, &ends->fds, &a->plan, result);
	default:
		return lead_call(w, a, &ends->small, result);
	}
}

static int follow_call(struct worker *w, const struct call_arg *a, struct call_end *end)
{
	if (a->cc->blocking)
		return a->cc->copy ? pingpong_follow(w, reply_blocking, end, &a->plan) : pingpong_follow(w, answer_blocking, end, &a->plan);
	return a->cc->copy ? pingpong_follow(w, reply_polling, end, &a->plan) : pingpong_follow(w, answer_polling, end, &a->plan);
}

static int follow_floor(struct worker *w, const struct call_arg *a, struct call_ends *ends)
{
	switch (a->cc->floor) {
	case FLOOR_PUBLISHES:
		return pingpong_follow(w, pubsub_pong, &ends->pubsub, &a->plan);
	case FLOOR_EVENTFD:
		return floor_eventfd_follow(w, &ends->fds, &a->plan);
	default:
		return follow_call(w, a, &ends->small);
	}
}

static int client_side(struct worker *w, void *arg)
{
	struct call_arg *a = arg;
	struct call_ends ends = { 0 };

	if (open_ends(w, a, &ends))
		return -1;
	for (int run = 0; run < w->bench->runs; run++) {
		struct pingpong_result call = { .hist = &a->shared->hist }, floor = { .hist = &a->shared->floor_hist };

		if (worker_meet(w) || lead_floor(w, a, &ends, &floor) || worker_meet(w) || lead_call(w, a, &ends.call, &call))
			return -1;
		a->shared->value[run] = call.round_trip;
		a->shared->floor[run] = floor.round_trip;
	}
	if (worker_meet(w))
		return -1;
	zcp_node_close(ends.node);
	return 0;
}

static int server_side(struct worker *w, void *arg)
{
	struct call_arg *a = arg;
	struct call_ends ends = { 0 };

	if (open_ends(w, a, &ends))
		return -1;
	for (int run = 0; run < w->bench->runs; run++)
		if (worker_meet(w) || follow_floor(w, a, &ends) || worker_meet(w) || follow_call(w, a, &ends.call))
			return -1;
	if (worker_meet(w))
		return -1;
	zcp_node_close(ends.node);
	return 0;
}

/* ---- in the parent ----------------------------------------------------------------------------------------------- */

static struct pingpong_plan plan_of(const struct bench *b, bool blocking)
{
	if (blocking || b->one_cpu)
		return (struct pingpong_plan){ .warmup = bench_rounds(b, 1000, 4), .samples = bench_rounds(b, 10000, 16) };
	return (struct pingpong_plan){
		.warmup = bench_rounds(b, 10000, 16),
		.blocks = bench_rounds(b, 2000, 2),
		.block_rounds = 100,
		.samples = bench_rounds(b, 100000, 16),
	};
}

static void report(struct bench *b, const struct call_case *cc, const struct call_shared *shared)
{
	struct bench_row row = { .section = "call", .unit = BENCH_NS, .target = cc->target, .n = b->runs };
	double p99 = (double)bench_hist_percentile(&shared->hist, 99) * b->ns_per_tick;

	snprintf(row.name, sizeof(row.name), "%s", cc->name);
	for (int i = 0; i < b->runs; i++) {
		row.value[i] = shared->value[i] * b->ns_per_tick;
		row.floor[i] = shared->floor[i] * b->ns_per_tick;
	}
	row.hist = &shared->hist;
	row.floor_hist = &shared->floor_hist;
	row.hist_scale = b->ns_per_tick;
	bench_row_extra(&row, "size", (double)cc->size);
	bench_row_extra(&row, "payload_max", (double)cc->payload_max);
	if (cc->blocking)
		snprintf(row.note, sizeof(row.note), "p99 %.0f us", p99 / 1e3);
	else
		snprintf(row.note, sizeof(row.note), "p99 %.0f ns", p99);
	bench_report_row(b, &row);
}

static int measure(struct bench *b, const struct call_case *cc)
{
	struct call_arg a = { .cc = cc, .shared = bench_shared_new(b, sizeof(*a.shared)), .plan = plan_of(b, cc->blocking) };
	char what[64];
	int r = -1;

	if (!a.shared)
		return -1;
	a.ping_fd = eventfd(0, EFD_CLOEXEC);
	a.pong_fd = eventfd(0, EFD_CLOEXEC);
	snprintf(what, sizeof(what), "call, %s", cc->name);
	if (a.ping_fd < 0 || a.pong_fd < 0)
		bench_error(b, "%s: no eventfd: %s", what, strerror(errno));
	else
		r = bench_pair(b, what, client_side, server_side, &a);
	if (!r)
		report(b, cc, a.shared);
	fd_close(a.ping_fd);
	fd_close(a.pong_fd);
	bench_shared_free(a.shared, sizeof(*a.shared));
	return r;
}

int bench_call(struct bench *b)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases) && !bench_interrupted(); i++)
		if ((cases[i].quick || !b->quick) && measure(b, &cases[i]))
			r = -1;
	return r;
}
