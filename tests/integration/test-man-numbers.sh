#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Numbers in the text of the manual, and in the comments of the header, are the ones in the code: limits and defaults. A program asks
# the code for them; a default that is a macro in one file of the library is looked up there. Nothing is run but that program.

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

cat >"$dir/numbers.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <zcp/zcp.h>

#include "channel/counters.h"
#include "channel/geometry.h"
#include "channel/layout.h"
#include "channel/writer.h"
#include "lib/client.h"

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
	printf("lanes %u\nheld %u\nlargest_event_id %u\npending %u\n", LANES_MAX, HELD_MAX, COUNTERS_MAX - 1, PENDING_MAX);
	memset(&request, 0, sizeof(request));
	counters_plan(&g, 256, 0, &why);
	printf("notifier_max_listeners %u\n", g.max_lanes);
	printf("batch %d\nheader %zu\nattached %zu\n", WRITER_BATCH_MAX, sizeof(struct channel_header), sizeof(struct channel_attached));
	return 0;
}
END
# shellcheck disable=SC2086
if ! $CC -D_GNU_SOURCE -I"$top_srcdir/src" -I"$top_srcdir/include" -o "$dir/numbers" "$dir/numbers.c" "$top_srcdir/src/channel/geometry.c" "$top_srcdir/src/channel/counters.c" >"$dir/cc" 2>&1
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
for name in payload_max max_pending max_servers max_loans; do
	define client_$name src/lib/client-open.c DEFAULT_"$(echo $name | tr a-z A-Z)"
done
for name in payload_max max_held max_clients max_loans; do
	define server_$name src/lib/server-open.c DEFAULT_"$(echo $name | tr a-z A-Z)"
done
define notifier_max_event_id src/lib/notifier.c DEFAULT_MAX_EVENT_ID
define listener_max_event_id src/lib/listener.c DEFAULT_MAX_EVENT_ID
define listener_max_notifiers src/lib/listener.c DEFAULT_MAX_NOTIFIERS
define watch_queue src/lib/watch.c QUEUE_DEFAULT
define watch_queue_most src/lib/watch.c QUEUE_MAX
define alignment src/lib/options.c ALIGNMENT_MAX
define queue_messages src/router/peer.h PEER_QUEUE_MESSAGES
define node_watches src/router/watch.c WATCHES_PER_NODE
define user_watches src/router/watch.c WATCHES_PER_UID
define looks src/router/look.c LOOKS_QUEUED_MAX
define joining_ns src/router/router.h ROUTER_HELLO_PATIENCE_NS
define claims_ns src/router/claim.h CLAIM_PATIENCE_NS
define returning_ns src/router/claim.c RETURN_PATIENCE_NS
define backoff_first_ns src/lib/rejoin.h BACKOFF_FIRST_NS
define backoff_last_ns src/lib/rejoin.c BACKOFF_LAST_NS
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
for name in payload_max max_pending max_servers max_loans; do
	says zcp_client_open "$(item zcp_client_open $name)" '(default is|else) #' client_$name
done
says zcp_client_open "$(item zcp_client_open max_pending)" 'at most #' pending
says zcp_client_open "$(item zcp_client_open max_held)" 'at most #' held
says zcp_client_open "$(item zcp_client_open max_servers)" 'at most #' lanes
for name in payload_max max_held max_clients max_loans; do
	says zcp_server_open "$(item zcp_server_open $name)" '(default is|else) #' server_$name
done
says zcp_server_open "$(item zcp_server_open max_held)" 'at most #' held
says zcp_server_open "$(item zcp_server_open max_clients)" 'at most #' lanes
events=zcp_notifier_open
says $events "$(item $events max_event_id)" 'at most #' largest_event_id
says $events "$(item $events max_event_id)" 'default is #' notifier_max_event_id
says $events "$(item $events max_event_id)" 'default is #' listener_max_event_id
says $events "$(item $events max_listeners)" 'at most #' lanes
says $events "$(item $events max_listeners)" 'default is #' notifier_max_listeners
says $events "$(item $events max_notifiers)" 'at most #' lanes
says $events "$(item $events max_notifiers)" 'default is #' listener_max_notifiers
says zcp_watch_open "$(item zcp_watch_open queue)" 'at most #' watch_queue_most
says zcp_watch_open "$(item zcp_watch_open queue)" '0 is #' watch_queue
says zcp_publisher_loan "$(cat "$man/zcp_publisher_loan.3")" '^<= #' batch
says zcp_node_open "$(item zcp_node_open socket_path)" 'at most #' socket_path
says zcp_node_open "$(item zcp_node_open no_thread)" 'every # ms' heartbeat_ms
says zcp_node_open "$(cat "$man/zcp_node_open.3")" '1 to # bytes' name
echo "timeout_s $(($(code timeout_ns) / 1000000000))
patience_s $(($(code patience_ms) / 1000))
joining_s $(($(code joining_ns) / 1000000000))
claims_s $(($(code claims_ns) / 1000000000))
returning_s $(($(code returning_ns) / 1000000000))
backoff_first_ms $(($(code backoff_first_ns) / 1000000))
backoff_last_s $(($(code backoff_last_ns) / 1000000000))" >>"$dir/code"
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
for name in max_clients max_servers max_listeners max_notifiers; do
	says zcp.7 "$overview" "$name Ta #" lanes
done
says zcp.7 "$overview" 'max_event_id Ta #' largest_event_id
says zcp.7 "$overview" 'max_pending Ta #' pending
says zcp.7 "$overview" 'Held requests of a server, max_held Ta #' held
says zcp.7 "$overview" 'Held responses of a client, max_held Ta #' held

programming=$(cat "$man/libzcp.7")
says libzcp.7 "$programming" 'touched every # ms' heartbeat_ms
says libzcp.7 "$programming" 'after # s$' patience_s
says libzcp.7 "$programming" 'The router, # s at most' timeout_s
says libzcp.7 "$programming" 'says, # unless it was opened with more' default_max_held
protocol=$(cat "$man/zcp-protocol.7")
says zcp-protocol.7 "$protocol" 'not joined # s after it connected' joining_s
says zcp-protocol.7 "$protocol" 'handed everything over after # s' returning_s
says zcp-protocol.7 "$protocol" 'when # messages, or 1 MiB of them, wait' queue_messages
says zcp-protocol.7 "$protocol" 'A node may have # watches' node_watches
says zcp-protocol.7 "$protocol" 'watches, a user #' user_watches
says zcp-protocol.7 "$protocol" '# messages wait for this node' looks
says zcp-protocol.7 "$protocol" 'process lives, or # s if that' claims_s
says zcp-protocol.7 "$protocol" 'tries again after # ms' backoff_first_ms
says zcp-protocol.7 "$protocol" 'ever later up to # s' backoff_last_s
says zcp.7 "$overview" 'after # ms, then ever later, up to' backoff_first_ms

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
says zcp.h "$(option max_pending)" '1\.\.#' pending
says zcp.h "$(option max_pending)" '0: #' client_max_pending
says zcp.h "$(option max_servers)" '0: #' client_max_servers
says zcp.h "$(option max_clients)" '0: #' server_max_clients
says zcp.h "$(option max_listeners)" '0: #' notifier_max_listeners
says zcp.h "$(option max_notifiers)" '0: #' listener_max_notifiers
says zcp.h "$(option max_event_id)" '0: #' notifier_max_event_id
says zcp.h "$(option queue)" '0: #' watch_queue
says zcp.h "$(option queue)" 'up to #' watch_queue_most

# The table of defaults, row by row.
sed -n 's/^\.It \([0-9][0-9]* Ta\)/\1/p' "$man/$publisher.3" | sed 's/ Ta / /g' >"$dir/rows"
[ "$(wc -l <"$dir/rows")" -ge 5 ] || fail "$publisher.3 has no table of defaults"
while read -r row; do
	real=$("$dir/numbers" "${row%% *}")
	[ "$row" = "$real" ] || fail "$publisher.3: the table has '$row', the code '$real'"
done <"$dir/rows"

[ $failures -eq 0 ] || exit 1
echo "$(wc -l <"$dir/code") numbers agree"
