#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual says what the code does: every exported function has a page, its SYNOPSIS is what the header declares, each errno that
# the header names is in it, and numbers in the text are the ones in the code. Nothing is run and nothing installed: only the sources
# are looked at, with $CC. The examples are test-man-examples.sh's.

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

# ---- each errno that a docstring names is in the page ----

awk '
	/\/\*\*/ { comment = "" ; inside = 1 }
	inside { comment = comment " " $0 }
	/\*\// { inside = 0; next }
	!inside && match($0, /zcp_[a-z_]+\(/) {
		name = substr($0, RSTART, RLENGTH - 1)
		while (match(comment, /-E[A-Z]+/)) {
			print name, substr(comment, RSTART + 1, RLENGTH - 1)
			comment = substr(comment, RSTART + RLENGTH)
		}
		comment = ""
	}
' "$header" >"$dir/errnos"
[ "$(wc -l <"$dir/errnos")" -gt 20 ] || fail "found hardly an errno in zcp.h"
while read -r name errno; do
	page=$(page_of "$name")
	# shellcheck disable=SC2046
	sed -n '/^\.Sh ERRORS/,/^\.Sh SEE/p' "$man/$page.3" 2>/dev/null | grep -q "^\.It Bq Er.*\<$errno\>" ||
		fail "$page.3 has no $errno, which zcp.h says of $name()"
done <"$dir/errnos"

# ---- numbers ----

cat >"$dir/numbers.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <zcp/zcp.h>

#include "channel/geometry.h"
#include "channel/layout.h"
#include "channel/writer.h"

static struct geometry_request request;

static int fits(uint32_t *field, uint64_t value)
{
	struct channel_geometry g;
	const char *why;

	memset(&request, 0, sizeof(request));
	request.payload_max = 100;
	*field = (uint32_t)value;
	return geometry_plan(&g, &request, &why) == 0;
}

/* The largest value of @field that is accepted. */
static uint64_t largest(uint32_t *field)
{
	uint64_t low = 1, high = 1ull << 31;

	while (low < high) {
		uint64_t middle = (low + high + 1) / 2;

		if (fits(field, middle))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static uint64_t largest_held(void)
{
	uint64_t n = 1;
	struct channel_geometry g;
	const char *why;

	for (; n <= 1u << 30; n *= 2) {
		request = (struct geometry_request){ .payload_max = 300, .held_budget = (uint32_t)(2 * n) };
		if (geometry_plan(&g, &request, &why) < 0)
			break;
	}
	return n;
}

int main(int argc, char **argv)
{
	struct channel_geometry g;
	const char *why;
	uint64_t n;

	if (argc == 2) {	/* a row of the table of defaults */
		unsigned long payload_max;

		if (sscanf(argv[1], "%lu", &payload_max) != 1)
			return 1;
		request = (struct geometry_request){ .payload_max = payload_max };
		if (geometry_plan(&g, &request, &why) < 0)
			return 1;
		printf("%lu %u %u %u %u %u\n", payload_max, geometry_inline_max(&g), g.depth, g.ring_slots, g.max_loans, g.held_budget);
		return 0;
	}
	request = (struct geometry_request){ .payload_max = 64 << 10 };
	geometry_plan(&g, &request, &why);
	printf("default_max_subscribers %u\ndefault_max_loans %u\n", g.max_lanes, g.max_loans);
	request.payload_max++;
	geometry_plan(&g, &request, &why);
	printf("default_max_loans_large %u\n", g.max_loans);
	printf("name %d\nsocket_path %zu\n", ZCP_NAME_MAX, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	printf("payload %lu\ninline %d\nsegment %llu\n", (unsigned long)GEOMETRY_PAYLOAD_MAX, SLOT_INLINE_MAX, GEOMETRY_SEGMENT_MAX);
	printf("depth %lu\n", (unsigned long)largest(&request.depth));
	printf("max_subscribers %lu\n", (unsigned long)largest(&request.max_lanes));
	printf("max_loans %lu\n", (unsigned long)largest(&request.max_loans));
	printf("publisher_max_held %lu\n", (unsigned long)largest_held());
	for (n = 1; lane_page_bytes(1, (uint32_t)n + 1); n++)
		;
	printf("subscriber_max_held %lu\n", (unsigned long)n);
	for (n = 1; lane_page_bytes((uint32_t)n + 1, 1); n++)
		;
	printf("max_publishers %lu\n", (unsigned long)n);
	printf("batch %d\nheader %zu\nattached %zu\n", WRITER_BATCH_MAX, sizeof(struct channel_header), sizeof(struct channel_attached));
	return 0;
}
END
# shellcheck disable=SC2086
if ! $CC -D_GNU_SOURCE -I"$top_srcdir/src" -I"$top_srcdir/include" -o "$dir/numbers" "$dir/numbers.c" "$top_srcdir/src/channel/geometry.c" >"$dir/cc" 2>&1
then
	fail "the program that asks the code for its numbers does not compile: $(cat "$dir/cc")"
	exit 1
fi
"$dir/numbers" >"$dir/code"
# define NAME FILE MACRO: a number that only the source of the library says, without suffix
define() {
	value=$(sed -n "s/^#define $3 \([0-9]*\)[ul]*\([[:space:]].*\)*$/\1/p" "$top_srcdir/$2")
	[ -n "$value" ] || fail "there is no $3 in $2 any more: tell this test where it went"
	echo "$1 $value" >>"$dir/code"
}
define default_payload_max src/lib/publisher-open.c DEFAULT_PAYLOAD_MAX
define default_max_held src/lib/subscriber-open.c DEFAULT_MAX_HELD
define default_max_publishers src/lib/subscriber-open.c DEFAULT_MAX_PUBLISHERS
define alignment src/lib/options.c ALIGNMENT_MAX
define timeout_ns src/lib/control.h CONTROL_TIMEOUT_NS
define heartbeat_ms src/lib/node.h NODE_HEARTBEAT_MS
define patience_ms src/router/options.h DEFAULT_TIMEOUT_MS

code() {
	sed -n "s/^$1 //p" "$dir/code"
}

# says FILE TEXT PATTERN NAME: TEXT must match PATTERN with # replaced by what the code has for NAME
says() {
	value=$(code "$4")
	printf '%s\n' "$2" | grep -qE "$(printf '%s' "$3" | sed "s/#/$value/")([^0-9]|$)" ||
		fail "$1: code has $4 = $value, and the text does not say '$3' of it: $(printf '%.200s' "$2")"
}

# Text of an option: from its .It to the next.
item() { # PAGE OPTION
	awk -v item="^\\\\.It Va $2\$" '$0 ~ item { on = 1; next } /^\.(It|El)/ { on = 0 } on { text = text " " $0 } END { print text }' \
		"$man/$1.3"
}

publisher=zcp_publisher_open
subscriber=zcp_subscriber_open
says $publisher "$(item $publisher payload_max)" 'at most #' payload
says $publisher "$(item $publisher payload_max)" 'or #' default_payload_max
says $publisher "$(item $publisher depth)" 'at most #' depth
says $publisher "$(item $publisher max_subscribers)" 'at most #' max_subscribers
says $publisher "$(item $publisher max_subscribers)" 'default is #' default_max_subscribers
says $publisher "$(item $publisher max_loans)" 'at most #' max_loans
says $publisher "$(item $publisher max_loans)" 'default is #' default_max_loans
says $publisher "$(item $publisher max_loans)" 'or # for payloads over 64 KiB' default_max_loans_large
says $publisher "$(item $publisher max_held)" 'at most #' publisher_max_held
says $publisher "$(item $publisher type)" 'at most #' alignment
says $subscriber "$(item $subscriber max_held)" 'at most #' subscriber_max_held
says $subscriber "$(item $subscriber max_held)" 'default is #' default_max_held
says $subscriber "$(item $subscriber max_publishers)" 'at most #' max_publishers
says $subscriber "$(item $subscriber max_publishers)" 'default is #' default_max_publishers
says zcp_publisher_loan "$(cat "$man/zcp_publisher_loan.3")" '^<= #' batch
says zcp_node_open "$(item zcp_node_open socket_path)" 'at most #' socket_path
says zcp_node_open "$(item zcp_node_open no_thread)" 'every # ms' heartbeat_ms
says zcp_node_open "$(cat "$man/zcp_node_open.3")" '1 to # bytes' name
echo "timeout_s $(($(code timeout_ns) / 1000000000))
patience_s $(($(code patience_ms) / 1000))" >>"$dir/code"
for page in zcp_node_open $publisher $subscriber; do
	says "$page" "$(cat "$man/$page.3")" 'answered, # s' timeout_s
done

overview=$(cat "$man/zcp.7")
says zcp.7 "$overview" 'not moved for # s' patience_s
says zcp.7 "$overview" 'a header of # bytes' header
says zcp.7 "$overview" 'and # for each of' attached
says zcp.7 "$overview" 'Bytes of a name Ta #' name
says zcp.7 "$overview" 'Bytes of the socket path Ta #' socket_path
says zcp.7 "$overview" 'Bytes of a payload Ta #' payload
says zcp.7 "$overview" 'Bytes of a payload inside the ring Ta #' inline
says zcp.7 "$overview" "Bytes of a publisher's segment Ta #" segment
says zcp.7 "$overview" 'Depth and history Ta #' depth
says zcp.7 "$overview" 'max_subscribers Ta #' max_subscribers
says zcp.7 "$overview" 'max_loans Ta #' max_loans
says zcp.7 "$overview" 'Loans in a batch Ta #' batch
says zcp.7 "$overview" 'Held samples of a publisher, max_held Ta #' publisher_max_held
says zcp.7 "$overview" 'Held samples of a subscriber, max_held Ta #' subscriber_max_held
says zcp.7 "$overview" 'max_publishers Ta #' max_publishers

# What the header itself says.
option() { # MEMBER: its comments, of both option structs
	sed -n "s/^[[:space:]].*[ ,]$1;.*\/\* \(.*\) \*\/$/\1/p" "$header"
}
says zcp.h "$(option max_subscribers)" '0: #' default_max_subscribers
says zcp.h "$(option max_loans)" '0: #' default_max_loans
says zcp.h "$(option max_held)" '0: #' default_max_held
says zcp.h "$(option max_held)" '1\.\.#' subscriber_max_held
says zcp.h "$(option max_publishers)" '0: #' default_max_publishers
says zcp.h "$(option max_publishers)" 'up to #' max_publishers
says zcp.h "$(option payload_max)" 'else #' default_payload_max

# The table of defaults, row by row.
sed -n 's/^\.It \([0-9][0-9]* Ta\)/\1/p' "$man/$publisher.3" | sed 's/ Ta / /g' >"$dir/rows"
[ "$(wc -l <"$dir/rows")" -ge 5 ] || fail "$publisher.3 has no table of defaults"
while read -r row; do
	real=$("$dir/numbers" "${row%% *}")
	[ "$row" = "$real" ] || fail "$publisher.3: the table has '$row', the code '$real'"
done <"$dir/rows"

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
echo "$(wc -l <"$dir/symbols") functions, $(wc -l <"$dir/errnos") errnos, $(wc -l <"$dir/code") numbers agree"
