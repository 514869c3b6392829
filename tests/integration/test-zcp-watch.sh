#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp watch: what a person and a program see when processes come, end, and the router is restarted.

. "${top_srcdir:-.}/tests/integration/tool.sh"

# line NAME EXPRESSION: the output of NAME has such a line in time
line() {
	wait_for 10 grep -q -- "$2" "$dir/$1.out" || fail "no line '$2' in: $(cat "$dir/$1.out" "$dir/$1.err")"
}

start_router
background all "$zcp" watch
all=$pid
background json "$zcp" watch --json --no-nodes 'wat*/er'
json=$pid
line all '^[0-9:]*\.[0-9]*  node       zcp watch (pid [0-9]*) '

background sub "$zcp" sub watch/er/event
victim=$pid
line all "  subscriber watch/er/event of zcp sub (pid $victim) appeared$"
line json "endpoint-appeared"
kill -KILL "$victim"
line all "  node       zcp sub (pid $victim) vanished: "
if "$zcp" info | grep -q "^ *exit detectors .*bpf"; then
	line all "  subscriber watch/er/event of zcp sub (pid $victim) vanished: killed by SIGKILL$"
fi
line json '"event":"endpoint-vanished".*"cause":"died"'

# closed cleanly; of another topic
background sub2 "$zcp" sub --count 1 other/er/event
run 0 sh -c "echo text | '$zcp' pub other/er/event"
line all '  publisher  other/er/event of zcp pub (pid [0-9]*) vanished: closed$'
grep -q other "$dir/json.out" && fail "the pattern let another topic through: $(cat "$dir/json.out")"
grep -q node- "$dir/json.out" && fail "--no-nodes showed nodes: $(cat "$dir/json.out")"
grep -vq '^{.*}$' "$dir/json.out" && fail "not one object a line: $(cat "$dir/json.out")"

# a server and a client are what they are, and their channels no publishers
background serve "$zcp" serve ser/v/ice -- cat
server=$pid
line all "  server     ser/v/ice of zcp serve (pid $server) appeared$"
background onlyjson "$zcp" watch --json 'ser*'
onlyjson=$pid
line onlyjson '"role":"server".*"service":"ser","instance":"v","topic_event":"ice"'
run 0 "$zcp" call ser/v/ice text
line all '  client     ser/v/ice of zcp call (pid [0-9]*) vanished: closed$'
line onlyjson '"event":"endpoint-vanished".*"role":"client"'
grep -q 'publisher  ser/v/ice' "$dir/all.out" && fail "a channel is shown: $(cat "$dir/all.out")"
[ "$(grep -c '"role":' "$dir/onlyjson.out")" -eq 3 ] || fail "more than a server and a client: $(cat "$dir/onlyjson.out")"
kill -INT "$server"
line all "  server     ser/v/ice of zcp serve (pid $server) vanished: closed$"
kill -INT "$onlyjson"

# the router is killed and comes back
kill -KILL "$router_job"
wait "$router_job" 2>/dev/null
line all '  router gone: no news until it is back$'
start_router
line all '  router back$'

# it ends as one ends such a thing, and says no more than it did
kill -INT "$all"
ends 10 "$all"
[ $status -eq 0 ] || fail "interrupted: status $status"
kill -TERM "$json"
ends 10 "$json"
[ $status -eq 0 ] || fail "terminated: status $status"

# wrong use
background sub3 "$zcp" sub a/b/c
run 0 "$zcp" watch --count 1
[ "$(wc -l <"$dir/out")" -eq 1 ] || fail "--count 1: $(cat "$dir/out")"
run 2 "$zcp" watch a/b/c/d
grep -q 'more than three parts' "$dir/err" || fail "four parts: $(cat "$dir/err")"
run 2 "$zcp" watch --count 0
run 2 "$zcp" watch a b
run 2 "$zcp" watch --fast
finish
