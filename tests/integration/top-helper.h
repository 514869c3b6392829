/* SPDX-License-Identifier: MIT */
/* top-helper.h - running zcp top, and looking into the JSON that it prints */
#ifndef ZCP_TESTS_TOP_HELPER_H
#define ZCP_TESTS_TOP_HELPER_H

#include <jansson.h>

#include "lib-helper.h"

/* A program that was started; its output arrives at `fd`. */
struct running {
	pid_t pid;
	int fd;
	char *text;		/* what has been read, up to used bytes; NUL behind it */
	size_t used, room;
};

/* zcp top with these arguments, NULL-terminated; as @uid, 0: ourselves. stderr comes with stdout. */
void top_start(struct running *running, uid_t uid, const char *const *arguments);

/* Read what is there now. False: the output has ended. */
bool top_read(struct running *running);

/* Read until the end, and reap: the exit status. The text is freed with top_free(). */
int top_finish(struct running *running);
void top_free(struct running *running);

/* zcp top --json --interval @interval to its end, which has to be 0. json_decref() it. */
json_t *top_json(const char *interval);

/* Member @name of @object, which must be there. */
json_t *member(const json_t *object, const char *name);
uint64_t number(const json_t *object, const char *name);
double real(const json_t *object, const char *name);
const char *text(const json_t *object, const char *name);
bool truth(const json_t *object, const char *name);

/* The topic's object with kind @kind; NULL: there is none. */
json_t *find_topic(const json_t *table, const char *event, const char *kind);
/* Element @i of its endpoints that is a @kind; and its connection @i. Must be there. */
json_t *endpoint_of(const json_t *topic, const char *kind, int i);
json_t *connection_of(const json_t *topic, int i);
/* Of the endpoint with this id. */
json_t *endpoint_by_id(const json_t *topic, uint64_t id);

#endif
