/* SPDX-License-Identifier: MIT */
/*
 * relay.c - the publisher of those that have none
 *
 * See relay.h. Below the two queues everything is the relay's own thread. Nothing that one topic's subscribers do may hold up
 * another topic: publishers are lossy, and a subscriber that was there before the publisher, which gets the message in any
 * case, is waited for only in order to be counted. Such a job stays with its route meanwhile, and the next one goes on. The one
 * thing that blocks is opening a publisher, which waits for nobody but the router.
 */
#include "router/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/fd.h"
#include "lib/doorbell.h"
#include "lib/error.h"
#include "lib/node.h"
#include "lib/publisher.h"
#include "router/table.h"

#define ROUTE_DEPTH 32u
#define ROUTE_HELD 1024u

/* A topic that was used lately. */
struct route {
	struct route *prev, *next;	/* the one that was used last is first */
	struct wire_topic topic;
	zcp_publisher *publisher;
	uint64_t used_ns;
	bool gave_up;			/* one of those that were expected does not come: no job waits for them any more */
	struct relay_job *waiting;	/* published, not counted yet */
	uint64_t deadline_ns;		/* until which they wait */
};

struct relay {
	pthread_t thread;
	int socket;			/* the node's, until it has it */
	int hang_up;			/* another descriptor of the same connection: shut down, it ends whatever the thread waits for */
	int wake, done;			/* eventfds: look at `jobs` or `stopping`; look at `answered` or `ended` */
	pthread_mutex_t lock;
	/* under lock */
	struct relay_job *jobs, *answered;
	bool stopping, ended;
	/* the thread's */
	zcp_node *node;
	struct route *routes;
	unsigned int n_routes;
	uint64_t used_ns;
};

/* --- the loop's side ------------------------------------------------------------------------------ */

static struct relay *discard(struct relay *relay)
{
	fd_close(relay->socket);
	fd_close(relay->hang_up);
	fd_close(relay->wake);
	fd_close(relay->done);
	pthread_mutex_destroy(&relay->lock);
	free(relay);
	return NULL;
}

int relay_fd(const struct relay *relay)
{
	return relay->done;
}

bool relay_push(struct relay *relay, struct relay_job *job)
{
	bool taken;

	pthread_mutex_lock(&relay->lock);
	taken = !relay->ended;
	if (taken)
		DL_APPEND(relay->jobs, job);
	pthread_mutex_unlock(&relay->lock);
	doorbell_ring(relay->wake);
	return taken;
}

struct relay_job *relay_pop(struct relay *relay, bool *ended)
{
	struct relay_job *job;

	pthread_mutex_lock(&relay->lock);
	job = relay->answered;
	if (job)
		DL_DELETE(relay->answered, job);
	else
		doorbell_silence(relay->done);
	*ended = !job && relay->ended;
	pthread_mutex_unlock(&relay->lock);
	return job;
}

struct relay_job *relay_stop(struct relay *relay)
{
	struct relay_job *left;
	bool ended;

	if (!relay)
		return NULL;
	pthread_mutex_lock(&relay->lock);
	relay->stopping = true;
	ended = relay->ended;
	pthread_mutex_unlock(&relay->lock);
	doorbell_ring(relay->wake);
	/* one that has ended by itself waits for nothing, and says goodbye; the other one may be waiting for an answer of ours */
	if (!ended)
		shutdown(relay->hang_up, SHUT_RDWR);
	pthread_join(relay->thread, NULL);
	left = relay->jobs;
	DL_CONCAT(left, relay->answered);
	discard(relay);
	return left;
}

/* --- answers -------------------------------------------------------------------------------------- */

/* @result: of the library's call that was the last one, if it failed. */
static void answer(struct relay *relay, struct relay_job *job, int result)
{
	size_t n = result < 0 ? strnlen(zcp_last_error(), sizeof(job->text) - 1) : 0;

	job->result = result;
	memcpy(job->text, zcp_last_error(), n);
	job->text[n] = 0;
	pthread_mutex_lock(&relay->lock);
	DL_APPEND(relay->answered, job);
	pthread_mutex_unlock(&relay->lock);
	doorbell_ring(relay->done);
}

/* --- who was reached ------------------------------------------------------------------------------ */

/* Subscribers that are on their way, from before the publisher; it has looked at its news. */
static bool expects(const struct route *route)
{
	return route->publisher->writer.n_expected && !route->gave_up;
}

/* Those of them that have come so far. Some have left again: who waits for one message goes when he has it. */
static uint32_t n_chosen(const struct route *route)
{
	const struct endpoint *endpoint = &route->publisher->endpoint;
	uint32_t n;

	pthread_mutex_lock(&endpoint->node->lock);
	n = endpoint->n_chosen;
	pthread_mutex_unlock(&endpoint->node->lock);
	return n;
}

static void answer_waiting(struct relay *relay, struct route *route)
{
	while (route->waiting) {
		struct relay_job *job = route->waiting;

		DL_DELETE(route->waiting, job);
		answer(relay, job, job->n_connected + (int)(n_chosen(route) - job->n_before));
	}
}

static void count(struct relay *relay, struct route *route, uint64_t now_ns)
{
	if (!route->waiting)
		return;
	zcp_publisher_subscribers(route->publisher);
	if (now_ns >= route->deadline_ns)
		route->gave_up = expects(route);
	if (!expects(route))
		answer_waiting(relay, route);
}

/* --- routes --------------------------------------------------------------------------------------- */

static void close_route(struct relay *relay, struct route *route)
{
	answer_waiting(relay, route);
	zcp_publisher_close(route->publisher);
	DL_DELETE(relay->routes, route);
	relay->n_routes--;
	free(route);
}

/* What we keep for later is given up. False: there is nothing. */
static bool close_oldest(struct relay *relay)
{
	if (!relay->routes)
		return false;
	close_route(relay, relay->routes->prev);
	return true;
}

static int open_route(struct relay *relay, struct route **routep, const struct wire_topic *topic)
{
	const struct zcp_topic name = { topic->service, topic->instance, topic->event };
	const struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = WIRE_SEND_MAX,
		.depth = ROUTE_DEPTH,
		.max_loans = 1,
		/* memory that is not used costs nothing, but a subscriber that finds no room for what it may hold cannot open */
		.max_held = ROUTE_HELD,
	};
	struct route *route = calloc(1, sizeof(*route));
	int r;

	if (!route)
		return -ENOMEM;
	if (relay->n_routes == RELAY_ROUTES_MAX)
		close_oldest(relay);
	do {
		r = zcp_publisher_open(&route->publisher, relay->node, &name, &options);
	} while ((r == -EDQUOT || r == -ENOSPC || r == -EMFILE) && close_oldest(relay));
	if (r < 0) {
		free(route);
		return r;
	}
	route->topic = *topic;
	DL_PREPEND(relay->routes, route);
	relay->n_routes++;
	*routep = route;
	return 0;
}

static int find_route(struct relay *relay, struct route **routep, const struct wire_topic *topic)
{
	struct route *route;

	DL_FOREACH(relay->routes, route) {
		if (memcmp(&route->topic, topic, sizeof(*topic)))
			continue;
		DL_DELETE(relay->routes, route);
		DL_PREPEND(relay->routes, route);
		*routep = route;
		return 0;
	}
	return open_route(relay, routep, topic);
}

/* --- publishing ----------------------------------------------------------------------------------- */

/* Publishing counts the subscribers that are connected. Those that are expected are counted when it is known who has come. */
static int publish(struct relay *relay, struct route **routep, struct relay_job *job)
{
	zcp_publisher *publisher;
	int r;

	r = find_route(relay, routep, &job->topic);
	if (r < 0)
		return r;
	publisher = (*routep)->publisher;
	zcp_publisher_subscribers(publisher);
	job->n_before = n_chosen(*routep);
	r = zcp_publisher_send(publisher, job->payload, job->size);
	job->n_connected = r;
	return r;
}

static void serve(struct relay *relay, struct relay_job *job)
{
	struct route *route;
	int r;

	/* the router gave us the job when it had told us of all subscribers that were there before it */
	while (zcp_node_dispatch(relay->node) > 0)
		;
	r = publish(relay, &route, job);
	relay->used_ns = clock_now_ns();
	if (r < 0) {
		answer(relay, job, r);
		return;
	}
	route->used_ns = relay->used_ns;
	if (!route->waiting)
		route->deadline_ns = relay->used_ns + RELAY_PATIENCE_NS;
	DL_APPEND(route->waiting, job);
	count(relay, route, relay->used_ns);
}

/* --- the thread ----------------------------------------------------------------------------------- */

/* When there is something to do even if nothing comes. */
static uint64_t due(const struct relay *relay)
{
	uint64_t due_ns = relay->used_ns + RELAY_IDLE_NS;
	const struct route *route;

	DL_FOREACH(relay->routes, route) {
		if (route->waiting && route->deadline_ns < due_ns)
			due_ns = route->deadline_ns;
		if (route->used_ns + RELAY_IDLE_NS < due_ns)
			due_ns = route->used_ns + RELAY_IDLE_NS;
	}
	return due_ns;
}

static void look_at_routes(struct relay *relay, uint64_t now_ns)
{
	struct route *route, *next;

	DL_FOREACH_SAFE(relay->routes, route, next) {
		count(relay, route, now_ns);
		if (now_ns >= route->used_ns + RELAY_IDLE_NS)
			close_route(relay, route);
	}
}

static void wait_for_work(struct relay *relay)
{
	uint64_t due_ns = due(relay), now_ns = clock_now_ns();
	struct pollfd p[2] = {
		{ .fd = relay->wake, .events = POLLIN },
		{ .fd = zcp_node_fd(relay->node), .events = POLLIN },
	};

	poll(p, 2, due_ns > now_ns ? (int)((due_ns - now_ns) / 1000000) + 1 : 0);
	if (p[0].revents)
		doorbell_silence(relay->wake);
	if (p[1].revents)
		zcp_node_dispatch(relay->node);
}

static struct relay_job *take_job(struct relay *relay)
{
	struct relay_job *job;

	pthread_mutex_lock(&relay->lock);
	job = relay->stopping ? NULL : relay->jobs;
	if (job)
		DL_DELETE(relay->jobs, job);
	pthread_mutex_unlock(&relay->lock);
	return job;
}

/* Nothing to do for so long, and nothing has come at the last moment; or the loop wants us to end. From here on no job is taken. */
static bool is_over(struct relay *relay, bool idle)
{
	bool over;

	pthread_mutex_lock(&relay->lock);
	over = relay->stopping || (idle && !relay->jobs);
	relay->ended = over;
	pthread_mutex_unlock(&relay->lock);
	return over;
}

static void work(struct relay *relay)
{
	struct relay_job *job;

	relay->used_ns = clock_now_ns();
	do {
		wait_for_work(relay);
		while ((job = take_job(relay)))
			serve(relay, job);
		look_at_routes(relay, clock_now_ns());
		if (!node_is_joined(relay->node))
			return;
	} while (!is_over(relay, clock_now_ns() >= relay->used_ns + RELAY_IDLE_NS));
}

/* What is in the queue is refused with what the library said last. No further job is taken. */
static void refuse_all(struct relay *relay, int error)
{
	struct relay_job *job;

	while (!is_over(relay, true)) {
		while ((job = take_job(relay)))
			answer(relay, job, error);
	}
}

static void *run_thread(void *argument)
{
	const struct zcp_node_options options = { .sz = sizeof(options), .no_thread = true, .unmonitored = true };
	struct relay *relay = argument;
	int r;

	pthread_setname_np(pthread_self(), "zcp-relay");
	r = node_open_on(&relay->node, "zcp-relay", &options, fd_take(&relay->socket));
	if (r == 0) {
		work(relay);
		while (close_oldest(relay))
			;
		r = error_note(-ENOTCONN, "the router has disconnected its relay; try again");
	}
	refuse_all(relay, r);
	zcp_node_close(relay->node);
	doorbell_ring(relay->done);
	return NULL;
}

static int start_thread(struct relay *relay)
{
	sigset_t all, saved;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = -pthread_create(&relay->thread, NULL, run_thread, relay);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return r;
}

int relay_start(struct relay **relayp, int socket)
{
	_cleanup_fd_ int connection = socket;
	struct relay *relay = calloc(1, sizeof(*relay));
	int r = 0;

	if (!relay)
		return -ENOMEM;
	pthread_mutex_init(&relay->lock, NULL);
	relay->socket = fd_take(&connection);
	relay->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->hang_up = fcntl(relay->socket, F_DUPFD_CLOEXEC, 0);
	if (relay->wake < 0 || relay->done < 0 || relay->hang_up < 0)
		r = -errno;
	if (r == 0)
		r = start_thread(relay);
	if (r < 0) {
		discard(relay);
		return r;
	}
	*relayp = relay;
	return 0;
}
