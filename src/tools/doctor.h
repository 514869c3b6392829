/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - the checks of zcp doctor
 *
 * A check is a function that looks at one thing and leaves what it found, a verdict and, where something is to be done about it,
 * the cure in a finding. Checks stand in tables, one for each group (doctor-kernel.c, ...), in the order of the output. A check
 * that has nothing to say here leaves DOCTOR_NOTHING. None changes anything on the machine.
 *
 * Where the thing itself can be tried (a system call, a sealed memory file, a wake-up), it is tried: a number in /proc says what
 * should be possible, not what is. Both ways to a fact, fact_text() for what the kernel says and fact_try() for what is tried, can be
 * pointed to a made-up machine for the tests: see doctor-facts.c.
 */
#ifndef ZCP_TOOLS_DOCTOR_H
#define ZCP_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/directory.h"
#include "lib/router-path.h"
#include "tools/snapshot.h"

enum doctor_verdict {
	DOCTOR_NOTHING,
	DOCTOR_OK,
	DOCTOR_INFO,
	DOCTOR_SLOW,		/* it works, at a price */
	DOCTOR_BROKEN,
};

struct finding {
	enum doctor_verdict verdict;
	char found[320];
	char cure[320];		/* "": none is needed, or there is none */
};

/* The router, as doctor_meet_router() found it. */
struct doctor {
	struct router_paths paths;
	char path[ROUTER_PATH_BYTES];	/* of its socket, or where it should be */
	bool has_file;			/* there is something at path, and this it is: */
	struct stat file;
	int error;			/* negative: not connected to, why as errno value */
	char reason[256];		/* and as a sentence */
	uid_t uid;			/* of its process, if connected */

	struct zcp_node *node;		/* NULL: did not join it; then all below is zero */
	struct directory_header h;	/* the constant part */
	char version[sizeof(((struct directory_header *)0)->package_version) + 1];
	struct snapshot snapshot;
	struct snapshot_usage usage;	/* of our user, without our node */
};

struct check {
	const char *name;		/* up to 15 columns */
	void (*run)(const struct doctor *doctor, struct finding *finding);
};

struct check_group {
	const char *name;
	const struct check *checks;
	size_t n;
};

extern const struct check_group doctor_kernel, doctor_limits, doctor_memory, doctor_cpu, doctor_router;

/* Connect to the router and join it, if there is one. Takes 5 s at most. */
void doctor_meet_router(struct doctor *doctor);
void doctor_part(struct doctor *doctor);

/* Whether the router that runs uses @detector, of DIRECTORY_DETECTOR_*. */
bool doctor_detects(const struct doctor *doctor, uint32_t detector);

/* Our effective ones, by bit. */
uint64_t doctor_capabilities(void);

/* What a check leaves. Later calls replace what earlier ones left. */
void doctor_say(struct finding *finding, enum doctor_verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
void doctor_cure(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- facts ---- */

/* Read the environment. Before any of the others. */
void facts_init(void);

/*
 * What the file of that path under /proc or /sys holds, the last line's end cut off; at most @bytes - 1 of it. 0, or a negative errno
 * value and text "".
 */
int fact_text(char *text, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same of a file that is one number; "max" is UINT64_MAX. -EPROTO: it is none. */
int fact_number(uint64_t *value, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line "@name: 123" of a file like /proc/meminfo. */
int fact_field(uint64_t *value, const char *path, const char *name);

/* 0 if the file can be opened for reading. */
int fact_readable(const char *path);

/* What @attempt returns. @name is what a made-up machine knows it by. */
int fact_try(const char *name, int (*attempt)(void));

/*
 * The directory of our own control group for @controller ("memory", "cpu"), into @path; *v2 says of which version. Then those it lies
 * in, one by one, by fact_cgroup_up(). False: none (left).
 */
#define FACT_CGROUP_BYTES 1024
bool fact_cgroup(char path[FACT_CGROUP_BYTES], const char *controller, bool *v2);
bool fact_cgroup_up(char path[FACT_CGROUP_BYTES]);

#endif
