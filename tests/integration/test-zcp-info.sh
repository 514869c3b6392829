#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp info says what the router was told, by which file, what it uses and what it has counted; zcp list who does not respond.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

says() { # PATTERN: a line of what was run last
	grep -Eq -- "$1" "$dir/out" || fail "no line '$1' in: $(cat "$dir/out")"
}

# json PATH: the value of info --json, "a.b" style
json() {
	"$zcp" info --json | python3 -c 'import functools, json, sys
print(functools.reduce(lambda v, k: v[k], sys.argv[1].split("."), json.load(sys.stdin)))' "$1"
}
is() { # PATH VALUE
	[ "$(json "$1")" = "$2" ]
}

command -v python3 >/dev/null || skip "python3 reads the JSON"

# ---- what the file and the command line say ----

sed 's/#.*//' "${top_srcdir:-.}/src/examples/router.conf" | grep -q = && fail "the example router.conf sets something"
if ! grep -q 'define HAVE_INIH 1' config.h 2>/dev/null; then
	run 2 "$router" --config /dev/null
	grep -q 'inih' "$dir/err" || fail "without inih: $(cat "$dir/err")"
	skip "built without inih"
fi
run 2 "$router" --config "$dir/none.conf"
grep -q "$dir/none.conf: cannot be read: " "$dir/err" || fail "a file that is not there: $(cat "$dir/err")"

# The example, with each line that is commented out as a setting in force, is right and says the defaults.
sed 's/^#\([a-z-]* = .*\)/\1/; /^socket/d' "${top_srcdir:-.}/src/examples/router.conf" >"$dir/all.conf"
[ "$(grep -c ' = ' "$dir/all.conf")" -gt 15 ] || fail "the example has hardly a setting"
"$router" --quiet --loop epoll 2>"$dir/err" &
started="$started $!"
wait_for 10 "$zcp" info || fail "the router did not start: $(cat "$dir/err")"
json limits >"$dir/limits.default"
json heartbeat >"$dir/heartbeat.default"
is configuration "" || fail "a configuration file that nobody named"
is loop epoll || fail "the loop is not epoll"
kill -TERM "$(router_pid)"
wait_for 10 test ! -e "$ZCP_ROUTER.lock"
"$router" --quiet --config "$dir/all.conf" --loop epoll 2>"$dir/err" &
started="$started $!"
wait_for 10 "$zcp" info || fail "the router refuses its own example: $(cat "$dir/err")"
json limits >"$dir/limits.example"
json heartbeat >"$dir/heartbeat.example"
cmp "$dir/limits.default" "$dir/limits.example" && cmp "$dir/heartbeat.default" "$dir/heartbeat.example" ||
	fail "the example does not say the defaults: $(cat "$dir"/limits.* "$dir"/heartbeat.*)"
is configuration "$dir/all.conf" || fail "the file is not named: $(json configuration)"
kill -TERM "$(router_pid)"
wait_for 10 test ! -e "$ZCP_ROUTER.lock"

cat >"$dir/router.conf" <<END
[router]
socket = $dir/nowhere/router.sock
[limits]
max-nodes = 20
max-nodes-per-uid = 12
max-endpoints-per-uid = 40
max-bytes-per-node = 3G
[detectors]
bpf = no
[heartbeat]
touch-ms = 40
scan-ms = 100
timeout-ms = 900
END
cd "$dir" && mkdir nowhere || exit 99
case $router in /*) ;; *) router=$OLDPWD/$router ;; esac
case $zcp in /*) ;; *) zcp=$OLDPWD/$zcp ;; esac
"$router" --quiet --config router.conf --max-nodes-per-uid 10 --socket "$ZCP_ROUTER" 2>"$dir/err" &
started="$started $!"
wait_for 10 "$zcp" info || fail "the router did not start: $(cat "$dir/err")"
run 0 "$zcp" info
says "^  configuration +$dir/router.conf\$"
says '^  exit detectors +pidfd socket heartbeat$'
says '^  event loop +(io_uring|epoll)$'
says '^  heartbeat +every 40 ms, looked at every 100 ms; unresponsive after 900 ms$'
says '^  nodes +0 of 20$'
says '^  nodes +0 of 10$'
says '^  endpoints +0 of 40$'
says '^  memory +3\.0 GiB$'

# ---- what is used ----

background sub "$zcp" sub a/b/c
background pub "$zcp" pub --wait 1 --data x --rate 20 a/b/c
pub=$pid
wait_for 10 grep -q x "$dir/sub.out" || fail "nothing arrives: $(cat "$dir/pub.err")"
for pair in own_user.uid=$(id -u) own_user.nodes=2 own_user.endpoints=2 own_user.descriptors=8 limits.nodes_per_user=10; do
	wait_for 10 is "${pair%=*}" "${pair#*=}" || fail "${pair%=*} is $(json "${pair%=*}"), not ${pair#*=}"
done
[ "$(json own_user.bytes)" -gt 8192 ] || fail "the segments do not count"

# ---- who does not respond ----

unresponsive() {
	"$zcp" list | grep -q ' unresponsive$' && "$zcp" list --json | grep -q '"responsive": false'
}
responsive() {
	! "$zcp" list | grep -q unresponsive && ! "$zcp" list --json | grep -q '"responsive": false'
}
responsive || fail "somebody is unresponsive: $("$zcp" list)"
kill -STOP "$pub"
wait_for 20 unresponsive || fail "a stopped process is not shown: $("$zcp" list)"
kill -CONT "$pub"
wait_for 20 responsive || fail "it goes on and is still shown: $("$zcp" list)"
is since_start.deaths 0 || fail "a stopped process died"
is since_start.evictions 0 || fail "a stopped process was evicted"
kill -KILL "$pub"
wait_for 10 is since_start.deaths 1 || fail "the death does not count"
is since_start.noticed_by.pidfd 1 || fail "the pidfd did not notice it: $("$zcp" info)"
run 0 "$zcp" info
says '^  deaths +1, noticed by pidfd 1$'

finish
