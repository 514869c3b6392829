/* SPDX-License-Identifier: MIT */
/*
 * trace-attach.c - see trace-attach.h
 *
 * Whether a file has probes is for libbpf to find out: it says -ENOENT where there is none of that name. So each file costs one
 * attempt for each probe, once. That a file lacks some is normal: the linker takes from a static library what is needed.
 */
#include "tools/trace-attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/fd.h"
#include "tools/tool.h"

#define PROBES_MAX 32

struct probe {
	const char *provider, *name;
	struct bpf_program *program;
	uint64_t cookie;
};

/* A file that was looked at, with probes or without. */
struct file_key {
	uint64_t device, inode;
};

struct file {
	struct file_key key;
	int fd;				/* if it has probes: its path may be gone when another one is to be attached */
	bool has_probes;
	struct bpf_link *links[PROBES_MAX];
	UT_hash_handle hh;
};

struct attacher {
	struct probe probes[PROBES_MAX];
	int n_probes, n_files, refused;
	bool began;
	struct file *files;
	struct file_key own;		/* this program: its messages are not those that somebody wants to see */
};

/* ---- a file ------------------------------------------------------------------------------------------------------ */

static struct file *find_file(struct attacher *a, const struct file_key *key)
{
	struct file *file;

	HASH_FIND(hh, a->files, key, sizeof(*key), file);
	return file;
}

static int attach_probe(const struct attacher *a, struct file *file, int i)
{
	const struct probe *probe = &a->probes[i];
	LIBBPF_OPTS(bpf_usdt_opts, options, .usdt_cookie = probe->cookie);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	file->links[i] = bpf_program__attach_usdt(probe->program, -1, path, probe->provider, probe->name, &options);
	if (file->links[i])
		file->has_probes = true;
	return file->links[i] || errno == ENOENT ? 0 : -errno;
}

static int attach_file(const struct attacher *a, struct file *file)
{
	int error = 0;

	for (int i = 0; i < a->n_probes; i++) {
		int r = attach_probe(a, file, i);

		if (r < 0)
			error = r;
	}
	return error;
}

static bool is_elf(int fd)
{
	char magic[4];

	return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && !memcmp(magic, "\177ELF", sizeof(magic));
}

/* 1: it has probes, and they are attached now; 0: it has none, or was looked at before. */
static int look_at_file(struct attacher *a, int fd, const struct file_key *key, const char *path)
{
	struct file *file = calloc(1, sizeof(*file));
	int r;

	if (!file)
		return -ENOMEM;
	file->key = *key;
	file->fd = fd;
	HASH_ADD(hh, a->files, key, sizeof(file->key), file);
	r = is_elf(fd) ? attach_file(a, file) : 0;
	if (r == -EPERM || r == -EACCES)
		a->refused = r;
	else if (r < 0 && file->has_probes)
		tool_fail("not all probes of %s could be attached: %s", path, strerror(-r));
	if (!file->has_probes)
		file->fd = -1;
	a->n_files += file->has_probes;
	return file->has_probes;
}

static int look_at_path(struct attacher *a, const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct file_key key;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	key = (struct file_key){ st.st_dev, st.st_ino };
	if (find_file(a, &key) || !memcmp(&key, &a->own, sizeof(key)))
		return 0;
	r = look_at_file(a, fd, &key, path);
	if (r > 0)
		fd_take(&fd);
	return r;
}

/* ---- a process --------------------------------------------------------------------------------------------------- */

static bool is_library(const char *path)
{
	const char *name = strrchr(path, '/');

	return name && !strncmp(name, "/libzcp.so", 10);
}

/*
 * A line of /proc/PID/maps. Its path is that of the process's own mount namespace, and may name another file by now: the
 * entry in map_files does not, but to follow it takes more rights.
 */
static int look_at_mapping(struct attacher *a, int pid, const char *line, bool any)
{
	char path[PATH_MAX + 64], permissions[8];
	uint64_t from, to, inode;
	struct stat st;
	int at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %" SCNu64 " %n", &from, &to, permissions, &inode, &at) != 4 || !inode ||
	    permissions[2] != 'x' || line[at] != '/' || (!any && !is_library(line + at)))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, line + at);
	path[strcspn(path, "\n")] = 0;
	if (stat(path, &st) == 0 && st.st_ino == inode)
		return look_at_path(a, path);
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, from, to);
	return look_at_path(a, path);
}

/* @any: every file that it runs code of, not only libzcp. Returns how many were new, and had probes. */
static int look_at_process(struct attacher *a, int pid, bool any)
{
	char path[64], *line = NULL;
	size_t room = 0;
	int n = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps) {
		if (any && (errno == EACCES || errno == EPERM))
			a->refused = -errno;
		return 0;
	}
	while (getline(&line, &room, maps) > 0)
		n += look_at_mapping(a, pid, line, any) > 0;
	free(line);
	fclose(maps);
	return n;
}

static int look_at_all_processes(struct attacher *a, bool any)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	int n = 0;

	while (proc && (entry = readdir(proc)) != NULL) {
		int pid = atoi(entry->d_name);

		if (pid > 0 && pid != getpid())
			n += look_at_process(a, pid, any);
	}
	if (proc)
		closedir(proc);
	return n;
}

/* Those of our own installation, or of the build tree that this program lies in. */
static int look_at_own(struct attacher *a)
{
	char path[PATH_MAX + 8];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash;
	int found = look_at_path(a, LIBDIR "/libzcp.so.0");

	path[n < 0 ? 0 : n] = 0;
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash, "/zcp");
		found += look_at_path(a, path);
	}
	return found;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

int attacher_new(struct attacher **attacher)
{
	struct stat st;

	*attacher = calloc(1, sizeof(**attacher));
	if (!*attacher)
		return -ENOMEM;
	if (stat("/proc/self/exe", &st) == 0)
		(*attacher)->own = (struct file_key){ st.st_dev, st.st_ino };
	return 0;
}

static void detach(struct file *file)
{
	for (int i = 0; i < PROBES_MAX; i++)
		bpf_link__destroy(file->links[i]);
}

struct attacher *attacher_free(struct attacher *attacher)
{
	struct file *file, *next;

	if (!attacher)
		return NULL;
	HASH_ITER(hh, attacher->files, file, next) {
		HASH_DEL(attacher->files, file);
		detach(file);
		fd_close(file->fd);
		free(file);
	}
	free(attacher);
	return NULL;
}

int attacher_add(struct attacher *a, const char *provider, const char *name, struct bpf_program *program, uint64_t cookie)
{
	struct file *file;
	int r = 0;

	if (a->n_probes == PROBES_MAX)
		return -ENOSPC;
	a->probes[a->n_probes] = (struct probe){ provider, name, program, cookie };
	for (file = a->files; file && !r; file = file->hh.next)
		r = file->has_probes ? attach_probe(a, file, a->n_probes) : 0;
	a->n_probes++;
	return r;
}

int attacher_scan(struct attacher *a, struct names *names)
{
	struct name_node *node, *next;
	bool same;
	int n = 0, router = names_router(names, &same);

	a->refused = 0;
	if (!a->began) {
		a->began = true;
		n += look_at_own(a) + look_at_process(a, router, true) + look_at_all_processes(a, false);
	}
	for (node = names_nodes(names); node; node = next) {
		next = node->hh.next;
		if (node->scanned || node->gone_ns)
			continue;
		node->scanned = true;
		/* pids of another namespace say nothing here */
		n += same ? look_at_process(a, (int)node->pid, true) : look_at_all_processes(a, true);
	}
	return a->refused ? a->refused : n;
}

int attacher_n_files(const struct attacher *attacher)
{
	return attacher->n_files;
}
