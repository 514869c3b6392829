/* SPDX-License-Identifier: MIT */
/*
 * recording-writer.h - puts messages together into the files of a recording
 *
 * One thread uses it. Messages are copied, with their checksum computed on the copy: their publisher may be changing them.
 * With a limit of size or time there are several files, NAME.0001.zcprec and so on, each a whole recording by itself.
 */
#ifndef ZCP_TOOLS_RECORDING_WRITER_H
#define ZCP_TOOLS_RECORDING_WRITER_H

#include "tools/recording.h"

struct recording_options {
	const char *path;
	int level;			/* of zstd; 0: no compression */
	bool replace;			/* files that exist */
	uint64_t max_bytes;		/* of a file; 0: no limit. Exceeded by a single message larger than that only */
	int64_t max_ns;			/* of a file; 0: no limit */
	uint64_t keep;			/* files of those that were begun by this writer; 0: all */
	uint64_t buffer_bytes;
	int64_t sync_ns;		/* 0: when a file is finished */
};

struct recording_message {
	const void *data, *header;
	uint64_t size;
	uint32_t header_size, flags;	/* RECORD_MESSAGE_* */
	uint64_t sequence, timestamp_ns, lost;
};

struct recording_writer;

/* Create the first file. 0, or a negative errno value with one sentence in @why. */
#define RECORDING_WHY 512
int recording_writer_open(struct recording_writer **writer, const struct recording_options *options, char why[RECORDING_WHY]);

/* A stream that will have messages; the writer gives it its id. 0, -ENOMEM, or -ENOSPC too many. */
int recording_writer_add(struct recording_writer *writer, struct recording_stream *stream);

/* A message of stream @id. May wait for the disk. 0, or a negative errno value: writing has failed, for good. */
int recording_writer_write(struct recording_writer *writer, uint32_t id, const struct recording_message *message);

/*
 * There is nothing more to write at the moment: let it go to the disk. Returns in how many ns this shall be called again, -1: not
 * before there is another message.
 */
int64_t recording_writer_flush(struct recording_writer *writer);

/* Readable when writing has failed. */
int recording_writer_fd(struct recording_writer *writer);

/* Bytes in files so far; files begun. */
uint64_t recording_writer_bytes(struct recording_writer *writer);
uint32_t recording_writer_parts(struct recording_writer *writer);

/* Of stream @id in all files. */
const struct recording_total *recording_writer_total(struct recording_writer *writer, uint32_t id);

/*
 * Finish the file: index, sync. 0, or the negative errno value of what failed, first, with the sentence in @why. *bytes: of all files.
 * Frees in any case.
 */
int recording_writer_close(struct recording_writer *writer, uint64_t *bytes, char why[RECORDING_WHY]);

#endif
