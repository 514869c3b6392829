#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp notify and zcp listen: what happened is printed, all of it and nothing else.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

# one_line PATTERN: what `run` has just run said so, and nothing else
one_line() {
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "not one line of complaint: $(cat "$dir/err")"
	grep -q -e "^zcp.*$1" "$dir/err" || fail "the complaint doesn't say '$1': $(cat "$dir/err")"
}

ZCP_ROUTER_BIN=$dir/none run 1 "$zcp" notify a/b/c
one_line ''
ZCP_ROUTER_BIN=$dir/none run 1 "$zcp" listen a/b/c
one_line ''
start_router

run 1 "$zcp" notify --timeout 0.1 a/b/c
one_line '0 of 1 listeners of a/b/c came within 100 ms'
run 0 "$zcp" notify --listeners 0 a/b/c
run 2 "$zcp" notify a/b/c 65536
one_line 'ID'
run 2 "$zcp" notify a/b/c 1 2
one_line "also '2'"
run 2 "$zcp" notify
one_line 'no topic'
run 2 "$zcp" listen a/b/c x
one_line 'ID'
run 2 "$zcp" listen a/b
one_line ''

background all "$zcp" listen --json --count 12 a/b/c
all=$pid
background some "$zcp" listen a/b/c 3 65535
some=$pid
run 0 "$zcp" notify --listeners 2 a/b/c
run 0 "$zcp" notify --listeners 2 --count 10 a/b/c 3
run 0 "$zcp" notify --listeners 2 a/b/c 65535
ends 10 "$all"
[ $status -eq 0 ] || fail "listen --count ended with $status: $(cat "$dir/all.err")"
sum=$(sed 's/.*"count":\([0-9]*\)}$/\1/' "$dir/all.out" | awk '{ n += $1 } END { print n }')
[ "$sum" -eq 12 ] || fail "--json: $(cat "$dir/all.out")"
grep -q '^{"time_ns":[0-9]*,"id":65535,"count":1}$' "$dir/all.out" || fail "--json: $(cat "$dir/all.out")"
wait_for 10 grep -q '^[0-9:]*\.[0-9]*  65535$' "$dir/some.out" || fail "listen to 65535: $(cat "$dir/some.out")"
grep -q '^[0-9:]*\.[0-9]*  3' "$dir/some.out" || fail "listen to 3: $(cat "$dir/some.out")"
! grep -q '  0$' "$dir/some.out" || fail "an id that nobody asked for: $(cat "$dir/some.out")"

# both are shown, and end as they should
run 0 "$zcp" list
grep -q '^ *listener .*<- nobody$' "$dir/out" || fail "list: $(cat "$dir/out")"
background waiting "$zcp" notify --listeners 2 a/b/c
waiting=$pid
wait_for 10 sh -c "'$zcp' list | grep -q '^ *notifier .*-> [0-9]*\$'" || fail "list: $("$zcp" list)"
run 0 "$zcp" list --json
tr -d ' \n' <"$dir/out" | grep -q '"notifier":[0-9]*,"listener":[0-9]*' || fail "list --json: $(cat "$dir/out")"
run 0 "$zcp" watch --no-nodes --count 2
grep -q ' listener  *a/b/c of zcp listen .* is there$' "$dir/out" || fail "watch: $(cat "$dir/out")"
kill -INT "$waiting"
ends 10 "$waiting"
[ $status -eq 130 ] || fail "notify ended with $status after SIGINT"
kill -INT "$some"
ends 10 "$some"
[ $status -eq 0 ] || fail "listen ended with $status after SIGINT"
finish
