/* SPDX-License-Identifier: MIT */
/*
 * clock.c - how raw ticks become CLOCK_MONOTONIC
 *
 * A calibration is a straight line: a base point and a rate. The clock it stands in for is not quite straight
 * (NTP bends it by up to 500 ppm), so the router draws a new line three times a second. Two lines that follow
 * each other must not let time run backwards for a reader that converts one tick with the old and a later one
 * with the new. Hence the new line never starts more than BACKWARD_NS below the old one, and what is then left
 * of the difference is paid off by running slower for a while: `ahead_ns` in the calibration is that debt.
 *
 * The counter and the clock can part altogether: in suspend CLOCK_MONOTONIC stands still while the counter runs
 * on or starts again from zero, and a VM that is restored may see either. Nothing was converted in between, so
 * there the line simply starts anew. The samples are pairs taken as close together as possible and the closest
 * of several wins, so a VM that is paused in the middle of one does not matter.
 */
#include "common/clock.h"

#include <fcntl.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/prctl.h>
#endif

#include "common/fd.h"

__extension__ typedef __int128 i128;

#define SHIFT 40			/* rates are ns per tick in 2^-40: 3 GHz to a part in 10^11 */
#define BACKWARD_NS 998		/* how far a new line may start below the old one; rounding makes it 1000 */
#define INTERVAL_MIN_NS 10000000	/* shorter, the error of two samples would show in the rate */
#define SPIN_NS 5000000			/* half of the first measurement */
#define SAMPLE_TRIES 5

#define PPM(v, n) ((v) / 1000000 * (n))
#define RATES_AGREE_PPM 50		/* the long and the short view of the rate */
#define RATE_CHANGE_PPM 2000		/* no oscillator or NTP does more: beyond, something else happened */
#define RATE_NUDGE_PPM 50
#define MEASURED_AGREE_PPM 500		/* two short measurements */
#define SLEW_PPM 500
#define SLEW_OVER_NS 1000000000		/* the debt is paid off over a second, or as slowly as SLEW_PPM demands */

/* --- the machine ------------------------------------------------------------------------------------- */

#if defined(__x86_64__) || defined(__aarch64__)
/* The kernel's own verdict: it watches the counter against others and drops it when they disagree. */
static bool kernel_uses(const char *wanted)
{
	_cleanup_fd_ int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
				   O_RDONLY | O_CLOEXEC);
	char name[32];
	ssize_t length;

	if (fd < 0)
		return false;
	length = read(fd, name, sizeof(name) - 1);
	if (length <= 0)
		return false;
	name[length] = 0;
	name[strcspn(name, "\n")] = 0;
	return !strcmp(name, wanted);
}
#endif

bool clock_has_ticks(void)
{
#if defined(__x86_64__)
	unsigned int a, b, c, d;
	int mode = 0;

	/* Source: Intel SDM vol. 3, 18.17.1: CPUID.80000007H:EDX[8], the counter runs at one rate in all states. */
	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8))
		return false;
	/* A sandbox may have made rdtsc fault. */
	if (prctl(PR_GET_TSC, &mode) == 0 && mode != PR_TSC_ENABLE)
		return false;
	return kernel_uses("tsc");
#elif defined(__aarch64__)
	return kernel_uses("arch_sys_counter");
#else
	return false;
#endif
}

/* Ticks per second as the hardware states it, 0 if it does not. */
static uint64_t stated_frequency(void)
{
#if defined(__x86_64__)
	unsigned int denominator, numerator, crystal_hz, d;

	/* Source: Intel SDM vol. 2, CPUID leaf 15H; any of them 0: not enumerated. */
	if (!__get_cpuid(0x15, &denominator, &numerator, &crystal_hz, &d) || !denominator)
		return 0;
	return (uint64_t)crystal_hz * numerator / denominator;
#elif defined(__aarch64__)
	uint64_t v;

	__asm__("mrs %0, cntfrq_el0" : "=r"(v));
	return v;
#else
	return 0;
#endif
}

void clock_sample(uint64_t *ticks, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	/* Interrupts, preemption and VM exits only ever widen the window, so the narrowest is the truest. */
	for (int i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = clock_ticks();
		uint64_t now = clock_now_ns();
		uint64_t window = clock_ticks() - before;

		if (i == 0 || window < best) {
			best = window;
			*ticks = before + window / 2;
			*ns = now;
		}
	}
}

/* --- rates ------------------------------------------------------------------------------------------- */

/* ns per tick in 2^-SHIFT; 0 where the numbers make no sense. */
static int64_t rate_of(int64_t ticks, int64_t ns)
{
	i128 rate;

	if (ticks <= 0 || ns <= 0)
		return 0;
	rate = ((i128)ns << SHIFT) / ticks;
	return rate > INT64_MAX ? 0 : (int64_t)rate;
}

static bool rates_agree(int64_t a, int64_t b, int64_t ppm)
{
	int64_t difference = a > b ? a - b : b - a;

	return difference <= PPM(b, ppm);
}

static int64_t spin_rate(uint64_t duration_ns)
{
	uint64_t first_ticks, first_ns, ticks, ns;

	clock_sample(&first_ticks, &first_ns);
	do {
		clock_sample(&ticks, &ns);
	} while (ns - first_ns < duration_ns);
	return rate_of((int64_t)(ticks - first_ticks), (int64_t)(ns - first_ns));
}

/* Two measurements that agree: a suspend or a restore of the VM spoils at most one. */
static int64_t first_rate(void)
{
	uint64_t hz = stated_frequency();
	int64_t a = spin_rate(SPIN_NS), b = 0;

	/* The stated rate is exact, but in a VM that moved it may be another machine's. */
	if (hz) {
		int64_t stated = rate_of((int64_t)hz, 1000000000);

		if (stated && rates_agree(a, stated, MEASURED_AGREE_PPM))
			return stated;
	}

	for (int i = 0; i < 4; i++) {
		b = spin_rate(SPIN_NS);
		if (rates_agree(a, b, MEASURED_AGREE_PPM))
			break;
		a = b;
	}
	return a / 2 + b / 2;
}

/* --- calibration ------------------------------------------------------------------------------------- */

void clock_calibrate_init(struct clock_calibration *c)
{
	int64_t rate;

	*c = (struct clock_calibration){ 0 };
	if (!clock_has_ticks())
		return;
	rate = first_rate();
	if (!rate)
		return;
	c->mult = (uint64_t)rate;
	c->shift = SHIFT;
	clock_sample(&c->base_ticks, &c->base_ns);
}

/* By how much @rate is slowed down to pay off @ahead_ns. */
static int64_t slew_of(int64_t rate, int64_t ahead_ns)
{
	int64_t most = PPM(rate, SLEW_PPM);
	i128 wanted = (i128)rate * ahead_ns / SLEW_OVER_NS;

	return wanted < most ? (int64_t)wanted : most;
}

/*
 * The rate to go on with. Over the whole time since the first sample the errors of the samples vanish, so that view is
 * preferred; but it is stale after a suspend and lags behind NTP, so the last interval has to confirm it. The interval
 * itself may hold a suspend that was too short for a step. Then the rate hardly follows, but it does: should the last
 * one be all wrong, it gets right in the end.
 */
static int64_t next_rate(int64_t last, int64_t since_first, int64_t since_update)
{
	if (!rates_agree(since_update, last, RATE_CHANGE_PPM))
		return since_update > last ? last + PPM(last, RATE_NUDGE_PPM) : last - PPM(last, RATE_NUDGE_PPM);
	if (since_first && rates_agree(since_first, since_update, RATES_AGREE_PPM))
		return since_first;
	return since_update;
}

void clock_calibrate_step(struct clock_calibration *c, uint64_t first_ticks, uint64_t first_ns, uint64_t ticks,
			  uint64_t ns)
{
	int64_t d_ticks = (int64_t)(ticks - c->base_ticks);
	int64_t d_ns = (int64_t)(ns - c->base_ns) + c->ahead_ns;
	int64_t ahead, rate, steepest, unslewed;
	uint64_t converted;

	if (!c->mult)
		return;
	converted = clock_ticks_to_ns(c, ticks);
	ahead = (int64_t)(converted - ns);
	unslewed = (int64_t)c->mult + slew_of((int64_t)c->mult, c->ahead_ns);

	if (ahead > CLOCK_STEP_NS || ahead < -CLOCK_STEP_NS) {
		c->base_ticks = ticks;
		c->base_ns = ns;
		c->mult = (uint64_t)unslewed;
		c->ahead_ns = 0;
		return;
	}
	if (d_ticks <= 0 || d_ns < INTERVAL_MIN_NS)
		return;

	ahead = ahead > BACKWARD_NS ? ahead - BACKWARD_NS : 0;
	rate = next_rate(unslewed, rate_of((int64_t)(ticks - first_ticks), (int64_t)(ns - first_ns)),
			 rate_of(d_ticks, d_ns));
	rate -= slew_of(rate, ahead);

	/*
	 * Messages that were stamped before this moment are converted with the new line too. A steeper line
	 * lies lower there; it may not lie more than BACKWARD_NS below the old one anywhere since the old base.
	 */
	steepest = rate_of(d_ticks, (int64_t)(ns - c->base_ns) + ahead + BACKWARD_NS);
	if (steepest && rate > steepest)
		rate = steepest;

	c->base_ticks = ticks;
	c->base_ns = ns + (uint64_t)ahead;
	c->mult = (uint64_t)rate;
	c->shift = SHIFT;
	c->ahead_ns = (uint32_t)ahead;
}

void clock_calibrate_update(struct clock_calibration *c, uint64_t first_ticks, uint64_t first_ns)
{
	uint64_t ticks, ns;

	if (!c->mult)
		return;
	clock_sample(&ticks, &ns);
	clock_calibrate_step(c, first_ticks, first_ns, ticks, ns);
}
