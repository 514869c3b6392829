/* SPDX-License-Identifier: MIT */
/* src/common/directory.c: rows under the sequence lock, and headers of a router that lies. */
#include "common/directory.h"

#include <pthread.h>
#include <stdlib.h>

#include "harness.h"

#define N_NODES 3u
#define N_ENDPOINTS 5u
#define N_MATCHES 7u

/* A formatted directory of exactly its size (ASan sees a step beyond it); the caller frees. */
static struct directory_header *create(uint64_t *bytes)
{
	void *memory;

	*bytes = directory_bytes(N_NODES, N_ENDPOINTS, N_MATCHES);
	memory = aligned_alloc(4096, *bytes);
	ck_assert_ptr_nonnull(memory);
	memset(memory, 0, *bytes);
	directory_format(memory, *bytes, N_NODES, N_ENDPOINTS, N_MATCHES);
	return memory;
}

static void *row_at(struct directory_header *d, uint64_t offset, uint32_t index, size_t row_bytes)
{
	return (char *)d + offset + index * row_bytes;
}

START_TEST(test_bytes)
{
	ck_assert_uint_eq(directory_bytes(0, 0, 0), 4096);
	ck_assert_uint_eq(directory_bytes(N_NODES, N_ENDPOINTS, N_MATCHES) % 4096, 0);
	ck_assert_uint_ge(directory_bytes(1000, 2000, 3000), 1000 * sizeof(struct directory_node) +
			  2000 * sizeof(struct directory_endpoint) + 3000 * sizeof(struct directory_match));
	/* No overflow at the end of the range. */
	ck_assert_uint_gt(directory_bytes(UINT32_MAX, UINT32_MAX, UINT32_MAX), 700ull * UINT32_MAX);
}
END_TEST

START_TEST(test_format)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view;

	ck_assert_int_eq(directory_open(&view, d, bytes), 0);
	ck_assert_uint_eq(view.max_nodes, N_NODES);
	ck_assert_uint_eq(view.max_endpoints, N_ENDPOINTS);
	ck_assert_uint_eq(view.max_matches, N_MATCHES);
	ck_assert_ptr_eq(view.header, d);

	/* Tables lie behind each other and inside. */
	ck_assert_uint_ge(view.nodes_offset, sizeof(*d));
	ck_assert_uint_ge(view.endpoints_offset, view.nodes_offset + N_NODES * sizeof(struct directory_node));
	ck_assert_uint_ge(view.matches_offset, view.endpoints_offset + N_ENDPOINTS * sizeof(struct directory_endpoint));
	ck_assert_uint_le(view.matches_offset + N_MATCHES * sizeof(struct directory_match), bytes);
	free(d);
}
END_TEST

START_TEST(test_rows)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view;
	struct directory_node node = { .id = 11, .pid = 4711, .uid = 1000, .flags = DIRECTORY_NODE_UNMONITORED,
				       .name = "camera" };
	struct directory_endpoint endpoint = { .id = 12, .node = 11, .kind = WIRE_PUBLISHER, .depth = 16,
					       .topic = { "radar", "front", "objects" }, .type = { "frame", 64, 8 } };
	struct directory_match match = { .id = 13, .publisher = 12, .subscriber = 99, .lane = 3 };
	struct directory_node node_out;
	struct directory_endpoint endpoint_out;
	struct directory_match match_out;

	ck_assert_int_eq(directory_open(&view, d, bytes), 0);
	directory_write_row(row_at(d, d->nodes_offset, 2, sizeof(node)), &node, sizeof(node));
	directory_write_row(row_at(d, d->endpoints_offset, 4, sizeof(endpoint)), &endpoint, sizeof(endpoint));
	directory_write_row(row_at(d, d->matches_offset, 6, sizeof(match)), &match, sizeof(match));

	/* Below the high-water mark only. */
	ck_assert_int_eq(directory_read_node(&view, 2, &node_out), 0);
	d->n_node_rows = N_NODES;
	d->n_endpoint_rows = N_ENDPOINTS;
	d->n_match_rows = N_MATCHES;

	ck_assert_int_eq(directory_read_node(&view, 2, &node_out), 1);
	ck_assert_uint_eq(node_out.id, 11);
	ck_assert_uint_eq(node_out.pid, 4711);
	ck_assert_uint_eq(node_out.uid, 1000);
	ck_assert_uint_eq(node_out.flags, DIRECTORY_NODE_UNMONITORED);
	ck_assert_str_eq(node_out.name, "camera");
	ck_assert_uint_eq(node_out.seq, 2);

	ck_assert_int_eq(directory_read_endpoint(&view, 4, &endpoint_out), 1);
	ck_assert_str_eq(endpoint_out.topic.service, "radar");
	ck_assert_str_eq(endpoint_out.topic.event, "objects");
	ck_assert_uint_eq(endpoint_out.type.alignment, 8);
	ck_assert_uint_eq(endpoint_out.depth, 16);

	ck_assert_int_eq(directory_read_match(&view, 6, &match_out), 1);
	ck_assert_uint_eq(match_out.subscriber, 99);
	ck_assert_uint_eq(match_out.lane, 3);

	/* Neighbours are free, and a row becomes free again. */
	ck_assert_int_eq(directory_read_node(&view, 1, &node_out), 0);
	ck_assert_int_eq(directory_read_endpoint(&view, 3, &endpoint_out), 0);
	ck_assert_int_eq(directory_read_match(&view, 5, &match_out), 0);
	node = (struct directory_node){ 0 };
	directory_write_row(row_at(d, d->nodes_offset, 2, sizeof(node)), &node, sizeof(node));
	ck_assert_int_eq(directory_read_node(&view, 2, &node_out), 0);
	free(d);
}
END_TEST

/* High-water marks of a liar do not lead beyond the table. */
START_TEST(test_index)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view;
	struct directory_node node;
	struct directory_endpoint endpoint;
	struct directory_match match;

	ck_assert_int_eq(directory_open(&view, d, bytes), 0);
	d->n_node_rows = d->n_endpoint_rows = d->n_match_rows = UINT32_MAX;
	ck_assert_int_eq(directory_read_node(&view, N_NODES, &node), 0);
	ck_assert_int_eq(directory_read_endpoint(&view, N_ENDPOINTS, &endpoint), 0);
	ck_assert_int_eq(directory_read_match(&view, N_MATCHES, &match), 0);
	ck_assert_int_eq(directory_read_node(&view, UINT32_MAX, &node), 0);
	ck_assert_int_eq(directory_read_match(&view, N_MATCHES - 1, &match), 0);

	/* Nor does a header that changes after it was checked. */
	d->max_nodes = UINT32_MAX;
	d->nodes_offset = UINT64_MAX - 7;
	ck_assert_int_eq(directory_read_node(&view, N_NODES, &node), 0);
	ck_assert_int_eq(directory_read_node(&view, 0, &node), 0);
	free(d);
}
END_TEST

/* A router that died inside a row: the reader gives up and the next router's row is readable again. */
START_TEST(test_odd_for_ever)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view;
	struct directory_match match = { .id = 1 }, out;
	struct directory_match *row = row_at(d, d->matches_offset, 0, sizeof(match));

	ck_assert_int_eq(directory_open(&view, d, bytes), 0);
	d->n_match_rows = 1;
	directory_write_row(row, &match, sizeof(match));
	row->seq++;
	ck_assert_int_eq(directory_read_match(&view, 0, &out), -EAGAIN);
	directory_write_row(row, &match, sizeof(match));
	ck_assert_int_eq(directory_read_match(&view, 0, &out), 1);
	ck_assert_uint_eq(row->seq % 2, 0);
	free(d);
}
END_TEST

START_TEST(test_strings_end)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view;
	struct directory_node node;
	struct directory_endpoint endpoint;

	ck_assert_int_eq(directory_open(&view, d, bytes), 0);
	memset(&node, 'x', sizeof(node));
	memset(&endpoint, 'x', sizeof(endpoint));
	directory_write_row(row_at(d, d->nodes_offset, 0, sizeof(node)), &node, sizeof(node));
	directory_write_row(row_at(d, d->endpoints_offset, 0, sizeof(endpoint)), &endpoint, sizeof(endpoint));
	d->n_node_rows = d->n_endpoint_rows = 1;

	ck_assert_int_eq(directory_read_node(&view, 0, &node), 1);
	ck_assert_uint_eq(strlen(node.name), WIRE_NAME_BYTES - 1);
	ck_assert_int_eq(directory_read_endpoint(&view, 0, &endpoint), 1);
	ck_assert_uint_eq(strlen(endpoint.topic.service), WIRE_NAME_BYTES - 1);
	ck_assert_uint_eq(strlen(endpoint.topic.instance), WIRE_NAME_BYTES - 1);
	ck_assert_uint_eq(strlen(endpoint.topic.event), WIRE_NAME_BYTES - 1);
	ck_assert_uint_eq(strlen(endpoint.type.name), WIRE_NAME_BYTES - 1);
	free(d);
}
END_TEST

/* Set one field of a good header to @value and expect -EPROTO. */
#define REFUSED(field, value)                                                        \
	do {                                                                         \
		__typeof__(d->field) good_ = d->field;                               \
		d->field = (__typeof__(d->field))(value);                            \
		ck_assert_msg(directory_open(&view, d, bytes) == -EPROTO,            \
			      "%s = %s was accepted", #field, #value);               \
		d->field = good_;                                                    \
		ck_assert_int_eq(directory_open(&view, d, bytes), 0);                \
	} while (0)

START_TEST(test_hostile_header)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view;
	uint64_t before;

	REFUSED(magic, 0);
	REFUSED(magic, NODE_PAGE_MAGIC);
	REFUSED(version, WIRE_VERSION + 1);
	REFUSED(header_bytes, sizeof(*d) - 8);
	REFUSED(header_bytes, 0);
	REFUSED(segment_bytes, bytes + 4096);
	REFUSED(segment_bytes, 0);

	REFUSED(nodes_offset, 0);			/* inside of the header */
	REFUSED(nodes_offset, sizeof(*d) - 8);
	REFUSED(nodes_offset, sizeof(*d) + 1);		/* unaligned */
	REFUSED(nodes_offset, bytes);			/* the first row is outside already */
	REFUSED(nodes_offset, bytes - 8);
	REFUSED(nodes_offset, bytes + 8);
	REFUSED(nodes_offset, UINT64_MAX - 7);		/* offset + size wraps */
	REFUSED(endpoints_offset, 8);
	REFUSED(endpoints_offset, bytes - 8);
	REFUSED(endpoints_offset, UINT64_MAX & ~7ull);
	REFUSED(matches_offset, 8);
	REFUSED(matches_offset, bytes - N_MATCHES * sizeof(struct directory_match) + 8);
	REFUSED(matches_offset, (uint64_t)1 << 63);

	REFUSED(max_nodes, UINT32_MAX);
	REFUSED(max_endpoints, UINT32_MAX);
	REFUSED(max_matches, UINT32_MAX);
	REFUSED(max_matches, bytes / sizeof(struct directory_match));

	/* A table may end exactly with the segment. */
	before = d->matches_offset;
	d->matches_offset = bytes - N_MATCHES * sizeof(struct directory_match);
	ck_assert_int_eq(directory_open(&view, d, bytes), 0);
	d->n_match_rows = N_MATCHES;
	struct directory_match match;
	ck_assert_int_eq(directory_read_match(&view, N_MATCHES - 1, &match), 0);
	d->matches_offset = before;

	/* Too small for a header, or for what the header says, or not where a mapping would be. */
	for (uint64_t size = 0; size < sizeof(*d); size += 8)
		ck_assert_int_eq(directory_open(&view, d, size), -EPROTO);
	ck_assert_int_eq(directory_open(&view, d, bytes - 4096), -EPROTO);
	ck_assert_int_eq(directory_open(&view, (char *)d + 8, bytes - 8), -EPROTO);
	free(d);
}
END_TEST

START_TEST(test_refused_view_untouched)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct directory_view view = { .max_nodes = 77 };

	d->max_endpoints = UINT32_MAX;
	ck_assert_int_eq(directory_open(&view, d, bytes), -EPROTO);
	ck_assert_uint_eq(view.max_nodes, 77);
	ck_assert_ptr_null(view.header);
	free(d);
}
END_TEST

START_TEST(test_calibration)
{
	uint64_t bytes;
	struct directory_header *d = create(&bytes);
	struct clock_calibration in = { .base_ticks = UINT64_MAX, .base_ns = 1ull << 63, .mult = 3, .shift = 40,
					.ahead_ns = 5 };
	struct clock_calibration out = { .base_ticks = 1 };

	/* Never written: no ticks. */
	ck_assert_int_eq(directory_read_calibration(d, &out), 0);
	ck_assert_uint_eq(out.mult, 0);
	ck_assert_uint_eq(clock_ticks_to_ns(&out, 123), 123);

	directory_write_calibration(d, &in);
	ck_assert_int_eq(directory_read_calibration(d, &out), 0);
	ck_assert_uint_eq(out.base_ticks, in.base_ticks);
	ck_assert_uint_eq(out.base_ns, in.base_ns);
	ck_assert_uint_eq(out.mult, in.mult);
	ck_assert_uint_eq(out.shift, in.shift);

	/* On an error the reader keeps what it had. */
	d->calibration_seq++;
	in.mult = 4;
	ck_assert_int_eq(directory_read_calibration(d, &out), -EAGAIN);
	ck_assert_uint_eq(out.mult, 3);
	directory_write_calibration(d, &in);
	ck_assert_int_eq(directory_read_calibration(d, &out), 0);
	ck_assert_uint_eq(out.mult, 4);

	/* A shift that would be undefined. */
	d->calibration[3] = 64;
	ck_assert_int_eq(directory_read_calibration(d, &out), -EPROTO);
	d->calibration[3] = UINT64_MAX;
	ck_assert_int_eq(directory_read_calibration(d, &out), -EPROTO);
	ck_assert_uint_eq(out.shift, 40);
	d->calibration[3] = 63;
	ck_assert_int_eq(directory_read_calibration(d, &out), 0);
	free(d);
}
END_TEST

/* --- one writer, several readers --------------------------------------------------------------------- */

#define N_READERS 2
#define N_CHANGES_WANTED 200u
#define DEADLINE_NS 30000000000ll

static struct directory_header *shared;
static uint64_t shared_bytes;
static _Atomic unsigned int n_done;
static int64_t deadline_ns;

/* Every word of a row says the same number. */
static void fill(void *row, size_t row_bytes, uint64_t number)
{
	for (size_t i = 8; i + 8 <= row_bytes; i += 8)
		memcpy((char *)row + i, &number, sizeof(number));
}

static bool consistent(const void *row, size_t from, size_t to)
{
	for (size_t i = from + 8; i + 8 <= to; i += 8) {
		if (memcmp((const char *)row + i, (const char *)row + from, 8) != 0)
			return false;
	}
	return true;
}

static void *write_rows(void *argument)
{
	struct directory_endpoint endpoint = { 0 };
	struct directory_node node = { 0 };
	struct clock_calibration c = { 0 };

	(void)argument;

	/* Until the readers have seen enough. With pauses, else they may never get a look on a busy machine. */
	for (uint64_t i = 1; n_done < N_READERS; i++) {
		fill(&endpoint, sizeof(endpoint), i);
		fill(&node, sizeof(node), i);
		c = (struct clock_calibration){ .base_ticks = i, .base_ns = i, .mult = i, .shift = (uint32_t)(i & 63) };
		directory_write_row((char *)shared + shared->endpoints_offset, &endpoint, sizeof(endpoint));
		directory_write_row((char *)shared + shared->nodes_offset, &node, sizeof(node));
		directory_write_calibration(shared, &c);
		if (i % 16 == 0)
			wait_a_little(0);
	}
	return NULL;
}

/* Returns NULL, or what was wrong: check's assertions are for the main thread. */
static const char *look_at_rows(void)
{
	uint64_t last_endpoint = 0, last_node = 0, last_ticks = 0;
	unsigned int n_different = 0;
	struct directory_view view;

	if (directory_open(&view, shared, shared_bytes) < 0)
		return "open";

	while (n_different < N_CHANGES_WANTED && now_ns() < deadline_ns) {
		struct directory_endpoint endpoint;
		struct directory_node node;
		struct clock_calibration c;

		if (directory_read_endpoint(&view, 0, &endpoint) == 1) {
			/* Up to the strings, in which the last byte is the reader's; then behind them. */
			if (!consistent(&endpoint, 8, offsetof(struct directory_endpoint, topic)) ||
			    memcmp(&endpoint.id, &endpoint.reserved, 8) != 0)
				return "torn endpoint";
			if (endpoint.id < last_endpoint)
				return "endpoint went back";
			n_different += endpoint.id != last_endpoint;
			last_endpoint = endpoint.id;
		}
		if (directory_read_node(&view, 0, &node) == 1) {
			if (!consistent(&node, 8, offsetof(struct directory_node, name)) ||
			    memcmp(&node.id, &node.silent_since_ns, 8) != 0)
				return "torn node";
			if (node.id < last_node)
				return "node went back";
			last_node = node.id;
		}
		if (directory_read_calibration(shared, &c) == 0) {
			if (c.base_ticks != c.base_ns || c.base_ticks != c.mult || c.shift != (c.mult & 63))
				return "torn calibration";
			if (c.base_ticks < last_ticks)
				return "calibration went back";
			last_ticks = c.base_ticks;
		}
	}
	return n_different >= N_CHANGES_WANTED ? NULL : "saw too few changes";
}

static void *read_rows(void *argument)
{
	const char **fault = argument;

	*fault = look_at_rows();
	n_done++;
	return NULL;
}

START_TEST(test_threads)
{
	pthread_t writer, readers[N_READERS];
	const char *faults[N_READERS];

	shared = create(&shared_bytes);
	deadline_ns = now_ns() + DEADLINE_NS;
	shared->n_node_rows = shared->n_endpoint_rows = 1;
	for (int i = 0; i < N_READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_rows, &faults[i]), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_rows, NULL), 0);
	for (int i = 0; i < N_READERS; i++) {
		ck_assert_int_eq(pthread_join(readers[i], NULL), 0);
		ck_assert_msg(!faults[i], "reader %d: %s", i, faults[i]);
	}
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	free(shared);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("directory");
	TCase *tcase = add_test_case(suite, "directory", 60);

	tcase_add_test(tcase, test_bytes);
	tcase_add_test(tcase, test_format);
	tcase_add_test(tcase, test_rows);
	tcase_add_test(tcase, test_index);
	tcase_add_test(tcase, test_odd_for_ever);
	tcase_add_test(tcase, test_strings_end);
	tcase_add_test(tcase, test_hostile_header);
	tcase_add_test(tcase, test_refused_view_untouched);
	tcase_add_test(tcase, test_calibration);
	tcase_add_test(tcase, test_threads);
	return run_suite(suite);
}
