/* SPDX-License-Identifier: MIT */
/* See step.h. */
#include "step.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK SIGUSR1
#define SYSCALL_STOP (SIGTRAP | 0x80)	/* PTRACE_O_TRACESYSGOOD */

static int signal_to_pass;	/* to the child that is being run, with the next request */

/* glibc's raise() blocks signals around it: more that would be stepped through. */
void step_mark(void)
{
	syscall(SYS_tgkill, getpid(), gettid(), MARK);
}

static _Noreturn void child(pid_t parent, void (*function)(void *argument), void *argument)
{
	signal(MARK, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(120);
	/* those of the survivors among them */
	syscall(SYS_close_range, 3u, ~0u, 0u);
	step_mark();
	function(argument);
	_exit(0);
}

static bool wait_for(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	return WIFSTOPPED(*status);
}

pid_t step_start(void (*function)(void *argument), void *argument)
{
	pid_t parent = getpid(), pid = fork();
	int status = 0;

	signal_to_pass = 0;
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(parent, function, argument);
	if (!wait_for(pid, &status) || ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) < 0) {
		step_kill(pid);
		return -EPERM;
	}
	return pid;
}

static void nothing(void *argument)
{
	(void)argument;
}

bool step_possible(void)
{
	pid_t pid = step_start(nothing, NULL);

	if (pid < 0) {
		printf("skipped: a child cannot be traced here (ptrace is forbidden, by seccomp perhaps)\n");
		return false;
	}
	step_kill(pid);
	return true;
}

/* One request and the stop that follows. Signals but the mark are passed on. */
static bool go(pid_t pid, enum __ptrace_request request, int *status)
{
	if (ptrace(request, pid, NULL, (long)signal_to_pass) < 0) {
		signal_to_pass = 0;
		wait_for(pid, status);
		return false;
	}
	signal_to_pass = 0;
	if (!wait_for(pid, status))
		return false;
	if (WSTOPSIG(*status) != MARK && WSTOPSIG(*status) != SIGTRAP && WSTOPSIG(*status) != SYSCALL_STOP)
		signal_to_pass = WSTOPSIG(*status);
	return true;
}

bool step_to_mark(pid_t pid, int *status)
{
	do {
		if (!go(pid, PTRACE_CONT, status))
			return false;
	} while (WSTOPSIG(*status) != MARK);
	return true;
}

bool step_run(pid_t pid, enum step_unit unit, uint64_t *n, bool *at_mark, int *status)
{
	uint64_t done = 0;

	*at_mark = false;
	for (; done < *n; done++) {
		if (!go(pid, unit == STEP_SYSCALL ? PTRACE_SYSCALL : PTRACE_SINGLESTEP, status))
			return false;
		if (WSTOPSIG(*status) == MARK) {
			*at_mark = true;
			break;
		}
	}
	*n = done;
	return true;
}

void step_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) >= 0 ? WIFSTOPPED(status) : errno == EINTR)
		;
}
