#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp bench: every section runs and says what it should, nothing is left behind, wrong usage is told. Never how fast it was: rounds are so
# few here that the figures mean nothing.

zcp=${ZCP_BIN:-./zcp}
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/run"
XDG_RUNTIME_DIR=$dir/run
export XDG_RUNTIME_DIR
failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

wrong_usage() {
	"$zcp" bench "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq 2 ] || fail "bench $*: exit status $status, not 2"
	[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "bench $*: not one line of complaint: $(cat "$dir/err")"
	[ -s "$dir/out" ] && fail "bench $*: printed something"
}

command -v python3 >/dev/null || {
	echo "SKIP: no python3 to look into the JSON" >&2
	exit 77
}

wrong_usage --no-such-option
wrong_usage nonsense
wrong_usage --runs 0
wrong_usage --cpus 0
wrong_usage --cpus 0,99999
wrong_usage --json --histogram
"$zcp" bench --help | grep -q '^Usage: zcp bench' || fail "--help says nothing"

if ! timeout 300 "$zcp" bench all --quick --json --runs 2 --scale 0.002 >"$dir/json" 2>"$dir/err"; then
	fail "bench --json: $(cat "$dir/err")"
fi
# a machine without eBPF rights leaves a detector out and says so
grep -v 'left out:' "$dir/err" >"$dir/complaints" && fail "complained: $(cat "$dir/complaints")"
python3 - "$dir/json" <<'END' || fail "the JSON is not what it should be: $(cat "$dir/json")"
import json, sys

doc = json.load(open(sys.argv[1]))
assert doc["runs"] == 2 and doc["quick"] is True and doc["errors"] == 0, doc
assert len(doc["cpus"]) == 2 and doc["version"], doc
rows = {}
for row in doc["results"]:
    rows.setdefault(row["section"], []).append(row)
    # a crowd, and all kills, are one run
    runs = len(row["values"])
    assert runs == len(row["floors"]) and (runs == 2 or runs == 1 and row["section"] in ("join", "exit")), row
    assert row["value"] > 0 and all(v > 0 for v in row["values"]), row
    assert row["unit"] in ("ns", "messages/s", "GB/s", "bytes"), row
    floorless = row["section"] == "memory" or row.get("subscribers") == 0 or row["unit"] == "bytes" or row["name"].endswith("endpoints each")
    assert (row["floor"] is None) == floorless == (row["ratio"] is None), row
    assert ("target" in row) == ("met" in row), row
    if row["section"] in ("latency", "call"):
        p = row["percentiles_ns"]
        assert p["p50"] <= p["p90"] <= p["p99"] <= p["p99.9"] <= p["max"], row
for row in rows["waitset"]:
    assert row["subscribers"] >= 100 and row["name"].startswith("1 of %d, " % row["subscribers"]), row
assert len(rows["waitset"]) == 2, rows["waitset"]
names = {section: [row["name"] for row in of] for section, of in rows.items()}
assert list(names) == ["latency", "throughput", "fanout", "wake", "call", "waitset", "join", "exit", "memory"], names
for row in rows["exit"]:
    assert row["kills"] >= 1 and row["max_ns"] >= row["value"], row
    assert row["name"] == "heartbeat" or row["floor_max_ns"] >= row["floor"], row
    # nothing else could have noticed
    assert row["name"] != "heartbeat" or row["value"] > 2.5e9, row
for section, name in (("latency", "64 B inline, polling"), ("latency", "64 B inline, blocking"), ("latency", "64 B chunk, polling"),
                      ("throughput", "64 B inline"), ("throughput", "64 B chunk, batches of 32"), ("fanout", "publish, 256 subscribers"),
                      ("wake", "publish to woken subscriber"), ("wake", "notify to woken listener"), ("call", "64 B, polling"), ("call", "1 MiB loan, polling"), ("call", "64 B, blocking"),
                      ("join", "node open"), ("exit", "all detectors"), ("exit", "pidfd"), ("exit", "socket"),
                      ("exit", "heartbeat"), ("exit", "  p99"), ("memory", "publisher and its node")):
    assert name in names[section], (section, name, names)
END

# the table: one section, no terminal, so no progress line
timeout 120 "$zcp" bench --quick --runs 1 --scale 0.002 memory wake >"$dir/table" 2>"$dir/err" || fail "bench memory wake: $(cat "$dir/err")"
grep -q '^wake .*publish to woken subscriber' "$dir/table" || fail "no wake row: $(cat "$dir/table")"
grep -q 'targets met' "$dir/table" || fail "no verdict: $(cat "$dir/table")"
awk 'length > 100 { bad = 1 } END { exit bad }' "$dir/table" || fail "a line of over 100 columns: $(cat "$dir/table")"

# nobody listens
timeout 60 "$zcp" bench --quick --runs 1 --scale 0.002 --socket "$dir/none.sock" wake >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ] || fail "no router there, and no exit status 1"
grep -q zcp_node_open "$dir/err" || fail "no reason: $(cat "$dir/err")"

# a signal in the middle: ends by it, and takes everything along
"$zcp" bench wake --runs 99 >"$dir/out" 2>"$dir/err" &
pid=$!
tries=0
while [ $tries -lt 200 ] && ! ls "$dir"/run/zcp-bench-*/router.sock >/dev/null 2>&1; do
	sleep 0.05
	tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
[ $? -eq 143 ] || fail "SIGTERM did not end it by SIGTERM: $(cat "$dir/err")"

left=$(ls -A "$dir/run")
[ -z "$left" ] || fail "left behind: $left"

[ $failures -eq 0 ] && echo "ok"
[ $failures -eq 0 ]
