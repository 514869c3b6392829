/* SPDX-License-Identifier: MIT */
/*
 * probe.h - places where a tracer may look on
 *
 * USDT probes (sys/sdt.h of SystemTap): a note in the binary says where a probe is and where its arguments are, the instruction there is a nop
 * until somebody attaches. Each has a semaphore, a counter in this process's memory that the kernel raises while somebody is attached,
 * so that arguments which cost something to make are made only then.
 *
 *     PROBE(zcp, ring, endpoint, peer);      looks at the semaphore: for what is rare, or costs a system call anyway
 *     PROBE_NOW(zcp, take, ...);             does not: behind a gate (lib/fork.h), where somebody is known to look
 *
 * The names and arguments are an interface: zcp-trace(1) lists them. Numbers are passed as 64 bits, each made so where it is
 * handed over. A new probe wants a PROBE_SEMAPHORE() line in lib/probe.c or router/probe.c, and its line in that page.
 */
#ifndef ZCP_COMMON_PROBE_H
#define ZCP_COMMON_PROBE_H

#include "config.h"

#ifdef HAVE_PROBES

#define _SDT_HAS_SEMAPHORES 1
#define SDT_USE_VARIADIC 1
/* Arguments in registers or constant: not all that read the notes know how to find base + index * scale. */
#define STAP_SDT_ARG_CONSTRAINT nr
#include <sys/sdt.h>

/*
 * The nop is the one byte that sys/sdt.h puts there, and has to stay so. In one of five bytes, Linux 6.18 puts a call to a page of its own
 * (arch/x86/kernel/uprobes.c, "optimized uprobes"), which is quicker than a breakpoint; but a child of fork() inherits the call without
 * that page, and dies of SIGSEGV at its first probe.
 */

#define PROBE_SEMAPHORE(provider, name) \
	__attribute__((visibility("hidden"), section(".probes"))) volatile unsigned short provider##_##name##_semaphore

#define PROBE_EXTERN(provider, name) \
	extern __attribute__((visibility("hidden"))) volatile unsigned short provider##_##name##_semaphore

/* A constant condition where there are no probes, so that what only a probe wants is compiled away. */
#define PROBE_WANTED(provider, name)                                                                                  \
	(__extension__({                                                                                              \
		PROBE_EXTERN(provider, name);                                                                         \
		__builtin_expect(provider##_##name##_semaphore != 0, 0);                                              \
	}))

#define PROBE_NOW(provider, name, ...)                                                                                \
	do {                                                                                                          \
		PROBE_EXTERN(provider, name);                                                                         \
		STAP_PROBEV(provider, name, __VA_ARGS__);                                                             \
	} while (0)

#else

#define PROBE_SEMAPHORE(provider, name) extern int probe_none_##provider##_##name
#define PROBE_WANTED(provider, name) 0
static inline __attribute__((unused, always_inline)) void probe_none(int first, ...)
{
	(void)first;
}
#define PROBE_NOW(provider, name, ...)                                                                                \
	do {                                                                                                          \
		if (0)                                                                                                \
			probe_none(0, __VA_ARGS__);                                                                   \
	} while (0)

#endif

#define PROBE(provider, name, ...)                                                                                    \
	do {                                                                                                          \
		if (PROBE_WANTED(provider, name))                                                                     \
			PROBE_NOW(provider, name, __VA_ARGS__);                                                       \
	} while (0)

#endif
