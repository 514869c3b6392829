/* SPDX-License-Identifier: MIT */
#ifndef ZCP_TOOLS_DOCTOR_WAKE_H
#define ZCP_TOOLS_DOCTOR_WAKE_H

/*
 * How long it takes from writing to an eventfd until a thread that slept in a read of it runs, in ns: the median of some wake-ups with
 * a pause before each, so that the thread's core has gone idle. Takes about a quarter of a second. Or a negative errno value.
 */
int doctor_wake(void);

#endif
