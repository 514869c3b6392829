/* SPDX-License-Identifier: MIT */
/*
 * wire.c - what is known about each message type, in one table
 *
 * Both ends look messages up here, so a type that is added without a row is refused everywhere at once. The
 * table says nothing about direction: a node that sends WELCOME is caught by the router's dispatch, which has
 * no handler for it.
 */
#include "common/wire.h"

#include <errno.h>
#include <stddef.h>

#define ROW(message_type, message, fds) [message_type] = { .size = sizeof(struct message), .n_fds = (fds) }

static const struct {
	uint16_t size;
	uint16_t n_fds;
} types[] = {
	ROW(WIRE_HELLO, wire_hello, 0),
	ROW(WIRE_SEGMENT_MAPPED, wire_segment_mapped, 0),
	ROW(WIRE_ENDPOINT_OPEN, wire_endpoint_open, 0),
	ROW(WIRE_ENDPOINT_CLOSE, wire_endpoint_close, 0),
	ROW(WIRE_LANE_CHOSEN, wire_lane_chosen, 0),
	ROW(WIRE_GOODBYE, wire_goodbye, 0),
	ROW(WIRE_REJOIN, wire_rejoin, 1),
	ROW(WIRE_ENDPOINT_RESUME, wire_endpoint_resume, 2),
	ROW(WIRE_MATCH_RESUME, wire_match_resume, 0),
	ROW(WIRE_RESUME_END, wire_resume_end, 0),
	ROW(WIRE_WATCH_OPEN, wire_watch_open, 0),
	ROW(WIRE_WATCH_CLOSE, wire_watch_close, 0),
	ROW(WIRE_POOL_DRY, wire_pool_dry, 0),
	ROW(WIRE_FD_TAKE, wire_fd_take, 0),
	ROW(WIRE_SEGMENT_GROW, wire_segment_grow, 0),
	ROW(WIRE_SEGMENT_RETURN, wire_segment_extra, 0),
	ROW(WIRE_SEGMENT_RESUME, wire_segment_grow, 1),
	ROW(WIRE_SEGMENT_LOOK, wire_segment_look, 0),
	ROW(WIRE_SEND, wire_send, 0),
	ROW(WIRE_SEND_MORE, wire_send_more, 0),

	ROW(WIRE_WELCOME, wire_welcome, 2),
	ROW(WIRE_ENDPOINT_OPENED, wire_endpoint_opened, 2),
	ROW(WIRE_ENDPOINT_READY, wire_endpoint_ready, 0),
	ROW(WIRE_WRITER_ADDED, wire_writer_added, 2),
	ROW(WIRE_LANE_ADDED, wire_lane_added, 2),
	ROW(WIRE_WRITER_GONE, wire_gone, 0),
	ROW(WIRE_LANE_GONE, wire_gone, 0),
	ROW(WIRE_MATCH_REFUSED, wire_match_refused, 0),
	ROW(WIRE_ERROR, wire_error, 0),
	ROW(WIRE_ENDPOINT_RESUMED, wire_endpoint_resumed, 0),
	ROW(WIRE_WATCHING, wire_watching, 0),
	ROW(WIRE_WATCH_EVENT, wire_watch_event, 0),
	ROW(WIRE_PEER_ADDED, wire_peer_added, 0),
	ROW(WIRE_SEGMENT_GROWN, wire_segment_grown, 1),
	ROW(WIRE_SEGMENT_READY, wire_segment_extra, 0),
	ROW(WIRE_SEGMENT_SHARED, wire_segment_shared, 1),
	ROW(WIRE_SEGMENT_WITHDRAWN, wire_segment_shared, 0),
	ROW(WIRE_FD_CHANNEL, wire_fd_channel, 1),
	ROW(WIRE_FD_WANTED, wire_fd_wanted, 1),
	ROW(WIRE_SEGMENT_SEEN, wire_segment_seen, 1),
	ROW(WIRE_SENT, wire_sent, 0),
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

uint32_t wire_size(uint32_t type)
{
	return type < N_TYPES ? types[type].size : 0;
}

unsigned int wire_fds(uint32_t type)
{
	return type < N_TYPES ? types[type].n_fds : 0;
}

void wire_init(struct wire_header *header, enum wire_type type, uint32_t request)
{
	*header = (struct wire_header){
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.type = (uint16_t)type,
		.size = wire_size(type),
		.request = request,
	};
}

int wire_check(const union wire_message *message, uint64_t size)
{
	const struct wire_header *header = &message->header;

	if (size < sizeof(*header))
		return -EPROTO;
	if (header->magic != WIRE_MAGIC || header->size != size)
		return -EPROTO;

	/* Before type and size by type: another version has other types and sizes, and deserves the better message. */
	if (header->version != WIRE_VERSION)
		return -EPROTONOSUPPORT;

	/* The size of an unknown type is 0, which no datagram that holds a header has. */
	if (wire_size(header->type) != size)
		return -EPROTO;
	return 0;
}
