/* SPDX-License-Identifier: MIT */
#include "top-helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

/* ---- running ----------------------------------------------------------------------------------------------------- */

static _Noreturn void execute(uid_t uid, const char *const *arguments, int out)
{
	const char *argv[ARGUMENTS_MAX] = { "zcp", "--socket", lib_socket, "top" };
	int n = 4;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	while (*arguments && n < ARGUMENTS_MAX - 1)
		argv[n++] = *arguments++;
	if (uid && setresuid(uid, uid, uid) < 0)
		_exit(126);
	execv(getenv("ZCP_BIN"), (char *const *)(uintptr_t)argv);
	_exit(127);
}

void top_start(struct running *running, uid_t uid, const char *const *arguments)
{
	int fds[2];

	memset(running, 0, sizeof(*running));
	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	running->pid = fork();
	ck_assert_ok(running->pid);
	if (!running->pid)
		execute(uid, arguments, fds[1]);
	close(fds[1]);
	running->fd = fds[0];
}

bool top_read(struct running *running)
{
	for (;;) {
		struct pollfd p = { .fd = running->fd, .events = POLLIN };
		ssize_t n;

		if (running->room - running->used < 4096) {
			running->room = running->room * 2 + 8192;
			running->text = realloc(running->text, running->room);
			ck_assert_ptr_nonnull(running->text);
			running->text[running->used] = 0;
		}
		if (poll(&p, 1, 0) <= 0)
			return true;
		n = read(running->fd, running->text + running->used, running->room - running->used - 1);
		/* EIO: a terminal whose other side is closed */
		if (n <= 0)
			return false;
		running->used += (size_t)n;
		running->text[running->used] = 0;
	}
}

int top_finish(struct running *running)
{
	int status = 0;

	ck_assert_msg(wait_until(!top_read(running), DEADLINE_MS), "zcp top does not end: %s", running->text);
	ck_assert_within(waitpid(running->pid, &status, WNOHANG) == running->pid, DEADLINE_MS);
	close(running->fd);
	ck_assert_msg(WIFEXITED(status), "zcp top ended with status 0x%x: %s", status, running->text);
	return WEXITSTATUS(status);
}

void top_free(struct running *running)
{
	free(running->text);
	running->text = NULL;
}

json_t *top_json(const char *interval)
{
	struct running running;
	json_error_t error;
	json_t *json;
	int status;

	top_start(&running, 0, (const char *[]){ "--json", "--interval", interval, NULL });
	status = top_finish(&running);
	ck_assert_msg(status == 0, "zcp top: status %d: %s", status, running.text);
	json = json_loads(running.text, 0, &error);
	ck_assert_msg(json != NULL, "%s: %s", error.text, running.text);
	top_free(&running);
	return json;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

json_t *member(const json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);

	ck_assert_msg(value != NULL, "there is no '%s'", name);
	return value;
}

uint64_t number(const json_t *object, const char *name)
{
	json_t *value = member(object, name);

	ck_assert_msg(json_is_integer(value) && json_integer_value(value) >= 0, "'%s' is no number from 0 on", name);
	return (uint64_t)json_integer_value(value);
}

double real(const json_t *object, const char *name)
{
	json_t *value = member(object, name);

	ck_assert_msg(json_is_real(value), "'%s' is no fraction", name);
	return json_real_value(value);
}

const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(member(object, name));

	ck_assert_msg(value != NULL, "'%s' is no text", name);
	return value;
}

bool truth(const json_t *object, const char *name)
{
	json_t *value = member(object, name);

	ck_assert_msg(json_is_boolean(value), "'%s' is not true or false", name);
	return json_is_true(value);
}

json_t *find_topic(const json_t *table, const char *event, const char *kind)
{
	json_t *topic;
	size_t i;

	json_array_foreach(member(table, "topics"), i, topic)
		if (!strcmp(text(topic, "event"), event) && !strcmp(text(topic, "kind"), kind))
			return topic;
	return NULL;
}

json_t *endpoint_of(const json_t *topic, const char *kind, int i)
{
	json_t *endpoint;
	size_t k;

	ck_assert_ptr_nonnull(topic);
	json_array_foreach(member(topic, "endpoints"), k, endpoint)
		if (!strcmp(text(endpoint, "kind"), kind) && !i--)
			return endpoint;
	ck_abort_msg("there are not so many of kind %s", kind);
}

json_t *endpoint_by_id(const json_t *topic, uint64_t id)
{
	json_t *endpoint;
	size_t k;

	ck_assert_ptr_nonnull(topic);
	json_array_foreach(member(topic, "endpoints"), k, endpoint)
		if (number(endpoint, "id") == id)
			return endpoint;
	ck_abort_msg("there is no endpoint %llu", (unsigned long long)id);
}

json_t *connection_of(const json_t *topic, int i)
{
	json_t *connection;

	ck_assert_ptr_nonnull(topic);
	connection = json_array_get(member(topic, "connections"), (size_t)i);
	ck_assert_msg(connection != NULL, "there is no connection %d", i);
	return connection;
}
