#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp-router(8) names every option that --help names, with the same default, and none that does not exist; zcp-router.conf(5) every
# setting of the example file, which test-zcp-info.sh compares with the router, and every option that has a value. The router itself
# knows each of these keys, in the section the page says.

set -eu
: "${top_srcdir:=.}"
page=$top_srcdir/man/zcp-router.8
conf_page=$top_srcdir/man/zcp-router.conf.5
example=$top_srcdir/src/examples/router.conf
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0
help=$("$ZCP_ROUTER_BIN" --help)

fail() {
	echo "FAIL: $*"
	status=1
}

item() { # OPTION: the text of its entry
	awk -v name="$1" '
		$1 == ".It" { on = 0; for (i = 2; i <= NF; i++) if ($i == "\\-" name) on = 1; next }
		$1 == ".El" { on = 0 }
		on { print }' "$page"
}

conf_item() { # SECTION KEY: the text of its entry
	awk -v section="[$1]" -v key="$2" '
		$1 == ".Ss" { current = $2 }
		$1 == ".It" { on = current == section && $2 == "Cm" && $3 == key; next }
		$1 == ".El" { on = 0 }
		on { print }' "$conf_page"
}

# ---- options ----

for option in $(printf '%s\n' "$help" | grep -o -- '--[a-z-]*' | sort -u); do
	name=${option#--}
	text=$(item "$name")
	[ -n "$text" ] || { fail "$option has no entry in zcp-router.8"; continue; }
	case $name in
	help | quiet | verbose) ;;	# by their letters
	*) sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/p' "$page" | grep -q "\\\\-$name\( \|\$\)" || fail "$option is not in the SYNOPSIS" ;;
	esac
	default=$(printf '%s\n' "$help" | sed -n "s/^ .*$option[[ ].*\[\([0-9]*G*\)\]\$/\1/p")
	[ -z "$default" ] || printf '%s\n' "$text" | grep -Eq "(^|[^0-9])$default([ ,]|$)" || fail "$option: the default is $default, the page says: $text"
done
for name in $(sed -n 's/^\.It .*Fl \\-\([a-z-]*\).*/\1/p' "$page"); do
	case $name in
	pass-rights | bpf-ring-bytes) item "$name" | grep -qi 'for tests' || fail "--$name is not in --help, and the page does not say that it is for tests" ;;
	*) printf '%s\n' "$help" | grep -q -- "--$name" || fail "zcp-router.8 has --$name, --help does not" ;;
	esac
done

# ---- router.conf ----

sed -n 's/^\[\(.*\)\]$/section \1/p; s/^#\([a-z-]*\) = \(.*\)/\1 \2/p' "$example" |
	awk '$1 == "section" { section = $2; next } { print section, $1, $2 }' >"$dir/example"
[ "$(wc -l <"$dir/example")" -gt 15 ] || fail "the example has hardly a setting"
while read -r section key value; do
	text=$(conf_item "$section" "$key")
	[ -n "$text" ] || { fail "zcp-router.conf.5 has no $key in [$section]"; continue; }
	printf '%s\n' "$text" | tr '\n' ' ' | grep -Eq "(default|seven eighths).*[^0-9]$value([ .]|$)" || fail "$key is $value by default, the page says: $text"
done <"$dir/example"

awk '$1 == ".Ss" { section = $2; gsub(/[][]/, "", section) } $1 == ".It" && $2 == "Cm" { print section, $3 }' "$conf_page" >"$dir/keys"
built_in=yes
"$ZCP_ROUTER_BIN" --config /dev/null --heartbeat-timeout-ms 1 2>&1 | grep -q inih && built_in=
while read -r section key; do
	[ "$key" = max-fds-per-uid ] || grep -q "^$section $key " "$dir/example" || fail "the example has no $key in [$section]"
	[ -n "$built_in" ] || continue
	printf '[%s]\n%s =\n' "$section" "$key" >"$dir/router.conf"
	said=$("$ZCP_ROUTER_BIN" --config "$dir/router.conf" 2>&1) && fail "an empty $key is taken"
	printf '%s\n' "$said" | grep -q "router.conf:2: $key takes " || fail "zcp-router.conf.5 has $key in [$section], the router says: $said"
done <"$dir/keys"

# The page's own example. A timeout that makes no sense is complained of after the file is read, so that no router is left running.
awk '/^\.Sh / { on = $2 == "EXAMPLES" } /^\.Ed/ { block = 0 } on && block { print } /^\.Bd -literal/ { block = 1 }' "$conf_page" >"$dir/example.conf"
grep -q '^\[limits\]$' "$dir/example.conf" || fail "zcp-router.conf.5 has no example"
if [ -n "$built_in" ]; then
	said=$("$ZCP_ROUTER_BIN" --config "$dir/example.conf" --heartbeat-timeout-ms 1 2>&1) && fail "a timeout of 1 ms is taken"
	case $said in
	*example.conf:[0-9]*) fail "the example of zcp-router.conf.5 is refused: $said" ;;
	esac
fi

# What can be set on the command line can be set in the file.
for option in $(printf '%s\n' "$help" | sed -n 's/^  --\([a-z-]*\) .*/\1/p'); do
	key=${option#heartbeat-}
	case $option in
	config | detectors | any-directory) continue ;;
	no-bpf) key=bpf ;;
	esac
	grep -q " $key\$" "$dir/keys" || fail "--$option has no key in zcp-router.conf.5"
done
[ $status -ne 0 ] || echo "$(wc -l <"$dir/keys") keys agree"
exit $status
