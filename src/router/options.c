/* SPDX-License-Identifier: MIT */
/* See options.h. */

#include "router/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTION_ANY_DIRECTORY = 256,
	OPTION_CONFIG,
	OPTION_EXIT_WHEN_IDLE,
	OPTION_LOOP,
	OPTION_MAX_BYTES_PER_UID,
	OPTION_MAX_ENDPOINTS,
	OPTION_MAX_ENDPOINTS_PER_NODE,
	OPTION_MAX_MATCHES,
	OPTION_MAX_NODES,
	OPTION_MAX_NODES_PER_UID,
	OPTION_PASS_RIGHTS,
	OPTION_SOCKET,
	OPTION_SOCKET_MODE,
};

static const struct option long_options[] = {
	{ "any-directory", no_argument, NULL, OPTION_ANY_DIRECTORY },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "exit-when-idle", optional_argument, NULL, OPTION_EXIT_WHEN_IDLE },
	{ "help", no_argument, NULL, 'h' },
	{ "loop", required_argument, NULL, OPTION_LOOP },
	{ "max-bytes-per-uid", required_argument, NULL, OPTION_MAX_BYTES_PER_UID },
	{ "max-endpoints", required_argument, NULL, OPTION_MAX_ENDPOINTS },
	{ "max-endpoints-per-node", required_argument, NULL, OPTION_MAX_ENDPOINTS_PER_NODE },
	{ "max-matches", required_argument, NULL, OPTION_MAX_MATCHES },
	{ "max-nodes", required_argument, NULL, OPTION_MAX_NODES },
	{ "max-nodes-per-uid", required_argument, NULL, OPTION_MAX_NODES_PER_UID },
	{ "pass-rights", no_argument, NULL, OPTION_PASS_RIGHTS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "socket-mode", required_argument, NULL, OPTION_SOCKET_MODE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void print_help(void)
{
	printf("Usage: zcp-router [OPTION]...\n"
	       "\n"
	       "Introduces the zcp nodes of this machine to each other and hands out their shared memory.\n"
	       "\n"
	       "  --socket PATH                listen here [$ZCP_ROUTER, $XDG_RUNTIME_DIR/zcp/router.sock, %s]\n"
	       "  --socket-mode MODE           octal mode of the socket [0600; 0666 for %s]\n"
	       "  --any-directory              accept a directory for it that others can write\n"
	       "  --loop io_uring|epoll|auto   event loop [auto: io_uring, else epoll]\n"
	       "  --exit-when-idle[=SECONDS]   end when nobody was connected for so long [%d]\n"
	       "  --max-nodes N                [%d]\n"
	       "  --max-endpoints N            [%d]\n"
	       "  --max-matches N              connections between endpoints [%d]\n"
	       "  --max-nodes-per-uid N        [%d]\n"
	       "  --max-endpoints-per-node N   [%d]\n"
	       "  --max-bytes-per-uid SIZE     virtual size of segments, with suffix K, M, G or T [%lluG]\n"
	       "  -v, --verbose                say who comes and goes\n"
	       "  -q, --quiet                  say errors only\n"
	       "  -h, --help                   print this and exit\n"
	       "      --version                print the version and exit\n"
	       "\n"
	       "Runs in the foreground until SIGTERM, SIGINT or SIGHUP. Manual: zcp-router(8).\n",
	       SOCKET_SYSTEM_PATH, SOCKET_SYSTEM_PATH, DEFAULT_IDLE_S, DEFAULT_MAX_NODES, DEFAULT_MAX_ENDPOINTS, DEFAULT_MAX_MATCHES,
	       DEFAULT_MAX_NODES_PER_UID, DEFAULT_MAX_ENDPOINTS_PER_NODE, DEFAULT_MAX_BYTES_PER_UID >> 30);
}

static const char *option_name(int value)
{
	for (const struct option *o = long_options; o->name; o++) {
		if (o->val == value)
			return o->name;
	}
	return "?";
}

static int wrong(int option, const char *value, const char *expected)
{
	fprintf(stderr, "zcp-router: --%s takes %s, not '%s'\n", option_name(option), expected, value);
	return -EINVAL;
}

static int parse_number(int option, const char *value, uint64_t min, uint64_t max, uint64_t *result)
{
	char expected[80], *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || end == value || *end || value[0] < '0' || value[0] > '9' || n < min || n > max) {
		snprintf(expected, sizeof(expected), "a number from %llu to %llu", (unsigned long long)min, (unsigned long long)max);
		return wrong(option, value, expected);
	}
	*result = n;
	return 0;
}

static int parse_count(int option, const char *value, uint32_t max, uint32_t *result)
{
	uint64_t n;
	int r = parse_number(option, value, 1, max, &n);

	if (r < 0)
		return r;
	*result = (uint32_t)n;
	return 0;
}

static int parse_size(int option, const char *value, uint64_t *result)
{
	static const char suffixes[] = "KMGT";
	char *end;
	unsigned long long n;
	unsigned int shift = 0;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (*end && strchr(suffixes, *end)) {
		shift = 10 * (unsigned int)(strchr(suffixes, *end) - suffixes + 1);
		end++;
	}
	if (errno || *end || value[0] < '0' || value[0] > '9' || !n || n > UINT64_MAX >> shift)
		return wrong(option, value, "a size such as 512M or 64G");
	*result = n << shift;
	return 0;
}

static int parse_loop(const char *value, enum loop_kind *kind)
{
	if (!strcmp(value, "auto"))
		*kind = LOOP_AUTO;
	else if (!strcmp(value, "io_uring"))
		*kind = LOOP_URING;
	else if (!strcmp(value, "epoll"))
		*kind = LOOP_EPOLL;
	else
		return wrong(OPTION_LOOP, value, "io_uring, epoll or auto");
	return 0;
}

static int parse_mode(const char *value, int *mode)
{
	char *end;
	unsigned long n = strtoul(value, &end, 8);

	if (*end || value[0] < '0' || value[0] > '7' || n > 0777)
		return wrong(OPTION_SOCKET_MODE, value, "an octal mode such as 0660");
	*mode = (int)n;
	return 0;
}

static int parse_idle(const char *value, struct router_options *options)
{
	uint64_t seconds = DEFAULT_IDLE_S;
	int r = value ? parse_number(OPTION_EXIT_WHEN_IDLE, value, 0, 86400u * 365, &seconds) : 0;

	options->exit_when_idle = true;
	options->idle_ns = seconds * 1000000000u;
	return r;
}

static int parse_one(struct options *options, int option)
{
	struct router_options *router = &options->router;

	switch (option) {
	case OPTION_ANY_DIRECTORY:
		options->socket.any_directory = true;
		return 0;
	case OPTION_CONFIG:
		fprintf(stderr, "zcp-router: --config is reserved, this version reads no configuration file\n");
		return -EINVAL;
	case OPTION_EXIT_WHEN_IDLE:
		return parse_idle(optarg, router);
	case OPTION_LOOP:
		return parse_loop(optarg, &router->loop);
	case OPTION_MAX_BYTES_PER_UID:
		return parse_size(option, optarg, &router->max_bytes_per_uid);
	case OPTION_MAX_ENDPOINTS:
		return parse_count(option, optarg, 1u << 20, &router->max_endpoints);
	case OPTION_MAX_ENDPOINTS_PER_NODE:
		return parse_count(option, optarg, 1u << 20, &router->max_endpoints_per_node);
	case OPTION_MAX_MATCHES:
		return parse_count(option, optarg, 1u << 24, &router->max_matches);
	case OPTION_MAX_NODES:
		return parse_count(option, optarg, 1u << 20, &router->max_nodes);
	case OPTION_MAX_NODES_PER_UID:
		return parse_count(option, optarg, 1u << 20, &router->max_nodes_per_uid);
	case OPTION_PASS_RIGHTS:
		router->pass_rights = true;
		return 0;
	case OPTION_SOCKET:
		if (!optarg[0])
			return wrong(option, optarg, "a path");
		options->socket.path = optarg;
		return 0;
	case OPTION_SOCKET_MODE:
		return parse_mode(optarg, &options->socket.mode);
	case 'q':
		options->log_level = LOG_LEVEL_QUIET;
		return 0;
	case 'v':
		options->log_level = LOG_LEVEL_VERBOSE;
		return 0;
	case 'h':
		print_help();
		return 1;
	case 'V':
		printf("zcp-router %s\n", PACKAGE_VERSION);
		return 1;
	default:
		return -EINVAL;	/* getopt has named the mistake */
	}
}

int options_parse(struct options *options, int argc, char **argv)
{
	static char name[] = "zcp-router";
	int option;

	*options = (struct options){
		.router = { .loop = LOOP_AUTO, .max_nodes = DEFAULT_MAX_NODES, .max_endpoints = DEFAULT_MAX_ENDPOINTS,
			    .max_matches = DEFAULT_MAX_MATCHES, .max_nodes_per_uid = DEFAULT_MAX_NODES_PER_UID,
			    .max_endpoints_per_node = DEFAULT_MAX_ENDPOINTS_PER_NODE, .max_bytes_per_uid = DEFAULT_MAX_BYTES_PER_UID },
		.socket = { .mode = -1 },
		.log_level = LOG_LEVEL_NORMAL,
	};
	if (argc > 0)
		argv[0] = name;	/* what getopt prints before its complaint */
	while ((option = getopt_long(argc, argv, "hqv", long_options, NULL)) >= 0) {
		int r = parse_one(options, option);

		if (r)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "zcp-router: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}
