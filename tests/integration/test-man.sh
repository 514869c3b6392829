#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual says what the header says: every exported function has a page, its SYNOPSIS is what is declared, members of structs are
# shown and described, and errnos are those of the docstrings. Nothing is run and nothing installed: only the sources are looked at,
# with $CC. Numbers are test-man-numbers.sh's, examples test-man-examples.sh's, options test-man-tools.sh's.

set -u
: "${top_srcdir:=.}" "${CC:=cc}"
man=$top_srcdir/man
header=$top_srcdir/include/zcp/zcp.h
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

# $CC may hold options, so it is split on purpose.
# shellcheck disable=SC2086
compiles() { # FILE [OPTION...]
	$CC -fsyntax-only -Wall -Wextra -Werror -I"$top_srcdir/include" "$@" >"$dir/cc" 2>&1
}

# ---- every exported function has one page, and a link where it is not the page's first name ----

sed -n 's/^[[:space:]]*\(zcp_[a-z0-9_]*\);.*/\1/p' "$top_srcdir/src/lib/libzcp.map" | sort >"$dir/symbols"
[ -s "$dir/symbols" ] || fail "no symbols in libzcp.map"
grep -H '^\.Nm zcp_' "$man"/zcp_*.3 | sed 's/.*\/\(zcp_[a-z_]*\)\.3:\.Nm \(zcp_[a-z_]*\).*/\2 \1/' | sort >"$dir/named"
cut -d ' ' -f 1 "$dir/named" | sort >"$dir/names"
{
	sed -n 's/^[[:space:]]*man\/links\/\(zcp_[a-z_]*\)\.3.*/\1/p' "$man/local.mk"
	cut -d ' ' -f 2 "$dir/named" | sort -u
} | sort >"$dir/installed"

for symbol in $(comm -23 "$dir/symbols" "$dir/names"); do
	fail "$symbol is exported, and no page in man/ names it"
done
for symbol in $(comm -13 "$dir/symbols" "$dir/names"); do
	fail "$symbol has a page, or two, but is not exported"
done
for symbol in $(comm -23 "$dir/symbols" "$dir/installed"); do
	fail "$symbol has no file of its name: add it to man3_links in man/local.mk"
done
for symbol in $(comm -13 "$dir/symbols" "$dir/installed"); do
	fail "man/local.mk has $symbol, which is not exported"
done

page_of() {
	sed -n "s/^$1 //p" "$dir/named"
}

# ---- SYNOPSIS: the same prototypes and members as in the header ----

for page in "$man"/zcp_*.3; do
	name=${page##*/}
	{
		echo '#include <zcp/zcp.h>'
		awk '
			/^\.Sh / { synopsis = $2 == "SYNOPSIS" }
			!synopsis { next }
			/^\.Ft / { type = substr($0, 5) }
			/^\.Fn / {
				n = split($0, part, "\"")
				if (n == 1) { print type, $2 "(" $3 ");"; next }
				args = part[2]
				for (i = 4; i <= n; i += 2) args = args ", " part[i]
				print type, $2 "(" args ");"
			}
			/^\.Fo / { function_name = $2; args = "" }
			/^\.Fa / { split($0, part, "\""); args = args (args == "" ? "" : ", ") part[2] }
			/^\.Fc/ { print type, function_name "(" args ");" }
		' "$page"
	} >"$dir/synopsis.c"
	[ "$(grep -c ');' "$dir/synopsis.c")" -eq "$(grep -c '^\.Nm zcp_' "$page")" ] || fail "$name: not one prototype for each name"
	compiles "$dir/synopsis.c" || fail "$name: SYNOPSIS is not what zcp.h declares: $(cat "$dir/cc")"

	awk '/^\.Sh / { on = $2 == "SYNOPSIS" } /^\.Ed/ { block = 0 } on && block { print } /^\.Bd -literal/ { block = 1 }' "$page" |
		grep ';$' | tr -s '\t ' ' ' | sed 's/^ //' >"$dir/members"
	while read -r member; do
		tr -s '\t ' ' ' <"$header" | grep -qF -- " $member" || [ "$member" = "};" ] || fail "$name: zcp.h has no member '$member'"
	done <"$dir/members"
done

# ---- members of structs, constants ----

# "STRUCT MEMBER" of what the preprocessor leaves of the header, or of the SYNOPSIS of a page
members() {
	awk '
		/^struct zcp_[a-z_]* {/ { name = $2; next }
		/^}/ { name = "" }
		name != "" && /;$/ {
			gsub(/\[[^]]*\]|;/, " ")
			n = split($0, part, ",")
			for (i = 1; i <= n; i++) {
				k = split(part[i], word, /[ *\t]+/)
				while (word[k] == "") k--
				print name, word[k]
			}
		}' "$@" | sort -u
}
# shellcheck disable=SC2086
$CC -E -P -I"$top_srcdir/include" "$header" | members >"$dir/members.header"
: >"$dir/members.pages"
for page in "$man"/zcp_*.3; do
	awk '/^\.Sh / { on = $2 == "SYNOPSIS" } on' "$page" | members >"$dir/members.page"
	cat "$dir/members.page" >>"$dir/members.pages"
	awk '/^\.Sh / { on = $2 != "SYNOPSIS" } on && /(^\.| )Va /' "$page" >"$dir/variables"
	while read -r struct member; do
		case $member in
		sz | reserved*) ;;
		*) grep -qw -- "$member" "$dir/variables" || fail "${page##*/} shows $member of struct $struct, and does not say what it is" ;;
		esac
	done <"$dir/members.page"
done
[ "$(wc -l <"$dir/members.header")" -gt 100 ] || fail "found hardly a member in zcp.h"
# what is the library's in a struct need not be shown
sort -u "$dir/members.pages" | comm -23 "$dir/members.header" - |
	grep -Ev ' (reserved[0-9]*|owner|held|generation)$|^zcp_response sample$' >"$dir/missing"
while read -r struct member; do
	fail "no page shows $member of struct $struct"
done <"$dir/missing"

for constant in $(grep -o "\<ZCP_[A-Z_]*\>" "$header" | grep -v "^ZCP_ZCP_H\$" | sort -u); do
	grep -qw "$constant" "$man"/*.[37] || fail "no page has $constant"
done

# ---- errnos: those of a page are those of the docstrings of its functions, what is said to be as in others included ----

awk '
	/\/\*\*/ { comment = ""; inside = 1 }
	inside { line = $0; sub(/^ *\* */, " ", line); comment = comment " " line }
	/\*\// { inside = 0; next }
	!inside && match($0, /zcp_[a-z_]+\(/) {
		name = substr($0, RSTART, RLENGTH - 1)
		gsub(/  +/, " ", comment)
		for (rest = comment; match(rest, /-E[A-Z]+/); rest = substr(rest, RSTART + RLENGTH))
			says[name] = says[name] " " substr(rest, RSTART + 1, RLENGTH - 1)
		for (rest = comment; match(rest, /[Aa]s zcp_[a-z_]+\(\)/); rest = substr(rest, RSTART + RLENGTH))
			as[name] = as[name] " " substr(rest, RSTART + 3, RLENGTH - 5)
		comment = ""
		names[name] = 1
	}
	function all(name, depth,    i, n, part, text) {
		text = says[name]
		n = split(as[name], part, " ")
		for (i = 1; depth < 5 && i <= n; i++)
			text = text " " all(part[i], depth + 1)
		return text
	}
	END {
		for (name in names) {
			n = split(all(name, 0), part, " ")
			for (i = 1; i <= n; i++) print name, part[i]
		}
	}
' "$header" | sort -u >"$dir/errnos"
[ "$(wc -l <"$dir/errnos")" -gt 100 ] || fail "found hardly an errno in zcp.h"
for page in "$man"/zcp_*.3; do
	name=$(basename "$page" .3)
	sed -n '/^\.Sh ERRORS/,/^\.Sh SEE/p' "$page" | sed -n 's/^\.It Bq Er //p' | tr -s ', ' '\n' | grep '^E' | sort -u >"$dir/errnos.page"
	while read -r function errno; do
		[ "$(page_of "$function")" != "$name" ] || echo "$errno"
	done <"$dir/errnos" | sort -u >"$dir/errnos.header"
	for errno in $(comm -13 "$dir/errnos.page" "$dir/errnos.header"); do
		fail "$name.3 has no $errno, which zcp.h says of $(grep " $errno\$" "$dir/errnos" | cut -d ' ' -f 1 | tr '\n' ' ')"
	done
	for errno in $(comm -23 "$dir/errnos.page" "$dir/errnos.header"); do
		fail "$name.3 has $errno, which zcp.h says of none of its functions"
	done
done

# ---- README.md and HACKING.md name what there is ----

for command in $(grep -o 'scripts/[a-z]*' "$top_srcdir/README.md" | sort -u); do
	[ -x "$top_srcdir/$command" ] || fail "README.md names $command, which is not there"
done
for file in $(grep -ohE '\<(src|tests|man|include|scripts)/[a-z0-9_/-]*\.[a-z0-9]+' "$top_srcdir/README.md" "$top_srcdir/HACKING.md" | sort -u); do
	case $file in
	*.log) ;;	# made by a build
	*) [ -e "$top_srcdir/$file" ] || fail "README.md or HACKING.md names $file, which is not there" ;;
	esac
done
for package in $(sed -n '/^packages="/,/^"/p' "$top_srcdir/scripts/bootstrap" | grep -v '"' | tr -s '\t |' '\n'); do
	grep -qF -- "$package" "$top_srcdir/README.md" || fail "README.md does not name the package $package of scripts/bootstrap"
done

# ---- lint ----

skipped=
if command -v mandoc >/dev/null; then
	for page in "$man"/*.[1-9]; do
		mandoc -T lint -W warning "$page" >"$dir/lint" 2>&1
		[ ! -s "$dir/lint" ] || fail "$(cat "$dir/lint")"
	done
else
	skipped=yes
fi

[ $failures -eq 0 ] || exit 1
if [ -n "$skipped" ]; then
	echo "SKIP: no mandoc (Debian: apt-get install mandoc); everything but its lint passed"
	exit 77
fi
echo "$(wc -l <"$dir/symbols") functions, $(wc -l <"$dir/errnos") errnos, $(wc -l <"$dir/members.header") members agree"
