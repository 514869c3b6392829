/* SPDX-License-Identifier: MIT */
/*
 * cmd-call.c - zcp call: ask a server, and print what it answers
 *
 * A request is sent and its response taken with the descriptor of the client in between, not by zcp_client_call(): Ctrl-C has to
 * end the wait. Only one request is under way at a time. Without --more a stream of responses ends for us with its first;
 * what follows is taken while the next call waits, and thrown away.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/printer.h"
#include "tools/text.h"
#include "tools/tool.h"

#define PAYLOAD_MAX (1ull << 31)
#define DEFAULT_TIMEOUT_NS 10000000000
#define SLICE_NS 100000000
#define FIRST_ROOM 65536
#define STREAMS_MAX 256		/* of earlier calls that have not come to their end */
#define STREAMS_BYTES (64u << 20)	/* each has room for its request */

static const char help[] =
	"Usage: zcp call [OPTION...] TOPIC [DATA]\n"
	"\n"
	"Send a request, DATA or else standard input, to the server of TOPIC, which is\n"
	"SERVICE/INSTANCE/EVENT, and print the response: time, number of the call, size, content\n"
	"(abbreviated). Waits for a server if there is none.\n"
	"\n"
	"      --raw            write the response's bytes, nothing else\n"
	"      --hex            the whole response as a hex dump\n"
	"      --json           one JSON object a line; responses that aren't UTF-8 in base64\n"
	"      --more           all responses of a server that sends several, not just the first\n"
	"  -n, --count N        ask N times, one after the other\n"
	"  -t, --timeout S      give up when no server comes within S seconds, or it hasn't answered\n"
	"                       within S seconds (default 10)\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp call demo/calc/add '1 2'\n"
	"  zcp call --raw images/scale/half < photo.jpg > small.jpg\n";

struct call {
	/* what was asked for */
	struct tool_topic topic;
	struct printer printer;
	bool raw, more;
	uint64_t count;
	int64_t timeout_ns;
	const char *text;		/* NULL: standard input */

	/* what goes on */
	char *data;			/* on the heap, if it came from standard input */
	size_t size;
	zcp_node *node;
	zcp_client *client;
	uint64_t n_calls;
};

/* ---- the request ------------------------------------------------------------------------------------------------- */

/* All of standard input. 0, -EINTR, or another negative errno value after the complaint. */
static int read_input(struct call *c)
{
	struct input input;
	size_t room = 0;
	ssize_t n = input_open(&input, NULL, 0);

	while (n >= 0) {
		if (c->size == room) {
			char *larger = realloc(c->data, room = room ? room * 2 : FIRST_ROOM);

			if (!larger) {
				tool_fail("%s", strerror(ENOMEM));
				return -ENOMEM;
			}
			c->data = larger;
		}
		n = input_read(&input, c->data + c->size, room - c->size, -1);
		if (n <= 0)
			break;
		c->size += (size_t)n;
		if (c->size > PAYLOAD_MAX) {
			tool_fail("standard input is larger than 2 GiB, and no request can be");
			return -EMSGSIZE;
		}
	}
	return (int)n;
}

static void say_waiting(const struct call *c)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "zcp: waiting for a server of %s/%s/%s\n", c->topic.parts[0], c->topic.parts[1], c->topic.parts[2]);
}

/* The router may have refused the only one, and said why. */
static void complain_alone(const struct call *c)
{
	const char *refused = strstr(zcp_last_error(), "one was refused");
	char number[TEXT_NUMBER];

	tool_fail("no server of %s/%s/%s came within %s%s%s", c->topic.parts[0], c->topic.parts[1], c->topic.parts[2],
		  text_duration((uint64_t)c->timeout_ns, number), refused ? "; " : "", refused ? refused : "");
}

/* 0, -EINTR, or another negative errno value after the complaint. */
static int await_server(struct call *c)
{
	uint64_t start = clock_now_ns();
	bool said = false;

	for (;;) {
		int64_t left = c->timeout_ns - (int64_t)(clock_now_ns() - start);
		int r = zcp_client_connect(c->client, 1, left < 0 ? 0 : left < SLICE_NS ? left : SLICE_NS);

		if (r >= 0)
			return 0;
		if (interrupt_signal())
			return -EINTR;
		if (r != -ETIMEDOUT) {
			tool_fail_zcp(r);
			return r;
		}
		if (left <= 0) {
			complain_alone(c);
			return r;
		}
		if (!said)
			say_waiting(c);
		said = true;
	}
}

static int send_request(struct call *c, uint64_t *id)
{
	for (;;) {
		int r = await_server(c);

		if (r < 0)
			return r;
		r = zcp_client_send(c->client, c->text ? c->text : c->data, c->size, id);
		if (r >= 0)
			return 0;
		/* the server has gone just now: another one may come */
		if (r != -ENOTCONN) {
			tool_fail_zcp(r);
			return r;
		}
	}
}

/* ---- the response ------------------------------------------------------------------------------------------------ */

static int complain(const struct call *c, int status)
{
	char number[TEXT_NUMBER];

	if (status == -EPIPE)
		tool_fail("the server ended before it answered");
	else if (status == -ETIMEDOUT)
		tool_fail("the server did not answer within %s", text_duration((uint64_t)c->timeout_ns, number));
	else if (status == -ENODATA)
		tool_fail("the server released the request unanswered");
	else
		tool_fail("the server says: %s", strerror(-status));
	return status;
}

/* 0; 1 nobody reads any more; or a negative errno value after the complaint (-EINTR: without). */
static int print(struct call *c, const struct zcp_response *response)
{
	struct zcp_sample sample = response->sample;
	int r;

	if (c->raw) {
		r = printer_raw(response->data, response->size);
		return r == -EPIPE ? 1 : r;
	}
	sample.sequence = c->n_calls;
	sample.publisher = response->server;
	c->printer.more = response->flags & ZCP_MORE;
	r = printer_print(&c->printer, &sample);
	if (r < 0) {
		tool_fail("%s", strerror(-r));
		return r;
	}
	fflush(stdout);
	/* Complaints come from tool_finish_stdout(). */
	return ferror(stdout) ? 1 : 0;
}

/* The next word about the request @id. 0, or a negative errno value after the complaint (-EINTR: without). */
static int take(struct call *c, uint64_t id, struct zcp_response *response)
{
	for (;;) {
		int r = zcp_client_take(c->client, response), fd;

		if (r == 0 && response->id == id)
			return response->status ? complain(c, response->status) : 0;
		if (r == 0) {
			zcp_response_release(response);
			continue;
		}
		fd = r == -EAGAIN ? zcp_client_fd(c->client) : r;
		if (fd < 0) {
			tool_fail_zcp(fd);
			return fd;
		}
		r = interrupt_poll(fd, POLLIN, -1);
		if (r < 0)
			return r;
	}
}

/* As print(). */
static int call_once(struct call *c)
{
	struct zcp_response response;
	bool more = true;
	uint64_t id;
	int r = send_request(c, &id);

	while (r == 0 && more) {
		r = take(c, id, &response);
		if (r < 0)
			break;
		r = print(c, &response);
		more = c->more && response.flags & ZCP_MORE;
		zcp_response_release(&response);
	}
	return r;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* A server that answers once needs one; the segment of a large request shall not be many times as large. */
static uint32_t n_streams(size_t size)
{
	size_t n = STREAMS_BYTES / (size ? size : 1);

	return n < 1 ? 1 : n > STREAMS_MAX ? STREAMS_MAX : (uint32_t)n;
}

static int open_client(struct call *c)
{
	const struct zcp_client_options options = {
		.sz = sizeof(options),
		.payload_max = c->size ? c->size : 1,
		.max_pending = n_streams(c->size),
		.max_held = 2,
		.max_loans = 1,
		.timeout = c->timeout_ns ? c->timeout_ns : 1,
	};
	int r = tool_node_open(&c->node, "zcp call", true);

	if (r < 0)
		return r;
	r = zcp_client_open(&c->client, c->node, &c->topic.topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

static int call(struct call *c)
{
	int r = c->text ? 0 : read_input(c), status;

	if (c->text)
		c->size = strlen(c->text);
	if (r == 0)
		r = open_client(c);
	for (; r == 0 && c->n_calls < c->count; c->n_calls++)
		r = call_once(c);
	status = r < 0 ? TOOL_FAILURE : TOOL_OK;
	if (!c->raw && tool_finish_stdout() != TOOL_OK)
		status = TOOL_FAILURE;
	zcp_client_close(c->client);
	zcp_node_close(c->node);
	free(c->data);
	if (r == -EINTR)
		interrupt_die();
	return status;
}

int cmd_call(int argc, char **argv)
{
	enum { OPTION_RAW = TOOL_OPTION_FIRST, OPTION_HEX, OPTION_JSON, OPTION_MORE };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "raw", no_argument, NULL, OPTION_RAW },
		{ "hex", no_argument, NULL, OPTION_HEX },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "more", no_argument, NULL, OPTION_MORE },
		{ "count", required_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' },
		{ 0 },
	};
	struct call c = { .count = 1, .timeout_ns = DEFAULT_TIMEOUT_NS, .printer = { .responses = true } };
	bool ok = true, hex = false, json = false;
	int option, r;

	while (ok && (option = getopt_long(argc, argv, "hn:t:", options, NULL)) != -1) {
		switch (option) {
		case OPTION_RAW:
			c.raw = true;
			break;
		case OPTION_HEX:
			hex = true;
			break;
		case OPTION_JSON:
			json = true;
			break;
		case OPTION_MORE:
			c.more = true;
			break;
		case 'n':
			ok = tool_parse_count("--count", optarg, 1, UINT64_MAX, &c.count);
			break;
		case 't':
			ok = tool_parse_seconds("--timeout", optarg, &c.timeout_ns);
			break;
		default:
			if ((r = tool_common_option(option, optarg, help)) >= 0)
				return r;
		}
	}
	if (!ok)
		return TOOL_USAGE;
	if (optind == argc)
		return tool_usage("no topic was given");
	if (!tool_parse_topic(argv[optind++], &c.topic))
		return TOOL_USAGE;
	if (optind < argc)
		c.text = argv[optind++];
	if (optind < argc)
		return tool_usage("takes one request, but there is also '%s'", argv[optind]);
	if (c.raw + hex + json > 1)
		return tool_usage("--raw, --hex and --json exclude each other");
	c.printer.mode = json ? PRINTER_JSON : hex ? PRINTER_HEX : PRINTER_LINE;
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	return call(&c);
}
