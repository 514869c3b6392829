#!/bin/sh
# SPDX-License-Identifier: MIT
#
# `make install-man` brings a page for every exported name and every command, which man(1) finds, and `make uninstall-man` takes all of
# it away again.

set -u
: "${top_srcdir:=.}" "${top_builddir:=.}"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

# of the make that runs this: its options are for its own targets
unset MAKEFLAGS MFLAGS MAKELEVEL
make=${MAKE:-make}
$make -s -C "$top_builddir" install-man DESTDIR="$dir/root" >"$dir/out" 2>&1 || fail "make install-man: $(tail -n 5 "$dir/out")"
pages=$(find "$dir/root" -type d -name man3)
[ -n "$pages" ] || { fail "make install-man has made no man3"; exit 1; }
tree=${pages%/man3}

# What a page is for: its own NAME says so, also where a link leads to it.
check() { # SECTION NAME
	page=$tree/man$1/$2.$1
	if [ ! -f "$page" ]; then
		fail "$2($1) is not installed"
		return
	fi
	target=$(sed -n 's/^\.so //p' "$page")
	[ -z "$target" ] || page=$tree/$target
	grep -q "^\.Nm $2\( ,\)*\$" "$page" 2>/dev/null || fail "$2($1) leads to ${page#"$tree/"}, which is not about it"
}
n=0
for symbol in $(sed -n 's/^[[:space:]]*\(zcp_[a-z0-9_]*\);.*/\1/p' "$top_srcdir/src/lib/libzcp.map"); do
	check 3 "$symbol"
	n=$((n + 1))
done
[ $n -gt 50 ] || fail "found hardly a symbol in libzcp.map"
for page in "$top_srcdir"/man/*.[1-8]; do
	name=$(basename "$page")
	case $name in
	zcp-trace.1) [ -x "$top_builddir/zcp-trace" ] || continue ;;
	esac
	check "${name##*.}" "${name%.*}"
done

# As a user asks for it. In place of man(1) a container may have a script that says why there is none.
if command -v man >/dev/null && ! grep -q minimized "$(command -v man)"; then
	MANPAGER=cat PAGER=cat man -M "$tree" 3 zcp_sample_release >"$dir/page" 2>&1
	grep -q 'give them' "$dir/page" || fail "man zcp_sample_release: $(head -n 5 "$dir/page")"
fi

$make -s -C "$top_builddir" uninstall-man DESTDIR="$dir/root" >"$dir/out" 2>&1 || fail "make uninstall-man: $(tail -n 5 "$dir/out")"
left=$(find "$dir/root" ! -type d)
[ -z "$left" ] || fail "make uninstall-man leaves: $left"

[ $failures -eq 0 ] || exit 1
echo "$n functions have their pages"
