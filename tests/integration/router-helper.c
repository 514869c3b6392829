/* SPDX-License-Identifier: MIT */
/* See router-helper.h. */

#include "router-helper.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/geometry.h"
#include "common/directory.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "common/message.h"
#include "common/name.h"

#define ARGUMENTS_MAX 24

const char *loop_argument(int i)
{
	return i ? "epoll" : "io_uring";
}

/* --- the router's process ------------------------------------------------------------------------- */

int lock_io_uring(bool exclusive)
{
	int fd = open(getenv("ZCP_ROUTER_BIN"), O_RDONLY | O_CLOEXEC);

	ck_assert_ok(fd);
	ck_assert_ok(flock(fd, exclusive ? LOCK_EX : LOCK_SH));
	return fd;
}

bool router_runs_as(uid_t uid)
{
	pid_t pid = fork();
	int status;

	ck_assert_ok(pid);
	if (!pid)
		_exit(setresuid(uid, uid, uid) < 0 || access(getenv("ZCP_ROUTER_BIN"), X_OK) < 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

void router_prepare(struct test_router *router)
{
	memset(router, 0, sizeof(*router));
	snprintf(router->directory, sizeof(router->directory), "/tmp/zcp-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(router->directory));
	snprintf(router->path, sizeof(router->path), "%s/router.sock", router->directory);
}

static void install_filter(struct sock_filter *filter, unsigned short n)
{
	struct sock_fprog program = { .len = n, .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(126);
}

static void refuse_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	install_filter(filter, sizeof(filter) / sizeof(filter[0]));
}

/* The option's number is the lower half of the third argument; 77 is SO_PEERPIDFD. */
static void refuse_peerpidfd(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	install_filter(filter, sizeof(filter) / sizeof(filter[0]));
}

static void restrict_process(const struct test_router *router)
{
	struct rlimit limit = { .rlim_cur = router->nofile, .rlim_max = router->nofile };

	if (router->nofile && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(126);
	if (router->uid && (setresuid(router->uid, router->uid, router->uid) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0))
		_exit(126);
	if (router->without_uring)
		refuse_uring();
	if (router->without_peerpidfd)
		refuse_peerpidfd();
}

/* sd_listen_fds(3): from descriptor 3 on. They are moved out of each other's way first. */
static void pass_sockets(const struct test_router *router)
{
	const int beyond = 200, first = 3;
	char text[32];

	for (int i = 0; i < (int)router->n_passed; i++)
		if (dup2(router->passed[i], beyond + i) < 0)
			_exit(126);
	for (int i = 0; i < (int)router->n_passed; i++)
		if (dup2(beyond + i, first + i) < 0 || close(beyond + i) < 0)
			_exit(126);
	snprintf(text, sizeof(text), "%d", (int)getpid() + router->passed_to_another);
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%u", router->n_passed);
	setenv("LISTEN_FDS", text, 1);
	if (router->passed_names)
		setenv("LISTEN_FDNAMES", router->passed_names, 1);
}

/* The router dies with the test process, however that ends. */
static pid_t spawn(const struct test_router *router, const char *const *arguments, int stderr_fd)
{
	const char *argv[ARGUMENTS_MAX] = { "zcp-router", "--socket", router->path };
	const char *binary = getenv("ZCP_ROUTER_BIN");
	pid_t parent = getpid(), pid;
	int n = router->n_passed ? 1 : 3;

	ck_assert_msg(binary != NULL, "ZCP_ROUTER_BIN is not set");
	for (; *arguments; arguments++) {
		ck_assert_int_lt(n, ARGUMENTS_MAX - 1);
		argv[n++] = *arguments;
	}
	pid = fork();
	ck_assert_ok(pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (stderr_fd >= 0)
		dup2(stderr_fd, STDERR_FILENO);
	if (router->n_passed)
		pass_sockets(router);
	restrict_process(router);
	argv[n] = NULL;
	execv(binary, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int try_connect(const struct test_router *router)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_ok(fd);
	memcpy(address.sun_path, router->path, strlen(router->path) + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	return fd_close(fd);
}

/*
 * This router, not one that was killed and whose io_uring still holds the socket: the kernel says
 * who called listen().
 */
static bool is_listening(const struct test_router *router)
{
	int fd = try_connect(router);
	struct ucred credentials = { 0 };
	socklen_t length = sizeof(credentials);

	if (fd >= 0)
		ck_assert_ok(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length));
	fd_close(fd);
	return fd >= 0 && credentials.pid == router->pid;
}

void router_run(struct test_router *router, const char *const *arguments)
{
	struct test_node node;

	router->pid = spawn(router, arguments, -1);
	ck_assert_within(is_listening(router) || !router_lives(router), DEADLINE_MS);
	ck_assert_msg(router_lives(router), "the router ended at once");

	/*
	 * One conversation: it listens before all its descriptors are open, but does not answer.
	 * Then wait for calm.
	 */
	node_join(&node, router, "first");
	node_leave(&node);
	router->n_fds = router_fds(router);
	for (int64_t calm_since = now_ns(); now_ns() - calm_since < 30000000;) {
		struct timespec nap = { .tv_nsec = 1000000 };
		unsigned int n;

		nanosleep(&nap, NULL);
		n = router_fds(router);
		if (n != router->n_fds) {
			router->n_fds = n;
			calm_since = now_ns();
		}
	}
}

void router_start(struct test_router *router, int i, ...)
{
	const char *arguments[ARGUMENTS_MAX] = { "--loop", loop_argument(i), "--quiet" };
	va_list list;
	int n = 3;

	va_start(list, i);
	do {
		ck_assert_int_lt(n, ARGUMENTS_MAX - 1);
		arguments[n] = va_arg(list, const char *);
	} while (arguments[n++]);
	va_end(list);
	router_prepare(router);
	router_run(router, arguments);
}

int router_fails(const struct test_router *router, const char *const *arguments, char *text, size_t text_bytes)
{
	size_t used = 0;
	int pipe_fds[2], status;
	pid_t pid;

	ck_assert_ok(pipe2(pipe_fds, O_CLOEXEC));
	pid = spawn(router, arguments, pipe_fds[1]);
	close(pipe_fds[1]);
	for (;;) {
		struct pollfd in = { .fd = pipe_fds[0], .events = POLLIN };
		ssize_t n;

		ck_assert_msg(poll(&in, 1, DEADLINE_MS) == 1, "the router neither ended nor spoke");
		n = read(pipe_fds[0], text + used, text_bytes - 1 - used);
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	text[used] = 0;
	close(pipe_fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "the router ended by signal %d: %s", WTERMSIG(status), text);
	return WEXITSTATUS(status);
}

static void expect_empty(const struct test_router *router)
{
	DIR *directory = opendir(router->directory);

	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		ck_assert_msg(entry->d_name[0] == '.', "%s was left behind", entry->d_name);
	closedir(directory);
}

void router_stop(struct test_router *router, int signal)
{
	int status;

	ck_assert_ok(kill(router->pid, signal));
	ck_assert_within(waitpid(router->pid, &status, WNOHANG) == router->pid, DEADLINE_MS);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the router ended with status 0x%x", status);
	router->pid = 0;
	expect_empty(router);
	ck_assert_ok(rmdir(router->directory));
}

unsigned int router_fds(const struct test_router *router)
{
	char path[64];
	unsigned int n = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)router->pid);
	directory = opendir(path);
	ck_assert_ptr_nonnull(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		n += entry->d_name[0] != '.';
	closedir(directory);
	return n;
}

bool router_lives(const struct test_router *router)
{
	int status;

	return waitpid(router->pid, &status, WNOHANG) == 0;
}

/*
 * Fewer than at the beginning: the last of our first connections was counted while it was being
 * closed.
 */
void router_expect_base(struct test_router *router)
{
	unsigned int n = 0;

	ck_assert_msg(wait_until((n = router_fds(router)) <= router->n_fds, DEADLINE_MS), "%u descriptors, %u at the beginning", n,
		      router->n_fds);
	router->n_fds = n;
	ck_assert(router_lives(router));
}

/* --- messages ------------------------------------------------------------------------------------- */

int client_connect(const struct test_router *router)
{
	int fd = try_connect(router);

	ck_assert_msg(fd >= 0, "cannot connect: %s", strerror(errno));
	return fd;
}

void client_send(int fd, const struct wire_header *message)
{
	ck_assert_int_eq(send(fd, message, message->size, MSG_NOSIGNAL), message->size);
}

int client_try_send(int fd, const void *bytes, size_t n_bytes, const int *fds, unsigned int n_fds)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec vector = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n_bytes };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	if (n_fds) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool client_has_message(int fd, int timeout_ms)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };

	return poll(&in, 1, timeout_ms) == 1;
}

static int receive(int fd, union wire_message *message, int fds[WIRE_FDS_MAX])
{
	ck_assert_msg(client_has_message(fd, DEADLINE_MS), "no message from the router");
	memset(message, 0, sizeof(*message));
	return message_receive(fd, message, fds);
}

void client_expect(int fd, enum wire_type type, union wire_message *message, int fds[WIRE_FDS_MAX])
{
	int received[WIRE_FDS_MAX];
	int r = receive(fd, message, received);

	ck_assert_msg(r >= 0, "expected message %d, got: %s", (int)type, strerror(-r));
	ck_assert_msg(message->header.type == type, "expected message %d, got %d: %s", (int)type, (int)message->header.type,
		      message->header.type == WIRE_ERROR ? message->error.text : "");
	if (fds)
		memcpy(fds, received, sizeof(received));
	else
		close_fds(received);
}

void client_expect_error(int fd, uint32_t request, int error, const char *part)
{
	union wire_message message;

	client_expect(fd, WIRE_ERROR, &message, NULL);
	ck_assert_msg(message.error.error == error, "expected error %d, got %d: %s", error, message.error.error,
		      message.error.text);
	ck_assert_uint_eq(message.header.request, request);
	ck_assert_ptr_nonnull(memchr(message.error.text, 0, sizeof(message.error.text)));
	ck_assert_msg(strstr(message.error.text, part) != NULL, "'%s' does not contain '%s'", message.error.text, part);
}

int client_expect_end(int fd)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX], r, error = 0;

	while ((r = receive(fd, &message, fds)) >= 0) {
		close_fds(fds);
		if (message.header.type == WIRE_ERROR)
			error = message.error.error;
	}
	ck_assert_msg(r == -EPIPE || r == -ECONNRESET, "expected the end, got: %s", strerror(-r));
	return error;
}

void close_fds(int fds[WIRE_FDS_MAX])
{
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = fd_close(fds[i]);
}

/* --- nodes ---------------------------------------------------------------------------------------- */

void hello_fill(struct wire_hello *hello, uint32_t request, const char *name)
{
	memset(hello, 0, sizeof(*hello));
	wire_init(&hello->header, WIRE_HELLO, request);
	name_to_field(hello->name, sizeof(hello->name), name);
}

void node_join(struct test_node *node, const struct test_router *router, const char *name)
{
	node_join_with(node, router, name, 0);
}

void node_join_with(struct test_node *node, const struct test_router *router, const char *name, uint32_t flags)
{
	struct wire_segment_mapped mapped = { 0 };
	union wire_message message;
	struct wire_hello hello;
	int fds[WIRE_FDS_MAX];

	node->fd = client_connect(router);
	hello_fill(&hello, 7, name);
	hello.flags = flags;
	client_send(node->fd, &hello.header);
	client_expect(node->fd, WIRE_WELCOME, &message, fds);
	node->welcome = message.welcome;
	ck_assert_uint_eq(node->welcome.header.request, 7);
	ck_assert_int_eq(memfd_map_writer(fds[1], node->welcome.node_page_bytes, &node->page), 0);
	node->directory_fd = fd_take(&fds[0]);
	close_fds(fds);

	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, 7);
	mapped.segment = node->welcome.node_page_segment;
	client_send(node->fd, &mapped.header);
}

void node_leave(struct test_node *node)
{
	struct wire_goodbye goodbye;

	wire_init(&goodbye.header, WIRE_GOODBYE, 0);
	client_send(node->fd, &goodbye.header);
	node_drop(node);
}

void node_drop(struct test_node *node)
{
	munmap(node->page, node->welcome.node_page_bytes);
	node->directory_fd = fd_close(node->directory_fd);
	node->fd = fd_close(node->fd);
}

/* --- endpoints ------------------------------------------------------------------------------------ */

static void topic_fill(struct wire_topic *topic, const char *event)
{
	name_to_field(topic->service, sizeof(topic->service), "service");
	name_to_field(topic->instance, sizeof(topic->instance), "instance");
	name_to_field(topic->event, sizeof(topic->event), event);
}

void publisher_fill(struct wire_endpoint_open *open, uint32_t request, const char *topic, uint32_t max_lanes)
{
	struct geometry_request wish = { .payload_max = 1000, .depth = 16, .max_lanes = max_lanes, .held_budget = 4 * max_lanes };
	const char *why = NULL;

	memset(open, 0, sizeof(*open));
	wire_init(&open->header, WIRE_ENDPOINT_OPEN, request);
	open->kind = WIRE_PUBLISHER;
	topic_fill(&open->topic, topic);
	ck_assert_msg(geometry_plan(&open->geometry, &wish, &why) == 0, "%s", why);
}

void subscriber_fill(struct wire_endpoint_open *open, uint32_t request, const char *topic, uint32_t n_lanes)
{
	memset(open, 0, sizeof(*open));
	wire_init(&open->header, WIRE_ENDPOINT_OPEN, request);
	open->kind = WIRE_SUBSCRIBER;
	open->max_held = 4;
	open->n_lanes = n_lanes;
	topic_fill(&open->topic, topic);
}

void endpoint_open(struct test_endpoint *endpoint, int fd, const struct wire_endpoint_open *open)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	client_send(fd, &open->header);
	client_expect(fd, WIRE_ENDPOINT_OPENED, &message, fds);
	*endpoint = (struct test_endpoint){
		.id = message.endpoint_opened.endpoint,
		.segment_id = message.endpoint_opened.segment,
		.bytes = message.endpoint_opened.segment_bytes,
		.request = open->header.request,
		.segment_fd = fds[0],
		.doorbell_fd = fds[1],
	};
	ck_assert_uint_eq(message.header.request, endpoint->request);
	ck_assert_int_eq(memfd_map_writer(fds[0], endpoint->bytes, &endpoint->memory), 0);
}

void endpoint_mapped(const struct test_endpoint *endpoint, int fd)
{
	struct wire_segment_mapped mapped = { .segment = endpoint->segment_id };

	wire_init(&mapped.header, WIRE_SEGMENT_MAPPED, endpoint->request);
	client_send(fd, &mapped.header);
}

void endpoint_ready(struct test_endpoint *endpoint, int fd, const struct wire_endpoint_open *open)
{
	union wire_message message;

	endpoint_open(endpoint, fd, open);
	endpoint_mapped(endpoint, fd);
	client_expect(fd, WIRE_ENDPOINT_READY, &message, NULL);
	ck_assert_uint_eq(message.header.request, endpoint->request);
	ck_assert_uint_eq(message.endpoint_ready.endpoint, endpoint->id);
	endpoint->n_pending = message.endpoint_ready.n_pending;
}

void endpoint_close(struct test_endpoint *endpoint, int fd)
{
	struct wire_endpoint_close message = { .endpoint = endpoint->id };

	wire_init(&message.header, WIRE_ENDPOINT_CLOSE, 99);
	client_send(fd, &message.header);
	endpoint_forget(endpoint);
}

void endpoint_forget(struct test_endpoint *endpoint)
{
	munmap(endpoint->memory, endpoint->bytes);
	endpoint->segment_fd = fd_close(endpoint->segment_fd);
	endpoint->doorbell_fd = fd_close(endpoint->doorbell_fd);
}

void lane_choose(int fd, const struct wire_writer_added *added, int32_t lane)
{
	struct wire_lane_chosen chosen = { .endpoint = added->endpoint, .match = added->match, .lane = lane };

	wire_init(&chosen.header, WIRE_LANE_CHOSEN, 0);
	client_send(fd, &chosen.header);
}
