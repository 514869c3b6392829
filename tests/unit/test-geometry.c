/* SPDX-License-Identifier: MIT */
/* The layout of a data segment: defaults, limits, and that a changed description is never accepted. */
#include "channel/geometry.h"

#include <errno.h>

#include "channel/layout.h"
#include "harness.h"

static struct channel_geometry plan(struct geometry_request request)
{
	struct channel_geometry g;
	const char *why = NULL;

	ck_assert_msg(geometry_plan(&g, &request, &why) == 0, "%s", why);
	return g;
}

START_TEST(test_defaults_follow_the_payload)
{
	static const struct {
		uint64_t payload_max;
		uint32_t slot_bytes, depth, n_pools;
	} expected[] = {
		{ 1, 64, 1024, 0 }, { 40, 64, 1024, 0 }, { 41, 128, 1024, 0 }, { 64, 128, 1024, 0 }, { 104, 128, 1024, 0 },
		{ 105, 256, 1024, 0 }, { 232, 256, 1024, 0 }, { 233, 64, 1024, 2 }, { 4096, 64, 64, 4 }, { 65536, 64, 4, 6 },
		{ 1 << 20, 64, 4, 8 }, { 4 << 20, 64, 4, 9 }, { 1 << 30, 64, 4, 12 },
	};

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct channel_geometry g = plan((struct geometry_request){ .payload_max = expected[i].payload_max });

		ck_assert_msg(g.slot_bytes == expected[i].slot_bytes && g.depth == expected[i].depth && g.n_pools == expected[i].n_pools,
			      "payload_max %u: slot %u depth %u pools %u", g.payload_max, g.slot_bytes, g.depth, g.n_pools);
		ck_assert_uint_le(g.depth, g.ring_slots - g.ring_slots / 4);
		ck_assert_int_eq(geometry_check(&g), 0);
	}
}
END_TEST

START_TEST(test_headers_take_room_from_the_slot)
{
	static const struct {
		uint32_t payload_max, header_bytes, slot_bytes, header, n_pools;
	} expected[] = {
		{ 40, 0, 64, 0, 0 }, { 40, 1, 128, 8, 0 }, { 24, 16, 64, 16, 0 }, { 25, 16, 128, 16, 0 }, { 192, 40, 256, 40, 0 },
		{ 193, 40, 64, 40, 2 }, { 64, 40, 128, 40, 0 },
	};

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct channel_geometry g = plan((struct geometry_request){ .payload_max = expected[i].payload_max,
									    .header_bytes = expected[i].header_bytes });

		ck_assert_msg(g.slot_bytes == expected[i].slot_bytes && g.header_bytes == expected[i].header && !g.n_pools == !expected[i].n_pools,
			      "%zu: slot %u, header %u, %u pools", i, g.slot_bytes, g.header_bytes, g.n_pools);
		ck_assert_int_eq(geometry_check(&g), 0);
		g.header_bytes = 41;
		ck_assert_int_eq(geometry_check(&g), -EINVAL);
		g.header_bytes = 48;
		ck_assert_int_eq(geometry_check(&g), -EINVAL);
	}
}
END_TEST

START_TEST(test_small_payloads_need_little_memory)
{
	struct channel_geometry g = plan((struct geometry_request){ .payload_max = 64 });

	ck_assert_uint_lt(g.segment_bytes, 512 << 10);
}
END_TEST

START_TEST(test_pools_do_not_overlap)
{
	struct channel_geometry g = plan((struct geometry_request){ .payload_max = 3000001, .depth = 37, .alignment = 4096 });
	uint64_t end = g.ring_offset + (uint64_t)g.ring_slots * g.slot_bytes;

	ck_assert_uint_ge(g.pool[0].chunk_bytes, 3000001);
	for (uint32_t i = 0; i < g.n_pools; i++) {
		ck_assert_uint_ge(g.pool[i].offset, end);
		ck_assert_uint_ge(g.pool[i].stride_bytes, g.pool[i].chunk_bytes);
		ck_assert_uint_eq(g.pool[i].stride_bytes % 4096, 0);
		ck_assert_uint_ge(g.pool[i].count, g.ring_slots + g.held_budget + g.max_loans);
		end = g.pool[i].offset + g.pool[i].stride_bytes * g.pool[i].count;
	}
	ck_assert_uint_le(end, g.segment_bytes);
}
END_TEST

START_TEST(test_refuses_what_is_out_of_limits)
{
	static const struct geometry_request bad[] = {
		{ .payload_max = 0 },
		{ .payload_max = GEOMETRY_PAYLOAD_MAX + 1ull },
		{ .payload_max = UINT64_MAX },
		{ .payload_max = 64, .depth = GEOMETRY_DEPTH_MAX + 1 },
		{ .payload_max = 64, .depth = UINT32_MAX },
		{ .payload_max = 64, .depth = 10, .history = 11 },
		{ .payload_max = 64, .history = UINT32_MAX },
		{ .payload_max = 64, .max_lanes = LANES_MAX + 1 },
		{ .payload_max = 64, .max_loans = 4097 },
		{ .payload_max = 4096, .held_budget = UINT32_MAX },
		{ .payload_max = 64, .alignment = 96 },
		{ .payload_max = 64, .header_bytes = CHANNEL_HEADER_MAX + 1 },
		{ .payload_max = 64, .header_bytes = UINT32_MAX },
		{ .payload_max = 64, .alignment = 8192 },
		{ .payload_max = GEOMETRY_PAYLOAD_MAX, .depth = GEOMETRY_DEPTH_MAX },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct channel_geometry g;
		const char *why = NULL;

		ck_assert_msg(geometry_plan(&g, &bad[i], &why) == -EINVAL, "request %zu", i);
		ck_assert_ptr_nonnull(why);
	}
}
END_TEST

START_TEST(test_check_refuses_every_changed_byte)
{
	struct channel_geometry g = plan((struct geometry_request){ .payload_max = 5000, .depth = 100, .history = 7 });
	unsigned int refused = 0;

	for (size_t i = 0; i < sizeof(g); i++) {
		struct channel_geometry changed = g;

		for (int bit = 0; bit < 8; bit++) {
			((unsigned char *)&changed)[i] = (unsigned char)(((unsigned char *)&g)[i] ^ 1 << bit);
			/*
			 * depth, history, payload_max, max_lanes and header_bytes may take other values in the same
			 * layout; all else hangs together
			 */
			if (geometry_check(&changed) == 0)
				ck_assert_msg(i - offsetof(struct channel_geometry, depth) < 20 ||
					      i == offsetof(struct channel_geometry, header_bytes), "byte %zu bit %d was accepted", i, bit);
			else
				refused++;
		}
	}
	ck_assert_uint_gt(refused, sizeof(g) * 8 - 160);
}
END_TEST

START_TEST(test_lane_page_sizes)
{
	ck_assert_uint_eq(lane_page_bytes(0, 1), 0);
	ck_assert_uint_eq(lane_page_bytes(LANES_MAX + 1, 1), 0);
	ck_assert_uint_eq(lane_page_bytes(1, 0), 0);
	ck_assert_uint_eq(lane_page_bytes(1, HELD_MAX + 1), 0);
	ck_assert_uint_eq(lane_page_bytes(32, 4), LANE_PAGE_FIRST + 4096);
	ck_assert_uint_ge(lane_page_bytes(LANES_MAX, HELD_MAX), LANES_MAX * (HELD_MAX + 1) * 8ull);
	/* tickets stay within the first page and off the header, and spread */
	for (uint64_t id = 0; id < 1000; id++) {
		ck_assert_uint_ge(lane_page_ticket_offset(id), sizeof(struct lane_page_header));
		ck_assert_uint_le(lane_page_ticket_offset(id) + 64, LANE_PAGE_FIRST);
		ck_assert_uint_ne(lane_page_ticket_offset(id), lane_page_ticket_offset(id + 1));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("geometry");
	TCase *tc = add_test_case(suite, "geometry", 10);

	tcase_add_test(tc, test_defaults_follow_the_payload);
	tcase_add_test(tc, test_headers_take_room_from_the_slot);
	tcase_add_test(tc, test_small_payloads_need_little_memory);
	tcase_add_test(tc, test_pools_do_not_overlap);
	tcase_add_test(tc, test_refuses_what_is_out_of_limits);
	tcase_add_test(tc, test_check_refuses_every_changed_byte);
	tcase_add_test(tc, test_lane_page_sizes);
	return run_suite(suite);
}
