/* SPDX-License-Identifier: MIT */
/*
 * calculator.c - asks calculator-server
 *
 *	calculator 12 + 30		also -, x, /
 *	calculator factorize 360
 *
 * The request is written where the server will read it: loan, fill in, send. Then responses are taken until the last one, which is
 * the first one of most requests. zcp_client_call() does all of it in one call, with one copy, for one response.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calculator.h"

#define SECOND INT64_C(1000000000)

static int fail(const char *what)
{
	fprintf(stderr, "calculator: %s: %s\n", what, zcp_last_error());
	return 1;
}

static int send_request(zcp_client *client, const struct calculator_request *q, uint64_t *id)
{
	void *payload;
	int r = zcp_client_loan(client, sizeof(*q), &payload);

	if (r < 0)
		return r;
	memcpy(payload, q, sizeof(*q));
	return zcp_client_send_loan(client, payload, sizeof(*q), id);
}

/* 0, or 1 after a complaint. */
static int print(const struct zcp_response *response)
{
	static const char *const complaints[] = {
		[CALCULATOR_DIVISION_BY_ZERO] = "division by zero",
		[CALCULATOR_OVERFLOW] = "the result is too large",
		[CALCULATOR_UNKNOWN_OP] = "the server does not know this operation",
		[CALCULATOR_NO_FACTORS] = "only numbers from 2 on have prime factors",
	};
	struct calculator_response answer;

	if (response->size != sizeof(answer)) {
		fprintf(stderr, "calculator: the server has sent %zu bytes, which is no answer\n", response->size);
		return 1;
	}
	memcpy(&answer, response->data, sizeof(answer));
	if (answer.status == CALCULATOR_OK) {
		printf("%" PRId64 "\n", answer.value);
		return 0;
	}
	fprintf(stderr, "calculator: %s\n",
		answer.status < sizeof(complaints) / sizeof(*complaints) ? complaints[answer.status] : "the server has an unknown complaint");
	return 1;
}

static int ask(zcp_client *client, const struct calculator_request *q)
{
	struct zcp_response response;
	uint32_t flags;
	uint64_t id;
	int r;

	if (zcp_client_connect(client, 1, 5 * SECOND) < 0)
		return fail("no server");
	if (send_request(client, q, &id) < 0)
		return fail("cannot ask");
	do {
		/* Every request ends: with its last response, with its server, or with the time in zcp_client_options. */
		while ((r = zcp_client_take(client, &response)) == -EAGAIN)
			zcp_client_wait(client, -1);
		if (r < 0)
			return fail("cannot take the response");
		if (response.status) {
			fprintf(stderr, "calculator: no answer: %s\n", strerror(-response.status));
			return 1;
		}
		r = print(&response);
		flags = response.flags;
		zcp_response_release(&response);
	} while (!r && flags & ZCP_MORE);
	return r;
}

static int parse_number(const char *text, int64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	return !*text || *end || errno ? -1 : 0;
}

static int parse(int argc, char **argv, struct calculator_request *q)
{
	if (argc == 3 && !strcmp(argv[1], "factorize")) {
		q->op = CALCULATOR_FACTORIZE;
		return parse_number(argv[2], &q->a);
	}
	if (argc != 4 || strlen(argv[2]) != 1 || !strchr("+-x/", *argv[2]))
		return -1;
	q->op = (uint32_t)*argv[2];
	return parse_number(argv[1], &q->a) || parse_number(argv[3], &q->b) ? -1 : 0;
}

int main(int argc, char **argv)
{
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	const struct zcp_client_options options = {
		.sz = sizeof(options),
		.request_type = calculator_request_type,
		.response_type = calculator_response_type,
		.timeout = 5 * SECOND,
	};
	struct calculator_request q = { 0 };
	zcp_client *client;
	zcp_node *node;
	int r;

	if (parse(argc, argv, &q) < 0) {
		fprintf(stderr, "usage: calculator A +|-|x|/ B, or calculator factorize A\n");
		return 2;
	}
	if (zcp_node_open(&node, "calculator", &node_options) < 0)
		return fail("cannot join");
	if (zcp_client_open(&client, node, &calculator_topic, &options) < 0)
		return fail("cannot open the client");
	r = ask(client, &q);
	zcp_client_close(client);
	zcp_node_close(node);
	return r;
}
