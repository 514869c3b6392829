/* SPDX-License-Identifier: MIT */
/*
 * waitset-wait.c - the wait itself
 *
 * Three steps: look at what is hot, and at the kernel's list without sleeping; spin on that, if the user wants it;
 * cool what has nothing, and sleep in the kernel. Each ends the call as soon as there is something to report. See
 * waitset.h.
 *
 * Fairness: who was looked at goes to the end of the hot list, as a level-triggered member does in the kernel's own
 * list once it was reported. The two lists share each batch, and a batch of one goes to each of them in turn.
 *
 * A hostile peer may read our doorbell empty. So every 100 ms a few members that are cool are looked at all the
 * same, in turn: who steals wake-ups costs latency, not liveness.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "common/clock.h"
#include "common/probe.h"
#include "lib/error.h"
#include "lib/waitset.h"

#define EVENTS_MAX 64
#define HOT_MAX 64u		/* members without messages that a spin looks at */
#define SPIN_KERNEL_NS 2000u	/* between two looks at the kernel's list in a spin */
#define RECHECK_NS 100000000ull	/* the longest sleep in one piece */
#define SWEEP_MAX 64

struct batch {
	struct zcp_ready *ready;
	int n, max;
};

static void report(struct batch *b, struct waitset_entry *e, uint32_t events)
{
	enum zcp_ready_kind kind = e->operations->kind;

	b->ready[b->n++] = (struct zcp_ready){
		.user = e->user,
		.events = events,
		.kind = kind,
		.object = e->object,
		.fd = kind == ZCP_READY_FD ? e->fd : -1,
		.timer = kind == ZCP_READY_TIMER ? e->id : 0,
		.expirations = e->expirations,
	};
	e->round = e->set->round;
}

/* ---- the hot ones ------------------------------------------------------------------------------------------------ */

static struct waitset_entry *next_hot(struct zcp_waitset *ws)
{
	struct waitset_entry *e = ws->hot;

	DL_DELETE(ws->hot, e);
	DL_APPEND(ws->hot, e);
	return e;
}

/*
 * Report those that have something until @b has @max; those that have nothing beyond a number worth looking at cool
 * down.
 */
static void take_hot(struct zcp_waitset *ws, struct batch *b, int max)
{
	for (uint32_t left = ws->n_hot; left && b->n < max; left--) {
		struct waitset_entry *e = next_hot(ws);
		uint32_t events;

		if (e->round == ws->round)
			continue;
		events = e->operations->peek(e);
		if (!events && ws->n_hot > HOT_MAX) {
			events = e->operations->rearm(e);
			if (!events)
				waitset_cool(e);
		}
		if (events)
			report(b, e, events);
	}
}

/* Before sleeping. Reports those which had something after all. */
static void cool_all(struct zcp_waitset *ws, struct batch *b)
{
	for (uint32_t left = ws->n_hot; left && b->n < b->max; left--) {
		struct waitset_entry *e = next_hot(ws);
		uint32_t events = e->operations->rearm(e);

		if (events)
			report(b, e, events);
		else
			waitset_cool(e);
	}
}

/* Some of the cool ones, in turn. */
static void sweep(struct zcp_waitset *ws, uint64_t now)
{
	if ((int64_t)(now - ws->swept_ns) < (int64_t)RECHECK_NS)
		return;
	ws->swept_ns = now;
	for (int i = 0; i < SWEEP_MAX; i++) {
		struct waitset_entry *e = ws->sweep ? ws->sweep : ws->entries;

		if (!e)
			return;
		if (!e->hot && e->operations->peek && e->operations->peek(e))
			waitset_heat(e);
		ws->sweep = e->hh.next;
		if (!ws->sweep)
			return;
	}
}

/* ---- the kernel's list ------------------------------------------------------------------------------------------- */

static void handle(struct zcp_waitset *ws, struct batch *b, const struct epoll_event *event)
{
	const struct waitset_operations *operations;
	struct waitset_entry *e;
	uint32_t events;

	if (!event->data.u64)
		return;		/* our own news: done when nothing is hot any more */
	e = waitset_find(ws, (int)event->data.u64);
	if (!e) {
		ws->phantom = true;
		return;
	}
	if (e->round == ws->round)
		return;
	operations = e->operations;
	events = operations->fired ? operations->fired(e, event->events) : operations->peek(e);
	/* a node is looked at only when it has something to tell; an endpoint that has nothing asks again when it cools */
	if (operations->rearm && (events || !operations->fired))
		waitset_heat(e);
	if (!events)
		return;
	report(b, e, events);
	if (e->once)
		waitset_remove(e);
}

/* Up to @ns, 100 ms at most. 0 or a negative errno value. */
static int take_events(struct zcp_waitset *ws, struct batch *b, uint64_t ns)
{
	struct epoll_event events[EVENTS_MAX];
	int n, room = b->max - b->n < EVENTS_MAX ? b->max - b->n : EVENTS_MAX;
	bool asked = ns;

	if (ns)
		PROBE(zcp, wait_begin, UINT64_C(0), ns);
	/* epoll_wait() counts milliseconds */
	if (ns && ns < RECHECK_NS) {
		struct pollfd p = { .fd = ws->epoll, .events = POLLIN };
		struct timespec ts = { .tv_nsec = (long)ns };

		ppoll(&p, 1, &ts, NULL);
		ns = 0;
	}
	n = epoll_wait(ws->epoll, events, room, (int)(ns / 1000000));
	if (asked)
		PROBE(zcp, wait_end, UINT64_C(0), (int64_t)n);
	if (n < 0)
		return errno == EINTR ? 0 : error_system(-errno, "cannot wait");
	for (int i = 0; i < n; i++)
		handle(ws, b, &events[i]);
	return 0;
}

/* ---- the three steps --------------------------------------------------------------------------------------------- */

/* Where nothing hot has anything and it may sleep, the kernel's list is left to the sleep, which saves a system call. */
static int look(struct zcp_waitset *ws, struct batch *b, bool may_sleep)
{
	int r = 0, left = b->max / 2;

	if (b->max == 1 && ws->n_hot)
		left = ws->turn = !ws->turn;
	take_hot(ws, b, b->max - left);
	if (b->n || !may_sleep || (left == b->max && ws->n_hot))
		r = b->n < b->max ? take_events(ws, b, 0) : 0;
	take_hot(ws, b, b->max);
	return r;
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int spin(struct zcp_waitset *ws, struct batch *b, uint64_t now, uint64_t deadline)
{
	uint64_t end = deadline - now < ws->spin_ns ? deadline : now + ws->spin_ns, kernel = now;
	int r = 0;

	for (; now < end && r == 0 && !b->n; now = clock_now_ns()) {
		take_hot(ws, b, b->max);
		if (!b->n && now >= kernel) {
			r = take_events(ws, b, 0);
			kernel = now + SPIN_KERNEL_NS;
		}
		relax();
	}
	return r;
}

static int sleep_until(struct zcp_waitset *ws, struct batch *b, uint64_t now, uint64_t deadline)
{
	for (int r = 0;;) {
		if (!b->n)
			cool_all(ws, b);
		if (b->n || ws->phantom || r < 0 || now >= deadline)
			return r;
		waitset_settle(ws);
		r = take_events(ws, b, deadline - now < RECHECK_NS ? deadline - now : RECHECK_NS);
		now = clock_now_ns();
		sweep(ws, now);
	}
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static int explain_closed(struct zcp_waitset *ws)
{
	uint32_t n = ws->n_closed - 1;

	ws->n_closed = 0;
	waitset_settle(ws);
	if (n)
		return error_set(-EBADF, "%s was closed while in this wait set, and %u more of its members; remove them first", ws->closed, n);
	return error_set(-EBADF, "%s was closed while in this wait set; remove it first", ws->closed);
}

static int explain_phantom(struct zcp_waitset *ws)
{
	ws->phantom = false;
	return error_note(-EBADF, "a descriptor was closed before it was removed from this wait set, and lives on as a duplicate or in another "
				  "process: it cannot be removed any more; open another wait set");
}

static int check(struct zcp_waitset *ws, int max, int64_t timeout)
{
	if (forked_since(ws->fork_generation))
		return error_forked();
	if (max < 1)
		return error_set(-EINVAL, "there must be room for one member that is ready, not %d", max);
	if (ws->n_closed)
		return explain_closed(ws);
	if (timeout < 0 && !ws->entries)
		return error_note(-EINVAL, "the wait set has no members: a wait for ever would never end");
	return 0;
}

int zcp_waitset_wait(struct zcp_waitset *waitset, struct zcp_ready *ready, int max, int64_t timeout)
{
	struct batch b = { .ready = ready, .max = max };
	struct zcp_waitset *ws = waitset;
	uint64_t now, deadline;
	int r = check(ws, max, timeout);

	if (r < 0)
		return r;
	now = clock_now_ns();
	deadline = timeout < 0 ? UINT64_MAX : now + (uint64_t)timeout;
	ws->round++;
	sweep(ws, now);
	r = look(ws, &b, timeout != 0);
	if (r == 0 && !b.n && ws->spin_ns && timeout) {
		r = spin(ws, &b, now, deadline);
		now = clock_now_ns();
	}
	/* who only polls never has to be rung */
	if (r == 0 && !b.n && (timeout || ws->fd_mode))
		r = sleep_until(ws, &b, now, deadline);
	waitset_settle(ws);
	if (b.n)
		return b.n;
	if (r < 0)
		return r;
	return ws->phantom ? explain_phantom(ws) : error_note(-ETIMEDOUT, "no member became ready in time");
}
