/* SPDX-License-Identifier: MIT */
/*
 * SEGMENT_LOOK on the wire: who gets which descriptor, what can be done with it, and who gets none. src/router/look.c. How zcp top
 * uses it is in test-zcp-top.sh.
 */
#include "router-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/directory.h"
#include "common/memfd.h"

static struct test_router router;
static struct test_node owner, looker;
static struct test_endpoint publisher, subscriber;
static union wire_message m;
static int fds[WIRE_FDS_MAX];

static void open_both(int fd)
{
	struct wire_endpoint_open open;

	publisher_fill(&open, 1, "t", 4);
	endpoint_ready(&publisher, fd, &open);
	subscriber_fill(&open, 2, "u", 3);
	endpoint_ready(&subscriber, fd, &open);
}

static void start(int loop)
{
	router_start(&router, loop, NULL);
	node_join(&owner, &router, "owner");
	node_join(&looker, &router, "looker");
	open_both(owner.fd);
}

static void stop(void)
{
	endpoint_forget(&publisher);
	endpoint_forget(&subscriber);
	node_leave(&owner);
	node_leave(&looker);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}

static void look(int fd, uint32_t request, uint64_t endpoint)
{
	struct wire_segment_look message = { .endpoint = endpoint };

	wire_init(&message.header, WIRE_SEGMENT_LOOK, request);
	client_send(fd, &message.header);
}

/* The segment of @endpoint comes: mapped for reading; nothing else can be done with it. */
static void expect_seen(int fd, uint32_t request, const struct test_endpoint *endpoint, uint32_t n_lanes, uint32_t max_held)
{
	const void *memory;

	client_expect(fd, WIRE_SEGMENT_SEEN, &m, fds);
	ck_assert_uint_eq(m.header.request, request);
	ck_assert_uint_eq(m.segment_seen.endpoint, endpoint->id);
	ck_assert_uint_eq(m.segment_seen.segment_bytes, endpoint->bytes);
	ck_assert_uint_eq(m.segment_seen.n_lanes, n_lanes);
	ck_assert_uint_eq(m.segment_seen.max_held, max_held);
	ck_assert_int_eq(fds[1], -1);
	ck_assert_int_eq(memfd_map_reader(fds[0], endpoint->bytes, &memory), 0);
	/* it is the one that its owner writes to */
	*(volatile uint64_t *)endpoint->memory = 0x1234567 + endpoint->id;
	ck_assert_uint_eq(*(const volatile uint64_t *)memory, 0x1234567 + endpoint->id);
	ck_assert_fails(mprotect((void *)(uintptr_t)memory, endpoint->bytes, PROT_READ | PROT_WRITE), EACCES);
	ck_assert_ptr_eq(mmap(NULL, endpoint->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0), MAP_FAILED);
	ck_assert_int_eq(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	munmap((void *)(uintptr_t)memory, endpoint->bytes);
	close_fds(fds);
}

START_TEST(both_kinds)
{
	start(_i);
	look(looker.fd, 7, publisher.id);
	expect_seen(looker.fd, 7, &publisher, 0, 0);
	look(looker.fd, 8, subscriber.id);
	expect_seen(looker.fd, 8, &subscriber, 3, 4);
	/* its own, too, and as often as it likes */
	look(owner.fd, 9, publisher.id);
	expect_seen(owner.fd, 9, &publisher, 0, 0);
	for (uint32_t i = 0; i < 200; i++) {
		look(looker.fd, 100 + i, i % 2 ? publisher.id : subscriber.id);
		client_expect(looker.fd, WIRE_SEGMENT_SEEN, &m, fds);
		ck_assert_uint_eq(m.header.request, 100 + i);
		close_fds(fds);
	}
	stop();
}
END_TEST

START_TEST(not_there)
{
	struct wire_endpoint_open open;
	struct test_endpoint unready, closed;

	start(_i);
	look(looker.fd, 1, 0);
	client_expect_error(looker.fd, 1, -ENOENT, "gone");
	look(looker.fd, 2, UINT64_MAX);
	client_expect_error(looker.fd, 2, -ENOENT, "gone");
	/* one whose owner could still be given a second writable mapping */
	publisher_fill(&open, 3, "v", 4);
	endpoint_open(&unready, owner.fd, &open);
	look(looker.fd, 4, unready.id);
	client_expect_error(looker.fd, 4, -ENOENT, "not ready yet");
	endpoint_mapped(&unready, owner.fd);
	client_expect(owner.fd, WIRE_ENDPOINT_READY, &m, NULL);
	look(looker.fd, 5, unready.id);
	client_expect(looker.fd, WIRE_SEGMENT_SEEN, &m, fds);
	close_fds(fds);
	closed = unready;
	endpoint_close(&closed, owner.fd);
	look(owner.fd, 6, unready.id);	/* behind the close */
	client_expect_error(owner.fd, 6, -ENOENT, "gone");
	stop();
}
END_TEST

static void join_as(uid_t uid, struct test_node *node, const char *name)
{
	ck_assert_ok(seteuid(uid));
	node_join(node, &router, name);
	ck_assert_ok(seteuid(0));
}

/* Endpoints of a user, of root (who runs the router), and those who look at them. */
START_TEST(other_users)
{
	struct test_endpoint theirs, roots;
	struct wire_endpoint_open open;
	struct test_node same, third;

	if (geteuid() != 0)
		skip_test("only root can join as somebody else");
	router_prepare(&router);
	ck_assert_ok(chmod(router.directory, 0755));
	router_run(&router, (const char *[]){ "--loop", loop_argument(_i), "--quiet", "--socket-mode", "0666", NULL });
	node_join(&looker, &router, "root");
	join_as(65534, &owner, "owner");
	join_as(65534, &same, "same");
	join_as(65533, &third, "third");
	publisher_fill(&open, 1, "t", 4);
	endpoint_ready(&theirs, owner.fd, &open);
	publisher_fill(&open, 1, "u", 4);
	endpoint_ready(&roots, looker.fd, &open);

	look(looker.fd, 2, theirs.id);
	expect_seen(looker.fd, 2, &theirs, 0, 0);
	look(same.fd, 3, theirs.id);
	expect_seen(same.fd, 3, &theirs, 0, 0);
	look(third.fd, 4, theirs.id);
	client_expect_error(third.fd, 4, -EPERM, "belongs to uid 65534");
	look(third.fd, 5, roots.id);
	client_expect_error(third.fd, 5, -EPERM, "belongs to uid 0");
	look(owner.fd, 6, roots.id);
	client_expect_error(owner.fd, 6, -EPERM, "may look into it");
	/* it was refused, and not thrown out */
	look(third.fd, 7, 0);
	client_expect_error(third.fd, 7, -ENOENT, "gone");

	endpoint_forget(&theirs);
	endpoint_forget(&roots);
	node_leave(&same);
	node_leave(&third);
	node_leave(&owner);
	node_leave(&looker);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

/* The router's own user, who is not root. */
START_TEST(user_of_the_router)
{
	struct test_endpoint roots;
	struct wire_endpoint_open open;

	if (geteuid() != 0)
		skip_test("only root can run a router as somebody else");
	if (!router_runs_as(65534))
		skip_test("the router's binary is where uid %d does not get to", 65534);
	router_prepare(&router);
	router.uid = 65534;
	ck_assert_ok(chown(router.directory, router.uid, router.uid));
	router_run(&router, (const char *[]){ "--loop", "epoll", "--quiet", "--socket-mode", "0666", NULL });
	node_join(&owner, &router, "root");
	join_as(65534, &looker, "user");
	publisher_fill(&open, 1, "t", 4);
	endpoint_ready(&roots, owner.fd, &open);
	look(looker.fd, 1, roots.id);
	expect_seen(looker.fd, 1, &roots, 0, 0);
	endpoint_forget(&roots);
	node_leave(&owner);
	node_leave(&looker);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

/* Who asks and does not read is refused in time: what waits for it keeps segments open. It loses nothing else. */
START_TEST(does_not_read)
{
	unsigned int n_seen = 0, n_busy = 0;

	start(_i);
	for (uint32_t i = 1; i <= 1000; i++)
		look(looker.fd, i, publisher.id);
	endpoint_close(&publisher, owner.fd);
	for (uint32_t i = 1; i <= 1000; i++) {
		ck_assert(client_has_message(looker.fd, DEADLINE_MS));
		ck_assert_int_gt(recv(looker.fd, &m, sizeof(m), MSG_PEEK), 0);
		if (m.header.type == WIRE_ERROR) {
			client_expect(looker.fd, WIRE_ERROR, &m, NULL);
			ck_assert(m.error.error == -EBUSY || m.error.error == -ENOENT);
			n_busy += m.error.error == -EBUSY;
		} else {
			client_expect(looker.fd, WIRE_SEGMENT_SEEN, &m, fds);
			close_fds(fds);
			n_seen++;
		}
		ck_assert_uint_eq(m.header.request, i);
	}
	ck_assert_uint_gt(n_seen, 0);
	ck_assert_uint_gt(n_busy, 0);
	look(looker.fd, 2000, subscriber.id);
	expect_seen(looker.fd, 2000, &subscriber, 3, 4);
	endpoint_forget(&subscriber);
	node_leave(&owner);
	node_leave(&looker);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

START_TEST(breaks_the_protocol)
{
	struct wire_segment_seen seen = { .endpoint = 1 };
	struct test_node liar;
	int fd;

	start(_i);
	node_join(&liar, &router, "liar");
	look(liar.fd, 0, publisher.id);
	ck_assert_int_eq(client_expect_end(liar.fd), -EPROTO);
	node_drop(&liar);
	/* what only routers say */
	node_join(&liar, &router, "liar");
	wire_init(&seen.header, WIRE_SEGMENT_SEEN, 1);
	ck_assert_int_eq(client_try_send(liar.fd, &seen, sizeof(seen), NULL, 0), 0);
	ck_assert_int_eq(client_expect_end(liar.fd), -EPROTO);
	node_drop(&liar);
	/* before it is a node */
	fd = client_connect(&router);
	look(fd, 1, publisher.id);
	ck_assert_int_eq(client_expect_end(fd), -EPROTO);
	close(fd);
	stop();
}
END_TEST

/* One that goes while its segment is with somebody who looks on. */
START_TEST(owner_leaves)
{
	start(_i);
	look(looker.fd, 1, publisher.id);
	client_expect(looker.fd, WIRE_SEGMENT_SEEN, &m, fds);
	for (uint32_t i = 0; i < 19; i++)
		look(looker.fd, i + 2, publisher.id);
	node_leave(&owner);
	for (uint32_t i = 0; i < 19; i++) {
		int more[WIRE_FDS_MAX];

		ck_assert(client_has_message(looker.fd, DEADLINE_MS));
		ck_assert_int_gt(recv(looker.fd, &m, sizeof(m), MSG_PEEK), 0);
		client_expect(looker.fd, m.header.type == WIRE_ERROR ? WIRE_ERROR : WIRE_SEGMENT_SEEN, &m, more);
		close_fds(more);
	}
	/* the memory stays as long as it is open */
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	close_fds(fds);
	endpoint_forget(&publisher);
	endpoint_forget(&subscriber);
	node_leave(&looker);
	router_expect_base(&router);
	router_stop(&router, SIGTERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router-look");
	TCase *tcase = add_test_case(suite, "look", 60);

	tcase_add_loop_test(tcase, both_kinds, 0, N_LOOPS);
	tcase_add_loop_test(tcase, not_there, 0, N_LOOPS);
	tcase_add_loop_test(tcase, other_users, 0, N_LOOPS);
	tcase_add_test(tcase, user_of_the_router);
	tcase_add_loop_test(tcase, does_not_read, 0, N_LOOPS);
	tcase_add_loop_test(tcase, breaks_the_protocol, 0, N_LOOPS);
	tcase_add_loop_test(tcase, owner_leaves, 0, N_LOOPS);
	return run_suite(suite);
}
