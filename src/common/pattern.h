/* SPDX-License-Identifier: MIT */
/*
 * pattern.h - names with '*' and '?' in them
 *
 * '*' stands for any number of bytes, '?' for one character of UTF-8. An empty pattern matches everything. There are no
 * brackets and no escapes: a name that contains one of the two is matched by itself all the same.
 */
#ifndef ZCP_COMMON_PATTERN_H
#define ZCP_COMMON_PATTERN_H

#include <stdbool.h>

#include "common/wire.h"

/* Time is at most proportional to the product of the lengths, whatever a stranger writes. */
bool pattern_matches(const char *pattern, const char *text);

/* All three parts. */
bool pattern_matches_topic(const struct wire_topic *pattern, const struct wire_topic *topic);

/* Whether the pattern is empty in all three parts. */
bool pattern_is_empty(const struct wire_topic *pattern);

#endif
