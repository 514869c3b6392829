/* SPDX-License-Identifier: MIT */
/*
 * waitset-member.c - what of zcp can be in a wait set: subscribers, servers, clients, listeners, nodes; and what all kinds share
 *
 * An object of a node without a thread brings that node along, as an entry of its own which counts the objects that
 * need it. The user may add the node besides, to hear of it; it is the same entry then, `wanted`. A node may be
 * brought into several wait sets by objects of different threads, so it has a list of these entries, under its
 * lock.
 *
 * (Watches are in watch.c, as their inside is; descriptors and timers in waitset-fd.c.)
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "common/fd.h"
#include "lib/client.h"
#include "lib/error.h"
#include "lib/subscriber.h"
#include "lib/waitset.h"

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* Lost for good: that can be found out by whoever dispatches, and stays so. */
static uint32_t node_peek(struct waitset_entry *e)
{
	return e->wanted && node_is_lost(e->object) ? POLLHUP : 0;
}

static uint32_t node_fired(struct waitset_entry *e, uint32_t events)
{
	int r = zcp_node_dispatch(e->object);

	(void)events;
	return r < 0 ? node_peek(e) : r > 0 && e->wanted ? POLLIN : 0;
}

static const struct waitset_operations node_operations = {
	.kind = ZCP_READY_NODE,
	.name = "node",
	.peek = node_peek,
	.rearm = node_peek,
	.fired = node_fired,
};

static struct waitset_entry *find_node(struct zcp_waitset *ws, struct zcp_node *node)
{
	struct waitset_entry *e;

	pthread_mutex_lock(&node->lock);
	for (e = node->waiters; e && e->set != ws; e = e->next_of_node)
		;
	pthread_mutex_unlock(&node->lock);
	return e;
}

static bool is_wanted_elsewhere(struct zcp_waitset *ws, struct zcp_node *node)
{
	struct waitset_entry *e;

	pthread_mutex_lock(&node->lock);
	for (e = node->waiters; e && (e->set == ws || !e->wanted); e = e->next_of_node)
		;
	pthread_mutex_unlock(&node->lock);
	return e;
}

/* The entry of @node, made if there is none. */
static int bring_node(struct zcp_waitset *ws, struct zcp_node *node, struct waitset_entry **entry)
{
	struct waitset_entry *e = find_node(ws, node);
	int r;

	if (!e) {
		r = waitset_enter(ws, &node_operations, node->epoll, EPOLLIN, node, NULL, &e);
		if (r < 0)
			return r;
		pthread_mutex_lock(&node->lock);
		e->next_of_node = node->waiters;
		node->waiters = e;
		pthread_mutex_unlock(&node->lock);
	}
	*entry = e;
	return 0;
}

static void node_leave(struct waitset_entry *e)
{
	struct zcp_node *node = e->object;
	struct waitset_entry **at = &node->waiters;

	pthread_mutex_lock(&node->lock);
	while (*at != e)
		at = &(*at)->next_of_node;
	*at = e->next_of_node;
	pthread_mutex_unlock(&node->lock);
	waitset_leave(e);
}

static void node_release(struct waitset_entry *e)
{
	if (!e->wanted && !e->n_objects)
		node_leave(e);
}

static void set_wanted(struct waitset_entry *e, bool wanted)
{
	struct zcp_node *node = e->object;

	pthread_mutex_lock(&node->lock);
	e->wanted = wanted;
	pthread_mutex_unlock(&node->lock);
}

int zcp_waitset_add_node(struct zcp_waitset *waitset, struct zcp_node *node, void *user)
{
	struct waitset_entry *e;
	int r;

	if (forked_since(waitset->fork_generation) || forked_since(node->fork_generation))
		return error_forked();
	if (!node->no_thread)
		return error_note(-EINVAL, "this node has a thread of its own that dispatches it; only one opened with no_thread is added");
	e = find_node(waitset, node);
	if (e && e->wanted)
		return error_note(-EEXIST, "this node is in this wait set already");
	if (is_wanted_elsewhere(waitset, node))
		return error_note(-EBUSY, "this node is in another wait set; remove it there first");
	r = bring_node(waitset, node, &e);
	if (r < 0)
		return r;
	e->user = user;
	set_wanted(e, true);
	waitset_heat(e);
	waitset_settle(waitset);
	return 0;
}

int zcp_waitset_remove_node(struct zcp_waitset *waitset, struct zcp_node *node)
{
	struct waitset_entry *e;

	if (forked_since(waitset->fork_generation) || forked_since(node->fork_generation))
		return error_forked();
	e = find_node(waitset, node);
	if (!e || !e->wanted)
		return error_note(-ENOENT, "this node is not in this wait set");
	set_wanted(e, false);
	node_release(e);
	waitset_settle(waitset);
	return 0;
}

/* Its objects are closed next, and with the last of them goes the entry. */
void waitset_node_closed(struct zcp_node *node)
{
	struct waitset_entry *e, *next;
	char what[WIRE_NAME_BYTES + 16];

	snprintf(what, sizeof(what), "the node '%s'", node->name);
	for (e = node->waiters; e; e = next) {
		struct zcp_waitset *ws = e->set;

		next = e->next_of_node;
		if (!e->wanted)
			continue;
		waitset_note_closed(ws, what);
		set_wanted(e, false);
		node_release(e);
		waitset_settle(ws);
	}
}

/* ---- what objects share ------------------------------------------------------------------------------------------ */

int waitset_add_object(struct zcp_waitset *ws, const struct waitset_operations *operations, int fd, void *object, struct waitset_entry **known,
		       struct zcp_node *node, void *user)
{
	struct waitset_entry *e, *brought = NULL;
	int r = 0;

	if (forked_since(ws->fork_generation))
		return error_forked();
	if (*known && (*known)->set == ws)
		return error_set(-EEXIST, "this %s is in this wait set already", operations->name);
	if (*known)
		return error_set(-EBUSY, "this %s is in another wait set; remove it there first", operations->name);
	if (node->no_thread)
		r = bring_node(ws, node, &brought);
	if (r == 0)
		r = waitset_enter(ws, operations, fd, EPOLLIN, object, user, &e);
	if (r < 0) {
		if (brought)
			node_release(brought);
		return r;
	}
	e->known = known;
	*known = e;
	e->node = brought;
	if (brought)
		brought->n_objects++;
	return 0;
}

int waitset_remove_object(struct zcp_waitset *ws, struct waitset_entry *e, const char *kind)
{
	if (forked_since(ws->fork_generation))
		return error_forked();
	if (!e || e->set != ws)
		return error_set(-ENOENT, "this %s is not in this wait set", kind);
	waitset_remove(e);
	waitset_settle(ws);
	return 0;
}

void waitset_remove(struct waitset_entry *e)
{
	struct waitset_entry *node = e->set->closing ? NULL : e->node;
	int fd = e->operations->kind == ZCP_READY_TIMER ? e->fd : -1;

	if (e->operations->kind == ZCP_READY_NODE)
		node_leave(e);
	else
		waitset_leave(e);
	fd_close(fd);
	if (node) {
		node->n_objects--;
		node_release(node);
	}
}

void waitset_closed(struct waitset_entry *e, const char *what)
{
	struct zcp_waitset *ws = e->set;

	waitset_note_closed(ws, what);
	waitset_remove(e);
	waitset_settle(ws);
}

int waitset_add_endpoint(struct zcp_waitset *ws, const struct waitset_operations *operations, struct endpoint *ep, void *object, void *user)
{
	if (forked_since(ep->fork_generation))
		return error_forked();
	return waitset_add_object(ws, operations, ep->doorbell, object, &ep->waiter, ep->node, user);
}

int waitset_remove_endpoint(struct zcp_waitset *ws, struct endpoint *ep)
{
	if (forked_since(ep->fork_generation))
		return error_forked();
	return waitset_remove_object(ws, ep->waiter, "endpoint");
}

void waitset_endpoint_closed(struct endpoint *ep)
{
	char what[3 * WIRE_NAME_BYTES + 32];

	if (!ep->waiter)
		return;
	snprintf(what, sizeof(what), "the %s of %s/%s/%s", ep->waiter->operations->name, ep->open->topic.service,
		 ep->open->topic.instance, ep->open->topic.event);
	waitset_closed(ep->waiter, what);
}

/* ---- subscribers, and what is built on one -------------------------------------------------- */

static uint32_t subscriber_peek(struct waitset_entry *e)
{
	struct zcp_subscriber *s = e->object;

	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	return subscriber_has_something(s) ? POLLIN : 0;
}

/* Whoever waits for our cursor is told before we sleep: the last take need not have said -EAGAIN. */
static uint32_t subscriber_cool(struct waitset_entry *e)
{
	struct zcp_subscriber *s = e->object;

	if (subscriber_peek(e))
		return POLLIN;
	subscriber_flush(s);
	return subscriber_rearm(s) == 0 ? POLLIN : 0;
}

static const struct waitset_operations subscriber_member = { ZCP_READY_SUBSCRIBER, "subscriber", subscriber_peek, subscriber_cool, NULL };
static const struct waitset_operations server_member = { ZCP_READY_SERVER, "server", subscriber_peek, subscriber_cool, NULL };
static const struct waitset_operations client_member = { ZCP_READY_CLIENT, "client", subscriber_peek, subscriber_cool, NULL };

static const struct waitset_operations listener_member = { ZCP_READY_LISTENER, "listener", subscriber_peek, subscriber_cool, NULL };

static int add(struct zcp_waitset *ws, const struct waitset_operations *operations, struct zcp_subscriber *s, void *user)
{
	int r = waitset_add_endpoint(ws, operations, &s->endpoint, s, user);

	/* what a wait of its own has asked for before may have been rung already, and silenced */
	if (r == 0 && !s->fd_mode)
		s->armed = false;
	return r;
}

int zcp_waitset_add_subscriber(struct zcp_waitset *waitset, struct zcp_subscriber *subscriber, void *user)
{
	return add(waitset, &subscriber_member, subscriber, user);
}

/* Servers, clients and listeners begin with their subscriber. */
int zcp_waitset_add_server(struct zcp_waitset *waitset, struct zcp_server *server, void *user)
{
	return add(waitset, &server_member, (struct zcp_subscriber *)(void *)server, user);
}

int zcp_waitset_add_client(struct zcp_waitset *waitset, struct zcp_client *client, void *user)
{
	int r = add(waitset, &client_member, (struct zcp_subscriber *)(void *)client, user);

	if (r == 0)
		client_want_ticks(client);
	return r;
}

int zcp_waitset_add_listener(struct zcp_waitset *waitset, struct zcp_listener *listener, void *user)
{
	return add(waitset, &listener_member, (struct zcp_subscriber *)(void *)listener, user);
}

int zcp_waitset_remove_listener(struct zcp_waitset *waitset, struct zcp_listener *listener)
{
	return waitset_remove_endpoint(waitset, (struct endpoint *)(void *)listener);
}

int zcp_waitset_remove_server(struct zcp_waitset *waitset, struct zcp_server *server)
{
	return waitset_remove_endpoint(waitset, (struct endpoint *)(void *)server);
}

int zcp_waitset_remove_client(struct zcp_waitset *waitset, struct zcp_client *client)
{
	return waitset_remove_endpoint(waitset, (struct endpoint *)(void *)client);
}

int zcp_waitset_remove_subscriber(struct zcp_waitset *waitset, struct zcp_subscriber *subscriber)
{
	return waitset_remove_endpoint(waitset, &subscriber->endpoint);
}
