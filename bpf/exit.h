/* SPDX-License-Identifier: MIT */
/*
 * exit.h - what exit.bpf.c tells the router
 */
#ifndef ZCP_BPF_EXIT_H
#define ZCP_BPF_EXIT_H

#define EXIT_OOM (1u << 0)	/* the kernel's out-of-memory killer did it */

struct exit_record {
	unsigned long long key;		/* as it was put into the map */
	unsigned long long time_ns;	/* CLOCK_MONOTONIC */
	int status;			/* as waitpid(2) has it */
	unsigned int flags;		/* EXIT_* */
	char comm[16];			/* of the thread group's leader */
};

#endif
