#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp-protocol(7) is enough to take part: a second implementation, which is made of the numbers in the page's tables and of its text,
# joins the router, publishes to zcp's own library and takes from it, and from itself, with and without membarrier.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

here=${top_srcdir:-.}/tests/integration
second=$dir/second
"$here/protocol-page" header "${top_srcdir:-.}/man/zcp-protocol.7" >"$dir/protocol.h" || fail "the tables of the page do not make sense"
# shellcheck disable=SC2086
${CC:-cc} -Wall -Wextra -Werror -O1 -D_GNU_SOURCE ${SANITIZER_FLAGS:-} -I"$dir" -o "$second" "$here/second-implementation.c" \
	"$here/second-node.c" "$here/second-publisher.c" "$here/second-subscriber.c" >"$dir/cc" 2>&1 || fail "it does not compile: $(cat "$dir/cc")"
[ $failures -eq 0 ] || exit 1
! cat "$here"/second*.[ch] | sed -n 's/^#include "\(.*\)"/\1/p' | grep -v '^protocol\.h$\|^second[a-z-]*\.h$' || fail "it includes something of zcp"

start_router

# takes SIZE COUNT [OPTION...]: second takes COUNT messages of SIZE bytes that zcp publishes
takes() {
	bytes=$1
	n=$2
	shift 2
	"$second" bytes "$bytes" "$n" >"$dir/bytes"
	background sub "$second" sub "$@" man/second/taken "$bytes" "$n"
	sub=$pid
	wait_for 10 endpoints subscriber 1 || fail "it does not subscribe: $(cat "$dir/sub.err")"
	run 0 "$zcp" pub --chunk "$bytes" man/second/taken "$dir/bytes"
	ends 30 $sub
	[ $status -eq 0 ] || fail "sub $* $bytes $n: status $status: $(cat "$dir/sub.err")"
	[ "$(cat "$dir/sub.out")" = "$n taken, 0 lost" ] || fail "sub $* $bytes $n: $(cat "$dir/sub.out")"
}

# gives SIZE COUNT [OPTION...]: second publishes them to zcp
gives() {
	bytes=$1
	n=$2
	shift 2
	"$second" bytes "$bytes" "$n" >"$dir/bytes"
	background sub "$zcp" sub --raw man/second/given
	sub=$pid
	wait_for 10 endpoints subscriber 1 || fail "zcp sub does not subscribe: $(cat "$dir/sub.err")"
	run 0 "$second" pub "$@" man/second/given "$bytes" "$n"
	ends 30 $sub
	[ $status -eq 0 ] || fail "pub $* $bytes $n: zcp sub has status $status: $(cat "$dir/sub.err")"
	cmp -s "$dir/bytes" "$dir/sub.out" || fail "pub $* $bytes $n: other bytes arrived"
}

# meets SIZE COUNT [OPTION...]: second publishes to itself; options are the subscriber's
meets() {
	bytes=$1
	n=$2
	shift 2
	background sub "$second" sub "$@" man/second/both "$bytes" "$n"
	sub=$pid
	wait_for 10 endpoints subscriber 1 || fail "it does not subscribe: $(cat "$dir/sub.err")"
	run 0 "$second" pub man/second/both "$bytes" "$n"
	ends 30 $sub
	[ $status -eq 0 ] || fail "both $* $bytes $n: status $status: $(cat "$dir/sub.err")"
	[ "$(cat "$dir/sub.out")" = "$n taken, 0 lost" ] || fail "both $* $bytes $n: $(cat "$dir/sub.out")"
}

# Inside a slot; in the smallest chunks; in large ones; with as many samples held as may be.
for how in "" --fence; do
	# shellcheck disable=SC2086
	{
		takes 8 2000 $how
		takes 232 300 $how
		takes 233 300 --held 8 $how
		takes 100000 300 --held 3 $how
		gives 1 500 $how
		gives 40 2000 $how
		gives 41 300 $how
		gives 100000 300 $how
		meets 40 500 $how
		meets 70000 300 --held 8 $how
	}
done
ZCP_NO_MEMBARRIER=1
export ZCP_NO_MEMBARRIER
takes 40 500
takes 70000 200
gives 40 500
gives 70000 200
unset ZCP_NO_MEMBARRIER

# A publisher that waits for nobody, and a subscriber that comes too late for all but the last: what it takes is right, the rest is counted.
late() { # SIZE COMMAND...: a publisher of 1000 messages
	bytes=$1
	shift
	background sub "$second" sub --late man/second/late "$bytes" 1000
	sub=$pid
	wait_for 10 endpoints subscriber 1 || fail "it does not subscribe: $(cat "$dir/sub.err")"
	run 0 "$@"
	ends 30 $sub
	[ $status -eq 0 ] || fail "late, $*: status $status: $(cat "$dir/sub.err")"
	taken=$(sed -n 's/^\([0-9]*\) taken, [0-9]* lost$/\1/p' "$dir/sub.out")
	[ "$(cat "$dir/sub.out")" = "$taken taken, $((1000 - taken)) lost" ] && [ "$taken" -ge 4 ] && [ "$taken" -le 256 ] ||
		fail "late, $*: $(cat "$dir/sub.out")"
}
for bytes in 40 70000; do
	late $bytes "$second" pub --lossy man/second/late $bytes 1000
	"$second" bytes $bytes 1000 >"$dir/bytes"
	late $bytes "$zcp" pub --lossy --depth 16 --chunk $bytes man/second/late "$dir/bytes"
done

# Killed while it publishes: whoever reads is told, and nothing is left.
background sub "$zcp" sub --raw man/second/killed
sub=$pid
wait_for 10 endpoints subscriber 1 || fail "zcp sub does not subscribe: $(cat "$dir/sub.err")"
background pub "$second" pub man/second/killed 1000 100000000
pub=$pid
wait_for 20 test -s "$dir/sub.out" || fail "nothing comes from a publisher that is to be killed: $(cat "$dir/pub.err")"
kill -KILL $pub
ends 20 $sub
[ $status -eq 1 ] || fail "zcp sub has status $status after its publisher was killed"
wait_for 10 endpoints publisher 0 || fail "a publisher that was killed is still there"
finish
