/* SPDX-License-Identifier: MIT */
/*
 * extra.c - the table of extras of a writer that grows
 */
#include "channel/extra.h"

#include <errno.h>

#include "channel/geometry.h"
#include "channel/retire.h"

uint32_t extra_next_id(const struct channel_writer *writer, const uint32_t tried[EXTRAS_MAX])
{
	for (uint32_t i = 0; i < EXTRAS_MAX; i++) {
		if (writer->extra[i].base)
			continue;
		return tried[i] + EXTRAS_MAX > EXTRA_ID_MAX || !tried[i] ? EXTRAS_MAX + i : tried[i] + EXTRAS_MAX;
	}
	return 0;
}

int channel_writer_add_extra(struct channel_writer *writer, uint32_t id, void *memory, uint64_t bytes)
{
	struct writer_extra *e = &writer->extra[id % EXTRAS_MAX];

	if (!extra_is_possible(id, bytes))
		return -EINVAL;
	if (e->base)
		return -EEXIST;
	*e = (struct writer_extra){ .base = memory, .bytes = bytes, .used = writer->head, .id = id, .state = CHUNK_OURS, .free = true };
	writer->n_extras++;
	writer->n_free_extras++;
	return 0;
}

static struct writer_extra *smallest_free(const struct channel_writer *w, size_t size)
{
	struct writer_extra *best = NULL;

	for (uint32_t i = 0; i < EXTRAS_MAX && w->n_free_extras; i++) {
		struct writer_extra *e = &w->extra[i];

		if (e->base && e->free && !e->leaving && size <= e->bytes && (!best || e->bytes < best->bytes))
			best = e;
	}
	return best;
}

int extra_loan(struct channel_writer *writer, size_t size, void **payload)
{
	struct writer_extra *e;

	if (!writer->extra || size > EXTRA_BYTES_MAX)
		return -EMSGSIZE;
	retire_consumed(writer);
	e = smallest_free(writer, size);
	if (!e)
		return -EXFULL;
	e->free = false;
	e->state = CHUNK_LOANED;
	e->used = writer->head;
	writer->n_free_extras--;
	writer->n_loans++;
	writer->last_ref = REF_KIND_EXTRA << REF_KIND_SHIFT | e->id;
	writer->last_state = &e->state;
	writer->last_room = e->bytes;
	writer->last_payload = *payload = e->base;
	return 0;
}

/* Behind the oldest message in the ring that is in an extra which @size fits into; 0: there is none. */
static uint64_t oldest_that_fits(const struct channel_writer *w, size_t size)
{
	for (uint64_t seq = w->tail; seq < w->head; seq++) {
		uint32_t ref = w->slot_ref[seq & w->mask];

		if (ref >> REF_KIND_SHIFT == REF_KIND_EXTRA && size <= w->extra[(ref & REF_INDEX_MASK) % EXTRAS_MAX].bytes)
			return seq + 1;
	}
	return 0;
}

int extra_reclaim(struct channel_writer *writer, size_t size)
{
	uint64_t to;

	retire_consumed(writer);
	while (!smallest_free(writer, size)) {
		to = oldest_that_fits(writer, size);
		if (!to)
			return loan_fail(writer);
		if (retire_overrun(writer, to) < 0)
			return -EAGAIN;
	}
	return 0;
}

void extra_lend_no_more(struct channel_writer *writer, uint32_t id)
{
	struct writer_extra *e = &writer->extra[id % EXTRAS_MAX];

	if (e->base && e->id == id)
		e->leaving = true;
}

bool extra_is_loaned(const struct channel_writer *writer, uint32_t id)
{
	const struct writer_extra *e = &writer->extra[id % EXTRAS_MAX];

	return e->base && e->id == id && e->state == CHUNK_LOANED;
}

/* The one that was free for longest, if that is @idle messages; NULL: there is none. */
static struct writer_extra *find_idle(const struct channel_writer *w, uint64_t idle)
{
	struct writer_extra *best = NULL;

	for (uint32_t i = 0; i < EXTRAS_MAX && w->n_free_extras; i++) {
		struct writer_extra *e = &w->extra[i];

		if (!e->base || !e->free)
			continue;
		if (e->leaving)
			return e;
		if (w->head - e->used >= idle && (!best || e->used < best->used))
			best = e;
	}
	return best;
}

uint32_t extra_drop(struct channel_writer *writer, uint64_t idle)
{
	struct writer_extra *e = find_idle(writer, idle);

	if (!e)
		return 0;
	e->base = NULL;
	writer->n_extras--;
	writer->n_free_extras--;
	return e->id;
}

void extra_look_for_idle(struct channel_writer *writer)
{
	if (writer->head < writer->idle_check)
		return;
	writer->idle_check = writer->head + EXTRA_IDLE;
	if (find_idle(writer, extra_idle_span(writer)))
		writer->idle_fn(writer->ring_context);
}

void extra_put(struct channel_writer *writer, uint32_t id)
{
	struct writer_extra *e = &writer->extra[id % EXTRAS_MAX];

	e->free = true;
	e->used = writer->head;
	writer->n_free_extras++;
}

int extra_find_loan(const struct channel_writer *writer, const void *payload, struct loan *loan)
{
	for (uint32_t i = 0; i < EXTRAS_MAX; i++) {
		struct writer_extra *e = &writer->extra[i];

		if (!e->base || e->base != payload)
			continue;
		if (e->state != CHUNK_LOANED)
			return -EINVAL;
		loan->kind = LOAN_CHUNK;
		loan->ref = REF_KIND_EXTRA << REF_KIND_SHIFT | e->id;
		loan->state = &e->state;
		loan->room = e->bytes;
		return 0;
	}
	return -ENOENT;
}
