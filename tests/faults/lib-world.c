/* SPDX-License-Identifier: MIT */
/* See lib-world.h. */
#include "lib-world.h"

#include "inject.h"

void world_open_node(struct world *w)
{
	w->node = w->no_thread ? lib_node_without_thread("node") : lib_node("node");
}

void world_open_other(struct world *w)
{
	w->other = lib_node_without_thread("other");
}

void world_open_nodes(struct world *w)
{
	world_open_node(w);
	world_open_other(w);
}

const struct zcp_publisher_options world_publisher_options = {
	.payload_max = LARGE, .header_size = 8, .depth = 4, .max_loans = 4, .history = 2, .reliable = true,
};

void world_open_publisher(struct world *w)
{
	world_open_node(w);
	w->publisher = lib_publisher(w->node, &world_publisher_options);
}

void world_open_subscriber(struct world *w)
{
	world_open_node(w);
	w->subscriber = lib_subscriber(w->node, &(struct zcp_subscriber_options){ .history = 2 });
}

void world_open_other_publisher(struct world *w)
{
	world_open_other(w);
	w->other_publisher = lib_publisher(w->other, &world_publisher_options);
	ok(lib_send(w->other_publisher, 1, 16));
	ok(lib_send(w->other_publisher, 2, LARGE));
}

void world_open_other_subscriber(struct world *w)
{
	world_open_other(w);
	w->other_subscriber = lib_subscriber(w->other, NULL);
}

void world_dispatch(struct world *w)
{
	if (w->node && w->no_thread)
		zcp_node_dispatch(w->node);
	if (w->other)
		zcp_node_dispatch(w->other);
}

/* Both ends know of each other. */
void world_settle(struct world *w, zcp_publisher *publisher)
{
	ck_assert_within((world_dispatch(w), zcp_publisher_subscribers(publisher) == 1), DEADLINE_MS);
}

void world_match_publisher(struct world *w)
{
	world_open_publisher(w);
	world_open_other_subscriber(w);
	world_settle(w, w->publisher);
}

void world_match_subscriber(struct world *w)
{
	world_open_subscriber(w);
	world_open_other_publisher(w);
	world_settle(w, w->other_publisher);
}

int world_close_node(struct world *w)
{
	zcp_node_close(w->node);
	w->node = NULL;
	w->publisher = NULL;
	w->subscriber = NULL;
	w->server = w->server_is_here ? NULL : w->server;
	w->client = w->server_is_here ? w->client : NULL;
	w->notifier = w->notifier_is_here ? NULL : w->notifier;
	w->listener = w->notifier_is_here ? w->listener : NULL;
	return 0;
}

int world_wait(struct world *w)
{
	return zcp_subscriber_wait(w->subscriber, 1000000);
}

int world_take_all(struct world *w)
{
	int r;

	while ((r = zcp_subscriber_take(w->subscriber, &w->samples[0])) == 0)
		zcp_sample_release(&w->samples[0]);
	return r;
}

int world_close_publisher(struct world *w)
{
	zcp_publisher_close(w->publisher);
	w->publisher = NULL;
	return 0;
}

void world_close(struct world *w)
{
	zcp_sample_release_batch(w->samples, 2);
	if (w->request.owner)
		zcp_request_release(&w->request);
	if (w->response.sample.owner)
		zcp_response_release(&w->response);
	zcp_waitset_close(w->waitset);
	zcp_watch_close(w->watch);
	zcp_client_close(w->client);
	zcp_server_close(w->server);
	zcp_notifier_close(w->notifier);
	zcp_listener_close(w->listener);
	zcp_publisher_close(w->publisher);
	zcp_subscriber_close(w->subscriber);
	zcp_publisher_close(w->other_publisher);
	zcp_subscriber_close(w->other_subscriber);
	zcp_node_close(w->node);
	zcp_node_close(w->other);
}

/*
 * What the peer does in the middle of a call is not hit: in the caller's thread faults are held back, in the node's they stay
 * armed, since that is what it is for.
 */
uint32_t fault_hold(void)
{
	return atomic_load(&inject->scope) == SCOPE_CALLER ? atomic_exchange(&inject->call, CALL_NONE) : atomic_load(&inject->call);
}

void fault_release(uint32_t held)
{
	atomic_store(&inject->call, held);
}
