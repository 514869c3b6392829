/* SPDX-License-Identifier: MIT */
/*
 * pattern.c - names with '*' and '?' in them
 *
 * The greedy way without recursion: only the last '*' is ever tried again, with one byte more. What an earlier one could
 * match instead, the last one can match too.
 */
#include "common/pattern.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The next character of UTF-8; a stray byte is a character. */
static const char *next_character(const char *text)
{
	text++;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++;
	return text;
}

bool pattern_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	if (!*pattern)
		return true;
	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (*pattern == '?') {
			pattern++;
			text = next_character(text);
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

bool pattern_matches_topic(const struct wire_topic *pattern, const struct wire_topic *topic)
{
	return pattern_matches(pattern->service, topic->service) && pattern_matches(pattern->instance, topic->instance) &&
	       pattern_matches(pattern->event, topic->event);
}

int pattern_parse(struct wire_topic *pattern, const char *text, enum name_fault *fault)
{
	char *const parts[] = { pattern->service, pattern->instance, pattern->event };

	memset(pattern, 0, sizeof(*pattern));
	*fault = NAME_OK;
	for (int i = 0; i < 3; i++) {
		size_t n = strcspn(text, "/");

		if (n)
			*fault = name_check(text, n);
		if (*fault != NAME_OK)
			return -EINVAL;
		memcpy(parts[i], text, n);
		text += n;
		if (!*text)
			return 0;
		text++;
	}
	return *text ? -E2BIG : 0;
}

bool pattern_is_empty(const struct wire_topic *pattern)
{
	return !pattern->service[0] && !pattern->instance[0] && !pattern->event[0];
}
