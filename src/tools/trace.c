/* SPDX-License-Identifier: MIT */
/*
 * trace.c - zcp-trace: the command line. What its sub-commands do alike is in trace-run.c, see trace.h
 */
#include "tools/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/pattern.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"
#include "tools/trace-screen.h"

static const struct trace_command *const commands[] = {
	&trace_events, &trace_latency, &trace_drops, &trace_exits, &trace_wakeups, &trace_top,
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static const char help_head[] =
	"Usage: zcp-trace COMMAND [OPTION]...\n"
	"\n"
	"Where each microsecond and each lost message went, on a running system.\n"
	"\n"
	"Commands\n";

static const char help_options[] =
	"  -p, --pid PID        only this process\n"
	"  -t, --topic PATTERN  only topics like 'radar/*'\n"
	"      --duration S     end after S seconds\n"
	"      --interval S     report every S seconds; 1\n"
	"      --json           one JSON object a line\n"
	TOOL_COMMON_HELP;

enum { OPTION_DURATION = TOOL_OPTION_FIRST, OPTION_INTERVAL, OPTION_JSON, OPTION_HISTOGRAM };

static const struct option long_options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "topic", required_argument, NULL, 't' },
	{ "kinds", required_argument, NULL, 'k' },
	{ "duration", required_argument, NULL, OPTION_DURATION },
	{ "interval", required_argument, NULL, OPTION_INTERVAL },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "histogram", no_argument, NULL, OPTION_HISTOGRAM },
	TOOL_COMMON_OPTIONS,
	{ 0 },
};

static bool parse_topic(const char *text, struct wire_topic *topic)
{
	enum name_fault fault;
	int r = pattern_parse(topic, text, &fault);

	if (r == -E2BIG)
		tool_usage("--topic: the pattern '%.40s' has more than three parts", text);
	else if (r < 0)
		tool_usage("--topic: a part of the pattern '%.40s' %s", text, name_fault_text(fault));
	return r == 0;
}

static bool parse_time(const char *option, const char *text, int64_t *ns)
{
	if (!tool_parse_seconds(option, text, ns))
		return false;
	if (*ns >= 1000000)
		return true;
	tool_usage("%s: at least a millisecond", option);
	return false;
}

static void print_help(const struct trace_command *command)
{
	printf("Usage: zcp-trace %s [OPTION]...\n\n%s\n", command->name, command->help);
	if (command->has_kinds)
		puts("  -k, --kinds LIST     only these probes, as in publish,take,lost");
	if (command->has_histogram)
		puts("      --histogram      draw it, at the end");
	fputs(help_options, stdout);
}

/* -1: go on. */
static int parse(struct trace *trace, int c)
{
	struct trace_options *o = &trace->options;
	uint64_t number;

	switch (c) {
	case 'p':
		if (!tool_parse_count("--pid", optarg, 1, INT32_MAX, &number))
			return TOOL_USAGE;
		o->pid = (uint32_t)number;
		return -1;
	case 't':
		return parse_topic(optarg, &o->topic) ? -1 : TOOL_USAGE;
	case 'k':
		if (!trace->command->has_kinds)
			return tool_usage("--kinds is for 'zcp-trace events'");
		return trace_parse_kinds(optarg, &o->kinds) ? -1 : TOOL_USAGE;
	case OPTION_DURATION:
		return parse_time("--duration", optarg, &o->duration_ns) ? -1 : TOOL_USAGE;
	case OPTION_INTERVAL:
		return parse_time("--interval", optarg, &o->interval_ns) ? -1 : TOOL_USAGE;
	case OPTION_JSON:
		o->json = true;
		return -1;
	case OPTION_HISTOGRAM:
		if (!trace->command->has_histogram)
			return tool_usage("--histogram is for 'zcp-trace latency' and 'zcp-trace wakeups'");
		o->histogram = true;
		return -1;
	case 'h':
		print_help(trace->command);
		return tool_finish_stdout();
	default:
		return tool_common_option(c, optarg, NULL);
	}
}

static int run_command(const struct trace_command *command, int argc, char **argv)
{
	struct trace trace = { .command = command, .options = { .interval_ns = 1000000000 }, .screen_fd = -1 };
	char name[32];
	int c, r;

	snprintf(name, sizeof(name), "zcp-trace %s", command->name);
	argv[0] = name;
	tool_set_command(name);
	optind = 0;
	while ((c = getopt_long(argc, argv, "hp:t:k:", long_options, NULL)) != -1) {
		if ((r = parse(&trace, c)) >= 0)
			return r;
	}
	if (optind < argc)
		return tool_usage("takes no argument, but there is '%s'", argv[optind]);
	if (trace.options.histogram && trace.options.json)
		return tool_usage("--histogram and --json exclude each other");
	if (!trace_kinds_left(trace.options.kinds, &trace.options.topic))
		return tool_usage("--topic leaves none of these probes: what the router does is about no topic");
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	trace.redraw = command->redraw && !trace.options.json && screen_is_there();
	if (trace.redraw && (trace.screen_fd = screen_watch()) < 0)
		return TOOL_FAILURE;
	r = trace_run(&trace);
	if (trace.redraw)
		close(trace.screen_fd);
	if (r < 0)
		return TOOL_FAILURE;
	return trace.stop ? TOOL_OK : tool_finish_stdout();
}

static int print_all_help(void)
{
	fputs(help_head, stdout);
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	printf("\nOptions of every command ('zcp-trace COMMAND --help' has the others)\n%s", help_options);
	return tool_finish_stdout();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ 0 },
	};
	static char name[] = "zcp-trace";
	int c, r;

	tool_fill_standard_fds();
	text_init();
	tool_set_program(name);
	if (argc < 1)
		return TOOL_USAGE;
	argv[0] = name;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (c == 'h')
			return print_all_help();
		if ((r = tool_common_option(c, optarg, NULL)) >= 0)
			return r;
	}
	if (optind == argc)
		return tool_usage("no command was given");
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(argv[optind], commands[i]->name))
			return run_command(commands[i], argc - optind, argv + optind);
	}
	return tool_usage("there is no command '%s'", argv[optind]);
}
