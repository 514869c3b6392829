#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The C examples of the manual and of README.md compile with a user's flags and do what they say. Programs run as they are; what is a
# function is called by tests/integration/man-examples.c, which is compiled behind all of them. A page whose example nobody calls
# fails, so a new one comes with its case. Those in C++ are test-man-cxx.sh's.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

man=${top_srcdir:-.}/man
# The library of the build, or the one that is installed, as pkg-config describes it.
if [ -n "${ZCP_TEST_PACKAGE:-}" ]; then
	flags=$(pkg-config --cflags --libs "$ZCP_TEST_PACKAGE") || exit 99
else
	library=
	for file in libzcp.so libzcp.a; do
		[ -n "$library" ] || [ ! -e "${top_builddir:-.}/.libs/$file" ] || library=${top_builddir:-.}/.libs/$file
	done
	[ -n "$library" ] || skip "no libzcp in ${top_builddir:-.}/.libs"
	flags="-I${top_srcdir:-.}/include $library -pthread -Wl,-rpath,${library%/*}"
fi

# build NAME FILE...: $dir/NAME. The lists of options are split on purpose.
build() {
	name=$1
	shift
	# shellcheck disable=SC2086
	${CC:-cc} -Wall -Wextra -Werror -D_GNU_SOURCE ${SANITIZER_FLAGS:-} -o "$dir/$name" "$@" $flags >"$dir/cc" 2>&1 || fail "$name: the example does not compile: $(cat "$dir/cc")"
}

# ---- out of the pages ----

# Each C block to PAGE-N.c: it is one if it includes something.
mkdir "$dir/c"
for page in "$man"/*.[1-8]; do
	case $page in *-cxx.7) continue ;; esac
	awk -v to="$dir/c/$(basename "$page" | tr . _)" '
		/^\.Sh / { on = $2 == "EXAMPLES"; n = 0 }
		/^\.Ed/ && text ~ /#include/ { printf "%s", text >(to "-" n ".c") }
		/^\.Ed/ { block = 0 }
		on && block { gsub(/\\e/, "\\"); gsub(/\\&/, ""); text = text $0 "\n" }
		on && /^\.Bd -literal/ { block = 1; text = ""; n++ }
	' "$page"
done
awk -v to="$dir/c/README" '/^```/ { block = 0 } block { print >(to "-" n ".c") } /^```c$/ { block = 1; n++ }' "${top_srcdir:-.}/README.md"

# Standard output goes to a file, which is read while they run.
programs=
functions=
for file in "$dir"/c/*.c; do
	name=$(basename "$file" .c)
	if grep -q '^int main(' "$file"; then
		programs="$programs $name"
		cat >"$dir/$name.main.c" <<-END
		#define main example
		#include "$file"
		#undef main
		int main(void) { setvbuf(stdout, NULL, _IOLBF, 0); return example(); }
		END
		build "$name" "$dir/$name.main.c"
	else
		functions="$functions -include $file"
		# what it is called from is compiled with it, and must not hide what it forgot to include
		build "$name.so" -shared -fPIC "$file"
	fi
done
for page in "$man"/zcp_*.3; do
	set -- "$dir/c/$(basename "$page" | tr . _)"-*.c
	[ -e "$1" ] || fail "$(basename "$page") has no C example"
done
# shellcheck disable=SC2086
build man-examples $functions "${top_srcdir:-.}/tests/integration/man-examples.c"
[ $failures -eq 0 ] || exit 1
awk '/^[a-z].*[a-z_]\(.*[^;]$/ && match($0, /[a-z_]+\(/) { print substr($0, RSTART, RLENGTH - 1) }' "$dir"/c/zcp_*.c | sort -u >"$dir/defined"
while read -r name; do
	[ "$name" = main ] || grep -q "\<$name(" "${top_srcdir:-.}/tests/integration/man-examples.c" || fail "nobody calls the example $name()"
done <"$dir/defined"

# done_with NAME: the program NAME was run below
done_with() {
	case " $programs " in
	*" $1 "*) programs=$(printf '%s' " $programs " | sed "s/ $1 / /") ;;
	*) fail "there is no example $1 any more: it is run here" ;;
	esac
}

# ends_well NAME PID PATTERN: it ends with status 0, and has printed a line that matches
ends_well() {
	ends 20 "$2"
	[ $status -eq 0 ] || fail "$1: status $status: $(cat "$dir/$1.err")"
	grep -q -- "$3" "$dir/$1.out" || fail "$1: no '$3' in: $(cat "$dir/$1.out")"
}

# prints NAME PATTERN: sooner or later; then it is ended
prints() {
	wait_for 20 grep -q -- "$2" "$dir/$1.out" || fail "$1: no '$2' in: $(cat "$dir/$1.out" "$dir/$1.err")"
}
over() { # PID
	kill -TERM "$1"
	ends 20 "$1"
}

# ---- without a router ----

run 1 "$dir/zcp_last_error_3-1"
grep -q "^zcp [0-9.]*: .*router" "$dir/err" || fail "zcp_last_error(3): $(cat "$dir/err")"

start_router

run 0 "$dir/zcp_last_error_3-1"
done_with zcp_last_error_3-1

# ---- two programs that meet ----

background sub "$dir/libzcp_7-2"
sub=$pid
run 0 "$dir/libzcp_7-1"
ends_well sub "$sub" '^100 numbers, sum 5050$'
done_with libzcp_7-1
done_with libzcp_7-2

background sub "$dir/README-2"
sub=$pid
run 0 "$dir/README-1"
ends_well sub "$sub" '^hello, world$'
done_with README-1
done_with README-2

# ---- programs and the tool ----

run 1 "$dir/zcp_node_send_3-1"
grep -q 'nobody listens' "$dir/err" || fail "zcp_node_send(3): $(cat "$dir/err")"
background sub "$zcp" sub --count 1 robot/arm/stop
sub=$pid
wait_for 20 endpoints subscriber 1 || fail "zcp sub does not subscribe"
run 0 "$dir/zcp_node_send_3-1"
ends_well sub "$sub" ' now$'
done_with zcp_node_send_3-1

mkfifo "$dir/keyboard"
exec 3<>"$dir/keyboard"
"$dir/zcp_waitset_open_3-1" <"$dir/keyboard" >"$dir/waitset.out" 2>"$dir/waitset.err" &
waitset=$!
started="$started $waitset"
prints waitset '^tick$'
run 0 "$zcp" pub --data 12345 radar/rear/targets
prints waitset '^5 bytes$'
echo >&3
ends_well waitset "$waitset" '^5 bytes$'
done_with zcp_waitset_open_3-1

named() { # NAME: a node of that name is there
	"$zcp" list --json | grep -q "\"name\": \"$1\""
}
background guard "$dir/zcp_watch_open_3-1"
guard=$pid
wait_for 20 named guard || fail "zcp_watch_open(3) does not join: $(cat "$dir/guard.err")"
background victim "$dir/man-examples" run
victim=$pid
wait_for 20 named sensor || fail "zcp_node_open(3) does not join: $(cat "$dir/victim.err")"
kill -KILL "$victim"
ends 20 "$victim"
prints guard '^sensor died, signal '
over "$guard"
done_with zcp_watch_open_3-1

# ---- functions ----

for name in publish_position publish_many open_camera reply_in_parts frame; do
	run 0 "$dir/man-examples" $name
done
run 0 "$dir/man-examples" open_view
grep -q '^1 received, 0 lost$' "$dir/out" || fail "zcp_subscriber_open(3): $(cat "$dir/out")"

background serve "$dir/man-examples" serve
serve=$pid
run 0 "$dir/man-examples" add
over "$serve"

background serve "$zcp" serve man/examples/questions -- tr a-z A-Z
serve=$pid
run 0 "$dir/man-examples" ask_all
[ "$(sort "$dir/out" | tr '\n' ' ')" = "FIVE FOUR ONE THREE TWO " ] || fail "ask_all: $(cat "$dir/out")"
over "$serve"

background recorder "$dir/man-examples" watch_recorder
recorder=$pid
run 0 "$dir/man-examples" file_written
prints recorder '^1 more files$'
prints recorder '^the disk is full$'
over "$recorder"

for name in print_messages poll_messages; do
	background $name "$dir/man-examples" $name
	printing=$pid
	run 0 "$zcp" pub --data "to $name" man/examples/lines
	prints $name "^to $name\$"
	over "$printing"
done

# what libzcp(7) says that things take
grep -q '^A node takes three descriptors, or five if it has no thread\.$' "$man/libzcp.7" || fail "libzcp(7) says something else of nodes"
grep -q '^An endpoint takes two, and one for each peer .*; a watch one; a wait set two, and one for each of its timers\.$' "$man/libzcp.7" ||
	fail "libzcp(7) says something else of endpoints"
run 0 "$dir/man-examples" descriptors
[ "$(tr '\n' ' ' <"$dir/out")" = "0 3 5 2 4 1 2 1 " ] ||
	fail "descriptors: $(cat "$dir/out")"

for name in $programs; do
	fail "nobody runs the example $name"
done
finish
