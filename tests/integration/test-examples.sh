#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The example programs do what they say.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

examples=${top_builddir:-.}/src/examples
start_router

background hello-sub "$examples/hello-sub"
sub=$pid
run 0 "$examples/hello-pub"
ends 15 $sub
[ $status -eq 0 ] || fail "hello-sub: status $status: $(cat "$dir/hello-sub.err")"
[ "$(wc -l <"$dir/hello-sub.out")" -eq 10 ] || fail "hello-sub: $(cat "$dir/hello-sub.out")"
[ "$(tail -n 1 "$dir/hello-sub.out")" = "hello number 9" ] || fail "hello-sub: $(cat "$dir/hello-sub.out")"

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

finish
