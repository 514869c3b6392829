/* SPDX-License-Identifier: MIT */
/* Extras: payloads over payload_max, each in a segment of its own, that come and go while readers lag, hold and lie. */
#include "channel/extra.h"

#include "channel-fixture.h"
#include "channel/pool.h"
#include "channel/retire.h"

#define LARGE (100u << 10)

static struct fixture f;
static uint32_t tried[EXTRAS_MAX];
static unsigned char *memory[EXTRAS_MAX];
static uint64_t memory_bytes[EXTRAS_MAX];

static void open_it(uint64_t payload_max, bool reliable)
{
	memset(tried, 0, sizeof(tried));
	fixture_open_as(&f, &(struct geometry_request){ .payload_max = payload_max, .depth = 6, .max_loans = 16 }, reliable, true);
}

static void close_it(void)
{
	for (uint32_t i = 0; i < EXTRAS_MAX; i++) {
		if (memory[i])
			munmap(memory[i], memory_bytes[i]);
		memory[i] = NULL;
	}
	fixture_close(&f);
}

/* What the owner does after -EXFULL: another extra for @size. Its id. */
static uint32_t grow(size_t size)
{
	uint32_t id = extra_next_id(&f.writer, tried), place = id % EXTRAS_MAX;

	ck_assert_uint_ne(id, 0);
	tried[place] = id;
	if (memory[place])
		munmap(memory[place], memory_bytes[place]);
	memory_bytes[place] = extra_bytes(size);
	memory[place] = fixture_map(memory_bytes[place]);
	ck_assert_int_eq(channel_writer_add_extra(&f.writer, id, memory[place], memory_bytes[place]), 0);
	return id;
}

/* What the owner of reader @i does when it hears of extra @id. */
static void share(int i, uint32_t id)
{
	struct reader_extra *e = &f.reader[i].extra[id % EXTRAS_MAX];

	ck_assert(!reader_holds_extra(&f.reader[i].reader, id % EXTRAS_MAX));
	*e = (struct reader_extra){ .base = memory[id % EXTRAS_MAX], .bytes = memory_bytes[id % EXTRAS_MAX], .id = id };
	reader_extras_changed(&f.reader[i].reader);
}

/* Publish @size bytes, with another extra if it takes one, of which readers 0..n-1 hear. */
static int publish(size_t size, uint64_t number, int n_readers)
{
	int r = fixture_publish(&f, size, number);

	if (r != -EXFULL)
		return r;
	for (uint32_t id = grow(size); n_readers > 0; n_readers--)
		share(n_readers - 1, id);
	return fixture_publish(&f, size, number);
}

static void release(int i, uint32_t k)
{
	channel_reader_release(&f.reader[i].reader, k);
}

START_TEST(test_sizes_and_ids)
{
	ck_assert_uint_eq(extra_bytes(1), EXTRA_BYTES_MIN);
	ck_assert_uint_eq(extra_bytes(EXTRA_BYTES_MIN), EXTRA_BYTES_MIN);
	ck_assert_uint_eq(extra_bytes(EXTRA_BYTES_MIN + 1), 2 * EXTRA_BYTES_MIN);
	ck_assert_uint_eq(extra_bytes(EXTRA_BYTES_MAX), EXTRA_BYTES_MAX);
	ck_assert_uint_eq(extra_bytes(EXTRA_BYTES_MAX / 2 + 1), EXTRA_BYTES_MAX);
	ck_assert(extra_is_possible(EXTRAS_MAX, EXTRA_BYTES_MIN));
	ck_assert(extra_is_possible(EXTRA_ID_MAX, EXTRA_BYTES_MAX));
	ck_assert(!extra_is_possible(EXTRAS_MAX - 1, EXTRA_BYTES_MIN));
	ck_assert(!extra_is_possible(EXTRA_ID_MAX + 1, EXTRA_BYTES_MIN));
	ck_assert(!extra_is_possible(EXTRAS_MAX, EXTRA_BYTES_MIN / 2));
	ck_assert(!extra_is_possible(EXTRAS_MAX, EXTRA_BYTES_MAX * 2));
	ck_assert(!extra_is_possible(EXTRAS_MAX, EXTRA_BYTES_MIN * 3));

	open_it(1000, false);
	ck_assert_uint_eq(extra_next_id(&f.writer, tried), EXTRAS_MAX);
	tried[0] = 5 * EXTRAS_MAX;
	ck_assert_uint_eq(extra_next_id(&f.writer, tried), 6 * EXTRAS_MAX);
	tried[0] = EXTRA_ID_MAX + 1 - EXTRAS_MAX;
	ck_assert_uint_eq(extra_next_id(&f.writer, tried), EXTRAS_MAX);
	ck_assert_int_eq(channel_writer_add_extra(&f.writer, EXTRAS_MAX - 1, &f, EXTRA_BYTES_MIN), -EINVAL);
	ck_assert_int_eq(channel_writer_add_extra(&f.writer, EXTRAS_MAX, &f, EXTRA_BYTES_MIN + 4096), -EINVAL);
	for (uint32_t i = 0; i < EXTRAS_MAX; i++)
		grow(1);
	ck_assert_uint_eq(extra_next_id(&f.writer, tried), 0);
	ck_assert_int_eq(channel_writer_add_extra(&f.writer, EXTRAS_MAX, &f, EXTRA_BYTES_MIN), -EEXIST);
	close_it();
}
END_TEST

START_TEST(test_without_growth_nothing_grows)
{
	void *payload;

	fixture_open(&f, &(struct geometry_request){ .payload_max = 1000, .depth = 6, .max_loans = 1 }, false);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 1001, &payload), -EMSGSIZE);
	ck_assert_int_eq(channel_writer_loan_batch(&f.writer, 1001, &payload, 1), -EMSGSIZE);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 1000, &payload), 0);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 1001, &payload), -EMSGSIZE);
	ck_assert(!(f.writer.header->flags & CHANNEL_GROWS));
	fixture_close(&f);
}
END_TEST

/* All sizes in turn, with pools and without; one reader that takes and holds the one before. */
static void all_sizes(uint64_t payload_max, bool reliable)
{
	struct channel_message m;
	size_t size = 1;

	open_it(payload_max, reliable);
	ck_assert(f.writer.header->flags & CHANNEL_GROWS);
	fixture_join(&f, 0, 2, false);
	for (uint32_t i = 0; i < 400; i++) {
		ck_assert_int_eq(publish(size, i, 1), 1);
		ck_assert_int_eq(fixture_take(&f, 0, i % 2, &m), 0);
		ck_assert_uint_eq(m.sequence, i);
		ck_assert_uint_eq(m.size, size);
		ck_assert(fixture_holds(m.data, m.size, i));
		ck_assert(m.pinned == (size > f.writer.inline_max));
		if (i)
			release(0, (i + 1) % 2);
		size = size * 7 % 300007;
	}
	/* some of each class that was needed, reused all the time */
	ck_assert_uint_le(f.writer.n_extras, 12);
	close_it();
}

START_TEST(test_all_sizes)
{
	all_sizes(64, false);
	all_sizes(64, true);
	all_sizes(1000, false);
	all_sizes(1000, true);
}
END_TEST

START_TEST(test_smallest_that_fits)
{
	void *small, *large, *none;

	open_it(1000, false);
	ck_assert_int_eq(channel_writer_loan(&f.writer, EXTRA_BYTES_MAX + 1, &none), -EMSGSIZE);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 2000, &none), -EXFULL);
	ck_assert_int_eq(channel_writer_send(&f.writer, f.segment, 2000), -EXFULL);
	grow(1 << 20);
	grow(2000);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 2000, &small), 0);
	ck_assert_ptr_eq(small, memory[1]);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 2000, &large), 0);
	ck_assert_ptr_eq(large, memory[0]);
	ck_assert_int_eq(channel_writer_loan(&f.writer, 2000, &none), -EXFULL);
	ck_assert_uint_eq(f.writer.n_loans, 2);

	/* a pointer that comes back is looked up */
	ck_assert_int_eq(channel_writer_publish(&f.writer, (char *)small + 64, 8), -EINVAL);
	ck_assert_int_eq(channel_writer_publish(&f.writer, small, EXTRA_BYTES_MIN + 1), -EMSGSIZE);
	ck_assert_int_eq(channel_writer_discard(&f.writer, small), 0);
	ck_assert_int_eq(channel_writer_discard(&f.writer, small), -EINVAL);
	ck_assert_int_eq(channel_writer_publish(&f.writer, small, 8), -EINVAL);
	ck_assert_int_eq(channel_writer_publish(&f.writer, large, 1 << 20), 0);
	ck_assert_int_eq(channel_writer_publish(&f.writer, large, 8), -EINVAL);
	ck_assert_int_eq(channel_writer_send(&f.writer, f.segment, 2000), 0);
	ck_assert_uint_eq(f.writer.n_loans, 0);
	close_it();
}
END_TEST

START_TEST(test_batches)
{
	void *payloads[4];
	size_t sizes[4] = { LARGE, LARGE, LARGE, LARGE };
	struct channel_message m;

	open_it(1000, false);
	fixture_join(&f, 0, 4, false);
	ck_assert_int_eq(channel_writer_loan_batch(&f.writer, LARGE, payloads, 4), -EXFULL);
	for (int i = 0; i < 3; i++)
		share(0, grow(LARGE));
	/* what there is, as everywhere */
	ck_assert_int_eq(channel_writer_loan_batch(&f.writer, LARGE, payloads, 4), 3);
	for (int i = 0; i < 3; i++)
		fixture_fill(payloads[i], LARGE, (uint64_t)i);
	ck_assert_int_eq(channel_writer_publish_batch(&f.writer, payloads, sizes, 3), 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(fixture_take(&f, 0, (uint32_t)i, &m), 0);
		ck_assert(fixture_holds(m.data, LARGE, (uint64_t)i));
	}
	close_it();
}
END_TEST

START_TEST(test_reader_waits_for_what_it_has_not)
{
	struct channel_message m;
	uint32_t id;

	open_it(1000, true);
	fixture_join(&f, 0, 2, false);
	ck_assert_int_eq(publish(10, 0, 1), 1);
	ck_assert_int_eq(publish(LARGE, 1, 0), 1);
	id = f.writer.extra[0].id;
	ck_assert_int_eq(publish(10, 2, 1), 1);
	ck_assert(channel_reader_ready(&f.reader[0].reader));
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
		ck_assert_uint_eq(f.reader[0].reader.starved, 2);
		/* so that nobody spins */
		ck_assert(!channel_reader_ready(&f.reader[0].reader));
	}
	share(0, id);
	ck_assert(channel_reader_ready(&f.reader[0].reader));
	for (uint64_t i = 1; i < 3; i++) {
		ck_assert_int_eq(fixture_take(&f, 0, (uint32_t)i - 1, &m), 0);
		ck_assert_uint_eq(m.sequence, i);
		ck_assert_uint_eq(m.lost, 0);
	}
	close_it();
}
END_TEST

START_TEST(test_lossy_reader_waits_and_is_overrun)
{
	struct channel_message m;

	open_it(1000, false);
	fixture_join(&f, 0, 2, false);
	ck_assert_int_eq(publish(LARGE, 0, 0), 1);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	for (uint64_t i = 1; i < 20; i++)
		ck_assert_int_eq(publish(10, i, 0), 1);
	ck_assert(channel_reader_ready(&f.reader[0].reader));
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, m.lost);
	close_it();
}
END_TEST

START_TEST(test_what_cannot_be_had_is_lost)
{
	struct channel_message m;
	uint32_t id;

	open_it(1000, false);
	fixture_join(&f, 0, 2, false);
	publish(LARGE, 0, 0);
	publish(10, 1, 0);
	/* the owner could not map it */
	id = f.writer.extra[0].id;
	f.reader[0].extra[id % EXTRAS_MAX] = (struct reader_extra){ .id = id };
	reader_extras_changed(&f.reader[0].reader);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, 1);
	ck_assert_uint_eq(m.lost, 1);
	ck_assert_uint_eq(f.reader[0].reader.malformed, 0);

	/* the writer is gone, and what did not come with it does not come any more */
	memset(f.reader[0].extra, 0, sizeof(f.reader[0].extra));
	publish(LARGE, 2, 0);
	publish(10, 3, 0);
	release(0, 0);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	ck_assert(!channel_reader_ready(&f.reader[0].reader));
	channel_reader_writer_gone(&f.reader[0].reader);
	ck_assert(channel_reader_ready(&f.reader[0].reader));
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, 3);
	ck_assert_uint_eq(m.lost, 1);
	close_it();
}
END_TEST

START_TEST(test_hostile_writer)
{
	struct channel_message m;
	struct channel_slot *slot;

	open_it(1000, false);
	fixture_join(&f, 0, 2, false);
	publish(LARGE, 0, 1);
	publish(LARGE, 1, 1);
	publish(10, 2, 1);
	/* larger than the extra is */
	slot = writer_slot(&f.writer, 0);
	atomic_store(&slot->descriptor, (atomic_load(&slot->descriptor) & ~(uint64_t)UINT32_MAX) | ((128u << 10) + 1));
	/* one that nobody has heard of, and never will */
	slot = writer_slot(&f.writer, 1);
	atomic_store(&slot->descriptor, (uint64_t)(REF_KIND_EXTRA << REF_KIND_SHIFT | 1234567) << 32 | 100);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	ck_assert_uint_eq(f.reader[0].reader.malformed, 1);
	ck_assert(!channel_reader_ready(&f.reader[0].reader));

	/* a reader without a table takes it for nonsense */
	f.reader[0].reader.extra = NULL;
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.sequence, 2);
	ck_assert_uint_eq(m.lost, 2);
	ck_assert_uint_eq(f.reader[0].reader.malformed, 2);
	close_it();
}
END_TEST

START_TEST(test_copies_before_attachment)
{
	struct channel_message m;

	fixture_open_as(&f, &(struct geometry_request){ .payload_max = 64, .depth = 6, .history = 6 }, false, true);
	for (uint64_t i = 0; i < 4; i++)
		publish(LARGE, i, 0);
	ck_assert_int_eq(fixture_try_join(&f, 0, 2, 6, false), 0);
	for (uint32_t i = 0; i < 4; i++)
		share(0, f.writer.extra[i].id);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert(!m.pinned && fixture_holds(m.data, LARGE, 0));
	ck_assert_ptr_eq(m.data, f.reader[0].room);
	/* no room for a copy: lost, and counted */
	f.reader[0].no_room = true;
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), -EAGAIN);
	ck_assert_uint_eq(f.reader[0].reader.lost, 3);
	f.reader[0].no_room = false;
	ck_assert_int_eq(fixture_attach(&f, 0, true), 0);
	publish(LARGE, 4, 1);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert(m.pinned && fixture_holds(m.data, LARGE, 4));
	close_it();
}
END_TEST

START_TEST(test_pinned_extra_is_not_lent_again)
{
	struct channel_message held, m;

	open_it(64, false);
	fixture_join(&f, 0, 2, false);
	publish(LARGE, 4711, 1);
	ck_assert_int_eq(fixture_take(&f, 0, 1, &held), 0);
	ck_assert(reader_holds_extra(&f.reader[0].reader, 0));
	ck_assert(!reader_holds_extra(&f.reader[0].reader, 1));
	for (uint64_t i = 0; i < 500; i++) {
		ck_assert_int_eq(publish(LARGE, i, 1), 1);
		ck_assert(fixture_holds(held.data, held.size, 4711));
	}
	ck_assert_uint_eq(f.writer.n_limbo, 1);
	ck_assert_uint_le(f.writer.n_extras, f.geometry.ring_slots + 2);
	release(0, 1);
	ck_assert(!reader_holds_extra(&f.reader[0].reader, 0));
	while (fixture_take(&f, 0, 0, &m) == 0)
		release(0, 0);
	retire_consumed(&f.writer);
	ck_assert_uint_eq(f.writer.n_limbo, 0);
	ck_assert_uint_eq(f.writer.n_free_extras, f.writer.n_extras);
	/* another message behind the same pin does not count as one in the extra */
	publish(10, 0, 1);
	ck_assert_int_eq(fixture_take(&f, 0, 1, &m), 0);
	ck_assert(!reader_holds_extra(&f.reader[0].reader, 0));
	close_it();
}
END_TEST

START_TEST(test_reclaim)
{
	struct channel_message m;
	void *payload;

	/* lossy: the oldest that fits is lost */
	open_it(64, false);
	fixture_join(&f, 0, 2, false);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), -ENOBUFS);
	publish(1000, 0, 1);
	publish(LARGE, 1, 1);
	publish(LARGE, 2, 1);
	ck_assert_int_eq(channel_writer_loan(&f.writer, LARGE, &payload), -EXFULL);
	ck_assert_int_eq(extra_reclaim(&f.writer, 1 << 20), -ENOBUFS);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), 0);
	ck_assert_uint_eq(f.writer.tail, 2);
	ck_assert_uint_eq(f.writer.n_free_extras, 2);
	ck_assert_int_eq(fixture_publish(&f, LARGE, 3), 1);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_uint_eq(m.lost, 2);
	ck_assert_uint_eq(m.sequence, 2);

	/* what is pinned or lent cannot be had */
	ck_assert_int_eq(fixture_take(&f, 0, 1, &m), 0);
	ck_assert_int_eq(channel_writer_loan(&f.writer, LARGE, &payload), -EXFULL);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), -ENOBUFS);
	release(0, 0);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), 0);
	ck_assert_int_eq(channel_writer_loan(&f.writer, LARGE, &payload), 0);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), -ENOBUFS);
	close_it();

	/* reliable: waited for */
	open_it(64, true);
	fixture_join(&f, 0, 2, false);
	publish(LARGE, 0, 1);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), -EAGAIN);
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), -ENOBUFS);
	release(0, 0);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), 0);
	/* one that is announced, too */
	ck_assert_int_eq(fixture_publish(&f, LARGE, 1), 1);
	f.writer.n_expected = 1;
	ck_assert_int_eq(fixture_take(&f, 0, 0, &m), 0);
	release(0, 0);
	ck_assert_int_eq(extra_reclaim(&f.writer, LARGE), -EAGAIN);
	close_it();
}
END_TEST

START_TEST(test_idle_extras_are_found)
{
	uint64_t span;

	open_it(64, false);
	span = extra_idle_span(&f.writer);
	ck_assert_uint_eq(span, EXTRA_IDLE);
	ck_assert_uint_eq(extra_drop(&f.writer, 0), 0);
	publish(LARGE, 0, 0);
	publish(1 << 20, 0, 0);
	for (uint64_t i = 0; i < span / 2; i++)
		publish(10, i, 0);
	ck_assert_uint_eq(f.idle, 0);
	ck_assert_uint_eq(extra_drop(&f.writer, span), 0);
	/* the larger one is needed still */
	publish(1 << 20, 0, 0);
	for (uint64_t i = 0; i < span; i++)
		publish(10, i, 0);
	ck_assert_uint_gt(f.idle, 0);
	ck_assert_uint_eq(extra_drop(&f.writer, span), EXTRAS_MAX);
	ck_assert_uint_eq(extra_drop(&f.writer, span), 0);
	ck_assert_uint_eq(f.writer.n_extras, 1);
	/* and then not; where nothing is idle nobody is told */
	f.idle = 0;
	for (uint64_t i = 0; i < 3 * span; i++)
		publish(10, i, 0);
	ck_assert_uint_gt(f.idle, 0);
	ck_assert_uint_eq(extra_drop(&f.writer, span), EXTRAS_MAX + 1);
	ck_assert_uint_eq(f.writer.n_extras, 0);
	f.idle = 0;
	for (uint64_t i = 0; i < 3 * span; i++)
		publish(10, i, 0);
	ck_assert_uint_eq(f.idle, 0);
	/* its place goes to another with another id */
	ck_assert_int_eq(publish(LARGE, 0, 0), 0);
	ck_assert_uint_eq(f.writer.extra[0].id, 2 * EXTRAS_MAX);
	close_it();
}
END_TEST

/* Extras come and go, one reader lags and holds, another lies. Nothing is lent twice, nothing that is held changes. */
START_TEST(test_torture)
{
	uint64_t random = 88172645463325252u, number[2] = { 0 };
	struct channel_message held[2];
	bool holds[2] = { false };

	open_it(1000, false);
	fixture_join(&f, 0, 2, false);
	fixture_join(&f, 1, 4, false);
	for (uint64_t i = 0; i < 20000; i++) {
		struct channel_lane *lane = f.reader[1].reader.lane;
		uint32_t k = i % 2, id;

		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		atomic_store(&lane->pin[random % 4], random % 3 ? f.writer.head - random % 16 : random);
		atomic_store(&lane->cursor, random);
		/* large ones say their number in front only */
		ck_assert_int_eq(publish(random % 5 ? 8 : 70000, i, 1), 2);
		if (random % 11 == 0)
			while ((id = extra_drop(&f.writer, 0)))
				f.reader[0].extra[id % EXTRAS_MAX] = (struct reader_extra){ 0 };
		for (int n = 0; n < 2; n++)
			if (holds[n])
				ck_assert(fixture_holds(held[n].data, 8, number[n]));
		if (random % 7 > 1)
			continue;
		if (holds[k] && held[k].pinned)
			release(0, k);
		holds[k] = fixture_take(&f, 0, k, &held[k]) == 0;
		if (holds[k] && !held[k].pinned)
			holds[k] = false;	/* the buffer is shared */
		else if (holds[k])
			memcpy(&number[k], held[k].data, 8);
	}
	close_it();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extra");
	TCase *tc = add_test_case(suite, "extra", 60);

	tcase_add_test(tc, test_sizes_and_ids);
	tcase_add_test(tc, test_without_growth_nothing_grows);
	tcase_add_test(tc, test_all_sizes);
	tcase_add_test(tc, test_smallest_that_fits);
	tcase_add_test(tc, test_batches);
	tcase_add_test(tc, test_reader_waits_for_what_it_has_not);
	tcase_add_test(tc, test_lossy_reader_waits_and_is_overrun);
	tcase_add_test(tc, test_what_cannot_be_had_is_lost);
	tcase_add_test(tc, test_hostile_writer);
	tcase_add_test(tc, test_copies_before_attachment);
	tcase_add_test(tc, test_pinned_extra_is_not_lent_again);
	tcase_add_test(tc, test_reclaim);
	tcase_add_test(tc, test_idle_extras_are_found);
	tcase_add_test(tc, test_torture);
	return run_suite(suite);
}
