/* SPDX-License-Identifier: MIT */
/*
 * recording-parts.h - the files of a recording, one after the other: between recording-writer.c and recording-parts.c
 *
 * recording-parts.c begins and ends a file, and knows when it is large or old enough; recording-writer.c fills it with chunks of
 * messages. Both have the writer's state in common.
 */
#ifndef ZCP_TOOLS_RECORDING_PARTS_H
#define ZCP_TOOLS_RECORDING_PARTS_H

#include "tools/recording-output.h"
#include "tools/recording-writer.h"

struct stream {
	struct recording_stream description;
	struct recording_total all, part;
	uint64_t defined;		/* number of the chunk, over all parts, that has defined it last; 0: none */
	uint32_t in_chunk;		/* messages */
};

struct recording_writer {
	struct recording_options options;
	struct output *output;
	struct recording_header header;
	struct output_part *part;
	struct output_block *block;
	struct output_chunk *chunk;	/* begun; NULL: the next message begins one */
	struct stream *streams;
	uint32_t n_streams, n_allocated;
	uint32_t *touched, n_touched;	/* streams of the chunk */
	uint64_t chunk_number;		/* over all parts, from 1 */
	uint64_t position;		/* of the next byte: in the file, or before compression */
	uint64_t index_bytes;		/* of the part's index, at most */
	uint64_t part_ns, chunk_ns;	/* when they were begun */
	uint64_t flushed;		/* position at the last flush */
	bool failed;
	char why[RECORDING_WHY];	/* what failed, if it was not the output */
};

/* ---- recording-parts.c ---- */

/* Begin the next file. 0, or a negative errno value and a sentence in @why. */
int part_begin(struct recording_writer *w, char why[RECORDING_WHY]);

/* The file's chunk is ended: its index, and the rest is the output's. 0 or a negative errno value. */
int part_end(struct recording_writer *w);

/* Whether @bytes more make the file too large, or it is too old. */
bool part_is_over(const struct recording_writer *w, uint64_t bytes);

/* ---- recording-writer.c ---- */

/* A block to write to; @first: a compressed chunk's first one. False: the writer has failed. */
bool writer_need_block(struct recording_writer *w, bool first);

/* The block is the output's now. */
void writer_put_block(struct recording_writer *w);

/* End the chunk, if one is begun. 0 or -ENOMEM. */
int writer_end_chunk(struct recording_writer *w);

#endif
