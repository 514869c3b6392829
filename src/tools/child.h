/* SPDX-License-Identifier: MIT */
/*
 * child.h - a command with bytes on its standard input, whose standard output is collected
 *
 * Both pipes are ours without blocking and moved on together, whichever has room or bytes, so that neither side waits for the other
 * whatever the sizes. The end is the end of the process, known by its pidfd; what is in the pipe then is taken in. A
 * grandchild that lives on with the pipe in hand does not hold up anybody. The child gets a process group of its own: a
 * Ctrl-C that tells us to stop is not for it.
 */
#ifndef ZCP_TOOLS_CHILD_H
#define ZCP_TOOLS_CHILD_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHILD_FDS 3

struct child {
	pid_t pid;			/* 0: none runs */
	int pidfd, in, out;		/* in, out: -1 when closed */
	const char *input;		/* still to be written; the caller's until the end */
	size_t n_input;
	char *output;			/* on the heap */
	size_t n_output, room, limit;
	int error;			/* output is not all it wrote: -EMSGSIZE more than the limit, -ENOMEM */
	int status;			/* as of waitpid(2), when it has ended */
};

/*
 * Start @argv (found in PATH) with the environment @envp. Of its output at most @limit bytes are kept. 0, or a negative errno
 * value: -ENOENT, -EACCES, ... the command cannot be run, or -EMFILE, -EAGAIN, -ENOMEM.
 */
int child_start(struct child *c, char *const argv[], char *const envp[], const void *input, size_t n_input, size_t limit);

/* What to poll for. */
void child_poll(const struct child *c, struct pollfd fds[CHILD_FDS]);

/* Move on what poll has found. Whether it has ended: output, error and status are there. */
bool child_handle(struct child *c, const struct pollfd fds[CHILD_FDS]);

/* After the end: free what there is. */
void child_deinit(struct child *c);

#endif
