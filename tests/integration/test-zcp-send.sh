#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp send: one message from an argument or from standard input, to as many as there are, with or without a router.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

# it starts a router, and says nothing
run 0 "$zcp" send test/send/text hello
[ -s "$dir/out" ] || [ -s "$dir/err" ] && fail "it says something: $(cat "$dir/out" "$dir/err")"
[ -n "$(router_pid)" ] || fail "no router was started"

# from an argument, from standard input
background sub "$zcp" sub --json --count 5 test/send/text
sub=$pid
wait_for 10 endpoints subscriber 1 || fail "no subscriber"
run 0 "$zcp" send test/send/text one
run 0 "$zcp" send --verbose test/send/text two
grep -q '^zcp: reached 1 subscriber of test/send/text$' "$dir/err" || fail "--verbose: $(cat "$dir/err")"
run 0 "$zcp" send --expect 1 test/send/text ""
run 1 "$zcp" send -e 2 test/send/text -- --four
grep -q '^zcp: 1 of 2 subscribers reached$' "$dir/err" || fail "--expect 2: $(cat "$dir/err")"
[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "--expect 2: not one line"
printf 'five\n' | timeout 20 "$zcp" send test/send/text || fail "standard input: status $?"
ends 20 $sub
[ $status -eq 0 ] || fail "sub: status $status: $(cat "$dir/sub.err")"
sed 's/.*"data":"\([^"]*\)".*/\1/' "$dir/sub.out" >"$dir/got"
printf 'one\ntwo\n\n--four\nfive\\n\n' | cmp -s - "$dir/got" || fail "received: $(cat "$dir/got")"

# nobody there
run 0 "$zcp" send -v test/send/nobody x
grep -q '^zcp: reached 0 subscribers' "$dir/err" || fail "-v: $(cat "$dir/err")"
run 1 "$zcp" send --expect 1 test/send/nobody x
grep -q '^zcp: 0 of 1 subscriber reached$' "$dir/err" || fail "--expect 1: $(cat "$dir/err")"

# the largest one, whole, and one byte more
wait_for 10 endpoints subscriber 0 || fail "the first subscriber does not leave"
head -c 65536 /dev/urandom >"$dir/input"
background sub "$zcp" sub --raw --count 1 test/send/bytes
sub=$pid
wait_for 10 endpoints subscriber 1 || fail "no subscriber"
timeout 20 "$zcp" send --expect 1 test/send/bytes <"$dir/input" || fail "64 KiB: status $?"
ends 20 $sub
cmp -s "$dir/input" "$dir/sub.out" || fail "64 KiB did not arrive whole"
head -c 65537 /dev/zero >"$dir/input"
timeout 20 "$zcp" send test/send/bytes <"$dir/input" 2>"$dir/err" && fail "65537 bytes were taken"
grep -q '^zcp: the message is larger than 65536 bytes' "$dir/err" || fail "65537 bytes: $(cat "$dir/err")"
timeout 20 "$zcp" send test/send/bytes <"$dir" 2>"$dir/err" && fail "a directory was sent"
grep -q '^zcp: standard input: ' "$dir/err" || fail "a directory: $(cat "$dir/err")"

# wrong usage
for arguments in "" "test/send" "test/send/text two words" "--expect 0 test/send/text x" "--expect some test/send/text x"; do
	# shellcheck disable=SC2086
	run 2 "$zcp" send $arguments
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "send $arguments: not one line of complaint: $(cat "$dir/err")"
done

finish
