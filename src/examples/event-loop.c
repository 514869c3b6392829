/* SPDX-License-Identifier: MIT */
/*
 * event-loop.c - one subscriber in three event loops: poll, epoll, io_uring
 *
 *	cc event-loop.c -o event-loop $(pkg-config --cflags --libs zcp liburing)
 *	event-loop poll | epoll | uring
 *
 * Prints ten greetings of hello-pub. To a loop the subscriber is a descriptor like any other: readable until a
 * take says -EAGAIN. What else the program waits for goes beside it.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zcp/zcp.h>

static int n_greetings;

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "event-loop: %s: %s\n", what, why);
	return 1;
}

/* What all three do when the descriptor is readable: take until there is nothing left. */
static void handle(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;

	while (n_greetings < 10 && zcp_subscriber_take(subscriber, &sample) == 0) {
		printf("%.*s\n", (int)sample.size, (const char *)sample.data);
		zcp_sample_release(&sample);
		n_greetings++;
	}
}

static int run_poll(zcp_subscriber *subscriber)
{
	struct pollfd fds[1] = { { .fd = zcp_subscriber_fd(subscriber), .events = POLLIN } };

	while (n_greetings < 10) {
		if (poll(fds, 1, -1) < 0 && errno != EINTR)
			return fail("poll", strerror(errno));
		if (fds[0].revents)
			handle(subscriber);
	}
	return 0;
}

static int run_epoll(zcp_subscriber *subscriber)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = subscriber };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, zcp_subscriber_fd(subscriber), &event) < 0)
		return fail("epoll", strerror(errno));
	while (n_greetings < 10)
		if (epoll_wait(epoll, &event, 1, -1) == 1)
			handle(event.data.ptr);
	close(epoll);
	return 0;
}

static int run_uring(zcp_subscriber *subscriber)
{
	struct io_uring ring;
	int r = io_uring_queue_init(8, &ring, 0);

	if (r < 0) {
		fprintf(stderr, "event-loop: the kernel refuses io_uring (%s): look at kernel.io_uring_disabled and, in a container, at its "
				"seccomp profile; poll and epoll work\n", strerror(-r));
		return 3;
	}
	while (n_greetings < 10) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
		struct io_uring_cqe *cqe;

		/* one completion for each request: at once if the descriptor is readable already */
		io_uring_prep_poll_add(sqe, zcp_subscriber_fd(subscriber), POLLIN);
		io_uring_sqe_set_data(sqe, subscriber);
		io_uring_submit(&ring);
		do {
			r = io_uring_wait_cqe(&ring, &cqe);
		} while (r == -EINTR);
		if (r < 0)
			return fail("io_uring", strerror(-r));
		handle(io_uring_cqe_get_data(cqe));
		io_uring_cqe_seen(&ring, cqe);
	}
	io_uring_queue_exit(&ring);
	return 0;
}

int main(int argc, char **argv)
{
	const struct zcp_topic topic = { "hello", "world", "greeting" };
	const struct zcp_node_options node_options = { .sz = sizeof(node_options), .autostart = true };
	int (*run)(zcp_subscriber *) = NULL;
	zcp_subscriber *subscriber;
	zcp_node *node;
	int status;

	if (argc == 2)
		run = !strcmp(argv[1], "poll") ? run_poll : !strcmp(argv[1], "epoll") ? run_epoll : !strcmp(argv[1], "uring") ? run_uring : NULL;
	if (!run) {
		fprintf(stderr, "usage: event-loop poll | epoll | uring\n");
		return 2;
	}
	if (zcp_node_open(&node, "event-loop", &node_options) < 0)
		return fail("cannot join", zcp_last_error());
	if (zcp_subscriber_open(&subscriber, node, &topic, NULL) < 0)
		return fail("cannot open the subscriber", zcp_last_error());
	status = run(subscriber);
	zcp_node_close(node);
	return status;
}
