/* SPDX-License-Identifier: MIT */
/* See look.h. */

#include "router/look.h"

#include <errno.h>
#include <unistd.h>

#include "router/dispatch.h"
#include "router/registry.h"
#include "router/router.h"
#include "router/segment.h"

/* Each answer that waits in the queue keeps its segment open, also when the endpoint has gone. */
#define LOOKS_QUEUED_MAX 64u

static bool may_look(const struct peer *peer, const struct endpoint *endpoint)
{
	return peer->uid == 0 || peer->uid == geteuid() || peer->uid == endpoint->node->uid;
}

int look_at_segment(struct peer *peer, const struct wire_segment_look *look, struct refusal *refusal)
{
	const struct endpoint *endpoint = registry_find_endpoint(&peer->router->registry, look->endpoint);
	struct wire_segment_seen seen = { .endpoint = look->endpoint };
	int r = dispatch_need_request(&look->header, "SEGMENT_LOOK", refusal);

	if (r)
		return r;
	if (!endpoint || !endpoint->ready)
		return refuse(refusal, -ENOENT, "endpoint %llu is gone, or not ready yet", (unsigned long long)look->endpoint);
	if (!may_look(peer, endpoint))
		return refuse(refusal, -EPERM, "endpoint %llu belongs to uid %u: only that user, uid %u who runs the router, and root may look into it",
			      (unsigned long long)look->endpoint, endpoint->node->uid, geteuid());
	if (peer->n_queued >= LOOKS_QUEUED_MAX)
		return refuse(refusal, -EBUSY, "%zu messages to this node are not read yet; read them, then look again", peer->n_queued);
	wire_init(&seen.header, WIRE_SEGMENT_SEEN, look->header.request);
	seen.segment_bytes = endpoint->segment->bytes;
	seen.n_lanes = endpoint->kind == WIRE_SUBSCRIBER ? endpoint->n_lanes : 0;
	seen.max_held = endpoint->kind == WIRE_SUBSCRIBER ? endpoint->max_held : 0;
	peer_send(peer, &seen.header, OUTBOX_READER_ONLY, endpoint->segment);
	return 0;
}
