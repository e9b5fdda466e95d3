/* SPDX-License-Identifier: BSD-3-Clause */
/* What each step makes of each record, and what each finding leads to. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "records.h"

/* Device 1 is a's; b is the peer where there is one. */
static struct vmig_ownership record_in(enum vmig_owner_phase phase)
{
	struct vmig_ownership r = some_record(1);

	r.phase = phase;
	r.epoch = 7;
	r.attempt = some_uuid(900);
	snprintf(r.peer, sizeof(r.peer), "%s", phase == VMIG_OWNER_OPEN ? "b" : "");
	return r;
}

/* Each step by its owner (a), the peer (b) and another (c) from each phase: 'x' is refused, else the phase after it. */
TEST(steps_are_allowed_to_whom_the_rules_say)
{
	static const struct {
		enum vmig_owner_step step;
		const char *peer, *by[3]; /* none, stable, open, taken, running */
	} rows[] = {
		{ VMIG_OWNER_CREATE, NULL, { "sxxxx", "sxxxx", "sxxxx" } },
		{ VMIG_OWNER_DO_OPEN, "d", { "xooxo", "xxxxx", "xxxxx" } },
		{ VMIG_OWNER_RAISE, NULL, { "xsstr", "xxxxx", "xxxxx" } },
		{ VMIG_OWNER_COMMIT, "a", { "xxxxx", "xxtxx", "xxxxx" } },
		{ VMIG_OWNER_BUMP, NULL, { "xxsxx", "xxsxx", "xxsxx" } },
		{ VMIG_OWNER_GIVEBACK, "z", { "xxxsx", "xxxxx", "xxxxx" } },
		{ VMIG_OWNER_DONE, NULL, { "xxxrx", "xxxxx", "xxxxx" } },
	};
	static const char letters[] = "xsotr";
	static const char *const who[] = { "a", "b", "c" };

	for (size_t i = 0; i < VMIG_OWNER_STEP_NR; i++) {
		for (int w = 0; w < 3; w++) {
			struct vmig_owner_actor actor = some_actor(who[w], rows[i].peer);

			if (rows[i].step == VMIG_OWNER_DO_OPEN)
				actor.attempt = some_uuid(999);
			for (int phase = 0; phase <= VMIG_OWNER_RUNNING; phase++) {
				struct vmig_ownership now = record_in((enum vmig_owner_phase)phase), next;
				int r = vmig_owner_next(rows[i].step, &actor, &now, &next);

				ck_assert_msg((r ? 'x' : letters[next.phase]) == rows[i].by[w][phase] &&
						      (!r || r == -EPERM),
					      "%s by %s from %s: %d", vmig_owner_step_name(rows[i].step),
					      who[w], vmig_owner_phase_name((enum vmig_owner_phase)phase), r);
			}
		}
	}
}

TEST(open_then_commit_then_done)
{
	struct vmig_ownership r = some_record(1), now;
	struct vmig_owner_actor a = some_actor("a", "b"), b = some_actor("b", "a");

	b.instance = some_uuid(77);
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &r, &r), 0);
	ck_assert_str_eq(r.owner, "a");
	ck_assert_str_eq(r.peer, "b");
	ck_assert_uint_eq(r.epoch, 2);
	ck_assert(vmig_uuid_equal(&r.attempt, &a.attempt));
	ck_assert(vmig_uuid_equal(&r.writer, &a.writer));
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_COMMIT, &b, &r, &r), 0);
	ck_assert_str_eq(r.owner, "b");
	ck_assert_str_eq(r.peer, "");
	ck_assert_uint_eq(r.epoch, 3);
	ck_assert(vmig_uuid_equal(&r.instance, &b.instance));
	now = r;
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DONE, &b, &now, &r), 0);
	ck_assert_uint_eq(r.epoch, 3);
	ck_assert_int_eq(r.phase, VMIG_OWNER_RUNNING);
	/* And from here the next migration starts. */
	b.peer = "a";
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &b, &r, &r),
			 -EPERM); /* the same attempt again */
	b.attempt = some_uuid(1000);
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &b, &r, &r), 0);
}

TEST(commit_of_another_attempt_is_refused)
{
	struct vmig_ownership now = record_in(VMIG_OWNER_OPEN), next;
	struct vmig_owner_actor b = some_actor("b", "a");

	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_COMMIT, &b, &now, &next), 0);
	b.attempt = some_uuid(5);
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_COMMIT, &b, &now, &next), -EPERM);
	b = some_actor("b", "c"); /* it is a's */
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_COMMIT, &b, &now, &next), -EPERM);
}

TEST(no_step_after_the_last_epoch)
{
	struct vmig_ownership now = record_in(VMIG_OWNER_STABLE), next;
	struct vmig_owner_actor a = some_actor("a", "b");

	now.epoch = VMIG_OWNER_EPOCH_MAX - 1;
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_RAISE, &a, &now, &next), 0);
	now.epoch = VMIG_OWNER_EPOCH_MAX;
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_RAISE, &a, &now, &next), -EPERM);
}

TEST(names_have_a_limit)
{
	char name[VMIG_OWNER_NAME_MAX + 1];
	struct vmig_ownership now = record_in(VMIG_OWNER_STABLE), next;
	struct vmig_owner_actor a = some_actor("a", name);

	a.attempt = some_uuid(5);
	memset(name, 'n', sizeof(name));
	name[VMIG_OWNER_NAME_MAX] = '\0';
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &now, &next), -EINVAL);
	name[VMIG_OWNER_NAME_MAX - 1] = '\0';
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &now, &next), 0);
	ck_assert_str_eq(next.peer, name);
	name[3] = '\n';
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &now, &next), -EINVAL);
	name[0] = '\0';
	ck_assert_int_eq(vmig_owner_next(VMIG_OWNER_DO_OPEN, &a, &now, &next), -EINVAL);
}

/* --- the restart rule ----------------------------------------------------------------------------- */

TEST(restart_rule)
{
	enum { RUNS = 1, INTACT = 2, STOPPED = 4, LIFE = 8, UNTAGGED = 16 };
	static const struct {
		const char *me;
		enum vmig_owner_phase phase;
		int found;
		enum vmig_owner_verdict verdict;
	} rows[] = {
		{ "a", VMIG_OWNER_OPEN, RUNS | INTACT, VMIG_OWNER_RUN_ALL },
		{ "a", VMIG_OWNER_TAKEN, RUNS | INTACT, VMIG_OWNER_RUN_ALL },
		{ "a", VMIG_OWNER_OPEN, INTACT | STOPPED, VMIG_OWNER_RAISE_THEN_RUN },
		{ "a", VMIG_OWNER_TAKEN, INTACT, VMIG_OWNER_RAISE_THEN_RUN },
		{ "a", VMIG_OWNER_STABLE, INTACT, VMIG_OWNER_RAISE_THEN_RUN },
		{ "a", VMIG_OWNER_TAKEN, LIFE, VMIG_OWNER_GIVE_BACK },
		{ "a", VMIG_OWNER_TAKEN, LIFE | RUNS, VMIG_OWNER_LOST_DEVICE },
		{ "a", VMIG_OWNER_TAKEN, 0, VMIG_OWNER_LOST_DEVICE },
		{ "a", VMIG_OWNER_RUNNING, LIFE, VMIG_OWNER_LOST_DEVICE },
		{ "a", VMIG_OWNER_OPEN, 0, VMIG_OWNER_LOST_DEVICE },
		{ "a", VMIG_OWNER_OPEN, UNTAGGED, VMIG_OWNER_DOUBT },
		{ "b", VMIG_OWNER_OPEN, INTACT, VMIG_OWNER_FENCE },
		{ "b", VMIG_OWNER_OPEN, UNTAGGED, VMIG_OWNER_FENCE },
		{ "c", VMIG_OWNER_OPEN, INTACT | STOPPED, VMIG_OWNER_DISCARD },
		{ "b", VMIG_OWNER_STABLE, INTACT, VMIG_OWNER_DISCARD },
		{ "b", VMIG_OWNER_TAKEN, INTACT | STOPPED, VMIG_OWNER_KEEP },
		{ "b", VMIG_OWNER_TAKEN, UNTAGGED, VMIG_OWNER_KEEP },
		{ "b", VMIG_OWNER_TAKEN, 0, VMIG_OWNER_DISCARD },
		{ "b", VMIG_OWNER_RUNNING, INTACT | STOPPED, VMIG_OWNER_DISCARD },
		{ "b", VMIG_OWNER_TAKEN, RUNS | INTACT, VMIG_OWNER_DOUBT },
		{ "b", 0, INTACT, VMIG_OWNER_DOUBT },
		{ "a", 0, INTACT, VMIG_OWNER_DOUBT },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vmig_ownership r = record_in(rows[i].phase);
		struct vmig_owner_found found = {
			.tagged = !(rows[i].found & UNTAGGED),
			.any_runs = rows[i].found & RUNS,
			.all_intact = rows[i].found & INTACT,
			.stopped_copy = rows[i].found & STOPPED,
			.same_life = rows[i].found & LIFE,
		};
		enum vmig_owner_verdict verdict = vmig_owner_decide(rows[i].me, &r, 1, &found);

		ck_assert_msg(verdict == rows[i].verdict, "row %zu: %s, not %s", i,
			      vmig_owner_verdict_name(verdict), vmig_owner_verdict_name(rows[i].verdict));
	}
}

TEST(a_unit_of_two_owners_is_in_doubt)
{
	struct vmig_ownership r[2] = { record_in(VMIG_OWNER_STABLE), record_in(VMIG_OWNER_STABLE) };
	struct vmig_owner_found found = { .tagged = true, .all_intact = true };

	ck_assert_int_eq(vmig_owner_decide("a", r, 2, &found), VMIG_OWNER_RAISE_THEN_RUN);
	snprintf(r[1].owner, sizeof(r[1].owner), "b");
	ck_assert_int_eq(vmig_owner_decide("a", r, 2, &found), VMIG_OWNER_DOUBT);
	ck_assert_int_eq(vmig_owner_decide("b", r, 2, &found), VMIG_OWNER_DOUBT);
	ck_assert_int_eq(vmig_owner_decide("c", r, 2, &found), VMIG_OWNER_DISCARD);
	ck_assert_int_eq(vmig_owner_decide("a", r, 0, &found), VMIG_OWNER_DOUBT);
}

HARNESS("owner", T(steps_are_allowed_to_whom_the_rules_say), T(open_then_commit_then_done),
	T(commit_of_another_attempt_is_refused), T(no_step_after_the_last_epoch), T(names_have_a_limit),
	T(restart_rule), T(a_unit_of_two_owners_is_in_doubt))
