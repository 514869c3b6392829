/* SPDX-License-Identifier: MIT */
/*
 * second-node.c - see second-node.h: joining, opening, matches, segments
 */
#include "second-node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)
#define SEALS_READER (SEALS_SIZE | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

union message {
	struct header header;
	struct welcome welcome;
	struct endpoint_opened endpoint_opened;
	struct endpoint_ready endpoint_ready;
	struct writer_added writer_added;
	struct lane_added lane_added;
	struct lane_gone gone;
	struct match_refused match_refused;
	struct error error;
	unsigned char bytes[WIRE_MESSAGE_MAX];
};

void die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "second: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- barriers, doorbells ----------------------------------------------------------------------------------------- */

void fast_barrier(const struct node *node, uint32_t peer_flags)
{
	if (node->needs_fence || peer_flags & CHANNEL_NEEDS_FENCE)
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
}

void rare_barrier(const struct node *node)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!node->needs_fence)
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

/* Not to block, whatever the others have done to its O_NONBLOCK. */
static bool is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) == 1 && p.revents & events;
}

void ring(int doorbell)
{
	uint64_t one = 1;

	if (is_ready(doorbell, POLLOUT) && write(doorbell, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("cannot ring: %s", strerror(errno));
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

static void *map(int fd, uint64_t bytes, int seals, int protection)
{
	struct stat st;
	void *memory;
	int has = fcntl(fd, F_GET_SEALS);

	if (has < 0 || (has & seals) != seals)
		die("a segment has seals 0x%x", (unsigned int)has);
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != bytes)
		die("a segment is %lld bytes long, not %llu", (long long)st.st_size, (unsigned long long)bytes);
	memory = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("cannot map a segment: %s", strerror(errno));
	madvise(memory, bytes, MADV_DONTFORK);
	close(fd);
	return memory;
}

static void *map_writer(int fd, uint64_t bytes)
{
	return map(fd, bytes, SEALS_SIZE, PROT_READ | PROT_WRITE);
}

static const void *map_reader(int fd, uint64_t bytes)
{
	return map(fd, bytes, SEALS_READER, PROT_READ);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void say(struct node *node, void *message, uint16_t type, uint32_t bytes, uint32_t request)
{
	struct header header = { WIRE_MAGIC, WIRE_VERSION, type, bytes, request };

	memcpy(message, &header, sizeof(header));
	if (send(node->socket, message, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		die("cannot send message %u: %s", type, strerror(errno));
}

#define SAY(node, message, NAME, request) say(node, &(message), TYPE_##NAME, sizeof(message), request)

/* How many descriptors each message has that we expect to get. */
static unsigned int fds_of(uint16_t type)
{
	switch (type) {
	case TYPE_WELCOME:
		return FDS_WELCOME;
	case TYPE_ENDPOINT_OPENED:
		return FDS_ENDPOINT_OPENED;
	case TYPE_WRITER_ADDED:
		return FDS_WRITER_ADDED;
	case TYPE_LANE_ADDED:
		return FDS_LANE_ADDED;
	default:
		return 0;
	}
}

static void receive(struct node *node, union message *m, int fds[WIRE_FDS_MAX])
{
	char control[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(node->socket, &h, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	unsigned int n_fds = 0;

	if (n < (ssize_t)sizeof(m->header))
		die("the router hung up");
	if (c && c->cmsg_type == SCM_RIGHTS) {
		n_fds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
	}
	if (m->header.magic != WIRE_MAGIC || m->header.version != WIRE_VERSION || m->header.size != n)
		die("a message of the router has a wrong header");
	if (m->header.type == TYPE_ERROR)
		die("the router says: %s (%d)", m->error.text, m->error.error);
	if (n_fds != fds_of(m->header.type))
		die("message %u came with %u descriptors", m->header.type, n_fds);
}

/* ---- matches ----------------------------------------------------------------------------------------------------- */

static struct peer *find_peer(struct node *node, uint64_t match)
{
	for (int i = 0; i < PEERS_MAX; i++)
		if (node->peers[i].match == match)
			return &node->peers[i];
	return NULL;
}

static void on_writer_added(struct node *node, const struct writer_added *m, const int fds[WIRE_FDS_MAX])
{
	struct lane_chosen chosen = { .endpoint = m->endpoint, .match = m->match };
	struct peer *p = find_peer(node, 0);

	if (!p || m->endpoint != node->endpoint)
		die("more publishers than lanes, or WRITER_ADDED for somebody else");
	*p = (struct peer){ .match = m->match, .from_start = m->flags & MATCH_FROM_START, .lossy = m->flags & MATCH_LOSSY,
			    .segment = map_reader(fds[0], m->segment_bytes), .segment_bytes = m->segment_bytes, .doorbell = fds[1],
			    .lane = (uint32_t)(p - node->peers) };
	node->writer_added(node, p, m->publisher);
	chosen.lane = (int32_t)p->lane;
	SAY(node, chosen, LANE_CHOSEN, 0);
}

static void on_lane_added(struct node *node, const struct lane_added *m, const int fds[WIRE_FDS_MAX])
{
	struct peer *p = find_peer(node, 0);

	if (!p || m->endpoint != node->endpoint || m->lane >= m->n_lanes)
		die("LANE_ADDED makes no sense");
	*p = (struct peer){ .match = m->match, .from_start = m->flags & MATCH_FROM_START, .lossy = m->flags & MATCH_LOSSY,
			    .segment = map_reader(fds[0], m->segment_bytes), .segment_bytes = m->segment_bytes, .doorbell = fds[1],
			    .lane = m->lane, .max_held = m->max_held, .endpoint = m->subscriber };
	if (round_up(LANE_PAGE_FIRST + m->n_lanes * lane_stride(m->max_held), 4096) != m->segment_bytes)
		die("the lane page is not as long as its numbers say");
}

static void on_gone(struct node *node, const struct lane_gone *m)
{
	struct peer *p = m->match ? find_peer(node, m->match) : NULL;

	if (p)
		p->gone = true;
	else if (node->n_expected)
		node->n_expected--;
}

static void handle(struct node *node, const union message *m, const int fds[WIRE_FDS_MAX])
{
	switch (m->header.type) {
	case TYPE_WRITER_ADDED:
		on_writer_added(node, &m->writer_added, fds);
		break;
	case TYPE_LANE_ADDED:
		on_lane_added(node, &m->lane_added, fds);
		break;
	case TYPE_WRITER_GONE:
	case TYPE_LANE_GONE:
		on_gone(node, &m->gone);
		break;
	case TYPE_MATCH_REFUSED:
		die("no match: %s", m->match_refused.text);
	default:
		die("message %u is not expected", m->header.type);
	}
}

/* The answer to @request, of @type; news that come before it are handled. */
static void await(struct node *node, uint16_t type, uint32_t request, union message *m, int fds[WIRE_FDS_MAX])
{
	for (;;) {
		struct pollfd p = { .fd = node->socket, .events = POLLIN };

		if (poll(&p, 1, LATE_MS) != 1)
			die("the router does not answer with message %u", type);
		receive(node, m, fds);
		if (m->header.type == type && m->header.request == request)
			return;
		handle(node, m, fds);
	}
}

void node_run(struct node *node, int ms)
{
	struct pollfd p[2] = { { .fd = node->socket, .events = POLLIN }, { .fd = node->doorbell, .events = POLLIN } };
	int most = (int)node->heartbeat_ms;
	int fds[WIRE_FDS_MAX];
	union message m;
	uint64_t count;

	STORE(node->page->heartbeat_ns, now_ns(), relaxed);
	if (poll(p, 2, ms < most ? ms : most) < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
	if (p[1].revents & POLLIN && is_ready(node->doorbell, POLLIN) && read(node->doorbell, &count, sizeof(count)) < 0 && errno != EAGAIN)
		die("cannot silence the doorbell: %s", strerror(errno));
	while (is_ready(node->socket, POLLIN)) {
		receive(node, &m, fds);
		handle(node, &m, fds);
	}
}

/* ---- joining and opening ----------------------------------------------------------------------------------------- */

void node_join(struct node *node, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct segment_mapped mapped = { 0 };
	struct hello hello = { 0 };
	int fds[WIRE_FDS_MAX];
	union message m;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("ZCP_ROUTER") ? getenv("ZCP_ROUTER") : "");
	node->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (node->socket < 0 || connect(node->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("cannot connect to %s: %s", address.sun_path, strerror(errno));
	if (!node->needs_fence && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) < 0)
		node->needs_fence = true;
	snprintf(hello.name, sizeof(hello.name), "%s", name);
	SAY(node, hello, HELLO, 1);
	await(node, TYPE_WELCOME, 1, &m, fds);
	if (((const struct directory_header *)map_reader(fds[0], m.welcome.directory_bytes))->magic != DIRECTORY_MAGIC)
		die("the directory is none");
	node->page = map_writer(fds[1], m.welcome.node_page_bytes);
	node->page->version = WIRE_VERSION;
	STORE(node->page->heartbeat_ns, now_ns(), relaxed);
	node->page->magic = NODE_PAGE_MAGIC;
	node->id = m.welcome.node;
	node->heartbeat_ms = m.welcome.heartbeat_ms;
	mapped.segment = m.welcome.node_page_segment;
	SAY(node, mapped, SEGMENT_MAPPED, 1);
}

void node_open(struct node *node, const char *topic, struct endpoint_open *open, void (*prepare)(struct node *node, const struct endpoint_open *open))
{
	struct segment_mapped mapped = { 0 };
	int fds[WIRE_FDS_MAX];
	union message m;

	if (sscanf(topic, "%100[^/]/%100[^/]/%100[^/]", open->topic.service, open->topic.instance, open->topic.event) != 3)
		die("'%s' is no topic", topic);
	SAY(node, *open, ENDPOINT_OPEN, 2);
	await(node, TYPE_ENDPOINT_OPENED, 2, &m, fds);
	node->endpoint = m.endpoint_opened.endpoint;
	node->segment_bytes = m.endpoint_opened.segment_bytes;
	node->segment = map_writer(fds[0], node->segment_bytes);
	node->doorbell = fds[1];
	prepare(node, open);
	mapped.segment = m.endpoint_opened.segment;
	SAY(node, mapped, SEGMENT_MAPPED, 2);
	await(node, TYPE_ENDPOINT_READY, 2, &m, fds);
	node->n_expected = open->kind == PUBLISHER ? m.endpoint_ready.n_pending : 0;
}

void node_leave(struct node *node)
{
	struct endpoint_close close_it = { .endpoint = node->endpoint };
	struct goodbye goodbye = { 0 };

	SAY(node, close_it, ENDPOINT_CLOSE, 0);
	SAY(node, goodbye, GOODBYE, 0);
	close(node->socket);
}
