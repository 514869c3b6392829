/* SPDX-License-Identifier: MIT */
/*
 * writer-check.h - is everything a writer owns where it should be, exactly once?
 */
#ifndef ZCP_TESTS_WRITER_CHECK_H
#define ZCP_TESTS_WRITER_CHECK_H

#include "channel/writer.h"

/*
 * Walk @writer between two calls: each chunk is free, in the ring, in limbo or on loan; counters agree with what they
 * count; the header says what the writer believes. NULL, or a sentence (static) about the first thing that is wrong.
 */
const char *channel_writer_check(const struct channel_writer *writer);

#endif
