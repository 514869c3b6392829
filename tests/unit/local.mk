# SPDX-License-Identifier: MIT
# One suite for each file of the source, no router running. Pattern:
#
#   check_PROGRAMS += tests/unit/test-name
#   TESTS += tests/unit/test-name
#   tests_unit_test_name_SOURCES = tests/unit/test-name.c
#   tests_unit_test_name_CPPFLAGS = $(TEST_CPPFLAGS)
#   tests_unit_test_name_LDADD = $(TEST_LDADD) libzcp_common.la
