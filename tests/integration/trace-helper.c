/* SPDX-License-Identifier: MIT */
/* See trace-helper.h. */
#include "config.h"

#include "trace-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

/* --- the tracer ----------------------------------------------------------------------------------- */

char trace_out[128], trace_err[128];
static pid_t tracer;

static char tracer_binary[512];

char *file_contents(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0, room = 0;
	char *text = NULL;
	ssize_t more;

	do {
		if (n == room) {
			room += 1 << 20;
			text = realloc(text, room + 1);
			ck_assert_ptr_nonnull(text);
		}
		more = fd < 0 ? 0 : read(fd, text + n, room - n);
		ck_assert_ok(more);
		n += (size_t)more;
	} while (more > 0);
	text[n] = 0;
	if (fd >= 0)
		close(fd);
	return text;
}

bool file_says(const char *path, const char *part)
{
	char *text = file_contents(path);
	bool found = strstr(text, part);

	free(text);
	return found;
}

static void drop_rights(void)
{
	static const int lost[] = { CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN };

	for (size_t i = 0; i < sizeof(lost) / sizeof(*lost); i++)
		prctl(PR_CAPBSET_DROP, lost[i], 0, 0, 0);
}

/* The kernel removes one probe after the other, which takes seconds where nothing else is to be done. */
#define TRACE_MS (3 * DEADLINE_MS)

void trace_run(const char *const *arguments, const char *socket, bool rights)
{
	const char *argv[16] = { "zcp-trace" };
	int n = 1;

	snprintf(trace_out, sizeof(trace_out), "%s/trace.out", lib_directory());
	snprintf(trace_err, sizeof(trace_err), "%s/trace.err", lib_directory());
	while (*arguments)
		argv[n++] = *arguments++;
	argv[n++] = "--json";
	argv[n++] = "--socket";
	argv[n] = socket;
	tracer = fork();
	ck_assert_ok(tracer);
	if (tracer)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open(trace_out, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
	dup2(open(trace_err, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
	if (!rights)
		drop_rights();
	execv(tracer_binary, (char *const *)(uintptr_t)argv);
	_exit(127);
}

void trace_start(const char *const *arguments)
{
	trace_run(arguments, lib_socket, true);
	ck_assert_msg(wait_until(file_says(trace_err, "zcp-trace: probes in "), TRACE_MS), "not ready: %s", file_contents(trace_err));
}

int trace_status(void)
{
	int status;

	ck_assert_within(waitpid(tracer, &status, WNOHANG) == tracer, TRACE_MS);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void trace_signal(int signal)
{
	ck_assert_ok(kill(tracer, signal));
}

pid_t trace_pid(void)
{
	return tracer;
}

json_t *trace_lines(void)
{
	trace_signal(SIGINT);
	return trace_lines_at_end();
}

void trace_each_at_end(void (*see)(void *context, json_t *line), void *context)
{
	char *text, *line, *rest;

	ck_assert_int_eq(trace_status(), 0);
	text = rest = file_contents(trace_out);
	while ((line = strsep(&rest, "\n")) != NULL) {
		json_error_t error;
		json_t *object = *line ? json_loads(line, 0, &error) : NULL;

		ck_assert_msg(object || !*line, "'%s' is no JSON: %s", line, error.text);
		if (object)
			see(context, object);
		json_decref(object);
	}
	free(text);
	unlink(trace_out);
	unlink(trace_err);
}

static void append(void *array, json_t *line)
{
	json_array_append(array, line);
}

json_t *trace_lines_at_end(void)
{
	json_t *array = json_array();

	trace_each_at_end(append, array);
	return array;
}

const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

int64_t number_of(const json_t *object, const char *name)
{
	ck_assert_msg(json_is_integer(json_object_get(object, name)), "no number '%s' in %s", name, json_dumps(object, JSON_COMPACT));
	return json_integer_value(json_object_get(object, name));
}

int count_lines(const json_t *array, const char *name, const char *value, const json_t **last)
{
	int n = 0;

	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *object = json_array_get(array, i);

		if (strcmp(text_of(object, name), value))
			continue;
		n++;
		if (last)
			*last = object;
	}
	return n;
}

const json_t *total_line(const json_t *array)
{
	const json_t *object = NULL;

	ck_assert_int_eq(count_lines(array, "type", "total", &object), 1);
	ck_assert_str_eq(text_of(object, "topic"), "service/instance/event");
	ck_assert_str_eq(text_of(object, "kind"), "data");
	return object;
}

void check_summary(const json_t *array)
{
	const json_t *object = NULL;

	ck_assert_int_eq(count_lines(array, "type", "summary", &object), 1);
	ck_assert_int_eq(number_of(object, "dropped"), 0);
}

/* --- readers ------------------------------------------------------------------------------------ */

static uint64_t age(const struct zcp_sample *sample)
{
	return (uint64_t)now_ns() - sample->timestamp_ns;
}

void take_all(struct stage *stage)
{
	zcp_node *node = lib_node("reader");
	zcp_subscriber *s = lib_subscriber(node, NULL);
	uint64_t slowest = 0;

	stage_set(stage, READY, 1);
	stage_wait(stage, GO, 1);
	for (uint64_t i = 0; i < stage->at[GO]; i++) {
		struct zcp_sample sample;

		lib_take(s, &sample);
		if (age(&sample) > slowest)
			slowest = age(&sample);
		zcp_sample_release(&sample);
	}
	stage_set(stage, SLOWEST, slowest);
	stage_set(stage, DONE, 1);
	stage_wait(stage, DONE, 2);
	zcp_node_close(node);
}

void stay(struct stage *stage)
{
	zcp_node *node = lib_node("reader");

	lib_subscriber(node, NULL);
	stage_set(stage, FIRST, zcp_node_id(node));
	stage_set(stage, READY, 1);
	for (;;)
		pause();
}

struct world world_begin(void (*reader)(struct stage *), const struct zcp_publisher_options *options)
{
	struct world w = { .stage = stage_new() };

	lib_router_start();
	w.reader = process_start(reader, w.stage);
	stage_wait(w.stage, READY, 1);
	w.node = lib_node("writer");
	w.publisher = lib_publisher(w.node, options);
	ok(zcp_publisher_wait(w.publisher, 1, 20 * SECOND));
	return w;
}

void world_end(struct world *w)
{
	zcp_node_close(w->node);
	lib_router_stop(SIGTERM);
}

/* --- the suite ------------------------------------------------------------------------------------ */

void trace_skip(void)
{
	const char *directory = getenv("top_builddir");

	snprintf(tracer_binary, sizeof(tracer_binary), "%s/zcp-trace", directory ? directory : ".");
	if (access(tracer_binary, X_OK) < 0)
		skip_suite("zcp-trace is not built");
#ifndef HAVE_PROBES
	skip_suite("libzcp is built without probes (sys/sdt.h)");
#endif
	if (geteuid() != 0)
		skip_suite("tracing needs root");
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		skip_suite("the kernel has no BTF");
	if (access("/sys/bus/event_source/devices/uprobe/type", R_OK) < 0)
		skip_suite("the kernel has no uprobes, or /sys is not there");
}

void trace_add(Suite *suite, const char *name, const TTest *const *tests)
{
	TCase *tc = add_test_case(suite, name, 240);

	while (*tests)
		tcase_add_test(tc, *tests++);
}
