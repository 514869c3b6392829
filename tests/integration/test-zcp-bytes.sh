#!/bin/sh
# SPDX-License-Identifier: MIT
#
# `zcp pub < file` and `zcp sub --raw > file` give the same bytes, whatever their number, in bounded memory.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

start_router

# same NAME EXPECTED-FILE PUB-ARGUMENT...: standard input of pub is $dir/input
same() {
	what=$1
	expected_file=$2
	shift 2
	background sub "$zcp" sub --raw test/bytes/raw
	sub=$pid
	timeout 60 "$zcp" pub "$@" <"$dir/input" >"$dir/pub.out" 2>"$dir/pub.err" || fail "$what: pub: $(cat "$dir/pub.err")"
	[ -s "$dir/pub.out" ] || [ -s "$dir/pub.err" ] && fail "$what: pub is not silent: $(cat "$dir/pub.out" "$dir/pub.err")"
	ends 20 $sub
	[ $status -eq 0 ] || fail "$what: sub: status $status: $(cat "$dir/sub.err")"
	[ -s "$dir/sub.err" ] && fail "$what: sub complained: $(cat "$dir/sub.err")"
	cmp "$expected_file" "$dir/sub.out" || fail "$what: the bytes differ"
}

for size in 0 1 1000 65536 1048575 1048576 1048577 5000000; do
	head -c $size /dev/urandom >"$dir/input"
	same "$size bytes" "$dir/input" --reliable test/bytes/raw
done
same "small chunks" "$dir/input" --chunk 4000 --reliable test/bytes/raw
same "reliable by default" "$dir/input" --chunk 999 test/bytes/raw
same "large chunk" "$dir/input" --chunk 8M test/bytes/raw

head -c 300000 /dev/urandom >"$dir/a"
head -c 1 /dev/urandom >"$dir/b"
: >"$dir/empty"
cat "$dir/a" "$dir/empty" "$dir/input" "$dir/b" >"$dir/all"
same "files and standard input" "$dir/all" test/bytes/raw "$dir/a" "$dir/empty" - "$dir/b"

# a source that pauses: what is there comes through, and the bytes stay the same
mkfifo "$dir/fifo"
background sub "$zcp" sub --raw test/bytes/slow
sub=$pid
background pub "$zcp" pub test/bytes/slow "$dir/fifo"
pub=$pid
exec 3>"$dir/fifo"
printf 'one' >&3
wait_for 10 grep -q one "$dir/sub.out" || fail "a pause doesn't let the beginning through"
printf 'two' >&3
exec 3>&-
ends 10 "$pub"
[ $status -eq 0 ] || fail "pub of a fifo: status $status"
ends 10 "$sub"
[ "$(cat "$dir/sub.out")" = onetwo ] || fail "a source that pauses: $(cat "$dir/sub.out")"

# several subscribers, all complete
background sub1 "$zcp" sub --raw test/bytes/many
sub1=$pid
background sub2 "$zcp" sub --raw test/bytes/many
sub2=$pid
run 0 "$zcp" pub --wait 2 test/bytes/many "$dir/input"
ends 20 "$sub1"
ends 20 "$sub2"
cmp "$dir/input" "$dir/sub1.out" || fail "the first of two differs"
cmp "$dir/input" "$dir/sub2.out" || fail "the second of two differs"

# 4 GiB, most of it a hole, not stored anywhere on the way: compared in a pipe
{ truncate -s 4G "$dir/sparse" && printf "end" >>"$dir/sparse"; } || skip "no 4 GiB sparse file here"
printf 'middle' | dd of="$dir/sparse" bs=1 seek=3000000001 conv=notrunc 2>/dev/null
{
	timeout 120 "$zcp" sub --raw test/bytes/sparse 2>"$dir/sub.err"
	echo $? >"$dir/sub.status"
} | cmp - "$dir/sparse" >"$dir/cmp.out" 2>&1 &
compare=$!
background pub "$zcp" pub --reliable test/bytes/sparse "$dir/sparse"
pub=$pid
peak=0
while ! gone "$pub" 2>/dev/null; do
	kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pub/status" 2>/dev/null)
	[ "${kib:-0}" -gt "$peak" ] && peak=$kib
	sleep 0.1
done
ends 100 "$pub"
[ $status -eq 0 ] || fail "4 GiB: pub: status $status: $(cat "$dir/pub.err")"
wait $compare || fail "4 GiB: $(cat "$dir/cmp.out")"
[ "$(cat "$dir/sub.status")" = 0 ] || fail "4 GiB: sub: status $(cat "$dir/sub.status"): $(cat "$dir/sub.err")"
[ "$peak" -lt 262144 ] || fail "4 GiB: pub used $peak KiB"

finish
