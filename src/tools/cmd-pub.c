/* SPDX-License-Identifier: MIT */
/*
 * cmd-pub.c - zcp pub: publish a byte stream, lines, or one text
 *
 * A byte stream is read(2) straight into the loaned message, so the only copy is the kernel's. It is reliable
 * unless told otherwise: a stream with holes is of no use to anybody. For the same reason a stream that is cut
 * short (Ctrl-C, a read error) ends without closing the node: subscribers then see a publisher that died, and
 * `zcp sub --raw` fails instead of passing off half a file as a whole one. Lines and texts are messages of
 * their own, and end by an ordinary close.
 *
 * The library waits for room in slices of SLICE_NS, because a signal has to be noticed in between.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "lib/node.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/tool.h"

#define PAYLOAD_MAX (1ull << 31)
#define STREAM_CHUNK (1u << 20)
#define LINE_MAX_BYTES (64u << 10)
#define LINE_DEPTH 256
#define SLICE_NS 100000000
#define STREAM_PAUSE_NS 50000000
#define RETRY_NS 1000000
#define ROUTER_GRACE_NS 5000000000

static const char help[] =
	"Usage: zcp pub [OPTION...] TOPIC [FILE...]\n"
	"       zcp pub [OPTION...] --data TEXT TOPIC\n"
	"\n"
	"Publish standard input or files as a byte stream in large messages, line by line, or one\n"
	"text. TOPIC is SERVICE/INSTANCE/EVENT. From a terminal, lines are the default.\n"
	"\n"
	"      --lines          one message a line, without the newline\n"
	"      --data TEXT      the message is TEXT; repeated with --count or --rate\n"
	"      --chunk SIZE     bytes a message of a stream (default 1M), the longest line (64K);\n"
	"                       suffixes K, M, G\n"
	"  -n, --count N        stop after N messages\n"
	"  -r, --rate HZ        messages per second\n"
	"      --reliable       wait for subscribers instead of overrunning them (byte streams: always)\n"
	"      --lossy          don't, not even with a byte stream\n"
	"      --depth N        messages a subscriber may lag behind\n"
	"      --history N      messages kept for subscribers that come later\n"
	"  -w, --wait N         first wait until N subscribers are connected (default 1; 0: don't)\n"
	"  -t, --timeout S      give up after S seconds without a subscriber, or without room\n"
	"      --type NAME      name of the payload's type, compared when endpoints meet\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp pub --data hello demo/chat/text\n"
	"  zcp pub backup/host/tar < archive.tar       (zcp sub --raw backup/host/tar > copy.tar)\n"
	"  journalctl -f | zcp pub --lines host/journal/line\n";

enum mode { MODE_DEFAULT, MODE_LINES, MODE_STREAM, MODE_TEXT };

struct pub {
	/* what was asked for */
	struct tool_topic topic;
	enum mode mode;
	const char *text, *type;
	uint64_t chunk, count, depth, history, wait;
	double rate;
	bool reliable, lossy;
	int64_t timeout_ns;	/* -1: none */
	bool exact_chunks;	/* --chunk was given: a pause of the input does not end a message */

	/* what goes on */
	struct input input;
	zcp_node *node;
	zcp_publisher *publisher;
	struct progress progress;
	uint64_t n_messages, n_bytes;
	uint64_t due_ns;	/* --rate: when the next message goes out */
	uint64_t room_since_ns;	/* waiting for room since then; 0: not waiting */
};

/* ---- publishing, with its waits ---- */

/*
 * Lib said @error to a loan or a publish: 0 to try again, or the error to end with (-EINTR, -ETIMEDOUT after
 * the complaint).
 */
static int wait_for_room(struct pub *p, int error)
{
	uint64_t now = clock_now_ns();

	if (interrupt_signal())
		return -EINTR;
	progress_update(&p->progress, p->n_messages, p->n_bytes);
	if (error != -ETIMEDOUT && error != -EAGAIN && error != -ENOBUFS) {
		progress_clear(&p->progress);
		tool_fail_zcp(error);
		return error;
	}
	if (!p->room_since_ns)
		p->room_since_ns = now;
	if (p->timeout_ns >= 0 && now - p->room_since_ns >= (uint64_t)p->timeout_ns) {
		progress_clear(&p->progress);
		tool_fail_zcp(error);
		return error;
	}
	/* Without a router nobody tells that the subscriber we wait for is dead. */
	if (now - p->room_since_ns >= ROUTER_GRACE_NS && !node_is_joined(p->node)) {
		progress_clear(&p->progress);
		tool_fail("the router has gone, and a subscriber makes no room");
		return -ENOTCONN;
	}
	/* Only -ETIMEDOUT has already waited in the library. */
	return error == -ETIMEDOUT ? 0 : interrupt_poll(-1, 0, RETRY_NS);
}

static int loan(struct pub *p, size_t size, void **payload)
{
	for (;;) {
		int r = zcp_publisher_loan(p->publisher, size, payload);

		if (r >= 0) {
			p->room_since_ns = 0;
			return 0;
		}
		r = wait_for_room(p, r);
		if (r < 0)
			return r;
	}
}

/* Wait until --rate allows the next message. 0 or -EINTR. */
static int pace(struct pub *p)
{
	uint64_t now, interval;

	if (p->rate <= 0)
		return 0;
	interval = (uint64_t)(1e9 / p->rate);
	now = clock_now_ns();
	if (!p->due_ns || now > p->due_ns + interval + 1000000000u)
		p->due_ns = now;	/* the first one, or hopelessly late: don't catch up in a burst */
	while (now < p->due_ns) {
		if (interrupt_poll(-1, 0, (int64_t)(p->due_ns - now)) < 0)
			return -EINTR;
		now = clock_now_ns();
	}
	p->due_ns += interval;
	return 0;
}

/* A byte stream that nobody receives any more is over, as a pipe without a reader is. */
static int check_receivers(struct pub *p, int receivers)
{
	if (receivers || p->mode != MODE_STREAM || p->lossy || !p->wait)
		return 0;
	progress_clear(&p->progress);
	tool_fail("the last subscriber has left after %" PRIu64 " messages, before the end of the data",
		  p->n_messages - 1);
	return -EPIPE;
}

static int publish(struct pub *p, void *payload, size_t size)
{
	int r = pace(p);

	while (!r) {
		r = zcp_publisher_publish(p->publisher, payload, size);
		if (r >= 0) {
			p->room_since_ns = 0;
			p->n_messages++;
			p->n_bytes += size;
			progress_update(&p->progress, p->n_messages, p->n_bytes);
			return check_receivers(p, r);
		}
		r = wait_for_room(p, r);
	}
	zcp_publisher_discard(p->publisher, payload);
	return r;
}

static int send_copy(struct pub *p, const void *data, size_t size)
{
	void *payload;
	int r = loan(p, size, &payload);

	if (r < 0)
		return r;
	memcpy(payload, data, size);
	return publish(p, payload, size);
}

static bool finished(const struct pub *p)
{
	return p->count && p->n_messages >= p->count;
}

/* ---- the three kinds of input ---- */

/* Fill @payload. 1 there may be more, 0 the input is at its end, or a negative errno value. */
static int fill(struct pub *p, char *payload, size_t size, size_t *used)
{
	*used = 0;
	while (*used < size) {
		int64_t pause = *used && !p->exact_chunks ? STREAM_PAUSE_NS : -1;
		ssize_t n = input_read(&p->input, payload + *used, size - *used, pause);

		if (n == -EAGAIN)
			return 1;
		if (n < 0)
			return (int)n;
		if (n == 0) {
			int r = input_next(&p->input);

			if (r <= 0)
				return r;
		}
		*used += (size_t)n;
	}
	return 1;
}

static int run_stream(struct pub *p)
{
	int more = 1;

	while (more && !finished(p)) {
		void *payload;
		size_t used;
		int r = loan(p, p->chunk, &payload);

		if (r < 0)
			return r;
		more = fill(p, payload, p->chunk, &used);
		if (more < 0 || !used) {
			zcp_publisher_discard(p->publisher, payload);
			if (more < 0)
				return more;
			continue;
		}
		r = publish(p, payload, used);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The lines of one buffer full: what is left is an incomplete line. */
static int send_lines(struct pub *p, const char *buffer, size_t size, size_t *consumed)
{
	const char *newline;

	*consumed = 0;
	while (!finished(p) && (newline = memchr(buffer + *consumed, '\n', size - *consumed))) {
		size_t length = (size_t)(newline - buffer) - *consumed;
		int r = send_copy(p, buffer + *consumed, length);

		if (r < 0)
			return r;
		*consumed += length + 1;
	}
	return 0;
}

static int run_lines(struct pub *p)
{
	size_t size = p->chunk + 1, used = 0, consumed;
	_cleanup_free_ char *buffer = malloc(size);

	if (!buffer) {
		tool_fail("%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	while (!finished(p)) {
		ssize_t n = input_read(&p->input, buffer + used, size - used, -1);
		int r;

		if (n < 0)
			return (int)n;
		used += (size_t)n;
		if (n == 0 && used) {	/* the last line of a file needs no newline */
			r = send_copy(p, buffer, used);
			used = 0;
		} else {
			r = send_lines(p, buffer, used, &consumed);
			memmove(buffer, buffer + consumed, used -= consumed);
		}
		if (!r && used == size) {
			tool_fail("%s: line %" PRIu64 " is longer than %" PRIu64 " bytes (--chunk allows more)",
				  p->input.name, p->n_messages + 1, p->chunk);
			r = -EMSGSIZE;
		}
		if (!r && n == 0) {
			r = input_next(&p->input);
			if (!r)
				break;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int run_text(struct pub *p)
{
	size_t size = strlen(p->text);

	do {
		int r = send_copy(p, p->text, size);

		if (r < 0)
			return r;
	} while (!finished(p));
	return 0;
}

/* ---- the command ---- */

static int wait_for_subscribers(struct pub *p)
{
	uint64_t start = clock_now_ns();
	bool said = false;
	int r;

	if (!p->wait)
		return 0;
	while ((r = zcp_publisher_wait(p->publisher, (int)p->wait, SLICE_NS)) == -ETIMEDOUT) {
		if (interrupt_signal())
			return -EINTR;
		if (p->timeout_ns >= 0 && clock_now_ns() - start >= (uint64_t)p->timeout_ns) {
			tool_fail("%d of %" PRIu64 " subscriber%s came within the timeout",
				  zcp_publisher_subscribers(p->publisher), p->wait, p->wait == 1 ? "" : "s");
			return -ETIMEDOUT;
		}
		if (!said && isatty(STDERR_FILENO)) {
			fprintf(stderr, "zcp: waiting for %" PRIu64 " subscriber%s of %s/%s/%s\n", p->wait,
				p->wait == 1 ? "" : "s", p->topic.parts[0], p->topic.parts[1],
				p->topic.parts[2]);
			said = true;
		}
	}
	if (r < 0)
		tool_fail_zcp(r);
	return r < 0 ? r : 0;
}

static int open_publisher(struct pub *p)
{
	struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = p->chunk,
		.depth = (uint32_t)p->depth,
		.history = (uint32_t)p->history,
		.reliable = p->reliable,
		.timeout = SLICE_NS,
		.max_loans = 1,
		.type = { .name = p->type },
	};
	int r = tool_node_open(&p->node, "zcp pub", true);

	if (r < 0)
		return r;
	r = zcp_publisher_open(&p->publisher, p->node, &p->topic.topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

static int run(struct pub *p)
{
	int r = wait_for_subscribers(p);

	if (r < 0)
		return r;
	progress_init(&p->progress, !input_is_terminal(&p->input));
	if (p->mode == MODE_TEXT)
		return run_text(p);
	return p->mode == MODE_LINES ? run_lines(p) : run_stream(p);
}

/* Whether Ctrl-C is the ordinary way to end what was asked for. */
static bool is_endless(const struct pub *p)
{
	if (p->count || !p->n_messages)
		return false;
	return p->mode == MODE_TEXT || input_is_terminal(&p->input);
}

static int pub(struct pub *p)
{
	bool endless;
	int r = open_publisher(p);

	if (r == 0)
		r = run(p);
	endless = is_endless(p);
	progress_finish(&p->progress, p->n_messages, p->n_bytes);
	if (r < 0 && p->mode == MODE_STREAM && p->publisher && !endless) {
		/* Cut short, or never begun while somebody was already waiting: see the top of the file. */
		if (r == -EINTR)
			interrupt_die();
		_exit(TOOL_FAILURE);
	}
	zcp_publisher_close(p->publisher);
	zcp_node_close(p->node);
	if (r == -EINTR && !endless)
		interrupt_die();
	return r == 0 || r == -EINTR ? TOOL_OK : TOOL_FAILURE;
}

/* Settle what depends on several options. */
static int settle(struct pub *p, int n_files)
{
	if (p->text && p->mode == MODE_LINES)
		return tool_usage("--data and --lines exclude each other");
	if (p->text && n_files)
		return tool_usage("--data and files exclude each other");
	if (p->text && p->chunk)
		return tool_usage("--data and --chunk exclude each other");
	if (p->reliable && p->lossy)
		return tool_usage("--reliable and --lossy exclude each other");
	if (p->text) {
		p->mode = MODE_TEXT;
		p->chunk = strlen(p->text) ? strlen(p->text) : 1;
		if (!p->count && p->rate <= 0)
			p->count = 1;
	}
	return TOOL_OK;
}

/* What depends on the input. */
static void settle_input(struct pub *p)
{
	if (p->mode == MODE_DEFAULT)
		p->mode = !p->chunk && input_is_terminal(&p->input) ? MODE_LINES : MODE_STREAM;
	p->exact_chunks = p->chunk;
	if (!p->chunk)
		p->chunk = p->mode == MODE_LINES ? LINE_MAX_BYTES : STREAM_CHUNK;
	if (!p->depth && p->mode == MODE_LINES)
		p->depth = LINE_DEPTH;
	if (p->depth && p->depth < p->history)
		p->depth = p->history;
	if (p->mode == MODE_STREAM && !p->lossy)
		p->reliable = true;
}

int cmd_pub(int argc, char **argv)
{
	enum {
		OPTION_LINES = TOOL_OPTION_FIRST, OPTION_DATA, OPTION_CHUNK, OPTION_RELIABLE, OPTION_LOSSY,
		OPTION_DEPTH, OPTION_HISTORY, OPTION_TYPE,
	};
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "lines", no_argument, NULL, OPTION_LINES },
		{ "data", required_argument, NULL, OPTION_DATA },
		{ "chunk", required_argument, NULL, OPTION_CHUNK },
		{ "count", required_argument, NULL, 'n' },
		{ "rate", required_argument, NULL, 'r' },
		{ "reliable", no_argument, NULL, OPTION_RELIABLE },
		{ "lossy", no_argument, NULL, OPTION_LOSSY },
		{ "depth", required_argument, NULL, OPTION_DEPTH },
		{ "history", required_argument, NULL, OPTION_HISTORY },
		{ "wait", required_argument, NULL, 'w' },
		{ "timeout", required_argument, NULL, 't' },
		{ "type", required_argument, NULL, OPTION_TYPE },
		{ 0 },
	};
	struct pub p = { .wait = 1, .timeout_ns = -1, .input = { .fd = -1 } };
	bool ok = true;
	int c, r;

	while (ok && (c = getopt_long(argc, argv, "hn:r:w:t:", options, NULL)) != -1) {
		switch (c) {
		case OPTION_LINES:
			p.mode = MODE_LINES;
			break;
		case OPTION_DATA:
			p.text = optarg;
			break;
		case OPTION_CHUNK:
			ok = tool_parse_size("--chunk", optarg, 1, PAYLOAD_MAX, &p.chunk);
			break;
		case 'n':
			ok = tool_parse_count("--count", optarg, 1, UINT64_MAX, &p.count);
			break;
		case 'r':
			ok = tool_parse_rate("--rate", optarg, &p.rate);
			break;
		case OPTION_RELIABLE:
			p.reliable = true;
			break;
		case OPTION_LOSSY:
			p.lossy = true;
			break;
		case OPTION_DEPTH:
			ok = tool_parse_count("--depth", optarg, 1, 1 << 20, &p.depth);
			break;
		case OPTION_HISTORY:
			ok = tool_parse_count("--history", optarg, 0, 1 << 20, &p.history);
			break;
		case 'w':
			ok = tool_parse_count("--wait", optarg, 0, 4096, &p.wait);
			break;
		case 't':
			ok = tool_parse_seconds("--timeout", optarg, &p.timeout_ns);
			break;
		case OPTION_TYPE:
			p.type = optarg;
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
	if (!tool_parse_topic(argv[optind++], &p.topic))
		return TOOL_USAGE;
	if (p.type && name_check(p.type, strlen(p.type)) != NAME_OK)
		return tool_usage("--type: the name %s", name_fault_text(name_check(p.type, strlen(p.type))));
	if ((r = settle(&p, argc - optind)) != TOOL_OK)
		return r;
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	if (!p.text && input_open(&p.input, argv + optind, argc - optind) < 0)
		return TOOL_FAILURE;
	settle_input(&p);
	r = pub(&p);
	input_close(&p.input);
	return r;
}
