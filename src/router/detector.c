/* SPDX-License-Identifier: MIT */
/* See detector.h. */

#include "router/detector.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/fd.h"
#include "router/exit-bpf.h"
#include "router/log.h"
#include "router/pidfd.h"
#include "router/router.h"

#define POLLS_AT_ONCE 256

/* --- the end of a process ------------------------------------------------------------------------- */

static void leave_tables(struct detector *detector, struct process *process)
{
	if (process->in_by_id)
		HASH_DELETE(by_id, detector->table_by_id, process);
	process->in_by_id = false;
	if (process->key) {
		HASH_DELETE(by_key, detector->table_by_key, process);
		exit_bpf_remove(detector->bpf, process->key);
	}
	process->key = 0;
}

/* Nobody is to find it any more; the peers keep it until they are gone themselves. */
static void declare_dead(struct detector *detector, struct process *process, const struct wire_exit *exit, unsigned int found_by)
{
	struct departure why = { .cause = WIRE_CAUSE_DIED };
	struct peer *peer, *next;

	if (process->dead)
		return;
	process->dead = true;
	if (exit)
		why.exit = *exit;
	leave_tables(detector, process);
	loop_unwatch(detector->loop, &process->watch);
	DL_FOREACH_SAFE2(process->peers, peer, next, process_next)
		peer_process_ended(peer, &why, found_by);
}

static int on_exit_event(void *context, uint64_t key, const struct wire_exit *exit)
{
	struct detector *detector = context;
	struct process *process;

	HASH_FIND(by_key, detector->table_by_key, &key, sizeof(key), process);
	if (process)
		declare_dead(detector, process, exit, DIRECTORY_DETECTOR_BPF);
	return 0;
}

static bool has_ended(const struct process *process)
{
	struct pollfd poll_fd = { .fd = process->pidfd, .events = POLLIN };

	return process->pidfd >= 0 && poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & POLLIN;
}

/* Who gets the credit where only a pidfd was looked at: the eBPF detector sweeps with them too. */
static unsigned int pidfd_credit(const struct detector *detector)
{
	return detector->in_use & DIRECTORY_DETECTOR_PIDFD ? DIRECTORY_DETECTOR_PIDFD : DIRECTORY_DETECTOR_BPF;
}

/* --- eBPF ----------------------------------------------------------------------------------------- */

static void sweep(struct detector *detector)
{
	struct process *process = detector->processes;

	while (process) {
		struct pollfd fds[POLLS_AT_ONCE];
		struct process *first = process;
		nfds_t n = 0;

		for (; process && n < POLLS_AT_ONCE; process = process->next)
			fds[n++] = (struct pollfd){ .fd = process->dead ? -1 : process->pidfd, .events = POLLIN };
		if (poll(fds, n, 0) <= 0)
			continue;
		/* Declaring one dead frees none. */
		for (nfds_t i = 0; i < n; i++, first = first->next)
			if (fds[i].revents & POLLIN)
				declare_dead(detector, first, NULL, pidfd_credit(detector));
	}
}

/* The kernel's ring was full: which events are missing nobody knows. */
static void cure_drops(struct detector *detector)
{
	uint64_t n = exit_bpf_dropped(detector->bpf);

	if (n == detector->n_dropped)
		return;
	log_verbose("%llu exit events were lost, looking at all processes", (unsigned long long)(n - detector->n_dropped));
	detector->n_dropped = n;
	view_set_dropped(detector->view, n);
	sweep(detector);
}

static void drain(struct detector *detector)
{
	if (!detector->bpf)
		return;
	exit_bpf_drain(detector->bpf, on_exit_event, detector);
	cure_drops(detector);
}

/* An event, which knows more, was there before the pidfd became readable. */
static void look_at_pidfd(struct detector *detector, struct process *process)
{
	if (process->dead || !has_ended(process))
		return;
	drain(detector);
	declare_dead(detector, process, NULL, pidfd_credit(detector));
}

static void open_bpf(struct detector *detector, const struct router_options *options)
{
	const struct exit_bpf_options bpf_options = { .ring_bytes = options->bpf_ring_bytes };
	int r = exit_bpf_open(&detector->bpf, &bpf_options, detector->bpf_reason, sizeof(detector->bpf_reason));

	if (r >= 0) {
		r = loop_watch(detector->loop, &detector->bpf_watch, exit_bpf_fd(detector->bpf));
		if (r >= 0)
			return;
		snprintf(detector->bpf_reason, sizeof(detector->bpf_reason), "%s", strerror(-r));
		exit_bpf_close(detector->bpf);
	}
	detector->bpf = NULL;
	detector->in_use &= ~DIRECTORY_DETECTOR_BPF;
}

/* --- life ----------------------------------------------------------------------------------------- */

void detector_open(struct detector *detector, struct loop *loop, struct view *view, const struct router_options *options)
{
	*detector = (struct detector){ .loop = loop, .view = view, .in_use = options->detectors, .bpf_watch = { .fd = -1 } };
	if (!pidfd_is_there())
		detector->in_use &= ~DIRECTORY_DETECTOR_PIDFD;
	if (options->detectors & DIRECTORY_DETECTOR_BPF)
		open_bpf(detector, options);
}

void detector_close(struct detector *detector)
{
	if (!detector->loop)
		return;
	loop_unwatch(detector->loop, &detector->bpf_watch);
	detector->bpf = exit_bpf_close(detector->bpf);
}

const char *detector_describe(const struct detector *detector, char text[static 256])
{
	static const char *const names[] = { "eBPF", "pidfd", "socket", "heartbeat" };
	size_t n = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (detector->in_use & 1u << i)
			n += (size_t)snprintf(text + n, 256 - n, "%s%s", n ? ", " : "", names[i]);
	if (!n)
		n += (size_t)snprintf(text, 256, "none");
	if (detector->bpf_reason[0])
		snprintf(text + n, 256 - n, "; without eBPF: %s", detector->bpf_reason);
	return text;
}

/* --- processes ------------------------------------------------------------------------------------ */

/* Without an inode a pid alone says little, with a pidfd that is not readable it is the same process. */
static struct process *find(struct detector *detector, const struct wire_process *id)
{
	struct process *process;

	HASH_FIND(by_id, detector->table_by_id, id, sizeof(*id), process);
	if (process)
		look_at_pidfd(detector, process);
	return process && !process->dead ? process : NULL;
}

static void enter_map(struct detector *detector, struct process *process)
{
	uint64_t key = detector->bpf && process->pidfd >= 0 ? exit_bpf_key(detector->bpf, &process->id) : 0;
	struct process *other;

	if (!key)
		return;
	HASH_FIND(by_key, detector->table_by_key, &key, sizeof(key), other);
	if (other || exit_bpf_add(detector->bpf, key) < 0)
		return;
	process->key = key;
	HASH_ADD(by_key, detector->table_by_key, key, sizeof(process->key), process);
	if (!process->by_key.tbl) {
		exit_bpf_remove(detector->bpf, key);
		process->key = 0;
	}
}

static struct process *new_process(struct detector *detector, const struct wire_process *id, int *pidfd)
{
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	process->id = *id;
	process->pidfd = fd_take(pidfd);
	process->watch.fd = -1;
	DL_APPEND(detector->processes, process);
	HASH_ADD(by_id, detector->table_by_id, id, sizeof(process->id), process);
	process->in_by_id = process->by_id.tbl != NULL;
	enter_map(detector, process);
	if (detector->in_use & DIRECTORY_DETECTOR_PIDFD)
		(void)loop_watch(detector->loop, &process->watch, process->pidfd);
	return process;
}

void detector_attach(struct detector *detector, struct peer *peer, int socket)
{
	_cleanup_fd_ int pidfd = -1;
	struct process *process;

	peer->process = (struct wire_process){ .pid = (uint32_t)peer->pid };
	if (!(detector->in_use & (DIRECTORY_DETECTOR_PIDFD | DIRECTORY_DETECTOR_BPF)))
		return;
	pidfd = pidfd_of_peer(socket, peer->pid, peer->uid);
	if (pidfd < 0)
		return;
	peer->process.identity = pidfd_identity(pidfd);
	process = find(detector, &peer->process);
	if (!process)
		process = new_process(detector, &peer->process, &pidfd);
	if (!process)
		return;
	peer->shared = process;
	DL_APPEND2(process->peers, peer, process_prev, process_next);
	/* It may have ended before it was in the map, or before its peer was on the list. */
	look_at_pidfd(detector, process);
}

void detector_detach(struct detector *detector, struct peer *peer)
{
	struct process *process = peer->shared;

	if (!process)
		return;
	peer->shared = NULL;
	DL_DELETE2(process->peers, peer, process_prev, process_next);
	if (process->peers)
		return;
	leave_tables(detector, process);
	loop_unwatch(detector->loop, &process->watch);
	fd_close(process->pidfd);
	DL_DELETE(detector->processes, process);
	free(process);
}

/* --- questions and events ------------------------------------------------------------------------- */

bool detector_vouches(const struct detector *detector, const struct peer *peer)
{
	const struct process *process = peer->shared;

	(void)detector;
	return process && !process->dead && (process->watch.fd >= 0 || process->key);
}

void detector_look(struct detector *detector, const struct peer *peer)
{
	drain(detector);
	if (peer->shared)
		look_at_pidfd(detector, peer->shared);
}

void detector_readable(struct detector *detector, struct loop_watch *watch)
{
	drain(detector);
	if (watch == &detector->bpf_watch || watch->fd < 0)
		return;
	look_at_pidfd(detector, (struct process *)((char *)watch - offsetof(struct process, watch)));
}

void detector_tick(struct detector *detector)
{
	if (detector->bpf)
		cure_drops(detector);
}
