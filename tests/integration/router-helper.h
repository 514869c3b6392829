/* SPDX-License-Identifier: MIT */
/*
 * router-helper.h - a real router in a directory of its own, and a client that speaks the wire by
 * hand
 *
 * Nothing of src/lib is used: these suites say what the router does to any client, a hostile one
 * included. All waits have a deadline; a helper that does not get what it waits for fails the test.
 */
#ifndef ZCP_TESTS_ROUTER_HELPER_H
#define ZCP_TESTS_ROUTER_HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/wire.h"
#include "harness.h"

#define DEADLINE_MS 20000

struct test_router {
	pid_t pid;
	char directory[64];
	char path[108];
	unsigned int n_fds;	/* open descriptors when nobody was connected */
	unsigned int nofile;	/* RLIMIT_NOFILE to run it with, 0: ours */
	uid_t uid;		/* to run it as, 0: ours */
	bool without_peerpidfd;	/* SO_PEERPIDFD is not known, as before Linux 6.5 */
	bool without_uring;	/* io_uring_setup fails with EPERM, as under docker's seccomp profile */
	const int *passed;	/* sockets to start it with as a service manager does, without --socket */
	unsigned int n_passed;
	const char *passed_names;	/* LISTEN_FDNAMES */
	bool passed_to_another;		/* LISTEN_PID is not its */
};

/* The argument of loop tests: 0 io_uring, 1 epoll. */
#define N_LOOPS 2
const char *loop_argument(int i);

/*
 * For suites that run beside each other: whoever needs the machine's io_uring for an unprivileged router holds this shared, who
 * forbids it to those exclusively. A descriptor to close.
 */
int lock_io_uring(bool exclusive);

/* Whether a router can be run as @uid: its binary is where that user gets to. */
bool router_runs_as(uid_t uid);

/* Make the directory and name the socket; start nothing. */
void router_prepare(struct test_router *router);

/*
 * Start $ZCP_ROUTER_BIN there with a NULL-terminated list of further arguments and wait until it
 * listens.
 */
void router_run(struct test_router *router, const char *const *arguments);

/* The three in one, on loop @i. */
void router_start(struct test_router *router, int i, ...) __attribute__((sentinel));

/* Run a router that is expected to end by itself; its exit status, with its stderr in @text. */
int router_fails(const struct test_router *router, const char *const *arguments, char *text, size_t text_bytes);

/* End it by @signal, expect a clean exit and an empty directory, and remove that. */
void router_stop(struct test_router *router, int signal);

unsigned int router_fds(const struct test_router *router);
bool router_lives(const struct test_router *router);

/* All that is left of clients is gone. */
void router_expect_base(struct test_router *router);

/* --- the client ----------------------------------------------------------------------------------- */

int client_connect(const struct test_router *router);
void client_send(int fd, const struct wire_header *message);
int client_try_send(int fd, const void *bytes, size_t n_bytes, const int *fds, unsigned int n_fds);

/*
 * Receive one message, which must be of @type, into @message and @fds (which may be NULL for
 * messages without).
 */
void client_expect(int fd, enum wire_type type, union wire_message *message, int fds[WIRE_FDS_MAX]);

/* The same for WIRE_ERROR with @error; the text must contain @part. */
void client_expect_error(int fd, uint32_t request, int error, const char *part);

/*
 * Read messages until the end of file, which must come. Descriptors are closed. The last
 * WIRE_ERROR's error, or 0.
 */
int client_expect_end(int fd);

/*
 * No message within the deadline's small part: the router answers @fd again after a round trip on
 * it.
 */
bool client_has_message(int fd, int timeout_ms);

struct test_node {
	int fd;
	struct wire_welcome welcome;
	int directory_fd;
	void *page;
};

void hello_fill(struct wire_hello *hello, uint32_t request, const char *name);
void node_join(struct test_node *node, const struct test_router *router, const char *name);
/* With WIRE_HELLO_* flags. */
void node_join_with(struct test_node *node, const struct test_router *router, const char *name, uint32_t flags);
/* With a goodbye: the router forgets it at once. */
void node_leave(struct test_node *node);
/* Without a goodbye: the router gives it some time, since our process lives. */
void node_drop(struct test_node *node);

struct test_endpoint {
	uint64_t id, segment_id, bytes;
	uint32_t request, n_pending;
	void *memory;			/* the segment, read-write */
	int segment_fd, doorbell_fd;
};

void publisher_fill(struct wire_endpoint_open *open, uint32_t request, const char *topic, uint32_t max_lanes);
void subscriber_fill(struct wire_endpoint_open *open, uint32_t request, const char *topic, uint32_t n_lanes);

/* ENDPOINT_OPEN up to ENDPOINT_OPENED with the segment mapped. */
void endpoint_open(struct test_endpoint *endpoint, int fd, const struct wire_endpoint_open *open);
void endpoint_mapped(const struct test_endpoint *endpoint, int fd);
/* ... up to ENDPOINT_READY; nothing else may come before it. */
void endpoint_ready(struct test_endpoint *endpoint, int fd, const struct wire_endpoint_open *open);
void endpoint_close(struct test_endpoint *endpoint, int fd);
/* Forget it on this side only. */
void endpoint_forget(struct test_endpoint *endpoint);

void lane_choose(int fd, const struct wire_writer_added *added, int32_t lane);
void close_fds(int fds[WIRE_FDS_MAX]);

#endif
