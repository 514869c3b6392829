/* SPDX-License-Identifier: MIT */
/* See common-crash.h. */
#include "common-crash.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *program = "crash", *at_what = "start";
char socket_path[64];

static char directory[] = "/tmp/zcp-crash-XXXXXX", lock_path[80];
static pid_t self;	/* whoever made the directory */

void fail(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "%s: %s: %s", program, at_what, !self || getpid() == self ? "" : "child: ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (self && getpid() != self)
		_exit(99);
	exit(1);
}

static uint64_t word(uint64_t number, size_t i)
{
	uint64_t x = (number + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;

	return x ^ x >> 31;
}

void fill(void *payload, uint64_t number, size_t size)
{
	uint64_t *m = payload;

	m[0] = number;
	m[1] = size;
	for (size_t i = 2; i < size / 8; i++)
		m[i] = word(number, i);
}

uint64_t number_of(const struct zcp_sample *sample)
{
	const uint64_t *m = sample->data;

	if (sample->size < 16 || m[1] != sample->size)
		fail("message %llu of publisher %llu has size %zu", (unsigned long long)sample->sequence,
		     (unsigned long long)sample->publisher, sample->size);
	for (size_t i = 2; i < sample->size / 8; i++)
		if (m[i] != word(m[0], i))
			fail("message %llu of publisher %llu is not whole: word %zu", (unsigned long long)sample->sequence,
			     (unsigned long long)sample->publisher, i);
	return m[0];
}

static void remove_files(void)
{
	if (getpid() != self)
		return;
	unlink(socket_path);
	unlink(lock_path);
	rmdir(directory);
}

void make_directory(void)
{
	if (!getenv("ZCP_ROUTER_BIN"))
		fail("ZCP_ROUTER_BIN is not set: run this by make check");
	if (!mkdtemp(directory))
		fail("mkdtemp: %s", strerror(errno));
	snprintf(socket_path, sizeof(socket_path), "%s/router.sock", directory);
	snprintf(lock_path, sizeof(lock_path), "%s.lock", socket_path);
	self = getpid();
	atexit(remove_files);
}

void remove_directory(void)
{
	if (rmdir(directory) < 0)
		fail("the router left files: %s", strerror(errno));
}

_Noreturn void exec_router(const char *loop)
{
	const char *binary = getenv("ZCP_ROUTER_BIN");

	if (loop)
		execl(binary, binary, "--quiet", "--socket", socket_path, "--loop", loop, (char *)NULL);
	else
		execl(binary, binary, "--quiet", "--socket", socket_path, (char *)NULL);
	_exit(127);
}

bool can_join(void)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path, .no_thread = true };
	zcp_node *node;
	bool can = zcp_node_open(&node, "first", &options) == 0;

	if (can)
		zcp_node_close(node);
	else
		usleep(1000);
	return can;
}

unsigned int count_entries(const char *path)
{
	unsigned int n = 0;
	DIR *dir = opendir(path);

	if (!dir)
		fail("%s: %s", path, strerror(errno));
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
