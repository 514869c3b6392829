/* SPDX-License-Identifier: MIT */
/*
 * recording-output.c - see recording-output.h
 *
 * One lock, two conditions: `work` for the thread, `room` for the recorder. Blocks are taken from the free list in the order of a
 * stack, so that a recorder that never lags uses few of them, and memory for no more.
 */
#include "tools/recording-output.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tools/recording-pack.h"

#define PAGE 4096u
#define DIRECT_MIN (256u << 10)		/* less is not worth going past the cache */

struct output {
	struct output_options options;
	struct packer *packer;
	uint8_t *packed;		/* a PIECE record */
	uint8_t *memory;
	uint64_t memory_bytes;
	struct output_block *blocks;
	pthread_t thread;
	int failure_fd;
	uint64_t synced_ns;		/* the thread's */

	pthread_mutex_t lock;
	pthread_cond_t work, room;
	/* under lock */
	struct output_block *free, *queue, **queue_tail;
	struct output_block *partial;	/* to be written up to partial_used */
	size_t partial_used;
	bool stopping;
	int error;
	char *error_path;
	uint64_t written, waiting;
};

/* ---- files ---- */

static int write_at(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const uint8_t *p = bytes;

	while (size) {
		ssize_t n = pwrite(fd, p, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Past the cache; what the file system refuses goes through it, from then on all. All three are aligned to pages. */
static int write_direct(struct output_part *part, const uint8_t *bytes, size_t size, uint64_t offset)
{
	while (part->direct_fd >= 0 && size) {
		ssize_t n = pwrite(part->direct_fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EINVAL)
			return -errno;
		n = n < 0 ? 0 : n & ~(ssize_t)(PAGE - 1);
		if (!n)
			part->direct_fd = fd_close(part->direct_fd);
		bytes += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return write_at(part->fd, bytes, size, offset);
}

/* The bytes of @b from b->written to @used. */
static int write_block(struct output_block *b, size_t used)
{
	struct output_part *part = b->part;
	size_t from = b->written, begin = (from + PAGE - 1) & ~(size_t)(PAGE - 1), end = used & ~(size_t)(PAGE - 1);
	int r;

	if (part->direct_fd < 0 || end < begin + DIRECT_MIN) {
		r = write_at(part->fd, b->data + from, used - from, b->offset + from);
		if (!r && used - from >= DIRECT_MIN)
			sync_file_range(part->fd, (off_t)(b->offset + from), (off_t)(used - from), SYNC_FILE_RANGE_WRITE);
		return r;
	}
	r = write_at(part->fd, b->data + from, begin - from, b->offset + from);
	if (!r)
		r = write_direct(part, b->data + begin, end - begin, b->offset + begin);
	return r ? r : write_at(part->fd, b->data + end, used - end, b->offset + end);
}

int output_part_open(struct output_part **out, const char *path, const struct recording_header *header, bool replace)
{
	struct output_part *part = calloc(1, sizeof(*part));
	struct stat st;
	int r = -ENOMEM;

	if (!part)
		return r;
	part->direct_fd = -1;
	part->chunks_tail = &part->chunks;
	part->position = part->raw_done = sizeof(*header);
	part->mark = recording_mark(header);
	part->path = strdup(path);
	part->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (replace ? 0 : O_EXCL), 0666);
	if (part->fd < 0)
		r = errno == EEXIST && stat(path, &st) == 0 && !S_ISREG(st.st_mode) ? -EMEDIUMTYPE : -errno;
	else if (part->path)
		r = fstat(part->fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? -EMEDIUMTYPE : ftruncate(part->fd, 0) < 0 ? -errno : 0;
	if (!r)
		r = write_at(part->fd, header, sizeof(*header), 0);
	if (r < 0) {
		/* a file that is there, and has nothing in it, is of no use to anybody */
		if (part->fd >= 0 && !replace)
			unlink(path);
		fd_close(part->fd);
		free(part->path);
		free(part);
		return r;
	}
	part->direct_fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	*out = part;
	return 0;
}

void output_part_free(struct output_part *part)
{
	struct output_chunk *next;

	for (struct output_chunk *c = part->chunks; c; c = next) {
		next = c->next;
		free(c->pairs);
		free(c);
	}
	fd_close(part->fd);
	fd_close(part->direct_fd);
	free(part->streams);
	free(part->path);
	free(part);
}

/* ---- the index ---- */

static uint64_t index_bytes(const struct output_part *part)
{
	uint64_t n = record_bytes(sizeof(struct record_index), 0) + part->streams_bytes + RECORDING_END_BYTES;

	for (const struct output_chunk *c = part->chunks; c; c = c->next)
		n += record_bytes(sizeof(struct record_entry), c->n_pairs * sizeof(c->pairs[0]));
	return n;
}

static size_t put_entry(uint8_t *to, const struct output_chunk *c)
{
	const struct record_entry entry = {
		.offset = c->offset,
		.bytes = c->bytes,
		.raw_bytes = c->raw_bytes,
		.first_ns = c->first_ns,
		.last_ns = c->last_ns,
		.messages = c->messages,
	};

	return record_make(to, RECORD_ENTRY, &entry, sizeof(entry), c->pairs, c->n_pairs * sizeof(c->pairs[0]));
}

/* Index and END; then the file is whole, and on the disk. */
static int finish_part(struct output *o, struct output_part *part)
{
	const struct record_index index = { .n_streams = part->n_streams, .n_chunks = part->n_chunks };
	struct record_end end = { .index_offset = part->position };
	uint64_t size = index_bytes(part);
	_cleanup_free_ uint8_t *bytes = malloc(size);
	size_t n;
	int r;

	if (!bytes)
		return -ENOMEM;
	memcpy(end.magic, RECORDING_END_MAGIC, sizeof(end.magic));
	n = record_make(bytes, RECORD_INDEX, &index, sizeof(index), NULL, 0);
	if (part->streams_bytes)
		memcpy(bytes + n, part->streams, part->streams_bytes);
	n += part->streams_bytes;
	for (const struct output_chunk *c = part->chunks; c; c = c->next)
		n += put_entry(bytes + n, c);
	n += record_make(bytes + n, RECORD_END, &end, sizeof(end), NULL, 0);
	r = write_at(part->fd, bytes, n, part->position);
	if (!r && fdatasync(part->fd) < 0)
		r = -errno;
	pthread_mutex_lock(&o->lock);
	o->written += n;
	pthread_mutex_unlock(&o->lock);
	return r;
}

/* ---- the thread ---- */

static int write_packed(struct output *o, struct output_block *b)
{
	struct output_part *part = b->part;
	size_t n;
	int r = packer_pack(o->packer, b->data, b->used, b->first, part->mark, o->packed, &n);

	if (!r)
		r = write_at(part->fd, o->packed, n, part->position);
	if (r < 0)
		return r;
	if (b->first)
		b->chunk->offset = part->position;
	b->chunk->bytes += n;
	part->position += n;
	part->raw_done += b->used;
	return 0;
}

/* @used: how far. @done: the block is complete. */
static int write_some(struct output *o, struct output_block *b, size_t used, bool done)
{
	uint64_t before = b->part->position, now;
	int r = 0;

	if (o->packer)
		r = b->used ? write_packed(o, b) : 0;
	else if (used > b->written)
		r = write_block(b, used);
	if (r < 0)
		return r;
	if (!o->packer) {
		b->written = used;
		b->part->position = b->offset + used;
	}
	pthread_mutex_lock(&o->lock);
	o->written += b->part->position - before;
	pthread_mutex_unlock(&o->lock);
	if (done && b->last)
		return finish_part(o, b->part);
	now = clock_now_ns();
	if (o->options.sync_ns && now - o->synced_ns >= (uint64_t)o->options.sync_ns) {
		o->synced_ns = now;
		if (fdatasync(b->part->fd) < 0)
			return -errno;
	}
	return 0;
}

/* Under lock. The first failure is the one that is told. */
static void note_failure(struct output *o, const struct output_part *part, int r)
{
	const uint64_t one = 1;

	if (o->error)
		return;
	o->error = r;
	o->error_path = strdup(part->path);
	if (write(o->failure_fd, &one, sizeof(one)) < 0) {
	}
}

static void settle(struct output *o, struct output_block *b)
{
	if (b->last)
		output_part_free(b->part);
	o->waiting -= b->used;
	b->next = o->free;
	o->free = b;
	pthread_cond_signal(&o->room);
}

static void *run(void *argument)
{
	struct output *o = argument;

	pthread_mutex_lock(&o->lock);
	for (;;) {
		struct output_block *b = o->queue;
		bool done = b;
		size_t used;
		int r = 0;

		if (!b && !o->partial) {
			if (o->stopping)
				break;
			pthread_cond_wait(&o->work, &o->lock);
			continue;
		}
		if (b && !(o->queue = b->next))
			o->queue_tail = &o->queue;
		if (!b)
			b = o->partial;
		used = done ? b->used : o->partial_used;
		if (b == o->partial)
			o->partial = NULL;
		if (!o->error) {
			pthread_mutex_unlock(&o->lock);
			r = write_some(o, b, used, done);
			pthread_mutex_lock(&o->lock);
		}
		if (r < 0)
			note_failure(o, b->part, r);
		if (done)
			settle(o, b);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* ---- the recorder's side ---- */

bool output_can_compress(void)
{
	return packer_exists();
}

static int set_up_blocks(struct output *o)
{
	uint64_t n = o->options.buffer_bytes / RECORDING_CHUNK_BYTES;

	if (n < 2)
		n = 2;
	o->memory_bytes = n * RECORDING_CHUNK_BYTES;
	o->blocks = calloc(n, sizeof(*o->blocks));
	o->memory = mmap(NULL, o->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!o->blocks || o->memory == MAP_FAILED)
		return -ENOMEM;
	madvise(o->memory, o->memory_bytes, MADV_HUGEPAGE);
	for (uint64_t i = n; i-- > 0;) {
		o->blocks[i].data = o->memory + i * RECORDING_CHUNK_BYTES;
		o->blocks[i].next = o->free;
		o->free = &o->blocks[i];
	}
	return 0;
}

int output_open(struct output **output, const struct output_options *options)
{
	struct output *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->options = *options;
	o->queue_tail = &o->queue;
	o->synced_ns = clock_now_ns();
	o->memory = MAP_FAILED;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->work, NULL);
	pthread_cond_init(&o->room, NULL);
	o->failure_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = o->failure_fd < 0 ? -errno : set_up_blocks(o);
	if (!r && options->level)
		r = packer_open(&o->packer, options->level);
	if (!r && o->packer && !(o->packed = malloc(packer_bound())))
		r = -ENOMEM;
	if (!r)
		r = -pthread_create(&o->thread, NULL, run, o);
	if (r < 0) {
		output_free(o);
		return r;
	}
	*output = o;
	return 0;
}

struct output_block *output_get(struct output *o)
{
	struct output_block *b;

	pthread_mutex_lock(&o->lock);
	while (!o->free && !o->error)
		pthread_cond_wait(&o->room, &o->lock);
	b = o->error ? NULL : o->free;
	if (b) {
		o->free = b->next;
		*b = (struct output_block){ .data = b->data };
	}
	pthread_mutex_unlock(&o->lock);
	return b;
}

void output_put(struct output *o, struct output_block *block)
{
	pthread_mutex_lock(&o->lock);
	block->next = NULL;
	*o->queue_tail = block;
	o->queue_tail = &block->next;
	o->waiting += block->used;
	pthread_cond_signal(&o->work);
	pthread_mutex_unlock(&o->lock);
}

void output_flush(struct output *o, struct output_block *block)
{
	pthread_mutex_lock(&o->lock);
	o->partial = block;
	o->partial_used = block->used;
	pthread_cond_signal(&o->work);
	pthread_mutex_unlock(&o->lock);
}

int output_failure_fd(struct output *o)
{
	return o->failure_fd;
}

int output_failure(struct output *o, const char **path)
{
	int r;

	pthread_mutex_lock(&o->lock);
	r = o->error;
	if (r && path)
		*path = o->error_path ? o->error_path : "";
	pthread_mutex_unlock(&o->lock);
	return r;
}

uint64_t output_written(struct output *o)
{
	uint64_t n;

	pthread_mutex_lock(&o->lock);
	n = o->written;
	pthread_mutex_unlock(&o->lock);
	return n;
}

uint64_t output_waiting(struct output *o)
{
	uint64_t n;

	pthread_mutex_lock(&o->lock);
	n = o->waiting;
	pthread_mutex_unlock(&o->lock);
	return n;
}

int output_close(struct output *o)
{
	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	pthread_cond_signal(&o->work);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	return o->error;
}

void output_free(struct output *o)
{
	if (o->memory != MAP_FAILED)
		munmap(o->memory, o->memory_bytes);
	packer_close(o->packer);
	free(o->packed);
	free(o->blocks);
	free(o->error_path);
	fd_close(o->failure_fd);
	pthread_cond_destroy(&o->work);
	pthread_cond_destroy(&o->room);
	pthread_mutex_destroy(&o->lock);
	free(o);
}
