/* SPDX-License-Identifier: MIT */
/*
 * name.c - node names and the three parts of a topic
 *
 * A name comes from a stranger, goes into every process's directory and ends on somebody's terminal or in a log
 * file. So it is judged once, strictly, where it enters (library and router, the same function), and everyone
 * behind that may print it.
 */
#include "common/name.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/*
 * Decode one code point of at most @length (> 0) bytes. Returns the bytes it takes, 0 if they are not UTF-8.
 *
 * Source: RFC 3629, section 3. The smallest code point per length rules out the overlong forms.
 */
static size_t decode_utf8(const unsigned char *s, size_t length, uint32_t *code_point)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n_bytes;
	uint32_t c = s[0];

	if (c < 0x80) {
		*code_point = c;
		return 1;
	} else if ((c & 0xe0) == 0xc0) {
		n_bytes = 2;
		c &= 0x1f;
	} else if ((c & 0xf0) == 0xe0) {
		n_bytes = 3;
		c &= 0x0f;
	} else if ((c & 0xf8) == 0xf0) {
		n_bytes = 4;
		c &= 0x07;
	} else {
		return 0;
	}

	if (n_bytes > length)
		return 0;
	for (size_t i = 1; i < n_bytes; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}

	if (c < smallest[n_bytes] || c > 0x10ffff)
		return 0;
	if (c >= 0xd800 && c <= 0xdfff)		/* surrogates belong to UTF-16 */
		return 0;
	*code_point = c;
	return n_bytes;
}

enum name_fault name_check(const char *name, size_t length)
{
	const unsigned char *s = (const unsigned char *)name;
	uint32_t c = 0;

	if (!length)
		return NAME_EMPTY;
	if (length > NAME_MAX_BYTES)
		return NAME_TOO_LONG;

	for (size_t i = 0, n_bytes; i < length; i += n_bytes) {
		n_bytes = decode_utf8(s + i, length - i, &c);
		if (!n_bytes)
			return NAME_NOT_UTF8;
		if (c == '/')
			return NAME_SLASH;
		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			return NAME_CONTROL;
	}
	return NAME_OK;
}

const char *name_fault_text(enum name_fault fault)
{
	switch (fault) {
	case NAME_OK:
		return "is fine";
	case NAME_EMPTY:
		return "is empty";
	case NAME_TOO_LONG:
		return "is longer than 100 bytes";
	case NAME_SLASH:
		return "contains '/'";
	case NAME_CONTROL:
		return "contains a control character";
	case NAME_NOT_UTF8:
		return "is not valid UTF-8";
	}
	return "is not a name";
}

enum name_fault name_check_field(const char *field, size_t field_bytes)
{
	const char *end = memchr(field, 0, field_bytes);
	size_t length;

	if (!end)
		return NAME_TOO_LONG;
	length = (size_t)(end - field);

	/*
	 * Names are compared and hashed as whole fields, so two fields must not differ where they read the
	 * same; and what a sender forgot to clear is memory it did not mean to send.
	 */
	for (size_t i = length; i < field_bytes; i++) {
		if (field[i])
			return NAME_CONTROL;
	}
	return name_check(field, length);
}

void name_to_field(char *field, size_t field_bytes, const char *name)
{
	size_t length = strnlen(name, field_bytes - 1);

	memcpy(field, name, length);
	memset(field + length, 0, field_bytes - length);
}

int name_split_topic(const char *text, char parts[3][NAME_MAX_BYTES + 1], enum name_fault *fault, int *part)
{
	size_t n_slashes = 0;

	for (const char *c = text; *c; c++)
		n_slashes += *c == '/';
	if (n_slashes != 2) {
		*fault = n_slashes < 2 ? NAME_EMPTY : NAME_SLASH;
		*part = 3;
		return -EINVAL;
	}

	for (int i = 0; i < 3; i++) {
		size_t length = strcspn(text, "/");

		*part = i;
		*fault = name_check(text, length);
		if (*fault)
			return -EINVAL;
		memcpy(parts[i], text, length);
		memset(parts[i] + length, 0, NAME_MAX_BYTES + 1 - length);
		text += length + 1;
	}
	return 0;
}
