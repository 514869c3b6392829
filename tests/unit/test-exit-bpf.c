/* SPDX-License-Identifier: MIT */
/*
 * src/router/exit-bpf.c and bpf/exit.bpf.c: which ends of tasks are ends of processes, and what is said about them.
 *
 * Runs with both kinds of keys, the pidfd's inode and the pid in our namespace. Needs the rights to load a BPF program; without
 * them, or in a build without eBPF, it is skipped with the reason.
 */
#include "router/exit-bpf.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "harness.h"
#include "router/pidfd.h"

#define DEADLINE_MS 20000
#define EVENTS_MAX 1024

struct seen {
	uint64_t key;
	struct wire_exit exit;
};

static struct exit_bpf *bpf;
static struct seen seen[EVENTS_MAX];
static unsigned int n_seen;

/* ---- watching ---------------------------------------------------------------------------------------------------- */

static void open_bpf(bool by_pid, uint32_t ring_bytes, uint32_t max_processes)
{
	struct exit_bpf_options options = { .by_pid = by_pid, .ring_bytes = ring_bytes, .max_processes = max_processes };
	char reason[128] = "";
	int r = exit_bpf_open(&bpf, &options, reason, sizeof(reason));

	ck_assert_msg(r == 0, "%d: %s", r, reason);
	n_seen = 0;
}

static void close_bpf(void)
{
	bpf = exit_bpf_close(bpf);
}

static struct wire_process process_of(pid_t pid)
{
	_cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	ck_assert_ok(pidfd);
	return (struct wire_process){ .pid = (uint32_t)pid, .identity = pidfd_identity(pidfd) };
}

static uint64_t key_of(pid_t pid)
{
	struct wire_process process = process_of(pid);

	return exit_bpf_key(bpf, &process);
}

static uint64_t watch(pid_t pid)
{
	uint64_t key = key_of(pid);

	ck_assert_uint_ne(key, 0);
	ck_assert_int_eq(exit_bpf_add(bpf, key), 0);
	return key;
}

static int note(void *context, uint64_t key, const struct wire_exit *exit)
{
	(void)context;
	ck_assert_uint_lt(n_seen, EVENTS_MAX);
	seen[n_seen++] = (struct seen){ key, *exit };
	return 0;
}

static unsigned int drain(void)
{
	ck_assert_int_eq(exit_bpf_drain(bpf, note, NULL), 0);
	return n_seen;
}

/* By its descriptor, as the loop does. */
static void expect_events(unsigned int n)
{
	struct pollfd p = { .fd = exit_bpf_fd(bpf), .events = POLLIN };

	while (drain() < n)
		ck_assert_msg(poll(&p, 1, DEADLINE_MS) == 1, "%u events of %u", n_seen, n);
	ck_assert_uint_eq(n_seen, n);
}

static void expect_one(uint64_t key, int status)
{
	expect_events(1);
	ck_assert_uint_eq(seen[0].key, key);
	ck_assert_msg(seen[0].exit.status == status, "status %#x, not %#x", seen[0].exit.status, status);
	ck_assert_uint_eq(seen[0].exit.flags & WIRE_EXIT_KNOWN, WIRE_EXIT_KNOWN);
	ck_assert_uint_eq(seen[0].exit.flags & WIRE_EXIT_OOM, 0);
	ck_assert_uint_ne(seen[0].exit.time_ns, 0);
	ck_assert_uint_le(seen[0].exit.time_ns, (uint64_t)now_ns());
}

/* ---- victims ----------------------------------------------------------------------------------------------------- */

struct victim {
	pid_t pid;
	int go, ready;		/* write to let it go on; it says how far it is */
};

static int victim_go, victim_ready;

static void victim_says(void)
{
	if (write(victim_ready, "r", 1) != 1)
		_exit(99);
}

static void victim_waits(void)
{
	char c;

	if (read(victim_go, &c, 1) < 0)
		_exit(98);
}

static struct victim start(void (*function)(void))
{
	struct victim v;
	int go[2], ready[2];

	ck_assert_ok(pipe2(go, O_CLOEXEC));
	ck_assert_ok(pipe2(ready, O_CLOEXEC));
	v.pid = fork();
	ck_assert_ok(v.pid);
	if (!v.pid) {
		struct rlimit none = { 0, 0 };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_CORE, &none);
		victim_go = go[0];
		victim_ready = ready[1];
		close(go[1]);
		close(ready[0]);
		victim_waits();
		function();
		_exit(97);
	}
	close(go[0]);
	close(ready[1]);
	v.go = go[1];
	v.ready = ready[0];
	return v;
}

static void let_go(const struct victim *v)
{
	ck_assert_int_eq(write(v->go, "g", 1), 1);
}

static void await(const struct victim *v)
{
	char c;

	ck_assert_int_eq(read(v->ready, &c, 1), 1);
}

/* Its status, as waitpid(2) has it. */
static int reap(struct victim *v)
{
	int status;

	ck_assert_int_eq(waitpid(v->pid, &status, 0), v->pid);
	close(v->go);
	close(v->ready);
	return status;
}

static void exit_7(void)
{
	prctl(PR_SET_NAME, "zcp-victim");
	_exit(7);
}

static void kill_self(void)
{
	kill(getpid(), SIGKILL);
	pause();
}

static void crash(void)
{
	volatile int *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*nowhere = 1;
}

static void *end_at_once(void *argument)
{
	return argument;
}

static void end_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, end_at_once, NULL) || pthread_join(thread, NULL))
		_exit(96);
	victim_says();
	victim_waits();
	_exit(0);
}

static void *outlive_leader(void *argument)
{
	pid_t tid = getpid();	/* the leader's */
	char path[64], text[256];

	/* the leader is a zombie while this thread lives */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	for (;;) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

		close(fd);
		text[n > 0 ? n : 0] = 0;
		if (strstr(text, ") Z "))
			break;
		usleep(1000);
	}
	victim_says();
	victim_waits();
	if (argument)
		syscall(SYS_exit, 0);	/* this thread only: the last one */
	_exit(9);
}

static void leader_leaves(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, outlive_leader, NULL))
		_exit(96);
	syscall(SYS_exit, 5);
}

static void leader_leaves_and_decides(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, outlive_leader, (void *)1))
		_exit(96);
	syscall(SYS_exit, 5);
}

static void *exec_other(void *argument)
{
	char *const arguments[] = { "cat", NULL };

	dup2(victim_go, STDIN_FILENO);
	execv("/bin/cat", arguments);
	_exit(95);
	return argument;
}

static void thread_execs(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, exec_other, NULL))
		_exit(96);
	pause();
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

START_TEST(test_exit_code)
{
	struct victim v = start(exit_7);
	uint64_t key;

	open_bpf(_i, 0, 0);
	key = watch(v.pid);
	let_go(&v);
	expect_one(key, 7 << 8);
	ck_assert_str_eq(seen[0].exit.comm, "zcp-victim");
	ck_assert_int_eq(reap(&v), seen[0].exit.status);
	close_bpf();
}
END_TEST

START_TEST(test_signals)
{
	static void (*const functions[])(void) = { kill_self, crash };

	for (int i = 0; i < 2; i++) {
		struct victim v = start(functions[i]);
		uint64_t key;

		open_bpf(_i, 0, 0);
		key = watch(v.pid);
		let_go(&v);
		expect_events(1);
		ck_assert_uint_eq(seen[0].key, key);
		/* a sanitizer has a handler of its own for the second */
		if (i == 0)
			ck_assert_int_eq(seen[0].exit.status, SIGKILL);
		ck_assert_int_eq(reap(&v), seen[0].exit.status);
		close_bpf();
	}
}
END_TEST

START_TEST(test_thread_is_no_process)
{
	struct victim v = start(end_a_thread);
	uint64_t key;

	open_bpf(_i, 0, 0);
	key = watch(v.pid);
	let_go(&v);
	await(&v);
	ck_assert_uint_eq(drain(), 0);
	let_go(&v);
	expect_one(key, 0);
	reap(&v);
	close_bpf();
}
END_TEST

START_TEST(test_leader_leaves_first)
{
	struct victim v = start(leader_leaves);
	uint64_t key;

	open_bpf(_i, 0, 0);
	key = watch(v.pid);
	let_go(&v);
	await(&v);
	ck_assert_uint_eq(drain(), 0);
	let_go(&v);
	expect_one(key, 9 << 8);
	ck_assert_int_eq(reap(&v), 9 << 8);
	close_bpf();
}
END_TEST

/* Without an exit_group: whose code is the process's depends on the kernel; ours is what waitpid(2) says. */
START_TEST(test_last_thread_ends_quietly)
{
	struct victim v = start(leader_leaves_and_decides);
	uint64_t key;

	open_bpf(_i, 0, 0);
	key = watch(v.pid);
	let_go(&v);
	await(&v);
	let_go(&v);
	expect_events(1);
	ck_assert_uint_eq(seen[0].key, key);
	ck_assert_int_eq(reap(&v), seen[0].exit.status);
	close_bpf();
}
END_TEST

static bool is_cat(pid_t pid)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	fd_close(fd);
	return !strcmp(text, "cat\n");
}

START_TEST(test_exec_is_no_end)
{
	struct victim v = start(thread_execs);
	uint64_t key;

	open_bpf(_i, 0, 0);
	key = watch(v.pid);
	let_go(&v);
	ck_assert_within(is_cat(v.pid), DEADLINE_MS);
	ck_assert_uint_eq(drain(), 0);
	close(v.go);		/* the end of its input */
	v.go = -1;
	expect_one(key, 0);
	reap(&v);
	close_bpf();
}
END_TEST

/* The inode where there are inodes, or else every test runs twice with pids. */
START_TEST(test_key)
{
	struct victim v = start(exit_7);
	struct wire_process process = process_of(v.pid);

	open_bpf(_i, 0, 0);
	ck_assert_uint_eq(exit_bpf_key(bpf, &process), _i || !process.identity ? process.pid : process.identity);
	close_bpf();
	let_go(&v);
	reap(&v);
}
END_TEST

/* Nothing is handed out twice, and nothing is lost, when whoever is told asks for more. */
static int note_and_drain(void *context, uint64_t key, const struct wire_exit *exit)
{
	ck_assert_int_eq(exit_bpf_drain(bpf, note_and_drain, context), 0);
	return note(context, key, exit);
}

START_TEST(test_drain_within_drain)
{
	struct victim a = start(exit_7), b = start(exit_7);

	open_bpf(_i, 0, 0);
	watch(a.pid);
	watch(b.pid);
	let_go(&a);
	reap(&a);
	let_go(&b);
	reap(&b);
	ck_assert_int_eq(exit_bpf_drain(bpf, note_and_drain, NULL), 0);
	ck_assert_uint_eq(n_seen, 2);
	ck_assert_uint_eq(drain(), 2);
	close_bpf();
}
END_TEST

START_TEST(test_only_those_watched)
{
	struct victim a = start(exit_7), b = start(exit_7), c = start(exit_7);
	uint64_t key;

	open_bpf(_i, 0, 0);
	key = watch(b.pid);
	exit_bpf_remove(bpf, watch(c.pid));
	let_go(&a);
	reap(&a);
	let_go(&c);
	reap(&c);
	ck_assert_uint_eq(drain(), 0);
	let_go(&b);
	expect_one(key, 7 << 8);
	reap(&b);
	close_bpf();
}
END_TEST

START_TEST(test_burst)
{
	enum { N = 500 };
	static struct victim v[N];
	static uint64_t key[N];
	int limit = (int)sysconf(_SC_OPEN_MAX) / 2 - 20, n = limit < N ? limit : N;

	open_bpf(_i, 0, 0);
	for (int i = 0; i < n; i++) {
		v[i] = start(exit_7);
		key[i] = watch(v[i].pid);
	}
	for (int i = 0; i < n; i++)
		kill(v[i].pid, SIGKILL);
	expect_events((unsigned int)n);
	for (int i = 0; i < n; i++) {
		int found = 0;

		for (int j = 0; j < n; j++)
			found += seen[j].key == key[i];
		ck_assert_int_eq(found, 1);
		reap(&v[i]);
	}
	ck_assert_uint_eq(drain(), (unsigned int)n);
	ck_assert_uint_eq(exit_bpf_dropped(bpf), 0);
	close_bpf();
}
END_TEST

START_TEST(test_full_ring_counts)
{
	enum { N = 200 };
	static struct victim v[N];

	open_bpf(_i, 4096, 0);
	for (int i = 0; i < N; i++) {
		v[i] = start(exit_7);
		watch(v[i].pid);
	}
	for (int i = 0; i < N; i++) {
		kill(v[i].pid, SIGKILL);
		reap(&v[i]);
	}
	drain();
	ck_assert_uint_gt(exit_bpf_dropped(bpf), 0);
	ck_assert_uint_eq(n_seen + exit_bpf_dropped(bpf), N);
	close_bpf();
}
END_TEST

START_TEST(test_full_map)
{
	open_bpf(_i, 0, 4);
	for (uint64_t key = 1; key <= 4; key++)
		ck_assert_int_eq(exit_bpf_add(bpf, key), 0);
	ck_assert_int_eq(exit_bpf_add(bpf, 5), -E2BIG);
	exit_bpf_remove(bpf, 2);
	ck_assert_int_eq(exit_bpf_add(bpf, 5), 0);
	exit_bpf_remove(bpf, 77);
	close_bpf();
}
END_TEST

/* ---- namespaces -------------------------------------------------------------------------------------------------- */

/* Runs @function in a child; its assertions are ours. */
static void expect_success_of(void (*function)(bool by_pid), bool by_pid, int unshare_flags)
{
	pid_t pid;
	int status;

	ck_assert_ok(pid = fork());
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare_flags && unshare(unshare_flags) < 0)
			_exit(77);
		if (unshare_flags & CLONE_NEWPID) {
			pid = fork();
			if (!pid) {
				function(by_pid);
				_exit(0);
			}
			if (waitpid(pid, &status, 0) != pid)
				_exit(1);
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		}
		function(by_pid);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

/* An assertion in a process of its own is its exit status: check's would report into the suite's pipe twice. */
#define must(condition)                                                                       \
	do {                                                                                  \
		if (!(condition)) {                                                           \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
			_exit(1);                                                             \
		}                                                                             \
	} while (0)

static void watch_inside(bool by_pid)
{
	struct exit_bpf_options options = { .by_pid = by_pid };
	struct victim v = start(exit_7);
	char reason[128];
	uint64_t key;

	must(getpid() == 1);
	must(exit_bpf_open(&bpf, &options, reason, sizeof(reason)) == 0);
	n_seen = 0;
	key = key_of(v.pid);
	must(key && exit_bpf_add(bpf, key) == 0);
	must(!by_pid || key == (uint64_t)v.pid);
	let_go(&v);
	for (int64_t end = now_ns() + DEADLINE_MS * 1000000ll; drain() < 1; usleep(1000))
		must(now_ns() < end);
	must(n_seen == 1 && seen[0].key == key && seen[0].exit.status == 7 << 8);
}

START_TEST(test_watcher_in_pid_namespace)
{
	expect_success_of(watch_inside, _i, CLONE_NEWPID);
}
END_TEST

START_TEST(test_process_in_pid_namespace)
{
	int sockets[2], status;
	pid_t helper, pid;
	uint64_t key;

	ck_assert_ok(pipe2(sockets, O_CLOEXEC));
	ck_assert_ok(helper = fork());
	if (!helper) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		pid = fork();
		if (!pid) {
			if (getpid() != 1)
				_exit(3);
			pause();
			_exit(2);
		}
		if (write(sockets[1], &pid, sizeof(pid)) != sizeof(pid) || waitpid(pid, &status, 0) != pid)
			_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(read(sockets[0], &pid, sizeof(pid)), sizeof(pid));
	open_bpf(_i, 0, 0);
	key = watch(pid);
	kill(pid, SIGKILL);
	expect_one(key, SIGKILL);
	ck_assert_int_eq(waitpid(helper, &status, 0), helper);
	ck_assert_int_eq(status, 0);
	close(sockets[0]);
	close(sockets[1]);
	close_bpf();
}
END_TEST

/* ---- the out-of-memory killer ------------------------------------------------------------------------------------ */

struct memory_group {
	char path[128];
	bool v2;
};

static bool put(const struct memory_group *g, const char *file, const char *text)
{
	char path[192];
	_cleanup_fd_ int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", g->path, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A memory cgroup of our own with 16 MiB. Reason in *why otherwise. */
static bool make_group(struct memory_group *g, const char **why)
{
	static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/memory" };

	*why = "no cgroup memory controller that we may use";
	for (int i = 0; i < 2; i++) {
		char probe[64];

		g->v2 = i == 0;
		snprintf(probe, sizeof(probe), "%s/%s", roots[i], i ? "memory.limit_in_bytes" : "cgroup.controllers");
		if (access(probe, R_OK) < 0)
			continue;
		snprintf(g->path, sizeof(g->path), "%s", roots[i]);
		if (g->v2)
			put(g, "cgroup.subtree_control", "+memory");
		snprintf(g->path, sizeof(g->path), "%s/zcp-test-%d", roots[i], (int)getpid());
		if (mkdir(g->path, 0755) < 0)
			continue;
		if (put(g, g->v2 ? "memory.max" : "memory.limit_in_bytes", "16777216")) {
			if (g->v2)
				put(g, "memory.swap.max", "0");
			return true;
		}
		rmdir(g->path);
	}
	return false;
}

static void use_memory(void)
{
	size_t bytes = 64u << 20;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; memory != MAP_FAILED && i < bytes; i += 4096)
		memory[i] = 1;
}

START_TEST(test_oom)
{
	struct memory_group group;
	struct victim v;
	const char *why;
	char text[16];
	uint64_t key;

	if (!make_group(&group, &why))
		skip_test("%s", why);
	v = start(use_memory);
	snprintf(text, sizeof(text), "%d", (int)v.pid);
	ck_assert(put(&group, "cgroup.procs", text));
	open_bpf(_i, 0, 0);
	key = watch(v.pid);
	let_go(&v);
	expect_events(1);
	ck_assert_int_eq(reap(&v), SIGKILL);
	ck_assert_within(rmdir(group.path) == 0, DEADLINE_MS);
	ck_assert_uint_eq(seen[0].key, key);
	ck_assert_int_eq(seen[0].exit.status, SIGKILL);
	ck_assert_uint_eq(seen[0].exit.flags, WIRE_EXIT_KNOWN | WIRE_EXIT_OOM);
	close_bpf();
}
END_TEST

/* ---- without rights ---------------------------------------------------------------------------------------------- */

static void refused(bool by_pid)
{
	struct exit_bpf_options options = { .by_pid = by_pid };
	char reason[128] = "";
	int n = count_fds();

	must(setgid(65534) == 0 && setuid(65534) == 0);
	must(exit_bpf_open(&bpf, &options, reason, sizeof(reason)) < 0);
	must(!bpf && strstr(reason, "CAP_BPF"));
	must(count_fds() == n);
}

START_TEST(test_refused)
{
	expect_success_of(refused, _i, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exit-bpf");
	TCase *tcase;
	char reason[128];
	int r = exit_bpf_open(&bpf, &(struct exit_bpf_options){ 0 }, reason, sizeof(reason));

	if (r < 0)
		skip_suite("%s", reason);
	close_bpf();
	tcase = add_test_case(suite, "ends", 60);
	tcase_add_loop_test(tcase, test_exit_code, 0, 2);
	tcase_add_loop_test(tcase, test_signals, 0, 2);
	tcase_add_loop_test(tcase, test_thread_is_no_process, 0, 2);
	tcase_add_loop_test(tcase, test_leader_leaves_first, 0, 2);
	tcase_add_loop_test(tcase, test_last_thread_ends_quietly, 0, 2);
	tcase_add_loop_test(tcase, test_exec_is_no_end, 0, 2);
	tcase_add_loop_test(tcase, test_only_those_watched, 0, 2);
	tcase_add_loop_test(tcase, test_key, 0, 2);
	tcase_add_loop_test(tcase, test_drain_within_drain, 0, 2);
	tcase = add_test_case(suite, "limits", 60);
	tcase_add_loop_test(tcase, test_burst, 0, 2);
	tcase_add_loop_test(tcase, test_full_ring_counts, 0, 2);
	tcase_add_loop_test(tcase, test_full_map, 0, 2);
	tcase = add_test_case(suite, "surroundings", 60);
	tcase_add_loop_test(tcase, test_watcher_in_pid_namespace, 0, 2);
	tcase_add_loop_test(tcase, test_process_in_pid_namespace, 0, 2);
	tcase_add_loop_test(tcase, test_oom, 0, 2);
	tcase_add_loop_test(tcase, test_refused, 0, 2);
	return run_suite(suite);
}
