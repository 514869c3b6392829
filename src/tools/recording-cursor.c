/* SPDX-License-Identifier: MIT */
/*
 * recording-cursor.c - see recording-cursor.h
 */
#include "tools/recording-cursor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cursor_open(struct cursor *c, struct recording *recording, uint64_t from_ns, uint64_t to_ns, const bool *wanted)
{
	uint64_t n = recording->n_entries, earliest = UINT64_MAX;

	*c = (struct cursor){ .recording = recording, .from_ns = from_ns, .to_ns = to_ns, .wanted = wanted };
	c->earliest = calloc(n ? n : 1, sizeof(*c->earliest));
	c->n_streams = recording->n_ids;
	c->reached = calloc(c->n_streams ? c->n_streams : 1, sizeof(*c->reached));
	if (!c->earliest || !c->reached) {
		cursor_close(c);
		return -ENOMEM;
	}
	for (uint64_t i = n; i-- > 0;) {
		if (recording->entries[i].first_ns < earliest)
			earliest = recording->entries[i].first_ns;
		c->earliest[i] = earliest;
	}
	return 0;
}

static bool is_wanted(const struct cursor *c, uint32_t stream)
{
	/* a stream that only the chunk knows, and not the index, has no total: nobody has decided about it */
	return stream < c->n_streams && (!c->wanted || c->wanted[stream]);
}

/* Whether there can be something in it. */
static bool is_of_interest(const struct cursor *c, const struct recording_entry *entry)
{
	if (entry->last_ns < c->from_ns || entry->first_ns > c->to_ns)
		return false;
	for (uint32_t i = 0; i < entry->n_pairs; i++) {
		if (is_wanted(c, entry->pairs[i][0]))
			return true;
	}
	return !entry->n_pairs;
}

static int compare_places(const void *left, const void *right)
{
	const struct cursor_place *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->item < b->item ? -1 : a->item > b->item;
}

static int arrange(struct cursor *c, struct cursor_chunk *active)
{
	const struct recording_chunk *chunk = &active->chunk;
	bool ordered = true;

	active->places = calloc(chunk->n_items ? chunk->n_items : 1, sizeof(*active->places));
	if (!active->places)
		return -ENOMEM;
	for (uint64_t i = 0; i < chunk->n_items; i++) {
		const struct recording_item *item = &chunk->items[i];
		uint64_t time_ns = item->message.timestamp_ns;

		if (!is_wanted(c, item->stream) || time_ns < c->from_ns || time_ns > c->to_ns)
			continue;
		if (time_ns < c->reached[item->stream])
			time_ns = c->reached[item->stream];
		c->reached[item->stream] = time_ns;
		if (active->n_places && time_ns < active->places[active->n_places - 1].time_ns)
			ordered = false;
		active->places[active->n_places++] = (struct cursor_place){ time_ns, i };
	}
	if (!ordered)
		qsort(active->places, active->n_places, sizeof(*active->places), compare_places);
	return 0;
}

static int load_next(struct cursor *c)
{
	struct cursor_chunk *active = &c->active[c->n_active];
	uint64_t entry = c->next++;
	int r;

	if (!is_of_interest(c, &c->recording->entries[entry]))
		return 0;
	*active = (struct cursor_chunk){ 0 };
	r = recording_load(c->recording, entry, &active->chunk);
	if (r == -EBADMSG) {
		c->recording->damaged++;
		return 0;
	}
	if (r < 0)
		return r;
	r = arrange(c, active);
	if (r < 0 || !active->n_places) {
		free(active->places);
		recording_unload(&active->chunk);
		return r;
	}
	c->n_active++;
	return 0;
}

/* The chunk with the earliest message; those that are equal in the order of the file. NULL: none is loaded. */
static struct cursor_chunk *earliest(struct cursor *c)
{
	struct cursor_chunk *best = NULL;

	for (uint32_t i = 0; i < c->n_active; i++) {
		struct cursor_chunk *a = &c->active[i];

		if (!best || a->places[a->next].time_ns < best->places[best->next].time_ns)
			best = a;
	}
	return best;
}

int cursor_next(struct cursor *c, struct recording_item *item)
{
	struct cursor_chunk *best;

	recording_unload(&c->old);
	while ((best = earliest(c)), c->next < c->recording->n_entries && c->n_active < CURSOR_CHUNKS &&
	       (!best || c->earliest[c->next] < best->places[best->next].time_ns)) {
		int r = load_next(c);

		if (r < 0)
			return r;
	}
	if (!best)
		return 0;
	*item = best->chunk.items[best->places[best->next++].item];
	if (best->next == best->n_places) {
		c->old = best->chunk;
		free(best->places);
		c->n_active--;
		memmove(best, best + 1, (size_t)(&c->active[c->n_active] - best) * sizeof(*best));
	}
	return 1;
}

void cursor_close(struct cursor *c)
{
	for (uint32_t i = 0; i < c->n_active; i++) {
		free(c->active[i].places);
		recording_unload(&c->active[i].chunk);
	}
	recording_unload(&c->old);
	free(c->earliest);
	free(c->reached);
	*c = (struct cursor){ 0 };
}
