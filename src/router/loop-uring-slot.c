/* SPDX-License-Identifier: MIT */
/*
 * loop-uring-slot.c - what user_data names: links and watches
 *
 * See struct slot in loop-uring.h. Polls are not made here, only noted on the to-do list, which
 * loop-uring.c carries out with everything else that is submitted.
 */

#include "router/loop-uring.h"

#include <errno.h>
#include <stdlib.h>

static int grow_slots(struct uring_loop *u)
{
	uint32_t n = u->n_slots ? u->n_slots * 2 : 64;
	struct slot *slots;

	if (n > 1u << 24)
		return -ENOMEM;
	slots = realloc(u->slots, n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	u->slots = slots;
	for (uint32_t i = n; i > u->n_slots; i--) {
		slots[i - 1] = (struct slot){ .generation = 1, .next = u->first_free };
		u->first_free = i;
	}
	u->n_slots = n;
	return 0;
}

static int take_slot(struct uring_loop *u, uint32_t *index, uint32_t *generation)
{
	struct slot *slot;
	int r;

	if (!u->first_free) {
		r = grow_slots(u);
		if (r < 0)
			return r;
	}
	*index = u->first_free - 1;
	slot = &u->slots[*index];
	*generation = slot->generation;
	u->first_free = slot->next;
	*slot = (struct slot){ .generation = *generation };
	return 0;
}

void uring_release_slot(struct uring_loop *u, uint32_t index)
{
	struct slot *slot = &u->slots[index];

	*slot = (struct slot){ .generation = slot->generation + 1, .next = u->first_free };
	u->first_free = index + 1;
}

struct slot *uring_slot_of(struct uring_loop *u, uint64_t user_data)
{
	uint32_t index = user_data >> 32 & 0xffffff;

	if (index >= u->n_slots || u->slots[index].generation != (uint32_t)user_data)
		return NULL;
	return &u->slots[index];
}

int uring_attach(struct loop *loop, struct loop_link *link)
{
	struct uring_loop *u = (struct uring_loop *)loop;
	int r = take_slot(u, &link->slot, &link->generation);

	if (r < 0)
		return r;
	u->slots[link->slot].link = link;
	return 0;
}

void uring_put_to_do(struct uring_loop *u, uint32_t index)
{
	struct slot *slot = &u->slots[index];

	if (slot->to_do)
		return;
	slot->to_do = true;
	slot->next = u->first_to_do;
	u->first_to_do = index + 1;
}

int uring_watch(struct loop *loop, struct loop_watch *watch)
{
	struct uring_loop *u = (struct uring_loop *)loop;
	int r = take_slot(u, &watch->slot, &watch->generation);

	if (r < 0)
		return r;
	u->slots[watch->slot].watch = watch;
	uring_put_to_do(u, watch->slot);
	return 0;
}

void uring_unwatch(struct loop *loop, struct loop_watch *watch)
{
	struct uring_loop *u = (struct uring_loop *)loop;
	struct slot *slot = &u->slots[watch->slot];

	assert(slot->watch == watch && slot->generation == watch->generation);
	slot->watch = NULL;
	slot->abandoned = true;
	uring_put_to_do(u, watch->slot);
}
