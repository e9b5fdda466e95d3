/* SPDX-License-Identifier: BSD-3-Clause */
/* The source's half of the stages that decide whose the devices are: verify, commit, run; and its ways out, doubt and rollback. */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

/* How long the destination may take to write into the record that it runs. */
#define FREE_NS (2 * NS_PER_S)

/* --- verify --- */

/* A live save: all that was wanted of the devices is in the channel, so they run again before it is made durable. */
static void run_on(struct vmig_core *core)
{
	if (!vmig_core_return(core))
		return;
	if (!vmig_core_all_run(core)) {
		vmig_core_fail(core, VMIG_NOT_DONE);
		return;
	}
	vmig_core_end_downtime(core);
	vmig_core_push(core, VMIG_ACT_RESUME, 0);
	core->quiesced = false;
	vmig_core_enter(core, VMIG_STAGE_COMMIT);
}

void vmig_source_verify(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->config.keep_source)
		run_on(core);
	else if (core->config.one_way || (ev->kind == VMIG_EV_RECORD && ev->type == VMIG_RECORD_READY))
		vmig_core_enter(core, VMIG_STAGE_COMMIT);
	else if (ev->kind == VMIG_EV_RECORD)
		vmig_core_unexpected(core, ev);
}

/* --- commit --- */

/* 8: from here on this end runs the devices only by a raise of its own. */
static void promise(struct vmig_core *core)
{
	vmig_core_send(core, VMIG_RECORD_PROMISE, VMIG_RECORD_ALL);
	if (core->config.one_way) {
		vmig_core_push(core, VMIG_ACT_CHANNEL_COMMIT, 0);
		return;
	}
	core->promised = true;
	/* The destination may be a while at the record; it says that it lives, but not for ever. */
	if (core->own.on)
		core->own.again_ns = core->now + 2 * core->config.timeout_ns;
}

/* Where there is a record this is a hint only: the record tells when the copy here is needed no more. */
static void committed(struct vmig_core *core, const struct vmig_core_event *ev)
{
	struct vmig_cursor c = vmig_cursor_over(ev->payload, ev->payload_len);
	uint64_t ns;

	core->promised = true;
	core->committed = true;
	core->own.again_ns = 0;
	if (core->own.on) {
		vmig_committed_get(&c, &ns);
		core->result.owner_ns += MIN(ns, core->now - core->stage_ns);
	}
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

void vmig_source_commit(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		promise(core);
	} else if (ev->kind == VMIG_EV_USER && ev->code) {
		vmig_core_reason(core, ev->code, "%s", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (ev->kind == VMIG_EV_USER ||
		   (ev->kind == VMIG_EV_RECORD && ev->type == VMIG_RECORD_COMMITTED)) {
		committed(core, ev);
	} else if (ev->kind == VMIG_EV_RECORD) {
		vmig_core_unexpected(core, ev);
	} else if (ev->kind == VMIG_EV_TICK && vmig_own_due(core)) {
		vmig_core_reason(core, -ETIMEDOUT, "the destination has the promise and does not commit");
		vmig_core_fail(core, VMIG_NOT_DONE);
	}
}

/* --- run --- */

/* It runs elsewhere: what this end still holds is given up. That may fail without harm. */
static void release(struct vmig_core *core)
{
	core->step = 1;
	if (!core->config.one_way)
		vmig_core_end_downtime(core);
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].state == VMIG_STATE_STOP_COPY)
			vmig_core_walk(core, i, VMIG_STATE_STOP, VMIG_STATE_NONE);
	if (!core->own.on || core->own.arrived)
		return;
	vmig_own_patience(core, FREE_NS);
	vmig_own_read(core);
}

/* 11: the copy is free when the record says that the device runs. True: it does, of all; or this end is the owner: doubt. */
static bool runs_there(const struct vmig_core *core, bool *ret_mine)
{
	bool all = true;

	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_ownership *r = &core->devices[i].record;

		if (!core->devices[i].in_unit)
			continue;
		*ret_mine |= !strcmp(r->owner, core->own.me);
		all &= r->phase && r->phase != VMIG_OWNER_TAKEN;
	}
	return all;
}

static void look_up(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool mine = false, records = ev->owner == VMIG_OWNER_RECORDS,
	     there = records && runs_there(core, &mine);

	if (mine) {
		vmig_core_reason(core, -EPROTO,
				 "the destination says that it runs, and the record says that it must not");
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (there || !vmig_own_again(core)) {
		core->own.arrived = true;
		if (!there)
			vmig_core_warn(core,
				       "the record does not say yet that the devices run at the destination: "
				       "keep the source's until it does");
	}
}

static void run_record(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->type == VMIG_RECORD_RUNNING && !core->step)
		release(core);
	else if (!core->own.on || !core->step)
		vmig_core_unexpected(core, ev);
}

void vmig_source_run(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER && (core->config.one_way || core->own.arrived))
		release(core);
	else if (ev->kind == VMIG_EV_RECORD)
		run_record(core, ev);
	else if (ev->kind == VMIG_EV_JOB && ev->code)
		vmig_core_warn(
			core,
			"a device of the source could not be brought to STOP; it runs at the destination");
	else if (ev->kind == VMIG_EV_OWNER)
		look_up(core, ev);
	else if (ev->kind == VMIG_EV_TICK && vmig_own_due(core))
		vmig_own_read(core);
	if (core->phase == VMIG_PHASE_GO && core->step && vmig_core_idle(core) &&
	    (core->own.arrived || !core->own.on))
		vmig_core_finish(core, VMIG_DONE);
}

/* --- doubt --- */

/* 12, won: nobody else can run them any more. */
static void raised(struct vmig_core *core)
{
	core->promised = false;
	core->committed = false;
	core->result.outcome = VMIG_NOT_DONE;
	vmig_core_roll_back(core);
}

/* The answer was lost, and the record has it: they run there. */
static void arrived(struct vmig_core *core)
{
	vmig_core_unreason(core);
	core->result.outcome = VMIG_DONE;
	core->own.arrived = true;
	core->phase = VMIG_PHASE_GO;
	vmig_core_warn(
		core, "the destination was not heard to the end; by the record the devices are its, and run");
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

static void kept(struct vmig_core *core)
{
	/* Who has given up, and says so, will not write any more. */
	if (!core->told && vmig_own_again(core))
		return;
	vmig_core_reason(core, -EINPROGRESS,
			 "by the record the devices are %s's, which has not written that it runs them; the "
			 "copy here is "
			 "kept",
			 core->own.peer);
	vmig_core_finish(core, VMIG_IN_DOUBT);
}

static void undecided(struct vmig_core *core, enum vmig_settled settled)
{
	if (settled == VMIG_SETTLE_AWAY)
		vmig_own_reason(core, "the ownership record cannot be asked");
	else
		vmig_core_reason(core, -EBUSY, "the ownership record does not decide: see 'vmig owner show'");
	vmig_core_finish(core, VMIG_IN_DOUBT);
}

/*
 * Whose state is here, still complete? A source whose device has gone keeps its promise: what it raised would be lost, while the
 * destination may have it whole.
 */
static bool looked_again(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (!ev) {
		vmig_own_patience(core, core->own.impatient ? 0 : core->config.timeout_ns);
		for (uint32_t i = 0; i < core->n; i++)
			if (core->devices[i].in_unit && !core->devices[i].job)
				vmig_core_job(core, i, VMIG_JOB_QUERY_STATE);
	}
	return vmig_core_idle(core);
}

static void gone(struct vmig_core *core)
{
	if (vmig_own_again(core))
		return;
	vmig_core_reason(core, -EIO,
			 "a device here has gone with its state, and the destination has the promise: it may "
			 "take over, nobody else can");
	vmig_core_finish(core, VMIG_IN_DOUBT);
}

void vmig_source_doubt(struct vmig_core *core, const struct vmig_core_event *ev)
{
	enum vmig_settled settled;

	if (!looked_again(core, ev))
		return;
	if (ev && ev->kind == VMIG_EV_JOB)
		ev = NULL;
	/* What was asked before has to be answered first. */
	if (!ev && core->own.ask)
		return;
	settled = vmig_own_settle(core, ev, true);
	switch (settled) {
	case VMIG_SETTLE_PENDING:
		break;
	case VMIG_SETTLE_RUN:
		raised(core);
		break;
	case VMIG_SETTLE_DISCARD:
		arrived(core);
		break;
	case VMIG_SETTLE_KEEP:
		kept(core);
		break;
	case VMIG_SETTLE_LOST:
		gone(core);
		break;
	case VMIG_SETTLE_WON:
	case VMIG_SETTLE_GIVEN:
	case VMIG_SETTLE_ABSENT:
	case VMIG_SETTLE_DOUBT:
	case VMIG_SETTLE_AWAY:
		undecided(core, settled);
		break;
	}
}

/* --- rollback --- */

enum { CLOSING = 1000 };

/* The devices run again, so that nobody waits: the attempt is closed in the record too, once. If that fails it is dead all the same. */
static bool close_attempt(struct vmig_core *core, bool all)
{
	if (!core->own.opened || !all)
		return false;
	core->own.at = CLOSING;
	return vmig_own_swap(core, VMIG_OWNER_RAISE);
}

static bool back(struct vmig_core *core)
{
	bool all;

	if (!vmig_core_return(core))
		return false;
	all = vmig_core_all_run(core);
	if (core->quiesced && all) {
		vmig_core_push(core, VMIG_ACT_RESUME, 0);
		core->quiesced = false;
	}
	vmig_core_end_downtime(core);
	/* Only now: the devices' way back must not wait for a peer that does not read. */
	if (!core->told)
		vmig_core_send(core, VMIG_RECORD_ABORT, VMIG_RECORD_ALL);
	if (!all)
		core->result.outcome = VMIG_SOURCE_LOST;
	return true;
}

void vmig_source_rollback(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool owner = ev && ev->kind == VMIG_EV_OWNER;

	if (!ev) {
		core->step = VMIG_BACK_QUERY;
		core->own.again_ns = 0;
		core->own.at = 0;
	}
	if (core->own.at == CLOSING) {
		if (owner)
			vmig_core_finish(core, core->result.outcome);
		return;
	}
	/* An attempt that is just being opened: closed when that is answered. */
	if (core->own.ask || !back(core))
		return;
	if (!close_attempt(core, core->result.outcome != VMIG_SOURCE_LOST))
		vmig_core_finish(core, core->result.outcome);
}
