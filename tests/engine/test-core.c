/* SPDX-License-Identifier: BSD-3-Clause */
/* The core, event by event, with every fault at every step. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "harness.h"
#include "sim.h"

#define SC  VMIG_MIGRATION_STOP_COPY
#define P2P VMIG_MIGRATION_P2P
#define PRE VMIG_MIGRATION_PRE_COPY

/* Mixes of devices. */
static const struct {
	uint32_t n, n_features;
	uint64_t features[4];
} mixes[] = {
	{ 1, 1, { SC } },
	{ 1, 1, { SC | P2P } },
	{ 1, 1, { SC | PRE } },
	{ 1, 1, { SC | P2P | PRE } },
	{ 2, 1, { SC | P2P | PRE } },
	{ 2, 2, { SC | P2P, SC | P2P | PRE } },
	{ 5, 4, { SC, SC | P2P, SC | PRE, SC | P2P | PRE } },
};

/* One at a time: there are thousands of them, and each is large. */
static struct sim *new_sim(size_t mix, unsigned int seed)
{
	static struct sim sim;

	sim_init(&sim, mixes[mix].n, mixes[mix].features, mixes[mix].n_features, seed);
	return &sim;
}

TEST(all_mixes_of_devices_move)
{
	for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++) {
		for (unsigned int i = 0; i < 20; i++) {
			struct sim *sim = new_sim(mix, harness_seed() + i);

			sim_run(sim);
			sim_check(sim);
			ck_assert_msg(!sim->side[0].core.result.outcome, "%s",
				      sim->side[0].core.result.reason);
			ck_assert_int_eq(sim->side[1].core.result.outcome, VMIG_DONE);
			for (uint32_t d = 0; d < sim->n; d++)
				ck_assert_uint_eq(sim->side[0].real[d].sent, sim->side[1].real[d].sent);
			ck_assert_int_eq(sim->side[0].quiesced, 1);
			ck_assert_int_eq(sim->side[0].saved, (int)sim->n);
		}
	}
}

TEST(memory_stops_when_all_others_have)
{
	for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++) {
		for (unsigned int i = 0; i < 20; i++) {
			struct sim *sim = new_sim(mix, harness_seed() + i);

			sim->side[0].devices[i % sim->n].info.traits |= VMIG_TRAIT_MEMORY;
			sim->side[1].devices[i % sim->n].info.traits |= VMIG_TRAIT_MEMORY;
			sim_run(sim);
			sim_check(sim);
			ck_assert_int_eq(sim->side[1].core.result.outcome, VMIG_DONE);
		}
	}
}

/* How many steps it takes when nothing goes wrong: where a fault can be put. */
static uint32_t count_steps(size_t mix, unsigned int seed, const struct vmig_core_config *config)
{
	struct sim *sim = new_sim(mix, seed);
	uint32_t steps;

	if (config)
		sim_set_config(sim, config);
	sim_run(sim);
	steps = sim->step;
	return steps;
}

static void fault_everywhere(size_t mix, enum sim_fault fault, const struct vmig_core_config *config)
{
	unsigned int seed = harness_seed();
	uint32_t steps = count_steps(mix, seed, config);

	for (uint32_t at = 0; at < steps; at++) {
		struct sim *sim = new_sim(mix, seed);

		if (config)
			sim_set_config(sim, config);
		sim->fault = fault;
		sim->fault_at = at;
		sim_run(sim);
		sim_check(sim);
	}
}

#define EVERYWHERE(name, fault)                                                                              \
	TEST(name)                                                                                           \
	{                                                                                                    \
		for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++)                                         \
			fault_everywhere(mix, fault, NULL);                                                  \
	}

EVERYWHERE(a_failed_job_anywhere_is_undone, SIM_JOB_FAILS)
EVERYWHERE(a_device_in_error_anywhere_is_told, SIM_JOB_TO_ERROR)
EVERYWHERE(a_lost_channel_anywhere_is_undone, SIM_CHANNEL_LOST)
EVERYWHERE(a_dead_source_leaves_a_clean_destination, SIM_SOURCE_DIES)
EVERYWHERE(a_dead_destination_leaves_a_running_source, SIM_DESTINATION_DIES)
EVERYWHERE(a_silent_peer_is_given_up, SIM_SILENCE)
EVERYWHERE(the_source_cancels_anywhere, SIM_CANCEL_SOURCE)
EVERYWHERE(the_destination_cancels_anywhere, SIM_CANCEL_DESTINATION)
EVERYWHERE(a_user_that_fails_stops_it, SIM_USER_FAILS)
EVERYWHERE(data_that_are_not_taken_stop_it, SIM_DATA_FAILS)
EVERYWHERE(a_bad_stream_anywhere_is_undone, SIM_BAD_STREAM)
EVERYWHERE(data_that_vanish_are_missed, SIM_DATA_VANISH)
EVERYWHERE(a_record_out_of_turn_anywhere_is_refused, SIM_WRONG_RECORD)

/* --- with a record that decides --- */

static struct sim *new_owned(size_t mix, unsigned int seed, bool fresh)
{
	struct sim *sim = new_sim(mix, seed);

	sim_set_owned(sim, fresh);
	return sim;
}

TEST(a_record_names_the_destination_in_the_end)
{
	for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++) {
		for (int fresh = 0; fresh < 2; fresh++) {
			struct sim *sim = new_owned(mix, harness_seed(), fresh);

			sim_run(sim);
			sim_check(sim);
			ck_assert_msg(!sim->side[0].core.result.outcome, "%s",
				      sim->side[0].core.result.reason);
			ck_assert(sim->side[0].core.result.owned && sim->side[1].core.result.owned);
			for (uint32_t i = 0; i < sim->n; i++) {
				ck_assert_str_eq(sim->record[i].owner, "host/destination");
				ck_assert_int_eq(sim->record[i].phase, VMIG_OWNER_RUNNING);
				ck_assert_uint_eq(sim->record[i].epoch, 3);
			}
		}
	}
}

/* With the fault at each step: never two, which the simulator looks at; and after new processes have asked the record, one. */
static void owned_everywhere(size_t mix, enum sim_fault fault, bool fresh)
{
	unsigned int seed = harness_seed();
	struct sim *sim = new_owned(mix, seed, fresh);
	uint32_t steps;

	sim_run(sim);
	steps = sim->step;
	for (uint32_t at = 0; at < steps; at++) {
		sim = new_owned(mix, seed + at, fresh);
		sim->fault = fault;
		sim->fault_at = at;
		sim_run(sim);
		sim_check(sim);
		sim_resolve(sim);
		if (!sim->faulty_device)
			ck_assert_msg(sim_owner_runs(sim, 0) + sim_owner_runs(sim, 1) == 1,
				      "%d run, seed %u, fault %d at %u of mix %zu: %s",
				      sim_owner_runs(sim, 0) + sim_owner_runs(sim, 1), seed + at, fault, at,
				      mix, sim->side[0].core.result.reason);
	}
}

#define OWNED(name, fault)                                                                                   \
	TEST(name)                                                                                           \
	{                                                                                                    \
		owned_everywhere(0, fault, false);                                                           \
		owned_everywhere(3, fault, true);                                                            \
		owned_everywhere(5, fault, false);                                                           \
	}

OWNED(owned_a_failed_job_anywhere, SIM_JOB_FAILS)
OWNED(owned_a_device_in_error_anywhere, SIM_JOB_TO_ERROR)
OWNED(owned_a_lost_channel_anywhere, SIM_CHANNEL_LOST)
OWNED(owned_a_dead_source, SIM_SOURCE_DIES)
OWNED(owned_a_dead_destination, SIM_DESTINATION_DIES)
OWNED(owned_two_dead_processes, SIM_BOTH_DIE)
OWNED(owned_a_silent_peer, SIM_SILENCE)
OWNED(owned_a_source_that_cancels, SIM_CANCEL_SOURCE)
OWNED(owned_a_destination_that_cancels, SIM_CANCEL_DESTINATION)
OWNED(owned_a_user_that_fails, SIM_USER_FAILS)
OWNED(owned_data_that_are_not_taken, SIM_DATA_FAILS)
OWNED(owned_a_bad_stream, SIM_BAD_STREAM)
OWNED(owned_a_write_that_was_done_and_not_learnt_of, SIM_RECORD_UNKNOWN_DONE)
OWNED(owned_a_write_that_was_not_done_and_not_learnt_of, SIM_RECORD_UNKNOWN_NOT)
OWNED(owned_a_write_that_is_done_later, SIM_RECORD_LATE)
OWNED(owned_a_record_that_is_away, SIM_RECORD_AWAY)
OWNED(owned_a_record_that_is_gone, SIM_RECORD_GONE)
OWNED(owned_an_attempt_that_somebody_ends, SIM_RECORD_BUMPED)

/* The source's copy is good as long as the destination has run nothing: given back, or raised, it goes on. */
TEST(owned_a_device_server_that_dies_at_the_destination)
{
	for (size_t mix = 3; mix < 6; mix++) {
		for (uint32_t at = 0; at < 160; at++) {
			struct sim *sim = new_owned(mix, harness_seed() + at, mix % 2);

			sim->fault = SIM_DESTINATION_SERVER_DIES;
			sim->fault_at = at;
			sim_run(sim);
			if (!sim->ran && sim->side[0].core.result.outcome != VMIG_DONE)
				ck_assert_msg(sim_all_in(&sim->side[0], sim->n, VMIG_STATE_RUNNING),
					      "at %u: %s", at, sim->side[0].core.result.reason);
			sim_resolve(sim);
			if (!sim->ran)
				ck_assert_msg(sim_owner_runs(sim, 0), "at %u: %s", at,
					      sim->side[0].core.result.reason);
		}
	}
}

/* After its data have gone out it is not needed; before, the device is lost, and nobody pretends that it were not. */
static void source_server_dies(enum sim_fault fault)
{
	for (size_t mix = 3; mix < 6; mix++) {
		for (uint32_t at = 0; at < 160; at++) {
			struct sim *sim = new_owned(mix, harness_seed() + at, mix % 2);
			const struct vmig_migrate_result *r = &sim->side[0].core.result;

			sim->fault = fault;
			sim->fault_at = at;
			sim_run(sim);
			if (sim->side[1].core.result.outcome == VMIG_DONE)
				ck_assert(r->outcome == VMIG_DONE || r->outcome == VMIG_IN_DOUBT);
			else if (sim->fault_done && sim->side[0].devices[0].moved)
				ck_assert_msg(r->outcome == VMIG_SOURCE_LOST || r->outcome == VMIG_IN_DOUBT ||
						      r->stage <= VMIG_STAGE_OFFER,
					      "at %u: %d: %s", at, r->outcome, r->reason);
			sim_resolve(sim);
		}
	}
}

TEST(owned_a_device_server_that_dies_at_the_source)
{
	source_server_dies(SIM_SOURCE_SERVER_DIES);
}

TEST(owned_a_source_that_loses_its_device_and_the_channel)
{
	source_server_dies(SIM_SOURCE_CUT_OFF);
}

/* --- one way --- */

static const struct vmig_core_config one_way = { .one_way = true,
						 .downtime_ns = 300 * NS_PER_MS,
						 .max_rounds = 30 };
static const struct vmig_core_config live = {
	.one_way = true, .keep_source = true, .downtime_ns = 300 * NS_PER_MS, .max_rounds = 30
};

TEST(a_file_has_the_same_stages)
{
	for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++) {
		struct sim *sim = new_sim(mix, harness_seed());

		sim_set_config(sim, &one_way);
		sim_run(sim);
		sim_check(sim);
		ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
		ck_assert_int_eq(sim->side[1].core.result.outcome, VMIG_DONE);
		ck_assert_int_eq(sim->commits, 1);
	}
}

TEST(a_live_save_leaves_the_source_running)
{
	for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++) {
		struct sim *sim = new_sim(mix, harness_seed());

		sim_set_config(sim, &live);
		sim_run(sim);
		sim_check(sim);
		ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
		ck_assert(sim_all_in(&sim->side[0], sim->n, VMIG_STATE_RUNNING));
		ck_assert_int_eq(sim->side[0].resumed, 1);
	}
}

TEST(a_save_that_fails_anywhere_is_undone)
{
	static const enum sim_fault faults[] = { SIM_JOB_FAILS, SIM_JOB_TO_ERROR, SIM_CANCEL_SOURCE,
						 SIM_USER_FAILS };

	for (size_t mix = 0; mix < ARRAY_SIZE(mixes); mix++) {
		for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
			fault_everywhere(mix, faults[i], &one_way);
			fault_everywhere(mix, faults[i], &live);
		}
	}
}

/* --- the offer --- */

static struct sim *refused(void (*change)(struct sim *sim), const char *reason)
{
	struct sim *sim = new_sim(4, harness_seed());
	const struct vmig_migrate_result *a = &sim->side[0].core.result, *b = &sim->side[1].core.result;

	change(sim);
	sim_run(sim);
	sim_check(sim);
	ck_assert_int_eq(a->outcome, VMIG_NOT_DONE);
	ck_assert_int_eq(b->outcome, VMIG_NOT_DONE);
	ck_assert_int_eq(a->stage, VMIG_STAGE_OFFER);
	ck_assert_msg(strstr(a->reason, reason) && strstr(b->reason, reason), "%s", a->reason);
	/* Nothing has moved. */
	ck_assert_int_eq(sim->side[0].quiesced, 0);
	for (uint32_t i = 0; i < sim->n; i++)
		ck_assert(!sim->side[0].devices[i].moved && !sim->side[1].devices[i].moved);
	return sim;
}

static void other_type(struct sim *sim)
{
	memcpy(sim->side[1].devices[1].info.identity, "other", 6);
}

static void no_reset(struct sim *sim)
{
	sim->side[1].devices[0].info.flags = 0;
}

static void reset_keeps_fsm(struct sim *sim)
{
	sim->side[1].devices[1].info.traits = VMIG_TRAIT_RESET_KEEPS_FSM;
}

static void no_migration(struct sim *sim)
{
	sim->side[1].devices[0].info.migration_flags = 0;
}

static void fewer(struct sim *sim)
{
	sim->side[1].core.n = 1;
}

static void all_of_it(struct sim *sim)
{
	other_type(sim);
	no_reset(sim);
}

TEST(what_does_not_fit_is_refused_before_anything_moves)
{
	struct sim *sim;

	refused(other_type, "device 1: the source's sim is a sim, but sim here is a other");
	refused(no_reset, "device 0: sim here has no reset");
	refused(reset_keeps_fsm, "device 1: a reset of sim here");
	refused(no_migration, "device 0: sim here cannot be migrated");
	sim = refused(fewer, "the source offers 2 device(s), and 1 are here");
	sim = refused(all_of_it, "device 1: the source's");
	ck_assert(strstr(sim->side[0].core.result.reason, "device 0: sim here has no reset"));
}

TEST(a_source_that_does_not_migrate_is_told_at_once)
{
	struct sim *sim = new_sim(4, harness_seed());

	sim->side[0].devices[1].info.migration_flags = 0;
	sim_run(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_NOT_DONE);
	ck_assert_int_eq(sim->side[0].core.result.stage, VMIG_STAGE_HELLO);
	ck_assert(strstr(sim->side[0].core.result.reason, "device 1 (sim) cannot be migrated"));
}

/* --- pre-copy --- */

TEST(a_device_that_changes_too_fast_is_switched_over_in_the_end)
{
	const struct vmig_core_config patient = { .downtime_ns = 300 * NS_PER_MS,
						  .timeout_ns = 60 * NS_PER_S,
						  .max_rounds = 30 };
	struct sim *sim = new_sim(3, harness_seed());

	sim_set_config(sim, &patient);
	sim->side[0].real[0].dirties = 400 << 20;
	sim_run(sim);
	sim_check(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_uint_ge(sim->side[0].core.result.rounds, 3);
	ck_assert_uint_le(sim->side[0].core.result.rounds, 30);
}

TEST(a_device_without_precopy_that_does_not_fit_is_no_reason_to_wait)
{
	const struct vmig_core_config hasty = { .downtime_ns = 2 * NS_PER_MS,
						.timeout_ns = 60 * NS_PER_S,
						.max_rounds = 30 };
	struct sim *sim = new_sim(5, harness_seed());

	sim_set_config(sim, &hasty);
	sim->side[0].real[0].rest = 1 << 30;
	sim->side[0].real[1].dirties = 0;
	sim_run(sim);
	sim_check(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_uint_lt(sim->side[0].core.result.stage_ns[VMIG_STAGE_PRECOPY], 10 * NS_PER_S);
}

TEST(the_number_of_rounds_is_bounded)
{
	const struct vmig_core_config few = { .downtime_ns = 1, .timeout_ns = NS_PER_S, .max_rounds = 2 };
	struct sim *sim = new_sim(3, harness_seed());

	sim_set_config(sim, &few);
	sim->side[0].real[0].dirties = 1000;
	sim_run(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_uint_eq(sim->side[0].core.result.rounds, 2);
}

static struct sim *too_fast(const struct vmig_core_config *config)
{
	struct sim *sim = new_sim(3, harness_seed());

	sim_set_config(sim, config);
	sim->side[0].real[0].dirties = 400 << 20;
	sim_run(sim);
	sim_check(sim);
	return sim;
}

static const char *words(const struct sim *sim)
{
	return sim->side[0].core.plan.words;
}

TEST(a_device_that_changes_too_fast_is_not_moved_if_so_wished)
{
	const struct vmig_core_config strict = { .downtime_ns = 300 * NS_PER_MS,
						 .timeout_ns = 60 * NS_PER_S,
						 .max_rounds = 30,
						 .on_no_converge = VMIG_NO_CONVERGE_ABORT };
	struct sim *sim = too_fast(&strict);
	const struct vmig_migrate_result *r = &sim->side[0].core.result;

	ck_assert_int_eq(r->outcome, VMIG_NOT_DONE);
	ck_assert_int_eq(r->code, ETIME);
	ck_assert_int_eq(r->stage, VMIG_STAGE_PRECOPY);
	ck_assert_int_eq(sim->side[0].quiesced, 0);
	ck_assert_msg(strstr(r->reason, "device 0 (sim) changes"), "%s", r->reason);
	ck_assert_msg(strstr(r->reason, "what would help: a downtime of"), "%s", r->reason);
}

TEST(who_waits_for_convergence_waits_for_so_long_as_was_said)
{
	const struct vmig_core_config patient = { .downtime_ns = 300 * NS_PER_MS,
						  .timeout_ns = 60 * NS_PER_S,
						  .max_rounds = UINT32_MAX,
						  .max_time_ns = 20 * NS_PER_S,
						  .on_no_converge = VMIG_NO_CONVERGE_WAIT };
	struct sim *sim = too_fast(&patient);
	const struct vmig_migrate_result *r = &sim->side[0].core.result;

	ck_assert_int_eq(r->outcome, VMIG_NOT_DONE);
	ck_assert_uint_ge(r->stage_ns[VMIG_STAGE_PRECOPY], 20 * NS_PER_S);
	ck_assert_uint_le(r->stage_ns[VMIG_STAGE_PRECOPY], 22 * NS_PER_S);
	ck_assert_uint_gt(r->rounds, 5);
	ck_assert_msg(strstr(r->reason, "its time, 20 s, is used up"), "%s", r->reason);
}

TEST(the_words_are_said_once_when_it_is_switched_over_all_the_same)
{
	const struct vmig_core_config willing = { .downtime_ns = 300 * NS_PER_MS,
						  .timeout_ns = 60 * NS_PER_S,
						  .bandwidth = 1 << 30,
						  .max_rounds = 2 };
	struct sim *sim = too_fast(&willing);

	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_msg(strstr(words(sim), "its 2 rounds are used up"), "%s", words(sim));
	ck_assert_msg(strstr(words(sim), "(it is limited to 1.0 GiB/s)"), "%s", words(sim));
	ck_assert_msg(strstr(words(sim), "it is switched over all the same"), "%s", words(sim));
}

TEST(what_has_no_precopy_is_named_as_the_cause)
{
	const struct vmig_core_config strict = { .downtime_ns = 300 * NS_PER_MS,
						 .timeout_ns = 60 * NS_PER_S,
						 .max_rounds = 3,
						 .on_no_converge = VMIG_NO_CONVERGE_ABORT };
	struct sim *sim = new_sim(5, harness_seed());

	sim_set_config(sim, &strict);
	sim->side[0].real[0].rest = 2ull << 30;
	sim->side[0].real[1].dirties = 100;
	sim_run(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_NOT_DONE);
	ck_assert_msg(strstr(words(sim), "device 0 (sim) has no PRE_COPY: its 2.0 GiB can only"), "%s",
		      words(sim));
}

/* One that is stuck does not end the rounds while another still becomes less. */
TEST(rounds_go_on_while_one_device_gains_by_them)
{
	const struct vmig_core_config config = { .downtime_ns = 200 * NS_PER_MS,
						 .timeout_ns = 60 * NS_PER_S,
						 .max_rounds = 30,
						 .on_no_converge = VMIG_NO_CONVERGE_ABORT };
	struct sim *sim = new_sim(4, harness_seed());

	sim_set_config(sim, &config);
	sim->side[0].real[0].dirties = 20 << 20;
	sim->side[0].real[1].initial = 1ull << 30;
	sim->side[0].real[1].dirties = 400 << 20;
	sim->side[0].real[1].calms = true;
	sim_run(sim);
	ck_assert_msg(!sim->side[0].core.result.outcome, "%s", sim->side[0].core.result.reason);
}

TEST(without_precopy_nothing_moves_before_the_switchover)
{
	const struct vmig_core_config none = {
		.no_precopy = true, .downtime_ns = 1, .timeout_ns = NS_PER_S, .max_rounds = 2
	};
	struct sim *sim = new_sim(3, harness_seed());

	sim_set_config(sim, &none);
	sim_run(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_uint_eq(sim->side[0].core.result.stage_bytes[VMIG_STAGE_PRECOPY], 0);
	ck_assert_uint_eq(sim->side[0].core.result.stage_bytes[VMIG_STAGE_SWITCHOVER], 1100);
}

TEST(a_device_without_sizes_is_read_until_drained)
{
	struct sim *sim = new_sim(4, harness_seed());

	sim->side[0].devices[0].info.has = 0;
	sim_run(sim);
	sim_check(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_uint_eq(sim->side[1].real[0].sent, 1100);
}

/* Each transition takes five times as long as a peer may be silent: who waits for one says that he is there. */
TEST(slow_transitions_are_no_silence)
{
	struct sim *sim = new_sim(4, harness_seed());

	sim->slow_ns = 5 * NS_PER_S;
	sim_run(sim);
	sim_check(sim);
	ck_assert_msg(!sim->side[0].core.result.outcome, "%s", sim->side[0].core.result.reason);
}

TEST(devices_found_elsewhere_are_brought_back_first)
{
	struct sim *sim = new_sim(4, harness_seed());

	sim->side[0].real[0].state = VMIG_STATE_STOP_COPY;
	sim->side[0].real[1].state = VMIG_STATE_PRE_COPY_P2P;
	sim->side[1].real[1].state = VMIG_STATE_RESUMING;
	/* The simulation itself sees to it that this one is not run before the commit. */
	sim->side[1].real[0].state = VMIG_STATE_STOP;
	sim_run(sim);
	sim_check(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	ck_assert_uint_eq(sim->side[0].core.result.resets, 0);
	ck_assert_uint_eq(sim->side[1].core.result.resets, 1);
}

/* New initial data after the destination has acknowledged the first: it is asked again, and only then is switched over. */
TEST(new_initial_data_revoke_the_acknowledgement)
{
	const struct vmig_core_config patient = { .downtime_ns = 300 * NS_PER_MS,
						  .timeout_ns = 60 * NS_PER_S,
						  .max_rounds = 6 };
	struct sim *sim = new_sim(3, harness_seed());

	sim_set_config(sim, &patient);
	sim->side[0].real[0].dirties = 400 << 20;
	sim->side[0].real[0].reinit_at = 4;
	sim_run(sim);
	sim_check(sim);
	ck_assert_int_eq(sim->side[0].core.result.outcome, VMIG_DONE);
	/* Once more before the switchover, since so much was on the way. */
	ck_assert_uint_eq(sim->side[0].core.plan.initial_number, 3);
	ck_assert_uint_eq(sim->side[0].core.plan.initial_acked, 3);
	ck_assert_uint_eq(sim->side[1].core.plan.initial_acked, 3);
}

/* --- a source that is not one of ours --- */

static void put_any(struct sim *sim, uint32_t type, unsigned int *seed)
{
	struct sim_side *d = &sim->side[1];
	struct sim_message *m = &d->in[d->used++];

	*m = (struct sim_message){ .type = type, .device = (uint32_t)rand_r(seed) % (sim->n + 2) };
	m->len = (uint32_t)rand_r(seed) % 40;
	for (uint32_t i = 0; i < m->len; i++)
		m->payload[i] = rand_r(seed) % 2 ? 0 : (uint8_t)rand_r(seed);
}

/* The right HELLO and OFFERs for a start, so that it comes further than the first stage. */
static void put_start(struct sim *sim)
{
	struct sim_side *d = &sim->side[1];
	struct vmig_hello hello = { .n_devices = sim->n, .max_data = 1 << 20 };
	struct vmig_offer offer = { .migration_flags = 7, .identity = "sim", .format = "v2", .name = "sim" };
	struct sim_message *m = &d->in[d->used++];
	struct vmig_cursor c = vmig_cursor_into(m->payload, sizeof(m->payload));

	m->type = VMIG_RECORD_HELLO;
	m->device = VMIG_RECORD_ALL;
	vmig_hello_put(&c, &hello);
	m->len = (uint32_t)(sizeof(m->payload) - c.left);
	for (uint32_t i = 0; i < sim->n; i++) {
		m = &d->in[d->used++];
		c = vmig_cursor_into(m->payload, sizeof(m->payload));
		m->type = VMIG_RECORD_OFFER;
		m->device = i;
		vmig_offer_put(&c, &offer);
		m->len = (uint32_t)(sizeof(m->payload) - c.left);
	}
}

TEST(records_out_of_turn_never_run_a_device)
{
	unsigned int seed = harness_seed();

	for (int round = 0; round < 1500; round++) {
		struct sim *sim = new_sim(4, seed + (unsigned int)round);
		const struct vmig_migrate_result *r = &sim->side[1].core.result;

		sim->side[0].dead = true;
		sim->side[0].down = true;
		if (round % 3)
			put_start(sim);
		for (int i = 0; i < 8; i++) {
			uint32_t type = (uint32_t)rand_r(&seed) % (VMIG_RECORD_NR + 1);

			if (type != VMIG_RECORD_DATA)
				put_any(sim, type, &seed);
		}
		sim_run(sim);
		sim_check(sim);
		ck_assert(r->outcome == VMIG_BAD_INPUT || r->outcome == VMIG_NOT_DONE);
		ck_assert_int_eq(sim->side[1].started, 0);
	}
}

/* A question is answered, and nobody has moved; what comes with it does not matter. */
TEST(a_probe_moves_nobody)
{
	for (int paper = 0; paper < 2; paper++) {
		for (unsigned int seed = 0; seed < 50; seed++) {
			struct sim *sim = new_sim(3, seed);

			sim_set_config(sim, &(struct vmig_core_config){ .downtime_ns = 300 * NS_PER_MS,
									.timeout_ns = NS_PER_S,
									.max_rounds = 30,
									.probe = true,
									.paper = paper });
			sim_run(sim);
			/* The simulator's judges know no descriptors: without a device nothing is known. */
			ck_assert_int_eq(sim->side[0].core.result.outcome, paper ? VMIG_NOT_DONE : VMIG_DONE);
			ck_assert_int_eq(sim->side[1].core.result.outcome, VMIG_NOT_DONE);
			ck_assert(sim->side[1].core.result.probed);
			ck_assert(sim_all_in(&sim->side[0], sim->n, VMIG_STATE_RUNNING));
			ck_assert(sim_all_in(&sim->side[1], sim->n, VMIG_STATE_RUNNING));
			ck_assert_int_eq(sim->side[0].quiesced + sim->side[1].started, 0);
			ck_assert_uint_eq(sim->side[1].core.result.resets, 0);
		}
	}
}

/* What has no device cannot be moved, though its descriptor were accepted. */
TEST(a_descriptor_without_a_device_is_not_moved)
{
	struct sim *sim = new_sim(1, 1);

	sim_set_config(sim, &(struct vmig_core_config){ .downtime_ns = 300 * NS_PER_MS,
							.timeout_ns = NS_PER_S,
							.max_rounds = 30,
							.paper = true });
	sim_run(sim);
	ck_assert_int_eq(sim->side[1].core.result.outcome, VMIG_NOT_DONE);
	ck_assert_ptr_nonnull(
		strstr(sim->side[1].core.result.reason, "without a device, and means to move it"));
	ck_assert(sim_all_in(&sim->side[0], sim->n, VMIG_STATE_RUNNING));
}

HARNESS("core", T_SLOW(owned_a_device_server_that_dies_at_the_destination, 60),
	T_SLOW(owned_a_device_server_that_dies_at_the_source, 60),
	T_SLOW(owned_a_source_that_loses_its_device_and_the_channel, 60),
	T(a_record_names_the_destination_in_the_end), T_SLOW(owned_a_failed_job_anywhere, 60),
	T_SLOW(owned_a_device_in_error_anywhere, 60), T_SLOW(owned_a_lost_channel_anywhere, 60),
	T_SLOW(owned_a_dead_source, 60), T_SLOW(owned_a_dead_destination, 60),
	T_SLOW(owned_two_dead_processes, 60), T_SLOW(owned_a_silent_peer, 60),
	T_SLOW(owned_a_source_that_cancels, 60), T_SLOW(owned_a_destination_that_cancels, 60),
	T_SLOW(owned_a_user_that_fails, 60), T_SLOW(owned_data_that_are_not_taken, 60),
	T_SLOW(owned_a_bad_stream, 60), T_SLOW(owned_a_write_that_was_done_and_not_learnt_of, 60),
	T_SLOW(owned_a_write_that_was_not_done_and_not_learnt_of, 60),
	T_SLOW(owned_a_write_that_is_done_later, 60), T_SLOW(owned_a_record_that_is_away, 60),
	T_SLOW(owned_a_record_that_is_gone, 60), T_SLOW(owned_an_attempt_that_somebody_ends, 60),
	T(new_initial_data_revoke_the_acknowledgement), T(a_probe_moves_nobody),
	T(a_descriptor_without_a_device_is_not_moved), T_SLOW(records_out_of_turn_never_run_a_device, 60),
	T(all_mixes_of_devices_move), T(memory_stops_when_all_others_have),
	T_SLOW(a_failed_job_anywhere_is_undone, 60), T_SLOW(a_device_in_error_anywhere_is_told, 60),
	T_SLOW(a_lost_channel_anywhere_is_undone, 60), T_SLOW(a_dead_source_leaves_a_clean_destination, 60),
	T_SLOW(a_dead_destination_leaves_a_running_source, 60), T_SLOW(a_silent_peer_is_given_up, 60),
	T_SLOW(the_source_cancels_anywhere, 60), T_SLOW(the_destination_cancels_anywhere, 60),
	T_SLOW(a_user_that_fails_stops_it, 60), T_SLOW(data_that_are_not_taken_stop_it, 60),
	T_SLOW(a_bad_stream_anywhere_is_undone, 60), T_SLOW(data_that_vanish_are_missed, 60),
	T_SLOW(a_record_out_of_turn_anywhere_is_refused, 60), T(a_file_has_the_same_stages),
	T(a_live_save_leaves_the_source_running), T_SLOW(a_save_that_fails_anywhere_is_undone, 60),
	T(what_does_not_fit_is_refused_before_anything_moves),
	T(a_source_that_does_not_migrate_is_told_at_once),
	T(a_device_that_changes_too_fast_is_switched_over_in_the_end),
	T(a_device_that_changes_too_fast_is_not_moved_if_so_wished),
	T(a_device_without_precopy_that_does_not_fit_is_no_reason_to_wait),
	T(the_number_of_rounds_is_bounded), T(who_waits_for_convergence_waits_for_so_long_as_was_said),
	T(the_words_are_said_once_when_it_is_switched_over_all_the_same),
	T(what_has_no_precopy_is_named_as_the_cause), T(rounds_go_on_while_one_device_gains_by_them),
	T(without_precopy_nothing_moves_before_the_switchover),
	T(a_device_without_sizes_is_read_until_drained), T(slow_transitions_are_no_silence),
	T(devices_found_elsewhere_are_brought_back_first))
