/* SPDX-License-Identifier: MIT */
/*
 * cmd-notify.c - zcp notify: say that something has happened
 *
 * A notifier that is opened, counts and is closed. Whoever is to hear of it has to be connected before it closes, so it
 * waits for listeners first.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"

#define MAX_EVENT_ID 65535
#define DEFAULT_TIMEOUT_NS 10000000000
#define SLICE_NS 100000000

static const char help[] =
	"Usage: zcp notify [OPTION...] TOPIC [ID]\n"
	"\n"
	"Say that event ID (default 0) of TOPIC, which is SERVICE/INSTANCE/EVENT, has happened.\n"
	"\n"
	"  -n, --count N        so many times (default 1)\n"
	"      --listeners N    wait for so many listeners first (default 1)\n"
	"  -t, --timeout S      wait so many seconds for them (default 10)\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp notify demo/recorder/state\n"
	"  zcp notify --count 3 demo/recorder/state 7\n";

struct notify {
	struct tool_topic topic;
	uint64_t id, count, listeners;
	int64_t timeout_ns;
	zcp_node *node;
	zcp_notifier *notifier;
};

/* 0, -EINTR, or another negative errno value after the complaint. */
static int await_listeners(struct notify *n)
{
	uint64_t start = clock_now_ns();
	char number[TEXT_NUMBER];

	for (;;) {
		int64_t left = n->timeout_ns - (int64_t)(clock_now_ns() - start);
		int r = zcp_notifier_wait(n->notifier, (int)n->listeners, left < 0 ? 0 : left < SLICE_NS ? left : SLICE_NS);

		if (r >= 0)
			return 0;
		if (interrupt_signal())
			return -EINTR;
		if (r != -ETIMEDOUT) {
			tool_fail_zcp(r);
			return r;
		}
		if (left <= 0) {
			tool_fail("%d of %llu listeners of %s/%s/%s came within %s", zcp_notifier_listeners(n->notifier),
				  (unsigned long long)n->listeners, n->topic.parts[0], n->topic.parts[1], n->topic.parts[2],
				  text_duration((uint64_t)n->timeout_ns, number));
			return r;
		}
	}
}

static int notify(struct notify *n)
{
	const struct zcp_notifier_options options = { .sz = sizeof(options), .max_event_id = MAX_EVENT_ID };
	int r = tool_node_open(&n->node, "zcp notify", true);

	if (r < 0)
		return r;
	r = zcp_notifier_open(&n->notifier, n->node, &n->topic.topic, &options);
	if (r < 0) {
		tool_fail_zcp(r);
		return r;
	}
	r = await_listeners(n);
	for (uint64_t i = 0; r >= 0 && i < n->count; i++) {
		r = zcp_notifier_notify(n->notifier, (uint32_t)n->id);
		if (r < 0)
			tool_fail_zcp(r);
		else if (interrupt_signal())
			r = -EINTR;
	}
	return r;
}

int cmd_notify(int argc, char **argv)
{
	enum { OPTION_LISTENERS = TOOL_OPTION_FIRST };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "count", required_argument, NULL, 'n' },
		{ "listeners", required_argument, NULL, OPTION_LISTENERS },
		{ "timeout", required_argument, NULL, 't' },
		{ 0 },
	};
	struct notify n = { .count = 1, .listeners = 1, .timeout_ns = DEFAULT_TIMEOUT_NS };
	bool ok = true;
	int option, r;

	while (ok && (option = getopt_long(argc, argv, "hn:t:", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			ok = tool_parse_count("--count", optarg, 1, UINT64_MAX, &n.count);
			break;
		case OPTION_LISTENERS:
			ok = tool_parse_count("--listeners", optarg, 0, 64, &n.listeners);
			break;
		case 't':
			ok = tool_parse_seconds("--timeout", optarg, &n.timeout_ns);
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
	if (!tool_parse_topic(argv[optind++], &n.topic))
		return TOOL_USAGE;
	if (optind < argc && !tool_parse_count("ID", argv[optind++], 0, MAX_EVENT_ID, &n.id))
		return TOOL_USAGE;
	if (optind < argc)
		return tool_usage("takes one event id, but there is also '%s'", argv[optind]);
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	r = notify(&n);
	zcp_node_close(n.node);
	if (r == -EINTR)
		interrupt_die();
	return r < 0 ? TOOL_FAILURE : TOOL_OK;
}
