# SPDX-License-Identifier: MIT
#
# Conventions of the tests:
#  - a program goes to check_PROGRAMS and TESTS, is named tests/<kind>/test-<file it tests>, and links
#    $(TEST_LDADD); it is a `check` suite in forked mode whose main is run_suite() of tests/harness.h;
#  - exit status 77 means skipped, with the reason printed;
#  - programs that are useful under ThreadSanitizer go to TSAN_TESTS too;
#  - a test that starts the router takes its path from $ZCP_ROUTER_BIN, the tool from $ZCP_BIN.

AM_TESTS_ENVIRONMENT = \
	ZCP_ROUTER_BIN='$(abs_top_builddir)/zcp-router'; export ZCP_ROUTER_BIN; \
	ZCP_BIN='$(abs_top_builddir)/zcp'; export ZCP_BIN; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	CC='$(CC)'; export CC; \
	SANITIZER_FLAGS='$(SANITIZER_FLAGS)'; export SANITIZER_FLAGS; \
	PYTHON='$(PYTHON)'; export PYTHON; \
	CXX='$(CXX)'; export CXX; \
	ASAN_OPTIONS="$${ASAN_OPTIONS-detect_leaks=1}"; export ASAN_OPTIONS; \
	UBSAN_OPTIONS="$${UBSAN_OPTIONS-print_stacktrace=1}"; export UBSAN_OPTIONS; \
	TSAN_OPTIONS="$${TSAN_OPTIONS-halt_on_error=1}"; export TSAN_OPTIONS; \
	unset ZCP_ROUTER;

TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(CHECK_CFLAGS)
TEST_LDADD = tests/libtest_harness.la $(CHECK_LIBS)

if HAVE_CHECK
check_LTLIBRARIES += tests/libtest_harness.la

tests_libtest_harness_la_SOURCES = tests/harness.c tests/harness.h
tests_libtest_harness_la_CPPFLAGS = $(TEST_CPPFLAGS)

# After the quick ones the long ones, so that the many of middling length run beside them.
include tests/unit/local.mk
include tests/kernel/local.mk
include tests/faults/local.mk
include tests/crash/local.mk
include tests/integration/local.mk
else
check-local: check-is-missing
check-is-missing:
	@echo "make check needs the 'check' unit test framework, which configure did not find." >&2
	@echo "Debian: apt-get install check libsubunit-dev (or scripts/bootstrap), then configure again." >&2
	@false
endif
include tests/python/local.mk
include tests/model/local.mk
include tests/bench/local.mk

# Only cheap and self-contained checks: the exported symbols against the map, and the header on its own.
dist_check_SCRIPTS += tests/abi-unchanged tests/exported-symbols tests/header-alone tests/probes-there
TESTS += tests/abi-unchanged tests/exported-symbols tests/header-alone tests/probes-there
EXTRA_DIST += abi/constants abi/libzcp-x86_64.abi tests/booted-packages

# What the library is from now on compared with: for a release, or a change that is meant.
abi-update: libzcp.la
	top_srcdir='$(srcdir)' CC='$(CC)' SANITIZER_FLAGS='$(SANITIZER_FLAGS)' $(srcdir)/tests/abi-unchanged --update

# ThreadSanitizer wants the low-entropy address layout (vm.mmap_rnd_bits > 28 kills gcc 12's runtime).
tsan-programs: zcp$(EXEEXT) zcp-router$(EXEEXT) $(TSAN_TESTS:=$(EXEEXT))
check-tsan: tsan-programs
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(TSAN_TESTS)' LOG_COMPILER='$(SETARCH) -R'

# All but the models and the litmus runs, which say the same whatever compiled the code, and but what EXCEPT matches.
EXCEPT = ^$$
list-tests:
	@echo $(TESTS) | tr ' ' '\n' | grep -v -e '$(EXCEPT)' | tr '\n' ' '

check-code:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="`echo $(TESTS) | tr ' ' '\n' | grep -v '^tests/model/' | grep -v -e '$(EXCEPT)' | tr '\n' ' '`"

# The archive on a fresh Debian, each of those that we promise to work on: other compilers, libbpf and liburing. Needs root and
# debootstrap; says so without them.
CHROOT_SUITES = bookworm trixie
torture-chroot: dist
	for suite in $(CHROOT_SUITES); do \
		$(srcdir)/scripts/check-chroot --suite $$suite $(CHROOT_OPTIONS) $(distdir).tar.xz || test $$? -eq 77 || exit 1; \
	done
# The packages where systemd runs.
torture-boot: deb
	$(srcdir)/scripts/check-chroot $(CHROOT_OPTIONS) --boot deb || test $$? -eq 77
CHROOT_OPTIONS =
TORTURES += torture-chroot torture-boot

# What takes hours, or another system.
torture: $(TORTURES)

.PHONY: abi-update list-tests check-code check-tsan tsan-programs check-is-missing torture $(TORTURES)
