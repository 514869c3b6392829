/* SPDX-License-Identifier: MIT */
/*
 * zcp.c - the command-line tool: finds the command and hands over
 *
 * zcp [--socket PATH] COMMAND [OPTION...]. Options before the command are read here, up to the first word that
 * is none ('+' in getopt's string); each command reads its own, the common ones included, so that `zcp pub
 * --socket PATH` works too.
 */
#include <stdio.h>
#include <string.h>

#include "tools/text.h"
#include "tools/tool.h"

struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "list", "topics, endpoints, who is connected to whom, nodes", cmd_list },
	{ "info", "the router: version, detectors, limits, memory, counters", cmd_info },
	{ "pub", "publish: a byte stream, lines, or one text", cmd_pub },
	{ "sub", "subscribe: print messages, or write their bytes", cmd_sub },
	{ "call", "ask a server, and print what it answers", cmd_call },
	{ "serve", "answer requests by running a command for each", cmd_serve },
	{ "notify", "say that something has happened", cmd_notify },
	{ "listen", "print events as they happen", cmd_listen },
	{ "send", "send one small message, published by the router", cmd_send },
	{ "top", "what moves on each topic, and where it gets stuck", cmd_top },
	{ "watch", "nodes and endpoints as they come and go, and why", cmd_watch },
	{ "doctor", "what on this machine is missing or slow, and the cure", cmd_doctor },
	{ "record", "messages of any topics, to a file", cmd_record },
	{ "replay", "publish again what was recorded", cmd_replay },
	{ "bench", "measure latency and throughput on this machine", cmd_bench },
};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

static const char help_head[] =
	"Usage: zcp [--socket PATH] COMMAND [OPTION...] [ARGUMENT...]\n"
	"\n"
	"Messages between the processes of this machine, without copying them.\n"
	"\n"
	"Commands ('zcp COMMAND --help' tells more):\n";

static const char help_tail[] =
	"\n"
	"Options:\n"
	TOOL_COMMON_HELP
	"\n"
	"Try it: 'zcp sub demo/chat/text' in one terminal, 'zcp pub demo/chat/text' in another.\n"
	"A router is started if none is running.\n";

static int print_help(void)
{
	fputs(help_head, stdout);
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs(help_tail, stdout);
	return tool_finish_stdout();
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int run(const struct command *command, int argc, char **argv)
{
	char name[32];

	snprintf(name, sizeof(name), "zcp %s", command->name);
	argv[0] = name;
	tool_set_command(name);
	optind = 0;	/* glibc and musl: begin anew */
	return command->run(argc, argv);
}

/* zcp help [COMMAND] */
static int run_help(int argc, char **argv)
{
	static char option[] = "--help";
	const struct command *command;
	char *words[] = { NULL, option, NULL };

	if (argc < 2)
		return print_help();
	command = find_command(argv[1]);
	if (!command)
		return tool_usage("there is no command '%s'", argv[1]);
	return run(command, 2, words);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ 0 },
	};
	static char name[] = "zcp";
	const struct command *command;
	int c, r;

	tool_fill_standard_fds();
	text_init();
	if (argc < 1)
		return TOOL_USAGE;
	argv[0] = name;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (c == 'h')
			return print_help();
		if ((r = tool_common_option(c, optarg, NULL)) >= 0)
			return r;
	}
	if (optind == argc)
		return tool_usage("no command was given");
	argv += optind;
	argc -= optind;
	command = find_command(argv[0]);
	if (command)
		return run(command, argc, argv);
	if (!strcmp(argv[0], "help"))
		return run_help(argc, argv);
	return tool_usage("there is no command '%s'", argv[0]);
}
