/* SPDX-License-Identifier: MIT */
/*
 * recording-pack.c - see recording-pack.h
 */
#include "tools/recording-pack.h"

#include <errno.h>
#include <stdlib.h>

#include "config.h"
#include "tools/crc32c.h"
#include "tools/recording.h"

#ifdef HAVE_ZSTD
#include <zstd.h>

struct packer {
	ZSTD_CCtx *context;
	int level;
};

bool packer_exists(void)
{
	return true;
}

int packer_open(struct packer **packer, int level)
{
	struct packer *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->level = level;
	p->context = ZSTD_createCCtx();
	if (!p->context) {
		free(p);
		return -ENOMEM;
	}
	*packer = p;
	return 0;
}

void packer_close(struct packer *packer)
{
	if (!packer)
		return;
	ZSTD_freeCCtx(packer->context);
	free(packer);
}

size_t packer_bound(void)
{
	return record_bytes(sizeof(struct record_piece), ZSTD_compressBound(RECORDING_CHUNK_BYTES));
}

int packer_pack(struct packer *packer, const void *bytes, size_t size, bool first, uint64_t mark, uint8_t *to, size_t *packed)
{
	const struct record_piece piece = { .raw_bytes = size, .flags = first ? RECORD_PIECE_FIRST : 0, .recording = mark };
	uint8_t *body = to + sizeof(struct record_head) + sizeof(piece);
	size_t n = ZSTD_compressCCtx(packer->context, body, ZSTD_compressBound(RECORDING_CHUNK_BYTES), bytes, size, packer->level);

	if (ZSTD_isError(n))
		return -ENOMEM;
	record_make_head(to, RECORD_PIECE, &piece, sizeof(piece), NULL, 0, n);
	record_make_tail(body + n, sizeof(piece), n, crc32c(0, body, n));
	*packed = record_bytes(sizeof(piece), n);
	return 0;
}

int packer_unpack(void *to, uint64_t raw_bytes, const void *bytes, size_t size)
{
	return ZSTD_decompress(to, raw_bytes, bytes, size) == raw_bytes ? 0 : -EBADMSG;
}
#else
bool packer_exists(void)
{
	return false;
}

int packer_open(struct packer **packer, int level)
{
	(void)packer;
	(void)level;
	return -ENOTSUP;
}

void packer_close(struct packer *packer)
{
	(void)packer;
}

size_t packer_bound(void)
{
	return 0;
}

int packer_pack(struct packer *packer, const void *bytes, size_t size, bool first, uint64_t mark, uint8_t *to, size_t *packed)
{
	(void)packer;
	(void)bytes;
	(void)size;
	(void)first;
	(void)mark;
	(void)to;
	(void)packed;
	return -ENOTSUP;
}

int packer_unpack(void *to, uint64_t raw_bytes, const void *bytes, size_t size)
{
	(void)to;
	(void)raw_bytes;
	(void)bytes;
	(void)size;
	return -ENOTSUP;
}
#endif
