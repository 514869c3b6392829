#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp as it is installed: everything below DESTDIR, what a user writes is compiled against that by pkg-config, and runs with the
# installed router, started by a service manager; after uninstalling nothing is left. With ZCP_TEST_PREFIX, which has to be the prefix
# that was configured and must not exist, the same without DESTDIR.

# Names of installed files have no spaces.
# shellcheck disable=SC2013,SC2044

set -u
: "${top_srcdir:=.}" "${top_builddir:=.}" "${CC:=cc}" "${CXX:=c++}" "${SANITIZER_FLAGS:=}"
tests=$top_srcdir/tests/integration
failures=0
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' INT TERM HUP

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

die() {
	fail "$@"
	exit 1
}

command -v systemd-socket-activate >/dev/null || { echo "SKIP: no systemd-socket-activate (Debian: systemd)" >&2; exit 77; }

# A make of its own, whatever runs us.
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
if [ -n "${ZCP_TEST_PREFIX:-}" ]; then
	root=$ZCP_TEST_PREFIX destdir=
	[ ! -e "$root" ] || die "$root exists already"
else
	root=$work/root destdir=$root
	PKG_CONFIG_SYSROOT_DIR=$root
	export PKG_CONFIG_SYSROOT_DIR
fi

# installing TARGET...: the build is there; that of a distribution may ask for more than what gets installed
installing() {
	make -C "$top_builddir" "$@" DESTDIR="$destdir" >"$work/make" 2>&1 || die "make $*: $(tail -n 20 "$work/make")"
}

# the NAME: where it was installed, under that path
the() {
	found=$(find "$root" -path "*/$1")
	[ "$(printf '%s' "$found" | grep -c .)" -eq 1 ] || fail "not one $1 is installed: $found"
	printf '%s\n' "$found"
}

installing install-exec install-data
bin=$(dirname "$(the bin/zcp)")
lib=$(dirname "$(the libzcp.so.0)")
examples=$(the doc/zcp/examples)
pages=$(dirname "$(dirname "$(the man7/zcp.7)")")
PKG_CONFIG_PATH=$(dirname "$(the pkgconfig/zcp.pc)")
LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH
# where /usr is the prefix, too
PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
for file in bin/zcp-router include/zcp/zcp.h system/zcp-router.service system/zcp-router.socket user/zcp-router.service user/zcp-router.socket \
	sysusers.d/zcp.conf tmpfiles.d/zcp.conf examples/router.conf man8/zcp-router.8 include/zcp/zcp.hpp man7/zcp-cxx.7 \
	cmake/zcp/zcpConfig.cmake cmake/zcp/zcpConfigVersion.cmake bash-completion/completions/zcp bash-completion/completions/zcp-router \
	zsh/site-functions/_zcp; do
	the "$file" >/dev/null
done
[ $failures -eq 0 ] || exit 1

# ---- what is installed knows nothing of where it was built ----

version=$(pkg-config --modversion zcp)
[ "zcp $version" = "$("$bin/zcp" --version | head -n 1)" ] || fail "zcp.pc says $version, zcp --version $("$bin/zcp" --version)"
# -I: debuggers may know where the sources are
(cd "$top_builddir" && pwd -P) >"$work/build"
for file in $(grep -rlIF -f "$work/build" "$root"); do
	fail "$file has the path of the build in it"
done
for file in "$bin"/* "$lib"/libzcp.so.0; do
	case $(LC_ALL=C readelf -d "$file") in
	*PATH*) fail "$file looks for libraries in: $(LC_ALL=C readelf -d "$file" | grep PATH)" ;;
	esac
done
for unit in $(find "$root" -name zcp-router.service); do
	path=$(sed -n 's/^ExecStart=//p' "$unit")
	[ "$destdir$path" = "$bin/zcp-router" ] || fail "$unit starts $path"
done

# Pages that are links have somewhere to go.
for page in $(grep -lr '^\.so ' "$pages"); do
	to=$(sed -n 's/^\.so //p' "$page")
	[ -s "$pages/$to" ] || fail "${page##*/} leads to $to, which is not installed"
done

# ---- each file has a Debian package: what is in none keeps them from being made ----

prefix=$(dirname "$bin")
if [ "$lib" = "$prefix/lib" ]; then
	# without where Debian has a directory more, or another one
	# shellcheck disable=SC2016
	sed 's/[[:space:]].*//; s|^${env:UNITS}|usr/lib/systemd/system|; s|^usr/lib/\*/|usr/lib/|' "$top_srcdir"/scripts/debian/*.install \
		"$top_srcdir/scripts/debian/not-installed" >"$work/patterns"
	find "$prefix" ! -type d | sed "s|^$prefix/|usr/|; s|^usr/lib/python3[^/]*/|usr/lib/python3/|" >"$work/files"
	while read -r file; do
		packaged=
		while read -r pattern; do
			# shellcheck disable=SC2254
			case $file in $pattern | $pattern/*) packaged=yes ;; esac
		done <"$work/patterns"
		[ -n "$packaged" ] || fail "$file is in no scripts/debian/*.install"
	done <"$work/files"
fi

# ---- a stranger's program, without our flags ----

# Whatever the sanitizers want is the only thing that is added.
wanted="$SANITIZER_FLAGS"
cat >"$work/user.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <zcp/zcp.h>

int main(int argc, char **argv)
{
	struct zcp_node_options options = { .sz = sizeof(options), .socket_path = argv[argc - 1] };
	zcp_node *node = NULL;
	int r = zcp_node_open(&node, "user", &options);

	printf("%d: %s\n", r, r < 0 ? zcp_last_error() : "connected");
	zcp_node_close(node);
	return r < 0;
}
END
# shellcheck disable=SC2046,SC2086
$CC -std=c11 -Wall -Wextra -Werror $wanted -o "$work/user" "$work/user.c" $(pkg-config --cflags --libs zcp) 2>"$work/cc" ||
	die "a program does not compile with $(pkg-config --cflags --libs zcp): $(cat "$work/cc")"
"$work/user" /nonexistent/router.sock >"$work/said"
grep -q "^-.*no router at /nonexistent/router.sock" "$work/said" || fail "it says: $(cat "$work/said")"

# ---- the examples, with their own Makefile, somewhere else ----

cp -R "$examples" "$work/examples" || exit 99
programs=$(sed -n '/^programs =/,/[^\\]$/p' "$work/examples/Makefile" | sed 's/^programs =//; s/\\$//' | tr -s '\t\n' ' ')
if ! command -v "${CXX%% *}" >/dev/null || [ ! -e "$(dirname "$(the zcp/zcp.h)")/zcp.hpp" ]; then
	programs=$(echo "$programs" | sed 's/[a-z-]*-cxx//')
fi
for source in "$work"/examples/*.c; do
	case " $programs " in *" $(basename "$source" .c) "*) ;; *) fail "the examples' Makefile does not make $(basename "$source" .c)" ;; esac
done
# shellcheck disable=SC2086
make -C "$work/examples" CC="$CC" CXX="$CXX" CFLAGS="-O2 -Wall -Werror $wanted" CXXFLAGS="-O2 -Wall -Werror $wanted" $programs >"$work/make" 2>&1 ||
	fail "the installed examples do not compile: $(tail -n 20 "$work/make")"

# ---- they run, and so do those of the manual, with a router that a service manager starts at the first connection ----

cat >"$work/activated-router" <<END
#!/bin/sh
[ \$# -eq 1 ] && [ "\$1" = --quiet ] || { echo "activated-router: called with \$*" >&2; exit 2; }
exec systemd-socket-activate --seqpacket -l "\$ZCP_ROUTER" -E ASAN_OPTIONS="\${ASAN_OPTIONS-}" -E TSAN_OPTIONS="\${TSAN_OPTIONS-}" \\
	"$bin/zcp-router" "\$@"
END
chmod +x "$work/activated-router"
if [ $failures -eq 0 ]; then
	for test in test-examples test-man-examples; do
		ZCP_BIN=$bin/zcp ZCP_ROUTER_BIN=$work/activated-router ZCP_TEST_EXAMPLES=$work/examples ZCP_TEST_PACKAGE=zcp \
			sh "$tests/$test.sh" >"$work/said" 2>&1 || fail "$test.sh with what is installed: $(cat "$work/said")"
	done
fi

# ---- nothing is left ----

installing uninstall
left=$(find "$root" ! -type d)
[ -z "$left" ] || fail "uninstalling leaves: $left"
# below the prefix, which may have any name itself
left=$(find "$(dirname "$bin")" -mindepth 1 -type d -name '*zcp*')
[ -z "$left" ] || fail "uninstalling leaves directories: $left"
[ -z "${ZCP_TEST_PREFIX:-}" ] || rm -rf "$root"

[ $failures -eq 0 ] || exit 1
echo "ok"
