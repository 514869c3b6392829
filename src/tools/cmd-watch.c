/* SPDX-License-Identifier: MIT */
/*
 * cmd-watch.c - zcp watch: nodes and endpoints as they come and go
 *
 * A loop around zcp_watch_take(): a line an event, written at once, since somebody looks at it now. Our own node is left
 * out. What others named is printed through text_safe().
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: zcp watch [OPTION]... [PATTERN]\n"
	"\n"
	"Show nodes and endpoints as they come and go, with the cause, nodes that hang, and\n"
	"publishers that run out of memory. PATTERN is a topic with '*' and '?' in it whose last\n"
	"parts may be missing: only endpoints of such topics, and their nodes.\n"
	"\n"
	"      --count N        end after N lines\n"
	"      --no-existing    not what is there already\n"
	"      --no-nodes       endpoints only\n"
	"      --json           one JSON object a line\n"
	TOOL_COMMON_HELP
	"\n"
	"Examples\n"
	"  zcp watch\n"
	"  zcp watch 'radar/*'\n"
	"  zcp watch --json --no-existing | jq -c 'select(.cause == \"died\")'\n";

enum { OPTION_COUNT = TOOL_OPTION_FIRST, OPTION_NO_EXISTING, OPTION_NO_NODES, OPTION_JSON };

static const struct option long_options[] = {
	{ "count", required_argument, NULL, OPTION_COUNT },
	{ "no-existing", no_argument, NULL, OPTION_NO_EXISTING },
	{ "no-nodes", no_argument, NULL, OPTION_NO_NODES },
	{ "json", no_argument, NULL, OPTION_JSON },
	TOOL_COMMON_OPTIONS,
	{ 0 },
};

struct watcher {
	zcp_node *node;
	zcp_watch *watch;
	uint64_t count;			/* lines to print; 0: no end */
	bool json, colour;
};

/* ---- words ------------------------------------------------------------------------------------------------------- */

static const char *const kinds[] = {
	[ZCP_WATCH_NODE_APPEARED] = "node-appeared",
	[ZCP_WATCH_NODE_VANISHED] = "node-vanished",
	[ZCP_WATCH_NODE_UNRESPONSIVE] = "node-unresponsive",
	[ZCP_WATCH_NODE_RESPONSIVE] = "node-responsive",
	[ZCP_WATCH_ENDPOINT_APPEARED] = "endpoint-appeared",
	[ZCP_WATCH_ENDPOINT_VANISHED] = "endpoint-vanished",
	[ZCP_WATCH_POOL_DRY] = "pool-dry",
	[ZCP_WATCH_ROUTER_GONE] = "router-gone",
	[ZCP_WATCH_ROUTER_BACK] = "router-back",
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *cause_name(uint32_t cause)
{
	switch (cause) {
	case ZCP_CAUSE_CLOSED:
		return "closed";
	case ZCP_CAUSE_DIED:
		return "died";
	case ZCP_CAUSE_EVICTED:
		return "evicted";
	case ZCP_CAUSE_LEFT:
		return "left";
	default:
		return "unknown";
	}
}

/* ": killed by SIGSEGV" and the like, or "". */
static const char *why(const struct zcp_watch_event *e, char text[96])
{
	char number[TOOL_SIGNAL_NAME];

	switch (e->cause) {
	case ZCP_CAUSE_CLOSED:
		return ": closed";
	case ZCP_CAUSE_EVICTED:
		return ": evicted by the router";
	case ZCP_CAUSE_LEFT:
		return ": its connection ended, the process lives";
	case ZCP_CAUSE_DIED:
		if (!e->exit_known)
			return ": the process died";
		if (e->oom_killed)
			return ": killed by the out-of-memory killer";
		if (e->signal)
			snprintf(text, 96, ": killed by %s", tool_signal_name(e->signal, number));
		else
			snprintf(text, 96, ": the process exited with %d", e->exit_code);
		return text;
	default:
		return "";
	}
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static const char *what(const struct zcp_watch_event *e)
{
	switch (e->kind) {
	case ZCP_WATCH_NODE_APPEARED:
	case ZCP_WATCH_ENDPOINT_APPEARED:
		return e->existing ? "is there" : "appeared";
	case ZCP_WATCH_NODE_VANISHED:
	case ZCP_WATCH_ENDPOINT_VANISHED:
		return "vanished";
	case ZCP_WATCH_NODE_UNRESPONSIVE:
		return "is unresponsive";
	case ZCP_WATCH_NODE_RESPONSIVE:
		return "is responsive again";
	case ZCP_WATCH_POOL_DRY:
		return "runs dry: its subscribers hold all its chunks";
	default:
		return "";
	}
}

/* Red for what ended badly, yellow for what is in trouble, grey for what is no news. */
static const char *colour(const struct zcp_watch_event *e)
{
	if (e->cause == ZCP_CAUSE_DIED || e->cause == ZCP_CAUSE_EVICTED || e->kind == ZCP_WATCH_ROUTER_GONE)
		return "\033[31m";
	if (e->kind == ZCP_WATCH_NODE_UNRESPONSIVE || e->kind == ZCP_WATCH_POOL_DRY || e->cause == ZCP_CAUSE_LEFT)
		return "\033[33m";
	return e->existing ? "\033[2m" : "";
}

/* The time of day at which @event_ns of CLOCK_MONOTONIC was. */
static void print_time(uint64_t event_ns)
{
	struct timespec now;
	struct tm tm;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)(clock_now_ns() - event_ns);
	now.tv_sec = (time_t)(ns / 1000000000);
	localtime_r(&now.tv_sec, &tm);
	printf("%02d:%02d:%02d.%06d  ", tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns % 1000000000 / 1000));
}

static int print_line(const struct watcher *w, const struct zcp_watch_event *e)
{
	_Static_assert(sizeof(e->node_name) == 104, "as the wire has it");
	char topic[3 * 104], reason[96], *safe_node = NULL, *safe_topic = NULL;
	const char *begin = w->colour ? colour(e) : "";

	snprintf(topic, sizeof(topic), "%s/%s/%s", e->service, e->instance, e->event);
	if (text_safe(e->node_name, strlen(e->node_name), 0, &safe_node) < 0 || text_safe(topic, strlen(topic), 0, &safe_topic) < 0) {
		free(safe_node);
		return -ENOMEM;
	}
	if (e->lost)
		printf("%" PRIu64 " events were lost here: this program was too slow\n", e->lost);
	print_time(e->time_ns);
	fputs(begin, stdout);
	if (e->kind == ZCP_WATCH_ROUTER_GONE)
		fputs("router gone: no news until it is back", stdout);
	else if (e->kind == ZCP_WATCH_ROUTER_BACK)
		fputs("router back", stdout);
	else if (e->endpoint)
		printf("%-10s %s of %s (pid %" PRIu32 ") %s%s", tool_role_name(e->role), safe_topic, safe_node, e->pid, what(e), why(e, reason));
	else
		printf("%-10s %s (pid %" PRIu32 ") %s%s", "node", safe_node, e->pid, what(e), why(e, reason));
	puts(*begin ? "\033[0m" : "");
	free(safe_node);
	free(safe_topic);
	return 0;
}

/* ---- for machines ------------------------------------------------------------------------------------------------ */

static void add_exit(json_t *object, const struct zcp_watch_event *e)
{
	char text[TOOL_SIGNAL_NAME];

	json_object_set_new(object, "cause", json_string(cause_name(e->cause)));
	if (!e->exit_known)
		return;
	if (e->signal)
		json_object_set_new(object, "signal", json_string(tool_signal_name(e->signal, text)));
	else
		json_object_set_new(object, "exit_code", json_integer(e->exit_code));
	json_object_set_new(object, "oom_killed", json_boolean(e->oom_killed));
	json_object_set_new(object, "comm", json_string(e->comm));
}

static void add_endpoint(json_t *object, const struct zcp_watch_event *e)
{
	json_object_set_new(object, "endpoint", json_integer((json_int_t)e->endpoint));
	json_object_set_new(object, "role", json_string(tool_role_name(e->role)));
	json_object_set_new(object, "service", json_string(e->service));
	json_object_set_new(object, "instance", json_string(e->instance));
	json_object_set_new(object, "topic_event", json_string(e->event));
}

static int print_json(const struct zcp_watch_event *e)
{
	json_t *object = json_object();
	int r;

	json_object_set_new(object, "event", json_string(e->kind < N_KINDS && kinds[e->kind] ? kinds[e->kind] : "unknown"));
	json_object_set_new(object, "time_ns", json_integer((json_int_t)e->time_ns));
	if (e->node) {
		json_object_set_new(object, "node", json_integer((json_int_t)e->node));
		json_object_set_new(object, "name", json_string(e->node_name));
		json_object_set_new(object, "pid", json_integer(e->pid));
		json_object_set_new(object, "uid", json_integer(e->uid));
		json_object_set_new(object, "existing", json_boolean(e->existing));
	}
	if (e->endpoint)
		add_endpoint(object, e);
	if (e->cause)
		add_exit(object, e);
	if (e->lost)
		json_object_set_new(object, "lost", json_integer((json_int_t)e->lost));
	r = object ? json_dumpf(object, stdout, JSON_COMPACT) : -1;
	putchar('\n');
	json_decref(object);
	return r < 0 ? -ENOMEM : 0;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* Our own coming is no news to who has started us. */
static bool is_own(const struct watcher *w, const struct zcp_watch_event *e)
{
	return e->node && e->node == zcp_node_id(w->node);
}

/* 1: the wanted number of lines is printed, or nobody reads them. */
static int print(struct watcher *w, const struct zcp_watch_event *e)
{
	int r;

	if (is_own(w, e))
		return 0;
	r = w->json ? print_json(e) : print_line(w, e);
	if (r < 0)
		return r;
	if (fflush(stdout) && errno == EPIPE)
		return 1;
	return w->count && !--w->count ? 1 : 0;
}

static int watch(struct watcher *w)
{
	struct zcp_watch_event event;
	int r;

	for (;;) {
		while ((r = zcp_watch_take(w->watch, &event)) == 0) {
			r = print(w, &event);
			if (r < 0)
				return tool_fail("out of memory");
			if (r || interrupt_signal())
				return TOOL_OK;
		}
		if (interrupt_poll(zcp_watch_fd(w->watch), POLLIN, -1) == -EINTR)
			return TOOL_OK;
		r = zcp_watch_wait(w->watch, 0);
		if (r < 0 && r != -ETIMEDOUT)
			return tool_fail_zcp(r);
	}
}

int cmd_watch(int argc, char **argv)
{
	struct zcp_watch_options options = { .sz = sizeof(options) };
	struct watcher w = { .colour = text_wants_colour() };
	int c, r;

	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (c) {
		case OPTION_COUNT:
			if (!tool_parse_count("--count", optarg, 1, UINT64_MAX, &w.count))
				return TOOL_USAGE;
			break;
		case OPTION_NO_EXISTING:
			options.no_existing = true;
			break;
		case OPTION_NO_NODES:
			options.no_nodes = true;
			break;
		case OPTION_JSON:
			w.json = true;
			break;
		default:
			if ((r = tool_common_option(c, optarg, help)) >= 0)
				return r;
		}
	}
	if (argc - optind > 1)
		return tool_usage("one pattern, not %d", argc - optind);
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	r = tool_node_open(&w.node, "zcp watch", true);
	if (r < 0)
		return TOOL_FAILURE;
	r = zcp_watch_open(&w.watch, w.node, argv[optind], &options);
	if (r == -EINVAL)
		r = tool_usage("%s", zcp_last_error());
	else if (r < 0)
		r = tool_fail_zcp(r);
	else
		r = watch(&w);
	zcp_node_close(w.node);
	return r == TOOL_OK ? tool_finish_stdout() : r;
}
