/* SPDX-License-Identifier: MIT */
/* See segment.h for the life of a segment. */

#include "router/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/memfd.h"

/* Of the kernel's many errors the few that the manual has for those who open. */
static int documented(int error)
{
	switch (error) {
	case -EMFILE:
	case -ENFILE:
		return -EMFILE;
	case -ENOSPC:
	case -EFBIG:
	case -EDQUOT:
		return -ENOSPC;
	default:
		return -ENOMEM;
	}
}

static int refuse_creation(struct refusal *refusal, int error)
{
	switch (error) {
	case -EMFILE:
	case -ENFILE:
		return refuse(refusal, -EMFILE, "the router has no free file descriptor: raise its RLIMIT_NOFILE (LimitNOFILE= of "
			      "its unit)");
	case -EFBIG:
		return refuse(refusal, documented(error), "the segment is larger than the router's file size limit: raise its RLIMIT_FSIZE");
	default:
		return refuse(refusal, documented(error), "the router cannot create the segment: %s", strerror(-error));
	}
}

static int charge(struct segment *segment, struct refusal *refusal)
{
	int r = quota_charge(segment->user, QUOTA_BYTES, segment->bytes, refusal);

	if (r)
		return r;
	r = quota_charge(segment->user, QUOTA_FDS, segment->n_fds, refusal);
	if (r)
		quota_release(segment->user, QUOTA_BYTES, segment->bytes);
	return r;
}

/* The descriptor of a file of huge pages, and its size in *bytes; or -1. */
static int create_huge(const char *label, enum segment_pages pages, uint64_t *bytes)
{
	uint64_t size = *bytes;
	int fd = pages == SEGMENT_PAGES ? -1 : memfd_create_huge(label, &size);

	if (fd >= 0 && size != *bytes && pages == SEGMENT_PAGES_HUGE_EXACT)
		fd = fd_close(fd);
	if (fd >= 0)
		*bytes = size;
	return fd < 0 ? -1 : fd;
}

int segment_new(struct segment **segmentp, struct view *view, struct quota_user *user, uint64_t id, uint64_t bytes,
		const char *label, enum segment_pages pages, bool with_doorbell, struct refusal *refusal)
{
	_cleanup_fd_ int rw = create_huge(label, pages, &bytes), doorbell = -1;
	struct segment *segment = calloc(1, sizeof(*segment));
	int r;

	if (!segment)
		return refuse_creation(refusal, -ENOMEM);
	*segment = (struct segment){ .refs = 1, .id = id, .bytes = bytes, .rw = -1, .ro = -1, .doorbell = -1,
				     .view = view, .n_fds = with_doorbell ? 2 : 1, .user = user };
	r = charge(segment, refusal);
	if (r) {
		free(segment);
		return r;
	}
	quota_ref(user);
	view_count_segment(view, bytes, true);

	if (rw < 0)
		rw = memfd_create_segment(label, bytes);
	if (rw < 0) {
		r = refuse_creation(refusal, rw);
		goto fail;
	}
	if (with_doorbell) {
		doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (doorbell < 0) {
			r = refuse_creation(refusal, -errno);
			goto fail;
		}
	}
	segment->rw = fd_take(&rw);
	segment->doorbell = fd_take(&doorbell);
	*segmentp = segment;
	return 0;
fail:
	segment_unref(segment);
	return r;
}

void segment_label(char label[static SEGMENT_LABEL_BYTES], const char *kind, uid_t uid, uint64_t node, uint64_t endpoint)
{
	int n = snprintf(label, SEGMENT_LABEL_BYTES, "%s:%u:%llu", kind, uid, (unsigned long long)node);

	if (endpoint)
		snprintf(label + n, SEGMENT_LABEL_BYTES - (size_t)n, ":%llu", (unsigned long long)endpoint);
}

int segment_check_origin(int fd, const char *label, uint64_t bytes, struct refusal *refusal)
{
	switch (memfd_check_origin(fd, label, bytes)) {
	case 0:
		return 0;
	case -EBADF:
		return refuse(refusal, -EPERM, "the segment that was handed back is no memory file");
	case -EPERM:
		return refuse(refusal, -EPERM, "the segment that was handed back is not sealed");
	case -EMSGSIZE:
		return refuse(refusal, -EPERM, "the segment that was handed back is not %llu bytes long", (unsigned long long)bytes);
	case -EACCES:
		return refuse(refusal, -EPERM, "the segment that was handed back was not made by a router of uid %u", geteuid());
	case -ESTALE:
		return refuse(refusal, -EPERM, "the segment that was handed back is not the one of this node and endpoint");
	default:
		return refuse(refusal, -EPERM, "the router cannot tell what was handed back: it needs /proc");
	}
}

static int check_doorbell(int fd, struct refusal *refusal)
{
	int flags = fcntl(fd, F_GETFL);

	if (memfd_check_eventfd(fd) < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return refuse(refusal, -EPERM, "the doorbell that was handed back is no eventfd");
	return 0;
}

int segment_adopt(struct segment **segmentp, struct view *view, struct quota_user *user, uint64_t id, uint64_t bytes,
		  const char *label, int fds[WIRE_FDS_MAX], bool with_doorbell, struct refusal *refusal)
{
	struct segment *segment;
	int r;

	r = segment_check_origin(fds[0], label, bytes, refusal);
	if (!r && with_doorbell)
		r = check_doorbell(fds[1], refusal);
	if (r)
		return r;
	segment = calloc(1, sizeof(*segment));
	if (!segment)
		return refuse_creation(refusal, -ENOMEM);
	*segment = (struct segment){ .refs = 1, .id = id, .bytes = bytes, .rw = -1, .ro = -1, .doorbell = -1, .sealed = true,
				     .view = view, .n_fds = with_doorbell ? 2 : 1, .user = user };
	r = charge(segment, refusal);
	if (r) {
		free(segment);
		return r;
	}
	quota_ref(user);
	view_count_segment(view, bytes, true);
	segment->ro = memfd_reader_fd(fds[0]);
	if (segment->ro < 0) {
		r = refuse_creation(refusal, segment->ro);
		segment_unref(segment);
		return r;
	}
	fds[0] = fd_close(fds[0]);
	if (with_doorbell)
		segment->doorbell = fd_take(&fds[1]);
	*segmentp = segment;
	return 0;
}

int segment_wrap(struct segment **segmentp, struct quota_user *user, int *fd, struct refusal *refusal)
{
	struct segment *segment;
	int r = quota_charge(user, QUOTA_FDS, 1, refusal);

	if (r)
		return r;
	segment = calloc(1, sizeof(*segment));
	if (!segment) {
		quota_release(user, QUOTA_FDS, 1);
		return refuse(refusal, -ENOMEM, "out of memory");
	}
	segment->refs = 1;
	segment->rw = fd_take(fd);
	segment->ro = segment->doorbell = -1;
	segment->user = quota_ref(user);
	segment->n_fds = 1;
	*segmentp = segment;
	return 0;
}

struct segment *segment_ref(struct segment *segment)
{
	segment->refs++;
	return segment;
}

struct segment *segment_unref(struct segment *segment)
{
	if (!segment || --segment->refs)
		return NULL;
	assert(!segment->n_rw_holds);
	fd_close(segment->rw);
	fd_close(segment->ro);
	fd_close(segment->doorbell);
	quota_release(segment->user, QUOTA_BYTES, segment->bytes);
	quota_release(segment->user, QUOTA_FDS, segment->n_fds);
	quota_put(segment->user);
	if (segment->view)
		view_count_segment(segment->view, segment->bytes, false);
	free(segment);
	return NULL;
}

static int seal(struct segment *segment, struct refusal *refusal)
{
	int r;

	if (segment->sealed)
		return 0;
	r = memfd_seal_writer(segment->rw);
	if (r < 0)
		return refuse(refusal, documented(r), "the router cannot seal the segment: %s", strerror(-r));
	segment->sealed = true;
	return 0;
}

static void close_rw(struct segment *segment)
{
	if (segment->n_rw_holds || segment->rw < 0)
		return;
	segment->rw = fd_close(segment->rw);
	if (segment->ro >= 0)
		return;
	segment->n_fds--;	/* a node page: the mapping is enough */
	quota_release(segment->user, QUOTA_FDS, 1);
}

int segment_seal_and_open(struct segment *segment, struct refusal *refusal)
{
	int r = seal(segment, refusal);

	if (r)
		return r;
	r = memfd_reader_fd(segment->rw);
	if (r < 0)
		return refuse_creation(refusal, r);
	segment->ro = r;
	close_rw(segment);
	return 0;
}

int segment_seal_and_map(struct segment *segment, const void **map, struct refusal *refusal)
{
	int r = seal(segment, refusal);

	if (r)
		return r;
	r = memfd_map_reader(segment->rw, segment->bytes, map);
	if (r < 0)
		return refuse(refusal, documented(r), "the router cannot map the node page: %s", strerror(-r));
	close_rw(segment);
	return 0;
}

void segment_hold_rw(struct segment *segment)
{
	segment_ref(segment)->n_rw_holds++;
}

void segment_release_rw(struct segment *segment)
{
	segment->n_rw_holds--;
	if (segment->sealed)
		close_rw(segment);
	segment_unref(segment);
}
