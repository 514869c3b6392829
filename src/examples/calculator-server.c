/* SPDX-License-Identifier: MIT */
/*
 * calculator-server.c - answers what calculator asks, until Ctrl-C
 *
 *	cc calculator-server.c -o calculator-server $(pkg-config --cflags --libs zcp)
 *
 * A response is written where the client will read it: loan, fill in, send. A request is copied out before it is looked at,
 * since whoever wrote it may still change it.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "calculator.h"

#define SECOND INT64_C(1000000000)

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
	stop = signal_number;
}

static int fail(const char *what)
{
	fprintf(stderr, "calculator-server: %s: %s\n", what, zcp_last_error());
	return 1;
}

static int respond(struct zcp_request *request, uint32_t status, int64_t value, uint32_t flags)
{
	struct calculator_response *response;
	void *payload;
	int r = zcp_request_loan(request, sizeof(*response), &payload);

	if (r < 0)
		return r;
	response = payload;
	*response = (struct calculator_response){ .status = status, .value = value };
	return zcp_request_send(request, payload, sizeof(*response), flags);
}

/* One response for each factor, as soon as it is found; the last one ends the request. */
static int factorize(struct zcp_request *request, int64_t n)
{
	int r = 0;

	if (n < 2)
		return respond(request, CALCULATOR_NO_FACTORS, 0, 0);
	for (int64_t factor = 2; factor <= n / factor && !r; factor++) {
		while (n % factor == 0 && n > factor && !r) {
			r = respond(request, CALCULATOR_OK, factor, ZCP_MORE);
			n /= factor;
		}
	}
	return r ? r : respond(request, CALCULATOR_OK, n, 0);
}

static uint32_t calculate(const struct calculator_request *q, int64_t *value)
{
	bool overflow = false;

	*value = 0;
	switch (q->op) {
	case CALCULATOR_ADD:
		overflow = __builtin_add_overflow(q->a, q->b, value);
		break;
	case CALCULATOR_SUBTRACT:
		overflow = __builtin_sub_overflow(q->a, q->b, value);
		break;
	case CALCULATOR_MULTIPLY:
		overflow = __builtin_mul_overflow(q->a, q->b, value);
		break;
	case CALCULATOR_DIVIDE:
		if (!q->b)
			return CALCULATOR_DIVISION_BY_ZERO;
		overflow = q->a == INT64_MIN && q->b == -1;
		if (!overflow)
			*value = q->a / q->b;
		break;
	default:
		return CALCULATOR_UNKNOWN_OP;
	}
	return overflow ? CALCULATOR_OVERFLOW : CALCULATOR_OK;
}

static void answer(struct zcp_request *request)
{
	struct calculator_request q;
	int64_t value;
	uint32_t status;
	int r;

	/* Nobody waits for the answer any more; or it is none of our requests, and released unanswered is what its client hears. */
	if (request->flags & ZCP_EXPIRED || request->size != sizeof(q))
		return;
	memcpy(&q, request->data, sizeof(q));
	if (q.op == CALCULATOR_FACTORIZE) {
		r = factorize(request, q.a);
	} else {
		status = calculate(&q, &value);
		r = respond(request, status, value, 0);
	}
	/* A client that has gone needs no answer. */
	if (r < 0 && r != -EPIPE)
		fail("cannot answer");
}

static int serve(zcp_server *server)
{
	while (!stop) {
		struct zcp_request request;
		/* Not for ever: waiting in the library is not ended by a signal. */
		int r = zcp_server_wait(server, SECOND / 10);

		if (r < 0 && r != -ETIMEDOUT)
			return fail("cannot wait");
		while (zcp_server_take(server, &request) == 0) {
			answer(&request);
			zcp_request_release(&request);
		}
	}
	return 0;
}

int main(void)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_server_options options = {
		.sz = sizeof(options),
		.request_type = calculator_request_type,
		.response_type = calculator_response_type,
		.timeout = SECOND,	/* for a client that does not take its responses */
	};
	struct sigaction action = { .sa_handler = on_signal };
	zcp_server *server;
	zcp_node *node;
	int r;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (zcp_node_open(&node, "calculator-server", &node_options) < 0)
		return fail("cannot join");
	if (zcp_server_open(&server, node, &calculator_topic, &options) < 0)
		return fail("cannot open the server");
	r = serve(server);
	zcp_server_close(server);
	zcp_node_close(node);
	return r;
}
