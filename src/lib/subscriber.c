/* SPDX-License-Identifier: MIT */
/*
 * subscriber.c - what happens per message: take and release
 *
 * The common case, one publisher and something to take, is a straight line: the gate (fork.h), news, a free slot of held[],
 * the channel, fill in the sample. Everything else is behind an unlikely branch. No lock and no system call on
 * that line; the doorbell of a publisher that waits for room is the only thing that may be written.
 */
#include "lib/subscriber.h"

#include <errno.h>
#include <string.h>

#include "channel/take.h"
#include "common/clock.h"
#include "common/probe.h"
#include "lib/error.h"
#include "lib/lane-growth.h"

static inline void look(struct zcp_subscriber *s)
{
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
}

static inline int enter(struct zcp_subscriber *s)
{
	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	look(s);
	return 0;
}

/* ---- timestamps -------------------------------------------------------------------------------------------------- */

static __attribute__((noinline, cold)) void calibrate(struct zcp_subscriber *s)
{
	struct clock_calibration *c = &s->calibration;

	/* what cannot be read leaves the one we have in place, and is tried again with the next message */
	if (!node_read_calibration(s->endpoint.node, c) || !c->mult)
		return;
	s->calibrated = clock_ticks();
	s->calibrated_for = (uint64_t)(((unsigned __int128)1000000000 << c->shift) / c->mult);
}

/* The router refines the calibration all the time: fetch it again about once a second, by the messages' own clock. */
static inline uint64_t timestamp_ns(struct zcp_subscriber *s, const struct channel_reader *reader, uint64_t raw)
{
	if (!reader->ticks)
		return raw;
	if (unlikely((int64_t)(raw - s->calibrated) > (int64_t)s->calibrated_for)) {
		calibrate(s);
		/* no router has told us yet: better no time than one that is not ns */
		if (!s->calibration.mult)
			return 0;
	}
	return clock_ticks_to_ns(&s->calibration, raw);
}

/* ---- take -------------------------------------------------------------------------------------------------------- */

/* Message @m, taken with pin @k, which is the free one on top. */
static inline __attribute__((always_inline)) void hold(struct zcp_subscriber *s, struct lane *lane, uint32_t k, const struct channel_message *message,
							 struct zcp_sample *sample)
{
	struct held *h = &s->held[k];
	struct channel_message m = *message;

	s->n_free--;
	if (unlikely(m.lost)) {
		s->lost += m.lost;
		PROBE(zcp, lost, s->endpoint.id, lane->match.peer, m.lost, m.sequence);
	}
	h->lane = lane;
	h->pinned = m.pinned;
	sample->data = m.data;
	sample->size = m.size;
	sample->sequence = m.sequence;
	sample->timestamp_ns = timestamp_ns(s, &lane->reader, m.timestamp);
	sample->publisher = lane->match.peer;
	sample->lost = m.lost;
	sample->owner = s;
	sample->held = k;
	sample->generation = ++h->generation;
	/* one store of 16 bytes for those who have none */
	sample->header = NULL;
	sample->header_size = sample->reserved = 0;
	if (unlikely(lane->reader.header_bytes)) {
		sample->header = m.header;
		sample->header_size = lane->reader.header_bytes;
	}
}

static inline __attribute__((always_inline)) int take_from(struct zcp_subscriber *s, struct lane *lane, struct zcp_sample *sample)
{
	uint32_t k = s->free[s->n_free - 1];
	struct channel_message m;
	int r = reader_take(&lane->reader, k, s->held[k].buffer, &m);

	if (unlikely(lane->reader.wake_writer))
		lane_wake_writer(s, lane);
	if (likely(r == 0))
		hold(s, lane, k, &m, sample);
	return r;
}

int subscriber_take_newest(struct zcp_subscriber *s, struct lane *lane, struct zcp_sample *sample)
{
	uint32_t k = s->free[s->n_free - 1];
	struct channel_message m;
	int r = channel_reader_newest(&lane->reader, k, s->held[k].buffer, &m);

	if (lane->reader.wake_writer)
		lane_wake_writer(s, lane);
	/* what was overwritten before we looked is skipped, not lost */
	lane->reader.lost = 0;
	m.lost = 0;
	if (r == 0)
		hold(s, lane, k, &m, sample);
	return r;
}

/* Several publishers: each gets its turn. */
static __attribute__((noinline)) int take_in_turn(struct zcp_subscriber *s, struct zcp_sample *sample)
{
	for (uint32_t i = 0; i < s->n_lanes; i++) {
		struct lane *lane = s->lane[s->turn];

		s->turn = s->turn + 1 < s->n_lanes ? s->turn + 1 : 0;
		if (take_from(s, lane, sample) == 0)
			return 0;
	}
	return -EAGAIN;
}

static inline __attribute__((always_inline)) int take_any(struct zcp_subscriber *s, struct zcp_sample *sample)
{
	if (likely(s->n_lanes == 1))
		return take_from(s, s->lane[0], sample);
	return take_in_turn(s, sample);
}

static __attribute__((noinline)) int take_nothing(struct zcp_subscriber *s, struct zcp_sample *sample)
{
	if (s->n_gone)
		subscriber_drop_drained(s);
	/* once: a hostile publisher can have a ring look ready for ever; the bell rings then, and the user comes back */
	if (s->fd_mode && subscriber_rearm(s) == 0 && take_in_turn(s, sample) == 0)
		return 0;
	return error_note(-EAGAIN, "no message is there to take");
}

static __attribute__((cold)) int too_many_held(struct zcp_subscriber *s)
{
	subscriber_flush(s);
	return error_note(-ENOBUFS, "max_held samples are held; release one, or open the subscriber with a larger max_held");
}

static inline __attribute__((always_inline)) int do_take(struct zcp_subscriber *s, struct zcp_sample *sample)
{
	look(s);
	if (unlikely(!s->n_free))
		return too_many_held(s);
	if (likely(take_any(s, sample) == 0))
		return 0;
	return take_nothing(s, sample);
}

/* Somebody looks. */
void subscriber_say_taken(struct zcp_subscriber *s, const struct zcp_sample *sample)
{
	PROBE_NOW(zcp, take, s->endpoint.id, sample->publisher, sample->sequence, (uint64_t)sample->size, sample->timestamp_ns);
	tally_take(&s->taken, s->endpoint.id, sample, clock_now_ns());
}

void subscriber_tick(struct endpoint *ep, uint64_t now_ns)
{
	struct zcp_subscriber *s = (struct zcp_subscriber *)(void *)ep;

	tally_tick(&s->taken.tally, ep->id, now_ns);
}

static __attribute__((noinline, cold)) int take_at_gate(struct zcp_subscriber *s, struct zcp_sample *sample)
{
	int r = enter(s);

	if (r == 0)
		r = do_take(s, sample);
	if (r == 0)
		subscriber_say_taken(s, sample);
	else if (r != -EOWNERDEAD)
		tally_flush(&s->taken.tally, s->endpoint.id);
	return r;
}

int zcp_subscriber_take(struct zcp_subscriber *subscriber, struct zcp_sample *sample)
{
	if (unlikely(!gate_is_open(&subscriber_gate, subscriber->endpoint.open_gate)))
		return take_at_gate(subscriber, sample);
	return do_take(subscriber, sample);
}

static inline __attribute__((always_inline)) int do_take_batch(struct zcp_subscriber *s, struct zcp_sample *samples, int n)
{
	int done = 0, r;

	look(s);
	if (unlikely(n < 1))
		return error_set(-EINVAL, "a batch is at least one message, not %d", n);
	if (unlikely(!s->n_free))
		return too_many_held(s);
	if ((uint32_t)n > s->n_free)
		n = (int)s->n_free;
	if (likely(s->n_lanes == 1))
		while (done < n && take_from(s, s->lane[0], &samples[done]) == 0)
			done++;
	else
		while (done < n && take_in_turn(s, &samples[done]) == 0)
			done++;
	if (likely(done))
		return done;
	r = take_nothing(s, samples);
	return r < 0 ? r : 1;
}

static __attribute__((noinline, cold)) int take_batch_at_gate(struct zcp_subscriber *s, struct zcp_sample *samples, int n)
{
	int r = enter(s);

	if (r == 0)
		r = do_take_batch(s, samples, n);
	for (int i = 0; i < r; i++)
		subscriber_say_taken(s, &samples[i]);
	if (r < 0 && r != -EOWNERDEAD)
		tally_flush(&s->taken.tally, s->endpoint.id);
	return r;
}

int zcp_subscriber_take_batch(struct zcp_subscriber *subscriber, struct zcp_sample *samples, int n)
{
	if (unlikely(!gate_is_open(&subscriber_gate, subscriber->endpoint.open_gate)))
		return take_batch_at_gate(subscriber, samples, n);
	return do_take_batch(subscriber, samples, n);
}

/* ---- release ----------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void release_slowly(struct zcp_subscriber *s, struct lane *lane, struct held *h)
{
	if (lane->growth)
		lane_growth_release(s, lane, h);
	/* messages copied out before the publisher attached us: a thing of the first moments */
	if (lane->copies && lane->reader.attached && !lane_is_held(s, lane))
		lane_free_copies(lane);
	if (lane->drained && !lane_is_held(s, lane))
		lane_drop(s, lane);
	if (s->closed && s->n_free == s->max_held)
		subscriber_free(s);
}

/* A child, who has nothing to release, or somebody looks. */
static __attribute__((noinline, cold)) bool release_at_gate(struct zcp_subscriber *s, struct zcp_sample *sample)
{
	if (forked_since(s->endpoint.fork_generation)) {
		error_forked();
		memset(sample, 0, sizeof(*sample));
		return false;
	}
	/* of a value that others hold too nothing is released yet */
	if (sample->held < s->max_held && s->held[sample->held].generation == sample->generation && !s->held[sample->held].refs)
		PROBE_NOW(zcp, release, s->endpoint.id, sample->publisher, sample->sequence);
	return true;
}

static inline void release(struct zcp_sample *sample)
{
	struct zcp_subscriber *s = sample ? sample->owner : NULL;
	struct lane *lane;
	struct held *h;
	uint32_t k;

	if (unlikely(!s)) {
		error_note(0, "this sample was released before, or never taken");
		return;
	}
	k = sample->held;
	if (unlikely(!gate_is_open(&subscriber_gate, s->endpoint.open_gate)) && !release_at_gate(s, sample))
		return;
	h = &s->held[k];
	if (unlikely(k >= s->max_held || h->generation != sample->generation)) {
		error_note(0, "this sample was released before");
		memset(sample, 0, sizeof(*sample));
		return;
	}
	lane = h->lane;
	if (unlikely(h->refs)) {
		h->refs--;
		goto clear;
	}
	if (h->pinned)
		channel_reader_release(&lane->reader, k);
	h->generation++;
	s->free[s->n_free++] = k;
	if (unlikely(lane->slow || s->closed))
		release_slowly(s, lane, h);
clear:
	/* enough for a second release, and for a use by mistake, to be noticed */
	sample->data = NULL;
	sample->size = 0;
	sample->header = NULL;
	sample->owner = NULL;
}

void zcp_sample_release(struct zcp_sample *sample)
{
	release(sample);
}

void zcp_sample_release_batch(struct zcp_sample *samples, int n)
{
	for (int i = 0; i < n; i++)
		release(&samples[i]);
}

size_t zcp_sample_copy(const struct zcp_sample *sample, void *buffer, size_t bytes)
{
	if (!sample->owner || forked_since(sample->owner->endpoint.fork_generation)) {
		error_note(0, "this sample is not valid here: released, or taken before fork()");
		return 0;
	}
	memcpy(buffer, sample->data, bytes < sample->size ? bytes : sample->size);
	return sample->size;
}

/* ---- counters ---------------------------------------------------------------------------------------------------- */

int zcp_subscriber_stats(struct zcp_subscriber *subscriber, struct zcp_subscriber_stats *stats)
{
	struct zcp_subscriber *s = subscriber;
	struct zcp_subscriber_stats now = { .sz = sizeof(now) };
	int r = enter(s);

	if (r < 0)
		return r;
	if (stats->sz < sizeof(now))
		return error_set(-EINVAL, "sz of struct zcp_subscriber_stats is %zu; set it to sizeof(struct zcp_subscriber_stats)",
				 stats->sz);
	if (s->n_gone)
		subscriber_drop_drained(s);
	now.received = s->received;
	now.lost = s->lost;
	now.malformed = s->malformed;
	for (uint32_t i = 0; i < s->n_lanes; i++) {
		now.received += s->lane[i]->reader.taken;
		now.lost += s->lane[i]->reader.lost;
		now.malformed += s->lane[i]->reader.malformed;
	}
	now.publishers = s->n_lanes;
	now.departed = s->departed;
	now.died = s->died;
	memcpy(stats, &now, sizeof(now));
	return 0;
}
