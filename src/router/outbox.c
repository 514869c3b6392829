/* SPDX-License-Identifier: MIT */
/*
 * outbox.c - a peer's send queue
 *
 * See peer.h for the rules. An entry holds a reference on the segment whose descriptors it carries;
 * the numbers are looked up when the entry is handed to the loop and stay open until its
 * completion, whatever happens to the endpoint meanwhile.
 */

#include "router/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "router/log.h"
#include "router/router.h"
#include "router/segment.h"

static size_t entry_bytes(const struct outbox_entry *entry)
{
	return sizeof(*entry) + entry->message[0].size;
}

static bool holds_rw(const struct outbox_entry *entry)
{
	return entry->fds == OUTBOX_WELCOME || entry->fds == OUTBOX_WRITER || entry->fds == OUTBOX_WRITER_ONLY;
}

static void free_entry(struct outbox_entry *entry)
{
	if (entry->handle)
		*entry->handle = NULL;
	if (entry->segment) {
		if (holds_rw(entry))
			segment_release_rw(entry->segment);
		else
			segment_unref(entry->segment);
	}
	free(entry);
}

struct outbox_entry *outbox_put(struct peer *peer, const struct wire_header *message, enum outbox_fds fds,
				struct segment *segment)
{
	struct outbox_entry *entry = malloc(sizeof(*entry) + message->size);

	if (!entry)
		return NULL;
	entry->handle = NULL;
	entry->fds = fds;
	entry->segment = segment;
	memcpy(entry->message, message, message->size);
	if (segment) {
		if (holds_rw(entry))
			segment_hold_rw(segment);
		else
			segment_ref(segment);
	}
	DL_APPEND(peer->outbox, entry);
	peer->n_queued++;
	peer->queued_bytes += entry_bytes(entry);
	return entry;
}

static void drop(struct peer *peer, struct outbox_entry *entry)
{
	DL_DELETE(peer->outbox, entry);
	peer->n_queued--;
	peer->queued_bytes -= entry_bytes(entry);
	free_entry(entry);
}

bool outbox_cancel(struct peer *peer, struct outbox_entry *entry)
{
	if (peer->sending && entry == peer->outbox)
		return false;
	drop(peer, entry);
	return true;
}

void outbox_clear_unsent(struct peer *peer)
{
	struct outbox_entry *entry, *next;

	DL_FOREACH_SAFE(peer->outbox, entry, next)
		outbox_cancel(peer, entry);
}

/* The entry is the loop's from here on: nobody cancels it any more. */
static void give_to_loop(struct peer *peer, const int *fds, unsigned int n_fds)
{
	struct outbox_entry *entry = peer->outbox;

	if (entry->handle) {
		*entry->handle = NULL;
		entry->handle = NULL;
	}
	peer->sending = true;
	loop_send(peer->router->loop, &peer->link, entry->message, fds, n_fds);
}

/* How many. */
static unsigned int fill_fds(const struct peer *peer, const struct outbox_entry *entry, int fds[WIRE_FDS_MAX])
{
	unsigned int n = 0;

	if (entry->fds == OUTBOX_WELCOME)
		fds[n++] = peer->router->view.reader_fd;
	fds[n++] = holds_rw(entry) ? entry->segment->rw : entry->segment->ro;
	if (entry->fds == OUTBOX_WRITER || entry->fds == OUTBOX_READER)
		fds[n++] = entry->segment->doorbell;
	for (unsigned int i = 0; i < n; i++)
		assert(fds[i] >= 0);
	return n;
}

void outbox_push(struct peer *peer)
{
	struct outbox_entry *entry = peer->outbox;
	int fds[WIRE_FDS_MAX];
	unsigned int n;

	if (!entry || peer->sending || peer->backing_off || peer->link.detaching)
		return;
	if (entry->fds == OUTBOX_NONE) {
		give_to_loop(peer, NULL, 0);
		return;
	}
	if (peer->fds_in_flight && !loop_is_drained(&peer->link)) {
		loop_await_drained(peer->router->loop, &peer->link);
		return;
	}
	n = fill_fds(peer, entry, fds);
	give_to_loop(peer, fds, n);
}

bool outbox_sent(struct peer *peer, int result)
{
	bool had_fds = peer->outbox->fds != OUTBOX_NONE;

	assert(peer->sending);
	peer->sending = false;
	if (result == -ETOOMANYREFS || result == -ENOBUFS || result == -ENOMEM || result == -EINTR || result == -EAGAIN) {
		if (result == -ETOOMANYREFS)
			log_peer("too many descriptors of uid %u are under way: waiting; raise RLIMIT_NOFILE if this stays", geteuid());
		peer->backing_off = true;
		return true;
	}
	if (result >= 0)
		peer->fds_in_flight = had_fds || peer->fds_in_flight;
	drop(peer, peer->outbox);
	return result >= 0;
}
