/* SPDX-License-Identifier: MIT */
/* See lib-helper.h. */
#include "lib-helper.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

char lib_socket[108];
pid_t lib_router;
const char *const *lib_router_arguments;
static char directory[64];

const struct zcp_topic lib_topic = { "service", "instance", "event" };

/* --- router --------------------------------------------------------------------------------------- */

static pid_t fork_bound(void)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert_ok(pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	return 0;
}

static bool can_join(void)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = true };
	zcp_node *node;
	int r;

	/* so that "no router" is not what zcp_last_error() says when something else fails later */
	if (access(lib_socket, F_OK) < 0)
		return false;
	r = zcp_node_open(&node, "first", &options);
	if (r == 0)
		zcp_node_close(node);
	return r == 0;
}

bool lib_router_lives(void)
{
	char path[64], text[256] = "", *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)lib_router);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	state = strrchr(text, ')');	/* behind the name */
	return state && state[1] == ' ' && !strchr("ZX", state[2]);
}

const char *lib_directory(void)
{
	return directory;
}

void lib_router_prepare(void)
{
	snprintf(directory, sizeof(directory), "/tmp/zcp-lib-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(lib_socket, sizeof(lib_socket), "%s/router.sock", directory);
}

void lib_router_again(void)
{
	const char *binary = getenv("ZCP_ROUTER_BIN"), *loop = getenv("ZCP_TEST_LOOP");
	const char *argv[24] = { "zcp-router", "--quiet", "--loop", loop ? loop : "auto", "--socket", lib_socket };

	ck_assert_msg(binary != NULL, "ZCP_ROUTER_BIN is not set");
	for (int i = 0; lib_router_arguments && lib_router_arguments[i] && i < 17; i++)
		argv[6 + i] = lib_router_arguments[i];
	lib_router = fork_bound();
	if (!lib_router) {
		execv(binary, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	ck_assert_within(can_join() || !lib_router_lives(), DEADLINE_MS);
	ck_assert_msg(lib_router_lives(), "the router has ended as soon as it was started");
}

void lib_router_start(void)
{
	lib_router_prepare();
	lib_router_again();
}

void lib_router_kill(int signal)
{
	int status;

	ck_assert_ok(kill(lib_router, signal));
	ck_assert_within(waitpid(lib_router, &status, WNOHANG) == lib_router, DEADLINE_MS);
	if (signal == SIGTERM)
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the router ended with status 0x%x", status);
}

void lib_router_stop(int signal)
{
	char path[128];

	lib_router_kill(signal);
	unlink(lib_socket);
	snprintf(path, sizeof(path), "%s.lock", lib_socket);
	unlink(path);
	ck_assert_ok(rmdir(directory));
}

/* --- handles -------------------------------------------------------------------------------------- */

static zcp_node *open_node(const char *name, bool no_thread)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = no_thread };
	zcp_node *node;

	ok(zcp_node_open(&node, name, &options));
	return node;
}

zcp_node *lib_node(const char *name)
{
	return open_node(name, false);
}

zcp_node *lib_node_without_thread(const char *name)
{
	return open_node(name, true);
}

zcp_publisher *lib_publisher(zcp_node *node, const struct zcp_publisher_options *options)
{
	struct zcp_publisher_options o = { 0 };
	zcp_publisher *publisher;

	if (options)
		o = *options;
	o.sz = sizeof(o);
	ok(zcp_publisher_open(&publisher, node, &lib_topic, &o));
	return publisher;
}

zcp_subscriber *lib_subscriber(zcp_node *node, const struct zcp_subscriber_options *options)
{
	struct zcp_subscriber_options o = { 0 };
	zcp_subscriber *subscriber;

	if (options)
		o = *options;
	o.sz = sizeof(o);
	ok(zcp_subscriber_open(&subscriber, node, &lib_topic, &o));
	return subscriber;
}

/* --- messages ------------------------------------------------------------------------------------- */

static unsigned char pattern(uint64_t number, size_t i)
{
	return (unsigned char)(number * 31 + i * 7);
}

int lib_send(zcp_publisher *publisher, uint64_t number, size_t size)
{
	unsigned char *payload;
	void *loan;
	int r;

	r = zcp_publisher_loan(publisher, size, &loan);
	if (r < 0)
		return r;
	payload = loan;
	memcpy(payload, &number, sizeof(number));
	for (size_t i = sizeof(number); i < size; i++)
		payload[i] = pattern(number, i);
	r = zcp_publisher_publish(publisher, loan, size);
	if (r < 0)
		ck_assert_int_eq(zcp_publisher_discard(publisher, loan), 0);
	return r;
}

uint64_t lib_number(const struct zcp_sample *sample)
{
	const unsigned char *payload = sample->data;
	uint64_t number;

	ck_assert_uint_ge(sample->size, sizeof(number));
	memcpy(&number, payload, sizeof(number));
	for (size_t i = sizeof(number); i < sample->size; i++)
		if (payload[i] != pattern(number, i))	/* each ck_assert costs a system call */
			ck_abort_msg("byte %zu of message %llu is wrong", i, (unsigned long long)number);
	return number;
}

void lib_take(zcp_subscriber *subscriber, struct zcp_sample *sample)
{
	int r;

	while ((r = zcp_subscriber_take(subscriber, sample)) == -EAGAIN)
		ok(zcp_subscriber_wait(subscriber, DEADLINE_MS * 1000000ll));
	ok(r);
	lib_number(sample);
}

uint64_t lib_receive(zcp_subscriber *subscriber)
{
	struct zcp_sample sample;
	uint64_t number;

	lib_take(subscriber, &sample);
	number = lib_number(&sample);
	zcp_sample_release(&sample);
	return number;
}

struct zcp_subscriber_stats lib_stats(zcp_subscriber *subscriber)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };

	ok(zcp_subscriber_stats(subscriber, &stats));
	return stats;
}

/* --- processes ------------------------------------------------------------------------------------ */

struct stage *stage_new(void)
{
	struct stage *stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(stage, MAP_FAILED);
	return stage;
}

void stage_set(struct stage *stage, int i, uint64_t value)
{
	atomic_store(&stage->at[i], value);
}

/* In a process that waits to be told: its test has the deadlines, and may be busy for longer than one of them. */
static int patience = 1;

void stage_wait(struct stage *stage, int i, uint64_t at_least)
{
	ck_assert_msg(wait_until(atomic_load(&stage->at[i]) >= at_least, patience * DEADLINE_MS), "stage %d stays at %llu, not %llu", i,
		      (unsigned long long)atomic_load(&stage->at[i]), (unsigned long long)at_least);
}

pid_t process_start(void (*function)(struct stage *stage), struct stage *stage)
{
	pid_t pid = fork_bound();

	if (pid)
		return pid;
	patience = 10;
	function(stage);
	_exit(0);
}

void process_expect_success(pid_t pid)
{
	int status = -1;

	ck_assert_within(waitpid(pid, &status, WNOHANG) == pid, DEADLINE_MS);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "process ended with status 0x%x", status);
}

void process_kill(pid_t pid)
{
	int status;

	ck_assert_ok(kill(pid, SIGKILL));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

int process_fds(pid_t pid)
{
	char path[64];
	int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir));)
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}
