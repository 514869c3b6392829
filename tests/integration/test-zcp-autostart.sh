#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The newcomer's first minute: no router runs, `zcp sub` and `zcp pub` are started at once. One router comes up, the message arrives,
# and the router leaves by itself.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

# the newcomer has set nothing
[ -e /run/zcp/router.sock ] && skip "a system-wide router runs, which a newcomer would be connected to"
unset ZCP_ROUTER

for round in 1 2 3; do
	background sub "$zcp" sub --count 1 test/autostart/text
	sub=$pid
	background pub "$zcp" pub --wait 2 --data "round $round" test/autostart/text
	pub=$pid
	background second "$zcp" sub --count 1 test/autostart/text
	second=$pid
	ends 20 $sub
	[ $status -eq 0 ] || fail "sub: status $status: $(cat "$dir/sub.err")"
	ends 20 $second
	[ $status -eq 0 ] || fail "the second sub: status $status: $(cat "$dir/second.err")"
	ends 20 $pub
	[ $status -eq 0 ] || fail "pub: status $status: $(cat "$dir/pub.err")"
	for name in sub second; do
		grep -q "round $round\$" "$dir/$name.out" || fail "the message did not arrive at $name: $(cat "$dir/$name.out")"
	done
	cat "$dir/sub.err" "$dir/second.err" "$dir/pub.err" >"$dir/complaints"
	[ -s "$dir/complaints" ] && fail "not silent: $(cat "$dir/complaints")"
	# a router from scratch each time
	pid=$(router_pid)
	[ -n "$pid" ] || fail "no router runs after round $round"
	case $(tr '\0' ' ' <"/proc/$pid/cmdline") in
	*zcp-router*--exit-when-idle*) ;;
	*) fail "the router was not started to exit when idle: $(tr '\0' ' ' <"/proc/$pid/cmdline")" ;;
	esac
	[ $round -eq 3 ] || kill -TERM "$pid"
	[ $round -eq 3 ] || wait_for 10 gone "$pid" || fail "the router does not end"
done

wait_for 20 gone "$pid" || fail "the router does not leave when idle"
[ -e "$dir/run/zcp/router.sock" ] && fail "the idle router left its socket behind"

finish
