#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What bash and zsh complete: exactly the commands and options that --help has, for each command of each program, and what options and
# arguments take; topics and processes that the router knows, and none without it. zsh runs on a terminal of its own (complete.zsh).
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

source_dir=$(cd "${top_srcdir:-.}" && pwd)
cd "${top_builddir:-.}" || exit 99
PATH=$PWD:$PATH
programs="zcp zcp-router"
[ ! -x zcp-trace ] || programs="$programs zcp-trace"

# shellcheck source=completions/zcp.bash
. "$source_dir/completions/zcp.bash"

# offers WORD...: what bash offers for the last one, sorted, a line each
bash_offers() {
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	_zcp 2>>"$dir/bash.err"
	[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort -u
}

# The cases: a line to be completed, a bar, what is expected, sorted.
cases=$dir/cases
: >"$cases"
expect() {
	echo "$1|$(tr ' ' '\n' <<<"$2" | sed '/^$/d' | LC_ALL=C sort -u | tr '\n' ' ')" >>"$cases"
}

# Not by the means of the completions: whatever looks like an option and begins a line.
options_of() {
	"$@" --help | sed -n 's/^ *\(\(-[A-Za-z]\), \)\{0,1\}\(--[a-z][a-z-]*\).*/\2 \3/p' | tr '\n' ' '
}
commands_of() {
	"$1" --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p' | tr '\n' ' '
}

check_cases() {
	while IFS='|' read -r line expected; do
		# the last word may be empty
		read -ra words <<<"$line"
		[[ $line != *' ' ]] || words+=('')
		offered=$(bash_offers "${words[@]}" | tr '\n' ' ')
		[ "$offered" = "$expected" ] || fail "bash, '$line': offers '$offered', not '$expected'"
	done <"$cases"
	[ ! -s "$dir/bash.err" ] || fail "bash is not silent: $(cat "$dir/bash.err")"

	command -v zsh >/dev/null || return
	mapfile -t lines < <(cut -d '|' -f 1 "$cases")
	: >"$dir/zsh"
	timeout 280 zsh -f "$source_dir/tests/integration/complete.zsh" "$source_dir/completions" "$dir/zsh" "${lines[@]}" 2>"$dir/zsh.err"
	case $? in
	0) ;;
	77) echo "zsh has no zpty here: not tried"; return ;;
	*) fail "zsh: $(cat "$dir/zsh.err")"; return ;;
	esac
	while IFS='|' read -r line expected; do
		offered=$(awk -v line="$line" '!/^\t/ { on = $0 == line } on && /^\t/ { print substr($0, 2) }' "$dir/zsh" | LC_ALL=C sort -u | tr '\n' ' ')
		[ "$offered" = "$expected" ] || fail "zsh, '$line': offers '$offered', not '$expected'"
	done <"$cases"
}

# ---- without a router ----

for program in $programs; do
	expect "$program -" "$(options_of "$program")"
	[ "$program" != zcp-router ] || continue
	commands=$(commands_of "$program")
	[ "$(wc -w <<<"$commands")" -gt 4 ] || fail "$program has hardly a command: $commands"
	expect "$program " "$commands"
	for command in $commands; do
		options=$(options_of "$program" "$command")
		[[ $options == *--help* ]] || fail "$program $command --help has no options"
		expect "$program $command -" "$options"
	done
done

expect 'zcp se' 'serve send'
expect 'zcp --socket /nowhere/router.sock bench wa' 'wake waitset'
expect 'zcp bench --runs 3 latency th' 'throughput'
expect 'zcp top --sort ' "$(zcp top --help | sed -n '/^ *--sort/,/;/p' | sed 's/.*KEY//; s/;.*//; s/,/ /g; s/ or / /' | tr '\n' ' ')"
expect 'zcp-router --loop ' 'auto epoll io_uring'
expect 'zcp-router --socket-mode 06' '0600 0660 0666'
expect 'zcp sub ' ''
expect 'zcp call ' ''
expect 'zcp sub --count ' ''
expect 'zcp pub --type ' ''
if [ -x zcp-trace ]; then
	expect 'zcp-trace latency --pid ' ''
	expect 'zcp-trace latency -t ' ''
	expect 'zcp-trace events --kinds ' "$(sed -n 's/^\t{ "zcp[a-z_]*", "\([a-z_]*\)".*/\1/p' "$source_dir/src/tools/trace-kinds.c" | tr '\n' ' ')"
fi
check_cases

# Files, and lists: the two shells offer these in their own ways.
touch "$dir/a.zcprec" "$dir/b.zcprec"
for line in "zcp replay $dir/" "zcp record --info $dir/" "zcp --socket $dir/" "zcp-router --config $dir/" "zcp pub demo/file/bytes $dir/"; do
	read -ra words <<<"$line"
	bash_offers "${words[@]}" | grep -qx "$dir/a.zcprec" || fail "bash, '$line': does not offer the file"
done
[ "$(bash_offers zcp-router --detectors bpf,p)" = bpf,pidfd ] || fail "bash, --detectors: offers '$(bash_offers zcp-router --detectors bpf,p)'"
[ "$(bash_offers zcp-router --loop = e)" = epoll ] || fail "bash, --loop=: offers '$(bash_offers zcp-router --loop = e)'"
bash_offers zcp serve demo/calc/add -- ba | grep -qx bash || fail "bash, serve: does not offer a command"
# what has the form of an option or path is no command, and is not called
ln -s /bin/true "$dir/x"
[ -z "$(bash_offers zcp "$dir/x" -)" ] || fail "bash, a command that is none: offers something"

# ---- with one ----

# a machine that stalls is no failure
export ZCP_COMPLETION_TIMEOUT=20
start_router
background sub "$zcp" sub demo/chat/text
background serve "$zcp" serve demo/calc/add -- cat
background listen "$zcp" listen demo/state/change
# a name that anybody may choose, and no shell may take for more than a name
background hostile "$zcp" sub 'demo/$(touch pwned)/text'
wait_for 10 endpoints subscriber 2 || fail "zcp sub does not subscribe"
wait_for 10 endpoints server 1 || fail "zcp serve does not serve"
wait_for 10 endpoints listener 1 || fail "zcp listen does not listen"
pids=$("$zcp" list --json | sed -n 's/^ *"pid": \([0-9]*\),*/\1/p' | tr '\n' ' ')

: >"$cases"
expect 'zcp call ' demo/calc/add
expect 'zcp serve demo/c' demo/calc/add
expect 'zcp notify demo/' demo/state/change
expect 'zcp --socket /nowhere/router.sock listen ' ''
expect "zcp --socket $ZCP_ROUTER listen " demo/state/change
expect 'zcp sub --count 3 demo/chat/' demo/chat/text
expect 'zcp watch demo/c' 'demo/calc/add demo/chat/text'
expect 'zcp record file demo/c' 'demo/calc/add demo/chat/text'
[ ! -x zcp-trace ] || {
	expect 'zcp-trace drops -p ' "$pids"
	expect 'zcp-trace top --topic demo/s' demo/state/change
}
check_cases
[ "$(bash_offers zcp sub '')" = demo/chat/text ] || fail "bash offers what it should not: $(bash_offers zcp sub '')"
[ ! -e pwned ] || fail "a topic's name was run"

# A router that does not answer is not waited for long, and nothing is said of it.
unset ZCP_COMPLETION_TIMEOUT
kill -STOP "$router_job"
: >"$cases"
expect 'zcp --socket /nowhere/router.sock sub ' ''
expect 'zcp call ' ''
check_cases
kill -CONT "$router_job"

finish
