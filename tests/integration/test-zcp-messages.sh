#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Messages as people and programs see them: lines, texts, JSON, hex, history, counts, rates, timeouts.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

start_router

# exchange SUB-OPTIONS PUB-ARGUMENT...: pub reads $dir/input; sub's output is $dir/sub.out
exchange() {
	# shellcheck disable=SC2086
	background sub "$zcp" sub $1 test/messages/text
	sub=$pid
	shift
	timeout 20 "$zcp" pub "$@" <"$dir/input" 2>"$dir/pub.err" || fail "pub $*: $(cat "$dir/pub.err")"
	ends 20 $sub
	[ $status -eq 0 ] || fail "sub: status $status: $(cat "$dir/sub.err")"
}

# says PATTERN: in the output of sub
says() {
	grep -q -e "$1" "$dir/sub.out" || fail "sub does not say '$1': $(cat "$dir/sub.out")"
}

# lines: an empty one, one without a newline at the end
printf 'first\n\nthird line' >"$dir/input"
exchange "--count 3" --lines test/messages/text
[ "$(wc -l <"$dir/sub.out")" -eq 3 ] || fail "not three lines: $(cat "$dir/sub.out")"
says '^[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]*  #0  *5 B  first$'
says '#1  *0 B  $'
says '#2  *10 B  third line$'
exchange "--raw" --lines test/messages/text
[ "$(cat "$dir/sub.out")" = "firstthird line" ] || fail "lines, raw: $(cat "$dir/sub.out")"

# more lines than a queue holds, none lost to a subscriber that is waited for
seq 1 5000 >"$dir/input"
exchange "--count 5000 --json" --lines --reliable test/messages/text
[ "$(wc -l <"$dir/sub.out")" -eq 5000 ] || fail "not 5000 lines"
says '"sequence":4999.*"data":"5000"'

# a line too long
head -c 70000 /dev/zero | tr '\0' x >"$dir/input"
background sub "$zcp" sub --count 1 test/messages/text
sub=$pid
timeout 20 "$zcp" pub --lines test/messages/text <"$dir/input" 2>"$dir/err" && fail "a line of 70000 bytes was taken"
grep -q 'line 1 is longer' "$dir/err" || fail "a long line: $(cat "$dir/err")"
timeout 20 "$zcp" pub --lines --chunk 70000 test/messages/text <"$dir/input" || fail "--chunk does not allow longer lines"
ends 10 $sub

# a text, once and often
: >"$dir/input"
exchange "--count 1" --data "hello there" test/messages/text
says 'hello there$'
exchange "--count 3" --data again --count 3 test/messages/text
[ "$(grep -c ' again$' "$dir/sub.out")" -eq 3 ] || fail "--count: $(cat "$dir/sub.out")"
exchange "--count 1" --data "" test/messages/text
says ' 0 B  $'

# a rate: 5 messages, 20 ms apart, take 80 ms at least
start=$(date +%s%N)
exchange "--count 5 --stats" --data tick --rate 50 --count 5 test/messages/text
[ $(($(date +%s%N) - start)) -ge 80000000 ] || fail "--rate 50: five messages in $(($(date +%s%N) - start)) ns"
grep -q '^5 messages, 20 B in .*; 0 lost' "$dir/sub.err" || fail "--stats: $(cat "$dir/sub.err")"

# nothing that a peer sends controls the terminal
printf 'a\033[2Jb\302\205c\177\tg\303\274n\n' >"$dir/input"
exchange "--count 1" --lines test/messages/text
[ "$(tr -d '\n' <"$dir/sub.out" | LC_ALL=C tr -d '\040-\176\303\274' | wc -c)" -eq 0 ] || fail "control characters came through: $(od -c "$dir/sub.out")"
head -c 300 /dev/zero >"$dir/input"
exchange "--count 1" --chunk 300 test/messages/text
says '300 B  00 00 00.* \.\.\.$'

# hex
printf 'hex\001' >"$dir/input"
exchange "--hex --count 1" test/messages/text
says '00000000  68 65 78 01 .*|hex\.|$'

# JSON: UTF-8 as it is, anything else in base64; each line one object
printf 'q"uote \303\274\n\377\376\n\n' >"$dir/input"
exchange "--json --count 3" --lines test/messages/text
if command -v python3 >/dev/null; then
	python3 - "$dir/sub.out" <<'END' || fail "JSON: $(cat "$dir/sub.out")"
import base64, json, sys
m = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert [x["sequence"] for x in m] == [0, 1, 2], m
assert m[0]["data"] == 'q"uote \u00fc' and m[0]["size"] == 9, m
assert base64.b64decode(m[1]["data_base64"]) == b"\xff\xfe" and "data" not in m[1], m
assert m[2]["data"] == "" and all(x["lost"] == 0 for x in m), m
assert m[0]["timestamp_ns"] <= m[1]["timestamp_ns"] <= m[2]["timestamp_ns"] and m[0]["publisher"] > 0, m
END
	# every length of a base64 group
	for n in 1 2 3 4 5; do
		printf '\377\001\002\003\004' | head -c $n >"$dir/input"
		exchange "--json --count 1" test/messages/text
		python3 -c 'import base64, json, sys; sys.exit(base64.b64decode(json.load(open(sys.argv[1]))["data_base64"], validate=True) != open(sys.argv[2], "rb").read())' \
			"$dir/sub.out" "$dir/input" || fail "base64 of $n bytes: $(cat "$dir/sub.out")"
	done
else
	says '"data":"q\\"uote'
	says '"data_base64":"//4="'
fi

# history: a subscriber that comes later
background pub "$zcp" pub --data old --rate 100 --history 5 --wait 0 test/messages/history
pub=$pid
wait_for 10 endpoints publisher 1 || fail "no publisher"
sleep 0.2
run 0 "$zcp" sub --history 5 --count 5 --json test/messages/history
grep -q '"sequence":0,' "$dir/out" && fail "the history is longer than it should be"
[ "$(wc -l <"$dir/out")" -eq 5 ] || fail "history: $(cat "$dir/out")"
kill -INT "$pub"
ends 10 "$pub"
[ $status -eq 0 ] || fail "pub --rate ended by SIGINT: status $status"

# giving up
run 1 "$zcp" sub --timeout 0.2 test/messages/nothing
grep -q '^zcp: nothing came for 200 ms$' "$dir/err" || fail "sub --timeout: $(cat "$dir/err")"
run 1 "$zcp" pub --timeout 0.2 --data x test/messages/nothing
grep -q '^zcp: 0 of 1 subscriber' "$dir/err" || fail "pub --timeout: $(cat "$dir/err")"

# types that disagree are refused, with the reason
run 0 "$zcp" pub --wait 0 --type one --data x test/messages/type

finish
