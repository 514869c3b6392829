/* SPDX-License-Identifier: MIT */
/*
 * doctor-memory.c - memory that segments can be made of
 *
 * A segment is a memory file: neither the size of /dev/shm nor that of any file system limits it. Its pages count as memory of
 * the process that first wrote them, in its control group, and so a group that is too small ends a publisher by the OOM killer in the
 * middle of filling a message, not by an error code.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/doctor.h"
#include "tools/text.h"

#define MIB (1ull << 20)
#define ROOM_BROKEN (8 * MIB)
#define LITTLE_AVAILABLE (64 * MIB)

/* ---- control group ----------------------------------------------------------------------------------------------- */

struct cgroup_limit {
	uint64_t limit, used;
	bool hard;			/* beyond it the OOM killer comes; else the group is slowed down */
	char path[FACT_CGROUP_BYTES];
};

/* What the group cannot give back at once: the page cache it has not used lately does not count. */
static uint64_t memory_used(const char *path, bool v2)
{
	char stat[FACT_CGROUP_BYTES + 16];
	uint64_t used = 0, inactive = 0;

	fact_number(&used, v2 ? "%s/memory.current" : "%s/memory.usage_in_bytes", path);
	snprintf(stat, sizeof(stat), "%s/memory.stat", path);
	fact_field(&inactive, stat, v2 ? "inactive_file" : "total_inactive_file");
	return used > inactive ? used - inactive : 0;
}

static uint64_t room(const struct cgroup_limit *l)
{
	return l->limit > l->used ? l->limit - l->used : 0;
}

static void consider(struct cgroup_limit *tightest, const char *path, bool v2, const char *file, bool hard)
{
	struct cgroup_limit l = { .hard = hard };

	/* version 1 says "no limit" by a number that no machine has */
	if (fact_number(&l.limit, "%s/%s", path, file) < 0 || l.limit > INT64_MAX / 2)
		return;
	l.used = memory_used(path, v2);
	snprintf(l.path, sizeof(l.path), "%s", path);
	if (!tightest->limit || room(&l) < room(tightest))
		*tightest = l;
}

static void check_cgroup(const struct doctor *doctor, struct finding *f)
{
	struct cgroup_limit tightest = { 0 };
	char path[FACT_CGROUP_BYTES], used[TEXT_NUMBER], limit[TEXT_NUMBER];
	enum doctor_verdict verdict = DOCTOR_OK;
	bool v2, more;

	(void)doctor;
	for (more = fact_cgroup(path, "memory", &v2); more; more = fact_cgroup_up(path)) {
		consider(&tightest, path, v2, v2 ? "memory.max" : "memory.limit_in_bytes", true);
		if (v2)
			consider(&tightest, path, v2, "memory.high", false);
	}
	if (!tightest.limit) {
		doctor_say(f, DOCTOR_OK, "no limit");
		return;
	}
	if (room(&tightest) < tightest.limit / 10)
		verdict = DOCTOR_SLOW;
	if (tightest.hard && room(&tightest) < ROOM_BROKEN)
		verdict = DOCTOR_BROKEN;
	doctor_say(f, verdict, "%s of %s used (%s/memory.%s); messages count as memory of who writes them",
		   text_bytes(tightest.used, used), text_bytes(tightest.limit, limit), tightest.path,
		   !v2 ? "limit_in_bytes" : tightest.hard ? "max" : "high");
	if (verdict != DOCTOR_OK)
		doctor_cure(f, "raise it (MemoryMax= and MemoryHigh= of the unit, docker run --memory), or publish with less depth");
}

/* ---- the machine ------------------------------------------------------------------------------------------------- */

static void check_available(const struct doctor *doctor, struct finding *f)
{
	uint64_t available, total, overcommit = 0;
	char text[TEXT_NUMBER], all[TEXT_NUMBER];

	(void)doctor;
	if (fact_field(&available, "/proc/meminfo", "MemAvailable") < 0 || fact_field(&total, "/proc/meminfo", "MemTotal") < 0)
		return;
	available *= 1024;
	total *= 1024;
	fact_number(&overcommit, "/proc/sys/vm/overcommit_memory");
	if (available < LITTLE_AVAILABLE) {
		doctor_say(f, DOCTOR_SLOW, "%s of %s available", text_bytes(available, text), text_bytes(total, all));
		doctor_cure(f, "free some: what does not fit is swapped out, or ends a process");
	} else {
		doctor_say(f, DOCTOR_OK, "%s of %s available%s", text_bytes(available, text), text_bytes(total, all),
			   overcommit == 2 ? ", without overcommitting (vm.overcommit_memory=2)" : "");
	}
}

/* The word in brackets of a file like "always [madvise] never". */
static void chosen(const char *text, char word[32])
{
	const char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;

	snprintf(word, 32, "%.*s", close ? (int)(close - open - 1) : 0, open ? open + 1 : "");
}

#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static void check_thp(const struct doctor *doctor, struct finding *f)
{
	char text[256], word[32];

	(void)doctor;
	if (fact_text(text, sizeof(text), SHMEM_ENABLED) < 0) {
		doctor_say(f, DOCTOR_INFO, "this kernel has none for memory files");
		return;
	}
	chosen(text, word);
	if (strcmp(word, "never") != 0 && strcmp(word, "deny") != 0) {
		doctor_say(f, DOCTOR_OK, "shmem_enabled is %s", word);
		return;
	}
	doctor_say(f, DOCTOR_INFO, "shmem_enabled is %s: publishers that ask for huge pages get reserved ones or none", word);
	doctor_cure(f, "for payloads of megabytes: echo advise > " SHMEM_ENABLED);
}

static void check_huge_pages(const struct doctor *doctor, struct finding *f)
{
	uint64_t total = 0, unused = 0, size = 0;
	char text[TEXT_NUMBER];

	(void)doctor;
	if (fact_field(&total, "/proc/meminfo", "HugePages_Total") < 0)
		return;
	fact_field(&unused, "/proc/meminfo", "HugePages_Free");
	fact_field(&size, "/proc/meminfo", "Hugepagesize");
	text_bytes(size * 1024, text);
	if (!total) {
		doctor_say(f, DOCTOR_INFO, "none reserved");
		doctor_cure(f, "for publishers that ask for them: sysctl vm.nr_hugepages=N, of %s each", text);
	} else if (!unused) {
		doctor_say(f, DOCTOR_SLOW, "all %" PRIu64 " of %s are taken; who asks for more gets small ones", total, text);
		doctor_cure(f, "reserve more: sysctl vm.nr_hugepages=%" PRIu64, total * 2);
	} else {
		doctor_say(f, DOCTOR_OK, "%" PRIu64 " of %" PRIu64 " free, of %s each", unused, total, text);
	}
}

static const struct check checks[] = {
	{ "control group", check_cgroup },
	{ "available", check_available },
	{ "transparent", check_thp },
	{ "huge pages", check_huge_pages },
};

const struct check_group doctor_memory = { "memory", checks, sizeof(checks) / sizeof(*checks) };
