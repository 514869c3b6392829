/* SPDX-License-Identifier: MIT */
/*
 * zcp top among others: wrong options, other users' traffic, neighbours who lie in their segments, routers that come and go, crowds.
 */
#include "top-helper.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/layout.h"
#include "lib/publisher.h"
#include "lib/subscriber.h"

#define EVENT (lib_topic.event)

static zcp_node *node;

static void start(void)
{
	lib_router_start();
	node = lib_node("traffic");
}

static void stop(void)
{
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}

static json_t *topic_of(const json_t *table)
{
	json_t *topic = find_topic(table, EVENT, "data");

	ck_assert_msg(topic != NULL, "the topic is not there");
	return topic;
}

static json_t *of_publisher(const json_t *table, const zcp_publisher *publisher)
{
	return endpoint_by_id(topic_of(table), zcp_publisher_id(publisher));
}

static void expect_empty(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;

	ck_assert_int_eq(zcp_subscriber_take(subscriber, &sample), -EAGAIN);
}

START_TEST(command_line)
{
	static const struct {
		const char *arguments[6];
		int status;
		const char *part;
	} cases[] = {
		{ { "--once", "--interval", "0.05" }, 0, "service/instance/event" },
		{ { "--once", "--interval", "0.05", "--filter", "ance/ev" }, 0, "service/instance/event" },
		{ { "--once", "--interval", "0.05", "--filter", "s*/eve?t" }, 0, "service/instance/event" },
		{ { "--count", "2", "--interval", "0.05", "--sort", "topic" }, 0, "service/instance/event" },
		{ { "--once", "--interval", "0.001" }, 2, "from 0.05" },
		{ { "--once", "--sort", "size" }, 2, "no column 'size'" },
		{ { "--once", "--count", "2" }, 2, "one table" },
		{ { "--count", "0" }, 2, "from 1" },
		{ { "camera" }, 2, "takes no argument" },
		{ { "--fast" }, 2, "--fast" },
		{ { NULL }, 1, "--once" },
	};
	struct running running;

	start();
	lib_publisher(node, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status;

		top_start(&running, 0, cases[i].arguments);
		status = top_finish(&running);
		ck_assert_msg(status == cases[i].status && strstr(running.text, cases[i].part), "case %zu: status %d: %s", i, status, running.text);
		top_free(&running);
	}
	top_start(&running, 0, (const char *[]){ "--once", "--interval", "0.05", "--filter", "event*", NULL });
	ck_assert_int_eq(top_finish(&running), 0);
	ck_assert_ptr_null(strstr(running.text, "service/"));
	top_free(&running);
	stop();
	/* without a router */
	top_start(&running, 0, (const char *[]){ "--once", NULL });
	ck_assert_int_eq(top_finish(&running), 1);
	ck_assert_ptr_nonnull(strstr(running.text, "router"));
	top_free(&running);
}
END_TEST

/* ---- who may look ------------------------------------------------------------------------------------------------ */

START_TEST(of_another_user)
{
	static const char *const arguments[] = { "--socket-mode", "0666", NULL };
	struct running running;
	json_t *table, *topic, *e;
	struct stat st;

	if (geteuid() != 0)
		skip_test("only root can run zcp top as somebody else");
	/* a directory on the way may be closed to others */
	if (stat(getenv("ZCP_BIN"), &st) < 0 || system("setpriv --reuid 65534 --clear-groups test -x \"$ZCP_BIN\"") != 0)
		skip_test("uid 65534 cannot reach $ZCP_BIN, or there is no setpriv");
	lib_router_arguments = arguments;
	lib_router_prepare();
	ck_assert_ok(chmod(lib_directory(), 0755));
	lib_router_again();
	node = lib_node("traffic");
	ok(lib_send(lib_publisher(node, NULL), 1, 16));
	lib_subscriber(node, NULL);
	top_start(&running, 65534, (const char *[]){ "--json", "--interval", "0.05", NULL });
	ck_assert_msg(top_finish(&running) == 0, "%s", running.text);
	table = json_loads(running.text, 0, NULL);
	ck_assert_msg(table != NULL, "%s", running.text);
	topic = topic_of(table);
	ck_assert_str_eq(text(topic, "state"), "private");
	ck_assert(!truth(topic, "attention"));
	ck_assert_uint_eq(number(topic, "publishers"), 1);
	ck_assert_uint_eq(number(topic, "published"), 0);
	e = endpoint_of(topic, "publisher", 0);
	ck_assert(!truth(e, "visible"));
	ck_assert_ptr_null(json_object_get(e, "published"));
	ck_assert(!truth(endpoint_of(topic, "subscriber", 0), "visible"));
	json_decref(table);
	top_free(&running);
	/* and root may look at what is another user's: here its own */
	table = top_json("0.05");
	ck_assert(truth(endpoint_of(topic_of(table), "publisher", 0), "visible"));
	ck_assert_uint_eq(number(topic_of(table), "published"), 1);
	json_decref(table);
	stop();
}
END_TEST

/* ---- neighbours who lie ------------------------------------------------------------------------------------------ */

static uint64_t random_word(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % 4 ? x : x % 8 ? UINT64_MAX - x % 64 : x % 64;
}

/* Words that differ at each moment. */
static void scribble(volatile uint64_t *words, size_t bytes, uint64_t end_ns, struct running *running)
{
	size_t n = bytes / 8;

	while (top_read(running)) {
		for (size_t i = 0; i < n; i++)
			words[i] = random_word();
		ck_assert_msg((uint64_t)now_ns() < end_ns, "zcp top hangs");
	}
}

enum lie { LIE_GEOMETRY, LIE_HEAD, LIE_HEAD_AND_TAIL, LIE_COUNTS, LIE_SLOTS, LIE_ATTACHED, LIE_HEADER_ALWAYS, LIE_RING_ALWAYS, LIE_CURSOR,
	   LIE_LANE_ALWAYS, N_LIES };

static void lie_once(enum lie lie, struct channel_header *h, struct channel_lane *lane)
{
	struct channel_slot *slots = (void *)((char *)h + h->geometry.ring_offset);

	switch (lie) {
	case LIE_GEOMETRY:
		h->geometry.ring_slots *= 2;
		break;
	case LIE_HEAD:
		atomic_store(&h->head, UINT64_MAX);
		break;
	case LIE_HEAD_AND_TAIL:
		atomic_store(&h->head, 5);
		atomic_store(&h->tail, UINT64_MAX / 2);
		break;
	case LIE_COUNTS:
		memset((void *)&h->counts, 0xff, sizeof(h->counts));
		break;
	case LIE_SLOTS:
		for (uint32_t i = 0; i < h->geometry.ring_slots; i++) {
			uint32_t at = (1000 + i) % h->geometry.ring_slots;
			struct channel_slot *slot = (void *)((char *)slots + at * h->geometry.slot_bytes);

			atomic_store(&slot->seq, 1000 + i + 1);
			atomic_store(&slot->descriptor, random_word());
		}
		atomic_store(&h->tail, 1000);
		atomic_store(&h->head, 1000 + h->geometry.ring_slots);
		break;
	case LIE_ATTACHED:
		memset((void *)h->attached, 0xff, h->geometry.max_lanes * sizeof(h->attached[0]));
		atomic_store(&h->tail, 20);
		break;
	case LIE_CURSOR:
		atomic_store(&lane->cursor, UINT64_MAX - 1);
		atomic_store(&lane->pin[0], UINT64_MAX);
		break;
	default:
		break;
	}
}

START_TEST(hostile)
{
	const struct zcp_publisher_options options = { .payload_max = 1000, .depth = 24 };
	zcp_publisher *publisher;
	zcp_subscriber *subscriber;
	struct channel_header *h;
	struct channel_lane *lane;
	struct running running;
	json_t *table, *honest;
	zcp_publisher *other;
	uint64_t end_ns;

	start();
	publisher = lib_publisher(node, &options);
	subscriber = lib_subscriber(node, NULL);
	ok(zcp_publisher_open(&other, node, &(struct zcp_topic){ "an", "honest", "one" }, NULL));
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	for (uint64_t i = 0; i < 10; i++)
		ok(lib_send(publisher, i, 1000));
	ok(lib_send(other, 1, 16));
	h = publisher->writer.header;
	lane = (void *)((char *)subscriber->endpoint.segment + LANE_PAGE_FIRST);
	lie_once((enum lie)_i, h, lane);
	end_ns = (uint64_t)now_ns() + DEADLINE_MS * 1000000ull;
	top_start(&running, 0, (const char *[]){ "--json", "--interval", "0.1", NULL });
	if (_i == LIE_HEADER_ALWAYS)
		scribble((void *)h, h->geometry.ring_offset, end_ns, &running);
	else if (_i == LIE_RING_ALWAYS)
		scribble((void *)((char *)h + h->geometry.ring_offset), (uint64_t)h->geometry.ring_slots * h->geometry.slot_bytes, end_ns, &running);
	else if (_i == LIE_LANE_ALWAYS)
		scribble((void *)lane, lane_stride(subscriber->max_held), end_ns, &running);
	ck_assert_msg(top_finish(&running) == 0, "%s", running.text);
	table = json_loads(running.text, 0, NULL);
	ck_assert_msg(table != NULL, "%s", running.text);
	/* who is honest is shown as he is */
	honest = find_topic(table, "one", "data");
	ck_assert_ptr_nonnull(honest);
	ck_assert_uint_eq(number(honest, "published"), 1);
	if (_i == LIE_GEOMETRY || _i == LIE_HEADER_ALWAYS) {
		ck_assert_str_eq(text(topic_of(table), "state"), "broken");
		ck_assert(!truth(of_publisher(table, publisher), "visible"));
	}
	/* no more waits than there is room for, whatever the head says */
	if (_i == LIE_HEAD || _i == LIE_HEAD_AND_TAIL)
		ck_assert_uint_le(number(connection_of(topic_of(table), 0), "waiting"), h->geometry.ring_slots);
	json_decref(table);
	top_free(&running);
	/* no clean end: our own bookkeeping is in what was scribbled over */
	lib_router_stop(SIGTERM);
	_exit(0);
}
END_TEST

/* It changes its mind after it was looked at for the first time. */
START_TEST(hostile_later)
{
	zcp_publisher *publisher;
	struct running running;
	uint64_t end_ns = (uint64_t)now_ns() + DEADLINE_MS * 1000000ull;
	size_t bytes;

	start();
	publisher = lib_publisher(node, &(struct zcp_publisher_options){ .payload_max = 1000, .depth = 24 });
	lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	bytes = publisher->writer.header->geometry.ring_offset;
	top_start(&running, 0, (const char *[]){ "--json", "--interval", "0.05", "--count", "20", NULL });
	ck_assert_within(!top_read(&running) || running.used, DEADLINE_MS);
	scribble((void *)publisher->writer.header, bytes, end_ns, &running);
	ck_assert_msg(top_finish(&running) == 0, "%s", running.text);
	ck_assert_ptr_nonnull(strstr(running.text, "\"visible\":true"));
	top_free(&running);
	lib_router_stop(SIGTERM);
	_exit(0);
}
END_TEST

/* ---- routers and crowds ------------------------------------------------------------------------------------------ */

/* The last line that is whole. */
static json_t *last_table(const struct running *running)
{
	const char *end = memrchr(running->text, '\n', running->used), *begin;

	if (!end)
		return NULL;
	begin = memrchr(running->text, '\n', (size_t)(end - running->text));
	begin = begin ? begin + 1 : running->text;
	return json_loadb(begin, (size_t)(end - begin), 0, NULL);
}

static bool last_says(struct running *running, bool reachable, uint64_t published, uint64_t received)
{
	json_t *table, *topic;
	bool says = false;

	ck_assert(top_read(running));
	table = last_table(running);
	topic = table ? find_topic(table, EVENT, "data") : NULL;
	if (topic)
		says = truth(member(table, "router"), "reachable") == reachable && number(topic, "published") == published &&
		       number(topic, "received") == received;
	json_decref(table);
	return says;
}

START_TEST(router_restarts)
{
	zcp_subscriber *subscriber;
	zcp_publisher *publisher;
	struct running running;

	start();
	publisher = lib_publisher(node, NULL);
	subscriber = lib_subscriber(node, NULL);
	ok(zcp_publisher_wait(publisher, 1, DEADLINE_MS * 1000000ll));
	top_start(&running, 0, (const char *[]){ "--json", "--interval", "0.05", "--count", "100000", NULL });
	for (uint64_t i = 0; i < 3; i++) {
		ok(lib_send(publisher, i, 16));
		lib_receive(subscriber);
		expect_empty(subscriber);
	}
	ck_assert_within(last_says(&running, true, 3, 3), DEADLINE_MS);
	lib_router_kill(SIGKILL);
	/* nobody is asked for what moves */
	ok(lib_send(publisher, 3, 16));
	lib_receive(subscriber);
	expect_empty(subscriber);
	ck_assert_within(last_says(&running, false, 4, 4), DEADLINE_MS);
	lib_router_again();
	ok(lib_send(publisher, 4, 16));
	lib_receive(subscriber);
	expect_empty(subscriber);
	ck_assert_within(last_says(&running, true, 5, 5), DEADLINE_MS);
	ck_assert_ok(kill(running.pid, SIGTERM));
	ck_assert_int_eq(top_finish(&running), 0);
	top_free(&running);
	stop();
}
END_TEST

static int process_segments(pid_t pid)
{
	char path[64], line[512];
	int n = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:zcp:") != NULL;
	fclose(maps);
	return n;
}

/* Endpoints that come and go, with all of it mapped, and no descriptor kept. */
START_TEST(crowd)
{
	enum { N = 150 };
	zcp_publisher *publisher[N];
	zcp_subscriber *subscriber[N];
	char name[N][16];
	struct running running;
	json_t *table = NULL;
	int fds;

	start();
	for (int i = 0; i < N; i++) {
		snprintf(name[i], sizeof(name[i]), "t%d", i);
		ok(zcp_publisher_open(&publisher[i], node, &(struct zcp_topic){ "crowd", "i", name[i] }, NULL));
		ok(zcp_subscriber_open(&subscriber[i], node, &(struct zcp_topic){ "crowd", "i", name[i] }, NULL));
		ok(zcp_publisher_wait(publisher[i], 1, DEADLINE_MS * 1000000ll));
		ok(lib_send(publisher[i], 1, 16));
		lib_receive(subscriber[i]);
		expect_empty(subscriber[i]);
	}
	top_start(&running, 0, (const char *[]){ "--json", "--interval", "0.1", "--count", "100000", NULL });
	ck_assert_within(top_read(&running) && (table = last_table(&running)) != NULL, DEADLINE_MS);
	ck_assert_uint_eq(json_array_size(member(table, "topics")), N);
	for (int i = 0; i < N; i++) {
		json_t *topic = find_topic(table, name[i], "data");

		ck_assert_ptr_nonnull(topic);
		ck_assert_uint_eq(number(topic, "published"), 1);
		ck_assert_uint_eq(number(topic, "received"), 1);
	}
	json_decref(table);
	fds = process_fds(running.pid);
	ck_assert_int_lt(fds, 30);
	ck_assert_int_ge(process_segments(running.pid), 2 * N);
	for (int i = 0; i < N; i++) {
		zcp_subscriber_close(subscriber[i]);
		zcp_publisher_close(publisher[i]);
	}
	ck_assert_within(({ ck_assert(top_read(&running)); table = last_table(&running);
			    bool none = table && !json_array_size(member(table, "topics")); json_decref(table); none; }), DEADLINE_MS);
	ck_assert_within((ck_assert(top_read(&running)), process_segments(running.pid) < 10), DEADLINE_MS);
	ck_assert_ok(kill(running.pid, SIGINT));
	ck_assert_int_eq(top_finish(&running), 0);
	top_free(&running);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zcp-top-others");
	TCase *others = add_test_case(suite, "others", 60), *lies = tcase_create("lies");

	tcase_add_test(others, command_line);
	tcase_add_test(others, of_another_user);
	tcase_add_test(others, router_restarts);
	tcase_add_test(others, crowd);
	/* without the check for descriptors: these end without a clean close */
	tcase_set_timeout(lies, 60);
	tcase_add_loop_test(lies, hostile, 0, N_LIES);
	tcase_add_test(lies, hostile_later);
	suite_add_tcase(suite, lies);
	return run_suite(suite);
}
