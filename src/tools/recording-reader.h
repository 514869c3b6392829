/* SPDX-License-Identifier: MIT */
/*
 * recording-reader.h - reads the files of recordings, whole or not, and whatever else somebody calls one
 *
 * What a file says is checked before it is used: sizes against the file's and against fixed limits, so that memory is taken for
 * what is there and not for what is claimed. Damage costs what is damaged: a message whose bytes are not what was written is left out and
 * counted, and behind records that are none, reading goes on with the next chunk.
 */
#ifndef ZCP_TOOLS_RECORDING_READER_H
#define ZCP_TOOLS_RECORDING_READER_H

#include "tools/recording-writer.h"

struct recording_known {
	struct recording_stream description;
	struct recording_total total;
};

struct recording_entry {
	uint64_t offset, bytes, first_ns, last_ns, messages;
	uint32_t n_pairs, (*pairs)[2];	/* stream, number of its messages */
};

struct recording {
	char *path;
	int fd;
	uint64_t size;			/* when it was opened: it may be growing */
	struct recording_header header;
	bool indexed;			/* it was finished, and its index is whole; else it was read from the front */
	bool torn;			/* not indexed: it ends in the middle of a record */
	uint64_t gaps;			/* not indexed: places where records are damaged */
	uint64_t damaged;		/* messages left out so far */
	struct recording_known **streams;	/* by id; NULL: there is none */
	uint32_t n_ids;
	struct recording_entry *entries;
	uint64_t n_entries, n_allocated;
};

/* 0, or a negative errno value with one sentence in @why. */
int recording_open(struct recording **recording, const char *path, char why[RECORDING_WHY]);
void recording_close(struct recording *recording);

/* The stream, or NULL. */
struct recording_known *recording_stream(const struct recording *recording, uint32_t id);

struct recording_item {
	struct recording_message message;
	uint32_t stream;
};

/* A chunk in memory: messages in the order of the file, which point into `bytes`. */
struct recording_chunk {
	uint8_t *bytes;
	uint64_t size;
	struct recording_item *items;
	uint64_t n_items, n_allocated;
};

/*
 * Read chunk @entry. 0; -EBADMSG: nothing of it can be read; -ENOTSUP: it is compressed, and this program cannot; -ENOMEM, or what
 * read(2) says. What is damaged in it is counted in recording->damaged.
 */
int recording_load(struct recording *recording, uint64_t entry, struct recording_chunk *chunk);
void recording_unload(struct recording_chunk *chunk);

/* ---- for recording-scan.c ---- */

/* Up to @size bytes of the file at @offset. Their number, or a negative errno value. */
int64_t recording_read(const struct recording *recording, void *to, uint64_t size, uint64_t offset);

/* Add what a STREAM record says. 0, -EBADMSG, -ENOMEM. */
int recording_add_stream(struct recording *recording, const struct record *record);

/* Add an entry. 0 or -ENOMEM. */
int recording_add_entry(struct recording *recording, const struct recording_entry *entry);

/* Forget streams and entries. */
void recording_forget(struct recording *recording);

/* Fill in entries and streams: from the index (0, -ENODATA: there is none that can be used), or by reading all of it. */
int recording_read_index(struct recording *recording);
int recording_scan(struct recording *recording);

#endif
