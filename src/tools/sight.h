/* SPDX-License-Identifier: MIT */
/*
 * sight.h - the segments of others, mapped to look at what moves in them
 *
 * For each endpoint in the directory the router is asked once for the descriptor that its partners have (SEGMENT_LOOK); it is mapped
 * for reading and closed again, so that thousands of endpoints cost no descriptors. From there on looking asks nobody. A few questions are
 * under way at a time, and the answers come while the node dispatches.
 *
 * What is in a segment is a stranger's: the geometry is checked and copied before anything is mapped by it, each word is loaded once,
 * and no loop runs on a number that was found there. Only what was written before is touched, as far as that can be told: reading a hole of a memory
 * file allocates it.
 *
 * Endpoints that have left the directory are unmapped after some time: when a router was restarted they come back.
 */
#ifndef ZCP_TOOLS_SIGHT_H
#define ZCP_TOOLS_SIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "channel/layout.h"
#include "lib/control.h"
#include "lib/endpoint.h"
#include "tools/snapshot.h"

#define SIGHTS_ASKED_MAX 32	/* questions under way */

enum sight_state {
	SIGHT_WANTED,		/* to be asked for */
	SIGHT_ASKED,
	SIGHT_MAPPED,
	SIGHT_PRIVATE,		/* -EPERM: another user's */
	SIGHT_BROKEN,		/* its header is nonsense, or of another version, or it cannot be mapped: see `error` */
};

/* One endpoint. */
struct sight {
	uint64_t id;
	uint32_t kind;				/* enum wire_endpoint_kind */
	enum sight_state state;
	int error;
	uint64_t retry_ns;			/* SIGHT_WANTED: not before */
	unsigned int n_missing;			/* looks at the directory in a row that did not find it */
	const unsigned char *memory;
	uint64_t bytes;				/* mapped; of a data segment that is header and ring */
	struct channel_geometry geometry;	/* publisher: checked copy */
	uint32_t flags;				/* publisher: CHANNEL_* */
	uint32_t n_lanes, max_held;		/* subscriber */
	void *history;				/* of who reads it; freed with it */
	UT_hash_handle hh;
};

struct sights {
	struct zcp_node *node;
	struct sight *by_id;
	struct sight_ask {
		struct request request;		/* first */
		struct sights *sights;
		uint64_t endpoint;		/* 0: not in use */
		bool is_publisher;
	} ask[SIGHTS_ASKED_MAX];
	unsigned int n_asked;
};

/* @node: without a thread. The struct must not be moved. */
void sights_init(struct sights *sights, struct zcp_node *node);
/* Before the node is closed. */
void sights_deinit(struct sights *sights);

/* Bring them in line with @snapshot, but for endpoints of our own node. 0 or -ENOMEM. */
int sights_update(struct sights *sights, const struct snapshot *snapshot);

/* Ask for what is wanted, as far as that may be under way now. True: something is still to come. */
bool sights_ask(struct sights *sights, uint64_t now_ns);

struct sight *sights_find(const struct sights *sights, uint64_t endpoint);

/* ---- looking ---- */

struct sight_writer {
	uint64_t head, tail;			/* head - tail <= ring_slots */
	uint64_t n_failed_loans, ticket;
	uint32_t n_touched[CHANNEL_POOLS_MAX];	/* <= count */
	bool closed;
};

/* Of a publisher that is mapped. */
void sight_read_writer(const struct sight *sight, struct sight_writer *out);

/* What was found in the slots of some messages. */
struct sight_scan {
	uint64_t n_looked, n_valid;		/* slots; and those that still held the message */
	uint64_t n_messages, bytes;		/* of them: not void */
	uint64_t n_chunks[CHANNEL_POOLS_MAX], n_extras;
};

/* Look at up to @most of the messages @from..@to-1, which are in the ring (to - from <= ring_slots), evenly spread. */
void sight_scan(const struct sight *sight, uint64_t from, uint64_t to, uint32_t most, struct sight_scan *out);

struct sight_lane {
	uint64_t cursor;			/* UINT64_MAX: of a subscriber that closes */
	uint64_t skipped, lost, malformed;
	uint32_t n_held;			/* pins: messages in chunks that it has taken and not released */
};

/* Lane @index of a subscriber that is mapped. False: there is no such lane. */
bool sight_read_lane(const struct sight *sight, uint32_t index, struct sight_lane *out);

/* How many messages before sequence @below are pinned there. */
uint32_t sight_count_pins(const struct sight *sight, uint32_t index, uint64_t below);

/* The head of a publisher's channel when it attached the lane of match @generation; UINT64_MAX: it has not. */
uint64_t sight_attached_at(const struct sight *sight, uint64_t generation);

#endif
