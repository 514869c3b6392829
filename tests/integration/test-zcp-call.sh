#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp call and zcp serve: requests, responses, and every way in which one of the two ends.
# shellcheck source=tests/integration/tool.sh
# shellcheck disable=SC2016
. "${top_srcdir:-.}/tests/integration/tool.sh"

# one_line PATTERN: what `run` has just run said so, and nothing else
one_line() {
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "not one line of complaint: $(cat "$dir/err")"
	grep -q -e "^zcp: .*$1" "$dir/err" || fail "the complaint doesn't say '$1': $(cat "$dir/err")"
}

# says NAME PATTERN: a line of the standard error of a background command, in time
says() {
	wait_for 10 grep -q -e "$2" "$dir/$1.err" || fail "$1 doesn't say '$2': $(cat "$dir/$1.err")"
}

# stops PID: as Ctrl-C does, with status 0
stops() {
	kill -INT "$1"
	ends 10 "$1"
	[ $status -eq 0 ] || fail "zcp serve ended with $status after SIGINT"
}

children() {
	cat "/proc/$1/task/$1/children"
}
no_child() {
	[ -z "$(children "$1")" ]
}

# no router, and none can be started
ZCP_ROUTER_BIN=$dir/none run 1 "$zcp" call a/b/c x
one_line ''
ZCP_ROUTER_BIN=$dir/none run 1 "$zcp" serve a/b/c -- cat
one_line ''
start_router

# no server
run 1 "$zcp" call --timeout 0.1 a/b/c x
one_line 'no server of a/b/c came within 100 ms'
run 1 "$zcp" call --timeout 0 a/b/c x
one_line 'no server'

# a call waits for a server; what a response looks like
background early "$zcp" call demo/calc/add '1 2'
early=$pid
wait_for 10 endpoints client 1 || fail "the client does not join"
background add "$zcp" serve demo/calc/add -- sh -c 'read -r a b; echo $((a + b))'
add=$pid
ends 10 $early
[ $status -eq 0 ] || fail "a call before its server: status $status: $(cat "$dir/early.err")"
grep -q '^[0-9:]*\.[0-9]*  #0  *2 B  3$' "$dir/early.out" || fail "the response: $(cat "$dir/early.out")"
run 0 "$zcp" call --json --count 3 demo/calc/add '40 2'
[ "$(grep -c '^{"call":[012],"timestamp_ns":[0-9]*,"server":[0-9]*,"size":3,"more":false,"data":"42\\n"}$' "$dir/out")" -eq 3 ] || fail "--json: $(cat "$dir/out")"
run 0 "$zcp" call --hex demo/calc/add '40 2'
grep -q '34 32 0a .*|42\.|$' "$dir/out" || fail "--hex: $(cat "$dir/out")"
echo '5 6' | timeout 60 "$zcp" call --raw demo/calc/add >"$dir/out" || fail "a request from standard input: status $?"
echo 11 | cmp -s - "$dir/out" || fail "a request from standard input: $(cat "$dir/out")"
wait_for 10 no_child $add || fail "zcp serve has children left: $(children $add)"

# one server to a topic, unless all are load-balanced
run 1 "$zcp" serve demo/calc/add -- cat
one_line 'server'
run 1 "$zcp" serve --load-balanced demo/calc/add -- cat
one_line 'server'
stops $add

background one "$zcp" serve --load-balanced shared/by/two -- echo one
one=$pid
background two "$zcp" serve --load-balanced shared/by/two -- echo two
two=$pid
wait_for 10 endpoints server 2 || fail "two load-balanced servers: $(cat "$dir/one.err" "$dir/two.err")"
both() {
	"$zcp" call --raw --count 4 shared/by/two x | sort -u >"$dir/both"
	[ "$(cat "$dir/both")" = "one
two" ]
}
wait_for 10 both || fail "requests went to: $(cat "$dir/both")"
stops $one
stops $two

# bytes, both ways; and pipes that are full on both sides at once
head -c 1048576 /dev/urandom >"$dir/bytes"
background cat "$zcp" serve many/bytes/cat -- cat
timeout 60 "$zcp" call --raw many/bytes/cat <"$dir/bytes" >"$dir/copy" || fail "1 MiB there and back: status $?"
cmp "$dir/bytes" "$dir/copy" || fail "1 MiB came back changed"
run 0 "$zcp" call --raw many/bytes/cat ''
[ -s "$dir/out" ] && fail "an empty request has the response $(cat "$dir/out")"
stops "$pid"
background late "$zcp" serve many/bytes/late -- sh -c 'head -c 1000000 /dev/zero; wc -c'
timeout 60 "$zcp" call --raw many/bytes/late <"$dir/bytes" >"$dir/copy" || fail "a command that writes before it reads: status $?"
[ "$(tail -c +1000001 "$dir/copy")" = 1048576 ] || fail "a command that writes before it reads: $(wc -c <"$dir/copy") bytes"
stops "$pid"
background deaf "$zcp" serve many/bytes/deaf -- echo deaf
timeout 60 "$zcp" call --raw many/bytes/deaf <"$dir/bytes" >"$dir/copy" || fail "a command that does not read: status $?"
[ "$(cat "$dir/copy")" = deaf ] || fail "a command that does not read: $(cat "$dir/copy")"
stops "$pid"

# commands that fail: the client hears it at once, and the server goes on
background fails "$zcp" serve it/does/fail -- sh -c 'read -r how; echo half an answer; eval "$how"'
run 1 "$zcp" call it/does/fail 'exit 3'
one_line 'released the request unanswered'
says fails '^zcp: sh exited with 3: request [0-9]* of client [0-9]* is unanswered$'
run 1 "$zcp" call it/does/fail 'kill -SEGV $$'
says fails '^zcp: sh was killed by SIGSEGV: request'
run 0 "$zcp" call --raw it/does/fail 'echo "$ZCP_REQUEST_ID $ZCP_CLIENT"'
grep -q '^[1-9][0-9]* [1-9][0-9]*$' "$dir/out" || fail "the environment of the command: $(cat "$dir/out")"
wait_for 10 no_child "$pid" || fail "failed commands stay: $(children "$pid")"
stops "$pid"
background huge "$zcp" serve --max-size 1K way/too/much -- yes
run 1 "$zcp" call way/too/much x
one_line 'released the request unanswered'
says huge '^zcp: yes wrote more than 1024 bytes (--max-size allows more): request'
wait_for 10 no_child "$pid" || fail "a command without an end goes on"
stops "$pid"
run 1 "$zcp" serve a/b/c -- "$dir/no-such-command"
one_line 'no-such-command: there is no such command'
run 1 "$zcp" serve a/b/c -- no-such-command
one_line 'no-such-command: there is no such command'
background noexec "$zcp" serve a/b/c -- "$dir"
run 1 "$zcp" call a/b/c x
ends 10 "$pid"
[ $status -eq 1 ] || fail "a directory as a command: status $status"

# too late: the client gives up; the request that waits behind is skipped, and never runs
mkdir "$dir/ran"
background slow "$zcp" serve it/is/slow -- sh -c "read -r name; touch '$dir/ran/'\"\$name\"; while [ ! -e '$dir/go' ]; do sleep 0.05; done; echo done"
slow=$pid
background first "$zcp" call --raw it/is/slow first
first=$pid
wait_for 10 test -e "$dir/ran/first" || fail "the first request does not run: $(cat "$dir/slow.err")"
run 1 "$zcp" call --timeout 1 it/is/slow second
one_line 'did not answer within 1.00 s'
touch "$dir/go"
ends 10 $first
[ "$(cat "$dir/first.out")" = "done" ] || fail "the first request: $(cat "$dir/first.out" "$dir/first.err")"
run 0 "$zcp" call it/is/slow third
[ -e "$dir/ran/third" ] || fail "the third request did not run"
[ -e "$dir/ran/second" ] && fail "a request that had expired was run"

# Ctrl-C: what runs is answered, what waits ends, the client too
rm "$dir/go" "$dir/ran/first"
background first "$zcp" call --raw it/is/slow first
first=$pid
wait_for 10 test -e "$dir/ran/first" || fail "the request does not run"
background waits "$zcp" call --timeout 5 it/is/slow fourth
waits=$pid
both_connected() {
	[ "$("$zcp" list | grep -c '^  client .*-> [0-9]')" -eq 2 ]
}
wait_for 10 both_connected || fail "the second client is not connected"
kill -INT $slow
kill -0 $slow || fail "zcp serve does not wait for its command"
touch "$dir/go"
ends 10 $slow
[ $status -eq 0 ] || fail "zcp serve ended with $status: $(cat "$dir/slow.err")"
ends 10 $first
[ "$(cat "$dir/first.out")" = "done" ] || fail "what ran was not answered: $(cat "$dir/first.out" "$dir/first.err")"
ends 10 $waits
[ $status -eq 1 ] || fail "a call that its server did not take: status $status"
[ -e "$dir/ran/fourth" ] && fail "a request was taken after SIGINT"
background lonely "$zcp" call a/b/c x
wait_for 10 endpoints client 1 || fail "the client does not join"
kill -INT "$pid"
ends 10 "$pid"
[ $status -eq 130 ] || fail "a call that waits for a server ended by SIGINT: status $status"

background slow "$zcp" serve it/is/slow -- sh -c "touch '$dir/ran/fifth'; exec sleep 100"
slow=$pid
background waits "$zcp" call it/is/slow fifth
waits=$pid
wait_for 10 test -e "$dir/ran/fifth" || fail "the request does not run"
kill -INT $waits
ends 10 $waits
[ $status -eq 130 ] || fail "a call that waits for a response ended by SIGINT: status $status"
started="$started $(children $slow)"
killed() {
	kill -INT $slow
	sleep 0.05
	gone $slow
}
wait_for 10 killed || fail "a second SIGINT does not kill"
ends 10 $slow
[ $status -eq 130 ] || fail "a second SIGINT: status $status"

# the server is killed
rm -f "$dir/go" "$dir/ran/"*
background slow "$zcp" serve it/is/slow -- sh -c "read -r name; touch '$dir/ran/'\"\$name\"; while [ ! -e '$dir/go' ]; do sleep 0.05; done; echo done"
slow=$pid
background first "$zcp" call --timeout 60 it/is/slow first
first=$pid
wait_for 10 test -e "$dir/ran/first" || fail "the request does not run"
kill -KILL $slow
wait $slow 2>/dev/null
touch "$dir/go"
ends 10 $first
[ $status -eq 1 ] || fail "a call whose server was killed: status $status"
[ "$(cat "$dir/first.err")" = "zcp: the server ended before it answered" ] || fail "a call whose server was killed: $(cat "$dir/first.err")"

# several at once: each waits for the other two
rm -f "$dir/ran/"*
background jobs "$zcp" serve --jobs 3 --count 3 all/at/once -- sh -c "read -r name; touch '$dir/ran/'\"\$name\"; until [ -e '$dir/ran/a' ] && [ -e '$dir/ran/b' ] && [ -e '$dir/ran/c' ]; do sleep 0.05; done; echo \"\$name\""
jobs=$pid
calls=
for name in a b c; do
	background call-$name "$zcp" call --raw all/at/once $name
	calls="$calls $pid"
done
for pid in $calls; do
	ends 20 "$pid"
	[ $status -eq 0 ] || fail "three at once: status $status"
done
[ "$(cat "$dir/call-a.out" "$dir/call-b.out" "$dir/call-c.out" | tr '\n' ' ')" = "a b c " ] || fail "three at once: responses mixed up"
ends 10 $jobs
[ $status -eq 0 ] || fail "--count 3: status $status: $(cat "$dir/jobs.err")"

finish
