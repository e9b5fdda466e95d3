/* SPDX-License-Identifier: BSD-3-Clause */
/* The walk of a model along its arcs, for all pairs of states and all four sets of features. */
#include "harness.h"

#include <errno.h>

#include "fsm/fsm.h"
#include "tiny.h"

static const uint64_t feature_sets[] = {
	VMIG_MIGRATION_STOP_COPY,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
	TINY_ALL_FLAGS,
};

/** Call @each for every pair of states that a device with these features can be in and be asked for. */
static void for_all_pairs(void (*each)(struct tiny *tiny, uint64_t features, uint32_t from, uint32_t to))
{
	for (unsigned int set = 0; set < 4; set++) {
		struct tiny tiny;

		tiny_open(&tiny, feature_sets[set], set % 2 ? TINY_LENDS : TINY_COPIES);
		for (uint32_t from = 1; from < VMIG_STATE_NR; from++) {
			if (!vmig_state_supported(feature_sets[set], from))
				continue;
			for (uint32_t to = 0; to <= VMIG_STATE_NR; to++) {
				tiny_reach(&tiny, from);
				each(&tiny, feature_sets[set], from, to);
			}
		}
		tiny_close(&tiny);
	}
}

static bool possible(uint64_t features, uint32_t from, uint32_t to)
{
	uint32_t next;

	return !vmig_state_next(features, from, to, &next);
}

/** The arcs that the model saw are those of the way from @from to @to. */
static void check_arcs(struct tiny *tiny, uint64_t features, uint32_t from, uint32_t to)
{
	uint32_t at = from, next;
	int i = 0;

	for (; at != to; at = next, i++) {
		ck_assert_int_eq(vmig_state_next(features, at, to, &next), 0);
		ck_assert_int_lt(i, tiny->n_arcs);
		ck_assert_uint_eq(tiny->arcs[i].from, at);
		ck_assert_uint_eq(tiny->arcs[i].to, next);
	}
	ck_assert_int_eq(tiny->n_arcs, i);
}

static void walk_pair(struct tiny *tiny, uint64_t features, uint32_t from, uint32_t to)
{
	int r = vmig_device_set_state(tiny->dev, to, VMIG_STATE_NONE, NULL);

	if (possible(features, from, to)) {
		ck_assert_int_eq(r, 0);
		ck_assert_uint_eq(tiny_state(tiny), to);
		check_arcs(tiny, features, from, to);
	} else {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert_uint_eq(tiny_state(tiny), from);
		ck_assert_int_eq(tiny->n_arcs, 0);
	}
}

TEST(walks_every_pair_by_its_arcs)
{
	for_all_pairs(walk_pair);
}

HARNESS("walk", T(walks_every_pair_by_its_arcs))
