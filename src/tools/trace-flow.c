/* SPDX-License-Identifier: MIT */
/*
 * trace-flow.c - see trace-flow.h
 */
#include "tools/trace-flow.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/trace-histogram.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "bpf/trace-flow.skel.h"
#pragma GCC diagnostic pop

/* Of an endpoint that is gone nothing more comes after that time. */
#define SETTLE_NS 3000000000ull

struct flows {
	struct trace_flow_bpf *skeleton;
	struct flow *flows;		/* uthash by key */
	bool times;			/* on_publish is attached */
	bool published;
};

int flows_load(struct trace *trace, bool published)
{
	struct flows *flows = calloc(1, sizeof(*flows));
	struct trace_flow_bpf *s;
	int r;

	if (!flows)
		return trace_loaded(-ENOMEM);
	trace->state = flows;
	flows->published = published;
	s = flows->skeleton = trace_flow_bpf__open();
	if (!s)
		return trace_loaded(-errno);
	trace_fill_filter(trace, (struct trace_filter *)&s->rodata->filter);
	r = trace_loaded(trace_flow_bpf__load(s));
	if (r == 0)
		r = trace_probe(trace, "zcp", "taken", s->progs.on_taken, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "taken_untimed", s->progs.on_taken_untimed, 0);
	if (r == 0)
		r = trace_probe(trace, "zcp", "lost", s->progs.on_lost, 0);
	if (r == 0 && published)
		r = trace_probe(trace, "zcp", "published", s->progs.on_published, 0);
	return r < 0 ? r : trace_maps(trace, s->maps.endpoints, NULL);
}

void flows_unload(struct trace *trace)
{
	struct flows *flows = trace->state;
	struct flow *flow, *next;

	if (!flows)
		return;
	HASH_ITER(hh, flows->flows, flow, next) {
		HASH_DEL(flows->flows, flow);
		free(flow);
	}
	trace_flow_bpf__destroy(flows->skeleton);
	free(flows);
}

uint64_t flows_n_dropped(const struct trace *trace)
{
	const struct flows *flows = trace->state;

	return __atomic_load_n(&flows->skeleton->bss->n_dropped, __ATOMIC_RELAXED);
}

/* ---- adding up --------------------------------------------------------------------------------------------------- */

static void add_taken(struct trace_taken *sum, const struct trace_taken *t)
{
	sum->n += t->n;
	sum->bytes += t->bytes;
	sum->lost += t->lost;
	histogram_add(&sum->latency, &t->latency);
}

static void add_published(struct trace_published *sum, const struct trace_published *p)
{
	sum->n += p->n;
	sum->bytes += p->bytes;
}

static struct flow *flow_of(struct flows *flows, const struct name_endpoint *e)
{
	char key[FLOW_KEY_BYTES] = { 0 };
	size_t kind_bytes = strlen(e->kind) + 1;
	struct flow *flow;

	memcpy(key, e->kind, kind_bytes);
	memcpy(key + kind_bytes, e->topic, strlen(e->topic));
	HASH_FIND(hh, flows->flows, key, sizeof(key), flow);
	if (flow)
		return flow;
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	memcpy(flow->key, key, sizeof(key));
	flow->kind = flow->key;
	flow->topic = flow->key + kind_bytes;
	HASH_ADD(hh, flows->flows, key, sizeof(flow->key), flow);
	return flow;
}

/* Whose @id is; NULL: nobody's that is to be shown. */
static const struct name_endpoint *owner(struct trace *trace, uint64_t id, uint64_t n)
{
	const struct name_endpoint *e = names_owner(trace->names, id);

	if (!e)
		trace->n_foreign += n;
	return e && e->wanted ? e : NULL;
}

static bool is_settled(const struct trace *trace, const struct name_endpoint *e)
{
	return e->gone_ns && trace->now_ns > e->gone_ns + SETTLE_NS;
}

static int read_taken(struct trace *trace, struct flows *flows)
{
	const struct bpf_map *map = flows->skeleton->maps.taken;
	struct trace_taken taken;
	uint64_t id = 0;

	for (struct trace_walk walk = { 0 }; trace_next(&walk, map, &id, sizeof(id), &taken);) {
		const struct name_endpoint *e = owner(trace, id, taken.n);
		struct flow *flow = e ? flow_of(flows, e) : NULL;

		if (e && !flow)
			return -ENOMEM;
		if (flow && is_settled(trace, e) && bpf_map_delete_elem(bpf_map__fd(map), &id) == 0)
			add_taken(&flow->taken_gone, &taken);
		else if (flow)
			add_taken(&flow->taken, &taken);
	}
	return 0;
}

static int read_published(struct trace *trace, struct flows *flows)
{
	const struct bpf_map *map = flows->skeleton->maps.published;
	struct trace_published published;
	uint64_t id = 0;

	for (struct trace_walk walk = { 0 }; trace_next(&walk, map, &id, sizeof(id), &published);) {
		const struct name_endpoint *e = owner(trace, id, published.n);
		struct flow *flow = e ? flow_of(flows, e) : NULL;

		if (e && !flow)
			return -ENOMEM;
		if (flow && is_settled(trace, e) && bpf_map_delete_elem(bpf_map__fd(map), &id) == 0)
			add_published(&flow->published_gone, &published);
		else if (flow)
			add_published(&flow->published, &published);
	}
	return 0;
}

struct flow *flows_read(struct trace *trace, int *r)
{
	struct flows *flows = trace->state;
	struct flow *flow;

	for (flow = flows->flows; flow; flow = flow->hh.next) {
		flow->taken_before = flow->taken;
		flow->published_before = flow->published;
		memset(&flow->taken, 0, sizeof(flow->taken));
		memset(&flow->published, 0, sizeof(flow->published));
	}
	/* the probe of publish costs its publishers time: only where there are messages without timestamps */
	if (!flows->times && __atomic_load_n(&flows->skeleton->bss->n_untimed, __ATOMIC_RELAXED)) {
		flows->times = true;
		trace_probe(trace, "zcp", "publish", flows->skeleton->progs.on_publish, 0);
	}
	trace->n_foreign = 0;
	*r = read_taken(trace, flows);
	if (*r == 0)
		*r = read_published(trace, flows);
	for (flow = flows->flows; flow; flow = flow->hh.next) {
		add_taken(&flow->taken, &flow->taken_gone);
		add_published(&flow->published, &flow->published_gone);
	}
	return *r == 0 ? flows->flows : NULL;
}
