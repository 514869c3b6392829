/* SPDX-License-Identifier: MIT */
/*
 * server.c - answering
 *
 * A request in the user's hands is a sample of the subscriber, and an entry of held[] with the same index, which remembers
 * who asked and what was answered: the user's struct may be copied, and says nothing that is believed. A response is a
 * message on the channel to that one client, with the request's id in its user header.
 */
#include "lib/server.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "common/probe.h"
#include "lib/error.h"

/* A client that sends nonsense costs so many steps per call. */
#define STEPS_MAX 64

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static int enter(struct zcp_server *s)
{
	struct zcp_subscriber *in = &s->exchange.in;

	if (forked_since(in->endpoint.fork_generation))
		return error_forked();
	if (endpoint_has_news(&in->endpoint))
		subscriber_look_at_news(in);
	if (unlikely(s->exchange.to_sweep))
		exchange_sweep(&s->exchange);
	return 0;
}

/* False: no request, or of nobody we know. */
static bool accept_request(struct zcp_server *s, const struct zcp_sample *sample, struct zcp_request *request)
{
	struct connection *by = exchange_connection(&s->exchange, sample);
	struct call_header header;

	if (!by || sample->header_size != sizeof(header))
		return false;
	memcpy(&header, sample->header, sizeof(header));
	by->n_requests++;
	s->asked[sample->held] = (struct asked){ .by = by, .id = header.id, .one_way = header.flags & CALL_ONE_WAY };
	*request = (struct zcp_request){
		.data = sample->data,
		.size = sample->size,
		.id = header.id,
		.client = by->peer,
		.timestamp_ns = sample->timestamp_ns,
		.deadline_ns = header.deadline_ns > 0 ? header.deadline_ns : 0,
		.flags = header.flags & CALL_ONE_WAY ? ZCP_ONE_WAY : 0,
		.owner = s,
		.held = sample->held,
		.generation = sample->generation,
	};
	if (request->deadline_ns && (uint64_t)request->deadline_ns <= clock_now_ns())
		request->flags |= ZCP_EXPIRED;
	return true;
}

int zcp_server_take(struct zcp_server *server, struct zcp_request *request)
{
	struct zcp_sample sample;
	int r = enter(server);

	if (r < 0)
		return r;
	for (int steps = 0; steps < STEPS_MAX; steps++) {
		r = zcp_subscriber_take(&server->exchange.in, &sample);
		if (r == -ENOBUFS)
			return error_note(r, "max_held requests are held; release one, or open the server with a larger max_held");
		if (r < 0)
			break;
		if (likely(accept_request(server, &sample, request)))
			return 0;
		zcp_sample_release(&sample);
	}
	return error_note(-EAGAIN, "no request is there to take");
}

int zcp_server_wait(struct zcp_server *server, int64_t timeout)
{
	int r = zcp_subscriber_wait(&server->exchange.in, timeout);

	if (r == -ETIMEDOUT)
		return error_note(r, "no request came in time");
	if (r == -ENOBUFS)
		return error_note(r, "max_held requests are held; release one before you wait for another");
	return r;
}

int zcp_server_fd(struct zcp_server *server)
{
	return zcp_subscriber_fd(&server->exchange.in);
}

int zcp_server_clients(struct zcp_server *server)
{
	int r = enter(server);

	return r < 0 ? r : (int)server->exchange.n_connected;
}

uint64_t zcp_server_id(const struct zcp_server *server)
{
	return server->exchange.in.endpoint.id;
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

static bool is_held(const struct zcp_server *s, const struct zcp_request *request)
{
	const struct zcp_subscriber *in = &s->exchange.in;

	return request->held < in->max_held && in->held[request->held].generation == request->generation;
}

/* Whether anybody will read a response. */
static bool is_there(struct zcp_server *s, struct connection *to)
{
	if (unlikely(!to))
		return false;
	/* its channel was asked for before the client could send, but the router's word may be behind the request */
	if (unlikely(!to->is_ready))
		exchange_await_ready(&s->exchange, to);
	if (unlikely(to->ended || !to->is_ready))
		return false;
	if (endpoint_has_news(&to->out->endpoint))
		publisher_look_at_news(to->out);
	return likely(to->out->writer.n_lanes || to->out->writer.n_expected);
}

/* The entry behind @request, with a channel to answer on: *to is NULL where nothing needs to be sent. */
static int find(const struct zcp_request *request, struct asked **asked, struct connection **to)
{
	struct zcp_server *s = request->owner;

	*to = NULL;
	if (unlikely(!s))
		return error_note(-EINVAL, "this request was released before, or never taken");
	if (forked_since(s->exchange.in.endpoint.fork_generation))
		return error_forked();
	if (unlikely(!is_held(s, request)))
		return error_note(-EINVAL, "this request was released before");
	*asked = &s->asked[request->held];
	if (unlikely((*asked)->answered))
		return error_note(-EALREADY, "this request had its last response; send those before it with ZCP_MORE");
	if ((*asked)->one_way)
		return 0;
	*to = (*asked)->by;
	return is_there(s, *to) ? 0 : error_note(-EPIPE, *to ? "the client that asked is gone" : "the server is closed");
}

static __attribute__((noinline, cold)) int explain(const struct connection *to, int r)
{
	const struct channel_writer *w = &to->out->writer;

	switch (r) {
	case -EMSGSIZE:
		return error_set(r, "the response is larger than its loan or than payload_max, which is %u bytes", w->geometry.payload_max);
	case -EAGAIN:
		return error_note(r, "the client does not take its responses, and there is no room for more; raise depth, or set a timeout");
	case -ETIMEDOUT:
		return error_note(r, "the client did not take its responses within the server's timeout");
	case -ENOBUFS:
		if (w->n_loans >= w->max_loans)
			return error_set(r, "%u loans are open for this client; send or discard one, or raise max_loans", w->n_loans);
		return error_note(r, "the client holds so many responses that no memory is left for another one");
	case -EINVAL:
		return error_note(r, "this is no open loan of this request's client: sent or discarded before, or never loaned");
	default:
		return r;
	}
}

static int publish(struct connection *to, const struct call_header *header, void *loan, const void *data, size_t size)
{
	channel_writer_set_header(&to->out->writer, header, sizeof(*header));
	return loan ? zcp_publisher_publish(to->out, loan, size) : zcp_publisher_send(to->out, data, size);
}

/*
 * The loan @loan or a copy of @data to @to. Before the client's lane is attached nothing counts as read, so that a full ring
 * may only mean that the router's word is under way. What is written while the client is there counts as answered, also if it
 * closes upon reading this very response.
 */
static int answer(struct connection *to, struct asked *asked, uint32_t flags, int32_t status, void *loan, const void *data, size_t size)
{
	struct call_header header = { .id = asked->id, .flags = flags & ZCP_MORE ? CALL_MORE : 0, .status = status };
	const struct channel_writer *w = &to->out->writer;
	bool was_there = w->n_lanes;
	int r = publish(to, &header, loan, data, size);

	if (unlikely(r == -EAGAIN) && w->n_expected && exchange_await_reader(to))
		r = publish(to, &header, loan, data, size);
	if (unlikely(r < 0)) {
		channel_writer_set_header(&to->out->writer, "", 0);
		return explain(to, r);
	}
	asked->answered = !(flags & ZCP_MORE);
	PROBE(zcp, response, to->exchange->in.endpoint.id, to->peer, asked->id, (uint64_t)size, (int64_t)status);
	if (unlikely(!was_there && !w->n_lanes && !w->n_expected))
		return error_note(-EPIPE, "the client that asked is gone");
	return 0;
}

static int check_flags(uint32_t flags)
{
	return flags & ~ZCP_MORE ? error_set(-EINVAL, "flags are 0x%x; only ZCP_MORE is possible", flags) : 0;
}

int zcp_request_reply_with(struct zcp_request *request, const void *data, size_t size, uint32_t flags)
{
	struct connection *to;
	struct asked *asked;
	int r = check_flags(flags);

	if (r == 0)
		r = find(request, &asked, &to);
	if (unlikely(r < 0))
		return r;
	if (unlikely(!to)) {
		asked->answered = !(flags & ZCP_MORE);
		return 0;
	}
	return answer(to, asked, flags, 0, NULL, data, size);
}

int zcp_request_reply(struct zcp_request *request, const void *data, size_t size)
{
	return zcp_request_reply_with(request, data, size, 0);
}

/* The channel that loans are from: of a one-way request too, since a server need not care. */
static int lender(const struct zcp_request *request, struct asked **asked, struct connection **to)
{
	int r = find(request, asked, to);

	if (r == 0 && !*to) {
		*to = (*asked)->by;
		if (!is_there(request->owner, *to))
			return error_note(-EPIPE, "the client that asked is gone");
	}
	return r;
}

int zcp_request_loan(struct zcp_request *request, size_t size, void **payload)
{
	struct connection *to;
	struct asked *asked;
	int r = lender(request, &asked, &to);

	if (unlikely(r < 0))
		return r;
	r = zcp_publisher_loan(to->out, size, payload);
	return unlikely(r < 0) ? explain(to, r) : r;
}

int zcp_request_discard(struct zcp_request *request, void *payload)
{
	struct connection *to;
	int r;

	if (!request->owner || !is_held(request->owner, request) || !request->owner->asked[request->held].by)
		return error_note(-EINVAL, "this request was released before, or never taken");
	if (forked_since(request->owner->exchange.in.endpoint.fork_generation))
		return error_forked();
	to = request->owner->asked[request->held].by;
	r = zcp_publisher_discard(to->out, payload);
	return r < 0 ? explain(to, r) : r;
}

int zcp_request_send(struct zcp_request *request, void *payload, size_t size, uint32_t flags)
{
	struct connection *to;
	struct asked *asked;
	int r = check_flags(flags);

	if (r == 0)
		r = find(request, &asked, &to);
	if (unlikely(r < 0))
		return r;
	if (unlikely(!to)) {
		asked->answered = !(flags & ZCP_MORE);
		return zcp_request_discard(request, payload);
	}
	return answer(to, asked, flags, 0, payload, NULL, size);
}

/* Who waits for an answer shall not wait in vain. */
static void end_unanswered(struct zcp_request *request)
{
	const char *sentence = zcp_last_error();
	struct connection *to;
	struct asked *asked;

	if (find(request, &asked, &to) == 0 && to)
		answer(to, asked, 0, -ENODATA, NULL, "", 0);
	error_note(0, sentence);
}

void zcp_request_release(struct zcp_request *request)
{
	struct zcp_server *s = request->owner;
	struct zcp_sample sample;
	struct asked *asked;

	if (!s || forked_since(s->exchange.in.endpoint.fork_generation) || !is_held(s, request)) {
		error_note(0, "this request was released before, or never taken");
		return;
	}
	asked = &s->asked[request->held];
	if (asked->by && !asked->answered && !asked->one_way)
		end_unanswered(request);
	if (asked->by && !--asked->by->n_requests)
		s->exchange.to_sweep |= asked->by->ended;
	asked->by = NULL;
	sample = (struct zcp_sample){ .owner = &s->exchange.in, .held = request->held, .generation = request->generation };
	request->data = NULL;
	request->size = 0;
	request->owner = NULL;
	/* the last one of a closed server frees it */
	zcp_sample_release(&sample);
}
