/* SPDX-License-Identifier: MIT */
/* See refusal.h. */

#include "router/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * A text that was cut must not end within a UTF-8 character; the last one goes if it is not ASCII.
 */
static void trim_last_character(char *text)
{
	size_t n = strlen(text);

	if (!n || !(text[n - 1] & 0x80))
		return;
	while (n && (text[n - 1] & 0xc0) == 0x80)
		n--;
	text[n ? n - 1 : 0] = 0;
}

const char *refusal_clip(char *text, size_t text_bytes, const char *name)
{
	if (snprintf(text, text_bytes, "%s", name) >= (int)text_bytes)
		trim_last_character(text);
	return text;
}

static void fill(struct refusal *refusal, int error, const char *format, va_list args)
{
	memset(refusal, 0, sizeof(*refusal));
	refusal->error = error;
	if (vsnprintf(refusal->text, sizeof(refusal->text), format, args) >= (int)sizeof(refusal->text))
		trim_last_character(refusal->text);
}

int refuse(struct refusal *refusal, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fill(refusal, error, format, args);
	va_end(args);
	return REFUSED;
}

int violate(struct refusal *refusal, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fill(refusal, error, format, args);
	va_end(args);
	return VIOLATION;
}
