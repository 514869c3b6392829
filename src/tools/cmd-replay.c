/* SPDX-License-Identifier: MIT */
/*
 * cmd-replay.c - zcp replay: publish again what was recorded
 *
 * Each publisher of the recording gets one here, of the same topic, type and user header, so that the order of each one's messages stays.
 * replay.h has the parts.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/clock.h"
#include "common/pattern.h"
#include "lib/node.h"
#include "tools/interrupt.h"
#include "tools/replay.h"
#include "tools/text.h"

static const char help[] =
	"Usage: zcp replay [OPTION...] FILE...\n"
	"\n"
	"Publish the messages of recordings again, on their topics, in the order and at the pace in\n"
	"which they were published. Several FILEs, as of a recording in parts, follow each other.\n"
	"\n"
	"      --rate X         X times as fast (0.5: half as fast); 0: as fast as possible\n"
	"      --loop[=N]       for ever, or N times\n"
	"      --start S        begin S seconds after the beginning of the first FILE\n"
	"      --end S          end S seconds after it\n"
	"      --topic PATTERN  only topics like this, with '*' and '?'; may be repeated\n"
	"      --prefix TEXT    put TEXT in front of the service name of each topic\n"
	"      --reliable       wait for reliable subscribers, whatever the publishers did\n"
	"      --lossy          never wait for subscribers\n"
	"  -w, --wait N         first wait until each topic has N subscribers\n"
	"  -t, --timeout S      give up when subscribers or room are waited for longer than S seconds\n"
	"  -q, --quiet          no summary at the end\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp replay trip.zcprec\n"
	"  zcp replay --rate 4 --start 60 --topic 'radar/*' trip.zcprec\n";

/* ---- rounds ---- */

static int run(struct replay *p)
{
	p->begin_ns = clock_now_ns();
	for (uint64_t round = 0; !p->rounds || round < p->rounds; round++) {
		uint64_t before = p->n_messages;

		p->round_ns = clock_now_ns();
		for (int i = 0; i < p->n_sources; i++) {
			int r = replay_source(p, &p->sources[i]);

			if (r < 0)
				return r;
		}
		if (p->n_messages == before)
			break;	/* there is nothing, and never will be */
	}
	return 0;
}

/* ---- the end ---- */

static void print_summary(const struct replay *p)
{
	char bytes[TEXT_NUMBER], duration[TEXT_NUMBER], late[TEXT_NUMBER];

	fprintf(stderr, "%" PRIu64 " message%s of %zu publisher%s, %s in %s", p->n_messages, p->n_messages == 1 ? "" : "s", p->n_outlets,
		p->n_outlets == 1 ? "" : "s", text_bytes(p->n_bytes, bytes), text_duration(clock_now_ns() - p->begin_ns, duration));
	if (p->rate > 0)
		fprintf(stderr, "; at most %s late", text_duration(p->latest_ns, late));
	fputc('\n', stderr);
}

/* The exit status of a run that ended with @r. */
static int conclude(struct replay *p, int r)
{
	int status = r < 0 && r != -EINTR ? TOOL_FAILURE : TOOL_OK;

	progress_clear(&p->progress);
	if (!p->quiet && p->begin_ns)
		print_summary(p);
	for (int i = 0; i < p->n_sources; i++) {
		const struct recording *recording = p->sources[i].recording;

		if (recording && recording->damaged + recording->gaps)
			status = tool_fail("%s is damaged: %" PRIu64 " parts of it could not be read, and were left out", recording->path,
					   recording->damaged + recording->gaps);
	}
	return status;
}

static int replay(struct replay *p, char **paths, int n)
{
	int status, r = replay_open_sources(p, paths, n);

	/* the kernel may else be 50 us late with each */
	prctl(PR_SET_TIMERSLACK, 1);
	if (!r)
		r = tool_node_open(&p->node, "zcp replay", true);
	if (!r)
		r = replay_open_publishers(p);
	if (!r) {
		progress_init(&p->progress, true);
		r = run(p);
	}
	status = conclude(p, r);
	replay_close_publishers(p);
	replay_close_sources(p);
	zcp_node_close(p->node);
	if (r == -EINTR && p->rounds)
		interrupt_die();	/* an end that was asked for was not reached */
	return status;
}

/* ---- options ---- */

/* "a", "a/b" or "a/b/c" with '*' and '?' in it. */
static bool parse_pattern(struct replay *p, const char *text)
{
	enum name_fault fault;
	int r;

	if (p->n_patterns == REPLAY_PATTERNS_MAX) {
		tool_usage("--topic: more than %d", REPLAY_PATTERNS_MAX);
		return false;
	}
	r = pattern_parse(&p->parsed[p->n_patterns], text, &fault);
	if (r == -E2BIG)
		tool_usage("--topic: the pattern '%.40s' has more than three parts", text);
	else if (r < 0)
		tool_usage("--topic: a part of the pattern '%.40s' %s", text, name_fault_text(fault));
	p->n_patterns += r == 0;
	return r == 0;
}

static bool parse_speed(const char *text, double *rate)
{
	char *end;

	if (strspn(text, "0.") == strlen(text) && *text) {
		*rate = 0;
		return true;
	}
	*rate = strtod(text, &end);
	if (isdigit((unsigned char)*text) && !*end && *rate > 0 && *rate <= 1e9)
		return true;
	tool_usage("--rate wants a factor, like 2 or 0.5, or 0 for as fast as possible, not '%s'", text);
	return false;
}

enum {
	OPTION_RATE = TOOL_OPTION_FIRST, OPTION_LOOP, OPTION_START, OPTION_END, OPTION_TOPIC, OPTION_PREFIX, OPTION_RELIABLE, OPTION_LOSSY,
};

static const struct option long_options[] = {
	{ "rate", required_argument, NULL, OPTION_RATE },
	{ "loop", optional_argument, NULL, OPTION_LOOP },
	{ "start", required_argument, NULL, OPTION_START },
	{ "end", required_argument, NULL, OPTION_END },
	{ "topic", required_argument, NULL, OPTION_TOPIC },
	{ "prefix", required_argument, NULL, OPTION_PREFIX },
	{ "reliable", no_argument, NULL, OPTION_RELIABLE },
	{ "lossy", no_argument, NULL, OPTION_LOSSY },
	{ "wait", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	TOOL_COMMON_OPTIONS,
	{ 0 },
};

static bool parse_option(struct replay *p, int option)
{
	switch (option) {
	case OPTION_RATE:
		return parse_speed(optarg, &p->rate);
	case OPTION_LOOP:
		p->rounds = 0;
		return !optarg || tool_parse_count("--loop", optarg, 1, UINT64_MAX, &p->rounds);
	case OPTION_START:
		return tool_parse_seconds("--start", optarg, &p->start_ns);
	case OPTION_END:
		return tool_parse_seconds("--end", optarg, &p->end_ns);
	case OPTION_TOPIC:
		return parse_pattern(p, optarg);
	case OPTION_PREFIX:
		p->prefix = optarg;
		return true;
	case OPTION_RELIABLE:
		p->reliable = true;
		return true;
	case OPTION_LOSSY:
		p->lossy = true;
		return true;
	case 'w':
		return tool_parse_count("--wait", optarg, 0, 4096, &p->wait);
	case 't':
		return tool_parse_seconds("--timeout", optarg, &p->timeout_ns);
	default:
		p->quiet = true;
		return true;
	}
}

int cmd_replay(int argc, char **argv)
{
	struct replay p = { .rate = 1, .rounds = 1, .end_ns = -1, .timeout_ns = -1, .prefix = "" };
	int option, r;

	while ((option = getopt_long(argc, argv, "hw:t:q", long_options, NULL)) != -1) {
		if (option == 'h' || option == '?' || option == TOOL_OPTION_SOCKET || option == TOOL_OPTION_VERSION) {
			if ((r = tool_common_option(option, optarg, help)) >= 0)
				return r;
		} else if (!parse_option(&p, option)) {
			return TOOL_USAGE;
		}
	}
	if (p.reliable && p.lossy)
		return tool_usage("--reliable and --lossy exclude each other");
	if (p.end_ns >= 0 && p.end_ns < p.start_ns)
		return tool_usage("--end is before --start");
	if (optind == argc)
		return tool_usage("no file was given");
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	return replay(&p, argv + optind, argc - optind);
}
