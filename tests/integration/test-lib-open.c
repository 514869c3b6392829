/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing, and everything that can be wrong with it: no router, bad names and options, types that
 * differ, no descriptors left. Each failure is the documented error with a sentence, and leaks nothing (the
 * fixture counts descriptors).
 */
#include "lib-helper.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];

static void make_directory(void)
{
	snprintf(directory, sizeof(directory), "/tmp/zcp-open-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void path_in(char path[108], const char *file)
{
	ck_assert_int_lt(snprintf(path, 108, "%s/%s", directory, file), 108);
}

static int try_open(const char *path, const char *name)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = path };
	zcp_node *node = (void *)1;
	int r = zcp_node_open(&node, name, &options);

	if (r == 0)
		zcp_node_close(node);
	else
		ck_assert_ptr_null(node);
	return r;
}

/* --- the router ----------------------------------------------------------------------------------- */

START_TEST(no_router)
{
	char path[108];

	make_directory();
	path_in(path, "router.sock");
	fails(try_open(path, "n"), -ENOENT, path);
	fails(try_open("/nowhere/at/all", "n"), -ENOENT, "start zcp-router");
	fails(try_open("", "n"), -EINVAL, "empty");
	ck_assert_ok(rmdir(directory));
}
END_TEST

START_TEST(stale_socket)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[108];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	make_directory();
	path_in(path, "router.sock");
	memcpy(address.sun_path, path, sizeof(path));
	ck_assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	fails(try_open(path, "n"), -ECONNREFUSED, "start zcp-router");
	ck_assert_ok(unlink(path));

	/* a plain file, and a socket of another kind */
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	fails(try_open(path, "n"), -ECONNREFUSED, path);
	ck_assert_ok(unlink(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	ck_assert_ok(listen(fd, 1));
	fails(try_open(path, "n"), -ECONNREFUSED, "not a router");
	close(fd);
	ck_assert_ok(unlink(path));
	ck_assert_ok(rmdir(directory));
}
END_TEST

START_TEST(path_too_long)
{
	char path[200];

	memset(path, 'p', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	fails(try_open(path, "n"), -ENAMETOOLONG, "107 bytes");
	ck_assert_ok(setenv("ZCP_ROUTER", path, 1));
	fails(try_open(NULL, "n"), -ENAMETOOLONG, "107 bytes");
}
END_TEST

START_TEST(path_from_environment)
{
	lib_router_start();
	ck_assert_ok(setenv("ZCP_ROUTER", lib_socket, 1));
	ok(try_open(NULL, "n"));
	ck_assert_ok(setenv("ZCP_ROUTER", "/nowhere", 1));
	fails(try_open(NULL, "n"), -ENOENT, "/nowhere");
	/* the option wins */
	ok(try_open(lib_socket, "n"));
	lib_router_stop(SIGTERM);
}
END_TEST

/* Somebody who accepts and says nothing, or ends: not a router, but on our socket. */
START_TEST(router_that_hangs_up)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	char path[108];
	pid_t pid;

	make_directory();
	path_in(path, "router.sock");
	memcpy(address.sun_path, path, sizeof(path));
	ck_assert_ok(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	ck_assert_ok(listen(fd, 4));
	pid = fork();
	ck_assert_ok(pid);
	if (!pid) {
		close(accept(fd, NULL, NULL));
		if (send(accept(fd, NULL, NULL), "nonsense of some length", 23, MSG_NOSIGNAL) < 0)
			_exit(1);
		_exit(0);
	}
	fails(try_open(path, "n"), -ENOTCONN, "ended the connection");
	fails(try_open(path, "n"), -ENOTCONN, "ended the connection");
	process_expect_success(pid);
	close(fd);
	ck_assert_ok(unlink(path));
	ck_assert_ok(rmdir(directory));
}
END_TEST

static void autostart_one(struct stage *stage)
{
	struct zcp_node_options options = { .sz = sizeof(options), .autostart = true };
	zcp_node *node;

	ok(zcp_node_open(&node, "auto", &options));
	atomic_fetch_add(&stage->at[0], 1);
	stage_wait(stage, 0, 4);
	zcp_node_close(node);
	/* the router is nobody's child */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

/* Four at once: one router in the end, in a directory that did not exist; it leaves when they have. */
START_TEST(autostart)
{
	struct stage *stage = stage_new();
	char path[108];
	pid_t pid[4];

	make_directory();
	ck_assert_ok(unsetenv("ZCP_ROUTER"));
	ck_assert_ok(setenv("XDG_RUNTIME_DIR", directory, 1));
	for (int i = 0; i < 4; i++)
		pid[i] = process_start(autostart_one, stage);
	for (int i = 0; i < 4; i++)
		process_expect_success(pid[i]);
	path_in(path, "zcp/router.sock");
	ck_assert_within(access(path, F_OK) < 0, DEADLINE_MS);
	path_in(path, "zcp/router.sock.lock");
	unlink(path);
	path_in(path, "zcp");
	ck_assert_within(rmdir(path) == 0, DEADLINE_MS);
	ck_assert_ok(rmdir(directory));
}
END_TEST

START_TEST(autostart_without_program)
{
	struct zcp_node_options options = { .sz = sizeof(options), .autostart = true };
	zcp_node *node;
	char path[108];

	make_directory();
	path_in(path, "router.sock");
	options.socket_path = path;
	ck_assert_ok(setenv("ZCP_ROUTER_BIN", "/nowhere/zcp-router", 1));
	fails(zcp_node_open(&node, "n", &options), -ENOENT, "/nowhere/zcp-router");
	ck_assert_ok(rmdir(directory));
}
END_TEST

/* --- names, topics, options ----------------------------------------------------------------------- */

static const struct {
	const char *name, *says;
} bad_names[] = {
	{ NULL, "missing" },
	{ "", "empty" },
	{ "a/b", "/" },
	{ "a\nb", "control" },
	{ "\x7f", "control" },
	{ "\xc2\x85", "control" },
	{ "\xff", "UTF-8" },
	{ "\xc0\xaf", "UTF-8" },
	{ "\xed\xa0\x80", "UTF-8" },
	{ "12345678901234567890123456789012345678901234567890"
	  "12345678901234567890123456789012345678901234567890x",
	  "100" },
};
#define N_BAD_NAMES ((int)(sizeof(bad_names) / sizeof(bad_names[0])))

START_TEST(names)
{
	const char *name = bad_names[_i].name, *says = bad_names[_i].says;
	zcp_subscriber *subscriber = (void *)1;
	zcp_publisher *publisher = (void *)1;
	zcp_node *node;

	lib_router_start();
	fails(try_open(lib_socket, name), -EINVAL, says);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "node name"));
	node = lib_node("n");
	for (int part = 0; part < 3; part++) {
		const char *parts[3] = { "s", "i", "e" };
		struct zcp_topic topic;

		parts[part] = name;
		topic = (struct zcp_topic){ parts[0], parts[1], parts[2] };
		fails(zcp_publisher_open(&publisher, node, &topic, NULL), -EINVAL, says);
		ck_assert_ptr_null(publisher);
		fails(zcp_subscriber_open(&subscriber, node, &topic, NULL), -EINVAL, says);
		ck_assert_ptr_null(subscriber);
	}
	fails(zcp_publisher_open(&publisher, node, NULL, NULL), -EINVAL, "missing");
	zcp_node_close(node);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(good_names)
{
	char longest[ZCP_NAME_MAX + 1];
	struct zcp_topic topic = { longest, "\xc3\xa4:\xf0\x9f\x98\x80 x", "e" };
	zcp_publisher *publisher;
	zcp_node *node, *twin;

	memset(longest, 'n', ZCP_NAME_MAX);
	longest[ZCP_NAME_MAX] = 0;
	lib_router_start();
	node = lib_node(longest);
	twin = lib_node(longest);
	ck_assert_uint_ne(zcp_node_id(node), zcp_node_id(twin));
	ok(zcp_publisher_open(&publisher, node, &topic, NULL));
	ok(zcp_publisher_open(&publisher, twin, &topic, NULL));
	zcp_node_close(node);
	zcp_node_close(twin);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(bad_options)
{
	struct zcp_node_options no = { .sz = 0, .socket_path = lib_socket };
	struct zcp_publisher_options po = { .sz = sizeof(po) - 1 };
	struct zcp_subscriber_options so = { .sz = SIZE_MAX };
	struct {
		struct zcp_subscriber_options known;
		uint64_t unknown;
	} newer = { .known.sz = sizeof(newer) };
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	fails(zcp_node_open(&n, "n", &no), -EINVAL, "sizeof(struct zcp_node_options)");
	no.sz = sizeof(no);
	no.reserved[2] = 1;
	fails(zcp_node_open(&n, "n", &no), -EINVAL, "reserved");
	n = lib_node("n");

	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "sz");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .payload_max = 3ull << 30 };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "payload_max");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .depth = 4, .history = 5 };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "history");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .timeout = -2 };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "timeout");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .max_subscribers = 5000 };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "max_subscribers");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .type = { "t", 8, 3 } };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "alignment");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .payload_max = 4, .type = { "t", 8, 8 } };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "type.size");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .type = { "a\tb", 8, 8 } };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "type name");
	po = (struct zcp_publisher_options){ .sz = sizeof(po), .reserved0 = { 1 } };
	fails(zcp_publisher_open(&p, n, &lib_topic, &po), -EINVAL, "reserved");

	fails(zcp_subscriber_open(&s, n, &lib_topic, &so), -EINVAL, "sz");
	so = (struct zcp_subscriber_options){ .sz = sizeof(so), .max_held = 1025 };
	fails(zcp_subscriber_open(&s, n, &lib_topic, &so), -EINVAL, "max_held");
	so = (struct zcp_subscriber_options){ .sz = sizeof(so), .max_publishers = 4097 };
	fails(zcp_subscriber_open(&s, n, &lib_topic, &so), -EINVAL, "max_publishers");
	ok(zcp_subscriber_open(&s, n, &lib_topic, &newer.known));
	newer.unknown = 1;
	fails(zcp_subscriber_open(&s, n, &lib_topic, &newer.known), -EINVAL, "older than your header");
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(types)
{
	struct zcp_publisher_options po = { .sz = sizeof(po), .type = { "geometry/Pose", 64, 8 } };
	struct zcp_subscriber_options so = { .sz = sizeof(so), .type = { "geometry/Pose", 64, 8 } };
	zcp_subscriber *s;
	zcp_publisher *p;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	p = lib_publisher(n, &po);
	ok(zcp_subscriber_open(&s, n, &lib_topic, &so));
	zcp_subscriber_close(s);
	so.type.size = 65;
	fails(zcp_subscriber_open(&s, n, &lib_topic, &so), -EPROTOTYPE, "geometry/Pose");
	so.type = (struct zcp_type){ "Twist", 64, 8 };
	fails(zcp_subscriber_open(&s, n, &lib_topic, &so), -EPROTOTYPE, "Twist");
	/* untyped agrees with everything */
	so.type.name = NULL;
	ok(zcp_subscriber_open(&s, n, &lib_topic, &so));
	zcp_publisher_close(p);
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* A publisher says how many samples all its subscribers may hold; one more is told so. */
START_TEST(no_room_for_subscriber)
{
	struct zcp_publisher_options po = { .payload_max = 1000, .max_held = 4 };
	struct zcp_subscriber_options so = { .sz = sizeof(so), .max_held = 5 };
	zcp_subscriber *s;
	zcp_node *n;

	lib_router_start();
	n = lib_node("n");
	lib_publisher(n, &po);
	fails(zcp_subscriber_open(&s, n, &lib_topic, &so), -ENOSPC, "max_held");
	so.max_held = 4;
	ok(zcp_subscriber_open(&s, n, &lib_topic, &so));
	zcp_node_close(n);
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- resources ------------------------------------------------------------------------------------ */

static void limit_fds(int n)
{
	struct rlimit limit;

	ck_assert_ok(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)n;
	ck_assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
}

static int highest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/*
 * With room for n descriptors more, n = 0, 1, 2, ...: node, publisher and subscriber open or fail with -EMFILE,
 * until all three succeed; nothing leaks on the way, here or in the router.
 */
START_TEST(few_descriptors)
{
	int n_fds, base, n;
	bool done = false;

	lib_router_start();
	n_fds = count_fds();
	base = highest_fd();
	for (n = 0; !done && n < 40; n++) {
		struct zcp_node_options options = { .sz = sizeof(options), .socket_path = lib_socket, .no_thread = _i };
		zcp_subscriber *s = NULL;
		zcp_publisher *p = NULL;
		zcp_node *node;
		int r;

		limit_fds(base + n);
		r = zcp_node_open(&node, "few", &options);
		if (r == 0)
			r = zcp_publisher_open(&p, node, &lib_topic, NULL);
		if (r == 0)
			r = zcp_subscriber_open(&s, node, &lib_topic, NULL);
		/* the match needs descriptors of its own, on both sides */
		if (r == 0)
			r = zcp_publisher_wait(p, 1, 50000000);
		done = r == 1;
		ck_assert_msg(done || r == -EMFILE || r == -ETIMEDOUT, "%d: %s", r, zcp_last_error());
		if (r == -EMFILE)
			ck_assert_msg(strstr(zcp_last_error(), "ulimit -n") != NULL, "%s", zcp_last_error());
		zcp_node_close(node);
		limit_fds(base + 200);
		ck_assert_int_eq(count_fds(), n_fds);
	}
	ck_assert(done);
	ck_assert_int_gt(n, 3);
	lib_router_stop(SIGTERM);
}
END_TEST

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));)
		n += strstr(e->d_name, "zcp") && !strstr(e->d_name, "zcp-");
	closedir(dir);
	return n;
}

START_TEST(nothing_on_disk)
{
	int shm = count_entries("/dev/shm");
	DIR *dir;

	make_directory();
	ck_assert_ok(setenv("TMPDIR", directory, 1));
	lib_router_start();
	for (int i = 0; i < 3; i++) {
		zcp_node *n = lib_node("n");
		zcp_subscriber *s = lib_subscriber(n, NULL);
		zcp_publisher *p = lib_publisher(n, NULL);

		ok(lib_send(p, 1, 100));
		ck_assert_uint_eq(lib_receive(s), 1);
		ck_assert_int_eq(count_entries("/dev/shm"), shm);
		zcp_node_close(n);
	}
	dir = opendir(directory);
	for (struct dirent *e; (e = readdir(dir));)
		ck_assert_int_eq(e->d_name[0], '.');
	closedir(dir);
	ck_assert_ok(rmdir(directory));
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(null_and_repeated)
{
	zcp_node_close(NULL);
	zcp_publisher_close(NULL);
	zcp_subscriber_close(NULL);
	zcp_sample_release(NULL);
	ck_assert_str_ne(zcp_version(), "");
	lib_router_start();
	for (int i = 0; i < 20; i++) {
		zcp_node *n = _i ? lib_node_without_thread("n") : lib_node("n");
		zcp_publisher *p = lib_publisher(n, NULL);
		zcp_subscriber *s = lib_subscriber(n, NULL);

		ck_assert_uint_ne(zcp_publisher_id(p), 0);
		if (i % 2)
			zcp_publisher_close(p);
		if (i % 3)
			zcp_subscriber_close(s);
		zcp_node_close(n);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lib-open");
	TCase *t;

	t = add_test_case(s, "router", 60);
	tcase_add_test(t, no_router);
	tcase_add_test(t, stale_socket);
	tcase_add_test(t, path_too_long);
	tcase_add_test(t, path_from_environment);
	tcase_add_test(t, router_that_hangs_up);
	tcase_add_test(t, autostart);
	tcase_add_test(t, autostart_without_program);
	t = add_test_case(s, "input", 60);
	tcase_add_loop_test(t, names, 0, N_BAD_NAMES);
	tcase_add_test(t, good_names);
	tcase_add_test(t, bad_options);
	tcase_add_test(t, types);
	tcase_add_test(t, no_room_for_subscriber);
	t = add_test_case(s, "resources", 60);
	tcase_add_loop_test(t, few_descriptors, 0, 2);
	tcase_add_test(t, nothing_on_disk);
	tcase_add_loop_test(t, null_and_repeated, 0, 2);
	return s;
}

int main(void)
{
	return run_suite(suite());
}
