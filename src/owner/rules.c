/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what to a record, and what to do with devices after a restart. The numbers are those of docs/ownership.md. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "owner/record.h"

const char *vmig_owner_phase_name(enum vmig_owner_phase phase)
{
	static const char *const names[] = {
		"none",
		[VMIG_OWNER_STABLE] = "stable",
		[VMIG_OWNER_OPEN] = "open",
		[VMIG_OWNER_TAKEN] = "taken",
		[VMIG_OWNER_RUNNING] = "running",
	};

	return (unsigned int)phase < ARRAY_SIZE(names) ? names[phase] : NULL;
}

const char *vmig_owner_step_name(enum vmig_owner_step step)
{
	static const char *const names[VMIG_OWNER_STEP_NR] = {
		[VMIG_OWNER_CREATE] = "create", [VMIG_OWNER_DO_OPEN] = "open",
		[VMIG_OWNER_RAISE] = "raise",   [VMIG_OWNER_COMMIT] = "commit",
		[VMIG_OWNER_BUMP] = "bump",     [VMIG_OWNER_GIVEBACK] = "giveback",
		[VMIG_OWNER_DONE] = "done",
	};

	return (unsigned int)step < ARRAY_SIZE(names) ? names[step] : NULL;
}

const char *vmig_owner_verdict_name(enum vmig_owner_verdict verdict)
{
	static const char *const names[] = {
		[VMIG_OWNER_RUN_ALL] = "run-all",     [VMIG_OWNER_RAISE_THEN_RUN] = "raise-then-run",
		[VMIG_OWNER_GIVE_BACK] = "give-back", [VMIG_OWNER_LOST_DEVICE] = "lost-device",
		[VMIG_OWNER_FENCE] = "fence",         [VMIG_OWNER_DISCARD] = "discard",
		[VMIG_OWNER_KEEP] = "keep",           [VMIG_OWNER_DOUBT] = "doubt",
	};

	return (unsigned int)verdict < ARRAY_SIZE(names) ? names[verdict] : NULL;
}

/* --- steps -------------------------------------------------------------------------------------- */

static void set_name(char to[VMIG_OWNER_NAME_MAX], const char *name)
{
	snprintf(to, VMIG_OWNER_NAME_MAX, "%s", name);
}

/*
 * An attempt that ends without a commit leaves its owner where it was. A record that says TAKEN goes on to say so: whoever
 * had the device before must keep its copy until the new owner runs (11).
 */
static void end_attempt(struct vmig_ownership *r)
{
	r->peer[0] = '\0';
	if (r->phase == VMIG_OWNER_OPEN)
		r->phase = VMIG_OWNER_STABLE;
	r->epoch++;
}

static int create(const struct vmig_owner_actor *a, const struct vmig_ownership *now,
		  struct vmig_ownership *r)
{
	if (now->phase)
		return -EPERM;
	*r = (struct vmig_ownership){ .device = now->device, .epoch = 1, .phase = VMIG_OWNER_STABLE };
	set_name(r->owner, a->me);
	return 0;
}

/* 2: a new epoch ends whatever attempt was open. From TAKEN only after DONE, so that OPEN tells an older owner that all is well. */
static int do_open(const struct vmig_owner_actor *a, const struct vmig_ownership *now,
		   struct vmig_ownership *r)
{
	if (now->phase == VMIG_OWNER_TAKEN || strcmp(now->owner, a->me) || !strcmp(a->me, a->peer) ||
	    vmig_uuid_is_none(&a->attempt) || vmig_uuid_equal(&a->attempt, &now->attempt))
		return -EPERM;
	r->epoch++;
	r->attempt = a->attempt;
	r->phase = VMIG_OWNER_OPEN;
	set_name(r->peer, a->peer);
	return 0;
}

/* 12 */
static int raise_epoch(const struct vmig_owner_actor *a, const struct vmig_ownership *now,
		       struct vmig_ownership *r)
{
	if (strcmp(now->owner, a->me))
		return -EPERM;
	end_attempt(r);
	return 0;
}

/* 9: only the very attempt that was opened for me. */
static int commit(const struct vmig_owner_actor *a, const struct vmig_ownership *now,
		  struct vmig_ownership *r)
{
	if (now->phase != VMIG_OWNER_OPEN || strcmp(now->owner, a->peer) || strcmp(now->peer, a->me) ||
	    !vmig_uuid_equal(&now->attempt, &a->attempt))
		return -EPERM;
	r->epoch++;
	r->phase = VMIG_OWNER_TAKEN;
	r->peer[0] = '\0';
	set_name(r->owner, a->me);
	return 0;
}

/* Anyone may: it never changes the owner, it only ends the attempt. */
static int bump(const struct vmig_ownership *now, struct vmig_ownership *r)
{
	if (now->phase != VMIG_OWNER_OPEN)
		return -EPERM;
	end_attempt(r);
	return 0;
}

/* 13: that nothing has run here since is for the caller to know (same_life). */
static int giveback(const struct vmig_owner_actor *a, const struct vmig_ownership *now,
		    struct vmig_ownership *r)
{
	if (now->phase != VMIG_OWNER_TAKEN || strcmp(now->owner, a->me) || !strcmp(a->me, a->peer) ||
	    !vmig_uuid_equal(&now->attempt, &a->attempt))
		return -EPERM;
	r->epoch++;
	r->phase = VMIG_OWNER_STABLE;
	r->instance = (struct vmig_uuid){ { 0 } };
	set_name(r->owner, a->peer);
	return 0;
}

/* 11: it decides nothing that was not decided, so the epoch stays. */
static int done(const struct vmig_owner_actor *a, const struct vmig_ownership *now, struct vmig_ownership *r)
{
	if (now->phase != VMIG_OWNER_TAKEN || strcmp(now->owner, a->me))
		return -EPERM;
	r->phase = VMIG_OWNER_RUNNING;
	return 0;
}

static int do_step(enum vmig_owner_step step, const struct vmig_owner_actor *a,
		   const struct vmig_ownership *now, struct vmig_ownership *r)
{
	switch (step) {
	case VMIG_OWNER_CREATE:
		return create(a, now, r);
	case VMIG_OWNER_DO_OPEN:
		return do_open(a, now, r);
	case VMIG_OWNER_RAISE:
		return raise_epoch(a, now, r);
	case VMIG_OWNER_COMMIT:
		return commit(a, now, r);
	case VMIG_OWNER_BUMP:
		return bump(now, r);
	case VMIG_OWNER_GIVEBACK:
		return giveback(a, now, r);
	case VMIG_OWNER_DONE:
		return done(a, now, r);
	case VMIG_OWNER_STEP_NR:
		break;
	}
	return -EINVAL;
}

static bool needs_peer(enum vmig_owner_step step)
{
	return step == VMIG_OWNER_DO_OPEN || step == VMIG_OWNER_COMMIT || step == VMIG_OWNER_GIVEBACK;
}

/* Whose device server it is that the record speaks of: the owner's. */
static bool sets_instance(enum vmig_owner_step step)
{
	return step != VMIG_OWNER_BUMP && step != VMIG_OWNER_GIVEBACK;
}

int vmig_owner_next(enum vmig_owner_step step, const struct vmig_owner_actor *actor,
		    const struct vmig_ownership *now, struct vmig_ownership *ret)
{
	struct vmig_ownership next = *now;
	int r;

	if (!vmig_owner_name_ok(actor->me) || (needs_peer(step) && !vmig_owner_name_ok(actor->peer)))
		return -EINVAL;
	if (step != VMIG_OWNER_CREATE && (!now->phase || now->epoch >= VMIG_OWNER_EPOCH_MAX))
		return -EPERM;
	r = do_step(step, actor, now, &next);
	if (r)
		return r;
	next.writer = actor->writer;
	if (sets_instance(step))
		next.instance = actor->instance;
	*ret = next;
	return 0;
}

/* --- the restart rule ----------------------------------------------------------------------------- */

static enum vmig_owner_verdict decide_mine(const struct vmig_ownership *records, uint32_t n,
					   const struct vmig_owner_found *found)
{
	bool all_taken = true;

	if (!found->tagged)
		return VMIG_OWNER_DOUBT;
	if (found->all_intact)
		return found->any_runs ? VMIG_OWNER_RUN_ALL : VMIG_OWNER_RAISE_THEN_RUN;
	for (uint32_t i = 0; i < n; i++)
		all_taken = all_taken && records[i].phase == VMIG_OWNER_TAKEN;
	return all_taken && found->same_life && !found->any_runs ? VMIG_OWNER_GIVE_BACK
								 : VMIG_OWNER_LOST_DEVICE;
}

static enum vmig_owner_verdict decide_others(const char *me, const struct vmig_ownership *records, uint32_t n,
					     const struct vmig_owner_found *found)
{
	bool taken = false;

	/* The protocol does not lead here: a record that went back in time (a backup)? */
	if (found->any_runs)
		return VMIG_OWNER_DOUBT;
	for (uint32_t i = 0; i < n; i++) {
		if (!strcmp(records[i].peer, me))
			return VMIG_OWNER_FENCE;
		taken = taken || records[i].phase == VMIG_OWNER_TAKEN;
	}
	/* What cannot be told from an old source's copy is treated as one. */
	return taken && (found->stopped_copy || !found->tagged) ? VMIG_OWNER_KEEP : VMIG_OWNER_DISCARD;
}

enum vmig_owner_verdict vmig_owner_decide(const char *me, const struct vmig_ownership *records, uint32_t n,
					  const struct vmig_owner_found *found)
{
	uint32_t mine = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!records[i].phase)
			return VMIG_OWNER_DOUBT;
		mine += !strcmp(records[i].owner, me);
	}
	if (!n || (mine && mine != n))
		return VMIG_OWNER_DOUBT;
	return mine ? decide_mine(records, n, found) : decide_others(me, records, n, found);
}
