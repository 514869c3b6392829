/* SPDX-License-Identifier: MIT */
/*
 * trace-helper.h - zcp-trace against traffic whose truth is known: what the suites about it share
 *
 * The test publishes; a reader is a process of its own, forked before any node is opened. The tracer starts when both have joined, so that it
 * sees every message from the first one on. What is compared are the numbers of --json.
 */
#ifndef ZCP_TESTS_TRACE_HELPER_H
#define ZCP_TESTS_TRACE_HELPER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib-helper.h"

#define MS 1000000ll

/* Places in a stage. */
enum { READY, GO, FIRST, RESUME, LOST, SLOWEST, DONE };

struct world {
	struct stage *stage;
	pid_t reader;
	zcp_node *node;
	zcp_publisher *publisher;
};

/* A router, @reader in a process of its own, a publisher that is connected with it. */
struct world world_begin(void (*reader)(struct stage *), const struct zcp_publisher_options *options);
void world_end(struct world *w);

/* A reader: takes GO messages, and notes how long the slowest of them took as it sees it. Then DONE is 1; it stays until that is 2. */
void take_all(struct stage *stage);

/* A reader that takes nothing, to be killed; FIRST is its node's id. */
void stay(struct stage *stage);

/* Of the tracer that was started last. */
extern char trace_out[128], trace_err[128];

/* zcp-trace with these arguments, and wait until its probes are attached. */
void trace_start(const char *const *arguments);
#define trace(...) trace_start((const char *const[]){ __VA_ARGS__, NULL })

/* The same without waiting; with fewer capabilities unless @rights. */
void trace_run(const char *const *arguments, const char *socket, bool rights);
int trace_status(void);
void trace_signal(int signal);
pid_t trace_pid(void);

/* Ctrl-C; its lines as an array of objects. at_end: of one that ends by itself. */
json_t *trace_lines(void);
json_t *trace_lines_at_end(void);

/* The same, one after the other, of so many that they are not to be held all at once. */
void trace_each_at_end(void (*see)(void *context, json_t *line), void *context);

/* Whether the file contains @part; all of it. */
bool file_says(const char *path, const char *part);
char *file_contents(const char *path);

const char *text_of(const json_t *object, const char *name);
int64_t number_of(const json_t *object, const char *name);

/* How many lines have @name: @value; the last one in *last, if last is not NULL. */
int count_lines(const json_t *array, const char *name, const char *value, const json_t **last);

/* The only line of type "total"; it is about lib_topic. */
const json_t *total_line(const json_t *array);

/* The line of type "summary": nothing was dropped. */
void check_summary(const json_t *array);

/* In main: ends the program with 77 where nothing can be traced. */
void trace_skip(void);

void trace_add(Suite *suite, const char *name, const TTest *const *tests);
#define add(suite, name, ...) trace_add(suite, name, (const TTest *const[]){ __VA_ARGS__, NULL })

#endif
