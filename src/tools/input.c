/* SPDX-License-Identifier: MIT */
/*
 * input.c - see input.h
 */
#include "tools/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/interrupt.h"
#include "tools/tool.h"

/* A pipe takes 64 KiB by default: a larger one saves switching back and forth. Not granted is fine. */
#define PIPE_BYTES (1 << 20)

static int complain(const char *name, int error)
{
	tool_fail("%s: %s", name, strerror(error));
	return -error;
}

static bool is_stdin(const char *file)
{
	return !strcmp(file, "-");
}

static int check_file(const char *file)
{
	struct stat st;

	if (is_stdin(file))
		return 0;
	if (stat(file, &st) < 0 || access(file, R_OK) < 0)
		return complain(file, errno);
	return S_ISDIR(st.st_mode) ? complain(file, EISDIR) : 0;
}

static int use_fd(struct input *input, int fd, const char *name)
{
	struct stat st;

	input->fd = fd;
	input->name = name;
	if (fstat(fd, &st) < 0)
		return complain(name, errno);
	input->pollable = !S_ISREG(st.st_mode);
	if (S_ISFIFO(st.st_mode))
		fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
	if (S_ISREG(st.st_mode))
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

int input_next(struct input *input)
{
	const char *file;
	int fd, r;

	input_close(input);
	if (!input->n_files && !input->next) {
		input->next = 1;
		r = use_fd(input, STDIN_FILENO, "standard input");
		return r < 0 ? r : 1;
	}
	if (input->next >= input->n_files)
		return 0;
	file = input->files[input->next++];
	if (is_stdin(file)) {
		r = use_fd(input, STDIN_FILENO, "standard input");
		return r < 0 ? r : 1;
	}
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == EINTR ? -EINTR : complain(file, errno);
	r = use_fd(input, fd, file);
	return r < 0 ? r : 1;
}

int input_open(struct input *input, char **files, int n_files)
{
	int r = 0;

	*input = (struct input){ .files = files, .n_files = n_files, .fd = -1 };
	for (int i = 0; i < n_files && !r; i++)
		r = check_file(files[i]);
	if (!r)
		r = input_next(input);
	return r < 0 ? r : 0;
}

void input_close(struct input *input)
{
	if (input->fd > STDERR_FILENO)
		fd_close(input->fd);
	input->fd = -1;
}

ssize_t input_read(struct input *input, void *buffer, size_t size, int64_t pause_ns)
{
	for (;;) {
		ssize_t n;

		if (input->pollable) {
			int r = interrupt_poll(input->fd, POLLIN, pause_ns);

			if (r <= 0)
				return r ? r : -EAGAIN;
		} else if (interrupt_signal()) {
			return -EINTR;
		}
		n = read(input->fd, buffer, size);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return complain(input->name, errno);
	}
}

bool input_is_terminal(const struct input *input)
{
	return input->fd >= 0 && isatty(input->fd);
}
