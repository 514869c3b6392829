/* SPDX-License-Identifier: MIT */
/*
 * latest.c - the newest value of a topic, again and again
 *
 * The subscriber keeps the newest message as a sample of its own, so that the value stays while nothing newer is published, and
 * after its publisher is gone; the user gets further references to it. Finding a newer one skips what lies between,
 * wherever the writer is meanwhile (channel_reader_newest()), so that a torn or a stale value is never seen: a chunk is pinned, and
 * what is inline is copied, before the tail says that it was whole.
 */
#include <errno.h>

#include "common/clock.h"
#include "lib/error.h"
#include "lib/subscriber.h"

void latest_drop(struct zcp_subscriber *s)
{
	if (s->value.owner)
		zcp_sample_release(&s->value);
}

/* Of one publisher what comes later is newer, whatever the clock says of it. */
static bool is_older(const struct zcp_sample *a, const struct zcp_sample *b)
{
	return a->publisher != b->publisher && a->timestamp_ns < b->timestamp_ns;
}

/* Look at all publishers; of several that have something new, the last one counts. 0, or -ENOBUFS. */
static int look(struct zcp_subscriber *s)
{
	for (uint32_t i = 0; i < s->n_lanes; i++) {
		struct zcp_sample sample;

		if (!channel_reader_ready(&s->lane[i]->reader))
			continue;
		if (!s->n_free)
			return -ENOBUFS;
		if (subscriber_take_newest(s, s->lane[i], &sample) < 0)
			continue;
		if (unlikely(!gate_is_open(&subscriber_gate, s->endpoint.open_gate))) {
			subscriber_say_taken(s, &sample);
			tally_flush(&s->taken.tally, s->endpoint.id);
		}
		if (s->value.owner && is_older(&sample, &s->value)) {
			zcp_sample_release(&sample);
			continue;
		}
		latest_drop(s);
		s->value = sample;
	}
	if (s->n_gone)
		subscriber_drop_drained(s);
	return 0;
}

int zcp_subscriber_latest(struct zcp_subscriber *subscriber, struct zcp_sample *sample)
{
	struct zcp_subscriber *s = subscriber;
	struct held *h;
	int r;

	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	r = look(s);
	/* what came since rings the bell again, and the user comes back */
	if (r == 0 && s->fd_mode)
		subscriber_rearm(s);
	if (r < 0)
		return error_note(r, "all of max_held samples are held, one of them by the subscriber itself; release one, or raise max_held");
	h = s->value.owner ? &s->held[s->value.held] : NULL;
	/* a copy of a reference was released twice: that was ours */
	if (!h || h->generation != s->value.generation)
		return error_note(-EAGAIN, "no value was published yet; a publisher with a history has one for those who come later");
	if (h->refs == UINT16_MAX)
		return error_note(-ENOBUFS, "this value is held 65535 times; release some");
	h->refs++;
	*sample = s->value;
	return 0;
}
