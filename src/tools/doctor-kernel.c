/* SPDX-License-Identifier: MIT */
/*
 * doctor-kernel.c - whether the kernel has what zcp uses, and lets this user have it
 *
 * The system calls that may be missing or forbidden are made, in the way that the router and the library make them: the router's
 * event loop is set up by the router's own code, and a memory file goes through the three steps of every segment.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel/barrier.h"
#include "common/fd.h"
#include "common/memfd.h"
#include "router/loop-uring.h"
#include "router/pidfd.h"
#include "tools/doctor.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

/* ---- version ----------------------------------------------------------------------------------------------------- */

static void check_version(const struct doctor *doctor, struct finding *f)
{
	char release[128];
	int major = 0, minor = 0;

	(void)doctor;
	fact_text(release, sizeof(release), "/proc/sys/kernel/osrelease");
	if (sscanf(release, "%d.%d", &major, &minor) != 2) {
		doctor_say(f, DOCTOR_BROKEN, "/proc does not say which kernel this is");
		doctor_cure(f, "mount /proc: zcp looks up memory files and processes there");
	} else if (major < 6 || (major == 6 && minor < 1)) {
		doctor_say(f, DOCTOR_BROKEN, "Linux %s, and zcp is made for 6.1 and newer", release);
		doctor_cure(f, "run a newer kernel");
	} else {
		doctor_say(f, DOCTOR_OK, "Linux %s", release);
	}
}

/* ---- memory files ------------------------------------------------------------------------------------------------ */

static int map_again(int fd)
{
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	munmap(memory, PAGE);
	return 0;
}

/* A segment's life: made, mapped by its writer, sealed, mapped by a reader; and no second writer after the seal. */
static int use_memfd(int fd)
{
	_cleanup_fd_ int reader = -1;
	const void *readable;
	void *writable;
	int r = memfd_map_writer(fd, PAGE, &writable);

	if (r < 0)
		return r;
	*(volatile char *)writable = 1;
	r = memfd_seal_writer(fd);
	if (r == 0 && map_again(fd) != -EPERM)
		r = -ENOTSUP;
	if (r == 0)
		r = reader = memfd_reader_fd(fd);
	if (r >= 0)
		r = memfd_map_reader(reader, PAGE, &readable);
	munmap(writable, PAGE);
	if (r == 0)
		munmap((void *)(uintptr_t)readable, PAGE);
	return r;
}

static int try_memfd(void)
{
	_cleanup_fd_ int fd = memfd_create_segment("doctor", PAGE);

	return fd < 0 ? fd : use_memfd(fd);
}

static void check_memfd(const struct doctor *doctor, struct finding *f)
{
	int r = fact_try("memfd", try_memfd);
	uint64_t noexec;

	(void)doctor;
	if (r == 0) {
		doctor_say(f, DOCTOR_OK, "are made and sealed; nobody can write what was sealed");
		if (fact_number(&noexec, "/proc/sys/vm/memfd_noexec") == 0 && noexec == 2)
			doctor_say(f, DOCTOR_OK, "are made and sealed, and not executable, as vm.memfd_noexec=2 demands");
		return;
	}
	if (r == -ENOTSUP) {
		doctor_say(f, DOCTOR_BROKEN, "a sealed memory file can still be mapped writable");
		doctor_cure(f, "run a kernel (or a sandbox) that honours F_SEAL_FUTURE_WRITE: without it peers could damage each other's memory");
		return;
	}
	doctor_say(f, DOCTOR_BROKEN, "cannot be made and sealed: %s", strerror(-r));
	if (r == -EFBIG)
		doctor_cure(f, "raise the limit of file sizes, RLIMIT_FSIZE (ulimit -f unlimited)");
	else if (r == -EMFILE || r == -ENFILE)
		doctor_cure(f, "raise the limit of descriptors, RLIMIT_NOFILE (ulimit -n)");
	else if (r == -ENOMEM)
		doctor_cure(f, "free some memory, or raise the limits of memory below");
	else
		doctor_cure(f, "allow memfd_create and fcntl(F_ADD_SEALS) in the seccomp profile or security module, or run a newer kernel");
}

/* ---- io_uring ---------------------------------------------------------------------------------------------------- */

static int try_uring(void)
{
	struct uring_loop *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	r = uring_set_up(u);
	uring_close(&u->loop);
	return r;
}

static void cure_uring(struct finding *f, int error)
{
	uint64_t disabled = 0;

	switch (error) {
	case -EPERM:
	case -EACCES:
		fact_number(&disabled, "/proc/sys/kernel/io_uring_disabled");
		if (disabled)
			doctor_cure(f, "sysctl kernel.io_uring_disabled=0 (it is %d)", (int)disabled);
		else
			doctor_cure(f, "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile or security module");
		break;
	case -ENOMEM:
		doctor_cure(f, "raise RLIMIT_MEMLOCK (ulimit -l 1024, or LimitMEMLOCK=1M in the router's unit)");
		break;
	case -ENOSYS:
		doctor_cure(f, "run a kernel with CONFIG_IO_URING, or allow io_uring_setup in the seccomp profile");
		break;
	case -EMFILE:
	case -ENFILE:
		doctor_cure(f, "raise RLIMIT_NOFILE (ulimit -n)");
		break;
	default:
		doctor_cure(f, "run a newer kernel");
	}
}

static void check_uring(const struct doctor *doctor, struct finding *f)
{
	int r = fact_try("io_uring", try_uring);

	if (r == 0) {
		doctor_say(f, DOCTOR_OK, "works, with multishot receive");
	} else if (doctor->node && doctor->h.loop == DIRECTORY_LOOP_IO_URING) {
		doctor_say(f, DOCTOR_OK, "refused to this user (%s), but the router has it", strerror(-r));
	} else {
		doctor_say(f, DOCTOR_SLOW, "refused: %s; a router that this user starts runs on epoll", strerror(-r));
		cure_uring(f, r);
	}
}

/* ---- eBPF -------------------------------------------------------------------------------------------------------- */

static int bpf(int command, union bpf_attr *attr)
{
	int fd = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

	return fd < 0 ? -errno : fd;
}

/* The least that the router's exit detector is made of: a ring buffer, and a program on the tracepoint. It returns at once. */
static int try_bpf(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr map = { .map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = (uint32_t)PAGE };
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT, .insn_cnt = 2, .insns = (uintptr_t)nothing,
				.license = (uintptr_t)"GPL" };
	union bpf_attr attach = { .raw_tracepoint = { .name = (uintptr_t)"sched_process_exit" } };
	_cleanup_fd_ int map_fd = -1, program_fd = -1, link_fd = -1;

	map_fd = bpf(BPF_MAP_CREATE, &map);
	if (map_fd < 0)
		return map_fd;
	program_fd = bpf(BPF_PROG_LOAD, &load);
	if (program_fd < 0)
		return program_fd;
	attach.raw_tracepoint.prog_fd = (uint32_t)program_fd;
	link_fd = bpf(BPF_RAW_TRACEPOINT_OPEN, &attach);
	return link_fd < 0 ? link_fd : 0;
}

#define WITHOUT_BPF "ends of processes are noticed by pidfd, later and without exit code, signal or OOM"

static void cure_bpf(struct finding *f, int error)
{
	char lockdown[128];

	fact_text(lockdown, sizeof(lockdown), "/sys/kernel/security/lockdown");
	if (error == -ENOSYS)
		doctor_cure(f, "run a kernel with CONFIG_BPF_SYSCALL, or allow bpf in the seccomp profile");
	else if (strstr(lockdown, "[confidentiality]"))
		doctor_cure(f, "the kernel is locked down for confidentiality: boot with lockdown=integrity");
	else if (error == -EPERM || error == -EACCES)
		doctor_cure(f, "run the router as root, or with CAP_BPF and CAP_PERFMON (AmbientCapabilities= of its unit)");
	else
		doctor_cure(f, "run a kernel with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS");
}

static void check_bpf(const struct doctor *doctor, struct finding *f)
{
	char lockdown[128];
	int r;

	fact_text(lockdown, sizeof(lockdown), "/sys/kernel/security/lockdown");
	if (doctor_detects(doctor, DIRECTORY_DETECTOR_BPF)) {
		doctor_say(f, DOCTOR_OK, "the router has its program on the exit tracepoint");
		return;
	}
#ifndef HAVE_BPF
	doctor_say(f, DOCTOR_SLOW, "this zcp was built without it; " WITHOUT_BPF);
	doctor_cure(f, "build with libbpf-dev, clang and bpftool installed");
	return;
#endif
	r = fact_try("bpf", try_bpf);
	if (r == 0 && strstr(lockdown, "[confidentiality]"))
		r = -EPERM;
	if (r < 0) {
		doctor_say(f, DOCTOR_SLOW, "refused to this user: %s; " WITHOUT_BPF, strerror(-r));
		cure_bpf(f, r);
	} else if (fact_readable("/sys/kernel/btf/vmlinux") < 0) {
		doctor_say(f, DOCTOR_SLOW, "the kernel has no BTF, /sys/kernel/btf/vmlinux; " WITHOUT_BPF);
		doctor_cure(f, "run a kernel with CONFIG_DEBUG_INFO_BTF");
	} else {
		doctor_say(f, DOCTOR_OK, "a program on the exit tracepoint is allowed, and the kernel has BTF");
	}
}

/* ---- tracing ----------------------------------------------------------------------------------------------------- */

/* Not needed for anything but zcp-trace: whoever lacks it misses nothing else. */
static const char *missing_capabilities(char text[64])
{
	static const struct {
		unsigned int bit;
		const char *name;
	} wanted[] = { { CAP_BPF, "CAP_BPF" }, { CAP_PERFMON, "CAP_PERFMON" }, { CAP_SYS_PTRACE, "CAP_SYS_PTRACE" } };
	uint64_t has = doctor_capabilities();

	/* which once was all three but the last */
	if (has & 1ull << CAP_SYS_ADMIN)
		has |= 1ull << CAP_BPF | 1ull << CAP_PERFMON;
	text[0] = 0;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		if (!(has & 1ull << wanted[i].bit))
			snprintf(text + strlen(text), 64 - strlen(text), "%s%s", *text ? ", " : "", wanted[i].name);
	return text;
}

static void check_tracing(const struct doctor *doctor, struct finding *f)
{
	char missing[64];

	(void)doctor;
#ifndef HAVE_BPF
	return;
#endif
#ifndef HAVE_PROBES
	doctor_say(f, DOCTOR_INFO, "this zcp was built without probes: zcp-trace sees only processes with another libzcp");
	doctor_cure(f, "build with systemtap-sdt-dev installed");
	return;
#endif
	if (fact_readable("/sys/kernel/btf/vmlinux") < 0) {
		doctor_say(f, DOCTOR_INFO, "zcp-trace cannot run: the kernel has no BTF");
		doctor_cure(f, "run a kernel with CONFIG_DEBUG_INFO_BTF");
	} else if (fact_readable("/sys/bus/event_source/devices/uprobe/type") < 0) {
		doctor_say(f, DOCTOR_INFO, "zcp-trace cannot run: the kernel has no uprobes");
		doctor_cure(f, "run a kernel with CONFIG_UPROBE_EVENTS, and mount /sys");
	} else if (*missing_capabilities(missing)) {
		doctor_say(f, DOCTOR_INFO, "zcp-trace is refused to this user, who lacks %s", missing);
		doctor_cure(f, "run it as root, or once: setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v zcp-trace)");
	} else {
		doctor_say(f, DOCTOR_OK, "zcp-trace may attach to processes, and the kernel has BTF and uprobes");
	}
}

/* ---- membarrier, pidfd ------------------------------------------------------------------------------------------- */

static int try_membarrier(void)
{
	return barrier_register() ? 0 : -ENOSYS;
}

static void check_membarrier(const struct doctor *doctor, struct finding *f)
{
	const char *off = getenv("ZCP_NO_MEMBARRIER");

	(void)doctor;
	if (fact_try("membarrier", try_membarrier) == 0) {
		doctor_say(f, DOCTOR_OK, "works: no memory fence on the way of a message");
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "refused: each message costs a memory fence on both sides");
	if (off && *off && *off != '0')
		doctor_cure(f, "unset ZCP_NO_MEMBARRIER");
	else
		doctor_cure(f, "allow membarrier in the seccomp profile, or run a kernel with CONFIG_MEMBARRIER");
}

/* As the router gets one: of who is at the other end of a socket. */
static int try_pidfd(void)
{
	_cleanup_fd_ int ours = -1, theirs = -1, pidfd = -1;
	int pair[2];

	if (!pidfd_is_there())
		return -ENOSYS;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	pidfd = pidfd_of_peer(ours, getpid(), geteuid());
	return pidfd < 0 ? pidfd : pidfd_identity(pidfd) ? 1 : 0;
}

static void check_pidfd(const struct doctor *doctor, struct finding *f)
{
	int r = fact_try("pidfd", try_pidfd);

	(void)doctor;
	if (r < 0) {
		doctor_say(f, DOCTOR_SLOW, "refused: %s; a process whose socket a child keeps open is noticed by its heartbeat only",
			   strerror(-r));
		doctor_cure(f, "allow pidfd_open in the seccomp profile, or run a newer kernel");
	} else {
		doctor_say(f, DOCTOR_OK, r ? "works, and names a process for ever (pidfs)" : "works");
	}
}

static const struct check checks[] = {
	{ "version", check_version },
	{ "memory files", check_memfd },
	{ "io_uring", check_uring },
	{ "eBPF", check_bpf },
	{ "tracing", check_tracing },
	{ "membarrier", check_membarrier },
	{ "pidfd", check_pidfd },
};

const struct check_group doctor_kernel = { "kernel", checks, sizeof(checks) / sizeof(*checks) };
