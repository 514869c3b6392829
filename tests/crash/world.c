/* SPDX-License-Identifier: MIT */
/* See world.h. */
#include "world.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "channel/retire.h"
#include "common/clock.h"
#include "lib/node.h"
#include "lib/publisher.h"
#include "operations.h"
#include "writer-check.h"

struct side sides[N_SIDES] = {
	{ .name = "lossy", .topic = { "crash", "lossy", "numbers" } },
	{ .name = "reliable", .topic = { "crash", "reliable", "numbers" }, .reliable = true },
	{ .name = "calls", .topic = { "crash", "calls", "numbers" } },
};
zcp_node *survivors;
struct progress *progress;

static pid_t self, router;

/* What there is when only the survivors are. */
static struct base {
	unsigned int router_fds, fds, maps;
	uint32_t nodes, endpoints, matches;
	uint64_t segments, bytes;
} base;

uint64_t deadline(void)
{
	return clock_now_ns() + 20 * (uint64_t)SECOND;
}

bool still_time(uint64_t end)
{
	if (survivors && getpid() == self) {
		struct pollfd p = { .fd = zcp_node_fd(survivors), .events = POLLIN };

		poll(&p, 1, 1);
		ok(zcp_node_dispatch(survivors));
	}
	return clock_now_ns() < end;
}

/* ---- endpoints --------------------------------------------------------------------------------------------------- */

zcp_node *join(const char *name)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path, .no_thread = true };
	zcp_node *node;

	ok(zcp_node_open(&node, name, &options));
	return node;
}

struct zcp_publisher_options publisher_options(bool reliable)
{
	return (struct zcp_publisher_options){ .sz = sizeof(struct zcp_publisher_options), .payload_max = 4096, .depth = 12,
					       .history = 0, .reliable = reliable, .timeout = 1000000, .max_held = 16,
					       .max_subscribers = 4 };
}

zcp_publisher *open_publisher(zcp_node *node, const struct side *side)
{
	struct zcp_publisher_options options = publisher_options(side->reliable);
	zcp_publisher *p;

	ok(zcp_publisher_open(&p, node, &side->topic, &options));
	return p;
}

zcp_subscriber *open_subscriber(zcp_node *node, const struct side *side, uint32_t history)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .history = history, .max_publishers = 4 };
	zcp_subscriber *s;

	ok(zcp_subscriber_open(&s, node, &side->topic, &options));
	return s;
}

/* ---- a side ------------------------------------------------------------------------------------------------------ */

static void note(struct side *side, const struct zcp_sample *sample)
{
	bool own = sample->publisher == zcp_publisher_id(side->publisher);
	struct stream *stream = own ? &side->own : &side->victim;
	uint64_t number = number_of(sample);

	if (!stream->id)
		stream->id = sample->publisher;
	if (stream->id != sample->publisher)
		fail("a message of publisher %llu, which is not there", (unsigned long long)sample->publisher);
	if (number != stream->next + sample->lost)
		fail("%s message %llu came where %llu was due, lost says %llu", own ? "survivor's" : "victim's", (unsigned long long)number,
		     (unsigned long long)stream->next, (unsigned long long)sample->lost);
	if (sample->lost && (own || side->reliable))
		fail("%s messages were lost: %llu", own ? "survivor's" : "victim's", (unsigned long long)sample->lost);
	stream->next = number + 1;
}

void side_take(struct side *side)
{
	struct zcp_sample sample;
	int r;

	while ((r = zcp_subscriber_take(side->subscriber, &sample)) == 0) {
		note(side, &sample);
		zcp_sample_release(&sample);
	}
	if (r != -EAGAIN)
		fail("take: %d: %s", r, zcp_last_error());
}

void side_send(struct side *side, size_t size)
{
	uint64_t message[BIG / 8], end = deadline();
	int r;

	fill(message, side->n_sent, size);
	/* a reliable publisher that waits for a subscriber that is dead goes on when the router has told it */
	while ((r = zcp_publisher_send(side->publisher, message, size)) == -ETIMEDOUT) {
		side_take(side);
		if (!still_time(end))
			fail("the survivors' publisher is blocked by somebody who is dead");
	}
	if (r < 0)
		fail("send: %d: %s", r, zcp_last_error());
	side->n_sent++;
}

static uint32_t publishers(const struct side *side)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };

	ok(zcp_subscriber_stats(side->subscriber, &stats));
	if (stats.malformed)
		fail("%llu malformed messages", (unsigned long long)stats.malformed);
	return stats.publishers;
}

static bool is_alone(struct side *side)
{
	side_take(side);
	return publishers(side) == 1 && ok(zcp_publisher_subscribers(side->publisher)) == 1;
}

void check_progress(uint64_t next)
{
	if (next < progress->completed || next > progress->begun)
		fail("the victim began %llu messages and completed %llu, but %llu came", (unsigned long long)progress->begun,
		     (unsigned long long)progress->completed, (unsigned long long)next);
}

void world_before(struct side *side)
{
	if (!side->publisher) {
		calls_before();
		return;
	}
	progress->begun = progress->completed = 0;
	side->victim = (struct stream){ 0 };
}

/* Whoever is left goes on: twice around the ring, in both kinds of memory. */
static void go_on(struct side *side)
{
	const char *why;

	for (int i = 0; i < 2 * RING + 3; i++) {
		side_send(side, i % 3 ? BIG : SMALL);
		if (i % 5 == 4)
			side_take(side);
	}
	side_take(side);
	if (side->own.next != side->n_sent)
		fail("the survivors sent %llu messages and received %llu", (unsigned long long)side->n_sent, (unsigned long long)side->own.next);
	why = channel_writer_check(&side->publisher->writer);
	if (why)
		fail("the survivors' publisher: %s", why);
	/* all is consumed, so that nothing but the last message may be kept for anybody */
	retire_consumed(&side->publisher->writer);
	why = channel_writer_check(&side->publisher->writer);
	if (why)
		fail("the survivors' publisher, all consumed: %s", why);
	if (side->publisher->writer.n_limbo)
		fail("%u chunks stay in limbo", side->publisher->writer.n_limbo);
	if (side->publisher->writer.n_expected)
		fail("the survivors' publisher still expects %u subscribers", side->publisher->writer.n_expected);
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

static unsigned int count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	if (!f)
		fail("/proc/self/maps: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:zcp") != NULL;
	fclose(f);
	return n;
}

static struct base measure(void)
{
	const struct directory_header *h = survivors->directory.header;
	char path[64];
	struct base b = { 0 };

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)router);
	b.router_fds = count_entries(path);
	b.fds = count_entries("/proc/self/fd");
	b.maps = count_maps();
	b.nodes = h->n_nodes;
	b.endpoints = h->n_endpoints;
	b.matches = h->n_matches;
	b.segments = h->n_segments;
	b.bytes = h->segment_bytes_total;
	return b;
}

static bool is_base(struct base *now)
{
	/* only the endpoint's own calls unmap what the node has marked as gone */
	bool alone = is_alone(&sides[0]) && is_alone(&sides[1]) && calls_are_alone() && events_are_alone();

	*now = measure();
	return alone && memcmp(now, &base, sizeof(base)) == 0;
}

static void expect_base(void)
{
	uint64_t end = deadline();
	struct base now;

	while (!is_base(&now))
		if (!still_time(end))
			fail("something is left (before, now): router's descriptors %u %u, own descriptors %u %u, mappings %u %u, nodes %u %u, "
			     "endpoints %u %u, matches %u %u, segments %llu %llu, bytes %llu %llu",
			     base.router_fds, now.router_fds, base.fds, now.fds, base.maps, now.maps, base.nodes, now.nodes, base.endpoints,
			     now.endpoints, base.matches, now.matches, (unsigned long long)base.segments, (unsigned long long)now.segments,
			     (unsigned long long)base.bytes, (unsigned long long)now.bytes);
}

void world_after(struct side *side)
{
	sent_keep();
	if (!side->publisher) {
		calls_after();
		expect_base();
		return;
	}
	expect(is_alone(side));
	/* what arrives of a victim's stream is its beginning, and all that it had completed */
	check_progress(side->victim.next);
	go_on(side);
	expect_base();
}

/* ---- the world --------------------------------------------------------------------------------------------------- */

static void kill_router(void)
{
	if (getpid() != self || router <= 0)
		return;
	kill(router, SIGKILL);
	waitpid(router, NULL, 0);
}

static void start_router(void)
{
	make_directory();
	atexit(kill_router);	/* before the directory is removed */
	router = fork();
	if (router == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		exec_router(NULL);
	}
	if (router < 0)
		fail("fork: %s", strerror(errno));
	expect(can_join());
}

void world_open(void)
{
	self = getpid();
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	start_router();
	survivors = join("survivors");
	for (int i = 0; i < 2; i++) {
		struct zcp_publisher_options options = publisher_options(sides[i].reliable);

		options.history = 4;
		sides[i].subscriber = open_subscriber(survivors, &sides[i], 0);
		ok(zcp_publisher_open(&sides[i].publisher, survivors, &sides[i].topic, &options));
		expect(is_alone(&sides[i]));
		go_on(&sides[i]);
		if (sides[i].publisher->writer.mask + 1 != RING)
			fail("the ring has %u slots", (unsigned int)sides[i].publisher->writer.mask + 1);
	}
	calls_open();
	events_open();
	sent_open();
	/* survivors, callers, and the router's own */
	expect(survivors->directory.header->n_nodes == 3);
	base = measure();
}

void world_close(void)
{
	int status;

	at_what = "end";
	calls_close();
	zcp_node_close(survivors);
	survivors = NULL;
	kill(router, SIGTERM);
	if (waitpid(router, &status, 0) != router || !WIFEXITED(status) || WEXITSTATUS(status))
		fail("the router ended with status 0x%x", status);
	router = 0;
	remove_directory();
}
