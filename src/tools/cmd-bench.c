/* SPDX-License-Identifier: MIT */
/*
 * cmd-bench.c - zcp bench: how fast is it here, and how fast could anything be here
 *
 * Options, the private router, and the sections one after the other. A section that fails says so and the next
 * one goes on; the exit status is 1 then. A missed target is a result, not a failure. See bench.h for how to
 * think about the figures.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/bench.h"
#include "tools/interrupt.h"
#include "tools/tool.h"

static const char help_text[] =
	"Usage: zcp bench [OPTION]... [SECTION]...\n"
	"Measure zcp beside the least that any transport would take on this machine.\n"
	"\n"
	"Sections (default: all)\n"
	"  latency              one way from process to process, polling and blocking\n"
	"  throughput           messages and bytes per second, reliable\n"
	"  fanout               cost of a publish with 0 to 256 subscribers\n"
	"  wake                 from publish to a sleeping subscriber that runs\n"
	"  call                 from a request to its response\n"
	"  waitset              a wait with one of 1,000 subscribers active\n"
	"  join                 opening a node, and a publisher until it is connected\n"
	"  exit                 from the kill of a process until its peer knows\n"
	"  memory               resident bytes of a publisher and a subscriber\n"
	"  all\n"
	"\n"
	"Options\n"
	"      --quick          about 30 s and one screen, instead of about three minutes\n"
	"      --runs N         turns of floor and zcp for each figure (5)\n"
	"      --cpus A,B       where the two sides run (the first two allowed)\n"
	"      --histogram      draw the distribution of each latency\n"
	"      --json           one JSON object with all raw figures\n"
	TOOL_COMMON_HELP
	"\n"
	"Without --socket a private router is started, and ended afterwards.\n"
	"\n"
	"Examples\n"
	"  zcp bench --quick\n"
	"  zcp bench latency --histogram\n"
	"  zcp bench --json all > figures.json\n";

static const struct section {
	const char *name;
	int (*run)(struct bench *b);
} sections[] = {
	{ "latency", bench_latency }, { "throughput", bench_throughput }, { "fanout", bench_fanout }, { "wake", bench_wake }, { "call", bench_call }, { "waitset", bench_waitset }, { "join", bench_join }, { "exit", bench_exit }, { "memory", bench_memory },
};
#define N_SECTIONS (sizeof(sections) / sizeof(*sections))

/* ---- for the sections -------------------------------------------------------------------------------------------- */

static bool unread;

bool bench_interrupted(void)
{
	return unread || interrupt_signal();
}

void bench_unread(void)
{
	unread = true;
}

uint32_t bench_rounds(const struct bench *b, uint32_t rounds, uint32_t least)
{
	double n = (double)rounds * b->scale / (b->quick ? 10 : 1);

	return n < least ? least : n > 4e9 ? 4000000000u : (uint32_t)n;
}

void bench_error(struct bench *b, const char *format, ...)
{
	va_list ap;

	bench_progress(b, NULL);
	fputs("zcp: bench: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	b->n_errors++;
}

void bench_progress(const struct bench *b, const char *what)
{
	if (!b->progress)
		return;
	if (what)
		fprintf(stderr, "\r%s ...\033[K", what);
	else
		fputs("\r\033[K", stderr);
	fflush(stderr);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum { OPTION_QUICK = TOOL_OPTION_FIRST, OPTION_JSON, OPTION_RUNS, OPTION_CPUS, OPTION_HISTOGRAM, OPTION_SCALE };

static const struct option options[] = {
	{ "quick", no_argument, NULL, OPTION_QUICK },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "runs", required_argument, NULL, OPTION_RUNS },
	{ "cpus", required_argument, NULL, OPTION_CPUS },
	{ "histogram", no_argument, NULL, OPTION_HISTOGRAM },
	{ "scale", required_argument, NULL, OPTION_SCALE },	/* of round counts; for tests, not documented */
	TOOL_COMMON_OPTIONS,
	{ 0 },
};

/* The first two cpus we may run on; one_cpu where there is no second. */
static bool default_cpus(struct bench *b)
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) < 0) {
		tool_fail("cannot ask for the allowed cpus: %s", strerror(errno));
		return false;
	}
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			b->cpu[n++] = cpu;
	if (n == 1)
		b->cpu[1] = b->cpu[0];
	return true;
}

static bool parse_cpus(struct bench *b, const char *text)
{
	cpu_set_t set;
	char end;

	if (sscanf(text, "%d,%d%c", &b->cpu[0], &b->cpu[1], &end) != 2 || b->cpu[0] < 0 || b->cpu[1] < 0 || b->cpu[0] >= CPU_SETSIZE ||
	    b->cpu[1] >= CPU_SETSIZE) {
		tool_usage("--cpus wants two cpu numbers, like 0,1, not '%s'", text);
		return false;
	}
	for (int i = 0; i < 2; i++) {
		if (sched_getaffinity(0, sizeof(set), &set) == 0 && !CPU_ISSET((size_t)b->cpu[i], &set)) {
			tool_usage("--cpus: cpu %d is not one we may run on", b->cpu[i]);
			return false;
		}
	}
	return true;
}

static bool parse_sections(int argc, char **argv, bool wanted[N_SECTIONS])
{
	if (!argc)
		for (size_t i = 0; i < N_SECTIONS; i++)
			wanted[i] = true;
	for (int a = 0; a < argc; a++) {
		bool known = false;

		for (size_t i = 0; i < N_SECTIONS; i++)
			if (!strcmp(argv[a], "all") || !strcmp(argv[a], sections[i].name))
				wanted[i] = known = true;
		if (!known) {
			tool_usage("no section '%s'", argv[a]);
			return false;
		}
	}
	return true;
}

/* -1: go on; else the exit status. */
static int parse_option(struct bench *b, int c)
{
	uint64_t n;
	char *end;

	switch (c) {
	case OPTION_QUICK:
		b->quick = true;
		return -1;
	case OPTION_JSON:
		b->json = true;
		return -1;
	case OPTION_RUNS:
		if (!tool_parse_count("--runs", optarg, 1, BENCH_RUNS_MAX, &n))
			return TOOL_USAGE;
		b->runs = (int)n;
		return -1;
	case OPTION_CPUS:
		return parse_cpus(b, optarg) ? -1 : TOOL_USAGE;
	case OPTION_HISTOGRAM:
		b->histogram = true;
		return -1;
	case OPTION_SCALE:
		b->scale = strtod(optarg, &end);
		if (*end || !(b->scale > 0) || b->scale > 1000)
			return tool_usage("--scale wants a number over 0, not '%s'", optarg);
		return -1;
	default:
		return tool_common_option(c, optarg, help_text);
	}
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* How long a tick of worker_ticks() is: measured against CLOCK_MONOTONIC for 50 ms, to 0.01 %. */
static void calibrate(struct bench *b)
{
	uint64_t ticks0, ns0, ticks1, ns1;

	b->ns_per_tick = 1;
	b->ticks = clock_has_ticks();
	if (!b->ticks)
		return;
	clock_sample(&ticks0, &ns0);
	usleep(50000);
	clock_sample(&ticks1, &ns1);
	b->ns_per_tick = (double)(ns1 - ns0) / (double)(ticks1 - ticks0);
}

/* 256 subscribers are some hundreds of descriptors on both sides; the router inherits the limit. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void run_sections(struct bench *b, const bool wanted[N_SECTIONS])
{
	for (size_t i = 0; i < N_SECTIONS && !bench_interrupted(); i++)
		if (wanted[i])
			sections[i].run(b);
}

int cmd_bench(int argc, char **argv)
{
	struct bench b = { .runs = 5, .scale = 1, .cpu = { -1, -1 } };
	bool wanted[N_SECTIONS] = { false };
	int c, r;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		r = parse_option(&b, c);
		if (r >= 0)
			return r;
	}
	if (!parse_sections(argc - optind, argv + optind, wanted))
		return TOOL_USAGE;
	if (b.histogram && b.json)
		return tool_usage("--histogram draws for humans: not with --json");
	if (tool_socket() && strlen(tool_socket()) >= sizeof(b.socket_path))
		return tool_usage("--socket: the path is over %zu bytes", sizeof(b.socket_path) - 1);
	if (b.cpu[0] < 0 && !default_cpus(&b))
		return TOOL_FAILURE;
	b.one_cpu = b.cpu[0] == b.cpu[1];
	b.progress = isatty(STDERR_FILENO);

	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	raise_descriptor_limit();
	calibrate(&b);
	if (tool_socket())
		strcpy(b.socket_path, tool_socket());
	if (bench_report_begin(&b) == 0 && (tool_socket() || bench_router_start(&b, NULL) == 0))
		run_sections(&b, wanted);
	bench_report_end(&b);
	bench_router_stop(&b);
	if (interrupt_signal())
		interrupt_die();
	if (unread)
		return TOOL_OK;
	r = tool_finish_stdout();
	return b.n_errors ? TOOL_FAILURE : r;
}
