/* SPDX-License-Identifier: MIT */
/*
 * recording-output.h - the thread that writes what a recorder has put together
 *
 * A recorder must not wait for the disk: a publisher that is not reliable overruns it meanwhile. So the recorder fills blocks of
 * RECORDING_CHUNK_BYTES, and a thread compresses and writes them, the recorder being up to as many blocks ahead as there are.
 *
 * Full blocks go to the disk past the page cache (O_DIRECT) where the file system can do that: on many machines this is several
 * times faster, and what others have in the cache stays there. What is less than a block is written through the cache, as soon as
 * the recorder has nothing else to do. The two never touch the same page: what was written through the cache is continued there up to the page's end.
 *
 * A part is one file. The last of its blocks has `last` set: behind it the thread writes the index, syncs and closes.
 */
#ifndef ZCP_TOOLS_RECORDING_OUTPUT_H
#define ZCP_TOOLS_RECORDING_OUTPUT_H

#include <stdatomic.h>

#include "tools/recording.h"

/* A chunk that is written, for the index. */
struct output_chunk {
	struct output_chunk *next;
	uint64_t offset, bytes;		/* in the file: of a compressed one the thread finds out */
	uint64_t raw_bytes, first_ns, last_ns, messages;
	uint32_t n_pairs, (*pairs)[2];	/* stream, number of its messages */
};

struct output_part {
	int fd, direct_fd;		/* direct_fd -1: through the cache only */
	char *path;
	uint64_t mark;			/* recording_mark() */
	_Atomic uint64_t position;	/* what is complete in the file; the thread's */
	_Atomic uint64_t raw_done;	/* compressed: how far, before compression, it has come; the header counts */
	struct output_chunk *chunks, **chunks_tail;
	uint64_t n_chunks, n_streams;
	uint8_t *streams;		/* records of the index that say what is known of streams */
	size_t streams_bytes;
};

struct output_block {
	struct output_block *next;
	uint8_t *data;			/* RECORDING_CHUNK_BYTES, aligned to pages */
	size_t used, written;		/* written: the thread's */
	uint64_t offset;		/* uncompressed: where data[0] is in the file, a multiple of a page's size */
	struct output_part *part;
	struct output_chunk *chunk;	/* compressed: what it belongs to */
	bool first, last;		/* compressed: of its chunk; of its part */
};

struct output;

struct output_options {
	int level;			/* of zstd; 0: no compression */
	uint64_t buffer_bytes;		/* in blocks, at least two */
	int64_t sync_ns;		/* fdatasync() so often; 0: when a part is finished */
};

/* Whether this build can compress. */
bool output_can_compress(void);

/* 0 or a negative errno value. */
int output_open(struct output **output, const struct output_options *options);

/* A block to be filled: waits for one. NULL: writing has failed. */
struct output_block *output_get(struct output *output);

/* It is full, or the last of its chunk (compressed) or part: to be written. */
void output_put(struct output *output, struct output_block *block);

/* Uncompressed: what is in @block so far is to be written soon. */
void output_flush(struct output *output, struct output_block *block);

/* Readable when writing has failed. */
int output_failure_fd(struct output *output);

/* 0, or the negative errno value of the write that failed, and in *path the file's name. */
int output_failure(struct output *output, const char **path);

/* Bytes in files so far; bytes in blocks that wait to be written. Any thread. */
uint64_t output_written(struct output *output);
uint64_t output_waiting(struct output *output);

/* Write what was put, end the thread. 0 or the failure, as output_failure(). */
int output_close(struct output *output);
void output_free(struct output *output);

/* Create the file of a part with @header in it. 0 or a negative errno value (-EEXIST: without @replace; -EMEDIUMTYPE: no regular file). */
int output_part_open(struct output_part **part, const char *path, const struct recording_header *header, bool replace);

/* Of a part whose last block was never put, when nothing is written any more. */
void output_part_free(struct output_part *part);

#endif
