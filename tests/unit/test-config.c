/* SPDX-License-Identifier: MIT */
/*
 * options.c, settings.c and config-file.c: what the command line and router.conf set, who wins, and
 * that each mistake is one line that names the place and the cure.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "router/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static struct options options;
static char directory[64], conf[96], complaint[4096];

static void setup(void)
{
	strcpy(directory, "/tmp/zcp-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(conf, sizeof(conf), "%s/router.conf", directory);
	unsetenv("ZCP_ROUTER");
	ck_assert_ok(setenv("XDG_RUNTIME_DIR", directory, 1));
}

static void teardown(void)
{
	unlink(conf);
	ck_assert_ok(rmdir(directory));
}

#ifdef HAVE_INIH

static void write_bytes(const char *text, size_t n)
{
	FILE *file = fopen(conf, "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, n, file), n);
	fclose(file);
}

static void write_conf(const char *text)
{
	write_bytes(text, strlen(text));
}

#endif

/* What it prints to stderr is in `complaint`. */
static int parse(const char *const *arguments, const char *default_config)
{
	static char name[] = "x";
	char *argv[16] = { name };
	int argc = 1, r, saved = dup(STDERR_FILENO);
	FILE *file = tmpfile();
	size_t n;

	ck_assert(saved >= 0 && file);
	while (arguments && *arguments)
		argv[argc++] = (char *)(uintptr_t)*arguments++;
	fflush(stderr);
	ck_assert_ok(dup2(fileno(file), STDERR_FILENO));
	optind = 0;
	r = options_parse(&options, argc, argv, default_config);
	fflush(stderr);
	ck_assert_ok(dup2(saved, STDERR_FILENO));
	close(saved);
	rewind(file);
	n = fread(complaint, 1, sizeof(complaint) - 1, file);
	complaint[n] = 0;
	fclose(file);
	return r;
}

#define PARSE(...) parse((const char *[]){ __VA_ARGS__, NULL }, "/nonexistent")

/* One line, from us, with @what in it. */
static void expect_complaint(int r, const char *what)
{
	ck_assert_int_eq(r, -EINVAL);
	ck_assert_msg(strncmp(complaint, "zcp-router: ", 12) == 0, "%s", complaint);
	ck_assert_msg(strchr(complaint, '\n') == complaint + strlen(complaint) - 1, "%s", complaint);
	ck_assert_msg(strstr(complaint, what) != NULL, "'%s' is not in: %s", what, complaint);
}

START_TEST(defaults)
{
	const struct router_options *r = &options.router;

	ck_assert_int_eq(parse(NULL, "/nonexistent"), 0);
	ck_assert_str_eq(complaint, "");
	ck_assert_int_eq(r->loop, LOOP_AUTO);
	ck_assert_uint_eq(r->max_nodes, DEFAULT_MAX_NODES);
	ck_assert_uint_eq(r->max_endpoints_per_uid, 7168);
	ck_assert_uint_eq(r->max_matches_per_uid, 28672);
	ck_assert_uint_eq(r->max_bytes_per_uid, DEFAULT_MAX_BYTES_PER_UID);
	ck_assert_uint_eq(r->max_bytes_per_node, DEFAULT_MAX_BYTES_PER_NODE);
	ck_assert_uint_eq(r->max_fds_per_uid, 0);
	ck_assert_uint_eq(r->max_fds_per_node, DEFAULT_MAX_FDS_PER_NODE);
	ck_assert_uint_eq(r->detectors, 15);
	ck_assert_uint_eq(r->heartbeat_ms, 100);
	ck_assert_uint_eq(r->scan_ms, 300);
	ck_assert_uint_eq(r->timeout_ms, 3000);
	ck_assert(!r->evict_unresponsive && !r->exit_when_idle && !r->config_path);
	ck_assert_ptr_null(options.socket.path);
	ck_assert_int_eq(options.socket.mode, -1);
	ck_assert_int_eq(PARSE("--max-endpoints", "3", "--max-matches", "1"), 0);
	ck_assert_uint_eq(r->max_endpoints_per_uid, 3);
	ck_assert_uint_eq(r->max_matches_per_uid, 1);
}
END_TEST

START_TEST(command_line)
{
	const struct router_options *r = &options.router;

	ck_assert_int_eq(PARSE("--socket", "/x/y", "--socket-mode", "0660", "--loop", "epoll", "--max-bytes-per-node", "3M"), 0);
	ck_assert_str_eq(options.socket.path, "/x/y");
	ck_assert_int_eq(options.socket.mode, 0660);
	ck_assert_int_eq(r->loop, LOOP_EPOLL);
	ck_assert_uint_eq(r->max_bytes_per_node, 3u << 20);
	ck_assert_int_eq(PARSE("--no-bpf"), 0);
	ck_assert_uint_eq(r->detectors, 15 & ~DIRECTORY_DETECTOR_BPF);
	ck_assert_int_eq(PARSE("--detectors", "heartbeat,bpf", "--bpf-ring-bytes", "4096", "--evict-unresponsive"), 0);
	ck_assert_uint_eq(r->detectors, DIRECTORY_DETECTOR_BPF | DIRECTORY_DETECTOR_HEARTBEAT);
	ck_assert_uint_eq(r->bpf_ring_bytes, 4096);
	ck_assert(r->evict_unresponsive);
	ck_assert_int_eq(PARSE("--exit-when-idle=0", "-v", "--any-directory"), 0);
	ck_assert(r->exit_when_idle && !r->idle_ns && options.socket.any_directory);
}
END_TEST

static const char *const wrong_arguments[][5] = {
	{ "not 'x'", "--max-nodes", "x" },
	{ "from 1 to 1048576", "--max-nodes", "1048577" },
	{ "--max-fds-per-uid takes", "--max-fds-per-uid", "0" },
	{ "takes a size", "--max-bytes-per-node", "16777216T" },
	{ "takes a size", "--max-bytes-per-node", "" },
	{ "octal", "--socket-mode", "8" },
	{ "a path", "--socket", "" },
	{ "takes a list", "--detectors", "" },
	{ "takes a list", "--detectors", "bpf,,pidfd" },
	{ "takes a list", "--detectors", "bpfx" },
	{ "at least one of", "--detectors", "bpf", "--no-bpf" },
	{ "--heartbeat-timeout-ms", "--heartbeat-timeout-ms", "300" },
	{ "--heartbeat-timeout-ms", "--heartbeat-touch-ms", "1500" },
	{ "--heartbeat-timeout-ms", "--heartbeat-scan-ms", "3000" },
	{ "from 1 to 60000", "--heartbeat-touch-ms", "60001" },
	{ "unexpected argument", "x" },
	{ "unrecognized option", "--pidfd" },
#ifdef HAVE_INIH
	{ "cannot be read", "--config", "/nonexistent/router.conf" },
	{ "/tmp: cannot be read", "--config", "/tmp" },
#else
	{ "/dev/null: this zcp-router was built without inih", "--config", "/dev/null" },
#endif
};

START_TEST(wrong_command_line)
{
	expect_complaint(parse(&wrong_arguments[_i][1], "/nonexistent"), wrong_arguments[_i][0]);
}
END_TEST

#ifdef HAVE_INIH

START_TEST(whole_file)
{
	const struct router_options *r = &options.router;

	write_conf("# a comment\n"
		   "; another\n"
		   "\n"
		   "[router]\n"
		   "  socket = /run/robot/router.sock   ; said beside it\n"
		   "\tsocket-mode=0660\r\n"
		   "loop = io_uring\n"
		   "[limits]\n"
		   "max-nodes = 11\nmax-endpoints = 80\nmax-matches = 13\nmax-nodes-per-uid = 14\nmax-endpoints-per-uid = 15\n"
		   "max-matches-per-uid = 16\nmax-fds-per-uid = 17\nmax-bytes-per-uid = 18M\nmax-endpoints-per-node = 19\n"
		   "max-fds-per-node = 20\nmax-bytes-per-node = 21G\n"
		   "[detectors]\nbpf = no\npidfd = yes\nsocket = no\nheartbeat = yes\n"
		   "[heartbeat]\ntouch-ms = 50\nscan-ms = 51\ntimeout-ms = 500\nevict-unresponsive = yes");
	ck_assert_msg(PARSE("--config", conf) == 0, "%s", complaint);
	ck_assert_str_eq(options.socket.path, "/run/robot/router.sock");
	ck_assert_int_eq(options.socket.mode, 0660);
	ck_assert_int_eq(r->loop, LOOP_URING);
	ck_assert_uint_eq(r->max_nodes, 11);
	ck_assert_uint_eq(r->max_endpoints, 80);
	ck_assert_uint_eq(r->max_matches, 13);
	ck_assert_uint_eq(r->max_nodes_per_uid, 14);
	ck_assert_uint_eq(r->max_endpoints_per_uid, 15);
	ck_assert_uint_eq(r->max_matches_per_uid, 16);
	ck_assert_uint_eq(r->max_fds_per_uid, 17);
	ck_assert_uint_eq(r->max_bytes_per_uid, 18u << 20);
	ck_assert_uint_eq(r->max_endpoints_per_node, 19);
	ck_assert_uint_eq(r->max_fds_per_node, 20);
	ck_assert_uint_eq(r->max_bytes_per_node, 21ull << 30);
	ck_assert_uint_eq(r->detectors, DIRECTORY_DETECTOR_PIDFD | DIRECTORY_DETECTOR_HEARTBEAT);
	ck_assert_uint_eq(r->heartbeat_ms, 50);
	ck_assert_uint_eq(r->scan_ms, 51);
	ck_assert_uint_eq(r->timeout_ms, 500);
	ck_assert(r->evict_unresponsive);
	ck_assert_str_eq(r->config_path, conf);
}
END_TEST

START_TEST(command_line_wins)
{
	const struct router_options *r = &options.router;

	write_conf("[router]\nsocket = /file\n[limits]\nmax-nodes = 11\nmax-endpoints = 12\n[detectors]\nbpf = yes\nheartbeat = no\n");
	ck_assert_int_eq(PARSE("--max-nodes", "5", "--config", conf, "--socket", "/line", "--no-bpf"), 0);
	ck_assert_str_eq(options.socket.path, "/line");
	ck_assert_uint_eq(r->max_nodes, 5);
	ck_assert_uint_eq(r->max_endpoints, 12);
	ck_assert_uint_eq(r->max_endpoints_per_uid, 11);
	ck_assert_uint_eq(r->detectors, DIRECTORY_DETECTOR_PIDFD | DIRECTORY_DETECTOR_SOCKET);
	/* --detectors decides about all four. */
	ck_assert_int_eq(PARSE("--detectors", "bpf,heartbeat", "--config", conf), 0);
	ck_assert_uint_eq(r->detectors, DIRECTORY_DETECTOR_BPF | DIRECTORY_DETECTOR_HEARTBEAT);
	/* What is overridden must be right nevertheless. */
	write_conf("[limits]\nmax-nodes = many\n");
	expect_complaint(PARSE("--max-nodes", "5", "--config", conf), ":2: max-nodes takes");
}
END_TEST

/* Unasked it is read for the system's socket only, and need not be there. */
START_TEST(default_file)
{
	write_conf("[limits]\nmax-nodes = 11\n");
	ck_assert_int_eq(parse((const char *[]){ "--socket", "/x", NULL }, conf), 0);
	ck_assert_uint_eq(options.router.max_nodes, DEFAULT_MAX_NODES);
	ck_assert_int_eq(parse(NULL, conf), 0);		/* $XDG_RUNTIME_DIR */
	ck_assert_uint_eq(options.router.max_nodes, DEFAULT_MAX_NODES);
	ck_assert_int_eq(parse((const char *[]){ "--socket", SOCKET_SYSTEM_PATH, NULL }, conf), 0);
	ck_assert_uint_eq(options.router.max_nodes, 11);
	unsetenv("XDG_RUNTIME_DIR");
	ck_assert_int_eq(parse(NULL, conf), 0);
	ck_assert_uint_eq(options.router.max_nodes, 11);
	ck_assert_str_eq(options.router.config_path, conf);
	ck_assert_ok(setenv("ZCP_ROUTER", "/y", 1));
	ck_assert_int_eq(parse(NULL, conf), 0);
	ck_assert_uint_eq(options.router.max_nodes, DEFAULT_MAX_NODES);
	unsetenv("ZCP_ROUTER");
	ck_assert_ok(unlink(conf));
	ck_assert_int_eq(parse(NULL, conf), 0);
	ck_assert_ptr_null(options.router.config_path);
}
END_TEST

struct wrong_file {
	const char *text, *complaint;
};

static const struct wrong_file wrong_files[] = {
	{ "[limits]\nmax-nodes = x\n", ":2: max-nodes takes a number from 1 to 1048576, not 'x'" },
	{ "[limits]\nmax-nodes =\n", ":2: max-nodes takes" },
	{ "[limits]\n\n# c\nmax-nodes = 5 # five\n", ":4: max-nodes takes" },
	{ "[limits]\nmax-bytes-per-uid = 5g\n", ":2: max-bytes-per-uid takes a size" },
	{ "[limits]\nmax-nodes = 5\n[limits]\nmax-nodes = 6\n", ":4: max-nodes was set in line 2" },
	{ "[limits]\nmax-nodes = 5\n   max-node = 6\n", ":3: section [limits] has no key max-node:" },
	{ "[limits]\nloop = epoll\n", ":2: section [limits] has no key loop: move it to [router]" },
	{ "[limit]\n", ":1: there is no section [limit]" },
	{ "[limits]\n[]\n", ":2: there is no section []" },
	{ "max-nodes = 5\n", ":1: max-nodes comes before any section" },
	{ "[limits]\nmax-nodes\n", ":2: the line is neither" },
	{ "[limits\nmax-nodes = 5\n", ":1: the section's name does not end" },
	{ "[detectors]\nbpf = maybe\n", ":2: bpf takes yes or no, not 'maybe'" },
	{ "[detectors]\nno-bpf = yes\n", ":2: section [detectors] has no key no-bpf" },
	{ "[limits]\nbpf-ring-bytes = 4096\n", ":2: section [limits] has no key bpf-ring-bytes" },
	{ "[heartbeat]\nevict-unresponsive\n", ":2: the line is neither" },
	{ "[router]\nsocket =\n", ":2: socket takes a path" },
	{ "[detectors]\nbpf = no\npidfd = no\nsocket = no\nheartbeat = no\n", "/router.conf: no detector of exits is left" },
	{ "[heartbeat]\ntimeout-ms = 100\n", "/router.conf: a heartbeat timeout of 100 ms is not longer" },
};

START_TEST(wrong_file)
{
	const struct wrong_file *c = &wrong_files[_i];

	write_conf(c->text);
	expect_complaint(PARSE("--config", conf), c->complaint);
	ck_assert_ptr_nonnull(strstr(complaint, conf));
}
END_TEST

START_TEST(hostile_files)
{
	static const char nul[] = "[limits]\nmax-nodes = 5\0\n";
	char long_line[1000];

	write_bytes(nul, sizeof(nul) - 1);
	expect_complaint(PARSE("--config", conf), ":2: the line contains a NUL byte");
	memset(long_line, 'x', sizeof(long_line));
	memcpy(long_line, "[router]\nsocket = /", 19);
	write_bytes(long_line, sizeof(long_line));
	expect_complaint(PARSE("--config", conf), ":2: the line is longer");
	write_bytes("", 0);
	ck_assert_int_eq(PARSE("--config", conf), 0);
	/* 40 MB of nothing, and no end of line */
	write_conf("[router]\n");
	ck_assert_ok(truncate(conf, 40 << 20));
	expect_complaint(PARSE("--config", conf), ":2: the line contains a NUL byte");
	if (geteuid() == 0)
		return;
	ck_assert_ok(chmod(conf, 0));
	expect_complaint(PARSE("--config", conf), "Permission denied");
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *line = add_test_case(suite, "line", 10);
	TCase *file = add_test_case(suite, "file", 10);

	tcase_add_checked_fixture(line, setup, teardown);
	tcase_add_checked_fixture(file, setup, teardown);
	tcase_add_test(line, defaults);
	tcase_add_test(line, command_line);
	tcase_add_loop_test(line, wrong_command_line, 0, sizeof(wrong_arguments) / sizeof(wrong_arguments[0]));
#ifdef HAVE_INIH
	tcase_add_test(file, whole_file);
	tcase_add_test(file, command_line_wins);
	tcase_add_test(file, default_file);
	tcase_add_loop_test(file, wrong_file, 0, sizeof(wrong_files) / sizeof(wrong_files[0]));
	tcase_add_test(file, hostile_files);
#endif
	return run_suite(suite);
}
