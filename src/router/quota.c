/* SPDX-License-Identifier: MIT */
/* See quota.h. */

#include "router/quota.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/probe.h"

struct quota_user *quota_get(struct quota *quota, uid_t uid)
{
	struct quota_user *user;

	HASH_FIND(hh, quota->users, &uid, sizeof(uid), user);
	if (user)
		return quota_ref(user);

	user = calloc(1, sizeof(*user));
	if (!user)
		return NULL;
	user->uid = uid;
	user->quota = quota;
	user->refs = 1;
	HASH_ADD(hh, quota->users, uid, sizeof(user->uid), user);
	if (!table_added(user)) {
		free(user);
		return NULL;
	}
	return user;
}

struct quota_user *quota_ref(struct quota_user *user)
{
	user->refs++;
	return user;
}

struct quota_user *quota_put(struct quota_user *user)
{
	if (!user || --user->refs)
		return NULL;
	for (int kind = 0; kind < QUOTA_KINDS; kind++)
		assert(!user->used[kind]);
	HASH_DEL(user->quota->users, user);
	free(user);
	return NULL;
}

static int over(const struct quota_user *user, enum quota_kind kind, struct refusal *refusal)
{
	unsigned long long limit = user->quota->limits[kind];

	switch (kind) {
	case QUOTA_CONNECTIONS:
		return refuse(refusal, -EDQUOT, "uid %u has %llu connections to the router already: close some, or start "
			      "zcp-router with a larger --max-nodes-per-uid", user->uid, limit);
	case QUOTA_NODES:
		return refuse(refusal, -EDQUOT, "uid %u has %llu nodes already: close some, or start zcp-router with a "
			      "larger --max-nodes-per-uid", user->uid, limit);
	case QUOTA_ENDPOINTS:
		return refuse(refusal, -EDQUOT, "uid %u has %llu endpoints already: close some, or start zcp-router with a larger "
			      "--max-endpoints-per-uid", user->uid, limit);
	case QUOTA_MATCHES:
	case QUOTA_CLAIMS:
		return refuse(refusal, -EDQUOT, "uid %u would have more than %llu connections between endpoints: close some "
			      "endpoints, or start zcp-router with a larger --max-matches-per-uid", user->uid, limit);
	case QUOTA_BYTES:
		return refuse(refusal, -EDQUOT, "uid %u would have more than %llu bytes of segments: use smaller depths or "
			      "payloads, or start zcp-router with a larger --max-bytes-per-uid", user->uid, limit);
	case QUOTA_SENDS:
		return refuse(refusal, -EDQUOT, "uid %u has %llu messages under way to the router already: wait for some, or open publishers",
			      user->uid, limit);
	default:
		return refuse(refusal, -EDQUOT, "uid %u would have more than %llu descriptors open in the router: close some "
			      "endpoints, or start zcp-router with a larger --max-fds-per-uid or RLIMIT_NOFILE (LimitNOFILE= of its unit)",
			      user->uid, limit);
	}
}

static const char *name_of(enum quota_kind kind)
{
	static const char *const names[QUOTA_KINDS] = {
		[QUOTA_CONNECTIONS] = "connections", [QUOTA_NODES] = "nodes", [QUOTA_ENDPOINTS] = "endpoints", [QUOTA_MATCHES] = "matches",
		[QUOTA_CLAIMS] = "matches", [QUOTA_BYTES] = "bytes", [QUOTA_SENDS] = "sends", [QUOTA_FDS] = "fds",
	};

	return names[kind];
}

int quota_check(const struct quota_user *user, enum quota_kind kind, uint64_t amount, struct refusal *refusal)
{
	if (user->used[kind] > user->quota->limits[kind] || amount > user->quota->limits[kind] - user->used[kind]) {
		PROBE(zcp_router, quota, (uint64_t)user->uid, name_of(kind), user->quota->limits[kind], user->used[kind] + amount);
		return over(user, kind, refusal);
	}
	return 0;
}

int quota_charge(struct quota_user *user, enum quota_kind kind, uint64_t amount, struct refusal *refusal)
{
	int r = quota_check(user, kind, amount, refusal);

	if (!r)
		user->used[kind] += amount;
	return r;
}

void quota_release(struct quota_user *user, enum quota_kind kind, uint64_t amount)
{
	assert(user->used[kind] >= amount);
	user->used[kind] -= amount;
}
