/* SPDX-License-Identifier: MIT */
/*
 * trace-exits.c - zcp-trace exits: nodes that end, how, and what they left behind
 *
 * The router's probe tells of the end. The node's heartbeat page we map while it lives: it stays readable, and the last heartbeat with
 * it. Samples it held are those that it took and did not release since tracing began.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <bpf/bpf.h>

#include "common/directory.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"
#include "tools/trace-whose.h"
#include "tools/trace.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/trace-exits.skel.h"
#pragma GCC diagnostic pop


static int load(struct trace *trace)
{
	struct trace_exits_bpf *s = trace_exits_bpf__open();
	int r;

	if (!s)
		return trace_loaded(-errno);
	trace->state = s;
	trace_fill_filter(trace, (struct trace_filter *)&s->rodata->filter);
	r = trace_loaded(trace_exits_bpf__load(s));
	if (r == 0)
		r = trace_probe(trace, "zcp_router", "retire", s->progs.on_retire, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "take", s->progs.on_take, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "release", s->progs.on_release, 0);
	names_map_pages(trace->names);
	return r < 0 ? r : trace_maps(trace, s->maps.endpoints, s->maps.retired);
}

static void unload(struct trace *trace)
{
	trace_exits_bpf__destroy(trace->state);
}

static uint64_t n_dropped(const struct trace *trace)
{
	const struct trace_exits_bpf *s = trace->state;

	return __atomic_load_n(&s->bss->n_dropped, __ATOMIC_RELAXED);
}

/* ---- what is known of it ----------------------------------------------------------------------------------------- */

/* One that came and went at once: its name may be on its way. Of another router's nodes there will never be one. */
static const struct name_node *find_node(struct trace *trace, const struct trace_retired *record)
{
	bool may_come = whose_is_router(trace->names, &trace->strangers, record->router);
	const struct name_node *node = names_node(trace->names, record->node);

	for (int i = 0; may_come && !node && names_await_news(trace->names, i); i++)
		node = names_node(trace->names, record->node);
	return node;
}

/* Samples that endpoint @id holds. */
static uint64_t held_by(const struct trace *trace, uint64_t id)
{
	const struct trace_exits_bpf *s = trace->state;
	uint64_t n;

	return bpf_map_lookup_elem(bpf_map__fd(s->maps.held), &id, &n) == 0 && (int64_t)n > 0 ? n : 0;
}

/* Whether an endpoint of it is of a wanted topic, or all are wanted. */
static bool is_wanted(const struct trace *trace, uint64_t node)
{
	if (!*trace->options.topic.service && !*trace->options.topic.instance && !*trace->options.topic.event)
		return true;
	for (const struct name_endpoint *e = names_endpoints(trace->names); e; e = e->hh.next) {
		if (e->node == node && e->wanted)
			return true;
	}
	return false;
}

/* False: its page could not be mapped. */
static bool heartbeat_age(const struct name_node *node, uint64_t time_ns, uint64_t *age_ns)
{
	const struct node_page *page = node ? node->page : NULL;
	uint64_t beat = page ? atomic_load_explicit(&page->heartbeat_ns, memory_order_relaxed) : 0;

	*age_ns = time_ns > beat ? time_ns - beat : 0;
	return beat;
}

static const char *cause_name(uint32_t cause)
{
	switch (cause) {
	case ZCP_CAUSE_CLOSED:
		return "closed";
	case ZCP_CAUSE_DIED:
		return "died";
	case ZCP_CAUSE_EVICTED:
		return "evicted";
	case ZCP_CAUSE_LEFT:
		return "left";
	default:
		return "unknown";
	}
}

/* ---- for programs ------------------------------------------------------------------------------------------------ */

static void print_json(struct trace *trace, const struct trace_retired *record, const struct name_node *node)
{
	json_t *endpoints = json_array(), *object;
	uint64_t all_held = 0, age_ns;

	for (const struct name_endpoint *e = names_endpoints(trace->names); e; e = e->hh.next) {
		uint64_t held = e->node == record->node ? held_by(trace, e->id) : 0;

		all_held += held;
		if (e->node == record->node)
			json_array_append_new(endpoints, json_pack("{s:I, s:s, s:s, s:I}", "id", (json_int_t)e->id, "role",
								   tool_role_name(e->role), "topic", e->topic, "held", (json_int_t)held));
	}
	object = json_pack("{s:s, s:I, s:I, s:i, s:s, s:I, s:I, s:o}", "type", "exit", "time_ns", (json_int_t)record->time_ns,
			   "node", (json_int_t)record->node, "pid", (int)record->pid, "cause", cause_name(record->cause),
			   "held", (json_int_t)all_held, "traced_since_ns", (json_int_t)trace->start_ns, "endpoints", endpoints);
	if (node)
		json_object_set_new(object, "node_name", json_string(node->name));
	if (record->cause == ZCP_CAUSE_DIED && WIFSIGNALED(record->status))
		json_object_set_new(object, "signal", json_integer(WTERMSIG(record->status)));
	else if (record->cause == ZCP_CAUSE_DIED)
		json_object_set_new(object, "exit_code", json_integer(WEXITSTATUS(record->status)));
	if (heartbeat_age(node, record->time_ns, &age_ns))
		json_object_set_new(object, "heartbeat_age_ns", json_integer((json_int_t)age_ns));
	trace_json(object);
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static void print_end(const struct trace_retired *record)
{
	char name[TOOL_SIGNAL_NAME];

	if (record->cause != ZCP_CAUSE_DIED)
		printf(": %s", cause_name(record->cause));
	else if (WIFSIGNALED(record->status))
		printf(": killed by %s", tool_signal_name(WTERMSIG(record->status), name));
	else
		printf(": exited with %d without closing", WEXITSTATUS(record->status));
}

static void print_endpoints(struct trace *trace, uint64_t node)
{
	for (const struct name_endpoint *e = names_endpoints(trace->names); e; e = e->hh.next) {
		uint64_t held;
		char time[TRACE_TIME];

		if (e->node != node)
			continue;
		held = held_by(trace, e->id);
		printf("    %-10s ", tool_role_name(e->role));
		trace_print_safe(e->topic, 0);
		if (held)
			printf(", held %" PRIu64 " sample%s of those taken since %.8s", held, held == 1 ? "" : "s",
			       trace_time(trace->start_ns, time));
		putchar('\n');
	}
}

static void print_line(struct trace *trace, const struct trace_retired *record, const struct name_node *node)
{
	char time[TRACE_TIME];
	uint64_t age_ns;

	printf("%s  ", trace_time(record->time_ns, time));
	trace_print_safe(node ? node->name : "?", 0);
	printf(" (pid %u)", record->pid);
	print_end(record);
	if (heartbeat_age(node, record->time_ns, &age_ns))
		printf("; last heartbeat %s before", trace_ns(age_ns, time));
	putchar('\n');
	print_endpoints(trace, record->node);
}

static void record(struct trace *trace, const void *data, size_t bytes)
{
	const struct trace_retired *retired = data;
	const struct name_node *node;

	if (bytes < sizeof(*retired))
		return;
	(void)names_read_news(trace->names);
	node = find_node(trace, retired);
	if (!node || !is_wanted(trace, retired->node))
		return;			/* another router's, or nobody's we care for */
	if (trace->options.json)
		print_json(trace, retired, node);
	else
		print_line(trace, retired, node);
}

const struct trace_command trace_exits = {
	.name = "exits",
	.summary = "nodes that end: why, last heartbeat, samples they held",
	.help = "A line for each node that ends: cause, signal or exit status, how old its last heartbeat was;\n"
		"below it its endpoints, and how many samples they held.\n",
	.load = load,
	.record = record,
	.unload = unload,
	.n_dropped = n_dropped,
};
