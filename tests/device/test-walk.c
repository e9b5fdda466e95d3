/* SPDX-License-Identifier: BSD-3-Clause */
/* The walk of a model along its arcs, for all pairs of states and all four sets of features. */
#include "harness.h"

#include <errno.h>
#include <string.h>

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

/* --- arcs that fail ----------------------------------------------------------------------- */

/** What is expected of a walk whose arc number @fail_at fails, and which is to end in @recover then. */
static void fail_arc(struct tiny *tiny, uint64_t features, uint32_t from, uint32_t to, int fail_at,
		     bool to_error, uint32_t recover)
{
	uint32_t at = from, end;
	struct vmig_error error;

	tiny_reach(tiny, from);
	tiny->fail_at = fail_at;
	tiny->fail_to_error = to_error;
	ck_assert_int_eq(vmig_device_set_state(tiny->dev, to, recover, NULL), -EXDEV);
	tiny->fail_at = -1;
	for (int i = 0; i < fail_at; i++)
		ck_assert_int_eq(vmig_state_next(features, at, to, &at), 0);
	end = to_error                                                        ? VMIG_STATE_ERROR
	      : recover != VMIG_STATE_NONE && possible(features, at, recover) ? recover
									      : at;
	ck_assert_msg(tiny_state(tiny) == end, "%s to %s, arc %d fails%s, recover to %s: in %s, not %s",
		      vmig_state_name(from), vmig_state_name(to), fail_at, to_error ? " to ERROR" : "",
		      vmig_state_name(recover), vmig_state_name(tiny_state(tiny)), vmig_state_name(end));
	vmig_device_query_error(tiny->dev, &error);
	ck_assert_int_eq(error.code, EXDEV);
	ck_assert_uint_eq(error.from, from);
	ck_assert_uint_eq(error.to, to);
	ck_assert_str_eq(error.where, "SET_STATE");
}

static void fail_pair(struct tiny *tiny, uint64_t features, uint32_t from, uint32_t to)
{
	uint32_t at = from;

	if (!possible(features, from, to))
		return;
	for (int arc = 0; at != to; arc++) {
		for (uint32_t recover = VMIG_STATE_STOP; recover <= VMIG_STATE_NR; recover++) {
			uint32_t end = recover == VMIG_STATE_NR ? VMIG_STATE_NONE : recover;

			if (end != VMIG_STATE_NONE && !vmig_state_supported(features, end))
				continue;
			fail_arc(tiny, features, from, to, arc, false, end);
			fail_arc(tiny, features, from, to, arc, true, end);
		}
		ck_assert_int_eq(vmig_state_next(features, at, to, &at), 0);
	}
}

TEST(every_arc_may_fail_and_the_device_recovers)
{
	for_all_pairs(fail_pair);
}

TEST(a_recovery_that_fails_too_says_both)
{
	struct vmig_error error;
	struct tiny tiny;

	tiny_open(&tiny, VMIG_MIGRATION_STOP_COPY, TINY_COPIES);
	tiny_reach(&tiny, VMIG_STATE_STOP_COPY);
	tiny.fail_at = 1;
	tiny.fail_next = true;
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_RESUMING, VMIG_STATE_RUNNING, NULL),
			 -EXDEV);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_STOP);
	vmig_device_query_error(tiny.dev, &error);
	ck_assert_ptr_nonnull(strstr(error.text, "from STOP to RESUMING"));
	ck_assert_ptr_nonnull(strstr(error.text, "from STOP to RUNNING"));
	ck_assert_ptr_nonnull(strstr(error.text, "it is in STOP"));
	tiny_close(&tiny);
}

/* --- ERROR and reset ---------------------------------------------------------------------- */

TEST(only_a_reset_leads_out_of_error)
{
	uint64_t generation;
	struct vmig_device_info info;
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	vmig_device_query_info(tiny.dev, &info);
	generation = info.generation;
	tiny.fail_at = 0;
	tiny.fail_to_error = true;
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EXDEV);
	ck_assert_uint_eq(vmig_model_state(tiny.model), VMIG_STATE_ERROR);
	for (uint32_t to = 0; to <= VMIG_STATE_NR; to++)
		ck_assert_int_eq(vmig_device_set_state(tiny.dev, to, VMIG_STATE_NONE, NULL), -EINVAL);
	ck_assert_int_eq(tiny.n_arcs, 1);
	ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
	vmig_device_query_info(tiny.dev, &info);
	ck_assert_uint_eq(info.generation, generation + 1);
	tiny_close(&tiny);
}

TEST(a_reset_leads_to_running_from_every_state)
{
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	for (uint32_t from = 1; from < VMIG_STATE_NR; from++) {
		tiny_reach(&tiny, from);
		ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
		ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
		ck_assert_int_eq(tiny.n_arcs, 0);
	}
	tiny_close(&tiny);
}

TEST(a_reset_that_fails_leaves_error)
{
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	tiny.reset_fault = -EIO;
	ck_assert_int_eq(vmig_device_reset(tiny.dev), -EIO);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_ERROR);
	tiny.reset_fault = 0;
	ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
	tiny_close(&tiny);
}

TEST(what_else_a_failing_step_says_is_error)
{
	struct tiny tiny;

	tiny_open(&tiny, TINY_ALL_FLAGS, TINY_COPIES);
	tiny.fail_at = 0;
	tiny.fail_to = VMIG_STATE_STOP; /* it was to go from RUNNING to RUNNING_P2P */
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL), -EXDEV);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_ERROR);
	tiny_close(&tiny);
}

TEST(a_device_without_migration_has_no_state)
{
	uint32_t state;
	uint64_t size;
	struct tiny tiny;

	tiny_open(&tiny, 0, TINY_COPIES);
	ck_assert_int_eq(vmig_device_query_state(tiny.dev, &state), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL),
			 -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_query_stop_copy_size(tiny.dev, &size), -EOPNOTSUPP);
	ck_assert_int_eq(vmig_device_reset(tiny.dev), 0);
	tiny_close(&tiny);
}

TEST(a_bad_state_to_recover_to_is_refused_before_anything_moves)
{
	struct tiny tiny;

	tiny_open(&tiny, VMIG_MIGRATION_STOP_COPY, TINY_COPIES);
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, VMIG_STATE_ERROR, NULL), -EINVAL);
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, VMIG_STATE_PRE_COPY, NULL),
			 -EINVAL);
	ck_assert_int_eq(vmig_device_set_state(tiny.dev, VMIG_STATE_STOP, 8, NULL), -EINVAL);
	ck_assert_int_eq(tiny.n_arcs, 0);
	ck_assert_uint_eq(tiny_state(&tiny), VMIG_STATE_RUNNING);
	tiny_close(&tiny);
}

HARNESS("walk", T(walks_every_pair_by_its_arcs), T_SLOW(every_arc_may_fail_and_the_device_recovers, 60),
	T(a_recovery_that_fails_too_says_both), T(only_a_reset_leads_out_of_error),
	T(a_reset_leads_to_running_from_every_state), T(a_reset_that_fails_leaves_error),
	T(what_else_a_failing_step_says_is_error), T(a_device_without_migration_has_no_state),
	T(a_bad_state_to_recover_to_is_refused_before_anything_moves))
