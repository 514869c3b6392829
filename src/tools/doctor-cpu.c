/* SPDX-License-Identifier: MIT */
/*
 * doctor-cpu.c - what the processors do to latency
 *
 * Messages between processes that look for them cost what a cache line costs. What makes a message slow is sleep: of the process, of
 * the core that it slept on, and of the core's clock. How long a wake-up takes here is measured (doctor-wake.c); the
 * other checks are the reasons for it that can be changed.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/doctor.h"
#include "tools/doctor-wake.h"

#define SLOW_WAKE_NS 100000
#define DEEP_STATE_US 50u
#define MAX_CPUS 4096
#define MAX_STATES 16

/* ---- clock ------------------------------------------------------------------------------------------------------- */

static int try_ticks(void)
{
	return clock_has_ticks();
}

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/"

static void check_clock(const struct doctor *doctor, struct finding *f)
{
	char source[64], available[256];

	(void)doctor;
	fact_text(source, sizeof(source), CLOCKSOURCE "current_clocksource");
	fact_text(available, sizeof(available), CLOCKSOURCE "available_clocksource");
	if (!*source)
		strcpy(source, "unknown");
	if (fact_try("ticks", try_ticks)) {
		doctor_say(f, DOCTOR_OK, "timestamps are raw ticks of an invariant counter (%s)", source);
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "the clock source is %s: each timestamp costs a clock_gettime()", source);
	if (strstr(available, "tsc") && strcmp(source, "tsc") != 0)
		doctor_cure(f, "echo tsc > " CLOCKSOURCE "current_clocksource, if dmesg does not call it unstable");
	else if (!strcmp(source, "tsc"))
		doctor_cure(f, "let the hypervisor or sandbox show an invariant TSC (qemu: -cpu host,+invtsc), or publish with no_timestamps");
	else
		doctor_cure(f, "boot with tsc=reliable if the machine's TSC is known to be good, or publish with no_timestamps");
}

/* ---- how many ---------------------------------------------------------------------------------------------------- */

static int count_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* The smallest share that our control groups leave us, in hundredths of a cpu; 0: no limit. */
static uint64_t cpu_quota(void)
{
	char path[FACT_CGROUP_BYTES], text[64];
	uint64_t quota, period, smallest = 0;
	bool v2, more;

	for (more = fact_cgroup(path, "cpu", &v2); more; more = fact_cgroup_up(path)) {
		if (v2) {
			if (fact_text(text, sizeof(text), "%s/cpu.max", path) < 0 ||
			    sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2)
				continue;	/* "max 100000" */
		} else {
			if (fact_text(text, sizeof(text), "%s/cpu.cfs_quota_us", path) < 0 || *text == '-' ||
			    fact_number(&quota, "%s/cpu.cfs_quota_us", path) < 0 ||
			    fact_number(&period, "%s/cpu.cfs_period_us", path) < 0)
				continue;
		}
		if (period && quota < UINT64_MAX / 100 && (!smallest || quota * 100 / period < smallest))
			smallest = quota * 100 / period;
	}
	return smallest;
}

static void check_count(const struct doctor *doctor, struct finding *f)
{
	int n = fact_try("cpus", count_cpus);
	uint64_t quota = cpu_quota();

	(void)doctor;
	if (n == 1) {
		doctor_say(f, DOCTOR_SLOW, "only 1 for this process: two processes never run at the same time, each message is a switch");
		doctor_cure(f, "give it a second one (taskset, AllowedCPUs= of the unit)");
	} else if (quota && quota < 100 * (uint64_t)n) {
		doctor_say(f, DOCTOR_SLOW, "%d, of which the control group may use %" PRIu64 ".%02" PRIu64
			   ": what uses more stands still for the rest of the period", n, quota / 100, quota % 100);
		doctor_cure(f, "lift CPUQuota= of the unit (docker run --cpus), or pin with AllowedCPUs= (--cpuset-cpus) instead");
	} else {
		doctor_say(f, DOCTOR_OK, "%d for this process", n);
	}
}

static void check_isolated(const struct doctor *doctor, struct finding *f)
{
	char isolated[128];

	(void)doctor;
	if (fact_text(isolated, sizeof(isolated), "/sys/devices/system/cpu/isolated") < 0)
		return;
	if (*isolated)
		doctor_say(f, DOCTOR_INFO, "%s: only what is pinned there runs there (taskset -c)", isolated);
	else
		doctor_say(f, DOCTOR_INFO, "none: nothing keeps other work off the processors of a pinned process (isolcpus=)");
}

/* ---- sleep ------------------------------------------------------------------------------------------------------- */

struct idle_state {
	char name[32];
	uint64_t latency_us;
};

/* The deepest one that is not switched off. False: the kernel knows none (a virtual machine, most likely). */
static bool deepest_state(struct idle_state *deepest, unsigned int *deepest_index)
{
	bool found = false;

	*deepest = (struct idle_state){ .name = "" };
	for (unsigned int i = 0; i < MAX_STATES; i++) {
		struct idle_state s;
		uint64_t disabled = 0;

		if (fact_number(&s.latency_us, "/sys/devices/system/cpu/cpu0/cpuidle/state%u/latency", i) < 0)
			break;
		fact_text(s.name, sizeof(s.name), "/sys/devices/system/cpu/cpu0/cpuidle/state%u/name", i);
		fact_number(&disabled, "/sys/devices/system/cpu/cpu0/cpuidle/state%u/disable", i);
		if (!disabled && (!found || s.latency_us >= deepest->latency_us)) {
			*deepest = s;
			*deepest_index = i;
			found = true;
		}
	}
	return found;
}

static void check_idle(const struct doctor *doctor, struct finding *f)
{
	struct idle_state state;
	unsigned int index = 0;

	(void)doctor;
	if (!deepest_state(&state, &index)) {
		doctor_say(f, DOCTOR_INFO, "the kernel governs none: the hypervisor or the firmware puts idle cores to sleep");
	} else if (state.latency_us <= DEEP_STATE_US) {
		doctor_say(f, DOCTOR_OK, "%s is the deepest, %" PRIu64 " us to leave", state.name, state.latency_us);
	} else {
		doctor_say(f, DOCTOR_SLOW, "%s takes %" PRIu64 " us to leave, which a message to an idle core pays for", state.name,
			   state.latency_us);
		doctor_cure(f, "cpupower idle-set -D %u, or hold /dev/cpu_dma_latency open while it matters", DEEP_STATE_US);
	}
}

static bool is_busy(int n_cpus)
{
	char text[64];

	return fact_text(text, sizeof(text), "/proc/loadavg") == 0 && strtod(text, NULL) > n_cpus;
}

static void check_wake(const struct doctor *doctor, struct finding *f)
{
	int ns = fact_try("wake", doctor_wake);
	struct idle_state state;
	unsigned int index = 0;

	(void)doctor;
	if (ns < 0) {
		doctor_say(f, DOCTOR_INFO, "cannot be measured: %s", strerror(-ns));
		return;
	}
	if (ns <= SLOW_WAKE_NS) {
		doctor_say(f, DOCTOR_OK, "%.1f us from eventfd to a thread that slept on an idle core (median, measured now)", ns / 1e3);
		return;
	}
	if (is_busy(count_cpus())) {
		doctor_say(f, DOCTOR_INFO, "%.1f us from eventfd to a thread that slept, but the machine is busy", ns / 1e3);
		doctor_cure(f, "look again when less runs on it");
		return;
	}
	doctor_say(f, DOCTOR_SLOW, "%.1f us from eventfd to a thread that slept on an idle core (median, measured now)", ns / 1e3);
	if (deepest_state(&state, &index) && state.latency_us > DEEP_STATE_US)
		doctor_cure(f, "keep cores out of deep idle states, see above; or spin before sleeping: spin_ns of zcp_waitset_open(3)");
	else
		doctor_cure(f, "spin before sleeping: spin_ns of zcp_waitset_open(3); in a virtual machine also haltpoll or idle=poll");
}

/* ---- frequency --------------------------------------------------------------------------------------------------- */

static bool is_slow_governor(const char *governor, const char *driver)
{
	/* intel_pstate and amd-pstate call "powersave" what raises the frequency with the load */
	if (!strcmp(governor, "powersave"))
		return strncmp(driver, "intel_pstate", 12) != 0 && strncmp(driver, "amd-pstate-epp", 14) != 0;
	return !strcmp(governor, "conservative") || !strcmp(governor, "ondemand");
}

static void check_frequency(const struct doctor *doctor, struct finding *f)
{
	char governor[32], driver[32], slow[32] = "", quick[32] = "";
	int n = 0, n_slow = 0;

	(void)doctor;
	for (int i = 0; i < MAX_CPUS && i < sysconf(_SC_NPROCESSORS_CONF); i++) {
		if (fact_text(governor, sizeof(governor), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", i) < 0)
			continue;
		fact_text(driver, sizeof(driver), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_driver", i);
		n++;
		n_slow += is_slow_governor(governor, driver);
		strcpy(is_slow_governor(governor, driver) ? slow : quick, governor);
	}
	if (!n) {
		doctor_say(f, DOCTOR_INFO, "not governed by this kernel");
	} else if (n_slow) {
		doctor_say(f, DOCTOR_SLOW, "the governor of %d of %d processors is %s: after a pause they are slow", n_slow, n, slow);
		doctor_cure(f, "cpupower frequency-set -g performance");
	} else {
		doctor_say(f, DOCTOR_OK, "the governor is %s", quick);
	}
}

static const struct check checks[] = {
	{ "processors", check_count },
	{ "clock", check_clock },
	{ "frequency", check_frequency },
	{ "idle states", check_idle },
	{ "wake-up", check_wake },
	{ "isolated", check_isolated },
};

const struct check_group doctor_cpu = { "processor", checks, sizeof(checks) / sizeof(*checks) };
