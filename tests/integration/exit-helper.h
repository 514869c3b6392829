/* SPDX-License-Identifier: MIT */
/*
 * exit-helper.h - the scene of test-router-exit.c and test-router-still.c
 *
 * The test process publishes and is never scanned for its heartbeat. A victim, a process of its
 * own, subscribes; what happens to it arrives as LANE_GONE.
 */
#ifndef ZCP_TESTS_EXIT_HELPER_H
#define ZCP_TESTS_EXIT_HELPER_H

#include "router-helper.h"

#include "common/directory.h"

struct detector_choice {
	const char *option;
	unsigned int mask;
};
#define N_DETECTORS 5
#define ALL 4			/* the others are each by itself: eBPF, pidfd, socket, heartbeat */
#define HEARTBEAT 3
extern const struct detector_choice detectors[N_DETECTORS];

extern struct test_router router;
extern struct test_node self;
extern struct directory_view view;
extern union wire_message message;

/* False: this router has no eBPF. @more: further arguments. */
bool start(int loop, int detector, const char *const *more);
void stop(void);
/* The publisher and the directory of a scene whose router has ended. */
void forget_scene(void);

#define start_or_skip(loop, detector, ...)                                              \
	do {                                                                            \
		if (!start(loop, detector, (const char *const[]){ __VA_ARGS__ })) {     \
			stop();                                                         \
			skip_test("no eBPF here");                                      \
		}                                                                       \
	} while (0)

#define QUICK "--heartbeat-touch-ms", "20", "--heartbeat-scan-ms", "50", "--heartbeat-timeout-ms", "500"

/* Deaths by all detectors. */
uint64_t found(void);

/* What was sent before is there, and nothing came twice. */
void expect_silence(void);

struct victim {
	pid_t pid;
	int pipe;		/* its end: go on */
	uint64_t match;
};

/* What the victim itself knows. */
struct victim_side {
	struct test_node node;
	int pipe;
};

/* In the child: subscribe, then @act, which returns when all is well. */
void victim_start(struct victim *victim, void (*act)(struct victim_side *side));
void victim_go(struct victim *victim);
int victim_wait(struct victim *victim);
void expect_gone(const struct victim *victim, enum wire_cause cause);

/* For acts: until the test says go on, silently, or with a heartbeat. */
void wait_for_go(struct victim_side *side);
void beat_on(struct victim_side *side);
void act_wait(struct victim_side *side);

/* As /proc has it. */
char state_of(pid_t pid);

enum { HOLD_STOP, HOLD_TRACE, HOLD_FREEZE };
/* False: not possible here. */
bool hold(pid_t pid, int how);
void let_go(pid_t pid, int how);
/* The process that was frozen has ended: remove its cgroup. */
void thaw_done(void);

#endif
