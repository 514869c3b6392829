/* SPDX-License-Identifier: MIT */
/*
 * options.c - what callers hand in, checked once at the door
 */
#include "lib/options.h"

#include <errno.h>
#include <string.h>

#include "common/name.h"
#include "lib/error.h"

/* No struct will ever be that large: a larger sz is garbage, and looking at that many bytes would be a fault. */
#define OPTIONS_BYTES_MAX 1024
#define ALIGNMENT_MAX 4096

static bool all_zero(const unsigned char *bytes, size_t n)
{
	while (n--)
		if (*bytes++)
			return false;
	return true;
}

int options_copy(void *copy, size_t bytes, size_t least, const void *options, const char *name)
{
	size_t sz;

	memset(copy, 0, bytes);
	if (!options)
		return 0;
	memcpy(&sz, options, sizeof(sz));
	if (sz < least || sz > OPTIONS_BYTES_MAX)
		return error_set(-EINVAL, "sz of struct %s is %zu; set it to sizeof(struct %s)", name, sz, name);
	if (sz > bytes && !all_zero((const unsigned char *)options + bytes, sz - bytes))
		return error_set(-EINVAL, "struct %s uses options that this library, older than your header, does not know", name);
	memcpy(copy, options, sz < bytes ? sz : bytes);
	return 0;
}

int options_reserved(const void *reserved, size_t bytes, const char *name)
{
	if (!all_zero(reserved, bytes))
		return error_set(-EINVAL, "reserved bytes of struct %s are not zero; clear the struct before you fill it in", name);
	return 0;
}

int options_name(char field[WIRE_NAME_BYTES], const char *name, const char *what)
{
	enum name_fault fault;

	if (!name)
		return error_set(-EINVAL, "the %s is missing (NULL)", what);
	/* one byte more than allowed is enough to know */
	fault = name_check(name, strnlen(name, ZCP_NAME_MAX + 1));
	if (fault != NAME_OK)
		return error_set(-EINVAL, "the %s %s; names are 1 to %d bytes of UTF-8 without '/' and control characters", what,
				 name_fault_text(fault), ZCP_NAME_MAX);
	name_to_field(field, WIRE_NAME_BYTES, name);
	return 0;
}

int options_topic(struct wire_topic *out, const struct zcp_topic *topic)
{
	int r;

	if (!topic)
		return error_note(-EINVAL, "the topic is missing (NULL)");
	r = options_name(out->service, topic->service, "topic's service name");
	if (r == 0)
		r = options_name(out->instance, topic->instance, "topic's instance name");
	if (r == 0)
		r = options_name(out->event, topic->event, "topic's event name");
	return r;
}

/* Type names may have slashes, as those of ROS do: they are never put between others. */
static int type_name(char field[WIRE_NAME_BYTES], const char *name)
{
	char plain[ZCP_NAME_MAX + 2];
	size_t length = strnlen(name, ZCP_NAME_MAX + 1);
	int r;

	for (size_t i = 0; i < length; i++)
		plain[i] = name[i] == '/' ? '_' : name[i];
	plain[length] = 0;
	r = options_name(field, plain, "type name");
	if (r == 0)
		memcpy(field, name, length);
	return r;
}

int options_type(struct wire_type_info *out, const struct zcp_type *type)
{
	size_t alignment = type->alignment ? type->alignment : 1;
	int r;

	memset(out, 0, sizeof(*out));
	if (alignment & (alignment - 1) || alignment > ALIGNMENT_MAX)
		return error_set(-EINVAL, "type.alignment %zu is not a power of two up to %d", alignment, ALIGNMENT_MAX);
	if (!type->name)
		return 0;
	r = type_name(out->name, type->name);
	if (r < 0)
		return r;
	out->size = type->size;
	out->alignment = alignment;
	return 0;
}
