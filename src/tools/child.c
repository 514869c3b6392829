/* SPDX-License-Identifier: MIT */
/*
 * child.c - see child.h
 */
#include "tools/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"

#define FIRST_ROOM 4096

/* The shell's words for it are the caller's affair; ours is that SIGPIPE, which we ignore, is what it was. */
static int spawn(pid_t *pid, int in, int out, char *const argv[], char *const envp[])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int r;

	if (posix_spawn_file_actions_init(&actions))
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	r = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (!r)
		r = posix_spawnp(pid, argv[0], &actions, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int make_pipe(int fds[2], int ours)
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[ours], F_SETFL, O_NONBLOCK);
	return 0;
}

static void reap(struct child *c)
{
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

int child_start(struct child *c, char *const argv[], char *const envp[], const void *input, size_t n_input, size_t limit)
{
	int to[2] = { -1, -1 }, from[2] = { -1, -1 };
	int r = make_pipe(to, 1);

	*c = (struct child){ .pidfd = -1, .in = -1, .out = -1, .input = input, .n_input = n_input, .limit = limit };
	if (!r)
		r = make_pipe(from, 0);
	if (!r)
		r = spawn(&c->pid, to[0], from[1], argv, envp);
	fd_close(to[0]);
	fd_close(from[1]);
	if (!r) {
		c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);	/* close-on-exec by itself */
		if (c->pidfd < 0) {
			r = -errno;
			kill(c->pid, SIGKILL);
			reap(c);
		}
	}
	if (r < 0) {
		fd_close(to[1]);
		fd_close(from[0]);
		c->pid = 0;
		return r;
	}
	c->in = to[1];
	c->out = from[0];
	if (!n_input)
		c->in = fd_close(c->in);
	return 0;
}

void child_poll(const struct child *c, struct pollfd fds[CHILD_FDS])
{
	fds[0] = (struct pollfd){ .fd = c->in, .events = POLLOUT };
	fds[1] = (struct pollfd){ .fd = c->out, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = c->pidfd, .events = POLLIN };
}

/* A command need not read its input: EPIPE is as good as the end. */
static void feed(struct child *c)
{
	while (c->n_input) {
		ssize_t n = write(c->in, c->input, c->n_input);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		c->input += n;
		c->n_input -= (size_t)n;
	}
	c->in = fd_close(c->in);
}

static int make_room(struct child *c)
{
	size_t room = c->room ? c->room * 2 : FIRST_ROOM;
	char *larger;

	if (c->n_output < c->room)
		return 0;
	/* one byte more than the limit shows that it is exceeded */
	if (room > c->limit + 1)
		room = c->limit + 1;
	larger = realloc(c->output, room);
	if (!larger)
		return -ENOMEM;
	c->output = larger;
	c->room = room;
	return 0;
}

/* What is in the pipe. With more than the limit it is closed, which ends the command by SIGPIPE if it goes on. */
static void drain(struct child *c)
{
	for (;;) {
		ssize_t n;

		c->error = make_room(c);
		if (c->error < 0)
			break;
		n = read(c->out, c->output + c->n_output, c->room - c->n_output);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		c->n_output += (size_t)n;
		if (c->n_output > c->limit) {
			c->error = -EMSGSIZE;
			break;
		}
	}
	c->out = fd_close(c->out);
}

bool child_handle(struct child *c, const struct pollfd fds[CHILD_FDS])
{
	bool ended = fds[2].revents;

	if (c->in >= 0 && fds[0].revents)
		feed(c);
	if (c->out >= 0 && (fds[1].revents || ended))
		drain(c);
	if (ended)
		reap(c);
	return ended;
}

void child_deinit(struct child *c)
{
	c->pidfd = fd_close(c->pidfd);
	c->in = fd_close(c->in);
	c->out = fd_close(c->out);
	free(c->output);
	c->output = NULL;
}
