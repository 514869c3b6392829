/* SPDX-License-Identifier: MIT */
/*
 * cmd-serve.c - zcp serve: answer requests by running a command for each
 *
 * One loop polls everything: the server as long as a job is free, and of each job the two pipes and the process (child.h). A
 * request is held until its job is over, and written to the command from where it lies. A response for which the
 * client has no room is tried again every RETRY_NS, and holds up nobody but its own job.
 *
 * After a signal no request is taken any more; what runs is waited for and answered. A second one of the same kind kills.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/child.h"
#include "tools/interrupt.h"
#include "tools/text.h"
#include "tools/tool.h"

#define PAYLOAD_MAX (1ull << 31)
#define DEFAULT_PAYLOAD_MAX (1u << 20)
#define DEPTH_MAX 8		/* responses that a client has not taken */
#define DEPTH_BYTES (64u << 20)
#define MAX_JOBS 256
#define RETRY_NS 5000000
#define PATIENCE_NS 10000000000	/* for a client that has no room for its response */
#define NODE_CHECK_NS 1000000000

static const char help[] =
	"Usage: zcp serve [OPTION...] TOPIC -- COMMAND [ARGUMENT...]\n"
	"\n"
	"Run COMMAND for each request to TOPIC, which is SERVICE/INSTANCE/EVENT: the request is its\n"
	"standard input, what it writes to standard output the response. Fails it, the request\n"
	"stays unanswered. In its environment: ZCP_REQUEST_ID, ZCP_CLIENT.\n"
	"\n"
	"  -j, --jobs N         up to N commands at once (default 1)\n"
	"      --load-balanced  share the topic with other servers that do\n"
	"      --max-size SIZE  the largest response (default 1M); suffixes K, M, G\n"
	"  -n, --count N        stop after N requests\n"
	TOOL_COMMON_HELP
	"\n"
	"  zcp serve demo/calc/add -- sh -c 'read a b; echo $((a + b))'\n"
	"  zcp serve --jobs 4 images/scale/half -- convert - -resize 50% jpg:-\n";

enum job_state { JOB_FREE, JOB_RUNS, JOB_ANSWERS };

struct job {
	enum job_state state;
	struct zcp_request request;
	struct child child;
	uint64_t since_ns;		/* JOB_ANSWERS */
};

struct serve {
	/* what was asked for */
	struct tool_topic topic;
	char **command;
	uint64_t n_jobs, payload_max, count;
	bool load_balanced;

	/* what goes on */
	zcp_node *node;
	zcp_server *server;
	struct job *jobs;
	struct pollfd *fds;		/* the signal, the server, CHILD_FDS of each job */
	char **environment;		/* ends with the two variables of a request */
	size_t n_environment;
	uint64_t n_requests, n_busy;
};

/* ---- the environment --------------------------------------------------------------------------------------------- */

extern char **environ;

static bool is_ours(const char *variable)
{
	return !strncmp(variable, "ZCP_REQUEST_ID=", 15) || !strncmp(variable, "ZCP_CLIENT=", 11);
}

static int copy_environment(struct serve *s)
{
	size_t n = 0;

	while (environ[n])
		n++;
	s->environment = calloc(n + 3, sizeof(*s->environment));
	if (!s->environment)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!is_ours(environ[i]))
			s->environment[s->n_environment++] = environ[i];
	}
	return 0;
}

/* ---- one job ----------------------------------------------------------------------------------------------------- */

static void finish(struct serve *s, struct job *job)
{
	zcp_request_release(&job->request);
	child_deinit(&job->child);
	job->state = JOB_FREE;
	s->n_busy--;
}

/* Each failure of a request is one line that says which. */
static void complain(const struct serve *s, const struct job *job, const char *what)
{
	tool_fail("%s %s: request %" PRIu64 " of client %" PRIu64 " is unanswered", s->command[0], what, job->request.id, job->request.client);
}

/* Try to answer; a client that has gone needs no answer. */
static void answer(struct serve *s, struct job *job)
{
	int r = zcp_request_reply(&job->request, job->child.output ? job->child.output : "", job->child.n_output);

	if (r == -EAGAIN || r == -ENOBUFS) {
		if (clock_now_ns() - job->since_ns < PATIENCE_NS)
			return;
		complain(s, job, "has answered, but the client does not take its responses");
	} else if (r < 0 && r != -EPIPE) {
		tool_fail_zcp(r);
	}
	finish(s, job);
}

/* What is wrong with it, or NULL. */
static const char *failure(const struct serve *s, const struct child *child, char text[128])
{
	char name[TOOL_SIGNAL_NAME];

	if (child->error == -EMSGSIZE)
		snprintf(text, 128, "wrote more than %" PRIu64 " bytes (--max-size allows more)", s->payload_max);
	else if (child->error)
		snprintf(text, 128, "wrote more than there is memory for");
	else if (WIFSIGNALED(child->status))
		snprintf(text, 128, "was killed by %s", tool_signal_name(WTERMSIG(child->status), name));
	else if (WEXITSTATUS(child->status))
		snprintf(text, 128, "exited with %d", WEXITSTATUS(child->status));
	else
		return NULL;
	return text;
}

static void conclude(struct serve *s, struct job *job)
{
	char text[128];
	const char *what = failure(s, &job->child, text);

	if (what) {
		complain(s, job, what);
		finish(s, job);
		return;
	}
	job->state = JOB_ANSWERS;
	job->since_ns = clock_now_ns();
	answer(s, job);
}

/* Run the command for job->request. 0, or a negative errno value after the complaint: it will never run. */
static int start(struct serve *s, struct job *job)
{
	char id[48], client[48];
	int r;

	snprintf(id, sizeof(id), "ZCP_REQUEST_ID=%" PRIu64, job->request.id);
	snprintf(client, sizeof(client), "ZCP_CLIENT=%" PRIu64, job->request.client);
	s->environment[s->n_environment] = id;
	s->environment[s->n_environment + 1] = client;
	r = child_start(&job->child, s->command, s->environment, job->request.data, job->request.size, s->payload_max);
	s->n_busy++;
	job->state = JOB_RUNS;
	if (r == 0)
		return 0;
	tool_fail("%s: %s: request %" PRIu64 " of client %" PRIu64 " is unanswered", s->command[0], strerror(-r), job->request.id,
		  job->request.client);
	finish(s, job);
	/* too many processes or descriptors may pass, a command that isn't there doesn't come */
	return r == -EAGAIN || r == -ENOMEM || r == -EMFILE || r == -ENFILE ? 0 : r;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static struct job *free_job(struct serve *s)
{
	for (uint64_t i = 0; i < s->n_jobs; i++) {
		if (s->jobs[i].state == JOB_FREE)
			return &s->jobs[i];
	}
	return NULL;
}

static bool wants_more(const struct serve *s)
{
	return !interrupt_signal() && (!s->count || s->n_requests < s->count);
}

/* Requests that are there, for jobs that are free. Nobody waits for an answer to one that has expired. */
static int take_requests(struct serve *s)
{
	struct job *job;
	int r = 0;

	while (!r && wants_more(s) && (job = free_job(s))) {
		r = zcp_server_take(s->server, &job->request);
		if (r == -EAGAIN)
			return 0;
		if (r < 0) {
			tool_fail_zcp(r);
			return r;
		}
		if (job->request.flags & ZCP_EXPIRED) {
			zcp_request_release(&job->request);
			continue;
		}
		s->n_requests++;
		r = start(s, job);
	}
	return r;
}

/* The descriptors to look at, and how long. */
static int64_t prepare_poll(struct serve *s)
{
	int64_t wait_ns = NODE_CHECK_NS;

	s->fds[0] = (struct pollfd){ .fd = interrupt_signal() ? -1 : interrupt_fd(), .events = POLLIN };
	s->fds[1] = (struct pollfd){ .fd = wants_more(s) && s->n_busy < s->n_jobs ? zcp_server_fd(s->server) : -1, .events = POLLIN };
	for (uint64_t i = 0; i < s->n_jobs; i++) {
		struct pollfd *fds = &s->fds[2 + i * CHILD_FDS];

		for (int k = 0; k < CHILD_FDS; k++)
			fds[k] = (struct pollfd){ .fd = -1 };
		if (s->jobs[i].state == JOB_RUNS)
			child_poll(&s->jobs[i].child, fds);
		else if (s->jobs[i].state == JOB_ANSWERS)
			wait_ns = RETRY_NS;
	}
	return wait_ns;
}

static void handle_jobs(struct serve *s)
{
	for (uint64_t i = 0; i < s->n_jobs; i++) {
		struct job *job = &s->jobs[i];

		if (job->state == JOB_ANSWERS)
			answer(s, job);
		else if (job->state == JOB_RUNS && child_handle(&job->child, &s->fds[2 + i * CHILD_FDS]))
			conclude(s, job);
	}
}

/* 0 at an end that was asked for, or a negative errno value after the complaint. */
static int run(struct serve *s)
{
	int r = 0;

	for (;;) {
		struct timespec timeout;
		int64_t wait_ns;

		if (!r)
			r = take_requests(s);
		if (!s->n_busy && (r < 0 || !wants_more(s)))
			return r;
		wait_ns = prepare_poll(s);
		timeout = (struct timespec){ .tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000 };
		if (ppoll(s->fds, 2 + s->n_jobs * CHILD_FDS, &timeout, NULL) < 0)
			continue;	/* a signal: what poll says of the others is asked again */
		handle_jobs(s);
		if (!r && zcp_node_wait(s->node, 0) == -ENOTCONN) {
			r = -ENOTCONN;
			tool_fail_zcp(r);
		}
	}
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* A typing error shall not wait for the first request. Where PATH has it is execvp's affair; here only whether. */
static bool is_executable(const char *command)
{
	const char *path = getenv("PATH");

	if (strchr(command, '/') || !path)
		return !access(command, X_OK) || !path;
	while (*path) {
		size_t n = strcspn(path, ":");
		char file[4096];

		if ((size_t)snprintf(file, sizeof(file), "%.*s%s%s", (int)n, path, n ? "/" : "", command) < sizeof(file) && !access(file, X_OK))
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static uint32_t response_depth(uint64_t payload_max)
{
	uint64_t n = DEPTH_BYTES / payload_max;

	return n < 1 ? 1 : n > DEPTH_MAX ? DEPTH_MAX : (uint32_t)n;
}

static int open_server(struct serve *s)
{
	const struct zcp_server_options options = {
		.sz = sizeof(options),
		.payload_max = s->payload_max,
		.depth = response_depth(s->payload_max),
		.max_held = (uint32_t)s->n_jobs,
		.max_loans = 1,
		.load_balanced = s->load_balanced,
	};
	int r = tool_node_open(&s->node, "zcp serve", true);

	if (r < 0)
		return r;
	r = zcp_server_open(&s->server, s->node, &s->topic.topic, &options);
	if (r < 0)
		tool_fail_zcp(r);
	return r;
}

static int serve(struct serve *s)
{
	int r;

	s->jobs = calloc(s->n_jobs, sizeof(*s->jobs));
	s->fds = calloc(2 + s->n_jobs * CHILD_FDS, sizeof(*s->fds));
	if (!s->jobs || !s->fds || copy_environment(s) < 0) {
		r = -ENOMEM;
		tool_fail("%s", strerror(ENOMEM));
	} else {
		r = open_server(s);
	}
	if (r == 0)
		r = run(s);
	zcp_server_close(s->server);
	zcp_node_close(s->node);
	free(s->jobs);
	free(s->fds);
	free(s->environment);
	/* Serving ends with Ctrl-C; an end that was asked for was not reached by it. */
	if (r == 0 && s->count && s->n_requests < s->count)
		interrupt_die();
	return r < 0 ? TOOL_FAILURE : TOOL_OK;
}

int cmd_serve(int argc, char **argv)
{
	enum { OPTION_LOAD_BALANCED = TOOL_OPTION_FIRST, OPTION_MAX_SIZE };
	static const struct option options[] = {
		TOOL_COMMON_OPTIONS,
		{ "jobs", required_argument, NULL, 'j' },
		{ "load-balanced", no_argument, NULL, OPTION_LOAD_BALANCED },
		{ "max-size", required_argument, NULL, OPTION_MAX_SIZE },
		{ "count", required_argument, NULL, 'n' },
		{ 0 },
	};
	struct serve s = { .n_jobs = 1, .payload_max = DEFAULT_PAYLOAD_MAX };
	bool ok = true;
	int c, r;

	/* '+': options of the command are not ours, whether there is a '--' or not */
	while (ok && (c = getopt_long(argc, argv, "+hj:n:", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			ok = tool_parse_count("--jobs", optarg, 1, MAX_JOBS, &s.n_jobs);
			break;
		case OPTION_LOAD_BALANCED:
			s.load_balanced = true;
			break;
		case OPTION_MAX_SIZE:
			ok = tool_parse_size("--max-size", optarg, 1, PAYLOAD_MAX, &s.payload_max);
			break;
		case 'n':
			ok = tool_parse_count("--count", optarg, 1, UINT64_MAX, &s.count);
			break;
		default:
			if ((r = tool_common_option(c, optarg, help)) >= 0)
				return r;
		}
	}
	if (!ok)
		return TOOL_USAGE;
	if (optind == argc)
		return tool_usage("no topic was given");
	if (!tool_parse_topic(argv[optind++], &s.topic))
		return TOOL_USAGE;
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	if (optind == argc)
		return tool_usage("no command was given");
	s.command = argv + optind;
	if (!is_executable(s.command[0]))
		return tool_fail("%s: there is no such command", s.command[0]);
	if (interrupt_init() < 0)
		return TOOL_FAILURE;
	return serve(&s);
}
