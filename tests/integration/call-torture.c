/* SPDX-License-Identifier: MIT */
/*
 * Clients with hundreds of requests under way, servers that share a topic, and all of them get killed now and then.
 *
 * A client keeps a list of its requests and strikes out each that ends: with a response that must say what was asked, or with
 * -EPIPE, -ETIMEDOUT or -ENODATA. One that ends twice, or was never sent, or is still open when the client has waited long
 * enough, is a failure. Two clients live all the time, and one server, so that there is always somebody; the others are
 * killed at random. In the end the router must have what it had at the beginning.
 *
 * Usage: call-torture [SECONDS]; default $ZCP_CALL_TORTURE or 3. Takes the router from $ZCP_ROUTER_BIN.
 */
#include <dirent.h>
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
#include <unistd.h>

#include "common/clock.h"
#include "lib/node.h"
#include "zcp/zcp.h"

#define SECOND INT64_C(1000000000)
#define PENDING 256
#define VICTIMS 6			/* at once; every other one is a server */
#define TIMEOUT_NS (SECOND / 5)

struct shared {
	_Atomic int stop;
	_Atomic uint64_t sent, answered, broken, late, unanswered;
};

static const struct zcp_topic topic = { "call", "torture", "numbers" };
static char socket_path[108];
static struct shared *shared;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "call-torture[%d]: ", (int)getpid());
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

/* ---- servers ----------------------------------------------------------------------------------------------------- */

/* Now and then one response in parts, one that is late, one that never comes. */
static void answer(struct zcp_request *request, uint64_t *seed)
{
	uint64_t number[200], how = random_next(seed) % 100;
	size_t size = how % 2 ? 8 : sizeof(number);
	int r = 0;

	for (size_t i = 0; i < 200; i++)
		number[i] = ~*(const uint64_t *)request->data;
	if (how < 5) {
		for (int i = 0; i < 3 && r == 0; i++)
			r = zcp_request_reply_with(request, number, size, ZCP_MORE);
	}
	if (how == 50)
		usleep(300000);
	if (r == 0 && how != 60)
		r = zcp_request_reply(request, number, size);
	if (r < 0 && r != -EPIPE && r != -EAGAIN)
		die("reply: %s", zcp_last_error());
	zcp_request_release(request);
}

static _Noreturn void serve(uint64_t seed)
{
	struct zcp_server_options options = { .sz = sizeof(options), .load_balanced = true, .depth = 2 * PENDING, .max_held = 8 };
	zcp_node *node = join("server");
	struct zcp_request request[8];
	zcp_server *server;

	if (zcp_server_open(&server, node, &topic, &options) < 0)
		die("%s", zcp_last_error());
	while (!atomic_load(&shared->stop)) {
		int n = 0, most = (int)(random_next(&seed) % 8) + 1;

		while (n < most && zcp_server_take(server, &request[n]) == 0)
			n++;
		if (!n)
			zcp_server_wait(server, SECOND / 50);
		while (n)
			answer(&request[--n], &seed);
	}
	zcp_server_close(server);
	zcp_node_close(node);
	_exit(0);
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

struct asked {
	uint64_t id, number;
};

static void strike_out(struct asked *asked, int *n, const struct zcp_response *response)
{
	int i = 0;

	while (i < *n && asked[i].id != response->id)
		i++;
	if (i == *n)
		die("request %llx ended twice, or was never sent", (unsigned long long)response->id);
	if (response->status == 0) {
		for (size_t k = 0; k < response->size / 8; k++)
			if (((const uint64_t *)response->data)[k] != ~asked[i].number)
				die("the response to %llu is for somebody else", (unsigned long long)asked[i].number);
	}
	switch (response->status) {
	case 0:
		atomic_fetch_add(&shared->answered, !response->flags);
		break;
	case -EPIPE:
		atomic_fetch_add(&shared->broken, 1);
		break;
	case -ETIMEDOUT:
		atomic_fetch_add(&shared->late, 1);
		break;
	case -ENODATA:
		atomic_fetch_add(&shared->unanswered, 1);
		break;
	default:
		die("a request ends with %d", response->status);
	}
	if (!(response->flags & ZCP_MORE))
		asked[i] = asked[--*n];
}

static bool take_one(zcp_client *client, struct asked *asked, int *n)
{
	struct zcp_response response;
	int r = zcp_client_take(client, &response);

	if (r == -EAGAIN)
		return false;
	if (r < 0)
		die("take: %s", zcp_last_error());
	strike_out(asked, n, &response);
	zcp_response_release(&response);
	return true;
}

static _Noreturn void ask(uint64_t seed)
{
	struct zcp_client_options options = { .sz = sizeof(options), .max_pending = PENDING, .timeout = TIMEOUT_NS };
	uint64_t number[100], end;
	struct asked asked[PENDING];
	zcp_node *node = join("client");
	zcp_client *client;
	int n = 0;

	if (zcp_client_open(&client, node, &topic, &options) < 0)
		die("%s", zcp_last_error());
	while (!atomic_load(&shared->stop)) {
		int burst = (int)(random_next(&seed) % 64);

		for (; n < PENDING && burst; burst--, n++) {
			int r;

			for (size_t i = 0; i < 100; i++)
				number[i] = (uint64_t)getpid() << 40 | (random_next(&seed) & 0xffffffffff);
			asked[n].number = number[0];
			r = zcp_client_send(client, number, burst % 2 ? 8 : sizeof(number), &asked[n].id);
			if (r == -ENOTCONN || r == -EAGAIN || r == -ENOBUFS)
				break;
			if (r < 0)
				die("send: %s", zcp_last_error());
			atomic_fetch_add(&shared->sent, 1);
		}
		zcp_client_wait(client, SECOND / 100);
		while (take_one(client, asked, &n))
			;
	}
	/* whatever is still under way ends by itself */
	for (end = clock_now_ns() + 20 * (uint64_t)SECOND; n && clock_now_ns() < end;) {
		zcp_client_wait(client, SECOND / 10);
		while (take_one(client, asked, &n))
			;
	}
	if (n)
		die("%d requests have not ended", n);
	zcp_client_close(client);
	zcp_node_close(node);
	_exit(0);
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

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

static pid_t start_router(void)
{
	uint64_t end = clock_now_ns() + 10 * (uint64_t)SECOND;
	const char *router = getenv("ZCP_ROUTER_BIN");
	pid_t pid;

	if (!router)
		die("ZCP_ROUTER_BIN is not set: run this by make check");
	pid = start();
	if (pid == 0) {
		execl(router, "zcp-router", "--socket", socket_path, "--quiet", (char *)NULL);
		die("%s: %s", router, strerror(errno));
	}
	for (; !router_listens(); usleep(1000))
		if (clock_now_ns() > end)
			die("the router does not come up");
	return pid;
}

static int count_fds(pid_t pid)
{
	char path[32];
	int n = 0;
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

/*
 * Nobody is left but the observer, a process of its own so that nobody forks while a node is open, and the router has @most
 * descriptors (0: whatever it has) with it. Returns their number.
 */
static int observe(pid_t router, int most)
{
	int status;
	pid_t pid = start();

	if (pid == 0) {
		uint64_t end = clock_now_ns() + 20 * (uint64_t)SECOND;
		zcp_node *node = join("observer");
		const struct directory_header *h = node->directory.header;

		while (atomic_load(&h->n_nodes) > 1 || atomic_load(&h->n_endpoints) || atomic_load(&h->n_matches) ||
		       (most && count_fds(router) > most)) {
			if (clock_now_ns() > end)
				die("left behind: %u nodes, %u endpoints, %u matches; %d descriptors of %d", atomic_load(&h->n_nodes) - 1,
				    atomic_load(&h->n_endpoints), atomic_load(&h->n_matches), count_fds(router), most);
			usleep(10000);
		}
		status = count_fds(router);
		zcp_node_close(node);
		_exit(status < 255 ? status : 255);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) < 3)
		die("the observer failed");
	return WEXITSTATUS(status);
}

static void expect_success(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		die("a process failed: see above");
}

static pid_t start_victim(int i, uint64_t seed)
{
	pid_t pid = start();

	if (pid == 0 && i % 2)
		serve(seed);
	if (pid == 0)
		ask(seed);
	return pid;
}

static unsigned int torture(uint64_t seconds)
{
	uint64_t end = clock_now_ns() + seconds * (uint64_t)SECOND, seed = 88172645463325252u;
	pid_t victim[VICTIMS], survivor[3];
	unsigned int killed = 0;
	int status;

	for (int i = 0; i < 3; i++)
		survivor[i] = start_victim(i, random_next(&seed));
	for (int i = 0; i < VICTIMS; i++)
		victim[i] = start_victim(i, random_next(&seed));
	for (; clock_now_ns() < end; killed++) {
		int i = (int)(random_next(&seed) % VICTIMS);

		usleep((useconds_t)(random_next(&seed) % 30000));
		kill(victim[i], SIGKILL);
		if (waitpid(victim[i], &status, 0) != victim[i] || !WIFSIGNALED(status))
			die("a victim ended by itself (status %x): see above", status);
		victim[i] = start_victim(i, random_next(&seed));
	}
	atomic_store(&shared->stop, 1);
	for (int i = 0; i < VICTIMS; i++)
		expect_success(victim[i]);
	for (int i = 0; i < 3; i++)
		expect_success(survivor[i]);
	return killed;
}

int main(int argc, char **argv)
{
	const char *set = argc > 1 ? argv[1] : getenv("ZCP_CALL_TORTURE");
	uint64_t seconds = set ? strtoull(set, NULL, 10) : 3;
	char dir[] = "/tmp/zcp-calls-XXXXXX";
	unsigned int killed;
	int before;
	pid_t router;

	if (!seconds || !mkdtemp(dir))
		die("usage: call-torture [SECONDS]; or no directory: %s", strerror(errno));
	snprintf(socket_path, sizeof(socket_path), "%s/router.sock", dir);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	router = start_router();
	before = observe(router, 0);
	killed = torture(seconds);
	observe(router, before);
	if (!atomic_load(&shared->answered))
		die("not one request was answered");
	kill(router, SIGTERM);
	expect_success(router);
	if (rmdir(dir) < 0)
		die("the router left something in %s", dir);
	printf("call-torture: %u processes killed; of %llu requests %llu answered, %llu broken, %llu late, %llu released unanswered\n", killed,
	       (unsigned long long)atomic_load(&shared->sent), (unsigned long long)atomic_load(&shared->answered),
	       (unsigned long long)atomic_load(&shared->broken), (unsigned long long)atomic_load(&shared->late),
	       (unsigned long long)atomic_load(&shared->unanswered));
	return 0;
}
