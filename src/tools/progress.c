/* SPDX-License-Identifier: MIT */
/*
 * progress.c - see progress.h
 */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

static int terminal_columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* Over what was drawn before. */
static void overwrite(struct progress *progress, const char *text)
{
	int columns = terminal_columns() - 1, n = (int)strlen(text), before = progress->drawn < columns ? progress->drawn : columns;

	n = n < columns ? n : columns;
	fprintf(stderr, "\r%.*s%*s%s", n, text, before > n ? before - n : 0, "", n ? "" : "\r");
	fflush(stderr);
	progress->drawn = n;
}

static void draw(struct progress *progress, uint64_t messages, uint64_t bytes, uint64_t bytes_since,
		 uint64_t ns)
{
	char total[TEXT_NUMBER], rate[TEXT_NUMBER], lost[48] = "", text[192];
	double per_second = ns ? (double)bytes_since * 1e9 / (double)ns : 0;

	if (progress->lost)
		snprintf(lost, sizeof(lost), ", %" PRIu64 " lost", progress->lost);
	snprintf(text, sizeof(text), "%" PRIu64 " message%s%s, %s, %s/s", messages, messages == 1 ? "" : "s", lost,
		 text_bytes(bytes, total), text_bytes((uint64_t)per_second, rate));
	overwrite(progress, text);
}

bool progress_is_due(const struct progress *progress)
{
	return progress->on && clock_now_ns() >= progress->next_ns;
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
	progress->drawn = 0;
}

void progress_clear(struct progress *progress)
{
	if (!progress->drawn)
		return;
	overwrite(progress, "");
}
