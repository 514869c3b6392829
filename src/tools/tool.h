/* SPDX-License-Identifier: MIT */
/*
 * tool.h - what the commands of `zcp` share: messages and exit codes, options, the node
 *
 * A command is a function cmd_name(argc, argv) that parses its own options with getopt_long, does its work and
 * returns the exit status. Its argv[0] is "zcp name", so that getopt's own complaints ("zcp pub: unrecognized
 * option '--fast'") are already the one line that wrong usage gets. Every command puts TOOL_COMMON_OPTIONS into
 * its option table and hands what it doesn't know to tool_common_option():
 *
 *	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
 *		switch (c) {
 *		case OPTION_MINE: ...; break;
 *		default:
 *			if ((r = tool_common_option(c, optarg, help_text)) >= 0)
 *				return r;
 *		}
 *	}
 *
 * Exit status: 0 done; 1 failed while running, with "zcp: ..." on stderr; 2 wrong usage, with one line that
 * names the mistake.
 */
#ifndef ZCP_TOOLS_TOOL_H
#define ZCP_TOOLS_TOOL_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/name.h"
#include "zcp/zcp.h"

#define TOOL_OK 0
#define TOOL_FAILURE 1
#define TOOL_USAGE 2

/* The commands, as zcp.c dispatches them. */
int cmd_bench(int argc, char **argv);
int cmd_call(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_listen(int argc, char **argv);
int cmd_notify(int argc, char **argv);
int cmd_pub(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_sub(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_watch(int argc, char **argv);

/* ---- options ---- */

enum {
	TOOL_OPTION_SOCKET = 0x1000,
	TOOL_OPTION_VERSION,
	TOOL_OPTION_FIRST,	/* a command's own options without a short form begin here */
};

#define TOOL_COMMON_OPTIONS                                             \
	{ "socket", required_argument, NULL, TOOL_OPTION_SOCKET },      \
	{ "help", no_argument, NULL, 'h' },                             \
	{ "version", no_argument, NULL, TOOL_OPTION_VERSION }

/* Lines for a command's help text. */
#define TOOL_COMMON_HELP                                                \
	"      --socket PATH    the router's socket\n"                      \
	"  -h, --help           this text\n"                                \
	"      --version        the version\n"

/*
 * Settle an option of TOOL_COMMON_OPTIONS, or '?' which getopt has already complained about. Returns the exit
 * status to end with, or -1 to go on parsing.
 */
int tool_common_option(int option, const char *argument, const char *help);

/* What --socket said, or NULL. */
const char *tool_socket(void);
void tool_set_socket(const char *path);

/*
 * Parsers of an option's argument. true and *value, or false after one line on stderr that names @option.
 * size: bytes with an optional suffix K, M or G (powers of 1024), up to @max. seconds: a decimal number, to
 * nanoseconds.
 */
bool tool_parse_count(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value);
bool tool_parse_size(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value);
bool tool_parse_seconds(const char *option, const char *text, int64_t *nanoseconds);
bool tool_parse_rate(const char *option, const char *text, double *hertz);

/* A topic from the command line; `topic` points into `parts`, so the struct must not be moved. */
struct tool_topic {
	char parts[3][NAME_MAX_BYTES + 1];
	struct zcp_topic topic;
};
bool tool_parse_topic(const char *text, struct tool_topic *topic);

/* "publisher", "subscriber", "server", "client", "notifier", "listener", or "endpoint" for what this version doesn't know; @role: enum zcp_role. */
const char *tool_role_name(uint32_t role);

/* "SIGSEGV", or "signal 34". */
#define TOOL_SIGNAL_NAME 32
const char *tool_signal_name(int number, char text[TOOL_SIGNAL_NAME]);

/* ---- messages ---- */

/* "zcp pub: MESSAGE; 'zcp pub --help' tells more" on stderr; returns TOOL_USAGE. */
int tool_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "zcp: MESSAGE" on stderr; returns TOOL_FAILURE. */
int tool_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "zcp: " and what zcp_last_error() says of the library call that just failed with @error; returns TOOL_FAILURE. */
int tool_fail_zcp(int error);

/* Flush stdout; TOOL_OK, or a complaint and TOOL_FAILURE. A reader that has closed the pipe is no failure. */
int tool_finish_stdout(void);

/*
 * Called by main, first of all. A standard descriptor that is closed would become our socket's number, and output would go to the router: fill
 * it with one that fails as the closed one would.
 */
void tool_fill_standard_fds(void);

/* Called by main: the program whose name messages carry, if that is not "zcp". */
void tool_set_program(const char *name);

/* Called by main: the command whose name messages carry. */
void tool_set_command(const char *argv0);

/* ---- node ---- */

/*
 * Open a node at the router that --socket or the environment names; starts the per-user router if @autostart
 * and none is there. 0, or a negative errno value after the complaint.
 */
int tool_node_open(zcp_node **node, const char *name, bool autostart);

#endif
