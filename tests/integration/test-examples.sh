#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The example programs do what they say.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

examples=${ZCP_TEST_EXAMPLES:-${top_builddir:-.}/src/examples}
start_router

background hello-sub "$examples/hello-sub"
sub=$pid
run 0 "$examples/hello-pub"
ends 15 $sub
[ $status -eq 0 ] || fail "hello-sub: status $status: $(cat "$dir/hello-sub.err")"
[ "$(wc -l <"$dir/hello-sub.out")" -eq 10 ] || fail "hello-sub: $(cat "$dir/hello-sub.out")"
[ "$(tail -n 1 "$dir/hello-sub.out")" = "hello number 9" ] || fail "hello-sub: $(cat "$dir/hello-sub.out")"

# the same in C++, where there is a compiler for it
if [ -x "$examples/hello-cxx" ]; then
	background hello-cxx "$examples/hello-cxx" sub
	sub=$pid
	run 0 "$examples/hello-cxx" pub
	ends 15 $sub
	[ $status -eq 0 ] || fail "hello-cxx sub: status $status: $(cat "$dir/hello-cxx.err")"
	[ "$(wc -l <"$dir/hello-cxx.out")" -eq 10 ] || fail "hello-cxx sub: $(cat "$dir/hello-cxx.out")"
	[ "$(tail -n 1 "$dir/hello-cxx.out")" = "hello number 9" ] || fail "hello-cxx sub: $(cat "$dir/hello-cxx.out")"
	run 2 "$examples/hello-cxx"
fi

# one after the other: hello-pub sends its ten greetings to whoever is there first
for loop in poll epoll uring; do
	background "loop-$loop" "$examples/event-loop" $loop
	sub=$pid
	if [ $loop = uring ]; then
		# 3: io_uring is refused here, and it says so
		wait_for 10 endpoints subscriber 1 || gone $sub || fail "event-loop uring neither subscribes nor ends"
		if gone $sub; then
			ends 5 $sub
			[ $status -eq 3 ] || fail "event-loop uring: status $status: $(cat "$dir/loop-uring.err")"
			grep -q 'kernel.io_uring_disabled' "$dir/loop-uring.err" || fail "event-loop uring: $(cat "$dir/loop-uring.err")"
			continue
		fi
	fi
	run 0 "$examples/hello-pub"
	ends 15 $sub
	[ $status -eq 0 ] || fail "event-loop $loop: status $status: $(cat "$dir/loop-$loop.err")"
	[ "$(wc -l <"$dir/loop-$loop.out")" -eq 10 ] || fail "event-loop $loop: $(cat "$dir/loop-$loop.out")"
	[ "$(tail -n 1 "$dir/loop-$loop.out")" = "hello number 9" ] || fail "event-loop $loop: $(cat "$dir/loop-$loop.out")"
done
run 2 "$examples/event-loop"
run 2 "$examples/event-loop" select

background many "$examples/wait-for-many"
many=$pid
wait_for 10 endpoints subscriber 1 || fail "wait-for-many does not subscribe: $(cat "$dir/many.err")"
run 0 "$examples/hello-pub"
ends 15 $many
[ $status -eq 0 ] || fail "wait-for-many: status $status: $(cat "$dir/many.err")"
[ "$(grep -c '^hello number [0-9]$' "$dir/many.out")" -eq 10 ] || fail "wait-for-many: $(cat "$dir/many.out")"

background telemetry "$examples/telemetry" --rate 50
telemetry=$pid
background view1 "$examples/telemetry-view" --count 5 --name view1
view1=$pid
background view2 "$examples/telemetry-view" --name view2
view2=$pid
ends 15 $view1
[ $status -eq 0 ] || fail "telemetry-view: status $status: $(cat "$dir/view1.err")"
[ "$(grep -c '^view1 .*cpu .*load .*memory ' "$dir/view1.out")" -eq 5 ] || fail "telemetry-view: $(cat "$dir/view1.out")"
wait_for 10 grep -q '^view2' "$dir/view2.out" || fail "the second view sees nothing"
# the tool reads it too, untyped; and a subscriber of our own topic with another type is kept apart
run 0 "$zcp" sub --hex --count 1 telemetry/host/sample
kill -INT $view2
ends 5 $view2
[ $status -eq 0 ] || fail "telemetry-view ended by SIGINT: status $status"
kill -INT $telemetry
ends 5 $telemetry
[ $status -eq 0 ] || fail "telemetry ended by SIGINT: status $status"
run 2 "$examples/telemetry" --rate 0

# latest-value: what is shown is newer each time, and laps add up; it waits for the first value
background show "$examples/latest-value" show 3
show=$pid
wait_for 10 endpoints subscriber 1 || fail "latest-value does not wait for a value"
background move "$examples/latest-value" move
move=$pid
ends 20 $show
[ $status -eq 0 ] || fail "latest-value show: status $status: $(cat "$dir/show.err")"
[ "$(grep -c '^step  *[0-9]*  x *-*[01]\.[0-9]*  y *-*[01]\.[0-9]*  laps [0-9]*$' "$dir/show.out")" -eq 3 ] || fail "latest-value show: $(cat "$dir/show.out")"
awk '$2 < last { exit 1 } { last = $2 }' "$dir/show.out" || fail "latest-value went back: $(cat "$dir/show.out")"
kill -TERM $move
ends 5 $move
run 2 "$examples/latest-value"

# calculator: nobody there yet, then each kind of answer, also for a client that knows no types
background early "$examples/calculator" 2 x 21
early=$pid
wait_for 10 endpoints client 1 || fail "calculator does not wait for its server: $(cat "$dir/early.err")"
background server "$examples/calculator-server"
server=$pid
ends 15 $early
[ "$status $(cat "$dir/early.out")" = "0 42" ] || fail "calculator 2 x 21: status $status: $(cat "$dir/early.out" "$dir/early.err")"
# calculates RESULT ARGUMENT...
calculates() {
	result=$1
	shift
	run 0 "$examples/calculator" "$@"
	[ "$(tr '\n' ' ' <"$dir/out")" = "$result " ] || fail "calculator $*: $(cat "$dir/out")"
}
calculates 42 12 + 30
calculates -18 12 - 30
calculates -3 -7 / 2
calculates '2 2 2 3 3 5' factorize 360
calculates 97 factorize 97
calculates '2 2' factorize 4
# complains PATTERN ARGUMENT...
complains() {
	pattern=$1
	shift
	run 1 "$examples/calculator" "$@"
	grep -q "$pattern" "$dir/err" || fail "calculator $*: $(cat "$dir/err")"
	[ -s "$dir/out" ] && fail "calculator $*: it has a result: $(cat "$dir/out")"
}
complains 'division by zero' 1 / 0
complains 'too large' 9223372036854775807 + 1
complains 'too large' -9223372036854775808 / -1
complains 'prime factors' factorize 1
run 2 "$examples/calculator" 1 % 2
printf 'f\0\0\0\0\0\0\0\014\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' | timeout 60 "$zcp" call --raw --more calculator/demo/request >"$dir/factors"
[ "$(od -An -v -t d8 -w16 "$dir/factors" | awk '{ print $2 }' | tr '\n' ' ')" = "2 2 3 " ] || fail "zcp call --more: $(od -t d8 "$dir/factors")"
printf 'f\0\0\0\0\0\0\0\014\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' | timeout 60 "$zcp" call --json --count 2 calculator/demo/request >"$dir/first"
[ "$(grep -c '"more":true' "$dir/first")" -eq 2 ] || fail "zcp call without --more: $(cat "$dir/first")"
run 1 "$zcp" call calculator/demo/request 'no request'
grep -q 'released the request unanswered' "$dir/err" || fail "a request of the wrong size: $(cat "$dir/err")"
kill -INT $server
ends 5 $server
[ $status -eq 0 ] || fail "calculator-server ended by SIGINT: status $status"

# video: a file arrives whole; a pattern is right
head -c $((640 * 480 * 3 * 5)) /dev/urandom >"$dir/video"
background view "$examples/video-frames-view" --count 5 --output "$dir/video.copy"
view=$pid
run 0 "$examples/video-frames" --rate 0 "$dir/video"
ends 15 $view
[ $status -eq 0 ] || fail "video-frames-view: status $status: $(cat "$dir/view.err")"
cmp "$dir/video" "$dir/video.copy" || fail "the frames of a file are not what was sent"
background pattern "$examples/video-frames"
pattern=$pid
run 0 "$examples/video-frames-view" --count 3
[ "$(grep -c '^#[0-9]* *640 x 480, checksum [0-9a-f]* is right' "$dir/out")" -eq 3 ] || fail "video-frames-view: $(cat "$dir/out")"
kill -INT $pattern
ends 5 $pattern
[ $status -eq 0 ] || fail "video-frames ended by SIGINT: status $status"
# what isn't a frame is noticed
background view "$examples/video-frames-view"
view=$pid
wait_for 10 endpoints subscriber 1 || fail "video-frames-view does not subscribe"
run 0 "$zcp" pub --data 'not a frame' video/demo/frames
ends 15 $view
[ $status -eq 1 ] || fail "video-frames-view takes what isn't a frame: status $status"
run 2 "$examples/video-frames" --rate -1

finish
