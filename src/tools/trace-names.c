/* SPDX-License-Identifier: MIT */
/*
 * trace-names.c - see trace-names.h
 */
#include "tools/trace-names.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/directory.h"
#include "common/fd.h"
#include "common/pattern.h"
#include "lib/node.h"
#include "tools/snapshot.h"
#include "tools/tool.h"

#define REMEMBER_NS (300 * 1000000000ull)
#define ROW_TRIES 16
#define NEWS_TRIES 20
#define NEWS_MS 10
#define IDS_NEAR 1000u		/* so many endpoints may have been opened since we heard of one */

struct names {
	zcp_node *node;
	zcp_watch *watch;
	struct wire_topic pattern;
	struct name_endpoint *endpoints;
	struct name_node *nodes;
	int map_fd;			/* -1: none */
	bool pages;
	uint64_t newest_id;		/* of an endpoint; to begin with, our own node's: nodes are counted from the same number */
	int router_pid;
	bool same_namespace;
	bool new_nodes;			/* since names_update() was called last, which is not the only one that reads news */
	uint64_t next_forget_ns;
};

/* ---- the kernel's copy ------------------------------------------------------------------------------------------- */

static void tell_kernel(struct names *names, struct name_endpoint *e)
{
	uint8_t wanted = e->wanted;

	if (names->map_fd < 0 || e->known_to_kernel)
		return;
	/* where everything is wanted nobody needs to look; but it may have been ignored before we heard of it */
	if (wanted && pattern_is_empty(&names->pattern))
		(void)bpf_map_delete_elem(names->map_fd, &e->id);
	else
		e->known_to_kernel = !bpf_map_update_elem(names->map_fd, &e->id, &wanted, BPF_ANY);
}

static bool is_ignored(const struct names *names, uint64_t id)
{
	uint8_t wanted;

	return names->map_fd >= 0 && bpf_map_lookup_elem(names->map_fd, &id, &wanted) == 0 && !wanted;
}

/* @id is nobody's here. */
static void ignore(struct names *names, uint64_t id)
{
	uint8_t wanted = 0;

	if (names->map_fd >= 0)
		bpf_map_update_elem(names->map_fd, &id, &wanted, BPF_ANY);
}

void names_set_map(struct names *names, int map_fd)
{
	struct name_endpoint *e, *next;

	names->map_fd = map_fd;
	/* what is about no endpoint, as a wait set's waits are, is about no topic */
	if (!pattern_is_empty(&names->pattern))
		ignore(names, 0);
	HASH_ITER(hh, names->endpoints, e, next)
		tell_kernel(names, e);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static struct name_endpoint *find_endpoint(const struct names *names, uint64_t id)
{
	struct name_endpoint *e;

	HASH_FIND(hh, names->endpoints, &id, sizeof(id), e);
	return e;
}

static struct name_node *find_node(const struct names *names, uint64_t id)
{
	struct name_node *n;

	HASH_FIND(hh, names->nodes, &id, sizeof(id), n);
	return n;
}

static const char *kind_of(uint32_t role)
{
	switch (role) {
	case ZCP_SERVER:
		return "request";
	case ZCP_CLIENT:
		return "response";
	case ZCP_NOTIFIER:
	case ZCP_LISTENER:
		return "event";
	default:
		return "data";
	}
}

static void add_endpoint(struct names *names, uint64_t id, uint64_t node, uint32_t role, const char *kind, const struct wire_topic *topic)
{
	struct name_endpoint *e = find_endpoint(names, id);

	if (e) {
		e->gone_ns = 0;		/* the router has come back, and it too */
		return;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return;			/* then it has no name */
	e->id = id;
	e->node = node;
	e->role = role;
	e->kind = kind;
	e->wanted = node != zcp_node_id(names->node) && pattern_matches_topic(&names->pattern, topic);
	snprintf(e->topic, sizeof(e->topic), "%s/%s/%s", topic->service, topic->instance, topic->event);
	HASH_ADD(hh, names->endpoints, id, sizeof(e->id), e);
	if (id > names->newest_id)
		names->newest_id = id;
	tell_kernel(names, e);
}

static void map_page(const struct names *names, struct name_node *node);

static bool add_node(struct names *names, uint64_t id, uint32_t pid, const char *name)
{
	struct name_node *n = find_node(names, id);

	if (n) {
		n->gone_ns = 0;
		return false;
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return false;
	n->id = id;
	n->pid = pid;
	snprintf(n->name, sizeof(n->name), "%s", name);
	HASH_ADD(hh, names->nodes, id, sizeof(n->id), n);
	map_page(names, n);
	return true;
}

static void free_node(struct names *names, struct name_node *node)
{
	HASH_DEL(names->nodes, node);
	if (node->page)
		munmap((void *)(uintptr_t)node->page, NODE_PAGE_BYTES);
	free(node);
}

static void free_endpoint(struct names *names, struct name_endpoint *endpoint)
{
	HASH_DEL(names->endpoints, endpoint);
	if (endpoint->known_to_kernel)
		bpf_map_delete_elem(names->map_fd, &endpoint->id);
	free(endpoint);
}

/* What has long gone. */
static void forget(struct names *names, uint64_t now_ns)
{
	struct name_endpoint *e, *next_e;
	struct name_node *n, *next_n;

	if (now_ns < names->next_forget_ns)
		return;
	names->next_forget_ns = now_ns + REMEMBER_NS / 10;
	HASH_ITER(hh, names->endpoints, e, next_e)
		if (e->gone_ns && !e->used && now_ns > e->gone_ns + REMEMBER_NS)
			free_endpoint(names, e);
	HASH_ITER(hh, names->nodes, n, next_n)
		if (n->gone_ns && !n->used && now_ns > n->gone_ns + REMEMBER_NS)
			free_node(names, n);
}

/* ---- the directory ----------------------------------------------------------------------------------------------- */

static const char *const wire_kinds[] = {
	[WIRE_ROLE_DATA] = "data", [WIRE_ROLE_REQUEST] = "request", [WIRE_ROLE_RESPONSE] = "response", [WIRE_ROLE_EVENT] = "event",
};

static void add_row(struct names *names, struct directory_endpoint *row)
{
	const char *kind = row->role < sizeof(wire_kinds) / sizeof(*wire_kinds) ? wire_kinds[row->role] : "data";

	row->topic.service[WIRE_NAME_BYTES - 1] = 0;
	row->topic.instance[WIRE_NAME_BYTES - 1] = 0;
	row->topic.event[WIRE_NAME_BYTES - 1] = 0;
	add_endpoint(names, row->id, row->node, snapshot_role(row), kind, &row->topic);
}

/* The channels of clients and servers are told of by no watch; anything else is here before the watch tells. */
static void read_directory(struct names *names)
{
	const struct directory_view *view = &names->node->directory;
	uint32_t n_rows = atomic_load_explicit(&view->header->n_endpoint_rows, memory_order_relaxed);

	for (uint32_t i = 0; i < n_rows && i < view->max_endpoints; i++) {
		struct directory_endpoint row;
		int r, tries = 0;

		while ((r = directory_read_endpoint(view, i, &row)) == -EAGAIN && ++tries < ROW_TRIES)
			sched_yield();
		if (r == 1)
			add_row(names, &row);
	}
}

/* ---- heartbeats -------------------------------------------------------------------------------------------------- */

/*
 * A node's page is mapped by the router, under a name that only the router could choose. Through its entry in /proc/PID/map_files
 * it can be mapped by whoever may look into that process; and it stays when the node is gone.
 */
static void map_page(const struct names *names, struct name_node *node)
{
	char path[64], line[512], label[64];
	FILE *maps;

	if (!names->pages || node->page)
		return;
	snprintf(path, sizeof(path), "/proc/%d/maps", names->router_pid);
	maps = fopen(path, "re");
	if (!maps)
		return;
	while (fgets(line, sizeof(line), maps)) {
		uint64_t from, to;
		uint32_t uid;
		char *at = strstr(line, "/memfd:zcp:node:");
		void *page;
		int fd;

		if (!at || sscanf(at, "/memfd:zcp:node:%" SCNu32, &uid) != 1)
			continue;
		snprintf(label, sizeof(label), "/memfd:zcp:node:%" PRIu32 ":%" PRIu64 " ", uid, node->id);
		if (strncmp(at, label, strlen(label)) || sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) != 2)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, names->router_pid, from, to);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		page = fd < 0 ? MAP_FAILED : mmap(NULL, NODE_PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
		fd_close(fd);
		if (page != MAP_FAILED)
			node->page = page;
		break;
	}
	fclose(maps);
}

void names_map_pages(struct names *names)
{
	struct name_node *n, *next;

	names->pages = true;
	HASH_ITER(hh, names->nodes, n, next)
		map_page(names, n);
}

/* ---- news -------------------------------------------------------------------------------------------------------- */

static bool take_event(struct names *names, const struct zcp_watch_event *e)
{
	struct name_endpoint *endpoint = e->endpoint ? find_endpoint(names, e->endpoint) : NULL;
	struct name_node *node = e->node ? find_node(names, e->node) : NULL;
	struct wire_topic topic;

	switch (e->kind) {
	case ZCP_WATCH_NODE_APPEARED:
		return add_node(names, e->node, e->pid, e->node_name) && e->node != zcp_node_id(names->node);
	case ZCP_WATCH_ENDPOINT_APPEARED:
		snprintf(topic.service, sizeof(topic.service), "%s", e->service);
		snprintf(topic.instance, sizeof(topic.instance), "%s", e->instance);
		snprintf(topic.event, sizeof(topic.event), "%s", e->event);
		add_endpoint(names, e->endpoint, e->node, e->role, kind_of(e->role), &topic);
		return false;
	case ZCP_WATCH_NODE_VANISHED:
		if (node)
			node->gone_ns = clock_now_ns();
		return false;
	case ZCP_WATCH_ENDPOINT_VANISHED:
		if (endpoint)
			endpoint->gone_ns = clock_now_ns();
		return false;
	case ZCP_WATCH_ROUTER_GONE:
		fprintf(stderr, "zcp-trace: the router is gone; what is there already is traced on\n");
		return false;
	default:
		return false;
	}
}

int names_read_news(struct names *names)
{
	struct zcp_watch_event event;
	bool news = false;

	while (zcp_watch_take(names->watch, &event) == 0) {
		news = true;
		names->new_nodes |= take_event(names, &event);
	}
	if (zcp_watch_wait(names->watch, 0) == -ENOTCONN)
		return -1;
	if (news)
		read_directory(names);
	forget(names, clock_now_ns());
	return 0;
}

int names_update(struct names *names)
{
	bool new_nodes;

	if (names_read_news(names) < 0)
		return -1;
	new_nodes = names->new_nodes;
	names->new_nodes = false;
	return new_nodes;
}

const struct name_endpoint *names_endpoint(struct names *names, uint64_t id)
{
	struct name_endpoint *e = find_endpoint(names, id);

	if (!e && id) {
		(void)names_read_news(names);
		read_directory(names);
		e = find_endpoint(names, id);
	}
	if (e)
		e->used = true;
	return e;
}

const struct name_endpoint *names_owner(struct names *names, uint64_t id)
{
	const struct name_endpoint *e = names_endpoint(names, id);

	if (e || !id || is_ignored(names, id))
		return e;
	/* a router's ids ascend one by one, from the microsecond in which it began: another router's are far away */
	for (int i = 0; !e && id - names->newest_id + IDS_NEAR < 2 * IDS_NEAR && names_await_news(names, i); i++)
		e = names_endpoint(names, id);
	if (!e)
		ignore(names, id);
	return e;
}

/* Also after a signal: what happened before it is still to be shown. */
bool names_await_news(struct names *names, int i)
{
	struct pollfd p = { .fd = zcp_watch_fd(names->watch), .events = POLLIN };

	if (i >= NEWS_TRIES)
		return false;
	(void)poll(&p, 1, NEWS_MS);
	return names_read_news(names) >= 0;
}

const struct name_node *names_node(const struct names *names, uint64_t id)
{
	struct name_node *n = find_node(names, id);

	if (n)
		n->used = true;
	return n;
}

struct name_node *names_nodes(const struct names *names)
{
	return names->nodes;
}

struct name_endpoint *names_endpoints(const struct names *names)
{
	return names->endpoints;
}

int names_fd(const struct names *names)
{
	return zcp_watch_fd(names->watch);
}

int names_router(const struct names *names, bool *same_namespace)
{
	*same_namespace = names->same_namespace;
	return names->router_pid;
}

void names_set_router(struct names *names, int pid)
{
	names->router_pid = pid;
}

const char *names_router_path(const struct names *names)
{
	return names->node->paths.used;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* The socket knows the router's pid as we see it; the directory, as the router does. */
static void find_router(struct names *names)
{
	struct ucred credentials;
	socklen_t bytes = sizeof(credentials);

	pthread_mutex_lock(&names->node->lock);
	if (!getsockopt(names->node->socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes))
		names->router_pid = credentials.pid;
	pthread_mutex_unlock(&names->node->lock);
	names->same_namespace = names->router_pid && (uint32_t)names->router_pid == names->node->directory.header->router_pid;
}

int names_open(struct names **namesp, const struct wire_topic *pattern)
{
	const struct zcp_watch_options options = { .sz = sizeof(options), .queue = 65536 };
	struct names *names = calloc(1, sizeof(*names));
	int r;

	if (!names)
		return tool_fail("out of memory"), -1;
	names->map_fd = -1;
	names->pattern = *pattern;
	if (tool_node_open(&names->node, "zcp-trace", false) < 0) {
		free(names);
		return -1;
	}
	names->newest_id = zcp_node_id(names->node);
	r = zcp_watch_open(&names->watch, names->node, NULL, &options);
	if (r < 0) {
		tool_fail_zcp(r);
		names_close(names);
		return -1;
	}
	find_router(names);
	names_update(names);
	*namesp = names;
	return 0;
}

struct names *names_close(struct names *names)
{
	struct name_endpoint *e, *next_e;
	struct name_node *n, *next_n;

	if (!names)
		return NULL;
	HASH_ITER(hh, names->endpoints, e, next_e) {
		e->known_to_kernel = false;
		free_endpoint(names, e);
	}
	HASH_ITER(hh, names->nodes, n, next_n)
		free_node(names, n);
	zcp_watch_close(names->watch);
	zcp_node_close(names->node);
	free(names);
	return NULL;
}
