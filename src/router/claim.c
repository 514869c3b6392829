/* SPDX-License-Identifier: MIT */
/* See claim.h. */

#include "router/claim.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "router/match.h"
#include "router/peer.h"
#include "router/pidfd.h"

#define RETURN_PATIENCE_NS 30000000000ull

static const struct departure died = { .cause = WIRE_CAUSE_DIED };
static const struct departure closed = { .cause = WIRE_CAUSE_CLOSED };
static const struct departure refused = { .cause = WIRE_CAUSE_REFUSED };

/* --- absentees ------------------------------------------------------------------------------------ */

static struct absentee *find_absentee(struct router *router, const struct claim *claim)
{
	struct absentee *a;

	DL_FOREACH(router->registry.absentees, a)
		if (a->node == claim->peer_node && a->user == claim->endpoint->node->user && a->process.pid == claim->process.pid &&
		    a->process.identity == claim->process.identity)
			return a;
	return NULL;
}

/* A pidfd of exactly that process; -ESRCH: it is dead; -1: it cannot be told. */
static int open_process(const struct wire_process *process)
{
	_cleanup_fd_ int fd = -1;

	if (!process->pid || !process->identity)
		return -1;
	fd = (int)syscall(SYS_pidfd_open, (pid_t)process->pid, 0);
	if (fd < 0)		/* EINVAL, in newer kernels ENOENT: the number is a thread's by now */
		return errno == ESRCH || errno == EINVAL || errno == ENOENT ? -ESRCH : -1;
	if (pidfd_identity(fd) != process->identity)
		return -ESRCH;		/* the number is somebody else's by now */
	return fd_take(&fd);
}

/* False: the process is dead. Out of memory or descriptors costs exactness, the deadline remains. */
static bool wait_for_process(struct router *router, struct claim *claim)
{
	struct absentee *a = find_absentee(router, claim);
	struct quota_user *user = claim->endpoint->node->user;
	struct refusal refusal;
	int fd;

	if (!a) {
		fd = open_process(&claim->process);
		if (fd == -ESRCH)
			return false;
		a = calloc(1, sizeof(*a));
		if (a && fd >= 0 && quota_charge(user, QUOTA_FDS, 1, &refusal))
			fd = fd_close(fd);
		if (!a) {
			fd_close(fd);
			return true;	/* waits for messages only */
		}
		a->node = claim->peer_node;
		a->process = claim->process;
		a->pidfd = fd;
		a->user = quota_ref(user);
		DL_APPEND(router->registry.absentees, a);
	}
	a->since_ns = clock_now_ns();
	a->n_claims++;
	claim->absentee = a;
	return true;
}

static void put_absentee(struct router *router, struct claim *claim)
{
	struct absentee *a = claim->absentee;

	claim->absentee = NULL;
	if (!a || --a->n_claims)
		return;
	if (a->pidfd >= 0) {
		fd_close(a->pidfd);
		quota_release(a->user, QUOTA_FDS, 1);
	}
	quota_put(a->user);
	DL_DELETE(router->registry.absentees, a);
	free(a);
}

/* --- claims --------------------------------------------------------------------------------------- */

static void drop(struct router *router, struct claim *claim)
{
	struct endpoint *endpoint = claim->endpoint;

	put_absentee(router, claim);
	DL_DELETE2(endpoint->claims, claim, endpoint_prev, endpoint_next);
	DL_DELETE(router->registry.claims, claim);
	endpoint->n_claims--;
	quota_release(endpoint->node->user, QUOTA_CLAIMS, 1);
	free(claim);
}

static void end(struct router *router, struct claim *claim, const struct departure *why)
{
	match_tell_gone(claim->endpoint, claim->id, why);
	drop(router, claim);
}

/* What is claimed is not so. */
static void turn_down(struct router *router, struct claim *claim)
{
	struct refusal refusal;

	refuse(&refusal, -EINVAL, "match %llu is not between endpoints %llu and %llu", (unsigned long long)claim->id,
	       (unsigned long long)claim->endpoint->id, (unsigned long long)claim->peer);
	view_count_refusal(&router->view);
	peer_trace_refusal(claim->endpoint->node->peer, &refusal);
	end(router, claim, &refused);
}

int claim_add(struct router *router, struct endpoint *endpoint, const struct wire_match_resume *resume, struct refusal *refusal)
{
	struct claim *claim;

	if (!resume->match || resume->match >= router->registry.next_match || !resume->peer || !resume->peer_node ||
	    resume->flags & ~(WIRE_MATCH_FROM_START | WIRE_MATCH_LOSSY) || resume->peer_process.reserved)
		return violate(refusal, -EPROTO, "MATCH_RESUME makes no sense");
	DL_FOREACH2(endpoint->claims, claim, endpoint_next)
		if (claim->id == resume->match)
			return violate(refusal, -EPROTO, "MATCH_RESUME claims match %llu twice", (unsigned long long)resume->match);
	if (quota_charge(endpoint->node->user, QUOTA_CLAIMS, 1, refusal))
		return VIOLATION;	/* with the text of the quota: those that follow would be out of order */
	claim = calloc(1, sizeof(*claim));
	if (!claim) {
		quota_release(endpoint->node->user, QUOTA_CLAIMS, 1);
		return violate(refusal, -ENOMEM, "the router is out of memory");
	}
	*claim = (struct claim){ .id = resume->match, .endpoint = endpoint, .peer = resume->peer, .peer_node = resume->peer_node,
				 .process = resume->peer_process, .lane = resume->lane, .flags = resume->flags };
	DL_APPEND2(endpoint->claims, claim, endpoint_prev, endpoint_next);
	DL_APPEND(router->registry.claims, claim);
	endpoint->n_claims++;
	return 0;
}

/* The claim of @other on the same match, whoever it says is the other end. */
static struct claim *find_namesake(const struct claim *claim, const struct endpoint *other)
{
	struct claim *namesake;

	DL_FOREACH2(other->claims, namesake, endpoint_next)
		if (namesake->id == claim->id)
			return namesake;
	return NULL;
}

/* Two routers ended soon after each other, and that the first match of the two is over was lost: the last one counts. */
static bool is_superseded(const struct claim *claim)
{
	const struct claim *other;

	DL_FOREACH2(claim->endpoint->claims, other, endpoint_next)
		if (other->peer == claim->peer && other->id > claim->id)
			return true;
	return false;
}

void claim_count_down(struct router *router, struct endpoint *publisher, uint32_t flags)
{
	if (!(flags & WIRE_MATCH_FROM_START) || !publisher->n_expected)
		return;
	if (!--publisher->n_expected)
		router->registry.n_expecting--;
}

/* Both ends are there: @claim of one, and @partner, the same of the other, or NULL. */
static void revive(struct router *router, struct claim *claim, struct claim *partner, struct endpoint *other)
{
	struct endpoint *endpoint = claim->endpoint;
	bool is_publisher = endpoint->kind == WIRE_PUBLISHER;
	struct endpoint *publisher = is_publisher ? endpoint : other, *subscriber = is_publisher ? other : endpoint;
	struct claim copy = *claim;
	struct refusal refusal;
	bool both = partner;
	int r = 0;

	if (partner && (partner->lane != copy.lane || partner->flags != copy.flags))
		r = refuse(&refusal, -EINVAL, "the ends of match %llu do not agree about it", (unsigned long long)copy.id);
	if (partner)
		drop(router, partner);
	drop(router, claim);
	if (!r)
		r = match_revive(router, publisher, subscriber, copy.id, copy.lane, copy.flags, !both, &refusal);
	if (!r) {
		if (!both)
			claim_count_down(router, publisher, copy.flags);
		return;
	}
	view_count_refusal(&router->view);
	peer_trace_refusal(endpoint->node->peer, &refusal);
	match_tell_gone(endpoint, copy.id, &refused);
	if (!both)
		return;
	peer_trace_refusal(other->node->peer, &refusal);
	match_tell_gone(other, copy.id, &refused);
}

/* What becomes of @claim as things are now. It may be gone afterwards, and its partner. */
static void settle(struct router *router, struct claim *claim)
{
	struct endpoint *endpoint = claim->endpoint, *other = registry_find_endpoint(&router->registry, claim->peer);
	struct claim *partner;
	struct node *node;

	if (other) {
		if (other->kind == endpoint->kind || other->topic != endpoint->topic || other->node->id != claim->peer_node) {
			turn_down(router, claim);
			return;
		}
		if (!other->ready)
			return;		/* it still says what it claims */
		partner = find_namesake(claim, other);
		if (partner && partner->peer != endpoint->id)
			turn_down(router, claim);	/* it is somebody else's, who must not suffer from this */
		else if (partner || (endpoint->kind == WIRE_SUBSCRIBER && !is_superseded(claim)))
			revive(router, claim, partner, other);
		else
			end(router, claim, &closed);
		return;
	}
	node = registry_find_node(&router->registry, claim->peer_node);
	if (node && !node->resuming)
		end(router, claim, &closed);
	else if (!node && !claim->absentee && !wait_for_process(router, claim))
		end(router, claim, &died);
}

void claim_settle(struct router *router, struct endpoint *endpoint)
{
	struct claim *claim, *next;

	/* Settling one may free others, never the one behind it on the same list but by reviving it. */
	DL_FOREACH_SAFE2(endpoint->claims, claim, next, endpoint_next)
		settle(router, claim);
again:
	DL_FOREACH(router->registry.claims, claim) {
		if (claim->peer != endpoint->id || !claim->endpoint->ready)
			continue;
		settle(router, claim);	/* both are there, so this ends it one way or the other */
		goto again;
	}
}

bool claim_is_between(const struct endpoint *endpoint, const struct endpoint *other)
{
	struct claim *claim;

	DL_FOREACH2(endpoint->claims, claim, endpoint_next)
		if (claim->peer == other->id)
			return true;
	DL_FOREACH2(other->claims, claim, endpoint_next)
		if (claim->peer == endpoint->id)
			return true;
	return false;
}

/* --- nodes ---------------------------------------------------------------------------------------- */

void claim_node_returns(struct router *router, const struct node *node)
{
	struct claim *claim;

	DL_FOREACH(router->registry.claims, claim)
		if (claim->peer_node == node->id)
			put_absentee(router, claim);
}

void claim_node_is_gone(struct router *router, uint64_t node, const struct departure *why)
{
	struct claim *claim, *next;

	DL_FOREACH_SAFE(router->registry.claims, claim, next)
		if (claim->peer_node == node && claim->endpoint->ready)
			end(router, claim, why);
}

void claim_forget(struct router *router, struct endpoint *endpoint)
{
	while (endpoint->claims)
		drop(router, endpoint->claims);
}

/* --- the tick ------------------------------------------------------------------------------------- */

/* A tick's time was taken before what happens in the tick. */
static bool is_over(uint64_t now_ns, uint64_t since_ns, uint64_t patience_ns)
{
	return now_ns > since_ns && now_ns - since_ns >= patience_ns;
}

static bool is_gone(const struct absentee *a, uint64_t now_ns)
{
	struct pollfd p = { .fd = a->pidfd, .events = POLLIN };

	if (a->pidfd < 0)
		return is_over(now_ns, a->since_ns, CLAIM_PATIENCE_NS);
	return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
}

/* Those that a publisher expected from before and that nobody has seen: they will not come any more. */
static void stop_expecting(struct router *router, uint64_t now_ns)
{
	struct endpoint *endpoint, *next;

	HASH_ITER(hh, router->registry.endpoints, endpoint, next) {
		if (!endpoint->n_expected || !endpoint->ready || !is_over(now_ns, endpoint->resumed_ns, CLAIM_PATIENCE_NS))
			continue;
		while (endpoint->n_expected) {
			match_tell_gone(endpoint, 0, &died);
			endpoint->n_expected--;
		}
		router->registry.n_expecting--;
	}
}

/* One that stops in the middle of coming back would keep others waiting. */
static void check_returning(struct router *router, uint64_t now_ns)
{
	struct node *node, *next;
	struct refusal refusal;

	DL_FOREACH_SAFE(router->registry.nodes, node, next) {
		if (!node->resuming || !is_over(now_ns, node->since_ns, RETURN_PATIENCE_NS))
			continue;
		refuse(&refusal, -ETIMEDOUT, "the node has not handed everything back within %llu s", RETURN_PATIENCE_NS / 1000000000);
		peer_disconnect(node->peer, WIRE_CAUSE_EVICTED, 0, &refusal);
	}
}

static void end_claims_on(struct router *router, const struct absentee *a)
{
	struct claim *claim, *next;

	DL_FOREACH_SAFE(router->registry.claims, claim, next)
		if (claim->absentee == a)
			end(router, claim, &died);
}

void claim_tick(struct router *router, uint64_t now_ns, bool grace)
{
	struct absentee *a, *next;

	DL_FOREACH_SAFE(router->registry.absentees, a, next)
		if (is_gone(a, now_ns))
			end_claims_on(router, a);
	if (!grace)
		check_returning(router, now_ns);
	if (router->registry.n_expecting)
		stop_expecting(router, now_ns);
}
