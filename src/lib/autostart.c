/* SPDX-License-Identifier: MIT */
/*
 * autostart.c - a per-user router on demand
 *
 * The process between us and the router exists so that the router is nobody's child. It is made by clone()
 * without an exit signal: the program we live in gets no SIGCHLD and its wait() never sees it. Between clone
 * and exec only async-signal-safe calls are made, as other threads may hold any lock.
 */
#include "lib/autostart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "lib/control.h"
#include "lib/error.h"

#ifndef ZCP_BINDIR
#define ZCP_BINDIR "/usr/bin"
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

#define PROGRAM "zcp-router"

/* ---- which program ----------------------------------------------------------------------------------------------- */

static bool is_program(char *path, size_t bytes, int length)
{
	return length > 0 && (size_t)length < bytes && access(path, X_OK) == 0;
}

/* Beside the running executable; libtool keeps executables of a build tree in a directory .libs below. */
static bool beside_us(char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = 0;
	if (is_program(path, PATH_MAX, snprintf(path, PATH_MAX, "%s/%s", self, PROGRAM)))
		return true;
	slash = strrchr(self, '/');
	if (!slash || strcmp(slash, "/.libs") != 0)
		return false;
	*slash = 0;
	return is_program(path, PATH_MAX, snprintf(path, PATH_MAX, "%s/%s", self, PROGRAM));
}

static void find_program(char path[PATH_MAX])
{
	const char *given = secure_getenv("ZCP_ROUTER_BIN");

	if (given && *given && strlen(given) < PATH_MAX) {
		strcpy(path, given);
		return;
	}
	if (beside_us(path))
		return;
	if (!is_program(path, PATH_MAX, snprintf(path, PATH_MAX, "%s/%s", ZCP_BINDIR, PROGRAM)))
		strcpy(path, PROGRAM);	/* execvp looks in PATH */
}

/* ---- start it ---------------------------------------------------------------------------------------------------- */

static void reset_signals(void)
{
	static const int handled[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGXFSZ, SIGALRM };
	sigset_t none;

	for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
		signal(handled[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void no_descriptors(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	/* close-on-exec rather than closed: the pipe for exec's error is among them */
	if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		for (int fd = 3; fd < 1024; fd++)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static _Noreturn void become_router(char *const argv[], int report)
{
	reset_signals();
	no_descriptors();
	execvp(argv[0], argv);
	if (write(report, &errno, sizeof(errno)) < 0)
		_exit(126);
	_exit(127);
}

/* Like fork(), but no atfork handlers run and the parent gets no signal when the child ends. */
static pid_t clone_quietly(unsigned long exit_signal)
{
	return (pid_t)syscall(SYS_clone, exit_signal, NULL, NULL, NULL, NULL);
}

static int spawn(char *const argv[])
{
	_cleanup_fd_ int reader = -1;
	int pipe_fds[2], exec_errno = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	reader = pipe_fds[0];
	pid = clone_quietly(0);
	if (pid == 0) {
		setsid();
		if (clone_quietly(SIGCHLD) == 0)
			become_router(argv, pipe_fds[1]);
		_exit(0);
	}
	exec_errno = pid < 0 ? errno : 0;
	close(pipe_fds[1]);
	if (pid < 0)
		return -exec_errno;
	while (waitpid(pid, NULL, (int)__WCLONE) < 0 && errno == EINTR)
		;
	/* end of file: exec succeeded and closed it */
	while (read(reader, &exec_errno, sizeof(exec_errno)) < 0 && errno == EINTR)
		;
	return -exec_errno;
}

/* The directory of a path that was not given explicitly is ours to make. */
static int make_directory(const struct router_paths *paths)
{
	char directory[ROUTER_PATH_BYTES];
	mode_t mode = geteuid() == 0 && strncmp(paths->own, "/run/", 5) == 0 ? 0755 : 0700;

	memcpy(directory, paths->own, sizeof(directory));
	*strrchr(directory, '/') = 0;
	if (mkdir(directory, mode) < 0 && errno != EEXIST)
		return error_set(-errno, "cannot make %s for the router's socket: %s", directory, strerror(errno));
	if (strncmp(directory, "/tmp/", 5) == 0 && !router_directory_is_private(directory))
		return error_set(-EACCES, "%s exists and is not a private directory of yours; remove it, or set XDG_RUNTIME_DIR", directory);
	return 0;
}

static int wait_until_it_listens(const char *path)
{
	const struct timespec nap = { .tv_nsec = 3000000 };
	uint64_t deadline = clock_now_ns() + (uint64_t)CONTROL_TIMEOUT_NS;
	int r;

	for (;;) {
		r = router_connect_path(path);
		if (r >= 0)
			return r;
		if (r != -ENOENT && r != -ECONNREFUSED && r != -EAGAIN)
			return error_system(r, path);
		if (clock_now_ns() >= deadline)
			return error_set(r, "started zcp-router, but it does not listen at %s; run `zcp-router --socket %s` to see why", path,
					 path);
		nanosleep(&nap, NULL);
	}
}

int autostart_connect(struct router_paths *paths)
{
	char program[PATH_MAX];
	char own[ROUTER_PATH_BYTES];
	char *argv[] = { program, (char *)"--exit-when-idle", (char *)"--quiet", (char *)"--socket", own, NULL };
	int r;

	memcpy(own, paths->own, sizeof(own));
	memcpy(paths->used, own, sizeof(paths->used));
	if (!paths->explicit_path) {
		r = make_directory(paths);
		if (r < 0)
			return r;
	}
	/* a user's /tmp directory that did not exist a moment ago was no candidate for router_connect() */
	r = router_connect_path(own);
	if (r >= 0)
		return r;
	find_program(program);
	r = spawn(argv);
	if (r < 0)
		return error_set(r, "cannot start %s: %s; install zcp, or set $ZCP_ROUTER_BIN", program, strerror(-r));
	return wait_until_it_listens(own);
}
