#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp-trace on the command line: wrong usage is one line and status 2, --help and the page know the same options, who may not trace hears what is
# missing, and a signal, a time or a closed pipe ends it with everything said.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

trace=${ZCP_TRACE_BIN:-./zcp-trace}
[ -x "$trace" ] || skip "zcp-trace is not built"
commands="events latency drops exits wakeups top"
topic=trace/usage/x

one_line() {
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "$*: not one line of complaint: $(cat "$dir/err")"
	[ -s "$dir/out" ] && fail "$*: printed something"
}

# wrong PATTERN ARGUMENT...
wrong() {
	pattern=$1
	shift
	run 2 "$trace" "$@"
	one_line "zcp-trace $*"
	grep -q -e "$pattern" "$dir/err" || fail "zcp-trace $*: the complaint doesn't say '$pattern': $(cat "$dir/err")"
}

# fails PATTERN COMMAND...
fails() {
	pattern=$1
	shift
	run 1 "$@"
	one_line "$*"
	grep -q -e "^zcp-trace: .*$pattern" "$dir/err" || fail "$*: the complaint doesn't say '$pattern': $(cat "$dir/err")"
}

# ---- wrong usage ----

wrong "no command was given.*--help"
wrong "no command 'frobnicate'.*--help" frobnicate
wrong "unrecognized option '--pid'" --pid 4711 events
wrong "requires an argument" --socket
wrong "path is empty" --socket ""
for command in $commands; do
	wrong "^zcp-trace $command: unrecognized option '--fast'" "$command" --fast
	wrong "takes no argument.*'x'.*zcp-trace $command --help" "$command" x
	wrong "path is empty" "$command" --socket ""
	for option in --pid --topic --duration --interval --socket -p -t; do
		wrong "requires an argument" "$command" $option
	done
	for number in 0 -1 x 4711x 99999999999 ""; do
		wrong "pid wants a number from 1 to .*'$number'" "$command" -p "$number"
	done
	for option in --duration --interval; do
		for number in soon -1 nan 1s ""; do
			wrong "${option#--} wants seconds, like .*'$number'" "$command" $option "$number"
		done
		wrong "${option#--}: at least a millisecond" "$command" $option 0
		wrong "${option#--}: at least a millisecond" "$command" $option 0.0009
	done
	wrong "topic: the pattern 'a/b/c/d' has more than three parts" "$command" -t a/b/c/d
	wrong "topic: a part of the pattern .* contains a control character" "$command" -t "$(printf 'a/b\001/c')"
	wrong "topic: a part of the pattern" "$command" --topic "$(printf '%0101d' 0)"
done
wrong "no probe 'tkae', but there are loan, .*, take, .*, resume" events -k tkae
wrong "no probe ''" events -k publish,
wrong "no probe 'taken'" events -k take,taken
wrong "topic leaves none of these probes" events -k join,retire -t a/b
for command in latency drops exits wakeups top; do
	wrong "kinds is for 'zcp-trace events'" "$command" -k take
done
for command in events drops exits top; do
	wrong "histogram is for 'zcp-trace latency' and 'zcp-trace wakeups'" "$command" --histogram
done
for command in latency wakeups; do
	wrong "histogram and --json exclude each other" "$command" --histogram --json
done

# ---- help ----

run 0 "$trace" --help
cat "$dir/out" >"$dir/helps"
for command in $commands; do
	grep -q "^  $command  *[a-z]" "$dir/helps" || fail "zcp-trace --help does not mention $command"
	run 0 "$trace" "$command" --help
	grep -q "^Usage: zcp-trace $command" "$dir/out" || fail "zcp-trace $command --help says nothing"
	awk 'length > 100 { bad = 1 } END { exit bad }' "$dir/out" || fail "zcp-trace $command --help: a line of over 100 columns"
	[ -s "$dir/err" ] && fail "zcp-trace $command --help complained"
	cat "$dir/out" >>"$dir/helps"
	run 0 "$trace" "$command" --version
	grep -q '^zcp-trace [0-9][0-9.]*$' "$dir/out" || fail "zcp-trace $command --version: $(cat "$dir/out")"
done
page=${top_srcdir:-.}/man/zcp-trace.1
grep -o -e '^ *\(-[a-z], \)\?--[a-z-]*' "$dir/helps" | sed 's/^ *//' | sort -u >"$dir/in-help"
sed -n 's/\\-/-/g; s/^\.It Fl \([a-z]\) , -\([a-z-]*\).*/-\1, --\2/p; s/^\.It Fl -\([a-z-]*\).*/--\1/p' "$page" | sort >"$dir/in-page"
cmp -s "$dir/in-help" "$dir/in-page" || fail "zcp-trace --help and its page differ: $(diff "$dir/in-help" "$dir/in-page")"
[ "$(wc -l <"$dir/in-help")" -gt 8 ] || fail "no options found: $(cat "$dir/in-help")"
# the page's list of what events shows, and what its complaint lists
run 2 "$trace" events -k x
sed -n "s/.*but there are \(.*\); '.*/\1/p" "$dir/err" | tr -d ' ' | tr ',' '\n' | sort >"$dir/kinds"
sed -n '/^\.Sh PROBES/,/^\.Sh ENV/s/^\.It Cm \([a-z_]*\) Pq .*/\1/p' "$page" | grep -v -x -e published -e taken -e taken_untimed | sort >"$dir/in-page"
cmp -s "$dir/kinds" "$dir/in-page" || fail "zcp-trace events and its page differ: $(diff "$dir/kinds" "$dir/in-page")"

# ---- no router, no process, no rights ----

for command in $commands; do
	fails "no router at $ZCP_ROUTER; start zcp-router" "$trace" "$command"
done
fails "no router at $dir/none.sock" "$trace" latency --socket "$dir/none.sock"
[ -e "$ZCP_ROUTER" ] && fail "zcp-trace has started a router"

# what needs no rights was tried, the rest cannot be
leave_out() {
	[ $failures -eq 0 ] || exit 1
	skip "all but wrong usage: $*"
}
[ "$(id -u)" -eq 0 ] || leave_out "tracing needs root"
[ -r /sys/kernel/btf/vmlinux ] || leave_out "the kernel has no BTF"
[ -r /sys/bus/event_source/devices/uprobe/type ] || leave_out "the kernel has no uprobes, or /sys is not there"
grep -q '^#define HAVE_PROBES 1' "${top_builddir:-.}/config.h" || leave_out "libzcp is built without probes (sys/sdt.h)"
command -v setpriv >/dev/null || leave_out "no setpriv (Debian: util-linux)"

start_router
sh -c : &
dead=$!
wait $dead
fails "there is no process $dead" "$trace" latency -p $dead

# lacks NAMES CAPABILITY...: root without these
lacks() {
	names=$1
	shift
	without=$(printf ',-%s' "$@")
	fails "missing $names;.*setcap cap_bpf,cap_perfmon,cap_sys_ptrace" timeout 60 setpriv --bounding-set "${without#,}" "$trace" latency --duration 1
}
lacks "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE" bpf perfmon sys_ptrace sys_admin
lacks "CAP_BPF" bpf sys_admin
lacks "CAP_PERFMON" perfmon sys_admin
# there are kernels for which CAP_PERFMON is enough to read whose mappings these are
background node "$zcp" sub $topic
wait_for 20 endpoints subscriber 1 || fail "no subscriber: $(cat "$dir/node.err")"
if setpriv --bounding-set -sys_ptrace cat /proc/$pid/maps >/dev/null 2>&1; then
	echo "not tried without CAP_SYS_PTRACE: this kernel asks for it less"
else
	lacks "CAP_SYS_PTRACE" sys_ptrace
fi
kill -TERM $pid
ends 20 $pid

# somebody else, with a router of his own
mkdir "$dir/nobody"
cp "$trace" "$router" "$dir/nobody"
chmod 755 "$dir" "$dir/nobody" "$dir"/nobody/*
mkdir "$dir/nobody/run"
chown 65534 "$dir/nobody/run"
background nobody setpriv --reuid 65534 --clear-groups --inh-caps=-all "$dir/nobody/${router##*/}" --quiet --socket "$dir/nobody/run/router.sock"
wait_for 20 test -S "$dir/nobody/run/router.sock" || fail "nobody's router: $(cat "$dir/nobody.err")"
fails "missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE; root has them" setpriv --reuid 65534 --clear-groups --inh-caps=-all \
	"$dir/nobody/zcp-trace" events --socket "$dir/nobody/run/router.sock"
kill -TERM $pid
ends 20 $pid

# ---- its end ----

# traffic: 20 messages from one process to another
traffic() {
	background sub "$zcp" sub --count 20 $topic
	timeout 60 "$zcp" pub --reliable --data hello --count 20 $topic </dev/null || fail "zcp pub: status $?"
	ends 20 $pid
}

# tracer NAME ARGUMENT...: started, and ready
tracer() {
	background "$1" "$trace" "$@"
	wait_for 120 grep -q '^zcp-trace: probes in' "$dir/$1.err" || fail "zcp-trace $*: not ready: $(cat "$dir/$1.err")"
}

# over NAME PID PATTERN...: it has ended well, and each pattern is in what it printed
over() {
	name=$1
	ends 120 "$2"		# it detaches one place after the other
	[ $status -eq 0 ] || fail "zcp-trace $name ended with $status: $(cat "$dir/$name.err")"
	shift 2
	for pattern; do
		grep -q -e "$pattern" "$dir/$name.out" || fail "zcp-trace $name did not print '$pattern': $(cat "$dir/$name.out")"
	done
}

sleep 600 &
stranger=$!
started="$started $stranger"
(
	"$trace" events -k publish 2>"$dir/pipe.err"
	echo $? >"$dir/pipe.status"
) | head -n 1 >"$dir/pipe.out" &
tracer latency --interval 60
latency=$pid
tracer top --interval 60
top=$pid
tracer exits -p $stranger
exits=$pid
grep -q "process $stranger has not joined this router; waiting" "$dir/exits.err" || fail "a stranger is not named: $(cat "$dir/exits.err")"
tracer events -k publish,take,wait_begin,join
events=$pid
wait_for 120 grep -q '^zcp-trace: probes in' "$dir/pipe.err" || fail "the first of them is not ready: $(cat "$dir/pipe.err")"
traffic
wait_for 20 grep -q publish "$dir/pipe.out" || fail "nothing came out of the pipe"
kill -INT $latency $events
kill -TERM $top $exits
over latency $latency '^all, until ' "^$topic  *data  *20  "
over top $top "$topic  *data "
over exits $exits
[ -s "$dir/exits.out" ] && fail "something is said of a stranger: $(cat "$dir/exits.out")"
over events $events "^[0-9:.]*  *zcp pub\[[0-9]*\]  *publish  *$topic  *#19  *5 B\$" \
	"^[0-9:.]*  *zcp sub\[[0-9]*\]  *take  *$topic  .*#0  *5 B  *after " \
	"^[0-9:.]*  *zcp-router\[[0-9]*\]  *join .*zcp pub"
[ "$(grep -c ' publish ' "$dir/events.out")" -eq 20 ] || fail "not 20 publishes: $(cat "$dir/events.out")"
[ "$(grep -c ' take ' "$dir/events.out")" -eq 20 ] || fail "not 20 takes: $(cat "$dir/events.out")"

# a closed pipe is noticed by the next write, and is no failure
traffic
wait_for 120 test -s "$dir/pipe.status" || fail "it goes on without a reader"
[ "$(cat "$dir/pipe.status")" = 0 ] || fail "a closed pipe: status $(cat "$dir/pipe.status"): $(cat "$dir/pipe.err")"

# a time that is over, and a standard output that is closed
run 0 "$trace" events -k notify --duration 0.05
[ -s "$dir/out" ] && fail "events of nobody: $(cat "$dir/out")"
"$trace" latency --duration 0.05 >&- 2>"$dir/err" && fail "without a standard output it succeeds"
grep -q '^zcp-trace: standard output' "$dir/err" || fail "without a standard output: $(cat "$dir/err")"

finish
