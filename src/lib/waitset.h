/* SPDX-License-Identifier: MIT */
/*
 * waitset.h - the inside of a wait set: an epoll instance, and a short list of members that need not be asked for
 *
 * A member is an entry with a descriptor in the epoll. Most say all by that: plain descriptors, timers, watches and
 * nodes are looked at when the kernel says so (`fired`), as often as it says so. Endpoints have a ring besides,
 * which can be looked at for nothing (`peek`), and a descriptor that is rung only if asked for (`rearm`), which
 * costs system calls here and one at whoever rings. So an endpoint is in one of two states:
 *
 *	hot	nobody has asked: its ring must be looked at. In the list `hot`. So begins every endpoint, and so it is after
 *		its descriptor rang
 *	cool	asked, and there was nothing then; or its descriptor is readable. The kernel will tell
 *
 * The rule that no wake-up is lost: a wait sleeps only when nothing is hot. It first looks at the hot ones, spins
 * on them if the user wants that, and then cools those in which it found nothing. What is idle is cool, and costs
 * nothing; and while a thread spins, nobody has to ring for what it is looking at. Where somebody else sleeps for
 * us (zcp_waitset_fd()), `news` is readable as long as something is hot, so that he lets us look.
 *
 * Another kind of endpoint is a struct waitset_operations with `peek` and `rearm`, waitset_add_endpoint() and
 * waitset_remove_endpoint() behind its public functions, and waitset_endpoint_closed() where its owner closes it.
 *
 * The kernel gets numbers and not addresses, so that an event of what is gone finds nothing.
 */
#ifndef ZCP_LIB_WAITSET_H
#define ZCP_LIB_WAITSET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/endpoint.h"
#include "zcp/zcp.h"

struct waitset_entry;

/* Values are poll events to report; 0: nothing. */
struct waitset_operations {
	enum zcp_ready_kind kind;
	const char *name;		/* for sentences: "subscriber" */
	/* Without system calls: is there something? NULL: the descriptor tells all, and it is never hot. */
	uint32_t (*peek)(struct waitset_entry *e);
	/* peek() says no: silence the descriptor, ask to be rung, look once more. */
	uint32_t (*rearm)(struct waitset_entry *e);
	/* The descriptor has @events. NULL: then peek(). */
	uint32_t (*fired)(struct waitset_entry *e, uint32_t events);
};

struct waitset_entry {
	struct zcp_waitset *set;
	const struct waitset_operations *operations;
	int id, fd;
	void *object, *user;
	struct waitset_entry **known;	/* where the object knows us; or NULL */
	struct waitset_entry *node;	/* that is dispatched for this one; or NULL */
	bool hot;
	uint64_t round;			/* of the wait that reported it last */
	struct waitset_entry *prev, *next;	/* hot ones */
	uint64_t expirations;		/* a timer's */
	bool once;
	bool wanted;			/* a node's: added by the user, not only for its objects */
	uint32_t n_objects;		/* of a node, that are members */
	struct waitset_entry *next_of_node;	/* in other wait sets. Under the node's lock */
	UT_hash_handle hh, hh_fd;
};

struct zcp_waitset {
	uint32_t fork_generation;
	bool fd_mode;			/* zcp_waitset_fd() is in use */
	bool news_rung;
	bool closing;			/* all members leave, in any order */
	bool turn;			/* for batches of one: whose turn it is, the hot ones' or the kernel's */
	bool phantom;			/* the kernel told of an entry that is gone */
	int epoll, news;
	int last_id;
	uint64_t spin_ns;
	uint64_t round;
	uint64_t swept_ns;
	struct waitset_entry *sweep;	/* where the next sweep goes on; NULL: at the beginning */
	struct waitset_entry *entries, *by_fd;	/* uthash by id, by fd */
	struct waitset_entry *hot;	/* utlist; who was not looked at for longest is first */
	uint32_t n_hot;
	uint32_t n_closed;		/* members closed and not yet told of */
	char closed[400];		/* the first of them */
};

/* ---- waitset.c ---- */

/* A new entry for @fd with @events. 0 with *entry, or a negative errno value with its sentence. */
int waitset_enter(struct zcp_waitset *ws, const struct waitset_operations *operations, int fd, uint32_t events, void *object, void *user,
		  struct waitset_entry **entry);

/* Out of the set, and freed; the object forgets it. */
void waitset_leave(struct waitset_entry *e);

void waitset_heat(struct waitset_entry *e);
void waitset_cool(struct waitset_entry *e);

/* Note that @what was closed, for the next wait. */
void waitset_note_closed(struct zcp_waitset *ws, const char *what);

/* After any change: `news` is readable if and only if somebody else sleeps for us and shall let us look. */
void waitset_settle(struct zcp_waitset *ws);

struct waitset_entry *waitset_find(struct zcp_waitset *ws, int id);
struct waitset_entry *waitset_find_fd(struct zcp_waitset *ws, int fd);

/* ---- waitset-member.c ---- */

/* Leave, with everything that hangs on it: the node that was dispatched only for it, the timer's descriptor. */
void waitset_remove(struct waitset_entry *e);

/* A member was closed without being removed: it leaves, and the next wait says so. @what: "the node 'x'". */
void waitset_closed(struct waitset_entry *e, const char *what);

/*
 * Behind the public functions of each kind. @known: where the object keeps its entry; @node: its node.
 * waitset_closed() is what closing the object calls if there is an entry.
 */
int waitset_add_object(struct zcp_waitset *ws, const struct waitset_operations *operations, int fd, void *object, struct waitset_entry **known,
		       struct zcp_node *node, void *user);
int waitset_remove_object(struct zcp_waitset *ws, struct waitset_entry *e, const char *kind);

/* The same for endpoints, whose entry is ep->waiter and whose descriptor is the doorbell. */
int waitset_add_endpoint(struct zcp_waitset *ws, const struct waitset_operations *operations, struct endpoint *ep, void *object, void *user);
int waitset_remove_endpoint(struct zcp_waitset *ws, struct endpoint *ep);
void waitset_endpoint_closed(struct endpoint *ep);

/* zcp_node_close(). Not under lock, not in a forked child. */
void waitset_node_closed(struct zcp_node *node);

#endif
