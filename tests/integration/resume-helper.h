/* SPDX-License-Identifier: MIT */
/*
 * resume-helper.h - a node that comes back to a router that was restarted, by hand
 *
 * A player has one endpoint at most and remembers all that it would hand back. Each step of coming back is a function of
 * its own, so that a test can leave one out or lie in one.
 */
#ifndef ZCP_TESTS_RESUME_HELPER_H
#define ZCP_TESTS_RESUME_HELPER_H

#include "router-helper.h"

/* An endpoint as its owner remembers it. */
struct kept {
	struct wire_endpoint_open open;
	struct test_endpoint endpoint;
	uint32_t n_expected;
};

struct player {
	struct test_node node;		/* without a mapping */
	int page_fd;
	struct kept kept;
};

extern struct test_router router;

/* Start the router on loop @i with further @arguments (NULL: none), which the next one gets as well. */
void start_with(int i, const char *const *arguments);
/* Kill it, and start another. */
void restart(void);
/* Everybody has left, and nothing is left of them. */
void finish(void);

void join(struct player *p);
/* Of @p on @topic, up to ENDPOINT_READY. */
void open_endpoint(struct player *p, bool publisher, const char *topic);
/* @p the publisher and @s the subscriber that was there first; without @lane the subscriber does not answer. */
void meet(struct player *p, struct player *s, struct wire_writer_added *writer, struct wire_lane_added *lane);
void leave(struct player *p);

/* The connection ends; REJOIN at the router that is there now, up to SEGMENT_MAPPED. */
void rejoin(struct player *p);
void fill_rejoin(const struct player *p, struct wire_rejoin *rejoin);
void fill_resume(const struct kept *k, struct wire_endpoint_resume *resume, uint32_t n_claims);
void send_with_fds(int fd, const struct wire_header *message, const int *fds, unsigned int n);
void hand_back(struct player *p, uint32_t n_claims);
void claim(struct player *p, const struct wire_match_resume *c);
/* n_pending. */
uint32_t expect_resumed(struct player *p);
void end_resume(struct player *p);

/* All of it, with one claim or none. */
void come_back(struct player *p, const struct wire_match_resume *c);

struct wire_match_resume claim_of_subscriber(const struct wire_writer_added *w, uint32_t lane);
struct wire_match_resume claim_of_publisher(const struct wire_lane_added *l);

void expect_gone(struct player *p, enum wire_type type, uint64_t match, enum wire_cause cause);
/* All that the router said because of what was sent to it so far is read. */
void expect_nothing(struct player *p);

#endif
