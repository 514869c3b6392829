/* SPDX-License-Identifier: MIT */
/*
 * doctor-router.c - the router: whether it can be reached, whose it is, and how it fares
 *
 * It is joined like any node joins it, by the library, as that is what other programs do; without a thread, and exempt from the
 * heartbeat. What it says of itself is read from its directory. Where there is no router, only the checks of the socket speak.
 */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/node.h"
#include "tools/doctor.h"
#include "tools/text.h"
#include "tools/tool.h"

/* ---- meeting it -------------------------------------------------------------------------------------------------- */

/* The path to speak of: the one that was connected to, else the first where something is, else where one would be started. */
static void choose_path(struct doctor *d)
{
	const char *path = d->paths.used;

	for (int i = 0; !*path && i < d->paths.n; i++)
		if (lstat(d->paths.path[i], &d->file) == 0)
			path = d->paths.path[i];
	if (!*path)
		path = d->paths.own;
	memcpy(d->path, path, sizeof(d->path));
	d->has_file = lstat(d->path, &d->file) == 0;
}

static void failed(struct doctor *d, int error)
{
	const char *reason = zcp_last_error();

	d->error = error;
	snprintf(d->reason, sizeof(d->reason), "%s", *reason ? reason : strerror(-error));
}

/* The directory is the router's memory: what is looked at twice is copied first. */
static int look(struct doctor *d)
{
	int r = snapshot_take(&d->snapshot, &d->node->directory, d->node->id);

	if (r < 0)
		return r;
	memcpy(&d->h, d->node->directory.header, offsetof(struct directory_header, heartbeat_ns));
	memcpy(d->version, d->h.package_version, sizeof(d->h.package_version));
	snapshot_use(&d->snapshot, &d->node->directory, d->node->id, &d->usage);
	return 0;
}

void doctor_meet_router(struct doctor *d)
{
	const struct zcp_node_options options = { .sz = sizeof(options), .no_thread = true, .unmonitored = true };
	struct ucred credentials;
	socklen_t length = sizeof(credentials);
	int fd, r;

	r = router_paths_find(&d->paths, tool_socket());
	if (r < 0) {
		failed(d, r);
		return;
	}
	fd = router_connect(&d->paths);
	choose_path(d);
	if (fd < 0) {
		failed(d, fd);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0)
		d->uid = credentials.uid;
	r = node_open_on(&d->node, "zcp doctor", &options, fd);
	if (r < 0) {
		failed(d, r);
		return;
	}
	r = look(d);
	if (r < 0) {
		zcp_node_close(d->node);
		d->node = NULL;
		d->error = r;
		snprintf(d->reason, sizeof(d->reason), "the directory cannot be read: %s", strerror(-r));
	}
}

void doctor_part(struct doctor *d)
{
	if (!d->node)
		return;
	snapshot_deinit(&d->snapshot);
	zcp_node_close(d->node);
	d->node = NULL;
}

bool doctor_detects(const struct doctor *d, uint32_t detector)
{
	return d->node && (d->h.detectors & detector);
}

/* ---- socket ------------------------------------------------------------------------------------------------------ */

/* The library's sentences are "what; cure". */
static void say_reason(struct finding *f, enum doctor_verdict verdict, const char *reason)
{
	const char *cure = strstr(reason, "; ");

	doctor_say(f, verdict, "%.*s", cure ? (int)(cure - reason) : (int)strlen(reason), reason);
	if (cure)
		doctor_cure(f, "%s", cure + 2);
}

static const char *user_name(uid_t uid, char text[64])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(text, 64, "%.40s", user->pw_name);
	else
		snprintf(text, 64, "uid %u", (unsigned int)uid);
	return text;
}

static void say_who_may_connect(const struct doctor *d, struct finding *f)
{
	char user[64];

	user_name(d->file.st_uid, user);
	if (d->file.st_mode & S_IWOTH)
		doctor_say(f, DOCTOR_OK, "%s, open to everybody", d->path);
	else if (d->file.st_mode & S_IWGRP)
		doctor_say(f, DOCTOR_OK, "%s, open to %s and the group %u", d->path, user, (unsigned int)d->file.st_gid);
	else
		doctor_say(f, DOCTOR_OK, "%s, open to %s only", d->path, user);
}

static void check_socket(const struct doctor *d, struct finding *f)
{
	if (!*d->path) {
		say_reason(f, DOCTOR_BROKEN, d->reason);
	} else if (d->node || d->paths.used[0]) {
		say_who_may_connect(d, f);
	} else if (d->error == -ENOENT && !d->paths.explicit_path) {
		doctor_say(f, DOCTOR_INFO, "no router runs; zcp pub, zcp sub and the like start one for this user, at %s", d->path);
	} else if (d->has_file && !S_ISSOCK(d->file.st_mode)) {
		doctor_say(f, DOCTOR_BROKEN, "%s is no socket", d->path);
		doctor_cure(f, "remove it, or set $ZCP_ROUTER to the router's socket");
	} else if (d->error == -ECONNREFUSED && d->has_file) {
		say_reason(f, DOCTOR_BROKEN, d->reason);
	} else if (d->error == -EACCES && d->has_file) {
		char user[64];

		doctor_say(f, DOCTOR_BROKEN, "%s is %s's, mode %04o, and not open to this user", d->path, user_name(d->file.st_uid, user),
			   (unsigned int)d->file.st_mode & 07777);
		doctor_cure(f, "join its group, start the router with --socket-mode 0666, or one of your own (--socket, $ZCP_ROUTER)");
	} else {
		say_reason(f, DOCTOR_BROKEN, d->reason);
	}
}

/* Who can write the directory can put another router in this one's place. */
static void check_directory(const struct doctor *d, struct finding *f)
{
	char directory[ROUTER_PATH_BYTES], user[64];
	struct stat st;
	char *slash;

	memcpy(directory, d->path, sizeof(directory));
	slash = strrchr(directory, '/');
	if (!*directory)
		return;
	if (slash)
		slash[slash == directory] = 0;
	else
		strcpy(directory, ".");
	if (stat(directory, &st) < 0)
		return;
	if (st.st_uid != 0 && st.st_uid != geteuid() && !(d->paths.used[0] && st.st_uid == d->uid)) {
		doctor_say(f, DOCTOR_BROKEN, "%s belongs to %s, who can put another router in this one's place", directory,
			   user_name(st.st_uid, user));
		doctor_cure(f, "use a directory of your own or of root, by $ZCP_ROUTER or XDG_RUNTIME_DIR");
	} else if (st.st_mode & S_IWOTH && st.st_mode & S_ISVTX) {
		/* as /tmp, which has to stay so */
		doctor_say(f, DOCTOR_BROKEN, "others can write %s (mode %04o): whoever is first there when no router runs, is the router", directory,
			   (unsigned int)st.st_mode & 07777);
		doctor_cure(f, "use a directory of your own or of root, by $ZCP_ROUTER or XDG_RUNTIME_DIR");
	} else if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		doctor_say(f, DOCTOR_BROKEN, "others can write %s (mode %04o) and put another router in this one's place", directory,
			   (unsigned int)st.st_mode & 07777);
		doctor_cure(f, "chmod go-w %s, or use another directory", directory);
	} else {
		doctor_say(f, DOCTOR_OK, "%s can be written by %s only", directory, user_name(st.st_uid, user));
	}
}

static void check_owner(const struct doctor *d, struct finding *f)
{
	char user[64];

	if (!d->paths.used[0])
		return;
	user_name(d->uid, user);
	if (d->uid == geteuid() || d->uid == 0) {
		doctor_say(f, DOCTOR_OK, "the router is %s's", user);
	} else {
		doctor_say(f, DOCTOR_INFO, "the router is %s's, who hands out the memory of your messages and can read it", user);
		doctor_cure(f, "where %s is not to be trusted: a router of your own (--socket, $ZCP_ROUTER)", user);
	}
}

/* ---- the router -------------------------------------------------------------------------------------------------- */

static void check_answer(const struct doctor *d, struct finding *f)
{
	char uptime[TEXT_NUMBER];
	uint64_t now = clock_now_ns();

	if (!d->paths.used[0])
		return;
	if (!d->node) {
		say_reason(f, DOCTOR_BROKEN, d->reason);
		return;
	}
	doctor_say(f, DOCTOR_OK, "zcp %s, protocol %" PRIu32 ", pid %" PRIu32 ", up %s", d->version, d->h.version, d->h.router_pid,
		   text_duration(now > d->h.start_ns ? now - d->h.start_ns : 0, uptime));
	if (strcmp(d->version, zcp_version()) != 0) {
		doctor_say(f, DOCTOR_INFO, "zcp %s, up %s; this tool is of zcp %s", d->version, uptime, zcp_version());
		doctor_cure(f, "restart the router after an update: its nodes come back to it by themselves");
	}
}

static void check_loop(const struct doctor *d, struct finding *f)
{
	if (!d->node)
		return;
	if (d->h.loop == DIRECTORY_LOOP_IO_URING) {
		doctor_say(f, DOCTOR_OK, "io_uring");
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "epoll: more system calls for each node that comes, goes or asks; messages do not pass through it");
	doctor_cure(f, "start it without --loop epoll; if io_uring is refused to it, its first lines on standard error say why");
}

static void check_detectors(const struct doctor *d, struct finding *f)
{
	static const char *const names[] = { "bpf", "pidfd", "socket", "heartbeat" };
	char text[64] = "";

	if (!d->node)
		return;
	for (unsigned int i = 0; i < 4; i++)
		if (d->h.detectors & 1u << i)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", *text ? ", " : "", names[i]);
	if (d->h.detectors & DIRECTORY_DETECTOR_BPF) {
		doctor_say(f, DOCTOR_OK, "%s", text);
	} else if (!d->h.detectors) {
		doctor_say(f, DOCTOR_BROKEN, "none: it does not notice that a process has ended");
		doctor_cure(f, "start it with other --detectors");
	} else if (d->h.detectors & DIRECTORY_DETECTOR_PIDFD) {
		doctor_say(f, DOCTOR_SLOW, "%s: ends of processes are noticed a little later, without exit code, signal or OOM", text);
		doctor_cure(f, "run the router as root or with CAP_BPF and CAP_PERFMON, and without --no-bpf");
	} else {
		doctor_say(f, DOCTOR_SLOW, "%s: the end of a process whose socket a child keeps open is noticed late", text);
		doctor_cure(f, "start it with --detectors bpf,pidfd,socket,heartbeat");
	}
}

static void check_heartbeat(const struct doctor *d, struct finding *f)
{
	uint64_t now, beat, age;
	char text[TEXT_NUMBER];

	if (!d->node)
		return;
	beat = atomic_load_explicit(&d->node->directory.header->heartbeat_ns, memory_order_relaxed);
	now = clock_now_ns();
	age = now > beat ? now - beat : 0;
	text_duration(age, text);
	if (age > (uint64_t)d->h.timeout_ms * 1000000) {
		doctor_say(f, DOCTOR_BROKEN, "the router last looked at its nodes %s ago, and should every %" PRIu32 " ms", text, d->h.scan_ms);
		doctor_cure(f, "see whether it is stopped (kill -CONT %" PRIu32 ") or starved of processor time", d->h.router_pid);
	} else {
		doctor_say(f, DOCTOR_OK, "the router last looked %s ago; each %" PRIu32 " ms, patience %" PRIu32 " ms", text, d->h.scan_ms,
			   d->h.timeout_ms);
	}
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

struct part {
	const char *what, *option;
	uint64_t used, limit;
	bool bytes;
};

static int percent(const struct part *p)
{
	return p->limit ? (int)((double)p->used * 100 / (double)p->limit) : 0;
}

/* What is nearest to its limit decides. */
static void say_fullest(struct finding *f, const char *whose, const struct part *parts, size_t n)
{
	const struct part *fullest = parts;
	char used[TEXT_NUMBER], limit[TEXT_NUMBER];
	enum doctor_verdict verdict;

	for (size_t i = 1; i < n; i++)
		if (percent(&parts[i]) > percent(fullest))
			fullest = &parts[i];
	verdict = percent(fullest) >= 100 ? DOCTOR_BROKEN : percent(fullest) >= 90 ? DOCTOR_SLOW : DOCTOR_OK;
	if (fullest->bytes) {
		text_bytes(fullest->used, used);
		text_bytes(fullest->limit, limit);
	} else {
		snprintf(used, sizeof(used), "%" PRIu64, fullest->used);
		snprintf(limit, sizeof(limit), "%" PRIu64, fullest->limit);
	}
	doctor_say(f, verdict, "%s: %s of %s %s, %s", whose, used, limit, fullest->what,
		   verdict == DOCTOR_OK ? "and less of all else" : verdict == DOCTOR_SLOW ? "nearly full" : "full: more is refused");
	if (verdict != DOCTOR_OK)
		doctor_cure(f, "end what is not needed (zcp list shows it), or start the router with a larger --%s", fullest->option);
}

static void check_room(const struct doctor *d, struct finding *f)
{
	const struct part parts[] = {
		{ "nodes", "max-nodes", d->snapshot.n_nodes, d->h.max_nodes, false },
		{ "endpoints", "max-endpoints", d->snapshot.n_endpoint_rows, d->h.max_endpoints, false },
		{ "connections", "max-matches", d->snapshot.n_match_rows, d->h.max_matches, false },
	};

	if (d->node)
		say_fullest(f, "of all users", parts, sizeof(parts) / sizeof(*parts));
}

static void check_quota(const struct doctor *d, struct finding *f)
{
	const struct snapshot_usage *u = &d->usage;
	const struct part parts[] = {
		{ "nodes", "max-nodes-per-uid", u->n_nodes, d->h.max_nodes_per_uid, false },
		{ "endpoints", "max-endpoints-per-uid", u->n_endpoints, d->h.max_endpoints_per_uid, false },
		{ "descriptors", "max-fds-per-uid", u->n_fds, d->h.max_fds_per_uid, false },
		{ "memory", "max-bytes-per-uid", u->bytes, d->h.max_bytes_per_uid, true },
	};

	if (d->node)
		say_fullest(f, "of this user", parts, sizeof(parts) / sizeof(*parts));
}

static void check_descriptors(const struct doctor *d, struct finding *f)
{
	if (!d->node)
		return;
	if (d->h.max_fds_per_uid >= d->h.max_fds_per_node || d->h.max_fds_per_uid >= 4096) {
		doctor_say(f, DOCTOR_OK, "%" PRIu32 " of the router's for each user, two for each endpoint", d->h.max_fds_per_uid);
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "%" PRIu32 " of the router's for each user, two for each endpoint", d->h.max_fds_per_uid);
	doctor_cure(f, "raise the router's limit (LimitNOFILE=65536 of its unit, ulimit -Hn), or its --max-fds-per-uid");
}

/* ---- its nodes --------------------------------------------------------------------------------------------------- */

static void check_nodes(const struct doctor *d, struct finding *f)
{
	const struct directory_node *first = NULL;
	unsigned int n = 0;
	char name[WIRE_NAME_BYTES + 1];

	if (!d->node)
		return;
	for (size_t i = 0; i < d->snapshot.n_nodes; i++)
		if (d->snapshot.nodes[i].flags & DIRECTORY_NODE_UNRESPONSIVE && !n++)
			first = &d->snapshot.nodes[i];
	if (!first) {
		doctor_say(f, DOCTOR_OK, "%zu besides this tool, all respond", d->snapshot.n_nodes);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", WIRE_NAME_BYTES, first->name);
	doctor_say(f, DOCTOR_SLOW, "'%s' (pid %" PRIu32 ") does not respond, of %u such nodes", name, first->pid, n);
	doctor_cure(f, "see whether it is stopped (kill -CONT %" PRIu32 "), hangs, or does not call zcp_node_dispatch()", first->pid);
}

static void check_dropped(const struct doctor *d, struct finding *f)
{
	uint64_t n;

	if (!doctor_detects(d, DIRECTORY_DETECTOR_BPF))
		return;
	n = atomic_load_explicit(&d->node->directory.header->bpf_dropped, memory_order_relaxed);
	if (!n) {
		doctor_say(f, DOCTOR_OK, "none lost");
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "%" PRIu64 " lost since the router's start; each process was looked at instead, its exit code is not known", n);
	doctor_cure(f, "start the router with a larger --bpf-ring-bytes, such as 1048576");
}

static const struct check checks[] = {
	{ "socket", check_socket },
	{ "directory", check_directory },
	{ "owner", check_owner },
	{ "answer", check_answer },
	{ "event loop", check_loop },
	{ "detectors", check_detectors },
	{ "heartbeat", check_heartbeat },
	{ "room", check_room },
	{ "quota", check_quota },
	{ "descriptor quota", check_descriptors },
	{ "nodes", check_nodes },
	{ "exit events", check_dropped },
};

const struct check_group doctor_router = { "router", checks, sizeof(checks) / sizeof(*checks) };
