/* SPDX-License-Identifier: MIT */
/*
 * options.h - what callers hand in, checked once at the door
 *
 * Option structs grow with the ABI as in libbpf: the caller's `sz` says which fields its header knew. Fields we
 * know and it did not are zero; fields it knows and we do not must be zero. Names are judged here, with the
 * sentence that says what is wrong.
 */
#ifndef ZCP_LIB_OPTIONS_H
#define ZCP_LIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/wire.h"
#include "zcp/zcp.h"

/*
 * Copy @options (NULL: all defaults) of whatever size its first member says into @copy, @bytes large; @name is
 * the struct's for the message. @least: size of the struct in the first release. 0 or -EINVAL.
 */
int options_copy(void *copy, size_t bytes, size_t least, const void *options, const char *name);

/* 0, or -EINVAL unless the @bytes bytes at @reserved are zero. */
int options_reserved(const void *reserved, size_t bytes, const char *name);

/* Check @name and store it in @field. @what: "node name". 0 or -EINVAL. */
int options_name(char field[WIRE_NAME_BYTES], const char *name, const char *what);

/* Check @topic and @type and convert them. 0 or -EINVAL. */
int options_topic(struct wire_topic *out, const struct zcp_topic *topic);
int options_type(struct wire_type_info *out, const struct zcp_type *type);

#endif
