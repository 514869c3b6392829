/* SPDX-License-Identifier: MIT */
/* See options.h. */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "router/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "router/config-file.h"

/* Options that are not settings. Those come behind them in the list for getopt, as FIRST_SETTING + index. */
enum {
	OPTION_ANY_DIRECTORY = 256,
	OPTION_CONFIG,
	OPTION_DETECTORS,
	OPTION_EXIT_WHEN_IDLE,
	OPTION_PASS_RIGHTS,
	FIRST_SETTING = 512,
};

static const struct option plain_options[] = {
	{ "any-directory", no_argument, NULL, OPTION_ANY_DIRECTORY },
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "detectors", required_argument, NULL, OPTION_DETECTORS },
	{ "exit-when-idle", optional_argument, NULL, OPTION_EXIT_WHEN_IDLE },
	{ "help", no_argument, NULL, 'h' },
	{ "pass-rights", no_argument, NULL, OPTION_PASS_RIGHTS },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "version", no_argument, NULL, 'V' },
};
#define N_PLAIN (sizeof(plain_options) / sizeof(plain_options[0]))

struct command_line {
	struct options *options;
	const char *config;
	uint64_t given;			/* bits of settings[] */
};

/* --- help ----------------------------------------------------------------------------------------- */

static void help_line(const char *option, const char *text, const char *initial)
{
	printf("  %-33s %s", option, text);
	if (initial[0])
		printf("%s[%s]", text[0] ? " " : "", initial);
	putchar('\n');
}

static void help_setting(const struct setting *setting)
{
	char option[64], number[32];
	const char *initial = setting->shown;

	if (!setting->help)
		return;
	if (setting->argument)
		snprintf(option, sizeof(option), "--%s %s", setting->option, setting->argument);
	else
		snprintf(option, sizeof(option), "--%s", setting->option);
	if (!initial)
		initial = setting->argument ? setting_default(setting, number) : "";
	help_line(option, setting->help, initial);
}

static void print_help(const char *default_config)
{
	char idle[16];

	puts("Usage: zcp-router [OPTION]...\n"
	     "\n"
	     "Introduces the zcp nodes of this machine to each other and hands out their shared memory.\n");
	help_line("--config FILE", "read settings from it; for the system's socket", default_config);
	for (size_t i = 0; i < N_SETTINGS; i++)
		help_setting(&settings[i]);
	help_line("--detectors LIST", "notice exits by these only, of bpf,pidfd,socket,heartbeat", "");
	help_line("--any-directory", "accept a directory for the socket that others can write", "");
	snprintf(idle, sizeof(idle), "%d", DEFAULT_IDLE_S);
	help_line("--exit-when-idle[=SECONDS]", "end when nobody was connected for so long", idle);
	help_line("-v, --verbose", "say who comes and goes", "");
	help_line("-q, --quiet", "say errors only", "");
	help_line("-h, --help", "print this and exit", "");
	help_line("    --version", "print the version and exit", "");
	puts("\n"
	     "Runs in the foreground until SIGTERM, SIGINT or SIGHUP. Manual: zcp-router(8), zcp-router.conf(5).");
}

/* --- the command line ----------------------------------------------------------------------------- */

static int wrong(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "zcp-router: --%s takes %s, not '%s'\n", option, expected, value);
	return -EINVAL;
}

static int parse_idle(struct router_options *router, const char *value)
{
	char expected[SETTING_EXPECTED_BYTES];
	uint64_t seconds = DEFAULT_IDLE_S;

	if (value && setting_number(value, 0, 86400u * 365, &seconds, expected) < 0)
		return wrong("exit-when-idle", value, expected);
	router->exit_when_idle = true;
	router->idle_ns = seconds * 1000000000u;
	return 0;
}

static const struct setting *find_detector(const char *name, size_t n)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].kind == SETTING_DETECTOR && strlen(settings[i].key) == n && !strncmp(settings[i].key, name, n))
			return &settings[i];
	return NULL;
}

/* Decides about all of them, whatever the file says. */
static int parse_detectors(struct command_line *line, const char *list)
{
	unsigned int detectors = 0;

	for (const char *name = list;; name++) {
		size_t n = strcspn(name, ",");
		const struct setting *setting = find_detector(name, n);

		if (!setting)
			return wrong("detectors", list, "a list such as bpf,pidfd,socket,heartbeat");
		detectors |= (unsigned int)setting->max;
		name += n;
		if (!*name)
			break;
	}
	line->options->router.detectors = detectors;
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].kind == SETTING_DETECTOR)
			line->given |= 1ull << i;
	return 0;
}

static int parse_setting(struct command_line *line, size_t index, const char *value)
{
	char expected[SETTING_EXPECTED_BYTES];

	if (setting_parse(&settings[index], line->options, value, expected) < 0)
		return wrong(settings[index].option, value, expected);
	line->given |= 1ull << index;
	return 0;
}

static int parse_one(struct command_line *line, int option, const char *default_config)
{
	struct options *options = line->options;

	if (option >= FIRST_SETTING)
		return parse_setting(line, (size_t)(option - FIRST_SETTING), optarg);
	switch (option) {
	case OPTION_ANY_DIRECTORY:
		options->socket.any_directory = true;
		return 0;
	case OPTION_CONFIG:
		line->config = optarg;
		return 0;
	case OPTION_DETECTORS:
		return parse_detectors(line, optarg);
	case OPTION_EXIT_WHEN_IDLE:
		return parse_idle(&options->router, optarg);
	case OPTION_PASS_RIGHTS:
		options->router.pass_rights = true;
		return 0;
	case 'q':
		options->log_level = LOG_LEVEL_QUIET;
		return 0;
	case 'v':
		options->log_level = LOG_LEVEL_VERBOSE;
		return 0;
	case 'h':
		print_help(default_config);
		return 1;
	case 'V':
		printf("zcp-router %s\n", PACKAGE_VERSION);
		return 1;
	default:
		return -EINVAL;	/* getopt has named the mistake */
	}
}

static int parse_arguments(struct command_line *line, int argc, char **argv, const char *default_config)
{
	struct option list[N_PLAIN + N_SETTINGS + 1] = { 0 };
	size_t n = N_PLAIN;
	int option;

	memcpy(list, plain_options, sizeof(plain_options));
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (!settings[i].option)
			continue;
		list[n++] = (struct option){ settings[i].option, settings[i].argument ? required_argument : no_argument, NULL,
					     FIRST_SETTING + (int)i };
	}
	while ((option = getopt_long(argc, argv, "hqv", list, NULL)) >= 0) {
		int r = parse_one(line, option, default_config);

		if (r)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "zcp-router: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* --- all of it ------------------------------------------------------------------------------------ */

/* What is right value by value and wrong together. */
static int check(const struct router_options *o)
{
	const char *file = o->config_path ? o->config_path : "", *colon = o->config_path ? ": " : "";

	if (!o->detectors) {
		fprintf(stderr, "zcp-router: %s%sno detector of exits is left: allow at least one of bpf, pidfd, socket, heartbeat\n",
			file, colon);
		return -EINVAL;
	}
	if (o->timeout_ms <= o->scan_ms || o->timeout_ms <= 2 * o->heartbeat_ms) {
		fprintf(stderr, "zcp-router: %s%sa heartbeat timeout of %u ms is not longer than the scan interval of %u ms and twice the "
			"%u ms between touches: raise --heartbeat-timeout-ms, timeout-ms in [heartbeat]\n", file, colon, o->timeout_ms,
			o->scan_ms, o->heartbeat_ms);
		return -EINVAL;
	}
	return 0;
}

static void derive(struct router_options *router)
{
	if (!router->max_endpoints_per_uid)
		router->max_endpoints_per_uid = router->max_endpoints - router->max_endpoints / 8;
	if (!router->max_matches_per_uid)
		router->max_matches_per_uid = router->max_matches - router->max_matches / 8;
}

int options_parse(struct options *options, int argc, char **argv, const char *default_config)
{
	static char name[] = "zcp-router";
	struct command_line line = { .options = options };
	int r;

	*options = (struct options){ .log_level = LOG_LEVEL_NORMAL };
	settings_init(options);
	if (argc > 0)
		argv[0] = name;	/* what getopt prints before its complaint */
	r = parse_arguments(&line, argc, argv, default_config);
	if (r)
		return r;
	if (options->socket_path[0])
		options->socket.path = options->socket_path;
	if (!line.config && socket_is_system(&options->socket) && access(default_config, F_OK) == 0)
		line.config = default_config;
	if (line.config) {
		r = config_file_read(options, line.config, line.given);
		if (r < 0)
			return r;
		options->router.config_path = realpath(line.config, options->config_path) ? options->config_path : line.config;
	}
	r = check(&options->router);
	if (r < 0)
		return r;
	if (options->socket_path[0])
		options->socket.path = options->socket_path;
	derive(&options->router);
	return 0;
}
