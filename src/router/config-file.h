/* SPDX-License-Identifier: MIT */
/*
 * config-file.h - router.conf: what the command line can set, as "key = value" in sections
 *
 * The values are those of settings.h. Every mistake is found before the router starts and said in
 * one line, "FILE:LINE: what is wrong and what would be right": a limit that is silently not there
 * is worse than a router that is not.
 */
#ifndef ZCP_ROUTER_CONFIG_FILE_H
#define ZCP_ROUTER_CONFIG_FILE_H

#include <stdint.h>

struct options;

/*
 * Read @path into @options; a bit of @fixed, by index in settings[], keeps its value. 0, or -EINVAL:
 * a line was printed. @options is undefined then.
 */
int config_file_read(struct options *options, const char *path, uint64_t fixed);

#endif
