/* SPDX-License-Identifier: MIT */
/*
 * config-file.c - see config-file.h
 *
 * inih splits lines into sections, keys and values; it reads them by our next_line(), which counts
 * lines (inih as distributed does not tell a handler where it is) and refuses what inih would cut
 * or join: long lines, and indented ones, which it takes for a continuation.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "router/config-file.h"

#include <errno.h>
#include <stdio.h>

#ifdef HAVE_INIH

#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "router/options.h"

struct reading {
	const char *path;
	FILE *file;
	char *line;
	size_t line_bytes;
	unsigned int number;			/* of the line */
	struct options *options;
	uint64_t fixed;
	unsigned int seen[N_SETTINGS];		/* the line, 0: not yet */
	bool failed;
};

static void complain(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first mistake only. */
static void complain(struct reading *reading, const char *format, ...)
{
	char text[400];
	va_list args;

	if (reading->failed)
		return;
	reading->failed = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (reading->number)
		fprintf(stderr, "zcp-router: %s:%u: %s\n", reading->path, reading->number, text);
	else
		fprintf(stderr, "zcp-router: %s: %s\n", reading->path, text);
}

/* --- lines ---------------------------------------------------------------------------------------- */

static const char sections_text[] = "[router], [limits], [detectors] and [heartbeat]";

static void check_section(struct reading *reading, const char *line)
{
	size_t n = strcspn(line + 1, "]\n");

	if (line[1 + n] != ']') {
		complain(reading, "the section's name does not end in ]");
		return;
	}
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].section && strlen(settings[i].section) == n && !strncmp(settings[i].section, line + 1, n))
			return;
	complain(reading, "there is no section [%.*s]: sections are %s", (int)(n < 40 ? n : 40), line + 1, sections_text);
}

/* What inih calls to get a line of less than @bytes bytes, like fgets(3). */
static char *next_line(char *text, int bytes, void *context)
{
	struct reading *reading = context;
	const char *line;
	ssize_t n;

	if (reading->failed)
		return NULL;
	errno = 0;
	n = getline(&reading->line, &reading->line_bytes, reading->file);
	if (n < 0) {
		if (errno)
			complain(reading, "cannot be read: %s", strerror(errno));
		return NULL;
	}
	reading->number++;
	if (strlen(reading->line) != (size_t)n) {
		complain(reading, "the line contains a NUL byte: is this a text file?");
		return NULL;
	}
	line = reading->line + strspn(reading->line, " \t");
	if (strlen(line) >= (size_t)bytes) {
		complain(reading, "the line is longer than %d bytes: shorten it", bytes - 2);
		return NULL;
	}
	if (line[0] == '[')
		check_section(reading, line);
	return strcpy(text, line);
}

/* --- keys ----------------------------------------------------------------------------------------- */

static const struct setting *find(const char *section, const char *key)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].section && !strcmp(settings[i].section, section) && !strcmp(settings[i].key, key))
			return &settings[i];
	return NULL;
}

static void complain_unknown(struct reading *reading, const char *section, const char *key)
{
	if (!section[0]) {
		complain(reading, "%.40s comes before any section: sections are %s", key, sections_text);
		return;
	}
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (!settings[i].section || strcmp(settings[i].key, key))
			continue;
		complain(reading, "section [%s] has no key %s: move it to [%s]", section, key, settings[i].section);
		return;
	}
	complain(reading, "section [%s] has no key %.40s: zcp-router.conf(5) lists them", section, key);
}

/* 1: go on, 0: not; that is how inih has it. */
static int on_value(void *context, const char *section, const char *key, const char *value)
{
	struct reading *reading = context;
	const struct setting *setting = find(section, key);
	char expected[SETTING_EXPECTED_BYTES];
	struct options ignored = { 0 }, *target = reading->options;
	size_t index;

	if (!setting) {
		complain_unknown(reading, section, key);
		return 0;
	}
	index = (size_t)(setting - settings);
	if (reading->seen[index]) {
		complain(reading, "%s was set in line %u already: remove one of the two", key, reading->seen[index]);
		return 0;
	}
	reading->seen[index] = reading->number;
	if (reading->fixed & 1ull << index)
		target = &ignored;	/* has to be right nevertheless */
	if (setting_parse(setting, target, value, expected) < 0)
		complain(reading, "%s takes %s, not '%.80s'", key, expected, value);
	return !reading->failed;
}

int config_file_read(struct options *options, const char *path, uint64_t fixed)
{
	struct reading reading = { .path = path, .options = options, .fixed = fixed };
	int r;

	reading.file = fopen(path, "re");
	if (!reading.file) {
		fprintf(stderr, "zcp-router: %s: cannot be read: %s\n", path, strerror(errno));
		return -EINVAL;
	}
	r = ini_parse_stream(next_line, &reading, on_value, &reading);
	if (r > 0 && !reading.failed) {
		reading.number = (unsigned int)r;
		complain(&reading, "the line is neither 'key = value' nor '[section]' nor a comment, which begins with # or ;");
	} else if (r < 0) {
		complain(&reading, "the router is out of memory");
	}
	fclose(reading.file);
	free(reading.line);
	return reading.failed ? -EINVAL : 0;
}

#else

int config_file_read(struct options *options, const char *path, uint64_t fixed)
{
	(void)options;
	(void)fixed;
	fprintf(stderr, "zcp-router: %s: this zcp-router was built without inih and reads no configuration file: install "
		"libinih-dev (Debian's name) and build it again\n", path);
	return -EINVAL;
}

#endif
