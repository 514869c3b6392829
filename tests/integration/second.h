/* SPDX-License-Identifier: MIT */
/* second.h - see second-implementation.c */
#ifndef SECOND_H
#define SECOND_H

#include "second-node.h"

#define HELD_MOST 8u

extern struct node node;
extern uint32_t size;		/* of each message */
extern uint64_t count;		/* of messages */
extern bool lossy, late;
extern uint32_t held;

/* Byte @i of a message. */
unsigned char content(uint64_t message, uint32_t i);

/* Largest payload inside a slot. */
uint32_t inline_max(const struct geometry *g);

/* Everything that follows from the counts. */
void lay_out(struct geometry *g);

void run_publisher(const char *topic);
void run_subscriber(const char *topic);

#endif
