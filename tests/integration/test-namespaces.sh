#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Clients and routers in namespaces of their own: messages pass, ends are noticed, clocks that differ don't matter.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root, to make namespaces"
for kind in -p -m -T; do
	unshare $kind --fork true 2>/dev/null || skip "unshare $kind is not allowed here"
done

# client NAME COMMAND...: it runs zcp sub, which is there when one more subscriber is
n_subscribers=0
client() {
	background "$@"
	n_subscribers=$((n_subscribers + 1))
	wait_for 10 endpoints subscriber $n_subscribers || fail "$1: no subscriber: $(cat "$dir/$1.err")"
}

# ended: one less
ended() {
	n_subscribers=$((n_subscribers - 1))
	wait_for 10 endpoints subscriber $n_subscribers || fail "$1: its end was not noticed"
}

# deaths N: so many were seen
deaths() {
	[ "$("$zcp" info --json | sed -n 's/.*"deaths": \([0-9]*\).*/\1/p')" -eq "$1" ]
}

# exchange NAME COMMAND...: runs zcp sub by COMMAND, which gets two messages from here and ends by itself
exchange() {
	name=$1
	client "$@" sub --count 2 "test/$name/text"
	job=$pid
	printf 'one\ntwo\n' | timeout 20 "$zcp" pub --lines --reliable "test/$name/text" 2>"$dir/pub.err" ||
		fail "$name: pub: $(cat "$dir/pub.err")"
	ends 20 $job
	[ $status -eq 0 ] || fail "$name: status $status: $(cat "$dir/$name.err")"
	grep -q 'two$' "$dir/$name.out" || fail "$name: $(cat "$dir/$name.out")"
	ended "$name"
}

# slain NAME COMMAND...: the same, and it is killed. The last process of the chain that COMMAND makes is zcp.
slain() {
	name=$1
	client "$@" sub "test/$name/text"
	victim=$pid
	while next=$(pgrep -P "$victim"); do
		victim=$next
	done
	kill -KILL "$victim"
	ended "$name"
	n_deaths=$((n_deaths + 1))
	wait_for 10 deaths $n_deaths || fail "$name: not counted as a death"
}
n_deaths=0

# A root with the socket and nothing of /proc, /sys, /dev and /tmp. Prints the command that runs zcp in it.
cat >"$dir/jail.sh" <<'EOF'
set -e
mount -t tmpfs none "$1/root"
cd "$1/root"
mkdir usr lib lib64 bin
for part in usr lib lib64 bin; do
	[ ! -d /$part ] || mount --bind /$part $part
done
touch zcp router.sock
mount --bind "$2" zcp
mount --bind "$3" router.sock
shift 3
ZCP_ROUTER=/router.sock exec chroot . /zcp "$@"
EOF
mkdir "$dir/root"
real_zcp=$(readlink -f "$zcp")

in_pid_namespace() {
	"$2" "$1" unshare -p --fork --kill-child "$zcp"
}
in_time_namespace() {
	"$2" "$1" unshare -T --monotonic 100000 --boottime 100000 --fork --kill-child "$zcp"
}
in_mount_namespace() {
	"$2" "$1" unshare -m --fork --kill-child sh "$dir/jail.sh" "$dir" "$real_zcp" "$ZCP_ROUTER"
}

start_router

for kind in pid time mount; do
	if [ $kind = mount ] && ! unshare -m sh "$dir/jail.sh" "$dir" "$real_zcp" "$ZCP_ROUTER" --version >"$dir/out" 2>&1; then
		echo "zcp does not run without /proc here (a sanitizer?), left out: $(head -n 1 "$dir/out")"
		continue
	fi
	in_${kind}_namespace $kind exchange
	in_${kind}_namespace $kind slain
done

# A clock that is a day ahead is no sign of life, nor of the contrary. The patience is 3 s; nothing must happen.
client clock unshare -T --monotonic 100000 --fork --kill-child "$zcp" sub test/clock/text
clock=$pid
sleep 4
"$zcp" list --json >"$dir/out"
grep -q '"responsive": true' "$dir/out" || fail "zcp list does not say who is responsive"
grep -q '"responsive": false' "$dir/out" && fail "unresponsive: $(cat "$dir/out")"
kill -KILL "$clock"
ended clock

# The router in a pid namespace; clients outside, which it cannot name by pid.
old=$(router_pid)
kill -TERM "$old"
ends 10 "$router_job"
background inner unshare -p --fork --kill-child --mount-proc "$router" --quiet
outer=$pid
wait_for 10 "$zcp" info || fail "no router in a pid namespace: $(cat "$dir/inner.err")"
n_deaths=0
exchange outside "$zcp"
slain outside "$zcp"
in_pid_namespace inside exchange
in_pid_namespace inside slain
inner=$(pgrep -P "$outer")
kill -TERM $inner || fail "the inner router is gone"
ends 10 "$outer"
started=
finish
