/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h - what publishers and subscribers have in common: opening, matches, sleeping
 *
 * Two threads meet here. The node's thread hears of matches that come and go; the endpoint's own thread reads
 * and writes the channel. They meet in `matches`, a list under the node's lock: the node's thread appends, and
 * marks a match with the cause of its end; the owner takes it into use, and it alone unlinks, unmaps and frees.
 * `news` tells the owner to look: one relaxed load per call on the fast path, the lock only when it is set. The
 * endpoint's own doorbell is rung too, so that a sleeping owner looks.
 */
#ifndef ZCP_LIB_ENDPOINT_H
#define ZCP_LIB_ENDPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Out of memory is an answer, not an abort; an entry that could not be added is looked for. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "lib/node.h"

struct waitset_entry;

/* One peer this endpoint is matched with, as told by the router. */
struct match {
	struct match *next;
	uint64_t id, peer, peer_node;	/* of the match; of the peer endpoint and its node */
	struct wire_process process;	/* the peer's, for a router to come */
	uint32_t lane_index;		/* in the subscriber's lane page */
	int doorbell;			/* the peer's */
	const void *segment;		/* the peer's: lane page, or data segment */
	uint64_t segment_bytes;
	uint32_t flags;			/* WIRE_MATCH_* */
	uint32_t cause;			/* enum wire_cause of its end, or 0. Under lock */
	bool in_use;			/* the owner's: it has seen this match */
	bool counted;			/* publisher's: one of those it expects. Under lock */
};

struct endpoint_operations {
	/*
	 * The node's thread, under lock: a peer was added. Build a match from @message and return it; the
	 * descriptors become its property by fd_take(). Or return NULL: the peer cannot be used. @error: 0, or
	 * -EMFILE: the descriptors were lost.
	 */
	struct match *(*added)(struct endpoint *ep, const union wire_message *message, int fds[WIRE_FDS_MAX], int error);
	/* The node's thread, under lock: a match ended that added() returned NULL for. May be NULL. */
	void (*never)(struct endpoint *ep, uint64_t match);
	/*
	 * The node's thread, under lock; each may be NULL. The router is gone, and what it was asked will not be answered;
	 * a router has taken the endpoint, @n_pending matches will follow; how many are still to come (for the next router).
	 */
	void (*away)(struct endpoint *ep);
	void (*opened)(struct endpoint *ep, uint32_t n_pending);
	uint32_t (*expected)(const struct endpoint *ep);
	/* Say in our own segment that it is closed for good; whether a peer's segment says so. Owner; any thread. */
	void (*mark_closed)(struct endpoint *ep);
	bool (*is_closed)(const struct match *match);
	/*
	 * zcp_node_close(): close, with everything that belongs to it. May leave the endpoint in the table for
	 * samples still held.
	 */
	void (*close)(struct endpoint *ep);
	/* The node's thread, under lock; each may be NULL. Somebody is on the other side of a client's or server's topic; time passes. */
	void (*introduced)(struct endpoint *ep, const struct wire_peer_added *m);
	void (*tick)(struct endpoint *ep, uint64_t now_ns);
};

struct endpoint {
	union {
		uint64_t open_gate;	/* what the gate of a publisher or subscriber says while nobody looks (fork.h) */
		struct {
			uint32_t fork_generation;
			uint32_t no_semaphores;		/* 0 */
		};
	};
	_Atomic bool news;		/* set under lock by whoever changed what is below */
	bool closing;			/* no new matches. Under lock */
	bool ready;			/* a router has taken it: it can be handed back. Under lock */
	bool orphaned;			/* a later router did not: it keeps the matches it has, and gets no others. Under lock */
	int doorbell;			/* our own eventfd */
	int segment_fd;			/* of `segment`, to be handed to the next router */
	struct zcp_node *node;
	struct endpoint *parent;	/* the client's or server's whose channel this is: it hears of our news too, and closes us */
	bool unusable;			/* a peer was there and could not be used, for want of memory or descriptors. Under lock */
	bool visited;			/* zcp_node_close() has been here */
	const struct endpoint_operations *operations;
	uint64_t id;
	uint64_t epoch;			/* of the router that has it. Under lock */
	struct wire_endpoint_open *open;	/* how it was opened, for the next router */
	enum wire_endpoint_kind kind;
	void *segment;			/* ours: the writable mapping */
	uint64_t segment_bytes;
	struct match *matches;		/* under lock */
	struct waitset_entry *waiter;	/* in a wait set; or NULL. The owner's */
	uint32_t n_chosen;		/* publisher: subscribers from before its start that chose a lane, those that left again too. Under lock */
	uint32_t n_never;		/* matches that ended before they were added, not yet counted by the owner. Under lock */
	char refusal[WIRE_TEXT_BYTES];	/* why a peer did not match, last time. Under lock */
	int refusal_error;
	UT_hash_handle hh;
};

/*
 * Open in two steps, see wire.h. endpoint_open() asks with @message and maps the segment, which must have
 * @segment_bytes; the caller then prepares it and calls endpoint_ready(), after which the endpoint is in the
 * table and others can see its segment. If the first fails there is nothing to clean up; after the first,
 * endpoint_close() cleans up. @n_pending: matches under way.
 */
int endpoint_open(struct endpoint *ep, struct wire_endpoint_open *message, struct request *request);
int endpoint_ready(struct endpoint *ep, struct request *request, uint32_t *n_pending);

/*
 * The steps of which these two consist, for those who do not wait for the answers (connection.c). endpoint_begin() prepares
 * @message; endpoint_take() maps what @request's ENDPOINT_OPENED brought, under lock or not; endpoint_enter() puts the
 * endpoint into the table, under lock. If the last two fail, endpoint_forget() cleans up, under lock.
 */
int endpoint_begin(struct endpoint *ep, struct wire_endpoint_open *message);
int endpoint_take(struct endpoint *ep, struct request *request);
int endpoint_enter(struct endpoint *ep);
void endpoint_forget(struct endpoint *ep, const struct request *request);

/*
 * Leave the table and tell the router; close the doorbell, unmap the segment if @unmap. Matches must be gone
 * before. In a forked child: only closes descriptors. True: the node was closed before and this was its last
 * endpoint, the caller must node_free() it.
 */
bool endpoint_close(struct endpoint *ep, bool unmap);

/* In a forked child: close this process's copies of all descriptors of @ep. */
void endpoint_close_fds(struct endpoint *ep);

/* Put @match at the end of the list, and set news. Under lock. */
void endpoint_append(struct endpoint *ep, struct match *match);

/* Tell the owner to look. Under lock. */
void endpoint_news(struct endpoint *ep);

/* The endpoint with that id, or NULL. Under lock. */
struct endpoint *endpoint_find(struct zcp_node *node, uint64_t id);

/* Messages of the router. Under lock. */
void endpoint_opened(struct zcp_node *node, const struct wire_endpoint_ready *m);
void endpoint_added(struct zcp_node *node, uint64_t id, enum wire_endpoint_kind kind, const union wire_message *m, int fds[WIRE_FDS_MAX], int r);
void endpoint_gone(struct zcp_node *node, uint64_t id, uint64_t match, uint32_t cause, uint32_t flags);
void endpoint_refused(struct zcp_node *node, const struct wire_match_refused *m);
void endpoint_introduced(struct zcp_node *node, const struct wire_peer_added *m);

/* Let time pass for all that wait for it. Under lock. */
void endpoint_tick_all(struct zcp_node *node);

/*
 * Build the common part of a match from the descriptors of a message: maps and checks the peer's segment. 0 or
 * a negative errno value.
 */
int match_init(struct match *match, uint64_t id, uint64_t peer, uint64_t segment_bytes, uint32_t flags, int fds[WIRE_FDS_MAX]);
void match_deinit(struct match *match);

/* Take @match off the list. Under lock. */
void endpoint_unlink(struct endpoint *ep, struct match *match);

static inline bool endpoint_has_news(const struct endpoint *ep)
{
	return unlikely(atomic_load_explicit(&ep->news, memory_order_relaxed));
}

/* A point in time from a timeout: UINT64_MAX for ever. */
uint64_t deadline_after(int64_t timeout_ns);

/*
 * Sleep until the endpoint's doorbell rings, @deadline passes, or 100 ms are over (a peer that steals a wake-up
 * costs latency, not liveness); silences the bell. Without a node thread dispatches meanwhile. -ETIMEDOUT when
 * the deadline has passed, else 0.
 */
int endpoint_sleep(struct endpoint *ep, uint64_t deadline);

#endif
