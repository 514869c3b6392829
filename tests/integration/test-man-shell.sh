#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The commands in the manual's EXAMPLES do what they are said to do: each is run as it stands there, with somebody at its other end.
# What cannot be run here - it takes minutes, needs rights or a terminal - is at least taken by the tool's parser, with --help behind it. An
# example that this script does not know fails, and so does one that it knows and that is gone.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

groups=
trap 'for group in $groups; do kill -KILL "-$group" 2>/dev/null; done; tool_cleanup' EXIT

command -v jq >/dev/null || skip "no jq (Debian: apt-get install jq)"
trace=${ZCP_TRACE_BIN:-${top_builddir:-.}/zcp-trace}

# What they are typed with: the tools of this build, and programs in place of those that not everybody has.
mkdir "$dir/bin" "$dir/work"
ln -s "$(realpath "$zcp")" "$dir/bin/zcp"
ln -s "$(realpath "$router")" "$dir/bin/zcp-router"
[ ! -x "$trace" ] || ln -s "$(realpath "$trace")" "$dir/bin/zcp-trace"
cat >"$dir/bin/convert" <<'END'
#!/bin/sh
head -c 1000
END
cat >"$dir/bin/journalctl" <<'END'
#!/bin/sh
for i in 1 2 3 4 5 6 7 8 9 10; do echo "line $i"; done
END
cat >"$dir/bin/tar" <<'END'
#!/bin/sh
case $1 in
-c) exec /usr/bin/env -i /bin/tar -C "${0%/*}/.." -c work ;;
*) exec /bin/tar "$@" ;;
esac
END
chmod +x "$dir/bin"/*
PATH=$dir/bin:$PATH
export PATH
cd "$dir/work" || exit 99

# ---- out of the pages: a command a line, as the shell gets it ----

for page in "${top_srcdir:-.}"/man/*.[178]; do
	awk '
		function flush() {
			if (command == "") return
			gsub(/\\\(dq/, "\"", command)
			gsub(/\\\(aq/, "\047", command)
			gsub(/\\-/, "-", command)
			gsub(/\\&/, "", command)
			gsub(/ *\\e */, " ", command)
			gsub(/  +/, " ", command)
			sub(/^[$#] /, "", command)
			print command
			command = ""
		}
		/^\.Sh / { on = $2 == "EXAMPLES" }
		/^\.Ed/ { flush(); block = 0 }
		on && /^\.Dl [$#] / { command = substr($0, 5); flush() }
		on && block && /^[$#] / { flush(); command = $0; next }
		on && block && command != "" && /^ / { command = command $0; next }
		on && block { flush() }
		/^\.Bd -literal/ { block = 1 }
	' "$page"
done | sort -u >"$dir/left"
[ "$(wc -l <"$dir/left")" -gt 40 ] || fail "found hardly an example"

# known COMMAND: it is in the manual
known() {
	grep -qxF -- "$1" "$dir/left" || fail "no page has the example: $1"
	grep -vxF -- "$1" "$dir/left" >"$dir/rest"
	mv "$dir/rest" "$dir/left"
}

# does COMMAND: run it to its end, output in $dir/out
does() {
	known "$1"
	run 0 sh -c "$1"
}

# starts NAME COMMAND: in the background; one that ends with & there is a job here as well
starts() {
	known "$2"
	background "$1" sh -c "exec ${2% &}"
}

# pipes NAME COMMAND: likewise, for a pipeline, which is a process group
pipes() {
	known "$2"
	background "$1" setsid sh -c "${2% &}"
	groups="$groups $pid"
}

# parses COMMAND [WORD]: the tool takes its options; up to the first pipe
parses() {
	known "$1"
	run 0 sh -c "${1%% | *} --help"
}

shows() { # NAME PATTERN
	wait_for 20 grep -q -- "$2" "$dir/$1.out" || fail "$1: no '$2' in: $(head -c 300 "$dir/$1.out") $(cat "$dir/$1.err")"
}
# Not before it is known to run: until it has become another program, a job of this shell has this shell's traps.
over() { # PID
	kill -TERM "$1"
	ends 20 "$1"
}
over_all() { # PID, of a pipeline
	kill -TERM "-$1"
	ends 20 "$1"
}
named() { # NAME N: so many nodes are called that
	[ "$(zcp list --json | grep -c "\"name\": \"$1\"")" -eq "$2" ]
}
said() { # PATTERN
	grep -q -- "$1" "$dir/out" || fail "no '$1' in: $(cat "$dir/out")"
}

# ---- routers ----

ZCP_ROUTER=$dir/run/idle.sock
starts idle 'zcp-router --exit-when-idle=60'
idle=$pid
wait_for 10 "$zcp" info || fail "zcp-router does not come up: $(cat "$dir/idle.err")"
over "$idle"
parses 'zcp-router --socket /run/robot/router.sock --socket-mode 0660 --max-bytes-per-uid 256G'
ZCP_ROUTER=$dir/run/router.sock
start_router

# ---- messages ----

starts text 'zcp sub demo/chat/text'
text=$pid
wait_for 10 endpoints subscriber 1 || fail "zcp sub does not subscribe: $(cat "$dir/text.err")"
does 'zcp pub --data hello demo/chat/text'
does 'zcp send demo/chat/text hello'
known 'zcp pub demo/chat/text'
echo "from a pipe" | zcp pub demo/chat/text || fail "zcp pub has failed"
shows text 'from a pipe'
[ "$(grep -c hello "$dir/text.out")" -eq 2 ] || fail "zcp sub: $(cat "$dir/text.out")"
over "$text"

head -c 3000000 /dev/urandom >original
pipes copy 'zcp sub --raw demo/file/bytes > copy &'
copy=$pid
wait_for 10 endpoints subscriber 1 || fail "zcp sub --raw does not subscribe"
does 'zcp pub demo/file/bytes < original'
ends 20 "$copy"
cmp -s original copy || fail "the copy of the file differs"

pipes untar 'zcp sub --raw backup/host/tar | tar -t'
untar=$pid
wait_for 10 endpoints subscriber 1 || fail "zcp sub --raw does not subscribe"
does 'tar -c /etc | zcp pub backup/host/tar'
ends 20 "$untar"
shows untar '^work/original$'

pipes journal 'zcp sub --json --count 10 host/journal/line | jq -r .data'
journal=$pid
wait_for 10 endpoints subscriber 1 || fail "zcp sub --json does not subscribe"
does 'journalctl -f | zcp pub --lines host/journal/line'
ends 20 "$journal"
[ "$(sed -n '$p' "$dir/journal.out")" = "line 10" ] || fail "journal: $(cat "$dir/journal.out")"

starts tick 'zcp pub --data tick --rate 2 --wait 0 demo/clock/tick'
tick=$pid
run 0 zcp sub --count 2 --timeout 20 demo/clock/tick
said tick
does "zcp list --json | jq -r '.endpoints[] | select(.kind == \"publisher\") | .topic | .service + \"/\" + .instance + \"/\" + .event'"
said '^demo/clock/tick$'

does 'date | zcp send host/clock/date'
does 'zcp send --expect 1 robot/arm/stop now || echo "nobody listens" >&2'
grep -q 'nobody listens' "$dir/err" || fail "zcp send --expect 1 found somebody: $(cat "$dir/err")"

# ---- events, requests ----

pipes listen 'zcp listen --count 1 demo/recorder/state 7 && echo done'
listen=$pid
wait_for 10 endpoints listener 1 || fail "zcp listen does not listen"
does 'zcp notify demo/recorder/state 7'
ends 20 "$listen"
shows listen '^done$'

starts add "zcp serve demo/calc/add -- sh -c 'read a b; echo \$((a + b))'"
add=$pid
wait_for 10 endpoints server 1 || fail "zcp serve does not serve"
does "zcp call demo/calc/add '1 2'"
said ' 3$'
over "$add"
starts half 'zcp serve --jobs 4 images/scale/half -- convert - -resize 50% jpg:-'
half=$pid
wait_for 10 endpoints server 1 || fail "zcp serve does not serve"
head -c 2000 original >photo.jpg
does 'zcp call --raw images/scale/half < photo.jpg > small.jpg'
[ "$(wc -c <small.jpg)" -eq 1000 ] || fail "the picture has $(wc -c <small.jpg) bytes"
over "$half"
starts words1 'zcp serve --load-balanced text/count/words -- wc -w &'
words1=$pid
background words2 zcp serve --load-balanced text/count/words -- wc -w
words2=$pid
wait_for 10 endpoints server 2 || fail "two servers do not share a topic: $(cat "$dir/words1.err" "$dir/words2.err")"
run 0 zcp call text/count/words 'three short words'
said ' 3$'
over "$words1"
over "$words2"

# ---- looking on ----

does "zcp top --count 5 --filter 'camera/*' --sort topic"
parses 'zcp top'
pipes attention "zcp top --json | jq -c '.topics[] | select(.attention) | [.service, .instance, .event, .state]'"
attention=$pid
wait_for 20 named 'zcp top' 1 || fail "zcp top does not join: $(cat "$dir/attention.err")"
over_all "$attention"
[ ! -s "$dir/attention.err" ] || fail "zcp top --json | jq: $(cat "$dir/attention.err")"
starts watch 'zcp watch'
watch=$pid
shows watch 'demo/clock/tick'
over "$watch"
starts radar "zcp watch 'radar/*'"
radar=$pid
# with an end and a pattern, since jq keeps what it prints to a file to itself until then
known "zcp watch --json --no-existing | jq -c 'select(.cause == \"died\")'"
background died setsid sh -c "zcp watch --json --no-existing --count 2 'radar/*' | jq -c 'select(.cause == \"died\")'"
died=$pid
groups="$groups $died"
wait_for 10 named 'zcp watch' 2 || fail "two watches are not there: $(zcp list)"
background victim zcp pub --data x --rate 10 --wait 0 radar/front/targets
wait_for 10 endpoints publisher 2 || fail "the victim does not publish"
kill -KILL "$pid"
ends 20 "$pid"
shows radar 'radar/front/targets'
over "$radar"
ends 20 "$died"
[ "$(wc -l <"$dir/died.out")" -eq 1 ] && grep -q '"signal":"SIGKILL"' "$dir/died.out" || fail "zcp watch --json | jq: $(cat "$dir/died.out" "$dir/died.err")"
# quiet: only what is amiss, and 1 if something is
known 'zcp doctor --quiet'
zcp doctor --quiet >"$dir/out" 2>"$dir/err"
[ $? -le 1 ] && [ ! -s "$dir/err" ] || fail "zcp doctor --quiet: $(cat "$dir/err")"
known 'systemd-run --pipe --uid=robot -p MemoryMax=200M zcp doctor'

# ---- recordings ----

recorded() { # FILE: what was recorded of it so far
	[ -s "$1" ] && [ "$(stat -c %s "$1")" -gt "${2:-100}" ]
}
starts record 'zcp record trip.zcprec'
record=$pid
wait_for 20 recorded trip.zcprec || fail "zcp record records nothing: $(cat "$dir/record.err")"
run 0 zcp sub --count 3 --timeout 20 demo/clock/tick
kill -INT "$record"
ends 20 "$record"
[ $status -eq 0 ] || fail "zcp record: status $status: $(cat "$dir/record.err")"
does 'zcp record --info trip.zcprec'
said 'demo/clock/tick'
over "$tick"
background replayed zcp sub --count 1 --timeout 20 demo/clock/tick
replayed=$pid
wait_for 10 endpoints subscriber 1 || fail "zcp sub does not subscribe"
does 'zcp replay trip.zcprec'
ends 20 "$replayed"
[ $status -eq 0 ] || fail "a recording was replayed, and nothing came: $(cat "$dir/replayed.err")"
known 'zcp replay --rate 4 --start 60 --end 120 --topic radar trip.zcprec'
known "zcp record --compress --max-size 1G --keep 10 trip.zcprec 'radar/*' camera/front/image"
known 'zcp replay --wait 1 --reliable trip.*.zcprec'
if ! zcp record --compress --help >/dev/null 2>"$dir/err"; then
	echo "not compressed: $(cat "$dir/err")"
else
	background parts zcp record --compress --max-size 1G --keep 10 trip.zcprec 'radar/*' camera/front/image
	parts=$pid
	background frames zcp pub --data frame --rate 50 --wait 0 radar/front/image
	frames=$pid
	parts_are_there() {
		set -- trip.*.zcprec
		recorded "$1"
	}
	wait_for 20 parts_are_there || fail "zcp record makes no parts: $(ls) $(cat "$dir/parts.err")"
	run 0 zcp sub --count 5 --timeout 20 radar/front/image
	kill -INT "$parts"
	ends 20 "$parts"
	over "$frames"
	background replayed zcp sub --count 1 --timeout 20 radar/front/image
	replayed=$pid
	wait_for 10 endpoints subscriber 1 || fail "zcp sub does not subscribe"
	run 0 sh -c 'zcp replay --wait 1 --reliable trip.*.zcprec'
	ends 20 "$replayed"
	[ $status -eq 0 ] || fail "parts were replayed, and nothing came: $(cat "$dir/replayed.err")"
fi
run 0 sh -c 'zcp replay --rate 4 --start 60 --end 120 --topic radar trip.zcprec --help'

# ---- what cannot be run here ----

parses 'zcp bench --quick'
parses 'zcp bench --histogram latency'
parses "zcp bench --json | jq -r '.results[] | [.section, .name, .ratio] | @tsv'"
for command in 'zcp-trace latency -t radar/front/track --duration 10' 'zcp-trace drops' 'zcp-trace events -p 4711 -k publish,take'; do
	if [ -x "$trace" ]; then
		parses "$command"
	else
		known "$command"
	fi
done

# others' tests: the programs of libzcp(7); and what needs bpftrace or systemd
known 'systemctl enable --now zcp-router.socket'
known "bpftrace -e 'usdt:/usr/lib/x86_64-linux-gnu/libzcp.so.0:zcp:take { @taken[arg0] = count(); @us = hist((nsecs - arg4) / 1000); }'"
known 'cc first-pub.c -o first-pub $(pkg-config --cflags --libs zcp)'
known 'cc first-sub.c -o first-sub $(pkg-config --cflags --libs zcp)'
known './first-sub & ./first-pub'

while read -r command; do
	fail "this test does not know the example: $command"
done <"$dir/left"
finish
