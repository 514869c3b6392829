#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A program of somebody who uses CMake finds what "make install" puts there, also after the tree was moved, builds against it in C and
# C++, and runs; versions that would not do are refused, with the reason. Needs no router.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

command -v cmake >/dev/null || skip "no cmake"
build=${top_builddir:-.}
[ -e "$build/.libs/libzcp.so" ] || skip "no libzcp.so (configured with --disable-shared?)"

# The flags of the make that runs this test are not for this one.
unset MAKEFLAGS MFLAGS MAKELEVEL
make -s -C "$build" DESTDIR="$dir/installed" install-libLTLIBRARIES install-pkgincludeHEADERS install-cmakeDATA >"$dir/out" 2>&1 || {
	fail "make install: $(cat "$dir/out")"
	exit 1
}
mv "$dir/installed" "$dir/moved"
config=$(find "$dir/moved" -name zcpConfig.cmake)
[ -e "${config%/*}/zcpConfigVersion.cmake" ] || fail "zcpConfigVersion.cmake is not installed beside it"
! grep -q "$dir\|@" "$config" || fail "zcpConfig.cmake has a path, or a word to be replaced"

languages=C
# shellcheck disable=SC2086
! echo '#include <optional>' | ${CXX:-c++} -std=c++17 -fsyntax-only -x c++ - 2>/dev/null || languages="C CXX"

mkdir "$dir/project"
cat >"$dir/project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.10)
project(user LANGUAGES $languages)
set(CMAKE_CXX_STANDARD 17)
find_package(zcp \${wanted} REQUIRED)
find_package(zcp REQUIRED)
add_executable(c-user user.c)
target_link_libraries(c-user PRIVATE zcp::zcp)
if(CMAKE_CXX_COMPILER)
  add_executable(cxx-user user.cpp)
  target_link_libraries(cxx-user PRIVATE zcp::zcp)
endif()
END
cat >"$dir/project/user.c" <<'END'
#include <stdio.h>
#include <zcp/zcp.h>

int main(void)
{
	puts(zcp_version());
	return 0;
}
END
cat >"$dir/project/user.cpp" <<'END'
#include <iostream>
#include <zcp/zcp.hpp>

int main()
{
	zcp::NodeOptions options;

	options.socket_path = "/nowhere/router.sock";
	try {
		zcp::Node node("user", options);
	} catch (const zcp::Error &error) {
		std::cout << zcp::version() << ' ' << error.number() << '\n';
	}
}
END

# configure VERSION: 0 if the package of this version is found
configure() {
	cmake -S "$dir/project" -B "$dir/cmake" -Dzcp_DIR="${config%/*}" -Dwanted="$1" -DCMAKE_C_FLAGS="${SANITIZER_FLAGS:-}" \
		-DCMAKE_CXX_FLAGS="${SANITIZER_FLAGS:-}" >"$dir/out" 2>&1
}
# cmake takes words after the compiler's for its options
export CC="${CC:-cc}" CXX="${CXX:-c++}"
configure 0.1 || {
	fail "cmake: $(cat "$dir/out")"
	exit 1
}
cmake --build "$dir/cmake" >"$dir/out" 2>&1 || fail "cmake --build: $(cat "$dir/out")"

version=$("$zcp" --version | sed 's/.* //')
run 0 "$dir/cmake/c-user"
[ "$(cat "$dir/out")" = "$version" ] || fail "c-user: $(cat "$dir/out")"
if [ "$languages" != C ]; then
	run 0 "$dir/cmake/cxx-user"
	[ "$(cat "$dir/out")" = "$version 2" ] || fail "cxx-user: $(cat "$dir/out")"
fi
grep -rq "$dir/moved" "$dir/cmake/CMakeFiles" || fail "the program does not use what was installed"

# found VERSION, refused VERSION: the same project once more
found() {
	configure "$1" || fail "version $1 is not found: $(cat "$dir/out")"
}
refused() {
	! configure "$1" || fail "version $1 is found, and this is $version"
	grep -q "zcpConfig.cmake, version: $version" "$dir/out" || fail "version $1: $(cat "$dir/out")"
}
found "$version"
found "$version;EXACT"
found 0.1...0.99
refused 0.99
refused 0.0.9
refused 1.0
refused "0.0.1...<$version"

# what is not whole is not found, and it says what is missing
rm "$(find "$dir/moved" -name zcp.h)"
! configure 0.1 || fail "found without zcp.h"
tr -s ' \n' ' ' <"$dir/out" | grep -q 'zcp.h is missing' || fail "without zcp.h: $(cat "$dir/out")"

finish
