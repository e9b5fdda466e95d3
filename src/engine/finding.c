/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage hello, both ends: where the devices are, whose they are, and what the record says of that.
 *
 * A device that carries nobody's identity is brought back to RUNNING from wherever a dead user left it. One that carries an
 * identity and has stopped may run elsewhere by now: it is not run but by the restart rule.
 */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "engine/stages.h"

#define WRITE_NS (2 * NS_PER_S)
/* Nothing has been begun: a record that is away for so long is for the operator. */
#define ASK_NS (5 * NS_PER_S)

static bool runs(uint32_t state)
{
	return state == VMIG_STATE_RUNNING || state == VMIG_STATE_RUNNING_P2P ||
	       state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

static bool migrates(const struct vmig_core_device *dev)
{
	return dev->info.migration_flags & VMIG_MIGRATION_STOP_COPY;
}

static bool identified(const struct vmig_core_device *dev)
{
	return dev->tagged && !vmig_uuid_is_none(&dev->tag.identity);
}

/* A destination says why not when it has heard in which attempt. */
static void give_up(struct vmig_core *core, enum vmig_outcome outcome)
{
	if (core->config.source || core->peer.n_devices) {
		vmig_core_fail(core, outcome);
		return;
	}
	core->own.refuses = true;
	core->result.outcome = outcome;
	core->own.again_ns = 0;
	core->own.at = VMIG_OWN_FOUND;
}

/* --- whose they are --- */

void vmig_own_find(struct vmig_core *core)
{
	core->own.at = VMIG_OWN_LOOK;
	for (uint32_t i = 0; i < core->n; i++)
		if (migrates(&core->devices[i])) {
			/* Without a record it is brought back from wherever it is. */
			core->devices[i].moved = !core->config.owned;
			vmig_core_job(core, i, VMIG_JOB_QUERY_STATE);
		}
}

/* Neither its tag nor its state can be had: it is not one that carries none. */
static bool has_gone(const struct vmig_core_device *dev)
{
	return migrates(dev) && !dev->tagged && dev->state == VMIG_STATE_NONE;
}

static bool any_gone(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (!vmig_is_memory(&core->devices[i]) && has_gone(&core->devices[i]))
			return true;
	return false;
}

static bool name_source(struct vmig_core *core, uint32_t i, uint32_t *nameless)
{
	struct vmig_core_device *dev = &core->devices[i];

	if (has_gone(dev)) {
		vmig_core_device_reason(core, i, -ECONNRESET, "cannot be asked", "what provides it has gone");
		return false;
	}
	dev->identity = vmig_uuid_is_none(&dev->given) ? dev->tag.identity : dev->given;
	if (identified(dev) && !vmig_uuid_equal(&dev->identity, &dev->tag.identity)) {
		vmig_core_device_reason(core, i, -EEXIST, "is not the one that was named",
					"its tag has another identity than --id");
		return false;
	}
	if (!vmig_uuid_is_none(&dev->identity))
		return true;
	dev->identity = dev->fresh;
	dev->is_new = dev->tagged;
	*nameless += !dev->tagged;
	return true;
}

static bool any_known(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (!vmig_uuid_is_none(&core->devices[i].given) || identified(&core->devices[i]))
			return true;
	return false;
}

/* A unit is in the record as a whole, or not at all. */
static bool name_unit(struct vmig_core *core)
{
	uint32_t nameless = 0, devices = 0;

	for (uint32_t i = 0; i < core->n; i++) {
		if (vmig_is_memory(&core->devices[i]))
			continue;
		devices++;
		if (!name_source(core, i, &nameless))
			return false;
	}
	core->own.on = devices && !nameless;
	if (!nameless)
		return true;
	if (any_known(core)) {
		vmig_core_reason(
			core, -EOPNOTSUPP,
			"some of the devices are in the ownership record, and one carries no tag: give each "
			"of them its --id, or move that one alone");
		return false;
	}
	vmig_core_warn(core,
		       "a device carries no tag and was given no --id: the record knows nothing of it, and "
		       "it is moved on the source's word alone");
	return true;
}

static bool identify(struct vmig_core *core)
{
	bool named = core->config.source || core->config.resolve;

	if (!core->config.owned)
		return true;
	if (named && !name_unit(core))
		return false;
	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (!named)
			dev->identity = dev->tag.identity;
		dev->in_unit =
			!vmig_is_memory(dev) && (named ? core->own.on && !dev->is_new : identified(dev));
	}
	return true;
}

/* --- the way back --- */

static void go_back(struct vmig_core *core)
{
	core->own.at = VMIG_OWN_BACK;
	core->step = VMIG_BACK_QUERY;
	for (uint32_t i = 0; i < core->n; i++)
		core->devices[i].moved = migrates(&core->devices[i]) && !core->devices[i].held &&
					 (!core->config.resolve || core->devices[i].in_unit);
}

static bool refuse_held(struct vmig_core *core)
{
	for (uint32_t i = 0; core->config.source && i < core->n; i++)
		if (core->devices[i].held)
			vmig_core_device_reason(
				core, i, -EBUSY, "is a stopped copy of a device that may run elsewhere",
				"the ownership record decides, see 'vmig owner show'; --owner names it");
	if (core->result.code)
		give_up(core, VMIG_NOT_DONE);
	return core->result.code;
}

static bool may_write(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit && core->devices[i].record.phase == VMIG_OWNER_TAKEN &&
		    !strcmp(core->devices[i].record.owner, core->own.me))
			return true;
	return false;
}

/* The destination's devices are somebody's that run here: nothing may be loaded over them. */
static void in_use(struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit)
			vmig_core_device_reason(
				core, i, -EBUSY, "is in use",
				"by the ownership record it is this host's, and it runs here");
	give_up(core, VMIG_NOT_DONE);
}

static void settled_back(struct vmig_core *core)
{
	core->own.at = VMIG_OWN_FOUND;
	if (core->own.mine && !core->config.source)
		in_use(core);
}

static void came_back(struct vmig_core *core)
{
	if (core->own.mine && may_write(core)) {
		core->own.at = VMIG_OWN_WRITE;
		vmig_own_patience(core, WRITE_NS);
		if (vmig_own_swap(core, VMIG_OWNER_DONE))
			return;
	}
	settled_back(core);
}

/* Whoever had it before keeps its copy until this is written. */
static void write_done(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (ev->kind == VMIG_EV_TICK && vmig_own_due(core)) {
		vmig_own_repeat(core);
	} else if (ev->kind != VMIG_EV_OWNER) {
		return;
	} else if (ev->owner == VMIG_OWNER_WON || (core->config.resolve && !vmig_own_again(core))) {
		settled_back(core);
	} else if (!core->own.again_ns && !vmig_own_again(core)) {
		vmig_own_reason(core, "the record cannot be told that the devices run here");
		give_up(core, VMIG_NOT_DONE);
	}
}

/* --- what the record says --- */

/* The owner's own device server is here, so this end is the owner, whatever it was called by then. */
static void take_name(struct vmig_core *core)
{
	const char *name = NULL;

	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];

		if (!dev->in_unit)
			continue;
		if (!dev->record.phase || !identified(dev) || vmig_uuid_is_none(&dev->tag.instance) ||
		    !vmig_uuid_equal(&dev->tag.instance, &dev->record.instance) ||
		    (name && strcmp(name, dev->record.owner) != 0))
			return;
		name = dev->record.owner;
	}
	if (name)
		memcpy(core->own.me, name, sizeof(core->own.me));
}

static bool any_runs(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit && runs(core->devices[i].state))
			return true;
	return false;
}

/* There is something here, and it does not run. */
static bool stands_still(const struct vmig_core *core)
{
	bool any = false;

	for (uint32_t i = 0; i < core->n; i++)
		any |= core->devices[i].in_unit;
	return any && !any_runs(core);
}

/* Without tags nothing can be said after a crash; but where no attempt is open there is nothing to be said. */
static bool plainly_mine(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++) {
		const struct vmig_core_device *dev = &core->devices[i];
		bool quiet =
			dev->record.phase == VMIG_OWNER_STABLE || dev->record.phase == VMIG_OWNER_RUNNING;

		if (dev->in_unit && (!quiet || dev->tagged || dev->state != VMIG_STATE_RUNNING ||
				     strcmp(dev->record.owner, core->own.me) != 0))
			return false;
	}
	return true;
}

static const struct vmig_core_device *first_other(const struct vmig_core *core)
{
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit && core->devices[i].record.phase &&
		    strcmp(core->devices[i].record.owner, core->own.me) != 0)
			return &core->devices[i];
	return NULL;
}

static void not_mine(struct vmig_core *core, enum vmig_settled settled)
{
	const struct vmig_core_device *dev = first_other(core);
	const char *owner = dev ? dev->record.owner : "?";

	if (any_runs(core))
		vmig_core_reason(
			core, -EACCES,
			"the record says that %s owns %s, and this end is called %s: if they are one, say so "
			"with --as",
			owner, dev ? dev->info.name : "it", core->own.me);
	else if (settled == VMIG_SETTLE_KEEP)
		vmig_core_reason(
			core, -EBUSY,
			"%s has taken %s over and has not written that it runs: the copy here is kept until "
			"then",
			owner, dev ? dev->info.name : "it");
	else
		vmig_core_reason(core, -ESTALE,
				 "the record says that %s owns %s: what is here is an old copy", owner,
				 dev ? dev->info.name : "it");
	give_up(core, VMIG_NOT_DONE);
}

/* Its tag has an identity that the record does not know, or it was named for the first time. */
static void absent(struct vmig_core *core)
{
	char id[VMIG_UUID_TEXT_MAX];
	bool refused = false;

	for (uint32_t i = 0; i < core->n; i++) {
		struct vmig_core_device *dev = &core->devices[i];

		if (!dev->in_unit || dev->record.phase)
			continue;
		if (!vmig_uuid_is_none(&dev->given) && runs(dev->state) && !core->config.resolve) {
			dev->is_new = true;
			dev->in_unit = false;
			continue;
		}
		vmig_core_reason(
			core, -ENOENT,
			"device %u (%s) is %s, which this record does not know: is it another --owner's? (A "
			"source that runs is made known to this one by --id.)",
			i, dev->info.name, vmig_uuid_text(&dev->identity, id));
		refused = true;
	}
	if (refused)
		give_up(core, stands_still(core) ? VMIG_IN_DOUBT : VMIG_NOT_DONE);
	else
		vmig_own_settle(core, NULL, false);
}

static void no_answer(struct vmig_core *core, enum vmig_settled settled)
{
	if (settled == VMIG_SETTLE_AWAY) {
		vmig_own_reason(core, "the ownership record cannot be asked");
	} else {
		vmig_core_reason(
			core, -EBUSY,
			"what is found here and what the record says do not decide who may run it: see 'vmig "
			"owner show'");
	}
	give_up(core, stands_still(core) ? VMIG_IN_DOUBT : VMIG_NOT_DONE);
}

static void state_is_gone(struct vmig_core *core)
{
	vmig_core_reason(
		core, -EIO,
		"by the record it is this host's (%s), but not all of its state is here: its device server "
		"has ended, or was reset; see 'vmig owner show' whether an earlier owner kept a copy",
		core->own.me);
	give_up(core, core->config.source ? VMIG_SOURCE_LOST : VMIG_NOT_DONE);
}

static void discard(struct vmig_core *core)
{
	if (core->config.source && !core->config.resolve) {
		not_mine(core, VMIG_SETTLE_DISCARD);
		return;
	}
	go_back(core);
	for (uint32_t i = 0; core->config.resolve && i < core->n; i++)
		if (core->devices[i].in_unit)
			vmig_core_job(core, i, VMIG_JOB_RESET);
}

static void run_all(struct vmig_core *core)
{
	core->own.mine = any_known(core);
	for (uint32_t i = 0; i < core->n; i++)
		if (core->config.source || core->devices[i].in_unit)
			core->devices[i].held = false;
	go_back(core);
}

static void settled(struct vmig_core *core, enum vmig_settled settled)
{
	switch (settled) {
	case VMIG_SETTLE_PENDING:
		break;
	case VMIG_SETTLE_RUN:
	case VMIG_SETTLE_WON:
		run_all(core);
		break;
	case VMIG_SETTLE_DISCARD:
	case VMIG_SETTLE_GIVEN:
		discard(core);
		break;
	case VMIG_SETTLE_KEEP:
		not_mine(core, settled);
		break;
	case VMIG_SETTLE_LOST:
		state_is_gone(core);
		break;
	case VMIG_SETTLE_ABSENT:
		absent(core);
		break;
	case VMIG_SETTLE_DOUBT:
	case VMIG_SETTLE_AWAY:
		no_answer(core, settled);
		break;
	}
}

/* --- step by step --- */

static bool nothing_to_resolve(struct vmig_core *core)
{
	if (!core->config.resolve)
		return false;
	for (uint32_t i = 0; i < core->n; i++)
		if (core->devices[i].in_unit)
			return false;
	vmig_core_reason(core, -ENOENT,
			 "no device here carries an identity: the record has nothing to say of them");
	give_up(core, VMIG_NOT_DONE);
	return true;
}

static void ask(struct vmig_core *core)
{
	bool asks = core->config.owned && (core->own.on || !core->config.source);

	if (nothing_to_resolve(core))
		return;
	core->own.at = VMIG_OWN_ASK;
	vmig_own_patience(core, MIN(core->config.timeout_ns, ASK_NS));
	if (asks)
		vmig_own_settle(core, NULL, false);
	else if (!refuse_held(core))
		go_back(core);
}

static void looked(struct vmig_core *core)
{
	if (!vmig_core_idle(core))
		return;
	for (uint32_t i = 0; i < core->n; i++) {
		core->devices[i].held = identified(&core->devices[i]) && !runs(core->devices[i].state);
		core->devices[i].moved &= !core->devices[i].held;
	}
	if (identify(core))
		ask(core);
	else
		give_up(core, core->config.source && any_gone(core) ? VMIG_SOURCE_LOST : VMIG_NOT_DONE);
}

static void answered(struct vmig_core *core, const struct vmig_core_event *ev)
{
	bool records = ev->kind == VMIG_EV_OWNER && ev->owner == VMIG_OWNER_RECORDS;

	if (records && core->config.name_by_server)
		take_name(core);
	if (records && core->config.source && any_runs(core) && first_other(core))
		not_mine(core, VMIG_SETTLE_DOUBT);
	else if (records && core->config.source && core->own.on && plainly_mine(core))
		run_all(core);
	else
		settled(core, vmig_own_settle(core, ev, false));
}

bool vmig_own_found(struct vmig_core *core, const struct vmig_core_event *ev)
{
	if (core->phase != VMIG_PHASE_GO)
		return false;
	if (core->own.at == VMIG_OWN_LOOK)
		looked(core);
	else if (core->own.at == VMIG_OWN_ASK)
		answered(core, ev);
	else if (core->own.at == VMIG_OWN_WRITE)
		write_done(core, ev);
	if (core->phase == VMIG_PHASE_GO && core->own.at == VMIG_OWN_BACK && vmig_core_found(core))
		came_back(core);
	return core->phase == VMIG_PHASE_GO && core->own.at >= VMIG_OWN_FOUND;
}
