# SPDX-License-Identifier: MIT
# What the design takes for granted about the kernel, one topic a suite. No part of zcp is linked: a
# failure here is a kernel that differs (or a test that was wrong), never our own bug.

kernel_tests = \
	tests/kernel/test-eventfd \
	tests/kernel/test-membarrier \
	tests/kernel/test-scm-rights \
	tests/kernel/test-seals \
	tests/kernel/test-uring

check_PROGRAMS += $(kernel_tests)
TESTS += $(kernel_tests)

tests_kernel_test_eventfd_SOURCES = tests/kernel/test-eventfd.c
tests_kernel_test_eventfd_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_eventfd_LDADD = $(TEST_LDADD)

tests_kernel_test_membarrier_SOURCES = tests/kernel/test-membarrier.c
tests_kernel_test_membarrier_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_membarrier_LDADD = $(TEST_LDADD)

tests_kernel_test_scm_rights_SOURCES = tests/kernel/test-scm-rights.c
tests_kernel_test_scm_rights_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_scm_rights_LDADD = $(TEST_LDADD)

tests_kernel_test_seals_SOURCES = tests/kernel/test-seals.c
tests_kernel_test_seals_CPPFLAGS = $(TEST_CPPFLAGS)
tests_kernel_test_seals_LDADD = $(TEST_LDADD)

tests_kernel_test_uring_SOURCES = tests/kernel/test-uring.c
tests_kernel_test_uring_CPPFLAGS = $(TEST_CPPFLAGS) $(LIBURING_CFLAGS)
tests_kernel_test_uring_LDADD = $(TEST_LDADD) $(LIBURING_LIBS)

# The two that share memory between threads.
TSAN_TESTS += tests/kernel/test-eventfd tests/kernel/test-membarrier
