/* SPDX-License-Identifier: BSD-3-Clause */
/** stages - what the files of the core share. Private to them. */
#ifndef VMIG_ENGINE_STAGES_H
#define VMIG_ENGINE_STAGES_H

#include <errno.h>

#include "engine/core.h"

/** A stage: the same row has what each end does with an event while it is in it. VMIG_EV_ENTER comes first. */
struct vmig_stage_row {
	const char *name;
	void (*source)(struct vmig_core *core, const struct vmig_core_event *ev);
	void (*destination)(struct vmig_core *core, const struct vmig_core_event *ev);
};
extern const struct vmig_stage_row vmig_stages[VMIG_STAGE_NR];

void vmig_source_hello(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_offer(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_precopy(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_quiesce(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_switchover(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_verify(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_commit(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_source_run(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_hello(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_offer(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_precopy(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_quiesce(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_switchover(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_verify(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_commit(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_run(struct vmig_core *core, const struct vmig_core_event *ev);

/** What a fault leads to before the commit. Called on entry with ev NULL, then with each event. */
void vmig_source_rollback(struct vmig_core *core, const struct vmig_core_event *ev);
void vmig_destination_rollback(struct vmig_core *core, const struct vmig_core_event *ev);

/** The same after the source's promise, where the record decides. */
void vmig_source_doubt(struct vmig_core *core, const struct vmig_core_event *ev);

/* --- actions (core.c) --- */

/** The one writer of core->stage. */
void vmig_core_enter(struct vmig_core *core, enum vmig_stage stage);
void vmig_core_push(struct vmig_core *core, enum vmig_core_action_kind kind, uint32_t device);
/** Nothing is sent where nobody listens: over a lost channel, or as the destination of a one-way one. */
void vmig_core_send(struct vmig_core *core, enum vmig_record_type type, uint32_t device);
void vmig_core_job(struct vmig_core *core, uint32_t device, enum vmig_job job);
void vmig_core_pump(struct vmig_core *core, uint32_t device, uint64_t budget);
/** Give it an identity (may be none), bound to the attempt in hand. */
void vmig_core_tag(struct vmig_core *core, uint32_t device, const struct vmig_uuid *identity);
void vmig_core_walk(struct vmig_core *core, uint32_t device, uint32_t target, uint32_t recover);
bool vmig_core_idle(const struct vmig_core *core);
/** Is a device sending data? Then the peer hears from us, and a record more would only wait behind them. */
bool vmig_core_pumping(const struct vmig_core *core);
void vmig_core_stop_pumps(struct vmig_core *core);
void vmig_core_warn(struct vmig_core *core, const char *text);

/** Add a line to the reasons. @code is a negative errno; the first one is kept. */
__attribute__((format(printf, 3, 4))) void vmig_core_reason(struct vmig_core *core, int code,
							    const char *format, ...);
/** The same about a device, with its name and what it was doing. */
void vmig_core_device_reason(struct vmig_core *core, uint32_t device, int code, const char *what,
			     const char *text);

/** It will not happen: roll back. @outcome is what this end says if nothing worse comes. The reasons are given before. */
void vmig_core_fail(struct vmig_core *core, enum vmig_outcome outcome);
/** A record that does not belong here. */
void vmig_core_unexpected(struct vmig_core *core, const struct vmig_core_event *ev);
/** All is over with this outcome; with a peer that listens, when it has closed or two seconds have passed. */
void vmig_core_finish(struct vmig_core *core, enum vmig_outcome outcome);

/** The steps of vmig_core_return(), in core->step. */
enum { VMIG_BACK_QUERY, VMIG_BACK_STOP, VMIG_BACK_P2P, VMIG_BACK_RUN, VMIG_BACK_DONE };

/**
 * Bring all devices that have moved back to RUNNING, by steps in common: STOP_COPY to STOP, then all to their P2P state, then all to
 * RUNNING. True when there is nothing more to do; set the step to
 * VMIG_BACK_QUERY first, call it again after each job.
 */
bool vmig_core_return(struct vmig_core *core);
/** After that: does every device run? Gives the reasons if not. */
bool vmig_core_all_run(struct vmig_core *core);

/** Stage hello: the same for what dead users left elsewhere, also by resets. True when all run; it fails if one does not. */
bool vmig_core_found(struct vmig_core *core);

/** From now on the devices' way back: after a fault, or when the record has been raised. */
void vmig_core_roll_back(struct vmig_core *core);
/** The downtime ends now, as this end sees it. */
void vmig_core_end_downtime(struct vmig_core *core);
/** A reason is none any more: it was done after all. */
void vmig_core_unreason(struct vmig_core *core);

/** The chain over all devices, and the sum of their lengths. */
void vmig_core_fin(const struct vmig_core *core, struct vmig_fin *ret);

/* --- ownership (owning.c, finding.c) --- */

/** Ask for the records of all devices that are in the unit. */
void vmig_own_read(struct vmig_core *core);
/** Write: false, nothing asked, where the rules do not allow the step. */
bool vmig_own_swap(struct vmig_core *core, enum vmig_owner_step step);
/** Repeat the last swap as it was. */
void vmig_own_repeat(struct vmig_core *core);
/** The answer to what was asked: before anybody else looks at the event. */
void vmig_own_note(struct vmig_core *core, const struct vmig_core_event *ev);
/** From now on it may be asked again for so long. */
void vmig_own_patience(struct vmig_core *core, uint64_t ns);
/** Ask again a little later: vmig_own_due() says when. False: for so long it has been tried. */
bool vmig_own_again(struct vmig_core *core);
bool vmig_own_due(struct vmig_core *core);
/** Why the record cannot be asked, as a reason. */
void vmig_own_reason(struct vmig_core *core, const char *what);
/** All devices are in the unit; memory has no owner of its own. */
void vmig_own_unit(struct vmig_core *core);

/** Where vmig_own_settle() leads. */
enum vmig_settled {
	VMIG_SETTLE_PENDING,
	VMIG_SETTLE_RUN,     /* the devices are this end's, and may be run */
	VMIG_SETTLE_WON,     /* the commit whose outcome was not known is in the record */
	VMIG_SETTLE_GIVEN,   /* given back: discard */
	VMIG_SETTLE_DISCARD, /* another's */
	VMIG_SETTLE_KEEP,    /* another's, which has not written yet that it runs */
	VMIG_SETTLE_LOST,    /* this end's, and not here */
	VMIG_SETTLE_ABSENT,  /* a device is not in the record */
	VMIG_SETTLE_DOUBT,
	VMIG_SETTLE_AWAY, /* the record cannot be asked */
};

/**
 * The restart rule, also the rule in doubt: read, and do what the records say, until that leads somewhere. @ev NULL begins, and
 * then it gets each event. @live: this process has the devices' acknowledged states, whether they carry tags or not.
 */
enum vmig_settled vmig_own_settle(struct vmig_core *core, const struct vmig_core_event *ev, bool live);

/**
 * Stage hello, both ends: where the devices are, whose they are, and the restart rule. vmig_own_found() after each event, the
 * first one too: true when all is as this end's part needs it; it fails if that cannot be.
 */
enum {
	VMIG_OWN_LOOK,
	VMIG_OWN_ASK,
	VMIG_OWN_BACK,
	VMIG_OWN_WRITE,
	VMIG_OWN_FOUND,
	/* the source goes on: */
	VMIG_OWN_SAID,
	VMIG_OWN_OPENING,
	VMIG_OWN_TAGGING,
};
void vmig_own_find(struct vmig_core *core);
bool vmig_own_found(struct vmig_core *core, const struct vmig_core_event *ev);

/* --- what the destination's files share (destination.c) --- */

/** The stream is not as it must be: @what, and the migration fails as bad input. */
void vmig_destination_broken(struct vmig_core *core, const char *what);
/** Walk every device to @target; one that cannot get there is not led elsewhere. */
void vmig_destination_walk_all(struct vmig_core *core, uint32_t target);

/* --- the planner (plan.c) --- */

void vmig_plan_pump_began(struct vmig_core *core);
void vmig_plan_pump_ended(struct vmig_core *core);
/** A device's sizes are new: its dirty rate, its REINIT. */
void vmig_plan_sizes(struct vmig_core *core, struct vmig_core_device *dev, const struct vmig_precopy *sizes);
void vmig_plan_round(struct vmig_core *core, struct vmig_core_device *dev);
/** A question has been sent to the destination, which answers when it has loaded all that came before; its answer is here. */
void vmig_plan_asked(struct vmig_core *core);
void vmig_plan_answered(struct vmig_core *core);
/** Is it time to switch over, or to give up? core->plan.words say why pre-copy does not converge. */
enum vmig_plan_verdict { VMIG_PLAN_GO_ON, VMIG_PLAN_SWITCH, VMIG_PLAN_ABORT };
enum vmig_plan_verdict vmig_plan_judge(struct vmig_core *core);
/** Is the time for pre-copy used up? */
bool vmig_plan_late(const struct vmig_core *core);
/** More rounds do not help: nothing becomes less, their number is used up, or the time for them is. */
enum vmig_plan_why { VMIG_PLAN_FINE, VMIG_PLAN_STUCK, VMIG_PLAN_ROUNDS, VMIG_PLAN_TIME };
/** Fill in core->plan.words: why, and what would help (converge.c). @instead: it is not switched over because of it. */
void vmig_plan_words(struct vmig_core *core, enum vmig_plan_why why, bool instead);
/** All initial data has been sent, and the destination has not been asked about it. */
bool vmig_plan_ask_initial(struct vmig_core *core);

/* --- the offer (offer.c) --- */

/** Can the devices offered go into the devices here? Every reason why not is added; false if there is one. */
bool vmig_offer_check(struct vmig_core *core);
void vmig_offer_of(const struct vmig_core *core, const struct vmig_core_device *dev, struct vmig_offer *ret);

/** What a record carries, to be read from its start. */
static inline struct vmig_cursor vmig_event_payload(const struct vmig_core_event *ev)
{
	return vmig_cursor_over(ev->payload, ev->payload_len);
}

static inline bool vmig_has_p2p(const struct vmig_core_device *dev)
{
	return dev->info.migration_flags & VMIG_MIGRATION_P2P;
}

static inline bool vmig_is_memory(const struct vmig_core_device *dev)
{
	return dev->info.traits & VMIG_TRAIT_MEMORY;
}

static inline bool vmig_has_precopy(const struct vmig_core_device *dev)
{
	return dev->info.migration_flags & VMIG_MIGRATION_PRE_COPY;
}

#endif
