#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The pages of the tools know the options that --help knows, by the same letters, with the same defaults, and show each in the SYNOPSIS;
# zcp(1) and zcp-trace(1) know all their commands. Pages refer to pages that exist, and are called what their files are.
# The router's options are test-router-man.sh's.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

man=${top_srcdir:-.}/man
trace=${ZCP_TRACE_BIN:-${top_builddir:-.}/zcp-trace}

# of_help: "LETTER OPTION" of each option in a text of --help; the letter is - if there is none
of_help() {
	sed -n 's/^ *-\([a-zA-Z]\), --\([a-z-]*\).*/\1 \2/p; s/^ *--\([a-z-]*\).*/- \1/p' | sort -u
}

# of_page PAGE: the same from its lists
of_page() {
	sed -n 's/^\.It \(.*Fl .*\)/\1/p' "$1" | sed 's/\\-/-/g' | awk '
		{
			letter = "-"
			for (i = 2; i <= NF; i++) {
				if ($i ~ /^-[a-z][a-z-]+$/) { print letter, substr($i, 2); letter = "-" }
				else if ($(i - 1) == "Fl" && $i ~ /^[a-zA-Z]$/) letter = $i
			}
		}' | sort -u
}

# item PAGE OPTION: the text of its entry
item() {
	awk -v name="$2" '
		$1 == ".It" { on = 0; for (i = 2; i <= NF; i++) if ($i == "\\-" name) on = 1; next }
		$1 == ".El" { on = 0 }
		on { print }' "$man/$1"
}

# same PAGE HELP: compare
same() {
	of_help <"$2" >"$dir/in-help"
	of_page "$man/$1" >"$dir/in-page"
	[ -s "$dir/in-help" ] || fail "$1: --help has no options"
	cmp -s "$dir/in-help" "$dir/in-page" || fail "$1 and --help differ: $(diff "$dir/in-help" "$dir/in-page" | grep '^[<>]' | tr '\n' ' ')"
	synopsis=$(sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/p' "$man/$1")
	while read -r letter option; do
		case $option in
		help | version) continue ;;
		esac
		printf '%s\n' "$synopsis" | grep -Eq -- "(\\\\-$option|Fl $letter)( |\$)" || fail "$1: --$option is not in the SYNOPSIS"
		default=$(sed -n "s/^ .*--$option .*(default \\([0-9a-zA-Z.]*\\).*/\\1/p" "$2")
		[ -z "$default" ] || item "$1" "$option" | grep -Eq -- "(^|[^0-9])$default([^0-9A-Za-z]|\$)" ||
			fail "$1: --$option is $default by default, the page says: $(item "$1" "$option")"
	done <"$dir/in-help"
}

# ---- zcp ----

"$zcp" --help >"$dir/help"
same zcp.1 "$dir/help"
commands=$(sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p' "$dir/help")
[ "$(echo "$commands" | wc -l)" -ge 15 ] || fail "zcp --help has hardly a command"
for command in $commands; do
	"$zcp" "$command" --help >"$dir/help"
	if [ ! -e "$man/zcp-$command.1" ]; then
		fail "zcp $command has no page"
		continue
	fi
	same "zcp-$command.1" "$dir/help"
	grep -q "^\.Xr zcp-$command 1" "$man/zcp.1" || fail "zcp.1 does not refer to zcp-$command(1)"
done
for page in "$man"/zcp-*.1; do
	name=$(basename "$page" .1)
	case " $(echo "$commands" | tr '\n' ' ') " in
	*" ${name#zcp-} "*) ;;
	*) [ "$name" = zcp-trace ] || fail "$name.1 is about a command that zcp does not have" ;;
	esac
done

# ---- zcp-trace ----

if [ -x "$trace" ]; then
	"$trace" --help >"$dir/help"
	trace_commands=$(sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p' "$dir/help")
	[ -n "$trace_commands" ] || fail "zcp-trace --help has no commands"
	for command in $trace_commands; do
		"$trace" "$command" --help >>"$dir/help"
		grep -q "^\.It Cm $command\$" "$man/zcp-trace.1" || fail "zcp-trace.1 does not know $command"
	done
	same zcp-trace.1 "$dir/help"
fi

# ---- references ----

for page in "$man"/*.[1-8]; do
	file=$(basename "$page")
	name=${file%.*}
	grep -q "^\.Nm $name\( ,\)*\$" "$page" || fail "$file is not called $name in its NAME"
	grep -o 'Xr \(lib\)*zcp[a-z_.-]* [1-8]' "$page" | cut -d ' ' -f 2,3 | sort -u >"$dir/references"
	while read -r other section; do
		[ -e "$man/$other.$section" ] || grep -q "man/links/$other\.$section\( \|\$\)" "$man/local.mk" || fail "$file refers to $other($section), which does not exist"
	done <"$dir/references"
done
finish
