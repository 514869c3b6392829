/* SPDX-License-Identifier: MIT */
/*
 * zcp-trace events: what a publisher, a subscriber, a client, a server, a notifier and a listener do is there once, in order, with its
 * arguments.
 *
 * Both sides follow a script, and write down what they did, as a text of one line for each hit of a probe: the truth. The same text is made of
 * the tracer's lines and compared. The reader sleeps only where the script says so.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/subscriber.h"
#include "trace-helper.h"

#define DEPTH 64
#define PAYLOAD_MAX 1024
#define TOPIC "service/instance/event"

/* Places in a stage, behind those that all have. */
enum { SUBSCRIBER = DONE + 1, NEWCOMER, SERVER };

struct truth {
	size_t n;
	char text[1 << 16];
};

/* What was sent, and what was taken; shared with the reader. */
static struct truth *writer_truth, *reader_truth;

static struct truth *truth_new(void)
{
	struct truth *truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(truth, MAP_FAILED);
	return truth;
}

__attribute__((format(printf, 2, 3))) static void note(struct truth *truth, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	truth->n += (size_t)vsnprintf(truth->text + truth->n, sizeof(truth->text) - truth->n, format, arguments);
	va_end(arguments);
	ck_assert_uint_lt(truth->n, sizeof(truth->text));
}

/* --- the reader's script -------------------------------------------------------------------------- */

static void next(struct stage *stage, uint64_t scene)
{
	stage_set(stage, DONE, scene);
	stage_wait(stage, GO, scene + 1);
}

/* All that is there. Returns how many. */
static unsigned int take(zcp_subscriber *s)
{
	struct zcp_sample sample;
	unsigned int n = 0;

	for (; zcp_subscriber_take(s, &sample) == 0; n++) {
		if (sample.lost)
			note(reader_truth, "lost %llu before %llu\n", (unsigned long long)sample.lost, (unsigned long long)sample.sequence);
		note(reader_truth, "take %llu size %zu at %llu\n", (unsigned long long)sample.sequence, sample.size,
		     (unsigned long long)sample.timestamp_ns);
		note(reader_truth, "release %llu\n", (unsigned long long)sample.sequence);
		zcp_sample_release(&sample);
	}
	return n;
}

static void serve(zcp_server *server, int requests)
{
	static const char answer[100];

	for (int i = 0; i < requests; i++) {
		struct zcp_request request;

		ok(zcp_server_wait(server, 20 * SECOND));
		ok(zcp_server_take(server, &request));
		if (request.flags & ZCP_ONE_WAY) {
			zcp_request_release(&request);
			continue;
		}
		ok(zcp_request_reply_with(&request, answer, 10 + (size_t)i, ZCP_MORE));
		ok(zcp_request_reply(&request, answer, 20 + (size_t)i));
		note(reader_truth, "response %llu size %d status 0\n", (unsigned long long)request.id, 10 + i);
		note(reader_truth, "response %llu size %d status 0\n", (unsigned long long)request.id, 20 + i);
		zcp_request_release(&request);
	}
}

static void come_and_go(struct stage *stage, zcp_node *node, zcp_subscriber *first)
{
	zcp_subscriber *second = lib_subscriber(node, NULL);
	struct zcp_sample sample;

	stage_set(stage, NEWCOMER, second->endpoint.id);
	fails(zcp_subscriber_take(second, &sample), -EAGAIN, "");
	stage_set(stage, DONE, 6);
	stage_wait(stage, GO, 7);
	zcp_subscriber_close(second);
	zcp_subscriber_close(first);
}

static void act(struct stage *stage)
{
	zcp_node *node = lib_node("reader");
	zcp_subscriber *s = lib_subscriber(node, NULL);
	const struct zcp_server_options server_options = { .sz = sizeof(server_options) };
	const struct zcp_listener_options listener_options = { .sz = sizeof(listener_options) };
	zcp_listener *listener;
	zcp_server *server;
	uint32_t event_id;
	uint64_t count;

	ok(zcp_server_open(&server, node, &lib_topic, &server_options));
	ok(zcp_listener_open(&listener, node, &lib_topic, &listener_options));
	stage_set(stage, SUBSCRIBER, s->endpoint.id);
	stage_set(stage, SERVER, zcp_server_id(server));
	stage_set(stage, READY, 1);
	stage_wait(stage, GO, 1);	/* while the tracer attaches */

	fails(zcp_subscriber_wait(s, 20 * MS), -ETIMEDOUT, "");
	ok(zcp_subscriber_wait(s, -1));
	ck_assert_uint_eq(take(s), 1);
	next(stage, 1);
	take(s);
	next(stage, 2);
	ck_assert_uint_lt(take(s), 200);
	next(stage, 3);
	serve(server, 4);
	next(stage, 4);
	ok(zcp_listener_wait(listener, 20 * SECOND));
	ok(zcp_listener_take(listener, &event_id, &count));
	ck_assert_uint_eq(event_id, 7);
	ck_assert_uint_eq(count, 5);
	next(stage, 5);
	come_and_go(stage, node, s);
	stage_set(stage, DONE, 7);
	stage_wait(stage, DONE, 8);
	zcp_node_close(node);
}

/* --- the writer's script -------------------------------------------------------------------------- */

static uint64_t sequence;

static void note_publish(size_t size)
{
	note(writer_truth, "publish %llu size %zu\n", (unsigned long long)sequence++, size);
}

static void loan_and_publish(zcp_publisher *p, size_t size)
{
	void *loan;

	ok(zcp_publisher_loan(p, size, &loan));
	note(writer_truth, "loan %zu at %llu\n", size, (unsigned long long)(uintptr_t)loan);
	ok(zcp_publisher_publish(p, loan, size));
	note_publish(size);
}

/* Every way to publish: 1 + 3 * 10 messages. */
static void publish_in_all_ways(zcp_publisher *p)
{
	static const char data[PAYLOAD_MAX + 1];
	void *loans[10];
	size_t sizes[10];
	void *loan;

	for (size_t i = 0; i < 10; i++)
		loan_and_publish(p, 8 + i * 100);
	for (size_t i = 0; i < 10; i++) {
		ok(zcp_publisher_send(p, data, 1 + i * 33));
		note_publish(1 + i * 33);
	}
	ck_assert_int_eq(ok(zcp_publisher_loan_batch(p, 500, loans, 10)), 10);
	for (size_t i = 0; i < 10; i++) {
		note(writer_truth, "loan 500 at %llu\n", (unsigned long long)(uintptr_t)loans[i]);
		sizes[i] = 500 - i;
	}
	ck_assert_int_eq(ok(zcp_publisher_publish_batch(p, loans, sizes, 10)), 10);
	for (size_t i = 0; i < 10; i++)
		note_publish(sizes[i]);
	ok(zcp_publisher_loan(p, 77, &loan));
	note(writer_truth, "loan 77 at %llu\n", (unsigned long long)(uintptr_t)loan);
	ok(zcp_publisher_discard(p, loan));
	fails(zcp_publisher_loan(p, PAYLOAD_MAX + 1, &loan), -EMSGSIZE, "");
	note(writer_truth, "loan_fail %d error %d\n", PAYLOAD_MAX + 1, -EMSGSIZE);
}

/* One without a response is id 0. */
static void ask(zcp_client *client, size_t size, bool one_way)
{
	static const char data[100];
	uint64_t id = 0;

	ok(zcp_client_send(client, data, size, one_way ? NULL : &id));
	note(writer_truth, "request %llu size %zu\n", (unsigned long long)id, size);
	for (bool more = !one_way; more;) {
		struct zcp_response response;

		ok(zcp_client_wait(client, 20 * SECOND));
		ok(zcp_client_take(client, &response));
		ck_assert_int_eq(response.status, 0);
		more = response.flags & ZCP_MORE;
		zcp_response_release(&response);
	}
}

static void scene(struct world *w, uint64_t number)
{
	stage_set(w->stage, GO, number);
	stage_wait(w->stage, DONE, number);
}

/* --- what the tracer saw -------------------------------------------------------------------------- */

static bool is(const json_t *object, const char *probe)
{
	return !strcmp(text_of(object, "probe"), probe);
}

static unsigned long long n(const json_t *object, const char *name)
{
	return (unsigned long long)number_of(object, name);
}

static void retell_writer(struct truth *seen, const json_t *e)
{
	if (is(e, "loan"))
		note(seen, "loan %llu at %llu\n", n(e, "size"), n(e, "payload"));
	else if (is(e, "loan_fail"))
		note(seen, "loan_fail %llu error %d\n", n(e, "size"), (int)number_of(e, "error"));
	else if (is(e, "publish"))
		note(seen, "publish %llu size %llu\n", n(e, "sequence"), n(e, "size"));
	else if (is(e, "request"))
		note(seen, "request %llu size %llu\n", n(e, "id"), n(e, "size"));
}

static void retell_reader(struct truth *seen, const json_t *e)
{
	if (is(e, "take"))
		note(seen, "take %llu size %llu at %llu\n", n(e, "sequence"), n(e, "size"), n(e, "timestamp_ns"));
	else if (is(e, "release"))
		note(seen, "release %llu\n", n(e, "sequence"));
	else if (is(e, "lost"))
		note(seen, "lost %llu before %llu\n", n(e, "count"), n(e, "sequence"));
	else if (is(e, "response"))
		note(seen, "response %llu size %llu status %d\n", n(e, "id"), n(e, "size"), (int)number_of(e, "status"));
}

static bool has(const json_t *object, const char *name, uint64_t id)
{
	return (uint64_t)json_integer_value(json_object_get(object, name)) == id;
}

/* Events of @probe whose arguments @name and @peer_name are these; the last one in *last. */
static int hits(const json_t *all, const char *probe, const char *name, uint64_t id, const char *peer_name, uint64_t peer, const json_t **last)
{
	int count = 0;

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *e = json_array_get(all, i);

		if (!is(e, probe) || !has(e, name, id) || !has(e, peer_name, peer))
			continue;
		count++;
		*last = e;
	}
	return count;
}

/* Each event is one of ours, with all that makes it readable; times of a thread ascend. */
static void check_every_event(const json_t *all, const struct world *w)
{
	int64_t before[2] = { 0 };

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *e = json_array_get(all, i);
		bool reader;

		if (!strcmp(text_of(e, "type"), "summary"))
			continue;
		ck_assert_str_eq(text_of(e, "type"), "event");
		ck_assert_str_eq(text_of(e, "topic"), TOPIC);
		reader = number_of(e, "pid") == w->reader;
		ck_assert_int_eq(number_of(e, "pid"), reader ? w->reader : getpid());
		ck_assert_int_eq(number_of(e, "tid"), number_of(e, "pid"));	/* the node's thread does none of this */
		ck_assert_str_eq(text_of(e, "node_name"), reader ? "reader" : "writer");
		ck_assert_int_ge(number_of(e, "time_ns"), before[reader]);
		before[reader] = number_of(e, "time_ns");
	}
}

/* Both whole would be more than a report has room for. */
static void check_same(const struct truth *seen, const struct truth *truth)
{
	const char *a = seen->text, *b = truth->text;

	while (*a && *b && strcspn(a, "\n") == strcspn(b, "\n") && !strncmp(a, b, strcspn(a, "\n"))) {
		a = strchr(a, '\n') + 1;
		b = strchr(b, '\n') + 1;
	}
	ck_assert_msg(!*a && !*b, "'%.*s' was seen, '%.*s' was done", (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}

static void check_told(const json_t *all, const struct world *w, zcp_client *client)
{
	struct truth *writer = truth_new(), *reader = truth_new();
	const uint64_t p = zcp_publisher_id(w->publisher), s = w->stage->at[SUBSCRIBER];

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *e = json_array_get(all, i);

		if (has(e, "publisher", p) && !json_object_get(e, "subscriber"))
			retell_writer(writer, e);
		if (has(e, "publisher", p) && has(e, "subscriber", s))
			retell_reader(reader, e);
		if (has(e, "client", zcp_client_id(client)) && has(e, "server", w->stage->at[SERVER])) {
			retell_writer(writer, e);
			retell_reader(reader, e);
		}
	}
	check_same(writer, writer_truth);
	check_same(reader, reader_truth);
}

/* begin, end, begin, end; first with a limit, at last without one, until the doorbell rang. */
static void check_sleep(const json_t *all, uint64_t subscriber, int64_t slept_ns)
{
	int64_t timeout = 0, result = -1;
	int begun = 0, ended = 0;

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *e = json_array_get(all, i);

		if (!has(e, "endpoint", subscriber))
			continue;
		if (is(e, "wait_begin")) {
			ck_assert_int_eq(begun++, ended);
			timeout = number_of(e, "timeout_ns");
			ck_assert(begun > 1 ? timeout == -1 || timeout <= slept_ns : timeout > 0 && timeout <= slept_ns);
		} else if (is(e, "wait_end")) {
			result = number_of(e, "result");
			ck_assert_int_eq(begun, ++ended);
		}
	}
	ck_assert_int_ge(begun, 2);
	ck_assert_int_eq(begun, ended);
	ck_assert_int_eq(timeout, -1);
	ck_assert_int_eq(result, 1);
}

static void check_matches(const json_t *all, uint64_t publisher, uint64_t first, uint64_t second)
{
	const json_t *e = NULL;
	int64_t match;

	ck_assert_int_eq(hits(all, "attach", "endpoint", publisher, "peer", second, &e), 1);
	match = number_of(e, "match");
	ck_assert_int_eq(hits(all, "attach", "endpoint", second, "peer", publisher, &e), 1);
	ck_assert_int_eq(number_of(e, "match"), match);
	ck_assert_int_eq(hits(all, "detach", "endpoint", publisher, "peer", second, &e), 1);
	ck_assert_int_eq(number_of(e, "match"), match);
	ck_assert_int_eq(hits(all, "attach", "endpoint", publisher, "peer", first, &e), 0);	/* before */
	ck_assert_int_eq(hits(all, "detach", "endpoint", publisher, "peer", first, &e), 1);
	ck_assert_int_ne(number_of(e, "match"), match);
}

START_TEST(events_tell_what_was_done)
{
	const struct zcp_publisher_options options = { .depth = DEPTH, .payload_max = PAYLOAD_MAX };
	const struct zcp_notifier_options notifier_options = { .sz = sizeof(notifier_options) };
	const struct zcp_client_options client_options = { .sz = sizeof(client_options) };
	const json_t *e = NULL;
	zcp_notifier *notifier;
	zcp_client *client;
	struct world w;
	json_t *all;

	writer_truth = truth_new();
	reader_truth = truth_new();
	w = world_begin(act, &options);
	ok(zcp_client_open(&client, w.node, &lib_topic, &client_options));
	ok(zcp_client_connect(client, 1, 20 * SECOND));
	ok(zcp_notifier_open(&notifier, w.node, &lib_topic, &notifier_options));
	ok(zcp_notifier_wait(notifier, 1, 20 * SECOND));
	trace("events");

	stage_set(w.stage, GO, 1);
	ck_assert_within(file_says(trace_out, "\"timeout_ns\":-1"), DEADLINE_MS);
	loan_and_publish(w.publisher, 64);
	stage_wait(w.stage, DONE, 1);
	publish_in_all_ways(w.publisher);
	scene(&w, 2);
	for (int i = 0; i < 200; i++)
		loan_and_publish(w.publisher, 64);
	scene(&w, 3);
	stage_set(w.stage, GO, 4);
	ask(client, 1, false);
	ask(client, 40, true);
	ask(client, 99, false);
	ask(client, 2, false);
	stage_wait(w.stage, DONE, 4);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(ok(zcp_notifier_notify(notifier, 7)), 1);
	scene(&w, 5);
	stage_set(w.stage, GO, 6);
	ck_assert_within(zcp_publisher_subscribers(w.publisher) == 2, DEADLINE_MS);
	stage_wait(w.stage, DONE, 6);
	scene(&w, 7);
	ck_assert_within(zcp_publisher_subscribers(w.publisher) == 0, DEADLINE_MS);

	all = trace_lines();
	check_summary(all);
	check_every_event(all, &w);
	check_told(all, &w, client);
	check_sleep(all, w.stage->at[SUBSCRIBER], 20 * MS);
	check_matches(all, zcp_publisher_id(w.publisher), w.stage->at[SUBSCRIBER], w.stage->at[NEWCOMER]);
	/* while the reader slept, and at its first message only; a newcomer is rung once */
	ck_assert_int_eq(hits(all, "ring", "endpoint", zcp_publisher_id(w.publisher), "peer", w.stage->at[SUBSCRIBER], &e), 1);
	ck_assert_int_eq(hits(all, "ring", "endpoint", zcp_publisher_id(w.publisher), "peer", w.stage->at[NEWCOMER], &e), 1);
	ck_assert_int_eq(hits(all, "notify", "notifier", zcp_notifier_id(notifier), "event_id", 7, &e), 5);
	ck_assert_int_eq(number_of(e, "count"), 1);
	json_decref(all);
	stage_set(w.stage, DONE, 8);
	process_expect_success(w.reader);
	world_end(&w);
}
END_TEST

/* --- more than can be printed --------------------------------------------------------------------- */

#define FLOOD 130000u		/* the ring has room for some 100000 */

static void flood(zcp_publisher *p)
{
	trace_signal(SIGSTOP);
	for (unsigned int i = 0; i < FLOOD; i++)
		ok(lib_send(p, i, 8));
}

/* What was seen of it: next, the sequence that has to follow. */
struct stream {
	int64_t next, left_out, dropped;
	int n_holes, n_summaries;
};

static void follow(void *context, json_t *line)
{
	struct stream *s = context;

	if (!strcmp(text_of(line, "type"), "dropped")) {
		s->left_out += number_of(line, "count");
		s->next += number_of(line, "count");
		s->n_holes++;
	} else if (!strcmp(text_of(line, "type"), "summary")) {
		s->dropped = number_of(line, "dropped");
		s->n_summaries++;
	} else {
		ck_assert(is(line, "publish"));
		ck_assert_int_eq(number_of(line, "sequence"), s->next);
		s->next++;
	}
}

/* The tracer stands still, and a hole is where it belongs: behind what came before, and before what came later; also at the end. */
START_TEST(events_count_what_they_leave_out)
{
	struct world w = world_begin(stay, NULL);
	struct stream stream = { 0 };
	char last[32];

	trace("events", "-k", "publish", "--interval", "0.1");
	flood(w.publisher);
	trace_signal(SIGCONT);
	ck_assert_within(file_says(trace_out, "\"dropped\""), DEADLINE_MS);
	for (unsigned int i = 0; i < 10; i++)
		ok(lib_send(w.publisher, i, 8));
	snprintf(last, sizeof(last), "\"sequence\":%u,", FLOOD + 9);
	ck_assert_within(file_says(trace_out, last), DEADLINE_MS);
	flood(w.publisher);
	trace_signal(SIGINT);
	trace_signal(SIGCONT);
	trace_each_at_end(follow, &stream);
	ck_assert_int_eq(stream.next, 2 * FLOOD + 10);
	ck_assert_int_eq(stream.n_holes, 2);
	ck_assert_int_lt(stream.left_out, FLOOD);
	ck_assert_int_eq(stream.n_summaries, 1);
	ck_assert_int_eq(stream.dropped, stream.left_out);
	process_kill(w.reader);
	world_end(&w);
}
END_TEST

/* --- its end -------------------------------------------------------------------------------------- */

START_TEST(events_end_after_their_time)
{
	struct world w = world_begin(stay, NULL);
	const json_t *summary = NULL;
	json_t *all;

	trace("events", "-k", "loan,publish", "--duration", "0.3");
	for (unsigned int i = 0; i < 5; i++)
		ok(lib_send(w.publisher, i, 16));
	all = trace_lines_at_end();
	ck_assert_int_eq(count_lines(all, "type", "summary", &summary), 1);
	ck_assert_double_ge(json_real_value(json_object_get(summary, "seconds")), 0.3);
	ck_assert_int_le(count_lines(all, "probe", "publish", NULL), 5);
	ck_assert_int_eq((int)json_array_size(all), 1 + count_lines(all, "probe", "publish", NULL) + count_lines(all, "probe", "loan", NULL));
	json_decref(all);
	process_kill(w.reader);
	world_end(&w);
}
END_TEST

/* --- the suite ------------------------------------------------------------------------------------ */

int main(void)
{
	Suite *suite = suite_create("trace-events");

	trace_skip();
	add(suite, "events", events_tell_what_was_done);
	add(suite, "lost", events_count_what_they_leave_out);
	add(suite, "end", events_end_after_their_time);
	return run_suite(suite);
}
