/* SPDX-License-Identifier: MIT */
/*
 * publisher.h - the inside of a publisher
 *
 * A channel_writer with an endpoint around it. publisher.c has what happens per message, publisher-open.c the
 * rest of its life.
 */
#ifndef ZCP_LIB_PUBLISHER_H
#define ZCP_LIB_PUBLISHER_H

#include "channel/writer.h"
#include "lib/endpoint.h"
#include "lib/tally.h"
#include "zcp/zcp.h"

struct growth;

struct zcp_publisher {
	struct endpoint endpoint;	/* first: what every call looks at */
	struct channel_writer writer;
	int64_t timeout_ns;		/* reliable: how long to wait for room */
	uint64_t dry_said_ns;		/* when the router was told last that the pool is dry */
	bool expects_anew;		/* n_anew is what to expect from now on. Under lock */
	uint32_t n_anew;
	bool counters;			/* of a notifier */
	uint32_t max_event_id;
	bool huge;			/* advise huge pages */
	struct growth *growth;		/* growth.h; NULL: this one does not grow */
	struct grave *grave;		/* allocated ahead: closing with open loans must not fail */
	struct tally tally;		/* for tracers; untouched while there are none */
};

/* One matched subscriber. */
struct subscriber_match {
	struct match match;
	uint32_t lane, n_lanes, max_held;
};

/*
 * The steps of opening, for channels between clients and servers (connection.c). publisher_new(): the struct alone, or NULL;
 * publisher_set_up(): when its endpoint has its segment, 0 or a negative errno value; publisher_free(): one whose endpoint
 * never was in the table.
 */
struct zcp_publisher *publisher_new(struct zcp_node *node, struct endpoint *parent, bool reliable, int64_t timeout_ns);
int publisher_set_up(struct zcp_publisher *p, const struct channel_geometry *geometry, bool reliable, enum writer_stamp stamp);

/* For notifiers (notifier.c): open one whose channel is counters. Blocks as zcp_publisher_open(). */
int publisher_open_counters(struct zcp_publisher **publisher, struct zcp_node *node, struct wire_endpoint_open *message);
void publisher_free(struct zcp_publisher *p);

/* Whether the router wants ticks for timestamps. Under lock. */
enum writer_stamp publisher_stamp(const struct zcp_node *node);

/* Attach lanes that came, detach lanes that went. The publisher's own thread. */
void publisher_look_at_news(struct zcp_publisher *publisher);

#endif
