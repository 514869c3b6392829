# SPDX-License-Identifier: MIT
# The Python module: a package in pure Python, and zcp/_abi.py, which is derived from the header. In the build directory it is whole, so
# that PYTHONPATH=bindings/python does.

python_modules = \
	bindings/python/zcp/__init__.py \
	bindings/python/zcp/_ffi.py \
	bindings/python/zcp/_handle.py \
	bindings/python/zcp/_loan.py \
	bindings/python/zcp/_memory.py \
	bindings/python/zcp/_message.py \
	bindings/python/zcp/_sleepers.py \
	bindings/python/zcp/_taker.py \
	bindings/python/zcp/aio.py \
	bindings/python/zcp/client.py \
	bindings/python/zcp/errors.py \
	bindings/python/zcp/events.py \
	bindings/python/zcp/names.py \
	bindings/python/zcp/node.py \
	bindings/python/zcp/publisher.py \
	bindings/python/zcp/server.py \
	bindings/python/zcp/subscriber.py \
	bindings/python/zcp/waitset.py \
	bindings/python/zcp/watch.py \
	bindings/python/zcp/py.typed

python_examples = \
	bindings/python/examples/calculator_async.py \
	bindings/python/examples/frames.py \
	bindings/python/examples/hello_pub.py \
	bindings/python/examples/hello_sub.py

python_abi = bindings/python/zcp/_abi.py

EXTRA_DIST += \
	$(python_modules) \
	$(python_examples) \
	bindings/python/make-abi

if HAVE_PYTHON
pythonpackagedir = $(pythondir)/zcp
pythonpackage_DATA = $(python_modules)
nodist_pythonpackage_DATA = $(python_abi)
pythonexamplesdir = $(docdir)/python-examples
pythonexamples_DATA = $(python_examples)
noinst_DATA += bindings/python/whole
CLEANFILES += $(python_abi)

$(python_abi): $(srcdir)/include/zcp/zcp.h $(srcdir)/bindings/python/make-abi Makefile
	$(AM_V_GEN)$(MKDIR_P) bindings/python/zcp && \
	PYTHONDONTWRITEBYTECODE=1 '$(PYTHON)' $(srcdir)/bindings/python/make-abi $(srcdir)/include/zcp/zcp.h '$(libdir)/libzcp.so.0' $@.tmp >/dev/null && \
	mv $@.tmp $@

# Outside of the source tree: links to the modules there.
bindings/python/whole: $(python_abi) $(python_modules) Makefile
	$(AM_V_at)for module in $(python_modules); do \
		test -e $$module || ln -s -f '$(abs_top_srcdir)'/$$module $$module || exit 1; \
	done; touch $@

# What Python has compiled meanwhile is nobody else's.
UNINSTALL_HOOKS += uninstall-python
uninstall-python:
	rmdir '$(DESTDIR)$(pythonexamplesdir)' 2>/dev/null; \
	cd '$(DESTDIR)$(pythonpackagedir)' 2>/dev/null || exit 0; \
	for module in $(python_modules) $(python_abi); do \
		name=`basename $$module .py`; rm -f __pycache__/$$name.cpython-*.pyc; \
	done; \
	rmdir __pycache__ 2>/dev/null; cd .. && rmdir zcp 2>/dev/null; :

# Also what is left of modules that are no more.
clean-local: clean-python
clean-python:
	rm -rf bindings/python/zcp/__pycache__
	rm -f bindings/python/whole
	test '$(srcdir)' = . || rm -f $(python_modules)
endif
