/* SPDX-License-Identifier: MIT */
/*
 * cmd-sub.c - zcp sub: print messages, or write their bytes
 *
 * With --raw the payloads are written from where they lie, and the command ends as a pipe does: when every
 * publisher that was connected has gone and everything of theirs is written. A publisher that died instead of
 * closing, or a lost message, means that the output isn't what was sent: that is a failure, and said.
 *
 * The subscriber's descriptor wakes us for messages and for publishers that come and go; END_CHECK_NS is only
 * the net below it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "lib/node.h"
#include "tools/interrupt.h"
#include "tools/printer.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/tool.h"

#define END_CHECK_NS 250000000
#define ROUTER_CHECK_NS 1000000000	/* how often an idle subscriber looks whether the router is still there */
#define ROUTER_GRACE_NS 5000000000	/* quiet for so long without a router: the end of a stream won't be told */
#define PIPE_BYTES (1 << 20)

static const char help[] =
	"Usage: zcp sub [OPTION...] TOPIC\n"
	"\n"
	"Print the messages of TOPIC, SERVICE/INSTANCE/EVENT, a line each: time, number, size,\n"
	"content (abbreviated), losses.\n"
	"\n"
	"      --raw            write the payloads' bytes, nothing else; ends when the publishers\n"
	"                       that were connected have gone; fails if anything was lost\n"
	"      --follow         with --raw: don't end, wait for the next publisher\n"
	"      --hex            the whole payload as a hex dump\n"
	"      --json           one JSON object a line; payloads that aren't UTF-8 in base64\n"
	"  -n, --count N        stop after N messages\n"
	"      --history N      begin with up to N messages from before\n"
	"      --lossy          don't let a reliable publisher wait for this subscriber\n"
	"      --stats          a summary on standard error at the end\n"
	"  -t, --timeout S      give up when nothing has come for S seconds\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp sub demo/chat/text\n"
	"  zcp sub --raw backup/host/tar > copy.tar\n"
	"  zcp sub --json host/journal/line | jq -r .data\n";

struct sub {
	/* what was asked for */
	struct tool_topic topic;
	struct printer printer;
	bool raw, follow, lossy, stats;
	uint64_t count, history;
	int64_t timeout_ns;	/* -1: none */

	/* what goes on */
	zcp_node *node;
	zcp_subscriber *subscriber;
	struct progress progress;
	uint64_t n_messages, n_bytes, n_lost;
	uint64_t start_ns, first_ns, last_ns;
	uint64_t router_gone_ns;	/* 0: it was there when we last looked */
};

/* ---- one message ---- */

static int print(struct sub *s, const struct zcp_sample *sample)
{
	int r = printer_print(&s->printer, sample);

	if (r < 0) {
		tool_fail("%s", strerror(-r));
		return r;
	}
	/* Complaints come from tool_finish_stdout(). */
	return ferror(stdout) ? -EPIPE : 0;
}

static int handle(struct sub *s, const struct zcp_sample *sample)
{
	int r;

	s->last_ns = clock_now_ns();
	if (!s->n_messages) {
		s->first_ns = s->last_ns;
		if (s->raw && !s->follow && sample->sequence && !s->history && !sample->lost)
			fprintf(stderr, "zcp: joined late: %" PRIu64 " earlier messages are not in the output\n",
				sample->sequence);
	}
	s->n_messages++;
	s->n_bytes += sample->size;
	s->n_lost += sample->lost;
	r = s->raw ? printer_raw(sample->data, sample->size) : print(s, sample);
	progress_update(&s->progress, s->n_messages, s->n_bytes);
	return r;
}

/* ---- the wait for the next ---- */

static int get_stats(struct sub *s, struct zcp_subscriber_stats *stats)
{
	int r;

	*stats = (struct zcp_subscriber_stats){ .sz = sizeof(*stats) };
	r = zcp_subscriber_stats(s->subscriber, stats);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

/* 1 the publishers have gone and nothing is left; 0 not yet; negative. */
static int at_end(struct sub *s)
{
	struct zcp_subscriber_stats stats;
	int r;

	if (!s->raw || s->follow)
		return 0;
	r = get_stats(s, &stats);
	return r < 0 ? r : !stats.publishers && stats.departed;
}

/*
 * Without a router data keeps flowing, but nobody tells that a publisher came or went. Say so once; a stream
 * whose end we would wait for in vain fails when it has been quiet for a while. 0, or -ENOTCONN after the
 * complaint.
 */
static int check_router(struct sub *s)
{
	uint64_t now = clock_now_ns(), since;

	if (node_is_joined(s->node)) {
		if (s->router_gone_ns)
			fputs("zcp: the router is back\n", stderr);
		s->router_gone_ns = 0;
		return 0;
	}
	if (!s->router_gone_ns) {
		s->router_gone_ns = now;
		progress_clear(&s->progress);
		fputs("zcp: the router has gone: until it is back, publishers that come or go are not noticed\n", stderr);
	}
	since = s->last_ns > s->router_gone_ns ? s->last_ns : s->router_gone_ns;
	if (!s->raw || s->follow || now - since < ROUTER_GRACE_NS)
		return 0;
	tool_fail("the router has gone: the output may be incomplete");
	return -ENOTCONN;
}

/*
 * Nothing there: 0 look again, 1 the end, or a negative errno value (-ETIMEDOUT, others but -EINTR: after the
 * complaint).
 */
static int wait_for_message(struct sub *s)
{
	int64_t wait_ns = s->raw && !s->follow ? END_CHECK_NS : ROUTER_CHECK_NS;
	int fd, r = at_end(s);

	if (!r)
		r = check_router(s);
	if (r)
		return r;
	fflush(stdout);
	if (ferror(stdout))
		return -EPIPE;
	progress_update(&s->progress, s->n_messages, s->n_bytes);
	if (s->timeout_ns >= 0) {
		uint64_t since = s->last_ns ? s->last_ns : s->start_ns;
		int64_t left = s->timeout_ns - (int64_t)(clock_now_ns() - since);

		if (left <= 0) {
			char number[TEXT_NUMBER];

			progress_clear(&s->progress);
			tool_fail("nothing came for %s", text_duration((uint64_t)s->timeout_ns, number));
			return -ETIMEDOUT;
		}
		if (left < wait_ns)
			wait_ns = left;
	}
	fd = zcp_subscriber_fd(s->subscriber);
	if (fd < 0) {
		tool_fail_zcp(fd);
		return fd;
	}
	r = interrupt_poll(fd, POLLIN, wait_ns);
	return r < 0 ? r : 0;
}

/* 0 at an end that was asked for, -EINTR, -EPIPE, or another negative errno value after the complaint. */
static int run(struct sub *s)
{
	while (!s->count || s->n_messages < s->count) {
		struct zcp_sample sample;
		int r = zcp_subscriber_take(s->subscriber, &sample);

		if (r == 0) {
			r = handle(s, &sample);
			zcp_sample_release(&sample);
			if (r == 0 && interrupt_signal())
				r = -EINTR;
			if (r < 0)
				return r;
		} else if (r == -EAGAIN) {
			r = wait_for_message(s);
			if (r)
				return r < 0 ? r : 0;
		} else {
			tool_fail_zcp(r);
			return r;
		}
	}
	return 0;
}

/* ---- the end ---- */

static void print_stats(const struct sub *s, const struct zcp_subscriber_stats *stats)
{
	uint64_t ns = s->last_ns - s->first_ns;
	char bytes[TEXT_NUMBER], rate[TEXT_NUMBER], duration[TEXT_NUMBER];

	fprintf(stderr, "%" PRIu64 " message%s, %s in %s", s->n_messages, s->n_messages == 1 ? "" : "s", text_bytes(s->n_bytes, bytes),
		text_duration(ns, duration));
	if (ns)
		fprintf(stderr, " (%.1f messages/s, %s/s)", (double)s->n_messages * 1e9 / (double)ns,
			text_bytes((uint64_t)((double)s->n_bytes * 1e9 / (double)ns), rate));
	fprintf(stderr, "; %" PRIu64 " lost; %" PRIu64 " publisher%s gone, %" PRIu64 " of them died\n",
		stats->lost, stats->departed, stats->departed == 1 ? "" : "s", stats->died);
	if (stats->malformed)
		fprintf(stderr, "%" PRIu64 " messages were malformed and skipped\n", stats->malformed);
}

/* Whether the bytes written are all that was sent. */
static int judge_raw(const struct sub *s, const struct zcp_subscriber_stats *stats)
{
	int status = TOOL_OK;

	if (s->n_lost || stats->lost)
		status = tool_fail("%" PRIu64 " messages were lost: the output has holes",
				   stats->lost > s->n_lost ? stats->lost : s->n_lost);
	if (stats->malformed)
		status = tool_fail("%" PRIu64 " messages were malformed and left out", stats->malformed);
	if (stats->died && !s->count)
		status = tool_fail("a publisher ended without closing: the output may be incomplete");
	return status;
}

static int open_subscriber(struct sub *s)
{
	const struct zcp_subscriber_options options = {
		.sz = sizeof(options),
		.history = (uint32_t)s->history,
		.lossy = s->lossy,
	};
	int r = tool_node_open(&s->node, "zcp sub", true);

	if (r < 0)
		return r;
	r = zcp_subscriber_open(&s->subscriber, s->node, &s->topic.topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

/* The exit status of a run that ended with @r. */
static int conclude(struct sub *s, int r)
{
	struct zcp_subscriber_stats stats;
	int status = r < 0 && r != -EINTR && r != -EPIPE ? TOOL_FAILURE : TOOL_OK;

	if (!s->subscriber || get_stats(s, &stats) < 0)
		return TOOL_FAILURE;
	progress_finish(&s->progress, s->n_messages, s->n_bytes);
	if (s->stats)
		print_stats(s, &stats);
	if (s->raw && r != -EPIPE && judge_raw(s, &stats) != TOOL_OK)
		status = TOOL_FAILURE;
	if (!s->raw && tool_finish_stdout() != TOOL_OK)
		status = TOOL_FAILURE;
	return status;
}

static int sub(struct sub *s)
{
	int status, r = open_subscriber(s);

	s->start_ns = clock_now_ns();
	progress_init(&s->progress, s->raw && !isatty(STDOUT_FILENO));
	if (s->raw)
		fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_BYTES);
	if (r == 0)
		r = run(s);
	status = conclude(s, r);
	zcp_subscriber_close(s->subscriber);
	zcp_node_close(s->node);
	/* Watching ends with Ctrl-C; an end that was asked for was not reached by it. */
	if (r == -EINTR && (s->count || (s->raw && !s->follow)))
		interrupt_die();
	return status;
}

static int settle(struct sub *s, bool hex, bool json)
{
	if (s->raw + hex + json > 1)
		return tool_usage("--raw, --hex and --json exclude each other");
	if (s->follow && !s->raw)
		return tool_usage("--follow goes with --raw only");
	s->printer.mode = json ? PRINTER_JSON : hex ? PRINTER_HEX : PRINTER_LINE;
	return TOOL_OK;
}

int cmd_sub(int argc, char **argv)
{
	enum {
		OPTION_RAW = TOOL_OPTION_FIRST, OPTION_FOLLOW, OPTION_HEX, OPTION_JSON, OPTION_HISTORY,
		OPTION_LOSSY, OPTION_STATS,
	};
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "raw", no_argument, NULL, OPTION_RAW },
		{ "follow", no_argument, NULL, OPTION_FOLLOW },
		{ "hex", no_argument, NULL, OPTION_HEX },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "count", required_argument, NULL, 'n' },
		{ "history", required_argument, NULL, OPTION_HISTORY },
		{ "lossy", no_argument, NULL, OPTION_LOSSY },
		{ "stats", no_argument, NULL, OPTION_STATS },
		{ "timeout", required_argument, NULL, 't' },
		{ 0 },
	};
	struct sub s = { .timeout_ns = -1 };
	bool ok = true, hex = false, json = false;
	int c, r;

	while (ok && (c = getopt_long(argc, argv, "hn:t:", options, NULL)) != -1) {
		switch (c) {
		case OPTION_RAW:
			s.raw = true;
			break;
		case OPTION_FOLLOW:
			s.follow = true;
			break;
		case OPTION_HEX:
			hex = true;
			break;
		case OPTION_JSON:
			json = true;
			break;
		case 'n':
			ok = tool_parse_count("--count", optarg, 1, UINT64_MAX, &s.count);
			break;
		case OPTION_HISTORY:
			ok = tool_parse_count("--history", optarg, 0, UINT32_MAX, &s.history);
			break;
		case OPTION_LOSSY:
			s.lossy = true;
			break;
		case OPTION_STATS:
			s.stats = true;
			break;
		case 't':
			ok = tool_parse_seconds("--timeout", optarg, &s.timeout_ns);
			break;
		default:
			if ((r = tool_common_option(c, optarg, help)) >= 0)
				return r;
		}
	}
	if (!ok)
		return TOOL_USAGE;
	if (optind == argc)
		return tool_usage("no topic was given");
	if (!tool_parse_topic(argv[optind++], &s.topic))
		return TOOL_USAGE;
	if (optind < argc)
		return tool_usage("takes one topic, but there is also '%s'", argv[optind]);
	if ((r = settle(&s, hex, json)) != TOOL_OK)
		return r;
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	return sub(&s);
}
