/* SPDX-License-Identifier: MIT */
/*
 * pool.c - set-up of a chunk pool
 */
#include "channel/pool.h"

#include <errno.h>
#include <stdlib.h>

int pool_init(struct writer_pool *pool, unsigned char *segment, const struct channel_pool *geometry, uint32_t payload_max,
	      _Atomic uint32_t *n_touched)
{
	/* both arrays are touched only as far as chunks are used: calloc of large blocks is lazily zeroed memory */
	pool->free = calloc(geometry->count, sizeof(*pool->free));
	pool->state = calloc(geometry->count, sizeof(*pool->state));
	if (!pool->free || !pool->state) {
		pool_deinit(pool);
		return -ENOMEM;
	}
	pool->n_free = 0;
	pool->n_touched = n_touched;
	pool->n_fresh = geometry->count;
	pool->count = geometry->count;
	pool->room = geometry->chunk_bytes < payload_max ? geometry->chunk_bytes : payload_max;
	pool->stride_bytes = geometry->stride_bytes;
	if (!(geometry->stride_bytes & (geometry->stride_bytes - 1)))
		pool->stride_shift = (uint32_t)__builtin_ctzll(geometry->stride_bytes);
	pool->early = geometry->chunk_bytes >= POOL_EARLY_BYTES;
	pool->base = segment + geometry->offset;
	pool->end = pool->base + pool->stride_bytes * pool->count;
	return 0;
}

void pool_deinit(struct writer_pool *pool)
{
	free(pool->free);
	free(pool->state);
	pool->free = NULL;
	pool->state = NULL;
}
