/* SPDX-License-Identifier: MIT */
/*
 * Extras at the router: who gets them, who is told when, what they cost, how they come back to another router, and what
 * a hostile publisher cannot do with them.
 */
#include "resume-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/memfd.h"

#define BYTES (128u << 10)
#define FIRST EXTRAS_MAX

static union wire_message message;
static struct player p, s;
static struct wire_match_resume of_p, of_s;

static void start_two(int loop, const char *const *arguments)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;

	start_with(loop, arguments);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	meet(&p, &s, &writer, &lane);
	of_p = claim_of_publisher(&lane);
	of_s = claim_of_subscriber(&writer, lane.lane);
}

static void stop(void)
{
	leave(&p);
	leave(&s);
	finish();
}

static void send_grow(enum wire_type type, uint32_t id, uint64_t bytes, int fd)
{
	struct wire_segment_grow grow = { .endpoint = p.kept.endpoint.id, .bytes = bytes, .extra = id };

	wire_init(&grow.header, type, 40);
	send_with_fds(p.node.fd, &grow.header, &fd, fd >= 0);
}

/* Up to SEGMENT_GROWN. Its descriptor; *segment: the id. */
static int grow(uint32_t id, uint64_t *segment)
{
	int fds[WIRE_FDS_MAX];

	send_grow(WIRE_SEGMENT_GROW, id, BYTES, -1);
	client_expect(p.node.fd, WIRE_SEGMENT_GROWN, &message, fds);
	ck_assert_uint_eq(message.header.request, 40);
	ck_assert_uint_eq(message.segment_grown.endpoint, p.kept.endpoint.id);
	ck_assert_uint_eq(message.segment_grown.extra, id);
	ck_assert_int_eq(fds[1], -1);
	*segment = message.segment_grown.segment;
	return fds[0];
}

static void say_mapped(uint64_t segment)
{
	struct wire_segment_mapped mapped = { .segment = segment };

	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 40);
	client_send(p.node.fd, &mapped.header);
}

static void expect_ready(uint32_t id)
{
	client_expect(p.node.fd, WIRE_SEGMENT_READY, &message, NULL);
	ck_assert_uint_eq(message.header.request, 40);
	ck_assert_uint_eq(message.segment_extra.extra, id);
}

/* All of it; the read-write descriptor. */
static int share(uint32_t id)
{
	uint64_t segment;
	int fd = grow(id, &segment);

	say_mapped(segment);
	expect_ready(id);
	return fd;
}

static void give_back(uint32_t id)
{
	struct wire_segment_extra back = { .endpoint = p.kept.endpoint.id, .extra = id };

	wire_init(&back.header, WIRE_SEGMENT_RETURN, 0);
	client_send(p.node.fd, &back.header);
}

/* The subscriber @who hears of extra @id; its descriptor. */
static int expect_shared(struct player *who, uint32_t id)
{
	int fds[WIRE_FDS_MAX];

	client_expect(who->node.fd, WIRE_SEGMENT_SHARED, &message, fds);
	ck_assert_uint_eq(message.segment_shared.endpoint, who->kept.endpoint.id);
	ck_assert_uint_eq(message.segment_shared.extra, id);
	ck_assert_uint_eq(message.segment_shared.bytes, BYTES);
	ck_assert_uint_eq(message.segment_shared.flags, 0);
	ck_assert_int_eq(fds[1], -1);
	return fds[0];
}

static void expect_withdrawn(struct player *who, uint32_t id, uint32_t flags)
{
	client_expect(who->node.fd, WIRE_SEGMENT_WITHDRAWN, &message, NULL);
	ck_assert_uint_eq(message.segment_shared.endpoint, who->kept.endpoint.id);
	ck_assert_uint_eq(message.segment_shared.extra, id);
	ck_assert_uint_eq(message.segment_shared.flags, flags);
}

/* --- honest --------------------------------------------------------------------------------------- */

START_TEST(from_grow_to_withdrawn)
{
	const void *reading;
	void *writing;
	uint64_t segment;
	int rw, ro;

	start_two(_i, NULL);
	rw = grow(FIRST, &segment);
	ck_assert_int_eq(memfd_map_writer(rw, BYTES, &writing), 0);
	/* nobody hears of it before it is sealed */
	expect_nothing(&s);
	say_mapped(segment);
	expect_ready(FIRST);
	ro = expect_shared(&s, FIRST);
	ck_assert_uint_eq(message.segment_shared.match, of_s.match);
	ck_assert_int_eq(memfd_map_reader(ro, BYTES, &reading), 0);
	((volatile char *)writing)[BYTES - 1] = 42;
	ck_assert_int_eq(((const volatile char *)reading)[BYTES - 1], 42);
	ck_assert_ptr_eq(mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, rw, 0), MAP_FAILED);
	ck_assert_int_eq(fcntl(ro, F_GETFL) & O_ACCMODE, O_RDONLY);

	give_back(FIRST);
	expect_withdrawn(&s, FIRST, 0);
	/* the memory is there as long as somebody maps it */
	ck_assert_int_eq(((const volatile char *)reading)[BYTES - 1], 42);
	/* its place serves another, and a second return is none */
	give_back(FIRST);
	fd_close(share(2 * FIRST));
	fd_close(expect_shared(&s, 2 * FIRST));
	give_back(FIRST);
	expect_nothing(&p);
	expect_nothing(&s);
	munmap(writing, BYTES);
	munmap((void *)(uintptr_t)reading, BYTES);
	fd_close(rw);
	fd_close(ro);
	stop();
}
END_TEST

/* Who chooses a lane is told of all that is there; who has none, of nothing. */
START_TEST(newcomers)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;
	struct player late;
	uint64_t segment;

	start_two(_i, NULL);
	fd_close(share(FIRST));
	fd_close(share(FIRST + 1));
	fd_close(share(FIRST + 2));
	give_back(FIRST + 1);
	join(&late);
	subscriber_fill(&late.kept.open, 20, "topic", 8);
	endpoint_open(&late.kept.endpoint, late.node.fd, &late.kept.open);
	endpoint_mapped(&late.kept.endpoint, late.node.fd);
	meet(&p, &late, &writer, NULL);
	client_expect(late.node.fd, WIRE_ENDPOINT_READY, &message, NULL);
	fd_close(share(FIRST + 3));
	expect_nothing(&late);
	/* nobody gets one that its writer has not mapped */
	fd_close(grow(FIRST + 7, &segment));
	lane_choose(late.node.fd, &writer, 1);
	client_expect(p.node.fd, WIRE_LANE_ADDED, &message, NULL);
	lane = message.lane_added;
	ck_assert_uint_eq(lane.match, writer.match);
	fd_close(expect_shared(&late, FIRST));
	fd_close(expect_shared(&late, FIRST + 2));
	fd_close(expect_shared(&late, FIRST + 3));
	expect_nothing(&late);
	/* what is shared comes before the end */
	fd_close(share(FIRST + 4));
	leave(&p);
	fd_close(expect_shared(&late, FIRST + 4));
	expect_gone(&late, WIRE_WRITER_GONE, writer.match, WIRE_CAUSE_CLOSED);
	leave(&late);
	stop();
}
END_TEST

START_TEST(quotas)
{
	static const char *const limits[][3] = { { "--max-bytes-per-uid", "4M" }, { "--max-bytes-per-node", "4M" }, { "--max-fds-per-node", "20" },
						  { "--max-fds-per-uid", "40" } };
	const char *const *limit = limits[_i / N_LOOPS];
	uint32_t n = 0;

	start_two(_i % N_LOOPS, limit);
	if (strstr(limit[0], "bytes")) {
		send_grow(WIRE_SEGMENT_GROW, FIRST, 4 << 20, -1);
		client_expect_error(p.node.fd, 40, -EDQUOT, limit[0]);
	}
	/* then as many as fit; what is given back can be had again */
	for (int round = 0; round < 2; round++) {
		uint32_t k = 0;

		for (;; k++) {
			int fds[WIRE_FDS_MAX];

			send_grow(WIRE_SEGMENT_GROW, FIRST * (1 + (uint32_t)round) + k, BYTES, -1);
			if (round && k == n)
				break;
			ck_assert_within(client_has_message(p.node.fd, 100), DEADLINE_MS);
			if (recv(p.node.fd, &message, sizeof(message), MSG_PEEK) > 0 && message.header.type == WIRE_ERROR)
				break;
			client_expect(p.node.fd, WIRE_SEGMENT_GROWN, &message, fds);
			close_fds(fds);
		}
		client_expect_error(p.node.fd, 40, -EDQUOT, limit[0]);
		n = k;
		ck_assert_uint_gt(n, 1);
		for (k = 0; k < n; k++)
			give_back(FIRST * (1 + (uint32_t)round) + k);
	}
	stop();
}
END_TEST

/* One that does not read gets no longer queue by others that come and go, and the newest news in the end. */
START_TEST(who_does_not_read)
{
	uint32_t id = FIRST, last = 0;
	int fds[WIRE_FDS_MAX];

	start_two(_i, NULL);
	for (int i = 0; i < 6000; i++) {
		fd_close(share(id));
		give_back(id);
		id += EXTRAS_MAX;
	}
	fd_close(share(id));
	do {
		ck_assert(client_has_message(s.node.fd, DEADLINE_MS));
		ck_assert_int_gt(recv(s.node.fd, &message, sizeof(message), MSG_PEEK), 0);
		ck_assert(message.header.type == WIRE_SEGMENT_SHARED || message.header.type == WIRE_SEGMENT_WITHDRAWN);
		client_expect(s.node.fd, (enum wire_type)message.header.type, &message, fds);
		close_fds(fds);
		ck_assert_uint_ge(message.segment_shared.extra, last);
		last = message.segment_shared.extra;
	} while (last != id);
	ck_assert_uint_eq(message.header.type, WIRE_SEGMENT_SHARED);
	expect_nothing(&s);
	stop();
}
END_TEST

/* --- hostile -------------------------------------------------------------------------------------- */

static const struct {
	uint32_t id, flags, request;
	uint64_t bytes;
} bad[] = {
	{ FIRST - 1, 0, 40, BYTES },
	{ 0, 0, 40, BYTES },
	{ EXTRA_ID_MAX + 1, 0, 40, BYTES },
	{ FIRST, WIRE_GROW_HUGE << 1, 40, BYTES },
	{ FIRST, 0, 0, BYTES },
	{ FIRST, 0, 40, 0 },
	{ FIRST, 0, 40, BYTES + 4096 },
	{ FIRST, 0, 40, EXTRA_BYTES_MIN / 2 },
	{ FIRST, 0, 40, EXTRA_BYTES_MAX * 2 },
	{ FIRST, 0, 40, UINT64_MAX },
};
#define N_BAD ((int)(sizeof(bad) / sizeof(bad[0])))

START_TEST(nonsense)
{
	struct wire_segment_grow m = { .bytes = bad[_i].bytes, .extra = bad[_i].id, .flags = bad[_i].flags };

	start_two(0, NULL);
	m.endpoint = p.kept.endpoint.id;
	wire_init(&m.header, WIRE_SEGMENT_GROW, bad[_i].request);
	client_send(p.node.fd, &m.header);
	ck_assert_int_eq(client_expect_end(p.node.fd), -EPROTO);
	stop();
}
END_TEST

START_TEST(out_of_place)
{
	struct wire_segment_extra back = { .extra = FIRST };
	struct wire_segment_mapped mapped = { 0 };
	uint64_t segment;
	int fd = -1;

	start_two(0, NULL);
	switch (_i) {
	case 0:		/* its place is taken */
		fd = share(FIRST);
		send_grow(WIRE_SEGMENT_GROW, 2 * FIRST, BYTES, -1);
		break;
	case 1:		/* mapped twice */
		fd = grow(FIRST, &segment);
		say_mapped(segment);
		expect_ready(FIRST);
		say_mapped(segment);
		break;
	case 2:		/* the request of another */
		fd = grow(FIRST, &mapped.segment);
		wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 41);
		client_send(p.node.fd, &mapped.header);
		break;
	case 3:		/* no place */
		back.extra = FIRST - 1;
		wire_init(&back.header, WIRE_SEGMENT_RETURN, 0);
		client_send(p.node.fd, &back.header);
		break;
	default:
		back.reserved = 1;
		wire_init(&back.header, WIRE_SEGMENT_RETURN, 0);
		client_send(p.node.fd, &back.header);
	}
	ck_assert_int_eq(client_expect_end(p.node.fd), -EPROTO);
	fd_close(fd);
	stop();
}
END_TEST

/* Other people's publishers, and what is none. */
START_TEST(not_ones_own)
{
	struct wire_segment_grow m = { .bytes = BYTES, .extra = FIRST };
	struct wire_segment_extra back = { .extra = FIRST };

	start_two(0, NULL);
	fd_close(share(FIRST));
	fd_close(expect_shared(&s, FIRST));
	wire_init(&m.header, WIRE_SEGMENT_GROW, 40);
	m.endpoint = p.kept.endpoint.id;
	client_send(s.node.fd, &m.header);
	client_expect_error(s.node.fd, 40, -ESRCH, "no publisher");
	m.endpoint = s.kept.endpoint.id;
	client_send(s.node.fd, &m.header);
	client_expect_error(s.node.fd, 40, -ESRCH, "no publisher");
	wire_init(&back.header, WIRE_SEGMENT_RETURN, 0);
	back.endpoint = p.kept.endpoint.id;
	client_send(s.node.fd, &back.header);
	expect_nothing(&s);
	/* it is still there */
	give_back(FIRST);
	expect_withdrawn(&s, FIRST, 0);
	stop();
}
END_TEST

/* --- another router ------------------------------------------------------------------------------- */

static void come_back_but_for_the_end(void)
{
	rejoin(&p);
	hand_back(&p, 1);
	claim(&p, &of_p);
	expect_resumed(&p);
}

START_TEST(comes_back)
{
	bool subscriber_first = _i / N_LOOPS;
	int fd;

	start_two(_i % N_LOOPS, NULL);
	fd = share(FIRST);
	restart();
	if (subscriber_first)
		come_back(&s, &of_s);
	come_back_but_for_the_end();
	send_grow(WIRE_SEGMENT_RESUME, FIRST, BYTES, fd);
	expect_ready(FIRST);
	end_resume(&p);
	if (!subscriber_first)
		come_back(&s, &of_s);
	fd_close(expect_shared(&s, FIRST));
	expect_nothing(&s);
	give_back(FIRST);
	expect_withdrawn(&s, FIRST, 0);
	fd_close(fd);
	stop();
}
END_TEST

/* What it is not: another extra, the data segment, one not sealed, of another size, anything. Nobody waits for it. */
START_TEST(lies)
{
	static const char *const texts[] = { "not the one", "not", "not sealed", "bytes long", "no memory file" };
	uint64_t segment;
	int fds[4], wrong;

	start_two(0, NULL);
	fds[0] = share(FIRST);
	fds[1] = share(FIRST + 1);
	fds[2] = grow(FIRST + 2, &segment);
	fds[3] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fd_close(expect_shared(&s, FIRST));
	fd_close(expect_shared(&s, FIRST + 1));
	restart();
	come_back(&s, &of_s);
	come_back_but_for_the_end();
	wrong = _i == 0 ? fds[1] : _i == 1 ? p.kept.endpoint.segment_fd : _i == 4 ? fds[3] : _i == 2 ? fds[2] : fds[0];
	send_grow(WIRE_SEGMENT_RESUME, _i == 2 ? FIRST + 2 : FIRST, _i == 3 ? 2 * BYTES : BYTES, wrong);
	client_expect_error(p.node.fd, 40, -EPERM, texts[_i]);
	expect_withdrawn(&s, _i == 2 ? FIRST + 2 : FIRST, WIRE_EXTRA_ABSENT);
	/* the next one is not worse off */
	send_grow(WIRE_SEGMENT_RESUME, FIRST + 1, BYTES, fds[1]);
	expect_ready(FIRST + 1);
	end_resume(&p);
	fd_close(expect_shared(&s, FIRST + 1));
	give_back(_i == 2 ? FIRST + 2 : FIRST);
	expect_withdrawn(&s, _i == 2 ? FIRST + 2 : FIRST, 0);
	for (int i = 0; i < 4; i++)
		fd_close(fds[i]);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-growth");
	TCase *honest = add_test_case(suite, "honest", 60), *hostile = add_test_case(suite, "hostile", 60), *again = add_test_case(suite, "again", 60);

	tcase_add_loop_test(honest, from_grow_to_withdrawn, 0, N_LOOPS);
	tcase_add_loop_test(honest, newcomers, 0, N_LOOPS);
	tcase_add_loop_test(honest, quotas, 0, 4 * N_LOOPS);
	tcase_add_loop_test(honest, who_does_not_read, 0, N_LOOPS);
	tcase_add_loop_test(hostile, nonsense, 0, N_BAD);
	tcase_add_loop_test(hostile, out_of_place, 0, 5);
	tcase_add_test(hostile, not_ones_own);
	tcase_add_loop_test(again, comes_back, 0, 2 * N_LOOPS);
	tcase_add_loop_test(again, lies, 0, 5);
	return run_suite(suite);
}
