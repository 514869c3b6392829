#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp-protocol(7) has every message, struct, field and constant of the protocol, with the numbers that the code has, and no other ones.
# The page's tables come out of protocol-page as a list; from that a program is made that the compiler checks against the headers.
# The other way round, what the preprocessor says of the headers has to be in the list.

set -u
: "${top_srcdir:=.}" "${CC:=cc}"
page=$top_srcdir/man/zcp-protocol.7
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

"$top_srcdir/tests/integration/protocol-page" list "$page" >"$dir/list" || fail "the tables of the page do not make sense"

cat >"$dir/headers.h" <<'END'
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include "channel/counters.h"
#include "channel/geometry.h"
#include "channel/layout.h"
#include "common/directory.h"
#include "common/wire.h"
#include "lib/exchange.h"
END

# $CC may hold options, so it is split on purpose.
# shellcheck disable=SC2086
compiler() {
	$CC -D_GNU_SOURCE -I"$top_srcdir/src" -I"$top_srcdir/include" "$@"
}

# c_struct NAME: what the code calls a struct of the page
c_struct() {
	case $1 in
	type) echo wire_type_info ;;
	geometry | pool | attached | counts | slot | lane) echo "channel_$1" ;;
	channel_header | lane_page_header | lane_counts | call_header | node_page | directory_*) echo "$1" ;;
	writer_gone | lane_gone) echo wire_gone ;;
	segment_resume) echo wire_segment_grow ;;
	segment_ready | segment_return) echo wire_segment_extra ;;
	segment_withdrawn) echo wire_segment_shared ;;
	*) echo "wire_$1" ;;
	esac
}

# ---- what the code says ----

compiler -E -dM "$dir/headers.h" | sed -n 's/^#define \([A-Z_]*\) .*/\1/p' |
	grep -E '^(WIRE|CHANNEL|REF|EXTRAS?|DIRECTORY|NODE_PAGE|LANES?_|SLOT|HELD|CALL|COUNTERS|GEOMETRY)' |
	grep -Ev '_FLAGS$|^WIRE_SEND_BYTES$|^WIRE_SEND_MORE_BYTES$|^COUNTERS_PER_SLOT$|^LANE_PINS_FIRST$' >"$dir/constants"
compiler -E -P "$dir/headers.h" >"$dir/code"
awk '/^enum (wire|directory)[a-z_]* {/ { on = 1; next } on && /^}/ { on = 0 } on { print $1 }' "$dir/code" >"$dir/enums"
grep -E '^WIRE_' "$dir/enums" >>"$dir/constants"
[ "$(wc -l <"$dir/constants")" -gt 100 ] || fail "found hardly a constant in the headers"

# "STRUCT FIELD" of each. A declarator is what is left before its comma or semicolon, without what stands around it.
awk '
	/^struct (wire|channel|lane_page|lane_counts|directory|node_page|call)[a-z_]* {/ { name = $2; next }
	/^}/ { name = "" }
	name != "" && /;$/ {
		gsub(/_Alignas *\([0-9]*\)|_Atomic|\[[^]]*\]|;/, " ")
		n = split($0, part, ",")
		for (i = 1; i <= n; i++) { k = split(part[i], word, " "); print name, word[k] }
	}' "$dir/code" | grep -Ev '^(directory_view|directory_row|channel_writer|channel_reader|channel_message) ' | sort -u >"$dir/fields"
[ "$(wc -l <"$dir/fields")" -gt 200 ] || fail "found hardly a field in the headers"

# ---- the page against it ----

{
	cat "$dir/headers.h"
	echo 'int main(void) { int status = 0, n = 0;'
	while read -r kind name a b c; do
		case $kind in
		struct)
			echo "static_assert(sizeof(struct $(c_struct "$name")) == $a, \"$name has $a bytes\");"
			;;
		field)
			s=$(c_struct "$name")
			echo "static_assert(offsetof(struct $s, $a) == $b, \"$name.$a is at $b\");"
			[ "$c" -eq 0 ] || echo "static_assert(sizeof(((struct $s *)NULL)->$a) == $c, \"$name.$a has $c bytes\");"
			;;
		message)
			echo "static_assert(WIRE_$name == $a, \"$name is type $a\");"
			echo "if (wire_size($a) != $b || wire_fds($a) != $c) { puts(\"$name: the code has other bytes or descriptors\"); status = 1; }"
			;;
		constant)
			grep -qx "WIRE_$name" "$dir/constants" && name=WIRE_$name
			echo "static_assert((uint64_t)$name == $a, \"$name is $a\");"
			;;
		esac
	done <"$dir/list"
	echo "for (uint32_t type = 0; type < 65536; type++) n += wire_size(type) != 0;"
	echo "if (n != $(grep -c '^message' "$dir/list")) { printf(\"the code has %d messages\", n); status = 1; }"
	echo 'return status; }'
} >"$dir/check.c"
if compiler -o "$dir/check" "$dir/check.c" "$top_srcdir/src/common/wire.c" >"$dir/cc" 2>&1; then
	"$dir/check" >"$dir/out" || fail "$(cat "$dir/out")"
else
	fail "the page has other numbers than the code: $(grep -E 'error:' "$dir/cc")"
fi

# ---- it against the page ----

while read -r name; do
	grep -Eq "^(constant|message) (WIRE_)?${name#WIRE_} " "$dir/list" || fail "the page has no $name"
done <"$dir/constants"
while read -r kind name a _; do
	[ "$kind" != field ] || echo "$(c_struct "$name") $a"
done <"$dir/list" | sort -u >"$dir/known"
comm -23 "$dir/fields" "$dir/known" >"$dir/missing"
while read -r name field; do
	fail "the page has no field $field of struct $name"
done <"$dir/missing"

# What is in the text.
version() {
	compiler -E -dM "$dir/headers.h" | sed -n "s/^#define $1 \([0-9]*\)u*$/\1/p"
}
grep -q "protocol version $(version WIRE_VERSION) with channels of version $(version CHANNEL_VERSION)," "$page" ||
	fail "the page speaks of other versions in its text"

[ $failures -eq 0 ] || exit 1
echo "$(grep -c '^message' "$dir/list") messages, $(wc -l <"$dir/fields") fields, $(wc -l <"$dir/constants") constants agree"
