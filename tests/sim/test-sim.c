/* SPDX-License-Identifier: BSD-3-Clause */
/* Worlds in virtual time, around the core that migrates real devices; with faults, and with rules broken on purpose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness.h"
#include "worlds.h"

/* A sanitizer makes it some ten times as slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WORLDS 200u
#else
#define WORLDS 3000u
#endif

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

/* --- what must hold --- */

static void must_hold(struct world *world)
{
	int r = world_run(world);

	ck_assert_msg(!r, "%s; step by step: tests/sim/replay %llu", world->wrong,
		      (unsigned long long)world->seed);
}

TEST(where_nothing_goes_wrong_every_migration_is_done)
{
	for (uint64_t seed = 1; seed <= WORLDS / 15; seed++) {
		struct world world = { .seed = seed, .no_faults = true };

		must_hold(&world);
		ck_assert_uint_eq(world.stats.done, world.stats.migrations);
	}
}

TEST(never_two_run_whatever_goes_wrong)
{
	struct world world = { 0 };

	for (world.seed = 1; world.seed <= WORLDS; world.seed++)
		must_hold(&world);
	/* It was worth the while: each kind of fault was made, and each outcome seen. */
	for (int i = 0; i < VMIG_SIM_FAULTS; i++)
		ck_assert_msg(world.stats.fault_counts[i] > 0, "no %s",
			      vmig_sim_fault_name((enum vmig_sim_fault)i));
	ck_assert_uint_gt(world.stats.done, world.stats.migrations / 4);
	ck_assert_uint_gt(world.stats.not_done, 0);
	ck_assert_uint_gt(world.stats.bad_input, 0);
	ck_assert_uint_gt(world.stats.in_doubt, 0);
	ck_assert_uint_gt(world.stats.source_lost, 0);
}

/* The seed is said when one fails: HARNESS_SEED. */
TEST(never_two_run_in_worlds_that_nobody_has_seen)
{
	struct world world = { .seed = (uint64_t)harness_seed() << 20 };

	for (uint32_t i = 0; i < WORLDS / 10; i++, world.seed++)
		must_hold(&world);
}

TEST(thousands_of_devices_on_many_hosts_are_no_different)
{
	struct vmig_sim_config config;
	struct vmig_sim *sim;
	int r;

	vmig_sim_chance(7, &config);
	config.hosts = 16;
	config.units = WORLDS / 50;
	config.devices = 8;
	config.migrations = 3;
	config.faults = 1;
	ck_assert_int_eq(vmig_sim_new(&config, &sim), 0);
	r = vmig_sim_run(sim);
	ck_assert_msg(!r, "%s", sim->wrong);
	ck_assert_uint_eq(sim->stats.migrations, 3 * config.units);
	ck_assert_uint_gt(sim->stats.done, config.units / 2);
	vmig_sim_free(sim);
}

/* --- rules broken on purpose: each is found out, within a thousand worlds --- */

#define KILLS  (1u << VMIG_SIM_KILL_SOURCE | 1u << VMIG_SIM_KILL_DESTINATION | 1u << VMIG_SIM_FREEZE)
#define RECORD (1u << VMIG_SIM_RECORD_AWAY | 1u << VMIG_SIM_RECORD_UNKNOWN)
#define LINK   (1u << VMIG_SIM_CUT | 1u << VMIG_SIM_HALF_OPEN)

static void found_out(enum vmig_sim_broken broken, const char *what)
{
	struct world world = { .broken = broken, .kinds = KILLS | RECORD | LINK };

	for (world.seed = 1; world.seed <= 1000; world.seed++) {
		if (!world_run(&world))
			continue;
		ck_assert_msg(strstr(world.wrong, what), "%s", world.wrong);
		return;
	}
	ck_abort_msg("%s: a thousand worlds are all right", vmig_sim_broken_name(broken));
}

TEST(a_store_that_does_not_compare_is_found_out)
{
	found_out(VMIG_SIM_NO_EPOCH, "run");
}

TEST(to_run_before_the_commit_is_found_out)
{
	found_out(VMIG_SIM_RUN_FIRST, "runs at host");
}

TEST(to_run_again_without_a_raise_is_found_out)
{
	found_out(VMIG_SIM_NO_RAISE, "runs at host");
}

TEST(not_to_drain_what_the_dead_left_is_found_out)
{
	found_out(VMIG_SIM_NO_FENCE, "host");
}

TEST(to_forget_an_attempt_that_is_open_is_found_out)
{
	found_out(VMIG_SIM_NO_BUMP, "run");
}

TEST(to_use_an_attempt_again_is_found_out)
{
	found_out(VMIG_SIM_REUSE, "run");
}

TEST(to_stop_while_others_do_dma_is_found_out)
{
	found_out(VMIG_SIM_NO_BARRIER, "while device");
}

HARNESS("sim", T(a_seed_gives_the_same_world_every_time),
	T_SLOW(where_nothing_goes_wrong_every_migration_is_done, 120),
	T_SLOW(never_two_run_whatever_goes_wrong, 240),
	T_SLOW(never_two_run_in_worlds_that_nobody_has_seen, 120),
	T_SLOW(thousands_of_devices_on_many_hosts_are_no_different, 120),
	T_SLOW(a_store_that_does_not_compare_is_found_out, 120),
	T_SLOW(to_run_before_the_commit_is_found_out, 120),
	T_SLOW(to_run_again_without_a_raise_is_found_out, 120),
	T_SLOW(not_to_drain_what_the_dead_left_is_found_out, 120),
	T_SLOW(to_forget_an_attempt_that_is_open_is_found_out, 120),
	T_SLOW(to_use_an_attempt_again_is_found_out, 120),
	T_SLOW(to_stop_while_others_do_dma_is_found_out, 120))
