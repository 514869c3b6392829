/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of zcp-router and its defaults (man/zcp-router.8 says the same; a
 * test compares).
 */
#ifndef ZCP_ROUTER_OPTIONS_H
#define ZCP_ROUTER_OPTIONS_H

#include "router/log.h"
#include "router/router.h"
#include "router/socket.h"

#define DEFAULT_MAX_NODES 1024
#define DEFAULT_MAX_ENDPOINTS 8192
#define DEFAULT_MAX_MATCHES 32768
#define DEFAULT_MAX_NODES_PER_UID 256
#define DEFAULT_MAX_ENDPOINTS_PER_NODE 1024
#define DEFAULT_MAX_BYTES_PER_UID (64ull << 30)
#define DEFAULT_IDLE_S 5

struct options {
	struct router_options router;
	struct socket_options socket;
	enum log_level log_level;
};

/*
 * 0: go on. 1: --help or --version was served, end with success. -EINVAL: wrong usage, one line was
 * printed.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
