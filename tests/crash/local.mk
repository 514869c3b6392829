# SPDX-License-Identifier: MIT
# Somebody is killed at every instruction or system call, and the others go on. Here a sample; `make torture` tries them all.
crash_tests = tests/crash/test-crash tests/crash/test-router-crash
check_PROGRAMS += $(crash_tests)
TESTS += $(crash_tests)

CRASH_COMMON = tests/crash/common-crash.c tests/crash/common-crash.h

tests_crash_test_crash_SOURCES = tests/crash/test-crash.c tests/crash/operations.c tests/crash/call-operations.c tests/crash/event-operations.c tests/crash/node-operations.c \
	tests/crash/operations.h \
	tests/crash/calls.c tests/crash/calls.h tests/crash/world.c tests/crash/world.h tests/crash/step.c tests/crash/step.h tests/crash/writer-check.c tests/crash/writer-check.h $(CRASH_COMMON)
tests_crash_test_crash_CPPFLAGS = $(TEST_CPPFLAGS)
tests_crash_test_crash_LDADD = libzcp_lib.la libzcp_channel.la libzcp_common.la

tests_crash_test_router_crash_SOURCES = tests/crash/test-router-crash.c tests/crash/keeper.c tests/crash/keeper.h \
	tests/crash/step.c tests/crash/step.h $(CRASH_COMMON)
tests_crash_test_router_crash_CPPFLAGS = $(TEST_CPPFLAGS)
tests_crash_test_router_crash_LDADD = libzcp_lib.la libzcp_channel.la libzcp_common.la

torture-crash: $(crash_tests:=$(EXEEXT)) zcp-router$(EXEEXT)
	for t in $(crash_tests); do ZCP_ROUTER_BIN='$(abs_top_builddir)/zcp-router' $$t --all || exit 1; done
TORTURES += torture-crash
