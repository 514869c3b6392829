/* SPDX-License-Identifier: MIT */
/*
 * loop-uring.h - what the parts of the io_uring backend share; see loop-uring.c
 */
#ifndef ZCP_ROUTER_LOOP_URING_H
#define ZCP_ROUTER_LOOP_URING_H

#include <assert.h>
#include <liburing.h>

#include "common/message.h"
#include "router/loop-internal.h"

#define N_BUFFERS 256		/* a power of two */
#define BUFFER_GROUP 1
#define BUFFER_CONTROL ((MESSAGE_CONTROL_BYTES + 15) & ~15ul)
/* recvmsg_out, control, payload; a multiple of 64 so that payloads are aligned. */
#define BUFFER_BYTES ((sizeof(struct io_uring_recvmsg_out) + BUFFER_CONTROL + sizeof(union wire_message) + 63) & ~63ul)
#define BUFFERS_OFFSET 8192	/* behind the ring of buffer descriptors, which must be page-aligned */
#define BUFFERS_BYTES (BUFFERS_OFFSET + N_BUFFERS * BUFFER_BYTES)
static_assert(N_BUFFERS * sizeof(struct io_uring_buf) <= BUFFERS_OFFSET, "the ring fits in front of its buffers");

enum kind {
	KIND_IGNORED,
	KIND_ACCEPT,
	KIND_SIGNAL,
	KIND_TICK,
	KIND_RECEIVE,
	KIND_SEND,
	KIND_DRAIN,
	KIND_CANCEL_DRAIN,
	KIND_CANCEL,
	KIND_POLL,
};

/*
 * What user_data names: a link or a watch. A slot is free again when the kernel owes no completion
 * for it. That of a watch outlives the watch, which its owner may free at once: then it is
 * `abandoned` until the cancelled poll has come back.
 */
struct slot {
	struct loop_link *link;
	struct loop_watch *watch;
	uint32_t generation;
	uint32_t next;		/* index + 1: of the free list, or of the to-do list */
	bool polling;		/* watch: a poll is armed */
	bool abandoned;		/* unwatched */
	bool cancelled;		/* and its poll is being taken back */
	bool to_do;		/* on the list */
};

struct uring_loop {
	struct loop loop;
	struct io_uring ring;
	bool ring_open;
	void *buffers;
	struct io_uring_buf_ring *buffer_ring;
	struct msghdr receive_template;
	struct slot *slots;
	uint32_t n_slots, first_free;	/* index + 1 */
	uint32_t first_to_do;		/* slots of watches that want a poll, or none any more; index + 1 */
	bool accept_armed, accept_paused, signal_armed, tick_armed;
	struct __kernel_timespec tick_time;
};

static inline uint64_t uring_pack(enum kind kind, uint32_t slot, uint32_t generation)
{
	return (uint64_t)kind << 56 | (uint64_t)(slot & 0xffffff) << 32 | generation;
}

/* loop-uring-setup.c */
void *uring_buffer_at(struct uring_loop *u, unsigned int id);
void uring_recycle(struct uring_loop *u, unsigned int id);
void uring_prepare_receive(struct uring_loop *u, struct io_uring_sqe *sqe, int fd);
/* Ring and buffers; 0 or a negative errno value. */
int uring_set_up(struct uring_loop *u);
void uring_close(struct loop *loop);

/* loop-uring-slot.c */
int uring_attach(struct loop *loop, struct loop_link *link);
int uring_watch(struct loop *loop, struct loop_watch *watch);
void uring_unwatch(struct loop *loop, struct loop_watch *watch);
void uring_release_slot(struct uring_loop *u, uint32_t index);
void uring_put_to_do(struct uring_loop *u, uint32_t index);
/* NULL: the completion is late, the slot means something else by now. */
struct slot *uring_slot_of(struct uring_loop *u, uint64_t user_data);

#endif
