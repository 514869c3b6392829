/* SPDX-License-Identifier: MIT */
/*
 * doctor-facts.c - what zcp doctor knows of the machine, and from where
 *
 * Everything that a check wants to know of the machine comes through here. With ZCP_DOCTOR_ROOT=DIR in the environment, DIR/proc and
 * DIR/sys are read in place of /proc and /sys, and what would be tried is looked up as a number in DIR/try/NAME first; so a test
 * can present a machine with any defect, which this one has not.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/doctor.h"

#define PATH_BYTES 4096

static const char *root = "";

void facts_init(void)
{
	const char *value = secure_getenv("ZCP_DOCTOR_ROOT");

	root = value ? value : "";
}

static int read_text(char *text, size_t bytes, const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (used < bytes - 1 && (n = read(fd, text + used, bytes - 1 - used)) != 0) {
		if (n < 0 && errno != EINTR) {
			*text = 0;
			return -errno;
		}
		used += n > 0 ? (size_t)n : 0;
	}
	text[used] = 0;
	if (used && text[used - 1] == '\n')
		text[used - 1] = 0;
	return 0;
}

static int text_of(char *text, size_t bytes, const char *format, va_list arguments)
{
	char path[PATH_BYTES];
	int n = snprintf(path, sizeof(path), "%s", root);

	*text = 0;
	if (n >= (int)sizeof(path) || vsnprintf(path + n, sizeof(path) - (size_t)n, format, arguments) >= (int)sizeof(path) - n)
		return -ENAMETOOLONG;
	return read_text(text, bytes, path);
}

int fact_text(char *text, size_t bytes, const char *format, ...)
{
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = text_of(text, bytes, format, arguments);
	va_end(arguments);
	return r;
}

int fact_number(uint64_t *value, const char *format, ...)
{
	char text[64], *end;
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = text_of(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (r < 0)
		return r;
	if (!strcmp(text, "max")) {
		*value = UINT64_MAX;
		return 0;
	}
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno || end == text ? -EPROTO : 0;
}

int fact_field(uint64_t *value, const char *path, const char *name)
{
	char text[8192], *line, *rest = text;
	size_t length = strlen(name);
	int r = fact_text(text, sizeof(text), "%s", path);

	if (r < 0)
		return r;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, name, length) || !strchr(": ", line[length]) || !line[length])
			continue;
		*value = strtoull(line + length + 1, NULL, 10);
		return 0;
	}
	return -ENOENT;
}

int fact_readable(const char *path)
{
	char text[2];

	return fact_text(text, sizeof(text), "%s", path);
}

int fact_try(const char *name, int (*attempt)(void))
{
	char text[32];

	if (*root && fact_text(text, sizeof(text), "/try/%s", name) == 0)
		return (int)strtol(text, NULL, 10);
	return attempt();
}

/* ---- control groups ---- */

/* "0::/a/b" is version 2; "4:cpu,cpuacct:/a/b" is version 1 with its controllers, which then are not in version 2. */
static bool is_line_of(char *line, const char *controller, bool v2, char **path)
{
	char *names, *name;

	strsep(&line, ":");
	names = strsep(&line, ":");
	if (!names || !line)
		return false;
	*path = line;
	if (v2)
		return !*names;
	while ((name = strsep(&names, ",")))
		if (!strcmp(name, controller))
			return true;
	return false;
}

static bool find_line(char path[FACT_CGROUP_BYTES], const char *controller, bool v2)
{
	char text[8192], *rest = text, *line, *found;

	fact_text(text, sizeof(text), "/proc/self/cgroup");
	while ((line = strsep(&rest, "\n"))) {
		if (!is_line_of(line, controller, v2, &found))
			continue;
		if (!strncmp(found, "/..", 3))	/* outside of what our namespace shows: its root is all we see */
			found[0] = 0;
		if (!strcmp(found, "/"))
			found[0] = 0;
		return snprintf(path, FACT_CGROUP_BYTES, "/sys/fs/cgroup%s%s%s", v2 ? "" : "/", v2 ? "" : controller, found) <
		       FACT_CGROUP_BYTES;
	}
	return false;
}

bool fact_cgroup(char path[FACT_CGROUP_BYTES], const char *controller, bool *v2)
{
	*v2 = false;
	if (find_line(path, controller, false))
		return true;
	*v2 = true;
	return find_line(path, controller, true);
}

bool fact_cgroup_up(char path[FACT_CGROUP_BYTES])
{
	char *slash = strrchr(path, '/');

	if (!slash || slash - path <= (ptrdiff_t)strlen("/sys/fs"))
		return false;
	*slash = 0;
	return strcmp(path, "/sys/fs/cgroup") >= 0;
}
