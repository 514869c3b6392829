#!/bin/sh
# SPDX-License-Identifier: MIT
#
# How it ends: publishers that die, signals, readers that close the pipe. An output that is not complete is never passed off as one.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

start_router

deaths() {
	"$zcp" info --json | sed -n 's/^ *"deaths": \([0-9]*\),*$/\1/p'
}
has_bytes() {
	[ -s "$dir/$1.out" ]
}

# endless_stream NAME: a sub --raw in $sub, fed by a pub in $pub whose input does not end
endless_stream() {
	background "sub$1" "$zcp" sub --raw "test/ends/$1"
	sub=$pid
	mkfifo "$dir/fifo$1"
	background "pub$1" "$zcp" pub "test/ends/$1" "$dir/fifo$1"
	pub=$pid
	exec 3>"$dir/fifo$1"
	head -c 100000 /dev/zero >&3
	wait_for 10 has_bytes "sub$1" || fail "$1: nothing arrives"
}

# killed in the middle
endless_stream kill
kill -KILL "$pub"
wait "$pub" 2>/dev/null
ends 10 "$sub"
[ $status -eq 1 ] || fail "the publisher was killed, and sub --raw ends with $status"
grep -q '^zcp: .*without closing' "$dir/subkill.err" || fail "the publisher was killed: $(cat "$dir/subkill.err")"
exec 3>&-

# Ctrl-C in the middle of a stream: by the signal, and not taken for its end
endless_stream interrupt
kill -INT "$pub"
ends 10 "$pub"
[ $status -eq 130 ] || fail "SIGINT in the middle of a stream: status $status, not 130"
ends 10 "$sub"
[ $status -eq 1 ] || fail "the publisher was interrupted, and sub --raw ends with $status"
exec 3>&-

# given up before it began: the one subscriber that did come must not take that for an empty stream
background few "$zcp" sub --raw test/ends/few
sub=$pid
run 1 "$zcp" pub --wait 2 --timeout 1 test/ends/few /dev/zero
grep -q '^zcp: 1 of 2 subscribers' "$dir/err" || fail "too few subscribers: $(cat "$dir/err")"
ends 10 "$sub"
[ $status -eq 1 ] || fail "pub gave up before it began, and sub --raw ends with $status"

# a subscriber that does not read: a reliable stream gives up after the timeout
background stopped "$zcp" sub --raw test/ends/stopped
sub=$pid
background pubstopped "$zcp" pub --timeout 2 --chunk 4000 --rate 2000 test/ends/stopped /dev/zero
pub=$pid
wait_for 10 has_bytes stopped
kill -STOP "$sub"
ends 20 "$pub"
[ $status -eq 1 ] || fail "no room for 2 s, and pub ends with $status"
[ "$(wc -l <"$dir/pubstopped.err")" -eq 1 ] || fail "no room: $(cat "$dir/pubstopped.err")"
kill -CONT "$sub"
ends 10 "$sub"
[ $status -eq 1 ] || fail "pub gave up, and sub --raw ends with $status"

# a stream whose subscriber leaves
endless_stream leave
kill -TERM "$sub"
ends 10 "$sub"
[ $status -eq 143 ] || fail "SIGTERM at sub --raw: status $status, not 143"
wait_for 10 endpoints subscriber 0
head -c 100000 /dev/zero >&3
ends 10 "$pub"
[ $status -eq 1 ] || fail "the last subscriber left, and pub ends with $status"
grep -q '^zcp: the last subscriber has left' "$dir/publeave.err" || fail "the last subscriber left: $(cat "$dir/publeave.err")"
exec 3>&-

# Ctrl-C while watching: clean, status 0, nobody died
before=$(deaths)
background watch "$zcp" sub test/ends/watch
watch=$pid
background pubwatch "$zcp" pub --data tick --rate 20 test/ends/watch
pubwatch=$pid
wait_for 10 has_bytes watch || fail "watch: nothing arrives"
kill -INT "$watch"
ends 5 "$watch"
[ $status -eq 0 ] || fail "SIGINT at sub: status $status"
[ -s "$dir/watch.err" ] && fail "SIGINT at sub: $(cat "$dir/watch.err")"
kill -TERM "$pubwatch"
ends 5 "$pubwatch"
[ $status -eq 0 ] || fail "SIGTERM at pub --rate: status $status"
[ "$(deaths)" = "$before" ] || fail "an ordinary end counts as a death"
# ... and before anybody has come
background alone "$zcp" pub --data x test/ends/alone
alone=$pid
wait_for 10 endpoints publisher 1
kill -INT "$alone"
ends 5 "$alone"
[ $status -eq 130 ] || fail "SIGINT while waiting for a subscriber: status $status, not 130"
[ "$(deaths)" = "$before" ] || fail "an interrupted wait counts as a death"

# a reader that has had enough: quiet
{
	timeout 20 "$zcp" sub --raw test/ends/pipe 2>"$dir/pipe.err"
	echo $? >"$dir/pipe.status"
} | head -c 1000 >/dev/null &
background pubpipe "$zcp" pub --timeout 10 test/ends/pipe /dev/zero
pub=$pid
ends 20 "$pub"
[ $status -eq 1 ] || fail "pub into a closed pipe: status $status"
wait_for 10 test -s "$dir/pipe.status"
[ "$(cat "$dir/pipe.status")" = 0 ] || fail "sub --raw into a closed pipe: status $(cat "$dir/pipe.status")"
[ -s "$dir/pipe.err" ] && fail "sub --raw into a closed pipe: $(cat "$dir/pipe.err")"
{
	timeout 20 "$zcp" sub test/ends/lines 2>"$dir/lines.err"
	echo $? >"$dir/lines.status"
} | head -n 1 >/dev/null &
background publines "$zcp" pub --data x --rate 100 test/ends/lines
pub=$pid
wait_for 10 test -s "$dir/lines.status" || fail "sub does not notice that its reader is gone"
[ "$(cat "$dir/lines.status")" = 0 ] || fail "sub into a closed pipe: status $(cat "$dir/lines.status")"
[ -s "$dir/lines.err" ] && fail "sub into a closed pipe: $(cat "$dir/lines.err")"
kill -TERM "$pub"
ends 5 "$pub"

# a disk that is full
background full sh -c 'exec "$0" sub --raw test/ends/full >/dev/full' "$zcp"
sub=$pid
run 1 "$zcp" pub test/ends/full /dev/zero
ends 10 "$sub"
[ $status -eq 1 ] || fail "sub --raw > /dev/full: status $status"
grep -q '^zcp: standard output: No space left' "$dir/full.err" || fail "sub --raw > /dev/full: $(cat "$dir/full.err")"
background full sh -c 'exec "$0" sub test/ends/full >/dev/full' "$zcp"
sub=$pid
run 0 "$zcp" pub --data x test/ends/full
ends 10 "$sub"
[ $status -eq 1 ] || fail "sub > /dev/full: status $status"

# --follow: one publisher after the other
background follow "$zcp" sub --raw --follow test/ends/follow
follow=$pid
run 0 "$zcp" pub --data one test/ends/follow
run 0 "$zcp" pub --data two test/ends/follow
wait_for 10 grep -q onetwo "$dir/follow.out" || fail "--follow: $(cat "$dir/follow.out")"
kill -INT "$follow"
ends 5 "$follow"
[ $status -eq 0 ] || fail "SIGINT at sub --raw --follow: status $status"

# a lossy publisher and a subscriber that sleeps: losses are said, and are a failure of --raw
background holes "$zcp" sub --raw test/ends/holes
sub=$pid
wait_for 10 endpoints subscriber 1
background pubholes "$zcp" pub --lossy --chunk 100 --rate 2000 test/ends/holes /dev/zero
pub=$pid
wait_for 10 has_bytes holes
kill -STOP "$sub"
sleep 1.5
kill -CONT "$sub"
kill -KILL "$pub"
wait "$pub" 2>/dev/null
ends 10 "$sub"
[ $status -eq 1 ] || fail "losses at sub --raw: status $status"
grep -q '^zcp: [0-9]* messages were lost' "$dir/holes.err" || fail "losses at sub --raw: $(cat "$dir/holes.err")"

# the router's end: one that finds no other router fails, one that can start one goes on
background orphan env ZCP_ROUTER_BIN=/nonexistent "$zcp" sub --raw test/ends/orphan
sub=$pid
wait_for 10 endpoints subscriber 1
kill -TERM "$router_job"
wait "$router_job"
ends 10 "$sub"
[ $status -eq 1 ] || fail "sub --raw without a router: status $status"
grep -q '^zcp: the router has gone: the output may be incomplete' "$dir/orphan.err" || fail "sub --raw without a router: $(cat "$dir/orphan.err")"

start_router
background patient "$zcp" sub --raw test/ends/patient
patient=$pid
wait_for 10 endpoints subscriber 1
kill -KILL "$router_job"
wait "$router_job" 2>/dev/null
wait_for 10 grep -q '^zcp: the router is back' "$dir/patient.err" || fail "no router again: $(cat "$dir/patient.err")"
run 0 sh -c "echo text | '$zcp' pub test/ends/patient"
ends 10 "$patient"
[ $status -eq 0 ] && [ "$(cat "$dir/patient.out")" = text ] || fail "after the router came back: status $status, $(cat "$dir/patient.out")"

finish
