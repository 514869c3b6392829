/* SPDX-License-Identifier: MIT */
/*
 * Every public function with the Nth call of something failing beneath it, for N = 1, 2, ... until it runs untouched.
 *
 * A world is a node under test with what a function needs, and a peer. The peer's node has no thread and
 * is never hit: faults are armed for the calling thread, around the one call, or for all others, which means the
 * thread of the node under test. After each fault: the error is one that the header documents, with a
 * sentence; the node works or says that it is not connected; and when the world is closed again nothing is left of
 * it, neither here (descriptors, mappings, heap) nor at the router.
 *
 * What cannot happen is not injected. A send that fails with EPIPE means that the socket has ended, which a receive would
 * see too; fcntl(F_GETFL) and F_GET_SEALS of an open descriptor do not fail.
 *
 * $ZCP_FAULTS=all: every N of every fault; few: 1, 2, 4, ...; otherwise long runs of N are thinned out. $ZCP_FAULTS_ONLY: one scenario, by name.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/directory.h"
#include "inject.h"
#include "integration/lib-helper.h"
#include "lib/client.h"
#include "lib/node.h"

#define LARGE 5000

static const struct lib_fault {
	struct fault fault;
	bool sticky;		/* also: the Nth and all later ones */
} faults[] = {
	{ { "malloc ENOMEM", CALL_ALLOC, ENOMEM }, true },
	{ { "mmap ENOMEM", CALL_MMAP, ENOMEM }, true },
	{ { "madvise ENOMEM", CALL_MADVISE, ENOMEM }, true },
	{ { "fstat ENOMEM", CALL_FSTAT, ENOMEM }, true },
	{ { "eventfd EMFILE", CALL_EVENTFD, EMFILE }, true },
	{ { "eventfd ENFILE", CALL_EVENTFD, ENFILE }, false },
	{ { "eventfd ENOMEM", CALL_EVENTFD, ENOMEM }, false },
	{ { "socket EMFILE", CALL_SOCKET, EMFILE }, true },
	{ { "socket ENOBUFS", CALL_SOCKET, ENOBUFS }, false },
	{ { "socket ENFILE", CALL_SOCKET, ENFILE }, false },
	{ { "connect ECONNREFUSED", CALL_CONNECT, ECONNREFUSED }, false },
	{ { "connect EINTR", CALL_CONNECT, EINTR }, false },
	{ { "sendmsg EAGAIN", CALL_SEND, EAGAIN }, false },
	{ { "sendmsg EINTR", CALL_SEND, EINTR }, false },
	{ { "sendmsg ENOBUFS", CALL_SEND, ENOBUFS }, false },
	{ { "sendmsg ENOMEM", CALL_SEND, ENOMEM }, false },
	{ { "sendmsg ETOOMANYREFS", CALL_SEND, ETOOMANYREFS }, false },
	{ { "recvmsg EINTR", CALL_RECEIVE, EINTR }, false },
	{ { "recvmsg ENOMEM", CALL_RECEIVE, ENOMEM }, false },
	{ { "recvmsg ECONNRESET", CALL_RECEIVE, ECONNRESET }, false },
	{ { "recvmsg without its descriptors", CALL_RECEIVE, INJECT_TRUNCATE }, true },
	{ { "read EINTR", CALL_READ, EINTR }, false },
	{ { "write EAGAIN", CALL_WRITE, EAGAIN }, false },
	{ { "poll EINTR", CALL_POLL, EINTR }, false },
	{ { "epoll ENOMEM", CALL_EPOLL, ENOMEM }, true },
	{ { "epoll EMFILE", CALL_EPOLL, EMFILE }, false },
	{ { "epoll_wait EINTR", CALL_EPOLL_WAIT, EINTR }, false },
	{ { "timerfd EMFILE", CALL_TIMER, EMFILE }, true },
	{ { "pthread_create EAGAIN", CALL_THREAD, EAGAIN }, true },
};
#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

/* How often each was injected, over all the processes of this suite. */
static _Atomic uint32_t *n_fired;

static char where[256];		/* a failure in words: which call, which fault, which N */

/* ---- the world --------------------------------------------------------------------------------------------------- */

struct world {
	bool no_thread;
	zcp_node *node, *other;
	zcp_publisher *publisher, *other_publisher;
	zcp_subscriber *subscriber, *other_subscriber;
	zcp_watch *watch;
	zcp_server *server;		/* one of the two on `node`, the other one on `other` */
	zcp_client *client;
	bool server_is_here;
	zcp_notifier *notifier;		/* likewise */
	zcp_listener *listener;
	bool notifier_is_here;
	uint64_t token, offerer;	/* of a descriptor that `other` offers */
	struct zcp_request request;
	struct zcp_response response;
	uint64_t id;
	zcp_waitset *waitset;
	int timer;
	struct zcp_sample samples[2];
	void *loans[2];
	int n_loans;
	char buffer[LARGE];
};

static zcp_node *observer;	/* looks at the directory; never hit, never dispatched */

static void open_node(struct world *w)
{
	w->node = w->no_thread ? lib_node_without_thread("node") : lib_node("node");
}

static void open_other(struct world *w)
{
	w->other = lib_node_without_thread("other");
}

static const struct zcp_publisher_options publisher_options = { .payload_max = LARGE, .header_size = 8, .depth = 4, .max_loans = 4, .history = 2,
							       .reliable = true };

static void open_publisher(struct world *w)
{
	open_node(w);
	w->publisher = lib_publisher(w->node, &publisher_options);
}

static void open_subscriber(struct world *w)
{
	open_node(w);
	w->subscriber = lib_subscriber(w->node, &(struct zcp_subscriber_options){ .history = 2 });
}

static void open_other_publisher(struct world *w)
{
	open_other(w);
	w->other_publisher = lib_publisher(w->other, &publisher_options);
	ok(lib_send(w->other_publisher, 1, 16));
	ok(lib_send(w->other_publisher, 2, LARGE));
}

static void open_other_subscriber(struct world *w)
{
	open_other(w);
	w->other_subscriber = lib_subscriber(w->other, NULL);
}

static void dispatch(struct world *w)
{
	if (w->node && w->no_thread)
		zcp_node_dispatch(w->node);
	if (w->other)
		zcp_node_dispatch(w->other);
}

/* Both ends know of each other. */
static void settle(struct world *w, zcp_publisher *publisher)
{
	ck_assert_within((dispatch(w), zcp_publisher_subscribers(publisher) == 1), DEADLINE_MS);
}

static void matched_publisher(struct world *w)
{
	open_publisher(w);
	open_other_subscriber(w);
	settle(w, w->publisher);
}

static void matched_subscriber(struct world *w)
{
	open_subscriber(w);
	open_other_publisher(w);
	settle(w, w->other_publisher);
}

static void close_world(struct world *w)
{
	zcp_sample_release_batch(w->samples, 2);
	if (w->request.owner)
		zcp_request_release(&w->request);
	if (w->response.sample.owner)
		zcp_response_release(&w->response);
	zcp_waitset_close(w->waitset);
	zcp_watch_close(w->watch);
	zcp_client_close(w->client);
	zcp_server_close(w->server);
	zcp_notifier_close(w->notifier);
	zcp_listener_close(w->listener);
	zcp_publisher_close(w->publisher);
	zcp_subscriber_close(w->subscriber);
	zcp_publisher_close(w->other_publisher);
	zcp_subscriber_close(w->other_subscriber);
	zcp_node_close(w->node);
	zcp_node_close(w->other);
}

/* ---- the functions ----------------------------------------------------------------------------------------------- */

static int node_open(struct world *w)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = w->no_thread };

	return zcp_node_open(&w->node, "node", &options);
}

static int node_close(struct world *w)
{
	zcp_node_close(w->node);
	w->node = NULL;
	w->publisher = NULL;
	w->subscriber = NULL;
	w->server = w->server_is_here ? NULL : w->server;
	w->client = w->server_is_here ? w->client : NULL;
	w->notifier = w->notifier_is_here ? NULL : w->notifier;
	w->listener = w->notifier_is_here ? w->listener : NULL;
	return 0;
}

static int node_dispatch(struct world *w)
{
	return zcp_node_dispatch(w->node);
}

static int node_wait(struct world *w)
{
	return zcp_node_wait(w->node, 1000000);
}

static int publisher_open(struct world *w)
{
	struct zcp_publisher_options options = publisher_options;

	options.sz = sizeof(options);
	return zcp_publisher_open(&w->publisher, w->node, &lib_topic, &options);
}

static int publisher_loan(struct world *w)
{
	return zcp_publisher_loan(w->publisher, LARGE, &w->loans[0]);
}

static void loaned(struct world *w)
{
	matched_publisher(w);
	w->n_loans = (int)ok(zcp_publisher_loan_batch(w->publisher, LARGE, w->loans, 2));
}

static int publisher_publish(struct world *w)
{
	return zcp_publisher_publish(w->publisher, w->loans[0], LARGE);
}

static int publisher_publish_with(struct world *w)
{
	return zcp_publisher_publish_with(w->publisher, w->loans[0], LARGE, "8 bytes.");
}

static int publisher_send_with(struct world *w)
{
	return zcp_publisher_send_with(w->publisher, w->buffer, LARGE, "8 bytes.");
}

static int publisher_discard(struct world *w)
{
	return zcp_publisher_discard(w->publisher, w->loans[0]);
}

static int publisher_send(struct world *w)
{
	int r = zcp_publisher_send(w->publisher, w->buffer, 16);

	return r < 0 ? r : zcp_publisher_send(w->publisher, w->buffer, LARGE);
}

static int publisher_loan_batch(struct world *w)
{
	return zcp_publisher_loan_batch(w->publisher, LARGE, w->loans, 2);
}

static int publisher_publish_batch(struct world *w)
{
	return zcp_publisher_publish_batch(w->publisher, w->loans, (const size_t[]){ LARGE, 16 }, w->n_loans);
}

static int publisher_subscribers(struct world *w)
{
	return zcp_publisher_subscribers(w->publisher);
}

static int publisher_wait(struct world *w)
{
	return zcp_publisher_wait(w->publisher, 1, 20000000);
}

static int publisher_close(struct world *w)
{
	zcp_publisher_close(w->publisher);
	w->publisher = NULL;
	return 0;
}

/* A reliable publisher whose subscriber has no room left, with a timeout. */
static void full(struct world *w)
{
	struct zcp_publisher_options options = { .depth = 4, .reliable = true, .timeout = 2000000 };
	int r;

	open_node(w);
	w->publisher = lib_publisher(w->node, &options);
	open_other_subscriber(w);
	settle(w, w->publisher);
	while ((r = zcp_publisher_send(w->publisher, w->buffer, 8)) >= 0)
		;
	ck_assert_int_eq(r, -ETIMEDOUT);
}

static void news_of_subscriber(struct world *w)
{
	open_publisher(w);
	open_other_subscriber(w);
}

static void loaned_alone(struct world *w)
{
	open_publisher(w);
	ok(zcp_publisher_loan(w->publisher, LARGE, &w->loans[0]));
}

static int do_subscriber_open(struct world *w)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .history = 2 };

	return zcp_subscriber_open(&w->subscriber, w->node, &lib_topic, &options);
}

static void sent(struct world *w)
{
	matched_subscriber(w);
	ok(lib_send(w->other_publisher, 3, 16));
	ok(lib_send(w->other_publisher, 4, LARGE));
}

static int subscriber_take(struct world *w)
{
	return zcp_subscriber_take(w->subscriber, &w->samples[0]);
}

static int subscriber_take_batch(struct world *w)
{
	return zcp_subscriber_take_batch(w->subscriber, w->samples, 2);
}

static void taken(struct world *w)
{
	sent(w);
	ok(zcp_subscriber_take_batch(w->subscriber, w->samples, 2));
}

static int sample_release(struct world *w)
{
	zcp_sample_release(&w->samples[0]);
	return 0;
}

static int sample_release_batch(struct world *w)
{
	zcp_sample_release_batch(w->samples, 2);
	return 0;
}

static int sample_copy(struct world *w)
{
	return (int)zcp_sample_copy(&w->samples[0], w->buffer, sizeof(w->buffer));
}

static int subscriber_wait(struct world *w)
{
	return zcp_subscriber_wait(w->subscriber, 1000000);
}

static int subscriber_fd(struct world *w)
{
	return zcp_subscriber_fd(w->subscriber);
}

static void fd_mode(struct world *w)
{
	sent(w);
	ok(zcp_subscriber_fd(w->subscriber));
}

static int subscriber_take_all(struct world *w)
{
	int r;

	while ((r = zcp_subscriber_take(w->subscriber, &w->samples[0])) == 0)
		zcp_sample_release(&w->samples[0]);
	return r;
}

static int subscriber_stats(struct world *w)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };

	return zcp_subscriber_stats(w->subscriber, &stats);
}

static int do_subscriber_close(struct world *w)
{
	zcp_subscriber_close(w->subscriber);
	w->subscriber = NULL;
	return 0;
}

/* The node was closed with samples held: the last release frees it. */
static void node_of_samples(struct world *w)
{
	taken(w);
	node_close(w);
}

/* The last publisher has left, its messages were taken. */
static void publisher_left(struct world *w)
{
	struct zcp_subscriber_stats stats;

	sent(w);
	zcp_publisher_close(w->other_publisher);
	w->other_publisher = NULL;
	subscriber_take_all(w);
	ck_assert_within((dispatch(w), subscriber_take_all(w), stats = lib_stats(w->subscriber), stats.departed == 1), DEADLINE_MS);
}

/* Messages that need a segment of their own. */
#define LARGER (80u << 10)

static char larger[LARGER];

static zcp_publisher *growing(zcp_node *node)
{
	struct zcp_publisher_options options = publisher_options;

	options.grow = true;
	return lib_publisher(node, &options);
}

static void growing_publisher(struct world *w)
{
	open_node(w);
	w->publisher = growing(w->node);
	open_other_subscriber(w);
	settle(w, w->publisher);
}

static int publisher_loan_larger(struct world *w)
{
	return zcp_publisher_loan(w->publisher, LARGER, &w->loans[0]);
}

static int publisher_send_larger(struct world *w)
{
	return zcp_publisher_send(w->publisher, larger, LARGER);
}

static void grown(struct world *w)
{
	growing_publisher(w);
	ok(publisher_send_larger(w));
	ok(publisher_loan_larger(w));
}

/* Small ones pass, until the segment is given back. */
static int publisher_shrink(struct world *w)
{
	struct zcp_sample sample;

	for (int i = 0; i < 300; i++) {
		int r = zcp_publisher_send(w->publisher, w->buffer, 8);

		if (r < 0)
			return r;
		while (zcp_subscriber_take(w->other_subscriber, &sample) == 0)
			zcp_sample_release(&sample);
		zcp_node_dispatch(w->other);
	}
	return 0;
}

static void grown_once(struct world *w)
{
	growing_publisher(w);
	ok(publisher_send_larger(w));
}

static void growing_writer(struct world *w)
{
	open_subscriber(w);
	open_other(w);
	w->other_publisher = growing(w->other);
	settle(w, w->other_publisher);
}

/*
 * What the peer does in the middle of a call is not hit: in the caller's thread faults are held back, in the node's they stay
 * armed, since that is what it is for.
 */
static uint32_t hold(void)
{
	return atomic_load(&inject->scope) == SCOPE_CALLER ? atomic_exchange(&inject->call, CALL_NONE) : atomic_load(&inject->call);
}

static void release(uint32_t held)
{
	atomic_store(&inject->call, held);
}

/* A publisher comes, and WRITER_ADDED to the node under test. The peer hears of the outcome, or of nothing. */
static int writer_comes(struct world *w)
{
	struct zcp_publisher_options options = publisher_options;

	uint32_t held = hold();

	options.sz = sizeof(options);
	ok(zcp_publisher_open(&w->other_publisher, w->other, &lib_topic, &options));
	release(held);
	zcp_node_dispatch(w->node);
	held = hold();
	zcp_publisher_wait(w->other_publisher, 1, 5000000);
	release(held);
	return 0;
}

static int writer_goes(struct world *w)
{
	uint32_t held = hold();

	zcp_publisher_close(w->other_publisher);
	w->other_publisher = NULL;
	release(held);
	zcp_node_dispatch(w->node);
	return subscriber_wait(w);
}

static int reader_comes(struct world *w)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options) };

	uint32_t held = hold();

	ok(zcp_subscriber_open(&w->other_subscriber, w->other, &lib_topic, &options));
	release(held);
	zcp_node_dispatch(w->node);
	return zcp_publisher_wait(w->publisher, 1, 5000000);
}

static int reader_goes(struct world *w)
{
	uint32_t held = hold();

	zcp_subscriber_close(w->other_subscriber);
	w->other_subscriber = NULL;
	release(held);
	zcp_node_dispatch(w->node);
	return zcp_publisher_subscribers(w->publisher);
}

/* A message in a segment that the node under test has to map. */
static int larger_message_comes(struct world *w)
{
	uint32_t held = hold();
	int r;

	r = zcp_publisher_send(w->other_publisher, larger, LARGER);
	ck_assert_msg(r >= 0 || r == -ETIMEDOUT || r == -EAGAIN, "%s: %d: %s", where, r, zcp_last_error());
	release(held);
	zcp_node_dispatch(w->node);
	r = subscriber_take_all(w);
	return r == -EAGAIN ? subscriber_wait(w) : r;
}

static void subscriber_and_other(struct world *w)
{
	open_subscriber(w);
	open_other(w);
}

static int node_send(struct world *w)
{
	return zcp_node_send(w->node, &lib_topic, w->buffer, sizeof(w->buffer));
}

static void publisher_and_other(struct world *w)
{
	open_publisher(w);
	open_other(w);
}

static int watch_open(struct world *w)
{
	return zcp_watch_open(&w->watch, w->node, NULL, NULL);
}

static void watching(struct world *w)
{
	open_subscriber(w);
	ok(watch_open(w));
	open_other_publisher(w);
}

static int watch_take(struct world *w)
{
	struct zcp_watch_event event;

	return zcp_watch_take(w->watch, &event);
}

static int watch_wait(struct world *w)
{
	int r;

	while ((r = watch_take(w)) == 0)
		;
	return r == -EAGAIN ? zcp_watch_wait(w->watch, 1000000) : r;
}

static int watch_fd(struct world *w)
{
	return zcp_watch_fd(w->watch);
}

static int watch_close(struct world *w)
{
	zcp_watch_close(w->watch);
	w->watch = NULL;
	return 0;
}

/* ---- requests and responses: the server on the node under test, or the client ------------------------------------- */

static int server_open(struct world *w)
{
	struct zcp_server_options options = { .sz = sizeof(options), .payload_max = LARGE, .max_held = 4 };

	return zcp_server_open(&w->server, w->server_is_here ? w->node : w->other, &lib_topic, &options);
}

static int client_open(struct world *w)
{
	struct zcp_client_options options = { .sz = sizeof(options), .payload_max = LARGE, .max_pending = 4 };

	return zcp_client_open(&w->client, w->server_is_here ? w->other : w->node, &lib_topic, &options);
}

static int open_server_here(struct world *w)
{
	w->server_is_here = true;
	return server_open(w);
}

static void open_both_nodes(struct world *w)
{
	open_node(w);
	open_other(w);
}

static void client_there(struct world *w)
{
	open_both_nodes(w);
	w->server_is_here = true;
	ok(client_open(w));
}

static void connect_calls(struct world *w)
{
	ck_assert_within((dispatch(w), zcp_client_servers(w->client) == 1 && zcp_server_clients(w->server) == 1), DEADLINE_MS);
}

/* The client first: it would wait for a server whose node nobody dispatches meanwhile. */
static void connected_client(struct world *w)
{
	open_both_nodes(w);
	ok(client_open(w));
	ok(server_open(w));
	connect_calls(w);
}

static void connected_server(struct world *w)
{
	client_there(w);
	ok(server_open(w));
	connect_calls(w);
}

static int client_send(struct world *w)
{
	int r = zcp_client_send(w->client, w->buffer, 16, &w->id);

	return r < 0 ? r : zcp_client_send(w->client, w->buffer, LARGE, NULL);
}

static int client_loan_and_send(struct world *w)
{
	void *payload;
	int r = zcp_client_loan(w->client, LARGE, &payload);

	if (r == 0)
		r = zcp_client_send_loan(w->client, payload, LARGE, &w->id);
	return r;
}

/* Nobody answers. */
static int client_call(struct world *w)
{
	return zcp_client_call(w->client, w->buffer, 16, &w->samples[0], 1000000);
}

static void asked(struct world *w)
{
	connected_server(w);
	ok(client_send(w));
}

static int server_take(struct world *w)
{
	return zcp_server_take(w->server, &w->request);
}

static int server_wait(struct world *w)
{
	return zcp_server_wait(w->server, 1000000);
}

static void request_taken(struct world *w)
{
	asked(w);
	ok(server_take(w));
}

static int request_reply(struct world *w)
{
	int r = zcp_request_reply_with(&w->request, w->buffer, LARGE, ZCP_MORE);

	return r < 0 ? r : zcp_request_reply(&w->request, w->buffer, 16);
}

static int request_loan_and_send(struct world *w)
{
	void *payload;
	int r = zcp_request_loan(&w->request, LARGE, &payload);

	return r < 0 ? r : zcp_request_send(&w->request, payload, LARGE, 0);
}

static int request_release(struct world *w)
{
	zcp_request_release(&w->request);
	return 0;
}

static void answered(struct world *w)
{
	struct zcp_request request;

	connected_client(w);
	ok(client_send(w));
	ck_assert_within(zcp_server_take(w->server, &request) == 0, DEADLINE_MS);
	ok(zcp_request_reply(&request, w->buffer, LARGE));
	zcp_request_release(&request);
}

static int client_take(struct world *w)
{
	return zcp_client_take(w->client, &w->response);
}

static int client_wait(struct world *w)
{
	return zcp_client_wait(w->client, 1000000);
}

static int client_connect(struct world *w)
{
	return zcp_client_connect(w->client, 2, 1000000);
}

static int calls_fd(struct world *w)
{
	return w->server_is_here ? zcp_server_fd(w->server) : zcp_client_fd(w->client);
}

static int server_close(struct world *w)
{
	zcp_server_close(w->server);
	w->server = NULL;
	return 0;
}

static int client_close(struct world *w)
{
	zcp_client_close(w->client);
	w->client = NULL;
	return 0;
}

/* The other end comes, or goes; the node under test hears of it. */
static int peer_comes(struct world *w)
{
	uint32_t held = hold();

	client_connect_patience_ns = 10000000;
	ok(w->server_is_here ? client_open(w) : server_open(w));
	release(held);
	for (int i = 0; i < 20; i++) {
		zcp_node_dispatch(w->node);
		zcp_node_dispatch(w->other);
		usleep(200);
	}
	return w->server_is_here ? zcp_server_clients(w->server) : zcp_client_servers(w->client);
}

static int peer_goes(struct world *w)
{
	uint32_t held = hold();

	(void)(w->server_is_here ? client_close(w) : server_close(w));
	release(held);
	zcp_node_dispatch(w->node);
	return w->server_is_here ? zcp_server_clients(w->server) : zcp_client_servers(w->client);
}

static void server_alone(struct world *w)
{
	open_both_nodes(w);
	ok(open_server_here(w));
}

static void client_alone(struct world *w)
{
	open_both_nodes(w);
	ok(client_open(w));
}

/* Whatever became of the connection: requests that can be sent end. */
static void check_calls(struct world *w)
{
	int64_t end = now_ns() + DEADLINE_MS * 1000000ll;
	struct zcp_response response;
	bool ended = false;
	uint64_t id;

	if (!w->client || !w->server)
		return;
	if (w->request.owner)
		zcp_request_release(&w->request);
	if (w->response.sample.owner)
		zcp_response_release(&w->response);
	dispatch(w);
	while (zcp_client_take(w->client, &response) == 0)
		zcp_response_release(&response);
	if (zcp_client_send(w->client, w->buffer, 8, &id) < 0)
		return;
	while (!ended) {
		struct zcp_request request;

		dispatch(w);
		if (zcp_server_take(w->server, &request) == 0) {
			(void)zcp_request_reply(&request, request.data, request.size);
			zcp_request_release(&request);
		}
		if (zcp_client_take(w->client, &response) == 0) {
			ended = response.id == id && !response.flags;
			zcp_response_release(&response);
		}
		ck_assert_msg(now_ns() < end, "%s: a request afterwards does not end", where);
	}
}

/* ---- events: the notifier on the node under test, or the listener -------------------------------------------------- */

static int notifier_open(struct world *w)
{
	return zcp_notifier_open(&w->notifier, w->notifier_is_here ? w->node : w->other, &lib_topic, NULL);
}

static int listener_open(struct world *w)
{
	return zcp_listener_open(&w->listener, w->notifier_is_here ? w->other : w->node, &lib_topic, NULL);
}

static int open_notifier_here(struct world *w)
{
	w->notifier_is_here = true;
	return notifier_open(w);
}

static void settle_events(struct world *w)
{
	ck_assert_within((dispatch(w), zcp_notifier_listeners(w->notifier) == 1 && zcp_listener_notifiers(w->listener) == 1), DEADLINE_MS);
}

static void listener_there(struct world *w)
{
	open_both_nodes(w);
	w->notifier_is_here = true;
	ok(listener_open(w));
}

static void notifier_there(struct world *w)
{
	open_both_nodes(w);
	ok(notifier_open(w));
}

static void connected_notifier(struct world *w)
{
	listener_there(w);
	ok(notifier_open(w));
	settle_events(w);
}

static void connected_listener(struct world *w)
{
	notifier_there(w);
	ok(listener_open(w));
	settle_events(w);
}

static void notified(struct world *w)
{
	connected_listener(w);
	ok(zcp_notifier_notify(w->notifier, 3));
}

static int notifier_notify(struct world *w)
{
	return zcp_notifier_notify(w->notifier, 3);
}

static int listener_take(struct world *w)
{
	uint64_t count;
	uint32_t id;

	return zcp_listener_take(w->listener, &id, &count);
}

static int listener_wait(struct world *w)
{
	return zcp_listener_wait(w->listener, 1000000);
}

static int listener_fd(struct world *w)
{
	return zcp_listener_fd(w->listener);
}

static int notifier_close(struct world *w)
{
	zcp_notifier_close(w->notifier);
	w->notifier = NULL;
	return 0;
}

static int listener_close(struct world *w)
{
	zcp_listener_close(w->listener);
	w->listener = NULL;
	return 0;
}

/* The other end comes; the node under test hears of it. */
static int other_end_comes(struct world *w)
{
	uint32_t held = hold();

	ok(w->notifier_is_here ? listener_open(w) : notifier_open(w));
	release(held);
	for (int i = 0; i < 20; i++) {
		zcp_node_dispatch(w->node);
		zcp_node_dispatch(w->other);
		usleep(200);
	}
	return w->notifier_is_here ? zcp_notifier_listeners(w->notifier) : zcp_listener_notifiers(w->listener);
}

static void notifier_alone(struct world *w)
{
	open_both_nodes(w);
	ok(open_notifier_here(w));
}

static void listener_alone(struct world *w)
{
	open_both_nodes(w);
	ok(listener_open(w));
}

/* Whatever became of the two: if they are connected, what happens is heard. */
static void check_events(struct world *w)
{
	uint64_t count, sum = 0;
	uint32_t id;

	if (!w->notifier || !w->listener)
		return;
	dispatch(w);
	while (zcp_listener_take(w->listener, &id, &count) == 0)
		;
	if (zcp_notifier_listeners(w->notifier) != 1)
		return;
	ok(zcp_notifier_notify(w->notifier, 200));
	ck_assert_within((dispatch(w), zcp_listener_take(w->listener, &id, &count) == 0 && id == 200 && (sum += count) == 1), DEADLINE_MS);
}

/* ---- the latest value, and descriptors ----------------------------------------------------------------------------- */

static int subscriber_latest(struct world *w)
{
	int r = zcp_subscriber_latest(w->subscriber, &w->samples[0]);

	return r < 0 ? r : zcp_subscriber_latest(w->subscriber, &w->samples[1]);
}

/* One that `other` offers, to the node under test; and the other way round. */
static void offered(struct world *w)
{
	matched_subscriber(w);
	w->offerer = zcp_publisher_id(w->other_publisher);
	ok(zcp_node_offer_fd(w->other, 0, &w->token));
}

static int offer_fd(struct world *w)
{
	int r = zcp_node_offer_fd(w->node, 0, &w->token);

	return r < 0 ? r : zcp_node_withdraw_fd(w->node, w->token);
}

/* The other node is asked behind our back, and then dispatched: so the first of these calls times out. */
static int take_fd(struct world *w)
{
	int r = zcp_node_take_fd(w->node, w->offerer, w->token, 0);

	if (r >= 0)
		close(r);
	return r < 0 ? r : 0;
}

static int node_is_asked(struct world *w)
{
	uint32_t held = hold();
	int r = zcp_node_take_fd(w->other, zcp_publisher_id(w->publisher), w->token, 0);

	if (r >= 0)
		close(r);
	release(held);
	for (int i = 0; i < 5; i++) {
		zcp_node_dispatch(w->node);
		usleep(200);
	}
	return 0;
}

static void offering(struct world *w)
{
	matched_publisher(w);
	ok(zcp_node_offer_fd(w->node, 0, &w->token));
}

#define SEND_ERRORS { ENOTCONN, EMSGSIZE, ENOBUFS, EAGAIN, EPIPE, EOWNERDEAD }

static int waitset_open(struct world *w)
{
	return zcp_waitset_open(&w->waitset, NULL);
}

/* A wait set, and what could be a member of it. */
static void beside_waitset(struct world *w)
{
	watching(w);
	settle(w, w->other_publisher);
	ok(waitset_open(w));
}

static int waitset_add_subscriber(struct world *w)
{
	return zcp_waitset_add_subscriber(w->waitset, w->subscriber, NULL);
}

static int waitset_add_watch(struct world *w)
{
	return zcp_waitset_add_watch(w->waitset, w->watch, NULL);
}

static int waitset_add_node(struct world *w)
{
	return zcp_waitset_add_node(w->waitset, w->node, NULL);
}

/* Any descriptor will do. */
static int waitset_add_fd(struct world *w)
{
	return zcp_waitset_add_fd(w->waitset, zcp_watch_fd(w->watch), 1, NULL);
}

static int waitset_add_timer(struct world *w)
{
	w->timer = zcp_waitset_add_timer(w->waitset, 0, 0, NULL);
	return w->timer;
}

static void with_members(struct world *w)
{
	beside_waitset(w);
	ok(waitset_add_subscriber(w));
	ok(waitset_add_watch(w));
	ok(waitset_add_timer(w));
	if (w->no_thread)
		ok(waitset_add_node(w));
}

static int waitset_wait(struct world *w)
{
	struct zcp_ready ready[4];
	int r;

	/* until there is nothing left to report */
	while ((r = zcp_waitset_wait(w->waitset, ready, 4, 1000000)) > 0) {
		while (w->watch && watch_take(w) == 0)
			;
		subscriber_take_all(w);
	}
	return r;
}

static int waitset_fd(struct world *w)
{
	int r = zcp_waitset_fd(w->waitset);

	return r < 0 ? r : waitset_wait(w);
}

static int waitset_remove(struct world *w)
{
	int r = zcp_waitset_remove_subscriber(w->waitset, w->subscriber);

	if (r == 0)
		r = zcp_waitset_remove_watch(w->waitset, w->watch);
	if (r == 0)
		r = zcp_waitset_remove_timer(w->waitset, w->timer);
	if (r == 0 && w->no_thread)
		r = zcp_waitset_remove_node(w->waitset, w->node);
	return r;
}

static void with_fd(struct world *w)
{
	beside_waitset(w);
	ok(waitset_add_fd(w));
}

static int waitset_remove_fd(struct world *w)
{
	return zcp_waitset_remove_fd(w->waitset, zcp_watch_fd(w->watch));
}

static int waitset_close(struct world *w)
{
	zcp_waitset_close(w->waitset);
	w->waitset = NULL;
	return 0;
}

/* A member is closed, and said to be. */
static int waitset_member_close(struct world *w)
{
	struct zcp_ready ready;

	watch_close(w);
	return zcp_waitset_wait(w->waitset, &ready, 1, 0);
}

/* What zcp.h documents. */
/* the fault for epoll_create1() hits epoll_ctl() too, which cannot really have EMFILE */
#define ADD_ERRORS { EEXIST, EBUSY, ENOSPC, ENOMEM, EOWNERDEAD, EMFILE }
#define ENDPOINT_ERRORS { EINVAL, EPROTOTYPE, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ETIMEDOUT, EOWNERDEAD }
#define NO_ERRORS { 0 }
#define GROWTH_ERRORS { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EDQUOT, ENOTCONN, EMFILE, ENOMEM, ENOSPC, EOWNERDEAD }
#define SERVER_ERRORS { EADDRINUSE, EINVAL, EPROTOTYPE, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ETIMEDOUT, EOWNERDEAD }
#define REPLY_ERRORS { EPIPE, EALREADY, EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, ENOBUFS, EOWNERDEAD }

static const struct scenario {
	const char *name;
	void (*prepare)(struct world *w);
	int (*call)(struct world *w);
	int errors[16];
} scenarios[] = {
	{ "zcp_node_open", NULL, node_open,
	  { EINVAL, ECONNREFUSED, ENOENT, EACCES, EPROTONOSUPPORT, EDQUOT, ENOSPC, EMFILE, ENOMEM, ETIMEDOUT, ENAMETOOLONG, EPROTO,
	    ENOTCONN, EAGAIN } },
	{ "zcp_node_close", open_node, node_close, NO_ERRORS },
	{ "zcp_node_close with endpoints", taken, node_close, NO_ERRORS },
	{ "zcp_node_close with matches", matched_publisher, node_close, NO_ERRORS },
	{ "zcp_node_close with a loan", loaned_alone, node_close, NO_ERRORS },
	{ "zcp_node_dispatch", subscriber_and_other, node_dispatch, { ENOTCONN } },
	{ "zcp_node_wait", open_node, node_wait, { ETIMEDOUT, ENOTCONN } },
	{ "zcp_node_send", open_node, node_send, { EINVAL, EMSGSIZE, EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_open", open_node, publisher_open, ENDPOINT_ERRORS },
	{ "zcp_publisher_open, subscriber there", NULL, publisher_open, ENDPOINT_ERRORS },
	{ "zcp_publisher_loan", matched_publisher, publisher_loan, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_loan, news", news_of_subscriber, publisher_loan, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_publish", loaned, publisher_publish, { EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_discard", loaned, publisher_discard, { EINVAL } },
	{ "zcp_publisher_send", matched_publisher, publisher_send, { EINVAL, EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_publish_with", loaned, publisher_publish_with, { EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_send_with", matched_publisher, publisher_send_with, { EINVAL, EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_send, no room", full, publisher_send, { EINVAL, EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_loan_batch", matched_publisher, publisher_loan_batch, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_publish_batch", loaned, publisher_publish_batch, { EINVAL, EMSGSIZE, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_subscribers", news_of_subscriber, publisher_subscribers, NO_ERRORS },
	{ "zcp_publisher_wait", news_of_subscriber, publisher_wait, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_publisher_wait in vain", open_publisher, publisher_wait, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_publisher_close", matched_publisher, publisher_close, NO_ERRORS },
	{ "zcp_publisher_close with a loan", loaned, publisher_close, NO_ERRORS },
	{ "zcp_publisher_loan, larger", growing_publisher, publisher_loan_larger, GROWTH_ERRORS },
	{ "zcp_publisher_send, larger", growing_publisher, publisher_send_larger, GROWTH_ERRORS },
	{ "zcp_publisher_send, larger given back", grown_once, publisher_shrink, { EMSGSIZE, ENOBUFS, EAGAIN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_publisher_close with a larger loan", grown, publisher_close, NO_ERRORS },
	{ "a larger message comes", growing_writer, larger_message_comes, { ETIMEDOUT, EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_open", open_node, do_subscriber_open, ENDPOINT_ERRORS },
	{ "zcp_subscriber_open, publisher there", NULL, do_subscriber_open, ENDPOINT_ERRORS },
	{ "zcp_subscriber_take", sent, subscriber_take, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_take until empty", sent, subscriber_take_all, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_take until empty, by descriptor", fd_mode, subscriber_take_all, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_take_batch", sent, subscriber_take_batch, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_sample_release", taken, sample_release, NO_ERRORS },
	{ "zcp_sample_release_batch", taken, sample_release_batch, NO_ERRORS },
	{ "zcp_sample_release_batch, the last of a node", node_of_samples, sample_release_batch, NO_ERRORS },
	{ "zcp_sample_copy", taken, sample_copy, NO_ERRORS },
	{ "zcp_subscriber_wait", sent, subscriber_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_wait in vain", open_subscriber, subscriber_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_subscriber_fd", sent, subscriber_fd, NO_ERRORS },
	{ "zcp_subscriber_stats", sent, subscriber_stats, NO_ERRORS },
	{ "zcp_subscriber_stats, publisher gone", publisher_left, subscriber_stats, NO_ERRORS },
	{ "zcp_subscriber_close", sent, do_subscriber_close, NO_ERRORS },
	{ "zcp_subscriber_close with samples", taken, do_subscriber_close, NO_ERRORS },
	{ "a publisher comes", subscriber_and_other, writer_comes, NO_ERRORS },
	{ "a publisher goes", matched_subscriber, writer_goes, { ETIMEDOUT } },
	{ "a subscriber comes", publisher_and_other, reader_comes, { ETIMEDOUT, ENOTCONN } },
	{ "a subscriber goes", matched_publisher, reader_goes, NO_ERRORS },
	{ "zcp_server_open", open_both_nodes, open_server_here, SERVER_ERRORS },
	{ "zcp_server_open, client there", client_there, server_open, SERVER_ERRORS },
	{ "zcp_client_open", open_both_nodes, client_open, ENDPOINT_ERRORS },
	{ "zcp_client_send", connected_client, client_send, SEND_ERRORS },
	{ "zcp_client_send_loan", connected_client, client_loan_and_send, SEND_ERRORS },
	{ "zcp_client_call", connected_client, client_call, { ETIMEDOUT, EPIPE, ENODATA, ENOTCONN, EMSGSIZE, ENOBUFS, EAGAIN, EOWNERDEAD } },
	{ "zcp_client_take", answered, client_take, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_client_wait", answered, client_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_client_wait in vain", connected_client, client_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_client_connect", connected_client, client_connect, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_client_fd", connected_client, calls_fd, NO_ERRORS },
	{ "zcp_client_close", answered, client_close, NO_ERRORS },
	{ "zcp_node_close with a client", answered, node_close, NO_ERRORS },
	{ "zcp_server_take", asked, server_take, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_server_wait", asked, server_wait, { ETIMEDOUT, ENOBUFS, EOWNERDEAD } },
	{ "zcp_server_fd", asked, calls_fd, NO_ERRORS },
	{ "zcp_request_reply", request_taken, request_reply, REPLY_ERRORS },
	{ "zcp_request_send", request_taken, request_loan_and_send, REPLY_ERRORS },
	{ "zcp_request_release", request_taken, request_release, NO_ERRORS },
	{ "zcp_server_close", request_taken, server_close, NO_ERRORS },
	{ "zcp_node_close with a server", asked, node_close, NO_ERRORS },
	{ "a client comes", server_alone, peer_comes, NO_ERRORS },
	{ "a client goes", connected_server, peer_goes, NO_ERRORS },
	{ "a server comes", client_alone, peer_comes, NO_ERRORS },
	{ "a server goes", connected_client, peer_goes, NO_ERRORS },
	{ "zcp_watch_open", open_subscriber, watch_open, { EINVAL, EDQUOT, ENOMEM, EMFILE, ENOTCONN, ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_watch_take", watching, watch_take, { EAGAIN, EOWNERDEAD } },
	{ "zcp_watch_wait", watching, watch_wait, { ETIMEDOUT, ENOTCONN, EOWNERDEAD } },
	{ "zcp_watch_fd", watching, watch_fd, NO_ERRORS },
	{ "zcp_watch_close", watching, watch_close, NO_ERRORS },
	{ "zcp_notifier_open", open_both_nodes, open_notifier_here, ENDPOINT_ERRORS },
	{ "zcp_notifier_open, listener there", listener_there, notifier_open, ENDPOINT_ERRORS },
	{ "zcp_listener_open", open_both_nodes, listener_open, ENDPOINT_ERRORS },
	{ "zcp_listener_open, notifier there", notifier_there, listener_open, ENDPOINT_ERRORS },
	{ "zcp_notifier_notify", connected_notifier, notifier_notify, { EOWNERDEAD } },
	{ "zcp_listener_take", notified, listener_take, { EAGAIN, EOWNERDEAD } },
	{ "zcp_listener_wait", notified, listener_wait, { ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_listener_wait in vain", connected_listener, listener_wait, { ETIMEDOUT, EOWNERDEAD } },
	{ "zcp_listener_fd", notified, listener_fd, NO_ERRORS },
	{ "zcp_notifier_close", connected_notifier, notifier_close, NO_ERRORS },
	{ "zcp_listener_close", notified, listener_close, NO_ERRORS },
	{ "a listener comes", notifier_alone, other_end_comes, NO_ERRORS },
	{ "a notifier comes", listener_alone, other_end_comes, NO_ERRORS },
	{ "zcp_subscriber_latest", matched_subscriber, subscriber_latest, { EAGAIN, ENOBUFS, EOWNERDEAD } },
	{ "zcp_node_offer_fd", open_node, offer_fd, { ENOMEM, EMFILE } },
	{ "zcp_node_take_fd", offered, take_fd, { ENOENT, ETIMEDOUT, EBUSY, EDQUOT, ENOTCONN, EMFILE, ENOMEM, EOWNERDEAD } },
	{ "a descriptor is wanted", offering, node_is_asked, NO_ERRORS },
	{ "zcp_waitset_open", open_subscriber, waitset_open, { EINVAL, EMFILE, ENOSPC, ENOMEM } },
	{ "zcp_waitset_add_subscriber", beside_waitset, waitset_add_subscriber, ADD_ERRORS },
	{ "zcp_waitset_add_watch", beside_waitset, waitset_add_watch, ADD_ERRORS },
	{ "zcp_waitset_add_node", beside_waitset, waitset_add_node, { EINVAL, EEXIST, EBUSY, ENOSPC, ENOMEM, EOWNERDEAD, EMFILE } },
	{ "zcp_waitset_add_fd", beside_waitset, waitset_add_fd,
	  { EINVAL, EBADF, EPERM, ELOOP, EEXIST, ENOSPC, ENOMEM, EOWNERDEAD, EMFILE } },
	{ "zcp_waitset_add_timer", beside_waitset, waitset_add_timer, { EINVAL, EMFILE, ENOSPC, ENOMEM, EOWNERDEAD } },
	{ "zcp_waitset_wait", with_members, waitset_wait, { ETIMEDOUT, ENOMEM, EOWNERDEAD } },
	{ "zcp_waitset_fd", with_members, waitset_fd, { ETIMEDOUT, ENOMEM, EOWNERDEAD } },
	{ "zcp_waitset_remove_*", with_members, waitset_remove, { ENOENT, EOWNERDEAD } },
	{ "zcp_waitset_remove_fd", with_fd, waitset_remove_fd, { ENOENT, EOWNERDEAD } },
	{ "zcp_waitset_close", with_members, waitset_close, NO_ERRORS },
	{ "zcp_waitset_wait, a member closed", with_members, waitset_member_close, { EBADF } },
};
#define N_SCENARIOS ((int)(sizeof(scenarios) / sizeof(scenarios[0])))

/* ---- what must hold afterwards ----------------------------------------------------------------------------------- */

/* A failure in words: which scenario, which fault, which N. */

static void check_result(const struct scenario *scenario, int r)
{
	const char *sentence = zcp_last_error();
	bool documented = false;

	if (r >= 0)
		return;
	for (int i = 0; i < 16 && scenario->errors[i]; i++)
		documented |= scenario->errors[i] == -r;
	ck_assert_msg(documented, "%s: undocumented error %d (%s): %s", where, r, strerrorname_np(-r), sentence);
	ck_assert_msg(*sentence && !strchr(sentence, '\n'), "%s: error %d without a sentence: '%s'", where, r, sentence);
}

/* The node works, or says at once that it is not connected. */
static void check_node(struct world *w)
{
	static const struct zcp_topic probe = { "probe", "probe", "probe" };
	zcp_publisher *publisher;
	int r;

	if (!w->node)
		return;
	r = zcp_node_wait(w->node, 10 * SECOND);
	if (r == 0)
		r = zcp_publisher_open(&publisher, w->node, &probe, NULL);
	ck_assert_msg(r == 0 || r == -ENOTCONN, "%s: afterwards: %d: %s", where, r, zcp_last_error());
	if (r == 0)
		zcp_publisher_close(publisher);
}

#define N_EXCHANGED 10
#define EXCHANGED_BYTES 17	/* no other message is that long */

/* The number of messages taken that are part of the exchange. */
static int drain(zcp_subscriber *s)
{
	struct zcp_sample sample;
	int n = 0;

	while (zcp_subscriber_take(s, &sample) == 0) {
		if (sample.size == EXCHANGED_BYTES) {
			lib_number(&sample);
			n++;
		}
		zcp_sample_release(&sample);
	}
	return n;
}

/*
 * Whatever became of the match: the publisher is not stuck, and if it says that the subscriber is connected, then
 * that gets every message.
 */
static void check_flow(struct world *w, zcp_publisher *p, zcp_subscriber *s)
{
	int64_t end = now_ns() + DEADLINE_MS * 1000000ll;
	int n_sent = 0, n_taken = 0;
	bool connected;

	if (!p || !s)
		return;
	dispatch(w);
	drain(s);
	connected = zcp_publisher_subscribers(p) > 0;
	while (n_sent < N_EXCHANGED || (connected && n_taken < N_EXCHANGED)) {
		int r = n_sent < N_EXCHANGED ? lib_send(p, (uint64_t)n_sent, EXCHANGED_BYTES) : -EAGAIN;

		ck_assert_msg(r >= 0 || r == -EAGAIN || r == -ETIMEDOUT, "%s: a send afterwards: %s", where, zcp_last_error());
		n_sent += r >= 0;
		n_taken += drain(s);
		dispatch(w);
		ck_assert_msg(now_ns() < end, "%s: afterwards %d messages were sent, %d arrived", where, n_sent, n_taken);
	}
}

static int count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, "memfd:zcp") != NULL;
	fclose(file);
	return n;
}

/* What this process has, and what the router has of others. */
struct state {
	int n_fds, n_mappings;
	int64_t n_live;
};

/*
 * With AddressSanitizer strdup() and its kin allocate behind our back, but it knows of leaks by itself. And it ends the process
 * when its own allocations at the start of a thread fail.
 */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
int __lsan_do_recoverable_leak_check(void);
#else
#define SANITIZED false
static int __lsan_do_recoverable_leak_check(void)
{
	return 0;
}
#endif

static struct state state_now(void)
{
	struct state s = { .n_fds = count_fds(), .n_mappings = count_mappings() };

#ifndef __SANITIZE_ADDRESS__
	s.n_live = atomic_load(&inject->n_live);
#endif
	return s;
}

/* The router's own node, which stays for some seconds when it was used: it and its endpoints do not count. */
static bool is_relay(uint32_t row, uint32_t *n_endpoints)
{
	struct directory_node node;

	if (directory_read_node(&observer->directory, row, &node) != 1 || strcmp(node.name, "zcp-relay"))
		return false;
	*n_endpoints += node.n_endpoints;
	return true;
}

static bool router_has(uint32_t n_nodes, uint32_t n_endpoints)
{
	const struct directory_header *d = observer->directory.header;

	for (uint32_t row = 0; row < 4; row++)
		n_nodes += is_relay(row, &n_endpoints);
	return atomic_load(&d->n_nodes) == n_nodes && atomic_load(&d->n_endpoints) == n_endpoints && atomic_load(&d->n_matches) == 0;
}

static void check_state(const struct state *before)
{
	struct state after = state_now();

	ck_assert_msg(after.n_fds == before->n_fds, "%s: %d descriptors before, %d after", where, before->n_fds, after.n_fds);
	ck_assert_msg(after.n_mappings == before->n_mappings, "%s: %d segments mapped before, %d after", where, before->n_mappings,
		      after.n_mappings);
	ck_assert_msg(after.n_live == before->n_live, "%s: %lld heap blocks before, %lld after", where, (long long)before->n_live,
		      (long long)after.n_live);
	ck_assert_msg(wait_until(router_has(1, 0), DEADLINE_MS), "%s: the router still has %u nodes, %u endpoints, %u matches", where,
		      atomic_load(&observer->directory.header->n_nodes) - 1, atomic_load(&observer->directory.header->n_endpoints),
		      atomic_load(&observer->directory.header->n_matches));
	ck_assert_msg(kill(lib_router, 0) == 0, "%s: the router has ended", where);
}

/* ---- the loops --------------------------------------------------------------------------------------------------- */

/* The two that need the peer before the node. */
static void prepare(struct world *w, const struct scenario *scenario)
{
	if (scenario->prepare) {
		scenario->prepare(w);
	} else if (scenario->call == publisher_open) {
		open_other_subscriber(w);
		open_node(w);
	} else if (scenario->call == do_subscriber_open) {
		open_other_publisher(w);
		open_node(w);
	}
}

/* One world with one fault; how often it was injected. */
static uint32_t run(const struct scenario *scenario, bool no_thread, const struct fault *fault, uint32_t nth, bool sticky,
		    enum inject_scope scope)
{
	struct world w = { .no_thread = no_thread };
	struct state before = state_now();
	uint32_t fired;
	int r;

	snprintf(where, sizeof(where), "%s (%s), %s %u%s in %s", scenario->name, no_thread ? "no_thread" : "thread", fault->name, nth,
		 sticky ? " and on" : "", scope == SCOPE_CALLER ? "the caller" : "the node's thread");
	prepare(&w, scenario);
	inject_arm(inject, fault, nth, sticky, scope, (uint64_t)(uintptr_t)pthread_self());
	r = scenario->call(&w);
	fired = inject_disarm(inject);
	check_result(scenario, r);
	check_node(&w);
	check_flow(&w, w.publisher, w.other_subscriber);
	check_flow(&w, w.other_publisher, w.subscriber);
	check_calls(&w);
	check_events(&w);
	close_world(&w);
	check_state(&before);
	return fired;
}

/* Sparse where it takes long: every N up to 12, then ever fewer. */
static uint32_t next(uint32_t n)
{
	const char *how = getenv("ZCP_FAULTS");

	if (how && !strcmp(how, "few"))
		return n * 2;
	return n < 12 || (how && !strcmp(how, "all")) ? n + 1 : n + n / 4;
}

static void loop(const struct scenario *scenario, bool no_thread, size_t i, bool sticky, enum inject_scope scope)
{
	uint32_t fired = 1;

	for (uint32_t n = 1; fired; n = next(n)) {
		ck_assert_msg(n < 2000, "%s: no end", where);
		fired = run(scenario, no_thread, &faults[i].fault, n, sticky, scope);
		atomic_fetch_add(&n_fired[i], fired);
	}
}

/* Argument: a scenario, twice; with and without the thread. */
START_TEST(fault_loop)
{
	const struct scenario *scenario = &scenarios[_i / 2];
	bool no_thread = _i % 2;
	const char *only = getenv("ZCP_FAULTS_ONLY");

	if (only && strcmp(only, scenario->name) != 0)
		return;
	lib_router_start();
	observer = NULL;
	{
		struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = true, .unmonitored = true };

		ok(zcp_node_open(&observer, "observer", &options));
	}
	/* untouched, and what is allocated once is */
	for (int i = 0; i < 2; i++) {
		struct world w = { .no_thread = no_thread };

		prepare(&w, scenario);
		scenario->call(&w);
		check_node(&w);
		close_world(&w);
		ck_assert_within(router_has(1, 0), DEADLINE_MS);
		state_now();
	}
	for (size_t i = 0; i < N_FAULTS; i++) {
		for (int sticky = 0; sticky <= faults[i].sticky; sticky++) {
			loop(scenario, no_thread, i, sticky, SCOPE_CALLER);
			if (!no_thread && !(SANITIZED && faults[i].fault.call == CALL_ALLOC))
				loop(scenario, no_thread, i, sticky, SCOPE_OTHERS);
		}
	}
	zcp_node_close(observer);
	lib_router_stop(SIGTERM);
	ck_assert_msg(__lsan_do_recoverable_leak_check() == 0, "%s: memory has leaked, see stderr", scenario->name);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lib-faults");
	TCase *t = add_test_case(s, "faults", 300);

	tcase_add_loop_test(t, fault_loop, 0, 2 * N_SCENARIOS);
	return s;
}

/* A fault that was never injected anywhere says that this suite looks past something. */
static int check_coverage(void)
{
	int r = EXIT_SUCCESS;

	for (size_t i = 0; i < N_FAULTS; i++) {
		printf("%6u x %s\n", atomic_load(&n_fired[i]), faults[i].fault.name);
		if (!atomic_load(&n_fired[i]))
			r = EXIT_FAILURE;
	}
	return r;
}

int main(void)
{
	int r;

	n_fired = mmap(NULL, sizeof(*n_fired) * N_FAULTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (n_fired == MAP_FAILED)
		return EXIT_FAILURE;
	if (SANITIZED)
		note_skip("malloc ENOMEM in the node's thread", "AddressSanitizer does not survive that");
	r = run_suite(suite());
	return check_coverage() == EXIT_SUCCESS || getenv("CK_RUN_CASE") ? r : EXIT_FAILURE;
}
