/* SPDX-License-Identifier: MIT */
/*
 * replay-sources.c - what zcp replay publishes: the files, and which of their streams
 *
 * A stream is what one publisher published in one file. The same publisher in another file, of a recording in parts, has one outlet with it, so that
 * the order of its messages stays; an outlet is as wide as the largest message of all its streams.
 */
#include "tools/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pattern.h"

static bool is_wanted(const struct replay *p, const struct recording_stream *s)
{
	struct wire_topic topic;

	snprintf(topic.service, sizeof(topic.service), "%s", s->topic[0]);
	snprintf(topic.instance, sizeof(topic.instance), "%s", s->topic[1]);
	snprintf(topic.event, sizeof(topic.event), "%s", s->topic[2]);
	for (int i = 0; i < p->n_patterns; i++) {
		if (pattern_matches_topic(&p->parsed[i], &topic))
			return true;
	}
	return !p->n_patterns;
}

static struct outlet *find_outlet(const struct replay *p, const struct recording_stream *s)
{
	for (size_t i = 0; i < p->n_outlets; i++) {
		const struct recording_stream *o = &p->outlets[i]->stream;

		if (o->publisher == s->publisher && !memcmp(o->topic, s->topic, sizeof(s->topic)))
			return p->outlets[i];
	}
	return NULL;
}

/* The outlet of a stream, wide enough for it too. */
static struct outlet *add_outlet(struct replay *p, const struct recording_known *known)
{
	struct outlet *o = find_outlet(p, &known->description), **outlets;

	if (!o) {
		outlets = reallocarray(p->outlets, p->n_outlets + 1, sizeof(*outlets));
		if (!outlets)
			return NULL;
		p->outlets = outlets;
		o = calloc(1, sizeof(*o));
		if (!o)
			return NULL;
		o->stream = known->description;
		p->outlets[p->n_outlets++] = o;
	}
	if (known->total.largest > o->largest)
		o->largest = known->total.largest;
	if (known->total.header_size > o->header_size)
		o->header_size = known->total.header_size;
	return o;
}

static int select_streams(struct replay *p, struct source *source)
{
	struct recording *r = source->recording;
	uint32_t n = r->n_ids ? r->n_ids : 1;

	source->wanted = calloc(n, sizeof(*source->wanted));
	source->outlets = calloc(n, sizeof(struct outlet *));
	if (!source->wanted || !source->outlets)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->n_ids; i++) {
		const struct recording_known *known = r->streams[i];

		if (!known || !known->total.messages || !is_wanted(p, &known->description))
			continue;
		source->wanted[i] = true;
		source->outlets[i] = add_outlet(p, known);
		if (!source->outlets[i])
			return -ENOMEM;
	}
	return 0;
}

/* One that was not finished is replayed as far as it goes, and said to be so. */
static int open_source(struct replay *p, struct source *source, const char *path)
{
	char why[RECORDING_WHY];
	struct recording *r;

	if (recording_open(&source->recording, path, why) < 0) {
		tool_fail("%s", why);
		return -EBADMSG;
	}
	r = source->recording;
	if (memcmp(r->header.boot_id, p->sources[0].recording->header.boot_id, sizeof(r->header.boot_id))) {
		tool_fail("%s was recorded after another start of the machine than %s: their times do not go together, replay it by itself",
			  path, p->sources[0].recording->path);
		return -EINVAL;
	}
	if (!r->indexed)
		fprintf(stderr, "zcp: %s was not finished: replaying what is there\n", path);
	for (uint64_t i = 0; i < r->n_entries; i++) {
		if (r->entries[i].messages && r->entries[i].first_ns < p->zero_ns)
			p->zero_ns = r->entries[i].first_ns;
	}
	if (select_streams(p, source) < 0) {
		tool_fail("out of memory");
		return -ENOMEM;
	}
	return 0;
}

int replay_open_sources(struct replay *p, char **paths, int n)
{
	p->sources = calloc((size_t)n, sizeof(*p->sources));
	p->zero_ns = UINT64_MAX;
	if (!p->sources) {
		tool_fail("out of memory");
		return -ENOMEM;
	}
	for (int i = 0; i < n; i++) {
		int r;

		p->n_sources++;
		r = open_source(p, &p->sources[i], paths[i]);
		if (r < 0)
			return r;
	}
	p->from_ns = p->zero_ns + (uint64_t)p->start_ns;
	p->to_ns = p->end_ns < 0 ? UINT64_MAX : p->zero_ns + (uint64_t)p->end_ns;
	return 0;
}

void replay_close_sources(struct replay *p)
{
	for (size_t i = 0; i < p->n_outlets; i++)
		free(p->outlets[i]);
	free(p->outlets);
	for (int i = 0; i < p->n_sources; i++) {
		recording_close(p->sources[i].recording);
		free(p->sources[i].wanted);
		free(p->sources[i].outlets);
	}
	free(p->sources);
}
