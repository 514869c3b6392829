/* SPDX-License-Identifier: MIT */
/*
 * directory.h - the router's segment that everybody may read
 *
 * Written by the router alone, mapped read-only by every node and tool, so that introspection costs no request.
 * A constant header, the router's heartbeat and counters, the tick calibration, then three tables: nodes,
 * endpoints, matches. Each row is guarded by a sequence lock: odd while the router changes it. `n_*_rows` in
 * the live part are high-water marks: rows at and above are unused. Readers copy a row out with
 * directory_read_row() and look only at the copy; they check the header's offsets against the segment's size
 * first (directory_open()).
 */
#ifndef ZCP_COMMON_DIRECTORY_H
#define ZCP_COMMON_DIRECTORY_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/wire.h"

#define DIRECTORY_MAGIC 0x5a43504449523031ull

#define DIRECTORY_DETECTOR_BPF (1u << 0)
#define DIRECTORY_DETECTOR_PIDFD (1u << 1)
#define DIRECTORY_DETECTOR_SOCKET (1u << 2)
#define DIRECTORY_DETECTOR_HEARTBEAT (1u << 3)

#define DIRECTORY_LOOP_IO_URING 1u
#define DIRECTORY_LOOP_EPOLL 2u

struct directory_header {
	uint64_t magic;
	uint32_t version;		/* WIRE_VERSION */
	uint32_t header_bytes;		/* sizeof(struct directory_header) */
	uint64_t segment_bytes;
	uint64_t epoch;			/* of this router's life */
	uint64_t start_ns;		/* CLOCK_MONOTONIC */
	uint32_t router_pid;		/* in the router's pid namespace */
	uint32_t loop;			/* DIRECTORY_LOOP_* */
	uint32_t detectors;		/* DIRECTORY_DETECTOR_* */
	uint32_t ticks;			/* 1: slots of publishers carry raw ticks, convert with `calibration` */
	char package_version[32];
	char socket_path[112];
	uint32_t max_nodes, max_endpoints, max_matches;	/* rows of the tables */
	uint32_t max_nodes_per_uid, max_endpoints_per_node;
	uint32_t max_endpoints_per_uid, max_matches_per_uid;
	uint64_t max_bytes_per_uid;	/* of segments, virtual size */
	uint64_t max_bytes_per_node;
	uint32_t max_fds_per_uid, max_fds_per_node;	/* descriptors that the router keeps open for them */
	uint32_t heartbeat_ms, scan_ms, timeout_ms;	/* touch, scan, and how long a silence is normal */
	uint32_t evict_unresponsive;	/* 0 or 1 */
	char config_path[112];		/* "": none was read */
	uint64_t nodes_offset, endpoints_offset, matches_offset;

	/* the live part */
	alignas(128) _Atomic uint64_t heartbeat_ns;	/* router's CLOCK_MONOTONIC at its last scan */
	_Atomic uint64_t calibration_seq;		/* sequence lock of `calibration` */
	_Atomic uint64_t calibration[4];		/* base_ticks, base_ns, mult, shift */
	_Atomic uint64_t segment_bytes_total;		/* of all segments handed out and alive (virtual size) */
	_Atomic uint64_t n_segments;
	_Atomic uint32_t n_nodes, n_endpoints, n_matches;
	_Atomic uint32_t n_node_rows, n_endpoint_rows, n_match_rows;
	_Atomic uint64_t total_nodes, total_deaths, total_refusals, total_messages;	/* since start */
	_Atomic uint64_t total_rejoins, total_evictions;
	_Atomic uint64_t total_found[4];		/* deaths by the detector that was first: bit number of DIRECTORY_DETECTOR_* */
	_Atomic uint64_t bpf_dropped;			/* exit events the kernel could not deliver; each was found by looking */
};

/* Every row begins with its sequence lock and its id; id 0: the row is free. */
struct directory_row {
	_Atomic uint64_t seq;
	uint64_t id;
};

#define DIRECTORY_NODE_UNRESPONSIVE (1u << 0)
#define DIRECTORY_NODE_UNMONITORED (1u << 1)

struct directory_node {
	_Atomic uint64_t seq;
	uint64_t id;
	uint32_t pid, uid, gid, flags;
	uint64_t since_ns;
	uint64_t segment_bytes;		/* of the segments it writes */
	char name[WIRE_NAME_BYTES];
	uint32_t n_fds;			/* descriptors that the router keeps open for it */
	uint32_t n_endpoints;
	uint64_t silent_since_ns;	/* router's clock at the last change of its heartbeat, once that is a second ago; or 0 */
};
static_assert(sizeof(struct directory_node) == 168, "layout");

struct directory_endpoint {
	_Atomic uint64_t seq;
	uint64_t id;
	uint64_t node;
	uint32_t kind;			/* enum wire_endpoint_kind */
	uint32_t flags;			/* WIRE_ENDPOINT_* */
	uint64_t since_ns;
	uint64_t segment_bytes;
	uint32_t depth, history, payload_max, max_held;
	uint32_t n_matches;
	uint32_t role;			/* enum wire_role */
	struct wire_topic topic;
	struct wire_type_info type;
	uint64_t to, from;		/* publisher of a client or server: as in ENDPOINT_OPEN */
	uint64_t reserved;
};
static_assert(sizeof(struct directory_endpoint) == 8 * 6 + 16 + 8 + 312 + 120 + 24, "layout");

struct directory_match {
	_Atomic uint64_t seq;
	uint64_t id;			/* the match's generation */
	uint64_t publisher, subscriber;	/* endpoint ids */
	uint32_t flags;			/* WIRE_MATCH_* */
	uint32_t lane;
	uint64_t reserved;
};
static_assert(sizeof(struct directory_match) == 48, "layout");

/*
 * A checked view of a mapped directory: offsets and counts copied once, so that a hostile router cannot change
 * them later.
 */
struct directory_view {
	const struct directory_header *header;
	uint64_t bytes;
	uint32_t max_nodes, max_endpoints, max_matches;
	uint64_t nodes_offset, endpoints_offset, matches_offset;
};

/* Size of a directory with that many rows, a multiple of 4096. */
uint64_t directory_bytes(uint32_t max_nodes, uint32_t max_endpoints, uint32_t max_matches);

/*
 * Router: lay out a fresh, zeroed, writable directory: geometry fields of the header are set, the caller fills
 * the rest.
 */
void directory_format(void *memory, uint64_t bytes, uint32_t max_nodes, uint32_t max_endpoints, uint32_t max_matches);

/* Router: write @row_bytes of @row (its seq is ignored) over @target under its sequence lock. */
void directory_write_row(void *target, const void *row, size_t row_bytes);

/*
 * Router: publish @c; reader: fetch it (mult 0 where ticks are not used). 0; or -EAGAIN: the router was
 * changing it each time we looked (bounded retries), -EPROTO: nonsense. On an error *c is not touched, so that
 * a reader goes on with the one it had.
 */
void directory_write_calibration(struct directory_header *d, const struct clock_calibration *c);
int directory_read_calibration(const struct directory_header *d, struct clock_calibration *c);

/* Reader: check the header of the mapped directory. 0, or -EPROTO. */
int directory_open(struct directory_view *view, const void *memory, uint64_t bytes);

/*
 * Reader: copy row @index of a table out. 1: copied, row in use; 0: free row, or index beyond the table's
 * high-water mark; -EAGAIN: the router was changing it each time we looked (bounded retries).
 */
int directory_read_node(const struct directory_view *view, uint32_t index, struct directory_node *out);
int directory_read_endpoint(const struct directory_view *view, uint32_t index, struct directory_endpoint *out);
int directory_read_match(const struct directory_view *view, uint32_t index, struct directory_match *out);

/* The node page: written by one node, read by the router. */
#define NODE_PAGE_MAGIC 0x5a43504e4f444531ull
#define NODE_PAGE_BYTES 4096

struct node_page {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	alignas(64) _Atomic uint64_t heartbeat_ns;	/* the node's CLOCK_MONOTONIC, touched every 100 ms; the router only looks whether it changes */
	_Atomic uint64_t n_dispatches;
};

#endif
