/* SPDX-License-Identifier: MIT */
/*
 * lib-calls.c - requests and responses: the server on the node under test, or the client
 */
#include <errno.h>
#include <unistd.h>

#include "lib-world.h"
#include "lib/client.h"

static int server_open(struct world *w)
{
	struct zcp_server_options options = { .sz = sizeof(options), .payload_max = LARGE, .max_held = 4 };

	return zcp_server_open(&w->server, w->server_is_here ? w->node : w->other, &lib_topic, &options);
}

static int client_open(struct world *w)
{
	struct zcp_client_options options = { .sz = sizeof(options), .payload_max = LARGE, .max_pending = 4 };

	return zcp_client_open(&w->client, w->server_is_here ? w->other : w->node, &lib_topic, &options);
}

static int open_server_here(struct world *w)
{
	w->server_is_here = true;
	return server_open(w);
}

static void client_there(struct world *w)
{
	world_open_nodes(w);
	w->server_is_here = true;
	ok(client_open(w));
}

static void connect_calls(struct world *w)
{
	ck_assert_within((world_dispatch(w), zcp_client_servers(w->client) == 1 && zcp_server_clients(w->server) == 1), DEADLINE_MS);
}

/* The client first: it would wait for a server whose node nobody dispatches meanwhile. */
static void connected_client(struct world *w)
{
	world_open_nodes(w);
	ok(client_open(w));
	ok(server_open(w));
	connect_calls(w);
}

static void connected_server(struct world *w)
{
	client_there(w);
	ok(server_open(w));
	connect_calls(w);
}

static int client_send(struct world *w)
{
	int r = zcp_client_send(w->client, w->buffer, 16, &w->id);

	return r < 0 ? r : zcp_client_send(w->client, w->buffer, LARGE, NULL);
}

static int client_loan_and_send(struct world *w)
{
	void *payload;
	int r = zcp_client_loan(w->client, LARGE, &payload);

	if (r == 0)
		r = zcp_client_send_loan(w->client, payload, LARGE, &w->id);
	return r;
}

static int client_send_and_forget(struct world *w)
{
	int r = zcp_client_send_timeout(w->client, w->buffer, LARGE, &w->id, 1000000000);

	return r < 0 ? r : zcp_client_forget(w->client, w->id);
}

/* Its response is there already. */
static int client_forget(struct world *w)
{
	return zcp_client_forget(w->client, w->id);
}

/* Nobody answers. */
static int client_call(struct world *w)
{
	return zcp_client_call(w->client, w->buffer, 16, &w->samples[0], 1000000);
}

static void asked(struct world *w)
{
	connected_server(w);
	ok(client_send(w));
}

static int server_take(struct world *w)
{
	return zcp_server_take(w->server, &w->request);
}

static int server_wait(struct world *w)
{
	return zcp_server_wait(w->server, 1000000);
}

static void request_taken(struct world *w)
{
	asked(w);
	ok(server_take(w));
}

static int request_reply(struct world *w)
{
	int r = zcp_request_reply_with(&w->request, w->buffer, LARGE, ZCP_MORE);

	return r < 0 ? r : zcp_request_reply(&w->request, w->buffer, 16);
}

static int request_loan_and_send(struct world *w)
{
	void *payload;
	int r = zcp_request_loan(&w->request, LARGE, &payload);

	return r < 0 ? r : zcp_request_send(&w->request, payload, LARGE, 0);
}

static int request_release(struct world *w)
{
	zcp_request_release(&w->request);
	return 0;
}

static void answered(struct world *w)
{
	struct zcp_request request;

	connected_client(w);
	ok(client_send(w));
	ck_assert_within(zcp_server_take(w->server, &request) == 0, DEADLINE_MS);
	ok(zcp_request_reply(&request, w->buffer, LARGE));
	zcp_request_release(&request);
}

static int client_take(struct world *w)
{
	return zcp_client_take(w->client, &w->response);
}

static int client_wait(struct world *w)
{
	return zcp_client_wait(w->client, 1000000);
}

static int client_connect(struct world *w)
{
	return zcp_client_connect(w->client, 2, 1000000);
}

static int calls_fd(struct world *w)
{
	return w->server_is_here ? zcp_server_fd(w->server) : zcp_client_fd(w->client);
}

static int server_close(struct world *w)
{
	zcp_server_close(w->server);
	w->server = NULL;
	return 0;
}

static int client_close(struct world *w)
{
	zcp_client_close(w->client);
	w->client = NULL;
	return 0;
}

/* The other end comes, or goes; the node under test hears of it. */
static int peer_comes(struct world *w)
{
	uint32_t held = fault_hold();

	client_connect_patience_ns = 10000000;
	ok(w->server_is_here ? client_open(w) : server_open(w));
	fault_release(held);
	for (int i = 0; i < 20; i++) {
		zcp_node_dispatch(w->node);
		zcp_node_dispatch(w->other);
		usleep(200);
	}
	return w->server_is_here ? zcp_server_clients(w->server) : zcp_client_servers(w->client);
}

static int peer_goes(struct world *w)
{
	uint32_t held = fault_hold();

	(void)(w->server_is_here ? client_close(w) : server_close(w));
	fault_release(held);
	zcp_node_dispatch(w->node);
	return w->server_is_here ? zcp_server_clients(w->server) : zcp_client_servers(w->client);
}

static void server_alone(struct world *w)
{
	world_open_nodes(w);
	ok(open_server_here(w));
}

static void client_alone(struct world *w)
{
	world_open_nodes(w);
	ok(client_open(w));
}

/* Whatever became of the connection: requests that can be sent end. */
void calls_check(struct world *w)
{
	int64_t end = now_ns() + DEADLINE_MS * 1000000ll;
	struct zcp_response response;
	bool ended = false;
	uint64_t id;

	if (!w->client || !w->server)
		return;
	if (w->request.owner)
		zcp_request_release(&w->request);
	if (w->response.sample.owner)
		zcp_response_release(&w->response);
	world_dispatch(w);
	while (zcp_client_take(w->client, &response) == 0)
		zcp_response_release(&response);
	if (zcp_client_send(w->client, w->buffer, 8, &id) < 0)
		return;
	while (!ended) {
		struct zcp_request request;

		world_dispatch(w);
		if (zcp_server_take(w->server, &request) == 0) {
			(void)zcp_request_reply(&request, request.data, request.size);
			zcp_request_release(&request);
		}
		if (zcp_client_take(w->client, &response) == 0) {
			ended = response.id == id && !response.flags;
			zcp_response_release(&response);
		}
		ck_assert_msg(now_ns() < end, "%s: a request afterwards does not end", fault_where);
	}
}

/* What zcp.h documents. */
#define SEND_ERRORS { ENOTCONN, EMSGSIZE, ENOBUFS, EAGAIN, EPIPE, EOWNERDEAD }
#define SERVER_ERRORS { EADDRINUSE, EINVAL, EPROTOTYPE, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ETIMEDOUT, EOWNERDEAD }
#define REPLY_ERRORS { EPIPE, EALREADY, EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, ENOBUFS, EOWNERDEAD }

static const struct scenario list[] = {
	{ "zcp_server_open", world_open_nodes, open_server_here, SERVER_ERRORS },
	{ "zcp_server_open, client there", client_there, server_open, SERVER_ERRORS },
	{ "zcp_client_open", world_open_nodes, client_open, ENDPOINT_ERRORS },
	{ "zcp_client_send", connected_client, client_send, SEND_ERRORS },
	{ "zcp_client_send_loan", connected_client, client_loan_and_send, SEND_ERRORS },
	{ "zcp_client_send_timeout", connected_client, client_send_and_forget,
	  { ENOTCONN, EMSGSIZE, ENOBUFS, EAGAIN, EPIPE, ENOENT, EOWNERDEAD } },
	{ "zcp_client_forget", answered, client_forget, { ENOENT, EOWNERDEAD } },
	{ "zcp_client_call", connected_client, client_call, { ETIMEDOUT, EPIPE, ENODATA, ENOTCONN, EMSGSIZE, ENOBUFS, EAGAIN, EOWNERDEAD } },
	{ "zcp_client_take", answered, client_take, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_client_wait", answered, client_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_client_wait in vain", connected_client, client_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_client_connect", connected_client, client_connect, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_client_fd", connected_client, calls_fd, NO_ERRORS },
	{ "zcp_client_close", answered, client_close, NO_ERRORS },
	{ "zcp_node_close with a client", answered, world_close_node, NO_ERRORS },
	{ "zcp_server_take", asked, server_take, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_server_wait", asked, server_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_server_fd", asked, calls_fd, NO_ERRORS },
	{ "zcp_request_reply", request_taken, request_reply, REPLY_ERRORS },
	{ "zcp_request_send", request_taken, request_loan_and_send, REPLY_ERRORS },
	{ "zcp_request_release", request_taken, request_release, NO_ERRORS },
	{ "zcp_server_close", request_taken, server_close, NO_ERRORS },
	{ "zcp_node_close with a server", asked, world_close_node, NO_ERRORS },
	{ "a client comes", server_alone, peer_comes, NO_ERRORS },
	{ "a client goes", connected_server, peer_goes, NO_ERRORS },
	{ "a server comes", client_alone, peer_comes, NO_ERRORS },
	{ "a server goes", connected_client, peer_goes, NO_ERRORS },
};

const struct scenarios calls_scenarios = { "calls", list, sizeof(list) / sizeof(*list) };
