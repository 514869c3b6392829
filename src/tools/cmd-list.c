/* SPDX-License-Identifier: MIT */
/*
 * cmd-list.c - zcp list: topics, their endpoints, who is connected to whom, and the nodes
 *
 * Everything comes from the directory segment that a node maps read-only: the router is not asked, and a router
 * that hangs can still be looked at. To look, one has to join; our own node is left out of what is shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/node.h"
#include "tools/snapshot.h"
#include "tools/text.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: zcp list [--json]\n"
	"\n"
	"Show the topics, their publishers, subscribers, servers and clients, who is connected to\n"
	"whom, and the nodes. Doesn't start a router: without one it says so and exits with 1.\n"
	"\n"
	"      --json           one JSON object\n"
	TOOL_COMMON_HELP;

/* ---- for people ---- */

enum { KIND, ID, PID, NODE, MODE, QUEUE, PAYLOAD, TYPE, PEERS, N_COLUMNS };

/* Towards whom data flows: between a client and a server it does so both ways, and the client begins. */
static const char *arrow(enum zcp_role role)
{
	return role == ZCP_PUBLISHER || role == ZCP_CLIENT || role == ZCP_NOTIFIER ? "->" : "<-";
}

/* "12, 13", or "nobody" */
static char *peers_text(const struct snapshot *s, const struct directory_endpoint *e)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	const char *separator = "";

	if (!f)
		return NULL;
	for (size_t i = 0; i < s->n_matches; i++) {
		const struct directory_match *m = &s->matches[i];

		if (m->publisher != e->id && m->subscriber != e->id)
			continue;
		fprintf(f, "%s%" PRIu64, separator, m->publisher == e->id ? m->subscriber : m->publisher);
		separator = ", ";
	}
	if (!*separator)
		fputs("nobody", f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void add_endpoint(struct table *table, const struct snapshot *s, const struct directory_endpoint *e)
{
	const struct directory_node *node = snapshot_node(s, e->node);
	enum zcp_role role = snapshot_role(e);
	char number[TEXT_NUMBER];
	char *peers = peers_text(s, e);

	table_row(table);
	table_cell(table, KIND, "%s", tool_role_name(role));
	table_cell(table, ID, "%" PRIu64, e->id);
	table_cell(table, PID, "pid %" PRIu32, node->pid);
	table_cell(table, NODE, "%s", node->name);
	if (role == ZCP_PUBLISHER) {
		table_cell(table, MODE, "%s", e->flags & WIRE_ENDPOINT_RELIABLE ? "reliable" : "lossy");
		table_cell(table, QUEUE, e->history ? "depth %" PRIu32 ", history %" PRIu32 : "depth %" PRIu32,
			   e->depth, e->history);
		table_cell(table, PAYLOAD, "up to %s", text_bytes(e->payload_max, number));
	} else {
		if (role == ZCP_SUBSCRIBER && e->flags & WIRE_ENDPOINT_LOSSY)
			table_cell(table, MODE, "lossy");
		if (e->flags & WIRE_ENDPOINT_SHARED)
			table_cell(table, MODE, "load-balanced");
		if (e->history)
			table_cell(table, QUEUE, "history %" PRIu32, e->history);
	}
	if (*e->type.name)
		table_cell(table, TYPE, "%s (%" PRIu64 " B)", e->type.name, e->type.size);
	table_cell(table, PEERS, "%s %s", arrow(role), peers ? peers : "?");
	free(peers);
}

static void print_topic(const struct wire_topic *topic)
{
	const char *parts[] = { topic->service, topic->instance, topic->event };

	for (int i = 0; i < 3; i++) {
		char *safe;

		if (text_safe(parts[i], strlen(parts[i]), 0, &safe) < 0)
			continue;
		printf("%s%s", i ? "/" : "", safe);
		free(safe);
	}
	putchar('\n');
}

static int print_topics(const struct snapshot *s)
{
	struct table table;
	int failed, first = 0;

	table_init(&table, N_COLUMNS);
	for (size_t i = 0; i < s->n_endpoints; i++)
		add_endpoint(&table, s, &s->endpoints[i]);
	for (int row = 1; !table.failed && row <= table.n_rows; row++) {
		const struct directory_endpoint *e = &s->endpoints[row - 1];

		if (row < table.n_rows && !snapshot_compare_topics(&e->topic, &s->endpoints[row].topic))
			continue;
		print_topic(&e->topic);
		table_print(&table, stdout, first, row, 2);
		putchar('\n');
		first = row;
	}
	failed = table.failed;
	table_deinit(&table);
	return failed ? -ENOMEM : 0;
}

static unsigned int count_endpoints(const struct snapshot *s, uint64_t node)
{
	unsigned int n = 0;

	for (size_t i = 0; i < s->n_endpoints; i++)
		n += s->endpoints[i].node == node;
	return n;
}

static int print_nodes(const struct snapshot *s, uint64_t now_ns)
{
	struct table table;
	int failed;

	table_init(&table, 7);
	for (size_t i = 0; i < s->n_nodes; i++) {
		const struct directory_node *n = &s->nodes[i];
		char number[TEXT_NUMBER];
		unsigned int n_endpoints = count_endpoints(s, n->id);

		table_row(&table);
		table_cell(&table, 0, "%s", n->name);
		table_cell(&table, 1, "pid %" PRIu32, n->pid);
		table_cell(&table, 2, "uid %" PRIu32, n->uid);
		table_cell(&table, 3, "since %s", text_duration(now_ns > n->since_ns ? now_ns - n->since_ns : 0, number));
		table_cell(&table, 4, "%u endpoint%s", n_endpoints, n_endpoints == 1 ? "" : "s");
		table_cell(&table, 5, "%s", text_bytes(n->segment_bytes, number));
		if (n->flags & DIRECTORY_NODE_UNRESPONSIVE)
			table_cell(&table, 6, "unresponsive");
		else if (n->flags & DIRECTORY_NODE_UNMONITORED)
			table_cell(&table, 6, "unmonitored");
	}
	puts("nodes");
	table_print(&table, stdout, 0, table.n_rows, 2);
	failed = table.failed;
	table_deinit(&table);
	return failed ? -ENOMEM : 0;
}

static int print_human(const struct snapshot *s)
{
	int r;

	if (!s->n_nodes) {
		puts("nobody is here: the router runs, and no node has joined");
		return 0;
	}
	r = print_topics(s);
	return r < 0 ? r : print_nodes(s, clock_now_ns());
}

/* ---- for programs ---- */

static json_t *node_json(const struct directory_node *n)
{
	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:I, s:I}",
			 "id", (json_int_t)n->id, "name", n->name, "pid", (json_int_t)n->pid, "uid", (json_int_t)n->uid,
			 "gid", (json_int_t)n->gid, "responsive", !(n->flags & DIRECTORY_NODE_UNRESPONSIVE),
			 "monitored", !(n->flags & DIRECTORY_NODE_UNMONITORED),
			 "since_ns", (json_int_t)n->since_ns, "segment_bytes", (json_int_t)n->segment_bytes,
			 "descriptors", (json_int_t)n->n_fds);
}

static json_t *type_json(const struct wire_type_info *type)
{
	if (!*type->name)
		return json_null();
	return json_pack("{s:s, s:I, s:I}", "name", type->name, "size", (json_int_t)type->size,
			 "alignment", (json_int_t)type->alignment);
}

static json_t *peers_json(const struct snapshot *s, const struct directory_endpoint *e)
{
	json_t *peers = json_array();

	for (size_t i = 0; i < s->n_matches; i++) {
		const struct directory_match *m = &s->matches[i];

		if (m->publisher == e->id)
			json_array_append_new(peers, json_integer((json_int_t)m->subscriber));
		else if (m->subscriber == e->id)
			json_array_append_new(peers, json_integer((json_int_t)m->publisher));
	}
	return peers;
}

static json_t *endpoint_json(const struct snapshot *s, const struct directory_endpoint *e)
{
	const struct directory_node *node = snapshot_node(s, e->node);
	enum zcp_role role = snapshot_role(e);
	json_t *json = json_pack("{s:I, s:s, s:I, s:s, s:i, s:{s:s, s:s, s:s}, s:o, s:I, s:I, s:o}",
				 "id", (json_int_t)e->id, "kind", tool_role_name(role),
				 "node", (json_int_t)e->node, "node_name", node->name, "pid", (int)node->pid,
				 "topic", "service", e->topic.service, "instance", e->topic.instance,
				 "event", e->topic.event, "type", type_json(&e->type),
				 "since_ns", (json_int_t)e->since_ns,
				 "segment_bytes", (json_int_t)e->segment_bytes,
				 "connected_to", peers_json(s, e));

	if (role == ZCP_PUBLISHER || role == ZCP_SUBSCRIBER)
		json_object_set_new(json, "history", json_integer(e->history));
	if (role == ZCP_PUBLISHER) {
		json_object_set_new(json, "reliable", json_boolean(e->flags & WIRE_ENDPOINT_RELIABLE));
		json_object_set_new(json, "depth", json_integer(e->depth));
		json_object_set_new(json, "payload_max", json_integer(e->payload_max));
	} else if (role != ZCP_NOTIFIER && role != ZCP_LISTENER) {
		if (role == ZCP_SUBSCRIBER)
			json_object_set_new(json, "lossy", json_boolean(e->flags & WIRE_ENDPOINT_LOSSY));
		if (role == ZCP_SERVER)
			json_object_set_new(json, "load_balanced", json_boolean(e->flags & WIRE_ENDPOINT_SHARED));
		json_object_set_new(json, "max_held", json_integer(e->max_held));
	}
	return json;
}

static json_t *match_json(const struct snapshot *s, const struct directory_match *m)
{
	enum zcp_role role = snapshot_role(snapshot_endpoint(s, m->publisher));

	if (role == ZCP_NOTIFIER)
		return json_pack("{s:I, s:I}", "notifier", (json_int_t)m->publisher, "listener", (json_int_t)m->subscriber);
	if (role == ZCP_CLIENT)
		return json_pack("{s:I, s:I}", "client", (json_int_t)m->publisher, "server", (json_int_t)m->subscriber);
	return json_pack("{s:I, s:I, s:b}", "publisher", (json_int_t)m->publisher,
			 "subscriber", (json_int_t)m->subscriber, "lossy", !!(m->flags & WIRE_MATCH_LOSSY));
}

static int print_json(const struct snapshot *s)
{
	json_t *nodes = json_array(), *endpoints = json_array(), *matches = json_array();
	json_t *root = json_pack("{s:o, s:o, s:o}", "nodes", nodes, "endpoints", endpoints, "connections", matches);
	int r;

	for (size_t i = 0; i < s->n_nodes; i++)
		json_array_append_new(nodes, node_json(&s->nodes[i]));
	for (size_t i = 0; i < s->n_endpoints; i++)
		json_array_append_new(endpoints, endpoint_json(s, &s->endpoints[i]));
	for (size_t i = 0; i < s->n_matches; i++)
		json_array_append_new(matches, match_json(s, &s->matches[i]));
	r = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
	putchar('\n');
	json_decref(root);
	return r < 0 && !ferror(stdout) ? -ENOMEM : 0;
}

/* ---- the command ---- */

static int list(bool json)
{
	struct snapshot snapshot;
	zcp_node *node;
	int r = tool_node_open(&node, "zcp list", false);

	if (r < 0)
		return TOOL_FAILURE;
	r = snapshot_take(&snapshot, &node->directory, node->id);
	zcp_node_close(node);
	if (r == 0) {
		r = json ? print_json(&snapshot) : print_human(&snapshot);
		snapshot_deinit(&snapshot);
	}
	if (r < 0)
		return tool_fail("%s", strerror(-r));
	return tool_finish_stdout();
}

int cmd_list(int argc, char **argv)
{
	enum { OPTION_JSON = TOOL_OPTION_FIRST };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ 0 },
	};
	bool json = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == OPTION_JSON)
			json = true;
		else if ((r = tool_common_option(c, optarg, help)) >= 0)
			return r;
	}
	if (optind < argc)
		return tool_usage("takes no argument, but there is '%s'", argv[optind]);
	return list(json);
}
