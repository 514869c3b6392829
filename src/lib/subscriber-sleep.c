/* SPDX-License-Identifier: MIT */
/*
 * subscriber-sleep.c - waiting for a message, by a call or by a descriptor
 *
 * The subscriber's doorbell is an eventfd that publishers write only when asked to: lane_page_arm() asks. After
 * asking, look once more; what is published after that look finds the request and rings. Each publisher rings
 * once per request.
 *
 * The same eventfd is what zcp_subscriber_fd() hands out. The promise "readable until take says -EAGAIN" is
 * kept by reading it empty nowhere else than in a take that found nothing, and by asking again right there.
 */
#include "lib/subscriber.h"

#include <errno.h>

#include "lib/doorbell.h"
#include "lib/error.h"

static void arm(struct zcp_subscriber *s)
{
	lane_page_arm(s->endpoint.segment, s->endpoint.id);
	s->armed = true;
}

void subscriber_flush(struct zcp_subscriber *s)
{
	for (uint32_t i = 0; i < s->n_lanes; i++) {
		channel_reader_flush(&s->lane[i]->reader);
		if (s->lane[i]->reader.wake_writer)
			lane_wake_writer(s, s->lane[i]);
	}
}

bool subscriber_has_something(struct zcp_subscriber *s)
{
	if (subscriber_ready(s) || (s->hooks && s->hooks->ready && s->hooks->ready(s)))
		return true;
	tally_flush(&s->taken.tally, s->endpoint.id);
	return false;
}

int subscriber_rearm(struct zcp_subscriber *s)
{
	bool rang = doorbell_silence(s->endpoint.doorbell);

	if (s->armed && !rang)
		return -EAGAIN;
	arm(s);
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	if (!subscriber_has_something(s))
		return -EAGAIN;
	doorbell_ring(s->endpoint.doorbell);
	return 0;
}

int zcp_subscriber_fd(struct zcp_subscriber *subscriber)
{
	struct zcp_subscriber *s = subscriber;

	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	if (!s->fd_mode) {
		s->fd_mode = true;
		s->armed = false;
		subscriber_flush(s);
		subscriber_rearm(s);
	}
	return s->endpoint.doorbell;
}

/* Something to take, or -EAGAIN; -ENOBUFS; -EOWNERDEAD. */
static int look(struct zcp_subscriber *s)
{
	if (forked_since(s->endpoint.fork_generation))
		return error_forked();
	if (endpoint_has_news(&s->endpoint))
		subscriber_look_at_news(s);
	if (!s->n_free)
		return error_note(-ENOBUFS, "max_held samples are held; release one before you wait for another");
	return subscriber_has_something(s) ? 0 : -EAGAIN;
}

int zcp_subscriber_wait(struct zcp_subscriber *subscriber, int64_t timeout)
{
	int r = look(subscriber);

	return r == -EAGAIN ? subscriber_wait_until(subscriber, deadline_after(timeout)) : r;
}

int subscriber_wait_until(struct zcp_subscriber *s, uint64_t deadline)
{
	bool slept = false;
	int r;

	subscriber_flush(s);
	for (;;) {
		arm(s);
		r = look(s);
		if (r != -EAGAIN)
			break;
		if (endpoint_sleep(&s->endpoint, deadline) < 0) {
			r = error_note(-ETIMEDOUT, "no message came in time");
			break;
		}
		slept = true;
		r = look(s);
		if (r != -EAGAIN)
			break;
	}
	/* we have silenced the bell, but somebody may poll it, or a wait set */
	if ((s->fd_mode || s->endpoint.waiter) && slept && r == 0)
		doorbell_ring(s->endpoint.doorbell);
	return r;
}
