/* SPDX-License-Identifier: MIT */
/*
 * trace-whose.h - which processes belong to the router that is looked at
 *
 * Probes are in files, and a file is run by whoever likes: several routers may be processes of one program, each with clients of its own. What
 * is about an endpoint is told apart by its id (trace-names.h); what is about none, by the process that it happened in. Where the router
 * counts pids in another namespace than we do nobody can be told apart, and all of them are taken for ours.
 */
#ifndef ZCP_TOOLS_TRACE_WHOSE_H
#define ZCP_TOOLS_TRACE_WHOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/trace-names.h"

/* Processes that are not, so that each is looked at once. */
struct whose_stranger;
void whose_forget(struct whose_stranger **strangers);

/* Whether @pid is the router, or the one that came after it, which is found out by a connection to its socket. */
bool whose_is_router(struct names *names, struct whose_stranger **strangers, uint32_t pid);

/* Whether @pid has, or had, a node at the router; waits a moment for one that has just come. */
bool whose_has_joined(struct names *names, struct whose_stranger **strangers, uint32_t pid);

#endif
