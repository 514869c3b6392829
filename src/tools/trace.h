/* SPDX-License-Identifier: MIT */
/*
 * trace.h - what the sub-commands of zcp-trace share: options, the loop, records and figures, output
 *
 * A sub-command is a struct trace_command. main() parses the options (the same for all); trace_run() joins the router, and calls
 *
 *	load()		open and load the BPF object; say with trace_probe() which program belongs to which probe
 *	record()	for each record in the object's ring buffer, if it has one
 *	report()	at each interval, and once more at the end (last)
 *	unload()
 *
 * Probes are attached in every file in which a process of this router has them, also in those that come later
 * (trace-attach.h). What is shown about an endpoint comes from trace-names.h.
 *
 * In the kernel everything is counted; what could not be recorded for want of room is counted too, and said. One line is written at
 * once, and with --json it is an object with a member "type".
 */
#ifndef ZCP_TOOLS_TRACE_H
#define ZCP_TOOLS_TRACE_H

#include <bpf/libbpf.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/trace.h"
#include "tools/trace-attach.h"
#include "tools/trace-names.h"
#include "zcp/zcp.h"

struct trace_options {
	uint32_t pid;			/* 0: all */
	struct wire_topic topic;	/* a pattern; empty: all */
	int64_t duration_ns;		/* 0: until a signal comes */
	int64_t interval_ns;
	uint64_t kinds;			/* events: bit numbers of enum trace_kind; 0: all */
	bool json, histogram;
};

struct trace {
	struct trace_options options;
	const struct trace_command *command;
	struct names *names;
	struct attacher *attacher;
	struct ring_buffer *ring;
	uint64_t start_ns;		/* when all probes were attached */
	uint64_t now_ns;		/* of this report */
	uint64_t last_ns;		/* of the report before */
	uint64_t end_ns;		/* 0: it is not over. What is in the ring buffer from before is shown yet */
	uint64_t n_dropped;		/* until this report */
	uint64_t n_records;		/* out of the ring buffer */
	uint64_t n_foreign;		/* hits of other routers, their endpoints and processes, that were left out */
	struct whose_stranger *strangers;	/* other routers (trace-whose.h) */
	bool stop;			/* nobody reads the output any more */
	bool redraw;			/* the command draws on the terminal (trace-screen.h): nothing else may be printed meanwhile */
	int screen_fd;			/* its size has changed */
	void *state;			/* the sub-command's */
};

struct trace_command {
	const char *name, *summary, *help;
	bool has_kinds, has_histogram;
	bool has_stragglers;		/* what happened may be told a little later */
	int (*load)(struct trace *trace);
	void (*record)(struct trace *trace, const void *record, size_t bytes);
	int (*report)(struct trace *trace, bool last);
	/* of a command that draws its reports on a terminal: the last one again, as the size has changed. 0 or -ENOMEM */
	int (*redraw)(struct trace *trace);
	void (*unload)(struct trace *trace);
	/* what was lost, for the last lines: records without room */
	uint64_t (*n_dropped)(const struct trace *trace);
};

extern const struct trace_command trace_events, trace_latency, trace_drops, trace_exits, trace_wakeups, trace_top;

/* "publish,take" into bit numbers; false after the complaint. */
bool trace_parse_kinds(const char *list, uint64_t *kinds);

/* Of @kinds (0: all) those that a pattern of topics leaves: what is about no endpoint is about no topic. */
uint64_t trace_kinds_left(uint64_t kinds, const struct wire_topic *topic);

/* ---- for main() ---- */

/* All of a sub-command, with its options set: load, attach, loop, last report, unload. 0, or -1 after the complaint. */
int trace_run(struct trace *trace);

/* ---- for load() ---- */

/* Fill in what the programs filter by. */
void trace_fill_filter(const struct trace *trace, struct trace_filter *filter);

/* After a skeleton was opened and loaded with @r (errno for a skeleton of NULL): 0, or the complaint that names the cure and -1. */
int trace_loaded(int r);

/* @program at all places of @probe. */
int trace_probe(struct trace *trace, const char *provider, const char *probe, struct bpf_program *program, uint64_t cookie);

/* The programs' map of endpoints is @endpoints; their ring buffer, if not NULL, @ring. 0, or -1 after the complaint. */
int trace_maps(struct trace *trace, const struct bpf_map *endpoints, const struct bpf_map *ring);

/* ---- for report() ---- */

/* A walk through a map, from all zeroes. */
struct trace_walk {
	bool began, more;
	char next[64];			/* a key */
};

/*
 * The next key of @map in *@key, its value in @value. false: that was all. That entry may be deleted, no other one. Entries that come
 * meanwhile may be missed; they are there the next time.
 */
bool trace_next(struct trace_walk *walk, const struct bpf_map *map, void *key, size_t key_bytes, void *value);

/* "12:34:56.123456" of the time of day at which @ns of CLOCK_MONOTONIC was. */
#define TRACE_TIME 32
const char *trace_time(uint64_t ns, char text[TRACE_TIME]);

/* "1.23 us": three digits. */
const char *trace_ns(uint64_t ns, char text[TRACE_TIME]);

/* @text of a stranger, made harmless and printed in at least @columns columns. */
void trace_print_safe(const char *text, int columns);

/* Print @object as one line, and free it. NULL: out of memory. */
void trace_json(json_t *object);

/* "tracing since ...; N records lost" and the like, or a JSON object of type "summary". */
void trace_summary(const struct trace *trace);

#endif
