/* SPDX-License-Identifier: MIT */
/*
 * What zcp-trace knows of who is behind an id, without its probes: the news of the router, whoever reads it, and ids that are nobody's.
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib-helper.h"
#include "tools/tool.h"
#include "tools/trace-names.h"

static struct names *names;

static void begin(const struct wire_topic *pattern)
{
	lib_router_start();
	tool_set_program("test-trace-names");
	tool_set_socket(lib_socket);
	ck_assert_int_eq(names_open(&names, pattern), 0);
}

static void end(void)
{
	names = names_close(names);
	lib_router_stop(SIGTERM);
}

/* Reads what there is, as everybody does who looks for a name. */
static const struct name_node *look_up(uint64_t id)
{
	ck_assert_int_eq(names_read_news(names), 0);
	return names_node(names, id);
}

/* New nodes are told to the one who attaches, once, and also if somebody else has read of them. */
START_TEST(news_that_somebody_else_has_read)
{
	zcp_node *n, *other;
	uint64_t other_id;

	begin(&(struct wire_topic){ 0 });
	ck_assert_int_eq(names_update(names), 0);
	n = lib_node("one");
	ck_assert_within(look_up(zcp_node_id(n)) != NULL, DEADLINE_MS);
	ck_assert_str_eq(names_node(names, zcp_node_id(n))->name, "one");
	ck_assert_uint_eq(names_node(names, zcp_node_id(n))->pid, (uint32_t)getpid());
	ck_assert_int_eq(names_update(names), 1);
	ck_assert_int_eq(names_update(names), 0);
	other = lib_node("other");
	ck_assert_within(names_update(names) == 1, DEADLINE_MS);
	ck_assert_int_eq(names_update(names), 0);
	other_id = zcp_node_id(other);
	zcp_node_close(other);
	/* that one has gone is no reason to attach, and its name is kept */
	ck_assert_within(look_up(other_id)->gone_ns != 0, DEADLINE_MS);
	ck_assert_str_eq(names_node(names, other_id)->name, "other");
	ck_assert_int_eq(names_update(names), 0);
	zcp_node_close(n);
	end();
}
END_TEST

/* An endpoint has its name at once, and keeps it when it is gone; the topic decides who is wanted. */
START_TEST(endpoints_have_names)
{
	struct wire_topic pattern = { .service = "*", .instance = "*", .event = "nothing like it" };
	const struct name_endpoint *e;
	zcp_publisher *p;
	zcp_node *n;
	uint64_t id;

	begin(_i ? &pattern : &(struct wire_topic){ 0 });
	n = lib_node("n");
	p = lib_publisher(n, NULL);
	id = zcp_publisher_id(p);
	e = names_owner(names, id);
	ck_assert_ptr_nonnull(e);
	ck_assert_uint_eq(e->node, zcp_node_id(n));
	ck_assert_uint_eq(e->role, ZCP_PUBLISHER);
	ck_assert_str_eq(e->kind, "data");
	ck_assert_int_eq(e->wanted, !_i);
	zcp_publisher_close(p);
	ck_assert_within((names_read_news(names), names_endpoint(names, id)->gone_ns != 0), DEADLINE_MS);
	ck_assert_uint_eq(names_owner(names, id)->node, zcp_node_id(n));
	zcp_node_close(n);
	end();
}
END_TEST

/* Of another router, or not there yet: near ids are waited for. */
START_TEST(nobodys_ids)
{
	zcp_node *n;

	begin(&(struct wire_topic){ 0 });
	n = lib_node("n");
	ck_assert_ptr_null(names_owner(names, 0));
	ck_assert_ptr_null(names_owner(names, zcp_node_id(n) + (1ull << 40)));
	ck_assert_ptr_null(names_owner(names, zcp_node_id(n) + 500));
	ck_assert_ptr_null(names_node(names, zcp_node_id(n) + 500));
	zcp_node_close(n);
	end();
}
END_TEST

/* The router ends, and another one takes the nodes back: their names are the old ones, and who comes then is new. */
START_TEST(names_survive_a_restart)
{
	zcp_node *n, *later;

	begin(&(struct wire_topic){ 0 });
	n = lib_node("n");
	ck_assert_within(names_update(names) == 1, DEADLINE_MS);
	lib_router_kill(SIGKILL);
	lib_router_again();
	ok(zcp_node_wait(n, 10 * SECOND));
	later = lib_node("later");
	ck_assert_within(look_up(zcp_node_id(later)) != NULL, DEADLINE_MS);
	ck_assert_int_eq(names_update(names), 1);
	ck_assert_str_eq(names_node(names, zcp_node_id(n))->name, "n");
	ck_assert_within(look_up(zcp_node_id(n))->gone_ns == 0, DEADLINE_MS);
	zcp_node_close(later);
	zcp_node_close(n);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace-names");
	TCase *tcase = add_test_case(suite, "names", 60);

	tcase_add_test(tcase, news_that_somebody_else_has_read);
	tcase_add_loop_test(tcase, endpoints_have_names, 0, 2);
	tcase_add_test(tcase, nobodys_ids);
	tcase_add_test(tcase, names_survive_a_restart);
	return run_suite(suite);
}
