/* SPDX-License-Identifier: MIT */
/*
 * publisher.c - what happens per message
 *
 * Each public function is a thin door: is the handle ours and nobody looks (the gate, fork.h), is there news from the
 * node's thread, then straight into the channel. All waiting is one loop: try; if a reliable lane has no room, ask the readers to
 * ring (arm), try again, sleep on our doorbell.
 */
#include "lib/publisher.h"

#include <errno.h>

#include "common/clock.h"
#include "common/probe.h"
#include "lib/control.h"
#include "lib/error.h"
#include "lib/growth.h"

#define DRY_SAID_NS 1000000000ull

static inline void look(struct zcp_publisher *p)
{
	if (endpoint_has_news(&p->endpoint))
		publisher_look_at_news(p);
}

static inline int enter(struct zcp_publisher *p)
{
	if (forked_since(p->endpoint.fork_generation))
		return error_forked();
	look(p);
	return 0;
}

/* News that came while we published; partner: endpoint.c, endpoint_added. */
static inline int leave(struct zcp_publisher *p, int r)
{
	look(p);
	return r;
}

/* For those who watch; once a second, since a publisher that runs dry usually tries again at once. */
static void say_dry(struct zcp_publisher *p)
{
	uint64_t now = clock_now_ns();
	struct wire_pool_dry dry;

	if (p->dry_said_ns && now - p->dry_said_ns < DRY_SAID_NS)
		return;
	p->dry_said_ns = now;
	wire_init(&dry.header, WIRE_POOL_DRY, 0);
	dry.endpoint = p->endpoint.id;
	pthread_mutex_lock(&p->endpoint.node->lock);
	if (p->endpoint.node->state == NODE_JOINED)
		control_send(p->endpoint.node, &dry.header);
	pthread_mutex_unlock(&p->endpoint.node->lock);
}

/* The sentence for what the channel said. */
static __attribute__((noinline, cold)) int explain(struct zcp_publisher *p, int r)
{
	switch (r) {
	case -EAGAIN:
		return error_note(r, "a reliable subscriber has no room; try again later, or set a timeout");
	case -ETIMEDOUT:
		return error_note(r, "a reliable subscriber had no room within the publisher's timeout");
	case -EMSGSIZE:
		if (p->growth)
			return error_note(r, "the message is larger than its loan, or than 2 GiB");
		return error_set(r, "the message is larger than its loan or than payload_max, which is %u bytes",
				 p->writer.geometry.payload_max);
	case -EINVAL:
		return error_note(r, "this is no open loan of this publisher: published or discarded before, or never loaned");
	case -ENOBUFS:
		if (p->writer.n_loans >= p->writer.max_loans)
			return error_set(r, "%u loans are open; publish or discard one, or raise max_loans", p->writer.n_loans);
		say_dry(p);
		return error_note(r, "subscribers hold so many samples that the pool is dry; raise max_held");
	default:
		return error_system(r, "publish");
	}
}

/*
 * The channel said -EAGAIN. Sleep until there may be room: 0, try again; or -EAGAIN, -ETIMEDOUT. *deadline: 0
 * at the first call.
 */
static __attribute__((noinline)) int wait_for_room(struct zcp_publisher *p, uint64_t *deadline)
{
	if (!p->timeout_ns)
		return -EAGAIN;
	if (!*deadline)
		*deadline = deadline_after(p->timeout_ns);
	/* a reader that makes room after this rings us; one that did before is seen by has_room */
	channel_writer_arm(&p->writer);
	if (channel_writer_has_room(&p->writer))
		return 0;
	if (!endpoint_has_news(&p->endpoint) && endpoint_sleep(&p->endpoint, *deadline) < 0)
		return -ETIMEDOUT;
	return enter(p);
}

/* The channel said @r about @size bytes. 0: try again; or what to return, explained. */
static __attribute__((noinline)) int not_yet(struct zcp_publisher *p, int r, size_t size, uint64_t *deadline)
{
	if (r == -EXFULL) {
		r = growth_for(p, size, deadline);
		if (r == -ENOBUFS)
			say_dry(p);
	} else {
		if (r == -EAGAIN)
			r = wait_for_room(p, deadline);
		if (r < 0)
			r = explain(p, r);
	}
	if (r < 0)
		PROBE(zcp, loan_fail, p->endpoint.id, (uint64_t)size, (int64_t)r);
	return r;
}

/* Somebody looks. The message is the last one. */
static void say_published(struct zcp_publisher *p, size_t size)
{
	PROBE_NOW(zcp, publish, p->endpoint.id, p->writer.head - 1, (uint64_t)size);
	tally_publish(&p->tally, p->endpoint.id, size, clock_now_ns());
}

static inline __attribute__((always_inline)) int do_loan(struct zcp_publisher *publisher, size_t size, void **payload)
{
	uint64_t deadline = 0;
	int r;

	look(publisher);
	while (unlikely((r = channel_writer_loan(&publisher->writer, size, payload)) < 0)) {
		r = not_yet(publisher, r, size, &deadline);
		if (r < 0)
			return r;
	}
	return r;
}

/* A child, or somebody looks. */
static __attribute__((noinline, cold)) int loan_at_gate(struct zcp_publisher *publisher, size_t size, void **payload)
{
	int r = enter(publisher);

	if (r < 0)
		return r;
	r = do_loan(publisher, size, payload);
	if (r == 0)
		PROBE_NOW(zcp, loan, publisher->endpoint.id, (uint64_t)size, *payload);
	return r;
}

int zcp_publisher_loan(struct zcp_publisher *publisher, size_t size, void **payload)
{
	if (unlikely(!gate_is_open(&publisher_gate, publisher->endpoint.open_gate)))
		return loan_at_gate(publisher, size, payload);
	return do_loan(publisher, size, payload);
}

static inline __attribute__((always_inline)) int do_publish(struct zcp_publisher *publisher, void *payload, size_t size)
{
	uint64_t deadline = 0;
	int r;

	look(publisher);
	while (unlikely((r = channel_writer_publish(&publisher->writer, payload, size)) < 0)) {
		if (r == -EAGAIN)
			r = wait_for_room(publisher, &deadline);
		if (r < 0)
			return explain(publisher, r);
	}
	return leave(publisher, r);
}

/* A child, or somebody looks. */
static __attribute__((noinline, cold)) int publish_at_gate(struct zcp_publisher *publisher, void *payload, size_t size)
{
	int r = enter(publisher);

	if (r < 0)
		return r;
	r = do_publish(publisher, payload, size);
	if (r >= 0)
		say_published(publisher, size);
	return r;
}

int zcp_publisher_publish(struct zcp_publisher *publisher, void *payload, size_t size)
{
	if (unlikely(!gate_is_open(&publisher_gate, publisher->endpoint.open_gate)))
		return publish_at_gate(publisher, payload, size);
	return do_publish(publisher, payload, size);
}

int zcp_publisher_discard(struct zcp_publisher *publisher, void *payload)
{
	int r;

	if (forked_since(publisher->endpoint.fork_generation))
		return error_forked();
	r = channel_writer_discard(&publisher->writer, payload);
	return unlikely(r < 0) ? explain(publisher, r) : r;
}

static inline __attribute__((always_inline)) int do_send(struct zcp_publisher *publisher, const void *data, size_t size)
{
	uint64_t deadline = 0;
	int r;

	look(publisher);
	while (unlikely((r = channel_writer_send(&publisher->writer, data, size)) < 0)) {
		r = not_yet(publisher, r, size, &deadline);
		if (r < 0)
			return r;
	}
	return leave(publisher, r);
}

/* A child, or somebody looks. */
static __attribute__((noinline, cold)) int send_at_gate(struct zcp_publisher *publisher, const void *data, size_t size)
{
	int r = enter(publisher);

	if (r < 0)
		return r;
	r = do_send(publisher, data, size);
	if (r >= 0)
		say_published(publisher, size);
	return r;
}

int zcp_publisher_send(struct zcp_publisher *publisher, const void *data, size_t size)
{
	if (unlikely(!gate_is_open(&publisher_gate, publisher->endpoint.open_gate)))
		return send_at_gate(publisher, data, size);
	return do_send(publisher, data, size);
}

static int set_header(struct zcp_publisher *p, const void *header)
{
	if (forked_since(p->endpoint.fork_generation))
		return error_forked();
	if (!p->writer.header_bytes || !header)
		return error_note(-EINVAL, header ? "this publisher has no user header; open it with header_size" : "the header is NULL");
	channel_writer_set_header(&p->writer, header, p->writer.header_bytes);
	return 0;
}

/* A header that no message has taken along must not go with the next one. */
static int unset_header(struct zcp_publisher *p, int r)
{
	if (r < 0)
		channel_writer_set_header(&p->writer, "", 0);
	return r;
}

int zcp_publisher_publish_with(struct zcp_publisher *publisher, void *payload, size_t size, const void *header)
{
	int r = set_header(publisher, header);

	return r < 0 ? r : unset_header(publisher, zcp_publisher_publish(publisher, payload, size));
}

int zcp_publisher_send_with(struct zcp_publisher *publisher, const void *data, size_t size, const void *header)
{
	int r = set_header(publisher, header);

	return r < 0 ? r : unset_header(publisher, zcp_publisher_send(publisher, data, size));
}

static inline __attribute__((always_inline)) int do_loan_batch(struct zcp_publisher *publisher, size_t size, void **payloads, int n)
{
	uint64_t deadline = 0;
	int r;

	look(publisher);
	if (unlikely(n < 1 || n > WRITER_BATCH_MAX))
		return error_set(-EINVAL, "a batch is 1 to %d loans, not %d", WRITER_BATCH_MAX, n);
	while (unlikely((r = channel_writer_loan_batch(&publisher->writer, size, payloads, n)) < 0)) {
		r = not_yet(publisher, r, size, &deadline);
		if (r < 0)
			return r;
	}
	return r;
}

/* A child, or somebody looks. */
static __attribute__((noinline, cold)) int loan_batch_at_gate(struct zcp_publisher *publisher, size_t size, void **payloads, int n)
{
	int r = enter(publisher);

	if (r < 0)
		return r;
	r = do_loan_batch(publisher, size, payloads, n);
	for (int i = 0; i < r; i++)
		PROBE_NOW(zcp, loan, publisher->endpoint.id, (uint64_t)size, payloads[i]);
	return r;
}

int zcp_publisher_loan_batch(struct zcp_publisher *publisher, size_t size, void **payloads, int n)
{
	if (unlikely(!gate_is_open(&publisher_gate, publisher->endpoint.open_gate)))
		return loan_batch_at_gate(publisher, size, payloads, n);
	return do_loan_batch(publisher, size, payloads, n);
}

static inline __attribute__((always_inline)) int do_publish_batch(struct zcp_publisher *publisher, void **payloads, const size_t *sizes, int n)
{
	uint64_t deadline = 0;
	int done = 0, r;

	look(publisher);
	if (unlikely(n < 1))
		return error_set(-EINVAL, "a batch is at least one loan, not %d", n);
	while (done < n) {
		r = channel_writer_publish_batch(&publisher->writer, payloads + done, sizes + done, n - done);
		if (r > 0) {
			done += r;
			continue;
		}
		if (r == -EAGAIN)
			r = wait_for_room(publisher, &deadline);
		if (r < 0)
			return done ? done : explain(publisher, r);
	}
	return leave(publisher, done);
}

/* A child, or somebody looks. */
static __attribute__((noinline, cold)) int publish_batch_at_gate(struct zcp_publisher *publisher, void **payloads, const size_t *sizes, int n)
{
	int r = enter(publisher);

	if (r < 0)
		return r;
	r = do_publish_batch(publisher, payloads, sizes, n);
	for (int i = 0; i < r; i++) {
		PROBE_NOW(zcp, publish, publisher->endpoint.id, publisher->writer.head - (uint64_t)(r - i), (uint64_t)sizes[i]);
		tally_publish(&publisher->tally, publisher->endpoint.id, sizes[i], clock_now_ns());
	}
	return r;
}

int zcp_publisher_publish_batch(struct zcp_publisher *publisher, void **payloads, const size_t *sizes, int n)
{
	if (unlikely(!gate_is_open(&publisher_gate, publisher->endpoint.open_gate)))
		return publish_batch_at_gate(publisher, payloads, sizes, n);
	return do_publish_batch(publisher, payloads, sizes, n);
}

int zcp_publisher_subscribers(struct zcp_publisher *publisher)
{
	int r = enter(publisher);

	return r < 0 ? r : (int)publisher->writer.n_lanes;
}

static int waited_in_vain(struct zcp_publisher *p, int subscribers)
{
	char why[WIRE_TEXT_BYTES];

	pthread_mutex_lock(&p->endpoint.node->lock);
	memcpy(why, p->endpoint.refusal, sizeof(why));
	pthread_mutex_unlock(&p->endpoint.node->lock);
	return error_set(-ETIMEDOUT, "%u of %d subscribers connected in time%s%s", p->writer.n_lanes, subscribers,
			 *why ? "; one was refused: " : "", why);
}

int zcp_publisher_wait(struct zcp_publisher *publisher, int subscribers, int64_t timeout)
{
	uint64_t deadline = deadline_after(timeout);

	for (;;) {
		int r = enter(publisher);

		if (r < 0)
			return r;
		if ((int64_t)publisher->writer.n_lanes >= subscribers)
			return (int)publisher->writer.n_lanes;
		if (node_is_lost(publisher->endpoint.node))
			return error_note(-ENOTCONN, "the router has removed this node: nobody can connect any more");
		if (endpoint_sleep(&publisher->endpoint, deadline) < 0)
			return waited_in_vain(publisher, subscribers);
	}
}

uint64_t zcp_publisher_id(const struct zcp_publisher *publisher)
{
	return publisher->endpoint.id;
}
