/* SPDX-License-Identifier: MIT */
/*
 * Coming back to a router that was restarted, spoken by hand: what it believes, what it does with claims that agree, that
 * do not, and whose other end is missing. src/router/rejoin.c and claim.c. Both loops.
 */
#include "resume-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memfd.h"
#include "common/message.h"

/* --- claims --------------------------------------------------------------------------------------- */

/* In which order the two come back. */
enum { PUBLISHER_FIRST, SUBSCRIBER_FIRST, N_ORDERS };

static void both_come_back(struct player *first, const struct wire_match_resume *a, struct player *second,
			   const struct wire_match_resume *b)
{
	come_back(first, a);
	come_back(second, b);
}

/* Both claim it: a match as before, of which each is told when the other leaves. */
START_TEST(both_claim)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;
	struct wire_match_resume of_p, of_s;
	struct player p, s;

	start_with(_i / 2, NULL);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	meet(&p, &s, &writer, &lane);
	of_p = claim_of_publisher(&lane);
	of_s = claim_of_subscriber(&writer, lane.lane);
	restart();
	if (_i % 2 == PUBLISHER_FIRST)
		both_come_back(&p, &of_p, &s, &of_s);
	else
		both_come_back(&s, &of_s, &p, &of_p);
	ck_assert(!client_has_message(p.node.fd, 50) && !client_has_message(s.node.fd, 50));
	if (_i % 2) {
		leave(&p);
		expect_gone(&s, WIRE_WRITER_GONE, writer.match, WIRE_CAUSE_CLOSED);
		leave(&s);
	} else {
		leave(&s);
		expect_gone(&p, WIRE_LANE_GONE, writer.match, WIRE_CAUSE_CLOSED);
		leave(&p);
	}
	finish();
}
END_TEST

/* LANE_ADDED was lost: the publisher gets it now, and with it what it still expects is here. */
START_TEST(only_the_subscriber_claims)
{
	struct wire_writer_added writer;
	struct wire_match_resume of_s;
	union wire_message message;
	struct player p, s;
	int fds[WIRE_FDS_MAX];

	start_with(_i / 2, NULL);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	p.kept.n_expected = 1;
	meet(&p, &s, &writer, NULL);
	of_s = claim_of_subscriber(&writer, 3);
	restart();
	if (_i % 2 == PUBLISHER_FIRST)
		both_come_back(&p, NULL, &s, &of_s);
	else
		both_come_back(&s, &of_s, &p, NULL);
	client_expect(p.node.fd, WIRE_LANE_ADDED, &message, fds);
	close_fds(fds);
	ck_assert_uint_eq(message.lane_added.match, writer.match);
	ck_assert_uint_eq(message.lane_added.lane, 3);
	ck_assert_uint_eq(message.lane_added.subscriber, s.kept.endpoint.id);
	ck_assert_uint_eq(message.lane_added.flags & WIRE_MATCH_FROM_START, WIRE_MATCH_FROM_START);
	ck_assert(!client_has_message(p.node.fd, 50) && !client_has_message(s.node.fd, 50));
	leave(&p);
	leave(&s);
	finish();
}
END_TEST

/* The subscriber let it go meanwhile: the publisher hears so, and the two meet anew. */
START_TEST(only_the_publisher_claims)
{
	struct wire_writer_added writer, again;
	struct wire_lane_added lane;
	struct wire_match_resume of_p;
	struct player p, s;

	start_with(_i / 2, NULL);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	meet(&p, &s, &writer, &lane);
	of_p = claim_of_publisher(&lane);
	restart();
	if (_i % 2 == PUBLISHER_FIRST)
		both_come_back(&p, &of_p, &s, NULL);
	else
		both_come_back(&s, NULL, &p, &of_p);
	expect_gone(&p, WIRE_LANE_GONE, writer.match, WIRE_CAUSE_CLOSED);
	meet(&p, &s, &again, NULL);
	ck_assert_uint_gt(again.match, writer.match);
	leave(&p);
	leave(&s);
	finish();
}
END_TEST

static void wait_to_die(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* The other end is not back. While its process lives nothing happens; when that is dead, the claim is over. */
START_TEST(other_end_is_missing)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;
	struct wire_match_resume of_p;
	struct player p, s;
	int to_child[2];
	pid_t child;

	start_with(_i, NULL);
	ck_assert_ok(pipe2(to_child, O_CLOEXEC));
	/* a process that has connected, and never comes back */
	ck_assert_ok(child = fork());
	if (!child) {
		join(&s);
		open_endpoint(&s, false, "topic");
		ck_assert_int_eq(write(to_child[1], "r", 1), 1);
		meet(&p, &s, &writer, NULL);
		lane_choose(s.node.fd, &writer, 3);
		wait_to_die();
	}
	ck_assert_int_eq(read(to_child[0], (char[1]){ 0 }, 1), 1);
	join(&p);
	open_endpoint(&p, true, "topic");
	{
		union wire_message message;
		int fds[WIRE_FDS_MAX];

		client_expect(p.node.fd, WIRE_LANE_ADDED, &message, fds);
		lane = message.lane_added;
		close_fds(fds);
	}
	ck_assert_uint_eq(lane.process.pid, (uint32_t)child);
	of_p = claim_of_publisher(&lane);
	restart();
	rejoin(&p);
	hand_back(&p, 1);
	claim(&p, &of_p);
	expect_resumed(&p);
	end_resume(&p);
	/* several scans */
	ck_assert(!client_has_message(p.node.fd, 1000));
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	expect_gone(&p, WIRE_LANE_GONE, lane.match, WIRE_CAUSE_DIED);
	leave(&p);
	close(to_child[0]);
	close(to_child[1]);
	finish();
}
END_TEST

/* One whose process was dead by then, or is another one under the same number, is over at once. */
START_TEST(other_end_is_dead)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;
	struct wire_match_resume of_p;
	struct player p, s;

	start_with(_i / 2, NULL);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	meet(&p, &s, &writer, &lane);
	of_p = claim_of_publisher(&lane);
	if (_i % 2)
		of_p.peer_process.identity += 1000000;	/* our own pid, somebody else's identity */
	else
		of_p.peer_process.pid = 4194303;	/* nobody's */
	restart();
	rejoin(&p);
	hand_back(&p, 1);
	claim(&p, &of_p);
	expect_resumed(&p);
	end_resume(&p);
	expect_gone(&p, WIRE_LANE_GONE, lane.match, WIRE_CAUSE_DIED);
	leave(&p);
	leave(&s);
	finish();
}
END_TEST

/* A node that is back without the endpoint has closed it. */
START_TEST(node_without_the_endpoint)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;
	struct wire_match_resume of_p;
	struct player p, s;

	start_with(_i, NULL);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	meet(&p, &s, &writer, &lane);
	of_p = claim_of_publisher(&lane);
	restart();
	rejoin(&p);
	hand_back(&p, 1);
	claim(&p, &of_p);
	expect_resumed(&p);
	end_resume(&p);
	rejoin(&s);
	ck_assert(!client_has_message(p.node.fd, 50));
	end_resume(&s);
	expect_gone(&p, WIRE_LANE_GONE, lane.match, WIRE_CAUSE_CLOSED);
	leave(&p);
	leave(&s);
	finish();
}
END_TEST

/* What a publisher expected and nobody claims any more ends after the grace, which is 10 s. */
START_TEST(expected_in_vain)
{
	union wire_message message;
	struct player p;

	start_with(_i, NULL);
	join(&p);
	open_endpoint(&p, true, "topic");
	p.kept.n_expected = 2;
	restart();
	rejoin(&p);
	hand_back(&p, 0);
	ck_assert_uint_eq(expect_resumed(&p), 2);
	end_resume(&p);
	for (int i = 0; i < 2; i++) {
		client_expect(p.node.fd, WIRE_LANE_GONE, &message, NULL);
		ck_assert_uint_eq(message.gone.match, 0);
	}
	leave(&p);
	finish();
}
END_TEST

/* --- lies ----------------------------------------------------------------------------------------- */

/* Claims that contradict each other, or what is there, come to nothing, and the truth of others is untouched. */
START_TEST(claims_that_disagree)
{
	struct wire_writer_added writer;
	struct wire_lane_added lane;
	struct wire_match_resume of_p, of_s;
	struct player p, s;

	start_with(_i % 2, NULL);
	join(&s);
	open_endpoint(&s, false, "topic");
	join(&p);
	open_endpoint(&p, true, "topic");
	meet(&p, &s, &writer, &lane);
	of_p = claim_of_publisher(&lane);
	of_s = claim_of_subscriber(&writer, lane.lane);
	switch (_i / 2) {
	case 0:
		of_p.lane++;
		break;
	case 1:
		of_p.flags ^= WIRE_MATCH_LOSSY;
		break;
	case 2:
		of_s.lane = of_p.lane = 8;	/* it has 8: 0..7 */
		break;
	case 3:
		of_p.peer = p.kept.endpoint.id;	/* itself: the same kind */
		break;
	default:
		of_p.peer_node++;
		break;
	}
	restart();
	both_come_back(&s, &of_s, &p, &of_p);
	expect_gone(&p, WIRE_LANE_GONE, lane.match, WIRE_CAUSE_REFUSED);
	ck_assert(router_lives(&router));
	leave(&p);
	leave(&s);
	finish();
}
END_TEST

static void expect_refused_hand_back(struct player *p, const struct wire_endpoint_resume *resume, int segment, int doorbell,
				     const char *part)
{
	int fds[2] = { segment, doorbell };

	send_with_fds(p->node.fd, &resume->open.header, fds, 2);
	client_expect_error(p->node.fd, 30, -EPERM, part);
}

/* Only what a router made for this very endpoint is taken. */
START_TEST(what_is_handed_back)
{
	struct wire_endpoint_resume resume;
	struct player p, other;
	int fd, bell, fds[2];

	start_with(_i, NULL);
	join(&p);
	open_endpoint(&p, true, "topic");
	join(&other);
	open_endpoint(&other, true, "topic");
	restart();
	rejoin(&p);
	fill_resume(&p.kept, &resume, 0);
	bell = p.kept.endpoint.doorbell_fd;

	expect_refused_hand_back(&p, &resume, other.kept.endpoint.segment_fd, bell, "not the one of this node");
	fd = memfd_create_segment("data:0:1:2", p.kept.endpoint.bytes);
	ck_assert_ok(fd);
	expect_refused_hand_back(&p, &resume, fd, bell, "not sealed");
	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	expect_refused_hand_back(&p, &resume, fd, bell, "not the one of this node");
	close(fd);
	fd = memfd_create_segment("data:0:1:2", p.kept.endpoint.bytes + 4096);
	ck_assert_int_eq(memfd_seal_writer(fd), 0);
	expect_refused_hand_back(&p, &resume, fd, bell, "bytes long");
	close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect_refused_hand_back(&p, &resume, fd, bell, "no memory file");
	/* a doorbell is written by others, with their rights */
	expect_refused_hand_back(&p, &resume, p.kept.endpoint.segment_fd, fd, "no eventfd");
	close(fd);

	hand_back(&p, 0);
	expect_resumed(&p);
	/* twice the same */
	hand_back(&p, 0);
	client_expect_error(p.node.fd, 30, -EEXIST, "here already");
	end_resume(&p);
	/* and not when all is said: the kernel refuses the descriptors, or (before 6.16) the router does */
	ck_assert(!client_has_message(p.node.fd, 50));
	fds[0] = p.kept.endpoint.segment_fd;
	fds[1] = bell;
	if (message_send(p.node.fd, &resume.open.header, fds, 2) != -EPERM)
		ck_assert_int_eq(client_expect_end(p.node.fd), -EPROTO);
	leave(&p);
	leave(&other);
	finish();
}
END_TEST

static void expect_refused_rejoin(const struct wire_rejoin *message, int page, int error, const char *part)
{
	int fd = client_connect(&router);

	send_with_fds(fd, &message->header, &page, 1);
	client_expect_error(fd, 9, error, part);
	close(fd);
}

START_TEST(who_comes_back)
{
	struct wire_rejoin message;
	struct player p, other;

	start_with(_i, NULL);
	join(&p);
	join(&other);
	fill_rejoin(&p, &message);
	expect_refused_rejoin(&message, p.page_fd, -ESTALE, "removed this node");
	restart();
	expect_refused_rejoin(&message, other.page_fd, -EPERM, "not the one of this node");
	message.node = other.node.welcome.node;
	expect_refused_rejoin(&message, p.page_fd, -EPERM, "not the one of this node");
	message.node = UINT64_MAX;
	expect_refused_rejoin(&message, p.page_fd, -EINVAL, "no id");
	fill_rejoin(&p, &message);
	rejoin(&p);
	expect_refused_rejoin(&message, p.page_fd, -EEXIST, "here already");
	leave(&p);
	leave(&other);
	finish();
}
END_TEST

/* A reader of another user has the segment, too, and cannot come back with it. */
START_TEST(theft_by_another_user)
{
	struct wire_rejoin message;
	struct player p;
	pid_t thief;
	int status;

	start_with(_i, (const char *const[]){ "--socket-mode", "0666", "--any-directory", NULL });
	ck_assert_int_eq(chmod(router.directory, 0755), 0);
	join(&p);
	open_endpoint(&p, true, "topic");
	restart();
	fill_rejoin(&p, &message);
	ck_assert_ok(thief = fork());
	if (!thief) {
		int fd, page = p.page_fd;
		union wire_message answer;
		int fds[WIRE_FDS_MAX];

		if (setgid(65534) || setuid(65534))
			_exit(10);
		fd = client_connect(&router);
		if (message_send(fd, &message.header, &page, 1) < 0)
			_exit(11);
		client_expect(fd, WIRE_ERROR, &answer, fds);
		_exit(answer.error.error == -EPERM ? 0 : 12);
	}
	ck_assert_int_eq(waitpid(thief, &status, 0), thief);
	ck_assert_int_eq(status, 0);
	rejoin(&p);
	hand_back(&p, 0);
	expect_resumed(&p);
	end_resume(&p);
	leave(&p);
	finish();
}
END_TEST

/* Numbers of claims that are out of bounds, too many, of another endpoint, twice the same. */
START_TEST(nonsense)
{
	struct wire_match_resume c = { .match = 1, .peer = 1, .peer_node = 1 };
	struct wire_endpoint_resume resume;
	struct player p;
	int fds[2];

	start_with(_i % 2, NULL);
	join(&p);
	open_endpoint(&p, false, "topic");
	restart();
	rejoin(&p);
	fds[0] = p.kept.endpoint.segment_fd;
	fds[1] = p.kept.endpoint.doorbell_fd;
	fill_resume(&p.kept, &resume, 0);
	switch (_i / 2) {
	case 0:
		resume.n_claims = 9;
		send_with_fds(p.node.fd, &resume.open.header, fds, 2);
		break;
	case 1:
		resume.n_expected = 1;	/* of a subscriber */
		send_with_fds(p.node.fd, &resume.open.header, fds, 2);
		break;
	case 2:
		hand_back(&p, 0);
		expect_resumed(&p);
		claim(&p, &c);		/* all was said */
		break;
	case 3:
		hand_back(&p, 2);
		claim(&p, &c);
		claim(&p, &c);
		break;
	case 4:
		hand_back(&p, 1);
		c.match = UINT64_MAX;
		claim(&p, &c);
		break;
	case 5:
		hand_back(&p, 1);
		c.flags = 0x80;
		claim(&p, &c);
		break;
	case 6:
		client_send(p.node.fd, &resume.open.header);	/* without descriptors */
		break;
	default:
		end_resume(&p);
		end_resume(&p);
		break;
	}
	ck_assert_int_eq(client_expect_end(p.node.fd), -EPROTO);
	leave(&p);
	finish();
}
END_TEST
#define N_NONSENSE 8

/* One that dies while it comes back leaves nothing, neither do its claims. */
START_TEST(dies_while_coming_back)
{
	struct wire_match_resume c = { .match = 1, .peer = 1, .peer_node = 1 };
	struct player p;

	start_with(_i % 2, NULL);
	join(&p);
	open_endpoint(&p, true, "topic");
	restart();
	rejoin(&p);
	if (_i / 2 > 0)
		hand_back(&p, _i / 2 > 1 ? 2 : 0);
	if (_i / 2 > 1)
		claim(&p, &c);
	leave(&p);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-resume");
	TCase *tcase;

	tcase = add_test_case(suite, "claims", 60);
	tcase_add_loop_test(tcase, both_claim, 0, N_LOOPS * N_ORDERS);
	tcase_add_loop_test(tcase, only_the_subscriber_claims, 0, N_LOOPS * N_ORDERS);
	tcase_add_loop_test(tcase, only_the_publisher_claims, 0, N_LOOPS * N_ORDERS);
	tcase_add_loop_test(tcase, other_end_is_missing, 0, N_LOOPS);
	tcase_add_loop_test(tcase, other_end_is_dead, 0, N_LOOPS * 2);
	tcase_add_loop_test(tcase, node_without_the_endpoint, 0, N_LOOPS);
	tcase_add_test(tcase, expected_in_vain);

	tcase = add_test_case(suite, "lies", 60);
	tcase_add_loop_test(tcase, claims_that_disagree, 0, N_LOOPS * 5);
	tcase_add_loop_test(tcase, what_is_handed_back, 0, N_LOOPS);
	tcase_add_loop_test(tcase, who_comes_back, 0, N_LOOPS);
	tcase_add_loop_test(tcase, theft_by_another_user, 0, N_LOOPS);
	tcase_add_loop_test(tcase, nonsense, 0, N_LOOPS * N_NONSENSE);
	tcase_add_loop_test(tcase, dies_while_coming_back, 0, N_LOOPS * 3);
	return run_suite(suite);
}
