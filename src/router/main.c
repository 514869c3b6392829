/* SPDX-License-Identifier: MIT */
/*
 * main.c - zcp-router: what a daemon does around its work
 *
 * Options, process-wide settings, the socket, then router_run() until it is time to go. Exit
 * status: 0 clean, 1 a runtime failure, 2 wrong usage; each failure has printed its one line by
 * then.
 */

#include "router/router.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "router/activation.h"
#include "router/log.h"
#include "router/options.h"
#include "router/service.h"
#include "router/socket.h"

/* A descriptor of ours must not become 0, 1 or 2: log lines would end up in it. */
static void occupy_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_error("cannot raise the soft limit of descriptors: %s", strerror(errno));
}

static int open_socket(struct router_socket *socket, const struct socket_options *options)
{
	return activation_is_wanted() ? activation_open(socket, options) : socket_open(socket, options);
}

static int serve(const struct options *options, struct service *service)
{
	struct router_socket socket;
	struct router *router;
	char detectors[256];
	int r;

	r = open_socket(&socket, &options->socket);
	if (r < 0)
		return r;
	r = router_open(&router, &options->router, socket.path, service);
	if (r < 0) {
		socket_close(&socket);
		return r;
	}
	log_note("listening on %s, loop %s", socket.path, loop_name(router->loop));
	log_note("exit detection: %s", detector_describe(&router->detector, detectors));
	service_tell(service, "READY=1\nSTATUS=Listening on %s, loop %s, exit detection: %s", socket.path, loop_name(router->loop), detectors);
	r = router_run(router, socket.fd);
	service_tell(service, "STOPPING=1\nSTATUS=Leaving");
	router_close(router);
	socket_close(&socket);
	return r;
}

int main(int argc, char **argv)
{
	struct options options;
	struct service service;
	int r;

	occupy_standard_fds();
	r = options_parse(&options, argc, argv, ROUTER_CONF);
	if (r)
		return r < 0 ? 2 : 0;
	log_set_level(options.log_level);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* a memfd beyond RLIMIT_FSIZE is an error code then */
	raise_fd_limit();
	service_open(&service);
	r = serve(&options, &service);
	service_close(&service);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
