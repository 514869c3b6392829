/* SPDX-License-Identifier: MIT */
/*
 * trace-run.c - a sub-command of zcp-trace from its probes to its last report. See trace.h
 *
 * One thread sleeps for what the programs in the kernel recorded, for news of the router, and for the next report.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tools/interrupt.h"
#include "tools/tool.h"
#include "tools/trace-screen.h"
#include "tools/trace-whose.h"
#include "tools/trace.h"

#define RECORDS_AT_ONCE 65536	/* then have a look at the clock and the signals */

/* ---- what may go wrong ------------------------------------------------------------------------------------------- */

/* The capabilities that it takes, and that we lack: "CAP_BPF, CAP_PERFMON", or "". */
static const char *missing_rights(char text[64])
{
	static const struct {
		unsigned int number;
		const char *name;
	} wanted[] = { { CAP_BPF, "CAP_BPF" }, { CAP_PERFMON, "CAP_PERFMON" }, { CAP_SYS_PTRACE, "CAP_SYS_PTRACE" } };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	uint64_t has;

	text[0] = 0;
	if (syscall(SYS_capget, &header, data) < 0)
		return text;
	has = data[0].effective | (uint64_t)data[1].effective << 32;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		/* CAP_SYS_ADMIN has what the first two were split off from */
		if (has & 1ull << wanted[i].number || (wanted[i].number != CAP_SYS_PTRACE && has & 1ull << CAP_SYS_ADMIN))
			continue;
		snprintf(text + strlen(text), 64 - strlen(text), "%s%s", *text ? ", " : "", wanted[i].name);
	}
	return text;
}

static int explain(int error)
{
	char text[64];

	switch (error) {
	case -EPERM:
	case -EACCES:
		if (*missing_rights(text))
			tool_fail("tracing takes more rights: missing %s; root has them, or 'setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep' gives them",
				  text);
		else
			tool_fail("the kernel does not allow tracing: it is locked down, or a container or a security module forbids it");
		break;
	case -ENOENT:
	case -ESRCH:
	case -EOPNOTSUPP:
		tool_fail("the kernel lacks something: tracing takes CONFIG_DEBUG_INFO_BTF and CONFIG_UPROBE_EVENTS, and Linux 5.15 or newer");
		break;
	case -ENOSYS:
		tool_fail("the kernel has no bpf(2), or a seccomp profile hides it");
		break;
	default:
		tool_fail("the kernel does not take the program: %s", strerror(-error));
	}
	return -1;
}

int trace_loaded(int r)
{
	char text[64];

	/* what the verifier says of a program it does not like; a right that is missing is -EPERM */
	if (r == -EACCES && !*missing_rights(text))
		return tool_fail("the kernel's verifier turns a program down; please report what ZCP_TRACE_DEBUG=1 zcp-trace says, and the kernel's version"), -1;
	return r < 0 ? explain(r) : 0;
}

static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

/* With ZCP_TRACE_DEBUG set, what libbpf has to say. */
static int say_all(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	return vfprintf(stderr, format, arguments);
}

/* ---- for sub-commands -------------------------------------------------------------------------------------------- */

#define FIRST_PID_NS 0xeffffffcu	/* the inode of the first pid namespace (PROC_PID_INIT_INO) */

void trace_fill_filter(const struct trace *trace, struct trace_filter *filter)
{
	struct stat namespace = { 0 };

	filter->pid = trace->options.pid;
	filter->own = (unsigned int)getpid();
	filter->began_ns = clock_now_ns();
	if (stat("/proc/self/ns/pid", &namespace) == 0 && namespace.st_ino != FIRST_PID_NS)
		filter->pid_ns = (unsigned int)namespace.st_ino;
}

int trace_probe(struct trace *trace, const char *provider, const char *probe, struct bpf_program *program, uint64_t cookie)
{
	return attacher_add(trace->attacher, provider, probe, program, cookie);
}

/* Every record begins with its time. At the end all until then are shown, however many that is. */
static int on_record(void *context, void *record, size_t bytes)
{
	struct trace *trace = context;

	if (trace->end_ns && *(const uint64_t *)record > trace->end_ns)
		return -EAGAIN;
	trace->command->record(trace, record, bytes);
	return trace->end_ns || (++trace->n_records % RECORDS_AT_ONCE && !interrupt_signal()) ? 0 : -EAGAIN;
}

int trace_maps(struct trace *trace, const struct bpf_map *endpoints, const struct bpf_map *ring)
{
	names_set_map(trace->names, bpf_map__fd(endpoints));
	if (!ring)
		return 0;
	trace->ring = ring_buffer__new(bpf_map__fd(ring), on_record, trace, NULL);
	return trace->ring ? 0 : explain(-errno);
}

bool trace_next(struct trace_walk *walk, const struct bpf_map *map, void *key, size_t key_bytes, void *value)
{
	int fd = bpf_map__fd(map);

	if (!walk->began)
		walk->more = bpf_map_get_next_key(fd, NULL, walk->next) == 0;
	walk->began = true;
	while (walk->more) {
		memcpy(key, walk->next, key_bytes);
		/* now, as it begins anew behind a key that is gone */
		walk->more = bpf_map_get_next_key(fd, key, walk->next) == 0;
		if (bpf_map_lookup_elem(fd, key, value) == 0)
			return true;
	}
	return false;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static int watch_descriptors(const struct trace *trace)
{
	struct epoll_event event = { .events = EPOLLIN };
	_cleanup_fd_ int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, names_fd(trace->names), &event) < 0 ||
	    (trace->ring && epoll_ctl(fd, EPOLL_CTL_ADD, ring_buffer__epoll_fd(trace->ring), &event) < 0) ||
	    (trace->redraw && epoll_ctl(fd, EPOLL_CTL_ADD, trace->screen_fd, &event) < 0)) {
		tool_fail("epoll: %s", strerror(errno));
		return -1;
	}
	return fd_take(&fd);
}

static int flush(struct trace *trace)
{
	if (fflush(stdout) == 0)
		return 0;
	trace->stop = true;
	if (errno == EPIPE)
		return 0;
	tool_fail("standard output: %s", strerror(errno));
	return -1;
}

static int report(struct trace *trace, bool last)
{
	int r;

	trace->now_ns = clock_now_ns();
	trace->n_dropped = trace->command->n_dropped ? trace->command->n_dropped(trace) : 0;
	r = trace->command->report ? trace->command->report(trace, last) : 0;
	trace->last_ns = trace->now_ns;
	if (r == 0 && last)
		trace_summary(trace);
	if (r < 0)
		return tool_fail("out of memory"), -1;
	return flush(trace);
}

/* What waits in the ring buffer. 0, or -1. */
static int take_records(struct trace *trace)
{
	if (!trace->ring)
		return 0;
	ring_buffer__consume(trace->ring);
	return flush(trace);
}

/* News of the router: names, and processes to attach to. */
static int take_news(struct trace *trace)
{
	int r = names_update(trace->names);

	if (r < 0)
		return tool_fail_zcp(-ENOTCONN), -1;
	if (r == 0)
		return 0;
	r = attacher_scan(trace->attacher, trace->names);
	if (r > 0 && !trace->redraw)
		fprintf(stderr, "zcp-trace: probes in %d files now\n", attacher_n_files(trace->attacher));
	return 0;
}

/* The terminal may have got another size. 0, or -1. */
static int take_size(struct trace *trace)
{
	if (!trace->redraw || !screen_has_changed(trace->screen_fd))
		return 0;
	if (trace->command->redraw(trace) < 0)
		return tool_fail("out of memory"), -1;
	return flush(trace);
}

/* 0 at the end, -1 after a complaint. */
static int loop(struct trace *trace, int fd)
{
	const int64_t interval = trace->options.interval_ns, duration = trace->options.duration_ns;
	uint64_t end = duration ? trace->start_ns + (uint64_t)duration : UINT64_MAX, next = trace->start_ns + (uint64_t)interval;

	while (!trace->stop && !interrupt_signal()) {
		uint64_t now = clock_now_ns(), until = next < end ? next : end;

		if (now >= end)
			break;
		if (now >= next) {
			if (report(trace, false) < 0 || take_news(trace) < 0)
				return -1;
			next += (uint64_t)interval * ((now - next) / (uint64_t)interval + 1);
			continue;
		}
		if (interrupt_poll(fd, POLLIN, (int64_t)(until - now)) == 1 &&
		    (take_news(trace) < 0 || take_records(trace) < 0 || take_size(trace) < 0))
			return -1;
	}
	return 0;
}

/* Nobody there but us? */
static bool is_alone(const struct trace *trace)
{
	const struct name_node *n = names_nodes(trace->names);
	int living = 0;

	for (; n; n = n->hh.next)
		living += !n->gone_ns;
	return living <= 1;
}

static int attach(struct trace *trace)
{
	const uint32_t pid = trace->options.pid;
	int r;

	if (pid && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return tool_fail("there is no process %" PRIu32, pid), -1;
	r = attacher_scan(trace->attacher, trace->names);
	if (r < 0)
		return explain(r);
	if (is_alone(trace))
		fprintf(stderr, "zcp-trace: nobody uses libzcp yet; waiting\n");
	else if (pid && !whose_has_joined(trace->names, &trace->strangers, pid))
		fprintf(stderr, "zcp-trace: process %" PRIu32 " has not joined this router; waiting ('zcp list' shows who has)\n", pid);
	fprintf(stderr, "zcp-trace: probes in %d file%s; Ctrl-C ends\n", attacher_n_files(trace->attacher),
		attacher_n_files(trace->attacher) == 1 ? "" : "s");
	trace->start_ns = trace->last_ns = clock_now_ns();
	return 0;
}

/* A reader that stopped in the middle of a burst is spoken for by its node, at the next heartbeat (lib/tally.h). */
static void await_stragglers(const struct trace *trace)
{
	const struct timespec heartbeats = { .tv_nsec = 250000000 };

	if (trace->command->has_stragglers)
		nanosleep(&heartbeats, NULL);
}

static int run(struct trace *trace)
{
	_cleanup_fd_ int fd = -1;
	int r;

	if (attacher_new(&trace->attacher) < 0)
		return tool_fail("out of memory"), -1;
	if (names_open(&trace->names, &trace->options.topic) < 0 || trace->command->load(trace) < 0 || attach(trace) < 0)
		return -1;
	fd = watch_descriptors(trace);
	if (fd < 0)
		return -1;
	r = loop(trace, fd);
	if (r == 0 && !trace->stop)
		await_stragglers(trace);
	trace->end_ns = clock_now_ns();
	if (r == 0 && !trace->stop && take_records(trace) == 0)
		r = report(trace, true);
	return r;
}

/* In this order: what is attached belongs to the object. */
static void clean_up(struct trace *trace)
{
	/* libbpf before 1.3 gives the kernel one place after the other, and the kernel takes up to 0.1 s for each */
	if (isatty(STDERR_FILENO) && trace->attacher && attacher_n_files(trace->attacher))
		fprintf(stderr, "zcp-trace: detaching\n");
	trace->attacher = attacher_free(trace->attacher);
	ring_buffer__free(trace->ring);
	trace->ring = NULL;
	if (trace->names)
		names_set_map(trace->names, -1);
	trace->command->unload(trace);
	whose_forget(&trace->strangers);
	trace->names = names_close(trace->names);
}

int trace_run(struct trace *trace)
{
	int r;

	libbpf_set_print(getenv("ZCP_TRACE_DEBUG") ? say_all : say_nothing);
	r = run(trace);
	clean_up(trace);
	return r;
}
