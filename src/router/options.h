/* SPDX-License-Identifier: MIT */
/*
 * options.h - all that zcp-router is told: defaults, router.conf, the command line
 *
 * The command line wins over the configuration file and that over the defaults. Values live in the
 * table of settings.h; zcp-router(8) and zcp-router.conf(5) say the same, and a test compares.
 */
#ifndef ZCP_ROUTER_OPTIONS_H
#define ZCP_ROUTER_OPTIONS_H

#include "router/log.h"
#include "router/router.h"
#include "router/settings.h"
#include "router/socket.h"

#define DEFAULT_MAX_NODES 1024
#define DEFAULT_MAX_ENDPOINTS 8192
#define DEFAULT_MAX_MATCHES 32768
#define DEFAULT_MAX_NODES_PER_UID 256
#define DEFAULT_MAX_ENDPOINTS_PER_NODE 1024
#define DEFAULT_MAX_BYTES_PER_UID (64ull << 30)
#define DEFAULT_MAX_BYTES_PER_NODE (32ull << 30)
#define DEFAULT_MAX_FDS_PER_NODE 4096
#define DEFAULT_HEARTBEAT_MS 100
#define DEFAULT_SCAN_MS 300
#define DEFAULT_TIMEOUT_MS 3000
#define DEFAULT_DETECTORS 15u		/* all */
#define DEFAULT_IDLE_S 5

#define OPTIONS_PATH_BYTES 4096

struct options {
	struct router_options router;
	struct socket_options socket;
	enum log_level log_level;
	char socket_path[OPTIONS_PATH_BYTES];	/* what socket.path points to, if it was set */
	char config_path[OPTIONS_PATH_BYTES];	/* what router.config_path points to, if there is one */
};

/*
 * @default_config is read when no --config was given, it exists, and the system's socket is served.
 *
 * 0: go on. 1: --help or --version was served, end with success. -EINVAL: wrong usage, or a wrong
 * configuration file; one line was printed. @options must stay where it is.
 */
int options_parse(struct options *options, int argc, char **argv, const char *default_config);

#endif
