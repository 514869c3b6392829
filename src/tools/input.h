/* SPDX-License-Identifier: MIT */
/*
 * input.h - where `zcp pub` reads from: standard input, or files one after the other
 */
#ifndef ZCP_TOOLS_INPUT_H
#define ZCP_TOOLS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct input {
	char **files;		/* not ours */
	int n_files, next;
	int fd;
	bool pollable;		/* not a regular file: a read may have to wait */
	const char *name;	/* of what is open, for messages */
};

/*
 * Read from @n_files @files ("-": standard input), or from standard input if there are none. All are looked at
 * now, so that a mistyped name is noticed before anything is published. 0, or a negative errno value after the
 * complaint.
 */
int input_open(struct input *input, char **files, int n_files);
void input_close(struct input *input);

/*
 * Up to @size bytes into @buffer. Returns how many; 0 at the end of a file; -EAGAIN nothing came for @pause_ns
 * (-1: wait for ever); -EINTR a signal; or another negative errno value after the complaint.
 */
ssize_t input_read(struct input *input, void *buffer, size_t size, int64_t pause_ns);

/* Go on with the next file: 1; 0 there is none; or a negative errno value after the complaint (-EINTR: without). */
int input_next(struct input *input);

/* Whether what is open is a terminal. */
bool input_is_terminal(const struct input *input);

#endif
