/* SPDX-License-Identifier: MIT */
/*
 * Processes that end or leave without a word, and what the others hear of it. Those that only stand
 * still are in test-router-still.c.
 */

#include "exit-helper.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>


/* --- deaths --------------------------------------------------------------------------------------- */

static void act_exit(struct victim_side *side)
{
	beat_on(side);
	_exit(3);
}

static void act_crash(struct victim_side *side)
{
	beat_on(side);
	signal(SIGSEGV, SIG_DFL);
	kill(getpid(), SIGSEGV);
	for (;;)
		pause();
}

/* Every detector by itself, and all together. */
START_TEST(deaths)
{
	static void (*const acts[])(struct victim_side *) = { act_wait, act_exit, act_crash };
	static const int statuses[] = { SIGKILL, 3 << 8, SIGSEGV };
	int how = _i % 3, detector = _i / 3 % N_DETECTORS, status;
	struct victim victim;

	start_or_skip(_i / 3 / N_DETECTORS, detector, QUICK, NULL);
	victim_start(&victim, acts[how]);
	if (how == 0)
		ck_assert_ok(kill(victim.pid, SIGKILL));
	else
		victim_go(&victim);
	expect_gone(&victim, WIRE_CAUSE_DIED);
	if (detectors[detector].mask & DIRECTORY_DETECTOR_BPF) {
		ck_assert_uint_eq(message.gone.exit.flags, WIRE_EXIT_KNOWN);
		ck_assert_int_eq(message.gone.exit.status, statuses[how]);
		ck_assert_str_eq(message.gone.exit.comm, "test-router-exi");
		ck_assert_uint_ne(message.gone.exit.time_ns, 0);
	}
	status = victim_wait(&victim);
	ck_assert_msg((status & 0xff7f) == statuses[how], "status 0x%x", status);
	expect_silence();
	ck_assert_uint_eq(view.header->total_deaths, 1);
	ck_assert_uint_eq(found(), 1);
	if (detector < ALL)
		ck_assert_uint_eq(view.header->total_found[detector], 1);
	ck_assert_uint_eq(view.header->total_evictions, 0);
	stop();
}
END_TEST

static void act_goodbye(struct victim_side *side)
{
	struct wire_goodbye goodbye;

	beat_on(side);
	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	client_send(side->node.fd, &goodbye.header);
	_exit(0);
}

/*
 * The news of an exit may be faster than the goodbye that was sent before it: it is, when the
 * router comes to know of it together with an earlier exit.
 */
START_TEST(goodbye_and_exit)
{
	start_or_skip(_i % N_LOOPS, _i / N_LOOPS ? ALL : 0, NULL);
	for (int i = 0; i < 10; i++) {
		struct victim dying, leaving;

		victim_start(&dying, act_wait);
		victim_start(&leaving, act_goodbye);
		ck_assert(hold(router.pid, HOLD_STOP));
		ck_assert_ok(kill(dying.pid, SIGKILL));
		ck_assert_within(state_of(dying.pid) == 'Z', DEADLINE_MS);
		victim_go(&leaving);
		ck_assert_within(state_of(leaving.pid) == 'Z', DEADLINE_MS);
		let_go(router.pid, HOLD_STOP);
		for (int k = 0; k < 2; k++) {
			client_expect(self.fd, WIRE_LANE_GONE, &message, NULL);
			ck_assert_uint_eq(message.gone.cause,
					  message.gone.match == leaving.match ? WIRE_CAUSE_CLOSED : WIRE_CAUSE_DIED);
		}
		victim_wait(&dying);
		ck_assert_int_eq(victim_wait(&leaving), 0);
	}
	expect_silence();
	ck_assert_uint_eq(view.header->total_deaths, 10);
	stop();
}
END_TEST

static void act_more_nodes(struct victim_side *side)
{
	struct test_node more[3];

	for (int i = 0; i < 3; i++)
		node_join(&more[i], &router, "more");
	beat_on(side);
}

START_TEST(all_nodes_of_a_process)
{
	struct victim victim;

	start_or_skip(_i % N_LOOPS, _i / N_LOOPS, NULL);
	victim_start(&victim, act_more_nodes);
	ck_assert_within(view.header->n_nodes == 5, DEADLINE_MS);
	ck_assert_ok(kill(victim.pid, SIGKILL));
	expect_gone(&victim, WIRE_CAUSE_DIED);
	ck_assert_within(view.header->n_nodes == 1, DEADLINE_MS);
	victim_wait(&victim);
	ck_assert_uint_eq(view.header->total_deaths, 4);
	stop();
}
END_TEST

/* --- sockets that outlive, and processes that outlive ----------------------------------------------- */

static void act_leave_heir(struct victim_side *side)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, 0);
		/* it keeps the socket open; the test ends it by the pipe */
		wait_for_go(side);
		_exit(0);
	}
	for (;;)
		pause();
}

START_TEST(heir_keeps_the_socket)
{
	struct victim victim;

	start_or_skip(_i % N_LOOPS, _i / N_LOOPS, NULL);
	victim_start(&victim, act_leave_heir);
	ck_assert_ok(kill(victim.pid, SIGKILL));
	expect_gone(&victim, WIRE_CAUSE_DIED);
	ck_assert_within(view.header->n_nodes == 1, DEADLINE_MS);
	expect_silence();
	ck_assert_uint_eq(view.header->total_deaths, 1);
	victim_wait(&victim);	/* and its end of the pipe closes */
	stop();
}
END_TEST

static void act_exec(struct victim_side *side)
{
	char name[32];

	wait_for_go(side);
	snprintf(name, sizeof(name), "%d", 1000);
	execlp("sleep", "sleep", name, NULL);
	_exit(127);
}

START_TEST(exec_has_left)
{
	struct victim victim;

	start_or_skip(_i, ALL, NULL);
	victim_start(&victim, act_exec);
	victim_go(&victim);
	expect_gone(&victim, WIRE_CAUSE_LEFT);
	ck_assert_uint_eq(message.gone.exit.flags, 0);
	ck_assert_int_eq(kill(victim.pid, 0), 0);
	ck_assert_uint_eq(view.header->total_deaths, 0);
	ck_assert_ok(kill(victim.pid, SIGKILL));
	victim_wait(&victim);
	expect_silence();
	ck_assert_uint_eq(view.header->total_deaths, 0);
	stop();
}
END_TEST

static int last_pipe;

static void *last_thread(void *unused)
{
	char byte;

	(void)unused;
	while (read(last_pipe, &byte, 1) < 0)
		;
	_exit(5);
}

static void act_leader_first(struct victim_side *side)
{
	pthread_t thread;

	last_pipe = side->pipe;
	ck_assert_int_eq(pthread_create(&thread, NULL, last_thread, NULL), 0);
	pthread_exit(NULL);
}

/* A leader that has ended looks like a zombie, while its process lives. */
START_TEST(leader_ends_first)
{
	struct victim victim;

	start_or_skip(_i % N_LOOPS, _i / N_LOOPS ? ALL : 0, "--heartbeat-scan-ms", "50", NULL);
	victim_start(&victim, act_leader_first);
	ck_assert_within(state_of(victim.pid) == 'Z', DEADLINE_MS);
	expect_silence();
	ck_assert_uint_eq(view.header->n_nodes, 2);
	victim_go(&victim);
	expect_gone(&victim, WIRE_CAUSE_DIED);
	ck_assert_int_eq(message.gone.exit.status, 5 << 8);
	victim_wait(&victim);
	stop();
}
END_TEST

/* --- many ----------------------------------------------------------------------------------------- */

/* A process with a node and nothing else. The number of its socket is put at @fd. */
static pid_t start_simple(int *fd)
{
	struct test_node node;
	pid_t parent = getpid(), pid = fork();

	ck_assert_ok(pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	node_join(&node, &router, "simple");
	if (fd)
		*fd = node.fd;
	for (;;)
		pause();
}

static void kill_all(const pid_t *pids, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_ok(kill(pids[i], SIGKILL));
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
}

static unsigned long anonymous_kb(void)
{
	unsigned long kb = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)router.pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %lu", &kb) == 1)
			break;
	fclose(file);
	return kb;
}

START_TEST(many_deaths_leave_nothing)
{
	enum { N = 20 };
	unsigned long kb = 0;
	unsigned int fds = 0;
	pid_t pids[N];

	start_or_skip(_i, ALL, NULL);
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < N; i++)
			pids[i] = start_simple(NULL);
		ck_assert_within(view.header->n_nodes == N + 1, DEADLINE_MS);
		kill_all(pids, N);
		ck_assert_within(view.header->n_nodes == 1, DEADLINE_MS);
		if (round == 1) {
			expect_silence();
			kb = anonymous_kb();
			fds = router_fds(&router);
		}
	}
	ck_assert_within(router_fds(&router) <= fds, DEADLINE_MS);
#ifdef __SANITIZE_ADDRESS__	/* which keeps for a while what is freed */
	kb += 65536;
#endif
	ck_assert_uint_le(anonymous_kb(), kb + 256);
	ck_assert_uint_eq(view.header->total_deaths, 12 * N);
	ck_assert_uint_eq(found(), 12 * N);
	stop();
}
END_TEST

/*
 * A ring for some fifty events, and more deaths than that while the router looks away. Their sockets
 * stay open with us, so that no end of file gives them away.
 */
START_TEST(events_are_lost)
{
	enum { N = 120 };
	int *fds = mmap(NULL, N * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[N];

	ck_assert_ptr_ne(fds, MAP_FAILED);
	start_or_skip(_i % N_LOOPS, _i / N_LOOPS ? ALL : 0, "--bpf-ring-bytes", "4096", NULL);
	for (int i = 0; i < N; i++)
		pids[i] = start_simple(&fds[i]);
	ck_assert_within(view.header->n_nodes == N + 1, DEADLINE_MS);
	for (int i = 0; i < N; i++)
		ck_assert_within(*(volatile int *)&fds[i] > 0, DEADLINE_MS);
	for (int i = 0; i < N; i++) {
		int pidfd = (int)syscall(SYS_pidfd_open, pids[i], 0);

		fds[i] = (int)syscall(SYS_pidfd_getfd, pidfd, fds[i], 0);
		ck_assert_ok(fds[i]);
		close(pidfd);
	}
	ck_assert(hold(router.pid, HOLD_STOP));
	kill_all(pids, N);
	let_go(router.pid, HOLD_STOP);
	ck_assert_within(view.header->n_nodes == 1, DEADLINE_MS);
	ck_assert_uint_eq(view.header->total_deaths, N);
	ck_assert_uint_eq(found(), N);
	ck_assert_within(view.header->bpf_dropped > 0, DEADLINE_MS);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	munmap(fds, N * sizeof(int));
	stop();
}
END_TEST

/* --- odds ----------------------------------------------------------------------------------------- */

/* Linux before 6.5. */
START_TEST(without_so_peerpidfd)
{
	struct victim victim;

	router_prepare(&router);
	router.without_peerpidfd = true;
	start_or_skip(_i, 1, NULL);
	victim_start(&victim, act_leave_heir);
	ck_assert_ok(kill(victim.pid, SIGKILL));
	expect_gone(&victim, WIRE_CAUSE_DIED);
	ck_assert_uint_eq(view.header->total_found[1], 1);
	victim_wait(&victim);
	stop();
}
END_TEST

/* Two routers at once, as this takes its 10 s. */
START_TEST(who_never_joins_is_dropped)
{
	struct test_router routers[N_LOOPS];
	int fds[N_LOOPS][2];

	for (int i = 0; i < N_LOOPS; i++) {
		struct wire_hello hello;

		router_start(&routers[i], i, NULL);
		fds[i][0] = client_connect(&routers[i]);
		fds[i][1] = client_connect(&routers[i]);
		hello_fill(&hello, 3, "half");	/* and never maps its page */
		client_send(fds[i][1], &hello.header);
		client_expect(fds[i][1], WIRE_WELCOME, &message, NULL);
	}
	for (int i = 0; i < N_LOOPS; i++) {
		for (int k = 0; k < 2; k++) {
			client_expect_error(fds[i][k], 0, -ETIMEDOUT, "within 10 s");
			client_expect_end(fds[i][k]);
			close(fds[i][k]);
		}
		router_expect_base(&routers[i]);
		router_stop(&routers[i], SIGTERM);
	}
}
END_TEST

/* Those who are matched will meet again at the next router: nobody is told that the others are gone. */
START_TEST(quiet_stop)
{
	struct test_endpoint subscriber;
	struct wire_endpoint_open open;
	struct test_node other;
	int status;

	start_or_skip(_i, ALL, NULL);
	node_join(&other, &router, "other");
	subscriber_fill(&open, 12, "t", 8);
	endpoint_open(&subscriber, other.fd, &open);
	endpoint_mapped(&subscriber, other.fd);
	client_expect(other.fd, WIRE_WRITER_ADDED, &message, NULL);
	lane_choose(other.fd, &message.writer_added, 0);
	client_expect(other.fd, WIRE_ENDPOINT_READY, &message, NULL);
	client_expect(self.fd, WIRE_LANE_ADDED, &message, NULL);
	ck_assert_ok(kill(router.pid, SIGTERM));
	ck_assert_within(waitpid(router.pid, &status, WNOHANG) == router.pid, DEADLINE_MS);
	ck_assert_int_eq(status, 0);
	for (int i = 0; i < 2; i++) {
		char byte;

		ck_assert(client_has_message(i ? self.fd : other.fd, DEADLINE_MS));
		ck_assert_int_eq(recv(i ? self.fd : other.fd, &byte, 1, MSG_DONTWAIT), 0);
	}
	endpoint_forget(&subscriber);
	forget_scene();
	node_drop(&other);
	node_drop(&self);
	ck_assert_ok(rmdir(router.directory));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-exit");
	TCase *ends = add_test_case(suite, "ends", 60);
	TCase *sockets = add_test_case(suite, "sockets", 60);
	TCase *many = add_test_case(suite, "many", 120);
	TCase *odds = add_test_case(suite, "odds", 60);

	tcase_add_loop_test(ends, deaths, 0, 3 * N_DETECTORS * N_LOOPS);
	tcase_add_loop_test(ends, goodbye_and_exit, 0, 2 * N_LOOPS);
	tcase_add_loop_test(ends, all_nodes_of_a_process, 0, 3 * N_LOOPS);
	tcase_add_loop_test(sockets, heir_keeps_the_socket, 0, 2 * N_LOOPS);
	tcase_add_loop_test(sockets, exec_has_left, 0, N_LOOPS);
	tcase_add_loop_test(sockets, leader_ends_first, 0, 2 * N_LOOPS);
	tcase_add_loop_test(many, many_deaths_leave_nothing, 0, N_LOOPS);
	tcase_add_loop_test(many, events_are_lost, 0, 2 * N_LOOPS);
	tcase_add_loop_test(odds, without_so_peerpidfd, 0, N_LOOPS);
	tcase_add_test(odds, who_never_joins_is_dropped);
	tcase_add_loop_test(odds, quiet_stop, 0, N_LOOPS);
	return run_suite(suite);
}
