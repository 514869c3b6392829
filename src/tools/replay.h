/* SPDX-License-Identifier: MIT */
/*
 * replay.h - what the parts of zcp replay share
 *
 * cmd-replay.c has the options and the rounds; replay-sources.c opens the files and selects what is replayed; replay-publish.c publishes
 * it, each message when it is due.
 */
#ifndef ZCP_TOOLS_REPLAY_H
#define ZCP_TOOLS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"
#include "tools/progress.h"
#include "tools/recording-cursor.h"
#include "tools/tool.h"

#define REPLAY_PATTERNS_MAX 64

/* Publisher of a stream of one file; the same one for the same publisher in another file. */
struct outlet {
	struct recording_stream stream;
	uint64_t largest;
	uint32_t header_size;
	zcp_publisher *publisher;
};

struct source {
	struct recording *recording;
	bool *wanted;			/* by stream */
	struct outlet **outlets;	/* by stream; NULL: not wanted */
};

struct replay {
	struct wire_topic parsed[REPLAY_PATTERNS_MAX];
	int n_patterns;
	const char *prefix;
	double rate;			/* 0: as fast as possible */
	uint64_t rounds, wait;		/* rounds 0: no end */
	bool reliable, lossy, quiet;
	int64_t start_ns, end_ns;	/* end_ns -1: none */
	int64_t timeout_ns;		/* -1: none */

	zcp_node *node;
	struct source *sources;
	int n_sources;
	struct outlet **outlets;
	size_t n_outlets;
	struct progress progress;
	uint64_t n_messages, n_bytes, begin_ns;
	uint64_t zero_ns;		/* timestamp at which the recording begins */
	uint64_t from_ns, to_ns;	/* timestamps that are replayed */
	uint64_t round_ns;		/* when this round has begun */
	uint64_t latest_ns;		/* by how much a message was late at most */
};

/* ---- replay-sources.c ---- */

/* Open the files, and know the publishers and times of what is to be replayed. 0, or a negative errno value after the complaint. */
int replay_open_sources(struct replay *p, char **paths, int n);
/* The publishers are closed. */
void replay_close_sources(struct replay *p);

/* ---- replay-publish.c ---- */

/* Open the publishers, and wait for their subscribers as far as that is wanted. 0, -EINTR, or another one after the complaint. */
int replay_open_publishers(struct replay *p);
void replay_close_publishers(struct replay *p);

/* The messages of a file. 0, -EINTR, or another one after the complaint. */
int replay_source(struct replay *p, struct source *source);

#endif
