# SPDX-License-Identifier: MIT
# Suites that start a real router, each in a socket directory of its own. Pattern as in tests/unit; such
# a suite links libzcp_lib.la libzcp_channel.la libzcp_common.la and starts $ZCP_ROUTER_BIN.

# What many suites share, each file compiled once. A program gets of it what it uses.
check_LTLIBRARIES += tests/integration/libhelpers.la
tests_integration_libhelpers_la_SOURCES = \
	tests/integration/call-helper.h \
	tests/integration/lib-helper.c \
	tests/integration/lib-helper.h \
	tests/integration/router-helper.c \
	tests/integration/router-helper.h \
	tests/integration/screen-helper.c \
	tests/integration/screen-helper.h \
	tests/integration/top-helper.c \
	tests/integration/top-helper.h \
	tests/integration/trace-helper.c \
	tests/integration/trace-helper.h \
	tests/integration/waitset-helper.c \
	tests/integration/waitset-helper.h
tests_integration_libhelpers_la_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)

# Scripts that run the tools as a user would.
dist_check_SCRIPTS += tests/integration/test-zcp-bench.sh
TESTS += tests/integration/test-zcp-bench.sh

tool_tests = \
	tests/integration/test-cmake.sh \
	tests/integration/test-completions.sh \
	tests/integration/test-examples.sh \
	tests/integration/test-install.sh \
	tests/integration/test-namespaces.sh \
	tests/integration/test-units.sh \
	tests/integration/test-trace-usage.sh \
	tests/integration/test-zcp-autostart.sh \
	tests/integration/test-zcp-bytes.sh \
	tests/integration/test-zcp-call.sh \
	tests/integration/test-zcp-events.sh \
	tests/integration/test-zcp-doctor.sh \
	tests/integration/test-zcp-ends.sh \
	tests/integration/test-zcp-info.sh \
	tests/integration/test-zcp-list.sh \
	tests/integration/test-zcp-messages.sh \
	tests/integration/test-zcp-record.sh \
	tests/integration/test-zcp-send.sh \
	tests/integration/test-zcp-usage.sh \
	tests/integration/test-zcp-watch.sh

dist_check_SCRIPTS += $(tool_tests)
EXTRA_DIST += tests/integration/tool.sh tests/integration/complete.zsh
TESTS += $(tool_tests)

# The client library against a real router. Helper: lib-helper.
lib_tests = \
	tests/integration/test-lib-death \
	tests/integration/test-lib-call \
	tests/integration/test-lib-call-ends \
	tests/integration/test-lib-call-hostile \
	tests/integration/test-lib-events \
	tests/integration/test-lib-exit \
	tests/integration/test-lib-handover \
	tests/integration/test-lib-lanes \
	tests/integration/test-lib-latest \
	tests/integration/test-lib-restart \
	tests/integration/test-lib-growth \
	tests/integration/test-lib-open \
	tests/integration/test-lib-pubsub \
	tests/integration/test-lib-send \
	tests/integration/test-lib-threads \
	tests/integration/test-lib-waitset \
	tests/integration/test-lib-waitset-many \
	tests/integration/test-lib-waitset-members \
	tests/integration/test-lib-watch

check_PROGRAMS += $(lib_tests)
TESTS += $(lib_tests)

TSAN_TESTS += tests/integration/test-lib-events tests/integration/test-lib-handover tests/integration/test-lib-latest tests/integration/test-lib-waitset tests/integration/test-lib-waitset-many tests/integration/test-lib-waitset-members
TSAN_TESTS += tests/integration/test-lib-call tests/integration/test-lib-call-ends tests/integration/test-lib-threads tests/integration/test-lib-restart tests/integration/test-lib-send tests/integration/test-lib-watch

# The same suites with the router on epoll, and a router that io_uring is refused.
dist_check_SCRIPTS += tests/integration/test-lib-on-epoll.sh
TESTS += tests/integration/test-lib-on-epoll.sh

LIB_TEST_LDADD = tests/integration/libhelpers.la libzcp_lib.la libzcp_channel.la libzcp_common.la $(TEST_LDADD)

tests_integration_test_lib_open_SOURCES = tests/integration/test-lib-open.c
tests_integration_test_lib_open_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_open_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_growth_SOURCES = tests/integration/test-lib-growth.c
tests_integration_test_lib_growth_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_growth_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_pubsub_SOURCES = tests/integration/test-lib-pubsub.c
tests_integration_test_lib_pubsub_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_pubsub_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_send_SOURCES = tests/integration/test-lib-send.c
tests_integration_test_lib_send_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_send_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_death_SOURCES = tests/integration/test-lib-death.c
tests_integration_test_lib_death_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_death_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_call_hostile_SOURCES = tests/integration/test-lib-call-hostile.c
tests_integration_test_lib_call_hostile_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_call_hostile_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_call_ends_SOURCES = tests/integration/test-lib-call-ends.c
tests_integration_test_lib_call_ends_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_call_ends_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_call_SOURCES = tests/integration/test-lib-call.c
tests_integration_test_lib_call_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_call_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_events_SOURCES = tests/integration/test-lib-events.c
tests_integration_test_lib_events_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_events_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_latest_SOURCES = tests/integration/test-lib-latest.c
tests_integration_test_lib_latest_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_latest_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_handover_SOURCES = tests/integration/test-lib-handover.c
tests_integration_test_lib_handover_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_handover_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_exit_SOURCES = tests/integration/test-lib-exit.c
tests_integration_test_lib_exit_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_exit_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_threads_SOURCES = tests/integration/test-lib-threads.c
tests_integration_test_lib_threads_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_threads_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_restart_SOURCES = tests/integration/test-lib-restart.c
tests_integration_test_lib_restart_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_restart_LDADD = $(LIB_TEST_LDADD)

# zcp.hpp, linked as a user links it.
if HAVE_CXX
check_PROGRAMS += tests/integration/test-hpp
TESTS += tests/integration/test-hpp
endif
tests_integration_test_hpp_SOURCES = tests/integration/test-hpp.cpp
tests_integration_test_hpp_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_hpp_LDADD = tests/integration/libhelpers.la libzcp.la $(TEST_LDADD)

# zcp record and zcp replay. Helper: lib-helper.
check_PROGRAMS += tests/integration/test-record
TESTS += tests/integration/test-record
tests_integration_test_record_SOURCES = tests/integration/test-record.c \
	src/tools/crc32c.c src/tools/recording-cursor.c src/tools/recording-pack.c src/tools/recording-reader.c src/tools/recording-scan.c \
	src/tools/recording.c
tests_integration_test_record_CPPFLAGS = $(TEST_CPPFLAGS) $(ZSTD_CFLAGS)
tests_integration_test_record_LDADD = $(LIB_TEST_LDADD) $(ZSTD_LIBS)

tests_integration_test_lib_waitset_SOURCES = tests/integration/test-lib-waitset.c
tests_integration_test_lib_waitset_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_waitset_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_waitset_many_SOURCES = tests/integration/test-lib-waitset-many.c
tests_integration_test_lib_waitset_many_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_waitset_many_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_waitset_members_SOURCES = tests/integration/test-lib-waitset-members.c
tests_integration_test_lib_waitset_members_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_waitset_members_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_watch_SOURCES = tests/integration/test-lib-watch.c
tests_integration_test_lib_watch_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_watch_LDADD = $(LIB_TEST_LDADD)

tests_integration_test_lib_lanes_SOURCES = tests/integration/test-lib-lanes.c
tests_integration_test_lib_lanes_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_lib_lanes_LDADD = $(LIB_TEST_LDADD)

# zcp top against traffic that the library makes. Helpers: top-helper, screen-helper.
top_tests = tests/integration/test-zcp-top tests/integration/test-zcp-top-others tests/integration/test-zcp-top-screen
check_PROGRAMS += $(top_tests)
TESTS += $(top_tests)

tests_integration_test_zcp_top_SOURCES = tests/integration/test-zcp-top.c
tests_integration_test_zcp_top_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_zcp_top_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_zcp_top_others_SOURCES = tests/integration/test-zcp-top-others.c
tests_integration_test_zcp_top_others_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_zcp_top_others_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_zcp_top_screen_SOURCES = tests/integration/test-zcp-top-screen.c
tests_integration_test_zcp_top_screen_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_zcp_top_screen_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

# The progress of zcp record and zcp replay. Helpers: screen-helper, top-helper.
check_PROGRAMS += tests/integration/test-zcp-progress
TESTS += tests/integration/test-zcp-progress
tests_integration_test_zcp_progress_SOURCES = tests/integration/test-zcp-progress.c
tests_integration_test_zcp_progress_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_zcp_progress_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

# zcp-trace. Needs root and eBPF, and says so. Helper: trace-helper.
if HAVE_BPF
trace_tests = \
	tests/integration/test-trace-drops \
	tests/integration/test-trace-events \
	tests/integration/test-trace-exits \
	tests/integration/test-trace-filters \
	tests/integration/test-trace-latency \
	tests/integration/test-trace-names \
	tests/integration/test-trace-router \
	tests/integration/test-trace-top-screen \
	tests/integration/test-trace-wakeups
check_PROGRAMS += $(trace_tests)
TESTS += $(trace_tests)
endif

tests_integration_test_trace_drops_SOURCES = tests/integration/test-trace-drops.c
tests_integration_test_trace_drops_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_drops_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_trace_events_SOURCES = tests/integration/test-trace-events.c
tests_integration_test_trace_events_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_events_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_trace_exits_SOURCES = tests/integration/test-trace-exits.c
tests_integration_test_trace_exits_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_exits_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_trace_filters_SOURCES = tests/integration/test-trace-filters.c
tests_integration_test_trace_filters_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_filters_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_trace_latency_SOURCES = tests/integration/test-trace-latency.c
tests_integration_test_trace_latency_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_latency_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

# Without the tracer, and so without root.
tests_integration_test_trace_names_SOURCES = \
	tests/integration/test-trace-names.c \
	src/tools/snapshot.c \
	src/tools/tool.c \
	src/tools/trace-names.c
tests_integration_test_trace_names_CPPFLAGS = $(TEST_CPPFLAGS) $(LIBBPF_CFLAGS)
tests_integration_test_trace_names_LDADD = $(LIB_TEST_LDADD) $(LIBBPF_LIBS)

tests_integration_test_trace_router_SOURCES = tests/integration/test-trace-router.c
tests_integration_test_trace_router_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_router_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_trace_top_screen_SOURCES = tests/integration/test-trace-top-screen.c
tests_integration_test_trace_top_screen_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_top_screen_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

tests_integration_test_trace_wakeups_SOURCES = tests/integration/test-trace-wakeups.c
tests_integration_test_trace_wakeups_CPPFLAGS = $(TEST_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_test_trace_wakeups_LDADD = $(LIB_TEST_LDADD) $(JANSSON_LIBS)

# The router at wire level. Helper: router-helper.
router_tests = \
	tests/integration/test-router \
	tests/integration/test-router-activation \
	tests/integration/test-router-exit \
	tests/integration/test-router-still \
	tests/integration/test-router-growth \
	tests/integration/test-router-limits \
	tests/integration/test-router-look \
	tests/integration/test-router-introduce \
	tests/integration/test-router-match \
	tests/integration/test-router-refused-uring \
	tests/integration/test-router-protocol \
	tests/integration/test-router-claims \
	tests/integration/test-router-send \
	tests/integration/test-router-watch \
	tests/integration/test-router-reintroduce \
	tests/integration/test-router-resume

check_PROGRAMS += $(router_tests)
dist_check_SCRIPTS += tests/integration/test-router-man.sh
TESTS += $(router_tests) tests/integration/test-router-man.sh

ROUTER_TEST_LDADD = tests/integration/libhelpers.la libzcp_channel.la libzcp_common.la $(TEST_LDADD)

tests_integration_test_router_SOURCES = tests/integration/test-router.c
tests_integration_test_router_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_activation_SOURCES = tests/integration/test-router-activation.c
tests_integration_test_router_activation_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_activation_LDADD = $(ROUTER_TEST_LDADD)

EXIT_HELPER = tests/integration/exit-helper.c tests/integration/exit-helper.h
tests_integration_test_router_exit_SOURCES = tests/integration/test-router-exit.c $(EXIT_HELPER)
tests_integration_test_router_exit_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_exit_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_still_SOURCES = tests/integration/test-router-still.c $(EXIT_HELPER)
tests_integration_test_router_still_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_still_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_limits_SOURCES = tests/integration/test-router-limits.c
tests_integration_test_router_limits_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_limits_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_look_SOURCES = tests/integration/test-router-look.c
tests_integration_test_router_look_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_look_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_introduce_SOURCES = tests/integration/test-router-introduce.c
tests_integration_test_router_introduce_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_introduce_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_match_SOURCES = tests/integration/test-router-match.c
tests_integration_test_router_match_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_match_LDADD = $(ROUTER_TEST_LDADD)

RESUME_HELPER = tests/integration/resume-helper.c tests/integration/resume-helper.h
tests_integration_test_router_growth_SOURCES = tests/integration/test-router-growth.c $(RESUME_HELPER)
tests_integration_test_router_growth_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_growth_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_claims_SOURCES = tests/integration/test-router-claims.c $(RESUME_HELPER)
tests_integration_test_router_claims_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_claims_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_reintroduce_SOURCES = tests/integration/test-router-reintroduce.c $(RESUME_HELPER)
tests_integration_test_router_reintroduce_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_reintroduce_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_resume_SOURCES = tests/integration/test-router-resume.c $(RESUME_HELPER)
tests_integration_test_router_resume_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_resume_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_refused_uring_SOURCES = tests/integration/test-router-refused-uring.c
tests_integration_test_router_refused_uring_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_refused_uring_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_send_SOURCES = tests/integration/test-router-send.c
tests_integration_test_router_send_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_send_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_watch_SOURCES = tests/integration/test-router-watch.c
tests_integration_test_router_watch_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_watch_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_protocol_SOURCES = tests/integration/test-router-protocol.c
tests_integration_test_router_protocol_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_protocol_LDADD = $(ROUTER_TEST_LDADD)

# The manual and README.md against the code.
man_tests = \
	tests/integration/test-man.sh \
	tests/integration/test-man-cxx.sh \
	tests/integration/test-man-examples.sh \
	tests/integration/test-man-install.sh \
	tests/integration/test-man-numbers.sh \
	tests/integration/test-man-shell.sh \
	tests/integration/test-man-tools.sh \
	tests/integration/test-protocol-page.sh \
	tests/integration/test-second-implementation.sh

dist_check_SCRIPTS += $(man_tests)
EXTRA_DIST += tests/integration/man-examples.c tests/integration/protocol-page
EXTRA_DIST += \
	tests/integration/second-implementation.c \
	tests/integration/second-node.c \
	tests/integration/second-node.h \
	tests/integration/second-publisher.c \
	tests/integration/second-subscriber.c \
	tests/integration/second.h
TESTS += $(man_tests)

# Many processes and a parent that kills some of them. Here for a few seconds; `make torture` for two minutes.
check_PROGRAMS += tests/integration/torture
TESTS += tests/integration/torture
tests_integration_torture_SOURCES = tests/integration/torture.c tests/crash/writer-check.c tests/crash/writer-check.h
tests_integration_torture_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_torture_LDADD = libzcp_lib.la libzcp_channel.la libzcp_common.la

# Thousands of processes that are killed. Here some hundred.
check_PROGRAMS += tests/integration/churn
TESTS += tests/integration/churn
tests_integration_churn_SOURCES = tests/integration/churn.c
tests_integration_churn_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_churn_LDADD = libzcp_lib.la libzcp_channel.la libzcp_common.la

# Clients and servers that are killed with hundreds of requests under way.
check_PROGRAMS += tests/integration/call-torture
TESTS += tests/integration/call-torture
tests_integration_call_torture_SOURCES = tests/integration/call-torture.c
tests_integration_call_torture_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_call_torture_LDADD = libzcp_lib.la libzcp_channel.la libzcp_common.la

TORTURES += torture-processes
torture-processes: tests/integration/torture$(EXEEXT) tests/integration/call-torture$(EXEEXT) tests/integration/churn$(EXEEXT) zcp-router$(EXEEXT)
	ZCP_ROUTER_BIN='$(abs_top_builddir)/zcp-router' tests/integration/call-torture$(EXEEXT) $(TORTURE_SECONDS)
	ZCP_ROUTER_BIN='$(abs_top_builddir)/zcp-router' tests/integration/torture$(EXEEXT) $(TORTURE_SECONDS)
	ZCP_ROUTER_BIN='$(abs_top_builddir)/zcp-router' tests/integration/churn$(EXEEXT) $(CHURN_PROCESSES)
CHURN_PROCESSES = 10000
TORTURE_SECONDS = 120
