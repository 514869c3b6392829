/* SPDX-License-Identifier: MIT */
/* Counters: whose bell is rung, what a lane begins with, and counters that a hostile writer moves as it likes. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "channel/counters.h"
#include "channel/geometry.h"
#include "harness.h"

#define N_LANES 2
#define N_IDS 100

struct world {
	struct channel_geometry geometry;
	unsigned char *segment;
	struct channel_writer writer;
	struct {
		void *page;
		struct channel_reader reader;
		uint64_t interest[2], seen[N_IDS], head, pending[N_IDS], bits[2];
		int n_rung;
	} lane[N_LANES];
};

static struct world w;

static void ring(void *context, void *peer)
{
	ck_assert_ptr_eq(context, &w);
	++*(int *)peer;
}

static void *map(uint64_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(memory, MAP_FAILED);
	return memory;
}

static void open_world(void)
{
	struct writer_options options = { .endpoint = 1, .node = 2, .counters = true, .ring = ring, .ring_context = &w };
	const char *why;

	memset(&w, 0, sizeof(w));
	ck_assert_int_eq(counters_plan(&w.geometry, N_IDS, N_LANES, &why), 0);
	ck_assert_uint_ge(counters_of(&w.geometry), N_IDS);
	w.segment = map(w.geometry.segment_bytes);
	ck_assert_int_eq(channel_writer_init(&w.writer, w.segment, &w.geometry, &options), 0);
}

static int try_begin(int i, bool from_start)
{
	struct reader_options options = { .generation = 10 + (uint64_t)i, .publisher = 1, .lossy = true, .counters = true, .from_start = from_start };
	int r;

	if (!w.lane[i].page) {
		w.lane[i].page = map(lane_page_bytes(1, 2));
		lane_page_init(w.lane[i].page, 1, 2, 100 + (uint64_t)i);
	}
	r = channel_reader_init(&w.lane[i].reader, w.segment, w.geometry.segment_bytes, w.lane[i].page, 1, 2, 0, &options);
	if (r < 0)
		return r;
	w.lane[i].head = counters_begin(&w.lane[i].reader, w.lane[i].interest, N_IDS, w.lane[i].seen, from_start);
	return channel_writer_attach(&w.writer, 10 + (uint64_t)i, w.lane[i].page, 1, 2, 0, 100 + (uint64_t)i, true, &w.lane[i].n_rung);
}

static void begin(int i, bool from_start)
{
	ck_assert_int_eq(try_begin(i, from_start), 0);
	w.lane[i].n_rung = 0;
}

static void collect(int i)
{
	counters_collect(&w.lane[i].reader, w.lane[i].interest, N_IDS, w.lane[i].seen, &w.lane[i].head, w.lane[i].pending, w.lane[i].bits);
}

static void close_world(void)
{
	channel_writer_deinit(&w.writer);
	munmap(w.segment, w.geometry.segment_bytes);
	for (int i = 0; i < N_LANES; i++)
		if (w.lane[i].page)
			munmap(w.lane[i].page, lane_page_bytes(1, 2));
}

START_TEST(test_rings_who_asked_for_it)
{
	open_world();
	w.lane[0].interest[0] = 1u << 5;
	w.lane[1].interest[1] = 1u << 1;
	begin(0, false);
	begin(1, false);
	/* awake: nobody is rung */
	counters_notify(&w.writer, 5);
	counters_notify(&w.writer, 65);
	ck_assert_int_eq(w.lane[0].n_rung + w.lane[1].n_rung, 0);
	lane_page_arm(w.lane[0].page, 100);
	lane_page_arm(w.lane[1].page, 101);
	counters_notify(&w.writer, 6);
	ck_assert_int_eq(w.lane[0].n_rung + w.lane[1].n_rung, 0);
	counters_notify(&w.writer, 5);
	counters_notify(&w.writer, 5);
	ck_assert_int_eq(w.lane[0].n_rung, 1);
	ck_assert_int_eq(w.lane[1].n_rung, 0);
	counters_notify(&w.writer, 65);
	ck_assert_int_eq(w.lane[1].n_rung, 1);
	collect(0);
	collect(1);
	ck_assert_uint_eq(w.lane[0].pending[5], 3);
	ck_assert_uint_eq(w.lane[0].bits[0], 1u << 5);
	ck_assert_uint_eq(w.lane[0].bits[1], 0);
	ck_assert_uint_eq(w.lane[1].pending[65], 2);
	ck_assert_uint_eq(w.lane[1].bits[1], 2);
	/* messages are not among it */
	ck_assert(!channel_reader_ready(&w.lane[0].reader));
	close_world();
}
END_TEST

START_TEST(test_begins_now_or_at_the_start)
{
	open_world();
	w.lane[0].interest[0] = w.lane[1].interest[0] = ~UINT64_C(0);
	counters_notify(&w.writer, 0);
	counters_notify(&w.writer, 63);
	begin(0, false);
	begin(1, true);
	collect(0);
	collect(1);
	ck_assert_uint_eq(w.lane[0].bits[0], 0);
	ck_assert_uint_eq(w.lane[1].bits[0], 1 | UINT64_C(1) << 63);
	counters_notify(&w.writer, 0);
	collect(0);
	collect(1);
	ck_assert_uint_eq(w.lane[0].pending[0], 1);
	ck_assert_uint_eq(w.lane[1].pending[0], 2);
	close_world();
}
END_TEST

/* Counters that go back, jump, or change without the head: no more than wrong numbers, and never none where there were some. */
START_TEST(test_hostile_writer)
{
	_Atomic uint64_t *counter;

	open_world();
	w.lane[0].interest[0] = ~UINT64_C(0);
	w.lane[0].interest[1] = ~UINT64_C(0);
	begin(0, false);
	counter = (_Atomic uint64_t *)(void *)w.writer.ring;
	counters_notify(&w.writer, 3);
	collect(0);
	ck_assert_uint_eq(w.lane[0].pending[3], 1);
	atomic_store(&counter[3], 0);
	collect(0);
	ck_assert_uint_eq(w.lane[0].pending[3], 1);
	counters_notify(&w.writer, 4);
	collect(0);
	ck_assert_uint_eq(w.lane[0].pending[3], UINT64_MAX);
	atomic_store(&counter[3], 5);
	counters_notify(&w.writer, 4);
	collect(0);
	ck_assert_uint_eq(w.lane[0].pending[3], UINT64_MAX);
	/* ids that nobody has are not looked at */
	atomic_store(&counter[N_IDS], 7);
	counters_notify(&w.writer, 4);
	collect(0);
	ck_assert_uint_eq(w.lane[0].bits[1], 0);
	/* a head that stands still hides what it hides, until it moves */
	atomic_store(&counter[9], 1);
	collect(0);
	ck_assert_uint_eq(w.lane[0].pending[9], 0);
	close_world();
}
END_TEST

/* Neither end takes a channel of the other sort for its own. */
START_TEST(test_messages_are_not_counters)
{
	struct reader_options options = { .generation = 10, .publisher = 1, .lossy = true };

	open_world();
	begin(0, false);
	ck_assert_int_eq(channel_reader_init(&w.lane[0].reader, w.segment, w.geometry.segment_bytes, w.lane[0].page, 1, 2, 0, &options), -EPROTO);
	w.writer.header->flags &= ~CHANNEL_COUNTERS;
	ck_assert_int_eq(try_begin(1, false), -EPROTO);
	close_world();
}
END_TEST

START_TEST(test_as_many_as_there_can_be)
{
	struct channel_geometry g;
	const char *why;

	for (uint32_t n = 1; n <= COUNTERS_MAX; n = n < 1000 ? n + 1 : n * 2) {
		ck_assert_int_eq(counters_plan(&g, n, 1, &why), 0);
		ck_assert_uint_ge(counters_of(&g), n);
	}
	ck_assert_int_eq(counters_plan(&g, COUNTERS_MAX, 4096, &why), 0);
	ck_assert_uint_eq(counters_of(&g), COUNTERS_MAX);
	ck_assert_int_eq(counters_plan(&g, 1, 4097, &why), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("counters");
	TCase *tcase = add_test_case(suite, "counters", 20);

	tcase_add_test(tcase, test_rings_who_asked_for_it);
	tcase_add_test(tcase, test_begins_now_or_at_the_start);
	tcase_add_test(tcase, test_hostile_writer);
	tcase_add_test(tcase, test_messages_are_not_counters);
	tcase_add_test(tcase, test_as_many_as_there_can_be);
	return run_suite(suite);
}
