/* SPDX-License-Identifier: MIT */
/*
 * growth.c - a publisher's extras: where they come from and where they go
 */
#include "lib/growth.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "channel/geometry.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "lib/control.h"
#include "lib/error.h"

static const char what[] = "get memory for a larger message";

struct growth *growth_new(bool huge)
{
	struct growth *g = calloc(1, sizeof(*g));

	if (g)
		g->huge = huge;
	for (uint32_t i = 0; g && i < EXTRAS_MAX; i++)
		g->extra[i].fd = -1;
	return g;
}

/* ---- returning --------------------------------------------------------------------------------------------------- */

/* Under lock. */
static void say_return(struct zcp_publisher *p, uint32_t id)
{
	struct wire_segment_extra m = { .endpoint = p->endpoint.id, .extra = id };

	wire_init(&m.header, WIRE_SEGMENT_RETURN, 0);
	control_send(p->endpoint.node, &m.header);
}

/* The writer does not use it any more. */
static void give_back(struct zcp_publisher *p, uint32_t id)
{
	struct extra *e = &p->growth->extra[id % EXTRAS_MAX];

	pthread_mutex_lock(&p->endpoint.node->lock);
	say_return(p, id);
	e->fd = fd_close(e->fd);
	e->id = 0;
	pthread_mutex_unlock(&p->endpoint.node->lock);
	munmap(e->memory, e->bytes);
	free(e->grave);
}

/* Give back extras that the last @idle messages did not need. How many. */
static uint32_t shrink(struct zcp_publisher *p, uint64_t idle)
{
	uint32_t id, n = 0;

	if (!node_is_joined(p->endpoint.node))
		return 0;
	while ((id = extra_drop(&p->writer, idle))) {
		give_back(p, id);
		n++;
	}
	return n;
}

void growth_look(struct zcp_publisher *publisher)
{
	struct growth *g = publisher->growth;

	pthread_mutex_lock(&publisher->endpoint.node->lock);
	for (uint32_t i = 0; g->has_refused && i < EXTRAS_MAX; i++)
		if (g->extra[i].id && g->extra[i].refused)
			extra_lend_no_more(&publisher->writer, g->extra[i].id);
	g->has_refused = false;
	pthread_mutex_unlock(&publisher->endpoint.node->lock);
	if (publisher->writer.n_free_extras)
		shrink(publisher, extra_idle_span(&publisher->writer));
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static int map(const struct zcp_publisher *p, struct extra *e, int fds[WIRE_FDS_MAX])
{
	int r = memfd_map_writer(fds[0], e->bytes, &e->memory);

	if (r < 0)
		return error_system(r, "map the memory for a larger message");
	if (p->huge)
		memfd_advise_huge(e->memory, e->bytes);
	e->fd = fd_take(&fds[0]);
	return 0;
}

/* The two steps of a conversation, as for an endpoint. */
static int converse(struct zcp_publisher *p, struct extra *e, struct request *request)
{
	struct wire_segment_grow grow = { .endpoint = p->endpoint.id, .bytes = e->bytes, .extra = e->id,
					.flags = p->growth->huge ? WIRE_GROW_HUGE : 0 };
	struct wire_segment_mapped mapped;
	int r;

	wire_init(&grow.header, WIRE_SEGMENT_GROW, 0);
	r = control_call(p->endpoint.node, request, &grow.header, WIRE_SEGMENT_GROWN, what);
	if (r == 0)
		r = map(p, e, request->fds);
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		request->fds[i] = fd_close(request->fds[i]);
	if (r < 0)
		return r;
	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 0);
	mapped.segment = request->answer.segment_grown.segment;
	return control_call(p->endpoint.node, request, &mapped.header, WIRE_SEGMENT_READY, what);
}

/* Into the table, from where the next router gets it. It is late if that has come meanwhile and has all that it gets. */
static int enter(struct zcp_publisher *p, const struct extra *e)
{
	struct zcp_node *node = p->endpoint.node;
	bool late;

	pthread_mutex_lock(&node->lock);
	late = node->state == NODE_JOINED && node->epoch != e->epoch;
	if (!late)
		p->growth->extra[e->id % EXTRAS_MAX] = *e;
	pthread_mutex_unlock(&node->lock);
	if (late)
		return error_set(-ENOTCONN, "cannot %s: the router was restarted just now; try again", what);
	return channel_writer_add_extra(&p->writer, e->id, e->memory, e->bytes);
}

static void undo(struct zcp_publisher *p, struct extra *e)
{
	pthread_mutex_lock(&p->endpoint.node->lock);
	say_return(p, e->id);
	pthread_mutex_unlock(&p->endpoint.node->lock);
	fd_close(e->fd);
	if (e->memory)
		munmap(e->memory, e->bytes);
	free(e->grave);
}

static int ask_once(struct zcp_publisher *p, uint32_t id, size_t size)
{
	struct extra e = { .id = id, .fd = -1, .bytes = extra_bytes(size), .grave = malloc(sizeof(*e.grave)) };
	struct request request = REQUEST_INIT;
	int r;

	if (!e.grave)
		return error_note(-ENOMEM, "no memory for a larger message");
	p->growth->tried[id % EXTRAS_MAX] = id;
	pthread_mutex_lock(&p->endpoint.node->lock);
	e.epoch = p->endpoint.node->epoch;
	pthread_mutex_unlock(&p->endpoint.node->lock);
	r = converse(p, &e, &request);
	if (r == 0)
		r = enter(p, &e);
	if (r < 0)
		undo(p, &e);
	return r;
}

static int ask(struct zcp_publisher *p, uint32_t *id, size_t size)
{
	int r = ask_once(p, *id, size);

	*id = *id + EXTRAS_MAX <= EXTRA_ID_MAX ? *id + EXTRAS_MAX : *id;
	if (r != -ENOMEM || !p->growth->huge)
		return r;
	/* no huge pages are left: they are reserved when it is mapped */
	p->growth->huge = false;
	return ask_once(p, *id, size);
}

/* One more extra, for @size. Those that are free are too small, and make room for it where it has none otherwise. */
static int grow(struct zcp_publisher *p, size_t size)
{
	uint32_t id = extra_next_id(&p->writer, p->growth->tried);
	int r;

	if (!id && shrink(p, 0))
		id = extra_next_id(&p->writer, p->growth->tried);
	if (!id)
		return error_set(-ENOBUFS, "%u larger messages are loaned, waited for or held; use a larger payload_max", EXTRAS_MAX);
	r = ask(p, &id, size);
	if (r == -EDQUOT && shrink(p, 0))
		r = ask(p, &id, size);
	return r;
}

/* No more can be had: so those that are there have to do. */
static int reclaim(struct zcp_publisher *p, size_t size, uint64_t *deadline)
{
	int r = extra_reclaim(&p->writer, size);

	if (r != -EAGAIN || !p->timeout_ns)
		return r;
	if (!*deadline)
		*deadline = deadline_after(p->timeout_ns);
	/* a reader that makes room after this rings us; one that did before is seen here */
	channel_writer_arm(&p->writer);
	r = extra_reclaim(&p->writer, size);
	if (r != -EAGAIN)
		return r;
	if (!endpoint_has_news(&p->endpoint) && endpoint_sleep(&p->endpoint, *deadline) < 0)
		return -ETIMEDOUT;
	return 0;
}

static int explain(int r)
{
	if (r == -EAGAIN)
		return error_note(r, "no more memory can be had, and a reliable subscriber has not read the larger messages that are there; "
				  "try again later, or set a timeout");
	if (r == -ETIMEDOUT)
		return error_note(r, "no more memory could be had, and a reliable subscriber did not read the larger messages that are there within "
				  "the publisher's timeout");
	return r;
}

int growth_for(struct zcp_publisher *publisher, size_t size, uint64_t *deadline)
{
	int reason = grow(publisher, size), r;

	if (reason != -EDQUOT && reason != -ENOBUFS)
		return reason;
	r = reclaim(publisher, size, deadline);
	if (endpoint_has_news(&publisher->endpoint))
		publisher_look_at_news(publisher);
	return r == -ENOBUFS ? reason : explain(r);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void bury(struct zcp_publisher *p, struct extra *e)
{
	struct zcp_node *node = p->endpoint.node;

	*e->grave = (struct grave){ .memory = e->memory, .bytes = e->bytes };
	pthread_mutex_lock(&node->lock);
	e->grave->next = node->graves;
	node->graves = e->grave;
	pthread_mutex_unlock(&node->lock);
}

void growth_free(struct zcp_publisher *publisher)
{
	struct growth *g = publisher->growth;

	for (uint32_t i = 0; g && i < EXTRAS_MAX; i++) {
		struct extra *e = &g->extra[i];

		if (!e->id)
			continue;
		fd_close(e->fd);
		if (extra_is_loaned(&publisher->writer, e->id)) {
			bury(publisher, e);
			continue;
		}
		munmap(e->memory, e->bytes);
		free(e->grave);
	}
	free(g);
	publisher->growth = NULL;
}

void growth_close_fds(struct growth *growth)
{
	for (uint32_t i = 0; growth && i < EXTRAS_MAX; i++)
		growth->extra[i].fd = fd_close(growth->extra[i].fd);
}

/* ---- another router ---------------------------------------------------------------------------------------------- */

static struct growth *growth_of(struct endpoint *endpoint)
{
	return endpoint->kind == WIRE_PUBLISHER ? ((struct zcp_publisher *)(void *)endpoint)->growth : NULL;
}

int growth_next(struct endpoint *endpoint, uint64_t epoch, struct wire_segment_grow *message)
{
	struct growth *g = growth_of(endpoint);

	for (uint32_t i = 0; g && i < EXTRAS_MAX; i++) {
		const struct extra *e = &g->extra[i];

		if (!e->id || e->epoch == epoch)
			continue;
		*message = (struct wire_segment_grow){ .endpoint = endpoint->id, .bytes = e->bytes, .extra = e->id };
		return e->fd;
	}
	return -1;
}

void growth_resumed(struct endpoint *endpoint, uint32_t id, uint64_t epoch, bool taken)
{
	struct growth *g = growth_of(endpoint);
	struct extra *e = g ? &g->extra[id % EXTRAS_MAX] : NULL;

	/* or it was returned meanwhile, and the router heard of that after it heard of the extra */
	if (!e || e->id != id)
		return;
	e->epoch = epoch;
	e->refused = !taken;
	if (taken)
		return;
	g->has_refused = true;
	endpoint_news(endpoint);
}
