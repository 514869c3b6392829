/* SPDX-License-Identifier: MIT */
/* Taking: before and after attachment, lapped, and from writers that write nonsense. */
#include "channel/reader.h"

#include "channel-fixture.h"

static struct fixture f;

START_TEST(test_copies_before_attachment_and_pins_after)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6, .history = 6 }, false);
	fixture_publish(&f, 1000, 1);
	fixture_publish(&f, 1000, 2);
	ck_assert_int_eq(fixture_try_join(&f, 0, 2, 6, false), 0);
	ck_assert_int_eq(fixture_take(&f, 0, 1, &m), 0);
	ck_assert(!m.pinned);
	ck_assert_ptr_eq(m.data, f.reader[0].copies + 1000);
	ck_assert(fixture_holds(m.data, 1000, 1));
	ck_assert_int_eq(fixture_attach(&f, 0, false), 0);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert(m.pinned);
	ck_assert(fixture_holds(m.data, 1000, 2));
	ck_assert_uint_eq(f.reader[0].reader.lane->pin[0], m.sequence + 1);
	channel_reader_release(&f.reader[0].reader, 0);
	ck_assert_uint_eq(f.reader[0].reader.lane->pin[0], 0);
	fixture_close(&f);
}
END_TEST

/* A lane that is used again belongs to another generation; the old one's entry means nothing to it. */
START_TEST(test_attachment_is_by_generation)
{
	struct channel_message m;
	void *peer;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6, .history = 6 }, false);
	fixture_join(&f, 0, 2, false);
	ck_assert_int_eq(channel_writer_attach(&f.writer, 5, f.reader[0].page, FIXTURE_LANES, 2, 1, 1, false, &f.reader[1]), 0);
	ck_assert_int_eq(channel_writer_detach(&f.writer, 5, &peer), 0);
	fixture_publish(&f, 1000, 1);
	f.reader[0].generation++;
	munmap(f.reader[0].page, lane_page_bytes(FIXTURE_LANES, 2));
	free(f.reader[0].copies);
	ck_assert_int_eq(fixture_try_join(&f, 0, 2, 6, false), 0);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert(!m.pinned);
	fixture_close(&f);
}
END_TEST

START_TEST(test_losses_before_our_time_do_not_count)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 64, .depth = 6, .history = 2 }, false);
	fixture_publish(&f, 64, 0);
	ck_assert_int_eq(fixture_try_join(&f, 0, 1, 1, false), 0);
	ck_assert_int_eq(fixture_try_join(&f, 1, 1, 0, true), 0);
	for (uint64_t i = 1; i <= 100; i++)
		fixture_publish(&f, 64, i);
	ck_assert_int_eq(fixture_attach(&f, 0, false), 0);
	ck_assert_int_eq(fixture_attach(&f, 1, false), 0);
	for (uint64_t i = 101; i <= 103; i++)
		fixture_publish(&f, 64, i);
	/* the newcomer was overrun before the writer knew it: that is history, not loss */
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.lost, 0);
	/* the one that was there before the writer misses nothing uncounted */
	ck_assert_int_eq(fixture_take(&f, 1, 0, &m), 0);
	ck_assert_uint_eq(m.lost, m.sequence);
	ck_assert_uint_gt(m.lost, 0);
	fixture_close(&f);
}
END_TEST

/* On a lane that is waited for, a newcomer takes history, and then nothing until it is attached: so it has no gaps. */
START_TEST(test_reliable_newcomer_waits_for_attachment)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 64, .depth = 6, .history = 2 }, true);
	for (uint64_t i = 0; i < 3; i++)
		fixture_publish(&f, 64, i);
	ck_assert_int_eq(fixture_try_join(&f, 0, 1, 1, false), 0);
	ck_assert_int_eq(fixture_try_join(&f, 1, 1, 0, false), 0);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, 2);
	for (uint64_t i = 3; i < 40; i++) {
		fixture_publish(&f, 64, i);
		ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
		ck_assert_int_eq(fixture_take(&f, 1, 0, &m), -EAGAIN);
		ck_assert(!channel_reader_ready(&f.reader[1].reader));
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(fixture_attach(&f, i, false), 0);
	ck_assert(channel_reader_ready(&f.reader[1].reader));
	fixture_publish(&f, 64, 40);
	ck_assert_int_eq(fixture_take(&f, 1, 0, &m), 0);
	ck_assert_uint_eq(m.lost, 0);
	ck_assert_uint_gt(m.sequence, 3);
	/* who was given history is told of the gap behind it */
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.lost, m.sequence - 3);
	fixture_close(&f);
}
END_TEST

/* Of a writer that is gone everything may be taken, attached or not. */
START_TEST(test_what_a_gone_writer_left)
{
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6 }, true);
	ck_assert_int_eq(fixture_try_join(&f, 0, 1, 0, false), 0);
	fixture_publish(&f, 1000, 7);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	channel_reader_writer_gone(&f.reader[0].reader);
	ck_assert(channel_reader_ready(&f.reader[0].reader));
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert(fixture_holds(m.data, 1000, 7));
	fixture_close(&f);
}
END_TEST

/* Ready flags that never end: while such a writer lives each take ends, and when it is gone so does the lane. */
START_TEST(test_endless_ready_flags_end)
{
	struct channel_message m;
	int steps = 0;

	for (int attach = 0; attach < 2; attach++) {
		fixture_open(&f, &(struct geometry_request){ .payload_max = 64 }, true);
		ck_assert_int_eq(fixture_try_join(&f, 0, 1, 0, true), 0);
		if (attach)
			ck_assert_int_eq(fixture_attach(&f, 0, false), 0);
		for (uint32_t i = 0; i < f.geometry.ring_slots; i++)
			atomic_store((_Atomic uint64_t *)(void *)(f.segment + f.geometry.ring_offset + i * f.geometry.slot_bytes), UINT64_MAX);
		for (int i = 0; i < 100; i++)
			ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
		ck_assert(channel_reader_ready(&f.reader[0].reader));
		channel_reader_writer_gone(&f.reader[0].reader);
		for (steps = 0; channel_reader_ready(&f.reader[0].reader); steps++) {
			ck_assert_int_lt(steps, (int)f.geometry.ring_slots);
			ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
		}
		ck_assert_int_gt(steps, 0);
		fixture_close(&f);
	}
}
END_TEST

START_TEST(test_refuses_foreign_segments)
{
	struct channel_header *h;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000 }, false);
	h = (void *)f.segment;
	h->magic++;
	ck_assert_int_eq(fixture_try_join(&f, 0, 1, 0, false), -EPROTO);
	h->magic--;
	h->version++;
	ck_assert_int_eq(fixture_try_join(&f, 1, 1, 0, false), -EPROTONOSUPPORT);
	h->version--;
	h->endpoint++;
	ck_assert_int_eq(fixture_try_join(&f, 2, 1, 0, false), -EPROTO);
	h->endpoint--;
	h->geometry.pool[0].offset += 64;
	ck_assert_int_eq(fixture_try_join(&f, 3, 1, 0, false), -EPROTO);
	h->geometry.pool[0].offset -= 64;
	f.geometry.segment_bytes -= 4096;
	munmap(f.reader[0].page, lane_page_bytes(FIXTURE_LANES, 1));
	free(f.reader[0].copies);
	ck_assert_int_eq(fixture_try_join(&f, 0, 1, 0, false), -EPROTO);
	f.geometry.segment_bytes += 4096;
	fixture_close(&f);
}
END_TEST

static void check_inside(const struct channel_message *m)
{
	const unsigned char *data = m->data;

	if (!m->pinned)
		return;
	ck_assert(data >= f.segment && data + m->size <= f.segment + f.geometry.segment_bytes);
}

/* Random bits in every shared word of the writer: take ends, and what it returns lies within the segment. */
static void nonsense(uint64_t payload_max, uint64_t seed)
{
	uint64_t random = seed;
	struct channel_message m;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 12 }, false);
	fixture_join(&f, 0, 2, false);
	fixture_try_join(&f, 1, 2, 0, true);
	for (uint64_t i = 0; i < 30000; i++) {
		struct channel_header *h = (void *)f.segment;
		uint64_t cur = f.reader[0].reader.cur;
		struct channel_slot *slot = (void *)(f.segment + f.geometry.ring_offset +
						     ((cur & (f.geometry.ring_slots - 1)) * f.geometry.slot_bytes));

		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		switch (random % 7) {
		case 0:
			atomic_store(&slot->seq, random % 11 ? cur + 1 : random);
			break;
		case 1:
			atomic_store(&slot->descriptor, random << 7);
			break;
		case 2:
			/* a plausible reference with an implausible size, and the reverse */
			atomic_store(&slot->descriptor, (random % 3) << 60 | (random >> 40) << 32 | random % 5000);
			atomic_store(&slot->seq, cur + 1);
			break;
		case 3:
			atomic_store(&h->tail, random % 13 ? cur - random % 3 : random);
			break;
		case 4:
			atomic_store(&h->head, random);
			break;
		case 5:
			atomic_store(&h->attached[random % f.geometry.max_lanes].generation, random % 2 ? f.reader[1].generation : random);
			atomic_store(&h->attach_epoch, random);
			break;
		case 6:
			atomic_store(&h->writer_ticket, random);
			break;
		}
		for (int r = 0; r < 2; r++) {
			if (fixture_take(&f, r, 0, &m) == 0) {
				check_inside(&m);
				ck_assert_uint_le(m.size, payload_max > 232 ? payload_max : 232);
				if (m.pinned)
					channel_reader_release(&f.reader[r].reader, 0);
			}
		}
		/* far beyond, a reader would only see an empty ring: start over */
		if (f.reader[0].reader.cur > 1u << 30)
			f.reader[0].reader.cur = 0;
		if (f.reader[1].reader.cur > 1u << 30)
			f.reader[1].reader.cur = 0;
	}
	fixture_close(&f);
}

START_TEST(test_nonsense_is_survived)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		nonsense(40, seed * 7919);
		nonsense(64, seed * 104729);
		nonsense(1000, seed * 1299709);
		nonsense(4000, seed * 15485863);
	}
}
END_TEST

START_TEST(test_malformed_messages_are_counted_and_skipped)
{
	struct channel_message m;
	struct channel_slot *slot;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 64 }, false);
	fixture_join(&f, 0, 1, false);
	for (uint64_t i = 0; i < 3; i++)
		fixture_publish(&f, 64, i);
	slot = (void *)(f.segment + f.geometry.ring_offset + f.geometry.slot_bytes);
	atomic_store(&slot->descriptor, (uint64_t)REF_KIND_INLINE << 60 | 105);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, 2);
	ck_assert_uint_eq(m.lost, 1);
	ck_assert_uint_eq(f.reader[0].reader.malformed, 1);
	fixture_close(&f);
}
END_TEST

static void expect_header(int reader, uint64_t sequence, uint64_t number)
{
	struct channel_message m;

	ck_assert_int_eq(fixture_take(&f, reader, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, sequence);
	ck_assert_ptr_nonnull(m.header);
	ck_assert(fixture_holds(m.header, f.geometry.header_bytes, number));
	ck_assert(fixture_holds(m.data, m.size, sequence));
	if (m.pinned)
		channel_reader_release(&f.reader[reader].reader, 0);
}

/* Argument: payload_max and with it the way a payload travels. Reader 1 is not attached and copies. */
START_TEST(test_headers)
{
	static const uint32_t payload_max[] = { 24, 64, 192, 1000 };
	uint64_t header[2] = { 7, 7 };
	void *loan[3], *other;

	fixture_open(&f, &(struct geometry_request){ .payload_max = payload_max[_i], .depth = 6, .history = 6, .header_bytes = 16 }, false);
	fixture_join(&f, 0, 1, false);
	for (uint64_t i = 0; i < 20; i++) {
		if (i % 2) {
			header[0] = header[1] = 1000 + i;
			channel_writer_set_header(&f.writer, header, sizeof(header));
		}
		fixture_publish(&f, payload_max[_i], i);
		/* none was set: zeroes, and nothing of an earlier one */
		expect_header(0, i, i % 2 ? 1000 + i : 0);
	}
	ck_assert_int_eq(fixture_try_join(&f, 1, 1, 2, false), 0);
	expect_header(1, 18, 0);
	expect_header(1, 19, 1019);

	/* out of order: a lent slot that is passed over must not use up the header */
	ck_assert_int_eq(channel_writer_loan(&f.writer, 8, &loan[0]), 0);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 8, &other), 0);
	header[0] = header[1] = 5;
	channel_writer_set_header(&f.writer, header, sizeof(header));
	fixture_fill(other, 8, payload_max[_i] > 192 ? 20 : 21);
	ck_assert_int_eq(channel_writer_publish(&f.writer, other, 8), 1);
	expect_header(0, payload_max[_i] > 192 ? 20 : 21, 5);
	ck_assert_int_eq(channel_writer_discard(&f.writer, loan[0]), 0);

	/* shorter than the header: filled up with zeroes; longer: cut off */
	channel_writer_set_header(&f.writer, header, 0);
	fixture_publish(&f, 8, f.writer.head);
	expect_header(0, f.writer.head - 1, 0);
	fixture_close(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reader");
	TCase *tc = add_test_case(suite, "reader", 30);

	tcase_add_test(tc, test_copies_before_attachment_and_pins_after);
	tcase_add_test(tc, test_attachment_is_by_generation);
	tcase_add_test(tc, test_losses_before_our_time_do_not_count);
	tcase_add_test(tc, test_reliable_newcomer_waits_for_attachment);
	tcase_add_test(tc, test_what_a_gone_writer_left);
	tcase_add_test(tc, test_endless_ready_flags_end);
	tcase_add_test(tc, test_refuses_foreign_segments);
	tcase_add_test(tc, test_nonsense_is_survived);
	tcase_add_test(tc, test_malformed_messages_are_counted_and_skipped);
	tcase_add_loop_test(tc, test_headers, 0, 4);
	return run_suite(suite);
}
