/* SPDX-License-Identifier: BSD-3-Clause */
/* Worlds in virtual time, around the core that migrates real devices. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "worlds.h"

/* --- the simulator itself --- */

static void mix(const char *line, void *opaque)
{
	uint64_t *hash = opaque;

	while (*line)
		*hash = (*hash ^ (uint8_t)*line++) * 0x100000001b3u;
}

TEST(a_seed_gives_the_same_world_every_time)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world world = { .seed = seed, .say = mix };
		uint64_t first = 0, second = 0;

		world.opaque = &first;
		world_run(&world);
		world.opaque = &second;
		world_run(&world);
		ck_assert_uint_ne(first, 0);
		ck_assert_uint_eq(first, second);
	}
}

TEST(where_nothing_goes_wrong_every_migration_is_done)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct world world = { .seed = seed, .no_faults = true };
		int r = world_run(&world);

		ck_assert_msg(!r, "seed %llu: %s", (unsigned long long)seed, world.wrong);
		ck_assert_uint_eq(world.stats.done, world.stats.migrations);
	}
}

HARNESS("sim", T(a_seed_gives_the_same_world_every_time), T(where_nothing_goes_wrong_every_migration_is_done))
