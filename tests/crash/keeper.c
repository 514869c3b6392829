/* SPDX-License-Identifier: MIT */
/* See keeper.h. */
#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common-crash.h"

static struct shared {
	_Atomic bool armed, killed, ending;
	_Atomic uint64_t stops;
	_Atomic pid_t router;
} *shared;

static pid_t start_router(const char *loop, bool traced)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0))
		_exit(120);
	exec_router(loop);
}

static bool wait_for(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0)
		if (errno != EINTR)
			fail("waitpid: %s", strerror(errno));
	return WIFSTOPPED(*status);
}

/* Let it run up to stop @k, or until it shall end. False: it ended before. */
static bool run_traced(pid_t pid, uint64_t k, int *status)
{
	int signal = 0;

	if (!wait_for(pid, status))	/* its exec */
		return false;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		fail("ptrace: %s", strerror(errno));
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal);
		signal = 0;
		if (!wait_for(pid, status))
			return false;
		if (WSTOPSIG(*status) != (SIGTRAP | 0x80))
			signal = WSTOPSIG(*status);
		if (shared->ending) {
			/* untraced to its end: the leak checker of a sanitizer's build is a tracer itself */
			ptrace(PTRACE_DETACH, pid, NULL, (long)signal);
			return true;
		}
		if (!signal && shared->armed && shared->stops++ == k)
			return true;
	}
}

static bool run_freely(pid_t pid, uint64_t k, int *status)
{
	while (!shared->armed) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return false;
		usleep(20);
	}
	usleep((useconds_t)k);
	return !shared->ending;
}

static _Noreturn void keeper(enum keeper_way way, uint64_t k, const char *loop)
{
	pid_t pid = start_router(loop, way == KEEPER_STOPS);
	int status = 0;
	bool alive;

	shared->router = pid;
	alive = way == KEEPER_STOPS ? run_traced(pid, k, &status) : run_freely(pid, k, &status);
	if (alive && !shared->ending) {
		kill(pid, SIGKILL);
		while (wait_for(pid, &status))
			;
		pid = start_router(loop, false);
		shared->router = pid;
		shared->killed = true;
		alive = true;
	}
	while (alive && wait_for(pid, &status))
		;
	_exit(shared->ending && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1);
}

pid_t keeper_start(enum keeper_way way, uint64_t k, const char *loop)
{
	pid_t pid;

	if (!shared)
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	memset(shared, 0, sizeof(*shared));
	pid = fork();
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	keeper(way, k, loop);
}

void keeper_arm(void)
{
	shared->armed = true;
}

bool keeper_has_killed(void)
{
	return shared->killed;
}

uint64_t keeper_stops(void)
{
	return shared->stops;
}

pid_t keeper_router(void)
{
	return shared->router;
}

void keeper_end(pid_t keeper)
{
	int status;

	shared->ending = true;
	kill(shared->router, SIGTERM);
	if (waitpid(keeper, &status, 0) != keeper || !WIFEXITED(status) || WEXITSTATUS(status))
		fail("the router did not end cleanly: keeper's status 0x%x", status);
}
