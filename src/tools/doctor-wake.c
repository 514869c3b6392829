/* SPDX-License-Identifier: MIT */
/*
 * doctor-wake.c - how long waking a thread takes on this machine
 *
 * The quick look of a doctor; zcp bench wake measures it properly, with processes, and zcp in it.
 *
 * The thread sleeps in a read of one eventfd and looks at the clock when it runs; the answer goes back by another one, for which
 * this side sleeps too, so that the two never run at the same time. Nothing of it can hang: each reads from a descriptor the
 * other one writes to in any case, and a round that went wrong ends both.
 */
#include "tools/doctor-wake.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

#define ROUNDS 101
#define PAUSE_NS 2000000	/* longer than the idle governors wait before they choose a deep state */

struct wake {
	int go, done;			/* eventfds */
	uint64_t woken_ns;		/* of the thread; `done` orders it */
};

static void ring(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

static void await(int fd)
{
	uint64_t value;
	ssize_t n;

	do {
		n = read(fd, &value, sizeof(value));
	} while (n < 0 && errno == EINTR);
}

static void *sleeper(void *argument)
{
	struct wake *w = argument;

	for (int i = 0; i < ROUNDS; i++) {
		await(w->go);
		w->woken_ns = clock_now_ns();
		ring(w->done);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int median(uint64_t *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2] < INT32_MAX ? (int)values[ROUNDS / 2] : INT32_MAX;
}

int doctor_wake(void)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	_cleanup_fd_ int go = eventfd(0, EFD_CLOEXEC), done = eventfd(0, EFD_CLOEXEC);
	struct wake w = { .go = go, .done = done };
	uint64_t took_ns[ROUNDS];
	pthread_t thread;
	int r;

	if (go < 0 || done < 0)
		return -errno;
	r = pthread_create(&thread, NULL, sleeper, &w);
	if (r)
		return -r;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start;

		nanosleep(&pause, NULL);
		start = clock_now_ns();
		ring(go);
		await(done);
		took_ns[i] = w.woken_ns > start ? w.woken_ns - start : 0;
	}
	pthread_join(thread, NULL);
	return median(took_ns);
}
