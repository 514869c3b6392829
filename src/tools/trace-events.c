/* SPDX-License-Identifier: MIT */
/*
 * trace-events.c - zcp-trace events: a line for each probe that is hit, as strace does it for system calls
 *
 * Only probes of the wanted kinds are attached. A record of an endpoint that the kernel's filter had not heard of is looked up here;
 * one of another router is left out, and the kernel told.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/pattern.h"
#include "tools/text.h"
#include "tools/tool.h"
#include "tools/trace-kinds.h"
#include "tools/trace-whose.h"
#include "tools/trace.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/trace-events.skel.h"
#pragma GCC diagnostic pop

static int load(struct trace *trace)
{
	struct trace_events_bpf *s = trace_events_bpf__open();
	uint64_t kinds = trace_kinds_left(trace->options.kinds, &trace->options.topic);
	int r;

	if (!s)
		return trace_loaded(-errno);
	trace->state = s;
	trace_fill_filter(trace, (struct trace_filter *)&s->rodata->filter);
	r = trace_loaded(trace_events_bpf__load(s));
	for (unsigned int i = 0; r == 0 && i < trace_n_kinds; i++) {
		const struct trace_kind *k = &trace_kinds[i];
		uint64_t cookie = TRACE_COOKIE(i, k->n_args, k->n_endpoints, k->text);

		if (kinds & 1ull << i)
			r = trace_probe(trace, k->provider, k->name, k->text ? s->progs.on_text_probe : s->progs.on_probe, cookie);
	}
	return r < 0 ? r : trace_maps(trace, s->maps.endpoints, s->maps.records);
}

static void unload(struct trace *trace)
{
	trace_events_bpf__destroy(trace->state);
}

static uint64_t n_dropped(const struct trace *trace)
{
	const struct trace_events_bpf *s = trace->state;

	return __atomic_load_n(&s->bss->n_dropped, __ATOMIC_RELAXED);
}

/* ---- a record ---------------------------------------------------------------------------------------------------- */

/* The endpoint that it is about: the first that is wanted. NULL: none is. */
static const struct name_endpoint *subject(struct trace *trace, const struct trace_event *event, const struct trace_kind *kind)
{
	for (unsigned int i = 0; i < kind->n_endpoints; i++) {
		const struct name_endpoint *e = names_owner(trace->names, (uint64_t)event->args[i]);

		if (e && e->wanted)
			return e;
	}
	return NULL;
}

/* What is about no endpoint of ours: may it be shown? */
static bool is_ours(struct trace *trace, const struct trace_event *event, const struct trace_kind *kind)
{
	if (!kind->n_endpoints)
		return whose_is_router(trace->names, &trace->strangers, event->pid);
	/* a wait set sleeps for many: its wait is about no endpoint, and no topic */
	return !event->args[0] && pattern_is_empty(&trace->options.topic) && whose_has_joined(trace->names, &trace->strangers, event->pid);
}

static const char *node_name(const struct trace *trace, const struct name_endpoint *endpoint, const struct trace_event *event)
{
	const struct name_node *node = endpoint && event->args[0] == (long long)endpoint->id ? names_node(trace->names, endpoint->node) : NULL;

	return node ? node->name : NULL;
}

/* ---- for programs ------------------------------------------------------------------------------------------------ */

static void print_json(const struct trace *trace, const struct trace_event *event, const struct trace_kind *kind, const char *text,
		       const struct name_endpoint *endpoint)
{
	json_t *object = json_pack("{s:s, s:s, s:I, s:i, s:i}", "type", "event", "probe", kind->name, "time_ns", (json_int_t)event->time_ns,
				   "pid", (int)event->pid, "tid", (int)event->tid);
	const char *node = node_name(trace, endpoint, event);

	if (node)
		json_object_set_new(object, "node_name", json_string(node));
	if (endpoint)
		json_object_set_new(object, "topic", json_string(endpoint->topic));
	for (unsigned int i = 0; i < kind->n_args; i++)
		json_object_set_new(object, kind->args[i],
				    kind->text && i == kind->text ? json_string(text) : json_integer((json_int_t)event->args[i]));
	trace_json(object);
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static void print_size(long long size)
{
	char number[TEXT_NUMBER];

	printf("  %s", text_bytes((uint64_t)size, number));
}

static void print_status(int status)
{
	char name[TOOL_SIGNAL_NAME];

	if (WIFSIGNALED(status))
		printf("  %s", tool_signal_name(WTERMSIG(status), name));
	else
		printf("  exit status %d", WEXITSTATUS(status));
}

static const char *cause_name(long long cause)
{
	static const char *const names[] = {
		[ZCP_CAUSE_CLOSED] = "closed", [ZCP_CAUSE_DIED] = "died", [ZCP_CAUSE_EVICTED] = "evicted", [ZCP_CAUSE_LEFT] = "left",
	};

	return cause > 0 && cause < (long long)(sizeof(names) / sizeof(*names)) ? names[cause] : "unknown";
}

static void print_number(const char *name, long long value, const struct trace_event *event)
{
	char text[TRACE_TIME];

	if (!strcmp(name, "sequence"))
		printf("  #%lld", value);
	else if (!strcmp(name, "size"))
		print_size(value);
	else if (!strcmp(name, "timestamp_ns") && value)
		printf("  after %s", trace_ns(event->time_ns > (uint64_t)value ? event->time_ns - (uint64_t)value : 0, text));
	else if (!strcmp(name, "timeout_ns"))
		printf(value < 0 ? "  for ever" : "  for %s", trace_ns((uint64_t)value, text));
	else if (!strcmp(name, "cause"))
		printf("  %s", cause_name(value));
	else if (!strcmp(name, "payload"))
		printf("  at %#llx", (unsigned long long)value);
	else if ((!strcmp(name, "error") || !strcmp(name, "result") || !strcmp(name, "status")) && value < 0)
		printf("  %s", strerrorname_np((int)-value) ? strerrorname_np((int)-value) : "unknown error");
	else if (!strcmp(name, "status"))
		print_status((int)value);
	else if (strcmp(name, "timestamp_ns"))
		printf("  %s %lld", name, value);
}

static void print_line(const struct trace *trace, const struct trace_event *event, const struct trace_kind *kind, const char *text,
		       const struct name_endpoint *endpoint)
{
	const char *node = node_name(trace, endpoint, event);
	char time[TRACE_TIME], who[WIRE_NAME_BYTES + 16];

	snprintf(who, sizeof(who), "%s[%u]", node ? node : kind->n_endpoints ? "" : "zcp-router", event->pid);
	printf("%s  ", trace_time(event->time_ns, time));
	trace_print_safe(who, 20);
	printf("  %-10s", kind->name);
	if (endpoint) {
		printf("  ");
		trace_print_safe(endpoint->topic, 0);
	}
	for (unsigned int i = 0; i < kind->n_args; i++) {
		if (kind->text && i == kind->text) {
			printf("  ");
			trace_print_safe(text, 0);
		} else if (i || !kind->n_endpoints) {
			print_number(kind->args[i], event->args[i], event);
		}
	}
	putchar('\n');
}

/* Records that were lost are a hole in the stream: say where. @dropped: all that were lost until there. */
static void tell_dropped(const struct trace *trace, uint64_t dropped)
{
	struct trace_events_bpf *s = trace->state;
	uint64_t count = dropped - s->bss->n_told;

	s->bss->n_told = dropped;
	if (trace->options.json)
		trace_json(json_pack("{s:s, s:I}", "type", "dropped", "count", (json_int_t)count));
	else
		printf("-- %" PRIu64 " events were lost here: more than can be printed --\n", count);
}

static void record(struct trace *trace, const void *data, size_t bytes)
{
	const struct trace_events_bpf *s = trace->state;
	struct trace_text_event event = { 0 };
	const struct trace_kind *kind;
	const struct name_endpoint *endpoint;
	int32_t newly_dropped;

	memcpy(&event, data, bytes < sizeof(event) ? bytes : sizeof(event));
	if (event.event.kind >= trace_n_kinds)
		return;
	event.text[sizeof(event.text) - 1] = 0;
	/* two processors may have counted and written the other way round */
	newly_dropped = (int32_t)(event.event.dropped - (uint32_t)s->bss->n_told);
	if (newly_dropped > 0)
		tell_dropped(trace, s->bss->n_told + (uint32_t)newly_dropped);
	kind = &trace_kinds[event.event.kind];
	endpoint = subject(trace, &event.event, kind);
	if (!endpoint && !is_ours(trace, &event.event, kind)) {
		trace->n_foreign++;
		return;
	}
	if (trace->options.json)
		print_json(trace, &event.event, kind, event.text, endpoint);
	else
		print_line(trace, &event.event, kind, event.text, endpoint);
}

/* Where no further record comes that would say it: what was lost behind the last one. */
static int report(struct trace *trace, bool last)
{
	const struct trace_events_bpf *s = trace->state;

	if (trace->n_dropped > s->bss->n_told && (last || ring_buffer__consume(trace->ring) >= 0) && trace->n_dropped > s->bss->n_told)
		tell_dropped(trace, trace->n_dropped);
	return 0;
}

const struct trace_command trace_events = {
	.name = "events",
	.summary = "a line for each message, loan, wait, ... as it happens",
	.help = "A line for each probe that is hit: when, who, what, topic and arguments.\n"
		"When there are more than can be printed, some are left out, counted and said.\n",
	.has_kinds = true,
	.load = load,
	.record = record,
	.report = report,
	.unload = unload,
	.n_dropped = n_dropped,
};
