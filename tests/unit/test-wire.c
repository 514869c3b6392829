/* SPDX-License-Identifier: MIT */
/* src/common/wire.c: the table of message types, and what wire_check() refuses. */
#include "common/wire.h"

#include <stdlib.h>

#include "harness.h"

static const struct {
	uint32_t type, size;
	unsigned int n_fds;
} table[] = {
	{ WIRE_HELLO, sizeof(struct wire_hello), 0 },
	{ WIRE_SEGMENT_MAPPED, sizeof(struct wire_segment_mapped), 0 },
	{ WIRE_ENDPOINT_OPEN, sizeof(struct wire_endpoint_open), 0 },
	{ WIRE_ENDPOINT_CLOSE, sizeof(struct wire_endpoint_close), 0 },
	{ WIRE_LANE_CHOSEN, sizeof(struct wire_lane_chosen), 0 },
	{ WIRE_GOODBYE, sizeof(struct wire_goodbye), 0 },
	{ WIRE_REJOIN, sizeof(struct wire_rejoin), 1 },
	{ WIRE_ENDPOINT_RESUME, sizeof(struct wire_endpoint_resume), 2 },
	{ WIRE_MATCH_RESUME, sizeof(struct wire_match_resume), 0 },
	{ WIRE_RESUME_END, sizeof(struct wire_resume_end), 0 },
	{ WIRE_WATCH_OPEN, sizeof(struct wire_watch_open), 0 },
	{ WIRE_WATCH_CLOSE, sizeof(struct wire_watch_close), 0 },
	{ WIRE_POOL_DRY, sizeof(struct wire_pool_dry), 0 },
	{ WIRE_WELCOME, sizeof(struct wire_welcome), 2 },
	{ WIRE_ENDPOINT_OPENED, sizeof(struct wire_endpoint_opened), 2 },
	{ WIRE_ENDPOINT_READY, sizeof(struct wire_endpoint_ready), 0 },
	{ WIRE_WRITER_ADDED, sizeof(struct wire_writer_added), 2 },
	{ WIRE_LANE_ADDED, sizeof(struct wire_lane_added), 2 },
	{ WIRE_WRITER_GONE, sizeof(struct wire_gone), 0 },
	{ WIRE_LANE_GONE, sizeof(struct wire_gone), 0 },
	{ WIRE_MATCH_REFUSED, sizeof(struct wire_match_refused), 0 },
	{ WIRE_ERROR, sizeof(struct wire_error), 0 },
	{ WIRE_ENDPOINT_RESUMED, sizeof(struct wire_endpoint_resumed), 0 },
	{ WIRE_WATCHING, sizeof(struct wire_watching), 0 },
	{ WIRE_WATCH_EVENT, sizeof(struct wire_watch_event), 0 },
	{ WIRE_PEER_ADDED, sizeof(struct wire_peer_added), 0 },
	{ WIRE_FD_TAKE, 32, 0 },
	{ WIRE_FD_CHANNEL, 24, 1 },
	{ WIRE_FD_WANTED, 24, 1 },
	{ WIRE_SEGMENT_GROW, 40, 0 },
	{ WIRE_SEGMENT_RETURN, 32, 0 },
	{ WIRE_SEGMENT_RESUME, 40, 1 },
	{ WIRE_SEGMENT_GROWN, 40, 1 },
	{ WIRE_SEGMENT_READY, 32, 0 },
	{ WIRE_SEGMENT_SHARED, 48, 1 },
	{ WIRE_SEGMENT_WITHDRAWN, 48, 0 },
	{ WIRE_SEGMENT_LOOK, 24, 0 },
	{ WIRE_SEGMENT_SEEN, 40, 1 },
	{ WIRE_SEND, sizeof(struct wire_send), 0 },
	{ WIRE_SEND_MORE, sizeof(struct wire_send_more), 0 },
	{ WIRE_SENT, sizeof(struct wire_sent), 0 },
};
#define N_TABLE (sizeof(table) / sizeof(table[0]))

START_TEST(test_table)
{
	unsigned int n_known = 0;

	for (size_t i = 0; i < N_TABLE; i++) {
		ck_assert_uint_eq(wire_size(table[i].type), table[i].size);
		ck_assert_uint_eq(wire_fds(table[i].type), table[i].n_fds);
		ck_assert_uint_le(table[i].size, WIRE_MESSAGE_MAX);
		ck_assert_uint_le(table[i].n_fds, WIRE_FDS_MAX);
	}

	/* And nothing else in the whole range of the header's field. */
	for (uint32_t type = 0; type <= UINT16_MAX; type++)
		n_known += wire_size(type) != 0;
	ck_assert_uint_eq(n_known, N_TABLE);
	ck_assert_uint_eq(wire_size(UINT32_MAX), 0);
	ck_assert_uint_eq(wire_fds(UINT32_MAX), 0);
	ck_assert_uint_eq(wire_fds(0), 0);
	ck_assert_uint_eq(wire_fds(31), 0);
}
END_TEST

START_TEST(test_init)
{
	union wire_message message;

	memset(&message, 0xa5, sizeof(message));
	wire_init(&message.header, WIRE_WELCOME, 42);
	ck_assert_uint_eq(message.header.magic, WIRE_MAGIC);
	ck_assert_uint_eq(message.header.version, WIRE_VERSION);
	ck_assert_uint_eq(message.header.type, WIRE_WELCOME);
	ck_assert_uint_eq(message.header.size, sizeof(struct wire_welcome));
	ck_assert_uint_eq(message.header.request, 42);
	for (size_t i = sizeof(message.header); i < sizeof(message); i++)
		ck_assert_uint_eq(message.bytes[i], 0xa5);
}
END_TEST

START_TEST(test_every_type_passes)
{
	for (size_t i = 0; i < N_TABLE; i++) {
		union wire_message message = { 0 };

		wire_init(&message.header, (enum wire_type)table[i].type, 1);
		ck_assert_int_eq(wire_check(&message, table[i].size), 0);
	}
}
END_TEST

/* Every length a datagram can have, for every type: only one passes, whatever the header claims. */
START_TEST(test_every_length)
{
	for (size_t i = 0; i < N_TABLE; i++) {
		union wire_message message = { 0 };

		wire_init(&message.header, (enum wire_type)table[i].type, 1);
		for (uint32_t size = 0; size <= WIRE_MESSAGE_MAX + 1; size++) {
			int want = size == table[i].size ? 0 : -EPROTO;

			message.header.size = table[i].size;
			ck_assert_int_eq(wire_check(&message, size), want);
			message.header.size = size;
			ck_assert_int_eq(wire_check(&message, size), want);
		}
	}
}
END_TEST

/* A message that is shorter than a header is not read beyond its end (ASan looks). */
START_TEST(test_short)
{
	for (size_t size = 0; size < sizeof(struct wire_header); size++) {
		struct wire_header header;
		void *bytes = malloc(size + !size);

		wire_init(&header, WIRE_GOODBYE, 0);
		ck_assert_ptr_nonnull(bytes);
		memcpy(bytes, &header, size);
		ck_assert_int_eq(wire_check(bytes, size), -EPROTO);
		free(bytes);
	}
}
END_TEST

START_TEST(test_header_faults)
{
	union wire_message good = { 0 }, message;

	wire_init(&good.header, WIRE_HELLO, 1);

	message = good;
	message.header.magic = __builtin_bswap32(WIRE_MAGIC);
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTO);

	message = good;
	message.header.type = 0;
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTO);
	message.header.type = UINT16_MAX;
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTO);
	message.header.type = 31;
	message.header.size = 0;
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTO);
	message.header.type = WIRE_WELCOME;
	message.header.size = sizeof(message.hello);
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTO);

	message = good;
	message.header.size = UINT32_MAX;
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTO);
	ck_assert_int_eq(wire_check(&message, UINT64_MAX), -EPROTO);
	ck_assert_int_eq(wire_check(&message, (uint64_t)1 << 32 | sizeof(message.hello)), -EPROTO);
}
END_TEST

START_TEST(test_version)
{
	union wire_message message = { 0 };

	wire_init(&message.header, WIRE_HELLO, 1);
	message.header.version = WIRE_VERSION + 1;
	ck_assert_int_eq(wire_check(&message, sizeof(message.hello)), -EPROTONOSUPPORT);

	/* Another version may have types and sizes that we do not know. */
	message.header.type = 99;
	message.header.size = 200;
	ck_assert_int_eq(wire_check(&message, 200), -EPROTONOSUPPORT);

	/* But not more faults than that. */
	ck_assert_int_eq(wire_check(&message, 201), -EPROTO);
	message.header.magic ^= 1;
	ck_assert_int_eq(wire_check(&message, 200), -EPROTO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tcase = add_test_case(suite, "wire", 10);

	tcase_add_test(tcase, test_table);
	tcase_add_test(tcase, test_init);
	tcase_add_test(tcase, test_every_type_passes);
	tcase_add_test(tcase, test_every_length);
	tcase_add_test(tcase, test_short);
	tcase_add_test(tcase, test_header_faults);
	tcase_add_test(tcase, test_version);
	return run_suite(suite);
}
