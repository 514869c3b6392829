/* SPDX-License-Identifier: MIT */
/*
 * cmd-listen.c - zcp listen: print events as they happen
 *
 * One line for each event id that is taken, with how often it has happened since the line before: a burst is one line with
 * a large number, and a terminal that is slow holds up nobody.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"

#define MAX_EVENT_ID 65535
#define IDS_MAX 4096

static const char help[] =
	"Usage: zcp listen [OPTION...] TOPIC [ID...]\n"
	"\n"
	"Print the events of TOPIC, which is SERVICE/INSTANCE/EVENT, as they happen: all, or those\n"
	"with the given IDs.\n"
	"\n"
	"  -n, --count N        end when so many events have happened\n"
	"      --json           one JSON object a line\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp listen demo/recorder/state\n"
	"  zcp listen --count 1 demo/recorder/state 7 && echo 'it happened'\n";

struct listen {
	struct tool_topic topic;
	uint64_t count;			/* to come; 0: no end */
	bool json;
	uint32_t ids[IDS_MAX];
	size_t n_ids;
	zcp_node *node;
	zcp_listener *listener;
};

static void print_line(uint32_t id, uint64_t count)
{
	struct timespec now;
	struct tm tm;
	char text[16];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%06ld  %" PRIu32, text, now.tv_nsec / 1000, id);
	if (count > 1)
		printf("  %" PRIu64 " times", count);
	putchar('\n');
}

/* 1: the wanted number was printed, or nobody reads any more. */
static int print(struct listen *l, uint32_t id, uint64_t count)
{
	if (l->json)
		printf("{\"time_ns\":%" PRIu64 ",\"id\":%" PRIu32 ",\"count\":%" PRIu64 "}\n", clock_now_ns(), id, count);
	else
		print_line(id, count);
	if (fflush(stdout))
		return 1;
	if (l->count && count >= l->count)
		return 1;
	l->count -= l->count ? count : 0;
	return 0;
}

/* 0; -EINTR; or another negative errno value after the complaint. */
static int run(struct listen *l)
{
	uint64_t count;
	uint32_t id;
	int fd, r;

	for (;;) {
		while ((r = zcp_listener_take(l->listener, &id, &count)) == 0)
			if (print(l, id, count))
				return 0;
		fd = r == -EAGAIN ? zcp_listener_fd(l->listener) : r;
		if (fd < 0) {
			tool_fail_zcp(fd);
			return fd;
		}
		r = interrupt_poll(fd, POLLIN, -1);
		if (r < 0)
			return r;
	}
}

static int listen_to(struct listen *l)
{
	const struct zcp_listener_options options = {
		.sz = sizeof(options),
		.max_event_id = MAX_EVENT_ID,
		.event_ids = l->n_ids ? l->ids : NULL,
		.n_event_ids = l->n_ids,
	};
	int r = tool_node_open(&l->node, "zcp listen", true);

	if (r < 0)
		return r;
	r = zcp_listener_open(&l->listener, l->node, &l->topic.topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r < 0 ? r : run(l);
}

int cmd_listen(int argc, char **argv)
{
	enum { OPTION_JSON = TOOL_OPTION_FIRST };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ 0 },
	};
	static struct listen l;
	bool ok = true;
	int option, r;

	while (ok && (option = getopt_long(argc, argv, "hn:", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			ok = tool_parse_count("--count", optarg, 1, UINT64_MAX, &l.count);
			break;
		case OPTION_JSON:
			l.json = true;
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
	if (!tool_parse_topic(argv[optind++], &l.topic))
		return TOOL_USAGE;
	for (; optind < argc; optind++) {
		uint64_t id;

		if (l.n_ids == IDS_MAX)
			return tool_usage("takes at most %d event ids", IDS_MAX);
		if (!tool_parse_count("ID", argv[optind], 0, MAX_EVENT_ID, &id))
			return TOOL_USAGE;
		l.ids[l.n_ids++] = (uint32_t)id;
	}
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	r = listen_to(&l);
	zcp_node_close(l.node);
	if (r == -EINTR)
		return tool_finish_stdout();
	return r < 0 ? TOOL_FAILURE : tool_finish_stdout();
}
