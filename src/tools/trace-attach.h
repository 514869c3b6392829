/* SPDX-License-Identifier: MIT */
/*
 * trace-attach.h - probes: which files have them, and attaching programs to all of these
 *
 * A uprobe belongs to a file, not to a process: whoever maps the file, now or later, has it. Looked at are
 *  - what processes of the router's nodes map, as soon as a node joins: libzcp.so wherever it is installed, or a program that is
 *    linked with zcp statically;
 *  - libzcp.so in any process, the one that belongs to this program, and the tool `zcp`, before anybody joins with them;
 *  - the router.
 * A file is told by device and inode, and reached through the process that maps it, so that one in another mount namespace, or one
 * that was replaced since, is found too.
 */
#ifndef ZCP_TOOLS_TRACE_ATTACH_H
#define ZCP_TOOLS_TRACE_ATTACH_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/trace-names.h"

struct attacher;

int attacher_new(struct attacher **attacher);
struct attacher *attacher_free(struct attacher *attacher);

/* @program at all places of @provider:@probe, in files that were found already and those that will be. 0 or a negative errno value. */
int attacher_add(struct attacher *attacher, const char *provider, const char *probe, struct bpf_program *program, uint64_t cookie);

/*
 * Look at processes that were not looked at yet, and attach. Returns the number of files that got probes by this, or -1 after the complaint:
 * the kernel does not allow it.
 */
int attacher_scan(struct attacher *attacher, struct names *names);

/* Files that have probes, and places in them. */
int attacher_n_files(const struct attacher *attacher);

#endif
