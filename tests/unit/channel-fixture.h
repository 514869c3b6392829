/* SPDX-License-Identifier: MIT */
/*
 * A channel without router and descriptors: two pieces of shared anonymous memory, one writer, a few readers.
 * Mapping is lazy, so the sizes may be those of real segments.
 */
#ifndef ZCP_TESTS_CHANNEL_FIXTURE_H
#define ZCP_TESTS_CHANNEL_FIXTURE_H

#include <stdlib.h>
#include <sys/mman.h>

#include "channel/geometry.h"
#include "channel/reader.h"
#include "channel/retire.h"
#include "channel/writer.h"
#include "harness.h"

#define FIXTURE_READERS 4
#define FIXTURE_LANES 4
#define FIXTURE_PUBLISHER 77

struct fixture_reader {
	void *page;
	uint32_t max_held;
	uint64_t endpoint, generation;
	unsigned char *copies;
	struct channel_reader reader;
	uint64_t buffer[SLOT_INLINE_MAX / 8];	/* of the message taken last */
	unsigned int rings;			/* of its doorbell */
	struct reader_extra extra[EXTRAS_MAX];
	uint64_t extra_pin[16];
	void *room;				/* of the extra copied last; NULL and no_room: there is none */
	bool no_room;
};

struct fixture {
	struct channel_geometry geometry;
	unsigned char *segment;
	struct channel_writer writer;
	unsigned int idle;			/* calls of idle() */
	struct fixture_reader reader[FIXTURE_READERS];
};

static inline void *fixture_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static inline void fixture_ring(void *context, void *peer)
{
	(void)context;
	((struct fixture_reader *)peer)->rings++;
}

static inline void fixture_idle(void *context)
{
	((struct fixture *)context)->idle++;
}

static inline void *fixture_room(void *context, uint32_t k, size_t bytes)
{
	struct fixture_reader *r = context;

	(void)k;
	free(r->room);
	r->room = r->no_room ? NULL : malloc(bytes);
	return r->room;
}

static inline void fixture_open_as(struct fixture *f, const struct geometry_request *request, bool reliable, bool grow)
{
	struct writer_options options = {
		.endpoint = FIXTURE_PUBLISHER,
		.node = 1,
		.reliable = reliable,
		.ring = fixture_ring,
		.ring_context = f,
		.grow = grow,
		.idle = fixture_idle,
	};
	const char *why = NULL;

	memset(f, 0, sizeof(*f));
	ck_assert_msg(geometry_plan(&f->geometry, request, &why) == 0, "%s", why);
	f->segment = fixture_map(f->geometry.segment_bytes);
	ck_assert_int_eq(channel_writer_init(&f->writer, f->segment, &f->geometry, &options), 0);
}

static inline void fixture_open(struct fixture *f, const struct geometry_request *request, bool reliable)
{
	fixture_open_as(f, request, reliable, false);
}

/* Open reader @i without attaching it. */
static inline int fixture_try_join(struct fixture *f, int i, uint32_t max_held, uint32_t history, bool from_start)
{
	struct fixture_reader *r = &f->reader[i];
	struct reader_options options = {
		.publisher = FIXTURE_PUBLISHER,
		.from_start = from_start,
		.history = history,
		.extra = r->extra,
		.extra_pin = r->extra_pin,
		.room = fixture_room,
		.room_context = r,
	};

	r->max_held = max_held;
	r->endpoint = 100 + (uint64_t)i;
	if (!r->generation)
		r->generation = 1000 + (uint64_t)i;
	r->page = fixture_map(lane_page_bytes(FIXTURE_LANES, max_held));
	lane_page_init(r->page, FIXTURE_LANES, max_held, r->endpoint);
	options.generation = r->generation;
	if (f->geometry.n_pools) {
		options.copies_stride = f->geometry.payload_max;
		r->copies = malloc(max_held * options.copies_stride);
		options.copies = r->copies;
	}
	return channel_reader_init(&r->reader, f->segment, f->geometry.segment_bytes, r->page, FIXTURE_LANES, max_held,
				   (uint32_t)i % FIXTURE_LANES, &options);
}

static inline int fixture_attach(struct fixture *f, int i, bool lossy)
{
	struct fixture_reader *r = &f->reader[i];

	return channel_writer_attach(&f->writer, r->generation, r->page, FIXTURE_LANES, r->max_held, (uint32_t)i % FIXTURE_LANES,
				     r->endpoint, lossy, r);
}

static inline void fixture_join(struct fixture *f, int i, uint32_t max_held, bool lossy)
{
	ck_assert_int_eq(fixture_try_join(f, i, max_held, 0, false), 0);
	ck_assert_int_eq(fixture_attach(f, i, lossy), 0);
}

static inline int fixture_take(struct fixture *f, int i, uint32_t pin, struct channel_message *m)
{
	return channel_reader_take(&f->reader[i].reader, pin, f->reader[i].buffer, m);
}

static inline void fixture_close(struct fixture *f)
{
	for (int i = 0; i < FIXTURE_READERS; i++) {
		if (f->reader[i].page)
			munmap(f->reader[i].page, lane_page_bytes(FIXTURE_LANES, f->reader[i].max_held));
		free(f->reader[i].copies);
		free(f->reader[i].room);
	}
	channel_writer_deinit(&f->writer);
	munmap(f->segment, f->geometry.segment_bytes);
}

/* A payload that says its own number in every word. */
static inline void fixture_fill(void *payload, size_t bytes, uint64_t number)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8)
		memcpy((unsigned char *)payload + i, &number, 8);
}

static inline bool fixture_holds(const void *payload, size_t bytes, uint64_t number)
{
	for (size_t i = 0; i + 8 <= bytes; i += 8)
		if (memcmp((const unsigned char *)payload + i, &number, 8) != 0)
			return false;
	return true;
}

/* Publish @bytes that say @number; the result of publish. */
static inline int fixture_publish(struct fixture *f, size_t bytes, uint64_t number)
{
	void *payload;
	int r = channel_writer_loan(&f->writer, bytes, &payload);

	if (r < 0)
		return r;
	fixture_fill(payload, bytes, number);
	r = channel_writer_publish(&f->writer, payload, bytes);
	if (r < 0)
		channel_writer_discard(&f->writer, payload);
	return r;
}

#endif
