/* SPDX-License-Identifier: MIT */
/*
 * calls.h - survivors that ask and answer
 *
 * A server and a client of a topic of their own, in a node with a thread, so that whoever joins is connected while this
 * process only traces. The server is load_balanced: a victim is a second server, or a second client. What the client asks
 * is a number and the response to it the same one, so that an answer to another question is found. Every request ends once:
 * answered, or with -EPIPE or -ENODATA where it was a victim's to answer.
 */
#ifndef ZCP_TESTS_CALLS_H
#define ZCP_TESTS_CALLS_H

#include "world.h"

#define N_ASKED 4	/* by calls_ask(): two for each of two servers */

extern zcp_node *callers;

zcp_server *open_server(zcp_node *node, const struct zcp_topic *topic);
zcp_client *open_client(zcp_node *node, const struct zcp_topic *topic);

void calls_open(void);
void calls_close(void);
void calls_before(void);
void calls_after(void);

/* Nobody but the two is there, and nothing is under way. */
bool calls_are_alone(void);

/* The client asks N_ASKED questions of two servers. */
void calls_ask(void);

/* The server takes all that is there and answers: a victim twice. */
void calls_serve(void);

/* The server takes requests, keeps @n of them, and gives them back when the victim is dead. */
void calls_hold(uint32_t n);

/* The number in what was asked or answered; fails if it is not whole. */
uint64_t number_in(const void *data, size_t size);

#endif
