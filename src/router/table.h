/* SPDX-License-Identifier: MIT */
/*
 * table.h - uthash and utlist, set up so that a failed allocation is an error and not exit()
 *
 * After HASH_ADD an element is in the table only if table_added() says so.
 */
#ifndef ZCP_ROUTER_TABLE_H
#define ZCP_ROUTER_TABLE_H

#define HASH_NONFATAL_OOM 1

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <uthash.h>
#include <utlist.h>
#pragma GCC diagnostic pop

#define table_added(element) ((element)->hh.tbl != NULL)

#endif
