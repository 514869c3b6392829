/* SPDX-License-Identifier: MIT */
/*
 * directory.c - the router's segment that everybody may read
 *
 * One writer, any number of readers that the writer knows nothing about and must not wait for: a sequence lock
 * per row. It is built from release stores and acquire loads of the words themselves instead of fences (Boehm,
 * "Can Seqlocks Get Along With Programming Language Memory Models?", MSPC 2012, is the source of both forms):
 * ThreadSanitizer understands it, on x86 it costs nothing, and on Arm a directory is not where a nanosecond
 * counts.
 *
 * A reader never waits for the router: one that was killed inside a row leaves its sequence odd for ever, and
 * the reader gives up after a bounded number of looks. Nor does it trust it: the geometry is checked and copied
 * when the directory is opened, and strings are terminated in the copy.
 */
#include "common/directory.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Rows are small: a reader that collides this often meets a router that was preempted or killed inside one. */
#define LOOKS_SPINNING 32
#define LOOKS_YIELDING 32

#define PAGE_BYTES 4096u
#define TABLE_ALIGNMENT 64u
#define N_CALIBRATION_WORDS 4

static_assert(offsetof(struct directory_node, id) == offsetof(struct directory_row, id), "rows begin alike");
static_assert(offsetof(struct directory_endpoint, id) == offsetof(struct directory_row, id), "rows begin alike");
static_assert(offsetof(struct directory_match, id) == offsetof(struct directory_row, id), "rows begin alike");
static_assert(sizeof(struct directory_node) % sizeof(uint64_t) == 0, "rows are copied by words");
static_assert(sizeof(struct directory_endpoint) % sizeof(uint64_t) == 0, "rows are copied by words");
static_assert(sizeof(struct directory_match) % sizeof(uint64_t) == 0, "rows are copied by words");
static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "lock-free words");

/* A field of the constant header, loaded exactly once: what is checked is what is used. */
#define LOAD_ONCE(field) (*(const volatile __typeof__(field) *)&(field))

/* --- sequence lock ----------------------------------------------------------------------------------- */

/*
 * Store @n words from @from, which needs no alignment, under @seq.
 *
 * The store of each word is a release; its partner is the acquire load of that word in sequence_read(): who
 * sees a new word also sees the odd sequence before it. The last store of @seq is a release; its partner is the
 * first load there: who sees the new even sequence sees all words that belong to it. Making it odd needs no
 * order of its own, the words' releases carry it.
 */
static void sequence_write(_Atomic uint64_t *seq, _Atomic uint64_t *words, const void *from, size_t n)
{
	uint64_t odd = atomic_load_explicit(seq, memory_order_relaxed) | 1;
	const char *bytes = from;

	atomic_store_explicit(seq, odd, memory_order_relaxed);
	for (size_t i = 0; i < n; i++) {
		uint64_t word;

		memcpy(&word, bytes + i * sizeof(word), sizeof(word));
		atomic_store_explicit(&words[i], word, memory_order_release);
	}
	atomic_store_explicit(seq, odd + 1, memory_order_release);
}

/* One look. True: @to is a state that the writer left behind, and *seen its sequence. */
static bool sequence_look(const _Atomic uint64_t *seq, const _Atomic uint64_t *words, void *to, size_t n,
			  uint64_t *seen)
{
	/* Acquire: with the last store of sequence_write(). The words below are not older than this sequence ... */
	uint64_t before = atomic_load_explicit(seq, memory_order_acquire);
	char *bytes = to;

	if (before & 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		/* Acquire: with the store of the word in sequence_write(). Keeps the load of `seq` below behind it. */
		uint64_t word = atomic_load_explicit(&words[i], memory_order_acquire);

		memcpy(bytes + i * sizeof(word), &word, sizeof(word));
	}

	/* ... and if one was newer, this load cannot return the old sequence any more. Relaxed: nothing follows it. */
	*seen = before;
	return atomic_load_explicit(seq, memory_order_relaxed) == before;
}

static int sequence_read(const _Atomic uint64_t *seq, const _Atomic uint64_t *words, void *to, size_t n, uint64_t *seen)
{
	for (int i = 0; i < LOOKS_SPINNING + LOOKS_YIELDING; i++) {
		if (sequence_look(seq, words, to, n, seen))
			return 0;
		/* The router may be waiting for the very CPU we spin on. */
		if (i >= LOOKS_SPINNING)
			sched_yield();
	}
	return -EAGAIN;
}

/* --- layout ------------------------------------------------------------------------------------------ */

static uint64_t align_up(uint64_t v, uint64_t alignment)
{
	return (v + alignment - 1) & ~(alignment - 1);
}

struct layout {
	uint64_t nodes_offset, endpoints_offset, matches_offset, bytes;
};

/* 32-bit counts times rows of less than 1 KiB: nothing here can overflow 64 bits. */
static struct layout lay_out(uint32_t max_nodes, uint32_t max_endpoints, uint32_t max_matches)
{
	struct layout l;

	l.nodes_offset = align_up(sizeof(struct directory_header), TABLE_ALIGNMENT);
	l.endpoints_offset = align_up(l.nodes_offset + (uint64_t)max_nodes * sizeof(struct directory_node),
				      TABLE_ALIGNMENT);
	l.matches_offset = align_up(l.endpoints_offset + (uint64_t)max_endpoints * sizeof(struct directory_endpoint),
				    TABLE_ALIGNMENT);
	l.bytes = align_up(l.matches_offset + (uint64_t)max_matches * sizeof(struct directory_match), PAGE_BYTES);
	return l;
}

uint64_t directory_bytes(uint32_t max_nodes, uint32_t max_endpoints, uint32_t max_matches)
{
	return lay_out(max_nodes, max_endpoints, max_matches).bytes;
}

void directory_format(void *memory, uint64_t bytes, uint32_t max_nodes, uint32_t max_endpoints, uint32_t max_matches)
{
	struct layout l = lay_out(max_nodes, max_endpoints, max_matches);
	struct directory_header *d = memory;

	assert(bytes >= l.bytes);

	/* Plain stores: nobody has the segment before the router sends its descriptor, and sendmsg() orders them. */
	d->magic = DIRECTORY_MAGIC;
	d->version = WIRE_VERSION;
	d->header_bytes = sizeof(*d);
	d->segment_bytes = bytes;
	d->max_nodes = max_nodes;
	d->max_endpoints = max_endpoints;
	d->max_matches = max_matches;
	d->nodes_offset = l.nodes_offset;
	d->endpoints_offset = l.endpoints_offset;
	d->matches_offset = l.matches_offset;
}

/* --- the router's side ------------------------------------------------------------------------------- */

void directory_write_row(void *target, const void *row, size_t row_bytes)
{
	struct directory_row *head = target;
	_Atomic uint64_t *words = target;

	assert(row_bytes >= sizeof(*head) && row_bytes % sizeof(uint64_t) == 0);

	/* Word 0 is the sequence itself. */
	sequence_write(&head->seq, words + 1, (const char *)row + sizeof(uint64_t), row_bytes / sizeof(uint64_t) - 1);
}

void directory_write_calibration(struct directory_header *d, const struct clock_calibration *c)
{
	uint64_t words[N_CALIBRATION_WORDS] = { c->base_ticks, c->base_ns, c->mult, c->shift };

	sequence_write(&d->calibration_seq, d->calibration, words, N_CALIBRATION_WORDS);
}

/* --- the readers' side ------------------------------------------------------------------------------- */

int directory_read_calibration(const struct directory_header *d, struct clock_calibration *c)
{
	uint64_t words[N_CALIBRATION_WORDS], seen;
	int r;

	r = sequence_read(&d->calibration_seq, d->calibration, words, N_CALIBRATION_WORDS, &seen);
	if (r < 0)
		return r;

	/* clock_ticks_to_ns() shifts without looking. */
	if (words[3] > 63)
		return -EPROTO;
	*c = (struct clock_calibration){
		.base_ticks = words[0],
		.base_ns = words[1],
		.mult = words[2],
		.shift = (uint32_t)words[3],
	};
	return 0;
}

static bool table_fits(uint64_t offset, uint32_t n_rows, size_t row_bytes, uint64_t bytes)
{
	/* The product cannot overflow, the sum could: hence the subtraction. */
	return offset >= sizeof(struct directory_header) && offset <= bytes && offset % sizeof(uint64_t) == 0 &&
	       (uint64_t)n_rows * row_bytes <= bytes - offset;
}

int directory_open(struct directory_view *view, const void *memory, uint64_t bytes)
{
	const struct directory_header *d = memory;
	struct directory_view v = { .header = d, .bytes = bytes };

	if (bytes < sizeof(*d) || (uintptr_t)memory % alignof(struct directory_header))
		return -EPROTO;
	if (LOAD_ONCE(d->magic) != DIRECTORY_MAGIC || LOAD_ONCE(d->version) != WIRE_VERSION ||
	    LOAD_ONCE(d->header_bytes) != sizeof(*d) || LOAD_ONCE(d->segment_bytes) != bytes)
		return -EPROTO;

	v.max_nodes = LOAD_ONCE(d->max_nodes);
	v.max_endpoints = LOAD_ONCE(d->max_endpoints);
	v.max_matches = LOAD_ONCE(d->max_matches);
	v.nodes_offset = LOAD_ONCE(d->nodes_offset);
	v.endpoints_offset = LOAD_ONCE(d->endpoints_offset);
	v.matches_offset = LOAD_ONCE(d->matches_offset);

	/* Tables that overlap are nonsense, but harm nobody: rows are copied before they are looked at. */
	if (!table_fits(v.nodes_offset, v.max_nodes, sizeof(struct directory_node), bytes) ||
	    !table_fits(v.endpoints_offset, v.max_endpoints, sizeof(struct directory_endpoint), bytes) ||
	    !table_fits(v.matches_offset, v.max_matches, sizeof(struct directory_match), bytes))
		return -EPROTO;
	*view = v;
	return 0;
}

/* As directory_read_node() for any table. @row begins with a struct directory_row. */
static int read_row(const struct directory_view *view, uint64_t table, uint32_t index, void *row, size_t row_bytes)
{
	const char *address = (const char *)view->header + table + (uint64_t)index * row_bytes;
	const struct directory_row *head = (const void *)address;
	const _Atomic uint64_t *words = (const void *)address;
	uint64_t id, seen;
	int r;

	r = sequence_read(&head->seq, words + 1, (char *)row + sizeof(uint64_t), row_bytes / sizeof(uint64_t) - 1,
			  &seen);
	if (r < 0)
		return r;
	memcpy(row, &seen, sizeof(seen));
	memcpy(&id, (char *)row + offsetof(struct directory_row, id), sizeof(id));
	return id != 0;
}

/*
 * Whether @index is a row to look at. The high-water mark is relaxed: it only spares looks at rows that were
 * never used, and a row's own sequence orders what is in it.
 */
static bool row_exists(uint32_t index, uint32_t max, const _Atomic uint32_t *n_rows)
{
	return index < max && index < atomic_load_explicit(n_rows, memory_order_relaxed);
}

static void terminate(char field[WIRE_NAME_BYTES])
{
	field[WIRE_NAME_BYTES - 1] = 0;
}

int directory_read_node(const struct directory_view *view, uint32_t index, struct directory_node *out)
{
	int r;

	if (!row_exists(index, view->max_nodes, &view->header->n_node_rows))
		return 0;
	r = read_row(view, view->nodes_offset, index, out, sizeof(*out));
	if (r > 0)
		terminate(out->name);
	return r;
}

int directory_read_endpoint(const struct directory_view *view, uint32_t index, struct directory_endpoint *out)
{
	int r;

	if (!row_exists(index, view->max_endpoints, &view->header->n_endpoint_rows))
		return 0;
	r = read_row(view, view->endpoints_offset, index, out, sizeof(*out));
	if (r > 0) {
		terminate(out->topic.service);
		terminate(out->topic.instance);
		terminate(out->topic.event);
		terminate(out->type.name);
	}
	return r;
}

int directory_read_match(const struct directory_view *view, uint32_t index, struct directory_match *out)
{
	if (!row_exists(index, view->max_matches, &view->header->n_match_rows))
		return 0;
	return read_row(view, view->matches_offset, index, out, sizeof(*out));
}
