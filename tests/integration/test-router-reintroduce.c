/* SPDX-License-Identifier: MIT */
/*
 * Clients and servers that come back to a router that was restarted, spoken by hand: they are introduced anew, their
 * channels meet again whom they met before, and nobody comes back as somebody he was not. Both loops.
 */
#include "resume-helper.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/geometry.h"
#include "common/fd.h"
#include "common/name.h"

/* A client or server as its node remembers it: its subscriber, its channel to the other one, a claim for each. */
struct end {
	struct player player;
	struct kept in, out;
	struct wire_match_resume of_in, of_out;
};

static union wire_message message;
static struct end server, client, other;	/* the last one is a client, too, and not connected */

/* ---- a life ------------------------------------------------------------------------------------------------------ */

static void open_in(struct end *e, uint32_t role)
{
	subscriber_fill(&e->in.open, 20, "topic", 8);
	e->in.open.role = role;
	endpoint_ready(&e->in.endpoint, e->player.node.fd, &e->in.open);
}

static void open_out(struct end *e, const struct end *to)
{
	struct geometry_request wish = { .payload_max = 1000, .depth = 16, .max_lanes = 1, .held_budget = 8 };
	const char *why;

	publisher_fill(&e->out.open, 21, "topic", 1);
	ck_assert_int_eq(geometry_plan(&e->out.open.geometry, &wish, &why), 0);
	e->out.open.flags = WIRE_ENDPOINT_RELIABLE;
	e->out.open.role = to->in.open.role;
	e->out.open.to = to->in.endpoint.id;
	e->out.open.from = e->in.endpoint.id;
	endpoint_ready(&e->out.endpoint, e->player.node.fd, &e->out.open);
	ck_assert_uint_eq(e->out.endpoint.n_pending, 1);
}

static void expect_introduced(const struct end *e, const struct end *peer)
{
	client_expect(e->player.node.fd, WIRE_PEER_ADDED, &message, NULL);
	ck_assert_uint_eq(message.peer_added.endpoint, e->in.endpoint.id);
	ck_assert_uint_eq(message.peer_added.peer, peer->in.endpoint.id);
	ck_assert_uint_eq(message.peer_added.node, peer->player.node.welcome.node);
	ck_assert_uint_eq(message.peer_added.max_held, 4);
}

/* The channel from @e to @to is offered and taken. */
static void meet_by(struct end *e, struct end *to)
{
	client_expect(to->player.node.fd, WIRE_WRITER_ADDED, &message, NULL);
	ck_assert_uint_eq(message.writer_added.publisher, e->out.endpoint.id);
	ck_assert_uint_eq(message.writer_added.endpoint, to->in.endpoint.id);
	ck_assert_uint_eq(message.writer_added.from, e->in.endpoint.id);
	to->of_in = claim_of_subscriber(&message.writer_added, 3);
	lane_choose(to->player.node.fd, &message.writer_added, 3);
	client_expect(e->player.node.fd, WIRE_LANE_ADDED, &message, NULL);
	e->of_out = claim_of_publisher(&message.lane_added);
	ck_assert_uint_eq(e->of_out.match, to->of_in.match);
}

static void start_three(int loop)
{
	memset(&other, 0, sizeof(other));
	start_with(loop, NULL);
	join(&server.player);
	join(&client.player);
	join(&other.player);
	open_in(&server, WIRE_ROLE_REQUEST);
	open_in(&client, WIRE_ROLE_RESPONSE);
	expect_introduced(&client, &server);
	expect_introduced(&server, &client);
	open_out(&client, &server);
	meet_by(&client, &server);
	open_out(&server, &client);
	meet_by(&server, &client);
	open_in(&other, WIRE_ROLE_RESPONSE);
	expect_introduced(&other, &server);
	expect_introduced(&server, &other);
}

static void end_leaves(struct end *e)
{
	memset(&e->player.kept, 0, sizeof(e->player.kept));
	leave(&e->player);
	if (e->in.endpoint.memory)
		endpoint_forget(&e->in.endpoint);
	if (e->out.endpoint.memory)
		endpoint_forget(&e->out.endpoint);
}

static void stop(void)
{
	end_leaves(&server);
	end_leaves(&client);
	end_leaves(&other);
	finish();
}

/* ---- another life ------------------------------------------------------------------------------------------------ */

static void hand_back_one(struct end *e, const struct kept *kept, const struct wire_match_resume *c)
{
	e->player.kept = *kept;
	hand_back(&e->player, c ? 1 : 0);
	if (c)
		claim(&e->player, c);
}

/* Both endpoints, with claims or without. @peer (NULL: none) is there before. */
static void end_comes_back(struct end *e, bool claims, const struct end *peer)
{
	rejoin(&e->player);
	hand_back_one(e, &e->in, claims ? &e->of_in : NULL);
	expect_resumed(&e->player);
	if (peer)
		expect_introduced(e, peer);
	hand_back_one(e, &e->out, claims ? &e->of_out : NULL);
	expect_resumed(&e->player);
	end_resume(&e->player);
}

static void other_comes_back(const struct end *peer)
{
	rejoin(&other.player);
	hand_back_one(&other, &other.in, NULL);
	expect_resumed(&other.player);
	if (peer)
		expect_introduced(&other, peer);
	end_resume(&other.player);
}

static void expect_quiet(void)
{
	expect_nothing(&server.player);
	expect_nothing(&client.player);
	expect_nothing(&other.player);
}

/* ---- honest ways ------------------------------------------------------------------------------------------------- */

/* In either order: what was connected is so again, with the same ids, and each hears of the other once. */
START_TEST(connected_as_before)
{
	struct end *first = _i / N_LOOPS ? &client : &server, *second = _i / N_LOOPS ? &server : &client;

	start_three(_i % N_LOOPS);
	restart();
	end_comes_back(first, true, NULL);
	end_comes_back(second, true, first);
	expect_introduced(first, second);
	other_comes_back(&server);
	expect_introduced(&server, &other);
	expect_quiet();

	client_send(client.player.node.fd, &client.out.open.header);
	client_expect_error(client.player.node.fd, client.out.open.header.request, -EEXIST, "already");
	end_leaves(second);
	/* of the subscriber first, which was opened first */
	expect_gone(&first->player, WIRE_LANE_GONE, first->of_out.match, WIRE_CAUSE_CLOSED);
	expect_gone(&first->player, WIRE_WRITER_GONE, second->of_out.match, WIRE_CAUSE_CLOSED);
	expect_nothing(&first->player);
	expect_nothing(&other.player);
	memset(second, 0, sizeof(*second));
	join(&second->player);
	stop();
}
END_TEST

/* The matches were lost with the router: each channel meets its one subscriber, whoever else is there. */
START_TEST(meet_anew)
{
	uint64_t asked, answered;

	start_three(_i);
	asked = client.of_out.match;
	answered = server.of_out.match;
	restart();
	other_comes_back(NULL);
	end_comes_back(&server, false, &other);
	expect_introduced(&other, &server);
	rejoin(&client.player);
	hand_back_one(&client, &client.in, NULL);
	expect_resumed(&client.player);
	expect_introduced(&server, &client);
	meet_by(&server, &client);
	expect_introduced(&client, &server);
	hand_back_one(&client, &client.out, NULL);
	expect_resumed(&client.player);
	end_resume(&client.player);
	meet_by(&client, &server);
	ck_assert_uint_gt(client.of_out.match, asked);
	ck_assert_uint_gt(server.of_out.match, answered);
	expect_quiet();
	stop();
}
END_TEST

/* The other end has died with the router: its channel is over at once, and one to it cannot be opened any more. */
START_TEST(other_end_is_dead)
{
	start_three(_i);
	end_leaves(&server);
	restart();
	client.of_in.peer_process.pid = client.of_out.peer_process.pid = 4194303;	/* nobody's */
	rejoin(&client.player);
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	expect_gone(&client.player, WIRE_WRITER_GONE, client.of_in.match, WIRE_CAUSE_DIED);
	hand_back_one(&client, &client.out, &client.of_out);
	expect_resumed(&client.player);
	expect_gone(&client.player, WIRE_LANE_GONE, client.of_out.match, WIRE_CAUSE_DIED);
	end_resume(&client.player);
	client_send(client.player.node.fd, &client.out.open.header);
	client_expect_error(client.player.node.fd, client.out.open.header.request, -ESRCH, "gone");
	memset(&server, 0, sizeof(server));
	join(&server.player);
	stop();
}
END_TEST

/* Another server was faster: the old one is refused with its claims, and so is its channel, whose owner it was. */
START_TEST(topic_is_taken)
{
	struct end usurper = { 0 };

	start_three(_i);
	restart();
	join(&usurper.player);
	open_in(&usurper, WIRE_ROLE_REQUEST);
	rejoin(&server.player);
	hand_back_one(&server, &server.in, &server.of_in);
	client_expect_error(server.player.node.fd, 30, -EADDRINUSE, "load_balanced");
	hand_back_one(&server, &server.out, &server.of_out);
	client_expect_error(server.player.node.fd, 30, -ESRCH, "gone");
	end_resume(&server.player);
	expect_nothing(&server.player);
	/* whom it was connected with hears so */
	rejoin(&client.player);
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	expect_gone(&client.player, WIRE_WRITER_GONE, client.of_in.match, WIRE_CAUSE_CLOSED);
	expect_introduced(&client, &usurper);
	hand_back_one(&client, &client.out, &client.of_out);
	expect_resumed(&client.player);
	expect_gone(&client.player, WIRE_LANE_GONE, client.of_out.match, WIRE_CAUSE_CLOSED);
	end_resume(&client.player);
	expect_introduced(&usurper, &client);
	end_leaves(&usurper);
	stop();
}
END_TEST

/* ---- lies -------------------------------------------------------------------------------------------------------- */

/* A channel that comes back before the endpoint that it is of: refused, with what it claims, and the node stays. */
START_TEST(channel_comes_first)
{
	start_three(_i);
	restart();
	end_comes_back(&server, true, NULL);
	rejoin(&client.player);
	hand_back_one(&client, &client.out, &client.of_out);
	client_expect_error(client.player.node.fd, 30, -ESRCH, "gone");
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	expect_introduced(&client, &server);
	expect_introduced(&server, &client);
	/* now it is */
	hand_back_one(&client, &client.out, &client.of_out);
	expect_resumed(&client.player);
	end_resume(&client.player);
	expect_nothing(&client.player);
	expect_nothing(&server.player);
	stop();
}
END_TEST

/* What was opened as one thing does not come back as another. */
enum lie {
	FROM_SOMEBODY_ELSE,
	FROM_NOBODY,
	TO_NOBODY,
	TO_A_CLIENT,
	TO_ITSELF,
	OTHER_ROLE,
	OTHER_TOPIC,
	NO_ROLE,
	N_LIES,
};

static void lie(struct wire_endpoint_open *open, enum lie how)
{
	switch (how) {
	case FROM_SOMEBODY_ELSE:
		open->from = client.in.endpoint.id;
		break;
	case FROM_NOBODY:
		open->from = UINT64_MAX;
		break;
	case TO_NOBODY:
		open->to = UINT64_MAX;
		break;
	case TO_A_CLIENT:
		open->to = client.in.endpoint.id;
		break;
	case TO_ITSELF:
		open->to = other.in.endpoint.id;
		break;
	case OTHER_ROLE:
		open->role = WIRE_ROLE_RESPONSE;
		break;
	case OTHER_TOPIC:
		name_to_field(open->topic.event, WIRE_NAME_BYTES, "other");
		break;
	default:
		open->role = WIRE_ROLE_DATA;
		break;
	}
}

START_TEST(channels_that_lie)
{
	start_three(_i % N_LOOPS);
	open_out(&other, &server);
	meet_by(&other, &server);
	restart();
	rejoin(&client.player);
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	rejoin(&server.player);
	hand_back_one(&server, &server.in, NULL);
	expect_resumed(&server.player);
	expect_introduced(&server, &client);
	expect_introduced(&client, &server);
	rejoin(&other.player);
	hand_back_one(&other, &other.in, NULL);
	expect_resumed(&other.player);
	lie(&other.out.open, (enum lie)(_i / N_LOOPS));
	hand_back_one(&other, &other.out, NULL);
	ck_assert_int_eq(client_expect_end(other.player.node.fd), -EPROTO);
	expect_introduced(&server, &other);
	expect_nothing(&server.player);
	expect_nothing(&client.player);
	stop();
}
END_TEST

/* Another segment of the same node comes back as a second channel between the same two. */
START_TEST(second_channel)
{
	struct kept false_one;

	start_three(_i);
	publisher_fill(&false_one.open, 22, "plain", 1);
	false_one.open.geometry = client.out.open.geometry;
	false_one.n_expected = 0;
	endpoint_ready(&false_one.endpoint, client.player.node.fd, &false_one.open);
	false_one.open = client.out.open;
	restart();
	end_comes_back(&server, true, NULL);
	rejoin(&client.player);
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	expect_introduced(&client, &server);
	expect_introduced(&server, &client);
	hand_back_one(&client, &client.out, &client.of_out);
	expect_resumed(&client.player);
	hand_back_one(&client, &false_one, NULL);
	client_expect_error(client.player.node.fd, 30, -EEXIST, "already");
	end_resume(&client.player);
	expect_nothing(&client.player);
	expect_nothing(&server.player);
	endpoint_forget(&false_one.endpoint);
	stop();
}
END_TEST

/* Another client claims the responses: with the server's word against it, or without. Neither helps, and the two meet. */
START_TEST(stolen_responses)
{
	bool server_claims = _i / N_LOOPS;
	struct wire_match_resume stolen;

	start_three(_i % N_LOOPS);
	stolen = client.of_in;
	restart();
	end_comes_back(&server, server_claims, NULL);
	rejoin(&other.player);
	hand_back_one(&other, &other.in, &stolen);
	expect_resumed(&other.player);
	expect_gone(&other.player, WIRE_WRITER_GONE, stolen.match, WIRE_CAUSE_REFUSED);
	expect_introduced(&other, &server);
	end_resume(&other.player);
	expect_introduced(&server, &other);
	expect_nothing(&other.player);
	expect_nothing(&server.player);
	rejoin(&client.player);
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	expect_introduced(&client, &server);
	end_resume(&client.player);
	if (!server_claims) {
		client_expect(server.player.node.fd, WIRE_LANE_ADDED, &message, NULL);
		ck_assert_uint_eq(message.lane_added.match, stolen.match);
		ck_assert_uint_eq(message.lane_added.subscriber, client.in.endpoint.id);
	}
	stop();
}
END_TEST

/* The types of a client that comes back are compared with the server's that is here, as if it opened. */
START_TEST(other_types)
{
	start_three(_i);
	name_to_field(server.in.open.type.name, WIRE_NAME_BYTES, "Question");
	server.in.open.type.size = server.in.open.type.alignment = 8;
	client.in.open.peer_type = server.in.open.type;
	client.in.open.peer_type.size = 16;
	restart();
	end_comes_back(&server, true, NULL);
	rejoin(&client.player);
	hand_back_one(&client, &client.in, &client.of_in);
	client_expect_error(client.player.node.fd, 30, -EPROTOTYPE, "Question");
	client.in.open.peer_type.size = 8;
	hand_back_one(&client, &client.in, &client.of_in);
	expect_resumed(&client.player);
	expect_introduced(&client, &server);
	end_resume(&client.player);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-reintroduce");
	TCase *honest = add_test_case(suite, "honest", 60);
	TCase *lies = add_test_case(suite, "lies", 60);

	tcase_add_loop_test(honest, connected_as_before, 0, 2 * N_LOOPS);
	tcase_add_loop_test(honest, meet_anew, 0, N_LOOPS);
	tcase_add_loop_test(honest, other_end_is_dead, 0, N_LOOPS);
	tcase_add_loop_test(honest, topic_is_taken, 0, N_LOOPS);
	tcase_add_loop_test(lies, channel_comes_first, 0, N_LOOPS);
	tcase_add_loop_test(lies, channels_that_lie, 0, N_LIES * N_LOOPS);
	tcase_add_loop_test(lies, second_channel, 0, N_LOOPS);
	tcase_add_loop_test(lies, stolen_responses, 0, 2 * N_LOOPS);
	tcase_add_loop_test(lies, other_types, 0, N_LOOPS);
	return run_suite(suite);
}
