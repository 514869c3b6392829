/* SPDX-License-Identifier: MIT */
/*
 * zcp record and zcp replay as processes, against publishers and subscribers of the library: what was published is in the file, and what
 * is in the file is published again, bytes, user headers, types and order. A recorder that is killed leaves everything it had written.
 *
 * The tests read files by the recordings' own reader: that one is judged by tests/unit/test-recording.
 */
#include "lib-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/recording-cursor.h"
#include "tools/recording-pack.h"

#define N_TOPICS 3

static char directory[] = "/tmp/zcp-record-XXXXXX";
static char path[64];

static void start(void)
{
	lib_router_start();
	strcpy(directory, "/tmp/zcp-record-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/a.zcprec", directory);
}

static void stop(void)
{
	char command[96];

	lib_router_stop(SIGTERM);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	ck_assert_int_eq(system(command), 0);
}

/* ---- the tool ---- */

#define run_zcp(...) zcp_process((const char *const[]){ "zcp", __VA_ARGS__, NULL })

static pid_t zcp_process(const char *const *arguments)
{
	const char *zcp = getenv("ZCP_BIN");
	pid_t pid = fork();

	ck_assert_ok(pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("ZCP_ROUTER", lib_socket, 1);
	execv(zcp ? zcp : "./zcp", (char *const *)arguments);
	_exit(127);
}

static void expect_status(pid_t pid, int expected)
{
	int status;

	ck_assert_within(waitpid(pid, &status, WNOHANG) == pid, DEADLINE_MS);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "wait status 0x%x, not exit %d", (unsigned int)status, expected);
}

/* ---- scripted traffic ---- */

static const struct script_topic {
	struct zcp_topic topic;
	struct zcp_type type;
	uint32_t header_size;
	size_t payload_max;
} topics[N_TOPICS] = {
	{ { "record", "one", "small" }, { "a/small type", 8, 8 }, 8, 100 },
	{ { "record", "two", "middle" }, { NULL, 0, 0 }, 0, 20000 },
	{ { "record", "three", "large" }, { "large", 64, 64 }, 16, 6 << 20 },
};

static size_t size_of(int topic, uint64_t i)
{
	switch (topic) {
	case 0:
		return i % 101;
	case 1:
		return i * 37 % 20001;
	default:
		return i == 3 ? 6 << 20 : i == 4 ? 0 : i * 54321 % 300000;
	}
}

static void fill(uint8_t *to, int topic, uint64_t i, size_t size)
{
	uint64_t x = i * 1000003 + (uint64_t)topic;

	for (size_t k = 0; k < size; k++)
		to[k] = (uint8_t)((x + k * k) >> (k % 5));
}

static void make_header(uint64_t header[2], int topic, uint64_t i)
{
	header[0] = i;
	header[1] = ~i + (uint64_t)topic;
}

static void check_payload(int topic, uint64_t i, const void *data, size_t size, const void *header, size_t header_size)
{
	uint8_t *expected = malloc(size_of(topic, i) + 1);
	uint64_t expected_header[2];

	ck_assert_uint_eq(size, size_of(topic, i));
	fill(expected, topic, i, size);
	ck_assert(!memcmp(data, expected, size));
	make_header(expected_header, topic, i);
	ck_assert_uint_eq(header_size, topics[topic].header_size);
	if (header_size)
		ck_assert(!memcmp(header, expected_header, header_size));
	free(expected);
}

static void open_publishers(zcp_node *node, zcp_publisher *publishers[N_TOPICS])
{
	for (int k = 0; k < N_TOPICS; k++) {
		const struct zcp_publisher_options options = {
			.sz = sizeof(options),
			.payload_max = topics[k].payload_max,
			.reliable = true,
			.timeout = 20 * SECOND,
			.header_size = topics[k].header_size,
			.type = topics[k].type,
		};

		ok(zcp_publisher_open(&publishers[k], node, &topics[k].topic, &options));
	}
}

static void publish(zcp_publisher *publisher, int topic, uint64_t i)
{
	uint64_t header[2];
	void *payload;

	ok(zcp_publisher_loan(publisher, size_of(topic, i), &payload));
	fill(payload, topic, i, size_of(topic, i));
	make_header(header, topic, i);
	if (topics[topic].header_size)
		ok(zcp_publisher_publish_with(publisher, payload, size_of(topic, i), header));
	else
		ok(zcp_publisher_publish(publisher, payload, size_of(topic, i)));
}

/* Publish messages 0 .. @n - 1 of each topic to a recorder that is already subscribed, as far as it must be to lose none. */
static void publish_all(uint64_t n)
{
	zcp_publisher *publishers[N_TOPICS];
	zcp_node *node = lib_node("script");

	open_publishers(node, publishers);
	for (int k = 0; k < N_TOPICS; k++)
		ok(zcp_publisher_wait(publishers[k], 1, 20 * SECOND));
	for (uint64_t i = 0; i < n; i++) {
		for (int k = 0; k < N_TOPICS; k++)
			publish(publishers[k], k, i);
	}
	zcp_node_close(node);
}

/* ---- files ---- */

static struct recording *open_recording(void)
{
	char why[RECORDING_WHY];
	struct recording *r;
	int e = recording_open(&r, path, why);

	ck_assert_msg(!e, "%s", why);
	return r;
}

/* Messages in the file so far; 0 also if it cannot be read yet. */
static uint64_t n_recorded(void)
{
	char why[RECORDING_WHY];
	struct recording *r;
	uint64_t n = 0;

	if (recording_open(&r, path, why) < 0)
		return 0;
	for (uint64_t i = 0; i < r->n_entries; i++)
		n += r->entries[i].messages;
	recording_close(r);
	return n;
}

static int topic_of(const struct recording_stream *s)
{
	for (int k = 0; k < N_TOPICS; k++) {
		if (!strcmp(s->topic[1], topics[k].topic.instance))
			return k;
	}
	ck_abort_msg("a topic %s/%s/%s", s->topic[0], s->topic[1], s->topic[2]);
}

static void check_stream(const struct recording_known *known)
{
	const struct recording_stream *s = &known->description;
	const struct zcp_type *type = &topics[topic_of(s)].type;

	ck_assert(s->known && s->reliable);
	ck_assert_str_eq(s->type, type->name ? type->name : "");
	ck_assert_uint_eq(s->type_size, type->size);
	ck_assert_str_eq(s->node, "script");
	ck_assert_uint_eq(s->payload_max, topics[topic_of(s)].payload_max);
	ck_assert_uint_eq(known->total.header_size, topics[topic_of(s)].header_size);
	ck_assert_uint_eq(known->total.lost, 0);
}

/* The file has messages 0, 1, ... of each topic, in order and nothing else. How many of topic @topic. */
static uint64_t check_file(int topic)
{
	struct recording *r = open_recording();
	struct cursor *c = malloc(sizeof(*c));
	struct recording_item item;
	uint64_t n[N_TOPICS] = { 0 }, last_ns = 0;

	ck_assert_int_eq(cursor_open(c, r, 0, UINT64_MAX, NULL), 0);
	while (cursor_next(c, &item) == 1) {
		const struct recording_known *known = recording_stream(r, item.stream);
		int k = topic_of(&known->description);

		if (!n[k])
			check_stream(known);
		ck_assert_uint_eq(item.message.sequence, n[k]);
		ck_assert_uint_eq(item.message.lost, 0);
		ck_assert_uint_ge(item.message.timestamp_ns, last_ns);
		last_ns = item.message.timestamp_ns;
		check_payload(k, n[k], item.message.data, item.message.size, item.message.header, item.message.header_size);
		n[k]++;
	}
	ck_assert_uint_eq(r->damaged + r->gaps, 0);
	cursor_close(c);
	free(c);
	recording_close(r);
	return n[topic];
}

/* ---- record and replay ---- */

static const char *const compress[] = { "--compress=3", "--buffer=32M" };

START_TEST(test_record_and_replay)
{
	const uint64_t n = 40;
	zcp_subscriber *subscribers[N_TOPICS];
	zcp_node *node;
	pid_t recorder, player;

	if (_i == 0 && !packer_exists())
		skip_test("built without zstd");
	recorder = run_zcp("record", compress[_i], "-q", "--reliable", path, "record/*");
	ck_assert_within(access(path, F_OK) == 0, DEADLINE_MS);
	publish_all(n);
	ck_assert_within(n_recorded() == N_TOPICS * n, DEADLINE_MS);
	ck_assert_ok(kill(recorder, SIGINT));
	expect_status(recorder, 0);
	for (int k = 0; k < N_TOPICS; k++)
		ck_assert_uint_eq(check_file(k), n);

	node = lib_node("listener");
	for (int k = 0; k < N_TOPICS; k++) {
		const struct zcp_subscriber_options options = { .sz = sizeof(options), .type = topics[k].type };

		ok(zcp_subscriber_open(&subscribers[k], node, &topics[k].topic, &options));
	}
	player = run_zcp("replay", "-q", "--rate=0", "--loop=2", "--wait=1", path);
	for (uint64_t i = 0; i < 2 * n; i++) {
		for (int k = 0; k < N_TOPICS; k++) {
			struct zcp_sample sample;

			ok(zcp_subscriber_wait(subscribers[k], 20 * SECOND));
			ok(zcp_subscriber_take(subscribers[k], &sample));
			ck_assert_uint_eq(sample.sequence, i);
			check_payload(k, i % n, sample.data, sample.size, sample.header, sample.header_size);
			zcp_sample_release(&sample);
		}
	}
	expect_status(player, 0);
	for (int k = 0; k < N_TOPICS; k++) {
		ck_assert_uint_eq(lib_stats(subscribers[k]).received, 2 * n);
		ck_assert_uint_eq(lib_stats(subscribers[k]).died, 0);
	}
	zcp_node_close(node);
}
END_TEST

/* The type goes along: who wants another one is refused. */
START_TEST(test_replayed_type)
{
	const struct zcp_subscriber_options other = { .sz = sizeof(other), .type = { "another", 8, 8 } };
	const struct zcp_topic topic = { "again-record", "one", "small" };
	pid_t recorder, player;
	zcp_subscriber *subscriber, *refused;
	zcp_node *node;

	recorder = run_zcp("record", "-q", "--reliable", "--count=3", path, "record/*");
	ck_assert_within(access(path, F_OK) == 0, DEADLINE_MS);
	publish_all(1);
	expect_status(recorder, 0);
	player = run_zcp("replay", "-q", "--loop", "--prefix", "again-", path);
	node = lib_node("listener");
	ok(zcp_subscriber_open(&subscriber, node, &topic, NULL));
	ok(zcp_subscriber_wait(subscriber, 20 * SECOND));
	fails(zcp_subscriber_open(&refused, node, &topic, &other), -EPROTOTYPE, "a/small type");
	ck_assert_ok(kill(player, SIGINT));
	expect_status(player, 0);
	zcp_node_close(node);
}
END_TEST

#define MANY 300

/* Hundreds of topics, some of which are there before the recorder and some come while it records. */
START_TEST(test_many_topics)
{
	const struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 8, .reliable = true, .timeout = 20 * SECOND };
	zcp_publisher *publishers[MANY];
	zcp_node *node = lib_node("many");
	struct recording *r;
	pid_t recorder = 0;

	for (int k = 0; k < MANY; k++) {
		char instance[16];
		const struct zcp_topic topic = { "many", instance, "x" };

		snprintf(instance, sizeof(instance), "%d", k);
		if (k == MANY / 2)
			recorder = run_zcp("record", "-q", "--reliable", path, "many/*/x", "none");
		ok(zcp_publisher_open(&publishers[k], node, &topic, &options));
	}
	for (int k = 0; k < MANY; k++)
		ok(zcp_publisher_wait(publishers[k], 1, 20 * SECOND));
	for (uint64_t i = 0; i < 50; i++) {
		for (int k = 0; k < MANY; k++)
			ok(zcp_publisher_send(publishers[k], &i, sizeof(i)));
	}
	ck_assert_within(n_recorded() == MANY * 50, DEADLINE_MS);
	ck_assert_ok(kill(recorder, SIGTERM));
	expect_status(recorder, 0);
	zcp_node_close(node);
	r = open_recording();
	ck_assert(r->indexed);
	ck_assert_uint_ge(r->n_ids, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		ck_assert_uint_eq(r->streams[i]->total.messages, 50);
		ck_assert_uint_eq(r->streams[i]->total.lost, 0);
		ck_assert(r->streams[i]->description.known);
	}
	recording_close(r);
}
END_TEST

/* ---- a recorder that is killed ---- */

/* One that had nothing to do when it was killed has lost nothing. */
START_TEST(test_killed_idle)
{
	pid_t recorder = run_zcp("record", "-q", "--reliable", path, "record/*");

	ck_assert_within(access(path, F_OK) == 0, DEADLINE_MS);
	publish_all(10);
	ck_assert_within(n_recorded() == N_TOPICS * 10, DEADLINE_MS);
	process_kill(recorder);
	for (int k = 0; k < N_TOPICS; k++)
		ck_assert_uint_eq(check_file(k), 10);
}
END_TEST

static void endless(struct stage *stage)
{
	zcp_publisher *publishers[N_TOPICS];
	zcp_node *node = lib_node("script");

	open_publishers(node, publishers);
	for (int k = 0; k < N_TOPICS; k++)
		ok(zcp_publisher_wait(publishers[k], 1, 20 * SECOND));
	for (uint64_t i = 0;; i++) {
		for (int k = 0; k < N_TOPICS; k++)
			publish(publishers[k], k, i);
		stage_set(stage, 0, i);
	}
}

static uint64_t file_size(void)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/* In the middle of its work, at any moment: what the file has is an unbroken beginning of each stream. */
START_TEST(test_killed)
{
	static unsigned int seed = 42;

	for (unsigned int round = 0; round < 4; round++) {
		uint64_t enough = (uint64_t)rand_r(&seed) % (12u << 20), total = 0;
		struct stage *stage = stage_new();
		pid_t recorder, script;

		seed += round;
		recorder = run_zcp("record", "-q", "-f", "--reliable", round % 2 && packer_exists() ? "--compress" : "--buffer=8M", path, "record/*");
		ck_assert_within(file_size() >= sizeof(struct recording_header), DEADLINE_MS);
		script = process_start(endless, stage);
		ck_assert_within(file_size() > enough, DEADLINE_MS);
		process_kill(recorder);
		process_kill(script);
		for (int k = 0; k < N_TOPICS; k++) {
			uint64_t n = check_file(k);

			ck_assert_uint_le(n, atomic_load(&stage->at[0]) + 2);
			total += n;
		}
		ck_assert(total > 0 || enough < 1 << 20);
		ck_assert_ok(unlink(path));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record");
	TCase *tcase = add_test_case(suite, "record", 120);

	tcase_add_checked_fixture(tcase, start, stop);
	tcase_add_loop_test(tcase, test_record_and_replay, 0, 2);
	tcase_add_test(tcase, test_replayed_type);
	tcase_add_test(tcase, test_many_topics);
	tcase_add_test(tcase, test_killed_idle);
	tcase_add_test(tcase, test_killed);
	return run_suite(suite);
}
