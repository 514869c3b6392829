/* SPDX-License-Identifier: MIT */
/*
 * name.h - node names and the three parts of a topic
 *
 * One rule for all of them: 1 to 100 bytes of valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF), without '/', which separates the parts, and without control characters (C0, DEL, C1), which
 * would let a name rewrite the terminal of whoever lists it. ':' and spaces are fine.
 */
#ifndef ZCP_COMMON_NAME_H
#define ZCP_COMMON_NAME_H

#include <stddef.h>

#define NAME_MAX_BYTES 100
#define NAME_TOPIC_BYTES (3 * NAME_MAX_BYTES + 2 + 1)	/* "service/instance/event" and its NUL */

enum name_fault {
	NAME_OK = 0,
	NAME_EMPTY,
	NAME_TOO_LONG,
	NAME_SLASH,
	NAME_CONTROL,
	NAME_NOT_UTF8,
};

/* Judge @length bytes at @name (no NUL needed). */
enum name_fault name_check(const char *name, size_t length);

/* One phrase that completes "the service name ...", e.g. "is empty". */
const char *name_fault_text(enum name_fault fault);

/*
 * Judge a name of the wire: @field has @field_bytes bytes, must contain a NUL, and all bytes behind it must be zero
 * (NAME_TOO_LONG / NAME_CONTROL otherwise).
 */
enum name_fault name_check_field(const char *field, size_t field_bytes);

/* Store @name in @field with zero padding. The name must have been checked. */
void name_to_field(char *field, size_t field_bytes, const char *name);

/*
 * Split "service/instance/event" into three fields of NAME_MAX_BYTES + 1 bytes each. 0, or -EINVAL with *fault
 * and *part (0..2; 3: not exactly three parts) for the message.
 */
int name_split_topic(const char *text, char parts[3][NAME_MAX_BYTES + 1], enum name_fault *fault, int *part);

#endif
