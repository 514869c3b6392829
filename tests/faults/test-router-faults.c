/* SPDX-License-Identifier: MIT */
/*
 * The router with the Nth call of something failing, for N = 1, 2, ..., while clients join, open, match, exchange, leave
 * and die; while it starts, and while it stops.
 *
 * inject.c is preloaded into the router, which takes its orders from memory shared with this test. The clients are the
 * library on nodes without a thread: whatever the router refuses must reach them as an error that the header
 * documents, and an answer must come, if only as a hang-up (they give up after 5 s, which is a failure here). Then the
 * fault is taken away, and the same clients must succeed; and when they are gone the router has what it had at the beginning:
 * descriptors, directory, segments. Its limits per user are tight, so that a quota that is not given back is
 * seen as well.
 *
 * Not injected is what needs a peer that is gone (EPIPE), and what cannot fail on an open descriptor.
 *
 * $ZCP_FAULTS=all: every N of every fault; few: 1, 3, 9, ...; otherwise long runs of N are thinned out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/fd.h"
#include "harness.h"
#include "inject.h"
#include "lib/node.h"
#include "zcp/zcp.h"

#define DEADLINE_MS 20000
#define SMALL 16
#define LARGE 5000

enum when {
	SERVING_URING = 1 << 0,
	SERVING_EPOLL = 1 << 1,
	STARTING = 1 << 2,
	STOPPING = 1 << 3,
	SERVING = SERVING_URING | SERVING_EPOLL,
	ALWAYS = SERVING | STARTING | STOPPING,
};

static const struct router_fault {
	struct fault fault;
	unsigned int when;
	bool sticky;		/* also: the Nth and all later ones */
} faults[] = {
	{ { "malloc ENOMEM", CALL_ALLOC, ENOMEM }, ALWAYS, true },
	{ { "mmap ENOMEM", CALL_MMAP, ENOMEM }, ALWAYS, true },
	{ { "madvise ENOMEM", CALL_MADVISE, ENOMEM }, SERVING, false },
	{ { "memfd_create EMFILE", CALL_MEMFD, EMFILE }, ALWAYS, true },
	{ { "memfd_create ENOMEM", CALL_MEMFD, ENOMEM }, SERVING, false },
	{ { "ftruncate ENOMEM", CALL_TRUNCATE, ENOMEM }, ALWAYS, true },
	{ { "ftruncate EFBIG", CALL_TRUNCATE, EFBIG }, SERVING, false },
	{ { "F_ADD_SEALS EPERM", CALL_SEAL, EPERM }, ALWAYS, true },
	{ { "fstat ENOMEM", CALL_FSTAT, ENOMEM }, ALWAYS, false },
	{ { "open EMFILE", CALL_OPEN, EMFILE }, ALWAYS, true },
	{ { "open ENFILE", CALL_OPEN, ENFILE }, SERVING, false },
	{ { "open EACCES", CALL_OPEN, EACCES }, ALWAYS, false },
	{ { "file operation EIO", CALL_FILE, EIO }, STARTING, false },
	{ { "eventfd EMFILE", CALL_EVENTFD, EMFILE }, SERVING, true },
	{ { "eventfd ENOMEM", CALL_EVENTFD, ENOMEM }, SERVING, false },
	{ { "socket EMFILE", CALL_SOCKET, EMFILE }, STARTING, true },
	{ { "accept EMFILE", CALL_ACCEPT, EMFILE }, SERVING_EPOLL, false },
	{ { "accept ENFILE", CALL_ACCEPT, ENFILE }, SERVING_EPOLL, false },
	{ { "accept ENOMEM", CALL_ACCEPT, ENOMEM }, SERVING_EPOLL, false },
	{ { "accept ECONNABORTED", CALL_ACCEPT, ECONNABORTED }, SERVING_EPOLL, false },
	{ { "accept EINTR", CALL_ACCEPT, EINTR }, SERVING_EPOLL, false },
	{ { "getsockopt ENOPROTOOPT", CALL_GETSOCKOPT, ENOPROTOOPT }, SERVING, true },
	{ { "getsockopt EMFILE", CALL_GETSOCKOPT, EMFILE }, SERVING, false },
	{ { "setsockopt ENOPROTOOPT", CALL_SETSOCKOPT, ENOPROTOOPT }, SERVING, true },
	{ { "ioctl ENOTTY", CALL_IOCTL, ENOTTY }, SERVING, true },
	{ { "system call EMFILE", CALL_SYSCALL, EMFILE }, ALWAYS, true },
	{ { "system call EPERM", CALL_SYSCALL, EPERM }, ALWAYS, true },
	{ { "system call ENOSYS", CALL_SYSCALL, ENOSYS }, ALWAYS, true },
	{ { "sendmsg EAGAIN", CALL_SEND, EAGAIN }, SERVING_EPOLL, false },
	{ { "sendmsg EINTR", CALL_SEND, EINTR }, SERVING_EPOLL, false },
	{ { "sendmsg ENOBUFS", CALL_SEND, ENOBUFS }, SERVING_EPOLL, false },
	{ { "sendmsg ENOMEM", CALL_SEND, ENOMEM }, SERVING_EPOLL, false },
	{ { "sendmsg ETOOMANYREFS", CALL_SEND, ETOOMANYREFS }, SERVING_EPOLL, false },
	{ { "recvmsg EINTR", CALL_RECEIVE, EINTR }, SERVING_EPOLL, false },
	{ { "recvmsg ENOMEM", CALL_RECEIVE, ENOMEM }, SERVING_EPOLL, false },
	{ { "recvmsg ECONNRESET", CALL_RECEIVE, ECONNRESET }, SERVING_EPOLL, false },
	{ { "read EINTR", CALL_READ, EINTR }, SERVING | STOPPING, false },
	{ { "write EAGAIN", CALL_WRITE, EAGAIN }, SERVING | STOPPING, false },
	{ { "poll EINTR", CALL_POLL, EINTR }, ALWAYS, false },
	{ { "epoll ENOMEM", CALL_EPOLL, ENOMEM }, SERVING_EPOLL | STARTING | STOPPING, false },
	{ { "epoll_wait EINTR", CALL_EPOLL_WAIT, EINTR }, SERVING_EPOLL | STOPPING, false },
	{ { "signalfd EMFILE", CALL_SIGNALFD, EMFILE }, STARTING, false },
	{ { "getrandom EAGAIN", CALL_RANDOM, EAGAIN }, STARTING, false },
	{ { "io_uring_setup ENOMEM", CALL_URING_SETUP, ENOMEM }, STARTING, true },
	{ { "io_uring_setup EPERM", CALL_URING_SETUP, EPERM }, STARTING, true },
	{ { "io_uring_setup EINVAL", CALL_URING_SETUP, EINVAL }, STARTING, true },
	{ { "io_uring_enter EBUSY", CALL_URING_ENTER, EBUSY }, SERVING_URING | STARTING | STOPPING, false },
	{ { "io_uring_enter ENOMEM", CALL_URING_ENTER, ENOMEM }, SERVING_URING | STARTING | STOPPING, false },
	{ { "io_uring_enter EAGAIN", CALL_URING_ENTER, EAGAIN }, SERVING_URING | STARTING | STOPPING, false },
	{ { "io_uring_enter EINTR", CALL_URING_ENTER, EINTR }, SERVING_URING | STARTING | STOPPING, false },
	{ { "uring sendmsg ENOBUFS", CALL_SQE_SEND, ENOBUFS }, SERVING_URING, false },
	{ { "uring sendmsg ENOMEM", CALL_SQE_SEND, ENOMEM }, SERVING_URING, false },
	{ { "uring sendmsg EINTR", CALL_SQE_SEND, EINTR }, SERVING_URING, false },
	{ { "uring sendmsg EAGAIN", CALL_SQE_SEND, EAGAIN }, SERVING_URING, false },
	{ { "uring sendmsg ETOOMANYREFS", CALL_SQE_SEND, ETOOMANYREFS }, SERVING_URING, false },
	{ { "uring recvmsg ENOBUFS", CALL_SQE_RECEIVE, ENOBUFS }, SERVING_URING | STARTING | STOPPING, false },
	{ { "uring recvmsg ENOMEM", CALL_SQE_RECEIVE, ENOMEM }, SERVING_URING, false },
	{ { "uring recvmsg EINTR", CALL_SQE_RECEIVE, EINTR }, SERVING_URING, false },
	{ { "uring recvmsg EAGAIN", CALL_SQE_RECEIVE, EAGAIN }, SERVING_URING, false },
	{ { "uring recvmsg ECONNRESET", CALL_SQE_RECEIVE, ECONNRESET }, SERVING_URING, false },
	{ { "uring recvmsg EINVAL", CALL_SQE_RECEIVE, EINVAL }, STARTING, false },
	{ { "uring accept EMFILE", CALL_SQE_ACCEPT, EMFILE }, STARTING, false },
	{ { "uring accept ENFILE", CALL_SQE_ACCEPT, ENFILE }, STARTING, false },
	{ { "uring accept ENOMEM", CALL_SQE_ACCEPT, ENOMEM }, STARTING, false },
	{ { "uring accept ECONNABORTED", CALL_SQE_ACCEPT, ECONNABORTED }, STARTING, false },
	{ { "uring accept EINTR", CALL_SQE_ACCEPT, EINTR }, STARTING, false },
	{ { "uring poll ENOMEM", CALL_SQE_POLL, ENOMEM }, SERVING_URING | STARTING | STOPPING, false },
	{ { "uring poll ECANCELED", CALL_SQE_POLL, ECANCELED }, SERVING_URING | STARTING | STOPPING, false },
	{ { "uring timeout ENOMEM", CALL_SQE_TIMEOUT, ENOMEM }, SERVING_URING | STARTING | STOPPING, false },
	{ { "uring cancel ENOENT", CALL_SQE_CANCEL, ENOENT }, SERVING_URING | STOPPING, false },
	{ { "uring cancel ENOMEM", CALL_SQE_CANCEL, ENOMEM }, SERVING_URING | STOPPING, false },
};
#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

static char where[200];		/* a failure in words: which fault, which N */
static struct inject *orders;	/* what the router's inject.c reads */
static int orders_fd = -1;
static _Atomic uint32_t *n_fired;

static bool wants(const char *these)
{
	const char *how = getenv("ZCP_FAULTS");

	return how && !strcmp(how, these);
}

static bool all(void)
{
	return wants("all");
}

/* After some of these the router waits for its next tick. */
static bool is_slow(const struct fault *fault)
{
	return fault->call == CALL_SEND || fault->call == CALL_SQE_SEND || fault->call == CALL_ACCEPT;
}

static uint32_t next(const struct fault *fault, uint32_t n)
{
	if (all())
		return n + 1;
	if (wants("few"))
		return n * 3;
	return is_slow(fault) ? n * 3 : n < 6 ? n + 1 : n + n / 2;
}

/* ---- the router -------------------------------------------------------------------------------------------------- */

static char directory[64], path[108];
static pid_t router;
static int log_fd = -1;

static void open_orders(void)
{
	void *memory;

	orders_fd = memfd_create("orders", 0);	/* the router inherits it */
	ck_assert_ok(orders_fd);
	ck_assert_ok(ftruncate(orders_fd, 4096));
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, orders_fd, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	orders = memory;
}

static void close_orders(void)
{
	munmap(orders, 4096);
	orders_fd = fd_close(orders_fd);
}

static void set_environment(void)
{
	const char *sanitizer = getenv("ASAN_OPTIONS");
	char text[512];

	snprintf(text, sizeof(text), "%d", orders_fd);
	setenv("ZCP_INJECT_FD", text, 1);
	setenv("LD_PRELOAD", INJECT_MODULE, 1);
	/* ours comes in front of the sanitizer's library, and passes on to it */
	snprintf(text, sizeof(text), "%s%sverify_asan_link_order=0", sanitizer ? sanitizer : "", sanitizer ? ":" : "");
	setenv("ASAN_OPTIONS", text, 1);
}

static void run_router(const char *const *arguments)
{
	const char *argv[24] = { "zcp-router", "--socket", path };
	const char *binary = getenv("ZCP_ROUTER_BIN");
	pid_t parent = getpid();

	ck_assert_msg(binary != NULL, "ZCP_ROUTER_BIN is not set");
	for (int n = 3; *arguments; n++)
		argv[n] = *arguments++;
	snprintf(directory, sizeof(directory), "/tmp/zcp-faults-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/router.sock", directory);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_ok(log_fd);
	router = fork();
	ck_assert_ok(router);
	if (router)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	dup2(log_fd, STDERR_FILENO);
	set_environment();
	execv(binary, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* What the router has written last; check ends a test whose message is longer than 4 KiB. */
static const char *log_text(void)
{
	static char text[2048];
	off_t bytes = lseek(log_fd, 0, SEEK_END), room = sizeof(text) - 1;
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, bytes > room ? bytes - room : 0);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static bool has_ended(int *status)
{
	return router && waitpid(router, status, WNOHANG) == router;
}

static bool is_listening(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool listens;

	memcpy(address.sun_path, path, sizeof(path));
	listens = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	fd_close(fd);
	return listens;
}

static void remove_directory(void)
{
	DIR *dir = opendir(directory);

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		ck_assert_msg(entry->d_name[0] == '.', "%s: %s was left behind", where, entry->d_name);
	closedir(dir);
	ck_assert_ok(rmdir(directory));
	log_fd = fd_close(log_fd);
	router = 0;
}

static void stop_router(void)
{
	int status = 0;

	ck_assert_ok(kill(router, SIGTERM));
	ck_assert_msg(wait_until(has_ended(&status), DEADLINE_MS), "%s: the router does not end: %s", where, log_text());
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: the router ended with status 0x%x: %s", where, status, log_text());
	remove_directory();
}

/* ---- the clients ------------------------------------------------------------------------------------------------- */

static const struct zcp_topic topic = { "service", "instance", "event" };

/* Whether a call succeeded; if not, it was with an error that the header has for it. Under no fault all must succeed. */
static bool worked(const char *what, int r, const int *errors)
{
	if (r >= 0)
		return true;
	ck_assert_msg(errors != NULL, "%s: %s fails when nothing does: %d: %s; %s", where, what, r, zcp_last_error(), log_text());
	while (*errors && *errors != -r)
		errors++;
	ck_assert_msg(*errors != 0, "%s: %s: undocumented error, or no answer: %d (%s): %s", where, what, r, strerrorname_np(-r),
		      zcp_last_error());
	ck_assert_msg(zcp_last_error()[0] != 0, "%s: %s: error %d without a sentence", where, what, r);
	return false;
}

/* Of those in zcp.h the ones that a router in need may cause. ETIMEDOUT is not among them: there is an answer. */
static const int node_errors[] = { EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, 0 };
static const int endpoint_errors[] = { EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, 0 };

static const int start_errors[] = { EDQUOT, ENOSPC, EMFILE, ENOMEM, ENOTCONN, ENOENT, ECONNREFUSED, 0 };

static zcp_node *join(const char *name, bool unmonitored, const int *errors)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = path, .no_thread = true, .unmonitored = unmonitored };
	zcp_node *node;

	return worked("zcp_node_open", zcp_node_open(&node, name, &options), errors) ? node : NULL;
}

struct clients {
	zcp_node *a, *b;
	zcp_publisher *publisher;
	zcp_subscriber *subscriber, *second;
	zcp_watch *watch;
};

static zcp_publisher *publish(zcp_node *node, const int *errors)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = LARGE, .depth = 4, .reliable = true,
						.max_subscribers = 4, .max_loans = 2, .max_held = 16 };
	zcp_publisher *publisher;

	return worked("zcp_publisher_open", zcp_publisher_open(&publisher, node, &topic, &options), errors) ? publisher : NULL;
}

static zcp_subscriber *subscribe(zcp_node *node, const int *errors)
{
	zcp_subscriber *subscriber;

	return worked("zcp_subscriber_open", zcp_subscriber_open(&subscriber, node, &topic, NULL), errors) ? subscriber : NULL;
}

static void dispatch(struct clients *c)
{
	if (c->a)
		zcp_node_dispatch(c->a);
	if (c->b)
		zcp_node_dispatch(c->b);
}

static int drain(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;
	int n = 0;

	for (; subscriber && zcp_subscriber_take(subscriber, &sample) == 0; n++)
		zcp_sample_release(&sample);
	return n;
}

/* Ten reliable messages: nobody is stuck, and without a fault all arrive. */
static void exchange(struct clients *c, bool all_arrive)
{
	int64_t end = now_ns() + DEADLINE_MS * 1000000ll, relief = now_ns() + 500000000;
	static const char payload[LARGE];
	int n = 0, first = 0, second = 0;

	while (n < 10 || (all_arrive && (first < 10 || second < 10))) {
		int r = n < 10 ? zcp_publisher_send(c->publisher, payload, n % 2 ? SMALL : LARGE) : -EAGAIN;

		n += r >= 0;
		first += drain(c->subscriber);
		second += drain(c->second);
		dispatch(c);
		/* a publisher that was removed can hear of it only from a router that can speak again */
		if (now_ns() > relief)
			atomic_store(&orders->call, CALL_NONE);
		ck_assert_msg(now_ns() < end, "%s: %d messages were sent, %d and %d arrived", where, n, first, second);
	}
}

static void meet(struct clients *c, bool must)
{
	bool met = wait_until((dispatch(c), zcp_publisher_subscribers(c->publisher) == 2), must ? DEADLINE_MS : 700);

	ck_assert_msg(met || !must, "%s: %d of 2 subscribers are connected", where, zcp_publisher_subscribers(c->publisher));
}

/* Somebody who says nothing, and somebody who dies with endpoints open. */
static void come_and_die(const int *errors)
{
	int status;
	pid_t pid;

	ck_assert_msg(is_listening(), "%s: nobody listens any more", where);
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		zcp_node *node = join("victim", false, errors);

		if (node && publish(node, errors))
			subscribe(node, errors);
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "%s: a client failed with status 0x%x", where, status);
}

static void leave(struct clients *c)
{
	zcp_watch_close(c->watch);
	zcp_publisher_close(c->publisher);
	zcp_subscriber_close(c->subscriber);
	zcp_node_close(c->a);
	zcp_node_close(c->b);
}

/* All that clients do; what fails is left out. */
static void play(const int *for_nodes, const int *for_endpoints)
{
	struct clients c = { .a = join("a", false, for_nodes) };
	bool must = !for_nodes;

	c.b = join("b", false, for_nodes);
	if (c.a)
		worked("zcp_watch_open", zcp_watch_open(&c.watch, c.a, NULL, NULL), for_endpoints);
	if (c.a)
		c.subscriber = subscribe(c.a, for_endpoints);
	if (c.b)
		c.publisher = publish(c.b, for_endpoints);
	come_and_die(for_nodes);
	if (c.a)
		c.second = subscribe(c.a, for_endpoints);
	if (c.publisher && c.subscriber && c.second)
		meet(&c, must);
	if (c.publisher)
		exchange(&c, must);
	leave(&c);
}

/* ---- what must hold afterwards ----------------------------------------------------------------------------------- */

struct state {
	unsigned int n_fds, n_nodes, n_endpoints, n_matches;
	uint64_t n_segments, segment_bytes;
};

static struct state look(const zcp_node *observer)
{
	const struct directory_header *d = observer->directory.header;
	struct state s = { .n_nodes = d->n_nodes, .n_endpoints = d->n_endpoints, .n_matches = d->n_matches,
			   .n_segments = d->n_segments, .segment_bytes = d->segment_bytes_total };
	char name[64];
	DIR *dir;

	snprintf(name, sizeof(name), "/proc/%d/fd", (int)router);
	dir = opendir(name);
	if (!dir)
		return s;
	while (readdir(dir))
		s.n_fds++;
	closedir(dir);
	return s;
}

static bool same(const struct state *a, const struct state *b)
{
	return a->n_fds <= b->n_fds && a->n_nodes == b->n_nodes && a->n_endpoints == b->n_endpoints && a->n_matches == b->n_matches &&
	       a->n_segments == b->n_segments && a->segment_bytes == b->segment_bytes;
}

static void expect_base(const zcp_node *observer, const struct state *base)
{
	struct state now;
	int status;

	if (wait_until((now = look(observer), same(&now, base)), DEADLINE_MS))
		return;
	ck_assert_msg(!has_ended(&status), "%s: the router ended with status 0x%x: %s", where, status, log_text());
	ck_abort_msg("%s: the router has %u descriptors (%u at the beginning), %u nodes (%u), %u endpoints, %u matches, %u segments (%u)",
		     where, now.n_fds, base->n_fds, now.n_nodes, base->n_nodes, now.n_endpoints, now.n_matches, (unsigned int)now.n_segments,
		     (unsigned int)base->n_segments);
}

/* ---- serving ----------------------------------------------------------------------------------------------------- */

static uint32_t serve_once(const zcp_node *observer, const struct state *base, const struct fault *fault, uint32_t nth, bool sticky)
{
	uint32_t fired;

	snprintf(where, sizeof(where), "%s %u%s", fault->name, nth, sticky ? " and on" : "");
	inject_arm(orders, fault, nth, sticky, SCOPE_ALL, 0);
	play(node_errors, endpoint_errors);
	/* comes by itself */
	if (fault->call == CALL_SQE_TIMEOUT && nth == 1)
		ck_assert_within(atomic_load(&orders->fired) > 0, DEADLINE_MS);
	fired = inject_disarm(orders);
	expect_base(observer, base);
	play(NULL, NULL);
	expect_base(observer, base);
	return fired;
}

/* Limits that just suffice. */
static const char *const limits[] = { "--max-nodes-per-uid", "8", "--max-bytes-per-uid", "4M" };

static void start_serving(bool epoll)
{
	const char *arguments[16] = { "--loop", epoll ? "epoll" : "io_uring" };

	memcpy(arguments + 2, limits, sizeof(limits));
	run_router(arguments);
	ck_assert_msg(wait_until(is_listening(), DEADLINE_MS), "the router does not come up: %s", log_text());
}

/* Argument: a fault, and its loop. */
START_TEST(serving)
{
	const struct router_fault *f = &faults[_i / 2];
	bool epoll = _i % 2;
	struct state base;
	zcp_node *observer;

	if (!(f->when & (epoll ? SERVING_EPOLL : SERVING_URING)))
		return;
	snprintf(where, sizeof(where), "%s: at first", f->fault.name);
	open_orders();
	start_serving(epoll);
	observer = join("observer", true, NULL);
	play(NULL, NULL);	/* what is allocated once is */
	ck_assert_within(look(observer).n_nodes == 1, DEADLINE_MS);
	base = look(observer);
	ck_assert_within((base = look(observer), usleep(20000), same(&base, &(struct state[]){ look(observer) }[0])), DEADLINE_MS);
	for (int sticky = 0; sticky <= f->sticky; sticky++) {
		uint32_t fired = 1;

		for (uint32_t n = 1; fired; n = next(&f->fault, n)) {
			ck_assert_uint_lt(n, 5000);
			fired = serve_once(observer, &base, &f->fault, n, sticky);
			atomic_fetch_add(&n_fired[_i / 2], fired);
		}
	}
	zcp_node_close(observer);
	stop_router();
	close_orders();
}
END_TEST

/* ---- starting ---------------------------------------------------------------------------------------------------- */

/*
 * It ended: with status 1 and one line that says why, and it left nothing. A warning may go before, and
 * where more than one thing failed (@many) a line for each.
 */
static void expect_failure(int status, bool many)
{
	const char *text = log_text(), *line = text;
	int n = 0;

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s: the router ended with status 0x%x: %s", where, status, text);
	for (; *line; line = strchr(line, '\n') + 1) {
		ck_assert_msg(strncmp(line, "zcp-router: ", 12) == 0 && strchr(line, '\n'), "%s: strange line: '%s'", where, text);
		n += strncmp(line + 12, "warning: ", 9) != 0;
	}
	ck_assert_msg(n == 1 || (n > 1 && many), "%s: %d lines, not one: '%s'", where, n, text);
	remove_directory();
}

static uint32_t start_once(const struct fault *fault, const char *loop, uint32_t nth, bool sticky)
{
	const char *arguments[] = { "--quiet", "--loop", loop, NULL };
	uint32_t fired;
	int status = 0;
	bool ended;

	snprintf(where, sizeof(where), "start on %s, %s %u%s", loop, fault->name, nth, sticky ? " and on" : "");
	inject_arm(orders, fault, nth, sticky, SCOPE_ALL, 0);
	run_router(arguments);
	ended = false;
	ck_assert_msg(wait_until((ended = has_ended(&status)) || is_listening(), DEADLINE_MS), "%s: neither up nor down: %s", where, log_text());
	if (!ended) {
		zcp_node *node;

		/* it may listen and end all the same */
		node = join("node", false, start_errors);
		zcp_node_close(node);
		fired = inject_disarm(orders);
		if (!node)
			wait_until((ended = has_ended(&status)), 300);
		if (!ended && !node)
			zcp_node_close(join("node", false, NULL));
		if (!ended)
			stop_router();
	} else {
		fired = inject_disarm(orders);
	}
	if (ended)
		expect_failure(status, sticky);
	return fired;
}

START_TEST(starting)
{
	static const char *const loops[] = { "auto", "epoll" };
	const struct router_fault *f = &faults[_i / 2];

	/* what concerns both loops need not be seen on both each time */
	if (!(f->when & STARTING) || (_i % 2 && f->fault.call != CALL_EPOLL && f->fault.call != CALL_MMAP && !all()))
		return;
	open_orders();
	for (int sticky = 0; sticky <= f->sticky; sticky++) {
		uint32_t fired = 1;

		for (uint32_t n = 1; fired; n = next(&f->fault, n)) {
			ck_assert_uint_lt(n, 1000000);
			fired = start_once(&f->fault, loops[_i % 2], n, sticky);
			atomic_fetch_add(&n_fired[_i / 2], fired);
		}
	}
	close_orders();
}
END_TEST

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

static uint32_t stop_once(const struct fault *fault, bool epoll, uint32_t nth, bool sticky)
{
	struct clients c = { .a = NULL };

	snprintf(where, sizeof(where), "stop on %s, %s %u%s", epoll ? "epoll" : "io_uring", fault->name, nth, sticky ? " and on" : "");
	start_serving(epoll);
	c.a = join("a", false, NULL);
	c.b = join("b", false, NULL);
	c.subscriber = subscribe(c.a, NULL);
	c.publisher = publish(c.b, NULL);
	inject_arm(orders, fault, nth, sticky, SCOPE_ALL, 0);
	stop_router();
	leave(&c);
	return inject_disarm(orders);
}

START_TEST(stopping)
{
	const struct router_fault *f = &faults[_i / 2];

	if (!(f->when & STOPPING))
		return;
	open_orders();
	for (int sticky = 0; sticky <= f->sticky; sticky++) {
		uint32_t fired = 1;

		for (uint32_t n = 1; fired; n = next(&f->fault, n)) {
			ck_assert_uint_lt(n, 5000);
			fired = stop_once(&f->fault, _i % 2, n, sticky);
			atomic_fetch_add(&n_fired[_i / 2], fired);
		}
	}
	close_orders();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("router-faults");
	TCase *t;

	t = add_test_case(s, "serving", 300);
	tcase_add_loop_test(t, serving, 0, 2 * N_FAULTS);
	t = add_test_case(s, "starting", 300);
	tcase_add_loop_test(t, starting, 0, 2 * N_FAULTS);
	t = add_test_case(s, "stopping", 300);
	tcase_add_loop_test(t, stopping, 0, 2 * N_FAULTS);
	return s;
}

/* A fault that was never injected anywhere says that this suite looks past something. */
static int check_coverage(void)
{
	int r = EXIT_SUCCESS;

	for (int i = 0; i < N_FAULTS; i++) {
		printf("%6u x %s\n", atomic_load(&n_fired[i]), faults[i].fault.name);
		if (!atomic_load(&n_fired[i]))
			r = EXIT_FAILURE;
	}
	return r;
}

int main(void)
{
	int r;

	n_fired = mmap(NULL, sizeof(*n_fired) * (size_t)N_FAULTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (n_fired == MAP_FAILED)
		return EXIT_FAILURE;
	r = run_suite(suite());
	return check_coverage() == EXIT_SUCCESS || getenv("CK_RUN_CASE") ? r : EXIT_FAILURE;
}
