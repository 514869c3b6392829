/* SPDX-License-Identifier: MIT */
/*
 * exit-bpf.c - the user space side of bpf/exit.bpf.c
 *
 * See exit-bpf.h. Everything hangs off descriptors of this process: programs, maps and the link are gone
 * with it, nothing is pinned.
 */

#include "router/exit-bpf.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_BPF

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/exit.h"
#include "common/fd.h"
#include "router/pidfd.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/exit.skel.h"
#pragma GCC diagnostic pop

#define DEFAULT_RING_BYTES (256u << 10)
#define DEFAULT_MAX_PROCESSES 65536u

struct exit_bpf {
	struct exit_bpf_skel *skeleton;
	struct ring_buffer *ring;
	bool by_pid;
	exit_bpf_fn exited;		/* during a drain */
	void *context;
};

/* --- opening -------------------------------------------------------------------------------------- */

static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level, (void)format, (void)arguments;
	return 0;
}

static int explain(int error, const char *what, char *reason, size_t reason_bytes)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		snprintf(reason, reason_bytes, "needs CAP_BPF and CAP_PERFMON, and a kernel that is not locked down");
		break;
	case -ENOENT:
	case -ESRCH:
		snprintf(reason, reason_bytes, "the kernel has no BTF of its tracepoints (CONFIG_DEBUG_INFO_BTF)");
		break;
	case -ENOSYS:
		snprintf(reason, reason_bytes, "the kernel has no bpf(2), or a seccomp profile hides it");
		break;
	default:
		snprintf(reason, reason_bytes, "%s: %s", what, strerror(-error));
	}
	return error;
}

/* What the kernel's BTF says about what the program is to find there. */
struct kernel {
	int n_arguments;		/* of the tracepoint, its context not counted */
	bool has_inode;			/* in struct pid */
};

static int count_arguments(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "btf_trace_sched_process_exit", BTF_KIND_TYPEDEF);
	const struct btf_type *type;

	if (id <= 0)
		return -ENOENT;
	type = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type);	/* a pointer to the function */
	type = type ? btf__type_by_id(btf, type->type) : NULL;
	return type && btf_is_func_proto(type) && btf_vlen(type) > 1 ? btf_vlen(type) - 1 : -ENOENT;
}

/* As CO-RE looks for it: also in members without a name, which are @depth deep at most. */
static bool has_member(const struct btf *btf, uint32_t id, const char *name, int depth)
{
	const struct btf_type *type = btf__type_by_id(btf, id);

	if (!type || !btf_is_composite(type))
		return false;
	for (uint32_t i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = &btf_members(type)[i];
		const char *its = btf__name_by_offset(btf, member->name_off);

		if (its && !strcmp(its, name))
			return true;
		if (its && !*its && depth && has_member(btf, member->type, name, depth - 1))
			return true;
	}
	return false;
}

static int look_at_kernel(struct kernel *kernel)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id;

	if (!btf)
		return errno == EPERM || errno == EACCES ? -EPERM : -ENOENT;
	id = btf__find_by_name_kind(btf, "pid", BTF_KIND_STRUCT);
	kernel->has_inode = id > 0 && has_member(btf, (uint32_t)id, "ino", 2);
	kernel->n_arguments = count_arguments(btf);
	btf__free(btf);
	return kernel->n_arguments < 0 ? kernel->n_arguments : 0;
}

/* Whether pidfds have inodes of their own. */
static bool has_pidfs(void)
{
	_cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	return pidfd >= 0 && pidfd_identity(pidfd);
}

static int set_up(struct exit_bpf *bpf, const struct exit_bpf_options *options, const struct kernel *kernel)
{
	struct exit_bpf_skel *s = bpf->skeleton;
	struct stat namespace = { 0 };
	int r;

	bpf->by_pid = options->by_pid || !kernel->has_inode || !has_pidfs();
	if (bpf->by_pid && stat("/proc/self/ns/pid", &namespace) < 0)
		return -errno;
	s->rodata->by_pid = bpf->by_pid;
	s->rodata->pid_ns_inum = (unsigned int)namespace.st_ino;
	r = bpf_map__set_max_entries(s->maps.watched, options->max_processes ? options->max_processes : DEFAULT_MAX_PROCESSES);
	if (r == 0)
		r = bpf_map__set_max_entries(s->maps.exits, options->ring_bytes ? options->ring_bytes : DEFAULT_RING_BYTES);
	if (r == 0)
		r = bpf_program__set_autoload(s->progs.exit_group_dead, kernel->n_arguments >= 2);
	if (r == 0)
		r = bpf_program__set_autoload(s->progs.exit_live, kernel->n_arguments < 2);
	return r;
}

static int on_record(void *context, void *data, size_t bytes)
{
	struct exit_bpf *bpf = context;
	struct exit_record record;
	struct wire_exit exit = { .flags = WIRE_EXIT_KNOWN };

	if (bytes < sizeof(record))
		return 0;
	memcpy(&record, data, sizeof(record));
	exit.status = record.status;
	exit.time_ns = record.time_ns;
	if (record.flags & EXIT_OOM)
		exit.flags |= WIRE_EXIT_OOM;
	static_assert(sizeof(exit.comm) == sizeof(record.comm), "the kernel's TASK_COMM_LEN");
	memcpy(exit.comm, record.comm, sizeof(exit.comm));
	exit.comm[sizeof(exit.comm) - 1] = 0;
	return bpf->exited(bpf->context, record.key, &exit);
}

static int load(struct exit_bpf *bpf, const struct exit_bpf_options *options, char *reason, size_t reason_bytes)
{
	struct kernel kernel;
	int r = look_at_kernel(&kernel);

	if (r < 0)
		return explain(r, "BTF", reason, reason_bytes);
	bpf->skeleton = exit_bpf_skel__open();
	if (!bpf->skeleton)
		return explain(-errno, "cannot open the program", reason, reason_bytes);
	r = set_up(bpf, options, &kernel);
	if (r < 0)
		return explain(r, "cannot set the program up", reason, reason_bytes);
	r = exit_bpf_skel__load(bpf->skeleton);
	if (r < 0)
		return explain(r, "the kernel does not take the program", reason, reason_bytes);
	bpf->ring = ring_buffer__new(bpf_map__fd(bpf->skeleton->maps.exits), on_record, bpf, NULL);
	if (!bpf->ring)
		return explain(-errno, "cannot map the ring buffer", reason, reason_bytes);
	r = exit_bpf_skel__attach(bpf->skeleton);
	return r < 0 ? explain(r, "cannot attach to sched_process_exit", reason, reason_bytes) : 0;
}

int exit_bpf_open(struct exit_bpf **bpfp, const struct exit_bpf_options *options, char *reason, size_t reason_bytes)
{
	struct exit_bpf *bpf = calloc(1, sizeof(*bpf));
	int r;

	*bpfp = NULL;
	if (!bpf)
		return explain(-ENOMEM, "cannot begin", reason, reason_bytes);
	libbpf_set_print(say_nothing);
	r = load(bpf, options, reason, reason_bytes);
	if (r < 0) {
		exit_bpf_close(bpf);
		return r;
	}
	*bpfp = bpf;
	return 0;
}

struct exit_bpf *exit_bpf_close(struct exit_bpf *bpf)
{
	if (!bpf)
		return NULL;
	ring_buffer__free(bpf->ring);
	exit_bpf_skel__destroy(bpf->skeleton);
	free(bpf);
	return NULL;
}

/* --- use ------------------------------------------------------------------------------------------ */

int exit_bpf_fd(const struct exit_bpf *bpf)
{
	return bpf_map__fd(bpf->skeleton->maps.exits);
}

uint64_t exit_bpf_key(const struct exit_bpf *bpf, const struct wire_process *process)
{
	return bpf->by_pid ? process->pid : process->identity;
}

int exit_bpf_add(struct exit_bpf *bpf, uint64_t key)
{
	uint8_t one = 1;

	return bpf_map_update_elem(bpf_map__fd(bpf->skeleton->maps.watched), &key, &one, BPF_ANY) < 0 ? -errno : 0;
}

void exit_bpf_remove(struct exit_bpf *bpf, uint64_t key)
{
	bpf_map_delete_elem(bpf_map__fd(bpf->skeleton->maps.watched), &key);
}

int exit_bpf_drain(struct exit_bpf *bpf, exit_bpf_fn exited, void *context)
{
	int r;

	if (bpf->exited)
		return 0;	/* from within @exited: the drain that is under way has it all */
	bpf->exited = exited;
	bpf->context = context;
	r = ring_buffer__consume(bpf->ring);
	bpf->exited = NULL;
	return r < 0 ? r : 0;
}

uint64_t exit_bpf_dropped(const struct exit_bpf *bpf)
{
	return __atomic_load_n(&bpf->skeleton->bss->n_dropped, __ATOMIC_RELAXED);
}

#else /* HAVE_BPF */

int exit_bpf_open(struct exit_bpf **bpf, const struct exit_bpf_options *options, char *reason, size_t reason_bytes)
{
	(void)options;
	*bpf = NULL;
	snprintf(reason, reason_bytes, "this build has none (configure found no libbpf, clang or bpftool, or was given --without-bpf)");
	return -EOPNOTSUPP;
}

struct exit_bpf *exit_bpf_close(struct exit_bpf *bpf)
{
	(void)bpf;
	return NULL;
}

int exit_bpf_fd(const struct exit_bpf *bpf)
{
	(void)bpf;
	return -1;
}

uint64_t exit_bpf_key(const struct exit_bpf *bpf, const struct wire_process *process)
{
	(void)bpf, (void)process;
	return 0;
}

int exit_bpf_add(struct exit_bpf *bpf, uint64_t key)
{
	(void)bpf, (void)key;
	return -EOPNOTSUPP;
}

void exit_bpf_remove(struct exit_bpf *bpf, uint64_t key)
{
	(void)bpf, (void)key;
}

int exit_bpf_drain(struct exit_bpf *bpf, exit_bpf_fn exited, void *context)
{
	(void)bpf, (void)exited, (void)context;
	return 0;
}

uint64_t exit_bpf_dropped(const struct exit_bpf *bpf)
{
	(void)bpf;
	return 0;
}

#endif
