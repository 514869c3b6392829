/* SPDX-License-Identifier: MIT */
/*
 * progress.h - one line on stderr that says how far long work has come; nothing where stderr is no terminal
 *
 * It is never longer than the terminal, as it could not be overwritten then, and takes no escape sequence.
 */
#ifndef ZCP_TOOLS_PROGRESS_H
#define ZCP_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	int drawn;		/* columns */
	uint64_t lost;		/* messages; shown if there are any */
	uint64_t start_ns, next_ns, last_ns, last_bytes;
};

/* Start the clock. @wanted false: never draw (another part of the command owns the terminal). */
void progress_init(struct progress *progress, bool wanted);

/* Whether the next update will draw: time to count what takes long to count. */
bool progress_is_due(const struct progress *progress);

/* Redraw if a quarter of a second has passed since the last time. */
void progress_update(struct progress *progress, uint64_t messages, uint64_t bytes);

/* Draw the totals and end the line, if anything was drawn. */
void progress_finish(struct progress *progress, uint64_t messages, uint64_t bytes);

/* Erase the line, so that a message can take its place. */
void progress_clear(struct progress *progress);

#endif
