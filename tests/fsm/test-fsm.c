/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fsm/fsm.h"

static const uint64_t feature_sets[] = {
	VMIG_MIGRATION_STOP_COPY,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_PRE_COPY,
	VMIG_MIGRATION_STOP_COPY | VMIG_MIGRATION_P2P | VMIG_MIGRATION_PRE_COPY,
};
#define N_SETS (sizeof(feature_sets) / sizeof(feature_sets[0]))

/* One line of golden.txt: a state's name and the eight next hops from it. */
static void compare_row(uint64_t features, char *line)
{
	char *save, *word = strtok_r(line, " \n", &save);
	uint32_t from = vmig_state_from_name(word);

	ck_assert_uint_ne(from, VMIG_STATE_NONE);
	for (uint32_t to = 0; to < VMIG_STATE_NR; to++) {
		uint32_t next = VMIG_STATE_NONE;
		int r = vmig_state_next(features, from, to, &next);

		word = strtok_r(NULL, " \n", &save);
		ck_assert_ptr_nonnull(word);
		if (!strcmp(word, "-"))
			ck_assert_msg(r == -EINVAL, "%s -> %s must be refused", vmig_state_name(from),
				      vmig_state_name(to));
		else
			ck_assert_msg(!r && next == vmig_state_from_name(word),
				      "%s -> %s goes to %s, the kernel to %s", vmig_state_name(from),
				      vmig_state_name(to), vmig_state_name(next), word);
	}
}

TEST(next_hop_is_the_kernels)
{
	FILE *f = fopen(GOLDEN, "r");
	char line[512];
	int set = -1, rows = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || !strncmp(line, "from", 4))
			continue;
		if (!strncmp(line, "features", 8)) {
			set++;
			continue;
		}
		compare_row(feature_sets[set], line);
		rows++;
	}
	fclose(f);
	ck_assert_int_eq(rows, 4 * VMIG_STATE_NR);
}

TEST(every_walk_takes_arcs_and_ends)
{
	for (size_t i = 0; i < N_SETS; i++) {
		for (uint32_t from = 0; from < VMIG_STATE_NR; from++) {
			for (uint32_t to = 0; to < VMIG_STATE_NR; to++) {
				uint32_t at = from, next;
				int steps = 0;

				while (at != to && !vmig_state_next(feature_sets[i], at, to, &next)) {
					ck_assert_ptr_nonnull(vmig_fsm_arc(feature_sets[i], at, next));
					ck_assert_int_lt(steps++, VMIG_STATE_NR);
					at = next;
				}
				/* Refused at once or walked to the end: never refused half-way. */
				ck_assert(at == to || !steps);
			}
		}
	}
}

TEST(unknown_states_are_refused)
{
	uint32_t next;

	ck_assert_int_eq(vmig_state_next(7, 8, VMIG_STATE_STOP, &next), -EINVAL);
	ck_assert_int_eq(vmig_state_next(7, VMIG_STATE_STOP, 8, &next), -EINVAL);
	ck_assert_int_eq(vmig_state_next(7, VMIG_STATE_STOP, UINT32_MAX, &next), -EINVAL);
	ck_assert_ptr_null(vmig_state_name(8));
	ck_assert(!vmig_state_supported(UINT64_MAX, 8));
}

TEST(optional_states_need_their_features)
{
	ck_assert(!vmig_state_supported(VMIG_MIGRATION_STOP_COPY, VMIG_STATE_RUNNING_P2P));
	ck_assert(!vmig_state_supported(feature_sets[1], VMIG_STATE_PRE_COPY_P2P));
	ck_assert(!vmig_state_supported(feature_sets[2], VMIG_STATE_PRE_COPY_P2P));
	ck_assert(vmig_state_supported(feature_sets[3], VMIG_STATE_PRE_COPY_P2P));
}

TEST(names_go_both_ways)
{
	for (uint32_t s = 0; s < VMIG_STATE_NR; s++)
		ck_assert_uint_eq(vmig_state_from_name(vmig_state_name(s)), s);
	ck_assert_uint_eq(vmig_state_from_name("pre_copy_p2p"), VMIG_STATE_PRE_COPY_P2P);
	ck_assert_uint_eq(vmig_state_from_name("PRECOPY"), VMIG_STATE_NONE);
}

TEST(walks_say_what_becomes_of_the_session)
{
	uint64_t all = feature_sets[3];

	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_RUNNING, VMIG_STATE_PRE_COPY), VMIG_ARC_SAVE);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_PRE_COPY, VMIG_STATE_STOP_COPY),
			 VMIG_ARC_KEEP);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_RUNNING, VMIG_STATE_STOP_COPY), VMIG_ARC_SAVE);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_RUNNING, VMIG_STATE_RESUMING), VMIG_ARC_LOAD);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_RESUMING, VMIG_STATE_RUNNING), VMIG_ARC_NONE);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_STOP_COPY, VMIG_STATE_RUNNING), VMIG_ARC_NONE);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_RESUMING, VMIG_STATE_STOP_COPY),
			 VMIG_ARC_SAVE);
	ck_assert_int_eq(vmig_fsm_walk_session(all, VMIG_STATE_STOP_COPY, VMIG_STATE_STOP_COPY),
			 VMIG_ARC_KEEP);
}

HARNESS("fsm", T(next_hop_is_the_kernels), T(every_walk_takes_arcs_and_ends), T(unknown_states_are_refused),
	T(optional_states_need_their_features), T(names_go_both_ways),
	T(walks_say_what_becomes_of_the_session))
