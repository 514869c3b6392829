/* SPDX-License-Identifier: MIT */
/* probe.c - the semaphores of the router's probes */
#include "common/probe.h"

PROBE_SEMAPHORE(zcp_router, join);
PROBE_SEMAPHORE(zcp_router, refuse);
PROBE_SEMAPHORE(zcp_router, retire);
PROBE_SEMAPHORE(zcp_router, quota);
PROBE_SEMAPHORE(zcp_router, resume);
