/* SPDX-License-Identifier: MIT */
/* See view.h. */

#include "router/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/memfd.h"
#include "common/name.h"
#include "router/log.h"
#include "router/registry.h"
#include "router/router.h"

static int rows_open(struct view_rows *rows, uint32_t max)
{
	*rows = (struct view_rows){ .max = max };
	rows->taken = calloc((max + 63) / 64, sizeof(*rows->taken));
	return rows->taken ? 0 : -ENOMEM;
}

int view_take_row(struct view_rows *rows, uint32_t *row, const char *what, const char *option, struct refusal *refusal)
{
	for (uint32_t i = rows->hint / 64; i < (rows->max + 63) / 64; i++) {
		uint32_t index;

		if (!~rows->taken[i])
			continue;
		index = i * 64 + (uint32_t)__builtin_ctzll(~rows->taken[i]);
		if (index >= rows->max)
			break;
		rows->taken[i] |= 1ull << index % 64;
		rows->n_taken++;
		rows->hint = index;
		if (index >= rows->n_high)
			rows->n_high = index + 1;
		*row = index;
		return 0;
	}
	return refuse(refusal, -ENOSPC, "the router has no room for more than %u %s: start it with a larger %s", rows->max, what,
		      option);
}

static void give_row(struct view_rows *rows, uint32_t row)
{
	rows->taken[row / 64] &= ~(1ull << row % 64);
	rows->n_taken--;
	if (row < rows->hint)
		rows->hint = row;
}

static void store_u32(_Atomic uint32_t *target, uint32_t value)
{
	atomic_store_explicit(target, value, memory_order_relaxed);
}

/* The router is the only writer: a plain load and store, no locked instruction. */
static void add_u64(_Atomic uint64_t *target, uint64_t value)
{
	atomic_store_explicit(target, atomic_load_explicit(target, memory_order_relaxed) + value, memory_order_relaxed);
}

static void store_counts(struct view *view)
{
	struct directory_header *h = view->header;

	store_u32(&h->n_nodes, view->node_rows.n_taken);
	store_u32(&h->n_endpoints, view->endpoint_rows.n_taken);
	store_u32(&h->n_matches, view->match_rows.n_taken);
	store_u32(&h->n_node_rows, view->node_rows.n_high);
	store_u32(&h->n_endpoint_rows, view->endpoint_rows.n_high);
	store_u32(&h->n_match_rows, view->match_rows.n_high);
}

static void fill_header(struct view *view, const struct router_options *options, const char *socket_path, uint64_t epoch)
{
	struct directory_header *h = view->header;

	h->epoch = epoch;
	h->start_ns = clock_now_ns();
	h->router_pid = (uint32_t)getpid();
	h->ticks = view->calibration.mult != 0;
	strncpy(h->package_version, PACKAGE_VERSION, sizeof(h->package_version) - 1);
	strncpy(h->socket_path, socket_path, sizeof(h->socket_path) - 1);
	h->max_nodes_per_uid = options->max_nodes_per_uid;
	h->max_endpoints_per_node = options->max_endpoints_per_node;
	h->max_bytes_per_uid = options->max_bytes_per_uid;
	h->max_endpoints_per_uid = options->max_endpoints_per_uid;
	h->max_matches_per_uid = options->max_matches_per_uid;
	h->max_bytes_per_node = options->max_bytes_per_node;
	h->max_fds_per_uid = options->max_fds_per_uid;
	h->max_fds_per_node = options->max_fds_per_node;
	h->heartbeat_ms = options->heartbeat_ms;
	h->scan_ms = options->scan_ms;
	h->timeout_ms = options->timeout_ms;
	h->evict_unresponsive = options->evict_unresponsive;
	if (options->config_path)
		strncpy(h->config_path, options->config_path, sizeof(h->config_path) - 1);
}

int view_open(struct view *view, const struct router_options *options, const char *socket_path, uint64_t epoch)
{
	_cleanup_fd_ int fd = -1;
	void *memory;
	int r;

	*view = (struct view){ .reader_fd = -1 };
	r = rows_open(&view->node_rows, options->max_nodes);
	if (r >= 0)
		r = rows_open(&view->endpoint_rows, options->max_endpoints);
	if (r >= 0)
		r = rows_open(&view->match_rows, options->max_matches);
	if (r < 0)
		goto fail;

	view->bytes = directory_bytes(options->max_nodes, options->max_endpoints, options->max_matches);
	fd = memfd_create_segment("directory", view->bytes);
	if (fd < 0) {
		r = fd;
		goto fail;
	}
	r = memfd_map_writer(fd, view->bytes, &memory);
	if (r < 0)
		goto fail;
	directory_format(memory, view->bytes, options->max_nodes, options->max_endpoints, options->max_matches);
	view->header = memory;
	view->nodes = (void *)((char *)memory + view->header->nodes_offset);
	view->endpoints = (void *)((char *)memory + view->header->endpoints_offset);
	view->matches = (void *)((char *)memory + view->header->matches_offset);

	clock_calibrate_init(&view->calibration);
	clock_sample(&view->first_ticks, &view->first_ns);
	directory_write_calibration(view->header, &view->calibration);
	fill_header(view, options, socket_path, epoch);
	view_tick(view, clock_now_ns());

	r = memfd_seal_writer(fd);
	if (r < 0)
		goto fail;
	view->reader_fd = memfd_reader_fd(fd);
	if (view->reader_fd < 0) {
		r = view->reader_fd;
		goto fail;
	}
	return 0;
fail:
	log_error("cannot create the directory: %s", strerror(-r));
	return r;
}

void view_close(struct view *view)
{
	if (view->header)
		munmap(view->header, view->bytes);
	view->header = NULL;
	fd_close(view->reader_fd);
	free(view->node_rows.taken);
	free(view->endpoint_rows.taken);
	free(view->match_rows.taken);
	*view = (struct view){ .reader_fd = -1 };
}

void view_set_loop(struct view *view, uint32_t loop, uint32_t detectors)
{
	view->header->loop = loop;
	view->header->detectors = detectors;
}

/* --- rows ----------------------------------------------------------------------------------------- */

void view_put_node(struct view *view, const struct node *node)
{
	struct directory_node row = {
		.id = node->id,
		.pid = (uint32_t)node->pid,
		.uid = node->uid,
		.gid = node->gid,
		.flags = (node->unresponsive ? DIRECTORY_NODE_UNRESPONSIVE : 0) |
			 (node->unmonitored ? DIRECTORY_NODE_UNMONITORED : 0),
		.since_ns = node->since_ns,
		.segment_bytes = node->segment_bytes,
		.n_fds = registry_node_fds(node),
		.n_endpoints = node->n_endpoints,
		.silent_since_ns = node->silent ? node->heartbeat_changed_ns : 0,
	};

	name_to_field(row.name, sizeof(row.name), node->name);
	directory_write_row(&view->nodes[node->row], &row, sizeof(row));
	store_counts(view);
}

void view_drop_node(struct view *view, uint32_t index)
{
	struct directory_node row = { 0 };

	directory_write_row(&view->nodes[index], &row, sizeof(row));
	give_row(&view->node_rows, index);
	store_counts(view);
}

void view_put_endpoint(struct view *view, const struct endpoint *endpoint)
{
	struct directory_endpoint row = {
		.id = endpoint->id,
		.node = endpoint->node->id,
		.kind = endpoint->kind,
		.role = endpoint->topic->key.role,
		.to = endpoint->to,
		.from = endpoint->from,
		.flags = endpoint->flags,
		.since_ns = endpoint->since_ns,
		.segment_bytes = endpoint->segment->bytes + endpoint->extra_bytes,
		.depth = endpoint->geometry.depth,
		.history = endpoint->kind == WIRE_PUBLISHER ? endpoint->geometry.history : endpoint->history,
		.payload_max = endpoint->geometry.payload_max,
		.max_held = endpoint->kind == WIRE_SUBSCRIBER ? endpoint->max_held : 0,
		.n_matches = endpoint->n_matches,
		.topic = endpoint->topic->key.name,
		.type = endpoint->type,
	};

	directory_write_row(&view->endpoints[endpoint->row], &row, sizeof(row));
	store_counts(view);
}

void view_drop_endpoint(struct view *view, uint32_t index)
{
	struct directory_endpoint row = { 0 };

	directory_write_row(&view->endpoints[index], &row, sizeof(row));
	give_row(&view->endpoint_rows, index);
	store_counts(view);
}

void view_put_match(struct view *view, const struct match *match)
{
	struct directory_match row = {
		.id = match->id,
		.publisher = match->publisher->id,
		.subscriber = match->subscriber->id,
		.flags = match->flags,
		.lane = match->lane,
	};

	directory_write_row(&view->matches[match->row], &row, sizeof(row));
	store_counts(view);
}

void view_drop_match(struct view *view, uint32_t index)
{
	struct directory_match row = { 0 };

	directory_write_row(&view->matches[index], &row, sizeof(row));
	give_row(&view->match_rows, index);
	store_counts(view);
}

/* --- counters ------------------------------------------------------------------------------------- */

void view_count_segment(struct view *view, uint64_t bytes, bool add)
{
	add_u64(&view->header->segment_bytes_total, add ? bytes : -bytes);
	add_u64(&view->header->n_segments, add ? 1 : UINT64_MAX);
}

void view_count_rejoin(struct view *view)
{
	add_u64(&view->header->total_rejoins, 1);
}

void view_count_node(struct view *view)
{
	add_u64(&view->header->total_nodes, 1);
}

void view_count_message(struct view *view)
{
	add_u64(&view->header->total_messages, 1);
}

void view_count_refusal(struct view *view)
{
	add_u64(&view->header->total_refusals, 1);
}

void view_count_death(struct view *view)
{
	add_u64(&view->header->total_deaths, 1);
}

void view_count_eviction(struct view *view)
{
	add_u64(&view->header->total_evictions, 1);
}

void view_count_found(struct view *view, unsigned int detector)
{
	if (detector)
		add_u64(&view->header->total_found[__builtin_ctz(detector) & 3], 1);
}

void view_set_dropped(struct view *view, uint64_t n)
{
	atomic_store_explicit(&view->header->bpf_dropped, n, memory_order_relaxed);
}

void view_tick(struct view *view, uint64_t now_ns)
{
	atomic_store_explicit(&view->header->heartbeat_ns, now_ns, memory_order_relaxed);
	if (view->calibration.mult && now_ns != view->first_ns) {
		clock_calibrate_update(&view->calibration, view->first_ticks, view->first_ns);
		directory_write_calibration(view->header, &view->calibration);
	}
}
