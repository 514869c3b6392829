#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The examples of zcp-cxx(7) and in README.md compile with a user's flags; those of the page do what they say.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

library=${top_builddir:-.}/.libs/libzcp.so
[ -e "$library" ] || skip "no $library"
# shellcheck disable=SC2086
echo '#include <optional>' | ${CXX:-c++} -std=c++17 ${SANITIZER_FLAGS:-} -fsyntax-only -x c++ - 2>/dev/null || skip "no C++17 compiler"

awk -v to="$dir/example" '
	/^\.Sh / { on = $2 == "EXAMPLES" }
	/^\.Ed/ { block = 0 }
	on && block { gsub(/\\e/, "\\"); gsub(/\\&/, ""); print >(to n ".cpp") }
	on && /^\.Bd -literal/ { block = 1; n++ }
' "${top_srcdir:-.}/man/zcp-cxx.7"
awk -v to="$dir/exampleREADME.cpp" '/^```/ { block = 0 } block { print >to } /^```cpp$/ { block = 1 }' "${top_srcdir:-.}/README.md"
for n in 1 2 README; do
	# shellcheck disable=SC2086
	${CXX:-c++} -std=c++17 -Wall -Wextra -Werror -pedantic ${SANITIZER_FLAGS:-} -I"${top_srcdir:-.}/include" -o "$dir/example$n" \
		"$dir/example$n.cpp" "$library" -pthread -Wl,-rpath,"$(cd "${library%/*}" && pwd)" >"$dir/cxx" 2>&1 ||
		fail "example $n does not compile: $(cat "$dir/cxx")"
done
[ ! -e "$dir/example3.cpp" ] || fail "zcp-cxx(7) has an example that is not tested"
[ $failures -eq 0 ] || exit 1

start_router
background map "$dir/example2"
map=$pid
wait_for 10 endpoints server 1 || fail "the second example does not open: $(cat "$dir/map.err")"
run 0 "$dir/example1"
grep -q '^1 subscribers$' "$dir/out" || fail "the first example: $(cat "$dir/out")"
wait_for 10 grep -q '^at 1.5 -2$' "$dir/map.out" || fail "the second example: $(cat "$dir/map.out" "$dir/map.err")"
[ "$(timeout 60 "$zcp" call --raw robot/1/where '?' | od -An -t f8 | tr -s ' ')" = ' 1.5 -2' ] || fail "the second example does not answer"
kill -TERM $map
ends 15 $map

finish
