/* SPDX-License-Identifier: MIT */
/*
 * trace-kinds.h - the probes, as zcp-trace(1) documents them: names and arguments
 */
#ifndef ZCP_TOOLS_TRACE_KINDS_H
#define ZCP_TOOLS_TRACE_KINDS_H

#include <stdint.h>

#include "bpf/trace.h"

struct trace_kind {
	const char *provider, *name;
	unsigned int n_args;
	unsigned int n_endpoints;	/* so many of the first arguments are endpoints */
	unsigned int text;		/* number of the argument that is a text; 0: none */
	const char *args[TRACE_ARGS];
};

#define TRACE_KINDS_MAX 32
extern const struct trace_kind trace_kinds[];
extern const unsigned int trace_n_kinds;

#endif
