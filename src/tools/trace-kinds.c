/* SPDX-License-Identifier: MIT */
/*
 * trace-kinds.c - see trace-kinds.h
 */
#include "tools/trace-kinds.h"

#include <stdio.h>
#include <string.h>

#include "common/pattern.h"
#include "tools/tool.h"
#include "tools/trace.h"

const struct trace_kind trace_kinds[] = {
	{ "zcp", "loan", 3, 1, 0, { "publisher", "size", "payload" } },
	{ "zcp", "loan_fail", 3, 1, 0, { "publisher", "size", "error" } },
	{ "zcp", "publish", 3, 1, 0, { "publisher", "sequence", "size" } },
	{ "zcp", "ring", 2, 2, 0, { "endpoint", "peer" } },
	{ "zcp", "take", 5, 2, 0, { "subscriber", "publisher", "sequence", "size", "timestamp_ns" } },
	{ "zcp", "release", 3, 2, 0, { "subscriber", "publisher", "sequence" } },
	{ "zcp", "lost", 4, 2, 0, { "subscriber", "publisher", "count", "sequence" } },
	{ "zcp", "wait_begin", 2, 1, 0, { "endpoint", "timeout_ns" } },
	{ "zcp", "wait_end", 2, 1, 0, { "endpoint", "result" } },
	{ "zcp", "attach", 3, 2, 0, { "endpoint", "peer", "match" } },
	{ "zcp", "detach", 3, 2, 0, { "endpoint", "peer", "match" } },
	{ "zcp", "request", 4, 2, 0, { "client", "server", "id", "size" } },
	{ "zcp", "response", 5, 2, 0, { "server", "client", "id", "size", "status" } },
	{ "zcp", "notify", 3, 1, 0, { "notifier", "event_id", "count" } },
	{ "zcp_router", "join", 4, 0, 3, { "node", "pid", "uid", "name" } },
	{ "zcp_router", "refuse", 4, 0, 3, { "pid", "uid", "error", "text" } },
	{ "zcp_router", "retire", 4, 0, 0, { "node", "pid", "cause", "status" } },
	{ "zcp_router", "quota", 4, 0, 1, { "uid", "name", "limit", "wanted" } },
	{ "zcp_router", "resume", 3, 0, 0, { "node", "pid", "endpoints" } },
};
const unsigned int trace_n_kinds = sizeof(trace_kinds) / sizeof(*trace_kinds);

static bool find_kind(const char *name, size_t length, uint64_t *kinds)
{
	for (unsigned int i = 0; i < trace_n_kinds; i++) {
		if (strlen(trace_kinds[i].name) == length && !strncmp(trace_kinds[i].name, name, length)) {
			*kinds |= 1ull << i;
			return true;
		}
	}
	return false;
}

/* All names, with commas. */
static void list_names(char text[TRACE_KINDS_MAX * 16])
{
	size_t n = 0;

	for (unsigned int i = 0; i < trace_n_kinds; i++)
		n += (size_t)snprintf(text + n, TRACE_KINDS_MAX * 16 - n, "%s%s", i ? ", " : "", trace_kinds[i].name);
}

uint64_t trace_kinds_left(uint64_t kinds, const struct wire_topic *topic)
{
	uint64_t left = kinds ? kinds : ~0ull;

	for (unsigned int i = 0; i < trace_n_kinds; i++)
		if (!trace_kinds[i].n_endpoints && !pattern_is_empty(topic))
			left &= ~(1ull << i);
	return left & ((1ull << trace_n_kinds) - 1);
}

bool trace_parse_kinds(const char *list, uint64_t *kinds)
{
	for (;;) {
		size_t length = strcspn(list, ",");

		if (!find_kind(list, length, kinds)) {
			char names[TRACE_KINDS_MAX * 16];

			list_names(names);
			tool_usage("--kinds: there is no probe '%.*s', but there are %s", (int)length, list, names);
			return false;
		}
		list += length;
		if (!*list)
			return true;
		list++;
	}
}
