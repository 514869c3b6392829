/* SPDX-License-Identifier: MIT */
/* See calls.h. */
#include "calls.h"

#include <errno.h>
#include <string.h>

#include "channel/retire.h"
#include "lib/client.h"
#include "lib/server.h"
#include "writer-check.h"

#define PENDING_AT_ONCE 8
#define HELD_AT_ONCE 4
#define LATEST 64	/* requests whose end is remembered */

zcp_node *callers;

static const struct zcp_topic topic = { "crash", "calls", "numbers" };
static zcp_server *server;
static zcp_client *client;

/* What the client has asked and not heard the end of. */
static struct {
	uint64_t id, number;
} under_way[LATEST];
static uint64_t n_asked;
static uint32_t n_under_way;

static uint64_t next_of_victim;		/* requests of it that came, or responses */
static struct zcp_request held[HELD_AT_ONCE];
static uint32_t n_held;

/* ---- endpoints --------------------------------------------------------------------------------------------------- */

zcp_server *open_server(zcp_node *node, const struct zcp_topic *of)
{
	struct zcp_server_options options = { .sz = sizeof(options), .payload_max = 4096, .depth = 12, .max_held = 8, .max_clients = 4,
					      .load_balanced = true };
	zcp_server *s;

	ok(zcp_server_open(&s, node, of, &options));
	return s;
}

zcp_client *open_client(zcp_node *node, const struct zcp_topic *of)
{
	struct zcp_client_options options = { .sz = sizeof(options), .payload_max = 4096, .max_pending = PENDING_AT_ONCE, .max_servers = 4 };
	zcp_client *c;

	ok(zcp_client_open(&c, node, of, &options));
	return c;
}

uint64_t number_in(const void *data, size_t size)
{
	struct zcp_sample sample = { .data = data, .size = size };

	return number_of(&sample);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static bool is_mine(const struct zcp_request *request)
{
	return request->client == zcp_client_id(client);
}

static void note_request(const struct zcp_request *request)
{
	uint64_t number = number_in(request->data, request->size);

	if (is_mine(request))
		return;
	if (number != next_of_victim)
		fail("request %llu of the victim came where %llu was due", (unsigned long long)number, (unsigned long long)next_of_victim);
	next_of_victim++;
}

static void answer(struct zcp_request *request)
{
	uint64_t message[BIG / 8], number = number_in(request->data, request->size);
	int r = 0;

	if (!is_mine(request)) {
		fill(message, number, SMALL);
		r = zcp_request_reply_with(request, message, SMALL, ZCP_MORE);
	}
	fill(message, number, number % 2 ? BIG : SMALL);
	if (r == 0)
		r = zcp_request_reply(request, message, number % 2 ? BIG : SMALL);
	if (r < 0 && (is_mine(request) || r != -EPIPE))
		fail("reply: %d: %s", r, zcp_last_error());
}

static bool take_request(struct zcp_request *request)
{
	int r = zcp_server_take(server, request);

	if (r != 0 && r != -EAGAIN)
		fail("take: %d: %s", r, zcp_last_error());
	if (r == 0)
		note_request(request);
	return r == 0;
}

void calls_serve(void)
{
	struct zcp_request request;

	while (take_request(&request)) {
		answer(&request);
		zcp_request_release(&request);
	}
}

void calls_hold(uint32_t n)
{
	for (; n_held < n; n_held++)
		expect(take_request(&held[n_held]));
}

/* They are whole, whoever has died, and to nobody's advantage. */
static void let_go(void)
{
	for (; n_held; n_held--) {
		answer(&held[n_held - 1]);
		zcp_request_release(&held[n_held - 1]);
	}
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static void ask(void)
{
	uint64_t message[BIG / 8];

	fill(message, n_asked, n_asked % 3 ? SMALL : BIG);
	under_way[n_under_way].number = n_asked;
	ok(zcp_client_send(client, message, n_asked % 3 ? SMALL : BIG, &under_way[n_under_way].id));
	n_asked++;
	n_under_way++;
}

void calls_ask(void)
{
	expect(ok(zcp_client_servers(client)) == 2);
	for (int i = 0; i < N_ASKED; i++)
		ask();
}

static uint32_t find(uint64_t id)
{
	for (uint32_t i = 0; i < n_under_way; i++)
		if (under_way[i].id == id)
			return i;
	fail("request %llu is not under way, and ended", (unsigned long long)id);
}

static void note_response(struct zcp_response *response)
{
	bool mine = response->server == zcp_server_id(server);
	uint32_t i = find(response->id);

	if (response->status && (mine || (response->status != -EPIPE && response->status != -ENODATA)))
		fail("request %llu ended with %d", (unsigned long long)under_way[i].number, response->status);
	if (!response->status) {
		uint64_t number = number_in(response->data, response->size);

		if (number != under_way[i].number)
			fail("%llu was asked, and %llu answered", (unsigned long long)under_way[i].number, (unsigned long long)number);
		next_of_victim += !mine;
	}
	zcp_response_release(response);
	if (!(response->flags & ZCP_MORE))
		under_way[i] = under_way[--n_under_way];
}

static void take_responses(void)
{
	struct zcp_response response;
	int r;

	while ((r = zcp_client_take(client, &response)) == 0)
		note_response(&response);
	if (r != -EAGAIN)
		fail("take: %d: %s", r, zcp_last_error());
}

/* ---- before and after -------------------------------------------------------------------------------------------- */

bool calls_are_alone(void)
{
	calls_serve();
	take_responses();
	if (n_under_way || ok(zcp_client_servers(client)) != 1 || ok(zcp_server_clients(server)) != 1)
		return false;
	/* and the connections to others are freed */
	return !client->exchange.mine->mine && !server->exchange.mine->mine;
}

/* The connection of the survivors: a dead victim may be introduced as late as now, and go again. */
static struct connection *connection_to(const struct exchange *ex, uint64_t peer)
{
	struct connection *c = ex->mine;

	while (c && c->peer != peer)
		c = c->mine;
	if (!c)
		fail("the survivors are not connected any more");
	return c;
}

static void check_channel(const char *whose, const struct exchange *ex, uint64_t peer)
{
	struct connection *c = connection_to(ex, peer);
	struct channel_writer *w = &c->out->writer;
	const char *why;

	why = channel_writer_check(w);
	if (!why) {
		retire_consumed(w);
		why = channel_writer_check(w);
	}
	if (why)
		fail("the survivors' %s: %s", whose, why);
	if (w->n_limbo || w->n_expected || w->n_loans || c->n_requests)
		fail("the survivors' %s: %u in limbo, %u expected, %u loans, %u requests", whose, w->n_limbo, w->n_expected, w->n_loans,
		     c->n_requests);
}

/* Twice around each ring, with as much under way as may be. */
static void go_on(void)
{
	for (int round = 0; round < 2 * RING / PENDING_AT_ONCE + 1; round++) {
		for (int i = 0; i < PENDING_AT_ONCE; i++)
			ask();
		calls_serve();
		take_responses();
		if (n_under_way)
			fail("%u of the survivors' requests did not end", n_under_way);
	}
	/* what is read is known to be so when the reader finds nothing more */
	calls_serve();
	check_channel("client", &client->exchange, zcp_server_id(server));
	check_channel("server", &server->exchange, zcp_client_id(client));
}

void calls_before(void)
{
	progress->begun = progress->completed = 0;
	next_of_victim = 0;
}

void calls_after(void)
{
	calls_serve();
	let_go();
	expect(calls_are_alone());
	check_progress(next_of_victim);
	go_on();
}

void calls_open(void)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path };

	ok(zcp_node_open(&callers, "callers", &options));
	server = open_server(callers, &topic);
	client = open_client(callers, &topic);
	expect(calls_are_alone());
	go_on();
}

void calls_close(void)
{
	zcp_node_close(callers);
	callers = NULL;
}
