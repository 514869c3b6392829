/* SPDX-License-Identifier: MIT */
/* See exit-helper.h. */

#include "exit-helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/memfd.h"

const struct detector_choice detectors[N_DETECTORS] = {
	{ "bpf", DIRECTORY_DETECTOR_BPF },
	{ "pidfd", DIRECTORY_DETECTOR_PIDFD },
	{ "socket", DIRECTORY_DETECTOR_SOCKET },
	{ "heartbeat", DIRECTORY_DETECTOR_HEARTBEAT },
	{ "bpf,pidfd,socket,heartbeat", 15 },
};
struct test_router router;
struct test_node self;
static struct test_endpoint publisher;
struct directory_view view;
static const void *directory;
union wire_message message;

/* --- the scene ------------------------------------------------------------------------------------ */

bool start(int loop, int detector, const char *const *more)
{
	const char *arguments[20] = { "--loop", loop_argument(loop), "--quiet", "--detectors", detectors[detector].option };
	struct wire_endpoint_open open;
	int n = 5;

	while (*more)
		arguments[n++] = *more++;
	if (!router.directory[0])
		router_prepare(&router);
	router_run(&router, arguments);
	node_join_with(&self, &router, "self", WIRE_HELLO_UNMONITORED);
	ck_assert_int_eq(memfd_map_reader(self.directory_fd, self.welcome.directory_bytes, &directory), 0);
	ck_assert_int_eq(directory_open(&view, directory, self.welcome.directory_bytes), 0);
	ck_assert_uint_eq(view.header->detectors | DIRECTORY_DETECTOR_BPF, detectors[detector].mask | DIRECTORY_DETECTOR_BPF);
	publisher_fill(&open, 1, "t", 8);
	endpoint_ready(&publisher, self.fd, &open);
	return view.header->detectors == detectors[detector].mask;
}

void forget_scene(void)
{
	endpoint_forget(&publisher);
	munmap((void *)(uintptr_t)directory, self.welcome.directory_bytes);
}

void stop(void)
{
	forget_scene();
	node_leave(&self);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

uint64_t found(void)
{
	uint64_t n = 0;

	for (int i = 0; i < 4; i++)
		n += view.header->total_found[i];
	return n;
}

/* What was sent before is there: the answer to this is the next message, and nothing came twice. */
void expect_silence(void)
{
	struct test_endpoint endpoint;
	struct wire_endpoint_open open;

	subscriber_fill(&open, 50, "silence", 1);
	endpoint_ready(&endpoint, self.fd, &open);
	endpoint_close(&endpoint, self.fd);
}

/* --- victims -------------------------------------------------------------------------------------- */

void wait_for_go(struct victim_side *side)
{
	char byte;

	while (read(side->pipe, &byte, 1) < 0)
		;
}

static void subscribe(struct victim_side *side)
{
	struct test_endpoint subscriber;
	struct wire_endpoint_open open;

	node_join(&side->node, &router, "victim");
	subscriber_fill(&open, 12, "t", 8);
	endpoint_open(&subscriber, side->node.fd, &open);
	endpoint_mapped(&subscriber, side->node.fd);
	client_expect(side->node.fd, WIRE_WRITER_ADDED, &message, NULL);
	lane_choose(side->node.fd, &message.writer_added, 0);
	client_expect(side->node.fd, WIRE_ENDPOINT_READY, &message, NULL);
}

static void beat(struct victim_side *side)
{
	struct node_page *page = side->node.page;

	atomic_fetch_add(&page->heartbeat_ns, 1);
}

/* Until it is told to go on. */
void beat_on(struct victim_side *side)
{
	struct pollfd in = { .fd = side->pipe, .events = POLLIN };

	do
		beat(side);
	while (poll(&in, 1, 10) == 0);
}

void victim_start(struct victim *victim, void (*act)(struct victim_side *side))
{
	pid_t parent = getpid();
	int fds[2];

	ck_assert_ok(pipe2(fds, O_CLOEXEC));
	victim->pid = fork();
	ck_assert_ok(victim->pid);
	if (!victim->pid) {
		struct victim_side side = { .pipe = fds[0] };
		struct rlimit none = { 0 };

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		setrlimit(RLIMIT_CORE, &none);
		close(fds[1]);
		close(self.fd);
		subscribe(&side);
		act(&side);
		_exit(0);
	}
	close(fds[0]);
	victim->pipe = fds[1];
	client_expect(self.fd, WIRE_LANE_ADDED, &message, NULL);
	victim->match = message.lane_added.match;
}

void victim_go(struct victim *victim)
{
	victim->pipe = fd_close(victim->pipe);
}

int victim_wait(struct victim *victim)
{
	int status = -1;

	ck_assert_within(waitpid(victim->pid, &status, WNOHANG) == victim->pid, DEADLINE_MS);
	victim->pipe = fd_close(victim->pipe);
	return status;
}

void expect_gone(const struct victim *victim, enum wire_cause cause)
{
	client_expect(self.fd, WIRE_LANE_GONE, &message, NULL);
	ck_assert_uint_eq(message.gone.match, victim->match);
	ck_assert_uint_eq(message.gone.cause, cause);
}

void act_wait(struct victim_side *side)
{
	beat_on(side);
}

/* --- standing still ------------------------------------------------------------------------------- */

char state_of(pid_t pid)
{
	char path[64], text[512] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
	fclose(file);
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

static const char *freezer(char path[static 128], const char *file)
{
	static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (int i = 0; i < 2; i++) {
		snprintf(path, 128, "%s/cgroup.procs", mounts[i]);
		if (access(path, W_OK) < 0)
			continue;
		snprintf(path, 128, "%s/cgroup.controllers", mounts[i]);
		if (access(path, R_OK) < 0)
			continue;
		snprintf(path, 128, "%s/zcp-test-%d%s", mounts[i], (int)getpid(), file);
		return path;
	}
	return NULL;
}

static bool put(const char *file, int value)
{
	char path[128];
	int fd = open(freezer(path, file), O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && dprintf(fd, "%d", value) > 0;

	fd_close(fd);
	return done;
}

bool hold(pid_t pid, int how)
{
	char path[128];

	switch (how) {
	case HOLD_STOP:
		ck_assert_ok(kill(pid, SIGSTOP));
		ck_assert_within(state_of(pid) == 'T', DEADLINE_MS);
		return true;
	case HOLD_TRACE:
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
			return false;
		ck_assert_ok(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL));
		ck_assert_within(state_of(pid) == 't', DEADLINE_MS);
		return true;
	default:
		if (!freezer(path, "") || mkdir(path, 0700) < 0)
			return false;
		if (put("/cgroup.procs", pid) && put("/cgroup.freeze", 1))
			return true;
		rmdir(freezer(path, ""));
		return false;
	}
}

void let_go(pid_t pid, int how)
{
	switch (how) {
	case HOLD_STOP:
		ck_assert_ok(kill(pid, SIGCONT));
		break;
	case HOLD_TRACE:
		ck_assert_int_eq(waitpid(pid, NULL, __WALL), pid);
		ck_assert_ok(ptrace(PTRACE_DETACH, pid, NULL, NULL));
		break;
	default:
		ck_assert(put("/cgroup.freeze", 0));
	}
}

void thaw_done(void)
{
	char path[128];

	ck_assert_within(rmdir(freezer(path, "")) == 0, DEADLINE_MS);
}
