/* SPDX-License-Identifier: MIT */
/*
 * Thousands of processes that come and are killed, and a router that must be as it was.
 *
 * A reliable and a lossy stream of numbers run all the time, each from a publisher to a reader that checks that
 * nothing is missing (reliable) or uncounted (lossy). Around them the parent keeps some victims alive at any moment: processes
 * that open a node, publishers, subscribers on the streams' topics and on their own, take, hold, publish, close and
 * open again. Each is killed after a random time, often before it has even joined. In the end nothing of them may be
 * left: the router's descriptors, the rows and segments it counts in its directory, and its resident memory are compared with what they
 * were before (memory: after the first tenth, when its tables have grown to what this load needs).
 *
 * Usage: churn [PROCESSES]; PROCESSES or $ZCP_CHURN, default 300. Takes the router from $ZCP_ROUTER_BIN.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include <zcp/zcp.h>

#include "common/clock.h"
#include "lib/node.h"

#define VICTIMS 8			/* at once */
/* AddressSanitizer's allocator takes some hundred processes (gcc 14) until it has what it wants; what leaks it says itself. */
#ifdef __SANITIZE_ADDRESS__
#define MEMORY_SLACK_KB 4096
#else
#define MEMORY_SLACK_KB 512
#endif
#define SETTLE_LOOKS 20			/* before anything is compared with what is there */
#define SECOND INT64_C(1000000000)

struct shared {
	_Atomic int stop;		/* publishers of the streams: come to an end */
	_Atomic int ready;
	_Atomic uint64_t published[2], received[2], lost[2];
};

static char socket_path[108];
static struct shared *shared;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "churn[%d]: ", (int)getpid());
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(1);
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static zcp_node *join(const char *name)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path };
	zcp_node *node;

	if (zcp_node_open(&node, name, &options) < 0)
		die("%s: %s", name, zcp_last_error());
	return node;
}

static struct zcp_topic stream_topic(bool reliable)
{
	return (struct zcp_topic){ "churn", reliable ? "reliable" : "lossy", "numbers" };
}

/* ---- the streams ------------------------------------------------------------------------------------------------- */

#define STOP_NUMBER UINT64_MAX

static _Noreturn void stream_publisher(bool reliable)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 1024, .reliable = reliable, .timeout = 60 * SECOND };
	struct zcp_topic topic = stream_topic(reliable);
	uint64_t message[64] = { 0 }, number = 0;
	zcp_node *node = join("stream");
	zcp_publisher *p;

	/* by chunk now and then: pins of victims that die with samples in their hands */
	if (zcp_publisher_open(&p, node, &topic, &options) < 0)
		die("%s", zcp_last_error());
	while (!atomic_load(&shared->stop)) {
		message[0] = number++;
		if (zcp_publisher_send(p, message, number % 3 ? sizeof(message) : 64) < 0)
			die("send: %s", zcp_last_error());
		if (number % 8 == 0)
			usleep(500);
	}
	message[0] = STOP_NUMBER;
	if (zcp_publisher_send(p, message, 8) < 0)
		die("send: %s", zcp_last_error());
	atomic_store(&shared->published[reliable], number);
	zcp_publisher_close(p);
	zcp_node_close(node);
	_exit(0);
}

static _Noreturn void stream_reader(bool reliable)
{
	struct zcp_topic topic = stream_topic(reliable);
	zcp_node *node = join("stream");
	zcp_subscriber *s;
	uint64_t stream = 0, next = 0, lost = 0;

	if (zcp_subscriber_open(&s, node, &topic, NULL) < 0)
		die("%s", zcp_last_error());
	atomic_fetch_add(&shared->ready, 1);
	for (;;) {
		struct zcp_sample sample;
		uint64_t number;
		int r = zcp_subscriber_take(s, &sample);

		if (r == -EAGAIN && (r = zcp_subscriber_wait(s, 30 * SECOND)) == 0)
			continue;
		if (r < 0)
			die("%s stream: %s", reliable ? "reliable" : "lossy", zcp_last_error());
		number = *(const uint64_t *)sample.data;
		if (!stream)
			stream = sample.publisher;
		if (sample.publisher == stream) {
			lost += sample.lost;
			if (sample.sequence != next + sample.lost || (number != STOP_NUMBER && number != sample.sequence))
				die("sequence %llu with number %llu follows %llu, lost says %llu", (unsigned long long)sample.sequence,
				    (unsigned long long)number, (unsigned long long)next - 1, (unsigned long long)sample.lost);
			next = sample.sequence + 1;
		}
		zcp_sample_release(&sample);
		if (number == STOP_NUMBER && sample.publisher == stream)
			break;
	}
	if (reliable && lost)
		die("%llu messages lost on the reliable stream", (unsigned long long)lost);
	atomic_store(&shared->received[reliable], next - 1);
	atomic_store(&shared->lost[reliable], lost);
	zcp_subscriber_close(s);
	zcp_node_close(node);
	_exit(0);
}

/* ---- victims ----------------------------------------------------------------------------------------------------- */

/* Read a stream, holding what max_held allows. */
static void victim_reads(zcp_node *node, bool reliable, uint64_t *seed)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .max_held = 2, .history = 4, .max_publishers = 16 };
	struct zcp_topic topic = stream_topic(reliable);
	struct zcp_sample held[2];
	zcp_subscriber *s;
	int n = 0;

	/* the publisher's held budget may be used up by other victims: that is a documented refusal */
	if (zcp_subscriber_open(&s, node, &topic, &options) < 0)
		return;
	for (uint64_t i = random_next(seed) % 400; i; i--) {
		if (n == 2)
			zcp_sample_release(&held[--n]);
		if (zcp_subscriber_take(s, &held[n]) == 0)
			n++;
		else
			zcp_subscriber_wait(s, 2000000);
	}
	while (n)
		zcp_sample_release(&held[--n]);
	zcp_subscriber_close(s);
}

static void victim_publishes(zcp_node *node, uint64_t *seed)
{
	struct zcp_publisher_options options = { .sz = sizeof(options), .payload_max = 20000, .depth = 8 };
	struct zcp_topic topic = { "churn", "victims", random_next(seed) & 1 ? "a" : "b" };
	zcp_publisher *p;
	zcp_subscriber *s;
	void *payload;

	if (zcp_publisher_open(&p, node, &topic, &options) < 0)
		die("victim: %s", zcp_last_error());
	if (zcp_subscriber_open(&s, node, &topic, NULL) == 0) {
		for (uint64_t i = random_next(seed) % 100; i; i--) {
			struct zcp_sample sample;

			if (zcp_publisher_loan(p, 20000, &payload) == 0) {
				memset(payload, (int)i, 20000);
				zcp_publisher_publish(p, payload, 20000);
			}
			if (zcp_subscriber_take(s, &sample) == 0)
				zcp_sample_release(&sample);
		}
		zcp_subscriber_close(s);
	}
	zcp_publisher_close(p);
}

static _Noreturn void victim(uint64_t seed)
{
	for (;;) {
		struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path };
		zcp_node *node;

		if (zcp_node_open(&node, "victim", &options) < 0)
			die("victim: %s", zcp_last_error());
		for (uint64_t i = random_next(&seed) % 4; i; i--) {
			if (random_next(&seed) % 3 == 0)
				victim_publishes(node, &seed);
			else
				victim_reads(node, random_next(&seed) & 1, &seed);
		}
		zcp_node_close(node);
	}
}

/* ---- the router, from outside ------------------------------------------------------------------------------------ */

static pid_t start(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static bool router_listens(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool listens;

	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	listens = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return listens;
}

/* A router built with AddressSanitizer keeps what it freed in quarantine, which looks like a leak: not here. */
static void without_quarantine(void)
{
	const char *options = getenv("ASAN_OPTIONS");
	char text[256];

	snprintf(text, sizeof(text), "%s:quarantine_size_mb=0:thread_local_quarantine_size_kb=0", options ? options : "");
	setenv("ASAN_OPTIONS", text, 1);
}

static pid_t start_router(void)
{
	const char *router = getenv("ZCP_ROUTER_BIN");
	uint64_t end = clock_now_ns() + 10 * (uint64_t)SECOND;
	pid_t pid;

	if (!router)
		die("ZCP_ROUTER_BIN is not set: run this by make check");
	pid = start();
	if (pid == 0) {
		without_quarantine();
		execl(router, "zcp-router", "--socket", socket_path, "--quiet", (char *)NULL);
		die("%s: %s", router, strerror(errno));
	}
	for (; !router_listens(); usleep(1000))
		if (clock_now_ns() > end)
			die("the router does not come up");
	return pid;
}

struct state {
	unsigned int n_fds;
	uint32_t n_nodes, n_endpoints, n_matches;
	uint64_t n_segments, segment_bytes;
};

static unsigned int count_fds(pid_t pid)
{
	char path[32];
	unsigned int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		die("the router (pid %d) is gone", (int)pid);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static long resident_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

/* Seen by a node of a process of its own, so that nobody forks while one is open. */
static void look(pid_t router, struct state *state)
{
	struct state *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (result == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	pid = start();
	if (pid == 0) {
		zcp_node *node = join("observer");
		const struct directory_header *h = node->directory.header;

		*result = (struct state){
			.n_fds = count_fds(router),
			.n_nodes = atomic_load(&h->n_nodes),
			.n_endpoints = atomic_load(&h->n_endpoints),
			.n_matches = atomic_load(&h->n_matches),
			.n_segments = atomic_load(&h->n_segments),
			.segment_bytes = atomic_load(&h->segment_bytes_total),
		};
		zcp_node_close(node);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("the observer failed");
	*state = *result;
	munmap(result, sizeof(*result));
}

/*
 * The state that the end is compared with: the fewest descriptors of several looks, because the router may not yet have
 * closed those of the observer before.
 */
static void settle(pid_t router, struct state *base)
{
	struct state now;

	look(router, base);
	for (int i = 0; i < SETTLE_LOOKS; i++) {
		usleep(10000);
		look(router, &now);
		if (now.n_fds < base->n_fds)
			*base = now;
	}
}

static void expect_base(pid_t router, const struct state *base)
{
	uint64_t end = clock_now_ns() + 20 * (uint64_t)SECOND;
	struct state now;

	for (;;) {
		look(router, &now);
		if (!memcmp(&now, base, sizeof(now)))
			return;
		if (clock_now_ns() > end)
			die("left behind: descriptors %u of %u, nodes %u of %u, endpoints %u of %u, matches %u of %u, segments %llu of %llu, bytes %llu "
			    "of %llu", now.n_fds, base->n_fds, now.n_nodes, base->n_nodes, now.n_endpoints, base->n_endpoints, now.n_matches,
			    base->n_matches, (unsigned long long)now.n_segments, (unsigned long long)base->n_segments,
			    (unsigned long long)now.segment_bytes, (unsigned long long)base->segment_bytes);
		usleep(20000);
	}
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

static void expect_killed(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		die("a victim ended by itself (status %x): see above", status);
}

/* VICTIMS at a time, the oldest is killed when a new one is to start. */
static void churn(pid_t router, unsigned int n, long *memory_kb)
{
	pid_t alive[VICTIMS] = { 0 };
	uint64_t seed = 88172645463325252u;
	bool terminal = isatty(STDERR_FILENO);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t own = random_next(&seed);

		if (alive[i % VICTIMS])
			expect_killed(alive[i % VICTIMS]);
		alive[i % VICTIMS] = start();
		if (!alive[i % VICTIMS])
			victim(own);
		usleep((useconds_t)(random_next(&seed) % 4000));
		if (i == n / 10)
			*memory_kb = resident_kb(router);
		if (terminal && i % 100 == 0)
			fprintf(stderr, "\rchurn: %u of %u\033[K", i, n);
	}
	for (int i = 0; i < VICTIMS; i++)
		if (alive[i])
			expect_killed(alive[i]);
	if (terminal)
		fprintf(stderr, "\r\033[K");
}

static void expect_success(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("a stream failed: see above");
}

int main(int argc, char **argv)
{
	const char *set = argc > 1 ? argv[1] : getenv("ZCP_CHURN");
	unsigned int n = set ? (unsigned int)strtoul(set, NULL, 10) : 300;
	char dir[] = "/tmp/zcp-churn-XXXXXX";
	struct state base, with_streams;
	pid_t router, stream[4];
	long before_kb = 0, after_kb;

	if (!n || !mkdtemp(dir))
		die("usage: churn [PROCESSES]; or no directory: %s", strerror(errno));
	snprintf(socket_path, sizeof(socket_path), "%s/router.sock", dir);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	router = start_router();
	settle(router, &base);
	for (int i = 0; i < 2; i++)
		if ((stream[i] = start()) == 0)
			stream_reader(i);
	while (atomic_load(&shared->ready) < 2)
		usleep(1000);
	for (int i = 0; i < 2; i++)
		if ((stream[2 + i] = start()) == 0)
			stream_publisher(i);
	for (with_streams = base; with_streams.n_matches < 2; usleep(1000))
		look(router, &with_streams);
	settle(router, &with_streams);

	churn(router, n, &before_kb);
	expect_base(router, &with_streams);
	after_kb = resident_kb(router);
	if (after_kb > before_kb + MEMORY_SLACK_KB)
		die("the router's memory grew from %ld KiB after %u processes to %ld KiB after %u", before_kb, n / 10, after_kb, n);

	atomic_store(&shared->stop, 1);
	for (int i = 0; i < 4; i++)
		expect_success(stream[i]);
	expect_base(router, &base);
	kill(router, SIGTERM);
	expect_success(router);
	if (rmdir(dir) < 0)
		die("the router left something in %s", dir);
	printf("churn: %u processes killed; reliable %llu of %llu messages, lossy %llu of %llu; router memory %ld KiB after a tenth, %ld KiB in the end\n", n,
	       (unsigned long long)atomic_load(&shared->received[1]), (unsigned long long)atomic_load(&shared->published[1]),
	       (unsigned long long)atomic_load(&shared->received[0]), (unsigned long long)atomic_load(&shared->published[0]), before_kb, after_kb);
	return 0;
}
