/* SPDX-License-Identifier: MIT */
/*
 * dispatch.h - checks that a newcomer and one who comes back have in common (dispatch.c, rejoin.c)
 *
 * Each returns 0, REFUSED or VIOLATION.
 */
#ifndef ZCP_ROUTER_DISPATCH_H
#define ZCP_ROUTER_DISPATCH_H

#include "router/registry.h"
#include "router/router.h"

/* A message that begins a conversation has a request number. */
int dispatch_need_request(const struct wire_header *header, const char *what, struct refusal *refusal);

/* The name in a field of WIRE_NAME_BYTES; @what it is the name of. */
int dispatch_check_name(const char *what, const char *field, struct refusal *refusal);

/* What an endpoint says of itself, but for who else is on its topic. *bytes: the size of its segment. */
int dispatch_check_open(const struct wire_endpoint_open *open, uint64_t *bytes, struct refusal *refusal);

/* @node is admitted: answer its HELLO or REJOIN. */
void dispatch_welcome(struct peer *peer, struct node *node, uint32_t request);

/* Messages of a node that comes back (rejoin.c). Descriptors that are kept are taken out of @fds. */
int rejoin_node(struct peer *peer, const struct wire_rejoin *rejoin, const int fds[WIRE_FDS_MAX], struct refusal *refusal);
int rejoin_endpoint(struct peer *peer, const struct wire_endpoint_resume *resume, int fds[WIRE_FDS_MAX], struct refusal *refusal);
int rejoin_match(struct peer *peer, const struct wire_match_resume *resume, struct refusal *refusal);
int rejoin_end(struct peer *peer, struct refusal *refusal);
#endif
