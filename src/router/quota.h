/* SPDX-License-Identifier: MIT */
/*
 * quota.h - what each user may take from the router
 *
 * The actor that is accounted is the uid the kernel reports for a connection, as in dbus-broker: a
 * process can be started as often as one likes, a uid cannot. Each resource is a counter with a
 * limit; charge before you create, release when the last trace is gone. Sums cannot overflow: a
 * charge compares with what is left. What a single node may have is a part of that and counted in
 * the node itself (registry.c).
 */
#ifndef ZCP_ROUTER_QUOTA_H
#define ZCP_ROUTER_QUOTA_H

#include <stdint.h>
#include <sys/types.h>

#include "router/refusal.h"
#include "router/table.h"

enum quota_kind {
	QUOTA_CONNECTIONS,	/* sockets, whether they said hello or not */
	QUOTA_NODES,
	QUOTA_ENDPOINTS,
	QUOTA_MATCHES,		/* that one of the user's endpoints is an end of */
	QUOTA_CLAIMS,		/* of matches of an earlier router, that the user's endpoints make (claim.h) */
	QUOTA_BYTES,		/* virtual size of segments */
	QUOTA_FDS,		/* descriptors the router keeps open for this user */
	QUOTA_SENDS,		/* messages that are on their way to the relay (send.h) */
	QUOTA_KINDS,
};

struct quota {
	uint64_t limits[QUOTA_KINDS];
	struct quota_user *users;
};

struct quota_user {
	uid_t uid;
	unsigned int refs;
	struct quota *quota;
	uint64_t used[QUOTA_KINDS];
	UT_hash_handle hh;
};

/*
 * A new reference on the account of @uid, NULL: out of memory. Dropped by quota_put(), which
 * returns NULL.
 */
struct quota_user *quota_get(struct quota *quota, uid_t uid);
struct quota_user *quota_ref(struct quota_user *user);
struct quota_user *quota_put(struct quota_user *user);

/* 0, or REFUSED (-EDQUOT) with a text that names user, limit and cure. */
int quota_charge(struct quota_user *user, enum quota_kind kind, uint64_t amount, struct refusal *refusal);
/* The same question without taking anything. */
int quota_check(const struct quota_user *user, enum quota_kind kind, uint64_t amount, struct refusal *refusal);
void quota_release(struct quota_user *user, enum quota_kind kind, uint64_t amount);

#endif
