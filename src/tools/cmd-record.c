/* SPDX-License-Identifier: MIT */
/*
 * cmd-record.c - zcp record: messages of any topics, to a file
 *
 * One thread takes messages and puts them together, another one writes (recording-output.h). A wait set sleeps for all subscribers, for
 * topics that appear, for Ctrl-C, and for a disk that is full. When nothing is there to take, what was taken goes to the file.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/recorder-topics.h"
#include "tools/recording-info.h"
#include "tools/recording-output.h"
#include "tools/recording-pack.h"
#include "tools/recording-writer.h"
#include "tools/text.h"
#include "tools/tool.h"

#define BATCH 64
#define TURN 16				/* batches of one subscriber, before the others have their turn */
#define IDLE_NS 250000000		/* a look at progress and the time */
#define LAST_NS 200000000		/* at the end: for what is still to be taken */
#define BUFFER_BYTES (128u << 20)

static const char help[] =
	"Usage: zcp record [OPTION...] FILE [PATTERN...]\n"
	"       zcp record --info [--json] FILE\n"
	"\n"
	"Record the messages of all topics, or of those that a PATTERN describes, to FILE, until\n"
	"Ctrl-C. PATTERN is a topic with '*' and '?' in it whose last parts may be missing.\n"
	"'zcp replay FILE' publishes them again.\n"
	"\n"
	"      --compress[=N]   compress with zstd, level 1 (default) to 19\n"
	"      --max-size SIZE  begin the next file, FILE.0002 and so on, before one is larger than\n"
	"                       SIZE; suffixes K, M, G\n"
	"      --max-time S     begin the next file after S seconds\n"
	"      --keep N         with these: keep the last N files, delete older ones\n"
	"  -f, --force          replace files that exist\n"
	"      --reliable       let reliable publishers wait for the recorder\n"
	"      --history N      begin with up to N messages of each publisher from before\n"
	"  -n, --count N        end after N messages\n"
	"  -d, --duration S     end after S seconds\n"
	"      --buffer SIZE    memory for what the disk is too slow for (default 128M)\n"
	"      --sync-every S   have all on the disk every S seconds, not only when a file is finished\n"
	"  -q, --quiet          no summary at the end\n"
	"      --info           show what is in FILE; whole or not, or still being recorded\n"
	"      --json           with --info: one JSON object\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp record trip.zcprec\n"
	"  zcp record --compress --max-size 1G --keep 10 trip.zcprec 'radar/*' camera/front\n"
	"  zcp record --info trip.zcprec\n";

struct record_command {
	struct recording_options options;
	char **patterns;
	int n_patterns;
	bool info, json, reliable, quiet;
	uint64_t history, count;
	int64_t duration_ns;		/* -1: none */

	struct recorder_topics topics;
	struct recording_writer *writer;
	struct progress progress;
	uint64_t n_messages, n_bytes, start_ns;
};

/* ---- messages ---- */

static int write_sample(struct record_command *c, const struct recorder_topic *topic, const struct zcp_sample *sample)
{
	struct recorder_publisher *p = recorder_topics_publisher(&c->topics, topic, sample->publisher);
	struct recording_message m = {
		.data = sample->data,
		.size = sample->size,
		.header = sample->header,
		.header_size = sample->header_size,
		.sequence = sample->sequence,
		.timestamp_ns = sample->timestamp_ns,
		.lost = sample->lost,
	};

	if (!p || (!p->added && recording_writer_add(c->writer, &p->stream) < 0)) {
		tool_fail("out of memory");
		return -ENOMEM;
	}
	p->added = true;
	if (!m.timestamp_ns) {
		m.timestamp_ns = clock_now_ns();
		m.flags = RECORD_MESSAGE_TAKEN;
	}
	if (recording_writer_write(c->writer, p->stream.id, &m) < 0)
		return -EIO;	/* recording_writer_close() says why */
	c->n_messages++;
	c->n_bytes += m.size;
	return 0;
}

static bool is_complete(const struct record_command *c)
{
	return c->count && c->n_messages >= c->count;
}

/* What the subscriber has, at most TURN batches. 0 or a negative errno value. */
static int take(struct record_command *c, const struct recorder_topic *topic)
{
	struct zcp_sample samples[BATCH];
	int r = 0;

	for (int turn = 0; turn < TURN && !r && !is_complete(c); turn++) {
		uint64_t left = c->count ? c->count - c->n_messages : BATCH;
		int n = zcp_subscriber_take_batch(recorder_topic_subscriber(topic), samples, left < BATCH ? (int)left : BATCH);

		if (n == -EAGAIN)
			return 0;
		if (n < 0) {
			tool_fail_zcp(n);
			return n;
		}
		for (int i = 0; i < n; i++) {
			if (!r)
				r = write_sample(c, topic, &samples[i]);
			zcp_sample_release(&samples[i]);
		}
	}
	return r;
}

/* ---- the loop ---- */

static int handle(struct record_command *c, const struct zcp_ready *ready)
{
	if (ready->kind == ZCP_READY_SUBSCRIBER)
		return take(c, ready->user);
	if (ready->kind == ZCP_READY_WATCH)
		return recorder_topics_look(&c->topics, ready->object);
	/* else a signal: the loop looks */
	return ready->fd == recording_writer_fd(c->writer) ? -EIO : 0;
}

/* How long it may sleep; 0: the time is over. */
static int64_t patience(const struct record_command *c, int64_t flush_ns)
{
	int64_t ns = flush_ns >= 0 && flush_ns < IDLE_NS ? flush_ns + 1 : IDLE_NS, left;

	if (c->duration_ns < 0)
		return ns;
	left = c->duration_ns - (int64_t)(clock_now_ns() - c->start_ns);
	return left < 0 ? 0 : left < ns ? left : ns;
}

static bool is_over(const struct record_command *c)
{
	return interrupt_signal() || is_complete(c) ||
	       (c->duration_ns >= 0 && clock_now_ns() - c->start_ns >= (uint64_t)c->duration_ns);
}

static int run(struct record_command *c)
{
	struct zcp_ready ready[64];
	int r = 0;

	while (!r && !is_over(c)) {
		int n = zcp_waitset_wait(c->topics.waitset, ready, 64, 0);

		if (n == -ETIMEDOUT)
			n = zcp_waitset_wait(c->topics.waitset, ready, 64, patience(c, recording_writer_flush(c->writer)));
		if (n < 0 && n != -ETIMEDOUT) {
			tool_fail_zcp(n);
			return n;
		}
		for (int i = 0; i < n && !r; i++)
			r = handle(c, &ready[i]);
		if (progress_is_due(&c->progress))
			c->progress.lost = recorder_topics_lost(&c->topics);
		progress_update(&c->progress, c->n_messages, c->n_bytes);
	}
	return r;
}

/* What was published before the end belongs to it. */
static int take_the_rest(struct record_command *c)
{
	uint64_t end = clock_now_ns() + LAST_NS;
	struct zcp_ready ready[64];
	int r = 0;

	while (!r && !is_complete(c) && clock_now_ns() < end) {
		int taken = 0, n = zcp_waitset_wait(c->topics.waitset, ready, 64, 0);

		for (int i = 0; i < n && !r; i++) {
			if (ready[i].kind != ZCP_READY_SUBSCRIBER)
				continue;
			r = take(c, ready[i].user);
			taken++;
		}
		if (!taken)
			break;
	}
	return r;
}

/* ---- beginning and end ---- */

/* Subscribe, then create the file: a pattern that is none shall not replace it. */
static int set_up(struct record_command *c)
{
	struct recorder_topics *t = &c->topics;
	char why[RECORDING_WHY];
	int r = zcp_waitset_open(&t->waitset, NULL);

	if (!r)
		r = zcp_waitset_add_fd(t->waitset, interrupt_fd(), POLLIN, NULL);
	if (r < 0) {
		tool_fail_zcp(r);
		return r;
	}
	t->reliable = c->reliable;
	t->history = (uint32_t)c->history;
	c->start_ns = clock_now_ns();
	r = recorder_topics_open(t, c->patterns, c->n_patterns);
	if (r < 0)
		return r;
	r = recording_writer_open(&c->writer, &c->options, why);
	if (r < 0) {
		tool_fail("%s", why);
		return r;
	}
	r = zcp_waitset_add_fd(t->waitset, recording_writer_fd(c->writer), POLLIN, NULL);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

static void print_summary(struct record_command *c, uint64_t file_bytes, uint32_t parts)
{
	char bytes[TEXT_NUMBER], file[TEXT_NUMBER], duration[TEXT_NUMBER];
	uint64_t lost = recorder_topics_lost(&c->topics);

	fprintf(stderr, "%" PRIu64 " message%s of %" PRIu32 " topic%s, %s in %s", c->n_messages, c->n_messages == 1 ? "" : "s", c->topics.n_topics,
		c->topics.n_topics == 1 ? "" : "s", text_bytes(c->n_bytes, bytes), text_duration(clock_now_ns() - c->start_ns, duration));
	fprintf(stderr, "; %" PRIu64 " lost; %s in %" PRIu32 " file%s\n", lost, text_bytes(file_bytes, file), parts, parts == 1 ? "" : "s");
}

/* Finish the file. The exit status. */
static int conclude(struct record_command *c, int r)
{
	char why[RECORDING_WHY] = "";
	uint64_t bytes;
	uint32_t parts;
	int status = r < 0 ? TOOL_FAILURE : TOOL_OK;

	if (!c->writer)
		return r == -EINVAL ? TOOL_USAGE : TOOL_FAILURE;
	parts = recording_writer_parts(c->writer);
	progress_clear(&c->progress);
	/* then the numbers are of what was taken, and not of what is there: --info knows */
	if (recording_writer_close(c->writer, &bytes, why) < 0)
		status = tool_fail("%s; what was written before can be read", why);
	else if (!c->quiet)
		print_summary(c, bytes, parts);
	if (c->topics.n_failed)
		status = TOOL_FAILURE;	/* each was said */
	return status;
}

static int record(struct record_command *c)
{
	int status, r;

	if (tool_node_open(&c->topics.node, "zcp record", true) < 0)
		return TOOL_FAILURE;
	r = set_up(c);
	progress_init(&c->progress, true);
	if (!r)
		r = run(c);
	if (!r)
		r = take_the_rest(c);
	status = conclude(c, r);
	zcp_waitset_close(c->topics.waitset);
	recorder_topics_close(&c->topics);
	zcp_node_close(c->topics.node);
	return status;
}

/* ---- options ---- */

static int settle(const struct record_command *c)
{
	if (c->json && !c->info)
		return tool_usage("--json goes with --info only");
	if (c->options.keep && !c->options.max_bytes && !c->options.max_ns)
		return tool_usage("--keep goes with --max-size or --max-time");
	if (c->options.level && !output_can_compress())
		return tool_usage("--compress: this zcp was built without zstd");
	return TOOL_OK;
}

static bool parse_level(const char *text, int *level)
{
	uint64_t n = PACK_LEVEL_DEFAULT;

	if (text && !tool_parse_count("--compress", text, 1, PACK_LEVEL_MAX, &n))
		return false;
	*level = (int)n;
	return true;
}

enum {
	OPTION_COMPRESS = TOOL_OPTION_FIRST, OPTION_MAX_SIZE, OPTION_MAX_TIME, OPTION_KEEP, OPTION_RELIABLE, OPTION_HISTORY, OPTION_BUFFER,
	OPTION_SYNC_EVERY, OPTION_INFO, OPTION_JSON,
};

static const struct option long_options[] = {
	{ "compress", optional_argument, NULL, OPTION_COMPRESS },
	{ "max-size", required_argument, NULL, OPTION_MAX_SIZE },
	{ "max-time", required_argument, NULL, OPTION_MAX_TIME },
	{ "keep", required_argument, NULL, OPTION_KEEP },
	{ "force", no_argument, NULL, 'f' },
	{ "reliable", no_argument, NULL, OPTION_RELIABLE },
	{ "history", required_argument, NULL, OPTION_HISTORY },
	{ "count", required_argument, NULL, 'n' },
	{ "duration", required_argument, NULL, 'd' },
	{ "buffer", required_argument, NULL, OPTION_BUFFER },
	{ "sync-every", required_argument, NULL, OPTION_SYNC_EVERY },
	{ "quiet", no_argument, NULL, 'q' },
	{ "info", no_argument, NULL, OPTION_INFO },
	{ "json", no_argument, NULL, OPTION_JSON },
	TOOL_COMMON_OPTIONS,
	{ 0 },
};

/* An option of the command's own; false after a complaint. */
static bool parse_option(struct record_command *c, int option)
{
	switch (option) {
	case OPTION_COMPRESS:
		return parse_level(optarg, &c->options.level);
	case OPTION_MAX_SIZE:
		return tool_parse_size("--max-size", optarg, 4096, INT64_MAX, &c->options.max_bytes);
	case OPTION_MAX_TIME:
		return tool_parse_seconds("--max-time", optarg, &c->options.max_ns);
	case OPTION_KEEP:
		return tool_parse_count("--keep", optarg, 1, UINT32_MAX, &c->options.keep);
	case OPTION_HISTORY:
		return tool_parse_count("--history", optarg, 0, UINT32_MAX, &c->history);
	case 'n':
		return tool_parse_count("--count", optarg, 1, UINT64_MAX, &c->count);
	case 'd':
		return tool_parse_seconds("--duration", optarg, &c->duration_ns);
	case OPTION_BUFFER:
		return tool_parse_size("--buffer", optarg, 2 * RECORDING_CHUNK_BYTES, 1ull << 40, &c->options.buffer_bytes);
	case OPTION_SYNC_EVERY:
		return tool_parse_seconds("--sync-every", optarg, &c->options.sync_ns);
	case 'f':
		c->options.replace = true;
		return true;
	case OPTION_RELIABLE:
		c->reliable = true;
		return true;
	case 'q':
		c->quiet = true;
		return true;
	case OPTION_INFO:
		c->info = true;
		return true;
	default:
		c->json = true;
		return true;
	}
}

int cmd_record(int argc, char **argv)
{
	struct record_command c = { .duration_ns = -1, .options.buffer_bytes = BUFFER_BYTES };
	int option, r;

	while ((option = getopt_long(argc, argv, "hfn:d:q", long_options, NULL)) != -1) {
		if (option == 'h' || option == '?' || option == TOOL_OPTION_SOCKET || option == TOOL_OPTION_VERSION) {
			if ((r = tool_common_option(option, optarg, help)) >= 0)
				return r;
		} else if (!parse_option(&c, option)) {
			return TOOL_USAGE;
		}
	}
	if ((r = settle(&c)) != TOOL_OK)
		return r;
	if (optind == argc)
		return tool_usage("no file was given");
	c.options.path = argv[optind++];
	if (c.info && optind < argc)
		return tool_usage("--info takes one file, but there is also '%s'", argv[optind]);
	if (c.info)
		return recording_info(c.options.path, c.json);
	c.patterns = argv + optind;
	c.n_patterns = argc - optind;
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	return record(&c);
}
