/* SPDX-License-Identifier: MIT */
/*
 * refusal.h - the positive lane of the router's errors
 *
 * Every function that judges what a peer asked for returns 0 (done), a negative errno value (the
 * router itself failed: it climbs to main), or one of the two positive values below, with the
 * reason in a struct refusal whose text goes to the peer as it is. The direct caller settles it: a
 * peer never takes the router down.
 */
#ifndef ZCP_ROUTER_REFUSAL_H
#define ZCP_ROUTER_REFUSAL_H

#include <stddef.h>

#include "common/wire.h"

enum {
	REFUSED = 1,	/* well-formed but not possible: the request fails, the connection stays */
	VIOLATION = 2,	/* the peer broke the protocol: it hears why and is disconnected */
};

struct refusal {
	int error;			/* negative errno value, as it travels in WIRE_ERROR */
	char text[WIRE_TEXT_BYTES];
};

/* Fill @refusal; @error is a negative errno value. Returns REFUSED, or VIOLATION. */
int refuse(struct refusal *refusal, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
int violate(struct refusal *refusal, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Copy @name, at most @text_bytes - 1 bytes of it, to @text; a UTF-8 character that would be cut is
 * left out. Returns @text.
 */
const char *refusal_clip(char *text, size_t text_bytes, const char *name);

#endif
