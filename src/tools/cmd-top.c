/* SPDX-License-Identifier: MIT */
/*
 * cmd-top.c - zcp top: what moves on each topic, and where it gets stuck
 *
 * The node has no thread: between two looks the process sleeps, and wakes up only for keys, signals and what the router says. In steady
 * state that is nothing, since a look only reads memory that others write anyway.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"
#include "tools/top.h"

#define SETTLE_NS 5000000000ull		/* how long the first table waits for segments that are asked for */
#define INTERVAL_MIN_NS 50000000
#define INTERVAL_MAX_NS 3600000000000

static const char help[] =
	"Usage: zcp top [--once | --json] [--count N] [--interval SECONDS] [--sort KEY] [--filter PATTERN]\n"
	"\n"
	"Show what moves on each topic: messages and bytes per second, how full queues and pools are,\n"
	"what was lost, what is held, and who does not answer. Lines with '!' want attention.\n"
	"Doesn't start a router: without one it says so and exits with 1.\n"
	"\n"
	"      --once           print one table, of one interval, and exit\n"
	"      --json           one JSON object with all there is to know instead\n"
	"      --count N        print N of them, one each interval\n"
	"      --interval S     seconds between two looks; default 1\n"
	"      --sort KEY       topic, kind, subscribers, total, rate, received, bytes, queue, lost,\n"
	"                       pool, high, held, beat or state; default rate\n"
	"      --reverse        the other way round\n"
	"      --filter PATTERN topics with this in their name, or with '*' and '?', that match\n"
	TOOL_COMMON_HELP;

int top_look(struct top *top)
{
	int r = traffic_look(&top->traffic, clock_now_ns());

	/* the table has gone, and with it what the lines point to */
	if (r < 0)
		top->n_shown = 0;
	return r < 0 ? r : top_choose(top);
}

static int poll_until(struct top *top, int fd, uint64_t deadline_ns, bool *node_ready, bool *fd_ready)
{
	struct pollfd fds[] = {
		{ .fd = interrupt_fd(), .events = POLLIN },
		{ .fd = zcp_node_fd(top->node), .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	uint64_t now = clock_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec timeout = { .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
	int n = ppoll(fds, 3, &timeout, NULL);

	if (interrupt_signal())
		return -EINTR;
	*node_ready = n > 0 && fds[1].revents;
	/* another signal, a new size of the terminal for one, is for who reads from it */
	*fd_ready = fd >= 0 && ((n > 0 && fds[2].revents) || (n < 0 && errno == EINTR));
	return left ? 1 : 0;
}

int top_wait(struct top *top, int fd, uint64_t deadline_ns)
{
	for (;;) {
		bool node_ready, fd_ready;
		int r = poll_until(top, fd, deadline_ns, &node_ready, &fd_ready);

		if (r < 0)
			return r;
		if (node_ready && zcp_node_dispatch(top->node) == -ENOTCONN)
			return -ENOTCONN;
		sights_ask(&top->sights, clock_now_ns());
		if (fd_ready)
			return 1;
		if (!r)
			return 0;
	}
}

/* Else the first table would be a table of questions. */
int top_settle(struct top *top, uint64_t patience_ns)
{
	uint64_t deadline = clock_now_ns() + patience_ns;
	int r = top_look(top);

	while (r == 0 && clock_now_ns() < deadline && sights_ask(&top->sights, clock_now_ns())) {
		r = top_wait(top, zcp_node_fd(top->node), clock_now_ns() + 20000000);
		r = r > 0 ? 0 : r;
	}
	return r < 0 ? r : top_look(top);
}

static int print_all(struct top *top, bool json)
{
	bool several = top->count > 1;
	int r = top_settle(top, SETTLE_NS);

	for (uint64_t i = 0; r == 0 && i < top->count; i++) {
		r = top_wait(top, -1, top->traffic.now_ns + (uint64_t)top->interval_ns);
		if (r == 0)
			r = top_look(top);
		if (r == 0 && i && !json)
			putchar('\n');
		if (r == 0)
			r = json ? top_print_json(top, !several) : top_print_text(top, text_terminal_columns());
		if (r == 0 && fflush(stdout))
			break;
	}
	if (r == -EINTR)
		return TOOL_OK;
	if (r == -ENOTCONN)
		return tool_fail_zcp(r);
	return r < 0 ? tool_fail("%s", strerror(-r)) : TOOL_OK;
}

static int run(struct top *top, bool print, bool json)
{
	const struct zcp_node_options options = {
		.sz = sizeof(options),
		.socket_path = tool_socket(),
		.no_thread = true,
		.unmonitored = true,
	};
	int r;

	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	r = zcp_node_open(&top->node, "zcp top", &options);
	if (r < 0)
		return tool_fail_zcp(r);
	sights_init(&top->sights, top->node);
	top->traffic.sights = &top->sights;
	if (print)
		r = print_all(top, json);
	else
		r = top_screen(top);
	sights_deinit(&top->sights);
	traffic_deinit(&top->traffic);
	free(top->shown);
	zcp_node_close(top->node);
	return r == TOOL_OK ? tool_finish_stdout() : r;
}

static bool parse_interval(const char *text, int64_t *ns)
{
	if (!tool_parse_seconds("--interval", text, ns))
		return false;
	if (*ns >= INTERVAL_MIN_NS && *ns <= INTERVAL_MAX_NS)
		return true;
	tool_usage("--interval wants seconds from 0.05 to 3600, not '%s'", text);
	return false;
}

static bool parse_filter(struct top *top, const char *text)
{
	if (strlen(text) < sizeof(top->filter)) {
		memcpy(top->filter, text, strlen(text) + 1);
		return true;
	}
	tool_usage("--filter wants at most %zu bytes", sizeof(top->filter) - 1);
	return false;
}

enum { OPTION_ONCE = TOOL_OPTION_FIRST, OPTION_JSON, OPTION_COUNT, OPTION_INTERVAL, OPTION_SORT, OPTION_REVERSE, OPTION_FILTER };

/* 0; or what tool_common_option() says. */
static int parse_option(struct top *top, int c)
{
	switch (c) {
	case OPTION_COUNT:
		return tool_parse_count("--count", optarg, 1, UINT64_MAX, &top->count) ? -1 : TOOL_USAGE;
	case OPTION_INTERVAL:
		return parse_interval(optarg, &top->interval_ns) ? -1 : TOOL_USAGE;
	case OPTION_SORT:
		top->sort = top_find_column(optarg);
		return top->sort == TOP_COLUMNS ? tool_usage("--sort: there is no column '%s'", optarg) : -1;
	case OPTION_REVERSE:
		top->reverse = true;
		return -1;
	case OPTION_FILTER:
		return parse_filter(top, optarg) ? -1 : TOOL_USAGE;
	default:
		return tool_common_option(c, optarg, help);
	}
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "once", no_argument, NULL, OPTION_ONCE },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ "interval", required_argument, NULL, OPTION_INTERVAL },
		{ "sort", required_argument, NULL, OPTION_SORT },
		{ "reverse", no_argument, NULL, OPTION_REVERSE },
		{ "filter", required_argument, NULL, OPTION_FILTER },
		{ 0 },
	};
	struct top top = { .interval_ns = 1000000000, .sort = TOP_RATE, .colour = text_wants_colour() };
	bool once = false, json = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == OPTION_ONCE)
			once = true;
		else if (c == OPTION_JSON)
			json = true;
		else if ((r = parse_option(&top, c)) >= 0)
			return r;
	}
	if (optind < argc)
		return tool_usage("takes no argument, but there is '%s'", argv[optind]);
	if (once && top.count > 1)
		return tool_usage("--once is one table, and --count %" PRIu64 " more than one", top.count);
	once = once || json || top.count;
	if (!top.count)
		top.count = 1;
	return run(&top, once, json);
}
