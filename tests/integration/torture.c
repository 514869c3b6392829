/* SPDX-License-Identifier: MIT */
/*
 * Many processes, self-checking messages, and a parent that kills some of them.
 *
 * On a reliable and on a lossy topic, publishers of different payload sizes send for some seconds messages
 * whose every word follows from publisher, number and position. Subscribers of different temper read them: one
 * prompt by wait, one prompt by poll, one that holds samples for long and looks at them again before it
 * releases them, one that lags. Each checks that every message is whole, that sequences only grow, that lost is
 * exactly what is missing, and that nothing at all is missing on a reliable topic. Meanwhile the parent starts
 * and kills, at any instruction, further subscribers and publishers of the same topics; nobody else may notice.
 *
 * Usage: torture [SECONDS]; SECONDS or $ZCP_TORTURE_SECONDS, default 5. Takes the router from $ZCP_ROUTER_BIN.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zcp/zcp.h>

#include "crash/writer-check.h"
#include "lib/publisher.h"

#define PUBLISHERS 3
#define READERS 4
#define MARK 0x746f72747572u

struct message {
	uint64_t mark, publisher, number, bytes, last;
	uint64_t words[];
};

enum temper {
	PROMPT,
	POLLING,
	HOLDING,
	LAGGING,
};

static int ready_pipe[2];	/* base readers say here that they are open */
static char socket_path[108];
static double seconds = 5;
static const size_t payload_max[PUBLISHERS] = { 104, 6000, 300000 };

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "torture[%d]: ", (int)getpid());
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	_exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15u + b;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

static void fill(struct message *m, uint64_t publisher, uint64_t number, size_t bytes, bool last)
{
	*m = (struct message){ .mark = MARK, .publisher = publisher, .number = number, .bytes = bytes, .last = last };
	for (size_t i = 0; i < (bytes - sizeof(*m)) / 8; i++)
		m->words[i] = mix(publisher << 40 | number, i);
}

static void check(const struct zcp_sample *s)
{
	const struct message *m = s->data;

	if (s->size < sizeof(*m) || m->mark != MARK || m->bytes != s->size || m->number != s->sequence)
		die("sequence %llu: header is not whole (number %llu, size %zu)", (unsigned long long)s->sequence,
		    (unsigned long long)m->number, s->size);
	for (size_t i = 0; i < (s->size - sizeof(*m)) / 8; i++)
		if (m->words[i] != mix(m->publisher << 40 | m->number, i))
			die("sequence %llu: word %zu is not whole", (unsigned long long)s->sequence, i);
}

static zcp_node *join(const char *name)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = socket_path };
	zcp_node *node;

	if (zcp_node_open(&node, name, &options) < 0)
		die("%s", zcp_last_error());
	return node;
}

static struct zcp_topic topic(bool reliable)
{
	return (struct zcp_topic){ "torture", reliable ? "reliable" : "lossy", "messages" };
}

/* ---- the two sides ----------------------------------------------------------------------------------------------- */

static void publish_one(zcp_publisher *p, uint64_t id, uint64_t number, size_t bytes, bool last)
{
	struct message *m;
	void *payload;
	int r;

	r = zcp_publisher_loan(p, bytes, &payload);
	if (r < 0)
		die("loan of %zu: %s", bytes, zcp_last_error());
	m = payload;
	fill(m, id, number, bytes, last);
	r = zcp_publisher_publish(p, payload, bytes);
	if (r < 0)
		die("publish of %zu: %s", bytes, zcp_last_error());
}

static void publisher_main(int index, bool reliable)
{
	struct zcp_publisher_options options = {
		.sz = sizeof(options),
		.payload_max = payload_max[index],
		.depth = index == 1 ? 6 : 0,
		.reliable = reliable,
		.timeout = 60000000000,
	};
	struct zcp_topic t = topic(reliable);
	zcp_node *node = join("torture publisher");
	double end = now() + seconds;
	zcp_publisher *p;
	uint64_t number = 0, random = (uint64_t)index + 1;

	if (zcp_publisher_open(&p, node, &t, &options) < 0)
		die("%s", zcp_last_error());
	for (bool last = false; !last; number++) {
		size_t bytes = sizeof(struct message) + mix(random, number) % (payload_max[index] - sizeof(struct message) + 1);

		last = now() > end;
		/* whoever was killed meanwhile: no chunk is lost or in two places */
		if (number % 4096 == 0 || last) {
			const char *why = channel_writer_check(&p->writer);

			if (why)
				die("publisher %d: %s", index, why);
		}
		publish_one(p, (uint64_t)index, number, bytes & ~(size_t)7, last);
		/* an unchecked lossy publisher would leave nothing but losses */
		if (!reliable && number % 16 == 15)
			usleep(200);
	}
	zcp_publisher_close(p);
	zcp_node_close(node);
	_exit(0);
}

struct reading {
	struct {
		uint64_t id, next, received, lost;
		bool last;
	} from[4096];	/* a victim that publishes is a new publisher each time */
	int n_from, n_last;
	bool reliable, victim;
};

static void note(struct reading *r, const struct zcp_sample *s)
{
	const struct message *m = s->data;
	int i = 0;

	check(s);
	while (i < r->n_from && r->from[i].id != s->publisher)
		i++;
	if (i == 4096)
		die("more than 4096 publishers");
	if (i == r->n_from) {
		r->n_from++;
		r->from[i].id = s->publisher;
		r->from[i].next = s->sequence - s->lost;
	}
	if (s->sequence != r->from[i].next + s->lost)
		die("sequence %llu follows %llu, lost says %llu", (unsigned long long)s->sequence, (unsigned long long)r->from[i].next - 1,
		    (unsigned long long)s->lost);
	if (r->reliable && s->lost)
		die("%llu messages lost on the reliable topic", (unsigned long long)s->lost);
	r->from[i].next = s->sequence + 1;
	r->from[i].received++;
	r->from[i].lost += s->lost;
	if (m->last) {
		r->from[i].last = true;
		/* everything from the first message on: we were there before the publishers began */
		if (!r->victim && r->from[i].received + r->from[i].lost != s->sequence + 1)
			die("publisher %llu: %llu received, %llu lost, of %llu", (unsigned long long)s->publisher,
			    (unsigned long long)r->from[i].received, (unsigned long long)r->from[i].lost, (unsigned long long)s->sequence + 1);
		r->n_last++;
	}
}

static void wait_some(zcp_subscriber *s, enum temper temper)
{
	int r;

	if (temper == POLLING) {
		struct pollfd p = { .fd = zcp_subscriber_fd(s), .events = POLLIN };

		r = poll(&p, 1, 60000) == 1 ? 0 : -ETIMEDOUT;
	} else {
		r = zcp_subscriber_wait(s, 60000000000);
	}
	if (r < 0)
		die("nothing came for a minute (temper %d, publishers ended %d)", temper, 0);
}

static void reader_main(enum temper temper, bool reliable, bool victim)
{
	struct zcp_subscriber_options options = { .sz = sizeof(options), .max_held = 3 };
	static struct reading reading;
	struct zcp_topic t = topic(reliable);
	zcp_node *node = join(victim ? "torture victim" : "torture reader");
	struct zcp_sample held[3];
	zcp_subscriber *s;
	int n_held = 0, r;

	memset(held, 0, sizeof(held));
	reading.reliable = reliable;
	reading.victim = victim;
	if (zcp_subscriber_open(&s, node, &t, &options) < 0)
		die("%s", zcp_last_error());
	if (!victim && (write(ready_pipe[1], "r", 1) != 1 || close(ready_pipe[1]) < 0))
		die("ready pipe: %s", strerror(errno));
	while (reading.n_last < PUBLISHERS || victim) {
		struct zcp_sample sample;

		if (n_held == 3) {
			check(&held[0]);
			zcp_sample_release(&held[0]);
			held[0] = held[1];
			held[1] = held[2];
			n_held--;
		}
		r = zcp_subscriber_take(s, &sample);
		if (r == -EAGAIN) {
			wait_some(s, temper);
			continue;
		}
		if (r < 0)
			die("take: %s", zcp_last_error());
		note(&reading, &sample);
		if (temper == LAGGING && sample.sequence % 256 == 0)
			usleep(3000);
		if (temper == HOLDING || temper == LAGGING) {
			held[n_held++] = sample;
		} else {
			check(&sample);
			zcp_sample_release(&sample);
		}
	}
	while (n_held) {
		check(&held[--n_held]);
		zcp_sample_release(&held[n_held]);
	}
	zcp_subscriber_close(s);
	zcp_node_close(node);
	_exit(0);
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

static pid_t start(void)
{
	static unsigned int n;
	pid_t pid = fork();

	n++;
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* every third process has no membarrier: it fences, and its partners fence towards it */
		if (n % 3 == 0)
			setenv("ZCP_NO_MEMBARRIER", "1", 1);
	}
	return pid;
}

/* The socket's file is there before anybody listens. */
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

static pid_t start_router(void)
{
	const char *router = getenv("ZCP_ROUTER_BIN");
	pid_t pid;

	if (!router)
		die("ZCP_ROUTER_BIN is not set: run this by make check");
	pid = start();
	if (pid == 0) {
		execl(router, "zcp-router", "--socket", socket_path, "--quiet", (char *)NULL);
		die("%s: %s", router, strerror(errno));
	}
	for (double end = now() + 10; !router_listens(); usleep(1000))
		if (now() > end)
			die("the router does not come up");
	return pid;
}

/* Start somebody, and kill it after a random time. False: it had ended by itself, which is a failure of its own. */
static bool one_victim(unsigned int round)
{
	pid_t pid = start();
	bool reliable = round & 1;
	int status;

	if (pid == 0) {
		seconds = 1000;
		if (round % 6 < 4)
			reader_main(round % 3 ? PROMPT : HOLDING, reliable, true);
		/* on a topic of its own size class, and nobody counts on its last message */
		publisher_main((int)(round / 6 % PUBLISHERS), reliable);
	}
	usleep((useconds_t)(mix(round, 17) % 60000));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/zcp-torture-XXXXXX";
	pid_t router, child[2 * (READERS + PUBLISHERS)];
	unsigned int n = 0, victims = 0, failed = 0;
	double end;

	if (getenv("ZCP_TORTURE_SECONDS"))
		seconds = atof(getenv("ZCP_TORTURE_SECONDS"));
	if (argc > 1)
		seconds = atof(argv[1]);
	if (!mkdtemp(dir))
		die("mkdtemp: %s", strerror(errno));
	snprintf(socket_path, sizeof(socket_path), "%s/router.sock", dir);
	router = start_router();
	if (pipe(ready_pipe) < 0)
		die("pipe: %s", strerror(errno));
	for (; n < 2 * READERS; n++)
		if ((child[n] = start()) == 0)
			reader_main((enum temper)(n / 2), n % 2, false);
	/* ours is the only other end: without it the pipe ends when a reader dies before it was ready */
	close(ready_pipe[1]);
	for (unsigned int ready = 0; ready < n; ready++)
		if (read(ready_pipe[0], (char[1]){ 0 }, 1) != 1)
			die("a reader did not get as far as opening its subscriber");
	/* nobody waits for a connection: those who were there first get everything from the first message on */
	for (int i = 0; i < 2 * PUBLISHERS; i++)
		if ((child[n++] = start()) == 0)
			publisher_main(i / 2, i % 2);
	for (end = now() + seconds; now() < end;)
		failed += !one_victim(victims++);
	for (unsigned int i = 0; i < n; i++) {
		int status;

		waitpid(child[i], &status, 0);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			failed++;
	}
	kill(router, SIGTERM);
	waitpid(router, NULL, 0);
	unlink(socket_path);
	strcat(socket_path, ".lock");
	unlink(socket_path);
	if (rmdir(dir) < 0)
		failed++;
	printf("torture: %u processes, %u victims, %u failed\n", n, victims, failed);
	return failed ? 1 : 0;
}
