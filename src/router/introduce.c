/* SPDX-License-Identifier: MIT */
/* See introduce.h. */

#include "router/introduce.h"

#include <errno.h>
#include <string.h>

#include "router/peer.h"

static bool is_request_role(uint32_t role)
{
	return role == WIRE_ROLE_REQUEST || role == WIRE_ROLE_RESPONSE;
}

static uint32_t other_role(uint32_t role)
{
	return role == WIRE_ROLE_REQUEST ? WIRE_ROLE_RESPONSE : WIRE_ROLE_REQUEST;
}

int introduce_check_role(const struct wire_endpoint_open *open, struct refusal *refusal)
{
	bool is_server = open->kind == WIRE_SUBSCRIBER && open->role == WIRE_ROLE_REQUEST;
	bool is_channel = open->kind == WIRE_PUBLISHER && is_request_role(open->role);

	if (open->role > WIRE_ROLE_EVENT)
		return violate(refusal, -EPROTO, "ENDPOINT_OPEN has the unknown role %u", open->role);
	if (!open->to != !is_channel || !open->from != !is_channel)
		return violate(refusal, -EPROTO, "ENDPOINT_OPEN says whom it is for, or does not say it, in role %u", open->role);
	if (open->flags & WIRE_ENDPOINT_SHARED && !is_server)
		return refuse(refusal, -EINVAL, "shared is a flag of servers only");
	if (open->peer_type.name[0] && (is_channel || !is_request_role(open->role)))
		return refuse(refusal, -EINVAL, "only clients and servers have two types");
	if (is_channel && open->geometry.max_lanes != 1)
		return refuse(refusal, -EINVAL, "a channel between a client and a server has one lane, not %u", open->geometry.max_lanes);
	return 0;
}

/* --- clients and servers -------------------------------------------------------------------------- */

static bool agree(const struct wire_type_info *a, const struct wire_type_info *b)
{
	return !a->name[0] || !b->name[0] || (!strcmp(a->name, b->name) && a->size == b->size && a->alignment == b->alignment);
}

static int differ(const char *what, const struct wire_type_info *server, const struct wire_type_info *client, struct refusal *refusal)
{
	char theirs[48], ours[48];

	return refuse(refusal, -EPROTOTYPE, "the server's %s are %s (%llu bytes), the client's %s (%llu bytes): use the same type at both ends",
		      what, refusal_clip(theirs, sizeof(theirs), server->name), (unsigned long long)server->size,
		      refusal_clip(ours, sizeof(ours), client->name), (unsigned long long)client->size);
}

/* Types of requests and of responses, as each of the two has them. */
static int check_types(const struct wire_type_info *server_takes, const struct wire_type_info *server_gives,
		       const struct wire_type_info *client_takes, const struct wire_type_info *client_gives, struct refusal *refusal)
{
	if (!agree(server_takes, client_gives))
		return differ("requests", server_takes, client_gives, refusal);
	if (!agree(server_gives, client_takes))
		return differ("responses", server_gives, client_takes, refusal);
	return 0;
}

static int check_server(const struct topic *topic, const struct wire_endpoint_open *open, struct refusal *refusal)
{
	const struct endpoint *other;
	char name[48];

	if (!topic)
		return 0;
	DL_FOREACH2(topic->endpoints, other, topic_next) {
		if (other->kind != WIRE_SUBSCRIBER || (other->flags & open->flags & WIRE_ENDPOINT_SHARED))
			continue;
		return refuse(refusal, -EADDRINUSE, "node %s (pid %d) has a server on this topic: close it, or open both with load_balanced",
			      refusal_clip(name, sizeof(name), other->node->name), (int)other->node->pid);
	}
	return 0;
}

static int check_client(struct router *router, const struct wire_endpoint_open *open, struct refusal *refusal)
{
	const struct topic *topic = registry_find_topic(&router->registry, &open->topic, WIRE_ROLE_REQUEST);
	const struct endpoint *other;
	int r;

	if (!topic)
		return 0;
	DL_FOREACH2(topic->endpoints, other, topic_next) {
		if (other->kind != WIRE_SUBSCRIBER)
			continue;
		r = check_types(&other->type, &other->peer_type, &open->type, &open->peer_type, refusal);
		if (r)
			return r;
	}
	return 0;
}

/* --- their channels ------------------------------------------------------------------------------- */

static bool is_on(const struct endpoint *subscriber, const struct wire_endpoint_open *open, uint32_t role)
{
	return subscriber->kind == WIRE_SUBSCRIBER && subscriber->topic->key.role == role &&
	       !memcmp(&subscriber->topic->key.name, &open->topic, sizeof(open->topic));
}

static int check_channel(struct router *router, const struct node *node, const struct wire_endpoint_open *open, bool resuming,
			 struct refusal *refusal)
{
	struct registry *registry = &router->registry;
	const struct endpoint *to = registry_find_endpoint(registry, open->to), *from = registry_find_endpoint(registry, open->from), *other;

	if (open->to >= registry->next_endpoint || open->from >= registry->next_endpoint || (to && !is_on(to, open, open->role)) ||
	    (from && (from->node != node || !is_on(from, open, other_role(open->role)))))
		return violate(refusal, -EPROTO, "ENDPOINT_OPEN has a channel from endpoint %llu to %llu, which are no client and server",
			       (unsigned long long)open->from, (unsigned long long)open->to);
	if (!from || (!to && !resuming) || (to && !to->ready && !resuming))
		return refuse(refusal, -ESRCH, "the other end has gone meanwhile");
	DL_FOREACH2(node->endpoints, other, node_next)
		if (other->to == open->to && other->from == open->from)
			return refuse(refusal, -EEXIST, "there is a channel from endpoint %llu to %llu already",
				      (unsigned long long)open->from, (unsigned long long)open->to);
	return 0;
}

int introduce_check(struct router *router, const struct node *node, const struct wire_endpoint_open *open, bool resuming,
		    struct refusal *refusal)
{
	if (!is_request_role(open->role))
		return 0;
	if (open->kind == WIRE_PUBLISHER)
		return check_channel(router, node, open, resuming, refusal);
	if (open->role == WIRE_ROLE_REQUEST)
		return check_server(registry_find_topic(&router->registry, &open->topic, open->role), open, refusal);
	return check_client(router, open, refusal);
}

/* --- introductions -------------------------------------------------------------------------------- */

static void tell(const struct endpoint *endpoint, const struct endpoint *other)
{
	struct wire_peer_added message = { .endpoint = endpoint->id, .peer = other->id, .node = other->node->id, .max_held = other->max_held };

	wire_init(&message.header, WIRE_PEER_ADDED, 0);
	peer_send(endpoint->node->peer, &message.header, OUTBOX_NONE, NULL);
}

static void tell_refused(const struct endpoint *to, const struct endpoint *other, const struct refusal *refusal)
{
	struct wire_match_refused message = { .endpoint = to->id, .peer = other->id, .error = refusal->error };

	wire_init(&message.header, WIRE_MATCH_REFUSED, 0);
	memcpy(message.text, refusal->text, sizeof(message.text));
	peer_trace_refusal(to->node->peer, refusal);
	peer_send_optional(to->node->peer, &message.header);
}

static bool introduce(struct router *router, const struct endpoint *server, const struct endpoint *client, bool say)
{
	struct refusal refusal;

	if (!say)
		return !check_types(&server->type, &server->peer_type, &client->type, &client->peer_type, &refusal);
	if (check_types(&server->type, &server->peer_type, &client->type, &client->peer_type, &refusal)) {
		view_count_refusal(&router->view);
		tell_refused(server, client, &refusal);
		tell_refused(client, server, &refusal);
		return false;
	}
	tell(server, client);
	tell(client, server);
	return true;
}

/* With everybody on the other side of @endpoint's topic; @say: tell them. How many fit. */
static uint32_t introduce_all(struct router *router, const struct endpoint *endpoint, bool say)
{
	uint32_t role = endpoint->topic->key.role;
	const struct topic *topic;
	const struct endpoint *other;
	uint32_t n = 0;

	if (!is_request_role(role) || endpoint->kind != WIRE_SUBSCRIBER)
		return 0;
	topic = registry_find_topic(&router->registry, &endpoint->topic->key.name, other_role(role));
	if (!topic)
		return 0;
	DL_FOREACH2(topic->endpoints, other, topic_next) {
		if (other->kind != WIRE_SUBSCRIBER || !other->ready)
			continue;
		if (role == WIRE_ROLE_REQUEST)
			n += introduce(router, endpoint, other, say);
		else
			n += introduce(router, other, endpoint, say);
	}
	return n;
}

uint32_t introduce_count(struct router *router, const struct endpoint *endpoint)
{
	return introduce_all(router, endpoint, false);
}

void introduce_ready(struct router *router, const struct endpoint *endpoint)
{
	introduce_all(router, endpoint, true);
}
