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

#include "common/name.h"
#include "common/wire.h"

/* Time is at most proportional to the product of the lengths, whatever a stranger writes. */
bool pattern_matches(const char *pattern, const char *text);

/* All three parts. */
bool pattern_matches_topic(const struct wire_topic *pattern, const struct wire_topic *topic);

/*
 * "a/b/c", whose last parts may be missing, into its three fields. 0; -EINVAL and *fault, what is wrong with a part of it; or -E2BIG: it has
 * more than three parts.
 */
int pattern_parse(struct wire_topic *pattern, const char *text, enum name_fault *fault);

/* Whether the pattern is empty in all three parts. */
bool pattern_is_empty(const struct wire_topic *pattern);

#endif
