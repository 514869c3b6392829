/* SPDX-License-Identifier: MIT */
/* The calls of clients and servers. See operations.h, and calls.h for the survivors. */
#include "operations.h"

#include <errno.h>
#include <poll.h>

#include "calls.h"
#include "step.h"

static const struct zcp_topic late_topic = { "crash", "late", "calls" };
static zcp_server *late_server;

/* ---- what victims have in common --------------------------------------------------------------------------------- */

/* The survivors' server is there: open returns when they are connected. */
static zcp_client *connected_client(const struct side *side)
{
	zcp_client *c = open_client(join("victim"), &side->topic);

	if (ok(zcp_client_servers(c)) != 1)
		fail("the survivors' server is not connected");
	return c;
}

static void send_one(zcp_client *c, size_t size)
{
	uint64_t message[BIG / 8], id;

	fill(message, progress->begun, size);
	progress->begun++;
	ok(zcp_client_send(c, message, size, &id));
	progress->completed++;
}

/* The next response, to a request with @number. */
static void take_response(zcp_client *c, struct zcp_response *response, uint64_t number)
{
	ok(zcp_client_take(c, response));
	if (response->status || number_in(response->data, response->size) != number)
		fail("a wrong response, status %d", response->status);
}

/* Connected to the survivors' client, which has asked two questions of us. */
static zcp_server *asked_server(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_server *s = open_server(node, &side->topic);
	struct pollfd fd = { .fd = zcp_node_fd(node), .events = POLLIN };
	uint64_t end = deadline();

	while (ok(zcp_server_clients(s)) != 1) {
		if (!still_time(end))
			fail("nobody comes");
		poll(&fd, 1, 1000);
		ok(zcp_node_dispatch(node));
	}
	step_mark();	/* help: asks */
	return s;
}

static void reply(struct zcp_request *request, uint32_t flags)
{
	uint64_t message[SMALL / 8];

	fill(message, number_in(request->data, request->size), SMALL);
	progress->begun++;
	ok(zcp_request_reply_with(request, message, SMALL, flags));
	progress->completed++;
}

/* ---- what survivors do meanwhile --------------------------------------------------------------------------------- */

static void asks(struct side *side)
{
	(void)side;
	calls_ask();
}

static void serves(struct side *side)
{
	(void)side;
	calls_serve();
}

static void holds(struct side *side)
{
	(void)side;
	calls_hold(1);
}

static void server_comes(struct side *side)
{
	(void)side;
	late_server = open_server(callers, &late_topic);
}

static void server_goes(struct side *side)
{
	struct zcp_request request;

	(void)side;
	expect(zcp_server_take(late_server, &request) == 0);
	zcp_server_close(late_server);
	zcp_request_release(&request);
	late_server = NULL;
}

/* Nothing of it comes to the survivors on the topic of their own. */
static void no_messages(struct side *side)
{
	(void)side;
	progress->begun = progress->completed = 0;
}

/* ---- a client ---------------------------------------------------------------------------------------------------- */

static void client_open(const struct side *side)
{
	zcp_node *node = join("victim");

	step_mark();
	open_client(node, &side->topic);
	step_mark();
}

static void client_send(const struct side *side)
{
	zcp_client *c = connected_client(side);
	static uint64_t message[2][BIG / 8];
	uint64_t id;

	fill(message[0], 0, SMALL);
	fill(message[1], 1, BIG);
	step_mark();
	for (int i = 0; i < 2; i++) {
		progress->begun++;
		ok(zcp_client_send(c, message[i], i ? BIG : SMALL, &id));
		progress->completed++;
	}
	step_mark();
}

static void client_loan(const struct side *side)
{
	zcp_client *c = connected_client(side);
	void *payload[2];
	uint64_t id;

	step_mark();
	ok(zcp_client_loan(c, BIG, &payload[0]));
	ok(zcp_client_loan(c, SMALL, &payload[1]));
	fill(payload[0], 0, SMALL);
	progress->begun++;
	ok(zcp_client_send_loan(c, payload[0], SMALL, &id));
	progress->completed++;
	ok(zcp_client_discard(c, payload[1]));
	step_mark();
}

/* Nobody serves while we are stepped: it goes to sleep, and gives up. */
static void client_call(const struct side *side)
{
	zcp_client *c = connected_client(side);
	struct zcp_sample response;
	uint64_t message[SMALL / 8];

	fill(message, 0, SMALL);
	step_mark();
	progress->begun++;
	if (zcp_client_call(c, message, SMALL, &response, 1000000) != -ETIMEDOUT)
		fail("somebody answered");
	progress->completed++;
	step_mark();
}

static void client_take(const struct side *side)
{
	zcp_client *c = connected_client(side);
	struct zcp_response response[2];

	send_one(c, SMALL);
	send_one(c, SMALL);
	step_mark();	/* help: serves() */
	step_mark();
	for (uint64_t number = 0; number < 2; number++) {
		take_response(c, &response[0], number);
		take_response(c, &response[1], number);
		zcp_response_release(&response[1]);
		zcp_response_release(&response[0]);
	}
	if (zcp_client_take(c, &response[0]) != -EAGAIN)
		fail("there was another one");
	step_mark();
}

/* Its server goes, with one request held and one not taken. */
static void client_broken(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_client *c = open_client(node, &late_topic);
	struct zcp_response response;

	(void)side;
	step_mark();	/* help: server_comes() */
	ok(zcp_client_connect(c, 1, 20 * SECOND));
	send_one(c, BIG);
	send_one(c, SMALL);
	step_mark();	/* help: server_goes() */
	step_mark();
	for (int i = 0; i < 2; i++) {
		ok(zcp_client_wait(c, 20 * SECOND));
		ok(zcp_client_take(c, &response));
		if (response.status != -EPIPE)
			fail("status %d", response.status);
	}
	step_mark();
}

static void client_close(const struct side *side)
{
	zcp_client *c = connected_client(side);
	struct zcp_response response;
	void *payload;

	send_one(c, SMALL);
	send_one(c, BIG);
	step_mark();	/* help: serves() */
	take_response(c, &response, 0);
	send_one(c, SMALL);
	ok(zcp_client_loan(c, BIG, &payload));
	step_mark();	/* help: holds() */
	step_mark();
	zcp_client_close(c);
	zcp_response_release(&response);
	step_mark();
}

/* ---- a server ---------------------------------------------------------------------------------------------------- */

static void server_open(const struct side *side)
{
	zcp_node *node = join("victim");

	step_mark();
	open_server(node, &side->topic);
	step_mark();
}

static void server_take(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request;

	step_mark();
	for (int i = 0; i < N_ASKED / 2; i++)
		ok(zcp_server_take(s, &request));
	if (zcp_server_take(s, &request) != -EAGAIN)
		fail("there was another one");
	step_mark();
}

static void server_reply(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request[2];

	for (int i = 0; i < 2; i++)
		ok(zcp_server_take(s, &request[i]));
	step_mark();
	reply(&request[1], 0);
	reply(&request[0], 0);
	zcp_request_release(&request[0]);
	zcp_request_release(&request[1]);
	step_mark();
}

static void server_more(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request;

	ok(zcp_server_take(s, &request));
	step_mark();
	reply(&request, ZCP_MORE);
	reply(&request, ZCP_MORE);
	reply(&request, 0);
	step_mark();
}

static void server_loan(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request;
	void *payload[2];

	ok(zcp_server_take(s, &request));
	step_mark();
	ok(zcp_request_loan(&request, BIG, &payload[0]));
	ok(zcp_request_loan(&request, BIG, &payload[1]));
	fill(payload[1], number_in(request.data, request.size), SMALL);
	ok(zcp_request_discard(&request, payload[0]));
	progress->begun++;
	ok(zcp_request_send(&request, payload[1], SMALL, 0));
	progress->completed++;
	step_mark();
}

/* Unanswered: that is an answer. */
static void server_release(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request[2];

	for (int i = 0; i < 2; i++)
		ok(zcp_server_take(s, &request[i]));
	reply(&request[0], ZCP_MORE);
	step_mark();
	zcp_request_release(&request[0]);
	zcp_request_release(&request[1]);
	step_mark();
}

static void server_wait(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request;

	while (zcp_server_take(s, &request) == 0)
		reply(&request, 0);
	step_mark();
	if (zcp_server_wait(s, 1000000) != -ETIMEDOUT)
		fail("there was another one");
	step_mark();
}

static void server_close(const struct side *side)
{
	zcp_server *s = asked_server(side);
	struct zcp_request request;
	void *payload;

	ok(zcp_server_take(s, &request));
	reply(&request, ZCP_MORE);
	ok(zcp_request_loan(&request, BIG, &payload));
	step_mark();
	zcp_server_close(s);
	zcp_request_release(&request);
	step_mark();
}

/* ------------------------------------------------------------------------------------------------------------------ */

const struct operation call_operations[] = {
	{ "client-open", ON_CALLS, client_open, { NULL }, NULL },
	{ "client-send", ON_CALLS, client_send, { NULL }, NULL },
	{ "client-loan", ON_CALLS, client_loan, { NULL }, NULL },
	{ "client-call", ON_CALLS, client_call, { NULL }, NULL },
	{ "client-take", ON_CALLS, client_take, { serves }, NULL },
	{ "client-broken", ON_CALLS, client_broken, { server_comes, server_goes }, no_messages },
	{ "client-close", ON_CALLS, client_close, { serves, holds }, NULL },
	{ "server-open", ON_CALLS, server_open, { NULL }, NULL },
	{ "server-take", ON_CALLS, server_take, { asks }, NULL },
	{ "server-reply", ON_CALLS, server_reply, { asks }, NULL },
	{ "server-more", ON_CALLS, server_more, { asks }, NULL },
	{ "server-loan", ON_CALLS, server_loan, { asks }, NULL },
	{ "server-release", ON_CALLS, server_release, { asks }, NULL },
	{ "server-wait", ON_CALLS, server_wait, { asks }, NULL },
	{ "server-close", ON_CALLS, server_close, { asks }, NULL },
};
const unsigned int n_call_operations = sizeof(call_operations) / sizeof(call_operations[0]);
