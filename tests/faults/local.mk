# SPDX-License-Identifier: MIT
# Fail the Nth call: the library's functions one by one, and the router under clients. inject.c is linked into
# the library's suite, and preloaded into the router by the other. `make torture` runs both with every N.

fault_tests = \
	tests/faults/test-lib-faults \
	tests/faults/test-router-faults

check_PROGRAMS += $(fault_tests)
check_LTLIBRARIES += tests/faults/inject.la tests/faults/libinject.la
TESTS += $(fault_tests)

# Without sanitizers: its malloc() is called before their runtime is ready.
tests_faults_libinject_la_SOURCES = tests/faults/inject.c tests/faults/inject.h
tests_faults_libinject_la_CPPFLAGS = $(TEST_CPPFLAGS)
tests_faults_libinject_la_CFLAGS = $(ZCP_CFLAGS)

# -rpath makes libtool build a shared object of what is not installed
tests_faults_inject_la_SOURCES = tests/faults/inject.c tests/faults/inject-uring.c tests/faults/inject.h
tests_faults_inject_la_CPPFLAGS = $(TEST_CPPFLAGS) $(LIBURING_CFLAGS)
tests_faults_inject_la_CFLAGS = $(ZCP_CFLAGS)
tests_faults_inject_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

tests_faults_test_lib_faults_SOURCES = tests/faults/test-lib-faults.c tests/faults/inject.h \
	tests/faults/lib-world.c tests/faults/lib-world.h tests/faults/lib-pubsub.c tests/faults/lib-calls.c tests/faults/lib-events.c \
	tests/faults/lib-growth.c tests/faults/lib-waitset.c
tests_faults_test_lib_faults_CPPFLAGS = $(TEST_CPPFLAGS)
tests_faults_test_lib_faults_LDADD = tests/faults/libinject.la $(LIB_TEST_LDADD)

tests_faults_test_router_faults_SOURCES = tests/faults/test-router-faults.c tests/faults/inject.h
tests_faults_test_router_faults_CPPFLAGS = $(TEST_CPPFLAGS) -DINJECT_MODULE='"$(abs_top_builddir)/tests/faults/.libs/inject.so"'
tests_faults_test_router_faults_LDADD = $(LIB_TEST_LDADD)

torture-faults: $(fault_tests:=$(EXEEXT)) tests/faults/inject.la zcp-router$(EXEEXT)
	for t in $(fault_tests); do ZCP_FAULTS=all ZCP_ROUTER_BIN='$(abs_top_builddir)/zcp-router' CK_TIMEOUT_MULTIPLIER=20 $$t || exit 1; done
TORTURES += torture-faults
