/* SPDX-License-Identifier: MIT */
/*
 * calculator.h - what calculator asks and calculator-server answers
 *
 * Both ends open with the same two types; the router refuses to introduce programs that disagree about one of them. What cannot
 * be calculated is an answer like any other, with a status of this protocol: errors of zcp are about the transport.
 */
#ifndef CALCULATOR_H
#define CALCULATOR_H

#include <stdalign.h>
#include <stdint.h>
#include <zcp/zcp.h>

enum calculator_op {
	CALCULATOR_ADD = '+',
	CALCULATOR_SUBTRACT = '-',
	CALCULATOR_MULTIPLY = 'x',
	CALCULATOR_DIVIDE = '/',
	CALCULATOR_FACTORIZE = 'f',	/* of a: one response for each prime factor, all but the last one with ZCP_MORE */
};

enum calculator_status {
	CALCULATOR_OK = 0,
	CALCULATOR_DIVISION_BY_ZERO = 1,
	CALCULATOR_OVERFLOW = 2,
	CALCULATOR_UNKNOWN_OP = 3,
	CALCULATOR_NO_FACTORS = 4,	/* a < 2 */
};

struct calculator_request {
	uint32_t op, reserved;
	int64_t a, b;
};

struct calculator_response {
	uint32_t status, reserved;
	int64_t value;
};

static const struct zcp_topic calculator_topic = { "calculator", "demo", "request" };
static const struct zcp_type calculator_request_type = {
	"calculator request", sizeof(struct calculator_request), alignof(struct calculator_request),
};
static const struct zcp_type calculator_response_type = {
	"calculator response", sizeof(struct calculator_response), alignof(struct calculator_response),
};

#endif
