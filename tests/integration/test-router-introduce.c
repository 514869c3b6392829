/* SPDX-License-Identifier: MIT */
/*
 * Clients and servers at wire level: who is introduced to whom, whose channel meets whom, and what a node that lies about
 * either gets. src/router/introduce.c. Both loops. Coming back after a restart is in test-router-reintroduce.c.
 */
#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/geometry.h"
#include "common/fd.h"
#include "common/name.h"

static struct test_router router;
static struct test_node a, b, c;
static struct wire_endpoint_open open_request;
static union wire_message message;

static void start(int i)
{
	router_start(&router, i, NULL);
	node_join(&a, &router, "a");
	node_join(&b, &router, "b");
	node_join(&c, &router, "c");
}

/* Nobody reads the answer; where the router has hung up already nobody hears it. */
static void leave(struct test_node *node)
{
	struct wire_goodbye goodbye;

	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	client_try_send(node->fd, &goodbye, sizeof(goodbye), NULL, 0);
	node_drop(node);
}

static void stop(void)
{
	leave(&a);
	leave(&b);
	leave(&c);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

/* ---- what the two say -------------------------------------------------------------------------------------------- */

static void server_fill(uint32_t request, uint32_t flags)
{
	subscriber_fill(&open_request, request, "t", 8);
	open_request.role = WIRE_ROLE_REQUEST;
	open_request.flags = flags;
	open_request.max_held = 3;
}

static void client_fill(uint32_t request)
{
	subscriber_fill(&open_request, request, "t", 8);
	open_request.role = WIRE_ROLE_RESPONSE;
	open_request.max_held = 5;
}

static void channel_fill(uint32_t request, uint32_t role, uint64_t to, uint64_t from)
{
	publisher_fill(&open_request, request, "t", 1);
	/* room for what either end holds */
	ck_assert_int_eq(geometry_plan(&open_request.geometry, &(struct geometry_request){ .payload_max = 1000, .depth = 16, .max_lanes = 1,
				       .held_budget = 8 }, &(const char *){ NULL }), 0);
	open_request.flags = WIRE_ENDPOINT_RELIABLE;
	open_request.role = role;
	open_request.to = to;
	open_request.from = from;
}

static void set_type(struct wire_type_info *type, const char *name, uint64_t size)
{
	name_to_field(type->name, WIRE_NAME_BYTES, name);
	type->size = size;
	type->alignment = 8;
}

static void open_server(struct test_endpoint *server, const struct test_node *node, uint32_t flags)
{
	server_fill(21, flags);
	endpoint_ready(server, node->fd, &open_request);
}

static void open_client(struct test_endpoint *client, const struct test_node *node)
{
	client_fill(22);
	endpoint_ready(client, node->fd, &open_request);
}

/* ---- what they hear ---------------------------------------------------------------------------------------------- */

static void expect_introduced(const struct test_node *node, const struct test_endpoint *endpoint, const struct test_node *peer_node,
			      const struct test_endpoint *peer, uint32_t max_held)
{
	client_expect(node->fd, WIRE_PEER_ADDED, &message, NULL);
	ck_assert_uint_eq(message.header.request, 0);
	ck_assert_uint_eq(message.peer_added.endpoint, endpoint->id);
	ck_assert_uint_eq(message.peer_added.peer, peer->id);
	ck_assert_uint_eq(message.peer_added.node, peer_node->welcome.node);
	ck_assert_uint_eq(message.peer_added.max_held, max_held);
	ck_assert_uint_eq(message.peer_added.reserved, 0);
}

/* All that the router said because of what it was sent so far is read: what is refused is a round trip. */
static void expect_nothing(const struct test_node *node)
{
	struct wire_endpoint_open open;

	subscriber_fill(&open, 77, "nothing", 0);
	client_send(node->fd, &open.header);
	client_expect_error(node->fd, 77, -EINVAL, "");
}

static void expect_refused(const struct test_node *node, int error, const char *part)
{
	client_send(node->fd, &open_request.header);
	client_expect_error(node->fd, open_request.header.request, error, part);
}

static void expect_gone(const struct test_node *node, enum wire_type type, const struct test_endpoint *endpoint, uint64_t match,
			enum wire_cause cause)
{
	client_expect(node->fd, type, &message, NULL);
	ck_assert_uint_eq(message.gone.endpoint, endpoint->id);
	ck_assert_uint_eq(message.gone.match, match);
	ck_assert_uint_eq(message.gone.cause, cause);
}

/* A channel from @from of @node to @to of @to_node, and the id of its match. */
static uint64_t connect_one(struct test_endpoint *channel, uint32_t role, const struct test_node *node, const struct test_endpoint *from,
			    const struct test_node *to_node, const struct test_endpoint *to)
{
	struct wire_writer_added added;

	channel_fill(23, role, to->id, from->id);
	endpoint_ready(channel, node->fd, &open_request);
	ck_assert_uint_eq(channel->n_pending, 1);
	client_expect(to_node->fd, WIRE_WRITER_ADDED, &message, NULL);
	added = message.writer_added;
	ck_assert_uint_eq(added.endpoint, to->id);
	ck_assert_uint_eq(added.publisher, channel->id);
	ck_assert_uint_eq(added.from, from->id);
	ck_assert_uint_eq(added.node, node->welcome.node);
	ck_assert_uint_eq(added.flags, WIRE_MATCH_FROM_START);
	lane_choose(to_node->fd, &added, 0);
	client_expect(node->fd, WIRE_LANE_ADDED, &message, NULL);
	ck_assert_uint_eq(message.lane_added.match, added.match);
	ck_assert_uint_eq(message.lane_added.endpoint, channel->id);
	ck_assert_uint_eq(message.lane_added.subscriber, to->id);
	return added.match;
}

/* ---- introductions ----------------------------------------------------------------------------------------------- */

/* When both are ready, in either order; a request for a place is not enough. */
START_TEST(when_both_are_ready)
{
	struct test_endpoint server, client;
	bool server_first = _i / N_LOOPS;

	start(_i % N_LOOPS);
	server_fill(21, 0);
	endpoint_open(&server, a.fd, &open_request);
	client_fill(22);
	endpoint_open(&client, b.fd, &open_request);
	endpoint_mapped(server_first ? &server : &client, server_first ? a.fd : b.fd);
	client_expect(server_first ? a.fd : b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);
	expect_nothing(&a);
	expect_nothing(&b);

	endpoint_mapped(server_first ? &client : &server, server_first ? b.fd : a.fd);
	client_expect(server_first ? b.fd : a.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 1);
	expect_introduced(&a, &server, &b, &client, 5);
	expect_introduced(&b, &client, &a, &server, 3);
	expect_nothing(&a);
	expect_nothing(&b);
	expect_nothing(&c);
	endpoint_forget(&server);
	endpoint_forget(&client);
	stop();
}
END_TEST

/* READY says how many follow: all that are ready and agree, of the other role and the very topic. */
START_TEST(how_many_follow)
{
	struct test_endpoint servers[2], clients[5];

	start(_i);
	open_client(&clients[0], &b);
	open_client(&clients[1], &b);
	client_fill(22);
	set_type(&open_request.peer_type, "Other", 16);
	endpoint_ready(&clients[2], c.fd, &open_request);
	client_fill(22);
	name_to_field(open_request.topic.instance, WIRE_NAME_BYTES, "elsewhere");
	endpoint_ready(&clients[3], c.fd, &open_request);
	client_fill(22);
	endpoint_open(&clients[4], c.fd, &open_request);	/* not ready */

	server_fill(21, WIRE_ENDPOINT_SHARED);
	set_type(&open_request.type, "Question", 16);
	endpoint_open(&servers[0], a.fd, &open_request);
	endpoint_mapped(&servers[0], a.fd);
	client_expect(a.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 2);
	expect_introduced(&a, &servers[0], &b, &clients[0], 5);
	expect_introduced(&a, &servers[0], &b, &clients[1], 5);
	expect_introduced(&b, &clients[0], &a, &servers[0], 3);
	expect_introduced(&b, &clients[1], &a, &servers[0], 3);
	client_expect(a.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_uint_eq(message.match_refused.endpoint, servers[0].id);
	ck_assert_uint_eq(message.match_refused.peer, clients[2].id);
	ck_assert_int_eq(message.match_refused.error, -EPROTOTYPE);
	client_expect(c.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_uint_eq(message.match_refused.endpoint, clients[2].id);
	ck_assert_uint_eq(message.match_refused.peer, servers[0].id);
	ck_assert_ptr_nonnull(strstr(message.match_refused.text, "Question"));
	ck_assert_ptr_nonnull(strstr(message.match_refused.text, "Other"));

	server_fill(21, WIRE_ENDPOINT_SHARED);
	endpoint_ready(&servers[1], a.fd, &open_request);	/* untyped: it agrees with all three */
	ck_assert_uint_eq(servers[1].n_pending, 3);
	expect_introduced(&a, &servers[1], &b, &clients[0], 5);
	expect_introduced(&a, &servers[1], &b, &clients[1], 5);
	expect_introduced(&a, &servers[1], &c, &clients[2], 5);
	expect_introduced(&c, &clients[2], &a, &servers[1], 3);

	endpoint_mapped(&clients[4], c.fd);
	client_expect(c.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 2);
	expect_introduced(&c, &clients[4], &a, &servers[0], 3);
	expect_introduced(&c, &clients[4], &a, &servers[1], 3);
	expect_nothing(&c);
	for (int i = 0; i < 5; i++)
		endpoint_forget(&clients[i]);
	endpoint_forget(&servers[0]);
	endpoint_forget(&servers[1]);
	stop();
}
END_TEST

/* Each channel meets its one subscriber. A second client of the topic sees nothing of the first one's. */
START_TEST(channels_meet_one)
{
	struct test_endpoint server, clients[2], to_server, to_client;
	uint64_t asking, answering;

	start(_i);
	open_server(&server, &a, 0);
	open_client(&clients[0], &b);
	open_client(&clients[1], &c);
	ck_assert_uint_eq(clients[1].n_pending, 1);
	expect_introduced(&a, &server, &b, &clients[0], 5);
	expect_introduced(&a, &server, &c, &clients[1], 5);
	expect_introduced(&b, &clients[0], &a, &server, 3);
	expect_introduced(&c, &clients[1], &a, &server, 3);
	asking = connect_one(&to_server, WIRE_ROLE_REQUEST, &b, &clients[0], &a, &server);
	answering = connect_one(&to_client, WIRE_ROLE_RESPONSE, &a, &server, &b, &clients[0]);
	ck_assert_uint_ne(asking, answering);
	expect_nothing(&a);
	expect_nothing(&b);
	expect_nothing(&c);

	/* what comes later does not meet them either */
	endpoint_close(&clients[1], c.fd);
	open_client(&clients[1], &c);
	expect_introduced(&c, &clients[1], &a, &server, 3);
	expect_introduced(&a, &server, &c, &clients[1], 5);
	expect_nothing(&c);
	endpoint_close(&to_server, b.fd);
	expect_gone(&a, WIRE_WRITER_GONE, &server, asking, WIRE_CAUSE_CLOSED);
	expect_nothing(&b);
	endpoint_close(&server, a.fd);
	expect_nothing(&a);	/* its channel is an endpoint of its own */
	expect_nothing(&b);
	endpoint_close(&clients[0], b.fd);
	expect_gone(&a, WIRE_LANE_GONE, &to_client, answering, WIRE_CAUSE_CLOSED);
	endpoint_forget(&clients[1]);
	endpoint_forget(&to_client);
	stop();
}
END_TEST

/* Data of the same name is another topic, with another type. */
START_TEST(plain_endpoints_stay_apart)
{
	struct test_endpoint server, client, publisher, subscriber, channel;

	start(_i);
	publisher_fill(&open_request, 31, "t", 8);
	set_type(&open_request.type, "Plain", 8);
	endpoint_ready(&publisher, c.fd, &open_request);
	server_fill(21, 0);
	set_type(&open_request.type, "Question", 16);
	set_type(&open_request.peer_type, "Answer", 32);
	endpoint_ready(&server, a.fd, &open_request);
	ck_assert_uint_eq(server.n_pending, 0);
	open_client(&client, &b);
	expect_introduced(&a, &server, &b, &client, 5);
	expect_introduced(&b, &client, &a, &server, 3);
	connect_one(&channel, WIRE_ROLE_REQUEST, &b, &client, &a, &server);
	expect_nothing(&c);

	subscriber_fill(&open_request, 32, "t", 8);
	endpoint_open(&subscriber, c.fd, &open_request);
	endpoint_mapped(&subscriber, c.fd);
	client_expect(c.fd, WIRE_WRITER_ADDED, &message, NULL);
	ck_assert_uint_eq(message.writer_added.publisher, publisher.id);
	ck_assert_uint_eq(message.writer_added.from, 0);
	client_expect(c.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);
	expect_nothing(&a);
	expect_nothing(&b);
	endpoint_forget(&server);
	endpoint_forget(&client);
	endpoint_forget(&publisher);
	endpoint_forget(&subscriber);
	endpoint_forget(&channel);
	stop();
}
END_TEST

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

/* One server on a topic, ready or not, unless all of them are shared. */
START_TEST(one_server)
{
	struct test_endpoint first, second;

	start(_i);
	server_fill(21, 0);
	endpoint_open(&first, a.fd, &open_request);
	expect_refused(&b, -EADDRINUSE, "node a ");
	endpoint_mapped(&first, a.fd);
	client_expect(a.fd, WIRE_ENDPOINT_READY, &message, NULL);
	expect_refused(&b, -EADDRINUSE, "load_balanced");
	expect_refused(&a, -EADDRINUSE, "load_balanced");
	server_fill(21, WIRE_ENDPOINT_SHARED);
	expect_refused(&b, -EADDRINUSE, "load_balanced");
	endpoint_close(&first, a.fd);
	expect_nothing(&a);

	endpoint_ready(&first, b.fd, &open_request);
	endpoint_ready(&second, a.fd, &open_request);
	server_fill(21, 0);
	expect_refused(&c, -EADDRINUSE, "load_balanced");
	endpoint_close(&first, b.fd);
	expect_nothing(&b);
	expect_refused(&c, -EADDRINUSE, "load_balanced");
	endpoint_close(&second, a.fd);
	expect_nothing(&a);
	endpoint_ready(&first, c.fd, &open_request);
	endpoint_forget(&first);
	stop();
}
END_TEST

START_TEST(types_must_agree)
{
	struct test_endpoint server, client;

	start(_i);
	server_fill(21, 0);
	set_type(&open_request.type, "Question", 16);
	set_type(&open_request.peer_type, "Answer", 32);
	endpoint_ready(&server, a.fd, &open_request);

	client_fill(22);
	set_type(&open_request.type, "Answer", 32);
	set_type(&open_request.peer_type, "Questions", 16);
	expect_refused(&b, -EPROTOTYPE, "server's requests are Question");
	set_type(&open_request.peer_type, "Question", 24);
	expect_refused(&b, -EPROTOTYPE, "24 bytes");
	set_type(&open_request.peer_type, "Question", 16);
	open_request.peer_type.alignment = 4;
	expect_refused(&b, -EPROTOTYPE, "requests");
	set_type(&open_request.peer_type, "Question", 16);
	set_type(&open_request.type, "Question", 16);
	expect_refused(&b, -EPROTOTYPE, "server's responses are Answer");
	memset(&open_request.type, 0, sizeof(open_request.type));
	endpoint_ready(&client, b.fd, &open_request);
	expect_introduced(&b, &client, &a, &server, 3);
	endpoint_forget(&server);
	endpoint_forget(&client);
	stop();
}
END_TEST

/* What an honest node can come to ask for when it knows the news later than the router: an answer, and it goes on. */
START_TEST(too_late_or_twice)
{
	struct test_endpoint server, client, channel;

	start(_i);
	server_fill(21, 0);
	endpoint_open(&server, a.fd, &open_request);
	open_client(&client, &b);
	channel_fill(33, WIRE_ROLE_REQUEST, server.id, client.id);
	expect_refused(&b, -ESRCH, "gone");	/* not there yet, and so not introduced */
	endpoint_mapped(&server, a.fd);
	expect_introduced(&b, &client, &a, &server, 3);
	endpoint_open(&channel, b.fd, &open_request);
	expect_refused(&b, -EEXIST, "already");
	endpoint_mapped(&channel, b.fd);
	client_expect(b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	expect_refused(&b, -EEXIST, "already");
	client_expect(a.fd, WIRE_ENDPOINT_READY, &message, NULL);
	expect_introduced(&a, &server, &b, &client, 5);
	client_expect(a.fd, WIRE_WRITER_ADDED, &message, NULL);
	/* closed and opened again, and while that is under way the server goes */
	endpoint_close(&channel, b.fd);
	client_expect(a.fd, WIRE_WRITER_GONE, &message, NULL);
	endpoint_open(&channel, b.fd, &open_request);
	endpoint_close(&server, a.fd);
	expect_nothing(&a);
	endpoint_mapped(&channel, b.fd);
	client_expect(b.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);
	endpoint_close(&channel, b.fd);
	expect_refused(&b, -ESRCH, "gone");
	channel_fill(33, WIRE_ROLE_RESPONSE, client.id, server.id);
	expect_refused(&b, -ESRCH, "gone");
	endpoint_forget(&client);
	stop();
}
END_TEST

/* A server of one lane: the channel of the second client is refused by name to both ends, and stays without a reader. */
START_TEST(lanes_run_out)
{
	struct test_endpoint server, clients[2], channels[2];

	start(_i);
	server_fill(21, 0);
	open_request.n_lanes = 1;
	endpoint_ready(&server, a.fd, &open_request);
	open_client(&clients[0], &b);
	open_client(&clients[1], &c);
	expect_introduced(&a, &server, &b, &clients[0], 5);
	expect_introduced(&a, &server, &c, &clients[1], 5);
	expect_introduced(&b, &clients[0], &a, &server, 3);
	expect_introduced(&c, &clients[1], &a, &server, 3);
	connect_one(&channels[0], WIRE_ROLE_REQUEST, &b, &clients[0], &a, &server);
	channel_fill(23, WIRE_ROLE_REQUEST, server.id, clients[1].id);
	endpoint_open(&channels[1], c.fd, &open_request);
	endpoint_mapped(&channels[1], c.fd);
	client_expect(c.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_uint_eq(message.match_refused.endpoint, channels[1].id);
	ck_assert_uint_eq(message.match_refused.peer, server.id);
	ck_assert_int_eq(message.match_refused.error, -ENOSPC);
	client_expect(c.fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.endpoint_ready.n_pending, 0);
	client_expect(a.fd, WIRE_MATCH_REFUSED, &message, NULL);
	ck_assert_uint_eq(message.match_refused.endpoint, server.id);
	expect_nothing(&b);
	for (int i = 0; i < 2; i++) {
		endpoint_forget(&clients[i]);
		endpoint_forget(&channels[i]);
	}
	endpoint_forget(&server);
	stop();
}
END_TEST

/* Flags and fields of one kind on another: the node is told, and stays. */
START_TEST(what_does_not_go_together)
{
	struct test_endpoint server, client;

	start(_i);
	open_server(&server, &a, 0);
	open_client(&client, &b);
	expect_introduced(&b, &client, &a, &server, 3);

	client_fill(41);
	open_request.flags = WIRE_ENDPOINT_SHARED;
	expect_refused(&b, -EINVAL, "shared");
	subscriber_fill(&open_request, 41, "t", 8);
	open_request.flags = WIRE_ENDPOINT_SHARED;
	expect_refused(&b, -EINVAL, "shared");
	set_type(&open_request.peer_type, "Answer", 8);
	open_request.flags = 0;
	expect_refused(&b, -EINVAL, "two types");
	publisher_fill(&open_request, 41, "t", 8);
	open_request.flags = WIRE_ENDPOINT_SHARED;
	expect_refused(&b, -EINVAL, "shared");
	channel_fill(41, WIRE_ROLE_REQUEST, server.id, client.id);
	open_request.flags |= WIRE_ENDPOINT_SHARED;
	expect_refused(&b, -EINVAL, "shared");
	channel_fill(41, WIRE_ROLE_REQUEST, server.id, client.id);
	set_type(&open_request.peer_type, "Answer", 8);
	expect_refused(&b, -EINVAL, "two types");
	publisher_fill(&open_request, 41, "t", 2);
	open_request.role = WIRE_ROLE_REQUEST;
	open_request.to = server.id;
	open_request.from = client.id;
	expect_refused(&b, -EINVAL, "one lane, not 2");
	server_fill(41, WIRE_ENDPOINT_RELIABLE);
	expect_refused(&b, -EINVAL, "reliable");
	endpoint_forget(&server);
	endpoint_forget(&client);
	stop();
}
END_TEST

/* ---- lies -------------------------------------------------------------------------------------------------------- */

static struct test_endpoint server, client, foreign, plain, elsewhere, channel;

static uint64_t beyond(void)
{
	return client.id + 1000;
}

/* Nobody who goes by the protocol comes to say any of these; b says them, who has the client. */
static void lie_role(void)		{ channel_fill(51, 3, server.id, client.id); }
static void lie_role_of_server(void)	{ server_fill(51, 0); open_request.role = UINT32_MAX; }
static void lie_no_one(void)		{ channel_fill(51, WIRE_ROLE_REQUEST, 0, 0); }
static void lie_no_to(void)		{ channel_fill(51, WIRE_ROLE_REQUEST, 0, client.id); }
static void lie_no_from(void)		{ channel_fill(51, WIRE_ROLE_REQUEST, server.id, 0); }
static void lie_server_to(void)		{ server_fill(51, 0); open_request.to = client.id; }
static void lie_client_from(void)	{ client_fill(51); open_request.from = client.id; }
static void lie_plain_to(void)		{ channel_fill(51, WIRE_ROLE_DATA, plain.id, 0); }
static void lie_plain_both(void)	{ channel_fill(51, WIRE_ROLE_DATA, plain.id, client.id); }
static void lie_to_nobody(void)		{ channel_fill(51, WIRE_ROLE_REQUEST, beyond(), client.id); }
static void lie_from_nobody(void)	{ channel_fill(51, WIRE_ROLE_REQUEST, server.id, beyond()); }
static void lie_to_plain(void)		{ channel_fill(51, WIRE_ROLE_REQUEST, plain.id, client.id); }
static void lie_from_plain(void)	{ channel_fill(51, WIRE_ROLE_REQUEST, server.id, plain.id); }
static void lie_to_client(void)		{ channel_fill(51, WIRE_ROLE_REQUEST, foreign.id, client.id); }
static void lie_from_foreign(void)	{ channel_fill(51, WIRE_ROLE_REQUEST, server.id, foreign.id); }
static void lie_as_server(void)		{ channel_fill(51, WIRE_ROLE_RESPONSE, foreign.id, server.id); }
static void lie_other_role(void)	{ channel_fill(51, WIRE_ROLE_RESPONSE, client.id, client.id); }
static void lie_to_channel(void)	{ channel_fill(51, WIRE_ROLE_REQUEST, channel.id, client.id); }
static void lie_from_channel(void)	{ channel_fill(51, WIRE_ROLE_REQUEST, server.id, channel.id); }
static void lie_from_elsewhere(void)	{ channel_fill(51, WIRE_ROLE_REQUEST, server.id, elsewhere.id); }
static void lie_on_elsewhere(void)
{
	channel_fill(51, WIRE_ROLE_REQUEST, server.id, client.id);
	name_to_field(open_request.topic.instance, WIRE_NAME_BYTES, "elsewhere");
}

static void (*const lies[])(void) = {
	lie_role, lie_role_of_server, lie_no_one, lie_no_to, lie_no_from, lie_server_to, lie_client_from, lie_plain_to, lie_plain_both,
	lie_to_nobody, lie_from_nobody, lie_to_plain, lie_from_plain, lie_to_client, lie_from_foreign, lie_as_server, lie_other_role,
	lie_to_channel, lie_from_channel, lie_from_elsewhere, lie_on_elsewhere,
};
#define N_LIES ((int)(sizeof(lies) / sizeof(lies[0])))

/* Who lies is removed, with all he had; the others go on. */
START_TEST(liars_are_removed)
{
	uint64_t match;

	start(_i % N_LOOPS);
	open_server(&server, &a, 0);
	open_client(&client, &b);
	expect_introduced(&a, &server, &b, &client, 5);
	expect_introduced(&b, &client, &a, &server, 3);
	match = connect_one(&channel, WIRE_ROLE_REQUEST, &b, &client, &a, &server);
	open_client(&foreign, &c);
	expect_introduced(&a, &server, &c, &foreign, 5);
	expect_introduced(&c, &foreign, &a, &server, 3);
	subscriber_fill(&open_request, 24, "t", 8);
	endpoint_ready(&plain, b.fd, &open_request);
	client_fill(25);
	name_to_field(open_request.topic.instance, WIRE_NAME_BYTES, "elsewhere");
	endpoint_ready(&elsewhere, b.fd, &open_request);

	lies[_i / N_LOOPS]();
	client_send(b.fd, &open_request.header);
	ck_assert_int_eq(client_expect_end(b.fd), -EPROTO);
	expect_gone(&a, WIRE_WRITER_GONE, &server, match, WIRE_CAUSE_EVICTED);
	expect_nothing(&a);
	expect_nothing(&c);
	endpoint_forget(&channel);
	connect_one(&channel, WIRE_ROLE_REQUEST, &c, &foreign, &a, &server);
	endpoint_forget(&server);
	endpoint_forget(&client);
	endpoint_forget(&foreign);
	endpoint_forget(&plain);
	endpoint_forget(&elsewhere);
	endpoint_forget(&channel);
	stop();
}
END_TEST

/* ---- leaving ----------------------------------------------------------------------------------------------------- */

static void serve_until_killed(int to_parent, int from_parent)
{
	struct test_node node;
	char go;

	node_join(&node, &router, "victim");
	open_server(&server, &node, 0);
	client_expect(node.fd, WIRE_PEER_ADDED, &message, NULL);
	ck_assert_uint_eq(server.n_pending, 1);
	channel_fill(23, WIRE_ROLE_RESPONSE, message.peer_added.peer, server.id);
	endpoint_ready(&channel, node.fd, &open_request);
	ck_assert_int_eq(write(to_parent, "x", 1), 1);
	ck_assert_int_eq(read(from_parent, &go, 1), 1);		/* the client has opened its channel */
	client_expect(node.fd, WIRE_LANE_ADDED, &message, NULL);
	client_expect(node.fd, WIRE_WRITER_ADDED, &message, NULL);
	lane_choose(node.fd, &message.writer_added, 0);
	pause();
	_exit(0);
}

/* The server's process dies: its client loses the reader of one channel and the writer of the other, and hears why. */
START_TEST(death_ends_both_channels)
{
	uint64_t asking, answering;
	unsigned int base;
	int ready[2], go[2];
	char byte;
	pid_t pid;

	start(_i);
	open_client(&client, &b);
	base = router_fds(&router);
	ck_assert_ok(pipe2(ready, O_CLOEXEC));
	ck_assert_ok(pipe2(go, O_CLOEXEC));
	ck_assert_ok(pid = fork());
	if (!pid)
		serve_until_killed(ready[1], go[0]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	client_expect(b.fd, WIRE_PEER_ADDED, &message, NULL);
	channel_fill(23, WIRE_ROLE_REQUEST, message.peer_added.peer, client.id);
	client_expect(b.fd, WIRE_WRITER_ADDED, &message, NULL);
	ck_assert_uint_eq(message.writer_added.from, open_request.to);
	answering = message.writer_added.match;
	lane_choose(b.fd, &message.writer_added, 0);
	endpoint_ready(&channel, b.fd, &open_request);
	ck_assert_int_eq(write(go[1], "x", 1), 1);
	client_expect(b.fd, WIRE_LANE_ADDED, &message, NULL);
	asking = message.lane_added.match;

	ck_assert_ok(kill(pid, SIGKILL));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 2; i++) {
		client_expect(b.fd, i == 0 ? WIRE_LANE_GONE : WIRE_WRITER_GONE, &message, NULL);
		ck_assert_uint_eq(message.gone.cause, WIRE_CAUSE_DIED);
		ck_assert_uint_eq(message.gone.endpoint, i == 0 ? channel.id : client.id);
		ck_assert_uint_eq(message.gone.match, i == 0 ? asking : answering);
	}
	endpoint_close(&channel, b.fd);		/* its own, which nobody reads any more */
	expect_refused(&b, -ESRCH, "gone");
	ck_assert_msg(wait_until(router_fds(&router) == base, DEADLINE_MS), "%u descriptors, %u before", router_fds(&router), base);
	/* the topic is free for another one */
	open_server(&server, &a, 0);
	expect_introduced(&b, &client, &a, &server, 3);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	endpoint_forget(&server);
	endpoint_forget(&client);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-introduce");
	TCase *meeting = add_test_case(suite, "meeting", 60);
	TCase *refusals = add_test_case(suite, "refusals", 60);
	TCase *lying = add_test_case(suite, "lies", 60);
	TCase *death = add_test_case(suite, "death", 60);

	tcase_add_loop_test(meeting, when_both_are_ready, 0, 2 * N_LOOPS);
	tcase_add_loop_test(meeting, how_many_follow, 0, N_LOOPS);
	tcase_add_loop_test(meeting, channels_meet_one, 0, N_LOOPS);
	tcase_add_loop_test(meeting, plain_endpoints_stay_apart, 0, N_LOOPS);
	tcase_add_loop_test(refusals, one_server, 0, N_LOOPS);
	tcase_add_loop_test(refusals, types_must_agree, 0, N_LOOPS);
	tcase_add_loop_test(refusals, too_late_or_twice, 0, N_LOOPS);
	tcase_add_loop_test(refusals, lanes_run_out, 0, N_LOOPS);
	tcase_add_loop_test(refusals, what_does_not_go_together, 0, N_LOOPS);
	tcase_add_loop_test(lying, liars_are_removed, 0, N_LIES * N_LOOPS);
	tcase_add_loop_test(death, death_ends_both_channels, 0, N_LOOPS);
	return run_suite(suite);
}
