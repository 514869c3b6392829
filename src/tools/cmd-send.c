/* SPDX-License-Identifier: MIT */
/*
 * cmd-send.c - zcp send: one small message, published by the router
 *
 * For scripts: no publisher is opened, nobody is waited for, and nothing is printed. Whether somebody listened is the exit
 * status if that matters (--expect), or a line on stderr if somebody wants to see it (--verbose).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: zcp send [OPTION...] TOPIC [DATA]\n"
	"\n"
	"Send one message of up to 64 KiB to all subscribers of TOPIC, which is SERVICE/INSTANCE/EVENT.\n"
	"Without DATA it is what standard input has, up to its end. The router publishes it.\n"
	"\n"
	"  -e, --expect N       fail if fewer than N subscribers were reached\n"
	"  -v, --verbose        say on standard error how many were reached\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp send demo/chat/text hello\n"
	"  date | zcp send host/clock/date\n";

struct send {
	struct tool_topic topic;
	uint64_t expected;
	bool verbose;
	const char *data;
	size_t size;
	char buffer[ZCP_SEND_MAX + 1];	/* one more than allowed is enough to know */
};

/* 0 or a negative errno value after the complaint. */
static int read_all(struct send *s)
{
	struct input input;
	int r = input_open(&input, NULL, 0);

	while (r == 0 && s->size < sizeof(s->buffer)) {
		ssize_t n = input_read(&input, s->buffer + s->size, sizeof(s->buffer) - s->size, -1);

		if (n <= 0) {
			r = (int)n;
			break;
		}
		s->size += (size_t)n;
	}
	input_close(&input);
	s->data = s->buffer;
	return r;
}

static int send_it(const struct send *s)
{
	zcp_node *node;
	int r;

	if (tool_node_open(&node, "zcp send", true) < 0)
		return TOOL_FAILURE;
	r = zcp_node_send(node, &s->topic.topic, s->data, s->size);
	if (r < 0)
		tool_fail_zcp(r);
	else if (s->verbose)
		fprintf(stderr, "zcp: reached %d subscriber%s of %s/%s/%s\n", r, r == 1 ? "" : "s", s->topic.parts[0],
			s->topic.parts[1], s->topic.parts[2]);
	zcp_node_close(node);
	if (r >= 0 && (uint64_t)r < s->expected)
		return tool_fail("%d of %" PRIu64 " subscriber%s reached", r, s->expected, s->expected == 1 ? "" : "s");
	return r < 0 ? TOOL_FAILURE : TOOL_OK;
}

static int run(struct send *s)
{
	int r = s->data ? 0 : read_all(s);

	if (r == -EINTR)
		interrupt_die();
	if (r < 0)
		return TOOL_FAILURE;
	if (s->size > ZCP_SEND_MAX)
		return tool_fail("the message is larger than %d bytes; 'zcp pub' sends larger ones", ZCP_SEND_MAX);
	return send_it(s);
}

int cmd_send(int argc, char **argv)
{
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "expect", required_argument, NULL, 'e' },
		{ "verbose", no_argument, NULL, 'v' },
		{ 0 },
	};
	static struct send s;
	bool ok = true;
	int c, r;

	while (ok && (c = getopt_long(argc, argv, "he:v", options, NULL)) != -1) {
		switch (c) {
		case 'e':
			ok = tool_parse_count("--expect", optarg, 1, 4096, &s.expected);
			break;
		case 'v':
			s.verbose = true;
			break;
		default:
			if ((r = tool_common_option(c, optarg, help)) >= 0)
				return r;
		}
	}
	if (!ok)
		return TOOL_USAGE;
	if (optind == argc)
		return tool_usage("no topic was given");
	if (!tool_parse_topic(argv[optind++], &s.topic))
		return TOOL_USAGE;
	if (optind < argc) {
		s.data = argv[optind++];
		s.size = strlen(s.data);
	}
	if (optind < argc)
		return tool_usage("takes one message, but there is also '%s'", argv[optind]);
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	return run(&s);
}
