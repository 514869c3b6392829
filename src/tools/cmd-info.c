/* SPDX-License-Identifier: MIT */
/*
 * cmd-info.c - zcp info: the router, as its directory segment describes it
 *
 * The router is not asked anything: its header and live counters are read from the directory. Nodes, endpoints
 * and connections are counted in a snapshot, which leaves our own node out; the directory's counts contain it,
 * or not yet.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/node.h"
#include "tools/snapshot.h"
#include "tools/text.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: zcp info [--json]\n"
	"\n"
	"Show the router: version, process, event loop, exit detectors, limits, memory, counters.\n"
	"Doesn't start a router: without one it says so and exits with 1.\n"
	"\n"
	"      --json           one JSON object\n"
	TOOL_COMMON_HELP;

struct detector {
	uint32_t flag;
	const char *name;
};

static const struct detector detectors[] = {
	{ DIRECTORY_DETECTOR_BPF, "bpf" },
	{ DIRECTORY_DETECTOR_PIDFD, "pidfd" },
	{ DIRECTORY_DETECTOR_SOCKET, "socket" },
	{ DIRECTORY_DETECTOR_HEARTBEAT, "heartbeat" },
};
#define N_DETECTORS (sizeof(detectors) / sizeof(*detectors))

/* What is shown, read once. */
struct info {
	struct directory_header h;	/* the constant part */
	char package_version[sizeof(((struct directory_header *)0)->package_version) + 1];
	char socket_path[sizeof(((struct directory_header *)0)->socket_path) + 1];
	const char *loop;
	uint64_t uptime_ns, heartbeat_age_ns;
	struct clock_calibration calibration;
	uint64_t segment_bytes, n_segments;
	size_t n_nodes, n_endpoints, n_matches;
	uint64_t total_nodes, total_deaths, total_refusals, total_messages;
};

#define LIVE(field) atomic_load_explicit(&d->field, memory_order_relaxed)

static void read_info(struct info *info, const struct directory_header *d)
{
	uint64_t now = clock_now_ns(), heartbeat = LIVE(heartbeat_ns);

	memset(info, 0, sizeof(*info));
	memcpy(&info->h, d, offsetof(struct directory_header, heartbeat_ns));
	memcpy(info->package_version, info->h.package_version, sizeof(info->h.package_version));
	memcpy(info->socket_path, info->h.socket_path, sizeof(info->h.socket_path));
	info->loop = info->h.loop == DIRECTORY_LOOP_IO_URING ? "io_uring" :
		     info->h.loop == DIRECTORY_LOOP_EPOLL    ? "epoll" :
							       "unknown";
	info->uptime_ns = now > info->h.start_ns ? now - info->h.start_ns : 0;
	info->heartbeat_age_ns = now > heartbeat ? now - heartbeat : 0;
	directory_read_calibration(d, &info->calibration);
	info->segment_bytes = LIVE(segment_bytes_total);
	info->n_segments = LIVE(n_segments);
	info->total_nodes = LIVE(total_nodes);
	info->total_deaths = LIVE(total_deaths);
	info->total_refusals = LIVE(total_refusals);
	info->total_messages = LIVE(total_messages);
}

static int count(struct info *info, const struct zcp_node *node)
{
	struct snapshot snapshot;
	int r = snapshot_take(&snapshot, &node->directory, node->id);

	if (r < 0)
		return r;
	info->n_nodes = snapshot.n_nodes;
	info->n_endpoints = snapshot.n_endpoints;
	info->n_matches = snapshot.n_matches;
	snapshot_deinit(&snapshot);
	return 0;
}

/* Ticks a second, from the calibration; 0 where a tick is a nanosecond. */
static double tick_hertz(const struct clock_calibration *c)
{
	return c->mult ? 1e9 * (double)(1ull << (c->shift & 63)) / (double)c->mult : 0;
}

static void print_text(const char *label, const char *text)
{
	char *safe;

	if (text_safe(text, strlen(text), 0, &safe) < 0)
		return;
	printf("  %-16s %s\n", label, safe);
	free(safe);
}

static void print_human(const struct info *info)
{
	char number[TEXT_NUMBER], limit[TEXT_NUMBER];
	double hertz = tick_hertz(&info->calibration);

	print_text("version", info->package_version);
	printf("  %-16s %" PRIu32 "\n", "pid", info->h.router_pid);
	print_text("socket", info->socket_path);
	printf("  %-16s %s\n", "uptime", text_duration(info->uptime_ns, number));
	printf("  %-16s %s\n", "event loop", info->loop);
	printf("  %-16s", "exit detectors");
	for (size_t i = 0; i < N_DETECTORS; i++) {
		if (info->h.detectors & detectors[i].flag)
			printf(" %s", detectors[i].name);
	}
	printf("%s\n", info->h.detectors ? "" : " none");
	printf("  %-16s %s ago\n", "last scan", text_duration(info->heartbeat_age_ns, number));
	if (info->h.ticks && hertz > 0)
		printf("  %-16s raw ticks at %.3f MHz\n", "timestamps", hertz / 1e6);
	else
		printf("  %-16s CLOCK_MONOTONIC\n", "timestamps");

	puts("\nnow");
	printf("  %-16s %zu of %" PRIu32 ", at most %" PRIu32 " a user\n", "nodes", info->n_nodes,
	       info->h.max_nodes, info->h.max_nodes_per_uid);
	printf("  %-16s %zu of %" PRIu32 ", at most %" PRIu32 " a node\n", "endpoints",
	       info->n_endpoints, info->h.max_endpoints, info->h.max_endpoints_per_node);
	printf("  %-16s %zu of %" PRIu32 "\n", "connections", info->n_matches, info->h.max_matches);
	printf("  %-16s %s in %" PRIu64 " segment%s, at most %s a user\n", "memory",
	       text_bytes(info->segment_bytes, number), info->n_segments, info->n_segments == 1 ? "" : "s",
	       text_bytes(info->h.max_bytes_per_uid, limit));

	puts("\nsince start");
	printf("  %-16s %" PRIu64 ", of which %" PRIu64 " died\n", "nodes", info->total_nodes,
	       info->total_deaths);
	printf("  %-16s %" PRIu64 "\n", "refusals", info->total_refusals);
	printf("  %-16s %" PRIu64 "\n", "control messages", info->total_messages);
}

static json_t *live_json(const struct info *info)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "nodes", (json_int_t)info->n_nodes,
			 "endpoints", (json_int_t)info->n_endpoints, "connections", (json_int_t)info->n_matches,
			 "segments", (json_int_t)info->n_segments,
			 "segment_bytes", (json_int_t)info->segment_bytes);
}

static json_t *limits_json(const struct info *info)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "nodes", (json_int_t)info->h.max_nodes,
			 "endpoints", (json_int_t)info->h.max_endpoints,
			 "connections", (json_int_t)info->h.max_matches,
			 "nodes_per_user", (json_int_t)info->h.max_nodes_per_uid,
			 "endpoints_per_node", (json_int_t)info->h.max_endpoints_per_node,
			 "bytes_per_user", (json_int_t)info->h.max_bytes_per_uid);
}

static json_t *totals_json(const struct info *info)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "nodes", (json_int_t)info->total_nodes,
			 "deaths", (json_int_t)info->total_deaths, "refusals", (json_int_t)info->total_refusals,
			 "control_messages", (json_int_t)info->total_messages);
}

static json_t *clock_json(const struct info *info)
{
	const struct clock_calibration *c = &info->calibration;

	return json_pack("{s:b, s:I, s:I, s:I, s:i, s:f}", "raw_ticks", !!info->h.ticks,
			 "base_ticks", (json_int_t)c->base_ticks, "base_ns", (json_int_t)c->base_ns,
			 "mult", (json_int_t)c->mult, "shift", (int)c->shift, "hertz", tick_hertz(c));
}

static int print_json(const struct info *info)
{
	json_t *names = json_array(), *root;
	int r;

	for (size_t i = 0; i < N_DETECTORS; i++) {
		if (info->h.detectors & detectors[i].flag)
			json_array_append_new(names, json_string(detectors[i].name));
	}
	root = json_pack("{s:s, s:i, s:s, s:I, s:I, s:s, s:o, s:I, s:o, s:o, s:o, s:o}",
			 "version", info->package_version, "pid", (int)info->h.router_pid,
			 "socket", info->socket_path, "epoch", (json_int_t)info->h.epoch,
			 "uptime_ns", (json_int_t)info->uptime_ns, "loop", info->loop, "detectors", names,
			 "heartbeat_age_ns", (json_int_t)info->heartbeat_age_ns, "clock", clock_json(info),
			 "now", live_json(info), "limits", limits_json(info), "since_start", totals_json(info));
	if (!root)
		return -EPROTO;
	r = json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return r < 0 && !ferror(stdout) ? -ENOMEM : 0;
}

int cmd_info(int argc, char **argv)
{
	enum { OPTION_JSON = TOOL_OPTION_FIRST };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ 0 },
	};
	struct info info;
	zcp_node *node;
	bool json = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == OPTION_JSON)
			json = true;
		else if ((r = tool_common_option(c, optarg, help)) >= 0)
			return r;
	}
	if (optind < argc)
		return tool_usage("takes no argument, but there is '%s'", argv[optind]);
	if (tool_node_open(&node, "zcp info", false) < 0)
		return TOOL_FAILURE;
	read_info(&info, node->directory.header);
	r = count(&info, node);
	zcp_node_close(node);
	if (!r && json)
		r = print_json(&info);
	else if (!r)
		print_human(&info);
	if (r < 0)
		return tool_fail("the directory cannot be shown: %s", strerror(-r));
	return tool_finish_stdout();
}
