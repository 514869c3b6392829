#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Wrong usage: status 2 and one line that names the mistake. --help and --version everywhere. Without a router, list and info fail
# and don't start one.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

# wrong PATTERN ARGUMENT...
wrong() {
	pattern=$1
	shift
	run 2 "$zcp" "$@"
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "zcp $*: not one line of complaint: $(cat "$dir/err")"
	grep -q -e "$pattern" "$dir/err" || fail "zcp $*: the complaint doesn't say '$pattern': $(cat "$dir/err")"
	[ -s "$dir/out" ] && fail "zcp $*: printed something"
}

wrong "no command"
wrong "no command 'frobnicate'" frobnicate
wrong "no command 'frobnicate'" help frobnicate
wrong "unrecognized option '--fast'" --fast
wrong "requires an argument" --socket
wrong "path is empty" --socket ""
for command in list info top doctor pub sub call serve notify listen send record replay bench; do
	wrong "zcp $command: unrecognized option '--no-such-option'" $command --no-such-option
	wrong "path is empty" $command --socket ""
done
wrong "takes no argument.*'x'" list x
wrong "takes no argument.*'x'" info x
wrong "takes no argument.*'x'" doctor x
wrong "takes no argument.*'x'" top x
wrong "no column 'size'" top --sort size
wrong "interval wants seconds.*'0'" top --interval 0
wrong "interval wants seconds.*'soon'" top --interval soon
wrong "count wants a number.*'0'" top --count 0
wrong "one table" top --once --count 2
for command in pub sub call serve notify listen; do
	wrong "no topic" $command
	wrong "SERVICE/INSTANCE/EVENT, not 'x'" $command x
	wrong "SERVICE/INSTANCE/EVENT, not 'a/b/c/d'" $command a/b/c/d
	wrong "instance name is empty" $command a//c
	wrong "event name" $command "a/b/$(printf 'c\033[2J')"
	wrong "service name" $command "$(printf '\377')/b/c"
	wrong "event name" $command "a/b/$(printf '%0101d' 0)"
	wrong "count wants a number.*'many'" $command --count many a/b/c
	wrong "count wants a number.*'0'" $command --count 0 a/b/c
	wrong "count wants a number.*'-1'" $command --count -1 a/b/c
done
for command in pub sub call notify; do
	wrong "timeout wants seconds.*'soon'" $command --timeout soon a/b/c
	wrong "timeout wants seconds.*'nan'" $command --timeout nan a/b/c
done
wrong "history wants a number" pub --history x a/b/c
wrong "history wants a number" sub --history x a/b/c
wrong "also 'y'" call a/b/c x y
wrong "no topic" send
wrong "SERVICE/INSTANCE/EVENT, not 'x'" send x
wrong "also 'y'" send a/b/c x y
wrong "expect wants a number.*'0'" send --expect 0 a/b/c x
wrong "exclude each other" call --raw --json a/b/c x
wrong "exclude each other" call --hex --json a/b/c x
wrong "no command" serve a/b/c
wrong "no command" serve a/b/c --
wrong "jobs wants a number.*'0'" serve --jobs 0 a/b/c -- cat
wrong "jobs wants a number.*'257'" serve --jobs 257 a/b/c -- cat
wrong "max-size wants a size.*'3G'" serve --max-size 3G a/b/c -- cat
wrong "also 'd/e/f'" sub a/b/c d/e/f
wrong "exclude each other" sub --raw --json a/b/c
wrong "exclude each other" sub --hex --json a/b/c
wrong "--follow goes with --raw" sub --follow a/b/c
wrong "chunk wants a size.*'1X'" pub --chunk 1X a/b/c
wrong "chunk wants a size.*'0'" pub --chunk 0 a/b/c
wrong "chunk wants a size.*'3G'" pub --chunk 3G a/b/c
wrong "chunk wants a size.*'99999999999999999999'" pub --chunk 99999999999999999999 a/b/c
wrong "rate wants messages per second.*'0'" pub --rate 0 a/b/c
wrong "wait wants a number" pub --wait all a/b/c
wrong "depth wants a number" pub --depth 0 a/b/c
wrong "exclude each other" pub --data x --lines a/b/c
wrong "exclude each other" pub --data x a/b/c /dev/null
wrong "exclude each other" pub --data x --chunk 5 a/b/c
wrong "exclude each other" pub --reliable --lossy a/b/c
wrong "type: the name" pub --type "" --data x a/b/c

run 0 "$zcp" --help
for command in list info top doctor pub sub call serve notify listen send record replay bench; do
	grep -q "^  $command " "$dir/out" || fail "zcp --help does not mention $command"
done
for command in list info top doctor pub sub call serve notify listen send record replay bench; do
	run 0 "$zcp" $command --help
	grep -q "^Usage: zcp $command" "$dir/out" || fail "zcp $command --help says nothing"
	awk 'length > 100 { bad = 1 } END { exit bad }' "$dir/out" || fail "zcp $command --help: a line of over 100 columns"
	[ -s "$dir/err" ] && fail "zcp $command --help complained"
	cp "$dir/out" "$dir/help"
	run 0 "$zcp" help $command
	cmp -s "$dir/help" "$dir/out" || fail "zcp help $command differs from zcp $command --help"
	run 0 "$zcp" $command --version
	grep -q '^zcp [0-9][0-9.]*$' "$dir/out" || fail "zcp $command --version: $(cat "$dir/out")"
done
run 0 "$zcp" --version
grep -q '^zcp [0-9][0-9.]*$' "$dir/out" || fail "zcp --version: $(cat "$dir/out")"

# runtime failures
for command in list info top; do
	run 1 "$zcp" $command
	grep -q '^zcp: ' "$dir/err" || fail "$command without a router: $(cat "$dir/err")"
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "$command without a router: not one line"
	run 1 "$zcp" --socket "$dir/none.sock" $command
	grep -q "$dir/none.sock" "$dir/err" || fail "$command --socket: the complaint doesn't say where: $(cat "$dir/err")"
done
[ -e "$ZCP_ROUTER" ] && fail "list or info has started a router"
run 1 "$zcp" pub a/b/c "$dir/no such file"
grep -q '^zcp: .*no such file: No such file' "$dir/err" || fail "missing file: $(cat "$dir/err")"
run 1 "$zcp" pub a/b/c "$dir"
grep -q '^zcp: .*Is a directory' "$dir/err" || fail "directory: $(cat "$dir/err")"
[ -e "$ZCP_ROUTER" ] && fail "a router was started for nothing"

# a closed standard output is not confused with the router's socket
"$zcp" pub --wait 0 --data x a/b/c >&- 2>"$dir/err" || fail "pub without a standard output: $(cat "$dir/err")"
"$zcp" list >&- 2>"$dir/err" && fail "list without a standard output succeeds"
grep -q '^zcp: standard output' "$dir/err" || fail "list without a standard output: $(cat "$dir/err")"

finish
