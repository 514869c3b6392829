/* SPDX-License-Identifier: MIT */
/*
 * telemetry.h - what telemetry publishes and telemetry-view prints
 *
 * Both ends open with the same struct zcp_type; the router refuses to connect programs that disagree about it.
 * A struct that goes through shared memory has no pointers and no padding that differs between builds.
 */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <stdalign.h>
#include <stdint.h>
#include <zcp/zcp.h>

struct telemetry {
	double load1, load5, load15;		/* /proc/loadavg */
	double cpu_busy;			/* share of all CPUs' time since the last sample, 0..1 */
	uint64_t memory_total, memory_available;	/* bytes, /proc/meminfo */
	uint64_t context_switches;		/* since boot, /proc/stat */
	uint32_t running, blocked;		/* processes, /proc/stat */
};

static const struct zcp_topic telemetry_topic = { "telemetry", "host", "sample" };
static const struct zcp_type telemetry_type = { "telemetry", sizeof(struct telemetry), alignof(struct telemetry) };

#endif
