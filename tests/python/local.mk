# SPDX-License-Identifier: MIT
# The Python module against a real router. tests/python/run sets up where module and library are.

python_tests = \
	tests/python/test_aio.py \
	tests/python/test_call.py \
	tests/python/test_examples.py \
	tests/python/test_header.py \
	tests/python/test_memory.py \
	tests/python/test_others.py \
	tests/python/test_pubsub.py \
	tests/python/test_signals.py

EXTRA_DIST += \
	$(python_tests) \
	tests/python/run \
	tests/python/support.py

TEST_EXTENSIONS = .py
if HAVE_PYTHON
PY_LOG_COMPILER = $(top_srcdir)/tests/python/run
TESTS += $(python_tests)
endif
