# SPDX-License-Identifier: MIT
# Suites that start a real router, each in a socket directory of its own. Pattern as in tests/unit; such
# a suite links libzcp_lib.la libzcp_channel.la libzcp_common.la and starts $ZCP_ROUTER_BIN.

# The router at wire level. Helper: router-helper.
router_tests = \
	tests/integration/test-router \
	tests/integration/test-router-limits \
	tests/integration/test-router-match \
	tests/integration/test-router-protocol

check_PROGRAMS += $(router_tests)
dist_check_SCRIPTS += tests/integration/test-router-man.sh
TESTS += $(router_tests) tests/integration/test-router-man.sh

ROUTER_HELPER = tests/integration/router-helper.c tests/integration/router-helper.h
ROUTER_TEST_LDADD = libzcp_channel.la libzcp_common.la $(TEST_LDADD)

tests_integration_test_router_SOURCES = tests/integration/test-router.c $(ROUTER_HELPER)
tests_integration_test_router_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_limits_SOURCES = tests/integration/test-router-limits.c $(ROUTER_HELPER)
tests_integration_test_router_limits_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_limits_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_match_SOURCES = tests/integration/test-router-match.c $(ROUTER_HELPER)
tests_integration_test_router_match_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_match_LDADD = $(ROUTER_TEST_LDADD)

tests_integration_test_router_protocol_SOURCES = tests/integration/test-router-protocol.c $(ROUTER_HELPER)
tests_integration_test_router_protocol_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_router_protocol_LDADD = $(ROUTER_TEST_LDADD)
