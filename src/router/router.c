/* SPDX-License-Identifier: MIT */
/*
 * router.c - building the daemon, the loop's events, the heartbeat scan
 *
 * See router.h. The scan looks only whether a node's heartbeat value changes, on the router's own
 * clock: a client's clock may be shifted by a time namespace, and its timestamps are its own
 * claims. After the router itself was stalled everybody gets a full grace period. While a detector
 * that knows better says that the process lives, a stale heartbeat marks the node and takes nothing
 * away, unless the configuration says otherwise.
 */

#include "router/router.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/probe.h"
#include "router/log.h"
#include "router/claim.h"
#include "router/match.h"
#include "router/watch.h"

#define FDS_OF_OUR_OWN 24u

/* --- retiring ------------------------------------------------------------------------------------- */

void router_retire_node(struct router *router, struct node *node, const struct departure *why)
{
	struct endpoint *endpoint;
	uint64_t id;

	PROBE(zcp_router, retire, node->id, (uint64_t)node->pid, (uint64_t)why->cause, (int64_t)why->exit.status);
	watch_forget(router, node);
	send_forget(node);
	watch_node_vanished(router, node, why);
	while ((endpoint = node->endpoints)) {
		match_leave(router, endpoint, why);
		claim_forget(router, endpoint);
		registry_free_endpoint(&router->registry, endpoint);
	}
	if (why->cause == WIRE_CAUSE_DIED)
		view_count_death(&router->view);
	id = node->id;
	node->peer->node = NULL;
	registry_free_node(&router->registry, node);
	claim_node_is_gone(router, id, why);
}

static int on_settle(void *context)
{
	struct router *router = context;
	struct peer *peer;

	while ((peer = router->doomed)) {
		router->doomed = peer->doomed_next;
		peer_disconnect(peer, peer->doom_cause, 0, NULL);
	}
	watch_pump(router);
	send_settle(router);
	return 0;
}

/* --- the heartbeat scan --------------------------------------------------------------------------- */

static void mark(struct router *router, struct node *node, bool unresponsive)
{
	char name[160];

	node->unresponsive = unresponsive;
	view_put_node(&router->view, node);
	watch_node_responds(router, node, !unresponsive);
	if (unresponsive)
		log_peer("%s is unresponsive: no heartbeat for %u ms", peer_name(node->peer, name), router->options.timeout_ms);
	else
		log_peer("%s is responsive again", peer_name(node->peer, name));
}

static void evict(struct router *router, struct node *node, bool vouched)
{
	struct peer *peer = node->peer;
	struct refusal refusal;
	char name[160];

	refuse(&refusal, -ETIMEDOUT, "no heartbeat for %u ms: %s", router->options.timeout_ms,
	       vouched ? "the process was stopped or starved, and zcp-router runs with --evict-unresponsive" :
			 "and the router has no other way (eBPF, pidfd) to see whether the process lives");
	log_peer("%s is evicted: %s", peer_name(peer, name), refusal.text);
	view_count_eviction(&router->view);
	peer_disconnect(peer, WIRE_CAUSE_EVICTED, 0, &refusal);
}

/* What a silence means depends on who else watches over the process. */
static void silent(struct router *router, struct node *node)
{
	bool vouched = detector_vouches(&router->detector, node->peer);

	if (!vouched && node->peer->ended_ns)
		peer_silent(node->peer);
	else if (!vouched || router->options.evict_unresponsive)
		evict(router, node, vouched);
	else if (!node->unresponsive)
		mark(router, node, true);
}

/* So that the directory need not be written at each scan, it says only of those that do not beat since when. */
static void set_silent(struct router *router, struct node *node, bool silent)
{
	if (node->silent == silent)
		return;
	node->silent = silent;
	view_put_node(&router->view, node);
}

static void scan_node(struct router *router, struct node *node, uint64_t now_ns, bool grace)
{
	uint64_t heartbeat, silence_ns;

	if (!node->page_map || node->unmonitored)
		return;
	heartbeat = atomic_load_explicit(&node->page_map->heartbeat_ns, memory_order_relaxed);
	if (heartbeat != node->heartbeat) {
		node->heartbeat = heartbeat;
		node->heartbeat_changed_ns = now_ns;
		if (node->unresponsive)
			mark(router, node, false);
		set_silent(router, node, false);
		return;
	}
	if (grace) {
		node->heartbeat_changed_ns = now_ns;
		set_silent(router, node, false);
		return;
	}
	silence_ns = now_ns > node->heartbeat_changed_ns ? now_ns - node->heartbeat_changed_ns : 0;
	if (silence_ns >= ROUTER_SILENCE_NS)
		set_silent(router, node, true);
	if (silence_ns >= (uint64_t)router->options.timeout_ms * 1000000)
		silent(router, node);
}

static void check_idle(struct router *router, uint64_t now_ns)
{
	if (router->n_peers > router->n_own_peers || !router->idle_since_ns)
		router->idle_since_ns = now_ns;
	if (!router->options.exit_when_idle || now_ns - router->idle_since_ns < router->options.idle_ns)
		return;
	log_note("idle, leaving");
	loop_stop(router->loop);
}

/* Whoever was late by a good part of what is asked of others cannot judge them. */
static bool was_stalled(const struct router *router, uint64_t now_ns)
{
	uint64_t third_ns = (uint64_t)router->options.timeout_ms * 1000000 / 3;
	uint64_t normal_ns = (uint64_t)router->options.scan_ms * 1000000 + (third_ns < ROUTER_STALL_NS ? third_ns : ROUTER_STALL_NS);

	return router->last_tick_ns && now_ns - router->last_tick_ns > normal_ns;
}

static int on_tick(void *context, uint64_t now_ns)
{
	struct router *router = context;
	bool stalled = was_stalled(router, now_ns);
	struct peer *peer, *next;
	struct node *node, *next_node;

	if (stalled)
		log_note("was stalled for %llu ms", (unsigned long long)(now_ns - router->last_tick_ns) / 1000000);
	router->last_tick_ns = now_ns;
	service_feed_watchdog(router->service, now_ns);
	view_tick(&router->view, now_ns);
	detector_tick(&router->detector);
	if (router->detector.in_use & DIRECTORY_DETECTOR_HEARTBEAT)
		DL_FOREACH_SAFE(router->registry.nodes, node, next_node)
			scan_node(router, node, now_ns, stalled);
	DL_FOREACH_SAFE(router->peers, peer, next)
		peer_tick(peer, now_ns, stalled);
	claim_tick(router, now_ns, stalled);
	check_idle(router, now_ns);
	return 0;
}

/* --- events --------------------------------------------------------------------------------------- */

static struct peer *peer_of(struct loop_link *link)
{
	return (struct peer *)((char *)link - offsetof(struct peer, link));
}

static int on_accepted(void *context, int fd)
{
	struct router *router = context;

	if (!loop_is_stopping(router->loop))
		return peer_accept(router, fd);
	loop_hang_up(fd);
	return 0;
}

static void on_shed(void *context, int fd)
{
	struct router *router = context;
	struct refusal refusal;

	refuse(&refusal, -EMFILE, "the router has no free file descriptor: raise its RLIMIT_NOFILE (LimitNOFILE= of its unit)");
	peer_turn_away(router, fd, &refusal);
}

static int on_received(void *context, struct loop_link *link, const struct loop_received *received)
{
	(void)context;
	return peer_received(peer_of(link), received);
}

static int on_ended(void *context, struct loop_link *link, int error)
{
	(void)context;
	return peer_ended(peer_of(link), error);
}

static int on_sent(void *context, struct loop_link *link, int result)
{
	(void)context;
	return peer_sent(peer_of(link), result);
}

static int on_drained(void *context, struct loop_link *link)
{
	(void)context;
	return peer_drained(peer_of(link));
}

static int on_detached(void *context, struct loop_link *link)
{
	(void)context;
	return peer_detached(peer_of(link));
}

static int on_readable(void *context, struct loop_watch *watch)
{
	struct router *router = context;

	if (watch == &router->sends.watch)
		send_readable(router);
	else
		detector_readable(&router->detector, watch);
	return 0;
}

static int on_signal(void *context, int signal_number)
{
	struct router *router = context;

	log_note("leaving on %s", strsignal(signal_number));
	loop_stop(router->loop);
	return 0;
}

/*
 * When the loop is asked to stop, everybody is disconnected; it runs on until the last one is.
 * Nobody hears that others are gone: they are not, and all will meet again at the next router.
 */
static int on_stopping(void *context)
{
	struct router *router = context;
	struct peer *peer;

	DL_FOREACH(router->peers, peer)
		peer_abandon(peer);
	DL_FOREACH(router->peers, peer)
		peer_retire_quietly(peer);
	return 0;
}

static const struct loop_events events = {
	.accepted = on_accepted,
	.shed = on_shed,
	.received = on_received,
	.ended = on_ended,
	.sent = on_sent,
	.drained = on_drained,
	.detached = on_detached,
	.readable = on_readable,
	.tick = on_tick,
	.signalled = on_signal,
	.stopping = on_stopping,
	.settle = on_settle,
};

/* --- life ----------------------------------------------------------------------------------------- */

/* One user may have most of the descriptors, but not the last ones. */
static void set_limits(struct router *router)
{
	struct router_options *options = &router->options;
	struct rlimit limit = { .rlim_cur = 1024, .rlim_max = 1024 };
	uint64_t fds;

	getrlimit(RLIMIT_NOFILE, &limit);
	fds = limit.rlim_cur > 4 * FDS_OF_OUR_OWN ? limit.rlim_cur - FDS_OF_OUR_OWN : limit.rlim_cur;
	router->quota.limits[QUOTA_CONNECTIONS] = (uint64_t)options->max_nodes_per_uid + 16;
	router->quota.limits[QUOTA_NODES] = options->max_nodes_per_uid;
	router->quota.limits[QUOTA_BYTES] = options->max_bytes_per_uid;
	if (!options->max_fds_per_uid)
		options->max_fds_per_uid = fds - fds / 8 < UINT32_MAX ? (uint32_t)(fds - fds / 8) : UINT32_MAX;
	router->quota.limits[QUOTA_ENDPOINTS] = options->max_endpoints_per_uid;
	router->quota.limits[QUOTA_MATCHES] = options->max_matches_per_uid;
	/* each match is claimed by two ends */
	router->quota.limits[QUOTA_CLAIMS] = 2 * (uint64_t)options->max_matches_per_uid;
	router->quota.limits[QUOTA_FDS] = options->max_fds_per_uid;
	router->quota.limits[QUOTA_SENDS] = SEND_JOBS_PER_UID;
}

/* A watchdog may want to hear of us more often than there are heartbeats to be looked at. */
static uint64_t tick_ns(const struct router *router)
{
	uint64_t scan_ns = (uint64_t)router->options.scan_ms * 1000000, half_ns = router->service->watchdog_ns / 2;

	return half_ns && half_ns < scan_ns ? half_ns : scan_ns;
}

int router_open(struct router **routerp, const struct router_options *options, const char *socket_path, struct service *service)
{
	struct router *router = calloc(1, sizeof(*router));
	int r;

	if (!router) {
		log_error("out of memory");
		return -ENOMEM;
	}
	router->options = *options;
	router->service = service;
	router->view.reader_fd = -1;
	router->sends.watch.fd = -1;
	if (getrandom(&router->epoch, sizeof(router->epoch), GRND_NONBLOCK) != sizeof(router->epoch))
		router->epoch = clock_now_ns();
	set_limits(router);
	r = view_open(&router->view, &router->options, socket_path, router->epoch);
	if (r >= 0)
		r = loop_open(&router->loop, options->loop, tick_ns(router), &events, router);
	if (r < 0) {
		router_close(router);
		return r;
	}
	detector_open(&router->detector, router->loop, &router->view, options);
	view_set_loop(&router->view,
		      loop_kind(router->loop) == LOOP_URING ? DIRECTORY_LOOP_IO_URING : DIRECTORY_LOOP_EPOLL,
		      router->detector.in_use);
	registry_init(&router->registry, &router->view, &(struct registry_limits){ options->max_endpoints_per_node,
			options->max_fds_per_node, options->max_bytes_per_node });
	*routerp = router;
	return 0;
}

struct router *router_close(struct router *router)
{
	if (!router)
		return NULL;
	send_close(router);
	detector_close(&router->detector);
	loop_close(router->loop);
	view_close(&router->view);
	free(router);
	return NULL;
}

int router_run(struct router *router, int listen_fd)
{
	int r;

	router->last_tick_ns = router->idle_since_ns = clock_now_ns();
	loop_listen(router->loop, listen_fd);
	r = loop_run(router->loop);
	if (r < 0)
		log_error("the event loop failed: %s", strerror(-r));
	return r;
}
