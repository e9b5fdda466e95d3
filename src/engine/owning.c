/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the core asks the ownership record, and what it does while in doubt. The rules themselves are src/owner/rules.c; the
 * steps have the names of the checked model.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

#define PAUSE_NS     (5 * NS_PER_MS)
#define PAUSE_MAX_NS (500 * NS_PER_MS)

/* --- questions --- */

static void ask(struct vmig_core *core, enum vmig_owner_ask what)
{
	struct vmig_core_action *a;

	core->own.ask = what;
	core->own.asked_ns = core->now;
	core->own.again_ns = 0;
	vmig_core_push(core, VMIG_ACT_OWNER, 0);
	a = &core->actions[(core->first + core->used - 1) % VMIG_CORE_ACTIONS];
	a->ask = what;
	a->step = core->own.step;
}

void vmig_own_unit(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		core->devices[i].in_unit = !vmig_is_memory(&core->devices[i]);
}

void vmig_own_read(struct vmig_core *core)
{
	ask(core, VMIG_OWNER_ASK_READ);
}

/* Different for each write of each process: by it a write is recognised as one's own. */
static struct vmig_uuid nonce(struct vmig_core *core)
{
	struct vmig_uuid writer = core->config.nonce;
	uint32_t number = ++core->own.writes;

	for (int i = 0; i < 4; i++)
		writer.bytes[12 + i] ^= (uint8_t)(number >> (8 * i));
	return writer;
}

/* A step is not for every record of a unit: one that was opened by nobody need not be bumped, one that says RUNNING not be told so. */
static bool concerns(enum vmig_owner_step step, const struct vmig_ownership *now)
{
	if (step == VMIG_OWNER_BUMP)
		return now->phase == VMIG_OWNER_OPEN;
	return step != VMIG_OWNER_DONE || now->phase == VMIG_OWNER_TAKEN;
}

static bool make_next(const struct vmig_core *core, struct vmig_core_device *dev, enum vmig_owner_step step,
		      const struct vmig_uuid *writer)
{
	const struct vmig_owner_actor actor = { .me = core->own.me,
						.peer = core->own.peer,
						.attempt = core->own.attempt,
						.instance = dev->tag.instance,
						.writer = *writer };
	struct vmig_ownership now = dev->record;

	dev->next = now;
	if (step == VMIG_OWNER_DO_OPEN && !now.phase) {
		/* The device's first attempt makes its record too. */
		now.device = dev->identity;
		if (vmig_owner_next(VMIG_OWNER_CREATE, &actor, &now, &now))
			return false;
	} else if (!concerns(step, &now)) {
		return true;
	}
	return !vmig_owner_next(step, &actor, &now, &dev->next);
}

bool vmig_own_swap(struct vmig_core *core, enum vmig_owner_step step)
{
	struct vmig_uuid writer = nonce(core);

	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit && !make_next(core, &core->devices[i], step, &writer))
			return false;
	core->own.step = step;
	ask(core, VMIG_OWNER_ASK_SWAP);
	return true;
}

void vmig_own_repeat(struct vmig_core *core)
{
	ask(core, VMIG_OWNER_ASK_SWAP);
}

/* --- answers --- */

static void take_records(struct vmig_core *core, const struct vmig_core_event *ev)
{
	uint32_t k = 0;

	core->own.store = ev->store;
	core->own.unit_max = ev->unit_max;
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit)
			core->devices[i].record = ev->records[k++];
}

static void take_written(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit)
			core->devices[i].record = core->devices[i].next;
}

/* For the report: the unit's first device speaks for all. */
static void note_epoch(struct vmig_core *core)
{
	for (uint32_t i = core->n; i-- > 0;)
		if (core->devices[i].in_unit)
			core->result.epoch = core->devices[i].record.epoch;
}

void vmig_own_note(struct vmig_core *core, const struct vmig_core_event *ev)
{
	uint64_t took = core->now - core->own.asked_ns;

	/* A commit that may have been done stays one that may have been done, whatever its repetition says. */
	core->own.unknown |= ev->owner == VMIG_OWNER_UNKNOWN && core->own.step == VMIG_OWNER_COMMIT;
	if (ev->owner == VMIG_OWNER_WON && core->own.ask == VMIG_OWNER_ASK_SWAP)
		core->own.opened = core->own.step == VMIG_OWNER_DO_OPEN;
	core->own.ask = VMIG_OWNER_ASK_NONE;
	core->own.answer = ev->owner;
	core->result.owner_total_ns += took;
	if (ev->owner == VMIG_OWNER_WON)
		core->plan.owner_ns = took;
	if (core->down_ns)
		core->result.owner_ns += took;
	if (ev->owner == VMIG_OWNER_RECORDS)
		take_records(core, ev);
	else if (ev->owner == VMIG_OWNER_WON)
		take_written(core);
	else
		core->own.code = ev->code;
	if (ev->owner == VMIG_OWNER_RECORDS || ev->owner == VMIG_OWNER_WON)
		note_epoch(core);
	else
		snprintf(core->own.text, sizeof(core->own.text), "%s", ev->text ? ev->text : "");
}

void vmig_own_reason(struct vmig_core *core, const char *what)
{
	const char *why = core->own.text[0] ? core->own.text : strerror(-core->own.code);

	vmig_core_reason(core, core->own.code ? core->own.code : -EIO, "%s: %s", what, why);
}

/* --- time --- */

void vmig_own_patience(struct vmig_core *core, uint64_t ns)
{
	core->own.until_ns = core->now + ns;
	core->own.pause_ns = PAUSE_NS;
	core->own.again_ns = 0;
}

bool vmig_own_again(struct vmig_core *core)
{
	/* What is wrong with the question stays wrong. */
	bool useless = core->own.answer == VMIG_OWNER_UNREACHABLE &&
		       (core->own.code == -EINVAL || core->own.code == -E2BIG);

	if (core->now >= core->own.until_ns || useless)
		return false;
	core->own.again_ns = core->now + core->own.pause_ns;
	core->own.pause_ns = MIN(core->own.pause_ns * 2, PAUSE_MAX_NS);
	return true;
}

bool vmig_own_due(struct vmig_core *core)
{
	if (!core->own.again_ns || core->now < core->own.again_ns)
		return false;
	core->own.again_ns = 0;
	return true;
}

/* --- in doubt --- */

static bool runs(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_RUNNING_P2P ||
	       state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

static bool intact(const struct vmig_core_device *dev)
{
	return dev->state != VMIG_STATE_NONE && dev->state != VMIG_STATE_RESUMING &&
	       dev->state != VMIG_STATE_ERROR;
}

static struct vmig_owner_found found(const struct vmig_core *core, bool live)
{
	struct vmig_owner_found f = {
		.tagged = true, .all_intact = true, .stopped_copy = true, .same_life = core->own.same_life
	};
	bool blank = false;

	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];
		bool its = live || (dev->tagged && vmig_uuid_equal(&dev->tag.identity, &dev->identity));

		/* Beside devices that have stopped, one whose server has lost everything: nobody knows which one it was. */
		blank |= !dev->in_unit && dev->tagged && vmig_uuid_is_none(&dev->tag.identity) &&
			 !vmig_is_memory(dev);
		if (!dev->in_unit)
			continue;
		f.tagged &= live || dev->tagged;
		f.any_runs |= its && runs(dev->state);
		f.all_intact &= its && intact(dev);
		f.stopped_copy &=
			its && (dev->state == VMIG_STATE_STOP || dev->state == VMIG_STATE_STOP_COPY);
	}
	f.all_intact &= !blank || f.any_runs;
	return f;
}

/* Is what the last commit was to write in the record? */
static bool committed_after_all(const struct vmig_core *core)
{
	if (!core->own.unknown || core->own.step != VMIG_OWNER_COMMIT)
		return false;
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit &&
		    !vmig_ownership_equal(&core->devices[i].record, &core->devices[i].next))
			return false;
	return true;
}

static enum vmig_owner_verdict decide(struct vmig_core *core, bool live)
{
	const struct vmig_owner_found f = found(core, live);
	enum vmig_owner_verdict verdict;
	uint32_t n = 0;

	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit)
			core->config.scratch[n++] = core->devices[i].record;
	verdict = vmig_owner_decide(core->own.me, core->config.scratch, n, &f);
	core->result.verdict = vmig_owner_verdict_name(verdict);
	return verdict;
}

static uint32_t in_unit(const struct vmig_core *core, bool absent)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < core->n; i++)
		n += core->devices[i].in_unit && (!absent || !core->devices[i].record.phase);
	return n;
}

static enum vmig_settled step(struct vmig_core *core, enum vmig_owner_step step)
{
	return vmig_own_swap(core, step) ? VMIG_SETTLE_PENDING : VMIG_SETTLE_DOUBT;
}

static enum vmig_settled judge(struct vmig_core *core, bool live)
{
	if (!in_unit(core, false))
		return core->config.source ? VMIG_SETTLE_RUN : VMIG_SETTLE_DISCARD;
	if (in_unit(core, true))
		return VMIG_SETTLE_ABSENT;
	if (committed_after_all(core))
		return VMIG_SETTLE_WON;
	switch (decide(core, live)) {
	case VMIG_OWNER_RUN_ALL:
		return VMIG_SETTLE_RUN;
	case VMIG_OWNER_RAISE_THEN_RUN:
		return step(core, VMIG_OWNER_RAISE);
	case VMIG_OWNER_FENCE:
		return step(core, VMIG_OWNER_BUMP);
	case VMIG_OWNER_GIVE_BACK:
		return step(core, VMIG_OWNER_GIVEBACK);
	case VMIG_OWNER_LOST_DEVICE:
		return VMIG_SETTLE_LOST;
	case VMIG_OWNER_DISCARD:
		return VMIG_SETTLE_DISCARD;
	case VMIG_OWNER_KEEP:
		return VMIG_SETTLE_KEEP;
	case VMIG_OWNER_DOUBT:
		break;
	}
	return VMIG_SETTLE_DOUBT;
}

static enum vmig_settled later(struct vmig_core *core)
{
	return vmig_own_again(core) ? VMIG_SETTLE_PENDING : VMIG_SETTLE_AWAY;
}

static enum vmig_settled won(struct vmig_core *core, bool live)
{
	if (core->own.step == VMIG_OWNER_RAISE)
		return VMIG_SETTLE_RUN;
	if (core->own.step == VMIG_OWNER_GIVEBACK)
		return VMIG_SETTLE_GIVEN;
	return judge(core, live);
}

enum vmig_settled vmig_own_settle(struct vmig_core *core, const struct vmig_core_event *ev, bool live)
{
	bool answered = ev && ev->kind == VMIG_EV_OWNER;

	if (!answered) {
		if (!core->own.ask && (!ev || vmig_own_due(core)))
			vmig_own_read(core);
		return VMIG_SETTLE_PENDING;
	}
	switch (ev->owner) {
	case VMIG_OWNER_RECORDS:
		return judge(core, live);
	case VMIG_OWNER_WON:
		return won(core, live);
	case VMIG_OWNER_LOST:
	case VMIG_OWNER_UNKNOWN:
	case VMIG_OWNER_UNREACHABLE:
		break;
	}
	return later(core);
}
