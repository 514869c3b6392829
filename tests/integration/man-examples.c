/* SPDX-License-Identifier: MIT */
/*
 * man-examples.c - what the functions in the manual's EXAMPLES are called by
 *
 * test-man-examples.sh compiles this file with the examples of all pages included before it, so that a prototype that changes is
 * noticed, and runs each case by its name. Where an example needs somebody at the other end, that is either here too, in the same
 * process, or the zcp tool, started by the script. A case that fails says where and ends with 1.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000000000ll

#define NEED(condition) need(condition, #condition, __LINE__)

static void need(int condition, const char *text, int line)
{
	if (condition)
		return;
	fprintf(stderr, "man-examples.c:%d: %s: %s\n", line, text, zcp_last_error());
	exit(1);
}

static zcp_node *join(const char *name)
{
	zcp_node *node;

	NEED(zcp_node_open(&node, name, NULL) == 0);
	return node;
}

/* A reliable publisher and its subscriber. */
static const struct zcp_topic numbers = { "man", "examples", "numbers" };

static zcp_subscriber *subscribe(zcp_node *node, const struct zcp_topic *topic)
{
	zcp_subscriber *subscriber;

	NEED(zcp_subscriber_open(&subscriber, node, topic, NULL) == 0);
	return subscriber;
}

static zcp_publisher *publish(zcp_node *node, const struct zcp_topic *topic, uint32_t header_size)
{
	const struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.reliable = true,
		.timeout = 10 * SECOND,
		.depth = 256,
		.header_size = header_size,
	};
	zcp_publisher *publisher;

	NEED(zcp_publisher_open(&publisher, node, topic, &options) == 0);
	NEED(zcp_publisher_wait(publisher, 1, 10 * SECOND) >= 1);
	return publisher;
}

static void take(zcp_subscriber *subscriber, struct zcp_sample *sample)
{
	int r;

	do {
		NEED(zcp_subscriber_wait(subscriber, 10 * SECOND) == 0);
		r = zcp_subscriber_take(subscriber, sample);
	} while (r == -EAGAIN);
	NEED(r == 0);
}

/* ---- zcp_client_open(3), zcp_server_open(3) ---------------------------------------------------------------------- */

static zcp_client *ask(zcp_node *node, const struct zcp_topic *topic, uint32_t max_pending)
{
	const struct zcp_client_options options = { .sz = sizeof(options), .max_pending = max_pending, .wait_for_server = true };
	zcp_client *client;

	NEED(zcp_client_open(&client, node, topic, &options) == 0);
	NEED(zcp_client_connect(client, 1, 10 * SECOND) >= 1);
	return client;
}

static void case_serve(void)
{
	serve(join("serve"));
}

static void case_add(void)
{
	const struct zcp_topic topic = { "calculator", "main", "add" };
	double sum = 0;

	NEED(add(ask(join("add"), &topic, 0), 1.5, 2.25, &sum) == 0);
	NEED(sum == 3.75);
}

/* With room for two, so that it has to take some in between. */
static void case_ask_all(void)
{
	static const char *const questions[] = { "one", "two", "three", "four", "five" };
	const struct zcp_topic topic = { "man", "examples", "questions" };

	NEED(ask_all(ask(join("ask"), &topic, 2), questions, 5) == 0);
}

static size_t produce(int i, void *to, size_t room)
{
	return (size_t)snprintf(to, room, "part %d", i);
}

static void case_reply_in_parts(void)
{
	const struct zcp_topic topic = { "man", "examples", "parts" };
	struct zcp_response response;
	struct zcp_request request;
	zcp_server *server;
	zcp_client *client;
	uint64_t id;

	NEED(zcp_server_open(&server, join("server"), &topic, NULL) == 0);
	client = ask(join("client"), &topic, 0);
	NEED(zcp_client_send(client, "?", 1, &id) == 0);
	NEED(zcp_server_wait(server, 10 * SECOND) == 0 && zcp_server_take(server, &request) == 0);
	NEED(reply_in_parts(&request, 3, produce) == 0);
	zcp_request_release(&request);
	for (int i = 0; i < 3; i++) {
		char wanted[16];

		snprintf(wanted, sizeof(wanted), "part %d", i);
		NEED(zcp_client_wait(client, 10 * SECOND) == 0 && zcp_client_take(client, &response) == 0);
		NEED(response.status == 0 && response.size == strlen(wanted) && !memcmp(response.data, wanted, response.size));
		NEED(response.flags == (i < 2 ? ZCP_MORE : 0));
		zcp_response_release(&response);
	}
}

/* ---- zcp_node_offer_fd(3), zcp_node_open(3) ---------------------------------------------------------------------- */

static void case_frame(void)
{
	const struct zcp_topic topic = { "man", "examples", "frames" };
	zcp_node *here = join("camera"), *there = join("display");
	zcp_subscriber *subscriber = subscribe(there, &topic);
	zcp_publisher *publisher = publish(here, &topic, 8);
	int memory = memfd_create("frame", MFD_CLOEXEC), taken;
	struct zcp_sample sample;
	struct stat a, b;
	uint64_t token;

	NEED(publish_frame(here, publisher, memory, &token) == 1);
	take(subscriber, &sample);
	taken = take_frame(there, &sample);
	NEED(taken >= 0 && fstat(memory, &a) == 0 && fstat(taken, &b) == 0 && a.st_ino == b.st_ino);
	zcp_sample_release(&sample);
}

static void case_run(void)
{
	run();
}

/* ---- zcp_notifier_open(3) ---------------------------------------------------------------------------------------- */

static void case_watch_recorder(void)
{
	watch_recorder(join("watch"));
}

static void case_file_written(void)
{
	const struct zcp_topic topic = { "recorder", "main", "state" };
	zcp_notifier *notifier;

	NEED(zcp_notifier_open(&notifier, join("recorder"), &topic, NULL) == 0);
	NEED(zcp_notifier_wait(notifier, 1, 10 * SECOND) >= 1);
	NEED(file_written(notifier) == 1);
	NEED(zcp_notifier_notify(notifier, DISK_FULL) == 1);
}

/* ---- zcp_publisher_loan(3), zcp_publisher_open(3) ---------------------------------------------------------------- */

static void case_publish_position(void)
{
	zcp_subscriber *subscriber = subscribe(join("map"), &numbers);
	struct zcp_sample sample;
	struct position p;

	NEED(publish_position(publish(join("gps"), &numbers, 0), 1, 2, 3) == 1);
	take(subscriber, &sample);
	NEED(sample.size == sizeof(p));
	memcpy(&p, sample.data, sizeof(p));
	NEED(p.x == 1 && p.y == 2 && p.z == 3 && p.measured_ns && p.measured_ns <= sample.timestamp_ns);
	zcp_sample_release(&sample);
}

/* More than one batch. */
static void case_publish_many(void)
{
	zcp_subscriber *subscriber = subscribe(join("sink"), &numbers);
	double values[150], value;
	struct zcp_sample sample;

	for (int i = 0; i < 150; i++)
		values[i] = i / 8.0;
	NEED(publish_many(publish(join("source"), &numbers, 0), values, 150) == 150);
	for (int i = 0; i < 150; i++) {
		take(subscriber, &sample);
		NEED(sample.size == sizeof(value));
		memcpy(&value, sample.data, sizeof(value));
		NEED(value == i / 8.0);
		zcp_sample_release(&sample);
	}
}

static void case_open_camera(void)
{
	const struct zcp_topic topic = { "camera", "front", "image" };
	zcp_publisher *publisher;
	void *image;

	subscribe(join("display"), &topic);
	NEED(open_camera(join("camera"), &publisher) == 1);
	NEED(zcp_publisher_loan(publisher, 1920 * 1080 * 3, &image) == 0);
}

/* ---- zcp_subscriber_open(3), zcp_subscriber_take(3) -------------------------------------------------------------- */

static void case_open_view(void)
{
	const struct zcp_topic topic = { "telemetry", "host", "sample" };
	const struct zcp_publisher_options options = { .sz = sizeof(options), .history = 1 };
	zcp_subscriber *subscriber;
	struct zcp_sample sample;
	zcp_publisher *publisher;

	NEED(zcp_publisher_open(&publisher, join("telemetry"), &topic, &options) == 0);
	NEED(zcp_publisher_send(publisher, "old", 3) == 0 && zcp_publisher_send(publisher, "new", 3) == 0);
	NEED(open_view(join("view"), &subscriber) == 0);
	take(subscriber, &sample);
	NEED(sample.size == 3 && !memcmp(sample.data, "new", 3));
	zcp_sample_release(&sample);
	print_counters(subscriber);
}

static const struct zcp_topic lines = { "man", "examples", "lines" };

static void case_print_messages(void)
{
	print_messages(subscribe(join("print"), &lines));
}

static void print_one(const void *data, size_t size)
{
	printf("%.*s\n", (int)size, (const char *)data);
}

static void case_poll_messages(void)
{
	poll_messages(subscribe(join("poll"), &lines), print_one);
}

/* ---- libzcp(7), "Descriptors" ------------------------------------------------------------------------------------ */

static int open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int n = 0;

	NEED(directory != NULL);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n - 3;		/* without ".", ".." and its own */
}

/* So many more than before: a moment later, since the node's thread may still be about to close some that it got with a message. */
static void takes_descriptors(int n)
{
	static int before;
	int now;

	for (int tries = 0; (now = open_descriptors()) - before != n && before && tries < 1000; tries++)
		poll(NULL, 0, 10);
	printf("%d\n", before ? now - before : 0);
	before = now;
}

/* Endpoints of two nodes, since one would be connected with itself. */
static void case_descriptors(void)
{
	const struct zcp_node_options options = { .sz = sizeof(options), .no_thread = true };
	const struct zcp_topic alone = { "man", "examples", "alone" };
	zcp_publisher *publisher;
	zcp_node *node, *other;
	zcp_waitset *waitset;
	zcp_watch *watch;

	takes_descriptors(0);
	node = join("descriptors");
	takes_descriptors(3);
	NEED(zcp_node_open(&other, "other", &options) == 0);
	takes_descriptors(5);
	NEED(zcp_publisher_open(&publisher, node, &alone, NULL) == 0);
	takes_descriptors(2);
	/* another endpoint, and each of the two has a peer */
	subscribe(other, &alone);
	NEED(zcp_publisher_wait(publisher, 1, 10 * SECOND) == 1);
	takes_descriptors(4);
	NEED(zcp_watch_open(&watch, node, NULL, NULL) == 0);
	takes_descriptors(1);
	NEED(zcp_waitset_open(&waitset, NULL) == 0);
	takes_descriptors(2);
	NEED(zcp_waitset_add_timer(waitset, SECOND, 0, NULL) > 0);
	takes_descriptors(1);
	zcp_waitset_close(waitset);
	zcp_watch_close(watch);
	zcp_node_close(other);
	zcp_node_close(node);
}

/* ------------------------------------------------------------------------------------------------------------------ */

#define CASE(name) { #name, case_##name }

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	CASE(serve),
	CASE(add),
	CASE(ask_all),
	CASE(reply_in_parts),
	CASE(frame),
	CASE(run),
	CASE(watch_recorder),
	CASE(file_written),
	CASE(publish_position),
	CASE(publish_many),
	CASE(open_camera),
	CASE(open_view),
	CASE(print_messages),
	CASE(poll_messages),
	CASE(descriptors),
};

/* The script reads what it prints while it runs. */
int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		cases[i].run();
		return 0;
	}
	fprintf(stderr, "man-examples: no such case\n");
	return 2;
}
