/* SPDX-License-Identifier: MIT */
/* See registry.h. */

#include "router/registry.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/memfd.h"
#include "common/name.h"
#include "router/growth.h"
#include "router/peer.h"

void registry_init(struct registry *registry, struct view *view, const struct registry_limits *limits)
{
	/* microseconds since boot: no router gives out ids that fast, so no later one gives out those of an earlier one */
	uint64_t first = clock_now_ns() / 1000 + 1;

	*registry = (struct registry){
		.next_node = first,
		.next_endpoint = first,
		.next_segment = first,
		.next_match = first,
		.view = view,
		.limits = *limits,
	};
}

static int no_memory(struct refusal *refusal)
{
	return refuse(refusal, -ENOMEM, "the router is out of memory");
}

/* --- nodes ---------------------------------------------------------------------------------------- */

int registry_new_node(struct registry *registry, struct node **nodep, struct peer *peer, struct quota_user *user,
		      const char *name, uint64_t id, struct refusal *refusal)
{
	char label[SEGMENT_LABEL_BYTES];
	struct node *node;
	uint32_t row;
	int r;

	r = quota_charge(user, QUOTA_NODES, 1, refusal);
	if (r)
		return r;
	r = view_take_row(&registry->view->node_rows, &row, "nodes", "--max-nodes", refusal);
	if (r)
		goto fail_quota;
	node = calloc(1, sizeof(*node));
	if (!node) {
		r = no_memory(refusal);
		goto fail_row;
	}
	node->id = id ? id : registry->next_node;
	segment_label(label, "node", peer->uid, node->id, 0);
	r = segment_new(&node->page, registry->view, user, registry->next_segment, NODE_PAGE_BYTES, label, SEGMENT_PAGES, false, refusal);
	if (r)
		goto fail_node;

	registry->next_segment++;
	if (!id)
		registry->next_node++;
	node->peer = peer;
	node->user = quota_ref(user);
	name_to_field(node->name, sizeof(node->name), name);
	node->pid = peer->pid;
	node->uid = peer->uid;
	node->gid = peer->gid;
	node->row = row;
	node->since_ns = clock_now_ns();
	node->serial = ++registry->last_serial;
	node->heartbeat_changed_ns = node->since_ns;
	node->segment_bytes = NODE_PAGE_BYTES;
	DL_APPEND(registry->nodes, node);
	registry->n_nodes++;
	*nodep = node;
	return 0;

fail_node:
	free(node);
fail_row:
	view_drop_node(registry->view, row);
fail_quota:
	quota_release(user, QUOTA_NODES, 1);
	return r;
}

uint32_t registry_node_fds(const struct node *node)
{
	return FDS_OF_A_PEER + node->page->n_fds + FDS_OF_AN_ENDPOINT * node->n_endpoints + node->n_extras;
}

void registry_free_node(struct registry *registry, struct node *node)
{
	assert(!node->endpoints);
	view_drop_node(registry->view, node->row);
	if (node->page_map)
		munmap((void *)(uintptr_t)node->page_map, NODE_PAGE_BYTES);
	segment_unref(node->page);
	quota_release(node->user, QUOTA_NODES, 1);
	quota_put(node->user);
	DL_DELETE(registry->nodes, node);
	registry->n_nodes--;
	free(node);
}

struct node *registry_find_node(struct registry *registry, uint64_t id)
{
	struct node *node;

	DL_FOREACH(registry->nodes, node)
		if (node->id == id)
			return node;
	return NULL;
}

/* --- topics --------------------------------------------------------------------------------------- */

struct topic *registry_find_topic(struct registry *registry, const struct wire_topic *name, uint32_t role)
{
	struct topic_key key = { .name = *name, .role = role };
	struct topic *topic;

	HASH_FIND(hh, registry->topics, &key, sizeof(key), topic);
	return topic;
}

static struct topic *get_topic(struct registry *registry, const struct wire_topic *name, uint32_t role)
{
	struct topic *topic = registry_find_topic(registry, name, role);

	if (topic)
		return topic;
	topic = calloc(1, sizeof(*topic));
	if (!topic)
		return NULL;
	topic->key.name = *name;
	topic->key.role = role;
	HASH_ADD(hh, registry->topics, key, sizeof(topic->key), topic);
	if (!table_added(topic)) {
		free(topic);
		return NULL;
	}
	return topic;
}

static void put_topic(struct registry *registry, struct topic *topic)
{
	if (topic->endpoints)
		return;
	HASH_DEL(registry->topics, topic);
	free(topic);
}

static void join_topic(struct topic *topic, struct endpoint *endpoint)
{
	endpoint->topic = topic;
	DL_APPEND2(topic->endpoints, endpoint, topic_prev, topic_next);
	if (!endpoint->type.name[0])
		return;
	topic->type = endpoint->type;
	topic->n_typed++;
}

static void leave_topic(struct registry *registry, struct endpoint *endpoint)
{
	struct topic *topic = endpoint->topic;

	DL_DELETE2(topic->endpoints, endpoint, topic_prev, topic_next);
	if (endpoint->type.name[0] && !--topic->n_typed)
		memset(&topic->type, 0, sizeof(topic->type));
	put_topic(registry, topic);
}

/* A type as a phrase that leaves room for another one. */
static const char *type_text(const struct wire_type_info *type, char text[static 100])
{
	char name[48];

	snprintf(text, 100, "%s (%llu bytes, alignment %llu)", refusal_clip(name, sizeof(name), type->name),
		 (unsigned long long)type->size, (unsigned long long)type->alignment);
	return text;
}

static int check_type(const struct topic *topic, const struct wire_type_info *type, struct refusal *refusal)
{
	char theirs[100], ours[100];

	if (!type->name[0] || !topic->type.name[0])
		return 0;
	if (!strcmp(type->name, topic->type.name) && type->size == topic->type.size &&
	    type->alignment == topic->type.alignment)
		return 0;
	return refuse(refusal, -EPROTOTYPE, "the topic carries %s, not %s: use the same type at both ends",
		      type_text(&topic->type, ours), type_text(type, theirs));
}

/* --- endpoints ------------------------------------------------------------------------------------ */

static int create_endpoint(struct registry *registry, struct endpoint **endpointp, struct node *node,
			   const struct wire_endpoint_open *open, uint64_t bytes, uint32_t row, uint64_t id, int *fds,
			   struct refusal *refusal)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	char label[SEGMENT_LABEL_BYTES];
	int r;

	if (!endpoint)
		return no_memory(refusal);
	endpoint->id = id ? id : registry->next_endpoint;
	segment_label(label, open->kind == WIRE_PUBLISHER ? "data" : "lanes", node->uid, node->id, endpoint->id);
	if (fds && open->flags & WIRE_ENDPOINT_HUGE)
		bytes = memfd_round_size(fds[0], bytes);
	if (fds)
		r = segment_adopt(&endpoint->segment, registry->view, node->user, registry->next_segment, bytes, label, fds, true, refusal);
	else
		r = segment_new(&endpoint->segment, registry->view, node->user, registry->next_segment, bytes, label,
				open->flags & WIRE_ENDPOINT_HUGE ? SEGMENT_PAGES_HUGE : SEGMENT_PAGES, true, refusal);
	if (r) {
		free(endpoint);
		return r;
	}
	endpoint->node = node;
	endpoint->kind = (enum wire_endpoint_kind)open->kind;
	endpoint->flags = open->flags;
	endpoint->request = open->header.request;
	endpoint->row = row;
	endpoint->since_ns = clock_now_ns();
	endpoint->serial = ++registry->last_serial;
	endpoint->to = open->to;
	endpoint->from = open->from;
	if (open->type.name[0])
		endpoint->type = open->type;
	if (open->peer_type.name[0])
		endpoint->peer_type = open->peer_type;
	if (open->kind == WIRE_PUBLISHER) {
		endpoint->geometry = open->geometry;
	} else {
		endpoint->max_held = open->max_held;
		endpoint->n_lanes = open->n_lanes;
		endpoint->history = open->history;
	}
	HASH_ADD(hh, registry->endpoints, id, sizeof(endpoint->id), endpoint);
	if (!table_added(endpoint)) {
		segment_unref(endpoint->segment);
		free(endpoint);
		return no_memory(refusal);
	}
	registry->next_segment++;
	if (!id)
		registry->next_endpoint++;
	*endpointp = endpoint;
	return 0;
}

/* What its node may have; what its user may have is charged where it is created. */
int registry_check_node(const struct registry *registry, const struct node *node, uint64_t bytes, uint32_t n_fds, struct refusal *refusal)
{
	const struct registry_limits *limits = &registry->limits;
	char name[48];

	refusal_clip(name, sizeof(name), node->name);
	if (registry_node_fds(node) + n_fds > limits->fds_per_node)
		return refuse(refusal, -EDQUOT, "node %s would have more than %u descriptors open in the router: close some endpoints, or "
			      "start zcp-router with a larger --max-fds-per-node", name, limits->fds_per_node);
	if (node->segment_bytes > limits->bytes_per_node || bytes > limits->bytes_per_node - node->segment_bytes)
		return refuse(refusal, -EDQUOT, "node %s would have more than %llu bytes of segments: use smaller depths or payloads, or "
			      "start zcp-router with a larger --max-bytes-per-node", name, (unsigned long long)limits->bytes_per_node);
	return 0;
}

static int too_many_endpoints(const struct registry *registry, const struct node *node, struct refusal *refusal)
{
	char name[48];

	refusal_clip(name, sizeof(name), node->name);
	return refuse(refusal, -EDQUOT, "node %s has %u endpoints already: close some, or start zcp-router with a larger "
		      "--max-endpoints-per-node", name, registry->limits.endpoints_per_node);
}

static int add_endpoint(struct registry *registry, struct endpoint **endpointp, struct node *node,
			const struct wire_endpoint_open *open, uint64_t bytes, uint64_t id, int *fds, struct refusal *refusal)
{
	struct topic *topic;
	uint32_t row;
	int r;

	if (node->n_endpoints >= registry->limits.endpoints_per_node)
		return too_many_endpoints(registry, node, refusal);
	r = registry_check_node(registry, node, bytes, FDS_OF_AN_ENDPOINT, refusal);
	if (r)
		return r;
	topic = get_topic(registry, &open->topic, open->role);
	if (!topic)
		return no_memory(refusal);
	/* what clients and servers carry is compared when they are introduced: a topic of theirs has two types */
	r = open->role == WIRE_ROLE_DATA || open->role == WIRE_ROLE_EVENT ? check_type(topic, &open->type, refusal) : 0;
	if (r)
		goto fail_topic;
	r = view_take_row(&registry->view->endpoint_rows, &row, "endpoints", "--max-endpoints", refusal);
	if (r)
		goto fail_topic;
	r = quota_charge(node->user, QUOTA_ENDPOINTS, 1, refusal);
	if (r)
		goto fail_row;
	r = create_endpoint(registry, endpointp, node, open, bytes, row, id, fds, refusal);
	if (r)
		goto fail_quota;

	join_topic(topic, *endpointp);
	DL_APPEND2(node->endpoints, *endpointp, node_prev, node_next);
	node->n_endpoints++;
	node->segment_bytes += (*endpointp)->segment->bytes;
	view_put_node(registry->view, node);
	return 0;

fail_quota:
	quota_release(node->user, QUOTA_ENDPOINTS, 1);
fail_row:
	view_drop_endpoint(registry->view, row);
fail_topic:
	put_topic(registry, topic);
	return r;
}

int registry_new_endpoint(struct registry *registry, struct endpoint **endpointp, struct node *node,
			  const struct wire_endpoint_open *open, uint64_t bytes, struct refusal *refusal)
{
	return add_endpoint(registry, endpointp, node, open, bytes, 0, NULL, refusal);
}

int registry_resume_endpoint(struct registry *registry, struct endpoint **endpointp, struct node *node,
			     const struct wire_endpoint_open *open, uint64_t bytes, uint64_t id, int fds[WIRE_FDS_MAX],
			     struct refusal *refusal)
{
	return add_endpoint(registry, endpointp, node, open, bytes, id, fds, refusal);
}

void registry_free_endpoint(struct registry *registry, struct endpoint *endpoint)
{
	struct node *node = endpoint->node;

	assert(!endpoint->matches && !endpoint->claims);
	if (endpoint->n_expected)
		registry->n_expecting--;
	growth_drop_all(endpoint);
	view_drop_endpoint(registry->view, endpoint->row);
	leave_topic(registry, endpoint);
	DL_DELETE2(node->endpoints, endpoint, node_prev, node_next);
	node->n_endpoints--;
	node->segment_bytes -= endpoint->segment->bytes;
	quota_release(node->user, QUOTA_ENDPOINTS, 1);
	view_put_node(registry->view, node);
	HASH_DEL(registry->endpoints, endpoint);
	segment_unref(endpoint->segment);
	free(endpoint);
}

struct endpoint *registry_find_endpoint(struct registry *registry, uint64_t id)
{
	struct endpoint *endpoint;

	HASH_FIND(hh, registry->endpoints, &id, sizeof(id), endpoint);
	return endpoint;
}

/* --- matches -------------------------------------------------------------------------------------- */

/* It counts against both ends' users, and once where those are the same. */
static int charge_match(const struct endpoint *publisher, const struct endpoint *subscriber, struct refusal *refusal)
{
	struct quota_user *one = publisher->node->user, *other = subscriber->node->user;
	int r = quota_charge(one, QUOTA_MATCHES, 1, refusal);

	if (r || one == other)
		return r;
	r = quota_charge(other, QUOTA_MATCHES, 1, refusal);
	if (r)
		quota_release(one, QUOTA_MATCHES, 1);
	return r;
}

static void release_match(const struct endpoint *publisher, const struct endpoint *subscriber)
{
	struct quota_user *one = publisher->node->user, *other = subscriber->node->user;

	quota_release(one, QUOTA_MATCHES, 1);
	if (one != other)
		quota_release(other, QUOTA_MATCHES, 1);
}

int registry_new_match(struct registry *registry, struct match **matchp, struct endpoint *publisher,
		       struct endpoint *subscriber, uint32_t flags, uint64_t id, struct refusal *refusal)
{
	struct match *match;
	uint32_t row;
	int r = view_take_row(&registry->view->match_rows, &row, "connections between endpoints", "--max-matches", refusal);

	if (r)
		return r;
	r = charge_match(publisher, subscriber, refusal);
	if (r) {
		view_drop_match(registry->view, row);
		return r;
	}
	match = calloc(1, sizeof(*match));
	if (!match)
		goto no_memory;
	*match = (struct match){ .id = id ? id : registry->next_match, .publisher = publisher, .subscriber = subscriber,
				 .flags = flags, .row = row };
	HASH_ADD(hh, registry->matches, id, sizeof(match->id), match);
	if (!table_added(match))
		goto no_memory;

	if (!id)
		registry->next_match++;
	DL_APPEND2(publisher->matches, match, publisher_prev, publisher_next);
	DL_APPEND2(subscriber->matches, match, subscriber_prev, subscriber_next);
	publisher->n_matches++;
	subscriber->n_matches++;
	publisher->held += subscriber->max_held;
	*matchp = match;
	return 0;

no_memory:
	free(match);
	release_match(publisher, subscriber);
	view_drop_match(registry->view, row);
	return no_memory(refusal);
}

void registry_free_match(struct registry *registry, struct match *match)
{
	view_drop_match(registry->view, match->row);
	release_match(match->publisher, match->subscriber);
	DL_DELETE2(match->publisher->matches, match, publisher_prev, publisher_next);
	DL_DELETE2(match->subscriber->matches, match, subscriber_prev, subscriber_next);
	match->publisher->n_matches--;
	match->subscriber->n_matches--;
	match->publisher->held -= match->subscriber->max_held;
	HASH_DEL(registry->matches, match);
	free(match);
}

struct match *registry_find_match(struct registry *registry, uint64_t id)
{
	struct match *match;

	HASH_FIND(hh, registry->matches, &id, sizeof(id), match);
	return match;
}
