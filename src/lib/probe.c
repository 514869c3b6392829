/* SPDX-License-Identifier: MIT */
/*
 * probe.c - the semaphores of the library's probes
 *
 * Those of loan, publish, take and release are in the gates (fork.c).
 */
#include "common/probe.h"

PROBE_SEMAPHORE(zcp, loan_fail);
PROBE_SEMAPHORE(zcp, ring);
PROBE_SEMAPHORE(zcp, lost);
PROBE_SEMAPHORE(zcp, wait_begin);
PROBE_SEMAPHORE(zcp, wait_end);
PROBE_SEMAPHORE(zcp, attach);
PROBE_SEMAPHORE(zcp, detach);
PROBE_SEMAPHORE(zcp, request);
PROBE_SEMAPHORE(zcp, response);
PROBE_SEMAPHORE(zcp, notify);
