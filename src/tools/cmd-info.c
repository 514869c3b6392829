/* SPDX-License-Identifier: MIT */
/*
 * cmd-info.c - zcp info: the router, as its directory segment describes it
 *
 * The router is not asked anything: its header and live counters are read from the directory. Nodes, endpoints
 * and connections are counted in a snapshot, which leaves our own node out; the directory's counts contain it,
 * or not yet. What a user uses is the sum of his nodes' rows; the quota itself is with the router.
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
	"Show the router: version, process, configuration, event loop, exit detectors, limits and\n"
	"what your user has of them, memory, counters.\n"
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
	char config_path[sizeof(((struct directory_header *)0)->config_path) + 1];
	const char *loop;
	uint64_t uptime_ns, heartbeat_age_ns;
	struct clock_calibration calibration;
	uint64_t segment_bytes, n_segments;
	size_t n_nodes, n_endpoints, n_matches;
	uint64_t total_nodes, total_deaths, total_refusals, total_messages, total_rejoins, total_evictions;
	uint64_t total_found[N_DETECTORS], bpf_dropped;
	struct snapshot_usage usage;	/* of our user, our own node not counted */
};

#define LIVE(field) atomic_load_explicit(&d->field, memory_order_relaxed)

static void read_info(struct info *info, const struct directory_header *d)
{
	uint64_t now = clock_now_ns(), heartbeat = LIVE(heartbeat_ns);

	memset(info, 0, sizeof(*info));
	memcpy(&info->h, d, offsetof(struct directory_header, heartbeat_ns));
	memcpy(info->package_version, info->h.package_version, sizeof(info->h.package_version));
	memcpy(info->socket_path, info->h.socket_path, sizeof(info->h.socket_path));
	memcpy(info->config_path, info->h.config_path, sizeof(info->h.config_path));
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
	info->total_rejoins = LIVE(total_rejoins);
	info->total_evictions = LIVE(total_evictions);
	for (size_t i = 0; i < N_DETECTORS; i++)
		info->total_found[i] = LIVE(total_found[i]);
	info->bpf_dropped = LIVE(bpf_dropped);
}

static int count(struct info *info, const struct zcp_node *node)
{
	struct snapshot snapshot;
	int r = snapshot_take(&snapshot, &node->directory, node->id);

	if (r < 0)
		return r;
	snapshot_use(&snapshot, &node->directory, node->id, &info->usage);
	info->n_nodes = snapshot.n_nodes;
	info->n_endpoints = snapshot.n_endpoint_rows;
	info->n_matches = snapshot.n_match_rows;
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

static void print_detectors(const struct info *info)
{
	printf("  %-16s", "exit detectors");
	for (size_t i = 0; i < N_DETECTORS; i++) {
		if (info->h.detectors & detectors[i].flag)
			printf(" %s", detectors[i].name);
	}
	printf("%s\n", info->h.detectors ? "" : " none");
}

static void print_heartbeat(const struct info *info)
{
	char touch[TEXT_NUMBER], scan[TEXT_NUMBER], timeout[TEXT_NUMBER];

	printf("  %-16s every %s, looked at every %s; unresponsive after %s%s\n", "heartbeat",
	       text_duration((uint64_t)info->h.heartbeat_ms * 1000000, touch),
	       text_duration((uint64_t)info->h.scan_ms * 1000000, scan),
	       text_duration((uint64_t)info->h.timeout_ms * 1000000, timeout),
	       info->h.evict_unresponsive ? ", and then evicted" : "");
}

static void print_limits(const struct info *info)
{
	const struct snapshot_usage *u = &info->usage;
	char number[TEXT_NUMBER], limit[TEXT_NUMBER];

	printf("\nlimits of a user, and what uid %" PRIu32 " has of them\n", u->uid);
	printf("  %-16s %" PRIu64 " of %" PRIu32 "\n", "nodes", u->n_nodes, info->h.max_nodes_per_uid);
	printf("  %-16s %" PRIu64 " of %" PRIu32 "\n", "endpoints", u->n_endpoints, info->h.max_endpoints_per_uid);
	printf("  %-16s %" PRIu32 "\n", "connections", info->h.max_matches_per_uid);
	printf("  %-16s %" PRIu64 " of %" PRIu32 "\n", "descriptors", u->n_fds, info->h.max_fds_per_uid);
	printf("  %-16s %s of %s\n", "memory", text_bytes(u->bytes, number), text_bytes(info->h.max_bytes_per_uid, limit));

	puts("\nlimits of a node");
	printf("  %-16s %" PRIu32 "\n", "endpoints", info->h.max_endpoints_per_node);
	printf("  %-16s %" PRIu32 "\n", "descriptors", info->h.max_fds_per_node);
	printf("  %-16s %s\n", "memory", text_bytes(info->h.max_bytes_per_node, limit));
}

static void print_totals(const struct info *info)
{
	const char *separator = ", noticed by";

	puts("\nsince start");
	printf("  %-16s %" PRIu64 ", of which %" PRIu64 " came back to this router\n", "nodes", info->total_nodes,
	       info->total_rejoins);
	printf("  %-16s %" PRIu64, "deaths", info->total_deaths);
	for (size_t i = 0; i < N_DETECTORS; i++) {
		if (!info->total_found[i])
			continue;
		printf("%s %s %" PRIu64, separator, detectors[i].name, info->total_found[i]);
		separator = ",";
	}
	putchar('\n');
	printf("  %-16s %" PRIu64 "\n", "evictions", info->total_evictions);
	if (info->h.detectors & DIRECTORY_DETECTOR_BPF)
		printf("  %-16s %" PRIu64 "\n", "lost exit events", info->bpf_dropped);
	printf("  %-16s %" PRIu64 "\n", "refusals", info->total_refusals);
	printf("  %-16s %" PRIu64 "\n", "control messages", info->total_messages);
}

static void print_human(const struct info *info)
{
	char number[TEXT_NUMBER];
	double hertz = tick_hertz(&info->calibration);

	print_text("version", info->package_version);
	printf("  %-16s %" PRIu32 "\n", "pid", info->h.router_pid);
	print_text("socket", info->socket_path);
	print_text("configuration", *info->config_path ? info->config_path : "command line and defaults");
	printf("  %-16s %s\n", "uptime", text_duration(info->uptime_ns, number));
	printf("  %-16s %s\n", "event loop", info->loop);
	print_detectors(info);
	print_heartbeat(info);
	printf("  %-16s %s ago\n", "last scan", text_duration(info->heartbeat_age_ns, number));
	if (info->h.ticks && hertz > 0)
		printf("  %-16s raw ticks at %.3f MHz\n", "timestamps", hertz / 1e6);
	else
		printf("  %-16s CLOCK_MONOTONIC\n", "timestamps");

	puts("\nnow");
	printf("  %-16s %zu of %" PRIu32 "\n", "nodes", info->n_nodes, info->h.max_nodes);
	printf("  %-16s %zu of %" PRIu32 "\n", "endpoints", info->n_endpoints, info->h.max_endpoints);
	printf("  %-16s %zu of %" PRIu32 "\n", "connections", info->n_matches, info->h.max_matches);
	printf("  %-16s %s in %" PRIu64 " segment%s\n", "memory", text_bytes(info->segment_bytes, number), info->n_segments,
	       info->n_segments == 1 ? "" : "s");
	print_limits(info);
	print_totals(info);
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
	const struct directory_header *h = &info->h;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "nodes", (json_int_t)h->max_nodes, "endpoints", (json_int_t)h->max_endpoints,
			 "connections", (json_int_t)h->max_matches,
			 "nodes_per_user", (json_int_t)h->max_nodes_per_uid,
			 "endpoints_per_user", (json_int_t)h->max_endpoints_per_uid,
			 "connections_per_user", (json_int_t)h->max_matches_per_uid,
			 "descriptors_per_user", (json_int_t)h->max_fds_per_uid,
			 "bytes_per_user", (json_int_t)h->max_bytes_per_uid,
			 "endpoints_per_node", (json_int_t)h->max_endpoints_per_node,
			 "descriptors_per_node", (json_int_t)h->max_fds_per_node,
			 "bytes_per_node", (json_int_t)h->max_bytes_per_node);
}

static json_t *usage_json(const struct snapshot_usage *u)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "uid", (json_int_t)u->uid, "nodes", (json_int_t)u->n_nodes,
			 "endpoints", (json_int_t)u->n_endpoints, "descriptors", (json_int_t)u->n_fds,
			 "bytes", (json_int_t)u->bytes);
}

static json_t *heartbeat_json(const struct info *info)
{
	return json_pack("{s:I, s:I, s:I, s:b}", "touch_ms", (json_int_t)info->h.heartbeat_ms,
			 "scan_ms", (json_int_t)info->h.scan_ms, "timeout_ms", (json_int_t)info->h.timeout_ms,
			 "evict_unresponsive", !!info->h.evict_unresponsive);
}

static json_t *totals_json(const struct info *info)
{
	json_t *found = json_object();

	for (size_t i = 0; i < N_DETECTORS; i++)
		json_object_set_new(found, detectors[i].name, json_integer((json_int_t)info->total_found[i]));
	return json_pack("{s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I}", "nodes", (json_int_t)info->total_nodes,
			 "deaths", (json_int_t)info->total_deaths, "noticed_by", found,
			 "evictions", (json_int_t)info->total_evictions, "rejoins", (json_int_t)info->total_rejoins,
			 "lost_exit_events", (json_int_t)info->bpf_dropped,
			 "refusals", (json_int_t)info->total_refusals,
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
	root = json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}",
			 "version", info->package_version, "pid", (int)info->h.router_pid,
			 "socket", info->socket_path, "configuration", info->config_path, "epoch", (json_int_t)info->h.epoch,
			 "uptime_ns", (json_int_t)info->uptime_ns, "loop", info->loop, "detectors", names,
			 "heartbeat", heartbeat_json(info),
			 "heartbeat_age_ns", (json_int_t)info->heartbeat_age_ns, "clock", clock_json(info),
			 "now", live_json(info), "limits", limits_json(info), "own_user", usage_json(&info->usage),
			 "since_start", totals_json(info));
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
