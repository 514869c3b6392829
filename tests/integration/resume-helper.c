/* SPDX-License-Identifier: MIT */
/* See resume-helper.h. */

#include "resume-helper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/message.h"
#include "common/name.h"

#define ARGUMENTS_MAX 16

struct test_router router;

static const char *all_arguments[ARGUMENTS_MAX];

/* --- the router ----------------------------------------------------------------------------------- */

void start_with(int i, const char *const *arguments)
{
	int n = 0;

	all_arguments[n++] = "--loop";
	all_arguments[n++] = loop_argument(i);
	all_arguments[n++] = "--quiet";
	for (; arguments && *arguments; arguments++) {
		ck_assert_int_lt(n, ARGUMENTS_MAX - 1);
		all_arguments[n++] = *arguments;
	}
	router_prepare(&router);
	router_run(&router, all_arguments);
}

void restart(void)
{
	int status;

	kill(router.pid, SIGKILL);
	ck_assert_int_eq(waitpid(router.pid, &status, 0), router.pid);
	router_run(&router, all_arguments);
}

void finish(void)
{
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

/* --- a life --------------------------------------------------------------------------------------- */

static void say_mapped(const struct player *p, uint32_t request)
{
	struct wire_segment_mapped mapped = { .segment = p->node.welcome.node_page_segment };

	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, request);
	client_send(p->node.fd, &mapped.header);
}

static void expect_welcome(struct player *p, uint32_t request)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	client_expect(p->node.fd, WIRE_WELCOME, &message, fds);
	p->node.welcome = message.welcome;
	fd_close(p->page_fd);
	p->page_fd = fd_take(&fds[1]);
	close_fds(fds);
	say_mapped(p, request);
}

void join(struct player *p)
{
	struct wire_hello hello;

	*p = (struct player){ .page_fd = -1 };
	p->node.fd = client_connect(&router);
	hello_fill(&hello, 7, "player");
	client_send(p->node.fd, &hello.header);
	expect_welcome(p, 7);
}

void open_endpoint(struct player *p, bool publisher, const char *topic)
{
	if (publisher)
		publisher_fill(&p->kept.open, 20, topic, 16);
	else
		subscriber_fill(&p->kept.open, 20, topic, 8);
	endpoint_ready(&p->kept.endpoint, p->node.fd, &p->kept.open);
}

void meet(struct player *p, struct player *s, struct wire_writer_added *writer, struct wire_lane_added *lane)
{
	union wire_message message;

	client_expect(s->node.fd, WIRE_WRITER_ADDED, &message, NULL);
	*writer = message.writer_added;
	if (!lane)
		return;
	lane_choose(s->node.fd, writer, 3);
	client_expect(p->node.fd, WIRE_LANE_ADDED, &message, NULL);
	*lane = message.lane_added;
}

void leave(struct player *p)
{
	struct wire_goodbye goodbye;

	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	client_try_send(p->node.fd, &goodbye, sizeof(goodbye), NULL, 0);
	p->node.fd = fd_close(p->node.fd);
	p->page_fd = fd_close(p->page_fd);
	if (p->kept.endpoint.memory)
		endpoint_forget(&p->kept.endpoint);
}

/* --- another life --------------------------------------------------------------------------------- */

void send_with_fds(int fd, const struct wire_header *message, const int *fds, unsigned int n)
{
	ck_assert_int_eq(message_send(fd, message, fds, n), 0);
}

void fill_rejoin(const struct player *p, struct wire_rejoin *rejoin)
{
	memset(rejoin, 0, sizeof(*rejoin));
	wire_init(&rejoin->header, WIRE_REJOIN, 9);
	name_to_field(rejoin->name, sizeof(rejoin->name), "player");
	rejoin->node = p->node.welcome.node;
	rejoin->epoch = p->node.welcome.epoch;
}

void rejoin(struct player *p)
{
	uint64_t id = p->node.welcome.node, epoch = p->node.welcome.epoch;
	struct wire_rejoin message;

	fd_close(p->node.fd);
	p->node.fd = client_connect(&router);
	fill_rejoin(p, &message);
	send_with_fds(p->node.fd, &message.header, &p->page_fd, 1);
	expect_welcome(p, 9);
	ck_assert_uint_eq(p->node.welcome.node, id);
	ck_assert_uint_ne(p->node.welcome.epoch, epoch);
}

void fill_resume(const struct kept *k, struct wire_endpoint_resume *resume, uint32_t n_claims)
{
	memset(resume, 0, sizeof(*resume));
	resume->open = k->open;
	wire_init(&resume->open.header, WIRE_ENDPOINT_RESUME, 30);
	resume->endpoint = k->endpoint.id;
	resume->n_claims = n_claims;
	resume->n_expected = k->n_expected;
}

void hand_back(struct player *p, uint32_t n_claims)
{
	int fds[2] = { p->kept.endpoint.segment_fd, p->kept.endpoint.doorbell_fd };
	struct wire_endpoint_resume resume;

	fill_resume(&p->kept, &resume, n_claims);
	send_with_fds(p->node.fd, &resume.open.header, fds, 2);
}

void claim(struct player *p, const struct wire_match_resume *c)
{
	struct wire_match_resume message = *c;

	wire_init(&message.header, WIRE_MATCH_RESUME, 0);
	message.endpoint = p->kept.endpoint.id;
	client_send(p->node.fd, &message.header);
}

uint32_t expect_resumed(struct player *p)
{
	union wire_message message;

	client_expect(p->node.fd, WIRE_ENDPOINT_RESUMED, &message, NULL);
	ck_assert_uint_eq(message.endpoint_resumed.endpoint, p->kept.endpoint.id);
	return message.endpoint_resumed.n_pending;
}

void end_resume(struct player *p)
{
	struct wire_resume_end end;

	wire_init(&end.header, WIRE_RESUME_END, 0);
	client_send(p->node.fd, &end.header);
}

void come_back(struct player *p, const struct wire_match_resume *c)
{
	rejoin(p);
	hand_back(p, c ? 1 : 0);
	if (c)
		claim(p, c);
	expect_resumed(p);
	end_resume(p);
}

struct wire_match_resume claim_of_subscriber(const struct wire_writer_added *w, uint32_t lane)
{
	return (struct wire_match_resume){ .match = w->match, .peer = w->publisher, .peer_node = w->node, .peer_process = w->process,
					   .lane = lane, .flags = w->flags };
}

struct wire_match_resume claim_of_publisher(const struct wire_lane_added *l)
{
	return (struct wire_match_resume){ .match = l->match, .peer = l->subscriber, .peer_node = l->node, .peer_process = l->process,
					   .lane = l->lane, .flags = l->flags };
}

/* --- what is heard -------------------------------------------------------------------------------- */

void expect_gone(struct player *p, enum wire_type type, uint64_t match, enum wire_cause cause)
{
	union wire_message message;

	client_expect(p->node.fd, type, &message, NULL);
	ck_assert_uint_eq(message.gone.match, match);
	ck_assert_uint_eq(message.gone.cause, cause);
}

/* A request that is refused is a round trip; messages are answered in their order. */
void expect_nothing(struct player *p)
{
	struct wire_endpoint_open open;

	subscriber_fill(&open, 77, "t", 0);
	client_send(p->node.fd, &open.header);
	client_expect_error(p->node.fd, 77, -EINVAL, "");
}
