#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp list and zcp info: who is connected to whom, and the router, for people and for programs.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

json_valid() {
	if command -v python3 >/dev/null; then
		python3 -m json.tool "$1" >/dev/null
	elif command -v jq >/dev/null; then
		jq . "$1" >/dev/null
	fi
}

start_router

run 0 "$zcp" list
grep -q 'no node has joined' "$dir/out" || fail "an empty router: $(cat "$dir/out")"
run 0 "$zcp" list --json
json_valid "$dir/out" || fail "JSON of an empty router: $(cat "$dir/out")"

topic="a service/an instance/$(printf '\303\251v\303\251nement')"
background sub1 "$zcp" sub "$topic"
background sub2 "$zcp" sub --lossy "$topic"
sub2=$pid
background other "$zcp" sub x/y/z
background pub "$zcp" pub --wait 2 --data hello --rate 10 --reliable --history 3 --type greeting "$topic"
wait_for 10 grep -q hello "$dir/sub1.out" || fail "nothing arrives: $(cat "$dir/pub.err")"
wait_for 10 grep -q hello "$dir/sub2.out" || fail "nothing arrives at the second"
wait_for 10 endpoints subscriber 3 || fail "the unconnected subscriber does not join: $("$zcp" list)"

run 0 "$zcp" list
grep -q "^$topic\$" "$dir/out" || fail "the topic is not listed: $(cat "$dir/out")"
grep -q "^  publisher .*zcp pub .*reliable .*history 3 .*greeting .*-> [0-9]*, [0-9]*\$" "$dir/out" || fail "the publisher: $(cat "$dir/out")"
[ "$(grep -c "^  subscriber .*zcp sub .*<- [0-9]*\$" "$dir/out")" -eq 2 ] || fail "the subscribers: $(cat "$dir/out")"
grep -q "^  subscriber .*<- nobody\$" "$dir/out" || fail "the unconnected subscriber: $(cat "$dir/out")"
grep -q "zcp list" "$dir/out" && fail "list shows itself: $(cat "$dir/out")"
grep -q ' $' "$dir/out" && fail "spaces at the end of a line"

run 0 "$zcp" list --json
cp "$dir/out" "$dir/list.json"
json_valid "$dir/list.json" || fail "JSON: $(cat "$dir/list.json")"
if command -v python3 >/dev/null; then
	python3 - "$dir/list.json" "$topic" "$sub2" <<'END' || fail "list --json: $(cat "$dir/list.json")"
import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
topic = lambda e: "/".join(e["topic"][k] for k in ("service", "instance", "event"))
mine = [e for e in d["endpoints"] if topic(e) == sys.argv[2]]
pub, = [e for e in mine if e["kind"] == "publisher"]
subs = [e for e in mine if e["kind"] == "subscriber"]
assert len(subs) == 2 and sorted(pub["connected_to"]) == sorted(e["id"] for e in subs), d
assert all(e["connected_to"] == [pub["id"]] for e in subs), d
assert pub["reliable"] and pub["history"] == 3 and pub["type"]["name"] == "greeting", pub
assert [e["lossy"] for e in subs if e["pid"] == int(sys.argv[3])] == [True], subs
assert sorted((c["publisher"], c["subscriber"]) for c in d["connections"]) == sorted((pub["id"], e["id"]) for e in subs), d
assert len(d["nodes"]) == 4 and {n["name"] for n in d["nodes"]} == {"zcp pub", "zcp sub"}, d
END
fi

run 0 "$zcp" info
for word in version pid socket uptime io_uring\\\|epoll detectors nodes endpoints memory; do
	grep -q -e "$word" "$dir/out" || fail "info doesn't say $word: $(cat "$dir/out")"
done
grep -q "pid  *$router_job\$" "$dir/out" || fail "info: the pid is not $router_job: $(cat "$dir/out")"
run 0 "$zcp" info --json
json_valid "$dir/out" || fail "info --json: $(cat "$dir/out")"
grep -q '"nodes": 4' "$dir/out" || fail "info counts itself: $(cat "$dir/out")"
run 0 "$zcp" --socket "$ZCP_ROUTER" info
run 0 "$zcp" info --socket "$ZCP_ROUTER"

# a client and a server: each once, connected with each other, whatever there is in between
background serve "$zcp" serve --load-balanced c/s/t -- sh -c 'echo "pid of the command: $$"; exec sleep 100'
serve=$pid
background serve2 "$zcp" serve --load-balanced c/s/t -- sleep 100
background call "$zcp" call --timeout 100 c/s/t x
call=$pid
connected() {
	"$zcp" list | grep -q '^  client .*zcp call .*-> [0-9]*, [0-9]*$'
}
wait_for 10 connected || fail "the client is not connected with both: $("$zcp" list)"
run 0 "$zcp" list
[ "$(sed -n '/^c\/s\/t$/,/^$/p' "$dir/out" | grep -c '^  server .*zcp serve .*load-balanced .*<- [0-9]*$')" -eq 2 ] || fail "the servers: $(cat "$dir/out")"
[ "$(sed -n '/^c\/s\/t$/,/^$/p' "$dir/out" | wc -l)" -eq 5 ] || fail "more than two servers and a client: $(cat "$dir/out")"
grep -q "^  zcp call  *pid $call .* 1 endpoint " "$dir/out" || fail "endpoints of the client's node: $(cat "$dir/out")"
run 0 "$zcp" list --json
cp "$dir/out" "$dir/list.json"
json_valid "$dir/list.json" || fail "JSON: $(cat "$dir/list.json")"
if command -v python3 >/dev/null; then
	python3 - "$dir/list.json" "$call" "$serve" <<'END' || fail "list --json: $(cat "$dir/list.json")"
import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
mine = [e for e in d["endpoints"] if e["topic"]["service"] == "c"]
client, = [e for e in mine if e["kind"] == "client"]
servers = [e for e in mine if e["kind"] == "server"]
assert len(mine) == 3 and len(servers) == 2 and all(s["load_balanced"] for s in servers), mine
assert client["pid"] == int(sys.argv[2]) and int(sys.argv[3]) in [s["pid"] for s in servers], mine
assert sorted(client["connected_to"]) == sorted(s["id"] for s in servers), mine
assert all(s["connected_to"] == [client["id"]] for s in servers), mine
assert all(s["segment_bytes"] > 1 << 20 for s in servers), "the channels to clients are a server's"
pairs = [(c["client"], c["server"]) for c in d["connections"] if "client" in c]
assert sorted(pairs) == sorted((client["id"], s["id"]) for s in servers), d["connections"]
assert all("publisher" in c for c in d["connections"] if "client" not in c), d["connections"]
assert {e["kind"] for e in d["endpoints"]} == {"publisher", "subscriber", "server", "client"}, d
END
fi
kill -KILL "$call"
wait "$call" 2>/dev/null
wait_for 10 endpoints client 0 || fail "a killed client stays listed: $("$zcp" list)"
alone() {
	[ "$("$zcp" list | grep -c '^  server .*<- nobody$')" -eq 2 ]
}
wait_for 10 alone || fail "servers stay connected with a dead client: $("$zcp" list)"

# what has ended is not listed any more
kill -KILL "$sub2"
wait "$sub2" 2>/dev/null
wait_for 10 endpoints subscriber 2 || fail "a killed subscriber stays listed: $("$zcp" list)"

finish
