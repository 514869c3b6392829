/* SPDX-License-Identifier: MIT */
/*
 * Nodes that come back and lie about matches, and what that does to others: nothing. The honest ways are in
 * test-router-resume.c.
 */
#include "resume-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/message.h"

static union wire_message message;

/* Publisher, subscriber, and one that is up to no good and has a lane page, too; the first two are matched. */
static struct player p, s, h;
static struct wire_match_resume of_p, of_s;

static void start_three(int loop, const char *const *arguments)
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
	join(&h);
	open_endpoint(&h, false, "elsewhere");
	h.kept.open.topic = s.kept.open.topic;	/* so it says when it comes back */
}

static void stop(void)
{
	leave(&p);
	leave(&s);
	leave(&h);
	finish();
}

/* What the router says that it has refused since its start. */
static uint64_t n_refusals(void)
{
	struct directory_view view;
	struct test_node observer;
	const void *directory;
	uint64_t n;

	node_join(&observer, &router, "observer");
	ck_assert_int_eq(memfd_map_reader(observer.directory_fd, observer.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, observer.welcome.directory_bytes), 0);
	n = atomic_load(&view.header->total_refusals);
	munmap((void *)(uintptr_t)directory, observer.welcome.directory_bytes);
	node_leave(&observer);
	return n;
}

/* --- other people's matches ----------------------------------------------------------------------- */

static void thief_comes(void)
{
	struct wire_match_resume stolen = of_s;

	rejoin(&h);
	hand_back(&h, 1);
	claim(&h, &stolen);
	expect_resumed(&h);
	end_resume(&h);
}

/* A claim of what is another's match: before its two ends are back, between them, and after. */
START_TEST(stolen_match)
{
	int when = _i / N_LOOPS;

	start_three(_i % N_LOOPS, NULL);
	restart();
	if (when == 0)
		thief_comes();
	come_back(&p, &of_p);
	if (when == 1)
		thief_comes();
	come_back(&s, &of_s);
	if (when == 2)
		thief_comes();
	expect_gone(&h, WIRE_WRITER_GONE, of_s.match, WIRE_CAUSE_REFUSED);
	client_expect(h.node.fd, WIRE_WRITER_ADDED, &message, NULL);
	ck_assert_uint_ne(message.writer_added.match, of_s.match);
	ck_assert_uint_eq(n_refusals(), 1);
	expect_nothing(&s);
	expect_nothing(&p);
	leave(&s);
	expect_gone(&p, WIRE_LANE_GONE, of_s.match, WIRE_CAUSE_CLOSED);
	stop();
}
END_TEST

/* Of a publisher that waits for nobody, one end cannot say that it be waited for. */
START_TEST(lone_claim_to_be_waited_for)
{
	start_three(_i, NULL);
	ck_assert_uint_eq(of_s.flags & WIRE_MATCH_LOSSY, WIRE_MATCH_LOSSY);
	of_s.flags &= ~WIRE_MATCH_LOSSY;
	restart();
	come_back(&p, NULL);
	come_back(&s, &of_s);
	expect_gone(&s, WIRE_WRITER_GONE, of_s.match, WIRE_CAUSE_REFUSED);
	client_expect(s.node.fd, WIRE_WRITER_ADDED, &message, NULL);
	ck_assert_uint_eq(message.writer_added.flags & WIRE_MATCH_LOSSY, WIRE_MATCH_LOSSY);
	ck_assert_uint_eq(n_refusals(), 1);
	expect_nothing(&p);
	stop();
}
END_TEST

/* Two matches of one pair: what the publisher knows of counts, else the later one, in whatever order they are claimed. */
START_TEST(one_match_a_pair)
{
	struct wire_match_resume later;
	bool both = _i / N_LOOPS == 0, in_order = _i / N_LOOPS < 2;

	start_three(_i % N_LOOPS, NULL);
	later = of_s;
	later.match++;
	restart();
	come_back(&p, both ? &of_p : NULL);
	rejoin(&s);
	hand_back(&s, 2);
	claim(&s, in_order ? &of_s : &later);
	claim(&s, in_order ? &later : &of_s);
	expect_resumed(&s);
	end_resume(&s);
	if (both) {
		expect_gone(&s, WIRE_WRITER_GONE, later.match, WIRE_CAUSE_REFUSED);
	} else {
		expect_gone(&s, WIRE_WRITER_GONE, of_s.match, in_order ? WIRE_CAUSE_CLOSED : WIRE_CAUSE_REFUSED);
		client_expect(p.node.fd, WIRE_LANE_ADDED, &message, NULL);
		ck_assert_uint_eq(message.lane_added.match, later.match);
	}
	expect_nothing(&s);
	expect_nothing(&p);
	leave(&s);
	expect_gone(&p, WIRE_LANE_GONE, both ? of_s.match : later.match, WIRE_CAUSE_CLOSED);
	stop();
}
END_TEST

/* --- other people's processes --------------------------------------------------------------------- */

struct sleeper {
	pid_t pid;
	struct wire_process process;
};

static void sleeper_start(struct sleeper *sleeper)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	ck_assert_ok(sleeper->pid = fork());
	if (!sleeper->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	fd = (int)syscall(SYS_pidfd_open, sleeper->pid, 0);
	ck_assert_ok(fd);
	ck_assert_ok(fstat(fd, &st));
	sleeper->process = (struct wire_process){ .pid = (uint32_t)sleeper->pid, .identity = st.st_ino };
}

static void sleeper_end(struct sleeper *sleeper)
{
	ck_assert_ok(kill(sleeper->pid, SIGKILL));
	ck_assert_int_eq(waitpid(sleeper->pid, NULL, 0), sleeper->pid);
}

/* What one says of the process behind an absent node decides for nobody else, dead or alive. */
START_TEST(whose_process)
{
	struct sleeper real, other;
	struct wire_match_resume lie;

	start_three(_i % N_LOOPS, NULL);
	if (!of_p.peer_process.identity)
		goto out;	/* no pidfs: nothing is waited for by process */
	sleeper_start(&real);
	sleeper_start(&other);
	restart();
	of_p.peer_process = real.process;
	lie = of_s;
	lie.match++;
	lie.peer = s.kept.endpoint.id;
	lie.peer_node = s.node.welcome.node;
	lie.peer_process = other.process;
	if (_i / N_LOOPS) {
		come_back(&h, &lie);
		come_back(&p, &of_p);
	} else {
		come_back(&p, &of_p);
		come_back(&h, &lie);
	}
	client_expect(h.node.fd, WIRE_WRITER_ADDED, &message, NULL);
	sleeper_end(&other);
	expect_gone(&h, WIRE_WRITER_GONE, lie.match, WIRE_CAUSE_DIED);
	expect_nothing(&p);
	sleeper_end(&real);
	expect_gone(&p, WIRE_LANE_GONE, of_p.match, WIRE_CAUSE_DIED);
out:
	stop();
}
END_TEST

/* A process that nobody can name is waited for 10 s. */
START_TEST(nameless_process)
{
	start_three(_i, NULL);
	of_p.peer_process = (struct wire_process){ 0 };
	restart();
	come_back(&p, &of_p);
	expect_nothing(&p);
	expect_gone(&p, WIRE_LANE_GONE, of_p.match, WIRE_CAUSE_DIED);
	stop();
}
END_TEST

/* --- the order of messages ------------------------------------------------------------------------ */

/* What is handed back is not there to be mapped: the router would seal what it has no writable descriptor of. */
START_TEST(mapped_instead_of_claims)
{
	struct wire_segment_mapped mapped = { 0 };

	start_three(_i, NULL);
	restart();
	rejoin(&h);
	hand_back(&h, 2);
	claim(&h, &of_s);
	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 30);
	mapped.segment = h.node.welcome.node_page_segment + 1;	/* numbers ascend */
	client_send(h.node.fd, &mapped.header);
	ck_assert_int_eq(client_expect_end(h.node.fd), -EPROTO);
	ck_assert(router_lives(&router));
	stop();
}
END_TEST

/* 0: RESUME_END, 1: the next endpoint, while claims are still owed. */
START_TEST(claims_are_owed)
{
	start_three(_i % N_LOOPS, NULL);
	restart();
	rejoin(&h);
	hand_back(&h, 2);
	claim(&h, &of_s);
	if (_i / N_LOOPS) {
		h.kept.endpoint.id--;
		hand_back(&h, 0);
		h.kept.endpoint.id++;
	} else {
		end_resume(&h);
	}
	ck_assert_int_eq(client_expect_end(h.node.fd), -EPROTO);
	stop();
}
END_TEST

/* Closing in the middle takes the claims along. */
START_TEST(closed_instead_of_claims)
{
	struct wire_endpoint_close close = { 0 };

	start_three(_i, NULL);
	restart();
	rejoin(&h);
	hand_back(&h, 2);
	claim(&h, &of_s);
	wire_init(&close.header, WIRE_ENDPOINT_CLOSE, 40);
	close.endpoint = h.kept.endpoint.id;
	client_send(h.node.fd, &close.header);
	expect_nothing(&h);
	hand_back(&h, 0);
	expect_resumed(&h);
	end_resume(&h);
	expect_nothing(&h);
	stop();
}
END_TEST

/* Claims are sent without waiting for an answer: where the endpoint is refused they are void, and the node stays. */
START_TEST(refused_with_claims)
{
	int fds[2] = { -1, -1 };
	struct wire_endpoint_resume resume;

	start_three(_i, NULL);
	restart();
	come_back(&p, &of_p);
	rejoin(&s);
	fill_resume(&s.kept, &resume, 1);
	fds[0] = h.kept.endpoint.segment_fd;
	fds[1] = s.kept.endpoint.doorbell_fd;
	send_with_fds(s.node.fd, &resume.open.header, fds, 2);
	claim(&s, &of_s);
	client_expect_error(s.node.fd, 30, -EPERM, "not the one of this node");
	hand_back(&s, 1);
	claim(&s, &of_s);
	expect_resumed(&s);
	end_resume(&s);
	expect_nothing(&s);
	expect_nothing(&p);
	stop();
}
END_TEST

/* --- limits --------------------------------------------------------------------------------------- */

/* Each match has two ends: so many claims, and no more. */
START_TEST(too_many_claims)
{
	const char *arguments[] = { "--max-matches-per-uid", "1", NULL };
	struct wire_match_resume c;

	start_three(_i, arguments);
	c = of_s;
	c.peer_process = (struct wire_process){ 0 };
	restart();
	for (int round = 0; round < 2; round++) {
		rejoin(&h);
		hand_back(&h, 3);
		for (int k = 0; k < 3; k++, c.match++)
			claim(&h, &c);
		ck_assert_int_eq(client_expect_end(h.node.fd), -EDQUOT);
		restart();	/* it has removed the node */
	}
	/* what is left of it is nothing: two are possible */
	come_back(&p, &of_p);
	come_back(&s, &of_s);
	expect_nothing(&s);
	expect_nothing(&p);
	stop();
}
END_TEST

/* Descriptors that do not fit into the router's table: the endpoint is refused, and may come again when there is room. */
START_TEST(descriptor_table_full)
{
	struct player crowd;
	bool is_full = false;

	start_three(_i, NULL);
	router.nofile = 40;
	restart();
	come_back(&p, &of_p);
	rejoin(&s);
	join(&crowd);
	for (int k = 0; k < 40 && !is_full; k++) {
		struct wire_endpoint_open open;
		int fds[WIRE_FDS_MAX];

		subscriber_fill(&open, 1, "crowd", 1);
		client_send(crowd.node.fd, &open.header);
		ck_assert(client_has_message(crowd.node.fd, DEADLINE_MS));
		ck_assert_int_ge(message_receive(crowd.node.fd, &message, fds), 0);
		close_fds(fds);
		is_full = message.header.type == WIRE_ERROR && message.error.error == -EMFILE;
	}
	ck_assert(is_full);
	for (int k = 0; k < 3; k++) {
		hand_back(&s, 1);
		claim(&s, &of_s);
		client_expect_error(s.node.fd, 30, -EMFILE, "RLIMIT_NOFILE");
	}
	leave(&crowd);
	ck_assert_within(router_fds(&router) < 36, DEADLINE_MS);
	hand_back(&s, 1);
	claim(&s, &of_s);
	expect_resumed(&s);
	end_resume(&s);
	expect_nothing(&s);
	expect_nothing(&p);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-claims");
	TCase *tcase;

	tcase = add_test_case(suite, "others", 60);
	tcase_add_loop_test(tcase, stolen_match, 0, 3 * N_LOOPS);
	tcase_add_loop_test(tcase, lone_claim_to_be_waited_for, 0, N_LOOPS);
	tcase_add_loop_test(tcase, one_match_a_pair, 0, 3 * N_LOOPS);
	tcase_add_loop_test(tcase, whose_process, 0, 2 * N_LOOPS);
	tcase_add_test(tcase, nameless_process);

	tcase = add_test_case(suite, "order", 60);
	tcase_add_loop_test(tcase, mapped_instead_of_claims, 0, N_LOOPS);
	tcase_add_loop_test(tcase, claims_are_owed, 0, 2 * N_LOOPS);
	tcase_add_loop_test(tcase, closed_instead_of_claims, 0, N_LOOPS);
	tcase_add_loop_test(tcase, refused_with_claims, 0, N_LOOPS);

	tcase = add_test_case(suite, "limits", 60);
	tcase_add_loop_test(tcase, too_many_claims, 0, N_LOOPS);
	tcase_add_loop_test(tcase, descriptor_table_full, 0, N_LOOPS);
	return run_suite(suite);
}
