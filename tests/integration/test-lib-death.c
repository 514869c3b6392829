/* SPDX-License-Identifier: MIT */
/*
 * What the living see of the dead: publishers, subscribers and routers that are killed, children that forked
 * away, and strangers who try to write to what is not theirs.
 */
#include "lib-helper.h"
#include "lib/publisher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const size_t sizes[] = { 8, 5000 };

/* --- killed --------------------------------------------------------------------------------------- */

static void publish_until_killed(struct stage *stage)
{
	struct zcp_publisher_options po = { .payload_max = stage->at[2], .depth = 4096, .history = 16 };
	zcp_node *n = lib_node("publisher");
	zcp_publisher *p = lib_publisher(n, &po);

	stage_wait(stage, 0, 1);
	ok(zcp_publisher_wait(p, (int)stage->at[3], 20 * SECOND));
	for (uint64_t i = 0;; i++) {
		if (i < 3000)
			ok(lib_send(p, i, po.payload_max));
		stage_set(stage, 1, i + 1);
	}
}

/* What it had published before is all there, and then it is counted as died. */
START_TEST(publisher_killed)
{
	struct stage *stage = stage_new();
	zcp_subscriber *s, *late;
	struct zcp_sample held;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	stage_set(stage, 2, sizes[_i]);
	stage_set(stage, 3, 1);
	pid = process_start(publish_until_killed, stage);
	n = lib_node("subscriber");
	s = lib_subscriber(n, NULL);
	stage_set(stage, 0, 1);
	stage_wait(stage, 1, 3000);
	lib_take(s, &held);
	process_kill(pid);

	/* the last one is held over the end of its lane */
	for (uint64_t i = 1; i < 3000; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	ck_assert_within(lib_stats(s).died == 1, DEADLINE_MS);
	ck_assert_uint_eq(lib_stats(s).departed, 1);
	ck_assert_uint_eq(lib_stats(s).publishers, 0);
	ck_assert_uint_eq(lib_stats(s).received, 3000);
	ck_assert_uint_eq(lib_stats(s).lost, 0);
	ck_assert_uint_eq(lib_number(&held), 0);
	zcp_sample_release(&held);

	/* its lane serves the next one */
	late = lib_subscriber(n, NULL);
	fails(zcp_subscriber_take(late, &held), -EAGAIN, "no message");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A subscriber matched, but never attached before the publisher died, reads history by copy. */
START_TEST(history_of_dead_publisher)
{
	struct zcp_subscriber_options so = { .history = 8 };
	struct stage *stage = stage_new();
	struct zcp_sample held[4];
	zcp_subscriber *s;
	zcp_node *n;
	pid_t pid;

	lib_router_start();
	stage_set(stage, 0, 1);
	stage_set(stage, 2, sizes[_i]);
	pid = process_start(publish_until_killed, stage);	/* waits for nobody */
	n = lib_node("subscriber");
	stage_wait(stage, 1, 3000);
	ck_assert_ok(kill(pid, SIGSTOP));
	s = lib_subscriber(n, &so);
	process_kill(pid);
	ck_assert_within(lib_stats(s).publishers == 1, DEADLINE_MS);
	for (int i = 0; i < 4; i++) {
		lib_take(s, &held[i]);
		ck_assert_uint_eq(lib_number(&held[i]), 2992u + (unsigned int)i);
	}
	for (int i = 0; i < 4; i++)
		zcp_sample_release(&held[i]);
	for (uint64_t i = 2996; i < 3000; i++)
		ck_assert_uint_eq(lib_receive(s), i);
	ck_assert_within(lib_stats(s).died == 1, DEADLINE_MS);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

static void take_one_and_hold(struct stage *stage)
{
	zcp_node *n = lib_node("subscriber");
	zcp_subscriber *s = lib_subscriber(n, NULL);
	struct zcp_sample sample;

	stage_set(stage, 0, 1);
	lib_take(s, &sample);
	stage_set(stage, 1, 1);
	for (;;)
		pause();
}

/* A reliable publisher waits for a subscriber that does not read; it dies, and the publisher goes on. */
START_TEST(subscriber_killed)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i], .depth = 8, .reliable = true, .timeout = -1 };
	struct stage *stage = stage_new();
	zcp_publisher *p;
	uint64_t sent = 0;
	zcp_node *n;
	pid_t pid, killer;

	lib_router_start();
	pid = process_start(take_one_and_hold, stage);
	stage_wait(stage, 0, 1);
	n = _i ? lib_node_without_thread("publisher") : lib_node("publisher");
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, sent++, sizes[_i]));
	stage_wait(stage, 1, 1);
	killer = fork();
	if (!killer) {
		usleep(100000);
		kill(pid, SIGKILL);
		_exit(0);
	}
	while (sent < 100)
		ok(lib_send(p, sent++, sizes[_i]));
	process_expect_success(killer);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(zcp_publisher_subscribers(p), 0);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* Without the router data keeps flowing between those who know each other; nothing new opens. */
START_TEST(router_killed)
{
	zcp_subscriber *s, *other;
	zcp_publisher *p;
	struct zcp_sample sample;
	zcp_node *n;

	lib_router_start();
	n = _i ? lib_node_without_thread("n") : lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	lib_router_stop(SIGKILL);
	fails(zcp_subscriber_open(&other, n, &lib_topic, NULL), -ENOTCONN, "router is gone");
	fails(zcp_publisher_wait(p, 2, SECOND / 10), -ETIMEDOUT, "1 of 2");
	fails(zcp_node_wait(n, 0), -ETIMEDOUT, "no router");
	for (uint64_t i = 0; i < 5000; i++) {
		ck_assert_int_eq(ok(lib_send(p, i, 100)), 1);
		if (lib_receive(s) != i)
			ck_abort_msg("message %d is another", (int)i);
	}
	fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
	if (_i)
		ck_assert_int_eq(zcp_node_dispatch(n), 0);
	zcp_node_close(n);
}
END_TEST

/* --- fork ----------------------------------------------------------------------------------------- */

static void in_child(zcp_node *n, zcp_publisher *p, zcp_subscriber *s, struct zcp_sample *sample, void *loan)
{
	struct zcp_sample other;
	char bytes[8] = { 0 };
	zcp_publisher *p2;
	zcp_subscriber *s2;
	zcp_node *own;
	void *loan2;

	fails(zcp_publisher_loan(p, 8, &loan2), -EOWNERDEAD, "fork");
	fails(zcp_publisher_publish(p, loan, 8), -EOWNERDEAD, "fork");
	fails(zcp_publisher_discard(p, loan), -EOWNERDEAD, "fork");
	fails(zcp_publisher_send(p, bytes, 8), -EOWNERDEAD, "fork");
	fails(zcp_publisher_loan_batch(p, 8, &loan2, 1), -EOWNERDEAD, "fork");
	fails(zcp_publisher_publish_batch(p, &loan, (size_t[]){ 8 }, 1), -EOWNERDEAD, "fork");
	fails(zcp_publisher_subscribers(p), -EOWNERDEAD, "fork");
	fails(zcp_publisher_wait(p, 1, 0), -EOWNERDEAD, "fork");
	fails(zcp_subscriber_take(s, &other), -EOWNERDEAD, "fork");
	fails(zcp_subscriber_wait(s, 0), -EOWNERDEAD, "fork");
	fails(zcp_subscriber_fd(s), -EOWNERDEAD, "fork");
	fails(zcp_subscriber_stats(s, &(struct zcp_subscriber_stats){ .sz = sizeof(struct zcp_subscriber_stats) }), -EOWNERDEAD, "fork");
	fails(zcp_publisher_open(&p2, n, &lib_topic, NULL), -EOWNERDEAD, "fork");
	fails(zcp_subscriber_open(&s2, n, &lib_topic, NULL), -EOWNERDEAD, "fork");
	fails(zcp_node_dispatch(n), -EOWNERDEAD, "fork");
	fails(zcp_node_fd(n), -EOWNERDEAD, "fork");
	ck_assert_uint_eq(zcp_sample_copy(sample, bytes, 8), 0);
	zcp_sample_release(sample);
	/* a node of its own works */
	own = lib_node("child");
	s2 = lib_subscriber(own, NULL);
	p2 = lib_publisher(own, NULL);
	ok(zcp_publisher_wait(p2, 1, 5 * SECOND));
	zcp_node_close(own);
	zcp_publisher_close(p);
	zcp_subscriber_close(s);
	zcp_node_close(n);
}

START_TEST(forked)
{
	struct zcp_publisher_options po = { .payload_max = sizes[_i] };
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	int n_fds, n_before;
	zcp_node *n;
	void *loan;
	pid_t pid;

	lib_router_start();
	n_before = count_fds();
	n = lib_node("n");
	s = lib_subscriber(n, NULL);
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 0, sizes[_i]));
	ok(zcp_subscriber_take(s, &sample));
	ok(zcp_publisher_loan(p, sizes[_i], &loan));
	n_fds = count_fds();
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		in_child(n, p, s, &sample, loan);
		ck_assert_int_eq(count_fds(), n_before);
		_exit(0);
	}
	process_expect_success(pid);

	/* the child's endpoints were matched with ours for a while; our own membership is as it was */
	ck_assert_within(zcp_publisher_subscribers(p) == 1 && lib_stats(s).publishers == 1 && count_fds() == n_fds, DEADLINE_MS);
	ck_assert_uint_eq(lib_number(&sample), 0);
	zcp_sample_release(&sample);
	ok(zcp_publisher_discard(p, loan));
	for (uint64_t i = 1; i < 100; i++) {
		ck_assert_int_eq(ok(lib_send(p, i, sizes[_i])), 1);
		ck_assert_uint_eq(lib_receive(s), i);
	}
	zcp_subscriber_close(s);
	s = lib_subscriber(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- strangers ------------------------------------------------------------------------------------ */

/* The mapping that contains @address, and whether the kernel has it writable. */
static void find_mapping(const void *address, uintptr_t *begin, uintptr_t *end, char permissions[8])
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512], how[8];
	bool found = false;

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, how) != 3 || (uintptr_t)address < from || (uintptr_t)address >= to)
			continue;
		*begin = from;
		*end = to;
		strcpy(permissions, how);
		found = true;
	}
	fclose(maps);
	ck_assert(found);
}

static void write_at(void *address)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)address = 1;
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void publish_one(struct stage *stage)
{
	struct zcp_publisher_options po = { .payload_max = 5000 };
	zcp_publisher *p;
	zcp_node *n;

	stage_wait(stage, 0, 1);
	n = lib_node("publisher");
	p = lib_publisher(n, &po);
	/* attached first, so that it is read in place */
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(lib_send(p, 0, 5000));
	stage_wait(stage, 0, 2);
	zcp_node_close(n);
}

/* The bytes of a sample cannot be made writable by any means a process has. */
START_TEST(subscriber_cannot_write)
{
	struct stage *stage = stage_new();
	struct zcp_sample sample;
	char permissions[8], path[128];
	uintptr_t begin = 0, end = 0;
	zcp_subscriber *s;
	zcp_node *n;
	pid_t pid;
	int fd;

	lib_router_start();
	pid = process_start(publish_one, stage);
	n = lib_node("subscriber");
	s = lib_subscriber(n, NULL);
	stage_set(stage, 0, 1);
	lib_take(s, &sample);
	find_mapping(sample.data, &begin, &end, permissions);
	ck_assert_str_eq(permissions, "r--s");

	ck_assert_fails(mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE), EACCES);
	write_at((void *)begin);
	/* the memory has no descriptor any more, but /proc has a way to it */
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", begin, end);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		void *at = mmap(NULL, end - begin, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		ck_assert_ptr_eq(at, MAP_FAILED);
		ck_assert_int_eq(errno, EPERM);
		ck_assert_fails(write(fd, "x", 1), EPERM);
		ck_assert_fails(pwrite(fd, "x", 1, 4096), EPERM);
		ck_assert_fails(ftruncate(fd, 0), EPERM);
		ck_assert_fails(ftruncate(fd, 1 << 30), EPERM);
		ck_assert_fails(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), EPERM);
		ck_assert_fails(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
		close(fd);
	} else {
		note_skip("subscriber_cannot_write", "reopening %s: %s", path, strerror(errno));
	}
	ck_assert_fails(madvise((void *)begin, 4096, MADV_REMOVE), EACCES);
	ck_assert_uint_eq(lib_number(&sample), 0);
	zcp_sample_release(&sample);
	stage_set(stage, 0, 2);
	process_expect_success(pid);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * Of its own segments a client keeps a descriptor, for the next router, and none of anybody else's. It gives no new right
 * to write.
 */
START_TEST(only_own_segment_descriptors)
{
	char label[3][64];
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	lib_subscriber(n, NULL);
	p = lib_publisher(n, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	snprintf(label[0], sizeof(label[0]), "zcp:node:%u:%llu ", getuid(), (unsigned long long)zcp_node_id(n));
	snprintf(label[1], sizeof(label[1]), "zcp:data:%u:%llu:%llu ", getuid(), (unsigned long long)zcp_node_id(n),
		 (unsigned long long)zcp_publisher_id(p));
	snprintf(label[2], sizeof(label[2]), "zcp:lanes:%u:%llu:", getuid(), (unsigned long long)zcp_node_id(n));
	for (int fd = 3; fd < 200; fd++) {
		char path[64], target[256];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = 0;
		if (!strstr(target, "memfd"))
			continue;
		ck_assert_msg(strstr(target, label[0]) || strstr(target, label[1]) || strstr(target, label[2]), "fd %d is %s", fd, target);
		ck_assert_fails(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	}
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/*
 * All holders of a doorbell share its O_NONBLOCK. A subscriber clears it and fills the counter; whoever rings must not be held
 * up: the publisher's own thread, nor the node's, which tells of a subscriber that joins.
 */
START_TEST(full_doorbell)
{
	struct zcp_publisher_options po = { .payload_max = 64 };
	struct zcp_sample sample;
	zcp_node *n, *m;
	zcp_subscriber *s, *other;
	zcp_publisher *p;
	uint64_t full = UINT64_MAX - 1;
	int fd;

	lib_router_start();
	n = lib_node("publisher");
	m = lib_node("subscribers");
	p = lib_publisher(n, &po);
	s = lib_subscriber(m, NULL);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	fd = (int)ok(zcp_subscriber_fd(s));
	for (uint64_t i = 0; i < 3; i++) {
		/* asks to be rung for, and then makes the bell one that holds up who rings it */
		while (zcp_subscriber_take(s, &sample) == 0)
			zcp_sample_release(&sample);
		ck_assert_ok(fcntl(fd, F_SETFL, 0));
		ck_assert_int_eq(write(fd, &full, sizeof(full)), (ssize_t)sizeof(full));
		ck_assert_int_eq(lib_send(p, i, 64), 1);
		ck_assert_uint_eq(lib_receive(s), i);
	}
	while (zcp_subscriber_take(s, &sample) == 0)
		zcp_sample_release(&sample);
	ck_assert_ok(fcntl(fd, F_SETFL, 0));
	ck_assert_int_eq(write(fd, &full, sizeof(full)), (ssize_t)sizeof(full));
	other = lib_subscriber(m, NULL);
	ok(zcp_publisher_wait(p, 2, 5 * SECOND));
	ck_assert_int_eq(lib_send(p, 9, 64), 2);
	ck_assert_uint_eq(lib_receive(other), 9);
	zcp_node_close(m);
	ck_assert_within(zcp_publisher_subscribers(p) == 0, DEADLINE_MS);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A publisher whose ring looks ready for ever: each take with the descriptor in use ends, and after its end so does the lane. */
START_TEST(endless_publisher)
{
	struct zcp_publisher_options po = { .payload_max = 64 };
	struct zcp_sample sample;
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n, *m;

	lib_router_start();
	n = lib_node("hostile");
	m = lib_node("subscriber");
	s = lib_subscriber(m, NULL);
	p = lib_publisher(n, &po);
	ok(zcp_publisher_wait(p, 1, 5 * SECOND));
	ok(zcp_subscriber_fd(s));
	for (uint64_t i = 0; i <= p->writer.mask; i++)
		atomic_store((_Atomic uint64_t *)(void *)(p->writer.ring + (i << p->writer.slot_shift)), UINT64_MAX);
	for (int i = 0; i < 50; i++)
		fails(zcp_subscriber_take(s, &sample), -EAGAIN, "no message");
	zcp_node_close(n);
	ck_assert_within(zcp_subscriber_take(s, &sample) == -EAGAIN && lib_stats(s).departed == 1, DEADLINE_MS);
	zcp_node_close(m);
	lib_router_stop(SIGTERM);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lib-death");
	TCase *t;

	t = add_test_case(s, "killed", 60);
	tcase_add_loop_test(t, publisher_killed, 0, 2);
	tcase_add_loop_test(t, history_of_dead_publisher, 0, 2);
	tcase_add_loop_test(t, subscriber_killed, 0, 2);
	tcase_add_loop_test(t, router_killed, 0, 2);
	t = add_test_case(s, "fork", 60);
	tcase_add_loop_test(t, forked, 0, 2);
	t = add_test_case(s, "strangers", 60);
	tcase_add_test(t, subscriber_cannot_write);
	tcase_add_test(t, only_own_segment_descriptors);
	tcase_add_test(t, full_doorbell);
	tcase_add_test(t, endless_publisher);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
