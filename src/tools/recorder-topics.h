/* SPDX-License-Identifier: MIT */
/*
 * recorder-topics.h - what a recorder subscribes to: the topics of its patterns, as they appear
 *
 * A topic is subscribed to as soon as anybody publishes or subscribes there: whoever waits for a publisher tells us of it before it
 * comes, so that nothing of its beginning is missed. A topic that is named in full, without wildcards, is subscribed to at once.
 *
 * What a publisher is (its type, whether it is reliable) is in the router's directory as long as it is there; it is looked up when we hear of it.
 */
#ifndef ZCP_TOOLS_RECORDER_TOPICS_H
#define ZCP_TOOLS_RECORDER_TOPICS_H

#include "lib/endpoint.h"
#include "tools/recording.h"
#include "zcp/zcp.h"

struct recorder_topic;
struct recorder_publisher;

struct recorder_topics {
	zcp_node *node;
	zcp_waitset *waitset;
	bool reliable;
	uint32_t history;
	zcp_watch **watches;
	int n_watches;
	struct recorder_topic *topics;		/* uthash by name */
	struct recorder_publisher *publishers;	/* uthash by id */
	uint32_t n_topics, n_failed;		/* n_failed: could not be subscribed to */
	uint32_t n_gone;			/* publishers */
};

struct recorder_publisher {
	struct recording_stream stream;		/* id: valid if added */
	bool added;				/* to the recording */
	bool gone;
	UT_hash_handle hh;
};

/*
 * Watch @patterns (none: everything), and subscribe to what is there. node, waitset, reliable and history are set. Members of the wait
 * set are subscribers, whose `user` is their struct recorder_topic, and watches. 0, or a negative errno value after the complaint
 * (-EINVAL: a pattern that is none).
 */
int recorder_topics_open(struct recorder_topics *topics, char **patterns, int n_patterns);
void recorder_topics_close(struct recorder_topics *topics);

/* A watch is ready: take what it has. 0, or a negative errno value after the complaint. */
int recorder_topics_look(struct recorder_topics *topics, zcp_watch *watch);

zcp_subscriber *recorder_topic_subscriber(const struct recorder_topic *topic);

/* The publisher of a message of @topic. NULL: out of memory. */
struct recorder_publisher *recorder_topics_publisher(struct recorder_topics *topics, const struct recorder_topic *topic, uint64_t id);

/* Call @f for each topic. */
void recorder_topics_each(struct recorder_topics *topics, void (*f)(struct recorder_topic *topic, void *user), void *user);

/* Messages lost, by all subscribers. */
uint64_t recorder_topics_lost(struct recorder_topics *topics);

#endif
