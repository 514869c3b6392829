#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What systemd is given is what systemd understands, and what it says of the router is so: the sockets are where the router and its clients
# look, and the system's unit leaves the router what it needs and little else.

set -u
: "${top_srcdir:=.}" "${top_builddir:=.}"
failures=0

fail() {
	echo "FAIL: $*" >&2
	failures=$((failures + 1))
}

command -v systemd-analyze >/dev/null || { echo "SKIP: no systemd-analyze (Debian: systemd)" >&2; exit 77; }
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
trap 'exit 99' INT TERM HUP
export XDG_RUNTIME_DIR="$dir"

# The router is not installed yet: its path is replaced by one where there is one.
mkdir "$dir/system" "$dir/user"
for unit in "$top_builddir/systemd/zcp-router.service" "$top_srcdir/systemd/zcp-router.socket" \
	"$top_builddir/systemd/user/zcp-router.service" "$top_srcdir/systemd/user/zcp-router.socket"; do
	case $unit in
	*/user/*) to=$dir/user/${unit##*/} ;;
	*) to=$dir/system/${unit##*/} ;;
	esac
	sed "s|^ExecStart=.*/zcp-router\$|ExecStart=$ZCP_ROUTER_BIN|" "$unit" >"$to"
	grep -q '@[a-z]*@' "$unit" && fail "$unit has something left to be replaced"
done
for manager in system user; do
	grep -q "^ExecStart=$ZCP_ROUTER_BIN\$" "$dir/$manager/zcp-router.service" || fail "the $manager's unit does not start zcp-router"
	# whatever it says is a complaint
	said=$(systemd-analyze "--$manager" verify --man=no --recursive-errors=no "$dir/$manager"/zcp-router.* 2>&1) || fail "the $manager's units are refused"
	[ -z "$said" ] || fail "the $manager's units: $said"
done

# of DIRECTIVE FILE: its value
of() {
	sed -n "s/^$1=//p" "$2"
}
system=$(of ListenSequentialPacket "$dir/system/zcp-router.socket")
"$ZCP_ROUTER_BIN" --help | grep -q -- "--socket PATH .*[ ,]$system\]\$" || fail "the system's socket is $system, the router's is not"
user=$(of ListenSequentialPacket "$dir/user/zcp-router.socket" | sed "s|^%t/|\$XDG_RUNTIME_DIR/|")
"$ZCP_ROUTER_BIN" --help | grep -q -F -- " $user," || "$ZCP_ROUTER_BIN" --help | grep -q -F -- ",$user," || fail "a user's socket is $user, the router's is not"

# systemd's own judgement, times ten; 100 is no restriction at all
if systemd-analyze security --help 2>/dev/null | grep -q -- --threshold; then
	systemd-analyze security --no-pager --offline=yes --threshold=15 "$dir/system/zcp-router.service" >"$dir/security" 2>&1 ||
		fail "the system's router is exposed: $(tail -n 2 "$dir/security")"
fi

# What the unit grants is enough: capabilities as it says, another user, and the detector that needs them works. Root only.
granted=$(of AmbientCapabilities "$dir/system/zcp-router.service")
[ "$granted" = "$(of CapabilityBoundingSet "$dir/system/zcp-router.service")" ] || fail "the unit may have what it does not get"
caps=-all
for capability in $granted; do
	caps=$caps,+$(echo "${capability#CAP_}" | tr '[:upper:]' '[:lower:]')
done
binary=$top_builddir/zcp-router
[ ! -e "$top_builddir/.libs/zcp-router" ] || binary=$top_builddir/.libs/zcp-router
if [ "$(id -u)" -ne 0 ] || ! command -v setpriv >/dev/null; then
	echo "not tried with its capabilities: that takes root and setpriv"
elif ! "$ZCP_ROUTER_BIN" --socket "$dir/root.sock" --exit-when-idle=0 2>&1 | grep -q 'detection: eBPF'; then
	echo "not tried with its capabilities: there is no eBPF here for root either"
else
	cp "$binary" "$dir/router"
	mkdir "$dir/run"
	chown nobody "$dir/run"
	chmod 755 "$dir" "$dir/router"
	setpriv --reuid nobody --clear-groups --no-new-privs --inh-caps "$caps" --ambient-caps "$caps" --bounding-set "$caps" \
		"$dir/router" --socket "$dir/run/router.sock" --exit-when-idle=0 >"$dir/said" 2>&1 || fail "it does not run with $granted"
	grep -q 'detection: eBPF' "$dir/said" || fail "$granted are not enough: $(cat "$dir/said")"
fi

# the user and the directory
if ! said=$(systemd-sysusers --dry-run "$top_srcdir/systemd/sysusers.d/zcp.conf" 2>&1); then
	fail "systemd-sysusers: $said"
fi
grep -q "^u $(of User "$dir/system/zcp-router.service") " "$top_srcdir/systemd/sysusers.d/zcp.conf" || fail "the router's user is another one"
if [ "$(id -u)" -eq 0 ]; then
	mkdir "$dir/root"
	said=$(systemd-tmpfiles --create --root="$dir/root" "$top_srcdir/systemd/tmpfiles.d/zcp.conf" 2>&1) || fail "systemd-tmpfiles: $said"
	[ "$(stat -c '%a %u' "$dir/root${system%/*}" 2>&1)" = "755 0" ] || fail "tmpfiles.d does not make ${system%/*}: $said $(find "$dir/root")"
fi

[ $failures -eq 0 ] || exit 1
echo "ok"
