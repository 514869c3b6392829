/* SPDX-License-Identifier: MIT */
/*
 * waitset.c - a wait set and its table of entries
 *
 * See waitset.h. A member that is closed leaves by itself, before its descriptor goes. A plain descriptor may be
 * closed behind our back; then its number comes back with another file sooner or later, and adding that is what
 * shows that the old entry is stale: the kernel knows registrations by file and number, and refuses a true
 * duplicate itself.
 */
#include "lib/waitset.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "common/fd.h"
#include "lib/doorbell.h"
#include "lib/error.h"
#include "lib/options.h"

#define SPIN_MAX_NS 1000000000ll

/* ---- the table --------------------------------------------------------------------------------------------------- */

struct waitset_entry *waitset_find(struct zcp_waitset *ws, int id)
{
	struct waitset_entry *e;

	HASH_FIND(hh, ws->entries, &id, sizeof(id), e);
	return e;
}

struct waitset_entry *waitset_find_fd(struct zcp_waitset *ws, int fd)
{
	struct waitset_entry *e;

	HASH_FIND(hh_fd, ws->by_fd, &fd, sizeof(fd), e);
	return e;
}

void waitset_heat(struct waitset_entry *e)
{
	if (e->hot)
		return;
	e->hot = true;
	DL_APPEND(e->set->hot, e);
	e->set->n_hot++;
}

void waitset_cool(struct waitset_entry *e)
{
	if (!e->hot)
		return;
	e->hot = false;
	DL_DELETE(e->set->hot, e);
	e->set->n_hot--;
}

static void forget(struct waitset_entry *e)
{
	struct zcp_waitset *ws = e->set;

	waitset_cool(e);
	if (ws->sweep == e)
		ws->sweep = e->hh.next;
	if (e->known)
		*e->known = NULL;
	if (e->hh.tbl)
		HASH_DELETE(hh, ws->entries, e);
	if (e->hh_fd.tbl)
		HASH_DELETE(hh_fd, ws->by_fd, e);
	free(e);
}

void waitset_leave(struct waitset_entry *e)
{
	epoll_ctl(e->set->epoll, EPOLL_CTL_DEL, e->fd, NULL);
	forget(e);
}

/* Not used again before two thousand million others. */
static int next_id(struct zcp_waitset *ws)
{
	do {
		ws->last_id = ws->last_id < INT_MAX ? ws->last_id + 1 : 1;
	} while (waitset_find(ws, ws->last_id));
	return ws->last_id;
}

void waitset_note_closed(struct zcp_waitset *ws, const char *what)
{
	if (!ws->n_closed++)
		snprintf(ws->closed, sizeof(ws->closed), "%s", what);
}

static int explain_refusal(int err, int fd)
{
	switch (err) {
	case -EPERM:
		return error_set(err, "descriptor %d is a regular file or a directory, which are always ready: just read it", fd);
	case -EBADF:
		return error_set(err, "%d is not an open descriptor", fd);
	case -EINVAL:
		return error_set(err, "descriptor %d is the wait set's own", fd);
	case -EEXIST:
		return error_set(err, "descriptor %d is in this wait set already", fd);
	case -ELOOP:
		return error_set(err, "descriptor %d is an epoll or a wait set that contains this one, or is nested too deeply", fd);
	case -ENOSPC:
		return error_note(err, "too many descriptors are waited for; raise /proc/sys/fs/epoll/max_user_watches");
	default:
		return error_system(err, "cannot add to the wait set");
	}
}

/* In both tables, and no other entry with this descriptor. */
static int enlist(struct zcp_waitset *ws, struct waitset_entry *e)
{
	struct waitset_entry *stale = waitset_find_fd(ws, e->fd);

	if (stale) {
		char what[40];

		/* the kernel took the number, so what had it is closed; DEL would hit the new one */
		snprintf(what, sizeof(what), "descriptor %d", e->fd);
		waitset_note_closed(ws, what);
		forget(stale);
	}
	HASH_ADD(hh, ws->entries, id, sizeof(e->id), e);
	if (e->hh.tbl)
		HASH_ADD(hh_fd, ws->by_fd, fd, sizeof(e->fd), e);
	return e->hh_fd.tbl ? 0 : error_note(-ENOMEM, "no memory for another member of the wait set");
}

int waitset_enter(struct zcp_waitset *ws, const struct waitset_operations *operations, int fd, uint32_t events, void *object, void *user,
		  struct waitset_entry **entry)
{
	struct epoll_event event = { .events = events };
	struct waitset_entry *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return error_note(-ENOMEM, "no memory for another member of the wait set");
	e->set = ws;
	e->operations = operations;
	e->id = next_id(ws);
	e->fd = fd;
	e->object = object;
	e->user = user;
	event.data.u64 = (uint64_t)e->id;
	if (epoll_ctl(ws->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		r = explain_refusal(-errno, fd);
		free(e);
		return r;
	}
	r = enlist(ws, e);
	if (r < 0) {
		waitset_leave(e);
		return r;
	}
	if (operations->rearm)
		waitset_heat(e);
	*entry = e;
	waitset_settle(ws);
	return 0;
}

void waitset_settle(struct zcp_waitset *ws)
{
	bool wanted = ws->fd_mode && (ws->n_hot || ws->n_closed);

	if (wanted == ws->news_rung)
		return;
	ws->news_rung = wanted;
	if (wanted)
		doorbell_ring(ws->news);
	else
		doorbell_silence(ws->news);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static int check_options(struct zcp_waitset_options *o, const void *options)
{
	int r = options_copy(o, sizeof(*o), sizeof(*o), options, "zcp_waitset_options");

	if (r == 0)
		r = options_reserved(o->reserved, sizeof(o->reserved), "zcp_waitset_options");
	if (r == 0 && (o->spin_ns < 0 || o->spin_ns > SPIN_MAX_NS))
		r = error_set(-EINVAL, "spin_ns is %lld; it is 0 to %lld", (long long)o->spin_ns, SPIN_MAX_NS);
	return r;
}

static int open_descriptors(struct zcp_waitset *ws)
{
	struct epoll_event event = { .events = EPOLLIN };

	ws->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ws->epoll < 0)
		return -errno;
	ws->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ws->news < 0 || epoll_ctl(ws->epoll, EPOLL_CTL_ADD, ws->news, &event) < 0)
		return -errno;
	return 0;
}

static void discard(struct zcp_waitset *ws)
{
	fd_close(ws->epoll);
	fd_close(ws->news);
	free(ws);
}

int zcp_waitset_open(struct zcp_waitset **waitset, const struct zcp_waitset_options *options)
{
	struct zcp_waitset_options o;
	struct zcp_waitset *ws;
	int r;

	*waitset = NULL;
	r = check_options(&o, options);
	if (r < 0)
		return r;
	ws = calloc(1, sizeof(*ws));
	if (!ws)
		return error_note(-ENOMEM, "no memory for a wait set");
	ws->epoll = ws->news = -1;
	ws->spin_ns = (uint64_t)o.spin_ns;
	r = fork_register();
	if (r == 0)
		r = open_descriptors(ws);
	if (r < 0) {
		r = r == -ENOSPC ? explain_refusal(r, -1) : error_system(r, "cannot open the wait set");
		discard(ws);
		return r;
	}
	ws->fork_generation = fork_now();
	*waitset = ws;
	return 0;
}

int zcp_waitset_fd(struct zcp_waitset *waitset)
{
	if (forked_since(waitset->fork_generation))
		return error_forked();
	waitset->fd_mode = true;
	waitset_settle(waitset);
	return waitset->epoll;
}

/* The epoll instance is the parent's too and keeps its members, which nothing in a child looks at. */
static void close_in_child(struct zcp_waitset *ws)
{
	struct waitset_entry *e, *next;

	HASH_CLEAR(hh_fd, ws->by_fd);
	HASH_ITER(hh, ws->entries, e, next) {
		if (e->operations->kind == ZCP_READY_TIMER)
			fd_close(e->fd);
		HASH_DELETE(hh, ws->entries, e);
		free(e);
	}
	discard(ws);
}

void zcp_waitset_close(struct zcp_waitset *waitset)
{
	struct waitset_entry *e, *next;

	if (!waitset)
		return;
	if (forked_since(waitset->fork_generation)) {
		close_in_child(waitset);
		return;
	}
	waitset->closing = true;
	HASH_ITER(hh, waitset->entries, e, next)
		waitset_remove(e);
	discard(waitset);
}
