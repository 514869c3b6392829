/* SPDX-License-Identifier: MIT */
/*
 * detector.h - who notices that a process has ended
 *
 * Peers of one process share a struct process: its pidfd, its place in the BPF program's map, its
 * watch in the loop. Three of the four detectors meet here, fastest first:
 *
 *	eBPF	an event names the process and says how it ended
 *	pidfd	becomes readable
 *	socket	an end of file is a hint only, which detector_look() confirms or does not
 *
 * and the heartbeat, the fourth, asks detector_vouches() what a silence means (router.c).
 *
 * Whoever is first marks the process dead and tells each of its peers once, by
 * peer_process_ended(). Events the kernel could not deliver are cured by looking at every pidfd. So
 * is what happened between a connection's birth and our looking: each descriptor is looked at once
 * when it is new.
 *
 * A pidfd is had whenever eBPF or pidfd is in use. Being without one (no descriptor left, a process
 * gone before we asked) is not fatal: that peer has its socket and its heartbeat.
 */
#ifndef ZCP_ROUTER_DETECTOR_H
#define ZCP_ROUTER_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/wire.h"
#include "router/loop.h"
#include "router/table.h"

struct exit_bpf;
struct peer;
struct router_options;
struct view;

struct process {
	struct wire_process id;
	int pidfd;			/* -1: none */
	struct loop_watch watch;	/* of the pidfd, if that is in use */
	uint64_t key;			/* in the BPF map; 0: not there */
	bool dead;
	struct peer *peers;		/* by process_prev, process_next */
	struct process *prev, *next;
	UT_hash_handle by_id, by_key;
	bool in_by_id;
};

struct detector {
	struct loop *loop;
	struct view *view;
	unsigned int in_use;		/* DIRECTORY_DETECTOR_* */
	struct exit_bpf *bpf;		/* NULL: not in use */
	struct loop_watch bpf_watch;
	uint64_t n_dropped;		/* events of it that were lost so far */
	struct process *processes;
	struct process *table_by_id, *table_by_key;
	char bpf_reason[128];		/* why there is no eBPF, "" otherwise */
};

/*
 * Start what @options allow and this machine has. Lacking rights are no failure: in_use says what
 * is there. detector_close() also on one that is all zero; the peers are gone by then.
 */
void detector_open(struct detector *detector, struct loop *loop, struct view *view, const struct router_options *options);
void detector_close(struct detector *detector);

/* "eBPF, pidfd, socket, heartbeat": what is in use, and why there is no eBPF. Returns @text. */
const char *detector_describe(const struct detector *detector, char text[static 256]);

/*
 * Find out who is behind @socket, fill in peer->process and watch over it. Never fails. The peer
 * may be told of its process's end in here.
 */
void detector_attach(struct detector *detector, struct peer *peer, int socket);
void detector_detach(struct detector *detector, struct peer *peer);

/* The process lives, as far as eBPF or pidfd say: one that had ended would have been noticed. */
bool detector_vouches(const struct detector *detector, const struct peer *peer);

/* Ask the detectors right now. Peers of processes that have ended are told. */
void detector_look(struct detector *detector, const struct peer *peer);

/* The loop's events. */
void detector_readable(struct detector *detector, struct loop_watch *watch);
void detector_tick(struct detector *detector);

#endif
