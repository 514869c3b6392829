#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp record and zcp replay as a user runs them: what they take and refuse, files in parts, ends of all kinds, a full disk.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

# value FILE KEY: of the recording
value() {
	"$zcp" record --info --json "$1" 2>/dev/null | sed -n "s/^  \"$2\": \"*\([^\",]*\)\"*,*$/\1/p"
}
has() { # FILE N: messages
	[ "$(value "$1" messages)" = "$2" ]
}
# lines FIRST LAST [TOPIC]: published, none lost
lines() {
	seq "$1" "$2" >"$dir/lines"
	timeout 60 "$zcp" pub --lines --reliable "${3:-rec/ord/a}" "$dir/lines" || fail "pub: status $?"
}

start_router
cd "$dir" || exit 99

# ---- record, look, replay ----

background rec "$zcp" record --reliable a.zcprec 'rec/*'
rec=$pid
lines_of() { # FILE: payloads of a replay, as `zcp sub` saw them
	sed -n 's/.*"data":"\([^"]*\)".*/\1/p' "$1"
}
wait_for 10 test -e a.zcprec || fail "no file"
# a topic that comes while it is recording, and one that is not wanted
background keep "$zcp" sub --json rec/ord/a
keep=$pid
wait_for 10 endpoints subscriber 2 || fail "the recorder did not subscribe to what somebody waits for"
lines 1 200
background other "$zcp" sub oth/er/a
other=$pid
wait_for 10 endpoints subscriber 3
lines 1 3 oth/er/a
wait_for 10 has a.zcprec 200 || fail "a file that is being written has $(value a.zcprec messages) messages"
[ "$(value a.zcprec state)" = "not finished" ] || fail "state while recording: $(value a.zcprec state)"
kill -INT "$rec"
ends 10 "$rec"
[ $status -eq 0 ] || fail "SIGINT at record: status $status: $(cat rec.err)"
grep -q '^200 messages of 1 topic, .*; 0 lost; .* in 1 file$' rec.err || fail "summary: $(cat rec.err)"
kill -INT "$keep" "$other"
ends 10 "$keep"
ends 10 "$other"
[ "$(value a.zcprec state)" = finished ] || fail "state: $(value a.zcprec state)"
[ "$(value a.zcprec lost)" = 0 ] || fail "lost: $(value a.zcprec lost)"
run 0 "$zcp" record --info a.zcprec
grep -q '^rec/ord/a  *zcp pub  *200  *492 B  *3 B$' out || fail "--info: $(cat out)"
grep -q '^state     finished, 1 chunk$' out || fail "--info: $(cat out)"
run 0 "$zcp" record --info --json a.zcprec
python3 -m json.tool out >/dev/null 2>&1 || ! command -v python3 >/dev/null || fail "--json: $(cat out)"

# replayed FILE ARGUMENT...: what a subscriber of rec/ord/a gets
replayed() {
	truth=$1
	shift
	background got "$zcp" sub --json --count "$(wc -l <"$truth")" "${topic:-rec/ord/a}"
	got=$pid
	wait_for 10 endpoints subscriber 1
	run 0 "$zcp" replay --wait 1 --reliable "$@"
	ends 10 "$got"
	lines_of got.out >got.lines
	cmp -s "$truth" got.lines || fail "replay $*: $(diff "$truth" got.lines | head -5)"
}
seq 1 200 >all
replayed all a.zcprec
grep -q '^200 messages of 1 publisher, .* late$' err || fail "summary of replay: $(cat err)"
replayed all --rate 0 -q a.zcprec
[ -s err ] && fail "--quiet: $(cat err)"
cat all all all >three
replayed three --rate 100 --loop=3 a.zcprec
topic=copy-of-rec/ord/a
replayed all --prefix copy-of- --topic 'rec/*/a' --topic none a.zcprec
topic=
run 0 "$zcp" replay --topic 'rec/ord/b' --loop a.zcprec
grep -q '^0 messages of 0 publishers' err || fail "nothing to replay: $(cat err)"
run 0 "$zcp" replay --start 100000 a.zcprec
grep -q '^0 messages' err || fail "--start behind the end: $(cat err)"
run 1 "$zcp" replay --wait 1 --timeout 0.1 a.zcprec
grep -q 'has not got 1 subscribers in time' err || fail "--wait --timeout: $(cat err)"

# ---- parts, and ends by --count and --duration ----

background rec "$zcp" record --reliable --max-size 4096 -n 300 b.zcprec rec/ord/a
rec=$pid
wait_for 10 endpoints subscriber 1 || fail "a topic that is named in full is not subscribed to at once"
lines 1 300
ends 10 "$rec"
[ $status -eq 0 ] || fail "--count: status $status"
[ -e b.zcprec ] && fail "a file without a number beside the parts"
set -- b.*.zcprec
[ $# -gt 3 ] || fail "--max-size: $*"
for part in "$@"; do
	[ "$(stat -c %s "$part")" -le 4096 ] || fail "$part has $(stat -c %s "$part") bytes"
	[ "$(value "$part" state)" = finished ] || fail "$part: $(value "$part" state)"
done
seq 1 300 >all
replayed all --rate 0 "$@"

background rec "$zcp" record --reliable --max-size 4096 --keep 2 -n 300 c rec/ord/a
rec=$pid
wait_for 10 endpoints subscriber 1
lines 1 300
ends 10 "$rec"
set -- c.*
[ $# -eq 2 ] || fail "--keep 2: $*"

background rec "$zcp" record --max-time 0.2 -n 2 d.zcprec rec/ord/a
rec=$pid
wait_for 10 endpoints subscriber 1
lines 1 1
wait_for 10 has d.0001.zcprec 1 || fail "--max-time: $(ls)"
sleep 0.2
lines 2 2
ends 10 "$rec"
has d.0001.zcprec 1 && has d.0002.zcprec 1 || fail "--max-time: $(ls d.*)"

run 0 "$zcp" record --duration 0.1 e.zcprec
[ "$(value e.zcprec state)" = finished ] || fail "--duration, nothing recorded: $(value e.zcprec state)"
run 0 "$zcp" replay --loop e.zcprec

# ---- compressed ----

if "$zcp" record --compress --duration 0 f.zcprec 2>err; then
	background rec "$zcp" record -f --compress=19 --reliable -n 200 f.zcprec rec/ord/a
	rec=$pid
	wait_for 10 endpoints subscriber 1
	lines 1 200
	ends 10 "$rec"
	[ "$(value f.zcprec compressed)" = true ] || fail "--compress: $("$zcp" record --info f.zcprec)"
	[ "$(stat -c %s f.zcprec)" -lt "$(stat -c %s a.zcprec)" ] || fail "--compress: $(stat -c %s f.zcprec) bytes"
	seq 1 200 >all
	replayed all --rate 0 f.zcprec
else
	grep -q 'built without zstd' err || fail "--compress: $(cat err)"
fi

# ---- a file that exists; files that are none ----

run 1 "$zcp" record a.zcprec
grep -q '^zcp: a.zcprec: exists; --force replaces it$' err || fail "exists: $(cat err)"
has a.zcprec 200 || fail "it was touched"
run 0 "$zcp" record --force --duration 0 a.zcprec
has a.zcprec 0 || fail "--force: $(value a.zcprec messages)"
run 1 "$zcp" record --force /dev/null
run 1 "$zcp" record nowhere/file
for file in all . /dev/zero nothing; do
	run 1 "$zcp" record --info "$file"
	[ "$(wc -l <err)" -eq 1 ] || fail "--info $file: $(cat err)"
	run 1 "$zcp" replay "$file"
	[ "$(wc -l <err)" -eq 1 ] || fail "replay $file: $(cat err)"
done

# ---- cut off, and damaged ----

head -c 1000 b.0001.zcprec >cut.zcprec
[ "$(value cut.zcprec state)" = "not finished" ] && [ "$(value cut.zcprec torn)" = true ] || fail "cut off: $("$zcp" record --info cut.zcprec)"
seq 1 "$(value cut.zcprec messages)" >all
[ "$(wc -l <all)" -gt 5 ] || fail "cut off: $(wc -l <all) messages"
replayed all --rate 0 cut.zcprec
grep -q '^zcp: cut.zcprec was not finished: replaying what is there$' err || fail "cut off: $(cat err)"
cp b.0001.zcprec damaged.zcprec
printf 'x' | dd of=damaged.zcprec bs=1 seek=900 conv=notrunc 2>/dev/null
run 1 "$zcp" replay -q --rate 0 damaged.zcprec
grep -q 'is damaged' err || fail "damaged: $(cat err)"

# ---- ends ----

# timeout(1) sends its signal twice
run 124 timeout 1 "$zcp" record g.zcprec
[ "$(value g.zcprec state)" = finished ] || fail "timeout 1 zcp record: $(value g.zcprec state)"
background endless "$zcp" replay -q --loop --rate 0.5 b.0001.zcprec
endless=$pid
wait_for 10 endpoints publisher 1
kill -INT "$endless"
ends 10 "$endless"
[ $status -eq 0 ] || fail "SIGINT at replay --loop: status $status"
background once "$zcp" replay -q --loop=1000000000 b.0001.zcprec
once=$pid
wait_for 10 endpoints publisher 1
kill -INT "$once"
ends 10 "$once"
[ $status -eq 130 ] || fail "SIGINT at replay: status $status"

# the router is killed: data flows on, and is recorded; what comes with the next router too
background rec "$zcp" record -q --reliable -n 20 h.zcprec rec/ord/a
rec=$pid
wait_for 10 endpoints subscriber 1
lines 1 10
wait_for 10 has h.zcprec 10 || fail "before the router's end: $(value h.zcprec messages)"
kill -KILL "$router_job"
wait "$router_job" 2>/dev/null
start_router
wait_for 10 endpoints subscriber 1 || fail "the recorder did not come back to the router"
lines 11 20
ends 10 "$rec"
[ $status -eq 0 ] && has h.zcprec 20 || fail "a new router: status $status, $(value h.zcprec messages)"

# ---- a full disk ----

head -c 3000000 /dev/urandom >bytes
for level in --buffer=8M --compress; do
	[ $level = --compress ] && [ ! -e f.zcprec ] && continue
	background rec sh -c "trap '' XFSZ; ulimit -f 2048; exec '$zcp' record -f $level --reliable full.zcprec rec/ord/full"
	rec=$pid
	wait_for 10 endpoints subscriber 1
	# it may see its subscriber go
	timeout 20 "$zcp" pub --chunk 10000 rec/ord/full bytes 2>/dev/null
	ends 10 "$rec"
	[ $status -eq 1 ] || fail "full disk: status $status"
	grep -q '^zcp: full.zcprec: File too large; what was written before can be read$' rec.err || fail "full disk: $(cat rec.err)"
	run 0 "$zcp" record --info full.zcprec
	[ $level = --compress ] || [ "$(value full.zcprec messages)" -gt 90 ] || fail "full disk: $(cat out)"
done

# the same with a disk that is full, where we may have one
cat >on-small-disk <<'END'
mount -t tmpfs -o size=1m none "$2/small" || exit 77
cd "$2/small" || exit 77
"$1" record --reliable --buffer=8M full.zcprec rec/ord/full
[ $? -eq 1 ] || exit 1
"$1" record --info --json full.zcprec >"$2/full.json" || exit 2
dd if=/dev/zero of=fill bs=64k 2>/dev/null
rm -f full.zcprec
dd if=/dev/zero of=fill2 bs=64k 2>/dev/null
"$1" record -n 1 none.zcprec rec/ord/full 2>"$2/none.err"
[ $? -eq 1 ] || exit 3
[ ! -e none.zcprec ] || exit 4
END
mkdir small
if unshare -m true 2>/dev/null; then
	background rec unshare -m sh on-small-disk "$zcp" "$dir"
	rec=$pid
	wait_for 10 endpoints subscriber 1 || kill -0 "$rec" 2>/dev/null || fail "the recorder on a small disk did not begin"
	timeout 20 "$zcp" pub --chunk 10000 rec/ord/full bytes 2>/dev/null
	ends 20 "$rec"
	if [ $status -ne 77 ]; then
		[ $status -eq 0 ] || fail "a full disk: $status: $(cat rec.err none.err)"
		grep -q '^zcp: full.zcprec: No space left on device; what was written before can be read$' rec.err || fail "a full disk: $(cat rec.err)"
		n=$(sed -n 's/^  "messages": \([0-9]*\),*$/\1/p' full.json)
		[ "$n" -gt 90 ] && [ "$n" -lt 105 ] || fail "a full disk: $n messages of 10000 bytes in a mebibyte"
		grep -q '^zcp: none.zcprec: No space left on device$' none.err || fail "a disk that was full before: $(cat none.err)"
	fi
fi

# ---- wrong use ----

mkdir directory
for file in directory /dev/full; do
	run 1 "$zcp" record $file
	grep -q "^zcp: $file: no regular file$" err || fail "$file: $(cat err)"
done
run 1 "$zcp" replay --prefix "$(printf '%0100d' 0)" b.0001.zcprec
grep -q 'with --prefix .* longer than 100 bytes' err || fail "a long prefix: $(cat err)"
run 2 "$zcp" replay --rate fast file
grep -q 'wants a factor' err || fail "--rate: $(cat err)"

run 2 "$zcp" record
run 2 "$zcp" record --json file
run 2 "$zcp" record --keep 3 file
run 2 "$zcp" record --compress=20 file
run 2 "$zcp" record --max-size 1 file
run 2 "$zcp" record --info a b
run 2 "$zcp" record --fast file
run 2 "$zcp" record --force b.0001.zcprec a/b/c/d
grep -q 'more than three parts' err || fail "a pattern of four parts: $(cat err)"
[ "$(value b.0001.zcprec state)" = finished ] || fail "a pattern of four parts, and the file is replaced"
run 2 "$zcp" replay
run 2 "$zcp" replay --rate -1 file
run 2 "$zcp" replay --topic a/b/c/d file
run 2 "$zcp" replay --reliable --lossy file
run 2 "$zcp" replay --start 2 --end 1 file
finish
