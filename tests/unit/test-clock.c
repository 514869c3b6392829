/* SPDX-License-Identifier: MIT */
/*
 * src/common/clock.c: conversion of ticks, on this machine and on simulated ones whose clock drifts, jumps and stops.
 *
 * On the real machine only bounds are asserted that a loaded VM keeps; the exact promises are checked in simulation.
 */
#include "common/clock.h"

#include <stdlib.h>

#include "harness.h"

/* As printed in clock.h: at most this much backwards. */
#define BACKWARD_NS 1000

START_TEST(test_identity)
{
	struct clock_calibration c = { .base_ticks = 5, .base_ns = 7, .shift = 3 };

	ck_assert_uint_eq(clock_ticks_to_ns(&c, 0), 0);
	ck_assert_uint_eq(clock_ticks_to_ns(&c, UINT64_MAX), UINT64_MAX);

	/* Nothing to update either. */
	clock_calibrate_update(&c, 1, 1);
	clock_calibrate_step(&c, 1, 1, 2000000000, 2000000000);
	ck_assert_uint_eq(c.base_ticks, 5);
	ck_assert_uint_eq(c.base_ns, 7);
	ck_assert_uint_eq(c.mult, 0);
}
END_TEST

/* 2.5 ticks per ns, around the base, backwards too. */
START_TEST(test_conversion)
{
	struct clock_calibration c = { .base_ticks = 1000000, .base_ns = 5000000, .shift = 40,
				       .mult = (1ull << 40) * 2 / 5 };

	ck_assert_uint_eq(clock_ticks_to_ns(&c, 1000000), 5000000);
	ck_assert_uint_eq(clock_ticks_to_ns(&c, 1000000 + 2500 + 1), 5001000);
	ck_assert_uint_eq(clock_ticks_to_ns(&c, 1000000 - 2500), 4999000);
	ck_assert_uint_eq(clock_ticks_to_ns(&c, 0), 4600000);

	/* A year of ticks does not overflow, and loses less than a microsecond a day. */
	const uint64_t year_ns = 365ull * 86400 * 1000000000;
	uint64_t converted = clock_ticks_to_ns(&c, 1000000 + year_ns / 2 * 5);

	ck_assert_uint_le(converted, 5000000 + year_ns);
	ck_assert_uint_ge(converted + 365000, 5000000 + year_ns);
}
END_TEST

/* The counter may wrap. */
START_TEST(test_conversion_wraps)
{
	struct clock_calibration c = { .base_ticks = UINT64_MAX - 9, .base_ns = 1000, .mult = 2, .shift = 0 };

	ck_assert_uint_eq(clock_ticks_to_ns(&c, 10), 1040);
	ck_assert_uint_eq(clock_ticks_to_ns(&c, UINT64_MAX - 19), 980);
}
END_TEST

/* Any ticks that a hostile publisher can write, the largest numbers a calibration can hold: UBSan looks. */
START_TEST(test_conversion_extremes)
{
	static const uint64_t v[] = { 0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX };
	const size_t n = sizeof(v) / sizeof(v[0]);
	volatile uint64_t sink;

	for (size_t i = 0; i < n * n * n * n; i++) {
		struct clock_calibration c = { .base_ticks = v[i % n], .base_ns = v[i / n % n],
					       .mult = v[i / n / n % n] };

		for (c.shift = 0; c.shift < 64; c.shift += 21)
			sink = clock_ticks_to_ns(&c, v[i / n / n / n]);
		(void)sink;
	}
}
END_TEST

START_TEST(test_sample)
{
	uint64_t ticks[2], ns[2], before = clock_now_ns();

	clock_sample(&ticks[0], &ns[0]);
	clock_sample(&ticks[1], &ns[1]);
	ck_assert_uint_ge(ns[0], before);
	ck_assert_uint_ge(ns[1], ns[0]);
	ck_assert_uint_le(ns[1], clock_now_ns());
	if (clock_has_ticks())
		ck_assert_int_ge((int64_t)(ticks[1] - ticks[0]), 0);
}
END_TEST

/* How far conversion and clock are apart, by the best of some samples: one may have been torn in all its tries. */
static int64_t error_of(const struct clock_calibration *c)
{
	int64_t best = INT64_MAX;

	for (int i = 0; i < 10; i++) {
		uint64_t ticks, ns;
		int64_t error;

		clock_sample(&ticks, &ns);
		error = llabs((int64_t)(clock_ticks_to_ns(c, ticks) - ns));
		best = error < best ? error : best;
	}
	return best;
}

START_TEST(test_this_machine)
{
	struct clock_calibration c, first;

	if (!clock_has_ticks()) {
		clock_calibrate_init(&c);
		ck_assert_uint_eq(c.mult, 0);
		skip_test("no ticks on this machine");
	}

	clock_calibrate_init(&c);
	ck_assert_uint_ne(c.mult, 0);
	ck_assert_uint_lt(c.shift, 64);
	ck_assert_uint_eq(c.ahead_ns, 0);
	ck_assert_int_le(error_of(&c), 1000000);

	first = c;
	for (int i = 0; i < 5; i++) {
		struct clock_calibration old = c;
		uint64_t end = clock_now_ns() + 15000000, ticks;

		while (clock_now_ns() < end)
			wait_a_little(1000);
		clock_calibrate_update(&c, first.base_ticks, first.base_ns);
		ticks = clock_ticks();
		ck_assert_uint_ge(clock_ticks_to_ns(&c, ticks) + BACKWARD_NS, clock_ticks_to_ns(&old, old.base_ticks));
		ck_assert_int_le(error_of(&c), 1000000);
	}

	/* The rates agree to 1000 ppm. */
	ck_assert_uint_le(c.mult, first.mult + first.mult / 1000);
	ck_assert_uint_ge(c.mult, first.mult - first.mult / 1000);
}
END_TEST

/* Right after another update is too early to learn anything. */
START_TEST(test_early_update)
{
	struct clock_calibration c = { .base_ticks = 1000, .base_ns = 1000, .mult = 1ull << 40, .shift = 40 };
	struct clock_calibration before = c;

	clock_calibrate_step(&c, 1000, 1000, 1000, 1000);
	clock_calibrate_step(&c, 1000, 1000, 2000, 2100);
	clock_calibrate_step(&c, 1000, 1000, 900, 1100);
	ck_assert_mem_eq(&c, &before, sizeof(c));
}
END_TEST

/* --- simulated machines ------------------------------------------------------------------------------ */

/*
 * A counter of hz ticks per second and a clock that runs ppm faster than nominal. The true state is kept in
 * floating point; a sample of it is off by up to noise_ns.
 */
struct machine {
	long double ticks, ns;
	long double hz, ppm;
	int noise_ns;
	uint64_t random;
};

static int64_t noise(struct machine *m)
{
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	return m->noise_ns ? (int64_t)(m->random >> 33) % (2 * m->noise_ns + 1) - m->noise_ns : 0;
}

/* Let @seconds pass, of real time; the clock says a little more or less. */
static void run(struct machine *m, long double seconds)
{
	m->ticks += seconds * m->hz;
	m->ns += seconds * 1e9L * (1 + m->ppm / 1e6L);
}

static uint64_t ticks_of(const struct machine *m)
{
	return (uint64_t)m->ticks;
}

static int64_t error_on(const struct machine *m, const struct clock_calibration *c)
{
	return (int64_t)(clock_ticks_to_ns(c, ticks_of(m)) - (uint64_t)m->ns);
}

static struct clock_calibration calibrate(const struct machine *m, long double ppm_wrong)
{
	return (struct clock_calibration){
		.base_ticks = ticks_of(m),
		.base_ns = (uint64_t)m->ns,
		.mult = (uint64_t)((1 + ppm_wrong / 1e6L) * 1e9L / m->hz * (long double)(1ull << 40)),
		.shift = 40,
	};
}

/*
 * One update, and the promise that goes with it: for ticks since the previous update, nothing converted with the new
 * line lies more than a microsecond below what the old line made of earlier ticks. Both lines rise, so equal ticks
 * are the worst case before this moment, and the moment itself the worst after it.
 */
static void update(struct machine *m, struct clock_calibration *c, const struct clock_calibration *first, bool may_step)
{
	struct clock_calibration old = *c;
	uint64_t now = ticks_of(m);

	clock_calibrate_step(c, first->base_ticks, first->base_ns, now, (uint64_t)m->ns + (uint64_t)noise(m));
	if (may_step)
		return;
	for (uint64_t i = 0; i <= 64; i++) {
		uint64_t t = old.base_ticks + (now - old.base_ticks) / 64 * i;

		ck_assert_msg(clock_ticks_to_ns(c, t) + BACKWARD_NS >= clock_ticks_to_ns(&old, t),
			      "%lld ns back at %llu/64",
			      (long long)(clock_ticks_to_ns(&old, t) - clock_ticks_to_ns(c, t)),
			      (unsigned long long)i);
	}
	ck_assert_uint_ge(clock_ticks_to_ns(c, now) + BACKWARD_NS, clock_ticks_to_ns(&old, now));
}

static const long double rates[] = { 24e6L, 1e9L, 2.445e9L, 5.2e9L };
#define N_RATES (sizeof(rates) / sizeof(rates[0]))

static struct machine machine_of(size_t i)
{
	return (struct machine){ .ticks = 1e15L, .ns = 3e13L, .hz = rates[i], .noise_ns = 40, .random = i };
}

/* A first rate that is off either way is soon right, and the error small. */
START_TEST(test_converges)
{
	static const long double wrong[] = { -900, -50, 0, 50, 900 };

	for (size_t i = 0; i < N_RATES * 5; i++) {
		struct machine m = machine_of(i % N_RATES);
		struct clock_calibration c = calibrate(&m, wrong[i / N_RATES]), first = c;

		for (int n = 0; n < 100; n++) {
			run(&m, 0.3L);
			update(&m, &c, &first, false);
			ck_assert_int_le(llabs(error_on(&m, &c)), 400000);
		}
		ck_assert_int_le(llabs(error_on(&m, &c)), 1100);

		/* And stays so when nobody updates for a minute: the rate is right to a part in a million. */
		run(&m, 60);
		ck_assert_int_le(llabs(error_on(&m, &c)), 60000 + 1100);
	}
}
END_TEST

/* NTP bends the clock to and fro, by its 500 ppm. */
START_TEST(test_slewed_clock)
{
	for (size_t i = 0; i < N_RATES; i++) {
		struct machine m = machine_of(i);
		struct clock_calibration c = calibrate(&m, 3), first = c;

		for (int n = 0; n < 2000; n++) {
			m.ppm = n / 37 % 3 == 0 ? 500 : n / 37 % 3 == 1 ? -500 : 0;
			run(&m, 0.01L + 0.1L * (n % 7));
			update(&m, &c, &first, false);
			ck_assert_int_le(llabs(error_on(&m, &c)), 2000000);
		}
	}
}
END_TEST

/* The router is stopped, a debugger looks at it: the next update comes after an hour. */
START_TEST(test_stalled_router)
{
	for (size_t i = 0; i < N_RATES; i++) {
		struct machine m = machine_of(i);
		struct clock_calibration c = calibrate(&m, 20), first = c;
		int64_t ahead;

		run(&m, 3600);
		ahead = error_on(&m, &c);
		ck_assert_int_gt(ahead, 50000000);
		update(&m, &c, &first, false);
		ck_assert_int_ge(error_on(&m, &c), ahead - BACKWARD_NS);

		/* The debt of 72 ms is paid off without a step back, in under ten minutes. */
		for (int n = 0; n < 2000; n++) {
			run(&m, 0.3L);
			update(&m, &c, &first, false);
		}
		ck_assert_int_le(llabs(error_on(&m, &c)), 2000);
	}
}
END_TEST

/* The VM is paused, counter and clock stand still together or go on together: no interval at all, or a long one. */
START_TEST(test_paused_vm)
{
	for (size_t i = 0; i < N_RATES; i++) {
		struct machine m = machine_of(i);
		struct clock_calibration c = calibrate(&m, 1), first = c;

		for (int n = 0; n < 200; n++) {
			run(&m, n % 20 == 10 ? 7200 : n % 20 == 15 ? 1e-6L : 0.3L);
			update(&m, &c, &first, false);
			ck_assert_int_le(llabs(error_on(&m, &c)), n < 40 ? 20000000 : 200000);
		}
	}
}
END_TEST

/* Suspend: the counter runs on while the clock stands still, or begins again at zero. */
START_TEST(test_suspend)
{
	for (size_t i = 0; i < N_RATES; i++) {
		for (int resets = 0; resets < 2; resets++) {
			struct machine m = machine_of(i);
			struct clock_calibration c = calibrate(&m, 10), first = c;

			for (int n = 0; n < 200; n++) {
				bool suspended = n % 50 == 20;

				run(&m, 0.3L);
				if (suspended)
					m.ticks = resets ? 1e6L : m.ticks + 8 * 3600 * m.hz;
				update(&m, &c, &first, suspended);
				ck_assert_int_le(llabs(error_on(&m, &c)), 30000);
			}
			/* The first sample is worthless since; the rate was learned all the same. */
			run(&m, 10);
			ck_assert_int_le(llabs(error_on(&m, &c)), 20000);
		}
	}
}
END_TEST

/* A part of a second is lost, too little for a step: no step back, and the rate does not go astray. */
START_TEST(test_short_gap)
{
	for (size_t i = 0; i < N_RATES; i++) {
		struct machine m = machine_of(i);
		struct clock_calibration c = calibrate(&m, 0), first = c;

		for (int n = 0; n < 3000; n++) {
			run(&m, 0.3L);
			if (n == 50)
				m.ticks += 0.08L * m.hz;	/* conversion now ahead of the clock */
			if (n == 2000)
				m.ns += 0.08e9L;		/* behind: caught up at once */
			update(&m, &c, &first, false);
			ck_assert_int_le(llabs(error_on(&m, &c)), 81000000);

			/* The gap is not taken for a rate. The debt is paid by 500 ppm, and no faster. */
			long double off_ppm = ((long double)c.mult / (long double)first.mult - 1) * 1e6L;

			ck_assert(off_ppm > -560 && off_ppm < 60);
			if (n >= 50 && n < 100)
				ck_assert(off_ppm < -490);
			if (n > 2010)
				ck_assert_int_le(llabs(error_on(&m, &c)), 1100);
		}
	}
}
END_TEST

/* A first rate that is wrong beyond reason, measured while the VM moved: it gets right too, within minutes. */
START_TEST(test_wrong_first_rate)
{
	for (size_t i = 0; i < N_RATES * 2; i++) {
		struct machine m = machine_of(i % N_RATES);
		struct clock_calibration c = calibrate(&m, i < N_RATES ? 10000 : -10000), first = c;

		for (int n = 0; n < 1000; n++) {
			run(&m, 0.3L);
			update(&m, &c, &first, llabs(error_on(&m, &c)) > CLOCK_STEP_NS);
		}
		ck_assert_int_le(llabs(error_on(&m, &c)), 2000);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("clock");
	TCase *tcase = add_test_case(suite, "clock", 30);

	tcase_add_test(tcase, test_identity);
	tcase_add_test(tcase, test_conversion);
	tcase_add_test(tcase, test_conversion_wraps);
	tcase_add_test(tcase, test_conversion_extremes);
	tcase_add_test(tcase, test_sample);
	tcase_add_test(tcase, test_this_machine);
	tcase_add_test(tcase, test_early_update);
	tcase_add_test(tcase, test_converges);
	tcase_add_test(tcase, test_slewed_clock);
	tcase_add_test(tcase, test_stalled_router);
	tcase_add_test(tcase, test_paused_vm);
	tcase_add_test(tcase, test_suspend);
	tcase_add_test(tcase, test_short_gap);
	tcase_add_test(tcase, test_wrong_first_rate);
	return run_suite(suite);
}
