/* SPDX-License-Identifier: MIT */
/*
 * One writer and three readers as threads, for ThreadSanitizer's eyes, and for the sleeping and waking that one
 * thread cannot show: a reader that sleeps is woken by the next message, a writer that waits for room by the
 * next cursor. Doorbells are eventfds here. Every payload says its number in every word.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "channel-fixture.h"
#include "channel/barrier.h"

#define READERS 3

struct run {
	struct fixture f;
	int doorbell[READERS], writer_doorbell;
	size_t bytes;
	uint64_t messages;
	bool reliable;
	bool lag[READERS];
	_Atomic uint64_t received[READERS], lost[READERS];
};

static struct run run;

static void ring_eventfd(void *context, void *peer)
{
	uint64_t one = 1;
	size_t i = (size_t)((struct fixture_reader *)peer - run.f.reader);

	(void)context;
	ck_assert_int_eq(write(run.doorbell[i], &one, 8), 8);
}

/* A lost wake-up would show as a sleep that only the timeout ends. */
static void sleep_on(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count;

	ck_assert_msg(poll(&p, 1, 20000) == 1, "slept for 20 s: a wake-up was lost");
	ck_assert_int_eq(read(fd, &count, 8), 8);
}

static bool take_one(int i, uint64_t *next)
{
	struct fixture_reader *r = &run.f.reader[i];
	uint32_t k = (uint32_t)*next % r->max_held;
	struct channel_message m;
	int result = fixture_take(&run.f, i, k, &m);

	if (r->reader.wake_writer) {
		uint64_t one = 1;

		r->reader.wake_writer = false;
		ck_assert_int_eq(write(run.writer_doorbell, &one, 8), 8);
	}
	if (result < 0)
		return false;
	ck_assert_uint_eq(m.sequence, *next + m.lost);
	ck_assert_msg(fixture_holds(m.data, m.size, m.sequence), "message %llu is not whole", (unsigned long long)m.sequence);
	ck_assert(!run.f.geometry.header_bytes || fixture_holds(m.header, run.f.geometry.header_bytes, m.sequence));
	if (run.lag[i] && m.sequence % 64 == 0)
		sched_yield();
	ck_assert(fixture_holds(m.data, m.size, m.sequence));
	if (m.pinned)
		channel_reader_release(&r->reader, k);
	*next = m.sequence + 1;
	run.received[i]++;
	run.lost[i] += m.lost;
	return true;
}

static void *reader_main(void *arg)
{
	int i = (int)(intptr_t)arg;
	struct fixture_reader *r = &run.f.reader[i];
	uint64_t next = 0;

	while (next < run.messages) {
		if (take_one(i, &next))
			continue;
		lane_page_arm(r->page, r->endpoint);
		if (channel_reader_ready(&r->reader))
			continue;
		sleep_on(run.doorbell[i]);
	}
	return NULL;
}

static int send_one(uint64_t i)
{
	uint64_t data[512], header[CHANNEL_HEADER_MAX / 8];

	fixture_fill(data, run.bytes, i);
	fixture_fill(header, sizeof(header), i);
	channel_writer_set_header(&run.f.writer, header, sizeof(header));
	return channel_writer_send(&run.f.writer, data, run.bytes);
}

static void writer_main(void)
{
	for (uint64_t i = 0; i < run.messages; i++) {
		while (send_one(i) < 0) {
			ck_assert(run.reliable);
			channel_writer_arm(&run.f.writer);
			if (channel_writer_has_room(&run.f.writer))
				continue;
			sleep_on(run.writer_doorbell);
		}
		/* let readers go to sleep now and then */
		if (i % 1024 == 0)
			sched_yield();
	}
}

static void run_threads(uint64_t payload_max, size_t bytes, uint32_t depth, bool reliable, uint64_t messages, uint32_t header_bytes)
{
	struct geometry_request request = { .payload_max = payload_max, .depth = depth, .header_bytes = header_bytes };
	pthread_t thread[READERS];

	memset(&run, 0, sizeof(run));
	run.bytes = bytes;
	run.messages = messages;
	run.reliable = reliable;
	fixture_open(&run.f, &request, reliable);
	run.f.writer.ring_fn = ring_eventfd;
	run.writer_doorbell = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < READERS; i++) {
		run.doorbell[i] = eventfd(0, EFD_CLOEXEC);
		run.lag[i] = i == 2;
		ck_assert_int_eq(fixture_try_join(&run.f, i, 3, 0, true), 0);
		ck_assert_int_eq(fixture_attach(&run.f, i, false), 0);
	}
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, reader_main, (void *)(intptr_t)i), 0);
	writer_main();
	for (int i = 0; i < READERS; i++) {
		pthread_join(thread[i], NULL);
		ck_assert_uint_eq(run.received[i] + run.lost[i], messages);
		if (reliable)
			ck_assert_uint_eq(run.lost[i], 0);
		close(run.doorbell[i]);
	}
	close(run.writer_doorbell);
	fixture_close(&run.f);
}

/* barrier_force() before fixture_open(): header and lane pages say what was in force when they were made. */
static void run_all(bool membarrier)
{
	bool usable = barrier_register();

	if (membarrier && !usable)
		skip_test("membarrier is not available here");
	barrier_force(membarrier);
	run_threads(64, 64, 0, true, 60000, 0);
	run_threads(64, 64, 6, true, 20000, 8);
	run_threads(64, 64, 6, false, 20000, 40);
	run_threads(200, 200, 6, false, 40000, 0);
	run_threads(4096, 512, 6, true, 20000, 0);
	run_threads(4096, 4096, 6, false, 20000, 40);
	run_threads(4096, 4096, 48, true, 20000, 16);
	barrier_force(usable);
}

START_TEST(test_with_membarrier)
{
	run_all(true);
}
END_TEST

START_TEST(test_with_fences)
{
	run_all(false);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("channel-threads");
	TCase *tc = add_test_case(suite, "threads", 120);

	tcase_add_test(tc, test_with_membarrier);
	tcase_add_test(tc, test_with_fences);
	return run_suite(suite);
}
