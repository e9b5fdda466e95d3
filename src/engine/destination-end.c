/* SPDX-License-Identifier: BSD-3-Clause */
/* The destination's half of the stages that decide whose the devices are: verify, commit, run; and its way out, rollback. */
#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

/* --- verify --- */

static void load_next_record(struct vmig_core *core)
{
	while (core->next_record < core->n && !core->devices[core->next_record].has_record)
		core->next_record++;
	if (core->next_record < core->n) {
		vmig_core_push(core, VMIG_ACT_LOAD_RECORD, core->next_record);
		return;
	}
	vmig_core_send(core, VMIG_RECORD_READY, VMIG_RECORD_ALL);
	vmig_core_enter(core, VMIG_STAGE_COMMIT);
}

/* Each holds the state of its device, complete: after a crash that is what tells. */
static void name_all(struct vmig_core *core)
{
	core->step = 1;
	for (uint32_t i = 0; core->own.on && i < core->n; i++)
		if (core->devices[i].tagged && core->devices[i].in_unit)
			vmig_core_tag(core, i, &core->devices[i].identity);
}

void vmig_destination_verify(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		/* RESUMING to STOP is where a device judges what it was given. */
		vmig_destination_walk_all(core, VMIG_STATE_STOP);
	} else if (ev->kind == VMIG_EV_JOB && vmig_core_idle(core)) {
		if (!core->step)
			name_all(core);
		if (vmig_core_idle(core))
			load_next_record(core);
	} else if (ev->kind == VMIG_EV_USER && ev->code) {
		vmig_core_device_reason(core, core->next_record, ev->code,
					"the user's record of it cannot be loaded", ev->text);
		vmig_core_fail(core, VMIG_NOT_DONE);
	} else if (ev->kind == VMIG_EV_USER) {
		core->next_record++;
		load_next_record(core);
	} else if (ev->kind == VMIG_EV_RECORD) {
		vmig_core_unexpected(core, ev);
	}
}

/* --- commit --- */

enum { AWAIT, COMMITTING, SETTLING, CHECKING };

static void taken(struct vmig_core *core)
{
	core->committed = true;
	vmig_core_send(core, VMIG_RECORD_COMMITTED, VMIG_RECORD_ALL);
	vmig_core_enter(core, VMIG_STAGE_RUN);
}

/* Whose they are has been decided, and not for this end: what it holds is worth nothing. */
static void discard(struct vmig_core *core, const char *why)
{
	if (why)
		vmig_core_reason(core, -EAGAIN, "%s", why);
	core->promised = false;
	core->own.same_life = false;
	core->own.again_ns = 0;
	vmig_core_fail(core, VMIG_NOT_DONE);
}

static void in_doubt(struct vmig_core *core, enum vmig_outcome outcome)
{
	core->own.again_ns = 0;
	core->result.outcome = outcome;
	vmig_core_finish(core, outcome);
}

/* 9: one compare-and-swap over all, with the records of the claims. Beside it the devices are asked whether they are still there:
 * between commit and run nothing may stand. */
static void commit(struct vmig_core *core)
{
	core->own.at = COMMITTING;
	vmig_own_patience(core, core->config.timeout_ns);
	if (!vmig_own_swap(core, VMIG_OWNER_COMMIT)) {
		discard(core, "the rules do not let this end take over");
		return;
	}
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_job(core, i, VMIG_JOB_QUERY_STATE);
}

static void settle(struct vmig_core *core, const struct vmig_core_event *ev);

static void begin_settling(struct vmig_core *core)
{
	core->own.at = SETTLING;
	vmig_own_patience(core, core->config.timeout_ns);
	settle(core, NULL);
}

/* The record has it. 10, or 13 where a device has gone meanwhile. */
static void check(struct vmig_core *core)
{
	core->own.at = CHECKING;
	if (!vmig_core_idle(core))
		return;
	for (uint32_t i = 0; i < core->n; i++) {
		if (core->devices[i].state == VMIG_STATE_STOP)
			continue;
		vmig_core_device_reason(core, i, -EIO, "has gone",
					"after the commit, before anything was run");
		begin_settling(core);
		return;
	}
	taken(core);
}

static void settle(struct vmig_core *core, const struct vmig_core_event *ev)
{
	switch (vmig_own_settle(core, ev, true)) {
	case VMIG_SETTLE_PENDING:
		break;
	case VMIG_SETTLE_WON:
		core->own.same_life = true;
		check(core);
		break;
	case VMIG_SETTLE_RUN:
		check(core);
		break;
	case VMIG_SETTLE_GIVEN:
		discard(core, "it was given back to the source");
		break;
	case VMIG_SETTLE_DISCARD:
	case VMIG_SETTLE_KEEP:
		discard(core, "the record says that the devices are another's");
		break;
	case VMIG_SETTLE_LOST:
		in_doubt(core, VMIG_SOURCE_LOST);
		break;
	case VMIG_SETTLE_ABSENT:
	case VMIG_SETTLE_DOUBT:
		vmig_core_reason(core, -EBUSY, "the ownership record does not decide: see 'vmig owner show'");
		in_doubt(core, VMIG_IN_DOUBT);
		break;
	case VMIG_SETTLE_AWAY:
		vmig_own_reason(core, "the ownership record cannot be asked");
		in_doubt(core, VMIG_IN_DOUBT);
		break;
	}
}

static void commit_answered(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->owner == VMIG_OWNER_WON) {
		core->own.same_life = true;
		check(core);
	} else if (ev->owner == VMIG_OWNER_LOST && !core->own.unknown) {
		discard(core, "the record has changed: the attempt was ended before the commit");
	} else if (ev->owner != VMIG_OWNER_LOST && vmig_own_again(core)) {
		return;
	} else if (core->own.unknown) {
		begin_settling(core);
	} else {
		vmig_own_reason(core, "the commit could not be written");
		discard(core, NULL);
	}
}

static void decide(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool owner = ev->kind == VMIG_EV_OWNER;

	if (core->own.at == SETTLING)
		settle(core, ev);
	else if (core->own.at == CHECKING && ev->kind == VMIG_EV_JOB)
		check(core);
	else if (core->own.at == COMMITTING && owner)
		commit_answered(core, ev);
	else if (core->own.at == COMMITTING && ev->kind == VMIG_EV_TICK && vmig_own_due(core))
		vmig_own_repeat(core);
}

void vmig_destination_commit(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->promised) {
		decide(core, ev);
		return;
	}
	if (ev->kind != VMIG_EV_RECORD)
		return;
	if (ev->type != VMIG_RECORD_PROMISE) {
		vmig_core_unexpected(core, ev);
		return;
	}
	core->promised = true;
	if (core->own.on)
		commit(core);
	else
		taken(core);
}

/* --- run --- */

enum { TO_P2P, TO_RUNNING, TO_WRITE };

/* How long it is tried to write that they run. */
#define WRITE_NS (2 * NS_PER_S)

static void run_all(struct vmig_core *core)
{
	core->step = TO_RUNNING;
	for (uint32_t i = 0; i < core->n; i++)
		vmig_core_walk(core, i, VMIG_STATE_RUNNING, VMIG_STATE_NONE);
}

static void p2p_all(struct vmig_core *core)
{
	core->own.same_life = false;
	for (uint32_t i = 0; i < core->n; i++)
		if (vmig_has_p2p(&core->devices[i]))
			vmig_core_walk(core, i, VMIG_STATE_RUNNING_P2P, VMIG_STATE_NONE);
	if (vmig_core_idle(core))
		run_all(core);
}

/* 11: only when this is written may the source free its copy. */
static void runs(struct vmig_core *core)
{
	vmig_core_push(core, VMIG_ACT_START, 0);
	vmig_core_send(core, VMIG_RECORD_RUNNING, VMIG_RECORD_ALL);
	vmig_core_end_downtime(core);
	if (!core->own.on) {
		vmig_core_finish(core, VMIG_DONE);
		return;
	}
	core->step = TO_WRITE;
	vmig_own_patience(core, WRITE_NS);
	if (!vmig_own_swap(core, VMIG_OWNER_DONE))
		vmig_core_finish(core, VMIG_DONE);
}

static void write_done(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_TICK && vmig_own_due(core)) {
		vmig_own_repeat(core);
		return;
	}
	if (ev->kind != VMIG_EV_OWNER)
		return;
	if (ev->owner != VMIG_OWNER_WON && ev->owner != VMIG_OWNER_LOST && vmig_own_again(core))
		return;
	if (ev->owner != VMIG_OWNER_WON)
		vmig_core_warn(
			core,
			"the devices run, and the record could not be told so: the source keeps its copy "
			"until 'vmig owner resolve' has told it");
	vmig_core_finish(core, VMIG_DONE);
}

void vmig_destination_run(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_ENTER) {
		p2p_all(core);
	} else if (core->step == TO_WRITE) {
		write_done(core, ev);
	} else if (ev->kind == VMIG_EV_JOB && vmig_core_idle(core)) {
		if (core->step == TO_P2P)
			run_all(core);
		else
			runs(core);
	}
}

/* --- rollback --- */

enum { TO_IDLE, TO_RESET, TO_LOOK };

static void reset_all(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].moved)
			vmig_core_job(core, i, VMIG_JOB_RESET);
}

static void look(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].moved && core->devices[i].state != VMIG_STATE_RUNNING)
			vmig_core_device_reason(core, i, -EIO, "could not be reset",
						"it is not to be used before it is");
}

void vmig_destination_rollback(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (!ev) {
		core->step = TO_IDLE;
		if (!core->told)
			vmig_core_send(core, VMIG_RECORD_ABORT, VMIG_RECORD_ALL);
	}
	/* They are this end's own, on their way back to RUNNING: they go on, whatever becomes of the migration. */
	if (core->own.mine) {
		if (vmig_core_return(core))
			vmig_core_finish(core, core->result.outcome);
		return;
	}
	while (core->step != TO_LOOK && vmig_core_idle(core))
		if (core->step++ == TO_IDLE)
			reset_all(core);
	if (!vmig_core_idle(core))
		return;
	look(core);
	vmig_core_finish(core, core->result.outcome);
}
