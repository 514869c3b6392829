/* SPDX-License-Identifier: MIT */
/*
 * client-take.c - how requests end: with a response, with their server, with their time
 *
 * Responses first: what a server said before it died is said. Only when nothing is there the table of pending requests is
 * searched for those whose connection has ended or whose time is up, and only if there is one (n_broken, next_deadline_ns).
 */
#include "lib/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "lib/doorbell.h"
#include "lib/error.h"

/* A server that sends nonsense costs so many steps per call. */
#define STEPS_MAX 64

/* ---- the table --------------------------------------------------------------------------------------------------- */

struct pending *client_new_pending(struct zcp_client *c, struct connection *to, uint64_t deadline_ns)
{
	struct pending *p;
	uint32_t index;

	if (!c->n_free)
		return NULL;
	index = c->free[--c->n_free];
	p = &c->pending[index];
	p->id = ++c->n_sent << PENDING_BITS | index;
	p->to = to;
	p->deadline_ns = deadline_ns;
	to->n_requests++;
	if (deadline_ns < atomic_load_explicit(&c->next_deadline_ns, memory_order_relaxed))
		atomic_store_explicit(&c->next_deadline_ns, deadline_ns, memory_order_relaxed);
	return p;
}

void client_end_pending(struct zcp_client *c, struct pending *p)
{
	if (p->to->ended) {
		c->n_broken--;
		c->exchange.to_sweep = true;
	}
	p->to->n_requests--;
	p->id = 0;
	c->free[c->n_free++] = (uint32_t)(p - c->pending);
}

struct pending *client_find_pending(const struct zcp_client *c, uint64_t id)
{
	uint64_t index = id & (PENDING_MAX - 1);

	return id && index < c->max_pending && c->pending[index].id == id ? &c->pending[index] : NULL;
}

void client_ended(struct exchange *ex, struct connection *connection)
{
	struct zcp_client *c = (struct zcp_client *)(void *)ex;

	c->n_broken += connection->n_requests;
	if (c->turn == connection)
		c->turn = NULL;
}

/* Whether some request is late. The one that next_deadline_ns was for may have ended meanwhile. */
static bool is_time_up(struct zcp_client *c)
{
	uint64_t next = atomic_load_explicit(&c->next_deadline_ns, memory_order_relaxed), now;

	if (likely(next == UINT64_MAX))
		return false;
	now = clock_now_ns();
	if (now < next)
		return false;
	next = UINT64_MAX;
	for (uint32_t i = 0; i < c->max_pending; i++)
		if (c->pending[i].id && c->pending[i].deadline_ns < next)
			next = c->pending[i].deadline_ns;
	atomic_store_explicit(&c->next_deadline_ns, next, memory_order_relaxed);
	return next <= now;
}

bool client_ready(struct zcp_subscriber *s)
{
	struct zcp_client *c = (void *)s;

	return c->n_broken || (c->n_kept && !c->calling) || is_time_up(c);
}

/* Whoever polls the descriptor learns of a request whose time is up. */
void client_tick(struct endpoint *ep, uint64_t now_ns)
{
	struct zcp_client *c = (struct zcp_client *)(void *)ep;

	subscriber_tick(ep, now_ns);
	if (atomic_load_explicit(&c->next_deadline_ns, memory_order_relaxed) <= now_ns && !ep->closing)
		doorbell_ring(ep->doorbell);
}

/* ---- ends without a response ------------------------------------------------------------------------------------- */

static void end(struct zcp_client *c, struct pending *p, int status, struct zcp_response *response)
{
	*response = (struct zcp_response){ .id = p->id, .status = status, .server = p->to->peer };
	client_end_pending(c, p);
}

/* The next request that is broken or late, while we are at it also when the one after that will be late. */
static int end_one(struct zcp_client *c, struct zcp_response *response)
{
	uint64_t now = clock_now_ns(), next = UINT64_MAX;
	struct pending *over = NULL;
	int status = 0;

	for (uint32_t i = 0; i < c->max_pending; i++) {
		struct pending *p = &c->pending[i];
		bool broken = p->id && p->to->ended;

		if (!p->id)
			continue;
		if (!over && (broken || p->deadline_ns <= now)) {
			over = p;
			status = broken ? -EPIPE : -ETIMEDOUT;
		} else if (p->deadline_ns < next) {
			next = p->deadline_ns;
		}
	}
	atomic_store_explicit(&c->next_deadline_ns, next, memory_order_relaxed);
	if (!over)
		return -EAGAIN;
	end(c, over, status, response);
	return 0;
}

/* ---- responses --------------------------------------------------------------------------------------------------- */

static int checked_status(int32_t status)
{
	return status < 0 && status > -4096 ? status : 0;
}

/* False: it answers nothing that is under way there; too late, or never asked. */
static bool accept_response(struct zcp_client *c, struct zcp_sample *sample, struct zcp_response *response)
{
	struct connection *from = exchange_connection(&c->exchange, sample);
	struct call_header header;
	struct pending *p;

	if (!from || sample->header_size != sizeof(header))
		return false;
	memcpy(&header, sample->header, sizeof(header));
	p = client_find_pending(c, header.id);
	if (!p || p->to != from)
		return false;
	sample->header = NULL;
	sample->header_size = 0;
	*response = (struct zcp_response){
		.data = sample->data,
		.size = sample->size,
		.id = header.id,
		.status = checked_status(header.status),
		.flags = header.flags & CALL_MORE ? ZCP_MORE : 0,
		.timestamp_ns = sample->timestamp_ns,
		.server = from->peer,
		.sample = *sample,
	};
	if (response->status) {
		zcp_sample_release(&response->sample);
		response->data = NULL;
		response->size = 0;
		response->flags = 0;
		response->timestamp_ns = 0;
	}
	if (!response->flags)
		client_end_pending(c, p);
	return true;
}

int client_take_new(struct zcp_client *c, struct zcp_response *response)
{
	struct zcp_sample sample;

	for (int steps = 0; steps < STEPS_MAX; steps++) {
		int r = zcp_subscriber_take(&c->exchange.in, &sample);

		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r == -ENOBUFS ? error_note(r, "max_held responses are held; release one, or open the client with a larger max_held") : r;
		if (likely(accept_response(c, &sample, response)))
			return 0;
		zcp_sample_release(&sample);
	}
	if (unlikely(c->n_broken || is_time_up(c)) && end_one(c, response) == 0)
		return 0;
	return error_note(-EAGAIN, "no response is there to take");
}

/* ---- responses that came while another one was waited for --------------------------------------------------------- */

void client_keep(struct zcp_client *c, const struct zcp_response *response)
{
	c->kept[(c->first_kept + c->n_kept++) % c->kept_room] = *response;
}

static bool take_kept(struct zcp_client *c, struct zcp_response *response)
{
	if (likely(!c->n_kept))
		return false;
	*response = c->kept[c->first_kept];
	c->first_kept = (c->first_kept + 1) % c->kept_room;
	c->n_kept--;
	return true;
}

/* ---- the public side --------------------------------------------------------------------------------------------- */

int client_enter(struct zcp_client *c)
{
	struct zcp_subscriber *s = &c->exchange.in;

	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	if (unlikely(c->exchange.to_sweep))
		exchange_sweep(&c->exchange);
	return 0;
}

int zcp_client_take(struct zcp_client *client, struct zcp_response *response)
{
	int r = client_enter(client);

	if (r < 0)
		return r;
	return take_kept(client, response) ? 0 : client_take_new(client, response);
}

void zcp_response_release(struct zcp_response *response)
{
	if (response->sample.owner)
		zcp_sample_release(&response->sample);
	else if (!response->status)
		error_note(0, "this response was released before, or never taken");
	response->data = NULL;
	response->size = 0;
}

int client_wait_until(struct zcp_client *c, uint64_t deadline_ns)
{
	int r = 0;

	do {
		uint64_t next = atomic_load_explicit(&c->next_deadline_ns, memory_order_relaxed);

		r = subscriber_wait_until(&c->exchange.in, next < deadline_ns ? next : deadline_ns);
		/* late requests are something to take */
	} while (r == -ETIMEDOUT && clock_now_ns() < deadline_ns && !client_ready(&c->exchange.in));
	return r == -ETIMEDOUT && client_ready(&c->exchange.in) ? 0 : r;
}

int zcp_client_wait(struct zcp_client *client, int64_t timeout)
{
	int r = client_enter(client);

	if (r < 0)
		return r;
	if (client_ready(&client->exchange.in))
		return 0;
	r = client_wait_until(client, deadline_after(timeout));
	if (r == -ETIMEDOUT)
		return error_note(r, "no response came in time");
	if (r == -ENOBUFS)
		return error_note(r, "max_held responses are held; release one before you wait for another");
	return r;
}

void client_want_ticks(struct zcp_client *c)
{
	struct zcp_node *node = c->exchange.in.endpoint.node;

	if (c->ticking)
		return;
	c->ticking = true;
	pthread_mutex_lock(&node->lock);
	node->n_ticking++;
	pthread_mutex_unlock(&node->lock);
}

int zcp_client_fd(struct zcp_client *client)
{
	if (forked_since(client->exchange.in.endpoint.fork_generation))
		return error_forked();
	client_want_ticks(client);
	return zcp_subscriber_fd(&client->exchange.in);
}
