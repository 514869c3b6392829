/* SPDX-License-Identifier: MIT */
/* Processes that stand still, or seem to, and what is and is not taken away from them. */

#include "exit-helper.h"

#include <signal.h>
#include <time.h>

static bool is_unresponsive(uint32_t row_index)
{
	struct directory_node row;

	return directory_read_node(&view, row_index, &row) == 1 && row.flags & DIRECTORY_NODE_UNRESPONSIVE;
}

/* Stopped, in a debugger, frozen: unresponsive, and again not; nothing is taken away. */
START_TEST(stands_still)
{
	int how = _i / N_LOOPS;
	struct victim victim;

	start_or_skip(_i % N_LOOPS, ALL, QUICK, NULL);
	victim_start(&victim, act_wait);
	if (!hold(victim.pid, how)) {
		victim_go(&victim);
		victim_wait(&victim);
		client_expect(self.fd, WIRE_LANE_GONE, &message, NULL);
		stop();
		skip_test("%s", how == HOLD_TRACE ? "ptrace is not allowed" : "no writable cgroup v2");
	}
	ck_assert_within(is_unresponsive(1), DEADLINE_MS);
	let_go(victim.pid, how);
	ck_assert_within(!is_unresponsive(1), DEADLINE_MS);
	expect_silence();
	ck_assert_uint_eq(view.header->n_nodes, 2);
	victim_go(&victim);
	expect_gone(&victim, WIRE_CAUSE_DIED);
	ck_assert_int_eq(victim_wait(&victim), 0);
	if (how == HOLD_FREEZE)
		thaw_done();
	ck_assert_uint_eq(view.header->total_evictions, 0);
	stop();
}
END_TEST

static void act_be_evicted(struct victim_side *side)
{
	beat_on(side);
	client_expect_error(side->node.fd, 0, -ETIMEDOUT, "no heartbeat for 500 ms");
	client_expect_end(side->node.fd);
}

/* With --evict-unresponsive, and where nobody else can say that the process lives. */
START_TEST(eviction)
{
	bool by_option = _i / N_LOOPS;
	struct victim victim;

	start_or_skip(_i % N_LOOPS, by_option ? ALL : HEARTBEAT, QUICK, by_option ? "--evict-unresponsive" : NULL, NULL);
	victim_start(&victim, act_be_evicted);
	ck_assert(hold(victim.pid, HOLD_STOP));
	expect_gone(&victim, WIRE_CAUSE_EVICTED);
	expect_silence();
	ck_assert_uint_eq(view.header->n_nodes, 1);
	ck_assert_uint_eq(view.header->total_evictions, 1);
	ck_assert_uint_eq(view.header->total_deaths, 0);
	let_go(victim.pid, HOLD_STOP);
	victim_go(&victim);
	ck_assert_int_eq(victim_wait(&victim), 0);
	stop();
}
END_TEST

/* A machine that was suspended: nobody has beaten, and the router was not there to see it. */
START_TEST(everybody_stood_still)
{
	struct timespec nap = { .tv_sec = 2, .tv_nsec = 500000000 };
	struct victim victim;
	uint64_t before;

	start_or_skip(_i, ALL, "--heartbeat-scan-ms", "100", "--heartbeat-timeout-ms", "2000", "--evict-unresponsive", NULL);
	victim_start(&victim, act_wait);
	ck_assert(hold(victim.pid, HOLD_STOP));
	before = view.header->heartbeat_ns;
	ck_assert_within(view.header->heartbeat_ns > before + 150000000, DEADLINE_MS);	/* a scan has seen its last beat */
	ck_assert(hold(router.pid, HOLD_STOP));
	nanosleep(&nap, NULL);		/* the duration is the subject */
	before = view.header->heartbeat_ns;
	let_go(router.pid, HOLD_STOP);
	ck_assert_within(view.header->heartbeat_ns > before + 2600000000, DEADLINE_MS);	/* at least a second scan */
	let_go(victim.pid, HOLD_STOP);
	expect_silence();
	ck_assert_uint_eq(view.header->n_nodes, 2);
	ck_assert_uint_eq(view.header->total_evictions, 0);
	victim_go(&victim);
	expect_gone(&victim, WIRE_CAUSE_DIED);
	victim_wait(&victim);
	stop();
}
END_TEST

/* SIGKILL reaches a stopped process. */
START_TEST(killed_while_stopped)
{
	struct victim victim;

	start_or_skip(_i % N_LOOPS, _i / N_LOOPS, NULL);
	victim_start(&victim, act_wait);
	ck_assert(hold(victim.pid, HOLD_STOP));
	ck_assert_ok(kill(victim.pid, SIGKILL));
	expect_gone(&victim, WIRE_CAUSE_DIED);
	victim_wait(&victim);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-still");
	TCase *still = add_test_case(suite, "still", 60);

	tcase_add_loop_test(still, stands_still, 0, 3 * N_LOOPS);
	tcase_add_loop_test(still, eviction, 0, 2 * N_LOOPS);
	tcase_add_loop_test(still, everybody_stood_still, 0, N_LOOPS);
	tcase_add_loop_test(still, killed_while_stopped, 0, 2 * N_LOOPS);
	return run_suite(suite);
}
