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
