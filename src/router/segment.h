/* SPDX-License-Identifier: MIT */
/*
 * segment.h - a memfd and its doorbell, as the router holds them
 *
 * A segment is born with a read-write descriptor for its writer (`rw`), becomes readable for others
 * by segment_seal(), and from then on has a read-only one (`ro`). The router never maps or touches
 * its pages, so their memory is charged to the writer that does.
 *
 * Descriptors sit in send queues and in messages the kernel has not taken yet. A number that is
 * closed and reused meanwhile would hand a stranger's descriptor to a peer. So a queued message
 * holds a reference on the segment, and one that carries `rw` holds segment_hold_rw() in addition:
 * sealing does not close `rw` under it.
 */
#ifndef ZCP_ROUTER_SEGMENT_H
#define ZCP_ROUTER_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "router/quota.h"
#include "router/view.h"

struct segment {
	unsigned int refs, n_rw_holds;
	uint64_t id;			/* never reused in a router's life */
	uint64_t bytes;
	int rw, ro, doorbell;
	bool sealed;
	struct quota_user *user;
	struct view *view;
	unsigned int n_fds;		/* charged */
};

#define FDS_OF_AN_ENDPOINT 2u		/* memfd and doorbell */

/* What a segment is made of. */
enum segment_pages {
	SEGMENT_PAGES,
	SEGMENT_PAGES_HUGE,		/* huge ones, if there are any: then it may be larger than was asked for */
	SEGMENT_PAGES_HUGE_EXACT,	/* huge ones, if there are any and the size is a multiple of theirs */
};

/*
 * A new segment of @bytes, charged to @user, with a doorbell (a non-blocking eventfd) if
 * @with_doorbell. 0, or REFUSED (-EDQUOT, -EMFILE, -ENOMEM, -ENOSPC).
 */
int segment_new(struct segment **segment, struct view *view, struct quota_user *user, uint64_t id, uint64_t bytes,
		const char *label, enum segment_pages pages, bool with_doorbell, struct refusal *refusal);

/*
 * Not one at all, but a socket that is to be sent to a node as if it were one (handover.h): it takes *@fd over. 0, or REFUSED
 * (-EDQUOT, -ENOMEM).
 */
int segment_wrap(struct segment **segment, struct quota_user *user, int *fd, struct refusal *refusal);

/*
 * One that a node brings back from another router: @fds[0], which must be what a router of our user made with @label, and
 * @fds[1], its doorbell, if @with_doorbell. They become its own if it succeeds. 0, or REFUSED (also -EPERM: not what it claims to be).
 */
int segment_adopt(struct segment **segment, struct view *view, struct quota_user *user, uint64_t id, uint64_t bytes,
		  const char *label, int fds[WIRE_FDS_MAX], bool with_doorbell, struct refusal *refusal);

/*
 * The name of the memory file says whose it is: only its maker could choose it. "KIND:UID:NODE", and ":ENDPOINT" if there is
 * one.
 */
#define SEGMENT_LABEL_BYTES 80
void segment_label(char label[static SEGMENT_LABEL_BYTES], const char *kind, uid_t uid, uint64_t node, uint64_t endpoint);

/* 0, or REFUSED with the reason why @fd is not the segment that @label and @bytes say. */
int segment_check_origin(int fd, const char *label, uint64_t bytes, struct refusal *refusal);

struct segment *segment_ref(struct segment *segment);
struct segment *segment_unref(struct segment *segment);		/* NULL is fine; returns NULL */

/*
 * The writer has mapped it: seal it against new writers, then open it for readers, or map it
 * read-only for the router itself (the caller owns *@map). 0, or REFUSED; may be repeated after
 * that.
 */
int segment_seal_and_open(struct segment *segment, struct refusal *refusal);
int segment_seal_and_map(struct segment *segment, const void **map, struct refusal *refusal);

void segment_hold_rw(struct segment *segment);
void segment_release_rw(struct segment *segment);

#endif
