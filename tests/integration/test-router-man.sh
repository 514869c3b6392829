#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp-router(8) names every option that --help names, with the same default, and none that does not exist.

set -eu
: "${top_srcdir:=.}"
page=$top_srcdir/man/zcp-router.8
status=0
help=$("$ZCP_ROUTER_BIN" --help)

item() { # OPTION: the text of its entry
	awk -v name="$1" '
		$1 == ".It" { on = 0; for (i = 2; i <= NF; i++) if ($i == "\\-" name) on = 1; next }
		$1 == ".El" { on = 0 }
		on { print }' "$page"
}

fail() {
	echo "FAIL: $*"
	status=1
}

for option in $(printf '%s\n' "$help" | grep -o -- '--[a-z-]*' | sort -u); do
	name=${option#--}
	text=$(item "$name")
	[ -n "$text" ] || { fail "$option has no entry in zcp-router.8"; continue; }
	default=$(printf '%s\n' "$help" | sed -n "s/^ .*$option[[ ].*\[\([0-9]*G*\)\]\$/\1/p")
	[ -z "$default" ] || printf '%s\n' "$text" | grep -Eq "(^|[^0-9])$default( |$)" || fail "$option: the default is $default, the page says: $text"
done
for name in $(sed -n 's/^\.It .*Fl \\-\([a-z-]*\).*/\1/p' "$page"); do
	[ "$name" = config ] && continue
	[ "$name" = pass-rights ] && continue
	printf '%s\n' "$help" | grep -q -- "--$name" || fail "zcp-router.8 has --$name, --help does not"
done
exit $status
