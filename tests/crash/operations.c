/* SPDX-License-Identifier: MIT */
/* See operations.h. Each operation is one function, and runs in a process that was forked for it. */
#include "operations.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "step.h"

#define N_HELD 2
#define N_BATCH 4

/* ---- what victims have in common --------------------------------------------------------------------------------- */

static zcp_publisher *connected_publisher(zcp_node *node, const struct side *side)
{
	zcp_publisher *p = open_publisher(node, side);

	step_mark();	/* help: admit() */
	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	return p;
}

/* An open loan with the next message in it. */
static void *loaned(zcp_publisher *p, size_t size)
{
	void *payload;

	ok(zcp_publisher_loan(p, size, &payload));
	fill(payload, progress->begun, size);
	return payload;
}

static void publish(zcp_publisher *p, void *payload, size_t size)
{
	progress->begun++;
	ok(zcp_publisher_publish(p, payload, size));
	progress->completed++;
}

#define LARGER 6000	/* than payload_max: a segment of its own */

static void send_some(zcp_publisher *p, int n)
{
	for (int i = 0; i < n; i++) {
		size_t size = i % 2 ? BIG : SMALL;

		publish(p, loaned(p, size), size);
	}
}

static zcp_subscriber *connected_subscriber(zcp_node *node, const struct side *side)
{
	zcp_subscriber *s = open_subscriber(node, side, 0);

	step_mark();	/* help: meet(), which publishes */
	return s;
}

static uint32_t publishers_of(zcp_subscriber *s)
{
	struct zcp_subscriber_stats stats = { .sz = sizeof(stats) };

	ok(zcp_subscriber_stats(s, &stats));
	return stats.publishers;
}

/* Our number of matched publishers, or of subscribers, comes to be @n. Sleeps in poll(), so that it takes few steps. */
static void dispatch_until(zcp_node *node, zcp_publisher *p, zcp_subscriber *s, unsigned int n)
{
	struct pollfd fd = { .fd = zcp_node_fd(node), .events = POLLIN };
	uint64_t end = deadline();

	for (;;) {
		ok(zcp_node_dispatch(node));
		if ((p ? (unsigned int)ok(zcp_publisher_subscribers(p)) : publishers_of(s)) == n)
			return;
		if (!still_time(end))
			fail("nobody comes");
		poll(&fd, 1, 1000);
	}
}

static void take(zcp_subscriber *s, struct zcp_sample *sample)
{
	ok(zcp_subscriber_take(s, sample));
	number_of(sample);
}

/* ---- what survivors do meanwhile --------------------------------------------------------------------------------- */

static zcp_subscriber *late_subscriber;
static zcp_publisher *late_publisher;
static struct zcp_sample survivors_hold[N_HELD];

static void admit(struct side *side)
{
	expect(publishers_of(side->subscriber) == 2);
}

static void meet(struct side *side)
{
	expect(ok(zcp_publisher_subscribers(side->publisher)) == 2);
	for (int i = 0; i < 6; i++)
		side_send(side, i % 2 ? BIG : SMALL);
	side_take(side);
}

/* The lossy victim lags by more than the ring, and what it has pinned is in limbo. */
static void overrun_it(struct side *side)
{
	for (int i = 0; i < 2 * RING; i++) {
		side_send(side, BIG);
		side_take(side);
	}
}

/* Hold what the victim has published, and take nothing more. */
static void hold(struct side *side)
{
	for (int i = 0; i < N_HELD; i++)
		expect(zcp_subscriber_take(side->subscriber, &survivors_hold[i]) == 0);
	side->victim.id = survivors_hold[0].publisher;
	side->victim.next = N_HELD;
}

static void let_go(struct side *side)
{
	(void)side;
	for (int i = 0; i < N_HELD; i++) {
		if (number_of(&survivors_hold[i]) != (uint64_t)i)
			fail("held message %d has number %llu", i, (unsigned long long)number_of(&survivors_hold[i]));
		zcp_sample_release(&survivors_hold[i]);
	}
}

static void subscriber_comes(struct side *side)
{
	late_subscriber = open_subscriber(survivors, side, 0);
}

static void subscriber_goes(struct side *side)
{
	(void)side;
	zcp_subscriber_close(late_subscriber);
	late_subscriber = NULL;
}

static void publisher_comes(struct side *side)
{
	late_publisher = open_publisher(survivors, side);
}

static void publisher_goes(struct side *side)
{
	(void)side;
	zcp_publisher_close(late_publisher);
	late_publisher = NULL;
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void node_open(const struct side *side)
{
	(void)side;
	step_mark();
	join("victim");
	step_mark();
}

static void publisher_open(const struct side *side)
{
	zcp_node *node = join("victim");

	step_mark();
	open_publisher(node, side);
	step_mark();
}

static void subscriber_open(const struct side *side)
{
	zcp_node *node = join("victim");

	step_mark();
	open_subscriber(node, side, 3);
	step_mark();
}

static void publisher_close(const struct side *side)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);

	send_some(p, 5);
	loaned(p, BIG);
	step_mark();
	zcp_publisher_close(p);
	step_mark();
}

static void subscriber_close(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample held[N_HELD];

	for (int i = 0; i < N_HELD; i++)
		take(s, &held[i]);
	step_mark();
	zcp_subscriber_close(s);
	for (int i = 0; i < N_HELD; i++)
		zcp_sample_release(&held[i]);
	step_mark();
}

static void node_close(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_subscriber *s = connected_subscriber(node, side);
	struct zcp_sample held;

	take(s, &held);
	take(s, &held);
	open_publisher(node, side);
	step_mark();
	zcp_node_close(node);
	zcp_sample_release(&held);
	step_mark();
}

/* ---- a publisher's data path ------------------------------------------------------------------------------------- */

static void loan(const struct side *side, size_t size)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);
	void *payload;

	send_some(p, 3);
	step_mark();
	ok(zcp_publisher_loan(p, size, &payload));
	step_mark();
}

static void loan_inline(const struct side *side)
{
	loan(side, SMALL);
}

static void loan_chunk(const struct side *side)
{
	loan(side, BIG);
}

static void publish_one(const struct side *side, size_t size)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);
	void *payload;

	send_some(p, 3);
	payload = loaned(p, size);
	step_mark();
	publish(p, payload, size);
	step_mark();
}

static void publish_inline(const struct side *side)
{
	publish_one(side, SMALL);
}

static void publish_chunk(const struct side *side)
{
	publish_one(side, BIG);
}

static void discard(const struct side *side)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);
	void *payload[2];

	send_some(p, 3);
	payload[0] = loaned(p, SMALL);
	payload[1] = loaned(p, BIG);
	step_mark();
	ok(zcp_publisher_discard(p, payload[1]));
	ok(zcp_publisher_discard(p, payload[0]));
	step_mark();
}

static void send_two(const struct side *side)
{
	static uint64_t message[2][BIG / 8];
	zcp_publisher *p = connected_publisher(join("victim"), side);

	fill(message[0], 0, SMALL);
	fill(message[1], 1, BIG);
	step_mark();
	for (int i = 0; i < 2; i++) {
		progress->begun++;
		ok(zcp_publisher_send(p, message[i], i ? BIG : SMALL));
		progress->completed++;
	}
	step_mark();
}

static void batch(const struct side *side, size_t size)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);
	size_t sizes[N_BATCH];
	void *payloads[N_BATCH];
	int n;

	send_some(p, 3);
	step_mark();
	/* inline: as many as an eighth of the ring */
	n = (int)ok(zcp_publisher_loan_batch(p, size, payloads, N_BATCH));
	for (int i = 0; i < n; i++) {
		/* only what is looked at first: the rest would be steps of memset */
		fill(payloads[i], progress->begun + (uint64_t)i, SMALL);
		sizes[i] = SMALL;
	}
	progress->begun += (uint64_t)n;
	if (ok(zcp_publisher_publish_batch(p, payloads, sizes, n)) != n)
		fail("a part of a batch");
	progress->completed += (uint64_t)n;
	step_mark();
}

static void batch_inline(const struct side *side)
{
	batch(side, SMALL);
}

static void batch_chunk(const struct side *side)
{
	batch(side, BIG);
}

/* The ring is full, the survivor's subscriber does not read: sleep, and give up. */
static void publish_blocked(const struct side *side)
{
	static uint64_t message[BIG / 8];
	zcp_publisher *p = connected_publisher(join("victim"), side);

	for (;;) {
		fill(message, progress->begun, SMALL);
		if (zcp_publisher_send(p, message, SMALL) == -ETIMEDOUT)
			break;
		progress->completed = ++progress->begun;
	}
	step_mark();
	progress->begun++;
	if (zcp_publisher_send(p, message, SMALL) != -ETIMEDOUT)
		fail("there was room");
	progress->begun--;
	step_mark();
}

/* The survivor's subscriber holds two chunks and lags: the tail passes it, the chunks wait in limbo, later in vain. */
static void overrun(const struct side *side)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);

	for (int i = 0; i < N_HELD; i++)
		publish(p, loaned(p, BIG), BIG);
	step_mark();	/* help: hold() */
	for (int i = N_HELD; i < RING; i++)
		publish(p, loaned(p, BIG), BIG);
	step_mark();
	for (int i = 0; i < RING / 4 + 2; i++) {
		void *payload;

		ok(zcp_publisher_loan(p, SMALL, &payload));
		fill(payload, progress->begun, SMALL);
		publish(p, payload, SMALL);
	}
	step_mark();
}

/* The ring is full of what everybody has consumed. */
static void retire(const struct side *side)
{
	zcp_publisher *p = connected_publisher(join("victim"), side);
	void *payload;

	for (int i = 0; i < RING; i++)
		publish(p, loaned(p, BIG), BIG);
	step_mark();	/* help: side_take() */
	step_mark();
	payload = loaned(p, SMALL);
	publish(p, payload, SMALL);
	step_mark();
}

static void attach(const struct side *side)
{
	struct side late = { .topic = { "crash", "late", "numbers" }, .reliable = side->reliable };
	zcp_node *node = join("victim");
	zcp_publisher *p = open_publisher(node, &late);

	step_mark();	/* help: a subscriber comes */
	step_mark();
	dispatch_until(node, p, NULL, 1);
	publish(p, loaned(p, SMALL), SMALL);
	step_mark();
}

static struct side *late_side(struct side *side)
{
	static struct side late;

	late = (struct side){ .topic = { "crash", "late", "numbers" }, .reliable = side->reliable };
	return &late;
}

static void late_subscriber_comes(struct side *side)
{
	subscriber_comes(late_side(side));
}

static bool late_drained(uint64_t *next)
{
	struct zcp_sample sample;

	while (zcp_subscriber_take(late_subscriber, &sample) == 0) {
		*next = number_of(&sample) + 1;
		zcp_sample_release(&sample);
	}
	return publishers_of(late_subscriber) == 0;
}

/* On a topic of its own, where the survivors' publisher is not. */
static void after_attach(struct side *side)
{
	uint64_t next = 0;

	expect(late_drained(&next));
	check_progress(next);
	progress->begun = progress->completed = 0;	/* nothing of it comes to the side itself */
	subscriber_goes(side);
}

static void detach(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_publisher *p = open_publisher(node, side);

	step_mark();	/* help: a subscriber comes */
	ok(zcp_publisher_wait(p, 2, 20 * SECOND));
	send_some(p, 3);
	step_mark();	/* help: it goes, and has taken nothing */
	step_mark();
	dispatch_until(node, p, NULL, 1);
	publish(p, loaned(p, SMALL), SMALL);
	step_mark();
}

/* ---- a subscriber's data path ------------------------------------------------------------------------------------ */

/* The first message is small, the second big. */
static void take_nth(const struct side *side, int n)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample sample[2];

	for (int i = 0; i < n; i++)
		take(s, &sample[i]);
	step_mark();
	ok(zcp_subscriber_take(s, &sample[n]));
	step_mark();
}

/* A segment of its own for one message, filled without a system call, and one more that is given up. */
static void publish_larger(const struct side *side)
{
	struct zcp_publisher_options options = publisher_options(side->reliable);
	static uint64_t message[LARGER / 8];
	zcp_publisher *p;
	void *payload;

	options.grow = true;
	ok(zcp_publisher_open(&p, join("victim"), &side->topic, &options));
	step_mark();	/* help: admit() */
	ok(zcp_publisher_wait(p, 1, 20 * SECOND));
	fill(message, progress->begun, LARGER);
	step_mark();
	ok(zcp_publisher_loan(p, LARGER, &payload));
	memcpy(payload, message, LARGER);
	publish(p, payload, LARGER);
	ok(zcp_publisher_loan(p, LARGER, &payload));
	ok(zcp_publisher_discard(p, payload));
	step_mark();
}

/* A member with something to take, a timer, and a wait. */
static void wait_in_set(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_ready ready[2];
	struct zcp_sample sample;
	zcp_waitset *ws;

	step_mark();
	ok(zcp_waitset_open(&ws, NULL));
	ok(zcp_waitset_add_subscriber(ws, s, s));
	ok(zcp_waitset_add_timer(ws, INT64_C(20000000000), 0, NULL));
	if (ok(zcp_waitset_wait(ws, ready, 2, -1)) != 1 || ready[0].object != s)
		fail("something else is ready");
	take(s, &sample);
	zcp_sample_release(&sample);
	ok(zcp_waitset_remove_subscriber(ws, s));
	zcp_waitset_close(ws);
	step_mark();
}

/* The newest of several, again, and a newer one. */
static void latest(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample sample[2];

	step_mark();
	ok(zcp_subscriber_latest(s, &sample[0]));
	ok(zcp_subscriber_latest(s, &sample[1]));
	if (number_of(&sample[0]) != number_of(&sample[1]))
		fail("two values are the latest");
	zcp_sample_release(&sample[0]);
	zcp_sample_release(&sample[1]);
	step_mark();
}

static void take_inline(const struct side *side)
{
	take_nth(side, 0);
}

static void take_chunk(const struct side *side)
{
	take_nth(side, 1);
}

static void release(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample sample[2];

	take(s, &sample[0]);
	take(s, &sample[1]);
	step_mark();
	zcp_sample_release(&sample[1]);
	zcp_sample_release(&sample[0]);
	step_mark();
}

static void release_from_limbo(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample sample[2];

	take(s, &sample[0]);
	take(s, &sample[1]);
	step_mark();	/* help: overrun_it() */
	step_mark();
	zcp_sample_release(&sample[1]);
	/* it was lapped */
	ok(zcp_subscriber_take(s, &sample[1]));
	step_mark();
}

static void take_batch(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample samples[N_BATCH];

	step_mark();
	if (ok(zcp_subscriber_take_batch(s, samples, N_BATCH)) != N_BATCH)
		fail("a part of a batch");
	zcp_sample_release_batch(samples, N_BATCH);
	step_mark();
}

/* Before the writer has attached the lane nothing can be pinned: copies. */
static void take_history(const struct side *side)
{
	zcp_subscriber *s = open_subscriber(join("victim"), side, 3);
	struct zcp_sample sample[2];

	step_mark();
	take(s, &sample[0]);
	take(s, &sample[1]);
	zcp_sample_release(&sample[0]);
	zcp_sample_release(&sample[1]);
	step_mark();
}

static void take_all(zcp_subscriber *s)
{
	struct zcp_sample sample;

	while (zcp_subscriber_take(s, &sample) == 0) {
		number_of(&sample);
		zcp_sample_release(&sample);
	}
}

static void wait_in_vain(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);

	take_all(s);
	step_mark();
	if (zcp_subscriber_wait(s, 1000000) != -ETIMEDOUT)
		fail("there was something");
	step_mark();
}

static void rearm(const struct side *side)
{
	zcp_subscriber *s = connected_subscriber(join("victim"), side);
	struct zcp_sample sample;

	ok(zcp_subscriber_fd(s));
	for (int i = 0; i < 6; i++) {
		take(s, &sample);
		zcp_sample_release(&sample);
	}
	step_mark();
	if (zcp_subscriber_take(s, &sample) != -EAGAIN)
		fail("there was something");
	step_mark();
}

static void publisher_added(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_subscriber *s = connected_subscriber(node, side);

	step_mark();	/* help: a publisher comes */
	step_mark();
	dispatch_until(node, NULL, s, 2);
	step_mark();
}

static void publisher_removed(const struct side *side)
{
	zcp_node *node = join("victim");
	zcp_subscriber *s = open_subscriber(node, side, 0);

	step_mark();	/* help: a publisher comes */
	dispatch_until(node, NULL, s, 2);
	step_mark();	/* help: it goes */
	step_mark();
	dispatch_until(node, NULL, s, 1);
	step_mark();
}

/* ------------------------------------------------------------------------------------------------------------------ */

const struct operation operations[] = {
	{ "node-open", ON_LOSSY, node_open, { NULL }, NULL },
	{ "publisher-open", ON_BOTH, publisher_open, { NULL }, NULL },
	{ "subscriber-open", ON_BOTH, subscriber_open, { NULL }, NULL },
	{ "loan-inline", ON_LOSSY, loan_inline, { admit }, NULL },
	{ "loan-chunk", ON_LOSSY, loan_chunk, { admit }, NULL },
	{ "publish-inline", ON_BOTH, publish_inline, { admit }, NULL },
	{ "publish-chunk", ON_BOTH, publish_chunk, { admit }, NULL },
	{ "publish-blocked", ON_RELIABLE, publish_blocked, { admit }, NULL },
	{ "overrun", ON_LOSSY, overrun, { admit, hold }, let_go },
	{ "retire", ON_BOTH, retire, { admit, side_take }, NULL },
	{ "discard", ON_LOSSY, discard, { admit }, NULL },
	{ "send", ON_BOTH, send_two, { admit }, NULL },
	{ "batch-inline", ON_BOTH, batch_inline, { admit }, NULL },
	{ "batch-chunk", ON_BOTH, batch_chunk, { admit }, NULL },
	{ "attach", ON_BOTH, attach, { late_subscriber_comes }, after_attach },
	{ "detach", ON_BOTH, detach, { subscriber_comes, subscriber_goes }, NULL },
	{ "publisher-close", ON_BOTH, publisher_close, { admit }, NULL },
	{ "publish-larger", ON_BOTH, publish_larger, { admit }, NULL },
	{ "wait-in-set", ON_BOTH, wait_in_set, { meet }, NULL },
	{ "latest", ON_BOTH, latest, { meet }, NULL },
	{ "take-inline", ON_BOTH, take_inline, { meet }, NULL },
	{ "take-chunk", ON_BOTH, take_chunk, { meet }, NULL },
	{ "take-batch", ON_BOTH, take_batch, { meet }, NULL },
	{ "take-history", ON_BOTH, take_history, { NULL }, NULL },
	{ "release", ON_BOTH, release, { meet }, NULL },
	{ "release-from-limbo", ON_LOSSY, release_from_limbo, { meet, overrun_it }, NULL },
	{ "wait", ON_BOTH, wait_in_vain, { meet }, NULL },
	{ "rearm", ON_BOTH, rearm, { meet }, NULL },
	{ "publisher-added", ON_BOTH, publisher_added, { meet, publisher_comes }, publisher_goes },
	{ "publisher-removed", ON_BOTH, publisher_removed, { publisher_comes, publisher_goes }, NULL },
	{ "subscriber-close", ON_BOTH, subscriber_close, { meet }, NULL },
	{ "node-close", ON_BOTH, node_close, { meet }, NULL },
};
const unsigned int n_operations = sizeof(operations) / sizeof(operations[0]);
