# SPDX-License-Identifier: MIT
# Programs that scripts measure with: built when asked for.

EXTRA_PROGRAMS = tests/bench/flow
CLEANFILES += $(EXTRA_PROGRAMS)

tests_bench_flow_SOURCES = tests/bench/flow.c
tests_bench_flow_LDADD = libzcp.la
