# SPDX-License-Identifier: MIT
# The CMake package: find_package(zcp) for those who have been installed beside us. Made by make and not by configure, as it depends on
# how $(includedir) lies to $(libdir), which "make install libdir=..." may say.

CMAKE_PACKAGE = cmake/zcpConfig.cmake cmake/zcpConfigVersion.cmake
cmakedir = $(libdir)/cmake/zcp
cmake_DATA = $(CMAKE_PACKAGE)
CLEANFILES += $(CMAKE_PACKAGE)
EXTRA_DIST += cmake/zcpConfig.cmake.in cmake/zcpConfigVersion.cmake.in

$(CMAKE_PACKAGE): Makefile
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)path=`realpath -m -s --relative-to='$(libdir)' '$(includedir)'` && \
	$(SED) -e 's|@PACKAGE_VERSION[@]|$(PACKAGE_VERSION)|' -e "s|@includedir_from_libdir[@]|$$path|" $(srcdir)/$@.in >$@.tmp && mv $@.tmp $@
cmake/zcpConfig.cmake: $(srcdir)/cmake/zcpConfig.cmake.in
cmake/zcpConfigVersion.cmake: $(srcdir)/cmake/zcpConfigVersion.cmake.in
