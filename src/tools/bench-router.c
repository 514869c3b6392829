/* SPDX-License-Identifier: MIT */
/*
 * bench-router.c - a router of our own, in a directory of its own
 *
 * A measurement does not touch the machine's router: its limits, its load and its clients would be part of the
 * result, and ours part of theirs. The private one is ended and its directory removed on every way out, Ctrl-C
 * included; if we are killed the kernel sends it SIGTERM (PR_SET_PDEATHSIG). What it prints goes to a file in
 * that directory, whose last line is the reason when it doesn't start.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/bench.h"

#define START_NS INT64_C(10000000000)
#define STOP_NS INT64_C(3000000000)

/* $ZCP_ROUTER_BIN, else the one beside this program, else whatever PATH has. */
static const char *router_program(char path[4096])
{
	const char *set = getenv("ZCP_ROUTER_BIN");
	ssize_t n;
	char *slash;

	if (set && *set)
		return set;
	n = readlink("/proc/self/exe", path, 4096 - sizeof("zcp-router"));
	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		if (slash) {
			strcpy(slash + 1, "zcp-router");
			if (access(path, X_OK) == 0)
				return path;
		}
	}
	return "zcp-router";
}

static const char *parent_dir(void)
{
	const char *names[] = { "XDG_RUNTIME_DIR", "TMPDIR" };

	for (size_t i = 0; i < 2; i++) {
		const char *dir = getenv(names[i]);

		/* the directory's own name, "/router.sock" and "/router.sock.lock" have to fit */
		if (dir && *dir && strlen(dir) < 60 && access(dir, W_OK) == 0)
			return dir;
	}
	return "/tmp";
}

/* Keep away from the measured cpus where there are others. */
static void step_aside(const struct bench *b)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return;
	CPU_CLR((size_t)b->cpu[0], &set);
	CPU_CLR((size_t)b->cpu[1], &set);
	if (CPU_COUNT(&set))
		sched_setaffinity(0, sizeof(set), &set);
}

static _Noreturn void exec_router(const struct bench *b, const char *program, const char *const *arguments, pid_t parent, int log)
{
	const char *argv[32] = { "zcp-router", "--socket", b->socket_path };

	for (int i = 3; arguments && *arguments && i < 31; i++)
		argv[i] = *arguments++;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0);		/* a Ctrl-C is for us to handle: workers first, then the router */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	step_aside(b);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	execvp(program, (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", program, strerror(errno));
	_exit(127);
}

static bool listening(const struct bench *b)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, b->socket_path, sizeof(address.sun_path));
	return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* The last line the router printed, for an error message. */
static void last_line(int log, char *line, size_t bytes)
{
	char text[1024];
	off_t end = lseek(log, 0, SEEK_END);
	ssize_t n = pread(log, text, sizeof(text) - 1, end > 1023 ? end - 1023 : 0);
	char *start;

	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = '\0';
	start = strrchr(text, '\n');
	snprintf(line, bytes, "%.200s", start ? start + 1 : text);
}

static int await_router(struct bench *b, int log)
{
	int64_t until = (int64_t)clock_now_ns() + START_NS;
	char line[256];
	int status;

	while (!listening(b)) {
		if (bench_interrupted())
			return -1;
		if (waitpid(b->router, &status, WNOHANG) == b->router) {
			b->router = 0;
			last_line(log, line, sizeof(line));
			bench_error(b, "the router did not start: %s", *line ? line : "it said nothing");
			return -1;
		}
		if ((int64_t)clock_now_ns() > until) {
			bench_error(b, "the router does not listen at %s after %d s", b->socket_path, (int)(START_NS / 1000000000));
			return -1;
		}
		poll(NULL, 0, 2);
	}
	return 0;
}

int bench_router_start(struct bench *b, const char *const *arguments)
{
	char path[4096], log_path[128];
	const char *program = router_program(path);
	_cleanup_fd_ int log = -1;
	pid_t parent = getpid();

	snprintf(b->dir, sizeof(b->dir), "%s/zcp-bench-XXXXXX", parent_dir());
	if (!mkdtemp(b->dir)) {
		bench_error(b, "cannot make a directory %s: %s", b->dir, strerror(errno));
		b->dir[0] = '\0';
		return -1;
	}
	snprintf(b->socket_path, sizeof(b->socket_path), "%.90s/router.sock", b->dir);
	snprintf(log_path, sizeof(log_path), "%s/router.log", b->dir);
	log = open(log_path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
	if (log < 0) {
		bench_error(b, "cannot make %s/router.log: %s", b->dir, strerror(errno));
		return -1;
	}

	fflush(NULL);
	b->router = fork();
	if (b->router == 0)
		exec_router(b, program, arguments, parent, log);
	if (b->router < 0) {
		b->router = 0;
		bench_error(b, "cannot fork: %s", strerror(errno));
		return -1;
	}
	return await_router(b, log);
}

void bench_router_stop(struct bench *b)
{
	static const char *const left_over[] = { "router.log", "router.sock", "router.sock.lock" };
	int64_t until = (int64_t)clock_now_ns() + STOP_NS;

	if (b->router) {
		kill(b->router, SIGTERM);
		while (waitpid(b->router, NULL, WNOHANG) == 0) {
			if ((int64_t)clock_now_ns() > until) {
				kill(b->router, SIGKILL);
				until += STOP_NS;
			}
			poll(NULL, 0, 2);
		}
		b->router = 0;
	}
	if (b->dir[0]) {
		int dir = open(b->dir, O_DIRECTORY | O_CLOEXEC | O_RDONLY);

		for (size_t i = 0; i < sizeof(left_over) / sizeof(*left_over); i++)
			unlinkat(dir, left_over[i], 0);
		fd_close(dir);
		if (rmdir(b->dir) < 0)
			bench_error(b, "cannot remove %s: %s", b->dir, strerror(errno));
		b->dir[0] = '\0';
	}
}
