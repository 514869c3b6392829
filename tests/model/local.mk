# SPDX-License-Identifier: MIT
#
# The channel's protocols: models with store buffers, checked by spin (run-models exits 77 where spin is
# missing), and the same races on real hardware (litmus). `tests/model/run-models -x` goes deeper.

EXTRA_DIST += \
	tests/model/attach.pml \
	tests/model/calls.pml \
	tests/model/consumed.pml \
	tests/model/events.pml \
	tests/model/inline.pml \
	tests/model/overrun.pml \
	tests/model/rejoin.pml \
	tests/model/tso.pml \
	tests/model/wake.pml

dist_check_SCRIPTS += tests/model/run-models
TESTS += tests/model/run-models

check_PROGRAMS += tests/model/litmus
TESTS += tests/model/litmus
tests_model_litmus_SOURCES = tests/model/litmus.c
