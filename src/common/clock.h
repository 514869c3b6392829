/* SPDX-License-Identifier: MIT */
/*
 * clock.h - CLOCK_MONOTONIC, and the cheap tick counter that stands in for it on the data path
 *
 * clock_gettime costs as much as a message's whole hop, so slots carry raw ticks where the machine has an
 * invariant counter (x86 TSC used by the kernel itself as clock source, the Arm virtual counter) and readers
 * convert. The router keeps the calibration in the directory and refreshes it at each heartbeat scan. Elsewhere
 * a tick is a nanosecond of CLOCK_MONOTONIC and conversion is the identity.
 */
#ifndef ZCP_COMMON_CLOCK_H
#define ZCP_COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* CLOCK_MONOTONIC in ns. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The raw counter. Only meaningful where clock_has_ticks(). */
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#elif defined(__aarch64__)
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#else
	return clock_now_ns();
#endif
}

/*
 * Whether raw ticks may be used: invariant counter, and (x86) the kernel itself trusts it: current_clocksource
 * is "tsc".
 */
bool clock_has_ticks(void);

/* ns = base_ns + ((ticks - base_ticks) * mult >> shift), with ticks before base_ticks allowed. mult 0: ticks are ns. */
struct clock_calibration {
	uint64_t base_ticks;
	uint64_t base_ns;
	uint64_t mult;
	uint32_t shift;
	uint32_t ahead_ns;	/* clock_calibrate_update()'s own: how far base_ns is ahead of the clock; readers ignore it */
};

static inline uint64_t clock_ticks_to_ns(const struct clock_calibration *c, uint64_t ticks)
{
	__extension__ typedef __int128 i128;

	if (!c->mult)
		return ticks;
	return c->base_ns + (uint64_t)(((i128)(int64_t)(ticks - c->base_ticks) * (i128)c->mult) >> c->shift);
}

/* A matched pair (*ticks, *ns) read as close together as a few tries allow. */
void clock_sample(uint64_t *ticks, uint64_t *ns);

/*
 * First calibration: about 10 ms of spinning between two samples unless the kernel tells the rate (CPUID 0x15
 * on x86 where it is given, CNTFRQ on Arm); later calls of clock_calibrate_update() refine the rate over the
 * time since the first and move the base. Without ticks: mult 0, and update does nothing.
 *
 * update is monotone: for ticks since the previous update, a time converted with the new calibration lies at
 * most a microsecond before any earlier one converted with the old. A conversion found to be ahead of the clock
 * is slowed down (by about 500 ppm) until the clock has caught up. The one exception: where conversion and
 * clock have parted by more than CLOCK_STEP_NS (suspend, a restored VM, hours without an update), it steps to
 * the clock, backwards too. Within 10 ms of the last update it does nothing.
 */
#define CLOCK_STEP_NS 100000000

void clock_calibrate_init(struct clock_calibration *c);
void clock_calibrate_update(struct clock_calibration *c, uint64_t first_ticks, uint64_t first_ns);

/* The same with the present moment given by the caller instead of clock_sample(). */
void clock_calibrate_step(struct clock_calibration *c, uint64_t first_ticks, uint64_t first_ns, uint64_t ticks, uint64_t ns);

#endif
