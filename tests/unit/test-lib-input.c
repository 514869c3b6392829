/* SPDX-License-Identifier: MIT */
/*
 * What callers and the environment hand to the library, without a router: option structs of all sizes, topics
 * and types, where the router is looked for, and the sentence behind an error (src/lib/options.c,
 * router-path.c, error.c).
 */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/options.h"
#include "lib/router-path.h"

struct known {
	size_t sz;
	uint32_t a, b;
};

struct newer {
	struct known known;
	uint64_t c;
};

START_TEST(option_sizes)
{
	struct newer newer = { .known = { .sz = sizeof(newer), .a = 1, .b = 2 } };
	struct known copy = { .a = 9 };

	ck_assert_int_eq(options_copy(&copy, sizeof(copy), sizeof(copy), NULL, "known"), 0);
	ck_assert_uint_eq(copy.a, 0);
	/* a newer caller that uses nothing new; and one that does */
	ck_assert_int_eq(options_copy(&copy, sizeof(copy), sizeof(copy), &newer, "known"), 0);
	ck_assert_uint_eq(copy.b, 2);
	newer.c = 1ull << 63;
	ck_assert_int_eq(options_copy(&copy, sizeof(copy), sizeof(copy), &newer, "known"), -EINVAL);
	/* an older caller: what it does not know is zero */
	newer.known.sz = offsetof(struct known, b);
	ck_assert_int_eq(options_copy(&copy, sizeof(copy), offsetof(struct known, b), &newer, "known"), 0);
	ck_assert_uint_eq(copy.a, 1);
	ck_assert_uint_eq(copy.b, 0);
	for (size_t sz = 0; sz < 12; sz++) {
		newer.known.sz = sz;
		ck_assert_int_eq(options_copy(&copy, sizeof(copy), 12, &newer, "known"), -EINVAL);
	}
	newer.known.sz = SIZE_MAX;
	ck_assert_int_eq(options_copy(&copy, sizeof(copy), 12, &newer, "known"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "sizeof(struct known)"));
}
END_TEST

START_TEST(types)
{
	struct wire_type_info info;

	ck_assert_int_eq(options_type(&info, &(struct zcp_type){ NULL, 100, 0 }), 0);
	ck_assert_uint_eq(info.size, 0);
	ck_assert_int_eq(options_type(&info, &(struct zcp_type){ "a/b", 100, 0 }), 0);
	ck_assert_str_eq(info.name, "a/b");
	ck_assert_uint_eq(info.size, 100);
	ck_assert_uint_eq(info.alignment, 1);
	for (size_t alignment = 1; alignment <= 8192; alignment++) {
		bool good = !(alignment & (alignment - 1)) && alignment <= 4096;

		if (options_type(&info, &(struct zcp_type){ "t", 8, alignment }) != (good ? 0 : -EINVAL))
			ck_abort_msg("alignment %zu", alignment);
	}
	ck_assert_int_eq(options_type(&info, &(struct zcp_type){ "", 8, 8 }), -EINVAL);
	ck_assert_int_eq(options_type(&info, &(struct zcp_type){ "a\nb", 8, 8 }), -EINVAL);
}
END_TEST

START_TEST(router_paths)
{
	struct router_paths paths;

	ck_assert_ok(unsetenv("ZCP_ROUTER"));
	ck_assert_ok(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1));
	ck_assert_int_eq(router_paths_find(&paths, NULL), 0);
	ck_assert_int_eq(paths.n, 2);
	ck_assert(!paths.explicit_path);
	ck_assert_str_eq(paths.path[0], "/run/user/7/zcp/router.sock");
	ck_assert_str_eq(paths.path[1], "/run/zcp/router.sock");
	ck_assert_str_eq(paths.own, paths.path[0]);

	ck_assert_ok(setenv("ZCP_ROUTER", "/e", 1));
	ck_assert_int_eq(router_paths_find(&paths, NULL), 0);
	ck_assert_int_eq(paths.n, 1);
	ck_assert(paths.explicit_path);
	ck_assert_str_eq(paths.path[0], "/e");
	ck_assert_int_eq(router_paths_find(&paths, "/o"), 0);
	ck_assert_int_eq(paths.n, 1);
	ck_assert_str_eq(paths.path[0], "/o");
	ck_assert_str_eq(paths.own, "/o");
	ck_assert_int_eq(router_paths_find(&paths, ""), -EINVAL);

	/* empty is unset */
	ck_assert_ok(setenv("ZCP_ROUTER", "", 1));
	ck_assert_ok(setenv("XDG_RUNTIME_DIR", "", 1));
	ck_assert_int_eq(router_paths_find(&paths, NULL), 0);
	ck_assert_str_eq(paths.path[0], "/run/zcp/router.sock");
}
END_TEST

START_TEST(path_lengths)
{
	char path[120] = "/";
	struct router_paths paths;

	memset(path + 1, 'x', sizeof(path) - 2);
	path[108] = 0;
	ck_assert_int_eq(router_paths_find(&paths, path), -ENAMETOOLONG);
	path[107] = 0;
	ck_assert_int_eq(router_paths_find(&paths, path), 0);
	ck_assert_str_eq(paths.path[0], path);
	ck_assert_int_eq(router_connect(&paths), -ENOENT);
	path[107] = 'x';
	ck_assert_int_eq(router_connect_path(path), -ENAMETOOLONG);
}
END_TEST

START_TEST(private_directories)
{
	char directory[] = "/tmp/zcp-private-XXXXXX", link[64];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(link, sizeof(link), "%s-link", directory);
	ck_assert_ok(symlink(directory, link));
	ck_assert(router_directory_is_private(directory));
	ck_assert(!router_directory_is_private(link));
	ck_assert_ok(chmod(directory, 0710));
	ck_assert(!router_directory_is_private(directory));
	ck_assert_ok(unlink(link));
	ck_assert_ok(rmdir(directory));
	ck_assert(!router_directory_is_private(directory));
}
END_TEST

static void *fail_elsewhere(void *argument)
{
	(void)argument;
	ck_assert_str_eq(zcp_last_error(), "");
	error_set(-EINVAL, "elsewhere");
	return NULL;
}

START_TEST(sentences)
{
	pthread_t thread;
	char longest[2000];

	ck_assert_str_eq(zcp_last_error(), "");
	ck_assert_int_eq(error_set(-ENOENT, "no %s", "bread"), -ENOENT);
	ck_assert_int_eq(error_set(-EIO, "twice: %s", zcp_last_error()), -EIO);
	ck_assert_str_eq(zcp_last_error(), "twice: no bread");
	ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(zcp_last_error(), "twice: no bread");
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	error_set(-EIO, "%s", longest);
	ck_assert_uint_lt(strlen(zcp_last_error()), 600);
	ck_assert_int_eq(error_system(-EMFILE, "open"), -EMFILE);
	ck_assert_ptr_nonnull(strstr(zcp_last_error(), "ulimit -n"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lib-input");
	TCase *t = add_test_case(s, "input", 10);

	tcase_add_test(t, option_sizes);
	tcase_add_test(t, types);
	tcase_add_test(t, router_paths);
	tcase_add_test(t, path_lengths);
	tcase_add_test(t, private_directories);
	tcase_add_test(t, sentences);
	return run_suite(s);
}
