/* SPDX-License-Identifier: MIT */
/*
 * progress.c - see progress.h
 */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/text.h"

#define PROGRESS_PERIOD_NS 250000000u

void progress_init(struct progress *progress, bool wanted)
{
	*progress = (struct progress){ .on = wanted && isatty(STDERR_FILENO) };
	progress->start_ns = progress->last_ns = clock_now_ns();
	progress->next_ns = progress->start_ns + PROGRESS_PERIOD_NS;
}

static void draw(struct progress *progress, uint64_t messages, uint64_t bytes, uint64_t bytes_since,
		 uint64_t ns)
{
	char total[TEXT_NUMBER], rate[TEXT_NUMBER];
	double per_second = ns ? (double)bytes_since * 1e9 / (double)ns : 0;

	fprintf(stderr, "\r%" PRIu64 " message%s, %s, %s/s\033[K", messages, messages == 1 ? "" : "s",
		text_bytes(bytes, total), text_bytes((uint64_t)per_second, rate));
	fflush(stderr);
	progress->drawn = true;
}

void progress_update(struct progress *progress, uint64_t messages, uint64_t bytes)
{
	uint64_t now;

	if (!progress->on)
		return;
	now = clock_now_ns();
	if (now < progress->next_ns)
		return;
	draw(progress, messages, bytes, bytes - progress->last_bytes, now - progress->last_ns);
	progress->last_ns = now;
	progress->last_bytes = bytes;
	progress->next_ns = now + PROGRESS_PERIOD_NS;
}

void progress_finish(struct progress *progress, uint64_t messages, uint64_t bytes)
{
	if (!progress->on || !progress->drawn)
		return;
	draw(progress, messages, bytes, bytes, clock_now_ns() - progress->start_ns);
	fputc('\n', stderr);
	progress->drawn = false;
}

void progress_clear(struct progress *progress)
{
	if (!progress->drawn)
		return;
	fputs("\r\033[K", stderr);
	progress->drawn = false;
}
