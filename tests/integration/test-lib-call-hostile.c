/* SPDX-License-Identifier: MIT */
/*
 * Clients and servers whose counterpart writes what it likes: into the header of its messages, and over all of the memory
 * that it shares. Nobody crashes or hangs, no request ends that is not under way, and with honest ones all goes on.
 *
 * The hostile one is a handle of this process, so that its memory can be written to behind its back.
 */
#include "call-helper.h"

#include <signal.h>
#include <stdatomic.h>

#include "lib/client.h"
#include "lib/server.h"

#define MAX_PENDING 8
#define ROUNDS 20000

static zcp_node *servers, *clients;
static zcp_server *server;
static zcp_client *client;
static uint64_t random_state;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* One of a few extremes, or anything. */
static uint64_t any_number(void)
{
	static const uint64_t extremes[] = { 0, 1, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN, UINT32_MAX, 1u << PENDING_BITS, MAX_PENDING };
	uint64_t n = random_next();

	return n % 3 ? n >> (n % 61) : extremes[n / 3 % (sizeof(extremes) / sizeof(extremes[0]))];
}

static zcp_server *some_server(void)
{
	return open_server(servers, &(struct zcp_server_options){ .payload_max = 1000, .depth = 16, .load_balanced = true });
}

static zcp_client *some_client(int64_t timeout)
{
	return open_client(clients, &(struct zcp_client_options){ .payload_max = 1000, .max_pending = MAX_PENDING, .timeout = timeout });
}

static void start(int64_t timeout)
{
	random_state = 88172645463325252u + (uint64_t)timeout;
	lib_router_start();
	servers = lib_node("servers");
	clients = lib_node("clients");
	server = some_server();
	client = some_client(timeout);
	ok(zcp_client_connect(client, 1, 20 * SECOND));
	ck_assert_within(zcp_server_clients(server) == 1, DEADLINE_MS);
}

static void stop(void)
{
	zcp_node_close(clients);
	zcp_node_close(servers);
	lib_router_stop(SIGTERM);
}

static struct connection *only(struct exchange *ex)
{
	ck_assert_ptr_nonnull(ex->mine);
	ck_assert_ptr_null(ex->mine->mine);
	return ex->mine;
}

/* A message with any header; its payload says who it is. Not sent where there is no room. */
static int say(struct connection *c, const struct call_header *header, uint64_t payload)
{
	struct channel_writer *w = &c->out->writer;
	uint64_t message[100] = { payload };
	int r;

	c->out->timeout_ns = 0;
	channel_writer_set_header(w, header, sizeof(*header));
	r = zcp_publisher_send(c->out, message, random_next() % 50 ? 8 : sizeof(message));
	ck_assert_msg(r >= 0 || r == -EAGAIN || r == -ENOBUFS, "%d: %s", r, zcp_last_error());
	channel_writer_set_header(w, "", 0);
	return r < 0 ? r : 0;
}

/* ---- what is under way ------------------------------------------------------------------------------------------- */

static uint64_t under_way[MAX_PENDING];
static uint32_t n_under_way;

static bool is_under_way(uint64_t id)
{
	for (uint32_t i = 0; i < n_under_way; i++)
		if (under_way[i] == id)
			return true;
	return false;
}

static void note_end(uint64_t id)
{
	for (uint32_t i = 0; i < n_under_way; i++)
		if (under_way[i] == id)
			under_way[i--] = under_way[--n_under_way];
}

/* Behind the server's back, which so owes nobody an answer. */
static void read_requests(void)
{
	struct zcp_sample sample;

	while (zcp_subscriber_take(&server->exchange.in, &sample) == 0)
		zcp_sample_release(&sample);
}

static void ask(void)
{
	static uint64_t number;

	read_requests();
	while (n_under_way < MAX_PENDING && zcp_client_send(client, &number, 8, &under_way[n_under_way]) == 0)
		n_under_way++;
	number++;
}

/* Whatever was said: what comes is about a request under way, and is well-formed. */
static bool take_one(zcp_client *of)
{
	struct zcp_response response;
	int r = zcp_client_take(of, &response);

	ck_assert_msg(r == 0 || r == -EAGAIN, "%d: %s", r, zcp_last_error());
	if (r < 0)
		return false;
	ck_assert_msg(is_under_way(response.id), "request %llx ended, which is not under way", (unsigned long long)response.id);
	ck_assert_int_le(response.status, 0);
	ck_assert_int_gt(response.status, -4096);
	ck_assert_uint_eq(response.flags & ~ZCP_MORE, 0);
	ck_assert_uint_le(response.size, 1000);
	if (response.status)
		ck_assert(!response.size && !response.data && !response.flags);
	if (!(response.flags & ZCP_MORE))
		note_end(response.id);
	zcp_response_release(&response);
	return true;
}

/* An honest pair of the same two nodes. */
static void expect_calls_work(void)
{
	zcp_server *honest = some_server();
	zcp_client *asking = some_client(0);
	struct zcp_request request;
	struct zcp_response response;
	uint64_t id, n_servers = (uint64_t)ok(zcp_client_connect(asking, 1, 20 * SECOND));

	ck_assert_within((n_servers = (uint64_t)ok(zcp_client_servers(asking))) == 2, DEADLINE_MS);
	for (int i = 0; i < 20; i++) {
		/* of two, each in turn: what the hostile one gets stays there */
		ok(zcp_client_send(asking, "question", 8, &id));
		if (zcp_server_take(honest, &request) < 0)
			continue;
		ok(zcp_request_reply(&request, "answer", 6));
		zcp_request_release(&request);
		take_response(asking, &response);
		ck_assert_uint_eq(response.id, id);
		ck_assert_int_eq(memcmp(response.data, "answer", 6), 0);
		zcp_response_release(&response);
		zcp_client_close(asking);
		zcp_server_close(honest);
		return;
	}
	ck_abort_msg("no call came to the honest server");
}

/* ---- hostile servers --------------------------------------------------------------------------------------------- */

static uint64_t any_id(void)
{
	uint64_t how = random_next() % 8, known = under_way[random_next() % MAX_PENDING];

	switch (how) {
	case 0:
		return known;
	case 1:
		return known + (1u << PENDING_BITS);		/* the same entry, of another time */
	case 2:
		return known - (1u << PENDING_BITS);
	case 3:
		return known ^ 1;
	case 4:
		return known | (PENDING_MAX - 1);		/* an entry that is beyond the table */
	default:
		return any_number();
	}
}

/* Ids of what is not under way, statuses that are none, flags that do not exist. */
START_TEST(answers_to_nothing)
{
	struct connection *to;

	start(0);
	to = only(&server->exchange);
	for (int i = 0; i < ROUNDS; i++) {
		struct call_header header = { .id = any_id(), .flags = (uint32_t)any_number(), .status = (int32_t)any_number(),
					      .deadline_ns = (int64_t)any_number() };

		if (random_next() % 4 == 0)
			ask();
		if (i % 3 == 0)
			header.status = 0;
		say(to, &header, (uint64_t)i);
		if (random_next() % 2)
			take_one(client);
	}
	while (take_one(client) || zcp_subscriber_wait(&client->exchange.in, 0) == 0)
		;
	ask();
	expect_calls_work();
	/* every one that is still under way ends with its server */
	zcp_server_close(server);
	ck_assert_within(take_one(client), DEADLINE_MS);
	ck_assert_within((take_one(client), !n_under_way), DEADLINE_MS);
	fails(zcp_client_send(client, "", 0, NULL), -ENOTCONN, "no server");
	stop();
}
END_TEST

/* The answer to what another server was asked. */
START_TEST(answers_for_another)
{
	struct zcp_response response;
	struct zcp_request request;
	struct call_header header;
	zcp_server *other;
	uint64_t id[2];
	int n = 0;

	start(0);
	other = some_server();
	ok(zcp_client_connect(client, 2, 20 * SECOND));
	ck_assert_within(zcp_server_clients(other) == 1, DEADLINE_MS);
	for (int i = 0; i < 2; i++)
		ok(zcp_client_send(client, "question", 8, &id[i]));
	take_request(other, &request);
	for (int i = 0; i < 2; i++) {
		/* the other one says what it can of both: one of them is its own to answer */
		header = (struct call_header){ .id = id[i] };
		ck_assert_int_eq(say(only(&other->exchange), &header, 7), 0);
	}
	while (zcp_client_take(client, &response) == 0) {
		ck_assert_uint_eq(response.id, request.id);
		ck_assert_uint_eq(response.server, zcp_server_id(other));
		zcp_response_release(&response);
		n++;
	}
	ck_assert_int_eq(n, 1);
	zcp_request_release(&request);
	take_request(server, &request);
	ok(zcp_request_reply(&request, "answer", 6));
	take_response(client, &response);
	ck_assert_uint_eq(response.id, request.id);
	ck_assert_uint_eq(response.server, zcp_server_id(server));
	zcp_response_release(&response);
	zcp_request_release(&request);
	stop();
}
END_TEST

/* A call waits out its time among answers to nothing, and those to other requests are kept for take. */
START_TEST(call_among_lies)
{
	struct zcp_sample sample;
	struct connection *to;

	start(0);
	to = only(&server->exchange);
	for (int round = 0; round < 20; round++) {
		n_under_way = 0;
		read_requests();
		for (int i = 0; i < MAX_PENDING - 1; i++)
			ok(zcp_client_send(client, "question", 8, &under_way[n_under_way++]));
		for (int i = 0; i < 200; i++) {
			struct call_header header = { .id = i % 2 ? any_number() : under_way[i % (MAX_PENDING - 1)] ^ (uint64_t)(i % 3) << 60,
						      .status = i % 5 ? 0 : -ENODATA };

			if (say(to, &header, (uint64_t)i) < 0)
				break;
		}
		fails(zcp_client_call(client, "question", 8, &sample, 2000000), -ETIMEDOUT, "in time");
		while (take_one(client))
			;
		/* what was not answered is, now */
		for (uint32_t i = 0; i < n_under_way; i++)
			say(to, &(struct call_header){ .id = under_way[i] }, 0);
		ck_assert_within((take_one(client), !n_under_way), DEADLINE_MS);
	}
	ck_assert_uint_eq(client->n_free, MAX_PENDING);
	expect_calls_work();
	stop();
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static _Atomic uint64_t *any_word(struct channel_writer *w, uint64_t at)
{
	struct channel_slot *slot = (void *)(w->ring + ((at & w->mask) << w->slot_shift));

	switch (random_next() % 9) {
	case 0:
		return &w->header->head;
	case 1:
		return &w->header->tail;
	case 2:
		return &w->header->writer_ticket;
	case 3:
		return &w->header->attach_epoch;
	case 4:
		return &w->header->attached[0].generation;
	case 5:
		return &slot->descriptor;
	default:
		return &((_Atomic uint64_t *)(void *)slot)[random_next() % ((1u << w->slot_shift) / 8)];
	}
}

/* Words of the segment that a reader looks at, around where it is; with ids that are under way, too. */
static void scribble(struct channel_writer *w, const struct channel_reader *r)
{
	struct channel_slot *slot = (void *)(w->ring + ((r->cur & w->mask) << w->slot_shift));
	uint64_t value = random_next() % 2 ? any_id() : any_number();

	atomic_store(any_word(w, r->cur + random_next() % 4), value);
	if (random_next() % 4)
		return;
	/* a message that is there, of any size and in any chunk */
	atomic_store(&w->header->tail, r->cur);
	atomic_store(slot_user_header(slot, w->slot_shift, w->header_bytes), any_id());
	atomic_store(&slot->descriptor, (random_next() % 3 ? (uint64_t)REF_KIND_INLINE << 60 : random_next() % 2 << 60 | random_next() % 50 << 32) |
					random_next() % 1100);
	atomic_store(&slot->seq, r->cur + 1);
}

static struct channel_reader *reader_of(struct zcp_subscriber *s)
{
	ck_assert_uint_eq(s->n_lanes, 1);
	return &s->lane[0]->reader;
}

/* A reader that was told of sequences far away sees an empty ring from then on: back to the beginning with it. */
static void come_back(struct channel_reader *r)
{
	if (r->cur > 1u << 30)
		r->cur = r->stored = 0;
}

START_TEST(servers_memory)
{
	struct zcp_sample sample;
	struct connection *to;
	int n_taken = 0;

	start(_i ? 1000000 : 0);
	to = only(&server->exchange);
	for (int i = 0; i < ROUNDS; i++) {
		struct channel_reader *r = reader_of(&client->exchange.in);

		if (i % 16 == 0)
			ask();
		scribble(&to->out->writer, r);
		n_taken += take_one(client);
		come_back(r);
		if (i % 5000 == 4999 && n_under_way < MAX_PENDING) {
			int e = zcp_client_call(client, "question", 8, &sample, 1000000);

			ck_assert(e == 0 || e == -ETIMEDOUT || e == -EAGAIN || (e < 0 && e > -4096));
			if (e == 0)
				zcp_sample_release(&sample);
		}
	}
	ck_assert_int_gt(n_taken, 100);
	expect_calls_work();
	zcp_server_close(server);
	ck_assert_within((take_one(client), !n_under_way), DEADLINE_MS);
	ck_assert_within((take_one(client), zcp_client_servers(client) == 0), DEADLINE_MS);
	server = some_server();
	ok(zcp_client_connect(client, 1, 20 * SECOND));
	stop();
}
END_TEST

/* ---- hostile clients --------------------------------------------------------------------------------------------- */

/* Ids twice, deadlines before the beginning, flags that do not exist: requests like others, and the client bears it. */
START_TEST(questions_of_nobody)
{
	struct zcp_request held[4];
	struct connection *to;
	uint32_t n_held = 0;

	start(0);
	to = only(&client->exchange);
	for (int i = 0; i < ROUNDS; i++) {
		struct call_header header = { .id = any_id(), .flags = (uint32_t)any_number(), .status = (int32_t)any_number(),
					      .deadline_ns = (int64_t)any_number() };
		struct zcp_request *request = &held[n_held];

		if (random_next() % 4 == 0)
			ask();
		say(to, &header, (uint64_t)i);
		if (zcp_server_take(server, request) == 0) {
			ck_assert_int_ge(request->deadline_ns, 0);
			ck_assert_uint_eq(request->flags & ~(uint32_t)(ZCP_EXPIRED | ZCP_ONE_WAY), 0);
			ck_assert_uint_eq(request->client, zcp_client_id(client));
			ck_assert(request->deadline_ns || !(request->flags & ZCP_EXPIRED));
			n_held++;
		}
		while (n_held > random_next() % 4) {
			int r = zcp_request_reply_with(&held[--n_held], "answer", 6, random_next() % 4 ? 0 : ZCP_MORE);

			ck_assert_msg(r == 0 || r == -EAGAIN, "%d: %s", r, zcp_last_error());
			zcp_request_release(&held[n_held]);
		}
		if (random_next() % 2)
			take_one(client);
	}
	while (n_held)
		zcp_request_release(&held[--n_held]);
	/* what it says of nobody is the client's own affair; it gets no end of what it has not asked */
	while (take_one(client))
		;
	zcp_client_close(client);
	ck_assert_within((zcp_server_take(server, &held[0]) == 0 ? zcp_request_release(&held[0]) : (void)0, zcp_server_clients(server) == 0),
			 DEADLINE_MS);
	expect_calls_work();
	stop();
}
END_TEST

/* 0: the client, 1: the server has a channel whose messages have a header of another size. All of it is dropped, and read. */
START_TEST(header_of_another_size)
{
	static const uint32_t sizes[] = { 0, 8, 16, 32, 40 };
	struct zcp_sample sample;
	struct zcp_request request;

	lib_router_start();
	servers = lib_node("servers");
	clients = lib_node("clients");
	client = some_client(0);
	if (_i % 2 == 0)
		client->exchange.wish.header_bytes = sizes[_i / 2];	/* before there is anybody */
	server = some_server();
	if (_i % 2)
		server->exchange.wish.header_bytes = sizes[_i / 2];
	if (_i % 2) {
		/* the server's channel to this one is planned with what it wishes now */
		zcp_client_close(client);
		client = some_client(0);
	}
	ok(zcp_client_connect(client, 1, 20 * SECOND));
	ck_assert_within(zcp_server_clients(server) == 1, DEADLINE_MS);
	for (int i = 0; i < 100; i++) {
		fails(zcp_client_call(client, "question", 8, &sample, 100000), -ETIMEDOUT, "in time");
		if (_i % 2 == 0) {
			fails(zcp_server_take(server, &request), -EAGAIN, "no request");
			continue;
		}
		take_request(server, &request);
		ok(zcp_request_reply(&request, "answer", 6));
		zcp_request_release(&request);
	}
	ck_assert_uint_eq(client->n_free, MAX_PENDING);
	stop();
}
END_TEST

START_TEST(clients_memory)
{
	struct zcp_request request;
	struct connection *to;
	int n_taken = 0;

	start(0);
	to = only(&client->exchange);
	for (int i = 0; i < ROUNDS; i++) {
		struct channel_reader *r = reader_of(&server->exchange.in);

		scribble(&to->out->writer, r);
		if (zcp_server_take(server, &request) == 0) {
			int e;

			ck_assert_uint_le(request.size, 1000);
			ck_assert_int_ge(request.deadline_ns, 0);
			e = zcp_request_reply(&request, "answer", 6);
			ck_assert_msg(e == 0 || e == -EAGAIN, "%d: %s", e, zcp_last_error());
			zcp_request_release(&request);
			n_taken++;
		}
		take_one(client);
		come_back(r);
	}
	ck_assert_int_gt(n_taken, 100);
	expect_calls_work();
	stop();
}
END_TEST

/* Cursors and pins of the lane on which responses are read: the server has room, or it has none, and goes on. */
START_TEST(clients_lane)
{
	struct zcp_request request;
	struct channel_lane *lane;
	uint64_t n_answered = 0;

	start(0);
	lane = reader_of(&client->exchange.in)->lane;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t head = only(&server->exchange)->out->writer.head;
		int e;

		n_under_way = 0;
		if (zcp_client_send(client, "question", 8, &under_way[0]) == 0)
			n_under_way = 1;
		else
			say(only(&client->exchange), &(struct call_header){ .id = 1 }, 0);
		atomic_store(&lane->cursor, random_next() % 3 ? head - random_next() % 20 : any_number());
		atomic_store(&lane->pin[random_next() % 4], random_next() % 3 ? head - random_next() % 20 : any_number());
		if (zcp_server_take(server, &request) < 0)
			continue;
		e = random_next() % 3 ? zcp_request_reply(&request, "answer", 6) : zcp_request_reply(&request, (unsigned char[900]){ 0 }, 900);
		ck_assert_msg(e == 0 || e == -EAGAIN || e == -ENOBUFS, "%d: %s", e, zcp_last_error());
		n_answered += e == 0;
		zcp_request_release(&request);
	}
	ck_assert_uint_gt(n_answered, 100);
	expect_calls_work();
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lib-call-hostile");
	TCase *of_servers = add_test_case(suite, "servers", 60);
	TCase *of_clients = add_test_case(suite, "clients", 60);

	tcase_add_test(of_servers, answers_to_nothing);
	tcase_add_test(of_servers, answers_for_another);
	tcase_add_test(of_servers, call_among_lies);
	tcase_add_loop_test(of_servers, servers_memory, 0, 2);
	tcase_add_test(of_clients, questions_of_nobody);
	tcase_add_loop_test(of_clients, header_of_another_size, 0, 10);
	tcase_add_test(of_clients, clients_memory);
	tcase_add_test(of_clients, clients_lane);
	return run_suite(suite);
}
