/* SPDX-License-Identifier: MIT */
/*
 * doctor-limits.c - limits of this process and of the machine that zcp runs into first
 *
 * What a router is started with counts for the router: its own limit of descriptors shows in the group "router". Here is what a
 * program, or a router, would get that is started now from where we were started.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/doctor.h"
#include "tools/text.h"

#define FEW_FDS 1024u			/* some hundred endpoints */
#define FDS_BROKEN 64u
#define FEW_ROUTER_FDS 4096u
#define ENOUGH_MEMLOCK (1u << 20)	/* the router's ring fits, with room for others of its user */
#define ENOUGH_MAPS 65530u		/* the kernel's default */
#define MAPS_BROKEN 1024u
#define ENOUGH_BACKLOG 128u

static const char *limit_text(uint64_t value, char text[TEXT_NUMBER])
{
	if (value == RLIM_INFINITY)
		snprintf(text, TEXT_NUMBER, "unlimited");
	else
		snprintf(text, TEXT_NUMBER, "%" PRIu64, value);
	return text;
}

static void check_descriptors(const struct doctor *doctor, struct finding *f)
{
	struct rlimit limit;
	char soft[TEXT_NUMBER], hard[TEXT_NUMBER];

	(void)doctor;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit_text(limit.rlim_cur, soft);
	limit_text(limit.rlim_max, hard);
	if (limit.rlim_cur < FDS_BROKEN) {
		doctor_say(f, DOCTOR_BROKEN, "a process may have %s open: not enough for a node with a few endpoints", soft);
		doctor_cure(f, "raise RLIMIT_NOFILE (ulimit -n 1024, or LimitNOFILE= of the unit)");
	} else if (limit.rlim_max < FEW_ROUTER_FDS) {
		doctor_say(f, DOCTOR_SLOW, "a process may have %s open, at most %s; a router serves about half as many endpoints", soft, hard);
		doctor_cure(f, "raise the hard limit (LimitNOFILE=65536 of the unit, or nofile in /etc/security/limits.conf)");
	} else if (limit.rlim_cur < FEW_FDS) {
		doctor_say(f, DOCTOR_SLOW, "a process may have %s open, at most %s", soft, hard);
		doctor_cure(f, "raise the soft limit where a program has many endpoints (ulimit -n %s)", hard);
	} else {
		doctor_say(f, DOCTOR_OK, "a process may have %s open, at most %s, which is what a router takes", soft, hard);
	}
}

/* Capabilities this process has in effect: a bit for each. */
uint64_t doctor_capabilities(void)
{
	char text[4096];
	unsigned long long mask = 0;
	const char *line;

	if (fact_text(text, sizeof(text), "/proc/self/status") == 0 && (line = strstr(text, "CapEff:")))
		mask = strtoull(line + strlen("CapEff:"), NULL, 16);
	return mask;
}

#define CAP_IPC_LOCK_BIT (1ull << 14)

static void check_memlock(const struct doctor *doctor, struct finding *f)
{
	struct rlimit limit;
	char text[TEXT_NUMBER];

	(void)doctor;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= ENOUGH_MEMLOCK) {
		doctor_say(f, DOCTOR_OK, "%s", limit.rlim_cur == RLIM_INFINITY ? "unlimited" : text_bytes(limit.rlim_cur, text));
	} else if (doctor_capabilities() & CAP_IPC_LOCK_BIT) {
		doctor_say(f, DOCTOR_OK, "%s, but CAP_IPC_LOCK lifts that", text_bytes(limit.rlim_cur, text));
	} else {
		doctor_say(f, DOCTOR_SLOW, "%s: the ring of a router that this user starts may not fit, and it runs on epoll then",
			   text_bytes(limit.rlim_cur, text));
		doctor_cure(f, "raise RLIMIT_MEMLOCK (ulimit -l 1024, or LimitMEMLOCK=1M of the unit)");
	}
}

static void check_file_size(const struct doctor *doctor, struct finding *f)
{
	struct rlimit limit;
	char text[TEXT_NUMBER];

	(void)doctor;
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return;
	if (limit.rlim_cur == RLIM_INFINITY) {
		doctor_say(f, DOCTOR_OK, "unlimited");
		return;
	}
	doctor_say(f, limit.rlim_cur < 16u << 20 ? DOCTOR_BROKEN : DOCTOR_SLOW, "a router started here refuses segments over %s",
		   text_bytes(limit.rlim_cur, text));
	doctor_cure(f, "lift RLIMIT_FSIZE, which counts for memory files too (ulimit -f unlimited)");
}

static void check_address_space(const struct doctor *doctor, struct finding *f)
{
	struct rlimit limit;
	char text[TEXT_NUMBER];

	(void)doctor;
	if (getrlimit(RLIMIT_AS, &limit) < 0)
		return;
	if (limit.rlim_cur == RLIM_INFINITY) {
		doctor_say(f, DOCTOR_OK, "unlimited");
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "%s: mapped segments count with their full size, touched or not", text_bytes(limit.rlim_cur, text));
	doctor_cure(f, "lift RLIMIT_AS (ulimit -v unlimited)");
}

static void check_maps(const struct doctor *doctor, struct finding *f)
{
	uint64_t n;

	(void)doctor;
	if (fact_number(&n, "/proc/sys/vm/max_map_count") < 0)
		return;
	if (n >= ENOUGH_MAPS) {
		doctor_say(f, DOCTOR_OK, "%" PRIu64 " in a process", n);
		return;
	}
	doctor_say(f, n < MAPS_BROKEN ? DOCTOR_BROKEN : DOCTOR_SLOW, "%" PRIu64 " in a process, and each segment that it has takes one", n);
	doctor_cure(f, "sysctl vm.max_map_count=%u", ENOUGH_MAPS);
}

static void check_open_files(const struct doctor *doctor, struct finding *f)
{
	uint64_t used, unused, max;
	char text[128];

	(void)doctor;
	if (fact_text(text, sizeof(text), "/proc/sys/fs/file-nr") < 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &used, &unused, &max) != 3)
		return;
	if (max > INT64_MAX / 2) {
		doctor_say(f, DOCTOR_OK, "%" PRIu64 " on this machine, without a limit", used);
		return;
	}
	if (used < max - max / 10) {
		doctor_say(f, DOCTOR_OK, "%" PRIu64 " of %" PRIu64 " on this machine", used, max);
		return;
	}
	doctor_say(f, used >= max ? DOCTOR_BROKEN : DOCTOR_SLOW, "%" PRIu64 " of %" PRIu64 " on this machine", used, max);
	doctor_cure(f, "sysctl fs.file-max=%" PRIu64 ", or end what keeps so many open", max * 2);
}

static void check_backlog(const struct doctor *doctor, struct finding *f)
{
	uint64_t n;

	(void)doctor;
	if (fact_number(&n, "/proc/sys/net/core/somaxconn") < 0)
		return;
	if (n >= ENOUGH_BACKLOG) {
		doctor_say(f, DOCTOR_OK, "%" PRIu64 " nodes may come at the same moment", n);
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "%" PRIu64 " nodes may come at the same moment, others try again", n);
	doctor_cure(f, "sysctl net.core.somaxconn=4096, and restart the router");
}

static const struct check checks[] = {
	{ "descriptors", check_descriptors },
	{ "locked memory", check_memlock },
	{ "file size", check_file_size },
	{ "address space", check_address_space },
	{ "mappings", check_maps },
	{ "open files", check_open_files },
	{ "listen queue", check_backlog },
};

const struct check_group doctor_limits = { "limits", checks, sizeof(checks) / sizeof(*checks) };
