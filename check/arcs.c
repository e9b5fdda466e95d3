/* SPDX-License-Identifier: BSD-3-Clause */
/* All that a device was asked for in a run, by transition: how often, what came, how long it took. */
#include <errno.h>
#include <stdlib.h>

#include "check.h"

const char *check_came_name(enum check_came came)
{
	static const char *const names[CHECK_CAMES] = { "ok", "refused", "wrong", "no end" };

	return (unsigned int)came < CHECK_CAMES ? names[came] : "?";
}

uint32_t check_arcs_kept(const struct check_result *result)
{
	return result->n_asked < CHECK_ARCS_MAX ? result->n_asked : CHECK_ARCS_MAX;
}

/* Where a transition is counted; CHECK_SUMS_MAX: nowhere. */
static uint32_t key(const struct check_arc *arc)
{
	if (arc->second || arc->from >= VMIG_STATE_NR || arc->to >= VMIG_STATE_NR)
		return CHECK_SUMS_MAX;
	if (arc->reset)
		return VMIG_STATE_NR * VMIG_STATE_NR + arc->from;
	return arc->from * VMIG_STATE_NR + arc->to;
}

static int by_key_and_time(const void *a, const void *b)
{
	const struct check_arc *x = *(const struct check_arc *const *)a,
			       *y = *(const struct check_arc *const *)b;
	uint32_t kx = key(x), ky = key(y);

	if (kx != ky)
		return kx < ky ? -1 : 1;
	if (x->came != y->came) /* those that came OK are the first */
		return x->came < y->came ? -1 : 1;
	return x->ns < y->ns ? -1 : x->ns > y->ns;
}

/* @n transitions of the same key, in order. */
static void sum(const struct check_arc **arcs, size_t n, struct check_arc_sum *ret)
{
	uint32_t ok;

	*ret = (struct check_arc_sum){ .from = arcs[0]->from, .to = arcs[0]->to, .reset = arcs[0]->reset };
	for (size_t i = 0; i < n; i++)
		ret->n[arcs[i]->came]++;
	ok = ret->n[CHECK_CAME_OK];
	if (ok) {
		ret->min_ns = arcs[0]->ns;
		ret->median_ns = arcs[ok / 2]->ns;
		ret->max_ns = arcs[ok - 1]->ns;
	}
}

static int sums(const struct check_arc **arcs, size_t n, struct check_arc_sum ret[CHECK_SUMS_MAX])
{
	int n_sums = 0;

	qsort(arcs, n, sizeof(*arcs), by_key_and_time);
	for (size_t at = 0, end; at < n; at = end) {
		for (end = at + 1; end < n && key(arcs[end]) == key(arcs[at]);)
			end++;
		sum(arcs + at, end - at, &ret[n_sums++]);
	}
	return n_sums;
}

int check_arcs_sum(const struct check_result *results, struct check_arc_sum ret[CHECK_SUMS_MAX])
{
	const struct check_arc **arcs;
	size_t max = 0, n = 0;
	int n_sums;

	for (size_t i = 0; check_table[i].id; i++)
		max += check_arcs_kept(&results[i]);
	arcs = calloc(max + 1, sizeof(*arcs));
	if (!arcs)
		return -ENOMEM;
	for (size_t i = 0; check_table[i].id; i++)
		for (uint32_t j = 0; j < check_arcs_kept(&results[i]); j++)
			if (key(&results[i].arcs[j]) < CHECK_SUMS_MAX)
				arcs[n++] = &results[i].arcs[j];
	n_sums = sums(arcs, n, ret);
	free(arcs);
	return n_sums;
}
