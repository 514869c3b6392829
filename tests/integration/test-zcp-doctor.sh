#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zcp doctor: a machine made up of files with one defect after the other, each of which must be found with its cure and nothing else
# besides; the same by real limits, a real seccomp filter and another user; and routers in all states.
# shellcheck source=tests/integration/tool.sh
. "${top_srcdir:-.}/tests/integration/tool.sh"

command -v python3 >/dev/null || skip "python3 reads the JSON and plays an old router"
case $zcp in /*) ;; *) zcp=$PWD/$zcp ;; esac
case $router in /*) ;; *) router=$PWD/$router ;; esac

# ---- a machine without a defect ----

fake=$dir/machine
fact() { # PATH TEXT
	[ -d "$fake/${1%/*}" ] || mkdir -p "$fake/${1%/*}"
	printf '%s\n' "$2" >"$fake/$1"
}
make_healthy() {
	fact proc/sys/kernel/osrelease 6.6.30-test
	fact proc/sys/kernel/io_uring_disabled 0
	fact proc/sys/vm/memfd_noexec 0
	fact proc/sys/vm/max_map_count 65530
	fact proc/sys/vm/overcommit_memory 0
	fact proc/sys/fs/file-nr "1000	0	100000"
	fact proc/sys/net/core/somaxconn 4096
	fact proc/self/status "CapEff:	000001ffffffffff"
	fact proc/self/cgroup "0::/user.slice/robot.service"
	fact proc/loadavg "0.10 0.10 0.10 1/100 1000"
	fact proc/meminfo "MemTotal:       8000000 kB
MemAvailable:   4000000 kB
HugePages_Total:      10
HugePages_Free:        8
Hugepagesize:       2048 kB"
	group=sys/fs/cgroup/user.slice/robot.service
	fact $group/memory.max max
	fact $group/memory.high max
	fact $group/memory.current 1000000000
	fact $group/memory.stat "anon 1
inactive_file 0"
	fact $group/cpu.max "max 100000"
	fact sys/fs/cgroup/user.slice/memory.max max
	fact sys/fs/cgroup/user.slice/memory.current 2000000000
	fact sys/kernel/btf/vmlinux x
	fact sys/bus/event_source/devices/uprobe/type 9
	fact sys/kernel/security/lockdown "[none] integrity confidentiality"
	fact sys/kernel/mm/transparent_hugepage/shmem_enabled "always within_size [advise] never deny force"
	fact sys/devices/system/clocksource/clocksource0/current_clocksource tsc
	fact sys/devices/system/clocksource/clocksource0/available_clocksource "tsc hpet acpi_pm"
	fact sys/devices/system/cpu/isolated ""
	cpu=sys/devices/system/cpu/cpu0
	fact $cpu/cpufreq/scaling_governor performance
	fact $cpu/cpufreq/scaling_driver intel_pstate
	fact $cpu/cpuidle/state0/name POLL
	fact $cpu/cpuidle/state0/latency 0
	fact $cpu/cpuidle/state1/name C1
	fact $cpu/cpuidle/state1/latency 2
	for name in memfd io_uring bpf membarrier pidfd; do
		fact try/$name 0
	done
	fact try/ticks 1
	fact try/cpus 4
	fact try/wake 9000
	cp -r "$fake" "$dir/healthy"
}
healthy() {
	rm -rf "$fake"
	cp -r "$dir/healthy" "$fake"
}

doctor() { # STATUS [OPTION...]: of the made-up machine
	expected=$1
	shift
	ZCP_DOCTOR_ROOT=$fake timeout 60 "$zcp" doctor "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	[ $status -eq "$expected" ] || fail "zcp doctor $*: exit status $status, not $expected: $(cat "$dir/err" "$dir/out")"
}

# finds VERDICT NAME FOUND [CURE]: one line of what was run last, and the line below it
finds() {
	awk -v verdict="$1" -v name="$2" -v found="$3" -v cure="${4-}" '
		wanted { if (cure == "" ? !/^ *-> / : /^ *-> / && $0 ~ cure) good = 1; wanted = 0 }
		substr($0, 1, 9) == sprintf("  %-7s", verdict) && substr($0, 11, 18) == sprintf("%-18s", name) && $0 ~ found { wanted = 1 }
		END { exit !good }
	' "$dir/out" || fail "no '$1 $2 $3 -> ${4-}' in: $(cat "$dir/out")"
}

# defect STATUS VERDICT NAME FOUND CURE: with what was changed of the machine, that is what it finds, and no other thing is wrong
defect() {
	status_wanted=$1
	shift
	doctor "$status_wanted"
	finds "$@"
	bad=$(grep -cE '^  (slow|broken) ' "$dir/out")
	[ "$1" = info ] && bad=$((bad + 1))
	[ "$bad" -eq 1 ] || fail "$2: something else is wrong as well: $(cat "$dir/out")"
	healthy
}

# No router at a place that nobody named is no defect; our real limits may be.
unset ZCP_ROUTER
mkdir -m 700 "$dir/run/zcp"
ulimit -Sn 1024 2>/dev/null
make_healthy
doctor 0
for name in version 'memory files' eBPF membarrier pidfd 'file size' mappings 'open files' 'listen queue' 'control group' available transparent \
	'huge pages' processors clock frequency 'idle states' wake-up directory; do
	finds ok "$name" .
done
finds ok io_uring 'multishot receive'
finds info socket "no router runs.*$dir/run/zcp/router.sock"
finds info isolated none
[ "$(tail -n 1 "$dir/out" | sed 's/[0-9]* ok, //')" = "0 slow, 0 broken" ] || skip "this machine's own limits are too low: $(cat "$dir/out")"
grep -q "$(printf '\033')" "$dir/out" && fail "colours in a file"
doctor 0 --quiet
[ -s "$dir/out" ] && fail "--quiet has something to say: $(cat "$dir/out")"

# ---- one defect at a time ----

fact proc/sys/kernel/osrelease 5.15.0-91-generic
defect 1 broken version 'Linux 5.15.0-91-generic' 'newer kernel'
fact proc/sys/kernel/osrelease 6.0.19
defect 1 broken version 'made for 6.1' 'newer kernel'
rm -r "$fake/proc/sys/kernel/osrelease"
defect 1 broken version /proc 'mount /proc'

fact try/memfd -38
defect 1 broken 'memory files' 'Function not implemented' 'allow memfd_create'
fact try/memfd -27
defect 1 broken 'memory files' 'File too large' 'RLIMIT_FSIZE'
fact try/memfd -95
defect 1 broken 'memory files' 'still be mapped writable' 'F_SEAL_FUTURE_WRITE'

fact try/io_uring -1
defect 0 slow io_uring 'refused: Operation not permitted.*epoll' 'seccomp profile'
fact try/io_uring -1
fact proc/sys/kernel/io_uring_disabled 2
defect 0 slow io_uring 'refused' 'sysctl kernel.io_uring_disabled=0 .it is 2.'
fact try/io_uring -12
defect 0 slow io_uring 'Cannot allocate memory' 'RLIMIT_MEMLOCK'
fact try/io_uring -22
defect 0 slow io_uring 'Invalid argument' 'newer kernel'

if grep -q 'define HAVE_BPF 1' config.h 2>/dev/null; then
	fact try/bpf -1
	defect 0 slow eBPF 'refused.*without exit code, signal or OOM' 'CAP_BPF and CAP_PERFMON'
	fact sys/kernel/security/lockdown "none integrity [confidentiality]"
	defect 0 slow eBPF 'refused' 'lockdown=integrity'
	fact try/bpf -38
	defect 0 slow eBPF 'Function not implemented' 'CONFIG_BPF_SYSCALL'
	rm "$fake/sys/kernel/btf/vmlinux"
	defect 0 slow eBPF 'no BTF' 'CONFIG_DEBUG_INFO_BTF'
fi
if grep -q 'define HAVE_BPF 1' config.h 2>/dev/null && grep -q 'define HAVE_PROBES 1' config.h; then
	doctor 0
	finds ok tracing .
	rm "$fake/sys/bus/event_source/devices/uprobe/type"
	defect 0 info tracing 'no uprobes' CONFIG_UPROBE_EVENTS
	fact proc/self/status "CapEff:	0000000000080000"
	defect 0 info tracing 'lacks CAP_BPF, CAP_PERFMON$' 'as root, or once: setcap'
	fact proc/self/status "CapEff:	0000000000200000"
	defect 0 info tracing 'lacks CAP_SYS_PTRACE$' setcap
fi
fact try/membarrier -38
defect 0 slow membarrier 'a memory fence' 'allow membarrier'
fact try/pidfd -38
defect 0 slow pidfd 'refused' 'allow pidfd_open'

fact proc/sys/vm/max_map_count 30000
defect 0 slow mappings 30000 'sysctl vm.max_map_count=65530'
fact proc/sys/vm/max_map_count 500
defect 1 broken mappings 500 'sysctl vm.max_map_count=65530'
fact proc/sys/fs/file-nr "95000 0 100000"
defect 0 slow 'open files' '95000 of 100000' 'fs.file-max=200000'
fact proc/sys/fs/file-nr "100000 0 100000"
defect 1 broken 'open files' '100000 of 100000' 'fs.file-max=200000'
fact proc/sys/net/core/somaxconn 16
defect 0 slow 'listen queue' 16 'net.core.somaxconn=4096'

fact $group/memory.max 1048576000
defect 0 slow 'control group' '953.7 MiB of 1000.0 MiB.*robot.service/memory.max' 'MemoryMax='
fact $group/memory.max 1004000000
defect 1 broken 'control group' 'memory.max' 'MemoryMax='
fact sys/fs/cgroup/user.slice/memory.max 2003000000
defect 1 broken 'control group' 'user.slice/memory.max' 'MemoryMax='
fact $group/memory.high 1000000000
defect 0 slow 'control group' 'robot.service/memory.high' 'MemoryHigh='
# page cache that can go does not fill a group
fact $group/memory.max 1004000000
fact $group/memory.stat "inactive_file 800000000"
doctor 0
finds ok 'control group' '190.7 MiB of 957.5 MiB'
healthy
# version 1, and a namespace that hides where we are
fact proc/self/cgroup "5:cpu,cpuacct:/
4:memory:/box
0::/../x"
fact sys/fs/cgroup/memory/box/memory.limit_in_bytes 104000000
fact sys/fs/cgroup/memory/box/memory.usage_in_bytes 100000000
defect 1 broken 'control group' 'memory/box/memory.limit_in_bytes' 'docker run --memory'
fact proc/self/cgroup "0::/../../x"
fact sys/fs/cgroup/memory.max 1048576000
fact sys/fs/cgroup/memory.current 1000000000
defect 0 slow 'control group' '/sys/fs/cgroup/memory.max' 'MemoryMax='

fact proc/meminfo "MemTotal: 8000000 kB
MemAvailable: 40000 kB"
defect 0 slow available '39.1 MiB of 7.6 GiB' 'swapped out'
fact sys/kernel/mm/transparent_hugepage/shmem_enabled "always within_size advise [never] deny force"
defect 0 info transparent 'shmem_enabled is never' 'echo advise > /sys/'
fact proc/meminfo "MemTotal: 8000000 kB
MemAvailable: 4000000 kB
HugePages_Total: 10
HugePages_Free: 0
Hugepagesize: 2048 kB"
defect 0 slow 'huge pages' 'all 10 of 2.0 MiB are taken' 'vm.nr_hugepages=20'

fact try/cpus 1
defect 0 slow processors 'only 1' 'AllowedCPUs='
fact $group/cpu.max "150000 100000"
defect 0 slow processors '4, of which the control group may use 1.50' 'CPUQuota='
fact try/ticks 0
fact sys/devices/system/clocksource/clocksource0/current_clocksource hpet
defect 0 slow clock 'clock source is hpet' 'echo tsc > /sys/'
fact try/ticks 0
defect 0 slow clock 'clock source is tsc' 'invtsc'
fact try/ticks 0
fact sys/devices/system/clocksource/clocksource0/current_clocksource acpi_pm
fact sys/devices/system/clocksource/clocksource0/available_clocksource acpi_pm
defect 0 slow clock 'acpi_pm' 'tsc=reliable'
fact $cpu/cpufreq/scaling_governor powersave
doctor 0
finds ok frequency powersave
fact $cpu/cpufreq/scaling_driver acpi-cpufreq
defect 0 slow frequency 'powersave' 'cpupower frequency-set -g performance'
fact $cpu/cpuidle/state2/name C6
fact $cpu/cpuidle/state2/latency 170
defect 0 slow 'idle states' 'C6 takes 170 us' 'cpupower idle-set -D 50'
fact $cpu/cpuidle/state2/name C6
fact $cpu/cpuidle/state2/latency 170
fact $cpu/cpuidle/state2/disable 1
doctor 0
finds ok 'idle states' 'C1 is the deepest, 2 us'
healthy
fact try/wake 250000
defect 0 slow wake-up '250.0 us' 'spin_ns.*virtual machine'
fact try/wake 250000
fact proc/loadavg "99.00 99.00 99.00 1/1 1"
defect 0 info wake-up '250.0 us.*busy' 'look again'
fact sys/devices/system/cpu/isolated 2-3
doctor 0
finds info isolated '^ *info *isolated *2-3'
healthy

# ---- real limits, a real filter, a real other user ----

limited() { # STATUS ULIMIT-OPTION VALUE
	(ulimit "$2" "$3" 2>/dev/null && exec env ZCP_DOCTOR_ROOT="$fake" timeout 60 "$zcp" doctor) >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq "$1" ] || fail "ulimit $2 $3: exit status $status, not $1: $(cat "$dir/out" "$dir/err")"
}
limited 1 -Sn 40
finds broken descriptors 'may have 40 open' 'RLIMIT_NOFILE'
limited 0 -Sn 500
if [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 4096 ]; then
	finds slow descriptors 'may have 500 open' 'soft limit'
fi
limited 0 -n 2000
finds slow descriptors 'at most 2000' 'hard limit'
limited 1 -f 8000
finds broken 'file size' 'refuses segments over' 'RLIMIT_FSIZE'
if (ulimit -v 8000000 && "$zcp" --version) >/dev/null 2>&1; then	# not with AddressSanitizer
	limited 0 -v 8000000
	finds slow 'address space' '7.6 GiB' 'RLIMIT_AS'
fi

cat >"$dir/filtered.py" <<'END'
# filtered.py ERRNO SYSCALL,... COMMAND...: run it with these system calls refused
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
calls = [int(c) for c in sys.argv[2].split(",")]
code = struct.pack("HBBI", 0x20, 0, 0, 0)  # the number of the system call
for i, c in enumerate(calls):
    code += struct.pack("HBBI", 0x15, len(calls) - i, 0, c)
code += struct.pack("HBBI", 6, 0, 0, 0x7FFF0000) + struct.pack("HBBI", 6, 0, 0, 0x00050000 | int(sys.argv[1]))
memory = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(memory))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0):
    sys.exit(77)
os.execvp(sys.argv[3], sys.argv[3:])
END
bpf_numbers=
case $(uname -m) in
x86_64) bpf_numbers=321 membarrier=324 memfd=319 ;;
aarch64) bpf_numbers=280 membarrier=283 memfd=279 ;;
esac
if [ -n "$bpf_numbers" ]; then
	timeout 60 python3 "$dir/filtered.py" 1 "$bpf_numbers,$membarrier,425,434" "$zcp" doctor >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -ne 77 ] || echo "no seccomp here"
	if [ $status -ne 77 ]; then
		[ $status -eq 0 ] || fail "under a filter: exit status $status: $(cat "$dir/out" "$dir/err")"
		finds slow io_uring 'Operation not permitted' 'io_uring'
		finds slow membarrier 'refused' 'allow membarrier'
		finds slow pidfd 'refused' 'pidfd_open'
		grep -q 'define HAVE_BPF 1' config.h 2>/dev/null && finds slow eBPF 'Operation not permitted' CAP_BPF
		timeout 60 python3 "$dir/filtered.py" 38 "$memfd" "$zcp" doctor --quiet >"$dir/out" 2>"$dir/err"
		[ $? -eq 1 ] || fail "without memfd_create: exit status 0"
		finds broken 'memory files' 'Function not implemented' 'allow memfd_create'
	fi
fi

# others DIRECTORY COMMAND...: as another user
nobody=
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	nobody=$dir/nobody
	mkdir "$nobody"
	chown 65534:65534 "$nobody"
	chmod 700 "$nobody"
	chmod 711 "$dir"
fi
as_nobody() {
	env -u ZCP_ROUTER XDG_RUNTIME_DIR="$nobody" setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$@"
}
if [ -n "$nobody" ] && as_nobody timeout 60 "$zcp" --version >/dev/null 2>&1; then
	(ulimit -l 0 && as_nobody timeout 60 "$zcp" doctor) >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq 0 ] || fail "another user: exit status $status: $(cat "$dir/out" "$dir/err")"
	finds slow 'locked memory' '0 B' 'RLIMIT_MEMLOCK'
	grep -q 'define HAVE_BPF 1' config.h 2>/dev/null && [ "$(cat /proc/sys/kernel/unprivileged_bpf_disabled 2>/dev/null)" != 0 ] &&
		finds slow eBPF 'refused to this user' 'CAP_BPF and CAP_PERFMON'
	finds ok 'memory files' .
	finds ok pidfd .
	finds info socket "$nobody/zcp/router.sock"
else
	nobody=
	echo "not root, or no setpriv: other users are left out"
fi

# ---- this machine as it is ----

ZCP_ROUTER=$dir/run/router.sock
export ZCP_ROUTER
start_router
timeout 60 "$zcp" doctor >"$dir/out" 2>"$dir/err"
status=$?
if grep -q '^  broken' "$dir/out"; then
	[ $status -eq 1 ] || fail "something is broken, and the exit status is $status"
else
	[ $status -eq 0 ] || fail "exit status $status: $(cat "$dir/err")"
fi
timeout 60 "$zcp" doctor --json >"$dir/json"
python3 - "$dir/json" <<'END' || fail "the JSON is not as it should be: $(cat "$dir/json")"
import json, sys
d = json.load(open(sys.argv[1]))
for verdict in "ok", "info", "slow", "broken":
    assert sum(c["verdict"] == verdict for c in d["checks"]) == d[verdict], verdict
assert len({(c["group"], c["check"]) for c in d["checks"]}) == len(d["checks"])
assert {c["group"] for c in d["checks"]} == {"kernel", "limits", "memory", "processor", "router"}
assert all(c["found"] and (c["verdict"] in ("ok", "info") or c["cure"]) for c in d["checks"])
END

# ---- routers ----

stop_router() {
	kill -TERM "$router_job"
	ends 10 "$router_job"
}
healthy
doctor 0
finds ok socket "$ZCP_ROUTER, open to .* only"
finds ok directory "$dir/run can be written"
finds ok answer 'zcp [0-9.]*, protocol [0-9]*, pid [0-9]*, up '
finds ok heartbeat 'each 300 ms'
finds ok room 'of all users: 0 of '
finds ok nodes '0 besides this tool'
chmod 777 "$dir/run"
doctor 1
finds broken directory 'others can write .*mode 0777' "chmod go-w $dir/run"
chmod 1777 "$dir/run"
doctor 1
finds broken directory 'others can write .*mode 1777.: whoever is first' 'use a directory of your own'
chmod 755 "$dir/run"
if [ -n "$nobody" ]; then
	timeout 60 env ZCP_ROUTER="$ZCP_ROUTER" setpriv --reuid 65534 --regid 65534 --clear-groups "$zcp" doctor --quiet >"$dir/out" 2>"$dir/err"
	[ $? -eq 1 ] || fail "a socket that is not for this user: exit status 0"
	finds broken socket 'mode 0600, and not open to this user' 'socket-mode'
fi
chmod 700 "$dir/run"
stop_router

doctor 1
finds broken socket "no router at $ZCP_ROUTER" 'start zcp-router'
: >"$ZCP_ROUTER"
doctor 1
finds broken socket 'is no socket' 'remove it'
rm "$ZCP_ROUTER"
python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen(1)' "$ZCP_ROUTER"
doctor 1
finds broken socket 'nobody listens' 'start zcp-router again'
rm "$ZCP_ROUTER"
python3 - "$ZCP_ROUTER" <<'END' &
# A router of another version: whatever one says, it answers with a header that ours does not speak.
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen(9)
while True:
    c = s.accept()[0]
    hello = c.recv(2000)
    if not hello:
        continue
    magic, version, kind, size, request = struct.unpack("=IHHII", hello[:16])
    c.send(struct.pack("=IHHII", magic, version + 1, 32, 16, request))
    c.recv(2000)
END
old=$!
started="$started $old"
wait_for 10 test -S "$ZCP_ROUTER"
doctor 1
finds broken answer 'another version of the protocol' 'of one build'
kill -TERM "$old"
wait "$old"
rm -f "$ZCP_ROUTER"
python3 - "$ZCP_ROUTER" <<'END' &
# One that hangs up on everybody.
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen(9)
while True:
    s.accept()[0].close()
END
old=$!
started="$started $old"
wait_for 10 test -S "$ZCP_ROUTER"
doctor 1
grep -q '^  broken  answer' "$dir/out" || fail "a router that hangs up: $(cat "$dir/out")"
kill -TERM "$old"
wait "$old"
rm -f "$ZCP_ROUTER"

# one that was told to be slow, and is nearly full
begin() { # OPTION...
	"$router" --quiet "$@" 2>"$dir/router.err" &
	router_job=$!
	started="$started $router_job"
	wait_for 10 "$zcp" info || fail "the router did not start: $(cat "$dir/router.err")"
}
begin --loop epoll --no-bpf --max-endpoints-per-uid 1 --max-fds-per-uid 900 --heartbeat-timeout-ms 1000
background sub "$zcp" sub demo/doctor/text
sub=$pid
wait_for 10 endpoints subscriber 1
doctor 1
finds slow 'event loop' epoll 'without --loop epoll'
finds slow detectors 'pidfd, socket, heartbeat' 'without --no-bpf'
finds broken quota '1 of 1 endpoints, full' 'max-endpoints-per-uid'
finds slow 'descriptor quota' '^.* 900 ' 'max-fds-per-uid'
grep -q '  exit events ' "$dir/out" && fail "lost events of a router without eBPF"
kill -STOP "$sub"
unresponsive() {
	ZCP_DOCTOR_ROOT=$fake timeout 60 "$zcp" doctor >"$dir/out"
	grep -q '^  slow    nodes ' "$dir/out"
}
wait_for 30 unresponsive || fail "a stopped process is not shown: $(cat "$dir/out")"
finds slow nodes "'zcp sub.*pid $sub.* does not respond" "kill -CONT $sub"
kill -KILL "$sub"
stop_router
begin --max-endpoints 20 --max-endpoints-per-uid 20 --detectors socket --heartbeat-scan-ms 200
for i in $(seq 18); do
	background "sub$i" "$zcp" sub demo/doctor/text
done
wait_for 20 endpoints subscriber 18 || fail "not all are there: $(tail -n 5 "$dir"/sub*.err)"
doctor 0
finds slow room '18 of 20 endpoints, nearly full' '[-]-max-endpoints$'
finds slow detectors '^.* socket: ' '[-]-detectors bpf'
stop_router

# one that does not run
begin
kill -STOP "$router_job"
doctor 1
finds broken answer . .
kill -CONT "$router_job"
stop_router

# one of another user
if [ -n "$nobody" ]; then
	background other setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$router" --quiet --socket "$nobody/router.sock" \
		--socket-mode 0666
	other=$pid
	wait_for 10 "$zcp" --socket "$nobody/router.sock" info || fail "a router of another user: $(cat "$dir/other.err")"
	doctor 0 --socket "$nobody/router.sock"
	finds info owner 'hands out the memory' 'a router of your own'
	finds ok socket 'open to everybody'
	kill -TERM "$other"
	wait "$other"
fi

# ---- output ----

run 2 "$zcp" doctor now
run 2 "$zcp" doctor --no-such-option
ZCP_DOCTOR_ROOT=$fake "$zcp" --socket "$dir/none.sock" doctor >/dev/full 2>"$dir/err"
[ $? -eq 1 ] && grep -q 'zcp: standard output' "$dir/err" || fail "a full disk: $(cat "$dir/err")"
ZCP_DOCTOR_ROOT=$fake timeout 60 "$zcp" --socket "$dir/none.sock" doctor | : || fail "a closed pipe"
if command -v script >/dev/null; then
	on_terminal() { # NAME=VALUE...
		env "$@" ZCP_DOCTOR_ROOT="$fake" script -qec "$zcp --socket $dir/none.sock doctor" /dev/null </dev/null >"$dir/out"
	}
	on_terminal -u NO_COLOR TERM=xterm
	grep -q "$(printf '\033\\[31mbroken')" "$dir/out" || fail "no colours on a terminal"
	on_terminal TERM=xterm NO_COLOR=1
	grep -q "$(printf '\033')" "$dir/out" && fail "colours although NO_COLOR is set"
	on_terminal -u NO_COLOR TERM=dumb
	grep -q "$(printf '\033')" "$dir/out" && fail "colours on a dumb terminal"
fi

finish
