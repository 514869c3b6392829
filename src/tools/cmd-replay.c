/* SPDX-License-Identifier: MIT */
/*
 * cmd-replay.c - zcp replay: publish again what was recorded
 *
 * Each publisher of the recording gets one here, of the same topic, type and user header, so that the order of each one's messages stays.
 * A message is due at a point of CLOCK_MONOTONIC that follows from its timestamp and the beginning of the replay alone: one that is late makes no other
 * late. Waits are cut into slices, because a signal has to be noticed in between.
 */
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
#include "tools/progress.h"
#include "tools/recording-cursor.h"
#include "tools/text.h"
#include "tools/tool.h"

#define SLICE_NS 100000000
#define RETRY_NS 1000000
#define PATTERNS_MAX 64

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

/* Publisher of a stream of one file; the same one for the same publisher in another file. */
struct outlet {
	struct recording_stream stream;
	uint64_t largest;
	uint32_t header_size;
	zcp_publisher *publisher;
};

struct source {
	struct recording *recording;
	bool *wanted;			/* by stream */
	struct outlet **outlets;	/* by stream; NULL: not wanted */
};

struct replay {
	char *patterns[PATTERNS_MAX];
	struct wire_topic parsed[PATTERNS_MAX];
	int n_patterns;
	const char *prefix;
	double rate;			/* 0: as fast as possible */
	uint64_t rounds, wait;		/* rounds 0: no end */
	bool reliable, lossy, quiet;
	int64_t start_ns, end_ns;	/* end_ns -1: none */
	int64_t timeout_ns;		/* -1: none */

	zcp_node *node;
	struct source *sources;
	int n_sources;
	struct outlet **outlets;
	size_t n_outlets;
	struct progress progress;
	uint64_t n_messages, n_bytes, begin_ns;
	uint64_t zero_ns;		/* timestamp at which the recording begins */
	uint64_t from_ns, to_ns;	/* timestamps that are replayed */
	uint64_t round_ns;		/* when this round has begun */
	uint64_t latest_ns;		/* by how much a message was late at most */
};

/* ---- what is replayed ---- */

static bool is_wanted(const struct replay *p, const struct recording_stream *s)
{
	struct wire_topic topic;

	snprintf(topic.service, sizeof(topic.service), "%s", s->topic[0]);
	snprintf(topic.instance, sizeof(topic.instance), "%s", s->topic[1]);
	snprintf(topic.event, sizeof(topic.event), "%s", s->topic[2]);
	for (int i = 0; i < p->n_patterns; i++) {
		if (pattern_matches_topic(&p->parsed[i], &topic))
			return true;
	}
	return !p->n_patterns;
}

static struct outlet *find_outlet(const struct replay *p, const struct recording_stream *s)
{
	for (size_t i = 0; i < p->n_outlets; i++) {
		const struct recording_stream *o = &p->outlets[i]->stream;

		if (o->publisher == s->publisher && !memcmp(o->topic, s->topic, sizeof(s->topic)))
			return p->outlets[i];
	}
	return NULL;
}

/* The outlet of a stream, wide enough for it too. */
static struct outlet *add_outlet(struct replay *p, const struct recording_known *known)
{
	struct outlet *o = find_outlet(p, &known->description), **outlets;

	if (!o) {
		outlets = reallocarray(p->outlets, p->n_outlets + 1, sizeof(*outlets));
		if (!outlets)
			return NULL;
		p->outlets = outlets;
		o = calloc(1, sizeof(*o));
		if (!o)
			return NULL;
		o->stream = known->description;
		p->outlets[p->n_outlets++] = o;
	}
	if (known->total.largest > o->largest)
		o->largest = known->total.largest;
	if (known->total.header_size > o->header_size)
		o->header_size = known->total.header_size;
	return o;
}

static int select_streams(struct replay *p, struct source *source)
{
	struct recording *r = source->recording;
	uint32_t n = r->n_ids ? r->n_ids : 1;

	source->wanted = calloc(n, sizeof(*source->wanted));
	source->outlets = calloc(n, sizeof(struct outlet *));
	if (!source->wanted || !source->outlets)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->n_ids; i++) {
		const struct recording_known *known = r->streams[i];

		if (!known || !known->total.messages || !is_wanted(p, &known->description))
			continue;
		source->wanted[i] = true;
		source->outlets[i] = add_outlet(p, known);
		if (!source->outlets[i])
			return -ENOMEM;
	}
	return 0;
}

/* One that was not finished is replayed as far as it goes, and said to be so. */
static int open_source(struct replay *p, struct source *source, const char *path)
{
	char why[RECORDING_WHY];
	struct recording *r;

	if (recording_open(&source->recording, path, why) < 0) {
		tool_fail("%s", why);
		return -EBADMSG;
	}
	r = source->recording;
	if (memcmp(r->header.boot_id, p->sources[0].recording->header.boot_id, sizeof(r->header.boot_id))) {
		tool_fail("%s was recorded after another start of the machine than %s: their times do not go together, replay it by itself",
			  path, p->sources[0].recording->path);
		return -EINVAL;
	}
	if (!r->indexed)
		fprintf(stderr, "zcp: %s was not finished: replaying what is there\n", path);
	for (uint64_t i = 0; i < r->n_entries; i++) {
		if (r->entries[i].messages && r->entries[i].first_ns < p->zero_ns)
			p->zero_ns = r->entries[i].first_ns;
	}
	if (select_streams(p, source) < 0) {
		tool_fail("out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int open_sources(struct replay *p, char **paths, int n)
{
	p->sources = calloc((size_t)n, sizeof(*p->sources));
	p->zero_ns = UINT64_MAX;
	if (!p->sources) {
		tool_fail("out of memory");
		return -ENOMEM;
	}
	for (int i = 0; i < n; i++) {
		int r;

		p->n_sources++;
		r = open_source(p, &p->sources[i], paths[i]);
		if (r < 0)
			return r;
	}
	p->from_ns = p->zero_ns + (uint64_t)p->start_ns;
	p->to_ns = p->end_ns < 0 ? UINT64_MAX : p->zero_ns + (uint64_t)p->end_ns;
	return 0;
}

/* ---- publishers ---- */

static int open_publisher(struct replay *p, struct outlet *o)
{
	const struct recording_stream *s = &o->stream;
	char service[2 * NAME_MAX_BYTES + 2];
	struct zcp_topic topic = { service, s->topic[1], s->topic[2] };
	struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = o->largest ? o->largest : 1,	/* at least the type's size, below */
		.depth = s->known ? s->depth : 0,
		.history = s->known ? s->history : 0,
		.reliable = p->reliable || (s->reliable && !p->lossy),
		.timeout = SLICE_NS,
		.header_size = o->header_size,
	};
	int r;

	if (*s->type) {
		options.type.name = s->type;
		options.type.size = s->type_size;
		options.type.alignment = s->type_alignment;
		if (options.payload_max < s->type_size)
			options.payload_max = s->type_size;
	}
	snprintf(service, sizeof(service), "%.100s%s", p->prefix, s->topic[0]);
	r = zcp_publisher_open(&o->publisher, p->node, &topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

static int wait_for_subscribers(struct replay *p, struct outlet *o)
{
	uint64_t begin = clock_now_ns();
	int r;

	while ((r = zcp_publisher_wait(o->publisher, (int)p->wait, SLICE_NS)) == -ETIMEDOUT) {
		if (interrupt_signal())
			return -EINTR;
		if (p->timeout_ns >= 0 && clock_now_ns() - begin >= (uint64_t)p->timeout_ns) {
			tool_fail("%s/%s/%s has not got %" PRIu64 " subscribers in time", o->stream.topic[0], o->stream.topic[1], o->stream.topic[2],
				  p->wait);
			return r;
		}
	}
	if (r < 0)
		tool_fail_zcp(r);
	return r < 0 ? r : 0;
}

static int open_publishers(struct replay *p)
{
	int r = 0;

	for (size_t i = 0; i < p->n_outlets && !r; i++)
		r = open_publisher(p, p->outlets[i]);
	for (size_t i = 0; i < p->n_outlets && !r && p->wait; i++)
		r = wait_for_subscribers(p, p->outlets[i]);
	return r;
}

/* ---- messages ---- */

/* Lib said @error: 0 to try again, or what to end with, after the complaint but for -EINTR. */
static int wait_for_room(struct replay *p, int error, uint64_t since)
{
	if (interrupt_signal())
		return -EINTR;
	progress_update(&p->progress, p->n_messages, p->n_bytes);
	if ((error != -ETIMEDOUT && error != -EAGAIN && error != -ENOBUFS) ||
	    (p->timeout_ns >= 0 && clock_now_ns() - since >= (uint64_t)p->timeout_ns)) {
		progress_clear(&p->progress);
		tool_fail_zcp(error);
		return error;
	}
	/* only -ETIMEDOUT has already waited in the library */
	return error == -ETIMEDOUT ? 0 : interrupt_poll(-1, 0, RETRY_NS);
}

static int publish(struct replay *p, struct outlet *o, const struct recording_message *m)
{
	uint64_t since = clock_now_ns();
	uint8_t header[16] = { 0 };
	void *payload;
	int r;

	while ((r = zcp_publisher_loan(o->publisher, m->size, &payload)) < 0) {
		r = wait_for_room(p, r, since);
		if (r < 0)
			return r;
	}
	memcpy(payload, m->data, m->size);
	if (m->header_size)
		memcpy(header, m->header, m->header_size);
	for (;;) {
		if (o->header_size)
			r = zcp_publisher_publish_with(o->publisher, payload, m->size, header);
		else
			r = zcp_publisher_publish(o->publisher, payload, m->size);
		if (r >= 0)
			return 0;
		r = wait_for_room(p, r, since);
		if (r < 0)
			return r;
	}
}

/* Until the message with this timestamp is due. 0 or -EINTR. */
static int wait_until_due(struct replay *p, uint64_t timestamp_ns)
{
	double offset = p->rate > 0 ? (double)(timestamp_ns - p->from_ns) / p->rate : 0;
	uint64_t due, now = clock_now_ns();

	if (interrupt_signal())
		return -EINTR;
	if (p->rate <= 0)
		return 0;
	due = p->round_ns + (offset < 9e18 ? (uint64_t)offset : (uint64_t)9e18);
	while (now < due) {
		int r = interrupt_poll(-1, 0, due - now < SLICE_NS ? (int64_t)(due - now) : SLICE_NS);

		if (r < 0)
			return r;
		progress_update(&p->progress, p->n_messages, p->n_bytes);
		now = clock_now_ns();
	}
	if (now - due > p->latest_ns)
		p->latest_ns = now - due;
	return 0;
}

static int replay_source(struct replay *p, struct source *source)
{
	struct recording_item item;
	struct cursor *cursor = malloc(sizeof(*cursor));
	int r = cursor ? cursor_open(cursor, source->recording, p->from_ns, p->to_ns, source->wanted) : -ENOMEM;

	if (r < 0) {
		free(cursor);
		tool_fail("out of memory");
		return r;
	}
	while ((r = cursor_next(cursor, &item)) == 1) {
		struct outlet *o = source->outlets[item.stream];

		/* what the index does not admit has no room */
		if (item.message.size > o->largest || item.message.header_size > o->header_size) {
			source->recording->damaged++;
			continue;
		}
		r = wait_until_due(p, item.message.timestamp_ns);
		if (!r)
			r = publish(p, o, &item.message);
		if (r < 0)
			goto out;
		p->n_messages++;
		p->n_bytes += item.message.size;
		progress_update(&p->progress, p->n_messages, p->n_bytes);
	}
	if (r < 0)
		tool_fail("%s: %s", source->recording->path, strerror(-r));
out:
	cursor_close(cursor);
	free(cursor);
	return r;
}

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

	progress_finish(&p->progress, p->n_messages, p->n_bytes);
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

static void clean_up(struct replay *p)
{
	for (size_t i = 0; i < p->n_outlets; i++) {
		zcp_publisher_close(p->outlets[i]->publisher);
		free(p->outlets[i]);
	}
	free(p->outlets);
	for (int i = 0; i < p->n_sources; i++) {
		recording_close(p->sources[i].recording);
		free(p->sources[i].wanted);
		free(p->sources[i].outlets);
	}
	free(p->sources);
	zcp_node_close(p->node);
}

static int replay(struct replay *p, char **paths, int n)
{
	int status, r = open_sources(p, paths, n);

	/* the kernel may else be 50 us late with each */
	prctl(PR_SET_TIMERSLACK, 1);
	if (!r)
		r = tool_node_open(&p->node, "zcp replay", true);
	if (!r)
		r = open_publishers(p);
	if (!r) {
		progress_init(&p->progress, true);
		r = run(p);
	}
	status = conclude(p, r);
	clean_up(p);
	if (r == -EINTR && p->rounds)
		interrupt_die();	/* an end that was asked for was not reached */
	return status;
}

/* ---- options ---- */

/* "a", "a/b" or "a/b/c" with '*' and '?' in it. */
static bool parse_pattern(struct replay *p, char *text)
{
	struct wire_topic *t = &p->parsed[p->n_patterns];
	char *const parts[] = { t->service, t->instance, t->event };
	const char *at = text;

	if (p->n_patterns == PATTERNS_MAX) {
		tool_usage("--topic: more than %d", PATTERNS_MAX);
		return false;
	}
	for (int i = 0; i < 3 && *at; i++) {
		size_t n = strcspn(at, "/");

		if (n > NAME_MAX_BYTES) {
			tool_usage("--topic: a part of '%s' is longer than %d bytes", text, NAME_MAX_BYTES);
			return false;
		}
		memcpy(parts[i], at, n);
		at += n + (at[n] == '/' && i < 2);
	}
	if (*at) {
		tool_usage("--topic: '%s' has more than three parts", text);
		return false;
	}
	p->n_patterns++;
	return true;
}

static bool parse_speed(const char *text, double *rate)
{
	if (strspn(text, "0.") == strlen(text) && *text) {
		*rate = 0;
		return true;
	}
	return tool_parse_rate("--rate", text, rate);
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
