/* SPDX-License-Identifier: MIT */
/*
 * pool.h - the writer's private book-keeping of one chunk pool
 *
 * Only the writer allocates, so all of this is ordinary private memory: readers never see it, and a reader that
 * dies cannot damage it. The free list is a stack: the chunk freed last is the one most likely still in cache.
 * Chunks never used before are handed out last, so a writer touches only as many pages as it really needs.
 */
#ifndef ZCP_CHANNEL_POOL_H
#define ZCP_CHANNEL_POOL_H

#include "channel/writer.h"

/*
 * From this size on a chunk is worth a look at the cursors, which lets one that was consumed be used again while it is still in
 * cache, rather than a fresh one. The look fetches a line that the reader has just written, as much as a hop from core to core,
 * so there is none before so many chunks are in use: a frame then pays for an eighth of it.
 */
#define POOL_EARLY_BYTES (16u << 10)
#define POOL_WARM_CHUNKS 8u

enum chunk_state {
	CHUNK_OURS = 0,		/* free, in the ring, or in limbo */
	CHUNK_LOANED = 1,	/* with the user: the only state in which a pointer to it is accepted */
};

/* 0 or -ENOMEM. @segment: the mapped data segment. @n_touched: where those who look on find how many chunks were ever handed out. */
int pool_init(struct writer_pool *pool, unsigned char *segment, const struct channel_pool *geometry, uint32_t payload_max,
	      _Atomic uint32_t *n_touched);
void pool_deinit(struct writer_pool *pool);

/* A chunk that was never used before: there is one. */
static inline uint32_t pool_get_fresh(struct writer_pool *pool)
{
	uint32_t index = pool->count - pool->n_fresh--;

	atomic_store_explicit(pool->n_touched, index + 1, memory_order_relaxed);
	return index;
}

/* Index of a chunk, now CHUNK_LOANED, or -1: the pool is dry. */
static inline int64_t pool_get(struct writer_pool *pool)
{
	uint32_t index;

	if (__builtin_expect(pool->n_free > 0, 1))
		index = pool->free[--pool->n_free];
	else if (pool->n_fresh)
		index = pool_get_fresh(pool);
	else
		return -1;
	pool->state[index] = CHUNK_LOANED;
	return index;
}

static inline void pool_put(struct writer_pool *pool, uint32_t index)
{
	pool->free[pool->n_free++] = index;
}

static inline void *pool_chunk(const struct writer_pool *pool, uint32_t index)
{
	return pool->base + index * pool->stride_bytes;
}

/* Index of the chunk that begins at @payload, or -1: not the beginning of one of this pool's chunks. */
static inline int64_t pool_index(const struct writer_pool *pool, const void *payload)
{
	const unsigned char *at = payload;
	uint64_t offset, index;

	if (at < pool->base || at >= pool->end)
		return -1;
	offset = (uint64_t)(at - pool->base);
	/* the division costs more than the rest of a publish */
	index = pool->stride_shift ? offset >> pool->stride_shift : offset / pool->stride_bytes;
	return index * pool->stride_bytes == offset ? (int64_t)index : -1;
}

#endif
