# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# Sourced by the tests that run the tools as a user would. Each gets a directory of its own with a router's socket in it, and at the end
# everything that was started through it is gone, whatever happened.

zcp=${ZCP_BIN:-./zcp}
router=${ZCP_ROUTER_BIN:-./zcp-router}
dir=$(mktemp -d) || exit 99
mkdir -m 700 "$dir/run"
XDG_RUNTIME_DIR=$dir/run
ZCP_ROUTER=$dir/run/router.sock
ZCP_ROUTER_BIN=$router
export XDG_RUNTIME_DIR ZCP_ROUTER ZCP_ROUTER_BIN
started=
failures=0

tool_cleanup() {
	for pid in $started; do
		kill -KILL "$pid" 2>/dev/null
	done
	pid=$(router_pid)
	[ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap tool_cleanup EXIT
trap 'exit 99' INT TERM HUP

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

skip() {
	echo "SKIP: $*" >&2
	exit 77
}

# The last line of a test.
finish() {
	[ $failures -eq 0 ] || exit 1
	echo "ok"
}

# wait_for SECONDS COMMAND...: until it succeeds; false after the time
wait_for() {
	tries=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}

# background NAME COMMAND...: output in $dir/NAME.{out,err}; sets $pid. A shell's background jobs ignore SIGINT; this one doesn't.
background() {
	name=$1
	shift
	env --default-signal=INT --default-signal=QUIT "$@" >"$dir/$name.out" 2>"$dir/$name.err" </dev/null &
	pid=$!
	started="$started $pid"
}

# ends SECONDS PID: reaps it and sets $status; complains if it doesn't end in time
gone() {
	! kill -0 "$1" || grep -q '^State:.*Z' "/proc/$1/status"
}
ends() {
	if ! wait_for "$1" gone "$2"; then
		fail "process $2 did not end within $1 s"
		kill -KILL "$2"
	fi
	wait "$2"
	status=$?
}

# run STATUS COMMAND...: runs it, output in $dir/out and $dir/err, and compares the exit status
run() {
	expected=$1
	shift
	timeout 60 "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	[ $status -eq "$expected" ] || fail "$*: exit status $status, not $expected: $(cat "$dir/err")"
}

# the router of this test, never another one
router_pid() {
	"$zcp" info --json >"$dir/info.json" 2>/dev/null
	grep -q "\"socket\": \"$dir/" "$dir/info.json" && sed -n 's/^ *"pid": \([0-9]*\),*$/\1/p' "$dir/info.json"
}

start_router() {
	"$router" --quiet >"$dir/router.out" 2>"$dir/router.err" </dev/null &
	router_job=$!
	started="$started $router_job"
	wait_for 10 "$zcp" info || {
		fail "the router did not start: $(cat "$dir/router.err")"
		exit 1
	}
}

# endpoints KIND N: as many of them exist
endpoints() {
	[ "$("$zcp" list --json | grep -c "\"kind\": \"$1\"")" -eq "$2" ]
}
