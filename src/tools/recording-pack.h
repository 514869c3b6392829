/* SPDX-License-Identifier: MIT */
/*
 * recording-pack.h - zstd, or that there is none
 *
 * The one place of recordings that knows libzstd. In a build without it, both ways say -ENOTSUP.
 */
#ifndef ZCP_TOOLS_RECORDING_PACK_H
#define ZCP_TOOLS_RECORDING_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_LEVEL_DEFAULT 1
#define PACK_LEVEL_MAX 19

bool packer_exists(void);

struct packer;
int packer_open(struct packer **packer, int level);
void packer_close(struct packer *packer);

/* Room for a PIECE record of a block. */
size_t packer_bound(void);

/* A PIECE record of @size bytes, a block's at most, to @to; @mark: recording_mark(). 0 or a negative errno value. */
int packer_pack(struct packer *packer, const void *bytes, size_t size, bool first, uint64_t mark, uint8_t *to, size_t *packed);

/* Unpack into exactly @raw_bytes at @to. 0; -EBADMSG: it is something else; -ENOTSUP. */
int packer_unpack(void *to, uint64_t raw_bytes, const void *bytes, size_t size);

#endif
